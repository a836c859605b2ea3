//! `cargo xtask test`: every test of the project, in groups, with a table at the end.

use std::time::Duration;

use crate::Failure;
use crate::groups::{self, Group};
use crate::run::{Ending, Outcome, Stopwatch, captured};
use crate::tally::{Skip, Tally};
use crate::workspace::{PROFILE, Workspace};
use crate::{check, debian};

pub(crate) const HELP: &str = "\
cargo xtask test [OPTIONS]

Runs `cargo xtask check`, builds everything once, runs every test in groups one after the other,
and prints a table of the groups. The last line reads `N passed, N failed, N skipped`.

Options
  --only NAME            Run this group (see --list); may be given several times. An integration
                         test may be called by its bare name.
  --list                 Print the groups and run nothing. `*` marks those with a long form, which
                         `cargo xtask soak` runs.
  --no-skip-but A,B,…    A test that skips itself counts as failed, unless the first word of what
                         it says is missing is A, B, …
  --verbose              Show all output as it comes.

As root on Debian, packages that the tests use are installed first; elsewhere they are named. A test
that lacks a privilege or a kernel feature says so in a line `SKIP: <test>: <what is missing>`.
";

/// How many of a failed group's lines are shown; more helps nobody.
const LINES_SHOWN_MAX: usize = 3_000;

/// What the command line asks for.
#[derive(Default, PartialEq, Eq, Debug)]
struct Options {
    only: Vec<String>,
    list: bool,
    may_skip: Option<Vec<String>>,
    verbose: bool,
}

fn parse(arguments: &[String]) -> Result<Options, Failure> {
    let mut options = Options::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || {
            rest.next()
                .cloned()
                .ok_or_else(|| Failure::Usage(format!("`{argument}` needs a value after it")))
        };
        match argument.as_str() {
            "--only" => options.only.push(value()?),
            "--no-skip-but" => {
                let words = value()?;
                options.may_skip = Some(words.split(',').map(|w| w.trim().to_owned()).collect());
            }
            "--list" => options.list = true,
            "--verbose" => options.verbose = true,
            other => return Err(Failure::Usage(format!("test knows no `{other}`\n\n{HELP}"))),
        }
    }
    Ok(options)
}

/// Runs the tests that `arguments` ask for.
pub(crate) fn command(arguments: &[String]) -> Result<(), Failure> {
    let options = parse(arguments)?;
    let workspace = Workspace::find()?;
    let all = groups::discover(&workspace)?;
    if options.list {
        say!("check");
        all.iter().for_each(|g| say!("{}{}", g.name, if g.soakable { " *" } else { "" }));
        return Ok(());
    }
    for name in &options.only {
        if name != "check" && !all.iter().any(|g| g.is_called(name)) {
            return Err(Failure::Usage(format!("there is no group `{name}`; see --list")));
        }
    }
    let wanted = |group: &Group| {
        options.only.is_empty() || options.only.iter().any(|name| group.is_called(name))
    };
    let groups: Vec<Group> = all.into_iter().filter(wanted).collect();

    let mut report = Report::default();
    if options.only.is_empty() || options.only.iter().any(|name| name == "check") {
        let stopwatch = Stopwatch::start();
        let tally = check::run(&workspace, &[])?;
        report.add("check", tally, stopwatch.elapsed());
    }
    run_groups(&workspace, &groups, &Manner::of(&options), &mut report)?;
    report.close(options.may_skip.as_deref())
}

/// How groups are run.
#[derive(Debug)]
pub(crate) struct Manner {
    /// Show all output as it comes.
    pub(crate) verbose: bool,
    /// Run the long forms.
    pub(crate) soak: bool,
    /// When a group is given up.
    pub(crate) limit: Duration,
}

impl Manner {
    fn of(options: &Options) -> Self {
        Self { verbose: options.verbose, soak: false, limit: groups::LIMIT }
    }
}

/// Builds everything, then runs `groups` one after the other.
pub(crate) fn run_groups(
    workspace: &Workspace,
    groups: &[Group],
    manner: &Manner,
    report: &mut Report,
) -> Result<(), Failure> {
    if groups.is_empty() {
        return Ok(());
    }
    debian::provide(groups);
    say!("build: the workspace, profile `{PROFILE}`");
    // All targets, not only tests: tests start the programs that lie beside them.
    let build = ["build", "--workspace", "--all-targets", "--profile", PROFILE];
    let outcome = captured(&mut workspace.cargo(&build), manner.limit, |line| {
        if manner.verbose {
            say!("{line}");
        }
    })?;
    if outcome.ending != Ending::Fine {
        show_tail(&outcome);
        let mut tally = Tally::default();
        tally.fail("the build");
        report.add("build", tally, outcome.took);
        return Ok(());
    }
    report.add("build", Tally::default(), outcome.took);
    for group in groups {
        let (tally, took) = run_group(workspace, group, manner)?;
        report.add(&group.name, tally, took);
    }
    Ok(())
}

