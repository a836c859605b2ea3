//! What a host is, as far as it decides how late its threads wake: to be kept with a measurement,
//! so that two can be compared, and so that a measurement of another host is not taken for one of
//! this.

use std::collections::BTreeMap;

use super::clocks::hypervisor_name;
use super::view::View;
use super::{HostTexts, Needs};

/// Files of which the text is a fact as it stands.
const FILES: &[(&str, &str)] = &[
    ("clocksource", "/sys/devices/system/clocksource/clocksource0/current_clocksource"),
    ("command_line", "/proc/cmdline"),
    ("cpus_isolated", "/sys/devices/system/cpu/isolated"),
    ("cpus_nohz_full", "/sys/devices/system/cpu/nohz_full"),
    ("cpus_online", "/sys/devices/system/cpu/online"),
    ("kernel", "/proc/sys/kernel/osrelease"),
    ("kernel_build", "/proc/version"),
    ("product", "/sys/class/dmi/id/product_name"),
    ("sched_rt_period_us", "/proc/sys/kernel/sched_rt_period_us"),
    ("sched_rt_runtime_us", "/proc/sys/kernel/sched_rt_runtime_us"),
    ("transparent_hugepage", "/sys/kernel/mm/transparent_hugepage/enabled"),
    ("vendor", "/sys/class/dmi/id/sys_vendor"),
];

/// Lines of `/proc/cpuinfo`; those of the first processor stand for all.
const CPU_LINES: &[(&str, &str)] =
    &[("cpu_microcode", "microcode"), ("cpu_model", "model name"), ("cpu_vendor", "vendor_id")];

/// The facts of a host, by name; what it does not tell is left out. Pure.
#[must_use]
pub fn facts(texts: &HostTexts) -> BTreeMap<String, String> {
    let needs = Needs::default();
    let view = View::new(texts, &needs);
    let mut facts = BTreeMap::new();
    let mut tell = |name: &str, value: &str| {
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        if !value.is_empty() {
            facts.insert(name.to_owned(), value);
        }
    };
    for (name, path) in FILES {
        tell(name, texts.get(path).unwrap_or_default());
    }
    let cpuinfo = texts.get("/proc/cpuinfo").unwrap_or_default();
    for (name, key) in CPU_LINES {
        let line = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        let found = line.into_iter().find(|(it, _)| it.trim() == *key);
        tell(name, found.map_or("", |(_, value)| value));
    }
    tell("hypervisor", hypervisor_name(&view).as_deref().unwrap_or("none"));
    tell("preemption", if view.is_preempt_rt() { "PREEMPT_RT" } else { "not PREEMPT_RT" });
    for (path, text) in texts.matching("/sys/devices/system/cpu/cpu#/cpufreq/scaling_governor") {
        let cpu = path
            .split('/')
            .find(|part| part.strip_prefix("cpu").is_some_and(|it| it.parse::<u32>().is_ok()));
        tell(&format!("governor_{}", cpu.unwrap_or_default()), text);
    }
    facts
}
