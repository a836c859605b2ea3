//! The LANs' interfaces at start: found by their names, waited for where that is wanted, and what a
//! former life left on others given back.
//!
//! At start the names decide. Only where nobody has a LAN's name, and a life that crashed had taken
//! an interface which was renamed since, that one is adopted: the LAN goes on.

use std::os::fd::AsFd as _;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use prp::os::claim::{ClaimError, LanOriginals, release};
use prp::os::link::{LinkError, LinkMonitor, Links};
use prp::types::{LanId, MacAddress};
use rt_core::os::clock::BootClock;

use super::failure;
use super::journal::Journal;
use super::marker::Marker;
use crate::config::DaemonConfig;
use crate::exit::Failure;

/// How often is looked while an interface is waited for, should no notification come.
const LOOK_MS: u16 = 500;

/// A LAN's interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Its present name.
    pub name: String,
    /// What it was like before it was ours.
    pub originals: LanOriginals,
}

/// The interfaces of both LANs, one of which may be missing; `None` when a signal asked for the
/// end.
///
/// # Errors
/// An interface is missing that has to be there, or cannot be a LAN port.
pub fn find(
    config: &DaemonConfig,
    marker: &Marker,
    signals: &SignalFd,
    monitor: &mut LinkMonitor,
) -> Result<Option<[Option<Found>; 2]>, Failure> {
    let deadline = BootClock::now() + config.lan_wait;
    loop {
        let [a, b] = LanId::BOTH.map(|lan| look(lan, config, marker));
        let found = [a?, b?];
        if found.iter().all(Option::is_some) || BootClock::now() >= deadline {
            return decide(config, marker, found).map(Some);
        }
        let mut waits =
            [signals.as_fd(), monitor.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let _ = poll(&mut waits, PollTimeout::from(LOOK_MS));
        if let Ok(Some(_)) = signals.read_signal() {
            return Ok(None);
        }
        // Only that something happened counts. Bounded: a storm does not outrun the deadline.
        for _ in 0..1024 {
            if let Ok(None) = monitor.next_change() {
                break;
            }
        }
    }
}

/// The interface of one LAN.
fn look(lan: LanId, config: &DaemonConfig, marker: &Marker) -> Result<Option<Found>, Failure> {
    let name = config.lan(lan);
    let found = |originals| Some(Found { name: name.to_owned(), originals });
    let index = Links::open().and_then(|mut links| links.by_name(name)).map(|info| info.index);
    // Names may have been swapped since a crash.
    let of_index = |index| marker.owned.lans.iter().flatten().find(|owned| owned.index() == index);
    let stored = index.ok().and_then(of_index).and_then(|owned| owned.originals());
    match LanOriginals::read_unless_stored(name, stored) {
        Ok(originals) => Ok(found(originals)),
        Err(ClaimError::Link(LinkError::NoSuchInterface { .. })) => {
            let other = config.lan(lan.other());
            let left = marker.owned.lans[lan.index()].as_ref().and_then(|owned| owned.originals());
            Ok(left.and_then(|originals| {
                let info = originals.claimed_interface().filter(|info| info.name != other)?;
                Some(Found { name: info.name, originals })
            }))
        }
        Err(error) => Err(failure::lan_claim(lan, error)),
    }
}

/// Whether to start with what there is.
fn decide(
    config: &DaemonConfig,
    marker: &Marker,
    found: [Option<Found>; 2],
) -> Result<[Option<Found>; 2], Failure> {
    let waited_s = config.lan_wait.as_millis() / 1000;
    if waited_s > 0 && found == [None, None] {
        let [a, b] = LanId::BOTH.map(|lan| config.lan(lan));
        return Err(failure::no_lans(a, b, waited_s));
    }
    for lan in LanId::BOTH {
        let name = config.lan(lan);
        // After a crash, what was there before is waited for while the other LAN works.
        let marked = marker.owned.lans[lan.index()].is_some() && found != [None, None];
        if found[lan.index()].is_none() && waited_s == 0 && !marked {
            let interface = name.to_owned();
            let missing = ClaimError::Link(LinkError::NoSuchInterface { interface });
            return Err(failure::lan_claim(lan, missing));
        }
    }
    Ok(found)
}

/// The node's address: as configured; as it was before a crash, when LAN A's interface is missing
/// or still the same; that of LAN A's interface; that of LAN B's.
#[must_use]
pub fn node_mac(config: &DaemonConfig, marker: &Marker, found: &[Option<Found>; 2]) -> MacAddress {
    let [a, b] = found;
    let before = marker.owned.lans[0].as_ref().and_then(|owned| owned.originals());
    let is_as_before = a.as_ref().is_none_or(|found| Some(&found.originals) == before.as_ref());
    let marked = marker.owned.mac.as_ref().and_then(|mac| mac.parse::<MacAddress>().ok());
    let marked = marked.filter(|mac| is_as_before && mac.is_station());
    let own = a.iter().chain(b).map(|found| found.originals.mac).next();
    config.mac.or(marked).or(own).unwrap_or_default()
}

/// Gives back what a former life took and this one does not use: the interfaces have changed their
/// names, or the configuration others.
pub fn give_back_rest(marker: &Marker, found: &[Option<Found>; 2], journal: &Journal) {
    for originals in marker.owned.lans.iter().flatten().filter_map(|owned| owned.originals()) {
        let is_used = found.iter().flatten().any(|found| found.originals.index == originals.index);
        if is_used {
            continue;
        }
        let Some(info) = originals.claimed_interface() else { continue };
        journal.line("info", &format!("{} is given back: a former life had it", info.name));
        for warning in release(&info.name, &originals) {
            journal.line("warning", &warning.to_string());
        }
    }
}
