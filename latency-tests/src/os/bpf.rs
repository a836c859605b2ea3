//! Arrays of the kernel's programs, mapped: what a program reads and writes, as a slice.
//!
//! Loading is the business of a library; mapping is not in it.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd};
use std::slice;
use std::sync::atomic::AtomicU64;

use memmap2::{MmapOptions, MmapRaw};
use prp::lre::fast_path::{FastPathControl, FastPathCounters};
use prp::lre::{Block, NodeSlot};
use rt_core::gate::GateWords;

/// What may lie in memory that a program of ours writes to.
///
/// # Safety
/// All zero is a value of the type, and so is whatever our programs make of it.
pub unsafe trait Shareable {}

// SAFETY: any bits are a number.
unsafe impl Shareable for u8 {}
// SAFETY: any bits are a number.
unsafe impl Shareable for u32 {}
// SAFETY: any bits are a number.
unsafe impl Shareable for AtomicU64 {}
// SAFETY: a structure of numbers.
unsafe impl Shareable for Block {}
// SAFETY: numbers, and enumerations and truth values that have a zero and that no program writes.
unsafe impl Shareable for NodeSlot {}
// SAFETY: a structure of numbers.
unsafe impl Shareable for FastPathControl {}
// SAFETY: a structure of numbers.
unsafe impl Shareable for FastPathCounters {}
// SAFETY: a structure of atomic numbers.
unsafe impl Shareable for GateWords {}

/// An array of the kernel's, mapped.
#[derive(Debug)]
pub struct SharedArray<T> {
    memory: MmapRaw,
    values: usize,
    of: PhantomData<T>,
}

impl<T: Shareable> SharedArray<T> {
    /// Maps `values` values of the array behind `map`.
    ///
    /// # Errors
    /// `EPERM` when it was not made to be mapped, `EINVAL` when it is shorter.
    pub fn map(map: impl AsFd, values: usize) -> io::Result<Self> {
        let octets = values * size_of::<T>();
        let memory = MmapOptions::new().len(octets).map_raw(map.as_fd().as_raw_fd())?;
        Ok(Self { memory, values, of: PhantomData })
    }

    /// The values. Nobody else may write them while the slice lives: the caller runs no program
    /// that does, or the type is one of atomics.
    #[must_use]
    pub fn values(&self) -> &[T] {
        // SAFETY: the mapping is that long, begins a page (more than any alignment here), stays
        // as long as `self`, and holds values by the promise of `Shareable`.
        unsafe { slice::from_raw_parts(self.memory.as_ptr().cast(), self.values) }
    }

    /// The values, to write. The programs of these tests write only during a system call that runs
    /// them; the holder of the slice makes none of its accesses then.
    #[must_use]
    pub fn values_mut(&mut self) -> &mut [T] {
        // SAFETY: as above; `self` is borrowed alone.
        unsafe { slice::from_raw_parts_mut(self.memory.as_mut_ptr().cast(), self.values) }
    }
}
