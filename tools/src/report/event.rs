//! What happened, as a document.

use prp::lre::event::LreEvent;
use prp::types::{LanId, MacAddress};
use rt_core::time::Duration;
use serde::{Deserialize, Serialize};
use shm_replica::segment::RegionName;

use super::region_event::{RegionEvent, Words};
use super::status::EveryFrame;

/// How much an event matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Redundancy is less than it was.
    Warning,
    /// Something is wrong and needs a person.
    Alarm,
}

/// One event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Rises by one per event from 1, so that a gap shows.
    pub sequence: u64,
    /// When, as time since the daemon started, in ns.
    pub uptime_ns: u64,
    /// When, as wall clock time since 1970, in ns; as good as the clock is.
    pub unix_time_ns: u64,
    /// See [`Severity`].
    pub severity: Severity,
    /// What, as a word that scripts can compare.
    pub kind: String,
    /// The node it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// What that node is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_kind: Option<String>,
    /// The LAN it is about: `a` or `b`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lan: Option<String>,
    /// The application it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// The process it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// The epoch that began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// The same as a sentence.
    pub text: String,
}

/// `bumpless events --json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Events {
    /// See [`super::SCHEMA`].
    pub schema: u32,
    /// The instance.
    pub name: String,
    /// Time since the daemon started, in ns: what an event's time is compared with.
    pub uptime_ns: u64,
    /// Events that are no longer kept: all before the first one here.
    pub forgotten: u64,
    /// Oldest first.
    pub events: Vec<Event>,
}

/// When an event happened.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Moment {
    /// Rises by one per event.
    pub sequence: u64,
    /// Since the daemon started, in ns.
    pub uptime_ns: u64,
    /// Since 1970, in ns.
    pub unix_time_ns: u64,
}

/// What the daemon itself reports, beside the LRE.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DaemonEvent {
    /// The threads run.
    Started,
    /// On one LAN.
    Lan(LanId, LanEvent),
    /// With the host interface.
    Host(HostEvent),
    /// With regions.
    Region(RegionEvent),
    /// Neither LAN carries anything.
    CarrierLost,
    /// At least one LAN carries again.
    CarrierBack,
    /// The machine was suspended for so long.
    Resumed(Duration),
    /// The thread that carries the frames did not run for so long.
    Paused {
        /// How long.
        length: Duration,
        /// Whether frames were missed meanwhile.
        missed: bool,
    },
    /// The trace ring ran over: this many events were not recorded.
    EventsLost(u64),
    /// Something this runs without; the sentence says what and the remedy.
    Degraded(String),
}

/// What happens on one LAN.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LanEvent {
    /// Its link is up.
    LinkUp,
    /// Its link is down: there is no carrier.
    LinkDown,
    /// Its link is down: somebody set the interface down.
    SetDown,
    /// There is no interface of that name at start.
    Missing(String),
    /// Its interface was deleted, or moved to another network namespace.
    Gone,
    /// Its interface is there again, and used.
    Back {
        /// Whether its link is up already.
        has_link: bool,
    },
    /// An interface of its name is there but cannot be used; the words say why.
    Refused(String),
    /// Its interface has another name; it stays in use.
    Renamed {
        /// What it was called.
        from: String,
        /// What it is called.
        to: String,
    },
    /// Another interface has the name that is configured, while its own lives.
    NameTaken {
        /// What its interface is called.
        ours: String,
        /// The configured name.
        name: String,
    },
    /// Somebody had changed its interface; it was put right. The words say what was wrong.
    Mended(String),
    /// Somebody changed its interface, which cannot be put right; the words say what and why.
    NotMended(String),
    /// It brings frames that somebody merged; they are dropped.
    MergedFrames,
    /// Its interface receives frames for other stations too, or, without a reason, no more.
    EveryFrame(Option<EveryFrame>),
}

