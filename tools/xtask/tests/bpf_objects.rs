//! The committed objects of the programs in the kernel are what their sources give.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

#[test]
fn committed_objects_are_what_their_sources_give() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_xtask")).args(["bpf", "--check"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    for line in text.lines() {
        println!("{line}");
    }
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success());
    let compared = text.lines().filter(|line| line.ends_with(')') && line.contains("as committed"));
    assert!(text.starts_with("SKIP: ") || compared.count() == 2, "both programs are compared");
}
