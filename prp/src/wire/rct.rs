//! The redundancy control trailer (RCT) of PRP: the last six octets of a frame.
//!
//! ```text
//!  -6              -4                    -2              end
//!  | sequence nr   | LAN id | LSDU size  | suffix 0x88FB |
//!  |    16 bit     |  4 bit |   12 bit   |    16 bit     |
//! ```
//!
//! The LSDU size counts the octets behind the EtherType up to and including the RCT. Padding goes
//! before the RCT: an untagged frame has at least 66 octets with it, a frame with one VLAN tag 70,
//! with two 74, and the LSDU size is never below 52 (IEC 62439-3, 4.1.10.2).
//!
//! A receiver takes the last six octets for an RCT when the suffix stands there, the LSDU size is
//! exactly what it should be, and the LAN id is one of the two that exist. Anything else is the
//! data of a singly attached node and passes unchanged. Six octets of data that happen to look so
//! are cut off wrongly with probability 2^-31 per frame; the standard accepts this.

use core::fmt;

use super::ethernet::{Ethernet, FRAME_OCTETS_MIN, TAG_OCTETS};
use super::{get_u16, put_u16};
use crate::types::LanId;

/// Octets of the trailer.
pub const RCT_OCTETS: usize = 6;
/// The suffix, which is also the EtherType of PRP supervision.
pub const PRP_SUFFIX: u16 = 0x88fb;
/// The largest LSDU size that twelve bits hold.
pub const LSDU_OCTETS_MAX: usize = 0x0fff;

mod field {
    pub(super) const SEQUENCE: usize = 0;
    pub(super) const LAN_AND_SIZE: usize = 2;
    pub(super) const SUFFIX: usize = 4;
}

impl LanId {
    /// The four bits in the RCT: 0xA or 0xB.
    #[must_use]
    pub const fn to_bits(self) -> u16 {
        match self {
            Self::A => 0xa,
            Self::B => 0xb,
        }
    }

    /// Reads the four bits of the RCT.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Option<Self> {
        // As arithmetic: which LAN it is changes with each frame and cannot be predicted.
        if bits >> 1 != 0b101 {
            return None;
        }
        Some(if bits & 1 == 0 { Self::A } else { Self::B })
    }
}

/// The content of an RCT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RctRepr {
    /// The sender's number for this frame, the same on both LANs.
    pub sequence_number: u16,
    /// The LAN for which the sender made this copy.
    pub lan_id: LanId,
    /// Octets behind the EtherType, this trailer included.
    pub lsdu_octets: u16,
}

impl RctRepr {
    /// The RCT at the end of a frame, if there is one.
    #[must_use]
    #[inline]
    pub fn parse(frame: &Ethernet<'_>) -> Option<Self> {
        let rct: &[u8; RCT_OCTETS] = frame.frame().last_chunk()?;
        if get_u16(rct, field::SUFFIX) != PRP_SUFFIX {
            return None;
        }
        let lan_and_size = get_u16(rct, field::LAN_AND_SIZE);
        let lsdu_octets = lan_and_size & 0x0fff;
        // All of the RCT is behind the EtherType, and the size is what it says.
        if usize::from(lsdu_octets) < RCT_OCTETS
            || frame.header_octets() + usize::from(lsdu_octets) != frame.frame().len()
        {
            return None;
        }
        Some(Self {
            sequence_number: get_u16(rct, field::SEQUENCE),
            lan_id: LanId::from_bits(lan_and_size >> 12)?,
            lsdu_octets,
        })
    }

    /// The six octets.
    #[must_use]
    #[inline]
    pub fn to_octets(self) -> [u8; RCT_OCTETS] {
        let mut rct = [0; RCT_OCTETS];
        put_u16(&mut rct, field::SEQUENCE, self.sequence_number);
        let lan_and_size = (self.lan_id.to_bits() << 12) | (self.lsdu_octets & 0x0fff);
        put_u16(&mut rct, field::LAN_AND_SIZE, lan_and_size);
        put_u16(&mut rct, field::SUFFIX, PRP_SUFFIX);
        rct
    }
}

impl fmt::Display for RctRepr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RCT {} LAN {} LSDU {}", self.sequence_number, self.lan_id, self.lsdu_octets)
    }
}

/// How a frame grows when it gets its RCT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RctRoom {
    /// Octets of the frame with its padding, before the RCT.
    pub padded_octets: usize,
    /// The LSDU size that the RCT states.
    pub lsdu_octets: u16,
}

impl RctRoom {
    /// The room for a frame's RCT; `None` when its LSDU would not fit into twelve bits.
    #[must_use]
    #[inline]
    pub fn of(frame: &Ethernet<'_>) -> Option<Self> {
        let padded_octets = frame.frame().len().max(FRAME_OCTETS_MIN + TAG_OCTETS * frame.tags());
        let lsdu = padded_octets + RCT_OCTETS - frame.header_octets();
        if lsdu > LSDU_OCTETS_MAX {
            return None;
        }
        Some(Self { padded_octets, lsdu_octets: u16::try_from(lsdu).ok()? })
    }

