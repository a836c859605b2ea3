//! The second process: it observes, and tells what it found.

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::parent_id;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration as StdDuration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use rt_core::os::clock::MonotonicClock;
use rt_core::os::memory;
use rt_core::os::thread::{RtThread, RtThreadPlan};
use rt_core::time::{Duration, Instant};
use shm_replica::crc::Crc;
use shm_replica::image::{Image, ImageReader, NoImage};
use shm_replica::os::mapping::Mapping;
use shm_replica::os::segment::Segment;
use shm_replica::os::wake;
use shm_replica::ring::Place;
use thiserror::Error;
use tools::exit::{ExitCode, Failure};

use super::super::usage::Usage;
use super::account::{Account, Sight, Way};
use super::failed;
use super::talk::{Orders, Told};
use super::writer::{END, EPOCH};
use crate::latency::report::{Measure, Series, ThreadFacts};

/// From one word on how far it has come to the next.
const SO_FAR: StdDuration = StdDuration::from_millis(20);
/// A reader that sleeps looks by itself after so long.
const SLEEP: Duration = Duration::from_secs(1);

/// The second process of [`super::start`]: what stands behind [`super::READER`] on its command line
/// is `orders`, its standard input is the segment, and standard output is where it answers.
///
/// # Errors
/// It cannot observe; that was told, too.
pub fn reader_main(orders: &str) -> Result<ExitCode, Failure> {
    let told = match read(orders) {
        Ok(series) => Told::Found(series),
        Err(failure) => Told::from(&failure),
    };
    // Who started this process is gone if it cannot be said, and then so is whom to tell.
    let _ = say(&told);
    Ok(if matches!(told, Told::Found(_)) { ExitCode::Fine } else { ExitCode::Failed })
}

fn read(orders: &str) -> Result<Vec<Series>, Failure> {
    let orders: Orders = serde_json::from_str(orders).map_err(|error| {
        Failure::usage(
            format!("these are no orders: {error}"),
            "this is a part of `bumpless-latency shm`, which starts it",
        )
    })?;
    end_with_parent(orders.parent)?;
    let unlocked = lock(orders.allow_non_rt)?;
    let Orders { course, cpu, .. } = orders.clone();
    let account = Account::new(course, orders.begin())
        .map_err(|error| Failure::usage(format!("shm: {error}"), ""))?;
    let so_far: Arc<SoFar> = Arc::default();
    let reader = Reader::new(account, Arc::clone(&so_far))?;
    let mut plan = RtThreadPlan::new("shm-reader", orders.policy.into());
    plan.cpu = Some(cpu);
    plan.allow_degraded = orders.allow_non_rt;
    let thread = RtThread::spawn(plan, move || reader.run())
        .map_err(|error| Failure::missing(format!("shm: {error}"), ""))?;
    let gone = |error: io::Error| Failure::failed(format!("standard output: {error}"), "");
    say(&Told::Ready).map_err(gone)?;
    while !thread.is_finished() {
        std::thread::sleep(SO_FAR);
        say(&Told::SoFar(so_far.get())).map_err(gone)?;
    }
    let (ended, report) = thread.join_with_report().map_err(|panic| failed(&panic))?;
    let (account, used) = ended.map_err(failure_of)?;
    let mut facts = used.facts(&report);
    facts.shortfalls.extend(unlocked);
    Ok(series_of(account, &facts))
}

/// What was recorded, by a thread of which this is known.
pub(super) fn series_of(account: Account, thread: &ThreadFacts) -> Vec<Series> {
    let series = account.finish().into_iter().map(|(way, recording)| {
        Series::new(way.name(), Measure::Span, &recording).by(thread.clone())
    });
    series.collect()
}

/// Has the kernel end this process when the thread that started it has ended. It is asked for here
/// and not by the parent between fork and exec: who forks shares all its pages with the child for a
/// while, and then faults at its next store to each of them, on its real-time threads too.
fn end_with_parent(parent: u32) -> Result<(), Failure> {
    set_pdeathsig(Signal::SIGKILL).map_err(|error| failed(&error))?;
    if parent_id() == parent {
        return Ok(());
    }
    Err(Failure::failed("shm: who started this process has ended", ""))
}

/// Locks this process's memory; what is missing, where it measures all the same.
fn lock(allow_non_rt: bool) -> Result<Option<String>, Failure> {
    let _ = memory::tune_allocator();
    match memory::lock_all() {
        Ok(_) => Ok(None),
        Err(error) if allow_non_rt => Ok(Some(error.to_string())),
        Err(error) => Err(Failure::missing(format!("shm: {error}"), "or say --allow-non-rt")),
    }
}

