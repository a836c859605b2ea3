//! The witness's register of one pair: the [`Standing`] that holds, changed by compare-and-swap.
//!
//! The register is the third party that two nodes need who do not hear each other. It decides by
//! order alone: of two nodes that ask to replace the same epoch, the one whose question comes
//! first gets it, and the other one is told so. It knows no time and judges nobody.
//!
//! # What may follow what
//!
//! | It says | The owner may put | The other node may put | By [`Right::Fence`] |
//! |---|---|---|---|
//! | vacant | SOLO(itself) | SOLO(itself) | SOLO(itself) |
//! | DUPLEX(X) | SOLO(X), DUPLEX(the other) | SOLO(itself) | SOLO(itself) |
//! | SOLO(X) | SOLO(X), DUPLEX(X) | nothing | SOLO(itself) |
//!
//! A member's new epoch is the next one of its owner; only by [`Right::Fence`] epochs are skipped.
//!
//! # What a register that lost something does
//!
//! It says so ([`Answer::register`] is none) until it knows again, and changes nothing. It is lost
//! when it begins without a record, and when a question's `known` is above what it says: that
//! epoch was given by somebody, and the register forgot it.
//!
//! It knows again when the latest seeds of both nodes are the same and no epoch above them was
//! ever told to it ([`Content::Lost`]'s `floor`). That is the newest there is: a node that seeded
//! takes no answer to an earlier question, so what the register granted before and nobody heard of
//! will be heard of by nobody.
//!
//! **A seed of an earlier session.** A node that restarts between its seed and its peer's has not
//! taken it back: while a register is lost it grants nothing, so nothing newer can have come to be
//! known meanwhile, and the seed counts until the node is heard of in another session. From then
//! on it is forgotten: the new session may know less (its memory was replaced), and only the node
//! that lives can promise to take no earlier answer. Which of two sessions is the later one cannot
//! be seen, for they are drawn by chance, so the one that spoke last counts as present. A seed of
//! a former session that was delayed may take the place of the present one for that reason. That
//! costs a repetition, and no more: it was made while this register was lost, for the same reason
//! as above, and if the node's present session ever told of a higher epoch, the floor refuses it.
//!
//! # Contract
//!
//! 1. Questions are authenticated, and were made for this life of the witness: what was sent before
//!    it started is not given to it. (A register that forgot everything could not tell two old
//!    seeds from new ones.)
//! 2. A node takes no answer of an earlier life after one of a later life. What a register forgot
//!    may have been granted anew to the other node.
//! 3. The caller stores [`Reply::store`] before it sends [`Reply::answer`]. An answer lets a node
//!    drive; a register that comes back without what it answered would let the other one drive too.
//!    The other way round nothing is lost: who did not get an answer asks again under the same
//!    number, and is told that it was granted.
//!
//! Rejected: one record of all questions ever answered, which has no bound. Each node has one claim
//! at a time, so its last change is all that can be asked for again.

use super::beat::Session;
use super::question::{Answer, Nonce, Question, Right, Wish};
use super::standing::{Epoch, Form, NodeId, Standing};

/// A pair's register. Bounded, no allocation; any thread.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Register {
    record: Record,
    is_durable: bool,
}

/// All that a durable register has to find again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Record {
    /// What it says.
    pub content: Content,
    /// The last question of each node that changed it, by [`NodeId::index`].
    pub changed_by: [Option<Asked>; 2],
}

/// What a register says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Content {
    /// This.
    Known(Standing),
    /// That it has lost what it held.
    Lost {
        /// The highest epoch that it was ever told of: whatever held is no lower.
        floor: Epoch,
        /// The latest seed of each node, by [`NodeId::index`].
        seeds: [Option<Seed>; 2],
    },
}

/// Which question: the repetition of a question is the same one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Asked {
    /// The session of the node that asked.
    pub session: Session,
    /// Which question of it.
    pub nonce: Nonce,
}

/// What a node says that a lost register held.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Seed {
    /// By which question.
    pub asked: Asked,
    /// The newest that the node knows.
    pub standing: Standing,
}

/// What comes of a question.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[must_use = "what has to be stored has to be stored before the answer is sent"]
pub struct Reply {
    /// To be sent, after `store` is stored.
    pub answer: Answer,
    /// To be stored first; none where nothing has changed, or where nothing is kept.
    pub store: Option<Record>,
}

impl Record {
    /// Of a register that holds nothing yet, or whose record is gone.
    pub const LOST: Self = Self {
        content: Content::Lost { floor: Epoch::NONE, seeds: [None; 2] },
        changed_by: [None; 2],
    };

