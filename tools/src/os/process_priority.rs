//! Another process's place in the scheduler.

use std::io;

/// Makes the main thread of process `id` SCHED_FIFO with `priority` (1 to 99).
///
/// # Errors
/// `EPERM` without CAP_SYS_NICE, `ESRCH` when there is no such process, `EINVAL` for a priority
/// that there is not.
pub fn set_fifo(id: u32, priority: i32) -> io::Result<()> {
    let id = libc::pid_t::try_from(id).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: the pointer is to a live value of the type that the call reads, and only read.
    let done = unsafe { libc::sched_setscheduler(id, libc::SCHED_FIFO, &raw const parameters) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused() {
        // Without the privilege the refusal is another one.
        assert!(set_fifo(std::process::id(), 1000).is_err());
        assert!(set_fifo(u32::MAX, 10).is_err());
    }
}
