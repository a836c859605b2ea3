//! Two results beside each other: the verdicts hold as often as they say, of data whose truth is
//! known, and nothing is said where nothing is known.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/result.rs"]
mod result;

use latency_tests::latency::compare::{
    Comparison, CompareError, Figure, Row, Verdict, compare, text,
};
use latency_tests::latency::out::json;
use latency_tests::latency::report::{Measure, Report, Series};
use result::{PERIOD, check_schema, full_report, report, series_of, slept};
use rt_core::os::tail::Random;

/// How a run's lateness comes about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Each cycle by itself.
    Independent,
    /// Each like the one before it: correlation 0.9.
    Alike,
    /// Independent, and bursts of 40 cycles that are ten times as late.
    Bursts,
    /// Independent, and stalls that swallow cycles.
    Stalls,
}

/// A standard normal value.
fn normal(random: &mut Random) -> f64 {
    let radius = (2.0 * random.exponential()).sqrt();
    radius * (std::f64::consts::TAU * random.uniform()).cos()
}

/// Cycles of some kind, `scale` times as late as others.
fn simulated(kind: Kind, cycles: usize, scale: f64, random: &mut Random) -> Series {
    let mut state = normal(random);
    let mut burst = 0u32;
    let late = (0..cycles).map(|_| {
        let own = normal(random);
        let hidden = if kind == Kind::Alike {
            state = 0.9 * state + (1.0f64 - 0.81).sqrt() * own;
            state
        } else {
            own
        };
        let mut late = 5_000.0 * (0.3 * hidden).exp();
        if kind == Kind::Bursts {
            if burst == 0 && random.uniform() < 1.0 / 1_000.0 {
                burst = 40;
            }
            if burst > 0 {
                burst -= 1;
                late *= 10.0;
            }
        }
        if kind == Kind::Stalls && random.uniform() < 1.0 / 2_000.0 {
            late = 3e6 + 1e6 * random.exponential();
            return Some(late as u64);
        }
        Some((late * scale) as u64)
    });
    series_of("cpu 0", late.collect::<Vec<_>>())
}

fn row(comparison: &Comparison, figure: Figure) -> &Row {
    comparison.pairs[0].rows.iter().find(|it| it.figure == figure).unwrap()
}

/// How often a row said what, of many pairs of runs.
#[derive(Clone, Copy, Default, Debug)]
struct Tally {
    told: u32,
    unknown: u32,
    better: u32,
    worse: u32,
    /// Intervals of the ratio that held the true one.
    covered: u32,
}

const FIGURES: [Figure; 5] =
    [Figure::P50Ns, Figure::P99Ns, Figure::P999Ns, Figure::P9999Ns, Figure::LateShare];

/// Pairs of runs, the second `scale` times as late.
fn tally(kind: Kind, cycles: usize, scale: f64, pairs: u32) -> [Tally; 5] {
    let threads = 4;
    let part = |number: u32| {
        let mut random = Random::from_seed(u64::from(number) * 7_919 + cycles as u64);
        let mut tallies = [Tally::default(); 5];
        for _ in 0..pairs / threads {
            let before = report(vec![simulated(kind, cycles, 1.0, &mut random)]);
            let after = report(vec![simulated(kind, cycles, scale, &mut random)]);
            let comparison = compare(&before, &after).unwrap();
            for (tally, figure) in tallies.iter_mut().zip(FIGURES) {
                let row = row(&comparison, figure);
                tally.unknown += u32::from(row.verdict == Verdict::Unknown);
                tally.told += u32::from(row.verdict != Verdict::Unknown);
                tally.better += u32::from(row.verdict == Verdict::Better);
                tally.worse += u32::from(row.verdict == Verdict::Worse);
                let ends = row.ratio.and_then(|it| it.lower.zip(it.upper));
                let held = ends.is_some_and(|(lower, upper)| lower <= scale && scale <= upper);
                tally.covered += u32::from(held);
            }
        }
        tallies
    };
    let mut sum = [Tally::default(); 5];
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|number| scope.spawn(move || part(number))).collect();
        for found in all {
            for (sum, found) in sum.iter_mut().zip(found.join().unwrap()) {
                sum.told += found.told;
                sum.unknown += found.unknown;
                sum.better += found.better;
                sum.worse += found.worse;
                sum.covered += found.covered;
            }
        }
    });
    println!("{kind:?}, {cycles} cycles, scale {scale}:");
    for (tally, figure) in sum.iter().zip(FIGURES) {
        println!("  {figure:?} {tally:?}");
    }
    sum
}

#[test]
fn probe_all() {
    for kind in [Kind::Independent, Kind::Alike, Kind::Bursts, Kind::Stalls] {
        for cycles in [20_000, 120_000] {
            tally(kind, cycles, 1.0, 400);
            tally(kind, cycles, 1.1, 400);
        }
    }
}
