//! The life of two nodes, one step after the other.

use super::super::Evidence;
use super::super::arbiter::Mode;
use super::super::beat::Session;
use super::super::blocks::Blocks;
use super::super::question::{Answer, Claimed, FenceOutcome, Question, Wish};
use super::super::standing::{Epoch, NodeId, Standing};
use super::super::state::State;
use super::super::terms::{ColdStart, Damping, Failback, Latches, Terms};
use super::{Cause, Event, Heard, Machine, Order};
use crate::time::{Duration, Instant};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn terms(me: NodeId, mode: Mode) -> Terms {
    Terms {
        me,
        mode,
        latches: if mode == Mode::Latch { Latches::all(1) } else { Latches::NONE },
        lease: ms(30),
        promise: ms(31),
        suspicion: ms(20),
        ask_every: ms(2),
        poll_every: ms(1_000),
        listen: ms(1_000),
        stall: None,
        cold_start: ColdStart::LastOwner,
        failback: Failback::Never,
        damping: Damping::NONE,
    }
}

/// Two nodes and a register, with beats of 5 ms that arrive at once where the cable is whole.
struct Pair {
    nodes: [Machine; 2],
    register: Standing,
    now: Instant,
    /// Whether what A says reaches B, and the other way round.
    carries: [bool; 2],
    alive: [bool; 2],
    /// What keeps each node from taking over, as others find.
    found: [Blocks; 2],
    witness: bool,
    is_lost: bool,
    seeds: [Option<Standing>; 2],
    latch: Epoch,
    transitions: Vec<(NodeId, State, Cause)>,
}

impl Pair {
    fn new(mode: Mode) -> Self {
        Self::with(|me| terms(me, mode))
    }

    fn with(terms: impl Fn(NodeId) -> Terms) -> Self {
        let node = |me: NodeId| {
            let session = Session([u8::try_from(me.index()).unwrap() + 1; 16]);
            Machine::new(terms(me), session, Standing::VACANT)
        };
        let mut pair = Self {
            nodes: NodeId::ALL.map(node),
            register: Standing::VACANT,
            now: Instant::ORIGIN,
            carries: [true; 2],
            alive: [true; 2],
            found: [Blocks::NONE; 2],
            witness: true,
            is_lost: false,
            seeds: [None; 2],
            latch: Epoch::NONE,
            transitions: Vec::new(),
        };
        for node in NodeId::ALL {
            pair.give(node, Event::Start);
            pair.give(node, Event::SelfTest { passed: true });
        }
        pair
    }

    /// What became of the order, if the event was one.
    fn give(&mut self, node: NodeId, event: Event) -> Option<Blocks> {
        if let Event::Readiness(blocks) = event {
            self.found[node.index()] = blocks;
        }
        let outcome = self.nodes[node.index()].step(event, self.now);
        if let Some(transition) = outcome.transition {
            self.transitions.push((node, transition.to, transition.cause));
            self.is_synced(node, transition.to);
        }
        if let Some(question) = outcome.question.filter(|_| self.witness) {
            let answer = self.answer(question);
            self.give(node, Event::Answer(answer));
        }
        if let Some(claim) = outcome.claim.filter(|_| self.witness) {
            if self.latch <= claim.expected && claim.epoch > self.latch {
                self.latch = claim.epoch;
            }
            self.give(node, Event::Latch(Claimed { latch: 0, epoch: self.latch }));
        }
        if outcome.fence {
            let is_off = !self.alive[node.peer().index()];
            let outcome = if is_off { FenceOutcome::Confirmed } else { FenceOutcome::Failed };
            self.give(node, Event::Fence(outcome));
        }
        if outcome.beat {
            self.beat(node);
        }
        outcome.order
    }

    /// A node that begins to take over the state has it at once.
    fn is_synced(&mut self, node: NodeId, state: State) {
        if state == State::SyncUp {
            let found = self.found[node.index()];
            let _ = self.give(node, Event::Readiness(found));
        }
    }

    fn answer(&mut self, question: Question) -> Answer {
        let Question { node, nonce, wish, .. } = question;
        let mut swapped = false;
        if self.is_lost {
            if let Wish::Seed(standing) = wish {
                self.seeds[node.index()] = Some(standing);
            }
            self.is_lost = self.seeds[0].is_none() || self.seeds[0] != self.seeds[1];
            let register = (!self.is_lost).then_some(self.register);
            return Answer { nonce, register, swapped };
        }
        if let Wish::Swap { expected, new, .. } = wish
            && self.register.epoch == expected
        {
            self.register = new;
            swapped = true;
        }
        Answer { nonce, register: Some(self.register), swapped }
    }

