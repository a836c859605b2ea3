//! A lasting condition, told by its single occurrences: it begins with the first and ends when none
//! has come for a while.

use rt_core::limits::CONDITION_END_TIME;
use rt_core::time::Instant;

/// One condition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alarm {
    last: Option<Instant>,
}

impl Alarm {
    pub(super) const QUIET: Self = Self { last: None };

    /// It occurred. Returns whether the condition began with this.
    pub(super) fn occur(&mut self, now: Instant) -> bool {
        self.last.replace(now).is_none()
    }

    /// Lets time pass. Returns whether the condition ended now.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        match self.last {
            Some(last) if now.since(last) >= CONDITION_END_TIME => {
                self.last = None;
                true
            }
            _ => false,
        }
    }

    pub(super) const fn is_active(&self) -> bool {
        self.last.is_some()
    }
}

#[cfg(test)]
mod tests {
    use rt_core::time::Duration;

    use super::*;

    #[test]
    fn a_condition_begins_once_and_ends_once() {
        let at = |s| Instant::ORIGIN + Duration::from_secs(s);
        let mut alarm = Alarm::QUIET;
        assert!(alarm.occur(at(1)));
        assert!(!alarm.occur(at(5)));
        assert!(!alarm.expire(at(14)));
        assert!(alarm.is_active());
        assert!(alarm.expire(at(15)));
        assert!(!alarm.expire(at(16)));
        assert!(alarm.occur(at(17)));
    }
}
