//! What the kernel did not grant, why, and what to do about it.
//!
//! The kernel says EPERM or EINVAL. That is of no use to the person in front of the machine, so the
//! facts that decide it are read (capability, limit, user namespace, cgroup, cpuset) and judged
//! here. The judging is pure; the reading is one function for each kind.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use nix::sys::resource::{Resource, getrlimit};

use super::scheduling::Scheduling;
use crate::os::procfs::{self, Held};

/// Number of CAP_SYS_NICE.
const CAP_SYS_NICE: u32 = 23;

/// Something that was asked for a thread and not granted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RtShortfall {
    /// The policy was refused.
    #[error("thread {thread}: SCHED_FIFO {priority} was refused: {cause}")]
    Policy {
        /// The thread's name.
        thread: String,
        /// The priority asked for.
        priority: u8,
        /// Why.
        cause: PolicyCause,
    },
    /// The CPU was refused.
    #[error("thread {thread}: it cannot be pinned to CPU {cpu}: {cause}")]
    Cpu {
        /// The thread's name.
        thread: String,
        /// The CPU asked for.
        cpu: usize,
        /// Why.
        cause: CpuCause,
    },
    /// The kernel accepted the request, but reports something else.
    #[error(
        "thread {thread}: asked for {asked}, but the kernel reports {found}; something \
             outside (a tuning service, a cpuset) changes it: stop that first"
    )]
    NotKept {
        /// The thread's name.
        thread: String,
        /// What was asked for, in words.
        asked: String,
        /// What the kernel reports.
        found: Scheduling,
    },
    /// The stack could not be touched beforehand: its pages fault in later.
    #[error("thread {thread}: its stack could not be touched beforehand: system error {errno}")]
    Stack {
        /// The thread's name.
        thread: String,
        /// The system's error number.
        errno: i32,
    },
}

/// Why SCHED_FIFO was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PolicyCause {
    /// Neither the capability nor the limit.
    #[error(
        "CAP_SYS_NICE is missing and RLIMIT_RTPRIO is {limit}; run as root, or give \
             `AmbientCapabilities=CAP_SYS_NICE` or `LimitRTPRIO={needed}` in the unit, \
             `setcap cap_sys_nice+ep PROGRAM`, or `rtprio {needed}` in /etc/security/limits.conf"
    )]
    NoPrivilege {
        /// The priority needed.
        needed: u8,
        /// The limit there is.
        limit: u64,
    },
    /// The capability is held in a user namespace, where it does not count.
    #[error(
        "CAP_SYS_NICE is held in a user namespace only, where it does not count for the \
             scheduler, and RLIMIT_RTPRIO is {limit}; start outside the namespace, or raise \
             RLIMIT_RTPRIO to {needed} before entering it"
    )]
    UserNamespace {
        /// The priority needed.
        needed: u8,
        /// The limit there is.
        limit: u64,
    },
    /// CONFIG_RT_GROUP_SCHED, and the cgroup has no real-time budget.
    #[error("the cgroup {cgroup} has no real-time budget (CONFIG_RT_GROUP_SCHED); give it one \
             (`echo 950000 > {}`, its parents first), move the process to the root cgroup of the \
             controller cpu, or boot with `rt_group_sched=0`", file.display())]
    NoGroupBudget {
        /// The cgroup.
        cgroup: String,
        /// The file that holds its budget.
        file: PathBuf,
    },
    /// The privilege is there, the cgroup says nothing.
    #[error(
        "permission denied although the privilege is held; a kernel with \
             CONFIG_RT_GROUP_SCHED refuses it in every cgroup with the controller cpu but the root \
             (boot with `rt_group_sched=0`, or do not delegate cpu), a container or seccomp filter \
             may refuse it too (docker: `--cap-add SYS_NICE --ulimit rtprio=99`)"
    )]
    Denied,
    /// Anything else.
    #[error("system error {errno}")]
    Other {
        /// The system's error number.
        errno: i32,
    },
}

/// Why a CPU was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CpuCause {
    /// It is offline, or there is none of that number.
    #[error(
        "it is not online (online: {online}); choose another, or \
             `echo 1 > /sys/devices/system/cpu/cpu{cpu}/online`"
    )]
    NotOnline {
        /// The CPU.
        cpu: usize,
        /// The CPUs that are online.
        online: String,
    },
    /// It is online, but the cpuset of this process leaves it out.
    #[error(
        "it is outside the cpuset of this process (CPUs {allowed}); choose one of these, or \
             widen it (`AllowedCPUs=` of the unit and its slice, `--cpuset-cpus` of the container)"
    )]
    OutsideCpuset {
        /// The CPUs of the cpuset.
        allowed: String,
    },
    /// Anything else.
    #[error("system error {errno}")]
    Other {
        /// The system's error number.
        errno: i32,
    },
}

/// What decides about SCHED_FIFO.
#[derive(Clone, Debug)]
struct PolicyFacts {
    nice: Held,
    rtprio_limit: u64,
    /// Cgroup, the file with its real-time budget, and what the file says in microseconds.
    group: Option<(String, PathBuf, i64)>,
}

