//! The kernel's texts about the host, as they are: the one place that reads them.
//!
//! Everything is read once, from one root folder, into a map from path to text. So a whole host
//! can be a folder of a test, and the checks are functions of the map. The alternative, a field for
//! each file, makes a second list of all files that has to be kept in step with the first.
//!
//! Files are hostile: what is read of one is bounded, and so is their number. What is no text
//! becomes replacement characters here, so that nothing printed later can command a terminal.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::tasks::{self, Task};
use crate::os::procfs::cgroup_place;

/// More than `/proc/interrupts` of a machine with 512 CPUs.
const FILE_OCTETS_MAX: u64 = 8 << 20;
/// Files of one pattern: a machine of 1,024 CPUs has 10 idle states each.
const MATCHES_MAX: usize = 16_384;

/// What is read. `*` stands for any characters within one name, `#` for a number.
const PATTERNS: &[&str] = &[
    "/proc/version",
    "/proc/cmdline",
    "/proc/cpuinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/interrupts",
    "/proc/irq/default_smp_affinity",
    "/proc/irq/#/smp_affinity_list",
    "/proc/irq/#/effective_affinity_list",
    "/proc/net/protocols",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/sched_rt_runtime_us",
    "/proc/sys/kernel/sched_rt_period_us",
    "/proc/sys/kernel/numa_balancing",
    "/proc/sys/kernel/nmi_watchdog",
    "/proc/sys/kernel/soft_watchdog",
    "/proc/sys/kernel/watchdog_cpumask",
    "/proc/sys/kernel/timer_migration",
    "/proc/sys/vm/compact_unevictable_allowed",
    "/proc/sys/vm/stat_interval",
    "/sys/kernel/realtime",
    "/sys/kernel/debug/sched/fair_server/cpu#/runtime",
    "/sys/kernel/debug/sched/fair_server/cpu#/period",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/kernel/mm/ksm/run",
    "/sys/fs/cgroup/cpuset.cpus.isolated",
    "/sys/devices/system/cpu/online",
    "/sys/devices/system/cpu/possible",
    "/sys/devices/system/cpu/present",
    "/sys/devices/system/cpu/isolated",
    "/sys/devices/system/cpu/nohz_full",
    "/sys/devices/system/cpu/cpu#/topology/thread_siblings_list",
    "/sys/devices/system/cpu/cpu#/cpufreq/scaling_governor",
    "/sys/devices/system/cpu/cpu#/cpufreq/scaling_available_governors",
    "/sys/devices/system/cpu/cpu#/cpuidle/state#/name",
    "/sys/devices/system/cpu/cpu#/cpuidle/state#/latency",
    "/sys/devices/system/cpu/cpu#/cpuidle/state#/disable",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource",
    "/sys/devices/system/clocksource/clocksource0/available_clocksource",
    "/sys/devices/system/node/online",
    "/sys/devices/virtual/workqueue/cpumask",
    "/sys/module/pcie_aspm/parameters/policy",
    "/sys/hypervisor/type",
    "/sys/class/dmi/id/sys_vendor",
    "/sys/class/dmi/id/product_name",
    "/sys/class/misc/tun/dev",
    "/etc/default/irqbalance",
    "/etc/security/limits.conf",
    "/etc/security/limits.d/*.conf",
    "/etc/systemd/system/bumplessd@.service",
    "/etc/systemd/system/bumplessd@.service.d/*.conf",
    "/run/systemd/system/bumplessd@.service",
    "/usr/local/lib/systemd/system/bumplessd@.service",
    "/usr/lib/systemd/system/bumplessd@.service",
    "/lib/systemd/system/bumplessd@.service",
];

/// Files of the process that is judged.
const PROCESS_FILES: [&str; 5] = ["status", "limits", "cgroup", "mountinfo", "uid_map"];

/// Where the texts of the process that is judged stand in the map, whichever process it is.
pub(super) const PROCESS: &str = "/proc/self";

/// The device that says how deep CPUs may sleep: four octets, kept as a decimal number.
pub(super) const DMA_LATENCY: &str = "/dev/cpu_dma_latency";

/// Who reads, as far as it explains why something cannot be seen.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Reader {
    /// Anybody, on the host itself.
    #[default]
    User,
    /// Root, on the host itself.
    Root,
    /// Whoever reads files that were copied.
    Copied,
}

/// What the kernel says about the host.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct HostTexts {
    texts: BTreeMap<String, Result<String, String>>,
    tasks: Vec<Task>,
    /// Why other processes cannot be seen, if they cannot.
    tasks_hidden: Option<String>,
    /// The cgroup's real-time budget, where there is such a thing.
    group_budget_file: Option<String>,
    reader: Reader,
}

