//! What happened, as a document.

use prp::lre::event::LreEvent;
use prp::types::{LanId, MacAddress};
use serde::{Deserialize, Serialize};

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
    /// A LAN's link is up.
    LinkUp(LanId),
    /// A LAN's link is down.
    LinkDown(LanId),
    /// A LAN's interface was removed.
    InterfaceGone(LanId),
    /// A LAN's interface is there again.
    InterfaceBack(LanId),
    /// The host interface was removed by somebody.
    HostInterfaceGone,
    /// Somebody had changed a LAN's interface; it was put right. The words say what was wrong.
    LanMended(LanId, String),
    /// A LAN brings frames that somebody merged; they are dropped.
    MergedFrames(LanId),
    /// Neither LAN carries anything.
    CarrierLost,
    /// At least one LAN carries again.
    CarrierBack,
    /// The trace ring ran over: this many events were not recorded.
    EventsLost(u64),
    /// Something this runs without; the sentence says what and the remedy.
    Degraded(String),
}

struct Parts {
    severity: Severity,
    kind: &'static str,
    mac: Option<MacAddress>,
    node_kind: Option<&'static str>,
    lan: Option<LanId>,
    text: String,
}

impl Parts {
    fn new(severity: Severity, kind: &'static str, text: impl Into<String>) -> Self {
        Self { severity, kind, mac: None, node_kind: None, lan: None, text: text.into() }
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
        DaemonEvent::LinkUp(lan) => {
            Parts::new(Info, "link_up", format!("LAN {lan}: link up")).lan(*lan)
        }
        DaemonEvent::LinkDown(lan) => {
            let text = format!("LAN {lan}: link down, no redundancy");
            Parts::new(Warning, "link_down", text).lan(*lan)
        }
        DaemonEvent::InterfaceGone(lan) => {
            let text = format!("LAN {lan}: its interface was removed, no redundancy");
            Parts::new(Warning, "interface_gone", text).lan(*lan)
        }
        DaemonEvent::InterfaceBack(lan) => {
            Parts::new(Info, "interface_back", format!("LAN {lan}: its interface is back"))
                .lan(*lan)
        }
        DaemonEvent::LanMended(lan, wrong) => {
            let text = format!("LAN {lan}: somebody had changed its interface ({wrong}); mended");
            Parts::new(Warning, "lan_mended", text).lan(*lan)
        }
        DaemonEvent::MergedFrames(lan) => {
            let text = format!(
                "LAN {lan}: frames that a sender or the card had merged are dropped; switch TSO, \
                 GSO, GRO and LRO off there"
            );
            Parts::new(Alarm, "merged_frames", text).lan(*lan)
        }
        DaemonEvent::HostInterfaceGone => {
            let text = "the host interface was deleted by somebody: the daemon ends";
            Parts::new(Alarm, "host_interface_gone", text)
        }
        DaemonEvent::CarrierLost => {
            Parts::new(Alarm, "carrier_lost", "both LANs are down: the host is cut off")
        }
        DaemonEvent::CarrierBack => Parts::new(Info, "carrier_back", "the host is connected again"),
        DaemonEvent::EventsLost(lost) => {
            let text = format!("{lost} events were not recorded: they came faster than the log");
            Parts::new(Warning, "events_lost", text)
        }
        DaemonEvent::Degraded(why) => Parts::new(Warning, "degraded", why.clone()),
    }
}
