//! Neighbours that attack the daemon's sockets with all that a socket takes. The daemon goes on
//! serving its applications meanwhile, and has nothing left of it afterwards.

mod attackers;
mod beside;

use std::fs;
use std::path::Path;
use std::process::Command;

use attackers::{ATTACKS, ROUNDS_TOLD};
use serde_json::json;
use tools::netlab::Process;

use crate::bench::{Bench, NOBODY, as_nobody, is_root, outcome, wait_until};
use crate::participant::{says, start};
use crate::users::for_all;

/// By how much the daemon may have grown in a flood after a flood: what its heap keeps in pieces.
/// The first one has filled its log of events, whose length has a bound.
const GROWTH_KIB_MAX: u64 = 4 * 1024;

/// Makes a command that of another user, or leaves it.
type AsWhom = fn(&mut Command) -> &mut Command;

/// Files that the daemon has open.
fn descriptors(daemon: u32) -> usize {
    fs::read_dir(format!("/proc/{daemon}/fd")).unwrap().count()
}

fn resident_kib(daemon: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{daemon}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A daemon that lets every user of the group nogroup ask, and nobody read the region.
fn open_bench() -> Bench {
    let bench = Bench::new(&format!("read = [{NOBODY}]"), "");
    let text = fs::read_to_string(bench.config()).unwrap();
    fs::write(bench.config(), format!("socket_group = 'nogroup'\n{text}")).unwrap();
    let mut bench = bench;
    bench.start();
    bench
}

/// The daemon, and the two that it is there for.
struct Served {
    bench: Bench,
    first: Process,
    second: Process,
    epoch: u64,
}

impl Served {
    fn new() -> Self {
        let bench = open_bench();
        let first = start("first", &bench.folder());
        says(&first, "ACTIVE 1");
        let second = start("second", &bench.folder());
        says(&second, "STANDBY 1");
        Self { bench, first, second, epoch: 1 }
    }

    fn daemon(&self) -> u32 {
        self.bench.daemon.as_ref().unwrap().id()
    }

    fn commits_rise(&self) {
        let commits = self.bench.region()["commits"].as_u64().unwrap();
        wait_until("further commits", || {
            self.bench.region()["commits"].as_u64() > Some(commits + 20)
        });
    }

    /// Switches over, and back; each goes on from where the other was.
    fn there_and_back(&mut self) {
        let (first, second) = (&self.first, &self.second);
        for (next, former) in [(second, first), (first, second)] {
            self.epoch += 1;
            let epoch = self.epoch;
            wait_until("commits that the standby follows", || {
                let region = self.bench.region();
                region["commits"].as_u64() > Some(0) && region["in_sync"] == true
            });
            let cycle = self.bench.region()["cycle"].as_u64().unwrap();
            let done = self.bench.json("switchover --force");
            assert_eq!((&done["epoch"], &done["pid"]), (&json!(epoch), &json!(next.id())));
            let said = says(next, &format!("ACTIVE {epoch} from "));
            let from: u64 = said.rsplit(' ').next().unwrap().parse().unwrap();
            assert!(from >= cycle, "{said}: the other one was at {cycle}");
            says(former, &format!("STANDBY {epoch}"));
            self.commits_rise();
        }
    }

    /// Neither was hung up on, nor was anything but what it was ordered to be.
    fn nothing_befell_them(&self) {
        for process in [&self.first, &self.second] {
            let out = process.out();
            let roles = ["NONE", "STANDBY", "ACTIVE"];
            let said: Vec<_> = out
                .lines()
                .filter(|line| roles.iter().any(|role| line.starts_with(role)))
                .collect();
            let epoch = |line: &&str| line.split(' ').nth(1).unwrap().parse::<u64>().unwrap();
            assert!(said.is_sorted_by_key(epoch), "{said:?}");
            let is_plain = |line: &&str| {
                let words = line.split_whitespace().count();
                words == if line.contains(" from ") { 4 } else { 2 } && !line.starts_with("NONE")
            };
            assert!(said.iter().all(is_plain), "{said:?}");
        }
    }

    /// All attackers at once, until each has done its worst a number of times.
    fn under_attack(&mut self, program: &Path, may_take_all: bool, as_whom: AsWhom) {
        let folder = self.bench.folder();
        let attacks = ATTACKS.iter().filter(|(.., takes_all)| may_take_all || !takes_all);
        let attackers: Vec<_> = attacks
            .map(|(name, ..)| {
                let mut command = attackers::command(program, name, &folder);
                as_whom(&mut command);
                Process::spawn(*name, command).unwrap()
            })
            .collect();
        for attacker in &attackers {
            says(attacker, "round 1");
        }
        self.there_and_back();
        for attacker in &attackers {
            says(attacker, &format!("round {ROUNDS_TOLD}"));
        }
        self.commits_rise();
        for attacker in attackers {
            attacker.kill().unwrap();
        }
    }

    /// Nothing is left of those who have gone.
    fn is_as_before(&self, before: usize) {
        let mut now = 0;
        wait_until("the attackers' descriptors to be closed", || {
            now = descriptors(self.daemon());
            now <= before
        });
        assert_eq!(now, before);
        let (code, text, err) = outcome(&self.bench.bumpless("regions"));
        assert_eq!((code, err.as_str()), (Some(0), ""), "{text}");
        self.nothing_befell_them();
    }
}

#[test]
fn hostile_neighbours_keep_nobody_from_being_served_and_leave_nothing() {
    if !is_root("hostile_neighbours_keep_nobody_from_being_served_and_leave_nothing") {
        return;
    }
    let mut served = Served::new();
    let own = std::env::current_exe().unwrap();
    let copy = for_all(&served.bench, own.to_str().unwrap());
    served.there_and_back();
    let before = descriptors(served.daemon());
    // Other users first, who may ask and read. Then users of the daemon's own rights: who may
    // order everything is not kept from taking all of the operator's places.
    served.under_attack(&copy, true, as_nobody);
    served.is_as_before(before);
    let grown = resident_kib(served.daemon());
    served.under_attack(&own, false, |command| command);
    served.is_as_before(before);
    let (grown, now) = (grown + GROWTH_KIB_MAX, resident_kib(served.daemon()));
    assert!(now <= grown, "{now} KiB, of at most {grown}");
    let ended = served.bench.daemon.take().unwrap().stop().unwrap();
    assert_eq!((ended.status.code(), ended.out.as_str()), (Some(0), "ready\n"), "{ended:?}");
}
