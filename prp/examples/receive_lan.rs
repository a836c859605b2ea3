//! What a LAN frame costs: feeds `frames` frames of `nodes` nodes, a copy on each LAN, to an LRE.
//!
//! ```text
//! cargo build --release -p prp --example receive_lan
//! valgrind --tool=callgrind --toggle-collect='*under_test*' receive_lan NODES FRAMES [flood]
//! ```
//!
//! Instructions per frame: the difference of two runs of different length, divided by the
//! difference of frames. `flood` sends 20,000 frames of made-up sources first.

use std::hint::black_box;
use std::process::ExitCode;

use prp::lre::config::LreConfig;
use prp::lre::memory::{LreMemory, LreSizes};
use prp::lre::{Block, Fate, Lre, NodeSlot, SequenceStart};
use prp::types::{LanId, MacAddress};
use rt_core::time::{Duration, Instant};

/// Between two frames.
const INTERVAL: Duration = Duration::from_micros(10);

#[inline(never)]
fn under_test(lre: &mut Lre<'_, ()>, now: Instant, lan: LanId, frame: &[u8]) -> Fate {
    lre.receive_lan(now, lan, frame)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u32>().ok());
    let (Some(nodes @ 1..), Some(frames)) = (number(0), number(1)) else {
        eprintln!("usage: receive_lan NODES FRAMES [flood]");
        return ExitCode::from(2);
    };
    // Room for a flood beside the nodes.
    let sizes = LreSizes::for_nodes(2 * nodes as usize);
    let (mut slots, mut blocks) =
        (vec![NodeSlot::FREE; sizes.nodes], vec![Block::FREE; sizes.blocks]);
    let (mut slot_heads, mut block_heads) =
        (vec![0; sizes.node_buckets], vec![0; sizes.block_buckets]);
    let memory = LreMemory {
        nodes: &mut slots,
        node_buckets: &mut slot_heads,
        blocks: &mut blocks,
        block_buckets: &mut block_heads,
    };
    let mac = MacAddress([2, 0, 0, 0, 0, 1]);
    let start = SequenceStart::continued(0, 0);
    let mut lre = Lre::new(
        mac,
        LreConfig::default(),
        memory,
        0x9e37_79b9_7f4a_7c15,
        start,
        Instant::ORIGIN,
        (),
    );
    let mut now = Instant::ORIGIN + Duration::from_secs(1);
    announce(&mut lre, now, nodes);
    if arguments.get(2).is_some_and(|word| word == "flood") {
        for source in 0..20_000u32 {
            let mut frame = frame_of(0x0700_0000 + source);
            let octets = if source % 2 == 0 { 60 } else { 66 };
            set(&mut frame, LanId::A, 7);
            let _ = black_box(lre.receive_lan(now, LanId::A, &frame[..octets]));
        }
    }
    let mut templates: Vec<[u8; 66]> = (0..nodes).map(frame_of).collect();
    let mut first = 0u32;
    for i in 0..frames {
        let round = (i / nodes).to_be_bytes();
        let Some(frame) = templates.get_mut((i % nodes) as usize) else { continue };
        for lan in LanId::BOTH {
            set(frame, lan, u16::from_be_bytes([round[2], round[3]]));
            let fate = under_test(&mut lre, now, lan, black_box(frame));
            first += u32::from(matches!(fate, Fate::Deliver { .. }));
        }
        now += INTERVAL;
        if i % 32 == 0 {
            lre.service(now);
        }
    }
    println!("{nodes} nodes, {} copies, {first} delivered", 2 * u64::from(frames));
    ExitCode::SUCCESS
}

fn frame_of(source: u32) -> [u8; 66] {
    let mut frame = [0x5a; 66];
    let [a, b, c, d] = source.to_be_bytes();
    frame[..12].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0x50, a, b, c, d]);
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame[63] = 52;
    frame[64..].copy_from_slice(&[0x88, 0xfb]);
    frame
}

fn set(frame: &mut [u8; 66], lan: LanId, number: u16) {
    frame[60..62].copy_from_slice(&number.to_be_bytes());
    frame[62] = if lan == LanId::A { 0xa0 } else { 0xb0 };
}

/// Every node announces itself, so that none gives way.
fn announce(lre: &mut Lre<'_, ()>, now: Instant, nodes: u32) {
    for source in 0..nodes {
        let mut frame = [0; 60];
        frame[..6].copy_from_slice(&[0x01, 0x15, 0x4e, 0, 1, 0]);
        let node = frame_of(source);
        frame[6..12].copy_from_slice(&node[6..12]);
        frame[12..20].copy_from_slice(&[0x88, 0xfb, 0, 1, 0, 0, 20, 6]);
        frame[20..26].copy_from_slice(&node[6..12]);
        let _ = black_box(lre.receive_lan(now, LanId::A, &frame));
    }
}
