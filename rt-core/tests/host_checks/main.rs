//! The checks of the host against hosts made of files: each check is produced and cleared, and what
//! a finding offers to change, changes it.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod rows;
mod tree;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rows::{ROWS, Row};
use rt_core::os::host::fix::{Outcome, apply};
use rt_core::os::host::{Change, Finding, HostTexts, Level, Needs, boot_parameters, findings, ids};
use tree::{GONE, Tree, block, needs};

fn of<'a>(all: &'a [Finding], id: &str) -> Vec<&'a Finding> {
    all.iter().filter(|finding| finding.id == id).collect()
}

/// The worst level of a check; none where it said nothing.
fn worst(all: &[Finding], id: &str) -> Option<Level> {
    of(all, id).iter().map(|finding| finding.level).max()
}

fn spoiled(row: &Row) -> (Tree, Needs) {
    let tree = Tree::fit();
    tree.write_all(row.files);
    (row.tree)(&tree);
    let mut needs = needs();
    (row.needs)(&mut needs);
    (tree, needs)
}

#[test]
fn a_fit_host_needs_nothing() {
    for finding in Tree::fit().findings(&needs()) {
        assert_eq!(finding.level, Level::Fine, "{finding}");
        assert!(finding.consequence.is_empty() && finding.remedies.is_empty(), "{finding}");
    }
}

#[test]
fn every_check_has_rows_that_produce_it() {
    let tested: BTreeSet<&str> = ROWS.iter().map(|row| row.id).collect();
    let made: BTreeSet<&str> = ids().collect();
    assert_eq!(tested, made);
}

#[test]
fn every_check_has_a_row_in_which_all_is_fine() {
    let fit: Vec<Finding> = Tree::fit().findings(&needs());
    for id in ids() {
        let clear = of(&fit, id).iter().any(|finding| finding.level == Level::Fine)
            || ROWS.iter().any(|row| row.id == id && row.level == Level::Fine);
        // This one speaks only where a thread never waits.
        assert!(clear || id == "softirq_threads", "{id} is never fine");
    }
}

#[test]
fn each_defect_is_found_with_its_consequence_and_a_remedy() {
    for row in ROWS {
        let (tree, needs) = spoiled(row);
        let all = tree.findings(&needs);
        let found = of(&all, row.id);
        let hit = found.iter().find(|f| f.level == row.level && f.to_string().contains(row.says));
        let Some(hit) = hit else {
            panic!("{} {:?} {:?}: {found:#?}", row.id, row.level, row.says)
        };
        assert_eq!(worst(&all, row.id), Some(row.level), "{found:#?}");
        if row.level != Level::Fine {
            assert!(!hit.consequence.is_empty(), "{hit}");
            assert!(!hit.remedies.is_empty(), "{hit}");
        }
    }
}

#[test]
fn a_defect_that_is_taken_away_is_no_longer_found() {
    for row in ROWS.iter().filter(|row| row.level != Level::Fine) {
        let (tree, mut needs) = spoiled(row);
        tree.write_all(row.cleared_by);
        if let Some(clear) = row.cleared_by_needs {
            clear(&mut needs);
        }
        let all = if row.cleared_by.is_empty() && row.cleared_by_needs.is_none() {
            // Cleared by the fit host itself, with what this row needs of it.
            Tree::fit().findings(&needs)
        } else {
            tree.findings(&needs)
        };
        let left = worst(&all, row.id).unwrap_or(Level::Fine);
        assert!(left < row.level, "{}: {:#?}", row.id, of(&all, row.id));
    }
}

#[test]
fn what_a_finding_offers_to_change_ends_it() {
    let mut made = 0;
    for row in ROWS {
        let (tree, needs) = spoiled(row);
        let all = tree.findings(&needs);
        let changes: Vec<Change> =
            of(&all, row.id).iter().flat_map(|f| f.changes()).cloned().collect();
        if changes.is_empty() {
            continue;
        }
        for change in &changes {
            assert_eq!(apply(&tree.0, change), Outcome::Applied, "{change:?}");
            let path = change.target.to_string();
            assert_eq!(tree.read(&path), change.new, "{path}");
            if ["enabled", "policy"].iter().any(|name| path.ends_with(name)) {
                // The kernel shows the choice among the others.
                tree.write(&path, &format!("one [{}] another\n", change.new));
            }
            made += 1;
        }
        let after = tree.findings(&needs);
        let left = worst(&after, row.id).unwrap_or(Level::Fine);
        assert!(left == Level::Fine, "{}: {:#?}", row.id, of(&after, row.id));
    }
    assert!(made >= 20, "only {made} changes");
}

