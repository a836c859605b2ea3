//! The time that the LRE is told.
//!
//! Its base goes on while the machine sleeps: what duplicate discard and the node table know has
//! grown old by the time slept, for the other nodes went on meanwhile and nothing was heard of
//! them.
//!
//! A process that did not run for a while, although the machine did (stopped, starved by others),
//! is another matter. What came in that time waits in the ports' rings, first copies and second
//! ones. If the thread's pause counted, the entries of frames whose first copy was handled before
//! it would be dead by the time the second copy is taken out of the ring, and it would be delivered
//! again. So where nothing was missed, the pause does not count: the clock is held back by it.
//! Where the rings ran over, or the pause was so long that a fast sender's numbers may have come
//! round, it counts: better a frame twice than one lost.
//!
//! Rejected: the times at which the kernel received the frames (a clock that is stepped), and to
//! age by frames instead of time (a quiet network would remember for ever).
//!
//! Pure: both readings are handed in. Real-time class: stores and comparisons.

use rt_core::time::{Duration, Instant};

/// A turn that comes later than it should by no more than this is nothing special: a small part of
/// EntryForgetTime.
const SLACK: Duration = Duration::from_millis(20);
/// A longer pause always counts.
const HELD_AT_ONCE_MAX: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LreClock {
    /// What is held back, of all pauses.
    held: Duration,
    /// How long the machine had slept when this was last asked.
    suspended: Duration,
    /// Until when the next turn is on time.
    due: Instant,
    /// When the next turn should come at the latest.
    expected: Instant,
}

/// A pause of the thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pause {
    /// By how much the turn was late.
    pub length: Duration,
    /// How it counts.
    pub counts: Counts,
}

/// How a pause counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counts {
    /// Not at all: nothing was missed.
    Not,
    /// As time: frames were missed, or may have been.
    Missed,
    /// As time: the machine was suspended.
    Slept,
}

impl LreClock {
    /// Starts at `boot`, the present instant of the clock that does not stand still.
    #[must_use]
    pub fn new(boot: Instant, suspended: Duration) -> Self {
        Self { held: Duration::ZERO, suspended, due: boot + SLACK, expected: boot }
    }

    /// What the LRE is told at `boot`.
    #[inline]
    #[must_use]
    pub fn at(&self, boot: Instant) -> Instant {
        Instant::from_nanos(boot.as_nanos().saturating_sub(self.held.as_nanos()))
    }

    /// By how much the LRE's time is behind.
    #[must_use]
    pub const fn held(&self) -> Duration {
        self.held
    }

    /// Whether the turn that begins at `boot` is later than expected.
    #[inline]
    #[must_use]
    pub fn is_late(&self, boot: Instant) -> bool {
        boot > self.due
    }

    /// Says when the next turn is expected at the latest.
    #[inline]
    pub fn expect(&mut self, at_the_latest: Instant) {
        self.expected = at_the_latest;
        self.due = at_the_latest + SLACK;
    }

    /// Judges a turn that is late. `suspended` is how long the machine has slept since boot,
    /// `missed` whether a port lost frames since the turn before.
    pub fn judge(&mut self, boot: Instant, suspended: Duration, missed: bool) -> Pause {
        let length = boot.since(self.expected);
        let slept = suspended.saturating_sub(self.suspended);
        self.suspended = self.suspended.max(suspended);
        let counts = if slept >= SLACK {
            Counts::Slept
        } else if missed || length > HELD_AT_ONCE_MAX {
            Counts::Missed
        } else {
            self.held =
                Duration::from_nanos(self.held.as_nanos().saturating_add(length.as_nanos()));
            Counts::Not
        };
        Pause { length, counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_turn_on_time_is_told_the_time() {
        let mut clock = LreClock::new(at(1000), ms(500));
        assert!(!clock.is_late(at(1001)));
        assert_eq!(clock.at(at(1001)), at(1001));
        clock.expect(at(1100));
        assert!(!clock.is_late(at(1120)));
        assert!(clock.is_late(at(1121)));
    }

    #[test]
    fn a_pause_in_which_nothing_was_missed_does_not_count() {
        let mut clock = LreClock::new(at(1000), ms(0));
        clock.expect(at(1100));
        let pause = clock.judge(at(1900), ms(0), false);
        assert_eq!(pause, Pause { length: ms(800), counts: Counts::Not });
        // What was born at 1000 is 100 old at the most, not 900.
        assert_eq!(clock.at(at(1900)), at(1100));
        assert_eq!(clock.held(), ms(800));
        // Pauses add up, and time goes on between them.
        clock.expect(at(2000));
        clock.judge(at(2050), ms(0), false);
        assert_eq!(clock.at(at(2051)), at(1201));
    }

    #[test]
    fn a_pause_counts_when_frames_were_missed_or_it_was_long() {
        for (end, missed) in [(1900, true), (4101, false), (900_000, false)] {
            let mut clock = LreClock::new(at(1000), ms(0));
            clock.expect(at(1100));
            assert_eq!(clock.judge(at(end), ms(0), missed).counts, Counts::Missed);
            assert_eq!(clock.at(at(end)), at(end));
        }
    }

    #[test]
    fn sleep_counts_however_short_and_whatever_came() {
        let mut clock = LreClock::new(at(1000), ms(70));
        clock.expect(at(1100));
        let pause = clock.judge(at(1500), ms(400), false);
        assert_eq!(pause, Pause { length: ms(400), counts: Counts::Slept });
        assert_eq!(clock.at(at(1500)), at(1500));
        // The next pause is judged by itself.
        clock.expect(at(1600));
        assert_eq!(clock.judge(at(1700), ms(400), false).counts, Counts::Not);
        // A reading that was disturbed tells too little once, and no sleep the next time.
        clock.expect(at(1700));
        assert_eq!(clock.judge(at(1800), ms(390), false).counts, Counts::Not);
        clock.expect(at(1800));
        assert_eq!(clock.judge(at(1900), ms(400), false).counts, Counts::Not);
    }

    #[test]
    fn time_never_goes_back() {
        let mut clock = LreClock::new(at(1000), ms(0));
        let mut last = at(0);
        for (boot, expected) in [(1000, 1010), (1500, 1600), (1601, 1601), (9000, 9100), (9110, 0)]
        {
            let boot = at(boot);
            if clock.is_late(boot) {
                clock.judge(boot, ms(0), false);
            }
            assert!(clock.at(boot) >= last, "{boot:?}");
            last = clock.at(boot);
            clock.expect(at(expected));
        }
    }
}
