//! Stalls that are made on purpose, 20 ms long: the wake-up probe sees each in full and counts each
//! cycle that it swallowed, where the usual way of counting, cyclictest's, shows one sample.
//!
//! A stall is made by stopping the process that measures, and by a thread of a higher priority on
//! its processor. Who makes it measures it, from an instant at which the other thread cannot run
//! any more to one at which it cannot run yet. The cycle that is stalled was planned within a
//! period of the first instant and begins after the second one, whatever else the machine does.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/basics.rs"]
mod basics;

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::process::{Child, ChildStdout, Command, Stdio};

use basics::wait_until;
use latency_tests::lab::{self, Machine};
use latency_tests::latency::probe::wakeup::Wakeup;
use latency_tests::latency::probe::{Asked, Probing as _};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use rt_core::os::clock::{self, MonotonicClock};
use rt_core::os::memory;
use rt_core::os::recorder::{STALLS_MAX, View};
use rt_core::os::thread::{Policy, RtThread, RtThreadPlan};
use rt_core::time::Duration;
use serde_json::{Value, json};

/// Set for the process that measures: on which processor.
const MEASURES: &str = "BUMPLESS_TEST_MEASURES";
const PERIOD: Duration = Duration::from_millis(1);
/// How long a stall is, at least.
const STALL: Duration = Duration::from_millis(20);
const HALF: Duration = Duration::from_nanos(STALL.as_nanos() / 2);
/// How many are made.
const STALLS: usize = 5;
/// Cycles between two of them at the least, so that they are two.
const BETWEEN: u64 = 20;
/// Of the threads that measure, and of the one that takes their processor.
const PRIORITY: u8 = 80;
const HOG_PRIORITY: u8 = 90;

/// Who makes a stall.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Maker {
    Stop,
    Hog,
}

/// Whose stalls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Measurer {
    Ours,
    Cyclictest,
}

/// The last of the processors that this process may use.
fn processor() -> usize {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
    (0..CpuSet::count()).rfind(|cpu| allowed.is_set(*cpu).unwrap_or(false)).unwrap()
}

/// Samples of a view that are at least so late.
fn later_than(view: &View, bound: Duration) -> u64 {
    let late = view.buckets().filter(|it| it.lowest_ns >= bound.as_nanos());
    late.map(|it| it.count).sum()
}

/// No test, unless this program was started to measure: until its input ends.
#[test]
fn measure() {
    let Some(cpu) = std::env::var_os(MEASURES) else { return };
    let cpu = cpu.to_str().unwrap().parse().unwrap();
    let is_root = geteuid().is_root();
    if is_root {
        memory::lock_all().unwrap();
    }
    let plan = Asked {
        cpus: vec![cpu],
        policy: if is_root { Policy::Fifo(PRIORITY) } else { Policy::Other },
        interval: PERIOD,
        distance: Duration::ZERO,
        cycles: 3_600_000,
        allow_non_rt: false,
    };
    let run = Wakeup::start(&plan).unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    run.stop();
    let measured = run.finish().unwrap().remove(0);
    let totals = &measured.recording.totals;
    let stalls: Vec<_> =
        measured.recording.stalls.iter().map(|it| (it.late_ns, it.swallowed)).collect();
    let found = json!({
        "seen": totals.seen.samples(),
        "owed": totals.owed.samples(),
        "swallowed": totals.counts.swallowed,
        "max_ns": totals.seen.max_ns,
        "seen_late": later_than(&totals.seen, HALF),
        "owed_late": later_than(&totals.owed, HALF),
        "stalls": stalls,
    });
    println!("\n{found}");
}

/// A process that measures, and its thread that does; ended in every case.
struct Measuring {
    child: Child,
    thread: u32,
}

