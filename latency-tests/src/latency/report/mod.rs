//! A result as one document: what was asked, where, what else happened, what was found, and what
//! follows from it.
//!
//! Everything that is told afterwards (tables, pages, logs, comparisons, timers) is made of this
//! document and of nothing else, so that a file that was kept tells as much as the run did.

mod series;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tools::report::doctor::FindingRow;

pub use series::{
    Bucket, Counts, Distribution, Exceedances, Measure, Rung, Series, Slot, Stall, ThreadFacts,
};

use super::environment::Environment;

/// Version of the document's shape. Keys may be added within it; a reader ignores what it does not
/// know.
pub const SCHEMA: u32 = 1;

/// The program's name, in each of its documents.
pub const PROGRAM: &str = "bumpless-latency";

/// What `bumpless-latency --json` writes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// See [`SCHEMA`].
    pub schema: u32,
    /// [`PROGRAM`].
    pub program: String,
    /// The program's version.
    pub version: String,
    /// The arguments, without the program.
    pub command: Vec<String>,
    /// When it began, UTC, as RFC 3339 has it, to the second.
    pub began: String,
    /// What the host is, name and value: the kernel, the processor, how both are set.
    pub host: BTreeMap<String, String>,
    /// What the doctor found before the run, without what is fine.
    pub findings: Vec<FindingRow>,
    /// What was measured, one for each probe.
    pub runs: Vec<Run>,
    /// The bounds that were given, and how the results stand to them.
    pub gates: Vec<Gate>,
    /// What whoever reads the figures should know, a sentence each.
    pub cautions: Vec<String>,
    /// Why the figures prove nothing, a sentence each; empty where they do.
    pub invalid: Vec<String>,
    /// What follows.
    pub verdict: Verdict,
}

/// What follows from a result.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is valid, and each bound that was given was kept.
    Pass,
    /// It is valid, and a bound was exceeded.
    Exceeded,
    /// The run was disturbed, or not really real-time: whatever was found, nothing follows.
    Invalid,
}

/// A bound that was given.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Gate {
    /// `max_us`, `p9999_us` or `max_lost`.
    pub name: String,
    /// The most that is allowed: µs, or samples.
    pub limit: f64,
    /// The worst that was found; null where there was nothing to hold against it.
    pub found: Option<f64>,
    /// Where the worst was found: probe and series.
    pub series: String,
    /// Whether it is more than allowed, or nothing was found.
    pub exceeded: bool,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// How late a thread wakes that asked to be woken at a certain instant.
    Wakeup,
    /// How long a heartbeat takes to the peer and back, on each LAN, and how late it was sent.
    Heartbeat,
    /// From the publication of an image to its being seen by another process.
    Shm,
    /// How long a frame takes through host port, LANs and discard, and back, by stage.
    Wire,
}

impl Probe {
    /// Its name, as on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wakeup => "wakeup",
            Self::Heartbeat => "heartbeat",
            Self::Shm => "shm",
            Self::Wire => "wire",
        }
    }
}

/// What one probe did and found.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Which.
    pub probe: Probe,
    /// How it was set.
    pub settings: Settings,
    /// How long it was to measure.
    pub planned_ns: u64,
    /// How long it did, from the first planned instant on.
    pub duration_ns: u64,
    /// Whether somebody ended it before its time.
    pub ended_early: bool,
    /// For how long the machine was suspended meanwhile.
    pub suspended_ns: u64,
    /// What else happened on the processors.
    pub environment: Environment,
    /// What was found: one for each thread, LAN, way of waiting or stage.
    pub series: Vec<Series>,
}

/// How a probe was set.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// From one planned instant to the next.
    pub interval_ns: u64,
    /// By so much each thread's instants come after those of the one before.
    pub distance_ns: u64,
    /// `SCHED_FIFO`, `SCHED_RR` or `SCHED_OTHER`, as asked for.
    pub policy: String,
    /// As asked for; 0 with `SCHED_OTHER`.
    pub priority: u8,
    /// The processors that it was pinned to.
    pub cpus: Vec<usize>,
    /// How deep processors might sleep; null where it was left to the system.
    pub cpu_dma_latency_us: Option<u32>,
    /// Whether the process's memory was locked.
    pub memory_locked: bool,
    /// The load that was made, a word each.
    pub stress: Vec<String>,
    /// What only this probe has: peer, interface, octets, as texts.
    pub more: BTreeMap<String, String>,
}

impl Report {
    /// All series with the probe that they are of.
    pub fn series(&self) -> impl Iterator<Item = (Probe, &Series)> {
        self.runs.iter().flat_map(|run| run.series.iter().map(move |it| (run.probe, it)))
    }
}
