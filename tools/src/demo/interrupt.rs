//! Ctrl-C and its kin, read from a descriptor: the demo ends where it stands, in order.

use std::io::{self, Read as _};
use std::os::fd::AsFd as _;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rt_core::os::clock::MonotonicClock;
use rt_core::time::Instant;

use crate::exit::Failure;

/// The signals that end the demo.
const SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// The signals that end the demo, caught.
#[derive(Debug)]
pub(super) struct Interrupts(SignalFd);

impl Interrupts {
    /// Blocks the signals in this thread and those it starts; programs start with none blocked.
    pub(super) fn catch() -> Result<Self, Failure> {
        let set: SigSet = SIGNALS.into_iter().collect();
        set.thread_block()
            .and_then(|()| {
                SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            })
            .map(Self)
            .map_err(|errno| Failure::failed(format!("signals cannot be caught: {errno}"), ""))
    }

    /// Waits; ends early, with a failure, when a signal comes.
    pub(super) fn sleep_until(&self, deadline: Instant) -> Result<(), Failure> {
        loop {
            let mut descriptors = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            // An error here is an interruption: looked at below like a time-out.
            let _ = poll(&mut descriptors, rest(deadline));
            self.check()?;
            if MonotonicClock::now() >= deadline {
                return Ok(());
            }
        }
    }

    /// Waits until a line is entered or a signal comes. Where nobody can enter one, for a signal.
    pub(super) fn wait_for_enter(&self) {
        let stdin = io::stdin();
        let mut open = true;
        while self.check().is_ok() {
            let mut descriptors = vec![PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            if open {
                descriptors.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
            }
            if poll(&mut descriptors, PollTimeout::NONE).is_err() {
                continue;
            }
            let ready = |at: usize| descriptors.get(at).and_then(PollFd::any).unwrap_or_default();
            if !ready(0) && ready(1) {
                let mut octets = [0; 256];
                match stdin.lock().read(&mut octets) {
                    Ok(0) | Err(_) => open = false,
                    Ok(count) if octets[..count].contains(&b'\n') => return,
                    Ok(_) => {}
                }
            }
        }
    }

    fn check(&self) -> Result<(), Failure> {
        let Ok(Some(info)) = self.0.read_signal() else { return Ok(()) };
        let number = i32::try_from(info.ssi_signo).unwrap_or_default();
        let name = Signal::try_from(number).map_or("a signal", Signal::as_str);
        Err(Failure::failed(format!("ended by {name}; nothing of the demo is left behind"), ""))
    }
}

fn rest(deadline: Instant) -> PollTimeout {
    // Rounded up, so that the last wait is not a busy one.
    let ms = deadline.since(MonotonicClock::now()).as_millis() + 1;
    PollTimeout::from(u16::try_from(ms).unwrap_or(u16::MAX))
}
