//! What is left of a result for other programs: each output is read by a program that knows
//! nothing of ours.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/result.rs"]
mod result;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use latency_tests::latency::compare;
use latency_tests::latency::out::{hdr, json, junit};
use latency_tests::latency::report::{Distribution, Report, Verdict};
use proptest::prelude::*;
use result::{check_schema, full_report, report, series_below, series_of, slept};
use rt_core::time::Duration;
use serde_json::{Value, json};
use tools::netlab::Scratch;

#[test]
fn a_written_document_is_what_the_schema_says_and_reads_as_it_was() {
    for document in [full_report(), report(Vec::new()), report(vec![slept(0, 300)])] {
        let text = json::write(&document);
        check_schema("latency.json", &serde_json::from_str(&text).unwrap());
        assert!(json::read(&text).unwrap() == document);
        // Long lists are one line each, so that the whole has few.
        let lines = text.lines().count();
        assert!(lines < 2_500, "{lines} lines");
    }
}

/// What the program writes itself. Whether the run is valid is the machine's affair.
#[test]
fn a_document_of_the_program_is_what_the_schema_says() {
    let scratch = Scratch::new().unwrap();
    let file = scratch.path().join("result.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_bumpless-latency"));
    command.args("wakeup -a -t 2 -l 500 -q --allow-non-rt --no-report --json".split(' '));
    let output = command.arg(&file).stdin(Stdio::null()).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
    let text = fs::read_to_string(&file).unwrap();
    check_schema("latency.json", &serde_json::from_str(&text).unwrap());
    let document = json::read(&text).unwrap();
    assert_eq!(document.runs[0].series.len(), 2);
    assert_eq!(json::write(&document), text);
    assert!(hdr::write(&document).unwrap().lines().count() >= 8);
    assert!(compare::compare(&document, &document).is_ok());
}

#[test]
fn a_document_of_another_shape_is_caught_by_the_schema() {
    let mut document: Value = serde_json::from_str(&json::write(&full_report())).unwrap();
    document["runs"][0]["series"][0]["measure"] = json!("sideways");
    assert!(std::panic::catch_unwind(|| check_schema("latency.json", &document)).is_err());
}

fn refusal(document: &Value) -> String {
    json::read(document.to_string()).unwrap_err().to_string()
}

