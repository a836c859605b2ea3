//! The host's texts beside what is needed of it: what every check asks first.

use super::boot;
use super::texts::HostTexts;
use super::{Needs, PlannedThread};
use crate::os::procfs::{format_cpu_list, parse_cpu_list};
use crate::os::thread::Policy;

const CPU_FOLDER: &str = "/sys/devices/system/cpu";

/// What a check sees.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) texts: &'a HostTexts,
    pub(super) needs: &'a Needs,
    /// CPUs that run; empty when that cannot be told.
    pub(super) online: Vec<usize>,
    /// CPUs on which no work is put that did not ask for them.
    pub(super) isolated: Vec<usize>,
    /// The threads of the plan but those for CPUs that do not exist: what is to be done for these
    /// is to choose others, and nothing else.
    pub(super) threads: Vec<&'a PlannedThread>,
    /// CPUs that these are pinned to, ascending.
    pub(super) pinned: Vec<usize>,
    /// CPUs of the plan that do not exist, ascending.
    pub(super) absent: Vec<usize>,
    /// CPUs that exist; empty when that cannot be told.
    pub(super) existing: Vec<usize>,
}

impl<'a> View<'a> {
    pub(super) fn new(texts: &'a HostTexts, needs: &'a Needs) -> Self {
        let list = |path: &str| texts.get(path).and_then(parse_cpu_list).unwrap_or_default();
        let mut isolated = list("/sys/devices/system/cpu/isolated");
        // Isolated by a cpuset partition instead of the command line.
        isolated.extend(list("/sys/fs/cgroup/cpuset.cpus.isolated"));
        isolated.sort_unstable();
        isolated.dedup();
        let planned: Vec<usize> = needs.threads.iter().filter_map(|t| t.cpu).collect();
        let planned = union(&planned, &[]);
        let present = list("/sys/devices/system/cpu/present");
        let possible = list("/sys/devices/system/cpu/possible");
        let existing = if present.is_empty() { possible } else { present };
        let (pinned, absent) =
            planned.into_iter().partition(|cpu| existing.is_empty() || existing.contains(cpu));
        let absent: Vec<usize> = absent;
        let is_there =
            |thread: &&PlannedThread| thread.cpu.is_none_or(|cpu| !absent.contains(&cpu));
        let threads = needs.threads.iter().filter(is_there).collect();
        let online = list("/sys/devices/system/cpu/online");
        Self { texts, needs, online, isolated, threads, pinned, absent, existing }
    }

    pub(super) fn get(&self, path: &str) -> Option<&'a str> {
        self.texts.get(path).map(str::trim)
    }

    pub(super) fn number(&self, path: &str) -> Option<i64> {
        self.get(path)?.parse().ok()
    }

    pub(super) fn cpus(&self, path: &str) -> Option<Vec<usize>> {
        parse_cpu_list(self.texts.get(path)?)
    }

    /// A file that holds a mask of CPUs: its text, and them.
    pub(super) fn mask(&self, path: &str) -> Option<(&'a str, Vec<usize>)> {
        let text = self.get(path)?;
        Some((text, parse_mask(text)?))
    }

    /// A file of one CPU.
    pub(super) fn of_cpu(&self, cpu: usize, file: &str) -> Option<&'a str> {
        self.get(&format!("{CPU_FOLDER}/cpu{cpu}/{file}"))
    }

    pub(super) fn command_line(&self) -> Option<&'a str> {
        self.get("/proc/cmdline")
    }

    /// The CPUs that a parameter of the command line names; none of them without it.
    pub(super) fn boot_cpus(&self, key: &str) -> Option<Vec<usize>> {
        let last = self.cpus("/sys/devices/system/cpu/possible")?.last().copied()?;
        self.command_line().and_then(|line| match boot::value(line, key) {
            Some(list) => boot::cpu_list(list, last),
            None => Some(Vec::new()),
        })
    }

    /// The CPUs to judge where all would be too many: those of pinned threads, else all.
    pub(super) fn concerned(&self) -> &[usize] {
        if self.pinned.is_empty() { &self.online } else { &self.pinned }
    }

    /// The CPUs to name in a remedy that keeps CPUs free: those that are pinned to, else the last,
    /// where there is more than one.
    pub(super) fn suggested(&self) -> Vec<usize> {
        match self.online.as_slice() {
            _ if !self.pinned.is_empty() => self.pinned.clone(),
            [_, .., last] => vec![*last],
            _ => Vec::new(),
        }
    }

    /// The CPUs for everything else.
    pub(super) fn others(&self) -> Vec<usize> {
        self.online.iter().copied().filter(|cpu| !self.pinned.contains(cpu)).collect()
    }

    /// The real-time threads of the plan that are pinned to a CPU.
    pub(super) fn on(&self, cpu: usize) -> impl Iterator<Item = &'a PlannedThread> {
        self.threads.iter().copied().filter(move |thread| thread.cpu == Some(cpu))
    }

    /// A thread that never waits, and its CPU.
    pub(super) fn busy(&self) -> Option<&'a PlannedThread> {
        self.threads.iter().copied().find(|thread| thread.never_yields())
    }

    /// The highest real-time priority of the plan; 0 without one.
    pub(super) fn priority_max(&self) -> u8 {
        let priority = |thread: &PlannedThread| match thread.policy {
            Policy::Fifo(priority) => priority,
            Policy::Other => 0,
        };
        self.needs.threads.iter().map(priority).max().unwrap_or(0)
    }

    pub(super) fn is_preempt_rt(&self) -> bool {
        self.get("/sys/kernel/realtime") == Some("1")
            || self
                .get("/proc/version")
                .is_some_and(|version| version.split_whitespace().any(|word| word == "PREEMPT_RT"))
    }

    /// Major and minor version of the kernel.
    pub(super) fn kernel(&self) -> Option<(u32, u32)> {
        let mut parts = self.get("/proc/sys/kernel/osrelease")?.split(['.', '-']);
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }
}

