//! Nodes on two LANs, each with our daemon or with the kernel's driver, all hosts of one machine.
//!
//! ```text
//!   n1              switch of the cable n1a            switch a
//!   ┌────────┐      ┌───────────────────────┐      ┌──────────────┐
//!   │ prp1   │      │                       │      │  n2a, n3a …  │
//!   │  lan_a ┼──────┼ socket0 ~~~~~ n1a.out ┼──────┼ n1a.in       │    ~~~~ netem, each way
//!   │  lan_b ┼──    └───────────────────────┘      └──────────────┘
//!   └────────┘
//! ```
//!
//! Faults sit in the cables, not in the hosts' own queues: our daemon's frames pass those by.
//!
//! The host interface of node n is called `prp<n>`, for the kernel's driver keeps one table per
//! name in debugfs, whatever network namespace it is in.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::Command;

use prp::os::link::Links;
use prp::os::netns::{NetNs, command_in};
use prp::types::MacAddress;
use tools::netlab::{Ended, Host, HostPlan, Net, Plan, PortPlan, Process, Programs, SWITCH_MTU};
use tools::report::{Event, Node, Status};

use crate::basics::{PATIENCE, wait_until};

/// MTU of a LAN interface that takes what a node with an MTU of 1500 sends, RCT included.
const LAN_MTU: u32 = 1_506;

/// How long ours remember a number. An emulated processor that the machine beneath it does not run
/// stands still for longer than the usual 400 ms, with one copy of a frame in its queue while the
/// other processor has delivered the other copy. What is later than the memory may come twice.
const MEMORY_MS: u32 = 5_000;

/// What makes a host a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Driver {
    /// `bumplessd`, without leave to run without real-time scheduling.
    Ours,
    /// The kernel's, with one address on both LAN interfaces, as it should be.
    Kernel,
    /// The kernel's, each LAN interface with an address of its own: what one gets who does not know
    /// better.
    KernelWithTwoAddresses,
}

impl Driver {
    pub(crate) const fn is_ours(self) -> bool {
        matches!(self, Self::Ours)
    }

    pub(crate) const fn word(self) -> &'static str {
        if self.is_ours() { "ours" } else { "kernel" }
    }
}

/// The network. Nodes are numbered from 1.
pub(crate) struct Network {
    // Dropped in this order: daemons before the network they run in.
    daemons: Vec<(u8, Process)>,
    drivers: Vec<Driver>,
    pub(crate) net: Net,
    programs: Programs,
}

/// A row of the kernel's node table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct KernelRow {
    /// The node's address on LAN A.
    pub(crate) mac_a: String,
    /// Its address on LAN B, zero while it is not known.
    pub(crate) mac_b: String,
    /// Taken for a node singly attached to LAN A, to LAN B, and for a DANP.
    pub(crate) kinds: [bool; 3],
}

/// The address of node `n`, and of its interface on LAN A.
pub(crate) fn mac(n: u8) -> MacAddress {
    MacAddress([2, 0, 0, 0x50, 0xa, n])
}

/// The address of its own that the interface on LAN B has.
pub(crate) fn mac_b(n: u8) -> MacAddress {
    MacAddress([2, 0, 0, 0x50, 0xb, n])
}

pub(crate) fn ip(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 50, 0, n)
}

pub(crate) fn ip6(n: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd50, 0, 0, 0, 0, 0, 0, n.into())
}

/// Name of the host interface of node `n`.
pub(crate) fn interface(n: u8) -> String {
    format!("prp{n}")
}

impl Network {
    /// Starts the nodes and waits until each knows all others as doubly attached.
    pub(crate) fn running(drivers: &[Driver]) -> Self {
        let network = Self::started(drivers);
        for n in network.nodes() {
            wait_until("the nodes to know each other", || {
                let complaint = network.complaint_about_the_table_of(n);
                complaint.is_none().then_some(())
            });
        }
        network
    }

