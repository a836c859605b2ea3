//! What one thread, LAN or stage left behind.

use rt_core::os::recorder::{self, Recording, View};
use rt_core::os::thread::ThreadReport;
use serde::{Deserialize, Serialize};

/// What one thread, LAN, way of waiting or stage left behind.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Series {
    /// What it is of: `cpu 3`, `lan a`, `polling`, `discard`.
    pub name: String,
    /// What its figures are.
    pub measure: Measure,
    /// The processor of the thread that measured.
    pub cpu: Option<usize>,
    /// The thread that measured, as the kernel ran it; null where the figures come from somewhere
    /// else.
    pub thread: Option<ThreadFacts>,
    /// From one planned instant to the next.
    pub period_ns: u64,
    /// Events beside the samples.
    pub counts: Counts,
    /// The samples as they came, as cyclictest counts.
    pub seen: Distribution,
    /// With each cycle that a late one swallowed, as late as it was.
    pub owed: Distribution,
    /// The latest cycles, latest first.
    pub stalls: Vec<Stall>,
    /// How long a slot of the course is.
    pub slot_ns: u64,
    /// The course of the run.
    pub timeline: Vec<Slot>,
    /// The tail, sample by sample.
    pub exceedances: Exceedances,
    /// Rows of late cycles, by rising threshold.
    pub run_lengths: Vec<Rung>,
}

/// What the figures of a series are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// From the planned instant to the waking.
    Lateness,
    /// From the planned instant to the answer.
    RoundTrip,
    /// From one event to another one.
    Span,
}

/// A thread as the kernel ran it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ThreadFacts {
    /// Its name.
    pub name: String,
    /// `SCHED_FIFO`, `SCHED_RR` or `SCHED_OTHER`.
    pub policy: String,
    /// Its real-time priority; 0 without one.
    pub priority: u8,
    /// The processors it might run on.
    pub cpus: Vec<usize>,
    /// What was asked for and not granted, a sentence each.
    pub shortfalls: Vec<String>,
    /// How often something else was run in its place.
    pub preemptions: u64,
    /// Page faults while it measured.
    pub page_faults: u64,
}

/// Events beside the samples.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Counts {
    /// Cycles of which nothing came, ever.
    pub lost: u64,
    /// Samples later than one period.
    pub late: u64,
    /// Cycles that passed while an earlier one was late, and so never ran.
    pub swallowed: u64,
    /// Cycles that the probe left out.
    pub skipped: u64,
    /// Wakings before the planned instant: a defect.
    pub early: u64,
    /// Cycles that were counted before: a defect, or an answer that came twice.
    pub repeated: u64,
}

/// The distribution of samples in one way of counting. Figures that need a sample are null without
/// one.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Distribution {
    /// How many.
    pub samples: u64,
    /// Of them, above the bound of the histogram: counted, and not resolved.
    pub overflow: u64,
    /// The bound.
    pub highest_ns: u64,
    /// The least, exactly.
    pub min_ns: Option<u64>,
    /// The mean.
    pub mean_ns: Option<f64>,
    /// Of half of all samples, no one is later; never too low, too high by less than a thousandth.
    pub p50_ns: Option<u64>,
    /// 90 %.
    pub p90_ns: Option<u64>,
    /// 99 %.
    pub p99_ns: Option<u64>,
    /// 99.9 %.
    pub p999_ns: Option<u64>,
    /// 99.99 %.
    pub p9999_ns: Option<u64>,
    /// 99.999 %.
    pub p99999_ns: Option<u64>,
    /// The greatest, exactly.
    pub max_ns: Option<u64>,
    /// When its cycle was planned, since the run's begin.
    pub max_at_ns: Option<u64>,
    /// The buckets that hold samples, in rising order.
    pub histogram: Vec<Bucket>,
}

/// A bucket of a histogram, told as `[lowest_ns, highest_ns, count]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "(u64, u64, u64)", into = "(u64, u64, u64)")]
pub struct Bucket {
    /// The least value that belongs here.
    pub lowest_ns: u64,
    /// The greatest one.
    pub highest_ns: u64,
    /// Samples.
    pub count: u64,
}

impl From<(u64, u64, u64)> for Bucket {
    fn from((lowest_ns, highest_ns, count): (u64, u64, u64)) -> Self {
        Self { lowest_ns, highest_ns, count }
    }
}

impl From<Bucket> for (u64, u64, u64) {
    fn from(it: Bucket) -> Self {
        (it.lowest_ns, it.highest_ns, it.count)
    }
}

/// One of the latest cycles.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stall {
    /// When it was planned, since the run's begin.
    pub at_ns: u64,
    /// How late it was.
    pub late_ns: u64,
    /// Cycles that passed meanwhile.
    pub swallowed: u64,
}

/// What fell into a slot of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Slot {
    /// The slot's begin, since the run's begin.
    pub at_ns: u64,
    /// Samples of cycles planned in it.
    pub samples: u64,
    /// Cycles planned in it that were lost.
    pub lost: u64,
    /// The least; zero without samples.
    pub min_ns: u64,
    /// The greatest; zero without samples.
    pub max_ns: u64,
}

