//! When a node's beats are due.
//!
//! Turns stand at absolute instants, a heartbeat apart: how late one was sent moves none of those
//! that follow. Rejected: so long after the last one was sent, which adds up every lateness, so
//! that a peer that counts on a beat per heartbeat finds fewer than that.
//!
//! * A turn that was missed is counted and not made up for: a beat tells all that its sender
//!   stands for, so a second one at once says nothing new, and a burst after a stall is what the
//!   next ones would be late by.
//! * A beat is late against the plan of the *first* turn that it stands for: what the peer did
//!   without is the whole stall, not what was left of it after the last turn that was missed.
//! * A beat that answers at once is no turn. It is not asked for here and moves nothing, so an
//!   answer never takes the place of a turn: the peer hears a beat a heartbeat after the last one
//!   at the latest, whatever else it heard between them.

use core::fmt;

use crate::limits::{HEARTBEAT_MAX, HEARTBEAT_MIN};
use crate::time::{Duration, Instant};

/// Why a heartbeat is refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HeartbeatFault {
    /// Shorter than [`HEARTBEAT_MIN`].
    TooShort(Duration),
    /// Longer than [`HEARTBEAT_MAX`].
    TooLong(Duration),
}

impl fmt::Display for HeartbeatFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort(is) => write!(
                f,
                "a heartbeat of {is} is shorter than HEARTBEAT_MIN ({HEARTBEAT_MIN}): choose a \
                 longer one"
            ),
            Self::TooLong(is) => write!(
                f,
                "a heartbeat of {is} is longer than HEARTBEAT_MAX ({HEARTBEAT_MAX}): choose a \
                 shorter one"
            ),
        }
    }
}

impl core::error::Error for HeartbeatFault {}

/// A turn that came: a beat is sent now.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Turn {
    /// When it should have been sent.
    pub planned: Instant,
    /// How long ago that is.
    pub lateness: Duration,
    /// Turns after it that have passed too, and get no beat of their own.
    pub missed: u64,
}

/// When a node's beats are due. Real-time class of all functions: a few steps, no allocation.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Schedule {
    heartbeat: Duration,
    due: Instant,
    lateness: Duration,
    lateness_max: Duration,
    turns: u64,
    missed: u64,
}

impl Schedule {
    /// Turns that are `heartbeat` apart, of which the first is due at `first`.
    ///
    /// # Errors
    /// When the heartbeat is shorter than [`HEARTBEAT_MIN`] or longer than [`HEARTBEAT_MAX`].
    pub fn new(heartbeat: Duration, first: Instant) -> Result<Self, HeartbeatFault> {
        if heartbeat < HEARTBEAT_MIN {
            return Err(HeartbeatFault::TooShort(heartbeat));
        }
        if heartbeat > HEARTBEAT_MAX {
            return Err(HeartbeatFault::TooLong(heartbeat));
        }
        Ok(Self {
            heartbeat,
            due: first,
            lateness: Duration::ZERO,
            lateness_max: Duration::ZERO,
            turns: 0,
            missed: 0,
        })
    }

    /// When the next turn comes.
    #[must_use]
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// The turn that has come at `now`, if one has; the next one is due after `now` then. A clock
    /// at its end has no more turns.
    pub fn take(&mut self, now: Instant) -> Option<Turn> {
        if now < self.due || self.due == Instant::FAR_FUTURE {
            return None;
        }
        let planned = self.due;
        let lateness = now.since(planned);
        // The heartbeat is at least HEARTBEAT_MIN, which is more than nothing.
        let missed = lateness.as_nanos() / self.heartbeat.as_nanos();
        self.due = planned + self.heartbeat.saturating_mul(missed.saturating_add(1));
        self.lateness = lateness;
        self.lateness_max = self.lateness_max.max(lateness);
        self.turns = self.turns.saturating_add(1);
        self.missed = self.missed.saturating_add(missed);
        Some(Turn { planned, lateness, missed })
    }

    /// From one turn to the next.
    #[must_use]
    pub const fn heartbeat(&self) -> Duration {
        self.heartbeat
    }

    /// How late the last turn was taken.
    #[must_use]
    pub const fn lateness(&self) -> Duration {
        self.lateness
    }

    /// The latest that one was ever taken.
    #[must_use]
    pub const fn lateness_max(&self) -> Duration {
        self.lateness_max
    }

    /// Turns that were taken.
    #[must_use]
    pub const fn turns(&self) -> u64 {
        self.turns
    }

    /// Turns that passed without a beat of their own.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.missed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEARTBEAT: Duration = Duration::from_millis(1);

