//! One slot of the packet ring: what the kernel wrote is checked, what it took out of the frame is
//! put back.
//!
//! A slot holds `struct tpacket2_hdr`, an address, room, `struct virtio_net_hdr` (10 octets) and
//! then the frame. Here all of it is octets: no pointer, no unsafe code.

use super::checksum;
use crate::port::{FRAME_OCTETS_MAX, FRAME_OCTETS_MIN};

const VLAN_TAG_OCTETS: usize = 4;
/// Where a VLAN tag stands: behind the two addresses.
const VLAN_TAG_AT: usize = 12;
const TPID_8021Q: u16 = 0x8100;

/// `struct virtio_net_hdr`, which the kernel writes right before the frame.
const OFFLOAD_OCTETS: usize = 10;
const OFFLOAD_FLAG_CHECKSUM_OPEN: u8 = 1;
const OFFLOAD_NOT_MERGED: u8 = 0;

/// `struct tpacket2_hdr`.
const HEADER_OCTETS: usize = 32;

/// What is in a slot.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Slot<'a> {
    /// A whole frame.
    Frame {
        /// The frame, tags in place.
        frame: &'a [u8],
        /// Its checksum was open and was completed.
        checksum_completed: bool,
    },
    /// A frame that the kernel merged, cut, or that is longer than a port carries.
    Merged,
    /// Something that no kernel writes.
    Malformed,
}

fn read_u16(slot: &[u8], at: usize) -> Option<u16> {
    slot.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

fn read_u32(slot: &[u8], at: usize) -> Option<u32> {
    slot.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

/// Takes a slot apart and repairs its frame in place. `status` is the slot's status word as it was
/// read.
pub(super) fn repair(slot: &mut [u8], status: u32) -> Slot<'_> {
    repair_checked(slot, status).unwrap_or(Slot::Malformed)
}

fn repair_checked(slot: &mut [u8], status: u32) -> Option<Slot<'_>> {
    let wire_octets = read_u32(slot, 4)?;
    let octets = read_u32(slot, 8)?;
    let start = usize::from(read_u16(slot, 12)?);
    let tci = read_u16(slot, 24)?;
    let tpid = read_u16(slot, 26)?;
    if wire_octets > octets {
        return Some(Slot::Merged);
    }
    let octets = usize::try_from(octets).ok()?;
    let offload_start = start.checked_sub(OFFLOAD_OCTETS)?;
    if offload_start < HEADER_OCTETS || octets < FRAME_OCTETS_MIN {
        return None;
    }
    let offload: &[u8; OFFLOAD_OCTETS] = slot.get(offload_start..)?.first_chunk()?;
    let &[flags, merged, _, _, _, _, sum_low, sum_high, at_low, at_high] = offload;
    let frame = slot.get_mut(start..start.checked_add(octets)?)?;
    if merged != OFFLOAD_NOT_MERGED {
        return Some(Slot::Merged);
    }
    let checksum_completed = flags & OFFLOAD_FLAG_CHECKSUM_OPEN != 0;
    if checksum_completed {
        let sum_start = usize::from(u16::from_ne_bytes([sum_low, sum_high]));
        let offset = usize::from(u16::from_ne_bytes([at_low, at_high]));
        // Counted from the frame as it lies here, without the tag that the kernel took out.
        checksum::complete(frame, sum_start, offset).ok()?;
    }
    let frame = if status & libc::TP_STATUS_VLAN_VALID == 0 {
        slot.get(start..start + octets)?
    } else {
        let has_tpid = status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
        let tpid = if has_tpid { tpid } else { TPID_8021Q };
        insert_tag(slot, start, octets, tpid, tci)?
    };
    if frame.len() > FRAME_OCTETS_MAX {
        return Some(Slot::Merged);
    }
    Some(Slot::Frame { frame, checksum_completed })
}

