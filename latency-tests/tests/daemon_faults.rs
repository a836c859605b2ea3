//! The running daemon while its surroundings change: links, cards, storms, the host's own stack.
#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use latency_tests::os::clock;
use latency_tests::stream::account::LedgerReport;
use latency_tests::stream::bulk::BulkReport;
use latency_tests::stream::exchange::PingReport;
use latency_tests::stream::send::SendReport;
use prp::os::ingress::IngressDrop;
use prp::os::link::{BridgeOptions, Links};
use prp::os::netns::{NetNs, command_in, command_in_user_namespace};
use support::snapshot::Snapshot;
use support::traffic::{Traffic, flows};
use support::{
    Cluster, can_run, ip, mac, mac_b, report, soak, stop_and_report, wait_until, wait_within,
};
use tools::netlab::{Host, Process, Toward};
use tools::report::Link;

/// Both kinds of host interface, as a line of the configuration.
const HOST_PORTS: [&str; 2] = ["host_port = \"tap\"", "host_port = \"veth\""];

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const BROADCAST: Ipv4Addr = Ipv4Addr::new(10, 50, 0, 255);
const PORT: u16 = 5000;

/// Sends `count` datagrams to each kind of address from n2 and tells how often each came at n1.
fn arrivals(from: &UdpSocket, at: &UdpSocket, count: u32) -> BTreeMap<(Ipv4Addr, u32), u32> {
    /// Long enough for the last copies.
    const QUIET: Duration = Duration::from_millis(500);
    let mut arrived = BTreeMap::new();
    let drain = |arrived: &mut BTreeMap<_, u32>, patience| {
        at.set_read_timeout(Some(patience)).unwrap();
        let mut buffer = [0; 64];
        while let Ok(octets) = at.recv(&mut buffer) {
            let Ok([a, b, c, d, rest @ ..]) = <[u8; 8]>::try_from(&buffer[..octets]) else {
                panic!("a datagram of {octets} octets");
            };
            let key = (Ipv4Addr::new(a, b, c, d), u32::from_be_bytes(rest));
            *arrived.get_mut(&key).unwrap() += 1;
        }
    };
    for number in 0..count {
        for to in [ip(1), BROADCAST, GROUP] {
            arrived.insert((to, number), 0);
            let datagram = [&to.octets()[..], &number.to_be_bytes()].concat();
            from.send_to(&datagram, (to, PORT)).unwrap();
        }
        drain(&mut arrived, Duration::from_millis(1));
    }
    drain(&mut arrived, QUIET);
    arrived
}

/// A socket for everything on every interface of `host`, those of the LANs too.
fn wildcard(host: &Host) -> UdpSocket {
    for (lan, ip) in [("lan_a", [10, 61, 0, 1]), ("lan_b", [10, 62, 0, 1])] {
        host.add_address(lan, Ipv4Addr::from(ip).into(), 24).unwrap();
    }
    host.run(|| {
        // Nothing but the daemon's drop keeps copies away.
        for interface in ["all", "lan_a", "lan_b", "prp0"] {
            fs::write(format!("/proc/sys/net/ipv4/conf/{interface}/rp_filter"), "0").unwrap();
        }
        let socket = UdpSocket::bind(("0.0.0.0", PORT)).unwrap();
        for member in [ip(1), [10, 61, 0, 1].into(), [10, 62, 0, 1].into()] {
            socket.join_multicast_v4(&GROUP, &member).unwrap();
        }
        socket
    })
    .unwrap()
}

