//! The link redundancy entity (LRE) of a doubly attached node with PRP (DANP).
//!
//! A value that is fed frames and instants. It never reads a clock, opens a socket or allocates;
//! the work of each call is bounded. The loop around it:
//!
//! ```text
//! wait for a port, or until next_timeout()
//! for each frame of the host:   receive_host(now, frame)  -> Outgoing: send as it says
//! for each frame of a LAN:      receive_lan(now, lan, frame) -> Fate: so many octets, or none
//! poll_supervision(now)         -> send what it gives
//! service(now)                  -> ageing, a bounded piece of it
//! ```
//!
//! The order of calls does not matter and superfluous calls are harmless; `now` must not run
//! backwards (if it does, time stands still).
//!
//! | Module | Question |
//! |---|---|
//! | [`config`] | what can be configured |
//! | `reception` | what happens to a frame from a LAN |
//! | `transmission` | how a frame of the host, and the own supervision, leaves |
//! | `duplicate` | is this the first copy |
//! | `node_table` | who is out there |
//! | `ageing` | what ends when time passes |
//! | [`counters`], [`event`] | what is told |
//! | `telling` | and how much of it |
//! | [`memory`] | how much it takes |
//! | [`fast_path`] | what a second data path over the same memory must know |

use rt_core::limits::NODE_REBOOT_INTERVAL;
use rt_core::time::Instant;
use rt_core::timer::{TimerName, TimerTable};

use crate::types::{LanId, MacAddress};

mod ageing;
mod alarm;
pub mod config;
pub mod counters;
mod duplicate;
pub mod event;
pub mod fast_path;
pub mod memory;
mod node_table;
mod reception;
mod telling;
#[cfg(test)]
mod tests;
mod transmission;

pub use duplicate::Block;
pub use memory::memory_octets;
pub use node_table::{NodeRecord, NodeSlot};
pub use reception::{DiscardReason, Fate};
pub use transmission::{Outgoing, Supervision, Unsent};

use alarm::Alarm;
use config::LreConfig;
use counters::LreCounters;
use duplicate::DuplicateDiscard;
use event::LreEvent;
use memory::LreMemory;
use node_table::NodeTable;
use telling::Telling;

/// Takes what the LRE reports. Called on the thread that runs the LRE: it must not block.
pub trait EventSink {
    /// `event` happened at `now`.
    fn event(&mut self, now: Instant, event: LreEvent);
}

/// For those who do not listen.
impl EventSink for () {
    fn event(&mut self, _now: Instant, _event: LreEvent) {}
}

/// Where the numbers of an LRE begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SequenceStart {
    /// The number of the first data frame.
    pub sequence_number: u16,
    /// The number of the first supervision frame.
    pub supervision_sequence_number: u16,
    /// Nothing is sent before this instant: peers must forget the numbers of a former life. The
    /// origin when the numbers continue those of the former life.
    pub silent_until: Instant,
}

impl SequenceStart {
    /// For a node that does not know which numbers it used last: it keeps NodeRebootInterval.
    #[must_use]
    pub fn after_reboot(now: Instant) -> Self {
        Self {
            sequence_number: 0,
            supervision_sequence_number: 0,
            silent_until: now + NODE_REBOOT_INTERVAL,
        }
    }

    /// For a node that continues its numbers.
    #[must_use]
    pub const fn continued(sequence_number: u16, supervision_sequence_number: u16) -> Self {
        Self { sequence_number, supervision_sequence_number, silent_until: Instant::ORIGIN }
    }
}

/// What the LRE does at its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Timer {
    /// Send supervision (LifeCheckInterval).
    Supervision,
    /// A piece of the round over the node table.
    Round,
}

impl TimerName<2> for Timer {
    const ALL: [Self; 2] = [Self::Supervision, Self::Round];

    fn index(self) -> usize {
        self as usize
    }
}

/// The LRE. `'m` is the life of its memory.
#[derive(Debug)]
pub struct Lre<'m, E> {
    mac: MacAddress,
    config: LreConfig,
    /// The node's address as a number.
    own_key: u64,
    nodes: NodeTable<'m>,
    discard: DuplicateDiscard<'m>,
    counters: LreCounters,
    events: E,
    sequence_number: u16,
    supervision_sequence_number: u16,
    silent_until: Instant,
    timers: TimerTable<Timer, 2>,
    discard_caught_up: bool,
    link_up: [bool; 2],
    /// Since when it hears everything that comes.
    hears_since: Instant,
    wrong_lan: [Alarm; 2],
    own_frame: [Alarm; 2],
    table_full: Alarm,
    discard_full: Alarm,
    telling: Telling,
}

/// The conditions that last now.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LreAlarms {
    /// Frames of the other LAN arrive on port A, B.
    pub wrong_lan: [bool; 2],
    /// Own frames arrive on port A, B.
    pub own_frame: [bool; 2],
    /// The node table has no place for all nodes.
    pub node_table_full: bool,
    /// The memory of duplicate discard does not suffice.
    pub duplicate_memory_full: bool,
    /// How many redundant nodes are not heard on LAN A, B.
    pub nodes_silent: [u32; 2],
}

