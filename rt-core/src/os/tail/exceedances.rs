//! What was recorded of one series: its late cycles.
//!
//! The recorder's store has the *samples* above a threshold, as they came; here are the *cycles*,
//! each once, the swallowed ones too, checked. [`Exceedances::of_samples`] is the way from the one
//! to the other.

use std::num::NonZeroU64;

use thiserror::Error;

use crate::os::recorder::{Peak, Recording};

/// The most late cycles of one series that are taken in.
pub const PEAKS_MAX: usize = 1 << 20;

/// The late cycles of one series: every cycle that was later than a threshold, and no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceedances {
    cycles: u64,
    threshold_ns: u64,
    peaks: Vec<Peak>,
}

/// Why late cycles cannot be those of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// Nothing was observed.
    #[error("the series has no cycles: record it again")]
    NoCycles,
    /// More late cycles than are taken in.
    #[error("{peaks} late cycles, more than {PEAKS_MAX}: record with a higher threshold")]
    TooMany {
        /// How many were given.
        peaks: usize,
    },
    /// Cycle numbers must rise.
    #[error("late cycle {index} does not come after the one before it")]
    Order {
        /// The place of the late cycle in the list.
        index: usize,
    },
    /// A cycle that was never observed.
    #[error("late cycle {index} has the number {cycle}, the series ends before it")]
    BeyondSpan {
        /// The place of the late cycle in the list.
        index: usize,
        /// Its number.
        cycle: u64,
    },
    /// A cycle that is not later than the threshold.
    #[error("late cycle {index} is not later than the threshold")]
    NotLate {
        /// The place of the late cycle in the list.
        index: usize,
    },
}

impl Exceedances {
    /// The late cycles of a series of `cycles` observed cycles: each cycle later than
    /// `threshold_ns`, in the order of their numbers.
    ///
    /// # Errors
    /// [`Malformed`]: what was given contradicts itself, or is larger than any recording.
    pub fn new(cycles: u64, threshold_ns: u64, peaks: Vec<Peak>) -> Result<Self, Malformed> {
        if cycles == 0 {
            return Err(Malformed::NoCycles);
        }
        if peaks.len() > PEAKS_MAX {
            return Err(Malformed::TooMany { peaks: peaks.len() });
        }
        let mut least = 0;
        for (index, peak) in peaks.iter().enumerate() {
            if peak.cycle >= cycles {
                return Err(Malformed::BeyondSpan { index, cycle: peak.cycle });
            }
            if peak.cycle < least {
                return Err(Malformed::Order { index });
            }
            if peak.late_ns <= threshold_ns {
                return Err(Malformed::NotLate { index });
            }
            least = peak.cycle + 1;
        }
        Ok(Self { cycles, threshold_ns, peaks })
    }

    /// As [`Self::new`], of `samples` as they came: one for each time the thread woke, in the order
    /// of cycle numbers, which may repeat (the larger counts). A cycle that was swallowed, because
    /// an earlier one was still late when it began, has no sample; it is counted with the lateness
    /// it had, a period less for each cycle after the late one. Without them a stall of twenty
    /// periods would be one late cycle, and no run.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_swallowed(
        cycles: u64,
        threshold_ns: u64,
        samples: &[Peak],
        period_ns: NonZeroU64,
    ) -> Result<Self, Malformed> {
        let mut peaks: Vec<Peak> = Vec::with_capacity(samples.len());
        for (index, sample) in samples.iter().enumerate() {
            if let Some(last) = peaks.last_mut().filter(|last| last.cycle == sample.cycle) {
                last.late_ns = last.late_ns.max(sample.late_ns);
            } else {
                peaks.push(*sample);
            }
            let end = samples.get(index + 1).map_or(cycles, |next| next.cycle.min(cycles));
            let mut owed = peaks[peaks.len() - 1];
            // One more than is taken in: it is refused below.
            while peaks.len() <= PEAKS_MAX {
                owed.cycle = owed.cycle.saturating_add(1);
                owed.late_ns = owed.late_ns.saturating_sub(period_ns.get());
                if owed.cycle >= end || owed.late_ns <= threshold_ns {
                    break;
                }
                peaks.push(owed);
            }
        }
        Self::new(cycles, threshold_ns, peaks)
    }

    /// As [`Self::with_swallowed`], of samples of which `swallowed` cycles have none: where that is
    /// 0 nothing was swallowed, however late a sample is. So it is of round trips, where the next
    /// one did not wait for the answer.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_samples(
        cycles: u64,
        threshold_ns: u64,
        samples: &[Peak],
        period_ns: u64,
        swallowed: u64,
    ) -> Result<Self, Malformed> {
        let period_ns = if swallowed == 0 { u64::MAX } else { period_ns };
        let period_ns = NonZeroU64::new(period_ns).unwrap_or(NonZeroU64::MAX);
        Self::with_swallowed(cycles, threshold_ns, samples, period_ns)
    }

    /// Cycles observed: the span of the series.
    #[must_use]
    pub const fn cycles(&self) -> u64 {
        self.cycles
    }

    /// The lateness above which a cycle stands in the list.
    #[must_use]
    pub const fn threshold_ns(&self) -> u64 {
        self.threshold_ns
    }

    /// The late cycles, in the order of their numbers.
    #[must_use]
    pub fn peaks(&self) -> &[Peak] {
        &self.peaks
    }

    /// The largest lateness seen; the threshold when no cycle was later, which bounds it then.
    #[must_use]
    pub fn largest_ns(&self) -> u64 {
        self.peaks.iter().map(|peak| peak.late_ns).max().unwrap_or(self.threshold_ns)
    }

    /// The same series above a higher threshold; itself when `threshold_ns` is not higher.
    #[must_use]
    pub fn above(&self, threshold_ns: u64) -> Self {
        let threshold_ns = threshold_ns.max(self.threshold_ns);
        let peaks = self.peaks.iter().filter(|peak| peak.late_ns > threshold_ns).copied();
        Self { cycles: self.cycles, threshold_ns, peaks: peaks.collect() }
    }

    /// The same series with no more late cycles than `share` of all.
    pub(super) fn at_most(&self, share: f64) -> Self {
        let most = super::whole(self.cycles as f64 * share);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if self.peaks.len() <= most {
            return self.clone();
        }
        let mut late: Vec<u64> = self.peaks.iter().map(|peak| peak.late_ns).collect();
        let (_, threshold, _) = late.select_nth_unstable_by(most, |a, b| b.cmp(a));
        self.above(*threshold)
    }
}

