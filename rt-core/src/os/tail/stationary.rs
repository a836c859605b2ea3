//! Was the series the same from its beginning to its end?
//!
//! A tail fitted to a host that warms up, or whose load changed, describes neither its past nor
//! its future. Three tests of the declustered events see three kinds of change; each is taken at a
//! third of the level, so that all together refuse a stationary series no more often than that.

use super::Peak;
use super::special::{chi_squared_above, two_sided};

/// The chance that a stationary series is refused.
pub const STATIONARITY_LEVEL: f64 = 0.05;
/// Parts in which the events are counted.
const PARTS: usize = 10;
/// Blocks whose maxima are compared: so many, and not fewer than five events for each.
const BLOCKS_MAX: usize = 50;

/// A kind of change that was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stationarity {
    /// Events become more or fewer (Laplace's test of their mean time).
    Rate,
    /// Events crowd in parts of the span (index of dispersion, chi-squared).
    Crowding,
    /// The largest lateness of blocks of time rises or falls (Mann 1945, Kendall 1975, corrected
    /// for equal values).
    Trend,
}

impl std::fmt::Display for Stationarity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Rate => "events become more or fewer",
            Self::Crowding => "events crowd in parts of it",
            Self::Trend => "the largest lateness has a trend",
        })
    }
}

/// The test that speaks most against `events` of a span of `cycles` being alike over time, and its
/// p-value, corrected for there being three tests (Bonferroni).
pub(super) fn stationarity(events: &[Peak], cycles: u64, threshold_ns: u64) -> (Stationarity, f64) {
    let tests = [
        (Stationarity::Rate, rate(events, cycles)),
        (Stationarity::Crowding, crowding(events, cycles)),
        (Stationarity::Trend, trend(events, cycles, threshold_ns)),
    ];
    let mut least = tests[0];
    for test in tests {
        if test.1 < least.1 {
            least = test;
        }
    }
    (least.0, (least.1 * tests.len() as f64).min(1.0))
}

/// Where the rate rises or falls the events lie late or early in the span on average. Comparing
/// the numbers of the two halves was the alternative: it forgets where in its half an event lies,
/// and misses a slow drift more often.
fn rate(events: &[Peak], cycles: u64) -> f64 {
    let time = |event: &Peak| (event.cycle as f64 + 0.5) / cycles as f64 - 0.5;
    let mean = events.iter().map(time).sum::<f64>() / events.len() as f64;
    two_sided(mean * (12.0 * events.len() as f64).sqrt())
}

fn crowding(events: &[Peak], cycles: u64) -> f64 {
    let mut counts = [0.0f64; PARTS];
    for event in events {
        counts[super::part(event.cycle, cycles, PARTS)] += 1.0;
    }
    let mean = events.len() as f64 / PARTS as f64;
    let squares: f64 = counts.iter().map(|count| (count - mean).powi(2)).sum();
    chi_squared_above(squares / mean, (PARTS - 1) as f64)
}

fn trend(events: &[Peak], cycles: u64, threshold_ns: u64) -> f64 {
    let blocks = (events.len() / 5).clamp(10, BLOCKS_MAX);
    let mut maxima = vec![threshold_ns; blocks];
    for event in events {
        let block = &mut maxima[super::part(event.cycle, cycles, blocks)];
        *block = event.late_ns.max(*block);
    }
    mann_kendall(&maxima)
}

/// The two-sided p-value of Mann and Kendall's test for a trend.
fn mann_kendall(values: &[u64]) -> f64 {
    let mut score = 0i32;
    for (index, early) in values.iter().enumerate() {
        for late in &values[index + 1..] {
            score += match late.cmp(early) {
                std::cmp::Ordering::Less => -1,
                std::cmp::Ordering::Equal => 0,
                std::cmp::Ordering::Greater => 1,
            };
        }
    }
    let spread = |count: f64| count * (count - 1.0) * (2.0 * count + 5.0) / 18.0;
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let equal: f64 = sorted.chunk_by(|a, b| a == b).map(|same| spread(same.len() as f64)).sum();
    let variance = spread(values.len() as f64) - equal;
    if variance <= 0.0 {
        return 1.0;
    }
    let score = (f64::from(score).abs() - 1.0).max(0.0);
    two_sided(score / variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    const CYCLES: u64 = 100_000;

    fn refused(rate: impl Fn(f64) -> f64, size: impl Fn(f64) -> f64) -> Vec<Option<Stationarity>> {
        let mut random = Random::from_seed(41);
        let once = |random: &mut Random| {
            let mut events = Vec::new();
            for cycle in (0..CYCLES).step_by(10) {
                let time = cycle as f64 / CYCLES as f64;
                if random.uniform() < 0.03 * rate(time) {
                    let late = 1e6 * size(time) * random.exponential();
                    events.push(Peak { cycle, late_ns: 1 + super::super::whole(late) });
                }
            }
            let (test, p_value) = stationarity(&events, CYCLES, 0);
            (p_value < STATIONARITY_LEVEL).then_some(test)
        };
        (0..400).map(|_| once(&mut random)).collect()
    }

    #[test]
    fn a_stationary_series_is_refused_no_more_often_than_stated() {
        let found = refused(|_| 1.0, |_| 1.0);
        // 5 % of 400 is 20; three standard deviations more.
        assert!(found.iter().flatten().count() <= 33, "{found:?}");
    }

    #[test]
    fn each_kind_of_change_is_seen_by_a_test_for_it() {
        let share = |found: &[Option<Stationarity>], test| {
            found.iter().filter(|&&one| one == Some(test)).count()
        };
        let rate = refused(|time| 0.7 + 0.6 * time, |_| 1.0);
        assert!(share(&rate, Stationarity::Rate) > 200);
        let crowds = refused(|time| if (0.4..0.6).contains(&time) { 2.5 } else { 0.6 }, |_| 1.0);
        assert!(share(&crowds, Stationarity::Crowding) > 390);
        let trend = refused(|_| 1.0, |time| 1.0 + 2.0 * time);
        assert!(share(&trend, Stationarity::Trend) > 300);
    }

    #[test]
    fn mann_and_kendalls_test_takes_equal_values() {
        assert!((mann_kendall(&[5; 20]) - 1.0).abs() < 1e-12);
        let rising: Vec<u64> = (0..20).collect();
        assert!(mann_kendall(&rising) < 1e-6);
    }
}
