//! The sum by an instruction for single words.
//!
//! One step takes as long as three can be begun in. So three pieces are summed side by side and put
//! together: a sum is linear, and what a piece adds to it is moved behind the next piece as if that
//! one were zeros. That is a product with a constant; tables for half octets of the register make
//! it, 512 octets for each length of pieces.

use super::{Job, Step, narrow};
use crate::crc::bit;
use crate::word::WORD_OCTETS;

/// Words of a piece, where there is much and where there is less.
const LONG: usize = 128;
const SHORT: usize = 16;

/// The remainder of the power `n`, least power in the highest bit.
pub(super) const fn power(n: usize) -> u32 {
    let mut remainder = 1 << 31;
    let mut at = 0;
    while at < n {
        remainder = bit(remainder);
        at += 1;
    }
    remainder
}

/// What each half octet of the register becomes.
type Product = [[[u32; 16]; 2]; size_of::<u32>()];

static BEHIND_LONG: Product = behind(LONG);
static BEHIND_SHORT: Product = behind(SHORT);

/// The product that moves the register behind so many words.
const fn behind(words: usize) -> Product {
    let mut product = [[[0; 16]; 2]; size_of::<u32>()];
    // The register's highest bit is the power 0, and the next one a power more.
    let mut moved = power(8 * WORD_OCTETS * words);
    let mut at = u32::BITS as usize;
    while at > 0 {
        at -= 1;
        let mut value = 0;
        while value < 16 {
            if value >> (at % 4) & 1 == 1 {
                product[at / 8][at / 4 % 2][value] ^= moved;
            }
            value += 1;
        }
        moved = bit(moved);
    }
    product
}

#[inline(always)]
fn times(state: u64, product: &Product) -> u64 {
    let octets = narrow(state).to_le_bytes();
    let moved = octets.iter().zip(product).fold(0, |sum, (octet, [lower, upper])| {
        sum ^ lower[usize::from(octet & 15)] ^ upper[usize::from(octet >> 4)]
    });
    moved.into()
}

/// Does `job` from the register's state `state` on, several words at a time; the state after it.
#[inline(always)]
pub(super) fn by_streams<S: Step, J: Job>(with: S, state: u32, mut job: J) -> u32 {
    // Each length is a multiple of the next, so that all pieces begin at a multiple of theirs.
    let (state, at) = in_pieces::<_, _, LONG>(with, state.into(), &mut job, 0, &BEHIND_LONG);
    let (state, at) = in_pieces::<_, _, SHORT>(with, state, &mut job, at, &BEHIND_SHORT);
    one_by_one(with, narrow(state), job, at)
}

/// Does what there is in three pieces of `WORDS` words each, from word `at` on; the state and where
/// it stands.
#[inline(always)]
fn in_pieces<S: Step, J: Job, const WORDS: usize>(
    with: S,
    mut state: u64,
    job: &mut J,
    from: usize,
    behind: &Product,
) -> (u64, usize) {
    let (mut piece, end) = (from / WORDS, job.words() / WORDS);
    while end - piece >= 3 {
        let (mut second, mut third) = (0, 0);
        for at in 0..WORDS {
            state = with.word(state, job.word::<WORDS>(piece, at));
            second = with.word(second, job.word::<WORDS>(piece + 1, at));
            third = with.word(third, job.word::<WORDS>(piece + 2, at));
        }
        state = times(times(state, behind) ^ second, behind) ^ third;
        piece += 3;
    }
    (state, piece * WORDS)
}

/// Does `job` from word `from` on, a word at a time.
#[inline(always)]
pub(super) fn one_by_one<S: Step, J: Job>(with: S, state: u32, mut job: J, from: usize) -> u32 {
    let words = from..job.words();
    narrow(words.fold(state.into(), |state, at| with.word(state, job.word::<1>(at, 0))))
}
