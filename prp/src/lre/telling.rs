//! How much is told of single nodes.
//!
//! Who floods the network with made-up sources, or with one that changes its place all the time,
//! must not flood the event history too: it is short, and the alarm that explains a bad night is in
//! it. Events of nodes come out of a budget; what is beyond is counted and told as a number.
//! Conditions of the whole node (wrong LAN, table full) are not subject to it: they fold by
//! themselves.

use rt_core::time::{Duration, Instant};

use super::event::LreEvent;
use super::{EventSink, Lre};

/// Told at once: a network's worth of nodes at start.
const BURST: u32 = 64;
/// One more each: ten per second for good.
const REFILL: Duration = Duration::from_millis(100);
/// The number of what was not told comes at most so often.
const SUMMARY: Duration = Duration::from_secs(1);

/// The budget.
#[derive(Clone, Copy, Debug)]
pub(super) struct Telling {
    left: u32,
    refill_at: Instant,
    untold: u32,
    summary_at: Instant,
}

impl Telling {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BURST, refill_at: now + REFILL, untold: 0, summary_at: now + SUMMARY }
    }

    /// Takes one from the budget; none is left: counts.
    fn may(&mut self) -> bool {
        if self.left == 0 {
            self.untold = self.untold.saturating_add(1);
            return false;
        }
        self.left -= 1;
        true
    }

    /// Lets time pass; returns a number that is due.
    fn refill(&mut self, now: Instant) -> Option<u32> {
        if now >= self.refill_at {
            let passed = now.since(self.refill_at).as_nanos() / REFILL.as_nanos() + 1;
            self.refill_at += REFILL.saturating_mul(passed);
            let refilled = u32::try_from(passed).unwrap_or(BURST);
            self.left = self.left.saturating_add(refilled).min(BURST);
        }
        if self.untold == 0 || now < self.summary_at {
            return None;
        }
        self.summary_at = now + SUMMARY;
        Some(core::mem::take(&mut self.untold))
    }

    pub(super) const fn owes(&self) -> bool {
        self.untold > 0
    }
}

impl<E: EventSink> Lre<'_, E> {
    /// Tells of a node, within the budget.
    pub(super) fn tell_of_node(&mut self, now: Instant, event: LreEvent) {
        if self.telling.may() {
            self.events.event(now, event);
        }
    }

    /// Tells how much was not told.
    pub(super) fn settle_telling(&mut self, now: Instant) {
        if let Some(count) = self.telling.refill(now) {
            self.events.event(now, LreEvent::NodesUntold { count });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_as_a_number() {
        let at = |ms| Instant::ORIGIN + Duration::from_millis(ms);
        let mut telling = Telling::new(at(0));
        let told = (0..1000).filter(|_| telling.may()).count();
        assert_eq!(told, 64);
        assert_eq!(telling.refill(at(999)), None);
        assert_eq!(telling.refill(at(1000)), Some(936));
        assert_eq!((0..1000).filter(|_| telling.may()).count(), 10);
        assert_eq!(telling.refill(at(1500)), None);
        assert!(telling.owes());
        assert_eq!(telling.refill(at(2000)), Some(990));
        assert!(!telling.owes());
        assert_eq!(telling.refill(at(3_600_000)), None);
        assert_eq!((0..1000).filter(|_| telling.may()).count(), 64);
    }
}
