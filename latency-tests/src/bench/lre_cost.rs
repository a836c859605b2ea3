//! What the protocol machine costs per frame, without any port: decode, node table, duplicate
//! discard, ageing.
//!
//! Instructions are counted by callgrind or perf on this program itself, started anew with the
//! hidden command `lre-cost`: once with the machine, once with the loop around it alone, and the
//! difference divided by the frames. That is exact and the same everywhere, which time is not.
//! Counting in place (perf_event_open) was left out: virtual machines often have no counters.

use std::hint::black_box;
use std::process::Command;

use prp::lre::config::LreConfig;
use prp::lre::memory::{LreMemory, LreSizes};
use prp::lre::{Block, Fate, Lre, NodeSlot, SequenceStart};
use prp::types::{LanId, MacAddress};
use rt_core::os::clock::MonotonicClock;
use rt_core::time::{Duration, Instant};
use serde::{Deserialize, Serialize};
use tools::exit::Failure;

use super::frame;
use super::spread::Spread;

/// Table sizes that are measured, each filled with as many nodes.
pub const NODES: [usize; 6] = [1, 16, 256, 1_024, 4_096, 16_384];
/// Time that passes per frame in the machine's eyes: two million LAN frames per second.
const FRAME_INTERVAL: Duration = Duration::from_nanos(500);
/// The machine is serviced once per so many frames, as the daemon does once per turn.
const FRAMES_PER_SERVICE: u64 = 64;
/// Any number with bits in all places, as a random one has.
const SECRET: u64 = 0x9c1e_37b5_d2f0_486b;
/// Each node is heard this often before the measurement, so that its blocks exist.
const WARM_UP_NUMBERS: u64 = 4;
/// Frames that are counted by callgrind, which runs fifty times slower.
const COUNTED_FRAMES: u64 = 400_000;

/// One run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// Sources, and slots of the table.
    pub nodes: usize,
    /// LAN frames: each number comes twice, on A and on B.
    pub frames: u64,
    /// What is done with them.
    pub work: Work,
}

/// What is done with a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// Nothing: the loop alone.
    Nothing,
    /// The machine takes it: decode, node table, discard.
    Receive,
    /// And ages its tables, as the daemon lets it in each turn.
    ReceiveAndAge,
}

impl Work {
    /// As on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Receive => "receive",
            Self::ReceiveAndAge => "receive-and-age",
        }
    }

    /// Reads [`Work::name`].
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::Nothing, Self::Receive, Self::ReceiveAndAge]
            .into_iter()
            .find(|work| work.name() == name)
    }
}

/// What one table size costs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LreCost {
    /// Sources, and slots of the table.
    pub nodes: usize,
    /// Instructions per LAN frame; absent when nothing could count them.
    pub instructions: Option<f64>,
    /// Those that ageing adds, per LAN frame.
    pub ageing_instructions: Option<f64>,
    /// Time per LAN frame in ns.
    pub ns: Spread,
}

/// Measures every table size of [`NODES`].
///
/// # Errors
/// This program cannot be started anew.
pub fn measure(frames: u64, rounds: usize, counter: Counter) -> Result<Vec<LreCost>, Failure> {
    NODES
        .into_iter()
        .map(|nodes| {
            let ns = (0..rounds).map(|_| time_per_frame(nodes, frames)).collect();
            let count = |work| counter.per_frame(nodes, frames.min(COUNTED_FRAMES), work);
            let instructions = count(Work::Receive)?;
            let with_ageing = count(Work::ReceiveAndAge)?;
            let ageing = with_ageing.zip(instructions).map(|(with, without)| with - without);
            Ok(LreCost { nodes, instructions, ageing_instructions: ageing, ns: Spread::of(ns) })
        })
        .collect()
}

fn time_per_frame(nodes: usize, frames: u64) -> f64 {
    let time = |work| run(Run { nodes, frames, work });
    let (with, without) = (time(Work::ReceiveAndAge), time(Work::Nothing));
    with.saturating_sub(without).as_nanos() as f64 / frames as f64
}

/// Feeds frames to a machine; returns how long that took, warming up excluded.
///
/// Sources take turns in an order that no prefetcher guesses; each number comes on A and then, when
/// every source has had a turn (at most 256 frames later), on B.
#[must_use]
pub fn run(run: Run) -> Duration {
    let sizes = LreSizes::for_nodes(run.nodes);
    let (mut nodes, mut node_buckets) =
        (vec![NodeSlot::FREE; sizes.nodes], vec![u32::MAX; sizes.node_buckets]);
    let (mut blocks, mut block_buckets) =
        (vec![Block::FREE; sizes.blocks], vec![u32::MAX; sizes.block_buckets]);
    let memory = LreMemory {
        nodes: &mut nodes,
        node_buckets: &mut node_buckets,
        blocks: &mut blocks,
        block_buckets: &mut block_buckets,
    };
    let start = Instant::from_nanos(1_000_000_000);
    let own = MacAddress([0x02, 0, 0, 0, 0, 1]);
    let sequence = SequenceStart::continued(0, 0);
    let mut lre = Lre::new(own, LreConfig::default(), memory, SECRET, sequence, start, ());
    let mut feed = Feed::new(run.nodes, start);
    let mut delivered = 0u64;
    let mut go = |frames: u64, feed: &mut Feed| {
        for at in 0..frames {
            let (now, lan, frame) = feed.next_frame();
            if run.work == Work::Nothing {
                black_box((now, lan, frame));
                continue;
            }
            // Five instructions of this are the caller's; hiding the whole answer from the compiler
            // would cost fifteen.
            if let Fate::Deliver { octets } = lre.receive_lan(now, lan, black_box(frame)) {
                delivered += black_box(octets as u64);
            }
            if run.work == Work::ReceiveAndAge && at % FRAMES_PER_SERVICE == 0 {
                lre.service(now);
            }
        }
    };
    go(2 * WARM_UP_NUMBERS * run.nodes as u64, &mut feed);
    let began = MonotonicClock::now();
    go(run.frames, &mut feed);
    let took = MonotonicClock::now().since(began);
    black_box(delivered);
    took
}

