//! The timers of a takeover, and what has to hold between them.
//!
//! Two nodes: the *active* one drives the outputs under a lease that it renews with each heartbeat,
//! and its *standby*, which grants the lease by acknowledging it. The lease ends at the holder
//! before the grantor may give it to anybody else; the rest is that nobody is suspected for what
//! was only late. All durations are of each node's own steady clock, of which no two run at quite
//! the same rate.
//!
//! | | Holds | Or else |
//! |---|---|---|
//! | 1 | the lease counts from before its request was sent | a late answer makes it too long |
//! | 2 | promise ≥ lease × (1 + ρ) / (1 − ρ) + granularity | two owners |
//! | 3 | lease ≥ (k + 1) × heartbeat + round trip + J | k lost renewals stop the outputs |
//! | 4 | round trip + k × heartbeat + J + witness ≤ lease | they stop when the standby dies |
//! | 5 | silent crash: one way + promise / (1 − ρ) + J + witness × (1 + r) + latch + cycle | |
//! | 6 | witnessed death: one way + witness × (1 + r) + latch + cycle, of r retries | |
//! | 8 | takeover + cycle < the shortest hold time of the outputs | the plant notices |
//!
//! (1 is a rule for whoever sets the deadline, 5 and 6 are bounds, 7 is about nodes without a
//! witness and without a latch, where a watchdog in whole seconds decides: not of this page.)
//!
//! Everything is rounded so that a margin gets smaller, never larger: what has to be long is
//! rounded up. Arithmetic saturates, and what saturates holds nothing.
//!
//! Sources: C. Gray, D. Cheriton, "Leases" (SOSP 1989) for 1 and 2. (4) counts the round trip,
//! because the answer that is missed last was due that much after its request; (5) counts the
//! standby's own lateness and the retries of a lost question to the witness.

use core::fmt;

use crate::time::Duration;

/// How fast two steady clocks may drift apart each, in parts per million, where nobody says: the
/// kernel corrects CLOCK_MONOTONIC by as much.
pub const DRIFT_PPM_DEFAULT: u32 = 500;

/// What was measured, and what the plant allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Measured {
    /// J: how late a node sends or looks at most, on the worse of the two.
    pub jitter: Duration,
    /// From sending a heartbeat to having its answer, at most, on the worse of the LANs that have
    /// to do: half of it is taken for one way.
    pub round_trip: Duration,
    /// The same of a question to the witness, with all that it does before it answers; zero where
    /// none is asked.
    pub witness_round_trip: Duration,
    /// Questions to the witness that may be lost.
    pub witness_retries: u32,
    /// The same of a claim at the outputs' latches; zero where there are none.
    pub latch_round_trip: Duration,
    /// Of the controller.
    pub cycle: Duration,
    /// The shortest time for which an output holds its last value.
    pub hold: Duration,
    /// ρ: how far off a steady clock's rate may be, in parts per million.
    pub drift_ppm: u32,
    /// Of the clock that deadlines are compared with.
    pub granularity: Duration,
}

/// The timers that are chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timers {
    /// From one heartbeat to the next, each a request for the lease.
    pub heartbeat: Duration,
    /// k: heartbeats in a row that may be lost.
    pub misses: u32,
    /// At its holder.
    pub lease: Duration,
    /// Before its end the grantor gives the lease to nobody else.
    pub promise: Duration,
}

/// Something that has to hold between timers and measurements.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Inequality {
    /// 2: the promise outlasts the lease on any two clocks.
    PromiseOutlastsLease,
    /// 3: the lease outlasts `k` lost renewals.
    LeaseOutlastsLosses,
    /// 4: the active node asks the witness before its lease ends, when the standby is silent.
    SuspicionBeforeLeaseEnds,
    /// 8: a takeover is over before an output falls back.
    TakeoverWithinHold,
}

/// How an inequality stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Which.
    pub inequality: Inequality,
    /// What has to be at least, or with [`Inequality::TakeoverWithinHold`] more than, `needed`.
    pub given: Duration,
    /// What it takes.
    pub needed: Duration,
    /// Whether it holds.
    pub holds: bool,
}

impl Inequality {
    /// Its number in the module's table.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::PromiseOutlastsLease => 2,
            Self::LeaseOutlastsLosses => 3,
            Self::SuspicionBeforeLeaseEnds => 4,
            Self::TakeoverWithinHold => 8,
        }
    }

    const fn sides(self) -> (&'static str, &'static str) {
        match self {
            Self::PromiseOutlastsLease => ("the promise", "the lease on the slower clock"),
            Self::LeaseOutlastsLosses => ("the lease", "the renewals that may be lost"),
            Self::SuspicionBeforeLeaseEnds => ("the lease", "suspecting and asking the witness"),
            Self::TakeoverWithinHold => ("the outputs' hold time", "a takeover and a cycle"),
        }
    }
}

