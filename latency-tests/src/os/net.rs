//! Small questions and wishes to sockets and interfaces.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{setsockopt, sockopt};

/// Receive and send buffers of `octets` each: past the system's limit where the privilege is there,
/// else as much as the limit allows. A buffer smaller than wished for shows up as counted drops, so
/// this never fails.
pub fn enlarge_buffers(socket: &impl AsFd, octets: usize) {
    if setsockopt(socket, sockopt::RcvBufForce, &octets).is_err() {
        let _ = setsockopt(socket, sockopt::RcvBuf, &octets);
    }
    if setsockopt(socket, sockopt::SndBufForce, &octets).is_err() {
        let _ = setsockopt(socket, sockopt::SndBuf, &octets);
    }
}

/// Datagrams that the kernel dropped because the socket's receive buffer was full (or, rarely,
/// because a checksum was found wrong only at reading).
#[must_use]
pub fn datagrams_dropped(socket: &impl AsFd) -> u64 {
    /// Position of `SK_MEMINFO_DROPS` in the array that `SO_MEMINFO` fills.
    const DROPS: usize = 8;
    let mut values = [0u32; 16];
    let mut octets = libc::socklen_t::try_from(size_of_val(&values)).unwrap_or(0);
    // SAFETY: the descriptor is open for as long as `socket` is borrowed; the kernel writes at most
    // `octets` octets to `values`, which is that long and valid for any bit pattern.
    let done = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut octets,
        )
    };
    if done == 0 { u64::from(values[DROPS]) } else { 0 }
}

/// The number of the interface called `name`.
///
/// # Errors
/// `ENODEV` when there is none in this network namespace.
pub fn interface_index(name: &str) -> io::Result<u32> {
    Ok(nix::net::if_::if_nametoindex(name)?)
}

/// The MAC address of the interface called `name`.
///
/// # Errors
/// `ENODEV` when there is no such interface here or it has no such address.
pub fn interface_mac(name: &str) -> io::Result<[u8; 6]> {
    nix::ifaddrs::getifaddrs()?
        .filter(|entry| entry.interface_name == name)
        .find_map(|entry| entry.address.as_ref()?.as_link_addr()?.addr())
        .ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
}