    fn beat(&mut self, from: NodeId) {
        let now = self.now;
        let node = &mut self.nodes[from.index()];
        node.on_beat_sent(now);
        let heard = Heard {
            session: Session([u8::try_from(from.index()).unwrap() + 1; 16]),
            sent_at: now,
            echo_sent_at: node.echo().map(|(sent_at, _)| sent_at),
            word: node.word(),
        };
        if self.carries[from.index()] && self.alive[from.peer().index()] {
            self.give(from.peer(), Event::Beat(heard));
        }
    }

    /// Lets `span` pass; both nodes beat every 5 ms, and look at their timers every millisecond.
    fn run(&mut self, span: Duration) {
        for _ in 0..span.as_millis() {
            self.now += ms(1);
            let alive = self.alive;
            for node in NodeId::ALL.into_iter().filter(|node| alive[node.index()]) {
                self.give(node, Event::Time);
                if self.now.as_nanos().is_multiple_of(5_000_000) {
                    self.beat(node);
                }
            }
            let drivers = NodeId::ALL.iter().filter(|node| self.drives(**node)).count();
            assert!(drivers <= 1, "two owners at {:?}: {:?}", self.now, self.transitions);
        }
    }

    fn drives(&self, node: NodeId) -> bool {
        self.nodes[node.index()].may_drive(self.now)
    }

    fn states(&self) -> [State; 2] {
        [self.nodes[0].state(), self.nodes[1].state()]
    }

    /// A pair that has come up.
    fn up(mode: Mode) -> Self {
        Self::new(mode).come_up()
    }

    fn up_with(change: impl Fn(&mut Terms)) -> Self {
        let terms = |me| {
            let mut terms = terms(me, Mode::Witness);
            change(&mut terms);
            terms
        };
        Self::with(terms).come_up()
    }

    fn come_up(self) -> Self {
        let mut pair = self;
        pair.run(ms(1_200));
        assert_eq!(pair.states(), [State::ActiveDuplex, State::Standby], "{:?}", pair.transitions);
        assert!(pair.drives(NodeId::A));
        pair.transitions.clear();
        pair
    }
}

#[test]
fn a_pair_that_never_drove_comes_up_with_a_and_its_standby() {
    let pair = Pair::up(Mode::Witness);
    assert_eq!(pair.register, Standing::duplex(Epoch::new(4).unwrap()));
}

#[test]
fn the_standby_takes_over_when_its_promise_is_over() {
    let mut pair = Pair::up(Mode::Witness);
    pair.alive[0] = false;
    pair.run(ms(29));
    assert_eq!(pair.states()[1], State::Standby);
    pair.run(ms(5));
    assert_eq!(pair.states()[1], State::ActiveSolo, "{:?}", pair.transitions);
    assert!(pair.drives(NodeId::B));
}

#[test]
fn the_active_node_goes_on_alone_when_the_standby_dies_without_a_gap() {
    let mut pair = Pair::up(Mode::Witness);
    pair.alive[1] = false;
    for _ in 0..100 {
        pair.run(ms(1));
        assert!(pair.drives(NodeId::A));
    }
    assert_eq!(pair.states()[0], State::ActiveSolo);
}

#[test]
fn who_drives_wins_when_the_nodes_hear_each_other_no_more() {
    let mut pair = Pair::up(Mode::Witness);
    pair.carries = [false; 2];
    pair.run(ms(200));
    assert_eq!(pair.states(), [State::ActiveSolo, State::Isolated], "{:?}", pair.transitions);
    pair.carries = [true; 2];
    pair.run(ms(200));
    assert_eq!(pair.states(), [State::ActiveDuplex, State::Standby]);
}

#[test]
fn without_a_decision_the_gate_closes_with_the_lease_and_the_standby_is_released() {
    let mut pair = Pair::up(Mode::Witness);
    pair.carries = [true, false];
    pair.witness = false;
    pair.run(ms(60));
    assert!(!pair.drives(NodeId::A));
    assert_eq!(pair.states(), [State::ActiveDuplex, State::Standby], "it is still promised to");
    pair.run(ms(100));
    assert_eq!(pair.states(), [State::Isolated, State::Candidate]);
    pair.witness = true;
    pair.run(ms(5));
    assert!(pair.drives(NodeId::A) ^ pair.drives(NodeId::B), "{:?}", pair.transitions);
}

