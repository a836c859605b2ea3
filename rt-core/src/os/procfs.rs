//! Reading the kernel's texts: pure parsers, and the few files that several modules need.

use std::fs;
use std::path::{Path, PathBuf};

use crate::limits::CPU_INDEX_MAX;

/// Reads a list of CPUs as the kernel writes it (`0-3,8,10-11`; empty = none). None when the text
/// is malformed or names a CPU beyond [`CPU_INDEX_MAX`].
#[must_use]
pub fn parse_cpu_list(text: &str) -> Option<Vec<usize>> {
    let text = text.trim();
    if text.is_empty() {
        return Some(Vec::new());
    }
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last > CPU_INDEX_MAX {
            return None;
        }
        cpus.extend(first..=last);
    }
    cpus.sort_unstable();
    cpus.dedup();
    Some(cpus)
}

/// A list of CPUs as the kernel would write it.
pub(crate) fn format_cpu_list(cpus: &[usize]) -> String {
    let mut text = String::new();
    let mut rest = cpus;
    while let [first, ..] = *rest {
        let length =
            rest.iter().zip(first..).take_while(|(cpu, expected)| *cpu == expected).count();
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&first.to_string());
        if length > 1 {
            text.push('-');
            text.push_str(&(first + length - 1).to_string());
        }
        rest = &rest[length..];
    }
    text
}

/// The value of a line `Key:   value` of a text in the manner of `/proc/PID/status`.
pub(crate) fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim_end() == key).then(|| value.trim())
    })
}

/// A value in kB of such a text, in octets.
pub(crate) fn field_kb(text: &str, key: &str) -> Option<u64> {
    let value = field(text, key)?.strip_suffix("kB")?.trim();
    value.parse::<u64>().ok()?.checked_mul(1024)
}

/// Whether the effective capabilities in a `status` text hold capability number `bit`.
pub(crate) fn has_capability(status: &str, bit: u32) -> bool {
    field(status, "CapEff")
        .and_then(|mask| u64::from_str_radix(mask, 16).ok())
        .is_some_and(|mask| mask >> bit & 1 == 1)
}

/// Whether a `uid_map` text is that of the first user namespace, in which alone a capability counts
/// for the scheduler and for locked memory.
pub(crate) fn is_first_user_namespace(uid_map: &str) -> bool {
    let mut words = uid_map.split_whitespace();
    [words.next(), words.next(), words.next(), words.next()]
        == [Some("0"), Some("0"), Some("4294967295"), None]
}

/// The effective capabilities of this thread, and where they count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Held {
    /// The capability is in the effective set.
    pub(crate) capability: bool,
    /// The process is in a user namespace, so that the capability does not count.
    pub(crate) user_namespace: bool,
}

/// Looks up capability number `bit` for the calling thread; what cannot be read is taken for not
/// held.
pub(crate) fn held(bit: u32) -> Held {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let uid_map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    Held {
        capability: has_capability(&status, bit),
        user_namespace: !uid_map.is_empty() && !is_first_user_namespace(&uid_map),
    }
}

/// This process's place in the hierarchy of a cgroup controller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CgroupPlace {
    /// The cgroup, as `/proc/self/cgroup` names it.
    pub(crate) path: String,
    /// The folder of its files.
    pub(crate) folder: PathBuf,
}

/// Finds the cgroup of `controller` in the texts of `/proc/self/cgroup` and `/proc/self/mountinfo`:
/// in a hierarchy of its own (version 1), else in the unified one.
pub(crate) fn cgroup_place(cgroup: &str, mountinfo: &str, controller: &str) -> Option<CgroupPlace> {
    let mut unified = None;
    let mut own = None;
    for line in cgroup.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        if controllers.is_empty() {
            unified = Some(path);
        } else if controllers.split(',').any(|name| name == controller) {
            own = Some(path);
        }
    }
    let (path, version_1) =
        own.map(|path| (path, true)).or_else(|| unified.map(|path| (path, false)))?;
    let (root, mount) = mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (root, mount) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let kind = after.next()?;
        let options = after.nth(1)?;
        let fits = if version_1 {
            kind == "cgroup" && options.split(',').any(|name| name == controller)
        } else {
            kind == "cgroup2"
        };
        fits.then_some((root, mount))
    })?;
    let below = path.strip_prefix(root).unwrap_or(path).trim_start_matches('/');
    Some(CgroupPlace { path: path.to_owned(), folder: Path::new(mount).join(below) })
}

/// [`cgroup_place`] of this process.
pub(crate) fn own_cgroup(controller: &str) -> Option<CgroupPlace> {
    let cgroup = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").ok()?;
    cgroup_place(&cgroup, &mountinfo, controller)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_read_and_written() {
        assert_eq!(parse_cpu_list("0-3,8,10-11\n"), Some(vec![0, 1, 2, 3, 8, 10, 11]));
        assert_eq!(parse_cpu_list("\n"), Some(vec![]));
        assert_eq!(parse_cpu_list("1023"), Some(vec![1023]));
        for bad in ["x", "3-1", "0-99999999999", "1024", "1,,2", "-1", "0-", "0-3-5"] {
            assert_eq!(parse_cpu_list(bad), None, "{bad}");
        }
        for text in ["", "0", "0-3,8,10-11", "5,7"] {
            assert_eq!(format_cpu_list(&parse_cpu_list(text).unwrap()), text);
        }
    }

    #[test]
    fn status_fields_are_found_by_their_whole_name() {
        let text = "Name:\tlre\nVmLck:\t    8192 kB\nCapEff:\t0000000000800000\nThreads:\t1\n";
        assert_eq!(field(text, "Name"), Some("lre"));
        assert_eq!(field(text, "Nam"), None);
        assert_eq!(field_kb(text, "VmLck"), Some(8 << 20));
        assert_eq!(field_kb(text, "Threads"), None);
        assert!(has_capability(text, 23));
        assert!(!has_capability(text, 14));
        assert!(!has_capability("CapEff:\tzz\n", 23));
    }

    #[test]
    fn a_user_namespace_is_told_by_its_map() {
        assert!(is_first_user_namespace("         0          0 4294967295\n"));
        assert!(!is_first_user_namespace("         0       1000          1\n"));
        assert!(!is_first_user_namespace("         0          0 4294967295\n 1 1 1\n"));
    }

    #[test]
    fn a_cgroup_is_found_in_either_hierarchy() {
        let mounts = "\
30 29 0:26 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
31 29 0:27 /box /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset
32 29 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
";
        let groups = "4:cpuset:/box/inner\n1:cpu,cpuacct:/system.slice\n0::/user.slice\n";
        let place = |controller| cgroup_place(groups, mounts, controller).unwrap();
        assert_eq!(place("cpu").path, "/system.slice");
        assert_eq!(place("cpu").folder, Path::new("/sys/fs/cgroup/cpu/system.slice"));
        assert_eq!(place("cpuset").folder, Path::new("/sys/fs/cgroup/cpuset/inner"));
        assert_eq!(place("memory").folder, Path::new("/sys/fs/cgroup/unified/user.slice"));
        assert_eq!(cgroup_place("", mounts, "cpu"), None);
        assert_eq!(cgroup_place("garbage\n::\n", "garbage - \n", "cpu"), None);
    }
}
