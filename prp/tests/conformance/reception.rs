//! What arrives: whose frame it is, and what of it goes to the host.

use prp::lre::config::{DuplicateMode, TransparentReception};
use prp::lre::event::{LreEvent, NodeKind};
use prp::lre::{DiscardReason, Fate};

use super::support::frames::{Announcement, hex, tagged, untagged};
use super::support::{Memory, OWN, PEER, ms, settle};
use super::{A, B, counter, danp, delivers, kind};

const FROM_PEER: &str = "020000000001 020000000002";

/// T01, T04: the trailer is recognised behind 0, 1 and 2 VLAN tags and any payload, and cut off;
/// the padding before it is not known to be padding and stays.
#[test]
fn a_trailer_is_recognised_and_cut_off() {
    for (frame, octets) in [
        (format!("{FROM_PEER} 0800 5a*46 0001 a034 88fb"), 60),
        (format!("{FROM_PEER} 0800 5a*1 00*45 0001 a034 88fb"), 60),
        (format!("{FROM_PEER} 0800 5a*1500 0001 a5e2 88fb"), 1514),
        (format!("{FROM_PEER} 8100 6005 0800 5a*46 0001 a034 88fb"), 64),
        (format!("{FROM_PEER} 8100 6005 0800 5a*42 0001 a030 88fb"), 60),
        (format!("{FROM_PEER} 8100 6005 0800 5a*1500 0001 a5e2 88fb"), 1518),
        (format!("{FROM_PEER} 88a8 0064 8100 0005 0800 5a*46 0001 a034 88fb"), 68),
        (format!("{FROM_PEER} 88a8 0064 8100 0005 0800 5a*1500 0001 a5e2 88fb"), 1522),
        // A third tag is data: the LSDU counts from behind the second.
        (format!("{FROM_PEER} 8100 0001 8100 0002 8100 0003 0800 5a*46 0001 a038 88fb"), 72),
        // The largest size that can be stated.
        (format!("{FROM_PEER} 0800 5a*4089 0001 afff 88fb"), 4_103),
    ] {
        let mut memory = Memory::for_nodes(4);
        let mut lre = memory.lre(danp());
        let frame = hex(&frame);
        delivers(lre.receive_lan(ms(1), A, &frame), octets);
        assert_eq!(octets, frame.len() - 6);
        assert_eq!(counter(&lre, "lreCntRxA"), 1);
        assert_eq!(kind(&lre, ms(1), PEER), Some(NodeKind::Danp));
    }
}

/// T07: a frame without trailer is that of a SAN: delivered unchanged, each copy on each LAN.
#[test]
fn frames_of_sans_are_delivered_unchanged() {
    let mut memory = Memory::for_nodes(4);
    let mut lre = memory.lre(danp());
    for payload in [0, 46, 100, 1500, 9_000] {
        let frame = untagged(OWN, PEER, &[0x0800], payload);
        for lan in [A, B, A, B] {
            delivers(lre.receive_lan(ms(1), lan, &frame), frame.len());
        }
    }
    assert_eq!((counter(&lre, "lreCntRxA"), counter(&lre, "lreCntRxB")), (0, 0));
    assert_eq!(counter(&lre, "lreCntTxC"), 20);
}

/// T08: what only resembles a trailer is data: another suffix, another size, a LAN id that does not
/// exist, octets behind it (a switch or a virtual NIC that pads), half of it.
#[test]
fn what_resembles_a_trailer_is_data() {
    for frame in [
        format!("{FROM_PEER} 0800 5a*46 0001 a034 88fa"),
        format!("{FROM_PEER} 0800 5a*46 0001 a034 88ab"),
        format!("{FROM_PEER} 0800 5a*46 0001 a033 88fb"),
        format!("{FROM_PEER} 0800 5a*46 0001 a035 88fb"),
        format!("{FROM_PEER} 0800 5a*46 0001 a134 88fb"),
        format!("{FROM_PEER} 0800 5a*46 0001 0034 88fb"),
        format!("{FROM_PEER} 0800 5a*46 0001 c034 88fb"),
        format!("{FROM_PEER} 0800 5a*46 0001 f034 88fb"),
        format!("{FROM_PEER} 0800 5a*46 0001 a034 88fb 00"),
        format!("{FROM_PEER} 0800 5a*46 0001 a034 88fb 00*4"),
        format!("{FROM_PEER} 0800 5a*46 0001 a034 88"),
        format!("{FROM_PEER} 0800 01 a034 88fb"),
        // The size as it would be with a tag fewer, and with one more.
        format!("{FROM_PEER} 8100 0005 0800 5a*46 0001 a038 88fb"),
        format!("{FROM_PEER} 8100 0005 0800 5a*46 0001 a030 88fb"),
        // The longest frame whose size cannot be stated: 4,096 is 0 in twelve bits.
        format!("{FROM_PEER} 0800 5a*4090 0001 a000 88fb"),
    ] {
        let mut memory = Memory::for_nodes(4);
        let mut lre = memory.lre(danp());
        let octets = hex(&frame);
        for lan in [A, A, B] {
            delivers(lre.receive_lan(ms(1), lan, &octets), octets.len());
        }
        assert_eq!(counter(&lre, "lreCntRxA"), 0, "{frame}");
        assert_eq!(kind(&lre, ms(1), PEER), Some(NodeKind::SanB), "{frame}");
    }
}

