//! Senders of numbered streams, over UDP or as raw frames.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags};
use rt_core::time::{Duration, Instant};
use serde::{Deserialize, Serialize};

use super::ethernet::RawHeader;
use super::pace::{Pace, Punctuality};
use super::payload::{Kind, Payload};
use super::receive::{named, span};
use crate::os::clock;
use crate::os::packet::{Offload, Options, Outgoing, PacketSocket};
use crate::os::wait::{EndSignals, wait};

/// What is sent and when.
#[derive(Clone, Debug, clap::Args)]
pub struct SendOptions {
    /// Id of the stream.
    #[arg(long = "stream", value_name = "ID", default_value_t = 1)]
    pub stream: u32,
    /// Payloads in a second; 0: as fast as they go.
    #[arg(long, default_value_t = 1_000)]
    pub rate: u64,
    /// Payloads that are due together.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub burst: u64,
    /// End after so many.
    #[arg(long)]
    pub count: Option<u64>,
    /// End after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<f64>,
    /// UDP: octets of payload (32 to 65507). Raw: octets of the frame without check sequence and
    /// without VLAN tag (60 to 9000).
    #[arg(long, default_value_t = 64)]
    pub size: usize,
    /// How often the end of the stream is told, 20 ms apart.
    #[arg(long, default_value_t = 5)]
    pub end_markers: u32,
}

/// What was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SendReport {
    /// Id of the stream.
    pub stream: u32,
    /// Numbers used: 0 up to this, the failed ones included.
    pub numbers: u64,
    /// Payloads that the kernel took.
    pub sent: u64,
    /// Payloads that the kernel refused: a receiver misses these numbers.
    pub send_failed: u64,
    /// Octets of each, as `size`.
    pub size: usize,
    /// From the first to the last.
    pub duration_ns: u64,
    /// The longest run without a wait in between.
    pub burst_longest: u64,
    /// The most that one was late.
    pub late_ns_max: u64,
}

/// Where payloads go.
#[derive(Debug)]
pub enum Sink {
    /// As datagrams.
    Udp(UdpSocket, SocketAddr),
    /// In frames with this header.
    Raw(PacketSocket, RawHeader),
}

impl Sink {
    /// Datagrams to `to`, from `from_port` (0: any), by `interface` if one is named.
    ///
    /// # Errors
    /// The system's, with the port or the interface.
    pub fn udp(to: SocketAddr, from_port: u16, interface: Option<&str>) -> io::Result<Self> {
        let any: SocketAddr = match to {
            SocketAddr::V4(_) => ([0, 0, 0, 0], from_port).into(),
            SocketAddr::V6(_) => ([0u16; 8], from_port).into(),
        };
        Ok(Self::Udp(super::receive::udp_socket_on(any, interface)?, to))
    }

    /// Frames with `header` on `interface`.
    ///
    /// # Errors
    /// The system's, with the interface.
    pub fn raw(interface: &str, header: RawHeader) -> io::Result<Self> {
        let options = Options {
            promiscuous: false,
            offload: false,
            outgoing: false,
            buffer_octets: 4 << 20,
            // Nothing is to be received here.
            filter: &[libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: 0 }],
        };
        let socket = PacketSocket::open(interface, options)
            .map_err(|error| named(&format!("interface {interface}"), &error))?;
        Ok(Self::Raw(socket, header))
    }

    fn buffer(&self, size: usize) -> Vec<u8> {
        match self {
            Self::Udp(..) => vec![0; size],
            Self::Raw(_, header) => vec![0; size + header.octets() - 14],
        }
    }

    /// Sends one payload in `buffer`; waits a bounded time for room.
    fn send(&self, payload: &Payload, buffer: &mut [u8]) -> io::Result<()> {
        const WAITS_MAX: u32 = 10;
        match self {
            Self::Udp(..) => payload.emit(buffer),
            Self::Raw(_, header) => payload.emit(header.emit(buffer)),
        }
        for _ in 0..WAITS_MAX {
            let (result, descriptor) = match self {
                Self::Udp(socket, to) => (socket.send_to(buffer, to), socket.as_fd()),
                Self::Raw(socket, _) => {
                    let frame = Outgoing { offload: Offload::default(), octets: buffer };
                    (socket.send(&[frame]), socket.as_fd())
                }
            };
            match result {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let soon = clock::now() + Duration::from_millis(10);
                    wait(&mut [PollFd::new(descriptor, PollFlags::POLLOUT)], soon)?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::WouldBlock.into())
    }
}

/// Sends a stream. A payload that the kernel refuses is counted and the stream goes on: links go
/// down and come back, and that is what is being tested.
///
/// # Errors
/// The first refusal when nothing at all could be sent; the system's when waiting fails.
pub fn send(sink: &Sink, options: &SendOptions) -> io::Result<SendReport> {
    let signals = EndSignals::block()?;
    let mut buffer = sink.buffer(options.size);
    let start = clock::now();
    let end = options.duration.map_or(Instant::FAR_FUTURE, |seconds| start + span(seconds));
    let count = options.count.unwrap_or(u64::MAX);
    let pace = Pace::new(start, options.rate, options.burst);
    let mut punctuality = Punctuality::default();
    let mut first_refusal = None;
    let (mut number, mut sent) = (0, 0);
    let mut now = start;
    while number < count {
        let due = pace.due(number);
        let waited = due > now;
        if waited {
            if signals.sleep_until(due.min(end))? {
                break;
            }
            now = clock::now();
        } else if number % 64 == 0 && signals.came() {
            break;
        }
        if now >= end {
            break;
        }
        let payload = Payload { kind: Kind::Data, stream: options.stream, number, sent_at: now };
        match sink.send(&payload, &mut buffer) {
            Ok(()) => sent += 1,
            Err(error) => first_refusal = first_refusal.or(Some(error)),
        }
        punctuality.sent(due, now, waited);
        number += 1;
        now = clock::now();
    }
    let duration_ns = clock::now().since(start).as_nanos();
    for _ in 0..options.end_markers {
        let end =
            Payload { kind: Kind::End, stream: options.stream, number, sent_at: clock::now() };
        let _ = sink.send(&end, &mut buffer);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    if let Some(error) = first_refusal.filter(|_| sent == 0) {
        return Err(error);
    }
    Ok(SendReport {
        stream: options.stream,
        numbers: number,
        sent,
        send_failed: number - sent,
        size: options.size,
        duration_ns,
        burst_longest: punctuality.burst_longest,
        late_ns_max: punctuality.late_ns_max,
    })
}
