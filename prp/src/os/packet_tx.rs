//! Transmission by `sendmmsg` on a packet socket of its own.
//!
//! Frames pass the interface's traffic taps and its tc egress hook. A PACKET_MMAP transmit ring was
//! measured as fast as this and reports errors worse, bypassing the queueing discipline gains two
//! percent; neither is used. While a card's ring is full frames wait in that discipline, as many as
//! the send buffer holds; what finds either full is dropped and counted.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;

use super::open_error::{OpenError, fault_of};
use super::socket;
use crate::port::{FRAME_OCTETS_MAX, PortFault};

/// Frames that one system call sends at most.
const BATCH_FRAMES: usize = 64;

type Buffer = [u8; FRAME_OCTETS_MAX];

/// Transmission to one interface by `sendmmsg`.
pub(super) struct PacketTx {
    socket: OwnedFd,
    buffers: Box<[Buffer]>,
    lengths: [usize; BATCH_FRAMES],
    pending: usize,
    /// Written whole before each use; between uses its pointers mean nothing.
    vectors: Box<[libc::iovec]>,
    /// As `vectors`.
    headers: Box<[libc::mmsghdr]>,
    /// Met while room was made in [`PacketTx::push`], to be reported by the next flush.
    deferred_fault: Option<PortFault>,
    /// Frames handed to the kernel.
    pub(super) sent: u64,
    /// Frames taken that the kernel refused.
    pub(super) dropped: u64,
}

// SAFETY: the raw pointers in `vectors` and `headers` point into this value's own boxes and are
// written anew before each use (`point_at_buffers`), so that it does not matter which thread does.
unsafe impl Send for PacketTx {}

impl std::fmt::Debug for PacketTx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (socket, pending) = (&self.socket, self.pending);
        f.debug_struct("PacketTx").field("socket", socket).field("pending", &pending).finish()
    }
}

const EMPTY_VECTOR: libc::iovec = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };

impl PacketTx {
    pub(super) fn open(interface_index: u32) -> Result<Self, OpenError> {
        let socket = socket::open(libc::AF_PACKET, "open packet socket for transmission")?;
        socket::bind_packet(socket.as_fd(), interface_index, 0)?;
        socket::widen_send_buffer(socket.as_fd());
        // SAFETY: all zero is a valid `mmsghdr`: integers and null pointers.
        let empty_header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        Ok(Self {
            socket,
            buffers: vec![[0; FRAME_OCTETS_MAX]; BATCH_FRAMES].into_boxed_slice(),
            lengths: [0; BATCH_FRAMES],
            pending: 0,
            vectors: vec![EMPTY_VECTOR; BATCH_FRAMES].into_boxed_slice(),
            headers: vec![empty_header; BATCH_FRAMES].into_boxed_slice(),
            deferred_fault: None,
            sent: 0,
            dropped: 0,
        })
    }

    /// Takes a frame of `len` <= [`FRAME_OCTETS_MAX`] octets if `fill` says that it is fine; says
    /// whether it did. When all buffers are taken it sends them first.
    pub(super) fn push<F: FnOnce(&mut [u8]) -> bool>(&mut self, len: usize, fill: F) -> bool {
        if self.pending == BATCH_FRAMES {
            self.deferred_fault = self.flush().err();
        }
        let taken = fill(&mut self.buffers[self.pending][..len]);
        if taken {
            self.lengths[self.pending] = len;
            self.pending += 1;
        }
        taken
    }

    /// Sends what was taken. What the kernel refuses is dropped and counted.
    pub(super) fn flush(&mut self) -> Result<(), PortFault> {
        let mut fault = self.deferred_fault.take();
        let pending = std::mem::take(&mut self.pending);
        self.point_at_buffers(pending);
        let mut next = 0;
        while next < pending {
            match self.send(next, pending) {
                Ok(sent) => {
                    self.sent += sent as u64;
                    next += sent;
                }
                Err(errno) => {
                    fault = fault.or_else(|| Some(fault_of(errno)));
                    // The refused frame is lost. What stands behind it may fare better, unless
                    // the reason is not the frame's.
                    let refused = match errno {
                        Errno::ENOBUFS | Errno::EMSGSIZE | Errno::EINVAL => 1,
                        _ => pending - next,
                    };
                    self.dropped += refused as u64;
                    next += refused;
                }
            }
        }
        fault.map_or(Ok(()), Err)
    }

    fn point_at_buffers(&mut self, pending: usize) {
        let first_vector = self.vectors.as_mut_ptr();
        for index in 0..pending {
            let buffer: *mut Buffer = &raw mut self.buffers[index];
            // SAFETY: index < pending <= BATCH_FRAMES = the number of vectors.
            let vector = unsafe { first_vector.add(index) };
            // SAFETY: `vector` points at an element of `vectors`, which `self` owns exclusively.
            unsafe {
                *vector = libc::iovec { iov_base: buffer.cast(), iov_len: self.lengths[index] };
            }
            self.headers[index].msg_hdr.msg_iov = vector;
            self.headers[index].msg_hdr.msg_iovlen = 1;
        }
    }

    /// Sends the frames from `next` on; at least one, or an error.
    fn send(&mut self, next: usize, pending: usize) -> Result<usize, Errno> {
        let headers = &mut self.headers[next..pending];
        let count = u32::try_from(headers.len()).unwrap_or(0);
        let first: *mut libc::mmsghdr = headers.as_mut_ptr();
        // SAFETY: `first` is followed by `count` headers, each of which names one vector, which
        // names a buffer and a length within it (`point_at_buffers`); all live in `self`.
        let sent =
            unsafe { libc::sendmmsg(self.socket.as_raw_fd(), first, count, libc::MSG_DONTWAIT) };
        match usize::try_from(sent) {
            // None sent and no error is not in the contract; taken as a refusal it ends the loop.
            Ok(0) => Err(Errno::EINVAL),
            Ok(sent) => Ok(sent),
            Err(_) => Err(Errno::last()),
        }
    }
}
