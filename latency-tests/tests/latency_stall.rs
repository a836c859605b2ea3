//! The wake-up probe beside a stall that is made on purpose: it is seen in full, and each cycle
//! that it swallowed is counted, where the usual way of counting shows one sample.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration as StdDuration;

use latency_tests::latency::probe::wakeup::{Plan, Wakeup};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rt_core::os::clock::{self, MonotonicClock};
use rt_core::os::recorder::View;
use rt_core::os::thread::Policy;
use rt_core::time::Duration;
use serde_json::{Value, json};

/// Set for the process that measures.
const MEASURES: &str = "BUMPLESS_TEST_MEASURES";
const PERIOD: Duration = Duration::from_millis(1);
const CYCLES: u64 = 1_000;
/// How long it is stopped, at least; noise of a busy machine is rarely half as long.
const STOPPED: Duration = Duration::from_millis(100);
const HALF: Duration = Duration::from_nanos(STOPPED.as_nanos() / 2);

/// Samples of a view that are at least so late.
fn later_than(view: &View, bound: Duration) -> u64 {
    let late = view.buckets().filter(|it| it.lowest_ns >= bound.as_nanos());
    late.map(|it| it.count).sum()
}

/// No test, unless this program was started to measure.
#[test]
fn measure() {
    if std::env::var_os(MEASURES).is_none() {
        return;
    }
    let say = |line: &str| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n{line}").and_then(|()| out.flush()).unwrap();
    };
    let plan = Plan {
        cpus: vec![0],
        policy: Policy::Other,
        period: PERIOD,
        distance: Duration::ZERO,
        cycles: CYCLES,
        allow_degraded: false,
    };
    let run = Wakeup::start(&plan).unwrap();
    while run.progress().over < 100 {
        std::thread::sleep(StdDuration::from_millis(1));
    }
    say("goes on");
    let measured = run.finish().unwrap().remove(0);
    let totals = &measured.recording.totals;
    let stalls = &measured.recording.stalls;
    let stalls_late = stalls.iter().filter(|it| it.late_ns >= HALF.as_nanos()).count();
    say(&json!({
        "seen": totals.seen.samples(),
        "owed": totals.owed.samples(),
        "swallowed": totals.counts.swallowed,
        "seen_late": later_than(&totals.seen, HALF),
        "owed_late": later_than(&totals.owed, HALF),
        "stall_late_ns": stalls[0].late_ns,
        "stall_swallowed": stalls[0].swallowed,
        "stalls_late": stalls_late,
    })
    .to_string());
}

/// A process that measures; ended in every case.
struct Measuring(Child);

impl Measuring {
    fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "measure", "--nocapture"]).env(MEASURES, "1");
        Self(command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), signal).unwrap();
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_stall_is_seen_in_full_with_each_cycle_that_it_swallowed() {
    let mut process = Measuring::start();
    let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
    lines.by_ref().map(Result::unwrap).find(|line| line == "goes on").unwrap();
    process.signal(Signal::SIGSTOP);
    let stopped_at = MonotonicClock::now();
    clock::sleep_until(stopped_at + STOPPED);
    let stopped = MonotonicClock::now().since(stopped_at);
    process.signal(Signal::SIGCONT);
    let line = lines.map(Result::unwrap).find(|line| line.starts_with('{')).unwrap();
    let found: Value = serde_json::from_str(&line).unwrap();
    let number = |key: &str| found[key].as_u64().unwrap();
    assert_eq!(number("seen") + number("swallowed"), CYCLES, "{found}");
    assert_eq!(number("owed"), CYCLES);
    // It may have been stopped a little after the signal was sent, and was asleep for a part of a
    // period.
    let (late_ns, period_ns) = (number("stall_late_ns"), PERIOD.as_nanos());
    assert!(late_ns + stopped.as_nanos() / 2 >= stopped.as_nanos(), "{late_ns} of {stopped}");
    // Those planned after it and not after it woke; at the run's end there may be fewer left.
    let swallowed = number("stall_swallowed");
    assert!((late_ns - 1) / period_ns == swallowed || late_ns / period_ns == swallowed, "{found}");
    // The usual way of counting has one sample for each such stall; what was owed has one for each
    // cycle that was late by so much.
    assert_eq!(number("seen_late"), number("stalls_late"), "{found}");
    assert!(number("owed_late") >= (late_ns - HALF.as_nanos()) / period_ns, "{found}");
}
