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

use rt_core::os::clock::MonotonicClock;
use rt_core::time::{Duration, Instant};

use super::mapping::Mapping;
use crate::ring::Place;

/// Waits until there is a commit after `seen`, or `until` (CLOCK_MONOTONIC). Whether there may be
/// one: a waiter is also woken for nothing. Real-time class: the one wait of its thread.
///
/// # Errors
/// The kernel knows no such wait.
pub fn wait(memory: &Mapping, place: &Place, seen: u64, until: Instant) -> io::Result<bool> {
    let Some(word) = memory.get(place.newest) else { return Ok(true) };
    wait_word(Seen { word, value: seen }, until)
}

fn wait_word(seen: Seen<'_>, until: Instant) -> io::Result<bool> {
    if seen.has_changed() {
        return Ok(true);
    }
    let until = timespec(until);
    // SAFETY: the word is there as long as it is borrowed, `until` lives to the end of the call,
    // and the operation reads both and writes neither.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_futex,
            low_half(seen.word),
            libc::FUTEX_WAIT_BITSET,
            low_bits(seen.value),
            ptr::from_ref(&until),
            ptr::null::<u32>(),
            libc::FUTEX_BITSET_MATCH_ANY,
        )
    };
    if outcome == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if is_to_look_again(&error) => Ok(true),
        error if error.raw_os_error() == Some(libc::ETIMEDOUT) => Ok(false),
        error => Err(error),
    }
}

/// A word, of a shared memory or of this process, and its value when it was looked at last.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'m> {
    /// The word.
    pub word: &'m AtomicU64,
    /// What it was.
    pub value: u64,
}

impl Seen<'_> {
    fn has_changed(&self) -> bool {
        self.word.load(Ordering::Acquire) != self.value
    }
}

/// Whether a wait that failed says no more than that its caller has to look again: the word is
/// another by now, or a signal came, or the word's page was taken out of the memory file in this
/// instant. Whoever has the file for writing can do that (a hole punched there, zeros come back);
/// that there is a word is known, so it is the only bad address there can be.
fn is_to_look_again(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR | libc::EFAULT))
}

/// Between two looks, where the kernel cannot wait for several words at once (before Linux 5.16).
const LOOK: Duration = Duration::from_millis(1);

/// Waits until one of some words is another than it was, or `until` (CLOCK_MONOTONIC). Whether one
/// may be: a waiter is also woken for nothing. Real-time class: the one wait of its thread.
///
/// # Errors
/// The kernel knows no such wait.
pub fn wait_any<const N: usize>(words: [Seen<'_>; N], until: Instant) -> io::Result<bool> {
    if words.iter().any(Seen::has_changed) {
        return Ok(true);
    }
    let waiters = words.map(|seen| FutexWaitV {
        value: u64::from(low_bits(seen.value)),
        address: low_half(seen.word) as u64,
        flags: FUTEX_32,
        reserved: 0,
    });
    let timeout = timespec(until);
    // SAFETY: the words are there as long as they are borrowed, `waiters` and `timeout` live to the
    // end of the call, and the operation reads all of them and writes none.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            waiters.as_ptr(),
            waiters.len(),
            0,
            ptr::from_ref(&timeout),
            libc::CLOCK_MONOTONIC,
        )
    };
    if outcome >= 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if is_to_look_again(&error) => Ok(true),
        error if error.raw_os_error() == Some(libc::ETIMEDOUT) => Ok(false),
        error if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
            look_now_and_then(&words, until)
        }
        error => Err(error),
    }
}

/// Waits for the first of some words, and looks at the others now and then.
fn look_now_and_then(words: &[Seen<'_>], until: Instant) -> io::Result<bool> {
    let look = MonotonicClock::now().saturating_add(LOOK);
    let Some(first) = words.first() else { return Ok(true) };
    let woken = wait_word(*first, look.min(until))?;
    Ok(woken || until > look || words.iter().any(Seen::has_changed))
}

/// One word to wait for, as the kernel reads it.
#[repr(C)]
struct FutexWaitV {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

/// The word has 32 bits, and other processes map it too.
const FUTEX_32: u32 = 2;

fn timespec(at: Instant) -> libc::timespec {
    let nanos = at.as_nanos();
    libc::timespec {
        tv_sec: libc::time_t::try_from(nanos / 1_000_000_000).unwrap_or(libc::time_t::MAX),
        tv_nsec: i64::try_from(nanos % 1_000_000_000).unwrap_or(0),
    }
}

/// Wakes everybody who waits for a commit. Real-time class: one system call that never blocks.
pub fn wake_all(memory: &Mapping, place: &Place) {
    wake_word(memory, place.newest);
}

/// Wakes everybody who waits for a change of the word `index`. Real-time class: one system call
/// that never blocks.
pub fn wake_word(memory: &Mapping, index: usize) {
    if let Some(word) = memory.get(index) {
        wake_waiters(word);
    }
}

/// Wakes everybody who waits for a change of a word. Real-time class: as above.
pub(super) fn wake_waiters(word: &AtomicU64) {
    // SAFETY: the word is there as long as it is borrowed; the operation does not touch it.
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
