//! The cyclic exchange: numbered requests on a fixed schedule, and the account of their answers.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags};
use rt_core::time::{Duration, Instant};
use serde::{Deserialize, Serialize};

use super::account::{Account, StreamReport};
use super::pace::{Pace, Punctuality};
use super::payload::{Kind, Payload};
use super::receive::{print_json, span, udp_socket};
use super::send::SendOptions;
use crate::os::clock;
use crate::os::wait::{EndSignals, wait};

/// What beyond [`SendOptions`] an exchange needs.
#[derive(Clone, Debug, clap::Args)]
pub struct PingOptions {
    /// Go on for this long after the last request.
    #[arg(long, default_value_t = 500)]
    pub grace_ms: u64,
    /// Print a line of JSON with the account so far every so often.
    #[arg(long, value_name = "MS")]
    pub progress_ms: Option<u64>,
}

/// What became of an exchange.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PingReport {
    /// True in progress lines, absent in the last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub progress: bool,
    /// Requests that the kernel took.
    pub sent: u64,
    /// Requests that the kernel refused (they count as lost too).
    pub send_failed: u64,
    /// The longest run of requests without a wait in between.
    pub burst_longest: u64,
    /// The most that a request was late.
    pub late_ns_max: u64,
    /// The answers; `latency` is the round trip, `corrupted` what was no intact answer.
    pub replies: StreamReport,
    /// Datagrams that were no intact answer of this exchange.
    pub foreign: u64,
}

/// Runs an exchange with an echo at `to`.
///
/// # Errors
/// The first refusal when no request at all could be sent; the system's when waiting fails.
pub fn ping(
    to: SocketAddr,
    from_port: u16,
    options: &SendOptions,
    more: &PingOptions,
) -> io::Result<PingReport> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => ([0, 0, 0, 0], from_port).into(),
        SocketAddr::V6(_) => ([0u16; 8], from_port).into(),
    };
    let socket = udp_socket(any)?;
    let signals = EndSignals::block()?;
    let start = clock::now();
    let pace = Pace::new(start, options.rate, options.burst);
    let stop = options.duration.map_or(Instant::FAR_FUTURE, |seconds| start + span(seconds));
    let count = options.count.unwrap_or(u64::MAX);
    let interval = more.progress_ms.map(Duration::from_millis);
    let mut progress_at = interval.map_or(Instant::FAR_FUTURE, |interval| start + interval);
    let mut ledger = Replies::default();
    let mut request = vec![0u8; options.size];
    let mut buffer = vec![0u8; 65_536];
    let mut number = 0;
    let mut waited = true;
    let mut end = None;
    loop {
        while let Ok(octets) = socket.recv(&mut buffer) {
            ledger.take(&buffer[..octets], options.stream, clock::now());
        }
        let now = clock::now();
        let due = pace.due(number);
        if end.is_none() && (number >= count || now >= stop || signals.came()) {
            end = Some(now + Duration::from_millis(more.grace_ms));
            let last = Payload { kind: Kind::End, stream: options.stream, number, sent_at: now };
            last.emit(&mut request);
            for _ in 0..options.end_markers {
                let _ = socket.send_to(&request, to);
            }
        }
        if end.is_none() && now >= due {
            let sent_at = now;
            Payload { kind: Kind::Request, stream: options.stream, number, sent_at }
                .emit(&mut request);
            ledger.requested(socket.send_to(&request, to).map(drop));
            ledger.punctuality.sent(due, now, waited);
            waited = false;
            number += 1;
            continue;
        }
        if now >= progress_at {
            print_json(&PingReport { progress: true, ..ledger.report(options.stream, number) })?;
            progress_at = now + interval.unwrap_or(Duration::MAX);
        }
        if end.is_some_and(|end| now >= end) {
            break;
        }
        let deadline = end.unwrap_or_else(|| due.min(stop)).min(progress_at);
        let mut descriptors = [
            PollFd::new(socket.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        wait(&mut descriptors, deadline)?;
        waited = true;
    }
    match ledger.first_refusal.take() {
        Some(error) if ledger.sent == 0 => Err(error),
        _ => Ok(ledger.report(options.stream, number)),
    }
}

/// The running account of an exchange.
#[derive(Debug, Default)]
struct Replies {
    account: Account,
    punctuality: Punctuality,
    sent: u64,
    send_failed: u64,
    first_refusal: Option<io::Error>,
    foreign: u64,
}

impl Replies {
    fn requested(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => self.sent += 1,
            Err(error) => {
                self.send_failed += 1;
                self.first_refusal.get_or_insert(error);
            }
        }
    }

    fn take(&mut self, datagram: &[u8], stream: u32, at: Instant) {
        match Payload::parse(datagram) {
            Ok(reply) if reply.kind == Kind::Reply && reply.stream == stream => {
                self.account.arrived(reply.number, reply.sent_at, at, None);
            }
            _ => self.foreign += 1,
        }
    }

    fn report(&self, stream: u32, numbers: u64) -> PingReport {
        PingReport {
            progress: false,
            sent: self.sent,
            send_failed: self.send_failed,
            burst_longest: self.punctuality.burst_longest,
            late_ns_max: self.punctuality.late_ns_max,
            replies: self.account.report(stream, Some(numbers)),
            foreign: self.foreign,
        }
    }
}
