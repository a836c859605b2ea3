//! Stepping a process from a mark of its own to a certain instruction.

use std::io;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::os::process::{entered_call, left_call};

/// Where stepping came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stepped {
    /// Instructions since the window's begin.
    pub offset: u64,
    /// Whether the process came to its mark after the window before that.
    pub is_whole: bool,
}

/// What a traced process is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// It runs.
    Runs,
    /// It stands at its mark.
    AtMark,
    /// It ended by itself.
    Ended,
}

/// Looks at a process that this one traces from its start.
///
/// # Errors
/// It is not traced.
pub fn look(pid: Pid) -> io::Result<Look> {
    match wait(pid, WaitPidFlag::WNOHANG)? {
        WaitStatus::StillAlive => Ok(Look::Runs),
        WaitStatus::Stopped(_, Signal::SIGSTOP) => {
            ptrace::setoptions(pid, Options::PTRACE_O_EXITKILL | Options::PTRACE_O_TRACESYSGOOD)?;
            Ok(Look::AtMark)
        }
        WaitStatus::Stopped(_, signal) => {
            ptrace::cont(pid, signal)?;
            Ok(Look::Runs)
        }
        WaitStatus::Exited(..) | WaitStatus::Signaled(..) => Ok(Look::Ended),
        other => Err(io::Error::other(format!("{other:?}"))),
    }
}

fn wait(pid: Pid, flags: WaitPidFlag) -> io::Result<WaitStatus> {
    match waitpid(pid, Some(flags | WaitPidFlag::__WALL)) {
        // The alarm, which is the only signal that is handled here.
        Err(Errno::EINTR) => {
            let found = super::census::post_mortem(pid);
            Err(io::Error::other(format!("stuck while it is stepped: {found}")))
        }
        status => Ok(status?),
    }
}

/// Lets a process that stands go on by so many instructions, or to the next mark.
///
/// # Errors
/// It ended, or does something that none of ours does.
pub fn step(pid: Pid, count: u64) -> io::Result<Stepped> {
    for offset in 0..count {
        let once = step_once(pid).map_err(|why| behind(offset, &why))?;
        if once == Once::AtMark {
            return Ok(Stepped { offset, is_whole: true });
        }
    }
    Ok(Stepped { offset: count, is_whole: false })
}

/// As [`step`], but no farther than to the next system call. The process has one thread. An
/// instruction that repeats itself is one instruction.
///
/// # Errors
/// As there.
pub fn step_to_call(pid: Pid, count: u64) -> io::Result<Stepped> {
    let mut at = code::place(pid)?;
    for offset in 0..count {
        let once = step_once(pid).map_err(|why| behind(offset, &why))?;
        if once == Once::AtMark {
            return Ok(Stepped { offset, is_whole: true });
        }
        let now = code::place(pid)?;
        if now == at {
            code::leave_repetition(pid)?;
        }
        at = code::place(pid)?;
        if code::is_call(pid, at)? {
            return Ok(Stepped { offset: offset + 1, is_whole: true });
        }
    }
    Ok(Stepped { offset: count, is_whole: false })
}

