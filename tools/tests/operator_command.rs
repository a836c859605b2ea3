//! The command `bumpless` as a process, against a control server that the test runs; and its JSON
//! against the published schemas.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod fake_daemon;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use clap::CommandFactory;
use fake_daemon::{FakeDaemon, FakeSource, TestFolder};
use serde_json::Value;
use tools::control::instance::{Selection, select};
use tools::control::socket_path;
use tools::exit::ExitCode;
use tools::report::{Event, Severity};

const PROGRAM: &str = env!("CARGO_BIN_EXE_bumpless");

fn bumpless(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

/// Runs a subcommand against the daemon of a folder; code, stdout, stderr.
fn ask(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let folder = folder.to_str().unwrap();
    outcome(&bumpless(&[arguments, &["--runtime-dir", folder]].concat()))
}

fn outcome(output: &Output) -> (Option<i32>, String, String) {
    (
        output.status.code(),
        String::from_utf8(output.stdout.clone()).unwrap(),
        String::from_utf8(output.stderr.clone()).unwrap(),
    )
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs")
}

/// Checks a document against its schema, both ways: it is valid, and the schema describes every key
/// that is there.
fn check_schema(name: &str, document: &Value) {
    let path = docs().join("schema").join(name);
    let schema: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource(name, schema.clone()).unwrap();
    let index = compiler.compile(name, &mut schemas).unwrap();
    if let Err(error) = schemas.validate(document, index) {
        panic!("{name}: {error:#}");
    }
    described(name, document, &schema);
}

fn described(path: &str, value: &Value, schema: &Value) {
    let schema = schema.get("anyOf").map_or(schema, |any| &any[1]);
    match value {
        Value::Object(object) => {
            let Some(properties) = schema.get("properties") else { return };
            for (key, inner) in object {
                let known = properties.get(key);
                described(
                    &format!("{path}.{key}"),
                    inner,
                    known.unwrap_or_else(|| panic!("{path}.{key}: not in the schema")),
                );
            }
        }
        Value::Array(list) => {
            for inner in list {
                described(path, inner, &schema["items"]);
            }
        }
        _ => {}
    }
}

fn json_of(folder: &Path, arguments: &[&str]) -> Value {
    let (code, out, err) = ask(folder, &[arguments, &["--json"]].concat());
    assert_eq!((code, err.as_str()), (Some(0), ""), "{arguments:?}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}"))
}

#[test]
fn documents_are_as_their_schemas_say() {
    let folder = TestFolder::new();
    let daemon = FakeDaemon::start(&folder.0, FakeSource::default());
    for (subcommand, schema) in [
        ("status", "status.json"),
        ("nodes", "nodes.json"),
        ("counters", "counters.json"),
        ("events", "events.json"),
        ("regions", "regions.json"),
        ("switchover --force --application plc", "switchover.json"),
    ] {
        let subcommand: Vec<&str> = subcommand.split(' ').collect();
        check_schema(schema, &json_of(&folder.0, &subcommand));
    }
    daemon.source.lock().unwrap().status = fake_daemon::status_in_trouble();
    let status = json_of(&folder.0, &["status"]);
    check_schema("status.json", &status);
    assert_eq!(status["ports"]["b"]["link"], "absent");
    assert!(status["ports"]["interlink"].is_null());
}

#[test]
fn a_daemon_that_keeps_regions_only_has_a_status_without_frames() {
    let status = serde_json::to_value(fake_daemon::regions_status()).unwrap();
    check_schema("status.json", &status);
    assert!(status["protocol"].is_null() && status.get("ports").is_none());
    let mut of_lans = serde_json::to_value(fake_daemon::status()).unwrap();
    of_lans.as_object_mut().unwrap().remove("ports");
    let caught = std::panic::catch_unwind(|| check_schema("status.json", &of_lans));
    assert!(caught.is_err(), "with LANs it may not lack its ports");
}

