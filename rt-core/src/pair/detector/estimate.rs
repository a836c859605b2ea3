//! How often a peer that is well would be suspected, as far as a record of losses can say.
//!
//! A node suspects its peer when as many beats in a row fail on all paths as may be lost. With a
//! chance `P` that one fails on all paths, and beats that fail independently of each other, such a
//! row begins with at most `P^k` of the beats: that many of a year's are the estimate.
//!
//! What it is worth:
//! * Paths share causes (a switch's supply, a driver, a stall of the sender or of the listener),
//!   and then `P` is not the product over the paths. So there are two figures: paths that fail
//!   independently, and paths that always fail together, which makes all as good as the best one.
//!   The truth lies between.
//! * Beats that follow each other share causes too: losses come in bursts. Nothing here says so,
//!   and the estimate is too low then. What has been seen of bursts is
//!   [`super::Statistics::gap_max`], which is worth more than any estimate.
//! * What was never lost is no proof that nothing is: each chance is an upper bound, which is wrong
//!   in one of twenty records (for none lost of `n` it is `3 / n`). A short record makes a high
//!   estimate.
//!
//! So a high figure is a reason for more misses or a better network; a low one is no promise.

use core::ops::Add;

use crate::time::Duration;

const YEAR: Duration = Duration::from_secs(31_557_600);

/// What became of the beats that were sent on a path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Record {
    /// Beats that were sent.
    pub sent: u64,
    /// Those of them that did not come, or too late.
    pub failed: u64,
}

/// The chance that a beat fails on all of its paths, at most.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Chance {
    /// Where paths fail independently of each other.
    pub independent: f64,
    /// Where they fail together.
    pub together: f64,
}

impl Record {
    /// The chance that a beat fails, at most: from 0 to 1, and 1 where nothing was recorded.
    #[must_use]
    pub fn chance(&self) -> f64 {
        // A bound for the mean of a count, above the exact one (3 for none, 6.3 for two).
        let failed_at_most = (self.failed as f64) + 2.0 * (self.failed.isqrt() as f64 + 1.0) + 1.0;
        if self.sent == 0 { 1.0 } else { (failed_at_most / self.sent as f64).min(1.0) }
    }
}

impl Chance {
    /// That a beat fails on all of `paths`; 1 where there is none.
    #[must_use]
    pub fn of(paths: &[Record]) -> Self {
        let chances = paths.iter().map(Record::chance);
        Self { independent: chances.clone().product(), together: chances.fold(1.0, f64::min) }
    }

    /// How many false suspicions a year has at most, at a beat for each `heartbeat` of which
    /// `misses` in a row may be lost. Of a figure far below 1 it is the chance of one at all.
    #[must_use]
    pub fn suspicions_per_year(&self, heartbeat: Duration, misses: u32) -> Self {
        let beats = YEAR.as_nanos() as f64 / heartbeat.as_nanos().max(1) as f64;
        Self {
            independent: beats * power(self.independent, misses),
            together: beats * power(self.together, misses),
        }
    }
}

/// That a beat fails on its way there or its answer on its way back: what a lease goes by.
impl Add for Chance {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            independent: (self.independent + other.independent).min(1.0),
            together: (self.together + other.together).min(1.0),
        }
    }
}

/// By repeated squaring: there is no power without the standard library.
fn power(mut base: f64, mut exponent: u32) -> f64 {
    let mut product = 1.0;
    while exponent > 0 {
        if exponent % 2 == 1 {
            product *= base;
        }
        base *= base;
        exponent /= 2;
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_paths_that_fail_alone_are_far_better_than_two_that_fail_together() {
        let path = Record { sent: 1_000_000, failed: 900 };
        let chance = Chance::of(&[path, path]);
        // (900 + 2 × 31 + 1) / 1,000,000
        assert!((chance.together - 0.000_963).abs() < 1e-9);
        assert!((chance.independent - 0.000_963 * 0.000_963).abs() < 1e-12);
        let year = chance.suspicions_per_year(Duration::from_millis(10), 3);
        // 3.15576e9 beats × 0.000963³, and the square of that chance.
        assert!((year.together - 2.818).abs() < 0.001, "{year:?}");
        assert!(year.independent < 1e-8, "{year:?}");
    }

    #[test]
    fn a_record_without_a_loss_is_worth_its_length() {
        let chance = Record { sent: 3_000, failed: 0 }.chance();
        assert!((chance - 0.001).abs() < 1e-12);
        assert!((Record::default().chance() - 1.0).abs() < f64::EPSILON, "no record, no hope");
        assert!((Record { sent: 2, failed: u64::MAX }.chance() - 1.0).abs() < f64::EPSILON);
        assert!((Chance::of(&[]).together - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn the_bound_is_above_the_exact_one() {
        // 95 % one-sided bounds for the mean of a Poisson count.
        for (failed, exact) in [(0, 2.996), (1, 4.744), (2, 6.296), (5, 10.513), (100, 118.08)] {
            let bound = Record { sent: 1_000_000, failed }.chance() * 1_000_000.0;
            assert!(bound >= exact && bound < 2.0 * exact, "{bound} for {failed}");
        }
    }

    #[test]
    fn the_way_back_fails_too_and_one_more_miss_helps() {
        let there = Chance::of(&[Record { sent: 10_000, failed: 7 }]);
        let both = there + there;
        assert!((both.together - 2.0 * there.together).abs() < 1e-12);
        let heartbeat = Duration::from_millis(1);
        let years = [1, 2, 3].map(|it| both.suspicions_per_year(heartbeat, it).together);
        assert!(years[0] > years[1] && years[1] > years[2]);
        assert!(both.suspicions_per_year(Duration::ZERO, 0).together.is_finite());
    }
}
