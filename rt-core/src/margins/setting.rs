//! A pair as a whole: who decides, what was measured, what is asked for, and the timers; which
//! inequalities matter then, and the bounds that follow.
//!
//! | Mode | (2) to (4) | Arbitration in (4) | Arbitration in (5) | in (6) |
//! |---|---|---|---|---|
//! | W | yes | the questions to the witness | the same | the same |
//! | L | yes | a claim at the latches | in the claim, which is counted | the same |
//! | F | yes | none: the lease ends nothing | the longer of fence and watchdog | none |
//! | M | no | | nobody decides | none |
//! | H | yes | none | the kill, until the kernel says that it ended | none |
//!
//! In F and H the gate does not close with the lease. But a standby whose promise is over fences
//! its peer, and the one that misses the other first should be the one that drives: so the order
//! of suspicion, lease and promise is kept there too.
//!
//! (7) is part of (5): a fence begins when the promise is over, and so does the watchdog, which
//! the peer feeds while it holds its lease. `max(fence, promise + watchdog)` was rejected: it
//! counts the fence from the crash, of which nobody knows yet.

use super::{Finding, Inequality, Measured, Sum, Timers, What};
use crate::pair::Mode;
use crate::pair::terms::LISTEN_MIN;
use crate::time::Duration;

/// The shortest heartbeat that is proposed: more than 4,000 frames a second on each path cost more
/// than they bring.
pub const HEARTBEAT_LEAST: Duration = Duration::from_micros(250);
/// The longest one that is proposed.
pub const HEARTBEAT_MOST: Duration = Duration::from_millis(100);
/// Heartbeats that may be lost where nobody says how many; where that takes too long, one less.
pub const MISSES_DEFAULT: u32 = 3;
/// Fewer are proposed to nobody.
const MISSES_LEAST: u32 = 2;
/// Heartbeats are proposed in steps of this.
const STEP: Duration = Duration::from_micros(10);

/// Where the timers come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timing {
    /// A heartbeat is given; the lease and the promise are the shortest that it allows, where they
    /// are not given too.
    Given {
        /// From one beat to the next.
        heartbeat: Duration,
        /// k.
        misses: u32,
        /// At its holder.
        lease: Option<Duration>,
        /// At its grantor.
        promise: Option<Duration>,
    },
    /// The longest heartbeat with which all holds; where none does, the shortest.
    Chosen {
        /// k, where it is given.
        misses: Option<u32>,
    },
    /// The shortest heartbeat that can be kept.
    Shortest {
        /// k, where it is given.
        misses: Option<u32>,
    },
}

/// A pair, and what is asked of it. All functions are pure and bounded; for no real-time thread,
/// because those that look for a value reckon it some thousand times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Who decides.
    pub mode: Mode,
    /// What was measured. `hold`: of the output that holds shortest; [`Duration::MAX`] where none
    /// is asked for. The witness counts in mode W only.
    pub measured: Measured,
    /// F: until the peer is off, which was read back. H: from the kill until the kernel says that
    /// it ended.
    pub fence: Duration,
    /// F: after so long a node that does not feed its watchdog is off; zero where there is none.
    /// Counted in whole seconds, as watchdogs do.
    pub watchdog: Duration,
    /// Until an image of the state is on the wire, beyond what a heartbeat takes.
    pub transfer: Duration,
    /// What is left of a cycle when the application has done its part in it; all but J where
    /// nobody says.
    pub slack: Option<Duration>,
    /// What a takeover may take.
    pub recovery_time: Option<Duration>,
    /// How many cycles' state a crash may lose.
    pub recovery_point: Option<u64>,
    /// No shorter heartbeat is proposed.
    pub heartbeat_least: Duration,
    /// See [`Timing`].
    pub timing: Timing,
}

/// How long things take at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// (5), (7): from a silent crash to the first output of the next owner; `None` where nobody
    /// takes over by itself.
    pub silent: Option<Sum>,
    /// (6): the same where its end was seen, or it said so itself.
    pub evidence: Sum,
    /// From the last output of the former owner, at a planned switchover, until the next one may
    /// drive.
    pub planned: Sum,
    /// What the planned switchover has to fit in, to miss no cycle.
    pub slack: Duration,
    /// Cycles that a planned switchover misses, begun right after an output.
    pub planned_misses: u64,
    /// An active node whom nobody grants a lease and to whom nobody says what follows stops asking
    /// for it, so long after its last granted request was sent; where the lease binds.
    pub release: Option<Sum>,
    /// The first output of the next owner after that, counted from the same request, where the
    /// standby heard all the time, and was not heard.
    pub after_release: Option<Sum>,
}

impl Setting {
    /// The timers.
    #[must_use]
    pub fn timers(&self) -> Timers {
        match self.timing {
            Timing::Given { heartbeat, misses, lease, promise } => {
                let lease = lease.unwrap_or_else(|| self.lease_min(heartbeat, misses));
                let promise = promise.unwrap_or_else(|| self.measured.promise_min(lease));
                Timers { heartbeat, misses, lease, promise }
            }
            Timing::Chosen { misses } => self.choose(misses).unwrap_or_else(|| self.quick(misses)),
            Timing::Shortest { misses } => self.quick(misses),
        }
    }

