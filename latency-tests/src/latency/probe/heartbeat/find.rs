//! Who answers on a LAN.
//!
//! Requests to all find the one station that answers; with an address given they go there. Either
//! way the run begins only when an answer has come.

use nix::poll::{PollFd, PollFlags};
use std::os::fd::AsFd as _;

use prp::types::MacAddress;
use rt_core::os::clock::MonotonicClock;
use rt_core::probe_frame::{Kind, ProbeFrame};
use rt_core::time::{Duration, Instant};
use tools::exit::Failure;

use super::port::{self, Look};
use crate::os::stamped::StampedSocket;
use crate::os::wait::wait;

/// How often is asked, and how long is listened after each time.
const TRIES: u64 = 20;
const LISTEN: Duration = Duration::from_millis(100);

/// The address of the station that answers on `lan`.
///
/// # Errors
/// Nobody answers, several do, or the LAN is down.
pub(super) fn find(
    lan: &str,
    socket: &StampedSocket,
    given: Option<MacAddress>,
    run: u64,
    octets: usize,
) -> Result<MacAddress, Failure> {
    let failed = |what: &str, error: std::io::Error| {
        Failure::failed(format!("{lan}: {what}: {error}"), "see to the cable and the card")
    };
    let destination = given.unwrap_or(MacAddress::BROADCAST).0;
    let mut buffer = port::EMPTY;
    for number in 0..TRIES {
        let source = socket.address().map_err(|error| failed("its card", error))?;
        let request = ProbeFrame {
            destination,
            source,
            kind: Kind::Request,
            run,
            number,
            sent_at_ns: MonotonicClock::now().as_nanos(),
            came_at_ns: 0,
            left_at_ns: 0,
            octets,
        };
        let frame = request.emit(&mut buffer);
        let frame = frame.ok_or_else(|| {
            Failure::usage(format!("--octets: {octets} is no length of a frame"), "70 to 1514")
        })?;
        socket.send(frame).map_err(|error| failed("nothing can be sent", error))?;
        let until = MonotonicClock::now() + LISTEN;
        match *answering(socket, run, until)? {
            [] => {}
            [only] => return Ok(only),
            ref several => {
                let named: Vec<_> = several.iter().map(ToString::to_string).collect();
                let letter = lan.rsplit(' ').next().unwrap_or_default();
                return Err(Failure::usage(
                    format!("{lan}: several stations answer: {}", named.join(", ")),
                    format!("name one with --peer-{letter}"),
                ));
            }
        }
    }
    let who = given.map_or_else(|| "nobody answers".to_owned(), |it| format!("{it} is silent"));
    Err(Failure::failed(
        format!("{lan}: {who}"),
        "start `bumpless-latency respond --lan-a IF --lan-b IF` on the peer, and see to the cables",
    ))
}

/// The stations that answer before `until`, each once.
fn answering(socket: &StampedSocket, run: u64, until: Instant) -> Result<Vec<MacAddress>, Failure> {
    const STATIONS_MAX: usize = 8;
    let mut buffer = port::EMPTY;
    let mut found: Vec<MacAddress> = Vec::new();
    while MonotonicClock::now() < until {
        let mut waits = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        wait(&mut waits, until)
            .map_err(|error| Failure::failed(format!("waiting: {error}"), ""))?;
        let Look::Frame(frame, _) = port::take(socket, &mut buffer) else { continue };
        let station = MacAddress(frame.source);
        let is_answer = frame.kind == Kind::Answer && frame.run == run;
        if is_answer && !found.contains(&station) && found.len() < STATIONS_MAX {
            found.push(station);
        }
    }
    Ok(found)
}
