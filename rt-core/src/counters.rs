//! Counters with one writer and any number of readers.
//!
//! A real-time thread counts; others look. Each value is one atomic word that is loaded and stored,
//! never read-modified-written: with a single writer that loses nothing, and it costs what an
//! ordinary variable costs (a locked add is some twenty cycles on the path of every frame). The
//! price is the rule that **one thread at a time writes**. Breaking it loses counts; it is not
//! unsound.
//!
//! Orderings are relaxed: a reader sees each counter whole and never falling, but two counters of a
//! set are not one instant's picture. Who needs "a and b at the same moment" needs the event trace.
//!
//! Two ways to use them: [`Counter::add`] counts in place; a thread that keeps plain numbers of its
//! own (as the protocol machines do) copies them out now and then with [`CounterSet::publish`].

use core::array;
use core::sync::atomic::{AtomicU64, Ordering};

/// One counter of 64 bits: one writer, any number of readers. It wraps after 584 years at one per
/// nanosecond.
#[derive(Default, Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    /// A counter at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Counts `count` more. Thread: the writer only. Real-time class: two memory accesses.
    pub fn add(&self, count: u64) {
        self.set(self.get().wrapping_add(count));
    }

    /// Counts one more. Thread: the writer only. Real-time class: two memory accesses.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Replaces the value. Thread: the writer only.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value. Thread: any.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// `N` counters of one writer, on cache lines of their own: what another thread writes next door
/// does not slow this writer down. (128 octets because x86 fetches lines in pairs.)
#[derive(Debug)]
#[repr(align(128))]
pub struct CounterSet<const N: usize> {
    cells: [Counter; N],
}

impl<const N: usize> CounterSet<N> {
    /// All at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self { cells: [const { Counter::new() }; N] }
    }

    /// The counter with this index, to count in place; none when there is no such index.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Counter> {
        self.cells.get(index)
    }

    /// Copies the writer's own numbers out for the readers. Thread: the writer only. Real-time
    /// class: `N` stores.
    pub fn publish(&self, values: &[u64; N]) {
        for (cell, value) in self.cells.iter().zip(values) {
            cell.set(*value);
        }
    }

    /// The values: each whole, together not one instant's picture. Thread: any.
    #[must_use]
    pub fn snapshot(&self) -> [u64; N] {
        array::from_fn(|index| self.cells[index].get())
    }
}

impl<const N: usize> Default for CounterSet<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_in_place_and_publishing_reach_a_reader() {
        let set = CounterSet::<3>::new();
        set.publish(&[1, 2, u64::MAX]);
        set.get(0).unwrap().increment();
        set.get(1).unwrap().add(40);
        set.get(2).unwrap().increment();
        assert_eq!(set.snapshot(), [2, 42, 0]);
        assert!(set.get(3).is_none());
    }

    #[test]
    fn a_reader_beside_the_writer_sees_each_counter_only_rise() {
        const LAST: u64 = if cfg!(miri) { 200 } else { 100_000 };
        let set = CounterSet::<2>::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for value in 1..=LAST {
                    set.publish(&[value, value << 32 | value]);
                }
            });
            let mut seen = [0; 2];
            while seen[0] < LAST || seen[1] >> 32 < LAST {
                let now = set.snapshot();
                assert!(now[0] >= seen[0] && now[1] >= seen[1], "{now:?} after {seen:?}");
                assert_eq!(now[1] >> 32, now[1] & 0xffff_ffff, "torn");
                seen = now;
                std::thread::yield_now();
            }
        });
    }

    #[test]
    fn two_sets_never_share_a_cache_line() {
        assert_eq!(align_of::<CounterSet<1>>(), 128);
        assert_eq!(size_of::<[CounterSet<1>; 2]>(), 256);
    }
}
