//! One way of counting a run's cycles: a histogram, and exactly what a histogram only knows nearly.

use std::fmt;
use std::hint;

use hdrhistogram::Histogram;

/// Significant decimal digits of a histogram.
const DIGITS: u8 = 3;

/// The distribution of lateness in one way of counting.
///
/// The histogram holds every sample. One above its bound stands in the last place, at the bound,
/// and is counted in `overflow`; the extremes and the sum know its true value. A bucket is at most
/// a thousandth of its values wide (values below 2,048 ns have one each).
#[derive(Clone)]
pub struct View {
    /// Samples by lateness in nanoseconds. Its range is fixed: it never grows.
    pub histogram: Histogram<u64>,
    /// The bound, in nanoseconds: what is above is counted, not resolved.
    pub highest_ns: u64,
    /// Samples above the bound.
    pub overflow: u64,
    /// The least sample, exactly, in nanoseconds; `u64::MAX` without samples.
    pub min_ns: u64,
    /// The greatest sample, exactly, in nanoseconds, above the bound or not.
    pub max_ns: u64,
    /// When the cycle of the greatest sample was planned (the first of several), in nanoseconds
    /// since the run's begin. The sample itself ended `max_ns` later.
    pub max_at_ns: u64,
    /// The sum of all samples, exactly, in nanoseconds.
    pub sum_ns: u128,
}

/// A bucket of a histogram that holds samples.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bucket {
    /// Samples.
    pub count: u64,
    /// The least value that belongs here, in nanoseconds.
    pub lowest_ns: u64,
    /// The greatest value that belongs here, in nanoseconds; in the last bucket of a view with
    /// overflow the greatest sample.
    pub highest_ns: u64,
}

impl View {
    /// Without samples, in memory that was touched. None where `highest_ns` cannot be a bound.
    pub(super) fn new(highest_ns: u64) -> Option<Self> {
        let mut histogram = Histogram::new_with_bounds(1, highest_ns, DIGITS).ok()?;
        // Writes zeroes over zeroes, which the compiler must not find out.
        hint::black_box(&mut histogram).reset();
        Some(Self {
            histogram,
            highest_ns,
            overflow: 0,
            min_ns: u64::MAX,
            max_ns: 0,
            max_at_ns: 0,
            sum_ns: 0,
        })
    }

    /// Takes in one sample, of the cycle planned at `at_ns`.
    pub(super) fn record(&mut self, value_ns: u64, at_ns: u64) {
        self.extremes(value_ns, value_ns, at_ns);
        self.overflow += u64::from(value_ns > self.highest_ns);
        self.histogram.saturating_record(value_ns.min(self.highest_ns));
        self.sum_ns += u128::from(value_ns);
    }

    /// Takes in `count` samples that fall by `step_ns` each from `first_ns`; none falls below zero.
    /// The first is of the cycle planned at `at_ns`. Its work is bounded by the histogram's number
    /// of buckets, not by `count`: samples of one bucket are counted in one step.
    pub(super) fn record_falling(&mut self, first_ns: u64, step_ns: u64, count: u64, at_ns: u64) {
        if count == 0 {
            return;
        }
        debug_assert!(u128::from(first_ns) >= u128::from(step_ns) * u128::from(count - 1));
        let last_ns = first_ns.saturating_sub(step_ns.saturating_mul(count - 1));
        self.extremes(last_ns, first_ns, at_ns);
        let pairs = u128::from(count) * u128::from(count - 1) / 2;
        self.sum_ns += u128::from(count) * u128::from(first_ns);
        self.sum_ns -= u128::from(step_ns) * pairs;
        // Those above the bound all stand at the bound.
        let above = first_ns.saturating_sub(self.highest_ns).div_ceil(step_ns).min(count);
        if above > 0 {
            self.overflow += above;
            self.histogram.saturating_record_n(self.highest_ns, above);
        }
        let mut left = count - above;
        let mut value = first_ns.saturating_sub(step_ns.saturating_mul(above));
        while left > 0 {
            let room = value - self.histogram.lowest_equivalent(value);
            let here = if room < step_ns { 1 } else { (room / step_ns + 1).min(left) };
            self.histogram.saturating_record_n(value, here);
            value = value.saturating_sub(step_ns.saturating_mul(here));
            left -= here;
        }
    }

    fn extremes(&mut self, least_ns: u64, greatest_ns: u64, at_ns: u64) {
        self.min_ns = self.min_ns.min(least_ns);
        if greatest_ns > self.max_ns || self.samples() == 0 {
            self.max_ns = greatest_ns;
            self.max_at_ns = at_ns;
        }
    }

    /// How many samples there are. Real-time class: one memory access.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.histogram.len()
    }

    /// The mean in nanoseconds, exact but for the division. None without samples.
    #[must_use]
    pub fn mean_ns(&self) -> Option<f64> {
        let samples = self.samples();
        (samples > 0).then(|| self.sum_ns as f64 / samples as f64)
    }

    /// The value that the share `parts / of` of all samples does not exceed, in nanoseconds: the
    /// sample of rank `ceil(samples * parts / of)`, rounded up to its bucket's end. So it is never
    /// too low, and too high by less than a thousandth; where the rank falls among the samples
    /// above the bound it is the greatest sample. 99.99 % is `(9_999, 10_000)`. None without
    /// samples. Not for a real-time thread: it walks through the histogram.
    #[must_use]
    pub fn quantile_ns(&self, parts: u64, of: u64) -> Option<u64> {
        let samples = self.samples();
        let share = u128::from(samples) * u128::from(parts.min(of));
        let rank = u64::try_from(share.div_ceil(u128::from(of.max(1)))).ok()?.max(1);
        if samples.saturating_sub(self.overflow) < rank {
            return (samples > 0).then_some(self.max_ns);
        }
        let mut up_to_here = 0;
        let reached = self.histogram.iter_recorded().find(|it| {
            up_to_here += it.count_at_value();
            up_to_here >= rank
        });
        let end = |value| self.histogram.highest_equivalent(value).min(self.max_ns);
        reached.map(|it| end(it.value_iterated_to()))
    }

    /// The buckets that hold samples, in rising order. Not for a real-time thread.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        let bound = self.histogram.highest_equivalent(self.highest_ns);
        self.histogram.iter_recorded().map(move |it| {
            let value = it.value_iterated_to();
            let highest_ns = self.histogram.highest_equivalent(value);
            let overflown = self.overflow > 0 && highest_ns == bound;
            Bucket {
                count: it.count_at_value(),
                lowest_ns: self.histogram.lowest_equivalent(value),
                highest_ns: if overflown { self.max_ns } else { highest_ns },
            }
        })
    }

    /// Takes in the samples of `other`, whose bound is the same.
    pub(super) fn merge(&mut self, other: &Self) {
        if other.samples() == 0 {
            return;
        }
        self.extremes(other.min_ns, other.max_ns, other.max_at_ns);
        self.overflow += other.overflow;
        self.sum_ns += other.sum_ns;
        let added = self.histogram.add(&other.histogram);
        debug_assert!(added.is_ok(), "histograms of the same bound have the same buckets");
    }
}

impl fmt::Debug for View {
    // Without the histogram's tens of thousands of counts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("samples", &self.samples())
            .field("highest_ns", &self.highest_ns)
            .field("overflow", &self.overflow)
            .field("min_ns", &self.min_ns)
            .field("max_ns", &self.max_ns)
            .field("max_at_ns", &self.max_at_ns)
            .field("sum_ns", &self.sum_ns)
            .finish_non_exhaustive()
    }
}
