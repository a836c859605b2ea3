//! How late a thread wakes that asked to be woken at a certain instant: cyclictest's cycle.
//!
//! On each processor a pinned thread sleeps until a planned instant, looks at the clock, records
//! the difference and goes on with the next planned instant that has not passed.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rt_core::os::clock::{MonotonicClock, sleep_until};
use rt_core::os::recorder::{Plan as Recorded, PlanError, Recorder, Recording};
use rt_core::os::thread::{RtThread, RtThreadError, RtThreadPanic, RtThreadPlan};
use rt_core::time::{Duration, Instant};
use thiserror::Error;
use tools::exit::Failure;

use super::super::report::{Measure, Series, ThreadFacts};
use super::super::threshold::Trigger;
use super::usage::Usage;
use super::{Asked, Probing, Progress, RUN_UP};

/// Most threads of one run.
const THREADS_MAX: usize = 1_024;

/// Why nothing was measured.
#[derive(Debug, Error)]
pub enum WakeupError {
    /// No thread, or too many.
    #[error("{0} threads are none to measure with: name 1 to {THREADS_MAX} processors")]
    Threads(usize),
    /// The period.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A thread is not what it has to be.
    #[error(transparent)]
    Thread(#[from] RtThreadError),
    /// A defect.
    #[error(transparent)]
    Panic(#[from] RtThreadPanic),
    /// The kernel does not say what a thread used.
    #[error("getrusage: {0}")]
    Usage(io::Error),
}

/// What a thread measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Where it was to be.
    pub cpu: usize,
    /// What it was, as read back from the kernel, and what it used.
    pub thread: ThreadFacts,
    /// What it recorded.
    pub recording: Recording,
}

/// A run that goes on.
#[derive(Debug)]
pub struct Wakeup {
    threads: Vec<RtThread<Body>>,
    planned: u64,
    steering: Arc<Steering>,
}

/// What the threads and who waits for them share.
#[derive(Debug, Default)]
struct Steering {
    stops: AtomicBool,
    /// The run's begin, when all threads are there; zero before.
    begin_ns: AtomicU64,
    /// Cycles that are over, of all threads.
    over: AtomicU64,
    /// The latest so far, in ns.
    max_ns: AtomicU64,
    trigger: Trigger,
}

impl Steering {
    /// Waits for the run's begin, or its end before that.
    fn begin(&self) -> Instant {
        const LOOK: Duration = Duration::from_millis(1);
        loop {
            let begin_ns = self.begin_ns.load(Ordering::Acquire);
            if begin_ns > 0 || self.stops.load(Ordering::Relaxed) {
                return Instant::from_nanos(begin_ns);
            }
            sleep_until(MonotonicClock::now() + LOOK);
        }
    }
}

/// What a thread ends with.
type Body = io::Result<(Recording, Usage)>;

/// Starts the probe.
///
/// # Errors
/// Usage, or what is missing for real-time threads.
pub fn start(asked: &Asked, trigger: Trigger) -> Result<Box<dyn Probing>, Failure> {
    Ok(Box::new(Wakeup::start_watched(asked, trigger)?))
}

impl Probing for Wakeup {
    fn progress(&self) -> Progress {
        let Steering { over, max_ns, .. } = &*self.steering;
        Progress {
            over: over.load(Ordering::Relaxed),
            planned: self.planned,
            lost: 0,
            max_ns: max_ns.load(Ordering::Relaxed),
        }
    }

    fn is_over(&self) -> bool {
        self.threads.iter().all(RtThread::is_finished)
    }

    fn stop(&self) {
        self.steering.stops.store(true, Ordering::Relaxed);
    }

    fn finish(self: Box<Self>) -> Result<Vec<Series>, Failure> {
        let all = (*self).finish()?;
        let mut names = BTreeMap::<String, u32>::new();
        let series = all.into_iter().map(|it| {
            let Measured { cpu, thread, recording } = it;
            let name = format!("cpu {cpu}");
            // A second thread on a processor is the second one.
            let number = names.entry(name.clone()).or_default();
            *number += 1;
            let name = if *number > 1 { format!("{name} #{number}") } else { name };
            Series { cpu: Some(cpu), ..Series::new(name, Measure::Lateness, &recording).by(thread) }
        });
        Ok(series.collect())
    }
}

impl From<WakeupError> for Failure {
    fn from(error: WakeupError) -> Self {
        let text = error.to_string();
        match error {
            WakeupError::Threads(_) | WakeupError::Plan(_) => Self::usage(text, ""),
            WakeupError::Thread(RtThreadError::Plan(_)) => Self::usage(text, ""),
            WakeupError::Thread(RtThreadError::Refused(_)) => {
                Self::missing(text, "or say --allow-non-rt to see figures that prove nothing")
            }
            _ => Self::failed(text, ""),
        }
    }
}

impl Wakeup {
    /// Starts all threads. The memory is the caller's to lock.
    ///
    /// # Errors
    /// See [`WakeupError`]; those that were started end by themselves.
    pub fn start(asked: &Asked) -> Result<Self, WakeupError> {
        Self::start_watched(asked, Trigger::default())
    }

