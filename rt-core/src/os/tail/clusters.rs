//! Declustering: late cycles that have one cause are one event.
//!
//! The extremal index (the inverse of an event's mean number of late cycles, in the limit) is
//! estimated from the times between late cycles by the intervals estimator of Ferro and Segers
//! (2003), which needs no parameter of its own. It names how many of these times lie between
//! events; the shortest of them is the run parameter of the runs method. A fixed run parameter was
//! the alternative: a figure nobody can justify for a host nobody has seen.

use super::Peak;
use super::exceedances::Exceedances;
use super::random::Random;

/// Resamples behind the interval of the extremal index.
const RESAMPLES: usize = 199;
/// Events of a resample. Of more events so many are drawn, and the deviations shrunk to what the
/// true number makes of them: the effort stays bounded.
const EVENTS_DRAWN: usize = 4096;

/// An estimate of the extremal index: 1 for independent cycles, 1/n when late cycles come in
/// groups of n.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExtremalIndex {
    /// The estimate, above 0, at most 1.
    pub value: f64,
    /// The lower end of its 95 % interval (bootstrap of the events and the times between them).
    pub lower: f64,
    /// The upper end.
    pub upper: f64,
}

/// The events of a series.
#[derive(Clone, Debug)]
pub(super) struct Events {
    /// Each event's latest cycle, in the order of time.
    pub(super) peaks: Vec<Peak>,
    pub(super) index: ExtremalIndex,
    /// Late cycles further apart than this are of two events.
    pub(super) run_parameter: u64,
    /// Cycles from the first to the last late one of the longest event.
    pub(super) longest_cycles: u64,
}

impl Events {
    /// The events of `series`.
    pub(super) fn of(series: &Exceedances, random: &mut Random) -> Self {
        let peaks = series.peaks();
        let gaps: Vec<u64> = peaks.windows(2).map(|two| two[1].cycle - two[0].cycle).collect();
        let value = intervals_estimate(gaps.iter().copied());
        let run_parameter = run_parameter(&gaps, value);
        let mut events: Vec<Peak> = Vec::new();
        let mut longest_cycles = 0;
        let mut begin = 0;
        for (index, peak) in peaks.iter().enumerate() {
            let continues = index > 0 && gaps[index - 1] <= run_parameter;
            match events.last_mut() {
                Some(event) if continues => {
                    if peak.late_ns > event.late_ns {
                        *event = *peak;
                    }
                }
                _ => {
                    events.push(*peak);
                    begin = peak.cycle;
                }
            }
            longest_cycles = longest_cycles.max(peak.cycle - begin + 1);
        }
        let (lower, upper) = interval(&gaps, run_parameter, value, random).unwrap_or((0.0, 1.0));
        let index = ExtremalIndex { value, lower: lower.min(value), upper: upper.max(value) };
        Self { peaks: events, index, run_parameter, longest_cycles }
    }
}

/// The intervals estimator, of the times between late cycles.
fn intervals_estimate(gaps: impl Iterator<Item = u64> + Clone) -> f64 {
    let count = gaps.clone().count() as f64;
    let short = gaps.clone().all(|gap| gap <= 2);
    let (mut sum, mut product) = (0.0, 0.0);
    for gap in gaps {
        let gap = gap as f64;
        sum += if short { gap } else { gap - 1.0 };
        product += if short { gap * gap } else { (gap - 1.0) * (gap - 2.0) };
    }
    if product <= 0.0 || count < 1.0 {
        return 1.0;
    }
    // A value of 0 would say that all is one event; one event in all is the most that can be said.
    (2.0 * sum * sum / (count * product)).clamp(1.0 / (count + 1.0), 1.0)
}

