//! A bound with the parts that it is the sum of.
//!
//! A figure alone does not say what to improve. The parts are kept, not only the total, so that
//! whoever reads it sees which of them is the long one.

use crate::time::Duration;

/// What a part of a sum is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum What {
    /// One way between the nodes: half a round trip.
    OneWay,
    /// A round trip between the nodes.
    RoundTrip,
    /// Heartbeats.
    Heartbeat,
    /// J.
    Jitter,
    /// A lease, on a clock that is as slow as may be.
    Lease,
    /// A promise, on a clock that is as slow as may be.
    Promise,
    /// A question to the witness and its answer.
    Witness,
    /// A claim at the latches and its answer.
    Latch,
    /// Until the peer is off, or has ended, and that is known.
    Fence,
    /// A watchdog, in whole seconds, on a clock that is as slow as may be.
    Watchdog,
    /// A cycle of the controller.
    Cycle,
    /// Until an image of the state is on the wire.
    Transfer,
}

impl What {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneWay => "one way",
            Self::RoundTrip => "round trip",
            Self::Heartbeat => "heartbeat",
            Self::Jitter => "J",
            Self::Lease => "lease on the slowest clock",
            Self::Promise => "promise on the slowest clock",
            Self::Witness => "witness",
            Self::Latch => "latch",
            Self::Fence => "fence",
            Self::Watchdog => "watchdog",
            Self::Cycle => "cycle",
            Self::Transfer => "transfer",
        }
    }
}

/// A part of a sum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// What it is.
    pub what: What,
    /// How often it counts.
    pub times: u64,
    /// Once.
    pub each: Duration,
}

const PARTS_MAX: usize = 8;

/// Spans that follow one another. Parts of no length are left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sum {
    parts: [Option<Part>; PARTS_MAX],
    total: Duration,
}

impl Sum {
    pub(super) const NOTHING: Self = Self { parts: [None; PARTS_MAX], total: Duration::ZERO };

    /// With one more part. What finds no place is in the total.
    pub(super) fn and(self, what: What, each: Duration) -> Self {
        self.and_times(what, 1, each)
    }

    pub(super) fn and_times(mut self, what: What, times: u64, each: Duration) -> Self {
        let span = each.saturating_mul(times);
        self.total = self.total + span;
        if span > Duration::ZERO
            && let Some(place) = self.parts.iter_mut().find(|it| it.is_none())
        {
            *place = Some(Part { what, times, each });
        }
        self
    }

    pub(super) fn and_sum(self, other: &Self) -> Self {
        other.parts().fold(self, |sum, it| sum.and_times(it.what, it.times, it.each))
    }

    /// The sum; [`Duration::MAX`] where it is too long to be told.
    #[must_use]
    pub const fn total(&self) -> Duration {
        self.total
    }

    /// What it is the sum of, in the order of time.
    pub fn parts(&self) -> impl Iterator<Item = Part> + '_ {
        self.parts.iter().flatten().copied()
    }
}
