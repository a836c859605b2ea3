//! A figure that was measured several times.

use serde::{Deserialize, Serialize};

/// Least, middle and greatest of the rounds, and the rounds themselves in the order in which they
/// ran. The middle is what counts; the other two are the noise.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The one in the middle (the lower one of an even number).
    pub median: f64,
    /// The greatest.
    pub max: f64,
    /// All, in order.
    pub rounds: Vec<f64>,
}

impl Spread {
    /// The spread of these rounds; zeros when there are none.
    #[must_use]
    pub fn of(rounds: Vec<f64>) -> Self {
        let mut sorted = rounds.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or(0.0);
        let last = sorted.len().saturating_sub(1);
        Self { min: at(0), median: at(last / 2), max: at(last), rounds }
    }

    /// The same rounds, each changed by `change`.
    #[must_use]
    pub fn map(&self, change: impl Fn(f64) -> f64) -> Self {
        Self::of(self.rounds.iter().map(|&value| change(value)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_one_of_the_rounds() {
        let spread = Spread::of(vec![3.0, 1.0, 2.0]);
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.0, 3.0));
        assert_eq!(spread.rounds, [3.0, 1.0, 2.0]);
        assert_eq!(Spread::of(vec![4.0, 1.0]).median, 1.0);
        assert_eq!(Spread::of(Vec::new()).max, 0.0);
        // A falling change turns least and greatest round.
        assert_eq!(spread.map(|value| 6.0 / value).min, 2.0);
    }
}
