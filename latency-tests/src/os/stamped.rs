//! Packet sockets (AF_PACKET, raw) that hand over one frame at a time with the instant at which the
//! kernel saw it.
//!
//! They listen at the packet tap, where a frame passes before anything drops it at ingress, and so
//! hear what comes to an interface that belongs to a daemon. They take no frame away from anybody.
//! Beside [`packet`](super::packet), which hands over many at once for throughput, a call here
//! needs no memory but the caller's and no more than it is told to look at.
//!
//! The kernel stamps by `CLOCK_REALTIME`; [`Offset`] is how far that is ahead of the monotonic
//! clock.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send, socket};
use rt_core::os::clock::{MonotonicClock, realtime_ns};
use rt_core::time::Instant;

use super::net;
use super::packet::{attach_filter, bind_to_all_protocols, dropped_since, length_of, set};

/// What waits in the kernel at most for each socket, as the kernel counts it, in octets.
const BUFFER_OCTETS: usize = 1 << 20;
const CONTROL_OCTETS: usize = 64;

/// Which frames of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// Those that come.
    Incoming,
    /// Those that leave, too.
    Both,
}

/// Where a frame was going.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Toward {
    /// To the interface's own address.
    Us,
    /// To all, or to a group.
    Many,
    /// To another station.
    Others,
    /// Out: this host sent it.
    Away,
}

/// What came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// How much of the buffer it takes. A frame that is longer lost its end.
    pub octets: usize,
    /// Where it was going.
    pub toward: Toward,
    /// When the kernel saw it, by `CLOCK_REALTIME`.
    pub at_realtime_ns: Option<u64>,
}

/// A packet socket on one interface. Never blocks.
#[derive(Debug)]
pub struct StampedSocket {
    descriptor: OwnedFd,
    dropped: u64,
}

impl StampedSocket {
    /// Opens a socket on `interface` that hears the frames that `filter` lets pass (classic BPF).
    ///
    /// # Errors
    /// `ENODEV` (no such interface), `EPERM` (`CAP_NET_RAW` missing) and what else the system says.
    pub fn open(interface: &str, heard: Heard, filter: &[libc::sock_filter]) -> io::Result<Self> {
        let index = net::interface_index(interface)?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        // Without a protocol nothing comes before all is set.
        let descriptor = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
        net::enlarge_buffers(&descriptor, BUFFER_OCTETS);
        let socket = Self { descriptor, dropped: 0 };
        let on: libc::c_int = 1;
        set(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &on)?;
        if heard == Heard::Incoming {
            set(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &on)?;
        }
        attach_filter(&socket, filter)?;
        // A socket for one protocol stands behind the ingress hook, where a daemon drops what came.
        bind_to_all_protocols(socket.as_fd(), index)?;
        Ok(socket)
    }

    /// The interface's address, as it is now. Real-time class: one system call that never blocks.
    ///
    /// # Errors
    /// `ENODEV`: the interface is gone, or has no such address.
    pub fn address(&self) -> io::Result<[u8; 6]> {
        const ETHERNET_OCTETS: u8 = 6;
        // SAFETY: all-zero is a valid value of this plain C structure.
        let mut name: libc::sockaddr_ll = unsafe { mem::zeroed() };
        let mut octets = length_of(&name);
        // SAFETY: the descriptor is open while `self` lives; the kernel writes at most `octets`
        // octets to `name`, which is that long.
        let done = unsafe {
            libc::getsockname(
                self.descriptor.as_raw_fd(),
                ptr::from_mut(&mut name).cast(),
                &raw mut octets,
            )
        };
        Errno::result(done)?;
        let [a, b, c, d, e, f, ..] = name.sll_addr;
        if name.sll_halen == ETHERNET_OCTETS {
            Ok([a, b, c, d, e, f])
        } else {
            Err(Errno::ENODEV.into())
        }
    }

    /// Has the kernel send this socket's frames before ordinary ones, where a queue knows classes.
    pub fn send_first(&self) {
        // TC_PRIO_CONTROL; without it a frame goes as all others do.
        let priority: libc::c_int = 7;
        let _ = set(self, libc::SOL_SOCKET, libc::SO_PRIORITY, &priority);
    }

    /// Takes a frame that waits; nothing when none does. Real-time class: one system call that
    /// never blocks.
    ///
    /// # Errors
    /// `ENETDOWN` when the interface went down or away; told once.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Arrival>> {
        // SAFETY: all-zero is a valid value of this plain C structure, as of the next one.
        let mut name: libc::sockaddr_ll = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        let mut control = Control([0; CONTROL_OCTETS]);
        let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        message.msg_name = ptr::from_mut(&mut name).cast();
        message.msg_namelen = length_of(&name);
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = CONTROL_OCTETS;
        // SAFETY: the message points to an address, one part and a control buffer with their true
        // lengths, which all outlive the call; the descriptor is open while `self` lives.
        let taken = unsafe {
            libc::recvmsg(self.descriptor.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT)
        };
        let Ok(octets) = usize::try_from(taken) else {
            return match Errno::last() {
                Errno::EAGAIN | Errno::EINTR => Ok(None),
                errno => Err(errno.into()),
            };
        };
        let told = message.msg_controllen.min(CONTROL_OCTETS);
        Ok(Some(Arrival {
            octets: octets.min(buffer.len()),
            toward: match name.sll_pkttype {
                libc::PACKET_HOST => Toward::Us,
                libc::PACKET_BROADCAST | libc::PACKET_MULTICAST => Toward::Many,
                libc::PACKET_OUTGOING => Toward::Away,
                _ => Toward::Others,
            },
            at_realtime_ns: control.0.get(..told).and_then(stamp),
        }))
    }

    /// Sends a frame, its header first. Real-time class: one system call that never blocks.
    ///
    /// # Errors
    /// `ENETDOWN`, `ENXIO` (the interface is down, gone), `EAGAIN`, `ENOBUFS` (a queue is full),
    /// `EMSGSIZE` (too long).
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        send(self.descriptor.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT)?;
        Ok(())
    }

    /// Frames that the kernel dropped because too many waited, since the opening.
    pub fn dropped(&mut self) -> u64 {
        self.dropped += dropped_since(self);
        self.dropped
    }
}

