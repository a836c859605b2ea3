//! How often a peer is falsely suspected: how often it is silent for longer than is borne although
//! it lives.
//!
//! A peer is suspected when nothing came for the time of k beats and J after a beat that was due.
//! Three things keep it silent: its thread was late, frames of both LANs were lost or late, or its
//! thread was late and the frame that came then was slow; the last one is taken into the first by
//! taking the whole spread of the round trip off what is borne.
//!
//! **A late thread.** A thread that is stopped sends nothing, whatever its period is: so lateness
//! in time is compared with the silence that is borne. The first beat that falls into a stall is as
//! late as what is left of it. Where beats are rarer than the recorded cycles, this is on average
//! less than what was recorded, so that the recording errs to the safe side. Where they come more
//! often, a stall may be longer by a recorded period than was seen, and there are more beats that
//! can be late: the limit is lowered by a period, and the time divided by the ratio of the periods.
//!
//! **Lost frames.** With the recorded period or a longer one it takes k + 1 beats in a row; rows of
//! as many cycles that were lost or later than J are counted as they came. (Beats further apart
//! than cycles are less likely to be lost together.) With shorter ones it takes the cycles that lie
//! in the time of k beats, and again the ratio of the periods.
//!
//! **Both LANs.** How often both are silent at once was not recorded. It is not more often than
//! either alone: the better one bounds it. The product of both would be much less, and true only if
//! nothing were common to both: the peer's thread, a power supply, somebody who pulls cables.

use super::super::recorder::{RUN_LENGTH_MAX, Rung};
use super::super::tail::{Between, Extrapolation, RunChance, Runs};
use super::bound::Recorded;
use crate::time::Duration;

/// Parts of the span whose losses are compared, to see whether they come in groups.
const PARTS: usize = 20;

/// What the round trips on one LAN left behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LanRecorded {
    /// The round trips; the lost ones count as cycles.
    pub recorded: Recorded,
    /// The least round trip.
    pub least: Duration,
    /// Cycles without an answer.
    pub lost: u64,
    /// Rows of cycles that were lost, or later than a threshold, by rising threshold.
    pub rows: Vec<Rung>,
    /// Lost cycles in equal parts of the time, in order.
    pub lost_by_time: Vec<u64>,
}

/// The mean time between false suspicions, as far as the recordings support it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Apart {
    /// Such a silence was seen: the mean with its 95 % interval.
    Measured {
        /// Time recorded / silences seen.
        mean: Duration,
        /// The lower end.
        lower: Duration,
        /// The upper end, never beyond a hundred times the time recorded.
        upper: Duration,
    },
    /// None was seen: the recordings support this (at 95 %) and no more.
    AtLeast(Duration),
}

/// The silence that is borne.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Silence {
    /// From one beat to the next.
    pub heartbeat: Duration,
    /// k: beats in a row that may be lost.
    pub misses: u32,
    /// J.
    pub jitter: Duration,
    /// By how much the way of a frame may become longer from one beat to the next.
    pub spread: Duration,
}

impl Silence {
    /// From the instant at which a beat was due to the suspicion.
    #[must_use]
    pub fn borne(&self) -> Duration {
        self.heartbeat.saturating_mul(self.misses.into()) + self.jitter
    }

    /// How often the thread that was recorded keeps silent for longer.
    #[must_use]
    pub fn of_thread(&self, recorded: &Recorded, tail: Option<&Extrapolation>) -> Apart {
        let mut limit = self.borne().saturating_sub(self.spread);
        if self.heartbeat < recorded.period {
            limit = limit.saturating_sub(recorded.period);
        }
        let runs = Runs::measure(&recorded.series, limit.as_nanos());
        self.in_time(recorded.period, runs.cycles_between(1, tail))
    }

