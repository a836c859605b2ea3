//! The wake-up probe and cyclictest, with the same options, in turn on the same processor: they
//! find the same.
//!
//! `BUMPLESS_SOAK=1` takes 40 pairs of 2,000 cycles, and asks that the 95 % interval of the ratio
//! of medians lies within 10 % of 1.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Stdio};

use latency_tests::latency::probe::wakeup::{Plan, Wakeup};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::{Pid, geteuid};
use rt_core::os::dma_latency::DmaLatency;
use rt_core::os::memory;
use rt_core::os::thread::Policy;
use rt_core::time::Duration;

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
    let run = Wakeup::start(&Plan {
        cpus: vec![cpu],
        policy: Policy::Fifo(PRIORITY),
        period: PERIOD,
        distance: Duration::ZERO,
        cycles,
        allow_degraded: false,
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

/// The mean of some ratios and its 95 % interval, by their logarithms and Student's t.
fn interval(ratios: &[f64]) -> [f64; 3] {
    let count = ratios.len() as f64;
    let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
    let mean = logs.iter().sum::<f64>() / count;
    let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (count - 1.0);
    // Of 7 and of 39 degrees of freedom.
    let t = if ratios.len() < 30 { 2.365 } else { 2.023 };
    let half = t * (variance / count).sqrt();
    [mean - half, mean, mean + half].map(f64::exp)
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
    memory::lock_all().unwrap();
    // As cyclictest asks, too.
    let _awake = DmaLatency::hold(0).ok();
    let (pairs, cycles) = amount();
    let cpu = processor();
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
        println!("pair {pair}: ours {ours} ns, cyclictest {theirs} ns");
        ratios.push(ours as f64 / theirs.max(1) as f64);
    }
    let [low, mean, high] = interval(&ratios);
    println!("ratio of medians {mean:.3}, 95 % interval {low:.3} to {high:.3}, CPU {cpu}");
    if pairs >= 30 {
        assert!(low >= 0.9 && high <= 1.1, "{low:.3} to {high:.3}");
    } else {
        // So few pairs on a busy machine say no more than that both measure the same thing.
        assert!(mean > 0.5 && mean < 2.0, "{ratios:?}");
    }
}
