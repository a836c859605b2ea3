//! `bumpless plan` asked about a takeover: what docs/takeover-timers.md shows, documents against
//! their schema, and what an engineer may mistype.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use std::collections::BTreeMap;
use std::process::Command;

use rt_core::os::clock::realtime_ns;
use rt_core::os::host::{HostTexts, facts};
use rt_core::os::jitter::{Method, Stored, StoredHost};
use rt_core::time::Duration;
use serde_json::Value;
use tools::netlab::Scratch;

#[path = "doctor/schema.rs"]
mod schema;

const PAGE: &str = "docs/takeover-timers.md";
const FAST: &str = "--cycle 1ms --recovery-time 10ms --jitter 150us --round-trip 100us";
const WITNESS: &str = "--witness-round-trip 250us";

fn plan(line: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bumpless"));
    let output = command.arg("plan").args(line.split_whitespace()).output().unwrap();
    let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn document(line: &str) -> Value {
    let (code, out, err) = plan(&format!("--json {line}"));
    let document: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{line}: {err}"));
    schema::check_schema("plan_takeover.json", &document);
    let expected = if document["possible"] == true { 0 } else { 1 };
    assert_eq!(code, Some(expected), "{line}");
    document
}

/// Each command of the page is run, and what stands below it is what it prints.
#[test]
fn what_the_page_shows_is_what_is_printed() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(PAGE);
    let text = std::fs::read_to_string(path).unwrap();
    let mut blocks = text.split("```").skip(1).step_by(2);
    let mut shown = 0;
    while let Some(block) = blocks.next() {
        let line = block.strip_prefix("sh\nbumpless plan ").expect("a command").trim_end();
        let printed = plan(line).1;
        let listing = blocks.next().unwrap().strip_prefix("text\n").expect("what it prints");
        assert_eq!(listing, printed, "{line}");
        shown += 1;
    }
    assert!(shown >= 4, "{shown}");
}

#[test]
fn documents_are_as_their_schema_says() {
    let all = [
        format!("{FAST} {WITNESS}"),
        format!("{FAST} {WITNESS} --hold-time a=3ms --hold-time 4ms --recovery-point 0"),
        format!("{FAST} --mode l --latch-round-trip 100us --loss-ppm 1000"),
        format!("{FAST} --mode F --fence-time 1ms --watchdog 1500ms"),
        format!("{FAST} --mode M --hold-time 1ms"),
        format!("{FAST} --mode same-host --fence-time 40us"),
        format!("{FAST} {WITNESS} --heartbeat 100us --lease 1ms --promise 1ms"),
    ];
    let documents = all.map(|line| document(&line));
    let possible = documents.each_ref().map(|it| it["possible"] == true);
    assert_eq!(possible, [true, false, true, false, false, true, false]);
    for document in &documents {
        let failed = document["inequalities"].as_array().unwrap().iter();
        let failed = failed.chain(document["outputs"].as_array().unwrap());
        let failed = failed.filter(|it| it["holds"] == false).count();
        let because = document["because"].as_array().unwrap().len();
        assert_eq!(because == 0, failed == 0, "{document}");
        let silent = &document["bounds"]["silent_crash"];
        assert_eq!(silent.is_null(), document["mode"] == "M");
    }
    assert!(documents[6]["cautions"][0].as_str().unwrap().contains("a late one counts as lost"));
}

/// What is proposed is asked again.
#[test]
fn what_it_would_need_is_enough_when_it_is_given() {
    let line = format!("--cycle 1ms --jitter 150us --round-trip 100us {WITNESS}");
    let refused = document(&format!("{line} --recovery-time 2ms"));
    let changes = refused["because"][0]["changes"].as_array().unwrap();
    assert!(!changes.is_empty());
    for change in changes {
        assert_eq!(change["suffices"], true);
        let (value, what) = (change["value"].as_u64().unwrap(), change["what"].as_str().unwrap());
        let with = |value: u64| {
            let cycle = if what == "cycle" { value } else { 1_000_000 };
            let recovery = if what == "recovery_time" { value } else { 2_000_000 };
            document(&format!("{line} --cycle {cycle}ns --recovery-time {recovery}ns").replacen(
                "--cycle 1ms ",
                "",
                1,
            ))
        };
        assert_eq!(with(value)["possible"], true, "{change}");
        let next = if change["direction"] == "at_most" { value + 1 } else { value - 1 };
        assert_eq!(with(next)["possible"], false, "{change}");
    }
}

