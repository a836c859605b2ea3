//! Who is the peer's present session, and is this letter to be taken.
//!
//! A letter that comes was authenticated; whoever recorded it can still send it again, at any time
//! and in any order. What is taken therefore has to prove that it was made for this very life of
//! this node, and after the peer's last session that was taken:
//!
//! - Each node has a session that it drew by chance when it started, and a challenge, a number that
//!   it raises each time it takes a new session of its peer's for the present one (*establishes*
//!   it). It tells both in each letter.
//! - A session is established by a letter that is addressed to my session **and my present
//!   challenge**. Only a session that heard of that challenge can have made it, so none that ended
//!   before the established one began.
//! - A letter of the established session is addressed to my session and to a challenge no older
//!   than the one by which it was established, and its counter is new on its path. So each letter
//!   is taken once at most, even if its session was replaced and came back.
//! - Everything else teaches whom to address (`HELLO`), or nothing.
//!
//! After a start of either node one letter from each establishes both: my letter, whomever it is
//! for, teaches the peer my session and challenge; its answer to them establishes it here; my next
//! one establishes me there.
//!
//! # Who is answered
//!
//! What a letter is addressed to is one session. If a recorded `HELLO` could turn it from the live
//! peer to a dead session, playing it back would silence a sound pair. So as long as the
//! established session is heard, at most each fourth letter answers a candidate; while it is not,
//! each second one ([`Sessions::address`]). An attacker costs a pair that is established one beat
//! of four and no two in a row. Where nothing is established yet, the newest candidate is
//! answered: whoever answers each `HELLO` at once is not held up by those of an attacker.
//!
//! # What was rejected
//!
//! Clocks (the nodes have no common one), stored counters (a disk that was restored would break
//! them), and a handshake of its own (REQUEST, ANSWER, DONE), which has states to be stuck in.
//! A window by the time of coming is no proof either: letters can be delayed at will.
//!
//! Two nodes that both are the peer take the session from each other again and again, and each
//! letter that does says [`Accepted::Beat`] with `restarted`. A virtual machine that is put back
//! to a stored state lives twice in one session: its counters are refused at first, and its
//! administrator has to restart the daemon.

use super::beat::{PATHS_MAX, Session};
use super::letter::{Address, Letter, PairId};
use super::refusal::Refusal;
use super::standing::NodeId;

/// Letters to the established peer for each one that answers somebody else, and one more.
const ANSWER_EVERY: u64 = 4;
/// The same while the established peer is not heard.
const ANSWER_EVERY_UNHEARD: u64 = 2;
/// Sessions that were replaced, of which nothing is learnt any more.
const FORMER_MAX: usize = 4;

/// What a letter that is taken means.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Accepted {
    /// A beat of the peer's present session, meant for this node's.
    Beat {
        /// It came on another path than it was sent on: cables are swapped, or networks joined.
        crossed: bool,
        /// Its session has just taken the place of another one: the peer has restarted.
        restarted: bool,
    },
    /// It tells a session of the peer's, and no more. Whoever made it wants an answer.
    Hello,
}

