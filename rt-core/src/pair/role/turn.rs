//! One step: which event does what.

use super::super::blocks::Blocks;
use super::super::evidence::Evidence;
use super::super::question::FenceOutcome;
use super::super::standing::Standing;
use super::super::state::State;
use super::super::terms::ColdStart;
use super::{Cause, Event, Machine, Order, Timer, Turn, Witness};
use crate::timer::TimerTable;

impl Machine {
    pub(super) fn take(&mut self, event: Event, turn: &mut Turn) {
        match event {
            Event::Start if self.state == State::Off => self.start(turn),
            Event::Start => {}
            Event::SelfTest { passed } if self.state == State::SelfTest => {
                let state = if passed { State::Listen } else { State::Fault };
                self.enter(state, Cause::SelfTest, turn);
            }
            Event::SelfTest { .. } => {}
            Event::Time => self.on_time(turn),
            Event::Beat(heard) => self.on_beat(&heard, turn),
            Event::Answer(answer) => self.on_answer(&answer, turn),
            Event::Latch(claimed) => self.on_latch(&claimed, turn),
            Event::Fence(outcome) => self.on_fence(outcome, turn),
            Event::PeerGone(evidence) => self.on_peer_gone(evidence, turn),
            Event::Progress => self.on_progress(turn),
            Event::Application { well } => self.on_application(well, turn),
            Event::Readiness(blocks) => self.on_readiness(blocks, turn),
            Event::Order(order) => turn.out.order = Some(self.on_order(order, turn)),
            Event::Broken if self.state == State::Off => {}
            Event::Broken => {
                self.fault_by_application = false;
                self.enter(State::Fault, Cause::Broken, turn);
            }
            Event::Stop => self.enter(State::Off, Cause::Started, turn),
        }
    }

    /// What was promised before is not known any more: it may have been all that can be.
    fn start(&mut self, turn: &mut Turn) {
        self.fault_by_application = false;
        self.witness =
            Witness { floor: self.witness.next, next: self.witness.next, ..Witness::default() };
        self.extend(Timer::Promise, turn.now + self.terms.promise);
        self.enter(State::SelfTest, Cause::Started, turn);
    }

    /// Changes the state, with what holds on every way into it.
    pub(super) fn enter(&mut self, state: State, cause: Cause, turn: &mut Turn) {
        if state == self.state {
            return;
        }
        let was_active = self.state.is_active();
        self.state = state;
        turn.cause = Some(cause);
        if was_active && !state.is_active() {
            self.let_go();
        }
        match state {
            State::ActiveSolo => {
                self.timers.clear(Timer::Suspect);
                self.timers.clear(Timer::GiveUp);
                self.timers.clear(Timer::HoldOff);
            }
            State::Listen => self.listen(turn),
            // Whoever begins to take over a state has not got it, until somebody says so.
            State::SyncUp => self.readiness |= Blocks::NOT_IN_SYNC,
            State::Isolated => {
                self.timers.set(Timer::Listen, turn.now + self.terms.listen);
            }
            State::Fault | State::Fenced | State::Maintenance => self.claim = None,
            State::Off => {
                self.claim = None;
                self.peer = None;
                let promise = self.timers.deadline(Timer::Promise);
                self.timers = TimerTable::new();
                if let Some(promise) = promise {
                    self.timers.set(Timer::Promise, promise);
                }
            }
            _ => {}
        }
    }

    /// Has the outputs no more.
    fn let_go(&mut self) {
        for timer in
            [Timer::Lease, Timer::Roll, Timer::Suspect, Timer::GiveUp, Timer::Stall, Timer::HoldOff]
        {
            self.timers.clear(timer);
        }
        self.tenure = super::Epoch::NONE;
        self.partner = None;
        self.fenced_peer = false;
        self.unclaimed = 0;
    }

    fn listen(&mut self, turn: &mut Turn) {
        self.claim = None;
        self.timers.set(Timer::Listen, turn.now + self.terms.listen);
        if let ColdStart::Either { patience } = self.terms.cold_start {
            self.timers.set(Timer::Patience, turn.now + patience);
        }
        self.timers.set(Timer::Poll, turn.now + self.terms.poll_every);
        self.ask(turn);
    }

    fn on_time(&mut self, turn: &mut Turn) {
        while let Some(expired) = self.timers.expired(turn.now) {
            self.on_timer(expired.timer, turn);
        }
    }

    fn on_timer(&mut self, timer: Timer, turn: &mut Turn) {
        match timer {
            Timer::Suspect => self.ask_to_be_alone(Cause::RenewalsMissing, turn),
            Timer::GiveUp => {
                let binds = self.terms.mode.arbiter().binds_to_lease();
                if binds && self.state == State::ActiveDuplex {
                    self.enter(State::Isolated, Cause::Undecided, turn);
                }
            }
            Timer::Promise => {
                self.take_over_if_due(turn);
                self.start_cold(turn);
            }
            Timer::Silence if self.state == State::SyncUp => {
                self.enter(State::Listen, Cause::Heard, turn);
            }
            Timer::Listen if self.state == State::Isolated => self.leave_isolation(turn),
            Timer::Silence | Timer::Listen | Timer::Patience => self.start_cold(turn),
            Timer::Ask => {
                self.ask(turn);
                self.start_cold(turn);
            }
            Timer::Poll => self.poll(turn),
            Timer::Stall => {
                self.application_well = false;
                self.is_stalled = true;
                self.stop_for_application(turn);
            }
            Timer::HoldOff => {
                if self.switchover_blocks(turn.now).is_empty() {
                    self.hand_over(Cause::Failback, turn);
                }
            }
            Timer::Lease | Timer::Roll | Timer::WitnessSilence => {}
        }
    }

