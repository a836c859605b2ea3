//! The examples in C, built as a user builds them and run against the daemon; their active process
//! is killed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod pid;

use std::collections::BTreeSet;

use bench::{Bench, examples};

/// An example has fewer lines, all of them counted: blank ones and the comment at its top too.
const LINES_MAX: usize = 60;

#[test]
fn each_example_is_short() {
    let of_a_harness = BTreeSet::from(["plant.c"]);
    let mut seen = 0;
    for entry in std::fs::read_dir(examples()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_none_or(|it| it != "c") || of_a_harness.contains(name.as_str()) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("/* "), "{name} begins by saying what it is");
        let lines = text.lines().count();
        assert!(lines < LINES_MAX, "{name} has {lines} lines");
        seen += 1;
    }
    assert_eq!(seen, 5);
}

/// The number behind `word` in the last line that has it.
fn number_behind(text: &str, word: &str) -> u64 {
    let (_, rest) = text.rsplit_once(word).unwrap_or_else(|| panic!("no {word:?} in {text}"));
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[test]
fn a_standby_holds_what_was_committed_and_takes_over_when_its_active_one_is_killed() {
    let bench = Bench::new("c-hello");
    let daemon = bench.daemon();
    let active = bench.build("hello_active.c", &[]);
    let standby = bench.build("hello_standby.c", &[]);
    let run = daemon.runtime_dir();
    let mut first = bench.start("active", &active, &[run]);
    daemon.await_active("hello", &first);
    // It stands by only where somebody else is active.
    let arguments = [run, "20"];
    let mut counted = bench.start("counted", &active, &arguments);
    let mut watches = bench.start("standby", &standby, &[run]);
    bench.await_said("standby", "out", |said| said.matches("holds cycle").count() >= 10);
    first.kill();
    let said = |name: &str| bench.said(name, "out");
    // Either of the two that stand by may be the one.
    assert!(counted.ends().success());
    assert!(watches.ends().success(), "{}", bench.said("standby", "err"));
    let held = said("standby");
    for line in held.lines() {
        let cycle = number_behind(line, "cycle");
        let count = number_behind(line, "count");
        let taken_over = u64::from(line.starts_with("took over"));
        assert_eq!(cycle, count + taken_over, "one count for each cycle: {line}");
    }
    assert!(held.contains("took over in cycle"), "{held}");
    assert!(number_behind(&said("counted"), "count") >= 20);
}

#[test]
fn a_daemon_that_is_killed_and_started_again_is_not_noticed_by_the_count() {
    let bench = Bench::new("c-restart");
    let daemon = bench.daemon();
    let active = bench.build("hello_active.c", &[]);
    let standby = bench.build("hello_standby.c", &[]);
    let run = daemon.runtime_dir().to_owned();
    let mut first = bench.start("active", &active, &[&run]);
    daemon.await_active("hello", &first);
    let mut before = bench.start("before", &standby, &[&run]);
    bench.await_said("before", "out", |said| said.contains("holds cycle"));
    daemon.kill();
    // Ring and page need no daemon: whoever is attached goes on.
    let held = bench.said("before", "out").lines().count();
    bench.await_said("before", "out", |said| said.lines().count() > held + 20);
    before.kill();
    let _again = bench.daemon_again();
    let mut after = bench.start("after", &standby, &[&run]);
    bench.await_said("after", "out", |said| said.contains("holds cycle"));
    first.kill();
    assert!(after.ends().success(), "{}", bench.said("after", "err"));
    let said = bench.said("after", "out");
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("took over"), "{said}");
    assert_eq!(number_behind(last, "cycle"), number_behind(last, "count") + 1, "none is lost");
    assert_eq!(bench.said("active", "err"), "", "and the active one was told of no error");
}

#[test]
fn a_drive_goes_on_from_where_it_was_when_its_controller_is_killed() {
    let bench = Bench::new("c-axis");
    let daemon = bench.daemon();
    let program = bench.build("ethercat_cycle.c", &[]);
    let bus = bench.path("bus");
    let bus = bus.to_str().unwrap();
    let mut first = bench.start("first", &program, &[daemon.runtime_dir(), bus]);
    bench.await_said("first", "err", |_| std::fs::metadata(bus).is_ok_and(|it| it.len() > 0));
    let cycles = [daemon.runtime_dir(), bus, "500"];
    let mut second = bench.start("second", &program, &cycles);
    std::thread::sleep(std::time::Duration::from_millis(50));
    first.kill();
    assert!(second.ends().success());
    let said = bench.said("second", "out");
    assert!(number_behind(&said, "on the bus in cycle") > 1, "{said}");
    // The last commit may not have been sent, and is then sent as the next one's.
    let (moved, target) = (number_behind(&said, "\nmoved"), number_behind(&said, "to"));
    assert_eq!(moved, 500);
    assert!(target == 3 * moved || target == 3 * (moved - 1), "{said}");
}

#[test]
fn a_plc_that_is_killed_is_gone_on_with_by_the_one_that_stands_by() {
    let bench = Bench::new("c-openplc");
    let daemon = bench.daemon();
    let stands_in = format!("-I{}", examples().join("standin").display());
    let plugin = bench.build("openplc_plugin.c", &[&stands_in, "-shared", "-fPIC"]);
    let harness = bench.build("standin/openplc_harness.c", &["-ldl"]);
    std::fs::write(bench.path("plc.conf"), daemon.runtime_dir()).unwrap();
    let config = bench.path("plc.conf");
    let [plugin, config] = [&plugin, &config].map(|path| path.to_str().unwrap());
    let mut first = bench.start("first", &harness, &[plugin, config, "100000"]);
    bench.await_said("first", "out", |said| said.contains("first scan with count 0\n"));
    let mut second = bench.start("second", &harness, &[plugin, config, "100"]);
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(bench.said("second", "out"), "", "it stands by");
    first.kill();
    assert!(second.ends().success());
    let said = bench.said("second", "out");
    let (from, to) = (
        number_behind(&said, "first scan with count"),
        number_behind(&said, "last scan with count"),
    );
    assert!(from > 0 && to == from + 100, "{said}");
}
