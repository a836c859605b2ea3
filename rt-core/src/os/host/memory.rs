//! Memory that the kernel moves, merges or takes away while threads run on it.

use super::cpus::chosen;
use super::view::{View, common, lacking, words};
use super::{Change, Check, Finding, Level, Remedy, format_cpu_list};
use crate::os::procfs::parse_cpu_list;

const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const KSM: &str = "/sys/kernel/mm/ksm/run";
const NUMA_BALANCING: &str = "/proc/sys/kernel/numa_balancing";
const COMPACTION: &str = "/proc/sys/vm/compact_unevictable_allowed";
const STATISTICS: &str = "/proc/sys/vm/stat_interval";
const NMI_WATCHDOG: &str = "/proc/sys/kernel/nmi_watchdog";
const SOFT_WATCHDOG: &str = "/proc/sys/kernel/soft_watchdog";
const WATCHDOG_CPUS: &str = "/proc/sys/kernel/watchdog_cpumask";
const TIMER_MIGRATION: &str = "/proc/sys/kernel/timer_migration";

pub(super) const CHECKS: &[Check] = &[
    Check { id: "compaction", reads: &[COMPACTION], judge: compaction },
    Check { id: "numa_balancing", reads: &[NUMA_BALANCING], judge: numa_balancing },
    Check { id: "swap", reads: &["/proc/swaps"], judge: swap },
    Check { id: "huge_pages", reads: &[HUGE_PAGES], judge: huge_pages },
    Check { id: "ksm", reads: &[KSM], judge: ksm },
    Check { id: "memory_statistics", reads: &[STATISTICS], judge: statistics },
    Check { id: "nmi_watchdog", reads: &[NMI_WATCHDOG], judge: nmi_watchdog },
    Check { id: "soft_watchdog", reads: &[WATCHDOG_CPUS], judge: soft_watchdog },
    Check { id: "timer_migration", reads: &[TIMER_MIGRATION], judge: timer_migration },
];

fn compaction(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "compaction";
    let Some(value) = view.number(COMPACTION) else { return };
    out.push(if value == 0 {
        Finding::fine(ID, "memory", "locked pages stay where they are")
    } else {
        Finding::new(
            ID,
            "memory",
            Level::Warning,
            "the kernel may move locked pages (vm.compact_unevictable_allowed is 1)",
            "a real-time thread that touches such a page waits until it has been copied",
        )
        .remedy(Remedy::Change(Change::file(COMPACTION, &value.to_string(), "0")))
    });
}

fn numa_balancing(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "numa_balancing";
    let Some(value) = view.number(NUMA_BALANCING) else { return };
    let nodes = view.cpus("/sys/devices/system/node/online").map_or(1, |nodes| nodes.len());
    out.push(if value == 0 || nodes < 2 {
        Finding::fine(ID, "memory", "pages are not moved between memory nodes")
    } else {
        Finding::new(
            ID,
            "memory",
            Level::Warning,
            format!("pages are moved between {nodes} memory nodes (kernel.numa_balancing)"),
            "the kernel makes threads fault to see who uses a page, real-time threads too",
        )
        .remedy(Remedy::Change(Change::file(NUMA_BALANCING, &value.to_string(), "0")))
    });
}

fn swap(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "swap";
    let Some(text) = view.get("/proc/swaps").filter(|text| text.starts_with("Filename")) else {
        return;
    };
    // The first line is the heading.
    let first = text.lines().nth(1).and_then(|line| line.split_whitespace().next());
    out.push(match first {
        None => Finding::fine(ID, "memory", "no swap"),
        Some(first) => Finding::new(
            ID,
            "memory",
            Level::Note,
            format!("swap is on ({first})"),
            "applications that do not lock their memory may wait for a disk; ours is locked",
        )
        .command("swapoff -a")
        .advice("and take it out of /etc/fstab"),
    });
}

