//! The latch of one output: which frames it takes, and what becomes of it when none come.
//!
//! A latch is at the output itself, behind everything that can be late: the gate of a node whose
//! clock stood still lets frames through that are minutes old, and the latch refuses them. It
//! takes the frames of one node at a time, the one that claimed it last, and only those of the
//! epochs that the node has held the outputs in without a break.
//!
//! It knows epochs only. Who of the two nodes should have the outputs it cannot tell, and does not
//! try: it goes by the highest epoch that was claimed by somebody who knew of the one before
//! ([`Claim::expected`]). So of two nodes that claim at the same time one gets each latch, and
//! neither drives before it has all the critical ones.
//!
//! # Contract
//!
//! 1. A claim comes to [`Latch::claim`] only if it was made after this latch was powered, which the
//!    wire sees to by a challenge: to a latch without a memory a claim from before is like any
//!    other.
//! 2. A durable latch stores [`Latch::kept`], where it changed, before it answers: a node that has
//!    the answer drives, and goes by it that nobody else's frames are taken.
//! 3. [`Latch::on_time`] is called when [`Latch::deadline`] is due, and puts the output to its safe
//!    or hold value. Late is harmless for who drives, and lengthens the hold.
//!
//! # What a power cycle loses
//!
//! Without a memory ([`Latch::new`]) all: what was claimed, and which frames were taken.
//! - It takes no frame until it is claimed again. So nothing stale gets through by itself.
//! - It has forgotten which epochs are over. A former owner that does not know that it is one (its
//!   clock stood still) and that claims before the present owner does gets this one output, until
//!   the present owner claims it too. The other latches still refuse the former one.
//!
//! A durable one ([`Latch::restored`]) keeps `claimed` and `since`, and the former owner is refused
//! as before. It does not keep the numbers of the frames, which would be a write for each: once
//! after a power cycle, until the first frame, a frame of the owner's present tenure that was
//! delayed, or comes again, is taken.
//!
//! Rejected: to take frames of the claimed epoch alone. The owner's epoch changes when it takes a
//! standby or goes on alone, which is nothing to its outputs; each time there would be a gap of a
//! round trip.

use super::question::Claimed;
use super::role::LatchClaim;
use super::standing::{Epoch, NodeId};
use crate::time::{Duration, Instant};

/// The latch of one output. Real-time class of all functions: bounded, no allocation.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Latch {
    number: u8,
    hold: Duration,
    kept: Kept,
    /// The newest frame that was taken of each node, by [`NodeId::index`]: a node that gets the
    /// latch back has not its old frames taken again.
    newest: [Option<OutputFrame>; 2],
    driven_until: Option<Instant>,
}

/// What a durable latch finds again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Kept {
    /// The highest epoch that frames may be of; its owner has the latch.
    pub claimed: Epoch,
    /// The lowest one.
    pub since: Epoch,
}

/// What a node claims a latch with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Claim {
    /// For this epoch.
    pub epoch: Epoch,
    /// The latest epoch of the peer's that the latch may be taken from.
    pub expected: Epoch,
    /// Frames of the claimant's epochs from this one on are to be taken.
    pub since: Epoch,
}

impl From<&LatchClaim> for Claim {
    fn from(claim: &LatchClaim) -> Self {
        Self { epoch: claim.epoch, expected: claim.expected, since: claim.since }
    }
}

/// What an output frame carries for the latch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OutputFrame {
    /// The epoch in which its sender took the outputs.
    pub epoch: Epoch,
    /// Rises with each frame of the epoch.
    pub sequence: u64,
}

/// Why a frame is not taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Stale {
    /// Nobody has claimed the latch since it was powered.
    Unclaimed = 0,
    /// It is the other node's.
    Foreign = 1,
    /// It is the owner's, from before it lost the outputs and took them again.
    Before = 2,
    /// It is the owner's, of an epoch for which the latch was not claimed.
    Beyond = 3,
    /// It is no newer than one that was taken.
    Repeated = 4,
}

impl Stale {
    /// All, by number.
    pub const ALL: [Self; 5] =
        [Self::Unclaimed, Self::Foreign, Self::Before, Self::Beyond, Self::Repeated];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unclaimed => "unclaimed",
            Self::Foreign => "foreign",
            Self::Before => "before",
            Self::Beyond => "beyond",
            Self::Repeated => "repeated",
        }
    }
}

