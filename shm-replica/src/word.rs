//! A word of shared memory, as the ring needs it.
//!
//! The ring is written against this trait and not against an atomic type, so that a model checker
//! can take the word's place: what is checked is the code that ships. Octets are moved in whole
//! words, each one load or store, because two processes may be at the same octet at the same time;
//! plain copies would be a data race. (Bytewise atomic copies are what this wants to be; the
//! language has none yet.)

use core::sync::atomic::{AtomicU64, Ordering, fence};

use crate::crc::Crc;

/// Octets of a word.
pub const WORD_OCTETS: usize = size_of::<u64>();

/// A word that several processes see.
pub trait Word: Sized {
    /// Reads the word.
    fn load(&self, ordering: Ordering) -> u64;

    /// Writes the word.
    fn store(&self, value: u64, ordering: Ordering);

    /// Orders what this thread did before it against what it does after it.
    fn fence(ordering: Ordering);

    /// Says that `words` will soon be read from the first one on, so that the first of them may be
    /// brought near meanwhile. Reads nothing.
    fn expect(_words: &[Self]) {}

    /// Stores `octets` in the first words of `words`, each relaxed; the last one is filled up with
    /// zeros. Stores what fits.
    fn store_octets(words: &[Self], octets: &[u8]) {
        let (whole, rest) = octets.as_chunks::<WORD_OCTETS>();
        for (word, octets) in words.iter().zip(whole) {
            word.store(u64::from_le_bytes(*octets), Ordering::Relaxed);
        }
        if let (false, Some(word)) = (rest.is_empty(), words.get(whole.len())) {
            let mut last = [0; WORD_OCTETS];
            last[..rest.len()].copy_from_slice(rest);
            word.store(u64::from_le_bytes(last), Ordering::Relaxed);
        }
    }

    /// Loads the first words of `words`, each relaxed, into `octets`. Loads what is there.
    fn load_octets(words: &[Self], octets: &mut [u8]) {
        let (whole, rest) = octets.as_chunks_mut::<WORD_OCTETS>();
        for (word, octets) in words.iter().zip(whole.iter_mut()) {
            *octets = word.load(Ordering::Relaxed).to_le_bytes();
        }
        if let (false, Some(word)) = (rest.is_empty(), words.get(whole.len())) {
            let last = word.load(Ordering::Relaxed).to_le_bytes();
            rest.copy_from_slice(&last[..rest.len()]);
        }
    }

    /// Stores as [`Self::store_octets`] does. The sum is `crc` with what was stored behind it, and
    /// that is whole words.
    fn store_summed(words: &[Self], octets: &[u8], crc: Crc) -> Crc {
        let octets = &octets[..octets.len().min(WORD_OCTETS * words.len())];
        Self::store_octets(words, octets);
        crc.extend_padded(octets)
    }

    /// Loads as [`Self::load_octets`] does, each word once. The sum is `crc` with what was loaded
    /// behind it, filled up to a whole word with zeros, whatever there is in memory.
    fn load_summed(words: &[Self], octets: &mut [u8], crc: Crc) -> Crc {
        let fits = octets.len().min(WORD_OCTETS * words.len());
        let octets = &mut octets[..fits];
        Self::load_octets(words, octets);
        crc.extend_padded(octets)
    }
}

impl Word for AtomicU64 {
    #[inline]
    fn load(&self, ordering: Ordering) -> u64 {
        Self::load(self, ordering)
    }

    #[inline]
    fn store(&self, value: u64, ordering: Ordering) {
        Self::store(self, value, ordering);
    }

    #[inline]
    fn fence(ordering: Ordering) {
        fence(ordering);
    }

    #[cfg(feature = "os")]
    #[inline]
    fn expect(words: &[Self]) {
        crate::os::summed::expect(words);
    }

    #[cfg(feature = "os")]
    #[inline]
    fn store_summed(words: &[Self], octets: &[u8], crc: Crc) -> Crc {
        crate::os::summed::store(words, octets, crc)
    }

    #[cfg(feature = "os")]
    #[inline]
    fn load_summed(words: &[Self], octets: &mut [u8], crc: Crc) -> Crc {
        crate::os::summed::load(words, octets, crc)
    }
}

/// Words that `octets` octets take.
#[must_use]
pub const fn words_of(octets: usize) -> usize {
    octets.div_ceil(WORD_OCTETS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(count: usize) -> Vec<AtomicU64> {
        (0..count).map(|_| AtomicU64::new(u64::MAX)).collect()
    }

    #[test]
    fn what_is_stored_is_loaded_whatever_its_length() {
        for length in 0..40 {
            let octets: Vec<u8> = (1..=length).collect();
            let memory = words(words_of(octets.len()));
            AtomicU64::store_octets(&memory, &octets);
            let mut back = vec![0; octets.len()];
            AtomicU64::load_octets(&memory, &mut back);
            assert_eq!(back, octets);
            let mut padded = vec![0xff; words_of(octets.len()) * WORD_OCTETS];
            AtomicU64::load_octets(&memory, &mut padded);
            assert!(padded[octets.len()..].iter().all(|&octet| octet == 0));
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let memory = words(2);
        AtomicU64::store_octets(&memory, &[7; 100]);
        let mut back = [1; 100];
        AtomicU64::load_octets(&memory, &mut back);
        assert_eq!(back[..16], [7; 16]);
        assert_eq!(back[16..], [1; 84]);
    }
}