impl HostTexts {
    /// Reads this host's texts, and those of `process` (none: the calling process itself). Not for
    /// a real-time thread.
    #[must_use]
    pub fn read(process: Option<u32>) -> Self {
        Self::read_below(Path::new("/"), process)
    }

    /// Reads the texts of the host whose root folder is `root`.
    #[must_use]
    pub fn read_below(root: &Path, process: Option<u32>) -> Self {
        let reader = match root == Path::new("/") {
            true if nix::unistd::geteuid().is_root() => Reader::Root,
            true => Reader::User,
            false => Reader::Copied,
        };
        let mut this = Self { reader, ..Self::default() };
        for pattern in PATTERNS {
            this.gather(root, pattern);
        }
        let folder = process.map_or_else(|| PROCESS.to_owned(), |pid| format!("/proc/{pid}"));
        for file in PROCESS_FILES {
            let reading = read_text(&below(root, &format!("{folder}/{file}")));
            this.keep(format!("{PROCESS}/{file}"), reading);
        }
        this.read_dma_latency(root);
        this.read_group_budget(root);
        if let Some(release) = this.get("/proc/sys/kernel/osrelease") {
            let modules = format!("/lib/modules/{}/modules.dep", release.trim());
            // A release with a path in it is none.
            if !release.contains("..") {
                this.gather(root, &modules);
            }
        }
        match tasks::read(root, process) {
            Ok(tasks) => this.tasks = tasks,
            Err(why) => this.tasks_hidden = Some(why),
        }
        this
    }

    /// Reads more files: all that match `pattern`.
    pub fn gather(&mut self, root: &Path, pattern: &str) {
        for path in matching_files(root, pattern) {
            let reading = read_text(&below(root, &path));
            self.keep(path, reading);
        }
    }

    fn keep(&mut self, path: String, reading: io::Result<String>) {
        match reading {
            Ok(text) => drop(self.texts.insert(path, Ok(text))),
            Err(error) if is_absence(&error) => {}
            Err(error) => drop(self.texts.insert(path, Err(error.to_string()))),
        }
    }

    fn read_dma_latency(&mut self, root: &Path) {
        let reading = open(&below(root, DMA_LATENCY)).and_then(|mut file| {
            let mut octets = [0; 4];
            file.read_exact(&mut octets)?;
            Ok(i32::from_ne_bytes(octets).to_string())
        });
        self.keep(DMA_LATENCY.to_owned(), reading);
    }

    fn read_group_budget(&mut self, root: &Path) {
        let place = |controller| {
            let cgroup = self.get("/proc/self/cgroup")?;
            cgroup_place(cgroup, self.get("/proc/self/mountinfo")?, controller)
        };
        let Some(place) = place("cpu") else { return };
        let Some(file) = place.folder.join("cpu.rt_runtime_us").to_str().map(str::to_owned) else {
            return;
        };
        let reading = read_text(&below(root, &file));
        self.keep(file.clone(), reading);
        self.group_budget_file = Some(file);
    }

    /// The text of a file; none where it is missing or cannot be read.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&str> {
        self.texts.get(path)?.as_deref().ok()
    }

    /// Why a file that is there could not be read; none where it could, or is missing.
    #[must_use]
    pub fn why_not(&self, path: &str) -> Option<&str> {
        self.texts.get(path)?.as_ref().err().map(String::as_str)
    }

    /// What to do where something cannot be seen, for who reads this.
    #[must_use]
    pub fn how_to_see(&self) -> &'static str {
        match self.reader {
            Reader::User => "run as root, outside of a container",
            Reader::Root => "root is not shown it here: look outside of containers and namespaces",
            Reader::Copied => "copy it from the host, where it is there",
        }
    }

    pub(super) fn reader(&self) -> Reader {
        self.reader
    }

    /// Whether a folder that every host has (`/proc`, `/sys`) is none of a kernel's.
    pub(super) fn lacks(&self, folder: &str) -> bool {
        let sure = match folder {
            "proc" => "/proc/version",
            "sys" => "/sys/devices/system/cpu/online",
            _ => return false,
        };
        !self.texts.contains_key(sure)
    }

    /// The files that match a pattern, with their texts, in the order of their paths.
    pub fn matching<'a>(&'a self, pattern: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.all_matching(pattern).filter_map(|(path, text)| Some((path, text.ok()?)))
    }

    /// The same with those that could not be read.
    pub(super) fn all_matching<'a>(
        &'a self,
        pattern: &'a str,
    ) -> impl Iterator<Item = (&'a str, Result<&'a str, &'a str>)> {
        let literal = pattern.split(['*', '#']).next().unwrap_or_default();
        self.texts
            .range(literal.to_owned()..)
            .take_while(move |(path, _)| path.starts_with(literal))
            .filter(move |(path, _)| fits(pattern, path))
            .map(|(path, text)| {
                (path.as_str(), text.as_ref().map(String::as_str).map_err(String::as_str))
            })
    }

    /// Threads of other processes that matter to real time.
    pub(super) fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    pub(super) fn tasks_hidden(&self) -> Option<&str> {
        self.tasks_hidden.as_deref()
    }

    pub(super) fn group_budget_file(&self) -> Option<&str> {
        self.group_budget_file.as_deref()
    }
}

