//! A few octets, word by word.
//!
//! What is there for many costs more than it saves here: a job that is handed on in memory, pieces
//! that are never as long. Everything is in registers, and a store to the stack less is a place
//! more in the queue in which stores to contended lines wait.

use core::sync::atomic::{AtomicU64, Ordering};

use super::{Step, narrow};
use crate::crc::padded;
use crate::word::WORD_OCTETS;

/// The state `state` by `words`.
#[inline(always)]
pub(super) fn sum_words<S: Step, const N: usize>(with: S, state: u32, words: [u64; N]) -> u32 {
    narrow(words.into_iter().fold(state.into(), |state, word| with.word(state, word)))
}

/// The state `state` by `octets`, filled up with zeros.
#[inline(always)]
pub(super) fn sum<S: Step>(with: S, state: u32, octets: &[u8]) -> u32 {
    let (whole, rest) = octets.as_chunks::<WORD_OCTETS>();
    let words = whole.iter().map(|octets| u64::from_le_bytes(*octets));
    let state = words.fold(state.into(), |state, word| with.word(state, word));
    narrow(if rest.is_empty() { state } else { with.word(state, last(rest)) })
}

/// Stores `octets`, filled up with zeros, in the first of `words`, which are enough.
#[inline(always)]
pub(super) fn store<S: Step>(with: S, state: u32, words: &[AtomicU64], octets: &[u8]) -> u32 {
    let (whole, rest) = octets.as_chunks::<WORD_OCTETS>();
    let mut state = state.into();
    for (word, octets) in words.iter().zip(whole) {
        let value = u64::from_le_bytes(*octets);
        word.store(value, Ordering::Relaxed);
        state = with.word(state, value);
    }
    if let (false, Some(word)) = (rest.is_empty(), words.get(whole.len())) {
        let value = last(rest);
        word.store(value, Ordering::Relaxed);
        state = with.word(state, value);
    }
    narrow(state)
}

/// Loads `octets` from the first of `words`, which are enough; what fills up the last one counts as
/// zeros.
#[inline(always)]
pub(super) fn load<S: Step>(with: S, state: u32, words: &[AtomicU64], octets: &mut [u8]) -> u32 {
    let (whole, rest) = octets.as_chunks_mut::<WORD_OCTETS>();
    let mut state = state.into();
    for (word, octets) in words.iter().zip(whole.iter_mut()) {
        let value = word.load(Ordering::Relaxed);
        *octets = value.to_le_bytes();
        state = with.word(state, value);
    }
    if let (false, Some(word)) = (rest.is_empty(), words.get(whole.len())) {
        let value = word.load(Ordering::Relaxed).to_le_bytes();
        rest.copy_from_slice(&value[..rest.len()]);
        state = with.word(state, last(rest));
    }
    narrow(state)
}

/// Less than a word of octets, filled up with zeros.
#[inline(always)]
fn last(rest: &[u8]) -> u64 {
    u64::from_le_bytes(padded(rest))
}
