//! Behaviour of the whole LRE, fed by hand. The tables T01 to T26 stand in `tests/conformance.rs`,
//! the comparison with a naive model in `tests/discard_model.rs`.

use std::vec::Vec;

use rt_core::time::{Duration, Instant};

use super::config::LreConfig;
use super::event::{LreEvent, NodeKind};
use super::memory::{LreMemory, LreSizes};
use super::{
    Block, DiscardReason, EventSink, Fate, Lre, NodeSlot, Outgoing, SequenceStart, Unsent,
};
use crate::types::{LanId, MacAddress};
use crate::wire::ethernet::Ethernet;
use crate::wire::rct::{RctRepr, RctRoom};
use crate::wire::supervision::{SupervisionKind, SupervisionRepr};

const OWN: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const PEER: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);

#[derive(Default, Debug)]
struct Events(Vec<LreEvent>);

impl EventSink for Events {
    fn event(&mut self, _now: Instant, event: LreEvent) {
        self.0.push(event);
    }
}

fn at_ms(ms: u64) -> Instant {
    Instant::ORIGIN + Duration::from_millis(ms)
}

fn lre(nodes: usize, config: LreConfig) -> Lre<'static, Events> {
    let sizes = LreSizes::for_nodes(nodes);
    let memory = LreMemory {
        nodes: vec![NodeSlot::FREE; sizes.nodes].leak(),
        node_buckets: vec![0; sizes.node_buckets].leak(),
        blocks: vec![Block::FREE; sizes.blocks].leak(),
        block_buckets: vec![0; sizes.block_buckets].leak(),
    };
    let start = SequenceStart::continued(100, 7);
    Lre::new(OWN, config, memory, 0x9e37_79b9_7f4a_7c15, start, Instant::ORIGIN, Events::default())
}

fn danp() -> Lre<'static, Events> {
    lre(64, LreConfig::default())
}

fn plain(source: MacAddress, payload: usize) -> Vec<u8> {
    let mut frame = [OWN.0, source.0].concat();
    frame.extend([0x08, 0x00]);
    frame.resize(14 + payload, 0x5a);
    frame
}

fn tagged(source: MacAddress, lan_id: LanId, sequence_number: u16) -> Vec<u8> {
    with_rct(&plain(source, 50), lan_id, sequence_number)
}

fn with_rct(frame: &[u8], lan_id: LanId, sequence_number: u16) -> Vec<u8> {
    let room = RctRoom::of(&Ethernet::new_checked(frame).unwrap()).unwrap();
    let rct = RctRepr { sequence_number, lan_id, lsdu_octets: room.lsdu_octets };
    let mut out = vec![0; room.total_octets()];
    room.emit(frame, rct.to_octets(), &mut out);
    out
}

fn supervision(source: MacAddress, mac: MacAddress, redbox_mac: Option<MacAddress>) -> Vec<u8> {
    let repr = SupervisionRepr {
        last_octet: 0x33,
        source,
        vlan: None,
        version: 1,
        sequence_number: 9,
        kind: SupervisionKind::PrpDuplicateDiscard,
        mac,
        redbox_mac,
    };
    let mut frame = vec![0; repr.octets()];
    repr.emit(&mut frame).unwrap();
    frame
}

fn is_delivered(fate: Fate) -> bool {
    matches!(fate, Fate::Deliver { .. })
}

#[test]
fn the_second_copy_is_discarded_whichever_comes_first() {
    let mut lre = danp();
    let now = at_ms(1);
    assert_eq!(
        lre.receive_lan(now, LanId::A, &tagged(PEER, LanId::A, 5)),
        Fate::Deliver { octets: 64 }
    );
    let second = lre.receive_lan(now, LanId::B, &tagged(PEER, LanId::B, 5));
    assert_eq!(second, Fate::Discard(DiscardReason::Duplicate));
    assert!(is_delivered(lre.receive_lan(now, LanId::B, &tagged(PEER, LanId::B, 6))));
    assert!(!is_delivered(lre.receive_lan(now, LanId::A, &tagged(PEER, LanId::A, 6))));
}

