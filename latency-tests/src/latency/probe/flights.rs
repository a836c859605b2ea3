//! What is on its way: cycles that have left and whose answers have not all come.
//!
//! A probe does not wait for an answer before it sends again, so there are several at once; and
//! answers may come in any order, twice, or late. They are looked up by their numbers here, and
//! leave in the order in which they were sent, as a recorder takes them. Those that have left stay
//! for a while, so that what comes too late is known for what it is. Pure: no clock, and no
//! allocation behind [`Flights::new`].

use rt_core::time::{Duration, Instant};

/// Most that can be on their way.
pub(super) const FLIGHTS_MAX: u64 = 1 << 16;
/// How many are known at least, those that are over too.
const KNOWN_MIN: u64 = 1 << 10;

/// A cycle that has left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight<T> {
    /// When it was to leave.
    pub(super) planned: Instant,
    /// When it left.
    pub(super) sent: Instant,
    /// What has come of it so far.
    pub(super) state: T,
}

/// Whether a cycle is still waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// It is.
    Awaited,
    /// It was, and is accounted for.
    Over,
}

/// The cycles on their way, numbered from 0.
#[derive(Debug)]
pub(super) struct Flights<T> {
    /// At least twice as many as can be on their way: the others are over.
    slots: Box<[Option<Flight<T>>]>,
    /// The oldest that is waited for.
    first: u64,
    /// The number that leaves next.
    next: u64,
    /// How many can be on their way.
    at_once: u64,
    patience: Duration,
}

impl<T: Copy> Flights<T> {
    /// For cycles that leave once in `period` and are waited for so long. None when that were too
    /// many at once.
    pub(super) fn new(patience: Duration, period: Duration) -> Option<Self> {
        let at_once = patience.as_nanos() / period.as_nanos().max(1) + 2;
        if at_once > FLIGHTS_MAX {
            return None;
        }
        let slots = usize::try_from((2 * at_once).max(KNOWN_MIN)).ok()?;
        // Written, not left to the kernel's zeroes: a later access faults on nothing.
        let mut slots = vec![None; slots].into_boxed_slice();
        std::hint::black_box(&mut slots).fill(None);
        Some(Self { slots, first: 0, next: 0, at_once, patience })
    }

    /// The number of the cycle that leaves next.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// Whether none is waited for.
    pub(super) const fn is_empty(&self) -> bool {
        self.first == self.next
    }

    /// A cycle leaves. Those that are over by now were taken out before ([`Self::take`]); should
    /// there be no room, the oldest one is given up: it is returned.
    pub(super) fn launch(&mut self, flight: Flight<T>) -> Option<Flight<T>> {
        let full = self.next - self.first >= self.at_once;
        let given_up = if full { self.take_first() } else { None };
        let at = self.place(self.next);
        self.slots[at] = Some(flight);
        self.next += 1;
        given_up
    }

    /// The cycle with this number, unless nothing is known about it any more.
    pub(super) fn find(&mut self, number: u64) -> Option<(Standing, &mut Flight<T>)> {
        let oldest = self.next.saturating_sub(self.slots.len() as u64);
        if !(oldest..self.next).contains(&number) {
            return None;
        }
        let standing = if number < self.first { Standing::Over } else { Standing::Awaited };
        let at = self.place(number);
        self.slots[at].as_mut().map(|flight| (standing, flight))
    }

    /// Takes out the oldest cycle if it is complete, or has been waited for long enough at `now`.
    pub(super) fn take(
        &mut self,
        now: Instant,
        is_complete: impl Fn(&T) -> bool,
    ) -> Option<Flight<T>> {
        let oldest = self.oldest()?;
        let is_over = is_complete(&oldest.state) || now >= oldest.sent + self.patience;
        if is_over { self.take_first() } else { None }
    }

    /// Until when the oldest cycle is waited for.
    pub(super) fn due(&self) -> Option<Instant> {
        self.oldest().map(|oldest| oldest.sent + self.patience)
    }

    fn oldest(&self) -> Option<Flight<T>> {
        if self.is_empty() { None } else { self.slots[self.place(self.first)] }
    }

    fn take_first(&mut self) -> Option<Flight<T>> {
        let oldest = self.oldest();
        self.first += u64::from(oldest.is_some());
        oldest
    }

    fn place(&self, number: u64) -> usize {
        usize::try_from(number % self.slots.len() as u64).unwrap_or(0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(1_000_000_000) + MS.saturating_mul(ms)
    }

    fn flight(ms: u64) -> Flight<u32> {
        Flight { planned: at(ms), sent: at(ms), state: 0 }
    }

    #[test]
    fn what_is_complete_leaves_in_order_and_what_is_not_after_its_time() {
        let mut flights = Flights::new(MS.saturating_mul(3), MS).unwrap();
        for ms in 0..3 {
            assert!(flights.launch(flight(ms)).is_none());
        }
        let complete = |state: &u32| *state == 1;
        let (standing, second) = flights.find(1).unwrap();
        assert_eq!(standing, Standing::Awaited);
        second.state = 1;
        // The first one is not there yet, and the second has to wait for it.
        assert!(flights.take(at(2), complete).is_none());
        assert_eq!(flights.due(), Some(at(3)));
        let first = flights.take(at(3), complete).unwrap();
        assert_eq!((first.planned, first.state), (at(0), 0));
        assert_eq!(flights.take(at(3), complete).unwrap().planned, at(1));
        assert!(flights.take(at(3), complete).is_none());
        assert_eq!(flights.find(0).unwrap().0, Standing::Over);
        assert!(flights.find(3).is_none());
        assert!(!flights.is_empty());
        assert!(flights.take(at(5), complete).is_some() && flights.is_empty());
        assert_eq!((flights.due(), flights.next()), (None, 3));
    }

    #[test]
    fn without_room_the_oldest_is_given_up_and_what_is_long_past_is_not_known() {
        let mut flights = Flights::new(MS.saturating_mul(2), MS).unwrap();
        let given_up: Vec<_> = (0..3_000).filter_map(|ms| flights.launch(flight(ms))).collect();
        assert_eq!(given_up.len(), 2_996);
        assert!(given_up.iter().zip(0..).all(|(it, ms)| it.planned == at(ms)));
        assert!(flights.find(3_000 - KNOWN_MIN - 1).is_none() && flights.find(3_000).is_none());
        assert!(flights.find(u64::MAX).is_none());
        for (number, standing) in [
            (3_000 - KNOWN_MIN, Standing::Over),
            (2_995, Standing::Over),
            (2_996, Standing::Awaited),
        ] {
            let found = flights.find(number).unwrap();
            assert_eq!((found.0, found.1.planned), (standing, at(number)));
        }
    }

    #[test]
    fn too_many_at_once_are_refused() {
        let period = Duration::from_micros(10);
        assert!(Flights::<u8>::new(period.saturating_mul(FLIGHTS_MAX - 2), period).is_some());
        assert!(Flights::<u8>::new(period.saturating_mul(FLIGHTS_MAX - 1), period).is_none());
    }
}
