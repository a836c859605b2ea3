//! The timers of a takeover, and what has to hold between them.
//!
//! Two nodes: the *active* one drives the outputs under a lease that it renews with each heartbeat,
//! and its *standby*, which grants the lease by acknowledging it. The lease ends at the holder
//! before the grantor may give it to anybody else; the rest is that nobody is suspected for what
//! was only late. All durations are of each node's own steady clock, of which no two run at quite
//! the same rate.
//!
//! | | Holds | Or else |
//! |---|---|---|
//! | 1 | the lease counts from before its request was sent | a late answer makes it too long |
//! | 2 | promise ≥ lease × (1 + ρ) / (1 − ρ) + granularity | two owners |
//! | 3 | lease ≥ (k + 1) × heartbeat + round trip + J | k lost renewals stop the outputs |
//! | 4 | round trip + k × heartbeat + 2 × J + arbitration ≤ lease | they stop with the standby |
//! | 5 | silent crash: one way + promise / (1 − ρ) + J + arbitration + latch + cycle | |
//! | 6 | witnessed death: one way + arbitration + latch + cycle | |
//! | 7 | somebody decides when the peer is silent | nobody takes over |
//! | 8 | takeover + cycle < the hold time of each output | the plant notices |
//! | 9 | takeover ≤ the recovery time that is asked for | |
//! | 10 | what a crash may lose ≤ the recovery point that is asked for | |
//!
//! 1 is a rule for whoever sets the deadline; 5 and 6 are bounds. What *arbitration* takes depends
//! on who decides ([`crate::pair::Mode`], [`Setting`]): questions to the witness, `r` of which may
//! be lost; a claim at the latches; in (5) a fence or a watchdog. The plain functions of
//! [`Measured`] are those of mode W.
//!
//! | Module | Holds |
//! |---|---|
//! | this one | the timers, (2) to (6) and (8) with a witness |
//! | `setting` | all of them, by mode |
//! | `sum` | a bound with the parts that it is the sum of |
//! | `change` | what would have to change where one fails |
//!
//! Everything is rounded so that a margin gets smaller, never larger: what has to be long is
//! rounded up. Arithmetic saturates, and what saturates holds nothing.
//!
//! Sources: C. Gray, D. Cheriton, "Leases" (SOSP 1989) for 1 and 2. (4) counts the round trip,
//! because the answer that is missed last was due that much after its request, and J twice: the
//! last request may leave late, and the node looks late whether its answer came. (5) counts the
//! standby's own lateness and the retries of a lost question to the witness.
//!
//! A witness that keeps its register over a restart stores it *before* it answers, so that its
//! round trip includes the storing, which on a disk is most of it. One that does not is quicker,
//! and after its own restart decides nothing until both nodes have told it how they stand.

mod change;
mod setting;
mod sum;

pub use change::{Change, Direction, Lever};
pub use setting::{Bounds, HEARTBEAT_LEAST, HEARTBEAT_MOST, MISSES_DEFAULT, Setting, Timing};
pub use sum::{Part, Sum, What};

use core::fmt;

use crate::time::Duration;

/// How fast two steady clocks may drift apart each, in parts per million, where nobody says: the
/// kernel corrects CLOCK_MONOTONIC by as much.
pub const DRIFT_PPM_DEFAULT: u32 = 500;

/// What was measured, and what the plant allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Measured {
    /// J: how late a node sends or looks at most, on the worse of the two.
    pub jitter: Duration,
    /// From sending a heartbeat to having its answer, at most, on the worse of the LANs that have
    /// to do: half of it is taken for one way.
    pub round_trip: Duration,
    /// The same of a question to the witness, with all that it does before it answers; zero where
    /// none is asked.
    pub witness_round_trip: Duration,
    /// Questions to the witness that may be lost.
    pub witness_retries: u32,
    /// The same of a claim at the outputs' latches; zero where there are none.
    pub latch_round_trip: Duration,
    /// Of the controller.
    pub cycle: Duration,
    /// The shortest time for which an output holds its last value.
    pub hold: Duration,
    /// ρ: how far off a steady clock's rate may be, in parts per million.
    pub drift_ppm: u32,
    /// Of the clock that deadlines are compared with.
    pub granularity: Duration,
}