/// The CPUs of `wanted` that `list` lacks.
pub(super) fn lacking(wanted: &[usize], list: &[usize]) -> Vec<usize> {
    wanted.iter().copied().filter(|cpu| !list.contains(cpu)).collect()
}

/// The CPUs that are in both.
pub(super) fn common(a: &[usize], b: &[usize]) -> Vec<usize> {
    a.iter().copied().filter(|cpu| b.contains(cpu)).collect()
}

/// All of both, ascending.
pub(super) fn union(a: &[usize], b: &[usize]) -> Vec<usize> {
    let mut all = [a, b].concat();
    all.sort_unstable();
    all.dedup();
    all
}

/// `CPU 3`, `CPUs 2-3`.
pub(super) fn words(cpus: &[usize]) -> String {
    let plural = if cpus.len() == 1 { "" } else { "s" };
    format!("CPU{plural} {}", format_cpu_list(cpus))
}

/// Reads a mask of CPUs as the kernel writes it: hexadecimal, a comma after each 32 bits.
pub(super) fn parse_mask(text: &str) -> Option<Vec<usize>> {
    let digits: Vec<u32> =
        text.trim().chars().filter(|c| *c != ',').map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    if digits.is_empty() || digits.len() > (crate::limits::CPU_INDEX_MAX + 1) / 4 {
        return None;
    }
    let bits = |(place, digit): (usize, &u32)| {
        let digit = *digit;
        (0..4).filter(move |bit| digit >> bit & 1 == 1).map(move |bit| 4 * place + bit)
    };
    Some(digits.iter().rev().enumerate().flat_map(bits).collect())
}

/// A mask of CPUs as the kernel would write it.
pub(super) fn format_mask(cpus: &[usize]) -> String {
    let words = cpus.last().map_or(1, |last| last / 32 + 1);
    let word = |index: usize| {
        let of_it = cpus.iter().filter(|cpu| **cpu / 32 == index);
        of_it.fold(0u32, |word, cpu| word | 1 << (cpu % 32))
    };
    let mut text = String::new();
    for index in (0..words).rev() {
        text += &match text.is_empty() {
            true => format!("{:x}", word(index)),
            false => format!(",{:08x}", word(index)),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_read_and_written() {
        for (text, cpus) in [
            ("f", vec![0, 1, 2, 3]),
            ("0", vec![]),
            ("8,00000001", vec![0, 35]),
            ("1,00000000,00000000", vec![64]),
        ] {
            assert_eq!(parse_mask(text), Some(cpus.clone()), "{text}");
            assert_eq!(format_mask(&cpus), text);
        }
        assert_eq!(parse_mask("00000000,0000000f\n"), Some(vec![0, 1, 2, 3]));
        for strange in ["", "x", "0x1", &"f".repeat(257)] {
            assert_eq!(parse_mask(strange), None, "{strange}");
        }
    }

    #[test]
    fn cpus_read_well() {
        assert_eq!(words(&[3]), "CPU 3");
        assert_eq!(words(&[1, 2, 3]), "CPUs 1-3");
        assert_eq!(union(&[3], &[1, 3]), [1, 3]);
        assert_eq!(common(&[1, 2], &[2, 3]), [2]);
        assert_eq!(lacking(&[1, 2], &[2, 3]), [1]);
    }
}
