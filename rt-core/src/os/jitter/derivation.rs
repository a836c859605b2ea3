//! From recordings and what a plant asks for to timers, and to what they rest on.

use super::super::tail::Policy;
use super::bound::{Bound, Method, Recorded};
use super::silence::{Apart, LanRecorded, Silence};
use crate::margins::{Finding, HEARTBEAT_LEAST, Measured, Timers};
use crate::time::Duration;

/// All that was recorded.
#[derive(Clone, Debug)]
pub struct Input {
    /// Of each host its name and the lateness of its threads; one stands for both if both are
    /// alike.
    pub hosts: Vec<(String, Vec<Recorded>)>,
    /// The round trips on LAN A and on LAN B.
    pub lans: [Vec<LanRecorded>; 2],
}

/// What a plant asks for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Goal {
    /// The cycle of the controller.
    pub cycle: Duration,
    /// For how long the outputs hold their last value, at least.
    pub hold: Duration,
    /// A question to the witness; zero where none is asked.
    pub witness_round_trip: Duration,
    /// Questions to the witness that may be lost.
    pub witness_retries: u32,
    /// A claim at the outputs' latches; zero where there are none.
    pub latch_round_trip: Duration,
    /// How far off the rate of a clock may be.
    pub drift_ppm: u32,
    /// k: beats in a row that may be lost.
    pub misses: u32,
    /// The heartbeat; `None`: it is proposed.
    pub heartbeat: Option<Duration>,
    /// The mean time between false suspicions that is wanted; `None`: as long as can be supported.
    pub between: Option<Duration>,
    /// How tails are looked at.
    pub policy: Policy,
}

/// The heartbeat and how it was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heartbeat {
    /// From one beat to the next.
    pub interval: Duration,
    /// The shortest that the hosts can keep.
    pub least: Duration,
    /// Whether it was asked for.
    pub is_given: bool,
}

/// What follows for one host.
#[derive(Clone, Debug)]
pub struct OfHost {
    /// Its name.
    pub name: String,
    /// A bound for each series, at least one.
    pub bounds: Vec<Bound>,
    /// How often its stalls alone make it falsely suspected.
    pub apart: Apart,
}

/// What follows for one LAN.
#[derive(Clone, Debug)]
pub struct OfLan {
    /// A bound of the round trip for each series, at least one.
    pub bounds: Vec<Bound>,
    /// Beats that were sent, and those that had no answer.
    pub cycles: u64,
    /// See `cycles`.
    pub lost: u64,
    /// How often this LAN alone is silent for too long.
    pub apart: Apart,
}

/// What follows from all.
#[derive(Clone, Debug)]
pub struct Derivation {
    /// As they were given.
    pub hosts: Vec<OfHost>,
    /// LAN A and LAN B.
    pub lans: [OfLan; 2],
    /// What the timers are reckoned with.
    pub measured: Measured,
    /// See [`Heartbeat`].
    pub heartbeat: Heartbeat,
    /// The shortest timers.
    pub timers: Timers,
    /// After so long a silence a peer is suspected.
    pub suspicion: Duration,
    /// How the inequalities stand.
    pub findings: [Finding; 4],
    /// From a silent crash to the next owner's first output, at most.
    pub after_silence: Duration,
    /// The same of a death that was seen.
    pub after_evidence: Duration,
    /// The same timers with other heartbeats, the shortest first.
    pub others: Vec<(Timers, Duration, bool)>,
    /// The mean time between false suspicions while both LANs work.
    pub with_both: Apart,
    /// The same while only the worse LAN is left.
    pub with_one: Apart,
}

/// Something without which nothing follows.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Absent {
    /// No host.
    #[error("no host's lateness was given")]
    Hosts,
    /// A host without a series.
    #[error("host {name:?}: no lateness was recorded")]
    Lateness {
        /// Its name.
        name: String,
    },
    /// A LAN without a series.
    #[error("LAN {lan}: no round trip was recorded")]
    RoundTrip {
        /// `A` or `B`.
        lan: char,
    },
}

