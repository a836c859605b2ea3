//! Memory that is there when it is needed.
//!
//! A page that is not in memory is a fault, and a fault on a real-time path is a delay that no
//! bound covers. Four things keep pages in: everything is locked ([`lock_all`]); the C library's
//! heap is told not to give memory back and not to fetch it in pieces ([`tune_allocator`]); what is
//! allocated is touched ([`prefault`], [`warm_heap`]); and the kernel is told not to move it about
//! ([`disable_huge_page_collapse`]).
//!
//! Everything is locked *with its pages* (no `MCL_ONFAULT`). On-fault locking spares the memory of
//! thread stacks, 8 MiB each by default, but leaves each page's first touch to happen later. Here
//! each thread names its stack size instead.

use std::fs;
use std::hint;
use std::io;

use nix::errno::Errno;
use nix::sys::mman::{MlockAllFlags, mlockall, munlockall};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use super::procfs::{self, field_kb};

/// Number of CAP_IPC_LOCK.
const CAP_IPC_LOCK: u32 = 14;

/// No page is smaller.
const PAGE_OCTETS: usize = 4096;

/// What was locked, by the kernel's own account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LockReport {
    /// Octets locked now (`VmLck`).
    pub locked_octets: u64,
    /// The most that may be locked, later allocations included; none: no limit for us.
    pub limit_octets: Option<u64>,
}

/// Why memory was not locked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LockError {
    /// The limit is below what the process has mapped.
    #[error(
        "memory cannot be locked: {needed_octets} octets are needed, RLIMIT_MEMLOCK allows \
         {limit_octets} and CAP_IPC_LOCK is {}; run as root, or give \
         `AmbientCapabilities=CAP_IPC_LOCK` or `LimitMEMLOCK=infinity` in the unit, \
         `setcap cap_ipc_lock+ep PROGRAM`, or `memlock unlimited` in /etc/security/limits.conf",
        if *.user_namespace { "held in a user namespace only, where it does not count" }
        else { "missing" }
    )]
    Limit {
        /// Octets mapped now, and later as far as that is known.
        needed_octets: u64,
        /// The limit.
        limit_octets: u64,
        /// CAP_IPC_LOCK is held, but in a user namespace.
        user_namespace: bool,
    },
    /// The machine has not enough memory for all that is mapped.
    #[error("memory cannot be locked: {needed_octets} octets are mapped, more than is free")]
    NotEnough {
        /// Octets mapped now.
        needed_octets: u64,
    },
    /// Anything else.
    #[error("memory cannot be locked: system error {errno}")]
    Other {
        /// The system's error number.
        errno: i32,
    },
}

/// Locks all that is mapped now or later into memory, with its pages. Not for a real-time thread.
///
/// Where a limit remains, later mappings beyond it fail (a thread's start with EAGAIN, an
/// allocation with out of memory), so size it for the running daemon.
///
/// # Errors
/// See [`LockError`]; nothing is locked then.
pub fn lock_all() -> Result<LockReport, LockError> {
    let result = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let limit = getrlimit(Resource::RLIMIT_MEMLOCK).map_or(0, |(soft, _)| soft);
    let held = procfs::held(CAP_IPC_LOCK);
    let unlimited = limit == RLIM_INFINITY || (held.capability && !held.user_namespace);
    let limit_octets = (!unlimited).then_some(limit);
    match result {
        Ok(()) => {
            Ok(LockReport { locked_octets: field_kb(&status, "VmLck").unwrap_or(0), limit_octets })
        }
        Err(errno) => {
            // After a failure the kernel may keep the promise for later mappings; take it back, so
            // that a degraded run does not fail at its next allocation.
            let _nothing_more_to_do = munlockall();
            let needed_octets = field_kb(&status, "VmSize").unwrap_or(0);
            Err(judge(errno, needed_octets, limit_octets, held.user_namespace))
        }
    }
}

/// As [`lock_all`], where later mappings of so many octets are known: where the limit does not
/// leave room for them nothing is locked, and they do not fail.
///
/// # Errors
/// See [`LockError`]; nothing is locked then.
pub fn lock_all_with_room(room_octets: u64) -> Result<LockReport, LockError> {
    let report = lock_all()?;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let needed_octets = field_kb(&status, "VmSize").unwrap_or(0).saturating_add(room_octets);
    match report.limit_octets {
        Some(limit_octets) if limit_octets < needed_octets => {
            let _nothing_more_to_do = munlockall();
            let user_namespace = procfs::held(CAP_IPC_LOCK).user_namespace;
            Err(LockError::Limit { needed_octets, limit_octets, user_namespace })
        }
        _ => Ok(report),
    }
}

/// Makes locked memory ours alone again after a process was started by a fork: that left each page
/// shared until somebody writes to it, and who does faults, locked or not. To be called before a
/// real-time thread starts that uses what was there before. Where nothing is locked it does
/// nothing. Not for a real-time thread.
pub fn unshare_after_fork() {
    if locked_octets().is_ok_and(|octets| octets > 0) {
        // The kernel goes through all that is mapped and writes to it on our behalf. What it does
        // not reach faults later, as it would without this.
        let _as_far_as_it_goes = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE);
    }
}

