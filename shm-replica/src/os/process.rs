//! Other processes: whether one lives, and whether it is still the one that was meant.
//!
//! A number is given again after a process has ended. A descriptor stands for one process for ever,
//! and the time of its start tells two with the same number apart.

use std::fs;
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;

/// A descriptor that becomes readable when the process has ended.
///
/// # Errors
/// There is no such process, or the kernel is older than 5.3.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: the system call takes two numbers.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let descriptor = RawFd::try_from(Errno::result(descriptor)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made the descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// When the process was started, in the kernel's ticks since the machine was.
///
/// # Errors
/// There is no such process, or no `/proc`.
pub fn start_time(pid: i32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in brackets, which may hold anything.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_ascii_whitespace());
    let time = fields.and_then(|mut fields| fields.nth(19)).map(str::parse);
    match time {
        Some(Ok(time)) => Ok(time),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "/proc/PID/stat has another form")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::process::Command;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    #[test]
    fn the_end_of_a_process_is_seen_and_its_start_known() {
        let own = i32::try_from(std::process::id()).unwrap();
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let process = open(pid).unwrap();
        assert!(start_time(pid).unwrap() >= start_time(own).unwrap());
        let ended = |timeout| {
            let mut waits = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
            poll(&mut waits, timeout) == Ok(1)
        };
        assert!(!ended(PollTimeout::ZERO));
        child.kill().unwrap();
        assert!(ended(PollTimeout::from(10_000u16)));
        child.wait().unwrap();
        assert!(open(pid).is_err() && start_time(pid).is_err());
    }
}
