//! Receivers: any number of numbered streams at once, from UDP sockets or from a packet tap.

use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags};
use rt_core::time::{Duration, Instant};

use super::account::{Ledger, LedgerReport};
use super::ethernet;
use super::payload::Kind;
use crate::os::clock;
use crate::os::net;
use crate::os::packet::{Inbox, Options, PacketSocket};
use crate::os::wait::{EndSignals, wait};

/// Wished size of the kernel's receive buffers.
pub const BUFFER_OCTETS: usize = 32 << 20;

/// When a receiver ends and what it tells meanwhile.
#[derive(Clone, Debug, clap::Args)]
pub struct ReceiveOptions {
    /// Account only for this stream; may be given several times.
    #[arg(long = "stream", value_name = "ID")]
    pub streams: Vec<u32>,
    /// Numbers that must come in each stream, whatever its end marker says.
    #[arg(long, value_name = "COUNT")]
    pub expect: Option<u64>,
    /// End when this many streams have ended (default: those given by --stream, or all seen).
    #[arg(long, value_name = "COUNT")]
    pub ends: Option<usize>,
    /// End after this many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<f64>,
    /// Go on for this long after the last stream's end marker.
    #[arg(long, default_value_t = 300)]
    pub grace_ms: u64,
    /// Print a line of JSON with the account so far every so often.
    #[arg(long, value_name = "MS")]
    pub progress_ms: Option<u64>,
    /// Print `ready` as a line of its own when receiving.
    #[arg(long)]
    pub announce: bool,
}

/// Which frames a packet tap counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum TapDirection {
    /// Those that come in.
    #[default]
    In,
    /// Those that this host sends.
    Out,
    /// All.
    Both,
}

/// Where payloads come from.
#[derive(Debug)]
pub enum Source {
    /// Datagrams.
    Udp(Vec<UdpSocket>),
    /// Frames.
    Tap(Box<Tap>),
}

/// A packet socket with what it needs.
#[derive(Debug)]
pub struct Tap {
    socket: PacketSocket,
    inbox: Inbox,
    direction: TapDirection,
}

impl Source {
    /// Listens at each of `addresses`, at `interface` alone if one is named. A group among the
    /// addresses is joined there.
    ///
    /// # Errors
    /// The system's, with the address. [`ErrorKind::InvalidInput`]: a group, but no interface.
    pub fn udp(addresses: &[SocketAddr], interface: Option<&str>) -> io::Result<Self> {
        let listen = |&address: &SocketAddr| {
            let socket = udp_socket_on(address, interface)?;
            if address.ip().is_multicast() {
                let Some(interface) = interface else {
                    let text = format!("{address} is a group: --interface must say where to join");
                    return Err(io::Error::new(ErrorKind::InvalidInput, text));
                };
                net::join_group(&socket, address.ip(), interface)
                    .map_err(|error| named(&format!("group {address} on {interface}"), &error))?;
            }
            Ok(socket)
        };
        addresses.iter().map(listen).collect::<Result<_, _>>().map(Self::Udp)
    }

    /// Taps `interface`: raw streams alone, or with `everything` also UDP streams in whatever tags
    /// the link carries.
    ///
    /// # Errors
    /// The system's, with the interface.
    pub fn tap(interface: &str, everything: bool, direction: TapDirection) -> io::Result<Self> {
        let filter = ethernet::raw_stream_filter().map(|(code, jt, jf, k)| libc::sock_filter {
            code,
            jt,
            jf,
            k,
        });
        let options = Options {
            promiscuous: everything,
            offload: false,
            outgoing: direction != TapDirection::In,
            buffer_octets: BUFFER_OCTETS,
            filter: if everything { &[] } else { &filter },
        };
        let socket = PacketSocket::open(interface, options)
            .map_err(|error| named(&format!("interface {interface}"), &error))?;
        Ok(Self::Tap(Box::new(Tap { socket, inbox: Inbox::default(), direction })))
    }

    fn descriptors(&self) -> Vec<PollFd<'_>> {
        match self {
            Self::Udp(sockets) => {
                sockets.iter().map(|s| PollFd::new(s.as_fd(), PollFlags::POLLIN)).collect()
            }
            Self::Tap(tap) => vec![PollFd::new(tap.socket.as_fd(), PollFlags::POLLIN)],
        }
    }

    /// Takes what waits, a bounded amount; true when there may be more.
    fn drain(&mut self, ledger: &mut Ledger, buffer: &mut [u8]) -> bool {
        const DATAGRAMS_MAX: usize = 256;
        match self {
            Self::Udp(sockets) => {
                let mut more = false;
                for socket in sockets {
                    let mut taken = 0;
                    while taken < DATAGRAMS_MAX {
                        let Ok(octets) = socket.recv(buffer) else { break };
                        ledger.take(&buffer[..octets], clock::now(), None);
                        taken += 1;
                    }
                    more |= taken == DATAGRAMS_MAX;
                }
                more
            }
            Self::Tap(tap) => tap.drain(ledger),
        }
    }

    fn kernel_dropped(&mut self) -> u64 {
        match self {
            Self::Udp(sockets) => sockets.iter().map(net::datagrams_dropped).sum(),
            Self::Tap(tap) => tap.socket.kernel_dropped(),
        }
    }
}