/// Derives.
///
/// # Errors
/// See [`Absent`].
pub fn derive(input: &Input, goal: &Goal) -> Result<Derivation, Absent> {
    let horizon = goal.between.unwrap_or(Duration::MAX);
    let bound = |it: &Recorded| Bound::of(it, horizon, &goal.policy);
    let mut hosts = Vec::new();
    for (name, recorded) in &input.hosts {
        let bounds: Vec<Bound> = recorded.iter().map(bound).collect();
        let worst = Bound::worst(&bounds);
        let worst = worst.ok_or_else(|| Absent::Lateness { name: name.clone() })?;
        hosts.push((name, recorded, worst.used(), bounds));
    }
    let jitter = hosts.iter().map(|it| it.2).max().ok_or(Absent::Hosts)?;
    let mut lans = Vec::new();
    for (recorded, lan) in input.lans.iter().zip(['A', 'B']) {
        let bounds: Vec<Bound> = recorded.iter().map(|it| bound(&it.recorded)).collect();
        let worst = Bound::worst(&bounds).ok_or(Absent::RoundTrip { lan })?;
        lans.push((recorded, worst.used(), bounds));
    }
    let round_trip = lans.iter().map(|it| it.1).max().unwrap_or_default();
    let measured = Measured {
        jitter,
        round_trip,
        witness_round_trip: goal.witness_round_trip,
        witness_retries: goal.witness_retries,
        latch_round_trip: goal.latch_round_trip,
        cycle: goal.cycle,
        hold: goal.hold,
        drift_ppm: goal.drift_ppm,
        granularity: Duration::from_nanos(1),
    };
    let heartbeat = heartbeat(&measured, goal, input.period_max());
    let interval = heartbeat.interval;
    let timers = measured.timers(interval, goal.misses);
    let least = input.lans.iter().flatten().map(|it| it.least).min().unwrap_or_default();
    let silence = Silence {
        heartbeat: interval,
        misses: goal.misses,
        jitter,
        spread: round_trip.saturating_sub(least),
    };
    let hosts = hosts.into_iter().map(|(name, recorded, _, bounds)| {
        let tails = bounds.iter().map(|it| it.analysis.extrapolation.as_ref().ok());
        let each = recorded.iter().zip(tails).map(|(it, tail)| silence.of_thread(it, tail));
        let apart = Apart::worst(each).unwrap_or(Apart::AtLeast(Duration::ZERO));
        OfHost { name: name.clone(), bounds, apart }
    });
    let hosts: Vec<OfHost> = hosts.collect();
    let lans = lans.into_iter().map(|(recorded, _, bounds)| OfLan {
        bounds,
        cycles: recorded.iter().map(|it| it.recorded.series.cycles()).sum(),
        lost: recorded.iter().map(|it| it.lost).sum(),
        apart: Apart::worst(recorded.iter().map(|it| silence.of_lan(it)))
            .unwrap_or(Apart::AtLeast(Duration::ZERO)),
    });
    let lans: Vec<OfLan> = lans.collect();
    let lans: [OfLan; 2] = lans.try_into().map_err(|_| Absent::RoundTrip { lan: 'B' })?;
    let [with_both, with_one] = together(&hosts, &lans);
    Ok(Derivation {
        measured,
        heartbeat,
        timers,
        suspicion: measured.suspicion(interval, goal.misses),
        findings: measured.findings(&timers),
        after_silence: measured.takeover_after_silence(timers.promise),
        after_evidence: measured.takeover_after_evidence(),
        others: others(&measured, goal),
        with_both,
        with_one,
        hosts,
        lans,
    })
}

/// The mean time between false suspicions with both LANs, and with the worse one only. One host
/// stands for both.
fn together(hosts: &[OfHost], lans: &[OfLan; 2]) -> [Apart; 2] {
    let mut causes: Vec<Apart> = hosts.iter().map(|it| it.apart).collect();
    if let [only] = *causes {
        causes.push(only);
    }
    let of_lans = || lans.iter().map(|it| it.apart);
    [Apart::best(of_lans()), Apart::worst(of_lans())].map(|lan| {
        let all: Vec<Apart> = causes.iter().copied().chain(lan).collect();
        Apart::together(&all)
    })
}

/// A quarter, half, once, twice … the controller's cycle: the shortest of them that can be kept,
/// and that is no shorter than what was recorded. (Of shorter ones the recordings say little.)
fn heartbeat(measured: &Measured, goal: &Goal, recorded: Duration) -> Heartbeat {
    let least = measured.heartbeat_min();
    if let Some(interval) = goal.heartbeat {
        return Heartbeat { interval, least, is_given: true };
    }
    let enough = least.max(HEARTBEAT_LEAST).max(recorded);
    let quarter_ns = goal.cycle.as_nanos().max(4) / 4;
    let steps = (0..u64::BITS)
        .map(|doublings| Duration::from_nanos(quarter_ns).saturating_mul(1 << doublings));
    let interval = steps.into_iter().find(|it| *it >= enough).unwrap_or(Duration::MAX);
    Heartbeat { interval, least, is_given: false }
}

