//! Two nodes and a witness through chance: messages are lost, late and out of order, nodes crash
//! and come back, clocks run apart. At no instant do both drive, and when all is well again one
//! does, with the other as its standby.

use super::super::arbiter::Mode;
use super::super::beat::Session;
use super::super::blocks::Blocks;
use super::super::question::{Answer, Claimed, FenceOutcome, Question, Right, Wish};
use super::super::standing::{Epoch, Form, NodeId, Standing};
use super::super::state::State;
use super::super::terms::{ColdStart, Damping, Failback, Latches, Terms};
use super::{Cause, Event, Heard, LatchClaim, Machine, Order, Transition};
use crate::margins::{Measured, Timers};
use crate::time::{Duration, Instant};

const fn us(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// A small generator of chance, by its seed (xorshift64*).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

#[derive(Clone, Copy)]
enum Message {
    Beat(NodeId, Session, Heard),
    Question(Session, Question),
    Answer(NodeId, Session, Answer),
    Claim(NodeId, Session, LatchClaim),
    Claimed(NodeId, Session, Claimed),
    Fence(NodeId, Session),
    Fenced(NodeId, Session, FenceOutcome),
}

struct Node {
    machine: Machine,
    session: Session,
    remembered: Standing,
    is_up: bool,
    /// This clock runs so much faster than the true one, in parts per million.
    fast_ppm: i64,
    next_beat: Instant,
}

struct World {
    chance: Chance,
    now: u64,
    nodes: [Node; 2],
    mode: Mode,
    register: Standing,
    latches: [Epoch; 2],
    witness_up: bool,
    messages: Vec<(u64, Message)>,
    starts: u8,
    loss: u64,
    delay_us: u64,
    seen: Seen,
}

/// What happened at least once.
#[derive(Default, Debug, PartialEq, Eq)]
struct Seen {
    took_over: bool,
    went_alone: bool,
    isolated: bool,
    rejoined: bool,
    handed_over: bool,
    gave_up: bool,
    fenced: bool,
}

impl Seen {
    const ALL: Self = Self {
        took_over: true,
        went_alone: true,
        isolated: true,
        rejoined: true,
        handed_over: true,
        gave_up: true,
        fenced: true,
    };

    fn note(&mut self, transition: &Transition) {
        let Transition { from, to, cause, .. } = *transition;
        self.took_over |= from == State::Candidate && to.is_active();
        self.went_alone |= from == State::ActiveDuplex && to == State::ActiveSolo;
        self.isolated |= to == State::Isolated;
        self.gave_up |= cause == Cause::Undecided;
        self.rejoined |= from == State::SyncUp && to == State::Standby;
        self.handed_over |= cause == Cause::Switchover && !to.is_active();
        self.fenced |= to == State::Fenced;
    }

    fn add(&mut self, other: &Self) {
        self.took_over |= other.took_over;
        self.went_alone |= other.went_alone;
        self.isolated |= other.isolated;
        self.rejoined |= other.rejoined;
        self.handed_over |= other.handed_over;
        self.gave_up |= other.gave_up;
        self.fenced |= other.fenced;
    }
}

const TICK_US: u64 = 500;
const HEARTBEAT: Duration = us(5_000);

fn timers() -> (Measured, Timers) {
    let measured = Measured {
        jitter: us(1_000),
        round_trip: us(4_000),
        witness_round_trip: us(6_000),
        witness_retries: 1,
        latch_round_trip: us(0),
        cycle: us(10_000),
        hold: us(500_000),
        drift_ppm: 500,
        granularity: us(TICK_US),
    };
    (measured, measured.timers(HEARTBEAT, 2))
}

fn terms(me: NodeId, mode: Mode) -> Terms {
    let (measured, timers) = timers();
    Terms {
        latches: if mode == Mode::Latch { Latches::all(2) } else { Latches::NONE },
        listen: us(100_000),
        poll_every: us(50_000),
        cold_start: ColdStart::Either { patience: us(200_000) },
        failback: Failback::Never,
        damping: Damping::NONE,
        ..Terms::new(me, mode, &timers, &measured)
    }
}

impl World {
    fn new(seed: u64, mode: Mode) -> Self {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let loss = chance.below(60);
        let delay_us = 200 + chance.below(2) * chance.below(60_000);
        let mut world = Self {
            nodes: NodeId::ALL.map(|me| Node {
                machine: Machine::new(terms(me, mode), Session([0; 16]), Standing::VACANT),
                session: Session([0; 16]),
                remembered: Standing::VACANT,
                is_up: false,
                fast_ppm: i64::try_from(chance.below(1_001)).unwrap() - 500,
                next_beat: Instant::ORIGIN,
            }),
            chance,
            now: 0,
            mode,
            register: Standing::VACANT,
            latches: [Epoch::NONE; 2],
            witness_up: true,
            messages: Vec::new(),
            starts: 0,
            loss,
            delay_us,
            seen: Seen::default(),
        };
        NodeId::ALL.into_iter().for_each(|node| world.start(node));
        world
    }

    /// A node's own clock.
    fn clock(&self, node: NodeId) -> Instant {
        let now = i128::from(self.now) * 1_000;
        let fast = now * i128::from(self.nodes[node.index()].fast_ppm) / 1_000_000;
        Instant::from_nanos(u64::try_from(now + fast).unwrap())
    }

    fn start(&mut self, node: NodeId) {
        self.starts += 1;
        let session = Session([self.starts; 16]);
        let next_beat = self.clock(node);
        let it = &mut self.nodes[node.index()];
        it.machine = Machine::new(terms(node, self.mode), session, it.remembered);
        it.session = session;
        it.is_up = true;
        it.next_beat = next_beat;
        self.give(node, Event::Start);
        self.give(node, Event::SelfTest { passed: true });
    }

    fn give(&mut self, node: NodeId, event: Event) {
        let now = self.clock(node);
        let it = &mut self.nodes[node.index()];
        let outcome = it.machine.step(event, now);
        let session = it.session;
        if let Some(standing) = outcome.remember {
            it.remembered = standing;
        }
        if let Some(transition) = outcome.transition {
            self.seen.note(&transition);
            if transition.to == State::SyncUp {
                self.give(node, Event::Readiness(Blocks::NONE));
            }
        }
        if let Some(question) = outcome.question {
            self.send(Message::Question(session, question));
        }
        if let Some(claim) = outcome.claim {
            self.send(Message::Claim(node, session, claim));
        }
        if outcome.fence {
            // Whoever fences says what came of it, in the end.
            self.messages.push((self.now + 1_000, Message::Fence(node, session)));
        }
        if outcome.beat {
            self.beat(node);
        }
    }

    fn beat(&mut self, from: NodeId) {
        let now = self.clock(from);
        let it = &mut self.nodes[from.index()];
        it.machine.on_beat_sent(now);
        let heard = Heard {
            session: it.session,
            sent_at: now,
            echo_sent_at: it.machine.echo().map(|(sent_at, _)| sent_at),
            word: it.machine.word(),
        };
        // Whom it is for: only what was meant for the present session is taken.
        let to = self.nodes[from.peer().index()].session;
        self.send(Message::Beat(from.peer(), to, heard));
    }

    fn send(&mut self, message: Message) {
        let copies = if self.chance.once_in(20) { 2 } else { 1 };
        for _ in 0..copies {
            if self.chance.below(100) >= self.loss {
                let at = self.now + 100 + self.chance.below(self.delay_us);
                self.messages.push((at, message));
            }
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        let mut due: Vec<_> = self.messages.extract_if(.., |(at, _)| *at <= now).collect();
        due.sort_by_key(|(at, _)| *at);
        due.into_iter().for_each(|(_, message)| self.arrive(message));
    }

    fn arrive(&mut self, message: Message) {
        match message {
            Message::Beat(to, session, heard) => {
                if self.nodes[to.peer().index()].session == heard.session {
                    self.give_to(to, session, Event::Beat(heard));
                }
            }
            Message::Question(session, question) if self.witness_up => {
                let answer = self.answer(question);
                self.send(Message::Answer(question.node, session, answer));
            }
            Message::Question(..) => {}
            Message::Answer(to, session, answer) => {
                self.give_to(to, session, Event::Answer(answer));
            }
            Message::Claim(by, session, claim) => self.claim(by, session, claim),
            Message::Claimed(to, session, claimed) => {
                self.give_to(to, session, Event::Latch(claimed));
            }
            Message::Fence(by, session) => self.fence(by, session),
            Message::Fenced(to, session, outcome) => {
                self.give_to(to, session, Event::Fence(outcome));
            }
        }
    }

    fn give_to(&mut self, node: NodeId, session: Session, event: Event) {
        if self.nodes[node.index()].session == session {
            self.give_if_up(node, event);
        }
    }

    /// Each latch hears the claim, or does not, and answers, which is heard, or not.
    fn claim(&mut self, by: NodeId, session: Session, claim: LatchClaim) {
        for latch in 0..2u8 {
            let bit = 1 << latch;
            if claim.latches & bit == 0 || self.chance.once_in(4) {
                continue;
            }
            let claimed = &mut self.latches[usize::from(latch)];
            let may = *claimed <= claim.expected || claimed.owner() == Some(by);
            if claim.epoch > *claimed && may {
                *claimed = claim.epoch;
            }
            let answer = Claimed { latch, epoch: *claimed };
            self.send(Message::Claimed(by, session, answer));
        }
    }

    /// The peer is switched off for certain, or not, or nobody hears of it.
    fn fence(&mut self, by: NodeId, session: Session) {
        if !self.witness_up {
            self.messages
                .push((self.now + 50_000, Message::Fenced(by, session, FenceOutcome::Failed)));
            return;
        }
        let it = &mut self.nodes[by.peer().index()];
        it.is_up = false;
        it.machine = Machine::new(terms(by.peer(), self.mode), Session([0; 16]), it.remembered);
        self.messages
            .push((self.now + 20_000, Message::Fenced(by, session, FenceOutcome::Confirmed)));
    }

    fn answer(&mut self, question: Question) -> Answer {
        let mut swapped = false;
        if let Wish::Swap { expected, new, right } = question.wish {
            let may = self.register.form == Form::Duplex
                || self.register.owner() == Some(question.node)
                || right == Right::Fence;
            swapped = self.register.epoch == expected && may;
            if swapped {
                self.register = new;
            }
        }
        Answer { nonce: question.nonce, register: Some(self.register), swapped }
    }

    /// Something goes wrong, or right again.
    fn fault(&mut self) {
        let node = NodeId::ALL[usize::try_from(self.chance.below(2)).unwrap()];
        match self.chance.below(8) {
            0 | 1 => self.nodes[node.index()].is_up = false,
            2 | 3 if !self.nodes[node.index()].is_up => self.start(node),
            4 => self.witness_up = !self.witness_up,
            5 => self.give_if_up(node, Event::Order(Order::Switchover)),
            6 => self.loss = self.chance.below(2) * 100,
            _ => self.loss = self.chance.below(40),
        }
    }

    fn give_if_up(&mut self, node: NodeId, event: Event) {
        if self.nodes[node.index()].is_up {
            self.give(node, event);
        }
    }

    fn tick(&mut self) {
        self.now += TICK_US;
        self.deliver();
        for node in NodeId::ALL {
            let now = self.clock(node);
            self.give_if_up(node, Event::Time);
            let it = &mut self.nodes[node.index()];
            if it.is_up && it.next_beat <= now {
                it.next_beat = now + HEARTBEAT;
                self.beat(node);
            }
        }
        let drivers = NodeId::ALL.map(|node| self.drives(node));
        assert!(drivers != [true; 2], "two owners at {} µs: {:?}", self.now, self.states());
    }

    /// A node that crashed leaves a gate behind, which closes by itself.
    fn drives(&self, node: NodeId) -> bool {
        self.nodes[node.index()].machine.may_drive(self.clock(node))
    }

    fn states(&self) -> [(State, Standing); 2] {
        [0, 1].map(|node| {
            let machine = &self.nodes[node].machine;
            (machine.state(), machine.standing())
        })
    }

    /// What an operator does in time: starts and lets in who was switched off, and where two nodes
    /// wait for a person, gives the outputs to one.
    fn see_to_it(&mut self, turn: u64) {
        if !turn.is_multiple_of(1_000) {
            return;
        }
        for node in NodeId::ALL {
            let it = &self.nodes[node.index()];
            if !it.is_up {
                self.start(node);
            } else if it.machine.state() == State::Fenced {
                self.give(node, Event::Order(Order::Acknowledge));
            }
        }
        let passive = [State::Isolated, State::Listen];
        let waits = self.states().iter().all(|(state, _)| passive.contains(state));
        let asks = matches!(self.mode, Mode::Manual | Mode::Latch);
        if asks && turn == 2_000 && waits {
            self.give(NodeId::A, Event::Order(Order::Take));
        }
    }

    fn is_well(&self) -> bool {
        let states = self.states().map(|(state, _)| state);
        let drives = NodeId::ALL.map(|node| self.drives(node));
        matches!(
            (states, drives),
            ([State::ActiveDuplex, State::Standby], [true, false])
                | ([State::Standby, State::ActiveDuplex], [false, true])
        )
    }
}

/// Runs `seed`; says what was seen.
fn run(seed: u64, mode: Mode) -> Seen {
    let mut world = World::new(seed, mode);
    for _ in 0..8_000 {
        if world.chance.once_in(200) {
            world.fault();
        }
        world.tick();
    }
    world.loss = 0;
    world.delay_us = 1_000;
    world.witness_up = true;
    // Listening, patience, an isolation that is listened out, and as much again.
    let healed = (0..5_000).any(|turn| {
        world.see_to_it(turn);
        world.tick();
        world.is_well()
    });
    let World { register, latches, .. } = &world;
    assert!(healed, "not well: {:?}, {register}, {latches:?}", world.states());
    world.seen
}

/// Seeds of each mode: these, or those that `BUMPLESS_SEEDS=FIRST-LAST` names.
fn seeds() -> std::ops::RangeInclusive<u64> {
    let named = std::env::var("BUMPLESS_SEEDS").ok().and_then(|text| {
        let (first, last) = text.split_once('-')?;
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    named.unwrap_or(1..=300)
}

fn run_all(mode: Mode) -> Seen {
    let mut all = Seen::default();
    for seed in seeds() {
        let seen = std::panic::catch_unwind(|| run(seed, mode)).unwrap_or_else(|panic| {
            eprintln!("mode {mode}, seed {seed}");
            std::panic::resume_unwind(panic)
        });
        all.add(&seen);
    }
    all
}

#[test]
fn with_a_witness_one_node_drives_at_most_and_both_recover() {
    assert_eq!(run_all(Mode::Witness), Seen { fenced: false, ..Seen::ALL });
}

#[test]
fn with_latches_one_node_drives_at_most_and_both_recover() {
    assert_eq!(run_all(Mode::Latch), Seen { fenced: false, ..Seen::ALL });
}

#[test]
fn with_a_fence_one_node_drives_at_most_and_both_recover() {
    for mode in [Mode::Fence, Mode::SameHost] {
        // That a claim is lost to somebody else is rare here.
        let seen = Seen { isolated: true, ..run_all(mode) };
        assert_eq!(seen, Seen { gave_up: false, ..Seen::ALL });
    }
}

#[test]
fn with_a_person_one_node_drives_at_most_and_both_recover() {
    // That two nodes wait for a person's word is rare here.
    let seen = Seen { fenced: true, ..run_all(Mode::Manual) };
    assert_eq!(seen, Seen { gave_up: false, took_over: false, ..Seen::ALL });
}
