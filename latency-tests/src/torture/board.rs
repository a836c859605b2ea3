//! The board: what actors write down as they go, so that it can be read after their death.
//!
//! Each actor has a row of words in a memory that it shares with its lane; it alone writes there.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::os::process::SharedWords;

/// Actors that are there at once.
pub const ROWS: usize = 12;
const WORDS: usize = 64;

/// A word of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Field {
    /// Rounds of its loop.
    Beats,
    /// How often it became attached.
    Attached,
    /// Its role as of its last cycle: 1 active, 2 standing by.
    Role,
    /// The epoch of that.
    Epoch,
    /// The last cycle that it began to commit.
    CutBegun,
    /// The last cycle whose commit returned.
    CutReturned,
    /// The last cycle of which it began to commit the separate region.
    AloneBegun,
    /// The last one of which that returned.
    AloneReturned,
    /// One more than the cycle that it restored when it became active.
    Restored,
    /// One more than the cycle of the separate region then.
    RestoredAlone,
    /// When its first commit after that had returned.
    FirstCommitNs,
    /// Whether it knows of a daemon.
    HasDaemon,
    /// One more than the cycle of the cut that it holds.
    Held,
    /// How often it was told to stand by.
    SteppedDown,
    /// Images checked.
    Checks,
    /// Reads that found an image that was overtaken.
    Lapped,
    /// Attempts to become attached that failed.
    Refused,
    /// Which rule was broken; zero: none.
    Fault,
    /// Up to six numbers about it.
    FaultNumbers,
}

/// See the module's text.
#[derive(Debug)]
pub struct Board(SharedWords);

/// A row of the board.
#[derive(Clone, Copy, Debug)]
pub struct Row<'b>(&'b [AtomicU64]);

impl Board {
    /// A board with nothing on it.
    ///
    /// # Errors
    /// Out of memory.
    pub fn new() -> io::Result<Self> {
        Ok(Self(SharedWords::new(ROWS * WORDS)?))
    }

    /// The row of a number, which is less than [`ROWS`].
    #[must_use]
    pub fn row(&self, index: usize) -> Row<'_> {
        Row(&self.0[index * WORDS..(index + 1) * WORDS])
    }
}

impl Row<'_> {
    /// What stands there.
    #[must_use]
    pub fn get(&self, field: Field) -> u64 {
        self.0[field as usize].load(Ordering::Acquire)
    }

    /// Writes it down.
    pub fn set(&self, field: Field, value: u64) {
        self.0[field as usize].store(value, Ordering::Release);
    }

    /// Counts one more.
    pub fn count(&self, field: Field) {
        self.set(field, self.get(field) + 1);
    }

    /// A rule was broken. The first time counts.
    pub fn fault(&self, fault: u64, numbers: [u64; 6]) {
        if self.get(Field::Fault) == 0 {
            for (word, number) in self.0[Field::FaultNumbers as usize..].iter().zip(numbers) {
                word.store(number, Ordering::Relaxed);
            }
            self.set(Field::Fault, fault);
        }
    }

    /// The rule that was broken, and what stands beside it.
    #[must_use]
    pub fn broken(&self) -> Option<(u64, [u64; 6])> {
        let fault = self.get(Field::Fault);
        let from = Field::FaultNumbers as usize;
        let number = |at: usize| self.0[from + at].load(Ordering::Relaxed);
        (fault != 0).then(|| (fault, [0, 1, 2, 3, 4, 5].map(number)))
    }

    /// Wipes it for the next actor.
    pub fn wipe(&self) {
        self.0.iter().for_each(|word| word.store(0, Ordering::Release));
    }
}
