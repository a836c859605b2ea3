//! Waiting for a commit, and waking who waits.
//!
//! The kernel compares the word that readers watch anyway (`newest`) and puts the waiter to sleep
//! in one step, so no commit is slept over. A waiter needs no more than its mapping for reading.
//! Whether anybody waits the writer does not know and need not: it wakes if the daemon said that
//! somebody subscribed. (An eventfd for each reader was the alternative: the writer would have a
//! descriptor and a system call for each of them.)

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use rt_core::time::Instant;

use super::mapping::Mapping;
use crate::ring::Place;

/// Waits until there is a commit after `seen`, or `until` (CLOCK_MONOTONIC). Whether there may be
/// one: a waiter is also woken for nothing. Real-time class: the one wait of its thread.
///
/// # Errors
/// The kernel knows no such wait.
pub fn wait(memory: &Mapping, place: &Place, seen: u64, until: Instant) -> io::Result<bool> {
    let Some(newest) = memory.get(place.newest) else { return Ok(false) };
    if newest.load(Ordering::Acquire) != seen {
        return Ok(true);
    }
    let nanos = until.as_nanos();
    let until = libc::timespec {
        tv_sec: libc::time_t::try_from(nanos / 1_000_000_000).unwrap_or(libc::time_t::MAX),
        tv_nsec: i64::try_from(nanos % 1_000_000_000).unwrap_or(0),
    };
    // SAFETY: the word is mapped as long as `memory`, `until` lives to the end of the call, and the
    // operation reads both and writes neither.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_futex,
            low_half(newest),
            libc::FUTEX_WAIT_BITSET,
            low_bits(seen),
            ptr::from_ref(&until),
            ptr::null::<u32>(),
            libc::FUTEX_BITSET_MATCH_ANY,
        )
    };
    if outcome == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        // The word is another by now, or a signal came.
        error if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => Ok(true),
        error if error.raw_os_error() == Some(libc::ETIMEDOUT) => Ok(false),
        error => Err(error),
    }
}

/// Wakes everybody who waits for a commit. Real-time class: one system call that never blocks.
pub fn wake_all(memory: &Mapping, place: &Place) {
    wake_word(memory, place.newest);
}

/// Wakes everybody who waits for a change of the word `index`. Real-time class: one system call
/// that never blocks.
pub fn wake_word(memory: &Mapping, index: usize) {
    let Some(word) = memory.get(index) else { return };
    // SAFETY: the word is mapped as long as `memory`; the operation does not touch it.
    let _ = unsafe { libc::syscall(libc::SYS_futex, low_half(word), libc::FUTEX_WAKE, i32::MAX) };
}

/// The half of a word that each commit changes: the kernel compares 32 bits.
const fn low_half(word: &AtomicU64) -> *const u32 {
    let halves = ptr::from_ref(word).cast::<u32>();
    if cfg!(target_endian = "big") { halves.wrapping_add(1) } else { halves }
}

/// What the kernel finds there after commit `sequence`.
#[allow(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
const fn low_bits(sequence: u64) -> u32 {
    sequence as u32
}
