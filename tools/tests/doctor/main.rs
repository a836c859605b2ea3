//! `bumpless doctor` and `bumpless plan` as processes: on hosts made of files, on this host, on
//! interfaces of a namespace of the test's own; and the checks of LAN interfaces one by one.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

#[path = "../fake_daemon/mod.rs"]
mod fake_daemon;
mod nics;
mod schema;
#[allow(dead_code, reason = "the other test uses the rest")]
#[path = "../../../rt-core/tests/host_checks/tree.rs"]
mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use fake_daemon::{FakeDaemon, FakeSource, TestFolder};
use prp::os::link::Links;
use prp::os::netns::{NetNs, command_in};
use schema::check_schema;
use serde_json::Value;
use tree::Tree;

const PROGRAM: &str = env!("CARGO_BIN_EXE_bumpless");

fn outcome(output: &Output) -> (Option<i32>, String, String) {
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn bumpless(arguments: &[&str]) -> (Option<i32>, String, String) {
    outcome(&Command::new(PROGRAM).args(arguments).output().unwrap())
}

/// The program where others may run it, for the build folder may be closed to them. Another process
/// copies: what this one has open for writing, a process that another test starts just then holds
/// open, too, and the copy cannot be run meanwhile.
fn copy_for_others(folder: &TestFolder) -> PathBuf {
    let copy = folder.0.join("bumpless");
    assert!(Command::new("cp").arg(PROGRAM).arg(&copy).status().unwrap().success());
    copy
}

/// Judges a host made of files.
fn doctor(tree: &Tree, arguments: &[&str]) -> (Option<i32>, String, String) {
    let root = tree.0.to_str().unwrap();
    bumpless(&[&["doctor", "--root", root], arguments].concat())
}

fn document(text: &str) -> Value {
    let document = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    check_schema("doctor.json", &document);
    document
}

/// A host with defects of all kinds that files can show, some of which can be set.
fn spoiled() -> Tree {
    let tree = Tree::fit();
    tree.write_all(&[
        ("/proc/sys/vm/compact_unevictable_allowed", "1\n"),
        ("/sys/kernel/mm/ksm/run", "1\n"),
        ("/sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "powersave\n"),
        ("/proc/irq/24/effective_affinity_list", "3\n"),
        ("/proc/swaps", "Filename\tType\n/dev/sda2 partition\n"),
        ("/proc/sys/kernel/nmi_watchdog", "soon\n"),
    ]);
    tree
}

/// Every file of a tree with its text.
fn content(tree: &Tree) -> BTreeMap<PathBuf, String> {
    fn walk(folder: &Path, out: &mut BTreeMap<PathBuf, String>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, out);
            } else {
                out.insert(path.clone(), fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut all = BTreeMap::new();
    walk(&tree.0, &mut all);
    all
}

#[test]
fn a_fit_host_ends_with_0_and_says_so() {
    let tree = Tree::fit();
    let (code, out, err) = doctor(&tree, &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("thread lre SCHED_FIFO 60 on CPU 3"), "{out}");
    assert!(out.trim_end().ends_with("fit for real time"), "{out}");
    let (code, out, _) = doctor(&tree, &["--json"]);
    assert_eq!(code, Some(0));
    let document = document(&out);
    assert_eq!(document["verdict"], "fit");
    assert_eq!(document["judged_for"]["source"], "defaults");
    assert_eq!(document["changes"].as_array().unwrap().len(), 0);
}

#[test]
fn what_is_wrong_comes_first_with_what_to_do_and_ends_with_1() {
    let tree = spoiled();
    let (code, out, err) = doctor(&tree, &[]);
    assert_eq!((code, err.as_str()), (Some(1), ""), "{out}");
    let heads: Vec<&str> = out
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|word| ["PROBLEM", "WARNING", "unknown", "note", "fine"].contains(word))
        .collect();
    let expected = ["WARNING", "WARNING", "WARNING", "unknown", "note", "note", "fine"];
    assert_eq!(heads, expected, "{out}");
    assert!(out.contains("→ sysctl -w vm.compact_unevictable_allowed=0"), "{out}");
    assert!(out.contains("Can be set now: 4 settings"), "{out}");
    assert!(out.lines().all(|line| !line.starts_with("    ") || line.chars().count() <= 100));
    assert!(out.contains("0 problems, 3 warnings, 2 notes, 1 unknown"), "{out}");
    let (code, out, _) = doctor(&tree, &["--json"]);
    assert_eq!(code, Some(1));
    let document = document(&out);
    assert_eq!(document["verdict"], "usable");
    assert_eq!(document["boot_parameters"], serde_json::json!(["irqaffinity=0-2"]));
    assert_eq!(document["changes"][0]["outcome"], "planned");
}

#[test]
fn a_problem_makes_a_host_unfit() {
    let tree = Tree::fit();
    tree.write("/proc/sys/kernel/sched_rt_runtime_us", "0\n");
    let (code, out, _) = doctor(&tree, &["--json"]);
    assert_eq!((code, &document(&out)["verdict"]), (Some(1), &Value::from("unfit")));
}

#[test]
fn a_host_that_cannot_be_seen_is_neither_fit_nor_usable() {
    let tree = Tree::new();
    let (code, out, _) = doctor(&tree, &[]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.trim_end().ends_with("it cannot be told: most of the host was not to be seen"));
    assert!(!out.contains("as root") && !out.contains("use a machine"), "{out}");
    let (code, out, _) = doctor(&tree, &["--json"]);
    assert_eq!((code, &document(&out)["verdict"]), (Some(1), &Value::from("unknown")));
    // A problem that is seen is one, whatever else is not.
    tree.write_all(&[
        ("/proc/sys/kernel/sched_rt_runtime_us", "0\n"),
        ("/proc/sys/kernel/sched_rt_period_us", "1000000\n"),
    ]);
    let (_, out, _) = doctor(&tree, &["--json"]);
    assert_eq!(document(&out)["verdict"], "unfit");
}

#[test]
fn a_cpu_that_does_not_exist_has_one_finding() {
    let folder = TestFolder::new();
    let file = folder.0.join("prp0.toml");
    let text = "name = \"prp0\"\nprotocol = \"prp\"\nlan_a = \"q1\"\nlan_b = \"q2\"\n\
                receive_mode = \"busy\"\n[threads.lre]\ncpu = 99\n";
    fs::write(&file, text).unwrap();
    let (code, out, err) = doctor(&Tree::fit(), &["--json", "--config", file.to_str().unwrap()]);
    assert_eq!((code, err.as_str()), (Some(1), ""));
    let judged = document(&out);
    let findings = judged["findings"].as_array().unwrap();
    let about: Vec<&Value> = findings.iter().filter(|f| f.to_string().contains("99")).collect();
    assert_eq!(about.len(), 1, "{about:#?}");
    assert_eq!((&about[0]["id"], &about[0]["level"]), (&"cpu_online".into(), &"problem".into()));
    assert!(about[0]["seen"].as_str().unwrap().contains("does not exist"), "{about:#?}");
    assert!(!about[0]["remedies"].to_string().contains("echo"), "{about:#?}");
    assert_eq!(judged["boot_parameters"], serde_json::json!([]));
}

#[test]
fn who_is_root_already_is_not_sent_to_become_root() {
    let namespace = NetNs::create().ok().filter(|_| nix::unistd::geteuid().is_root());
    let Some(namespace) = namespace else {
        println!("SKIP: who_is_root_already: root: needs network namespaces");
        return;
    };
    let folder = TestFolder::new();
    let file = folder.0.join("prp0.toml");
    let text = "name = \"prp0\"\nprotocol = \"prp\"\nlan_a = \"q1\"\nlan_b = \"q2\"\n\
                receive_mode = \"busy\"\n[threads.lre]\ncpu = 0\n";
    fs::write(&file, text).unwrap();
    // Its `/sys` has no debugfs: as `ip netns exec` does it.
    let output = namespace.run_with_sys(|_| {
        Command::new(PROGRAM).args(["doctor", "--json", "--config"]).arg(&file).output().unwrap()
    });
    let (_, out, err) = outcome(&output.unwrap());
    assert_eq!(err, "");
    let judged = document(&out);
    for finding in judged["findings"].as_array().unwrap() {
        assert!(!finding["remedies"].to_string().contains("as root"), "{finding}");
        if finding["id"] == "fair_server" && finding["level"] == "unknown" {
            assert!(finding["remedies"].to_string().contains("debugfs"), "{finding}");
        }
    }
}

#[test]
fn fix_names_no_parameter_that_its_command_line_lacks() {
    let tree = Tree::fit();
    tree.write("/proc/irq/default_smp_affinity", "f\n");
    let (_, out, _) = doctor(&tree, &["--fix"]);
    assert!(out.contains("Interrupts may get other numbers"), "{out}");
    let (_, block) = out.split_once("replace what is there of the same name:\n").unwrap();
    assert!(block.starts_with("    irqaffinity=0-2\n"), "{out}");
    assert!(!out.contains("managed_irq"), "{out}");
}

#[test]
fn fix_without_a_terminal_shows_and_changes_nothing() {
    let tree = spoiled();
    let before = content(&tree);
    for arguments in [&["--fix"][..], &["--fix", "--json"]] {
        let (code, out, err) = doctor(&tree, arguments);
        assert_eq!((code, err.as_str()), (Some(1), ""), "{out}");
        assert!(out.contains("/sys/kernel/mm/ksm/run"), "{out}");
        assert_eq!(content(&tree), before);
    }
    let (_, out, _) = doctor(&tree, &["--fix"]);
    assert!(out.contains("/sys/kernel/mm/ksm/run: 1 → 0"), "{out}");
    assert!(out.contains("Nothing was set"), "{out}");
    assert!(out.contains("in /etc/sysctl.d/90-bumpless.conf:\n    vm/compact"), "{out}");
}

#[test]
fn fix_sets_what_it_listed_and_nothing_else() {
    let tree = spoiled();
    let before = content(&tree);
    let (code, out, err) = doctor(&tree, &["--fix", "--yes"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let after = content(&tree);
    let changed: Vec<(String, String)> = after
        .iter()
        .filter(|(path, text)| before.get(*path) != Some(text))
        .map(|(path, text)| {
            let path = path.strip_prefix(&tree.0).unwrap().display();
            (format!("/{path}"), text.trim().to_owned())
        })
        .collect();
    let expected = [
        ("/proc/irq/24/smp_affinity_list", "0-2"),
        ("/proc/sys/vm/compact_unevictable_allowed", "0"),
        ("/sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "performance"),
        ("/sys/kernel/mm/ksm/run", "0"),
    ];
    let expected = expected.map(|(path, text)| (path.to_owned(), text.to_owned()));
    assert_eq!(changed, expected);
    assert_eq!(before.len(), after.len(), "no file came or went");
    for (path, _) in expected {
        assert!(out.contains(&format!("set      {path} is")), "{path}: {out}");
    }
    // Each line of what takes it back does so.
    let (_, undo) = out.split_once("To take it back:\n").unwrap();
    for line in undo.lines().take_while(|line| line.starts_with("    ")) {
        let line = line.trim();
        let (path, value) = if let Some(setting) = line.strip_prefix("sysctl -w ") {
            let (name, value) = setting.split_once('=').unwrap();
            (format!("/proc/sys/{}", name.replace('.', "/")), value)
        } else {
            let (value, path) = line.strip_prefix("echo ").unwrap().split_once(" > ").unwrap();
            (path.to_owned(), value)
        };
        tree.write(&path, &format!("{value}\n"));
    }
    assert_eq!(content(&tree), before);
}

#[test]
fn fix_reports_as_a_document_what_became_of_each_setting() {
    let tree = spoiled();
    let (code, out, _) = doctor(&tree, &["--fix", "--yes", "--json"]);
    assert_eq!(code, Some(0), "{out}");
    let document = document(&out);
    let changes = document["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 4);
    assert!(changes.iter().all(|change| change["outcome"] == "applied"), "{out}");
    assert_eq!(document["verdict"], "fit", "judged again afterwards");
}

#[test]
fn fix_without_the_privilege_ends_with_3_and_changes_nothing() {
    if !nix::unistd::geteuid().is_root() {
        println!("SKIP: fix_without_the_privilege_ends_with_3: root: needs to become someone else");
        return;
    }
    let tree = spoiled();
    let before = content(&tree);
    let folder = TestFolder::new();
    let copy = copy_for_others(&folder);
    let mut command = Command::new(&copy);
    command.args(["doctor", "--fix", "--yes", "--root"]).arg(&tree.0).uid(65_534).gid(65_534);
    let (code, out, err) = outcome(&command.output().unwrap());
    assert_eq!(code, Some(3), "{out}{err}");
    assert!(err.contains("run it as root"), "{err}");
    assert_eq!(content(&tree), before);
    // Looking needs no privilege.
    let mut command = Command::new(&copy);
    let (code, out, err) =
        outcome(&command.args(["doctor", "--json"]).uid(65_534).output().unwrap());
    assert!([Some(0), Some(1)].contains(&code), "{err}");
    document(&out);
}

#[test]
fn bad_arguments_end_with_2() {
    for arguments in [
        &["doctor", "--yes"][..],
        &["doctor", "--root", "/dev/null"],
        &["doctor", "--config", "/no/such/file"],
        &["doctor", "--lan-a", "a b"],
        &["doctor", "--lan-a", "q1", "--lan-b", "q1"],
        &["doctor", "--config", "x", "--name", "prp0"],
        &["plan", "--config", "/no/such/file"],
    ] {
        let (code, out, err) = bumpless(arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {err}");
        assert!(!err.is_empty());
    }
}

#[test]
fn a_configuration_says_which_threads_and_interfaces_count() {
    let folder = TestFolder::new();
    let file = folder.0.join("prp0.toml");
    let text = "name = \"prp0\"\nprotocol = \"prp\"\nlan_a = \"bmpl-none-a\"\nlan_b = \
                \"bmpl-none-b\"\nreceive_mode = \"busy\"\n[threads.lre]\ncpu = 0\npriority = 55\n";
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let (code, out, err) = bumpless(&["doctor", "--json", "--config", file]);
    assert_eq!((code, err.as_str()), (Some(1), ""));
    let judged = document(&out);
    assert_eq!(judged["judged_for"]["source"], "config");
    let thread = &judged["judged_for"]["threads"][0];
    assert_eq!((&thread["priority"], &thread["cpu"]), (&Value::from(55), &Value::from(0)));
    let missing =
        judged["findings"].as_array().unwrap().iter().filter(|f| f["id"] == "lan_interface");
    assert_eq!(missing.filter(|finding| finding["level"] == "problem").count(), 2);

    let (code, out, _) = bumpless(&["plan", "--config", file]);
    assert_eq!(code, Some(0));
    assert!(out.contains("lre      SCHED_FIFO 55  0, as configured  never"), "{out}");
    let (_, out, _) = bumpless(&["plan", "--json", "--config", file]);
    let plan: Value = serde_json::from_str(&out).unwrap();
    check_schema("plan.json", &plan);
    assert_eq!(plan["threads"][0]["busy"], true);
}

#[test]
fn a_daemon_that_runs_is_what_counts() {
    let folder = TestFolder::new();
    let source = FakeSource { status: fake_daemon::status_in_trouble(), ..FakeSource::default() };
    let _daemon = FakeDaemon::start(&folder.0, source);
    let runtime = folder.0.to_str().unwrap();
    let (code, out, err) = bumpless(&["doctor", "--json", "--runtime-dir", runtime]);
    assert_eq!((code, err.as_str()), (Some(1), ""));
    let document = document(&out);
    assert_eq!(document["judged_for"]["source"], "instance");
    assert_eq!(document["judged_for"]["lans"][0]["interface"], "eth1");
    let degraded = document["findings"].as_array().unwrap().iter().find(|f| f["id"] == "daemon");
    assert_eq!(degraded.unwrap()["level"], "warning");

    // Who names one that is not there gets no answer about another.
    let (code, _, err) = bumpless(&["doctor", "--runtime-dir", "/no/such/folder"]);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("bumplessd"), "{err}");
}

/// A process in a network namespace of its own, ended with the value.
struct Elsewhere(Child);

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn interfaces_of_a_daemon_in_another_namespace_are_read_there() {
    let Ok(namespace) = NetNs::create() else {
        println!("SKIP: interfaces_of_a_daemon_in_another_namespace: root: needs namespaces");
        return;
    };
    let mut links = Links::open_in(&namespace).unwrap();
    links.create_veth("bmpl-far-a", "bmpl-far-b", None).unwrap();
    for name in ["bmpl-far-a", "bmpl-far-b"] {
        let index = links.by_name(name).unwrap().index;
        links.set_up(index, true).unwrap();
    }
    let index = links.by_name("bmpl-far-b").unwrap().index;
    links.add_address(index, "192.0.2.7".parse().unwrap(), 24).unwrap();
    let mut sleeper = Command::new("sleep");
    sleeper.arg("60");
    let sleeper = Elsewhere(command_in(&namespace, &mut sleeper).unwrap().spawn().unwrap());
    let pid = sleeper.0.id();
    let folder = TestFolder::new();
    let mut status = fake_daemon::status();
    status.pid = pid;
    status.ports.a.interface = "bmpl-far-a".to_owned();
    status.ports.b.interface = "bmpl-far-b".to_owned();
    let _daemon = FakeDaemon::start(&folder.0, FakeSource { status, ..FakeSource::default() });
    let runtime = folder.0.to_str().unwrap();
    let arguments = ["doctor", "--json", "--runtime-dir", runtime];
    let (_, out, err) = bumpless(&arguments);
    assert_eq!(err, "");
    let judged = document(&out);
    let found = |judged: &Value, id: &str, lan: &str| {
        let findings = judged["findings"].as_array().unwrap().clone();
        let is_it = |f: &Value| f["id"] == id && f["subject"].as_str().unwrap().contains(lan);
        findings.into_iter().find(is_it).unwrap_or_else(|| panic!("no {id} of {lan}: {judged}"))
    };
    for lan in ["LAN A", "LAN B"] {
        assert_eq!(found(&judged, "lan_interface", lan)["level"], "fine", "{out}");
        // A file of the interface: read there, too.
        assert_eq!(found(&judged, "lan_threaded_napi", lan)["level"], "fine", "{out}");
    }
    // Not everybody, and not root everywhere, may see the namespace of process 1.
    let expected = if fs::read_link("/proc/1/ns/net").is_ok() { "fine" } else { "unknown" };
    assert_eq!(found(&judged, "lan_namespace", "LAN A")["level"], expected, "{out}");
    // What is to be done there says how to get there.
    let addresses = found(&judged, "lan_addresses", "LAN B");
    let command = format!("nsenter --net=/proc/{pid}/ns/net ip address flush dev bmpl-far-b");
    assert_eq!(addresses["remedies"][0]["text"], command.as_str(), "{out}");
    let (_, out, _) = bumpless(&["doctor", "--runtime-dir", runtime]);
    assert!(out.contains(&format!("namespace of process {pid})")), "{out}");

    // Who may not look there says so, and how.
    let copy = copy_for_others(&folder);
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o755)).unwrap();
    let socket = folder.0.join("control.sock");
    fs::set_permissions(socket, fs::Permissions::from_mode(0o666)).unwrap();
    let mut command = Command::new(&copy);
    let command = command.args(arguments).uid(65_534).gid(65_534);
    let (_, out, err) = outcome(&command.output().unwrap());
    assert_eq!(err, "");
    let judged = document(&out);
    for lan in ["LAN A", "LAN B"] {
        let finding = found(&judged, "lan_interface", lan);
        assert_eq!(finding["level"], "unknown", "{out}");
        let remedies = finding["remedies"].to_string();
        assert!(remedies.contains(&format!("nsenter --net=/proc/{pid}/ns/net")), "{out}");
    }
}

#[test]
fn interfaces_are_read_where_they_are() {
    let Ok(namespace) = NetNs::create() else {
        println!("SKIP: interfaces_are_read_where_they_are: root: needs network namespaces");
        return;
    };
    let mut links = Links::open_in(&namespace).unwrap();
    for (name, peer) in [("bmpl-doc-a", "bmpl-doc-x"), ("bmpl-doc-b", "bmpl-doc-y")] {
        links.create_veth(name, peer, None).unwrap();
        for end in [name, peer] {
            let index = links.by_name(end).unwrap().index;
            links.set_up(index, true).unwrap();
        }
    }
    let index = links.by_name("bmpl-doc-b").unwrap().index;
    links.add_address(index, "192.0.2.7".parse().unwrap(), 24).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["doctor", "--json", "--lan-a", "bmpl-doc-a", "--lan-b", "bmpl-doc-b"]);
    let (_, out, err) = outcome(&command_in(&namespace, &mut command).unwrap().output().unwrap());
    assert_eq!(err, "");
    let document = document(&out);
    let level = |id: &str, lan: &str| {
        let findings = document["findings"].as_array().unwrap();
        let mut found = findings.iter().filter(|f| {
            f["id"] == id && f["subject"].as_str().unwrap().starts_with(&format!("LAN {lan}"))
        });
        found.next().map_or("none", |finding| finding["level"].as_str().unwrap()).to_owned()
    };
    assert_eq!(
        (level("lan_interface", "A"), level("lan_driver", "A")),
        ("fine".into(), "note".into())
    );
    assert_eq!(level("lan_addresses", "A"), "fine");
    assert_eq!(level("lan_addresses", "B"), "warning");
    assert_eq!(level("lan_link", "B"), "fine");
    // Not everybody, and not root everywhere, may see the namespace of process 1.
    let visible = fs::read_link("/proc/1/ns/net").is_ok();
    assert_eq!(level("lan_namespace", "A"), if visible { "fine" } else { "unknown" });
}
