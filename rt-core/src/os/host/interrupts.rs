//! Interrupts and threads that compete with ours for a CPU.

use super::texts::number_in;
use super::view::{View, common, format_mask, lacking, words};
use super::{Change, Check, Finding, Level, PlannedThread, Policy, Remedy, format_cpu_list};
use crate::os::procfs::parse_cpu_list;

const AFFINITY: &str = "/proc/irq/#/smp_affinity_list";
const DEFAULT_AFFINITY: &str = "/proc/irq/default_smp_affinity";
const INTERRUPTS: &str = "/proc/interrupts";

pub(super) const CHECKS: &[Check] = &[
    Check { id: "irq_affinity", reads: &[AFFINITY, INTERRUPTS], judge: affinity },
    Check { id: "irq_default_affinity", reads: &[DEFAULT_AFFINITY], judge: default_affinity },
    Check { id: "lan_interrupts", reads: &[], judge: lan_interrupts },
    Check { id: "irqbalance", reads: &[], judge: irqbalance },
    Check { id: "rt_neighbours", reads: &[], judge: neighbours },
    Check { id: "softirq_threads", reads: &[], judge: softirq },
];

/// One interrupt and where it is served.
struct Interrupt<'a> {
    number: u32,
    path: &'a str,
    affinity: &'a str,
    cpus: Vec<usize>,
    name: &'a str,
}

fn interrupts<'a>(view: &View<'a>) -> Vec<Interrupt<'a>> {
    let table = view.get(INTERRUPTS).unwrap_or_default();
    let list = view.texts.matching(AFFINITY).filter_map(|(path, affinity)| {
        let number = u32::try_from(number_in(AFFINITY, path)?).ok()?;
        let effective = format!("/proc/irq/{number}/effective_affinity_list");
        let allowed = parse_cpu_list(affinity)?;
        // The kernel serves it on one CPU of those that are allowed, where it says so. One that is
        // no longer allowed is left when the next interrupt comes.
        let effective = view.get(&effective).and_then(parse_cpu_list).unwrap_or_default();
        let effective = common(&effective, &allowed);
        let cpus = if effective.is_empty() { allowed } else { effective };
        let affinity = affinity.trim();
        Some(Interrupt { number, path, affinity, cpus, name: name_of(table, number) })
    });
    let mut list: Vec<Interrupt<'_>> = list.collect();
    list.sort_by_key(|interrupt| interrupt.number);
    list
}

fn row(table: &str, number: u32) -> Option<&str> {
    table.lines().find_map(|line| {
        let (name, rest) = line.split_once(':')?;
        (name.trim().parse() == Ok(number)).then_some(rest)
    })
}

/// What the table calls it: the last word of its row.
fn name_of(table: &str, number: u32) -> &str {
    row(table, number).and_then(|row| row.split_whitespace().last()).unwrap_or("unused")
}

/// How often it was served on one of `cpus`.
fn count(table: &str, number: u32, cpus: &[usize]) -> u64 {
    let heading = table.lines().next().unwrap_or_default();
    let column = |cpu: &usize| {
        heading
            .split_whitespace()
            .position(|word| word.strip_prefix("CPU") == Some(&cpu.to_string()))
    };
    let Some(row) = row(table, number) else { return 0 };
    let counts: Vec<&str> = row.split_whitespace().collect();
    let of = |cpu| column(cpu).and_then(|place| counts.get(place)?.parse::<u64>().ok());
    cpus.iter().filter_map(of).fold(0, u64::saturating_add)
}

