//! What one side's figure may be, at 95 %, and from two of them what the difference may be.
//!
//! A percentile lies between two samples, whose ranks follow from how many samples may be above it
//! (the binomial law, of as many cycles as there are independent ones): nothing is assumed of the
//! shape of the distribution. A bucket's width is added on either side.
//!
//! The interval of a difference is made of the two by the square root of squares, each side's own
//! (Zou and Donner's method, for shares it is Newcombe's): an interval that is longer upwards stays
//! so, which that of a mean and a deviation cannot say.

use serde::{Deserialize, Serialize};

use super::dispersion::{self, Unknown};
use super::sample::Sample;

/// The normal law's 97.5 %.
const Z: f64 = 1.959_964;
/// In how many of all times a figure may lie on one side of its interval.
const ONE_SIDE: f64 = 0.025;
/// With a larger variance the normal law stands for the binomial one.
const VARIANCE_EXACT: f64 = 200.0;

/// A figure and its 95 % interval.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// The interval's lower end; null where nothing can be said.
    pub lower: Option<f64>,
    /// The interval's upper end; null where nothing can be said.
    pub upper: Option<f64>,
}

impl Estimate {
    /// A figure without an interval.
    pub(super) const fn bare(value: f64) -> Self {
        Self { value, lower: None, upper: None }
    }

    /// With both ends.
    pub(super) fn ends(&self) -> Option<[f64; 3]> {
        Some([self.lower?, self.value, self.upper?])
    }
}

/// A percentile, in ns, that `parts` in a million of all samples are above; or its bare value, and
/// why there is no interval.
pub(super) fn percentile(
    sample: &Sample<'_>,
    parts: u64,
) -> Result<(Estimate, Option<Unknown>), Unknown> {
    let count = sample.count;
    let (later, rank) = ranks(count, parts);
    let here = sample.at_rank_from_top(rank).ok_or("no samples")?;
    let max_ns = sample.max_ns.unwrap_or(u64::MAX);
    let value = here.highest_ns.min(max_ns) as f64;
    let interval = || {
        let level_ns = here.lowest_ns.saturating_sub(1);
        let dispersion = dispersion::at_level(sample, level_ns, later)?;
        let share = parts as f64 / 1e6;
        let independent = count as f64 / dispersion;
        let [fewest, most] = counts(independent, share);
        if fewest < 1.0 {
            let later = later as f64 / dispersion;
            return Err(format!(
                "{later:.1} independent samples are later than it, an interval needs 3.7"
            ));
        }
        let top = whole((fewest - 1.0) * dispersion).saturating_add(1);
        let bottom = whole((most * dispersion).ceil());
        let few = || "too few samples are below it".to_owned();
        let lower = sample.at_rank_from_top(bottom).ok_or_else(few)?;
        let upper = sample.at_rank_from_top(top).ok_or_else(few)?;
        let [lower, upper] = [lower.lowest_ns, upper.highest_ns.min(max_ns)].map(|it| it as f64);
        Ok([lower.min(value), upper.max(value)])
    };
    Ok(match interval() {
        Ok([lower, upper]) => (Estimate { value, lower: Some(lower), upper: Some(upper) }, None),
        Err(why) => (Estimate::bare(value), Some(why)),
    })
}

/// Of so many samples, how many are above a percentile, and its rank from the top.
fn ranks(count: u64, parts: u64) -> (u64, u64) {
    let below =
        (u128::from(count) * u128::from(1_000_000 - parts.min(1_000_000))).div_ceil(1_000_000);
    let below = u64::try_from(below).unwrap_or(count).clamp(1, count.max(1));
    (count.saturating_sub(below), count.saturating_sub(below).saturating_add(1))
}

/// From and to how many of `count` independent samples may be above a level that the share `share`
/// is above: ranks from the top that are surely above it, and surely below.
fn counts(count: f64, share: f64) -> [f64; 2] {
    let mean = count * share;
    let variance = mean * (1.0 - share);
    if variance > VARIANCE_EXACT {
        let wide = Z * variance.sqrt();
        return [(mean - wide - 0.5).floor(), (mean + wide + 1.5).ceil()];
    }
    let mut chance = (count * (1.0 - share).ln()).exp();
    let (mut up_to_here, mut at) = (chance, 0.0);
    let mut fewest = 0.0;
    // At most as many steps as the mean and some deviations: below 1,000.
    while up_to_here < 1.0 - ONE_SIDE && at < count {
        if up_to_here <= ONE_SIDE {
            fewest = at + 1.0;
        }
        chance *= (count - at).max(0.0) / (at + 1.0) * share / (1.0 - share);
        at += 1.0;
        up_to_here += chance;
    }
    [fewest, at + 1.0]
}

