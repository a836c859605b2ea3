use proptest::prelude::*;

use super::*;

const RHO_PPM: u32 = 500;
const JITTER: Duration = Duration::from_millis(5);
const JITTER_NS: u64 = JITTER.as_nanos();
const SECOND_NS: u64 = 1_000_000_000;
/// The peer booted at another time.
const PEER_EPOCH_NS: u64 = 77_000 * SECOND_NS;
const FLOOR_NS: u64 = 50_000;

/// Numbers by chance, the same ones for a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A peer that sends beats by a clock of its own.
#[derive(Clone, Copy, Debug)]
struct Peer {
    ppm: i64,
    heartbeat_ns: u64,
    /// By our clock, where the next beats are sent.
    now_ns: u64,
    /// How far the peer's clock is off beside its rate.
    offset_ns: i64,
}

impl Peer {
    const fn new(ppm: i64) -> Self {
        Self { ppm, heartbeat_ns: 10_000_000, now_ns: 0, offset_ns: 0 }
    }

    fn clock(&self, at_ns: u64) -> Instant {
        let at = i128::from(at_ns);
        let drifted = at + at * i128::from(self.ppm) / 1_000_000 + i128::from(self.offset_ns);
        Instant::from_nanos(u64::try_from(drifted).unwrap() + PEER_EPOCH_NS)
    }

    /// Beats for so many seconds, delayed by the floor and by what is given for when each was sent;
    /// `look` sees the clock after each.
    fn send(
        &mut self,
        seconds: u64,
        clock: &mut ClockRate,
        mut delay_ns: impl FnMut(u64) -> u64,
        mut look: impl FnMut(&ClockRate, Instant),
    ) -> Vec<Step> {
        let mut beats = Vec::new();
        let end = self.now_ns + seconds * SECOND_NS;
        while self.now_ns < end {
            let came = self.now_ns + FLOOR_NS + delay_ns(self.now_ns);
            beats.push((Instant::from_nanos(came), self.clock(self.now_ns)));
            self.now_ns += self.heartbeat_ns;
        }
        beats.sort_unstable();
        let mut steps = Vec::new();
        for (came, sent) in beats {
            steps.extend(clock.on_arrival(sent, came));
            look(clock, came);
        }
        steps
    }

    fn send_by_chance(&mut self, seconds: u64, clock: &mut ClockRate, seed: u64) -> Vec<Step> {
        let mut chance = Chance(seed);
        self.send(seconds, clock, |_| chance.below(JITTER_NS), |_, _| ())
    }
}

fn off_ppm(clock: &ClockRate, ppm: i64) -> i64 {
    (i64::from(clock.estimate().unwrap().rate_ppb) - ppm * 1_000).abs() / 1_000
}

#[test]
fn an_even_network_tells_the_rate_after_a_second() {
    for ppm in [-2_000, -1, 0, 3, 300, 2_000] {
        let mut clock = ClockRate::new(RHO_PPM, Duration::ZERO);
        let steps = Peer::new(ppm).send(2, &mut clock, |_| 0, |_, _| ());
        let estimate = clock.estimate().unwrap();
        assert!((i64::from(estimate.rate_ppb) - ppm * 1_000).abs() < 1_000, "{ppm} {estimate:?}");
        let expected = match ppm.abs() {
            0..=250 => RateVerdict::Fine,
            251..=500 => RateVerdict::Alarm,
            _ => RateVerdict::Refused,
        };
        assert_eq!((clock.verdict(), steps.len()), (expected, 0), "{ppm}");
        assert_eq!(clock.blocks().is_empty(), expected != RateVerdict::Refused);
    }
}

#[test]
fn a_guest_that_was_suspended_is_a_step_and_no_rate() {
    let mut clock = ClockRate::new(RHO_PPM, JITTER);
    let mut peer = Peer::new(40);
    assert_eq!(peer.send_by_chance(100, &mut clock, 1), []);
    assert_eq!(clock.verdict(), RateVerdict::Fine);
    // It says nothing for three seconds, and does not know of them.
    peer.now_ns += 3 * SECOND_NS;
    peer.offset_ns -= 3 * SECOND_NS.cast_signed();
    let steps = peer.send_by_chance(100, &mut clock, 2);
    let [Step { size, is_ahead: false }] = steps[..] else { panic!("{steps:?}") };
    assert!(size.as_millis().abs_diff(3_000) <= 5, "{size}");
    assert_eq!(clock.verdict(), RateVerdict::Fine);
    assert!(off_ppm(&clock, 40) < 100);
}