fn others(measured: &Measured, goal: &Goal) -> Vec<(Timers, Duration, bool)> {
    let cycle_ns = goal.cycle.as_nanos();
    [cycle_ns / 4, cycle_ns / 2, cycle_ns, cycle_ns.saturating_mul(2), cycle_ns.saturating_mul(4)]
        .map(|heartbeat_ns| {
            let timers = measured.timers(Duration::from_nanos(heartbeat_ns), goal.misses);
            let holds = measured.findings(&timers).iter().all(|it| it.holds);
            (timers, measured.takeover_after_silence(timers.promise), holds)
        })
        .to_vec()
}

impl Input {
    /// The longest period of all that was recorded.
    #[must_use]
    pub fn period_max(&self) -> Duration {
        let hosts = self.hosts.iter().flat_map(|it| &it.1);
        let lans = self.lans.iter().flatten().map(|it| &it.recorded);
        hosts.chain(lans).map(|it| it.period).max().unwrap_or_default()
    }
}

impl Derivation {
    /// Whether all inequalities hold.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.findings.iter().all(|it| it.holds)
    }

    /// The host whose lateness is the greatest.
    #[must_use]
    pub fn worst_host(&self) -> Option<&OfHost> {
        self.hosts.iter().max_by_key(|it| it.used())
    }
}

impl OfHost {
    /// The bound of its worst series.
    #[must_use]
    pub fn used(&self) -> Duration {
        Bound::worst(&self.bounds).map_or(Duration::ZERO, Bound::used)
    }

    /// Where that comes from.
    #[must_use]
    pub fn method(&self) -> Method {
        Bound::worst(&self.bounds).map_or(Method::Empirical, Bound::method)
    }

    /// For how long its bounds hold: the shortest of their horizons.
    #[must_use]
    pub fn horizon(&self) -> Duration {
        self.bounds.iter().map(Bound::horizon).min().unwrap_or_default()
    }
}

