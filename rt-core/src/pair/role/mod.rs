//! The role machine of a node: may it drive the outputs, and what has to be done about it.
//!
//! [`Machine::step`] takes an event and an instant and says what is wanted ([`Outcome`]). It is
//! total: every event is allowed in every state. It reads no clock and sends nothing.
//!
//! **Contract.** The owner of a machine
//! 1. calls [`Machine::step`] with [`Event::Time`] when [`Machine::next_timeout`] is due, and with
//!    every other event as it happens;
//! 2. after each step sets the gate to [`Machine::gate_deadline`], then does what the outcome
//!    wants;
//! 3. sends a beat with [`Machine::word`] at each turn of its schedule and whenever an outcome asks
//!    for one, and calls [`Machine::on_beat_sent`] before it does.
//!
//! Late calls are harmless: what is due stays due, and the gate closes by itself.
//!
//! # Rules
//!
//! 1. A lease counts from when its request was sent, by the holder's own clock.
//! 2. Whoever answers a request grants it, unless it asks for the outputs itself; the promise
//!    counts from when the request came. A promise is for every epoch.
//! 3. The active node asks to be alone (SOLO) as soon as renewals are missing, before its lease is
//!    over: of two nodes that cannot hear each other the one that drives goes on.
//! 4. The standby asks for the outputs when its promise is over, or at once on proof that the peer
//!    does not drive; from then on it grants nothing.
//! 5. An active node that gets no decision after its lease closes for good and stops asking for
//!    the lease, so that a standby that still hears it is released from its promise.
//! 6. Only the owner of a SOLO standing takes a standby, and names its session. A node that nobody
//!    named has no rights.
//! 7. A node that restarts has no rights, and promises what it may have promised before.
//! 8. Nothing returns to a node by itself unless that was configured.
//! 9. While a SOLO owner waits to hear whether it has a standby, it holds by the lease only.

mod claim;
mod cold;
mod damping;
mod event;
mod peer;
mod rebase;
#[cfg(test)]
mod tests;
mod turn;
#[cfg(test)]
mod walk;

pub use damping::CHANGES_MAX;
pub use event::{Cause, Event, Heard, LatchClaim, Order, Outcome, Transition};

use claim::Claim;
use damping::Changes;
use peer::Peer;

use super::beat::{Session, Word};
use super::blocks::Blocks;
use super::question::Nonce;
use super::standing::{Epoch, Standing};
use super::state::State;
use super::terms::{Failback, Terms};
use crate::time::{Duration, Instant};
use crate::timer::{TimerName, TimerTable};

/// What a machine waits for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Timer {
    /// The lease that was granted ends.
    Lease,
    /// What a SOLO owner gives itself ends, unless it sends another beat.
    Roll,
    /// Renewals are missing.
    Suspect,
    /// Nobody decided for long enough after the lease.
    GiveUp,
    /// The promise ends.
    Promise,
    /// The peer was not heard for long enough.
    Silence,
    /// Long enough was listened.
    Listen,
    /// A node that is alone waited for its peer for long enough.
    Patience,
    /// What was asked is asked again.
    Ask,
    /// The witness is asked how it stands.
    Poll,
    /// The witness did not answer for long enough.
    WitnessSilence,
    /// The application made no progress for long enough.
    Stall,
    /// The preferred node was ready for long enough.
    HoldOff,
}

const TIMERS: usize = 13;

impl TimerName<TIMERS> for Timer {
    const ALL: [Self; TIMERS] = [
        Self::Lease,
        Self::Roll,
        Self::Suspect,
        Self::GiveUp,
        Self::Promise,
        Self::Silence,
        Self::Listen,
        Self::Patience,
        Self::Ask,
        Self::Poll,
        Self::WitnessSilence,
        Self::Stall,
        Self::HoldOff,
    ];

    fn index(self) -> usize {
        self as usize
    }
}

/// Polls of the witness that may go unanswered before it counts as silent.
const POLLS_MISSED: u64 = 3;