#[test]
fn entries_live_just_longer_than_entry_forget_time() {
    for (later_ms, delivered) in [(399, false), (400, false), (426, true), (500, true)] {
        for offset in [0, 7, 24] {
            let mut lre = danp();
            let start = at_ms(1000 + offset);
            assert!(is_delivered(lre.receive_lan(start, LanId::A, &tagged(PEER, LanId::A, 5))));
            let later = start + Duration::from_millis(later_ms);
            let fate = lre.receive_lan(later, LanId::B, &tagged(PEER, LanId::B, 5));
            assert_eq!(is_delivered(fate), delivered, "{later_ms} ms, offset {offset}");
        }
    }
}

#[test]
fn copies_are_counted_once_when_their_entry_dies() {
    let mut lre = danp();
    for (number, copies) in [(1u16, 1), (2, 2), (3, 3), (4, 5)] {
        for copy in 0..copies {
            let lan = if copy % 2 == 0 { LanId::B } else { LanId::A };
            let _ = lre.receive_lan(at_ms(10), lan, &tagged(PEER, lan, number));
        }
    }
    lre.service(at_ms(300));
    assert_eq!(lre.counters().unique, [0; 3]);
    lre.service(at_ms(1000));
    let counters = lre.counters();
    assert_eq!(counters.unique, [0, 1, 0]);
    assert_eq!(counters.duplicate, [0, 1, 0]);
    assert_eq!(counters.multi, [0, 2, 0]);
    lre.service(at_ms(2000));
    assert_eq!(lre.counters(), counters);
}

#[test]
fn a_frame_of_the_host_leaves_on_both_lans_with_one_number() {
    let mut lre = danp();
    for expected in [100u16, 101, 102] {
        let frame = plain(OWN, 1500);
        let Outgoing::Tagged { room, rct } = lre.receive_host(at_ms(1), &frame) else {
            panic!("not tagged")
        };
        assert_eq!(room.total_octets(), 1520);
        for lan in LanId::BOTH {
            let mut out = vec![0; room.total_octets()];
            room.emit(&frame, rct[lan.index()], &mut out);
            let parsed = RctRepr::parse(&Ethernet::new_checked(&out).unwrap()).unwrap();
            assert_eq!((parsed.sequence_number, parsed.lan_id), (expected, lan));
        }
    }
    assert_eq!(lre.next_sequence_numbers(), (103, 7));
}

#[test]
fn a_node_that_lost_its_numbers_keeps_silent_for_half_a_second() {
    let mut lre = danp();
    lre.silent_until = SequenceStart::after_reboot(at_ms(0)).silent_until;
    let frame = plain(OWN, 50);
    assert_eq!(lre.receive_host(at_ms(499), &frame), Outgoing::Nothing(Unsent::Silence));
    assert!(matches!(lre.receive_host(at_ms(500), &frame), Outgoing::Tagged { .. }));
}

#[test]
fn supervision_is_sent_in_its_interval_without_drift() {
    let mut lre = danp();
    let mut sent = Vec::new();
    for ms in 0..10_000 {
        if let Some(supervision) = lre.poll_supervision(at_ms(ms)) {
            let frame = Ethernet::new_checked(supervision.frame()).unwrap();
            let repr = SupervisionRepr::parse(&frame).unwrap();
            let Outgoing::Tagged { room, .. } = supervision.outgoing else { panic!("untagged") };
            assert_eq!(room.lsdu_octets, 52);
            sent.push((ms, repr.sequence_number));
        }
    }
    assert_eq!(sent, [(100, 7), (2100, 8), (4100, 9), (6100, 10), (8100, 11)]);
}

#[test]
fn supervision_tells_what_a_node_is() {
    let mut lre = danp();
    let redbox = MacAddress([2, 0, 0, 0, 0, 0x99]);
    let now = at_ms(1);
    let kind = |lre: &Lre<'static, Events>, mac| lre.node(now, mac).map(|n| n.kind);

    assert!(is_delivered(lre.receive_lan(now, LanId::B, &plain(PEER, 50))));
    assert_eq!(kind(&lre, PEER), Some(NodeKind::SanB));
    assert!(is_delivered(lre.receive_lan(now, LanId::B, &tagged(PEER, LanId::B, 1))));
    assert_eq!(kind(&lre, PEER), Some(NodeKind::Danp));
    let frame = with_rct(&supervision(redbox, PEER, Some(redbox)), LanId::A, 1);
    let fate = lre.receive_lan(now, LanId::A, &frame);
    assert_eq!(fate, Fate::Discard(DiscardReason::Supervision));
    assert_eq!(kind(&lre, PEER), Some(NodeKind::VdanP));
    assert_eq!(kind(&lre, redbox), Some(NodeKind::RedBoxP));
    assert_eq!(lre.node(now, PEER).unwrap().redbox_mac, Some(redbox));
}

