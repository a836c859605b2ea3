//! Frames that the bench sends.

use prp::types::{LanId, MacAddress};
use prp::wire::rct::{PRP_SUFFIX, RCT_OCTETS};

/// EtherType for local experiments: no host has a handler for it, so that a frame that has arrived
/// costs nothing more.
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];
const HEADER_OCTETS: usize = 14;

/// A frame of `octets` octets without redundancy trailer.
#[must_use]
pub fn plain(destination: MacAddress, source: MacAddress, octets: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(octets);
    frame.extend_from_slice(&destination.0);
    frame.extend_from_slice(&source.0);
    frame.extend_from_slice(&ETHERTYPE);
    frame.resize(octets.max(HEADER_OCTETS), 0x5a);
    frame
}

/// The same with a trailer behind its `octets` octets; see [`address`].
#[must_use]
pub fn tagged(destination: MacAddress, octets: usize) -> Vec<u8> {
    let mut frame = plain(destination, source(0), octets + RCT_OCTETS);
    address(&mut frame, 0, 0, LanId::A);
    frame
}

/// Writes the number of the source, the sequence number (its lower 16 bits) and the LAN into a
/// frame of [`tagged`].
pub fn address(frame: &mut [u8], number: u64, sequence: u64, lan: LanId) {
    frame[6..12].copy_from_slice(&source(number).0);
    let lsdu = u16::try_from(frame.len() - HEADER_OCTETS).unwrap_or(0);
    let rct = frame.len() - RCT_OCTETS;
    let [.., high, low] = sequence.to_be_bytes();
    let suffix = PRP_SUFFIX.to_be_bytes();
    let size = (lan.to_bits() << 12 | lsdu & 0x0fff).to_be_bytes();
    frame[rct..].copy_from_slice(&[high, low, size[0], size[1], suffix[0], suffix[1]]);
}

/// The address of source number `number`.
#[must_use]
pub fn source(number: u64) -> MacAddress {
    let [.., a, b, c] = number.to_be_bytes();
    MacAddress([0x02, 0xbe, 0, a, b, c])
}

#[cfg(test)]
mod tests {
    use super::*;
    use prp::wire::ethernet::Ethernet;
    use prp::wire::rct::RctRepr;

    #[test]
    fn a_tagged_frame_is_one_to_the_receiver() {
        let mut octets = tagged(MacAddress::BROADCAST, 64);
        address(&mut octets, 0x01_0203, 0x1_0007, LanId::B);
        let view = Ethernet::new_checked(&octets).unwrap();
        assert_eq!(view.source(), MacAddress([0x02, 0xbe, 0, 1, 2, 3]));
        let rct = RctRepr::parse(&view).unwrap();
        assert_eq!((rct.sequence_number, rct.lan_id), (7, LanId::B));
        assert_eq!(octets.len(), 70);
    }
}