    /// How often a LAN is silent for longer.
    #[must_use]
    pub fn of_lan(&self, lan: &LanRecorded) -> Apart {
        let Recorded { period, series, .. } = &lan.recorded;
        // What is later than this cannot be told from what is lost.
        let limit_ns = (lan.least + self.jitter).as_nanos();
        let Some(rung) = lan.rows.iter().rev().find(|it| it.threshold_ns <= limit_ns) else {
            return Apart::AtLeast(Duration::ZERO);
        };
        let in_a_row = self.cycles_in_a_row(*period);
        let mut seen = 0u64;
        for (length, count) in (1..).zip(rung.runs) {
            // The last place has all that are longer than can be told.
            let reaches = if length > RUN_LENGTH_MAX as u64 { rung.longest } else { length };
            if reaches >= in_a_row {
                seen = seen.saturating_add(count);
            }
        }
        let dispersion = dispersion(&lan.lost_by_time);
        let chance = RunChance::of_count(seen, series.cycles(), dispersion);
        self.in_time(*period, chance.between(series.cycles()))
    }

    /// How many recorded cycles in a row must be missing.
    fn cycles_in_a_row(&self, period: Duration) -> u64 {
        if self.heartbeat >= period {
            return u64::from(self.misses) + 1;
        }
        let silent_ns = self.heartbeat.saturating_mul(self.misses.into()).as_nanos();
        (silent_ns / period.as_nanos().max(1)).max(1)
    }

    fn in_time(&self, period: Duration, between: Between) -> Apart {
        // Beats that come more often than the recorded cycles have more occasions to be late.
        let each_ns = u128::from(period.min(self.heartbeat).as_nanos());
        let time = |cycles: u64| {
            let ns = u128::from(cycles) * each_ns;
            Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
        };
        match between {
            Between::AtLeast { cycles } => Apart::AtLeast(time(cycles)),
            Between::Measured { cycles, lower_cycles, upper_cycles } => Apart::Measured {
                mean: time(cycles),
                lower: time(lower_cycles),
                upper: time(upper_cycles),
            },
        }
    }
}

impl Apart {
    /// What is supported: the lower end.
    #[must_use]
    pub const fn supported(&self) -> Duration {
        match *self {
            Self::AtLeast(time) => time,
            Self::Measured { lower, .. } => lower,
        }
    }

    /// The shortest of several views of the same thing.
    #[must_use]
    pub fn worst(of: impl IntoIterator<Item = Self>) -> Option<Self> {
        of.into_iter().min_by_key(Self::supported)
    }

    /// The longest of them.
    #[must_use]
    pub fn best(of: impl IntoIterator<Item = Self>) -> Option<Self> {
        of.into_iter().max_by_key(Self::supported)
    }

    /// Of several causes together: their rates add up, and so do the bounds of their rates. Whether
    /// the causes are independent makes no difference to that.
    #[must_use]
    pub fn together(causes: &[Self]) -> Self {
        let (mut mean, mut most, mut least) = (0.0, 0.0, 0.0);
        let mut is_seen = false;
        for cause in causes {
            most += rate(cause.supported());
            if let Self::Measured { mean: between, upper, .. } = *cause {
                is_seen = true;
                mean += rate(between);
                least += rate(upper);
            }
        }
        if is_seen {
            Self::Measured { mean: time(mean), lower: time(most), upper: time(least) }
        } else {
            Self::AtLeast(time(most))
        }
    }
}

/// Events for each nanosecond.
fn rate(between: Duration) -> f64 {
    1.0 / between.as_nanos() as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and no rate is negative"
)]
fn time(rate: f64) -> Duration {
    Duration::from_nanos((1.0 / rate).round() as u64)
}

/// The variance of the counts over their mean; 1 without any.
fn dispersion(counts: &[u64]) -> f64 {
    let mut parts = [0.0f64; PARTS];
    for (index, count) in counts.iter().enumerate() {
        parts[index * PARTS / counts.len()] += *count as f64;
    }
    let mean = parts.iter().sum::<f64>() / PARTS as f64;
    if mean <= 0.0 {
        return 1.0;
    }
    let squares: f64 = parts.iter().map(|count| (count - mean).powi(2)).sum();
    squares / (PARTS - 1) as f64 / mean
}

