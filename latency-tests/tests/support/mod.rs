//! What tests of the running daemon share: nodes on two LANs, their daemons, numbered traffic.
//!
//! ```text
//!   n1 ~~~~ lan a, lan b ──── n2, n3 …        ~~~~ faults that a test switches on
//!   prp0 10.50.0.1             prp0 10.50.0.2, .3 …
//! ```

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "shared by test files that use different parts")]

mod basics;
pub(crate) mod snapshot;
pub(crate) mod traffic;

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use prp::types::MacAddress;
use rt_core::limits::NODE_REBOOT_INTERVAL;
use serde::de::DeserializeOwned;
use tools::control::client::ask;
use tools::control::protocol::Request;
use tools::netlab::{Ended, Host, Net, Plan, PortPlan, Process, Programs};
use tools::report::{Document, Event, Node, Status};

#[allow(unused_imports, reason = "shared by test files that use different parts")]
pub(crate) use basics::{PATIENCE, can_run, soak, wait_until, wait_within};

/// The programs that tests start.
pub(crate) fn programs() -> Programs {
    Programs::find(&["bumplessd", "bumpless", "bumpless-impair", "bumpless-stream"]).unwrap()
}

/// Nodes with their daemons.
pub(crate) struct Cluster {
    // Dropped in this order: daemons before the network they run in.
    daemons: Vec<Daemon>,
    pub(crate) net: Net,
    pub(crate) programs: Programs,
}

/// The address of node `n` (from 1) on its host interface.
pub(crate) fn ip(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 50, 0, n)
}

/// The address of the network card of node `n` on LAN A, and so of the node.
pub(crate) fn mac(n: u8) -> MacAddress {
    MacAddress([2, 0, 0, 0x50, 0xa, n])
}

/// The address that the network card of node `n` on LAN B has of its own.
pub(crate) fn mac_b(n: u8) -> MacAddress {
    MacAddress([2, 0, 0, 0x50, 0xb, n])
}

impl Cluster {
    /// `nodes` hosts whose cards are up, n1's with faults in the cables; no daemon yet.
    pub(crate) fn hosts(nodes: u8, seed: u64) -> Self {
        Self::build(nodes, seed, true)
    }

    /// The same with nothing in the cables.
    pub(crate) fn plain_hosts(nodes: u8) -> Self {
        Self::build(nodes, 0, false)
    }

    fn build(nodes: u8, seed: u64, impaired: bool) -> Self {
        let mut plan = Plan::with_lans(["a", "b"]);
        for n in 1..=nodes {
            let mut ports = [("lan_a", "a", mac(n)), ("lan_b", "b", mac_b(n))]
                .map(|(name, lan, mac)| PortPlan::new(name, lan).mac(mac));
            if n == 1 && impaired {
                ports = ports.map(PortPlan::impaired);
            }
            plan = plan.host(&format!("n{n}"), ports);
        }
        let programs = programs();
        let net = Net::build(&plan, &programs, seed).unwrap();
        Self { daemons: Vec::new(), net, programs }
    }

    /// The same with a daemon on every host, which know each other. `config` are lines of the
    /// configuration file.
    pub(crate) fn running(nodes: u8, seed: u64, config: &str) -> Self {
        let mut cluster = Self::hosts(nodes, seed);
        for n in 1..=nodes {
            cluster.start_daemon(n, config);
        }
        for n in 1..=nodes {
            cluster.settle(n, nodes);
        }
        cluster.wait_for_voices();
        cluster
    }

    /// Waits until the silence is over that a node keeps which has no number to continue from.
    pub(crate) fn wait_for_voices(&self) {
        let silence = NODE_REBOOT_INTERVAL.as_nanos();
        for daemon in &self.daemons {
            let uptime_ns = daemon.status().uptime_ns;
            sleep(Duration::from_nanos((silence + silence / 5).saturating_sub(uptime_ns)));
        }
    }

    pub(crate) fn host(&self, n: u8) -> &Host {
        self.net.host(&format!("n{n}")).unwrap()
    }

    /// Starts the daemon of node `n`.
    pub(crate) fn start_daemon(&mut self, n: u8, config: &str) {
        let daemon = self.daemon(n, config);
        self.daemons.retain(|daemon| daemon.node != n);
        self.daemons.push(daemon);
    }

    /// A daemon of node `n` that the caller keeps.
    pub(crate) fn daemon(&self, n: u8, config: &str) -> Daemon {
        let folder = self.runtime_dir(n);
        let file = self.net.folder().join(format!("n{n}.toml"));
        let base = "name = \"prp0\"\nprotocol = \"prp\"\nlan_a = \"lan_a\"\nlan_b = \"lan_b\"\n";
        fs::write(&file, format!("{base}{config}\n")).unwrap();
        let mut command = self.host(n).command(self.programs.path("bumplessd").unwrap()).unwrap();
        command.arg("--config").arg(file).arg("--runtime-dir").arg(&folder);
        command.arg("--allow-non-rt").env("BUMPLESS_ALLOCATION_TRAP", "abort");
        let process = Process::spawn_ready(format!("bumplessd of n{n}"), command, PATIENCE);
        Daemon { process: process.unwrap(), folder, node: n }
    }

