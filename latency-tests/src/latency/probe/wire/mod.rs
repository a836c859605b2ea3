//! How long a frame takes through host port, tag, LANs, discard and host port, and back, by stage.
//!
//! Echo requests (ICMP) leave by the daemon's host interface; any peer answers them. Taps on that
//! interface and on both LANs see each of them leave and its answer come, with or without the
//! trailer, and the kernel says when.
//!
//! | Series | From | To |
//! |---|---|---|
//! | `sent` | planned instant | the program sends |
//! | `host out` | the program sends | host interface, out |
//! | `tag` | host interface, out | first LAN, out |
//! | `lan a`, `lan b` | that LAN, out | the answer on that LAN, in: the wire and the far end |
//! | `discard` | first LAN, in | host interface, in |
//! | `host in` | host interface, in | the program has it |
//! | `round trip` | the program sends | the program has it |
//!
//! The stages add up to the round trip but for the time between the sending on one LAN and the
//! other, where the second one's answer came first. A stage of which an end was not seen is `lost`
//! in its series. Frames that a daemon sends or receives by AF_XDP pass no tap, and the run says
//! so: where it sends so, `tag, lan a` and `tag, lan b` begin at the host interface; where it
//! receives so, `lans` stands for all between the host interface's two.
//!
//! Taps take nothing away and wake nobody: a filter in the kernel keeps all but these echoes out,
//! and what they saw is taken when an answer has come.
//!
//! | Module | Holds |
//! |---|---|
//! | `echo` | the frames, and how they are known |
//! | `stages` | a round trip split by stage |
//! | `walk` | the thread that sends, and puts together |
//! | `alone` | a network with daemons of its own |

mod alone;
mod echo;
mod stages;
mod walk;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use clap::Args;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, connect, recv,
    send, socket,
};
use rt_core::os::clock::MonotonicClock;
use rt_core::os::memory;
use rt_core::time::Duration;
use tools::config::RUNTIME_ROOT;
use tools::control::client::ask;
use tools::control::instance::{Selection, select};
use tools::control::protocol::Request;
use tools::exit::Failure;
use tools::report::{Document, Port, Status};

use self::alone::Alone;
use self::echo::{ECHO_OCTETS_MAX, Echo, Echoes, Family, MARK_OCTETS};
use self::stages::{Sight, Stage};
use self::walk::{Place, Steering, Tap, Told, Walked, Walker};
use super::super::report::{Measure, Series};
use super::heartbeat::port::{look_at, refusal};
use super::heartbeat::{flights, recorder};
use super::steering::Steered;
use super::{Asked, Probing, Progress};
use crate::os::net::bind_to_interface;
use crate::os::stamped::{Heard, StampedSocket, Toward};
use crate::os::wait::wait;

const OCTETS: RangeInclusive<i64> = 24..=1_452;
const _: () = assert!(MARK_OCTETS == 24 && ECHO_OCTETS_MAX == 1_452);
const OCTETS_DEFAULT: u16 = 56;
const WAIT_MS_DEFAULT: u64 = 100;

/// Which way is measured. Without a peer it measures in a network with daemons of its own.
#[derive(Args, Clone, PartialEq, Eq, Debug)]
#[command(next_help_heading = "Wire")]
pub struct WireOptions {
    /// Who answers: an IP address behind the host interface [default: a network of its own, with a
    /// daemon on each of two hosts]
    #[arg(long, value_name = "ADDRESS")]
    pub peer: Option<IpAddr>,

    /// The daemon's host interface [default: that of the only daemon that runs]
    #[arg(long, value_name = "IF", requires = "peer")]
    pub interface: Option<String>,

    /// The runtime folder of the daemon, which says what its interfaces are
    #[arg(long, value_name = "DIR", requires = "peer")]
    pub runtime_dir: Option<PathBuf>,

    /// The network interface on LAN A [default: the daemon says]
    #[arg(long, value_name = "IF", requires_all = ["peer", "interface", "lan_b"])]
    pub lan_a: Option<String>,

    /// The network interface on LAN B [default: the daemon says]
    #[arg(long, value_name = "IF", requires_all = ["peer", "interface", "lan_a"])]
    pub lan_b: Option<String>,

    /// Octets behind the ICMP header
    #[arg(long, value_name = "NUM", default_value_t = OCTETS_DEFAULT)]
    #[arg(value_parser = clap::value_parser!(u16).range(OCTETS))]
    pub octets: u16,

    /// How long an answer is waited for, in ms; what comes later is lost
    #[arg(long, value_name = "MS", default_value_t = WAIT_MS_DEFAULT)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub wait: u64,
}

