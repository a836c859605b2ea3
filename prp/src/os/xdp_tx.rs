//! Transmission through an AF_XDP socket: one that only transmits, or the first of those that
//! receive.
//!
//! One that only transmits needs no eBPF program and no capability beyond CAP_NET_RAW. Either costs
//! a third less per frame than a packet socket. What it sends passes neither the interface's packet
//! taps (a capture on this machine does not see it) nor its tc egress hook: where one of these must
//! see a frame, use [`super::packet_tx`].
//!
//! Copy mode only: the kernel looks at the ring inside our own system calls (`sendto`, and waiting
//! for the socket) and nowhere else. That is what makes it possible to take entries back (see
//! [`XdpTx::cancel`]); a late frame is worse than a lost one, because the receiver may no longer
//! know its twin. Nothing stands behind a card whose ring is full, either: what it does not take is
//! dropped ([`super::transmit_path`]), as waiting for it would hold up the real-time thread.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use libc::c_int;
use nix::errno::Errno;

use super::open_error::{OpenError, fault_of};
use super::socket;
use super::xdp_ring::XdpRing;
use super::xdp_socket::{Copying, XdpSocket};
use super::xdp_umem::{Chunks, Umem};
use crate::port::PortFault;

/// Frames that may be on their way at once: 1 MiB of locked memory per port, so that four ports
/// fit under the usual 8 MiB limit with room, and 0.3 ms of the shortest frames at 1 Gbit/s.
pub(super) const FRAMES: u32 = 512;
/// The kernel wants a fill ring, although nothing is ever received.
const FILL_ENTRIES: u32 = 64;
/// `XDP_MAX_TX_SKB_BUDGET` (Linux 6.18): frames sent per system call, else 32.
const XDP_MAX_TX_SKB_BUDGET: c_int = 9;
const BUDGET_FRAMES: u32 = 256;
/// System calls in a row without progress after which the rest of a batch is given up, beside those
/// whose progress does not show.
const STALLS_MAX: u32 = 3;
/// Frames that any kernel sends per call. It may tell of none before it has sent all that it has
/// seen of the ring.
const FRAMES_PER_CALL_MIN: u32 = 32;

/// A descriptor that the kernel skips.
const CANCELLED: libc::xdp_desc = libc::xdp_desc { addr: u64::MAX, len: 0, options: 0 };

/// What [`XdpTx`] shares with the kernel.
#[derive(Debug)]
pub(super) struct TransmitRings {
    transmit: XdpRing<libc::xdp_desc>,
    completions: XdpRing<u64>,
}

/// Transmission to one interface through AF_XDP.
#[derive(Debug)]
pub(super) struct XdpTx {
    socket: Arc<OwnedFd>,
    chunks: Chunks,
    transmit: XdpRing<libc::xdp_desc>,
    completions: XdpRing<u64>,
    /// Chunks that are ours; never more than [`FRAMES`], the capacity it was made with.
    free: Vec<u32>,
    /// Per chunk: the kernel has it and will complete it.
    in_flight: Box<[bool]>,
    /// The chunk behind each entry of the transmit ring.
    chunk_of_entry: Box<[u32]>,
    /// Entries written, of which the kernel was shown those before `published`.
    produced: u32,
    published: u32,
    reaped: u32,
    /// The last batch met a link that was down: look before showing the kernel another one.
    is_down: bool,
    deferred_fault: Option<PortFault>,
    /// Frames handed to the kernel.
    pub(super) sent: u64,
    /// Frames taken that the kernel refused.
    pub(super) dropped: u64,
}

impl XdpTx {
    /// A socket that only transmits.
    pub(super) fn open(interface_index: u32) -> Result<Self, OpenError> {
        let (umem, chunks) = Umem::new(&[FRAMES])?;
        let socket = XdpSocket::open()?;
        socket.register(&umem)?;
        let (_, completions) = socket.supply_rings(FILL_ENTRIES, FRAMES)?;
        let rings = Self::rings(&socket, completions)?;
        socket.bind(interface_index, 0, Copying::Copy)?;
        // One count was asked for, so there is one part.
        let chunks = chunks.into_iter().next();
        let chunks = chunks.ok_or(OpenError::Layout { operation: "divide AF_XDP memory" })?;
        Ok(Self::over(&socket, rings, chunks))
    }

