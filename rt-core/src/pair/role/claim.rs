//! Asking for a new standing, and what comes of it.

use super::super::Mode;
use super::super::arbiter::Need;
use super::super::beat::Session;
use super::super::question::{
    Answer, Claimed, FenceOutcome, LATCHES_MAX, Nonce, Question, Right, Wish,
};
use super::super::standing::{Epoch, Form, Standing};
use super::super::state::State;
use super::peer::Source;
use super::{Cause, LatchClaim, Machine, POLLS_MISSED, Timer, Turn, Witness};
use crate::time::Duration;

/// A new standing that is asked for and not yet decided. Whoever made a claim keeps to it until it
/// is: it may have been granted without this node's knowledge.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Claim {
    pub(super) target: Standing,
    pub(super) expected: Epoch,
    pub(super) cause: Cause,
    need: Need,
    nonce: Nonce,
    /// The standby that a DUPLEX target is for.
    partner: Option<Session>,
    /// The latest epoch of the peer's that a latch may be taken from.
    replaces: Epoch,
    /// Latches that took the target's epoch.
    latched: u16,
    /// Latches that the peer has for an epoch before the target's, and the latest of these.
    refused: u16,
    refused_for: Epoch,
    /// A fence was ordered and has not answered.
    is_fencing: bool,
}

impl Claim {
    /// Whether the claimant owns the outputs and wants a standby.
    pub(super) fn is_for_a_standby(&self) -> bool {
        self.cause == Cause::PeerReady
    }

    /// Whether a fence is under way for it.
    pub(super) const fn is_fencing(&self) -> bool {
        self.is_fencing
    }
}

impl Witness {
    /// A number for a new question.
    fn draw(&mut self) -> Nonce {
        let nonce = self.next;
        self.next += 1;
        nonce
    }

    /// The number under which this standing is told: the same one until it is another.
    fn seed_nonce(&mut self, standing: Standing) -> Nonce {
        if let Some((nonce, _)) = self.seed.filter(|seed| seed.1 == standing) {
            return nonce;
        }
        let nonce = self.draw();
        self.seed = Some((nonce, standing));
        nonce
    }

    /// The number of the question how it stands: the same one until that is answered.
    fn read_nonce(&mut self) -> Nonce {
        if let Some(nonce) = self.reading {
            return nonce;
        }
        let nonce = self.draw();
        self.reading = Some(nonce);
        nonce
    }
}

impl Machine {
    /// Asks for `target`, or takes it where nothing needs to be asked. Says whether that can be.
    pub(super) fn claim(
        &mut self,
        target: Standing,
        cause: Cause,
        partner: Option<Session>,
        turn: &mut Turn,
    ) -> bool {
        turn.cause = Some(cause);
        // A person's order takes the place of what was asked for before.
        self.claim = None;
        let need = self.terms.mode.arbiter().needs(cause, self.hears_peer(turn.now));
        if need == Need::Never {
            return false;
        }
        let nonce = if need == Need::Register { self.witness.draw() } else { 0 };
        let expected = self.standing.epoch;
        let claim = Claim {
            target,
            expected,
            cause,
            need,
            nonce,
            partner,
            replaces: expected,
            latched: 0,
            refused: 0,
            refused_for: Epoch::NONE,
            is_fencing: false,
        };
        if need == Need::Nothing {
            self.grant_claim(claim, turn);
        } else {
            self.claim = Some(claim);
            self.ask(turn);
        }
        true
    }

    /// Asks, or asks again, for all that is not decided.
    pub(super) fn ask(&mut self, turn: &mut Turn) {
        let mut asks = false;
        if let Some(claim) = &mut self.claim {
            match claim.need {
                Need::Fence if !claim.is_fencing => {
                    claim.is_fencing = true;
                    turn.out.fence = true;
                }
                Need::Latches => {
                    let epoch = claim.target.epoch;
                    let since = if self.state.is_active() { self.tenure } else { epoch };
                    let latches = self.terms.latches.mask() & !claim.latched;
                    let expected = claim.replaces;
                    turn.out.claim = Some(LatchClaim { epoch, expected, since, latches });
                }
                _ => {}
            }
            asks = true;
        }
        if self.state.is_active() && self.unclaimed != 0 && turn.out.claim.is_none() {
            let (epoch, since) = (self.standing.epoch, self.tenure);
            let latches = self.unclaimed;
            turn.out.claim = Some(LatchClaim { epoch, expected: epoch, since, latches });
            asks = true;
        }
        if self.terms.mode == Mode::Witness {
            turn.out.question = self.question();
            asks |= turn.out.question.is_some();
        }
        if asks {
            self.timers.set(Timer::Ask, turn.now + self.terms.ask_every);
        }
    }

