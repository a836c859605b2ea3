//! Two hearts with two paths between them.

use super::super::arbiter::Mode;
use super::super::question::{Answer, Question, Wish};
use super::super::role::{Event, Order};
use super::super::terms::Terms;
use super::super::{Blocks, NodeId, Session, Standing, State, Verdict};
use super::*;
use crate::margins::{Measured, Timers};

const fn us(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

fn plan(me: NodeId) -> Plan {
    let measured = Measured {
        jitter: us(200),
        round_trip: us(400),
        witness_round_trip: us(1_000),
        witness_retries: 1,
        latch_round_trip: us(0),
        cycle: us(1_000),
        hold: us(100_000),
        drift_ppm: 500,
        granularity: Duration::from_nanos(1),
    };
    let timers: Timers = measured.timers(us(1_000), 3);
    let terms = Terms { listen: us(20_000), ..Terms::new(me, Mode::Witness, &timers, &measured) };
    Plan {
        pair: PairId(7),
        terms,
        heartbeat: timers.heartbeat,
        misses: timers.misses,
        jitter: measured.jitter,
        drift_ppm: measured.drift_ppm,
        paths: 2,
        paths_min: 1,
        boot: BootId([3; 16]),
        schema: 11,
    }
}

/// Letters arrive 100 µs after they were sent, on the paths that carry.
struct Pair {
    hearts: [Heart; 2],
    is_up: [bool; 2],
    register: Standing,
    /// By sender and path.
    carries: [[bool; 2]; 2],
    crossed: bool,
    under_way: Vec<(Instant, NodeId, u8, Letter)>,
    now: Instant,
    starts: u8,
}

impl Pair {
    fn up() -> Self {
        let heart = |me: NodeId| {
            let session = Session([u8::try_from(me.index()).unwrap() + 1; 16]);
            Heart::new(plan(me), session, Standing::VACANT, Instant::ORIGIN).unwrap()
        };
        let mut pair = Self {
            hearts: NodeId::ALL.map(heart),
            is_up: [true; 2],
            register: Standing::VACANT,
            carries: [[true; 2]; 2],
            crossed: false,
            under_way: Vec::new(),
            now: Instant::ORIGIN,
            starts: 2,
        };
        for node in NodeId::ALL {
            pair.give(node, Event::Start);
            pair.give(node, Event::SelfTest { passed: true });
        }
        pair.run(us(60_000));
        assert_eq!(pair.states(), [State::ActiveDuplex, State::Standby]);
        pair
    }

    fn restart(&mut self, node: NodeId) {
        self.starts += 1;
        let (session, standing) = (Session([self.starts; 16]), self.register);
        self.hearts[node.index()] = Heart::new(plan(node), session, standing, self.now).unwrap();
        self.give(node, Event::Start);
        self.give(node, Event::SelfTest { passed: true });
    }

    fn give(&mut self, node: NodeId, event: Event) {
        let now = self.now;
        let outcome = self.hearts[node.index()].on_event(event, now);
        self.carry_out(node, outcome);
    }

    fn carry_out(&mut self, node: NodeId, outcome: Outcome) {
        if outcome.transition.is_some_and(|it| it.to == State::SyncUp) {
            self.give(node, Event::Readiness(Blocks::NONE));
        }
        if let Some(question) = outcome.question {
            let answer = self.answer(question);
            self.give(node, Event::Answer(answer));
        }
        if outcome.beat {
            let heart = &mut self.hearts[node.index()];
            let beat = heart.beat(self.now);
            let to = heart.address();
            for path in 0..2 {
                let letter = heart.letter(&beat, to, path);
                if self.carries[node.index()][usize::from(path)] {
                    let came_on = if self.crossed { 1 - path } else { path };
                    self.under_way.push((self.now + us(100), node.peer(), came_on, letter));
                }
            }
        }
    }

    fn answer(&mut self, question: Question) -> Answer {
        if let Wish::Swap { expected, new, .. } = question.wish
            && self.register.epoch == expected
        {
            self.register = new;
        }
        Answer { nonce: question.nonce, register: Some(self.register), swapped: false }
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.now += us(50);
            let now = self.now;
            let due: Vec<_> = self.under_way.extract_if(.., |(at, ..)| *at <= now).collect();
            for (_, to, path, letter) in due {
                if self.is_up[to.index()]
                    && let Ok(outcome) = self.hearts[to.index()].on_letter(&letter, path, now)
                {
                    self.carry_out(to, outcome);
                }
            }
            for node in NodeId::ALL {
                if self.is_up[node.index()] && self.hearts[node.index()].next_timeout() <= now {
                    let outcome = self.hearts[node.index()].on_time(now);
                    self.carry_out(node, outcome);
                }
            }
            assert!(!(self.drives(NodeId::A) && self.drives(NodeId::B)));
        }
    }

    fn drives(&self, node: NodeId) -> bool {
        self.hearts[node.index()].machine().may_drive(self.now)
    }

    fn states(&self) -> [State; 2] {
        self.hearts.each_ref().map(|heart| heart.machine().state())
    }
}

