//! Transmission through an AF_XDP socket that only transmits.
//!
//! It needs no eBPF program and no capability beyond CAP_NET_RAW, and costs a third less per frame
//! than a packet socket. What it sends passes neither the interface's packet taps (a capture on
//! this machine does not see it) nor its tc egress hook: where one of these must see a frame, use
//! [`super::packet_tx`].
//!
//! Copy mode only: the kernel looks at the ring inside our own `sendto` and nowhere else. That is
//! what makes it possible to take entries back (see [`XdpTx::cancel`]); a late frame is worse than
//! a lost one, because the receiver may no longer know its twin.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use libc::c_int;
use memmap2::{MmapMut, MmapOptions};
use nix::errno::Errno;

use super::open_error::{OpenError, fault_of};
use super::socket;
use super::xdp_ring::XdpRing;
use crate::port::{FRAME_OCTETS_MAX, PortFault};

/// Frames that may be on their way at once: 1 MiB of locked memory per port, so that four ports
/// fit under the usual 8 MiB limit with room, and 0.3 ms of the shortest frames at 1 Gbit/s.
const FRAMES: u32 = 512;
const CHUNK_OCTETS: u32 = 2_048;
const _: () = assert!(CHUNK_OCTETS as usize == FRAME_OCTETS_MAX);
/// The kernel wants a fill ring, although nothing is ever received.
const FILL_ENTRIES: u32 = 64;
/// `XDP_MAX_TX_SKB_BUDGET` (Linux 6.18): frames sent per system call, else 32.
const XDP_MAX_TX_SKB_BUDGET: c_int = 9;
const BUDGET_FRAMES: u32 = 256;
/// A queue that another AF_XDP socket used just now is given up asynchronously.
const BIND_ATTEMPTS: u32 = 100;
const BIND_PAUSE: Duration = Duration::from_millis(10);
/// System calls in a row without progress after which the rest of a batch is given up.
const STALLS_MAX: u32 = 3;

/// A descriptor that the kernel skips.
const CANCELLED: libc::xdp_desc = libc::xdp_desc { addr: u64::MAX, len: 0, options: 0 };

/// Transmission to one interface through AF_XDP.
#[derive(Debug)]
pub(super) struct XdpTx {
    socket: OwnedFd,
    memory: MmapMut,
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
    pub(super) fn open(interface_index: u32) -> Result<Self, OpenError> {
        let socket = socket::open(libc::AF_XDP, "open AF_XDP socket")?;
        let memory_octets = (FRAMES * CHUNK_OCTETS) as usize;
        let memory = MmapOptions::new()
            .len(memory_octets)
            .populate()
            .map_anon()
            .map_err(|error| OpenError::from_io("map memory for AF_XDP", &error))?;
        let registration = libc::xdp_umem_reg {
            addr: memory.as_ptr() as u64,
            len: memory_octets as u64,
            chunk_size: CHUNK_OCTETS,
            headroom: 0,
            flags: 0,
            tx_metadata_len: 0,
        };
        let fd = socket.as_fd();
        let operation = "register AF_XDP memory (RLIMIT_MEMLOCK may be too low)";
        socket::set_option(fd, libc::SOL_XDP, libc::XDP_UMEM_REG, &registration, operation)?;
        let size_ring = |name: c_int, entries: u32| {
            socket::set_option(fd, libc::SOL_XDP, name, &entries, "size an AF_XDP ring")
        };
        size_ring(libc::XDP_UMEM_FILL_RING, FILL_ENTRIES)?;
        size_ring(libc::XDP_UMEM_COMPLETION_RING, FRAMES)?;
        size_ring(libc::XDP_TX_RING, FRAMES)?;
        // Refused before Linux 6.18, where the kernel's own limit per call holds.
        let _ = socket::set_option(fd, libc::SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &BUDGET_FRAMES, "");
        let offsets =
            socket::get_option::<libc::xdp_mmap_offsets>(fd, libc::SOL_XDP, libc::XDP_MMAP_OFFSETS)
                .map_err(|errno| OpenError::from_errno("read AF_XDP ring offsets", errno))?;
        const TRANSMIT_AT: u64 = libc::XDP_PGOFF_TX_RING as u64;
        let transmit = XdpRing::map(fd, TRANSMIT_AT, offsets.tx, FRAMES)?;
        let completions =
            XdpRing::map(fd, libc::XDP_UMEM_PGOFF_COMPLETION_RING, offsets.cr, FRAMES)?;
        bind(&socket, interface_index)?;
        socket::widen_send_buffer(socket.as_fd());
        Ok(Self {
            socket,
            memory,
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
        })
    }

    /// Takes a frame of `len` <= [`FRAME_OCTETS_MAX`] octets if `fill` says that it is fine; says
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
        let start = (chunk * CHUNK_OCTETS) as usize;
        let taken = fill(&mut self.memory[start..start + len]);
        if !taken {
            self.free.push(chunk);
            return Ok(false);
        }
        // `push` is only called with a length that was checked.
        let len = u32::try_from(len).unwrap_or(0);
        let entry = libc::xdp_desc { addr: start as u64, len, options: 0 };
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
                socket::kick(self.socket.as_fd()).map_err(fault_of)?;
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
            match socket::kick(self.socket.as_fd()) {
                Err(errno @ (Errno::ENETDOWN | Errno::ENXIO)) => return Err(fault_of(errno)),
                _ => self.is_down = false,
            }
        }
        Ok(())
    }

    /// Shows the kernel the new entries and has it look until it took them all or makes no
    /// progress. Bounded: each call but three takes at least one entry.
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
        while consumed != self.produced && stalls < STALLS_MAX {
            let result = socket::kick(self.socket.as_fd());
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
            let chunk = address / u64::from(CHUNK_OCTETS);
            // A chunk that the kernel does not have cannot be given back; it would be used twice.
            let known = usize::try_from(chunk).ok().and_then(|chunk| self.in_flight.get_mut(chunk));
            if let (Some(in_flight @ true), Ok(chunk)) = (known, u32::try_from(chunk)) {
                *in_flight = false;
                self.free.push(chunk);
            }
        }
        if waiting > 0 {
            self.completions.release(self.reaped);
        }
    }
}

fn bind(socket: &OwnedFd, interface_index: u32) -> Result<(), OpenError> {
    const FAMILY: u16 = socket::narrow(libc::AF_XDP);
    let address = libc::sockaddr_xdp {
        sxdp_family: FAMILY,
        sxdp_flags: libc::XDP_COPY | libc::XDP_USE_NEED_WAKEUP,
        sxdp_ifindex: interface_index,
        sxdp_queue_id: 0,
        sxdp_shared_umem_fd: 0,
    };
    let mut last = Errno::EBUSY;
    for _ in 0..BIND_ATTEMPTS {
        match socket::bind(socket.as_fd(), &address) {
            Ok(()) => return Ok(()),
            Err(Errno::EBUSY) => std::thread::sleep(BIND_PAUSE),
            Err(Errno::ENODEV) => return Err(OpenError::NoInterface { index: interface_index }),
            Err(errno) => {
                last = errno;
                break;
            }
        }
    }
    Err(OpenError::from_errno("bind AF_XDP socket to interface (queue 0)", last))
}
