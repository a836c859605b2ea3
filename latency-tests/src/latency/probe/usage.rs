//! What a thread that measures used, by the kernel's count.

use std::io;

use nix::sys::resource::{UsageWho, getrusage};

/// What a thread used, since it began or between two looks.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Usage {
    /// How often something else was run in its place.
    pub(super) preemptions: u64,
    /// Page faults.
    pub(super) faults: u64,
}

impl Usage {
    /// What the calling thread has used so far.
    pub(super) fn now() -> io::Result<Self> {
        let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
        let count = |value: i64| u64::try_from(value).unwrap_or(0);
        let faults = [usage.minor_page_faults(), usage.major_page_faults()].map(count);
        Ok(Self {
            preemptions: count(usage.involuntary_context_switches()),
            faults: faults[0].saturating_add(faults[1]),
        })
    }

    /// What it has used between two looks.
    pub(super) const fn since(self, before: Self) -> Self {
        Self {
            preemptions: self.preemptions.saturating_sub(before.preemptions),
            faults: self.faults.saturating_sub(before.faults),
        }
    }
}
