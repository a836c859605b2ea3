//! The node table: ageing, kinds, its end, counters, clearing.

use prp::lre::event::{LreEvent, NodeKind};
use prp::lre::{DiscardReason, Fate, Lre};
use prp::types::MacAddress;
use rt_core::time::Duration;

use super::support::frames::{Announcement, tagged, untagged};
use super::support::{Events, Memory, OWN, PEER, ms, settle};
use super::{A, B, counter, danp, delivers, kind, on_the_wire};

const REDBOX: MacAddress = MacAddress([2, 0, 0, 0, 0, 0x99]);

fn made_up(n: u16) -> MacAddress {
    let [a, b] = n.to_be_bytes();
    MacAddress([2, 7, 7, 0, a, b])
}

/// Lets an LRE serve from one time to another, in milliseconds.
fn pass(lre: &mut Lre<'_, Events>, from: u64, to: u64) {
    for at in (from..to).step_by(50) {
        lre.service(ms(at));
    }
}

/// T24; `lreTimeLastSeenA`, `B`: last seen per LAN; NodeForgetTime counts from the last frame on
/// any LAN.
#[test]
fn a_node_ages_by_the_lan_that_heard_it_last() {
    let mut memory = Memory::for_nodes(8);
    let mut lre = memory.lre(danp());
    delivers(lre.receive_lan(ms(1_000), A, &tagged(PEER, A, 1)), 60);
    let ages = |lre: &Lre<'_, Events>, at| lre.node(ms(at), PEER).map(|n| n.last_seen_age);
    assert_eq!(ages(&lre, 1_500), Some([Some(Duration::from_millis(500)), None]));
    let _ = lre.receive_lan(ms(31_000), B, &tagged(PEER, B, 2));
    let expected = [Some(Duration::from_secs(31)), Some(Duration::from_secs(1))];
    assert_eq!(ages(&lre, 32_000), Some(expected));
    pass(&mut lre, 32_000, 90_950);
    assert!(ages(&lre, 90_950).is_some(), "60 s have not passed since B heard it");
    pass(&mut lre, 91_000, 92_500);
    assert_eq!(ages(&lre, 92_500), None);
    assert_eq!(counter(&lre, "lreCntNodes"), 0);
    let gone = LreEvent::NodeForgotten { mac: PEER, kind: NodeKind::Danp };
    assert_eq!(lre.events_mut().0.iter().filter(|&&event| event == gone).count(), 1);
}

/// T25: a SAN by untagged frames, on the LAN that heard it last; a DAN by one tagged frame; what
/// supervision says from then on; a RedBox stays one.
#[test]
fn a_nodes_kind_follows_what_it_sends() {
    let mut memory = Memory::for_nodes(8);
    let mut lre = memory.lre(danp());
    let mut expect = |frame: &[u8], lan, expected| {
        let _ = lre.receive_lan(ms(1), lan, frame);
        assert_eq!(kind(&lre, ms(1), PEER), Some(expected));
    };
    let plain = untagged(OWN, PEER, &[0x0800], 46);
    expect(&plain, A, NodeKind::SanA);
    expect(&plain, B, NodeKind::SanB);
    expect(&tagged(PEER, A, 1), A, NodeKind::Danp);
    // A redundant node may send untagged frames too.
    expect(&plain, B, NodeKind::Danp);
    let behind = Announcement { source: REDBOX, redbox: Some(REDBOX), ..Announcement::of(PEER) };
    expect(&behind.with_rct(A, 2), A, NodeKind::VdanP);
    expect(&plain, B, NodeKind::VdanP);
    expect(&Announcement::of(PEER).with_rct(A, 3), A, NodeKind::Danp);
    let hsr = Announcement { tlv: 23, ..Announcement::of(PEER) };
    expect(&hsr.with_rct(A, 4), A, NodeKind::Danh);
    let redbox = Announcement { redbox: Some(PEER), ..Announcement::of(PEER) };
    expect(&redbox.with_rct(A, 5), A, NodeKind::RedBoxP);
    expect(&Announcement::of(PEER).with_rct(A, 6), A, NodeKind::RedBoxP);
    assert_eq!(kind(&lre, ms(1), REDBOX), Some(NodeKind::RedBoxP));
}

