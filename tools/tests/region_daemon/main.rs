//! Applications and their regions through the daemon that ships: processes that use the library,
//! and what becomes of them when one of them, the daemon, or both end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod flood;
mod kept;
mod participant;
mod torture;
mod users;
mod with_lans;

use std::fs;
use std::time::Duration;

use bench::{Bench, PATIENCE, check_schema, outcome, wait_until};
use nix::sys::signal::Signal;
use participant::{says, start, start_with_cycle};
use serde_json::{Value, json};
use tools::netlab::Process;

/// A daemon, its active participant and one that stands by.
fn pair() -> (Bench, Process, Process) {
    let bench = Bench::running();
    let first = start("first", &bench.folder());
    says(&first, "ACTIVE 1");
    let second = start("second", &bench.folder());
    says(&second, "STANDBY 1");
    (bench, first, second)
}

#[track_caller]
fn active_pid(bench: &Bench) -> Value {
    bench.application()["active"]["pid"].clone()
}

#[test]
fn when_the_active_process_is_killed_the_standby_goes_on_where_it_was() {
    let (bench, first, second) = pair();
    wait_until("commits", || bench.region()["commits"].as_u64() > Some(20));
    let application = bench.application();
    assert_eq!(application["active"]["pid"], first.id());
    assert_eq!(application["standbys"][0]["pid"], second.id());
    let region = bench.region();
    assert_eq!((&region["in_sync"], &region["lag_cycles"]), (&json!(true), &json!(0)));
    assert_eq!((&region["bytes"], &region["writer_pid"]), (&json!(16), &json!(first.id())));
    let cycle = region["cycle"].as_u64().unwrap();
    first.kill().unwrap();
    let said = says(&second, "ACTIVE 2 from ");
    let from: u64 = said.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(from >= cycle, "{said}: at cycle {cycle} the other one was alive");
    wait_until("the successor's commits", || bench.region()["cycle"].as_u64() > Some(from + 20));
    let region = bench.region();
    assert_eq!((&region["epoch"], &region["in_sync"]), (&json!(2), &json!(false)));
    let kinds = bench.event_kinds();
    for kind in ["participant_joined", "participant_active", "participant_left"] {
        assert!(kinds.iter().any(|found| found == kind), "{kind}: {kinds:?}");
    }
    let (code, text, _) = outcome(&bench.bumpless("status"));
    assert_eq!(code, Some(0));
    assert!(text.starts_with("plc0: fine") && text.contains("plant"), "{text}");
    let ended = { bench }.daemon.take().unwrap().stop().unwrap();
    assert_eq!((ended.status.code(), ended.out.as_str()), (Some(0), "ready\n"), "{ended:?}");
}

#[test]
fn when_the_daemon_is_killed_the_owner_goes_on_in_its_epoch() {
    let (mut bench, first, second) = pair();
    for _ in 0..5 {
        bench.kill();
        bench.start();
        wait_until("both to come back", || {
            active_pid(&bench) == first.id() && bench.region()["in_sync"] == true
        });
        assert_eq!(bench.application()["epoch"], 1, "{}", bench.log());
        let commits = bench.region()["commits"].as_u64().unwrap();
        wait_until("further commits", || bench.region()["commits"].as_u64() > Some(commits));
    }
    // Neither of them was anything else in between.
    let said = |process: &Process| {
        let out = process.out();
        let roles = out.lines().filter(|line| line.contains("ACTIVE") || line.contains("NONE"));
        roles.filter(|line| !line.starts_with("ACTIVE 1")).count()
    };
    assert_eq!((said(&first), said(&second)), (0, 0), "{} {}", first.out(), second.out());
}

#[test]
fn while_the_owner_cannot_come_back_nobody_else_is_active_and_nobody_can_be_ordered_to() {
    let (mut bench, mut first, second) = pair();
    first.signal(Signal::SIGSTOP).unwrap();
    bench.kill();
    bench.start();
    wait_until("the standby to come back", || {
        bench.application()["standbys"][0]["pid"] == second.id()
    });
    let application = bench.application();
    assert_eq!((&application["active"], &application["epoch"]), (&Value::Null, &json!(1)));
    assert_eq!(application["awaited_pid"], first.id());
    let (code, _, err) = outcome(&bench.bumpless("switchover --force"));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains(&format!("process {}", first.id())) && err.contains("lives"), "{err}");
    let (_, text, _) = outcome(&bench.bumpless("status"));
    assert!(text.contains("ALARM") && text.contains(&first.id().to_string()), "{text}");
    assert!(bench.event_kinds().iter().any(|kind| kind == "owner_awaited"));
    first.signal(Signal::SIGCONT).unwrap();
    wait_until("the owner to come back", || active_pid(&bench) == first.id());
    let application = bench.application();
    assert_eq!((&application["awaited_pid"], &application["epoch"]), (&Value::Null, &json!(1)));
    assert!(!second.out().contains("ACTIVE"), "{}", second.out());
}

