//! `bumpless doctor`: is this host fit, what follows where it is not, and what to change.
//!
//! The host's files are judged in `rt-core`; here they are read, the network cards are added, and
//! it is told. Nothing is changed without `--fix`, and nothing with it that was not shown before.
//!
//! Exit status: 0 where no finding is a warning or worse, 1 where one is, and 3 where `--fix` was
//! to change something and may not.

use std::path::{Path, PathBuf};

use clap::Args;
use rt_core::os::host::fix::Outcome;
use rt_core::os::host::{Finding, HostTexts, Level, Needs, Remedy, boot_parameters, findings};

use super::text::Style;
use super::{Target, json, print};
use crate::exit::{ExitCode, Failure};
use crate::report::SCHEMA;
use crate::report::doctor::{Doctor, FindingRow, LevelCounts};

pub mod features;
mod fixing;
pub mod nic;
pub mod nic_checks;
mod place;
mod subject;
mod text;

use fixing::Planned;
use nic_checks::NicNeeds;
use subject::Subject;
pub(super) use subject::thread_row;

/// `bumpless doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// Judge for this configuration, not for the instance that runs
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "runtime_dir"])]
    pub config: Option<PathBuf>,

    /// Which daemon.
    #[command(flatten)]
    pub target: Target,

    /// Network interface of LAN A
    #[arg(long, value_name = "IF")]
    pub lan_a: Option<String>,

    /// Network interface of LAN B
    #[arg(long, value_name = "IF")]
    pub lan_b: Option<String>,

    /// Show what is fine in full, too
    #[arg(long)]
    pub all: bool,

    /// Print one JSON document
    #[arg(long)]
    pub json: bool,

    /// Show what can be set now, ask, set it, and print the rest to paste instead of the findings
    #[arg(long)]
    pub fix: bool,

    /// Do not ask
    #[arg(long, requires = "fix")]
    pub yes: bool,

    /// Judge the files of /proc, /sys and /etc in this folder; network cards are left out
    #[arg(long, value_name = "DIR", conflicts_with_all = ["lan_a", "lan_b"])]
    pub root: Option<PathBuf>,
}

pub(super) fn run(args: &DoctorArgs) -> Result<ExitCode, Failure> {
    if let Some(root) = args.root.as_ref().filter(|root| !root.is_dir()) {
        let what = format!("--root: {}: is no folder", root.display());
        return Err(Failure::usage(what, "name one that holds proc and sys of a host"));
    }
    let subject = Subject::find(args)?;
    let found = examine(&subject, args.root.as_deref());
    let mut planned = fixing::plan(&found);
    let style = Style::of_stdout();
    if args.json {
        let applied = args.fix && args.yes;
        let judged = if applied { fix(&mut planned, &subject, args) } else { found };
        print(&json(&document(&subject, &judged, &planned))?)?;
        return end(&judged, &planned);
    }
    print(&(text::heading(&subject) + "\n"))?;
    let (boot, unit) = (boot_parameters(&found), unit_lines(&found));
    if !args.fix {
        let mut rest = text::findings(&found, args.all, style) + &text::lasting(&boot, &unit);
        if !planned.is_empty() {
            let things = super::text::count(planned.len() as u64, "setting");
            rest +=
                &format!("\nCan be set now: {things} (bumpless doctor --fix shows them first)\n");
        }
        print(&(rest + &text::summary(&counts(&found), style)))?;
        return end(&found, &planned);
    }
    let judged = fix_by_hand(&mut planned, &subject, args, style)?.unwrap_or(found);
    let rest = fixing::lasting(&planned, &boot) + &text::lasting(&boot, &unit);
    let summary = text::summary(&counts(&judged), style);
    print(&(rest + &summary + "(bumpless doctor without --fix shows them)\n"))?;
    end(&judged, &planned)
}

/// Shows the settings, asks, and sets them; the findings afterwards, where something was set.
fn fix_by_hand(
    planned: &mut [Planned],
    subject: &Subject,
    args: &DoctorArgs,
    style: Style,
) -> Result<Option<Vec<Finding>>, Failure> {
    if planned.is_empty() {
        print("Nothing can be set while the host runs.\n")?;
        return Ok(None);
    }
    print(&format!(
        "Settings, as they are → as they should be:\n{}",
        fixing::list(planned, style)
    ))?;
    let agreed = match (args.yes, fixing::is_interactive()) {
        (true, _) => true,
        (false, true) => fixing::is_agreed(planned.len())?,
        (false, false) => {
            print("\nNothing was set: there is no terminal to ask at (--yes sets it unasked).\n")?;
            return Ok(None);
        }
    };
    if !agreed {
        print("\nNothing was set.\n")?;
        return Ok(None);
    }
    let judged = fix(planned, subject, args);
    print(&format!("\n{}", fixing::told(planned, style)))?;
    Ok(Some(judged))
}

