//! The sum by carry-less products, whatever the width of a register.
//!
//! The octets are a polynomial, and the sum is its remainder. What stands first may be replaced by
//! anything with the same remainder further behind: two products of 32 by 64 bits for 128 bits.
//! So a line is moved upon one further behind and added to it, until one is left; its remainder is
//! that of all. Several lines are moved at a time, for a product takes longer than the next one has
//! to wait.

use super::streams::{one_by_one, power};
use super::{Fold, Job, LINE, LINE_WORDS, Sum};

/// Bits of a line.
const LINE_BITS: usize = 8 * LINE;

/// What moves 128 bits by so many: the factor for the half that stands first, and for the other.
/// A product of reflected factors comes out by 33 powers too high, for there are 64 and 32 bits of
/// them in a place for 128.
const fn key(bits: usize) -> [u64; 2] {
    [power(bits + 64 - 33) as u64, power(bits - 33) as u64]
}

/// Does `job`, `LINES` lines at a time, from the register's state `state` on; the state after it.
#[inline(always)]
pub(super) fn by_lines<F: Fold, J: Job, const LINES: usize>(
    with: F,
    state: u32,
    mut job: J,
) -> u32 {
    let count = job.words() / LINE_WORDS;
    if count < LINES {
        return with.by_words(state, job);
    }
    // What is in the register is added to what comes first.
    let mut first = [0; LINE];
    first[..size_of::<u32>()].copy_from_slice(&state.to_le_bytes());
    let mut sums = [with.load(&first); LINES];
    for (at, sum) in sums.iter_mut().enumerate() {
        let line = job.line(with, at);
        *sum = if at == 0 { with.xor(*sum, line) } else { line };
    }
    let all = with.key(const { key(LINE_BITS * LINES) });
    let mut at = LINES;
    while at + LINES <= count {
        for (ahead, sum) in sums.iter_mut().enumerate() {
            let line = job.line(with, at + ahead);
            *sum = with.fold(*sum, all, line);
        }
        at += LINES;
    }
    let one = with.key(const { key(LINE_BITS) });
    let mut last = sums[0];
    for &sum in &sums[1..] {
        last = with.fold(last, one, sum);
    }
    while at < count {
        let line = job.line(with, at);
        last = with.fold(last, one, line);
        at += 1;
    }
    let mut octets = [0; LINE];
    with.store(last, &mut octets);
    let state = one_by_one(with, 0, Sum(&octets), 0);
    one_by_one(with, state, job, at * LINE_WORDS)
}