/// How many frames were refused, by kind. Beside the latch, not in it: what a latch does never
/// depends on them, and two latches that differ in nothing else are the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Refusals([u64; Stale::ALL.len()]);

impl Refusals {
    /// Counts what became of a frame.
    pub fn note(&mut self, taken: Result<(), Stale>) {
        if let Err(stale) = taken {
            let count = &mut self.0[stale as usize];
            *count = count.saturating_add(1);
        }
    }

    /// How many of this kind.
    #[must_use]
    pub const fn of(&self, stale: Stale) -> u64 {
        self.0[stale as usize]
    }

    /// How many of any kind.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |total, count| total.saturating_add(*count))
    }
}

impl Latch {
    /// A latch that was powered just now and remembers nothing: number `number` of its pair, whose
    /// output keeps its last value for `hold`.
    #[must_use]
    pub const fn new(number: u8, hold: Duration) -> Self {
        Self::restored(number, hold, Kept { claimed: Epoch::NONE, since: Epoch::NONE })
    }

    /// A durable latch that was powered just now, with what it stored.
    #[must_use]
    pub const fn restored(number: u8, hold: Duration, kept: Kept) -> Self {
        Self { number, hold, kept, newest: [None; 2], driven_until: None }
    }

    /// What a durable latch stores before it answers a claim.
    #[must_use]
    pub const fn kept(&self) -> Kept {
        self.kept
    }

    /// Which epoch it takes: its answer to a node that asks.
    #[must_use]
    pub const fn claimed(&self) -> Claimed {
        Claimed { latch: self.number, epoch: self.kept.claimed }
    }

    /// Whose frames it takes.
    #[must_use]
    pub const fn owner(&self) -> Option<NodeId> {
        self.kept.claimed.owner()
    }

    /// Takes a claim, or does not, and says which epoch it takes now. The claim went through where
    /// that is its own.
    pub fn claim(&mut self, claim: &Claim) -> Claimed {
        let by = claim.epoch.owner();
        let is_sound = by.is_some() && claim.since <= claim.epoch && claim.since.owner() == by;
        let is_own = self.owner() == by;
        let may = is_own || self.kept.claimed <= claim.expected;
        if is_sound && may && claim.epoch >= self.kept.claimed {
            // An owner that lost the outputs without this latch's knowledge, and took them again,
            // has a later `since`, be it for an epoch that it claimed while it still had them. It
            // never takes one back.
            let since = if is_own { claim.since.max(self.kept.since) } else { claim.since };
            self.kept = Kept { claimed: claim.epoch, since };
        }
        self.claimed()
    }

    /// Takes a frame that came at `now`, and then keeps the output for the hold time; or says why
    /// not, and nothing has changed.
    ///
    /// # Errors
    ///
    /// What [`Stale`] lists.
    pub fn accept(&mut self, frame: &OutputFrame, now: Instant) -> Result<(), Stale> {
        let Some(owner) = self.owner() else { return Err(Stale::Unclaimed) };
        if frame.epoch.owner() != Some(owner) {
            return Err(Stale::Foreign);
        }
        if frame.epoch < self.kept.since {
            return Err(Stale::Before);
        }
        if frame.epoch > self.kept.claimed {
            return Err(Stale::Beyond);
        }
        let newest = &mut self.newest[owner.index()];
        if newest.is_some_and(|newest| *frame <= newest) {
            return Err(Stale::Repeated);
        }
        *newest = Some(*frame);
        self.driven_until = Some(now + self.hold);
        Ok(())
    }

    /// When the output goes to its safe or hold value unless a frame is taken before; none where it
    /// has gone there.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.driven_until
    }

    /// Whether the output has the value of a frame at `now`.
    #[must_use]
    pub fn is_driven(&self, now: Instant) -> bool {
        self.driven_until.is_some_and(|until| now < until)
    }

    /// Time has passed. Says whether the output has to go to its safe or hold value just now.
    pub fn on_time(&mut self, now: Instant) -> bool {
        self.driven_until.take_if(|until| *until <= now).is_some()
    }
}

#[cfg(test)]
mod tests;
