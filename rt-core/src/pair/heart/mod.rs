//! A node's heart: what comes of letters and instants, as one value.
//!
//! It holds what the thread `heart` of the daemon drives, and what the simulator drives just so:
//! sessions, the schedule of beats, a detector for each path, the peer's clock rate, and the role
//! machine. Frames are opened and sealed outside ([`super::wire`]), for that needs keys and octets.
//!
//! **Contract.** The owner of a heart
//! 1. calls [`Heart::on_time`] when [`Heart::next_timeout`] is due, [`Heart::on_letter`] for each
//!    letter that could be opened, and [`Heart::on_event`] for whatever else happens;
//! 2. after each call sets the gate to [`Machine::gate_deadline`], then does what the outcome
//!    wants, as the role machine's contract says;
//! 3. where a beat is wanted calls [`Heart::beat`] and [`Heart::address`] once, and
//!    [`Heart::letter`] for each path, and sends these.

#[cfg(test)]
mod tests;

use super::beat::{BootId, PATHS_MAX, PathReport, Verdict};
use super::clock_rate::ClockRate;
use super::detector::{self, Detector};
use super::letter::{Address, Letter, PairId};
use super::refusal::{Refusal, Refusals};
use super::role::{Event, Heard, Outcome};
use super::schedule::{HeartbeatFault, Schedule};
use super::sessions::{Accepted, Sessions};
use super::{Beat, Blocks, Echo, Health, Machine, Session, Standing, State, Terms};
use crate::time::{Duration, Instant};

/// A node that was later than its jitter counts as late for so long.
pub const LATE_FOR: Duration = Duration::from_secs(10);

/// What a heart goes by. It does not change while the heart lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The pair.
    pub pair: PairId,
    /// What the role machine goes by.
    pub terms: Terms,
    /// From one beat to the next.
    pub heartbeat: Duration,
    /// Beats in a row that may be lost on a path.
    pub misses: u32,
    /// J: how late a node sends or looks at most.
    pub jitter: Duration,
    /// ρ: how far off a steady clock's rate may be, in parts per million.
    pub drift_ppm: u32,
    /// Paths to the peer, at most [`PATHS_MAX`].
    pub paths: u8,
    /// With fewer paths alive than these a node is not ready to take over.
    pub paths_min: u8,
    /// The kernel's identity of the boot.
    pub boot: BootId,
    /// What the application means by its state.
    pub schema: u64,
}

/// Real-time class of all functions: bounded, no allocation.
#[derive(Clone, Debug)]
pub struct Heart {
    plan: Plan,
    machine: Machine,
    sessions: Sessions,
    schedule: Schedule,
    detectors: [Detector; PATHS_MAX],
    rate: ClockRate,
    /// The number and instant of the last beat.
    number: u64,
    sent_at: Instant,
    /// The number of the peer's newest beat.
    newest: u64,
    health: Health,
    late_until: Instant,
    /// What others found that keeps this node from taking over.
    found: Blocks,
    peer: Option<PeerHealth>,
    round_trip: Option<Duration>,
    crossed: u64,
    refusals: Refusals,
}

/// How the peer says that it fares, in its newest beat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerHealth {
    /// Its session.
    pub session: Session,
    /// When the beat came.
    pub came_at: Instant,
    /// What it said.
    pub health: Health,
}

impl Heart {
    /// A heart that does not beat yet: [`Event::Start`] starts it, at `now` or later.
    ///
    /// # Errors
    /// The heartbeat is out of bounds.
    pub fn new(
        plan: Plan,
        session: Session,
        remembered: Standing,
        now: Instant,
    ) -> Result<Self, HeartbeatFault> {
        let health = Health { boot: plan.boot, schema: plan.schema, ..Health::default() };
        Ok(Self {
            plan,
            machine: Machine::new(plan.terms, session, remembered),
            sessions: Sessions::new(plan.pair, plan.terms.me, session),
            schedule: Schedule::new(plan.heartbeat, now)?,
            detectors: core::array::from_fn(|_| {
                Detector::new(plan.heartbeat, plan.misses, plan.jitter)
            }),
            rate: ClockRate::new(plan.drift_ppm, plan.jitter),
            number: 0,
            sent_at: Instant::ORIGIN,
            newest: 0,
            health,
            late_until: Instant::ORIGIN,
            found: Blocks::NONE,
            peer: None,
            round_trip: None,
            crossed: 0,
            refusals: Refusals::NONE,
        })
    }