#[test]
fn an_owner_that_cannot_come_back_and_is_killed_hands_over() {
    let (mut bench, mut first, second) = pair();
    first.signal(Signal::SIGSTOP).unwrap();
    bench.kill();
    bench.start();
    wait_until("the standby to come back", || {
        bench.application()["standbys"][0]["pid"] == second.id()
    });
    first.kill().unwrap();
    says(&second, "ACTIVE 2 from ");
    assert!(bench.event_kinds().iter().any(|kind| kind == "owner_gone"));
}

#[test]
fn an_owner_that_ends_while_the_daemon_is_away_is_waited_for_by_nobody() {
    let (mut bench, first, second) = pair();
    bench.kill();
    first.kill().unwrap();
    bench.start();
    says(&second, "ACTIVE 2 from ");
    assert_eq!(active_pid(&bench), second.id());
}

#[test]
fn where_only_a_standby_has_the_state_a_new_process_does_not_begin_without_it() {
    let (mut bench, first, mut second) = pair();
    wait_until("commits", || bench.region()["commits"].as_u64() > Some(10));
    let cycle = bench.region()["cycle"].as_u64().unwrap();
    second.signal(Signal::SIGSTOP).unwrap();
    bench.kill();
    first.kill().unwrap();
    bench.start();
    let third = start("third", &bench.folder());
    says(&third, "STANDBY 1");
    let application = bench.application();
    assert_eq!((&application["active"], &application["awaited_pid"]), (&Value::Null, &Value::Null));
    assert_eq!(application["awaited_standby_pids"], json!([second.id()]));
    let (_, text, _) = outcome(&bench.bumpless("status"));
    assert!(text.contains("ALARM") && text.contains(&second.id().to_string()), "{text}");
    second.signal(Signal::SIGCONT).unwrap();
    let said = says(&second, "ACTIVE 2 from ");
    // It was stopped with what it had by then.
    let from: u64 = said.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(from >= cycle, "{said}: it followed to cycle {cycle}");
    assert_eq!(bench.application()["awaited_standby_pids"], json!([]));
    assert!(!third.out().contains("ACTIVE"), "{}", third.out());
}

#[test]
fn a_switchover_by_order_is_there_and_back_and_refused_where_nobody_stands_by() {
    let (bench, first, second) = pair();
    let (code, out, err) = outcome(&bench.bumpless("switchover"));
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("--force") && err.contains("pair"), "{err}");
    let done = bench.json("switchover --force --application plc");
    check_schema("switchover.json", &done);
    assert_eq!(done, json!({"schema": 1, "application": "plc", "epoch": 2, "pid": second.id()}));
    says(&second, "ACTIVE 2 from ");
    says(&first, "STANDBY 2");
    let (code, out, _) = outcome(&bench.bumpless("switchover --force"));
    assert_eq!(code, Some(0));
    assert!(out.contains(&format!("process {} is active now, in epoch 3", first.id())), "{out}");
    says(&first, "ACTIVE 3 from ");
    second.kill().unwrap();
    wait_until("its end to be seen", || bench.application()["standbys"] == json!([]));
    let (code, _, err) = outcome(&bench.bumpless("switchover --force"));
    assert_eq!(code, Some(1));
    assert!(err.contains("no process that stands by"), "{err}");
    let (code, _, err) = outcome(&bench.bumpless("switchover --force --application hmi"));
    assert_eq!(code, Some(1));
    assert!(err.contains("no application hmi"), "{err}");
    assert_eq!(active_pid(&bench), first.id());
}

#[test]
fn a_last_state_is_given_up_by_order_where_no_process_has_it() {
    let (bench, first, second) = pair();
    wait_until("commits", || bench.region()["commits"].as_u64() > Some(0));
    let refused = |why: &str| {
        let (code, _, err) = outcome(&bench.bumpless("region drop plant"));
        assert_eq!(code, Some(1));
        assert!(err.contains(why), "{err}");
    };
    refused("end them first");
    second.kill().unwrap();
    first.kill().unwrap();
    wait_until("their end to be seen", || {
        active_pid(&bench).is_null() && bench.application()["standbys"] == json!([])
    });
    let (code, out, err) = outcome(&bench.bumpless("region drop plant"));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("plant") && out.contains("begins anew"), "{out}");
    refused("no state");
    says(&start("next", &bench.folder()), "ACTIVE 2 from Nothing");
    let (code, _, err) = outcome(&bench.bumpless("region drop elsewhere"));
    assert_eq!(code, Some(1));
    assert!(err.contains("no region elsewhere"), "{err}");
}

