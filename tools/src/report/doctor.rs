//! The fitness of a host as a document.

use rt_core::os::host::{Finding, Remedy};
use serde::{Deserialize, Serialize};

/// `bumpless doctor --json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Doctor {
    /// See [`super::SCHEMA`].
    pub schema: u32,
    /// The program's version.
    pub version: String,
    /// What the host was judged for.
    pub judged_for: JudgedFor,
    /// `fit`, `usable` (a warning is there), `unfit` (a problem is there) or `unknown` (no problem
    /// is, and most could not be seen).
    pub verdict: String,
    /// How many findings there are of each level.
    pub counts: LevelCounts,
    /// The findings, the worst first.
    pub findings: Vec<FindingRow>,
    /// What can be set while the host runs, and with `--fix` what became of it.
    pub changes: Vec<ChangeRow>,
    /// Parameters to add to the kernel's command line, or to replace there.
    pub boot_parameters: Vec<String>,
    /// Lines for a drop-in of the daemon's unit, section `[Service]`.
    pub unit_lines: Vec<String>,
}

/// The threads and interfaces that the host is judged for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JudgedFor {
    /// `instance` (a daemon that runs), `config` (a file) or `defaults` (neither).
    pub source: String,
    /// The instance's name; null with `defaults`.
    pub name: Option<String>,
    /// The daemon's process; null where none runs.
    pub pid: Option<u32>,
    /// `block`, `adaptive` or `busy`.
    pub receive_mode: String,
    /// The real-time threads.
    pub threads: Vec<ThreadRow>,
    /// The LAN interfaces.
    pub lans: Vec<LanRow>,
}

/// A thread that runs or is planned.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ThreadRow {
    /// Its name.
    pub name: String,
    /// `SCHED_FIFO` or `SCHED_OTHER`.
    pub policy: String,
    /// Its real-time priority; 0 without one.
    pub priority: u8,
    /// The CPU it is pinned to; null when it may run on several.
    pub cpu: Option<usize>,
    /// Whether it never waits.
    pub busy: bool,
}

/// A LAN's interface.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LanRow {
    /// `A` or `B`.
    pub lan: String,
    /// The network interface.
    pub interface: String,
}

/// Findings of each level.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct LevelCounts {
    /// What is planned cannot work like this.
    pub problem: u64,
    /// It works, with longer or less certain delays.
    pub warning: u64,
    /// Could not be seen.
    pub unknown: u64,
    /// Costs little, or matters to others only.
    pub note: u64,
    /// As it should be.
    pub fine: u64,
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FindingRow {
    /// Stable name of the check.
    pub id: String,
    /// What it is about.
    pub subject: String,
    /// `problem`, `warning`, `unknown`, `note` or `fine`.
    pub level: String,
    /// What was seen.
    pub seen: String,
    /// What follows from it; empty when fine.
    pub consequence: String,
    /// What to do about it.
    pub remedies: Vec<RemedyRow>,
    /// Whether some of it can be set while the host runs.
    pub fixable_now: bool,
}

impl From<&Finding> for FindingRow {
    fn from(finding: &Finding) -> Self {
        let remedy = |remedy: &Remedy| {
            let (kind, text) = match remedy {
                Remedy::Change(change) => ("change", change.command.clone()),
                Remedy::Boot { key, value } if value.is_empty() => ("boot", key.clone()),
                Remedy::Boot { key, value } => ("boot", format!("{key}={value}")),
                Remedy::Unit(line) => ("unit", line.clone()),
                Remedy::Command(command) => ("command", command.clone()),
                Remedy::Advice(words) => ("advice", words.clone()),
            };
            RemedyRow { kind: kind.to_owned(), text }
        };
        Self {
            id: finding.id.to_owned(),
            subject: finding.subject.clone(),
            level: finding.level.name().to_owned(),
            seen: finding.seen.clone(),
            consequence: finding.consequence.clone(),
            remedies: finding.remedies.iter().map(remedy).collect(),
            fixable_now: finding.changes().next().is_some(),
        }
    }
}

/// One remedy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RemedyRow {
    /// `change` (a command that `--fix` does itself), `command`, `boot` (a parameter of the
    /// kernel's command line), `unit` (a line of the daemon's unit) or `advice` (words).
    pub kind: String,
    /// The command, parameter, line or sentence.
    pub text: String,
}

/// A setting that can be changed while the host runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChangeRow {
    /// The check that asks for it.
    pub id: String,
    /// The file, or the device and its setting.
    pub setting: String,
    /// The value it had.
    pub old: String,
    /// The value that is wanted.
    pub new: String,
    /// What sets it by hand.
    pub command: String,
    /// What sets it back.
    pub undo: String,
    /// What else happens; empty when nothing does.
    pub caution: String,
    /// `planned`, `applied`, `changed_meanwhile`, `not_kept`, `not_permitted` or `refused`.
    pub outcome: String,
    /// The value that was found instead, or the system's words; null where all went well.
    pub found: Option<String>,
}
