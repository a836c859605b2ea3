//! The words of the lab's command, which this test does not let boot a machine.

use std::path::Path;
use std::process::Command;

use crate::blocks::{pieces, read};
use crate::choices::{BUILD_IMAGE, RUN_MACHINE};

/// The program; built where nobody has built the whole workspace yet.
fn built() -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_bumpless")).parent().unwrap();
    let program = folder.join("bumpless-lab");
    if !program.exists() {
        let profile = match folder.file_name().and_then(|name| name.to_str()).unwrap() {
            "debug" => "dev",
            profile => profile,
        };
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "-p", "latency-tests", "--bin", "bumpless-lab"]);
        cargo.args(["--profile", profile, "--target-dir"]).arg(folder.parent().unwrap());
        assert!(cargo.status().unwrap().success(), "{cargo:?}");
    }
    program
}

/// Whether the program knows all the words: it reads them from left to right, and then explains.
fn understands(words: &str) -> bool {
    let mut command = Command::new(built());
    command.args(words.split_whitespace().skip(1)).arg("--help");
    command.output().unwrap().status.success()
}

#[test]
fn the_commands_of_the_lab_are_understood() {
    for words in [RUN_MACHINE, BUILD_IMAGE] {
        assert!(understands(words), "{words}");
    }
    assert!(!understands(&RUN_MACHINE.replace("--cpus", "--processors")));
    // What may stand there instead, by the comment behind it.
    let page = read("docs/lab.md");
    let line = page.lines().find(|line| line.starts_with(RUN_MACHINE)).unwrap();
    for option in ["--kernel 6.1", "--count-instructions"] {
        assert!(line.contains(option), "{line}");
        assert!(understands(&format!("{RUN_MACHINE} {option}")), "{option}");
    }
}

#[test]
fn the_listed_test_is_one_that_is_run() {
    let test = read("latency-tests/tests/lab.rs");
    let test: String = test.split_whitespace().collect();
    let pieces = pieces("docs/lab.md").into_iter();
    let listing = pieces.filter_map(|it| it.listing).find(|it| it.contains("#[test]")).unwrap();
    for line in listing.lines().filter(|it| it.starts_with(' ')) {
        let line = line.replace("\"something_about_real_time\"", "test");
        let line: String = line.split_whitespace().collect();
        assert!(test.contains(&line), "no test does this: {line}");
    }
}
