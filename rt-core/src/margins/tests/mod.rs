//! The inequalities, figure by figure.

mod brute;
mod settings;

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
    let slow = Measured { witness_round_trip: us(351), ..FAST };
    assert_eq!(stands(&slow, &timers), [true, true, false, true], "351 + 150 + 1,750 > 2,250");
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
