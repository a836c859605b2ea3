//! The thread that publishes an image at each planned instant, and wakes who sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rt_core::os::clock::{MonotonicClock, sleep_until};
use rt_core::os::recorder::{Plan as Recorded, Recorder, Recording};
use rt_core::os::thread::{Policy, RtThread, RtThreadError, RtThreadPlan};
use rt_core::time::Instant;
use shm_replica::crc::Crc;
use shm_replica::image::{ImageWriter, Stamp, WrongSize};
use shm_replica::os::mapping::Mapping;
use shm_replica::os::segment::Segment;
use shm_replica::os::wake;
use shm_replica::ring::Place;
use thiserror::Error;
use tools::exit::Failure;

use super::super::RUN_UP;
use super::super::usage::Usage;
use super::account::{Course, Way};

/// Of the one writer that a segment of the probe has.
pub(super) const EPOCH: u64 = 1;
/// In the stamp's cycle beside the number: there are no more images.
pub(super) const END: u64 = 1 << 63;

/// How the writer runs.
#[derive(Clone, Debug)]
pub(super) struct Writing {
    pub(super) course: Course,
    pub(super) cpu: usize,
    pub(super) policy: Policy,
    pub(super) allow_non_rt: bool,
    /// The run's begin.
    pub(super) begin: Instant,
}

/// What was published.
#[derive(Clone, Debug)]
pub(super) struct Published {
    /// Planned instants that came to pass: all, but where it was stopped.
    pub(super) images: u64,
    /// What each commit took.
    pub(super) commits: Recording,
    pub(super) used: Usage,
}

/// Why the writer ended early.
#[derive(Debug, Error)]
pub(super) enum WriterError {
    /// A defect.
    #[error(transparent)]
    WrongSize(#[from] WrongSize),
    /// The kernel does not say what a thread used.
    #[error("getrusage: {0}")]
    Usage(#[from] std::io::Error),
}

/// What the thread ends with.
pub(super) type Body = Result<Published, WriterError>;

impl Writing {
    /// Starts the thread.
    pub(super) fn start(
        self,
        segment: Segment,
        stops: Arc<AtomicBool>,
    ) -> Result<RtThread<Body>, Failure> {
        let no_ring = || Failure::failed("shm: the segment holds no such ring", "");
        Crc::prepare();
        let layout = segment.header().layout;
        let (place, octets) = (layout.place(), layout.image_octets());
        let ring = ImageWriter::new(segment.into_memory(), place, octets).ok_or_else(no_ring)?;
        let recorded = Recorded {
            cycles: Some(self.course.images()),
            ..Recorded::new(self.begin, self.course.interval())
        };
        let commits =
            Recorder::new(recorded).map_err(|error| Failure::usage(format!("shm: {error}"), ""))?;
        let mut plan = RtThreadPlan::new("shm-writer", self.policy);
        plan.cpu = Some(self.cpu);
        plan.allow_degraded = self.allow_non_rt;
        // Not all zeros, so that each octet of it counts in the checksum.
        let image = vec![0xb5; octets];
        let writer = Writer { ring, place, image, commits, course: self.course };
        let missing = |error: RtThreadError| Failure::missing(format!("shm: {error}"), "");
        RtThread::spawn(plan, move || writer.run(&stops)).map_err(missing)
    }
}

struct Writer {
    ring: ImageWriter<Mapping>,
    place: Place,
    image: Vec<u8>,
    commits: Recorder,
    course: Course,
}

impl Writer {
    /// The body of the thread. Real-time class while it is frozen: the wait for the planned instant
    /// and, where somebody sleeps, one call to wake it are its system calls.
    fn run(mut self, stops: &AtomicBool) -> Body {
        let (images, used) = Usage::of(|| self.publish_all(stops))?;
        Ok(Published { images: images?, commits: self.commits.finish(), used })
    }

    /// The number of the first image that was not published any more.
    fn publish_all(&mut self, stops: &AtomicBool) -> Result<u64, WrongSize> {
        let (images, interval) = (self.course.images(), self.course.interval());
        let mut planned = MonotonicClock::now() + RUN_UP;
        let mut number = 0;
        while number < images && !stops.load(Ordering::Relaxed) {
            sleep_until(planned);
            let before = MonotonicClock::now();
            self.ring.publish(&self.image, stamp(number, planned, before))?;
            let took = MonotonicClock::now().since(before);
            if self.course.way(number) == Way::Woken {
                wake::wake_all(self.ring.memory(), &self.place);
            }
            self.commits.record_span(planned, took);
            number += 1;
            planned += interval;
            // What was missed is not made up for: a burst would say nothing of a cycle.
            let now = MonotonicClock::now();
            while planned < now && number < images {
                self.commits.record_lost(planned);
                number += 1;
                planned += interval;
            }
        }
        // The last image has its whole time, too.
        sleep_until(planned);
        let end = stamp(number | END, planned, MonotonicClock::now());
        self.ring.publish(&self.image, end)?;
        wake::wake_all(self.ring.memory(), &self.place);
        Ok(number)
    }
}

const fn stamp(cycle: u64, planned: Instant, published: Instant) -> Stamp {
    Stamp {
        epoch: EPOCH,
        cycle,
        committed_at_ns: published.as_nanos(),
        wall_clock_ns: 0,
        application_time_ns: planned.as_nanos(),
    }
}
