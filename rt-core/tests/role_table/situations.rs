//! The situations that the table has rows for: each state, by steps that a pair really takes.

use rt_core::pair::beat::Session;
use rt_core::pair::question::Nonce;
use rt_core::pair::register::Register;
use rt_core::pair::role::{Event, Order};
use rt_core::pair::terms::{ColdStart, Failback, Latches};
use rt_core::pair::{Blocks, Machine, Mode, NodeId, State, Terms};
use rt_core::time::{Duration, Instant};

use crate::pair::{A, B, Fence, Pair, ms, terms};

const HALF_A_MILLISECOND: Duration = Duration::from_micros(500);

/// A machine in a state, and how it came there.
pub(crate) struct Situation {
    pub(crate) state: State,
    pub(crate) mode: Mode,
    pub(crate) what: &'static str,
    pub(crate) machine: Machine,
    pub(crate) now: Instant,
    pub(crate) mine: Session,
    pub(crate) peers: Session,
    /// The last question that it asked.
    pub(crate) asked: Nonce,
}

#[derive(Default)]
struct Book(Vec<Situation>);

impl Book {
    /// Notes how `node` stands in `pair`, which has to be `state`.
    fn note(&mut self, state: State, what: &'static str, pair: &Pair, node: NodeId) {
        let machine = pair.nodes[node.index()].clone();
        let mode = machine.terms().mode;
        assert_eq!(machine.state(), state, "{what} in mode {mode}: {:?}", pair.changes);
        self.0.push(Situation {
            state,
            mode,
            what,
            machine,
            // Between two beats, so that what a beat prolongs is seen.
            now: pair.now + HALF_A_MILLISECOND,
            mine: pair.sessions[node.index()],
            peers: pair.sessions[node.peer().index()],
            asked: pair.asked[node.index()],
        });
    }
}

/// A pair that has come up, to which `then` happens.
fn after(mode: Mode, then: impl FnOnce(&mut Pair)) -> Pair {
    let mut pair = Pair::up(mode);
    then(&mut pair);
    pair
}

/// A pair of which B is not in sync: A drives alone.
fn alone(terms: impl Fn(NodeId) -> Terms) -> Pair {
    let mut pair = Pair::with(terms);
    pair.give(B, Event::Readiness(Blocks::NOT_IN_SYNC));
    pair.run(1_200);
    assert_eq!(pair.states(), [State::ActiveSolo, State::SyncUp]);
    pair
}

/// All, in order of states.
pub(crate) fn all() -> Vec<Situation> {
    let mut book = Book::default();
    begin(&mut book);
    listen(&mut book);
    standby(&mut book);
    candidate(&mut book);
    active_duplex(&mut book);
    active_solo(&mut book);
    handover(&mut book);
    isolated(&mut book);
    out_of_the_pair(&mut book);
    book.0.sort_by_key(|it| (it.state, it.mode));
    book.0
}

fn begin(book: &mut Book) {
    let w = |me| terms(me, Mode::Witness);
    let mut pair = Pair::off(w);
    book.note(State::Off, "before its first start", &pair, A);
    pair.give(A, Event::Start);
    book.note(State::SelfTest, "first start", &pair, A);
    let mut pair = after(Mode::Witness, |pair| {
        pair.give(B, Event::Stop);
    });
    book.note(State::Off, "stopped as the standby, its promise runs", &pair, B);
    pair.give(B, Event::Start);
    book.note(State::SelfTest, "restarted", &pair, B);
    let pair = after(Mode::Witness, |pair| {
        pair.give(A, Event::Stop);
    });
    book.note(State::Off, "stopped while it drove", &pair, A);
}

