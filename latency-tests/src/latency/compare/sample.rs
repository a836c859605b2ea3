//! The cycles of one side: of a series, or of those of several processors together.

use crate::latency::report::{Bucket, Series};

/// Cycles, as they were owed.
#[derive(Debug)]
pub(super) struct Sample<'a> {
    /// The series that they are of.
    pub(super) parts: Vec<&'a Series>,
    /// Buckets with samples, in rising order.
    histogram: Vec<Bucket>,
    /// How many samples.
    pub(super) count: u64,
    /// The greatest, in ns.
    pub(super) max_ns: Option<u64>,
}

impl<'a> Sample<'a> {
    pub(super) fn new(parts: Vec<&'a Series>) -> Self {
        let mut all: Vec<Bucket> =
            parts.iter().flat_map(|part| part.owed.histogram.iter().copied()).collect();
        all.sort_by_key(|bucket| bucket.lowest_ns);
        let mut histogram: Vec<Bucket> = Vec::with_capacity(all.len());
        for bucket in all {
            match histogram.last_mut() {
                // The last bucket of one with overflow goes further than that of another one.
                Some(last) if last.highest_ns >= bucket.lowest_ns => {
                    last.highest_ns = last.highest_ns.max(bucket.highest_ns);
                    last.count = last.count.saturating_add(bucket.count);
                }
                _ => histogram.push(bucket),
            }
        }
        let count = histogram.iter().fold(0u64, |sum, it| sum.saturating_add(it.count));
        let max_ns = parts.iter().filter_map(|part| part.owed.max_ns).max();
        Self { parts, histogram, count, max_ns }
    }

    /// The bucket of the sample that `rank` ones, itself included, are not below; from 1 on. None
    /// where there are not so many.
    pub(super) fn at_rank_from_top(&self, rank: u64) -> Option<Bucket> {
        let mut down_to_here = 0u64;
        let reached = self.histogram.iter().rev().find(|bucket| {
            down_to_here = down_to_here.saturating_add(bucket.count);
            down_to_here >= rank
        });
        reached.copied().filter(|_| rank > 0)
    }

    /// How many samples are later than a threshold, to the histogram's precision.
    pub(super) fn later_than(&self, threshold_ns: u64) -> u64 {
        let above = self.histogram.iter().filter(|bucket| bucket.lowest_ns > threshold_ns);
        above.fold(0, |sum, bucket| sum.saturating_add(bucket.count))
    }

    /// Planned cycles that were accounted for.
    pub(super) fn cycles(&self) -> u64 {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(part.cycles()))
    }
}
