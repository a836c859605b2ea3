//! Waking a thread that waits in `poll`: an eventfd.
//!
//! A real-time thread has one wait, on its ports and on this descriptor. Others signal it; signals
//! add up to "at least one", which is all that a thread which looks at its queues anyway wants. A
//! condition variable was the alternative: it cannot be waited for together with sockets, and its
//! lock is held by threads of lower priority.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

/// A descriptor that is readable while a signal is pending.
#[derive(Debug)]
pub struct Wake {
    event: EventFd,
}

impl Wake {
    /// A new one, without a signal pending; closed on exec.
    ///
    /// # Errors
    /// The process or the system is out of descriptors.
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        Ok(Self { event: EventFd::from_value_and_flags(0, flags)? })
    }

    /// Makes the descriptor readable. Thread: any. Real-time class: one system call that never
    /// blocks.
    pub fn signal(&self) {
        // EAGAIN: 2^64 - 2 signals are pending; then one is. No other error can come from an
        // eventfd that is open and written eight octets. EINTR is retried all the same: a lost
        // wake-up is the one failure that must not be.
        while self.event.write(1) == Err(Errno::EINTR) {}
    }

    /// Takes all pending signals; whether there were any. Thread: the one that waits. Real-time
    /// class: one system call that never blocks.
    pub fn clear(&self) -> bool {
        loop {
            match self.event.read() {
                Ok(_) => return true,
                Err(Errno::EINTR) => {}
                Err(_) => return false,
            }
        }
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn is_readable(wake: &Wake, timeout: PollTimeout) -> bool {
        let mut waits = [PollFd::new(wake.as_fd(), PollFlags::POLLIN)];
        poll(&mut waits, timeout).unwrap() == 1
    }

    #[test]
    fn signals_add_up_to_one() {
        let wake = Wake::new().unwrap();
        assert!(!wake.clear());
        assert!(!is_readable(&wake, PollTimeout::ZERO));
        for _ in 0..5 {
            wake.signal();
        }
        assert!(is_readable(&wake, PollTimeout::ZERO));
        assert!(wake.clear());
        assert!(!wake.clear());
        assert!(!is_readable(&wake, PollTimeout::ZERO));
    }

    #[test]
    fn a_signal_from_another_thread_ends_the_wait() {
        let wake = Arc::new(Wake::new().unwrap());
        let other = Arc::clone(&wake);
        let signaller = thread::spawn(move || other.signal());
        assert!(is_readable(&wake, PollTimeout::from(10_000u16)));
        assert!(wake.clear());
        signaller.join().unwrap();
    }

    #[test]
    fn a_full_counter_does_not_block_the_signaller() {
        let wake = Wake::new().unwrap();
        wake.event.write(u64::MAX - 1).unwrap();
        wake.signal();
        assert!(wake.clear());
    }
}
