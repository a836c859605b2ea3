//! From the publication of a live application's images to their being observed here.
//!
//! This process is one more reader of the region, as any panel or logger is: it asks the daemon,
//! maps for reading, and can disturb nobody. Only if it wants to be woken, the application's commit
//! has one system call more, as with each reader that does. What is published and when is the
//! application's: how long its period is is learnt from the stamps of its first images, and a
//! sample begins with the stamp of its image, just before the commit.
//!
//! Images are counted by the ring's own count, not by their instants: an application that pauses
//! has published nothing meanwhile, and no reader is late for it. An image that a new owner commits
//! again after a takeover has been published before, and does not count.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rt_core::os::clock::{MonotonicClock, sleep_until};
use rt_core::os::thread::{RtThread, RtThreadPlan};
use rt_core::time::{Duration, Instant};
use shm_replica::image::{Image, NoImage};
use shm_replica::os::participant::{Cyclic, Options, Participant, ReaderOptions, Setup};
use shm_replica::segment::RegionName;
use tools::exit::{ExitCode, Failure};

use super::super::usage::Usage;
use super::account::{Account, Course, Way};
use super::failed;
use super::reader::{ReaderError, SoFar, failure_of, series_of};
use super::{ShmOptions, Wait};
use crate::latency::probe::{Asked, Probing, Progress};
use crate::latency::report::Series;

/// The name under which it stands in the daemon's list.
const APPLICATION: &str = "bumpless-latency";
/// The number of the one region that it reads.
const REGION: usize = 0;
/// Where instances keep their runtime folders, and the socket there.
const INSTANCES: &str = "/run/bumpless";
const SOCKET: &str = "regions.sock";
/// Images from which the period is learnt: so many, and at least so many in the time there is.
const LEARNT: usize = 64;
const LEARNT_MIN: usize = 4;
const LEARNING: Duration = Duration::from_secs(10);
/// Between two looks while it learns.
const LOOK: Duration = Duration::from_micros(200);
/// After so long a reader that sleeps looks whether it is to end.
const SLEEP: Duration = Duration::from_millis(100);
/// So often a reader that polls does.
const LOOKS_PER_CLOCK: u32 = 1_024;

/// A measurement of a live region that goes on.
#[derive(Debug)]
pub struct Live {
    thread: RtThread<Result<(Account, Usage), ReaderError>>,
    participant: Participant,
    so_far: Arc<SoFar>,
    stops: Arc<AtomicBool>,
    images: u64,
    name: String,
}

/// Starts to measure on the first of the processors that are asked for, as long as is asked for.
/// Waits for some images before.
///
/// # Errors
/// There is no such region, nobody commits to it, or the thread is not granted what it has to have.
pub fn start(asked: &Asked, options: &ShmOptions, name: &str) -> Result<Live, Failure> {
    let region = RegionName::new(name)
        .map_err(|error| Failure::usage(format!("--region: {name:?}: {error}"), ""))?;
    let Some(&cpu) = asked.cpus.first() else {
        return Err(Failure::usage("shm: no processor to measure on", "name one (-a 1)"));
    };
    // Unasked, nothing polls where a controller may want to run.
    let ways = options.wait.unwrap_or(Wait::Woken).ways();
    let socket = options.socket.clone().map_or_else(|| the_one_socket(Path::new(INSTANCES)), Ok)?;
    let (participant, mut cyclic) = attach(region, socket, ways.contains(&Way::Woken))?;
    let period = learn(&mut cyclic, region)?;
    let begin = MonotonicClock::now();
    let length = asked.interval.saturating_mul(asked.cycles);
    let images = (length.as_nanos() / period.as_nanos()).max(ways.len() as u64);
    let account = Account::new(Course::new(ways, images, period), begin)
        .map_err(|error| Failure::usage(format!("region {region}: {error}"), ""))?;
    let mut plan = RtThreadPlan::new("shm-reader", asked.policy);
    plan.cpu = Some(cpu);
    plan.allow_degraded = asked.allow_non_rt;
    let (so_far, stops) = (Arc::<SoFar>::default(), Arc::<AtomicBool>::default());
    let reader = Reader {
        cyclic,
        account,
        first: None,
        last_ns: 0,
        // Of an application that becomes slower, what there was.
        end: begin.saturating_add(length).saturating_add(SLEEP),
        so_far: Arc::clone(&so_far),
        stops: Arc::clone(&stops),
    };
    let thread = RtThread::spawn(plan, move || reader.run())
        .map_err(|error| Failure::missing(format!("shm: {error}"), ""))?;
    Ok(Live { thread, participant, so_far, stops, images, name: name.to_owned() })
}

impl Probing for Live {
    fn more(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("region".to_owned(), self.name.clone())])
    }

    fn progress(&self) -> Progress {
        let [over, lost, max_ns] = self.so_far.get();
        Progress { over, planned: self.images, lost, max_ns }
    }

    fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    fn stop(&self) {
        self.stops.store(true, Ordering::Relaxed);
    }

    fn finish(self: Box<Self>) -> Result<Vec<Series>, Failure> {
        let Self { thread, participant, .. } = *self;
        let joined = thread.join_with_report();
        let (ended, report) = joined.map_err(|panic| failed(&panic))?;
        participant.deactivate();
        let (account, used) = ended.map_err(failure_of)?;
        Ok(series_of(account, &used.facts(&report)))
    }
}

