//! The processor's means. See the module above for why shared words are accessed as they are here.
//!
//! Each type is a proof: it is made only where the processor was found to have what its functions
//! need. Those functions bear the features as attributes, so within them the intrinsics are safe;
//! what is unsafe is the step into such a function, and the access to shared words.

use core::arch::asm;
use core::arch::x86_64::{
    __m128i, __m256i, __m512i, _MM_HINT_T0, _mm_crc32_u8, _mm_crc32_u64, _mm_prefetch,
    _mm_set_epi64x, _mm256_broadcastsi128_si256, _mm256_clmulepi64_epi128, _mm256_xor_si256,
    _mm512_broadcast_i32x4, _mm512_clmulepi64_epi128, _mm512_ternarylogic_epi64, _mm512_xor_si512,
};
use core::mem::transmute;
use core::ptr;
use core::sync::atomic::AtomicU64;

use super::{Fold, Job, LINE, LINE_WORDS, Step, few, fold, streams};

/// Product of the halves that stand last in memory, and of those that stand first.
const LAST: i32 = 0x11;
const FIRST: i32 = 0x00;

/// The instruction for this very checksum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instruction(());

impl Instruction {
    #[inline]
    pub(super) fn new() -> Option<Self> {
        is_x86_feature_detected!("sse4.2").then_some(Self(()))
    }
}

impl Step for Instruction {
    #[inline(always)]
    fn word(self, state: u64, word: u64) -> u64 {
        // SAFETY: SSE4.2 is there: `self` says so.
        unsafe { crc_word(state, word) }
    }

    #[inline(always)]
    fn octet(self, state: u32, octet: u8) -> u32 {
        // SAFETY: SSE4.2 is there: `self` says so.
        unsafe { crc_octet(state, octet) }
    }

    #[inline]
    fn by_words<J: Job>(self, state: u32, job: J) -> u32 {
        #[target_feature(enable = "sse4.2")]
        fn inner<J: Job>(with: Instruction, state: u32, job: J) -> u32 {
            streams::by_streams(with, state, job)
        }
        // SAFETY: SSE4.2 is there: `self` says so.
        unsafe { inner(self, state, job) }
    }
}

impl Instruction {
    /// See [`few::sum_words`].
    #[inline]
    pub(super) fn sum_words<const N: usize>(self, state: u32, words: [u64; N]) -> u32 {
        #[inline]
        #[target_feature(enable = "sse4.2")]
        fn inner<const N: usize>(with: Instruction, state: u32, words: [u64; N]) -> u32 {
            few::sum_words(with, state, words)
        }
        // SAFETY: the instruction is there: `self` says so.
        unsafe { inner(self, state, words) }
    }

    /// See [`few::sum`].
    #[inline]
    pub(super) fn sum_few(self, state: u32, octets: &[u8]) -> u32 {
        #[target_feature(enable = "sse4.2")]
        fn inner(with: Instruction, state: u32, octets: &[u8]) -> u32 {
            few::sum(with, state, octets)
        }
        // SAFETY: the instruction is there: `self` says so.
        unsafe { inner(self, state, octets) }
    }

    /// See [`few::store`].
    #[inline]
    pub(super) fn store_few(self, state: u32, words: &[AtomicU64], octets: &[u8]) -> u32 {
        #[target_feature(enable = "sse4.2")]
        fn inner(with: Instruction, state: u32, words: &[AtomicU64], octets: &[u8]) -> u32 {
            few::store(with, state, words, octets)
        }
        // SAFETY: the instruction is there: `self` says so.
        unsafe { inner(self, state, words, octets) }
    }

