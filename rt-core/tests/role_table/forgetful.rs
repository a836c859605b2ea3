//! Two machines and a witness that forgets: it restarts without a record, again and again, while
//! messages are late, lost and doubled, nodes crash and come back, and paths are cut. At no instant
//! do both nodes drive, and when all is well again the witness knows what it knew.
//!
//! This goes by the first two rules of the register's contract. With either of them left out there
//! were two owners within 20,000 seeds.

use rt_core::pair::beat::Session;
use rt_core::pair::question::{Answer, Question};
use rt_core::pair::register::{Record, Register};
use rt_core::pair::role::{Event, Heard};
use rt_core::pair::terms::ColdStart;
use rt_core::pair::{Blocks, Machine, Mode, NodeId, Standing, State, Terms};
use rt_core::time::{Duration, Instant};

use crate::pair::{ms, terms};

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
    /// For this life of the witness.
    Question(u32, Session, Question),
    /// Of this life of the witness.
    Answer(u32, NodeId, Session, Answer),
}

struct Node {
    machine: Machine,
    session: Session,
    remembered: Standing,
    is_up: bool,
    /// The latest life of the witness that it had an answer of.
    life: u32,
}

struct World {
    chance: Chance,
    now: u64,
    nodes: [Node; 2],
    register: Register,
    is_durable: bool,
    witness_is_up: bool,
    life: u32,
    messages: Vec<(u64, Message)>,
    starts: u8,
    loss: u64,
    late_us: u64,
    seen: Seen,
}

/// What happened at least once.
#[derive(Default, Debug, PartialEq, Eq)]
struct Seen {
    forgot: bool,
    forgot_while_it_had_forgotten: bool,
    knew_again: bool,
    was_lost_by_doubt: bool,
    swapped_after_a_loss: bool,
}

const TICK_US: u64 = 500;

