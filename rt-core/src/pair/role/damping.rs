//! How often the outputs changed hands of late.

use super::super::terms::Damping;
use crate::time::Instant;

/// Changes that are remembered.
pub const CHANGES_MAX: usize = 8;

/// The instants of the last changes, in any order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Changes {
    at: [Option<Instant>; CHANGES_MAX],
}

impl Changes {
    /// The outputs changed hands.
    pub(super) fn note(&mut self, damping: &Damping, now: Instant) {
        if damping.changes_max == 0 {
            return;
        }
        // A place that is free, or the oldest one: none sorts before any instant.
        if let Some(oldest) = self.at.iter_mut().min() {
            *oldest = Some(now);
        }
    }

    /// Whether there were too many.
    pub(super) fn are_too_many(&self, damping: &Damping, now: Instant) -> bool {
        let recent = self.at.iter().flatten().filter(|at| now.since(**at) < damping.within);
        damping.changes_max > 0 && recent.count() > usize::from(damping.changes_max)
    }

    /// Somebody saw to it.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    #[test]
    fn more_changes_than_allowed_are_too_many_until_they_are_old() {
        let damping = Damping { changes_max: 2, within: Duration::from_nanos(100) };
        let at = Instant::from_nanos;
        let mut changes = Changes::default();
        for (now, many) in [(0, false), (10, false), (20, true), (99, true)] {
            changes.note(&damping, at(now));
            assert_eq!(changes.are_too_many(&damping, at(now)), many, "at {now}");
        }
        assert!(!changes.are_too_many(&damping, at(120)), "only 99 is within 100");
        for now in 130..140 {
            changes.note(&damping, at(now));
        }
        assert!(changes.are_too_many(&damping, at(140)));
        changes.forget();
        assert!(!changes.are_too_many(&damping, at(140)));
    }

    #[test]
    fn no_number_is_never_too_many() {
        let mut changes = Changes::default();
        for now in 0..20 {
            changes.note(&Damping::NONE, Instant::from_nanos(now));
        }
        assert_eq!(changes, Changes::default(), "nothing is kept that nobody reads");
        assert!(!changes.are_too_many(&Damping::NONE, Instant::from_nanos(20)));
    }
}
