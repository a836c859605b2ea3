//! Namespaces and interfaces, on the real kernel: every test makes namespaces of its own.
//!
//! All of it runs a second time as an ordinary user could run it, inside a user namespace:
//! [`everything_works_without_privilege_in_a_user_namespace`].
#![cfg(feature = "os")]
#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

#[path = "support/privilege.rs"]
mod privilege;

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::AsFd as _;
use std::process::Command;

use prp::os::ethtool::{Ethtool, Offload};
use prp::os::link::{BridgeOptions, LinkError, LinkMonitor, Links, MonitorFault, WhatChanged};
use prp::os::netns::{NetNs, NetNsError, command_in};
use prp::types::MacAddress;

use privilege::{drop_effective_capabilities, run_all_in_a_user_namespace};

/// A namespace, or a line that says why the test is skipped.
fn namespace(test: &str) -> Option<NetNs> {
    match NetNs::create() {
        Ok(namespace) => Some(namespace),
        Err(NetNsError::NotPermitted { .. }) => {
            println!("SKIP: {test}: needs CAP_SYS_ADMIN for network namespaces");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_fresh_namespace_holds_a_loopback_that_is_down_until_it_is_brought_up() {
    let Some(ns) = namespace("fresh namespace") else { return };
    let mut links = Links::open_in(&ns).unwrap();
    let all = links.all().unwrap();
    let lo = all.iter().find(|info| info.name == "lo").unwrap();
    assert!(lo.loopback && !lo.up && !lo.ethernet, "{lo:?}");
    assert!(all.iter().all(|info| !info.up), "{all:?}");

    ns.bring_loopback_up().unwrap();
    let lo = links.by_name("lo").unwrap();
    assert!(lo.up && lo.running, "{lo:?}");
    let echoed = ns.run(|| {
        let a = UdpSocket::bind("127.0.0.1:0").unwrap();
        a.send_to(b"x", a.local_addr().unwrap()).unwrap();
        a.recv(&mut [0; 4]).unwrap()
    });
    assert_eq!(echoed, Ok(1));
}

#[test]
fn a_thread_enters_a_namespace_and_its_caller_stays() {
    let Some(ns) = namespace("enter") else { return };
    let before = NetNs::current().unwrap();
    assert!(before != ns);
    assert!(ns.run(|| NetNs::current().unwrap() == ns).unwrap());
    assert!(NetNs::current().unwrap() == before);
    let entered = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            ns.enter().unwrap();
            NetNs::current().unwrap() == ns
        });
        thread.join().unwrap()
    });
    assert!(entered);
    assert!(NetNs::of_pid(std::process::id()).unwrap() == before);
    let missing = NetNs::from_path("/run/netns/there-is-no-such-one").unwrap_err();
    assert!(missing.to_string().contains("/run/netns/there-is-no-such-one"), "{missing}");
}

#[test]
fn a_child_starts_inside_the_namespace_it_is_given() {
    let Some(ns) = namespace("child") else { return };
    let mut command = Command::new("readlink");
    command.arg("/proc/self/ns/net");
    let inside = command_in(&ns, &mut command).unwrap().output().unwrap();
    let here = Command::new("readlink").arg("/proc/self/ns/net").output().unwrap();
    assert!(inside.status.success() && inside.stdout.starts_with(b"net:["), "{inside:?}");
    assert_ne!(inside.stdout, here.stdout);
    let there = ns.run(|| std::fs::read_link("/proc/thread-self/ns/net").unwrap()).unwrap();
    let inside = String::from_utf8(inside.stdout).unwrap();
    assert_eq!(inside.trim(), there.to_str().unwrap());
}