#[test]
fn a_clock_that_leaps_ahead_is_known_by_its_first_beat() {
    let mut clock = ClockRate::new(RHO_PPM, JITTER);
    let mut peer = Peer::new(-40);
    peer.send_by_chance(100, &mut clock, 3);
    peer.offset_ns += SECOND_NS.cast_signed();
    let first = Instant::from_nanos(peer.now_ns + FLOOR_NS);
    let step = clock.on_arrival(peer.clock(peer.now_ns), first).unwrap();
    assert!(step.is_ahead && step.size.as_millis().abs_diff(1_000) <= 5, "{step:?}");
    assert_eq!(peer.send_by_chance(100, &mut clock, 4), []);
    assert_eq!((clock.verdict(), clock.steps()), (RateVerdict::Fine, 1));
}

#[test]
fn a_step_smaller_than_the_networks_delay_never_alarms() {
    for offset_ns in [-6_000_000, -3_000_000, 3_000_000, 6_000_000] {
        for seconds in [1, 3, 10, 100] {
            let mut clock = ClockRate::new(RHO_PPM, JITTER);
            let mut peer = Peer::new(20);
            let look = |clock: &ClockRate, _| assert!(clock.verdict() <= RateVerdict::Fine);
            let mut chance = Chance(5);
            peer.send(seconds, &mut clock, |_| chance.below(1_000_000), look);
            peer.offset_ns += offset_ns;
            peer.send(200, &mut clock, |_| chance.below(1_000_000), look);
            assert_eq!(clock.verdict(), RateVerdict::Fine);
        }
    }
}

#[test]
fn a_queue_that_was_held_up_is_no_step() {
    let mut clock = ClockRate::new(RHO_PPM, JITTER);
    let mut peer = Peer::new(100);
    // From 50 s on nothing comes for six seconds, and then all at once; then nothing at all.
    let held_up = |sent_ns: u64| (56 * SECOND_NS).saturating_sub(sent_ns.max(50 * SECOND_NS));
    let delay = |sent_ns| if sent_ns < 50 * SECOND_NS { 0 } else { held_up(sent_ns) };
    let steps = peer.send(56, &mut clock, delay, |_, _| ());
    peer.now_ns += 20 * SECOND_NS;
    assert_eq!(steps, []);
    assert_eq!(peer.send_by_chance(60, &mut clock, 6), []);
    assert_eq!(clock.verdict(), RateVerdict::Fine);
}

#[test]
fn delays_that_pass_are_no_step() {
    let mut clock = ClockRate::new(RHO_PPM, Duration::ZERO);
    // Twice for less than it takes to confirm, together for more.
    let is_busy = |sent_ns: u64| matches!(sent_ns / (SECOND_NS / 2), 4..6 | 8..11);
    let delay = |sent_ns| if is_busy(sent_ns) { 50_000_000 } else { 0 };
    let steps = Peer::new(0).send(10, &mut clock, delay, |_, _| ());
    assert_eq!((steps.len(), clock.verdict()), (0, RateVerdict::Fine));
}

#[test]
fn a_rate_that_changes_a_little_is_no_step() {
    for after in [-1_500, 1_500] {
        let mut clock = ClockRate::new(RHO_PPM, Duration::ZERO);
        let mut peer = Peer::new(0);
        peer.send(200, &mut clock, |_| 0, |_, _| ());
        let was = peer.clock(peer.now_ns).as_nanos();
        peer.ppm = after;
        let is = peer.clock(peer.now_ns).as_nanos();
        peer.offset_ns += was.cast_signed() - is.cast_signed();
        assert_eq!(peer.send(200, &mut clock, |_| 0, |_, _| ()), []);
        assert_eq!(off_ppm(&clock, after), 0);
    }
}

#[test]
fn few_beats_on_a_line_prove_nothing_where_the_network_may_jitter() {
    let mut clock = ClockRate::new(RHO_PPM, JITTER);
    let mut peer = Peer { heartbeat_ns: SECOND_NS / 10, ..Peer::new(900) };
    peer.send(3, &mut clock, |_| 0, |_, _| ());
    assert!(clock.estimate().is_some());
    assert_eq!(clock.verdict(), RateVerdict::Unknown);
}

