//! The writer's half.

use core::ops::Deref;
use core::sync::atomic::Ordering;

use super::{Place, Reader, Ring, after, committed, open};
use crate::word::Word;

/// The one writer of a ring. That there is one is its owner's business: a second one of the same
/// ring spoils images (readers notice by the checksum above), and is not unsound.
#[derive(Debug)]
pub struct Writer<M> {
    ring: Ring<M>,
    /// The last commit; zero before the first.
    sequence: u64,
    /// Index of the sequence word of the next slot.
    at: usize,
}

impl<M, W> Writer<M>
where
    M: Deref<Target = [W]>,
    W: Word,
{
    /// A writer that goes on after the newest commit; none where the ring does not fit the memory.
    #[must_use]
    pub fn new(memory: M, place: Place) -> Option<Self> {
        let ring = Ring::new(memory, place)?;
        let sequence = Reader::newest_of(&ring);
        let at = ring.place.slot(after(sequence));
        Some(Self { ring, sequence, at })
    }

    /// Opens the next slot, for [`Self::body`] to be filled; again, if it is open. Real-time class:
    /// one store.
    #[inline]
    pub fn begin(&mut self) {
        let (word, _) = self.ring.slot(self.at);
        word.store(open(self.next()), Ordering::Relaxed);
        // Before any word of the body: see the module's text.
        W::fence(Ordering::Release);
    }

    /// The open slot's body. What is stored there before [`Self::begin`] harms whoever reads the
    /// oldest image.
    #[must_use]
    #[inline]
    pub fn body(&self) -> &[W] {
        self.ring.slot(self.at).1
    }

    /// Commits the open slot; its sequence. Real-time class: two stores, no system call.
    #[inline]
    pub fn commit(&mut self) -> u64 {
        self.sequence = self.next();
        let (word, _) = self.ring.slot(self.at);
        word.store(committed(self.sequence), Ordering::Release);
        self.ring.newest().store(self.sequence, Ordering::Release);
        // A division, and nobody waits for it here.
        self.at = self.ring.place.slot(self.next());
        self.sequence
    }

    /// The last commit; zero before the first.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The memory.
    pub const fn memory(&self) -> &M {
        &self.ring.memory
    }

    /// The commit that is being written. A sequence has 63 bits.
    #[inline]
    pub const fn next(&self) -> u64 {
        after(self.sequence)
    }
}
