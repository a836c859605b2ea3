//! What somebody does to the interfaces of a host, and that all is well again afterwards.
#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use prp::os::ethtool::{Ethtool, Offload};
use prp::os::ingress::IngressDrop;
use prp::os::link::{BridgeOptions, Links};
use prp::os::netns::{NetNs, command_in};
use prp::types::{LanId, MacAddress};
use tools::netlab::Host;
use tools::report::{Link, PortCounters};

use crate::support::{Cluster, mac, mac_b, wait_until};

/// Frames on a LAN, each way, after which it carries again: more than are ever on their way.
const CARRIES_FRAMES: u64 = 30;

/// What somebody does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Act {
    /// Takes the card out, and puts it in again a little later.
    Replug,
    /// The same at once.
    ReplugAtOnce,
    /// Renames the interface, and back.
    Rename,
    /// Renames the interface and gives its name to another one, for a while.
    Impostor,
    /// Gives each LAN's interface the name of the other's, and back.
    SwapNames,
    /// Moves it to another network namespace, and back.
    Move,
    /// Puts it into a bridge.
    Enslave,
    /// Sets it down, and up.
    SetDown,
    /// Lowers its MTU.
    Mtu,
    /// Gives it another address.
    Mac,
    /// Pulls and plugs the cable some times, fast.
    Flap,
    /// Has it receive frames for other stations and all groups, and no longer.
    Promiscuous,
    /// Has it merge what arrives.
    Merge,
    /// Opens its ingress.
    Open,
    /// Lets the host speak there.
    Speak,
    /// Makes and deletes a lot of other interfaces.
    Storm,
    /// Changes the host interface: its address, its MTU, its name.
    HostInterface,
    /// Stops the daemon for a moment.
    Stall,
}

impl Act {
    pub(crate) const ALL: [Self; 18] = [
        Self::Replug,
        Self::ReplugAtOnce,
        Self::Rename,
        Self::Impostor,
        Self::SwapNames,
        Self::Move,
        Self::Enslave,
        Self::SetDown,
        Self::Mtu,
        Self::Mac,
        Self::Flap,
        Self::Promiscuous,
        Self::Merge,
        Self::Open,
        Self::Speak,
        Self::Storm,
        Self::HostInterface,
        Self::Stall,
    ];

    /// The event that each one brings, with how many of them at least.
    const fn told(self) -> &'static [(&'static str, usize)] {
        match self {
            Self::Replug | Self::ReplugAtOnce | Self::Move => {
                &[("interface_gone", 1), ("interface_back", 1), ("link_up", 1)]
            }
            Self::Rename => &[("interface_renamed", 2)],
            Self::Impostor => &[("interface_renamed", 2), ("interface_name_taken", 1)],
            Self::SwapNames => &[("interface_renamed", 4)],
            Self::Enslave | Self::Mtu | Self::Mac | Self::Merge | Self::Open | Self::Speak => {
                &[("lan_mended", 1)]
            }
            Self::SetDown | Self::Flap => &[("link_down", 1), ("link_up", 1)],
            Self::HostInterface => &[("host_interface_mended", 2), ("host_interface_renamed", 2)],
            Self::Promiscuous | Self::Storm | Self::Stall => &[],
        }
    }
}

/// Does it, and knows what was done.
pub(crate) struct Plugger {
    random: u64,
    parking: NetNs,
    done: BTreeMap<Act, usize>,
    /// Per node: events told so far, by kind, and the last one's number.
    told: [(u64, BTreeMap<String, usize>); 2],
    expected: [BTreeMap<&'static str, usize>; 2],
    /// Per node and LAN: whether it was up when the daemon found it.
    was_up: [[bool; 2]; 2],
    has_ip: bool,
}

pub(crate) const LANS: [&str; 2] = ["lan_a", "lan_b"];

impl Plugger {
    pub(crate) fn new(cluster: &Cluster, seed: u64) -> Self {
        let was_up = [1, 2].map(|n| LANS.map(|lan| cluster.host(n).link(lan).unwrap().up));
        Self {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            parking: tools::netlab::quiet_namespace().unwrap(),
            done: BTreeMap::new(),
            told: [const { (0, BTreeMap::new()) }; 2],
            expected: [const { BTreeMap::new() }; 2],
            was_up,
            has_ip: false,
        }
    }