#[test]
fn the_lowest_point_is_the_lowest_along_the_slope() {
    let mut record = Record::default();
    for second in 0..8 {
        // 1,000 ppm. The first came late, and still is the least behind of all.
        let late_ns = if second == 0 { 600_000 } else { 0 };
        let behind_ns = i128::from(second * 1_000_000 + late_ns);
        record.push(Sample { at: Instant::from_nanos(second * SECOND_NS), behind_ns });
    }
    let line = record.line().unwrap();
    assert_eq!((line.slope_ppb, line.scatter_ns), (1_000_000, 600_000));
}

#[test]
fn a_rate_that_changes_is_found() {
    for (before, after) in [(0, 400), (100, 1_200), (0, 20_000), (20_000, 0), (-300, 300)] {
        let mut clock = ClockRate::new(RHO_PPM, JITTER);
        let mut peer = Peer::new(before);
        peer.send_by_chance(200, &mut clock, 7);
        let was = peer.clock(peer.now_ns).as_nanos();
        peer.ppm = after;
        let is = peer.clock(peer.now_ns).as_nanos();
        peer.offset_ns += was.cast_signed() - is.cast_signed();
        peer.send_by_chance(200, &mut clock, 8);
        assert!(off_ppm(&clock, after) < 50, "{before} {after} {:?}", clock.estimate());
        assert_eq!(clock.verdict(), clock.class(after.unsigned_abs() * 1_000));
    }
}

#[test]
fn a_clock_that_steps_again_and_again_is_refused() {
    let mut clock = ClockRate::new(RHO_PPM, JITTER);
    let mut peer = Peer::new(0);
    for _ in 0..STEPS_RESTLESS {
        assert!(clock.blocks().is_empty());
        peer.now_ns += SECOND_NS / 4;
        peer.send(1, &mut clock, |_| 0, |_, _| ());
        peer.offset_ns += SECOND_NS.cast_signed();
        peer.heartbeat_ns = SECOND_NS / 4;
        peer.now_ns += SECOND_NS / 4;
        peer.send(1, &mut clock, |_| 0, |_, _| ());
    }
    assert_eq!(clock.blocks(), Blocks::CLOCK_RATE);
    peer.heartbeat_ns = SECOND_NS / 100;
    peer.send(10, &mut clock, |_| 0, |_, _| ());
    assert!(clock.blocks().is_empty(), "until it runs at some rate");
}

#[test]
fn a_peer_that_restarts_is_not_known_any_more() {
    let mut clock = ClockRate::new(RHO_PPM, JITTER);
    let mut peer = Peer::new(900);
    peer.send_by_chance(100, &mut clock, 9);
    assert_eq!(clock.verdict(), RateVerdict::Refused);
    clock.on_session();
    assert_eq!(clock, ClockRate::new(RHO_PPM, JITTER));
    peer = Peer { offset_ns: 9 * SECOND_NS.cast_signed(), now_ns: peer.now_ns, ..Peer::new(10) };
    assert_eq!(peer.send_by_chance(100, &mut clock, 10), []);
    assert_eq!(clock.verdict(), RateVerdict::Fine);
}

#[test]
fn doubt_moves_no_verdict() {
    let mut clock = ClockRate::new(RHO_PPM, JITTER);
    let judge = |clock: &mut ClockRate, ppm: i32, off_ppm: u32| {
        let (rate_ppb, uncertainty_ppb) = (ppm * 1_000, off_ppm * 1_000);
        let estimate = Estimate { rate_ppb, uncertainty_ppb, span: Duration::ZERO };
        clock.verdict = clock.judge(&estimate);
        clock.verdict
    };
    assert_eq!(judge(&mut clock, 0, 126), RateVerdict::Unknown, "a quarter is needed");
    assert_eq!(judge(&mut clock, 300, 125), RateVerdict::Fine, "not above the limit for sure");
    assert_eq!(judge(&mut clock, 300, 49), RateVerdict::Alarm);
    assert_eq!(judge(&mut clock, -240, 20), RateVerdict::Alarm, "not below it for sure");
    assert_eq!(judge(&mut clock, -240, 10), RateVerdict::Fine);
    assert_eq!(judge(&mut clock, -501, 0), RateVerdict::Refused);
    assert_eq!(judge(&mut clock, 0, 9_000), RateVerdict::Refused);
    assert_eq!(judge(&mut clock, 499, 1), RateVerdict::Alarm);
    assert_eq!(judge(&mut clock, 250, 0), RateVerdict::Fine);
    clock.verdict = RateVerdict::Unknown;
    assert_eq!(judge(&mut clock, 9_000, 8_000), RateVerdict::Refused, "whatever it is, it is more");
}