#[test]
fn a_socket_for_all_interfaces_gets_each_datagram_once() {
    if !can_run("a_socket_for_all_interfaces_gets_each_datagram_once") {
        return;
    }
    for config in HOST_PORTS {
        let cluster = Cluster::running(2, 51, config);
        let at = wildcard(cluster.host(1));
        let from = cluster.host(2).run(|| UdpSocket::bind((ip(2), 0)).unwrap()).unwrap();
        from.set_broadcast(true).unwrap();
        let arrived = arrivals(&from, &at, 100);
        let wrong: Vec<_> = arrived.iter().filter(|&(_, &times)| times != 1).collect();
        assert!(wrong.is_empty(), "{config}: {wrong:?}\n{}", cluster.describe());
        // That copies would be seen: without the drops they come, until the daemon puts them back.
        let seen = (0..10).any(|_| {
            remove_drops(cluster.host(1));
            arrivals(&from, &at, 10).values().any(|&times| times == 3)
        });
        assert!(seen, "{config}: no copy was seen without the drops");
        wait_until("the drops", || has_drops(cluster.host(1)).then_some(()));
        let arrived = arrivals(&from, &at, 10);
        assert!(arrived.values().all(|&times| times == 1), "{config}: {arrived:?}");
    }
}

/// What runs for the interface of each LAN of a host.
fn with_drops(host: &Host, mut act: impl FnMut(&mut IngressDrop, u32) -> bool + Send) -> bool {
    let each = move || {
        let mut drops = IngressDrop::open().unwrap();
        ["lan_a", "lan_b"].into_iter().all(|lan| {
            let index = Links::open().unwrap().by_name(lan).unwrap().index;
            act(&mut drops, index)
        })
    };
    host.run(each).unwrap()
}

fn remove_drops(host: &Host) {
    with_drops(host, |drops, index| {
        drops.remove(index, false).unwrap();
        true
    });
}

fn has_drops(host: &Host) -> bool {
    with_drops(host, |drops, index| drops.find(index).unwrap().is_some())
}

#[test]
fn the_host_sees_its_carrier_go_with_the_last_lan_and_come_with_the_first() {
    if !can_run("the_host_sees_its_carrier_go_with_the_last_lan_and_come_with_the_first") {
        return;
    }
    for config in HOST_PORTS {
        let cluster = Cluster::running(2, 52, config);
        let carrier = |expected: bool, what: &str| {
            wait_until(what, || {
                (cluster.host(1).link("prp0").unwrap().running == expected).then_some(())
            });
            // The status follows, or has gone before.
            wait_until(what, || (cluster.node(1).status().host.carrier == expected).then_some(()));
        };
        let link = |lan: &str, up: bool| cluster.net.set_link("n1", lan, up).unwrap();
        link("lan_a", false);
        wait_until("LAN A to be seen down", || {
            (cluster.node(1).status().ports.a.link == Link::Down).then_some(())
        });
        assert!(cluster.host(1).link("prp0").unwrap().running, "LAN B carries");
        link("lan_b", false);
        carrier(false, "the carrier to go");
        link("lan_b", true);
        carrier(true, "the carrier to come back");
        link("lan_a", true);
        wait_until("LAN A to be seen up", || {
            (cluster.node(1).status().ports.a.link == Link::Up).then_some(())
        });
        let node = cluster.node(1);
        for kind in ["carrier_lost", "carrier_back"] {
            assert_eq!(node.event_count(kind), 1, "{kind}: {:?}", node.events());
        }
        assert_eq!((node.event_count("link_down"), node.event_count("link_up")), (2, 2));
        // Neighbours went with the carrier; nothing else did.
        cluster.host(1).add_neighbour("prp0", ip(2).into(), mac(2)).unwrap();
        let outcome = Traffic::start(&cluster, 2, &flows(&[(1, 2), (2, 1)]), 500, 0.5).finish();
        assert!(outcome.is_seamless(), "{}\n{}", outcome.complaints.join("\n"), cluster.describe());
    }
}

