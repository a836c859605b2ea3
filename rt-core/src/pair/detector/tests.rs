use proptest::prelude::*;

use super::*;

const H: Duration = Duration::from_millis(1);
const J: Duration = Duration::from_micros(200);
const K: u32 = 3;

fn at(micros: u64) -> Instant {
    Instant::ORIGIN + Duration::from_micros(micros)
}

/// A path whose beats come when they are sent, one for each of these instants.
fn heard(instants_us: impl IntoIterator<Item = u64>) -> Detector {
    let mut path = Detector::new(H, K, J);
    for (number, micros) in (1..).zip(instants_us) {
        path.on_arrival(number, at(micros), at(micros));
    }
    path
}

#[test]
fn silence_makes_a_path_late_and_then_dead_past_the_instants_it_says() {
    let path = heard([0, 1_000]);
    assert_eq!(path.verdict(at(2_200)), Verdict::Alive, "J late is in time");
    let late = path.deadline(at(1_000)).unwrap();
    assert_eq!(late, at(2_200) + Duration::from_nanos(1));
    assert_eq!(path.verdict(late), Verdict::Late);
    let dead = path.deadline(late).unwrap();
    assert_eq!(dead, at(4_200) + Duration::from_nanos(1));
    assert_eq!(path.verdict(at(4_200)), Verdict::Late);
    assert_eq!(path.verdict(dead), Verdict::Dead);
    assert_eq!(path.deadline(dead), None);
}

#[test]
fn a_path_on_which_nothing_was_heard_is_unknown_for_ever() {
    let path = Detector::new(H, K, J);
    assert_eq!(path.verdict(Instant::FAR_FUTURE), Verdict::Unknown);
    assert_eq!(path.deadline(at(0)), None);
    assert_eq!(path.statistics(at(9_000_000)), Statistics::default());
}

#[test]
fn without_a_loss_allowed_a_path_is_dead_when_one_is_overdue() {
    let mut path = Detector::new(H, 0, J);
    path.on_arrival(1, at(0), at(0));
    assert_eq!(path.verdict(at(1_200)), Verdict::Alive);
    assert_eq!(path.verdict(at(1_201)), Verdict::Dead);
}

#[test]
fn what_is_no_news_keeps_no_path_alive() {
    let mut path = heard([0, 1_000, 2_000]);
    for micros in (2_000..6_000).step_by(100) {
        assert_eq!(path.on_arrival(3, at(2_000), at(micros)), Arrival::Repeated);
        path.on_elsewhere(micros / 100);
    }
    assert_eq!(path.verdict(at(6_000)), Verdict::Dead, "a recording, and another path's beats");
    let mut path = heard([0]);
    path.on_arrival(5, at(1_000), at(1_000));
    assert_eq!(path.on_arrival(3, at(500), at(4_000)), Arrival::OutOfOrder);
    assert_eq!(path.verdict(at(4_201)), Verdict::Dead, "it was sent before the newest");
}

#[test]
fn answers_are_news_and_need_no_time_between_them() {
    let path = heard([0, 10, 20, 30, 1_000, 1_010]);
    assert_eq!(path.verdict(at(2_210)), Verdict::Alive);
    let seen = path.statistics(at(1_010));
    assert_eq!((seen.received, seen.missing, seen.overdue_max), (6, 0, Duration::ZERO));
}

#[test]
fn a_dead_paths_losses_are_known_from_the_others() {
    let mut path = heard([0]);
    for number in 2..=1_000 {
        path.on_elsewhere(number);
    }
    let seen = path.statistics(at(1_000_000));
    assert_eq!((seen.received, seen.lost + seen.missing, seen.deaths), (1, 999, 1));
    assert!(seen.lost >= 999 - 256, "as soon as they are out of the window");
}

#[test]
fn a_path_that_lags_behind_the_others_by_more_than_the_window_is_slow_and_not_dead() {
    let mut path = Detector::new(H, K, J);
    for number in 1..2_000 {
        path.on_elsewhere(number + 1_000);
        let now = at(number * 1_000);
        assert_eq!(path.on_arrival(number, now, now), Arrival::News);
        assert_eq!(path.verdict(now), Verdict::Alive);
    }
}

#[test]
fn a_path_that_flaps_stays_dead_until_beats_came_in_time_for_long_enough() {
    let mut path = heard([0, 10_000]);
    assert_eq!(path.verdict(at(10_000)), Verdict::Dead, "one beat proves nothing");
    // 8 × (h + J) = 9.6 ms.
    for beat in 1..=9 {
        let now = at(10_000 + beat * 1_000);
        path.on_arrival(2 + beat, now, now);
        assert_eq!(path.verdict(now), Verdict::Dead, "{beat}");
    }
    path.on_arrival(12, at(20_000), at(20_000));
    assert_eq!(path.verdict(at(20_000)), Verdict::Alive);
    assert_eq!(path.statistics(at(20_000)).deaths, 1);
}

