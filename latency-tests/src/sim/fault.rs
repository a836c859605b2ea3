//! What goes wrong, and how it is made right.

use rt_core::pair::NodeId;

use crate::impair::random::Random;

/// Sorts of faults. In brackets the nemesis of the catalogue that each stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A node crashes and comes back (N1, N16, N17).
    Crash,
    /// Both nodes lose power (N23).
    Power,
    /// A node's program stands still, its clock does not (N2 to N7, N27).
    Pause,
    /// A path is cut, in one direction or both (N8).
    Cut,
    /// Both LANs are cut, one some time after the other (N8).
    CutBoth,
    /// All paths lose a part (N9).
    Loss,
    /// A path is late and out of order (N9, N10).
    Jam,
    /// Messages come twice (N9).
    Repetition,
    /// Letters that were recorded come again (N11).
    Replay,
    /// The witness does not answer (N14).
    Witness,
    /// The witness restarts (N14).
    WitnessRestart,
    /// A latch loses its power (N25).
    Latch,
    /// A fence does not work (N21).
    Fence,
    /// A clock changes its rate, within the bound (N13).
    Rate,
    /// The application stops for a while (N24).
    Stall,
    /// The standby's copy is not whole for a while (N19).
    Lag,
    /// An operator gives an order at a bad moment (N24, N29).
    Order,
}

impl Kind {
    /// All.
    pub const ALL: [Self; 17] = [
        Self::Crash,
        Self::Power,
        Self::Pause,
        Self::Cut,
        Self::CutBoth,
        Self::Loss,
        Self::Jam,
        Self::Repetition,
        Self::Replay,
        Self::Witness,
        Self::WitnessRestart,
        Self::Latch,
        Self::Fence,
        Self::Rate,
        Self::Stall,
        Self::Lag,
        Self::Order,
    ];
}

/// A fault that is about to come. Spans are in nanoseconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Fault {
    /// A node crashes, and starts again after so long.
    Crash(NodeId, u64),
    /// Both crash, and start again after so long each.
    Power([u64; 2]),
    /// A program stands still.
    Pause(NodeId, u64),
    /// From a node, on a path, nothing passes.
    Cut {
        /// From which nodes, by index.
        from: [bool; 2],
        /// Which path.
        path: u8,
        /// For how long.
        for_ns: u64,
    },
    /// So much is lost on every path.
    Loss(f64, u64),
    /// A path has this jitter.
    Jam {
        /// Which path.
        path: u8,
        /// What chance may add to its delay.
        jitter_ns: u64,
        /// For how long.
        for_ns: u64,
    },
    /// So much comes twice.
    Repetition(f64, u64),
    /// Recorded letters come again.
    Replay,
    /// The witness does not answer.
    Witness(u64),
    /// It restarts.
    WitnessRestart,
    /// A latch restarts and has forgotten its claim.
    Latch(u8),
    /// Fences do not work.
    Fence(u64),
    /// A clock's rate.
    Rate(NodeId, i64),
    /// The application stops.
    Stall(NodeId, u64),
    /// The copy is not whole.
    Lag(NodeId, u64),
    /// An operator's switchover.
    SwitchOver(NodeId),
    /// Maintenance for so long.
    Maintenance(NodeId, u64),
}

/// How a fault ends.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Repair {
    /// The node starts.
    Start(NodeId),
    /// The program goes on.
    Resume(NodeId),
    /// The path passes again.
    Join {
        /// Which path.
        path: u8,
    },
    /// Nothing is lost.
    Loss,
    /// The path is in order.
    Jam {
        /// Which path.
        path: u8,
    },
    /// Nothing comes twice.
    Repetition,
    /// The witness answers.
    Witness,
    /// Fences work.
    Fence,
    /// The application runs.
    Stall(NodeId),
    /// The copy is whole.
    Lag(NodeId),
    /// Maintenance ends.
    Maintenance(NodeId),
}

/// A span from some microseconds to some seconds, each magnitude as likely.
fn span(chance: &mut Random) -> u64 {
    let magnitude = 100_000u64 << chance.below(16);
    magnitude + chance.below(magnitude)
}

impl Fault {
    /// Faults of a kind: one, or two that belong together with the time between them.
    #[must_use]
    pub fn draw(kind: Kind, paths: u8, latches: u8, chance: &mut Random) -> Vec<(u64, Self)> {
        let node = NodeId::ALL[usize::from(chance.below(2) == 1)];
        #[allow(clippy::cast_possible_truncation, reason = "below a small bound")]
        let path = chance.below(u64::from(paths)) as u8;
        let one = |fault| vec![(0, fault)];
        match kind {
            Kind::Crash => one(Self::Crash(node, span(chance))),
            Kind::Power => one(Self::Power([span(chance), span(chance)])),
            Kind::Pause => one(Self::Pause(node, span(chance))),
            Kind::Cut => {
                let from = [[true, true], [true, false], [false, true]]
                    [usize::try_from(chance.below(3)).unwrap_or(0)];
                one(Self::Cut { from, path, for_ns: span(chance) })
            }
            Kind::CutBoth => {
                let for_ns = span(chance);
                let apart = chance.below(2_000_000_000);
                let cut = |path| Self::Cut { from: [true; 2], path, for_ns: for_ns + apart };
                vec![(0, cut(0)), (apart, cut(1))]
            }
            Kind::Loss => {
                let part = chance.below(60) as f64 / 100.0;
                one(Self::Loss(part, span(chance)))
            }
            Kind::Jam => {
                let jitter_ns = chance.below(200_000_000);
                one(Self::Jam { path, jitter_ns, for_ns: span(chance) })
            }
            Kind::Repetition => one(Self::Repetition(0.5, span(chance))),
            Kind::Replay => one(Self::Replay),
            Kind::Witness => one(Self::Witness(span(chance))),
            Kind::WitnessRestart => one(Self::WitnessRestart),
            #[allow(clippy::cast_possible_truncation, reason = "below a small bound")]
            Kind::Latch => one(Self::Latch(chance.below(u64::from(latches.max(1))) as u8)),
            Kind::Fence => one(Self::Fence(span(chance))),
            Kind::Rate => one(Self::Rate(node, chance.below(951).cast_signed() - 475)),
            Kind::Stall => one(Self::Stall(node, span(chance))),
            Kind::Lag => one(Self::Lag(node, span(chance))),
            Kind::Order if chance.below(2) == 0 => one(Self::Maintenance(node, span(chance))),
            Kind::Order => one(Self::SwitchOver(node)),
        }
    }
}
