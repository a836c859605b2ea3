//! The account of one lane.

use serde::{Deserialize, Serialize};

/// What happened to the frames of one direction. All values but `queued` only rise.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Frames that came in.
    pub received: u64,
    /// Copies that the kernel took for sending.
    pub forwarded: u64,
    /// Frames lost by chance.
    pub lost: u64,
    /// Frames lost because the link was cut, and waiting copies that the cut took with it.
    pub cut: u64,
    /// Copies that were sent later than they could have been.
    pub delayed: u64,
    /// Extra copies made.
    pub repeated: u64,
    /// Frames held back so that others pass.
    pub reordered: u64,
    /// Copies with flipped bits.
    pub corrupted: u64,
    /// Frames dropped by a rate limit and copies for which the queue had no room.
    pub overflow: u64,
    /// Copies that would have been corrupted but were several frames merged by the sender's kernel:
    /// what a receiver would have dropped in part is dropped whole.
    pub merged_lost: u64,
    /// Copies that the kernel refused to send (interface down, too long, no memory).
    pub send_failed: u64,
    /// Copies that wait for their instant now.
    pub queued: u64,
    /// Frames that the kernel dropped before this program saw them: its receive buffer was full.
    /// (Frames that did not even get over the wire count as transmit drops of its other end.)
    pub kernel_dropped: u64,
    /// Copies among `forwarded` that the kernel dropped behind this program, because the host at
    /// the other end of the wire was too busy to take them (all transmit drops of the interface).
    pub wire_dropped: u64,
    /// Frames that the kernel could not describe or that were longer than 64 KiB.
    pub unreadable: u64,
}

impl Counters {
    /// Whether every frame and every copy is accounted for.
    #[must_use]
    pub const fn balanced(&self) -> bool {
        self.received + self.repeated
            == self.forwarded
                + self.lost
                + self.cut
                + self.overflow
                + self.merged_lost
                + self.send_failed
                + self.queued
    }
}

/// The account of one lane with its name, as it is told.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LaneReport {
    /// Number of the pair, in the order of the arguments.
    pub pair: usize,
    /// Interface where frames come in.
    pub from: String,
    /// Interface where they leave.
    pub to: String,
    /// Whether the direction is cut now.
    pub is_cut: bool,
    /// The counters.
    #[serde(flatten)]
    pub counters: Counters,
}
