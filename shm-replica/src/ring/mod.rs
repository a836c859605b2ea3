//! The ring: one writer, any number of readers, nobody waits for anybody.
//!
//! `K` slots are written in turn. Each begins with its *sequence word*: the number of the commit it
//! holds, and a bit that says whether it is being written. A reader that copies a slot looks at
//! that word before and after; so it knows whether what it has is whole. The word *newest* is where
//! readers start looking.
//!
//! **What dies with the writer: nothing.** At each instant one slot at most is being written, and
//! it is the oldest one. A writer killed at any instruction leaves `K - 1` whole images. The commit
//! is one store, that of the sequence word: before it there is no new image, after it there is.
//! (`newest` is stored after that; a reader looks one slot beyond it, so that a writer killed in
//! between is no special case.)
//!
//! **Why the orderings suffice.** The writer marks the slot (relaxed), then a release fence, then
//! the body's words (relaxed), then the sequence word with release. The reader loads the sequence
//! word with acquire, the body's words (relaxed), then an acquire fence, then the sequence word
//! again.
//! - The first load gives commit *n*: with release and acquire, the body's words are those of *n*
//!   or newer ones.
//! - Any of them newer: it was stored after the writer's release fence and loaded before the
//!   reader's acquire fence, so the second load sees the mark before that fence, or something
//!   later, and not *n*. The copy is thrown away.
//!
//! **Bounded.** The writer never waits and never looks at a reader. A reader copies at most
//! [`ATTEMPTS`] times; it takes a writer that commits `K - 1` times while one copy is made, three
//! times in a row, for it to come back with [`Missed::Lapped`]. Readers store nothing, so a reader
//! that dies, stops or means harm has no part in anything.
//!
//! **Few transfers.** Between two CPUs the cost is that of cache lines which change sides. A reader
//! that polls ([`Reader::next`], [`Reader::is_next_missing`]) looks at one line: that of the next
//! slot's sequence word, on which the stamp is, too. While it finds nothing, it has the processor
//! fetch the line behind it ([`Word::expect`]), so that a small image comes together with its
//! sequence word and not after it. It never looks at `newest` then.
//!
//! (To open the next slot right after each commit was tried, so that the writer's first store meets
//! nobody: it is no faster to observe, and leaves `K - 1` images at rest instead of `K`. So was
//! claiming the next slot's lines for the writer after each commit: slower, for they are where the
//! reader wants them.)
//!
//! (A list of free slots with readers that hold one was the alternative. It spares the copy, and it
//! makes each reader that dies a leak and each one that stops a wait.)

mod reader;
mod writer;

pub use reader::{Missed, Reader, Step};
pub use writer::Writer;

use core::ops::Deref;

use crate::word::{WORD_OCTETS, Word};

/// How often a reader copies before it reports that it was lapped: once, and two retries.
pub const ATTEMPTS: u32 = 3;

/// Words of a cache line, near enough: what it says is a hint.
const LINE_WORDS: usize = 8;

/// Where a ring lies in a memory of words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Index of the word `newest`.
    pub newest: usize,
    /// Index of the first slot's sequence word.
    pub slots: usize,
    /// From one slot to the next, in words.
    pub stride: usize,
    /// How many slots; at least two.
    pub count: usize,
    /// Words of a slot's body, after the sequence word; less than `stride`.
    pub body: usize,
}

impl Place {
    /// Whether a memory of `words` words holds such a ring.
    #[must_use]
    pub const fn fits(&self, words: usize) -> bool {
        let Some(end) = self.stride.checked_mul(self.count) else { return false };
        let Some(end) = end.checked_add(self.slots) else { return false };
        let apart = self.newest < self.slots || self.newest >= end;
        self.count >= 2 && self.body < self.stride && end <= words && self.newest < words && apart
    }

    /// Index of the sequence word of the slot that takes commit `sequence`.
    const fn slot(&self, sequence: u64) -> usize {
        // Fits: less than `count`.
        #[allow(clippy::cast_possible_truncation, reason = "less than `count`, a usize")]
        let index = (sequence % self.count as u64) as usize;
        self.slots + index * self.stride
    }

    /// Octets of a body.
    #[must_use]
    pub const fn body_octets(&self) -> usize {
        self.body * WORD_OCTETS
    }
}

/// A ring in a memory that it owns or borrows. Everything in it may have been written by somebody
/// else.
#[derive(Clone, Debug)]
pub(crate) struct Ring<M> {
    memory: M,
    place: Place,
}

