//! What a thread that measures used, by the kernel's count.

use std::io;

use nix::sys::resource::{UsageWho, getrusage};
use rt_core::os::freeze::freeze_this_thread;
use rt_core::os::thread::ThreadReport;

use super::super::report::ThreadFacts;

/// What a thread used, since it began or between two looks.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Usage {
    /// How often something else was run in its place.
    preemptions: u64,
    /// Page faults.
    faults: u64,
}

impl Usage {
    /// Does what the calling thread is there for, frozen, and says what it used meanwhile.
    /// Real-time class: between the two looks that of `work`.
    pub(super) fn of<T>(work: impl FnOnce() -> T) -> io::Result<(T, Self)> {
        let before = Self::now()?;
        let frozen = freeze_this_thread();
        let done = work();
        drop(frozen);
        Ok((done, Self::now()?.since(before)))
    }

    /// The facts of the thread that used it.
    pub(super) fn facts(self, report: &ThreadReport) -> ThreadFacts {
        ThreadFacts::new(report, self.preemptions, self.faults)
    }

    /// What the calling thread has used so far.
    fn now() -> io::Result<Self> {
        let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
        let count = |value: i64| u64::try_from(value).unwrap_or(0);
        let faults = [usage.minor_page_faults(), usage.major_page_faults()].map(count);
        Ok(Self {
            preemptions: count(usage.involuntary_context_switches()),
            faults: faults[0].saturating_add(faults[1]),
        })
    }

    /// What it has used between two looks.
    const fn since(self, before: Self) -> Self {
        Self {
            preemptions: self.preemptions.saturating_sub(before.preemptions),
            faults: self.faults.saturating_sub(before.faults),
        }
    }
}
