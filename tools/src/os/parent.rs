//! A program that does not outlive whoever started it, however that one ends.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

/// Makes the kernel end the program that `command` starts, at once, when the thread that starts it
/// has ended. Thread: one that lives as long as the program shall.
pub fn end_with_parent(command: &mut Command) {
    let parent = Pid::this();
    // SAFETY: the closure makes two system calls and compares numbers: no allocation, no lock, safe
    // between fork and exec.
    unsafe {
        command.pre_exec(move || {
            set_pdeathsig(Signal::SIGKILL).map_err(|errno| {
                let number = errno as i32;
                io::Error::from_raw_os_error(number)
            })?;
            // Who ended before the call above will not end again.
            if getppid() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        })
    };
}
