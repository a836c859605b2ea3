//! Two machines with what they ask, each step done as the machine's contract says: beats of 5 ms
//! that arrive at once where the cable is whole, a witness, two latches, a fence.

use rt_core::pair::beat::Session;
use rt_core::pair::latch::{Claim, Latch};
use rt_core::pair::question::{FenceOutcome, Nonce};
use rt_core::pair::register::{Content, Record, Register};
use rt_core::pair::role::{Cause, Event, Heard};
use rt_core::pair::terms::{ColdStart, Damping, Failback, Latches};
use rt_core::pair::{Blocks, Evidence, Machine, Mode, NodeId, Standing, State, Terms};
use rt_core::time::{Duration, Instant};

pub(crate) const A: NodeId = NodeId::A;
pub(crate) const B: NodeId = NodeId::B;

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The terms of every row of the table: a beat each 5 ms, of which two may be lost.
pub(crate) fn terms(me: NodeId, mode: Mode) -> Terms {
    Terms {
        me,
        mode,
        latches: if mode == Mode::Latch { Latches::all(2) } else { Latches::NONE },
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

/// What the fence does when it is asked to switch a node off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fence {
    /// It does it, and says so.
    Works,
    /// It says nothing.
    Silent,
}

/// A change of a node's state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Change {
    pub(crate) at: Instant,
    pub(crate) node: NodeId,
    pub(crate) from: State,
    pub(crate) to: State,
    pub(crate) cause: Cause,
}

#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) nodes: [Machine; 2],
    pub(crate) sessions: [Session; 2],
    remembered: [Standing; 2],
    /// What keeps each node from taking over, as others find.
    found: [Blocks; 2],
    pub(crate) now: Instant,
    /// Whether what A says reaches B, and the other way round.
    pub(crate) carries: [bool; 2],
    pub(crate) alive: [bool; 2],
    pub(crate) register: Register,
    /// Whether witness and latches answer.
    pub(crate) answers: bool,
    /// Whether the latches do not, whatever the witness does.
    pub(crate) latches_are_silent: bool,
    latches: [Latch; 2],
    pub(crate) fence: Fence,
    pub(crate) changes: Vec<Change>,
    /// The last question of each node.
    pub(crate) asked: [Nonce; 2],
    starts: u8,
    /// Milliseconds in which nobody drove.
    pub(crate) idle_ms: u64,
}

impl Pair {
    /// A pair that never drove; both nodes are about to listen.
    pub(crate) fn new(mode: Mode) -> Self {
        Self::with(|me| terms(me, mode))
    }

    pub(crate) fn with(terms: impl Fn(NodeId) -> Terms) -> Self {
        let mut pair = Self::off(terms);
        for node in NodeId::ALL {
            pair.give(node, Event::Start);
            pair.give(node, Event::SelfTest { passed: true });
        }
        pair.changes.clear();
        pair
    }

    pub(crate) fn off(terms: impl Fn(NodeId) -> Terms) -> Self {
        let sessions = [Session([1; 16]), Session([2; 16])];
        let node = |me: NodeId| Machine::new(terms(me), sessions[me.index()], Standing::VACANT);
        let content = Content::Known(Standing::VACANT);
        Self {
            nodes: NodeId::ALL.map(node),
            sessions,
            remembered: [Standing::VACANT; 2],
            found: [Blocks::NONE; 2],
            now: Instant::ORIGIN + ms(10_000),
            carries: [true; 2],
            alive: [true; 2],
            register: Register::restored(Record { content, changed_by: [None; 2] }),
            answers: true,
            latches_are_silent: false,
            latches: [0, 1].map(|number| Latch::new(number, ms(100))),
            fence: Fence::Works,
            changes: Vec::new(),
            asked: [0; 2],
            starts: 2,
            idle_ms: 0,
        }
    }

    /// A pair that has come up: A drives, B is its standby.
    pub(crate) fn up(mode: Mode) -> Self {
        Self::up_with(|me| terms(me, mode))
    }

    pub(crate) fn up_with(terms: impl Fn(NodeId) -> Terms) -> Self {
        let mut pair = Self::with(terms);
        pair.run(1_200);
        assert_eq!(pair.states(), [State::ActiveDuplex, State::Standby], "{:?}", pair.changes);
        assert!(pair.drives(A) && !pair.drives(B));
        pair.changes.clear();
        pair.idle_ms = 0;
        pair
    }

