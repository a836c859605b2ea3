//! What a heartbeat says.
//!
//! A beat tells all that its sender stands for, each time: nothing is said once only, so that no
//! single lost message matters and no order of messages is needed. It asks for the lease or grants
//! it, names the standby, gives up an epoch, hands over the outputs: each is a state that is told
//! until it is over. Rejected: a message for each of these (REQUEST, GRANT, JOIN, START, RELEASE,
//! HANDOVER, TAKE), which need acknowledgements, repetition and an order of their own.

use super::{Blocks, Epoch, Standing, State};
use crate::time::{Duration, Instant};

/// Paths between two nodes: the two LANs, and further ones.
pub const PATHS_MAX: usize = 4;

/// What a node drew by chance when it started: its beats are told from those of its former lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Session(pub [u8; 16]);

/// The kernel's identity of a boot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct BootId(pub [u8; 16]);

/// A beat, as its sender means it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Beat {
    /// Counts the sender's beats; the copies of one beat on several paths have the same number.
    pub number: u64,
    /// When it was sent at the earliest, by the sender's clock.
    pub sent_at: Instant,
    /// The newest of the receiver's beats that came.
    pub echo: Option<Echo>,
    /// What it says of roles.
    pub word: Word,
    /// How the sender fares.
    pub health: Health,
}

/// The newest beat of the receiver's present session that came to the sender.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Echo {
    /// Its number.
    pub number: u64,
    /// When the receiver sent it, by the receiver's own clock, as it stood in the beat.
    pub sent_at: Instant,
    /// How long ago it came, by the sender's clock, when this beat was made.
    pub age: Duration,
}

/// What a node says of roles: all that the peer's role machine goes by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Word {
    /// The sender's state.
    pub state: State,
    /// The newest that the sender knows.
    pub standing: Standing,
    /// The sender never drives in this epoch or one before it, and its gate is closed for them.
    pub silent_to: Epoch,
    /// The sender asks for a lease.
    pub requests: bool,
    /// The sender grants the lease of its epoch: it asks nobody for the outputs before the
    /// promise is over, which counts from when [`Echo`]'s beat came to it.
    pub grants: bool,
    /// Whom the sender has as its standby.
    pub partner: Option<Session>,
    /// The sender holds the outputs because its peer was switched off, which was confirmed.
    pub fenced_peer: bool,
    /// What keeps the sender from taking over.
    pub blocks: Blocks,
}

/// How a node fares: what detector, replication and operators go by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Health {
    /// The boot of the sender's host.
    pub boot: BootId,
    /// What the sender's application means by its state.
    pub schema: u64,
    /// The last cycle that the sender's application committed; 0 before the first.
    pub committed_cycle: u64,
    /// The last cycle of the receiver's that the sender holds whole; 0 before the first.
    pub applied_cycle: u64,
    /// How late the sender sent this beat, against its schedule.
    pub lateness: Duration,
    /// The latest that it ever was.
    pub lateness_max: Duration,
    /// How much faster the receiver's clock runs than the sender's, as the sender sees it, in
    /// parts per billion.
    pub clock_rate_ppb: i32,
    /// What comes of the receiver's beats on each path.
    pub paths: [PathReport; PATHS_MAX],
}

/// What comes of the peer's beats on a path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct PathReport {
    /// How it looks.
    pub verdict: Verdict,
    /// Beats that came.
    pub received: u64,
    /// Beats that were sent and did not come.
    pub lost: u64,
}

/// How a path looks to whoever listens on it. A dead path is never a dead peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum Verdict {
    /// There is no such path, or nothing was heard on it yet.
    #[default]
    Unknown = 0,
    /// Beats come when they should.
    Alive = 1,
    /// One is overdue.
    Late = 2,
    /// As many are overdue as may be lost.
    Dead = 3,
}

impl Verdict {
    /// All, by number.
    pub const ALL: [Self; 4] = [Self::Unknown, Self::Alive, Self::Late, Self::Dead];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Alive => "alive",
            Self::Late => "late",
            Self::Dead => "dead",
        }
    }
}
