//! How fast CPUs are when they are needed: frequency, sleep, and that of the bus.

use super::texts::{DMA_LATENCY, HostTexts, number_in};
use super::view::{View, words};
use super::{Change, Check, Finding, Level, Remedy, boot};

const GOVERNOR: &str = "/sys/devices/system/cpu/cpu#/cpufreq/scaling_governor";
const IDLE_LATENCY: &str = "/sys/devices/system/cpu/cpu#/cpuidle/state#/latency";
const ASPM: &str = "/sys/module/pcie_aspm/parameters/policy";

/// A CPU that sleeps deeper than this wakes up too late for a frame: a C1 takes 1 to 10 µs, the
/// next states 30 and more.
const IDLE_LATENCY_MAX_US: i64 = 20;

pub(super) const CHECKS: &[Check] = &[
    Check { id: "cpu_governor", reads: &[GOVERNOR], judge: governor },
    Check { id: "cpu_idle", reads: &[IDLE_LATENCY], judge: idle },
    Check { id: "pcie_aspm", reads: &[ASPM], judge: aspm },
];

/// Worse where a thread was given the CPU than where it merely may come by.
fn level(view: &View<'_>) -> Level {
    if view.pinned.is_empty() { Level::Note } else { Level::Warning }
}

fn governor(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "cpu_governor";
    let mut slow = Vec::new();
    let mut changes = Vec::new();
    let mut seen_any = false;
    for &cpu in view.concerned() {
        let Some(governor) = view.of_cpu(cpu, "cpufreq/scaling_governor") else { continue };
        seen_any = true;
        if governor == "performance" {
            continue;
        }
        slow.push(cpu);
        let offered = view.of_cpu(cpu, "cpufreq/scaling_available_governors");
        if offered.is_none_or(|list| list.split_whitespace().any(|word| word == "performance")) {
            let path = GOVERNOR.replacen('#', &cpu.to_string(), 1);
            changes.push(Remedy::Change(Change::file(&path, governor, "performance")));
        }
    }
    if slow.is_empty() {
        if seen_any {
            out.push(Finding::fine(ID, words(view.concerned()), "governor performance"));
        }
        return;
    }
    let finding = Finding::new(
        ID,
        words(&slow),
        level(view),
        "the frequency governor is not performance",
        "after a pause it runs slowly, and takes milliseconds to become fast again",
    );
    out.push(match changes.is_empty() {
        true => finding.advice("load the governor: `modprobe cpufreq_performance`"),
        false => finding.remedies(changes),
    });
}

/// One idle state that is too deep.
struct Deep<'a> {
    path: String,
    name: &'a str,
    latency_us: i64,
}

fn deep_states<'a>(texts: &'a HostTexts, cpu: usize) -> Vec<Deep<'a>> {
    let pattern = IDLE_LATENCY.replacen('#', &cpu.to_string(), 1);
    let number = |path: &str| texts.get(path)?.trim().parse::<i64>().ok();
    let states: Vec<String> = texts.matching(&pattern).map(|(path, _)| path.to_owned()).collect();
    let deep = states.iter().filter_map(|latency| {
        let folder = latency.strip_suffix("/latency")?;
        let latency_us = number(latency)?;
        let disable = format!("{folder}/disable");
        if latency_us <= IDLE_LATENCY_MAX_US || number(&disable)? != 0 {
            return None;
        }
        let name = texts.get(&format!("{folder}/name")).map_or("?", str::trim);
        Some(Deep { path: disable, name, latency_us })
    });
    deep.collect()
}

fn idle(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "cpu_idle";
    if view.texts.all_matching(IDLE_LATENCY).next().is_none() {
        return;
    }
    let line = view.command_line().unwrap_or_default();
    if boot::value(line, "idle") == Some("poll") {
        out.push(Finding::fine(ID, "kernel", "CPUs do not sleep (idle=poll)"));
        return;
    }
    let held = view.number(DMA_LATENCY).filter(|held| *held <= IDLE_LATENCY_MAX_US);
    if let Some(held_us) = held {
        let seen = format!("somebody holds /dev/cpu_dma_latency at {held_us} µs: no deep sleep");
        out.push(Finding::fine(ID, "kernel", seen));
        return;
    }
    let mut sleepers = Vec::new();
    let mut worst: Option<Deep<'_>> = None;
    let mut changes = Vec::new();
    let mut understood = false;
    for &cpu in view.concerned() {
        understood |= view.texts.matching(IDLE_LATENCY).any(|(path, text)| {
            number_in(IDLE_LATENCY, path) == Some(cpu) && text.trim().parse::<i64>().is_ok()
        });
        if view.on(cpu).any(|thread| thread.never_yields()) {
            continue;
        }
        for deep in deep_states(view.texts, cpu) {
            if sleepers.last() != Some(&cpu) {
                sleepers.push(cpu);
            }
            changes.push(Remedy::Change(Change::file(&deep.path, "0", "1")));
            if worst.as_ref().is_none_or(|worst| deep.latency_us > worst.latency_us) {
                worst = Some(deep);
            }
        }
    }
    let Some(worst) = worst else {
        if understood {
            let seen = format!("no idle state that takes longer than {IDLE_LATENCY_MAX_US} µs");
            out.push(Finding::fine(ID, words(view.concerned()), seen));
        }
        return;
    };
    out.push(
        Finding::new(
            ID,
            words(&sleepers),
            level(view),
            format!("it may sleep as deep as {}: {} µs to wake up", worst.name, worst.latency_us),
            "a frame that comes after a pause waits that long, and for cold caches",
        )
        .remedies(changes)
        .advice(
            "or let the daemon hold it off while it runs (`cpu_dma_latency_us = 0`), or boot with \
             intel_idle.max_cstate=1",
        )
        .advice_if(
            view.texts.why_not(DMA_LATENCY).is_some(),
            "only root sees whether somebody holds it off already (/dev/cpu_dma_latency)",
        ),
    );
}

/// The choice in square brackets of a list, as the kernel marks it.
pub(super) fn chosen(list: &str) -> Option<&str> {
    list.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'))
}

fn aspm(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "pcie_aspm";
    let Some(policy) = view.get(ASPM).and_then(chosen) else { return };
    out.push(if policy.starts_with("powersave") || policy.starts_with("powersupersave") {
        Finding::new(
            ID,
            "PCI Express",
            Level::Note,
            format!("links sleep when idle (policy {policy})"),
            "a NIC answers some microseconds later after a pause",
        )
        .remedy(Remedy::Change(Change::file(ASPM, policy, "performance")))
    } else {
        Finding::fine(ID, "PCI Express", format!("power policy {policy}"))
    });
}