    fn at(micros: u64) -> Instant {
        Instant::ORIGIN + Duration::from_micros(micros)
    }

    #[test]
    fn what_was_late_moves_nothing_that_follows() {
        let mut schedule = Schedule::new(HEARTBEAT, at(500)).unwrap();
        assert_eq!(schedule.take(at(499)), None);
        let turn = schedule.take(at(700)).unwrap();
        assert_eq!((turn.planned, turn.lateness.as_micros(), turn.missed), (at(500), 200, 0));
        assert_eq!(schedule.take(at(1_499)), None);
        assert_eq!(schedule.take(at(1_500)).unwrap().lateness, Duration::ZERO);
        assert_eq!(schedule.due(), at(2_500));
        assert_eq!(
            (schedule.lateness().as_micros(), schedule.lateness_max().as_micros()),
            (0, 200)
        );
    }

    #[test]
    fn a_stall_costs_the_turns_in_it_and_is_told_whole() {
        let mut schedule = Schedule::new(HEARTBEAT, at(0)).unwrap();
        let turn = schedule.take(at(3_000)).unwrap();
        let expected = Turn { planned: at(0), lateness: HEARTBEAT.saturating_mul(3), missed: 3 };
        assert_eq!(turn, expected);
        assert_eq!(schedule.take(at(3_000)), None, "nothing is made up for");
        assert_eq!(schedule.due(), at(4_000));
        assert_eq!((schedule.turns(), schedule.missed()), (1, 3));
    }

    #[test]
    fn a_heartbeat_out_of_bounds_is_refused_by_the_bounds_name() {
        let nanosecond = Duration::from_nanos(1);
        assert!(Schedule::new(HEARTBEAT_MIN, at(0)).is_ok());
        assert!(Schedule::new(HEARTBEAT_MAX, at(0)).is_ok());
        let short = Schedule::new(HEARTBEAT_MIN.saturating_sub(nanosecond), at(0)).unwrap_err();
        assert!(short.to_string().contains("HEARTBEAT_MIN (250.0 µs)"), "{short}");
        let long = Schedule::new(HEARTBEAT_MAX + nanosecond, at(0)).unwrap_err();
        assert!(long.to_string().contains("HEARTBEAT_MAX (100.0 ms)"), "{long}");
    }

    #[test]
    fn a_clock_at_its_end_has_no_more_turns() {
        let mut schedule = Schedule::new(HEARTBEAT, at(0)).unwrap();
        assert!(schedule.take(Instant::FAR_FUTURE).is_some());
        assert_eq!(schedule.due(), Instant::FAR_FUTURE);
        assert_eq!(schedule.take(Instant::FAR_FUTURE), None);
    }

    proptest! {
        #[test]
        fn every_turn_is_taken_or_missed_and_stands_on_the_grid(
            heartbeat_us in 250u64..=100_000,
            first_us in 0u64..1_000_000,
            waits_us in prop::collection::vec(0u64..300_000, 1..200),
        ) {
            let heartbeat = Duration::from_micros(heartbeat_us);
            let mut schedule = Schedule::new(heartbeat, at(first_us)).unwrap();
            let mut now = at(first_us);
            let mut latest = Duration::ZERO;
            for wait in waits_us {
                now += Duration::from_micros(wait);
                let due = schedule.due();
                match schedule.take(now) {
                    None => prop_assert!(now < due),
                    Some(turn) => {
                        prop_assert_eq!(turn.planned, due);
                        prop_assert_eq!(turn.planned + turn.lateness, now);
                        prop_assert!(turn.lateness >= heartbeat.saturating_mul(turn.missed));
                        latest = latest.max(turn.lateness);
                    }
                }
                prop_assert!(now < schedule.due() && schedule.due() <= now + heartbeat);
                let turns = schedule.turns() + schedule.missed();
                let grid = at(first_us) + heartbeat.saturating_mul(turns);
                prop_assert_eq!(schedule.due(), grid, "no drift");
                prop_assert_eq!(schedule.lateness_max(), latest);
            }
        }

        #[test]
        fn no_instant_panics(first: u64, instants in prop::collection::vec(any::<u64>(), 1..50)) {
            let mut schedule = Schedule::new(HEARTBEAT_MIN, Instant::from_nanos(first)).unwrap();
            for nanos in instants {
                let now = Instant::from_nanos(nanos);
                let taken = schedule.take(now).is_some();
                let never = schedule.due() == Instant::FAR_FUTURE;
                prop_assert!(now < schedule.due() || never, "{taken}");
            }
        }
    }
}
