//! What duplicate discard does to traffic, whatever its algorithm: each scenario runs on the whole
//! LRE and on a naive exact model.

#![allow(clippy::cast_possible_truncation, reason = "numbers wrap on purpose")]

mod support;

use std::collections::HashMap;

use prp::types::LanId;
use rt_core::time::{Duration, Instant};
use support::discard::{DiscardAlgorithm, NaiveModel, Setup, Subject, WholeLre};
use support::{Random, or_soak};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
/// Frames of 70 octets, with frame check sequence, at 1 Gb/s: one each so many nanoseconds.
const LINE_RATE_NS: u64 = 720;

/// One copy of a frame. `id` tells frames apart whose numbers are equal.
#[derive(Clone, Copy, Debug)]
struct Copy {
    at: u64,
    source: u32,
    lan: LanId,
    number: u16,
    id: u64,
}

/// What became of the frames of which a copy came.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Tally {
    frames: u64,
    lost: u64,
    twice: u64,
}

impl Tally {
    #[track_caller]
    fn is_seamless(self) {
        assert!(self.frames > 0, "no traffic");
        assert_eq!((self.lost, self.twice), (0, 0), "lost, twice of {self:?}");
    }
}

/// How a LAN treats the copies given to it.
#[derive(Clone, Copy, Debug)]
struct Lan {
    loss_percent: u64,
    delay: u64,
    jitter: u64,
    reorder_percent: u64,
    reorder_delay: u64,
    copies: u64,
    copies_apart: u64,
}

impl Lan {
    const GOOD: Self = Self {
        loss_percent: 0,
        delay: 0,
        jitter: 0,
        reorder_percent: 0,
        reorder_delay: 0,
        copies: 1,
        copies_apart: 0,
    };

    const fn late(delay: u64) -> Self {
        Self { delay, ..Self::GOOD }
    }

    const fn lossy(self, loss_percent: u64) -> Self {
        Self { loss_percent, ..self }
    }
}

/// A sender that numbers its frames and spaces them evenly.
#[derive(Clone, Copy, Debug)]
struct Sender {
    source: u32,
    start: u64,
    number: u16,
    frames: u64,
    interval: u64,
    /// We are told every `stride`-th of its frames.
    stride: u64,
}

impl Sender {
    const fn at_rate(frames: u64, interval: u64) -> Self {
        Self { source: 1, start: SECOND, number: 65_000, frames, interval, stride: 1 }
    }

    fn send(self, lans: [Lan; 2], random: &mut Random, copies: &mut Vec<Copy>) {
        // A start of its own, so that the frames of each sender and life have identities of theirs.
        let identity = random.next();
        for i in 0..self.frames {
            let number = self.number.wrapping_add((i * self.stride) as u16);
            let id = identity.wrapping_add(i);
            for (lan, how) in LanId::BOTH.into_iter().zip(lans) {
                if random.percent(how.loss_percent) {
                    continue;
                }
                let mut at = self.start + i * self.interval + how.delay;
                at += random.below(how.jitter + 1);
                if random.percent(how.reorder_percent) {
                    at += how.reorder_delay;
                }
                for copy in 0..how.copies {
                    let at = at + copy * how.copies_apart;
                    copies.push(Copy { at, source: self.source, lan, number, id });
                }
            }
        }
    }
}

fn play(algorithm: &mut dyn DiscardAlgorithm, copies: &mut [Copy]) -> Tally {
    copies.sort_by_key(|copy| copy.at);
    let mut accepted: HashMap<u64, u64> = HashMap::new();
    for copy in copies.iter() {
        let now = Instant::from_nanos(copy.at);
        let first = algorithm.accept(now, copy.source, copy.lan, copy.number);
        *accepted.entry(copy.id).or_default() += u64::from(first);
    }
    Tally {
        frames: accepted.len() as u64,
        lost: accepted.values().filter(|&&n| n == 0).count() as u64,
        twice: accepted.values().filter(|&&n| n > 1).count() as u64,
    }
}

