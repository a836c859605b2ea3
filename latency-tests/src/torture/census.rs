//! Who has which of the regions' memories: by looking at every process, not by asking anybody.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use nix::unistd::Pid;

/// What the names of these memories begin with.
const NAME: &str = "/memfd:bumpless:";

/// The memories that some processes have open or mapped: the region's name, and the inode.
#[must_use]
pub fn memories(processes: &[Pid]) -> BTreeSet<(String, u64)> {
    let mut found = BTreeSet::new();
    for process in processes {
        for entry in fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten() {
            let Ok(target) = entry.path().read_link() else { continue };
            if let (Some(region), Ok(file)) =
                (region_of(&target.to_string_lossy()), fs::metadata(entry.path()))
            {
                found.insert((region, file.ino()));
            }
        }
        let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap_or_default();
        for line in maps.lines() {
            let mut fields = line.split_ascii_whitespace().skip(4);
            let inode = fields.next().and_then(|inode| inode.parse().ok());
            if let (Some(inode), Some(region)) = (inode, fields.next().and_then(region_of)) {
                found.insert((region, inode));
            }
        }
    }
    found
}

fn region_of(path: &str) -> Option<String> {
    let name = path.strip_prefix(NAME)?;
    Some(name.split(' ').next().unwrap_or_default().to_owned())
}

/// Octets of shared memory of the whole machine.
#[must_use]
pub fn shared_memory_octets() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Shmem:"));
    let kibibytes = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
    kibibytes.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// What the kernel says of a process that does not get on.
#[must_use]
pub fn post_mortem(process: Pid) -> String {
    let mut text = format!("process {process}:");
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    for task in tasks {
        for file in ["comm", "wchan", "syscall", "stack"] {
            let found = fs::read_to_string(task.path().join(file)).unwrap_or_default();
            text.push_str(&format!(" {file}={}", found.trim().replace('\n', " < ")));
        }
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let state = status.lines().find(|line| line.starts_with("State:"));
        text.push_str(&format!(" {};", state.unwrap_or_default()));
    }
    text
}

#[cfg(test)]
mod tests {
    use shm_replica::os::page::PageFile;

    use super::*;

    #[test]
    fn a_memory_is_found_as_long_as_somebody_has_it() {
        let pages = || {
            let all = memories(&[Pid::this()]);
            all.into_iter().filter(|(region, _)| region == "page").count()
        };
        let before = pages();
        let page = PageFile::create(1).unwrap();
        assert_eq!(pages(), before + 1, "open and mapped is one");
        drop(page);
        assert_eq!(pages(), before);
    }
}
