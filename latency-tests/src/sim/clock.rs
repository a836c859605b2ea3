//! A node's clock.

use rt_core::time::{Duration, Instant};

/// Steady, at its own rate, and standing still where its host is a guest that does. True time is in
/// nanoseconds since the run began.
#[derive(Clone, Debug)]
pub struct Clock {
    /// What it showed when it was looked at last for good.
    base: Instant,
    /// When that was.
    since: u64,
    /// How much faster than true time it runs, in parts per million.
    fast_ppm: i64,
    stands: bool,
}

impl Clock {
    /// A clock that shows `base` when the run begins.
    #[must_use]
    pub const fn new(base: Instant, fast_ppm: i64) -> Self {
        Self { base, since: 0, fast_ppm, stands: false }
    }

    /// What it shows.
    #[must_use]
    pub fn at(&self, now: u64) -> Instant {
        if self.stands {
            return self.base;
        }
        let span = i128::from(now.saturating_sub(self.since));
        let own = span + span * i128::from(self.fast_ppm) / 1_000_000;
        self.base + Duration::from_nanos(u64::try_from(own).unwrap_or(0))
    }

    /// The first instant of true time at which it shows `instant` or more; none while it stands
    /// still before it.
    #[must_use]
    pub fn when(&self, instant: Instant) -> Option<u64> {
        let ahead = i128::from(instant.since(self.base).as_nanos());
        if ahead == 0 {
            return Some(self.since);
        }
        if self.stands || instant == Instant::FAR_FUTURE {
            return None;
        }
        let rate = 1_000_000 + i128::from(self.fast_ppm);
        let span = (ahead * 1_000_000 + rate - 1) / rate;
        // Rounding may leave it a nanosecond short, or one too far.
        let at = self.since.saturating_add(u64::try_from(span).unwrap_or(u64::MAX));
        [at.saturating_sub(1), at].into_iter().find(|at| self.at(*at) >= instant).or(Some(at + 1))
    }

    /// From now on it runs at this rate.
    pub fn set_rate(&mut self, now: u64, fast_ppm: i64) {
        self.settle(now);
        self.fast_ppm = fast_ppm;
    }

    /// From now on it stands still, or goes on from where it stood.
    pub fn set_standing(&mut self, now: u64, stands: bool) {
        self.settle(now);
        self.stands = stands;
    }

    fn settle(&mut self, now: u64) {
        self.base = self.at(now);
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_an_instant_first_when_it_says() {
        for fast_ppm in [-2_000, -500, 0, 1, 333, 500, 2_000] {
            let mut clock = Clock::new(Instant::from_nanos(1_000), fast_ppm);
            clock.set_rate(77, fast_ppm + 1);
            for ahead in [0, 1, 2, 999, 1_000_000, 123_456_789_012] {
                let instant = Instant::from_nanos(5_000 + ahead);
                let at = clock.when(instant).unwrap();
                assert!(clock.at(at) >= instant, "{fast_ppm} {ahead}");
                assert!(clock.at(at - 1) < instant, "{fast_ppm} {ahead}");
            }
        }
    }

    #[test]
    fn a_clock_that_stands_goes_on_from_there() {
        let mut clock = Clock::new(Instant::ORIGIN, 0);
        clock.set_standing(100, true);
        assert_eq!(clock.at(500), Instant::from_nanos(100));
        assert_eq!(clock.when(Instant::from_nanos(101)), None);
        clock.set_standing(600, false);
        assert_eq!(clock.at(650), Instant::from_nanos(150));
    }
}
