//! `cargo xtask check`: what a change must satisfy before any test runs.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::Failure;
use crate::header;
use crate::run::{Ending, Outcome, Stopwatch, captured};
use crate::tally::Tally;
use crate::tidy;
use crate::workspace::{PROFILE, Workspace};

pub(crate) const HELP: &str = "\
cargo xtask check [STEP…]

Steps, all of them unless some are named:
  fmt      the formatting is that of `cargo fmt`
  clippy   no warning, neither the compiler's nor clippy's, in any target
  docs     the documentation builds without a warning, private items included
  pure     rt-core, prp and shm-replica build without the standard library
  tidy     the house rules that no compiler knows (see docs/style.md)
  header   the committed C header is what the sources of the C interface give
  configs  every file in packaging/configs passes `bumpless check`
";

/// The libraries with a half that knows no operating system.
const PURE: [&str; 3] = ["rt-core", "prp", "shm-replica"];

/// How long a step may take; the first one compiles every dependency.
const LIMIT: Duration = Duration::from_secs(20 * 60);

type Step = (&'static str, fn(&Workspace) -> Result<Vec<String>, Failure>);

/// Each step with what finds its complaints; none means that all is well.
const STEPS: [Step; 7] = [
    ("fmt", fmt),
    ("clippy", clippy),
    ("docs", docs),
    ("pure", pure),
    ("tidy", tidy::complaints),
    ("header", header::complaints),
    ("configs", configs),
];

/// Runs the steps that `arguments` name, or all.
pub(crate) fn command(arguments: &[String]) -> Result<(), Failure> {
    let known: BTreeSet<&str> = STEPS.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = arguments.iter().find(|a| !known.contains(a.as_str())) {
        return Err(Failure::Usage(format!("`{unknown}` is no step of check\n\n{HELP}")));
    }
    let tally = run(&Workspace::find()?, arguments)?;
    say!("{} passed, {} failed", tally.passed(), tally.failed());
    if tally.failed() == 0 { Ok(()) } else { Err(Failure::Failed) }
}

/// Runs the steps called `only`, or all when it is empty, each counted as one test.
pub(crate) fn run(workspace: &Workspace, only: &[String]) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    for (name, step) in STEPS {
        if !only.is_empty() && !only.iter().any(|o| o == name) {
            continue;
        }
        let stopwatch = Stopwatch::start();
        let complaints = step(workspace)?;
        let seconds = stopwatch.elapsed().as_secs_f64();
        if complaints.is_empty() {
            say!("check/{name}: ok ({seconds:.1} s)");
            tally.pass();
        } else {
            complaints.iter().for_each(|line| say!("{line}"));
            say!("check/{name}: FAILED ({seconds:.1} s)");
            tally.fail(name);
        }
    }
    Ok(tally)
}

fn fmt(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    complaints_of(&mut workspace.cargo(&["fmt", "--all", "--check", "--", "--color", "never"]))
}

fn clippy(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--profile", PROFILE];
    complaints_of(workspace.cargo(&arguments).args(["--", "--deny", "warnings"]))
}

/// With private items: who reads this documentation works on the code, and a dead link in a
/// private item is as dead.
fn docs(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    let arguments =
        ["doc", "--workspace", "--no-deps", "--document-private-items", "--profile", PROFILE];
    complaints_of(workspace.cargo(&arguments).env("RUSTDOCFLAGS", "--deny warnings"))
}

/// As plain libraries: a `no_std` shared library would need a panic handler, which is its user's.
fn pure(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    let mut complaints = Vec::new();
    for package in PURE {
        let arguments = ["rustc", "--package", package, "--lib", "--no-default-features"];
        let mut command = workspace.cargo(&arguments);
        command.args(["--crate-type", "rlib", "--profile", PROFILE, "--", "--deny", "warnings"]);
        complaints.extend(complaints_of(&mut command)?);
    }
    Ok(complaints)
}

fn configs(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    let shipped: Vec<String> = workspace
        .files()?
        .into_iter()
        .filter(|f| f.starts_with("packaging/configs/") && f.ends_with(".toml"))
        .collect();
    let program = workspace.root.join("tools/src/bin/bumpless.rs");
    let program_folder = workspace.root.join("tools/src/bin/bumpless/main.rs");
    if shipped.is_empty() || !(program.exists() || program_folder.exists()) {
        return Ok(Vec::new());
    }
    let build = ["build", "--workspace", "--bin", "bumpless", "--profile", PROFILE];
    let mut complaints = complaints_of(&mut workspace.cargo(&build))?;
    if complaints.is_empty() {
        let bumpless = workspace.target_folder()?.join(PROFILE).join("bumpless");
        for file in shipped {
            complaints.extend(config_complaints(workspace, &bumpless, &file)?);
        }
    }
    Ok(complaints)
}

fn config_complaints(
    workspace: &Workspace,
    bumpless: &Path,
    file: &str,
) -> Result<Vec<String>, Failure> {
    let mut command = Command::new(bumpless);
    complaints_of(command.args(["check", file]).current_dir(&workspace.root))
}

/// Runs a program whose failure is the complaint: its output, and the command line at the end.
fn complaints_of(command: &mut Command) -> Result<Vec<String>, Failure> {
    let outcome = captured(command, LIMIT, |_| ())?;
    if outcome.ending == Ending::Fine { Ok(Vec::new()) } else { Ok(told(command, outcome)) }
}

fn told(command: &Command, outcome: Outcome) -> Vec<String> {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
    let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
    let how = match outcome.ending {
        Ending::TimedOut => "took too long and was ended",
        Ending::LeftProcesses => "left processes behind",
        Ending::Failed | Ending::Fine => "failed",
    };
    let mut lines: Vec<String> = outcome.lines.into();
    lines.push(format!("`{name} {}` {how}", arguments.join(" ")));
    lines
}
