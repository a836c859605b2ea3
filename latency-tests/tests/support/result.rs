//! Results of latency runs, made up and real.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "shared by test files that use different parts")]

use std::fs;
use std::path::Path;

use latency_tests::latency::environment::{Environment, Look};
use latency_tests::latency::report::{
    Gate, Measure, PROGRAM, Probe, Report, Run, SCHEMA, Series, Settings, ThreadFacts, Verdict,
};
use rt_core::os::clock::{self, MonotonicClock};
use rt_core::os::recorder::{Plan, Recorder};
use rt_core::time::{Duration, Instant};
use serde_json::Value;
use tools::report::doctor::{FindingRow, RemedyRow};

pub(crate) const PERIOD: Duration = Duration::from_millis(1);

/// A recorder's begin.
pub(crate) const BEGIN: Instant = Instant::from_nanos(1_000_000_000);

/// A thread whose planned cycles were so late, each in turn; cycles that one swallows are taken
/// from the list, too, and `None` is lost.
pub(crate) fn series_of(name: &str, late_ns: impl IntoIterator<Item = Option<u64>>) -> Series {
    series_below(name, Duration::from_secs(60), late_ns)
}

/// The same, with a bound of the histograms.
pub(crate) fn series_below(
    name: &str,
    highest: Duration,
    late_ns: impl IntoIterator<Item = Option<u64>>,
) -> Series {
    let mut recorder = Recorder::new(Plan { highest, ..Plan::new(BEGIN, PERIOD) }).unwrap();
    let mut planned = BEGIN;
    for late in late_ns {
        match late {
            Some(late) => {
                planned = recorder.record(planned, planned + Duration::from_nanos(late)).next;
            }
            None => {
                recorder.record_lost(planned);
                planned += PERIOD;
            }
        }
    }
    Series::new(name, Measure::Lateness, &recorder.finish())
}

/// A thread that slept, here and now.
pub(crate) fn slept(cpu: usize, cycles: u32) -> Series {
    let begin = MonotonicClock::now() + PERIOD;
    let mut recorder = Recorder::new(Plan::new(begin, PERIOD)).unwrap();
    let mut planned = begin;
    for _ in 0..cycles {
        clock::sleep_until(planned);
        planned = recorder.record(planned, MonotonicClock::now()).next;
    }
    Series::new(format!("cpu {cpu}"), Measure::Lateness, &recorder.finish())
}

/// A run of the wake-up probe.
pub(crate) fn run(series: Vec<Series>) -> Run {
    let cycles = series.iter().map(Series::cycles).max().unwrap_or(0);
    let span_ns = cycles * PERIOD.as_nanos();
    Run {
        probe: Probe::Wakeup,
        settings: Settings {
            interval_ns: PERIOD.as_nanos(),
            policy: "SCHED_FIFO".into(),
            priority: 80,
            cpus: (0..series.len()).collect(),
            cpu_dma_latency_us: Some(0),
            memory_locked: true,
            ..Settings::default()
        },
        planned_ns: span_ns,
        duration_ns: span_ns,
        ended_early: false,
        suspended_ns: 0,
        environment: Environment::default(),
        series,
    }
}

/// A valid result without gates.
pub(crate) fn report(series: Vec<Series>) -> Report {
    Report {
        schema: SCHEMA,
        program: PROGRAM.into(),
        version: "0.1.0".into(),
        command: ["wakeup", "-i", "1000"].map(String::from).into(),
        began: "2026-11-22T16:37:41Z".into(),
        host: [("kernel", "6.12.1-rt"), ("preemption", "PREEMPT_RT")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        findings: Vec::new(),
        runs: vec![run(series)],
        gates: Vec::new(),
        cautions: Vec::new(),
        invalid: Vec::new(),
        verdict: Verdict::Pass,
    }
}

/// A result with something in each of its places: stalls, lost cycles, overflow, gates, findings.
pub(crate) fn full_report() -> Report {
    let late = |it: u64| match it % 1_000 {
        7 => None,
        13 => Some(5_250_000),
        500 => Some(70_000_000),
        _ => Some(2_000 + it * 7_919 % 9_001),
    };
    let thread = ThreadFacts {
        name: "probe 3".into(),
        policy: "SCHED_FIFO".into(),
        priority: 80,
        cpus: vec![3],
        shortfalls: vec!["memory could not be locked".into()],
        preemptions: 2,
        page_faults: 1,
    };
    let many = series_of("cpu 3", (0..70_000).map(late)).by(thread);
    let bound = Duration::from_millis(50);
    let beyond = series_below("cpu 4", bound, (0..4_000).map(late));
    let mut report = report(vec![many, beyond, series_of("lan a, second", [])]);
    let run = &mut report.runs[0];
    run.environment = Look::at(&[0]).until(&Look::at(&[0]));
    run.settings.stress = vec!["cpu".into()];
    run.settings.more = [("peer".to_owned(), "02:00:00:00:00:01".to_owned())].into();
    let gate = |name: &str, limit, found, exceeded| Gate {
        name: name.into(),
        limit,
        found,
        series: "wakeup cpu 3".into(),
        exceeded,
    };
    report.gates = vec![
        gate("max_us", 100.0, Some(70_000.0), true),
        gate("p9999_us", 1e6, Some(69_000.5), false),
        gate("max_lost", 0.0, None, true),
    ];
    report.findings = vec![FindingRow {
        id: "kernel.preempt_rt".into(),
        subject: "kernel".into(),
        level: "warning".into(),
        seen: "not PREEMPT_RT".into(),
        consequence: "wakes late".into(),
        remedies: vec![RemedyRow { kind: "advice".into(), text: "another kernel".into() }],
        fixable_now: false,
    }];
    report.cautions = vec!["this is a guest".into()];
    report.verdict = Verdict::Exceeded;
    report
}

/// Checks a document against its published schema, and that the schema describes every key that
/// is there.
#[track_caller]
pub(crate) fn check_schema(name: &str, document: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema").join(name);
    let schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource(name, schema.clone()).unwrap();
    let index = compiler.compile(name, &mut schemas).unwrap();
    if let Err(error) = schemas.validate(document, index) {
        panic!("{name}: {error:#}");
    }
    described(name, document, &schema, &schema);
}

fn described(path: &str, value: &Value, schema: &Value, root: &Value) {
    let name = schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/"));
    let schema = name.map_or(schema, |name| &root["$defs"][name]);
    assert!(schema["description"].is_string(), "{path}: not described");
    match value {
        Value::Object(object) if schema["additionalProperties"].is_null() => {
            for (key, inner) in object {
                let known = schema["properties"].get(key);
                let known = known.unwrap_or_else(|| panic!("{path}.{key}: not in the schema"));
                described(&format!("{path}.{key}"), inner, known, root);
            }
        }
        Value::Array(list) => {
            for inner in list.iter().filter(|inner| inner.is_object() || inner.is_array()) {
                described(path, inner, &schema["items"], root);
            }
        }
        _ => {}
    }
}
