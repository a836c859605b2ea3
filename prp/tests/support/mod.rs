//! What the tests of the LRE share: memory for one, hand-built frames, seeded random numbers, the
//! two subjects of the discard suite, a network in virtual time, the bodies of the fuzz targets.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(
    clippy::cast_possible_truncation,
    reason = "random numbers and indices are cut to size on purpose"
)]

pub(crate) mod discard;
pub(crate) mod frames;
pub(crate) mod fuzz_bodies;
pub(crate) mod network;

use prp::lre::config::LreConfig;
use prp::lre::event::LreEvent;
use prp::lre::memory::{LreMemory, LreSizes};
use prp::lre::{Block, EventSink, Lre, NodeSlot, SequenceStart};
use prp::types::MacAddress;
use rt_core::time::{Duration, Instant};

/// The address of the node under test.
pub(crate) const OWN: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
/// The address of another node.
pub(crate) const PEER: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);

/// How many cases to run: fifty times as many in a soak. (Who calls it has a long form; that is
/// found out by the word.)
pub(crate) fn or_soak(usual: u64) -> u64 {
    if std::env::var_os("BUMPLESS_SOAK").is_some_and(|v| v == "1") { usual * 50 } else { usual }
}

pub(crate) fn ms(ms: u64) -> Instant {
    Instant::ORIGIN + Duration::from_millis(ms)
}

/// Keeps every event.
#[derive(Default, Debug)]
pub(crate) struct Events(pub(crate) Vec<LreEvent>);

impl EventSink for Events {
    fn event(&mut self, _now: Instant, event: LreEvent) {
        self.0.push(event);
    }
}

/// The memory of one LRE, full of what a former use left there.
#[derive(Debug)]
pub(crate) struct Memory {
    nodes: Vec<NodeSlot>,
    node_buckets: Vec<u32>,
    blocks: Vec<Block>,
    block_buckets: Vec<u32>,
}

impl Memory {
    /// As the product would size it.
    pub(crate) fn for_nodes(nodes: usize) -> Self {
        let sizes = LreSizes::for_nodes(nodes);
        Self::of(sizes.nodes, sizes.blocks)
    }

    /// Of exactly so many slots and blocks.
    pub(crate) fn of(nodes: usize, blocks: usize) -> Self {
        Self {
            nodes: vec![NodeSlot::FREE; nodes],
            node_buckets: vec![0xdead_beef; (2 * nodes).next_power_of_two()],
            blocks: vec![Block::FREE; blocks],
            block_buckets: vec![0xdead_beef; (2 * blocks).next_power_of_two()],
        }
    }

    /// [`OWN`]'s LRE over it, which starts at the origin and continues with data number 100 and
    /// supervision number 7.
    pub(crate) fn lre(&mut self, config: LreConfig) -> Lre<'_, Events> {
        self.lre_from(OWN, config, SequenceStart::continued(100, 7), Instant::ORIGIN)
    }

    /// The LRE over it of the node with the address `mac`.
    pub(crate) fn lre_from(
        &mut self,
        mac: MacAddress,
        config: LreConfig,
        start: SequenceStart,
        now: Instant,
    ) -> Lre<'_, Events> {
        let memory = LreMemory {
            nodes: &mut self.nodes,
            node_buckets: &mut self.node_buckets,
            blocks: &mut self.blocks,
            block_buckets: &mut self.block_buckets,
        };
        Lre::new(mac, config, memory, 0x9e37_79b9_7f4a_7c15, start, now, Events::default())
    }

    /// Scratch memory for [`Lre::check_invariants`].
    pub(crate) fn marks(&self) -> Vec<u8> {
        vec![0; self.nodes.len().max(self.blocks.len())]
    }
}

/// Lets an LRE do all work that is due.
pub(crate) fn settle(lre: &mut Lre<'_, Events>, now: Instant) {
    // A call serves 128 blocks: enough calls for any pool used here.
    for _ in 0..5_000 {
        lre.service(now);
        if lre.next_timeout() > now {
            return;
        }
    }
}

/// Seeded random numbers (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`, which is not zero.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// An index into what has `len` places.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// True in `percent` of all cases.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn octets(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}
