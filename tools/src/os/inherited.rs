//! Descriptors that the service manager hands to this process (sd_listen_fds).

use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

/// The first of them, by the protocol.
const FIRST: RawFd = 3;
/// More than any unit of ours keeps.
const COUNT_MAX: usize = 1_024;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes them, each with its name; empty without any, and each time but the first. What the
/// environment says is believed only as far as the descriptors are there.
#[must_use]
pub fn take() -> Vec<(String, OwnedFd)> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<usize>().ok();
    let is_ours = number("LISTEN_PID") == usize::try_from(std::process::id()).ok();
    let count = number("LISTEN_FDS").filter(|_| is_ours).unwrap_or(0).min(COUNT_MAX);
    if count == 0 || TAKEN.swap(true, Ordering::SeqCst) {
        return Vec::new();
    }
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut taken = Vec::new();
    for descriptor in (FIRST..).take(count) {
        let name = names.next().unwrap_or("unknown").to_owned();
        // SAFETY: the call looks at a number; where that is no descriptor, it says so.
        let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFD) };
        // What this program or its libraries opened has the flag.
        if flags < 0 || flags & libc::FD_CLOEXEC != 0 {
            continue;
        }
        // SAFETY: it is open, and inherited, or it would have the flag; whoever started this
        // process says that it is for us to own. Nobody takes it twice: `TAKEN` sees to that.
        let file = unsafe { OwnedFd::from_raw_fd(descriptor) };
        if fcntl(&file, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).is_ok() {
            taken.push((name, file));
        }
    }
    taken
}
