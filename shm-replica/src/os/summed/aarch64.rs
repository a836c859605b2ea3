//! The processor's instruction for this very checksum. A value of the type is a proof: it is made
//! only where the processor was found to have it.

use core::arch::aarch64::{__crc32cb, __crc32cd};
use core::arch::asm;
use core::ptr;
use core::sync::atomic::AtomicU64;
use std::arch::is_aarch64_feature_detected;

use super::{Job, Step, few, narrow, streams};

/// The instruction for this very checksum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instruction(());

impl Instruction {
    #[inline]
    pub(super) fn new() -> Option<Self> {
        is_aarch64_feature_detected!("crc").then_some(Self(()))
    }
}

impl Step for Instruction {
    #[inline(always)]
    fn word(self, state: u64, word: u64) -> u64 {
        // SAFETY: the instruction is there: `self` says so.
        unsafe { __crc32cd(narrow(state), word) }.into()
    }

    #[inline(always)]
    fn octet(self, state: u32, octet: u8) -> u32 {
        // SAFETY: the instruction is there: `self` says so.
        unsafe { __crc32cb(state, octet) }
    }

    #[inline]
    fn by_words<J: Job>(self, state: u32, job: J) -> u32 {
        #[target_feature(enable = "crc")]
        fn inner<J: Job>(with: Instruction, state: u32, job: J) -> u32 {
            streams::by_streams(with, state, job)
        }
        // SAFETY: the instruction is there: `self` says so.
        unsafe { inner(self, state, job) }
    }
}

impl Instruction {
    /// See [`few::sum_words`].
    #[inline]
    pub(super) fn sum_words<const N: usize>(self, state: u32, words: [u64; N]) -> u32 {
        #[inline]
        #[target_feature(enable = "crc")]
        fn inner<const N: usize>(with: Instruction, state: u32, words: [u64; N]) -> u32 {
            few::sum_words(with, state, words)
        }
        // SAFETY: the instruction is there: `self` says so.
        unsafe { inner(self, state, words) }
    }

    /// See [`few::sum`].
    #[inline]
    pub(super) fn sum_few(self, state: u32, octets: &[u8]) -> u32 {
        #[target_feature(enable = "crc")]
        fn inner(with: Instruction, state: u32, octets: &[u8]) -> u32 {
            few::sum(with, state, octets)
        }
        // SAFETY: the instruction is there: `self` says so.
        unsafe { inner(self, state, octets) }
    }

    /// See [`few::store`].
    #[inline]
    pub(super) fn store_few(self, state: u32, words: &[AtomicU64], octets: &[u8]) -> u32 {
        #[target_feature(enable = "crc")]
        fn inner(with: Instruction, state: u32, words: &[AtomicU64], octets: &[u8]) -> u32 {
            few::store(with, state, words, octets)
        }
        // SAFETY: the instruction is there: `self` says so.
        unsafe { inner(self, state, words, octets) }
    }

    /// See [`few::load`].
    #[inline]
    pub(super) fn load_few(self, state: u32, words: &[AtomicU64], octets: &mut [u8]) -> u32 {
        #[target_feature(enable = "crc")]
        fn inner(with: Instruction, state: u32, words: &[AtomicU64], octets: &mut [u8]) -> u32 {
            few::load(with, state, words, octets)
        }
        // SAFETY: the instruction is there: `self` says so.
        unsafe { inner(self, state, words, octets) }
    }
}

/// Lets the processor fetch the line of `word`.
#[inline]
pub(super) fn fetch(word: &AtomicU64) {
    // SAFETY: the instruction reads nothing into a register, and faults nowhere.
    unsafe {
        asm!("prfm pldl1keep, [{word}]", word = in(reg) ptr::from_ref(word),
             options(nostack, preserves_flags, readonly));
    }
}
