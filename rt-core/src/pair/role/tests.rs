//! The life of two nodes, one step after the other.

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
    witness: bool,
    latch: Epoch,
    transitions: Vec<(NodeId, State, Cause)>,
}

impl Pair {
    fn new(mode: Mode) -> Self {
        let node = |me: NodeId| {
            let session = Session([u8::try_from(me.index()).unwrap() + 1; 16]);
            Machine::new(terms(me, mode), session, Standing::VACANT)
        };
        let mut pair = Self {
            nodes: NodeId::ALL.map(node),
            register: Standing::VACANT,
            now: Instant::ORIGIN,
            carries: [true; 2],
            alive: [true; 2],
            witness: true,
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
        let outcome = self.nodes[node.index()].step(event, self.now);
        if let Some(transition) = outcome.transition {
            self.transitions.push((node, transition.to, transition.cause));
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

    fn answer(&mut self, question: Question) -> Answer {
        let Question { nonce, wish, .. } = question;
        let mut swapped = false;
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
        let mut pair = Self::new(mode);
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
