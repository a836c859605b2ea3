//! C++ and Python: what is between them and the C interface, run.

use std::process::Command;

use super::daemon::Daemon;
use super::programs::{Bench, CPP, home, succeeds};

#[test]
fn a_pair_in_cpp_takes_over_and_throws_before_the_cycle_alone() {
    let bench = Bench::new("c-cpp");
    let daemon = Daemon::start(bench.folder());
    let program = bench.build("c++", CPP, &home().join("tests/c_abi/pair.cc"));
    assert_eq!(succeeds(Command::new(program).arg(daemon.folder())), "fine\n");
}

#[test]
fn a_pair_in_python_takes_over_without_a_build_step() {
    let bench = Bench::new("c-python");
    let daemon = Daemon::start(bench.folder());
    // The system's: it is the one that has the system's numpy.
    let python = ["/usr/bin/python3", "python3"].into_iter().find(|it| {
        Command::new(it).arg("--version").output().is_ok_and(|output| output.status.success())
    });
    let mut command = Command::new(python.unwrap());
    command.arg(home().join("tests/c_abi/pair.py")).arg(daemon.folder());
    command.env("PYTHONPATH", home().join("python")).env("LD_LIBRARY_PATH", bench.folder());
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let said = succeeds(&mut command);
    print!("{said}");
    assert!(said.ends_with(&format!("fine {}\n", env!("CARGO_PKG_VERSION"))), "{said}");
}