    /// The rings for it on a socket that is not bound yet.
    pub(super) fn rings(
        socket: &XdpSocket,
        completions: XdpRing<u64>,
    ) -> Result<TransmitRings, OpenError> {
        let transmit = socket.transmit_ring(FRAMES)?;
        // Refused before Linux 6.18, where the kernel's own limit per call holds.
        let (level, name) = (libc::SOL_XDP, XDP_MAX_TX_SKB_BUDGET);
        let _ = socket::set_option(socket.fd(), level, name, &BUDGET_FRAMES, "");
        Ok(TransmitRings { transmit, completions })
    }

    /// Transmission over a socket that was bound in copy mode; `chunks` are [`FRAMES`].
    pub(super) fn over(socket: &XdpSocket, rings: TransmitRings, chunks: Chunks) -> Self {
        socket::widen_send_buffer(socket.fd());
        let TransmitRings { transmit, completions } = rings;
        Self {
            socket: socket.share(),
            chunks,
            transmit,
            completions,
            free: (0..FRAMES).rev().collect(),
            in_flight: vec![false; FRAMES as usize].into_boxed_slice(),
            chunk_of_entry: vec![0; FRAMES as usize].into_boxed_slice(),
            produced: 0,
            published: 0,
            reaped: 0,
            is_down: false,
            deferred_fault: None,
            sent: 0,
            dropped: 0,
        }
    }

    /// Takes a frame of `len` octets, at most a chunk's, if `fill` says that it is fine; says
    /// whether it did.
    ///
    /// # Errors
    /// [`PortFault::Full`] when the kernel has all chunks and gives none back; what is known of the
    /// interface's state when its ring is full of entries that were taken back.
    pub(super) fn push<F: FnOnce(&mut [u8]) -> bool>(
        &mut self,
        len: usize,
        fill: F,
    ) -> Result<bool, PortFault> {
        let chunk = self.free_chunk()?;
        let addr = self.chunks.address(chunk);
        // `push` is only called with a length that was checked.
        let len = u32::try_from(len).unwrap_or(0);
        if !self.chunks.octets(addr, len).is_some_and(fill) {
            self.free.push(chunk);
            return Ok(false);
        }
        let entry = libc::xdp_desc { addr, len, options: 0 };
        self.transmit.write(self.produced, entry);
        self.chunk_of_entry[(self.produced % FRAMES) as usize] = chunk;
        self.produced = self.produced.wrapping_add(1);
        Ok(true)
    }

    /// A chunk and an entry to write.
    fn free_chunk(&mut self) -> Result<u32, PortFault> {
        if self.free.is_empty() || self.entries_in_use() == FRAMES {
            if self.produced != self.published {
                self.deferred_fault = self.flush().err();
            }
            self.reap();
        }
        if self.entries_in_use() == FRAMES {
            // All taken back: the kernel skips them when it looks, and says so when it looks again.
            for _ in 0..2 {
                socket::kick((*self.socket).as_fd()).map_err(fault_of)?;
            }
            if self.entries_in_use() == FRAMES {
                return Err(PortFault::Full);
            }
        }
        self.free.pop().ok_or(PortFault::Full)
    }

    fn entries_in_use(&self) -> u32 {
        self.produced.wrapping_sub(self.transmit.consumer())
    }

    /// Sends what was taken. What the kernel does not take now is taken back, dropped and counted.
    pub(super) fn flush(&mut self) -> Result<(), PortFault> {
        let deferred = self.deferred_fault.take().map_or(Ok(()), Err);
        if self.produced == self.published {
            return deferred;
        }
        self.reap();
        let result = match self.look_whether_up() {
            Ok(()) => self.hand_over(),
            Err(fault) => {
                self.cancel(self.published);
                // The kernel was not shown these entries: they are written anew.
                self.produced = self.published;
                Err(fault)
            }
        };
        self.reap();
        deferred.and(result)
    }