/// What happens to the host interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HostEvent {
    /// Somebody removed it.
    Gone,
    /// Somebody moved it to another network namespace, where it works on.
    Moved,
    /// It is in the daemon's namespace again.
    MovedBack,
    /// Somebody set it up.
    SetUp,
    /// Somebody set it down.
    SetDown,
    /// Somebody renamed it.
    Renamed {
        /// What it was called.
        from: String,
        /// What it is called.
        to: String,
    },
    /// Somebody had changed it; it was put right. The words say what was wrong.
    Mended(String),
}

struct Parts {
    severity: Severity,
    kind: &'static str,
    mac: Option<MacAddress>,
    node_kind: Option<&'static str>,
    lan: Option<LanId>,
    application: Option<RegionName>,
    pid: Option<i32>,
    epoch: Option<u64>,
    text: String,
}

impl Parts {
    fn new(severity: Severity, kind: &'static str, text: impl Into<String>) -> Self {
        Self {
            severity,
            kind,
            mac: None,
            node_kind: None,
            lan: None,
            application: None,
            pid: None,
            epoch: None,
            text: text.into(),
        }
    }

    fn mac(self, mac: MacAddress) -> Self {
        Self { mac: Some(mac), ..self }
    }

    fn node_kind(self, kind: &'static str) -> Self {
        Self { node_kind: Some(kind), ..self }
    }

    fn lan(self, lan: LanId) -> Self {
        Self { lan: Some(lan), ..self }
    }

    fn at(self, moment: Moment) -> Event {
        Event {
            sequence: moment.sequence,
            uptime_ns: moment.uptime_ns,
            unix_time_ns: moment.unix_time_ns,
            severity: self.severity,
            kind: self.kind.to_owned(),
            mac: self.mac.map(|mac| mac.to_string()),
            node_kind: self.node_kind.map(str::to_owned),
            lan: self.lan.map(|lan| lan.to_string().to_ascii_lowercase()),
            application: self.application.map(|name| name.as_str().to_owned()),
            pid: self.pid,
            epoch: self.epoch,
            text: self.text,
        }
    }
}

impl Event {
    /// An event of the LRE.
    #[must_use]
    pub fn from_lre(moment: Moment, event: &LreEvent) -> Self {
        lre_parts(event).at(moment)
    }

    /// An event of the daemon.
    #[must_use]
    pub fn from_daemon(moment: Moment, event: &DaemonEvent) -> Self {
        daemon_parts(event).at(moment)
    }
}

