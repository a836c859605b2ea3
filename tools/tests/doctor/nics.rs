//! The checks of LAN interfaces: each produced and cleared on an interface made up by the test.

use std::collections::BTreeSet;

use prp::os::ethtool::{Offload, Setting, SettingValue};
use prp::types::LanId;
use rt_core::os::host::{Finding, HostTexts, Level};
use tools::cli::doctor::nic::{Nic, NicLink};
use tools::cli::doctor::nic_checks::{CHECKS, COMMON_CHECKS, NicNeeds, judge, judge_together};

use crate::tree::Tree;

/// What a row changes.
struct World {
    nic: Nic,
    other: Nic,
    tree: Tree,
    claimed: bool,
    host_namespace: Option<bool>,
}

impl World {
    fn link(&mut self) -> &mut NicLink {
        self.nic.link.as_mut().unwrap()
    }

    fn set(&mut self, which: Setting, now: u32) {
        let value = self.nic.settings.iter_mut().find(|(known, _)| *known == which).unwrap();
        value.1.now = now;
    }

    fn offload(&mut self, which: Offload, on: bool) {
        self.nic.offloads.retain(|(known, _)| *known != which);
        self.nic.offloads.push((which, on));
    }

    fn file(&mut self, name: &str, text: &str) {
        self.tree.write(&format!("/sys/class/net/eth1/{name}"), text);
    }

    fn findings(&self) -> Vec<Finding> {
        let mut texts = HostTexts::default();
        for pattern in ["/sys/class/net/eth1/*", "/sys/class/net/eth1/queues/*/rps_cpus"] {
            texts.gather(&self.tree.0, pattern);
        }
        for pattern in [
            "/sys/class/net/eth1/device/power/control",
            "/sys/class/net/*/ifindex",
            "/sys/class/net/*/bridge/*",
            "/sys/class/net/*/brif/*/state",
            "/proc/sys/net/bridge/bridge-nf-call-*",
        ] {
            texts.gather(&self.tree.0, pattern);
        }
        let needs = NicNeeds {
            texts: &texts,
            mtu_min: 1506,
            pinned: &[3],
            claimed: self.claimed,
            host_namespace: self.host_namespace,
        };
        let mut all = judge(&self.nic, &needs);
        all.extend(judge_together(&[self.nic.clone(), self.other.clone()], &texts));
        all
    }
}

/// A network card as it should be, beside another one.
fn fit() -> World {
    let nic = |lan, name: &str, device: &str| Nic {
        lan,
        name: name.to_owned(),
        link: Ok(NicLink {
            index: 2,
            ethernet: true,
            up: true,
            running: true,
            mtu: 1506,
            mtu_max: Some(9216),
            kind: None,
            controller: None,
            addresses: Vec::new(),
        }),
        driver: Some("igb".to_owned()),
        offloads: vec![(Offload::Gro, false), (Offload::Tso, true)],
        settings: [
            (Setting::RxCoalescingTime, 3),
            (Setting::RxCoalescingAdaptive, 0),
            (Setting::RxRing, 1024),
            (Setting::RxPause, 0),
            (Setting::TxPause, 0),
            (Setting::Eee, 0),
            (Setting::CombinedQueues, 1),
        ]
        .map(|(which, now)| (which, SettingValue { now, greatest: Some(4096) }))
        .to_vec(),
        driver_hidden: None,
        interrupts: vec![33],
        device: Some(device.to_owned()),
    };
    let tree = Tree::new();
    tree.write_all(&[
        ("/sys/class/net/eth1/queues/rx-0/rps_cpus", "0\n"),
        ("/sys/class/net/eth1/threaded", "0\n"),
        ("/sys/class/net/eth1/speed", "1000\n"),
        ("/sys/class/net/eth1/duplex", "full\n"),
        ("/sys/class/net/eth1/device/power/control", "on\n"),
        ("/sys/class/net/eth1/ifindex", "2\n"),
        ("/sys/class/net/eth1/iflink", "7\n"),
        ("/sys/class/net/sw1/ifindex", "7\n"),
        ("/sys/class/net/br0/brif/sw1/state", "3\n"),
        ("/sys/class/net/br0/bridge/stp_state", "0\n"),
        ("/sys/class/net/br0/bridge/forward_delay", "1500\n"),
        ("/proc/sys/net/bridge/bridge-nf-call-iptables", "0\n"),
        ("/proc/sys/net/bridge/bridge-nf-call-arptables", "0\n"),
    ]);
    World {
        nic: nic(LanId::A, "eth1", "0000:01:00.0"),
        other: nic(LanId::B, "eth2", "0000:02:00.0"),
        tree,
        claimed: true,
        host_namespace: Some(false),
    }
}

