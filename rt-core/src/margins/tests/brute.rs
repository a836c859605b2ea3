//! What is proposed, against every value there is: small numbers, all of them tried.

use proptest::prelude::*;

use super::super::*;
use crate::pair::Mode;

/// Every lever is tried up to here, where all that is asked for is much less.
const TRIED: u64 = 600;

fn ns(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_nanos)
}

fn some_ns(range: std::ops::Range<u64>) -> impl Strategy<Value = Option<Duration>> {
    proptest::option::of(ns(range))
}

prop_compose! {
    fn measured()(
        jitter in ns(0..12),
        round_trip in ns(0..9),
        witness_round_trip in ns(1..9),
        witness_retries in 0u32..3,
        latch_round_trip in ns(0..5),
        cycle in ns(1..30),
        hold in prop_oneof![ns(1..200), Just(Duration::MAX)],
        drift_ppm in prop_oneof![Just(0u32), Just(500), Just(100_000)],
    ) -> Measured {
        Measured {
            jitter, round_trip, witness_round_trip, witness_retries, latch_round_trip, cycle, hold,
            drift_ppm, granularity: Duration::from_nanos(1),
        }
    }
}

fn timing() -> impl Strategy<Value = Timing> {
    let given = (ns(1..20), 0u32..5, some_ns(1..80), some_ns(1..90));
    prop_oneof![
        given.prop_map(|(heartbeat, misses, lease, promise)| Timing::Given {
            heartbeat,
            misses,
            lease,
            promise
        }),
        proptest::option::of(1u32..4).prop_map(|misses| Timing::Shortest { misses }),
    ]
}

prop_compose! {
    fn setting()(
        mode in proptest::sample::select(Mode::ALL.to_vec()),
        measured in measured(),
        fence in ns(0..40),
        transfer in ns(0..20),
        slack in some_ns(0..30),
        recovery_time in some_ns(1..150),
        recovery_point in proptest::option::of(0u64..3),
        timing in timing(),
    ) -> Setting {
        let slack = slack.map(|it| it.min(measured.cycle));
        Setting {
            mode, measured, fence, watchdog: Duration::ZERO, transfer, slack, recovery_time,
            recovery_point, heartbeat_least: Duration::from_nanos(1), timing,
        }
    }
}

fn stands(setting: &Setting, lever: Lever, value: u64, inequality: Inequality) -> bool {
    let it = lever.set(setting, value);
    it.findings(&it.timers()).find(|it| it.inequality == inequality).is_none_or(|it| it.holds)
}

/// The values that a lever may be proposed to have.
fn values(setting: &Setting, lever: Lever) -> std::ops::RangeInclusive<u64> {
    let cycle = setting.measured.cycle.as_nanos();
    match lever {
        Lever::Heartbeat => setting.heartbeat_min().as_nanos()..=TRIED,
        Lever::RecoveryPoint => 0..=TRIED,
        Lever::Slack => 0..=cycle,
        _ => 1..=TRIED,
    }
}

fn check(setting: &Setting, finding: Finding, lever: Lever) {
    let inequality = finding.inequality;
    let change = setting.change(inequality, lever);
    let stands = |value| stands(setting, lever, value, inequality);
    let Some(present) = lever.of(setting) else {
        assert_eq!(change, None, "{lever:?} is not there");
        return;
    };
    let Some(Change { direction, value, suffices, .. }) = change else {
        let found = values(setting, lever).find(|value| stands(*value));
        assert!(finding.holds || found.is_none(), "{lever:?} {found:?} was not found");
        return;
    };
    assert!(!finding.holds && stands(value), "{lever:?} {value} does not do");
    let (next, fails, all) = match direction {
        Direction::AtMost => (value + 1, value + 1..=present, 1..=value),
        Direction::AtLeast => (value - 1, present..=value - 1, value..=value.max(TRIED)),
    };
    assert!(!stands(next), "{lever:?}: {value} is not the last");
    assert!(fails.into_iter().all(|value| !stands(value)), "{lever:?} {value}");
    let allowed = values(setting, lever);
    for value in all.filter(|value| allowed.contains(value)) {
        assert!(stands(value), "{lever:?} {value} beyond what is proposed");
    }
    let changed = lever.set(setting, value);
    assert_eq!(suffices, changed.holds(&changed.timers()));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn a_proposed_value_holds_and_the_next_one_does_not(setting in setting()) {
        for finding in setting.findings(&setting.timers()) {
            for lever in Lever::ALL {
                check(&setting, finding, lever);
            }
        }
    }

    #[test]
    fn what_follows_from_a_heartbeat_is_the_shortest(setting in setting()) {
        let Timing::Given { heartbeat, misses, .. } = setting.timing else { return Ok(()) };
        let timing = Timing::Given { heartbeat, misses, lease: None, promise: None };
        let it = Setting { timing, ..setting };
        let timers = it.timers();
        let ordered = |timers: &Timers| {
            it.findings(timers).filter(|it| it.inequality.number() < 5).all(|it| it.holds)
        };
        prop_assert!(ordered(&timers));
        let less = |span: Duration| span.saturating_sub(Duration::from_nanos(1));
        if it.mode != Mode::Manual {
            let promise = Timers { promise: less(timers.promise), ..timers };
            let lease = Timers { lease: less(timers.lease), ..timers };
            prop_assert!(!ordered(&promise) && !ordered(&lease));
        }
    }

    /// Heartbeats in steps, all of them tried.
    #[test]
    fn the_heartbeat_that_is_chosen_is_the_longest(
        jitter_us in 1u64..900,
        recovery_us in 500u64..30_000,
        misses in 1u32..6,
        mode in proptest::sample::select(vec![Mode::Witness, Mode::Latch, Mode::SameHost]),
    ) {
        let us = Duration::from_micros;
        let mut it = super::settings::setting(mode);
        it.measured.jitter = us(jitter_us);
        it.fence = us(30);
        it.recovery_time = Some(us(recovery_us));
        it.timing = Timing::Chosen { misses: Some(misses) };
        let least = it.heartbeat_min();
        let steps = (1..=10_000u64).map(|step| us(10 * step)).filter(|beat| *beat > least);
        let holding = core::iter::once(least).chain(steps).filter(|heartbeat| {
            let heartbeat = *heartbeat;
            let timing = Timing::Given { heartbeat, misses, lease: None, promise: None };
            let given = Setting { timing, ..it };
            given.holds(&given.timers())
        });
        let longest = holding.max();
        let timers = it.timers();
        prop_assert_eq!(timers.heartbeat, longest.unwrap_or(least));
        prop_assert_eq!(it.holds(&timers), longest.is_some());
    }
}