#[test]
fn as_late_as_may_be_is_in_time() {
    let path = heard([0, 3_200]);
    assert_eq!(path.statistics(at(3_200)).deaths, 0, "k·h + J is no death");
    let path = heard([0, 10_000].into_iter().chain((1..=7).map(|beat| 10_000 + beat * 1_200)));
    assert_eq!(path.verdict(at(18_400)), Verdict::Dead);
    let path = heard([0, 10_000].into_iter().chain((1..=8).map(|beat| 10_000 + beat * 1_200)));
    assert_eq!(path.verdict(at(19_600)), Verdict::Alive, "h + J each, and n of them");
}

#[test]
fn an_instant_from_before_does_not_age_a_path() {
    let path = heard([0, 1_000, 500]);
    assert_eq!(path.deadline(at(1_000)), Some(at(2_200) + Duration::from_nanos(1)));
}

#[test]
fn one_that_is_overdue_begins_the_wait_anew() {
    let mut path = heard([0, 10_000]);
    for beat in 1..=40 {
        // Every fifth is lost.
        if beat % 5 != 0 {
            let now = at(10_000 + beat * 1_000);
            path.on_arrival(2 + beat, now, now);
            assert_eq!(path.verdict(now), Verdict::Dead, "{beat}");
        }
    }
    assert_eq!(path.statistics(at(49_000)).deaths, 1, "it never came back to die again");
}

#[test]
fn a_queue_that_empties_itself_proves_no_path() {
    let mut path = heard([0]);
    for number in 2..200 {
        path.on_arrival(number, at(number * 1_000), at(200_000));
    }
    assert_eq!(path.verdict(at(200_000)), Verdict::Dead);
}

#[test]
fn another_session_numbers_anew_and_does_not_mend_a_path() {
    let mut path = heard([0, 1_000]);
    path.on_arrival(5, at(2_000), at(2_000));
    path.on_session();
    assert_eq!(path.statistics(at(2_000)).lost, 2, "3 and 4 will not come");
    assert_eq!(path.on_arrival(1, at(7), at(9_000)), Arrival::News);
    assert_eq!(path.verdict(at(9_000)), Verdict::Dead);
    let seen = path.statistics(at(9_000));
    assert_eq!((seen.received, seen.lost, seen.missing), (4, 2, 0));
    assert_eq!(seen.jitter_max, Duration::ZERO, "two clocks are not compared");
}

#[test]
fn what_is_late_for_no_loss_is_counted_as_such() {
    let mut path = heard([0, 1_000, 3_000]);
    assert_eq!(path.statistics(at(3_000)).tardy, 1);
    path.on_arrival(5, at(5_000), at(5_000));
    let seen = path.statistics(at(5_000));
    assert_eq!((seen.tardy, seen.missing), (1, 1), "this one was lost");
    assert_eq!((seen.overdue, seen.overdue_max, seen.gap_max), (H, H, H + H));
    assert_eq!(seen.record(), Record { sent: 4, failed: 1 });
}

#[test]
fn jitter_is_what_delays_differ_by_and_fades() {
    let mut path = Detector::new(H, K, J);
    // Unevenly sent, evenly delayed, by a clock that is years off.
    let far = Duration::from_secs(1 << 30);
    for (number, micros) in [(1, 0), (2, 10), (3, 1_000), (4, 2_500)] {
        path.on_arrival(number, at(micros) + far, at(micros + 300));
    }
    assert_eq!(path.statistics(at(3_000)).jitter, Duration::ZERO);
    path.on_arrival(5, at(3_500) + far, at(3_500 + 460));
    let seen = path.statistics(at(4_000));
    assert_eq!((seen.jitter_max.as_micros(), seen.jitter.as_micros()), (160, 10));
    for number in 6..400 {
        path.on_arrival(number, at(number * 1_000) + far, at(number * 1_000 + 460));
    }
    assert_eq!(path.statistics(at(400_000)).jitter, Duration::ZERO);
}

#[test]
fn late_paths_are_there_and_dead_ones_are_missing() {
    let verdicts = [Verdict::Alive, Verdict::Late, Verdict::Dead, Verdict::Unknown];
    assert_eq!(blocks(&verdicts, 2), Blocks::NONE);
    assert_eq!(blocks(&verdicts, 3), Blocks::PATHS);
    assert_eq!(blocks(&[], 0), Blocks::NONE);
}

/// A beat that the peer sent: a turn or an answer.
#[derive(Clone, Copy, Debug)]
struct Sent {
    number: u64,
    sent_us: u64,
    came_us: u64,
}

/// What comes of a path that loses less than `misses` in a row and delays by `jitter_us` at most.
fn allowed(
    heartbeat_us: u64,
    misses: u32,
    jitter_us: u64,
    beats: &[(u64, bool, u64)],
) -> Vec<Sent> {
    let mut came = Vec::new();
    let mut sent_us = 0;
    let mut in_a_row = 0;
    for (number, &(since_last, lost, delay)) in (1..).zip(beats) {
        // A turn after a heartbeat at most; an answer sooner.
        sent_us += since_last % (heartbeat_us + 1);
        in_a_row = if lost && in_a_row + 1 < misses { in_a_row + 1 } else { 0 };
        if in_a_row == 0 {
            came.push(Sent { number, sent_us, came_us: sent_us + delay % (jitter_us + 1) });
        }
    }
    came.sort_by_key(|it| it.came_us);
    came
}

