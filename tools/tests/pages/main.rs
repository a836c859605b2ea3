//! Every command and every listing of README and docs is run, or checked by the program that reads
//! such files, or stands in a list with the test that runs it instead and the reason.
//!
//! What is shown of an output is compared; `NAME` in a command is the region of the configuration
//! on the manual page, and interfaces and folders are those of a host that the test makes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod blocks;
mod choices;
mod host;
mod lab;
#[allow(dead_code, reason = "not all that it offers is used here")]
#[path = "../region_daemon/participant.rs"]
mod participant;
mod requests;

use std::collections::BTreeSet;
use std::process::Command;

use blocks::{Piece, pages, pieces, read, repository};
use choices::{
    ADDRESS, DAEMONS, ELSEWHERE, FOLLOWED, NODES, NOT_ON_B, Named, PLC, PROBLEMS, PRP, REGIONS,
    STATUS, SWITCHOVER, WATCH, of_this_test,
};
use host::{Host, PATIENCE, interrupt, is_root, stop};
use serde_json::Value;
use tools::netlab::Process;

fn is_named(piece: &Piece, (page, first): Named) -> bool {
    piece.page == page && piece.first == first
}

/// A listing, as the page has it.
fn listing(named: Named) -> String {
    let found = pieces(named.0).into_iter().find(|piece| is_named(piece, named));
    found.and_then(|piece| piece.listing).unwrap_or_else(|| panic!("{named:?} is not there"))
}

#[test]
fn nothing_to_copy_is_left_out() {
    let mut unused: Vec<Named> = of_this_test();
    unused.extend(ELSEWHERE.iter().map(|it| it.named));
    let all = unused.clone();
    let (mut here, mut there) = (0, 0);
    for page in pages() {
        if FOLLOWED.iter().any(|(followed, _)| *followed == page) {
            continue;
        }
        for piece in pieces(&page) {
            let mut choices = all.iter().filter(|named| is_named(&piece, **named));
            assert!(
                choices.next().is_some() && choices.next().is_none(),
                "{page}:{}: `{}` is run by no test, or chosen twice: have it run or checked in \
                 tools/tests/pages, or name the test that does",
                piece.line,
                piece.first
            );
            unused.retain(|named| !is_named(&piece, *named));
            let is_here = of_this_test().iter().any(|named| is_named(&piece, *named));
            *(if is_here { &mut here } else { &mut there }) += 1;
        }
    }
    assert_eq!(unused, Vec::<Named>::new(), "these are on no page any more");
    println!("{here} run or checked here, {there} elsewhere");
}

#[test]
fn what_is_said_to_be_elsewhere_is_there() {
    for it in ELSEWHERE {
        assert!(read(it.file).contains(it.words), "{}: no {:?}", it.file, it.words);
        assert!(!it.why.is_empty(), "{:?}", it.named);
    }
    for (page, file) in FOLLOWED {
        assert!(read(file).contains(page), "{file} does not follow {page}");
    }
}

