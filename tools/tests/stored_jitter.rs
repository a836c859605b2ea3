//! The stored J: what is refused of it, and who says that it is not of this host.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use std::collections::BTreeMap;
use std::process::Command;

use rt_core::os::clock::realtime_ns;
use rt_core::os::host::{HostTexts, facts};
use rt_core::os::jitter::{Method, Stored, StoredHost};
use rt_core::time::Duration;
use serde_json::Value;
use tools::config::{DaemonConfig, describe, jitter};
use tools::netlab::{Process, Scratch};

const BUMPLESS: &str = env!("CARGO_BIN_EXE_bumpless");
const REGIONS: &str = "name = 'plc0'\n[[application]]\nname = 'plc'\n\
                       [[region]]\nname = 'plant'\napplication = 'plc'\n";

fn now_s() -> u64 {
    realtime_ns() / 1_000_000_000
}

/// Measured here, a while ago.
fn stored() -> Stored {
    let host = |name: &str, facts: BTreeMap<String, String>, bound| StoredHost {
        name: name.to_owned(),
        bound: Duration::from_micros(bound),
        method: Method::Extrapolated,
        horizon: Duration::from_secs(360_000),
        samples: 3_600_000,
        facts,
    };
    let here = facts(&HostTexts::read(None));
    let mut there = here.clone();
    there.insert("kernel".to_owned(), "5.4.0-other".to_owned());
    Stored {
        measured_s: now_s() - 3_600,
        program: "bumpless-latency \"x\\y\"".to_owned(),
        jitter: Duration::from_micros(150),
        round_trip: [Duration::from_micros(80), Duration::from_micros(90)],
        hosts: vec![host("a", here, 150), host("b", there, 120)],
    }
}

/// Measured on a host with another kernel.
fn of_another() -> Stored {
    let mut stored = stored();
    stored.hosts.remove(0);
    stored
}

fn file(stored: &Stored) -> String {
    format!("{REGIONS}\n{}", stored.to_toml())
}

#[test]
fn what_derive_writes_is_what_the_daemon_reads() {
    let written = stored();
    let checked = DaemonConfig::from_toml(&file(&written)).unwrap();
    assert!(checked.warnings.is_empty(), "{:?}", checked.warnings);
    assert_eq!(checked.config.jitter.as_ref(), Some(&written));
    let again = DaemonConfig::from_toml(&describe::text(&checked.config, &[])).unwrap();
    assert_eq!(again, checked);
    let document = describe::document(&checked.config, &[]);
    assert_eq!(document["config"]["jitter"]["jitter_ns"], 150_000);
    assert_eq!(document["config"]["jitter"]["host"][1]["facts"]["kernel"], "5.4.0-other");
    assert_eq!(DaemonConfig::from_toml(REGIONS).unwrap().config.jitter, None);
}

const BY: &str = "store what `bumpless latency derive --write` gives, unchanged";

/// What is changed in the file, and all that is said about it.
const DEFECTS: &[(&str, &str, &[&str])] = &[
    ("jitter_ns = 150000\n", "", &["jitter.jitter_ns: missing; BY"]),
    (
        "jitter_ns = 150000",
        "jitter_ns = 0",
        &["jitter.jitter_ns: 0 is out of range; write 1 to 3600000000000"],
    ),
    (
        "jitter_ns = 150000",
        "jitter_ns = 149999",
        &["jitter.jitter_ns: 149999 ns is less than jitter.host[1].bound_ns; BY"],
    ),
    (
        "jitter_ns = 150000",
        "jitter_us = 150",
        &[
            "jitter.jitter_us: no such key; did you mean jitter.jitter_ns?",
            "jitter.jitter_ns: missing; BY",
        ],
    ),
    ("round_trip_b_ns = 90000\n", "", &["jitter.round_trip_b_ns: missing; BY"]),
    (
        "round_trip_a_ns = 80000",
        "round_trip_a_ns = '80 us'",
        &["jitter.round_trip_a_ns: \"80 us\" is not a whole number; write a whole number"],
    ),
    (
        "MEASURED",
        "measured = 'yesterday'",
        &["jitter.measured: \"yesterday\" is no date; write it as in 2026-11-22T16:04:05Z"],
    ),
    ("MEASURED", "", &["jitter.measured: missing; BY"]),
    ("name = \"b\"", "name = \"a\"", &["jitter.host[2].name: \"a\" is the name of both; BY"]),
    (
        "method = \"extrapolated\"",
        "method = 'guessed'",
        &["jitter.host[1].method: \"guessed\" is not known; write one of empirical, extrapolated"],
    ),
    (
        "samples = 3600000",
        "samples = -1",
        &["jitter.host[1].samples: -1 is out of range; write 1 to 9223372036854775807"],
    ),
    (
        "[jitter.host.facts]",
        "[jitter.host.fakts]",
        &[
            "jitter.host[1].fakts: no such key; did you mean jitter.host.facts?",
            "jitter.host[1].facts: missing; BY",
        ],
    ),
    ("\"kernel\" = \"", "\"kernel\" = 6 #", &["jitter.host[1].facts: "]),
];

