//! CRC-32C (Castagnoli), which says whether an image is the one that was committed.
//!
//! It finds what a stray pointer of another program, a faulty memory or a defect of ours changed.
//! It is no proof against somebody who means it. The `os` half uses the processor's instructions,
//! which are looked for when it is first used: so [`Crc::prepare`] belongs before real-time work.
//! The pure half goes octet by octet.

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
        let _ = Self::new().extend(&[0; 64]);
    }

    /// With `octets` behind what came before.
    #[must_use]
    pub fn extend(self, octets: &[u8]) -> Self {
        #[cfg(feature = "os")]
        return Self(crc32c::crc32c_append(self.0, octets));
        #[cfg(not(feature = "os"))]
        return Self(octet_by_octet(self.0, octets));
    }

    /// With the octets of `words`, least first, behind what came before.
    #[must_use]
    pub fn extend_words<const N: usize>(self, words: [u64; N]) -> Self {
        self.extend(words.map(u64::to_le_bytes).as_flattened())
    }

    /// The checksum.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }
}

/// The polynomial, least power in the highest bit.
#[cfg(any(not(feature = "os"), test))]
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// As the polynomial says, without any instruction for it.
#[cfg(any(not(feature = "os"), test))]
fn octet_by_octet(crc: u32, octets: &[u8]) -> u32 {
    !octets.iter().fold(!crc, |state, octet| {
        (0..8).fold(state ^ u32::from(*octet), |state, _| {
            let carry = state & 1;
            (state >> 1) ^ (POLYNOMIAL * carry)
        })
    })
}

impl Default for Crc {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let whole = octet_by_octet(0, &octets[..length]);
            for at in [0, 1, 8, 64, 100, 777] {
                let (first, second) = octets[..length].split_at(at.min(length));
                assert_eq!(Crc::new().extend(first).extend(second).value(), whole);
            }
        }
        let words = [1u64, 0x0123_4567_89ab_cdef];
        let octets: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(Crc::new().extend_words(words).value(), octet_by_octet(0, &octets));
    }
}