    /// What it says to a node; none while that is lost.
    #[must_use]
    pub const fn standing(&self) -> Option<Standing> {
        match self.content {
            Content::Known(standing) => Some(standing),
            Content::Lost { .. } => None,
        }
    }
}

impl Register {
    /// One that lives in memory alone: it begins lost, and never asks to store anything.
    #[must_use]
    pub const fn volatile() -> Self {
        Self { record: Record::LOST, is_durable: false }
    }

    /// One that is kept: as it was stored last, [`Record::LOST`] where nothing is found.
    #[must_use]
    pub const fn restored(record: Record) -> Self {
        Self { record, is_durable: true }
    }

    /// All that it holds.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// What it says; none while that is lost.
    #[must_use]
    pub const fn standing(&self) -> Option<Standing> {
        self.record.standing()
    }

    /// Answers a question of a node in its session.
    pub fn answer(&mut self, session: Session, question: &Question) -> Reply {
        let before = self.record;
        let asked = Asked { session, nonce: question.nonce };
        self.doubt(question.known);
        self.forget_former(question.node, session);
        let swapped = match question.wish {
            Wish::Read => false,
            Wish::Swap { expected, new, right } => {
                let is_again = self.record.changed_by[question.node.index()] == Some(asked);
                is_again || self.swap(question.node, asked, expected, new, right)
            }
            Wish::Seed(standing) => {
                self.seed(question.node, Seed { asked, standing });
                false
            }
        };
        let answer = Answer { nonce: question.nonce, register: self.standing(), swapped };
        let store = (self.is_durable && self.record != before).then_some(self.record);
        Reply { answer, store }
    }

    /// An epoch that is above what is said was given by somebody: then something is lost.
    fn doubt(&mut self, known: Epoch) {
        match &mut self.record.content {
            Content::Known(standing) if known > standing.epoch => {
                self.record.content = Content::Lost { floor: known, seeds: [None; 2] };
            }
            Content::Known(_) => {}
            Content::Lost { floor, .. } => *floor = known.max(*floor),
        }
    }

    /// A node that is heard of in another session has restarted: its seed is nobody's.
    fn forget_former(&mut self, node: NodeId, session: Session) {
        if let Content::Lost { seeds, .. } = &mut self.record.content {
            seeds[node.index()].take_if(|seed| seed.asked.session != session);
        }
    }

    fn swap(
        &mut self,
        node: NodeId,
        asked: Asked,
        expected: Epoch,
        new: Standing,
        right: Right,
    ) -> bool {
        let Content::Known(present) = self.record.content else { return false };
        let may = present.epoch == expected
            && new.epoch > expected
            && match right {
                Right::Member => may_follow(&present, node, &new),
                Right::Fence => new.form == Form::Solo && new.owner() == Some(node),
            };
        if may {
            self.record.content = Content::Known(new);
            self.record.changed_by[node.index()] = Some(asked);
        }
        may
    }

    fn seed(&mut self, node: NodeId, seed: Seed) {
        let Content::Lost { floor, seeds } = &mut self.record.content else { return };
        // Nobody's epoch has one form.
        if seed.standing.owner().is_none() && seed.standing != Standing::VACANT {
            return;
        }
        let mine = &mut seeds[node.index()];
        // Of another session nothing is left here, so numbers compare.
        if mine.is_some_and(|mine| seed.asked.nonce < mine.asked.nonce) {
            return;
        }
        *mine = Some(seed);
        if let [Some(a), Some(b)] = seeds
            && a.standing == b.standing
            && a.standing.epoch >= *floor
        {
            self.record.content = Content::Known(a.standing);
        }
    }
}

/// Whether `node` may put `new` in place of `present`, as a member of the pair.
fn may_follow(present: &Standing, node: NodeId, new: &Standing) -> bool {
    let Some(owner) = new.owner() else { return false };
    let is_next = new.epoch == present.epoch.next_of(owner);
    let is_own = owner == node;
    let may = match (present.owner(), present.form, new.form) {
        // Whoever asks first, of two that never drove.
        (None, _, Form::Solo) => is_own,
        (None, _, Form::Duplex) => false,
        // A standby may take over, and the owner may do without it.
        (Some(_), Form::Duplex, Form::Solo) => is_own,
        // The owner hands over.
        (Some(had), Form::Duplex, Form::Duplex) => had == node && !is_own,
        // The other one's copy is none.
        (Some(had), Form::Solo, _) => had == node && is_own,
    };
    is_next && may
}

#[cfg(test)]
mod tests;
