//! The documents that the control socket hands out.

use prp::types::PortId;
use rt_core::limits::NODE_REBOOT_INTERVAL;
use rt_core::os::clock::BootClock;
use rt_core::os::thread::{scheduling_of, thread_figures};
use rt_core::os::{freeze, memory};
use rt_core::time::Instant;

use super::exchange::{Command, Figures};
use super::journal::Journal;
use super::lan_side::LanSide;
use super::regions::Regions;
use super::regions::shown::document;
use super::supervisor::Supervisor;
use crate::control::protocol::Request;
use crate::control::server::{Answer, ControlSource};
use crate::report::{
    Counters, Document, Event, Events, Host, MibCounters, Port, Ports, Regions as RegionsDocument,
    SCHEMA, Status, Thread,
};

impl ControlSource for Supervisor {
    fn answer(&mut self, request: &Request, asked: Instant) -> Answer {
        let now = BootClock::now();
        match *request {
            Request::Status => Ok(Document::Status(Box::new(self.status()))),
            Request::Counters => Ok(Document::Counters(Box::new(self.counters()))),
            Request::Events { .. } => Ok(Document::Events(self.events())),
            Request::Nodes => return self.nodes(asked),
            Request::Regions => Ok(self.regions_document(now)),
            Request::Drop { region } => self
                .configured_regions()
                .and_then(|(regions, journal)| regions.drop_state(region, now, journal))
                .map(|()| self.regions_document(now)),
            Request::Switchover { application } => self
                .configured_regions()
                .and_then(|(regions, journal)| regions.switch_over(application, now, journal))
                .map(Document::Switchover),
        }
        .map_or_else(Answer::NotPossible, Answer::Document)
    }

    fn event_after(&mut self, sequence: u64) -> Option<Event> {
        self.journal.after(sequence)
    }
}

impl Supervisor {
    /// The node table: fetched from the `lre` thread, which sends it in pieces.
    fn nodes(&mut self, asked: Instant) -> Answer {
        if let Some((started, nodes)) = &self.nodes.complete
            && *started >= asked
        {
            return Answer::Document(Document::Nodes(nodes.clone()));
        }
        if self.nodes.started.is_none() {
            self.nodes.collected.clear();
            if self.exchange.send(Command::ExportNodes).is_ok() {
                self.nodes.started = Some(BootClock::now());
            }
        }
        Answer::Pending
    }

    fn configured_regions(&mut self) -> Result<(&mut Regions, &mut Journal), String> {
        let regions = self.regions.as_mut();
        let regions = regions.ok_or_else(|| "no application is configured".to_owned())?;
        Ok((regions, &mut self.journal))
    }

    fn regions_document(&self, now: Instant) -> Document {
        Document::Regions(Box::new(self.regions_at(now)))
    }

    fn regions_at(&self, now: Instant) -> RegionsDocument {
        let uptime_ns = self.journal.uptime(now).as_nanos();
        let name = self.config.name.as_str();
        match &self.regions {
            Some(regions) => regions.document(name, uptime_ns),
            None => document(name, uptime_ns, Vec::new(), Vec::new()),
        }
    }

    fn counters(&self) -> Counters {
        Counters {
            schema: SCHEMA,
            name: self.config.name.as_str().to_owned(),
            uptime_ns: self.journal.uptime(BootClock::now()).as_nanos(),
            counters: MibCounters::from(&self.exchange.figures().lre),
        }
    }

    fn events(&self) -> Events {
        Events {
            schema: SCHEMA,
            name: self.config.name.as_str().to_owned(),
            uptime_ns: self.journal.uptime(BootClock::now()).as_nanos(),
            forgotten: self.journal.forgotten(),
            events: self.journal.events(),
        }
    }

    fn status(&self) -> Status {
        let figures = self.exchange.figures();
        let [a, b] = &self.lans;
        let now = BootClock::now();
        let RegionsDocument { applications, regions, .. } = self.regions_at(now);
        Status {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: self.config.name.as_str().to_owned(),
            protocol: self.config.protocol.name().to_owned(),
            pid: std::process::id(),
            mac: self.mac.to_string(),
            uptime_ns: self.journal.uptime(now).as_nanos(),
            degraded: self.degraded_now(),
            alarms: self.alarms(&figures),
            receive_mode: self.config.receive_mode.name().to_owned(),
            sequence_number: figures.sequence_number,
            host: Host {
                interface: self.host.name.clone(),
                kind: self.host.kind,
                mtu: self.host.info.as_ref().map_or(self.host.mtu, |info| info.mtu),
                carrier: self.carrier,
                elsewhere: self.host.is_away,
                counters: figures.ports[PortId::C.index()].into(),
            },
            ports: Ports { a: port(a, &figures), b: port(b, &figures), interlink: None },
            counters: MibCounters::from(&figures.lre),
            nodes: figures.lre.nodes,
            applications,
            regions,
            threads: self.threads(),
            rt_allocations: freeze::frozen_allocations().count,
            memory_locked_octets: memory::locked_octets().unwrap_or(0),
        }
    }

