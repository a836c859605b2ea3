//! Two nodes, a witness and what is under way between them, as one value.
//!
//! Time goes in ticks, and each node's present is always [`NOW`]: when its clock ticks, all that it
//! knows moves into the past instead. So two moments that differ in nothing but their date are one
//! state.

use std::hash::{DefaultHasher, Hash, Hasher};

use rt_core::pair::question::{Answer, Question};
use rt_core::pair::role::{Event, Heard, Order, Outcome, Transition};
use rt_core::pair::terms::{ColdStart, Damping, Failback, Latches};
use rt_core::pair::{Machine, Mode, NodeId, Session, Standing, State, Terms};
use rt_core::time::{Duration, Instant};

use crate::witness::Witness;

/// What each node's clock shows.
pub(crate) const NOW: Instant = Instant::from_nanos(2);
/// What lies here or later never comes.
const HORIZON: Instant = Instant::from_nanos(500);
/// Longer than any behaviour that is looked at.
const NEVER: Duration = Duration::from_nanos(1_000);

pub(crate) const fn ticks(count: u64) -> Duration {
    Duration::from_nanos(count)
}

/// What a model is made with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) lease: u64,
    pub(crate) promise: u64,
    pub(crate) mode: Mode,
    /// Beats under way at a time, in each direction.
    pub(crate) beats_max: usize,
    /// Pauses of a node's program, in all.
    pub(crate) pauses_max: u8,
    /// Epochs after the pair has come up.
    pub(crate) epochs_max: u64,
    /// Starts of each node after that.
    pub(crate) starts_max: u8,
    /// Times that the witness loses its register.
    pub(crate) losses_max: u8,
    /// Times that a clock ticks without the other.
    pub(crate) slips_max: u8,
    pub(crate) switchover: bool,
    /// What is done wrong, on purpose.
    pub(crate) mutant: Option<Mutant>,
}

/// Something that is wrong with the protocol, put into the world around the real machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mutant {
    /// The grantor waits less than the holder's lease.
    ShortPromise,
    /// The lease counts from when its grant came.
    LeaseFromArrival,
    /// A candidate goes on granting.
    CandidateGrants,
    /// The standby does not wait for its promise.
    NoWait,
    /// A grantor that restarts forgets what it promised.
    ForgottenPromise,
    /// The witness loses its register and answers all the same.
    Amnesia,
    /// A clock stands still, and no latch is there.
    FrozenClock,
    /// Outputs leave before the latches answered.
    NoClaim,
}

impl Setup {
    pub(crate) fn terms(&self, me: NodeId) -> Terms {
        Terms {
            me,
            mode: self.mode,
            latches: Latches::NONE,
            lease: ticks(self.lease),
            promise: ticks(self.promise),
            suspicion: ticks(1),
            ask_every: ticks(1),
            poll_every: NEVER,
            listen: ticks(self.promise),
            stall: None,
            cold_start: ColdStart::Either { patience: ticks(self.promise) },
            failback: Failback::Never,
            damping: Damping::NONE,
        }
    }
}

/// A node, and what is left of it where it crashed: a gate that closes by itself.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Node {
    pub(crate) machine: Machine,
    pub(crate) session: Session,
    pub(crate) remembered: Standing,
    pub(crate) is_up: bool,
    /// What a crash left behind: the gate closes at this instant.
    gate: Option<Instant>,
    pub(crate) is_paused: bool,
    pub(crate) starts: u8,
}

/// What is under way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Message {
    Beat { to: NodeId, for_session: Session, heard: Heard },
    Question { session: Session, question: Question },
    Answer { to: NodeId, session: Session, answer: Answer },
}

impl Message {
    /// What it is of, and for whom.
    fn lane(&self) -> (u8, NodeId) {
        match self {
            Self::Beat { to, .. } => (0, *to),
            Self::Question { question, .. } => (1, question.node),
            Self::Answer { to, .. } => (2, *to),
        }
    }
}

/// A state of the model.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct World {
    pub(crate) nodes: [Node; 2],
    pub(crate) witness: Witness,
    pub(crate) messages: Vec<Message>,
    pub(crate) losses: u8,
    pub(crate) slips: u8,
    pub(crate) pauses: u8,
    /// What happened on the way into this state; not part of what tells states apart.
    pub(crate) last: Happened,
}

/// What happened in the last action: for what must happen sometimes. Every state is the same
/// whatever led to it.
#[derive(Clone, Default, Debug)]
pub(crate) struct Happened(pub(crate) Vec<(NodeId, Transition)>);

impl PartialEq for Happened {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for Happened {}
impl Hash for Happened {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl World {
    /// A pair that has just come up: A drives, B is its standby.
    pub(crate) fn up(setup: &Setup) -> Self {
        let node = |me: NodeId| {
            let session = Session([u8::try_from(me.index()).unwrap(); 16]);
            let machine = Machine::new(setup.terms(me), session, Standing::VACANT);
            Node {
                machine,
                session,
                remembered: Standing::VACANT,
                is_up: true,
                gate: None,
                is_paused: false,
                starts: 0,
            }
        };
        let mut world = Self {
            nodes: NodeId::ALL.map(node),
            witness: Witness::new(Standing::VACANT),
            messages: Vec::new(),
            losses: 0,
            slips: 0,
            pauses: 0,
            last: Happened::default(),
        };
        let clean = Setup { mutant: None, beats_max: usize::MAX, ..setup.clone() };
        for node in NodeId::ALL {
            world.step(node, Event::Start, &clean);
            world.step(node, Event::SelfTest { passed: true }, &clean);
        }
        world.settle(&clean, 40);
        let states = world.nodes.each_ref().map(|node| node.machine.state());
        assert_eq!(states, [State::ActiveDuplex, State::Standby], "{:?}", world.line());
        for node in &mut world.nodes {
            node.starts = 0;
        }
        world
    }