fn run<S: Subject>(setup: Setup, seed: u64, senders: &[Sender], lans: [Lan; 2]) -> Tally {
    let mut random = Random(seed);
    let mut copies = Vec::new();
    for sender in senders {
        sender.send(lans, &mut random, &mut copies);
    }
    S::run(setup, |algorithm| play(algorithm, &mut copies))
}

/// Both ways round: what holds for LAN A holds for LAN B.
fn is_seamless_both_ways<S: Subject>(sender: Sender, one: Lan, other: Lan) {
    for seed in 0..or_soak(1) {
        run::<S>(Setup::USUAL, seed, &[sender], [one, other]).is_seamless();
        run::<S>(Setup::USUAL, seed, &[sender], [other, one]).is_seamless();
    }
}

mod scenarios {
    use super::*;

    pub(super) fn loss_on_one_lan_loses_nothing<S: Subject>() {
        for loss in [1, 20, 80, 100] {
            for interval in [MS / 4, 10 * MS] {
                let lossy = Lan::late(MS / 3).lossy(loss);
                is_seamless_both_ways::<S>(Sender::at_rate(4_000, interval), Lan::GOOD, lossy);
                let early = Lan::GOOD.lossy(loss);
                is_seamless_both_ways::<S>(Sender::at_rate(4_000, interval), Lan::late(MS), early);
            }
        }
    }

    pub(super) fn a_late_lan_and_a_less_late_lossy_one_are_seamless<S: Subject>() {
        for loss in [20, 80] {
            let other = Lan::late(20 * MS).lossy(loss);
            is_seamless_both_ways::<S>(Sender::at_rate(3_000, 10 * MS), Lan::late(50 * MS), other);
        }
    }

    /// From a frame each five seconds to 80,000 a second: skew times rate is 32,000.
    pub(super) fn a_skew_of_400_ms_is_seamless_at_any_rate<S: Subject>() {
        for interval in [5 * SECOND, SECOND, 400 * MS, 10 * MS, 250_000, 12_500] {
            let frames = (3 * SECOND / interval).clamp(200, 240_000);
            let late = Lan::late(400 * MS);
            is_seamless_both_ways::<S>(Sender::at_rate(frames, interval), Lan::GOOD, late);
        }
    }

    pub(super) fn low_rates_with_large_skew_leak_no_duplicate<S: Subject>() {
        for skew in [1, 30, 100, 250, 399, 400] {
            for interval in [SECOND, 700 * MS, 425 * MS, 401 * MS, 400 * MS] {
                let sender =
                    Sender { start: SECOND + skew * 7_777, ..Sender::at_rate(300, interval) };
                is_seamless_both_ways::<S>(sender, Lan::GOOD, Lan::late(skew * MS));
            }
        }
    }

    pub(super) fn jitter_and_reordering_are_seamless<S: Subject>() {
        for interval in [10_000, MS, 10 * MS] {
            let sender = Sender::at_rate(10_000, interval);
            let jitter = Lan { jitter: 20 * MS, ..Lan::late(10 * MS) };
            is_seamless_both_ways::<S>(sender, Lan::GOOD, jitter);
            is_seamless_both_ways::<S>(sender, jitter, jitter);
            let reorder = Lan { reorder_percent: 25, reorder_delay: 3 * interval + 1, ..Lan::GOOD };
            is_seamless_both_ways::<S>(sender, reorder, Lan::late(interval / 2));
            is_seamless_both_ways::<S>(sender, reorder, jitter);
        }
    }

    pub(super) fn repeats_on_one_lan_are_not_delivered<S: Subject>() {
        for apart in [0, 1_000, 90 * MS] {
            let repeats = Lan { copies: 5, copies_apart: apart, ..Lan::GOOD };
            let sender = Sender::at_rate(4_000, MS);
            is_seamless_both_ways::<S>(sender, repeats, Lan::late(2 * MS));
            is_seamless_both_ways::<S>(sender, repeats, Lan::late(2 * MS).lossy(100));
            is_seamless_both_ways::<S>(sender, repeats, repeats);
        }
    }

