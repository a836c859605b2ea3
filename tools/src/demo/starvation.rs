//! How long the demo's programs were kept from running.
//!
//! A program in a cable that waits for a processor for half a second delivers copies that late, and
//! no duplicate discard remembers a number for so long. Such a figure is about the machine. The
//! kernel counts for each thread how long it was ready and did not run (`/proc/PID/schedstat`);
//! where it does not, the demo's own lateness is a hint.

use std::fs;

/// The longest waits seen so far.
#[derive(Clone, Default, Debug)]
pub(super) struct Starvation {
    threads: Vec<Watched>,
    longest_ns: u64,
}

#[derive(Clone, Debug)]
struct Watched {
    path: String,
    waited_ns: u64,
}

impl Starvation {
    /// Watches the main threads of these processes.
    pub(super) fn watch(ids: impl IntoIterator<Item = u32>) -> Self {
        let threads = ids.into_iter().map(|id| {
            let path = format!("/proc/{id}/schedstat");
            let waited_ns = waited_ns(&path).unwrap_or_default();
            Watched { path, waited_ns }
        });
        Self { threads: threads.collect(), longest_ns: 0 }
    }

    /// Looks again. Between two looks lies a short time, so that what a thread waited in it was
    /// about one wait.
    pub(super) fn look(&mut self) {
        for thread in &mut self.threads {
            let Some(waited_ns) = waited_ns(&thread.path) else { continue };
            self.longest_ns = self.longest_ns.max(waited_ns.saturating_sub(thread.waited_ns));
            thread.waited_ns = waited_ns;
        }
    }

    /// Notes that something came this much too late.
    pub(super) fn note(&mut self, late_ns: u64) {
        self.longest_ns = self.longest_ns.max(late_ns);
    }

    /// The longest wait.
    pub(super) const fn longest_ns(&self) -> u64 {
        self.longest_ns
    }
}

/// The second number: ready and not running, in nanoseconds.
fn waited_ns(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_counts() {
        let mut starvation = Starvation::watch([std::process::id(), u32::MAX]);
        starvation.look();
        starvation.note(7_000_000_000_000);
        starvation.note(5);
        starvation.look();
        assert_eq!(starvation.longest_ns(), 7_000_000_000_000);
    }
}
