//! A shared memory, mapped, as words.

use std::ops::Deref;
use std::os::fd::AsFd;
use std::sync::atomic::AtomicU64;
use std::{io, slice};

use memmap2::{MmapOptions, MmapRaw};
use nix::fcntl::SealFlag;

use super::segment::seals;
use crate::word::WORD_OCTETS;

/// A memory that other processes map too. It derefs to its words; a store to one that was mapped
/// for reading ends the process, so only [`crate::ring::Writer`]s get those that are writable.
#[derive(Debug)]
pub struct Mapping {
    map: MmapRaw,
    words: usize,
    writable: bool,
}

impl Mapping {
    /// Maps the first `octets` octets of a memory file, every page present. The file must be sealed
    /// against shrinking, or whoever else has it could take pages away beneath us.
    ///
    /// # Errors
    /// It is not sealed or smaller (`InvalidInput`), or the kernel refuses.
    pub fn new(file: impl AsFd, octets: usize, writable: bool) -> io::Result<Self> {
        let refused = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        if !seals(&file)?.contains(SealFlag::F_SEAL_SHRINK) {
            return refused("the memory is not sealed against shrinking");
        }
        let size = nix::sys::stat::fstat(&file)?.st_size;
        if usize::try_from(size).map_or(true, |size| size < octets) {
            return refused("the memory is smaller than it must be");
        }
        let mut options = MmapOptions::new();
        options.len(octets).populate();
        let descriptor = file.as_fd();
        let map = if writable {
            options.map_raw(&descriptor)?
        } else {
            options.map_raw_read_only(&descriptor)?
        };
        Ok(Self { map, words: octets / WORD_OCTETS, writable })
    }

    /// Where an octet of the memory lies in this process; none beyond it, or where it is mapped for
    /// reading.
    #[must_use]
    pub fn octets_at(&self, offset: usize, octets: usize) -> Option<*mut u8> {
        let end = offset.checked_add(octets)?;
        let within = end <= self.words * WORD_OCTETS && self.writable;
        within.then(|| self.map.as_mut_ptr().wrapping_add(offset))
    }
}

impl Deref for Mapping {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        let start = self.map.as_ptr().cast::<AtomicU64>();
        // SAFETY: the mapping has at least `words` words and lives as long as `self`; it begins on
        // a page, so they are aligned; every bit pattern is a word. The file has them too and is
        // sealed against shrinking, so that no access faults. Others change them at any time, which
        // is what atomics are for; loads of atomics of this size are fine in memory that is mapped
        // for reading.
        unsafe { slice::from_raw_parts(start, self.words) }
    }
}