/// A check, its level, words of the finding, and what produces it.
type Row = (&'static str, Level, &'static str, fn(&mut World));

const ROWS: &[Row] = &[
    ("lan_interface", Level::Problem, "no such", |w| w.nic.link = Err("no such thing".into())),
    ("lan_ethernet", Level::Problem, "refuses", |w| w.link().ethernet = false),
    ("lan_link", Level::Warning, "no carrier", |w| w.link().running = false),
    ("lan_link", Level::Warning, "10 Mbit/s", |w| w.file("speed", "10\n")),
    ("lan_link", Level::Warning, "half duplex", |w| w.file("duplex", "half\n")),
    ("lan_link", Level::Fine, "sets it up", |w| w.link().up = false),
    ("lan_enslaved", Level::Problem, "br7", |w| w.link().controller = Some("br7".into())),
    ("lan_mtu", Level::Warning, "ip link set dev eth1 mtu 1506", |w| w.link().mtu = 1500),
    ("lan_mtu", Level::Warning, "host_mtu = 1494", |w| {
        w.link().mtu = 1500;
        w.link().mtu_max = Some(1500);
    }),
    ("lan_mtu", Level::Fine, "the daemon raises it", |w| {
        w.link().mtu = 1500;
        w.claimed = false;
    }),
    ("lan_addresses", Level::Warning, "10.0.0.1/8", |w| {
        w.link().addresses = vec!["10.0.0.1/8".into()];
    }),
    ("lan_offloads", Level::Problem, "ethtool -K eth1 gro off", |w| w.offload(Offload::Gro, true)),
    ("lan_offloads", Level::Fine, "switches that off", |w| {
        w.offload(Offload::Lro, true);
        w.claimed = false;
    }),
    ("lan_offloads", Level::Fine, "harmless: tso", |_| {}),
    ("lan_coalescing", Level::Warning, "ethtool -C eth1 rx-usecs 0", |w| {
        w.set(Setting::RxCoalescingTime, 50);
    }),
    ("lan_coalescing", Level::Warning, "ethtool -C eth1 adaptive-rx off", |w| {
        w.set(Setting::RxCoalescingAdaptive, 1);
    }),
    ("lan_rings", Level::Note, "ethtool -G eth1 rx 512", |w| w.set(Setting::RxRing, 128)),
    ("lan_queues", Level::Note, "combined 1", |w| w.set(Setting::CombinedQueues, 8)),
    ("lan_eee", Level::Warning, "--set-eee eth1 eee off", |w| w.set(Setting::Eee, 1)),
    ("lan_pause", Level::Note, "autoneg off rx off tx off", |w| w.set(Setting::RxPause, 1)),
    ("lan_driver", Level::Note, "virtio_net", |w| w.nic.driver = Some("virtio_net".into())),
    ("lan_driver", Level::Note, "veth", |w| {
        w.nic.driver = None;
        w.link().kind = Some("veth".into());
    }),
    ("lan_driver", Level::Unknown, "closed", |w| w.nic.driver_hidden = Some("closed".into())),
    ("lan_power", Level::Note, "powered down", |w| w.file("device/power/control", "auto\n")),
    ("lan_packet_steering", Level::Warning, "RPS", |w| {
        w.file("queues/rx-0/rps_cpus", "00000000,0000000c\n");
    }),
    ("lan_packet_steering", Level::Fine, "not steered", |w| w.file("queues/rx-0/rps_cpus", "7\n")),
    ("lan_threaded_napi", Level::Warning, "threaded NAPI", |w| w.file("threaded", "1\n")),
    ("lan_spanning_tree", Level::Warning, "for 30 s", |w| {
        w.tree.write("/sys/class/net/br0/bridge/stp_state", "1\n");
    }),
    ("lan_namespace", Level::Note, "CAP_NET_RAW", |w| w.host_namespace = Some(true)),
    ("lan_namespace", Level::Unknown, "cannot be seen", |w| w.host_namespace = None),
    ("lan_independence", Level::Problem, "same device", |w| w.other.device = w.nic.device.clone()),
    ("lan_independence", Level::Note, "one card", |w| {
        w.other.device = Some("0000:01:00.1".into());
    }),
    ("bridge_netfilter", Level::Note, "cuts the trailers off", |w| {
        w.tree.write("/proc/sys/net/bridge/bridge-nf-call-iptables", "1\n");
    }),
];

