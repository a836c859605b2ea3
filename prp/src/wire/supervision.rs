//! Supervision frames: how a redundant node tells that it lives, and what it is.
//!
//! ```text
//!  0   destination 01-15-4E-00-01-XX       18  TLV1: 20, 21, 22 or 23, length 6
//!  6   source                              20  MAC address of the announced node
//!  12  (802.1Q tag), EtherType 0x88FB      26  TLV2: 30, length 6, RedBox MAC  (optional)
//!  14  path (4 bit), version (12 bit)          TLV: 0, 0  (end)
//!  16  sequence number                         zeros up to 60 octets, then the RCT
//! ```
//!
//! What is accepted is wider than what is sent: any last octet of the destination, any version
//! (those above 1 are read as 1, for the standard keeps them compatible), VLAN tags, TLVs behind
//! the first that are unknown (skipped). What would put a wrong node into the table is refused: a
//! group address, a wrong length, no end (IEC 62439-3, 4.2.7.6).

use core::fmt;

use super::ethernet::{Ethernet, FRAME_OCTETS_MIN, HEADER_OCTETS, TAG_OCTETS, TPID_CTAG};
use super::rct::PRP_SUFFIX;
use super::{Malformed, get_u16, put_u16};
use crate::types::MacAddress;
use crate::wire::vlan::VlanTag;

/// The first five octets of the destination; the sixth is configured.
pub const DESTINATION_PREFIX: [u8; 5] = [0x01, 0x15, 0x4e, 0x00, 0x01];
/// EtherType of supervision frames.
pub const ETHERTYPE: u16 = PRP_SUFFIX;
/// The longest supervision frame that [`SupervisionRepr::emit`] writes, RCT not included.
pub const FRAME_OCTETS_MAX: usize = FRAME_OCTETS_MIN + TAG_OCTETS;

mod tlv {
    pub(super) const END: u8 = 0;
    pub(super) const REDBOX_MAC: u8 = 30;
    pub(super) const MAC_OCTETS: u8 = 6;
    /// Version 0 carried two addresses in its first TLV.
    pub(super) const TWO_MAC_OCTETS: u8 = 12;
}

/// The first TLV's type: what the announced node does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum SupervisionKind {
    /// PRP, duplicates discarded.
    PrpDuplicateDiscard = 20,
    /// PRP, duplicates accepted.
    PrpDuplicateAccept = 21,
    /// HSR version 0, announcement.
    HsrAnnounce = 22,
    /// HSR, life check.
    Hsr = 23,
}

impl SupervisionKind {
    const fn from_tlv(octet: u8) -> Option<Self> {
        match octet {
            20 => Some(Self::PrpDuplicateDiscard),
            21 => Some(Self::PrpDuplicateAccept),
            22 => Some(Self::HsrAnnounce),
            23 => Some(Self::Hsr),
            _ => None,
        }
    }

    /// Whether the announced node speaks HSR.
    #[must_use]
    pub const fn is_hsr(self) -> bool {
        matches!(self, Self::HsrAnnounce | Self::Hsr)
    }
}

/// The content of a supervision frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SupervisionRepr {
    /// Last octet of the destination.
    pub last_octet: u8,
    /// Who sent the frame.
    pub source: MacAddress,
    /// The outer VLAN tag.
    pub vlan: Option<VlanTag>,
    /// SupVersion, 12 bits.
    pub version: u16,
    /// SupSequenceNumber: a counter of its own.
    pub sequence_number: u16,
    /// What the announced node does.
    pub kind: SupervisionKind,
    /// The announced node.
    pub mac: MacAddress,
    /// The RedBox behind which the announced node is.
    pub redbox_mac: Option<MacAddress>,
}

/// Whether a frame claims to be a supervision frame: destination and EtherType.
#[must_use]
#[inline]
pub fn is_supervision(frame: &Ethernet<'_>) -> bool {
    frame.ethertype() == ETHERTYPE && frame.frame().starts_with(&DESTINATION_PREFIX)
}

impl SupervisionRepr {
    /// Reads a supervision frame. An RCT at the end may be there or not.
    ///
    /// # Errors
    /// [`Malformed`] as the module says.
    pub fn parse(frame: &Ethernet<'_>) -> Result<Self, Malformed> {
        if !is_supervision(frame) {
            return Err(Malformed);
        }
        let last_octet = *frame.frame().get(5).ok_or(Malformed)?;
        let payload = frame.payload();
        let (header, tlvs) = payload.split_at_checked(4).ok_or(Malformed)?;
        let version = get_u16(header, 0) & 0x0fff;
        let (kind, mac, rest) = first_tlv(tlvs, version)?;
        Ok(Self {
            last_octet,
            source: frame.source(),
            vlan: frame.outer_tag(),
            version,
            sequence_number: get_u16(header, 2),
            kind,
            mac,
            redbox_mac: redbox_tlv(rest)?,
        })
    }