    /// The same without the waiting.
    pub(crate) fn started(drivers: &[Driver]) -> Self {
        let names = ["bumplessd", "bumpless", "bumpless-stream"];
        let programs = Programs::find(&names).unwrap();
        let mut plan = Plan::with_lans(["a", "b"]);
        for (&driver, n) in drivers.iter().zip(1..) {
            let port = |lan: &str, mac| {
                let cable = cable(n, lan);
                PortPlan { mtu: LAN_MTU, ..PortPlan::new(&format!("lan_{lan}"), &cable).mac(mac) }
            };
            let on_b = if driver == Driver::Kernel { mac(n) } else { mac_b(n) };
            let ports = vec![port("a", mac(n)), port("b", on_b)];
            plan.lans.extend(["a", "b"].map(|lan| cable(n, lan)));
            plan.hosts.push(HostPlan { name: format!("n{n}"), ports });
        }
        let net = Net::build(&plan, &programs, 0).unwrap();
        let drivers = drivers.to_vec();
        let mut network = Self { daemons: Vec::new(), drivers, net, programs };
        for n in network.nodes() {
            network.lay_cables(n);
        }
        for n in network.nodes() {
            network.start(n);
            network.settle(n);
        }
        network
    }

    /// Joins the switches of node n's cables with the LANs' switches.
    fn lay_cables(&self, n: u8) {
        let mut links = Links::open_in(self.fabric()).unwrap();
        for lan in ["a", "b"] {
            let cable = cable(n, lan);
            let [out, into] = [format!("{cable}.out"), format!("{cable}.in")];
            links.create_veth(&out, &into, None).unwrap();
            for (end, switch) in [(&out, cable.as_str()), (&into, lan)] {
                let switch = links.by_name(switch).unwrap().index;
                let index = links.by_name(end).unwrap().index;
                links.set_mtu(index, SWITCH_MTU).unwrap();
                links.set_controller(index, switch).unwrap();
                links.set_up(index, true).unwrap();
            }
        }
    }

    fn start(&mut self, n: u8) {
        let name = interface(n);
        if self.driver(n).is_ours() {
            let lans = "lan_a = \"lan_a\"\nlan_b = \"lan_b\"";
            let memory = format!("entry_forget_time_ms = {MEMORY_MS}");
            let config = format!("name = \"{name}\"\nprotocol = \"prp\"\n{lans}\n{memory}\n");
            let file = self.net.folder().join(format!("n{n}.toml"));
            fs::write(&file, config).unwrap();
            let mut command = self.command(n, "bumplessd");
            command.arg("--config").arg(file).arg("--runtime-dir").arg(self.runtime_dir(n));
            command.env("BUMPLESS_ALLOCATION_TRAP", "abort");
            let daemon = Process::spawn_ready(format!("bumplessd of n{n}"), command, PATIENCE);
            self.daemons.push((n, daemon.unwrap()));
        } else {
            let driver = "type hsr slave1 lan_a slave2 lan_b supervision 0 proto 1";
            self.ip_command(n, &format!("link add name {name} {driver}"));
            self.ip_command(n, &format!("link set dev {name} up"));
        }
    }

    /// Gives node `n` its addresses and tells it those of the others, so that nobody has to ask.
    fn settle(&self, n: u8) {
        let (host, name) = (self.host(n), interface(n));
        let off = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
        host.run(|| fs::write(off, "0")).unwrap().unwrap();
        host.add_address(&name, ip(n).into(), 24).unwrap();
        host.add_address(&name, ip6(n).into(), 64).unwrap();
        for other in self.others(n) {
            for ip in [IpAddr::V4(ip(other)), IpAddr::V6(ip6(other))] {
                host.add_neighbour(&name, ip, mac(other)).unwrap();
            }
        }
    }

    pub(crate) fn nodes(&self) -> Vec<u8> {
        (1..).take(self.drivers.len()).collect()
    }

    /// All nodes but `n`.
    pub(crate) fn others(&self, n: u8) -> Vec<u8> {
        self.nodes().into_iter().filter(|&other| other != n).collect()
    }

    pub(crate) fn driver(&self, n: u8) -> Driver {
        self.drivers[usize::from(n) - 1]
    }

