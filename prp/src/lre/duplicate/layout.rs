//! Where things stand in a block, for the programs that share it; see `lre::fast_path`.

use core::mem::offset_of;

#[cfg(test)]
use super::{BLOCK_NUMBERS, Block, GROUP_BITS, LIFE_TICKS, SUPERVISED_BIT, SWEEP_TICKS};
use super::{DuplicateDiscard, SourceState, TickClock};
#[cfg(test)]
use crate::lre::fast_path::Named;

/// Offsets and sizes in octets, and the constants of the rule.
#[cfg(test)]
pub(in crate::lre) const LAYOUT: &[Named] = &[
    ("LRE_BLOCK_OCTETS", size_of::<Block>() as u64),
    ("LRE_BLOCK_BORN", offset_of!(Block, born) as u64),
    ("LRE_BLOCK_LIVE", offset_of!(Block, live) as u64),
    ("LRE_BLOCK_FIRST_ON_B", offset_of!(Block, first_on_b) as u64),
    ("LRE_BLOCK_SECOND", offset_of!(Block, second) as u64),
    ("LRE_BLOCK_THIRD", offset_of!(Block, third) as u64),
    ("LRE_BLOCK_OWNER", offset_of!(Block, owner) as u64),
    ("LRE_BLOCK_GROUP", offset_of!(Block, group) as u64),
    ("LRE_BLOCK_NEXT_IN_BUCKET", offset_of!(Block, next_in_bucket) as u64),
    ("LRE_BLOCK_NEWEST_TICK", offset_of!(Block, newest_tick) as u64),
    ("LRE_BLOCK_SWEPT_TICK", offset_of!(Block, swept_tick) as u64),
    ("LRE_BLOCK_NUMBERS", BLOCK_NUMBERS as u64),
    ("LRE_GROUP_BITS", GROUP_BITS as u64),
    ("LRE_LIFE_TICKS", LIFE_TICKS as u64),
    ("LRE_SWEEP_TICKS", SWEEP_TICKS as u64),
    ("LRE_SWEPT_TICK_MASK", !SUPERVISED_BIT as u64),
];

/// Offsets in the node table's part that discard owns.
pub(in crate::lre) const NEWEST: usize = offset_of!(SourceState, newest);
pub(in crate::lre) const LAST_TICK: usize = offset_of!(SourceState, last_tick);
#[cfg(test)]
pub(in crate::lre) const HINT: usize = offset_of!(SourceState, hint);

impl DuplicateDiscard<'_> {
    pub(in crate::lre) const fn secret(&self) -> u64 {
        self.secret
    }

    pub(in crate::lre) const fn bucket_count(&self) -> usize {
        self.buckets.len()
    }

    /// The length of a tick; when tick zero began or would have begun, modulo 2^64; when the
    /// current tick ends. All in nanoseconds.
    pub(in crate::lre) const fn ticks(&self) -> (u64, u64, u64) {
        let TickClock { tick, begins, ends, length, .. } = self.clock;
        let length = length.as_nanos();
        let zero = begins.as_nanos().wrapping_sub(length.wrapping_mul(tick as u64));
        (length, zero, ends.as_nanos())
    }
}