/// T09; 4.1.10.3: a frame with the id of the other LAN is counted (as received, as wrong, per port
/// and per node), told of once, delivered, and still subject to discard by (source, number).
#[test]
fn a_frame_of_the_other_lan_is_delivered_counted_and_told_of() {
    let mut memory = Memory::for_nodes(4);
    let mut lre = memory.lre(danp());
    for number in 1..=3 {
        // Swapped cables.
        delivers(lre.receive_lan(ms(1), A, &tagged(PEER, B, number)), 60);
        let second = lre.receive_lan(ms(1), B, &tagged(PEER, A, number));
        assert_eq!(second, Fate::Discard(DiscardReason::Duplicate));
    }
    for (name, value) in [
        ("lreCntErrWrongLanA", 3),
        ("lreCntErrWrongLanB", 3),
        ("lreCntErrWrongLanC", 0),
        ("lreCntRxA", 3),
        ("lreCntRxB", 3),
        ("lreCntErrorsA", 0),
        ("lreCntErrorsB", 0),
    ] {
        assert_eq!(counter(&lre, name), value, "{name}");
    }
    assert_eq!(lre.node(ms(1), PEER).unwrap().err_wrong_lan, [3, 3]);
    assert_eq!(lre.alarms().wrong_lan, [true, true]);
    let told = |events: &[LreEvent], event| events.iter().filter(|&&e| e == event).count();
    let events = std::mem::take(&mut lre.events_mut().0);
    for port in [A, B] {
        assert_eq!(told(&events, LreEvent::WrongLanBegan { port, mac: PEER }), 1);
    }
    // Cables put right: the condition ends, once.
    for at in (1_000..20_000).step_by(100) {
        lre.service(ms(at));
    }
    assert_eq!(lre.alarms().wrong_lan, [false, false]);
    let events = std::mem::take(&mut lre.events_mut().0);
    for port in [A, B] {
        assert_eq!(told(&events, LreEvent::WrongLanEnded { port }), 1);
    }
}

/// Own frames that come back are dropped and counted, with and without trailer, and put nothing
/// into the node table.
#[test]
fn own_frames_are_dropped_and_counted() {
    let mut memory = Memory::for_nodes(4);
    let mut lre = memory.lre(danp());
    for (lan, frame) in [
        (A, tagged(OWN, A, 1)),
        (B, untagged(PEER, OWN, &[0x0800], 46)),
        (B, Announcement::of(OWN).with_rct(B, 2)),
    ] {
        assert_eq!(lre.receive_lan(ms(1), lan, &frame), Fate::Discard(DiscardReason::Own));
    }
    assert_eq!((counter(&lre, "lreCntOwnRxA"), counter(&lre, "lreCntOwnRxB")), (1, 2));
    assert_eq!((counter(&lre, "lreCntRxA"), counter(&lre, "lreCntRxB")), (0, 0));
    assert_eq!(counter(&lre, "lreCntNodes"), 0);
    assert_eq!(lre.alarms().own_frame, [true, true]);
}

/// What has no whole header, or a group as its source, is an error; nothing is learned of it.
#[test]
fn malformed_frames_are_dropped_and_counted() {
    let mut memory = Memory::for_nodes(4);
    let mut lre = memory.lre(danp());
    for frame in [
        String::new(),
        FROM_PEER.to_owned(),
        format!("{FROM_PEER} 08"),
        format!("{FROM_PEER} 8100 0001"),
        format!("{FROM_PEER} 8100 0001 08"),
        format!("{FROM_PEER} 88a8 0001 8100 0001 08"),
        "020000000001 030000000002 0800 5a*46".to_owned(),
        "020000000001 ffffffffffff 0800 5a*46 0001 a034 88fb".to_owned(),
    ] {
        let before = counter(&lre, "lreCntErrorsB");
        let fate = lre.receive_lan(ms(1), B, &hex(&frame));
        assert_eq!(fate, Fate::Discard(DiscardReason::Malformed), "{frame}");
        assert_eq!(counter(&lre, "lreCntErrorsB"), before + 1);
    }
    assert_eq!(counter(&lre, "lreCntNodes"), 0);
}

/// T29; `lreTransparentReception` passRCT: the trailer goes to the host, duplicates do not.
#[test]
fn transparent_reception_passes_the_trailer() {
    let mut memory = Memory::for_nodes(4);
    let mut config = danp();
    config.transparent_reception = TransparentReception::PassRct;
    let mut lre = memory.lre(config);
    delivers(lre.receive_lan(ms(1), A, &tagged(PEER, A, 1)), 66);
    let second = lre.receive_lan(ms(1), B, &tagged(PEER, B, 1));
    assert_eq!(second, Fate::Discard(DiscardReason::Duplicate));
    delivers(lre.receive_lan(ms(1), B, &untagged(OWN, PEER, &[0x0800], 50)), 64);
}

/// `lreDuplicateDiscard` doNotDiscard: TLV 21 is announced, every copy delivered and counted.
#[test]
fn duplicate_accept_delivers_every_copy_and_announces_it() {
    let mut memory = Memory::for_nodes(4);
    let mut config = danp();
    config.duplicate_mode = DuplicateMode::Accept;
    let mut lre = memory.lre(config);
    let supervision = lre.poll_supervision(ms(100)).unwrap();
    assert_eq!(supervision.frame()[18..20], [21, 6]);
    for lan in [A, B, B] {
        delivers(lre.receive_lan(ms(101), lan, &tagged(PEER, lan, 1)), 60);
    }
    settle(&mut lre, ms(1_000));
    assert_eq!(counter(&lre, "lreCntMultiA"), 1);
}
