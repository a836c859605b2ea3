//! The programs of `prp/bpf` and `rt-core/bpf`, loaded, with their memory mapped.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "shared by test files that use different parts")]

pub(crate) mod cost;
pub(crate) mod gate;
pub(crate) mod race;
pub(crate) mod schedule;
pub(crate) mod twins;

use aya::maps::Map;
use aya::programs::{Program, SchedClassifier};
use aya::{Ebpf, EbpfLoader, TestRun, TestRunOptions, include_bytes_aligned};
use latency_tests::os::bpf::{Shareable, SharedArray};
use prp::lre::fast_path::{FastPathControl, FastPathCounters};
use prp::lre::memory::LreMemory;
use prp::lre::{Block, NodeSlot};
use prp::types::LanId;
use rt_core::gate::GateWords;

pub(crate) const DISCARD: &[u8] = include_bytes_aligned!("../../../prp/bpf/discard.bpf.o");
pub(crate) const GATE: &[u8] = include_bytes_aligned!("../../../rt-core/bpf/gate.bpf.o");

/// What the hashes are keyed with. A weak one makes chains longer than the program follows.
pub(crate) const SECRET: u64 = 0x9e37_79b9_7f4a_7c15;

/// The hooks that the discard program is made for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hook {
    Tc,
    Xdp,
}

/// What the discard program says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Left,
    First,
    Repeat,
}

/// Whether programs can be loaded here; says so when the test named `test` has to be skipped.
pub(crate) fn can_load(test: &str) -> bool {
    let loaded = Ebpf::load(GATE);
    if let Err(error) = &loaded {
        // A verifier that refuses is a failure, and shows when the test itself loads.
        let text = format!("{error:?}");
        if text.contains("PermissionDenied") || text.contains("Unsupported") {
            println!("SKIP: {test}: root, to load programs into the kernel: {error}");
            return false;
        }
    }
    true
}

/// An array of a loaded object, mapped.
pub(crate) fn share<T: Shareable>(loaded: &Ebpf, name: &str, values: usize) -> SharedArray<T> {
    match loaded.map(name) {
        Some(Map::Array(data)) => SharedArray::map(data.fd(), values).unwrap(),
        other => panic!("{name} is no array: {other:?}"),
    }
}

/// How large the tables are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) nodes: usize,
    pub(crate) blocks: usize,
}

impl Sizes {
    const fn node_buckets(self) -> usize {
        (2 * self.nodes).next_power_of_two()
    }

    const fn block_buckets(self) -> usize {
        (2 * self.blocks).next_power_of_two()
    }
}

/// The tables of one LRE in the memory of one loaded object.
#[derive(Debug)]
pub(crate) struct Tables {
    nodes: SharedArray<NodeSlot>,
    node_buckets: SharedArray<u32>,
    blocks: SharedArray<Block>,
    block_buckets: SharedArray<u32>,
}

impl Tables {
    pub(crate) fn memory(&mut self) -> LreMemory<'_> {
        LreMemory {
            nodes: self.nodes.values_mut(),
            node_buckets: self.node_buckets.values_mut(),
            blocks: self.blocks.values_mut(),
            block_buckets: self.block_buckets.values_mut(),
        }
    }
}

/// The same memory once more, as octets.
#[derive(Debug)]
pub(crate) struct Image([SharedArray<u8>; 4]);

impl Image {
    pub(crate) fn parts(&self) -> [(&'static str, &[u8]); 4] {
        let [nodes, node_buckets, blocks, block_buckets] = &self.0;
        [
            ("nodes", nodes.values()),
            ("node_buckets", node_buckets.values()),
            ("blocks", blocks.values()),
            ("block_buckets", block_buckets.values()),
        ]
    }
}

/// The discard program with its memory.
#[derive(Debug)]
pub(crate) struct Discard {
    loaded: Ebpf,
    sizes: Sizes,
}

impl Discard {
    /// Loads it, with both programs of each hook.
    pub(crate) fn load(sizes: Sizes, test_clock: bool) -> Self {
        let entries = |count: usize| u32::try_from(count).unwrap();
        let mut loaded = EbpfLoader::new()
            .map_max_entries("nodes", entries(sizes.nodes))
            .map_max_entries("blocks", entries(sizes.blocks))
            // Two heads stand in each value.
            .map_max_entries("node_buckets", entries(sizes.node_buckets().div_ceil(2)))
            .map_max_entries("block_buckets", entries(sizes.block_buckets().div_ceil(2)))
            .override_global("test_clock", &u32::from(test_clock), true)
            .load(DISCARD)
            .unwrap();
        for (_, program) in loaded.programs_mut() {
            match program {
                Program::SchedClassifier(program) => program.load().unwrap(),
                Program::Xdp(program) => program.load().unwrap(),
                other => panic!("{other:?}"),
            }
        }
        Self { loaded, sizes }
    }

