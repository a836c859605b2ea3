//! What leaves.

use prp::lre::config::{SanUnicast, SupervisionConfig};
use prp::lre::{Outgoing, SequenceStart, Unsent};
use prp::wire::vlan::VlanTag;
use rt_core::time::{Duration, Instant};

use super::support::frames::{hex, untagged};
use super::support::{Memory, OWN, PEER, ms};
use super::{A, B, counter, danp, on_the_wire};

const TO_PEER: &str = "020000000002 020000000001";

/// T01, T02, T05; 4.1.10.2: sequence number, LAN id, LSDU size and suffix, in this order, last in
/// the frame; LAN id 0xA on LAN A and 0xB on LAN B; padding before the trailer.
#[test]
fn a_short_frame_leaves_padded_with_the_trailer_of_each_lan() {
    let mut memory = Memory::for_nodes(4);
    let mut lre = memory.lre(danp());
    let frame = hex(&format!("{TO_PEER} 0800 45 46"));
    let outgoing = lre.receive_host(ms(1), &frame);
    let [a, b] = on_the_wire(&frame, outgoing);
    assert_eq!(a, hex(&format!("{TO_PEER} 0800 45 46 00*44 0064 a034 88fb")));
    assert_eq!(b, hex(&format!("{TO_PEER} 0800 45 46 00*44 0064 b034 88fb")));
}

/// T03; 4.1.10.2: one counter for all destinations, one more with each frame, 65535 then 0.
#[test]
fn numbers_rise_by_one_whoever_receives_and_wrap() {
    let mut memory = Memory::for_nodes(4);
    let start = SequenceStart::continued(65_534, 0);
    let mut lre = memory.lre_from(OWN, danp(), start, Instant::ORIGIN);
    let receivers = ["020000000002", "ffffffffffff", "01005e000001", "020000000003"];
    for (receiver, number) in receivers.into_iter().zip(["fffe", "ffff", "0000", "0001"]) {
        let frame = hex(&format!("{receiver} 020000000001 0800 11*46"));
        let outgoing = lre.receive_host(ms(1), &frame);
        let [a, b] = on_the_wire(&frame, outgoing);
        assert_eq!(a[60..], hex(&format!("{number} a034 88fb")));
        assert_eq!(b[60..], hex(&format!("{number} b034 88fb")));
    }
}

/// T04, T05, T06; 4.1.10.2: the LSDU size counts from behind the EtherType (behind the VLAN tags)
/// to the end of the trailer; the longest frames of 1,500 octets have 1520, 1524, 1528 octets
/// (four more with frame check sequence).
#[test]
fn lsdu_size_and_length_hold_with_0_1_and_2_vlan_tags() {
    let mut memory = Memory::for_nodes(4);
    let mut lre = memory.lre(danp());
    for (types, payload, octets, size) in [
        ("0800", 0, 66, "a034"),
        ("0800", 45, 66, "a034"),
        ("0800", 46, 66, "a034"),
        ("0800", 47, 67, "a035"),
        ("0800", 100, 120, "a06a"),
        ("0800", 1500, 1520, "a5e2"),
        ("8100 6005 0800", 0, 70, "a034"),
        ("8100 6005 0800", 46, 70, "a034"),
        ("8100 6005 0800", 47, 71, "a035"),
        ("8100 6005 0800", 1500, 1524, "a5e2"),
        ("88a8 0064 8100 0005 0800", 0, 74, "a034"),
        ("88a8 0064 8100 0005 0800", 46, 74, "a034"),
        ("88a8 0064 8100 0005 0800", 47, 75, "a035"),
        ("88a8 0064 8100 0005 0800", 1500, 1528, "a5e2"),
    ] {
        let frame = hex(&format!("{TO_PEER} {types} 5a*{payload}"));
        let outgoing = lre.receive_host(ms(1), &frame);
        let [a, _] = on_the_wire(&frame, outgoing);
        assert_eq!(a.len(), octets, "{types} with {payload}");
        assert_eq!(a[octets - 4..], hex(&format!("{size} 88fb")), "{types} with {payload}");
        assert!(a.starts_with(&frame));
        assert!(a[frame.len()..octets - 6].iter().all(|&octet| octet == 0));
    }
}

/// T06: twelve bits hold no more than 4,095 octets. What is longer is not sent, takes no number and
/// is counted.
#[test]
fn a_frame_whose_size_cannot_be_stated_is_not_sent() {
    let mut memory = Memory::for_nodes(4);
    let mut lre = memory.lre(danp());
    let longest = untagged(PEER, OWN, &[0x0800], 4_089);
    let outgoing = lre.receive_host(ms(1), &longest);
    assert!(on_the_wire(&longest, outgoing)[0].ends_with(&hex("0064 afff 88fb")));
    let longer = untagged(PEER, OWN, &[0x0800], 4_090);
    assert_eq!(lre.receive_host(ms(1), &longer), Outgoing::Nothing(Unsent::Malformed));
    for short in [&longer[..0], &longer[..13], &hex(&format!("{TO_PEER} 8100 0001 08"))[..]] {
        assert_eq!(lre.receive_host(ms(1), short), Outgoing::Nothing(Unsent::Malformed));
    }
    assert_eq!(lre.next_sequence_numbers().0, 101);
    assert_eq!(counter(&lre, "lreCntErrorsC"), 4);
}

