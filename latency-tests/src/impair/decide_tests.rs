//! The distributions, within bounds of five standard deviations: a sound lane leaves them once in
//! 1.7 million seeds, and the seeds here are fixed.

use super::*;
use crate::impair::random::lane_key;
use crate::impair::settings::{Corrupt, Lose, LoseBursts, Rate, Reorder, Repeat};

const FRAMES: u32 = 100_000;

fn lane(settings: Settings) -> Lane {
    let mut lane = Lane::new(lane_key(42, 0, false));
    lane.set(settings.check().unwrap());
    lane
}

/// Fate and copies of `FRAMES` frames, 10 µs apart.
fn run(lane: &mut Lane) -> Vec<(Instant, Fate, Vec<Copy>)> {
    let mut copies = Vec::new();
    (0..u64::from(FRAMES))
        .map(|frame| {
            let at = Instant::from_nanos(1_000_000 + frame * 10_000);
            let fate = lane.decide(100, at, &mut copies);
            (at, fate, copies.clone())
        })
        .collect()
}

fn assert_binomial(hits: usize, trials: f64, probability: f64) {
    let hits = f64::from(u32::try_from(hits).unwrap());
    let sigma = (trials * probability * (1.0 - probability)).sqrt();
    let off = (hits - trials * probability).abs();
    assert!(off <= 5.0 * sigma, "{hits} of {trials} at {probability}: {} sigma", off / sigma);
}

#[test]
fn a_lane_without_settings_sends_each_frame_once_and_at_once() {
    for (at, fate, copies) in run(&mut lane(Settings::default())) {
        assert_eq!(fate, Fate::Sent { held: false });
        assert_eq!(copies.len(), 1);
        assert_eq!(copies[0].send_at, at);
        assert!(copies[0].flips.is_none());
    }
}

#[test]
fn loss_has_its_probability_and_no_memory() {
    for probability in [0.01, 0.2, 0.8] {
        let settings = Settings { lose: Some(Lose { probability }), ..Settings::default() };
        let fates = run(&mut lane(settings));
        let lost: Vec<bool> = fates.iter().map(|(_, fate, _)| *fate == Fate::Lost).collect();
        let count = lost.iter().filter(|&&lost| lost).count();
        assert_binomial(count, f64::from(FRAMES), probability);
        // Of the frames behind a lost one, as many are lost as of all.
        let behind = lost.windows(2).filter(|two| two[0] && two[1]).count();
        assert_binomial(behind, f64::from(u32::try_from(count).unwrap()), probability);
    }
}

#[test]
fn bursts_have_their_mean_length_and_share() {
    let bursts = LoseBursts { enter: 0.01, leave: 0.25, lose_inside: 1.0, lose_outside: 0.0 };
    let settings = Settings { lose_bursts: Some(bursts), ..Settings::default() };
    let fates = run(&mut lane(settings));
    let lost: Vec<bool> = fates.iter().map(|(_, fate, _)| *fate == Fate::Lost).collect();
    let count = f64::from(u32::try_from(lost.iter().filter(|&&lost| lost).count()).unwrap());
    let starts = lost.windows(2).filter(|two| !two[0] && two[1]).count();
    let starts = f64::from(u32::try_from(starts).unwrap());
    // A burst's length is geometric: mean 4, standard deviation sqrt(12).
    let mean = count / starts;
    assert!((mean - 4.0).abs() <= 5.0 * (12.0 / starts).sqrt(), "mean length {mean}");
    // Bursts start with probability 0.01 on each frame outside: about 962 of 96,154.
    assert!((starts - 962.0).abs() <= 5.0 * 962f64.sqrt(), "{starts} bursts");
}

#[test]
fn jitter_is_even_around_the_delay() {
    let settings = Settings { delay_us: 20_000, jitter_us: 10_000, ..Settings::default() };
    let mut sum = 0.0;
    let mut early = 0;
    let mut overtakes = 0;
    let mut newest = Instant::ORIGIN;
    for (at, _, copies) in run(&mut lane(settings)) {
        let late = copies[0].send_at.since(at).as_nanos();
        assert!((10_000_000..=30_000_000).contains(&late), "{late}");
        sum += late as f64;
        early += usize::from(late < 15_000_000);
        overtakes += usize::from(copies[0].send_at < newest);
        newest = newest.max(copies[0].send_at);
    }
    // Uniform over 20 ms: standard deviation 20 ms / sqrt(12).
    let mean = sum / f64::from(FRAMES);
    let sigma = 20e6 / 12f64.sqrt() / f64::from(FRAMES).sqrt();
    assert!((mean - 20e6).abs() <= 5.0 * sigma, "mean {mean}");
    assert_binomial(early, f64::from(FRAMES), 0.25);
    assert!(overtakes > 0, "jitter reorders");
}

#[test]
fn jitter_that_keeps_order_lets_nothing_overtake() {
    let settings =
        Settings { delay_us: 5_000, jitter_us: 5_000, keep_order: true, ..Settings::default() };
    let mut newest = Instant::ORIGIN;
    for (_, _, copies) in run(&mut lane(settings)) {
        assert!(copies[0].send_at >= newest);
        newest = copies[0].send_at;
    }
}

#[test]
fn reordering_holds_some_frames_back_while_others_pass() {
    let reorder = Reorder { probability: 0.25, hold_us: 2_000 };
    let settings = Settings { reorder: Some(reorder), delay_us: 100, ..Settings::default() };
    let mut held_frames = 0;
    for (at, fate, copies) in run(&mut lane(settings)) {
        let held = fate == Fate::Sent { held: true };
        held_frames += usize::from(held);
        let late = if held { 2_100 } else { 100 };
        assert_eq!(copies[0].send_at, at + Duration::from_micros(late));
    }
    assert_binomial(held_frames, f64::from(FRAMES), 0.25);
}

