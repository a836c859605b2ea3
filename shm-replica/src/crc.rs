//! CRC-32C (Castagnoli), which says whether an image is the one that was committed.
//!
//! It finds what a stray pointer of another program, a faulty memory or a defect of ours changed.
//! It is no proof against somebody who means it. The `os` half uses the processor's instructions,
//! which are looked for when it is first used: so [`Crc::prepare`] belongs before real-time work.
//! The pure half has tables for half octets: 1 KiB, which leaves the caches to the application.

use crate::word::WORD_OCTETS;

/// The checksum so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Crc(u32);

impl Crc {
    /// Of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// Looks for the processor's instructions once. Not for a real-time thread; what comes later
    /// does not.
    pub fn prepare() {
        let _ = Self::new().extend(&[0; 1_024]);
    }

    /// With `octets` behind what came before.
    #[must_use]
    pub fn extend(self, octets: &[u8]) -> Self {
        #[cfg(feature = "os")]
        return crate::os::summed::extend(self, octets);
        #[cfg(not(feature = "os"))]
        return Self::of(by_tables(self.state(), octets));
    }

    /// With `octets` behind what came before, filled up to a whole word with zeros.
    #[must_use]
    #[inline]
    pub fn extend_padded(self, octets: &[u8]) -> Self {
        #[cfg(feature = "os")]
        if let Some(sum) = crate::os::summed::extend_few(self, octets) {
            return sum;
        }
        let (whole, rest) = octets.as_chunks::<WORD_OCTETS>();
        let crc = self.extend(whole.as_flattened());
        if rest.is_empty() { crc } else { crc.extend(&padded(rest)) }
    }

    /// With the octets of `words`, least first, behind what came before. For a few of them.
    #[must_use]
    #[inline]
    pub fn extend_words<const N: usize>(self, words: [u64; N]) -> Self {
        #[cfg(feature = "os")]
        return crate::os::summed::extend_words(self, words);
        #[cfg(not(feature = "os"))]
        return Self::of(words.into_iter().fold(self.state(), word_by_tables));
    }

    /// The checksum.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }

    /// The register as it stands, which is the checksum's complement.
    pub(crate) const fn state(self) -> u32 {
        !self.0
    }

    /// The checksum when the register stands so.
    pub(crate) const fn of(state: u32) -> Self {
        Self(!state)
    }
}

impl Default for Crc {
    fn default() -> Self {
        Self::new()
    }
}

/// The last octets of an image, less than a word, as they stand in a word.
pub(crate) fn padded(rest: &[u8]) -> [u8; WORD_OCTETS] {
    let mut word = [0; WORD_OCTETS];
    word[..rest.len()].copy_from_slice(rest);
    word
}

/// The polynomial, least power in the highest bit.
pub(crate) const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The register, one bit on: times the power 1.
pub(crate) const fn bit(state: u32) -> u32 {
    (state >> 1) ^ (POLYNOMIAL * (state & 1))
}

/// What each half octet of a word does to the register by the word's end.
static HALF_OCTETS: [[u32; 16]; 2 * WORD_OCTETS] = {
    let mut tables = [[0; 16]; 2 * WORD_OCTETS];
    let mut at = 0;
    while at < tables.len() {
        let mut value = 0;
        while value < 16u32 {
            // It comes when those before it have gone through, and those behind it follow.
            let mut state = value;
            let mut bits = 4 * (tables.len() - at);
            while bits > 0 {
                state = bit(state);
                bits -= 1;
            }
            tables[at][value as usize] = state;
            value += 1;
        }
        at += 1;
    }
    tables
};

/// The register after eight octets, least first, without any instruction for it.
pub(crate) fn word_by_tables(state: u32, word: u64) -> u32 {
    let octets = (word ^ u64::from(state)).to_le_bytes();
    let (tables, _) = HALF_OCTETS.as_chunks();
    octets.iter().zip(tables).fold(0, |sum, (octet, [lower, upper])| {
        sum ^ lower[usize::from(octet & 15)] ^ upper[usize::from(octet >> 4)]
    })
}

/// The register after an octet, without any instruction for it.
pub(crate) fn octet_bit_by_bit(state: u32, octet: u8) -> u32 {
    (0..8).fold(state ^ u32::from(octet), |state, _| bit(state))
}

/// The register after `octets`, without any instruction for it.
#[cfg(not(feature = "os"))]
fn by_tables(state: u32, octets: &[u8]) -> u32 {
    let (words, rest) = octets.as_chunks();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let state = words.fold(state, word_by_tables);
    rest.iter().copied().fold(state, octet_bit_by_bit)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// As the polynomial says.
    pub(crate) fn as_defined(octets: &[u8]) -> u32 {
        !octets.iter().copied().fold(!0, octet_bit_by_bit)
    }

    #[test]
    fn the_published_check_value_comes_out() {
        assert_eq!(Crc::new().extend(b"123456789").value(), 0xe306_9283);
        assert_eq!(Crc::new().value(), 0);
        assert_eq!(Crc::new().extend(&[0; 32]).value(), 0x8a91_36aa, "RFC 3720, B.4");
    }

    #[test]
    fn pieces_give_what_the_whole_gives() {
        let octets: Vec<u8> = (0..3_000u32).map(|n| (n * n).to_le_bytes()[1]).collect();
        for length in [0, 1, 7, 8, 63, 64, 65, 255, 256, 1_023, 3_000] {
            let whole = as_defined(&octets[..length]);
            for at in [0, 1, 8, 64, 100, 777] {
                let (first, second) = octets[..length].split_at(at.min(length));
                assert_eq!(Crc::new().extend(first).extend(second).value(), whole);
            }
        }
        let words = [1u64, 0x0123_4567_89ab_cdef];
        let octets: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(Crc::new().extend_words(words).value(), as_defined(&octets));
    }

    #[test]
    fn padding_is_zeros_up_to_a_whole_word() {
        for length in 0..=40 {
            let mut octets = vec![0xa5; length];
            let padded = Crc::new().extend_padded(&octets);
            octets.resize(length.next_multiple_of(WORD_OCTETS), 0);
            assert_eq!(padded, Crc::new().extend(&octets));
        }
    }
}