/// T18, T19; 4.2.7.6: octets and period of the own supervision. The trailer carries the data
/// counter, the frame its own.
#[test]
fn supervision_leaves_each_two_seconds_with_the_standards_octets() {
    let mut memory = Memory::for_nodes(4);
    let mut lre = memory.lre(danp());
    let mut sent = Vec::new();
    for at in 0..6_500 {
        if let Some(supervision) = lre.poll_supervision(ms(at)) {
            let [a, b] = on_the_wire(supervision.frame(), supervision.outgoing);
            sent.push((at, a, b));
        }
    }
    let expected = |at: u64, own: &str, data: &str| {
        let octets = |lan: &str| {
            hex(&format!(
                "01154e000100 020000000001 88fb 0001 {own} 1406 020000000001 0000 00*32 {data} \
                 {lan}034 88fb"
            ))
        };
        (at, octets("a"), octets("b"))
    };
    assert_eq!(sent[0].1.len(), 66);
    assert_eq!(
        sent,
        [
            expected(100, "0007", "0064"),
            expected(2_100, "0008", "0065"),
            expected(4_100, "0009", "0066"),
            expected(6_100, "000a", "0067"),
        ]
    );
}

/// T19, T22, T23: last octet, VLAN tag and interval as configured; the tagged frame has 70 octets.
#[test]
fn supervision_leaves_as_configured() {
    let mut memory = Memory::for_nodes(4);
    let mut config = danp();
    config.supervision = SupervisionConfig {
        interval: Duration::from_secs(1),
        last_octet: 0x2a,
        vlan: Some(VlanTag { vid: 0x123, pcp: 6, dei: false }),
    };
    let mut lre = memory.lre(config);
    let supervision = lre.poll_supervision(ms(100)).unwrap();
    let [a, _] = on_the_wire(supervision.frame(), supervision.outgoing);
    let expected = "01154e00012a 020000000001 8100 c123 88fb 0001 0007 1406 020000000001 0000 \
                    00*32 0064 a034 88fb";
    assert_eq!(a, hex(expected));
    assert_eq!(a.len(), 70);
    assert!(lre.poll_supervision(ms(1_099)).is_none());
    assert!(lre.poll_supervision(ms(1_100)).is_some());
}

/// After a pause supervision goes on in its interval and does not make up for what was missed.
#[test]
fn supervision_after_a_pause_is_sent_once() {
    let mut memory = Memory::for_nodes(4);
    let mut lre = memory.lre(danp());
    assert!(lre.poll_supervision(ms(100_000)).is_some());
    assert!(lre.poll_supervision(ms(100_000)).is_none());
    assert!(lre.poll_supervision(ms(102_000)).is_some());
}

/// T17; NodeRebootInterval: a node that does not know its former numbers is silent for 500 ms, data
/// and supervision.
#[test]
fn after_a_reboot_nothing_leaves_for_500_ms() {
    let mut memory = Memory::for_nodes(4);
    let mut lre = memory.lre_from(OWN, danp(), SequenceStart::after_reboot(ms(1_000)), ms(1_000));
    let frame = untagged(PEER, OWN, &[0x0800], 46);
    for at in 1_000..1_500 {
        assert_eq!(lre.receive_host(ms(at), &frame), Outgoing::Nothing(Unsent::Silence));
        assert!(lre.poll_supervision(ms(at)).is_none());
    }
    assert_eq!(lre.next_sequence_numbers(), (0, 0));
    let outgoing = lre.receive_host(ms(1_500), &frame);
    assert!(on_the_wire(&frame, outgoing)[0].ends_with(&hex("0000 a034 88fb")));
    assert!(lre.poll_supervision(ms(1_500)).is_some());
}

/// T17: a node that knows its numbers goes on with them at once.
#[test]
fn numbers_are_continued_without_silence() {
    let mut memory = Memory::for_nodes(4);
    let mut lre = memory.lre_from(OWN, danp(), SequenceStart::continued(0xabcd, 0x1234), ms(1_000));
    let frame = untagged(PEER, OWN, &[0x0800], 46);
    let outgoing = lre.receive_host(ms(1_000), &frame);
    assert!(on_the_wire(&frame, outgoing)[0].ends_with(&hex("abcd a034 88fb")));
    let supervision = lre.poll_supervision(ms(1_100)).unwrap();
    assert_eq!(supervision.frame()[16..18], [0x12, 0x34]);
    assert_eq!(lre.next_sequence_numbers(), (0xabcf, 0x1235));
}

/// A known SAN is reached untagged on its LAN when configured so, and takes no number; a DAN, a
/// group and the unknown are reached on both.
#[test]
fn a_known_san_is_reached_on_its_lan() {
    for (setting, untagged_to_san) in [(SanUnicast::ItsLan, true), (SanUnicast::BothLans, false)] {
        let mut memory = Memory::for_nodes(8);
        let mut config = danp();
        config.san_unicast = setting;
        let mut lre = memory.lre(config);
        let from = hex("020000000001 0200000000aa 0800 5a*46");
        let to = hex("0200000000aa 020000000001 0800 5a*46");
        assert!(matches!(lre.receive_host(ms(1), &to), Outgoing::Tagged { .. }));
        for lan in [A, B, A] {
            let _ = lre.receive_lan(ms(2), lan, &from);
            let outgoing = lre.receive_host(ms(3), &to);
            assert_eq!(outgoing == Outgoing::Untagged { lan }, untagged_to_san);
        }
        let group = hex("0300000000aa 020000000001 0800 5a*46");
        assert!(matches!(lre.receive_host(ms(4), &group), Outgoing::Tagged { .. }));
        let _ = lre.receive_lan(ms(5), A, &[&from[..], &hex("0001 a034 88fb")[..]].concat());
        assert!(matches!(lre.receive_host(ms(6), &to), Outgoing::Tagged { .. }));
    }
}
