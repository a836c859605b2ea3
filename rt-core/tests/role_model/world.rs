//! Two nodes, a witness, latches and what is under way between them, as one value.
//!
//! Time goes in ticks, and each node's present is always [`NOW`]: when its clock ticks, all that it
//! knows moves into the past instead, where everything older than a lease is equally old. So two
//! moments that differ in nothing but their date are one state.

use std::hash::{DefaultHasher, Hash, Hasher};

use rt_core::pair::latch::{Claim, Kept, Latch};
use rt_core::pair::question::{Answer, Claimed, FenceOutcome, Question, Wish};
use rt_core::pair::register::Register;
use rt_core::pair::role::{Event, Heard, LatchClaim, Order, Outcome};
use rt_core::pair::{Blocks, Epoch, Machine, NodeId, Session, Standing, State};
use rt_core::time::{Duration, Instant};

use crate::seen::Seen;
use crate::setup::{Mutant, NEVER, Setup, ticks};

/// What each node's clock shows: as many ticks as a lease has.
pub(crate) const NOW: Instant = Instant::from_nanos(2);
/// What lies here or later never comes.
const HORIZON: Instant = Instant::from_nanos(500);
/// Messages that follow from one tick, at most.
const CHAIN_MAX: usize = 60;

/// A node, and what is left of it where it crashed: a gate that closes by itself.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Node {
    pub(crate) machine: Machine,
    pub(crate) session: Session,
    remembered: Standing,
    pub(crate) is_up: bool,
    /// What a crash left behind: the gate closes at this instant.
    gate: Option<Instant>,
    /// The program stands still.
    pub(crate) is_paused: bool,
    /// Program and clock stand still.
    pub(crate) is_frozen: bool,
    pub(crate) starts: u8,
}

impl Node {
    fn new(me: NodeId, setup: &Setup) -> Self {
        let session = Session([u8::from(me == NodeId::B); 16]);
        Self {
            machine: Machine::new(setup.terms(me), session, Standing::VACANT),
            session,
            remembered: Standing::VACANT,
            is_up: true,
            gate: None,
            is_paused: false,
            is_frozen: false,
            starts: 0,
        }
    }

    fn runs(&self) -> bool {
        self.is_up && !self.is_paused && !self.is_frozen
    }
}

/// What is under way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Message {
    Beat {
        to: NodeId,
        for_session: Session,
        heard: Heard,
    },
    Question {
        session: Session,
        question: Question,
    },
    Answer {
        to: NodeId,
        session: Session,
        answer: Answer,
    },
    Claim {
        by: NodeId,
        session: Session,
        latch: u8,
        claim: LatchClaim,
    },
    Claimed {
        to: NodeId,
        session: Session,
        claimed: Claimed,
    },
    /// A fence was ordered; what comes of it is chosen when it arrives.
    Fence {
        by: NodeId,
        session: Session,
    },
}

impl Message {
    /// What it is of, and for whom.
    fn lane(&self) -> (u8, NodeId) {
        match self {
            Self::Beat { to, .. } => (0, *to),
            Self::Question { question, .. } => (1, question.node),
            Self::Answer { to, .. } => (2, *to),
            Self::Fence { by, .. } => (3, *by),
            Self::Claim { by, latch, .. } => (4 + 2 * latch, *by),
            Self::Claimed { to, claimed, .. } => (5 + 2 * claimed.latch, *to),
        }
    }
}

/// A state of the model.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct World {
    pub(crate) nodes: [Node; 2],
    pub(crate) messages: Vec<Message>,
    register: Register,
    latches: Vec<Latch>,
    pub(crate) losses: u8,
    pub(crate) slips: u8,
    pub(crate) pauses: u8,
    pub(crate) freezes: u8,
}

impl World {
    /// A pair that has just come up: A drives, B is its standby.
    pub(crate) fn up(setup: &Setup) -> Self {
        let clean = setup.clean();
        let mut world = Self {
            nodes: NodeId::ALL.map(|me| Node::new(me, &clean)),
            messages: Vec::new(),
            register: Register::volatile(),
            latches: (0..setup.latches).map(|latch| Latch::new(latch, NEVER)).collect(),
            losses: 0,
            slips: 0,
            pauses: 0,
            freezes: 0,
        };
        for node in NodeId::ALL {
            world.step(node, Event::Start, &clean);
            world.step(node, Event::SelfTest { passed: true }, &clean);
        }
        assert_eq!(world.run_until_well(&clean, 40), Ok(()));
        world.messages.clear();
        for node in &mut world.nodes {
            node.machine = node.machine.with_promise(ticks(setup.promise));
        }
        world
    }