#[test]
fn a_setting_that_somebody_changed_meanwhile_is_left_alone() {
    let tree = Tree::fit();
    tree.write("/sys/kernel/mm/ksm/run", "2\n");
    let change = Change::file("/sys/kernel/mm/ksm/run", "1", "0");
    assert_eq!(apply(&tree.0, &change), Outcome::ChangedMeanwhile("2".to_owned()));
    assert_eq!(tree.read("/sys/kernel/mm/ksm/run"), "2");
    let gone = Change::file("/sys/kernel/mm/ksm/away", "1", "0");
    assert!(matches!(apply(&tree.0, &gone), Outcome::Refused(_)));
    assert!(!tree.path("/sys/kernel/mm/ksm/away").exists(), "no file is made");
}

#[test]
fn a_link_that_leads_out_of_the_host_is_not_followed_with_a_value() {
    let (tree, outside) = (Tree::fit(), Tree::new());
    outside.write("/file", "1\n");
    tree.remove("/sys/kernel/mm/ksm/run");
    std::os::unix::fs::symlink(outside.path("/file"), tree.path("/sys/kernel/mm/ksm/run")).unwrap();
    let change = Change::file("/sys/kernel/mm/ksm/run", "1", "0");
    assert!(matches!(apply(&tree.0, &change), Outcome::Refused(_)));
    assert_eq!(outside.read("/file"), "1");
}

#[test]
fn a_change_that_is_not_allowed_says_so() {
    let tree = Tree::fit();
    let path = tree.path("/sys/kernel/mm/ksm/run");
    fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
    let change = Change::file("/sys/kernel/mm/ksm/run", "0", "1");
    let outcome = std::thread::scope(|scope| {
        let nobody = || {
            // Root may write everything, so this thread is somebody else where files are concerned.
            nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65_534));
            apply(&tree.0, &change)
        };
        scope.spawn(nobody).join().unwrap()
    });
    assert!(matches!(outcome, Outcome::NotPermitted(_)), "{outcome:?}");
}

#[test]
fn a_host_without_any_file_yields_no_guess() {
    let tree = Tree::new();
    for finding in tree.findings(&needs()) {
        // What was given, not read.
        let by_plan = finding.id == "thread_pinned";
        assert!(finding.level == Level::Unknown || by_plan, "{finding}");
    }
    let mut needs = needs();
    needs.threads[0].cpu = None;
    let all = tree.findings(&needs);
    for id in ["thread_pinned", "tap", "preempt_rt", "cpu_isolated", "swap", "clock_source"] {
        assert_eq!(worst(&all, id), Some(Level::Unknown), "{id}");
    }
    for finding in all {
        assert_eq!(finding.level, Level::Unknown, "{finding}");
        assert!(!finding.to_string().contains("as root"), "of a copy: {finding}");
        assert!(!finding.to_string().contains("machine with"), "no advice: {finding}");
    }
}

#[test]
fn what_cannot_be_read_or_understood_is_unknown() {
    let patterns = [
        ("/proc/sys/vm/stat_interval", "memory_statistics"),
        ("/sys/kernel/mm/transparent_hugepage/enabled", "huge_pages"),
        ("/proc/irq/default_smp_affinity", "irq_default_affinity"),
        ("/sys/devices/system/cpu/isolated", "cpu_isolated"),
        ("/sys/devices/system/cpu/nohz_full", "cpu_nohz_full"),
        ("/sys/devices/virtual/workqueue/cpumask", "workqueues"),
        ("/proc/stat", "steal"),
        ("/proc/cpuinfo", "hypervisor"),
        ("/proc/swaps", "swap"),
        ("/proc/self/status", "capabilities"),
        ("/proc/self/limits", "rtprio"),
        ("/proc/net/protocols", "af_xdp"),
        ("/sys/fs/cgroup/cpu/box/cpu.rt_runtime_us", "rt_group_sched"),
        ("/sys/devices/system/cpu/online", "cpu_online"),
    ];
    for (path, id) in patterns {
        let tree = Tree::fit();
        block(&tree, Path::new(path));
        assert_eq!(worst(&tree.findings(&needs()), id), Some(Level::Unknown), "{path} closed");
        tree.remove(path);
        tree.write(path, "soon\n");
        assert_eq!(worst(&tree.findings(&needs()), id), Some(Level::Unknown), "{path} strange");
        tree.write_all(&[(path, GONE)]);
        let absent = worst(&tree.findings(&needs()), id);
        assert!(absent.is_none_or(|level| level <= Level::Unknown), "{path} absent");
    }
    let tree = Tree::fit();
    tree.remove("/proc/1");
    assert_eq!(worst(&tree.findings(&needs()), "rt_neighbours"), Some(Level::Unknown));
}