impl<M, W> Ring<M>
where
    M: Deref<Target = [W]>,
    W: Word,
{
    /// None when the memory is too small, or the place is none.
    fn new(memory: M, place: Place) -> Option<Self> {
        place.fits(memory.len()).then_some(Self { memory, place })
    }

    fn newest(&self) -> &W {
        &self.memory[self.place.newest]
    }

    /// Sequence word and body of a slot, given the index of its sequence word.
    #[inline]
    fn slot(&self, at: usize) -> (&W, &[W]) {
        let (word, rest) = self.memory[at..=at + self.place.body].split_at(1);
        (&word[0], rest)
    }

    /// What of a slot is not on the line of its sequence word.
    #[inline]
    fn beside_head(&self, at: usize) -> &[W] {
        self.slot(at).1.get(LINE_WORDS - 1..).unwrap_or_default()
    }
}

/// A sequence has 63 bits.
const SEQUENCE_MAX: u64 = u64::MAX >> 1;

/// The commit after `sequence`.
const fn after(sequence: u64) -> u64 {
    sequence.wrapping_add(1) & SEQUENCE_MAX
}

/// The sequence word of a slot that holds commit `sequence`.
const fn committed(sequence: u64) -> u64 {
    sequence << 1
}

/// The sequence word of a slot in which commit `sequence` is being written.
const fn open(sequence: u64) -> u64 {
    sequence << 1 | 1
}