    pub(crate) fn node(&self, node: NodeId) -> &Node {
        &self.nodes[node.index()]
    }

    fn nodes_that_run(&self) -> Vec<NodeId> {
        NodeId::ALL.into_iter().filter(|node| self.node(*node).runs()).collect()
    }

    /// Whether a node's gate is open. Who stands still emits nothing: what it does when it goes on
    /// is looked at then.
    pub(crate) fn drives(&self, node: NodeId) -> bool {
        let it = self.node(node);
        let gate = if it.is_up { it.machine.gate_deadline() } else { it.gate };
        !it.is_frozen && gate.is_some_and(|deadline| NOW < deadline)
    }

    /// Whether what a node sends now is taken at an output.
    fn acts(&self, node: NodeId) -> bool {
        let is_taken = |kept: Kept| {
            let epoch = self.node(node).machine.output_epoch().unwrap_or(Epoch::NONE);
            kept.claimed.owner() == Some(node) && (kept.since..=kept.claimed).contains(&epoch)
        };
        self.drives(node)
            && (self.latches.is_empty() || self.latches.iter().any(|it| is_taken(it.kept())))
    }

    /// Whether a node moves an output while the other one drives.
    pub(crate) fn is_split(&self) -> bool {
        NodeId::ALL.into_iter().any(|node| self.acts(node) && self.drives(node.peer()))
    }

    fn is_well(&self) -> bool {
        NodeId::ALL.into_iter().any(|node| {
            self.node(node).machine.state() == State::ActiveDuplex
                && self.drives(node)
                && self.node(node.peer()).machine.state() == State::Standby
        })
    }

    // ---- What nodes do --------------------------------------------------------------------------

    pub(crate) fn step(&mut self, node: NodeId, event: Event, setup: &Setup) {
        let outcome = self.nodes[node.index()].machine.step(event, NOW);
        self.carry_out(node, outcome, setup);
    }

    fn carry_out(&mut self, node: NodeId, outcome: Outcome, setup: &Setup) {
        let it = &mut self.nodes[node.index()];
        it.remembered = outcome.remember.unwrap_or(it.remembered);
        let session = it.session;
        if let Some(transition) = outcome.transition {
            Seen::note(node, &transition);
            if transition.to == State::SyncUp {
                // It has the state at once.
                self.step(node, Event::Readiness(Blocks::NONE), setup);
            }
        }
        if let Some(question) = outcome.question {
            self.send(Message::Question { session, question }, setup);
        }
        for latch in 0..setup.latches {
            if let Some(claim) = outcome.claim.filter(|claim| claim.latches & (1 << latch) != 0) {
                self.send(Message::Claim { by: node, session, latch, claim }, setup);
                if setup.mutant == Some(Mutant::NoClaim) {
                    let claimed = Claimed { latch, epoch: claim.epoch };
                    self.step(node, Event::Latch(claimed), setup);
                }
            }
        }
        if outcome.fence {
            self.send(Message::Fence { by: node, session }, setup);
        }
        if outcome.beat {
            self.beat(node, setup);
        }
    }

    fn beat(&mut self, node: NodeId, setup: &Setup) {
        let for_session = self.node(node.peer()).session;
        let it = &mut self.nodes[node.index()];
        it.machine.on_beat_sent(NOW);
        let mut word = it.machine.word();
        if setup.mutant == Some(Mutant::CandidateGrants) && word.state == State::Candidate {
            word.grants = true;
        }
        let heard = Heard {
            session: it.session,
            sent_at: NOW,
            echo_sent_at: it.machine.echo().map(|(sent_at, _)| sent_at),
            word,
        };
        self.send(Message::Beat { to: node.peer(), for_session, heard }, setup);
    }

    /// The clocks go on by so much; who runs looks at its timers and beats.
    pub(crate) fn tick(&mut self, by: [u64; 2], setup: &Setup) {
        self.advance(by);
        for node in self.nodes_that_run() {
            if by[node.index()] > 0 {
                self.step(node, Event::Time, setup);
                self.beat(node, setup);
            }
        }
    }

