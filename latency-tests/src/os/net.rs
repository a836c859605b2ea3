//! Small questions and wishes to sockets and interfaces.

use std::ffi::OsString;
use std::io;
use std::mem;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket, sockopt};

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

/// Keeps `socket` to the interface called `name`: it hears nothing from any other, and what it
/// sends leaves there, to a group too, whatever the routes say.
///
/// # Errors
/// `ENODEV` when there is no such interface here.
pub fn bind_to_interface(socket: &impl AsFd, name: &str) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::BindToDevice, &OsString::from(name))?)
}

/// Has the interface called `name` take what is sent to `group`, for as long as `socket` is open.
///
/// # Errors
/// `ENODEV` when there is no such interface here, `EADDRNOTAVAIL` when the group is one of IPv4 and
/// the interface has no IPv4 address.
pub fn join_group(socket: &UdpSocket, group: IpAddr, name: &str) -> io::Result<()> {
    match group {
        IpAddr::V4(group) => {
            let own = nix::ifaddrs::getifaddrs()?
                .filter(|entry| entry.interface_name == name)
                .find_map(|entry| Some(entry.address.as_ref()?.as_sockaddr_in()?.ip()))
                .ok_or_else(|| io::Error::from_raw_os_error(libc::EADDRNOTAVAIL))?;
            socket.join_multicast_v4(&group, &own)
        }
        IpAddr::V6(group) => socket.join_multicast_v6(&group, interface_index(name)?),
    }
}

/// The number of the interface called `name`.
///
/// # Errors
/// `ENODEV` when there is none in this network namespace.
pub fn interface_index(name: &str) -> io::Result<u32> {
    Ok(nix::net::if_::if_nametoindex(name)?)
}

/// Frames that the kernel has dropped when they left by the interface called `name`, since it was
/// made. At a veth pair this is where a frame goes that the other end's host is too busy to take;
/// its sender is not told. 0 when there is no such interface here.
#[must_use]
pub fn transmit_dropped(name: &str) -> u64 {
    /// Position behind the interface's name.
    const TRANSMIT_DROPPED: usize = 11;
    let table = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    let row = table.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
    row.and_then(|row| row.split_whitespace().nth(TRANSMIT_DROPPED)?.parse().ok()).unwrap_or(0)
}

/// Takes the interface called `name` up or down. At the other end of a veth pair this is the cable
/// plugged in or pulled.
///
/// # Errors
/// `ENODEV` when there is no such interface here, `EPERM` without `CAP_NET_ADMIN`.
pub fn set_interface_up(name: &str, up: bool) -> io::Result<()> {
    let kind = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Inet, SockType::Datagram, kind, None)?;
    // SAFETY: all-zero is a valid value of this plain C structure.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    // SAFETY: the descriptor is open; the kernel reads the name, which ends with a zero, and writes
    // the flags into `request`.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) };
    Errno::result(done)?;
    // SAFETY: the call before has filled in this member of the union.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    let flag = libc::c_short::try_from(libc::IFF_UP).unwrap_or(1);
    request.ifr_ifru.ifru_flags = if up { flags | flag } else { flags & !flag };
    // SAFETY: as for the call before; the kernel reads name and flags.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) };
    Errno::result(done)?;
    Ok(())
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