fn say(told: &Told) -> io::Result<()> {
    let mut line = serde_json::to_vec(told)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

/// What is said of it.
pub(super) fn failure_of(error: ReaderError) -> Failure {
    let code = match error {
        ReaderError::Changed(_) | ReaderError::Disorder => ExitCode::Invalid,
        ReaderError::System(_) | ReaderError::Size => ExitCode::Failed,
    };
    Failure::new(code, format!("shm: {error}"), "")
}

/// How far a reader has come, for another thread to tell.
#[derive(Debug, Default)]
pub(super) struct SoFar([AtomicU64; 3]);

impl SoFar {
    pub(super) fn get(&self) -> [u64; 3] {
        [0, 1, 2].map(|at: usize| self.0[at].load(Ordering::Relaxed))
    }

    pub(super) fn set(&self, (over, lost, max_ns): (u64, u64, u64)) {
        for (word, value) in self.0.iter().zip([over, lost, max_ns]) {
            word.store(value, Ordering::Relaxed);
        }
    }
}

/// Why a reader ended before the end was seen.
#[derive(Debug, Error)]
pub(super) enum ReaderError {
    /// A defect of the ring, or somebody else's.
    #[error("image {0} has been changed: its checksum does not fit")]
    Changed(u64),
    /// A defect of the ring, or of the writer.
    #[error("images came in an order in which none are published")]
    Disorder,
    /// A defect of this module.
    #[error("an image has not the size of its ring")]
    Size,
    /// The kernel refuses a wait, or does not say what a thread used.
    #[error("the reader cannot go on: {0}")]
    System(#[from] io::Error),
}

/// Observes, on a thread of its own.
struct Reader {
    ring: ImageReader<Mapping>,
    place: Place,
    image: Vec<u8>,
    account: Account,
    so_far: Arc<SoFar>,
}

impl Reader {
    /// Of the segment that is this process's standard input.
    fn new(account: Account, so_far: Arc<SoFar>) -> Result<Self, Failure> {
        let wrong = |why: &dyn std::fmt::Display| {
            let remedy = "this is a part of `bumpless-latency shm`, which hands it over";
            Failure::failed(format!("standard input: {why}"), remedy)
        };
        let file = io::stdin().as_fd().try_clone_to_owned().map_err(|error| wrong(&error))?;
        let segment = Segment::open(file, false).map_err(|error| wrong(&error))?;
        Crc::prepare();
        let layout = segment.header().layout;
        let (place, octets) = (layout.place(), layout.image_octets());
        let ring = ImageReader::new(segment.into_memory(), place, octets, EPOCH);
        let ring = ring.ok_or_else(|| wrong(&"it holds no such ring"))?;
        // Touched; that it is locked, too, is the process's affair.
        let image = vec![1; octets];
        Ok(Self { ring, place, image, account, so_far })
    }

    /// The body of the thread.
    fn run(mut self) -> Result<(Account, Usage), ReaderError> {
        // The kernel's page of the clock cannot be locked: it comes with a process's first look.
        let _now = MonotonicClock::now();
        let (seen, used) = Usage::of(|| self.observe_all())?;
        seen?;
        Ok((self.account, used))
    }

    /// Observes until the end is seen. Real-time class: the wait for a commit is its only system
    /// call. Ended from outside where the end never comes: the process is killed with its parent.
    fn observe_all(&mut self) -> Result<(), ReaderError> {
        loop {
            match self.ring.newest(&mut self.image) {
                Ok(image) => {
                    let observed = MonotonicClock::now();
                    let sight = sight(&image, observed);
                    self.account.take(&sight).map_err(|_| ReaderError::Disorder)?;
                    self.so_far.set(self.account.so_far());
                    if sight.is_end {
                        return Ok(());
                    }
                }
                Err(NoImage::Nothing) => self.wait()?,
                // The writer was faster; what it published instead is looked for.
                Err(NoImage::Lapped) => {}
                Err(NoImage::Corrupt(sequence)) => return Err(ReaderError::Changed(sequence)),
                Err(NoImage::WrongSize(_)) => return Err(ReaderError::Size),
            }
        }
    }

    fn wait(&self) -> io::Result<()> {
        match self.account.way() {
            Way::Polling => std::hint::spin_loop(),
            Way::Woken => {
                let until = MonotonicClock::now() + SLEEP;
                wake::wait(self.ring.memory(), &self.place, self.ring.last(), until)?;
            }
        }
        Ok(())
    }
}

fn sight(image: &Image, observed: Instant) -> Sight {
    let stamp = &image.stamp;
    Sight {
        number: stamp.cycle & !END,
        sequence: image.sequence,
        planned: Instant::from_nanos(stamp.application_time_ns),
        took: observed.since(Instant::from_nanos(stamp.committed_at_ns)),
        is_end: stamp.cycle & END != 0,
    }
}
