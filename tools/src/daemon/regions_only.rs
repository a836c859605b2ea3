//! A daemon that keeps regions only: hot standby on one host needs no network.
//!
//! No host interface, no LAN, no real-time thread, and so no privilege: it runs as whoever starts
//! it, in a runtime folder of its own.

use std::os::fd::AsFd as _;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use rt_core::os::clock::BootClock;
use rt_core::os::memory;
use rt_core::time::Instant;

use super::journal::Journal;
use super::regions::Regions;
use super::status::thread;
use crate::config::{DaemonConfig, RegionsConfig};
use crate::control::protocol::Request;
use crate::control::server::{Answer, ControlServer, ControlSource};
use crate::exit::{ExitCode, Failure};
use crate::report::{DaemonEvent, Document, Event, Events, RegionsStatus, SCHEMA};

/// What a client is told that asks for frames.
const NO_LANS: &str = "this daemon has no LANs: it keeps regions only";

struct RegionsOnly {
    name: String,
    journal: Journal,
    regions: Regions,
    degraded: Vec<String>,
}

/// Runs until a signal asks for the end.
///
/// # Errors
/// Why it could not start.
pub(super) fn run(
    config: &DaemonConfig,
    regions: &RegionsConfig,
    mut journal: Journal,
    signals: &SignalFd,
    degraded: Vec<String>,
) -> Result<ExitCode, Failure> {
    let mut server = ControlServer::bind(&config.runtime_dir, &config.socket_group)?;
    let now = BootClock::now();
    let regions = Regions::start(config, regions, &mut journal, now)?;
    journal.daemon(now, &DaemonEvent::Started);
    let mut this = RegionsOnly { name: config.name.to_string(), journal, regions, degraded };
    // Whoever was waited for may have ended since.
    this.regions.turn(now, &mut this.journal);
    super::ready();
    while !this.turn(signals, &mut server) {}
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    Ok(ExitCode::Fine)
}

impl RegionsOnly {
    /// Waits, and does what is to be done; whether to end.
    fn turn(&mut self, signals: &SignalFd, server: &mut ControlServer) -> bool {
        let now = BootClock::now();
        let own = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        let others = server.poll_fds(now).chain(self.regions.poll_fds());
        let mut waits: Vec<PollFd<'_>> = own.into_iter().chain(others).collect();
        let timeout_ms = u16::try_from(server.poll_timeout(now).as_millis()).unwrap_or(u16::MAX);
        // An error (EINTR) is a wake-up like any other.
        let _ = poll(&mut waits, PollTimeout::from(timeout_ms.max(1)));
        if let Ok(Some(_)) = signals.read_signal() {
            return true;
        }
        let now = BootClock::now();
        self.regions.turn(now, &mut self.journal);
        server.handle_ready(now, self);
        false
    }

    fn status(&self) -> RegionsStatus {
        let control = i32::try_from(std::process::id()).unwrap_or(0);
        let log = self.journal.logger_tid().and_then(|tid| thread("log", tid));
        RegionsStatus {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: self.name.clone(),
            protocol: None,
            pid: std::process::id(),
            uptime_ns: self.journal.uptime(BootClock::now()).as_nanos(),
            degraded: self.degraded.clone(),
            alarms: self.regions.alarms(),
            applications: self.regions.applications(),
            regions: self.regions.regions(),
            threads: thread("control", control).into_iter().chain(log).collect(),
            memory_locked_octets: memory::locked_octets().unwrap_or(0),
        }
    }
}

impl ControlSource for RegionsOnly {
    fn answer(&mut self, request: &Request, _asked: Instant) -> Answer {
        let now = BootClock::now();
        let Self { regions, journal, .. } = self;
        match *request {
            Request::Status => Ok(Document::RegionsStatus(Box::new(self.status()))),
            Request::Events { .. } => Ok(Document::Events(Events {
                schema: SCHEMA,
                name: self.name.clone(),
                uptime_ns: self.journal.uptime(now).as_nanos(),
                forgotten: self.journal.forgotten(),
                events: self.journal.events(),
            })),
            Request::Regions => Ok(self.regions_document(now)),
            Request::Drop { region } => {
                regions.drop_state(region, now, journal).map(|()| self.regions_document(now))
            }
            Request::Switchover { application } => {
                regions.switch_over(application, now, journal).map(Document::Switchover)
            }
            Request::Nodes | Request::Counters => Err(NO_LANS.to_owned()),
        }
        .map_or_else(Answer::NotPossible, Answer::Document)
    }

    fn event_after(&mut self, sequence: u64) -> Option<Event> {
        self.journal.after(sequence)
    }
}

impl RegionsOnly {
    fn regions_document(&self, now: Instant) -> Document {
        let uptime_ns = self.journal.uptime(now).as_nanos();
        Document::Regions(Box::new(self.regions.document(&self.name, uptime_ns)))
    }
}