/// T25: a node that tags no more is singly attached again after NodeForgetTime, not before.
#[test]
fn a_node_that_tags_no_more_becomes_a_san_by_silence() {
    let mut memory = Memory::for_nodes(8);
    let mut lre = memory.lre(danp());
    let _ = lre.receive_lan(ms(0), A, &Announcement::of(PEER).with_rct(A, 1));
    let plain = untagged(OWN, PEER, &[0x0800], 46);
    for at in (0..70_000).step_by(500) {
        lre.service(ms(at));
        delivers(lre.receive_lan(ms(at), B, &plain), 60);
        let expected = if at < 60_000 { NodeKind::Danp } else { NodeKind::SanB };
        assert_eq!(kind(&lre, ms(at), PEER), Some(expected), "at {at} ms");
    }
    delivers(lre.receive_lan(ms(70_000), A, &tagged(PEER, A, 9)), 60);
    assert_eq!(kind(&lre, ms(70_000), PEER), Some(NodeKind::Danp));
}

/// A RedBox that speaks only through what it announces for others is alive as long as it does.
#[test]
fn a_redbox_lives_as_long_as_it_is_named() {
    let mut memory = Memory::for_nodes(8);
    let mut lre = memory.lre(danp());
    let behind = Announcement { source: PEER, redbox: Some(REDBOX), ..Announcement::of(PEER) };
    for at in (0..200_000).step_by(2_000) {
        for lan in [A, B] {
            let _ = lre.receive_lan(ms(at), lan, &behind.octets());
        }
        pass(&mut lre, at, at + 2_000);
        assert_eq!(kind(&lre, ms(at), REDBOX), Some(NodeKind::RedBoxP), "at {at} ms");
    }
    assert!(!lre.events_mut().0.iter().any(|e| matches!(e, LreEvent::NodeForgotten { .. })));
    // It sends something untagged: it is none the less a RedBox, and known by supervision.
    let _ = lre.receive_lan(ms(200_000), A, &untagged(OWN, REDBOX, &[0x0800], 46));
    let node = lre.node(ms(200_000), REDBOX).unwrap();
    assert_eq!((node.kind, node.supervised), (NodeKind::RedBoxP, true));
}

/// T26: in a full table who is worth less gives way; who finds no place is served without discard;
/// it is told when that begins and when it ends.
#[test]
fn a_full_table_keeps_the_nodes_that_are_known_best() {
    let mut memory = Memory::of(8, 64);
    let mut lre = memory.lre(danp());
    for n in 0..6 {
        let _ = lre.receive_lan(ms(1), A, &Announcement::of(made_up(n)).with_rct(A, 1));
    }
    let (san, dan) = (made_up(100), made_up(101));
    let _ = lre.receive_lan(ms(2), A, &untagged(OWN, san, &[0x0800], 46));
    let _ = lre.receive_lan(ms(2), A, &tagged(dan, A, 1));
    assert_eq!(counter(&lre, "lreCntNodes"), 8);
    // A SAN takes a SAN's place, and no other's.
    let _ = lre.receive_lan(ms(3), A, &untagged(OWN, made_up(102), &[0x0800], 46));
    assert_eq!(kind(&lre, ms(3), san), None);
    assert_eq!(kind(&lre, ms(3), dan), Some(NodeKind::Danp));
    // Announced nodes take the places of both.
    for n in 6..8 {
        let _ = lre.receive_lan(ms(4), A, &Announcement::of(made_up(n)).with_rct(A, 1));
    }
    assert!((0..8).all(|n| lre.node(ms(4), made_up(n)).is_some_and(|node| node.supervised)));
    assert!(!lre.alarms().node_table_full);
    // Now nobody gives way.
    for _ in 0..2 {
        for lan in [A, B] {
            delivers(lre.receive_lan(ms(5), lan, &tagged(dan, lan, 2)), 60);
        }
    }
    let fate = lre.receive_lan(ms(5), A, &Announcement::of(made_up(9)).with_rct(A, 1));
    assert_eq!(fate, Fate::Discard(DiscardReason::Supervision));
    assert_eq!(counter(&lre, "lreCntNodes"), 8);
    assert!(lre.alarms().node_table_full);
    pass(&mut lre, 5, 30_000);
    assert!(!lre.alarms().node_table_full);
    let told = |event: fn(&LreEvent) -> bool, events: &[LreEvent]| {
        events.iter().filter(|e| event(e)).count()
    };
    let events = &lre.events_mut().0;
    assert_eq!(told(|e| matches!(e, LreEvent::NodeTableFull { .. }), events), 1);
    assert_eq!(told(|e| matches!(e, LreEvent::NodeTableHasRoom), events), 1);
}