    /// A program that was paused looks at its timers.
    pub(crate) fn resume(&mut self, node: NodeId, setup: &Setup) {
        self.nodes[node.index()].is_paused = false;
        self.step(node, Event::Time, setup);
    }

    pub(crate) fn crash(&mut self, node: NodeId, setup: &Setup) {
        let it = &mut self.nodes[node.index()];
        it.gate = if it.is_up { it.machine.gate_deadline() } else { it.gate };
        it.is_up = false;
        it.is_paused = false;
        it.is_frozen = false;
        it.machine = Machine::new(setup.terms(node), it.session, it.remembered);
    }

    /// Whoever starts closes the gate that its former life left.
    pub(crate) fn start(&mut self, node: NodeId, setup: &Setup) {
        let it = &mut self.nodes[node.index()];
        it.starts += 1;
        it.session = Session([it.session.0[0] + 2; 16]);
        it.machine = Machine::new(setup.terms(node), it.session, it.remembered);
        it.is_up = true;
        it.gate = None;
        // Whoever began long ago has listened, and promised nothing of late.
        let forgets = setup.mutant == Some(Mutant::ForgottenPromise);
        let begun = if forgets { NOW - ticks(setup.promise) } else { NOW };
        for event in [Event::Start, Event::SelfTest { passed: true }] {
            let outcome = self.nodes[node.index()].machine.step(event, begun);
            self.carry_out(node, outcome, setup);
        }
    }

    pub(crate) fn switch_over(&mut self, node: NodeId, setup: &Setup) {
        self.step(node, Event::Order(Order::Switchover), setup);
    }

    /// The witness loses its register, and hears nothing any more that was meant for its former
    /// life.
    pub(crate) fn forget(&mut self, setup: &Setup) {
        self.losses += 1;
        self.register = Register::volatile();
        self.messages.retain(|it| !matches!(it, Message::Question { .. }));
        if setup.mutant == Some(Mutant::Amnesia) {
            let first = Epoch::new(4).map_or(Standing::VACANT, Standing::duplex);
            for node in NodeId::ALL {
                let wish = Wish::Seed(first);
                let question = Question { node, nonce: 0, known: Epoch::NONE, wish };
                let _ = self.register.answer(Session([255; 16]), &question);
            }
        }
    }

    // ---- What is under way ----------------------------------------------------------------------

    /// Puts a message under way, unless there are enough like it.
    fn send(&mut self, message: Message, setup: &Setup) {
        let alike = self.messages.iter().filter(|it| it.lane() == message.lane()).count();
        let room = if matches!(message, Message::Beat { .. }) { setup.beats_max } else { 1 };
        if alike < room && !self.messages.contains(&message) {
            self.messages.push(message);
            self.order();
        }
    }

    /// Puts what is under way in an order of its own: it may arrive in any.
    fn order(&mut self) {
        self.messages.sort_by_cached_key(|message| {
            let mut hasher = DefaultHasher::new();
            message.hash(&mut hasher);
            (message.lane(), hasher.finish())
        });
        self.messages.dedup();
    }

    pub(crate) fn deliver(&mut self, message: Message, setup: &Setup) {
        match message {
            Message::Beat { to, for_session, mut heard } => {
                if setup.mutant == Some(Mutant::LeaseFromArrival) {
                    heard.echo_sent_at = heard.echo_sent_at.map(|_| NOW);
                }
                if self.node(to.peer()).session == heard.session {
                    self.give(to, for_session, Event::Beat(heard), setup);
                }
            }
            Message::Question { session, question } => {
                let answer = self.register.answer(session, &question).answer;
                self.send(Message::Answer { to: question.node, session, answer }, setup);
            }
            Message::Answer { to, session, answer } => {
                self.give(to, session, Event::Answer(answer), setup);
            }
            Message::Claim { by, session, latch, claim } => {
                let claimed = self.latches[usize::from(latch)].claim(&Claim::from(&claim));
                self.send(Message::Claimed { to: by, session, claimed }, setup);
            }
            Message::Claimed { to, session, claimed } => {
                self.give(to, session, Event::Latch(claimed), setup);
            }
            Message::Fence { by, session } => {
                self.crash(by.peer(), setup);
                self.nodes[by.peer().index()].gate = None;
                self.give(by, session, Event::Fence(FenceOutcome::Confirmed), setup);
            }
        }
    }

