//! Real-time threads on the running kernel: what was asked for is what the kernel says, a frozen
//! thread on locked memory neither faults nor allocates, and what is refused is refused with its
//! reason.
//!
//! Limits, user ids, cgroups and locked memory belong to a process, so these scenarios run in
//! children.

#![allow(clippy::unwrap_used, reason = "tests and their helpers")]

use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, fs, process, thread};

use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Pid, Uid, geteuid, setgid, setgroups, setuid};
use rt_core::limits::{PRIORITY_HEART, PRIORITY_LRE, THREAD_STACK_OCTETS};
use rt_core::os::clock::{MonotonicClock, sleep_until};
use rt_core::os::freeze::{TrapAllocator, freeze_this_thread, frozen_allocations, is_installed};
use rt_core::os::memory;
use rt_core::os::thread::{
    KernelPolicy, Policy, PolicyCause, RtShortfall, RtThread, RtThreadError, RtThreadPlan,
    scheduling_of, thread_figures,
};
use rt_core::os::trace::shared_ring;
use rt_core::os::wake::Wake;
use rt_core::time::{Duration, Instant};
use rt_core::trace::TraceEvent;

mod support;

use support::{assert_passed, in_child, in_child_by};

#[global_allocator]
static ALLOCATOR: TrapAllocator = TrapAllocator::system();

fn is_root(test: &str) -> bool {
    let root = geteuid().is_root();
    if !root {
        println!("SKIP: {test}: root");
    }
    root
}

/// The last CPU on which this process may run.
fn last_cpu() -> usize {
    let mine = sched_getaffinity(Pid::from_raw(0)).unwrap();
    (0..CpuSet::count()).rev().find(|cpu| mine.is_set(*cpu).unwrap()).unwrap()
}

fn fifo(name: &str, priority: u8) -> RtThreadPlan {
    RtThreadPlan { cpu: Some(last_cpu()), ..RtThreadPlan::new(name, Policy::Fifo(priority)) }
}

struct Turn(u64);

impl TraceEvent for Turn {
    const KINDS: usize = 1;
    fn kind(&self) -> usize {
        0
    }
    fn encode(&self) -> [u64; 4] {
        [self.0, 0, 0, 0]
    }
    fn decode(_: usize, words: [u64; 4]) -> Option<Self> {
        Some(Self(words[0]))
    }
}