#[test]
fn what_is_no_result_is_refused_with_a_clear_word() {
    let text = |octets: &[u8]| json::read(octets).unwrap_err().to_string();
    assert!(text(b"").starts_with("not a JSON document"));
    assert!(text(b"{\"schema\": 1").starts_with("not a JSON document"));
    assert!(text(b"\xff\xfe").starts_with("not a JSON document"));
    assert!(text("[".repeat(1_000_000).as_bytes()).starts_with("not a JSON document"));
    assert!(text(b"[1, 2]").contains("does not say which program"));
    assert!(text(b"{}").contains("does not say which program"));
    assert!(text(br#"{"program": "bumpless", "schema": 1}"#).contains("\"bumpless\""));
    assert!(text(br#"{"program": "bumpless-latency"}"#).contains("no schema"));
    let newer = text(br#"{"program": "bumpless-latency", "schema": 2, "all": "new"}"#);
    assert!(newer.starts_with("schema 2: this program reads 1"), "{newer}");
    let less = text(br#"{"program": "bumpless-latency", "schema": 1}"#);
    assert!(less.contains("missing field `version`"), "{less}");
    let large = vec![b' '; json::OCTETS_MAX + 1];
    assert!(text(&large).contains("octets: a result has at most"));
}

#[test]
fn keys_of_later_versions_are_ignored() {
    let known = full_report();
    let mut document: Value = serde_json::from_str(&json::write(&known)).unwrap();
    document["new"] = json!([1, { "a": null }]);
    document["runs"][0]["series"][0]["seen"]["p42_ns"] = json!(7);
    assert!(json::read(document.to_string()).unwrap() == known);
}

#[test]
fn figures_that_contradict_each_other_are_refused_by_name() {
    let good: Value = serde_json::from_str(&json::write(&full_report())).unwrap();
    let series = "/runs/0/series/0";
    let buckets = good.pointer(&format!("{series}/seen/histogram")).unwrap().clone();
    let mut unsorted = buckets.as_array().unwrap().clone();
    unsorted.swap(1, 2);
    let mut reversed = buckets.as_array().unwrap().clone();
    let last = reversed.last_mut().unwrap();
    *last = json!([last[1], last[0], last[2]]);
    let peaks = good.pointer(&format!("{series}/exceedances/peaks")).unwrap().clone();
    let mut falling = peaks.as_array().unwrap().clone();
    falling.reverse();
    let fewer: Vec<Value> = peaks.as_array().unwrap().iter().skip(9).cloned().collect();
    let cases: Vec<(&str, Value, &str)> = vec![
        ("/seen/samples", json!(12), "in the histogram"),
        ("/seen/histogram/0/2", json!(u64::MAX), "in the histogram"),
        ("/seen/histogram/0/2", json!(0), "an empty bucket"),
        ("/seen/histogram", Value::Array(unsorted), "is not above the one before it"),
        ("/seen/histogram", Value::Array(reversed), "a bucket from"),
        ("/seen/min_ns", json!(5_000_000), "do not rise"),
        ("/seen/min_ns", json!(3), "the least is 3 ns"),
        ("/seen/max_ns", Value::Null, "null figures"),
        ("/owed/max_ns", json!(80_000_000), "the greatest is 80000000 ns"),
        ("/seen/p50_ns", json!(2_000), "50 % is said to be"),
        ("/seen/mean_ns", json!(1.5), "a mean of 1.5 ns"),
        ("/seen/overflow", json!(1), "1 above the bound"),
        ("/seen/highest_ns", json!(1_000), "0 above the bound of 1000 ns"),
        ("/counts/late", json!(1_000_000), "1000000 late of"),
        ("/counts/swallowed", json!(1), "samples seen and 1 swallowed"),
        ("/counts/lost", json!(9_999), "9999 in all"),
        ("/period_ns", json!(0), "a period of 0 ns"),
        ("/stalls/0/late_ns", json!(1), "stalls that are not sorted"),
        ("/timeline/0/min_ns", json!(u64::MAX), "a slot that cannot be"),
        ("/timeline/1/at_ns", json!(0), "slots that do not follow"),
        ("/timeline/1/samples", json!(0), "a slot that cannot be"),
        ("/exceedances/peaks", Value::Array(falling), "cycles do not rise"),
        ("/exceedances/peaks", Value::Array(fewer), "in the histogram"),
        ("/exceedances/threshold_ns", json!(70_000_000), "not between the threshold"),
        ("/run_lengths/3/threshold_ns", json!(0), "thresholds do not rise"),
        ("/run_lengths/3/rows/0", json!([1, u64::MAX]), "cycles later than"),
        ("/run_lengths/3/longest", json!(0), "the longest row has 0"),
    ];
    for (path, value, word) in cases {
        let mut bad = good.clone();
        *bad.pointer_mut(&format!("{series}{path}")).unwrap() = value;
        let refused = refusal(&bad);
        assert!(refused.contains(word), "{path}: {refused}");
        assert!(refused.contains("runs[0] wakeup, series \"cpu 3\""), "{path}: {refused}");
    }
    for (path, value, word) in [
        ("/verdict", json!("pass"), "Pass with 2 gates exceeded"),
        ("/verdict", json!("invalid"), "Invalid with 0 reasons"),
        ("/invalid", json!(["it slept"]), "Exceeded with 1 reasons"),
        ("/gates/0/exceeded", json!(false), "70000 is said to have kept the limit 100"),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(path).unwrap() = value;
        assert!(refusal(&bad).contains(word), "{path}: {}", refusal(&bad));
    }
}

/// Every place of the document, by its path.
fn places(value: &Value, path: String, all: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, inner) in object {
                places(inner, format!("{path}/{}", key.replace('/', "~1")), all);
            }
        }
        Value::Array(list) => {
            for (at, inner) in list.iter().enumerate().take(3) {
                places(inner, format!("{path}/{at}"), all);
            }
        }
        _ => {}
    }
    all.push(path);
}

/// Whatever stands in whichever place: it is read or refused, and what is read can be written in
/// each form.
#[test]
fn no_value_in_any_place_is_tripped_over() {
    let small = report(vec![series_of("cpu 0", (0..40).map(|it| Some(it * 90_001)))]);
    let good: Value = serde_json::from_str(&json::write(&small)).unwrap();
    let mut all = Vec::new();
    places(&good, String::new(), &mut all);
    let strange = [
        json!(null),
        json!(0),
        json!(1),
        json!(-1),
        json!(u64::MAX),
        json!(1e308),
        json!(0.5),
        json!(""),
        json!("\u{0}\u{7}<&>,\n"),
        json!([]),
        json!({}),
        json!([[0, 0]]),
        json!([[0, u64::MAX, u64::MAX]]),
        json!(i64::MAX),
        json!(true),
    ];
    let mut read = 0;
    for path in &all {
        for value in &strange {
            let mut bad = good.clone();
            *bad.pointer_mut(path).unwrap() = value.clone();
            if let Ok(document) = json::read(bad.to_string()) {
                read += 1;
                json::read(json::write(&document)).unwrap();
                hdr::write(&document).unwrap();
                assert!(junit::write(&document).ends_with("</testsuites>\n"));
            }
        }
    }
    assert!(all.len() > 150 && read > 150, "{read} read of {} places", all.len());
}

/// The histograms of a log, by tag, as this language's reader sees them.
fn histograms(log: &str) -> Vec<(String, Histogram<u64>)> {
    let intervals =
        IntervalLogIterator::new(log.as_bytes()).filter_map(|entry| match entry.unwrap() {
            LogEntry::Interval(it) => Some(it),
            _ => None,
        });
    let read = |it: hdrhistogram::serialization::interval_log::IntervalLogHistogram<'_>| {
        let octets = base64(it.encoded_histogram());
        let histogram = Deserializer::new().deserialize(&mut octets.as_slice()).unwrap();
        (it.tag().unwrap().as_str().to_owned(), histogram)
    };
    intervals.map(read).collect()
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |it: u8| match it {
        b'A'..=b'Z' => it - b'A',
        b'a'..=b'z' => it - b'a' + 26,
        b'0'..=b'9' => it - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut octets = Vec::new();
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = four.iter().fold(0u32, |bits, it| bits << 6 | u32::from(digit(*it)));
        let bits = bits << (6 * (4 - four.len()));
        octets.extend(&bits.to_be_bytes()[1..four.len()]);
    }
    octets
}

/// The document's distributions with the tags that they must have.
fn views(report: &Report) -> Vec<(&'static str, Distribution)> {
    let tags = [
        ["wakeup:cpu_3:seen", "wakeup:cpu_3:owed"],
        ["wakeup:cpu_4:seen", "wakeup:cpu_4:owed"],
        ["wakeup:lan_a__second:seen", "wakeup:lan_a__second:owed"],
    ];
    let series = &report.runs[0].series;
    let each = tags.into_iter().zip(series).flat_map(|([seen, owed], series)| {
        [(seen, series.seen.clone()), (owed, series.owed.clone())]
    });
    each.collect()
}

#[test]
fn a_log_has_each_count_of_the_document_in_its_place() {
    let report = full_report();
    let log = hdr::write(&report).unwrap();
    assert!(log.contains("#[StartTime: 1795365461.000 (seconds since epoch)"), "{log:.200}");
    let read = histograms(&log);
    let views = views(&report);
    assert_eq!(read.len(), views.len());
    for ((tag, histogram), (expected, view)) in read.iter().zip(&views) {
        assert_eq!(tag, expected);
        assert_eq!(histogram.len(), view.samples);
        let mut resolved: Vec<(u64, u64)> =
            view.histogram.iter().map(|it| (it.lowest_ns, it.count)).collect();
        let last = resolved.last_mut();
        let mut beyond = 0;
        if let Some((_, count)) = last {
            *count -= view.overflow;
            beyond = view.overflow;
        }
        resolved.retain(|(_, count)| *count > 0);
        let mut found: Vec<(u64, u64)> = histogram
            .iter_recorded()
            .map(|it| (histogram.lowest_equivalent(it.value_iterated_to()), it.count_at_value()))
            .collect();
        if beyond > 0 {
            let (value, count) = found.pop().unwrap();
            assert_eq!(count, beyond, "{tag}");
            assert!(histogram.equivalent(value, view.max_ns.unwrap()), "{tag}");
        }
        assert_eq!(found, resolved, "{tag}");
    }
    assert!(views.iter().any(|(_, view)| view.overflow > 0));
}

fn python(program: &Path, script: &str, arguments: &[&Path]) -> Output {
    let mut command = Command::new(program);
    command.arg("-c").arg(script).args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}

/// A Python that has the package `hdrhistogram`, in an environment below a folder; or what is
/// missing. The package is no Debian package: it comes from where Python's packages are.
fn python_with_hdrhistogram(folder: &Path) -> Result<std::path::PathBuf, &'static str> {
    let run = |program: &Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        let output = command.args(arguments).stdin(Stdio::null()).output();
        output.is_ok_and(|output| output.status.success())
    };
    let environment = folder.join("python");
    let path = environment.to_str().unwrap();
    if !run(Path::new("python3"), &["-m", "venv", path]) {
        return Err("python3 with venv (Debian: python3-venv)");
    }
    let program = environment.join("bin/python");
    let install = ["-m", "pip", "install", "-q", "--retries", "1", "--timeout", "20"];
    if !run(&program, &[&install[..], &["--only-binary", ":all:", "hdrhistogram==0.10.*"]].concat())
    {
        return Err("network: the Python package hdrhistogram");
    }
    Ok(program)
}

