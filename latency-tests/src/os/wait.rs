//! Waiting for descriptors, a deadline and the signals that end a program, in one call.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use rt_core::time::{Duration, Instant};

use super::clock;

/// SIGTERM, SIGINT and SIGHUP, read from a descriptor instead of interrupting whatever runs.
#[derive(Debug)]
pub struct EndSignals(SignalFd);

impl EndSignals {
    /// Blocks these signals in the calling thread (and in the threads it starts later) and opens
    /// the descriptor that tells them. Also asks for the finest timer slack, without which the
    /// kernel may end a wait 50 µs late.
    ///
    /// # Errors
    /// The system's, when the descriptor cannot be had.
    pub fn block() -> io::Result<Self> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGTERM);
        set.add(Signal::SIGINT);
        // The terminal was closed: what was found so far is kept. Not where somebody said that it
        // is to go on (nohup): a signal that is blocked comes also if it was ignored.
        if !is_ignored(Signal::SIGHUP) {
            set.add(Signal::SIGHUP);
        }
        set.thread_block()?;
        // Waking up later than asked is a matter of quality, not of correctness.
        let _ = nix::sys::prctl::set_timerslack(1);
        Ok(Self(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// Whether one of the signals has come since the last call.
    #[must_use]
    pub fn came(&self) -> bool {
        matches!(self.0.read_signal(), Ok(Some(_)))
    }

    /// Sleeps until `deadline`; true when a signal came first or meanwhile.
    ///
    /// # Errors
    /// The system's, when waiting itself fails.
    pub fn sleep_until(&self, deadline: Instant) -> io::Result<bool> {
        loop {
            wait(&mut [PollFd::new(self.as_fd(), PollFlags::POLLIN)], deadline)?;
            if self.came() {
                return Ok(true);
            }
            if clock::now() >= deadline {
                return Ok(false);
            }
        }
    }
}

/// Whether this process was started to ignore a signal, or chose to.
fn is_ignored(signal: Signal) -> bool {
    let mut found = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: sets nothing, for there is no new disposition; the kernel writes the one that there
    // is to a place that outlives the call.
    let result = unsafe { libc::sigaction(signal as i32, ptr::null(), found.as_mut_ptr()) };
    // SAFETY: all-zero octets are a `sigaction`, and at most the kernel wrote into it.
    let found = unsafe { found.assume_init() };
    result == 0 && found.sa_sigaction == libc::SIG_IGN
}

impl AsFd for EndSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until a descriptor is ready or `deadline` has come, to the nanosecond that the kernel's
/// timers give; returns how many descriptors are ready. An interruption counts as none.
///
/// # Errors
/// The system's, when a descriptor is not one.
pub fn wait(descriptors: &mut [PollFd<'_>], deadline: Instant) -> io::Result<usize> {
    const LONGEST: Duration = Duration::from_secs(3_600);
    let span = deadline.since(clock::now()).min(LONGEST).as_nanos();
    let seconds = i64::try_from(span / 1_000_000_000).unwrap_or(0);
    let nanos = i64::try_from(span % 1_000_000_000).unwrap_or(0);
    match ppoll(descriptors, Some(TimeSpec::new(seconds, nanos)), None) {
        Ok(ready) => Ok(usize::try_from(ready).unwrap_or(0)),
        Err(Errno::EINTR) => Ok(0),
        Err(errno) => Err(errno.into()),
    }
}