#[test]
fn the_kernel_confirms_policy_priority_cpu_and_name() {
    if !is_root("the_kernel_confirms_policy_priority_cpu_and_name") {
        return;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let thread = RtThread::spawn(fifo("heart", PRIORITY_HEART), move || {
        while !stopped.load(Ordering::Relaxed) {
            sleep_until(MonotonicClock::now() + Duration::from_millis(1));
        }
        nix::unistd::gettid().as_raw()
    })
    .unwrap();
    let report = thread.report().clone();
    assert_eq!(report.shortfalls, []);
    assert_eq!((report.found.policy, report.found.priority), (KernelPolicy::Fifo, PRIORITY_HEART));
    assert_eq!(report.found.cpus, [last_cpu()]);
    assert!(report.stack_touched_octets >= THREAD_STACK_OCTETS * 3 / 4);
    // The same from outside, while it runs, through other files than the report was read from.
    let task = format!("/proc/self/task/{}", report.tid);
    assert_eq!(fs::read_to_string(format!("{task}/comm")).unwrap().trim(), "heart");
    let stat = fs::read_to_string(format!("{task}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    assert_eq!((fields[40 - 3], fields[41 - 3]), ("70", "1"), "rt_priority and policy of {stat}");
    assert_eq!(scheduling_of(report.tid).unwrap(), report.found);
    // SIGTERM (15) is for others, SIGSEGV (11) is not put off.
    let status = fs::read_to_string(format!("{task}/status")).unwrap();
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
    let blocked = u64::from_str_radix(blocked.trim(), 16).unwrap();
    assert_eq!((blocked >> 14 & 1, blocked >> 10 & 1), (1, 0), "{blocked:x}");
    stop.store(true, Ordering::Relaxed);
    assert_eq!(thread.join().unwrap(), report.tid);
}

/// What a turn of a real-time thread does: reads the clock, works deep in its stack, records an
/// event. One wait per thousand turns, so that the CPU is left to others now and then.
#[test]
fn a_frozen_thread_neither_faults_nor_allocates() {
    const TURNS: u64 = 100_000;
    const TURNS_PER_WAIT: u64 = 1_000;
    const NAME: &str = "a_frozen_thread_neither_faults_nor_allocates";
    if !is_root(NAME) {
        return;
    }
    if let Some(output) = in_child(NAME) {
        return assert_passed(&output);
    }
    assert!(is_installed());
    #[cfg(target_env = "gnu")]
    assert!(memory::tune_allocator());
    memory::disable_huge_page_collapse().unwrap();
    let locked = memory::lock_all().unwrap();
    assert!(locked.locked_octets > 0, "{locked:?}");
    assert_eq!(locked.limit_octets, None);
    let (mut writer, mut reader) = shared_ring::<Turn, 1024>();
    let (go, done) = (Arc::new(Wake::new().unwrap()), Arc::new(AtomicBool::new(false)));
    let (went, finished) = (Arc::clone(&go), Arc::clone(&done));
    let thread = RtThread::spawn(fifo("lre", PRIORITY_LRE), move || {
        let tid = nix::unistd::gettid().as_raw();
        let mut turn = |number: u64| {
            writer.push(MonotonicClock::now(), &Turn(number));
            if number % TURNS_PER_WAIT == 1 {
                black_box(deep(20));
                sleep_until(MonotonicClock::now() + Duration::from_micros(50));
            }
        };
        // Once before the freeze, as a daemon's thread would: what is resolved at first use is.
        turn(0);
        let before = thread_figures(tid).unwrap();
        let frozen = freeze_this_thread();
        for number in 1..=TURNS {
            turn(number);
        }
        drop(frozen);
        let after = thread_figures(tid).unwrap();
        finished.store(true, Ordering::Relaxed);
        went.signal();
        (before, after)
    })
    .unwrap();
    let mut read = 0;
    while !done.load(Ordering::Relaxed) {
        while reader.pop().is_some() {
            read += 1;
        }
        thread::yield_now();
    }
    while reader.pop().is_some() {
        read += 1;
    }
    assert!(go.clear());
    let (before, after) = thread.join().unwrap();
    assert_eq!(after.minor_faults - before.minor_faults, 0);
    assert_eq!(after.major_faults - before.major_faults, 0);
    assert_eq!(frozen_allocations().count, 0, "{:?}", frozen_allocations());
    let waits = after.voluntary_switches - before.voluntary_switches;
    // At most one per wait; fewer where a deadline had passed before the call. The reading of the
    // figures comes between, and may wait once.
    assert!(waits <= TURNS / TURNS_PER_WAIT + 1, "{waits} waits");
    let counts = reader.ring().counts(0);
    assert_eq!(counts.pushed, TURNS + 1);
    assert_eq!(read + counts.dropped, counts.pushed);
}

/// Uses 4 KiB of stack per level, twice as much without optimisation.
#[inline(never)]
fn deep(levels: u32) -> u64 {
    let page = black_box([u64::from(levels); 500]);
    let below = if levels == 0 { 0 } else { deep(levels - 1) };
    below + black_box(&page)[usize::try_from(levels).unwrap()]
}

/// Memory is not locked here, so that it is the touching alone that keeps the faults away; a thread
/// of the same size whose stack was not touched shows that there would be some.
#[test]
fn a_touched_stack_faults_no_more() {
    const STACK_OCTETS: usize = 384 * 1024;
    const NAME: &str = "a_touched_stack_faults_no_more";
    // In a child: the stack of an ended thread is used again, touched as it is.
    if let Some(output) = in_child(NAME) {
        return assert_passed(&output);
    }
    let faults = || {
        let count = || thread_figures(nix::unistd::gettid().as_raw()).unwrap().minor_faults;
        // The first reading brings in what reading needs.
        count();
        let before = count();
        black_box(deep(20));
        count() - before
    };
    let untouched = thread::Builder::new().stack_size(STACK_OCTETS).spawn(faults).unwrap();
    let plan =
        RtThreadPlan { stack_octets: STACK_OCTETS, ..RtThreadPlan::new("touched", Policy::Other) };
    let touched = RtThread::spawn(plan, faults).unwrap();
    let (untouched, touched) = (untouched.join().unwrap(), touched.join().unwrap());
    assert!(untouched >= 15, "20 levels of a page each made {untouched} faults");
    // One or two are not the stack's: code and heap are not locked here either.
    assert!(touched <= 2, "{touched} faults");
}

#[test]
fn without_privilege_the_reason_is_an_error_or_a_line_in_the_report() {
    const NAME: &str = "without_privilege_the_reason_is_an_error_or_a_line_in_the_report";
    if let Some(output) = in_child(NAME) {
        return assert_passed(&output);
    }
    // Nobody, without a limit that would allow it.
    setrlimit(Resource::RLIMIT_RTPRIO, 0, 0).unwrap();
    setrlimit(Resource::RLIMIT_MEMLOCK, 64 << 10, 64 << 10).unwrap();
    drop_to_nobody();
    let mut plan = fifo("lre", PRIORITY_LRE);
    let Err(RtThreadError::Refused(reasons)) = RtThread::spawn(plan.clone(), || ()) else {
        panic!("nobody may run real-time threads?");
    };
    let cause = PolicyCause::NoPrivilege { needed: PRIORITY_LRE, limit: 0 };
    let expected = RtShortfall::Policy { thread: "lre".into(), priority: PRIORITY_LRE, cause };
    assert_eq!(reasons, [expected]);
    plan.allow_degraded = true;
    let thread = RtThread::spawn(plan, || Instant::ORIGIN < MonotonicClock::now()).unwrap();
    let report = thread.report().clone();
    assert_eq!(report.shortfalls, reasons);
    assert_eq!(report.found.policy, KernelPolicy::Other);
    assert_eq!(report.found.cpus, [last_cpu()], "pinning needs no privilege and stays");
    assert!(thread.join().unwrap(), "the body ran");
    // And the memory, for which the same account is too small.
    let error = memory::lock_all().unwrap_err();
    let memory::LockError::Limit { needed_octets, limit_octets, .. } = error else {
        panic!("{error}");
    };
    assert!(limit_octets == 64 << 10 && needed_octets > limit_octets, "{error}");
    assert_eq!(memory::locked_octets().unwrap(), 0);
}

fn drop_to_nobody() {
    if geteuid().is_root() {
        setgroups(&[]).unwrap();
        setgid(Gid::from_raw(65534)).unwrap();
        setuid(Uid::from_raw(65534)).unwrap();
    }
}

/// In a user namespace root holds every capability, and none that counts here.
#[test]
fn root_of_a_user_namespace_is_told_why_its_privilege_does_not_count() {
    const NAME: &str = "root_of_a_user_namespace_is_told_why_its_privilege_does_not_count";
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user"]);
    match unshare.arg("true").status() {
        Ok(status) if status.success() => {}
        _ => return println!("SKIP: {NAME}: user namespaces, or the program unshare"),
    }
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user"]).arg(env::current_exe().unwrap());
    if let Some(output) = in_child_by(unshare, NAME) {
        return assert_passed(&output);
    }
    setrlimit(Resource::RLIMIT_RTPRIO, 0, 0).unwrap();
    setrlimit(Resource::RLIMIT_MEMLOCK, 64 << 10, 64 << 10).unwrap();
    assert!(geteuid().is_root());
    let Err(RtThreadError::Refused(reasons)) = RtThread::spawn(fifo("lre", 60), || ()) else {
        panic!("a user namespace gives real-time threads?");
    };
    let expected = PolicyCause::UserNamespace { needed: 60, limit: 0 };
    assert!(
        matches!(reasons.as_slice(), [RtShortfall::Policy { cause, .. }] if *cause == expected),
        "{reasons:?}"
    );
    let error = memory::lock_all().unwrap_err();
    assert!(matches!(error, memory::LockError::Limit { user_namespace: true, .. }), "{error}");
}

/// A cgroup of the controller cpu (version 1) that this test made, for the present process only.
struct OwnCgroup(std::path::PathBuf);

impl OwnCgroup {
    fn enter() -> Result<Self, String> {
        let folder = format!("/sys/fs/cgroup/cpu/rt-core-test-{}", process::id()).into();
        let own = Self(folder);
        fs::create_dir(&own.0).map_err(|e| format!("{}: {e}", own.0.display()))?;
        if !own.0.join("cpu.rt_runtime_us").exists() {
            return Err("a cgroup hierarchy with cpu.rt_runtime_us".to_owned());
        }
        fs::write(own.0.join("cpu.rt_runtime_us"), "0").unwrap();
        fs::write(own.0.join("cgroup.procs"), process::id().to_string()).unwrap();
        Ok(own)
    }
}

impl Drop for OwnCgroup {
    fn drop(&mut self) {
        let _left_or_never_entered =
            fs::write("/sys/fs/cgroup/cpu/cgroup.procs", process::id().to_string());
        let _gone_or_never_made = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_cgroup_without_real_time_budget_is_named_with_its_file() {
    const NAME: &str = "a_cgroup_without_real_time_budget_is_named_with_its_file";
    if !is_root(NAME) {
        return;
    }
    if let Some(output) = in_child(NAME) {
        return assert_passed(&output);
    }
    let cgroup = match OwnCgroup::enter() {
        Ok(cgroup) => cgroup,
        Err(missing) => return println!("SKIP: {NAME}: {missing}"),
    };
    let Err(RtThreadError::Refused(reasons)) = RtThread::spawn(fifo("lre", 60), || ()) else {
        panic!("a cgroup without budget runs real-time threads?");
    };
    let [RtShortfall::Policy { cause: PolicyCause::NoGroupBudget { file, .. }, .. }] =
        reasons.as_slice()
    else {
        panic!("{reasons:?}");
    };
    assert_eq!(*file, cgroup.0.join("cpu.rt_runtime_us"));
    // The remedy that the message names is one.
    fs::write(file, "100000").unwrap();
    RtThread::spawn(fifo("lre", 60), || ()).unwrap().join().unwrap();
}
