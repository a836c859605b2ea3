//! What the late cycles of a series say of those that were not seen: statistics of extremes.
//!
//! A time-out is derived from lateness that was recorded for an hour and shall hold for years. Two
//! answers are given side by side. The *empirical* one always: the largest value seen, a fifth
//! more, and the horizon that it covers. The *extrapolation* only when everything that it rests on
//! was tested and held: peaks over a threshold, declustered, stationary, following the generalised
//! Pareto law, with a shape that is surely light; and then no further than [`HORIZON_SPANS`] times
//! the span. Else the answer is a [`Refusal`] with the figure that caused it. Maxima of blocks were
//! the alternative to peaks over a threshold; they need very many more samples.
//!
//! All is a pure function of the recorded cycles and a seed. It is for ordinary threads: it
//! allocates, and takes up to a second or so.
//!
//! | Module | Holds |
//! |---|---|
//! | `exceedances` | the input: late cycles, checked |
//! | `clusters` | late cycles of one cause are one event; the extremal index |
//! | `runs` | consecutive late cycles and their chance |
//! | `stationary` | was the series the same all the time? |
//! | `threshold`, `gpd` | where the tail begins; its fit |
//! | `fitness` | does it fit, and how sure is its shape? |
//! | `level` | return levels and their intervals |
//! | `refusal` | why there is no figure |
//! | `special`, `search`, `random` | functions, roots and maxima, random numbers |

mod clusters;
mod exceedances;
mod fitness;
mod gpd;
mod level;
mod random;
mod refusal;
mod runs;
mod search;
mod special;
mod stationary;
mod threshold;

pub use clusters::ExtremalIndex;
pub use exceedances::{Exceedances, Malformed, PEAKS_MAX};
pub use fitness::{FitTest, Shape};
pub use level::{Extrapolation, Level};
pub use random::Random;
pub use refusal::Refusal;
pub use runs::{Between, RunChance, Runs};
pub use stationary::{STATIONARITY_LEVEL, Stationarity};

/// One late cycle, as the recorder tells it.
pub use super::recorder::Peak;

use clusters::Events;
use threshold::Candidate;

/// No figure is given for more than this many times the observed span.
pub const HORIZON_SPANS: u64 = 100;
/// The fewest declustered events that are fitted.
pub const EVENTS_MIN: usize = 50;
/// A tail whose shape may be above this is not extrapolated.
pub const SHAPE_MAX: f64 = 0.3;
/// A series with a lower extremal index is not extrapolated: its events are long disturbances.
pub const EXTREMAL_INDEX_MIN: f64 = 0.1;
/// The chance that events which follow the law exactly are taken as not fitting at one threshold;
/// some higher ones are tried then.
pub const FIT_LEVEL: f64 = 0.05;
/// Thresholds that are tried, when the events over the lower ones do not fit.
const THRESHOLDS_TRIED: usize = 4;

/// How to analyse. What makes an extrapolation admissible is not here: it is not for choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// The seed of the resampling: the same seed gives the same figures.
    pub seed: u64,
    /// Bootstrap samples, held between 199 and 9999.
    pub resamples: usize,
    /// Only lateness above this quantile of all cycles can be tail, held between 0.9 and 1.
    pub quantile_min: f64,
}

impl Default for Policy {
    fn default() -> Self {
        Self { seed: 1, resamples: 499, quantile_min: 0.95 }
    }
}

/// What was seen, and what it covers without any assumption on the tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Empirical {
    /// The largest lateness seen (the recording's threshold when nothing was later).
    pub largest_ns: u64,
    /// 1.2 times that.
    pub bound_ns: u64,
    /// The mean cycles between events later than `largest_ns`, at least, at 95 % (rule of three:
    /// a third of the span).
    pub horizon_cycles: u64,
}

/// What a series says.
#[derive(Clone, Debug)]
pub struct Analysis {
    /// The bound that always holds good.
    pub empirical: Empirical,
    /// Runs of consecutive cycles above the recording's threshold.
    pub runs: Runs,
    /// How much late cycles come in groups.
    pub extremal_index: ExtremalIndex,
    /// Late cycles further apart than this were taken as two events.
    pub run_parameter_cycles: u64,
    /// The tail, or why there is none.
    pub extrapolation: Result<Extrapolation, Refusal>,
}

