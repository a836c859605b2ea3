//! What a commit costs on this machine.

use std::sync::atomic::AtomicU64;

use rt_core::limits::RING_SLOTS_MIN;
use rt_core::os::clock::MonotonicClock;
use rt_core::time::Duration;

use crate::image::{ImageWriter, Stamp};
use crate::segment::Layout;

/// Commits that are measured, where they take no longer than the time for it.
const ROUNDS: usize = 64;
const ROUNDS_MIN: usize = 8;
/// Time for all of them.
const BUDGET: Duration = Duration::from_millis(40);

/// What a commit of such a region costs, in ns: the middle one of some that were made here, each
/// into memory that was not touched since the others. The image itself is in the caches, as one is
/// that a cycle has just worked on. (The slowest ones say what else this machine had to do in that
/// moment.) Not for a cycle.
pub(super) fn commit_cost_ns(image_octets: usize) -> u64 {
    // How many slots there are does not matter, and so many are the fewest.
    let Ok(layout) = Layout::new(image_octets, RING_SLOTS_MIN, 0) else { return 0 };
    let words = layout.place().slots + layout.slots() * layout.place().stride;
    let memory: Vec<AtomicU64> = (0..words).map(|index| AtomicU64::new(index as u64)).collect();
    let image = vec![0x5a; image_octets];
    let Some(mut writer) = ImageWriter::new(&memory[..], layout.place(), image_octets) else {
        return 0;
    };
    let mut spans = Vec::with_capacity(ROUNDS);
    let began = MonotonicClock::now();
    let mut now = began;
    while spans.len() < ROUNDS && (spans.len() < ROUNDS_MIN || now.since(began) < BUDGET) {
        let start = MonotonicClock::now();
        let committed = writer.publish(&image, Stamp::default());
        debug_assert!(committed.is_ok(), "the image has the size of the layout");
        now = MonotonicClock::now();
        spans.push(now.since(start));
    }
    spans.sort_unstable();
    spans.get(spans.len() / 2).map_or(0, |span| span.as_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_image_costs_more() {
        // Sixteen thousand times as many octets: no other load turns that around.
        let (small, large) = (commit_cost_ns(64), commit_cost_ns(1 << 20));
        assert!(small > 0 && large > small, "{small} ns and {large} ns");
    }
}
