//! The kernel: preemption, budgets of real-time threads, its command line.

use super::texts::Reader;
use super::view::{View, words};
use super::{Change, Check, Finding, Level, Remedy, THROTTLING, boot};

const RT_RUNTIME: &str = "/proc/sys/kernel/sched_rt_runtime_us";
const RT_PERIOD: &str = "/proc/sys/kernel/sched_rt_period_us";
const FAIR_RUNTIME: &str = "/sys/kernel/debug/sched/fair_server/cpu#/runtime";

pub(super) const CHECKS: &[Check] = &[
    Check { id: "preempt_rt", reads: &["/proc/version"], judge: preemption },
    Check { id: THROTTLING, reads: &[RT_RUNTIME, RT_PERIOD], judge: throttling },
    Check { id: "fair_server", reads: &[FAIR_RUNTIME], judge: fair_server },
    Check { id: "rt_group_sched", reads: &[], judge: group_budget },
    Check { id: "boot_parameters", reads: &["/proc/cmdline"], judge: boot_parameters },
];

fn preemption(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "preempt_rt";
    let Some(release) = view.get("/proc/sys/kernel/osrelease") else { return };
    if view.get("/proc/version").is_none() {
        return;
    }
    out.push(if view.is_preempt_rt() {
        Finding::fine(ID, "kernel", format!("{release} is PREEMPT_RT"))
    } else {
        Finding::new(
            ID,
            "kernel",
            Level::Warning,
            format!("{release} is not PREEMPT_RT"),
            "interrupt handlers and long system calls delay real-time threads, now and then by \
             milliseconds",
        )
        .command("apt install linux-image-rt-amd64")
        .advice("that is Debian's; other distributions have a real-time kernel, too")
    });
}

/// Before Linux 6.12 the whole class was throttled; since then ordinary threads have a server of
/// their own instead ([`fair_server`]), and the setting only bounds what may be reserved.
fn throttling(view: &View<'_>, out: &mut Vec<Finding>) {
    let (Some(runtime_us), Some(period_us)) = (view.number(RT_RUNTIME), view.number(RT_PERIOD))
    else {
        return;
    };
    let old = runtime_us.to_string();
    if runtime_us == 0 {
        out.push(
            Finding::new(
                THROTTLING,
                "kernel",
                Level::Problem,
                "kernel.sched_rt_runtime_us is 0",
                "no thread may become a real-time thread",
            )
            .remedy(Remedy::Change(Change::file(RT_RUNTIME, &old, "950000"))),
        );
        return;
    }
    if runtime_us < 0 || runtime_us >= period_us {
        out.push(Finding::fine(THROTTLING, "kernel", "real-time threads are not throttled"));
        return;
    }
    if view.kernel().is_some_and(|version| version >= (6, 12)) {
        let seen = "this kernel throttles no real-time threads (it has fair_server instead)";
        out.push(Finding::fine(THROTTLING, "kernel", seen));
        return;
    }
    let seen = format!("real-time threads may use {runtime_us} µs of each {period_us} µs");
    let change = Change::file(RT_RUNTIME, &old, "-1")
        .with_caution("a real-time thread that never waits then keeps its CPU for good");
    out.push(match view.busy() {
        Some(thread) => Finding::new(
            THROTTLING,
            "kernel",
            Level::Problem,
            seen,
            format!(
                "thread {} never waits and is stopped for the rest of each period: frames that \
                 come meanwhile are late or lost",
                thread.name
            ),
        )
        .remedy(Remedy::Change(change)),
        None => Finding::fine(THROTTLING, "kernel", format!("{seen}; ours wait in between")),
    });
}

fn fair_server(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "fair_server";
    let Some(busy) = view.busy() else {
        if view.texts.matching(FAIR_RUNTIME).next().is_some() {
            out.push(Finding::fine(ID, "kernel", "no thread of ours keeps others from running"));
        }
        return;
    };
    let new_enough = view.kernel().is_some_and(|version| version >= (6, 12));
    let subject = busy.cpu.map_or_else(|| "kernel".to_owned(), |cpu| format!("CPU {cpu}"));
    let folder =
        busy.cpu.map(|cpu| format!("/sys/kernel/debug/sched/fair_server/cpu{cpu}/runtime"));
    let runtime_ns = folder.as_deref().and_then(|file| view.number(file));
    match (folder, runtime_ns) {
        (Some(_), Some(0)) => {
            out.push(Finding::fine(ID, subject, "ordinary threads take no time from ours"));
        }
        (Some(file), Some(runtime_ns)) => out.push(
            Finding::new(
                ID,
                subject,
                Level::Warning,
                format!(
                    "ordinary threads that starve get {} ms of a second",
                    runtime_ns / 1_000_000
                ),
                format!(
                    "thread {} never waits; where one of them is bound to its CPU, it is stopped \
                     that long",
                    busy.name
                ),
            )
            .command(format!("echo 0 > {file}"))
            .advice("not done by --fix: some kernels complain in their log when it is set"),
        ),
        // Only root sees it.
        (Some(file), None) if new_enough => out.push(
            Finding::new(
                ID,
                subject,
                Level::Unknown,
                format!("{file} cannot be read"),
                "nothing can be said about it",
            )
            .advice(match view.texts.reader() {
                Reader::User => "run as root, with debugfs mounted",
                Reader::Root => {
                    "debugfs is not mounted, or hidden (`ip netns exec` does that): look outside, \
                     or `mount -t debugfs debugfs /sys/kernel/debug`"
                }
                Reader::Copied => view.texts.how_to_see(),
            }),
        ),
        _ => {}
    }
}

