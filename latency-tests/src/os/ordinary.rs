//! Programs that run as any other, whoever starts them.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::errno::Errno;

/// Has the program that `command` starts run with the ordinary policy and nice 0, also when a
/// thread of another policy starts it. Nice stays above 0 where the privilege to lower it is
/// missing.
pub fn start_ordinary(command: &mut Command) {
    // SAFETY: the closure makes system calls with numbers and a structure on its stack, and builds
    // an error from a number: no allocation, no lock, safe between fork and exec.
    unsafe { command.pre_exec(become_ordinary) };
}

/// Runs between fork and exec.
fn become_ordinary() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the pointer is to a structure that lives through the call, which reads it.
    let done = unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const parameters) };
    Errno::result(done).map_err(|errno| io::Error::from_raw_os_error(errno as i32))?;
    // SAFETY: it takes numbers. What it returns is not looked at: see above.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 0) };
    Ok(())
}
