//! Copying to and from shared words and the checksum in one pass, with what this processor has for
//! it.
//!
//! A commit is a copy and a checksum. One after the other they cost their sum, for each is at its
//! own limit: the copy waits for the caches, the checksum for carry-less products. In one pass, the
//! products are made of what is in a register anyway, and the slower of the two is what is left.
//!
//! | Way | Needs | How |
//! |---|---|---|
//! | wide | VPCLMULQDQ, AVX-512 | lines of 64 octets, folded |
//! | half | VPCLMULQDQ, AVX2 | the same in halves |
//! | by instruction | SSE4.2, or ARMv8's CRC | words, of three pieces side by side |
//! | by tables | nothing | words, one by one |
//!
//! A few octets go by the instruction whatever there is (`few.rs`): folding pays from
//! `FOLDED_OCTETS_MIN` octets on, and a small commit should not wake a vector unit that sleeps.
//!
//! **Shared words and this language.** Another process may write a word while it is read here (a
//! reader that is being lapped) or read it while it is written. A plain load or store would be a
//! data race, and the compiler would be free to repeat it: to check what it then loads again. So
//! each access to shared words is one that the compiler neither sees through nor divides, repeats
//! nor leaves out: a relaxed atomic one, or one instruction in an `asm!` block of its own. Such a
//! block does what a relaxed load or store of each of its words does. The processor may divide it
//! into words (even octets would do), and no more than that is relied on: whether the words belong
//! together is found out by the sequence word, and then by the checksum. What was loaded goes from
//! the register both into the copy and into the sum; so what was checked is what is used.
//!
//! **Order.** The blocks are not declared free of effects on memory, so the compiler moves none of
//! them across the fences and the accesses of the sequence word. The processor keeps vector loads
//! in order among loads and vector stores among stores, as it does any other; it would not with
//! non-temporal stores or string instructions, so there are none.
//!
//! (A checksum that is faster to compute was the alternative. Of this one it is known which errors
//! it finds, and anybody can compute it. Also tried: a copy in pieces, each summed while it is in
//! the nearest cache, which is hardly faster than copy and sum apart; folding by registers of 128
//! bits, which is slower than the instruction; fetching the lines of the slot ahead, for writing,
//! which is slower than not to, with a reader beside it and without.)

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod few;
#[cfg(target_arch = "x86_64")]
mod fold;
mod streams;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use core::sync::atomic::{AtomicU64, Ordering};

#[cfg(target_arch = "aarch64")]
use aarch64::{Instruction, fetch};
#[cfg(target_arch = "x86_64")]
use x86_64::{Instruction, fetch};

use crate::crc::{Crc, octet_bit_by_bit, padded, word_by_tables};
use crate::word::WORD_OCTETS;

/// Octets of what is folded at once; a cache line.
const LINE: usize = 64;
/// Words of it.
const LINE_WORDS: usize = LINE / WORD_OCTETS;

/// Lines that are fetched for who waits for them. One: of an image of many lines the others come
/// side by side, and each that is fetched too early has to be taken away again.
const EXPECTED_LINES: usize = 1;

/// So many are few: they are moved and summed without looking for what is fastest.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const FEW_OCTETS_MAX: usize = 256;

/// From how many octets on folding is faster than the instruction.
#[cfg(target_arch = "x86_64")]
const FOLDED_OCTETS_MIN: usize = 256;

/// Steps of the checksum's register (the checksum's complement). A value of the type is the proof
/// that the processor can.
trait Step: Copy {
    /// By eight octets, least first. The upper half of a state is zero; it is there because the
    /// instruction has it, and to narrow it between two steps would be a step more to wait for.
    fn word(self, state: u64, word: u64) -> u64;

    /// By one octet.
    fn octet(self, state: u32, octet: u8) -> u32;

    /// Does `job` a word at a time, with the processor's means switched on.
    fn by_words<J: Job>(self, state: u32, job: J) -> u32;
}

/// A state without its upper half.
#[inline(always)]
fn narrow(state: u64) -> u32 {
    #[allow(clippy::cast_possible_truncation, reason = "the upper half is zero")]
    let state = state as u32;
    state
}

/// Folds lines. A value of the type is the proof that the processor can.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "what a job could be done by"))]
trait Fold: Step {
    type Line: Copy;
    type Key: Copy;

    fn load(self, from: &[u8; LINE]) -> Self::Line;
    fn store(self, line: Self::Line, to: &mut [u8; LINE]);
    /// Each word once, and as if by relaxed loads.
    fn load_shared(self, from: &[AtomicU64; LINE_WORDS]) -> Self::Line;
    /// Each word once, and as if by relaxed stores.
    fn store_shared(self, line: Self::Line, to: &[AtomicU64; LINE_WORDS]);
    fn key(self, key: [u64; 2]) -> Self::Key;
    fn xor(self, line: Self::Line, other: Self::Line) -> Self::Line;
    /// `line`, moved to where `next` is, and added to it.
    fn fold(self, line: Self::Line, key: Self::Key, next: Self::Line) -> Self::Line;

