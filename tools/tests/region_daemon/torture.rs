//! Kills at random instants: of the active process, of one that stands by, of the daemon, of two at
//! once. Whatever ends, an epoch has one owner, epochs rise, and the state goes on.

use std::collections::BTreeMap;

use rt_core::os::clock::{self, MonotonicClock};
use rt_core::time::Duration;
use tools::netlab::Process;

use crate::bench::{Bench, wait_until};
use crate::participant::start;

/// A seeded source of numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Each time that a process says that it is active: the epoch, and the cycle it goes on from.
fn claims(process: &Process) -> Vec<(u64, Option<u64>)> {
    let line = |line: &str| {
        let mut words = line.strip_prefix("ACTIVE ")?.split(' ');
        let epoch = words.next()?.parse().ok()?;
        let from = words.next().filter(|word| *word == "from").and_then(|_| words.next());
        Some((epoch, from.and_then(|from| from.parse().ok())))
    };
    process.out().lines().filter_map(line).collect()
}

struct Torture {
    bench: Bench,
    random: Random,
    alive: Vec<Process>,
    /// Who owned each epoch.
    owners: BTreeMap<u64, u32>,
    /// Who was killed, and what it had said.
    told: String,
    seed: u64,
}

impl Torture {
    fn new(seed: u64) -> Self {
        let bench = Bench::running();
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        Self {
            bench,
            random,
            alive: Vec::new(),
            owners: BTreeMap::new(),
            told: String::new(),
            seed,
        }
    }

    /// Notes who claims which epoch; never two the same.
    fn note(&mut self, process: &Process) {
        for (epoch, _) in claims(process) {
            let owner = *self.owners.entry(epoch).or_insert_with(|| process.id());
            assert_eq!(owner, process.id(), "seed {}: epoch {epoch} has two owners", self.seed);
        }
    }

    fn kill_participant(&mut self, pid: Option<u64>) {
        let chosen = |it: &Process| Some(u64::from(it.id())) == pid;
        let at = self.alive.iter().position(chosen).unwrap_or(0);
        if at < self.alive.len() {
            let mut process = self.alive.swap_remove(at);
            process.signal(nix::sys::signal::Signal::SIGKILL).unwrap();
            process.wait_exit(crate::bench::PATIENCE).unwrap();
            self.note(&process);
            self.told += &format!("killed {}: {}\n", process.id(), process.out());
        }
    }

    /// Active, and followed by one that stands by.
    fn settle(&mut self) -> (u64, u64) {
        while self.alive.len() < 3 {
            let name = format!("participant {}", self.owners.len());
            self.alive.push(start(&name, &self.bench.folder()));
        }
        let bench = &self.bench;
        let mut found = (0, 0);
        wait_until("somebody active whose state is followed", || {
            let (application, region) = (bench.application(), bench.region());
            let pid = application["active"]["pid"].as_u64();
            let is_so = region["in_sync"] == true && region["writer_pid"].as_u64() == pid;
            found = (pid.unwrap_or(0), region["cycle"].as_u64().unwrap_or(0));
            is_so && pid.is_some() && region["commits"].as_u64() > Some(3)
        });
        found
    }

    fn round(&mut self, reached: u64) -> u64 {
        let (active, cycle) = self.settle();
        if cycle < reached {
            // How it came to that is not to be seen any more when the test has ended.
            for process in &self.alive {
                println!("{} {}: {}", process.name(), process.id(), process.out());
            }
            println!("{}\n{}", self.told, self.bench.log());
            panic!("seed {}: {cycle} after {reached}", self.seed);
        }
        let pause = Duration::from_micros(self.random.below(3_000));
        clock::sleep_until(MonotonicClock::now() + pause);
        let what = self.random.below(6);
        let kills_daemon = what >= 3;
        self.told += &format!("at cycle {cycle} of {active}: {what}\n");
        if kills_daemon {
            self.bench.kill();
        }
        if matches!(what, 0 | 1 | 4) {
            self.kill_participant(Some(active));
        }
        if matches!(what, 2 | 5) {
            let others = self.alive.iter().map(|it| u64::from(it.id())).find(|pid| *pid != active);
            self.kill_participant(others);
        }
        if kills_daemon {
            let pause = Duration::from_micros(self.random.below(20_000));
            clock::sleep_until(MonotonicClock::now() + pause);
            self.bench.start();
        }
        cycle
    }
}

#[test]
fn whatever_is_killed_an_epoch_has_one_owner_and_the_state_goes_on() {
    let soak = std::env::var_os("BUMPLESS_SOAK").is_some_and(|value| value == "1");
    let (seeds, rounds) = if soak { (1..=20, 200) } else { (1..=2, 20) };
    for seed in seeds {
        let mut torture = Torture::new(seed);
        let mut reached = 0;
        for _ in 0..rounds {
            reached = torture.round(reached);
        }
        torture.settle();
        for process in std::mem::take(&mut torture.alive) {
            torture.note(&process);
        }
        println!("seed {seed}: {} owners, cycle {reached}", torture.owners.len());
        assert!(torture.owners.len() > 2, "nobody took over");
    }
}