/// The sessions of a node and its peer. Real-time class of all functions: bounded, no allocation.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Sessions {
    pair: PairId,
    me: NodeId,
    session: Session,
    challenge: u32,
    /// The counters of what was sent, by path.
    sent: [u64; PATHS_MAX],
    /// How many beats were sent.
    turn: u64,
    /// The paths on which the latest one was sent, by bit.
    copied: u8,
    peer: Option<Established>,
    candidate: Option<Candidate>,
    /// The turn at which a candidate was answered last.
    answered: Option<u64>,
    former: [Option<Session>; FORMER_MAX],
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Established {
    /// With the highest challenge that it told.
    address: Address,
    /// This node's challenge by which it was established.
    since: u32,
    windows: [Window; PATHS_MAX],
    /// The turn at which it was last heard.
    heard: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Candidate {
    address: Address,
    /// It was heard since it was answered.
    waits: bool,
}

impl Sessions {
    /// Of a node that has just started, with the session that it drew.
    #[must_use]
    pub const fn new(pair: PairId, me: NodeId, session: Session) -> Self {
        Self {
            pair,
            me,
            session,
            challenge: 1,
            sent: [0; PATHS_MAX],
            turn: 0,
            copied: 0,
            peer: None,
            candidate: None,
            answered: None,
            former: [None; FORMER_MAX],
        }
    }

    /// Whom the next beat is for; none while nothing was heard. To be asked once for each beat,
    /// before [`Self::next_counter`] is for the first of its copies.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        if self.answers_candidate() {
            return self.candidate.map(|it| it.address);
        }
        self.peer.as_ref().map(|it| it.address)
    }

    /// What a session of the peer's has to know to be established.
    #[must_use]
    pub const fn challenge(&self) -> u32 {
        self.challenge
    }

    /// This node's session.
    #[must_use]
    pub const fn session(&self) -> Session {
        self.session
    }

    /// The pair.
    #[must_use]
    pub const fn pair(&self) -> PairId {
        self.pair
    }

    /// The counter of the next copy that is sent on this path, from 1. A second one on a path
    /// begins the next beat. It is 0 when there are no
    /// more (after 584 years at one per nanosecond) and where there is no such path: what has it
    /// can neither be sealed nor taken.
    pub fn next_counter(&mut self, path: u8) -> u64 {
        let answers = self.answers_candidate();
        let Some(sent) = self.sent.get_mut(usize::from(path)) else { return 0 };
        let Some(counter) = sent.checked_add(1) else { return 0 };
        *sent = counter;
        let copy = 1_u8 << path;
        if self.turn > 0 && self.copied & copy == 0 {
            self.copied |= copy;
            return counter;
        }
        // The path had its copy of the latest beat: this is the next one.
        self.copied = copy;
        if answers {
            self.answered = Some(self.turn);
            self.candidate = self.candidate.map(|it| Candidate { waits: false, ..it });
        }
        self.turn += 1;
        counter
    }

    /// The peer's present session; none until it was established.
    #[must_use]
    pub fn peer(&self) -> Option<Session> {
        self.peer.as_ref().map(|it| it.address.session)
    }

    /// Takes a letter that was authenticated and came on the path `came_on`.
    ///
    /// # Errors
    /// Why it is not to be taken; then it changed nothing but whom to address.
    pub fn accept(&mut self, letter: &Letter, came_on: u8) -> Result<Accepted, Refusal> {
        if letter.pair != self.pair {
            return Err(Refusal::ForeignPair);
        }
        if letter.session == self.session {
            return Err(Refusal::OwnSession);
        }
        if letter.from == self.me {
            return Err(Refusal::OwnNode);
        }
        let paths = usize::from(letter.path).max(usize::from(came_on));
        if paths >= PATHS_MAX {
            return Err(Refusal::UnknownPath);
        }
        let crossed = letter.path != came_on;
        let challenge = letter.to.filter(|to| to.session == self.session).map(|to| to.challenge);
        let told = Address { session: letter.session, challenge: letter.challenge };
        let present = self.challenge;
        match &mut self.peer {
            Some(peer) if peer.address.session == letter.session => {
                peer.address.challenge = peer.address.challenge.max(letter.challenge);
                if !challenge.is_some_and(|it| (peer.since..=present).contains(&it)) {
                    return Err(Refusal::NotAddressed);
                }
                peer.take(letter)?;
                peer.heard = self.turn;
                Ok(Accepted::Beat { crossed, restarted: false })
            }
            _ if challenge == Some(present) => {
                let restarted = self.establish(letter, told)?;
                Ok(Accepted::Beat { crossed, restarted })
            }
            _ if self.former.contains(&Some(letter.session)) => Err(Refusal::FormerSession),
            _ => {
                self.learn(told);
                Ok(Accepted::Hello)
            }
        }
    }

    /// Takes the letter's session for the peer's present one. Says whether there was another.
    fn establish(&mut self, letter: &Letter, told: Address) -> Result<bool, Refusal> {
        let raised = self.challenge.checked_add(1).ok_or(Refusal::ChallengesSpent)?;
        let windows = [const { Window::new() }; PATHS_MAX];
        let mut peer =
            Established { address: told, since: self.challenge, windows, heard: self.turn };
        peer.take(letter)?;
        self.challenge = raised;
        let replaced = self.peer.replace(peer);
        if let Some(old) = &replaced {
            self.former.rotate_right(1);
            self.former[0] = Some(old.address.session);
        }
        for former in &mut self.former {
            // One that came back is no former one.
            if *former == Some(told.session) {
                *former = None;
            }
        }
        self.candidate = None;
        Ok(replaced.is_some())
    }

    /// Knows a session that may be the peer's.
    fn learn(&mut self, told: Address) {
        let known = self.candidate.map(|it| it.address).filter(|it| it.session == told.session);
        let challenge = known.map_or(told.challenge, |it| it.challenge.max(told.challenge));
        self.candidate = Some(Candidate { address: Address { challenge, ..told }, waits: true });
    }

    /// Whether the next beat is for the candidate.
    fn answers_candidate(&self) -> bool {
        let Some(candidate) = self.candidate else { return false };
        let Some(peer) = &self.peer else { return true };
        let is_heard = peer.heard == self.turn;
        let every = if is_heard { ANSWER_EVERY } else { ANSWER_EVERY_UNHEARD };
        candidate.waits && self.answered.is_none_or(|turn| self.turn - turn >= every)
    }
}

impl Established {
    /// Notes that this copy came.
    fn take(&mut self, letter: &Letter) -> Result<(), Refusal> {
        let window = self.windows.get_mut(usize::from(letter.path)).ok_or(Refusal::UnknownPath)?;
        if window.take(letter.counter) { Ok(()) } else { Err(Refusal::Replayed) }
    }
}

/// Which of the last [`Window::WIDTH`] counters came.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Window {
    newest: u64,
    /// Bit `i`: the counter `i` below the newest one came.
    seen: u128,
}

impl Window {
    const WIDTH: u64 = u128::BITS as u64;

    /// Nothing came. Counters begin with 1.
    pub(super) const fn new() -> Self {
        Self { newest: 0, seen: 1 }
    }

    /// Notes a counter. Says whether it is the first time, as far as that is known.
    pub(super) fn take(&mut self, counter: u64) -> bool {
        if let Some(ahead) = counter.checked_sub(self.newest).filter(|it| *it > 0) {
            let shift = u32::try_from(ahead).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(shift).unwrap_or(0) | 1;
            self.newest = counter;
            return true;
        }
        let behind = self.newest - counter;
        if behind >= Self::WIDTH || counter == 0 || self.seen >> behind & 1 == 1 {
            return false;
        }
        self.seen |= 1 << behind;
        true
    }
}

#[cfg(test)]
mod tests;