/// When the verdict was last wrong, by our clock.
fn wrong_until(heartbeat_ns: u64, jitter_ns: u64, ppm: i64, seed: u64) -> Duration {
    let mut clock = ClockRate::new(RHO_PPM, Duration::from_nanos(jitter_ns));
    let right = clock.class(ppm.unsigned_abs() * 1_000);
    let mut chance = Chance(seed);
    let mut wrong = Instant::ORIGIN;
    Peer { heartbeat_ns, ..Peer::new(ppm) }.send(
        200,
        &mut clock,
        |_| chance.below(jitter_ns),
        |clock, now| {
            if clock.verdict() != right {
                wrong = now;
            }
        },
    );
    wrong - Instant::ORIGIN
}

#[test]
fn delays_by_chance_are_seen_through_in_seconds() {
    let jitter_ns = [5_000_000, 200_000];
    for (heartbeat_ms, seconds) in [(1, [5, 2]), (10, [16, 3]), (100, [40, 6])] {
        for (jitter_ns, seconds) in jitter_ns.into_iter().zip(seconds) {
            for ppm in [20, -400, 800] {
                for seed in 0..20 {
                    let until = wrong_until(heartbeat_ms * 1_000_000, jitter_ns, ppm, seed);
                    let said = format!("{heartbeat_ms} ms {jitter_ns} ns {ppm} ppm: {until}");
                    assert!(until < Duration::from_secs(seconds), "{said}");
                }
            }
        }
    }
}