impl Tap {
    fn drain(&mut self, ledger: &mut Ledger) -> bool {
        if self.socket.receive(&mut self.inbox).is_err() {
            return false;
        }
        let at = clock::now();
        for index in 0..self.inbox.len() {
            let wanted = match self.direction {
                TapDirection::In => !self.inbox.outgoing(index),
                TapDirection::Out => self.inbox.outgoing(index),
                TapDirection::Both => true,
            };
            if !wanted {
                continue;
            }
            match ethernet::find(self.inbox.frame(index)) {
                Some(found) => {
                    ledger.take(found.payload, at, found.vlan_tci);
                }
                None => ledger.note_foreign(),
            }
        }
        !self.inbox.is_empty()
    }
}

/// A UDP socket at `address` that never blocks, with large buffers.
///
/// # Errors
/// The system's, with the address.
pub fn udp_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket =
        UdpSocket::bind(address).map_err(|error| named(&format!("address {address}"), &error))?;
    socket.set_nonblocking(true)?;
    net::enlarge_buffers(&socket, BUFFER_OCTETS);
    Ok(socket)
}

/// As [`udp_socket`], kept to `interface` if one is named.
///
/// # Errors
/// The system's, with the address or the interface.
pub fn udp_socket_on(address: SocketAddr, interface: Option<&str>) -> io::Result<UdpSocket> {
    let socket = udp_socket(address)?;
    if let Some(interface) = interface {
        net::bind_to_interface(&socket, interface)
            .map_err(|error| named(&format!("interface {interface}"), &error))?;
    }
    Ok(socket)
}

/// Receives until the streams have ended, the time is over or a signal comes.
///
/// # Errors
/// The system's, when waiting or printing fails.
pub fn receive(mut source: Source, options: &ReceiveOptions) -> io::Result<LedgerReport> {
    let signals = EndSignals::block()?;
    let mut ledger = Ledger::new(options.streams.clone());
    let mut buffer = vec![0u8; 65_536];
    let start = clock::now();
    let mut end = options.duration.map_or(Instant::FAR_FUTURE, |seconds| start + span(seconds));
    let mut ended = 0;
    let interval = options.progress_ms.map(Duration::from_millis);
    let mut progress_at = interval.map_or(Instant::FAR_FUTURE, |interval| start + interval);
    announce(options.announce)?;
    loop {
        while source.drain(&mut ledger, &mut buffer) {
            if clock::now() >= end.min(progress_at) {
                break;
            }
        }
        let now = clock::now();
        if ledger.ended() > ended {
            ended = ledger.ended();
            if ended >= options.ends.unwrap_or_else(|| options.streams.len().max(ledger.seen())) {
                end = end.min(now + Duration::from_millis(options.grace_ms));
            }
        }
        if now >= progress_at {
            let dropped = source.kernel_dropped();
            let report = LedgerReport { progress: true, ..ledger.report(options.expect, dropped) };
            print_json(&report)?;
            progress_at = now + interval.unwrap_or(Duration::MAX);
        }
        if now >= end || signals.came() {
            break;
        }
        let mut descriptors = source.descriptors();
        descriptors.push(PollFd::new(signals.as_fd(), PollFlags::POLLIN));
        wait(&mut descriptors, end.min(progress_at))?;
    }
    let dropped = source.kernel_dropped();
    Ok(ledger.report(options.expect, dropped))
}

/// Answers the requests that come to `socket` until a signal comes, and accounts for them.
///
/// # Errors
/// The system's, when waiting or printing fails.
pub fn echo(socket: &UdpSocket, options: &ReceiveOptions) -> io::Result<LedgerReport> {
    let signals = EndSignals::block()?;
    let mut ledger = Ledger::new(options.streams.clone());
    let mut buffer = vec![0u8; 65_536];
    let end = options.duration.map_or(Instant::FAR_FUTURE, |seconds| clock::now() + span(seconds));
    announce(options.announce)?;
    while clock::now() < end && !signals.came() {
        for _ in 0..256 {
            let Ok((octets, from)) = socket.recv_from(&mut buffer) else { break };
            let datagram = &mut buffer[..octets];
            let payload = ledger.take(datagram, clock::now(), None);
            if let Some(request) = payload.filter(|payload| payload.kind == Kind::Request) {
                super::payload::Payload { kind: Kind::Reply, ..request }.emit(datagram);
                // An answer that cannot be sent is one the asker will count as lost.
                let _ = socket.send_to(datagram, from);
            }
        }
        let mut descriptors = [
            PollFd::new(socket.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        wait(&mut descriptors, end)?;
    }
    Ok(ledger.report(options.expect, net::datagrams_dropped(socket)))
}

/// Prints `ready` when asked to.
///
/// # Errors
/// The system's, when nobody reads.
pub fn announce(wanted: bool) -> io::Result<()> {
    if !wanted {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    writeln!(out, "ready")?;
    out.flush()
}

/// Prints one line of JSON.
///
/// # Errors
/// The system's, when nobody reads.
pub fn print_json(value: &impl serde::Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    writeln!(out)?;
    out.flush()
}

/// A span from seconds; nothing for what is not a positive number.
#[must_use]
pub fn span(seconds: f64) -> Duration {
    let span = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
    Duration::from_nanos(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))
}

/// The same error with the thing it is about. The system's number is kept in the text only, so a
/// missing privilege is kept as a kind.
#[must_use]
pub fn named(thing: &str, error: &io::Error) -> io::Error {
    let kind = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => ErrorKind::PermissionDenied,
        _ => error.kind(),
    };
    io::Error::new(kind, format!("{thing}: {error}"))
}
