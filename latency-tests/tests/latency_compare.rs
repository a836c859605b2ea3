//! Two results beside each other: the verdicts hold as often as they say, of data whose truth is
//! known, and nothing is said where nothing is known.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/result.rs"]
mod result;

use latency_tests::latency::compare::{
    CompareError, Comparison, Figure, Row, Verdict, compare, text,
};
use latency_tests::latency::out::json;
use latency_tests::latency::report::{Measure, Report, Series};
use result::{PERIOD, check_schema, full_report, report, series_below, series_of, slept};
use rt_core::os::tail::Random;
use rt_core::time::Duration;

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

/// The whole part of a lateness in ns.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive and far below the greatest number"
)]
const fn whole(ns: f64) -> u64 {
    ns as u64
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
            return Some(whole(late));
        }
        Some(whole(late * scale))
    });
    series_below("cpu 0", Duration::from_secs(1), late.collect::<Vec<_>>())
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

fn soak() -> bool {
    std::env::var_os("BUMPLESS_SOAK").is_some_and(|value| value == "1")
}

/// Of pairs that differ by a known factor, intervals hold it in nine of ten at least, and where
/// there is no difference at most one in twelve is said to be one.
fn hold(kind: Kind, cycles: usize, pairs: u32) {
    for (scale, share) in [(1.0, 2), (1.25, 1)] {
        let found = tally(kind, cycles, scale, pairs / 3 * share);
        for (tally, figure) in found.iter().zip(FIGURES) {
            let Tally { told, better, worse, covered, .. } = *tally;
            let what = format!("{kind:?}, {cycles} cycles, scale {scale}, {figure:?}: {tally:?}");
            // A share has no factor, and the stalls are of the same lengths in both.
            if figure != Figure::LateShare && (kind != Kind::Stalls || scale == 1.0) {
                assert!(covered * 10 >= told * 9, "{what}");
            }
            if scale == 1.0 {
                assert!((better + worse) * 12 <= told.max(48), "{what}");
            } else if figure == Figure::P50Ns {
                assert!(worse * 10 >= told * 9 && told * 10 >= pairs / 3 * 8, "{what}");
            }
        }
    }
}

#[test]
fn intervals_hold_the_truth_of_independent_cycles() {
    hold(Kind::Independent, 8_000, 1_020);
}

#[test]
fn intervals_hold_the_truth_of_cycles_that_are_alike() {
    hold(Kind::Alike, 8_000, 1_020);
}

#[test]
fn intervals_hold_the_truth_of_bursts_and_stalls() {
    hold(Kind::Bursts, 8_000, 1_020);
    hold(Kind::Stalls, 8_000, 1_020);
}

/// Of so many cycles only rows are known below the latest ones.
#[test]
fn intervals_hold_the_truth_where_only_rows_are_known() {
    let pairs = if soak() { 1_200 } else { 90 };
    hold(Kind::Independent, 120_000, pairs);
    hold(Kind::Alike, 120_000, pairs);
    if soak() {
        hold(Kind::Bursts, 120_000, pairs);
        hold(Kind::Stalls, 120_000, pairs);
    }
}

/// A run whose lateness wanders, or that was another one in its second half.
fn changing(cycles: usize, wanders: bool, random: &mut Random) -> Series {
    let mut state = normal(random);
    // Its memory is a twelfth of the run.
    let memory = (-12.0 / cycles as f64).exp();
    let late = (0..cycles).map(|cycle| {
        state = memory * state + (1.0 - memory * memory).sqrt() * normal(random);
        let shift = if wanders { 0.3 * state } else { 0.2 * f64::from(cycle * 2 > cycles) };
        Some(whole(5_000.0 * (shift + 0.2 * normal(random)).exp()))
    });
    series_of("cpu 0", late.collect::<Vec<_>>())
}