    /// Does `job` line by line, with the processor's means switched on.
    fn by_lines<J: Job>(self, state: u32, job: J) -> u32;
}

/// What is done beside the sum, with each line or word once.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "nothing folds lines there"))]
trait Job {
    /// How many whole words there are.
    fn words(&self) -> usize;
    /// Moves line `at`, counted in lines from the first word.
    fn line<F: Fold>(&mut self, with: F, at: usize) -> F::Line;
    /// Moves word `at` of piece `piece`, where pieces have `WORDS` words.
    fn word<const WORDS: usize>(&mut self, piece: usize, at: usize) -> u64;
}

/// Nothing but the sum.
struct Sum<'a>(&'a [u8]);

impl Job for Sum<'_> {
    #[inline(always)]
    fn words(&self) -> usize {
        self.0.len() / WORD_OCTETS
    }

    #[inline(always)]
    fn line<F: Fold>(&mut self, with: F, at: usize) -> F::Line {
        with.load(&self.0.as_chunks().0[at])
    }

    #[inline(always)]
    fn word<const WORDS: usize>(&mut self, piece: usize, at: usize) -> u64 {
        u64::from_le_bytes(self.0.as_chunks().0.as_chunks::<WORDS>().0[piece][at])
    }
}

/// From private octets into as many shared words.
struct Store<'a> {
    octets: &'a [u8],
    words: &'a [AtomicU64],
}

impl Job for Store<'_> {
    #[inline(always)]
    fn words(&self) -> usize {
        self.words.len()
    }

    #[inline(always)]
    fn line<F: Fold>(&mut self, with: F, at: usize) -> F::Line {
        let line = with.load(&self.octets.as_chunks().0[at]);
        with.store_shared(line, &self.words.as_chunks().0[at]);
        line
    }

    #[inline(always)]
    fn word<const WORDS: usize>(&mut self, piece: usize, at: usize) -> u64 {
        let octets = self.octets.as_chunks().0.as_chunks::<WORDS>().0[piece][at];
        let word = u64::from_le_bytes(octets);
        self.words.as_chunks::<WORDS>().0[piece][at].store(word, Ordering::Relaxed);
        word
    }
}

/// From shared words into as many private octets.
struct Load<'a> {
    words: &'a [AtomicU64],
    octets: &'a mut [u8],
}

impl Job for Load<'_> {
    #[inline(always)]
    fn words(&self) -> usize {
        self.words.len()
    }

    #[inline(always)]
    fn line<F: Fold>(&mut self, with: F, at: usize) -> F::Line {
        let line = with.load_shared(&self.words.as_chunks().0[at]);
        with.store(line, &mut self.octets.as_chunks_mut().0[at]);
        line
    }

    #[inline(always)]
    fn word<const WORDS: usize>(&mut self, piece: usize, at: usize) -> u64 {
        let word = self.words.as_chunks::<WORDS>().0[piece][at].load(Ordering::Relaxed);
        let pieces = self.octets.as_chunks_mut().0.as_chunks_mut::<WORDS>().0;
        pieces[piece][at] = word.to_le_bytes();
        word
    }
}

/// What takes no instruction of its own.
#[derive(Clone, Copy, Debug)]
struct Tables;

impl Step for Tables {
    fn word(self, state: u64, word: u64) -> u64 {
        word_by_tables(narrow(state), word).into()
    }

    fn octet(self, state: u32, octet: u8) -> u32 {
        octet_bit_by_bit(state, octet)
    }

    fn by_words<J: Job>(self, state: u32, job: J) -> u32 {
        streams::one_by_one(self, state, job, 0)
    }
}

/// The ways, of which the processor at hand knows some.
#[derive(Clone, Copy, Debug)]
enum Way {
    Tables,
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    Instruction(Instruction),
    #[cfg(target_arch = "x86_64")]
    Half(x86_64::Half),
    #[cfg(target_arch = "x86_64")]
    Wide(x86_64::Wide),
}

impl Way {
    /// The fastest for so many octets. The standard library looks at the processor once; after
    /// that, this loads its answer.
    #[inline]
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables, reason = "one way for all"))]
    fn for_octets(octets: usize) -> Self {
        #[cfg(target_arch = "x86_64")]
        if octets >= FOLDED_OCTETS_MIN {
            let half = || x86_64::Half::new().map(Self::Half);
            if let Some(folded) = x86_64::Wide::new().map(Self::Wide).or_else(half) {
                return folded;
            }
        }
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        if let Some(instruction) = Instruction::new() {
            return Self::Instruction(instruction);
        }
        Self::Tables
    }

    #[inline]
    fn run<J: Job>(self, state: u32, job: J) -> u32 {
        match self {
            Self::Tables => Tables.by_words(state, job),
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
            Self::Instruction(with) => with.by_words(state, job),
            #[cfg(target_arch = "x86_64")]
            Self::Half(with) => with.by_lines(state, job),
            #[cfg(target_arch = "x86_64")]
            Self::Wide(with) => with.by_lines(state, job),
        }
    }

    #[inline]
    fn octet(self, state: u32, octet: u8) -> u32 {
        match self {
            Self::Tables => Tables.octet(state, octet),
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
            Self::Instruction(with) => with.octet(state, octet),
            #[cfg(target_arch = "x86_64")]
            Self::Half(with) => with.octet(state, octet),
            #[cfg(target_arch = "x86_64")]
            Self::Wide(with) => with.octet(state, octet),
        }
    }
}

