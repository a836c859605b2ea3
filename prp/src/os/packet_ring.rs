//! Reception through a memory-mapped AF_PACKET ring (TPACKET_V2).
//!
//! The kernel copies each frame into a slot of a ring that it shares with this process and flips
//! the slot's status word; no system call is on the way. TPACKET_V3 moves more frames per second,
//! but hands them over block by block on a timer, which costs a millisecond; `recvmmsg` and
//! io_uring cost twice as much per frame. Neither is offered.
//!
//! What a frame lost on its way through the kernel is put back here: the VLAN tag that the kernel
//! took out, the checksum that a sender on this machine left open. What cannot be put back (frames
//! that were merged or cut) is dropped and counted.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use libc::c_int;
use memmap2::{MmapOptions, MmapRaw};

use super::open_error::{OpenError, fault_of};
use super::ring_slot::{Slot, repair};
use super::socket;
use crate::port::{PortFault, PortStatistics};

/// Room before each frame beyond the offload header: one VLAN tag fits, and the network header
/// stays aligned to 16 octets (80 + 10 + 6).
const RESERVE_OCTETS: c_int = 6;

const BLOCK_OCTETS_MAX: u32 = 64 << 10;
/// The kernel allocates whole pages; no supported page is longer.
const RING_OCTETS_MIN: u32 = 64 << 10;

/// A `receive` that finds nothing asks the socket for a pending error the first time and then every
/// so many times: two system calls, which in an exchange of single frames must not stand between
/// one frame and the next.
const ERROR_CHECK_PERIOD: u32 = 128;
/// While the kernel reports losses, its counter is read once per so many calls, and when idle.
const STATISTICS_PERIOD: u32 = 1_024;

/// Octets of a cache line; a wrong value costs time, nothing else.
const LINE_OCTETS: usize = 64;
/// Lines of a slot that hold the header and a frame of 64 octets.
const PREFETCHED_LINES: usize = 3;
/// Where the header holds the length of what was captured.
const HEADER_LENGTH_AT: usize = 8;
/// Where a frame begins in its slot: the header, an address, and [`RESERVE_OCTETS`] before it.
const FRAME_AT_MOST: usize = 82;

/// Asks the CPU for a cache line.
#[inline]
fn prefetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint: it neither reads nor writes as far as the program can tell, and faults at
        // no address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// The ring's size. Both numbers are powers of two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RingSize {
    /// Slots, 32 to 65,536: how many frames may wait.
    pub frames: u32,
    /// Octets per slot, 512 to 16,384; 82 of them are not the frame's.
    pub frame_octets: u32,
}

impl Default for RingSize {
    /// 2,048 slots of 2,048 octets: 4 MiB, 1.4 ms of the shortest frames at 1 Gbit/s.
    fn default() -> Self {
        Self { frames: 2_048, frame_octets: 2_048 }
    }
}

impl RingSize {
    fn check(self) -> Result<(), OpenError> {
        let fits = |value: u32, min: u32, max: u32| {
            value.is_power_of_two() && (min..=max).contains(&value)
        };
        if !fits(self.frames, 32, 65_536) {
            let range = "a power of two from 32 to 65,536";
            return Err(OpenError::Size { what: "frames of the ring", value: self.frames, range });
        }
        if !fits(self.frame_octets, 512, 16_384) {
            let range = "a power of two from 512 to 16,384";
            let what = "octets per frame of the ring";
            return Err(OpenError::Size { what, value: self.frame_octets, range });
        }
        if self.frames * self.frame_octets < RING_OCTETS_MIN {
            let range = "65,536 octets or more";
            return Err(OpenError::Size {
                what: "octets of the ring",
                value: self.frames * self.frame_octets,
                range,
            });
        }
        Ok(())
    }
}

/// Reception from one interface.
#[derive(Debug)]
pub struct PacketRing {
    map: MmapRaw,
    socket: OwnedFd,
    interface_index: u32,
    frames: usize,
    frame_octets: usize,
    head: usize,
    idle_calls: u32,
    calls_since_statistics: u32,
    /// The kernel said that it dropped frames since its counter was last read.
    losing: bool,
    statistics: PortStatistics,
}