fn affinity(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "irq_affinity";
    let all = interrupts(view);
    if all.is_empty() {
        return;
    }
    if view.pinned.is_empty() {
        out.push(Finding::fine(ID, "host", "no thread is pinned, so no CPU has to be kept free"));
        return;
    }
    let table = view.get(INTERRUPTS).unwrap_or_default();
    let others = view.others();
    let (mut quiet, mut active) = (Vec::new(), Vec::new());
    for irq in &all {
        // Those of our NICs are a matter of their own.
        let is_ours = view.needs.nic_interrupts.contains(&irq.number);
        if is_ours || irq.name == "unused" || common(&irq.cpus, &view.pinned).is_empty() {
            continue;
        }
        let text = format!("{} ({})", irq.number, irq.name);
        let allowed = parse_cpu_list(irq.affinity).unwrap_or_default();
        let kept = lacking(&allowed, &view.pinned);
        let kept = format_cpu_list(if kept.is_empty() { &others } else { &kept });
        let change = Change::file(irq.path, irq.affinity, &kept)
            .with_caution("refused for interrupts whose driver chooses the CPU");
        let served = count(table, irq.number, &view.pinned) > 0;
        if served { &mut active } else { &mut quiet }.push((text, Remedy::Change(change)));
    }
    let ours = words(&view.pinned);
    if active.is_empty() && quiet.is_empty() {
        out.push(Finding::fine(
            ID,
            ours.as_str(),
            "no interrupt of another device is served there",
        ));
    }
    // Apart, so that what is to be done stands with what it is about.
    for (list, level, seen, harm) in [
        (
            active,
            Level::Warning,
            "interrupts are served there",
            "each stops our thread for some microseconds, whatever its priority",
        ),
        (
            quiet,
            Level::Note,
            "interrupts may be served there, none was yet",
            "each would stop our thread for some microseconds",
        ),
    ] {
        let (names, changes): (Vec<String>, Vec<Remedy>) = list.into_iter().unzip();
        if names.is_empty() {
            continue;
        }
        let seen = format!("{seen}: {}", some_of(&names));
        let finding = Finding::new(ID, ours.as_str(), level, seen, harm);
        out.push(if others.is_empty() {
            finding.advice("there is no other CPU: use a machine with two or more")
        } else {
            finding.remedies(changes).boot("irqaffinity", format_cpu_list(&others))
        });
    }
}

/// The first few of a list, and how many more there are.
fn some_of(list: &[String]) -> String {
    const SHOWN: usize = 5;
    let more = list.len().saturating_sub(SHOWN);
    let shown = list.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

fn default_affinity(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "irq_default_affinity";
    let Some((text, mask)) = view.mask(DEFAULT_AFFINITY) else { return };
    let ours = common(&view.pinned, &mask);
    let others = view.others();
    out.push(if ours.is_empty() || others.is_empty() {
        Finding::fine(ID, "kernel", "new interrupts are served on other CPUs than ours")
    } else {
        Finding::new(
            ID,
            words(&ours),
            Level::Note,
            "interrupts of devices that come later may be served there",
            "a device that is plugged in takes time from our thread",
        )
        .remedy(Remedy::Change(Change::file(DEFAULT_AFFINITY, text, &format_mask(&others))))
        .boot("irqaffinity", format_cpu_list(&others))
    });
}

/// A thread of ours that stays above whoever is below it on `cpu`.
fn busy_on<'a>(view: &View<'a>, cpu: usize) -> Option<&'a PlannedThread> {
    view.on(cpu).find(|thread| thread.never_yields())
}

fn lan_interrupts(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "lan_interrupts";
    let is_ours = |irq: &Interrupt<'_>| view.needs.nic_interrupts.contains(&irq.number);
    let ours: Vec<Interrupt<'_>> = interrupts(view).into_iter().filter(is_ours).collect();
    if ours.is_empty() {
        return;
    }
    let thread_of = |number: u32| {
        let prefix = format!("irq/{number}-");
        view.texts.tasks().iter().find(|task| task.name.starts_with(&prefix))
    };
    let mut told = false;
    for irq in &ours {
        let busy = irq.cpus.iter().find_map(|cpu| Some((*cpu, busy_on(view, *cpu)?)));
        let task = thread_of(irq.number);
        let subject = format!("interrupt {} ({})", irq.number, irq.name);
        if let Some((cpu, thread)) = busy
            && (task.is_some() || view.is_preempt_rt())
        {
            told = true;
            let others = format_cpu_list(&view.others());
            let finding = Finding::new(
                ID,
                subject,
                Level::Problem,
                format!(
                    "its handler is a thread on CPU {cpu}, below {}, which never waits",
                    thread.name
                ),
                "the handler never runs: this LAN stands still",
            );
            out.push(if others.is_empty() {
                finding.advice("there is no other CPU: choose receive_mode block or adaptive")
            } else {
                let change = Change::file(irq.path, irq.affinity, &others);
                finding.remedy(Remedy::Change(change)).boot("irqaffinity", others)
            });
        } else if let Some(task) = task.filter(|task| task.priority == 0) {
            told = true;
            out.push(
                Finding::new(
                    ID,
                    subject,
                    Level::Warning,
                    format!("its handler, thread {}, has no real-time priority", task.name),
                    "any program that computes delays the frames of this LAN",
                )
                .command(format!(
                    "chrt --fifo --pid 50 $(pgrep -x {})",
                    super::shell_word(&task.name)
                )),
            );
        }
    }
    if !told {
        let list = ours.iter().flat_map(|irq| irq.cpus.clone()).collect::<Vec<_>>();
        let seen = format!(
            "those of the LAN interfaces are served on {}",
            words(&super::view::union(&list, &[]))
        );
        out.push(Finding::fine(ID, "LAN", seen));
    }
}

