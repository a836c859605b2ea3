//! A bulk transfer over TCP, checked by a hash over the whole content: cross traffic that would
//! notice if a fault or a redundancy layer ever changed, lost or doubled a byte.
//!
//! On the wire: chunks, each a 32-bit length and that many octets; a chunk of length 0 ends them,
//! followed by hash and octet count (64 bits each, big-endian). The receiver answers with its own
//! hash and count.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use rt_core::time::{Duration, Instant};
use serde::{Deserialize, Serialize};

use super::pace::Pace;
use super::payload::check_value;
use super::receive::{announce, named, span};
use crate::impair::random::advance;
use crate::os::clock;
use crate::os::wait::EndSignals;

const CHUNK_OCTETS: usize = 32_768;
/// How long a call may block before signals and the time are looked at.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(100);

/// A transfer as one side saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct BulkReport {
    /// Octets of content.
    pub octets: u64,
    /// From the first octet to the verdict.
    pub duration_ns: u64,
    /// Octets in a second.
    pub octets_per_second: u64,
    /// Whether both sides have the same hash and count.
    pub intact: bool,
    /// Longest time without progress.
    pub longest_stall_us: u64,
}

/// What is sent.
#[derive(Clone, Debug, clap::Args)]
pub struct BulkSendOptions {
    /// Where a `bulk recv` listens.
    #[arg(long)]
    pub to: SocketAddr,
    /// End after so many octets.
    #[arg(long)]
    pub octets: Option<u64>,
    /// End after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<f64>,
    /// Send no faster than this (0: as fast as it goes).
    #[arg(long, default_value_t = 0)]
    pub octets_per_second: u64,
    /// Give up when nothing moves for so many seconds.
    #[arg(long, default_value_t = 30.0)]
    pub give_up: f64,
}

/// One side's state: hash, count, time of the last progress.
#[derive(Debug)]
struct Side<'a> {
    stream: TcpStream,
    signals: &'a EndSignals,
    give_up: Duration,
    start: Instant,
    moved_at: Instant,
    stall_longest: Duration,
    hash: u64,
    octets: u64,
}

impl<'a> Side<'a> {
    fn new(stream: TcpStream, signals: &'a EndSignals, give_up: f64) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let start = clock::now();
        Ok(Self {
            stream,
            signals,
            give_up: span(give_up),
            start,
            moved_at: start,
            stall_longest: Duration::ZERO,
            hash: 0,
            octets: 0,
        })
    }

    /// Notes progress, or judges its absence.
    fn progress(&mut self, result: io::Result<usize>) -> io::Result<usize> {
        let now = clock::now();
        let silent = now.since(self.moved_at);
        self.stall_longest = self.stall_longest.max(silent);
        match result {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(octets) => {
                self.moved_at = now;
                Ok(octets)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if self.signals.came() {
                    return Err(ErrorKind::Interrupted.into());
                }
                if silent > self.give_up {
                    return Err(io::Error::new(ErrorKind::TimedOut, "nothing moves any more"));
                }
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, mut octets: &[u8]) -> io::Result<()> {
        while !octets.is_empty() {
            let result = self.stream.write(octets);
            octets = &octets[self.progress(result)?..];
        }
        Ok(())
    }

    fn read(&mut self, octets: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < octets.len() {
            let result = self.stream.read(&mut octets[filled..]);
            filled += self.progress(result)?;
        }
        Ok(())
    }

    fn add(&mut self, content: &[u8]) {
        self.hash = advance(self.hash ^ check_value(content));
        self.octets += u64::try_from(content.len()).unwrap_or(0);
    }

    fn verdict(&self) -> [u8; 16] {
        (u128::from(self.hash) << 64 | u128::from(self.octets)).to_be_bytes()
    }

    fn report(&self, intact: bool) -> BulkReport {
        let duration_ns = clock::now().since(self.start).as_nanos();
        let rate = u128::from(self.octets) * 1_000_000_000 / u128::from(duration_ns.max(1));
        BulkReport {
            octets: self.octets,
            duration_ns,
            octets_per_second: u64::try_from(rate).unwrap_or(u64::MAX),
            intact,
            longest_stall_us: self.stall_longest.as_micros(),
        }
    }
}

/// Sends until the asked amount or time is over, or a signal comes, and waits for the verdict.
///
/// # Errors
/// The system's: no connection, broken, nothing moved for too long.
pub fn send(options: &BulkSendOptions) -> io::Result<BulkReport> {
    let signals = EndSignals::block()?;
    let connect = std::time::Duration::from_secs(10);
    let stream = TcpStream::connect_timeout(&options.to, connect)
        .map_err(|error| named(&format!("address {}", options.to), &error))?;
    let mut side = Side::new(stream, &signals, options.give_up)?;
    let total = options.octets.unwrap_or(u64::MAX);
    let end = options.duration.map_or(Instant::FAR_FUTURE, |seconds| side.start + span(seconds));
    let pace = Pace::new(side.start, options.octets_per_second, 1);
    let mut chunk = vec![0u8; 4 + CHUNK_OCTETS];
    let mut word = side.start.as_nanos();
    while side.octets < total && clock::now() < end && !signals.came() {
        if options.octets_per_second > 0 && signals.sleep_until(pace.due(side.octets).min(end))? {
            break;
        }
        let rest = usize::try_from(total - side.octets).unwrap_or(usize::MAX);
        let octets = rest.min(CHUNK_OCTETS);
        for part in chunk[4..].chunks_exact_mut(8) {
            word = advance(word);
            part.copy_from_slice(&word.to_be_bytes());
        }
        chunk[..4].copy_from_slice(&u32::try_from(octets).unwrap_or(0).to_be_bytes());
        side.add(&chunk[4..4 + octets]);
        side.write(&chunk[..4 + octets])?;
    }
    side.write(&[0; 4])?;
    let mine = side.verdict();
    side.write(&mine)?;
    let mut theirs = [0u8; 16];
    side.read(&mut theirs)?;
    Ok(side.report(theirs == mine))
}

/// Takes one transfer at `listen`; `None` when a signal came before anybody connected.
///
/// # Errors
/// The system's: address taken, connection broken, nothing moved for too long.
pub fn receive(listen: SocketAddr, give_up: f64, ready: bool) -> io::Result<Option<BulkReport>> {
    let signals = EndSignals::block()?;
    let listener =
        TcpListener::bind(listen).map_err(|error| named(&format!("address {listen}"), &error))?;
    listener.set_nonblocking(true)?;
    announce(ready)?;
    let stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if signals.sleep_until(clock::now() + Duration::from_millis(10))? {
                    return Ok(None);
                }
            }
            Err(error) => return Err(error),
        }
    };
    stream.set_nonblocking(false)?;
    let mut side = Side::new(stream, &signals, give_up)?;
    let mut chunk = vec![0u8; CHUNK_OCTETS];
    loop {
        let mut header = [0u8; 4];
        side.read(&mut header)?;
        let octets = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
        if octets == 0 {
            break;
        }
        let Some(content) = chunk.get_mut(..octets) else {
            return Err(io::Error::new(ErrorKind::InvalidData, "chunk longer than any sender's"));
        };
        side.read(content)?;
        side.add(content);
    }
    let mut theirs = [0u8; 16];
    side.read(&mut theirs)?;
    let mine = side.verdict();
    side.write(&mine)?;
    Ok(Some(side.report(mine == theirs)))
}
