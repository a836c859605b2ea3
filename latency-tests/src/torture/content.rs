//! What an image holds: a pure function of who committed it, in which cycle, of which region.
//!
//! Each octet follows from these, so a checker needs neither the image's checksum nor anything else
//! of the library's to tell an image that was committed from one that was not.

use std::fmt;

/// Octets of the part that says what the rest has to be.
const HEAD_OCTETS: usize = 16;

/// What an image was made of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Origin {
    /// The epoch of the owner that made it.
    pub epoch: u64,
    /// The cycle.
    pub cycle: u64,
}

/// An image that nobody committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Torn {
    /// The first octet that is not what it has to be.
    pub at: usize,
    /// What the image says that it was made of.
    pub says: Origin,
}

impl fmt::Display for Torn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "octet {} does not belong to {:?}", self.at, self.says)
    }
}

/// Fills an image of at least sixteen octets.
pub fn fill(image: &mut [u8], seed: u64, region: usize, origin: Origin) {
    let (head, rest) = image.split_at_mut(HEAD_OCTETS);
    head[..8].copy_from_slice(&origin.epoch.to_le_bytes());
    head[8..].copy_from_slice(&origin.cycle.to_le_bytes());
    let key = key(seed, region, origin);
    for (index, octets) in rest.chunks_mut(8).enumerate() {
        octets.copy_from_slice(&word(key, index)[..octets.len()]);
    }
}

/// Looks at each octet of an image; what it was made of.
///
/// # Errors
/// It is none that [`fill`] makes.
pub fn check(image: &[u8], seed: u64, region: usize) -> Result<Origin, Torn> {
    let none = Torn { at: image.len(), says: Origin::default() };
    let (head, rest) = image.split_at_checked(HEAD_OCTETS).ok_or(none)?;
    let number =
        |at: usize| head[at..].first_chunk().map_or(0, |octets| u64::from_le_bytes(*octets));
    let says = Origin { epoch: number(0), cycle: number(8) };
    let key = key(seed, region, says);
    for (index, octets) in rest.chunks(8).enumerate() {
        let expected = word(key, index);
        if let Some(at) = octets.iter().zip(expected).position(|(found, it)| *found != it) {
            return Err(Torn { at: HEAD_OCTETS + 8 * index + at, says });
        }
    }
    Ok(says)
}

fn key(seed: u64, region: usize, origin: Origin) -> u64 {
    mixed(mixed(mixed(seed) ^ origin.epoch) ^ origin.cycle) ^ region as u64
}

fn word(key: u64, index: usize) -> [u8; 8] {
    mixed(key.wrapping_add((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))).to_le_bytes()
}

/// One number scattered over all others: the finalizer of splitmix64.
#[must_use]
pub const fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_octet_counts_and_so_does_what_it_was_made_of() {
        let origin = Origin { epoch: 3, cycle: 77 };
        for octets in [16, 17, 64, 203] {
            let mut image = vec![0; octets];
            fill(&mut image, 5, 1, origin);
            assert_eq!(check(&image, 5, 1), Ok(origin));
            for at in 0..octets {
                if octets == 16 {
                    break;
                }
                image[at] ^= 1;
                assert!(check(&image, 5, 1).is_err(), "octet {at} of {octets}");
                image[at] ^= 1;
            }
        }
        let mut image = [0; 64];
        fill(&mut image, 5, 1, origin);
        assert!(check(&image, 6, 1).is_err() && check(&image, 5, 2).is_err());
        assert!(check(&image[..9], 5, 1).is_err());
    }
}