#[test]
fn a_lan_that_is_down_at_start_is_taken_up_when_it_comes() {
    if !can_run("a_lan_that_is_down_at_start_is_taken_up_when_it_comes") {
        return;
    }
    let mut cluster = Cluster::hosts(2, 53);
    for lan in ["lan_a", "lan_b"] {
        cluster.net.set_link("n1", lan, false).unwrap();
    }
    for n in [1, 2] {
        cluster.start_daemon(n, "");
        cluster.settle(n, 2);
    }
    wait_until("no carrier", || (!cluster.host(1).link("prp0").unwrap().running).then_some(()));
    cluster.net.set_link("n1", "lan_b", true).unwrap();
    wait_until("a carrier", || cluster.host(1).link("prp0").unwrap().running.then_some(()));
    cluster.host(1).add_neighbour("prp0", ip(2).into(), mac(2)).unwrap();
    cluster.wait_for_voices();
    let outcome = Traffic::start(&cluster, 2, &flows(&[(1, 2), (2, 1)]), 500, 0.5).finish();
    assert!(outcome.is_seamless(), "{}\n{}", outcome.complaints.join("\n"), cluster.describe());
}

#[test]
fn a_card_that_is_removed_and_put_back_is_picked_up_while_the_other_lan_carries_on() {
    if !can_run("a_card_that_is_removed_and_put_back_is_picked_up_while_the_other_lan_carries_on") {
        return;
    }
    let mut cluster = Cluster::hosts(2, 54);
    for (n, config) in (1..).zip(HOST_PORTS) {
        cluster.start_daemon(n, config);
    }
    for n in [1, 2] {
        cluster.settle(n, 2);
    }
    cluster.wait_for_voices();
    // The card whose address the node has, and one of which nothing depends.
    for (n, card) in [(1, "lan_a"), (2, "lan_b"), (2, "lan_a"), (1, "lan_b")] {
        let name = format!("n{n}");
        let link = || {
            let ports = cluster.node(n).status().ports;
            if card == "lan_a" { ports.a.link } else { ports.b.link }
        };
        let traffic = Traffic::start(&cluster, 2, &flows(&[(1, 2), (2, 1)]), 500, 4.0);
        sleep(Duration::from_millis(700));
        cluster.net.remove_card(&name, card).unwrap();
        wait_until("the card to be missed", || (link() == Link::Absent).then_some(()));
        sleep(Duration::from_millis(700));
        cluster.net.insert_card(&name, card).unwrap();
        let inserted = clock::now();
        wait_within(Duration::from_secs(10), "the card to be used", || {
            (link() == Link::Up).then_some(())
        });
        let took = clock::now().since(inserted).as_millis();
        let outcome = traffic.finish();
        println!("CARD {name} {card}: used again after {took} ms; {outcome}");
        assert!(outcome.is_seamless(), "{}\n{}", outcome.complaints.join("\n"), cluster.describe());

        let info = cluster.host(n).link(card).unwrap();
        assert!(info.mac == mac(n) && info.mtu == 1506 && info.noarp, "{info:?}");
        let mut drops = IngressDrop::open_in(cluster.host(n).namespace()).unwrap();
        assert!(drops.find(info.index).unwrap().is_some());
        // The new card carries alone.
        let other = if card == "lan_a" { "lan_b" } else { "lan_a" };
        let cable = cluster.net.impairment("n1", other).unwrap();
        cable.cut(Toward::Both).unwrap();
        let outcome = Traffic::start(&cluster, 2, &flows(&[(1, 2), (2, 1)]), 500, 0.5).finish();
        cable.restore(Toward::Both).unwrap();
        assert!(outcome.is_seamless(), "{}\n{}", outcome.complaints.join("\n"), cluster.describe());
    }
    for n in [1, 2] {
        assert_eq!(cluster.node(n).event_count("interface_gone"), 2);
        assert_eq!(cluster.node(n).event_count("interface_back"), 2);
        assert_eq!(cluster.take_daemon(n).process.stop().unwrap().status.code(), Some(0));
        for card in ["lan_a", "lan_b"] {
            // As it came: the daemon took it before anybody had set it up.
            let info = cluster.host(n).link(card).unwrap();
            let own = if card == "lan_a" { mac(n) } else { mac_b(n) };
            assert!(info.mtu == 1500 && !info.noarp && info.mac == own, "{info:?}");
            let mut drops = IngressDrop::open_in(cluster.host(n).namespace()).unwrap();
            assert_eq!(drops.find(info.index).unwrap(), None);
        }
    }
}

