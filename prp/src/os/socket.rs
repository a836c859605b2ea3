//! What the packet and AF_XDP sockets share: options, binding, the pending error.

use std::mem::{size_of, size_of_val};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use libc::{c_int, socklen_t};
use nix::errno::Errno;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};

use super::open_error::OpenError;

/// What a send buffer may hold; the kernel doubles it. A full frame charges 2304 octets, so that
/// some 900 may wait for a card: a burst of several hundred, yet no more than 11 ms at 1 Gbit/s and
/// 0.11 s at 100 Mbit/s, while the receiver still knows their twins.
const SEND_BUFFER_OCTETS: usize = 1 << 20;

/// A constant of libc's in the 16 bits that the kernel's structures have for it; for use in
/// constants, where a value that does not fit stops the compiler.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "asserted to fit")]
pub(super) const fn narrow(value: c_int) -> u16 {
    assert!(value >= 0 && value <= 0xffff);
    value as u16
}

/// Types that any bit pattern is a value of, and that the kernel fills in.
///
/// # Safety
/// Every bit pattern must be a valid value of the type.
pub(super) unsafe trait Answer: Copy {
    /// A value to be overwritten.
    const EMPTY: Self;
}

// SAFETY: two integers.
unsafe impl Answer for libc::tpacket_stats {
    const EMPTY: Self = Self { tp_packets: 0, tp_drops: 0 };
}

const NO_OFFSETS: libc::xdp_ring_offset =
    libc::xdp_ring_offset { producer: 0, consumer: 0, desc: 0, flags: 0 };

// SAFETY: sixteen integers.
unsafe impl Answer for libc::xdp_mmap_offsets {
    const EMPTY: Self = Self { rx: NO_OFFSETS, tx: NO_OFFSETS, fr: NO_OFFSETS, cr: NO_OFFSETS };
}

// SAFETY: six integers.
unsafe impl Answer for libc::xdp_statistics {
    const EMPTY: Self = Self {
        rx_dropped: 0,
        rx_invalid_descs: 0,
        tx_invalid_descs: 0,
        rx_ring_full: 0,
        rx_fill_ring_empty_descs: 0,
        tx_ring_empty_descs: 0,
    };
}

fn length_of<T>(value: &T) -> socklen_t {
    socklen_t::try_from(size_of_val(value)).unwrap_or(socklen_t::MAX)
}

/// Opens a raw socket of this address family that receives nothing yet (protocol 0), not blocking.
/// (nix does not know AF_XDP.)
pub(super) fn open(family: c_int, operation: &'static str) -> Result<OwnedFd, OpenError> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: numbers only.
    let fd = unsafe { libc::socket(family, kind, 0) };
    let fd = Errno::result(fd).map_err(|errno| OpenError::from_errno(operation, errno))?;
    // SAFETY: the kernel just gave us this descriptor; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets a socket option.
pub(super) fn set_option<T: Copy>(
    socket: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: &T,
    operation: &'static str,
) -> Result<(), OpenError> {
    let value_ptr: *const T = value;
    // SAFETY: `value_ptr` comes from a reference that lives over the call and is as long as said;
    // the kernel only reads it.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, value_ptr.cast(), length_of(value))
    };
    Errno::result(result).map(drop).map_err(|errno| OpenError::from_errno(operation, errno))
}

/// Reads a socket option.
pub(super) fn get_option<T: Answer>(
    socket: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
) -> Result<T, Errno> {
    let mut value = T::EMPTY;
    let mut length = length_of(&value);
    let value_ptr: *mut T = &raw mut value;
    // SAFETY: `value_ptr` is valid for `length` octets of writing, and whatever is written is a
    // value of `T` (trait `Answer`).
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, name, value_ptr.cast(), &raw mut length)
    };
    Errno::result(result).map(|_| value)
}

/// Binds a packet socket to one interface and one protocol (0: receive nothing).
pub(super) fn bind_packet(
    socket: BorrowedFd<'_>,
    interface_index: u32,
    protocol: u16,
) -> Result<(), OpenError> {
    let no_interface = OpenError::NoInterface { index: interface_index };
    let Ok(index) = c_int::try_from(interface_index) else { return Err(no_interface) };
    if index == 0 {
        // Zero means every interface to the kernel.
        return Err(no_interface);
    }
    let address = packet_address(index, protocol);
    match bind(socket, &address) {
        Ok(()) => Ok(()),
        Err(Errno::ENODEV | Errno::ENXIO) => Err(no_interface),
        Err(errno) => Err(OpenError::from_errno("bind packet socket to interface", errno)),
    }
}

