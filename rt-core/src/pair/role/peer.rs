//! What follows from a beat of the peer's.

use super::super::beat::{Session, Word};
use super::super::blocks::Blocks;
use super::super::standing::{Form, Standing};
use super::super::state::State;
use super::{Cause, Heard, Machine, Timer, Turn};
use crate::time::Instant;

/// The newest that was heard of the peer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Peer {
    pub(super) session: Session,
    pub(super) sent_at: Instant,
    pub(super) came_at: Instant,
    pub(super) word: Word,
}

/// Who says what the pair stands at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// Who may have heard it from others.
    Hearsay,
    /// Who decides: the witness, or the node that holds the outputs in this very epoch. Of two
    /// standings of one epoch, theirs is the one that holds.
    Authority,
}

impl Machine {
    pub(super) fn on_beat(&mut self, heard: &Heard, turn: &mut Turn) {
        let is_late = |peer: &Peer| peer.session == heard.session && heard.sent_at < peer.sent_at;
        if !self.state.takes_part() || self.peer.as_ref().is_some_and(is_late) {
            return;
        }
        let Heard { session, sent_at, echo_sent_at, word } = *heard;
        self.peer = Some(Peer { session, sent_at, came_at: turn.now, word });
        self.timers.set(Timer::Silence, turn.now + self.silence());
        let holds = word.state.is_active() && word.standing.owner() == Some(self.terms.me.peer());
        let source = if holds { Source::Authority } else { Source::Hearsay };
        self.learn(word.standing, source, turn);
        self.take_grant(&word, echo_sent_at, turn.now);
        self.grant(&word, turn);
        if self.is_fenced_by(&word) {
            self.enter(State::Fenced, Cause::Fenced, turn);
        }
        self.react(turn);
    }

    /// The lease counts from when its request was sent, however late the grant comes.
    fn take_grant(&mut self, word: &Word, echo_sent_at: Option<Instant>, now: Instant) {
        let Some(sent_at) = echo_sent_at.filter(|sent_at| *sent_at <= now) else { return };
        let is_ours = word.grants && word.standing.epoch == self.standing.epoch;
        if !is_ours || !self.state.is_active() || sent_at + self.terms.lease <= now {
            return;
        }
        self.extend(Timer::Lease, sent_at + self.terms.lease);
        if self.state == State::ActiveDuplex {
            self.extend(Timer::Suspect, sent_at + self.terms.suspicion);
            self.extend(Timer::GiveUp, sent_at + self.terms.lease + self.patience_for_decision());
        }
    }

    fn grant(&mut self, word: &Word, turn: &mut Turn) {
        if word.requests && word.standing.epoch == self.standing.epoch && self.is_grantor() {
            self.promise(turn);
            turn.out.beat = true;
        }
    }

    /// Promises, as of now, to ask for nothing before the promise is over.
    pub(super) fn promise(&mut self, turn: &Turn) {
        self.promised_for = turn.now;
        self.extend(Timer::Promise, turn.now + self.terms.promise);
    }

    fn is_fenced_by(&self, word: &Word) -> bool {
        let is_out = matches!(
            self.state,
            State::Listen
                | State::SyncUp
                | State::Standby
                | State::StandbyDegraded
                | State::Isolated
        );
        is_out && word.fenced_peer && word.standing.epoch > self.fence_settled
    }

