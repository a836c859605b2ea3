//! What a model is made with: terms, bounds, and what is wrong on purpose.

use rt_core::pair::terms::{ColdStart, Damping, Failback, Latches};
use rt_core::pair::{Mode, NodeId, Terms};
use rt_core::time::Duration;

/// Longer than any behaviour that is looked at.
pub(crate) const NEVER: Duration = Duration::from_nanos(1_000);

pub(crate) const fn ticks(count: u64) -> Duration {
    Duration::from_nanos(count)
}

/// What a model is made with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// In ticks.
    pub(crate) lease: u64,
    /// In ticks.
    pub(crate) promise: u64,
    pub(crate) mode: Mode,
    /// Beats under way at a time, in each direction. Of everything else there is one for each
    /// node, which may be repeated without end.
    pub(crate) beats_max: usize,
    /// Pauses of a program, in all.
    pub(crate) pauses_max: u8,
    /// Epochs after the pair has come up.
    pub(crate) epochs_max: u64,
    /// Starts of each node after that.
    pub(crate) starts_max: u8,
    /// Times that the witness loses its register.
    pub(crate) losses_max: u8,
    /// Times that one clock ticks without the other.
    pub(crate) slips_max: u8,
    /// Times that a node stands still with its clock, as a guest does whose clock is stopped.
    pub(crate) freezes_max: u8,
    /// Latches, all of them critical.
    pub(crate) latches: u8,
    /// Whether an operator wants the other node to drive, at any time.
    pub(crate) switchover: bool,
    /// What is done wrong, on purpose.
    pub(crate) mutant: Option<Mutant>,
}

/// Something that is wrong with the protocol, put into the world around the real machine. Terms
/// that do not hold, such as a promise that is too short, need no mutant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mutant {
    /// The lease counts from when its grant came.
    LeaseFromArrival,
    /// A candidate goes on granting.
    CandidateGrants,
    /// A grantor that restarts forgets what it promised.
    ForgottenPromise,
    /// The witness forgets what happened, and answers all the same.
    Amnesia,
    /// Outputs leave before the latches answered.
    NoClaim,
}

impl Setup {
    /// The same without anything that is wrong, and with room for everything.
    pub(crate) fn clean(&self) -> Self {
        let promise = self.promise.max(self.lease);
        Self { mutant: None, beats_max: usize::MAX, promise, ..self.clone() }
    }

    pub(crate) fn terms(&self, me: NodeId) -> Terms {
        Terms {
            me,
            mode: self.mode,
            latches: Latches::all(self.latches),
            lease: ticks(self.lease),
            promise: ticks(self.promise),
            suspicion: ticks(1),
            ask_every: ticks(1),
            poll_every: NEVER,
            listen: ticks(self.promise),
            stall: None,
            cold_start: ColdStart::Either { patience: ticks(self.promise) },
            failback: Failback::Never,
            damping: Damping::NONE,
        }
    }
}
