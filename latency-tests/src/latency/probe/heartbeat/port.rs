//! The socket of the probe on a LAN, and why there is none.

use std::io;

use nix::errno::Errno;
use prp::os::link::{LinkError, Links};
use rt_core::probe_frame::{ETHERTYPE, MAGIC, ProbeFrame, SUBTYPE};
use tools::exit::Failure;

use crate::os::stamped::{Arrival, Heard, StampedSocket, Toward};

/// How many frames are looked at before something else has its turn.
pub(super) const BUDGET: usize = 64;
/// The longest frame that is looked at, and what a trailer may add to it.
const BUFFER_OCTETS: usize = 1_600;

/// A frame's octets.
pub(super) type Buffer = [u8; BUFFER_OCTETS];

/// An empty one.
pub(super) const EMPTY: Buffer = [0; BUFFER_OCTETS];

/// Opens the socket on `interface`, which `option` named, in the caller's network namespace.
///
/// # Errors
/// Usage (no such interface, none for Ethernet), a missing privilege, an interface that is down.
pub(super) fn open(option: &str, interface: &str) -> Result<StampedSocket, Failure> {
    look_at(option, interface)?;
    let opened = StampedSocket::open(interface, Heard::Incoming, &filter());
    let socket = opened.map_err(|error| refusal(option, interface, &error))?;
    socket.send_first();
    Ok(socket)
}

/// Refuses one interface for both LANs: each frame would be counted for two, and a host that is on
/// one network would pass for one that is on both.
pub(super) fn of_each(a: Option<&String>, b: Option<&String>) -> Result<(), Failure> {
    match (a, b) {
        (Some(a), Some(b)) if a == b => Err(Failure::usage(
            format!("--lan-b: {b} is LAN A already"),
            "name the network card of LAN B, or only one of them",
        )),
        _ => Ok(()),
    }
}

/// Refuses what no frame can leave by.
pub(in super::super) fn look_at(option: &str, interface: &str) -> Result<(), Failure> {
    let link = Links::open().and_then(|mut links| links.by_name(interface)).map_err(
        |error: LinkError| {
            let error = io::Error::from_raw_os_error(error.errno());
            refusal(option, interface, &error)
        },
    )?;
    if !link.ethernet || link.loopback {
        let what = format!("{option}: {interface} carries no Ethernet frames");
        return Err(Failure::usage(what, "name the network card of that LAN"));
    }
    if !link.running {
        let what = format!("{option}: {interface} is down, or has no carrier");
        return Err(Failure::failed(what, "set it up, or see to its cable"));
    }
    Ok(())
}

/// Why a packet socket cannot be had.
pub(in super::super) fn refusal(option: &str, interface: &str, error: &io::Error) -> Failure {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENODEV | Errno::ENXIO) => Failure::usage(
            format!("{option}: there is no interface {interface} here"),
            "`ip link` lists them",
        ),
        Some(Errno::EPERM | Errno::EACCES) => Failure::missing(
            format!("{option}: no permission for a raw socket on {interface} (CAP_NET_RAW)"),
            "run as root, or grant it",
        ),
        _ => Failure::failed(format!("{option}: {interface}: {error}"), ""),
    }
}

/// Classic BPF that lets pass what claims to be a frame of the probe.
fn filter() -> [libc::sock_filter; 8] {
    const LOAD_WORD: u16 = 0x20;
    const LOAD_HALF: u16 = 0x28;
    const LOAD_OCTET: u16 = 0x30;
    const JUMP_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    [
        (LOAD_HALF, 0, 0, 12),
        (JUMP_EQUAL, 0, 5, u32::from(ETHERTYPE)),
        (LOAD_WORD, 0, 0, 14),
        (JUMP_EQUAL, 0, 3, u32::from_be_bytes(MAGIC)),
        (LOAD_OCTET, 0, 0, 19),
        (JUMP_EQUAL, 0, 1, u32::from(SUBTYPE)),
        (RETURN, 0, 0, 0x4_0000),
        (RETURN, 0, 0, 0),
    ]
    .map(|(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k })
}

/// What became of a look for a frame.
#[derive(Clone, Copy, Debug)]
pub(super) enum Look {
    /// None waits.
    Nothing,
    /// A frame of the probe, for us or for all.
    Frame(ProbeFrame, Arrival),
    /// A frame that was not taken.
    Refused,
    /// One for another station.
    NotForUs,
    /// The interface is down or gone.
    Down,
}

/// Takes a frame that waits. Real-time class: one system call that never blocks.
pub(super) fn take(socket: &StampedSocket, buffer: &mut Buffer) -> Look {
    let arrival = match socket.receive(buffer) {
        Ok(Some(arrival)) => arrival,
        Ok(None) => return Look::Nothing,
        Err(_) => return Look::Down,
    };
    if !matches!(arrival.toward, Toward::Us | Toward::Many) {
        return Look::NotForUs;
    }
    match ProbeFrame::parse(buffer.get(..arrival.octets).unwrap_or_default()) {
        Ok(frame) => Look::Frame(frame, arrival),
        Err(_) => Look::Refused,
    }
}
