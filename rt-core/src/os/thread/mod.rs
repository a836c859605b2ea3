//! Threads that run as planned, or say why not.
//!
//! A plan names a policy, a CPU and a stack. The thread sets itself up in this order: CPU (so that
//! its pages come from the memory next to it), stack touched, policy last (what a real-time thread
//! starts or faults in would be real-time, too). Then it asks the kernel how it is scheduled, and
//! only what the kernel says goes into the [`ThreadReport`], beside what was asked. The body runs
//! afterwards.
//!
//! Signals that are sent to the process are blocked on these threads: a handler has no business on
//! a real-time path, and there is always another thread (the main one) to take them. Signals that a
//! defect of the thread itself raises are not.
//!
//! The caller's way to stop a thread is the caller's: a flag, a [`Wake`](crate::os::wake::Wake).

mod figures;
mod scheduling;
mod shortfall;
mod stack;

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};

use nix::sys::signal::{SigSet, Signal};
use nix::unistd::gettid;

pub use figures::{FiguresError, ThreadFigures, thread_figures, thread_figures_of};
pub use scheduling::{KernelPolicy, Policy, Scheduling, scheduling_of};
pub use shortfall::{CpuCause, PolicyCause, RtShortfall};

use crate::limits::{
    CPU_INDEX_MAX, PRIORITY_MAX, PRIORITY_MIN, THREAD_NAME_OCTETS_MAX, THREAD_STACK_OCTETS,
    THREAD_STACK_OCTETS_MAX, THREAD_STACK_OCTETS_MIN,
};

/// What a thread is to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RtThreadPlan {
    /// Its name, 1 to 15 octets, no zero: what `ps` and `top` show.
    pub name: String,
    /// Its policy.
    pub policy: Policy,
    /// The CPU to which it is pinned; none: where its creator may run.
    pub cpu: Option<usize>,
    /// Its stack, all of it touched before the body runs.
    pub stack_octets: usize,
    /// Whether the thread runs, and reports what it lacks, where the kernel grants less.
    pub allow_degraded: bool,
}

impl RtThreadPlan {
    /// A plan with the usual stack, no CPU, and nothing less than what it asks for.
    #[must_use]
    pub fn new(name: &str, policy: Policy) -> Self {
        Self {
            name: name.to_owned(),
            policy,
            cpu: None,
            stack_octets: THREAD_STACK_OCTETS,
            allow_degraded: false,
        }
    }

    /// Whether the plan could be carried out on some machine.
    ///
    /// # Errors
    /// The first value out of its bounds.
    pub fn check(&self) -> Result<(), PlanDefect> {
        if !(1..=THREAD_NAME_OCTETS_MAX).contains(&self.name.len()) || self.name.contains('\0') {
            return Err(PlanDefect::Name(self.name.clone()));
        }
        if let Policy::Fifo(priority) = self.policy
            && !(PRIORITY_MIN..=PRIORITY_MAX).contains(&priority)
        {
            return Err(PlanDefect::Priority(self.name.clone(), priority));
        }
        if let Some(cpu) = self.cpu
            && cpu > CPU_INDEX_MAX
        {
            return Err(PlanDefect::Cpu(self.name.clone(), cpu));
        }
        if !(THREAD_STACK_OCTETS_MIN..=THREAD_STACK_OCTETS_MAX).contains(&self.stack_octets) {
            return Err(PlanDefect::Stack(self.name.clone(), self.stack_octets));
        }
        Ok(())
    }
}

impl fmt::Display for RtThreadPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.policy)?;
        self.cpu.map_or(Ok(()), |cpu| write!(f, " on CPU {cpu}"))
    }
}

