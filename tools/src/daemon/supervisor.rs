//! The control thread: signals, links, the control socket, events. Nothing here is real-time.
//!
//! Notifications of the kernel only say that it is time to look (`lan_watch`, `host_watch`): what
//! is done follows from what is there. So it does not matter which of them were lost, and a storm
//! of them costs a look for each turn.

use std::os::fd::AsFd;
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use prp::os::link::{LinkChange, LinkMonitor, Links, MonitorFault, WhatChanged};
use prp::types::{LanId, MacAddress};
use rt_core::limits::TRACE_DRAIN_INTERVAL;
use rt_core::os::clock::{self, BootClock};
use rt_core::time::{Duration, Instant};

use super::events::{EventReader, ThreadEvent};
use super::exchange::{Command, Exchange, Reply};
use super::host_interface::HostInterface;
use super::journal::Journal;
use super::lan_side::LanSide;
use super::marker::Marker;
use super::regions::Regions;
use crate::config::DaemonConfig;
use crate::control::server::ControlServer;
use crate::exit::Failure;
use crate::report::{DaemonEvent, LanEvent, Link, Node};

/// Notifications that are taken before everybody else has a turn.
const CHANGES_PER_TURN: usize = 256;
/// The machine was suspended if it slept this long; two clocks are never read at one instant.
const SLEPT_MIN: Duration = Duration::from_millis(10);
/// What somebody changes is put right at once, but no more often than this: who puts it wrong again
/// each time must not keep us busy.
pub(super) const MEND_INTERVAL: Duration = Duration::from_millis(100);
/// How long a port that is no longer used may take to come back from the `lre` thread, which gives
/// it back in its next turn.
const PORT_BACK: Duration = Duration::from_millis(500);
/// Interfaces are read anew so often, in case a notification was missed.
const RECHECK: Duration = Duration::from_secs(1);

/// Everything the control thread knows.
#[derive(Debug)]
pub struct Supervisor {
    /// The configuration.
    pub config: DaemonConfig,
    /// The node's address.
    pub mac: MacAddress,
    /// What is ours.
    pub marker: Marker,
    /// The host interface.
    pub host: HostInterface,
    /// The LANs.
    pub lans: [LanSide; 2],
    /// Shared with the `lre` thread.
    pub exchange: Arc<Exchange>,
    /// What the `lre` thread tells.
    pub trace: EventReader,
    /// What people are told.
    pub journal: Journal,
    /// Applications and their regions, where there are some.
    pub regions: Option<Regions>,
    /// What this runs without, found at start.
    pub degraded: Vec<String>,
    /// The `lre` thread's number.
    pub lre_tid: i32,
    /// Whether the host interface shows a carrier.
    pub carrier: bool,
    /// The node table, as fetched last.
    pub nodes: NodeFetch,
    /// By LAN: the link and the MTU that the `lre` thread was told last.
    pub told: [Option<(bool, Option<u32>)>; 2],
    /// By LAN: whether the `lre` thread has a port of it, in use or not yet given back.
    pub lent: [bool; 2],
    /// Whether the LANs' interfaces have to be looked at.
    pub look_due: bool,
    /// Whether what somebody changed on them has to be put right, and from when on it may be.
    pub mend_due: bool,
    /// See above.
    pub mend_from: Instant,
    /// How long the machine had been suspended when this was looked at last.
    pub suspended: Duration,
    /// Why the daemon cannot go on.
    pub failure: Option<Failure>,
}

/// The node table on its way from the `lre` thread.
#[derive(Default, Debug)]
pub struct NodeFetch {
    /// When the running fetch was started.
    pub started: Option<Instant>,
    /// What it has brought so far.
    pub collected: Vec<Node>,
    /// When the last complete fetch was started, and what it brought.
    pub complete: Option<(Instant, Vec<Node>)>,
}