impl PacketRing {
    /// Opens reception from the interface with this index in the calling thread's network
    /// namespace. Nothing that arrives after the return is missed, nothing that this machine sends
    /// is received.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(interface_index: u32, size: RingSize) -> Result<Self, OpenError> {
        size.check()?;
        let socket = socket::open(libc::AF_PACKET, "open packet socket")?;
        let packet = |name: c_int, value: c_int, operation: &'static str| {
            socket::set_option(socket.as_fd(), libc::SOL_PACKET, name, &value, operation)
        };
        let version = libc::tpacket_versions::TPACKET_V2 as c_int;
        packet(libc::PACKET_VERSION, version, "choose TPACKET_V2")?;
        packet(libc::PACKET_IGNORE_OUTGOING, 1, "set PACKET_IGNORE_OUTGOING (Linux 4.20)")?;
        packet(libc::PACKET_VNET_HDR, 1, "set PACKET_VNET_HDR")?;
        packet(libc::PACKET_RESERVE, RESERVE_OCTETS, "set PACKET_RESERVE")?;
        let octets = size.frames * size.frame_octets;
        let block_octets = octets.min(BLOCK_OCTETS_MAX);
        let request = libc::tpacket_req {
            tp_block_size: block_octets,
            tp_block_nr: octets / block_octets,
            tp_frame_size: size.frame_octets,
            tp_frame_nr: size.frames,
        };
        let (level, name) = (libc::SOL_PACKET, libc::PACKET_RX_RING);
        socket::set_option(socket.as_fd(), level, name, &request, "allocate the packet ring")?;
        let map = MmapOptions::new()
            .len(octets as usize)
            .populate()
            .map_raw(socket.as_raw_fd())
            .map_err(|error| OpenError::from_io("map the packet ring", &error))?;
        let ring = Self {
            map,
            socket,
            interface_index,
            frames: size.frames as usize,
            frame_octets: size.frame_octets as usize,
            head: 0,
            idle_calls: 0,
            calls_since_statistics: 0,
            losing: false,
            statistics: PortStatistics::default(),
        };
        const EVERY_PROTOCOL: u16 = socket::narrow(libc::ETH_P_ALL);
        socket::bind_packet(ring.socket.as_fd(), interface_index, EVERY_PROTOCOL)?;
        socket::add_membership(ring.socket.as_fd(), interface_index, libc::PACKET_MR_ALLMULTI)?;
        Ok(ring)
    }

    /// The interface's index.
    #[must_use]
    pub fn interface_index(&self) -> u32 {
        self.interface_index
    }

    /// See [`crate::port::Port::receive`]. [`PortFault::Down`] is told once per event; after it
    /// the ring is simply empty until the interface is up again.
    ///
    /// Real-time class: no system call while frames wait; the first idle call in a row and every
    /// 64th ask for faults with two short system calls.
    ///
    /// # Errors
    /// [`PortFault::Down`], [`PortFault::Gone`].
    pub fn receive<F: FnMut(&[u8])>(
        &mut self,
        budget: usize,
        mut sink: F,
    ) -> Result<usize, PortFault> {
        let mut taken = 0;
        while taken < budget {
            let status = self.status_word(self.head).load(Ordering::Acquire);
            if status & libc::TP_STATUS_USER == 0 {
                break;
            }
            self.losing |= status & libc::TP_STATUS_LOSING != 0;
            if taken > 0 {
                self.prefetch_ahead();
            }
            match self.open_slot(status) {
                Slot::Frame { frame, checksum_completed } => {
                    sink(frame);
                    self.statistics.rx_frames += 1;
                    self.statistics.rx_checksums_completed += u64::from(checksum_completed);
                }
                Slot::Merged => self.statistics.rx_merged += 1,
                Slot::Malformed => self.statistics.rx_dropped += 1,
            }
            // The kernel may write to the slot from here on; the frame was last used above.
            self.status_word(self.head).store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.head = if self.head + 1 == self.frames { 0 } else { self.head + 1 };
            taken += 1;
        }
        self.housekeeping(taken)?;
        Ok(taken)
    }

    /// Reads what the fast path leaves out: now and then the loss counter, and, while nothing
    /// arrives, a pending error.
    fn housekeeping(&mut self, taken: usize) -> Result<(), PortFault> {
        self.calls_since_statistics = self.calls_since_statistics.saturating_add(1);
        let is_due = taken == 0 || self.calls_since_statistics >= STATISTICS_PERIOD;
        if self.losing && is_due {
            self.refresh_statistics();
        }
        if taken > 0 {
            // A frame came, so a whole period may pass before the next look.
            self.idle_calls = 1;
            return Ok(());
        }
        let is_due = self.idle_calls.is_multiple_of(ERROR_CHECK_PERIOD);
        self.idle_calls = self.idle_calls.wrapping_add(1);
        if is_due { self.take_fault() } else { Ok(()) }
    }

    /// Reads and clears the fault that waits on the port, if any. A caller that polled the port
    /// and saw `POLLERR` may ask at once instead of waiting for `receive` to find out.
    ///
    /// Real-time class: two short system calls.
    ///
    /// # Errors
    /// [`PortFault::Down`], [`PortFault::Gone`].
    pub fn take_fault(&mut self) -> Result<(), PortFault> {
        let error = socket::take_error(self.socket.as_fd());
        // An interface that was down before it was deleted leaves no error behind; so look for the
        // interface itself.
        let result = if !socket::interface_exists(self.socket.as_fd()) {
            Err(PortFault::Gone)
        } else {
            error.map_or(Ok(()), |errno| Err(fault_of(errno)))
        };
        if result.is_err() {
            self.idle_calls = 0;
        }
        result
    }

    /// Adds the kernel's count of lost frames to the statistics. The ring does so itself in an idle
    /// call, and once per 1,024 calls under load, if a frame told of losses; losses behind the last
    /// frame are only found by asking.
    ///
    /// Real-time class: one short system call.
    pub fn refresh_statistics(&mut self) {
        self.calls_since_statistics = 0;
        self.losing = false;
        let answer = socket::get_option::<libc::tpacket_stats>(
            self.socket.as_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
        );
        // Reading sets the kernel's counter back, so that each answer is new.
        if let Ok(news) = answer {
            self.statistics.rx_dropped += u64::from(news.tp_drops);
        }
    }

    /// The ring's counters; those of transmission are zero.
    #[must_use]
    pub fn statistics(&self) -> PortStatistics {
        self.statistics
    }

    fn slot_pointer(&self, index: usize) -> *mut u8 {
        self.map.as_mut_ptr().wrapping_add(index * self.frame_octets)
    }

    fn status_word(&self, index: usize) -> &AtomicU32 {
        debug_assert!(index < self.frames);
        let word: *mut u32 = self.slot_pointer(index).cast();
        // SAFETY: `index` < `frames`, so the slot lies in the mapping, which lives as long as
        // `self`. Slots start at multiples of 512 in a page-aligned mapping, and the status is the
        // header's first word. Both sides access it atomically only.
        unsafe { AtomicU32::from_ptr(word) }
    }

    /// Fetches what the next turns of `receive` read first: another CPU wrote it, and at full rate
    /// the wait for these lines was four fifths of the time spent in this process. Two slots ahead
    /// the header and the first octets, one slot ahead the line in which the trailer ends.
    #[inline]
    fn prefetch_ahead(&self) {
        let slot = |ahead: usize| self.slot_pointer((self.head + ahead) & (self.frames - 1));
        for line in 0..PREFETCHED_LINES {
            prefetch(slot(2).wrapping_add(line * LINE_OCTETS));
        }
        let next: *mut u32 = slot(1).wrapping_add(HEADER_LENGTH_AT).cast();
        // SAFETY: in the mapping and aligned as the status word is, 4 octets into the same header.
        // Whether the kernel writes there now does not matter: it is an atomic access, and the
        // value is only a hint.
        let octets = unsafe { AtomicU32::from_ptr(next) }.load(Ordering::Relaxed);
        let end = (octets as usize + FRAME_AT_MOST).min(self.frame_octets);
        prefetch(slot(1).wrapping_add(end - 1));
    }

    /// Takes the slot at `head` apart, repairs its frame in place.
    fn open_slot(&mut self, status: u32) -> Slot<'_> {
        let start = self.slot_pointer(self.head);
        // SAFETY: the status word, read with acquire order, says that the slot is ours until we
        // give it back, which `receive` does after the last use of this slice; `&mut self` excludes
        // a second one. The slot lies in the mapping (see `status_word`) and is initialised
        // (the kernel allocates rings zeroed).
        let slot = unsafe { std::slice::from_raw_parts_mut(start, self.frame_octets) };
        repair(slot, status)
    }
}

impl AsFd for PacketRing {
    /// Readable when frames wait, `POLLERR` when a fault does.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
