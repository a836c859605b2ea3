//! Ports: where frames enter and leave, as one trait.
//!
//! A port never decides anything about a frame. It hands over whole Ethernet frames (destination
//! address first, VLAN tags in their place, checksums complete, no frame check sequence) and takes
//! such frames. Production ports live in `crate::os`; [`memory`] and the wrappers here compose with
//! them in the same way, so that a test sees what production does.
//!
//! The conformance suite (`prp/tests/port_conformance.rs`) is generic over this trait and runs on
//! every implementation.

use core::fmt;

pub mod fault_injector;
pub mod memory;
pub mod tracer;

/// The longest frame a port carries: 1,500 octets of payload, two VLAN tags, the Ethernet header
/// and six octets of redundancy tag or trailer, rounded up generously for receivers.
pub const FRAME_OCTETS_MAX: usize = 2048;

/// The shortest frame a port carries: two addresses and a type. (Padding is not the port's task.)
pub const FRAME_OCTETS_MIN: usize = 14;

/// What [`PortFault::Other`] holds for a frame shorter than [`FRAME_OCTETS_MIN`]: `EINVAL`, what
/// the kernel says to such a frame.
pub const TOO_SHORT: PortFault = PortFault::Other(22);

/// Why a port did not take or give frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortFault {
    /// The interface is administratively down or has no carrier; the same port works again later.
    Down,
    /// The interface is gone; a new port has to be opened.
    Gone,
    /// No room now (queue or ring full): the frame was not taken.
    Full,
    /// The frame is longer than the interface carries.
    TooLong,
    /// Anything else, with the system's error number.
    Other(i32),
}

impl fmt::Display for PortFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down => f.write_str("interface down"),
            Self::Gone => f.write_str("interface gone"),
            Self::Full => f.write_str("queue full"),
            Self::TooLong => f.write_str("frame too long for the interface"),
            Self::Other(errno) => write!(f, "system error {errno}"),
        }
    }
}

impl core::error::Error for PortFault {}

/// What a port counted itself, beyond what the LRE sees. All values only rise.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PortStatistics {
    /// Frames handed to the caller.
    pub rx_frames: u64,
    /// Frames that the port or the kernel dropped before the caller could see them (ring full).
    pub rx_dropped: u64,
    /// Frames dropped because the kernel had merged or truncated them.
    pub rx_merged: u64,
    /// Frames whose checksum the sender had deferred and this port completed.
    pub rx_checksums_completed: u64,
    /// Frames taken for transmission and handed to the kernel.
    pub tx_frames: u64,
    /// Frames given for transmission that did not leave: refused by [`Port::transmit`], which said
    /// so, or taken and refused by the kernel afterwards.
    pub tx_dropped: u64,
}

/// A place where frames enter and leave.
///
/// Real-time class: none of these functions allocates, blocks or locks.
pub trait Port {
    /// Hands at most `budget` waiting frames to `sink`, oldest first, and returns how many it took
    /// off the interface (frames it had to drop included, so that work is bounded by `budget`).
    ///
    /// # Errors
    /// [`PortFault::Down`], once per event, and [`PortFault::Gone`], and only by a call that handed
    /// nothing over: a fault met behind frames is told by a later call. A lost carrier is not told
    /// here, nor that a TAP is down: what watches interfaces tells it.
    fn receive<F: FnMut(&[u8])>(&mut self, budget: usize, sink: F) -> Result<usize, PortFault>;

    /// Takes one frame of `len` octets, which `fill` writes into a buffer of exactly that length.
    /// The frame leaves at the latest with the next [`Port::flush`]; order is kept.
    ///
    /// `fill` is not called when the frame cannot be taken, with one exception: whether an
    /// interface carries a frame of its longest can depend on the VLAN tag that `fill` writes. The
    /// buffer's former content is unspecified: `fill` writes every octet.
    ///
    /// # Errors
    /// [`PortFault::Full`] when no buffer is free, [`PortFault::TooLong`] when `len` is more than
    /// [`FRAME_OCTETS_MAX`] or than the interface carries, [`TOO_SHORT`] when it is less than
    /// [`FRAME_OCTETS_MIN`].
    fn transmit<F: FnOnce(&mut [u8])>(&mut self, len: usize, fill: F) -> Result<(), PortFault>;

    /// As [`Port::transmit`], for a frame that stands somewhere as it is to be sent. A port that
    /// can send it from there does, and saves a copy.
    ///
    /// # Errors
    /// As [`Port::transmit`].
    fn transmit_frame(&mut self, frame: &[u8]) -> Result<(), PortFault> {
        self.transmit(frame.len(), |buffer| buffer.copy_from_slice(frame))
    }

    /// Sends what was taken and not yet sent. Without anything to send it does nothing.
    ///
    /// # Errors
    /// The first fault met; what could not be sent is dropped and counted, never kept.
    fn flush(&mut self) -> Result<(), PortFault>;

    /// The port's own counters.
    fn statistics(&self) -> PortStatistics;
}
