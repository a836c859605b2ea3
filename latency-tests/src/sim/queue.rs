//! What happens when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rt_core::pair::latch::{Claim, OutputFrame};
use rt_core::pair::question::{Answer, Claimed, FenceOutcome, Question};
use rt_core::pair::{Letter, NodeId, Session};
use rt_core::time::Instant;

use super::fault::{Fault, Repair};

/// Something that happens.
#[derive(Clone, Debug)]
pub enum Happening {
    /// A node's program wakes, if this is still the wake that it waits for.
    Wake(NodeId, u64),
    /// The application's cycle begins.
    Cycle(NodeId, u32),
    /// A node has all of its peer's state.
    Synced(NodeId),
    /// A letter arrives.
    Letter {
        /// To whom.
        to: NodeId,
        /// On which path.
        path: u8,
        /// It.
        letter: Box<Letter>,
    },
    /// A question arrives at the witness.
    Question {
        /// The asker's session.
        session: Session,
        /// The life of the witness that it was made for.
        life: u32,
        /// It.
        question: Question,
    },
    /// It has stored what it had to, and answers.
    Answered {
        /// Whom.
        to: NodeId,
        /// In which session of it.
        session: Session,
        /// The life of the witness that answers.
        life: u32,
        /// What.
        answer: Answer,
    },
    /// The answer arrives.
    Answer {
        /// To whom.
        to: NodeId,
        /// For which session of it.
        session: Session,
        /// It.
        answer: Answer,
    },
    /// A claim arrives at a latch.
    Claim {
        /// Whose.
        by: NodeId,
        /// Of which session of it.
        session: Session,
        /// Which latch.
        latch: u8,
        /// The life of the latch that it was made for.
        life: u32,
        /// It.
        claim: Claim,
    },
    /// A latch's answer arrives.
    Claimed {
        /// To whom.
        to: NodeId,
        /// For which session of it.
        session: Session,
        /// It.
        claimed: Claimed,
    },
    /// A fence has ended.
    Fenced {
        /// Who ordered it.
        by: NodeId,
        /// In which session of it.
        session: Session,
        /// What came of it.
        outcome: FenceOutcome,
    },
    /// An output frame passes the gate of its node, or does not.
    Egress {
        /// Whose.
        from: NodeId,
        /// Of which life of it.
        life: u32,
        /// The frame's own deadline, by its node's clock.
        until: Instant,
        /// What the frame carries.
        frame: OutputFrame,
    },
    /// It arrives at an output.
    Output {
        /// Whose.
        from: NodeId,
        /// Which output.
        latch: u8,
        /// What the frame carries.
        frame: OutputFrame,
    },
    /// Something goes wrong.
    Fault(Fault),
    /// It is made right.
    Repair(Repair),
    /// A person looks after the pair.
    Person,
    /// The faults end.
    Heal,
    /// The run ends.
    End,
}

struct Entry {
    at: u64,
    number: u64,
    what: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// What is to happen. Of two things at one instant the one that was put in first comes first.
#[derive(Default)]
pub struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    next: u64,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.heap.len()).finish_non_exhaustive()
    }
}

impl Queue {
    /// Lets `what` happen at `at`.
    pub fn put(&mut self, at: u64, what: Happening) {
        self.next += 1;
        self.heap.push(Reverse(Entry { at, number: self.next, what }));
    }

    /// The next one, and when.
    pub fn take(&mut self) -> Option<(u64, Happening)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.what))
    }

    /// How many things have happened.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.next - self.heap.len() as u64
    }
}
