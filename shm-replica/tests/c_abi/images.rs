//! What goes with an image, how large it may be, and how a program is told of its role.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};

use super::daemon::Daemon;
use super::programs::{Bench, C, home, succeeds};

#[test]
fn an_image_has_the_wall_clock_of_its_commit_and_an_age_that_no_clock_setting_changes() {
    let bench = Bench::new("c-wall-clock");
    let daemon = Daemon::start(bench.folder());
    let program = bench.build("cc", C, &home().join("tests/c_abi/wall_clock.c"));
    assert_eq!(succeeds(Command::new(program).arg(daemon.folder())), "fine\n");
}

#[test]
fn a_descriptor_is_readable_when_the_role_has_changed_and_else_not() {
    let bench = Bench::new("c-role-fd");
    let daemon = Daemon::start(bench.folder());
    let program = bench.build("cc", C, &home().join("tests/c_abi/role_fd.c"));
    let mut command = Command::new(program);
    command.arg(daemon.folder()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    if line == "switch\n" {
        daemon.switch_over();
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        said.read_to_string(&mut line).unwrap();
    }
    // The program has an alarm of its own: it ends.
    assert!(child.wait().unwrap().success(), "{line}");
    assert_eq!(line, "switch\nfine\n");
}

#[test]
fn the_largest_region_is_committed_read_and_taken_over_whole() {
    let bench = Bench::new("c-largest");
    let program = bench.build("cc", C, &home().join("tests/c_abi/largest.c"));
    // The segments of both participants, their own copies and the program's.
    let needed_kb = 3 << 20;
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap();
    let available = memory.lines().find_map(|it| it.strip_prefix("MemAvailable:")).unwrap();
    let available_kb: u64 = available.split_whitespace().next().unwrap().parse().unwrap();
    if available_kb < needed_kb {
        println!(
            "SKIP: the_largest_region_is_committed_read_and_taken_over_whole: memory: \
             {available_kb} kB are available, and {needed_kb} are needed"
        );
        return;
    }
    // At any instant: within a commit, and between two.
    for killed_after_us in [0, 7_321, 38_057] {
        let daemon = Daemon::start(&bench.folder().join(killed_after_us.to_string()));
        let mut command = Command::new(&program);
        let said = succeeds(command.arg(daemon.folder()).arg(killed_after_us.to_string()));
        println!("killed after {killed_after_us} us: {}", said.trim());
    }
}