impl Default for WireOptions {
    fn default() -> Self {
        Self {
            peer: None,
            interface: None,
            runtime_dir: None,
            lan_a: None,
            lan_b: None,
            octets: OCTETS_DEFAULT,
            wait: WAIT_MS_DEFAULT,
        }
    }
}

/// A run that goes on.
#[derive(Debug)]
pub struct Wire {
    steered: Steered<Walked, Told>,
    more: BTreeMap<String, String>,
    /// Until the thread is done: fields are dropped in their order.
    _alone: Option<Alone>,
}

/// Starts the probe, in the caller's network namespace. The memory is the caller's to lock. It has
/// one thread, on the first processor that was asked for. Thread: one that lives as long as the
/// run, for the daemons of a network of its own end with it.
///
/// # Errors
/// Usage; what is missing; no daemon; nobody answers.
pub fn start(asked: &Asked, options: &WireOptions) -> Result<Box<dyn Probing>, Failure> {
    Ok(Box::new(Wire::start(asked, options)?))
}

/// The interfaces that a frame passes.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Way {
    host: String,
    lans: [String; 2],
    /// What of the LANs can be watched.
    sight: Sight,
    /// Whether the daemon told so; else it has to be tried.
    is_told: bool,
    /// Why not all.
    hidden: Option<String>,
}

/// What an echo is sent and followed by.
#[derive(Debug)]
struct Opened {
    socket: OwnedFd,
    taps: Vec<Tap>,
    sight: Sight,
}

impl Wire {
    /// As [`start`].
    ///
    /// # Errors
    /// As [`start`].
    pub fn start(asked: &Asked, options: &WireOptions) -> Result<Self, Failure> {
        let flights = flights(options.wait, asked.interval)?;
        let cpu = asked.cpus.first().copied();
        let cpu = cpu.ok_or_else(|| Failure::usage("no processor to measure on", "name one"))?;
        let (alone, peer) = match options.peer {
            Some(peer) => (None, peer),
            None => {
                let alone = alone::build()?;
                let peer = alone.peer();
                (Some(alone), peer)
            }
        };
        let mut way = way(options, alone.as_ref())?;
        let family = if peer.is_ipv4() { Family::V4 } else { Family::V6 };
        let echoes = Echoes { family, run: RandomState::new().build_hasher().finish() };
        let octets = usize::from(options.octets);
        let open = || open(&way, peer, echoes, octets);
        let Opened { socket, taps, sight } = match &alone {
            None => open()?,
            Some(alone) => {
                let inside = alone.namespace()?.run(open);
                inside.map_err(|it| Failure::failed(it.to_string(), ""))??
            }
        };
        way.see(sight);
        let steering = Steering::new()?;
        let all = way.sight.stages().iter();
        let stages: Result<_, Failure> = all.map(|stage| Ok((*stage, recorder(asked)?))).collect();
        let walker = Walker {
            socket,
            taps,
            echoes,
            octets,
            span: asked.interval.saturating_mul(asked.cycles),
            lateness: recorder(asked)?,
            stages: stages?,
            sight: way.sight,
            flights,
            steering: Arc::clone(&steering),
        };
        // Daemons of our own were started by a fork.
        memory::unshare_after_fork();
        let steered = Steered::start("wire", asked, cpu, steering, move || walker.run())?;
        let more = settings(options, &way, peer, alone.is_some());
        Ok(Self { steered, more, _alone: alone })
    }
}

impl Way {
    /// Takes what was found by trying.
    fn see(&mut self, sight: Sight) {
        let hidden = match sight {
            _ if self.is_told => return,
            Sight::Full => None,
            Sight::Incoming => Some("no echo was seen to leave by the LANs (by AF_XDP?)"),
            Sight::None => Some("no echo was seen on the LANs (by AF_XDP, or are these others?)"),
        };
        self.sight = sight;
        self.hidden = hidden.map(str::to_owned);
    }
}

impl Probing for Wire {
    fn progress(&self) -> Progress {
        self.steered.progress()
    }

    fn is_over(&self) -> bool {
        self.steered.is_over()
    }

    fn stop(&self) {
        self.steered.stop();
    }

