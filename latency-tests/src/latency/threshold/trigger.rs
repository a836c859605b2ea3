//! The side of the thread that measures.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, Ordering};

use rt_core::os::wake::Wake;
use rt_core::time::{Duration, Instant};

use super::tracefs::Files;

/// Nothing happened.
const EMPTY: u8 = 0;
/// A thread has the slot and fills it.
const CLAIMED: u8 = 1;
/// The event is there, for good.
const FULL: u8 = 2;

/// A sample that was too late.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// The processor of the thread that measured.
    pub cpu: usize,
    /// How late it was.
    pub late: Duration,
    /// When it was planned.
    pub planned: Instant,
}

impl fmt::Display for Event {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.late.as_nanos() as f64 / 1e3;
        let (cpu, at) = (self.cpu, self.planned.as_nanos());
        write!(to, "CPU {cpu} was late by {us:.1} µs in the cycle planned for {at} ns")
    }
}

/// What all sides of a threshold share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) threshold: Duration,
    goes_on: bool,
    files: Option<Files>,
    pub(super) wake: Wake,
    pub(super) ends: AtomicBool,
    pub(super) further: AtomicU64,
    state: AtomicU8,
    cpu: AtomicU64,
    late_ns: AtomicU64,
    planned_ns: AtomicU64,
    /// Of the writes to the trace; 0 where they went well.
    errno: AtomicI32,
}

impl Shared {
    pub(super) fn new(
        threshold: Duration,
        goes_on: bool,
        files: Option<Files>,
    ) -> io::Result<Self> {
        Ok(Self {
            threshold,
            goes_on,
            files,
            wake: Wake::new()?,
            ends: AtomicBool::new(false),
            further: AtomicU64::new(0),
            state: AtomicU8::new(EMPTY),
            cpu: AtomicU64::new(0),
            late_ns: AtomicU64::new(0),
            planned_ns: AtomicU64::new(0),
            errno: AtomicI32::new(0),
        })
    }

    /// The first sample that was too late, if it is there.
    pub(super) fn event(&self) -> Option<Event> {
        // Acquire: what was stored before `FULL` is seen.
        (self.state.load(Ordering::Acquire) == FULL).then(|| Event {
            cpu: usize::try_from(self.cpu.load(Ordering::Relaxed)).unwrap_or(usize::MAX),
            late: Duration::from_nanos(self.late_ns.load(Ordering::Relaxed)),
            planned: Instant::from_nanos(self.planned_ns.load(Ordering::Relaxed)),
        })
    }

    /// Why the trace was not stopped.
    pub(super) fn trace_failure(&self) -> Option<String> {
        let errno = self.errno.load(Ordering::Relaxed);
        let error = io::Error::from_raw_os_error(errno);
        (errno != 0).then(|| format!("--on-threshold trace: the trace was not stopped: {error}"))
    }

    fn fire(&self, event: &Event) {
        let claimed =
            self.state.compare_exchange(EMPTY, CLAIMED, Ordering::Relaxed, Ordering::Relaxed);
        if claimed.is_err() {
            self.further.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // First of all, or the trace goes on.
        if let Some(files) = &self.files
            && let Err(errno) = files.stop(event, self.threshold)
        {
            self.errno.store(errno as i32, Ordering::Relaxed);
        }
        self.cpu.store(event.cpu as u64, Ordering::Relaxed);
        self.late_ns.store(event.late.as_nanos(), Ordering::Relaxed);
        self.planned_ns.store(event.planned.as_nanos(), Ordering::Relaxed);
        self.state.store(FULL, Ordering::Release);
        self.wake.signal();
    }
}

/// What a thread that measures calls after each sample; [`Trigger::default`] never fires.
#[derive(Clone, Default, Debug)]
pub struct Trigger(Option<Arc<Shared>>);

/// Triggers of one threshold are equal, and those without one.
impl PartialEq for Trigger {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        }
    }
}

impl Eq for Trigger {}

impl Trigger {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self(Some(shared))
    }

    /// Looks at a sample of the thread on `cpu`, planned for `planned`; whether the run ends now,
    /// because this one or another one was later than the threshold.
    ///
    /// Real-time class: two loads and a comparison. Where the sample is the first that is too late:
    /// at most three system calls that do not block, once in a run. No allocation, no lock.
    #[must_use]
    pub fn check(&self, cpu: usize, late: Duration, planned: Instant) -> bool {
        let Some(shared) = &self.0 else { return false };
        if late > shared.threshold {
            shared.fire(&Event { cpu, late, planned });
        }
        !shared.goes_on && shared.state.load(Ordering::Relaxed) != EMPTY
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_micros(100);
    const NEVER: Instant = Instant::from_nanos(0);

    fn shared(goes_on: bool) -> Arc<Shared> {
        Arc::new(Shared::new(LIMIT, goes_on, None).unwrap())
    }

    fn late(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    #[test]
    fn the_first_that_is_later_than_the_threshold_is_kept_and_others_are_counted() {
        let shared = shared(true);
        let trigger = Trigger::new(Arc::clone(&shared));
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        assert!(!trigger.check(0, late(99), at(1)));
        assert!(!trigger.check(0, LIMIT, at(2)));
        assert_eq!(shared.event(), None);
        assert!(!trigger.check(3, late(101), at(3)));
        assert!(!trigger.clone().check(1, late(5_000), at(4)));
        assert_eq!(shared.event(), Some(Event { cpu: 3, late: late(101), planned: at(3) }));
        assert_eq!(shared.further.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn all_threads_end_after_the_first_one() {
        let shared = shared(false);
        let [one, other] = [0, 1].map(|_| Trigger::new(Arc::clone(&shared)));
        assert!(!other.check(1, late(1), NEVER));
        assert!(one.check(0, late(101), NEVER));
        assert!(other.check(1, late(1), NEVER));
    }

    #[test]
    fn of_many_at_once_one_is_kept_whole() {
        for _ in 0..200 {
            let shared = shared(true);
            std::thread::scope(|scope| {
                for cpu in 0..4u64 {
                    let trigger = Trigger::new(Arc::clone(&shared));
                    scope.spawn(move || {
                        let planned = Instant::from_nanos(cpu);
                        trigger.check(usize::try_from(cpu).unwrap(), late(1_000 + cpu), planned)
                    });
                }
            });
            let event = shared.event().unwrap();
            let cpu = event.cpu as u64;
            assert_eq!((event.late, event.planned), (late(1_000 + cpu), Instant::from_nanos(cpu)));
            assert_eq!(shared.further.load(Ordering::Relaxed), 3);
        }
    }

    #[test]
    fn without_a_threshold_nothing_is_too_late() {
        assert!(!Trigger::default().check(0, Duration::from_secs(1_000), NEVER));
    }
}