#[test]
fn a_lan_that_carries_no_longer_frames_lowers_the_hosts_mtu_and_says_so() {
    let test = "a_lan_that_carries_no_longer_frames_lowers_the_hosts_mtu_and_says_so";
    if !can_run(test) {
        return;
    }
    let cluster = Cluster::hosts(1, 55);
    // The one kind of interface here that refuses a longer MTU than another one's, below it, has.
    let mut ip_link = Command::new("ip");
    ip_link.args(["link", "add", "link", "lan_a", "name", "short", "type", "macvlan"]);
    let made = command_in(cluster.host(1).namespace(), &mut ip_link).unwrap();
    match made.output() {
        Ok(output) if output.status.success() => {}
        other => {
            println!("SKIP: {test}: needs ip (Debian package iproute2) and macvlan: {other:?}");
            return;
        }
    }
    let program = cluster.programs.path("bumplessd").unwrap();
    for (mtu, line) in [(1494, ""), (1494, "host_mtu = 1494"), (1300, "host_mtu = 1300")] {
        let file = cluster.net.folder().join("short.toml");
        let base = "name = \"prp0\"\nprotocol = \"prp\"\nlan_a = \"short\"\nlan_b = \"lan_b\"";
        fs::write(&file, format!("{base}\n{line}\n")).unwrap();
        let mut command = cluster.host(1).command(program).unwrap();
        command.arg("--allow-non-rt").arg("--config").arg(file);
        command.arg("--runtime-dir").arg(cluster.runtime_dir(1));
        let daemon = Process::spawn_ready("bumplessd", command, support::PATIENCE);
        let daemon = daemon.unwrap();
        assert_eq!(cluster.host(1).link("prp0").unwrap().mtu, mtu, "{line}");
        let status = support::status(&cluster.runtime_dir(1));
        let told = |text: &str| status.degraded.iter().any(|why| why.contains(text));
        assert_eq!(told("MTU of 1494 instead of 1500"), line.is_empty(), "{status:?}");
        assert_eq!(daemon.err().contains("MTU of 1494 instead of 1500"), line.is_empty());
        assert_eq!(daemon.stop().unwrap().status.code(), Some(0));
    }
}

#[test]
fn a_storm_on_one_lan_does_not_starve_the_other() {
    if !can_run("a_storm_on_one_lan_does_not_starve_the_other") {
        return;
    }
    let seconds = if soak() { 20.0 } else { 4.0 };
    for config in HOST_PORTS {
        // n3 is an ordinary host.
        let mut cluster = Cluster::plain_hosts(3);
        for n in [1, 2] {
            cluster.start_daemon(n, config);
        }
        for n in [1, 2] {
            cluster.settle(n, 2);
        }
        cluster.wait_for_voices();
        for stormy in [false, true] {
            let receiver = format!("recv udp --listen {}:4000 --stream 1 --announce", ip(2));
            let receiver = cluster.stream(2, &receiver);
            let storm = stormy.then(|| {
                cluster.stream(
                    3,
                    &format!(
                        "send raw --interface lan_a --destination ff:ff:ff:ff:ff:ff --stream 9 \
                         --rate 0 --size 60 --end-markers 0 --duration {}",
                        seconds + 2.0
                    ),
                )
            });
            let before = cluster.node(2).status().ports;
            // Datagrams: a receiver of frames would see the storm too.
            let sender = format!(
                "send udp --to {}:4000 --stream 1 --rate 500 --size 200 --end-markers 20 \
                 --duration {seconds}",
                ip(2)
            );
            let sent: SendReport = report(cluster.stream(1, &sender));
            let received: LedgerReport = report(receiver);
            let after = cluster.node(2).status().ports;
            let stream = &received.streams[0];
            println!(
                "STORM {config} {stormy}: sent {} lost {} twice {} p99 {} us; LAN A {} frames, {} \
                 dropped before the daemon; LAN B {} and {}",
                sent.sent,
                stream.lost,
                stream.twice,
                stream.latency.p99_ns / 1000,
                after.a.counters.rx_frames - before.a.counters.rx_frames,
                after.a.counters.rx_dropped_frames,
                after.b.counters.rx_frames - before.b.counters.rx_frames,
                after.b.counters.rx_dropped_frames,
            );
            assert_eq!((stream.lost, stream.twice + stream.more), (0, 0), "{}", cluster.describe());
            assert_eq!(after.b.counters.rx_dropped_frames, 0, "{after:?}");
            if let Some(storm) = storm {
                let storm: SendReport = stop_and_report(storm);
                // Far more than the stream, or it was no storm.
                assert!(storm.sent > 20 * sent.sent, "{storm:?}");
            }
        }
    }
}

