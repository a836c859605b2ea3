//! How long a heartbeat takes to the peer and back, on each LAN, and how late it left.
//!
//! A thread as a node's own heartbeat has it sends a frame on each LAN at each planned instant and
//! takes the answers of a far end ([`respond()`]). The LANs are judged each by itself, beneath
//! duplicate discard: the frames have EtherType 0x88B6 and pass at the packet tap, before a daemon
//! that owns the LAN ports drops what arrives there. They leave as the daemon's own will, by the
//! ordinary way (no bypass of the queues), in the class of control traffic.
//!
//! | Series | Measures |
//! |---|---|
//! | `sent` | how late each beat left |
//! | `lan a`, `lan b` | from a beat's leaving to its answer; `lost`: none within the wait |
//! | `peer a`, `peer b` | from its coming to the peer to the answer's leaving, by that clock |
//!
//! A beat that was swallowed (the thread was late by more than a period) never left: `sent` tells
//! it as swallowed, and the others, to whom it never came, as skipped. Answers that come later than
//! the wait are lost, those that come again are `repeated`; both are found by number.
//!
//! | Module | Holds |
//! |---|---|
//! | `beat` | the thread that beats |
//! | `respond` | the far end, [`Responder`] |
//! | `find` | who answers on a LAN |
//! | `port` | the socket on a LAN |
//! | `alone` | LANs in software, with a far end of its own |

mod alone;
mod beat;
mod find;
pub(super) mod port;
mod respond;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;

use clap::Args;
use prp::types::MacAddress;
use rt_core::os::recorder::{Plan as Recorded, Recorder, Recording};
use rt_core::probe_frame::{OCTETS_MAX, OCTETS_MIN};
use rt_core::time::{Duration, Instant};
use tools::exit::Failure;

pub(super) use alone::failure as network_failure;
pub use respond::{Answers, RespondOptions, Responder, respond};

use self::alone::Alone;
use self::beat::{Beaten, Beater, LANS_MAX, Lan, Steering, Told};
use super::super::report::{Measure, Series};
use super::flights::Flights;
use super::steering::Steered;
use super::{Asked, Probing, Progress};
use crate::os::stamped::StampedSocket;

const OCTETS_DEFAULT: u16 = 128;
const MOVED: &str = "the interface is gone or has another address than at the start (a daemon \
                     started or stopped?): answers went past it; measure again";
const WAIT_MS_DEFAULT: u64 = 100;

/// Where the heartbeats go. Without a LAN it measures between two network namespaces of its own.
#[derive(Args, Clone, PartialEq, Eq, Debug)]
#[command(next_help_heading = "Heartbeat")]
pub struct HeartbeatOptions {
    /// The network interface on LAN A, where `bumpless-latency respond` runs on the peer [default:
    /// LANs in software, with an answering thread of its own]
    #[arg(long, value_name = "IF")]
    pub lan_a: Option<String>,

    /// The network interface on LAN B
    #[arg(long, value_name = "IF")]
    pub lan_b: Option<String>,

    /// The peer's address on LAN A [default: whoever answers there]
    #[arg(long, value_name = "MAC", requires = "lan_a")]
    pub peer_a: Option<MacAddress>,

    /// The peer's address on LAN B [default: whoever answers there]
    #[arg(long, value_name = "MAC", requires = "lan_b")]
    pub peer_b: Option<MacAddress>,

    /// The length of a frame, as heartbeats are planned, without its check sequence
    #[arg(long, value_name = "NUM", default_value_t = OCTETS_DEFAULT)]
    #[arg(value_parser = clap::value_parser!(u16).range(OCTETS_MIN as i64..=OCTETS_MAX as i64))]
    pub octets: u16,

    /// How long an answer is waited for, in ms; what comes later is lost
    #[arg(long, value_name = "MS", default_value_t = WAIT_MS_DEFAULT)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub wait: u64,
}

impl Default for HeartbeatOptions {
    fn default() -> Self {
        let (octets, wait) = (OCTETS_DEFAULT, WAIT_MS_DEFAULT);
        Self { lan_a: None, lan_b: None, peer_a: None, peer_b: None, octets, wait }
    }
}

/// A run that goes on.
#[derive(Debug)]
pub struct Heartbeat {
    steered: Steered<Beaten, [Told; LANS_MAX]>,
    /// Letters of the LANs.
    letters: Vec<char>,
    more: BTreeMap<String, String>,
    /// Until the thread is done: fields are dropped in their order.
    _alone: Option<Alone>,
}

/// Starts the probe, in the caller's network namespace. The memory is the caller's to lock. It has
/// one thread, on the first processor that was asked for.
///
/// # Errors
/// Usage; what is missing; nobody answers.
pub fn start(asked: &Asked, options: &HeartbeatOptions) -> Result<Box<dyn Probing>, Failure> {
    Ok(Box::new(Heartbeat::start(asked, options)?))
}

