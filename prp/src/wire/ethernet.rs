//! Ethernet frames (IEEE 802.3) with 0, 1 or 2 VLAN tags, without frame check sequence.
//!
//! Tags are recognised by the TPIDs 0x8100 and 0x88A8. What follows a second tag is payload: a
//! third tag is not ours to interpret, and the size rules of the RCT stay defined (a tag more or
//! less shifts the LSDU by four octets).

use super::{Malformed, get_u16};
use crate::types::MacAddress;
use crate::wire::vlan::VlanTag;

/// Octets of two addresses and the EtherType.
pub const HEADER_OCTETS: usize = 14;
/// Octets of one VLAN tag.
pub const TAG_OCTETS: usize = 4;
/// The most VLAN tags that are recognised.
pub const TAGS_MAX: usize = 2;
/// The shortest untagged frame without frame check sequence (IEEE 802.3).
pub const FRAME_OCTETS_MIN: usize = 60;

/// TPID of a customer VLAN tag (IEEE 802.1Q).
pub const TPID_CTAG: u16 = 0x8100;
/// TPID of a service VLAN tag (IEEE 802.1ad).
pub const TPID_STAG: u16 = 0x88a8;

mod field {
    pub(super) const SOURCE: usize = 6;
    pub(super) const ETHERTYPE: usize = 12;
}

/// A view of an Ethernet frame.
#[derive(Clone, Copy, Debug)]
pub struct Ethernet<'a> {
    frame: &'a [u8],
    tags: u8,
}

impl<'a> Ethernet<'a> {
    /// Lays a view over a frame.
    ///
    /// # Errors
    /// [`Malformed`] when the frame ends within the header or within a VLAN tag.
    #[inline]
    pub fn new_checked(frame: &'a [u8]) -> Result<Self, Malformed> {
        if frame.len() < HEADER_OCTETS {
            return Err(Malformed);
        }
        let mut tags = 0;
        let mut at = field::ETHERTYPE;
        while usize::from(tags) < TAGS_MAX && is_tpid(get_u16(frame, at)) {
            tags += 1;
            at += TAG_OCTETS;
            if frame.len() < at + 2 {
                return Err(Malformed);
            }
        }
        Ok(Self { frame, tags })
    }

    /// The whole frame.
    #[must_use]
    pub const fn frame(&self) -> &'a [u8] {
        self.frame
    }

    /// Destination address.
    #[must_use]
    #[inline]
    pub fn destination(&self) -> MacAddress {
        mac_at(self.frame, 0)
    }

    /// Source address.
    #[must_use]
    #[inline]
    pub fn source(&self) -> MacAddress {
        mac_at(self.frame, field::SOURCE)
    }

    /// Source address as [`MacAddress::to_key`] gives it: one load instead of six.
    #[must_use]
    #[inline]
    pub fn source_key(&self) -> u64 {
        match self.frame.get(field::SOURCE..field::SOURCE + 8) {
            Some(&[a, b, c, d, e, f, g, h]) => u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 16,
            _ => 0,
        }
    }

    /// How many VLAN tags were recognised, 0 to 2.
    #[must_use]
    #[inline]
    pub const fn tags(&self) -> usize {
        self.tags as usize
    }

    /// The outer VLAN tag.
    #[must_use]
    pub fn outer_tag(&self) -> Option<VlanTag> {
        (self.tags > 0).then(|| VlanTag::from_tci(get_u16(self.frame, field::ETHERTYPE + 2)))
    }

    /// The EtherType or length field behind the tags.
    #[must_use]
    #[inline]
    pub fn ethertype(&self) -> u16 {
        get_u16(self.frame, self.header_octets() - 2)
    }

    /// Octets from the start of the frame to the end of the EtherType.
    #[must_use]
    #[inline]
    pub const fn header_octets(&self) -> usize {
        HEADER_OCTETS + TAG_OCTETS * self.tags as usize
    }

    /// What follows the EtherType: the LSDU, padding and trailer included.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.frame.get(self.header_octets()..).unwrap_or_default()
    }
}

#[inline]
const fn is_tpid(ethertype: u16) -> bool {
    matches!(ethertype, TPID_CTAG | TPID_STAG)
}

#[inline]
fn mac_at(frame: &[u8], at: usize) -> MacAddress {
    match frame.get(at..at + 6) {
        Some(&[a, b, c, d, e, f]) => MacAddress([a, b, c, d, e, f]),
        _ => MacAddress([0; 6]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(types: &[u16], payload: usize) -> Vec<u8> {
        let mut frame = vec![1, 2, 3, 4, 5, 6, 2, 0, 0, 0, 0, 9];
        for t in types {
            frame.extend_from_slice(&t.to_be_bytes());
        }
        frame.resize(frame.len() + payload, 0xee);
        frame
    }

    #[test]
    fn tags_are_counted_up_to_two() {
        for (types, tags) in [
            (&[0x0800][..], 0),
            (&[0x8100, 0x2005, 0x0800], 1),
            (&[0x88a8, 7, 0x8100, 8, 0x0800], 2),
            (&[0x8100, 7, 0x8100, 8, 0x8100, 9, 0x0800], 2),
        ] {
            let octets = frame(types, 46);
            let view = Ethernet::new_checked(&octets).unwrap();
            assert_eq!(view.tags(), tags);
            assert_eq!(view.header_octets(), 14 + 4 * tags);
            assert_eq!(view.ethertype(), if types.len() > 5 { 0x8100 } else { 0x0800 });
        }
    }

    #[test]
    fn fields_are_read() {
        let octets = frame(&[0x8100, 0xb005, 0x88b5], 10);
        let view = Ethernet::new_checked(&octets).unwrap();
        assert_eq!(view.destination(), MacAddress([1, 2, 3, 4, 5, 6]));
        assert_eq!(view.source(), MacAddress([2, 0, 0, 0, 0, 9]));
        assert_eq!(view.outer_tag(), Some(VlanTag { vid: 5, pcp: 5, dei: true }));
        assert_eq!(view.payload(), &[0xee; 10]);
    }

    #[test]
    fn a_frame_that_ends_too_early_is_malformed() {
        let whole = frame(&[0x88a8, 7, 0x8100, 8, 0x0800], 0);
        for len in 0..whole.len() {
            assert_eq!(Ethernet::new_checked(&whole[..len]).err(), Some(Malformed), "{len}");
        }
        assert!(Ethernet::new_checked(&whole).is_ok());
    }
}