fn behind(offset: u64, why: &io::Error) -> io::Error {
    io::Error::other(format!("after {offset} instructions: {why}"))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Once {
    Stepped,
    AtMark,
}

fn step_once(pid: Pid) -> io::Result<Once> {
    ptrace::step(pid, None)?;
    match wait(pid, WaitPidFlag::empty())? {
        WaitStatus::Stopped(_, Signal::SIGTRAP) => {
            code::leave_clock(pid)?;
            Ok(Once::Stepped)
        }
        WaitStatus::Stopped(_, Signal::SIGSTOP) => Ok(Once::AtMark),
        other => Err(io::Error::other(format!("while it is stepped: {other:?}"))),
    }
}

/// What is asked of the code that a process stands in.
#[cfg(target_arch = "x86_64")]
mod code {
    use std::ffi::c_void;
    use std::fs;
    use std::io;
    use std::ops::Range;
    use std::ptr;
    use std::sync::OnceLock;

    use nix::sys::ptrace;
    use nix::sys::signal::Signal;
    use nix::sys::wait::{WaitPidFlag, WaitStatus};
    use nix::unistd::Pid;

    /// Where the instruction pointer stands among the registers.
    const POINTER: usize = std::mem::offset_of!(libc::user_regs_struct, rip);
    const STACK: usize = std::mem::offset_of!(libc::user_regs_struct, rsp);

    /// The next instruction.
    pub(super) fn place(pid: Pid) -> io::Result<usize> {
        let offset = ptr::without_provenance_mut::<c_void>(POINTER);
        Ok(usize::from_ne_bytes(ptrace::read_user(pid, offset)?.to_ne_bytes()))
    }

    fn octets(pid: Pid, place: usize) -> io::Result<[u8; 8]> {
        Ok(ptrace::read(pid, ptr::without_provenance_mut(place))?.to_ne_bytes())
    }

    /// Whether it is a system call.
    pub(super) fn is_call(pid: Pid, place: usize) -> io::Result<bool> {
        Ok(octets(pid, place)?[..2] == [0x0f, 0x05])
    }

    /// Lets an instruction that fills or copies many octets come to its end, if it is one: it is
    /// stepped octet by octet otherwise.
    pub(super) fn leave_repetition(pid: Pid) -> io::Result<()> {
        let at = place(pid)?;
        match octets(pid, at)? {
            [0xf3, 0xa4 | 0xa5 | 0xaa | 0xab, ..] => run_to(pid, at + 2),
            [0xf3, 0x48, 0xa4 | 0xa5 | 0xaa | 0xab, ..] => run_to(pid, at + 3),
            _ => Ok(()),
        }
    }

    /// Lets a look at the clock come to its end, if the process has just begun with one: the kernel
    /// changes what is read there with each tick, and who reads it step by step reads it for ever.
    pub(super) fn leave_clock(pid: Pid) -> io::Result<()> {
        static CLOCK: OnceLock<Range<usize>> = OnceLock::new();
        if CLOCK.get_or_init(clock_code).contains(&place(pid)?) {
            let stack = ptr::without_provenance_mut::<c_void>(STACK);
            let top = ptrace::read_user(pid, stack)?;
            let top = usize::from_ne_bytes(top.to_ne_bytes());
            run_to(pid, usize::from_ne_bytes(octets(pid, top)?))?;
        }
        Ok(())
    }

    /// Where the kernel's own code lies in this process, and so in those forked from it.
    fn clock_code() -> Range<usize> {
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let line = maps.lines().find_map(|line| line.strip_suffix("[vdso]"));
        let range = line.and_then(|line| line.split(' ').next()?.split_once('-'));
        let number = |text| usize::from_str_radix(text, 16).unwrap_or(0);
        range.map_or(0..0, |(start, end)| number(start)..number(end))
    }

    /// Lets it go on to an instruction. The processor looks for it, and for this thread only:
    /// nothing is changed in code that others run too.
    fn run_to(pid: Pid, place: usize) -> io::Result<()> {
        let register = |index: usize| {
            let offset = std::mem::offset_of!(libc::user, u_debugreg) + index * size_of::<u64>();
            ptr::without_provenance_mut::<c_void>(offset)
        };
        let word = |number: usize| libc::c_long::from_ne_bytes(number.to_ne_bytes());
        ptrace::write_user(pid, register(0), word(place))?;
        ptrace::write_user(pid, register(7), 1)?;
        ptrace::cont(pid, None)?;
        let status = super::wait(pid, WaitPidFlag::empty())?;
        ptrace::write_user(pid, register(7), 0)?;
        match status {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => Ok(()),
            other => Err(io::Error::other(format!("on the way to {place:#x}: {other:?}"))),
        }
    }
}

/// Elsewhere calls are not told from other instructions, and none repeats itself.
#[cfg(not(target_arch = "x86_64"))]
mod code {
    use std::io;

    use nix::unistd::Pid;

    pub(super) fn place(_: Pid) -> io::Result<usize> {
        Ok(0)
    }

    pub(super) fn is_call(_: Pid, _: usize) -> io::Result<bool> {
        Ok(false)
    }

    pub(super) fn leave_repetition(_: Pid) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn leave_clock(_: Pid) -> io::Result<()> {
        Ok(())
    }
}

/// Lets a process that stands at its mark go on to where it makes a certain system call, and then
/// to where it has returned from the one so many calls later; none where it came to its next mark
/// before that.
///
/// # Errors
/// As [`step`].
pub fn run_to_call(pid: Pid, call: u64, later: u64) -> io::Result<bool> {
    let mut after = None;
    loop {
        ptrace::syscall(pid, None)?;
        match wait(pid, WaitPidFlag::empty())? {
            WaitStatus::PtraceSyscall(_) => match (after, entered_call(pid)?) {
                (None, Some(entered)) if entered == call => after = Some(0),
                (Some(done), None) if done == later => return Ok(true),
                (Some(done), None) => after = Some(done + 1),
                _ => {}
            },
            WaitStatus::Stopped(_, Signal::SIGSTOP) => return Ok(false),
            other => return Err(io::Error::other(format!("before it is stepped: {other:?}"))),
        }
    }
}

/// Stops a thread of a running process.
///
/// # Errors
/// It ended.
pub fn seize(thread: Pid) -> io::Result<()> {
    ptrace::seize(thread, Options::PTRACE_O_EXITKILL | Options::PTRACE_O_TRACESYSGOOD)?;
    ptrace::interrupt(thread)?;
    wait(thread, WaitPidFlag::empty()).map(drop)
}

/// Lets a seized thread go on to where it has waited for something that has come, then for as many
/// ends of system calls, and then for as many instructions; but no farther than to its next wait.
/// Whether it was stopped before that.
///
/// # Errors
/// It ended.
pub fn step_turn(thread: Pid, calls: u64, instructions: u64) -> io::Result<bool> {
    let waits = |call: u64| {
        let waits = [libc::SYS_ppoll, libc::SYS_poll, libc::SYS_restart_syscall];
        i64::try_from(call).is_ok_and(|call| waits.contains(&call))
    };
    let (mut is_waiting, mut left) = (false, None);
    while left != Some(0) {
        ptrace::syscall(thread, None)?;
        match wait(thread, WaitPidFlag::empty())? {
            WaitStatus::PtraceSyscall(_) => match (entered_call(thread)?, left_call(thread)?) {
                (Some(call), _) if waits(call) && left.is_some() => return Ok(false),
                (Some(call), _) => is_waiting = waits(call),
                (None, Some(ready)) if left.is_none() => {
                    left = (is_waiting && ready > 0).then_some(calls);
                }
                (None, _) => left = left.map(|it| it - 1),
            },
            WaitStatus::PtraceEvent(..) | WaitStatus::Stopped(..) => {}
            other => return Err(io::Error::other(format!("while it is seized: {other:?}"))),
        }
    }
    for _ in 0..instructions {
        ptrace::step(thread, None)?;
        match wait(thread, WaitPidFlag::empty())? {
            WaitStatus::Stopped(..) | WaitStatus::PtraceEvent(..) => {}
            other => return Err(io::Error::other(format!("while it is stepped: {other:?}"))),
        }
    }
    Ok(true)
}

/// Takes note of the end of a process that was killed.
///
/// # Errors
/// It is no child.
pub fn bury(pid: Pid) -> io::Result<()> {
    loop {
        match wait(pid, WaitPidFlag::empty())? {
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return Ok(()),
            _ => {}
        }
    }
}
