//! What happens at once when a sample is too late: once, with what happened in hand, and without an
//! allocation on the thread that measures.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/basics.rs"]
mod basics;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use basics::PATIENCE;
use latency_tests::latency::threshold::{Action, Event, Outcome, Plan, Threshold, Trigger};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::Signal;
use nix::unistd::{getppid, gettid};
use rt_core::os::clock::{MonotonicClock, sleep_until};
use rt_core::os::freeze::{TrapAllocator, freeze_this_thread, frozen_allocations};
use rt_core::os::memory;
use rt_core::os::thread::{Policy, RtThread, RtThreadPlan};
use rt_core::time::{Duration, Instant};
use tools::exit::ExitCode;
use tools::netlab::{Process, Scratch};

#[global_allocator]
static ALLOCATOR: TrapAllocator = TrapAllocator::system();

const LIMIT: Duration = Duration::from_millis(5);
const PERIOD: Duration = Duration::from_micros(500);
/// The cycle that is late on purpose, and how late it is at the least.
const LATE_CYCLE: u64 = 20;
const LATE: Duration = Duration::from_millis(12);
const CYCLES: u64 = 60;

/// What a thread that measures found.
struct Ran {
    tid: i32,
    /// Cycles until it ended.
    cycles: u64,
    /// How late those were that were later than the threshold, in their order, and when planned.
    too_late: Vec<(Duration, Instant)>,
    /// Minor and major faults while it measured.
    faults: i64,
}

/// A thread that measures as the probes do and is late on purpose, once in [`CYCLES`] at least.
fn measure(trigger: Trigger) -> Ran {
    let mut too_late = Vec::with_capacity(CYCLES.try_into().unwrap());
    let faults = || {
        let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
        usage.minor_page_faults() + usage.major_page_faults()
    };
    let frozen = freeze_this_thread();
    faults();
    let before = faults();
    let mut planned = MonotonicClock::now() + PERIOD;
    let mut cycles = 0;
    while cycles < CYCLES {
        cycles += 1;
        sleep_until(if cycles == LATE_CYCLE { planned + LATE } else { planned });
        let woken = MonotonicClock::now();
        let late = woken.since(planned);
        if late > LIMIT {
            too_late.push((late, planned));
        }
        if trigger.check(0, late, planned) {
            break;
        }
        planned = MonotonicClock::now() + PERIOD;
    }
    let faults = faults() - before;
    drop(frozen);
    Ran { tid: gettid().as_raw(), cycles, too_late, faults }
}

/// Runs a thread beside a threshold with this action.
fn run(action: &str, goes_on: bool) -> (Ran, Outcome) {
    let action: Action = action.parse().unwrap();
    let threshold = Threshold::arm(&Plan { threshold: LIMIT, action, goes_on }).unwrap();
    assert!(!threshold.has_fired());
    let trigger = threshold.trigger();
    let plan =
        RtThreadPlan { allow_degraded: true, ..RtThreadPlan::new("probe", Policy::Fifo(50)) };
    let ran = RtThread::spawn(plan, move || measure(trigger)).unwrap().join().unwrap();
    assert!(threshold.has_fired());
    assert_eq!(frozen_allocations().count, 0, "{:?}", frozen_allocations().first);
    (ran, threshold.finish())
}

/// The event is the first sample that was too late, and it ended the run or not.
fn check(ran: &Ran, outcome: &Outcome, goes_on: bool) -> Event {
    let event = outcome.event.unwrap();
    assert_eq!((event.late, event.planned), ran.too_late[0]);
    assert_eq!(event.cpu, 0);
    assert_eq!(outcome.further, ran.too_late.len() as u64 - 1);
    if goes_on {
        assert_eq!(ran.cycles, CYCLES);
    } else {
        assert_eq!(outcome.further, 0);
        assert!(ran.cycles <= LATE_CYCLE);
    }
    event
}

