//! How many cycles in a row are late: what a time-out of several missed beats rests on.

/// How many thresholds there are.
pub const RUNGS: usize = 16;

/// Runs up to this length are counted by length.
pub const RUN_LENGTH_MAX: usize = 64;

/// The rung whose threshold is the period.
const PERIOD_RUNG: u32 = 10;

/// Runs of cycles in a row that were all later than a threshold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rung {
    /// The threshold in nanoseconds; later means more than this.
    pub threshold_ns: u64,
    /// The longest run, in cycles, exactly.
    pub longest: u64,
    /// `runs[i]`: how many runs were `i + 1` cycles long. The last place, number
    /// [`RUN_LENGTH_MAX`], counts all that were longer.
    pub runs: [u64; RUN_LENGTH_MAX + 1],
}

/// Lengths of runs of late cycles for a ladder of thresholds: period / 1,024 and fifteen doublings,
/// to 32 periods.
///
/// Each planned cycle counts with the lateness it had, swallowed ones too: a stall of 20 periods is
/// a run of 20 cycles later than zero, and of 19 later than a period. A lost one is later than
/// every threshold. A cycle that nobody recorded ends every run, as does the recording's end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunLengths {
    /// By rising threshold.
    pub rungs: Vec<Rung>,
}

impl RunLengths {
    /// Adds those of the same thresholds.
    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, other) in self.rungs.iter_mut().zip(&other.rungs) {
            debug_assert_eq!(mine.threshold_ns, other.threshold_ns);
            mine.longest = mine.longest.max(other.longest);
            for (mine, other) in mine.runs.iter_mut().zip(&other.runs) {
                *mine += other;
            }
        }
    }
}

/// Run lengths while they are written.
///
/// A cycle later than a threshold is later than all below it. So the runs that go on are always
/// those of the lowest so many rungs, and a cycle costs as many steps as there are rungs below it.
#[derive(Debug)]
pub(super) struct Runs {
    rungs: Box<[Rung; RUNGS]>,
    thresholds: [u64; RUNGS],
    /// Cycles of the present run of each rung.
    lengths: [u64; RUNGS],
    /// Rungs with a present run: the lowest so many.
    going_on: usize,
    period_ns: u64,
}

impl Runs {
    /// None yet, in cycles of `period_ns` nanoseconds, at least one.
    pub(super) fn new(period_ns: u64) -> Self {
        let mut thresholds = [0; RUNGS];
        for (doublings, threshold) in thresholds.iter_mut().enumerate() {
            let ns = (u128::from(period_ns) << doublings) >> PERIOD_RUNG;
            *threshold = u64::try_from(ns).unwrap_or(u64::MAX);
        }
        let rung = |threshold_ns| Rung { threshold_ns, longest: 0, runs: [0; RUN_LENGTH_MAX + 1] };
        Self {
            rungs: Box::new(thresholds.map(rung)),
            thresholds,
            lengths: [0; RUNGS],
            going_on: 0,
            period_ns,
        }
    }

    /// Takes in the next cycle.
    pub(super) fn record(&mut self, late_ns: u64) {
        let exceeded = self.exceeded(late_ns);
        self.end_from(exceeded);
        for length in &mut self.lengths[..exceeded] {
            *length += 1;
        }
        self.going_on = exceeded;
    }

    /// Takes in the next `count` cycles, at least one: the first is late by `first_ns`, each
    /// further one by a period less. At most one division per rung, whatever `count` is.
    pub(super) fn record_falling(&mut self, first_ns: u64, count: u64) {
        let exceeded = self.exceeded(first_ns);
        self.end_from(exceeded);
        let fallen = self.period_ns.saturating_mul(count - 1);
        let at_the_end = self.exceeded(first_ns.saturating_sub(fallen));
        for place in 0..exceeded {
            let above = (first_ns - self.thresholds[place]).div_ceil(self.period_ns);
            self.lengths[place] += above.min(count);
        }
        self.going_on = exceeded;
        self.end_from(at_the_end);
    }

    /// Takes in a cycle that never came.
    pub(super) fn lost(&mut self) {
        self.record(u64::MAX);
    }

    /// Ends every run: what comes next does not follow what came last.
    pub(super) fn interrupt(&mut self) {
        self.end_from(0);
    }

    /// How many thresholds are less than `late_ns`.
    fn exceeded(&self, late_ns: u64) -> usize {
        self.thresholds.iter().position(|it| *it >= late_ns).unwrap_or(RUNGS)
    }

    fn end_from(&mut self, first: usize) {
        for place in first..self.going_on {
            let length = self.lengths[place];
            self.lengths[place] = 0;
            let rung = &mut self.rungs[place];
            rung.longest = rung.longest.max(length);
            let bucket = usize::try_from(length).unwrap_or(usize::MAX).min(RUN_LENGTH_MAX + 1);
            rung.runs[bucket.saturating_sub(1)] += 1;
        }
        self.going_on = self.going_on.min(first);
    }

    pub(super) fn finish(mut self) -> RunLengths {
        self.interrupt();
        RunLengths { rungs: self.rungs.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lengths: &RunLengths, place: usize) -> Vec<(usize, u64)> {
        let runs = lengths.rungs[place].runs.iter().enumerate();
        runs.filter(|(_, count)| **count > 0).map(|(place, count)| (place + 1, *count)).collect()
    }

    #[test]
    fn runs_are_counted_for_each_threshold_by_itself() {
        let mut runs = Runs::new(1_024);
        for late_ns in [0, 3, 5, 1, 0, 9, 1, 2, 2, 70_000, 70_000] {
            runs.record(late_ns);
        }
        let lengths = runs.finish();
        let thresholds: Vec<u64> = lengths.rungs.iter().map(|it| it.threshold_ns).collect();
        assert_eq!(thresholds, (0..16).map(|i| 1 << i).collect::<Vec<u64>>());
        // Later than 1: 3 5 | 9 | 2 2 70000 70000.
        assert_eq!(at(&lengths, 0), [(1, 1), (2, 1), (4, 1)]);
        // Later than 2: 3 5 | 9 | 70000 70000.
        assert_eq!(at(&lengths, 1), [(1, 1), (2, 2)]);
        assert_eq!(at(&lengths, 3), [(1, 1), (2, 1)]);
        assert_eq!(at(&lengths, 15), [(2, 1)]);
        assert_eq!(lengths.rungs[0].longest, 4);
    }

    #[test]
    fn a_long_run_is_counted_as_longer_and_told_exactly() {
        let mut runs = Runs::new(1_024);
        for length in [64, 65, 200] {
            for _ in 0..length {
                runs.record(2);
            }
            runs.record(0);
        }
        runs.lost();
        runs.interrupt();
        runs.lost();
        let lengths = runs.finish();
        assert_eq!(at(&lengths, 0), [(1, 2), (64, 1), (RUN_LENGTH_MAX + 1, 2)]);
        assert_eq!(lengths.rungs[0].longest, 200);
        assert_eq!(at(&lengths, 15), [(1, 2)]);
    }

    #[test]
    fn a_falling_row_is_what_its_cycles_are_one_by_one() {
        for first in (1..70_000).step_by(97) {
            for count in 1..=first / 1_024 + 1 {
                let mut together = Runs::new(1_024);
                let mut singly = Runs::new(1_024);
                for runs in [&mut together, &mut singly] {
                    runs.record(40);
                }
                together.record_falling(first, count);
                (0..count).for_each(|k| singly.record(first - k * 1_024));
                for runs in [&mut together, &mut singly] {
                    runs.record(33);
                }
                assert_eq!(together.finish(), singly.finish(), "{first} {count}");
            }
        }
    }
}