impl OfLan {
    /// The bound of its worst series.
    #[must_use]
    pub fn used(&self) -> Duration {
        Bound::worst(&self.bounds).map_or(Duration::ZERO, Bound::used)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::recorder::{Plan, Recorder};
    use super::super::super::tail::{Exceedances, Peak};
    use super::*;
    use crate::margins::DRIFT_PPM_DEFAULT;
    use crate::time::Instant;

    const fn us(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    /// 500 s at 250 µs, and few late cycles: the largest is late by `largest_ns`.
    fn host(name: &str, largest_ns: u64) -> (String, Vec<Recorded>) {
        let late = [(5, 20_000), (1_000_000, largest_ns)];
        let peaks = late.map(|(cycle, late_ns)| Peak { cycle, late_ns }).to_vec();
        let series = Exceedances::new(2_000_000, 10_000, peaks).unwrap();
        (name.to_owned(), vec![Recorded { name: "cpu 1".to_owned(), period: us(250), series }])
    }

    fn lan(largest: Duration) -> LanRecorded {
        let mut recorder = Recorder::new(Plan::new(Instant::ORIGIN, us(250))).unwrap();
        for cycle in 0..2_000u64 {
            let planned = Instant::ORIGIN + us(250 * cycle);
            recorder.record_span(planned, if cycle == 7 { largest } else { us(30) });
        }
        let recording = recorder.finish();
        LanRecorded {
            recorded: Recorded {
                name: "lan a".to_owned(),
                period: us(250),
                series: Exceedances::try_from(&recording).unwrap(),
            },
            least: us(30),
            lost: 0,
            rows: recording.totals.run_lengths.rungs.clone(),
            lost_by_time: recording.timeline.slots.iter().map(|it| it.lost).collect(),
        }
    }

    const GOAL: Goal = Goal {
        cycle: us(1_000),
        hold: us(12_000),
        witness_round_trip: us(250),
        witness_retries: 0,
        latch_round_trip: us(100),
        drift_ppm: DRIFT_PPM_DEFAULT,
        misses: 3,
        heartbeat: None,
        between: None,
        policy: Policy { seed: 1, resamples: 199, quantile_min: 0.95 },
    };

    fn input() -> Input {
        Input {
            hosts: vec![host("a", 125_000), host("b", 90_000)],
            lans: [vec![lan(us(50))], vec![lan(us(75))]],
        }
    }

    /// Every figure by hand.
    #[test]
    fn a_pair_is_derived_in_full() {
        let found = derive(&input(), &GOAL).unwrap();
        // J: 1.2 × 125 µs of host a, which covers a third of 500 s; the tail is too thin.
        assert_eq!(found.measured.jitter, us(150));
        assert_eq!(found.worst_host().unwrap().name, "a");
        assert_eq!(found.hosts[1].used(), us(108));
        assert_eq!(found.hosts[0].horizon(), Duration::from_nanos(166_666_500_000));
        // The worse LAN: 1.2 × 75 µs.
        assert_eq!((found.measured.round_trip, found.lans[0].used()), (us(90), us(60)));
        // J and the round trip are 240 µs: a quarter of the cycle is enough.
        assert_eq!((found.heartbeat.interval, found.heartbeat.least), (us(250), us(240)));
        // (3) 4 × 250 + 90 + 150 = 1,240; (4) 90 + 3 × 250 + 2 × 150 + 250 = 1,390 µs.
        assert_eq!((found.suspicion, found.timers.lease), (us(900), us(1_390)));
        // 1,390,000 × 1,000,500 / 999,500 = 1,391,390.6…, rounded up, and a nanosecond.
        assert_eq!(found.timers.promise, Duration::from_nanos(1_391_392));
        // 45 + 1,392.089 (the promise on a slow clock, rounded up) + 150 + 250 + 100 + 1,000 µs.
        assert_eq!(found.after_silence, Duration::from_nanos(2_937_089));
        assert_eq!(found.after_evidence, us(1_395));
        assert!(found.holds());
        // 12,000 − 2,937.089 − 1,000
        assert_eq!(found.findings[3].margin(), Duration::from_nanos(8_062_911));
        // Nothing was as late as 3 × 250 + 150 − (90 − 30) µs: 2,000,000 / −ln 0.05 cycles.
        let stalls = Apart::AtLeast(us(250).saturating_mul(667_616));
        assert_eq!([found.hosts[0].apart, found.hosts[1].apart], [stalls; 2]);
        // The LANs were asked 2,000 times each.
        let silent = Apart::AtLeast(us(250).saturating_mul(667));
        assert_eq!([found.lans[0].apart, found.lans[1].apart], [silent; 2]);
        // 1 / (2 / 166.904 + 1 / 0.16675) s = 166,417.5 µs
        let Apart::AtLeast(together) = found.with_both else { panic!() };
        assert_eq!((together.as_micros(), found.with_one), (166_417, found.with_both));
    }

    #[test]
    fn a_heartbeat_can_be_asked_for_and_is_never_proposed_shorter_than_recorded() {
        let goal = Goal { heartbeat: Some(us(1_000)), ..GOAL };
        let found = derive(&input(), &goal).unwrap();
        assert!(found.heartbeat.is_given && found.others.len() == 5);
        assert_eq!((found.others[2].0, found.others[0].2), (found.timers, true));
        let quick = Goal { cycle: us(400), ..GOAL };
        assert_eq!(derive(&input(), &quick).unwrap().heartbeat.interval, us(400));
        // 125 µs of recorded beats: now J and the round trip decide, and 4,000 beats a second.
        let mut fine = input();
        fine.hosts.iter_mut().for_each(|it| it.1[0].period = us(125));
        fine.lans.iter_mut().for_each(|it| it[0].recorded.period = us(125));
        assert_eq!(derive(&fine, &quick).unwrap().heartbeat.interval, us(400));
        assert_eq!(derive(&fine, &GOAL).unwrap().heartbeat.interval, us(250));
    }

    #[test]
    fn one_host_stands_for_both_and_counts_twice() {
        let alone = Input { hosts: vec![host("a", 125_000)], ..input() };
        let both = Input { hosts: vec![host("a", 125_000), host("b", 125_000)], ..input() };
        let [alone, both] = [alone, both].map(|it| derive(&it, &GOAL).unwrap());
        assert_eq!(alone.with_both, both.with_both);
        assert_eq!(alone.timers, both.timers);
    }

    #[test]
    fn without_one_of_them_nothing_follows() {
        let refused = |input: &Input| derive(input, &GOAL).unwrap_err();
        let none = Input { hosts: Vec::new(), ..input() };
        assert_eq!(refused(&none), Absent::Hosts);
        let silent = Input { hosts: vec![("a".to_owned(), Vec::new())], ..input() };
        assert_eq!(refused(&silent), Absent::Lateness { name: "a".to_owned() });
        let [a, _] = input().lans;
        let torn = Input { lans: [a, Vec::new()], ..input() };
        assert_eq!(refused(&torn), Absent::RoundTrip { lan: 'B' });
    }

    #[test]
    fn a_slow_host_gets_beats_that_it_can_keep() {
        let slow = Input { hosts: vec![host("a", 20_000_000)], ..input() };
        let found = derive(&slow, &GOAL).unwrap();
        // 24 ms and 0.09 ms: 250 µs doubled seven times.
        assert_eq!(found.heartbeat.interval, us(32_000));
        assert!(!found.findings[3].holds, "the outputs fall back before the takeover");
        let endless = Input { hosts: vec![host("a", u64::MAX)], ..input() };
        assert!(!derive(&endless, &GOAL).unwrap().holds());
    }
}