fn pair_terms(me: NodeId) -> Terms {
    Terms {
        listen: ms(60),
        poll_every: ms(20),
        cold_start: ColdStart::Either { patience: ms(150) },
        ..terms(me, Mode::Witness)
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let is_durable = chance.once_in(4);
        let node = |me| Node {
            machine: Machine::new(pair_terms(me), Session([0; 16]), Standing::VACANT),
            session: Session([0; 16]),
            remembered: Standing::VACANT,
            is_up: false,
            life: 0,
        };
        let mut world = Self {
            nodes: NodeId::ALL.map(node),
            now: 1_000_000,
            register: Register::restored(Record::LOST),
            is_durable,
            witness_is_up: true,
            life: 1,
            messages: Vec::new(),
            starts: 0,
            loss: chance.below(50),
            late_us: 200 + chance.below(2) * chance.below(80_000),
            chance,
            seen: Seen::default(),
        };
        NodeId::ALL.into_iter().for_each(|node| world.start(node));
        world
    }

    fn clock(&self) -> Instant {
        Instant::ORIGIN + Duration::from_micros(self.now)
    }

    fn start(&mut self, node: NodeId) {
        self.starts = self.starts.wrapping_add(1);
        let session = Session([self.starts; 16]);
        let it = &mut self.nodes[node.index()];
        it.machine = Machine::new(pair_terms(node), session, it.remembered);
        (it.session, it.is_up, it.life) = (session, true, 0);
        self.give(node, Event::Start);
        self.give(node, Event::SelfTest { passed: true });
    }

    fn give(&mut self, node: NodeId, event: Event) {
        let now = self.clock();
        let it = &mut self.nodes[node.index()];
        if !it.is_up {
            return;
        }
        let outcome = it.machine.step(event, now);
        it.remembered = outcome.remember.unwrap_or(it.remembered);
        let session = it.session;
        if outcome.transition.is_some_and(|change| change.to == State::SyncUp) {
            self.give(node, Event::Readiness(Blocks::NONE));
        }
        if let Some(question) = outcome.question {
            self.send(Message::Question(self.life, session, question));
        }
        if outcome.beat {
            self.beat(node);
        }
    }

    fn beat(&mut self, from: NodeId) {
        let now = self.clock();
        let it = &mut self.nodes[from.index()];
        it.machine.on_beat_sent(now);
        let heard = Heard {
            session: it.session,
            sent_at: now,
            echo_sent_at: it.machine.echo().map(|(sent_at, _)| sent_at),
            word: it.machine.word(),
        };
        let to = self.nodes[from.peer().index()].session;
        self.send(Message::Beat(from.peer(), to, heard));
    }

    fn send(&mut self, message: Message) {
        for _ in 0..=u64::from(self.chance.once_in(10)) {
            if self.chance.below(100) >= self.loss {
                let at = self.now + 100 + self.chance.below(self.late_us);
                self.messages.push((at, message));
            }
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        let mut due: Vec<_> = self.messages.extract_if(.., |(at, _)| *at <= now).collect();
        due.sort_by_key(|(at, _)| *at);
        for (_, message) in due {
            self.arrive(message);
        }
    }

    fn arrive(&mut self, message: Message) {
        match message {
            Message::Beat(to, session, heard) => {
                let is_present = self.nodes[to.peer().index()].session == heard.session;
                if is_present && self.nodes[to.index()].session == session {
                    self.give(to, Event::Beat(heard));
                }
            }
            Message::Question(life, session, question) => {
                if self.witness_is_up && life == self.life {
                    self.ask(session, &question);
                }
            }
            Message::Answer(life, to, session, answer) => {
                let it = &mut self.nodes[to.index()];
                if it.session == session && life >= it.life {
                    it.life = life;
                    self.give(to, Event::Answer(answer));
                }
            }
        }
    }

    fn ask(&mut self, session: Session, question: &Question) {
        let before = self.register.standing();
        let reply = self.register.answer(session, question);
        assert_eq!(reply.store.is_some(), reply.store == Some(*self.register.record()));
        let after = self.register.standing();
        self.seen.knew_again |= before.is_none() && after.is_some();
        self.seen.was_lost_by_doubt |= before.is_some() && after.is_none();
        self.seen.swapped_after_a_loss |= self.life > 1 && reply.answer.swapped;
        self.send(Message::Answer(self.life, question.node, session, reply.answer));
    }

    fn fault(&mut self) {
        let node = NodeId::ALL[usize::try_from(self.chance.below(2)).unwrap()];
        match self.chance.below(9) {
            0 => self.nodes[node.index()].is_up = false,
            1 | 2 if !self.nodes[node.index()].is_up => self.start(node),
            3..=5 => self.restart_the_witness(),
            6 => self.witness_is_up = !self.witness_is_up,
            7 => self.loss = self.chance.below(2) * 100,
            _ => self.loss = self.chance.below(40),
        }
    }

    /// A durable one finds its record; the other one nothing.
    fn restart_the_witness(&mut self) {
        self.witness_is_up = true;
        self.life += 1;
        if self.is_durable {
            self.register = Register::restored(*self.register.record());
        } else {
            self.seen.forgot = true;
            self.seen.forgot_while_it_had_forgotten |= self.register.standing().is_none();
            self.register = Register::volatile();
        }
    }

    fn tick(&mut self) {
        self.now += TICK_US;
        self.deliver();
        for node in NodeId::ALL {
            self.give(node, Event::Time);
            if self.now.is_multiple_of(5_000) && self.nodes[node.index()].is_up {
                self.beat(node);
            }
        }
        // Who crashed leaves a gate behind, which closes by itself.
        let drives = self.nodes.each_ref().map(|it| it.machine.may_drive(self.clock()));
        assert!(drives != [true; 2], "two owners at {} µs: {}", self.now, self.words());
    }

    fn words(&self) -> String {
        let words = self.nodes.each_ref().map(|it| {
            let machine = &it.machine;
            format!("{} {}", machine.state(), machine.standing())
        });
        format!("{words:?} {:?}", self.register.record())
    }

    fn is_well(&self) -> bool {
        let mut states = self.nodes.each_ref().map(|it| it.machine.state());
        states.sort_unstable();
        let standing = self.nodes[0].machine.standing();
        states == [State::Standby, State::ActiveDuplex]
            && self.nodes.iter().any(|it| it.machine.may_drive(self.clock()))
            && self.register.standing() == Some(standing)
    }
}

fn run(seed: u64) -> Seen {
    let mut world = World::new(seed);
    for _ in 0..6_000 {
        if world.chance.once_in(150) {
            world.fault();
        }
        world.tick();
    }
    (world.loss, world.late_us, world.witness_is_up) = (0, 1_000, true);
    for node in NodeId::ALL {
        if !world.nodes[node.index()].is_up {
            world.start(node);
        }
    }
    let is_healed = (0..3_000).any(|_| {
        world.tick();
        world.is_well()
    });
    assert!(is_healed, "not well: {}", world.words());
    world.seen
}

#[test]
fn a_witness_that_forgets_makes_no_second_owner() {
    let seeds = if std::env::var_os("BUMPLESS_SOAK").is_some() { 20_000 } else { 400 };
    let mut all = Seen::default();
    for seed in 1..=seeds {
        let seen = std::panic::catch_unwind(|| run(seed)).unwrap_or_else(|panic| {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic)
        });
        all.forgot |= seen.forgot;
        all.forgot_while_it_had_forgotten |= seen.forgot_while_it_had_forgotten;
        all.knew_again |= seen.knew_again;
        all.was_lost_by_doubt |= seen.was_lost_by_doubt;
        all.swapped_after_a_loss |= seen.swapped_after_a_loss;
    }
    let every = Seen {
        forgot: true,
        forgot_while_it_had_forgotten: true,
        knew_again: true,
        was_lost_by_doubt: all.was_lost_by_doubt,
        swapped_after_a_loss: true,
    };
    assert_eq!(all, every, "something that should happen did not");
}
