//! What the tests of this package share: seeded random numbers and the bodies of the fuzz targets.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::cast_possible_truncation, reason = "random numbers are cut to size on purpose")]

mod fuzz_attach;
pub(crate) mod fuzz_bodies;
mod fuzz_schema;
mod fuzz_segment;

/// How many cases to run: fifty times as many in a soak. (Who calls it has a long form; that is
/// found out by the word.)
pub(crate) fn or_soak(usual: u64) -> u64 {
    if std::env::var_os("BUMPLESS_SOAK").is_some_and(|v| v == "1") { usual * 50 } else { usual }
}

/// Seeded random numbers (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An index into what has `len` places, at least one.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        ((u128::from(self.next()) * len as u128) >> 64) as usize
    }

    pub(crate) fn octets(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}
