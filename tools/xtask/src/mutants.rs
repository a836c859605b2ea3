//! `cargo xtask mutants`: does any test notice when the takeover is wrong?
//!
//! cargo-mutants changes one thing at a time in the sources named here and runs the tests; a change
//! that nothing notices is a survivor. Each survivor is either a test that is missing, or it is
//! explained in [`EXPLAINED`], by its name and with the reason.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Failure;
use crate::workspace::{PROFILE, Workspace};

pub(crate) const HELP: &str = "\
cargo xtask mutants [--jobs N] [--shard K/N] [--file PATTERN]

Changes one thing at a time in the role machine, the inequalities, the detector, the register and
the latch, runs their tests, and counts what is noticed: 95 of 100 at least, and each of the others
explained in tools/xtask/mutants.txt. Takes cargo-mutants (cargo install cargo-mutants), and hours.
";

/// What is changed.
const SOURCES: &[&str] = &["rt-core/src/margins*", "rt-core/src/margins/**", "rt-core/src/pair/**"];

/// What must notice: in this order, so that what is quick comes first.
const TESTS: &[&str] = &["--lib", "--test", "role_table", "--test", "role_model"];

/// The survivors with their reasons: a line each, name, a tab, reason.
const EXPLAINED: &str = "tools/xtask/mutants.txt";

/// So many of a hundred have to be noticed.
const CAUGHT_PERCENT_MIN: usize = 95;

#[derive(PartialEq, Eq, Debug)]
struct Options {
    jobs: usize,
    shard: Option<String>,
    file: Option<String>,
}

fn parse(arguments: &[String]) -> Result<Options, Failure> {
    let mut options = Options { jobs: 2, shard: None, file: None };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || {
            let usage = || Failure::Usage(format!("{argument} needs a value\n\n{HELP}"));
            rest.next().cloned().ok_or_else(usage)
        };
        match argument.as_str() {
            "--jobs" => {
                let jobs = value()?.parse().ok().filter(|jobs| (1..=64).contains(jobs));
                options.jobs = jobs
                    .ok_or_else(|| Failure::Usage("--jobs needs a number from 1 to 64".into()))?;
            }
            "--shard" => options.shard = Some(value()?),
            "--file" => options.file = Some(value()?),
            other => return Err(Failure::Usage(format!("mutants knows no `{other}`\n\n{HELP}"))),
        }
    }
    Ok(options)
}

/// Runs cargo-mutants and weighs what it found.
pub(crate) fn command(arguments: &[String]) -> Result<(), Failure> {
    let options = parse(arguments)?;
    let workspace = Workspace::find()?;
    let folder = workspace.target_folder()?.join("mutants");
    fs::create_dir_all(&folder)
        .map_err(|e| Failure::Cannot(format!("{}: {e}", folder.display())))?;
    let mut run: Command = workspace.cargo(&["mutants", "--package", "rt-core", "--no-shuffle"]);
    run.args(["--profile", PROFILE, "--jobs", &options.jobs.to_string(), "--output"]).arg(&folder);
    match &options.file {
        Some(file) => {
            run.args(["--file", file]);
        }
        None => SOURCES.iter().for_each(|source| {
            run.args(["--file", source]);
        }),
    }
    if let Some(shard) = &options.shard {
        run.args(["--shard", shard]);
    }
    for test in TESTS {
        run.arg("--cargo-test-arg").arg(test);
    }
    // Survivors are its exit code 2 and time-outs 3: both are weighed here.
    let status = run.status().map_err(|e| Failure::Cannot(format!("cargo mutants: {e}")))?;
    if !matches!(status.code(), Some(0 | 2 | 3)) {
        return Err(Failure::Cannot(
            "cargo mutants did not get through, see above (cargo install cargo-mutants)".into(),
        ));
    }
    let explained = workspace.read(EXPLAINED)?;
    weigh(&Found::read(&folder.join("mutants.out"))?, &explained)
}

/// What became of the changes, a line each.
#[derive(Default, Debug)]
struct Found {
    caught: Vec<String>,
    missed: Vec<String>,
}

impl Found {
    fn read(folder: &Path) -> Result<Self, Failure> {
        let lines = |name: &str| {
            let file = folder.join(name);
            fs::read_to_string(&file)
                .map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
                .map_err(|e| Failure::Cannot(format!("{}: {e}", file.display())))
        };
        let mut caught = lines("caught.txt")?;
        // A change that made the tests run without end was noticed too.
        caught.extend(lines("timeout.txt")?);
        Ok(Self { caught, missed: lines("missed.txt")? })
    }
}

/// The name of a change without its place in the file, which moves with every edit.
fn name(line: &str) -> String {
    let mut parts = line.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(file), Some(_), Some(_), Some(what)) => format!("{file}:{what}"),
        _ => line.to_owned(),
    }
}

fn weigh(found: &Found, explained: &str) -> Result<(), Failure> {
    let reason = |line: &str| {
        let name = name(line);
        let mut pairs = explained.lines().filter_map(|line| line.split_once('\t'));
        pairs.find(|(known, _)| *known == name).map(|(_, reason)| reason.to_owned())
    };
    let all = found.caught.len() + found.missed.len();
    say!("{} of {all} changes were noticed.", found.caught.len());
    let mut unexplained = 0;
    for line in &found.missed {
        match reason(line) {
            Some(reason) => say!("survived: {line}\n          {reason}"),
            None => {
                unexplained += 1;
                say!("survived: {line}\n          NOT EXPLAINED in {EXPLAINED}");
            }
        }
    }
    if unexplained > 0 || found.caught.len() * 100 < all * CAUGHT_PERCENT_MIN {
        return Err(Failure::Failed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_survivor_needs_an_explanation() {
        let lines = |count: usize| (0..count).map(|n| format!("a.rs:{n}:1: caught")).collect();
        let missed = vec!["a.rs:7:9: replace < with <= in f".to_owned()];
        let found = Found { caught: lines(99), missed };
        assert!(weigh(&found, "").is_err());
        assert!(weigh(&found, "a.rs: replace < with <= in f\tboth are the same instant").is_ok());
        let few = Found { caught: lines(9), missed: found.missed };
        assert!(weigh(&few, "a.rs: replace < with <= in f\tit is").is_err(), "90 of 100");
    }
}