    fn more(&self) -> BTreeMap<String, String> {
        let Told { not_sent, too_late, stepped, inconsistent, dropped, .. } = self.steered.told();
        let all = [
            ("echoes not sent", not_sent),
            ("answers after the wait", too_late),
            ("echoes across a step of the clock", stepped),
            ("echoes whose instants contradict each other", inconsistent),
            ("frames that the taps lost", dropped),
        ];
        let mut more = self.more.clone();
        for (what, count) in all.map(|(what, count)| (what, count.load(Ordering::Relaxed))) {
            if count > 0 {
                more.insert(what.to_owned(), count.to_string());
            }
        }
        more
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<Series>, Failure> {
        let Some((walked, report)) = self.steered.finish()? else { return Ok(Vec::new()) };
        let Walked { lateness, stages, usage } = walked;
        let facts = usage.facts(&report);
        let mut series = vec![Series::new("sent", Measure::Lateness, &lateness).by(facts.clone())];
        for (stage, recording) in &stages {
            let whole = *stage == Stage::RoundTrip;
            let measure = if whole { Measure::RoundTrip } else { Measure::Span };
            let mut one = Series::new(stage.name(), measure, recording).by(facts.clone());
            if whole {
                one.counts.repeated = self.steered.told().repeated.load(Ordering::Relaxed);
            }
            series.push(one);
        }
        Ok(series)
    }
}

/// The interfaces, as they were named or as the daemon says.
fn way(options: &WireOptions, alone: Option<&Alone>) -> Result<Way, Failure> {
    let WireOptions { interface, runtime_dir, lan_a, lan_b, .. } = options;
    if let (None, Some(host), Some(a), Some(b)) = (alone, interface, lan_a, lan_b) {
        let lans = [a.clone(), b.clone()];
        let (host, sight) = (host.clone(), Sight::Full);
        return Ok(Way { host, lans, sight, is_told: false, hidden: None });
    }
    let folder = match alone {
        Some(alone) => alone.runtime_dir(),
        None => {
            let (name, runtime_dir) = (interface.clone(), runtime_dir.clone());
            select(RUNTIME_ROOT.as_ref(), &Selection { name, runtime_dir })?
        }
    };
    let Document::Status(status) = ask(&folder, &Request::Status)? else {
        let what = format!("{}: that daemon carries no frames", folder.display());
        return Err(Failure::usage(what, "name the one of the host interface"));
    };
    let host = status.host.interface.clone();
    if let Some(named) = interface.as_ref().filter(|named| **named != host) {
        let what = format!("--interface: {named}: that daemon's host interface is {host}");
        return Err(Failure::usage(what, "name the daemon's with --runtime-dir"));
    }
    let lans = [&status.ports.a, &status.ports.b].map(|port| port.interface.clone());
    let (sight, hidden) = sight(&status);
    Ok(Way { host, lans, sight, is_told: true, hidden })
}

/// What of the LANs can be watched, and why not all.
fn sight(status: &Status) -> (Sight, Option<String>) {
    let ports = [("A", &status.ports.a), ("B", &status.ports.b)];
    let hidden = |word: &str, path: fn(&Port) -> &Option<String>| -> Vec<String> {
        let told = ports.iter().filter_map(|(lan, port)| {
            let path = path(port).as_deref().filter(|path| path.starts_with("xdp"))?;
            Some(format!("the daemon {word} LAN {lan} by {path}, past the taps"))
        });
        told.collect()
    };
    let outgoing = hidden("sends on", |port| &port.transmit_path);
    let incoming = hidden("receives from", |port| &port.receive_path);
    let sight = match (outgoing.is_empty(), incoming.is_empty()) {
        (true, true) => Sight::Full,
        (false, true) => Sight::Incoming,
        (_, false) => Sight::None,
    };
    let all = [outgoing, incoming].concat();
    (sight, (!all.is_empty()).then(|| all.join("; ")))
}

/// Opens the socket and the taps in the caller's network namespace, and waits for an answer.
fn open(way: &Way, peer: IpAddr, echoes: Echoes, octets: usize) -> Result<Opened, Failure> {
    look_at("--interface", &way.host)?;
    let socket = echo_socket(&way.host, peer)?;
    let tap = |option: &str, interface: &str, place| -> Result<Tap, Failure> {
        let opened = StampedSocket::open(interface, Heard::Both, &echoes.filter());
        let socket = opened.map_err(|error| refusal(option, interface, &error))?;
        Ok(Tap { place, socket })
    };
    let mut taps = vec![tap("--interface", &way.host, Place::Host)?];
    if way.sight != Sight::None {
        for (at, (option, lan)) in ["--lan-a", "--lan-b"].into_iter().zip(&way.lans).enumerate() {
            taps.push(tap(option, lan, Place::Lan(at))?);
        }
    }
    // In a run of its own, which the taps let pass: a late answer from there is none to an echo.
    let greeting = Echoes { run: echoes.run ^ (1 << 63), ..echoes };
    greet(&socket, way, peer, greeting, octets)?;
    if way.is_told {
        return Ok(Opened { socket, taps, sight: way.sight });
    }
    let sight = seen(&taps, greeting);
    Ok(Opened { socket, taps, sight })
}

/// What of the LANs was seen of a greeting that has been answered.
fn seen(taps: &[Tap], greeting: Echoes) -> Sight {
    /// Of the second LAN's answer, after the first one's.
    const MORE: std::time::Duration = std::time::Duration::from_millis(50);
    const FRAMES_MAX: usize = 1_024;
    std::thread::sleep(MORE);
    let mut buffer = [0; 2_048];
    let (mut leaves, mut comes) = (false, false);
    for tap in taps.iter().filter(|tap| tap.place != Place::Host) {
        for _ in 0..FRAMES_MAX {
            let Ok(Some(arrival)) = tap.socket.receive(&mut buffer) else { break };
            let frame = buffer.get(..arrival.octets).unwrap_or_default();
            let Some(echo) = greeting.in_frame(frame) else { continue };
            let away = arrival.toward == Toward::Away;
            leaves |= away && !echo.is_reply;
            comes |= !away && echo.is_reply;
        }
    }
    match (leaves, comes) {
        (true, true) => Sight::Full,
        (false, true) => Sight::Incoming,
        _ => Sight::None,
    }
}

/// A raw ICMP socket kept to an interface and a peer.
fn echo_socket(interface: &str, peer: IpAddr) -> Result<OwnedFd, Failure> {
    let (family, protocol) = match peer {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let opened = socket(family, SockType::Raw, flags, protocol);
    let socket = opened.map_err(|errno| refusal("--interface", interface, &errno.into()))?;
    let bound = bind_to_interface(&socket, interface);
    bound.map_err(|error| refusal("--interface", interface, &error))?;
    let address = SockaddrStorage::from(SocketAddr::new(peer, 0));
    connect(socket.as_raw_fd(), &address)
        .map_err(|errno| unreachable_peer(interface, peer, errno))?;
    Ok(socket)
}

fn unreachable_peer(interface: &str, peer: IpAddr, errno: Errno) -> Failure {
    Failure::usage(
        format!("--peer: {peer} cannot be reached by {interface}: {}", errno.desc()),
        "give the interface an address of the peer's network, or see to the routes",
    )
}

/// Waits until the peer has answered once: its address has to be found, and a daemon that started
/// just now keeps silent for a while.
fn greet(
    socket: &OwnedFd,
    way: &Way,
    peer: IpAddr,
    echoes: Echoes,
    octets: usize,
) -> Result<(), Failure> {
    const TRIES: u64 = 30;
    const LISTEN: Duration = Duration::from_millis(100);
    let mut buffer = [0; 2_048];
    for number in 0..TRIES {
        let request = echoes.request(number, octets, &mut buffer);
        let request = request.ok_or_else(|| {
            Failure::usage(format!("--octets: {octets} is no length of an echo"), "24 to 1452")
        })?;
        match send(socket.as_raw_fd(), request, MsgFlags::MSG_DONTWAIT) {
            // Nobody has said yet where the peer is, or a queue is full: asked again.
            Ok(_) | Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::EHOSTUNREACH) => {}
            Err(errno) => return Err(unreachable_peer(&way.host, peer, errno)),
        }
        let until = MonotonicClock::now() + LISTEN;
        while MonotonicClock::now() < until {
            let mut waits = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
            wait(&mut waits, until).map_err(|it| Failure::failed(format!("waiting: {it}"), ""))?;
            let Ok(octets) = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) else {
                continue;
            };
            let found = echoes.in_datagram(buffer.get(..octets).unwrap_or_default());
            if matches!(found, Some(Echo { is_reply: true, .. })) {
                return Ok(());
            }
        }
    }
    Err(Failure::failed(
        format!("--peer: {peer} does not answer on {}", way.host),
        "see whether `ping` reaches it, and whether a firewall drops ICMP echoes",
    ))
}

/// What only this probe has.
fn settings(
    options: &WireOptions,
    way: &Way,
    peer: IpAddr,
    alone: bool,
) -> BTreeMap<String, String> {
    let Way { host, lans: [a, b], hidden, .. } = way;
    let told = [
        ("peer", peer.to_string()),
        ("interface", host.clone()),
        ("interface a", a.clone()),
        ("interface b", b.clone()),
        ("octets", options.octets.to_string()),
        ("wait", format!("{} ms", options.wait)),
    ];
    let mut more: BTreeMap<_, _> =
        told.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    if let Some(hidden) = hidden {
        more.insert("not split".to_owned(), hidden.clone());
    }
    if alone {
        let link = "in software: two hosts with a daemon each, in network namespaces of this host";
        more.insert("link".to_owned(), link.to_owned());
        let path = "packet sockets, which taps see; a daemon left to itself sends by AF_XDP here";
        more.insert("data path".to_owned(), path.to_owned());
    }
    more
}