#[test]
fn a_command_runs_once_with_what_happened_in_its_environment() {
    for goes_on in [false, true] {
        let scratch = Scratch::new().unwrap();
        let file = scratch.path().join("said");
        let names = ["CPU", "LATE_NS", "AT_NS", "THRESHOLD_NS", "PID"];
        let words = names.map(|name| format!("$BUMPLESS_LATENCY_{name}")).join(" ");
        let (ran, outcome) = run(&format!("shell:echo {words} >> {}", file.display()), goes_on);
        assert_eq!(outcome.caution, None);
        let event = check(&ran, &outcome, goes_on);
        let [late, planned] = [event.late.as_nanos(), event.planned.as_nanos()];
        let (limit, pid) = (LIMIT.as_nanos(), std::process::id());
        // One line: it ran once, and was waited for.
        let said = fs::read_to_string(&file).unwrap();
        assert_eq!(said, format!("0 {late} {planned} {limit} {pid}\n"));
    }
}

#[test]
fn the_thread_that_measures_does_not_fault_while_the_command_runs_beside_it() {
    const TEST: &str = "the_thread_that_measures_does_not_fault_while_the_command_runs_beside_it";
    if let Err(error) = memory::lock_all() {
        println!("SKIP: {TEST}: root: {error}");
        return;
    }
    let (ran, outcome) = run("shell:true", true);
    check(&ran, &outcome, true);
    assert_eq!(ran.faults, 0);
}

#[test]
fn a_command_that_fails_is_told() {
    let (ran, outcome) = run("shell:exit 7", false);
    check(&ran, &outcome, false);
    let caution = outcome.caution.unwrap();
    assert!(caution.contains("`exit 7`") && caution.contains("7"), "{caution}");
}

#[test]
fn without_a_late_sample_nothing_runs() {
    let scratch = Scratch::new().unwrap();
    let file = scratch.path().join("said");
    let action = format!("shell:touch {}", file.display()).parse().unwrap();
    let plan = Plan { threshold: LIMIT, action, goes_on: false };
    let threshold = Threshold::arm(&plan).unwrap();
    let trigger = threshold.trigger();
    assert!(!trigger.check(0, LIMIT, MonotonicClock::now()));
    let outcome = threshold.finish();
    assert_eq!(outcome, Outcome::default());
    assert!(!file.exists());
    // Dropped without being asked, it ends as well.
    drop(Threshold::arm(&plan).unwrap());
}

#[test]
fn a_signal_reaches_the_process_that_was_named() {
    let mut receiver = Command::new("sh");
    receiver
        .args(["-c", "trap 'echo caught; exit 3' USR2; echo ready; while :; do sleep 0.01; done"]);
    let mut receiver = Process::spawn_ready("receiver", receiver, PATIENCE).unwrap();
    let (ran, outcome) = run(&format!("signal:USR2:{}", receiver.id()), false);
    check(&ran, &outcome, false);
    assert_eq!(outcome.caution, None);
    let status = receiver.wait_exit(PATIENCE).unwrap();
    assert_eq!(status.code(), Some(3));
    assert_eq!(receiver.out(), "ready\ncaught\n");
    // A receiver that is gone is told before the run.
    let gone = format!("signal:USR2:{}", receiver.id()).parse().unwrap();
    let failure =
        Threshold::arm(&Plan { threshold: LIMIT, action: gone, goes_on: false }).unwrap_err();
    assert_eq!(failure.code, ExitCode::Usage);
}