#[test]
fn a_switchover_changes_the_owner_and_nothing_else() {
    let mut pair = Pair::up(Mode::Witness);
    let blocks = pair.give(NodeId::A, Event::Order(Order::Switchover));
    assert_eq!(blocks, Some(Blocks::NONE));
    pair.run(ms(1));
    assert_eq!(pair.states(), [State::Standby, State::ActiveDuplex], "{:?}", pair.transitions);
    assert!(pair.drives(NodeId::B), "its first lease came with the outputs");
    pair.run(ms(1_000));
    assert_eq!(pair.states(), [State::Standby, State::ActiveDuplex], "and it stays so");
}

#[test]
fn a_node_that_stops_in_good_order_is_replaced_at_once() {
    let mut pair = Pair::up(Mode::Witness);
    pair.give(NodeId::A, Event::Stop);
    assert_eq!(pair.states(), [State::Off, State::ActiveSolo]);
}

#[test]
fn a_standby_that_restarts_gets_its_rights_anew() {
    let mut pair = Pair::up(Mode::Witness);
    pair.give(NodeId::B, Event::Stop);
    pair.give(NodeId::B, Event::Start);
    pair.give(NodeId::B, Event::SelfTest { passed: true });
    pair.run(ms(25));
    assert_eq!(pair.states(), [State::ActiveDuplex, State::Standby], "{:?}", pair.transitions);
    let alone = (NodeId::A, State::ActiveSolo, Cause::PeerLeft);
    assert!(pair.transitions.contains(&alone), "{:?}", pair.transitions);
}

#[test]
fn every_mode_but_the_manual_one_has_a_rule_for_the_active_nodes_death() {
    for mode in Mode::ALL {
        let mut pair = Pair::up(mode);
        pair.alive[0] = false;
        pair.run(ms(100));
        let expected = if mode == Mode::Manual { State::Isolated } else { State::ActiveSolo };
        assert_eq!(pair.states()[1], expected, "mode {mode}");
        assert_eq!(pair.drives(NodeId::B), mode != Mode::Manual);
    }
}

#[test]
fn an_application_that_makes_no_progress_loses_the_outputs_to_the_standby() {
    let mut pair = Pair::up_with(|terms| terms.stall = Some(ms(5_000)));
    pair.run(ms(3_000));
    let _ = pair.give(NodeId::A, Event::Progress);
    pair.run(ms(3_000));
    assert!(pair.drives(NodeId::A), "it made progress in between");
    pair.run(ms(2_001));
    assert_eq!(pair.states(), [State::Fault, State::ActiveSolo], "{:?}", pair.transitions);
    let _ = pair.give(NodeId::A, Event::Progress);
    pair.run(ms(100));
    assert_eq!(pair.states(), [State::Standby, State::ActiveDuplex], "it is well again");
}

#[test]
fn a_standby_whose_copy_is_not_whole_takes_nothing_until_it_is() {
    let mut pair = Pair::up(Mode::Witness);
    let _ = pair.give(NodeId::B, Event::Readiness(Blocks::NOT_IN_SYNC));
    assert_eq!(pair.states()[1], State::StandbyDegraded);
    let refused = pair.give(NodeId::A, Event::Order(Order::Switchover));
    assert_eq!(refused, Some(Blocks::PEER_STATE | Blocks::NOT_IN_SYNC));
    pair.alive[0] = false;
    pair.run(ms(500));
    assert_eq!(pair.states()[1], State::StandbyDegraded);
    let _ = pair.give(NodeId::B, Event::Readiness(Blocks::NONE));
    assert_eq!(pair.states()[1], State::ActiveSolo);
}

#[test]
fn clocks_that_run_apart_end_the_redundancy_and_nothing_else() {
    let mut pair = Pair::up(Mode::Witness);
    let _ = pair.give(NodeId::A, Event::Readiness(Blocks::CLOCK_RATE));
    pair.run(ms(100));
    assert_eq!(pair.states(), [State::ActiveSolo, State::SyncUp]);
    let _ = pair.give(NodeId::A, Event::Readiness(Blocks::NONE));
    pair.run(ms(100));
    assert_eq!(pair.states(), [State::ActiveDuplex, State::Standby]);
}

