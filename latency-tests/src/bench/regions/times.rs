//! Times with fixed bounds, as they travel between processes and into the results.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The longest that is told from longer ones: a minute.
const NS_MAX: u64 = 60_000_000_000;
/// A percentile is told from this many times beyond it on.
const BEYOND_MIN: f64 = 1.0;

/// Times in ns, to three digits.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Times {
    histogram: Histogram<u64>,
}

impl Times {
    /// Adds one.
    pub fn record(&mut self, ns: u64) {
        self.histogram.saturating_record(ns.max(1));
    }

    /// Adds all of `other`.
    pub fn add(&mut self, other: &Self) {
        for step in other.histogram.iter_recorded() {
            self.histogram.saturating_record_n(step.value_iterated_to(), step.count_at_value());
        }
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The time that so many of a hundred do not exceed; none where there are too few to tell.
    #[must_use]
    pub fn percentile_ns(&self, percentile: f64) -> Option<u64> {
        let beyond = self.count() as f64 * (100.0 - percentile) / 100.0;
        // 99.99 is no binary fraction.
        (beyond > BEYOND_MIN - 1e-6).then(|| self.histogram.value_at_percentile(percentile))
    }

    /// The middle; zero of none.
    #[must_use]
    pub fn median_ns(&self) -> f64 {
        self.histogram.value_at_quantile(0.5) as f64
    }

    /// The longest; zero of none.
    #[must_use]
    pub fn max_ns(&self) -> u64 {
        self.histogram.max()
    }
}

impl Default for Times {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, NS_MAX, 3);
        Self { histogram: histogram.expect("1 to a minute with 3 digits are bounds") }
    }
}

/// A text that holds no times.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no `TIME_NS:COUNT`")]
pub struct WrongTimes(String);

/// `TIME_NS:COUNT`, separated by spaces: a hundredth of the lines that a list would take.
impl TryFrom<String> for Times {
    type Error = WrongTimes;

    fn try_from(text: String) -> Result<Self, WrongTimes> {
        let mut times = Self::default();
        for part in text.split_whitespace() {
            let numbers = part.split_once(':');
            let numbers = numbers.and_then(|(ns, count)| ns.parse().ok().zip(count.parse().ok()));
            let (ns, count): (u64, u64) = numbers.ok_or_else(|| WrongTimes(part.to_owned()))?;
            times.histogram.saturating_record_n(ns.max(1), count);
        }
        Ok(times)
    }
}

impl From<Times> for String {
    fn from(times: Times) -> Self {
        let recorded = times.histogram.iter_recorded();
        let parts: Vec<Self> = recorded
            .map(|step| format!("{}:{}", step.value_iterated_to(), step.count_at_value()))
            .collect();
        parts.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_travel_whole() {
        let mut times = Times::default();
        for ns in [0, 90, 90, 123_456, 98_765_432, u64::MAX] {
            times.record(ns);
        }
        let text = serde_json::to_string(&times).unwrap();
        let back: Times = serde_json::from_str(&text).unwrap();
        assert_eq!(back.count(), 6);
        assert_eq!(back.median_ns(), times.median_ns());
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
        let mut both = times.clone();
        both.add(&back);
        assert_eq!((both.count(), both.max_ns()), (12, back.max_ns()));
        for wrong in ["1", "1:", ":1", "1:2:3", "-1:2"] {
            assert!(Times::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_percentile_of_too_few_is_none() {
        let mut times = Times::default();
        (1..=9_999).for_each(|ns| times.record(ns));
        assert!(times.percentile_ns(99.0).is_some());
        assert_eq!(times.percentile_ns(99.99), None);
        times.record(5);
        assert!(times.percentile_ns(99.99).is_some());
    }
}
