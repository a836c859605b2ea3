//! What a ping costs over two `bumplessd`, beside the kernel's own PRP driver, in instructions.
//!
//! ```text
//!   n1 ──── lan_a ──── n2       two nodes, both LANs as plain veth pairs, one processor on which
//!      ──── lan_b ────          an instruction is a tick: no noise, and no time either
//! ```
//!
//! The whole round trip is counted: both nodes, both stacks, `ping`. The aim of at most twice the
//! kernel's driver is **missed**; the table says where the instructions go. Most are the kernel's,
//! for waking and switching threads, and for a packet socket's way through it, which a driver in
//! the kernel does not go. The bounds below are those of what was reached, so that it is kept.
#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

#[path = "support/basics.rs"]
mod basics;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use basics::PATIENCE;
use latency_tests::lab::{self, Inside, Machine};
use latency_tests::tracefs::cost::{self, Part};
use latency_tests::tracefs::{Clock, Tracer};
use prp::os::link::Links;
use prp::os::netns::{NetNs, command_in};
use tools::control::client::ask;
use tools::control::protocol::Request;
use tools::netlab::{Process, Programs, Scratch};
use tools::report::Document;

const LANS: [&str; 2] = ["lan_a", "lan_b"];
const PINGS: u32 = 200;
/// Room in the LANs for a frame of 1,500 octets and its trailer.
const LAN_MTU: u32 = 1_506;

/// Two nodes.
struct Pair {
    nodes: [NetNs; 2],
    daemons: Vec<Process>,
    folders: Vec<PathBuf>,
}

impl Pair {
    fn new() -> Self {
        let nodes = [(); 2].map(|()| NetNs::create_with_loopback().unwrap());
        for node in &nodes {
            for which in ["all", "default"] {
                let quiet = format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6");
                node.run(|| fs::write(quiet, "1").unwrap()).unwrap();
            }
        }
        let mut links = Links::open_in(&nodes[0]).unwrap();
        for lan in LANS {
            links.create_veth(lan, lan, Some(nodes[1].as_fd())).unwrap();
        }
        let pair = Self { nodes, daemons: Vec::new(), folders: Vec::new() };
        for n in 0..2 {
            for lan in LANS {
                pair.ip(n, &format!("link set dev {lan} mtu {LAN_MTU} up"));
            }
        }
        pair
    }