    /// Octets that [`SupervisionRepr::emit`] writes: 60, or 64 with a VLAN tag; the RCT comes
    /// behind them.
    #[must_use]
    pub const fn octets(&self) -> usize {
        FRAME_OCTETS_MIN + if self.vlan.is_some() { TAG_OCTETS } else { 0 }
    }

    /// Writes the frame without RCT and returns its length. Path is 0, as PRP has it.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is shorter than [`SupervisionRepr::octets`].
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let octets = self.octets();
        let frame = buffer.get_mut(..octets).ok_or(Malformed)?;
        frame.fill(0);
        put(frame, 0, &DESTINATION_PREFIX);
        put(frame, 5, &[self.last_octet]);
        put(frame, 6, &self.source.0);
        let mut at = HEADER_OCTETS - 2;
        if let Some(vlan) = self.vlan {
            put_u16(frame, at, TPID_CTAG);
            put_u16(frame, at + 2, vlan.to_tci());
            at += TAG_OCTETS;
        }
        put_u16(frame, at, ETHERTYPE);
        put_u16(frame, at + 2, self.version & 0x0fff);
        put_u16(frame, at + 4, self.sequence_number);
        put(frame, at + 6, &[self.kind as u8, tlv::MAC_OCTETS]);
        put(frame, at + 8, &self.mac.0);
        if let Some(redbox) = self.redbox_mac {
            put(frame, at + 14, &[tlv::REDBOX_MAC, tlv::MAC_OCTETS]);
            put(frame, at + 16, &redbox.0);
        }
        // The end TLV is two zeros: they are there already.
        Ok(octets)
    }
}

/// Reads the first TLV; returns what follows it.
fn first_tlv(tlvs: &[u8], version: u16) -> Result<(SupervisionKind, MacAddress, &[u8]), Malformed> {
    let (kind, value, rest) = split_tlv(tlvs)?;
    let kind = SupervisionKind::from_tlv(kind).ok_or(Malformed)?;
    let length_fits = value.len() == usize::from(tlv::MAC_OCTETS)
        || (version == 0 && value.len() == usize::from(tlv::TWO_MAC_OCTETS));
    if !length_fits {
        return Err(Malformed);
    }
    Ok((kind, station(value)?, rest))
}

/// Walks the TLVs behind the first up to the end TLV; returns the RedBox address if one stood
/// there.
fn redbox_tlv(mut tlvs: &[u8]) -> Result<Option<MacAddress>, Malformed> {
    let mut redbox = None;
    loop {
        let (kind, value, rest) = split_tlv(tlvs)?;
        match kind {
            tlv::END if value.is_empty() => return Ok(redbox),
            tlv::END => return Err(Malformed),
            tlv::REDBOX_MAC if value.len() == usize::from(tlv::MAC_OCTETS) && redbox.is_none() => {
                redbox = Some(station(value)?);
            }
            tlv::REDBOX_MAC => return Err(Malformed),
            // Skipped, whatever it is: each step consumes at least two octets, so the walk ends.
            _ => {}
        }
        tlvs = rest;
    }
}

fn split_tlv(octets: &[u8]) -> Result<(u8, &[u8], &[u8]), Malformed> {
    match octets {
        [kind, length, rest @ ..] => {
            let (value, rest) = rest.split_at_checked(usize::from(*length)).ok_or(Malformed)?;
            Ok((*kind, value, rest))
        }
        _ => Err(Malformed),
    }
}

fn station(value: &[u8]) -> Result<MacAddress, Malformed> {
    match value {
        &[a, b, c, d, e, f, ..] => {
            let mac = MacAddress([a, b, c, d, e, f]);
            if mac.is_station() { Ok(mac) } else { Err(Malformed) }
        }
        _ => Err(Malformed),
    }
}

fn put(frame: &mut [u8], at: usize, octets: &[u8]) {
    if let Some(field) = frame.get_mut(at..at + octets.len()) {
        field.copy_from_slice(octets);
    }
}

