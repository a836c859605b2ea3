//! Where things stand in a slot, for the programs that share it; see `lre::fast_path`.

use core::mem::offset_of;

#[cfg(test)]
use super::{KEY_USED, Standing};
use super::{NodeSlot, NodeTable};
#[cfg(test)]
use crate::lre::duplicate::layout::HINT;
use crate::lre::duplicate::layout::{LAST_TICK, NEWEST};
#[cfg(test)]
use crate::lre::fast_path::Named;

const SOURCE: usize = offset_of!(NodeSlot, source);

/// Offsets and sizes in octets, and constants.
#[cfg(test)]
pub(in crate::lre) const LAYOUT: &[Named] = &[
    ("LRE_NODE_OCTETS", size_of::<NodeSlot>() as u64),
    ("LRE_NODE_KEY", offset_of!(NodeSlot, key) as u64),
    ("LRE_NODE_LAST_SEEN_NS", offset_of!(NodeSlot, last_seen_ns) as u64),
    ("LRE_NODE_NEWEST", (SOURCE + NEWEST) as u64),
    ("LRE_NODE_LAST_TICK", (SOURCE + LAST_TICK) as u64),
    ("LRE_NODE_HINT", (SOURCE + HINT) as u64),
    ("LRE_NODE_NEXT_IN_BUCKET", offset_of!(NodeSlot, next_in_bucket) as u64),
    ("LRE_NODE_GENERATION", offset_of!(NodeSlot, generation) as u64),
    ("LRE_NODE_STANDING", offset_of!(NodeSlot, standing) as u64),
    ("LRE_NODE_LAST_TAGGED_NS", offset_of!(NodeSlot, last_tagged) as u64),
    ("LRE_NODE_RX_TAGGED", offset_of!(NodeSlot, rx_tagged) as u64),
    ("LRE_NODE_ALIAS_OF_KEY", offset_of!(NodeSlot, alias_of_key) as u64),
    ("LRE_KEY_USED", KEY_USED),
    ("LRE_STANDING_PAIRED", Standing::Paired as u64),
];

// Both numbers of a source are replaced in one go.
const _: () = assert!(LAST_TICK == NEWEST + 4 && (SOURCE + NEWEST).is_multiple_of(8));

impl NodeTable<'_> {
    pub(in crate::lre) const fn secret(&self) -> u64 {
        self.secret
    }

    pub(in crate::lre) const fn bucket_count(&self) -> usize {
        self.buckets.len()
    }
}