    /// What the witness has to be asked, if anything is open.
    fn question(&mut self) -> Option<Question> {
        let (node, known) = (self.terms.me, self.standing.epoch);
        if self.witness.lost {
            let standing = self.standing;
            let nonce = self.witness.seed_nonce(standing);
            return Some(Question { node, nonce, known, wish: Wish::Seed(standing) });
        }
        if let Some(claim) = self.claim.as_ref().filter(|claim| claim.need == Need::Register) {
            let right = if claim.cause == Cause::Ordered { Right::Fence } else { Right::Member };
            let wish = Wish::Swap { expected: claim.expected, new: claim.target, right };
            return Some(Question { node, nonce: claim.nonce, known, wish });
        }
        (!self.witness.known).then(|| self.read())
    }

    /// Asks how the register stands, or asks so again.
    fn read(&mut self) -> Question {
        let (node, known) = (self.terms.me, self.standing.epoch);
        let nonce = self.witness.read_nonce();
        Question { node, nonce, known, wish: Wish::Read }
    }

    /// Asks the witness how it stands, where nothing else is asked.
    pub(super) fn poll(&mut self, turn: &mut Turn) {
        if self.terms.mode != Mode::Witness || !self.state.takes_part() {
            return;
        }
        self.timers.set(Timer::Poll, turn.now + self.terms.poll_every);
        if turn.out.question.is_none() {
            turn.out.question = self.question().or_else(|| Some(self.read()));
        }
    }

    pub(super) fn on_answer(&mut self, answer: &Answer, turn: &mut Turn) {
        let is_asked = (self.witness.floor..self.witness.next).contains(&answer.nonce);
        if !is_asked || !self.state.takes_part() {
            return;
        }
        let silence = self.terms.poll_every.saturating_mul(POLLS_MISSED);
        self.timers.set(Timer::WitnessSilence, turn.now + silence);
        let Some(register) = answer.register else {
            self.on_lost_register(turn);
            return;
        };
        self.witness.lost = false;
        self.witness.known = true;
        self.witness.seed = None;
        self.witness.reading.take_if(|nonce| *nonce == answer.nonce);
        self.learn(register, Source::Authority, turn);
        self.react(turn);
        self.start_cold(turn);
    }

    /// The register has lost what it held. What it answered before may have been forgotten with
    /// it: from here on only answers count to questions that are asked after this. That holds each
    /// time it says so, for it may have lost it again.
    fn on_lost_register(&mut self, turn: &mut Turn) {
        let (next, was_lost) = (self.witness.next, self.witness.lost);
        self.witness = Witness { lost: true, floor: next, next, ..Witness::default() };
        if let Some(claim) = &mut self.claim {
            claim.nonce = self.witness.draw();
        }
        if !was_lost {
            self.ask(turn);
        }
    }

    pub(super) fn on_latch(&mut self, claimed: &Claimed, turn: &mut Turn) {
        if usize::from(claimed.latch) >= LATCHES_MAX || !self.state.takes_part() {
            return;
        }
        let bit = (1u16 << claimed.latch) & self.terms.latches.mask();
        if bit == 0 {
            return;
        }
        let is_mine = claimed.epoch.owner() == Some(self.terms.me);
        match self.claim.filter(|claim| claim.need == Need::Latches) {
            Some(claim) => self.on_claimed(claim, claimed.epoch, bit, turn),
            // A latch knows epochs only. Who has one that nobody told of has it alone, to be safe.
            None => self.learn(Standing::solo(claimed.epoch), Source::Hearsay, turn),
        }
        if self.state.is_active() {
            if is_mine && claimed.epoch >= self.tenure {
                self.latched |= bit;
                self.unclaimed &= !bit;
            } else {
                // It lost its claim with its power, or another node has it: then it refuses.
                self.unclaimed |= bit;
                self.timers.set(Timer::Ask, turn.now + self.terms.ask_every);
            }
        }
    }

    /// A latch says which epoch it takes, while this node claims them.
    ///
    /// Of two claims at a time the one for the later epoch goes through: who finds a latch taken
    /// for a later one gives up. Who finds one taken for an earlier one, and has another, knows
    /// that the peer has not got them all and will not, so that nobody drives in that epoch, and
    /// may take it: all are claimed anew, for a later epoch still.
    fn on_claimed(&mut self, mut claim: Claim, epoch: Epoch, bit: u16, turn: &mut Turn) {
        let critical = self.terms.latches.critical;
        if epoch == claim.target.epoch {
            claim.latched |= bit;
        } else if epoch.owner() == Some(self.terms.me) {
            // This node's own, of a life that it does not remember, or of an earlier claim.
            claim.target.epoch = epoch.max(claim.target.epoch);
            if claim.target.epoch == epoch {
                self.claim_anew(claim, turn);
            }
            return;
        } else if epoch > claim.target.epoch {
            self.learn(Standing::solo(epoch), Source::Hearsay, turn);
            return;
        } else if epoch > claim.replaces {
            claim.refused |= bit;
            claim.refused_for = claim.refused_for.max(epoch);
        }
        self.claim = Some(claim);
        if critical != 0 && claim.latched & critical == critical {
            self.claim = None;
            self.grant_claim(claim, turn);
        } else if critical != 0 && claim.refused & critical == critical {
            self.learn(Standing::solo(claim.refused_for), Source::Hearsay, turn);
        } else if claim.refused != 0 && claim.latched & critical != 0 {
            claim.replaces = claim.refused_for;
            self.claim_anew(claim, turn);
        }
    }

