//! Threads that send as fast as they can, each on a CPU of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use prp::os::lan_port::LanPort;
use prp::os::netns::NetNs;
use prp::port::Port;
use prp::types::{LanId, MacAddress};
use rt_core::os::thread::RtThread;
use tools::exit::Failure;

use super::cpus::Cpus;
use super::frame;
use super::rig::{self, HOST, NODE_MAC, PEERS};

/// Frames per system call.
const BATCH_FRAMES: u64 = 64;
/// How far the sender on one LAN may run ahead of the other, in frames.
const AHEAD_FRAMES_MAX: u64 = 512;
/// Nodes that send on the LANs.
const SOURCES: u64 = 16;

/// What the senders and whoever started them share.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// How many frames may be sent on each LAN.
    allowed: AtomicU64,
    sent: [AtomicU64; 2],
}

/// Running senders; they end with this value.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<RtThread>,
}

impl Load {
    /// The host sends frames of `octets` octets, as many as it can.
    ///
    /// # Errors
    /// The interface or the privilege is missing.
    pub fn host(node: &NetNs, octets: usize, cpu: Option<usize>) -> Result<Self, Failure> {
        let mut load = Self { shared: Arc::default(), threads: Vec::new() };
        let port = rig::port(node, HOST)?;
        let frame = frame::plain(MacAddress([0x02, 0xbe, 0, 0, 0, 1]), NODE_MAC, octets);
        let shared = Arc::clone(&load.shared);
        load.spawn("host-load", cpu, move || send_from_host(port, &frame, &shared))?;
        Ok(load)
    }

    /// Both LANs carry the same frames of `SOURCES` nodes, `octets` octets and a trailer each, in
    /// step but for `AHEAD_FRAMES_MAX`, whenever [`Load::send_burst`] says so.
    ///
    /// # Errors
    /// As [`Self::host`].
    pub fn lans(lans: &NetNs, octets: usize, cpus: [Option<usize>; 2]) -> Result<Self, Failure> {
        let mut load = Self { shared: Arc::default(), threads: Vec::new() };
        for lan in LanId::BOTH {
            let port = rig::port(lans, PEERS[lan.index()])?;
            let shared = Arc::clone(&load.shared);
            let name = if lan == LanId::A { "lan-a-load" } else { "lan-b-load" };
            load.spawn(name, cpus[lan.index()], move || send_on_lan(port, lan, octets, &shared))?;
        }
        Ok(load)
    }

    fn spawn(
        &mut self,
        name: &str,
        cpu: Option<usize>,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), Failure> {
        let thread = RtThread::spawn(Cpus::plan(name, cpu), body)
            .map_err(|error| Failure::failed(error.to_string(), ""))?;
        self.threads.push(thread);
        Ok(())
    }

    /// Sends `frames` more frames on each LAN (in whole batches) and waits until they have left.
    ///
    /// # Errors
    /// They did not leave within a second.
    pub fn send_burst(&self, frames: u64) -> Result<(), Failure> {
        let wanted = self.shared.allowed.load(Ordering::Relaxed) + frames;
        self.shared.allowed.store(wanted, Ordering::Relaxed);
        for _ in 0..10_000 {
            if self.sent().iter().all(|&sent| sent >= wanted) {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
        Err(Failure::failed("the senders cannot send", "is something else using their CPUs?"))
    }

    /// Frames sent so far, on the host interface or per LAN.
    #[must_use]
    pub fn sent(&self) -> [u64; 2] {
        [0, 1].map(|at| self.shared.sent[at].load(Ordering::Relaxed))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn send_from_host(mut port: LanPort, frame: &[u8], shared: &Shared) {
    while !shared.stop.load(Ordering::Relaxed) {
        for _ in 0..BATCH_FRAMES {
            // What the interface does not take now is not offered again.
            let _ = port.transmit(frame.len(), |buffer| buffer.copy_from_slice(frame));
        }
        let _ = port.flush();
        shared.sent[0].store(port.statistics().tx_frames, Ordering::Relaxed);
    }
}

fn send_on_lan(mut port: LanPort, lan: LanId, octets: usize, shared: &Shared) {
    let mut frame = frame::tagged(NODE_MAC, octets);
    let (mine, theirs) = (&shared.sent[lan.index()], &shared.sent[lan.other().index()]);
    let mut next = 0u64;
    while !shared.stop.load(Ordering::Relaxed) {
        let may = theirs.load(Ordering::Relaxed) + AHEAD_FRAMES_MAX;
        if next >= may.min(shared.allowed.load(Ordering::Relaxed)) {
            // Not a spin: on two CPUs both senders share one, and each waits for the other.
            std::thread::yield_now();
            continue;
        }
        for _ in 0..BATCH_FRAMES {
            frame::address(&mut frame, next % SOURCES, next / SOURCES, lan);
            let _ = port.transmit(frame.len(), |buffer| buffer.copy_from_slice(&frame));
            next += 1;
        }
        let _ = port.flush();
        mine.store(next, Ordering::Relaxed);
    }
}