/// Reads a log and says what is in it, a JSON document.
const READER: &str = r#"
import json, sys
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
reader = HistogramLogReader(sys.argv[1], HdrHistogram(1, 60000000000, 3))
found = []
while True:
    it = reader.get_next_interval_histogram()
    if it is None:
        break
    found.append({
        "tag": it.get_tag(),
        "samples": it.get_total_count(),
        "max": it.get_max_value(),
        "percentiles": [it.get_value_at_percentile(p)
                        for p in (50, 90, 99, 99.9, 99.99, 99.999)],
        "begin_ms": it.get_start_time_stamp(),
        "end_ms": it.get_end_time_stamp(),
        "buckets": [[v.value_iterated_to, v.count_at_value_iterated_to]
                    for v in it.get_recorded_iterator()],
    })
print(json.dumps({"start_s": reader.get_start_time_sec(), "intervals": found}))
"#;

/// The end of the bucket that holds the sample of a rank, as far as it is resolved.
fn at_rank(view: &Distribution, rank: f64) -> u64 {
    let mut up_to_here = 0;
    let here = view.histogram.iter().find(|bucket| {
        up_to_here += bucket.count;
        up_to_here as f64 >= rank
    });
    here.map_or(0, |bucket| bucket.highest_ns)
}

#[test]
fn another_reader_finds_the_same_in_a_log() {
    let scratch = Scratch::new().unwrap();
    let program = match python_with_hdrhistogram(scratch.path()) {
        Ok(program) => program,
        Err(missing) => {
            println!("SKIP: latency_outputs: {missing}");
            return;
        }
    };
    let report = full_report();
    let file = scratch.path().join("result.hlog");
    fs::write(&file, hdr::write(&report).unwrap()).unwrap();
    let output = python(&program, READER, &[&file]);
    assert!(output.status.success(), "{output:?}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["start_s"].as_f64(), Some(1_795_365_461.0));
    let intervals = found["intervals"].as_array().unwrap();
    let views = views(&report);
    assert_eq!(intervals.len(), views.len());
    // The reader tells the end of a bucket, and its greatest value too: a thousandth, or one.
    let near =
        |found: &Value, ours: u64| found.as_u64().unwrap().abs_diff(ours) <= (ours / 1_000).max(1);
    for (interval, (tag, view)) in intervals.iter().zip(&views) {
        assert_eq!(interval["tag"], *tag);
        assert_eq!(interval["samples"], view.samples);
        assert!(near(&interval["max"], view.max_ns.unwrap_or(0)), "{interval:.300}");
        let percentiles =
            [view.p50_ns, view.p90_ns, view.p99_ns, view.p999_ns, view.p9999_ns, view.p99999_ns];
        let shares = [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999];
        let theirs = interval["percentiles"].as_array().unwrap();
        for ((found, ours), share) in theirs.iter().zip(percentiles).zip(shares) {
            // The reader rounds ranks to the nearest, and we up: it may mean the sample before.
            let rank = (view.samples as f64 * share + 0.5).floor();
            let agrees = near(found, ours.unwrap_or(0)) || near(found, at_rank(view, rank));
            assert!(agrees, "{tag} {share}: {found}, ours {ours:?}");
        }
        let [begin, end] = ["begin_ms", "end_ms"].map(|it| interval[it].as_f64().unwrap());
        let lasted_ms = report.runs[0].duration_ns as f64 / 1e6;
        assert!((end - begin - lasted_ms).abs() < 2.0, "{begin} to {end}, {lasted_ms} ms");
        let buckets = interval["buckets"].as_array().unwrap();
        let split = usize::from(view.overflow > 0 && buckets.len() > view.histogram.len());
        assert_eq!(buckets.len() - split, view.histogram.len(), "{tag}");
        for (found, ours) in buckets.iter().zip(&view.histogram).rev().skip(1) {
            assert_eq!(found[1], ours.count, "{tag}");
        }
    }
}

/// Reads test cases and says what they are, a JSON document.
const CASES: &str = r#"
import json, sys
import xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
def case(it):
    kinds = [k for k in it if k.tag != "system-out"]
    return {"name": it.get("name"), "class": it.get("classname"),
            "outcome": kinds[0].tag if kinds else "passed",
            "message": kinds[0].get("message") if kinds else None,
            "text": kinds[0].text if kinds else None}
print(json.dumps({"tag": root.tag, "attributes": root.attrib, "suites": [
    {"attributes": s.attrib, "cases": [case(c) for c in s.iter("testcase")],
     "properties": {p.get("name"): p.get("value") for p in s.iter("property")}}
    for s in root.iter("testsuite")]}))
"#;

fn cases(report: &Report) -> Option<Value> {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("SKIP: latency_outputs: the program python3");
        return None;
    }
    let scratch = Scratch::new().unwrap();
    let file = scratch.path().join("result.xml");
    fs::write(&file, junit::write(report)).unwrap();
    let output = python(Path::new("python3"), CASES, &[&file]);
    assert!(output.status.success(), "{output:?}\n{}", junit::write(report));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Characters that XML has its own view of, or none.
const HOSTILE: &str = "]]><!-- <a b=\"c\" 'd'> &amp; &x; \t\n\r\u{0}\u{1b}[31m \u{fffe}\u{7f} é 😀";
/// What a reader gets of them.
const HARMLESS: &str =
    "]]><!-- <a b=\"c\" 'd'> &amp; &x; \t\n\r\u{fffd}\u{fffd}[31m \u{fffd}\u{7f} é 😀";

#[test]
fn a_gate_is_a_test_case_whatever_its_texts_are() {
    let mut report = full_report();
    report.host.insert("command_line".into(), HOSTILE.into());
    report.gates[0].series = format!("wakeup {HOSTILE}");
    report.cautions.push(HOSTILE.into());
    let Some(found) = cases(&report) else { return };
    assert_eq!(found["tag"], "testsuites");
    let [tests, failures, errors] =
        ["tests", "failures", "errors"].map(|it| found["attributes"][it].as_str().unwrap());
    assert_eq!((tests, failures, errors), ("4", "2", "0"));
    let suite = &found["suites"][0];
    assert_eq!(suite["attributes"]["name"], "bumpless-latency.wakeup");
    assert_eq!(suite["attributes"]["timestamp"], "2026-11-22T16:37:41");
    assert_eq!(suite["properties"]["host.command_line"], HARMLESS);
    assert_eq!(suite["properties"]["cpu 3.max_ns"], "70000000");
    let all = suite["cases"].as_array().unwrap();
    let outcomes: Vec<_> = all
        .iter()
        .map(|it| (it["name"].as_str().unwrap(), it["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(
        outcomes,
        [
            ("the run is valid", "passed"),
            ("max_us is at most 100 µs", "failure"),
            ("p9999_us is at most 1000000 µs", "passed"),
            ("max_lost is at most 0", "failure"),
        ]
    );
    let message = format!("70000 µs in wakeup {HARMLESS}, 100 µs allowed");
    assert_eq!(all[1]["message"], *message);
    assert_eq!(all[1]["text"], *message);
}

#[test]
fn of_an_invalid_run_no_gate_is_passed_or_failed() {
    let mut report = full_report();
    report.invalid = vec![HOSTILE.into(), "it slept".into()];
    report.verdict = Verdict::Invalid;
    let Some(found) = cases(&report) else { return };
    let suite = &found["suites"][0];
    let outcomes: Vec<_> =
        suite["cases"].as_array().unwrap().iter().map(|it| &it["outcome"]).collect();
    assert_eq!(outcomes, ["error", "skipped", "skipped", "skipped"]);
    assert_eq!(suite["cases"][0]["message"], HARMLESS);
    assert_eq!(suite["attributes"]["skipped"], "3");
    report.runs.clear();
    let found = cases(&report).unwrap();
    assert_eq!(found["suites"].as_array().unwrap().len(), 1);
}

/// The sample of a rank, by the definition: of all sorted samples the one that so many do not
/// exceed.
fn exact(sorted: &[u64], parts: u128) -> u64 {
    let rank = (sorted.len() as u128 * parts).div_ceil(100_000).max(1);
    sorted[usize::try_from(rank).unwrap() - 1]
}

fn agrees(view: &Distribution, mut samples: Vec<u64>, bound_ns: u64) -> Result<(), TestCaseError> {
    samples.sort_unstable();
    prop_assert_eq!(view.samples, samples.len() as u64);
    prop_assert_eq!(view.min_ns, samples.first().copied());
    prop_assert_eq!(view.max_ns, samples.last().copied());
    let beyond = samples.iter().filter(|it| **it > bound_ns).count();
    prop_assert_eq!(view.overflow, beyond as u64);
    let sum: u128 = samples.iter().map(|it| u128::from(*it)).sum();
    let mean = sum as f64 / samples.len() as f64;
    prop_assert!((view.mean_ns.unwrap() - mean).abs() <= mean * 1e-9);
    for (found, parts) in [
        (view.p50_ns, 50_000),
        (view.p90_ns, 90_000),
        (view.p99_ns, 99_000),
        (view.p999_ns, 99_900),
        (view.p9999_ns, 99_990),
        (view.p99999_ns, 99_999),
    ] {
        let (found, exact) = (found.unwrap(), exact(&samples, parts));
        if exact > bound_ns {
            // Not resolved: the greatest stands for it, which is not too low.
            prop_assert_eq!(Some(found), view.max_ns);
        } else {
            prop_assert!(found >= exact, "{parts}: {found} < {exact}");
            prop_assert!(found - exact <= exact / 1_000, "{parts}: {found}, exactly {exact}");
        }
    }
    Ok(())
}

/// Lateness of all sizes, in ns: usual, of a few values only, extreme, beyond the bound.
fn lateness() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 500u64..60_000,
        2 => prop_oneof![Just(0u64), Just(1), Just(2_047), Just(2_048), Just(1_000_000)],
        1 => 900_000u64..4_000_000,
        1 => 3_000_000u64..40_000_000,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Both views against all samples, kept and sorted: no histogram takes part.
    #[test]
    fn percentiles_are_those_of_the_sorted_samples(
        some in prop::collection::vec(lateness(), 1..400),
        times in 1usize..40,
    ) {
        let bound_ns = 8_000_000;
        let period_ns = result::PERIOD.as_nanos();
        let late: Vec<u64> = some.iter().copied().cycle().take(some.len() * times).collect();
        let bound = Duration::from_nanos(bound_ns);
        let series = series_below("cpu 0", bound, late.iter().map(|it| Some(*it)));
        let swallowed = |late: u64| {
            (0..late.div_ceil(period_ns).max(1)).map(move |it| late - it * period_ns)
        };
        let owed: Vec<u64> = late.iter().flat_map(|it| swallowed(*it)).collect();
        agrees(&series.seen, late, bound_ns)?;
        agrees(&series.owed, owed, bound_ns)?;
        json::read(json::write(&report(vec![series]))).unwrap();
    }
}
