//! Random numbers that depend on nothing but a key, a frame's number and a purpose.
//!
//! A running generator would do too, but then switching one impairment on would change the choices
//! of all others from that frame on. Here the fate of frame 1,000 is the same however the settings
//! came to be what they are, and a test can be replayed from its seed and its frames alone.
//!
//! The mixing is `SplitMix64` (Steele, Lea, Flood 2014), written out because the promise "same
//! seed, same decisions" must outlive a library's next version.

/// A stream of random numbers.
#[derive(Clone, Copy, Debug)]
pub struct Random(u64);

/// What a random number is for: choices for different purposes do not depend on each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Purpose {
    /// Independent loss.
    Lose = 1,
    /// The state of the burst model and loss in it.
    Burst,
    /// Whether and how a frame is repeated.
    Repeat,
    /// Jitter of each copy.
    Jitter,
    /// Whether a frame is held back.
    Reorder,
    /// Whether and where bits are flipped.
    Corrupt,
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The generator's step as a function: a bijection in which every bit of `value` counts.
pub(crate) const fn advance(value: u64) -> u64 {
    mix(value.wrapping_add(GOLDEN))
}

/// The key of one lane: pair number and direction belong to it, so that lanes differ.
#[must_use]
pub const fn lane_key(seed: u64, pair: u64, backward: bool) -> u64 {
    mix(advance(seed) ^ (pair * 2 + backward as u64 + 1).wrapping_mul(GOLDEN))
}

impl Random {
    /// The numbers for `purpose` on frame number `frame` of the lane with `key`.
    #[must_use]
    pub const fn for_frame(key: u64, frame: u64, purpose: Purpose) -> Self {
        let frame = mix(frame.wrapping_mul(GOLDEN).wrapping_add(purpose as u64));
        Self(mix(key ^ frame))
    }

    /// Numbers from a bare seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(advance(seed))
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number below `bound`, each equally likely but for one part in 2^64 / `bound`; 0 for 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.bits()) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// True with `probability` (at or below 0 never, from 1 on always).
    pub fn hits(&mut self, probability: f64) -> bool {
        /// 2^-53: the distance of the numbers below 1 that a double can tell.
        const STEP: f64 = 1.0 / 9_007_199_254_740_992.0;
        // 53 bits fit a double exactly.
        (self.bits() >> 11) as f64 * STEP < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_frame_and_purpose_give_the_same_numbers() {
        let mut one = Random::for_frame(7, 1_000, Purpose::Lose);
        let mut two = Random::for_frame(7, 1_000, Purpose::Lose);
        for _ in 0..100 {
            assert_eq!(one.bits(), two.bits());
        }
    }

    #[test]
    fn lanes_frames_and_purposes_differ() {
        let keys = [
            lane_key(1, 0, false),
            lane_key(1, 0, true),
            lane_key(1, 1, false),
            lane_key(2, 0, false),
        ];
        let mut firsts: Vec<u64> = Vec::new();
        for key in keys {
            for frame in 0..50 {
                for purpose in [Purpose::Lose, Purpose::Jitter, Purpose::Corrupt] {
                    firsts.push(Random::for_frame(key, frame, purpose).bits());
                }
            }
        }
        let all = firsts.len();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), all);
    }

    #[test]
    fn zero_never_hits_and_one_always() {
        let mut random = Random::new(3);
        for _ in 0..10_000 {
            assert!(!random.hits(0.0));
            assert!(random.hits(1.0));
        }
    }

    /// Chi-square over 64 classes, 63 degrees of freedom: above 118 happens once in 30,000 sound
    /// generators, below 24 likewise.
    #[test]
    fn numbers_below_a_bound_are_spread_evenly() {
        for purpose in [Purpose::Lose, Purpose::Burst, Purpose::Reorder] {
            let mut counts = [0u32; 64];
            for frame in 0..64_000 {
                let class = Random::for_frame(11, frame, purpose).below(64);
                counts[usize::try_from(class).unwrap()] += 1;
            }
            let chi: f64 = counts.iter().map(|&n| (f64::from(n) - 1_000.0).powi(2) / 1_000.0).sum();
            assert!((24.0..118.0).contains(&chi), "{purpose:?}: {chi}");
        }
    }
}
