//! When each payload is due: an absolute schedule, so that a late one does not delay the next.

use rt_core::time::{Duration, Instant};

/// The schedule of a sender.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    start: Instant,
    per_second: u64,
    burst: u64,
}

impl Pace {
    /// `per_second` payloads in a second from `start` on, in groups of `burst` that are due
    /// together. Zero per second: all are due at once.
    #[must_use]
    pub fn new(start: Instant, per_second: u64, burst: u64) -> Self {
        Self { start, per_second, burst: burst.max(1) }
    }

    /// When payload `number` is due.
    #[must_use]
    pub fn due(&self, number: u64) -> Instant {
        if self.per_second == 0 {
            return self.start;
        }
        let first = number - number % self.burst;
        let nanos = u128::from(first) * 1_000_000_000 / u128::from(self.per_second);
        self.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// How well a sender kept its schedule.
#[derive(Clone, Copy, Debug, Default)]
pub struct Punctuality {
    back_to_back: u64,
    /// The longest run of payloads that were sent without waiting in between.
    pub burst_longest: u64,
    /// The most that a payload was sent after its instant.
    pub late_ns_max: u64,
}

impl Punctuality {
    /// Notes that a payload due at `due` was sent at `at`, after a wait or without.
    pub fn sent(&mut self, due: Instant, at: Instant, waited: bool) {
        self.back_to_back = if waited { 1 } else { self.back_to_back + 1 };
        self.burst_longest = self.burst_longest.max(self.back_to_back);
        self.late_ns_max = self.late_ns_max.max(at.since(due).as_nanos());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_absolute_and_does_not_drift() {
        let pace = Pace::new(Instant::from_nanos(5), 3, 1);
        assert_eq!(pace.due(1), Instant::from_nanos(333_333_338));
        assert_eq!(pace.due(3_000_000), Instant::from_nanos(1_000_000_000_000_005));
    }

    #[test]
    fn a_burst_is_due_together_at_the_same_mean_rate() {
        let pace = Pace::new(Instant::ORIGIN, 1_000, 10);
        assert_eq!(pace.due(9), pace.due(0));
        assert_eq!(pace.due(10), Instant::from_nanos(10_000_000));
        assert_eq!(Pace::new(Instant::ORIGIN, 0, 1).due(99), Instant::ORIGIN);
    }
}