/// The late cycles of what a thread recorded.
impl TryFrom<&Recording> for Exceedances {
    type Error = Malformed;

    fn try_from(recording: &Recording) -> Result<Self, Malformed> {
        let totals = &recording.totals;
        let (counts, kept) = (&totals.counts, &recording.exceedances);
        let cycles = totals.owed.samples() + counts.lost + counts.skipped;
        let (threshold_ns, samples) = (kept.threshold_ns, &kept.peaks);
        Self::of_samples(cycles, threshold_ns, samples, totals.period_ns, counts.swallowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peaks(of: &[(u64, u64)]) -> Vec<Peak> {
        of.iter().map(|&(cycle, late_ns)| Peak { cycle, late_ns }).collect()
    }

    #[test]
    fn contradictions_are_refused() {
        let refused = |cycles, threshold, of: &[(u64, u64)]| {
            Exceedances::new(cycles, threshold, peaks(of)).unwrap_err()
        };
        assert_eq!(refused(0, 10, &[]), Malformed::NoCycles);
        assert_eq!(refused(9, 10, &[(1, 11), (1, 12)]), Malformed::Order { index: 1 });
        assert_eq!(refused(9, 10, &[(9, 11)]), Malformed::BeyondSpan { index: 0, cycle: 9 });
        assert_eq!(refused(9, 10, &[(2, 10)]), Malformed::NotLate { index: 0 });
        let many = vec![Peak { cycle: 0, late_ns: 1 }; PEAKS_MAX + 1];
        let error = Exceedances::new(9, 0, many).unwrap_err();
        assert_eq!(error, Malformed::TooMany { peaks: PEAKS_MAX + 1 });
    }

    #[test]
    fn swallowed_cycles_count_with_the_lateness_they_had() {
        let owed = |of: &[(u64, u64)]| {
            let period = NonZeroU64::new(100).unwrap();
            Exceedances::with_swallowed(50, 10, &peaks(of), period)
        };
        // The cycle after the stall woke by itself; the last stall outlives the series.
        let series = owed(&[(3, 250), (4, 40), (9, 330), (20, 30), (20, 60), (48, 900)]).unwrap();
        let expected = [
            (3, 250),
            (4, 40),
            (9, 330),
            (10, 230),
            (11, 130),
            (12, 30),
            (20, 60),
            (48, 900),
            (49, 800),
        ];
        assert_eq!(series.peaks(), peaks(&expected));
        assert_eq!(owed(&[(5, 20), (4, 20)]).unwrap_err(), Malformed::Order { index: 1 });
        let period = NonZeroU64::MIN;
        let endless = Exceedances::with_swallowed(u64::MAX, 0, &peaks(&[(0, u64::MAX)]), period);
        assert!(matches!(endless, Err(Malformed::TooMany { .. })));
    }

    #[test]
    fn a_higher_threshold_leaves_the_later_cycles() {
        let all = Exceedances::new(100, 10, peaks(&[(0, 11), (5, 30), (6, 20), (99, 25)])).unwrap();
        assert_eq!(all.above(20).peaks(), peaks(&[(5, 30), (99, 25)]));
        assert_eq!(all.above(5), all);
        assert_eq!(all.at_most(0.02), all.above(20));
        assert_eq!(all.at_most(0.5), all);
        assert_eq!(all.above(40).largest_ns(), 40);
        assert_eq!(all.largest_ns(), 30);
    }

    #[test]
    fn a_recording_is_taken_as_its_cycles_were() {
        use crate::os::recorder::{Plan, Recorder};
        use crate::time::{Duration, Instant};

        let us = Duration::from_micros;
        let recorder = || Recorder::new(Plan::new(Instant::ORIGIN, us(100))).unwrap();
        let at = |cycle: u64| Instant::ORIGIN + us(100 * cycle);
        let (mut waking, mut asking) = (recorder(), recorder());
        for (cycle, late) in [(0, 7), (1, 250), (4, 3)] {
            waking.record(at(cycle), at(cycle) + us(late));
        }
        for (cycle, took) in [(0, 7), (1, 250), (2, 160), (4, 3)] {
            asking.record_span(at(cycle), us(took));
        }
        let woken = Exceedances::try_from(&waking.finish()).unwrap();
        let late = [(0, 7_000), (1, 250_000), (2, 150_000), (3, 50_000), (4, 3_000)];
        assert_eq!((woken.cycles(), woken.peaks()), (5, &*peaks(&late)));
        let answered = Exceedances::try_from(&asking.finish()).unwrap();
        let took = [(0, 7_000), (1, 250_000), (2, 160_000), (4, 3_000)];
        assert_eq!((answered.cycles(), answered.peaks()), (5, &*peaks(&took)));
    }
}
