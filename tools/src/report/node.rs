//! The node table as a document.

use prp::lre::NodeRecord;
use prp::types::LanId;
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
    /// Whether it is known by its supervision frames, which protects its place in the table.
    pub supervised: bool,
    /// The RedBox in front of it, where it announced one; null: none.
    pub redbox_mac: Option<String>,
    /// What came from it on LAN A.
    pub lan_a: NodeLan,
    /// What came from it on LAN B.
    pub lan_b: NodeLan,
}

/// What came from one node on one LAN.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct NodeLan {
    /// Frames of any kind.
    pub rx_frames: u64,
    /// Frames with an RCT, among the above.
    pub rx_tagged_frames: u64,
    /// Supervision frames about it.
    pub rx_supervision_frames: u64,
    /// Tagged frames with the LAN id of the other LAN.
    pub wrong_lan_frames: u64,
}

impl From<&NodeRecord> for Node {
    fn from(record: &NodeRecord) -> Self {
        let [a, b] = record.last_seen_age.map(|age| age.map(Duration::as_nanos));
        let lan = |lan: LanId| NodeLan {
            rx_frames: record.rx[lan.index()],
            rx_tagged_frames: record.rx_tagged[lan.index()],
            rx_supervision_frames: record.rx_supervision[lan.index()],
            wrong_lan_frames: record.err_wrong_lan[lan.index()],
        };
        Self {
            mac: record.mac.to_string(),
            kind: record.kind.name().to_owned(),
            last_seen_a_ns: a,
            last_seen_b_ns: b,
            supervised: record.supervised,
            redbox_mac: record.redbox_mac.map(|mac| mac.to_string()),
            lan_a: lan(LanId::A),
            lan_b: lan(LanId::B),
        }
    }
}

impl Node {
    /// Whether the node should be heard on both LANs.
    #[must_use]
    pub fn is_doubly_attached(&self) -> bool {
        !self.kind.starts_with("san_")
    }
}
