//! A node: its heart, its gate and its application.

use rt_core::pair::heart::Plan;
use rt_core::pair::{Blocks, BootId, Heart, Letter, NodeId, PairId, Session, Standing, State};
use rt_core::time::{Duration, Instant};

use super::clock::Clock;
use super::swarm::Swarm;

/// Frames that wait for a program that stands still.
const BACKLOG_MAX: usize = 256;

/// A node, whether it runs or not.
#[derive(Debug)]
pub struct Node {
    /// Its clock runs on when the program does not.
    pub clock: Clock,
    /// The program; that of a node that crashed is not touched any more.
    pub heart: Heart,
    /// Whether the host runs.
    pub is_up: bool,
    /// Whether the program stands still.
    pub is_paused: bool,
    /// Counts its starts.
    pub life: u32,
    /// What it finds again.
    pub remembered: Standing,
    /// As the kernel has it: it closes by itself, whatever becomes of the program.
    pub gate: Option<Instant>,
    /// What came while the program stood still.
    pub backlog: Vec<(u8, Box<Letter>)>,
    /// Which wake it waits for.
    pub wake: u64,
    /// The application's cycle, and the last one that it has of its peer's.
    pub cycle: u64,
    /// Whether the application runs.
    pub app_runs: bool,
    /// When its copy is whole, in true time; none while it takes over none.
    pub synced_at: Option<u64>,
    /// Its copy is made worse by a fault.
    pub lags: bool,
    /// Output frames of this life.
    pub sequence: u64,
}

impl Node {
    /// A node that does not run yet.
    ///
    /// # Panics
    /// With a heartbeat that is out of bounds, which a swarm never draws.
    #[must_use]
    pub fn new(me: NodeId, swarm: &Swarm, origin: Instant) -> Self {
        let clock = Clock::new(origin, swarm.fast_ppm[me.index()]);
        Self {
            heart: heart(me, swarm, 0, Standing::VACANT, origin),
            clock,
            is_up: false,
            is_paused: false,
            life: 0,
            remembered: Standing::VACANT,
            gate: None,
            backlog: Vec::new(),
            wake: 0,
            cycle: 0,
            app_runs: true,
            synced_at: None,
            lags: false,
            sequence: 0,
        }
    }

    /// Starts a new life at `now`.
    pub fn start(&mut self, me: NodeId, swarm: &Swarm, now: u64) {
        self.life += 1;
        let local = self.clock.at(now);
        self.heart = heart(me, swarm, self.life, self.remembered, local);
        self.is_up = true;
        self.is_paused = false;
        // Whoever starts closes the gate that its former life left.
        self.gate = None;
        self.backlog.clear();
        self.synced_at = None;
        self.app_runs = true;
        self.sequence = 0;
        // The state does not outlive a crash.
        self.cycle = 0;
    }

    /// Whether its program does anything.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.is_up && !self.is_paused
    }

    /// Its state, of its last life if it is down.
    #[must_use]
    pub fn state(&self) -> State {
        self.heart.machine().state()
    }

    /// Whether the kernel lets an output pass at `now`.
    #[must_use]
    pub fn is_open(&self, now: u64) -> bool {
        let local = self.clock.at(now);
        self.gate.is_some_and(|deadline| local < deadline)
    }

    /// Keeps a letter for later, as a socket does.
    pub fn keep(&mut self, path: u8, letter: Box<Letter>) {
        if self.backlog.len() < BACKLOG_MAX {
            self.backlog.push((path, letter));
        }
    }

    /// What keeps it from taking over, as its replication would say.
    #[must_use]
    pub fn blocks(&self, now: u64) -> Blocks {
        let needs_copy = self.state() == State::SyncUp || self.state().is_standby();
        let is_whole = self.synced_at.is_some_and(|at| at <= now);
        Blocks::NONE.with(Blocks::NOT_IN_SYNC, needs_copy && !is_whole).with(Blocks::LAG, self.lags)
    }
}

fn heart(me: NodeId, swarm: &Swarm, life: u32, remembered: Standing, now: Instant) -> Heart {
    let mut session = [0; 16];
    session[..4].copy_from_slice(&life.to_be_bytes());
    session[4] = u8::from(me == NodeId::B);
    session[8..].copy_from_slice(&swarm.seed.to_be_bytes());
    let plan = Plan {
        pair: PairId(swarm.seed),
        terms: swarm.terms(me),
        heartbeat: swarm.timers.heartbeat,
        misses: swarm.timers.misses,
        jitter: swarm.measured.jitter,
        drift_ppm: swarm.measured.drift_ppm,
        paths: swarm.paths,
        paths_min: 1,
        boot: BootId(session),
        schema: 1,
    };
    Heart::new(plan, Session(session), remembered, now)
        .unwrap_or_else(|fault| panic!("a swarm draws heartbeats within bounds: {fault}"))
}

/// How long the application's cycle is.
#[must_use]
pub fn cycle_of(swarm: &Swarm) -> Duration {
    swarm.measured.cycle
}
