//! CPUs for real-time threads: that they run, are ours to use, and are kept free of other work.

use super::view::{View, common, format_mask, lacking, union, words};
use super::{Change, Check, Finding, Level, PROCESS, Policy, Remedy, boot, format_cpu_list};
use crate::os::procfs::{field, parse_cpu_list};

const ONLINE: &str = "/sys/devices/system/cpu/online";
const ISOLATED: &str = "/sys/devices/system/cpu/isolated";
const NOHZ_FULL: &str = "/sys/devices/system/cpu/nohz_full";
const WORKQUEUE: &str = "/sys/devices/virtual/workqueue/cpumask";
const SIBLINGS: &str = "/sys/devices/system/cpu/cpu#/topology/thread_siblings_list";

pub(super) const CHECKS: &[Check] = &[
    Check { id: "thread_pinned", reads: &[], judge: pinned },
    Check { id: "cpu_online", reads: &[ONLINE], judge: online },
    Check { id: "cpu_allowed", reads: &["/proc/self/status"], judge: allowed },
    Check { id: "cpu_isolated", reads: &[ISOLATED], judge: isolated },
    Check { id: "housekeeping", reads: &[ONLINE], judge: housekeeping },
    Check { id: "cpu_nohz_full", reads: &[NOHZ_FULL], judge: nohz_full },
    Check { id: "cpu_rcu_nocbs", reads: &["/proc/cmdline"], judge: rcu_nocbs },
    Check { id: "smt_siblings", reads: &[SIBLINGS], judge: smt },
    Check { id: "workqueues", reads: &[WORKQUEUE], judge: workqueues },
];

fn pinned(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "thread_pinned";
    for thread in view.threads.iter().filter(|thread| thread.policy != Policy::Other) {
        let subject = format!("thread {}", thread.name);
        if thread.cpu.is_none() && view.online.is_empty() {
            let seen = "it is pinned to no CPU, and which are there cannot be seen";
            let harm = "whether one can be kept for it is not known";
            let finding = Finding::new(ID, subject, Level::Unknown, seen, harm);
            out.push(finding.advice(view.texts.how_to_see()));
            continue;
        }
        let Some(cpu) = thread.cpu else {
            let seen = "it is pinned to no CPU, for none is isolated or configured";
            let harm =
                "it moves between CPUs, finds their caches cold, and meets what else they do";
            let finding = Finding::new(ID, subject, Level::Warning, seen, harm);
            out.push(match view.suggested().last() {
                Some(cpu) => isolating(view, finding, &[*cpu]).advice(format!(
                    "or name a CPU in the configuration: `[threads.{}]` `cpu = {cpu}`",
                    thread.name
                )),
                None => finding.advice("use a machine with more than one CPU"),
            });
            continue;
        };
        out.push(Finding::fine(ID, subject, format!("it is pinned to CPU {cpu}")));
    }
}

/// The parameters that isolate CPUs, beside those that are isolated already.
fn isolating(view: &View<'_>, finding: Finding, cpus: &[usize]) -> Finding {
    let line = view.command_line().unwrap_or_default();
    let mut flags = vec!["managed_irq", "domain"];
    let known = boot::value(line, "isolcpus").unwrap_or_default();
    if known.split(',').any(|flag| flag == "nohz") {
        flags.push("nohz");
    }
    let all = union(&view.boot_cpus("isolcpus").unwrap_or_default(), cpus);
    let nocbs = view.boot_cpus("rcu_nocbs").unwrap_or_default();
    let finding =
        finding.boot("isolcpus", format!("{},{}", flags.join(","), format_cpu_list(&all)));
    if lacking(cpus, &nocbs).is_empty() {
        return finding;
    }
    finding.boot("rcu_nocbs", format_cpu_list(&union(&nocbs, cpus)))
}

fn online(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "cpu_online";
    if view.online.is_empty() {
        return;
    }
    absent(view, out);
    let missing = lacking(&view.pinned, &view.online);
    let online = format_cpu_list(&view.online);
    if missing.is_empty() {
        if view.absent.is_empty() {
            out.push(Finding::fine(ID, "host", format!("CPUs {online} run")));
        }
        return;
    }
    let subject = words(&missing);
    let finding = Finding::new(
        ID,
        subject,
        Level::Problem,
        format!("planned for a thread, and does not run (running: {online})"),
        "the thread cannot be pinned and the daemon does not start",
    );
    let commands = missing
        .iter()
        .map(|cpu| Remedy::Command(format!("echo 1 > /sys/devices/system/cpu/cpu{cpu}/online")));
    out.push(finding.remedies(commands).advice("or choose another CPU"));
}