    /// The shortest heartbeat that is proposed.
    #[must_use]
    pub fn heartbeat_min(&self) -> Duration {
        self.measured.heartbeat_min().max(self.heartbeat_least)
    }

    /// (3), (4): the shortest lease.
    #[must_use]
    pub fn lease_min(&self, heartbeat: Duration, misses: u32) -> Duration {
        let losses = self.losses(heartbeat, misses).total();
        losses.max(self.suspecting(heartbeat, misses).total())
    }

    /// (3): what a lease has to outlast so that lost renewals end nothing.
    #[must_use]
    pub fn losses(&self, heartbeat: Duration, misses: u32) -> Sum {
        Sum::NOTHING
            .and_times(What::Heartbeat, u64::from(misses) + 1, heartbeat)
            .and(What::RoundTrip, self.measured.round_trip)
            .and(What::Jitter, self.measured.jitter)
    }

    /// (4): what a lease has to outlast so that a standby's death ends nothing.
    #[must_use]
    pub fn suspecting(&self, heartbeat: Duration, misses: u32) -> Sum {
        let found = Sum::NOTHING
            .and(What::RoundTrip, self.measured.round_trip)
            .and_times(What::Heartbeat, u64::from(misses), heartbeat)
            .and_times(What::Jitter, 2, self.measured.jitter);
        match self.mode {
            Mode::Witness => self.and_witness(found),
            Mode::Latch => found.and(What::Latch, self.measured.latch_round_trip),
            Mode::Fence | Mode::Manual | Mode::SameHost => found,
        }
    }

    /// After so long without a new grant, counted from the last granted request, the active node
    /// asks to be alone.
    #[must_use]
    pub fn suspicion(&self, timers: &Timers) -> Sum {
        Sum::NOTHING
            .and(What::RoundTrip, self.measured.round_trip)
            .and_times(What::Heartbeat, timers.misses.into(), timers.heartbeat)
            .and(What::Jitter, self.measured.jitter)
    }

    /// How long a node that starts hears out who is there.
    #[must_use]
    pub fn listen(&self, timers: &Timers) -> Duration {
        timers.promise.max(LISTEN_MIN)
    }

    /// What is left of a cycle.
    #[must_use]
    pub fn slack(&self) -> Duration {
        let Measured { cycle, jitter, .. } = self.measured;
        self.slack.unwrap_or_else(|| cycle.saturating_sub(jitter))
    }

    /// How long things take at most with these timers.
    #[must_use]
    pub fn bounds(&self, timers: &Timers) -> Bounds {
        let it = &self.measured;
        let one_way = Sum::NOTHING.and(What::OneWay, it.one_way());
        let evidence = self.and_first_output(self.and_arbitration(one_way));
        let planned = match self.mode {
            Mode::Witness => self.and_witness(Sum::NOTHING),
            _ => Sum::NOTHING,
        };
        let planned = planned.and(What::OneWay, it.one_way()).and(What::Latch, it.latch_round_trip);
        let slack = self.slack();
        let beyond = planned.total().saturating_sub(slack).as_nanos();
        let release = self.mode.arbiter().binds_to_lease().then(|| {
            Sum::NOTHING
                .and(What::Lease, it.at_longest(timers.lease))
                .and_times(What::Promise, 2, it.at_longest(timers.promise))
                .and(What::Jitter, it.jitter)
        });
        Bounds {
            silent: self.silent(timers.promise),
            evidence,
            planned,
            slack,
            planned_misses: beyond.div_ceil(it.cycle.as_nanos().max(1)),
            release,
            after_release: release.map(|it| it.and_sum(&evidence)),
        }
    }

    /// How all stands that matters in this mode and is asked for, in the order of the numbers.
    pub fn findings(&self, timers: &Timers) -> impl Iterator<Item = Finding> + use<> {
        let Timers { heartbeat, misses, lease, promise } = *timers;
        let it = &self.measured;
        let silent = self.silent(promise);
        let decided = Finding::new(
            Inequality::SomebodyDecides,
            Duration::ZERO,
            if silent.is_some() { Duration::ZERO } else { Duration::MAX },
        );
        let by_time =
            |inequality, given| silent.map(|it| Finding::new(inequality, given, it.total()));
        let ordered = self.mode != Mode::Manual;
        let of_lease =
            |inequality, needed| ordered.then(|| Finding::new(inequality, lease, needed));
        let asks_time = it.hold < Duration::MAX || self.recovery_time.is_some();
        [
            ordered.then(|| {
                Finding::new(Inequality::PromiseOutlastsLease, promise, it.promise_min(lease))
            }),
            of_lease(Inequality::LeaseOutlastsLosses, self.losses(heartbeat, misses).total()),
            of_lease(
                Inequality::SuspicionBeforeLeaseEnds,
                self.suspecting(heartbeat, misses).total(),
            ),
            (asks_time || silent.is_none() && ordered).then_some(decided),
            (it.hold < Duration::MAX).then(|| self.budget(it.hold, timers)).flatten(),
            self.recovery_time.and_then(|it| by_time(Inequality::TakeoverWithinRecoveryTime, it)),
            self.recovery_point.map(|cycles| self.loss(cycles)),
        ]
        .into_iter()
        .flatten()
    }

