//! The wake-up probe and cyclictest, with the same options, in turn on the same processor: they
//! find the same, on this machine and on a PREEMPT_RT kernel.
//!
//! `BUMPLESS_SOAK=1` takes 40 pairs of 2,000 cycles, and asks that the 95 % interval of the ratio
//! of medians lies within 10 % of 1. A machine of the lab is emulated: the lateness it has is the
//! emulator's, and the ratio is all that means anything.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};

use latency_tests::lab::{self, Machine};
use latency_tests::latency::out::histogram_text;
use latency_tests::latency::probe::Asked;
use latency_tests::latency::probe::wakeup::Wakeup;
use latency_tests::latency::report::{Measure, Series};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::{Pid, geteuid};
use rt_core::os::dma_latency::DmaLatency;
use rt_core::os::memory;
use rt_core::os::recorder::{Plan as Recorded, Recorder};
use rt_core::os::thread::Policy;
use rt_core::time::{Duration, Instant};

const PRIORITY: u8 = 80;
const PERIOD: Duration = Duration::from_millis(1);

/// Pairs of runs, and the cycles of each.
fn amount() -> (usize, u64) {
    let soak = std::env::var_os("BUMPLESS_SOAK").is_some_and(|value| value == "1");
    if soak { (40, 2_000) } else { (8, 400) }
}

/// The last of the processors that this process may use.
fn processor() -> usize {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
    (0..CpuSet::count()).rfind(|cpu| allowed.is_set(*cpu).unwrap_or(false)).unwrap()
}

fn median(mut samples: Vec<u64>) -> u64 {
    samples.sort_unstable();
    samples[samples.len() / 2]
}

/// The middle lateness that our probe finds, in ns.
fn ours(cpu: usize, cycles: u64) -> u64 {
    let run = Wakeup::start(&Asked {
        cpus: vec![cpu],
        policy: Policy::Fifo(PRIORITY),
        interval: PERIOD,
        distance: Duration::ZERO,
        cycles,
        allow_non_rt: false,
    });
    let measured = run.unwrap().finish().unwrap();
    measured[0].recording.totals.seen.quantile_ns(1, 2).unwrap()
}

/// The same of cyclictest, which tells each sample in ns when it is asked to.
fn theirs(cpu: usize, cycles: u64) -> u64 {
    let mut command = Command::new("cyclictest");
    command.args(["-q", "-m", "-N", "-v", "-t1", "-d0"]);
    command.arg(format!("-a{cpu}")).arg(format!("-p{PRIORITY}"));
    command.arg(format!("-i{}", PERIOD.as_micros())).arg(format!("-l{cycles}"));
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let sample = |line: &str| {
        let mut words = line.split(':').map(str::trim);
        let (_thread, _cycle) =
            (words.next()?.parse::<u64>().ok()?, words.next()?.parse::<u64>().ok()?);
        words.next()?.parse().ok()
    };
    let samples: Vec<u64> = text.lines().filter_map(sample).collect();
    assert!(samples.len() as u64 + 10 >= cycles, "{} of {cycles}: {text:.400}", samples.len());
    median(samples)
}

/// The middle one of some ratios and its 95 % interval, whatever their distribution: between two
/// of them, so that at most one in forty times the true one is below, and as often above. (A mean
/// is moved by the pairs between whose halves the machine became another: a virtual processor is
/// taken elsewhere.)
fn interval(mut ratios: Vec<f64>) -> [f64; 3] {
    ratios.sort_by(f64::total_cmp);
    let count = ratios.len();
    // How likely it is that so many of them are on one side: the coin's law.
    let mut likely = 0.5f64.powi(i32::try_from(count).unwrap());
    let (mut below, mut rank) = (likely, 0);
    while below <= 0.025 {
        rank += 1;
        likely *= (count + 1 - rank) as f64 / rank as f64;
        below += likely;
    }
    let rank = rank.saturating_sub(1).min(count / 2);
    [ratios[rank], ratios[count / 2], ratios[count - 1 - rank]]
}

#[test]
fn the_interval_of_a_middle_one_is_the_one_in_the_tables() {
    let ranks = |count: u32| {
        let [low, _, high] = interval((1..=count).map(f64::from).collect());
        [low, high]
    };
    // W. J. Conover, Practical Nonparametric Statistics, table of the binomial with p = 1/2.
    assert_eq!(ranks(6), [1.0, 6.0]);
    assert_eq!(ranks(20), [6.0, 15.0]);
    assert_eq!(ranks(40), [14.0, 27.0]);
}