#[test]
fn what_is_wrong_names_its_key() {
    let whole = file(&stored());
    let measured = whole.lines().find(|it| it.starts_with("measured")).unwrap();
    for (from, to, expected) in DEFECTS {
        let from = if *from == "MEASURED" { measured } else { from };
        assert!(whole.contains(from), "{from}");
        let errors = DaemonConfig::from_toml(&whole.replacen(from, to, 1)).unwrap_err();
        let said: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), expected.len(), "{to}: {said:?}");
        for (said, expected) in said.iter().zip(*expected) {
            let expected = expected.replace("BY", BY);
            assert!(said.starts_with(&expected), "{to}: {said}\nnot {expected}");
        }
    }
    let none = DaemonConfig::from_toml(&format!("{REGIONS}\n[jitter]\n")).unwrap_err();
    assert_eq!(none.0.len(), 6, "{none}");
    let mut three = stored();
    three.hosts.push(three.hosts[0].clone());
    let three = DaemonConfig::from_toml(&file(&three)).unwrap_err();
    assert!(three.to_string().contains("jitter.host: 3 hosts; a pair has one or two"), "{three}");
}

#[test]
fn doubts_are_those_of_this_host() {
    assert_eq!(jitter::warnings(Some(&stored())), []);
    assert_eq!(jitter::warnings(None), []);
    let said = jitter::warnings(Some(&of_another()));
    let [only] = &*said else { panic!("{said:?}") };
    let present = facts(&HostTexts::read(None))["kernel"].clone();
    let expected = format!("kernel was \"5.4.0-other\" and is {present:?})");
    assert!(only.to_string().starts_with("jitter: measured on another host"), "{only}");
    assert!(only.message.contains(&expected), "{only}");
    let old = Stored { measured_s: now_s() - 400 * 86_400, ..stored() };
    let said = jitter::warnings(Some(&old));
    assert!(said[0].message.starts_with("measured 400 days ago, more than 365"), "{said:?}");
}

fn bumpless(arguments: &[&str]) -> (String, Option<i32>) {
    let output = Command::new(BUMPLESS).args(arguments).output().unwrap();
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
}

#[test]
fn check_and_doctor_say_it_before_the_daemon_does() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("plc0.toml");
    let name = path.to_str().unwrap();
    let level = |document: &Value| {
        let findings = document["findings"].as_array().unwrap().iter();
        let levels: Vec<_> =
            findings.filter(|it| it["id"] == "jitter").map(|it| it["level"].clone()).collect();
        levels
    };
    for (stored, is_doubted) in [(stored(), false), (of_another(), true)] {
        std::fs::write(&path, file(&stored)).unwrap();
        let (said, code) = bumpless(&["check", name]);
        assert_eq!(code, Some(0));
        assert_eq!(said.contains("# WARNING jitter: measured on another host"), is_doubted);
        let (said, _) = bumpless(&["check", "--json", name]);
        let document: Value = serde_json::from_str(&said).unwrap();
        let warnings = document["warnings"].as_array().unwrap();
        assert_eq!(warnings.iter().any(|it| it["key"] == "jitter"), is_doubted);
        let (said, _) = bumpless(&["doctor", "--json", "--config", name]);
        let expected = if is_doubted { "warning" } else { "fine" };
        assert_eq!(level(&serde_json::from_str(&said).unwrap()), [expected]);
    }
    std::fs::write(&path, REGIONS).unwrap();
    let (said, _) = bumpless(&["doctor", "--json", "--config", name]);
    let none: [&str; 0] = [];
    assert_eq!(level(&serde_json::from_str(&said).unwrap()), none);
}

#[test]
fn the_daemon_tells_it_in_log_and_status() {
    let patience = std::time::Duration::from_secs(20);
    for (stored, is_doubted) in [(stored(), false), (of_another(), true)] {
        let scratch = Scratch::new().unwrap();
        let (path, folder) = (scratch.path().join("plc0.toml"), scratch.path().join("run"));
        std::fs::write(&path, file(&stored)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bumplessd"));
        command.arg("--config").arg(&path).arg("--runtime-dir").arg(&folder);
        let daemon = Process::spawn("bumplessd", command).unwrap();
        let ready = daemon.wait_out(|line| line == "ready", patience);
        assert!(ready.is_some(), "{}{}", daemon.out(), daemon.err());
        let (said, code) =
            bumpless(&["status", "--json", "--runtime-dir", folder.to_str().unwrap()]);
        assert_eq!(code, Some(0));
        let status: Value = serde_json::from_str(&said).unwrap();
        let degraded = status["degraded"].as_array().unwrap();
        assert_eq!(degraded.len(), usize::from(is_doubted), "{status}");
        let log = daemon.out() + &daemon.err();
        assert_eq!(log.contains("measured on another host"), is_doubted, "{log}");
        assert!(daemon.stop().unwrap().status.success());
    }
}