proptest! {
    #[test]
    fn what_is_allowed_never_makes_a_path_dead(
        heartbeat_us in 250u64..100_000,
        misses in 1u32..6,
        jitter_us in 0u64..200_000,
        beats in prop::collection::vec((any::<u64>(), any::<bool>(), any::<u64>()), 1..300),
    ) {
        let (heartbeat, jitter) =
            (Duration::from_micros(heartbeat_us), Duration::from_micros(jitter_us));
        let mut path = Detector::new(heartbeat, misses, jitter);
        for beat in allowed(heartbeat_us, misses, jitter_us, &beats) {
            prop_assert_ne!(path.verdict(at(beat.came_us)), Verdict::Dead);
            path.on_arrival(beat.number, at(beat.sent_us), at(beat.came_us));
            prop_assert_eq!(path.verdict(at(beat.came_us)), Verdict::Alive);
        }
        prop_assert_eq!(path.statistics(at(0)).deaths, 0);
    }

    #[test]
    fn one_loss_more_in_a_row_is_a_death(
        heartbeat_us in 250u64..100_000,
        misses in 1u64..6,
        before in 1u64..20,
    ) {
        let heartbeat = Duration::from_micros(heartbeat_us);
        let misses_u32 = u32::try_from(misses).unwrap();
        let mut path = Detector::new(heartbeat, misses_u32, Duration::ZERO);
        for number in (0..before).chain([before + misses]) {
            let now = at(number * heartbeat_us);
            path.on_arrival(number, now, now);
        }
        prop_assert_eq!(path.statistics(at(0)).deaths, 1);
    }

    #[test]
    fn silence_only_makes_it_worse_and_as_foretold(
        waits_us in prop::collection::vec(0u64..5_000, 1..60),
        silence_us in prop::collection::vec(0u64..3_000, 1..20),
    ) {
        let mut path = Detector::new(H, K, J);
        let mut now = at(0);
        for (number, wait) in (1..).zip(waits_us) {
            now += Duration::from_micros(wait);
            path.on_arrival(number, now, now);
        }
        for wait in silence_us {
            let (was, foretold) = (path.verdict(now), path.deadline(now));
            let then = now + Duration::from_micros(wait);
            let is = path.verdict(then);
            prop_assert!(is >= was);
            prop_assert_eq!(is != was, foretold.is_some_and(|at| at <= then));
            prop_assert!(foretold.is_none_or(|at| at > now && path.verdict(at) > was));
            now = then;
        }
    }

    #[test]
    fn in_any_order_all_that_was_sent_was_received_or_lost(
        fates in prop::collection::vec((any::<bool>(), 0u64..200, 0u64..3), 2..600),
        origin in 0u64..1_000,
    ) {
        // Displaced by less than the window. The first and the last come undisturbed, so that it
        // is known what was sent; each may come again.
        let last = fates.len() as u64 - 1;
        let mut copies = Vec::new();
        let mut came = 0;
        for (number, &(lost, behind, again)) in (0..).zip(&fates) {
            let is_edge = number == 0 || number == last;
            if lost && !is_edge {
                continue;
            }
            came += 1;
            let place = if is_edge { number } else { number + behind };
            copies.extend((0..=again).map(|copy| (place + copy, number)));
        }
        copies.sort_unstable();
        // The first is the first.
        copies.retain(|copy| copy.1 != 0);
        copies.insert(0, (0, 0));
        let mut path = Detector::new(H, K, J);
        let repeated = copies.len() as u64 - came;
        for (place, number) in copies {
            path.on_arrival(origin + number, at(number * 1_000), at(place * 1_000));
        }
        path.on_session();
        let seen = path.statistics(at(0));
        prop_assert_eq!((seen.received, seen.too_old, seen.missing), (came, 0, 0));
        prop_assert_eq!(seen.received + seen.lost, last + 1);
        prop_assert_eq!(seen.repeated, repeated);
        prop_assert_eq!(path.report(at(0)).lost, last + 1 - came);
    }

    #[test]
    fn nothing_that_comes_panics(
        parameters in (any::<u64>(), any::<u32>(), any::<u64>()),
        moves in prop::collection::vec((0u8..4, any::<u64>(), any::<u64>(), any::<u64>()), 1..60),
    ) {
        let (heartbeat, misses, jitter) = parameters;
        let mut path =
            Detector::new(Duration::from_nanos(heartbeat), misses, Duration::from_nanos(jitter));
        for (what, number, sent_at, now) in moves {
            let (sent_at, now) = (Instant::from_nanos(sent_at), Instant::from_nanos(now));
            match what {
                0 => path.on_session(),
                1 => path.on_elsewhere(number),
                _ => {
                    path.on_arrival(number, sent_at, now);
                }
            }
            prop_assert!(path.deadline(now).is_none_or(|at| at > now));
            let report = path.report(now);
            prop_assert_eq!(report.received, path.statistics(now).received);
        }
    }
}