#[test]
fn what_is_offered_for_interrupts_is_about_those_that_are_named() {
    let tree = Tree::fit();
    let table = "           CPU0 CPU1 CPU2 CPU3\n  24: 0 0 0 0 PCI nvme0\n  25: 0 0 0 7 PCI ahci\n";
    tree.write("/proc/interrupts", table);
    for number in [24, 25] {
        tree.write(&format!("/proc/irq/{number}/smp_affinity_list"), "0-3\n");
        tree.write(&format!("/proc/irq/{number}/effective_affinity_list"), "3\n");
    }
    let all = tree.findings(&needs());
    let found = of(&all, "irq_affinity");
    assert_eq!(found.len(), 2, "{found:#?}");
    for (finding, number) in found.iter().zip([25, 24]) {
        assert!(finding.seen.contains(&format!(": {number} (")), "{finding}");
        let changes: Vec<String> = finding.changes().map(|c| c.target.to_string()).collect();
        assert_eq!(changes, [format!("/proc/irq/{number}/smp_affinity_list")]);
    }
}

/// Every file of the tree.
fn files_below(folder: &Path, out: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() { files_below(&path, out) } else { out.push(path) }
    }
}

#[test]
fn hostile_content_is_bounded_and_never_a_panic() {
    let contents: [&[u8]; 9] = [
        b"",
        b"\xff\xfe\x00\x1b[2J\x9b31m",
        b"-9223372036854775809\n",
        b"18446744073709551616\n",
        b"0-4294967295\n",
        b"[[[]]] :(((  )))  : :\n",
        b"1 () S 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 999 1\n",
        b"cpu  1 2 3 4 5 6 7 18446744073709551615 18446744073709551615\n",
        b"Cpus_allowed_list:\t\nCapEff:\t\nMax locked memory\nMax realtime priority",
    ];
    for content in contents {
        let tree = Tree::fit();
        let mut files = Vec::new();
        files_below(&tree.0, &mut files);
        for file in files {
            fs::write(file, content).unwrap();
        }
        for finding in tree.findings(&needs()) {
            let text = finding.to_string();
            assert!(!text.contains(|c: char| c.is_control()), "{text:?}");
            assert!(text.len() < 2_000, "{} octets of text", text.len());
        }
    }
}

#[test]
fn a_file_without_end_is_not_read_to_its_end() {
    let tree = Tree::fit();
    let file = fs::File::create(tree.path("/proc/cpuinfo")).unwrap();
    // A hole: takes no room on the disk.
    file.set_len(1 << 36).unwrap();
    let all = tree.findings(&needs());
    assert_eq!(worst(&all, "hypervisor"), Some(Level::Unknown));
    assert!(of(&all, "hypervisor")[0].seen.contains("longer than"), "{all:#?}");
    fs::remove_file(tree.path("/proc/cpuinfo")).unwrap();
    nix::unistd::mkfifo(&tree.path("/proc/cpuinfo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Nobody will ever write into it: whoever waited would hang here.
    let _ = tree.findings(&needs());
}

#[test]
fn the_command_line_is_suggested_as_a_whole() {
    let tree = Tree::fit();
    tree.write_all(&[
        ("/sys/devices/system/cpu/isolated", "2\n"),
        ("/proc/cmdline", "root=/dev/sda1 isolcpus=2 rcu_nocbs=2\n"),
    ]);
    let all = tree.findings(&needs());
    let line = boot_parameters(&all);
    assert_eq!(line, ["isolcpus=managed_irq,domain,2-3", "rcu_nocbs=2-3"]);
}

#[test]
fn the_process_that_is_named_is_the_one_that_is_judged() {
    let tree = Tree::fit();
    for file in ["status", "limits", "cgroup", "mountinfo", "uid_map"] {
        let text = tree.read(&format!("/proc/self/{file}"));
        tree.write(&format!("/proc/77/{file}"), &text);
    }
    tree.write("/proc/77/status", "Name:\tx\nCapEff:\t0\nCpus_allowed_list:\t0-1\n");
    let all = findings(&HostTexts::read_below(&tree.0, Some(77)), &needs());
    assert_eq!(worst(&all, "rtprio"), Some(Level::Problem));
    assert_eq!(worst(&tree.findings(&needs()), "rtprio"), Some(Level::Fine));
}

#[test]
fn this_host_can_be_judged() {
    let all = findings(&HostTexts::read(None), &Needs::default());
    for id in ["preempt_rt", "cpu_online", "cpu_allowed", "rtprio", "memlock", "irqbalance"] {
        assert_eq!(of(&all, id).len(), 1, "{id} in {all:#?}");
    }
}
