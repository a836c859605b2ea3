//! What happens to a role machine, and what it wants done.

use super::super::beat::{Session, Word};
use super::super::blocks::Blocks;
use super::super::evidence::Evidence;
use super::super::question::{Answer, Claimed, FenceOutcome, Question};
use super::super::standing::{Epoch, Standing};
use super::super::state::State;
use crate::time::Instant;

/// Something that happened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// The node starts.
    Start,
    /// The host was looked at.
    SelfTest {
        /// Whether it is fit.
        passed: bool,
    },
    /// Time has passed: timers that are due are acted on.
    Time,
    /// A beat of the peer's came; a copy of one that came before changes nothing.
    Beat(Heard),
    /// The witness answered.
    Answer(Answer),
    /// A latch answered.
    Latch(Claimed),
    /// What came of switching the peer off, or killing it.
    Fence(FenceOutcome),
    /// The peer was seen to end ([`Evidence::Kernel`]), or is known to be off
    /// ([`Evidence::Fence`]). Lesser evidence changes nothing.
    PeerGone(Evidence),
    /// The application finished a cycle.
    Progress,
    /// The application says that it can, or cannot, control.
    Application {
        /// Whether it can.
        well: bool,
    },
    /// What keeps this node from taking over, of all that others than the machine know of.
    Readiness(Blocks),
    /// An operator gives an order.
    Order(Order),
    /// This program found itself wrong.
    Broken,
    /// The node stops in good order.
    Stop,
}

/// A beat of the peer's, as far as the role machine goes by it. It was authenticated, belongs to
/// the peer's present session and was made for this node's present one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Heard {
    /// The sender's session.
    pub session: Session,
    /// When it was sent, by the sender's clock.
    pub sent_at: Instant,
    /// When the newest beat of this node's that came to the sender was sent, by this node's clock.
    pub echo_sent_at: Option<Instant>,
    /// What it says.
    pub word: Word,
}

/// An operator's order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Order {
    /// Give the outputs to the standby.
    Switchover,
    /// Leave the pair, or join it again.
    Maintenance {
        /// Whether to leave.
        on: bool,
    },
    /// Take the outputs: the person who says so has made certain that the peer does not drive.
    Take,
    /// What was found is settled: a fence, a fault, too many changes.
    Acknowledge,
}

/// Why a claim is made, or a state left.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Cause {
    /// The node was started or stopped.
    Started,
    /// The host was found fit, or not.
    SelfTest,
    /// The peer was heard, or heard no more.
    Heard,
    /// The active node: its requests are not granted any more.
    RenewalsMissing,
    /// The active node: its lease is over and nobody says what follows.
    Undecided,
    /// The standby: nothing was heard for as long as it promised.
    PromiseOver,
    /// The peer's word: it drives no more.
    PeerReleased,
    /// The kernel's word, or a confirmed fence.
    PeerGone,
    /// The active node: its peer is no standby any more.
    PeerLeft,
    /// The active node: its peer is ready to be the standby.
    PeerReady,
    /// Nobody drives after a start.
    ColdStart,
    /// The outputs were this node's alone before it started.
    Reclaim,
    /// What was asked for was granted.
    Granted,
    /// Somebody else has the outputs.
    Superseded,
    /// The outputs are given to this node.
    HandedOver,
    /// Something that keeps this node from taking over came or went.
    Readiness,
    /// The application is not well, or is again.
    Application,
    /// An operator's order to change the roles.
    Switchover,
    /// An operator's word that the peer does not drive.
    Ordered,
    /// Another order of an operator's.
    Operator,
    /// The preferred node was ready for long enough.
    Failback,
    /// The peer switched this node off.
    Fenced,
    /// This program found itself wrong.
    Broken,
}

impl Cause {
    /// Whether the one who claims has the outputs and gives something of them away: to its
    /// standby, or a part in them to its peer.
    #[must_use]
    pub const fn gives(self) -> bool {
        matches!(self, Self::Switchover | Self::Failback | Self::PeerReady)
    }

    /// What it is evidence of, where it is some that the peer does not drive.
    #[must_use]
    pub const fn evidence(self) -> Option<Evidence> {
        match self {
            Self::PeerReleased | Self::HandedOver => Some(Evidence::Word),
            Self::PeerGone | Self::Ordered => Some(Evidence::Fence),
            Self::PromiseOver | Self::RenewalsMissing => Some(Evidence::Silence),
            _ => None,
        }
    }
}

/// What a machine wants done, in this order: the gate is set first
/// ([`super::Machine::gate_deadline`]), then what is to be remembered is stored, then the rest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[must_use = "what a machine wants done has to be done"]
pub struct Outcome {
    /// To be found again after a restart.
    pub remember: Option<Standing>,
    /// Send a beat on every path at once.
    pub beat: bool,
    /// Ask the witness.
    pub question: Option<Question>,
    /// Claim these latches.
    pub claim: Option<LatchClaim>,
    /// Switch the peer off, or kill it, and say what came of it.
    pub fence: bool,
    /// The state has changed.
    pub transition: Option<Transition>,
    /// What became of an operator's order: done, or what stands in the way.
    pub order: Option<Blocks>,
}

impl Outcome {
    /// What two steps at one instant want together, of which `first` was the earlier.
    pub fn after(self, first: Self) -> Self {
        let transition = match (first.transition, self.transition) {
            (Some(first), Some(last)) => Some(Transition { from: first.from, ..last }),
            (first, last) => last.or(first),
        };
        Self {
            remember: self.remember.or(first.remember),
            beat: self.beat || first.beat,
            question: self.question.or(first.question),
            claim: self.claim.or(first.claim),
            fence: self.fence || first.fence,
            transition,
            order: self.order.or(first.order),
        }
    }
}

/// Latches that are to be claimed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LatchClaim {
    /// For this epoch.
    pub epoch: Epoch,
    /// A latch that another node has claimed for a later epoch than this refuses.
    pub expected: Epoch,
    /// Frames of the claimant's epochs from this one on are to be taken: those of the outputs as
    /// it holds them without a break.
    pub since: Epoch,
    /// Which, by bit.
    pub latches: u16,
}

/// A change of state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Transition {
    /// What it was.
    pub from: State,
    /// What it is.
    pub to: State,
    /// Why.
    pub cause: Cause,
    /// The epoch that the node knows of now.
    pub epoch: Epoch,
}