    /// Octets of the frame with padding and RCT.
    #[must_use]
    pub const fn total_octets(&self) -> usize {
        self.padded_octets + RCT_OCTETS
    }

    /// Writes frame, padding and RCT into `buffer`, which is [`RctRoom::total_octets`] long. A
    /// buffer of another length gets what fits.
    #[inline]
    pub fn emit(&self, frame: &[u8], rct: [u8; RCT_OCTETS], buffer: &mut [u8]) {
        if let Some((data, rest)) = buffer.split_at_mut_checked(frame.len()) {
            data.copy_from_slice(frame);
            if let Some((padding, trailer)) =
                rest.split_at_mut_checked(self.padded_octets - frame.len())
            {
                padding.fill(0);
                if let Some(trailer) = trailer.get_mut(..RCT_OCTETS) {
                    trailer.copy_from_slice(&rct);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(types: &[u16], payload: usize, lan_id: LanId, sequence_number: u16) -> Vec<u8> {
        let mut frame = vec![0xff; 12];
        for t in types {
            frame.extend_from_slice(&t.to_be_bytes());
        }
        frame.resize(frame.len() + payload, 0x55);
        let view = Ethernet::new_checked(&frame).unwrap();
        let room = RctRoom::of(&view).unwrap();
        let rct = RctRepr { sequence_number, lan_id, lsdu_octets: room.lsdu_octets };
        let mut out = vec![0x77; room.total_octets()];
        room.emit(&frame, rct.to_octets(), &mut out);
        out
    }

    /// T01, T02: layout, order and suffix; LAN ids 0xA and 0xB.
    #[test]
    fn the_trailer_is_laid_out_as_the_standard_says() {
        let a = tagged(&[0x0800], 100, LanId::A, 0x1234);
        assert_eq!(a[a.len() - 6..], [0x12, 0x34, 0xa0, 106, 0x88, 0xfb]);
        let b = tagged(&[0x0800], 1500, LanId::B, 0xffff);
        assert_eq!(b[b.len() - 6..], [0xff, 0xff, 0xb5, 0xe2, 0x88, 0xfb]);
    }

    /// T04, T05, T06: LSDU size for 0 to 1500 octets of payload with 0, 1 and 2 VLAN tags, padding
    /// to 66, 70 and 74 octets, the longest frames of 1520, 1524 and 1528.
    #[test]
    fn sizes_and_padding_hold_for_every_payload() {
        for (types, tags) in [
            (&[0x0800][..], 0),
            (&[0x8100, 0x2005, 0x0800], 1),
            (&[0x88a8, 7, 0x8100, 8, 0x0800], 2),
        ] {
            for payload in 0..=1500 {
                let frame = tagged(types, payload, LanId::A, 7);
                let header = 14 + 4 * tags;
                assert_eq!(frame.len(), (60 + 4 * tags).max(header + payload) + 6);
                let view = Ethernet::new_checked(&frame).unwrap();
                let rct = RctRepr::parse(&view).unwrap();
                assert_eq!(usize::from(rct.lsdu_octets), frame.len() - header);
                assert!(rct.lsdu_octets >= 52);
                assert!(frame[header + payload..frame.len() - 6].iter().all(|&o| o == 0));
            }
        }
    }

    /// T08: suffix there but another LSDU size, or a LAN id that does not exist: a SAN's data.
    #[test]
    fn octets_that_only_resemble_a_trailer_are_data() {
        let good = tagged(&[0x0800], 100, LanId::A, 1);
        let last = good.len();
        let with = |at: usize, value: u8| {
            let mut frame = good.clone();
            frame[at] = value;
            frame
        };
        for bad in [
            with(last - 1, 0xfa),
            with(last - 3, 105),
            with(last - 3, 107),
            with(last - 4, 0xa1),
            with(last - 4, 0xc0),
            with(last - 4, 0x00),
            [good.clone(), vec![0]].concat(),
            good[..last - 1].to_vec(),
        ] {
            assert_eq!(RctRepr::parse(&Ethernet::new_checked(&bad).unwrap()), None);
        }
    }

    #[test]
    fn a_frame_that_is_too_long_for_twelve_bits_gets_no_trailer() {
        let mut frame = vec![0; 14 + 4095 - 6];
        assert!(RctRoom::of(&Ethernet::new_checked(&frame).unwrap()).is_some());
        frame.push(0);
        assert!(RctRoom::of(&Ethernet::new_checked(&frame).unwrap()).is_none());
    }

    #[test]
    fn parse_after_emit_is_identity() {
        for lan_id in LanId::BOTH {
            for sequence_number in [0, 1, 0x7fff, 0x8000, 0xffff] {
                let frame = tagged(&[0x88b8], 200, lan_id, sequence_number);
                let view = Ethernet::new_checked(&frame).unwrap();
                let rct = RctRepr::parse(&view).unwrap();
                assert_eq!(rct, RctRepr { sequence_number, lan_id, lsdu_octets: 206 });
                assert_eq!(rct.to_octets(), frame[frame.len() - 6..]);
            }
        }
    }
}
