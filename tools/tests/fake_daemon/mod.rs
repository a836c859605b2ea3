//! A control server with a source that the test steers, beneath the operator's command and hostile
//! clients. Everything but the source is the real thing.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use nix::poll::{PollTimeout, poll};
use prp::lre::NodeRecord;
use prp::lre::counters::LreCounters;
use prp::lre::event::{LreEvent, NodeKind};
use prp::types::{LanId, MacAddress};
use rt_core::os::clock::MonotonicClock;
use rt_core::time::{Duration, Instant};
use shm_replica::segment::RegionName;
use tools::config::SocketGroup;
use tools::control::{Answer, ControlServer, ControlSource, Request};
use tools::report::event::Moment;
use tools::report::{
    Application, Counters, DaemonEvent, Document, Event, Events, EveryFrame, Host, HostEvent,
    HostKind, LanEvent, Link, MibCounters, Node, Participant, Port, PortCounters, Ports, Region,
    RegionEvent, Regions, RegionsStatus, SCHEMA, Status, Switchover, Thread,
};

pub const MAC: MacAddress = MacAddress([2, 0, 0x5e, 0x10, 0, 1]);

/// A folder of the test's own, removed at the end.
pub struct TestFolder(pub PathBuf);

impl TestFolder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bumpless-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn counters() -> MibCounters {
    MibCounters::from(&LreCounters {
        tx: [1_234_567, 1_234_567, 7],
        rx: [99, 98, 97],
        errors: [3, 0, 0],
        ..LreCounters::default()
    })
}

fn port(interface: &str) -> Port {
    Port {
        interface: interface.to_owned(),
        link: Link::Up,
        mtu: Some(1506),
        mac: Some(MAC.to_string()),
        receive_path: Some("ring".to_owned()),
        receive_fallback: None,
        transmit_path: Some("packet".to_owned()),
        transmit_fallback: Some(format!("{interface} (e1000e) is a network card")),
        promiscuous: (interface == "eth1").then_some(EveryFrame::VlanFilter),
        counters: PortCounters { rx_frames: 1_000, tx_frames: 2_000, ..PortCounters::default() },
    }
}

pub fn status() -> Status {
    Status {
        schema: SCHEMA,
        version: "0.1.0".to_owned(),
        name: "prp0".to_owned(),
        protocol: "prp".to_owned(),
        pid: 4242,
        mac: MAC.to_string(),
        uptime_ns: 7_384_000_000_000,
        degraded: Vec::new(),
        alarms: Vec::new(),
        receive_mode: "block".to_owned(),
        sequence_number: 65_535,
        host: Host {
            interface: "prp0".to_owned(),
            kind: HostKind::Tap,
            mtu: 1500,
            carrier: true,
            elsewhere: false,
            counters: PortCounters::default(),
        },
        ports: Ports { a: port("eth1"), b: port("eth2"), interlink: None },
        counters: counters(),
        nodes: 3,
        applications: applications(),
        regions: regions(),
        threads: vec![Thread {
            name: "lre".to_owned(),
            policy: "SCHED_FIFO".to_owned(),
            priority: 60,
            cpu: Some(2),
            tid: 4243,
            waits: Some(0),
            voluntary_switches: 12_345,
            involuntary_switches: 0,
            minor_faults: 0,
            major_faults: 0,
        }],
        rt_allocations: 0,
        memory_locked_octets: 12 << 20,
    }
}

pub fn applications() -> Vec<Application> {
    vec![
        Application {
            name: "plc".to_owned(),
            epoch: 7,
            active: Some(Participant { pid: 812, uid: 0 }),
            standbys: vec![Participant { pid: 813, uid: 1001 }],
            awaited_pid: None,
            awaited_standby_pids: Vec::new(),
        },
        Application {
            name: "hmi".to_owned(),
            epoch: 2,
            active: None,
            standbys: Vec::new(),
            awaited_pid: Some(700),
            awaited_standby_pids: vec![701],
        },
    ]
}

