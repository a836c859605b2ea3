//! What must never be, watched from outside: nothing here asks a node what it believes, but for
//! its gate, which is what the kernel goes by. What has to hold of cycles comes with replication.
//!
//! | Rule | Says |
//! |---|---|
//! | F1 | the gates of two nodes are never open at a time |
//! | F2 | an epoch's outputs come from one node |
//! | F3 | the epochs that an output takes only rise |
//! | F24 | when all is well, the pair is whole again within a bound |
//!
//! F1 assumes clocks within ρ, and in mode L latches that keep their claim; F3 a latch that keeps
//! its power; F24 a person who does what a person has to.

use rt_core::pair::{Epoch, NodeId};

use super::report::{Seen, Violation};

/// What is watched.
#[derive(Debug, Default)]
pub struct Watch {
    /// What was found.
    pub violations: Vec<Violation>,
    /// The node that drove last.
    pub owner: Option<NodeId>,
    /// Since when nobody has driven.
    pub idle_since: Option<u64>,
    /// The longest time in which nobody drove.
    pub gap_max_ns: u64,
    /// How often the outputs changed hands.
    pub changes: u64,
    /// The newest epoch that each output took a frame of.
    taken: Vec<Epoch>,
}

impl Watch {
    /// Watches this many outputs.
    #[must_use]
    pub fn new(outputs: usize) -> Self {
        Self { taken: vec![Epoch::NONE; outputs], ..Self::default() }
    }

    /// Something that must not be.
    pub fn violate(&mut self, at_ns: u64, rule: &'static str, what: String) {
        self.violations.push(Violation { at_ns, rule, what });
    }

    /// The gates, after something happened: whose are open.
    pub fn gates(&mut self, now: u64, open: [bool; 2], seen: &mut Seen) {
        if open == [true; 2] {
            self.violate(now, "F1", "the gates of both nodes are open".to_owned());
        }
        let Some(owner) = NodeId::ALL.into_iter().find(|node| open[node.index()]) else {
            self.idle_since.get_or_insert(now);
            return;
        };
        if let Some(since) = self.idle_since.take()
            && self.owner.is_some()
        {
            self.gap_max_ns = self.gap_max_ns.max(now - since);
        }
        if self.owner.is_some_and(|before| before != owner) {
            self.changes += 1;
            seen.note("the outputs changed hands");
        }
        self.owner = Some(owner);
    }

    /// An output took a frame.
    pub fn taken(&mut self, now: u64, output: usize, from: NodeId, epoch: Epoch) {
        if epoch.owner() != Some(from) {
            self.violate(now, "F2", format!("{from} sends in epoch {epoch}"));
        }
        let Some(taken) = self.taken.get_mut(output) else { return };
        if epoch < *taken {
            let what = format!("output {output} takes epoch {epoch} after {taken}");
            self.violate(now, "F3", what);
        } else {
            *taken = epoch;
        }
    }

    /// An output lost its power, and with it what it knew.
    pub fn forgot(&mut self, output: usize) {
        if let Some(taken) = self.taken.get_mut(output) {
            *taken = Epoch::NONE;
        }
    }
}