#[test]
fn who_changes_hands_too_often_keeps_the_outputs_until_a_person_looks() {
    let damping = Damping { changes_max: 1, within: ms(3_600_000) };
    let mut pair = Pair::up_with(|terms| terms.damping = damping);
    for _ in 0..2 {
        for node in NodeId::ALL {
            let _ = pair.give(node, Event::Order(Order::Switchover));
            pair.run(ms(20));
        }
    }
    // A got them three times now: once more is too many when its standby comes again.
    assert_eq!(pair.states(), [State::ActiveDuplex, State::Standby]);
    let _ = pair.give(NodeId::B, Event::Order(Order::Maintenance { on: true }));
    pair.run(ms(20));
    let _ = pair.give(NodeId::B, Event::Order(Order::Maintenance { on: false }));
    pair.run(ms(2_000));
    assert_eq!(pair.states(), [State::ActiveSolo, State::SyncUp]);
    assert!(pair.drives(NodeId::A));
    let _ = pair.give(NodeId::A, Event::Order(Order::Acknowledge));
    pair.run(ms(20));
    assert_eq!(pair.states(), [State::ActiveDuplex, State::Standby]);
}

#[test]
fn the_outputs_return_to_the_preferred_node_when_it_was_ready_for_long_enough() {
    let failback = Failback::After { preferred: NodeId::A, hold_off: ms(500) };
    let mut pair = Pair::up_with(|terms| terms.failback = failback);
    let _ = pair.give(NodeId::A, Event::Order(Order::Switchover));
    pair.run(ms(400));
    assert_eq!(pair.states(), [State::Standby, State::ActiveDuplex]);
    let _ = pair.give(NodeId::A, Event::Readiness(Blocks::LAG));
    pair.run(ms(20));
    let _ = pair.give(NodeId::A, Event::Readiness(Blocks::NONE));
    pair.run(ms(400));
    assert_eq!(pair.states(), [State::Standby, State::ActiveDuplex], "it counts anew");
    pair.run(ms(150));
    assert_eq!(pair.states(), [State::ActiveDuplex, State::Standby]);
    pair.run(ms(2_000));
    assert_eq!(pair.states(), [State::ActiveDuplex, State::Standby], "and there they stay");
}

#[test]
fn a_failback_that_is_a_persons_is_reported_only() {
    let failback = Failback::Manual { preferred: NodeId::A };
    let mut pair = Pair::up_with(|terms| terms.failback = failback);
    assert!(!pair.nodes[0].failback_is_due(pair.now));
    let _ = pair.give(NodeId::A, Event::Order(Order::Switchover));
    pair.run(ms(5_000));
    assert_eq!(pair.states(), [State::Standby, State::ActiveDuplex]);
    assert!(pair.nodes[1].failback_is_due(pair.now));
}

#[test]
fn maintenance_takes_the_standby_out_and_is_refused_to_who_drives() {
    let mut pair = Pair::up(Mode::Witness);
    let on = Event::Order(Order::Maintenance { on: true });
    assert_eq!(pair.give(NodeId::A, on), Some(Blocks::UNSETTLED));
    assert_eq!(pair.give(NodeId::B, on), Some(Blocks::NONE));
    pair.run(ms(50));
    assert_eq!(pair.states(), [State::ActiveSolo, State::Maintenance]);
    pair.alive[0] = false;
    pair.run(ms(3_000));
    assert_eq!(pair.states()[1], State::Maintenance, "it takes nothing");
}

#[test]
fn a_node_that_was_switched_off_is_let_in_by_a_person() {
    let mut pair = Pair::up(Mode::Fence);
    pair.alive[0] = false;
    pair.run(ms(100));
    assert_eq!(pair.states()[1], State::ActiveSolo);
    pair.nodes[0] = Machine::new(
        terms(NodeId::A, Mode::Fence),
        Session([1; 16]),
        Standing::duplex(Epoch::new(4).unwrap()),
    );
    pair.alive[0] = true;
    let _ = pair.give(NodeId::A, Event::Start);
    let _ = pair.give(NodeId::A, Event::SelfTest { passed: true });
    pair.run(ms(100));
    assert_eq!(pair.states(), [State::Fenced, State::ActiveSolo]);
    let _ = pair.give(NodeId::A, Event::Order(Order::Acknowledge));
    pair.run(ms(100));
    assert_eq!(pair.states(), [State::Standby, State::ActiveDuplex]);
}

