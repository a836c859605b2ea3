//! Supervision frames that arrive.

use prp::lre::event::NodeKind;
use prp::lre::{DiscardReason, Fate};
use prp::types::{LanId, MacAddress};

use super::support::frames::{Announcement, append_rct, hex, untagged};
use super::support::{Memory, OWN, PEER, ms};
use super::{A, B, counter, danp, delivers, kind};

const TAKEN: Fate = Fate::Discard(DiscardReason::Supervision);
const REFUSED: Fate = Fate::Discard(DiscardReason::Malformed);
const REDBOX: MacAddress = MacAddress([2, 0, 0, 0, 0, 0x99]);

/// A frame whose octets from the path and version on are given, padded to 60 octets.
fn frame(destination: &str, from_type_on: &str) -> Vec<u8> {
    let mut frame = hex(&format!("{destination} 020000000002 {from_type_on}"));
    if frame.len() < 60 {
        frame.resize(60, 0);
    }
    frame
}

/// Feeds it with and without RCT, to LREs that know nobody, and returns what the sender is then.
fn evaluated(frame: &[u8], fate: Fate) -> Option<NodeKind> {
    let kinds = [false, true].map(|with_rct| {
        let mut frame = frame.to_vec();
        if with_rct {
            let tags = if frame[12..14] == [0x81, 0] { 4 } else { 0 };
            let lsdu = frame.len() + 6 - 14 - tags;
            append_rct(&mut frame, LanId::A, 1, lsdu);
        }
        let mut memory = Memory::for_nodes(4);
        let mut lre = memory.lre(danp());
        assert_eq!(lre.receive_lan(ms(1), A, &frame), fate, "with RCT: {with_rct}");
        assert_eq!(counter(&lre, "lreCntErrorsA"), u64::from(fate == REFUSED));
        let node = lre.node(ms(1), PEER);
        node.filter(|node| node.supervised).map(|node| node.kind)
    });
    assert_eq!(kinds[0], kinds[1], "the RCT makes no difference");
    kinds[0]
}

/// T18, T20; 4.2.7.6: TLV 20 and 21 announce a PRP node, 22 and 23 an HSR node, 30 the RedBox.
#[test]
fn the_first_tlv_says_what_the_node_is() {
    for (tlvs, expected) in [
        ("1406 020000000002 0000", NodeKind::Danp),
        ("1506 020000000002 0000", NodeKind::Danp),
        ("1606 020000000002 0000", NodeKind::Danh),
        ("1706 020000000002 0000", NodeKind::Danh),
        ("1406 020000000002 1e06 020000000099 0000", NodeKind::VdanP),
        ("1706 020000000002 1e06 020000000099 0000", NodeKind::VdanH),
        ("1406 020000000002 1e06 020000000002 0000", NodeKind::RedBoxP),
        ("1706 020000000002 1e06 020000000002 0000", NodeKind::RedBoxH),
        // Unknown TLVs behind the first are skipped, wherever they stand.
        ("1406 020000000002 4d03 aabbcc 0000", NodeKind::Danp),
        ("1406 020000000002 4d00 1e06 020000000099 ff01 00 0000", NodeKind::VdanP),
        // As much as fits: the end TLV is last in the frame.
        ("1406 020000000002 ff20 11*32 0000", NodeKind::Danp),
    ] {
        let frame = frame("01154e000100", &format!("88fb 0001 0001 {tlvs}"));
        assert_eq!(evaluated(&frame, TAKEN), Some(expected), "{tlvs}");
    }
}

/// T20: what would put a wrong node into the table is refused and counted, and reaches nobody.
#[test]
fn frames_that_contradict_themselves_are_refused() {
    for tlvs in [
        "0000 000000000000 0000",
        "1306 020000000002 0000",
        "1806 020000000002 0000",
        "1e06 020000000099 1406 020000000002 0000",
        "1405 0200000002 0000",
        "1407 02000000000200 0000",
        "140c 020000000002 020000000099 0000",
        "14ff 020000000002 0000",
        "1400 0000",
        "1406 030000000002 0000",
        "1406 ffffffffffff 0000",
        "1406 000000000000 0000",
        "1406 020000000002 1e05 0200000099 0000",
        "1406 020000000002 1e0c 020000000099 020000000098 0000",
        "1406 020000000002 1e06 030000000099 0000",
        "1406 020000000002 1e06 000000000000 0000",
        "1406 020000000002 1e06 020000000099 1e06 020000000098 0000",
        "1406 020000000002 0001",
        "1406 020000000002 4d01",
        "1406 020000000002 4dff",
        // No end: unknown TLVs to the last octet, and beyond it.
        "1406 020000000002 ff20 11*32",
        "1406 020000000002 ff1e 11*30 4d00",
    ] {
        let text = format!("88fb 0001 0001 {tlvs}");
        let mut frame = frame("01154e000100", &text);
        if tlvs.contains("11*") || tlvs.ends_with("4d01") {
            frame.truncate(hex(&text).len() + 12);
        }
        let mut memory = Memory::for_nodes(4);
        let mut lre = memory.lre(danp());
        assert_eq!(lre.receive_lan(ms(1), A, &frame), REFUSED, "{tlvs}");
        assert_eq!(counter(&lre, "lreCntErrorsA"), 1);
        assert!(lre.node(ms(1), PEER).is_none_or(|node| !node.supervised), "{tlvs}");
        assert_eq!(lre.node(ms(1), REDBOX), None, "{tlvs}");
    }
}

