//! All of it, an event after the other.

use rt_core::pair::latch::{Claim, Latch, OutputFrame};
use rt_core::pair::question::{FenceOutcome, Question};
use rt_core::pair::register::Register;
use rt_core::pair::role::{Cause, Event, Order, Outcome, Transition};
use rt_core::pair::{Letter, Mode, NodeId, Session, State};
use rt_core::time::{Duration, Instant};

use super::check::Watch;
use super::fault::{Fault, Kind, Repair};
use super::lane::Lane;
use super::node::{Node, cycle_of};
use super::queue::{Happening, Queue};
use super::report::{Report, Seen};
use super::swarm::Swarm;
use crate::impair::random::Random;

/// A fence that works takes so long.
const FENCE_NS: u64 = 30_000_000;
/// Letters that are kept for a replay.
const RECORDED_MAX: usize = 64;

/// A run on its way.
#[derive(Debug)]
pub struct World {
    pub(super) swarm: Swarm,
    pub(super) now: u64,
    pub(super) chance: Random,
    queue: Queue,
    pub(super) nodes: [Node; 2],
    register: Register,
    pub(super) witness_life: u32,
    pub(super) witness_answers: bool,
    pub(super) fence_works: bool,
    pub(super) latches: Vec<(Latch, u32)>,
    /// By sender and path.
    pub(super) lanes: [[Lane; 3]; 2],
    pub(super) recorded: Vec<(NodeId, u8, Box<Letter>)>,
    pub(super) watch: Watch,
    pub(super) seen: Seen,
    pub(super) faults: u64,
    pub(super) is_healed: bool,
    is_over: bool,
    trace: bool,
}

impl World {
    /// A world in which both nodes are about to start.
    #[must_use]
    pub fn new(swarm: Swarm, trace: bool) -> Self {
        let mut chance = swarm.chance;
        let origin = |chance: &mut Random| Instant::from_nanos(chance.below(1 << 50));
        let nodes = NodeId::ALL.map(|me| Node::new(me, &swarm, origin(&mut chance)));
        let hold = Duration::from_millis(100);
        let mut world = Self {
            now: 0,
            queue: Queue::default(),
            register: Register::volatile(),
            witness_life: 0,
            witness_answers: true,
            fence_works: true,
            latches: (0..swarm.latches).map(|latch| (Latch::new(latch, hold), 0)).collect(),
            lanes: [[swarm.path; 3]; 2],
            recorded: Vec::new(),
            watch: Watch::new(usize::from(swarm.latches)),
            seen: Seen::default(),
            faults: 0,
            is_healed: false,
            is_over: false,
            trace,
            nodes,
            chance,
            swarm,
        };
        world.prepare();
        world
    }

    fn prepare(&mut self) {
        for node in NodeId::ALL {
            let at = self.chance.below(3_000_000_000);
            self.put(at, Happening::Repair(Repair::Start(node)));
        }
        for _ in 0..self.swarm.faults {
            let at = 2_000_000_000 + self.chance.below(self.swarm.heal_ns - 2_000_000_000);
            let place = self.chance.below(self.swarm.kinds.len() as u64);
            let kind = self.swarm.kinds[usize::try_from(place).unwrap_or(0)];
            let (paths, latches) = (self.swarm.paths, self.swarm.latches);
            for (later, fault) in Fault::draw(kind, paths, latches, &mut self.chance) {
                self.put(at + later, Happening::Fault(fault));
            }
        }
        self.put(self.swarm.heal_ns, Happening::Heal);
    }

    /// Lets `what` happen `later` than now.
    pub(super) fn put(&mut self, later: u64, what: Happening) {
        self.queue.put(self.now + later, what);
    }

    /// Runs to the end.
    #[must_use]
    pub fn run(mut self) -> Report {
        while !self.is_over {
            let Some((at, what)) = self.queue.take() else { break };
            self.now = at;
            self.happen(what);
            self.look();
            self.finish_if_well();
            if !self.watch.violations.is_empty() {
                break;
            }
        }
        Report {
            seed: self.swarm.seed,
            violations: self.watch.violations,
            seen: self.seen,
            virtual_ns: self.now,
            events: self.queue.count(),
            faults: self.faults,
            gap_max_ns: self.watch.gap_max_ns,
            changes: self.watch.changes,
        }
    }

    fn look(&mut self) {
        let open = [0, 1].map(|node: usize| self.nodes[node].is_open(self.now));
        self.watch.gates(self.now, open, &mut self.seen);
    }

