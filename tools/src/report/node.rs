//! The node table as a document.

use prp::lre::event::NodeKind;
use prp::types::MacAddress;
use rt_core::time::Duration;
use serde::{Deserialize, Serialize};

/// One node of the table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Node {
    /// Its MAC address, as in `02:00:5e:10:00:01`.
    pub mac: String,
    /// `danp`, `danh`, `redboxp`, `redboxh`, `vdanp`, `vdanh`, `san_a` or `san_b`.
    pub kind: String,
    /// Time since it was last heard on LAN A, in ns; null: never.
    pub last_seen_a_ns: Option<u64>,
    /// Time since it was last heard on LAN B, in ns; null: never.
    pub last_seen_b_ns: Option<u64>,
    /// What it sent on LAN A.
    pub lan_a: NodeLan,
    /// What it sent on LAN B.
    pub lan_b: NodeLan,
}

/// What one node sent on one LAN.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct NodeLan {
    /// Frames of any kind.
    pub rx_frames: u64,
    /// Tagged frames with the LAN id of the other LAN, among the above.
    pub wrong_lan_frames: u64,
}

impl Node {
    /// A node; times are ages, `None` for never.
    #[must_use]
    pub fn new(
        mac: MacAddress,
        kind: NodeKind,
        last_seen: [Option<Duration>; 2],
        lans: [NodeLan; 2],
    ) -> Self {
        let [a, b] = last_seen.map(|age| age.map(Duration::as_nanos));
        Self {
            mac: mac.to_string(),
            kind: kind.name().to_owned(),
            last_seen_a_ns: a,
            last_seen_b_ns: b,
            lan_a: lans[0],
            lan_b: lans[1],
        }
    }

    /// Whether the node should be heard on both LANs.
    #[must_use]
    pub fn is_doubly_attached(&self) -> bool {
        !self.kind.starts_with("san_")
    }
}