#[test]
fn what_was_ordered_and_cannot_be_is_said_with_the_daemons_reason() {
    let folder = TestFolder::new();
    let _daemon = FakeDaemon::start(&folder.0, FakeSource::default());
    let (code, out, err) = ask(&folder.0, &["switchover", "--force"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(err, "bumpless: the daemon refused: several applications are configured\n");
    let (code, out, _) = ask(&folder.0, &["switchover", "--force", "--application", "plc"]);
    assert_eq!(code, Some(0));
    assert_eq!(out, "application plc: process 813 is active now, in epoch 8\n");
    let (code, out, _) = ask(&folder.0, &["regions"]);
    assert_eq!(code, Some(0));
    for part in ["process 812", "waits for 700", "plant", "64.0 KiB", "1,000", "900 µs"] {
        assert!(out.contains(part), "{part}: {out}");
    }
}

#[test]
fn a_document_of_another_shape_is_caught() {
    let mut status = serde_json::to_value(fake_daemon::status()).unwrap();
    check_schema("status.json", &status);
    status["ports"]["a"]["link"] = "sideways".into();
    let caught = std::panic::catch_unwind(|| check_schema("status.json", &status));
    assert!(caught.is_err(), "the check would pass anything");
}

#[test]
fn what_scripts_rely_on_is_there() {
    let folder = TestFolder::new();
    let _daemon = FakeDaemon::start(&folder.0, FakeSource::default());
    let status = json_of(&folder.0, &["status"]);
    for key in [
        "version",
        "name",
        "protocol",
        "uptime_ns",
        "degraded",
        "ports",
        "counters",
        "nodes",
        "threads",
    ] {
        assert!(status.get(key).is_some(), "status has no {key}");
    }
    assert_eq!(status["counters"]["lreCntTxA"], 1_234_567);
    assert_eq!(status["threads"][0]["priority"], 60);
    let nodes = json_of(&folder.0, &["nodes"]);
    let nodes = nodes.as_array().unwrap();
    assert_eq!(nodes.len(), 8);
    assert_eq!(nodes[2]["kind"], "danp");
    assert_eq!(nodes[2]["last_seen_a_ns"], 12_000_000);
    assert!(nodes[3]["last_seen_b_ns"].is_null());
    assert_eq!(json_of(&folder.0, &["counters"])["counters"].as_object().unwrap().len(), 25);
}

#[test]
fn a_healthy_daemon_reads_as_healthy_at_once() {
    let folder = TestFolder::new();
    let _daemon = FakeDaemon::start(&folder.0, FakeSource::default());
    let (code, out, err) = ask(&folder.0, &["status"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(out.lines().next(), Some("prp0: fine, both LANs carry"));
    assert!(out.contains("up 2 h 3 min"), "{out}");
    assert!(out.contains("\nLAN A sends by packet: eth1 (e1000e) is a network card"), "{out}");
    assert!(!out.contains('\x1b'), "colour without a terminal: {out:?}");
}

#[test]
fn trouble_comes_first_and_worst_first() {
    let folder = TestFolder::new();
    let source = FakeSource { status: fake_daemon::status_in_trouble(), ..FakeSource::default() };
    let daemon = FakeDaemon::start(&folder.0, source);
    let (code, out, _) = ask(&folder.0, &["status"]);
    assert_eq!(code, Some(0));
    let lines: Vec<&str> = out.lines().take(4).collect();
    assert_eq!(lines[0], "prp0: 3 problems");
    assert!(lines[1].starts_with("  ALARM     port A receives frames of the other LAN"), "{out}");
    assert_eq!(lines[2], "  WARNING   no redundancy: LAN B (eth2) does not exist");
    assert!(lines[3].starts_with("  DEGRADED  no real-time scheduling"), "{out}");

    // With both LANs down the daemon's own alarm says it all.
    daemon.source.lock().unwrap().status.ports.a.link = tools::report::Link::Down;
    let (_, out, _) = ask(&folder.0, &["status"]);
    assert!(!out.contains("no redundancy: LAN"), "{out}");
}

#[test]
fn nodes_with_a_problem_come_first() {
    let folder = TestFolder::new();
    let daemon = FakeDaemon::start(&folder.0, FakeSource::default());
    let (_, out, _) = ask(&folder.0, &["nodes"]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "8 nodes, 2 with a problem");
    for line in &lines[3..5] {
        assert!(line.ends_with("NOT HEARD on LAN B"), "{out}");
    }
    assert!(lines[4].contains("12 ms ago") && lines[4].contains("never"), "{out}");
    assert_eq!(out.matches("5 of the other LAN on B").count(), 1, "{out}");
    daemon.source.lock().unwrap().nodes.clear();
    assert_eq!(ask(&folder.0, &["nodes"]).1, "no node was heard yet\n");
}

#[test]
fn counters_are_one_per_line_by_their_full_names() {
    let folder = TestFolder::new();
    let _daemon = FakeDaemon::start(&folder.0, FakeSource::default());
    let (_, out, _) = ask(&folder.0, &["counters"]);
    assert_eq!(out.lines().count(), 26);
    let line = out.lines().find(|line| line.starts_with("lreCntTxA")).unwrap();
    assert!(line.ends_with(" 1,234,567"), "{out}");
}

#[test]
fn events_tell_when_and_what() {
    let folder = TestFolder::new();
    let source = FakeSource { forgotten: 12, ..FakeSource::default() };
    let _daemon = FakeDaemon::start(&folder.0, source);
    let (_, out, _) = ask(&folder.0, &["events"]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 1 + fake_daemon::all_events().len());
    assert_eq!(lines[0], "(12 older events are no longer kept)");
    assert!(lines[1].starts_with("2024-03-01 01:56:39.000Z"), "{}", lines[1]);
    assert!(lines[1].contains("6 min 24 s ago  info    node 02:00:5e:10:00:01"), "{}", lines[1]);
    let is_alarm = |event: &Event| event.severity == Severity::Alarm;
    let alarms = fake_daemon::all_events().iter().filter(|event| is_alarm(event)).count();
    assert!(alarms > 5 && out.matches("ALARM ").count() == alarms, "{alarms} of {out}");
}

#[test]
fn following_prints_what_happens_until_the_daemon_ends() {
    let folder = TestFolder::new();
    let mut all = fake_daemon::all_events();
    let later = all.split_off(3);
    let source = FakeSource { events: all, ..FakeSource::default() };
    let daemon = FakeDaemon::start(&folder.0, source);
    let mut child = Command::new(PROGRAM)
        .args(["events", "--follow", "--json", "--runtime-dir"])
        .arg(&folder.0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    for sequence in 1..=3 {
        let event = next();
        check_schema("event.json", &event);
        assert_eq!(event["sequence"], sequence);
    }
    for event in later {
        let sequence = event.sequence;
        daemon.source.lock().unwrap().events.push(event);
        let event = next();
        check_schema("event.json", &event);
        assert_eq!(event["sequence"], sequence);
    }
    drop(daemon);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(said.contains("the daemon closed the connection"), "{said}");
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let folder = TestFolder::new();
    let source = FakeSource { nodes: fake_daemon::many_nodes(5_000), ..FakeSource::default() };
    let _daemon = FakeDaemon::start(&folder.0, source);
    for arguments in [&["nodes"][..], &["nodes", "--json"], &["status"], &["--help"]] {
        let mut child = Command::new(PROGRAM)
            .args(arguments)
            .args(if arguments == ["--help"] {
                vec![]
            } else {
                vec!["--runtime-dir".as_ref(), folder.0.as_os_str()]
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Closed before anything was read.
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn a_slow_node_table_is_waited_for() {
    let folder = TestFolder::new();
    let source = FakeSource { pending_turns: 20, ..FakeSource::default() };
    let _daemon = FakeDaemon::start(&folder.0, source);
    assert_eq!(json_of(&folder.0, &["nodes"]).as_array().unwrap().len(), 8);
}

#[test]
fn without_a_daemon_it_says_so_and_ends_with_1() {
    let folder = TestFolder::new();
    let (code, out, err) = ask(&folder.0, &["status"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.starts_with("bumpless: no bumplessd runs in "), "{err}");
    // One that died, and one that does not answer (which takes the whole time-out).
    drop(UnixListener::bind(socket_path(&folder.0)).unwrap());
    let (code, _, err) = ask(&folder.0, &["status"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("ended without cleaning up"), "{err}");
    let source = FakeSource { unavailable: Some("not today".to_owned()), ..FakeSource::default() };
    let _daemon = FakeDaemon::start(&folder.0, source);
    let (code, _, err) = ask(&folder.0, &["counters"]);
    assert_eq!(
        (code, err.as_str()),
        (Some(1), "bumpless: the daemon refused: not today; see the daemon's log\n")
    );
}

#[test]
fn without_permission_it_ends_with_3_and_names_the_group() {
    if !nix::unistd::geteuid().is_root() {
        println!("SKIP: without_permission_it_ends_with_3: needs root to become someone else");
        return;
    }
    let folder = TestFolder::new();
    let _daemon = FakeDaemon::start(&folder.0, FakeSource::default());
    let group = nix::unistd::Group::from_name("daemon").unwrap();
    let Some(group) = group else {
        println!("SKIP: without_permission_it_ends_with_3: no group daemon");
        return;
    };
    nix::unistd::chown(&socket_path(&folder.0), None, Some(group.gid)).unwrap();
    // The build folder may be closed to others: run a copy.
    let copy = folder.0.join("bumpless");
    fs::copy(PROGRAM, &copy).unwrap();
    let run = |gid: u32| {
        let mut command = Command::new(&copy);
        command.args(["status", "--runtime-dir"]).arg(&folder.0).uid(65_534).gid(gid);
        outcome(&command.output().unwrap())
    };
    let (code, _, err) = run(65_534);
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains("join the group daemon (usermod -aG daemon USER)"), "{err}");
    let (code, out, err) = run(group.gid.as_raw());
    assert_eq!(code, Some(0), "{out}{err}");

    // A runtime folder that itself is closed to others, as the service has it.
    let closed = folder.0.join("prp0");
    let _daemon = FakeDaemon::start(&closed, FakeSource::default());
    nix::unistd::chown(&closed, None, Some(group.gid)).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o750)).unwrap();
    let mut command = Command::new(&copy);
    command.args(["status", "--runtime-dir"]).arg(&closed).uid(65_534).gid(65_534);
    let (code, _, err) = outcome(&command.output().unwrap());
    assert_eq!(code, Some(3), "{err}");
    assert!(err.contains("join the group daemon"), "{err}");
}

#[test]
fn the_only_instance_is_found_and_several_are_named() {
    let root = TestFolder::new();
    let chosen = |selection: &Selection| select(&root.0, selection);
    let anyone = Selection::default();
    let failure = chosen(&anyone).unwrap_err();
    assert_eq!(failure.code, ExitCode::Failed);
    assert!(failure.message.starts_with("no bumplessd runs here"), "{failure}");

    fs::create_dir(root.0.join("empty")).unwrap();
    let daemon = FakeDaemon::start(&root.0.join("prp1"), FakeSource::default());
    assert_eq!(chosen(&anyone), Ok(root.0.join("prp1")));
    // What a dead one left does not count beside it.
    fs::create_dir(root.0.join("dead")).unwrap();
    drop(UnixListener::bind(socket_path(&root.0.join("dead"))).unwrap());
    assert_eq!(chosen(&anyone), Ok(root.0.join("prp1")));
    let second = FakeDaemon::start(&root.0.join("prp0"), FakeSource::default());
    let failure = chosen(&anyone).unwrap_err();
    assert_eq!(failure.code, ExitCode::Usage);
    assert_eq!(failure.to_string(), "several instances run: prp0, prp1; choose one with --name");

    let named = Selection { name: Some("prp0".to_owned()), runtime_dir: None };
    assert_eq!(chosen(&named), Ok(root.0.join("prp0")));
    let escape = Selection { name: Some("../etc".to_owned()), runtime_dir: None };
    assert_eq!(chosen(&escape).unwrap_err().code, ExitCode::Usage);
    drop((daemon, second));
}

#[test]
fn bad_usage_ends_with_2() {
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["status", "--frobnicate"],
        &["status", "extra"],
        &["status", "--name", "a", "--runtime-dir", "b"],
        &["status", "--name", "../x"],
        &["check"],
        &["top"],
        &["switchover"],
        &["switchover", "--force", "--application", "a/b"],
        &["region", "dump"],
        &["region", "watch", "plant", "--interval-ms", "0"],
    ] {
        let (code, out, err) = outcome(&bumpless(arguments));
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {err}");
        assert!(!err.is_empty(), "{arguments:?}");
    }
    assert_eq!(outcome(&bumpless(&["--version"])).0, Some(0));
}

#[test]
fn check_prints_what_is_understood_and_what_it_takes() {
    let folder = TestFolder::new();
    let file = folder.0.join("test.toml");
    let path = file.to_str().unwrap();
    fs::write(&file, "name='prp0'\nprotocol='prp'\nlan_a='a'\nlan_b='b'\nentry_forget_time_ms=600")
        .unwrap();
    let (code, out, err) = outcome(&bumpless(&["check", path]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let octets = prp::lre::memory_octets(1024);
    for part in [
        "is valid",
        "\nentry_forget_time_ms = 600\n",
        "\n# mac is not set: that of LAN A (a)\n",
        &format!("\n# memory for 1024 nodes: {} KiB, locked at start\n", octets.div_ceil(1024)),
        "\n# WARNING entry_forget_time_ms: 600: ",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (code, out, _) = outcome(&bumpless(&["check", "--json", path]));
    assert_eq!(code, Some(0));
    let document: Value = serde_json::from_str(&out).unwrap();
    check_schema("check.json", &document);
    assert_eq!(document["config"]["threads"]["lre"]["priority"], 60);
    assert_eq!(document["memory_table_octets"], octets);

    fs::write(&file, "name='prp0'\nprotocol='prp'\nlan_a='a'\nlan_b='a'\nhost_mtu=9000").unwrap();
    let (code, out, err) = outcome(&bumpless(&["check", path]));
    assert_eq!((code, out.as_str()), (Some(2), ""));
    let heads: Vec<String> =
        ["lan_b", "host_mtu"].map(|key| format!("bumpless: {path}: {key}: ")).to_vec();
    for (line, head) in err.lines().zip(&heads) {
        assert!(line.starts_with(head), "{err}");
    }
    assert_eq!(err.lines().count(), 2, "{err}");
    let (code, out, _) = outcome(&bumpless(&["check", "--json", path]));
    assert_eq!(code, Some(2));
    let document: Value = serde_json::from_str(&out).unwrap();
    check_schema("check.json", &document);
    assert_eq!(document["errors"][0]["key"], "lan_b");
}

#[test]
fn the_manual_describes_every_subcommand_and_option_and_none_besides() {
    let page = fs::read_to_string(docs().join("man/bumpless.1")).unwrap();
    let word = |rest: &str| rest.split_whitespace().next().map(str::to_owned).unwrap_or_default();
    let mut described: Vec<String> =
        page.lines().filter_map(|line| line.strip_prefix(".It Cm ")).map(word).collect();
    let cli = tools::cli::Cli::command();
    let mut known: Vec<String> =
        cli.get_subcommands().map(|subcommand| subcommand.get_name().to_owned()).collect();
    described.sort();
    known.sort();
    assert_eq!(described, known);

    let mut described: Vec<String> =
        page.lines().filter_map(|line| line.strip_prefix(".It Fl Fl ")).map(word).collect();
    let mut options: Vec<String> = cli
        .get_subcommands()
        .flat_map(|it| std::iter::once(it).chain(it.get_subcommands()))
        .flat_map(|subcommand| subcommand.get_arguments())
        .filter_map(|argument| argument.get_long().map(str::to_owned))
        .chain(["help".to_owned(), "version".to_owned()])
        .collect();
    options.sort();
    options.dedup();
    described.sort();
    assert_eq!(described, options);
}