fn lre_parts(event: &LreEvent) -> Parts {
    use Severity::{Alarm, Info, Warning};
    match *event {
        LreEvent::NodeAppeared { mac, kind } => {
            let text = format!("node {mac} ({}) heard for the first time", kind.name());
            Parts::new(Info, "node_appeared", text).mac(mac).node_kind(kind.name())
        }
        LreEvent::NodeKindChanged { mac, kind } => {
            let text = format!("node {mac} is a {} now", kind.name());
            Parts::new(Info, "node_kind_changed", text).mac(mac).node_kind(kind.name())
        }
        LreEvent::NodeForgotten { mac, kind } => {
            let severity = if kind.is_san() { Info } else { Warning };
            let text = format!("node {mac} ({}) is silent and has left the table", kind.name());
            Parts::new(severity, "node_forgotten", text).mac(mac).node_kind(kind.name())
        }
        LreEvent::NodeSilentOnLan { mac, silent } => {
            let text = format!("node {mac} is not heard on LAN {silent}: no redundancy towards it");
            Parts::new(Warning, "node_silent_on_lan", text).mac(mac).lan(silent)
        }
        LreEvent::NodeBackOnLan { mac, lan } => {
            let text = format!("node {mac} is heard on LAN {lan} again");
            Parts::new(Info, "node_back_on_lan", text).mac(mac).lan(lan)
        }
        LreEvent::NodesUntold { count } => {
            let text = format!(
                "{count} more times a node appeared, changed or fell silent: too many to tell; \
                 `bumpless nodes` shows who is there"
            );
            Parts::new(Warning, "nodes_untold", text)
        }
        LreEvent::WrongLanBegan { port, mac } => wrong_lan_began(port, mac),
        LreEvent::WrongLanEnded { port } => {
            let text = format!("port {port} no longer receives frames of LAN {}", port.other());
            Parts::new(Info, "wrong_lan_ended", text).lan(port)
        }
        LreEvent::OwnFrameBegan { port } => own_frame_began(port),
        LreEvent::OwnFrameEnded { port } => {
            let text = format!("port {port} no longer receives our own frames");
            Parts::new(Info, "own_frame_ended", text).lan(port)
        }
        LreEvent::NodeTableFull { mac } => {
            let text = format!(
                "the node table is full ({mac} found no place): frames of nodes outside it may be \
                 delivered twice; raise node_table_size"
            );
            Parts::new(Alarm, "node_table_full", text).mac(mac)
        }
        LreEvent::NodeTableHasRoom => {
            Parts::new(Info, "node_table_has_room", "the node table has room again")
        }
        LreEvent::DuplicateMemoryFull => Parts::new(
            Alarm,
            "duplicate_memory_full",
            "the memory of duplicate discard is used up: frames may be delivered twice; raise \
             node_table_size",
        ),
        LreEvent::DuplicateMemoryHasRoom => Parts::new(
            Info,
            "duplicate_memory_has_room",
            "the memory of duplicate discard has room again",
        ),
    }
}

fn wrong_lan_began(port: LanId, mac: MacAddress) -> Parts {
    let other = port.other();
    let text = format!(
        "port {port} receives frames of LAN {other} (from {mac}): cables are swapped or the LANs \
         are joined"
    );
    Parts::new(Severity::Alarm, "wrong_lan_began", text).mac(mac).lan(port)
}

fn own_frame_began(port: LanId) -> Parts {
    let text = format!(
        "port {port} receives frames with our own address: the LANs are joined or the address is \
         used twice"
    );
    Parts::new(Severity::Alarm, "own_frame_began", text).lan(port)
}

fn daemon_parts(event: &DaemonEvent) -> Parts {
    use Severity::{Alarm, Info, Warning};
    match event {
        DaemonEvent::Started => Parts::new(Info, "started", "the daemon has started"),
        DaemonEvent::Lan(lan, event) => {
            let (severity, kind, text) = lan_words(event);
            Parts::new(severity, kind, format!("LAN {lan}: {text}")).lan(*lan)
        }
        DaemonEvent::Host(event) => host_parts(event),
        DaemonEvent::Region(event) => region_parts(event),
        DaemonEvent::CarrierLost => {
            Parts::new(Alarm, "carrier_lost", "both LANs are down: the host is cut off")
        }
        DaemonEvent::CarrierBack => Parts::new(Info, "carrier_back", "the host is connected again"),
        DaemonEvent::Resumed(slept) => {
            let text = format!("the machine was suspended for {} ms", slept.as_millis());
            Parts::new(Warning, "resumed", text)
        }
        DaemonEvent::Paused { length, missed } => {
            let what = if *missed { "frames may be lost" } else { "no frame was lost" };
            let text = format!(
                "the lre thread did not run for {} ms (stopped, or starved by others): {what}",
                length.as_millis()
            );
            Parts::new(Warning, "paused", text)
        }
        DaemonEvent::EventsLost(lost) => {
            let text = format!("{lost} events were not recorded: they came faster than the log");
            Parts::new(Warning, "events_lost", text)
        }
        DaemonEvent::Degraded(why) => Parts::new(Warning, "degraded", why.clone()),
    }
}

fn region_parts(event: &RegionEvent) -> Parts {
    let Words { severity, kind, application, pid, epoch, text } = event.words();
    Parts { application, pid, epoch, ..Parts::new(severity, kind, text) }
}