/// A plan that no machine can carry out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlanDefect {
    /// Empty, too long, or with a zero octet in it.
    #[error("thread name {0:?} is not 1 to {THREAD_NAME_OCTETS_MAX} octets without a zero")]
    Name(String),
    /// Not a priority for us.
    #[error(
        "thread {0}: priority {1} is not in {PRIORITY_MIN} to {PRIORITY_MAX} (99 is the kernel's)"
    )]
    Priority(String, u8),
    /// Not a CPU number.
    #[error("thread {0}: CPU {1} is beyond {CPU_INDEX_MAX}")]
    Cpu(String, usize),
    /// Too small or too large.
    #[error(
        "thread {0}: a stack of {1} octets is not in {THREAD_STACK_OCTETS_MIN} to \
         {THREAD_STACK_OCTETS_MAX}"
    )]
    Stack(String, usize),
}

/// Why a thread was not started.
#[derive(Debug, thiserror::Error)]
pub enum RtThreadError {
    /// The plan is at fault.
    #[error(transparent)]
    Plan(#[from] PlanDefect),
    /// The system started no thread.
    #[error(
        "thread {name}: it cannot be started: {source} (EAGAIN: limits on threads or locked \
             memory, `ulimit -u`, `ulimit -l`, TasksMax= of the unit)"
    )]
    Create {
        /// Its name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel grants less than the plan asks for, and the plan takes nothing less.
    #[error("{}", shortfall::Sentences(.0))]
    Refused(Vec<RtShortfall>),
    /// The thread ended before it could report; a defect of this module.
    #[error("thread {0}: it ended before it reported")]
    Vanished(String),
}

/// A thread as the kernel sees it, beside what was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ThreadReport {
    /// What was asked for.
    pub asked: RtThreadPlan,
    /// The kernel's number for the thread.
    pub tid: i32,
    /// What the kernel says: policy, priority, CPUs.
    pub found: Scheduling,
    /// Octets of its stack that were touched.
    pub stack_touched_octets: usize,
    /// What was asked for and not granted; empty when all was.
    pub shortfalls: Vec<RtShortfall>,
}

impl fmt::Display for ThreadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, tid, found, stack_touched_octets, shortfalls } = self;
        write!(f, "{} (tid {tid}): {found}", asked.name)?;
        if !shortfalls.is_empty() {
            write!(f, ", degraded, asked for {asked}")?;
        }
        write!(f, ", stack {} KiB touched", stack_touched_octets / 1024)
    }
}

/// A running thread of ours. Dropping it lets the thread run on by itself; [`RtThread::join`]
/// waits.
#[derive(Debug)]
pub struct RtThread<T = ()> {
    report: ThreadReport,
    /// The body's value, and how the kernel scheduled the thread when the body was over.
    handle: JoinHandle<Option<(T, Option<Scheduling>)>>,
}