    pub(super) fn note(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.trace {
            println!("{:>14} {}", self.now, line(self));
        }
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Wake(node, wake) => {
                let it = &mut self.nodes[node.index()];
                if it.runs() && it.wake == wake {
                    let local = it.clock.at(self.now);
                    let outcome = it.heart.on_time(local);
                    self.carry_out(node, outcome);
                }
            }
            Happening::Cycle(node, life) => self.cycle(node, life),
            Happening::Synced(node) => self.tell_blocks(node),
            Happening::Letter { to, path, letter } => self.hear(to, path, letter),
            Happening::Question { session, life, question } => self.ask(session, life, &question),
            Happening::Answered { to, session, life, answer } => {
                if life == self.witness_life && self.witness_answers {
                    let lane = self.swarm.witness;
                    self.travel(lane, |_| Happening::Answer { to, session, answer });
                }
            }
            Happening::Answer { to, session, answer } => {
                self.give(to, session, Event::Answer(answer));
            }
            Happening::Claim { by, session, latch, life, claim } => {
                self.claim(by, session, latch, life, &claim);
            }
            Happening::Claimed { to, session, claimed } => {
                self.give(to, session, Event::Latch(claimed));
            }
            Happening::Fenced { by, session, outcome } => {
                self.give(by, session, Event::Fence(outcome));
            }
            Happening::Egress { from, life, until, frame } => self.emit(from, life, until, frame),
            Happening::Output { from, latch, frame } => self.output(from, latch, &frame),
            Happening::Fault(fault) => self.break_it(fault),
            Happening::Repair(repair) => self.mend(repair),
            Happening::Person => self.see_to_it(),
            Happening::Heal => self.heal(),
            Happening::End => self.end(),
        }
    }

    /// What becomes of a message on a lane: `what` happens for each copy that arrives.
    fn travel(&mut self, lane: Lane, what: impl Fn(&Self) -> Happening) {
        for delay in lane.fates(&mut self.chance).into_iter().flatten() {
            let happening = what(self);
            self.put(delay, happening);
        }
    }

    // ---- Nodes ----------------------------------------------------------------------------------

    /// An event for a node's present session, which nobody else gets.
    pub(super) fn give(&mut self, node: NodeId, session: Session, event: Event) {
        if self.nodes[node.index()].heart.sessions().session() == session {
            self.give_now(node, event);
        }
    }

    /// An event for a node, if its program runs.
    pub(super) fn give_now(&mut self, node: NodeId, event: Event) {
        let it = &mut self.nodes[node.index()];
        if it.runs() {
            let local = it.clock.at(self.now);
            let outcome = it.heart.on_event(event, local);
            self.carry_out(node, outcome);
        }
    }

    fn hear(&mut self, to: NodeId, path: u8, letter: Box<Letter>) {
        let it = &mut self.nodes[to.index()];
        if it.is_paused {
            it.keep(path, letter);
        } else if it.is_up {
            self.open_letter(to, path, &letter);
        }
    }

    pub(super) fn open_letter(&mut self, to: NodeId, path: u8, letter: &Letter) {
        let it = &mut self.nodes[to.index()];
        let local = it.clock.at(self.now);
        match it.heart.on_letter(letter, path, local) {
            Ok(outcome) => {
                // What was recorded tells nothing, and what is not the newest tells nothing new.
                let follows = it.state().is_standby() || it.state() == State::SyncUp;
                if let Some(peer) = it.heart.peer().filter(|peer| peer.came_at == local && follows)
                {
                    it.cycle = it.cycle.max(peer.health.committed_cycle);
                }
                self.carry_out(to, outcome);
            }
            Err(_) => self.seen.note("a letter was refused"),
        }
    }

    /// Does what a machine wants: the gate first.
    fn carry_out(&mut self, node: NodeId, outcome: Outcome) {
        let it = &mut self.nodes[node.index()];
        it.gate = it.heart.machine().gate_deadline();
        if let Some(standing) = outcome.remember {
            it.remembered = standing;
        }
        let session = it.heart.sessions().session();
        if let Some(transition) = outcome.transition {
            self.changed(node, &transition);
        }
        if let Some(question) = outcome.question {
            let (lane, life) = (self.swarm.witness, self.witness_life);
            self.travel(lane, |_| Happening::Question { session, life, question });
        }
        if let Some(claim) = outcome.claim {
            let lane = self.swarm.output;
            for latch in (0..self.swarm.latches).filter(|it| claim.latches & (1 << it) != 0) {
                let life = self.latches[usize::from(latch)].1;
                let claim = Claim::from(&claim);
                self.travel(lane, |_| Happening::Claim { by: node, session, latch, life, claim });
            }
        }
        if outcome.fence {
            self.fence(node, session);
        }
        if outcome.beat {
            self.beat(node);
        }
        self.wake_in_time(node);
    }

    fn wake_in_time(&mut self, node: NodeId) {
        let late_ns = self.swarm.measured.jitter.as_nanos() / 2;
        let it = &mut self.nodes[node.index()];
        it.wake += 1;
        let wake = it.wake;
        if let Some(at) = it.clock.when(it.heart.next_timeout()) {
            let late = self.chance.below(late_ns + 1);
            self.queue.put(at.max(self.now) + late, Happening::Wake(node, wake));
        }
    }

    fn beat(&mut self, node: NodeId) {
        let it = &mut self.nodes[node.index()];
        let local = it.clock.at(self.now);
        // Only a standby holds the cycles of its peer.
        let applied = if it.state().is_standby() { it.cycle } else { 0 };
        it.heart.set_cycles(it.cycle, applied);
        let beat = it.heart.beat(local);
        // A SOLO owner's gate moves with its beats.
        it.gate = it.heart.machine().gate_deadline();
        let address = it.heart.address();
        for path in 0..self.swarm.paths {
            let letter = self.nodes[node.index()].heart.letter(&beat, address, path);
            let letter = Box::new(letter);
            if self.recorded.len() < RECORDED_MAX || self.chance.below(200) == 0 {
                let place = usize::try_from(self.chance.below(RECORDED_MAX as u64)).unwrap_or(0);
                let kept = (node.peer(), path, letter.clone());
                match self.recorded.get_mut(place) {
                    Some(old) => *old = kept,
                    None => self.recorded.push(kept),
                }
            }
            let lane = self.lanes[node.index()][usize::from(path)];
            let to = node.peer();
            self.travel(lane, |_| Happening::Letter { to, path, letter: letter.clone() });
        }
    }

    fn changed(&mut self, node: NodeId, transition: &Transition) {
        let Transition { from, to, cause, .. } = *transition;
        self.note(|it| {
            let standing = it.nodes[node.index()].heart.machine().standing();
            format!("{node} {from:16} → {to:16} {cause:?} [{standing}]")
        });
        let seen: Option<&'static str> = match (from, to, cause) {
            (State::Candidate, State::ActiveSolo | State::ActiveDuplex, _) => Some("takeover"),
            (_, State::Candidate, Cause::PeerReleased) => Some("takeover on a word"),
            (State::ActiveDuplex, State::ActiveSolo, Cause::RenewalsMissing) => {
                Some("the standby was lost")
            }
            (_, State::Isolated, Cause::Undecided) => Some("lease over, undecided"),
            (State::Candidate, State::Isolated, _) => Some("a claim was lost"),
            (_, State::Isolated, _) => Some("isolated"),
            (State::Isolated, State::ActiveSolo, _) => Some("won without hearing of it"),
            (State::SyncUp, State::Standby | State::StandbyDegraded, _) => Some("rejoined"),
            (_, State::Fenced, _) => Some("fenced"),
            (_, State::Fault, Cause::Application) => Some("application stopped"),
            (_, _, Cause::Switchover) => Some("switchover"),
            (_, _, Cause::Failback) => Some("failback"),
            (_, _, Cause::Reclaim) => Some("reclaimed alone"),
            (_, _, Cause::ColdStart) => Some("cold start"),
            _ => None,
        };
        if let Some(seen) = seen {
            self.seen.note(seen);
        }
        if to.is_active() && !from.is_active() {
            self.nodes[node.index()].synced_at = Some(self.now);
        }
        if to == State::SyncUp {
            let sync_ns = self.swarm.sync_ns;
            let it = &mut self.nodes[node.index()];
            it.synced_at = Some(self.now + sync_ns);
            // What it had of its own is worth nothing beside what the active node has.
            it.cycle = 0;
            self.put(sync_ns, Happening::Synced(node));
        }
    }

    // ---- Application and outputs ----------------------------------------------------------------

    /// A cycle of the application: the one that drives computes and emits.
    fn cycle(&mut self, node: NodeId, life: u32) {
        let cycle_ns = cycle_of(&self.swarm).as_nanos();
        let it = &mut self.nodes[node.index()];
        if !it.is_up || it.life != life {
            return;
        }
        self.queue.put(self.now + cycle_ns, Happening::Cycle(node, life));
        if it.is_paused {
            return;
        }
        if it.app_runs {
            if it.state().is_active()
                && let Some(epoch) = it.heart.machine().output_epoch()
            {
                it.cycle += 1;
                it.sequence += 1;
                let frame = OutputFrame { epoch, sequence: it.sequence };
                let local = it.clock.at(self.now);
                let later = self.chance.below(cycle_ns / 4);
                let until = local + cycle_of(&self.swarm).saturating_mul(2);
                self.put(later, Happening::Egress { from: node, life, until, frame });
            }
            self.give_now(node, Event::Progress);
        }
        self.tell_blocks(node);
    }

    fn tell_blocks(&mut self, node: NodeId) {
        let blocks = self.nodes[node.index()].blocks(self.now);
        self.give_now(node, Event::Readiness(blocks));
    }

    /// A frame at its node's gate. A program that stands still between its check and this emits it
    /// when it goes on; the kernel's check is the one that counts.
    fn emit(&mut self, from: NodeId, life: u32, until: Instant, frame: OutputFrame) {
        let it = &self.nodes[from.index()];
        if !it.is_up || it.life != life {
            return;
        }
        if it.is_paused {
            self.put(1_000_000, Happening::Egress { from, life, until, frame });
            return;
        }
        if !it.is_open(self.now) || it.clock.at(self.now) >= until {
            self.seen.note("an output was stopped at the gate");
            return;
        }
        let lane = self.swarm.output;
        for latch in 0..self.swarm.latches {
            self.travel(lane, |_| Happening::Output { from, latch, frame });
        }
    }

    fn output(&mut self, from: NodeId, latch: u8, frame: &OutputFrame) {
        let (it, _) = &mut self.latches[usize::from(latch)];
        match it.accept(frame, Instant::from_nanos(self.now)) {
            Ok(()) => self.watch.taken(self.now, usize::from(latch), from, frame.epoch),
            Err(_) => self.seen.note("a stale output was refused"),
        }
    }

    fn claim(&mut self, by: NodeId, session: Session, latch: u8, life: u32, claim: &Claim) {
        let (it, present) = &mut self.latches[usize::from(latch)];
        // A claim is made for a latch's present life; another one is told how it stands.
        let claimed = if *present == life { it.claim(claim) } else { it.claimed() };
        let lane = self.swarm.output;
        self.travel(lane, |_| Happening::Claimed { to: by, session, claimed });
    }

    // ---- Witness and fence ----------------------------------------------------------------------

    fn ask(&mut self, session: Session, life: u32, question: &Question) {
        if !self.witness_answers {
            return;
        }
        if life != self.witness_life {
            // Made for a former life: its asker learns the new one and asks again.
            return;
        }
        let reply = self.register.answer(session, question);
        if self.register.standing().is_none() {
            self.seen.note("a lost register was asked");
        }
        let (to, answer) = (question.node, reply.answer);
        let store_ns = if reply.store.is_some() { self.swarm.store_ns } else { 0 };
        self.put(store_ns, Happening::Answered { to, session, life, answer });
    }

    /// The witness starts again, with what it stored.
    pub(super) fn restart_witness(&mut self) {
        self.witness_life += 1;
        self.register = if self.swarm.is_durable {
            Register::restored(*self.register.record())
        } else {
            self.seen.note("the witness lost its register");
            Register::volatile()
        };
    }

    /// The peer is switched off, or is not. In mode H that is the kernel's work, which never fails.
    fn fence(&mut self, by: NodeId, session: Session) {
        let works = self.fence_works || self.swarm.mode == Mode::SameHost;
        let outcome = if works {
            self.crash(by.peer());
            self.nodes[by.peer().index()].gate = None;
            self.seen.note("a node was switched off");
            // Somebody switches it on again.
            let later = 500_000_000 + self.chance.below(2_000_000_000);
            self.put(later, Happening::Repair(Repair::Start(by.peer())));
            FenceOutcome::Confirmed
        } else {
            FenceOutcome::Failed
        };
        self.put(FENCE_NS, Happening::Fenced { by, session, outcome });
    }

    pub(super) fn crash(&mut self, node: NodeId) {
        let it = &mut self.nodes[node.index()];
        it.is_up = false;
        it.is_paused = false;
        it.backlog.clear();
    }

    pub(super) fn start(&mut self, node: NodeId) {
        if self.nodes[node.index()].is_up {
            return;
        }
        self.nodes[node.index()].start(node, &self.swarm, self.now);
        let life = self.nodes[node.index()].life;
        self.note(|_| format!("{node} starts, life {life}"));
        self.give_now(node, Event::Start);
        self.give_now(node, Event::SelfTest { passed: true });
        self.put(0, Happening::Cycle(node, life));
    }

    // ---- The end --------------------------------------------------------------------------------

    fn heal(&mut self) {
        self.is_healed = true;
        self.note(|_| "all is healed".to_owned());
        self.witness_answers = true;
        self.fence_works = true;
        self.lanes = [[self.swarm.path; 3]; 2];
        for node in NodeId::ALL {
            let fast_ppm = self.swarm.fast_ppm[node.index()];
            self.nodes[node.index()].clock.set_rate(self.now, fast_ppm);
            self.mend(Repair::Resume(node));
            self.mend(Repair::Stall(node));
            self.mend(Repair::Lag(node));
            self.start(node);
        }
        let terms = self.nodes[0].heart.machine().terms();
        let patience = match terms.cold_start {
            rt_core::pair::terms::ColdStart::Either { patience } => patience,
            _ => Duration::ZERO,
        };
        // To listen, be isolated, listen again; a person comes by once a second. A clock that ran
        // off is believed again only when its windows have passed.
        let rates = if self.swarm.kinds.contains(&Kind::Rate) { 120 } else { 0 };
        let bound = terms.listen.saturating_mul(6)
            + patience.saturating_mul(2)
            + terms.promise.saturating_mul(20)
            + Duration::from_secs(20 + rates);
        self.put(bound.as_nanos() + 2 * self.swarm.sync_ns, Happening::End);
        self.put(1_000_000_000, Happening::Person);
    }

    /// What a person does, once a second, when all is healed: lets in who was fenced, ends
    /// maintenance, and where two nodes wait for a word gives it.
    fn see_to_it(&mut self) {
        self.put(1_000_000_000, Happening::Person);
        for node in NodeId::ALL {
            match self.nodes[node.index()].state() {
                State::Fenced | State::Fault => {
                    self.give_now(node, Event::Order(Order::Acknowledge))
                }
                State::Maintenance => {
                    self.give_now(node, Event::Order(Order::Maintenance { on: false }));
                }
                State::ActiveSolo => self.give_now(node, Event::Order(Order::Acknowledge)),
                _ => {}
            }
        }
        let states = [0, 1].map(|node: usize| self.nodes[node].state());
        let wait = |state: &State| matches!(state, State::Isolated | State::Listen);
        if states.iter().all(wait) && self.waits_for_a_person() {
            self.seen.note("a person gave the outputs");
            self.give_now(NodeId::A, Event::Order(Order::Take));
        }
    }

    /// Whether the mode leaves it to a person, or the one who had the outputs alone has forgotten
    /// so. Others come up by themselves, and are given the time.
    fn waits_for_a_person(&self) -> bool {
        self.swarm.mode == Mode::Manual || self.now > self.swarm.heal_ns + 15_000_000_000
    }

    pub(super) fn is_well(&self) -> bool {
        NodeId::ALL.into_iter().any(|node| {
            let (it, peer) = (&self.nodes[node.index()], &self.nodes[node.peer().index()]);
            it.state() == State::ActiveDuplex
                && it.is_open(self.now)
                && peer.state() == State::Standby
        })
    }

    fn end(&mut self) {
        self.is_over = true;
        if !self.is_well() {
            let states = [0, 1].map(|node: usize| {
                let machine = self.nodes[node].heart.machine();
                format!("{} {} ({})", machine.state(), machine.standing(), machine.blocks())
            });
            let register = self.register.standing();
            let what = format!("mode {}: {states:?}, register {register:?}", self.swarm.mode);
            self.watch.violate(self.now, "F24", what);
        }
    }

    /// A run ends when what it waits for has come.
    fn finish_if_well(&mut self) {
        if self.is_healed && self.is_well() {
            self.is_over = true;
        }
    }

    pub(super) fn deliver_later(&mut self, to: NodeId, path: u8, letter: Box<Letter>) {
        let later = self.chance.below(10_000_000);
        self.put(later, Happening::Letter { to, path, letter });
    }
}
