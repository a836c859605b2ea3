//! `cargo xtask soak`: the long forms, for a night or for the machine room.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Failure;
use crate::groups::{self, Group};
use crate::run::{Ending, captured};
use crate::tally::Tally;
use crate::test::{Manner, Report, run_groups};
use crate::workspace::Workspace;

pub(crate) const HELP: &str = "\
cargo xtask soak [--fuzz-seconds N] [--no-fuzz] [--verbose]

Runs every group of tests that has a long form (`cargo xtask test --list` marks them) with
BUMPLESS_SOAK=1 in its environment, then each target in fuzz/ for N seconds (600 unless said
otherwise). Fuzzing takes cargo-fuzz and a nightly toolchain; without them it says how to get them,
and the targets count as skipped.
";

/// When a long form is given up.
const LIMIT: Duration = Duration::from_secs(12 * 60 * 60);

/// How long a fuzz target may take beyond its time: it is compiled first.
const FUZZ_MARGIN: Duration = Duration::from_secs(30 * 60);

const FUZZ_REMEDY: &str = "rustup toolchain install nightly && cargo install cargo-fuzz";

#[derive(PartialEq, Eq, Debug)]
struct Options {
    fuzz: Option<Duration>,
    verbose: bool,
}

fn parse(arguments: &[String]) -> Result<Options, Failure> {
    let mut options = Options { fuzz: Some(Duration::from_secs(600)), verbose: false };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--verbose" => options.verbose = true,
            "--no-fuzz" => options.fuzz = None,
            "--fuzz-seconds" => {
                let seconds = rest
                    .next()
                    .and_then(|n| n.parse().ok())
                    .filter(|n| (1..=1_000_000).contains(n))
                    .ok_or_else(|| {
                        Failure::Usage("--fuzz-seconds needs a number from 1 to 1000000".into())
                    })?;
                options.fuzz = Some(Duration::from_secs(seconds));
            }
            other => return Err(Failure::Usage(format!("soak knows no `{other}`\n\n{HELP}"))),
        }
    }
    Ok(options)
}

/// Runs the long forms, then the fuzz targets.
pub(crate) fn command(arguments: &[String]) -> Result<(), Failure> {
    let options = parse(arguments)?;
    let workspace = Workspace::find()?;
    let groups: Vec<Group> =
        groups::discover(&workspace)?.into_iter().filter(|g| g.soakable).collect();
    if groups.is_empty() {
        say!("No group of tests has a long form.");
    }
    let mut report = Report::default();
    let manner = Manner { verbose: options.verbose, soak: true, limit: LIMIT };
    run_groups(&workspace, &groups, &manner, &mut report)?;
    if let Some(time) = options.fuzz {
        fuzz(&workspace, time, &mut report)?;
    }
    report.close(None)
}

fn fuzz(workspace: &Workspace, time: Duration, report: &mut Report) -> Result<(), Failure> {
    let targets: Vec<String> = workspace
        .files()?
        .iter()
        .filter_map(|file| file.strip_prefix("fuzz/fuzz_targets/")?.strip_suffix(".rs"))
        .filter(|target| !target.contains('/'))
        .map(str::to_owned)
        .collect();
    let can = can_fuzz();
    if !can && !targets.is_empty() {
        say!("No fuzzing here. Install what it takes: {FUZZ_REMEDY}");
    }
    for target in targets {
        let mut tally = Tally::default();
        let mut took = Duration::ZERO;
        if can {
            say!("fuzz/{target}: {} s …", time.as_secs());
            let outcome =
                captured(&mut fuzz_command(workspace, &target, time), time + FUZZ_MARGIN, |_| ())?;
            took = outcome.took;
            if outcome.ending == Ending::Fine {
                tally.pass();
            } else {
                outcome.lines.iter().for_each(|line| say!("{line}"));
                tally.fail(&target);
            }
        } else {
            tally.pass();
            tally.feed(&format!("SKIP: {target}: fuzzing: {FUZZ_REMEDY}"));
        }
        report.add(&format!("fuzz/{target}"), tally, took);
    }
    Ok(())
}

fn fuzz_command(workspace: &Workspace, target: &str, time: Duration) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo", "fuzz", "run", target, "--"]);
    command.arg(format!("-max_total_time={}", time.as_secs())).current_dir(&workspace.root);
    command
}

fn can_fuzz() -> bool {
    Command::new("rustup")
        .args(["run", "nightly", "cargo", "fuzz", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_others_refused() {
        let parse =
            |line: &str| parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(parse("--fuzz-seconds 5").unwrap().fuzz, Some(Duration::from_secs(5)));
        assert_eq!(parse("--no-fuzz").unwrap().fuzz, None);
        for bad in ["--fuzz-seconds", "--fuzz-seconds 0", "--fuzz-seconds x", "--long"] {
            assert!(matches!(parse(bad), Err(Failure::Usage(_))), "{bad}");
        }
    }
}