#[test]
fn a_node_that_is_not_in_charge_has_nobody_active() {
    let mut bench = Bench::new("", "[regions]\nrole = 'standby'");
    bench.start();
    let only = start("only", &bench.folder());
    says(&only, "STANDBY 0");
    let (code, _, err) = outcome(&bench.bumpless("switchover --force"));
    assert_eq!(code, Some(1));
    assert!(err.contains("not in charge"), "{err}");
}

#[test]
fn regions_are_listed_dumped_and_watched_by_name_and_value() {
    let (bench, first, _second) = pair();
    wait_until("commits", || bench.region()["commits"].as_u64() > Some(10));
    let regions = bench.json("regions");
    let interval_ns = regions["regions"][0]["commit_interval_ns"].as_u64();
    assert!(interval_ns > Some(0), "{regions}");
    let (code, text, _) = outcome(&bench.bumpless("regions"));
    assert_eq!(code, Some(0));
    let pid = first.id().to_string();
    assert!(text.contains("plant") && text.contains("16 octets") && text.contains(&pid), "{text}");
    let dumped = bench.json("region dump plant");
    check_schema("region.json", &dumped);
    check_schema("regions.json", &regions);
    check_schema("status.json", &bench.json("status"));
    check_schema("events.json", &bench.json("events"));
    assert_eq!((&dumped["epoch"], &dumped["bytes"]), (&json!(1), &json!(16)));
    let [cycle, square] = [0, 1].map(|at| dumped["blocks"][at]["value"].as_str().unwrap());
    let cycle: u64 = cycle.parse().unwrap();
    assert_eq!(dumped["cycle"], cycle);
    #[allow(clippy::cast_precision_loss, reason = "some thousands")]
    let expected = format!("{:?}", cycle as f64 * cycle as f64);
    assert_eq!(square, expected);
    let octets: String = cycle.to_ne_bytes().iter().map(|octet| format!("{octet:02x}")).collect();
    assert!(dumped["hex"].as_str().unwrap().starts_with(&octets), "{dumped}");
    let (code, text, _) = outcome(&bench.bumpless("region dump plant --hex"));
    assert_eq!(code, Some(0));
    assert!(text.contains("cycle = ") && text.contains("00000000  "), "{text}");
    let watched = outcome(&bench.bumpless("region watch plant --interval-ms 20 --looks 5"));
    assert_eq!(watched.0, Some(0), "{watched:?}");
    assert!(watched.1.matches("square = ").count() >= 2, "{}", watched.1);
    let (code, _, err) = outcome(&bench.bumpless("region dump nowhere"));
    assert_eq!(code, Some(1));
    assert!(err.contains("no region nowhere"), "{err}");
    // What was asked here is asked no more, and left nothing behind.
    wait_until("no reader but the standby", || bench.region()["readers"] == 1);
}

#[test]
fn a_watch_goes_on_through_a_takeover() {
    let (bench, first, second) = pair();
    let command = bench::operator(&bench.folder(), "region watch plant --interval-ms 20");
    let watch = Process::spawn("watch", command).unwrap();
    let shows = |epoch: &str| {
        let wanted = format!("epoch {epoch}, ");
        watch.wait_out(|line| line.contains(&wanted), PATIENCE)
    };
    assert!(shows("1").is_some(), "{}", watch.err());
    first.kill().unwrap();
    says(&second, "ACTIVE 2");
    assert!(shows("2").is_some(), "{}", watch.out());
}

#[test]
fn commits_may_take_the_share_of_a_cycle_that_the_configuration_says() {
    let mut bench = Bench::new("", "[regions]\ncost_share_max_percent = 1");
    bench.start();
    // No commit takes less than 10 ns, and none of 16 octets a hundred milliseconds.
    let hasty = start_with_cycle("hasty", &bench.folder(), Duration::from_micros(1));
    let said = says(&hasty, "refused: ");
    assert!(said.contains("region plant: ") && said.contains(" ns of 1000 ns"), "{said}");
    assert!(said.contains("1 % are allowed") && said.contains("cost_share_max_percent"), "{said}");
    let calm = start_with_cycle("calm", &bench.folder(), Duration::from_secs(10));
    says(&calm, "ACTIVE ");
}