    /// What is wrong in the network now.
    fn alarms(&self, figures: &Figures) -> Vec<String> {
        let mut sentences = Vec::new();
        if !self.carrier {
            sentences.push(
                "the host is cut off: neither LAN has a link; look at the cables and switches of \
                 both"
                    .to_owned(),
            );
        }
        sentences.extend(alarms(figures));
        sentences.extend(self.regions.iter().flat_map(Regions::alarms));
        sentences.extend(self.lans.iter().flat_map(LanSide::alarms));
        sentences
    }

    fn degraded_now(&self) -> Vec<String> {
        let mut reasons = self.degraded.clone();
        reasons.extend(self.host.shortcoming());
        reasons.extend(self.lans.iter().flat_map(LanSide::shortcomings));
        reasons
    }

    /// The threads as the kernel has them now, not as they were asked for.
    fn threads(&self) -> Vec<Thread> {
        let shown = self.exchange.figures();
        let [minor, major] = shown.faults_before;
        let lre = thread("lre", self.lre_tid).map(|lre| Thread {
            waits: Some(shown.waits),
            minor_faults: lre.minor_faults.saturating_sub(minor),
            major_faults: lre.major_faults.saturating_sub(major),
            ..lre
        });
        let control = i32::try_from(std::process::id()).unwrap_or(0);
        let log = self.journal.logger_tid().and_then(|tid| thread("log", tid));
        lre.into_iter().chain(thread("control", control)).chain(log).collect()
    }
}

pub(super) fn thread(name: &str, tid: i32) -> Option<Thread> {
    let found = scheduling_of(tid).ok()?;
    let figures = thread_figures(tid).ok()?;
    let cpu = match found.cpus.as_slice() {
        [cpu] => u32::try_from(*cpu).ok(),
        _ => None,
    };
    Some(Thread {
        name: name.to_owned(),
        policy: found.policy.name().to_owned(),
        priority: found.priority,
        cpu,
        tid: u32::try_from(tid).ok()?,
        waits: None,
        voluntary_switches: figures.voluntary_switches,
        involuntary_switches: figures.involuntary_switches,
        minor_faults: figures.minor_faults,
        major_faults: figures.major_faults,
    })
}

fn port(side: &LanSide, figures: &Figures) -> Port {
    let info = side.info.as_ref();
    Port {
        interface: side.interface.clone(),
        link: side.link(),
        mtu: info.map(|info| info.mtu),
        mac: info.map(|info| info.mac.to_string()),
        receive_path: side.receive_path.map(|path| path.name().to_owned()),
        receive_fallback: side.receive_fallback.clone(),
        transmit_path: side.transmit_path.map(|path| path.name().to_owned()),
        transmit_fallback: side.transmit_fallback.as_ref().map(ToString::to_string),
        promiscuous: side.every_frame(),
        counters: figures.ports[side.lan.index()].into(),
    }
}

fn alarms(figures: &Figures) -> Vec<String> {
    let alarms = figures.alarms;
    let mut sentences = Vec::new();
    for (at, port) in ["A", "B"].into_iter().enumerate() {
        if alarms.wrong_lan[at] {
            sentences.push(format!(
                "port {port} receives frames of the other LAN: cables are swapped or the LANs are \
                 joined; follow the cable of port {port} to its switch"
            ));
        }
        if alarms.own_frame[at] {
            sentences.push(format!(
                "port {port} receives our own frames: the LANs are joined, or another node uses \
                 our MAC address; look for a link between the LANs' switches"
            ));
        }
    }
    for (count, lan) in alarms.nodes_silent.into_iter().zip(["A", "B"]) {
        if count > 0 {
            let nodes = if count == 1 { "node is" } else { "nodes are" };
            sentences.push(format!(
                "{count} redundant {nodes} not heard on LAN {lan}: no redundancy towards them \
                 (`bumpless nodes` says which)"
            ));
        }
    }
    if alarms.node_table_full {
        sentences.push(
            "the node table is full: frames of the nodes outside it may be delivered twice; raise \
             node_table_size"
                .to_owned(),
        );
    }
    if alarms.duplicate_memory_full {
        sentences.push(
            "the memory of duplicate discard is used up: frames may be delivered twice; raise \
             node_table_size"
                .to_owned(),
        );
    }
    sentences
}

/// The silence that is told in messages.
pub(super) const SILENCE_MS: u64 = NODE_REBOOT_INTERVAL.as_millis();