/// T26: a flood of SANs takes no redundant node's place, announced or not; a node that tags its
/// frames takes a SAN's.
#[test]
fn sans_give_way_and_take_no_redundant_nodes_place() {
    let mut memory = Memory::of(4, 64);
    let mut lre = memory.lre(danp());
    let _ = lre.receive_lan(ms(1), A, &Announcement::of(made_up(0)).with_rct(A, 1));
    for n in 1..3 {
        let _ = lre.receive_lan(ms(1), A, &tagged(made_up(n), A, 1));
    }
    for n in 100..1_000 {
        delivers(lre.receive_lan(ms(2), B, &untagged(OWN, made_up(n), &[0x0800], 46)), 60);
    }
    let _ = lre.receive_lan(ms(3), A, &tagged(made_up(3), A, 1));
    for n in 1_000..1_100 {
        delivers(lre.receive_lan(ms(4), B, &untagged(OWN, made_up(n), &[0x0800], 46)), 60);
        assert_eq!(kind(&lre, ms(4), made_up(n)), None, "it found no place");
    }
    assert!((0..4).all(|n| kind(&lre, ms(4), made_up(n)) == Some(NodeKind::Danp)));
}

/// T27: every counter of the MIB that a DANP has, with a value of its own.
#[test]
fn each_counter_of_the_mib_counts_its_thing() {
    let mut memory = Memory::for_nodes(64);
    let mut lre = memory.lre(danp());
    let frame = untagged(PEER, OWN, &[0x0800], 46);
    for i in 0..5 {
        let outgoing = lre.receive_host(ms(1), &frame);
        let _ = on_the_wire(&frame, outgoing);
        lre.transmitted(A);
        if i < 3 {
            lre.transmitted(B);
        }
    }
    let _ = lre.receive_host(ms(1), &frame[..13]);
    for (lan, other, frames, wrong, errors, own) in [(A, B, 30, 4, 6, 8), (B, A, 20, 5, 7, 9)] {
        for number in 0..frames {
            let _ = lre.receive_lan(ms(2), lan, &tagged(PEER, lan, number));
        }
        for number in 100..100 + wrong {
            let _ = lre.receive_lan(ms(2), lan, &tagged(REDBOX, other, number));
        }
        for _ in 0..errors {
            let _ = lre.receive_lan(ms(2), lan, &[0; 5]);
        }
        for _ in 0..own {
            let _ = lre.receive_lan(ms(2), lan, &frame);
        }
    }
    settle(&mut lre, ms(1_000));
    let expected = [
        ("lreCntTxA", 5),
        ("lreCntTxB", 3),
        // 30 of PEER (the 20 on B were duplicates), 5 of REDBOX (4 of them came on both).
        ("lreCntTxC", 35),
        ("lreCntErrWrongLanA", 4),
        ("lreCntErrWrongLanB", 5),
        ("lreCntErrWrongLanC", 0),
        ("lreCntRxA", 34),
        ("lreCntRxB", 25),
        ("lreCntRxC", 6),
        ("lreCntErrorsA", 6),
        ("lreCntErrorsB", 7),
        ("lreCntErrorsC", 1),
        ("lreCntNodes", 2),
        ("lreCntProxyNodes", 0),
        ("lreCntUniqueA", 10),
        ("lreCntUniqueB", 1),
        ("lreCntUniqueC", 0),
        ("lreCntDuplicateA", 24),
        ("lreCntDuplicateB", 0),
        ("lreCntDuplicateC", 0),
        ("lreCntMultiA", 0),
        ("lreCntMultiB", 0),
        ("lreCntMultiC", 0),
        ("lreCntOwnRxA", 8),
        ("lreCntOwnRxB", 9),
    ];
    assert_eq!(lre.counters().named(), expected);
}

