//! `bumpless-stream`: numbered traffic and the exact account of what arrived.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::{self, ScopedJoinHandle};

use clap::{Args, Parser, Subcommand};
use latency_tests::os::net;
use latency_tests::os::wait::EndSignals;
use latency_tests::stream::account::{LedgerReport, STREAMS_MAX, StreamReport};
use latency_tests::stream::bulk::{self, BulkReport, BulkSendOptions};
use latency_tests::stream::ethernet::{FRAME_OCTETS_MIN, RawHeader};
use latency_tests::stream::exchange::{PingOptions, ping};
use latency_tests::stream::payload::{HEADER_OCTETS, PAYLOAD_OCTETS_MAX};
use latency_tests::stream::receive::{
    ReceiveOptions, Source, TapDirection, echo, named, print_json, receive, udp_socket,
};
use latency_tests::stream::send::{SendOptions, SendReport, Sink, send};

/// Sends numbered streams and accounts exactly for what arrived: lost, twice, reordered, corrupted,
/// longest gap, latency.
///
/// JSON on stdout (its last line), one line for people on stderr. Exit: 0 fine, 1 a threshold
/// exceeded or failed at run time, 2 bad arguments, 3 no CAP_NET_RAW. SIGTERM and SIGINT end it
/// with its report.
#[derive(Parser, Debug)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Send a stream.
    #[command(subcommand)]
    Send(Send),
    /// Send several streams at once, from one process. A signal ends one of them only: give each a
    /// count or a duration.
    Several {
        /// A file with the arguments of one `send` in each line; empty lines do not count.
        file: PathBuf,
    },
    /// Receive streams.
    #[command(subcommand)]
    Recv(Receive),
    /// Answer the requests of `ping`.
    Echo {
        /// Where to listen.
        #[arg(long)]
        listen: SocketAddr,
        #[command(flatten)]
        options: ReceiveOptions,
        #[command(flatten)]
        thresholds: Thresholds,
    },
    /// A cyclic exchange with an `echo`.
    Ping {
        /// Where the echo listens.
        #[arg(long)]
        to: SocketAddr,
        /// Local port (0: any).
        #[arg(long, default_value_t = 0)]
        from_port: u16,
        #[command(flatten)]
        options: SendOptions,
        #[command(flatten)]
        more: PingOptions,
        #[command(flatten)]
        thresholds: Thresholds,
    },
    /// Count the streams that a packet tap sees on an interface, raw and UDP, behind VLAN and HSR
    /// tags.
    Capture {
        /// Where to tap.
        #[arg(long)]
        interface: String,
        /// Which frames.
        #[arg(long, value_enum, default_value_t)]
        direction: TapDirection,
        #[command(flatten)]
        options: ReceiveOptions,
        #[command(flatten)]
        thresholds: Thresholds,
    },
    /// A transfer over TCP, checked by a hash.
    #[command(subcommand)]
    Bulk(Bulk),
}

/// A line of the file of `several`.
#[derive(Parser, Debug)]
#[command(no_binary_name = true)]
struct Line {
    #[command(subcommand)]
    send: Send,
}

#[derive(Subcommand, Debug)]
enum Send {
    /// As UDP datagrams.
    Udp {
        /// Destination.
        #[arg(long)]
        to: SocketAddr,
        /// Local port (0: any).
        #[arg(long, default_value_t = 0)]
        from_port: u16,
        /// Where they leave, whatever the routes say; for a group.
        #[arg(long)]
        interface: Option<String>,
        #[command(flatten)]
        options: SendOptions,
    },
    /// As raw frames with EtherType 0x88B5.
    Raw {
        /// Where they leave.
        #[arg(long)]
        interface: String,
        /// Destination address, unicast or multicast.
        #[arg(long, value_parser = mac)]
        destination: [u8; 6],
        /// Source address (default: the interface's).
        #[arg(long, value_parser = mac)]
        source: Option<[u8; 6]>,
        /// VLAN id of an 802.1Q tag.
        #[arg(long, value_parser = clap::value_parser!(u16).range(0..4095))]
        vlan: Option<u16>,
        /// Priority in the tag.
        #[arg(long, default_value_t = 0, requires = "vlan")]
        #[arg(value_parser = clap::value_parser!(u16).range(0..8))]
        pcp: u16,
        #[command(flatten)]
        options: SendOptions,
    },
}