impl Supervisor {
    /// Tells the `lre` thread, and the host, how the links are at start.
    pub fn begin(&mut self, now: Instant) {
        self.look_at_host(now);
        let mut links = Links::open().ok();
        for lan in LanId::BOTH {
            let side = &mut self.lans[lan.index()];
            // Since it was claimed, its link may have come up.
            if let Some(info) = links.as_mut().and_then(|links| side.look(links)) {
                side.info = Some(info);
            }
            let event = match side.link() {
                Link::Up => continue,
                Link::Down => LanEvent::LinkDown,
                Link::Absent => LanEvent::Missing(side.configured.clone()),
            };
            self.tell_lan(now, lan, event);
        }
        self.set_promiscuous(now);
        // Told only when it is not as one expects.
        self.carrier = true;
        if self.has_carrier() {
            self.set_carrier();
        }
        self.settle_lans(now);
    }

    /// Runs until a signal asks for the end.
    pub fn run(
        &mut self,
        signals: &SignalFd,
        monitor: &mut LinkMonitor,
        server: &mut ControlServer,
    ) {
        let mut recheck_at = BootClock::now() + RECHECK;
        loop {
            self.wait(signals, monitor, server);
            let now = BootClock::now();
            if let Ok(Some(_)) = signals.read_signal() {
                return;
            }
            self.watch_links(now, monitor);
            let slept = self.has_slept(now);
            self.look_due |= slept || self.retry_is_due(now);
            if now >= recheck_at || slept {
                recheck_at = now + RECHECK;
                self.look_at_host(now);
                self.look_at_lans(now);
                self.mend_lans(now);
                self.tell(Command::RefreshStatistics);
            } else if self.look_due {
                self.look_at_lans(now);
            }
            if self.mend_due && now >= self.mend_from {
                self.mend_lans(now);
            }
            if self.failure.is_some() {
                return;
            }
            self.take_replies();
            self.drain_trace(now);
            if let Some(regions) = &mut self.regions {
                regions.turn(now, &mut self.journal);
            }
            server.handle_ready(now, self);
        }
    }

    fn wait(&self, signals: &SignalFd, monitor: &LinkMonitor, server: &ControlServer) {
        let now = BootClock::now();
        let timeout = server.poll_timeout(now).min(TRACE_DRAIN_INTERVAL);
        let timeout = self.retry_in(now).map_or(timeout, |retry| timeout.min(retry));
        let own = [signals.as_fd(), monitor.as_fd(), self.exchange.wake_control.as_fd()];
        let own = own.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let others = server.poll_fds(now).chain(self.regions.iter().flat_map(Regions::poll_fds));
        let mut waits: Vec<PollFd<'_>> = own.into_iter().chain(others).collect();
        let timeout_ms = u16::try_from(timeout.as_millis()).unwrap_or(u16::MAX).max(1);
        // An error (EINTR) is a wake-up like any other.
        let _ = poll(&mut waits, PollTimeout::from(timeout_ms));
        self.exchange.wake_control.clear();
    }

    fn watch_links(&mut self, now: Instant, monitor: &mut LinkMonitor) {
        for _ in 0..CHANGES_PER_TURN {
            match monitor.next_change() {
                Ok(Some(change)) => self.link_changed(now, change),
                Ok(None) => {
                    // What is told from here on is newer than what we know.
                    for side in &mut self.lans {
                        self.look_due |= std::mem::take(&mut side.is_ahead);
                    }
                    return;
                }
                Err(MonitorFault::Overrun) => {
                    self.look_at_host(now);
                    self.look_due = true;
                }
                // The next recheck finds what changed.
                Err(MonitorFault::System(_)) => return,
            }
        }
    }

    fn link_changed(&mut self, now: Instant, change: LinkChange) {
        if change.index == self.host.index {
            self.look_at_host(now);
            return;
        }
        for lan in LanId::BOTH {
            let side = &self.lans[lan.index()];
            let is_ours = side.life.held() == Some(change.index);
            self.look_due |= is_ours || change.name == side.configured;
            if let (true, WhatChanged::Changed(info)) = (is_ours && !side.is_ahead, &change.what) {
                // On its way out an interface is set down; that is not what has become of it. The
                // kernel answers who asks for it when it is out.
                let goes_down = side.link() == Link::Up && !info.running;
                let is_there =
                    || Links::open().is_ok_and(|mut links| side.look(&mut links).is_some());
                if !goes_down || is_there() {
                    self.link_seen(now, lan, info.clone());
                }
            }
        }
    }