/// T20: cut off anywhere, a frame is refused or complete.
#[test]
fn frames_cut_short_are_refused() {
    let whole =
        hex("01154e000100 020000000002 88fb 0001 0001 1406 020000000002 1e06 020000000099 0000");
    for len in 14..=whole.len() {
        let mut memory = Memory::for_nodes(4);
        let mut lre = memory.lre(danp());
        let expected = if len == whole.len() { TAKEN } else { REFUSED };
        assert_eq!(lre.receive_lan(ms(1), A, &whole[..len]), expected, "{len} octets");
    }
}

/// T21: versions 0, 1, and any above, which are read as 1; the path does not matter.
#[test]
fn any_version_is_read() {
    for version in ["0000", "0001", "0002", "0fff", "f000", "f001"] {
        let frame = frame("01154e000100", &format!("88fb {version} 0001 1406 020000000002 0000"));
        assert_eq!(evaluated(&frame, TAKEN), Some(NodeKind::Danp), "{version}");
    }
    // Version 0 has two addresses in its first TLV; others must not.
    let two = "170c 020000000002 020000000099 0000";
    let frame_of = |version| frame("01154e000100", &format!("88fb {version} 0001 {two}"));
    assert_eq!(evaluated(&frame_of("f000"), TAKEN), Some(NodeKind::Danh));
    assert_eq!(evaluated(&frame_of("0002"), REFUSED), None);
}

/// T22: any last octet of the address.
#[test]
fn any_last_octet_of_the_destination_is_read() {
    for last in 0..=255u8 {
        let frame =
            frame(&format!("01154e0001{last:02x}"), "88fb 0001 0001 1406 020000000002 0000");
        assert_eq!(evaluated(&frame, TAKEN), Some(NodeKind::Danp), "{last}");
    }
}

/// T23: with a VLAN tag.
#[test]
fn supervision_with_a_vlan_tag_is_read() {
    let mut frame = frame("01154e000100", "8100 c00a 88fb 0001 0001 1406 020000000002 0000");
    frame.resize(64, 0);
    assert_eq!(evaluated(&frame, TAKEN), Some(NodeKind::Danp));
}

/// Only the address and the EtherType together make a supervision frame; anything else goes to the
/// host.
#[test]
fn what_is_no_supervision_frame_goes_to_the_host() {
    let mut memory = Memory::for_nodes(4);
    let mut lre = memory.lre(danp());
    for (destination, ethertype) in [
        ("01154e000200", "88fb"),
        ("01154e010100", "88fb"),
        ("01154e000100", "88fc"),
        ("01154e000100", "0800"),
        ("020000000001", "88fb"),
    ] {
        let frame = frame(destination, &format!("{ethertype} 0001 0001 1406 020000000002 0000"));
        delivers(lre.receive_lan(ms(1), A, &frame), 60);
    }
    assert_eq!(lre.node(ms(1), PEER).map(|node| node.supervised), Some(false));
}

/// Every copy is evaluated: each tells that its LAN works. Its number is subject to discard as any
/// other's.
#[test]
fn both_copies_count_as_life_signs() {
    let mut memory = Memory::for_nodes(4);
    let mut lre = memory.lre(danp());
    for lan in [A, B, B] {
        let frame = Announcement::of(PEER).with_rct(lan, 1);
        assert_eq!(lre.receive_lan(ms(1), lan, &frame), TAKEN);
    }
    assert_eq!(lre.node(ms(1), PEER).unwrap().rx_supervision, [1, 2]);
    let mut data = untagged(OWN, PEER, &[0x0800], 46);
    append_rct(&mut data, A, 1, 52);
    assert_eq!(lre.receive_lan(ms(1), A, &data), Fate::Discard(DiscardReason::Duplicate));
}

/// `lreEvaluateSupervision` false: the frames are dropped, whatever is in them, and tell nothing.
#[test]
fn supervision_is_not_evaluated_when_told_so() {
    let mut memory = Memory::for_nodes(4);
    let mut config = danp();
    config.evaluate_supervision = false;
    let mut lre = memory.lre(config);
    let announcement = Announcement { redbox: Some(REDBOX), ..Announcement::of(PEER) };
    assert_eq!(lre.receive_lan(ms(1), B, &announcement.octets()), TAKEN);
    assert_eq!(lre.receive_lan(ms(1), B, &hex("01154e000100 020000000002 88fb")), TAKEN);
    assert_eq!(kind(&lre, ms(1), PEER), Some(NodeKind::SanB));
    assert_eq!(lre.node(ms(1), REDBOX), None);
    assert_eq!(counter(&lre, "lreCntErrorsB"), 0);
}

/// Someone announces our own address: we are no remote node.
#[test]
fn an_announcement_of_ourselves_puts_nothing_into_the_table() {
    let mut memory = Memory::for_nodes(4);
    let mut lre = memory.lre(danp());
    let ours = Announcement { source: REDBOX, redbox: Some(REDBOX), ..Announcement::of(OWN) };
    assert_eq!(lre.receive_lan(ms(1), A, &ours.with_rct(A, 1)), TAKEN);
    let behind_us = Announcement { redbox: Some(OWN), ..Announcement::of(PEER) };
    assert_eq!(lre.receive_lan(ms(1), A, &behind_us.with_rct(A, 1)), TAKEN);
    assert_eq!(lre.node(ms(1), OWN), None);
}