impl Way {
    fn extend(self, crc: Crc, octets: &[u8]) -> Crc {
        let (whole, rest) = octets.as_chunks::<WORD_OCTETS>();
        let state = self.run(crc.state(), Sum(whole.as_flattened()));
        Crc::of(rest.iter().fold(state, |state, octet| self.octet(state, *octet)))
    }

    fn store(self, words: &[AtomicU64], octets: &[u8], crc: Crc) -> Crc {
        let (whole, rest) = octets.as_chunks::<WORD_OCTETS>();
        let count = whole.len().min(words.len());
        let (to, behind) = words.split_at(count);
        let state =
            self.run(crc.state(), Store { octets: whole[..count].as_flattened(), words: to });
        let (false, Some(last)) = (rest.is_empty(), behind.first()) else { return Crc::of(state) };
        let octets = &padded(rest);
        Crc::of(self.run(state, Store { octets, words: core::slice::from_ref(last) }))
    }

    fn load(self, words: &[AtomicU64], octets: &mut [u8], crc: Crc) -> Crc {
        let (whole, rest) = octets.as_chunks_mut::<WORD_OCTETS>();
        let count = whole.len().min(words.len());
        let (from, behind) = words.split_at(count);
        let octets = whole[..count].as_flattened_mut();
        let state = self.run(crc.state(), Load { words: from, octets });
        let (false, Some(last)) = (rest.is_empty(), behind.first()) else { return Crc::of(state) };
        let last = last.load(Ordering::Relaxed).to_le_bytes();
        rest.copy_from_slice(&last[..rest.len()]);
        Crc::of(self.run(state, Sum(&padded(rest))))
    }
}

/// `crc` with `octets` behind what came before.
#[inline]
pub(crate) fn extend(crc: Crc, octets: &[u8]) -> Crc {
    Way::for_octets(octets.len()).extend(crc, octets)
}

/// `crc` with the octets of `words`, least first, behind what came before; for a few of them.
#[inline]
pub(crate) fn extend_words<const N: usize>(crc: Crc, words: [u64; N]) -> Crc {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    if let Some(instruction) = Instruction::new() {
        return Crc::of(instruction.sum_words(crc.state(), words));
    }
    without_instruction(crc, &words)
}

#[cold]
fn without_instruction(crc: Crc, words: &[u64]) -> Crc {
    Crc::of(words.iter().copied().fold(crc.state(), word_by_tables))
}

/// `crc` with `octets`, filled up to a whole word with zeros, behind what came before; none where
/// they are not few or there is no instruction for it.
#[inline]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) fn extend_few(crc: Crc, octets: &[u8]) -> Option<Crc> {
    let instruction = Instruction::new().filter(|_| octets.len() <= FEW_OCTETS_MAX)?;
    Some(Crc::of(instruction.sum_few(crc.state(), octets)))
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) fn extend_few(_: Crc, _: &[u8]) -> Option<Crc> {
    None
}

/// Lets the processor fetch the lines that `words` begin with. See [`crate::word::Word::expect`].
#[inline]
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    allow(unused_variables, reason = "no such instruction")
)]
pub(crate) fn expect(words: &[AtomicU64]) {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    words.chunks(LINE_WORDS).take(EXPECTED_LINES).for_each(|line| fetch(&line[0]));
}

/// Stores `octets` in the first words of `words`; `crc` with what was stored behind it. See
/// [`crate::word::Word::store_summed`].
#[inline]
pub(crate) fn store(words: &[AtomicU64], octets: &[u8], crc: Crc) -> Crc {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    if octets.len() <= FEW_OCTETS_MAX
        && octets.len() <= WORD_OCTETS * words.len()
        && let Some(instruction) = Instruction::new()
    {
        return Crc::of(instruction.store_few(crc.state(), words, octets));
    }
    Way::for_octets(octets.len()).store(words, octets, crc)
}

/// Loads `octets` from the first words of `words`; `crc` with what was loaded behind it. See
/// [`crate::word::Word::load_summed`].
#[inline]
pub(crate) fn load(words: &[AtomicU64], octets: &mut [u8], crc: Crc) -> Crc {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    if octets.len() <= FEW_OCTETS_MAX
        && octets.len() <= WORD_OCTETS * words.len()
        && let Some(instruction) = Instruction::new()
    {
        return Crc::of(instruction.load_few(crc.state(), words, octets));
    }
    Way::for_octets(octets.len()).load(words, octets, crc)
}