/// The samples above a threshold, in the order of their cycles.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Exceedances {
    /// The threshold: every sample above it is here.
    pub threshold_ns: u64,
    /// The number of the cycle, counted from the first, and its lateness: `[cycle, late_ns]`.
    pub peaks: Vec<(u64, u64)>,
}

/// How many rows of cycles there were that were all later than a threshold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rung {
    /// The threshold.
    pub threshold_ns: u64,
    /// The longest row, in cycles.
    pub longest: u64,
    /// Length and number, `[cycles, rows]`, of lengths that there were. The greatest length that
    /// can be told stands for all above it.
    pub rows: Vec<(u64, u64)>,
}

impl Series {
    /// What a recorder left behind.
    #[must_use]
    pub fn new(name: impl Into<String>, measure: Measure, recording: &Recording) -> Self {
        let Recording { totals, stalls, timeline, exceedances } = recording;
        Self {
            name: name.into(),
            measure,
            cpu: None,
            thread: None,
            period_ns: totals.period_ns,
            counts: Counts::from(&totals.counts),
            seen: Distribution::from(&totals.seen),
            owed: Distribution::from(&totals.owed),
            stalls: stalls.iter().map(Stall::from).collect(),
            slot_ns: timeline.slot_ns,
            timeline: timeline.slots.iter().map(Slot::from).collect(),
            exceedances: Exceedances {
                threshold_ns: exceedances.threshold_ns,
                peaks: exceedances.peaks.iter().map(|it| (it.cycle, it.late_ns)).collect(),
            },
            run_lengths: totals.run_lengths.rungs.iter().map(Rung::from).collect(),
        }
    }

    /// The same, with the thread that measured.
    #[must_use]
    pub fn by(mut self, thread: ThreadFacts) -> Self {
        self.cpu = match *thread.cpus {
            [only] => Some(only),
            _ => None,
        };
        self.thread = Some(thread);
        self
    }

    /// Planned cycles that were accounted for: seen, swallowed or lost.
    #[must_use]
    pub const fn cycles(&self) -> u64 {
        self.owed.samples.saturating_add(self.counts.lost)
    }
}

impl ThreadFacts {
    /// Of a thread that has ended, and what it used.
    #[must_use]
    pub fn new(report: &ThreadReport, preemptions: u64, page_faults: u64) -> Self {
        Self {
            name: report.asked.name.clone(),
            policy: report.found.policy.name().to_owned(),
            priority: report.found.priority,
            cpus: report.found.cpus.clone(),
            shortfalls: report.shortfalls.iter().map(ToString::to_string).collect(),
            preemptions,
            page_faults,
        }
    }
}

impl From<&recorder::Counts> for Counts {
    fn from(it: &recorder::Counts) -> Self {
        let recorder::Counts { lost, late, swallowed, skipped, early, repeated } = *it;
        Self { lost, late, swallowed, skipped, early, repeated }
    }
}

impl From<&View> for Distribution {
    fn from(view: &View) -> Self {
        let some = |value: u64| (view.samples() > 0).then_some(value);
        let [p50_ns, p90_ns, p99_ns, p999_ns, p9999_ns, p99999_ns] =
            [(1, 2), (9, 10), (99, 100), (999, 1_000), (9_999, 10_000), (99_999, 100_000)]
                .map(|(parts, of)| view.quantile_ns(parts, of));
        let buckets = view.buckets().map(|it| Bucket {
            lowest_ns: it.lowest_ns,
            highest_ns: it.highest_ns,
            count: it.count,
        });
        Self {
            samples: view.samples(),
            overflow: view.overflow,
            highest_ns: view.highest_ns,
            min_ns: some(view.min_ns),
            mean_ns: view.mean_ns(),
            p50_ns,
            p90_ns,
            p99_ns,
            p999_ns,
            p9999_ns,
            p99999_ns,
            max_ns: some(view.max_ns),
            max_at_ns: some(view.max_at_ns),
            histogram: buckets.collect(),
        }
    }
}

impl From<&recorder::Stall> for Stall {
    fn from(it: &recorder::Stall) -> Self {
        let recorder::Stall { swallowed, at_ns, late_ns } = *it;
        Self { at_ns, late_ns, swallowed }
    }
}

impl From<&recorder::Slot> for Slot {
    fn from(it: &recorder::Slot) -> Self {
        let recorder::Slot { samples, lost, at_ns, min_ns, max_ns } = *it;
        Self { at_ns, samples, lost, min_ns, max_ns }
    }
}

impl From<&recorder::Rung> for Rung {
    fn from(it: &recorder::Rung) -> Self {
        let rows = (1..).zip(it.runs).filter(|(_, rows)| *rows > 0);
        Self { threshold_ns: it.threshold_ns, longest: it.longest, rows: rows.collect() }
    }
}