impl Heartbeat {
    /// As [`start`].
    ///
    /// # Errors
    /// As [`start`].
    pub fn start(asked: &Asked, options: &HeartbeatOptions) -> Result<Self, Failure> {
        let flights = flights(options.wait, asked.interval)?;
        let cpu = asked.cpus.first().copied();
        let cpu = cpu.ok_or_else(|| Failure::usage("no processor to measure on", "name one"))?;
        let run = RandomState::new().build_hasher().finish();
        let octets = usize::from(options.octets);
        let (alone, ports) = ports(asked, options)?;
        let mut more = settings(options, alone.is_some());
        let letters = ports.iter().map(|it| it.letter).collect();
        let mut found = Vec::new();
        for Named { letter, socket, given } in ports {
            // In a run of its own: a late answer to a request from there is none of a beat.
            let peer = find::find(&format!("lan {letter}"), &socket, given, !run, octets)?;
            more.insert(format!("peer {letter}"), peer.to_string());
            found.push((socket, peer));
        }
        let steering = Steering::new()?;
        let lans: Result<_, Failure> =
            found.into_iter().map(|(socket, peer)| lan(asked, socket, peer)).collect();
        let lans = lans?;
        let beater = Beater {
            lans,
            run,
            octets,
            span: asked.interval.saturating_mul(asked.cycles),
            lateness: recorder(asked)?,
            flights,
            steering: Arc::clone(&steering),
        };
        let steered = Steered::start("heartbeat", asked, cpu, steering, move || beater.run())?;
        Ok(Self { steered, letters, more, _alone: alone })
    }
}

impl Probing for Heartbeat {
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
        let mut more = self.more.clone();
        for (letter, told) in self.letters.iter().zip(self.steered.told()) {
            more.extend(told.texts(*letter));
        }
        more
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<Series>, Failure> {
        let Some((beaten, report)) = self.steered.finish()? else { return Ok(Vec::new()) };
        let Beaten { lateness, lans, usage } = beaten;
        let facts = usage.facts(&report);
        let make = |name: String, measure, recording: &Recording| {
            Series::new(name, measure, recording).by(facts.clone())
        };
        let mut series = vec![make("sent".to_owned(), Measure::Lateness, &lateness)];
        for (letter, lan) in self.letters.iter().zip(&lans) {
            let mut trips = make(format!("lan {letter}"), Measure::RoundTrip, &lan.round_trips);
            trips.counts.repeated = lan.repeated;
            if let Some(thread) = trips.thread.as_mut().filter(|_| lan.moved) {
                thread.shortfalls.push(MOVED.to_owned());
            }
            let turns = make(format!("peer {letter}"), Measure::Span, &lan.turns);
            series.extend([trips, turns]);
        }
        Ok(series)
    }
}

/// For what is on its way.
pub(super) fn flights<T: Copy>(wait_ms: u64, period: Duration) -> Result<Flights<T>, Failure> {
    let flights = Flights::new(Duration::from_millis(wait_ms), period);
    flights.ok_or_else(|| {
        let us = period.as_micros();
        let what = format!("--wait: too many are on their way in {wait_ms} ms at {us} µs");
        Failure::usage(what, "wait for less long, or choose a longer --interval")
    })
}

/// For the cycles that were asked for, from `first` on.
pub(super) fn recorder(asked: &Asked) -> Result<Recorder, Failure> {
    let plan = Recorded::new(Instant::from_nanos(0), asked.interval);
    let plan = Recorded { cycles: Some(asked.cycles), ..plan };
    Recorder::new(plan).map_err(|error| Failure::usage(format!("--interval: {error}"), ""))
}

/// A LAN before it is beaten on.
#[derive(Debug)]
struct Named {
    letter: char,
    socket: StampedSocket,
    given: Option<MacAddress>,
}

/// The LANs that were named, or those of a network of its own.
fn ports(
    asked: &Asked,
    options: &HeartbeatOptions,
) -> Result<(Option<Alone>, Vec<Named>), Failure> {
    let named = [
        ('a', "--lan-a", &options.lan_a, options.peer_a),
        ('b', "--lan-b", &options.lan_b, options.peer_b),
    ];
    port::of_each(options.lan_a.as_ref(), options.lan_b.as_ref())?;
    let mut ports = Vec::new();
    for (letter, option, interface, given) in named {
        if let Some(interface) = interface {
            ports.push(Named { letter, socket: port::open(option, interface)?, given });
        }
    }
    if !ports.is_empty() {
        return Ok((None, ports));
    }
    // Beside the thread that beats, where there is a second processor.
    let cpu = asked.cpus.iter().find(|cpu| Some(*cpu) != asked.cpus.first());
    let plan = respond::Plan {
        policy: asked.policy,
        cpu: cpu.or_else(|| asked.cpus.first()).copied(),
        rate: u32::MAX,
        allow_degraded: asked.allow_non_rt,
    };
    let (alone, sockets) = alone::build(&plan)?;
    let named = |(letter, socket)| Named { letter, socket, given: None };
    Ok((Some(alone), ['a', 'b'].into_iter().zip(sockets).map(named).collect()))
}

fn lan(asked: &Asked, socket: StampedSocket, peer: MacAddress) -> Result<Lan, Failure> {
    let own = socket.address();
    let own = own.map_err(|error| Failure::failed(format!("the card's address: {error}"), ""))?;
    Ok(Lan {
        socket,
        own,
        peer: peer.0,
        round_trips: recorder(asked)?,
        turns: recorder(asked)?,
        repeated: 0,
    })
}

/// What only this probe has.
fn settings(options: &HeartbeatOptions, alone: bool) -> BTreeMap<String, String> {
    let mut more = BTreeMap::new();
    let mut tell = |key: &str, value: String| drop(more.insert(key.to_owned(), value));
    tell("octets", options.octets.to_string());
    tell("wait", format!("{} ms", options.wait));
    if alone {
        tell("link", "in software, between two network namespaces of this host".to_owned());
    }
    for (key, name) in [("interface a", &options.lan_a), ("interface b", &options.lan_b)] {
        if let Some(name) = name {
            tell(key, name.clone());
        }
    }
    more
}