#[test]
fn a_parent_that_would_be_ended_by_the_signal_is_not_sent_it() {
    let parent = getppid();
    let status = fs::read_to_string(format!("/proc/{parent}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
    // Real-time signals have no names; of the others, one that our parent does not handle.
    let handled = |signal: Signal| (caught | ignored) & (1 << (signal as i32 - 1)) != 0;
    let fatal = [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGVTALRM];
    let Some(signal) = fatal.into_iter().find(|signal| !handled(*signal)) else {
        println!("the parent handles all of them");
        return;
    };
    let action = format!("signal:{signal}").parse().unwrap();
    let failure = Threshold::arm(&Plan { threshold: LIMIT, action, goes_on: false }).unwrap_err();
    assert_eq!(failure.code, ExitCode::Usage);
    assert!(failure.to_string().contains("does not handle"), "{failure}");
}

/// Where the kernel's trace is.
const TRACING: &str = "/sys/kernel/tracing";

/// Runs `work` on a thread that has the kernel's trace at its place; none where that cannot be had.
fn with_tracefs<T: Send>(test: &str, work: impl FnOnce() -> T + Send) -> Option<T> {
    let own = || -> nix::Result<()> {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        mount(Some("tracefs"), TRACING, Some("tracefs"), MsFlags::empty(), none)
    };
    let body = || match own() {
        Ok(()) => Some(work()),
        Err(errno) => {
            println!("SKIP: {test}: root: tracefs in a mount namespace of its own: {errno}");
            None
        }
    };
    thread::scope(|scope| scope.spawn(body).join().unwrap())
}

/// An instance of the trace, which disturbs no other; removed when dropped.
struct Instance(PathBuf);

impl Instance {
    fn new() -> Self {
        let name = format!("bumpless-threshold-{}", std::process::id());
        let folder = Path::new(TRACING).join("instances").join(name);
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn name(&self) -> &str {
        self.0.file_name().unwrap().to_str().unwrap()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn the_trace_is_marked_and_stopped_by_the_thread_that_measures() {
    const TEST: &str = "the_trace_is_marked_and_stopped_by_the_thread_that_measures";
    with_tracefs(TEST, || {
        let instance = Instance::new();
        fs::write(instance.0.join("tracing_on"), "1").unwrap();
        let (ran, outcome) = run(&format!("trace:{}", instance.name()), true);
        assert_eq!(outcome.caution, None);
        let event = check(&ran, &outcome, true);
        assert_eq!(instance.read("tracing_on").trim(), "0");
        let trace = instance.read("trace");
        let marks: Vec<&str> = trace.lines().filter(|line| !line.starts_with('#')).collect();
        // One, however many were too late; of the thread that was.
        let [mark] = marks[..] else { panic!("{trace}") };
        assert!(mark.contains(&format!("-{} ", ran.tid)), "{mark}");
        let wanted = format!(
            "bumpless-latency: CPU 0 late by {} ns, more than {} ns; planned for {} ns",
            event.late.as_nanos(),
            LIMIT.as_nanos(),
            event.planned.as_nanos()
        );
        assert!(mark.ends_with(&wanted), "{mark}");
    });
}

#[test]
fn a_trace_that_cannot_be_stopped_is_told_before_the_run() {
    let plan = |action: &str| {
        let action = action.parse().unwrap();
        Threshold::arm(&Plan { threshold: LIMIT, action, goes_on: false })
    };
    let test = "a_trace_that_cannot_be_stopped_is_told_before_the_run";
    with_tracefs(test, || {
        let failure = plan("trace:there-is-none").unwrap_err();
        assert_eq!(failure.code, ExitCode::Usage);
        assert!(failure.to_string().contains("mkdir"), "{failure}");
        // The trace itself is left as it is.
        let switch = || fs::read_to_string(Path::new(TRACING).join("tracing_on")).unwrap();
        let before = switch();
        drop(plan("trace").unwrap());
        assert_eq!(switch(), before);
        // Without it, which is how it is where nobody mounted it.
        nix::mount::umount(TRACING).unwrap();
        if !Path::new("/sys/kernel/debug/tracing").exists()
            && !Path::new(TRACING).join("tracing_on").exists()
        {
            let failure = plan("trace").unwrap_err();
            assert_eq!(failure.code, ExitCode::Missing);
            assert!(failure.to_string().contains("mount -t tracefs"), "{failure}");
        }
    });
}