/// The commit that a sequence word speaks of.
const fn sequence_of(word: u64) -> u64 {
    word >> 1
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU64;

    use super::*;

    const PLACE: Place = Place { newest: 0, slots: 1, stride: 3, count: 4, body: 2 };

    fn memory() -> Vec<AtomicU64> {
        (0..13).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn a_ring_that_does_not_fit_is_none() {
        assert!(PLACE.fits(13));
        assert!(!PLACE.fits(12));
        for bad in [
            Place { count: 1, ..PLACE },
            Place { count: usize::MAX, ..PLACE },
            Place { stride: usize::MAX, ..PLACE },
            Place { slots: usize::MAX, ..PLACE },
            Place { newest: 5, ..PLACE },
            Place { newest: 13, ..PLACE },
            Place { body: 3, ..PLACE },
        ] {
            assert!(!bad.fits(13), "{bad:?}");
            assert!(
                Writer::new(&*memory(), bad).is_none() && Reader::new(&*memory(), bad).is_none()
            );
        }
    }

    fn commit(writer: &mut Writer<&[AtomicU64]>, value: u64) -> u64 {
        writer.begin();
        for word in writer.body() {
            word.store(value, core::sync::atomic::Ordering::Relaxed);
        }
        writer.commit()
    }

    fn values(body: &[AtomicU64]) -> Vec<u64> {
        body.iter().map(|word| Word::load(word, core::sync::atomic::Ordering::Relaxed)).collect()
    }

    #[test]
    fn what_was_committed_is_read_in_order_and_the_newest_at_once() {
        let memory = memory();
        let mut writer = Writer::new(&*memory, PLACE).unwrap();
        let mut reader = Reader::new(&*memory, PLACE).unwrap();
        assert_eq!(reader.newest(values), Err(Missed::Nothing));
        assert_eq!(reader.next(values), Err(Missed::Nothing));
        for value in 1..=3 {
            assert_eq!(commit(&mut writer, value * 10), value);
        }
        for value in 1..=3 {
            let step = reader.next(values).unwrap();
            assert_eq!(step, Step { sequence: value, skipped: 0, copied: vec![value * 10; 2] });
        }
        assert_eq!(reader.next(values), Err(Missed::Nothing));
        assert_eq!(reader.newest(values), Err(Missed::Nothing), "it has been read");
        for value in 4..=9 {
            commit(&mut writer, value * 10);
        }
        let step = reader.newest(values).unwrap();
        assert_eq!(step, Step { sequence: 9, skipped: 5, copied: vec![90; 2] });
    }

    #[test]
    fn the_short_way_is_the_way_of_next_where_nothing_was_missed() {
        let memory = memory();
        let mut writer = Writer::new(&*memory, PLACE).unwrap();
        let mut reader = Reader::new(&*memory, PLACE).unwrap();
        assert!(!reader.is_next_missing(), "not looked yet");
        assert_eq!(reader.following(values), None);
        assert_eq!(reader.next(values), Err(Missed::Nothing));
        for value in 1..=9 {
            assert!(reader.is_next_missing());
            writer.begin();
            assert!(reader.is_next_missing(), "open");
            assert_eq!(reader.following(values), None);
            commit(&mut writer, value * 10);
            assert!(!reader.is_next_missing());
            assert_eq!(reader.following(values), Some((value, vec![value * 10; 2])));
            assert_eq!((reader.last(), reader.next(values)), (value, Err(Missed::Nothing)));
        }
        for value in 10..=14 {
            commit(&mut writer, value);
        }
        assert!(!reader.is_next_missing(), "gone is not missing");
        assert_eq!(reader.following(values), None);
        assert_eq!(reader.next(values).map(|step| (step.sequence, step.skipped)), Ok((12, 2)));
        assert_eq!(reader.following(values), Some((13, vec![13; 2])));
    }

    #[test]
    fn a_reader_that_comes_late_starts_at_the_newest_and_misses_nothing_before() {
        let memory = memory();
        let mut writer = Writer::new(&*memory, PLACE).unwrap();
        for value in 1..=9 {
            commit(&mut writer, value);
        }
        let mut reader = Reader::new(&*memory, PLACE).unwrap();
        assert_eq!(reader.next(values).map(|step| (step.sequence, step.skipped)), Ok((9, 0)));
        let mut reader = Reader::new(&*memory, PLACE).unwrap();
        assert_eq!(reader.newest(values).map(|step| (step.sequence, step.skipped)), Ok((9, 0)));
    }

    #[test]
    fn a_slow_reader_goes_on_with_the_oldest_that_is_left_and_counts_what_it_skipped() {
        let memory = memory();
        let mut writer = Writer::new(&*memory, PLACE).unwrap();
        let mut reader = Reader::new(&*memory, PLACE).unwrap();
        commit(&mut writer, 1);
        reader.next(values).unwrap();
        for value in 2..=10 {
            commit(&mut writer, value);
        }
        // 7 to 10 are there; 7 is the one that the next commit takes.
        let mut seen = Vec::new();
        while let Ok(step) = reader.next(values) {
            seen.push((step.sequence, step.skipped));
        }
        assert_eq!(seen, [(8, 6), (9, 0), (10, 0)]);
    }

    #[test]
    fn an_open_slot_is_no_image_and_takes_none_but_the_oldest() {
        let memory = memory();
        let mut writer = Writer::new(&*memory, PLACE).unwrap();
        for value in 1..=4 {
            commit(&mut writer, value);
        }
        writer.begin();
        writer.body()[0].store(77, core::sync::atomic::Ordering::Relaxed);
        let reader = Reader::new(&*memory, PLACE).unwrap();
        assert_eq!(reader.read(5, values), Err(Missed::Nothing));
        assert_eq!(reader.read(1, values), Err(Missed::Lapped));
        for value in 2..=4 {
            assert_eq!(reader.read(value, values), Ok(vec![value; 2]));
        }
    }

    #[test]
    fn a_writer_that_died_between_commit_and_hint_has_committed() {
        let memory = memory();
        let mut writer = Writer::new(&*memory, PLACE).unwrap();
        commit(&mut writer, 1);
        commit(&mut writer, 2);
        memory[PLACE.newest].store(1, core::sync::atomic::Ordering::Relaxed);
        let mut reader = Reader::new(&*memory, PLACE).unwrap();
        assert_eq!(reader.newest(values).map(|step| step.sequence), Ok(2));
        memory[PLACE.newest].store(0, core::sync::atomic::Ordering::Relaxed);
        memory[PLACE.slot(2)].store(open(2), core::sync::atomic::Ordering::Relaxed);
        let mut reader = Reader::new(&*memory, PLACE).unwrap();
        assert_eq!(reader.newest(values).map(|step| step.sequence), Ok(1));
    }

    #[test]
    fn a_writer_goes_on_where_the_ring_stands() {
        let memory = memory();
        let mut writer = Writer::new(&*memory, PLACE).unwrap();
        for value in 1..=5 {
            commit(&mut writer, value);
        }
        writer.begin();
        let mut successor = Writer::new(&*memory, PLACE).unwrap();
        assert_eq!(commit(&mut successor, 6), 6);
        let mut reader = Reader::new(&*memory, PLACE).unwrap();
        assert_eq!(reader.newest(values).unwrap().copied, [6, 6]);
    }

    #[test]
    fn a_memory_full_of_nonsense_ends_every_read() {
        let mut random = 0x9e37_79b9_7f4a_7c15u64;
        for _ in 0..100_000 {
            let memory = memory();
            for word in &memory {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                // Small numbers, great ones, and near ones meet each other.
                let value = if random & 4 == 0 { random } else { random >> 59 };
                word.store(value, core::sync::atomic::Ordering::Relaxed);
            }
            let mut reader = Reader::new(&*memory, PLACE).unwrap();
            for _ in 0..4 {
                let _ = (reader.newest(values), reader.next(values), reader.read(random, values));
            }
            let mut writer = Writer::new(&*memory, PLACE).unwrap();
            commit(&mut writer, 1);
        }
    }
}
