//! Threads of the host that matter to real time: those with a real-time policy, and a few by name.

use std::path::Path;

use super::texts::{below, names_in, read_text};
use crate::os::procfs::{field, parse_cpu_list};

/// Threads looked at, at most: a host has some thousands.
const THREADS_MAX: usize = 262_144;
/// Threads kept, at most.
const KEPT_MAX: usize = 16_384;
/// `PF_KTHREAD` of the flags in `stat`.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// One thread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Task {
    /// Its name, as the kernel has it.
    pub(super) name: String,
    /// Its real-time priority; 0 without a real-time policy.
    pub(super) priority: u8,
    /// Whether it is one of the kernel's own.
    pub(super) is_kernel: bool,
    /// The CPUs on which it may run.
    pub(super) cpus: Vec<usize>,
}

/// Reads the threads of all processes but `ours`.
///
/// # Errors
/// Why other processes cannot be seen.
pub(super) fn read(root: &Path, ours: Option<u32>) -> Result<Vec<Task>, String> {
    let folder = below(root, "/proc");
    // Process 1 is always there; who cannot see it sees none but his own.
    if let Err(error) = read_text(&folder.join("1/stat")) {
        return Err(format!("processes of others: {error}"));
    }
    let (mut tasks, mut seen) = (Vec::new(), 0);
    let ours = ours.unwrap_or_else(std::process::id).to_string();
    for process in numbers_in(&folder).into_iter().filter(|name| *name != ours) {
        let threads = folder.join(process).join("task");
        for thread in numbers_in(&threads) {
            seen += 1;
            if seen > THREADS_MAX || tasks.len() >= KEPT_MAX {
                return Ok(tasks);
            }
            let file = |name| read_text(&threads.join(&thread).join(name)).ok();
            // A thread that ended meanwhile is not missed.
            let Some(mut task) = file("stat").and_then(|stat| parse(&stat)) else { continue };
            if task.priority == 0 && !is_of_interest(&task.name) {
                continue;
            }
            let status = file("status").unwrap_or_default();
            let cpus = field(&status, "Cpus_allowed_list").and_then(parse_cpu_list);
            task.cpus = cpus.unwrap_or_default();
            tasks.push(task);
        }
    }
    Ok(tasks)
}

fn numbers_in(folder: &Path) -> Vec<String> {
    let mut names = names_in(folder);
    names.retain(|name| name.bytes().all(|octet| octet.is_ascii_digit()));
    names
}

fn is_of_interest(name: &str) -> bool {
    name == "irqbalance" || ["irq/", "ksoftirqd/", "ktimers/"].iter().any(|p| name.starts_with(p))
}

/// Reads a line of `stat`. The name stands in parentheses and may hold anything, so what follows is
/// looked for behind the last one.
fn parse(stat: &str) -> Option<Task> {
    let (before, after) = stat.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let words: Vec<&str> = after.split_whitespace().collect();
    // By proc(5): flags are field 9, rt_priority 40; the first word here is field 3.
    let flags: u64 = words.get(9 - 3)?.parse().ok()?;
    let priority = words.get(40 - 3)?.parse().ok()?;
    let is_kernel = flags & KERNEL_THREAD != 0;
    Some(Task { name: name.to_owned(), priority, is_kernel, cpus: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_read_whatever_its_name() {
        let line = |name| {
            format!(
                "7 ({name}) S 2 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 -51 0 1 0 9 0 0 1 0 0 0 0 0 \
                 0 0 2147483647 0 0 0 0 17 3 50 1 0 0 0 0 0 0 0 0 0 0 0\n"
            )
        };
        let task = parse(&line("irq/24-eth1")).unwrap();
        assert_eq!((task.name.as_str(), task.priority, task.is_kernel), ("irq/24-eth1", 50, true));
        assert_eq!(parse(&line("a) b (c")).unwrap().name, "a) b (c");
        for strange in ["", "7 (x", "7 (x) S", ")("] {
            assert_eq!(parse(strange), None);
        }
    }
}
