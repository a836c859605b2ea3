//! The readers' half.

use core::ops::{ControlFlow, Deref};
use core::sync::atomic::Ordering;

use thiserror::Error;

use super::{ATTEMPTS, Place, Ring, SEQUENCE_MAX, after, committed, sequence_of};
use crate::word::Word;

/// A reader of a ring, with its own place in it. It stores nothing.
#[derive(Clone, Debug)]
pub struct Reader<M> {
    ring: Ring<M>,
    /// The commit that was read last; none before the first look, zero after one at an empty ring.
    last: Option<u64>,
    /// Index of the sequence word of the slot that takes the commit after that.
    at: usize,
}

/// What a read found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step<T> {
    /// The commit's number, from 1.
    pub sequence: u64,
    /// Commits between the one read before and this one.
    pub skipped: u64,
    /// What the copying function returned.
    pub copied: T,
}

/// Why there is nothing to return.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Missed {
    /// Nothing that was not read before.
    #[error("nothing new")]
    Nothing,
    /// The writer was faster than each of the attempts.
    #[error("lapped by the writer in each attempt")]
    Lapped,
}

impl<M, W> Reader<M>
where
    M: Deref<Target = [W]>,
    W: Word,
{
    /// A reader that has read nothing; none where the ring does not fit the memory.
    #[must_use]
    pub fn new(memory: M, place: Place) -> Option<Self> {
        Some(Self { ring: Ring::new(memory, place)?, last: None, at: place.slot(1) })
    }

    /// Copies the newest commit, if it was not read before. Real-time class: no system call, at
    /// most [`ATTEMPTS`] copies.
    ///
    /// # Errors
    /// See [`Missed`].
    pub fn newest<T>(&mut self, mut copy: impl FnMut(&[W]) -> T) -> Result<Step<T>, Missed> {
        for _ in 0..ATTEMPTS {
            let newest = Self::newest_of(&self.ring);
            // Never back: not even if the writer means harm.
            if newest <= self.last.unwrap_or(0) {
                self.last = self.last.or(Some(0));
                return Err(Missed::Nothing);
            }
            if let Ok(copied) = self.read(newest, &mut copy) {
                return Ok(self.stepped_to(newest, copied));
            }
        }
        Err(Missed::Lapped)
    }

    /// Copies the commit after the one read last; the oldest that is not about to be overwritten,
    /// if that one is gone; at first the newest. Real-time class: as [`Self::newest`].
    ///
    /// # Errors
    /// See [`Missed`].
    pub fn next<T>(&mut self, mut copy: impl FnMut(&[W]) -> T) -> Result<Step<T>, Missed> {
        let Some(last) = self.last else { return self.newest(copy) };
        let mut wanted = last.saturating_add(1);
        for _ in 0..ATTEMPTS {
            match self.read(wanted, &mut copy) {
                Ok(copied) => return Ok(self.stepped_to(wanted, copied)),
                Err(Missed::Nothing) => return Err(Missed::Nothing),
                Err(Missed::Lapped) => {
                    let newest = Self::newest_of(&self.ring);
                    // The newest, and all before it but the one that is written next.
                    let spare = self.ring.place.count as u64 - 2;
                    wanted = newest.saturating_sub(spare).max(wanted);
                }
            }
        }
        Err(Missed::Lapped)
    }

    /// Whether the commit after the one read last is not there yet: the short way for who looks
    /// again and again. Such a reader is going to find something soon, and then it wants more than
    /// the line that it looks at; so the processor is told to fetch that meanwhile. Real-time
    /// class: one load.
    #[inline]
    pub fn is_next_missing(&self) -> bool {
        let Some(last) = self.last else { return false };
        let wanted = last.saturating_add(1);
        let word = self.ring.slot(self.at).0.load(Ordering::Acquire);
        let is_missing = word != committed(wanted) && sequence_of(word) <= wanted;
        if is_missing {
            W::expect(self.ring.beside_head(self.at));
        }
        is_missing
    }

    /// The commit after the one read last, if it is there and stays while it is copied: the short
    /// way to what [`Self::next`] finds most often, in registers where `T` is of words. Real-time
    /// class: one copy.
    #[inline(always)]
    pub fn following<T>(&mut self, copy: impl FnMut(&[W]) -> T) -> Option<(u64, T)> {
        let sequence = self.last?.saturating_add(1);
        let copied = self.read_at(self.at, sequence, copy).ok()?;
        Some((sequence, self.stepped_to(sequence, copied).copied))
    }

    /// Copies one certain commit, once, and leaves the reader's place alone. Real-time class: one
    /// copy.
    ///
    /// # Errors
    /// It is not there yet ([`Missed::Nothing`]) or no more ([`Missed::Lapped`]).
    pub fn read<T>(&self, sequence: u64, copy: impl FnMut(&[W]) -> T) -> Result<T, Missed> {
        self.read_at(self.ring.place.slot(sequence), sequence, copy)
    }

    #[inline(always)]
    fn read_at<T>(
        &self,
        at: usize,
        sequence: u64,
        mut copy: impl FnMut(&[W]) -> T,
    ) -> Result<T, Missed> {
        let (word, body) = self.ring.slot(at);
        let before = word.load(Ordering::Acquire);
        if before != committed(sequence) {
            let overtaken = sequence_of(before) > sequence;
            return Err(if overtaken { Missed::Lapped } else { Missed::Nothing });
        }
        let copied = copy(body);
        // After all words of the body: see the module's text.
        W::fence(Ordering::Acquire);
        if word.load(Ordering::Relaxed) == before { Ok(copied) } else { Err(Missed::Lapped) }
    }

    /// Shows `look` the commits that may be there, the newest first, until it breaks; at most as
    /// many as there are slots.
    pub fn back_from_newest<B>(
        &self,
        mut look: impl FnMut(u64, &Self) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let newest = Self::newest_of(&self.ring);
        let oldest = newest.saturating_sub(self.ring.place.count as u64 - 1).max(1);
        (oldest..=newest).rev().try_for_each(|sequence| look(sequence, self))
    }

    /// The commit that was read last; zero before the first.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last.unwrap_or(0)
    }

    /// The newest commit, be it read or not; zero before the first. Real-time class: two loads.
    #[must_use]
    pub fn newest_sequence(&self) -> u64 {
        Self::newest_of(&self.ring)
    }

    /// The memory.
    pub const fn memory(&self) -> &M {
        &self.ring.memory
    }

    #[inline]
    fn stepped_to<T>(&mut self, sequence: u64, copied: T) -> Step<T> {
        // Who comes late has skipped nothing.
        let expected = self.last.map_or(sequence, |last| last.saturating_add(1));
        self.last = Some(sequence);
        self.at = self.ring.place.slot(after(sequence));
        Step { sequence, skipped: sequence.saturating_sub(expected), copied }
    }

    /// The newest commit, from the hint and one slot beyond it; zero where there is none.
    pub(super) fn newest_of(ring: &Ring<M>) -> u64 {
        let hint = ring.newest().load(Ordering::Acquire) & SEQUENCE_MAX;
        let beyond = after(hint);
        let (word, _) = ring.slot(ring.place.slot(beyond));
        if word.load(Ordering::Acquire) == committed(beyond) { beyond } else { hint }
    }
}
