//! What happens at once when a sample is too late: the kernel's trace is stopped, a command is run,
//! or a signal is sent, while what made it late can still be looked at.
//!
//! ```text
//!   thread that measures             ordinary thread
//!   Trigger::check(late) ── slot ──→ waits for the first event, then `sh -c` or a signal
//!         └─ trace_marker, tracing_on
//! ```
//!
//! A [`Threshold`] is armed before the threads start and hands out [`Trigger`]s, one for each. It
//! fires once, at the first sample that is later than the threshold; of several at the same
//! time, one. Later ones are counted.
//!
//! With `trace` the thread that measures writes one line to `trace_marker` and a `0` to
//! `tracing_on`, as `cyclictest -b` does: two system calls on descriptors that are open already, at
//! a moment when the latency has happened. To leave them to another thread would be to
//! overwrite the trace with what comes after. With every action one more call wakes the ordinary
//! thread, which waited until then without looking: one that looks now and then would itself be
//! among what is measured.
//!
//! The words are those of the kernel's `rtla`: `trace`, `shell`, `signal`, `continue`.
//!
//! | Module | Holds |
//! |---|---|
//! | `action` | what is to happen, as a word says it |
//! | `tracefs` | the files of the kernel's trace |
//! | `trigger` | the side of the thread that measures |

mod action;
mod tracefs;
mod trigger;

use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::Duration as StdDuration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::kill;
use rt_core::os::clock::MonotonicClock;
use rt_core::os::thread::{Policy, RtThread, RtThreadPlan};
use rt_core::time::Duration;
use tools::exit::Failure;

pub use action::{Action, Receiver};
pub use trigger::{Event, Trigger};

use trigger::Shared;

/// How long a command may take.
const COMMAND_MAX: Duration = Duration::from_secs(60);
const LOOK: StdDuration = StdDuration::from_millis(5);

/// What shall happen, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// What is later than this.
    pub threshold: Duration,
    /// What happens then.
    pub action: Action,
    /// Whether the run goes on after it.
    pub goes_on: bool,
}

/// A threshold that is watched. Dropped, it waits for an action that is on its way.
#[derive(Debug)]
pub struct Threshold {
    shared: Arc<Shared>,
    keeper: Option<RtThread<Option<String>>>,
}

/// What came of a threshold.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Outcome {
    /// The first sample that was too late.
    pub event: Option<Event>,
    /// How many more there were.
    pub further: u64,
    /// What went wrong with the action, a sentence.
    pub caution: Option<String>,
}

impl Threshold {
    /// Opens what the action needs, and looks whether it will work. Not for a real-time thread.
    ///
    /// # Errors
    /// Usage: no such trace instance or process, or a parent that the signal would end. Missing: no
    /// tracefs, or the privilege for it or for the signal.
    pub fn arm(plan: &Plan) -> Result<Self, Failure> {
        let files = match &plan.action {
            Action::Trace { instance } => Some(tracefs::Files::open(instance.as_deref())?),
            Action::Nothing | Action::Shell(_) => None,
            Action::Signal { signal, to } => {
                to.check(*signal)?;
                None
            }
        };
        let failed =
            |error: &dyn std::fmt::Display| Failure::failed(format!("--on-threshold: {error}"), "");
        let shared = Shared::new(plan.threshold, plan.goes_on, files);
        let shared = Arc::new(shared.map_err(|error| failed(&error))?);
        let theirs = Arc::clone(&shared);
        let action = plan.action.clone();
        let thread = RtThreadPlan::new("on-threshold", Policy::Other);
        let keeper = RtThread::spawn(thread, move || keep(&theirs, &action));
        let keeper = Some(keeper.map_err(|error| failed(&error))?);
        Ok(Self { shared, keeper })
    }

    /// What a thread that measures has: [`Trigger::check`] after each sample.
    #[must_use]
    pub fn trigger(&self) -> Trigger {
        Trigger::new(Arc::clone(&self.shared))
    }

    /// Whether there was a sample that was too late. Thread: any.
    #[must_use]
    pub fn has_fired(&self) -> bool {
        self.shared.event().is_some()
    }

    /// Waits for an action that is on its way, at most a minute; what came of it all. To be
    /// called when no thread measures any more.
    #[must_use]
    pub fn finish(mut self) -> Outcome {
        let caution = self.end();
        Outcome {
            event: self.shared.event(),
            further: self.shared.further.load(Ordering::Relaxed),
            caution: self.shared.trace_failure().or(caution),
        }
    }

    fn end(&mut self) -> Option<String> {
        self.shared.ends.store(true, Ordering::Release);
        self.shared.wake.signal();
        let ended = self.keeper.take()?.join();
        ended.unwrap_or_else(|panic| Some(format!("--on-threshold: {panic}")))
    }
}

impl Drop for Threshold {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// The ordinary thread: waits for the event or the end, and acts. What went wrong.
fn keep(shared: &Shared, action: &Action) -> Option<String> {
    loop {
        let mut waits = [PollFd::new(shared.wake.as_fd(), PollFlags::POLLIN)];
        // A signal may end it early: then it looks and waits again.
        let _ = poll(&mut waits, PollTimeout::NONE);
        shared.wake.clear();
        // Before the event: who ends the run comes after its last sample.
        let ends = shared.ends.load(Ordering::Acquire);
        match shared.event() {
            Some(event) => return act(shared, action, &event),
            None if ends => return None,
            None => {}
        }
    }
}

fn act(shared: &Shared, action: &Action, event: &Event) -> Option<String> {
    match action {
        // The thread that measured has done it.
        Action::Nothing | Action::Trace { .. } => None,
        Action::Shell(text) => run(shared, text, event).err(),
        Action::Signal { signal, to } => {
            let sent = kill(to.process(), *signal);
            sent.err().map(|error| format!("--on-threshold: {signal} to {to}: {error}"))
        }
    }
}

/// Runs a command with what happened in its environment; its output goes to standard error, for
/// standard output is the result's.
fn run(shared: &Shared, text: &str, event: &Event) -> Result<(), String> {
    let told = |what: &str| format!("--on-threshold: the command `{text}` {what}");
    let mut command = Command::new("sh");
    command.arg("-c").arg(text).stdin(Stdio::null()).stdout(std::io::stderr());
    let numbers = [
        ("CPU", event.cpu as u64),
        ("LATE_NS", event.late.as_nanos()),
        ("AT_NS", event.planned.as_nanos()),
        ("THRESHOLD_NS", shared.threshold.as_nanos()),
        ("PID", std::process::id().into()),
    ];
    for (name, number) in numbers {
        command.env(format!("BUMPLESS_LATENCY_{name}"), number.to_string());
    }
    // With nothing to do between fork and exec the child borrows this process's memory (`vfork`).
    // A fork would copy it, and each thread that goes on measuring would fault at its next write.
    let mut child = command.spawn().map_err(|error| told(&format!("does not start: {error}")))?;
    let until = MonotonicClock::now() + COMMAND_MAX;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(told(&format!("ended with {status}"))),
            Ok(None) if MonotonicClock::now() < until => sleep(LOOK),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(told(&format!("took more than {COMMAND_MAX} and was ended")));
            }
            Err(error) => return Err(told(&format!("cannot be waited for: {error}"))),
        }
    }
}
