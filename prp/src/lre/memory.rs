//! The memory of an LRE: how much for how many nodes, and its shape.
//!
//! Everything is sized once, from the number of nodes, and handed in by the caller, so that nothing
//! allocates later and the whole can be locked and touched before the first frame.

use rt_core::limits::{DISCARD_MEMORY_OCTETS_MAX, NODE_TABLE_MAX};

use super::duplicate::Block;
use super::node_table::NodeSlot;

/// Blocks of duplicate discard per node: a node at gigabit line rate, or one that mixes us with
/// sixty-three others, fills 512 within the life of an entry; most fill one or two.
const BLOCKS_PER_NODE: usize = 64;
/// Few nodes may still send at line rate.
const BLOCKS_MIN: usize = 8_192;
/// 556,000 numbers live at gigabit line rate: room for them at two per block on average.
const BLOCKS_MAX: usize = 262_144;

const _: () = assert!(
    LreSizes::for_nodes(NODE_TABLE_MAX).octets() <= DISCARD_MEMORY_OCTETS_MAX,
    "the largest configuration must fit into the memory that is stated"
);

/// Lengths of the four parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LreSizes {
    /// Slots of the node table.
    pub nodes: usize,
    /// Heads of its hash, a power of two.
    pub node_buckets: usize,
    /// Blocks of duplicate discard.
    pub blocks: usize,
    /// Heads of its hash, a power of two.
    pub block_buckets: usize,
}

impl LreSizes {
    /// The sizes for a table of `nodes` nodes, which is brought into 1 to [`NODE_TABLE_MAX`].
    #[must_use]
    pub const fn for_nodes(nodes: usize) -> Self {
        let nodes = if nodes == 0 {
            1
        } else if nodes > NODE_TABLE_MAX {
            NODE_TABLE_MAX
        } else {
            nodes
        };
        let wanted = nodes * BLOCKS_PER_NODE;
        let blocks = if wanted < BLOCKS_MIN {
            BLOCKS_MIN
        } else if wanted > BLOCKS_MAX {
            BLOCKS_MAX
        } else {
            wanted
        };
        Self {
            nodes,
            node_buckets: (2 * nodes).next_power_of_two(),
            blocks,
            block_buckets: (2 * blocks).next_power_of_two(),
        }
    }

    /// Octets of all four parts.
    #[must_use]
    pub const fn octets(&self) -> usize {
        self.nodes * size_of::<NodeSlot>()
            + self.blocks * size_of::<Block>()
            + (self.node_buckets + self.block_buckets) * size_of::<u32>()
    }
}

/// Octets that an LRE with a table of `nodes` nodes keeps for its whole life.
#[must_use]
pub const fn memory_octets(nodes: usize) -> usize {
    LreSizes::for_nodes(nodes).octets()
}

/// The memory itself. What is in it does not matter. The lengths should be those of [`LreSizes`];
/// those of the bucket parts must be powers of two.
#[derive(Debug)]
pub struct LreMemory<'m> {
    /// Slots of the node table.
    pub nodes: &'m mut [NodeSlot],
    /// Heads of its hash.
    pub node_buckets: &'m mut [u32],
    /// Blocks of duplicate discard.
    pub blocks: &'m mut [Block],
    /// Heads of its hash.
    pub block_buckets: &'m mut [u32],
}

/// The bucket of a key: the highest bits of two products with secret odd numbers (who does not know
/// the secret cannot choose keys that collide). `buckets` is a power of two.
///
/// One product alone spreads keys that follow each other (the addresses of one maker, the blocks of
/// one node) so evenly or unevenly as the secret has it: one start in a hundred would have three to
/// five probes for each of its look-ups, one in a thousand twenty.
#[inline]
pub(super) const fn bucket_of(key: u64, secret: u64, buckets: usize) -> usize {
    let mixed = key.wrapping_mul(secret);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(secret.rotate_left(32) | 1);
    // The upper half of the product suffices: there are never 2^32 buckets.
    ((mixed >> 32).wrapping_mul(buckets as u64) >> 32) as usize
}

/// Walks a list and sets `bit` in the mark of each member, for checks of invariants.
///
/// # Errors
/// When a member has the bit already (a circle, or two lists that join) or does not exist.
pub(super) fn mark_list(
    head: u32,
    bit: u8,
    marks: &mut [u8],
    next: impl Fn(u32) -> Option<u32>,
) -> Result<(), &'static str> {
    let mut at = head;
    while at != u32::MAX {
        let mark = marks.get_mut(at as usize).ok_or("an index beyond the table")?;
        if *mark & bit != 0 {
            return Err("a list runs in a circle or joins another");
        }
        *mark |= bit;
        at = next(at).ok_or("an index beyond the table")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stated_memory_holds_what_is_promised() {
        assert!(memory_octets(NODE_TABLE_MAX) <= DISCARD_MEMORY_OCTETS_MAX);
        assert_eq!(memory_octets(0), memory_octets(1));
        assert_eq!(memory_octets(usize::MAX), memory_octets(NODE_TABLE_MAX));
        assert!(memory_octets(rt_core::limits::NODE_TABLE_DEFAULT) < 12 << 20);
    }

    #[test]
    fn every_key_has_a_bucket() {
        for buckets in [1usize, 2, 1 << 15] {
            for key in [0, 1, u64::MAX, 1 << 63] {
                assert!(bucket_of(key, 0x9e37_79b9_7f4a_7c15, buckets) < buckets);
            }
        }
    }

    /// Whatever the secret and the pattern of the keys, a look-up costs about what it costs with
    /// random keys (1.25 probes at this load).
    #[test]
    fn no_secret_makes_look_ups_slow() {
        const KEYS: u64 = 1_024;
        const BUCKETS: usize = 2_048;
        let mut secret = 1u64;
        for _ in 0..1_000 {
            secret = secret.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            for stride in [1, 256, 1 << 12, 1 << 24] {
                let mut chains = [0u32; BUCKETS];
                for i in 0..KEYS {
                    let key = (1 << 63) | (0x0200_5e10_0000 + i * stride);
                    chains[bucket_of(key, secret | 1, BUCKETS)] += 1;
                }
                let probes: u32 = chains.iter().map(|n| n * (n + 1) / 2).sum();
                assert!(u64::from(probes) < 2 * KEYS, "{probes} probes, secret {secret:x}");
            }
        }
    }
}