/// A node's role. Real-time class of all functions: bounded, no allocation.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Machine {
    terms: Terms,
    session: Session,
    state: State,
    standing: Standing,
    timers: TimerTable<Timer, TIMERS>,
    /// What is asked for and not yet decided.
    claim: Option<Claim>,
    peer: Option<Peer>,
    /// Whom the owner of a DUPLEX standing has as its standby.
    partner: Option<Session>,
    /// When the beat came for which this node last promised.
    promised_for: Instant,
    /// The epoch since which this node has held the outputs without a break.
    tenure: Epoch,
    /// Latches that took this tenure's claim at some time, by bit.
    latched: u16,
    /// Latches that have to be claimed, at first or again.
    unclaimed: u16,
    /// What others than the machine found.
    readiness: Blocks,
    application_well: bool,
    /// It is not well because it stood still: its next cycle makes it well.
    is_stalled: bool,
    /// An operator knows of the fence in this epoch.
    fence_settled: Epoch,
    /// Why FAULT was entered, where an application that is well again leaves it.
    fault_by_application: bool,
    fenced_peer: bool,
    witness: Witness,
    changes: Changes,
}

/// What is known of the witness.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Witness {
    /// It has lost its register.
    lost: bool,
    /// It said what its register holds since this node started, and did not lose it since.
    known: bool,
    /// Answers to questions before this one are not taken.
    floor: Nonce,
    next: Nonce,
    /// What it was told when it had lost its register, until that is known again.
    seed: Option<(Nonce, Standing)>,
    /// It was asked how it stands, and did not answer yet.
    reading: Option<Nonce>,
}

impl Machine {
    /// A machine that is [`State::Off`], with the session that was drawn for this start and what
    /// was stored when it ran before.
    #[must_use]
    pub fn new(terms: Terms, session: Session, remembered: Standing) -> Self {
        Self {
            terms,
            session,
            state: State::Off,
            standing: remembered,
            timers: TimerTable::new(),
            claim: None,
            peer: None,
            partner: None,
            promised_for: Instant::ORIGIN,
            tenure: Epoch::NONE,
            latched: 0,
            unclaimed: 0,
            readiness: Blocks::NONE,
            application_well: true,
            is_stalled: false,
            fence_settled: Epoch::NONE,
            fault_by_application: false,
            fenced_peer: false,
            witness: Witness::default(),
            changes: Changes::default(),
        }
    }

    /// Takes an event that happened at `now`, and says what is wanted.
    pub fn step(&mut self, event: Event, now: Instant) -> Outcome {
        let mut turn = Turn { now, from: self.state, cause: None, out: Outcome::default() };
        self.take(event, &mut turn);
        turn.end(self)
    }

    /// Until when the outputs may be driven, unless something happens before; none while they may
    /// not. An output that leaves at this instant or later is not this node's.
    #[must_use]
    pub fn gate_deadline(&self) -> Option<Instant> {
        if !self.state.is_active() || !self.is_latched() {
            return None;
        }
        let right = if self.holds_by_lease() { Timer::Lease } else { Timer::Roll };
        let by_right = self.timers.deadline(right)?;
        match self.terms.stall {
            Some(_) => Some(by_right.min(self.timers.deadline(Timer::Stall)?)),
            None => Some(by_right),
        }
    }

    /// Whether the outputs may be driven at `now`.
    #[must_use]
    pub fn may_drive(&self, now: Instant) -> bool {
        self.gate_deadline().is_some_and(|deadline| now < deadline)
    }

    /// What the next beat says of roles.
    #[must_use]
    pub fn word(&self) -> Word {
        let echoed_at = self.peer.as_ref().map(|peer| peer.came_at);
        Word {
            state: self.state,
            standing: self.standing,
            silent_to: if self.state.is_active() { Epoch::NONE } else { self.standing.epoch },
            requests: self.state.is_active(),
            // What came later than what was promised for is echoed without a grant.
            grants: self.is_grantor() && echoed_at.is_some_and(|at| at <= self.promised_for),
            partner: self.partner.filter(|_| self.state == State::ActiveDuplex),
            fenced_peer: self.fenced_peer && self.state.is_active(),
            blocks: self.blocks(),
        }
    }

    /// When the newest beat of the peer's was sent, by its own clock, and when it came: what the
    /// next beat echoes.
    #[must_use]
    pub fn echo(&self) -> Option<(Instant, Instant)> {
        self.peer.as_ref().map(|peer| (peer.sent_at, peer.came_at))
    }

    /// A beat is about to be sent. A SOLO owner that does not come here any more drives no longer
    /// than a lease.
    pub fn on_beat_sent(&mut self, now: Instant) {
        if self.state.is_active() {
            self.timers.set(Timer::Roll, now + self.terms.lease);
        }
    }

