//! What is drawn, and where.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use rt_core::os::recorder::{Plan, Recorder};
use rt_core::time::{Duration, Instant};

use super::super::drawing::{Drawing, Shape};
use super::super::ink::Ink;
use super::*;
use crate::latency::environment::Environment;
use crate::latency::report::{PROGRAM, SCHEMA, Settings, Verdict};

/// A thread of 1 ms whose cycles were so late, in µs; what is above 10 ms overflows.
fn series(name: &str, late_us: impl IntoIterator<Item = u64>) -> Series {
    let begin = Instant::from_nanos(1_000_000_000);
    let mut plan = Plan::new(begin, Duration::from_millis(1));
    plan.highest = Duration::from_millis(10);
    let mut recorder = Recorder::new(plan).unwrap();
    let mut planned = begin;
    for late in late_us {
        planned = recorder.record(planned, planned + Duration::from_micros(late)).next;
    }
    Series::new(name, Measure::Lateness, &recorder.finish())
}

fn report(series: Vec<Series>) -> Report {
    let run = Run {
        probe: Probe::Wakeup,
        settings: Settings::default(),
        planned_ns: 1_000_000_000,
        duration_ns: 1_000_000_000,
        ended_early: false,
        suspended_ns: 0,
        environment: Environment::default(),
        series,
    };
    Report {
        schema: SCHEMA,
        program: PROGRAM.to_owned(),
        version: String::new(),
        command: Vec::new(),
        began: String::new(),
        host: BTreeMap::new(),
        findings: Vec::new(),
        runs: vec![run],
        gates: Vec::new(),
        cautions: Vec::new(),
        invalid: Vec::new(),
        verdict: Verdict::Pass,
    }
}

fn drawn(name: &str, report: &Report) -> Drawing {
    let (_, draw) = ALL.into_iter().find(|(it, _)| *it == name).unwrap();
    draw(&Subject::new(report, report.runs.first().unwrap()), 920.0)
}

fn texts(of: &Drawing) -> Vec<&str> {
    of.shapes
        .iter()
        .filter_map(|(_, shape)| match shape {
            Shape::Text { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

/// The strong lines of a series.
fn strong(of: &Drawing, place: usize) -> Vec<&[[f64; 2]]> {
    let lines = of.shapes.iter().filter(|(ink, _)| *ink == Ink::Series(place));
    lines
        .filter_map(|(_, shape)| match shape {
            Shape::Line { through, width, .. } if *width > 1.5 => Some(through.as_slice()),
            _ => None,
        })
        .filter(|through| through.len() > 2)
        .collect()
}

#[test]
fn a_curve_of_percentiles_rises_and_ends_at_the_maximum() {
    let late = (0..5_000).map(|it| 2 + it % 50 + if it % 1_000 == 7 { 700 } else { 0 });
    let drawing = drawn("percentiles", &report(vec![series("cpu 0", late)]));
    let lines = strong(&drawing, 0);
    let [through] = lines.as_slice() else { panic!("{}", lines.len()) };
    assert!(through.is_sorted_by(|a, b| a[0] <= b[0] + 0.01 && a[1] >= b[1] - 0.01));
    let [x, y] = *through.last().unwrap();
    let dot = drawing.shapes.iter().find_map(|(_, shape)| match shape {
        Shape::Rect([left, top, 5.0, 5.0]) => Some([left + 2.5, top + 2.5]),
        _ => None,
    });
    assert_eq!(dot, Some([x, y]));
}

#[test]
fn samples_above_the_bound_have_a_place_of_their_own() {
    let with = report(vec![series("cpu 0", [3, 4, 5, 15_500, 3])]);
    let drawing = drawn("histogram", &with);
    assert!(texts(&drawing).contains(&"> 10 ms") && texts(&drawing).contains(&"overflow"));
    // The sample itself and those of the swallowed cycles.
    let overflow = with.runs.first().unwrap().series.first().unwrap().owed.overflow;
    assert!(overflow > 1 && texts(&drawing).contains(&overflow.to_string().as_str()));
    // They are in the plot no second time, although the last bucket holds them, too.
    let owed = &with.runs.first().unwrap().series.first().unwrap().owed;
    let across = super::super::scale::Scale::of_values(3_000.0, 1e7);
    let in_plot: u64 = histogram::bins(owed, &across).into_iter().sum();
    assert_eq!(in_plot, owed.samples - owed.overflow);
    let without = drawn("histogram", &report(vec![series("cpu 0", [3, 4, 5])]));
    assert!(texts(&without).contains(&"none above the recorder's bound of 10 ms"));
}

#[test]
fn both_views_are_drawn_where_they_differ_and_only_there() {
    for (late, both) in [([3, 4, 5_500, 3], true), ([3, 4, 900, 3], false)] {
        let report = report(vec![series("cpu 0", late)]);
        for name in ["histogram", "percentiles"] {
            let drawing = drawn(name, &report);
            let told = texts(&drawing).iter().any(|it| it.contains("as cyclictest counts"));
            assert_eq!(told, both, "{name}");
        }
    }
}

#[test]
fn the_worst_series_are_told_apart_and_the_others_are_counted() {
    let all = (0..40).map(|it| series(&format!("cpu {it}"), [3, 4, 100 + it]));
    let report = report(all.collect());
    let drawing = drawn("percentiles", &report);
    let texts = texts(&drawing);
    assert!(texts.contains(&"1  cpu 32") && texts.contains(&"8  cpu 39"), "{texts:?}");
    assert!(texts.contains(&"32 more, each with a lesser maximum"));
    let map = drawn("heat", &report);
    assert!((0..40).all(|it| self::texts(&map).contains(&format!("cpu {it}").as_str())));
}

#[test]
fn a_stall_is_marked_where_it_began() {
    // Twenty more cycles are swallowed: a second in all.
    let late = (0..980).map(|it| if it == 500 { 20_000 } else { 3 });
    let drawing = drawn("course", &report(vec![series("cpu 0", late)]));
    let marks: Vec<f64> = drawing
        .shapes
        .iter()
        .filter_map(|(ink, shape)| match shape {
            Shape::Area { around, .. } if *ink == Ink::Bad => around.first().map(|it| it[0]),
            _ => None,
        })
        .collect();
    // One in the plot, one in the explanation below.
    let [mark, _] = marks.as_slice() else { panic!("{marks:?}") };
    let middle = f64::midpoint(frame::LEFT, 920.0 - 14.0);
    assert!((mark - middle).abs() < 1.0, "{mark} {middle}");
}

#[test]
fn each_chart_says_so_where_there_is_nothing() {
    for report in [report(Vec::new()), report(vec![series("cpu 0", [])])] {
        for (name, _) in ALL {
            assert!(texts(&drawn(name, &report)).contains(&"No samples."), "{name}");
        }
    }
}
