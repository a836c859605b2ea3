//! Who may drive: nodes, epochs, and what a pair stands at.

use core::fmt;

/// A node of a pair.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum NodeId {
    /// The one that starts first where nothing else decides.
    A,
    /// The other one.
    B,
}

impl NodeId {
    /// Both.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// The other node of the pair.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// 0 or 1.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}

/// A span of history in which one node at most may drive. Epochs only rise.
///
/// The lowest bit names the owner: even epochs are those of node A, odd ones those of node B, 0 is
/// nobody's. So no two nodes ever own the same epoch, whoever agreed to what, and a receiver knows
/// the owner from the number alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(u64);

/// Epochs that a person's word skips: more than machines may have agreed on unseen, for each costs
/// them a suspicion.
const ORDERED_STRIDE: u64 = 1 << 32;

impl Epoch {
    /// Before anybody drove.
    pub const NONE: Self = Self(0);
    /// The highest one; a higher number on the wire is refused. There is room above it for the
    /// next ones, so that nothing wraps.
    pub const MAX: Self = Self(1 << 62);

    /// The epoch of this number; none where it is too high.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number <= Self::MAX.0 { Some(Self(number)) } else { None }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Who may drive in it.
    #[must_use]
    pub const fn owner(self) -> Option<NodeId> {
        match (self.0, self.0 % 2) {
            (0, _) => None,
            (_, 0) => Some(NodeId::A),
            _ => Some(NodeId::B),
        }
    }

    /// The next epoch that is `node`'s. At [`Epoch::MAX`] there is none: the same again, which
    /// nobody accepts.
    #[must_use]
    pub const fn next_of(self, node: NodeId) -> Self {
        let next = self.0 + 1;
        let next = if next % 2 == node.index() as u64 { next } else { next + 1 };
        if next > Self::MAX.0 { self } else { Self(next) }
    }

    /// The epoch that a person gives to `node`: far above what machines may have agreed on that
    /// this node did not hear of.
    #[must_use]
    pub const fn next_by_order(self, node: NodeId) -> Self {
        let far = (self.0 / ORDERED_STRIDE + 1) * ORDERED_STRIDE;
        if far > Self::MAX.0 { self.next_of(node) } else { Self(far).next_of(node) }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}", self.0)
    }
}

/// How many nodes have a part in an epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Form {
    /// The owner drives under a lease that its standby grants, and the standby may take over.
    Duplex,
    /// The owner drives alone: the other node's copy is none, and it may not take over.
    Solo,
}

/// What a pair stands at: whose turn it is, and whether the other node may take over. A witness
/// keeps it where there is one; the nodes tell it each other with every beat.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Standing {
    /// Whose turn.
    pub epoch: Epoch,
    /// Who has a part in it.
    pub form: Form,
}

impl Standing {
    /// Of a pair that never drove: whoever starts may ask for it.
    pub const VACANT: Self = Self { epoch: Epoch::NONE, form: Form::Duplex };

    /// With a standby that may take over.
    #[must_use]
    pub const fn duplex(epoch: Epoch) -> Self {
        Self { epoch, form: Form::Duplex }
    }

    /// With its owner alone.
    #[must_use]
    pub const fn solo(epoch: Epoch) -> Self {
        Self { epoch, form: Form::Solo }
    }

    /// Who may drive; none where nobody ever did.
    #[must_use]
    pub const fn owner(&self) -> Option<NodeId> {
        self.epoch.owner()
    }

    /// Whether it is later than what was known. Two of the same epoch are told apart by whoever
    /// keeps the register alone.
    #[must_use]
    pub fn is_newer_than(&self, known: &Self) -> bool {
        self.epoch > known.epoch
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self.form {
            Form::Duplex => "DUPLEX",
            Form::Solo => "SOLO",
        };
        match self.owner() {
            Some(owner) => write!(f, "{form}({owner}) in epoch {}", self.epoch),
            None => f.write_str("vacant"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_names_its_owner_and_the_next_is_higher() {
        for number in 0..20 {
            let epoch = Epoch(number);
            for node in NodeId::ALL {
                let next = epoch.next_of(node);
                assert!(next > epoch && next.0 <= number + 2, "{epoch} {node}");
                assert_eq!(next.owner(), Some(node));
                assert!(epoch.next_by_order(node) > Epoch(1 << 32));
                assert_eq!(epoch.next_by_order(node).owner(), Some(node));
            }
        }
        assert_eq!(Epoch::NONE.owner(), None);
        assert_eq!(Epoch(3).next_by_order(NodeId::B), Epoch((1 << 32) + 1));
    }

    #[test]
    fn the_last_epoch_has_no_next_one() {
        assert_eq!(Epoch::new(u64::MAX), None);
        assert_eq!(Epoch::new(1 << 62), Some(Epoch::MAX));
        assert_eq!(Epoch::MAX.next_of(NodeId::A), Epoch::MAX);
        assert_eq!(Epoch::MAX.next_by_order(NodeId::B), Epoch::MAX);
    }

    #[test]
    fn a_standing_reads_well() {
        assert_eq!(Standing::solo(Epoch(3)).to_string(), "SOLO(B) in epoch 3");
        assert_eq!(Standing::VACANT.to_string(), "vacant");
    }
}