/// Commands in the text and in tables too.
#[test]
fn commands_of_cargo_xtask_exist() {
    let program = read("tools/xtask/src/main.rs");
    let members = ["prp", "rt-core", "shm-replica", "tools", "tools/xtask", "latency-tests"];
    let mut seen = 0;
    for page in pages() {
        let text = read(&page);
        for (_, rest) in
            text.match_indices("cargo xtask ").map(|(at, it)| text[at..].split_at(it.len()))
        {
            let command = rest.split(['`', '\n']).next().unwrap_or_default();
            let mut words = command.split_whitespace();
            let name = words.next().unwrap_or_default();
            assert!(
                program.contains(&format!("(\"{name}\", ")) || name == "help",
                "{page}: {command}"
            );
            let group = words.skip_while(|word| *word != "--only").nth(1);
            if let Some(group) = group.filter(|it| *it != "GROUP") {
                let exists = members.iter().any(|member| {
                    let file = repository().join(member).join("tests").join(group);
                    file.with_extension("rs").exists() || file.join("main.rs").exists()
                });
                assert!(exists, "{page}: {command}");
            }
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn configurations_are_accepted() {
    let scratch = tools::netlab::Scratch::new().unwrap();
    for named in [PRP, PLC] {
        let file = scratch.path().join("file.toml");
        let text = listing(named);
        std::fs::write(&file, &text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bumpless"));
        let output = command.arg("check").arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{named:?}: {output:?}");
        // What is printed is a configuration too, and says all that the page's says.
        let understood: toml::Table = toml::from_str(&said).unwrap();
        let given: toml::Table = toml::from_str(&text).unwrap();
        for (key, value) in given {
            let has = understood.get(&key).unwrap_or_else(|| panic!("{key}: {said}"));
            if !value.is_array() && !value.is_table() {
                assert_eq!(*has, value, "{key}");
            }
        }
    }
}

#[test]
fn a_node_is_run_and_looked_at_as_the_pages_say() {
    let test = "a_node_is_run_and_looked_at_as_the_pages_say";
    if !is_root(test) {
        return;
    }
    let host = Host::new();
    let daemon = host.start_ready(DAEMONS[0].1);
    assert_eq!(host.run(ADDRESS.1), "");
    assert!(host.run("ip -br address show dev prp0").contains("192.0.2.1/24"));
    let status = host.run(STATUS.1);
    for word in ["prp0", "LAN A", "LAN B", "eth1", "eth2", "lre", "control"] {
        assert!(status.contains(word), "no {word:?} in\n{status}");
    }
    assert_eq!(host.run(NODES.1), "no node was heard yet\n");

    // Another node, that is heard on LAN A only.
    host.run("ip link set eth2 down");
    let far = format!(
        "bumplessd --name far0 --protocol prp --lan-a far1 --lan-b far2 --runtime-dir {}",
        host.path("far").display()
    );
    let far = host.start_ready(&far);
    let mac = host.run("cat /sys/class/net/far0/address");
    let heard = host.await_run(NODES.1, |said| said.contains(mac.trim()));
    assert!(heard.contains("Heard on A") && heard.contains("Heard on B"), "{heard}");
    assert_eq!(host.run(NOT_ON_B.1), mac);
    let others = NOT_ON_B.1.replace("last_seen_b_ns", "last_seen_a_ns");
    assert_eq!(host.run(&others), "", "and it is heard on LAN A");

    problems_are_named(&host);
    requests::are_answered(&host.inside("/run/bumpless/prp0/control.sock"));
    stop(far);
    stop(daemon);
    assert!(!host.run("ip -br link").contains("prp0"), "it removes what it created");
}

/// What is wrong is named by findings that the document has.
fn problems_are_named(host: &Host) {
    let named = host.run(PROBLEMS.1);
    let all = host.start("bumpless doctor --json").finish(PATIENCE).unwrap();
    let document: Value = serde_json::from_str(&all.out).unwrap();
    let findings = document["findings"].as_array().unwrap();
    let ids: BTreeSet<_> = findings.iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert!(named.lines().all(|id| ids.contains(id)), "{named}");
    // A host may have none: there is something that every host has.
    let fine = host.run(&PROBLEMS.1.replace("problem", "fine"));
    assert!(fine.lines().count() > 0 && fine.lines().all(|id| ids.contains(id)), "{fine}");
}

#[test]
fn daemons_of_the_manual_start_and_end() {
    let test = "daemons_of_the_manual_start_and_end";
    if !is_root(test) {
        return;
    }
    let host = Host::new();
    // The page's own keeps a certain processor busy, which this machine may not have.
    host.add_to("bumpless/bumpless.toml", &read("packaging/configs/danp.toml"));
    for (_, command) in &DAEMONS[1..] {
        let daemon = host.start_ready(command);
        assert!(host.run("ip -br link").contains("prp0"), "{command}");
        stop(daemon);
    }
}

#[test]
fn regions_are_looked_at_and_switched_over_as_the_pages_say() {
    let test = "regions_are_looked_at_and_switched_over_as_the_pages_say";
    if !is_root(test) {
        return;
    }
    let host = Host::new();
    host.add_to("passwd", "plc:x:61001:61001::/:/bin/false\n");
    host.add_to("group", "operators:x:61002:\n");
    host.add_to("bumpless/plc0.toml", &listing(PLC));
    let daemon = host.start_ready("bumplessd --config /etc/bumpless/plc0.toml");
    let first = participant(&host, "first");
    participant::says(&first, "ACTIVE 1");
    let second = participant(&host, "second");
    participant::says(&second, "STANDBY 1");

    let regions = host.await_run(REGIONS.1, |said| !said.contains("nothing was committed"));
    assert!(regions.contains("plant") && regions.contains("plc"), "{regions}");
    assert!(regions.contains(&first.id().to_string()), "who writes it: {regions}");
    let watch = host.start(&WATCH.1.replace("NAME", "plant"));
    let changed = |line: &str| line.contains("square");
    assert!(watch.wait_out(changed, PATIENCE).is_some(), "{}{}", watch.out(), watch.err());
    let watched = interrupt(watch);
    assert_eq!(watched.err, "");
    requests::are_answered(&host.inside("/run/bumpless/plc0/control.sock"));
    let said = host.run(SWITCHOVER.1);
    assert!(said.contains(&second.id().to_string()), "{said}");
    participant::says(&second, "ACTIVE 2");
    stop(daemon);
}

/// A process that commits its state each cycle.
fn participant(host: &Host, name: &str) -> Process {
    let program = std::env::current_exe().unwrap();
    let bare = participant::command(&program, "/run/bumpless/plc0".as_ref());
    let arguments: Vec<_> = bare.get_args().map(|it| it.to_str().unwrap()).collect();
    let mut command = host.program(program.to_str().unwrap(), &arguments);
    for (key, value) in bare.get_envs() {
        command.env(key, value.unwrap());
    }
    Process::spawn(name, command).unwrap()
}