    /// See [`few::load`].
    #[inline]
    pub(super) fn load_few(self, state: u32, words: &[AtomicU64], octets: &mut [u8]) -> u32 {
        #[target_feature(enable = "sse4.2")]
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
    // SAFETY: every processor of this kind has the instruction; it reads nothing into a register
    // and faults nowhere.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(ptr::from_ref(word).cast()) };
}

#[inline]
#[target_feature(enable = "sse4.2")]
fn crc_word(state: u64, word: u64) -> u64 {
    _mm_crc32_u64(state, word)
}

#[inline]
#[target_feature(enable = "sse4.2")]
fn crc_octet(state: u32, octet: u8) -> u32 {
    _mm_crc32_u8(state, octet)
}

#[inline]
#[target_feature(enable = "sse4.2")]
fn pair([first, last]: [u64; 2]) -> __m128i {
    _mm_set_epi64x(last.cast_signed(), first.cast_signed())
}

/// A way to fold by registers of one width.
macro_rules! folding {
    (
        $(#[$doc:meta])*
        $name:ident with $($feature:tt),+ as $enabled:literal: $count:literal of $register:ty,
        $lines:literal lines at a time, $key:ident, $xor:ident, $fold:ident,
        $load:ident: $load_text:literal,
        $store:ident: $store_text:literal in $class:ident
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(super) struct $name(Instruction);

        impl $name {
            #[inline]
            pub(super) fn new() -> Option<Self> {
                let all = $(is_x86_feature_detected!($feature))&&+;
                Instruction::new().filter(|_| all).map(Self)
            }
        }

        impl Step for $name {
            #[inline(always)]
            fn word(self, state: u64, word: u64) -> u64 {
                self.0.word(state, word)
            }

            #[inline(always)]
            fn octet(self, state: u32, octet: u8) -> u32 {
                self.0.octet(state, octet)
            }

            #[inline]
            fn by_words<J: Job>(self, state: u32, job: J) -> u32 {
                self.0.by_words(state, job)
            }
        }

        impl Fold for $name {
            type Line = [$register; $count];
            type Key = $register;

            #[inline(always)]
            fn load(self, from: &[u8; LINE]) -> Self::Line {
                // SAFETY: as many octets, and any are a value of the type.
                unsafe { transmute::<[u8; LINE], Self::Line>(*from) }
            }

            #[inline(always)]
            fn store(self, line: Self::Line, to: &mut [u8; LINE]) {
                // SAFETY: as many octets, and any are a value of the type.
                *to = unsafe { transmute::<Self::Line, [u8; LINE]>(line) };
            }

            #[inline(always)]
            fn load_shared(self, from: &[AtomicU64; LINE_WORDS]) -> Self::Line {
                let mut line = self.load(&[0; LINE]);
                for (register, from) in line.iter_mut().zip(from.as_chunks().0) {
                    // SAFETY: the features are there: `self` says so.
                    *register = unsafe { $load(from) };
                }
                line
            }

            #[inline(always)]
            fn store_shared(self, line: Self::Line, to: &[AtomicU64; LINE_WORDS]) {
                for (register, to) in line.into_iter().zip(to.as_chunks().0) {
                    // SAFETY: the features are there: `self` says so.
                    unsafe { $store(register, to) };
                }
            }

            #[inline(always)]
            fn key(self, key: [u64; 2]) -> Self::Key {
                // SAFETY: the features are there: `self` says so.
                unsafe { $key(key) }
            }

            #[inline(always)]
            fn xor(self, mut line: Self::Line, other: Self::Line) -> Self::Line {
                for (register, other) in line.iter_mut().zip(other) {
                    // SAFETY: the features are there: `self` says so.
                    *register = unsafe { $xor(*register, other) };
                }
                line
            }

            #[inline(always)]
            fn fold(self, mut line: Self::Line, key: Self::Key, next: Self::Line) -> Self::Line {
                for (register, next) in line.iter_mut().zip(next) {
                    // SAFETY: the features are there: `self` says so.
                    *register = unsafe { $fold(*register, key, next) };
                }
                line
            }

            #[inline]
            fn by_lines<J: Job>(self, state: u32, job: J) -> u32 {
                #[target_feature(enable = $enabled)]
                fn inner<J: Job>(with: $name, state: u32, job: J) -> u32 {
                    fold::by_lines::<_, _, $lines>(with, state, job)
                }
                // SAFETY: the features are there: `self` says so.
                unsafe { inner(self, state, job) }
            }
        }

        #[inline]
        #[target_feature(enable = $enabled)]
        fn $load(from: &[AtomicU64; LINE_WORDS / $count]) -> $register {
            let register;
            // SAFETY: reads the words of `from`, which is as large as the register, and writes
            // nothing else than that; no alignment is asked for.
            unsafe {
                asm!($load_text, register = out($class) register, from = in(reg) from,
                     options(nostack, preserves_flags));
            }
            register
        }

        #[inline]
        #[target_feature(enable = $enabled)]
        fn $store(register: $register, to: &[AtomicU64; LINE_WORDS / $count]) {
            // SAFETY: writes the words of `to`, which is as large as the register and may be
            // written through a shared reference; no alignment is asked for.
            unsafe {
                asm!($store_text, register = in($class) register, to = in(reg) to,
                     options(nostack, preserves_flags));
            }
        }
    };
}

folding! {
    /// Lines in one register.
    Wide with "avx512f", "vpclmulqdq" as "avx512f,vpclmulqdq,sse4.2": 1 of __m512i,
    4 lines at a time, wide_key, _mm512_xor_si512, wide_fold,
    wide_load: "vmovdqu64 {register}, [{from}]",
    wide_store: "vmovdqu64 [{to}], {register}" in zmm_reg
}

folding! {
    /// Lines in two registers.
    Half with "avx2", "vpclmulqdq" as "avx2,vpclmulqdq,sse4.2": 2 of __m256i,
    4 lines at a time, half_key, _mm256_xor_si256, half_fold,
    half_load: "vmovdqu {register}, [{from}]",
    half_store: "vmovdqu [{to}], {register}" in ymm_reg
}

#[inline]
#[target_feature(enable = "avx512f,sse4.2")]
fn wide_key(key: [u64; 2]) -> __m512i {
    _mm512_broadcast_i32x4(pair(key))
}

#[inline]
#[target_feature(enable = "avx512f,vpclmulqdq")]
fn wide_fold(line: __m512i, key: __m512i, next: __m512i) -> __m512i {
    /// The sum of all three.
    const XOR: i32 = 0x96;
    let first = _mm512_clmulepi64_epi128::<FIRST>(line, key);
    let last = _mm512_clmulepi64_epi128::<LAST>(line, key);
    _mm512_ternarylogic_epi64::<XOR>(first, last, next)
}

#[inline]
#[target_feature(enable = "avx2,sse4.2")]
fn half_key(key: [u64; 2]) -> __m256i {
    _mm256_broadcastsi128_si256(pair(key))
}

#[inline]
#[target_feature(enable = "avx2,vpclmulqdq")]
fn half_fold(line: __m256i, key: __m256i, next: __m256i) -> __m256i {
    let first = _mm256_clmulepi64_epi128::<FIRST>(line, key);
    let last = _mm256_clmulepi64_epi128::<LAST>(line, key);
    _mm256_xor_si256(_mm256_xor_si256(first, next), last)
}