/// Joins an interface's packets of a kind (`PACKET_MR_…`) until the socket is closed.
pub(super) fn add_membership(
    socket: BorrowedFd<'_>,
    interface_index: u32,
    kind: c_int,
) -> Result<(), OpenError> {
    let request = libc::packet_mreq {
        mr_ifindex: c_int::try_from(interface_index).unwrap_or(0),
        mr_type: u16::try_from(kind).unwrap_or(0),
        mr_alen: 0,
        mr_address: [0; 8],
    };
    let (level, name) = (libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP);
    match set_option(socket, level, name, &request, "add packet membership") {
        Err(OpenError::System { errno: Errno::ENODEV, .. }) => {
            Err(OpenError::NoInterface { index: interface_index })
        }
        result => result,
    }
}

/// Binds a socket to an address of its family.
pub(super) fn bind<A: Copy>(socket: BorrowedFd<'_>, address: &A) -> Result<(), Errno> {
    let address_ptr: *const A = address;
    // SAFETY: the address lives over the call and is as long as said; the kernel only reads it and
    // checks family and length itself.
    let result = unsafe { libc::bind(socket.as_raw_fd(), address_ptr.cast(), length_of(address)) };
    Errno::result(result).map(drop)
}

/// Reads and clears the error that is pending on a socket; `None` when there is none.
pub(super) fn take_error(socket: BorrowedFd<'_>) -> Option<Errno> {
    match getsockopt(&socket, sockopt::SocketError) {
        Ok(0) => None,
        Ok(number) => Some(Errno::from_raw(number)),
        Err(errno) => Some(errno),
    }
}

/// Whether the interface a packet socket was bound to still exists: the kernel takes the index
/// away from the socket when it unregisters the interface.
pub(super) fn interface_exists(socket: BorrowedFd<'_>) -> bool {
    let mut address = packet_address(0, 0);
    let mut length = length_of(&address);
    let address_ptr: *mut libc::sockaddr_ll = &raw mut address;
    // SAFETY: `address_ptr` is valid for `length` octets of writing, and any bit pattern is a
    // `sockaddr_ll`. (nix refuses the answer, because the kernel counts 18 octets, not 20.)
    let result =
        unsafe { libc::getsockname(socket.as_raw_fd(), address_ptr.cast(), &raw mut length) };
    result == 0 && address.sll_ifindex > 0
}

fn packet_address(index: c_int, protocol: u16) -> libc::sockaddr_ll {
    const FAMILY: u16 = narrow(libc::AF_PACKET);
    libc::sockaddr_ll {
        sll_family: FAMILY,
        sll_protocol: protocol.to_be(),
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    }
}

/// Makes room for more than one batch in the send buffer, as far as the privilege goes.
pub(super) fn widen_send_buffer(socket: BorrowedFd<'_>) {
    if setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER_OCTETS).is_err() {
        // Without CAP_NET_ADMIN the system's maximum holds; transmission works with either.
        let _ = setsockopt(&socket, sockopt::SndBuf, &SEND_BUFFER_OCTETS);
    }
}

/// Tells the kernel to look at an AF_XDP transmit ring.
pub(super) fn kick(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: no buffer and no address are passed, so there is nothing that could be invalid.
    let result = unsafe {
        libc::sendto(socket.as_raw_fd(), ptr::null(), 0, libc::MSG_DONTWAIT, ptr::null(), 0)
    };
    if result < 0 { Err(Errno::last()) } else { Ok(()) }
}

/// Tells the driver to look at an AF_XDP fill ring (zero copy).
pub(super) fn kick_fill(socket: BorrowedFd<'_>) {
    // SAFETY: no buffer and no address are passed, so there is nothing that could be invalid.
    let _ = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            ptr::null_mut(),
            0,
            libc::MSG_DONTWAIT,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
}

const _: () = assert!(size_of::<libc::sockaddr_ll>() == 20);