fn judge(errno: Errno, needed: u64, limit: Option<u64>, user_namespace: bool) -> LockError {
    match (errno, limit) {
        (Errno::ENOMEM | Errno::EPERM | Errno::EAGAIN, Some(limit_octets)) => {
            LockError::Limit { needed_octets: needed, limit_octets, user_namespace }
        }
        (Errno::ENOMEM | Errno::EAGAIN, None) => LockError::NotEnough { needed_octets: needed },
        (errno, _) => LockError::Other { errno: errno as i32 },
    }
}

/// Octets that the kernel holds locked for this process (`VmLck` of `/proc/self/status`).
///
/// # Errors
/// `/proc` is not mounted, or is not as expected.
pub fn locked_octets() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    field_kb(&status, "VmLck").ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Touches each page of `memory`, so that no later access faults. The content stays.
pub fn prefault(memory: &mut [u8]) {
    // By the smallest page, each time the first octet; and the last octet of all, which lies in one
    // page more where the slice does not begin at a page's start.
    for part in memory.chunks_mut(PAGE_OCTETS) {
        touch(part.first_mut());
    }
    touch(memory.last_mut());
}

fn touch(octet: Option<&mut u8>) {
    if let Some(octet) = octet {
        // Opaque to the compiler, which would see that nothing changes and write nothing.
        *octet = hint::black_box(*octet);
    }
}

/// Tells the C library's heap to keep what it has: memory that is freed stays with the process,
/// large blocks come from the heap too (instead of a mapping each, made and unmade), and all
/// threads share one heap (the heap of each further thread reserves 64 MiB, which counts as locked:
/// with three threads `VmLck` was 205 MB without this call and 4 MB with it). Call it
/// before anything is allocated in earnest and before any thread is started. Returns false where
/// the C library has no such settings; then [`lock_all`] alone has to do.
#[must_use]
pub fn tune_allocator() -> bool {
    #[cfg(target_env = "gnu")]
    {
        // Trim threshold -1: never give memory back.
        set_option(libc::M_TRIM_THRESHOLD, -1)
            && set_option(libc::M_MMAP_MAX, 0)
            && set_option(libc::M_ARENA_MAX, 1)
    }
    #[cfg(not(target_env = "gnu"))]
    false
}

#[cfg(target_env = "gnu")]
fn set_option(option: i32, value: i32) -> bool {
    // SAFETY: takes two numbers and locks the heap itself; any thread may call it at any time.
    unsafe { libc::mallopt(option, value) == 1 }
}

/// Lets the heap grow by `octets`, touches them and returns them to the heap, where
/// [`tune_allocator`] keeps them: what is allocated afterwards, up to that size, faults no more.
pub fn warm_heap(octets: usize) {
    let mut block = vec![0u8; octets];
    prefault(&mut block);
    drop(hint::black_box(block));
}

/// Asks the kernel not to put this process's pages together into huge ones: while it does, the
/// pages are not mapped, and who touches one waits. Tables for which huge pages pay ask for them by
/// themselves before they are touched. Inherited by children.
///
/// # Errors
/// The system's error.
pub fn disable_huge_page_collapse() -> io::Result<()> {
    // SAFETY: five numbers; the call changes a flag of the process.
    let result = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1u64, 0u64, 0u64, 0u64) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::thread::thread_figures;

    #[test]
    fn prefaulted_memory_faults_no_more_and_keeps_its_content() {
        // Anonymous memory of a size that the heap has to fetch from the kernel.
        let mut block = vec![0u8; 8 << 20];
        block[12_345] = 7;
        let tid = nix::unistd::gettid().as_raw();
        prefault(&mut block);
        let before = thread_figures(tid).unwrap();
        for place in (0..block.len()).step_by(PAGE_OCTETS) {
            block[place] = hint::black_box(block[place].wrapping_add(1));
        }
        let after = thread_figures(tid).unwrap();
        let pages = (block.len() / PAGE_OCTETS) as u64;
        // A few faults come from reading the figures themselves.
        assert!(after.minor_faults - before.minor_faults < pages / 10);
        assert_eq!(block[12_345], 7);
        prefault(&mut []);
    }

    #[test]
    fn a_refusal_says_how_much_is_needed_and_allowed() {
        let limited = judge(Errno::ENOMEM, 50 << 20, Some(8 << 20), false);
        let text = limited.to_string();
        assert!(text.contains("52428800 octets are needed"), "{text}");
        assert!(text.contains("allows 8388608") && text.contains("LimitMEMLOCK"), "{text}");
        let text = judge(Errno::EPERM, 1, Some(0), true).to_string();
        assert!(text.contains("user namespace"), "{text}");
        assert_eq!(judge(Errno::ENOMEM, 9, None, false), LockError::NotEnough { needed_octets: 9 });
        assert!(matches!(judge(Errno::ENOSYS, 9, None, false), LockError::Other { .. }));
    }
}
