//! IEEE 802.1Q tags.

/// The content of one VLAN tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VlanTag {
    /// VLAN identifier, 0 to 4094 (0: priority tag only).
    pub vid: u16,
    /// Priority code point, 0 to 7.
    pub pcp: u8,
    /// Drop eligible indicator.
    pub dei: bool,
}

impl VlanTag {
    /// The tag control information as it stands on the wire.
    #[must_use]
    pub const fn to_tci(self) -> u16 {
        ((self.pcp as u16 & 7) << 13) | ((self.dei as u16) << 12) | (self.vid & 0x0fff)
    }

    /// Reads tag control information.
    #[must_use]
    pub const fn from_tci(tci: u16) -> Self {
        Self { vid: tci & 0x0fff, pcp: (tci >> 13) as u8, dei: tci & 0x1000 != 0 }
    }
}