impl Finding {
    /// By how much it holds, or fails.
    #[must_use]
    pub const fn margin(&self) -> Duration {
        let (more, less) = if self.given.as_nanos() >= self.needed.as_nanos() {
            (self.given, self.needed)
        } else {
            (self.needed, self.given)
        };
        more.saturating_sub(less)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (given, needed) = self.inequality.sides();
        let verb = if self.holds { "outlasts" } else { "does not outlast" };
        let Self { given: is, needed: takes, .. } = self;
        write!(f, "({}) {given} ({is}) {verb} {needed} ({takes})", self.inequality.number())
    }
}

impl Measured {
    /// Half a round trip, rounded up.
    const fn one_way(&self) -> Duration {
        Duration::from_nanos(self.round_trip.as_nanos().div_ceil(2))
    }

    /// A span of a clock that is as slow as may be, on one that is right, rounded up.
    fn at_longest(&self, span: Duration) -> Duration {
        scaled(span, 1_000_000, 1_000_000u64.saturating_sub(self.drift_ppm.into()))
    }

    fn witness(&self) -> Duration {
        self.witness_round_trip.saturating_mul(1 + u64::from(self.witness_retries))
    }

    /// The shortest heartbeat that a node can keep: the latest beat has gone out and its answer has
    /// come before the next one is due.
    #[must_use]
    pub fn heartbeat_min(&self) -> Duration {
        self.jitter + self.round_trip
    }

    /// (2) The shortest promise for a lease.
    #[must_use]
    pub fn promise_min(&self, lease: Duration) -> Duration {
        let drift = u64::from(self.drift_ppm);
        let slowest = 1_000_000u64.saturating_sub(drift);
        scaled(lease, 1_000_000 + drift, slowest) + self.granularity
    }

    /// When a peer that is silent is suspected: so long after the last heartbeat that was expected
    /// of it.
    #[must_use]
    pub fn suspicion(&self, heartbeat: Duration, misses: u32) -> Duration {
        heartbeat.saturating_mul(u64::from(misses)) + self.jitter
    }

    /// (3) The shortest lease that outlasts lost renewals.
    #[must_use]
    pub fn lease_for_losses(&self, heartbeat: Duration, misses: u32) -> Duration {
        heartbeat.saturating_mul(u64::from(misses) + 1) + self.round_trip + self.jitter
    }

    /// (4) The shortest lease under which the witness answers before its end.
    #[must_use]
    pub fn lease_for_suspicion(&self, heartbeat: Duration, misses: u32) -> Duration {
        self.round_trip + self.suspicion(heartbeat, misses) + self.witness()
    }

    /// (5) From a silent crash to the first output of the next owner, at most.
    #[must_use]
    pub fn takeover_after_silence(&self, promise: Duration) -> Duration {
        self.one_way() + self.at_longest(promise) + self.jitter + self.takeover_by_evidence()
    }

    /// (6) The same after a death that somebody saw: the kernel of the same host, or a last word.
    #[must_use]
    pub fn takeover_after_evidence(&self) -> Duration {
        self.one_way() + self.takeover_by_evidence()
    }

    fn takeover_by_evidence(&self) -> Duration {
        self.witness() + self.latch_round_trip + self.cycle
    }

    /// The shortest timers for a heartbeat of which `misses` in a row may be lost.
    #[must_use]
    pub fn timers(&self, heartbeat: Duration, misses: u32) -> Timers {
        let losses = self.lease_for_losses(heartbeat, misses);
        let lease = losses.max(self.lease_for_suspicion(heartbeat, misses));
        Timers { heartbeat, misses, lease, promise: self.promise_min(lease) }
    }

    /// How all inequalities stand, in the order of their numbers.
    #[must_use]
    pub fn findings(&self, timers: &Timers) -> [Finding; 4] {
        let Timers { heartbeat, misses, lease, promise } = *timers;
        let holds = |inequality, given: Duration, needed: Duration| {
            let strictly = inequality == Inequality::TakeoverWithinHold;
            // What saturated is no figure.
            let is_so =
                needed < Duration::MAX && if strictly { needed < given } else { needed <= given };
            Finding { inequality, given, needed, holds: is_so }
        };
        let takeover = self.takeover_after_silence(promise) + self.cycle;
        [
            holds(Inequality::PromiseOutlastsLease, promise, self.promise_min(lease)),
            holds(Inequality::LeaseOutlastsLosses, lease, self.lease_for_losses(heartbeat, misses)),
            holds(
                Inequality::SuspicionBeforeLeaseEnds,
                lease,
                self.lease_for_suspicion(heartbeat, misses),
            ),
            holds(Inequality::TakeoverWithinHold, self.hold, takeover),
        ]
    }
}