    /// Claims all latches for the next epoch.
    fn claim_anew(&mut self, mut claim: Claim, turn: &mut Turn) {
        claim.target.epoch = claim.target.epoch.next_of(self.terms.me);
        claim.latched = 0;
        claim.refused = 0;
        self.claim = Some(claim);
        self.timers.set(Timer::Ask, turn.now + self.terms.ask_every);
    }

    pub(super) fn on_fence(&mut self, outcome: FenceOutcome, turn: &mut Turn) {
        let Some(claim) = self.claim.as_mut().filter(|claim| claim.is_fencing) else { return };
        claim.is_fencing = false;
        match outcome {
            FenceOutcome::Confirmed => {
                let claim = *claim;
                self.claim = None;
                self.grant_claim(claim, turn);
                self.fenced_peer = true;
            }
            // Who is heard again need not be off.
            FenceOutcome::Failed if self.hears_peer(turn.now) => {
                self.claim = None;
                if self.state == State::Candidate {
                    self.enter(self.standby_state(), Cause::Heard, turn);
                }
                self.extend(Timer::Suspect, turn.now + self.terms.suspicion);
            }
            FenceOutcome::Failed => {
                self.timers.set(Timer::Ask, turn.now + self.terms.ask_every);
            }
        }
    }

    /// Nobody can say anything against the claim any more.
    fn grant_claim(&mut self, claim: Claim, turn: &mut Turn) {
        if !claim.target.is_newer_than(&self.standing) {
            return;
        }
        self.standing = claim.target;
        turn.out.remember = Some(self.standing);
        self.won(&claim, turn);
    }

    /// The standing is what was asked for, or one of the same epoch.
    pub(super) fn won(&mut self, claim: &Claim, turn: &mut Turn) {
        turn.cause.get_or_insert(claim.cause);
        if self.standing.owner() == Some(self.terms.me) {
            self.fenced_peer = claim.cause == Cause::Ordered;
            self.hold(self.standing, claim.partner, turn);
            if self.tenure == claim.target.epoch {
                // The latches that it was asked of have been claimed with it.
                self.latched |= claim.latched;
                self.unclaimed &= !claim.latched;
            }
            self.ask(turn);
        } else {
            // The outputs are the peer's now. It hears so by the next beat, which grants it its
            // first lease.
            self.promise(turn);
            // Latches do not know of it: the peer may be taking the outputs by itself just now,
            // and alone. Only its own word gives the right to take them back.
            let is_standby = self.terms.mode != Mode::Latch && self.standing.form == Form::Duplex;
            let state = if is_standby { self.standby_state() } else { State::SyncUp };
            self.enter(state, claim.cause, turn);
        }
    }

    /// Has the outputs by the standing, now or still.
    pub(super) fn hold(&mut self, standing: Standing, partner: Option<Session>, turn: &mut Turn) {
        let had = self.state.is_active();
        let cause = turn.cause.unwrap_or(if had { Cause::Granted } else { Cause::HandedOver });
        let state = match standing.form {
            Form::Duplex => State::ActiveDuplex,
            Form::Solo => State::ActiveSolo,
        };
        self.enter(state, cause, turn);
        if !had {
            self.take_hold(standing.epoch, turn);
        }
        self.partner = partner;
        if standing.form == Form::Duplex {
            // A standby that was given the outputs has its peer as its standby.
            self.partner = partner.or_else(|| self.peer.as_ref().map(|peer| peer.session));
            let suspicion = turn.now + self.terms.suspicion;
            self.extend(Timer::Suspect, suspicion);
            self.extend(Timer::GiveUp, suspicion + self.patience_for_decision());
        }
        if !self.application_well {
            // Who cannot control lets go in the same step, before the gate was ever open.
            self.stop_for_application(turn);
        }
    }

    /// The outputs are this node's from here on.
    fn take_hold(&mut self, epoch: Epoch, turn: &Turn) {
        self.tenure = epoch;
        self.latched = 0;
        self.unclaimed = self.terms.latches.mask();
        self.changes.note(&self.terms.damping, turn.now);
        self.timers.set(Timer::Roll, turn.now + self.terms.lease);
        if let Some(stall) = self.terms.stall {
            self.timers.set(Timer::Stall, turn.now + stall);
        }
    }

    /// After its lease a node waits this long for a decision.
    pub(super) fn patience_for_decision(&self) -> Duration {
        self.terms.promise.saturating_mul(2)
    }
}