/// CPUs of the plan that are not there: no file of theirs is either.
fn absent(view: &View<'_>, out: &mut Vec<Finding>) {
    if view.absent.is_empty() {
        return;
    }
    let finding = Finding::new(
        "cpu_online",
        words(&view.absent),
        Level::Problem,
        format!("planned for a thread, and does not exist (there: {})", words(&view.existing)),
        "the thread cannot be pinned and the daemon does not start",
    );
    out.push(finding.advice("choose another CPU (`cpu` of the thread in the configuration)"));
}

fn allowed(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "cpu_allowed";
    let status = view.get(&format!("{PROCESS}/status"));
    let Some(list) = status.and_then(|status| field(status, "Cpus_allowed_list")) else { return };
    let Some(allowed) = parse_cpu_list(list) else { return };
    let missing = lacking(&view.pinned, &union(&allowed, &view.isolated));
    out.push(if missing.is_empty() {
        Finding::fine(ID, "process", "its CPUs may be used")
    } else {
        Finding::new(
            ID,
            words(&missing),
            Level::Warning,
            format!("planned for a thread, and not among the CPUs of this process ({list})"),
            "where a cpuset leaves it out, the thread cannot be pinned to it",
        )
        .remedy(Remedy::Unit(format!("AllowedCPUs={}", format_cpu_list(&view.online))))
        .advice("a container: `--cpuset-cpus`; a shell with `taskset`: start it without")
    });
}

fn isolated(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "cpu_isolated";
    if view.cpus(ISOLATED).is_none() {
        return;
    }
    let shared = lacking(&view.pinned, &view.isolated);
    let list = format_cpu_list(&view.isolated);
    if shared.is_empty() {
        let seen = match (view.isolated.is_empty(), view.pinned.is_empty()) {
            (true, _) => "no CPU is isolated, and no thread is pinned to one".to_owned(),
            (false, true) => format!("{} isolated, and no thread is pinned", are(&view.isolated)),
            (false, false) => format!("isolated: {list}; every pinned thread is there"),
        };
        out.push(Finding::fine(ID, "host", seen));
    } else {
        let busy = shared.iter().flat_map(|cpu| view.on(*cpu)).find(|thread| thread.never_yields());
        let (level, harm) = match busy {
            Some(thread) => (
                Level::Problem,
                format!(
                    "thread {} never waits: whatever the kernel and others put there stands \
                     still, up to the whole host",
                    thread.name
                ),
            ),
            None => (
                Level::Warning,
                "other work runs there too: it is in the way when a frame comes, and leaves the \
                 cache cold"
                    .to_owned(),
            ),
        };
        let finding = Finding::new(
            ID,
            words(&shared),
            level,
            "a thread is pinned to it, and it \
             is not isolated",
            harm,
        );
        out.push(isolating(view, finding, &shared));
    }
    managed_interrupts(view, out);
}

fn are(cpus: &[usize]) -> String {
    format!("{} {}", words(cpus), if cpus.len() == 1 { "is" } else { "are" })
}

/// Interrupts whose CPU the driver chooses cannot be moved later, so that the parameter matters.
fn managed_interrupts(view: &View<'_>, out: &mut Vec<Finding>) {
    let flags = view.command_line().and_then(|line| boot::value(line, "isolcpus"));
    let Some(flags) = flags.filter(|flags| !flags.split(',').any(|flag| flag == "managed_irq"))
    else {
        return;
    };
    let finding = Finding::new(
        "cpu_isolated",
        "kernel",
        Level::Note,
        format!("isolcpus={flags} has no managed_irq"),
        "drivers that choose CPUs for their interrupts (NVMe, many NICs) choose isolated ones, too",
    );
    out.push(isolating(view, finding, &[]));
}

fn housekeeping(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "housekeeping";
    if view.online.is_empty() {
        return;
    }
    let taken = union(&view.isolated, &view.pinned);
    let left = lacking(&view.online, &taken);
    let busy_everywhere = view.busy().is_some() && view.online.len() == 1;
    out.push(if busy_everywhere || (left.is_empty() && view.online.len() > 1) {
        Finding::new(
            ID,
            "host",
            if view.busy().is_some() { Level::Problem } else { Level::Warning },
            format!("no CPU of {} is left for everything else", format_cpu_list(&view.online)),
            "interrupts, the kernel's own work and all applications compete with our threads",
        )
        .advice("leave at least one CPU, CPU 0 first, neither isolated nor pinned to")
    } else if view.online.len() == 1 {
        Finding::new(
            ID,
            "host",
            Level::Note,
            "there is one CPU",
            "everything else runs whenever our threads wait, and nowhere else",
        )
        .advice("use a machine with two or more")
    } else {
        Finding::fine(ID, "host", format!("{} left for everything else", are(&left)))
    });
}