    fn ip(&self, n: usize, arguments: &str) {
        let mut command = Command::new("ip");
        command.args(arguments.split_whitespace());
        let ran = command_in(&self.nodes[n], &mut command).unwrap().output().unwrap();
        assert!(ran.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    /// Gives the nodes addresses on their interfaces of this name.
    fn addresses(self, interface: &str) -> Self {
        for n in 0..2 {
            self.ip(n, &format!("address add 10.60.0.{}/24 dev {interface}", n + 1));
        }
        self
    }

    /// The kernel's driver on node `n`.
    fn kernel(&self, n: usize) {
        let address = format!("02:00:00:00:60:0{}", n + 1);
        for lan in LANS {
            self.ip(n, &format!("link set dev {lan} address {address}"));
        }
        self.ip(n, "link add name prp0 type hsr slave1 lan_a slave2 lan_b supervision 0 proto 1");
        self.ip(n, "link set dev prp0 up");
    }

    /// Ours on node `n`.
    fn daemon(&mut self, n: usize, scratch: &Scratch, host_port: &str) {
        let folder = scratch.path().join(format!("{host_port}{}{n}", self.daemons.len()));
        let file = folder.with_extension("toml");
        let text = format!(
            "name = \"prp0\"\nprotocol = \"prp\"\nlan_a = \"lan_a\"\nlan_b = \"lan_b\"\n\
             host_port = \"{host_port}\"\nreceive_mode = \"block\"\n"
        );
        fs::write(&file, text).unwrap();
        let programs = Programs::find(&["bumplessd"]).unwrap();
        let mut command = Command::new(programs.path("bumplessd").unwrap());
        command.arg("--config").arg(&file).arg("--runtime-dir").arg(&folder);
        command_in(&self.nodes[n], &mut command).unwrap();
        let daemon = Process::spawn_ready(format!("n{}", n + 1), command, PATIENCE).unwrap();
        self.daemons.push(daemon);
        self.folders.push(folder);
    }

    /// Pings node 2 from node 1; the mean round trip in thousands of instructions.
    fn ping(&self) -> f64 {
        let mut command = Command::new("ping");
        command.args(["-q", "-i", "0.02", "-c", &PINGS.to_string(), "10.60.0.2"]);
        let ran = command_in(&self.nodes[0], &mut command).unwrap().output().unwrap();
        let text = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(text.contains(" 0% packet loss"), "{text}");
        let mean = text.lines().find_map(|line| {
            let figures = line.strip_prefix("rtt min/avg/max/mdev = ")?;
            figures.split('/').nth(1)?.parse::<f64>().ok()
        });
        // Milliseconds, in which a million instructions fit.
        mean.unwrap_or_else(|| panic!("{text}")) * 1_000.0
    }

    /// The threads that carry the frames.
    fn lre_threads(&self) -> Vec<u32> {
        let thread = |folder: &PathBuf| match ask(folder, &Request::Status).unwrap() {
            Document::Status(status) => {
                let lre = status.threads.iter().find(|thread| thread.name == "lre").unwrap();
                assert_eq!((lre.policy.as_str(), lre.priority), ("SCHED_FIFO", 60));
                lre.tid
            }
            other => panic!("{other:?}"),
        };
        self.folders.iter().map(thread).collect()
    }
}

/// The mean of a ping after some that fill caches and tables; it must repeat.
fn measure(pair: &Pair) -> f64 {
    let _ = pair.ping();
    let (first, second) = (pair.ping(), pair.ping());
    // The timer's tick falls into another ping each time.
    assert!((first / second - 1.0).abs() < 0.05, "{first} and {second} thousand instructions");
    first
}

/// What the system calls of the daemons are for.
fn purpose(part: Part) -> &'static str {
    match part {
        Part::Own => "own code: LRE, figures, rings",
        Part::Call(0) => "read: from the host interface",
        Part::Call(1) => "write: to the host interface, with what its stack does then",
        Part::Call(44) => "sendto: to a LAN, with what the far end does in the sender's time",
        Part::Call(271) => "ppoll: to sleep and to be woken",
        Part::Call(_) => "other calls",
    }
}

/// Where the instructions of a round trip go.
fn profile(pair: &Pair, untraced: f64) -> String {
    let tids = pair.lre_threads();
    let is_ours = |key: &str| {
        tids.iter().map(|tid| format!("{key} == {tid}")).collect::<Vec<_>>().join(" || ")
    };
    let tracer = Tracer::create(Clock::Counter).unwrap();
    for event in ["raw_syscalls/sys_enter", "raw_syscalls/sys_exit"] {
        tracer.record(event, &is_ours("common_pid")).unwrap();
    }
    let switches = format!("{} || {}", is_ours("prev_pid"), is_ours("next_pid"));
    tracer.record("sched/sched_switch", &switches).unwrap();
    let _ = pair.ping();
    tracer.start().unwrap();
    let traced = pair.ping();
    let record = tracer.stop().unwrap();
    assert_eq!(record.lost, 0, "events");
    let costs = cost::costs(&record.text, &tids);
    let events: u64 = costs.values().map(|cost| cost.events).sum();
    let per_ping = |count: u64| count as f64 / f64::from(PINGS);
    // Between two pings the daemons do something too: the extra of a round trip is spread over more
    // events than it has, so what is taken off is too little rather than too much.
    let event_cost = (traced - untraced) * 1_000.0 / per_ping(events);
    let mut by_purpose = BTreeMap::<&str, (u64, f64)>::new();
    for (part, cost) in &costs {
        let entry = by_purpose.entry(purpose(*part)).or_default();
        entry.0 += cost.entries;
        entry.1 += (cost.ticks as f64 - cost.events as f64 * event_cost).max(0.0) / 1_000.0;
    }
    let mut rows: Vec<_> = by_purpose.into_iter().collect();
    rows.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
    let mut text = String::new();
    for (purpose, (entries, thousands)) in rows {
        let (entries, thousands) = (per_ping(entries), thousands / f64::from(PINGS));
        let _ = writeln!(text, "{thousands:8.1}  {entries:5.1}  {purpose}");
    }
    let _ =
        writeln!(text, "(an event of the record costs {event_cost:.0} instructions, taken off)");
    text
}

#[test]
fn a_ping_over_two_daemons_costs_what_it_did() {
    let test = "a_ping_over_two_daemons_costs_what_it_did";
    let machine = Machine { counts_instructions: true, ..Machine::default() };
    let Some(inside) = lab::enter(test, &machine) else { return };
    compare(&inside);
}

/// Has a program read from the host's disk. While the machine waits for the host it has nothing to
/// do, so its clock leaps from timer to timer, and every patience would be at its end.
fn read_from_disk(program: &Path) {
    let ran = Command::new(program).arg("-V").output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
}

fn compare(inside: &Inside) {
    let programs = Programs::find(&["bumplessd"]).unwrap();
    for program in [programs.path("bumplessd").unwrap(), Path::new("ping"), Path::new("ip")] {
        read_from_disk(program);
    }
    let scratch = Scratch::new().unwrap();
    let plain = measure(&Pair::new().addresses("lan_a"));
    let kernel = {
        let pair = Pair::new();
        pair.kernel(0);
        pair.kernel(1);
        measure(&pair.addresses("prp0"))
    };
    let mixed = {
        let mut pair = Pair::new();
        pair.daemon(0, &scratch, "tap");
        pair.kernel(1);
        measure(&pair.addresses("prp0"))
    };
    let [(tap, tap_profile), (veth, _)] = ["tap", "veth"].map(|host_port| {
        let mut pair = Pair::new();
        pair.daemon(0, &scratch, host_port);
        pair.daemon(1, &scratch, host_port);
        let pair = pair.addresses("prp0");
        let cost = measure(&pair);
        (cost, profile(&pair, cost))
    });
    let mut text = format!(
        "round trip of a ping of 56 octets, thousands of instructions, one processor\n\
         (Linux {})\n\n",
        inside.kernel_release().unwrap()
    );
    for (what, cost) in [
        ("veth, no redundancy", plain),
        ("kernel's PRP driver at both ends", kernel),
        ("bumplessd (block, TAP), kernel's driver at the far end", mixed),
        ("bumplessd (block, TAP) at both ends", tap),
        ("bumplessd (block, veth) at both ends", veth),
    ] {
        let _ = writeln!(text, "{cost:8.1}  {:5.2}  {what}", cost / kernel);
    }
    let _ = write!(
        text,
        "\nOf that, the two lre threads (TAP), per round trip with the supervision and the idle \
         turns\nbetween two pings: thousands of instructions, how often, what\n\n{tap_profile}"
    );
    println!("{text}");
    fs::write(inside.results().join("instructions.txt"), &text).unwrap();
    // Counted instructions of one kernel package: what they rise by is ours, or the package's.
    assert!(plain < kernel && kernel < tap, "{text}");
    assert!(tap <= 4.0 * kernel && veth <= 4.2 * kernel && mixed <= 2.9 * kernel, "{text}");
}