/// The socket of the one instance that there is.
fn the_one_socket(instances: &Path) -> Result<PathBuf, Failure> {
    let remedy = "name the daemon's socket: --socket /run/bumpless/INSTANCE/regions.sock";
    let found = instances.read_dir().into_iter().flatten().flatten();
    let mut sockets: Vec<PathBuf> =
        found.map(|it| it.path().join(SOCKET)).filter(|it| it.exists()).collect();
    match (sockets.pop(), sockets.len()) {
        (Some(only), 0) => Ok(only),
        (Some(_), more) => {
            Err(Failure::usage(format!("{} instances of the daemon run here", more + 1), remedy))
        }
        (None, _) => {
            let what = format!("no daemon with regions in {}", instances.display());
            Err(Failure::missing(what, remedy))
        }
    }
}

fn attach(
    region: RegionName,
    socket: PathBuf,
    woken: bool,
) -> Result<(Participant, Cyclic), Failure> {
    let application = RegionName::new(APPLICATION).map_err(|error| failed(&error))?;
    let mut setup = Setup::new(Options::new(application, socket));
    let options = ReaderOptions { woken, ..ReaderOptions::new(region) };
    setup.attach(options).map_err(|error| failed(&error))?;
    setup.activate().map_err(|error| Failure::missing(format!("shm: {error}"), ""))
}

/// The period of whoever commits: the middle of what is between its first images.
fn learn(cyclic: &mut Cyclic, region: RegionName) -> Result<Duration, Failure> {
    let give_up = MonotonicClock::now() + LEARNING;
    let (mut periods, mut before) = (Vec::with_capacity(LEARNT), None);
    while periods.len() < LEARNT && MonotonicClock::now() < give_up {
        let Ok(image) = cyclic.read(REGION, true) else {
            sleep_until(MonotonicClock::now() + LOOK);
            continue;
        };
        let at_ns = image.stamp.committed_at_ns;
        if let Some(before_ns) = before.replace(at_ns)
            && at_ns > before_ns
        {
            periods.push((at_ns - before_ns) / image.skipped.saturating_add(1));
        }
    }
    periods.sort_unstable();
    match periods.get(periods.len() / 2) {
        Some(&middle) if periods.len() >= LEARNT_MIN && middle > 0 => {
            Ok(Duration::from_nanos(middle))
        }
        _ => {
            let (count, seconds) = (periods.len(), LEARNING.as_nanos() / 1_000_000_000);
            let what =
                format!("region {region}: {count} images in {seconds} s are none to measure by");
            let remedy = "see whether its application is active: bumpless regions";
            Err(Failure::new(ExitCode::Invalid, what, remedy))
        }
    }
}

struct Reader {
    cyclic: Cyclic,
    account: Account,
    /// When the first image was published that counts.
    first: Option<Instant>,
    /// When the last one was, in ns.
    last_ns: u64,
    end: Instant,
    so_far: Arc<SoFar>,
    stops: Arc<AtomicBool>,
}

impl Reader {
    /// The body of the thread.
    fn run(mut self) -> Result<(Account, Usage), ReaderError> {
        let (seen, used) = Usage::of(|| self.observe_all())?;
        seen?;
        Ok((self.account, used))
    }

    /// Real-time class: the wait for a commit is its only system call.
    fn observe_all(&mut self) -> Result<(), ReaderError> {
        let mut looks = 0u32;
        while !self.account.is_over() {
            match self.cyclic.read(REGION, false) {
                Ok(image) => {
                    let observed = MonotonicClock::now();
                    self.take(&image, observed)?;
                    self.so_far.set(self.account.so_far());
                }
                Err(NoImage::Lapped) => {}
                Err(NoImage::Corrupt(sequence)) => return Err(ReaderError::Changed(sequence)),
                Err(NoImage::WrongSize(_)) => return Err(ReaderError::Size),
                Err(NoImage::Nothing) if self.account.way() == Way::Woken => {
                    let until = MonotonicClock::now() + SLEEP;
                    self.cyclic.wait(REGION, until.min(self.end))?;
                    looks = 0;
                }
                Err(NoImage::Nothing) => std::hint::spin_loop(),
            }
            if looks.is_multiple_of(LOOKS_PER_CLOCK)
                && (self.stops.load(Ordering::Relaxed) || MonotonicClock::now() >= self.end)
            {
                return Ok(());
            }
            looks = looks.wrapping_add(1);
        }
        Ok(())
    }

    fn take(&mut self, image: &Image, observed: Instant) -> Result<(), ReaderError> {
        let published_ns = image.stamp.committed_at_ns;
        let is_new = published_ns > self.last_ns;
        self.last_ns = self.last_ns.max(published_ns);
        let published = Instant::from_nanos(published_ns);
        match self.first {
            // Up to here it was not looked for.
            None => self.first = Some(published),
            Some(first) if is_new => self
                .account
                .follow(image.skipped, first, observed.since(published))
                .map_err(|_| ReaderError::Disorder)?,
            Some(_) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_socket_is_found_where_there_is_one_and_only_one() {
        let root = std::env::temp_dir().join(format!("bumpless-shm-{}", std::process::id()));
        let refused = |code| {
            let failure = the_one_socket(&root).unwrap_err();
            assert_eq!(failure.code, code, "{failure}");
            assert!(failure.remedy.contains("--socket"), "{failure}");
        };
        refused(ExitCode::Missing);
        for name in ["a", "b", "c"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        refused(ExitCode::Missing);
        fs::write(root.join("b").join(SOCKET), "").unwrap();
        assert_eq!(the_one_socket(&root).unwrap(), root.join("b").join(SOCKET));
        fs::write(root.join("c").join(SOCKET), "").unwrap();
        refused(ExitCode::Usage);
        fs::remove_dir_all(&root).unwrap();
    }
}
