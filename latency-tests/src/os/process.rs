//! Processes that are made to die: forked from a warm parent, stepped, killed; and words that
//! outlive them.

use std::fs;
use std::io;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::atomic::AtomicU64;

use memmap2::{MmapOptions, MmapRaw};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::ptrace;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::{ForkResult, Pid, fork, ftruncate};

/// Forks; the child runs `child`, ends with code 0 (101 after a panic), and is killed when this
/// process ends.
///
/// # Errors
/// This process has a second thread, or the kernel refuses.
pub fn forked(child: impl FnOnce()) -> io::Result<Pid> {
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("a process with several threads is not forked"));
    }
    // SAFETY: this thread is the only one, so that the child finds no lock that another one held.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let ended = set_pdeathsig(Signal::SIGKILL)
                .and_then(|()| catch_unwind(AssertUnwindSafe(child)).map_err(|_| nix::Error::EIO));
            let code = if ended.is_ok() { 0 } else { 101 };
            // SAFETY: it takes a number. What the parent has to do at its end is not the child's.
            unsafe { libc::_exit(code) }
        }
    }
}

/// Has an alarm interrupt whatever this thread waits in, and do nothing else.
///
/// # Errors
/// The kernel refuses.
pub fn interrupt_on_alarm() -> io::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing, so it may run anywhere; no other handler is replaced.
    unsafe { sigaction(Signal::SIGALRM, &action) }?;
    Ok(())
}

/// The system call that a traced process stands before; none where it stands after one, or
/// elsewhere.
///
/// # Errors
/// It is not traced, or does not stand.
pub fn entered_call(pid: Pid) -> io::Result<Option<u64>> {
    let info = ptrace::syscall_info(pid)?;
    if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return Ok(None);
    }
    // SAFETY: the kernel has filled in this member, as it says in `op`.
    Ok(Some(unsafe { info.u.entry }.nr))
}

/// What the system call returned that a traced process has just left; none where it stands
/// elsewhere.
///
/// # Errors
/// As [`entered_call`].
pub fn left_call(pid: Pid) -> io::Result<Option<i64>> {
    let info = ptrace::syscall_info(pid)?;
    if info.op != libc::PTRACE_SYSCALL_INFO_EXIT {
        return Ok(None);
    }
    // SAFETY: the kernel has filled in this member, as it says in `op`.
    Ok(Some(unsafe { info.u.exit }.sval))
}

/// Words that this process and those forked from it share. What a process wrote is there after its
/// end.
#[derive(Debug)]
pub struct SharedWords {
    map: MmapRaw,
    words: usize,
}

impl SharedWords {
    /// So many words, all zero.
    ///
    /// # Errors
    /// Out of memory or descriptors.
    pub fn new(words: usize) -> io::Result<Self> {
        let file = memfd_create("torture board", MFdFlags::MFD_CLOEXEC)?;
        let octets = words * size_of::<u64>();
        ftruncate(&file, libc::off_t::try_from(octets).unwrap_or(libc::off_t::MAX))?;
        Ok(Self { map: MmapOptions::new().len(octets).map_raw(&file)?, words })
    }
}

impl Deref for SharedWords {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        let start = self.map.as_ptr().cast::<AtomicU64>();
        // SAFETY: the mapping has so many words, begins on a page, is changed by atomics only, and
        // lives as long as `self`; its file had its size before, and nobody has it any more.
        unsafe { slice::from_raw_parts(start, self.words) }
    }
}