/// Judges a refusal of the calling thread's request for SCHED_FIFO.
pub(super) fn policy_cause(errno: i32, priority: u8) -> PolicyCause {
    let group = procfs::own_cgroup("cpu").and_then(|place| {
        let file = place.folder.join("cpu.rt_runtime_us");
        let budget_us = fs::read_to_string(&file).ok()?.trim().parse().ok()?;
        Some((place.path, file, budget_us))
    });
    let facts = PolicyFacts {
        nice: procfs::held(CAP_SYS_NICE),
        rtprio_limit: getrlimit(Resource::RLIMIT_RTPRIO).map_or(0, |(soft, _)| soft),
        group,
    };
    judge_policy(errno, priority, facts)
}

fn judge_policy(errno: i32, priority: u8, facts: PolicyFacts) -> PolicyCause {
    if errno != libc::EPERM {
        return PolicyCause::Other { errno };
    }
    let limit = facts.rtprio_limit;
    let allowed_by_limit = limit >= u64::from(priority);
    // The budget is asked about first: the kernel refuses for its lack whatever else is held, and
    // who lacks both learns of the other at the next try.
    match facts.group {
        Some((cgroup, file, 0)) if facts.nice.capability || allowed_by_limit => {
            PolicyCause::NoGroupBudget { cgroup, file }
        }
        _ if allowed_by_limit => PolicyCause::Denied,
        _ if !facts.nice.capability => PolicyCause::NoPrivilege { needed: priority, limit },
        _ if facts.nice.user_namespace => PolicyCause::UserNamespace { needed: priority, limit },
        _ => PolicyCause::Denied,
    }
}

/// Judges a refusal to pin the calling thread to `cpu`.
pub(super) fn cpu_cause(errno: i32, cpu: usize) -> CpuCause {
    let online = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let allowed = procfs::own_cgroup("cpuset").and_then(|place| {
        ["cpuset.cpus.effective", "cpuset.effective_cpus"]
            .iter()
            .find_map(|name| fs::read_to_string(place.folder.join(name)).ok())
    });
    judge_cpu(errno, cpu, online.trim(), allowed.as_deref().map(str::trim))
}

fn judge_cpu(errno: i32, cpu: usize, online: &str, allowed: Option<&str>) -> CpuCause {
    let lacks = |list: &str| procfs::parse_cpu_list(list).is_some_and(|cpus| !cpus.contains(&cpu));
    if errno != libc::EINVAL {
        CpuCause::Other { errno }
    } else if lacks(online) {
        CpuCause::NotOnline { cpu, online: online.to_owned() }
    } else {
        // The CPU exists and the mask is valid, so only a cpuset can be the reason.
        let allowed = allowed.unwrap_or("unknown").to_owned();
        CpuCause::OutsideCpuset { allowed }
    }
}

/// A list of shortfalls, one sentence each, for an error message.
pub(super) struct Sentences<'a>(pub(super) &'a [RtShortfall]);

impl fmt::Display for Sentences<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, shortfall) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { "; " };
            write!(f, "{separator}{shortfall}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(
        capability: bool,
        user_namespace: bool,
        limit: u64,
        budget: Option<i64>,
    ) -> PolicyFacts {
        PolicyFacts {
            nice: Held { capability, user_namespace },
            rtprio_limit: limit,
            group: budget.map(|us| ("/box".into(), "/cg/box/cpu.rt_runtime_us".into(), us)),
        }
    }

    #[test]
    fn each_reason_for_a_refused_policy_is_told_apart() {
        let judge = |facts| judge_policy(libc::EPERM, 60, facts);
        assert_eq!(
            judge(facts(false, false, 50, Some(0))),
            PolicyCause::NoPrivilege { needed: 60, limit: 50 }
        );
        assert_eq!(
            judge(facts(true, true, 0, None)),
            PolicyCause::UserNamespace { needed: 60, limit: 0 }
        );
        for held in [facts(true, false, 0, Some(0)), facts(false, false, 60, Some(0))] {
            assert!(matches!(judge(held), PolicyCause::NoGroupBudget { .. }));
        }
        assert_eq!(judge(facts(true, false, 0, Some(950_000))), PolicyCause::Denied);
        assert_eq!(judge(facts(false, false, 99, None)), PolicyCause::Denied);
        let errno = libc::EINVAL;
        assert_eq!(
            judge_policy(errno, 60, facts(true, false, 0, None)),
            PolicyCause::Other { errno }
        );
    }

    #[test]
    fn a_refusal_names_the_file_or_setting_to_change() {
        let text = judge_policy(libc::EPERM, 60, facts(true, false, 0, Some(0))).to_string();
        assert!(text.contains("echo 950000 > /cg/box/cpu.rt_runtime_us"), "{text}");
        let text = judge_policy(libc::EPERM, 60, facts(false, false, 0, None)).to_string();
        assert!(text.contains("CAP_SYS_NICE") && text.contains("LimitRTPRIO=60"), "{text}");
        let text = judge_cpu(libc::EINVAL, 9, "0-3", Some("0-3")).to_string();
        assert!(text.contains("online: 0-3") && text.contains("cpu9/online"), "{text}");
    }

    #[test]
    fn each_reason_for_a_refused_cpu_is_told_apart() {
        assert!(matches!(
            judge_cpu(libc::EINVAL, 9, "0-3", None),
            CpuCause::NotOnline { cpu: 9, .. }
        ));
        assert_eq!(
            judge_cpu(libc::EINVAL, 3, "0-3", Some("0-1")),
            CpuCause::OutsideCpuset { allowed: "0-1".into() }
        );
        let errno = libc::EPERM;
        assert_eq!(judge_cpu(errno, 3, "0-3", Some("0-3")), CpuCause::Other { errno });
    }
}