impl AsFd for StampedSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Control messages start at an address that suits their header.
#[repr(C, align(8))]
struct Control([u8; CONTROL_OCTETS]);

/// The instant in the control data of one message.
fn stamp(control: &[u8]) -> Option<u64> {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    let mut rest = control;
    while rest.len() >= HEADER {
        let octets = usize::from_ne_bytes(rest[..8].try_into().ok()?);
        let level = i32::from_ne_bytes(rest[8..12].try_into().ok()?);
        let kind = i32::from_ne_bytes(rest[12..16].try_into().ok()?);
        let data = rest.get(HEADER..octets)?;
        if level == libc::SOL_SOCKET && kind == libc::SCM_TIMESTAMPNS && data.len() >= 16 {
            let seconds = i64::from_ne_bytes(data[..8].try_into().ok()?);
            let nanos = i64::from_ne_bytes(data[8..16].try_into().ok()?);
            let seconds = u64::try_from(seconds).ok()?;
            return seconds.checked_mul(1_000_000_000)?.checked_add(u64::try_from(nanos).ok()?);
        }
        rest = rest.get(octets.next_multiple_of(8)..)?;
    }
    None
}

/// How far `CLOCK_REALTIME` is ahead of `CLOCK_MONOTONIC` at some instant. Both run at one rate, so
/// that only a step changes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offset {
    ahead_ns: i128,
}

impl Offset {
    /// As it is now, to the time between two readings of a clock: the closest of four tries.
    /// Real-time class: no system call (vDSO).
    #[must_use]
    pub fn now() -> Self {
        let try_once = || {
            let before = MonotonicClock::now();
            let real_ns = realtime_ns();
            let after = MonotonicClock::now();
            let between_ns = after.since(before).as_nanos();
            let middle_ns = i128::from(before.as_nanos()) + i128::from(between_ns / 2);
            (between_ns, i128::from(real_ns) - middle_ns)
        };
        let closest = [try_once(), try_once(), try_once(), try_once()].into_iter().min();
        Self { ahead_ns: closest.map_or(0, |(_, ahead_ns)| ahead_ns) }
    }

    /// An instant of `CLOCK_REALTIME` on the monotonic clock; nothing when that would lie before
    /// its beginning.
    #[must_use]
    pub fn monotonic(self, realtime_ns: u64) -> Option<Instant> {
        let nanos = i128::from(realtime_ns) - self.ahead_ns;
        u64::try_from(nanos).ok().map(Instant::from_nanos)
    }

    /// Whether the clock was stepped between the two: they differ by more than the readings do.
    #[must_use]
    pub fn stepped_since(self, earlier: Self) -> bool {
        const READINGS_NS: u128 = 5_000;
        (self.ahead_ns - earlier.ahead_ns).unsigned_abs() > READINGS_NS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(level: i32, kind: i32, seconds: i64, nanos: i64) -> Vec<u8> {
        let mut control = 32usize.to_ne_bytes().to_vec();
        control.extend(level.to_ne_bytes());
        control.extend(kind.to_ne_bytes());
        control.extend(seconds.to_ne_bytes());
        control.extend(nanos.to_ne_bytes());
        control
    }

    #[test]
    fn the_stamp_is_found_among_what_the_kernel_tells() {
        let stamped = told(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, 3, 7);
        assert_eq!(stamp(&stamped), Some(3_000_000_007));
        let other = told(libc::SOL_PACKET, 1, 5, 5);
        assert_eq!(stamp(&[other.clone(), stamped.clone()].concat()), Some(3_000_000_007));
        assert_eq!(stamp(&other), None);
        assert_eq!(stamp(&told(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, -1, 7)), None);
        assert_eq!(stamp(&told(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, i64::MAX, 7)), None);
        for octets in 0..stamped.len() {
            assert_eq!(stamp(&stamped[..octets]), None, "{octets}");
        }
        assert_eq!(stamp(&[0; 64]), None, "a length of zero ends the search");
    }

    #[test]
    fn an_instant_goes_to_the_other_clock_and_a_step_is_seen() {
        let offset = Offset { ahead_ns: 1_000 };
        assert_eq!(offset.monotonic(1_500), Some(Instant::from_nanos(500)));
        assert_eq!(offset.monotonic(999), None);
        let behind = Offset { ahead_ns: -1_000 };
        assert_eq!(behind.monotonic(500), Some(Instant::from_nanos(1_500)));
        assert!(!Offset { ahead_ns: 6_000 }.stepped_since(offset));
        assert!(Offset { ahead_ns: 6_001 }.stepped_since(offset));
        assert!(behind.stepped_since(Offset { ahead_ns: 1_000_000 }));
        let now = Offset::now();
        let there = now.monotonic(realtime_ns()).unwrap();
        assert!(MonotonicClock::now().since(there).as_nanos() < 1_000_000_000);
    }
}