    /// The sender talks to others too. At a gigabit's line rate up to 2^15 - 1 numbers may lie
    /// between two that we see; where numbers last longer than entries, any gap will do.
    pub(super) fn gaps_in_the_numbers_are_seamless<S: Subject>() {
        for stride in [2, 3, 63, 64, 65, 100, 1_000, 10_007, 32_767] {
            let frames = (2 * SECOND / (LINE_RATE_NS * stride)).clamp(400, 40_000);
            let sender = Sender { stride, ..Sender::at_rate(frames, LINE_RATE_NS * stride) };
            is_seamless_both_ways::<S>(sender, Lan::GOOD, Lan::late(10 * MS));
        }
        for stride in [32_768, 32_769, 40_000, 65_535] {
            let sender = Sender { stride, ..Sender::at_rate(500, 7_000 * stride) };
            is_seamless_both_ways::<S>(sender, Lan::GOOD, Lan::late(10 * MS));
        }
    }

    pub(super) fn numbers_that_wrap_at_line_rate_are_seamless<S: Subject>() {
        let sender = Sender::at_rate(300_000, LINE_RATE_NS);
        let late = Lan::late(10 * MS);
        run::<S>(Setup::USUAL, 1, &[sender], [Lan::GOOD, late]).is_seamless();
        run::<S>(Setup::USUAL, 1, &[sender], [late.lossy(30), Lan::GOOD]).is_seamless();
        run::<S>(Setup::USUAL, 1, &[sender], [Lan::GOOD.lossy(100), late]).is_seamless();
    }

    /// Beyond what is promised (skew times rate of 2^15 numbers): copies are delivered twice, and
    /// no frame is lost of which the late LAN brings a copy.
    pub(super) fn too_large_a_skew_loses_nothing_by_itself<S: Subject>() {
        for skew in [24, 46] {
            let sender = Sender::at_rate(140_000, LINE_RATE_NS);
            for lans in [[Lan::GOOD, Lan::late(skew * MS)], [Lan::late(skew * MS), Lan::GOOD]] {
                let tally = run::<S>(Setup::USUAL, 1, &[sender], lans);
                assert_eq!(tally.lost, 0, "skew {skew} ms");
                assert!(tally.twice > 0, "skew {skew} ms is not too large");
            }
        }
    }

    /// Wherever the numbers begin anew: each offset of a grid, and random ones, from both ends.
    pub(super) fn a_sender_that_restarts_after_500_ms_loses_nothing<S: Subject>() {
        let mut random = Random(11);
        let grid = (0u16..=u16::MAX).step_by(if or_soak(1) > 1 { 1 } else { 97 });
        let near = (0u16..64).chain(u16::MAX - 63..=u16::MAX);
        let far = (0..200).map(|_| random.next() as u16).collect::<Vec<_>>();
        let mut lives = Vec::new();
        let mut start = SECOND;
        let mut number = 1_000u16;
        for offset in grid.chain(near).chain(far) {
            number = number.wrapping_add(offset);
            lives.push(Sender { start, number, ..Sender::at_rate(100, MS / 4) });
            // The last copy is 3 ms late.
            start += 25 * MS + 3 * MS + 500 * MS;
        }
        run::<S>(Setup::USUAL, 1, &lives, [Lan::GOOD, Lan::late(3 * MS)]).is_seamless();
    }