/// T27: per node and LAN.
#[test]
fn frames_are_counted_per_node_and_lan() {
    let mut memory = Memory::for_nodes(8);
    let mut lre = memory.lre(danp());
    for number in 0..3 {
        let _ = lre.receive_lan(ms(1), A, &tagged(PEER, A, number));
    }
    let _ = lre.receive_lan(ms(1), B, &untagged(OWN, PEER, &[0x0800], 46));
    let _ = lre.receive_lan(ms(1), B, &Announcement::of(PEER).with_rct(B, 3));
    let node = lre.node(ms(1), PEER).unwrap();
    assert_eq!((node.rx, node.rx_tagged), ([3, 2], [3, 1]));
    assert_eq!((node.rx_supervision, node.err_wrong_lan), ([0, 1], [0, 0]));
}

/// T28; `lreNodesTableClear`: nobody is known, everything goes on, nothing is lost.
#[test]
fn a_cleared_table_fills_again_and_loses_nothing() {
    let mut memory = Memory::for_nodes(8);
    let mut marks = memory.marks();
    let mut lre = memory.lre(danp());
    for n in 0..8 {
        let _ = lre.receive_lan(ms(1), A, &Announcement::of(made_up(n)).with_rct(A, 7));
    }
    lre.clear_node_table();
    assert_eq!(counter(&lre, "lreCntNodes"), 0);
    assert_eq!(lre.export_nodes(ms(1), 0, 100, |_| panic!("a node")), None);
    assert_eq!(lre.check_invariants(&mut marks), Ok(()));
    for n in 0..8 {
        // The number was used before: by someone who is not known any more.
        delivers(lre.receive_lan(ms(2), A, &tagged(made_up(n), A, 7)), 60);
        let second = lre.receive_lan(ms(2), B, &tagged(made_up(n), B, 7));
        assert_eq!(second, Fate::Discard(DiscardReason::Duplicate));
    }
    assert_eq!(counter(&lre, "lreCntNodes"), 8);
    assert_eq!(lre.check_invariants(&mut marks), Ok(()));
}

/// The table can be read piece by piece, each node once.
#[test]
fn the_table_is_read_piece_by_piece() {
    let mut memory = Memory::for_nodes(64);
    let mut lre = memory.lre(danp());
    for n in 0..50 {
        let _ = lre.receive_lan(ms(1), A, &tagged(made_up(n), A, 1));
    }
    for budget in [1, 7, 64, 1_000] {
        let (mut seen, mut cursor, mut refuse) = (Vec::new(), Some(0), false);
        while let Some(at) = cursor {
            cursor = lre.export_nodes(ms(1), at, budget, |node| {
                refuse = !refuse;
                if !refuse {
                    seen.push(node.mac);
                }
                !refuse
            });
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..50).map(made_up).collect::<Vec<_>>());
    }
}