    pub(crate) fn host(&self, n: u8) -> &Host {
        self.net.host(&format!("n{n}")).unwrap()
    }

    pub(crate) fn runtime_dir(&self, n: u8) -> PathBuf {
        self.net.folder().join(format!("n{n}"))
    }

    /// The namespace of all switches.
    pub(crate) fn fabric(&self) -> &NetNs {
        self.net.switch_end("n1", "lan_a").unwrap().0
    }

    /// The interfaces in the fabric that frames leave by which go from node `n` to the LAN, and
    /// from the LAN to node `n`.
    pub(crate) fn cable_ends(&self, n: u8, lan: &str) -> [String; 2] {
        let (_, socket) = self.net.switch_end(&format!("n{n}"), &format!("lan_{lan}")).unwrap();
        [format!("{}.out", cable(n, lan)), socket.to_owned()]
    }

    /// Plugs node n's cables into the other LAN each, or back.
    pub(crate) fn swap_lans(&self, n: u8, swapped: bool) {
        for (lan, other) in [("a", "b"), ("b", "a")] {
            let lan_or_other = if swapped { other } else { lan };
            let plugged = self.net.plug_into(
                &format!("n{n}"),
                &format!("lan_{lan}"),
                &cable(n, lan_or_other),
            );
            plugged.unwrap();
        }
    }

    fn command(&self, n: u8, program: &str) -> Command {
        self.host(n).command(self.programs.path(program).unwrap()).unwrap()
    }

    fn ip_command(&self, n: u8, arguments: &str) {
        let mut command = self.host(n).command("ip").unwrap();
        command.args(arguments.split_whitespace());
        finished(format!("n{n}: ip {arguments}"), command);
    }

    /// Starts a stream program on node `n`.
    pub(crate) fn stream(&self, n: u8, arguments: &str) -> Process {
        let mut command = self.command(n, "bumpless-stream");
        command.args(arguments.split_whitespace());
        Process::spawn(format!("n{n}: {arguments}"), command).unwrap()
    }

    /// What the operator's command prints for our node `n`.
    pub(crate) fn bumpless(&self, n: u8, arguments: &str) -> String {
        let mut command = self.command(n, "bumpless");
        command.args(arguments.split_whitespace()).arg("--runtime-dir").arg(self.runtime_dir(n));
        finished(format!("n{n}: bumpless {arguments}"), command).out
    }

    /// `bumpless nodes --json` of our node `n`.
    pub(crate) fn node_table(&self, n: u8) -> Vec<Node> {
        serde_json::from_str(&self.bumpless(n, "nodes --json")).unwrap()
    }

    /// `bumpless status --json` of our node `n`.
    pub(crate) fn status(&self, n: u8) -> Status {
        serde_json::from_str(&self.bumpless(n, "status --json")).unwrap()
    }

    /// The kernel's table of its node `n`. debugfs is that of this process: `ip netns exec` would
    /// show a `/sys` without it.
    pub(crate) fn kernel_table(&self, n: u8) -> Vec<KernelRow> {
        let path = format!("/sys/kernel/debug/hsr/{}/node_table", interface(n));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        text.lines().skip(2).filter_map(KernelRow::parse).collect()
    }

    /// Why the table of node `n` does not show every other node as a DANP heard on both LANs, and
    /// nobody else.
    pub(crate) fn complaint_about_the_table_of(&self, n: u8) -> Option<String> {
        let mut expected: Vec<_> = self.others(n).into_iter().map(|n| mac(n).to_string()).collect();
        expected.sort();
        let mut found: Vec<String> = if self.driver(n).is_ours() {
            let table = self.node_table(n);
            let heard = |node: &&Node| {
                let on_both = node.last_seen_a_ns.is_some() && node.last_seen_b_ns.is_some();
                on_both && node.supervised && node.kind == "danp"
            };
            if table.iter().filter(heard).count() != table.len() {
                return Some(format!("n{n}: {table:?}"));
            }
            table.into_iter().map(|node| node.mac).collect()
        } else {
            let table = self.kernel_table(n);
            if !table.iter().all(|row| row.kinds == [false, false, true]) {
                return Some(format!("n{n}: {table:?}"));
            }
            table.into_iter().map(|row| row.mac_a).collect()
        };
        found.sort();
        (found != expected).then(|| format!("n{n}: knows {found:?}, not {expected:?}"))
    }