    /// A faster restart may cost the frames whose numbers were used within the last 425 ms, within
    /// 425 ms of the restart, and nothing else.
    pub(super) fn a_faster_restart_loses_what_is_stated_and_no_more<S: Subject>() {
        const FRAMES: u64 = 2_000;
        let mut losing = 0;
        for silence in [0, 1, 10, 100, 300, 424] {
            for back in [1u16, 50, 500, 1_999, 2_000, 2_001, 30_000, 32_768, 40_000, 65_535] {
                let first = Sender { number: 50_000, ..Sender::at_rate(FRAMES, MS / 4) };
                let restart = first.start + FRAMES * MS / 4 + silence * MS;
                let number = 50_000u16.wrapping_add(FRAMES as u16).wrapping_sub(back);
                let second = Sender { start: restart, number, ..Sender::at_rate(4_000, MS / 4) };
                let mut random = Random(3);
                let (mut copies, mut later) = (Vec::new(), Vec::new());
                first.send([Lan::GOOD; 2], &mut random, &mut copies);
                second.send([Lan::GOOD; 2], &mut random, &mut later);
                let lost = S::run(Setup::USUAL, |algorithm| {
                    play(algorithm, &mut copies).is_seamless();
                    lost_frames(algorithm, &mut later)
                });
                for copy in &lost {
                    assert!(copy.at <= restart + 425 * MS, "{copy:?} after a restart at {restart}");
                    let used_before = copy.number.wrapping_sub(50_000);
                    assert!(u64::from(used_before) < FRAMES, "{copy:?}: its number was not in use");
                    let used_at = first.start + u64::from(used_before) * MS / 4;
                    assert!(copy.at <= used_at + 425 * MS, "{copy:?}: its number was forgotten");
                }
                losing += lost.len();
            }
        }
        assert!(losing > 0, "a sender that repeats itself cannot be told from a repeat");
    }

    fn lost_frames(algorithm: &mut dyn DiscardAlgorithm, copies: &mut [Copy]) -> Vec<Copy> {
        copies.sort_by_key(|copy| copy.at);
        let mut fates: HashMap<u64, (Copy, bool)> = HashMap::new();
        for &copy in copies.iter() {
            let now = Instant::from_nanos(copy.at);
            let first = algorithm.accept(now, copy.source, copy.lan, copy.number);
            fates.entry(copy.id).or_insert((copy, false)).1 |= first;
        }
        fates.into_values().filter(|(_, accepted)| !accepted).map(|(copy, _)| copy).collect()
    }

    pub(super) fn a_thousand_senders_do_not_disturb_each_other<S: Subject>() {
        let setup = Setup { nodes: 1_024, ..Setup::USUAL };
        let mut random = Random(5);
        let mut senders = Vec::new();
        for source in 0..1_000 {
            // Half of them use the same numbers at the same time.
            let number = if source % 2 == 0 { 65_500 } else { random.next() as u16 };
            let start = SECOND + if source % 2 == 0 { 0 } else { random.below(10 * MS) };
            senders.push(Sender { source, start, number, ..Sender::at_rate(150, 10 * MS) });
        }
        let late = Lan { jitter: 30 * MS, ..Lan::late(50 * MS).lossy(20) };
        run::<S>(setup, 5, &senders, [Lan::late(20 * MS), late]).is_seamless();
    }

    /// The process stands still for seconds, minutes or years. Its clock does not, so what was
    /// known is forgotten; what comes afterwards comes through.
    pub(super) fn a_pause_of_the_process_loses_nothing<S: Subject>() {
        const DAY: u64 = 86_400 * SECOND;
        // 2^32 ticks of 25 ms, in which births are kept, are about 1,243 days.
        let ticks = (1u64 << 32) * 25 * MS;
        // A table so large that ageing takes a while to come to our node.
        let setup = Setup { nodes: 4_096, ..Setup::USUAL };
        let around = (0..16).map(|n| ticks - n * 25 * MS);
        let pauses = [SECOND, 60 * SECOND, DAY, 400 * DAY, ticks / 2, 10_000 * DAY];
        for pause in pauses.into_iter().chain(around) {
            for repeat in 1..4 {
                let mut lives = Vec::new();
                let mut start = SECOND;
                for _ in 0..=repeat {
                    lives.push(Sender { start, ..Sender::at_rate(300, MS) });
                    start += 300 * MS + pause;
                }
                run::<S>(setup, 1, &lives, [Lan::GOOD, Lan::late(MS)]).is_seamless();
            }
        }
    }

