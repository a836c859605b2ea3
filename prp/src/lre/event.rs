//! What the LRE reports beside its counters.

use crate::types::{LanId, MacAddress};

/// What a node in the table is (`lreRemNodeType`, and the two kinds of SAN).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum NodeKind {
    /// Singly attached, heard on LAN A.
    SanA = 0,
    /// Singly attached, heard on LAN B.
    SanB = 1,
    /// Doubly attached, PRP.
    Danp = 2,
    /// RedBox, PRP.
    RedBoxP = 3,
    /// Virtual doubly attached: behind a PRP RedBox.
    VdanP = 4,
    /// Doubly attached, HSR.
    Danh = 5,
    /// RedBox, HSR.
    RedBoxH = 6,
    /// Virtual doubly attached: behind an HSR RedBox.
    VdanH = 7,
}

impl NodeKind {
    /// Every kind, in the order of its number.
    pub const ALL: [Self; 8] = [
        Self::SanA,
        Self::SanB,
        Self::Danp,
        Self::RedBoxP,
        Self::VdanP,
        Self::Danh,
        Self::RedBoxH,
        Self::VdanH,
    ];

    /// The word users see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SanA => "san_a",
            Self::SanB => "san_b",
            Self::Danp => "danp",
            Self::RedBoxP => "redboxp",
            Self::VdanP => "vdanp",
            Self::Danh => "danh",
            Self::RedBoxH => "redboxh",
            Self::VdanH => "vdanh",
        }
    }

    /// Whether the node is attached to one LAN only.
    #[must_use]
    pub const fn is_san(self) -> bool {
        matches!(self, Self::SanA | Self::SanB)
    }
}

/// One thing that happened. Repeats of a lasting condition are folded: a condition is reported when
/// it begins and when it ends, its extent is in the counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LreEvent {
    /// A node was heard for the first time.
    NodeAppeared {
        /// Its address.
        mac: MacAddress,
        /// What it is, as far as known.
        kind: NodeKind,
    },
    /// A node's kind became known or changed.
    NodeKindChanged {
        /// Its address.
        mac: MacAddress,
        /// What it is now.
        kind: NodeKind,
    },
    /// A node was silent for NodeForgetTime and has left the table.
    NodeForgotten {
        /// Its address.
        mac: MacAddress,
        /// What it was.
        kind: NodeKind,
    },
    /// A doubly attached node is heard on one LAN and has not been heard on `silent` for 3 s.
    NodeSilentOnLan {
        /// Its address.
        mac: MacAddress,
        /// The LAN on which it is not heard.
        silent: LanId,
    },
    /// A doubly attached node is heard on both LANs again.
    NodeBackOnLan {
        /// Its address.
        mac: MacAddress,
        /// The LAN on which it is heard again.
        lan: LanId,
    },
    /// More nodes appeared, changed or were forgotten than are told of one by one.
    NodesUntold {
        /// How many such events there were since the last of this kind.
        count: u32,
    },
    /// Frames of the other LAN arrive at a port: cables are swapped, or the LANs are joined.
    WrongLanBegan {
        /// The LAN of the port.
        port: LanId,
        /// Whose frame it was.
        mac: MacAddress,
    },
    /// No frame of the other LAN for 10 s.
    WrongLanEnded {
        /// The LAN of the port.
        port: LanId,
    },
    /// Frames with our own address arrive: the LANs are joined, or an address is used twice.
    OwnFrameBegan {
        /// Where.
        port: LanId,
    },
    /// No own frame for 10 s.
    OwnFrameEnded {
        /// Where.
        port: LanId,
    },
    /// The node table is full: what a node not in it sends is delivered without duplicate discard.
    NodeTableFull {
        /// The node that found no place.
        mac: MacAddress,
    },
    /// The node table has room again.
    NodeTableHasRoom,
    /// The memory of duplicate discard is used up: second copies may be delivered.
    DuplicateMemoryFull,
    /// The memory of duplicate discard has room again.
    DuplicateMemoryHasRoom,
}
