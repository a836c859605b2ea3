//! What IEC 62439-3 asks of a doubly attached node with PRP, as octets in and octets out.
//!
//! Every vector is written by hand: octets in hexadecimal, `5a*46` repeats a group. The numbers
//! T01 to T29 are those of our list of test items; where a number is missing here it is about
//! traffic over time and stands in `discard_behaviour.rs` (T13 to T15, T17) or `lre_pair.rs` (T16),
//! or it is about HSR and RedBoxes (T30 and above).

#[path = "conformance/discard.rs"]
mod discard;
#[path = "conformance/nodes.rs"]
mod nodes;
#[path = "conformance/reception.rs"]
mod reception;
#[path = "conformance/supervision.rs"]
mod supervision;
mod support;
#[path = "conformance/transmission.rs"]
mod transmission;

use prp::lre::config::LreConfig;
use prp::lre::event::NodeKind;
use prp::lre::{Fate, Lre, Outgoing};
use prp::types::{LanId, MacAddress};
use rt_core::time::Instant;
use support::Events;

const A: LanId = LanId::A;
const B: LanId = LanId::B;

fn danp() -> LreConfig {
    LreConfig::default()
}

/// The octets that leave on LAN A and LAN B.
fn on_the_wire(frame: &[u8], outgoing: Outgoing) -> [Vec<u8>; 2] {
    let Outgoing::Tagged { room, rct } = outgoing else { panic!("not tagged: {outgoing:?}") };
    rct.map(|rct| {
        let mut octets = vec![0xcc; room.total_octets()];
        room.emit(frame, rct, &mut octets);
        octets
    })
}

#[track_caller]
fn delivers(fate: Fate, octets: usize) {
    assert_eq!(fate, Fate::Deliver { octets });
}

fn kind(lre: &Lre<'_, Events>, now: Instant, mac: MacAddress) -> Option<NodeKind> {
    lre.node(now, mac).map(|node| node.kind)
}

fn counter(lre: &Lre<'_, Events>, name: &str) -> u64 {
    let named = lre.counters().named();
    named.iter().find(|(n, _)| *n == name).expect("a counter of the MIB").1
}