impl<'m, E: EventSink> Lre<'m, E> {
    /// Makes the LRE of the node with the address `mac` over `memory`. `secret` keys its hashes: a
    /// random number that no sender knows.
    #[must_use]
    pub fn new(
        mac: MacAddress,
        config: LreConfig,
        memory: LreMemory<'m>,
        secret: u64,
        start: SequenceStart,
        now: Instant,
        events: E,
    ) -> Self {
        let LreMemory { nodes, node_buckets, blocks, block_buckets } = memory;
        let mut timers = TimerTable::new();
        let first_supervision = now + transmission::FIRST_SUPERVISION_AFTER;
        timers.set(Timer::Supervision, start.silent_until.max(first_supervision));
        timers.set(Timer::Round, now + ageing::ROUND_INTERVAL);
        Self {
            nodes: NodeTable::new(nodes, node_buckets, secret.rotate_left(32)),
            discard: DuplicateDiscard::new(
                blocks,
                block_buckets,
                secret,
                now,
                config.entry_forget_time,
            ),
            own_key: mac.to_key(),
            mac,
            config,
            counters: LreCounters::default(),
            events,
            sequence_number: start.sequence_number,
            supervision_sequence_number: start.supervision_sequence_number,
            silent_until: start.silent_until,
            timers,
            discard_caught_up: true,
            link_up: [true; 2],
            hears_since: now,
            wrong_lan: [Alarm::QUIET; 2],
            own_frame: [Alarm::QUIET; 2],
            table_full: Alarm::QUIET,
            discard_full: Alarm::QUIET,
            telling: Telling::new(now),
        }
    }

    /// The MIB's counters as of now.
    #[must_use]
    pub fn counters(&self) -> LreCounters {
        LreCounters { nodes: self.nodes.len() as u64, ..self.counters }
    }

    /// The conditions that last now.
    #[must_use]
    pub fn alarms(&self) -> LreAlarms {
        LreAlarms {
            wrong_lan: self.wrong_lan.map(|alarm| alarm.is_active()),
            own_frame: self.own_frame.map(|alarm| alarm.is_active()),
            node_table_full: self.table_full.is_active(),
            duplicate_memory_full: self.discard_full.is_active(),
            nodes_silent: self.nodes.silent_count(),
        }
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &LreConfig {
        &self.config
    }

    /// The number of the next data frame, and of the next supervision frame: what to store, so that
    /// the next life continues them.
    #[must_use]
    pub const fn next_sequence_numbers(&self) -> (u16, u16) {
        (self.sequence_number, self.supervision_sequence_number)
    }

    /// Tells whether a LAN port has a link. Nodes are not reported silent on a LAN where we could
    /// not hear them.
    pub fn set_link(&mut self, lan: LanId, up: bool) {
        self.link_up[lan.index()] = up;
    }

    /// Tells that until now nothing could be heard, although time went on: the machine was
    /// suspended, or the caller did not run. Who was not heard meanwhile is not silent for that on
    /// one LAN when the other one's frames happen to come first.
    pub fn resume(&mut self, now: Instant) {
        self.hears_since = now;
    }

    /// What is known of one node.
    #[must_use]
    pub fn node(&self, now: Instant, mac: MacAddress) -> Option<NodeRecord> {
        self.nodes.find(mac).and_then(|at| self.nodes.get(at)).map(|slot| slot.record(now))
    }

    /// Reads the node table piece by piece: hands each node found in at most `budget` slots from
    /// `cursor` on to `take`, which may refuse by returning `false`. Returns where to go on, `None`
    /// at the end. A node that comes or goes meanwhile may be missing or told twice.
    pub fn export_nodes(
        &self,
        now: Instant,
        cursor: usize,
        budget: usize,
        mut take: impl FnMut(NodeRecord) -> bool,
    ) -> Option<usize> {
        for at in cursor..cursor.saturating_add(budget) {
            if at >= self.nodes.capacity() {
                return None;
            }
            let slot = u32::try_from(at).ok().and_then(|at| self.nodes.get(at));
            if let Some(slot) = slot.filter(|slot| slot.is_used())
                && !take(slot.record(now))
            {
                return Some(at);
            }
        }
        Some(cursor.saturating_add(budget))
    }

    /// Forgets every node (`lreNodesTableClear`). For a moment, copies may be delivered twice.
    pub fn clear_node_table(&mut self) {
        self.nodes.clear();
    }

    /// Whether all lists of both tables are whole; `marks` is scratch memory with an octet for each
    /// slot and each block at least. Takes as long as the tables are large: for tests.
    ///
    /// # Errors
    /// What does not hold.
    #[doc(hidden)]
    pub fn check_invariants(&self, marks: &mut [u8]) -> Result<(), &'static str> {
        self.nodes.check_invariants(marks)?;
        self.discard.check_invariants(marks)
    }

    /// Where events go.
    pub const fn events_mut(&mut self) -> &mut E {
        &mut self.events
    }
}