fn host_parts(event: &HostEvent) -> Parts {
    use Severity::{Alarm, Info, Warning};
    match event {
        HostEvent::Gone => {
            let text = "the host interface was deleted by somebody: the daemon ends";
            Parts::new(Alarm, "host_interface_gone", text)
        }
        HostEvent::Moved => {
            let text = "somebody moved the host interface to another network namespace: it works \
                        on there, once it is set up and has an address";
            Parts::new(Warning, "host_interface_moved", text)
        }
        HostEvent::MovedBack => {
            let text = "the host interface is in the daemon's network namespace again, down until \
                        somebody sets it up";
            Parts::new(Warning, "host_interface_moved_back", text)
        }
        HostEvent::SetUp => {
            Parts::new(Info, "host_interface_up", "somebody set the host interface up")
        }
        HostEvent::SetDown => {
            let text = "somebody set the host interface down: the host is cut off";
            Parts::new(Warning, "host_interface_down", text)
        }
        HostEvent::Renamed { from, to } => {
            let text = format!("the host interface, {from}, is called {to} now");
            Parts::new(Warning, "host_interface_renamed", text)
        }
        HostEvent::Mended(wrong) => {
            let text = format!("somebody had changed the host interface ({wrong}); mended");
            Parts::new(Warning, "host_interface_mended", text)
        }
    }
}

/// Severity, kind and what follows the LAN's name.
fn lan_words(event: &LanEvent) -> (Severity, &'static str, String) {
    use Severity::{Alarm, Info, Warning};
    let (severity, kind, text) = match event {
        LanEvent::LinkUp => (Info, "link_up", "link up"),
        LanEvent::LinkDown => (Warning, "link_down", "link down, no redundancy"),
        LanEvent::SetDown => {
            (Warning, "link_down", "somebody set its interface down, no redundancy")
        }
        LanEvent::Missing(name) => {
            let text = format!("there is no interface {name}: no redundancy until it appears");
            return (Alarm, "interface_missing", text);
        }
        LanEvent::Gone => (
            Warning,
            "interface_gone",
            "its interface was removed (deleted, or moved to another network namespace), no \
             redundancy",
        ),
        LanEvent::Back { has_link: true } => (Info, "interface_back", "its interface is back"),
        LanEvent::Back { has_link: false } => {
            (Info, "interface_back", "its interface is back, its link is not up yet")
        }
        LanEvent::Refused(why) => {
            let text = format!("its interface is there but not usable yet: {why}");
            return (Warning, "interface_refused", text);
        }
        LanEvent::Renamed { from, to } => {
            let text = format!("its interface, {from}, is called {to} now, and stays in use");
            return (Warning, "interface_renamed", text);
        }
        LanEvent::NameTaken { ours, name } => {
            let text = format!(
                "another interface is called {name} now; {ours} stays in use until it is gone or \
                 the daemon is restarted"
            );
            return (Warning, "interface_name_taken", text);
        }
        LanEvent::Mended(wrong) => {
            let text = format!("somebody had changed its interface ({wrong}); mended");
            return (Warning, "lan_mended", text);
        }
        LanEvent::NotMended(why) => {
            let text = format!("somebody changed its interface, which cannot be put right ({why})");
            return (Alarm, "lan_not_mended", text);
        }
        LanEvent::EveryFrame(Some(why)) => {
            let text = format!("its interface takes frames for every station: {}", why.words());
            return (Info, "promiscuous", text);
        }
        LanEvent::EveryFrame(None) => {
            (Info, "promiscuous", "its interface takes frames for this node only again")
        }
        LanEvent::MergedFrames => (
            Alarm,
            "merged_frames",
            "frames that a sender or the card had merged are dropped; switch TSO, GSO, GRO and \
             LRO off there",
        ),
    };
    (severity, kind, text.to_owned())
}