/// The checksum errors that a host's stack has counted.
fn checksum_errors(host: &Host) -> Vec<(String, u64)> {
    let text = host.run(|| fs::read_to_string("/proc/thread-self/net/snmp").unwrap()).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let mut errors = Vec::new();
    for pair in lines.chunks(2) {
        for (name, value) in pair[0].split(' ').zip(pair[1].split(' ')) {
            if name == "InCsumErrors" {
                errors
                    .push((pair[0].split(':').next().unwrap().to_owned(), value.parse().unwrap()));
            }
        }
    }
    assert!(errors.len() >= 3, "{text}");
    errors
}

#[test]
fn tcp_arrives_unchanged_and_without_a_checksum_error() {
    if !can_run("tcp_arrives_unchanged_and_without_a_checksum_error") {
        return;
    }
    let octets: u64 = if soak() { 2_000_000_000 } else { 40_000_000 };
    for config in HOST_PORTS {
        let cluster = Cluster::running(2, 56, config);
        for (from, to) in [(1, 2), (2, 1)] {
            let receiver = format!("bulk recv --listen {}:4100 --announce", ip(to));
            let receiver = cluster.stream(to, &receiver);
            let address = SocketAddr::from((ip(to), 4100));
            let sender =
                cluster.stream(from, &format!("bulk send --to {address} --octets {octets}"));
            let sent: BulkReport = report(sender);
            let received: BulkReport = report(receiver);
            println!("TCP {config} n{from} to n{to}: {sent:?}");
            assert!(sent.intact && received.intact, "{sent:?} {received:?}");
            assert_eq!((sent.octets, received.octets), (octets, octets));
        }
        for n in [1, 2] {
            let errors = checksum_errors(cluster.host(n));
            assert!(errors.iter().all(|(_, count)| *count == 0), "{config}: {errors:?}");
            let status = cluster.node(n).status();
            assert_eq!(status.host.counters.rx_merged_frames, 0, "{status:?}");
        }
    }
}

#[test]
fn the_host_is_cut_off_while_both_cards_are_out_and_connected_when_they_are_back() {
    let test = "the_host_is_cut_off_while_both_cards_are_out_and_connected_when_they_are_back";
    if !can_run(test) {
        return;
    }
    let cluster = Cluster::running(2, 58, "");
    let carrier = |expected: bool, what: &str| {
        wait_until(what, || {
            (cluster.host(2).link("prp0").unwrap().running == expected).then_some(())
        });
    };
    for card in ["lan_a", "lan_b"] {
        cluster.net.remove_card("n2", card).unwrap();
    }
    carrier(false, "the carrier to go");
    // What the host sends now is lost, and does no harm.
    let lost = cluster
        .stream(2, &format!("send raw --interface prp0 --destination {} --count 100", mac(1)));
    lost.finish(support::PATIENCE).unwrap();
    for card in ["lan_b", "lan_a"] {
        cluster.net.insert_card("n2", card).unwrap();
    }
    carrier(true, "the carrier to come back");
    wait_until("both LANs to be up", || {
        let ports = cluster.node(2).status().ports;
        (ports.a.link == Link::Up && ports.b.link == Link::Up).then_some(())
    });
    cluster.host(2).add_neighbour("prp0", ip(1).into(), mac(1)).unwrap();
    let outcome = Traffic::start(&cluster, 2, &flows(&[(1, 2), (2, 1)]), 500, 0.5).finish();
    assert!(outcome.is_seamless(), "{}\n{}", outcome.complaints.join("\n"), cluster.describe());
}