impl fmt::Display for SupervisionRepr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "supervision {:?} of {} nr {}", self.kind, self.mac, self.sequence_number)?;
        match self.redbox_mac {
            Some(redbox) => write!(f, " behind {redbox}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x21]);
    const REDBOX: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x99]);

    fn repr() -> SupervisionRepr {
        SupervisionRepr {
            last_octet: 0,
            source: NODE,
            vlan: None,
            version: 1,
            sequence_number: 0x0102,
            kind: SupervisionKind::PrpDuplicateDiscard,
            mac: NODE,
            redbox_mac: None,
        }
    }

    fn emitted(repr: &SupervisionRepr) -> Vec<u8> {
        let mut buffer = vec![0xaa; FRAME_OCTETS_MAX];
        let octets = repr.emit(&mut buffer).unwrap();
        buffer.truncate(octets);
        buffer
    }

    fn parsed(frame: &[u8]) -> Result<SupervisionRepr, Malformed> {
        SupervisionRepr::parse(&Ethernet::new_checked(frame).unwrap())
    }

    /// T18, T19: the octets of a DANP's supervision frame, padded to 60.
    #[test]
    fn a_danps_frame_has_the_standards_octets() {
        let frame = emitted(&repr());
        let mut expected = vec![0x01, 0x15, 0x4e, 0, 1, 0, 2, 0, 0, 0, 0, 0x21, 0x88, 0xfb];
        expected.extend([0, 1, 1, 2, 20, 6, 2, 0, 0, 0, 0, 0x21]);
        expected.resize(60, 0);
        assert_eq!(frame, expected);
    }

    #[test]
    fn parse_after_emit_is_identity() {
        let kinds = [
            SupervisionKind::PrpDuplicateDiscard,
            SupervisionKind::PrpDuplicateAccept,
            SupervisionKind::HsrAnnounce,
            SupervisionKind::Hsr,
        ];
        for kind in kinds {
            for vlan in [None, Some(VlanTag { vid: 4094, pcp: 7, dei: true })] {
                for redbox_mac in [None, Some(REDBOX)] {
                    for version in [0, 1, 2, 0x0fff] {
                        let repr = SupervisionRepr {
                            kind,
                            vlan,
                            redbox_mac,
                            version,
                            last_octet: 0xfe,
                            ..repr()
                        };
                        assert_eq!(parsed(&emitted(&repr)), Ok(repr));
                    }
                }
            }
        }
    }

    /// T20, T21, T22: what a receiver accepts beyond what we send.
    #[test]
    fn liberal_in_what_is_accepted() {
        // An unknown TLV between the known ones is skipped.
        let mut frame = emitted(&repr());
        frame[26..29].copy_from_slice(&[77, 1, 0xee]);
        frame[29..37].copy_from_slice(&[30, 6, 2, 0, 0, 0, 0, 0x99]);
        assert_eq!(parsed(&frame), Ok(SupervisionRepr { redbox_mac: Some(REDBOX), ..repr() }));
        // Version 0 with two addresses in the first TLV.
        let mut frame = emitted(&SupervisionRepr { version: 0, ..repr() });
        frame[19] = 12;
        assert_eq!(parsed(&frame).map(|r| r.mac), Ok(NODE));
        // A frame that ends right behind its end TLV.
        let frame = emitted(&repr());
        assert_eq!(parsed(&frame[..28]), Ok(repr()));
    }

    /// T20: what would put a wrong node into the table.
    #[test]
    fn strict_in_what_could_mislead() {
        let good = emitted(&SupervisionRepr { redbox_mac: Some(REDBOX), ..repr() });
        assert!(parsed(&good).is_ok());
        let with = |at: usize, octets: &[u8]| {
            let mut frame = good.clone();
            frame[at..at + octets.len()].copy_from_slice(octets);
            frame
        };
        for (why, bad) in [
            ("no known first TLV", with(18, &[19])),
            ("first TLV missing", with(18, &[0, 0])),
            ("first TLV too short", with(19, &[5])),
            ("first TLV too long", with(19, &[12])),
            ("first TLV beyond the end", with(19, &[200])),
            ("node is a group", with(20, &[1])),
            ("node is all zero", with(20, &[0, 0, 0, 0, 0, 0])),
            ("RedBox TLV too short", with(27, &[4])),
            ("RedBox is a group", with(28, &[0xff])),
            ("end TLV with a length", with(35, &[1])),
            ("no end", good[..34].to_vec()),
            ("half a TLV", good[..35].to_vec()),
            ("no TLV", good[..18].to_vec()),
            ("no sequence number", good[..17].to_vec()),
            ("another EtherType", with(12, &[0x88, 0xfa])),
            ("another destination", with(4, &[2])),
        ] {
            assert_eq!(parsed(&bad), Err(Malformed), "{why}");
        }
        let mut twice = emitted(&repr());
        twice[26..42].copy_from_slice(&[30, 6, 2, 0, 0, 0, 0, 9, 30, 6, 2, 0, 0, 0, 0, 8]);
        assert_eq!(parsed(&twice), Err(Malformed), "two RedBoxes");
    }
}
