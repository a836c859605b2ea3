//! What cyclic calls ask of the system: nothing, but to wake and to wait.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use super::daemon::Daemon;
use super::programs::{Bench, C, home, succeeds};

#[test]
fn cyclic_calls_allocate_nothing_and_call_the_system_to_wake_and_to_wait_alone() {
    let bench = Bench::new("c-quiet");
    let daemon = Daemon::start(bench.folder());
    let program = bench.build("cc", C, &home().join("tests/c_abi/quiet.c"));
    let said = succeeds(Command::new(&program).arg(daemon.folder()));
    println!("{}", said.trim());
    assert!(said.starts_with("commits 6001, read by the standby "), "{said}");
    assert!(said.contains("takeovers 1, allocations 0"), "{said}");

    // The same with a call of the system, and with one of the library that allocates: so both would
    // be noticed.
    drop(daemon);
    for broken in ["calls", "allocates"] {
        let bench = Bench::new("c-loud");
        let daemon = Daemon::start(bench.folder());
        let mut loud = Command::new(&program);
        let output = loud.arg(daemon.folder()).arg(broken).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        match broken {
            "calls" => assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{output:?}"),
            _ => assert!(
                said.contains("allocations") && !said.contains("allocations 0"),
                "{output:?}"
            ),
        }
    }
}