#[test]
fn a_pair_comes_up_from_strangers() {
    let pair = Pair::up();
    for (heart, other) in pair.hearts.iter().zip(pair.hearts.iter().rev()) {
        assert_eq!(heart.sessions().peer(), Some(other.sessions().session()));
        assert_eq!(heart.round_trip(), Some(us(200)));
        assert_eq!(heart.path(0, pair.now).map(|it| it.verdict), Some(Verdict::Alive));
        assert_eq!(heart.path(2, pair.now), None);
    }
}

#[test]
fn one_dead_path_is_no_dead_peer() {
    let mut pair = Pair::up();
    pair.carries = [[false, true], [true, false]];
    for _ in 0..100 {
        pair.run(us(1_000));
        assert_eq!(pair.states(), [State::ActiveDuplex, State::Standby]);
        assert!(pair.drives(NodeId::A));
    }
    assert_eq!(pair.hearts[1].path(0, pair.now).map(|it| it.verdict), Some(Verdict::Dead));
    assert_eq!(pair.hearts[1].path(1, pair.now).map(|it| it.verdict), Some(Verdict::Alive));
    assert_eq!(pair.hearts[1].machine().blocks(), Blocks::NONE, "one path is enough here");
}

#[test]
fn a_dead_peer_is_replaced_and_joins_again() {
    let mut pair = Pair::up();
    pair.is_up[0] = false;
    pair.run(us(20_000));
    assert_eq!(pair.states()[1], State::ActiveSolo);
    pair.is_up[0] = true;
    pair.restart(NodeId::A);
    pair.run(us(50_000));
    assert_eq!(pair.states(), [State::Standby, State::ActiveDuplex]);
}

#[test]
fn crossed_cables_are_told_and_change_nothing() {
    let mut pair = Pair::up();
    pair.crossed = true;
    pair.run(us(50_000));
    assert_eq!(pair.states(), [State::ActiveDuplex, State::Standby]);
    assert!(pair.hearts.iter().all(|heart| heart.crossed() > 40));
}

#[test]
fn what_is_not_to_be_taken_is_counted_and_changes_nothing() {
    let mut pair = Pair::up();
    let recorded = pair.under_way.clone();
    pair.run(us(10_000));
    let before = pair.hearts.clone();
    for (_, to, path, letter) in recorded {
        let foreign = Letter { pair: PairId(8), ..letter };
        for (letter, path) in [(letter, path), (foreign, path), (letter, 2)] {
            assert!(pair.hearts[to.index()].on_letter(&letter, path, pair.now).is_err());
        }
    }
    for (heart, before) in pair.hearts.iter().zip(&before) {
        assert_eq!(heart.machine(), before.machine());
        assert!(heart.refusals().total() >= before.refusals().total());
    }
    assert!(pair.hearts.iter().any(|heart| heart.refusals().of(Refusal::ForeignPair) > 0));
}

#[test]
fn another_schema_takes_over_nothing() {
    let mut pair = Pair::up();
    let other = Plan { schema: 12, ..plan(NodeId::B) };
    let session = Session([9; 16]);
    pair.hearts[1] = Heart::new(other, session, pair.register, pair.now).unwrap();
    pair.give(NodeId::B, Event::Start);
    pair.give(NodeId::B, Event::SelfTest { passed: true });
    pair.run(us(100_000));
    assert_eq!(pair.states(), [State::ActiveSolo, State::SyncUp]);
    assert_eq!(pair.hearts[1].machine().blocks(), Blocks::SCHEMA);
}

#[test]
fn a_switchover_takes_a_beat() {
    let mut pair = Pair::up();
    pair.give(NodeId::A, Event::Order(Order::Switchover));
    pair.run(us(150));
    assert_eq!(pair.states(), [State::Standby, State::ActiveDuplex]);
    assert!(pair.drives(NodeId::B));
}

#[test]
fn a_node_that_was_late_says_so_for_a_while() {
    let mut pair = Pair::up();
    let late = pair.now + us(5_000);
    let outcome = pair.hearts[1].on_time(late);
    pair.carry_out(NodeId::B, outcome);
    assert!(pair.hearts[1].beat(late).health.lateness >= us(3_000));
    assert!(pair.hearts[1].is_late(late) && !pair.hearts[0].is_late(late));
    assert!(!pair.hearts[1].is_late(late + LATE_FOR));
}

#[test]
fn too_few_paths_end_the_redundancy_but_do_not_keep_the_last_node_from_its_duty() {
    let mut pair = Pair::up();
    pair.hearts[1].plan.paths_min = 2;
    pair.carries[0][1] = false;
    pair.run(us(20_000));
    assert_eq!(pair.states(), [State::ActiveDuplex, State::StandbyDegraded]);
    assert_eq!(pair.hearts[1].machine().blocks(), Blocks::PATHS);
    pair.is_up[0] = false;
    pair.run(us(20_000));
    assert_eq!(pair.states()[1], State::ActiveSolo);
}