fn listen(book: &mut Book) {
    for mode in Mode::ALL {
        let mut pair = Pair::new(mode);
        pair.run(100);
        book.note(State::Listen, "the peer listens too", &pair, A);
        pair.alive[0] = false;
        pair.run(1_500);
        book.note(State::Listen, "listened long enough, was never the owner, no peer", &pair, B);
    }
    let mut pair = Pair::new(Mode::Witness);
    pair.alive[1] = false;
    pair.run(100);
    book.note(State::Listen, "no peer", &pair, A);
    pair.run(880);
    pair.answers = false;
    pair.run(1_000);
    book.note(State::Listen, "no peer, the witness fell silent", &pair, A);

    let mut pair = after(Mode::Witness, |pair| {
        pair.alive = [false; 2];
        pair.run(10);
        pair.restart(A);
    });
    book.note(State::Listen, "the last owner restarted, no peer", &pair, A);
    pair.run(990);
    pair.answers = false;
    pair.run(20);
    assert!(pair.nodes[0].is_claiming());
    book.note(State::Listen, "asks for the outputs, no answer", &pair, A);

    let mut pair = Pair::new(Mode::Witness);
    pair.alive[1] = false;
    pair.run(10);
    pair.register = Register::volatile();
    pair.run(1_500);
    book.note(State::Listen, "the witness has lost its register, no peer", &pair, A);

    let either = |me| Terms {
        cold_start: ColdStart::Either { patience: ms(2_000) },
        ..terms(me, Mode::Witness)
    };
    let mut pair = Pair::with(either);
    pair.alive[0] = false;
    pair.run(1_500);
    book.note(State::Listen, "may begin when its patience ends, no peer", &pair, B);

    let w = |me| terms(me, Mode::Witness);
    book.note(State::SyncUp, "is not in sync", &alone(w), B);
    let mut pair = alone(w);
    pair.alive[0] = false;
    pair.run(10);
    pair.give(B, Event::Readiness(Blocks::NONE));
    book.note(State::SyncUp, "is in sync, the owner has ended", &pair, B);
}

fn standby(book: &mut Book) {
    for mode in Mode::ALL {
        book.note(State::Standby, "its promise runs", &Pair::up(mode), B);
        let mut pair = after(mode, |pair| {
            pair.give(B, Event::Readiness(Blocks::LAG));
        });
        if mode == Mode::Witness {
            book.note(State::StandbyDegraded, "its promise runs", &pair, B);
        }
        pair.alive[0] = false;
        pair.run(100);
        book.note(State::StandbyDegraded, "its promise is over, no peer", &pair, B);
    }
    let pair = after(Mode::Witness, |pair| {
        pair.answers = false;
        pair.run(4_000);
    });
    book.note(State::Standby, "the witness is silent", &pair, B);
}

fn candidate(book: &mut Book) {
    for mode in [Mode::Witness, Mode::Latch, Mode::Fence, Mode::SameHost] {
        let pair = after(mode, |pair| {
            pair.answers = false;
            pair.fence = Fence::Silent;
            pair.alive[0] = false;
            pair.run(40);
        });
        book.note(State::Candidate, "its promise is over, no peer, no answer", &pair, B);
        let pair = after(mode, |pair| {
            pair.answers = false;
            pair.fence = Fence::Silent;
            pair.cut();
            pair.run(40);
            pair.carries = [true; 2];
            pair.run(5);
        });
        book.note(State::Candidate, "the peer is heard again, no answer", &pair, B);
    }
    let pair = after(Mode::Witness, |pair| {
        pair.answers = false;
        pair.give(A, Event::Stop);
    });
    book.note(State::Candidate, "the peer has released the outputs, no answer", &pair, B);
    let pair = after(Mode::Witness, |pair| {
        pair.answers = false;
        pair.alive[0] = false;
        pair.give(B, Event::Order(Order::Take));
    });
    book.note(State::Candidate, "a person ordered it, no answer", &pair, B);
    let pair = after(Mode::Witness, |pair| {
        pair.register = Register::volatile();
        pair.alive[0] = false;
        pair.run(40);
    });
    book.note(State::Candidate, "the witness has lost its register, no peer", &pair, B);
}