fn nohz_full(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "cpu_nohz_full";
    // `(null)` where the kernel could and was not told to; no file where it cannot.
    let list = match view.get(NOHZ_FULL) {
        Some("(null)") => Some(Vec::new()),
        _ => view.cpus(NOHZ_FULL),
    };
    let is_built = list.is_some();
    if view.online.is_empty() || !is_built && view.texts.all_matching(NOHZ_FULL).next().is_some() {
        return;
    }
    let list = list.unwrap_or_default();
    let spinning: Vec<usize> =
        view.threads.iter().filter(|t| t.never_yields()).filter_map(|t| t.cpu).collect();
    let ticking = lacking(&spinning, &list);
    if !ticking.is_empty() {
        let harm = "the tick interrupts a thread that never waits, up to 1,000 times a second";
        let finding =
            Finding::new(ID, words(&ticking), Level::Warning, "not among nohz_full", harm);
        out.push(match is_built {
            true => finding.boot("nohz_full", format_cpu_list(&union(&list, &ticking))),
            false => finding.advice("this kernel is built without CONFIG_NO_HZ_FULL: use another"),
        });
        return;
    }
    let costly = lacking(&common(&view.pinned, &list), &spinning);
    out.push(if costly.is_empty() {
        let seen = if list.is_empty() {
            "not set, and of use to threads that never wait only".to_owned()
        } else {
            format!("nohz_full is {}", format_cpu_list(&list))
        };
        Finding::fine(ID, "kernel", seen)
    } else {
        Finding::new(
            ID,
            words(&costly),
            Level::Note,
            "among nohz_full, and its thread waits for frames",
            "each system call costs some hundred nanoseconds more, and nothing is gained: an idle \
             CPU has no tick anyway",
        )
        .advice("take it out of nohz_full=, or choose receive_mode busy")
    });
}

fn rcu_nocbs(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "cpu_rcu_nocbs";
    let (Some(nocbs), Some(full)) = (view.boot_cpus("rcu_nocbs"), view.boot_cpus("nohz_full"))
    else {
        return;
    };
    // Whoever is in nohz_full= is in rcu_nocbs=, too.
    let offloaded = union(&nocbs, &full);
    let missing = lacking(&view.pinned, &offloaded);
    out.push(if missing.is_empty() {
        let seen = match view.pinned.is_empty() {
            true => "no thread is pinned".to_owned(),
            false => "callbacks of RCU run on other CPUs than ours".to_owned(),
        };
        Finding::fine(ID, "kernel", seen)
    } else {
        Finding::new(
            ID,
            words(&missing),
            Level::Warning,
            "callbacks of RCU run there (not among rcu_nocbs)",
            "what other CPUs free is freed there in bursts, between a frame and our thread",
        )
        .boot("rcu_nocbs", format_cpu_list(&union(&nocbs, &missing)))
    });
}

fn smt(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "smt_siblings";
    let (mut known, mut shared) = (false, Vec::new());
    for cpu in view.concerned() {
        let Some(siblings) =
            view.of_cpu(*cpu, "topology/thread_siblings_list").and_then(parse_cpu_list)
        else {
            continue;
        };
        known = true;
        let kept = union(&view.isolated, &view.pinned);
        shared.extend(lacking(&common(&siblings, &view.online), &kept));
    }
    if !known {
        return;
    }
    if view.pinned.is_empty() || shared.is_empty() {
        let seen = if view.pinned.is_empty() { "no thread is pinned" } else { "none that works" };
        out.push(Finding::fine(ID, "host", seen));
        return;
    }
    shared.sort_unstable();
    shared.dedup();
    let finding = Finding::new(
        ID,
        words(&shared),
        Level::Warning,
        format!(
            "shares its core with {}, which a thread of ours is pinned to",
            words(&view.pinned)
        ),
        "whatever runs there takes half of the core, and of its cache, from our thread",
    );
    let commands = shared
        .iter()
        .map(|cpu| Remedy::Command(format!("echo 0 > /sys/devices/system/cpu/cpu{cpu}/online")));
    out.push(
        isolating(view, finding.remedies(commands), &shared)
            .advice("or switch SMT off (firmware, or `nosmt` on the command line)"),
    );
}

fn workqueues(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "workqueues";
    let Some((text, mask)) = view.mask(WORKQUEUE) else { return };
    let ours = common(&view.pinned, &mask);
    let others = view.others();
    out.push(if ours.is_empty() || others.is_empty() {
        Finding::fine(ID, "kernel", "the kernel's unbound work runs on other CPUs than ours")
    } else {
        let kept = common(&others, &mask);
        let new = format_mask(if kept.is_empty() { &others } else { &kept });
        Finding::new(
            ID,
            words(&ours),
            Level::Note,
            "unbound work of the kernel may run there",
            "write-back, crypto and the like run beside our thread now and then",
        )
        .remedy(Remedy::Change(Change::file(WORKQUEUE, text, &new)))
    });
}