/// Moves the two addresses forward over the offload header, which was read, and writes the tag
/// behind them.
fn insert_tag(slot: &mut [u8], start: usize, octets: usize, tpid: u16, tci: u16) -> Option<&[u8]> {
    let tagged_start = start.checked_sub(VLAN_TAG_OCTETS)?;
    let tagged = slot.get_mut(tagged_start..start + octets)?;
    tagged.copy_within(VLAN_TAG_OCTETS..VLAN_TAG_OCTETS + VLAN_TAG_AT, 0);
    tagged[VLAN_TAG_AT..VLAN_TAG_AT + 2].copy_from_slice(&tpid.to_be_bytes());
    tagged[VLAN_TAG_AT + 2..VLAN_TAG_AT + 4].copy_from_slice(&tci.to_be_bytes());
    Some(tagged)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: usize = 82;
    const USER: u32 = libc::TP_STATUS_USER;

    fn slot_with(frame: &[u8], tag: (u16, u16), offload: [u8; 10]) -> Vec<u8> {
        let mut slot = vec![0u8; 2_048];
        let octets = u32::try_from(frame.len()).unwrap().to_ne_bytes();
        slot[4..8].copy_from_slice(&octets);
        slot[8..12].copy_from_slice(&octets);
        slot[12..14].copy_from_slice(&u16::try_from(START).unwrap().to_ne_bytes());
        slot[24..26].copy_from_slice(&tag.1.to_ne_bytes());
        slot[26..28].copy_from_slice(&tag.0.to_ne_bytes());
        slot[START - 10..START].copy_from_slice(&offload);
        slot[START..START + frame.len()].copy_from_slice(frame);
        slot
    }

    fn numbered(octets: usize) -> Vec<u8> {
        (0..octets).map(|i| u8::try_from(i % 251).unwrap()).collect()
    }

    #[test]
    fn a_tag_that_was_taken_out_is_put_back() {
        let frame = numbered(60);
        for (tpid, flags) in [
            (0x8100, libc::TP_STATUS_VLAN_VALID),
            (0x8100, libc::TP_STATUS_VLAN_VALID | libc::TP_STATUS_VLAN_TPID_VALID),
            (0x88a8, libc::TP_STATUS_VLAN_VALID | libc::TP_STATUS_VLAN_TPID_VALID),
        ] {
            let mut slot = slot_with(&frame, (tpid, 0xa064), [0; 10]);
            let tag = [tpid.to_be_bytes(), [0xa0, 0x64]].concat();
            let expected = [&frame[..12], &tag, &frame[12..]].concat();
            let found = repair(&mut slot, USER | flags);
            assert_eq!(found, Slot::Frame { frame: &expected, checksum_completed: false });
        }
    }

    #[test]
    fn merged_cut_and_overlong_frames_are_not_handed_over() {
        let mut merged = slot_with(&numbered(1_514), (0, 0), [0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(repair(&mut merged, USER), Slot::Merged);
        let mut cut = slot_with(&numbered(1_966), (0, 0), [0; 10]);
        cut[4..8].copy_from_slice(&4_000u32.to_ne_bytes());
        assert_eq!(repair(&mut cut, USER), Slot::Merged);
        let mut overlong = slot_with(&numbered(1_966), (0, 0), [0; 10]);
        overlong.resize(4_096, 0);
        overlong[4..8].copy_from_slice(&2_049u32.to_ne_bytes());
        overlong[8..12].copy_from_slice(&2_049u32.to_ne_bytes());
        assert_eq!(repair(&mut overlong, USER), Slot::Merged);
    }

    #[test]
    fn an_open_checksum_is_completed_before_the_tag_moves_the_frame() {
        let offload = [1, 0, 0, 0, 0, 0, 34, 0, 6, 0];
        assert_eq!(u16::from_ne_bytes([34, 0]), 34, "written for a little-endian machine");
        let mut expected = numbered(100);
        checksum::complete(&mut expected, 34, 6).unwrap();
        expected.splice(12..12, [0x81, 0x00, 0x00, 0x05]);
        let mut slot = slot_with(&numbered(100), (0x8100, 5), offload);
        let found = repair(&mut slot, USER | libc::TP_STATUS_VLAN_VALID);
        assert_eq!(found, Slot::Frame { frame: &expected, checksum_completed: true });
    }

    proptest! {
        /// Whatever stands in a slot, nothing panics and nothing outside the slot is handed over.
        #[test]
        fn hostile_slots_are_survived(
            mut slot in proptest::collection::vec(any::<u8>(), 512),
            start in prop_oneof![any::<u16>(), 0u16..600],
            octets in prop_oneof![any::<u32>(), 0u32..600],
            status: u32,
            merged in 0u8..2,
        ) {
            slot[4..8].copy_from_slice(&octets.to_ne_bytes());
            slot[8..12].copy_from_slice(&octets.to_ne_bytes());
            slot[12..14].copy_from_slice(&start.to_ne_bytes());
            if let Some(at) = usize::from(start).checked_sub(9).filter(|at| *at < 512) {
                slot[at] = merged;
            }
            let inside = slot.as_ptr_range();
            if let Slot::Frame { frame, .. } = repair(&mut slot, status) {
                let found = frame.as_ptr_range();
                prop_assert!(inside.start <= found.start && found.end <= inside.end);
                prop_assert!((FRAME_OCTETS_MIN..=FRAME_OCTETS_MAX).contains(&frame.len()));
                prop_assert_eq!(merged, OFFLOAD_NOT_MERGED);
            }
        }
    }
}
