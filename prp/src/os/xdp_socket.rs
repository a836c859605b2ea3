//! An AF_XDP socket on its way from opened to bound.
//!
//! The order is the kernel's: memory, sizes of the rings, their mapping, binding.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use libc::c_int;
use nix::errno::Errno;

use super::open_error::OpenError;
use super::socket;
use super::xdp_ring::XdpRing;
use super::xdp_umem::Umem;

/// A queue, and an account of locked memory, that another AF_XDP socket used just now are given up
/// asynchronously.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

const REGISTER: &str = "register AF_XDP memory (4 to 9 MiB a port; grant CAP_IPC_LOCK or raise \
    RLIMIT_MEMLOCK)";

/// How frames come from the driver to the memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Copying {
    /// The kernel copies them.
    Copy,
    /// The card writes them there.
    Zero,
}

#[derive(Debug)]
pub(super) struct XdpSocket {
    socket: Arc<OwnedFd>,
    offsets: libc::xdp_mmap_offsets,
}

impl XdpSocket {
    pub(super) fn open() -> Result<Self, OpenError> {
        let socket = socket::open(libc::AF_XDP, "open AF_XDP socket")?;
        let (level, name) = (libc::SOL_XDP, libc::XDP_MMAP_OFFSETS);
        let offsets = socket::get_option::<libc::xdp_mmap_offsets>(socket.as_fd(), level, name)
            .map_err(|errno| OpenError::from_errno("read AF_XDP ring offsets", errno))?;
        Ok(Self { socket: Arc::new(socket), offsets })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        (*self.socket).as_fd()
    }

    pub(super) fn share(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.socket)
    }

    /// Makes the memory this socket's. The caller keeps it as long as the socket.
    pub(super) fn register(&self, umem: &Umem) -> Result<(), OpenError> {
        let registration = umem.registration();
        let (level, name) = (libc::SOL_XDP, libc::XDP_UMEM_REG);
        patiently(Errno::ENOBUFS, || {
            socket::set_option(self.fd(), level, name, &registration, REGISTER)
        })
    }

    fn size(&self, name: c_int, entries: u32) -> Result<(), OpenError> {
        socket::set_option(self.fd(), libc::SOL_XDP, name, &entries, "size an AF_XDP ring")
    }

    /// The rings by which chunks go to the kernel for reception, and come back from transmission.
    pub(super) fn supply_rings(
        &self,
        fill: u32,
        completions: u32,
    ) -> Result<(XdpRing<u64>, XdpRing<u64>), OpenError> {
        self.size(libc::XDP_UMEM_FILL_RING, fill)?;
        self.size(libc::XDP_UMEM_COMPLETION_RING, completions)?;
        let (fill_at, at) = (libc::XDP_UMEM_PGOFF_FILL_RING, libc::XDP_UMEM_PGOFF_COMPLETION_RING);
        Ok((
            XdpRing::map(self.fd(), fill_at, self.offsets.fr, fill)?,
            XdpRing::map(self.fd(), at, self.offsets.cr, completions)?,
        ))
    }

    pub(super) fn receive_ring(&self, entries: u32) -> Result<XdpRing<libc::xdp_desc>, OpenError> {
        const AT: u64 = libc::XDP_PGOFF_RX_RING as u64;
        self.size(libc::XDP_RX_RING, entries)?;
        XdpRing::map(self.fd(), AT, self.offsets.rx, entries)
    }

    pub(super) fn transmit_ring(&self, entries: u32) -> Result<XdpRing<libc::xdp_desc>, OpenError> {
        const AT: u64 = libc::XDP_PGOFF_TX_RING as u64;
        self.size(libc::XDP_TX_RING, entries)?;
        XdpRing::map(self.fd(), AT, self.offsets.tx, entries)
    }

    /// Binds it to a queue of an interface.
    pub(super) fn bind(
        &self,
        interface_index: u32,
        queue: u32,
        copying: Copying,
    ) -> Result<(), OpenError> {
        let (flag, operation) = match copying {
            Copying::Copy => (libc::XDP_COPY, "bind AF_XDP socket to a queue of the interface"),
            Copying::Zero => (libc::XDP_ZEROCOPY, "bind AF_XDP socket without copying"),
        };
        let flags = flag | libc::XDP_USE_NEED_WAKEUP;
        self.bind_with(interface_index, queue, flags, 0, operation)
    }

    /// Binds it to another queue, over the memory and in the mode of a socket that is bound.
    pub(super) fn bind_beside(
        &self,
        interface_index: u32,
        queue: u32,
        first: &Self,
    ) -> Result<(), OpenError> {
        // Descriptors are never negative.
        let first = first.socket.as_raw_fd().cast_unsigned();
        let operation = "bind AF_XDP socket to a further queue of the interface";
        self.bind_with(interface_index, queue, libc::XDP_SHARED_UMEM, first, operation)
    }

    fn bind_with(
        &self,
        interface_index: u32,
        queue: u32,
        flags: u16,
        shared_with: u32,
        operation: &'static str,
    ) -> Result<(), OpenError> {
        const FAMILY: u16 = socket::narrow(libc::AF_XDP);
        let address = libc::sockaddr_xdp {
            sxdp_family: FAMILY,
            sxdp_flags: flags,
            sxdp_ifindex: interface_index,
            sxdp_queue_id: queue,
            sxdp_shared_umem_fd: shared_with,
        };
        patiently(Errno::EBUSY, || match socket::bind(self.fd(), &address) {
            Ok(()) => Ok(()),
            Err(Errno::ENODEV) => Err(OpenError::NoInterface { index: interface_index }),
            Err(errno) => Err(OpenError::from_errno(operation, errno)),
        })
    }
}

/// Tries again while the system says `again`, up to a second.
fn patiently(
    again: Errno,
    mut attempt: impl FnMut() -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(OpenError::System { errno, .. }) if errno == again => std::thread::sleep(PAUSE),
            result => return result,
        }
    }
    attempt()
}