    /// A fence that was ordered does not work.
    pub(crate) fn fail(&mut self, message: &Message, setup: &Setup) {
        if let Message::Fence { by, session } = message {
            self.give(*by, *session, Event::Fence(FenceOutcome::Failed), setup);
        }
    }

    /// What was meant for a session reaches no other, and no program that stands still.
    fn give(&mut self, to: NodeId, session: Session, event: Event, setup: &Setup) {
        if self.node(to).runs() && self.node(to).session == session {
            self.step(to, event, setup);
        }
    }

    /// Each clock goes on by so much, unless it stands still.
    fn advance(&mut self, by: [u64; 2]) {
        let by = NodeId::ALL.map(|node| {
            let stands = self.node(node).is_frozen;
            if stands { Duration::ZERO } else { ticks(by[node.index()]) }
        });
        for node in NodeId::ALL {
            let (own, peer) = (by[node.index()], by[node.peer().index()]);
            let it = &mut self.nodes[node.index()];
            it.machine = it.machine.rebased(own, peer, HORIZON);
            it.gate = it.gate.map(|gate| gate - own);
        }
        for message in &mut self.messages {
            if let Message::Beat { to, heard, .. } = message {
                heard.sent_at = heard.sent_at - by[to.peer().index()];
                heard.echo_sent_at = heard.echo_sent_at.map(|at| at - by[to.index()]);
            }
        }
        self.order();
    }

    // ---- When all is well -----------------------------------------------------------------------

    /// Ends all faults, and lets time go on until the pair is well.
    ///
    /// # Errors
    /// How it stands where that does not come about in so many ticks.
    pub(crate) fn heal(&self, setup: &Setup, count: u64) -> Result<(), String> {
        let mut world = self.clone();
        let clean = setup.clean();
        for node in NodeId::ALL {
            let it = &mut world.nodes[node.index()];
            it.is_frozen = false;
            it.is_paused = false;
            if !it.is_up {
                world.start(node, &clean);
            }
        }
        world.run_until_well(&clean, count)
    }

    fn run_until_well(&mut self, clean: &Setup, count: u64) -> Result<(), String> {
        for _ in 0..count {
            self.turn(clean);
            for node in NodeId::ALL {
                if !self.node(node).is_up {
                    self.start(node, clean);
                } else if self.node(node).machine.state() == State::Fenced {
                    self.step(node, Event::Order(Order::Acknowledge), clean);
                }
            }
            if self.is_well() {
                return Ok(());
            }
        }
        Err(self.line())
    }

    /// A tick without faults: every node beats and is heard, everything arrives, every node looks
    /// at its timers.
    fn turn(&mut self, clean: &Setup) {
        self.advance([1, 1]);
        for node in self.nodes_that_run() {
            self.beat(node, clean);
        }
        self.deliver_all(clean);
        for node in self.nodes_that_run() {
            self.step(node, Event::Time, clean);
        }
        self.deliver_all(clean);
    }

    fn deliver_all(&mut self, clean: &Setup) {
        for _ in 0..CHAIN_MAX {
            if self.messages.is_empty() {
                return;
            }
            let message = self.messages.remove(0);
            self.deliver(message, clean);
        }
        self.messages.clear();
    }

    /// The world on one line.
    pub(crate) fn line(&self) -> String {
        let node = |node: NodeId| {
            let it = self.node(node);
            let open = if self.drives(node) { "drives" } else { "closed" };
            let manner = match (it.is_up, it.is_paused, it.is_frozen) {
                (false, ..) => " (down)",
                (_, true, _) => " (paused)",
                (.., true) => " (frozen)",
                _ => "",
            };
            let (state, epoch) = (it.machine.state(), it.machine.standing().epoch);
            format!("{node}{manner}: {state} e{epoch} {open}")
        };
        let register = match self.register.standing() {
            Some(standing) => standing.to_string(),
            None => "lost".to_owned(),
        };
        let latches: Vec<_> = self.latches.iter().map(|it| it.kept().claimed).collect();
        let latches = if latches.is_empty() { String::new() } else { format!(" | L: {latches:?}") };
        format!("{:30} | {:30} | W: {register}{latches}", node(NodeId::A), node(NodeId::B))
    }
}
