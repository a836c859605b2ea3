//! Random numbers for resampling: the same seed, the same figures on every machine.

/// A source of random numbers (xoshiro256++ of Blackman and Vigna, seeded by splitmix64). Not for
/// secrets.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The source that `seed` names.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let mut seed = seed;
        let state = std::array::from_fn(|_| {
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = seed;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        });
        Self { state }
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let s = &mut self.state;
        let out = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        out
    }

    /// A number between 0 and 1, never either.
    pub fn uniform(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// A number of the exponential distribution with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -self.uniform().ln()
    }

    /// An index below `count`; 0 for a `count` of 0.
    pub fn below(&mut self, count: usize) -> usize {
        // The bias of the product is below 2^-40 for every count that fits a memory of 16 MiB.
        let product = u128::from(self.bits()) * count as u128;
        usize::try_from(product >> 64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_names_one_sequence() {
        let (mut a, mut b) = (Random::from_seed(7), Random::from_seed(7));
        assert!((0..100).all(|_| a.bits() == b.bits()));
        assert_ne!(Random::from_seed(8).bits(), Random::from_seed(7).bits());
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut random = Random::from_seed(1);
        let count = 100_000;
        let mean = (0..count).map(|_| random.uniform()).sum::<f64>() / f64::from(count);
        assert!((mean - 0.5).abs() < 0.005, "{mean}");
        let mean = (0..count).map(|_| random.exponential()).sum::<f64>() / f64::from(count);
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        let mut seen = [0u32; 7];
        (0..70_000).for_each(|_| seen[random.below(7)] += 1);
        assert!(seen.iter().all(|&times| times.abs_diff(10_000) < 500), "{seen:?}");
    }
}
