//! What would have to change where an inequality fails.
//!
//! Each inequality gets better, or no worse, as one thing alone goes one way. So the value at which
//! it begins to hold is found by halving, with the inequality itself as the judge: a formula for
//! each thing and each inequality was rejected, because seventy of them would have to agree with
//! what they invert, rounding included.

use super::{Inequality, Setting, Timing};
use crate::pair::Mode;
use crate::time::Duration;

/// Something that could be changed. Spans are in nanoseconds; misses and the recovery point are
/// counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "each is a field of `Setting`, by its name")]
pub enum Lever {
    Heartbeat,
    Misses,
    Lease,
    Promise,
    Jitter,
    RoundTrip,
    WitnessRoundTrip,
    LatchRoundTrip,
    Fence,
    Watchdog,
    Transfer,
    Slack,
    Hold,
    RecoveryTime,
    RecoveryPoint,
    Cycle,
}

/// Which way a value has to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// This, or less.
    AtMost,
    /// This, or more.
    AtLeast,
}

/// A value that makes an inequality hold with all others as they are; the next one does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// Of what.
    pub lever: Lever,
    /// Which way.
    pub direction: Direction,
    /// As [`Lever`] says.
    pub value: u64,
    /// Whether all other inequalities hold then, too.
    pub suffices: bool,
}

impl Lever {
    /// All.
    pub const ALL: [Self; 16] = [
        Self::Heartbeat,
        Self::Misses,
        Self::Lease,
        Self::Promise,
        Self::Jitter,
        Self::RoundTrip,
        Self::WitnessRoundTrip,
        Self::LatchRoundTrip,
        Self::Fence,
        Self::Watchdog,
        Self::Transfer,
        Self::Slack,
        Self::Hold,
        Self::RecoveryTime,
        Self::RecoveryPoint,
        Self::Cycle,
    ];

    /// Whether it is a number, and no span.
    #[must_use]
    pub const fn is_count(self) -> bool {
        matches!(self, Self::Misses | Self::RecoveryPoint)
    }

