//! How many cycles in a row are late, and how often.
//!
//! A receiver that waits for m missing heartbeats is deceived by a run of m late ones. The chance
//! of it is measured: runs are counted, none is computed from the chance of a single late cycle,
//! because one cause makes several cycles late and independence would flatter the result by orders
//! of magnitude.

use super::HORIZON_SPANS;
use super::exceedances::Exceedances;
use super::level::Extrapolation;
use super::special::poisson_interval;

/// Parts of the span whose counts are compared, to see whether runs come in groups.
const PARTS: usize = 20;

/// Consecutive cycles that were later than a limit, run by run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runs {
    cycles: u64,
    over_ns: u64,
    /// First cycle and length of each.
    runs: Vec<(u64, u64)>,
}

/// How often runs of a length begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunChance {
    /// Runs of at least this length that were seen.
    pub seen: u64,
    /// The chance that one begins at a given cycle: seen / cycles.
    pub per_cycle: f64,
    /// The lower end of its 95 % interval.
    pub lower: f64,
    /// The upper end; when none was seen, the 95 % bound of the rule of three.
    pub upper: f64,
}

/// The mean time between false failovers, in cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// Runs as long as this were seen.
    Measured {
        /// Cycles observed / runs seen.
        cycles: u64,
        /// The lower end of the 95 % interval.
        lower_cycles: u64,
        /// The upper end, never beyond [`HORIZON_SPANS`] times the span.
        upper_cycles: u64,
    },
    /// No run as long as this was seen; the data support this much (at 95 %) and no more.
    AtLeast {
        /// The 95 % bound.
        cycles: u64,
    },
}

impl RunChance {
    /// Of `seen` runs in `cycles` cycles, one or more, whose counts in parts of the span have
    /// `dispersion` (variance over mean; below 1 is taken as 1).
    #[must_use]
    pub fn of_count(seen: u64, cycles: u64, dispersion: f64) -> Self {
        let cycles = cycles.max(1) as f64;
        if seen == 0 {
            let upper = (-(0.05f64.ln()) / cycles).min(1.0);
            return Self { seen, per_cycle: 0.0, lower: 0.0, upper };
        }
        let dispersion = dispersion.max(1.0);
        let (lower, upper) = poisson_interval(seen as f64 / dispersion);
        let share = |count: f64| (count * dispersion / cycles).min(1.0);
        let per_cycle = seen as f64 / cycles;
        Self { seen, per_cycle, lower: share(lower), upper: share(upper) }
    }

    /// The mean time between runs that a recording of `cycles` cycles supports by its counts alone.
    #[must_use]
    pub fn between(&self, cycles: u64) -> Between {
        let most = cycles.saturating_mul(HORIZON_SPANS);
        let mean = |chance: f64| super::whole(1.0 / chance).min(most);
        if self.seen == 0 {
            return Between::AtLeast { cycles: mean(self.upper) };
        }
        Between::Measured {
            cycles: mean(self.per_cycle),
            lower_cycles: mean(self.upper),
            upper_cycles: mean(self.lower),
        }
    }
}

impl Runs {
    /// The runs of cycles later than `over_ns`, or than the recording's threshold if that is
    /// higher.
    #[must_use]
    pub fn measure(series: &Exceedances, over_ns: u64) -> Self {
        let over_ns = over_ns.max(series.threshold_ns());
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for peak in series.peaks().iter().filter(|peak| peak.late_ns > over_ns) {
            match runs.last_mut() {
                Some((first, length)) if *first + *length == peak.cycle => *length += 1,
                _ => runs.push((peak.cycle, 1)),
            }
        }
        Self { cycles: series.cycles(), over_ns, runs }
    }

    /// The limit above which a cycle counts as late.
    #[must_use]
    pub const fn over_ns(&self) -> u64 {
        self.over_ns
    }