fn irqbalance(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "irqbalance";
    if let Some(why) = view.texts.tasks_hidden() {
        out.push(
            Finding::new(ID, "host", Level::Unknown, why, "nothing can be said about it")
                .advice(view.texts.how_to_see()),
        );
        return;
    }
    if !view.texts.tasks().iter().any(|task| task.name == "irqbalance") {
        out.push(Finding::fine(ID, "host", "irqbalance does not run"));
        return;
    }
    let banned = view.get("/etc/default/irqbalance").and_then(|text| {
        let list =
            text.lines().find_map(|line| line.trim().strip_prefix("IRQBALANCE_BANNED_CPULIST="));
        list.and_then(|list| parse_cpu_list(list.trim_matches(['"', '\''])))
    });
    // It leaves isolated CPUs alone by itself.
    let kept = super::view::union(&view.isolated, &banned.unwrap_or_default());
    let exposed = lacking(&view.pinned, &kept);
    out.push(if exposed.is_empty() {
        Finding::fine(ID, "host", "irqbalance runs, and leaves our CPUs alone")
    } else {
        Finding::new(
            ID,
            words(&exposed),
            Level::Warning,
            "irqbalance runs and may move interrupts there",
            "what is set for interrupts by hand does not last",
        )
        .command(format!(
            "echo IRQBALANCE_BANNED_CPULIST={} >> /etc/default/irqbalance && systemctl restart \
             irqbalance",
            format_cpu_list(&exposed)
        ))
        .advice("or `systemctl disable --now irqbalance`")
    });
}

fn neighbours(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "rt_neighbours";
    if let Some(why) = view.texts.tasks_hidden() {
        let seen = format!("threads beside ours: {why}");
        out.push(
            Finding::new(ID, "host", Level::Unknown, seen, "nothing can be said about it")
                .advice(view.texts.how_to_see()),
        );
        return;
    }
    let mut told = false;
    for thread in &view.threads {
        let Policy::Fifo(priority) = thread.policy else { continue };
        let cpus = thread.cpu.map_or_else(|| view.online.clone(), |cpu| vec![cpu]);
        let above = view.texts.tasks().iter().filter(|task| {
            // What the kernel binds to each CPU (migration and the like) is part of the kernel.
            let is_bound = task.is_kernel && task.cpus.len() == 1 && !task.name.starts_with("irq/");
            task.priority >= priority && !is_bound && !common(&task.cpus, &cpus).is_empty()
        });
        let mut names: Vec<String> =
            above.map(|task| format!("{} ({})", task.name, task.priority)).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            continue;
        }
        told = true;
        out.push(
            Finding::new(
                ID,
                format!("thread {}", thread.name),
                Level::Warning,
                format!("its priority is {priority}, and beside it run: {}", some_of(&names)),
                "where one of them works, ours waits",
            )
            .advice(format!(
                "give them a lower priority (`chrt --fifo --pid N TID`) or other CPUs, or set \
                 `[threads.{}]` `priority`",
                thread.name
            )),
        );
    }
    if !told {
        out.push(Finding::fine(ID, "host", "no foreign thread is above ours on its CPU"));
    }
}

fn softirq(view: &View<'_>, out: &mut Vec<Finding>) {
    const ID: &str = "softirq_threads";
    let Some((cpu, thread)) = view.busy().and_then(|thread| Some((thread.cpu?, thread))) else {
        return;
    };
    let names = [format!("ksoftirqd/{cpu}"), format!("ktimers/{cpu}")];
    let below: Vec<String> = view
        .texts
        .tasks()
        .iter()
        .filter(|task| names.contains(&task.name) && task.priority < view.priority_max())
        .map(|task| format!("{} ({})", task.name, task.priority))
        .collect();
    if below.is_empty() {
        return;
    }
    out.push(
        Finding::new(
            ID,
            format!("CPU {cpu}"),
            Level::Note,
            format!("{} are below {}, which never waits", below.join(", "), thread.name),
            "timers and soft interrupts that somebody raises there are not served",
        )
        .advice("keep programs and interrupts off this CPU (isolcpus=, irqaffinity=)"),
    );
}