    pub(crate) fn loaded(&self) -> &Ebpf {
        &self.loaded
    }

    pub(crate) fn tables(&self) -> Tables {
        let Self { loaded, sizes } = self;
        Tables {
            nodes: share(loaded, "nodes", sizes.nodes),
            node_buckets: share(loaded, "node_buckets", sizes.node_buckets()),
            blocks: share(loaded, "blocks", sizes.blocks),
            block_buckets: share(loaded, "block_buckets", sizes.block_buckets()),
        }
    }

    pub(crate) fn image(&self) -> Image {
        let Self { loaded, sizes } = self;
        Image([
            share(loaded, "nodes", sizes.nodes * size_of::<NodeSlot>()),
            share(loaded, "node_buckets", 4 * sizes.node_buckets()),
            share(loaded, "blocks", sizes.blocks * size_of::<Block>()),
            share(loaded, "block_buckets", 4 * sizes.block_buckets()),
        ])
    }

    pub(crate) fn control(&self) -> SharedArray<FastPathControl> {
        share(&self.loaded, "control", 1)
    }

    pub(crate) fn counters(&self) -> SharedArray<FastPathCounters> {
        share(&self.loaded, "counters", 2)
    }

    /// Runs the program of a LAN on a frame.
    pub(crate) fn run(&self, hook: Hook, lan: LanId, frame: &[u8]) -> Verdict {
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::new() };
        verdict_of(hook, test_run(self.program(hook, lan), options).0)
    }

    pub(crate) fn program(&self, hook: Hook, lan: LanId) -> &Program {
        let name = match (hook, lan) {
            (Hook::Tc, LanId::A) => "discard_a",
            (Hook::Tc, LanId::B) => "discard_b",
            (Hook::Xdp, LanId::A) => "discard_xdp_a",
            (Hook::Xdp, LanId::B) => "discard_xdp_b",
        };
        self.loaded.program(name).unwrap()
    }
}

/// What a program's value means.
pub(crate) fn verdict_of(hook: Hook, value: u32) -> Verdict {
    match (hook, value) {
        (Hook::Tc, 0) | (Hook::Xdp, 2) => Verdict::Left,
        (Hook::Tc, 7) | (Hook::Xdp, 4) => Verdict::First,
        (Hook::Tc, 2) | (Hook::Xdp, 1) => Verdict::Repeat,
        other => panic!("{other:?}"),
    }
}

/// Runs a program; its value, and the mean of its runs in nanoseconds.
pub(crate) fn test_run(program: &Program, options: TestRunOptions<'_>) -> (u32, u128) {
    let result = match program {
        Program::SchedClassifier(program) => program.test_run(options),
        Program::Xdp(program) => program.test_run(options),
        other => panic!("{other:?}"),
    };
    let result = result.unwrap_or_else(|error| panic!("{error}: {error:?}"));
    (result.return_value, result.duration.as_nanos())
}

/// The gate with its words.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) loaded: Ebpf,
    words: SharedArray<GateWords>,
}

impl Gate {
    /// Loads it; with an instant, both clocks stand still there.
    pub(crate) fn load(test_now_ns: u64) -> Self {
        let mut loaded = EbpfLoader::new()
            .override_global("test_now_ns", &test_now_ns, true)
            .load(GATE)
            .unwrap();
        Self::classifier(&mut loaded).load().unwrap();
        let words = share(&loaded, "gate_words", 1);
        Self { loaded, words }
    }

    pub(crate) fn words(&self) -> &GateWords {
        &self.words.values()[0]
    }

    pub(crate) fn classifier(loaded: &mut Ebpf) -> &mut SchedClassifier {
        loaded.program_mut("gate").unwrap().try_into().unwrap()
    }
}

/// Programs of an object with what the verifier and the compiler of the kernel made of them.
pub(crate) fn tell_sizes(loaded: &Ebpf) {
    for (name, program) in loaded.programs() {
        let info = match program {
            Program::SchedClassifier(program) => program.info(),
            Program::Xdp(program) => program.info(),
            other => panic!("{other:?}"),
        };
        let info = info.unwrap();
        println!(
            "{name}: {} instructions verified, {} octets translated, {} octets of machine code",
            info.verified_instruction_count().unwrap_or(0),
            info.size_translated().unwrap_or(0),
            info.size_jitted(),
        );
    }
}
