//! When a node asks for something: the outputs, a standby, to be alone, to give the outputs away.

use super::super::arbiter::{Mode, Need};
use super::super::blocks::Blocks;
use super::super::standing::{Form, Standing};
use super::super::state::State;
use super::super::terms::{ColdStart, Failback};
use super::{Cause, Machine, Timer, Turn};

impl Machine {
    /// The standby: takes over where that is due and nothing stands in the way.
    pub(super) fn take_over_if_due(&mut self, turn: &mut Turn) {
        let is_standing = self.standing.form == Form::Duplex
            && self.standing.owner() == Some(self.terms.me.peer());
        if !self.state.is_standby() || !is_standing {
            return;
        }
        // Clocks that run apart are a matter of leases, of which proof needs none.
        let by_proof = self.blocks().without(Blocks::CLOCK_RATE).is_empty();
        if by_proof && self.peer_has_released() {
            self.take_over(Cause::PeerReleased, turn);
        } else if self.state == State::Standby && self.is_over(Timer::Promise, turn.now) {
            self.take_over(Cause::PromiseOver, turn);
        }
    }

    /// Asks for the outputs.
    pub(super) fn take_over(&mut self, cause: Cause, turn: &mut Turn) {
        self.enter(State::Candidate, cause, turn);
        let target = Standing::solo(self.standing.epoch.next_of(self.terms.me));
        if !self.claim(target, cause, None, turn) {
            self.enter(State::Isolated, cause, turn);
        }
    }

    /// The active node: asks that nobody else may take over.
    pub(super) fn ask_to_be_alone(&mut self, cause: Cause, turn: &mut Turn) {
        if self.state == State::ActiveDuplex && self.claim.is_none() {
            let target = Standing::solo(self.standing.epoch.next_of(self.terms.me));
            self.claim(target, cause, None, turn);
        }
    }

    /// The SOLO owner: takes the peer as its standby where it is ready.
    pub(super) fn admit(&mut self, turn: &mut Turn) {
        let Some(peer) = self.peer.filter(|_| self.hears_peer(turn.now)) else { return };
        let binds = self.terms.mode.arbiter().binds_to_lease();
        let may = self.state == State::ActiveSolo
            && self.claim.is_none()
            && self.peer_is_ready(&peer)
            && self.arbiter_answers(turn.now)
            && !self.changes.are_too_many(&self.terms.damping, turn.now)
            // From the question on the outputs hang on the lease: it has to be there before.
            && (!binds || !self.is_over(Timer::Lease, turn.now));
        if may {
            let target = Standing::duplex(self.standing.epoch.next_of(self.terms.me));
            self.claim(target, Cause::PeerReady, Some(peer.session), turn);
        }
    }

    /// The active node: closes its gate, and gives the outputs to its standby.
    pub(super) fn hand_over(&mut self, cause: Cause, turn: &mut Turn) {
        self.enter(State::Handover, cause, turn);
        let target = Standing::duplex(self.standing.epoch.next_of(self.terms.me.peer()));
        self.claim(target, cause, None, turn);
    }

    /// Waits for the preferred node to be ready for long enough.
    pub(super) fn watch_failback(&mut self, turn: &mut Turn) {
        let Failback::After { preferred, hold_off } = self.terms.failback else { return };
        let is_due = preferred != self.terms.me && self.switchover_blocks(turn.now).is_empty();
        match (is_due, self.timers.deadline(Timer::HoldOff)) {
            (true, None) => self.timers.set(Timer::HoldOff, turn.now + hold_off),
            (false, Some(_)) => self.timers.clear(Timer::HoldOff),
            _ => {}
        }
    }

    /// After a start: begins to drive where nobody does and nobody goes before.
    pub(super) fn start_cold(&mut self, turn: &mut Turn) {
        let is_quiet = self.state == State::Listen
            && self.claim.is_none()
            && self.is_over(Timer::Listen, turn.now)
            && self.is_over(Timer::Promise, turn.now);
        if !is_quiet || self.cannot_control() || !self.arbiter_answers(turn.now) {
            return;
        }
        let is_mine = self.standing.owner() == Some(self.terms.me);
        // Latches do not know whether their owner has a standby: to them it may always be alone.
        let is_solo = self.standing.form == Form::Solo || self.terms.mode == Mode::Latch;
        if is_solo && !is_mine && self.standing.owner().is_some() {
            return;
        }
        let goes =
            if self.hears_peer(turn.now) { self.goes_first() } else { self.goes_alone(turn) };
        if goes {
            let alone = self.standing.form == Form::Solo;
            let cause = if alone { Cause::Reclaim } else { Cause::ColdStart };
            let known = self.standing.epoch;
            let need = self.terms.mode.arbiter().needs(cause, self.hears_peer(turn.now));
            // Who is switched off unheard may have driven in epochs that nobody told of.
            let epoch = match need {
                Need::Fence => known.next_by_order(self.terms.me),
                _ => known.next_of(self.terms.me),
            };
            self.claim(Standing::solo(epoch), cause, None, turn);
        }
    }

    /// Whether this node could not control even alone. That its copy is not whole does not count:
    /// after a start there is no better one.
    fn cannot_control(&self) -> bool {
        self.blocks().contains(Blocks::APPLICATION) || self.blocks().contains(Blocks::DOCTOR)
    }

    /// Whether this node goes first of two that hear each other.
    fn goes_first(&self) -> bool {
        let Some(peer) = &self.peer else { return false };
        let owner = self.standing.owner().unwrap_or(super::super::NodeId::A);
        match peer.word.state {
            State::Listen => {
                owner == self.terms.me || peer.word.blocks.contains(Blocks::APPLICATION)
            }
            // Its copy is not whole, so it does not take over; the owner's is no worse.
            State::StandbyDegraded => owner == self.terms.me,
            State::Isolated | State::Fenced | State::Fault | State::Maintenance | State::Off => {
                true
            }
            _ => false,
        }
    }

    /// Whether this node begins without its peer.
    fn goes_alone(&self, turn: &Turn) -> bool {
        let is_mine = self.standing.owner() == Some(self.terms.me);
        match self.terms.cold_start {
            ColdStart::Together => false,
            ColdStart::LastOwner => is_mine,
            ColdStart::Either { .. } => is_mine || self.is_over(Timer::Patience, turn.now),
        }
    }
}