#[cfg(test)]
mod tests {
    use super::super::super::recorder::{Plan, Recorder};
    use super::super::super::tail::{Exceedances, Peak};
    use super::*;
    use crate::time::Instant;

    const fn us(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    fn recorded(period: Duration, cycles: u64, late: &[(u64, u64)]) -> Recorded {
        let peaks = late.iter().map(|&(cycle, late_ns)| Peak { cycle, late_ns }).collect();
        let series = Exceedances::new(cycles, 1_000, peaks).unwrap();
        Recorded { name: "cpu 0".to_owned(), period, series }
    }

    const SILENCE: Silence =
        Silence { heartbeat: us(500), misses: 3, jitter: us(150), spread: us(50) };

    #[test]
    fn a_stall_counts_by_its_length_and_not_by_its_cycles() {
        assert_eq!(SILENCE.borne(), us(1_650));
        // Two stalls of 1,700 µs, each of which swallows more cycles the shorter they are.
        for period in [us(100), us(250), us(500)] {
            let mut late = Vec::new();
            for stall in [1_000u64, 6_000] {
                let cycles = 1_700_000 / period.as_nanos();
                late.extend((0..=cycles).map(|n| (stall + n, 1_700_000 - n * period.as_nanos())));
            }
            late.retain(|it| it.1 > 1_000);
            let found = SILENCE.of_thread(&recorded(period, 3_000_000, &late), None);
            let Apart::Measured { mean, .. } = found else { panic!("{found:?}") };
            assert_eq!(mean, period.saturating_mul(1_500_000), "{period}");
        }
        // Beats that are all as late as nearly a period never make a silence.
        let late: Vec<_> = (0..1_000).map(|cycle| (cycle, 1_500_000)).collect();
        let found = SILENCE.of_thread(&recorded(us(500), 3_000_000, &late), None);
        assert!(matches!(found, Apart::AtLeast(_)), "{found:?}");
        // But for the spread of the way: 1,600 µs are not borne.
        let found = SILENCE.of_thread(&recorded(us(500), 3_000_000, &[(7, 1_600_001)]), None);
        assert!(matches!(found, Apart::Measured { .. }), "{found:?}");
    }

    #[test]
    fn beats_that_come_more_often_than_was_recorded_are_judged_harder() {
        let period = us(1_000);
        // Recorded each ms, 601 µs late: a stall of up to 1,601 µs.
        let found = SILENCE.of_thread(&recorded(period, 3_000_000, &[(7, 600_001)]), None);
        let Apart::Measured { mean, lower, upper } = found else { panic!("{found:?}") };
        assert_eq!(mean, us(500).saturating_mul(3_000_000), "half of the time recorded");
        assert!(lower < mean && mean < upper);
        let found = SILENCE.of_thread(&recorded(period, 3_000_000, &[(7, 600_000)]), None);
        let Apart::AtLeast(time) = found else { panic!("{found:?}") };
        // 3,000,000 / −ln 0.05 = 1,001,424.
        assert_eq!(time, us(500).saturating_mul(1_001_424));
    }

    /// A LAN asked each `period`, whose answers take 40 µs but for those of `gone` (no answer).
    fn lan(period: Duration, cycles: u64, gone: impl Fn(u64) -> bool) -> LanRecorded {
        let mut recorder = Recorder::new(Plan::new(Instant::ORIGIN, period)).unwrap();
        for cycle in 0..cycles {
            let planned = Instant::ORIGIN + period.saturating_mul(cycle);
            if gone(cycle) {
                recorder.record_lost(planned);
            } else {
                recorder.record_span(planned, us(40));
            }
        }
        let recording = recorder.finish();
        LanRecorded {
            least: us(40),
            lost: recording.totals.counts.lost,
            rows: recording.totals.run_lengths.rungs.clone(),
            lost_by_time: recording.timeline.slots.iter().map(|it| it.lost).collect(),
            recorded: Recorded {
                name: "lan a".to_owned(),
                period,
                series: Exceedances::try_from(&recording).unwrap(),
            },
        }
    }

    #[test]
    fn lost_frames_count_by_their_rows() {
        // Three of a thousand are lost in a row: k = 3 bears that.
        let three = lan(us(500), 100_000, |cycle| cycle % 1_000 < 3);
        assert_eq!((three.lost, three.recorded.series.cycles()), (300, 100_000));
        let Apart::AtLeast(time) = SILENCE.of_lan(&three) else { panic!() };
        assert_eq!(time, us(500).saturating_mul(33_380), "a third of the time recorded");
        let four = lan(us(500), 100_000, |cycle| cycle % 1_000 < 4);
        let Apart::Measured { mean, lower, .. } = SILENCE.of_lan(&four) else { panic!() };
        assert_eq!(mean, us(500_000), "each thousand beats, though each is lost with 0.4 %");
        assert!(lower > us(300_000) && lower < mean, "{lower}");
        // Beats twice as often as the cycles: one lost cycle may hide three beats, and did so
        // in a thousand cycles of a ms, which have two occasions each.
        let single = lan(us(1_000), 100_000, |cycle| cycle % 1_000 == 0);
        let Apart::Measured { mean, .. } = SILENCE.of_lan(&single) else { panic!() };
        assert_eq!(mean, us(500_000));
        // Beats half as often.
        let often = lan(us(250), 100_000, |cycle| cycle % 1_000 < 4);
        let Apart::Measured { mean, .. } = SILENCE.of_lan(&often) else { panic!() };
        assert_eq!(mean, us(250_000));
    }

    #[test]
    fn a_row_that_is_too_long_to_be_told_counts() {
        let long = lan(us(500), 100_000, |cycle| (1_000..1_300).contains(&cycle));
        let patient = Silence { misses: 200, ..SILENCE };
        assert!(matches!(patient.of_lan(&long), Apart::Measured { .. }));
        let more = Silence { misses: 300, ..SILENCE };
        assert!(matches!(more.of_lan(&long), Apart::AtLeast(_)));
    }

    #[test]
    fn losses_that_come_together_widen_the_interval() {
        let spread = SILENCE.of_lan(&lan(us(500), 200_000, |cycle| cycle % 10_000 < 5));
        let crowded = |cycle: u64| cycle < 2_000 && cycle % 100 < 5;
        let crowded = SILENCE.of_lan(&lan(us(500), 200_000, crowded));
        let (Apart::Measured { mean: a, lower: low_a, .. }, Apart::Measured { mean, lower, .. }) =
            (spread, crowded)
        else {
            panic!()
        };
        assert_eq!(a, mean);
        assert!(lower.as_nanos() * 2 < low_a.as_nanos(), "{lower} {low_a}");
    }

    #[test]
    fn causes_add_up() {
        let hour = Duration::from_secs(3_600);
        let third = Apart::together(&[Apart::AtLeast(hour); 3]);
        assert_eq!(third, Apart::AtLeast(Duration::from_secs(1_200)));
        let seen = Apart::Measured {
            mean: Duration::from_secs(3_600),
            lower: Duration::from_secs(1_800),
            upper: Duration::from_secs(7_200),
        };
        // 1/1,800 + 1/3,600 each second.
        let expected = Apart::Measured {
            mean: Duration::from_secs(3_600),
            lower: Duration::from_secs(1_200),
            upper: Duration::from_secs(7_200),
        };
        assert_eq!(Apart::together(&[seen, Apart::AtLeast(hour)]), expected);
        assert_eq!(Apart::together(&[Apart::AtLeast(Duration::ZERO)]).supported(), Duration::ZERO);
        assert_eq!(Apart::worst([seen, third]), Some(third));
        assert_eq!(Apart::best([seen, third]), Some(seen));
    }
}
