//! What the two processes tell each other: orders as one argument, answers as lines of JSON.
//!
//! An answer is bounded by [`ANSWER_OCTETS_MAX`] and checked ([`check`]): series that do not account
//! for each image that was published are none.

use std::io;

use nix::sys::resource::{UsageWho, getrusage};
use rt_core::os::thread::{Policy, ThreadReport};
use rt_core::time::Instant;
use serde::{Deserialize, Serialize};
use tools::exit::{ExitCode, Failure};

use super::account::Course;
use crate::latency::report::{Series, ThreadFacts};

/// The longest line that the second process may say: two series whose histograms are full take a
/// third of it.
pub const ANSWER_OCTETS_MAX: u64 = 16 * 1024 * 1024;

/// What the second process has to do. Its standard input is the segment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Orders {
    /// Who starts it; it ends when that process does.
    pub parent: u32,
    /// What will be published.
    pub course: Course,
    /// The run's begin, CLOCK_MONOTONIC.
    pub begin_ns: u64,
    /// Where the reader runs.
    pub cpu: usize,
    /// How it runs.
    pub policy: Scheduled,
    /// Whether it runs, and says what it lacks, where the kernel grants less.
    pub allow_non_rt: bool,
}

impl Orders {
    /// The run's begin.
    #[must_use]
    pub const fn begin(&self) -> Instant {
        Instant::from_nanos(self.begin_ns)
    }
}

/// A [`Policy`] that can be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheduled {
    /// SCHED_OTHER.
    Other,
    /// SCHED_FIFO with this priority.
    Fifo(u8),
}

impl From<Policy> for Scheduled {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Other => Self::Other,
            Policy::Fifo(priority) => Self::Fifo(priority),
        }
    }
}

impl From<Scheduled> for Policy {
    fn from(policy: Scheduled) -> Self {
        match policy {
            Scheduled::Other => Self::Other,
            Scheduled::Fifo(priority) => Self::Fifo(priority),
        }
    }
}

/// What the second process says, a line each.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// It looks for images.
    Ready,
    /// How far it has come: images that are over, images that were lost, the latest in ns.
    SoFar([u64; 3]),
    /// It has seen the end; a series for each way of waiting.
    Found(Vec<Series>),
    /// It cannot go on.
    Failed {
        /// The exit code.
        code: u8,
        /// What is wrong.
        message: String,
        /// What to do about it.
        remedy: String,
    },
}

impl From<&Failure> for Told {
    fn from(failure: &Failure) -> Self {
        let Failure { code, message, remedy } = failure.clone();
        Self::Failed { code: code as u8, message, remedy }
    }
}

/// The failure that was told.
#[must_use]
pub fn failure(code: u8, message: String, remedy: String) -> Failure {
    let known = [ExitCode::Usage, ExitCode::Missing, ExitCode::Invalid];
    let code = known.into_iter().find(|it| *it as u8 == code).unwrap_or(ExitCode::Failed);
    Failure { code, message, remedy }
}

/// Whether the series are those of `course`, of which the images before `images` came to pass, and
/// account for each of these.
///
/// # Errors
/// What does not fit.
pub fn check(series: &[Series], course: &Course, images: u64) -> Result<(), String> {
    if series.len() != course.parts.len() {
        return Err(format!("{} series, not {}", series.len(), course.parts.len()));
    }
    for (series, (way, part)) in series.iter().zip(&course.parts) {
        let planned = images.clamp(part.start, part.end) - part.start;
        if series.name != way.name() || series.period_ns != course.interval_ns {
            return Err(format!("a series `{}` where `{}` was due", series.name, way.name()));
        }
        if series.cycles() != planned {
            let found = series.cycles();
            return Err(format!("`{}` accounts for {found} of {planned} images", way.name()));
        }
        if series.thread.is_none() {
            return Err(format!("`{}` names no thread", way.name()));
        }
    }
    Ok(())
}

/// What a thread used, since it began or between two looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    preemptions: u64,
    faults: u64,
}

impl Usage {
    /// Of the calling thread, so far.
    pub(super) fn now() -> io::Result<Self> {
        let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
        let count = |value: i64| u64::try_from(value).unwrap_or(0);
        Ok(Self {
            preemptions: count(usage.involuntary_context_switches()),
            faults: count(usage.minor_page_faults())
                .saturating_add(count(usage.major_page_faults())),
        })
    }

    /// Of the calling thread, since `self`.
    pub(super) fn since(self) -> io::Result<Self> {
        let now = Self::now()?;
        Ok(Self {
            preemptions: now.preemptions.saturating_sub(self.preemptions),
            faults: now.faults.saturating_sub(self.faults),
        })
    }

    /// The facts of the thread that used it.
    pub(super) fn facts(self, report: &ThreadReport) -> ThreadFacts {
        ThreadFacts::new(report, self.preemptions, self.faults)
    }
}