/// A path of the host, in the folder that stands for its root.
pub(super) fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Whether an error says that there is no such thing here.
fn is_absence(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    error.kind() == io::ErrorKind::NotFound
        || [libc::ENOTDIR, libc::ENODEV, libc::ENXIO, libc::ESRCH].map(Some).contains(&code)
}

fn open(path: &Path) -> io::Result<File> {
    // Whatever stands in the place of a file of the kernel's is not waited for.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Reads a file as text, bounded and without control characters.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    let mut octets = Vec::new();
    open(path)?.take(FILE_OCTETS_MAX + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > FILE_OCTETS_MAX {
        return Err(io::Error::other(format!("longer than {} MiB", FILE_OCTETS_MAX >> 20)));
    }
    let text = String::from_utf8_lossy(&octets);
    let clean = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    Ok(text.chars().map(clean).collect())
}

/// The paths below `root` that fit a pattern, as paths of the host.
fn matching_files(root: &Path, pattern: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        if !part.contains(['*', '#']) {
            found.iter_mut().for_each(|path| {
                path.push('/');
                path.push_str(part);
            });
            continue;
        }
        let mut next = Vec::new();
        for path in found {
            let names = names_in(&below(root, &path)).into_iter();
            next.extend(
                names.filter(|name| fits_name(part, name)).map(|name| format!("{path}/{name}")),
            );
        }
        next.truncate(MATCHES_MAX);
        found = next;
    }
    found
}

/// The names in a folder, sorted; none where it cannot be listed.
pub(super) fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().take(4 * MATCHES_MAX);
    let mut names: Vec<String> =
        names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

fn fits(pattern: &str, path: &str) -> bool {
    let (mut parts, mut names) = (pattern.split('/'), path.split('/'));
    loop {
        match (parts.next(), names.next()) {
            (None, None) => return true,
            (Some(part), Some(name)) if fits_name(part, name) => {}
            _ => return false,
        }
    }
}

/// Whether a name fits a part of a pattern; one wildcard in a part is enough for us.
fn fits_name(part: &str, name: &str) -> bool {
    let Some(place) = part.find(['*', '#']) else { return part == name };
    let (before, after) = (&part[..place], &part[place + 1..]);
    let Some(middle) = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)) else {
        return false;
    };
    part[place..].starts_with('*')
        || (!middle.is_empty() && middle.bytes().all(|octet| octet.is_ascii_digit()))
}

/// The number that stands for `#` where `path` fits `pattern`; of several the first.
pub(super) fn number_in(pattern: &str, path: &str) -> Option<usize> {
    let rest = path.strip_prefix(pattern.split('#').next()?)?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_names() {
        assert!(fits("/proc/irq/#/smp_affinity_list", "/proc/irq/24/smp_affinity_list"));
        assert!(!fits("/proc/irq/#/smp_affinity_list", "/proc/irq/x/smp_affinity_list"));
        assert!(!fits("/proc/irq/#/smp_affinity_list", "/proc/irq/24/smp_affinity"));
        assert!(!fits("/a/cpu#", "/a/cpu"));
        assert!(fits("/etc/x.d/*.conf", "/etc/x.d/a.conf"));
        assert!(!fits("/etc/x.d/*.conf", "/etc/x.d/a/b.conf"));
        assert_eq!(number_in("/a/cpu#/b/state#/c", "/a/cpu12/b/state3/c"), Some(12));
    }

    #[test]
    fn this_host_can_be_read() {
        let texts = HostTexts::read(None);
        assert!(texts.get("/proc/version").unwrap().starts_with("Linux version"));
        assert!(texts.get("/proc/self/status").unwrap().contains("CapEff"));
        assert_eq!(texts.get("/proc/not/there"), None);
    }
}