    /// What became of the order, if the event was one.
    pub(crate) fn give(&mut self, node: NodeId, event: Event) -> Option<Blocks> {
        let of = node.index();
        if let Event::Readiness(blocks) = event {
            self.found[of] = blocks;
        }
        let outcome = self.nodes[of].step(event, self.now);
        if let Some(standing) = outcome.remember {
            self.remembered[of] = standing;
        }
        if let Some(change) = outcome.transition {
            let (from, to, cause) = (change.from, change.to, change.cause);
            self.changes.push(Change { at: self.now, node, from, to, cause });
            if to == State::SyncUp {
                // Replication has the state at once, unless something keeps it from it.
                let found = self.found[of];
                self.give(node, Event::Readiness(found));
            }
        }
        if let Some(question) = outcome.question {
            self.asked[of] = question.nonce;
            if self.answers {
                let answer = self.register.answer(self.sessions[of], &question).answer;
                self.give(node, Event::Answer(answer));
            }
        }
        if let Some(claim) = outcome.claim.filter(|_| self.answers && !self.latches_are_silent) {
            for latch in 0..self.latches.len() {
                if claim.latches & 1 << latch != 0 {
                    let claimed = self.latches[latch].claim(&Claim::from(&claim));
                    self.give(node, Event::Latch(claimed));
                }
            }
        }
        if outcome.fence && self.fence == Fence::Works {
            self.alive[node.peer().index()] = false;
            self.give(node, Event::Fence(FenceOutcome::Confirmed));
        }
        if outcome.beat {
            self.beat(node);
        }
        outcome.order
    }

    fn beat(&mut self, from: NodeId) {
        let (of, to) = (from.index(), from.peer().index());
        self.nodes[of].on_beat_sent(self.now);
        let heard = Heard {
            session: self.sessions[of],
            sent_at: self.now,
            echo_sent_at: self.nodes[of].echo().map(|(sent_at, _)| sent_at),
            word: self.nodes[of].word(),
        };
        if self.carries[of] && self.alive[to] {
            self.give(from.peer(), Event::Beat(heard));
        }
    }

    /// Lets so many milliseconds pass. At no instant do both drive.
    pub(crate) fn run(&mut self, millis: u64) {
        for _ in 0..millis {
            self.now += ms(1);
            for node in NodeId::ALL {
                if !self.alive[node.index()] {
                    continue;
                }
                self.give(node, Event::Time);
                if self.now.as_nanos().is_multiple_of(5_000_000) {
                    self.beat(node);
                }
            }
            let drivers = [A, B].into_iter().filter(|node| self.drives(*node)).count();
            assert!(drivers <= 1, "two owners: {:?}", self.changes);
            self.idle_ms += u64::from(drivers == 0);
        }
    }

    /// The node ends without a word. In mode H the kernel tells its peer.
    pub(crate) fn crash(&mut self, node: NodeId) {
        self.alive[node.index()] = false;
        if self.nodes[0].terms().mode == Mode::SameHost {
            self.give(node.peer(), Event::PeerGone(Evidence::Kernel));
        }
    }

    /// A node that ended starts again, with what it stored and a new session.
    pub(crate) fn restart(&mut self, node: NodeId) {
        let of = node.index();
        self.starts += 1;
        self.sessions[of] = Session([self.starts; 16]);
        let terms = *self.nodes[of].terms();
        self.nodes[of] = Machine::new(terms, self.sessions[of], self.remembered[of]);
        self.alive[of] = true;
        self.asked[of] = 0;
        self.give(node, Event::Start);
        self.give(node, Event::SelfTest { passed: true });
    }

    /// Nothing that one node says reaches the other.
    pub(crate) fn cut(&mut self) {
        self.carries = [false; 2];
    }

    /// A node that has ended sends nothing, though its gate is open for a while.
    pub(crate) fn drives(&self, node: NodeId) -> bool {
        self.alive[node.index()] && self.nodes[node.index()].may_drive(self.now)
    }

    pub(crate) fn states(&self) -> [State; 2] {
        [self.nodes[0].state(), self.nodes[1].state()]
    }
}