    /// The role machine.
    #[must_use]
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Who the peer is, and what was refused.
    #[must_use]
    pub const fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The peer's clock, against this one.
    #[must_use]
    pub const fn clock_rate(&self) -> &ClockRate {
        &self.rate
    }

    /// Whether this node was later than its jitter of late: the timers do not hold for it.
    #[must_use]
    pub fn is_late(&self, now: Instant) -> bool {
        now < self.late_until
    }

    /// How the peer says that it fares.
    #[must_use]
    pub const fn peer(&self) -> Option<&PeerHealth> {
        self.peer.as_ref()
    }

    /// From the last beat that was answered to its answer, without the time that it lay at the
    /// peer.
    #[must_use]
    pub const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Letters that came on another path than they were sent on: cables are crossed.
    #[must_use]
    pub const fn crossed(&self) -> u64 {
        self.crossed
    }

    /// Letters, and what looked like one, that were not taken.
    #[must_use]
    pub const fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// What comes of the peer's beats on a path; none where there is no such path.
    #[must_use]
    pub fn path(&self, path: u8, now: Instant) -> Option<PathReport> {
        self.detectors().get(usize::from(path)).map(|detector| detector.report(now))
    }

    fn detectors(&self) -> &[Detector] {
        self.detectors.get(..usize::from(self.plan.paths)).unwrap_or(&self.detectors)
    }

    /// Cycles that the application committed, and those of the peer's that this node holds whole.
    pub const fn set_cycles(&mut self, committed: u64, applied: u64) {
        self.health.committed_cycle = committed;
        self.health.applied_cycle = applied;
    }

    /// When [`Heart::on_time`] has to be called at the latest.
    #[must_use]
    pub fn next_timeout(&self) -> Instant {
        let due = if self.beats() { self.schedule.due() } else { Instant::FAR_FUTURE };
        due.min(self.machine.next_timeout().unwrap_or(Instant::FAR_FUTURE))
    }

    fn beats(&self) -> bool {
        self.machine.state().takes_part()
    }

    /// Time has passed.
    pub fn on_time(&mut self, now: Instant) -> Outcome {
        let mut is_due = false;
        if self.beats()
            && let Some(turn) = self.schedule.take(now)
        {
            is_due = true;
            self.health.lateness = turn.lateness;
            self.health.lateness_max = self.health.lateness_max.max(turn.lateness);
            if turn.lateness > self.plan.jitter {
                self.late_until = now + LATE_FOR;
            }
        }
        let mut outcome = self.step(Event::Time, now);
        outcome.beat |= is_due;
        outcome
    }

    /// Something else happened. [`Event::Readiness`] says what others found; after a change to
    /// SYNCUP it has to say so anew, for until then the node's copy counts as not whole.
    pub fn on_event(&mut self, event: Event, now: Instant) -> Outcome {
        match event {
            Event::Readiness(blocks) => {
                self.found = blocks;
                self.step(Event::Time, now)
            }
            event => self.step(event, now),
        }
    }

