//! Programs that run as any other, whoever starts them.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Has the program that `command` starts run with the ordinary policy and nice 0, also when a
/// thread of another policy starts it. To give up priority is always granted; one that has less
/// than an ordinary one keeps that where the privilege is missing.
pub fn start_ordinary(command: &mut Command) {
    // SAFETY: the function makes system calls with numbers and a structure on its stack: no
    // allocation, no lock, safe between fork and exec.
    unsafe { command.pre_exec(become_ordinary) };
}

/// Runs between fork and exec. What is not granted is not told: see above.
fn become_ordinary() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the pointer is to a structure that lives through the call, which reads it.
    let _ = unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const parameters) };
    // SAFETY: it takes numbers.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 0) };
    Ok(())
}
