//! What a real-time thread writes into while it measures how late its cycles are.
//!
//! A [`Recorder`] is made by [`Recorder::new`], which allocates and touches everything, moved to
//! the thread, told of each cycle, and turned into a [`Recording`] by [`Recorder::finish`] when the
//! thread is done. Between these two it does not allocate, fault, lock or make a system call, and
//! the work of each record is bounded; see [`Recorder::record`].
//!
//! **Cycles.** A cycle is a planned instant, one period after the one before. Its lateness is how
//! long after it the thread woke. While the thread is late, further planned instants pass: these
//! cycles are *swallowed*. The thread does not run them afterwards; it goes on with the first one
//! that is not past ([`Cycle::next`]), as cyclictest does. There are two ways to count:
//!
//! | View | Samples | A stall of 20 periods |
//! |---|---|---|
//! | `seen` | one per record, as cyclictest counts | one sample: 20 periods |
//! | `owed` | one per planned cycle, swallowed ones too | twenty: 20, 19, … 1 period |
//!
//! Shares (percentiles) of the seen view say how often a thread that woke found itself late; they
//! make long stalls look rare, for a stall of any length is one sample (coordinated omission).
//! Those of the owed view say how often a planned cycle was late. `Histogram::record_correct` means
//! the same, but leaves out a swallowed cycle that was late by less than a period; here all count,
//! because it is known when they were planned.
//!
//! **Rejected.** To keep every sample: a day at 1 kHz is 700 MB that have to be locked. To send the
//! samples to a thread that counts: the queue overflows in the very stall that is to be measured,
//! and a store into it costs as much as counting.
//!
//! | Module | Holds |
//! |---|---|
//! | `view` | a histogram of fixed bounds with exact extremes, [`View`] |
//! | `stalls` | the latest cycles, [`Stall`] |
//! | `timeline` | the course of the run in at most 512 slots, [`Timeline`] |
//! | `exceedances` | every sample above a threshold that rises, [`Exceedances`] |
//! | `runs` | rows of late cycles, [`RunLengths`] |
//! | `recording` | what is left behind, [`Recording`] |

mod exceedances;
mod recording;
mod runs;
mod stalls;
#[cfg(test)]
mod tests;
mod timeline;
mod view;

use std::hint;

pub use exceedances::{Exceedances, PEAKS_MAX, Peak};
pub use recording::{Counts, MergeError, Recording, Totals};
pub use runs::{RUN_LENGTH_MAX, RUNGS, RunLengths, Rung};
pub use stalls::{STALLS_MAX, Stall};
pub use timeline::{SLOTS_MAX, Slot, Timeline};
pub use view::{Bucket, View};

use crate::time::{Duration, Instant};

/// The shortest period that can be recorded.
pub const PERIOD_MIN: Duration = Duration::from_micros(1);

/// The bound of the histograms when nothing else is planned: a thread that is stopped by hand for
/// half a minute is still resolved.
pub const HIGHEST_DEFAULT: Duration = Duration::from_secs(60);

/// The most that the histograms can be made to hold; the longest period too.
pub const HIGHEST_MAX: Duration = Duration::from_secs(3_600);

/// What is going to be recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The run's begin, the same for all its threads: every `at_ns` of the recording counts from
    /// it. On the clock of the instants that are recorded.
    pub begin: Instant,
    /// From one planned instant to the next; from [`PERIOD_MIN`] to `highest`.
    pub period: Duration,
    /// The bound of the histograms, at most [`HIGHEST_MAX`]: later samples are overflow. Both
    /// histograms together take 16 KiB per doubling of it above 2 µs.
    pub highest: Duration,
    /// How many cycles the run has, if that is known: a stall at the run's end swallows only those
    /// that were planned. Without it, all whose time passed.
    pub cycles: Option<u64>,
}

impl Plan {
    /// Cycles of `period` in a run that begins at `begin` and ends when it ends.
    #[must_use]
    pub const fn new(begin: Instant, period: Duration) -> Self {
        Self { begin, period, highest: HIGHEST_DEFAULT, cycles: None }
    }
}

/// Why nothing can be recorded as planned.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlanError {
    /// The period is too short or too long.
    #[error(
        "a period of {period_ns} ns cannot be recorded: choose one from {} to the histograms' \
         bound, {highest_ns} ns",
        PERIOD_MIN
    )]
    Period {
        /// The period in nanoseconds.
        period_ns: u64,
        /// The bound in nanoseconds.
        highest_ns: u64,
    },
    /// The bound is too large.
    #[error("histograms cannot end at {highest_ns} ns: choose a bound up to {}", HIGHEST_MAX)]
    Highest {
        /// The bound in nanoseconds.
        highest_ns: u64,
    },
}