#[test]
fn a_veth_pair_between_two_namespaces_carries_packets() {
    let (Some(here), Some(there)) = (namespace("veth"), namespace("veth")) else { return };
    let mut near = Links::open_in(&here).unwrap();
    let mut far = Links::open_in(&there).unwrap();
    near.create_veth("near", "far", Some(there.as_fd())).unwrap();
    let (a, b) = (near.by_name("near").unwrap(), far.by_name("far").unwrap());
    assert_eq!((a.kind.as_deref(), b.kind.as_deref()), (Some("veth"), Some("veth")));
    assert!(a.ethernet && a.mac.is_station() && a.mtu == 1500, "{a:?}");
    assert!(matches!(near.by_name("far"), Err(LinkError::NoSuchInterface { .. })));

    let (ip_a, ip_b) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    near.add_address(a.index, IpAddr::V4(ip_a), 24).unwrap();
    far.add_address(b.index, IpAddr::V4(ip_b), 24).unwrap();
    near.set_up(a.index, true).unwrap();
    assert!(!near.by_index(a.index).unwrap().running, "no carrier while the peer is down");
    far.set_up(b.index, true).unwrap();
    assert!(near.by_index(a.index).unwrap().running);
    // With permanent neighbours nobody has to be asked: the first datagram goes straight.
    near.set_noarp(a.index, true).unwrap();
    near.set_neighbour(a.index, IpAddr::V4(ip_b), b.mac).unwrap();

    let receiver = there.run(|| UdpSocket::bind((ip_b, 7000)).unwrap()).unwrap();
    let sender = here.run(|| UdpSocket::bind((ip_a, 0)).unwrap()).unwrap();
    receiver.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    sender.send_to(b"bump", (ip_b, 7000)).unwrap();
    assert_eq!(receiver.recv(&mut [0; 16]).unwrap(), 4);

    near.delete(a.index).unwrap();
    assert!(matches!(far.by_index(b.index), Err(LinkError::NoSuchInterface { .. })));
}

#[test]
fn what_is_set_on_an_interface_is_read_back() {
    let Some(ns) = namespace("set and read") else { return };
    let mut links = Links::open_in(&ns).unwrap();
    links.create_veth("a", "b", None).unwrap();
    let index = links.by_name("a").unwrap().index;
    let mac = MacAddress([2, 0, 0, 0, 0, 0x17]);
    links.set_mac(index, mac).unwrap();
    links.set_mtu(index, 1506).unwrap();
    links.set_noarp(index, true).unwrap();
    links.set_alias(index, "LAN A").unwrap();
    links.set_txqueuelen(index, 4321).unwrap();
    links.rename(index, "lan.a").unwrap();
    let info = links.by_name("lan.a").unwrap();
    assert_eq!((info.index, info.mac, info.mtu, info.noarp), (index, mac, 1506, true));
    assert_eq!(info.alias.as_deref(), Some("LAN A"));
    assert_eq!(info.tx_queue_packets, 4321);
    assert!(info.mtu_max.is_some_and(|max| max >= 9000), "{info:?}");
    links.set_alias(index, "").unwrap();
    links.set_noarp(index, false).unwrap();
    let info = links.by_index(index).unwrap();
    assert_eq!((info.alias, info.noarp), (None, false));

    let ip = "fd00::7".parse().unwrap();
    links.set_up(index, true).unwrap();
    links.add_address(index, ip, 64).unwrap();
    let addresses = links.addresses(index).unwrap();
    let found = addresses.iter().find(|address| address.ip == ip).unwrap();
    assert!(found.prefix_bits == 64 && found.permanent, "{found:?}");
    let other = links.by_name("b").unwrap().index;
    assert!(links.addresses(other).unwrap().iter().all(|address| address.ip != ip));
}

#[test]
fn an_interface_moves_to_another_namespace() {
    let (Some(from), Some(to)) = (namespace("move"), namespace("move")) else { return };
    let mut source = Links::open_in(&from).unwrap();
    source.create_veth("stays", "goes", None).unwrap();
    let index = source.by_name("goes").unwrap().index;
    source.move_to_ns(index, &to).unwrap();
    assert!(matches!(source.by_name("goes"), Err(LinkError::NoSuchInterface { .. })));
    assert!(Links::open_in(&to).unwrap().by_name("goes").is_ok());
}

#[test]
fn a_bridge_forwards_at_once_between_the_ports_it_is_given() {
    let Some(ns) = namespace("bridge") else { return };
    let mut links = Links::open_in(&ns).unwrap();
    let mac = MacAddress([2, 0, 0, 0, 1, 1]);
    let options = BridgeOptions { mac: Some(mac), ..BridgeOptions::default() };
    links.create_bridge("br", &options).unwrap();
    let bridge = links.by_name("br").unwrap();
    assert_eq!((bridge.kind.as_deref(), bridge.mac), (Some("bridge"), mac));
    links.set_up(bridge.index, true).unwrap();

    let mut ends = Vec::new();
    for (port, outer, host) in [("p1", "o1", 1u8), ("p2", "o2", 2)] {
        let far = NetNs::create().unwrap();
        links.create_veth(port, outer, Some(far.as_fd())).unwrap();
        let port = links.by_name(port).unwrap().index;
        links.set_controller(port, bridge.index).unwrap();
        links.set_up(port, true).unwrap();
        assert_eq!(links.by_index(port).unwrap().controller, Some(bridge.index));
        let mut outside = Links::open_in(&far).unwrap();
        let end = outside.by_name(outer).unwrap().index;
        outside.add_address(end, IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)), 24).unwrap();
        outside.set_up(end, true).unwrap();
        ends.push((far, port));
    }
    let receiver = ends[1].0.run(|| UdpSocket::bind("10.0.0.2:7000").unwrap()).unwrap();
    let sender = ends[0].0.run(|| UdpSocket::bind("10.0.0.1:0").unwrap()).unwrap();
    receiver.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    sender.send_to(b"x", "10.0.0.2:7000").unwrap();
    assert_eq!(receiver.recv(&mut [0; 4]).unwrap(), 1);

    links.clear_controller(ends[0].1).unwrap();
    assert_eq!(links.by_index(ends[0].1).unwrap().controller, None);
}