#[test]
fn cyclictest_finds_the_same_on_the_same_processor() {
    const TEST: &str = "latency_agreement";
    if !geteuid().is_root() {
        println!("SKIP: {TEST}: root: real-time priorities");
        return;
    }
    if Command::new("cyclictest").arg("--help").output().is_err() {
        println!("SKIP: {TEST}: the program cyclictest (package rt-tests)");
        return;
    }
    let (pairs, cycles) = amount();
    agreement(processor(), pairs, cycles).judge();
}

#[test]
fn cyclictest_finds_the_same_on_preempt_rt() {
    let test = "cyclictest_finds_the_same_on_preempt_rt";
    let limit = std::time::Duration::from_secs(1_800);
    let machine = Machine { limit, ..Machine::default() };
    let Some(inside) = lab::enter(test, &machine) else { return };
    assert!(inside.kernel_version().unwrap().contains("PREEMPT_RT"));
    let (pairs, cycles) = amount();
    let found = agreement(processor(), pairs, cycles);
    fs::write(inside.results().join("agreement.txt"), &found.text).unwrap();
    found.judge();
}

/// What pairs of runs found.
struct Agreement {
    ratios: Vec<f64>,
    text: String,
}

/// Runs of both in turn.
fn agreement(cpu: usize, pairs: usize, cycles: u64) -> Agreement {
    memory::lock_all().unwrap();
    // As cyclictest asks, too.
    let _awake = DmaLatency::hold(0).ok();
    let mut text = String::new();
    let mut ratios = Vec::new();
    for pair in 0..pairs {
        // Each is the first of every second pair.
        let (ours, theirs) = if pair % 2 == 0 {
            let ours = ours(cpu, cycles);
            (ours, theirs(cpu, cycles))
        } else {
            let theirs = theirs(cpu, cycles);
            (ours(cpu, cycles), theirs)
        };
        let ratio = ours as f64 / theirs.max(1) as f64;
        println!("pair {pair}: ours {ours} ns, cyclictest {theirs} ns, ratio {ratio:.3}");
        writeln!(text, "{pair}\t{ours}\t{theirs}\t{ratio:.4}").unwrap();
        ratios.push(ratio);
    }
    let [low, middle, high] = interval(ratios.clone());
    let last = format!(
        "ratio of medians {middle:.3}, 95 % interval {low:.3} to {high:.3}, {pairs} pairs of \
         {cycles} cycles, CPU {cpu}"
    );
    println!("{last}");
    writeln!(text, "{last}").unwrap();
    Agreement { ratios, text }
}

impl Agreement {
    fn judge(&self) {
        let [low, middle, high] = interval(self.ratios.clone());
        if self.ratios.len() >= 30 {
            assert!(low >= 0.9 && high <= 1.1, "{low:.3} to {high:.3}");
        } else {
            // So few pairs on a busy machine say no more than that both measure the same thing.
            assert!(middle > 0.5 && middle < 2.0, "{:?}", self.ratios);
        }
    }
}

/// Each line, with `0` for each digit: its form.
fn form(text: &str) -> Vec<String> {
    let zero = |it: char| if it.is_ascii_digit() { '0' } else { it };
    text.lines().map(|line| line.chars().map(zero).collect()).collect()
}

/// A thread of 1 ms that was late by 90 µs in each of its cycles.
fn late_thread() -> Series {
    let begin = Instant::from_nanos(1_000_000_000);
    let mut recorder = Recorder::new(Recorded::new(begin, PERIOD)).unwrap();
    let mut planned = begin;
    for _ in 0..40 {
        planned = recorder.record(planned, planned + Duration::from_micros(90)).next;
    }
    Series::new("cpu 0", Measure::Lateness, &recorder.finish())
}

#[test]
fn a_histogram_has_the_form_of_cyclictest_s() {
    if !geteuid().is_root() {
        println!("SKIP: latency_agreement: root: real-time priorities");
        return;
    }
    let run = Command::new("cyclictest").args("-q -h 1 -l 40 -i 1000 -t 2".split(' ')).output();
    let Ok(output) = run else {
        println!("SKIP: latency_agreement: the program cyclictest (package rt-tests)");
        return;
    };
    let theirs = String::from_utf8(output.stdout).unwrap();
    let theirs = &theirs[theirs.find("# Histogram\n").unwrap()..];
    let mut ours = String::new();
    histogram_text::write(&[&late_thread(), &late_thread()], 1, &mut ours).unwrap();
    // No machine wakes a thread within 1 µs: all is beyond the limit, on either side.
    assert_eq!(form(&ours), form(theirs.trim_end()));
}