impl<T: Send + 'static> RtThread<T> {
    /// Starts a thread as planned and returns when it is set up and about to run `body`.
    ///
    /// Where the kernel grants less than asked, the body runs only if the plan allows it; the
    /// report then holds the reasons. Not for a real-time thread: allocates and waits.
    ///
    /// # Errors
    /// See [`RtThreadError`]; in each case no thread is left and `body` has not run.
    pub fn spawn<F>(plan: RtThreadPlan, body: F) -> Result<Self, RtThreadError>
    where
        F: FnOnce() -> T + Send + 'static,
    {
        plan.check()?;
        let name = plan.name.clone();
        let (sender, receiver) = mpsc::sync_channel(1);
        let handle = Builder::new()
            .name(name.clone())
            .stack_size(plan.stack_octets)
            .spawn(move || {
                let report = set_up(plan);
                let runs = report.shortfalls.is_empty() || report.asked.allow_degraded;
                // The receiver waits for exactly this one report. If it is gone, its thread died,
                // and there is nobody left to run for.
                let heard = sender.send(report).is_ok();
                drop(sender);
                (runs && heard).then(|| {
                    let value = body();
                    (value, scheduling_of(gettid().as_raw()).ok())
                })
            })
            .map_err(|source| RtThreadError::Create { name: name.clone(), source })?;
        match receiver.recv() {
            Ok(report) if report.shortfalls.is_empty() || report.asked.allow_degraded => {
                Ok(Self { report, handle })
            }
            Ok(report) => {
                // It ends by itself now, without having run the body; its value is none.
                let _none = handle.join();
                Err(RtThreadError::Refused(report.shortfalls))
            }
            Err(mpsc::RecvError) => Err(RtThreadError::Vanished(name)),
        }
    }

    /// What the thread is, as found when it started.
    #[must_use]
    pub fn report(&self) -> &ThreadReport {
        &self.report
    }

    /// Whether the body has returned or panicked.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Waits for the body's end and returns its value.
    ///
    /// # Errors
    /// The body panicked (in a release build a panic ends the process before).
    pub fn join(self) -> Result<T, RtThreadPanic> {
        self.join_with_report().map(|(value, _)| value)
    }

    /// The same, with what the thread was, to its end: where the kernel scheduled it otherwise then
    /// than at its start, that is one more shortfall (somebody changed its policy or its CPUs, or
    /// its CPU went offline). What was changed and changed back meanwhile is not seen.
    ///
    /// # Errors
    /// As [`RtThread::join`].
    pub fn join_with_report(self) -> Result<(T, ThreadReport), RtThreadPanic> {
        let Self { mut report, handle } = self;
        let name = report.asked.name.clone();
        match handle.join() {
            Ok(Some((value, at_end))) => {
                if let Some(found) = at_end.filter(|at_end| *at_end != report.found) {
                    let (thread, asked) = (name, report.asked.to_string());
                    report.shortfalls.push(RtShortfall::NotKept { thread, asked, found });
                }
                Ok((value, report))
            }
            Ok(None) => Err(RtThreadPanic { name, message: "the body did not run".to_owned() }),
            Err(payload) => {
                let message = panic_message(payload.as_ref());
                Err(RtThreadPanic { name, message })
            }
        }
    }
}

/// A thread's body panicked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("thread {name} panicked: {message}")]
pub struct RtThreadPanic {
    /// The thread's name.
    pub name: String,
    /// What the panic said.
    pub message: String,
}

/// Makes the calling thread what the plan says, as far as the kernel allows.
fn set_up(asked: RtThreadPlan) -> ThreadReport {
    let thread = || asked.name.clone();
    let mut shortfalls = Vec::new();
    block_signals();
    if let Some(cpu) = asked.cpu
        && let Err(errno) = scheduling::pin_to(cpu)
    {
        let cause = shortfall::cpu_cause(errno, cpu);
        shortfalls.push(RtShortfall::Cpu { thread: thread(), cpu, cause });
    }
    let stack_touched_octets = stack::prefault().unwrap_or_else(|error| {
        let errno = error.raw_os_error().unwrap_or(0);
        shortfalls.push(RtShortfall::Stack { thread: thread(), errno });
        0
    });
    if let Err(errno) = scheduling::set_policy(asked.policy)
        && let Policy::Fifo(priority) = asked.policy
    {
        let cause = shortfall::policy_cause(errno, priority);
        shortfalls.push(RtShortfall::Policy { thread: thread(), priority, cause });
    }
    let tid = gettid().as_raw();
    let found = scheduling_of(tid).unwrap_or(Scheduling {
        policy: KernelPolicy::Unknown(-1),
        priority: 0,
        cpus: Vec::new(),
    });
    let as_asked = found.has_policy(asked.policy)
        && asked.cpu.is_none_or(|cpu| found.cpus.as_slice() == [cpu]);
    if shortfalls.is_empty() && !as_asked {
        let asked = asked.to_string();
        shortfalls.push(RtShortfall::NotKept { thread: thread(), asked, found: found.clone() });
    }
    ThreadReport { asked, tid, found, stack_touched_octets, shortfalls }
}

