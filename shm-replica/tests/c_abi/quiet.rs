//! What cyclic calls ask of the system: nothing, but to wake who has asked for it, and to wait.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::daemon::Daemon;
use super::programs::{Bench, C, home, succeeds};

fn built(bench: &Bench) -> PathBuf {
    bench.build("cc", C, &home().join("tests/c_abi/quiet.c"))
}

/// The program's end where it is told to do what it must not.
fn output(program: &Path, mode: &str) -> Output {
    let bench = Bench::new(&format!("c-loud-{mode}"));
    let daemon = Daemon::start(bench.folder());
    Command::new(program).arg(daemon.folder()).arg(mode).output().unwrap()
}

/// The number before which `word` stands.
fn number(said: &str, word: &str) -> u64 {
    let rest = said.split_once(word).unwrap_or_else(|| panic!("no {word:?}: {said}")).1;
    rest.trim().split([',', '\n']).next().unwrap().parse().unwrap()
}

#[test]
fn cyclic_calls_allocate_nothing_and_call_the_system_to_wake_and_to_wait_alone() {
    let bench = Bench::new("c-quiet");
    let daemon = Daemon::start(bench.folder());
    let program = built(&bench);
    let said = succeeds(Command::new(&program).arg(daemon.folder()));
    println!("{}", said.trim());
    assert!(said.starts_with("commits 6001, read by the standby "), "{said}");
    assert!(said.contains("takeovers 1, allocations 0"), "{said}");

    // The same with a call of the system, and with one of the library that allocates: so both would
    // be noticed.
    let calls = output(&program, "calls");
    assert_eq!(calls.status.signal(), Some(libc::SIGSYS), "{calls:?}");
    let allocates = output(&program, "allocates");
    let said = String::from_utf8_lossy(&allocates.stdout);
    assert!(allocates.status.success(), "{allocates:?}");
    assert!(number(&said, "allocations") > 0, "{said}");
}

#[test]
fn a_commit_wakes_nobody_who_has_not_asked_for_it() {
    let bench = Bench::new("c-unasked");
    let daemon = Daemon::start(bench.folder());
    let program = built(&bench);
    // No futex call is let through here, to wake no more than to wait.
    let said = succeeds(Command::new(&program).arg(daemon.folder()).arg("unasked"));
    println!("{}", said.trim());
    assert!(said.starts_with("commits 6001, read by the standby "), "{said}");
    assert!(said.contains("takeovers 1, allocations 0"), "{said}");
    assert!(number(&said, "by the reader") > 0, "who polls reads all the same: {said}");

    // Where somebody has asked, the first commit is the end.
    let asked = output(&program, "asked");
    assert_eq!(asked.status.signal(), Some(libc::SIGSYS), "{asked:?}");
}
