//! Who runs where.

use std::thread;

use rt_core::os::thread::{Policy, RtThreadPlan};

/// Of the senders: below the daemon's, above all else.
const PRIORITY: u8 = 40;

/// The CPUs of the machine as the bench uses them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cpus {
    count: usize,
}

impl Cpus {
    /// The CPUs that this process may use, which are taken to be the first ones.
    #[must_use]
    pub fn here() -> Self {
        Self { count: thread::available_parallelism().map_or(1, std::num::NonZero::get) }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The daemon's `lre` thread: the last one, alone; none where there is only one CPU.
    #[must_use]
    pub const fn lre(&self) -> Option<usize> {
        if self.count > 1 { Some(self.count - 1) } else { None }
    }

    /// The senders: CPUs between the first one, where everything else runs, and the daemon's; on
    /// small machines they share.
    #[must_use]
    pub const fn generators(&self) -> [Option<usize>; 2] {
        match self.count {
            0 | 1 => [None; 2],
            2 => [Some(0); 2],
            3 => [Some(1), Some(0)],
            count => [Some(count - 2), Some(count - 3)],
        }
    }

    /// Two processes that pass something to each other: the one that publishes and the one that
    /// observes. Neither is on the first CPU if it can be helped, and on a machine of two it is the
    /// one that publishes: it waits for the clock, and can sleep meanwhile.
    #[must_use]
    pub const fn pair(&self) -> [Option<usize>; 2] {
        match self.count {
            0 | 1 => [None; 2],
            count => [Some(count - 2), Some(count - 1)],
        }
    }

    /// Whether one of [`Self::generators`] has no CPU of its own: on the first one everything else
    /// runs, whoever takes the figures too.
    #[must_use]
    pub const fn is_shared(cpu: Option<usize>) -> bool {
        !matches!(cpu, Some(1..))
    }

    /// How a thread named `name` that polls runs on one of [`Self::generators`]. On a shared one it
    /// takes its turn, and should give way where it has nothing to do.
    #[must_use]
    pub fn plan(name: &str, cpu: Option<usize>) -> RtThreadPlan {
        let policy = if Self::is_shared(cpu) { Policy::Other } else { Policy::Fifo(PRIORITY) };
        RtThreadPlan { cpu, allow_degraded: true, ..RtThreadPlan::new(name, policy) }
    }

    /// What the number of CPUs distorts, in a sentence.
    #[must_use]
    pub const fn distortion(&self) -> Option<&'static str> {
        match self.count {
            0 | 1 => Some("one CPU: daemon and senders take turns, rates are not a core's"),
            2 => Some(
                "two CPUs: both senders share one, so the LANs may bring less than a core takes",
            ),
            3 => Some("three CPUs: one sender shares its CPU with everything else"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_of_two_and_leaves_the_first_to_the_others() {
        assert_eq!(Cpus { count: 1 }.pair(), [None; 2]);
        assert_eq!(Cpus { count: 2 }.pair(), [Some(0), Some(1)]);
        for count in 3..=8 {
            let pair = Cpus { count }.pair();
            assert!(pair[0] != pair[1] && !pair.into_iter().any(Cpus::is_shared), "{pair:?}");
        }
    }

    #[test]
    fn the_daemon_shares_its_cpu_with_no_sender() {
        for count in 2..=8 {
            let cpus = Cpus { count };
            assert!(!cpus.generators().contains(&cpus.lre()), "{cpus:?}");
        }
        assert_eq!(Cpus { count: 4 }.generators(), [Some(2), Some(1)]);
        assert!(Cpus { count: 4 }.distortion().is_none());
    }
}
