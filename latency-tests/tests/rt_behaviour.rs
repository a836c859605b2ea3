//! The `lre` thread of the running daemon does not allocate, fault or block, but for its one wait.
//!
//! What counts is what the kernel says of the thread (page faults, voluntary switches), what the
//! allocation trap says (armed to abort), and what the thread itself says of its waits.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use latency_tests::bench::cpus::Cpus;
use latency_tests::bench::frame;
use latency_tests::bench::rig::{self, HOST, HostPort, NODE_MAC, PEERS, Rig, RigOptions};
use prp::os::lan_port::LanPort;
use prp::os::netns::NetNs;
use prp::port::Port;
use prp::types::{LanId, MacAddress};
use rt_core::os::clock::MonotonicClock;
use tools::control::socket_path;
use tools::report::{Status, Thread};

/// Octets of the frames, as the host sees them, in turn.
const SIZES: [usize; 5] = [60, 64, 300, 1_000, 1_500 + 14];
/// Nodes that send.
const SOURCES: u64 = 40;
/// Frames per port and turn: all of them fit every queue on the way.
const BATCH: u64 = 32;

/// Frames through the thread, all ways together.
fn frames_wanted() -> u64 {
    if std::env::var_os("BUMPLESS_SOAK").is_some() { 3_000_000 } else { 200_000 }
}

/// The daemon beside the tests' programs; none where it has not been built.
fn daemon(test: &str) -> Option<PathBuf> {
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

fn lre(status: &Status) -> &Thread {
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

/// What must hold of any mode; gives voluntary switches and waits during the traffic.
fn put_to_the_test(rig: &Rig, beside: impl Fn(&Rig, &AtomicBool) + Sync) -> (u64, u64) {
    // A daemon without a former life keeps silent for 500 ms.
    thread::sleep(Duration::from_millis(700));
    let mut traffic = Traffic::new(rig);
    let wanted = frames_wanted();
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

fn nothing(_: &Rig, _: &AtomicBool) {}

fn start(daemon: &Path, host_port: HostPort, receive_mode: &str, cpu: Option<usize>) -> Rig {
    Rig::start(&RigOptions { daemon, host_port, receive_mode, cpu }).unwrap()
}

#[test]
fn a_blocking_thread_gives_up_its_cpu_only_to_wait() {
    let Some(daemon) = daemon("a_blocking_thread_gives_up_its_cpu_only_to_wait") else { return };
    for host_port in HostPort::BOTH {
        let rig = start(&daemon, host_port, "block", Cpus::here().lre());
        let (switches, waits) = put_to_the_test(&rig, nothing);
        // A wait that found something at once is none for the kernel. One may be under way.
        assert!(switches <= waits + 1, "{switches} switches, {waits} waits");
        assert!(waits > 0);
    }
}

#[test]
fn a_polling_thread_never_gives_up_its_cpu() {
    let test = "a_polling_thread_never_gives_up_its_cpu";
    let Some(daemon) = daemon(test) else { return };
    let Some(cpu) = Cpus::here().lre() else {
        println!("SKIP: {test}: a second CPU");
        return;
    };
    for host_port in HostPort::BOTH {
        let rig = start(&daemon, host_port, "busy", Some(cpu));
        let (switches, waits) = put_to_the_test(&rig, nothing);
        assert_eq!((switches, waits), (0, 0));
    }
}

/// Many connections, requests that never end, and the most expensive question without a pause.
fn hostile_clients(rig: &Rig, done: &AtomicBool) {
    let socket = socket_path(rig.folder());
    let mut held = Vec::new();
    let mut answered = 0u64;
    while !done.load(Ordering::Relaxed) {
        if held.len() == 200 {
            held.clear();
        }
        let Ok(mut stream) = UnixStream::connect(&socket) else { continue };
        let _ = stream.set_nonblocking(true);
        let _ = stream.write_all(b"{\"request\":\"no");
        held.push(stream);
        let Ok(mut stream) = UnixStream::connect(&socket) else { continue };
        let _ = stream.set_read_timeout(Some(Duration::from_millis(20)));
        let _ = stream.write_all(b"{\"request\":\"nodes\"}\n");
        let mut octets = [0; 256];
        answered += u64::from(stream.read(&mut octets).is_ok_and(|octets| octets > 0));
        // And gone before the rest is read.
    }
    println!("hostile clients: {answered} answers begun");
}

#[test]
fn a_hostile_client_changes_none_of_it() {
    let Some(daemon) = daemon("a_hostile_client_changes_none_of_it") else { return };
    let rig = start(&daemon, HostPort::Veth, "block", Cpus::here().lre());
    let (switches, waits) = put_to_the_test(&rig, hostile_clients);
    assert!(switches <= waits + 1, "{switches} switches, {waits} waits");
}
