//! What a recorder leaves behind.

use super::{Exceedances, RunLengths, Stall, Timeline, View};

/// What one thread recorded in one run. Plain data: it can be sent, kept, and written out.
#[derive(Clone, Debug)]
pub struct Recording {
    /// All that adds up over threads.
    pub totals: Totals,
    /// The latest cycles, latest first, at most [`STALLS_MAX`](super::STALLS_MAX).
    pub stalls: Vec<Stall>,
    /// The course of the run, of the seen samples.
    pub timeline: Timeline,
    /// The tail of the seen samples, in order.
    pub exceedances: Exceedances,
}

/// The part of a recording that can be added up over threads of the same period.
#[derive(Clone, Debug)]
pub struct Totals {
    /// Events beside the samples.
    pub counts: Counts,
    /// One sample per record, as cyclictest counts.
    pub seen: View,
    /// One sample per planned cycle that was not lost: swallowed ones with the lateness they had.
    pub owed: View,
    /// Rows of late cycles, of the owed samples.
    pub run_lengths: RunLengths,
    /// The period in nanoseconds.
    pub period_ns: u64,
}

/// Events of a run.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Cycles of which nothing came, ever.
    pub lost: u64,
    /// Seen samples later than one period.
    pub late: u64,
    /// Cycles that began while an earlier one was still late, and so never ran.
    pub swallowed: u64,
    /// Cycles that were passed over without a record and without an earlier one being late: the
    /// caller left them out. They are in neither view.
    pub skipped: u64,
    /// Wakings before the planned instant, taken as not late. Not to happen: a defect of the clock
    /// or of the caller.
    pub early: u64,
    /// Records of a cycle that was recorded, lost or swallowed before, or is older than the latest.
    /// They are in the seen view only.
    pub repeated: u64,
}

/// Why two totals cannot be added up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MergeError {
    /// Lateness means different things.
    #[error("recordings of periods of {mine_ns} ns and {other_ns} ns cannot be added up")]
    Period {
        /// The period of the one, in nanoseconds.
        mine_ns: u64,
        /// The period of the other, in nanoseconds.
        other_ns: u64,
    },
    /// What overflows in the one does not in the other.
    #[error(
        "histograms that end at {mine_ns} ns and {other_ns} ns cannot be added up: record with the \
         same bound"
    )]
    Bound {
        /// The bound of the one, in nanoseconds.
        mine_ns: u64,
        /// The bound of the other, in nanoseconds.
        other_ns: u64,
    },
}

impl Totals {
    /// Adds `other` to this. Not for a real-time thread.
    ///
    /// # Errors
    /// See [`MergeError`]; nothing is changed then.
    pub fn merge(&mut self, other: &Self) -> Result<(), MergeError> {
        if self.period_ns != other.period_ns {
            return Err(MergeError::Period { mine_ns: self.period_ns, other_ns: other.period_ns });
        }
        let [mine_ns, other_ns] = [self, other].map(|it| it.seen.highest_ns);
        if mine_ns != other_ns {
            return Err(MergeError::Bound { mine_ns, other_ns });
        }
        self.seen.merge(&other.seen);
        self.owed.merge(&other.owed);
        self.run_lengths.merge(&other.run_lengths);
        self.counts = self.counts.and(other.counts);
        Ok(())
    }
}

impl Counts {
    fn and(self, other: Self) -> Self {
        Self {
            lost: self.lost + other.lost,
            late: self.late + other.late,
            swallowed: self.swallowed + other.swallowed,
            skipped: self.skipped + other.skipped,
            early: self.early + other.early,
            repeated: self.repeated + other.repeated,
        }
    }
}