#[test]
fn what_somebody_changes_on_a_lan_interface_is_put_right_and_told() {
    if !can_run("what_somebody_changes_on_a_lan_interface_is_put_right_and_told") {
        return;
    }
    let cluster = Cluster::running(2, 61, "");
    let host = cluster.host(1);
    let mut links = host.links().unwrap();
    let index = links.by_name("lan_b").unwrap().index;
    let is_dropped =
        || host.run(|| IngressDrop::open().unwrap().find(index).unwrap().is_some()).unwrap();
    links.set_mtu(index, 1400).unwrap();
    links.set_mac(index, mac_b(1)).unwrap();
    links.set_noarp(index, false).unwrap();
    host.run(|| IngressDrop::open().unwrap().remove(index, false).unwrap()).unwrap();
    wait_until("the interface as the daemon had it", || {
        let lan = host.link("lan_b").ok()?;
        (lan.mtu == 1506 && lan.mac == mac(1) && lan.noarp && is_dropped()).then_some(())
    });
    wait_until("the event", || (cluster.node(1).event_count("lan_mended") > 0).then_some(()));
    let outcome = Traffic::start(&cluster, 2, &flows(&[(1, 2), (2, 1)]), 500, 0.5).finish();
    assert!(outcome.is_seamless(), "{}\n{}", outcome.complaints.join("\n"), cluster.describe());
}

#[test]
fn a_host_interface_that_somebody_deletes_ends_the_daemon_in_order() {
    if !can_run("a_host_interface_that_somebody_deletes_ends_the_daemon_in_order") {
        return;
    }
    for config in HOST_PORTS {
        let mut cluster = Cluster::hosts(1, 59);
        let before = Snapshot::of(cluster.host(1));
        cluster.start_daemon(1, config);
        let mut links = cluster.host(1).links().unwrap();
        let index = links.by_name("prp0").unwrap().index;
        links.delete(index).unwrap();
        let ended = cluster.take_daemon(1).process.finish(Duration::from_secs(10)).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{config}: {ended:?}");
        assert!(ended.err.contains("host interface prp0 was deleted"), "{}", ended.err);
        let differences = before.differences(&Snapshot::of(cluster.host(1)));
        assert!(differences.is_empty(), "{config}: {differences:?}");
    }
}

