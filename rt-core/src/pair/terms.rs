//! What a node's role machine goes by: timers, who arbitrates, and what its operator chose.

use super::arbiter::Mode;
use super::question::LATCHES_MAX;
use super::standing::NodeId;
use crate::margins::{Measured, Timers};
use crate::time::Duration;

/// How long a node that starts hears out who is there, at least.
pub const LISTEN_MIN: Duration = Duration::from_secs(1);

/// What a role machine goes by. It does not change while the machine lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Terms {
    /// Which node this is.
    pub me: NodeId,
    /// Who decides when the peer is silent.
    pub mode: Mode,
    /// The outputs' latches, where there are some.
    pub latches: Latches,
    /// Of a lease, at its holder.
    pub lease: Duration,
    /// Of a promise, at its grantor.
    pub promise: Duration,
    /// So long after the last request that was granted was sent, the next one is overdue for good.
    pub suspicion: Duration,
    /// A question that was not answered is asked again after so long.
    pub ask_every: Duration,
    /// The witness is asked how it stands after so long without another question.
    pub poll_every: Duration,
    /// How long a node that starts hears out who is there.
    pub listen: Duration,
    /// How long the application may take from one cycle to the next before its outputs are
    /// stopped; none where nobody watches it.
    pub stall: Option<Duration>,
    /// What a node that is alone does after a start.
    pub cold_start: ColdStart,
    /// When the outputs return to the node that is preferred.
    pub failback: Failback,
    /// When changes are too many.
    pub damping: Damping,
}

/// The latches of a pair's outputs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Latches {
    /// How many there are, at most [`LATCHES_MAX`].
    pub count: u8,
    /// Those that have to be claimed before anything is driven, by bit.
    pub critical: u16,
}

impl Latches {
    /// No latch.
    pub const NONE: Self = Self { count: 0, critical: 0 };

    /// So many, all of which have to be claimed.
    #[must_use]
    pub const fn all(count: u8) -> Self {
        let latches = Self { count, critical: 0 };
        Self { critical: latches.mask(), ..latches }
    }

    /// All of them, by bit.
    #[must_use]
    pub const fn mask(self) -> u16 {
        let mut mask = 0;
        let mut latch = 0;
        while latch < self.count && (latch as usize) < LATCHES_MAX {
            mask |= 1 << latch;
            latch += 1;
        }
        mask
    }
}

/// Who may begin to drive after a start, when no peer is heard. A node that hears its peer agrees
/// with it: the last owner goes first, and where nobody ever drove, node A.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ColdStart {
    /// Nobody: both nodes have to be there.
    Together,
    /// The last owner alone.
    LastOwner,
    /// The last owner at once, the other one after so long.
    Either {
        /// How long it waits for its peer.
        patience: Duration,
    },
}

/// When the outputs return to the node that is preferred.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Failback {
    /// No node is preferred.
    Never,
    /// By an operator's switchover; until then it is reported.
    Manual {
        /// The node that is preferred.
        preferred: NodeId,
    },
    /// By itself, when that node was ready for so long without a break.
    After {
        /// The node that is preferred.
        preferred: NodeId,
        /// For how long.
        hold_off: Duration,
    },
}

/// When the outputs change hands too often, the one who has them keeps them and takes no standby.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Damping {
    /// More changes than these, at most [`super::role::CHANGES_MAX`]; 0 for any number.
    pub changes_max: u8,
    /// Within so long.
    pub within: Duration,
}

impl Damping {
    /// Never too often.
    pub const NONE: Self = Self { changes_max: 0, within: Duration::ZERO };
}

impl Terms {
    /// The terms that follow from timers and from what was measured, for a witness without
    /// latches, with nothing else chosen.
    #[must_use]
    pub fn new(me: NodeId, mode: Mode, timers: &Timers, measured: &Measured) -> Self {
        let late = measured.suspicion(timers.heartbeat, timers.misses);
        let ask_every = if measured.witness_round_trip > Duration::ZERO {
            measured.witness_round_trip
        } else {
            timers.heartbeat
        };
        Self {
            me,
            mode,
            latches: Latches::NONE,
            lease: timers.lease,
            promise: timers.promise,
            suspicion: measured.round_trip + late,
            ask_every,
            poll_every: Duration::from_secs(1),
            listen: timers.promise.max(LISTEN_MIN),
            stall: None,
            cold_start: ColdStart::LastOwner,
            failback: Failback::Never,
            damping: Damping { changes_max: 4, within: Duration::from_secs(60) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_latches_are_critical_unless_somebody_says_which() {
        assert_eq!(Latches::all(3), Latches { count: 3, critical: 0b111 });
        assert_eq!(Latches::all(16).mask(), u16::MAX);
        assert_eq!(Latches::all(200).mask(), u16::MAX);
        assert_eq!(Latches::NONE.mask(), 0);
    }
}