    /// The same; what is later than a threshold pulls the trigger.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_watched(asked: &Asked, trigger: Trigger) -> Result<Self, WakeupError> {
        if !(1..=THREADS_MAX).contains(&asked.cpus.len()) {
            return Err(WakeupError::Threads(asked.cpus.len()));
        }
        let planned = asked.cycles.saturating_mul(asked.cpus.len() as u64);
        let steering = Arc::new(Steering { trigger, ..Steering::default() });
        let mut run = Self { threads: Vec::new(), planned, steering };
        for (number, &cpu) in (0..).zip(&asked.cpus) {
            if let Err(error) = run.start_one(asked, cpu, asked.distance.saturating_mul(number)) {
                run.stop();
                return Err(error);
            }
        }
        // Making a thread takes longer than any run-up that could be planned before.
        let begin = MonotonicClock::now() + RUN_UP;
        run.steering.begin_ns.store(begin.as_nanos(), Ordering::Release);
        Ok(run)
    }

    fn start_one(
        &mut self,
        asked: &Asked,
        cpu: usize,
        distance: Duration,
    ) -> Result<(), WakeupError> {
        let cycles = Some(asked.cycles);
        let plan = Recorded::new(Instant::from_nanos(0), asked.interval);
        let recorder = Recorder::new(Recorded { cycles, ..plan })?;
        let mut thread = RtThreadPlan::new(&format!("wakeup/{cpu}"), asked.policy);
        thread.cpu = Some(cpu);
        thread.allow_degraded = asked.allow_non_rt;
        let span = asked.interval.saturating_mul(asked.cycles);
        let steering = Arc::clone(&self.steering);
        let body = move || cycles_of(cpu, distance, span, recorder, &steering);
        self.threads.push(RtThread::spawn(thread, body)?);
        Ok(())
    }

    /// Waits for all threads; what they measured, in the order of the plan.
    ///
    /// # Errors
    /// One of them failed.
    pub fn finish(self) -> Result<Vec<Measured>, WakeupError> {
        // All are waited for, also behind one that failed.
        let all: Vec<_> = self.threads.into_iter().map(measured).collect();
        all.into_iter().collect()
    }
}

fn measured(thread: RtThread<Body>) -> Result<Measured, WakeupError> {
    let (body, report) = thread.join_with_report()?;
    let (recording, used) = body.map_err(WakeupError::Usage)?;
    let cpu = report.asked.cpu.unwrap_or_default();
    Ok(Measured { cpu, thread: used.facts(&report), recording })
}

/// The body of a thread. Real-time class: from the first look at what it used to the second it
/// makes no system call but the wait.
fn cycles_of(
    cpu: usize,
    distance: Duration,
    span: Duration,
    mut recorder: Recorder,
    steering: &Steering,
) -> Body {
    let begin = steering.begin();
    let ((), used) = Usage::of(|| {
        recorder.begin_at(begin);
        let mut planned = begin + distance;
        let end = planned + span;
        while planned < end && !steering.stops.load(Ordering::Relaxed) {
            sleep_until(planned);
            let woken = MonotonicClock::now();
            let cycle = recorder.record(planned, woken);
            steering.over.fetch_add(1 + cycle.swallowed, Ordering::Relaxed);
            steering.max_ns.fetch_max(cycle.late.as_nanos(), Ordering::Relaxed);
            if steering.trigger.check(cpu, cycle.late, planned) {
                break;
            }
            planned = cycle.next;
        }
    })?;
    Ok((recorder.finish(), used))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use rt_core::os::thread::Policy;

    use super::*;

    fn plan(cpus: Vec<usize>, cycles: u64) -> Asked {
        Asked {
            cpus,
            policy: Policy::Other,
            interval: Duration::from_millis(1),
            distance: Duration::from_micros(500),
            cycles,
            allow_non_rt: false,
        }
    }

    #[test]
    fn each_planned_cycle_is_seen_or_swallowed_on_each_processor() {
        let run = Wakeup::start(&plan(vec![0, 0, 1], 200)).unwrap();
        assert!(!run.is_over());
        let found = run.finish().unwrap();
        assert_eq!(found.len(), 3);
        for (measured, cpu) in found.iter().zip([0, 0, 1]) {
            assert_eq!(measured.thread.cpus, [cpu]);
            let totals = &measured.recording.totals;
            let counts = totals.counts;
            assert_eq!(totals.seen.samples() + counts.swallowed, 200, "{counts:?}");
            assert_eq!(totals.owed.samples(), 200);
            assert_eq!((counts.lost, counts.skipped, counts.early, counts.repeated), (0, 0, 0, 0));
        }
    }

    #[test]
    fn a_run_that_is_stopped_says_how_far_it_came() {
        let run = Wakeup::start(&plan(vec![0], 3_600_000)).unwrap();
        while run.progress().over < 5 {
            std::thread::yield_now();
        }
        run.stop();
        let Progress { over, planned, max_ns, .. } = run.progress();
        let found = run.finish().unwrap();
        let totals = &found[0].recording.totals;
        let all = totals.seen.samples() + totals.counts.swallowed;
        assert!(all >= over && all < 3_600_000, "{all} of {over}");
        assert!(max_ns > 0);
        assert_eq!(planned, 3_600_000);
    }

    #[test]
    fn what_cannot_be_measured_is_refused_with_the_reason() {
        let refused = |plan: Asked| Wakeup::start(&plan).unwrap_err().to_string();
        assert!(refused(plan(Vec::new(), 1)).contains("name 1 to 1024 processors"));
        let beyond = refused(plan(vec![0, 100_000], 1));
        assert!(beyond.contains("CPU 100000"), "{beyond}");
        let never = refused(Asked { interval: Duration::ZERO, ..plan(vec![0], 1) });
        assert!(never.contains("a period of 0 ns"), "{never}");
    }
}