/// A span times a ratio, rounded up; all there is where that is too much, or the ratio is none.
fn scaled(span: Duration, by: u64, of: u64) -> Duration {
    if of == 0 {
        return Duration::MAX;
    }
    let product = u128::from(span.as_nanos()) * u128::from(by);
    Duration::from_nanos(u64::try_from(product.div_ceil(u128::from(of))).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn us(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    /// A controller of 1 ms on two industrial computers.
    const FAST: Measured = Measured {
        jitter: us(150),
        round_trip: us(100),
        witness_round_trip: us(250),
        witness_retries: 0,
        latch_round_trip: us(100),
        cycle: us(1_000),
        hold: us(12_000),
        drift_ppm: DRIFT_PPM_DEFAULT,
        granularity: Duration::from_nanos(1),
    };

    fn stands(measured: &Measured, timers: &Timers) -> [bool; 4] {
        measured.findings(timers).map(|it| it.holds)
    }

    #[test]
    fn the_timers_of_a_fast_pair_take_over_in_some_milliseconds() {
        let timers = FAST.timers(us(500), 3);
        assert_eq!(timers.lease, us(2_250), "(3) asks for more than (4)");
        // 2,250 µs × 1,000,500 / 999,500, rounded up, and a nanosecond.
        assert_eq!(timers.promise, Duration::from_nanos(2_252_252 + 1));
        let silent = FAST.takeover_after_silence(timers.promise);
        // 50 + 2,253.38 + 150 + 250 + 100 + 1,000 µs
        assert_eq!(silent, Duration::from_nanos(3_803_380));
        assert_eq!(FAST.takeover_after_evidence(), us(1_400));
        assert_eq!(stands(&FAST, &timers), [true; 4]);
    }

    #[test]
    fn each_inequality_fails_by_the_least_that_is_too_little() {
        let nanosecond = Duration::from_nanos(1);
        let timers = FAST.timers(us(500), 3);
        let short = Timers { promise: timers.promise.saturating_sub(nanosecond), ..timers };
        assert_eq!(stands(&FAST, &short), [false, true, true, true]);
        assert_eq!(FAST.findings(&short)[0].margin(), nanosecond);
        let lease = timers.lease.saturating_sub(nanosecond);
        let short = Timers { lease, promise: timers.promise, ..timers };
        assert_eq!(stands(&FAST, &short), [true, false, true, true]);
        let slow = Measured { witness_round_trip: us(501), ..FAST };
        assert_eq!(stands(&slow, &timers), [true, true, false, true], "501 + 100 + 1,650 > 2,250");
        let hold = FAST.takeover_after_silence(timers.promise) + FAST.cycle;
        assert_eq!(stands(&Measured { hold, ..FAST }, &timers), [true, true, true, false]);
        let hold = hold + nanosecond;
        assert_eq!(stands(&Measured { hold, ..FAST }, &timers), [true; 4]);
    }

    #[test]
    fn the_shortest_timers_hold_whatever_was_measured() {
        let spans = [0, 1, 999, 50_000, 3_000_000, 7_777_777_777].map(Duration::from_nanos);
        for jitter in spans {
            for round_trip in spans {
                for witness_round_trip in spans {
                    for (heartbeat, misses) in [(us(250), 2), (us(1), 0), (us(10_000), 9)] {
                        let measured = Measured {
                            jitter,
                            round_trip,
                            witness_round_trip,
                            witness_retries: 2,
                            hold: Duration::from_secs(3_600),
                            ..FAST
                        };
                        let timers = measured.timers(heartbeat, misses);
                        let found = stands(&measured, &timers);
                        assert_eq!(found, [true; 4], "{measured:?} {timers:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_promise_outlasts_its_lease_on_the_worst_two_clocks() {
        for lease_ns in [1, 2, 1_000, 999_999_999, 123_456_789_012] {
            for drift_ppm in [0, 1, 500, 100_000] {
                let measured = Measured { drift_ppm, ..FAST };
                let promise = measured.promise_min(Duration::from_nanos(lease_ns)).as_nanos();
                // The holder's clock is slow: it sees the end late. The grantor's is fast.
                let drift = u128::from(drift_ppm);
                let (slow, fast) = (1_000_000 - drift, 1_000_000 + drift);
                assert!(
                    u128::from(promise) * slow >= u128::from(lease_ns) * fast,
                    "{promise} ns for {lease_ns} ns at {drift_ppm} ppm"
                );
            }
        }
    }

    #[test]
    fn what_is_too_much_to_be_told_holds_nothing() {
        let endless = Measured { jitter: Duration::MAX, hold: Duration::MAX, ..FAST };
        let timers = endless.timers(us(500), 3);
        assert_eq!(stands(&endless, &timers), [false; 4]);
        let wild = Measured { drift_ppm: 1_000_000, ..FAST };
        assert_eq!(wild.promise_min(us(1)), Duration::MAX, "a clock that may stand still");
        let none = Measured { drift_ppm: u32::MAX, ..FAST };
        assert!(!none.findings(&none.timers(us(500), 3))[0].holds);
    }

    #[test]
    fn a_finding_names_both_sides_and_their_lengths() {
        let timers = Timers { lease: us(2_000), ..FAST.timers(us(500), 3) };
        let said = FAST.findings(&timers)[1].to_string();
        let expected = "(3) the lease (2000.0 µs) does not outlast the renewals that may be lost \
                        (2250.0 µs)";
        assert_eq!(said, expected);
    }
}
