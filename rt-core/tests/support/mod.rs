//! Scenarios that change their process run in a child: the test program again, with one test chosen
//! and a variable set.

#![allow(clippy::unwrap_used, reason = "part of tests")]
#![allow(dead_code, reason = "each test program uses its part")]

use std::env;
use std::process::{Command, Output};

const CHILD: &str = "RT_CORE_TEST_CHILD";

/// Runs `test` in a child; none in the child itself.
pub(crate) fn in_child(test: &str) -> Option<Output> {
    in_child_by(Command::new(env::current_exe().unwrap()), test)
}

/// Runs `test` in a child that `command` starts: this program, or one that is given its path and
/// starts it. None in the child itself.
pub(crate) fn in_child_by(mut command: Command, test: &str) -> Option<Output> {
    if env::var_os(CHILD).is_some() {
        return None;
    }
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, "1");
    Some(command.output().unwrap())
}

/// The child's test passed, and there was one.
pub(crate) fn assert_passed(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {text}{errors}", output.status);
    assert!(text.contains("1 passed"), "the child ran no test: {text}");
}