pub fn regions() -> Vec<Region> {
    vec![
        Region {
            name: "plant".to_owned(),
            application: "plc".to_owned(),
            epoch: 7,
            cycle: Some(123_456),
            commits: 1_000,
            commit_interval_ns: None,
            age_ns: Some(900_000),
            lag_cycles: Some(0),
            in_sync: true,
            bytes: Some(65_536),
            memory_octets: 270_336,
            readers: 2,
            writer_pid: Some(812),
        },
        Region {
            name: "view".to_owned(),
            application: "hmi".to_owned(),
            epoch: 0,
            cycle: None,
            commits: 0,
            commit_interval_ns: None,
            age_ns: None,
            lag_cycles: None,
            in_sync: false,
            bytes: None,
            memory_octets: 0,
            readers: 0,
            writer_pid: None,
        },
    ]
}

/// The status of a daemon that keeps regions only.
pub fn regions_status() -> RegionsStatus {
    let Status { schema, version, name, pid, uptime_ns, degraded, alarms, .. } = status();
    let Status { applications, regions, threads, memory_locked_octets, .. } = status();
    RegionsStatus {
        schema,
        version,
        name,
        protocol: None,
        pid,
        uptime_ns,
        degraded,
        alarms,
        applications,
        regions,
        threads,
        memory_locked_octets,
    }
}

/// A status with everything wrong.
pub fn status_in_trouble() -> Status {
    let mut status = status();
    status.ports.b.link = Link::Absent;
    status.ports.b.mtu = None;
    status.ports.b.mac = None;
    status.ports.b.receive_path = None;
    status.ports.b.transmit_path = None;
    status.ports.b.transmit_fallback = None;
    status.alarms = vec!["port A receives frames of the other LAN".to_owned()];
    status.degraded = vec!["no real-time scheduling; grant CAP_SYS_NICE".to_owned()];
    status
}

/// One node per kind; the first hears nothing on B, the second never was on B.
pub fn nodes() -> Vec<Node> {
    let record = |(number, kind): (usize, NodeKind)| NodeRecord {
        mac: MacAddress([2, 0, 0, 0, 0, u8::try_from(number).unwrap()]),
        kind,
        supervised: !kind.is_san(),
        last_seen_age: match number {
            2 => [Some(Duration::from_millis(12)), Some(Duration::from_secs(61))],
            3 => [Some(Duration::from_millis(12)), None],
            _ => [Some(Duration::from_millis(12)), Some(Duration::from_millis(2_500))],
        },
        rx: [10_000, 9_999],
        rx_tagged: [9_000, 8_999],
        rx_supervision: [100, 99],
        err_wrong_lan: [0, if number == 4 { 5 } else { 0 }],
        redbox_mac: (kind == NodeKind::VdanP).then_some(MAC),
    };
    NodeKind::ALL.into_iter().enumerate().map(record).map(|record| Node::from(&record)).collect()
}

/// As many nodes as a table holds.
pub fn many_nodes(count: u32) -> Vec<Node> {
    let template = nodes().remove(2);
    let mac = |number: u32| {
        let [a, b, c, d] = number.to_be_bytes();
        MacAddress([2, 0, a, b, c, d]).to_string()
    };
    (0..count).map(|number| Node { mac: mac(number), ..template.clone() }).collect()
}