    /// Does what the state asks for, now that something about the peer has changed.
    pub(super) fn react(&mut self, turn: &mut Turn) {
        let Some(peer) = self.peer.filter(|_| self.hears_peer(turn.now)) else { return };
        let word = peer.word;
        let drives = word.state.is_active()
            && word.standing == self.standing
            && self.standing.owner() == Some(self.terms.me.peer());
        let names_me = word.partner == Some(self.session) && self.standing.form == Form::Duplex;
        match self.state {
            // What was asked for is decided first: it may have been granted.
            State::Listen | State::Isolated if drives && self.claim.is_none() => {
                self.enter(State::SyncUp, Cause::Heard, turn);
            }
            State::SyncUp if drives && names_me => {
                self.enter(self.standby_state(), Cause::Heard, turn);
            }
            // Nobody drives whose state could be taken over.
            State::SyncUp if !word.state.is_active() => {
                self.enter(State::Listen, Cause::Heard, turn);
            }
            State::Standby | State::StandbyDegraded if drives && !names_me => {
                self.enter(State::SyncUp, Cause::Superseded, turn);
            }
            State::Standby | State::StandbyDegraded => self.take_over_if_due(turn),
            State::ActiveDuplex if self.peer_has_left(&peer) => {
                self.ask_to_be_alone(Cause::PeerLeft, turn);
            }
            State::ActiveDuplex => self.watch_failback(turn),
            State::ActiveSolo => self.admit(turn),
            State::Listen => self.start_cold(turn),
            _ => {}
        }
    }

    /// Whether the standby's peer says that it drives no more, in no epoch that could be meant. Who
    /// is handing over says so too, and then the standby need not ask.
    pub(super) fn peer_has_released(&self) -> bool {
        self.peer.as_ref().is_some_and(|peer| {
            peer.word.silent_to >= self.standing.epoch && peer.word.state != State::Handover
        })
    }

    /// Whether the node that was named as standby is none.
    fn peer_has_left(&self, peer: &Peer) -> bool {
        let is_standby = peer.word.state.is_standby()
            || matches!(peer.word.state, State::SyncUp | State::Candidate | State::Handover);
        // One that has given its outputs away and has not said so yet.
        let will_be =
            peer.word.state.is_active() && self.standing.is_newer_than(&peer.word.standing);
        !(is_standby || will_be) || self.partner != Some(peer.session)
    }

    /// STANDBY, or why not.
    pub(super) fn standby_state(&self) -> State {
        if self.blocks().is_empty() { State::Standby } else { State::StandbyDegraded }
    }

    /// Whether the peer could be the standby, as far as it says so itself.
    pub(super) fn peer_is_ready(&self, peer: &Peer) -> bool {
        peer.word.state == State::SyncUp
            && peer.word.standing == self.standing
            && peer.word.blocks.is_empty()
            && !self.readiness.contains(Blocks::CLOCK_RATE)
    }

    /// Takes note of what the pair stands at, if that is newer than what is known.
    pub(super) fn learn(&mut self, standing: Standing, source: Source, turn: &mut Turn) {
        let corrects = source == Source::Authority
            && standing.epoch == self.standing.epoch
            && standing.form != self.standing.form;
        if !standing.is_newer_than(&self.standing) && !corrects {
            return;
        }
        self.standing = standing;
        turn.out.remember = Some(standing);
        let claim = self.claim.take_if(|claim| claim.expected < standing.epoch);
        if let Some(claim) = claim.filter(|claim| claim.target.epoch == standing.epoch) {
            self.won(&claim, turn);
            return;
        }
        let is_mine = standing.owner() == Some(self.terms.me);
        match self.state {
            // What this node asked for before was granted after all.
            State::ActiveDuplex | State::ActiveSolo | State::Candidate if is_mine => {
                self.hold(standing, None, turn);
                self.ask(turn);
            }
            State::ActiveDuplex | State::ActiveSolo | State::Candidate | State::Handover => {
                self.enter(State::Isolated, Cause::Superseded, turn);
            }
            State::Standby | State::StandbyDegraded if is_mine => match standing.form {
                Form::Duplex => {
                    self.hold(standing, None, turn);
                    self.ask(turn);
                }
                Form::Solo => self.enter(State::Listen, Cause::Superseded, turn),
            },
            // Whether it is the standby in this one too, the active node says.
            State::Standby | State::StandbyDegraded => {
                self.enter(State::SyncUp, Cause::Superseded, turn);
            }
            _ => {}
        }
    }
}
