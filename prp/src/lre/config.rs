//! What an LRE can be told, with the standard's defaults (IEC 62439-3, table of constants).

use rt_core::limits::{ENTRY_FORGET_TIME_DEFAULT, LIFE_CHECK_INTERVAL, NODE_FORGET_TIME};
use rt_core::time::Duration;

use crate::wire::vlan::VlanTag;

/// `lreTransparentReception`: what happens to the RCT of a frame that goes to the host.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum TransparentReception {
    /// The RCT is cut off.
    #[default]
    RemoveRct,
    /// The RCT stays on the frame.
    PassRct,
}

/// `lreDuplicateDiscard`: what happens to second copies.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum DuplicateMode {
    /// They are discarded; supervision announces TLV 20.
    #[default]
    Discard,
    /// They are delivered too; supervision announces TLV 21. For tests of networks.
    Accept,
}

/// How a unicast frame to a known singly attached node is sent.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum SanUnicast {
    /// Tagged, on both LANs: costs bandwidth, survives a node that moves.
    #[default]
    BothLans,
    /// Untagged, on the LAN where the node was heard last.
    ItsLan,
}

/// What the LRE's own supervision frames look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SupervisionConfig {
    /// LifeCheckInterval: one frame each.
    pub interval: Duration,
    /// Last octet of the destination 01-15-4E-00-01-XX.
    pub last_octet: u8,
    /// The 802.1Q tag, if any.
    pub vlan: Option<VlanTag>,
}

/// The configuration of a DANP's LRE, short of its address, which may be that of a network card.
/// By default what the standard says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LreConfig {
    /// See [`SupervisionConfig`].
    pub supervision: SupervisionConfig,
    /// `lreEvaluateSupervision`: whether received supervision frames are evaluated, or dropped.
    pub evaluate_supervision: bool,
    /// See [`TransparentReception`].
    pub transparent_reception: TransparentReception,
    /// See [`DuplicateMode`].
    pub duplicate_mode: DuplicateMode,
    /// See [`SanUnicast`].
    pub san_unicast: SanUnicast,
    /// EntryForgetTime (`lreDupListResideMaxTime`): how long a number is remembered.
    pub entry_forget_time: Duration,
    /// NodeForgetTime: how long a silent node stays in the table.
    pub node_forget_time: Duration,
}

impl Default for LreConfig {
    fn default() -> Self {
        Self {
            supervision: SupervisionConfig {
                interval: LIFE_CHECK_INTERVAL,
                last_octet: 0,
                vlan: None,
            },
            evaluate_supervision: true,
            transparent_reception: TransparentReception::RemoveRct,
            duplicate_mode: DuplicateMode::Discard,
            san_unicast: SanUnicast::BothLans,
            entry_forget_time: ENTRY_FORGET_TIME_DEFAULT,
            node_forget_time: NODE_FORGET_TIME,
        }
    }
}