impl Analysis {
    /// A lateness that the data support as the bound of `cycles` cycles: the upper end of the
    /// extrapolated level or the empirical bound, whichever is larger. A second cause that was seen
    /// once or twice is too little for any test to see; the largest value seen remembers it.
    ///
    /// # Errors
    /// Why the tail cannot say; the empirical bound stands then, for its own horizon.
    pub fn bound_ns(&self, cycles: u64) -> Result<u64, Refusal> {
        let level = self.extrapolation.as_ref().map_err(|refusal| *refusal)?.level(cycles)?;
        Ok(level.upper_ns.max(self.empirical.bound_ns))
    }
}

/// Analyses one series.
#[must_use]
pub fn analyse(series: &Exceedances, policy: &Policy) -> Analysis {
    let mut random = Random::from_seed(policy.seed);
    let largest_ns = series.largest_ns();
    let tail = series.at_most(1.0 - policy.quantile_min.clamp(0.9, 1.0));
    let events = Events::of(&tail, &mut random);
    Analysis {
        empirical: Empirical {
            largest_ns,
            bound_ns: largest_ns.saturating_add(largest_ns.div_ceil(5)),
            horizon_cycles: series.cycles() / 3,
        },
        runs: Runs::measure(series, 0),
        extremal_index: events.index,
        run_parameter_cycles: events.run_parameter,
        extrapolation: extrapolate(&tail, &events, policy, &mut random),
    }
}

fn extrapolate(
    series: &Exceedances,
    events: &Events,
    policy: &Policy,
    random: &mut Random,
) -> Result<Extrapolation, Refusal> {
    let cycles = series.cycles();
    if events.peaks.len() < EVENTS_MIN {
        return Err(Refusal::TooFewEvents { events: events.peaks.len() });
    }
    if events.index.value < EXTREMAL_INDEX_MIN || events.longest_cycles > cycles / 20 {
        return Err(Refusal::GroupsTooLong {
            extremal_index: events.index.value,
            longest_cycles: events.longest_cycles,
            cycles,
        });
    }
    let threshold_ns = series.threshold_ns();
    let (test, p_value) = stationary::stationarity(&events.peaks, cycles, threshold_ns);
    if p_value < STATIONARITY_LEVEL {
        return Err(Refusal::NotStationary { test, p_value });
    }
    let mut candidates = threshold::candidates(&events.peaks, threshold_ns)
        .map_err(|events| Refusal::TooFewEvents { events })?;
    let resamples = policy.resamples.clamp(199, 9999);
    let mut refusal = None;
    let mut from = 0;
    for _ in 0..THRESHOLDS_TRIED {
        let Some(chosen) = threshold::first_stable(&candidates, from) else { break };
        let tail = &candidates[chosen];
        let (fit, likely) = (&tail.fit, tail.log_likelihood);
        let fitness = fitness::fitness(&tail.sample, fit, likely, resamples, random);
        if fitness.p_value >= FIT_LEVEL {
            // A tail that was heavy with more events is not light because it is so with fewer.
            let mut shapes = candidates[..chosen].iter().map(Candidate::shape_at_most);
            let seen = shapes.find(|shape| shape.1 > SHAPE_MAX);
            let (shape, upper) = seen.unwrap_or((fitness.shape.value, fitness.shape.upper));
            if upper > SHAPE_MAX {
                return Err(Refusal::TooHeavy { shape, upper });
            }
            return Ok(Extrapolation::new(candidates.swap_remove(chosen), fitness, cycles));
        }
        // The figures of the lowest threshold are told: it has the most events.
        let (test, p_value) = (fitness.worst, fitness.p_value);
        let threshold_ns = tail.threshold_ns;
        refusal.get_or_insert(Refusal::DoesNotFit { test, p_value, threshold_ns });
        from = chosen + 1;
    }
    // The highest candidate is always stable, so that one was tried at least.
    Err(refusal.unwrap_or(Refusal::TooFewEvents { events: 0 }))
}

