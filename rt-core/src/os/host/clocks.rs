//! Time: how it is read, and whether somebody else takes it.

use super::view::View;
use super::{Change, Check, Finding, Level, Remedy};

const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
const SOURCES: &str = "/sys/devices/system/clocksource/clocksource0/available_clocksource";

pub(super) const CHECKS: &[Check] = &[
    Check { id: "clock_source", reads: &[SOURCE], judge: clock_source },
    Check { id: "hypervisor", reads: &["/proc/cpuinfo"], judge: hypervisor },
    Check { id: "steal", reads: &["/proc/stat"], judge: steal },
];

/// Clock sources that are read without a system call.
const FAST: [&str; 5] =
    ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter", "riscv_clocksource"];

fn clock_source(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "clock_source";
    let Some(source) = view.get(SOURCE).filter(|source| !source.contains(char::is_whitespace))
    else {
        return;
    };
    if source.is_empty() {
        return;
    }
    if FAST.contains(&source) {
        out.push(Finding::fine(ID, "kernel", format!("{source}, read without a system call")));
        return;
    }
    let others = view.get(SOURCES).unwrap_or_default();
    let better = others.split_whitespace().find(|other| FAST.contains(other));
    let finding = Finding::new(
        ID,
        "kernel",
        Level::Warning,
        match better {
            Some(better) => format!("it is {source}, although {better} is there"),
            None => format!("it is {source}; the kernel gave up the TSC, or there is none"),
        },
        "each look at the clock is a system call and takes a microsecond or more, and our thread \
         looks at it for every batch of frames",
    );
    out.push(match better {
        Some(better) => finding.remedy(Remedy::Change(Change::file(SOURCE, source, better))),
        None => finding.advice(
            "`dmesg | grep -i tsc` says why; where the hardware is known to be good, boot with \
             tsc=reliable",
        ),
    });
}

/// The hypervisor's name as well as it can be told; none on bare metal.
pub(super) fn hypervisor_name(view: &View<'_>) -> Option<String> {
    const MACHINES: [&str; 6] = ["KVM", "QEMU", "VMware", "VirtualBox", "Virtual Machine", "Bochs"];
    let dmi = ["/sys/class/dmi/id/product_name", "/sys/class/dmi/id/sys_vendor"];
    let named = dmi
        .into_iter()
        .filter_map(|path| view.get(path))
        .find(|text| MACHINES.iter().any(|machine| text.contains(machine)));
    if let Some(name) = view.get("/sys/hypervisor/type").or(named) {
        return Some(name.to_owned());
    }
    let flags = view.get("/proc/cpuinfo")?.lines().find(|line| line.starts_with("flags"))?;
    flags.split_whitespace().any(|flag| flag == "hypervisor").then(|| "unnamed".to_owned())
}

fn hypervisor(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "hypervisor";
    let Some(cpuinfo) = view.get("/proc/cpuinfo") else { return };
    if !cpuinfo.contains(':') {
        return;
    }
    out.push(match hypervisor_name(view) {
        None => Finding::fine(ID, "host", "none was found"),
        Some(name) => Finding::new(
            ID,
            "host",
            Level::Note,
            format!("a guest of a hypervisor ({name})"),
            "the hypervisor may stop it at any time, unseen; a delay measured here is the \
             hypervisor's as much as ours",
        )
        .advice("give each virtual CPU a physical one of its own, and its memory for good"),
    });
}

fn steal(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "steal";
    /// Of all time, what is no accident any more: 1 in 1,000.
    const SHARE: u64 = 1_000;
    // user, nice, system, idle, iowait, irq, softirq, steal; what follows is counted in these.
    let Some(line) = view.get("/proc/stat").and_then(|stat| stat.lines().next()) else { return };
    let Some(ticks) = line.strip_prefix("cpu ") else { return };
    let ticks: Vec<u64> =
        ticks.split_whitespace().take(8).filter_map(|word| word.parse().ok()).collect();
    let &[.., stolen] = ticks.as_slice() else { return };
    if ticks.len() < 8 {
        return;
    }
    let all = ticks.iter().fold(0u64, |sum, ticks| sum.saturating_add(*ticks));
    if stolen == 0 {
        out.push(Finding::fine(ID, "host", "no time was taken by a hypervisor"));
        return;
    }
    // A tick is 10 ms.
    let seen = format!(
        "the hypervisor took {}.{:02} s since the start, of {} s over all CPUs",
        stolen / 100,
        stolen % 100,
        all / 100
    );
    let is_much = stolen > all / SHARE;
    let level = if is_much { Level::Warning } else { Level::Note };
    let harm = "so long virtual CPUs were ready and did not run; real-time threads are not spared";
    out.push(
        Finding::new(ID, "host", level, seen, harm)
            .advice("give each virtual CPU a physical one of its own; no overcommitment"),
    );
}
