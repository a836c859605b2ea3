//! The `lre` thread on a PREEMPT_RT kernel, under load: bulk traffic on both LANs and from the
//! host, and busy neighbours on every processor.
//!
//! It must not allocate or fault. How late it runs after a wake-up is recorded beside what
//! `cyclictest` has at the same priority on the same processor: first the daemon alone, then both
//! at once (each may then wait for the other's turn: equals do not preempt each other). Machines of
//! the lab are emulated: the figures say nothing of a real one. The `lre` thread is mostly woken by
//! the other processor, and so waits until the host lets its own processor run; a timer's wake-up
//! begins on the processor itself. Cyclictest's own account has that wait in it and is the one to
//! compare with.
#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

#[path = "support/basics.rs"]
mod basics;
mod rt_load;

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use basics::{soak, wait_until};
use latency_tests::bench::cpus::Cpus;
use latency_tests::bench::rig::{HostPort, Rig};
use latency_tests::lab::{self, Inside, Machine};
use latency_tests::tracefs::wake::{Lateness, given_up};
use latency_tests::tracefs::{Clock, Record, Tracer};
use rt_load::{daemon, lre, put_to_the_test, start};
use tools::netlab::Process;

/// Wake-ups that a figure is made of at the least.
const WAKE_UPS_MIN: u64 = 100;

fn frames_wanted() -> u64 {
    if soak() { 300_000 } else { 30_000 }
}

/// Programs that want every processor, two on each.
fn neighbours(cpus: usize) -> Vec<Process> {
    let spin = |n: usize| {
        let mut command = Command::new("taskset");
        command.args(["-c", &(n % cpus).to_string(), "sh", "-c", "while :; do :; done"]);
        Process::spawn(format!("neighbour {n}"), command).unwrap()
    };
    (0..2 * cpus).map(spin).collect()
}

/// A record of the wake-ups of these threads.
fn tracer(tids: &[u32]) -> Tracer {
    let any = |key: &str| {
        tids.iter().map(|tid| format!("{key} == {tid}")).collect::<Vec<_>>().join(" || ")
    };
    let tracer = Tracer::create(Clock::Monotonic).unwrap();
    tracer.record("sched/sched_waking", &any("pid")).unwrap();
    let switch = format!("{} || {}", any("prev_pid"), any("next_pid"));
    tracer.record("sched/sched_switch", &switch).unwrap();
    tracer.start().unwrap();
    tracer
}

/// `cyclictest` at the daemon's priority on its processor, and the thread that it measures.
fn cyclictest(cpu: usize) -> (Process, u32) {
    let mut command = Command::new("cyclictest");
    let cpu = cpu.to_string();
    command.args(["-q", "-t", "1", "-p", "60", "-i", "1000", "-a", &cpu]);
    let process = Process::spawn("cyclictest", command).unwrap();
    let tasks = format!("/proc/{}/task", process.id());
    let tid = wait_until("cyclictest's thread", || {
        let tasks = fs::read_dir(&tasks).ok()?;
        let tids = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok());
        tids.into_iter().find(|tid| *tid != process.id())
    });
    (process, tid)
}

fn row(text: &mut String, what: &str, record: &Record, tid: u32) {
    assert_eq!(record.lost, 0, "events of {what}");
    let lateness = Lateness::of(&record.text, tid);
    assert!(lateness.count() >= WAKE_UPS_MIN, "{what}: {} wake-ups", lateness.count());
    let [middle, p99, p999, longest] =
        [0.5, 0.99, 0.999, 1.0].map(|share| lateness.at_share_ns(share) / 1_000);
    let count = lateness.count();
    let _ = writeln!(text, "{count:9}  {middle:6}  {p99:6}  {p999:6}  {longest:6}  {what}");
}

/// Loads the daemon; what these threads did meanwhile.
fn load(rig: &Rig, lre_tid: u32, tids: &[u32]) -> Record {
    let waits = || lre(&rig.status().unwrap()).waits.unwrap();
    let before = waits();
    let tracer = tracer(tids);
    put_to_the_test(rig, frames_wanted(), |_, _| {});
    let record = tracer.stop().unwrap();
    check_waits(&record, lre_tid, waits() - before);
    record
}

/// The thread waits nowhere but in its one wait. (The kernel counts as given up of one's own accord
/// also what its own locks took, which sleep on PREEMPT_RT; the state tells them apart.)
fn check_waits(record: &Record, tid: u32, waits: u64) {
    let states = given_up(&record.text, tid);
    let slept = states.get(&'S').copied().unwrap_or(0);
    println!("gave up its processor, by state: {states:?}; waits: {waits}");
    assert!(slept > 0 && slept <= waits + 1, "{states:?}, {waits} waits");
    let known = states.keys().all(|state| "SDR".contains(*state));
    assert!(known, "{states:?}");
}

#[test]
fn under_load_the_lre_thread_does_nothing_that_takes_unbounded_time() {
    let test = "under_load_the_lre_thread_does_nothing_that_takes_unbounded_time";
    let Some(inside) = lab::enter(test, &Machine::default()) else { return };
    assert!(inside.kernel_version().unwrap().contains("PREEMPT_RT"));
    put_under_load(&inside, test);
}

fn put_under_load(inside: &Inside, test: &str) {
    let cpus = Cpus::here();
    let cpu = cpus.lre().unwrap();
    let rig = start(&daemon(test).unwrap(), HostPort::Tap, "block", Some(cpu));
    let status = rig.status().unwrap();
    let thread = lre(&status);
    let seen = (thread.policy.as_str(), thread.priority, thread.cpu);
    assert_eq!(seen, ("SCHED_FIFO", 60, Some(u32::try_from(cpu).unwrap())));
    let tid = thread.tid;
    let _neighbours = neighbours(cpus.count());

    let alone = load(&rig, tid, &[tid]);
    let (cyclictest, cyclic_tid) = cyclictest(cpu);
    let both = load(&rig, tid, &[tid, cyclic_tid]);
    let said = cyclictest.stop().unwrap().out;

    let mut text = format!(
        "from wake-up to running, µs, in an emulated machine of {} processors, Linux {}\n\
         {} busy neighbours, bulk traffic on both LANs and from the host\n\n \
         wake-ups  middle     99%   99.9%  longest  thread, both SCHED_FIFO 60 on CPU {cpu}\n",
        cpus.count(),
        inside.kernel_release().unwrap(),
        2 * cpus.count(),
    );
    row(&mut text, "lre, alone on its CPU but for the neighbours", &alone, tid);
    row(&mut text, "lre, with cyclictest beside it", &both, tid);
    row(&mut text, "cyclictest, with lre beside it", &both, cyclic_tid);
    let _ = writeln!(text, "\ncyclictest's own account (µs, its timer's lateness included):");
    text.push_str(&said);
    println!("{text}");
    fs::write(inside.results().join("wake-ups.txt"), &text).unwrap();
}
