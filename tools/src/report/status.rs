//! The daemon's status as a document.

use prp::port::PortStatistics;
use serde::{Deserialize, Serialize};

use super::{Application, MibCounters, Region};

/// `bumpless status --json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// See [`super::SCHEMA`].
    pub schema: u32,
    /// The daemon's version.
    pub version: String,
    /// The instance, and its host interface.
    pub name: String,
    /// `prp`.
    pub protocol: String,
    /// The daemon's process.
    pub pid: u32,
    /// The node's MAC address.
    pub mac: String,
    /// Time since the daemon started, in ns.
    pub uptime_ns: u64,
    /// Why this runs with less than was asked for, a sentence each, with the remedy.
    pub degraded: Vec<String>,
    /// What is wrong in the network now, a sentence each.
    pub alarms: Vec<String>,
    /// `block`, `adaptive` or `busy`.
    pub receive_mode: String,
    /// The number of the next tagged frame.
    pub sequence_number: u16,
    /// The host interface.
    pub host: Host,
    /// The ports.
    pub ports: Ports,
    /// The MIB's counters.
    pub counters: MibCounters,
    /// How many nodes are in the table.
    pub nodes: u64,
    /// Applications whose processes stand in for each other.
    #[serde(default)]
    pub applications: Vec<Application>,
    /// Their regions.
    #[serde(default)]
    pub regions: Vec<Region>,
    /// The threads, as read back from the kernel.
    pub threads: Vec<Thread>,
    /// Allocations on real-time threads since they started: 0, or a defect of the daemon.
    pub rt_allocations: u64,
    /// Memory of the process that is locked, in octets.
    pub memory_locked_octets: u64,
}

/// `bumpless status --json` of a daemon that keeps regions only: the same without all that has to
/// do with frames.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RegionsStatus {
    /// See [`super::SCHEMA`].
    pub schema: u32,
    /// The daemon's version.
    pub version: String,
    /// The instance.
    pub name: String,
    /// Always null.
    pub protocol: Option<String>,
    /// The daemon's process.
    pub pid: u32,
    /// Time since the daemon started, in ns.
    pub uptime_ns: u64,
    /// Why this runs with less than was asked for, a sentence each, with the remedy.
    pub degraded: Vec<String>,
    /// What is wrong now, a sentence each.
    pub alarms: Vec<String>,
    /// Applications whose processes stand in for each other.
    pub applications: Vec<Application>,
    /// Their regions.
    pub regions: Vec<Region>,
    /// The threads, as read back from the kernel.
    pub threads: Vec<Thread>,
    /// Memory of the process that is locked, in octets.
    pub memory_locked_octets: u64,
}

/// The ports of the node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ports {
    /// On LAN A.
    pub a: Port,
    /// On LAN B.
    pub b: Port,
    /// The interlink of a RedBox; null on a node without.
    pub interlink: Option<Port>,
}

/// One port.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Port {
    /// The network interface, by its present name; the configured one while there is none.
    pub interface: String,
    /// See [`Link`].
    pub link: Link,
    /// The interface's MTU; null when it is absent.
    pub mtu: Option<u32>,
    /// The interface's MAC address; null when it is absent.
    pub mac: Option<String>,
    /// How frames arrive: `ring`, `xdp_zero_copy`, `xdp_native` or `xdp_generic`; null when the
    /// interface is absent.
    #[serde(default)]
    pub receive_path: Option<String>,
    /// Why they do not arrive in a better way, each with its reason; null when none was tried.
    #[serde(default)]
    pub receive_fallback: Option<String>,
    /// How frames leave: `packet` or `xdp`; null when the interface is absent.
    pub transmit_path: Option<String>,
    /// Why they do not leave by AF_XDP although that was left open; null when they do, or when it
    /// was not.
    #[serde(default)]
    pub transmit_fallback: Option<String>,
    /// Why the interface takes frames for every station; null when the daemon does not ask for
    /// them.
    #[serde(default)]
    pub promiscuous: Option<EveryFrame>,
    /// What the port counted.
    pub counters: PortCounters,
}

/// Why a LAN's interface takes frames for every station.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EveryFrame {
    /// So it is configured.
    Configured,
    /// The card would throw frames away for their VLAN tags.
    VlanFilter,
    /// The host interface takes them: there is a bridge with others behind it.
    Host,
    /// The card kept an address of its own.
    Address,
}

impl EveryFrame {
    /// The reason, as half a sentence.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Configured => "so it is configured",
            Self::VlanFilter => {
                "otherwise the card would throw frames with VLAN tags away (rx-vlan-filter)"
            }
            Self::Host => "so does the host interface",
            Self::Address => "the card kept a MAC address of its own",
        }
    }
}

/// The state of a port's interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// Up, with carrier.
    Up,
    /// Administratively down, or without carrier.
    Down,
    /// There is no such interface now.
    Absent,
}

/// What a port counted itself, all frames since the daemon started.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct PortCounters {
    /// Frames received.
    pub rx_frames: u64,
    /// Frames dropped before the daemon saw them.
    pub rx_dropped_frames: u64,
    /// Frames dropped because the NIC had merged or truncated them.
    pub rx_merged_frames: u64,
    /// Frames whose deferred checksum was completed.
    pub rx_checksums_completed: u64,
    /// Frames sent.
    pub tx_frames: u64,
    /// Frames that the kernel refused to send.
    pub tx_dropped_frames: u64,
}

impl From<PortStatistics> for PortCounters {
    fn from(port: PortStatistics) -> Self {
        Self {
            rx_frames: port.rx_frames,
            rx_dropped_frames: port.rx_dropped,
            rx_merged_frames: port.rx_merged,
            rx_checksums_completed: port.rx_checksums_completed,
            tx_frames: port.tx_frames,
            tx_dropped_frames: port.tx_dropped,
        }
    }
}

/// The host interface.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Host {
    /// Its name.
    pub interface: String,
    /// See [`HostKind`].
    pub kind: HostKind,
    /// Its MTU.
    pub mtu: u32,
    /// Whether it has carrier: something forwards.
    pub carrier: bool,
    /// Whether somebody moved it to another network namespace.
    #[serde(default)]
    pub elsewhere: bool,
    /// What the host port counted: received is what the host sent.
    pub counters: PortCounters,
}

/// What the host interface is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostKind {
    /// A TAP.
    Tap,
    /// One end of a veth pair.
    Veth,
}

/// One thread, as the kernel has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Thread {
    /// Its name.
    pub name: String,
    /// `SCHED_FIFO`, `SCHED_OTHER` or what else the kernel says.
    pub policy: String,
    /// Its real-time priority; 0 without one.
    pub priority: u8,
    /// The CPU it is pinned to; null when it may run on several.
    pub cpu: Option<u32>,
    /// Its thread id.
    pub tid: u32,
    /// How often the daemon had it wait: no more switches than that are of its own will. Null for a
    /// thread that does not count.
    #[serde(default)]
    pub waits: Option<u64>,
    /// How often it gave up its CPU.
    pub voluntary_switches: u64,
    /// How often something else took its CPU.
    pub involuntary_switches: u64,
    /// Page faults without I/O; of a real-time thread since it began its work (0, or a defect of
    /// the daemon), of others since they started.
    pub minor_faults: u64,
    /// The same with I/O.
    pub major_faults: u64,
}