#[test]
fn a_flood_of_made_up_sources_takes_no_known_nodes_place() {
    let mut lre = lre(256, LreConfig::default());
    let known = |i: u8| MacAddress([2, 1, 0, 0, 0, i]);
    for i in 0..100 {
        let frame = with_rct(&supervision(known(i), known(i), None), LanId::A, 1);
        let _ = lre.receive_lan(at_ms(1), LanId::A, &frame);
    }
    for flood in 0u32..20_000 {
        let [_, a, b, c] = flood.to_be_bytes();
        let source = MacAddress([2, 7, 7, a, b, c]);
        let now = at_ms(2 + u64::from(flood) / 1000);
        let fate = if flood % 2 == 0 {
            lre.receive_lan(now, LanId::A, &plain(source, 50))
        } else {
            lre.receive_lan(now, LanId::A, &tagged(source, LanId::A, 3))
        };
        assert!(is_delivered(fate));
    }
    for i in 0..100 {
        let node = lre.node(at_ms(30), known(i)).expect("still known");
        assert!(node.supervised);
        assert!(is_delivered(lre.receive_lan(at_ms(30), LanId::A, &tagged(known(i), LanId::A, 9))));
        assert!(!is_delivered(lre.receive_lan(
            at_ms(31),
            LanId::B,
            &tagged(known(i), LanId::B, 9)
        )));
    }
}

#[test]
fn nothing_is_lost_when_numbers_wrap_at_line_rate() {
    let mut lre = danp();
    let per_ms = 1_388u64;
    let mut lost = 0;
    for i in 0..300_000u64 {
        let now = Instant::from_nanos(i * 1_000_000 / per_ms);
        let number = (i & 0xffff) as u16;
        lost += u64::from(!is_delivered(lre.receive_lan(
            now,
            LanId::A,
            &tagged(PEER, LanId::A, number),
        )));
        if i % 64 == 0 {
            lre.service(now);
        }
    }
    assert_eq!(lost, 0);
}

#[test]
fn a_node_is_forgotten_after_node_forget_time() {
    let mut lre = danp();
    let _ = lre.receive_lan(at_ms(10), LanId::A, &tagged(PEER, LanId::A, 1));
    let mut ms = 10;
    while lre.node(at_ms(ms), PEER).is_some() {
        ms += 100;
        lre.service(at_ms(ms));
        assert!(ms < 70_000, "never forgotten");
    }
    assert!((60_010..=61_200).contains(&ms), "forgotten at {ms} ms");
    assert_eq!(lre.counters().nodes, 0);
    assert!(
        lre.events_mut().0.contains(&LreEvent::NodeForgotten { mac: PEER, kind: NodeKind::Danp })
    );
}

#[test]
fn a_lan_on_which_a_node_falls_silent_is_told_once_and_so_is_its_return() {
    let mut lre = danp();
    let announce = |lre: &mut Lre<'static, Events>, ms, lans: &[LanId]| {
        for &lan in lans {
            let frame =
                with_rct(&supervision(PEER, PEER, None), lan, u16::try_from(ms / 2000).unwrap());
            let _ = lre.receive_lan(at_ms(ms), lan, &frame);
        }
    };
    for ms in (0..40_000).step_by(100) {
        if ms % 2000 == 0 {
            let lans: &[_] =
                if (10_000..20_000).contains(&ms) { &[LanId::B] } else { &LanId::BOTH };
            announce(&mut lre, ms, lans);
        }
        lre.service(at_ms(ms));
        if [9_900, 15_000, 25_000].contains(&ms) {
            let expected = if ms == 15_000 { [1, 0] } else { [0, 0] };
            assert_eq!(lre.alarms().nodes_silent, expected, "at {ms} ms");
        }
    }
    let told: Vec<_> = lre
        .events_mut()
        .0
        .iter()
        .copied()
        .filter(|e| !matches!(e, LreEvent::NodeAppeared { .. }))
        .collect();
    assert_eq!(
        told,
        [
            LreEvent::NodeSilentOnLan { mac: PEER, silent: LanId::A },
            LreEvent::NodeBackOnLan { mac: PEER, lan: LanId::A },
        ]
    );
}