fn block_signals() {
    let mut signals = SigSet::all();
    for own_fault in [
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGILL,
        Signal::SIGFPE,
        Signal::SIGTRAP,
        Signal::SIGABRT,
    ] {
        signals.remove(own_fault);
    }
    // Fails only for a way of setting that does not exist.
    let _always_done = signals.thread_block();
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without words".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_thread_runs_and_returns_its_value() {
        let plan = RtThreadPlan::new("ordinary", Policy::Other);
        let thread =
            RtThread::spawn(plan, || std::thread::current().name().map(str::to_owned)).unwrap();
        let report = thread.report().clone();
        assert_eq!(report.found.policy, KernelPolicy::Other);
        assert_eq!(report.shortfalls, []);
        assert!(report.stack_touched_octets > THREAD_STACK_OCTETS / 2);
        assert!(report.to_string().starts_with("ordinary (tid "), "{report}");
        assert_eq!(thread.join().unwrap().as_deref(), Some("ordinary"));
    }

    #[test]
    fn a_thread_that_is_moved_while_it_runs_says_so_at_its_end() {
        let mut plan = RtThreadPlan::new("moved", Policy::Other);
        plan.cpu = Some(0);
        let still = RtThread::spawn(plan.clone(), || ()).unwrap().join_with_report().unwrap().1;
        assert_eq!(still.shortfalls, []);
        if still.found.cpus != [0] {
            eprintln!("SKIP: a thread that is moved: CPU 0 cannot be had");
            return;
        }
        let moved = RtThread::spawn(plan, || scheduling::pin_to(1)).unwrap();
        let (outcome, report) = moved.join_with_report().unwrap();
        if outcome.is_err() {
            eprintln!("SKIP: a thread that is moved: there is no CPU 1");
            return;
        }
        assert_eq!(report.found.cpus, [0]);
        let said: Vec<_> = report.shortfalls.iter().map(ToString::to_string).collect();
        assert!(
            matches!(&*said, [only] if only.contains("reports SCHED_OTHER on CPU 1")),
            "{said:?}"
        );
    }

    #[test]
    fn a_panic_in_the_body_is_reported() {
        let plan = RtThreadPlan::new("panics", Policy::Other);
        let thread: RtThread = RtThread::spawn(plan, || panic!("on purpose")).unwrap();
        let panic = thread.join().unwrap_err();
        assert_eq!(panic.to_string(), "thread panics panicked: on purpose");
    }

    #[test]
    fn a_cpu_that_does_not_exist_is_an_error_or_a_reason() {
        let mut plan = RtThreadPlan::new("nowhere", Policy::Other);
        plan.cpu = Some(CPU_INDEX_MAX);
        let Err(RtThreadError::Refused(reasons)) = RtThread::spawn(plan.clone(), || ()) else {
            panic!("a machine with {CPU_INDEX_MAX} CPUs?");
        };
        assert!(
            matches!(
                reasons.as_slice(),
                [RtShortfall::Cpu { cause: CpuCause::NotOnline { .. }, .. }]
            ),
            "{reasons:?}"
        );
        plan.allow_degraded = true;
        let thread = RtThread::spawn(plan, || 7).unwrap();
        assert_eq!(thread.report().shortfalls, reasons);
        assert!(thread.report().to_string().contains("degraded"));
        assert_eq!(thread.join().unwrap(), 7);
    }

    #[test]
    fn plans_out_of_bounds_are_refused_by_name() {
        let good = RtThreadPlan::new("lre", Policy::Fifo(60));
        assert_eq!(good.check(), Ok(()));
        for name in ["", "sixteen-octets-x", "a\0b"] {
            let plan = RtThreadPlan { name: name.to_owned(), ..good.clone() };
            assert_eq!(plan.check(), Err(PlanDefect::Name(name.to_owned())));
        }
        for priority in [0, PRIORITY_MAX + 1] {
            let plan = RtThreadPlan { policy: Policy::Fifo(priority), ..good.clone() };
            assert!(matches!(plan.check(), Err(PlanDefect::Priority(..))));
        }
        for stack_octets in [0, usize::MAX] {
            let plan = RtThreadPlan { stack_octets, ..good.clone() };
            let error = RtThread::spawn(plan, || ()).unwrap_err();
            assert!(matches!(error, RtThreadError::Plan(PlanDefect::Stack(..))));
        }
        let plan = RtThreadPlan { cpu: Some(CPU_INDEX_MAX + 1), ..good };
        assert!(matches!(plan.check(), Err(PlanDefect::Cpu(..))));
    }
}