    /// When [`Machine::step`] has to be called with [`Event::Time`] at the latest.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next_timeout()
    }

    /// When a timer is due; none when it is not armed.
    #[must_use]
    pub fn deadline(&self, timer: Timer) -> Option<Instant> {
        self.timers.deadline(timer)
    }

    /// The state.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The newest that is known.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        self.standing
    }

    /// What it goes by.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The epoch that outputs carry: the one in which this node took them; none while it has not
    /// got them.
    #[must_use]
    pub fn output_epoch(&self) -> Option<Epoch> {
        self.state.is_active().then_some(self.tenure)
    }

    /// Whether something is asked for and not decided.
    #[must_use]
    pub const fn is_claiming(&self) -> bool {
        self.claim.is_some()
    }

    /// What others than the machine found that keeps this node from taking over.
    #[must_use]
    pub const fn readiness(&self) -> Blocks {
        self.readiness
    }

    /// What keeps this node from taking over.
    #[must_use]
    pub fn blocks(&self) -> Blocks {
        self.readiness.with(Blocks::APPLICATION, !self.application_well)
    }

    /// What keeps the outputs from being given to the standby now.
    #[must_use]
    pub fn switchover_blocks(&self, now: Instant) -> Blocks {
        if self.state != State::ActiveDuplex {
            return Blocks::NOT_ACTIVE;
        }
        let heard = self.hears_peer(now);
        let blocks = Blocks::NONE
            .with(Blocks::UNSETTLED, self.claim.is_some())
            .with(Blocks::PEER_SILENT, !heard)
            .with(Blocks::WITNESS, !self.arbiter_answers(now))
            .with(Blocks::CLOCK_RATE, self.readiness.contains(Blocks::CLOCK_RATE));
        let Some(peer) = &self.peer else { return blocks };
        let is_mine = self.partner == Some(peer.session)
            && peer.word.state == State::Standby
            && peer.word.standing == self.standing;
        blocks.with(Blocks::PEER_STATE, !is_mine) | peer.word.blocks
    }

    /// Whether the outputs should return to the preferred node, which is an operator's to order.
    #[must_use]
    pub fn failback_is_due(&self, now: Instant) -> bool {
        matches!(self.terms.failback, Failback::Manual { preferred } if preferred != self.terms.me)
            && self.switchover_blocks(now).is_empty()
    }

    /// Whether the gate closes with the lease.
    fn holds_by_lease(&self) -> bool {
        let may_be_duplex = self.state == State::ActiveDuplex
            || self.claim.as_ref().is_some_and(Claim::is_for_a_standby);
        self.terms.mode.arbiter().binds_to_lease() && may_be_duplex
    }

    /// Whether requests are granted in this state.
    fn is_grantor(&self) -> bool {
        let is_passive = matches!(
            self.state,
            State::Listen
                | State::SyncUp
                | State::Standby
                | State::StandbyDegraded
                | State::Isolated
                | State::Fenced
                | State::Fault
                | State::Maintenance
        );
        is_passive && self.claim.is_none() && self.standing.owner() == Some(self.terms.me.peer())
    }

    fn is_latched(&self) -> bool {
        self.latched & self.terms.latches.critical == self.terms.latches.critical
    }

    fn hears_peer(&self, now: Instant) -> bool {
        self.peer.is_some() && !self.is_over(Timer::Silence, now)
    }

    /// Whether the one who decides can be asked.
    fn arbiter_answers(&self, now: Instant) -> bool {
        self.terms.mode != super::Mode::Witness
            || (self.witness.known && !self.is_over(Timer::WitnessSilence, now))
    }

    /// Whether a timer is due, or was.
    fn is_over(&self, timer: Timer, now: Instant) -> bool {
        self.timers.deadline(timer).is_none_or(|deadline| deadline <= now)
    }

    /// Arms a timer for `span` from now, unless it is armed for later.
    fn extend(&mut self, timer: Timer, deadline: Instant) {
        if self.timers.deadline(timer).is_none_or(|armed| armed < deadline) {
            self.timers.set(timer, deadline);
        }
    }

    /// How long without a beat the peer counts as not heard.
    fn silence(&self) -> Duration {
        self.terms.suspicion.max(self.terms.promise)
    }
}

/// One step on its way.
struct Turn {
    now: Instant,
    from: State,
    cause: Option<Cause>,
    out: Outcome,
}

impl Turn {
    fn end(mut self, machine: &Machine) -> Outcome {
        if machine.state != self.from {
            self.out.transition = Some(Transition {
                from: self.from,
                to: machine.state,
                cause: self.cause.unwrap_or(Cause::Started),
                epoch: machine.standing.epoch,
            });
            self.out.beat = machine.state.takes_part() || machine.state == State::Off;
        }
        self.out
    }
}