/// A share of cycles, of which one is as good as `1 / dispersion` independent ones: Wilson's
/// interval, which holds for none at all, too.
pub(super) fn share(events: u64, cycles: u64, dispersion: f64) -> Estimate {
    let independent = (cycles as f64 / dispersion).max(1.0);
    let value = events as f64 / (cycles as f64).max(1.0);
    let square = Z * Z / independent;
    let middle = (value + square / 2.0) / (1.0 + square);
    let wide =
        (value * (1.0 - value) * square + square * square / 4.0).max(0.0).sqrt() / (1.0 + square);
    let [lower, upper] = [(middle - wide).max(0.0).min(value), (middle + wide).max(value)];
    Estimate { value, lower: Some(lower), upper: Some(upper) }
}

/// What the second is more than the first.
pub(super) fn difference(before: &Estimate, after: &Estimate) -> Estimate {
    let value = after.value - before.value;
    let Some(([a_low, a, a_high], [b_low, b, b_high])) = before.ends().zip(after.ends()) else {
        return Estimate::bare(value);
    };
    Estimate {
        value,
        lower: Some(value - (b - b_low).hypot(a_high - a)),
        upper: Some(value + (b_high - b).hypot(a - a_low)),
    }
}

/// How many times the first the second is; none where one is zero.
pub(super) fn ratio(before: &Estimate, after: &Estimate) -> Option<Estimate> {
    if before.value <= 0.0 || after.value <= 0.0 {
        return None;
    }
    // An end at zero is as good as one far below the figure.
    let logarithm = |it: &Estimate| {
        let end = |end: f64| end.max(it.value * 1e-9).ln();
        Estimate { value: it.value.ln(), lower: it.lower.map(end), upper: it.upper.map(end) }
    };
    let found = difference(&logarithm(before), &logarithm(after));
    Some(Estimate {
        value: after.value / before.value,
        lower: found.lower.map(f64::exp),
        upper: found.upper.map(f64::exp),
    })
}

/// The whole part of a figure; 0 below it, and the largest number beyond that.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and that is what is wanted of ranks"
)]
const fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_binomial_law() {
        // W. J. Conover, Practical Nonparametric Statistics: of 20 samples the 6th and the 15th
        // hold the middle one.
        assert_eq!(counts(20.0, 0.5), [6.0, 15.0]);
        assert_eq!(counts(6.0, 0.5), [1.0, 6.0]);
        assert_eq!(counts(40.0, 0.5), [14.0, 27.0]);
        // Too few for an upper end.
        assert_eq!(counts(30_000.0, 0.0001)[0], 0.0);
        assert_eq!(counts(40_000.0, 0.0001)[0], 1.0);
        // Where one law takes over from the other they say the same.
        let [exact, normal] = [799.0, 801.0].map(|count| counts(count, 0.5));
        assert!((exact[0] - normal[0]).abs() <= 2.0 && (exact[1] - normal[1]).abs() <= 3.0);
    }

    #[test]
    fn shares_and_their_differences_are_those_of_the_tables() {
        // R. G. Newcombe, Statistics in Medicine 17 (1998) 873, table II: 56/70 and 48/80.
        let [a, b] = [share(48, 80, 1.0), share(56, 70, 1.0)];
        let difference = difference(&a, &b);
        assert!((difference.value - 0.2).abs() < 1e-9);
        assert!((difference.lower.unwrap() - 0.0524).abs() < 5e-4, "{difference:?}");
        assert!((difference.upper.unwrap() - 0.3339).abs() < 5e-4, "{difference:?}");
        let none = share(0, 1_000, 1.0);
        assert!(none.lower == Some(0.0) && (none.upper.unwrap() - 0.003_83).abs() < 1e-5);
    }

    #[test]
    fn a_ratio_is_between_the_ratios_of_the_ends() {
        let estimate =
            |lower, value, upper| Estimate { value, lower: Some(lower), upper: Some(upper) };
        let found = ratio(&estimate(90.0, 100.0, 110.0), &estimate(190.0, 200.0, 220.0)).unwrap();
        assert!((found.value - 2.0).abs() < 1e-9);
        assert!(found.lower.unwrap() > 190.0 / 110.0 && found.upper.unwrap() < 220.0 / 90.0);
        assert_eq!(ratio(&estimate(0.0, 0.0, 1.0), &estimate(1.0, 2.0, 3.0)), None);
    }
}