    /// A letter came on a path.
    ///
    /// # Errors
    /// It is not to be taken, which was counted. Nothing else has changed.
    pub fn on_letter(
        &mut self,
        letter: &Letter,
        came_on: u8,
        now: Instant,
    ) -> Result<Outcome, Refusal> {
        let accepted = if came_on < self.plan.paths {
            self.sessions.accept(letter, came_on)
        } else {
            Err(Refusal::UnknownPath)
        };
        let accepted = accepted.inspect_err(|refusal| self.refusals.count(*refusal))?;
        let Accepted::Beat { crossed, restarted } = accepted else {
            return Ok(Outcome::default());
        };
        self.crossed += u64::from(crossed);
        if restarted {
            self.newest = 0;
            self.round_trip = None;
            self.rate.on_session();
            self.detectors.iter_mut().for_each(Detector::on_session);
        }
        let beat = &letter.beat;
        for (path, detector) in self.detectors.iter_mut().enumerate() {
            if path == usize::from(came_on) {
                detector.on_arrival(beat.number, beat.sent_at, now);
            } else {
                detector.on_elsewhere(beat.number);
            }
        }
        self.rate.on_arrival(beat.sent_at, now);
        if beat.number <= self.newest {
            return Ok(Outcome::default());
        }
        self.newest = beat.number;
        if let Some(echo) = &beat.echo {
            self.round_trip = Some(now.since(echo.sent_at).saturating_sub(echo.age));
        }
        self.peer = Some(PeerHealth { session: letter.session, came_at: now, health: beat.health });
        let heard = Heard {
            session: letter.session,
            sent_at: beat.sent_at,
            echo_sent_at: beat.echo.map(|echo| echo.sent_at),
            word: beat.word,
        };
        Ok(self.step(Event::Beat(heard), now))
    }

    /// One step of the role machine, with what keeps it from taking over as it stands now.
    fn step(&mut self, event: Event, now: Instant) -> Outcome {
        let blocks = self.blocks(now);
        let first = if blocks == self.machine.readiness() {
            Outcome::default()
        } else {
            self.machine.step(Event::Readiness(blocks), now)
        };
        let outcome = self.machine.step(event, now).after(first);
        // What it begins to take over it has not got, whatever was found before.
        if outcome.transition.is_some_and(|it| it.to == State::SyncUp) {
            self.found |= Blocks::NOT_IN_SYNC;
        }
        outcome
    }

    fn blocks(&self, now: Instant) -> Blocks {
        let mut verdicts = [Verdict::Unknown; PATHS_MAX];
        for (verdict, detector) in verdicts.iter_mut().zip(self.detectors()) {
            *verdict = detector.verdict(now);
        }
        // Too few paths are a reason to give nothing to this node. Where none is left, it is the
        // peer that may be gone, and then this node has to take over whatever it has.
        let is_heard = verdicts.iter().any(|it| matches!(it, Verdict::Alive | Verdict::Late));
        let paths = detector::blocks(&verdicts, usize::from(self.plan.paths_min));
        let paths = if is_heard { paths } else { Blocks::NONE };
        let schema = self.peer.is_some_and(|peer| peer.health.schema != self.plan.schema);
        (self.found | paths | self.rate.blocks()).with(Blocks::SCHEMA, schema)
    }

    /// Something came that is no letter to this node, as [`super::wire`] found.
    pub fn on_refused(&mut self, refusal: Refusal) {
        self.refusals.count(refusal);
    }

    /// The next beat. Its instant is later than that of any before.
    pub fn beat(&mut self, now: Instant) -> Beat {
        self.number += 1;
        self.sent_at = now.max(self.sent_at + Duration::from_nanos(1));
        self.machine.on_beat_sent(now);
        self.health.clock_rate_ppb = self.rate.rate_ppb();
        for (report, detector) in self.health.paths.iter_mut().zip(&self.detectors) {
            *report = detector.report(now);
        }
        let echo = self.machine.echo().map(|(sent_at, came_at)| Echo {
            number: self.newest,
            sent_at,
            age: now.since(came_at),
        });
        Beat {
            number: self.number,
            sent_at: self.sent_at,
            echo,
            word: self.machine.word(),
            health: self.health,
        }
    }

    /// Whom the next beat is for. Asked once for each beat, before its first copy is made.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        self.sessions.address()
    }

    /// The copy of a beat for one path.
    pub fn letter(&mut self, beat: &Beat, to: Option<Address>, path: u8) -> Letter {
        Letter {
            pair: self.plan.pair,
            from: self.plan.terms.me,
            session: self.sessions.session(),
            challenge: self.sessions.challenge(),
            to,
            path,
            counter: self.sessions.next_counter(path),
            beat: *beat,
        }
    }
}
