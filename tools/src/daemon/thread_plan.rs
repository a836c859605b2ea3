//! The table of real-time threads: who runs where and how important it is.

use rt_core::os::host;
use rt_core::os::thread::{Policy, RtThreadPlan};

use crate::config::{DaemonConfig, ReceiveMode, ThreadPolicy};
use crate::exit::Failure;

/// One line of the table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlannedThread {
    /// How it is scheduled.
    pub plan: RtThreadPlan,
    /// Whether it never waits.
    pub is_busy: bool,
}

impl PlannedThread {
    /// What the checks of the host have to know of it.
    #[must_use]
    pub fn for_host(&self) -> host::PlannedThread {
        host::PlannedThread {
            name: self.plan.name.clone(),
            policy: self.plan.policy,
            cpu: self.plan.cpu,
            is_busy: self.is_busy,
        }
    }
}

/// The plan of the `lre` thread. Where the configuration names no CPU, a real-time thread takes the
/// last isolated one. Without isolated CPUs it is not pinned: on a CPU that it shares with whatever
/// else the host does, it would wait where it could move.
#[must_use]
pub fn lre(config: &DaemonConfig, isolated: &[usize]) -> PlannedThread {
    let thread = config.threads.lre;
    let policy = match thread.policy {
        ThreadPolicy::Fifo { priority } => Policy::Fifo(priority),
        ThreadPolicy::Other => Policy::Other,
    };
    let chosen = isolated.last().copied().filter(|_| policy != Policy::Other);
    let plan = RtThreadPlan {
        cpu: thread.cpu.or(chosen),
        allow_degraded: config.allow_non_rt,
        ..RtThreadPlan::new("lre", policy)
    };
    PlannedThread { plan, is_busy: matches!(config.receive_mode, ReceiveMode::Busy) }
}

/// Checks the table as a whole: a thread that never waits starves every other one of ours on its
/// CPU.
///
/// # Errors
/// Which threads cannot share a CPU (code 2).
pub fn check(table: &[PlannedThread]) -> Result<(), Failure> {
    for busy in table.iter().filter(|thread| thread.is_busy) {
        let Some(cpu) = busy.plan.cpu else { continue };
        let other = table.iter().find(|other| {
            other.plan.name != busy.plan.name && other.plan.cpu.is_none_or(|theirs| theirs == cpu)
        });
        if let Some(other) = other {
            let (busy, other) = (&busy.plan.name, &other.plan.name);
            return Err(Failure::usage(
                format!(
                    "receive_mode: busy keeps CPU {cpu} for thread {busy}, but {other} may run \
                     there"
                ),
                format!(
                    "give threads.{busy}.cpu and threads.{other}.cpu different CPUs, or choose \
                     adaptive"
                ),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(name: &str, cpu: Option<usize>, is_busy: bool) -> PlannedThread {
        PlannedThread {
            plan: RtThreadPlan { cpu, ..RtThreadPlan::new(name, Policy::Fifo(60)) },
            is_busy,
        }
    }

    #[test]
    fn a_busy_thread_shares_its_cpu_with_no_other() {
        let heart = |cpu| thread("heart", cpu, false);
        assert!(check(&[thread("lre", Some(2), true), heart(Some(3))]).is_ok());
        assert!(check(&[thread("lre", Some(2), false), heart(Some(2))]).is_ok());
        for cpu in [Some(2), None] {
            let failure = check(&[thread("lre", Some(2), true), heart(cpu)]).unwrap_err();
            assert!(failure.message.contains("receive_mode"), "{failure}");
        }
    }
}