fn active_duplex(book: &mut Book) {
    for mode in Mode::ALL {
        book.note(State::ActiveDuplex, "its lease runs", &Pair::up(mode), A);
        if mode == Mode::Manual {
            continue;
        }
        let mut pair = after(mode, |pair| {
            pair.answers = false;
            pair.fence = Fence::Silent;
            pair.alive[1] = false;
            pair.run(25);
        });
        assert!(pair.nodes[0].is_claiming() && pair.drives(A));
        book.note(State::ActiveDuplex, "renewals are missing, its lease runs", &pair, A);
        pair.run(15);
        assert_eq!(pair.drives(A), !mode.arbiter().binds_to_lease());
        book.note(State::ActiveDuplex, "its lease is over, no answer", &pair, A);
    }
    let preferred = |me| Terms {
        failback: Failback::After { preferred: B, hold_off: ms(500) },
        ..terms(me, Mode::Witness)
    };
    let mut pair = Pair::with(preferred);
    pair.run(1_200);
    book.note(State::ActiveDuplex, "the standby is preferred and ready", &pair, A);
    let watched = |me| Terms { stall: Some(ms(50)), ..terms(me, Mode::Witness) };
    let mut pair = Pair::with(watched);
    for _ in 0..60 {
        pair.run(20);
        pair.give(A, Event::Progress);
    }
    assert!(pair.drives(A));
    book.note(State::ActiveDuplex, "its application is watched", &pair, A);
}

fn active_solo(book: &mut Book) {
    for mode in Mode::ALL {
        let pair = after(mode, |pair| {
            pair.crash(B);
            pair.run(100);
        });
        assert!(pair.drives(A));
        book.note(State::ActiveSolo, "no peer", &pair, A);
    }
    let w = |me| terms(me, Mode::Witness);
    let mut pair = alone(w);
    book.note(State::ActiveSolo, "the peer is not in sync", &pair, A);
    pair.answers = false;
    pair.give(B, Event::Readiness(Blocks::NONE));
    pair.run(10);
    assert!(pair.nodes[0].is_claiming() && pair.drives(A));
    book.note(State::ActiveSolo, "takes a standby, its lease runs, no answer", &pair, A);
    pair.alive[1] = false;
    pair.run(40);
    assert!(!pair.drives(A));
    book.note(State::ActiveSolo, "takes a standby, its lease is over, no answer", &pair, A);

    let latched = |me| Terms { latches: Latches::all(1), ..terms(me, Mode::Witness) };
    let mut pair = Pair::with(latched);
    pair.latches_are_silent = true;
    pair.give(B, Event::Readiness(Blocks::NOT_IN_SYNC));
    pair.run(1_200);
    assert!(!pair.drives(A));
    book.note(State::ActiveSolo, "has the register, and not the latches", &pair, A);
}

fn handover(book: &mut Book) {
    let pair = after(Mode::Witness, |pair| {
        pair.answers = false;
        pair.give(A, Event::Order(Order::Switchover));
    });
    book.note(State::Handover, "no answer", &pair, A);
}

fn isolated(book: &mut Book) {
    for mode in [Mode::Witness, Mode::Latch] {
        let pair = after(mode, |pair| {
            pair.cut();
            pair.run(200);
        });
        book.note(State::Isolated, "the peer won", &pair, B);
        let pair = after(mode, |pair| {
            pair.answers = false;
            pair.cut();
            pair.run(150);
        });
        assert!(pair.nodes[0].is_claiming());
        book.note(State::Isolated, "drove, and nobody decided", &pair, A);
    }
    let pair = after(Mode::Manual, |pair| {
        pair.crash(A);
        pair.run(100);
    });
    book.note(State::Isolated, "no peer, and nobody may decide but a person", &pair, B);
}

fn out_of_the_pair(book: &mut Book) {
    let pair = after(Mode::Fence, |pair| {
        pair.cut();
        pair.run(100);
        pair.carries = [true; 2];
        pair.restart(B);
        pair.run(10);
    });
    book.note(State::Fenced, "was switched off and has come back", &pair, B);
    let mut pair = after(Mode::Witness, |pair| {
        pair.give(A, Event::Application { well: false });
    });
    book.note(State::Fault, "its application was not well while it drove", &pair, A);
    pair.give(B, Event::Broken);
    book.note(State::Fault, "found itself wrong", &pair, B);
    let mut pair = Pair::off(|me| terms(me, Mode::Witness));
    pair.give(A, Event::Start);
    pair.give(A, Event::SelfTest { passed: false });
    book.note(State::Fault, "its host is not fit", &pair, A);

    let mut pair = after(Mode::Witness, |pair| {
        pair.give(B, Event::Order(Order::Maintenance { on: true }));
    });
    book.note(State::Maintenance, "the peer drives", &pair, B);
    pair.alive[0] = false;
    pair.run(100);
    book.note(State::Maintenance, "no peer", &pair, B);
}