    pub(crate) fn runtime_dir(&self, n: u8) -> PathBuf {
        self.net.folder().join(format!("n{n}"))
    }

    /// The daemon of node `n`, started by [`Self::start_daemon`].
    pub(crate) fn node(&self, n: u8) -> &Daemon {
        self.daemons.iter().find(|daemon| daemon.node == n).unwrap()
    }

    /// Takes the daemon of node `n` out, to end it in some way.
    pub(crate) fn take_daemon(&mut self, n: u8) -> Daemon {
        let at = self.daemons.iter().position(|daemon| daemon.node == n).unwrap();
        self.daemons.swap_remove(at)
    }

    /// Gives node `n` its address and tells it those of the others, so that nobody has to ask.
    pub(crate) fn settle(&self, n: u8, nodes: u8) {
        let host = self.host(n);
        host.add_address("prp0", ip(n).into(), 24).unwrap();
        for other in (1..=nodes).filter(|&other| other != n) {
            host.add_neighbour("prp0", IpAddr::V4(ip(other)), mac(other)).unwrap();
        }
    }

    /// A stream program on node `n`; waits until it is ready when it announces that.
    pub(crate) fn stream(&self, n: u8, arguments: &str) -> Process {
        let mut command =
            self.host(n).command(self.programs.path("bumpless-stream").unwrap()).unwrap();
        command.args(arguments.split_whitespace());
        let name = format!("n{n}: {arguments}");
        let started = if arguments.contains("--announce") {
            Process::spawn_ready(name, command, PATIENCE)
        } else {
            Process::spawn(name, command)
        };
        started.unwrap()
    }

    /// The operator's command for node `n`.
    pub(crate) fn bumpless(&self, n: u8, arguments: &str) -> Ended {
        let mut command = self.host(n).command(self.programs.path("bumpless").unwrap()).unwrap();
        command.args(arguments.split_whitespace()).arg("--runtime-dir").arg(self.runtime_dir(n));
        let process = Process::spawn(format!("n{n}: bumpless {arguments}"), command).unwrap();
        process.finish(PATIENCE).unwrap()
    }

    /// What is needed to understand a failure: every daemon and every cable.
    pub(crate) fn describe(&self) -> String {
        let mut text = String::new();
        for daemon in &self.daemons {
            let n = daemon.node;
            let _ = writeln!(text, "== n{n}");
            for arguments in ["status", "nodes", "counters", "events"] {
                let ended = self.bumpless(n, arguments);
                let _ = writeln!(text, "-- {arguments}\n{}{}", ended.out, ended.err);
            }
            let _ = writeln!(text, "-- its log\n{}", daemon.process.err());
        }
        for (host, interface, impairment) in self.net.impairments() {
            let counters = impairment.counters();
            let _ = writeln!(text, "== cable {host}.{interface}: {counters:?}");
        }
        text
    }
}

/// A running daemon.
pub(crate) struct Daemon {
    pub(crate) process: Process,
    pub(crate) folder: PathBuf,
    pub(crate) node: u8,
}

impl Daemon {
    pub(crate) fn status(&self) -> Status {
        status(&self.folder)
    }

    pub(crate) fn nodes(&self) -> Vec<Node> {
        match ask(&self.folder, &Request::Nodes).unwrap() {
            Document::Nodes(nodes) => nodes,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        match ask(&self.folder, &Request::Events { follow: false }).unwrap() {
            Document::Events(events) => events.events,
            other => panic!("{other:?}"),
        }
    }

    /// One of the MIB's counters.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.status().counters.get(name)
    }

    /// How often an event of that kind was reported.
    pub(crate) fn event_count(&self, kind: &str) -> usize {
        self.events().iter().filter(|event| event.kind == kind).count()
    }
}

pub(crate) fn status(folder: &Path) -> Status {
    match ask(folder, &Request::Status).unwrap() {
        Document::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

/// Waits for the end of a program and reads the last line of its stdout.
pub(crate) fn report<T: DeserializeOwned>(process: Process) -> T {
    let name = process.name().to_owned();
    let ended = process.finish(PATIENCE).unwrap();
    last_line(&name, &ended)
}

/// Ends a program and reads the last line of its stdout.
pub(crate) fn stop_and_report<T: DeserializeOwned>(process: Process) -> T {
    let name = process.name().to_owned();
    let ended = process.stop().unwrap();
    last_line(&name, &ended)
}

fn last_line<T: DeserializeOwned>(name: &str, ended: &Ended) -> T {
    let last = ended.out.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{name}: {error} in {ended:?}"))
}