/// The timers that are chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timers {
    /// From one heartbeat to the next, each a request for the lease.
    pub heartbeat: Duration,
    /// k: heartbeats in a row that may be lost.
    pub misses: u32,
    /// At its holder.
    pub lease: Duration,
    /// Before its end the grantor gives the lease to nobody else.
    pub promise: Duration,
}

/// Something that has to hold between timers and measurements.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Inequality {
    /// 2: the promise outlasts the lease on any two clocks.
    PromiseOutlastsLease,
    /// 3: the lease outlasts `k` lost renewals.
    LeaseOutlastsLosses,
    /// 4: the active node asks the witness before its lease ends, when the standby is silent.
    SuspicionBeforeLeaseEnds,
    /// 7: somebody decides when the peer is silent.
    SomebodyDecides,
    /// 8: a takeover is over before an output falls back.
    TakeoverWithinHold,
    /// 9: a takeover takes no longer than was asked for.
    TakeoverWithinRecoveryTime,
    /// 10: a crash loses no more than was asked for.
    LossWithinRecoveryPoint,
}

/// How an inequality stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Which.
    pub inequality: Inequality,
    /// What has to be at least, or with [`Inequality::TakeoverWithinHold`] more than, `needed`.
    pub given: Duration,
    /// What it takes.
    pub needed: Duration,
    /// Whether it holds.
    pub holds: bool,
}

impl Inequality {
    /// Its number in the module's table.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::PromiseOutlastsLease => 2,
            Self::LeaseOutlastsLosses => 3,
            Self::SuspicionBeforeLeaseEnds => 4,
            Self::SomebodyDecides => 7,
            Self::TakeoverWithinHold => 8,
            Self::TakeoverWithinRecoveryTime => 9,
            Self::LossWithinRecoveryPoint => 10,
        }
    }

    /// The names of what is given, and of what it has to outlast.
    #[must_use]
    pub const fn sides(self) -> (&'static str, &'static str) {
        match self {
            Self::PromiseOutlastsLease => ("the promise", "the lease on the slower clock"),
            Self::LeaseOutlastsLosses => ("the lease", "the renewals that may be lost"),
            Self::SuspicionBeforeLeaseEnds => ("the lease", "suspecting and asking the witness"),
            Self::SomebodyDecides => ("who decides", "a silent peer"),
            Self::TakeoverWithinHold => ("the outputs' hold time", "a takeover and a cycle"),
            Self::TakeoverWithinRecoveryTime => ("the recovery time", "a takeover"),
            Self::LossWithinRecoveryPoint => ("the recovery point", "what a crash may lose"),
        }
    }
}

impl Finding {
    fn new(inequality: Inequality, given: Duration, needed: Duration) -> Self {
        let strictly = inequality == Inequality::TakeoverWithinHold;
        // What saturated is no figure.
        let holds =
            needed < Duration::MAX && if strictly { needed < given } else { needed <= given };
        Self { inequality, given, needed, holds }
    }

    /// By how much it holds, or fails.
    #[must_use]
    pub const fn margin(&self) -> Duration {
        let (more, less) = if self.given.as_nanos() >= self.needed.as_nanos() {
            (self.given, self.needed)
        } else {
            (self.needed, self.given)
        };
        more.saturating_sub(less)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (given, needed) = self.inequality.sides();
        let verb = if self.holds { "outlasts" } else { "does not outlast" };
        let Self { given: is, needed: takes, .. } = self;
        write!(f, "({}) {given} ({is}) {verb} {needed} ({takes})", self.inequality.number())
    }
}

impl Measured {
    /// Half a round trip, rounded up.
    const fn one_way(&self) -> Duration {
        Duration::from_nanos(self.round_trip.as_nanos().div_ceil(2))
    }