/// A machine that was suspended: time went on, and nothing was heard.
#[test]
fn after_sleep_no_number_is_remembered_and_nobody_is_silent_on_one_lan_for_it() {
    const HOUR_MS: u64 = 3_600_000;
    for slept_ms in [500, 10_000, HOUR_MS, 100 * HOUR_MS] {
        let mut lre = danp();
        for lan in LanId::BOTH {
            let _ =
                lre.receive_lan(at_ms(1), lan, &with_rct(&supervision(PEER, PEER, None), lan, 1));
        }
        let before = tagged(PEER, LanId::A, 500);
        assert!(is_delivered(lre.receive_lan(at_ms(2), LanId::A, &before)));
        assert!(!is_delivered(lre.receive_lan(at_ms(3), LanId::B, &tagged(PEER, LanId::B, 500))));
        // The peer went on, and its numbers may have come round to the same ones.
        let woken = 3 + slept_ms;
        lre.resume(at_ms(woken));
        let frame = tagged(PEER, LanId::A, 500);
        assert!(is_delivered(lre.receive_lan(at_ms(woken), LanId::A, &frame)), "{slept_ms}");
        // Only LAN A has brought something so far; LAN B gets as long as ever.
        for ms in (woken..woken + 3_000).step_by(50) {
            let number = u16::try_from(1_000 + ms - woken).unwrap();
            let _ = lre.receive_lan(at_ms(ms), LanId::A, &tagged(PEER, LanId::A, number));
            lre.service(at_ms(ms));
            let _ = lre.poll_supervision(at_ms(ms));
        }
        assert_eq!(lre.alarms().nodes_silent, [0, 0], "{slept_ms}");
        let silent = |e: &LreEvent| matches!(e, LreEvent::NodeSilentOnLan { .. });
        assert!(!lre.events_mut().0.iter().any(silent), "{slept_ms}");
        assert_eq!(lre.counters().nodes, 1);
    }
}

#[test]
fn a_sender_with_an_address_for_each_lan_is_one_node_to_discard() {
    let mut lre = danp();
    let on_b = MacAddress([2, 0, 0, 0, 0, 0xb]);
    let mut seq = 0;
    let mut exchange = |lre: &mut Lre<'static, Events>, ms| {
        seq += 1;
        let a = lre.receive_lan(at_ms(ms), LanId::A, &tagged(PEER, LanId::A, seq));
        let b = lre.receive_lan(at_ms(ms), LanId::B, &tagged(on_b, LanId::B, seq));
        (is_delivered(a), is_delivered(b))
    };
    assert_eq!(exchange(&mut lre, 1), (true, true));
    let _ = lre.receive_lan(
        at_ms(2),
        LanId::A,
        &with_rct(&supervision(PEER, PEER, None), LanId::A, 60),
    );
    let _ = lre.receive_lan(
        at_ms(2),
        LanId::B,
        &with_rct(&supervision(on_b, PEER, None), LanId::B, 60),
    );
    assert_eq!(exchange(&mut lre, 3), (true, false));
    let node = lre.node(at_ms(4), PEER).unwrap();
    assert!(node.last_seen_age.iter().all(Option::is_some));
}

#[test]
fn a_flood_on_one_lan_takes_no_place_of_who_is_heard_on_both() {
    let mut lre = lre(256, LreConfig::default());
    let peer = |i: u8| MacAddress([2, 1, 0, 0, 0, i]);
    let both = |lre: &mut Lre<'static, Events>, ms, i, number| {
        let first = lre.receive_lan(at_ms(ms), LanId::A, &tagged(peer(i), LanId::A, number));
        let second = lre.receive_lan(at_ms(ms), LanId::B, &tagged(peer(i), LanId::B, number));
        (is_delivered(first), is_delivered(second))
    };
    for i in 0..50 {
        assert_eq!(both(&mut lre, 1, i, 1), (true, false));
    }
    for flood in 0u32..20_000 {
        let [_, a, b, c] = flood.to_be_bytes();
        let source = MacAddress([2, 7, 7, a, b, c]);
        let _ = lre.receive_lan(at_ms(2), LanId::A, &tagged(source, LanId::A, 3));
    }
    for i in 0..50 {
        assert_eq!(both(&mut lre, 3, i, 2), (true, false), "node {i}");
    }
}
