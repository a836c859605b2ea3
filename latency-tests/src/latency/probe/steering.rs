//! The one thread of a probe that sends and waits for answers, and what it shares with who waits
//! for it.
//!
//! Shared is what both need while it runs, each an atomic: how far it has come, whether it is to
//! end, and what only this probe counts. What it found it hands over at its end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rt_core::os::thread::{RtThread, RtThreadError, RtThreadPlan, ThreadReport};
use rt_core::os::wake::Wake;
use rt_core::time::Duration;
use tools::exit::Failure;

use super::{Asked, Progress};

/// What the thread and who waits for it share; `T` is what only this probe tells.
#[derive(Debug)]
pub(super) struct Steering<T> {
    stops: AtomicBool,
    wake: Wake,
    /// Cycles that are over.
    over: AtomicU64,
    /// Of them: without an answer.
    lost: AtomicU64,
    /// The longest round trip.
    max_ns: AtomicU64,
    /// Events beside the samples.
    pub(super) told: T,
}

impl<T: Default> Steering<T> {
    pub(super) fn new() -> Result<Arc<Self>, Failure> {
        Ok(Arc::new(Self {
            stops: AtomicBool::new(false),
            wake: Wake::new().map_err(|it| Failure::failed(format!("eventfd: {it}"), ""))?,
            over: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            max_ns: AtomicU64::new(0),
            told: T::default(),
        }))
    }
}

impl<T> Steering<T> {
    /// Whether the thread is to send no more. Real-time class: one memory access, as the next
    /// three.
    pub(super) fn stops(&self) -> bool {
        self.stops.load(Ordering::Relaxed)
    }

    /// So many more cycles are over.
    pub(super) fn add_over(&self, cycles: u64) {
        self.over.fetch_add(cycles, Ordering::Relaxed);
    }

    /// One of them is lost.
    pub(super) fn add_lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// An answer took so long.
    pub(super) fn took(&self, round_trip: Duration) {
        self.max_ns.fetch_max(round_trip.as_nanos(), Ordering::Relaxed);
    }

    /// How far it has come. Thread: any.
    fn progress(&self, planned: u64) -> Progress {
        let Self { over, lost, max_ns, .. } = self;
        let [over, lost, max_ns] = [over, lost, max_ns].map(|it| it.load(Ordering::Relaxed));
        Progress { over, planned, lost, max_ns }
    }

    /// Tells the thread to send no more. Thread: any.
    fn stop(&self) {
        self.stops.store(true, Ordering::Relaxed);
        self.wake.signal();
    }
}

/// Readable once the thread is to end.
impl<T> AsFd for Steering<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// The thread, which ends with a `B`. Dropped, it is ended and waited for: what it works with can
/// go after it.
#[derive(Debug)]
pub(super) struct Steered<B: Send + 'static, T> {
    name: &'static str,
    /// Until it has been waited for.
    thread: Option<RtThread<io::Result<B>>>,
    steering: Arc<Steering<T>>,
    planned: u64,
}

impl<B: Send + 'static, T> Steered<B, T> {
    /// Starts it for the probe `name`, on `cpu`.
    pub(super) fn start(
        name: &'static str,
        asked: &Asked,
        cpu: usize,
        steering: Arc<Steering<T>>,
        body: impl FnOnce() -> io::Result<B> + Send + 'static,
    ) -> Result<Self, Failure> {
        let mut plan = RtThreadPlan::new(&format!("{name}/{cpu}"), asked.policy);
        plan.cpu = Some(cpu);
        plan.allow_degraded = asked.allow_non_rt;
        let thread = Some(RtThread::spawn(plan, body).map_err(refused)?);
        Ok(Self { name, thread, steering, planned: asked.cycles })
    }

    pub(super) fn told(&self) -> &T {
        &self.steering.told
    }

    pub(super) fn progress(&self) -> Progress {
        self.steering.progress(self.planned)
    }

    pub(super) fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(RtThread::is_finished)
    }

    pub(super) fn stop(&self) {
        self.steering.stop();
    }

    /// Waits for it; what it ended with, unless it has been waited for before.
    pub(super) fn finish(&mut self) -> Result<Option<(B, ThreadReport)>, Failure> {
        let Some(thread) = self.thread.take() else { return Ok(None) };
        let joined = thread.join_with_report();
        let (ended, report) = joined.map_err(|it| Failure::failed(it.to_string(), ""))?;
        let ended =
            ended.map_err(|error| Failure::failed(format!("{}: {error}", self.name), ""))?;
        Ok(Some((ended, report)))
    }
}

impl<B: Send + 'static, T> Drop for Steered<B, T> {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// Why a thread is not what it has to be.
pub(super) fn refused(error: RtThreadError) -> Failure {
    let text = error.to_string();
    match error {
        RtThreadError::Plan(_) => Failure::usage(text, ""),
        RtThreadError::Refused(_) => {
            Failure::missing(text, "or say --allow-non-rt to see figures that prove nothing")
        }
        _ => Failure::failed(text, ""),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use rt_core::os::thread::Policy;

    use super::*;

    /// A thread that waits to be ended.
    fn waiting(ends: &Arc<AtomicU64>) -> Steered<u64, AtomicU64> {
        let asked = Asked {
            cpus: vec![0],
            policy: Policy::Other,
            interval: Duration::from_millis(1),
            distance: Duration::ZERO,
            cycles: 5,
            allow_non_rt: false,
        };
        let steering = Steering::<AtomicU64>::new().unwrap();
        let (theirs, ends) = (Arc::clone(&steering), Arc::clone(ends));
        let body = move || {
            theirs.add_over(3);
            theirs.add_lost();
            theirs.took(Duration::from_nanos(9));
            theirs.took(Duration::from_nanos(7));
            theirs.told.store(2, Ordering::Relaxed);
            let mut waits = [PollFd::new(theirs.as_fd(), PollFlags::POLLIN)];
            poll(&mut waits, PollTimeout::from(60_000u16))?;
            ends.fetch_add(1, Ordering::Relaxed);
            Ok(u64::from(theirs.stops()))
        };
        Steered::start("waiting", &asked, 0, steering, body).unwrap()
    }

    #[test]
    fn a_thread_that_is_stopped_says_how_far_it_came_and_what_it_found() {
        let ends = Arc::default();
        let mut it = waiting(&ends);
        while it.told().load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        assert!(!it.is_over());
        assert_eq!(it.progress(), Progress { over: 3, planned: 5, lost: 1, max_ns: 9 });
        it.stop();
        let (heard, report) = it.finish().unwrap().unwrap();
        assert_eq!((heard, &*report.asked.name), (1, "waiting/0"));
        assert!(it.is_over() && it.finish().unwrap().is_none());
    }

    #[test]
    fn who_lets_go_of_a_thread_goes_on_when_it_has_ended() {
        let ends = Arc::default();
        drop(waiting(&ends));
        assert_eq!(ends.load(Ordering::Relaxed), 1);
    }
}