    /// Looks for the command that switches promiscuous reception.
    pub(crate) fn find_tools(&mut self, _cluster: &Cluster) {
        self.has_ip = Command::new("ip").arg("-V").output().is_ok();
    }

    fn below(&mut self, bound: u64) -> u64 {
        // xorshift64*
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    /// One random act.
    pub(crate) fn one(&mut self, cluster: &Cluster) {
        let act = Act::ALL[usize::try_from(self.below(Act::ALL.len() as u64)).unwrap()];
        let n = if self.below(4) == 0 { 2 } else { 1 };
        let lan = if self.below(2) == 0 { LanId::A } else { LanId::B };
        self.act(cluster, n, lan, act);
    }

    /// Does it and waits until the LAN carries again.
    pub(crate) fn act(&mut self, cluster: &Cluster, n: u8, lan: LanId, act: Act) {
        self.perform(cluster, n, lan, act);
        *self.done.entry(act).or_default() += 1;
        let expected = &mut self.expected[usize::from(n) - 1];
        for (kind, count) in act.told() {
            *expected.entry(kind).or_default() += count;
        }
        settle(cluster, n, lan, act);
        self.listen(cluster);
    }

    fn perform(&mut self, cluster: &Cluster, n: u8, lan: LanId, act: Act) {
        let (host, name) = (cluster.host(n), LANS[lan.index()]);
        let node = format!("n{n}");
        let (pause, few) = (Duration::from_millis(self.below(40)), 1 + self.below(12));
        match act {
            Act::Replug | Act::ReplugAtOnce => {
                cluster.net.remove_card(&node, name).unwrap();
                if act == Act::Replug {
                    sleep(pause);
                }
                cluster.net.insert_card(&node, name).unwrap();
                self.was_up[usize::from(n) - 1][lan.index()] = false;
            }
            Act::Rename => rename(cluster, n, lan),
            Act::Impostor => impostor(cluster, n, lan),
            Act::SwapNames => swap_names(cluster, n),
            Act::Move => {
                let mut links = host.links().unwrap();
                let index = links.by_name(name).unwrap().index;
                links.move_to_ns(index, &self.parking).unwrap();
                sleep(pause);
                let mut far = Links::open_in(&self.parking).unwrap();
                let there = far.by_name(name).unwrap().index;
                far.move_to_ns(there, host.namespace()).unwrap();
            }
            Act::Flap => {
                for _ in 0..few {
                    for up in [false, true] {
                        cluster.net.set_link(&node, name, up).unwrap();
                        sleep(pause / 20);
                    }
                }
            }
            Act::Promiscuous => {
                for word in ["on", "off"].iter().filter(|_| self.has_ip) {
                    ip(host, &format!("link set dev {name} promisc {word} allmulticast {word}"));
                }
            }
            Act::Storm => {
                let mut links = host.links().unwrap();
                for _ in 0..10 * few {
                    links.create_veth("storm", "storm2", None).unwrap();
                    let storm = links.by_name("storm").unwrap().index;
                    links.delete(storm).unwrap();
                }
            }
            Act::HostInterface => host_interface(cluster, n),
            Act::Stall => {
                let id = i32::try_from(cluster.node(n).process.id()).unwrap();
                kill(Pid::from_raw(id), Signal::SIGSTOP).unwrap();
                sleep(pause * 15);
                kill(Pid::from_raw(id), Signal::SIGCONT).unwrap();
            }
            Act::SetDown => set_down(cluster, n, lan),
            Act::Enslave => enslave(cluster, n, lan),
            Act::Mtu | Act::Mac | Act::Merge | Act::Open | Act::Speak => spoil(host, name, act),
        }
    }

    /// Takes down what the daemons have told since the last time.
    fn listen(&mut self, cluster: &Cluster) {
        for n in [1u8, 2] {
            let (last, told) = &mut self.told[usize::from(n) - 1];
            for event in cluster.node(n).events() {
                if event.sequence > *last {
                    *last = event.sequence;
                    *told.entry(event.kind).or_default() += 1;
                }
            }
        }
    }

    /// That each act was told.
    pub(crate) fn check_told(&mut self, cluster: &Cluster) {
        self.listen(cluster);
        for n in [1u8, 2] {
            let at = usize::from(n) - 1;
            let (told, expected) = (&self.told[at].1, &self.expected[at]);
            println!("HOTPLUG n{n} told {told:?}");
            for (kind, &count) in expected {
                let times = told.get(*kind).copied().unwrap_or(0);
                // Two acts that are one to the daemon's eye are told as one (names swapped).
                let is_enough = match *kind {
                    "interface_gone" | "interface_back" => times == count,
                    "interface_renamed" => times > 0 && times <= count + 4 * count,
                    _ => times >= count,
                };
                assert!(is_enough, "n{n}: {kind} {times} times, done {count}: {told:?}");
            }
            for never in ["carrier_lost", "interface_refused", "lan_not_mended", "merged_frames"] {
                assert_eq!(told.get(never), None, "n{n}: {told:?}");
            }
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.done.values().sum()
    }

    pub(crate) fn summary(&self) -> String {
        let mut text = String::new();
        for (act, count) in &self.done {
            let _ = write!(text, "{act:?} {count}, ");
        }
        text
    }

    /// What the daemon of node `n` has not given back as it was.
    pub(crate) fn not_as_found(&self, cluster: &Cluster, n: u8) -> Vec<String> {
        let host = cluster.host(n);
        let mut wrong = Vec::new();
        for (lan, own) in LanId::BOTH.into_iter().zip([mac(n), mac_b(n)]) {
            let info = host.link(LANS[lan.index()]).unwrap();
            let up = self.was_up[usize::from(n) - 1][lan.index()];
            let is_so = (info.mac, info.mtu, info.up, info.noarp) == (own, 1500, up, false);
            let (name, index) = (info.name.as_str(), info.index);
            let (drop, qdisc, gro) = host
                .run(|| {
                    let mut ingress = IngressDrop::open().unwrap();
                    let gro = Ethtool::open().unwrap().offload(name, Offload::Gro).unwrap();
                    let drop = ingress.find(index).unwrap();
                    (drop, ingress.has_clsact(index).unwrap(), gro)
                })
                .unwrap();
            if !is_so || drop.is_some() || qdisc || gro == Some(true) {
                wrong.push(format!("{info:?}, drop {drop:?}, qdisc {qdisc}, gro {gro:?}, up {up}"));
            }
        }
        if let Ok(info) = host.link("prp0") {
            wrong.push(format!("{info:?}"));
        }
        wrong
    }
}

/// Runs `ip` on a host.
fn ip(host: &Host, arguments: &str) {
    let mut command = Command::new("ip");
    command.args(arguments.split_whitespace());
    let output = command_in(host.namespace(), &mut command).unwrap().output().unwrap();
    assert!(output.status.success(), "{arguments}: {output:?}");
}

fn rename(cluster: &Cluster, n: u8, lan: LanId) {
    let name = LANS[lan.index()];
    let mut links = cluster.host(n).links().unwrap();
    let index = links.by_name(name).unwrap().index;
    for name in ["elsewhere", name] {
        links.rename(index, name).unwrap();
        shown(cluster, n, lan, name);
    }
}

fn set_down(cluster: &Cluster, n: u8, lan: LanId) {
    let mut links = cluster.host(n).links().unwrap();
    let index = links.by_name(LANS[lan.index()]).unwrap().index;
    links.set_up(index, false).unwrap();
    wait_until("the link to be seen down", || (link(cluster, n, lan) == Link::Down).then_some(()));
    links.set_up(index, true).unwrap();
}

fn enslave(cluster: &Cluster, n: u8, lan: LanId) {
    let mut links = cluster.host(n).links().unwrap();
    let index = links.by_name(LANS[lan.index()]).unwrap().index;
    links.create_bridge("br9", &BridgeOptions::default()).unwrap();
    let bridge = links.by_name("br9").unwrap().index;
    links.set_up(bridge, true).unwrap();
    links.set_controller(index, bridge).unwrap();
    wait_until("the interface to be freed", || {
        links.by_index(index).unwrap().controller.is_none().then_some(())
    });
    links.delete(bridge).unwrap();
}

/// Changes one thing that the daemon set.
fn spoil(host: &Host, name: &str, act: Act) {
    let mut links = host.links().unwrap();
    let index = links.by_name(name).unwrap().index;
    match act {
        Act::Mtu => links.set_mtu(index, 576).unwrap(),
        Act::Mac => links.set_mac(index, MacAddress([2, 9, 9, 9, 9, 9])).unwrap(),
        Act::Merge => {
            let merge = || Ethtool::open().unwrap().set_offload(name, Offload::Gro, true);
            host.run(merge).unwrap().unwrap();
        }
        Act::Open => {
            host.run(|| IngressDrop::open().unwrap().remove(index, false).unwrap()).unwrap();
        }
        _ => {
            links.set_noarp(index, false).unwrap();
            let switch = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
            // Absent where the kernel has no IPv6.
            host.run(|| drop(fs::write(switch, "0"))).unwrap();
        }
    }
}

/// Another interface takes the name for a while; the daemon stays with the one that it has.
fn impostor(cluster: &Cluster, n: u8, lan: LanId) {
    let name = LANS[lan.index()];
    let mut links = cluster.host(n).links().unwrap();
    let index = links.by_name(name).unwrap().index;
    links.rename(index, "elsewhere").unwrap();
    links.create_veth(name, "spare", None).unwrap();
    let other = links.by_name(name).unwrap();
    links.set_up(other.index, true).unwrap();
    shown(cluster, n, lan, "elsewhere");
    wait_until("the impostor to be told", || {
        let alarms = cluster.node(n).status().alarms;
        alarms.iter().any(|alarm| alarm.contains("elsewhere")).then_some(())
    });
    let now = links.by_index(other.index).unwrap();
    assert!(!now.noarp && now.mtu == other.mtu && now.mac == other.mac, "touched: {now:?}");
    links.delete(other.index).unwrap();
    links.rename(index, name).unwrap();
    shown(cluster, n, lan, name);
}

/// Each LAN stays where its cable is.
fn swap_names(cluster: &Cluster, n: u8) {
    let mut links = cluster.host(n).links().unwrap();
    let [a, b] = LANS.map(|name| links.by_name(name).unwrap().index);
    for (for_a, for_b) in [("lan_b", "lan_a"), ("lan_a", "lan_b")] {
        links.rename(a, "between").unwrap();
        links.rename(b, for_b).unwrap();
        links.rename(a, for_a).unwrap();
        shown(cluster, n, LanId::A, for_a);
        shown(cluster, n, LanId::B, for_b);
    }
}

/// What is not the host's to decide is put right, and its name is followed.
fn host_interface(cluster: &Cluster, n: u8) {
    let mut links = cluster.host(n).links().unwrap();
    let index = links.by_name("prp0").unwrap().index;
    links.set_mac(index, MacAddress([2, 9, 9, 9, 9, n])).unwrap();
    wait_until("its address", || (links.by_index(index).unwrap().mac == mac(n)).then_some(()));
    links.set_mtu(index, 4000).unwrap();
    wait_until("its MTU", || (links.by_index(index).unwrap().mtu == 1500).then_some(()));
    for name in ["renamed", "prp0"] {
        links.rename(index, name).unwrap();
        wait_until("its name", || (cluster.node(n).status().host.interface == name).then_some(()));
    }
}

fn link(cluster: &Cluster, n: u8, lan: LanId) -> Link {
    let ports = cluster.node(n).status().ports;
    if lan == LanId::A { ports.a.link } else { ports.b.link }
}

/// Waits until the daemon shows that name.
fn shown(cluster: &Cluster, n: u8, lan: LanId, name: &str) {
    wait_until("the present name", || {
        let ports = cluster.node(n).status().ports;
        let port = if lan == LanId::A { ports.a } else { ports.b };
        (port.interface == name).then_some(())
    });
}

/// Waits until the LAN of node `n` is as it should be and carries, both ways.
fn settle(cluster: &Cluster, n: u8, lan: LanId, act: Act) {
    wait_until(&format!("LAN {lan} of n{n} after {act:?}"), || is_right(cluster, n, lan));
    let counters = |n: u8| -> PortCounters {
        let ports = cluster.node(n).status().ports;
        if lan == LanId::A { ports.a.counters } else { ports.b.counters }
    };
    let before = [1, 2].map(|n| counters(n).rx_frames);
    wait_until(&format!("frames on LAN {lan} after {act:?} on n{n}"), || {
        let now = [1, 2].map(|n| counters(n).rx_frames);
        (0..2).all(|at| now[at] >= before[at] + CARRIES_FRAMES).then_some(())
    });
}

fn is_right(cluster: &Cluster, n: u8, lan: LanId) -> Option<()> {
    if link(cluster, n, lan) != Link::Up {
        return None;
    }
    let host = cluster.host(n);
    let info = host.link(LANS[lan.index()]).ok()?;
    let (name, index) = (info.name.as_str(), info.index);
    let (drop, gro, ipv6) = host
        .run(|| {
            let gro = Ethtool::open().unwrap().offload(name, Offload::Gro).unwrap();
            let ipv6 = prp::os::claim::is_ipv6_on(name);
            (IngressDrop::open().unwrap().find(index), gro, ipv6)
        })
        .unwrap();
    let is_right = info.running && info.noarp && info.controller.is_none() && !ipv6;
    let is_right = is_right && info.mac == mac(n) && info.mtu >= 1506 && gro != Some(true);
    (is_right && drop.ok()?.is_some()).then_some(())
}

/// What a daemon holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Held {
    descriptors: usize,
    threads: u64,
    resident_kib: u64,
    locked_kib: u64,
    /// Sockets of the host's namespace: the streams' are there before and after.
    packet_sockets: usize,
    netlink_sockets: usize,
}

impl Held {
    pub(crate) fn of(cluster: &Cluster, n: u8) -> Self {
        let proc = format!("/proc/{}", cluster.node(n).process.id());
        let status = fs::read_to_string(format!("{proc}/status")).unwrap();
        let value = |name: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        let lines =
            |file: &str| fs::read_to_string(format!("{proc}/net/{file}")).unwrap().lines().count();
        // Each second it asks the kernel, through sockets that it opens for that: the least of many
        // looks is what it holds.
        let descriptors = || {
            sleep(Duration::from_millis(5));
            fs::read_dir(format!("{proc}/fd")).unwrap().count()
        };
        Self {
            descriptors: (0..50).map(|_| descriptors()).min().unwrap(),
            threads: value("Threads:"),
            resident_kib: value("VmRSS:"),
            locked_kib: value("VmLck:"),
            packet_sockets: lines("packet"),
            netlink_sockets: lines("netlink"),
        }
    }

    /// What has grown by more than it may. Memory may, by the events that are kept (4,096 of at
    /// most half a KiB) and as much again for what the allocator keeps.
    pub(crate) fn grown_to(&self, after: &Self) -> Vec<String> {
        const MEMORY_KIB: u64 = 4096;
        let mut grown = Vec::new();
        let mut compare = |what: &str, before: u64, after: u64, bound: u64| {
            if after > before + bound {
                grown.push(format!("{what}: {before} -> {after}"));
            }
        };
        compare("descriptors", self.descriptors as u64, after.descriptors as u64, 0);
        compare("threads", self.threads, after.threads, 0);
        compare("resident KiB", self.resident_kib, after.resident_kib, MEMORY_KIB);
        compare("locked KiB", self.locked_kib, after.locked_kib, MEMORY_KIB);
        let sockets = |held: &Self| (held.packet_sockets as u64, held.netlink_sockets as u64);
        let (before, after) = (sockets(self), sockets(after));
        compare("packet sockets", before.0, after.0, 0);
        // One that the daemon asks with at this moment.
        compare("netlink sockets", before.1, after.1, 3);
        grown
    }
}
