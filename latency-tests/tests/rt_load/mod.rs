//! A daemon under load, and what its `lre` thread must not do meanwhile.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "shared by test files that use different parts")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use latency_tests::bench::frame;
use latency_tests::bench::rig::{self, HOST, HostPort, NODE_MAC, PEERS, Rig, RigOptions};
use prp::os::lan_port::LanPort;
use prp::os::netns::NetNs;
use prp::port::Port;
use prp::types::{LanId, MacAddress};
use rt_core::os::clock::MonotonicClock;
use tools::report::{Status, Thread};

/// Octets of the frames, as the host sees them, in turn.
const SIZES: [usize; 5] = [60, 64, 300, 1_000, 1_500 + 14];
/// Nodes that send.
const SOURCES: u64 = 40;
/// Frames per port and turn: all of them fit every queue on the way.
const BATCH: u64 = 32;

/// The daemon beside the tests' programs; none where it has not been built.
pub(crate) fn daemon(test: &str) -> Option<PathBuf> {
    if let Err(error) = NetNs::create() {
        println!("SKIP: {test}: {error}");
        return None;
    }
    let bench = Path::new(env!("CARGO_BIN_EXE_bumpless-bench"));
    let daemon = bench.with_file_name("bumplessd");
    if !daemon.exists() {
        println!("SKIP: {test}: {} is not built (cargo build --bins)", daemon.display());
        return None;
    }
    Some(daemon)
}

pub(crate) fn lre(status: &Status) -> &Thread {
    status.threads.iter().find(|thread| thread.name == "lre").unwrap()
}

/// Traffic both ways: the host's frames to both LANs, and every frame of the nodes on both LANs.
struct Traffic {
    host: LanPort,
    lans: [LanPort; 2],
    plain: Vec<Vec<u8>>,
    tagged: Vec<Vec<u8>>,
    next: u64,
}

impl Traffic {
    fn new(rig: &Rig) -> Self {
        let target = MacAddress([0x02, 0xbe, 0, 0, 0, 9]);
        Self {
            host: rig::port(&rig.node, HOST).unwrap(),
            lans: PEERS.map(|peer| rig::port(&rig.lans, peer).unwrap()),
            plain: SIZES.map(|octets| frame::plain(target, NODE_MAC, octets)).to_vec(),
            tagged: SIZES.map(|octets| frame::tagged(NODE_MAC, octets)).to_vec(),
            next: 0,
        }
    }

    /// One batch each way; returns how many frames went to the daemon.
    fn send(&mut self) -> u64 {
        let size = |at: u64| usize::try_from(at).unwrap() % SIZES.len();
        for lan in LanId::BOTH {
            let port = &mut self.lans[lan.index()];
            for at in self.next..self.next + BATCH {
                let octets = &mut self.tagged[size(at)];
                frame::address(octets, at % SOURCES, at / SOURCES, lan);
                port.transmit_frame(octets).unwrap();
            }
            port.flush().unwrap();
            // What the daemon sent here is not looked at, but must not fill the ring.
            let _ = port.receive(1_024, |_| ());
        }
        for at in self.next..self.next + BATCH {
            // A TAP that is not read fast enough takes no more: the rest does not count.
            let _ = self.host.transmit_frame(&self.plain[size(at)]);
        }
        let _ = self.host.flush();
        let _ = self.host.receive(1_024, |_| ());
        self.next += BATCH;
        3 * BATCH
    }
}

/// Frames that the thread has taken so far.
fn taken(status: &Status) -> u64 {
    ["lreCntRxA", "lreCntRxB", "lreCntRxC"].iter().map(|name| status.counters.get(name)).sum()
}

/// Sends until the thread has taken `wanted` more frames.
fn carry(rig: &Rig, traffic: &mut Traffic, wanted: u64) {
    let start = MonotonicClock::now();
    let goal = taken(&rig.status().unwrap()) + wanted;
    let mut sent = 0;
    while sent < wanted || taken(&rig.status().unwrap()) < goal {
        let took = MonotonicClock::now().since(start);
        assert!(took.as_millis() < 600_000, "the daemon takes too few frames");
        for _ in 0..64 {
            sent += traffic.send();
            // The daemon may share the CPU.
            thread::yield_now();
        }
    }
}

/// What must hold of any mode while `wanted` frames or more go through the thread, all ways
/// together, until `beside` has ended or is told that it is time to; gives voluntary switches and
/// waits meanwhile.
pub(crate) fn put_to_the_test(
    rig: &Rig,
    wanted: u64,
    beside: impl Fn(&Rig, &AtomicBool) + Sync,
) -> (u64, u64) {
    // A daemon without a former life keeps silent for 500 ms.
    thread::sleep(Duration::from_millis(700));
    let mut traffic = Traffic::new(rig);
    let before = rig.status().unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| beside(rig, &done));
        carry(rig, &mut traffic, wanted);
        done.store(true, Ordering::Relaxed);
    });
    let after = rig.status().unwrap();
    assert!(taken(&after) - taken(&before) >= wanted);
    assert!(after.counters.get("lreCntTxC") > before.counters.get("lreCntTxC"), "delivered");
    assert!(after.counters.get("lreCntTxA") > before.counters.get("lreCntTxA"), "duplicated");
    assert_eq!(after.nodes, SOURCES);
    let thread = lre(&after);
    println!("{thread:?}");
    assert_eq!(after.rt_allocations, 0, "allocations");
    // Since the thread froze, not since the traffic began: the first frame must not fault either.
    assert_eq!((thread.minor_faults, thread.major_faults), (0, 0), "page faults since the freeze");
    let (switches, waits) = (thread.voluntary_switches, thread.waits.unwrap());
    (switches - lre(&before).voluntary_switches, waits - lre(&before).waits.unwrap())
}

/// A daemon in a rig.
pub(crate) fn start(
    daemon: &Path,
    host_port: HostPort,
    receive_mode: &str,
    cpu: Option<usize>,
) -> Rig {
    Rig::start(&RigOptions { daemon, host_port, lan_receive: "ring", receive_mode, cpu }).unwrap()
}