/// The largest time between late cycles of one event. Consecutive late cycles are always of one.
fn run_parameter(gaps: &[u64], extremal_index: f64) -> u64 {
    if gaps.is_empty() {
        return 1;
    }
    let mut longest_first = gaps.to_vec();
    longest_first.sort_unstable_by(|a, b| b.cmp(a));
    let late = gaps.len() + 1;
    let between = super::whole(extremal_index * late as f64);
    let between = usize::try_from(between).unwrap_or(usize::MAX);
    // Equal times are on one side of the border: that of one event.
    longest_first.get(between).copied().unwrap_or(1).max(1)
}

/// The bootstrap of Ferro and Segers: events and the times between them are drawn apart.
fn interval(
    gaps: &[u64],
    run_parameter: u64,
    value: f64,
    random: &mut Random,
) -> Option<(f64, f64)> {
    let between: Vec<u64> = gaps.iter().copied().filter(|&gap| gap > run_parameter).collect();
    let within: Vec<&[u64]> = gaps.split(|&gap| gap > run_parameter).collect();
    if between.is_empty() {
        return None;
    }
    let events = within.len().min(EVENTS_DRAWN);
    let shrink = (events as f64 / within.len() as f64).sqrt();
    let mut drawn = Vec::new();
    let mut estimates: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            drawn.clear();
            for event in 0..events {
                if event > 0 {
                    drawn.push(between[random.below(between.len())]);
                }
                drawn.extend_from_slice(within[random.below(within.len())]);
            }
            intervals_estimate(drawn.iter().copied())
        })
        .collect();
    estimates.sort_unstable_by(f64::total_cmp);
    let place = |share: f64| {
        let index = usize::try_from(super::whole(share * RESAMPLES as f64)).unwrap_or(0);
        value + (estimates[index.min(RESAMPLES - 1)] - value) * shrink
    };
    Some((place(0.025), place(0.975)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(cycles: u64, of: &[(u64, u64)]) -> Exceedances {
        let peaks = of.iter().map(|&(cycle, late_ns)| Peak { cycle, late_ns }).collect();
        Exceedances::new(cycles, 0, peaks).unwrap()
    }

    #[test]
    fn late_cycles_of_one_cause_are_one_event() {
        let mut late = Vec::new();
        let mut random = Random::from_seed(3);
        let mut cycle = 0;
        for event in 0..200u64 {
            cycle += 20 + super::super::whole(1000.0 * random.exponential());
            late.extend([(cycle, 50), (cycle + 1, 100 + event), (cycle + 3, 30)]);
        }
        let events = Events::of(&series(cycle + 1000, &late), &mut random);
        assert_eq!(events.peaks.len(), 200);
        assert!(events.peaks.iter().enumerate().all(|(n, peak)| peak.late_ns == 100 + n as u64));
        assert_eq!(events.longest_cycles, 4);
        let index = events.index;
        assert!(index.lower <= 1.0 / 3.0 && index.upper >= 1.0 / 3.0, "{index:?}");
        assert!(index.upper < 0.5, "{index:?}");
    }

    #[test]
    fn independent_late_cycles_are_events_of_their_own() {
        let mut random = Random::from_seed(4);
        let late: Vec<(u64, u64)> =
            (0..1_000_000).filter(|_| random.uniform() < 0.0005).map(|cycle| (cycle, 9)).collect();
        let events = Events::of(&series(1_000_000, &late), &mut random);
        assert!(events.index.value > 0.85, "{:?}", events.index);
        assert!(events.peaks.len() * 10 >= late.len() * 8, "{} {}", events.peaks.len(), late.len());
    }

    #[test]
    fn none_and_one_late_cycle_are_taken() {
        let mut random = Random::from_seed(5);
        assert!(Events::of(&series(10, &[]), &mut random).peaks.is_empty());
        let one = Events::of(&series(10, &[(3, 9)]), &mut random);
        assert_eq!((one.peaks.len(), one.longest_cycles), (1, 1));
        let all: Vec<(u64, u64)> = (0..10).map(|cycle| (cycle, 5)).collect();
        assert_eq!(Events::of(&series(10, &all), &mut random).peaks.len(), 1);
    }
}