    /// Nothing is open and nobody drives: as after a start. In mode M only a person ends it.
    fn leave_isolation(&mut self, turn: &mut Turn) {
        if self.claim.is_some() {
            self.timers.set(Timer::Listen, turn.now + self.terms.listen);
        } else if self.terms.mode != super::super::Mode::Manual {
            self.enter(State::Listen, Cause::Heard, turn);
        }
    }

    fn on_peer_gone(&mut self, evidence: Evidence, turn: &mut Turn) {
        if !evidence.is_proof() {
            return;
        }
        if self.claim.is_some_and(|claim| claim.is_fencing()) {
            self.on_fence(FenceOutcome::Confirmed, turn);
            self.fenced_peer &= evidence == Evidence::Fence;
            return;
        }
        match self.state {
            State::Standby if self.standing.owner() == Some(self.terms.me.peer()) => {
                self.take_over(Cause::PeerGone, turn);
            }
            State::ActiveDuplex => self.ask_to_be_alone(Cause::PeerGone, turn),
            _ => {}
        }
    }

    fn on_progress(&mut self, turn: &mut Turn) {
        if let Some(stall) = self.terms.stall.filter(|_| self.state.is_active()) {
            self.timers.set(Timer::Stall, turn.now + stall);
        } else if self.is_stalled || self.fault_by_application {
            self.on_application(true, turn);
        }
    }

    fn on_application(&mut self, well: bool, turn: &mut Turn) {
        self.application_well = well;
        self.is_stalled = false;
        if well && self.state == State::Fault && self.fault_by_application {
            self.fault_by_application = false;
            self.enter(State::Listen, Cause::Application, turn);
        } else if !well {
            self.stop_for_application(turn);
        }
        self.weigh(turn);
    }

    /// The active node's application does not control: the outputs are let go, and the beat that
    /// says so lets the standby take them at once.
    pub(super) fn stop_for_application(&mut self, turn: &mut Turn) {
        if self.state.is_active() || self.state == State::Handover {
            self.fault_by_application = true;
            self.enter(State::Fault, Cause::Application, turn);
        }
    }

    fn on_readiness(&mut self, blocks: Blocks, turn: &mut Turn) {
        self.readiness = blocks;
        if blocks.contains(Blocks::CLOCK_RATE) {
            self.ask_to_be_alone(Cause::Readiness, turn);
        }
        self.weigh(turn);
    }

    /// What stands in this node's way came or went.
    fn weigh(&mut self, turn: &mut Turn) {
        if self.state.is_standby() {
            self.enter(self.standby_state(), Cause::Readiness, turn);
            self.take_over_if_due(turn);
        }
        self.start_cold(turn);
    }

    /// Does what an operator orders; what stands in the way where it cannot.
    fn on_order(&mut self, order: Order, turn: &mut Turn) -> Blocks {
        match order {
            Order::Switchover => {
                let blocks = self.switchover_blocks(turn.now);
                if blocks.is_empty() {
                    self.hand_over(Cause::Switchover, turn);
                }
                blocks
            }
            Order::Maintenance { on: true } => self.leave_for_maintenance(turn),
            Order::Maintenance { on: false } => {
                if self.state == State::Maintenance {
                    self.enter(State::Listen, Cause::Operator, turn);
                }
                Blocks::NONE
            }
            Order::Take => self.take_by_order(turn),
            Order::Acknowledge => {
                self.changes.forget();
                self.fence_settled = self.standing.epoch;
                if matches!(self.state, State::Fenced | State::Fault) {
                    self.fault_by_application = false;
                    self.enter(State::Listen, Cause::Operator, turn);
                }
                Blocks::NONE
            }
        }
    }

    fn leave_for_maintenance(&mut self, turn: &mut Turn) -> Blocks {
        match self.state {
            State::ActiveDuplex | State::ActiveSolo | State::Handover | State::Candidate => {
                Blocks::UNSETTLED
            }
            State::Off | State::SelfTest => Blocks::NOT_ACTIVE,
            _ if self.claim.is_some() => Blocks::UNSETTLED,
            _ => {
                self.enter(State::Maintenance, Cause::Operator, turn);
                Blocks::NONE
            }
        }
    }

    fn take_by_order(&mut self, turn: &mut Turn) -> Blocks {
        let may = matches!(
            self.state,
            State::Listen
                | State::SyncUp
                | State::Standby
                | State::StandbyDegraded
                | State::Candidate
                | State::Isolated
        );
        if !may {
            return Blocks::PEER_STATE;
        }
        if self.blocks().contains(Blocks::APPLICATION) {
            return Blocks::APPLICATION;
        }
        self.enter(State::Candidate, Cause::Ordered, turn);
        let target = Standing::solo(self.standing.epoch.next_by_order(self.terms.me));
        self.claim(target, Cause::Ordered, None, turn);
        Blocks::NONE
    }
}