#[test]
fn refusals_name_the_interface_and_carry_the_errno() {
    let Some(ns) = namespace("refusals") else { return };
    let mut links = Links::open_in(&ns).unwrap();
    links.create_veth("a", "b", None).unwrap();
    let exists = |error| match error {
        LinkError::Exists { interface, .. } => interface,
        other => panic!("{other:?}"),
    };
    assert_eq!(exists(links.create_veth("a", "c", None).unwrap_err()), "a");
    assert_eq!(exists(links.create_veth("c", "b", None).unwrap_err()), "b");
    let error = links.by_name("eth77").unwrap_err();
    assert_eq!((error.errno(), error.interface()), (libc::ENODEV, "eth77"));
    assert!(matches!(links.by_index(4242), Err(LinkError::NoSuchInterface { .. })));
    assert!(matches!(links.set_up(4242, true), Err(LinkError::NoSuchInterface { .. })));
    assert!(matches!(links.delete(0), Err(LinkError::NoSuchInterface { .. })));
    assert!(matches!(links.rename(1, "a/b"), Err(LinkError::NameInvalid { .. })));

    let a = links.by_name("a").unwrap().index;
    let error = links.set_mtu(a, 1_000_000).unwrap_err();
    assert!(matches!(error, LinkError::Refused { errno: libc::EINVAL, .. }), "{error:?}");
    assert!(error.to_string().contains("MTU of interface a"), "{error}");
    let error = links.set_mac(a, MacAddress::BROADCAST).unwrap_err();
    assert_eq!((error.errno(), error.interface()), (libc::EADDRNOTAVAIL, "a"));
}

#[test]
fn a_change_without_the_capability_is_not_permitted() {
    let Some(ns) = namespace("no capability") else { return };
    Links::open_in(&ns).unwrap().create_veth("a", "b", None).unwrap();
    let error = ns
        .run(|| {
            // Capabilities belong to the thread, and this one ends with the closure. Route netlink
            // judges the sender of each message, so the socket may be an old one.
            let mut links = Links::open().unwrap();
            let index = links.by_name("a").unwrap().index;
            drop_effective_capabilities();
            links.set_up(index, true).unwrap_err()
        })
        .unwrap();
    assert!(matches!(error, LinkError::NotPermitted { .. }), "{error:?}");
    assert!(error.to_string().contains("interface a: needs CAP_NET_ADMIN"), "{error}");
}

#[test]
fn the_monitor_tells_what_is_new_changed_and_gone() {
    let Some(ns) = namespace("monitor") else { return };
    let mut links = Links::open_in(&ns).unwrap();
    links.create_veth("old", "old2", None).unwrap();
    let old = links.by_name("old").unwrap().index;
    let mut monitor = LinkMonitor::open_in(&ns).unwrap();
    assert_eq!(monitor.next_change(), Ok(None));

    links.create_veth("a", "b", None).unwrap();
    let a = links.by_name("a").unwrap().index;
    links.set_up(a, true).unwrap();
    links.create_bridge("br", &BridgeOptions::default()).unwrap();
    let bridge = links.by_name("br").unwrap().index;
    // A port's membership comes and goes under the message types of the interface itself.
    links.set_controller(old, bridge).unwrap();
    links.clear_controller(old).unwrap();
    links.delete(a).unwrap();

    let mut changes = Vec::new();
    while let Some(change) = monitor.next_change().unwrap() {
        changes.push(change);
    }
    let of = |name: &str| {
        let of_name = changes.iter().filter(|change| change.name == name);
        of_name.map(|change| &change.what).collect::<Vec<_>>()
    };
    let a = of("a");
    assert!(matches!(a.first(), Some(WhatChanged::New(_))), "{a:?}");
    assert!(a.iter().any(|what| matches!(what, WhatChanged::Changed(info) if info.up)), "{a:?}");
    assert!(matches!(a.last(), Some(WhatChanged::Gone)), "{a:?}");
    assert!(matches!(of("b").last(), Some(WhatChanged::Gone)));
    let old = of("old");
    assert!(!old.is_empty());
    assert!(old.iter().all(|what| matches!(what, WhatChanged::Changed(_))), "{old:?}");
}