    /// A span of a clock that is as slow as may be, on one that is right, rounded up.
    fn at_longest(&self, span: Duration) -> Duration {
        scaled(span, 1_000_000, 1_000_000u64.saturating_sub(self.drift_ppm.into()))
    }

    fn witness(&self) -> Duration {
        self.witness_round_trip.saturating_mul(1 + u64::from(self.witness_retries))
    }

    /// The shortest heartbeat that a node can keep: the latest beat has gone out and its answer has
    /// come before the next one is due.
    #[must_use]
    pub fn heartbeat_min(&self) -> Duration {
        self.jitter + self.round_trip
    }

    /// (2) The shortest promise for a lease.
    #[must_use]
    pub fn promise_min(&self, lease: Duration) -> Duration {
        let drift = u64::from(self.drift_ppm);
        let slowest = 1_000_000u64.saturating_sub(drift);
        scaled(lease, 1_000_000 + drift, slowest) + self.granularity
    }

    /// When a peer that is silent is suspected: so long after the last heartbeat that was expected
    /// of it.
    #[must_use]
    pub fn suspicion(&self, heartbeat: Duration, misses: u32) -> Duration {
        heartbeat.saturating_mul(u64::from(misses)) + self.jitter
    }

    /// (3) The shortest lease that outlasts lost renewals.
    #[must_use]
    pub fn lease_for_losses(&self, heartbeat: Duration, misses: u32) -> Duration {
        heartbeat.saturating_mul(u64::from(misses) + 1) + self.round_trip + self.jitter
    }

    /// (4) The shortest lease under which the witness answers before its end. A node that looks
    /// late suspects late.
    #[must_use]
    pub fn lease_for_suspicion(&self, heartbeat: Duration, misses: u32) -> Duration {
        self.round_trip + self.suspicion(heartbeat, misses) + self.jitter + self.witness()
    }

    /// (5) From a silent crash to the first output of the next owner, at most.
    #[must_use]
    pub fn takeover_after_silence(&self, promise: Duration) -> Duration {
        self.one_way() + self.at_longest(promise) + self.jitter + self.takeover_by_evidence()
    }

    /// (6) The same after a death that somebody saw: the kernel of the same host, or a last word.
    #[must_use]
    pub fn takeover_after_evidence(&self) -> Duration {
        self.one_way() + self.takeover_by_evidence()
    }

    fn takeover_by_evidence(&self) -> Duration {
        self.witness() + self.latch_round_trip + self.cycle
    }

    /// The shortest timers for a heartbeat of which `misses` in a row may be lost.
    #[must_use]
    pub fn timers(&self, heartbeat: Duration, misses: u32) -> Timers {
        let losses = self.lease_for_losses(heartbeat, misses);
        let lease = losses.max(self.lease_for_suspicion(heartbeat, misses));
        Timers { heartbeat, misses, lease, promise: self.promise_min(lease) }
    }

    /// How all inequalities stand, in the order of their numbers.
    #[must_use]
    pub fn findings(&self, timers: &Timers) -> [Finding; 4] {
        let Timers { heartbeat, misses, lease, promise } = *timers;
        let holds = Finding::new;
        let takeover = self.takeover_after_silence(promise) + self.cycle;
        [
            holds(Inequality::PromiseOutlastsLease, promise, self.promise_min(lease)),
            holds(Inequality::LeaseOutlastsLosses, lease, self.lease_for_losses(heartbeat, misses)),
            holds(
                Inequality::SuspicionBeforeLeaseEnds,
                lease,
                self.lease_for_suspicion(heartbeat, misses),
            ),
            holds(Inequality::TakeoverWithinHold, self.hold, takeover),
        ]
    }
}

/// A span times a ratio, rounded up; all there is where that is too much, or the ratio is none.
fn scaled(span: Duration, by: u64, of: u64) -> Duration {
    if of == 0 {
        return Duration::MAX;
    }
    let product = u128::from(span.as_nanos()) * u128::from(by);
    Duration::from_nanos(u64::try_from(product.div_ceil(u128::from(of))).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