    /// Its name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Misses => "misses",
            Self::Lease => "lease",
            Self::Promise => "promise",
            Self::Jitter => "jitter",
            Self::RoundTrip => "round_trip",
            Self::WitnessRoundTrip => "witness_round_trip",
            Self::LatchRoundTrip => "latch_round_trip",
            Self::Fence => "fence_time",
            Self::Watchdog => "watchdog",
            Self::Transfer => "transfer_time",
            Self::Slack => "slack",
            Self::Hold => "hold_time",
            Self::RecoveryTime => "recovery_time",
            Self::RecoveryPoint => "recovery_point",
            Self::Cycle => "cycle",
        }
    }

    /// Its value, where it is one that a setting has; what follows from others is none.
    #[must_use]
    pub fn of(self, setting: &Setting) -> Option<u64> {
        let it = &setting.measured;
        let has = |span: Duration| (span > Duration::ZERO).then_some(span);
        let span = match self {
            Self::Misses => return Some(setting.timers().misses.into()),
            Self::RecoveryPoint => return setting.recovery_point,
            Self::Heartbeat => Some(setting.timers().heartbeat),
            Self::Lease | Self::Promise => match (self, setting.timing) {
                (Self::Lease, Timing::Given { lease, .. }) => lease,
                (_, Timing::Given { promise, .. }) => promise,
                _ => None,
            },
            Self::Jitter => Some(it.jitter),
            Self::RoundTrip => Some(it.round_trip),
            Self::WitnessRoundTrip => {
                Some(it.witness_round_trip).filter(|_| setting.mode == Mode::Witness)
            }
            Self::LatchRoundTrip => has(it.latch_round_trip),
            Self::Fence => has(setting.fence),
            Self::Watchdog => has(setting.watchdog),
            Self::Transfer => has(setting.transfer),
            Self::Slack => setting.slack,
            Self::Hold => Some(it.hold).filter(|it| *it < Duration::MAX),
            Self::RecoveryTime => setting.recovery_time,
            Self::Cycle => Some(it.cycle),
        };
        span.map(Duration::as_nanos)
    }

    /// The setting with another value.
    #[must_use]
    pub fn set(self, setting: &Setting, value: u64) -> Setting {
        let mut changed = *setting;
        let span = Duration::from_nanos(value);
        let count = u32::try_from(value).unwrap_or(u32::MAX);
        match self {
            Self::Heartbeat | Self::Misses | Self::Lease | Self::Promise => {
                changed.timing = self.timing(setting, span, count);
            }
            Self::Jitter => changed.measured.jitter = span,
            Self::RoundTrip => changed.measured.round_trip = span,
            Self::WitnessRoundTrip => changed.measured.witness_round_trip = span,
            Self::LatchRoundTrip => changed.measured.latch_round_trip = span,
            Self::Fence => changed.fence = span,
            Self::Watchdog => changed.watchdog = span,
            Self::Transfer => changed.transfer = span,
            Self::Slack => changed.slack = Some(span),
            Self::Hold => changed.measured.hold = span,
            Self::RecoveryTime => changed.recovery_time = Some(span),
            Self::RecoveryPoint => changed.recovery_point = Some(value),
            Self::Cycle => changed.measured.cycle = span,
        }
        changed
    }

    fn timing(self, setting: &Setting, span: Duration, count: u32) -> Timing {
        match (self, setting.timing) {
            (Self::Misses, Timing::Chosen { .. }) => Timing::Chosen { misses: Some(count) },
            (Self::Misses, Timing::Shortest { .. }) => Timing::Shortest { misses: Some(count) },
            (_, Timing::Given { heartbeat, misses, lease, promise }) => match self {
                Self::Heartbeat => Timing::Given { heartbeat: span, misses, lease, promise },
                Self::Misses => Timing::Given { heartbeat, misses: count, lease, promise },
                Self::Lease => Timing::Given { heartbeat, misses, lease: Some(span), promise },
                _ => Timing::Given { heartbeat, misses, lease, promise: Some(span) },
            },
            (Self::Heartbeat, _) => {
                let misses = setting.timers().misses;
                Timing::Given { heartbeat: span, misses, lease: None, promise: None }
            }
            (_, timing) => timing,
        }
    }

    /// The least that makes sense.
    fn least(self, setting: &Setting) -> u64 {
        match self {
            Self::Heartbeat => setting.heartbeat_min().as_nanos(),
            Self::RecoveryPoint | Self::Slack => 0,
            _ => 1,
        }
    }

    /// The most that does: more than what can be told is nothing, and slack is a part of a cycle.
    fn most(self, setting: &Setting) -> u64 {
        match self {
            Self::Misses => u32::MAX.into(),
            Self::Slack => setting.measured.cycle.as_nanos(),
            _ => u64::MAX - 1,
        }
    }
}

impl Setting {
    /// What `lever` alone would have to be for `inequality` to hold; none where it holds already,
    /// or no value of it would do.
    #[must_use]
    pub fn change(&self, inequality: Inequality, lever: Lever) -> Option<Change> {
        // What can be chosen freely is chosen as for the best.
        let best = match self.timing {
            Timing::Chosen { misses } => Self { timing: Timing::Shortest { misses }, ..*self },
            _ => *self,
        };
        let present = lever.of(&best)?;
        let holds = |value: u64| {
            let it = lever.set(&best, value);
            it.findings(&it.timers())
                .find(|it| it.inequality == inequality)
                .is_none_or(|it| it.holds)
        };
        if holds(present) {
            return None;
        }
        let [least, most] = [lever.least(&best), lever.most(&best)];
        let (direction, value) = if least < present && holds(least) {
            (Direction::AtMost, last(least, present, holds))
        } else if present < most && holds(most) {
            // Mirrored: counted down from the most.
            let down = last(0, most - present, |below| holds(most - below));
            (Direction::AtLeast, most - down)
        } else {
            return None;
        };
        let changed = lever.set(self, value);
        let suffices = changed.holds(&changed.timers());
        Some(Change { lever, direction, value, suffices })
    }
}

/// The last value that holds, of which `holds` is one and `fails` is none.
fn last(mut holds: u64, mut fails: u64, judge: impl Fn(u64) -> bool) -> u64 {
    while fails - holds > 1 {
        let middle = holds + (fails - holds) / 2;
        if judge(middle) {
            holds = middle;
        } else {
            fails = middle;
        }
    }
    holds
}
