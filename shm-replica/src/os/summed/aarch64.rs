//! The processor's instruction for this very checksum. A value of the type is a proof: it is made
//! only where the processor was found to have it.

use core::arch::aarch64::{__crc32cb, __crc32cd};
use std::arch::is_aarch64_feature_detected;

use super::{Job, Step, narrow, streams};

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