    pub(super) fn time_that_stands_still_is_seamless<S: Subject>() {
        let mut copies = Vec::new();
        let still = Sender { start: SECOND, ..Sender::at_rate(200_000, 0) };
        still.send([Lan::GOOD; 2], &mut Random(1), &mut copies);
        S::run(Setup::USUAL, |algorithm| play(algorithm, &mut copies)).is_seamless();
    }

    pub(super) fn time_that_runs_backwards_is_seamless<S: Subject>() {
        for back in [1, MS, 30 * MS, 400 * MS, 3_600 * SECOND] {
            let mut random = Random(back);
            let mut copies = Vec::new();
            Sender { start: 7_200 * SECOND, ..Sender::at_rate(20_000, MS / 4) }.send(
                [Lan::GOOD, Lan::late(MS)],
                &mut random,
                &mut copies,
            );
            let tally = S::run(Setup::USUAL, |algorithm| {
                copies.sort_by_key(|copy| copy.at);
                for copy in &mut copies {
                    if random.percent(10) {
                        copy.at -= random.below(back + 1);
                    }
                }
                let mut accepted: HashMap<u64, u64> = HashMap::new();
                for copy in &copies {
                    let now = Instant::from_nanos(copy.at);
                    let first = algorithm.accept(now, copy.source, copy.lan, copy.number);
                    *accepted.entry(copy.id).or_default() += u64::from(first);
                }
                let wrong = accepted.values().filter(|&&n| n != 1).count() as u64;
                Tally { frames: accepted.len() as u64, lost: wrong, twice: 0 }
            });
            tally.is_seamless();
        }
    }

    pub(super) fn entry_forget_time_may_be_10_ms_or_10_s<S: Subject>() {
        for forget in [10, 10_000] {
            let setup = Setup { entry_forget_time: Duration::from_millis(forget), ..Setup::USUAL };
            for interval in [forget * MS / 500, forget * MS, 5 * forget * MS] {
                let sender = Sender::at_rate(2_000, interval);
                for skew in [forget * MS / 2, forget * MS] {
                    let late = Lan::late(skew).lossy(20);
                    run::<S>(setup, 1, &[sender], [Lan::GOOD, late]).is_seamless();
                }
            }
            // Forgotten in time: the same numbers again.
            let one = Sender::at_rate(100, MS / 100);
            let again = Sender { start: one.start + MS + forget * MS / 16 * 17 + MS, ..one };
            run::<S>(setup, 1, &[one, again], [Lan::GOOD; 2]).is_seamless();
        }
    }
}

/// Tiny pools and huge floods: copies may be delivered twice, none may be lost.
#[test]
fn used_up_memory_loses_no_frame() {
    let mut twice = 0;
    for (seed, (nodes, blocks)) in
        (0u64..).zip([(1, 1), (1, 2), (4, 3), (4, 8), (64, 16), (16, 64), (200, 100)])
    {
        for supervised in [false, true] {
            let setup = Setup { nodes, blocks: Some(blocks), supervised, ..Setup::USUAL };
            let mut senders = Vec::new();
            for source in 0..100 {
                let stride = 1 + u64::from(source) * 7;
                senders.push(Sender { source, stride, ..Sender::at_rate(400, MS) });
            }
            let tally = run::<WholeLre>(setup, seed, &senders, [Lan::GOOD, Lan::late(20 * MS)]);
            assert_eq!(tally.lost, 0, "{setup:?}");
            twice += tally.twice;
        }
    }
    assert!(twice > 0, "the pools sufficed: nothing was tried");
}

/// The suite tells good from bad: each of these does what some product in the field does.
mod it_fails {
    use super::*;

