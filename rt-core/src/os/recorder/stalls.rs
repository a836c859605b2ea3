//! The latest cycles of a run.

/// How many of the latest cycles are kept.
pub const STALLS_MAX: usize = 32;

/// A cycle that was among the latest of its run.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stall {
    /// Cycles that it swallowed: those planned while it was late. Zero where it was late by less
    /// than a period.
    pub swallowed: u64,
    /// When the cycle was planned, in nanoseconds since the run's begin.
    pub at_ns: u64,
    /// How late it was, in nanoseconds.
    pub late_ns: u64,
}

/// The latest cycles, latest first; of equally late ones the earlier first.
///
/// A sorted array, not a heap: after a run's first moments a cycle that belongs in here is rare,
/// every other one costs a comparison, and moving at most 32 small records is cheap.
#[derive(Debug)]
pub(super) struct Stalls {
    kept: Box<[Stall; STALLS_MAX]>,
    len: usize,
}

impl Stalls {
    pub(super) fn new() -> Self {
        Self { kept: Box::new([Stall::default(); STALLS_MAX]), len: 0 }
    }

    /// Keeps `stall` if it is among the latest. At most [`STALLS_MAX`] records are moved.
    pub(super) fn record(&mut self, stall: Stall) {
        let full = self.len == STALLS_MAX;
        if stall.late_ns == 0 || (full && stall.late_ns <= self.kept[STALLS_MAX - 1].late_ns) {
            return;
        }
        let place = self.kept[..self.len].partition_point(|it| it.late_ns >= stall.late_ns);
        let end = self.len.min(STALLS_MAX - 1);
        self.kept.copy_within(place..end, place + 1);
        self.kept[place] = stall;
        self.len = end + 1;
    }

    pub(super) fn finish(self) -> Vec<Stall> {
        self.kept[..self.len].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_kept_in_order_and_of_equals_the_earlier() {
        let mut stalls = Stalls::new();
        // Every lateness of 1..=97 once, in a scattered order, and then all of them once more.
        for round in 0..2 {
            for step in 0..97 {
                let late_ns = step * 31 % 97 + 1;
                stalls.record(Stall { at_ns: round * 1_000 + step, late_ns, swallowed: 0 });
            }
        }
        stalls.record(Stall::default());
        let kept = stalls.finish();
        assert_eq!(kept.len(), STALLS_MAX);
        let expected: Vec<u64> = (0..32).map(|i| 97 - i / 2).collect();
        assert_eq!(kept.iter().map(|it| it.late_ns).collect::<Vec<_>>(), expected);
        for pair in kept.chunks(2) {
            assert_eq!(pair[0].at_ns + 1_000, pair[1].at_ns);
        }
    }
}
