//! What the programs cost. The kernel's own measure of a run is a time; where one instruction is
//! one nanosecond it is a count.

use std::hint::black_box;

use aya::TestRunOptions;
use aya::programs::Program;
use latency_tests::os::clock;
use prp::lre::config::LreConfig;
use prp::lre::memory::LreSizes;
use prp::lre::{Lre, SequenceStart};
use prp::types::LanId;
use rt_core::gate::{ALL_CYCLES, output_mark};
use rt_core::time::{Duration, Instant};

use super::race::{fresh_numbers, prepared};
use super::schedule::{OWN, announcement, mac_of, tagged};
use super::{Discard, Gate, Hook, SECRET, Sizes, Verdict, tell_sizes, test_run, verdict_of};

const RUNS: u32 = 1_000;

/// Mean of `RUNS` runs on one frame, the loop around them included.
fn mean(program: &Program, frame: &[u8], context: Option<&[u8]>) -> u128 {
    let options = TestRunOptions {
        data_in: Some(frame),
        ctx_in: context,
        repeat: RUNS,
        ..TestRunOptions::new()
    };
    test_run(program, options).1
}

fn mark(mark: u32) -> [u8; 12] {
    let mut context = [0; 12];
    context[8..].copy_from_slice(&mark.to_ne_bytes());
    context
}

/// What one decision takes, the loop around it taken off, in nanoseconds or instructions.
#[derive(Debug)]
pub(crate) struct Told {
    /// The gate, for an output that passes.
    pub(crate) gate: u128,
    /// Discard at tc and XDP, for a repeat.
    pub(crate) discard: [u128; 2],
    /// The LRE in user space, for both copies of a frame.
    pub(crate) lre: u128,
}

/// Prints what each way through the programs costs, and what the LRE itself takes for it.
pub(crate) fn tell(unit: &str) -> Told {
    let gate = Gate::load(0);
    let discard = prepared();
    tell_sizes(&gate.loaded);
    tell_sizes(discard.loaded());
    let frame = tagged(mac_of(1), LanId::A, 0, 0);
    let program = gate.loaded.program("gate").unwrap();
    gate.words().open_to(ALL_CYCLES);
    let other = mean(program, &frame, Some(&mark(0)));
    println!("cost, gate, another class: {other} {unit}");
    let shut = mean(program, &frame, Some(&mark(output_mark(1))));
    println!("cost, gate, refused: {shut} {unit}");
    gate.words().set_owner_deadline(u64::MAX);
    let open = mean(program, &frame, Some(&mark(output_mark(1))));
    println!("cost, gate, passed: {open} {unit}");
    let discard_net = [Hook::Tc, Hook::Xdp].map(|hook| {
        let program = discard.program(hook, LanId::A);
        let short = mean(program, &frame[..60], None);
        println!("cost, {hook:?}, too short: {short} {unit}");
        let untagged = [&frame[..60], &[0; 6]].concat();
        println!("cost, {hook:?}, no RCT: {} {unit}", mean(program, &untagged, None));
        let repeat = mean(program, &frame, None);
        println!("cost, {hook:?}, repeat: {repeat} {unit}");
        // One run at a time, and what the measure itself takes away.
        let once = |number, expected| {
            let frame = tagged(mac_of(1), LanId::A, number, 0);
            let options = TestRunOptions { data_in: Some(&frame), ..TestRunOptions::new() };
            let (value, took) = test_run(program, options);
            assert_eq!(verdict_of(hook, value), expected);
            took
        };
        let numbers: Vec<u16> = fresh_numbers().collect();
        let half = if hook == Hook::Tc { &numbers[..6_000] } else { &numbers[6_000..12_000] };
        let runs = half.len() as u128;
        let first = half.iter().map(|&number| once(number, Verdict::First)).sum::<u128>() / runs;
        let again = half.iter().map(|&number| once(number, Verdict::Repeat)).sum::<u128>() / runs;
        let net = (first + repeat).saturating_sub(again);
        println!("cost, {hook:?}, first: {net} {unit} (alone {first}, a repeat alone {again})");
        repeat.saturating_sub(short)
    });
    let lre = lre();
    println!("cost, LRE in user space, both copies of a frame: {lre} {unit}");
    let gate = open.saturating_sub(other);
    Told { gate, discard: discard_net, lre }
}

/// Mean of what the LRE takes for both copies of a frame whose block exists.
fn lre() -> u128 {
    let sizes = LreSizes::for_nodes(16);
    let discard = Discard::load(Sizes { nodes: sizes.nodes, blocks: sizes.blocks }, true);
    let mut tables = discard.tables();
    let mut now = Instant::from_nanos(1_000_000_000);
    let start = SequenceStart::continued(0, 0);
    let mut lre = Lre::new(OWN, LreConfig::default(), tables.memory(), SECRET, start, now, ());
    let _ = lre.receive_lan(now, LanId::A, &announcement(mac_of(1)));
    let (mut total, mut runs) = (0, 0);
    for number in 0..6_400 {
        now += Duration::from_micros(10);
        let frames = LanId::BOTH.map(|lan| (lan, tagged(mac_of(1), lan, number, 0)));
        let begin = clock::now();
        for (lan, frame) in &frames {
            let _ = black_box(lre.receive_lan(now, *lan, black_box(frame)));
        }
        let took = clock::now().since(begin).as_nanos();
        let begin = clock::now();
        let nothing = clock::now().since(begin).as_nanos();
        if number % 64 != 0 {
            total += took.saturating_sub(nothing);
            runs += 1;
        }
    }
    u128::from(total / runs)
}
