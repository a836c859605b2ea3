//! What a commit costs on this machine.

use std::sync::atomic::AtomicU64;

use rt_core::limits::RING_SLOTS_MIN;
use rt_core::os::clock::MonotonicClock;
use rt_core::time::Duration;

use super::options::{Region, Written};
use crate::image::{ImageWriter, Stamp};
use crate::segment::Layout;

/// Commits that are measured, where they take no longer than the time for it.
const ROUNDS: usize = 64;
const ROUNDS_MIN: usize = 8;
/// Time for all of them.
const BUDGET: Duration = Duration::from_millis(40);

/// What a commit of a region costs, in ns, gathered from as many blocks as it has: the middle one
/// of some that were made here, each into memory that was not touched since the others. The image
/// itself is in the caches, as one is that a cycle has just worked on. (The slowest ones say what
/// else this machine had to do in that moment.) Zero of one that is only read. Not for a cycle.
pub(super) fn commit_cost_ns(region: &Region) -> u64 {
    let Some(Written { layout, in_place, .. }) = region.written else { return 0 };
    let octets = layout.image_octets();
    let blocks: Vec<usize> = match region.schema() {
        // In place there is nothing to gather: the last image is copied instead.
        Some(schema) if !in_place => schema.blocks().map(|it| it.octets).collect(),
        _ => vec![octets],
    };
    measured_ns(octets, &blocks)
}

fn measured_ns(image_octets: usize, blocks: &[usize]) -> u64 {
    // How many slots there are does not matter, and so many are the fewest.
    let Ok(layout) = Layout::new(image_octets, RING_SLOTS_MIN, 0) else { return 0 };
    let words = layout.place().slots + layout.slots() * layout.place().stride;
    let memory: Vec<AtomicU64> = (0..words).map(|index| AtomicU64::new(index as u64)).collect();
    // Each where it is in its own memory, as variables are.
    let blocks: Vec<Vec<u8>> = blocks.iter().map(|octets| vec![0x5a; *octets]).collect();
    let Some(mut writer) = ImageWriter::new(&memory[..], layout.place(), image_octets) else {
        return 0;
    };
    let mut spans = Vec::with_capacity(ROUNDS);
    let began = MonotonicClock::now();
    let mut now = began;
    while spans.len() < ROUNDS && (spans.len() < ROUNDS_MIN || now.since(began) < BUDGET) {
        let start = MonotonicClock::now();
        let committed = commit(&mut writer, &blocks);
        debug_assert!(committed, "the blocks fill the image");
        now = MonotonicClock::now();
        spans.push(now.since(start));
    }
    spans.sort_unstable();
    spans.get(spans.len() / 2).map_or(0, |span| span.as_nanos())
}

fn commit(writer: &mut ImageWriter<&[AtomicU64]>, blocks: &[Vec<u8>]) -> bool {
    if let [only] = blocks {
        return writer.publish(only, Stamp::default()).is_ok();
    }
    let mut draft = writer.begin();
    blocks.iter().all(|block| draft.append(block).is_ok()) && draft.commit(Stamp::default()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_image_costs_more_and_so_does_one_of_many_blocks() {
        // Sixteen thousand times as many octets: no other load turns that around.
        let (small, large) = (measured_ns(64, &[64]), measured_ns(1 << 20, &[1 << 20]));
        assert!(small > 0 && large > small, "{small} ns and {large} ns");
        // A thousand blocks of a word instead of one.
        let (one, many) = (measured_ns(8_000, &[8_000]), measured_ns(8_000, &[8; 1_000]));
        assert!(many > one, "{many} ns and {one} ns");
    }
}