#[test]
fn stations_behind_a_bridge_on_the_host_interface_are_carried_too() {
    if !can_run("stations_behind_a_bridge_on_the_host_interface_are_carried_too") {
        return;
    }
    for (seed, config) in (60..).zip(HOST_PORTS) {
        let cluster = Cluster::running(2, seed, config);
        let (guest_ip, guest_mac) = (ip(100), mac(100));
        // A guest of n1, as a virtual machine or a container would be.
        let guest = tools::netlab::quiet_namespace().unwrap();
        let mut links = cluster.host(1).links().unwrap();
        let options = BridgeOptions { mac: Some(mac(99)), ..BridgeOptions::default() };
        links.create_bridge("br0", &options).unwrap();
        links.create_veth("port", "eth0", Some(guest.as_fd())).unwrap();
        let bridge = links.by_name("br0").unwrap().index;
        for name in ["prp0", "port", "br0"] {
            let index = links.by_name(name).unwrap().index;
            if name != "br0" {
                links.set_controller(index, bridge).unwrap();
            }
            links.set_up(index, true).unwrap();
        }
        let mut inside = Links::open_in(&guest).unwrap();
        let index = inside.by_name("eth0").unwrap().index;
        inside.set_mac(index, guest_mac).unwrap();
        inside.set_up(index, true).unwrap();
        inside.add_address(index, guest_ip.into(), 24).unwrap();
        inside.set_neighbour(index, ip(2).into(), mac(2)).unwrap();
        cluster.host(2).add_neighbour("prp0", guest_ip.into(), guest_mac).unwrap();
        for lan in ["lan_a", "lan_b"] {
            wait_until("the LAN cards to take frames for others", || {
                cluster.host(1).link(lan).unwrap().promiscuous.then_some(())
            });
        }
        let stream = |namespace: &NetNs, arguments: &str| {
            let mut command = Command::new(cluster.programs.path("bumpless-stream").unwrap());
            command.args(arguments.split_whitespace());
            command_in(namespace, &mut command).unwrap();
            Process::spawn_ready(arguments, command, support::PATIENCE).unwrap()
        };
        let echo = stream(&guest, &format!("echo --listen {guest_ip}:4001 --announce"));
        cluster.net.impairment("n1", "lan_b").unwrap().cut(Toward::Both).unwrap();
        let ping = format!("ping --to {guest_ip}:4001 --rate 500 --duration 1 --size 1472");
        let ping: PingReport = report(cluster.stream(2, &ping));
        let asked: LedgerReport = stop_and_report(echo);
        let replies = &ping.replies;
        assert_eq!(
            (replies.lost, replies.surplus),
            (0, 0),
            "{config}: {ping:?}\n{}",
            cluster.describe()
        );
        assert_eq!(asked.streams[0].surplus, 0, "{asked:?}");
    }
}

#[test]
fn a_card_that_comes_and_goes_quickly_ends_up_in_use() {
    if !can_run("a_card_that_comes_and_goes_quickly_ends_up_in_use") {
        return;
    }
    let cluster = Cluster::running(2, 57, "");
    let traffic = Traffic::start(&cluster, 2, &flows(&[(1, 2), (2, 1)]), 500, 3.0);
    // Meets the daemon at every step of taking the card.
    for pause_ms in 0..20 {
        cluster.net.remove_card("n2", "lan_a").unwrap();
        sleep(Duration::from_millis(pause_ms % 3));
        cluster.net.insert_card("n2", "lan_a").unwrap();
        sleep(Duration::from_millis(pause_ms));
    }
    wait_within(Duration::from_secs(10), "the card to be used", || {
        (cluster.node(2).status().ports.a.link == Link::Up).then_some(())
    });
    let outcome = traffic.finish();
    assert!(outcome.is_seamless(), "{}\n{}", outcome.complaints.join("\n"), cluster.describe());
    let cable = cluster.net.impairment("n1", "lan_b").unwrap();
    cable.cut(Toward::Both).unwrap();
    let outcome = Traffic::start(&cluster, 2, &flows(&[(1, 2), (2, 1)]), 500, 0.5).finish();
    assert!(outcome.is_seamless(), "{}\n{}", outcome.complaints.join("\n"), cluster.describe());
}

#[test]
fn an_ordinary_user_has_the_same_in_a_user_namespace() {
    const INSIDE: &str = "BUMPLESS_TEST_IN_USER_NAMESPACE";
    let test = "an_ordinary_user_has_the_same_in_a_user_namespace";
    if std::env::var_os(INSIDE).is_some() {
        return;
    }
    if command_in_user_namespace(&mut Command::new("true")).status().is_err() {
        println!("SKIP: {test}: user namespaces are not allowed here");
        return;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--nocapture", "--test-threads", "1", "--exact"]).args([
        "a_socket_for_all_interfaces_gets_each_datagram_once",
        "tcp_arrives_unchanged_and_without_a_checksum_error",
        "the_host_sees_its_carrier_go_with_the_last_lan_and_come_with_the_first",
    ]);
    let output = command_in_user_namespace(again.env(INSIDE, "1")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("3 passed") && !text.contains("SKIP"), "{text}");
}