/// Frames of many sources on both LANs.
struct Feed {
    frame: Vec<u8>,
    nodes: u64,
    group: u64,
    at: u64,
    now: Instant,
}

impl Feed {
    fn new(nodes: usize, now: Instant) -> Self {
        let frame = frame::tagged(MacAddress::BROADCAST, 64);
        let nodes = nodes as u64;
        Self { frame, nodes, group: nodes.min(256), at: 0, now }
    }

    fn next_frame(&mut self) -> (Instant, LanId, &[u8]) {
        // Groups of sources: first all of them on A, then all of them on B.
        let (turn, place) = (self.at / (2 * self.group), self.at % (2 * self.group));
        let lan = if place < self.group { LanId::A } else { LanId::B };
        let count = turn * self.group + place % self.group;
        // An odd factor visits every source of a power of two once per round.
        let source = (count % self.nodes).wrapping_mul(0x9e37_79b1) % self.nodes;
        frame::address(&mut self.frame, source, count / self.nodes, lan);
        self.at += 1;
        self.now += FRAME_INTERVAL;
        (self.now, lan, &self.frame)
    }
}

/// What counts instructions here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counter {
    /// valgrind's callgrind: exact, slow.
    Callgrind,
    /// `perf stat`: user instructions by the CPU's counter.
    Perf,
    /// Nothing does.
    None,
}

impl Counter {
    /// The first that works on this machine.
    #[must_use]
    pub fn find() -> Self {
        let prints = |program: &str, arguments: &[&str], wanted: &str| {
            Command::new(program).args(arguments).output().is_ok_and(|output| {
                let text = String::from_utf8_lossy(&output.stderr).into_owned()
                    + &String::from_utf8_lossy(&output.stdout);
                output.status.success() && text.contains(wanted)
            })
        };
        if prints("valgrind", &["--version"], "valgrind") {
            Self::Callgrind
        } else if prints("perf", &["stat", "-x,", "-e", "instructions:u", "true"], "instructions")
            && !prints("perf", &["stat", "-x,", "-e", "instructions:u", "true"], "<not")
        {
            Self::Perf
        } else {
            Self::None
        }
    }

    /// In words, for the report.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Callgrind => "valgrind --tool=callgrind",
            Self::Perf => "perf stat -e instructions:u",
            Self::None => "nothing: neither valgrind nor a CPU counter is here",
        }
    }

    fn per_frame(self, nodes: usize, frames: u64, work: Work) -> Result<Option<f64>, Failure> {
        // What setting up and warming up take is in both runs.
        let half = frames / 2;
        let count = |work| -> Result<Option<f64>, Failure> {
            let most = self.count(Run { nodes, frames, work })?;
            let least = self.count(Run { nodes, frames: half, work })?;
            Ok(most.zip(least).map(|(most, least)| (most - least) / (frames - half) as f64))
        };
        let (with, without) = (count(work)?, count(Work::Nothing)?);
        Ok(with.zip(without).map(|(with, without)| with - without))
    }

    fn count(self, run: Run) -> Result<Option<f64>, Failure> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::failed(format!("own program: {error}"), ""))?;
        let mut command = match self {
            Self::Callgrind => {
                let mut command = Command::new("valgrind");
                command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
                command
            }
            Self::Perf => {
                let mut command = Command::new("perf");
                command.args(["stat", "-x,", "-e", "instructions:u"]);
                command
            }
            Self::None => return Ok(None),
        };
        command.arg(program).arg("lre-cost");
        command.args(["--nodes", &run.nodes.to_string(), "--frames", &run.frames.to_string()]);
        command.args(["--work", run.work.name()]);
        let output = command
            .output()
            .map_err(|error| Failure::failed(format!("{}: {error}", self.words()), ""))?;
        let text = String::from_utf8_lossy(&output.stderr);
        Ok(match self {
            Self::Callgrind => text
                .lines()
                .find_map(|line| line.split_once("Collected :"))
                .and_then(|(_, number)| number.trim().parse().ok()),
            _ => text.split(',').next().and_then(|number| number.trim().parse().ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_once_on_each_lan_and_every_source_has_its_turn() {
        for nodes in [1usize, 16, 1_024] {
            let mut feed = Feed::new(nodes, Instant::from_nanos(0));
            let mut seen = std::collections::HashMap::new();
            for _ in 0..2 * 3 * nodes {
                let (_, lan, frame) = feed.next_frame();
                let number = frame[frame.len() - 6..frame.len() - 4].to_vec();
                let key = (frame[6..12].to_vec(), number);
                seen.entry(key).or_insert([0; 2])[lan.index()] += 1;
            }
            assert_eq!(seen.len(), 3 * nodes);
            assert!(seen.values().all(|copies| *copies == [1, 1]));
        }
    }
}