/// The part (of `parts`) of a span of `cycles` in which `cycle` lies.
fn part(cycle: u64, cycles: u64, parts: usize) -> usize {
    let part = u128::from(cycle) * parts as u128 / u128::from(cycles.max(1));
    usize::try_from(part).map_or(parts - 1, |part| part.min(parts - 1))
}

/// The whole part of a figure; 0 below it, and the largest number beyond that.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and that is what is wanted of nanoseconds and cycles"
)]
const fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(cycles: u64, late: impl Iterator<Item = (u64, u64)>) -> Exceedances {
        let peaks = late.map(|(cycle, late_ns)| Peak { cycle, late_ns }).collect();
        Exceedances::new(cycles, 0, peaks).unwrap()
    }

    #[test]
    fn an_empty_series_has_its_threshold_as_bound() {
        let quiet = Exceedances::new(900, 1000, Vec::new()).unwrap();
        let analysis = analyse(&quiet, &Policy::default());
        let empirical = Empirical { largest_ns: 1000, bound_ns: 1200, horizon_cycles: 300 };
        assert_eq!(analysis.empirical, empirical);
        let refusal = analysis.extrapolation.unwrap_err();
        assert_eq!(refusal, Refusal::TooFewEvents { events: 0 });
        assert!(refusal.to_string().starts_with("0 events of late cycles, a fit needs 50"));
    }

    #[test]
    fn disturbances_of_many_cycles_are_refused() {
        let mut random = Random::from_seed(51);
        let begins = (0..80u64).map(|n| n * 12_000 + random.bits() % 8000);
        let late: Vec<_> =
            begins.flat_map(|begin| (0..100).map(move |n| (begin + n, 500 + n % 7))).collect();
        let analysis = analyse(&series(1_000_000, late.into_iter()), &Policy::default());
        assert_eq!(analysis.runs.histogram(), [(100, 80)]);
        let refusal = analysis.extrapolation.unwrap_err();
        assert!(matches!(refusal, Refusal::GroupsTooLong { .. }), "{refusal}");
    }

    /// Figures that no host makes are refused or answered, not tripped over.
    #[test]
    fn no_series_is_too_strange() {
        let mut random = Random::from_seed(52);
        let policy = Policy { resamples: 199, ..Policy::default() };
        for kind in 0..6 {
            let mut lateness = |n: u64| match kind {
                0 => 7,
                1 => 1 + n % 2,
                2 => u64::MAX - random.bits() % 3,
                3 => 1 << (random.bits() % 64),
                4 => 1 + whole((40.0 * random.uniform()).exp()),
                _ => 1 + n,
            };
            for step in [1, 1000, u64::MAX / 301] {
                let late: Vec<_> = (0..300).map(|n| (n * step, lateness(n))).collect();
                let series = series((300 * step).saturating_mul(30), late.into_iter());
                let analysis = analyse(&series, &policy);
                for cycles in [0, 1, series.cycles(), u64::MAX] {
                    let bound = analysis.bound_ns(cycles);
                    assert!(
                        bound.is_ok_and(|ns| ns >= analysis.empirical.bound_ns) || bound.is_err()
                    );
                }
                let tail = analysis.extrapolation.as_ref().ok();
                let Between::AtLeast { cycles } = analysis.runs.cycles_between(1000, tail) else {
                    panic!("no run is so long");
                };
                assert!(cycles >= series.cycles() / 4);
            }
        }
    }

    /// The bound on what is taken in bounds the effort.
    #[test]
    fn the_longest_list_is_analysed() {
        let mut random = Random::from_seed(53);
        let late: Vec<_> = (0..PEAKS_MAX as u64)
            .map(|n| (n * 25 + random.bits() % 25, 1 + whole(1e4 * random.exponential())))
            .collect();
        let series = series(PEAKS_MAX as u64 * 25, late.into_iter());
        let analysis = analyse(&series, &Policy { resamples: 199, ..Policy::default() });
        let tail = analysis.extrapolation.unwrap();
        assert!(tail.events() <= 2000 && tail.shape().value.abs() < 0.15, "{:?}", tail.shape());
    }
}
