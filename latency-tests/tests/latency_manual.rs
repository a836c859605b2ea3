//! Each command of `bumpless latency` on a page is run, in the page's order, between two hosts with
//! daemons; and the manual page has each option of the program and none besides.
//!
//! `docs/latency.md` is followed from its first block to its last. What differs from the page: runs
//! take a second, interfaces and addresses are those of the hosts, and a machine with fewer than
//! four processors has its first two.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use support::{Cluster, PATIENCE, can_run, ip};
use tools::netlab::{Ended, Process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_bumpless-latency");
const SEEN: &str = "lan_receive = \"ring\"\nlan_transmit = \"packet\"";
/// Needs an application: `latency_shm` has one.
const OF_AN_APPLICATION: &str = "bumpless latency shm --region plant";

fn page(name: &str) -> String {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(repository.join(name)).unwrap()
}

/// Lines of a page's blocks for a shell.
fn commands(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut language = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), language) {
            (Some(word), None) => language = Some(word),
            (Some(_), Some(_)) => language = None,
            (None, Some("sh")) => found.push(line.split("  # ").next().unwrap().trim()),
            (None, _) => {}
        }
    }
    found
}

/// Two hosts with daemons, which answer each other's beats.
struct Pair {
    // Before the hosts.
    responders: Vec<Process>,
    cluster: Cluster,
}

impl Pair {
    fn new() -> Self {
        let pair = Self { responders: Vec::new(), cluster: Cluster::running(2, 5, SEEN) };
        let base = "name = \"prp0\"\nprotocol = \"prp\"\nlan_a = \"eth1\"\nlan_b = \"eth2\"\n";
        fs::write(pair.path("prp0.toml"), base).unwrap();
        pair
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.cluster.net.folder().join(file)
    }

    /// A command as it is run here.
    fn command(&self, host: u8, command: &str) -> Command {
        let mut line = command.trim_start_matches("sudo target/release/").to_owned();
        let folder = self.cluster.net.folder().display().to_string();
        for (of_page, here) in [
            ("eth1", "lan_a"),
            ("eth2", "lan_b"),
            ("192.0.2.2", &*ip(2).to_string()),
            ("/etc/bumpless", &folder),
        ] {
            line = line.replace(of_page, here);
        }
        if line.contains(" wire ") {
            line += &format!(" --runtime-dir {}", self.cluster.runtime_dir(host).display());
        }
        if std::thread::available_parallelism().unwrap().get() < 4 {
            line = line.replace("-a 2,3", "-a 0,1");
        }
        let mut words: Vec<&str> = line.split(' ').collect();
        if let Some(at) = words.iter().position(|word| *word == "-D") {
            words[at + 1] = "1";
        }
        let mut shell = self.cluster.host(host).command("sh").unwrap();
        let programs = Path::new(PROGRAM).parent().unwrap().display();
        let path = std::env::var("PATH").unwrap_or_default();
        shell.env("PATH", format!("{programs}:{path}")).current_dir(&folder);
        shell.arg("-c").arg(words.join(" "));
        shell
    }

    fn run(&self, host: u8, command: &str) -> Ended {
        let process = Process::spawn(command, self.command(host, command)).unwrap();
        process.finish(PATIENCE).unwrap()
    }

    /// Runs what may end in one of these ways; again where a hypervisor disturbed what must be
    /// undisturbed.
    #[track_caller]
    fn ends(&self, host: u8, command: &str, ways: &[i32]) {
        const ATTEMPTS: usize = 30;
        for _ in 0..ATTEMPTS {
            let Ended { status, out, err } = self.run(host, command);
            let is_stolen = !ways.contains(&4)
                && out.lines().any(|line| line.starts_with("invalid: "))
                && out
                    .lines()
                    .filter(|line| line.starts_with("invalid: "))
                    .all(|line| line.contains("the hypervisor took CPU"));
            if !is_stolen {
                let code = status.code().unwrap();
                assert!(ways.contains(&code), "{command}: {status}\n{out}{err}");
                return;
            }
        }
        panic!("{command}: the hypervisor took a processor away in each of {ATTEMPTS} runs");
    }

