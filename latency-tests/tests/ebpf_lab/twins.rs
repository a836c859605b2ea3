//! Two LREs with the same life: one alone, one that shares its memory with the program. Both must
//! say the same of each frame and have the same octets in their tables.

use prp::lre::config::LreConfig;
use prp::lre::{DiscardReason, Fate, Lre, SequenceStart};
use rt_core::time::Instant;

use super::schedule::{OWN, Schedule, Step};
use super::{Discard, Hook, Image, SECRET, Sizes, Verdict};

/// Octets in a node slot that no field has; moving a slot leaves anything there.
const PADDING: [std::ops::Range<usize>; 3] = [53..56, 158..160, 168..192];

/// What the program did in a run.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Tally {
    pub(crate) first: u64,
    pub(crate) repeat: u64,
    pub(crate) left: u64,
    /// Of those left, the tagged ones that the LRE delivered or discarded as repeats.
    pub(crate) left_tagged: u64,
}

/// Runs `steps` steps of a schedule; panics at the first difference.
pub(crate) fn agree(hook: Hook, seed: u64, steps: usize, sizes: Sizes) -> Tally {
    let shared = Discard::load(sizes, true);
    let alone = Discard::load(sizes, true);
    let (mut shared_tables, mut alone_tables) = (shared.tables(), alone.tables());
    let (shared_image, alone_image) = (shared.image(), alone.image());
    let mut control = shared.control();
    let control = &mut control.values_mut()[0];
    let (start, begin) = (SequenceStart::continued(0, 0), Instant::from_nanos(1_000_000_000));
    let config = LreConfig::default();
    let mut lre = Lre::new(OWN, config, shared_tables.memory(), SECRET, start, begin, ());
    let mut twin = Lre::new(OWN, config, alone_tables.memory(), SECRET, start, begin, ());
    let (mut now, mut tally) = (begin.as_nanos(), Tally::default());
    for (at, step) in Schedule::new(seed, 5).take(steps).enumerate() {
        let instant = Instant::from_nanos(now);
        match step {
            Step::Pass(span) => now += span,
            Step::Clear => {
                lre.clear_node_table();
                twin.clear_node_table();
            }
            Step::Serve => {
                lre.service(instant);
                twin.service(instant);
                *control = lre.fast_path();
            }
            Step::Frame(lan, frame) => {
                control.test_now_ns = now;
                let expected = twin.receive_lan(instant, lan, &frame);
                let fate = match shared.run(hook, lan, &frame) {
                    Verdict::First => {
                        tally.first += 1;
                        Fate::Deliver { octets: frame.len() - 6 }
                    }
                    Verdict::Repeat => {
                        tally.repeat += 1;
                        Fate::Discard(DiscardReason::Duplicate)
                    }
                    Verdict::Left => {
                        tally.left += 1;
                        let fate = lre.receive_lan(instant, lan, &frame);
                        let repeat = Fate::Discard(DiscardReason::Duplicate);
                        let cut = Fate::Deliver { octets: frame.len() - 6 };
                        tally.left_tagged += u64::from(fate == repeat || fate == cut);
                        fate
                    }
                };
                assert_eq!(fate, expected, "{hook:?}, seed {seed}, step {at}, {lan}: {frame:x?}");
            }
        }
        assert_same(&shared_image, &alone_image, seed, at);
    }
    let counts = shared.counters();
    let mut counted = lre.counters();
    for (lan, counts) in counts.values().iter().enumerate() {
        counted.rx[lan] += counts.rx;
        counted.tx[2] += counts.delivered;
    }
    assert_eq!(counted, twin.counters(), "{hook:?}, seed {seed}");
    // The program may be some ticks ahead of an LRE that has not been asked since.
    for _ in 0..=sizes.blocks {
        lre.service(Instant::from_nanos(now));
    }
    let mut marks = vec![0; sizes.nodes.max(sizes.blocks)];
    assert_eq!(lre.check_invariants(&mut marks), Ok(()));
    tally
}

fn assert_same(shared: &Image, alone: &Image, seed: u64, step: usize) {
    for ((name, shared), (_, alone)) in shared.parts().into_iter().zip(alone.parts()) {
        if shared == alone {
            continue;
        }
        let width = if name == "nodes" { 192 } else { 128 };
        for (index, pair) in shared.chunks(width).zip(alone.chunks(width)).enumerate() {
            let differs = |&at: &usize| {
                let padding = name == "nodes" && PADDING.iter().any(|range| range.contains(&at));
                pair.0[at] != pair.1[at] && !padding
            };
            let first = (0..pair.0.len()).find(differs);
            assert_eq!(first, None, "seed {seed}, step {step}: {name} {index} differs there");
        }
    }
}