impl Measuring {
    fn start(who: Measurer, cpu: usize) -> Self {
        let mut command = match who {
            Measurer::Ours => {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.args(["--exact", "measure", "--nocapture"]);
                command.env(MEASURES, cpu.to_string());
                command
            }
            Measurer::Cyclictest => {
                let mut command = Command::new("cyclictest");
                command.args(["-q", "-m", "-v", "-h60000", "-t1", "-d0"]);
                command.arg(format!("-a{cpu}")).arg(format!("-p{PRIORITY}"));
                command.arg(format!("-i{}", PERIOD.as_micros()));
                command
            }
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut measuring = Self { child: command.spawn().unwrap(), thread: 0 };
        let process = measuring.child.id();
        let tasks = format!("/proc/{process}/task");
        let is_it = |thread: u32| match who {
            Measurer::Ours => {
                let name = fs::read_to_string(format!("{tasks}/{thread}/comm"));
                name.is_ok_and(|name| name.starts_with("wakeup/"))
            }
            Measurer::Cyclictest => thread != process,
        };
        measuring.thread = wait_until("the thread that measures", || {
            let all = fs::read_dir(&tasks).ok()?;
            let mut all = all.filter_map(|it| it.ok()?.file_name().to_str()?.parse().ok());
            all.find(|thread| is_it(*thread))
        });
        measuring
    }

    fn task(&self, file: &str) -> String {
        let (process, thread) = (self.child.id(), self.thread);
        fs::read_to_string(format!("/proc/{process}/task/{thread}/{file}")).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits until it has slept so often: it goes through its cycles.
    fn wait_for_cycles(&self) {
        let slept = || {
            let text = self.task("status");
            let line = text.lines().find_map(|it| it.strip_prefix("voluntary_ctxt_switches:"));
            line.unwrap().trim().parse::<u64>().unwrap()
        };
        let wanted = slept() + BETWEEN;
        wait_until("its cycles", || (slept() >= wanted).then_some(()));
    }

    /// Stalls it; for how long it surely was.
    fn stall(&self, maker: Maker, cpu: usize) -> Duration {
        match maker {
            Maker::Stop => {
                self.signal(Signal::SIGSTOP);
                wait_until("it to stand", || {
                    let text = self.task("stat");
                    text.rsplit_once(") ").unwrap().1.starts_with('T').then_some(())
                });
                let from = MonotonicClock::now();
                clock::sleep_until(from + STALL);
                let stood = MonotonicClock::now().since(from);
                self.signal(Signal::SIGCONT);
                stood
            }
            Maker::Hog => {
                let plan = RtThreadPlan {
                    cpu: Some(cpu),
                    ..RtThreadPlan::new("hog", Policy::Fifo(HOG_PRIORITY))
                };
                let spin = || {
                    let from = MonotonicClock::now();
                    loop {
                        let had = MonotonicClock::now().since(from);
                        if had >= STALL {
                            return had;
                        }
                    }
                };
                RtThread::spawn(plan, spin).unwrap().join().unwrap()
            }
        }
    }

    /// Ends the run; what it said.
    fn finish(mut self, who: Measurer) -> String {
        let mut out: ChildStdout = self.child.stdout.take().unwrap();
        drop(self.child.stdin.take());
        if who == Measurer::Cyclictest {
            self.signal(Signal::SIGINT);
        }
        let mut text = String::new();
        out.read_to_string(&mut text).unwrap();
        // Whatever it found.
        assert!(self.child.wait().unwrap().success());
        text
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes stalls of one kind; how long they were, the longest first, and what the process said.
fn stalled(who: Measurer, maker: Maker, cpu: usize) -> (Vec<u64>, String) {
    let measuring = Measuring::start(who, cpu);
    let mut made = Vec::new();
    for _ in 0..STALLS {
        measuring.wait_for_cycles();
        made.push(measuring.stall(maker, cpu).as_nanos());
    }
    measuring.wait_for_cycles();
    made.sort_by_key(|ns| Reverse(*ns));
    (made, measuring.finish(who))
}

/// Each stall that was made is among the latest: the one in a place is as long as the one made, but
/// for a period in which nothing was planned. What the machine adds makes the list later, only.
fn check_in_full(late_ns: &[u64], made: &[u64]) {
    assert!(late_ns.len() >= made.len(), "{late_ns:?}");
    for (late, made) in late_ns.iter().zip(made) {
        assert!(late + PERIOD.as_nanos() >= *made, "{late_ns:?} of {made} ns");
    }
}

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// What our probe finds of stalls; a line of the table.
fn ours(maker: Maker, cpu: usize) -> String {
    let (made, said) = stalled(Measurer::Ours, maker, cpu);
    let line = said.lines().find(|line| line.starts_with('{')).unwrap();
    let found: Value = serde_json::from_str(line).unwrap();
    let number = |key: &str| found[key].as_u64().unwrap();
    let stalls: Vec<(u64, u64)> = serde_json::from_value(found["stalls"].clone()).unwrap();
    let late_ns: Vec<u64> = stalls.iter().map(|(late_ns, _)| *late_ns).collect();
    check_in_full(&late_ns, &made);
    let period_ns = PERIOD.as_nanos();
    for (late_ns, swallowed) in &stalls {
        // Those planned after it, and not after it woke.
        assert!((late_ns.max(&1) - 1) / period_ns == *swallowed, "{late_ns} ns: {swallowed}");
    }
    assert_eq!(number("owed"), number("seen") + number("swallowed"), "{found}");
    // One sample for each that was so late; and one for each cycle that was.
    let late: Vec<u64> = late_ns.iter().copied().filter(|ns| *ns >= HALF.as_nanos()).collect();
    let (seen_late, owed_late) = (number("seen_late"), number("owed_late"));
    let owed = |ns: &u64| (ns - HALF.as_nanos()) / period_ns + 1;
    if late.len() < STALLS_MAX {
        // A histogram knows its samples to a thousandth: one of a stall may be on either side.
        let expected: u64 = late.iter().map(owed).sum();
        assert!(seen_late.abs_diff(late.len() as u64) <= 1, "{found}");
        assert!(owed_late.abs_diff(expected) <= seen_late, "{owed_late}, {expected}: {found}");
    }
    row(maker, "bumpless", &made, seen_late, Some((number("swallowed"), owed_late)), late_ns[0])
}

/// The same of cyclictest, which has one sample for each.
fn theirs(maker: Maker, cpu: usize) -> String {
    let (made, said) = stalled(Measurer::Cyclictest, maker, cpu);
    // `thread: cycle: µs` of each sample, with -v; `µs count` of each row, with -h.
    let sample = |line: &str| {
        let mut words = line.split(':').map(|word| word.trim().parse::<u64>().ok());
        let [Some(_), Some(_), Some(us), None] = [(); 4].map(|()| words.next().flatten()) else {
            return None;
        };
        Some(us * 1_000)
    };
    let samples: Vec<u64> = said.lines().filter_map(sample).collect();
    let mut late_ns = samples.clone();
    late_ns.sort_by_key(|ns| Reverse(*ns));
    // Its microseconds are whole ones.
    let made_us: Vec<u64> = made.iter().map(|ns| ns / 1_000 * 1_000).collect();
    check_in_full(&late_ns, &made_us);
    // One sample each: what follows is not the next of the cycles that it swallowed.
    let period_ns = PERIOD.as_nanos();
    for pair in samples.windows(2).filter(|pair| pair[0] >= late_ns[STALLS - 1]) {
        let next_one = pair[0] - period_ns;
        assert!(pair[1].abs_diff(next_one) > period_ns / 10, "{pair:?}");
    }
    let row_late = |line: &str| {
        let (us, count) = line.split_once(char::is_whitespace)?;
        let (us, count) = (us.parse::<u64>().ok()?, count.trim().parse::<u64>().ok()?);
        (us * 1_000 >= HALF.as_nanos()).then_some(count)
    };
    let histogram = said.split_once("# Histogram\n").unwrap().1;
    let in_rows: u64 = histogram.lines().filter_map(row_late).sum();
    let beyond = histogram.lines().find_map(|line| line.strip_prefix("# Histogram Overflows:"));
    let in_rows = in_rows + beyond.unwrap().trim().parse::<u64>().unwrap();
    // The last samples of a run that is ended are in the histogram only.
    let late = late_ns.iter().filter(|ns| **ns >= HALF.as_nanos()).count() as u64;
    assert!(in_rows >= late, "{in_rows} in the histogram, {late} told");
    row(maker, "cyclictest", &made, in_rows, None, late_ns[0])
}

/// A line of the table.
fn row(
    maker: Maker,
    who: &str,
    made: &[u64],
    seen_late: u64,
    owed: Option<(u64, u64)>,
    max_ns: u64,
) -> String {
    let (longest, shortest) = (ms(made[0]), ms(made[made.len() - 1]));
    let how = if maker == Maker::Stop { "SIGSTOP" } else { "FIFO hog" };
    let owed = owed.map_or_else(
        || format!("{:>9}  {:>10}", "-", "-"),
        |(swallowed, late)| format!("{swallowed:9}  {late:10}"),
    );
    let max = ms(max_ns);
    format!("{how:8}  {who:10}  {shortest:8.2}  {longest:8.2}  {seen_late:10}  {owed}  {max:8.2}")
}

/// Both measurers beside both kinds of stalls, as far as this machine has them.
fn table(test: &str) -> String {
    let cpu = processor();
    let is_root = geteuid().is_root();
    let has_cyclictest = Command::new("cyclictest").arg("--help").output().is_ok();
    let mut text = format!(
        "{STALLS} stalls of {STALL} on purpose, period {PERIOD}, CPU {cpu}; late: by {HALF} and \
         more\n\n{:8}  {:10}  {:>8}  {:>8}  {:>10}  {:>9}  {:>10}  {:>8}\n",
        "by", "measurer", "shortest", "longest", "late, seen", "swallowed", "late, owed", "max ms"
    );
    for maker in [Maker::Stop, Maker::Hog] {
        if maker == Maker::Hog && !is_root {
            println!("SKIP: {test}: root: the part with a thread of higher priority");
            continue;
        }
        writeln!(text, "{}", ours(maker, cpu)).unwrap();
        if !is_root || !has_cyclictest {
            println!("SKIP: {test}: root, program: the part with cyclictest (package rt-tests)");
            continue;
        }
        writeln!(text, "{}", theirs(maker, cpu)).unwrap();
    }
    println!("{text}");
    text
}

#[test]
fn a_stall_is_seen_in_full_with_each_cycle_that_it_swallowed() {
    table("a_stall_is_seen_in_full_with_each_cycle_that_it_swallowed");
}

#[test]
fn a_stall_is_seen_in_full_on_preempt_rt() {
    let test = "a_stall_is_seen_in_full_on_preempt_rt";
    let Some(inside) = lab::enter(test, &Machine::default()) else { return };
    assert!(inside.kernel_version().unwrap().contains("PREEMPT_RT"));
    fs::write(inside.results().join("stalls.txt"), table(test)).unwrap();
}