fn group_budget(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "rt_group_sched";
    let Some(file) = view.texts.group_budget_file() else { return };
    let Some(text) = view.get(file) else {
        if let Some(why) = view.texts.why_not(file) {
            let seen = format!("{file}: {why}");
            out.push(
                Finding::new(ID, "cgroup", Level::Unknown, seen, "nothing can be said about it")
                    .advice(view.texts.how_to_see()),
            );
        }
        return;
    };
    let Ok(budget_us) = text.parse::<i64>() else {
        let seen = format!("{file} is not understood");
        out.push(Finding::new(ID, "cgroup", Level::Unknown, seen, "nothing can be said about it"));
        return;
    };
    out.push(if budget_us == 0 {
        Finding::new(
            ID,
            "cgroup",
            Level::Problem,
            format!("CONFIG_RT_GROUP_SCHED, and {file} is 0"),
            "SCHED_FIFO is refused to every process in this cgroup, to root's as well",
        )
        .remedy(Remedy::Change(
            Change::file(file, text, "950000")
                .with_caution("refused where the cgroup above has less: give it a budget first"),
        ))
        .boot("rt_group_sched", "0")
    } else {
        Finding::fine(ID, "cgroup", format!("its real-time budget is {budget_us} µs"))
    });
}

/// Parameters that harm real time, and why.
const HARMFUL: &[(&str, &str, &str)] = &[
    ("clocksource", "hpet", "each reading of the time is slow"),
    ("clocksource", "acpi_pm", "each reading of the time is slow"),
    ("tsc", "unstable", "each reading of the time is slow"),
    ("notsc", "", "each reading of the time is slow"),
    ("nosmp", "", "one CPU has to do everything"),
    ("maxcpus", "1", "one CPU has to do everything"),
    ("highres", "off", "threads wake up with the tick only, milliseconds late"),
    ("preempt", "none", "system calls of others are not interrupted for real-time threads"),
    ("preempt", "voluntary", "system calls of others are not interrupted for real-time threads"),
];

fn boot_parameters(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "boot_parameters";
    let Some(line) = view.command_line() else { return };
    let before = out.len();
    for (key, value) in boot::parameters(line) {
        let harm = HARMFUL.iter().find(|(k, v, _)| *k == key && *v == value.unwrap_or_default());
        if let Some((key, value, harm)) = harm {
            let equals = if value.is_empty() { "" } else { "=" };
            let seen = format!("the command line says {key}{equals}{value}");
            out.push(
                Finding::new(ID, "kernel", Level::Warning, seen, *harm)
                    .advice("take it out of the command line (GRUB: /etc/default/grub)"),
            );
        }
    }
    for key in ["isolcpus", "nohz_full", "rcu_nocbs", "irqaffinity"] {
        let (Some(value), Some(possible)) =
            (boot::value(line, key), view.cpus("/sys/devices/system/cpu/possible"))
        else {
            continue;
        };
        let last = possible.last().copied().unwrap_or(0);
        let named = boot::cpu_list(value, last);
        if let Some(named) = &named
            && named.iter().all(|cpu| *cpu <= last)
        {
            continue;
        }
        let seen = match named {
            Some(named) => {
                let beyond: Vec<usize> = named.into_iter().filter(|cpu| *cpu > last).collect();
                format!("{key}={value} names {}, and there are 0 to {last}", words(&beyond))
            }
            None => format!("{key}={value} is not understood"),
        };
        out.push(
            Finding::new(
                ID,
                "kernel",
                Level::Warning,
                seen,
                "the kernel leaves out what it does not know: less is kept free than was meant",
            )
            .advice("correct it in the command line"),
        );
    }
    if out.len() == before {
        out.push(Finding::fine(ID, "kernel", "nothing on the command line harms"));
    }
}