    /// Whether all holds.
    #[must_use]
    pub fn holds(&self, timers: &Timers) -> bool {
        self.findings(timers).all(|it| it.holds)
    }

    /// (8) for an output that holds its last value for so long; none where nobody takes over.
    #[must_use]
    pub fn budget(&self, hold: Duration, timers: &Timers) -> Option<Finding> {
        let takeover = self.silent(timers.promise)?.and(What::Cycle, self.measured.cycle);
        Some(Finding::new(Inequality::TakeoverWithinHold, hold, takeover.total()))
    }

    /// What a crash may lose: with a recovery point of no cycle an output leaves when its state is
    /// with the standby, else what is on its way.
    #[must_use]
    pub fn transferring(&self, cycles: u64) -> Sum {
        let it = &self.measured;
        let way = if cycles == 0 {
            Sum::NOTHING.and(What::RoundTrip, it.round_trip)
        } else {
            Sum::NOTHING.and(What::OneWay, it.one_way())
        };
        way.and(What::Transfer, self.transfer).and(What::Jitter, it.jitter)
    }

    fn loss(&self, cycles: u64) -> Finding {
        let given =
            if cycles == 0 { self.slack() } else { self.measured.cycle.saturating_mul(cycles) };
        let needed = self.transferring(cycles).total();
        Finding::new(Inequality::LossWithinRecoveryPoint, given, needed)
    }

    /// (5), (7).
    fn silent(&self, promise: Duration) -> Option<Sum> {
        let it = &self.measured;
        let suspected = Sum::NOTHING
            .and(What::OneWay, it.one_way())
            .and(What::Promise, it.at_longest(promise))
            .and(What::Jitter, it.jitter);
        let decided = match self.mode {
            Mode::Witness => self.and_witness(suspected),
            Mode::Latch => suspected,
            Mode::Fence => {
                let seconds = self.watchdog.as_nanos().div_ceil(1_000_000_000);
                let watchdog = it.at_longest(Duration::from_secs(seconds));
                match (self.fence.max(watchdog), watchdog > self.fence) {
                    (Duration::ZERO, _) => return None,
                    (_, true) => suspected.and(What::Watchdog, watchdog),
                    (_, false) => suspected.and(What::Fence, self.fence),
                }
            }
            Mode::Manual => return None,
            Mode::SameHost => suspected.and(What::Fence, self.fence),
        };
        Some(self.and_first_output(decided))
    }

    fn and_arbitration(&self, sum: Sum) -> Sum {
        if self.mode == Mode::Witness { self.and_witness(sum) } else { sum }
    }

    fn and_witness(&self, sum: Sum) -> Sum {
        let it = &self.measured;
        sum.and_times(What::Witness, 1 + u64::from(it.witness_retries), it.witness_round_trip)
    }

    fn and_first_output(&self, sum: Sum) -> Sum {
        sum.and(What::Latch, self.measured.latch_round_trip).and(What::Cycle, self.measured.cycle)
    }

    fn given(&self, heartbeat: Duration, misses: u32) -> Self {
        let timing = Timing::Given { heartbeat, misses, lease: None, promise: None };
        Self { timing, ..*self }
    }

    fn quick(&self, misses: Option<u32>) -> Timers {
        let misses = misses.unwrap_or(MISSES_LEAST);
        self.given(self.heartbeat_min(), misses).timers()
    }

    /// The longest heartbeat with which all holds: nothing gets better by a longer one, so what
    /// holds begins at the shortest and ends somewhere.
    fn choose(&self, misses: Option<u32>) -> Option<Timers> {
        let tried = match misses {
            Some(misses) => [Some(misses), None],
            None => [Some(MISSES_DEFAULT), Some(MISSES_LEAST)],
        };
        tried.into_iter().flatten().find_map(|misses| self.choose_with(misses))
    }

    fn choose_with(&self, misses: u32) -> Option<Timers> {
        let with = |heartbeat: Duration| {
            let timers = self.given(heartbeat, misses).timers();
            self.holds(&timers).then_some(timers)
        };
        let least = self.heartbeat_min();
        let shortest = with(least)?;
        let steps = |span: Duration| span.as_nanos() / STEP.as_nanos();
        let [mut holds, mut fails] = [steps(least), steps(HEARTBEAT_MOST.max(least)) + 1];
        let mut chosen = shortest;
        while fails - holds > 1 {
            let middle = holds + (fails - holds) / 2;
            match with(STEP.saturating_mul(middle)) {
                Some(timers) => (holds, chosen) = (middle, timers),
                None => fails = middle,
            }
        }
        Some(chosen)
    }
}