/// Every kind of event once, from sequence 1 on.
pub fn all_events() -> Vec<Event> {
    let (mac, kind) = (MAC, NodeKind::Danp);
    let lre = [
        LreEvent::NodeAppeared { mac, kind },
        LreEvent::NodeKindChanged { mac, kind },
        LreEvent::NodeForgotten { mac, kind },
        LreEvent::NodeSilentOnLan { mac, silent: LanId::B },
        LreEvent::NodeBackOnLan { mac, lan: LanId::B },
        LreEvent::WrongLanBegan { port: LanId::A, mac },
        LreEvent::WrongLanEnded { port: LanId::A },
        LreEvent::OwnFrameBegan { port: LanId::B },
        LreEvent::OwnFrameEnded { port: LanId::B },
        LreEvent::NodeTableFull { mac },
        LreEvent::NodeTableHasRoom,
        LreEvent::DuplicateMemoryFull,
        LreEvent::DuplicateMemoryHasRoom,
    ];
    let lan = DaemonEvent::Lan;
    let plc = RegionName::new("plc").unwrap();
    let daemon = [
        DaemonEvent::Started,
        lan(LanId::A, LanEvent::LinkUp),
        lan(LanId::B, LanEvent::LinkDown),
        lan(LanId::A, LanEvent::SetDown),
        lan(LanId::A, LanEvent::Missing("eth1".to_owned())),
        lan(LanId::B, LanEvent::Gone),
        lan(LanId::B, LanEvent::Back { has_link: true }),
        lan(LanId::B, LanEvent::Refused("eth2 is enslaved to br0".to_owned())),
        lan(LanId::B, LanEvent::Renamed { from: "eth2".to_owned(), to: "eth9".to_owned() }),
        lan(LanId::B, LanEvent::NameTaken { ours: "eth9".to_owned(), name: "eth2".to_owned() }),
        lan(LanId::A, LanEvent::Mended("its MTU was lowered".to_owned())),
        lan(LanId::A, LanEvent::NotMended("its MTU was lowered: refused".to_owned())),
        lan(LanId::A, LanEvent::MergedFrames),
        lan(LanId::B, LanEvent::EveryFrame(Some(EveryFrame::VlanFilter))),
        lan(LanId::B, LanEvent::EveryFrame(None)),
        DaemonEvent::Host(HostEvent::Gone),
        DaemonEvent::Host(HostEvent::Moved),
        DaemonEvent::Host(HostEvent::MovedBack),
        DaemonEvent::Host(HostEvent::SetUp),
        DaemonEvent::Host(HostEvent::SetDown),
        DaemonEvent::Host(HostEvent::Renamed { from: "prp0".to_owned(), to: "x".to_owned() }),
        DaemonEvent::Host(HostEvent::Mended("its MTU was too long".to_owned())),
        DaemonEvent::Region(RegionEvent::Joined(plc, 812)),
        DaemonEvent::Region(RegionEvent::Left(plc, 812)),
        DaemonEvent::Region(RegionEvent::Active(plc, 813, 8)),
        DaemonEvent::Region(RegionEvent::Refused(plc, 814, "it was registered already".to_owned())),
        DaemonEvent::Region(RegionEvent::OwnerAwaited(plc, 812)),
        DaemonEvent::Region(RegionEvent::OwnerGone(plc, 812)),
        DaemonEvent::Region(RegionEvent::Failed("no room on the disk".to_owned())),
        DaemonEvent::CarrierLost,
        DaemonEvent::CarrierBack,
        DaemonEvent::Resumed(Duration::from_secs(3_600)),
        DaemonEvent::Paused { length: Duration::from_secs(1), missed: false },
        DaemonEvent::Paused { length: Duration::from_secs(9), missed: true },
        DaemonEvent::EventsLost(7),
        DaemonEvent::Degraded("no locked memory; raise RLIMIT_MEMLOCK".to_owned()),
    ];
    let mut events: Vec<Event> =
        lre.iter().map(|event| Event::from_lre(Moment::default(), event)).collect();
    events.extend(daemon.iter().map(|event| Event::from_daemon(Moment::default(), event)));
    for (number, event) in events.iter_mut().enumerate() {
        event.sequence = number as u64 + 1;
        event.uptime_ns = 7_000_000_000_000 + number as u64 * 1_000_000_000;
        event.unix_time_ns = 1_709_251_199_000_000_000 + event.uptime_ns;
    }
    events
}

