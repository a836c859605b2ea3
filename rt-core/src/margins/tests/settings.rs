//! A pair as a whole, by mode: every figure by hand.

use super::super::*;
use super::{FAST, us};
use crate::pair::Mode;

const fn ns(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

pub(super) const fn setting(mode: Mode) -> Setting {
    Setting {
        mode,
        measured: FAST,
        fence: Duration::ZERO,
        watchdog: Duration::ZERO,
        transfer: Duration::ZERO,
        slack: None,
        recovery_time: None,
        recovery_point: None,
        heartbeat_least: HEARTBEAT_LEAST,
        timing: Timing::Given { heartbeat: us(500), misses: 3, lease: None, promise: None },
    }
}

fn silent_ns(it: &Setting) -> Option<u64> {
    Some(it.bounds(&it.timers()).silent?.total().as_nanos())
}

fn failed(it: &Setting) -> Vec<u8> {
    let found = it.findings(&it.timers()).filter(|it| !it.holds);
    found.map(|it| it.inequality.number()).collect()
}

#[test]
fn with_a_witness_it_is_what_was_reckoned_before() {
    let it = setting(Mode::Witness);
    let timers = it.timers();
    assert_eq!(timers, FAST.timers(us(500), 3));
    let plain: Vec<Finding> = FAST.findings(&timers).to_vec();
    let found = it.findings(&timers).filter(|it| it.inequality != Inequality::SomebodyDecides);
    assert_eq!(found.collect::<Vec<_>>(), plain);
    let bounds = it.bounds(&timers);
    assert_eq!(bounds.silent.unwrap().total(), FAST.takeover_after_silence(timers.promise));
    assert_eq!(bounds.evidence.total(), FAST.takeover_after_evidence());
    // 250 + 50 + 100 µs, in 1,000 − 150.
    assert_eq!((bounds.planned.total(), bounds.slack), (us(400), us(850)));
    assert_eq!(bounds.planned_misses, 0);
    // 2,251.126 (2,250 µs on a slow clock) + 2 × 2,253.380 + 150 µs
    let release = bounds.release.unwrap().total();
    assert_eq!(release, ns(2_251_126 + 2 * 2_253_380 + 150_000));
    assert_eq!(bounds.after_release.unwrap().total(), release + us(1_400));
}

#[test]
fn who_decides_is_counted_where_it_does() {
    let promise = 50_000 + 2_253_380 + 150_000;
    let outputs = 100_000 + 1_000_000;
    assert_eq!(silent_ns(&setting(Mode::Witness)), Some(promise + 250_000 + outputs));
    // A latch is claimed once, and the witness's round trip is of no matter.
    assert_eq!(silent_ns(&setting(Mode::Latch)), Some(promise + outputs));
    assert_eq!(silent_ns(&setting(Mode::Manual)), None);
    let host = Setting { fence: us(40), ..setting(Mode::SameHost) };
    assert_eq!(silent_ns(&host), Some(promise + 40_000 + outputs));
    let off = Setting { fence: us(900), ..setting(Mode::Fence) };
    assert_eq!(silent_ns(&off), Some(promise + 900_000 + outputs));
    // Begun seconds are whole ones, on a slow clock: 2 s / 0.9995, rounded up.
    let dog = Setting { watchdog: us(1_000_001), ..off };
    assert_eq!(silent_ns(&dog), Some(promise + 2_001_000_501 + outputs));
    // By evidence nobody is asked but the witness.
    for mode in [Mode::Latch, Mode::Fence, Mode::Manual, Mode::SameHost] {
        let it = setting(mode);
        assert_eq!(it.bounds(&it.timers()).evidence.total(), us(1_150), "{mode}");
    }
}

#[test]
fn the_active_node_asks_latches_before_its_lease_ends() {
    let mut it = setting(Mode::Latch);
    it.measured.latch_round_trip = us(900);
    // (4) 100 + 1,500 + 2 × 150 + 900 µs is more than (3).
    assert_eq!(it.timers().lease, us(2_800));
    it.mode = Mode::Witness;
    assert_eq!(it.timers().lease, us(2_250), "a tenure's latches are claimed already");
    it.mode = Mode::Fence;
    assert_eq!(it.timers().lease, us(2_250));
}

#[test]
fn without_anybody_who_decides_nobody_takes_over() {
    assert_eq!(failed(&setting(Mode::Manual)), [7]);
    assert_eq!(failed(&setting(Mode::Fence)), [7], "nothing switches the peer off");
    let unasked = Measured { hold: Duration::MAX, ..FAST };
    let it = Setting { measured: unasked, ..setting(Mode::Manual) };
    assert_eq!(failed(&it), [0; 0], "and nobody asked for it");
    let it = Setting { recovery_time: Some(us(1)), ..it };
    assert_eq!(failed(&it), [7]);
    for lever in Lever::ALL {
        assert_eq!(it.change(Inequality::SomebodyDecides, lever), None);
    }
}

#[test]
fn a_planned_switchover_misses_the_cycles_that_it_does_not_fit_in() {
    let mut it = setting(Mode::Witness);
    let misses = |it: &Setting| it.bounds(&it.timers()).planned_misses;
    it.slack = Some(us(400));
    assert_eq!(misses(&it), 0);
    it.slack = Some(us(399));
    assert_eq!(misses(&it), 1);
    it.measured.witness_round_trip = us(1_250);
    assert_eq!(misses(&it), 2, "1,400 µs, 399 of them free");
    it.measured.cycle = Duration::ZERO;
    assert!(misses(&it) > 0, "no division by nothing");
}

#[test]
fn a_recovery_point_of_nothing_waits_for_the_standby() {
    let mut it = setting(Mode::Witness);
    it.recovery_point = Some(0);
    it.transfer = us(600);
    // 100 + 600 + 150 of 850 µs.
    assert_eq!(failed(&it), [0; 0]);
    it.transfer = us(601);
    assert_eq!(failed(&it), [10]);
    let change = it.change(Inequality::LossWithinRecoveryPoint, Lever::Transfer).unwrap();
    assert_eq!((change.value, change.direction), (600_000, Direction::AtMost));
    let change = it.change(Inequality::LossWithinRecoveryPoint, Lever::Cycle).unwrap();
    assert_eq!((change.value, change.direction), (1_001_000, Direction::AtLeast));
    let change = it.change(Inequality::LossWithinRecoveryPoint, Lever::RecoveryPoint).unwrap();
    assert_eq!((change.value, change.direction, change.suffices), (1, Direction::AtLeast, true));
}

#[test]
fn the_longest_heartbeat_is_chosen_with_which_all_holds() {
    let it = Setting { timing: Timing::Chosen { misses: None }, ..setting(Mode::Witness) };
    let within = |recovery| {
        let it = Setting { recovery_time: Some(recovery), ..it };
        (it.timers(), it)
    };
    let (timers, asked) = within(us(10_000));
    assert_eq!(timers.misses, 3);
    assert!(asked.holds(&timers));
    let longer = Timing::Given {
        heartbeat: timers.heartbeat + us(10),
        misses: 3,
        lease: None,
        promise: None,
    };
    let longer = Setting { timing: longer, ..asked };
    assert!(!longer.holds(&longer.timers()), "{timers:?}");
    // Three misses: (4) 100 + 750 + 300 + 250 = 1,400 µs, and 1,550 µs and drift to that. Two: with
    // 290 µs it is 1,230 and 1,233, and with 300 µs it is 1,250 and 1,253.
    let (timers, asked) = within(us(2_800));
    assert_eq!((timers.misses, timers.heartbeat), (2, us(290)), "one less may be lost");
    assert!(asked.holds(&timers));
    let (timers, asked) = within(us(2_000));
    assert_eq!((timers.misses, timers.heartbeat), (2, us(250)), "none does: the shortest");
    assert!(!asked.holds(&timers));
    // No limit: the longest that is proposed.
    let mut free = it;
    free.measured.hold = Duration::MAX;
    assert_eq!(free.timers().heartbeat, HEARTBEAT_MOST);
    free.measured.jitter = us(500_000);
    assert_eq!(free.timers().heartbeat, us(500_100), "the shortest is longer than that");
}

#[test]
fn what_is_too_much_to_be_told_is_neither_chosen_nor_proposed() {
    let mut it = setting(Mode::Witness);
    it.timing = Timing::Chosen { misses: None };
    it.recovery_time = Some(us(10_000));
    it.measured.jitter = Duration::MAX;
    let timers = it.timers();
    assert!(!it.holds(&timers));
    let it = Setting { recovery_time: Some(Duration::MAX), ..it };
    assert!(!it.holds(&it.timers()));
    for inequality in [Inequality::TakeoverWithinHold, Inequality::TakeoverWithinRecoveryTime] {
        assert_eq!(it.change(inequality, Lever::Hold), None);
        assert_eq!(it.change(inequality, Lever::Cycle), None);
        let jitter = it.change(inequality, Lever::Jitter).unwrap();
        assert_eq!(jitter.direction, Direction::AtMost);
    }
}

#[test]
fn parts_add_up() {
    for mode in Mode::ALL {
        let it = Setting { fence: us(70), ..setting(mode) };
        let timers = it.timers();
        let bounds = it.bounds(&timers);
        let all = [Some(bounds.evidence), Some(bounds.planned), bounds.silent, bounds.release];
        let all = all.into_iter().chain([bounds.after_release]).flatten();
        for sum in all.chain([it.losses(us(9), 2), it.suspecting(us(9), 2)]) {
            let spans = sum.parts().map(|it| it.each.saturating_mul(it.times));
            let total = spans.fold(Duration::ZERO, |sum, it| sum + it);
            assert_eq!(total, sum.total(), "{mode} {sum:?}");
            assert!(sum.parts().all(|it| !it.what.name().is_empty()));
        }
    }
}

/// Names are read by other programs.
#[test]
fn each_thing_that_could_change_has_a_name_of_its_own() {
    let names = Lever::ALL.map(Lever::name);
    let expected = "heartbeat misses lease promise jitter round_trip witness_round_trip \
                    latch_round_trip fence_time watchdog transfer_time slack hold_time \
                    recovery_time recovery_point cycle";
    assert_eq!(names.join(" "), expected);
    let counts = Lever::ALL.into_iter().filter(|it| it.is_count()).collect::<Vec<_>>();
    assert_eq!(counts, [Lever::Misses, Lever::RecoveryPoint]);
}

#[test]
fn the_parts_of_a_bound_are_named_in_the_order_of_time() {
    let mut it = Setting { fence: us(70), transfer: us(9), ..setting(Mode::Fence) };
    let named = |sum: &Sum| sum.parts().map(|it| it.what.name()).collect::<Vec<_>>().join(", ");
    let timers = it.timers();
    let silent = it.bounds(&timers).silent.unwrap();
    let expected = "one way, promise on the slowest clock, J, fence, latch, cycle";
    assert_eq!(named(&silent), expected);
    it.mode = Mode::Witness;
    let released = it.bounds(&timers).after_release.unwrap();
    let expected = "lease on the slowest clock, promise on the slowest clock, J, one way, witness, \
                    latch, cycle";
    assert_eq!(named(&released), expected);
    assert_eq!(named(&it.losses(us(9), 2)), "heartbeat, round trip, J");
    assert_eq!(named(&it.transferring(0)), "round trip, transfer, J");
    assert_eq!(named(&it.transferring(1)), "one way, transfer, J");
}