#[test]
fn the_monitor_says_when_it_lost_something_and_goes_on() {
    let Some(ns) = namespace("monitor overrun") else { return };
    let mut links = Links::open_in(&ns).unwrap();
    links.create_veth("a", "b", None).unwrap();
    let index = links.by_name("a").unwrap().index;
    // The kernel tells of a new alias only while the interface is up.
    links.set_up(index, true).unwrap();
    let mut monitor = LinkMonitor::open_in(&ns).unwrap();
    // Each change is a notification of more than a kilobyte: far more than the socket may hold.
    for n in 0..4000 {
        links.set_alias(index, if n % 2 == 0 { "even" } else { "odd" }).unwrap();
    }
    let (mut overruns, mut told) = (0, 0);
    for _ in 0..10_000 {
        match monitor.next_change() {
            Ok(None) => break,
            Ok(Some(_)) => told += 1,
            Err(MonitorFault::Overrun) => overruns += 1,
            Err(fault) => panic!("{fault}"),
        }
    }
    assert!(overruns >= 1, "{told} told");
    links.delete(index).unwrap();
    let mut gone = false;
    while let Some(change) = monitor.next_change().unwrap() {
        gone |= change.index == index && change.what == WhatChanged::Gone;
    }
    assert!(gone);
}

#[test]
fn offloads_are_switched_and_read_back() {
    let Some(ns) = namespace("offloads") else { return };
    Links::open_in(&ns).unwrap().create_veth("a", "b", None).unwrap();
    let ethtool = ns.run(|| Ethtool::open().unwrap()).unwrap();
    assert_eq!(ethtool.offload("a", Offload::Gro), Ok(Some(false)), "a veth pair begins so");
    assert_eq!(ethtool.set_offload("a", Offload::Gro, true), Ok(Some(true)));
    assert_eq!(ethtool.offload("a", Offload::Gro), Ok(Some(true)));
    assert_eq!(ethtool.offload("b", Offload::Gro), Ok(Some(false)), "the other end is its own");
    for which in [Offload::Gso, Offload::Tso, Offload::TxChecksum] {
        assert_eq!(ethtool.offload("a", which), Ok(Some(true)), "{which:?}");
        assert_eq!(ethtool.set_offload("a", which, false), Ok(Some(false)), "{which:?}");
    }
    assert_eq!(ethtool.set_offload("a", Offload::Tso, true), Ok(Some(false)), "needs checksums");
    for which in [Offload::Lro, Offload::GroHw] {
        let state = ethtool.offload("a", which).unwrap();
        assert!(state != Some(true), "{which:?}");
        assert_eq!(ethtool.set_offload("a", which, true), Ok(state), "a veth cannot: {which:?}");
    }
}

#[test]
fn the_driver_tells_its_name_and_the_links_speed() {
    let Some(ns) = namespace("driver") else { return };
    let mut links = Links::open_in(&ns).unwrap();
    links.create_veth("a", "b", None).unwrap();
    links.create_bridge("br", &BridgeOptions::default()).unwrap();
    let ethtool = ns.run(|| Ethtool::open().unwrap()).unwrap();
    assert_eq!(ethtool.driver("a").unwrap().as_deref(), Some("veth"));
    assert_eq!(ethtool.link_speed_mbit_s("a"), Ok(Some(10_000)), "what veth claims");
    assert_eq!(ethtool.link_speed_mbit_s("br"), Ok(None), "no port, no speed");
    let absent = ethtool.driver("eth77").unwrap_err();
    assert_eq!((absent.errno(), absent.interface()), (libc::ENODEV, "eth77"));
    assert_eq!(ethtool.driver("a name that is too long").unwrap_err().errno(), libc::ENODEV);
}

#[test]
fn everything_works_without_privilege_in_a_user_namespace() {
    run_all_in_a_user_namespace();
}