    /// What is needed to understand a failure.
    pub(crate) fn describe(&self) -> String {
        let mut text = String::new();
        for n in self.nodes() {
            let _ = writeln!(text, "== n{n}, {}", self.driver(n).word());
            if self.driver(n).is_ours() {
                for arguments in ["status", "nodes", "counters", "events"] {
                    let _ = writeln!(text, "-- {arguments}\n{}", self.bumpless(n, arguments));
                }
            } else {
                let _ = writeln!(text, "{:#?}", self.kernel_table(n));
            }
        }
        for (n, daemon) in &self.daemons {
            let _ = writeln!(text, "== log of n{n}\n{}", daemon.err());
        }
        text + &self.drops()
    }

    /// What the kernel dropped on the way, faults aside: on interfaces, and on queues that no
    /// interface owns.
    pub(crate) fn drops(&self) -> String {
        let mut text = String::new();
        let mut namespaces: Vec<_> =
            self.nodes().into_iter().map(|n| (format!("n{n}"), self.host(n).namespace())).collect();
        namespaces.push(("switches".to_owned(), self.fabric()));
        for (name, namespace) in namespaces {
            let table = namespace.run(|| fs::read_to_string("/proc/thread-self/net/dev"));
            for line in table.unwrap().unwrap().lines().skip(2) {
                let mut columns = line.split_whitespace();
                let interface = columns.next().unwrap_or_default();
                let figures: Vec<u64> = columns.filter_map(|column| column.parse().ok()).collect();
                let dropped = |at| figures.get(at).copied().unwrap_or(0);
                // A switch's own interface drops what its host has no use for: all groups.
                let is_switch = name == "switches" && interface.len() <= "n1a:".len();
                if !is_switch && dropped(3) + dropped(11) > 0 {
                    let (rx, tx) = (dropped(3), dropped(11));
                    let _ = writeln!(text, "{name} {interface} dropped: rx {rx}, tx {tx}");
                }
            }
        }
        let _ = writeln!(text, "dropped from the processors' queues: {}", queue_drops());
        text
    }

    /// What our node `n` reported.
    pub(crate) fn events(&self, n: u8) -> Vec<Event> {
        #[derive(serde::Deserialize)]
        struct Events {
            events: Vec<Event>,
        }
        let events: Events = serde_json::from_str(&self.bumpless(n, "events --json")).unwrap();
        events.events
    }
}

impl KernelRow {
    /// `mac_a mac_b time, time, port, san_a, san_b, danp`
    fn parse(line: &str) -> Option<Self> {
        let mut columns = line.split([' ', ',']).filter(|column| !column.is_empty());
        let (mac_a, mac_b) = (columns.next()?.to_owned(), columns.next()?.to_owned());
        let mut kinds = columns.skip(3).map(|column| column == "1");
        Some(Self { mac_a, mac_b, kinds: [kinds.next()?, kinds.next()?, kinds.next()?] })
    }
}

/// Name of the switch that is node n's cable to a LAN.
fn cable(n: u8, lan: &str) -> String {
    format!("n{n}{lan}")
}

/// Frames that did not fit the queues between interfaces, since the machine started.
fn queue_drops() -> u64 {
    let table = fs::read_to_string("/proc/net/softnet_stat").unwrap();
    let dropped = |line: &str| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok();
    table.lines().filter_map(dropped).sum()
}

/// A program that has to succeed.
pub(crate) fn finished(name: String, command: Command) -> Ended {
    let ended = Process::spawn(&name, command).unwrap().finish(PATIENCE).unwrap();
    assert!(ended.status.success(), "{name}: {ended:?}");
    ended
}

/// A command that runs where the switches are.
pub(crate) fn command_at(namespace: &NetNs, program: &str) -> Command {
    let mut command = Command::new(program);
    command_in(namespace, &mut command).unwrap();
    command
}
