//! Whole LREs with two LANs between them that lose, delay, reorder, repeat and corrupt: each
//! payload is delivered once if one LAN brought it, and never twice.

#![allow(clippy::cast_possible_truncation, reason = "random numbers are cut to size on purpose")]

mod support;

use prp::lre::SequenceStart;
use prp::lre::config::{LreConfig, SanUnicast};
use prp::types::MacAddress;
use rt_core::time::Instant;
use support::network::{Faults, MS, Network};
use support::{Memory, OWN, PEER, Random, or_soak};

const THIRD: MacAddress = MacAddress([2, 0, 0, 0, 0, 3]);
const MACS: [MacAddress; 3] = [OWN, PEER, THIRD];

const GOOD: Faults = Faults {
    cut: false,
    loss_percent: 0,
    delay: 0,
    jitter: 0,
    reorder_percent: 0,
    reorder_delay: 0,
    repeats: 0,
    corrupt_percent: 0,
};

/// What one LAN suffers while the other works, perhaps late.
const FAULTS: [(&str, Faults, Faults); 11] = [
    ("clean", GOOD, GOOD),
    ("cut", Faults { cut: true, ..GOOD }, GOOD),
    ("loss 20 %", Faults { loss_percent: 20, ..GOOD }, GOOD),
    ("loss 80 %", Faults { loss_percent: 80, ..GOOD }, Faults { delay: 5 * MS, ..GOOD }),
    (
        "50 ms late against 20 ms late and loss 20 %",
        Faults { loss_percent: 20, delay: 20 * MS, ..GOOD },
        Faults { delay: 50 * MS, ..GOOD },
    ),
    ("399 ms late", Faults { delay: 399 * MS, ..GOOD }, GOOD),
    ("jitter", Faults { delay: 10 * MS, jitter: 20 * MS, ..GOOD }, GOOD),
    ("reorder 25 %", Faults { reorder_percent: 25, reorder_delay: 7 * MS, ..GOOD }, GOOD),
    ("each frame five times", Faults { repeats: 4, jitter: MS, ..GOOD }, GOOD),
    (
        "everything at once",
        Faults {
            loss_percent: 30,
            delay: 30 * MS,
            jitter: 40 * MS,
            reorder_percent: 30,
            reorder_delay: 90 * MS,
            repeats: 2,
            ..GOOD
        },
        Faults { delay: 20 * MS, jitter: 5 * MS, repeats: 1, ..GOOD },
    ),
    (
        "both lossy",
        Faults { loss_percent: 40, delay: MS, ..GOOD },
        Faults { loss_percent: 40, ..GOOD },
    ),
];

const SIZES: [(&[u16], usize); 5] = [
    (&[0x0800], 46),
    (&[0x0800], 1_500),
    (&[0x8100, 0x6005, 0x0800], 46),
    (&[0x8100, 0x6005, 0x0800], 1_500),
    (&[0x88a8, 7, 0x8100, 5, 0x0800], 100),
];

/// A network of nodes whose data numbers begin shortly before they wrap.
fn network<'m>(seed: u64, memories: &'m mut [Memory]) -> Network<'m> {
    let mut network = Network::new(seed);
    for (memory, mac) in memories.iter_mut().zip(MACS) {
        let start = SequenceStart::continued(65_400, 65_530);
        network.add(mac, memory.lre_from(mac, LreConfig::default(), start, Instant::ORIGIN));
    }
    network
}

fn memories(nodes: usize) -> Vec<Memory> {
    (0..nodes).map(|_| Memory::of(16, 4_096)).collect()
}

/// Each node sends to each other and to all, for a while.
fn talk(network: &mut Network<'_>, random: &mut Random, frames: u64) {
    let nodes = network.nodes.len();
    for _ in 0..frames {
        let from = random.index(nodes);
        let to = match random.below(4) {
            0 => MacAddress::BROADCAST,
            _ => network.nodes[(from + 1 + random.index(nodes - 1)) % nodes].mac,
        };
        let (types, payload) = SIZES[random.index(SIZES.len())];
        network.send(from, to, types, payload);
        network.run_for(random.below(2 * MS));
    }
}

fn is_seamless(network: &Network<'_>, what: &str) {
    assert!(network.delivered() > 0, "{what}: no traffic");
    assert_eq!(network.lost_and_twice(), (0, 0), "{what}: lost, twice");
    assert_eq!(network.nodes.iter().map(|node| node.others).sum::<u64>(), 0, "{what}: bent frames");
}

#[test]
fn any_fault_of_one_lan_is_not_noticed() {
    for (what, one, other) in FAULTS {
        for seed in 0..or_soak(2) {
            for (nodes, faults) in [(2, [one, other]), (2, [other, one]), (3, [one, other])] {
                let mut memories = memories(nodes);
                let mut network = network(seed, &mut memories);
                network.faults = faults;
                talk(&mut network, &mut Random(seed), 1_000);
                network.run_for(1_000 * MS);
                is_seamless(&network, what);
                if what == "clean" || what == "cut" {
                    let seen = network.nodes.iter().flat_map(|node| node.payloads.values());
                    assert!(seen.into_iter().all(|seen| seen.arrived > 0));
                }
            }
        }
    }
}

/// T16; one LAN is cut and comes back, then the other: what the working one carries suffices.
#[test]
fn cuts_in_turn_are_not_noticed() {
    for seed in 0..or_soak(4) {
        let mut memories = memories(3);
        let mut network = network(seed, &mut memories);
        let mut random = Random(seed);
        for _ in 0..10 {
            let which = random.index(2);
            network.faults = [GOOD; 2];
            network.faults[which].cut = true;
            talk(&mut network, &mut random, 150);
            network.faults[which] = Faults { delay: 30 * MS, ..GOOD };
            talk(&mut network, &mut random, 150);
        }
        network.run_for(1_000 * MS);
        is_seamless(&network, "cuts");
        let received: u64 = network.nodes.iter().map(|node| node.payloads.len() as u64).sum();
        assert!(received >= 3_000, "each payload arrived somewhere: {received}");
    }
}

