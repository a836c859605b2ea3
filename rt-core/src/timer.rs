//! Named timers of one state machine.
//!
//! A protocol machine has a handful of timers, known by name. A [`TimerTable`] is one deadline per
//! name in an array; the next deadline is the minimum over it. No heap and no wheel: with fewer
//! than a dozen entries a walk over two cache lines beats both, and its cost does not depend on
//! history.
//!
//! **Contract.** The table never acts by itself. Its owner
//! 1. waits until [`TimerTable::next_timeout`], or until something else happens;
//! 2. calls [`TimerTable::expired`] with the present instant until it returns none, acting on each
//!    timer it names. A timer that was returned is no longer armed. A handler that arms a timer
//!    again arms it later than `now` ([`TimerTable::rearm`] does), so that the loop ends after at
//!    most one turn per timer;
//! 3. asks for `next_timeout` again, for anything done to the machine may have changed it.
//!
//! Asking too often is harmless. Asking late is harmless too: a timer that is due stays due.

use crate::time::{Duration, Instant};

/// An enum of timer names.
pub trait TimerName<const N: usize>: Copy + 'static {
    /// All names; the name at place `i` has index `i`.
    const ALL: [Self; N];

    /// The name's place in [`TimerName::ALL`].
    fn index(self) -> usize;
}

/// A timer that fell due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expired<T> {
    /// Which.
    pub timer: T,
    /// When it was due; at or before the instant asked about.
    pub due: Instant,
}

/// One deadline per name. Real-time class of all functions: at most `N` steps, no allocation.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TimerTable<T, const N: usize> {
    /// `FAR_FUTURE` = not armed: a deadline that never comes needs no flag beside it.
    deadlines: [Instant; N],
    names: [T; N],
}

impl<T: TimerName<N>, const N: usize> TimerTable<T, N> {
    /// No timer armed.
    #[must_use]
    pub fn new() -> Self {
        debug_assert!(
            T::ALL.iter().enumerate().all(|(place, name)| name.index() == place),
            "each name has the index of its place in ALL"
        );
        Self { deadlines: [Instant::FAR_FUTURE; N], names: T::ALL }
    }

    /// Arms `timer` for `deadline`, whatever it was armed for before. [`Instant::FAR_FUTURE`] never
    /// comes: it disarms.
    pub fn set(&mut self, timer: T, deadline: Instant) {
        self.deadlines[timer.index()] = deadline;
    }

    /// Disarms `timer`; nothing happens when it is not armed.
    pub fn clear(&mut self, timer: T) {
        self.set(timer, Instant::FAR_FUTURE);
    }

    /// When `timer` is due; none when it is not armed.
    #[must_use]
    pub fn deadline(&self, timer: T) -> Option<Instant> {
        Some(self.deadlines[timer.index()]).filter(|deadline| *deadline != Instant::FAR_FUTURE)
    }

    /// The earliest deadline; none when no timer is armed.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.deadlines.iter().copied().min().filter(|earliest| *earliest != Instant::FAR_FUTURE)
    }

    /// Moves each deadline that is armed to where `to` says.
    pub(crate) fn map(&mut self, to: impl Fn(Instant) -> Instant) {
        for deadline in self.deadlines.iter_mut().filter(|it| **it != Instant::FAR_FUTURE) {
            *deadline = to(*deadline);
        }
    }

    /// Takes the timer that has been due longest at `now` (of equal ones the first by name) and
    /// disarms it; none when no timer is due. A timer is due at its deadline, not only after it.
    #[must_use = "the timer that is returned is disarmed"]
    pub fn expired(&mut self, now: Instant) -> Option<Expired<T>> {
        let (place, due) = self
            .deadlines
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, due)| *due <= now && *due != Instant::FAR_FUTURE)
            .min_by_key(|(_, due)| *due)?;
        self.deadlines[place] = Instant::FAR_FUTURE;
        Some(Expired { timer: self.names[place], due })
    }

    /// Arms a periodic timer for its next turn: the first instant after `now` that is a whole
    /// number of periods after `due`. Lateness of one turn does not move the later ones (no drift),
    /// and turns that were missed altogether are not made up for: their number is returned.
    ///
    /// A `due` that is still to come counts as a turn not yet taken: the timer is armed for it. A
    /// period of zero is a programmer's error, taken for one nanosecond.
    pub fn rearm(&mut self, timer: T, due: Instant, period: Duration, now: Instant) -> u64 {
        debug_assert!(period > Duration::ZERO, "a periodic timer has a period");
        if due > now {
            self.set(timer, due);
            return 0;
        }
        let period_ns = period.as_nanos().max(1);
        let missed = now.since(due).as_nanos() / period_ns;
        let ahead = Duration::from_nanos(period_ns).saturating_mul(missed.saturating_add(1));
        self.set(timer, due + ahead);
        missed
    }
}

