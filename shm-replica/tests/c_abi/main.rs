//! The C interface as its users meet it: header, library, and what it says to bad input.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod abi;
mod daemon;
mod header;
mod images;
mod languages;
mod programs;
mod quiet;

use std::process::Command;

use daemon::Daemon;
use programs::{Bench, C, home, succeeds};

#[test]
fn each_function_says_what_is_wrong_with_what_it_is_given() {
    let bench = Bench::new("c-bad-input");
    let daemon = Daemon::start(bench.folder());
    let program = bench.build("cc", C, &home().join("tests/c_abi/bad_input.c"));
    let said = succeeds(Command::new(program).arg(daemon.folder()));
    println!("{}", said.lines().next().unwrap_or_default());
    let tried: Vec<&str> = said.lines().filter_map(|it| it.strip_prefix("function ")).collect();
    for function in header::functions().iter().filter(|it| it.takes_a_handle()) {
        assert!(tried.contains(&function.name.as_str()), "{} is not tried", function.name);
    }
}