/// What became of a cycle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cycle {
    /// The first planned instant that had not passed when the thread woke: the next cycle.
    pub next: Instant,
    /// How many cycles this one swallowed.
    pub swallowed: u64,
    /// How late it was.
    pub late: Duration,
}

/// Takes in the cycles of one thread. Some 1.6 MiB.
#[derive(Debug)]
pub struct Recorder {
    begin: Instant,
    period: Duration,
    /// Cycles from this number on are not planned.
    cycles: u64,
    /// Whether there was a record.
    begun: bool,
    /// The first cycle that is not accounted for, and its planned instant.
    due: u64,
    due_at: Instant,
    /// The greatest number recorded.
    last: u64,
    counts: Counts,
    seen: View,
    owed: View,
    runs: runs::Runs,
    stalls: stalls::Stalls,
    slots: timeline::Slots,
    store: exceedances::Store,
}

impl Recorder {
    /// A recorder in memory that was touched; locking it is the program's affair
    /// ([`memory::lock_all`](super::memory::lock_all)). Not for a frozen thread.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn new(plan: Plan) -> Result<Self, PlanError> {
        let [period_ns, highest_ns] = [plan.period, plan.highest].map(Duration::as_nanos);
        if plan.highest > HIGHEST_MAX {
            return Err(PlanError::Highest { highest_ns });
        }
        if plan.period < PERIOD_MIN || plan.period > plan.highest {
            return Err(PlanError::Period { period_ns, highest_ns });
        }
        let view = || View::new(highest_ns).ok_or(PlanError::Highest { highest_ns });
        Ok(Self {
            begin: plan.begin,
            period: plan.period,
            cycles: plan.cycles.unwrap_or(u64::MAX),
            begun: false,
            due: 0,
            due_at: plan.begin,
            last: 0,
            counts: Counts::default(),
            seen: view()?,
            owed: view()?,
            runs: runs::Runs::new(period_ns),
            stalls: stalls::Stalls::new(),
            slots: timeline::Slots::new(period_ns),
            store: exceedances::Store::new(PEAKS_MAX),
        })
    }

    /// Moves the run's begin: for threads that are told when all of them are there. Before the
    /// first record. Real-time class: one memory access.
    pub fn begin_at(&mut self, begin: Instant) {
        debug_assert!(!self.begun, "what was recorded counts from the first begin");
        self.begin = begin;
        self.due_at = begin;
    }

    /// A cycle planned for `planned` began at `woken`; the cycles planned between these two are
    /// swallowed, and the thread goes on with [`Cycle::next`]. Cycles are recorded in the order of
    /// their planned instants. The first one has number 0; the next ones are numbered by their
    /// planned instants, to the nearest period.
    ///
    /// Also right for a probe that waits for its answer before it sends again: `planned` is when it
    /// was to be sent, `woken` when the answer came.
    ///
    /// Real-time class: no allocation, lock, fault or system call. Besides a fixed part: a stall
    /// costs at most one step per bucket of the histogram, however many cycles it swallowed; the
    /// timeline is folded (at most 1,024 steps) each time the run's length has doubled; the
    /// exceedances are looked through, 16 per record, for a while each time the number of samples
    /// has about doubled.
    pub fn record(&mut self, planned: Instant, woken: Instant) -> Cycle {
        let late = woken.since(planned);
        self.counts.early += u64::from(woken < planned);
        // Planned instants that passed after this one.
        let behind = if late <= self.period {
            0
        } else {
            late.as_nanos().div_ceil(self.period.as_nanos()) - 1
        };
        let swallowed = self.take(planned, late.as_nanos(), behind);
        let next = planned + self.period.saturating_mul(behind.saturating_add(1));
        Cycle { next, swallowed, late }
    }

    /// A probe planned for `planned` took `took` (or came so late), and the next ones did not wait
    /// for it: nothing is swallowed, both views get the one sample. Probes are recorded in the
    /// order of their planned instants, so an answer that overtakes another has to wait for it.
    /// Real-time class: as [`Recorder::record`].
    pub fn record_span(&mut self, planned: Instant, took: Duration) {
        self.take(planned, took.as_nanos(), 0);
    }

    /// The probe planned for `planned` was answered so late, together with the `behind` ones
    /// planned after it: these are swallowed, each as late as it was. As [`Recorder::record`], for
    /// whom knows which ones they are: other planned instants may have passed whose answers are
    /// still to come. Real-time class: as there.
    pub fn record_overtaken(&mut self, planned: Instant, took: Duration, behind: u64) {
        self.take(planned, took.as_nanos(), behind);
    }

    /// The probe planned for `planned` is lost: counted, later than every threshold of the run
    /// lengths, and in no view. Real-time class: as [`Recorder::record`].
    pub fn record_lost(&mut self, planned: Instant) {
        let number = self.number_of(planned);
        if number < self.due {
            self.counts.repeated += 1;
            return;
        }
        self.skip_to(number);
        self.counts.lost += 1;
        self.runs.lost();
        self.slots.lost(planned.since(self.begin).as_nanos());
        self.go_on(number, planned, 0);
    }

    /// The events so far. Real-time class: one memory access.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The seen samples so far: number, extremes and sum are there at once, for a line of progress.
    /// Real-time class: one memory access.
    #[must_use]
    pub fn seen(&self) -> &View {
        &self.seen
    }

    /// All that was recorded. Allocates and frees: not for a frozen thread.
    #[must_use]
    pub fn finish(self) -> Recording {
        Recording {
            totals: Totals {
                counts: self.counts,
                seen: self.seen,
                owed: self.owed,
                run_lengths: self.runs.finish(),
                period_ns: self.period.as_nanos(),
            },
            stalls: self.stalls.finish(),
            timeline: self.slots.finish(),
            exceedances: self.store.finish(),
        }
    }

    fn take(&mut self, planned: Instant, late_ns: u64, behind: u64) -> u64 {
        let at_ns = planned.since(self.begin).as_nanos();
        let number = self.number_of(planned);
        let swallowed = self.owe(number, at_ns, late_ns, behind);
        self.go_on(number, planned, behind);
        self.counts.late += u64::from(late_ns > self.period.as_nanos());
        self.seen.record(late_ns, at_ns);
        self.slots.record(at_ns, late_ns);
        self.stalls.record(Stall { swallowed, at_ns, late_ns });
        self.store.record(Peak { cycle: self.last, late_ns });
        swallowed
    }

    /// The number of a cycle, counted from the one that is due: so a clock that drifts against the
    /// planned one shifts no number.
    fn number_of(&mut self, planned: Instant) -> u64 {
        if !self.begun {
            self.begun = true;
            self.due_at = planned;
        }
        if planned == self.due_at {
            return self.due;
        }
        let period_ns = self.period.as_nanos();
        let periods = |span: Duration| span.as_nanos().saturating_add(period_ns / 2) / period_ns;
        if planned > self.due_at {
            self.due.saturating_add(periods(planned - self.due_at))
        } else {
            self.due.saturating_sub(periods(self.due_at - planned))
        }
    }

    /// Counts cycle `number` and the `behind` ones after it in the owed view, but for those that
    /// were counted before; returns how many of them were swallowed.
    fn owe(&mut self, number: u64, at_ns: u64, late_ns: u64, behind: u64) -> u64 {
        self.skip_to(number);
        if number == self.due && behind == 0 {
            self.owed.record(late_ns, at_ns);
            self.runs.record(late_ns);
            return 0;
        }
        let repeated = number < self.due;
        self.counts.repeated += u64::from(repeated);
        let first = number.max(self.due);
        let reached = number.saturating_add(behind);
        let end = reached.min(self.cycles.saturating_sub(1)).max(number);
        let mut swallowed = 0;
        if let Some(more) = end.checked_sub(first) {
            let period_ns = self.period.as_nanos();
            let passed_ns = period_ns.saturating_mul(first - number);
            let first_ns = late_ns.saturating_sub(passed_ns);
            let at_ns = at_ns.saturating_add(passed_ns);
            self.owed.record_falling(first_ns, period_ns, more + 1, at_ns);
            self.runs.record_falling(first_ns, more + 1);
            swallowed = more + u64::from(repeated);
        }
        if end < reached && reached >= self.due {
            // What comes after the run's end does not follow what came before it.
            self.runs.interrupt();
        }
        self.counts.swallowed += swallowed;
        swallowed
    }

    /// Cycles up to `number` that nobody spoke of were left out.
    fn skip_to(&mut self, number: u64) {
        if number > self.due {
            self.counts.skipped += number - self.due;
            self.due = number;
            self.runs.interrupt();
        }
    }

    /// Cycle `number` and the `behind` ones after it are accounted for.
    fn go_on(&mut self, number: u64, planned: Instant, behind: u64) {
        self.last = self.last.max(number);
        let due = number.saturating_add(behind).saturating_add(1);
        if due > self.due {
            self.due = due;
            self.due_at = planned + self.period.saturating_mul(due - number);
        }
    }
}

/// Memory that no later access faults on.
fn touched<T: Copy>(len: usize, value: T) -> Box<[T]> {
    let mut memory = vec![value; len].into_boxed_slice();
    // Once more where the compiler cannot see that it may leave it to the kernel's zeroes.
    hint::black_box(&mut memory).fill(value);
    memory
}