    /// Lets the world go on without faults, for so many ticks.
    pub(crate) fn settle(&mut self, setup: &Setup, count: u64) {
        for _ in 0..count {
            self.turn(setup);
        }
    }

    /// A tick without faults: every node beats and is heard, everything arrives, every node wakes.
    pub(crate) fn turn(&mut self, setup: &Setup) {
        self.advance([1, 1]);
        for node in self.nodes_up() {
            self.beat(node, setup);
        }
        self.deliver_all(setup);
        for node in self.nodes_up() {
            self.step(node, Event::Time, setup);
        }
        self.deliver_all(setup);
    }

    fn nodes_up(&self) -> Vec<NodeId> {
        NodeId::ALL.into_iter().filter(|node| self.node(*node).is_up).collect()
    }

    /// Answers to answers end, for a grant asks for nothing.
    fn deliver_all(&mut self, setup: &Setup) {
        for _ in 0..40 {
            if self.messages.is_empty() {
                return;
            }
            let message = self.messages.remove(0);
            self.deliver(message, setup);
        }
        self.messages.clear();
    }

    pub(crate) fn node(&self, node: NodeId) -> &Node {
        &self.nodes[node.index()]
    }

    pub(crate) fn drives(&self, node: NodeId) -> bool {
        let it = self.node(node);
        let gate = if it.is_up { it.machine.gate_deadline() } else { it.gate };
        gate.is_some_and(|deadline| NOW < deadline)
    }

    pub(crate) fn step(&mut self, node: NodeId, event: Event, setup: &Setup) {
        let it = &mut self.nodes[node.index()];
        let outcome = it.machine.step(event, NOW);
        self.carry_out(node, outcome, setup);
    }

    fn carry_out(&mut self, node: NodeId, outcome: Outcome, setup: &Setup) {
        let it = &mut self.nodes[node.index()];
        if let Some(standing) = outcome.remember {
            it.remembered = standing;
        }
        let session = it.session;
        if let Some(transition) = outcome.transition {
            self.last.0.push((node, transition));
        }
        if let Some(question) = outcome.question {
            self.send(Message::Question { session, question }, setup);
        }
        if outcome.beat {
            self.beat(node, setup);
        }
    }

    pub(crate) fn beat(&mut self, node: NodeId, setup: &Setup) {
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
                let is_present = self.node(to.peer()).session == heard.session;
                let it = self.node(to);
                if !it.is_up || it.is_paused || it.session != for_session || !is_present {
                    return;
                }
                if setup.mutant == Some(Mutant::LeaseFromArrival) {
                    heard.echo_sent_at = heard.echo_sent_at.map(|_| NOW);
                }
                self.step(to, Event::Beat(heard), setup);
            }
            Message::Question { session, question } => {
                let answer = self.witness.answer(session, &question);
                self.send(Message::Answer { to: question.node, session, answer }, setup);
            }
            Message::Answer { to, session, answer } => {
                let it = self.node(to);
                if it.is_up && !it.is_paused && it.session == session {
                    self.step(to, Event::Answer(answer), setup);
                }
            }
        }
    }

    /// Each node's clock goes on by so much.
    pub(crate) fn advance(&mut self, by: [u64; 2]) {
        let by = by.map(ticks);
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

    pub(crate) fn start(&mut self, node: NodeId, setup: &Setup) {
        let it = &mut self.nodes[node.index()];
        it.starts += 1;
        it.session = Session([it.session.0[0] + 2; 16]);
        it.machine = Machine::new(setup.terms(node), it.session, it.remembered);
        it.is_up = true;
        it.gate = None;
        it.is_paused = false;
        self.step(node, Event::Start, setup);
        self.step(node, Event::SelfTest { passed: true }, setup);
    }

    pub(crate) fn crash(&mut self, node: NodeId, setup: &Setup) {
        let gate = self.node(node).machine.gate_deadline();
        let it = &mut self.nodes[node.index()];
        it.gate = gate;
        it.is_up = false;
        it.machine = Machine::new(setup.terms(node), it.session, it.remembered);
    }

    /// The clocks go on; who runs looks at its timers and beats.
    pub(crate) fn tick(&mut self, by: [u64; 2], setup: &Setup) {
        self.advance(by);
        for node in self.nodes_up() {
            if by[node.index()] > 0 && !self.node(node).is_paused {
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

    pub(crate) fn switch_over(&mut self, node: NodeId, setup: &Setup) {
        self.step(node, Event::Order(Order::Switchover), setup);
    }

    /// The world on one line.
    pub(crate) fn line(&self) -> String {
        let node = |node: NodeId| {
            let it = self.node(node);
            let open = if self.drives(node) { "drives" } else { "closed" };
            let up = if it.is_up { "" } else { " (down)" };
            format!("{node}{up}: {} e{} {open}", it.machine.state(), it.machine.standing().epoch)
        };
        let register = match self.witness.register() {
            Some(standing) => standing.to_string(),
            None => "lost".to_owned(),
        };
        format!("{:32} | {:32} | W: {register}", node(NodeId::A), node(NodeId::B))
    }
}