/// Sets what was agreed to, and looks at the host again.
fn fix(planned: &mut [Planned], subject: &Subject, args: &DoctorArgs) -> Vec<Finding> {
    fixing::apply(planned, args.root.as_deref().unwrap_or_else(|| Path::new("/")));
    examine(subject, args.root.as_deref())
}

/// Reads the host and judges it, the worst first.
fn examine(subject: &Subject, root: Option<&Path>) -> Vec<Finding> {
    let mut texts = match root {
        None => HostTexts::read(subject.process),
        Some(root) => HostTexts::read_below(root, None),
    };
    let mut all = subject.findings.clone();
    let (mut nics, mut host_namespace) = (Vec::new(), None);
    if root.is_none() {
        // Before the interfaces, which may have files of the same names elsewhere.
        nic::read_bridges(&mut texts);
        let read = subject.place.read(subject, &mut texts);
        (nics, host_namespace) = (read.nics, read.host_namespace);
        all.extend(read.findings);
    }
    let needs = Needs {
        threads: subject.threads.clone(),
        nic_interrupts: nics.iter().flat_map(|nic| nic.interrupts.clone()).collect(),
        process_runs: subject.process.is_some(),
    };
    all.extend(findings(&texts, &needs));
    let mut pinned: Vec<usize> = subject.threads.iter().filter_map(|thread| thread.cpu).collect();
    pinned.sort_unstable();
    let needs = NicNeeds {
        texts: &texts,
        mtu_min: subject.mtu_min,
        pinned: &pinned,
        claimed: subject.process.is_some(),
        host_namespace,
    };
    for nic in &nics {
        let told = nic_checks::judge(nic, &needs).into_iter();
        all.extend(told.map(|finding| subject.place.told(finding)));
    }
    if root.is_none() {
        all.extend(nic_checks::judge_together(&nics, &texts));
        all.extend(features::findings());
    }
    // Stable: what belongs together stays so.
    all.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    all
}

fn counts(findings: &[Finding]) -> LevelCounts {
    let of = |level| findings.iter().filter(|finding| finding.level == level).count() as u64;
    LevelCounts {
        problem: of(Level::Problem),
        warning: of(Level::Warning),
        unknown: of(Level::Unknown),
        note: of(Level::Note),
        fine: of(Level::Fine),
    }
}

/// The word for the whole.
fn verdict(counts: &LevelCounts) -> &'static str {
    let seen = counts.warning + counts.note + counts.fine;
    match (counts.problem, counts.warning) {
        // Of what was not seen nothing follows.
        (0, _) if counts.unknown > seen => "unknown",
        (0, 0) => "fit",
        (0, _) => "usable",
        _ => "unfit",
    }
}

/// The exit status.
fn end(findings: &[Finding], planned: &[Planned]) -> Result<ExitCode, Failure> {
    let refused = planned.iter().find_map(|planned| match &planned.outcome {
        Some(Outcome::NotPermitted(why)) => {
            Some(format!("--fix: {}: {why}", planned.change.target))
        }
        _ => None,
    });
    if let Some(what) = refused {
        let remedy = match nix::unistd::geteuid().is_root() {
            true => "root may not set it here: run it outside of the container",
            false => "run it as root, outside of a container",
        };
        return Err(Failure::missing(what, remedy));
    }
    let counts = counts(findings);
    Ok(if verdict(&counts) == "fit" { ExitCode::Fine } else { ExitCode::Failed })
}

fn unit_lines(findings: &[Finding]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for remedy in findings.iter().flat_map(|finding| &finding.remedies) {
        if let Remedy::Unit(line) = remedy
            && !lines.contains(line)
        {
            lines.push(line.clone());
        }
    }
    lines
}

fn document(subject: &Subject, findings: &[Finding], planned: &[Planned]) -> Doctor {
    let counts = counts(findings);
    Doctor {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        judged_for: subject.row(),
        verdict: verdict(&counts).to_owned(),
        counts,
        findings: findings.iter().map(FindingRow::from).collect(),
        changes: fixing::rows(planned),
        boot_parameters: boot_parameters(findings),
        unit_lines: unit_lines(findings),
    }
}