#[derive(Subcommand, Debug)]
enum Receive {
    /// UDP datagrams.
    Udp {
        /// Where to listen; may be given several times. A group is joined on --interface.
        #[arg(long, required = true)]
        listen: Vec<SocketAddr>,
        /// The one interface where they come in.
        #[arg(long)]
        interface: Option<String>,
        #[command(flatten)]
        options: ReceiveOptions,
        #[command(flatten)]
        thresholds: Thresholds,
    },
    /// Raw frames with EtherType 0x88B5.
    Raw {
        /// Where they come in.
        #[arg(long)]
        interface: String,
        #[command(flatten)]
        options: ReceiveOptions,
        #[command(flatten)]
        thresholds: Thresholds,
    },
}

#[derive(Subcommand, Debug)]
enum Bulk {
    /// Send.
    Send(BulkSendOptions),
    /// Receive one transfer.
    Recv {
        /// Where to listen.
        #[arg(long)]
        listen: SocketAddr,
        /// Give up when nothing moves for so many seconds.
        #[arg(long, default_value_t = 30.0)]
        give_up: f64,
        /// Print `ready` as a line of its own when listening.
        #[arg(long)]
        announce: bool,
    },
}

/// What is too much, per stream.
#[derive(Args, Debug)]
struct Thresholds {
    /// Exit with 1 when more numbers are lost in a stream, or no stream came.
    #[arg(long, value_name = "COUNT")]
    max_lost: Option<u64>,
    /// Exit with 1 when more numbers came twice or more often in a stream.
    #[arg(long, value_name = "COUNT")]
    max_twice: Option<u64>,
    /// Exit with 1 when more payloads of a stream were corrupted.
    #[arg(long, value_name = "COUNT")]
    max_corrupted: Option<u64>,
}

impl Thresholds {
    fn hold(&self, streams: &[StreamReport]) -> bool {
        let within = |most: Option<u64>, value: u64| most.is_none_or(|most| value <= most);
        streams.iter().all(|stream| {
            within(self.max_lost, stream.lost)
                && within(self.max_twice, stream.twice + stream.more)
                && within(self.max_corrupted, stream.corrupted)
        }) && (self.max_lost.is_none() || !streams.is_empty())
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bumpless-stream: {error}");
            ExitCode::from(match error.kind() {
                ErrorKind::InvalidInput => 2,
                ErrorKind::PermissionDenied => {
                    eprintln!("bumpless-stream: run as root or with CAP_NET_RAW");
                    3
                }
                _ => 1,
            })
        }
    }
}

/// Whether all thresholds held.
fn run(command: Command) -> io::Result<bool> {
    match command {
        Command::Send(what) => {
            let (sink, options) = sink_of(what)?;
            tell_sent(&send(&sink, &options)?)
        }
        Command::Several { file } => several(&file),
        Command::Recv(Receive::Udp { listen, interface, options, thresholds }) => {
            let source = Source::udp(&listen, interface.as_deref())?;
            tell(&receive(source, &options)?, &thresholds)
        }
        Command::Recv(Receive::Raw { interface, options, thresholds }) => {
            let source = Source::tap(&interface, false, TapDirection::In)?;
            tell(&receive(source, &options)?, &thresholds)
        }
        Command::Capture { interface, direction, options, thresholds } => {
            let source = Source::tap(&interface, true, direction)?;
            tell(&receive(source, &options)?, &thresholds)
        }
        Command::Echo { listen, options, thresholds } => {
            tell(&echo(&udp_socket(listen)?, &options)?, &thresholds)
        }
        Command::Ping { to, from_port, options, more, thresholds } => {
            check_size(options.size, HEADER_OCTETS, PAYLOAD_OCTETS_MAX)?;
            let report = ping(to, from_port, &options, &more)?;
            print_json(&report)?;
            eprintln!("sent {}, {}", report.sent, sentence(&report.replies));
            Ok(thresholds.hold(std::slice::from_ref(&report.replies)))
        }
        Command::Bulk(Bulk::Send(options)) => tell_bulk(&bulk::send(&options)?),
        Command::Bulk(Bulk::Recv { listen, give_up, announce }) => {
            bulk::receive(listen, give_up, announce)?.map_or(Ok(true), |report| tell_bulk(&report))
        }
    }
}

fn check_size(size: usize, least: usize, most: usize) -> io::Result<()> {
    if (least..=most).contains(&size) {
        return Ok(());
    }
    let text = format!("--size {size}: must lie between {least} and {most}");
    Err(io::Error::new(ErrorKind::InvalidInput, text))
}