#[test]
fn a_run_that_was_not_the_same_all_the_time_has_no_interval() {
    let mut random = Random::from_seed(5);
    for (cycles, wanders) in [(20_000, false), (20_000, true), (120_000, false), (120_000, true)] {
        let (mut refused, mut wrong) = (0, 0);
        for _ in 0..20 {
            let [before, after] =
                [(); 2].map(|()| report(vec![changing(cycles, wanders, &mut random)]));
            let comparison = compare(&before, &after).unwrap();
            let middle = row(&comparison, Figure::P50Ns);
            refused += u32::from(middle.verdict == Verdict::Unknown);
            wrong += u32::from(matches!(middle.verdict, Verdict::Better | Verdict::Worse));
            if middle.verdict == Verdict::Unknown {
                assert!(middle.reason.contains("not the same all the time"), "{}", middle.reason);
                assert!(middle.difference.unwrap().lower.is_none());
            }
        }
        assert!(
            refused >= 17 && wrong <= 2,
            "{cycles} {wanders}: {refused} refused, {wrong} wrong"
        );
    }
}

/// A run in which cycles are lost, in groups.
fn losing(every: f64, random: &mut Random) -> Report {
    let mut left = 0;
    let late = (0..20_000).map(|_| {
        if left == 0 && random.uniform() < 1.0 / every {
            left = 5;
        }
        left = u32::saturating_sub(left, 1);
        (left == 0).then_some(5_000)
    });
    report(vec![series_of("cpu 0", late.collect::<Vec<_>>())])
}

#[test]
fn lost_cycles_are_a_share_with_their_groups() {
    let mut random = Random::from_seed(9);
    let (mut wrong, mut right) = (0, 0);
    for _ in 0..100 {
        let [a, b, more] = [400.0, 400.0, 60.0].map(|every| losing(every, &mut random));
        let same = compare(&a, &b).unwrap();
        let verdict = row(&same, Figure::LostShare).verdict;
        wrong += u32::from(matches!(verdict, Verdict::Better | Verdict::Worse));
        let lost = compare(&more, &a).unwrap();
        right += u32::from(row(&lost, Figure::LostShare).verdict == Verdict::Better);
    }
    assert!(wrong <= 12 && right >= 90, "{wrong} wrong, {right} right");
}

#[test]
fn what_is_told_is_told_for_each_series_and_for_all_processors() {
    let mut random = Random::from_seed(3);
    let mut named = |name: &str, scale: f64| Series {
        name: name.into(),
        ..simulated(Kind::Independent, 35_000, scale, &mut random)
    };
    let mut before = report(vec![named("cpu 0", 1.0), named("cpu 1", 1.0), named("cpu 1", 1.0)]);
    let mut after = report(vec![named("cpu 0", 0.5), named("cpu 1", 0.5), named("cpu 2", 0.5)]);
    before.host.insert("governor_cpu0".into(), "powersave".into());
    after.host.insert("preemption".into(), "none\u{1b}[2J".into());
    before.findings = full_report().findings;
    after.runs[0].settings.interval_ns = 250_000;
    after.runs[0].settings.priority = 90;
    after.runs[0].duration_ns *= 3;
    let comparison = compare(&before, &after).unwrap();
    let names: Vec<&str> = comparison.pairs.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["cpu 0", "cpu 1", "all processors"]);
    assert_eq!(comparison.pairs[2].samples_before, 105_000);
    for pair in &comparison.pairs {
        let verdicts: Vec<Verdict> = pair.rows.iter().map(|it| it.verdict).collect();
        assert_eq!(verdicts[..3], [Verdict::Better; 3]);
        assert_eq!(
            verdicts[4..],
            [Verdict::FiguresOnly, Verdict::NoDifference, Verdict::NoDifference]
        );
        let ratio = pair.rows[0].ratio.unwrap();
        assert!(ratio.lower.unwrap() > 0.45 && ratio.upper.unwrap() < 0.55);
    }
    // So few cycles have no say in one of ten thousand, all together do.
    assert_eq!(comparison.pairs[0].rows[3].verdict, Verdict::Unknown);
    assert!(comparison.pairs[0].rows[3].reason.contains("an interval needs 3.7"));
    assert_eq!(comparison.pairs[2].rows[3].verdict, Verdict::Better);
    let remarks = comparison.remarks.join("\n");
    for word in [
        "cycles of 1000 µs and of 250 µs",
        "long; the greatest",
        "only the first has wakeup \"cpu 1\"",
        "only the second has wakeup \"cpu 2\"",
    ] {
        assert!(remarks.contains(word), "{word}: {remarks}");
    }
    let differing: Vec<&str> = comparison.host_differs.iter().map(|it| it.name.as_str()).collect();
    assert_eq!((differing, comparison.host_equal), (vec!["governor_cpu0", "preemption"], 1));
    let settings: Vec<&str> =
        comparison.settings_differ.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(settings, ["wakeup.interval_ns", "wakeup.priority"]);
    assert_eq!(comparison.findings_before_only.len(), 1);
    let text = text(&comparison);
    for word in [
        "p50 is better",
        "host: 2 differ, 1 are equal",
        "powersave",
        "all processors",
        "none in either",
    ] {
        assert!(text.to_lowercase().contains(word), "{word}: {text}");
    }
    assert!(!text.contains('\u{1b}'), "{text}");
    let document = serde_json::to_value(&comparison).unwrap();
    check_schema("latency_compare.json", &document);
    let read: Comparison = serde_json::from_str(&json::text(&comparison)).unwrap();
    assert!(read == comparison);
}