    /// Whether the machine has been suspended since this was asked last.
    fn has_slept(&mut self, now: Instant) -> bool {
        let suspended = clock::suspended();
        let slept = suspended.saturating_sub(self.suspended);
        if slept < SLEPT_MIN {
            return false;
        }
        self.suspended = suspended;
        self.journal.daemon(now, &DaemonEvent::Resumed(slept));
        true
    }

    /// Carrier is down when nothing forwards.
    pub(super) fn show_carrier(&mut self, now: Instant) {
        let carrier = self.has_carrier();
        if carrier == self.carrier {
            return;
        }
        self.carrier = carrier;
        let event = if carrier { DaemonEvent::CarrierBack } else { DaemonEvent::CarrierLost };
        self.journal.daemon(now, &event);
        self.set_carrier();
    }

    fn has_carrier(&self) -> bool {
        self.lans.iter().any(|side| side.link() == Link::Up)
    }

    /// Shows the host the carrier that we know of.
    pub fn set_carrier(&self) {
        if let Err(why) = self.host.set_carrier(self.carrier) {
            self.journal.line("warning", &format!("cannot show the carrier: {why}"));
        }
    }

    pub(super) fn store_marker(&self) {
        if let Err(error) = self.marker.store() {
            self.journal.line("warning", &format!("the runtime folder cannot be written: {error}"));
        }
    }

    /// Gives the `lre` thread a command; whether it found a place. The thread takes commands in
    /// every turn, at least ten times a second, and 64 may wait.
    pub(super) fn tell(&self, command: Command) -> bool {
        let taken = self.exchange.send(command).is_ok();
        if !taken {
            self.journal.line("warning", "the lre thread does not take commands");
        }
        taken
    }

    /// Waits until the `lre` thread has given back a LAN's former port, and closes it; whether that
    /// was so.
    pub(super) fn has_port_back(&mut self, lan: LanId) -> bool {
        const LOOK_MS: u16 = 10;
        let deadline = BootClock::now() + PORT_BACK;
        loop {
            self.take_replies();
            if !self.lent[lan.index()] {
                return true;
            }
            if BootClock::now() >= deadline {
                return false;
            }
            let mut wait = [PollFd::new(self.exchange.wake_control.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut wait, PollTimeout::from(LOOK_MS));
            self.exchange.wake_control.clear();
        }
    }

    fn take_replies(&mut self) {
        while let Some(reply) = self.exchange.replies.pop() {
            match reply {
                Reply::Retired(lan, port) => {
                    drop(port);
                    self.lent[lan.index()] = false;
                }
                Reply::Node(node) => self.nodes.collected.push(Node::from(&node)),
                Reply::NodesEnd => {
                    let nodes = std::mem::take(&mut self.nodes.collected);
                    self.nodes.complete = self.nodes.started.take().map(|started| (started, nodes));
                }
            }
        }
    }

    fn drain_trace(&mut self, now: Instant) {
        let held = self.exchange.figures().held;
        while let Some(record) = self.trace.pop() {
            if record.lost_before > 0 {
                self.journal.daemon(now, &DaemonEvent::EventsLost(record.lost_before));
            }
            match record.event {
                Some(ThreadEvent::Lre(event)) => self.journal.lre(record.at + held, now, &event),
                // The look tells it to people.
                Some(ThreadEvent::PortGone(_)) => self.look_due = true,
                Some(ThreadEvent::Paused { length, missed }) => {
                    self.journal.daemon(now, &DaemonEvent::Paused { length, missed });
                }
                None => {}
            }
        }
    }
}