impl<T: TimerName<N>, const N: usize> Default for TimerTable<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
    enum Timer {
        Supervision,
        NodeForget,
        Reboot,
    }

    impl TimerName<3> for Timer {
        const ALL: [Self; 3] = [Self::Supervision, Self::NodeForget, Self::Reboot];
        fn index(self) -> usize {
            self as usize
        }
    }

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn a_table_without_armed_timers_waits_for_nothing() {
        let mut table = TimerTable::<Timer, 3>::new();
        assert_eq!(table.next_timeout(), None);
        assert_eq!(table.expired(Instant::FAR_FUTURE), None);
        table.set(Timer::Reboot, at(5));
        table.clear(Timer::Reboot);
        assert_eq!(table.next_timeout(), None);
        assert_eq!(table.deadline(Timer::Reboot), None);
    }

    #[test]
    fn timers_come_in_the_order_of_their_deadlines_and_once() {
        let mut table = TimerTable::<Timer, 3>::new();
        table.set(Timer::Supervision, at(20));
        table.set(Timer::NodeForget, at(10));
        table.set(Timer::Reboot, at(30));
        assert_eq!(table.next_timeout(), Some(at(10)));
        assert_eq!(table.expired(at(9)), None);
        let first = table.expired(at(25)).unwrap();
        assert_eq!(first, Expired { timer: Timer::NodeForget, due: at(10) });
        assert_eq!(table.expired(at(25)).unwrap().timer, Timer::Supervision);
        assert_eq!(table.expired(at(25)), None);
        assert_eq!(table.expired(at(30)).unwrap().timer, Timer::Reboot);
    }

    #[test]
    fn a_late_turn_does_not_move_the_next() {
        let mut table = TimerTable::<Timer, 3>::new();
        let period = Duration::from_nanos(100);
        assert_eq!(table.rearm(Timer::Supervision, at(1_000), period, at(1_040)), 0);
        assert_eq!(table.deadline(Timer::Supervision), Some(at(1_100)));
        assert_eq!(table.rearm(Timer::Supervision, at(1_100), period, at(1_100)), 0);
        assert_eq!(table.deadline(Timer::Supervision), Some(at(1_200)));
        assert_eq!(table.rearm(Timer::Supervision, at(1_200), period, at(1_500)), 3);
        assert_eq!(table.deadline(Timer::Supervision), Some(at(1_600)));
        assert_eq!(table.rearm(Timer::Supervision, at(1_600), period, at(1_550)), 0);
        assert_eq!(table.deadline(Timer::Supervision), Some(at(1_600)));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(usize, u64),
        Clear(usize),
        Advance(u64),
        Rearm(usize, u64, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let place = 0..3usize;
        prop_oneof![
            (place.clone(), prop_oneof![0..1_000u64, Just(u64::MAX), Just(u64::MAX - 1)])
                .prop_map(|(place, deadline)| Step::Set(place, deadline)),
            place.clone().prop_map(Step::Clear),
            prop_oneof![0..50u64, Just(u64::MAX)].prop_map(Step::Advance),
            (place, 0..1_000u64, prop_oneof![1..100u64, Just(u64::MAX)])
                .prop_map(|(place, due, period)| Step::Rearm(place, due, period)),
        ]
    }

    proptest! {
        /// Against a map from name to deadline that is searched and sorted naively.
        #[test]
        fn behaves_like_a_sorted_list(steps in prop::collection::vec(step(), 1..60)) {
            let mut table = TimerTable::<Timer, 3>::new();
            let mut model = BTreeMap::<Timer, u64>::new();
            let mut now = 0u64;
            for step in steps {
                match step {
                    Step::Set(place, deadline) => {
                        table.set(Timer::ALL[place], at(deadline));
                        model.insert(Timer::ALL[place], deadline);
                    }
                    Step::Clear(place) => {
                        table.clear(Timer::ALL[place]);
                        model.remove(&Timer::ALL[place]);
                    }
                    Step::Rearm(place, due, period) => {
                        let missed = table.rearm(
                            Timer::ALL[place], at(due), Duration::from_nanos(period), at(now));
                        // One turn after the other, in a type that cannot overflow.
                        let (mut next, mut turns) = (u128::from(due), 0u64);
                        if now < u64::MAX / 2 {
                            while next <= u128::from(now) {
                                next += u128::from(period);
                                turns += 1;
                            }
                            prop_assert_eq!(missed, turns.saturating_sub(1));
                        } else {
                            next = u128::from(table.deadline(Timer::ALL[place])
                                .map_or(u64::MAX, Instant::as_nanos));
                        }
                        let next = u64::try_from(next).unwrap_or(u64::MAX);
                        model.insert(Timer::ALL[place], next);
                    }
                    Step::Advance(by) => {
                        now = now.saturating_add(by);
                        let mut due: Vec<_> = model.iter()
                            .filter(|(_, deadline)| **deadline <= now && **deadline != u64::MAX)
                            .map(|(name, deadline)| (*deadline, *name))
                            .collect();
                        due.sort_unstable();
                        for (deadline, name) in due {
                            let expired = table.expired(at(now));
                            prop_assert_eq!(
                                expired, Some(Expired { timer: name, due: at(deadline) }));
                            model.remove(&name);
                        }
                        prop_assert_eq!(table.expired(at(now)), None);
                    }
                }
                model.retain(|_, deadline| *deadline != u64::MAX);
                prop_assert_eq!(table.next_timeout(), model.values().min().map(|n| at(*n)));
            }
        }
    }
}