    fn look_whether_up(&mut self) -> Result<(), PortFault> {
        if self.is_down {
            match socket::kick((*self.socket).as_fd()) {
                Err(errno @ (Errno::ENETDOWN | Errno::ENXIO)) => return Err(fault_of(errno)),
                _ => self.is_down = false,
            }
        }
        Ok(())
    }

    /// Shows the kernel the new entries and has it look until it took them all or makes no
    /// progress. Bounded: of so many calls in a row one takes at least one entry.
    fn hand_over(&mut self) -> Result<(), PortFault> {
        let first = self.published;
        for count in 0..self.produced.wrapping_sub(first) {
            let entry = first.wrapping_add(count);
            self.in_flight[self.chunk_of_entry[(entry % FRAMES) as usize] as usize] = true;
        }
        self.transmit.publish(self.produced);
        self.published = self.produced;
        let (mut fault, mut refused, mut stalls) = (None, 0u64, 0);
        let mut consumed = self.transmit.consumer();
        let stalls_max = STALLS_MAX + self.produced.wrapping_sub(consumed) / FRAMES_PER_CALL_MIN;
        while consumed != self.produced && stalls < stalls_max {
            let result = socket::kick((*self.socket).as_fd());
            let now = self.transmit.consumer();
            stalls = if now == consumed { stalls + 1 } else { 0 };
            consumed = now;
            match result {
                // More than one call's worth was waiting, or the send buffer is full: progress
                // tells.
                Ok(()) | Err(Errno::EAGAIN) => {}
                // The driver took this frame and dropped it.
                Err(Errno::EBUSY) => {
                    refused += 1;
                    fault = fault.or(Some(PortFault::Full));
                }
                Err(errno) => {
                    self.is_down = matches!(errno, Errno::ENETDOWN | Errno::ENXIO);
                    fault = fault.or_else(|| Some(fault_of(errno)));
                    if self.is_down {
                        break;
                    }
                }
            }
        }
        if consumed != self.produced {
            fault = fault.or(Some(PortFault::Full));
        }
        // Entries before `first` that are still there are ones that were taken back.
        let behind = self.produced.wrapping_sub(consumed).min(self.produced.wrapping_sub(first));
        self.cancel(self.produced.wrapping_sub(behind));
        let taken = u64::from(self.produced.wrapping_sub(first) - behind);
        let refused = refused.min(taken);
        self.sent += taken - refused;
        self.dropped += refused;
        fault.map_or(Ok(()), Err)
    }

    /// Takes the entries from `first` to the end back: the kernel will skip them.
    fn cancel(&mut self, first: u32) {
        for count in 0..self.produced.wrapping_sub(first) {
            let entry = first.wrapping_add(count);
            let chunk = self.chunk_of_entry[(entry % FRAMES) as usize];
            self.transmit.write(entry, CANCELLED);
            self.in_flight[chunk as usize] = false;
            self.free.push(chunk);
            self.dropped += 1;
        }
    }

    /// Takes back the chunks of frames that left.
    fn reap(&mut self) {
        let waiting = self.completions.producer().wrapping_sub(self.reaped).min(FRAMES);
        for _ in 0..waiting {
            let address = self.completions.read(self.reaped);
            self.reaped = self.reaped.wrapping_add(1);
            let chunk = self.chunks.index(address);
            // A chunk that the kernel does not have cannot be given back; it would be used twice.
            let known = chunk.and_then(|chunk| self.in_flight.get_mut(chunk as usize));
            if let (Some(in_flight @ true), Some(chunk)) = (known, chunk) {
                *in_flight = false;
                self.free.push(chunk);
            }
        }
        if waiting > 0 {
            self.completions.release(self.reaped);
        }
    }
}