#[test]
fn a_person_may_give_the_outputs_to_a_node_whose_peer_is_off() {
    let mut pair = Pair::up(Mode::Manual);
    pair.alive[0] = false;
    pair.run(ms(100));
    assert_eq!(pair.states()[1], State::Isolated);
    let outcome = pair.give(NodeId::B, Event::Order(Order::Take));
    assert_eq!(outcome, Some(Blocks::NONE));
    assert!(pair.drives(NodeId::B));
    let epoch = pair.nodes[1].standing().epoch.number();
    assert!(epoch > 1 << 32, "above all that A may have agreed to since: {epoch}");
    assert_eq!(pair.give(NodeId::B, Event::Order(Order::Take)), Some(Blocks::PEER_STATE));
}

#[test]
fn a_witness_that_lost_its_register_decides_again_when_both_nodes_told_it() {
    let mut pair = Pair::up(Mode::Witness);
    pair.is_lost = true;
    pair.run(ms(3_500));
    assert!(!pair.is_lost, "it is asked how it stands now and then");
    pair.alive[0] = false;
    pair.run(ms(100));
    assert_eq!(pair.states()[1], State::ActiveSolo);
}

#[test]
fn without_the_register_nobody_takes_anything() {
    let mut pair = Pair::up(Mode::Witness);
    pair.is_lost = true;
    pair.alive[0] = false;
    pair.run(ms(3_000));
    assert_eq!(pair.states()[1], State::Candidate);
    assert_eq!(pair.seeds[1], Some(pair.register), "it said what it knows, and waits");
}

#[test]
fn what_a_witness_answered_before_it_lost_its_register_is_not_taken() {
    let mut pair = Pair::up(Mode::Witness);
    let old = Answer { nonce: 0, register: Some(pair.register), swapped: false };
    pair.is_lost = true;
    pair.run(ms(1_100));
    let before = pair.nodes[1].clone();
    let newer = Standing::solo(pair.register.epoch.next_of(NodeId::B));
    let _ = pair.give(NodeId::B, Event::Answer(Answer { register: Some(newer), ..old }));
    assert_eq!(pair.nodes[1].standing(), before.standing());
}

#[test]
fn the_kernels_word_on_the_peers_end_needs_no_promise() {
    let mut pair = Pair::up(Mode::SameHost);
    pair.alive[0] = false;
    for hint in [Evidence::Hint, Evidence::Silence, Evidence::Stall] {
        let _ = pair.give(NodeId::B, Event::PeerGone(hint));
        assert_eq!(pair.states()[1], State::Standby);
    }
    let _ = pair.give(NodeId::B, Event::PeerGone(Evidence::Kernel));
    assert!(pair.drives(NodeId::B));
}

#[test]
fn after_a_loss_of_power_the_last_owner_goes_first_and_alone_if_it_must() {
    let standing = Standing::duplex(Epoch::new(7).unwrap());
    for (alone, policy, expected) in [
        (false, ColdStart::LastOwner, [State::Standby, State::ActiveDuplex]),
        (true, ColdStart::LastOwner, [State::Listen, State::Off]),
        (true, ColdStart::Together, [State::Listen, State::Off]),
        (true, ColdStart::Either { patience: ms(2_000) }, [State::ActiveSolo, State::Off]),
    ] {
        let mut pair = Pair::new(Mode::Witness);
        pair.register = standing;
        for node in NodeId::ALL {
            let terms = Terms { cold_start: policy, ..terms(node, Mode::Witness) };
            let session = Session([u8::try_from(node.index()).unwrap() + 1; 16]);
            pair.nodes[node.index()] = Machine::new(terms, session, standing);
        }
        pair.alive = [true, !alone];
        for node in NodeId::ALL.into_iter().filter(|node| !alone || *node == NodeId::A) {
            let _ = pair.give(node, Event::Start);
            let _ = pair.give(node, Event::SelfTest { passed: true });
        }
        pair.run(ms(3_000));
        assert_eq!(pair.states(), expected, "{policy:?} {:?}", pair.transitions);
    }
}

#[test]
fn a_node_whose_host_is_unfit_does_not_begin() {
    let mut node = Machine::new(terms(NodeId::A, Mode::Manual), Session([1; 16]), Standing::VACANT);
    let _ = node.step(Event::Start, Instant::ORIGIN);
    let _ = node.step(Event::SelfTest { passed: false }, Instant::ORIGIN);
    assert_eq!(node.state(), State::Fault);
    let outcome = node.step(Event::Order(Order::Acknowledge), Instant::ORIGIN);
    assert_eq!((node.state(), outcome.order), (State::Listen, Some(Blocks::NONE)));
}
