//! What the kernel counted for a thread: switches, faults, CPU time. For readers that are not
//! real-time themselves; the thread looked at notices nothing.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::os::procfs::field;
use crate::time::Duration;

/// The kernel's own figures of one thread. All only rise.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ThreadFigures {
    /// It gave up the CPU: it waited.
    pub voluntary_switches: u64,
    /// The CPU was taken from it.
    pub involuntary_switches: u64,
    /// Page faults served from memory.
    pub minor_faults: u64,
    /// Page faults served from a disk.
    pub major_faults: u64,
    /// Time it ran; exact where the kernel keeps `schedstat`, else in clock ticks of 10 ms.
    pub cpu_time: Duration,
}

/// Why a thread's figures cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum FiguresError {
    /// No such thread, or `/proc` is not mounted or hides it.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel's text is not what is expected.
    #[error("{}: not as expected", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// The figures of a thread of this process. Thread: any that may allocate.
///
/// # Errors
/// See [`FiguresError`].
pub fn thread_figures(tid: i32) -> Result<ThreadFigures, FiguresError> {
    read(format!("/proc/self/task/{tid}").into())
}

/// The figures of the thread `tid` of the process `pid`. Thread: any that may allocate.
///
/// # Errors
/// See [`FiguresError`].
pub fn thread_figures_of(pid: i32, tid: i32) -> Result<ThreadFigures, FiguresError> {
    read(format!("/proc/{pid}/task/{tid}").into())
}

// Below `task`: the files of the same names directly below `/proc/PID` sum up all its threads.
fn read(folder: PathBuf) -> Result<ThreadFigures, FiguresError> {
    let read_file = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).map_err(|source| FiguresError::Unreadable { path, source })
    };
    let status = read_file("status")?;
    let stat = read_file("stat")?;
    let schedstat = read_file("schedstat").ok();
    parse(&status, &stat, schedstat.as_deref()).ok_or(FiguresError::Malformed { path: folder })
}

fn parse(status: &str, stat: &str, schedstat: Option<&str>) -> Option<ThreadFigures> {
    /// USER_HZ, which `stat` counts in, is 100 on every Linux of today.
    const TICK: Duration = Duration::from_millis(10);
    // The name in parentheses may hold anything, parentheses included; fields are counted from its
    // end, where field 3 of proc(5) begins.
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let number = |place: usize| fields.get(place - 3)?.parse::<u64>().ok();
    let ticks = number(14)?.saturating_add(number(15)?);
    let exact = schedstat.and_then(|text| text.split_whitespace().next()?.parse().ok());
    Some(ThreadFigures {
        voluntary_switches: field(status, "voluntary_ctxt_switches")?.parse().ok()?,
        involuntary_switches: field(status, "nonvoluntary_ctxt_switches")?.parse().ok()?,
        minor_faults: number(10)?,
        major_faults: number(12)?,
        cpu_time: exact.map_or_else(|| TICK.saturating_mul(ticks), Duration::from_nanos),
    })
}

#[cfg(test)]
mod tests {
    use nix::unistd::{getpid, gettid};

    use super::*;

    const STATUS: &str =
        "Name:\tlre\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";
    const STAT: &str = "77 (a) b) R 1 2 3 0 -1 4194304 97 5 2 6 40 2 0 0 20 0 1 0 174094 3133440";

    #[test]
    fn figures_are_read_whatever_the_thread_calls_itself() {
        let expected = ThreadFigures {
            voluntary_switches: 12,
            involuntary_switches: 3,
            minor_faults: 97,
            major_faults: 2,
            cpu_time: Duration::from_millis(420),
        };
        assert_eq!(parse(STATUS, STAT, None), Some(expected));
        let exact = ThreadFigures { cpu_time: Duration::from_nanos(4_711), ..expected };
        assert_eq!(parse(STATUS, STAT, Some("4711 9 2\n")), Some(exact));
        assert_eq!(parse("", STAT, None), None);
        assert_eq!(parse(STATUS, "77 (a) R 1", None), None);
        assert_eq!(parse(STATUS, "", None), None);
    }

    #[test]
    fn a_thread_that_waits_is_seen_to_wait() {
        let tid = gettid().as_raw();
        let before = thread_figures(tid).unwrap();
        for _ in 0..3 {
            let soon = crate::os::clock::MonotonicClock::now() + Duration::from_millis(1);
            crate::os::clock::sleep_until(soon);
        }
        let after = thread_figures_of(getpid().as_raw(), tid).unwrap();
        assert!(after.voluntary_switches >= before.voluntary_switches + 3);
        assert!(after.cpu_time > before.cpu_time);
    }

    #[test]
    fn a_thread_that_is_not_there_has_no_figures() {
        let error = thread_figures(i32::MAX).unwrap_err();
        assert!(error.to_string().contains("/proc/self/task/2147483647/status"), "{error}");
    }
}