    /// Accepts only numbers above the highest seen.
    struct HighestSeen(HashMap<u32, u16>);
    impl DiscardAlgorithm for HighestSeen {
        fn accept(&mut self, _now: Instant, source: u32, _lan: LanId, number: u16) -> bool {
            let highest = self.0.entry(source).or_insert_with(|| number.wrapping_sub(1));
            let newer = number.wrapping_sub(*highest).cast_signed() > 0;
            if newer {
                *highest = number;
            }
            newer
        }
    }
    impl Subject for HighestSeen {
        fn run<R>(_: Setup, scenario: impl FnOnce(&mut dyn DiscardAlgorithm) -> R) -> R {
            scenario(&mut Self(HashMap::new()))
        }
    }

    /// Remembers each number for 400 ms, however often the numbers wrap.
    struct AgeOnly(HashMap<(u32, u16), Instant>);
    impl DiscardAlgorithm for AgeOnly {
        fn accept(&mut self, now: Instant, source: u32, _lan: LanId, number: u16) -> bool {
            let born = self.0.entry((source, number)).or_insert(Instant::ORIGIN);
            let first = now.since(*born) > Duration::from_millis(400);
            if first {
                *born = now;
            }
            first
        }
    }
    impl Subject for AgeOnly {
        fn run<R>(_: Setup, scenario: impl FnOnce(&mut dyn DiscardAlgorithm) -> R) -> R {
            scenario(&mut Self(HashMap::new()))
        }
    }

    /// Forgets everything each 400 ms.
    struct InGenerations(u64, AgeOnly);
    impl DiscardAlgorithm for InGenerations {
        fn accept(&mut self, now: Instant, source: u32, lan: LanId, number: u16) -> bool {
            let generation = now.as_nanos() / (400 * MS);
            if generation != self.0 {
                self.0 = generation;
                self.1.0.clear();
            }
            self.1.accept(now, source, lan, number)
        }
    }
    impl Subject for InGenerations {
        fn run<R>(_: Setup, scenario: impl FnOnce(&mut dyn DiscardAlgorithm) -> R) -> R {
            scenario(&mut Self(0, AgeOnly(HashMap::new())))
        }
    }

    #[test]
    #[should_panic(expected = "lost, twice")]
    fn an_algorithm_that_knows_only_the_highest_number() {
        scenarios::jitter_and_reordering_are_seamless::<HighestSeen>();
    }

    #[test]
    #[should_panic(expected = "lost, twice")]
    fn an_algorithm_that_knows_only_age() {
        scenarios::numbers_that_wrap_at_line_rate_are_seamless::<AgeOnly>();
    }

    #[test]
    #[should_panic(expected = "lost, twice")]
    fn an_algorithm_that_forgets_in_generations() {
        scenarios::low_rates_with_large_skew_leak_no_duplicate::<InGenerations>();
    }
}

macro_rules! suite {
    ($($subject:ident as $name:ident),*; $list:tt) => { $(suite!(@one $subject $name $list);)* };
    (@one $subject:ident $name:ident { $($scenario:ident),* $(,)? }) => {
        mod $name {
            use super::*;
            $(#[test] fn $scenario() { scenarios::$scenario::<$subject>(); })*
        }
    };
}

suite! {
    WholeLre as whole_lre, NaiveModel as naive_model;
    {
        loss_on_one_lan_loses_nothing,
        a_late_lan_and_a_less_late_lossy_one_are_seamless,
        a_skew_of_400_ms_is_seamless_at_any_rate,
        low_rates_with_large_skew_leak_no_duplicate,
        jitter_and_reordering_are_seamless,
        repeats_on_one_lan_are_not_delivered,
        gaps_in_the_numbers_are_seamless,
        numbers_that_wrap_at_line_rate_are_seamless,
        too_large_a_skew_loses_nothing_by_itself,
        a_sender_that_restarts_after_500_ms_loses_nothing,
        a_faster_restart_loses_what_is_stated_and_no_more,
        a_thousand_senders_do_not_disturb_each_other,
        a_pause_of_the_process_loses_nothing,
        time_that_stands_still_is_seamless,
        time_that_runs_backwards_is_seamless,
        entry_forget_time_may_be_10_ms_or_10_s,
    }
}
