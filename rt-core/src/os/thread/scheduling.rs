//! Policy, priority and CPUs of a thread: asking the kernel, and asking it again what it made of
//! it.
//!
//! Read back by system call, not through `pthread_getschedparam`, which answers from the C
//! library's own memory of what was asked.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use thread_priority::{
    Error as CrateError, RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue,
    ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};

use crate::limits::CPU_INDEX_MAX;
use crate::os::procfs::format_cpu_list;

/// A policy to ask for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Policy {
    /// SCHED_FIFO with this priority, 1 to 98.
    Fifo(u8),
    /// SCHED_OTHER, the ordinary one.
    Other,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fifo(priority) => write!(f, "SCHED_FIFO {priority}"),
            Self::Other => f.write_str("SCHED_OTHER"),
        }
    }
}

/// A policy as the kernel reports it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KernelPolicy {
    /// SCHED_OTHER.
    Other,
    /// SCHED_FIFO.
    Fifo,
    /// SCHED_RR.
    RoundRobin,
    /// SCHED_BATCH.
    Batch,
    /// SCHED_IDLE.
    Idle,
    /// SCHED_DEADLINE.
    Deadline,
    /// A number that this program does not know.
    Unknown(i32),
}

impl KernelPolicy {
    fn from_number(number: i32) -> Self {
        // The flag rides on the number and is no part of the policy.
        match number & !libc::SCHED_RESET_ON_FORK {
            libc::SCHED_OTHER => Self::Other,
            libc::SCHED_FIFO => Self::Fifo,
            libc::SCHED_RR => Self::RoundRobin,
            libc::SCHED_BATCH => Self::Batch,
            libc::SCHED_IDLE => Self::Idle,
            libc::SCHED_DEADLINE => Self::Deadline,
            other => Self::Unknown(other),
        }
    }

    /// The kernel's word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Other => "SCHED_OTHER",
            Self::Fifo => "SCHED_FIFO",
            Self::RoundRobin => "SCHED_RR",
            Self::Batch => "SCHED_BATCH",
            Self::Idle => "SCHED_IDLE",
            Self::Deadline => "SCHED_DEADLINE",
            Self::Unknown(_) => "unknown policy",
        }
    }
}

impl fmt::Display for KernelPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the kernel schedules a thread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scheduling {
    /// Its policy.
    pub policy: KernelPolicy,
    /// Its real-time priority; 0 without a real-time policy.
    pub priority: u8,
    /// The CPUs on which it may run, ascending.
    pub cpus: Vec<usize>,
}

impl Scheduling {
    /// Whether this is what `policy` asks for.
    #[must_use]
    pub fn has_policy(&self, policy: Policy) -> bool {
        match policy {
            Policy::Fifo(priority) => {
                self.policy == KernelPolicy::Fifo && self.priority == priority
            }
            Policy::Other => self.policy == KernelPolicy::Other,
        }
    }
}

impl fmt::Display for Scheduling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.policy)?;
        if self.priority > 0 {
            write!(f, " {}", self.priority)?;
        }
        match self.cpus.as_slice() {
            [cpu] => write!(f, " on CPU {cpu}"),
            cpus => write!(f, " on CPUs {}", format_cpu_list(cpus)),
        }
    }
}

/// Asks the kernel how it schedules the thread `tid` (any thread of the machine). Thread: any.
///
/// # Errors
/// No such thread, or one that this process may not look at.
pub fn scheduling_of(tid: i32) -> io::Result<Scheduling> {
    // SAFETY: takes a number and returns one.
    let number = unsafe { libc::syscall(libc::SYS_sched_getscheduler, tid) };
    let number = i32::try_from(number).unwrap_or(-1);
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut parameter = MaybeUninit::<libc::sched_param>::zeroed();
    // SAFETY: the kernel writes one `int`, which is what `sched_param` begins with, to a place that
    // outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_sched_getparam, tid, parameter.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all-zero octets are a `sched_param`, and the kernel wrote into it.
    let parameter = unsafe { parameter.assume_init() };
    let affinity = sched_getaffinity(Pid::from_raw(tid))?;
    let cpus = (0..CpuSet::count()).filter(|cpu| affinity.is_set(*cpu).unwrap_or(false)).collect();
    Ok(Scheduling {
        policy: KernelPolicy::from_number(number),
        priority: u8::try_from(parameter.sched_priority).unwrap_or(u8::MAX),
        cpus,
    })
}

/// Asks for `policy` for the calling thread.
///
/// # Errors
/// The system's error number.
pub(super) fn set_policy(policy: Policy) -> Result<(), i32> {
    match policy {
        // Always with an explicit policy: without one the crate leaves SCHED_OTHER as it is and
        // reports success.
        Policy::Fifo(priority) => {
            let value = ThreadPriorityValue::try_from(priority).map_err(|_| libc::EINVAL)?;
            set_thread_priority_and_policy(
                thread_native_id(),
                ThreadPriority::Crossplatform(value),
                ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo),
            )
            .map_err(|error| if let CrateError::OS(errno) = error { errno } else { libc::EINVAL })
        }
        // Not through the crate, which would set the nice value too.
        Policy::Other => {
            // SAFETY: all-zero octets are a `sched_param` (an integer, and padding on some
            // systems).
            let parameter: libc::sched_param = unsafe { MaybeUninit::zeroed().assume_init() };
            // SAFETY: 0 names the calling thread; the kernel reads one `int` of a live place.
            let result = unsafe {
                libc::syscall(
                    libc::SYS_sched_setscheduler,
                    0,
                    libc::SCHED_OTHER,
                    &raw const parameter,
                )
            };
            if result == 0 { Ok(()) } else { Err(last_errno()) }
        }
    }
}

/// Pins the calling thread to one CPU.
///
/// # Errors
/// The system's error number.
pub(super) fn pin_to(cpu: usize) -> Result<(), i32> {
    if cpu > CPU_INDEX_MAX {
        return Err(libc::EINVAL);
    }
    // The id is ours: the crate's list of ids is that of the present affinity, which leaves out
    // isolated CPUs, the very ones to pin to.
    if core_affinity::set_for_current(core_affinity::CoreId { id: cpu }) {
        Ok(())
    } else {
        Err(last_errno())
    }
}

fn last_errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_how_it_schedules_a_thread() {
        let mine = scheduling_of(nix::unistd::gettid().as_raw()).unwrap();
        assert!(mine.has_policy(Policy::Other), "{mine}");
        assert!(!mine.has_policy(Policy::Fifo(1)));
        assert!(!mine.cpus.is_empty());
        assert_eq!(scheduling_of(i32::MAX).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }

    #[test]
    fn scheduling_reads_well() {
        let fifo = |cpus: &[usize]| Scheduling {
            policy: KernelPolicy::from_number(libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK),
            priority: 60,
            cpus: cpus.to_vec(),
        };
        assert_eq!(fifo(&[2]).to_string(), "SCHED_FIFO 60 on CPU 2");
        assert_eq!(fifo(&[0, 1, 3]).to_string(), "SCHED_FIFO 60 on CPUs 0-1,3");
        assert!(fifo(&[2]).has_policy(Policy::Fifo(60)));
        assert!(!fifo(&[2]).has_policy(Policy::Fifo(70)));
    }

    #[test]
    fn a_cpu_that_no_mask_can_hold_is_refused_before_the_kernel_is_asked() {
        assert_eq!(pin_to(CPU_INDEX_MAX + 1), Err(libc::EINVAL));
    }
}