    /// Pairs of a length and the number of runs that had it, shortest first.
    #[must_use]
    pub fn histogram(&self) -> Vec<(u64, u64)> {
        let mut lengths: Vec<u64> = self.runs.iter().map(|run| run.1).collect();
        lengths.sort_unstable();
        lengths.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u64)).collect()
    }

    /// The length of the longest; 0 without any.
    #[must_use]
    pub fn longest(&self) -> u64 {
        self.runs.iter().map(|run| run.1).max().unwrap_or(0)
    }

    /// The chance, for each cycle, that a run of `misses` or more late cycles begins with it (0 is
    /// taken as 1).
    ///
    /// The interval is Garwood's for a Poisson count. Runs that come in groups carry less
    /// information than their number: the count is divided by its dispersion over twenty parts of
    /// the span, if that is above 1.
    #[must_use]
    pub fn probability_of_run(&self, misses: u64) -> RunChance {
        let begins: Vec<u64> =
            self.runs.iter().filter(|run| run.1 >= misses.max(1)).map(|run| run.0).collect();
        let dispersion = if begins.is_empty() { 1.0 } else { self.dispersion(&begins) };
        RunChance::of_count(begins.len() as u64, self.cycles, dispersion)
    }

    /// The mean time between false failovers when `misses` late cycles in a row cause one, as far
    /// as the data support it.
    ///
    /// When no run so long was seen there is a bound only: by the rule of three, or by the tail of
    /// single cycles when that says more (a run is not more frequent than the event that begins
    /// it), and never beyond [`HORIZON_SPANS`] times the span.
    #[must_use]
    pub fn cycles_between(&self, misses: u64, tail: Option<&Extrapolation>) -> Between {
        let seen = self.probability_of_run(misses).between(self.cycles);
        let Between::AtLeast { cycles } = seen else { return seen };
        let by_tail = tail.and_then(|tail| tail.least_cycles_between(self.over_ns).ok());
        let most = self.cycles.saturating_mul(HORIZON_SPANS);
        Between::AtLeast { cycles: cycles.max(by_tail.unwrap_or(0)).min(most) }
    }

    /// The variance of the counts in the parts of the span, over their mean.
    fn dispersion(&self, begins: &[u64]) -> f64 {
        let mut counts = [0.0f64; PARTS];
        for &begin in begins {
            counts[super::part(begin, self.cycles, PARTS)] += 1.0;
        }
        let mean = begins.len() as f64 / PARTS as f64;
        let squares: f64 = counts.iter().map(|count| (count - mean).powi(2)).sum();
        squares / (PARTS - 1) as f64 / mean
    }
}

#[cfg(test)]
mod tests {
    use super::super::Peak;
    use super::super::random::Random;
    use super::*;

    fn series(cycles: u64, late: impl IntoIterator<Item = (u64, u64)>) -> Exceedances {
        let peaks = late.into_iter().map(|(cycle, late_ns)| Peak { cycle, late_ns }).collect();
        Exceedances::new(cycles, 10, peaks).unwrap()
    }

    #[test]
    fn runs_are_counted_by_their_length_above_the_limit() {
        let late = [(1, 90), (2, 20), (3, 90), (7, 90), (9, 20), (10, 20)];
        let series = series(1000, late);
        let all = Runs::measure(&series, 0);
        assert_eq!((all.histogram(), all.longest()), (vec![(1, 1), (2, 1), (3, 1)], 3));
        let high = Runs::measure(&series, 20);
        assert_eq!((high.histogram(), high.over_ns()), (vec![(1, 3)], 20));
        assert_eq!(all.probability_of_run(2).seen, 2);
        assert!((all.probability_of_run(2).per_cycle - 0.002).abs() < 1e-12);
        assert_eq!(all.probability_of_run(0), all.probability_of_run(1));
    }

    #[test]
    fn what_was_never_seen_has_a_bound_and_no_figure() {
        let runs = Runs::measure(&series(3_000_000, [(5, 90), (6, 90)]), 0);
        let chance = runs.probability_of_run(3);
        assert_eq!((chance.seen, chance.per_cycle, chance.lower), (0, 0.0, 0.0));
        assert!((chance.upper - 1e-6).abs() < 2e-9, "{chance:?}");
        let Between::AtLeast { cycles } = runs.cycles_between(3, None) else { panic!() };
        assert!((1_000_000..1_002_000).contains(&cycles), "{cycles}");
    }

    #[test]
    fn runs_are_not_taken_as_independent_cycles() {
        // One cycle in a thousand is late, always three together: independence would say 1e-9.
        let late = (0..1000u64).flat_map(|n| (0..3).map(move |k| (n * 3000 + k, 90)));
        let runs = Runs::measure(&series(3_000_000, late), 0);
        let chance = runs.probability_of_run(3);
        assert!((chance.per_cycle - 1.0 / 3000.0).abs() < 1e-9);
        assert!(chance.lower > 2.9e-4 && chance.upper < 3.7e-4, "{chance:?}");
        assert_eq!(runs.probability_of_run(4).seen, 0);
        let Between::Measured { cycles, lower_cycles, upper_cycles } = runs.cycles_between(3, None)
        else {
            panic!()
        };
        assert!(cycles == 3000 && lower_cycles < 3000 && upper_cycles > 3000);
    }

    /// Whether the interval of the chance of a run covers, for runs that come in groups of
    /// `together` (their mean number stays).
    fn covered(together: u64) -> u32 {
        let mut random = Random::from_seed(together);
        let once = |random: &mut Random| {
            let mut late = Vec::new();
            for cycle in (0..100_000u64).step_by(100) {
                if random.uniform() < 0.06 / together as f64 {
                    late.extend((0..2 * together).map(|n| (cycle + n / 2 * 3 + n % 2, 90)));
                }
            }
            let chance = Runs::measure(&series(100_000, late), 0).probability_of_run(2);
            u32::from(chance.lower <= 0.0006 && chance.upper >= 0.0006)
        };
        (0..500).map(|_| once(&mut random)).sum()
    }

    #[test]
    fn the_interval_covers_though_runs_come_in_groups() {
        // 95 % of 500 is 475; 457 is three standard deviations of 90 % above 450.
        let (alone, groups) = (covered(1), covered(4));
        assert!(alone >= 457 && groups >= 430, "{alone} {groups}");
    }
}
