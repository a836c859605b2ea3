//! What happens when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rt_core::pair::latch::{Claim, OutputFrame};
use rt_core::pair::question::{Answer, Claimed, FenceOutcome, Question};
use rt_core::pair::{Letter, NodeId, Session};

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
    Letter { to: NodeId, path: u8, letter: Box<Letter> },
    /// A question arrives at the witness.
    Question { session: Session, life: u32, question: Question },
    /// It has stored what it had to, and answers.
    Answered { to: NodeId, session: Session, life: u32, answer: Answer },
    /// The answer arrives.
    Answer { to: NodeId, session: Session, answer: Answer },
    /// A claim arrives at a latch.
    Claim { by: NodeId, session: Session, latch: u8, life: u32, claim: Claim },
    /// A latch's answer arrives.
    Claimed { to: NodeId, session: Session, claimed: Claimed },
    /// A fence has ended.
    Fenced { by: NodeId, session: Session, outcome: FenceOutcome },
    /// An output frame passes the gate of its node, or does not.
    Egress { from: NodeId, frame: OutputFrame, cycle: u64 },
    /// It arrives at an output.
    Output { from: NodeId, latch: u8, frame: OutputFrame, cycle: u64 },
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
