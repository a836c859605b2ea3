//! The kernel's texts about the host, as they are.

use std::fs;
use std::path::PathBuf;

use crate::os::procfs::{field, own_cgroup, parse_cpu_list};

/// What the kernel says about the host; none where a file is missing or unreadable.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct HostTexts {
    /// `/sys/kernel/realtime`: `1` on a PREEMPT_RT kernel, absent elsewhere (and on newer ones).
    pub realtime: Option<String>,
    /// `/proc/version`.
    pub version: Option<String>,
    /// `/proc/sys/kernel/sched_rt_runtime_us`.
    pub rt_runtime_us: Option<String>,
    /// `/proc/sys/kernel/sched_rt_period_us`.
    pub rt_period_us: Option<String>,
    /// `cpu.rt_runtime_us` of the process's cgroup, with its path (CONFIG_RT_GROUP_SCHED only).
    pub group_budget: Option<(PathBuf, String)>,
    /// `/sys/devices/system/cpu/online`.
    pub online: Option<String>,
    /// `/sys/devices/system/cpu/isolated`.
    pub isolated: Option<String>,
    /// `Cpus_allowed_list` of `/proc/self/status`.
    pub allowed: Option<String>,
    /// `scaling_governor` of each CPU that has one.
    pub governors: Vec<(usize, String)>,
    /// `current_clocksource`.
    pub clock_source: Option<String>,
    /// `/proc/cpuinfo`.
    pub cpuinfo: Option<String>,
    /// `/proc/stat`.
    pub stat: Option<String>,
    /// `/proc/swaps`.
    pub swaps: Option<String>,
    /// `/sys/kernel/mm/transparent_hugepage/enabled`.
    pub huge_pages: Option<String>,
}

impl HostTexts {
    /// Reads this host's. Not for a real-time thread.
    #[must_use]
    pub fn read() -> Self {
        let read = |path: &str| fs::read_to_string(path).ok();
        let online = read("/sys/devices/system/cpu/online");
        let cpus = online.as_deref().and_then(parse_cpu_list).unwrap_or_default();
        let governor =
            |cpu| read(&format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"));
        Self {
            realtime: read("/sys/kernel/realtime"),
            version: read("/proc/version"),
            rt_runtime_us: read("/proc/sys/kernel/sched_rt_runtime_us"),
            rt_period_us: read("/proc/sys/kernel/sched_rt_period_us"),
            group_budget: own_cgroup("cpu").and_then(|place| {
                let file = place.folder.join("cpu.rt_runtime_us");
                fs::read_to_string(&file).ok().map(|text| (file, text))
            }),
            governors: cpus.into_iter().filter_map(|cpu| Some((cpu, governor(cpu)?))).collect(),
            online,
            isolated: read("/sys/devices/system/cpu/isolated"),
            allowed: read("/proc/self/status")
                .and_then(|status| field(&status, "Cpus_allowed_list").map(str::to_owned)),
            clock_source: read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            cpuinfo: read("/proc/cpuinfo"),
            stat: read("/proc/stat"),
            swaps: read("/proc/swaps"),
            huge_pages: read("/sys/kernel/mm/transparent_hugepage/enabled"),
        }
    }
}