#[test]
fn a_fit_network_card_needs_nothing() {
    let all = fit().findings();
    for finding in &all {
        assert_eq!(finding.level, Level::Fine, "{finding}");
    }
    let seen: BTreeSet<&str> = all.iter().map(|finding| finding.id).collect();
    let made = CHECKS.iter().map(|(id, _)| *id).chain(COMMON_CHECKS);
    assert_eq!(seen, made.collect(), "each check says something");
}

#[test]
fn every_check_has_rows() {
    let tested: BTreeSet<&str> = ROWS.iter().map(|(id, ..)| *id).collect();
    let made = CHECKS.iter().map(|(id, _)| *id).chain(COMMON_CHECKS);
    assert_eq!(tested, made.collect());
}

#[test]
fn each_defect_of_a_network_card_is_found_with_a_remedy() {
    for (id, level, says, spoil) in ROWS {
        let mut world = fit();
        spoil(&mut world);
        let all = world.findings();
        let found: Vec<&Finding> = all.iter().filter(|finding| finding.id == *id).collect();
        let hit = found.iter().find(|f| f.level == *level && f.to_string().contains(says));
        let hit = hit.unwrap_or_else(|| panic!("{id} {says:?}: {found:#?}"));
        assert_eq!(found.iter().map(|f| f.level).max(), Some(*level), "{found:#?}");
        if *level > Level::Fine {
            assert!(!hit.consequence.is_empty() && !hit.remedies.is_empty(), "{hit}");
        }
    }
}

#[test]
fn what_is_offered_to_change_ends_the_finding() {
    for (id, _, _, spoil) in ROWS {
        let mut world = fit();
        spoil(&mut world);
        let all = world.findings();
        let changes: Vec<_> =
            all.iter().filter(|f| f.id == *id).flat_map(|f| f.changes()).cloned().collect();
        if changes.is_empty() {
            continue;
        }
        for change in changes {
            match change.command.split(' ').collect::<Vec<_>>().as_slice() {
                ["echo", value, ">", path] => world.tree.write(path, &format!("{value}\n")),
                ["ethtool", "-K", "eth1", "gro", "off"] => world.offload(Offload::Gro, false),
                ["ethtool", option, "eth1", word, value] => {
                    let which = |which: &&Setting| which.words() == (*option, *word);
                    let which = *Setting::ALL.iter().find(which).unwrap();
                    let value = if *value == "off" { 0 } else { value.parse().unwrap() };
                    world.set(which, value);
                }
                other => panic!("{id}: {other:?}"),
            }
        }
        for finding in world.findings().iter().filter(|finding| finding.id == *id) {
            assert_eq!(finding.level, Level::Fine, "{finding}");
        }
    }
}

#[test]
fn strange_files_of_an_interface_are_no_panic() {
    for text in ["", "\u{1b}[2J", "-1", "99999999999999999999", "x,y", "all\nof\nthem"] {
        let mut world = fit();
        for name in [
            "queues/rx-0/rps_cpus",
            "threaded",
            "speed",
            "duplex",
            "iflink",
            "device/power/control",
        ] {
            world.file(name, text);
        }
        world.tree.write("/sys/class/net/br0/bridge/forward_delay", text);
        world.tree.write("/proc/sys/net/bridge/bridge-nf-call-iptables", text);
        for finding in world.findings() {
            assert!(!finding.to_string().contains(char::is_control), "{finding}");
        }
    }
}