/// T09; swapped cables, at a whole run and in the middle of it.
#[test]
fn swapped_cables_are_not_noticed_by_the_hosts() {
    let mut memories = memories(3);
    let mut network = network(3, &mut memories);
    let mut random = Random(3);
    network.faults[0] = Faults { loss_percent: 50, delay: 10 * MS, ..GOOD };
    for swap in [0, 1, 0, 2] {
        network.nodes[swap].swapped = !network.nodes[swap].swapped;
        talk(&mut network, &mut random, 500);
    }
    network.run_for(1_000 * MS);
    is_seamless(&network, "swapped");
    assert!(network.nodes[1].lre.counters().err_wrong_lan[0] > 0);
    assert_eq!(network.nodes[1].lre.alarms().wrong_lan, [true; 2]);
}

/// A node restarts: with its numbers continued at once, or with any after its silence. Nothing of
/// what it sends then is lost.
#[test]
fn restarts_of_a_node_lose_nothing() {
    for seed in 0..or_soak(4) {
        let mut random = Random(seed);
        let (mut first, mut lives) = (memories(2), memories(6));
        let mut network = network(seed, &mut first);
        network.faults[1] = Faults { loss_percent: 20, delay: 5 * MS, ..GOOD };
        for memory in &mut lives {
            talk(&mut network, &mut random, 200);
            network.run_for(6 * MS);
            let now = Instant::from_nanos(network.now);
            let (data, supervision) = network.nodes[0].lre.next_sequence_numbers();
            let continued = random.percent(50);
            let start = if continued {
                SequenceStart::continued(data, supervision)
            } else {
                let sequence_number = data.wrapping_sub(random.next() as u16 % 300);
                SequenceStart { sequence_number, ..SequenceStart::after_reboot(now) }
            };
            network.nodes[0].lre = memory.lre_from(OWN, LreConfig::default(), start, now);
            if !continued {
                network.run_for(500 * MS);
            }
        }
        talk(&mut network, &mut random, 200);
        network.run_for(1_000 * MS);
        is_seamless(&network, "restarts");
    }
}

/// Corruption that the frame check sequence would have caught but did not: nobody crashes; a bent
/// frame costs at most one payload (it may carry the number of another) and doubles at most one
/// (its own, under another number); what it put into the node table ages out.
#[test]
fn corruption_is_bounded_by_the_frames_corrupted() {
    for seed in 0..or_soak(4) {
        let mut memories = memories(3);
        let mut network = network(seed, &mut memories);
        let bad = Faults { corrupt_percent: 20, delay: 3 * MS, ..GOOD };
        network.faults = if seed % 2 == 0 { [bad, GOOD] } else { [GOOD, bad] };
        talk(&mut network, &mut Random(seed), 3_000);
        network.run_for(1_000 * MS);
        let corrupted: u64 = network.nodes.iter().map(|node| node.corrupted).sum();
        let (lost, twice) = network.lost_and_twice();
        assert!(corrupted > 500, "corrupted: {corrupted}");
        assert!(lost <= corrupted && twice <= corrupted, "{corrupted}, {lost}, {twice}");
        // Measured: a bent number is that of another frame within the life of an entry rarely.
        assert!(lost * 50 <= corrupted, "{lost} lost of {corrupted} corrupted");
        network.faults = [GOOD; 2];
        for _ in 0..70 {
            network.run_for(1_000 * MS);
        }
        for node in &network.nodes {
            assert_eq!(node.lre.counters().nodes, 2, "made-up nodes outlived their time");
        }
        // And the network is as good as before.
        for node in &mut network.nodes {
            (node.others, node.corrupted) = (0, 0);
            node.payloads.clear();
        }
        talk(&mut network, &mut Random(seed), 300);
        network.run_for(1_000 * MS);
        is_seamless(&network, "after corruption");
    }
}

/// Frames to singly attached nodes and from them, among redundant ones.
#[test]
fn a_san_is_reached_on_its_lan_and_heard_once() {
    let mut memories = memories(2);
    let mut network = Network::new(1);
    for (memory, mac) in memories.iter_mut().zip(MACS) {
        let config = LreConfig { san_unicast: SanUnicast::ItsLan, ..LreConfig::default() };
        let start = SequenceStart::continued(100, 7);
        network.add(mac, memory.lre_from(mac, config, start, Instant::ORIGIN));
    }
    network.run_for(200 * MS);
    talk(&mut network, &mut Random(1), 500);
    let (data, _) = network.nodes[0].lre.next_sequence_numbers();
    let mut hello = vec![0xff; 6];
    hello.extend(THIRD.0);
    hello.extend([0x88, 0xb5]);
    hello.resize(60, 0x77);
    network.carry(prp::types::LanId::B, 0, hello, 0);
    network.run_for(MS);
    assert_eq!(network.nodes[0].others, 1, "its frame is delivered once");
    for _ in 0..10 {
        network.send(0, THIRD, &[0x0800], 100);
    }
    assert_eq!(network.nodes[0].lre.next_sequence_numbers().0, data, "no number was taken");
    talk(&mut network, &mut Random(2), 500);
    network.run_for(1_000 * MS);
    assert_eq!(network.lost_and_twice(), (0, 0));
}