#[test]
fn of_an_invalid_result_nothing_follows() {
    let series = |scale| simulated(Kind::Independent, 8_000, scale, &mut Random::from_seed(1));
    let mut before = report(vec![series(1.0)]);
    let after = report(vec![series(3.0)]);
    before.invalid.push("it slept".into());
    before.verdict = latency_tests::latency::report::Verdict::Invalid;
    let comparison = compare(&before, &after).unwrap();
    for row in &comparison.pairs[0].rows {
        assert!(matches!(row.verdict, Verdict::Unknown | Verdict::FiguresOnly), "{row:?}");
    }
    assert!(row(&comparison, Figure::P50Ns).sentence.contains("the first result is invalid"));
    assert!(text(&comparison).contains("invalid: it slept"));
}

#[test]
fn results_that_have_nothing_in_common_are_refused() {
    let one = report(vec![series_of("cpu 0", [Some(5)])]);
    let span = Series { measure: Measure::Span, ..series_of("cpu 0", [Some(5)]) };
    let refused = compare(&one, &report(vec![span])).unwrap_err();
    assert!(matches!(refused, CompareError::NothingInCommon { .. }));
    let words = refused.to_string();
    assert!(words.contains("wakeup \"cpu 0\" (lateness)") && words.contains("(span)"), "{words}");
    assert!(compare(&one, &report(Vec::new())).unwrap_err().to_string().contains("no series"));
}

/// Real runs, runs of nothing, of one sample, of the greatest numbers: told or refused.
#[test]
fn no_result_is_tripped_over() {
    let extreme = series_of("cpu 0", [Some(u64::MAX / 4), Some(0), None, Some(1)]);
    let all = [
        report(vec![slept(0, 300)]),
        report(vec![series_of("cpu 0", [])]),
        report(vec![series_of("cpu 0", [Some(7)])]),
        report(vec![series_of("cpu 0", [None, None])]),
        report(vec![extreme]),
        report(vec![series_of("cpu 0", vec![Some(0); 5_000])]),
        report(vec![series_of("cpu 0", vec![Some(PERIOD.as_nanos() * 40); 50])]),
    ];
    for before in &all {
        for after in &all {
            let comparison = compare(before, after).unwrap();
            for row in &comparison.pairs[0].rows {
                let told = row.verdict != Verdict::Unknown;
                assert!(told || !row.reason.is_empty(), "{row:?}");
                let ends = row.difference.and_then(|it| it.lower.zip(it.upper));
                assert!(ends.is_none_or(|(lower, upper)| lower <= upper), "{row:?}");
            }
            check_schema("latency_compare.json", &serde_json::to_value(&comparison).unwrap());
            assert!(text(&comparison).contains("VERDICT"));
        }
    }
    let same = compare(&full_report(), &full_report()).unwrap();
    let verdicts = same.pairs.iter().flat_map(|pair| &pair.rows).map(|row| row.verdict);
    assert!(!verdicts.into_iter().any(|it| matches!(it, Verdict::Better | Verdict::Worse)));
}