    fn responds(&mut self, host: u8, command: &str) {
        let command = self.command(host, &format!("exec {command}"));
        let process = Process::spawn_ready("respond", command, PATIENCE).unwrap();
        self.responders.push(process);
    }

    /// As the page says.
    fn follow(&mut self, command: &str) {
        let words: Vec<&str> = command.split(' ').collect();
        let what =
            *words.iter().find(|it| !it.starts_with("bumpless") && **it != "latency").unwrap();
        match what {
            "respond" => self.responds(2, command),
            "heartbeat" => {
                self.ends(1, command, &[0]);
                // "Then measure the other way round".
                self.responds(1, "bumpless latency respond --lan-a eth1 --lan-b eth2");
                self.ends(2, &command.replace("host-a", "host-b"), &[0]);
                self.responders.pop().unwrap().stop().unwrap();
            }
            // What the plant bears is not kept by every machine.
            "derive" => self.ends(1, command, &[0, 1]),
            "cat" | "check" => self.ends(1, command, &[0]),
            "compare" => {
                for name in ["before.json", "after.json"] {
                    fs::copy(self.path("run.json"), self.path(name)).unwrap();
                }
                self.ends(1, command, &[0, 4]);
            }
            _ => self.ends(1, command, &[0, 1, 4]),
        }
    }
}

#[test]
fn docs_latency_md_is_followed() {
    if !can_run("docs_latency_md_is_followed") {
        return;
    }
    let text = page("docs/latency.md");
    let mut pair = Pair::new();
    let mut followed = 0;
    for command in commands(&text).into_iter().filter(|it| *it != OF_AN_APPLICATION) {
        pair.follow(command);
        followed += 1;
    }
    assert!(followed > 8, "{followed}");
    let configuration = fs::read_to_string(pair.path("prp0.toml")).unwrap();
    assert!(configuration.contains("\n[jitter]\n") && configuration.contains("name = \"b\""));
    assert!(fs::read_to_string(pair.path("run.xml")).unwrap().contains("the run is valid"));
    assert!(text.contains(OF_AN_APPLICATION), "it is nowhere any more");
}

#[test]
fn what_readme_and_the_manual_show_is_run() {
    if !can_run("what_readme_and_the_manual_show_is_run") {
        return;
    }
    let (readme, manual) = (page("README.md"), page("docs/man/bumpless-latency.1"));
    let mut pair = Pair::new();
    pair.responds(2, "bumpless latency respond --lan-a eth1 --lan-b eth2");
    let of_readme = commands(&readme).into_iter().filter(|it| it.contains("bumpless latency"));
    let of_manual = manual.lines().filter_map(|line| line.strip_prefix(".Dl "));
    let all: Vec<_> = of_readme.chain(of_manual).collect();
    assert_eq!(all.len(), 4, "{all:?}");
    for command in all {
        pair.follow(command);
    }
    for file in ["day.json", "day.xml", "jitter.toml"] {
        assert!(pair.path(file).is_file(), "{file}");
    }
}

/// The long options of a text.
fn options<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = String> + 'a {
    text.split(before).skip(1).filter_map(|rest| {
        let name = rest.split(|it: char| it != '-' && !it.is_ascii_alphanumeric()).next()?;
        Some(name.to_owned()).filter(|name| name.starts_with(|it: char| it.is_ascii_lowercase()))
    })
}

#[test]
fn the_manual_has_each_option_and_none_besides() {
    let manual = page("docs/man/bumpless-latency.1");
    let items = manual.lines().filter(|line| line.starts_with(".It Fl "));
    let mut described: BTreeSet<String> = items.flat_map(|line| options(line, "Fl Fl ")).collect();
    described.remove("version");
    let mut known = BTreeSet::new();
    let subcommands =
        ["wakeup", "heartbeat", "shm", "wire", "all", "respond", "derive", "compare", "report"];
    for subcommand in subcommands {
        let said = Command::new(PROGRAM).args([subcommand, "--help"]).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        // An option stands at the beginning of its line, behind its letter.
        let heads = said.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
        known.extend(heads.filter_map(|line| options(line, "--").next()));
        assert!(manual.contains(subcommand), "{subcommand}");
    }
    assert_eq!(described, known);
}