fn run_group(
    workspace: &Workspace,
    group: &Group,
    manner: &Manner,
) -> Result<(Tally, Duration), Failure> {
    say!("{}: …", group.name);
    let arguments = group.cargo_arguments();
    let mut command = workspace.cargo(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    if manner.soak {
        command.env("BUMPLESS_SOAK", "1");
    }
    let mut tally = Tally::default();
    let mut brief = Vec::new();
    let outcome = captured(&mut command, manner.limit, |line| {
        let telling = tally.feed(line);
        if manner.verbose {
            say!("{line}");
        } else if telling {
            brief.push(line.to_owned());
        }
    })?;
    match outcome.ending {
        Ending::TimedOut => tally.fail("the group took too long and was ended"),
        Ending::LeftProcesses => tally.fail("the group left a process behind"),
        Ending::Failed if tally.failed() == 0 => tally.fail("cargo test, or a test was killed"),
        Ending::Failed | Ending::Fine => {}
    }
    let ran = tally.passed() + tally.failed() + tally.skipped();
    if ran == 0 && group.must_hold_tests() {
        tally.fail("the group holds no test");
    }
    if tally.failed() > 0 && !manner.verbose {
        show_tail(&outcome);
    } else {
        brief.iter().for_each(|line| say!("{line}"));
    }
    let word = if tally.failed() == 0 { "ok" } else { "FAILED" };
    say!("{}: {word} ({:.1} s)", group.name, outcome.took.as_secs_f64());
    Ok((tally, outcome.took))
}

fn show_tail(outcome: &Outcome) {
    let hidden = outcome.lines.len().saturating_sub(LINES_SHOWN_MAX);
    if hidden + outcome.lines_lost > 0 {
        say!("… {} lines before these …", hidden + outcome.lines_lost);
    }
    outcome.lines.iter().skip(hidden).for_each(|line| say!("{line}"));
}

/// What all groups came to.
#[derive(Default, Debug)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    group: String,
    tally: Tally,
    took: Duration,
}

impl Report {
    /// Adds a group.
    pub(crate) fn add(&mut self, group: &str, tally: Tally, took: Duration) {
        self.rows.push(Row { group: group.to_owned(), tally, took });
    }

    /// Prints the table, what was skipped, what failed, and the closing line.
    ///
    /// With `may_skip`, a skip for any other reason is a failure.
    pub(crate) fn close(&self, may_skip: Option<&[String]>) -> Result<(), Failure> {
        let refused = self.refused_skips(may_skip);
        self.print_table();
        for (group, skip) in self.skips() {
            let refused = refused.iter().any(|(g, s)| *g == group && *s == skip);
            let word = if refused { "not to be skipped" } else { "skipped" };
            say!("{word}: {group}: {}: {}", skip.test, skip.missing);
        }
        for row in &self.rows {
            for failure in &row.tally.failures {
                say!("failed: {}: {failure}", row.group);
            }
        }
        let passed = self.sum(Tally::passed);
        let failed = self.sum(Tally::failed) + refused.len();
        let skipped = self.sum(Tally::skipped).saturating_sub(refused.len());
        say!("{passed} passed, {failed} failed, {skipped} skipped");
        if failed == 0 { Ok(()) } else { Err(Failure::Failed) }
    }

    fn sum(&self, of: fn(&Tally) -> usize) -> usize {
        self.rows.iter().map(|row| of(&row.tally)).sum()
    }

    fn skips(&self) -> impl Iterator<Item = (&str, &Skip)> {
        self.rows
            .iter()
            .flat_map(|row| row.tally.skips.iter().map(|skip| (row.group.as_str(), skip)))
    }

    /// Skips that count as failures, one for each test.
    fn refused_skips(&self, may_skip: Option<&[String]>) -> Vec<(&str, &Skip)> {
        let Some(allowed) = may_skip else { return Vec::new() };
        let mut refused: Vec<(&str, &Skip)> =
            self.skips().filter(|(_, skip)| !skip.is_allowed(allowed)).collect();
        refused.dedup_by(|a, b| a.0 == b.0 && a.1.test == b.1.test);
        refused
    }

    fn print_table(&self) {
        let width = self.rows.iter().map(|row| row.group.len()).max().unwrap_or(0).max(5);
        say!("\n{:width$}  passed  failed  skipped  seconds", "group");
        for Row { group, tally, took } in &self.rows {
            say!(
                "{group:width$}  {:6}  {:6}  {:7}  {:7.1}",
                tally.passed(),
                tally.failed(),
                tally.skipped(),
                took.as_secs_f64()
            );
        }
        let total: Duration = self.rows.iter().map(|row| row.took).sum();
        say!("{:width$}  {:31.1}", "total", total.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_are_read_and_others_refused() {
        let options = parse(&words("--only unit --only doc --no-skip-but kvm,hardware")).unwrap();
        assert_eq!(options.only, ["unit", "doc"]);
        assert_eq!(options.may_skip, Some(vec!["kvm".into(), "hardware".into()]));
        assert!(matches!(parse(&words("--only")), Err(Failure::Usage(_))));
        assert!(matches!(parse(&words("--quick")), Err(Failure::Usage(_))));
    }

    #[test]
    fn a_skip_that_may_not_be_fails_the_run() {
        let mut tally = Tally::default();
        tally.feed("SKIP: one: root");
        tally.feed("SKIP: one: root, again");
        tally.feed("SKIP: two: kvm");
        tally.feed("test result: ok. 2 passed; 0 failed; 0 ignored");
        let mut report = Report::default();
        report.add("unit", tally, Duration::ZERO);
        assert!(report.close(None).is_ok());
        assert_eq!(report.refused_skips(Some(&["kvm".to_owned()])).len(), 1);
        assert!(report.close(Some(&["kvm".to_owned()])).is_err());
        assert!(report.close(Some(&["kvm".to_owned(), "root".to_owned()])).is_ok());
    }
}