#[test]
fn an_epoch_that_cannot_be_stored_is_told_long_before_it_keeps_anybody_from_taking_over() {
    let bench = Bench::running();
    let (_first, _second) = (start("first", &bench.folder()), start("second", &bench.folder()));
    wait_until("a standby", || bench.region()["in_sync"] == true);
    let alarms = || bench.json("status")["alarms"].as_array().unwrap().clone();
    assert_eq!(alarms(), [] as [Value; 0]);
    // Where the new file would be begun there is something that is none.
    let half = bench.folder().join("state/plc.epoch.new");
    let inside = half.join("inside");
    fs::create_dir_all(&inside).unwrap();
    let told = |alarm: &Value| alarm.as_str().is_some_and(|it| it.contains("more takeovers"));
    let mut switchovers = 0;
    while !alarms().iter().any(told) {
        switchovers += 1;
        assert!(switchovers < 60, "nothing is told: {}", bench.log());
        wait_until("a standby", || bench.region()["in_sync"] == true);
        bench.json("switchover --force");
    }
    wait_until("a standby", || bench.region()["in_sync"] == true);
    bench.json("switchover --force");
    let said = alarms()[0].as_str().unwrap().to_owned();
    assert!(said.contains("plc.epoch: cannot be written") && said.contains("state_dir"), "{said}");
    fs::remove_dir(&inside).unwrap();
    fs::remove_dir(&half).unwrap();
    wait_until("the disk to be tried again", || alarms().is_empty());
}

#[test]
fn epochs_go_on_behind_the_bound_after_a_boot_and_exactly_within_one() {
    let (mut bench, first, second) = pair();
    drop((first, second));
    wait_until("their ends", || bench.application()["active"].is_null());
    // Perhaps the second one took over for a moment.
    let epoch = bench.application()["epoch"].as_u64().unwrap();
    let ended = bench.daemon.take().unwrap().stop().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    bench.start();
    assert_eq!(bench.application()["epoch"], epoch, "exactly, by what was written in this boot");
    let third = start("third", &bench.folder());
    says(&third, &format!("ACTIVE {}", epoch + 1));
    third.kill().unwrap();
    bench.kill();
    // As after a boot: the runtime folder is empty, the state folder is there.
    fs::remove_dir_all(bench.folder().join("owners")).unwrap();
    bench.start();
    let fourth = start("fourth", &bench.folder());
    let said = says(&fourth, "ACTIVE ");
    let behind: u64 = said.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(behind > epoch + 1, "{said}");
    wait_until("its segment", || bench.region()["epoch"] == behind);
}

#[test]
fn more_takeovers_than_the_bound_lies_ahead_wait_for_nothing() {
    let (bench, _first, _second) = pair();
    for epoch in 2..150 {
        wait_until("a standby", || bench.application()["standbys"] != json!([]));
        assert_eq!(bench.json("switchover --force")["epoch"], epoch);
    }
    let stored = fs::read_to_string(bench.folder().join("state/plc.epoch")).unwrap();
    let bound: u64 = stored.split(' ').nth(2).unwrap().parse().unwrap();
    assert!(bound > 150, "{stored}");
}

#[test]
fn records_that_are_damaged_are_named_and_never_taken_for_a_beginning() {
    let (mut bench, first, second) = pair();
    drop((first, second));
    bench.kill();
    let owner = bench.folder().join("owners/plc.owner");
    let whole = fs::read(&owner).unwrap();
    for damaged in [&b"{}"[..], b"", &whole[..whole.len() / 2], &[b'x'; 10_000]] {
        fs::write(&owner, damaged).unwrap();
        let ended = bench.refused();
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        let path = owner.display().to_string();
        assert!(ended.err.contains(&path) && ended.err.contains("remove the file"), "{ended:?}");
    }
    fs::remove_file(&owner).unwrap();
    let state = bench.folder().join("state/plc.epoch");
    let whole = fs::read_to_string(&state).unwrap();
    for damaged in [whole.replace(" 6", " 7"), whole.replace("plc", "plx"), String::new()] {
        assert_ne!(damaged, whole);
        fs::write(&state, &damaged).unwrap();
        let ended = bench.refused();
        assert_eq!(ended.status.code(), Some(1), "{damaged:?}: {ended:?}");
        let path = state.display().to_string();
        assert!(ended.err.contains(&path) && ended.err.contains("epoch = NUMBER"), "{ended:?}");
    }
    bench.configure("", "[regions]\nepoch = 1000");
    bench.start();
    let next = start("next", &bench.folder());
    says(&next, "ACTIVE 1000");
    let stored = fs::read_to_string(&state).unwrap();
    assert!(stored.starts_with("bumpless-epoch-1 plc 10"), "{stored}");
}

#[test]
fn what_cannot_be_used_is_refused_with_its_key_and_the_remedy() {
    let bench = Bench::new("write = ['no-such-user-here']", "");
    let ended = bench.refused();
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.err.contains("region[1].write: there is no user no-such-user-here"), "{ended:?}");
    let file = bench.scratch.path().join("file");
    fs::write(&file, "").unwrap();
    bench.configure("", &format!("[regions]\nstate_dir = '{}'", file.join("x").display()));
    let ended = bench.refused();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.err.contains("regions.state_dir: "), "{ended:?}");
    bench.configure("", "");
    fs::create_dir_all(bench.folder().join("regions.sock")).unwrap();
    let ended = bench.refused();
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.err.contains("in the way"), "{ended:?}");
}