/// Where a stream goes, opened, and what it is.
fn sink_of(what: Send) -> io::Result<(Sink, SendOptions)> {
    match what {
        Send::Udp { to, from_port, interface, options } => {
            check_size(options.size, HEADER_OCTETS, PAYLOAD_OCTETS_MAX)?;
            Ok((Sink::udp(to, from_port, interface.as_deref())?, options))
        }
        Send::Raw { interface, destination, source, vlan, pcp, options } => {
            check_size(options.size, FRAME_OCTETS_MIN, 9_000)?;
            let own = || {
                net::interface_mac(&interface).map_err(|error| {
                    io::Error::new(error.kind(), format!("interface {interface}: {error}"))
                })
            };
            let source = source.map_or_else(own, Ok)?;
            let vlan_tci = vlan.map(|id| pcp << 13 | id);
            let header = RawHeader { destination, source, vlan_tci };
            Ok((Sink::raw(&interface, header)?, options))
        }
    }
}

/// Sends the streams that stand in `file`, each on a thread of its own, none before all are open.
/// One line of JSON for each, in the file's order.
fn several(file: &Path) -> io::Result<bool> {
    let invalid = |text: String| io::Error::new(ErrorKind::InvalidInput, text);
    let text = std::fs::read_to_string(file).map_err(|e| named(&file.display().to_string(), &e))?;
    let mut streams = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if streams.len() == STREAMS_MAX {
            return Err(invalid(format!("more than {STREAMS_MAX} streams")));
        }
        let line = Line::try_parse_from(line.split_whitespace());
        streams.push(sink_of(line.map_err(|error| invalid(error.to_string()))?.send)?);
    }
    // Blocked here once for all threads: no signal ends the process before its reports.
    let _signals = EndSignals::block()?;
    let reports: Vec<_> = thread::scope(|scope| {
        let start = |(sink, options)| scope.spawn(move || send(sink, options));
        let threads: Vec<_> =
            streams.iter().map(|(sink, options)| (sink, options)).map(start).collect();
        threads.into_iter().map(ScopedJoinHandle::join).collect()
    });
    for report in reports {
        let report = report.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        tell_sent(&report)?;
    }
    Ok(true)
}

fn tell_sent(report: &SendReport) -> io::Result<bool> {
    print_json(report)?;
    eprintln!(
        "stream {}: sent {}, refused {}, longest burst {}, at most {} µs late",
        report.stream,
        report.sent,
        report.send_failed,
        report.burst_longest,
        report.late_ns_max / 1_000
    );
    Ok(true)
}

fn tell(report: &LedgerReport, thresholds: &Thresholds) -> io::Result<bool> {
    print_json(report)?;
    for stream in &report.streams {
        eprintln!("stream {}: {}", stream.stream, sentence(stream));
    }
    if report.streams.is_empty() {
        eprintln!("no stream came");
    }
    Ok(thresholds.hold(&report.streams))
}

fn sentence(stream: &StreamReport) -> String {
    format!(
        "{} of {} arrived, lost {}, twice {}, more {}, reordered {}, corrupted {}, \
         longest gap {} µs, p50 {} µs, p99 {} µs, max {} µs",
        stream.distinct,
        stream.expected,
        stream.lost,
        stream.twice,
        stream.more,
        stream.reordered,
        stream.corrupted,
        stream.longest_gap_us,
        stream.latency.p50_ns / 1_000,
        stream.latency.p99_ns / 1_000,
        stream.latency.max_ns / 1_000
    )
}

fn tell_bulk(report: &BulkReport) -> io::Result<bool> {
    print_json(report)?;
    eprintln!(
        "{} octets, {} octets/s, {}, longest stall {} µs",
        report.octets,
        report.octets_per_second,
        if report.intact { "intact" } else { "NOT intact" },
        report.longest_stall_us
    );
    Ok(report.intact)
}

fn mac(text: &str) -> Result<[u8; 6], String> {
    let wrong = || format!("{text} is not a MAC address (as in 02:00:5e:10:00:01)");
    let mut octets = [0u8; 6];
    let mut parts = text.split(':');
    for octet in &mut octets {
        let part = parts.next().filter(|part| part.len() == 2).ok_or_else(wrong)?;
        *octet = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
    }
    if parts.next().is_some() { Err(wrong()) } else { Ok(octets) }
}