#[test]
fn repeats_have_their_probability_count_and_spacing() {
    let repeat = Repeat { probability: 0.3, count: 5, spacing_us: 7 };
    let settings = Settings { repeat: Some(repeat), ..Settings::default() };
    let mut repeated = 0;
    for (at, _, copies) in run(&mut lane(settings)) {
        assert!(copies.len() == 1 || copies.len() == 6);
        repeated += usize::from(copies.len() == 6);
        for (copy, n) in copies.iter().zip(0..) {
            assert_eq!(copy.send_at, at + Duration::from_micros(7 * n));
        }
    }
    assert_binomial(repeated, f64::from(FRAMES), 0.3);
}

#[test]
fn corruption_flips_one_to_the_most_bits_in_its_region() {
    for region in [Region::BehindAddresses, Region::Anywhere] {
        let corrupt = Corrupt { probability: 0.05, bits_max: 3, region };
        let settings = Settings { corrupt: Some(corrupt), ..Settings::default() };
        let mut by_bits = [0usize; 4];
        let mut in_addresses = 0;
        for (_, _, copies) in run(&mut lane(settings)) {
            let Some(flips) = copies[0].flips else { continue };
            let mut frame = [0u8; 100];
            flips.apply(&mut frame);
            let bits: u32 = frame.iter().map(|octet| octet.count_ones()).sum();
            by_bits[usize::try_from(bits).unwrap()] += 1;
            in_addresses += frame[..12].iter().map(|octet| octet.count_ones()).sum::<u32>();
        }
        assert_eq!(by_bits[0], 0);
        let hit: usize = by_bits.iter().sum();
        assert_binomial(hit, f64::from(FRAMES), 0.05);
        for &frames in &by_bits[1..] {
            assert_binomial(frames, f64::from(u32::try_from(hit).unwrap()), 1.0 / 3.0);
        }
        assert_eq!(in_addresses > 0, region == Region::Anywhere);
    }
}

#[test]
fn corruption_of_any_length_is_no_panic() {
    let corrupt = Corrupt { probability: 1.0, bits_max: 64, region: Region::BehindAddresses };
    let mut lane = lane(Settings { corrupt: Some(corrupt), ..Settings::default() });
    let mut copies = Vec::new();
    for octets in 0..40 {
        lane.decide(octets, Instant::ORIGIN, &mut copies);
        let mut frame = vec![0u8; octets];
        copies[0].flips.unwrap().apply(&mut frame);
        assert_eq!(frame.iter().any(|&octet| octet != 0), octets > 0);
    }
}

#[test]
fn a_cut_takes_everything_and_restoring_gives_it_back() {
    let mut lane = lane(Settings::default());
    lane.set_cut(true);
    assert!(run(&mut lane).iter().all(|(_, fate, copies)| *fate == Fate::Cut && copies.is_empty()));
    lane.set_cut(false);
    assert!(run(&mut lane).iter().all(|(_, fate, _)| *fate == Fate::Sent { held: false }));
}

#[test]
fn a_rate_spaces_frames_and_drops_what_would_wait_too_long() {
    // 100 octets every 10 µs are 80 Mbit/s; half of that can pass.
    let rate = Rate { bits_per_second: 40_000_000, backlog_us_max: 1_000 };
    let mut sent = 0usize;
    let mut newest = Instant::ORIGIN;
    for (at, fate, copies) in run(&mut lane(Settings { rate: Some(rate), ..Settings::default() })) {
        if fate == Fate::Overflow {
            continue;
        }
        sent += 1;
        let send_at = copies[0].send_at;
        assert!(send_at.since(newest) >= Duration::from_micros(20));
        assert!(send_at.since(at) <= Duration::from_micros(1_020));
        newest = send_at;
    }
    let half = usize::try_from(FRAMES).unwrap() / 2;
    assert!((half..=half + 60).contains(&sent), "{sent}");
}

#[test]
fn the_same_seed_gives_the_same_decisions_and_another_seed_others() {
    let settings = Settings {
        lose: Some(Lose { probability: 0.1 }),
        delay_us: 500,
        jitter_us: 400,
        repeat: Some(Repeat { probability: 0.2, count: 2, spacing_us: 0 }),
        corrupt: Some(Corrupt { probability: 0.2, bits_max: 2, region: Region::Anywhere }),
        ..Settings::default()
    };
    let trace = |seed| {
        let mut lane = Lane::new(lane_key(seed, 0, false));
        lane.set(settings.clone());
        format!("{:?}", run(&mut lane))
    };
    assert!(trace(1) == trace(1));
    assert!(trace(1) != trace(2));
}

#[test]
fn an_impairment_more_does_not_change_the_choices_of_the_others() {
    let lose = Some(Lose { probability: 0.3 });
    let fates = |settings| -> Vec<bool> {
        run(&mut lane(settings)).iter().map(|(_, fate, _)| *fate == Fate::Lost).collect()
    };
    let alone = fates(Settings { lose, ..Settings::default() });
    let repeat = Some(Repeat { probability: 0.5, count: 3, spacing_us: 0 });
    let together =
        fates(Settings { lose, repeat, delay_us: 9, jitter_us: 9, ..Settings::default() });
    assert!(alone == together);
}