/// What the test steers.
pub struct FakeSource {
    pub status: Status,
    pub nodes: Vec<Node>,
    pub events: Vec<Event>,
    pub forgotten: u64,
    /// How often a request for nodes gets "not yet" before its answer.
    pub pending_turns: u32,
    pub unavailable: Option<String>,
    pub asked: u32,
    /// Commits that are shown beside those at first: more with each look.
    pub commits: u64,
}

impl Default for FakeSource {
    fn default() -> Self {
        Self {
            status: status(),
            nodes: nodes(),
            events: all_events(),
            forgotten: 0,
            pending_turns: 0,
            unavailable: None,
            asked: 0,
            commits: 0,
        }
    }
}

impl ControlSource for FakeSource {
    fn answer(&mut self, request: &Request, _asked: Instant) -> Answer {
        self.asked += 1;
        if let Some(why) = &self.unavailable {
            return Answer::Unavailable(why.clone());
        }
        Answer::Document(match request {
            Request::Status => Document::Status(Box::new(self.status.clone())),
            Request::Nodes if self.pending_turns > 0 => {
                self.pending_turns -= 1;
                return Answer::Pending;
            }
            Request::Nodes => Document::Nodes(self.nodes.clone()),
            Request::Regions => {
                self.commits += 500;
                let mut regions = regions();
                regions[0].commits += self.commits;
                Document::Regions(Box::new(Regions {
                    schema: SCHEMA,
                    name: self.status.name.clone(),
                    uptime_ns: self.status.uptime_ns + self.commits * 1_000_000,
                    applications: applications(),
                    regions,
                }))
            }
            Request::Drop { region } => {
                return Answer::NotPossible(format!("no region {region} is configured"));
            }
            Request::Switchover { application: None } => {
                return Answer::NotPossible("several applications are configured".to_owned());
            }
            Request::Switchover { application: Some(name) } => Document::Switchover(Switchover {
                schema: SCHEMA,
                application: name.as_str().to_owned(),
                epoch: 8,
                pid: 813,
            }),
            Request::Counters => Document::Counters(Box::new(Counters {
                schema: SCHEMA,
                name: self.status.name.clone(),
                uptime_ns: self.status.uptime_ns,
                counters: self.status.counters.clone(),
            })),
            Request::Events { .. } => Document::Events(Events {
                schema: SCHEMA,
                name: self.status.name.clone(),
                uptime_ns: self.status.uptime_ns,
                forgotten: self.forgotten,
                events: self.events.clone(),
            }),
        })
    }

    fn event_after(&mut self, sequence: u64) -> Option<Event> {
        self.events.iter().find(|event| event.sequence > sequence).cloned()
    }
}

/// A control thread with a server and a fake source, until dropped.
pub struct FakeDaemon {
    pub source: Arc<Mutex<FakeSource>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeDaemon {
    pub fn start(runtime_dir: &Path, source: FakeSource) -> Self {
        let mut server = ControlServer::bind(runtime_dir, &SocketGroup::Default).unwrap();
        let source = Arc::new(Mutex::new(source));
        let stop = Arc::new(AtomicBool::new(false));
        let (their_source, their_stop) = (Arc::clone(&source), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !their_stop.load(Ordering::Relaxed) {
                // Short turns, so that events reach followers and the end is seen.
                let wait =
                    server.poll_timeout(MonotonicClock::now()).min(Duration::from_millis(10));
                let wait = PollTimeout::from(u8::try_from(wait.as_millis()).unwrap());
                let mut fds: Vec<_> = server.poll_fds(MonotonicClock::now()).collect();
                let _ = poll(&mut fds, wait);
                drop(fds);
                server.handle_ready(MonotonicClock::now(), &mut *their_source.lock().unwrap());
            }
        });
        Self { source, stop, thread: Some(thread) }
    }
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
