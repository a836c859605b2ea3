//! The documents that the daemon hands out and scripts read: status, nodes, counters, events.
//!
//! One document per file, its schema in `docs/schema`. Keys are snake_case with units last; the
//! counters carry the MIB's names. A key may be added within a schema version; one that is removed
//! or changes its meaning raises [`SCHEMA`]. Readers ignore keys they do not know.

use serde::{Deserialize, Serialize};

pub mod counters;
pub mod doctor;
pub mod event;
pub mod node;
pub mod region;
mod region_event;
pub mod status;

pub use counters::{Counters, MibCounters};
pub use event::{DaemonEvent, Event, Events, HostEvent, LanEvent, Severity};
pub use node::{Node, NodeLan};
pub use region::{Application, Participant, Region, Regions, Switchover};
pub use region_event::RegionEvent;
pub use status::{
    EveryFrame, Host, HostKind, Link, Port, PortCounters, Ports, RegionsStatus, Status, Thread,
};

/// The version of the documents' shape.
pub const SCHEMA: u32 = 1;

/// One of the documents.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "reply", content = "document", rename_all = "snake_case")]
pub enum Document {
    /// `bumpless status --json`.
    Status(Box<Status>),
    /// The same of a daemon that keeps regions only.
    RegionsStatus(Box<RegionsStatus>),
    /// `bumpless regions --json`.
    Regions(Box<Regions>),
    /// `bumpless switchover --json`.
    Switchover(Switchover),
    /// `bumpless nodes --json`: the list itself.
    Nodes(Vec<Node>),
    /// `bumpless counters --json`.
    Counters(Box<Counters>),
    /// `bumpless events --json`.
    Events(Events),
}
