//! The control thread: signals, links, the control socket, events. Nothing here is real-time.

use std::os::fd::AsFd;
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use prp::os::lan_port::LanPort;
use prp::os::link::{LinkChange, LinkError, LinkMonitor, Links, MonitorFault, WhatChanged};
use prp::types::{LanId, MacAddress};
use rt_core::limits::TRACE_DRAIN_INTERVAL;
use rt_core::os::clock::MonotonicClock;
use rt_core::time::{Duration, Instant};

use super::events::{EventReader, ThreadEvent};
use super::exchange::{Command, Exchange, Reply};
use super::host_interface::HostInterface;
use super::journal::Journal;
use super::lan_side::LanSide;
use super::marker::Marker;
use crate::config::DaemonConfig;
use crate::control::server::ControlServer;
use crate::exit::Failure;
use crate::report::{DaemonEvent, Link, Node};
use prp::os::claim::LanOriginals;

/// How soon a LAN interface that is back but could not be claimed is tried again.
const RETRY: Duration = Duration::from_millis(500);
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
    /// What this runs without, found at start.
    pub degraded: Vec<String>,
    /// The `lre` thread's number.
    pub lre_tid: i32,
    /// Whether the host interface shows a carrier.
    pub carrier: bool,
    /// The node table, as fetched last.
    pub nodes: NodeFetch,
    /// By LAN: the index of an interface that could not be claimed, and when it is tried again.
    pub retries: [Option<(u32, Instant)>; 2],
    /// Whether the host interface receives frames for other stations.
    pub host_is_promiscuous: bool,
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
        for lan in LanId::BOTH {
            let is_up = self.lans[lan.index()].link() == Link::Up;
            self.tell(Command::SetLink(lan, is_up));
            if !is_up {
                self.journal.daemon(now, &DaemonEvent::LinkDown(lan));
            }
        }
        self.set_promiscuous();
        // Told only when it is not as one expects.
        self.carrier = true;
        if self.has_carrier() {
            self.set_carrier();
        } else {
            self.show_carrier(now);
        }
    }

    /// Runs until a signal asks for the end.
    pub fn run(
        &mut self,
        signals: &SignalFd,
        monitor: &mut LinkMonitor,
        server: &mut ControlServer,
    ) {
        let mut recheck_at = MonotonicClock::now() + RECHECK;
        loop {
            self.wait(signals, monitor, server);
            let now = MonotonicClock::now();
            if let Ok(Some(_)) = signals.read_signal() {
                return;
            }
            self.watch_links(now, monitor);
            if now >= recheck_at {
                recheck_at = now + RECHECK;
                self.read_links_anew(now);
                self.mend_lans(now);
                self.tell(Command::RefreshStatistics);
            }
            if self.failure.is_some() {
                return;
            }
            self.take_replies();
            self.drain_trace(now);
            server.handle_ready(now, self);
        }
    }

    fn wait(&self, signals: &SignalFd, monitor: &LinkMonitor, server: &ControlServer) {
        let now = MonotonicClock::now();
        let timeout = server.poll_timeout(now).min(TRACE_DRAIN_INTERVAL);
        let own = [signals.as_fd(), monitor.as_fd(), self.exchange.wake_control.as_fd()];
        let own = own.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let mut waits: Vec<PollFd<'_>> = own.into_iter().chain(server.poll_fds(now)).collect();
        let timeout_ms = u16::try_from(timeout.as_millis()).unwrap_or(u16::MAX).max(1);
        // An error (EINTR) is a wake-up like any other.
        let _ = poll(&mut waits, PollTimeout::from(timeout_ms));
        self.exchange.wake_control.clear();
    }

    fn watch_links(&mut self, now: Instant, monitor: &mut LinkMonitor) {
        loop {
            match monitor.next_change() {
                Ok(Some(change)) => self.link_changed(now, &change),
                Ok(None) => return,
                Err(MonitorFault::Overrun) => self.read_links_anew(now),
                // The next recheck finds what changed.
                Err(MonitorFault::System(_)) => return,
            }
        }
    }

    /// Compares with the interfaces as they are, whatever was or was not told.
    fn read_links_anew(&mut self, now: Instant) {
        let Ok(mut links) = Links::open() else { return };
        let what = match links.by_index(self.host.index) {
            Ok(info) => WhatChanged::Changed(info),
            Err(LinkError::NoSuchInterface { .. }) => WhatChanged::Gone,
            Err(_) => return,
        };
        self.host_changed(now, &what);
        for lan in LanId::BOTH {
            let side = &self.lans[lan.index()];
            let (index, name) = (side.claim.as_ref().map(|claim| claim.index), &side.interface);
            let found = index.and_then(|index| links.by_index(index).ok());
            let change = match (index, found) {
                (Some(index), None) => {
                    Some(LinkChange { index, name: name.clone(), what: WhatChanged::Gone })
                }
                (_, Some(info)) => Some(LinkChange {
                    index: info.index,
                    name: info.name.clone(),
                    what: WhatChanged::Changed(info),
                }),
                (None, None) => links.by_name(name).ok().map(|info| LinkChange {
                    index: info.index,
                    name: info.name.clone(),
                    what: WhatChanged::New(info),
                }),
            };
            if let Some(change) = change {
                self.link_changed(now, &change);
            }
        }
    }

    /// Somebody may have changed what we set on a LAN interface; and frames that somebody merged
    /// cannot be taken.
    fn mend_lans(&mut self, now: Instant) {
        let figures = self.exchange.figures();
        for lan in LanId::BOTH {
            let side = &mut self.lans[lan.index()];
            match side.mend(&self.config, self.mac) {
                Ok(None) => {}
                Ok(Some(wrong)) => {
                    self.journal.daemon(now, &DaemonEvent::LanMended(lan, wrong));
                }
                Err(why) => {
                    let text = format!("LAN {lan}: changed by somebody, not put right: {why}");
                    self.journal.line("alarm", &text);
                }
            }
            if side.watch_merged(now, figures.ports[lan.index()].rx_merged) {
                self.journal.daemon(now, &DaemonEvent::MergedFrames(lan));
            }
        }
    }

    fn link_changed(&mut self, now: Instant, change: &LinkChange) {
        if change.index == self.host.index {
            self.host_changed(now, &change.what);
            return;
        }
        for lan in LanId::BOTH {
            let side = &mut self.lans[lan.index()];
            let claimed = side.claim.as_ref().map(|claim| claim.index);
            let is_claimed = claimed == Some(change.index);
            match &change.what {
                WhatChanged::Gone if is_claimed => self.lan_gone(now, lan),
                WhatChanged::Changed(info) | WhatChanged::New(info) if is_claimed => {
                    let before = (side.link(), side.info.as_ref().map(|info| info.mtu));
                    side.info = Some(info.clone());
                    if before.1 != Some(info.mtu) {
                        self.tell(Command::SetMtu(lan, info.mtu));
                    }
                    self.link_may_have_changed(now, lan, before.0);
                }
                WhatChanged::Changed(_) | WhatChanged::New(_)
                    if claimed.is_none() && change.name == side.interface =>
                {
                    self.lan_back(now, lan, change.index);
                }
                _ => {}
            }
        }
    }

    fn host_changed(&mut self, now: Instant, what: &WhatChanged) {
        match what {
            WhatChanged::New(info) | WhatChanged::Changed(info) => {
                if self.host_is_promiscuous != info.promiscuous {
                    self.host_is_promiscuous = info.promiscuous;
                    self.set_promiscuous();
                }
            }
            WhatChanged::Gone if self.failure.is_none() => {
                let name = &self.host.name;
                self.journal.daemon(now, &DaemonEvent::HostInterfaceGone);
                self.failure = Some(Failure::failed(
                    format!("host interface {name} was deleted by somebody"),
                    "start the daemon again, and leave its interface to it",
                ));
            }
            WhatChanged::Gone => {}
        }
    }

    fn set_promiscuous(&mut self) {
        let (wanted, mac, host) = (self.config.promiscuous, self.mac, self.host_is_promiscuous);
        for side in &mut self.lans {
            if let Err(why) = side.set_promiscuous(wanted, mac, host) {
                let name = &side.interface;
                let text = format!("{name} does not receive frames for other stations: {why}");
                self.journal.line("warning", &text);
            }
        }
    }

    fn link_may_have_changed(&mut self, now: Instant, lan: LanId, before: Link) {
        let link = self.lans[lan.index()].link();
        if link == before {
            return;
        }
        let is_up = link == Link::Up;
        self.tell(Command::SetLink(lan, is_up));
        if link != Link::Absent && before != Link::Absent {
            let event = if is_up { DaemonEvent::LinkUp(lan) } else { DaemonEvent::LinkDown(lan) };
            self.journal.daemon(now, &event);
        }
        self.show_carrier(now);
    }

    fn lan_gone(&mut self, now: Instant, lan: LanId) {
        let side = &mut self.lans[lan.index()];
        let before = side.link();
        side.forget();
        self.marker.owned.lans[lan.index()] = None;
        self.store_marker();
        self.journal.daemon(now, &DaemonEvent::InterfaceGone(lan));
        self.tell(Command::ReplaceLan(lan, None));
        self.link_may_have_changed(now, lan, before);
    }

    /// An interface of the configured name is there again. Until it is claimed the host's stack
    /// takes what arrives on it, so another one than that which failed is not kept waiting.
    fn lan_back(&mut self, now: Instant, lan: LanId, index: u32) {
        let retry = self.retries[lan.index()].take_if(|(failed, _)| *failed == index);
        if retry.is_some_and(|(_, at)| now < at) {
            self.retries[lan.index()] = retry;
            return;
        }
        match self.reopen(lan) {
            Ok((side, port)) => {
                self.lans[lan.index()] = side;
                self.journal.daemon(now, &DaemonEvent::InterfaceBack(lan));
                if let Some(paths) = self.lans[lan.index()].paths() {
                    self.journal.line("info", &paths);
                }
                self.set_promiscuous();
                self.tell(Command::ReplaceLan(lan, Some(port)));
                self.link_may_have_changed(now, lan, Link::Absent);
            }
            Err(why) => {
                // Often it is just being set up by somebody; the recheck tries again.
                self.retries[lan.index()] = Some((index, now + RETRY));
                let text = format!("LAN {lan}: its interface is back but not usable yet: {why}");
                self.journal.line("warning", &text);
            }
        }
    }

    fn reopen(&mut self, lan: LanId) -> Result<(LanSide, Box<LanPort>), String> {
        let interface = self.config.lan(lan).as_str();
        let originals = LanOriginals::read(interface).map_err(|error| error.to_string())?;
        LanSide::open(lan, &self.config, &mut self.marker, self.mac, originals)
            .map_err(|failure| failure.to_string())
    }

    /// Carrier is down when nothing forwards.
    fn show_carrier(&mut self, now: Instant) {
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

    fn store_marker(&self) {
        if let Err(error) = self.marker.store() {
            self.journal.line("warning", &format!("the runtime folder cannot be written: {error}"));
        }
    }

    fn tell(&self, command: Command) {
        // The thread takes commands in every turn, at least ten times a second; 64 do not wait.
        if self.exchange.send(command).is_err() {
            self.journal.line("warning", "the lre thread does not take commands");
        }
    }

    fn take_replies(&mut self) {
        while let Some(reply) = self.exchange.replies.pop() {
            match reply {
                Reply::Retired(port) => drop(port),
                Reply::Node(node) => self.nodes.collected.push(Node::from(&node)),
                Reply::NodesEnd => {
                    let nodes = std::mem::take(&mut self.nodes.collected);
                    self.nodes.complete = self.nodes.started.take().map(|started| (started, nodes));
                }
            }
        }
    }

    fn drain_trace(&mut self, now: Instant) {
        while let Some(record) = self.trace.pop() {
            if record.lost_before > 0 {
                self.journal.daemon(now, &DaemonEvent::EventsLost(record.lost_before));
            }
            match record.event {
                Some(ThreadEvent::Lre(event)) => self.journal.lre(record.at, now, &event),
                // The kernel tells the same through the link monitor, with the event for people.
                Some(ThreadEvent::PortGone(_)) | None => {}
            }
        }
    }
}