fn huge_pages(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "huge_pages";
    let Some(mode) = view.get(HUGE_PAGES).and_then(chosen) else { return };
    out.push(if mode == "always" {
        Finding::new(
            ID,
            "memory",
            Level::Note,
            "pages of all programs are put together into huge ones (khugepaged)",
            "applications beside us stop meanwhile, and the work interrupts other CPUs; the \
             daemon's own pages are left out",
        )
        .remedy(Remedy::Change(Change::file(HUGE_PAGES, mode, "madvise")))
    } else {
        Finding::fine(ID, "memory", format!("huge pages: {mode}"))
    });
}

fn ksm(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "ksm";
    let Some(value) = view.number(KSM) else { return };
    out.push(if value == 1 {
        Finding::new(
            ID,
            "memory",
            Level::Note,
            "equal pages are looked for and merged (KSM)",
            "guests whose pages were merged wait for a copy when they write, and ksmd takes CPU",
        )
        .remedy(Remedy::Change(Change::file(KSM, "1", "0")))
    } else {
        Finding::fine(ID, "memory", "equal pages are not merged")
    });
}

fn statistics(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "memory_statistics";
    const INTERVAL_MIN_S: i64 = 10;
    let Some(value) = view.number(STATISTICS) else { return };
    out.push(if value >= INTERVAL_MIN_S || view.pinned.is_empty() {
        Finding::fine(ID, "memory", format!("statistics are gathered every {value} s"))
    } else {
        Finding::new(
            ID,
            words(&view.pinned),
            Level::Note,
            format!("statistics of memory are gathered there every {value} s"),
            "a kernel thread runs beside ours that often, for some microseconds",
        )
        .remedy(Remedy::Change(Change::file(STATISTICS, &value.to_string(), "10")))
    });
}

fn nmi_watchdog(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "nmi_watchdog";
    let Some(value) = view.number(NMI_WATCHDOG) else { return };
    out.push(if value == 0 {
        Finding::fine(ID, "kernel", "no watchdog interrupts all CPUs")
    } else {
        Finding::new(
            ID,
            "kernel",
            Level::Note,
            "the hard lockup watchdog is on",
            "every some seconds an interrupt that nothing can hold off stops each CPU for \
             microseconds",
        )
        .remedy(Remedy::Change(
            Change::file(NMI_WATCHDOG, &value.to_string(), "0")
                .with_caution("a CPU that hangs for good is then no longer reported"),
        ))
    });
}

fn soft_watchdog(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "soft_watchdog";
    let Some((text, cpus)) = view.get(WATCHDOG_CPUS).and_then(|t| Some((t, parse_cpu_list(t)?)))
    else {
        return;
    };
    let ours = common(&view.pinned, &cpus);
    if ours.is_empty() || view.number(SOFT_WATCHDOG) == Some(0) {
        out.push(Finding::fine(ID, "kernel", "no watchdog thread runs on our CPUs"));
        return;
    }
    let finding = Finding::new(
        ID,
        words(&ours),
        Level::Note,
        "the soft lockup watchdog watches it",
        "every few seconds a kernel thread of the highest priority runs before ours, briefly; it \
         reports a thread of ours that never waits as a lockup",
    );
    let kept = lacking(&cpus, &ours);
    out.push(match kept.is_empty() {
        true => finding.remedy(Remedy::Change(Change::file(SOFT_WATCHDOG, "1", "0"))),
        false => {
            let new = format_cpu_list(&kept);
            finding.remedy(Remedy::Change(Change::file(WATCHDOG_CPUS, text, &new)))
        }
    });
}

fn timer_migration(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "timer_migration";
    let Some(value) = view.number(TIMER_MIGRATION) else { return };
    let exposed = lacking(&view.pinned, &view.isolated);
    out.push(if value == 0 || exposed.is_empty() {
        Finding::fine(ID, "kernel", "timers of other CPUs do not come to ours")
    } else {
        Finding::new(
            ID,
            words(&exposed),
            Level::Note,
            "timers of CPUs that sleep are moved to CPUs that work, which ours is",
            "it serves timers that are not its own; an isolated CPU does not",
        )
        .remedy(Remedy::Change(Change::file(TIMER_MIGRATION, &value.to_string(), "0")))
    });
}
