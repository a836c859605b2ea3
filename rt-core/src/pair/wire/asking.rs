//! Which answers are to be taken.
//!
//! Who answers keeps nothing of who asked, so an answer carries what proves that it is one: the
//! asker's session and the counter of the very datagram that it answers. Each is answered once. An
//! answer that was made before its answerer restarted is not taken any more as soon as a later
//! question was answered since: its answerer may have lost what it then knew.
//!
//! Rejected: to know the answerer's session by a challenge, as nodes know each other's
//! ([`crate::pair::sessions`]): what a question was not yet asked for cannot have been answered,
//! and the question's counter is challenge enough.

use crate::pair::sessions::Window;
use crate::pair::{NodeId, Refusal, Session};

/// What an answer says of the question that it answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Asked {
    /// Who asked.
    pub node: NodeId,
    /// In which session.
    pub session: Session,
    /// The counter of the datagram.
    pub counter: u64,
}

/// What a node asked of one that answers: its witness, or one of its latches. Real-time class of
/// all functions: bounded, no allocation.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Asking {
    me: NodeId,
    session: Session,
    /// The highest counter that was asked with.
    sent: u64,
    answered: Window,
    newest: u64,
    by: Option<Session>,
}

impl Asking {
    /// Of a node that has just started.
    #[must_use]
    pub const fn new(me: NodeId, session: Session) -> Self {
        Self { me, session, sent: 0, answered: Window::new(), newest: 0, by: None }
    }

    /// A datagram with this counter ([`super::Keys::next_counter`]) is sent.
    pub fn ask(&mut self, counter: u64) {
        self.sent = self.sent.max(counter);
    }

    /// Who answered last: its session.
    #[must_use]
    pub const fn answerer(&self) -> Option<Session> {
        self.by
    }

    /// Takes an authentic answer of the session `by`. Says whether its answerer has restarted since
    /// it answered before.
    ///
    /// # Errors
    /// Why it is not to be taken; then it changed nothing.
    pub fn accept(&mut self, asked: &Asked, by: Session) -> Result<bool, Refusal> {
        if asked.node != self.me || asked.session != self.session {
            return Err(Refusal::NotAddressed);
        }
        if asked.counter > self.sent || asked.counter == 0 {
            return Err(Refusal::NotAsked);
        }
        let is_other = self.by.is_some_and(|known| known != by);
        if is_other && asked.counter < self.newest {
            return Err(Refusal::FormerSession);
        }
        if !self.answered.take(asked.counter) {
            return Err(Refusal::Replayed);
        }
        self.newest = self.newest.max(asked.counter);
        self.by = Some(by);
        Ok(is_other)
    }
}