/// Delays by which a network could pass for a rate.
fn delay(kind: u8, chance: &mut Chance, sent_ns: u64, turn_ns: u64) -> u64 {
    let turn_ns = turn_ns.max(1);
    match kind {
        // By chance.
        0 => chance.below(JITTER_NS + 1),
        // It grows and grows, and falls back.
        1 => (sent_ns % turn_ns) * JITTER_NS / turn_ns,
        // The other way round.
        2 => JITTER_NS - (sent_ns % turn_ns) * JITTER_NS / turn_ns,
        // Now all, now nothing.
        3 => (sent_ns / turn_ns % 2) * JITTER_NS,
        // Mostly all.
        _ => {
            if chance.below(50) == 0 {
                chance.below(JITTER_NS)
            } else {
                JITTER_NS
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_the_network_does_the_error_is_its_jitter_over_the_span(
        ppm in -2_000i64..=2_000,
        heartbeat_ms in 1u64..=100,
        kind in 0u8..5,
        turn_ms in 1u64..200_000,
        seed: u64,
    ) {
        let mut clock = ClockRate::new(RHO_PPM, JITTER);
        let mut peer = Peer { heartbeat_ns: heartbeat_ms * 1_000_000, ..Peer::new(ppm) };
        let mut chance = Chance(seed);
        let mut worst = None;
        let steps = peer.send(
            200,
            &mut clock,
            |sent_ns| delay(kind, &mut chance, sent_ns, turn_ms * 1_000_000),
            |clock, now| {
                let Some(Estimate { rate_ppb, span, .. }) = clock.estimate() else {
                    // Eight windows and what it takes to close each.
                    assert!(now.as_nanos() < 8 * (125 + 2 * 100 + 10) * 1_000_000);
                    return;
                };
                let off_ppb = (i64::from(rate_ppb) - ppm * 1_000).unsigned_abs();
                // The peer's clock and the slope are rounded.
                let allowed_ppb = (JITTER_NS + 4) * SECOND_NS / span.as_nanos() * 1_003 / 1_000 + 2;
                let passed = now.as_nanos();
                // As far as half of what has passed, and of the window that is open, goes.
                let long_enough = span.as_nanos() * 2 + passed / 4 + SECOND_NS >= passed
                    || span >= Duration::from_secs(64);
                if off_ppb > allowed_ppb || !long_enough {
                    worst.get_or_insert((now, off_ppb, allowed_ppb, span));
                }
            },
        );
        prop_assert_eq!(worst, None);
        prop_assert_eq!(steps, []);
        // Two minutes are enough for 78 ppm at 5 ms.
        prop_assert!(off_ppm(&clock, ppm) <= 79, "{:?}", clock.estimate());
    }

    #[test]
    fn delays_by_chance_leave_little_doubt_and_the_right_verdict(
        ppm in -2_000i64..=2_000,
        heartbeat_ms in 1u64..=20,
        seed: u64,
    ) {
        let mut clock = ClockRate::new(RHO_PPM, JITTER);
        let mut peer = Peer { heartbeat_ns: heartbeat_ms * 1_000_000, ..Peer::new(ppm) };
        peer.send_by_chance(60, &mut clock, seed);
        let estimate = clock.estimate().unwrap();
        prop_assert!(off_ppm(&clock, ppm) <= 30, "{estimate:?}");
        prop_assert!(estimate.uncertainty_ppb < 100_000, "{estimate:?}");
        let near_limit = ppm.abs().abs_diff(250).min(ppm.abs().abs_diff(500)) <= 100;
        if !near_limit {
            prop_assert_eq!(clock.verdict(), clock.class(ppm.unsigned_abs() * 1_000));
        }
    }

    #[test]
    fn a_clock_that_is_fine_never_alarms_under_delays_by_chance(
        ppm in -250i64..=250,
        heartbeat_ms in 1u64..=100,
        seed: u64,
    ) {
        let mut clock = ClockRate::new(RHO_PPM, JITTER);
        let mut peer = Peer { heartbeat_ns: heartbeat_ms * 1_000_000, ..Peer::new(ppm) };
        let mut chance = Chance(seed);
        let mut worst = RateVerdict::Unknown;
        peer.send(200, &mut clock, |_| chance.below(JITTER_NS), |clock, _| {
            worst = worst.max(clock.verdict());
        });
        prop_assert_eq!(worst, RateVerdict::Fine);
    }

    #[test]
    fn any_step_larger_than_delays_is_found_once(
        offset_ms in 50i64..100_000,
        is_ahead: bool,
        seconds in 5u64..100,
        seed: u64,
    ) {
        let mut clock = ClockRate::new(RHO_PPM, JITTER);
        let mut peer = Peer { offset_ns: 200 * SECOND_NS.cast_signed(), ..Peer::new(-100) };
        prop_assert_eq!(peer.send_by_chance(seconds, &mut clock, seed), []);
        peer.offset_ns += if is_ahead { offset_ms } else { -offset_ms } * 1_000_000;
        let steps = peer.send_by_chance(60, &mut clock, !seed);
        prop_assert_eq!(steps.len(), 1, "{:?}", steps);
        prop_assert_eq!(steps[0].is_ahead, is_ahead);
        let off_ms = steps[0].size.as_millis().abs_diff(offset_ms.unsigned_abs());
        prop_assert!(off_ms <= 6, "{:?}", steps);
        prop_assert_eq!(clock.verdict(), RateVerdict::Fine);
    }

    #[test]
    fn nothing_that_is_claimed_panics(
        drift_ppm: u32,
        jitter_ns: u64,
        beats in prop::collection::vec((any::<u64>(), any::<u64>(), 0u8..20), 1..200),
        in_order: bool,
    ) {
        let mut clock = ClockRate::new(drift_ppm, Duration::from_nanos(jitter_ns));
        let mut beats = beats;
        if in_order {
            beats.sort_unstable_by_key(|beat| beat.1);
        }
        for (sent_ns, now_ns, what) in beats {
            if what == 0 {
                clock.on_session();
            }
            clock.on_arrival(Instant::from_nanos(sent_ns), Instant::from_nanos(now_ns));
            clock.on_arrival(Instant::from_nanos(sent_ns), Instant::from_nanos(now_ns / 2));
        }
        prop_assert!(clock.rate_ppb().unsigned_abs() <= 2_000_000_000);
    }
}
