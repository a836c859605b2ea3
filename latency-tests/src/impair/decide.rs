//! What happens to one frame: a value that is asked with the frame's length and instant and answers
//! with the copies to send and when.
//!
//! The order of the faults is that of a link: a cut takes everything; then loss; then the link's
//! rate; then each copy gets its delay, its jitter, the hold that reorders and its flipped bits.

use rt_core::time::{Duration, Instant};

use super::random::{Purpose, Random};
use super::settings::{Region, Settings};

/// The settings of one direction and the little state that faults have.
#[derive(Clone, Debug)]
pub struct Lane {
    key: u64,
    frames: u64,
    settings: Settings,
    cut: bool,
    in_burst: bool,
    busy_until: Instant,
    newest_send_at: Instant,
}

/// What became of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Copies are sent, as listed.
    Sent {
        /// The frame was held back.
        held: bool,
    },
    /// The link is cut.
    Cut,
    /// Lost by chance.
    Lost,
    /// The link's rate and backlog had no room.
    Overflow,
}

/// One copy to send.
#[derive(Clone, Copy, Debug)]
pub struct Copy {
    /// When; the frame's own instant means at once.
    pub send_at: Instant,
    /// Bits to flip in it.
    pub flips: Option<Flips>,
}

/// Which bits to flip, found only when the frame is at hand.
#[derive(Clone, Copy, Debug)]
pub struct Flips {
    random: Random,
    bits: u64,
    region: Region,
}

impl Lane {
    /// A lane that does nothing to its frames. `key`: see [`super::random::lane_key`].
    #[must_use]
    pub fn new(key: u64) -> Self {
        Self {
            key,
            frames: 0,
            settings: Settings::default(),
            cut: false,
            in_burst: false,
            busy_until: Instant::ORIGIN,
            newest_send_at: Instant::ORIGIN,
        }
    }

    /// The settings in force.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Replaces the settings (checked ones); a cut stays.
    pub fn set(&mut self, settings: Settings) {
        self.settings = settings;
        self.in_burst = false;
        self.busy_until = Instant::ORIGIN;
    }

    /// Cuts the link in this direction or mends it.
    pub const fn set_cut(&mut self, cut: bool) {
        self.cut = cut;
    }

    /// Whether the link is cut in this direction.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.cut
    }

    /// Decides about the lane's next frame, of `octets` octets, which came at `at`. `copies` is
    /// emptied and filled: at least one entry when the fate is [`Fate::Sent`], else none; at most
    /// 1 + [`super::settings::REPEAT_COUNT_MAX`].
    pub fn decide(&mut self, octets: usize, at: Instant, copies: &mut Vec<Copy>) -> Fate {
        copies.clear();
        let frame = self.frames;
        self.frames += 1;
        // Both kinds of loss are drawn even on a cut link: the burst model lives on frames.
        let lost = self.loses(frame);
        if self.cut {
            return Fate::Cut;
        }
        if lost {
            return Fate::Lost;
        }
        let extra = self.extra_copies(frame);
        let held = self.settings.reorder.filter(|reorder| {
            Random::for_frame(self.key, frame, Purpose::Reorder).hits(reorder.probability)
        });
        let hold = held.map_or(Duration::ZERO, |reorder| Duration::from_micros(reorder.hold_us));
        let mut jitter = Random::for_frame(self.key, frame, Purpose::Jitter);
        let mut corrupt = Random::for_frame(self.key, frame, Purpose::Corrupt);
        let spacing = self.settings.repeat.map_or(0, |repeat| repeat.spacing_us);
        for copy in 0..=extra {
            let Some(departure) = self.pass_rate(octets, at) else { break };
            let apart = Duration::from_micros(spacing.saturating_mul(copy));
            let mut send_at = departure + apart + self.delay(&mut jitter);
            if self.settings.keep_order {
                send_at = send_at.max(self.newest_send_at);
                self.newest_send_at = send_at;
            }
            let flips = self.flips(&mut corrupt);
            copies.push(Copy { send_at: send_at + hold, flips });
        }
        if copies.is_empty() { Fate::Overflow } else { Fate::Sent { held: held.is_some() } }
    }

    fn loses(&mut self, frame: u64) -> bool {
        let mut lost = self.settings.lose.is_some_and(|lose| {
            Random::for_frame(self.key, frame, Purpose::Lose).hits(lose.probability)
        });
        if let Some(bursts) = self.settings.lose_bursts {
            let mut random = Random::for_frame(self.key, frame, Purpose::Burst);
            let change = if self.in_burst { bursts.leave } else { bursts.enter };
            self.in_burst ^= random.hits(change);
            let here = if self.in_burst { bursts.lose_inside } else { bursts.lose_outside };
            lost |= random.hits(here);
        }
        lost
    }

    fn extra_copies(&self, frame: u64) -> u64 {
        self.settings
            .repeat
            .filter(|repeat| {
                Random::for_frame(self.key, frame, Purpose::Repeat).hits(repeat.probability)
            })
            .map_or(0, |repeat| u64::from(repeat.count))
    }

    /// When the link has carried the frame; nothing when it would have to wait too long.
    fn pass_rate(&mut self, octets: usize, at: Instant) -> Option<Instant> {
        let Some(rate) = self.settings.rate else { return Some(at) };
        let begin = self.busy_until.max(at);
        if begin.since(at) > Duration::from_micros(rate.backlog_us_max) {
            return None;
        }
        let bits = u128::try_from(octets).unwrap_or(0) * 8;
        let nanos = bits * 1_000_000_000 / u128::from(rate.bits_per_second.max(1));
        self.busy_until = begin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        Some(self.busy_until)
    }

    fn delay(&self, jitter: &mut Random) -> Duration {
        let delay = Duration::from_micros(self.settings.delay_us);
        let half = Duration::from_micros(self.settings.jitter_us);
        if half == Duration::ZERO {
            return delay;
        }
        let width = half.saturating_mul(2).as_nanos().saturating_add(1);
        delay.saturating_sub(half) + Duration::from_nanos(jitter.below(width))
    }

    fn flips(&self, random: &mut Random) -> Option<Flips> {
        let corrupt = self.settings.corrupt?;
        // Always three draws per copy, so that a copy's fate does not depend on that of another.
        let hit = random.hits(corrupt.probability);
        let bits = 1 + random.below(u64::from(corrupt.bits_max));
        let random = Random::new(random.bits());
        hit.then_some(Flips { random, bits, region: corrupt.region })
    }
}

impl Flips {
    /// Flips the bits in `frame`: all different, at least one unless the frame is empty.
    pub fn apply(mut self, frame: &mut [u8]) {
        const ADDRESSES: usize = 12;
        let from = match self.region {
            Region::BehindAddresses if frame.len() > ADDRESSES => ADDRESSES,
            _ => 0,
        };
        let region = &mut frame[from..];
        let width = u64::try_from(region.len()).unwrap_or(0) * 8;
        let mut flipped: Vec<u64> = Vec::new();
        // Drawing again on a repetition ends soon as long as at most half of the bits are wanted.
        let wanted = self.bits.min(width.div_ceil(2));
        while u64::try_from(flipped.len()).unwrap_or(u64::MAX) < wanted {
            let bit = self.random.below(width);
            if flipped.contains(&bit) {
                continue;
            }
            flipped.push(bit);
            if let Some(octet) = usize::try_from(bit / 8).ok().and_then(|at| region.get_mut(at)) {
                *octet ^= 1 << (bit % 8);
            }
        }
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