#[test]
fn bad_arguments_end_with_2_and_are_named() {
    let given = format!("--jitter 150us --round-trip 100us {WITNESS}");
    for (line, named) in [
        ("--recovery-time 10", "--recovery-time"),
        ("--recovery-time 10ms", "--cycle"),
        ("--cycle 0us", "--cycle"),
        ("--cycle -1ms", "--cycle"),
        ("--cycle 2h", "--cycle"),
        ("--cycle 99999999999999999999999ms", "--cycle"),
        ("--cycle 1ms", "--jitter"),
        ("--cycle 1ms --jitter 1ms", "--round-trip"),
        ("--cycle 1ms --jitter 1ms --round-trip 1ms", "--witness-round-trip"),
        ("--cycle 1ms --jitter 1ms --round-trip 1ms --mode L", "--latch-round-trip"),
        ("--cycle 1ms --jitter 1ms --round-trip 1ms --mode F", "--fence-time"),
        ("--cycle 1ms --jitter 1ms --round-trip 1ms --mode H", "--fence-time"),
        ("--cycle 1ms --mode Q", "--mode"),
        (&format!("--cycle 1ms {given}"), "--recovery-time"),
        (&format!("--cycle 1ms {given} --mode M"), "--witness-round-trip"),
        (&format!("{FAST} {WITNESS} --watchdog 1s"), "--watchdog"),
        (&format!("{FAST} {WITNESS} --slack 1001us"), "--slack"),
        (&format!("{FAST} {WITNESS} --hold-time a=1ms --hold-time a=2ms"), "--hold-time"),
        (&format!("{FAST} {WITNESS} --hold-time =1ms"), "--hold-time"),
        (&format!("{FAST} {WITNESS} --recovery-point -1"), "--recovery-point"),
        (&format!("{FAST} {WITNESS} --misses 0"), "--misses"),
        (&format!("{FAST} {WITNESS} --drift-ppm 100001"), "--drift-ppm"),
        (&format!("{FAST} {WITNESS} --lease 1ms"), "--heartbeat"),
        (&format!("{FAST} {WITNESS} --transfer-time 1ms"), "--recovery-point"),
        (&"--hold-time 1ms ".repeat(65), "--cycle"),
        (&format!("{FAST} {WITNESS} {}", "--hold-time 1s ".repeat(65)), "--hold-time"),
    ] {
        let (code, out, err) = plan(line);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{line}: {err}");
        assert!(err.contains(named), "{line}: {err}");
    }
}

fn stored(kernel: Option<&str>) -> Stored {
    let mut facts: BTreeMap<String, String> = facts(&HostTexts::read(None));
    facts.extend(kernel.map(|it| ("kernel".to_owned(), it.to_owned())));
    let host = StoredHost {
        name: "a".to_owned(),
        bound: Duration::from_micros(150),
        method: Method::Empirical,
        horizon: Duration::from_secs(3_600),
        samples: 3_600_000,
        facts,
    };
    Stored {
        measured_s: realtime_ns() / 1_000_000_000 - 60,
        program: "bumpless-latency 0.1.0".to_owned(),
        jitter: Duration::from_micros(150),
        round_trip: [Duration::from_micros(100), Duration::from_micros(90)],
        hosts: vec![host],
    }
}

#[test]
fn the_stored_j_is_taken_and_doubted() {
    let scratch = Scratch::new().unwrap();
    let file = scratch.path().join("plc0.toml");
    let written = |stored: Option<Stored>| {
        let stored = stored.map(|it| it.to_toml()).unwrap_or_default();
        let text = format!(
            "name = 'plc0'\n[[application]]\nname = 'plc'\n[[region]]\nname = 'plant'\n\
             application = 'plc'\n{stored}"
        );
        std::fs::write(&file, text).unwrap();
        format!("--config {} --cycle 1ms --recovery-time 10ms {WITNESS}", file.display())
    };
    let given = document(&format!("{FAST} {WITNESS}"));
    assert_eq!(document(&written(Some(stored(None)))), given);
    let doubted = document(&written(Some(stored(Some("5.4.0-other")))));
    assert!(doubted["cautions"][0].as_str().unwrap().contains("5.4.0-other"), "{doubted}");
    assert_eq!(doubted["timers"], given["timers"]);
    let worse = document(&(written(Some(stored(None))) + " --jitter 300us"));
    assert_eq!(worse["asked"]["jitter_ns"], 300_000);
    let (code, _, err) = plan(&written(None));
    assert!(code == Some(2) && err.contains("--jitter"), "{err}");
}

#[test]
fn without_a_question_the_threads_are_shown() {
    let (code, out, err) = plan("");
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.starts_with("Thread ") && !out.contains("ossible"), "{out}");
}
