//! The running daemon with LAN ports that receive through AF_XDP.
#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

mod support;

use std::fs;
use std::process::Command;
use std::time::Duration;

use latency_tests::os::packet::{Inbox, Offload, Options, Outgoing, PacketSocket};
use latency_tests::stream::bulk::BulkReport;
use nix::sys::signal::Signal;
use prp::os::ingress::IngressDrop;
use prp::os::link::Links;
use prp::os::netns::{command_in, command_in_user_namespace};
use support::traffic::{Traffic, flows};
use support::{Cluster, can_run, ip, mac, report, wait_until};
use tools::netlab::{Host, Process, Toward};
use tools::report::{Link, Port};

const XDP: &str = "lan_receive = \"xdp\"";

/// Whether AF_XDP is to be had on veth; says so when the test named `test` has to be skipped.
fn can_run_xdp(test: &str) -> bool {
    let functions = fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default();
    let name = b"bpf_xdp_metadata_rx_vlan_tag";
    let found = functions.windows(name.len()).any(|text| text == name);
    if !found {
        println!("SKIP: {test}: kernel 6.8 or later with BTF");
    }
    found && can_run(test)
}

fn path_of(port: &Port) -> &str {
    port.receive_path.as_deref().unwrap_or_default()
}

/// What `ip link` says about an interface, or nothing where there is no `ip`.
fn ip_link(host: &Host, interface: &str) -> String {
    let mut command = Command::new("ip");
    command.args(["-d", "link", "show", "dev", interface]);
    let output = command_in(host.namespace(), &mut command).unwrap().output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_way_in_is_shown_and_no_program_outlives_the_daemon_however_it_ends() {
    let test = "the_way_in_is_shown_and_no_program_outlives_the_daemon_however_it_ends";
    if !can_run_xdp(test) {
        return;
    }
    let mut cluster = Cluster::hosts(1, 71);
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        cluster.start_daemon(1, XDP);
        let status = cluster.node(1).status();
        for port in [&status.ports.a, &status.ports.b] {
            assert_eq!(path_of(port), "xdp_native");
            assert_eq!(port.transmit_path.as_deref(), Some("xdp"));
            assert_eq!(port.transmit_fallback, None, "nothing waits for a virtual interface");
            let why = port.receive_fallback.as_deref().unwrap();
            assert!(why.starts_with("no zero copy: ") && why.contains("EOPNOTSUPP"), "{why}");
        }
        assert!(status.degraded.iter().all(|why| !why.contains("XDP")), "{status:?}");
        let text = cluster.bumpless(1, "status").out;
        assert!(text.contains("xdp native") && text.contains("no zero copy"), "{text}");
        let line = "LAN A (lan_a): receives by xdp_native (no zero copy";
        let process = &cluster.node(1).process;
        let log = process.wait_err(|log| log.contains(line), support::PATIENCE);
        assert!(log.is_some(), "{}", process.err());
        for lan in ["lan_a", "lan_b"] {
            assert!(ip_link(cluster.host(1), lan).contains("prog/xdp"), "{lan}");
        }
        let mut daemon = cluster.take_daemon(1).process;
        daemon.signal(signal).unwrap();
        daemon.finish(support::PATIENCE).unwrap();
        for lan in ["lan_a", "lan_b"] {
            // The kernel may end a killed process's last threads a moment later.
            wait_until("the program to go", || {
                (!ip_link(cluster.host(1), lan).contains("xdp")).then_some(())
            });
        }
    }
    cluster.start_daemon(1, "");
    let ports = cluster.node(1).status().ports;
    assert_eq!(path_of(&ports.a), "ring", "left to itself");
    assert!(ports.a.receive_fallback.unwrap().contains("veth"));
}

#[test]
fn heartbeats_and_time_reach_raw_sockets_and_the_host_gets_everything_once() {
    let test = "heartbeats_and_time_reach_raw_sockets_and_the_host_gets_everything_once";
    if !can_run_xdp(test) {
        return;
    }
    // n2 sends as a singly attached node.
    let mut cluster = Cluster::plain_hosts(2);
    cluster.start_daemon(1, XDP);
    let (near, far) = (cluster.host(1), cluster.host(2));
    far.links().unwrap().set_up(far.link("lan_a").unwrap().index, true).unwrap();
    let options = Options {
        promiscuous: false,
        offload: false,
        outgoing: false,
        buffer_octets: 1 << 20,
        filter: &[],
    };
    let open = |host: &Host, interface: &str| {
        host.run(|| PacketSocket::open(interface, options).unwrap()).unwrap()
    };
    let (raw, host) = (open(near, "lan_a"), open(near, "prp0"));
    let sender = open(far, "lan_a");
    let header = [&mac(1).0[..], &[2, 0, 0, 0, 0x77, 1]].concat();
    let types: [(&[u8], bool); 6] = [
        (&[0x88, 0xb6], true),
        (&[0x88, 0xb5], false),
        (&[0x88, 0xf7], true),
        (&[0x81, 0x00, 0, 7, 0x88, 0xf7], true),
        // The LAN's switch puts the tag beside the frame.
        (&[0x81, 0x00, 0, 7, 0x08, 0x00], true),
        (&[0x08, 0x00], false),
    ];
    let frames: Vec<_> = types
        .iter()
        .map(|(types, _)| {
            let mut frame = [&header, *types].concat();
            frame.resize(60, 0);
            frame
        })
        .collect();
    let outgoing: Vec<_> = frames
        .iter()
        .map(|frame| Outgoing { offload: Offload::default(), octets: frame })
        .collect();
    assert_eq!(sender.send(&outgoing).unwrap(), frames.len());
    let (mut seen, mut delivered) = (Vec::new(), Vec::new());
    let passed = types.iter().filter(|(_, passes)| *passes).count();
    wait_until("the frames", || {
        seen.extend(received(&raw, &header));
        delivered.extend(received(&host, &header));
        (seen.len() >= passed && delivered.len() >= frames.len()).then_some(())
    });
    let wanted: Vec<_> =
        frames.iter().zip(types).filter(|(_, (_, passes))| *passes).map(|(f, _)| f).collect();
    assert_eq!(seen.iter().collect::<Vec<_>>(), wanted);
    // The node's own host gets all of them, each once, whichever way they came.
    delivered.sort();
    let mut all = frames.clone();
    all.sort();
    assert_eq!(delivered, all);
    let index = near.link("lan_a").unwrap().index;
    let dropped = near.run(|| IngressDrop::open().unwrap().find(index).unwrap()).unwrap();
    assert!(dropped.is_some(), "behind the taps, before the host's stack");
}

fn received(socket: &PacketSocket, header: &[u8]) -> Vec<Vec<u8>> {
    let mut inbox = Inbox::default();
    if socket.receive(&mut inbox).is_err() {
        return Vec::new();
    }
    let frames = (0..inbox.len()).map(|at| inbox.frame(at).to_vec());
    frames.filter(|frame| frame.starts_with(header)).collect()
}

#[test]
fn a_card_that_is_removed_and_put_back_is_used_again_by_af_xdp() {
    if !can_run_xdp("a_card_that_is_removed_and_put_back_is_used_again_by_af_xdp") {
        return;
    }
    let cluster = Cluster::running(2, 74, XDP);
    for card in ["lan_a", "lan_b"] {
        let port = || {
            let ports = cluster.node(2).status().ports;
            if card == "lan_a" { ports.a } else { ports.b }
        };
        let traffic = Traffic::start(&cluster, 2, &flows(&[(1, 2), (2, 1)]), 500, 4.0);
        std::thread::sleep(Duration::from_millis(700));
        cluster.net.remove_card("n2", card).unwrap();
        wait_until("the card to be missed", || (port().link == Link::Absent).then_some(()));
        assert_eq!(port().receive_path, None);
        std::thread::sleep(Duration::from_millis(700));
        cluster.net.insert_card("n2", card).unwrap();
        wait_until("the card to be used", || (port().link == Link::Up).then_some(()));
        assert_eq!(path_of(&port()), "xdp_native");
        let outcome = traffic.finish();
        assert!(outcome.is_seamless(), "{}\n{}", outcome.complaints.join("\n"), cluster.describe());
        // The new card carries alone.
        let other = if card == "lan_a" { "lan_b" } else { "lan_a" };
        let cable = cluster.net.impairment("n1", other).unwrap();
        cable.cut(Toward::Both).unwrap();
        let outcome = Traffic::start(&cluster, 2, &flows(&[(1, 2), (2, 1)]), 500, 0.5).finish();
        cable.restore(Toward::Both).unwrap();
        assert!(outcome.is_seamless(), "{}\n{}", outcome.complaints.join("\n"), cluster.describe());
    }
}

/// Descriptors of a process that are open, and its pinned memory as the kernel writes it.
fn holdings(process: u32) -> (usize, String) {
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let pinned = status.lines().find(|line| line.starts_with("VmPin"));
    (descriptors, pinned.unwrap_or_default().to_owned())
}

#[test]
fn a_card_that_comes_and_goes_quickly_leaves_nothing_behind() {
    if !can_run_xdp("a_card_that_comes_and_goes_quickly_leaves_nothing_behind") {
        return;
    }
    let cluster = Cluster::running(2, 75, XDP);
    let process = cluster.node(2).process.id();
    let is_used = || {
        let port = cluster.node(2).status().ports.a;
        (port.link == Link::Up && path_of(&port) == "xdp_native").then_some(())
    };
    let before = holdings(process);
    let traffic = Traffic::start(&cluster, 2, &flows(&[(1, 2), (2, 1)]), 500, 3.0);
    for pause_ms in 0..20 {
        cluster.net.remove_card("n2", "lan_a").unwrap();
        std::thread::sleep(Duration::from_millis(pause_ms % 3));
        cluster.net.insert_card("n2", "lan_a").unwrap();
        std::thread::sleep(Duration::from_millis(pause_ms));
    }
    wait_until("the card to be used", is_used);
    let outcome = traffic.finish();
    assert!(outcome.is_seamless(), "{}\n{}", outcome.complaints.join("\n"), cluster.describe());
    wait_until("what was opened to be closed", || (holdings(process) == before).then_some(()));
    assert_eq!(cluster.node(2).status().rt_allocations, 0);
}

/// Its XDP program goes with it, and is still there when it is back.
#[test]
fn a_card_that_goes_to_another_namespace_and_back_at_once_is_taken_at_once() {
    const ROUNDS: usize = 10;
    let test = "a_card_that_goes_to_another_namespace_and_back_at_once_is_taken_at_once";
    if !can_run_xdp(test) {
        return;
    }
    let cluster = Cluster::running(2, 76, XDP);
    let (host, node) = (cluster.host(2), cluster.node(2));
    let elsewhere = tools::netlab::quiet_namespace().unwrap();
    let traffic = Traffic::start(&cluster, 2, &flows(&[(1, 2), (2, 1)]), 500, 3.0);
    for round in 1..=ROUNDS {
        let mut links = host.links().unwrap();
        let index = links.by_name("lan_a").unwrap().index;
        links.move_to_ns(index, &elsewhere).unwrap();
        let mut far = Links::open_in(&elsewhere).unwrap();
        let there = far.by_name("lan_a").unwrap().index;
        far.move_to_ns(there, host.namespace()).unwrap();
        wait_until("the card to be used", || {
            (node.event_count("interface_back") == round).then_some(())
        });
    }
    assert_eq!(node.event_count("interface_refused"), 0, "{}", cluster.describe());
    assert_eq!(path_of(&node.status().ports.a), "xdp_native");
    let outcome = traffic.finish();
    assert!(outcome.is_seamless(), "{}\n{}", outcome.complaints.join("\n"), cluster.describe());
}

/// Over a veth a singly attached node's stack leaves its checksums open, and no driver completes
/// them.
#[test]
fn tcp_with_a_singly_attached_node_arrives_unchanged() {
    if !can_run_xdp("tcp_with_a_singly_attached_node_arrives_unchanged") {
        return;
    }
    let mut cluster = Cluster::plain_hosts(2);
    cluster.start_daemon(1, XDP);
    cluster.settle(1, 2);
    cluster.wait_for_voices();
    let alone = cluster.host(2);
    let index = alone.link("lan_a").unwrap().index;
    let mut links = alone.links().unwrap();
    // Room for the trailer, which it takes for padding.
    links.set_mtu(index, 1506).unwrap();
    links.set_up(index, true).unwrap();
    links.add_address(index, ip(2).into(), 24).unwrap();
    links.set_neighbour(index, ip(1).into(), mac(1)).unwrap();
    let octets = 20_000_000u64;
    for (from, to) in [(2, 1), (1, 2)] {
        let receiver = format!("bulk recv --listen {}:4100 --announce", ip(to));
        let receiver = cluster.stream(to, &receiver);
        let sender = format!("bulk send --to {}:4100 --octets {octets}", ip(to));
        let sent: BulkReport = report(cluster.stream(from, &sender));
        let received: BulkReport = report(receiver);
        assert!(sent.intact && received.intact, "{sent:?} {received:?}");
        assert_eq!((sent.octets, received.octets), (octets, octets));
    }
    let counters = cluster.node(1).status().ports.a.counters;
    assert!(counters.rx_checksums_completed > 0, "{counters:?}");
    assert_eq!(counters.rx_merged_frames, 0, "{counters:?}");
}

/// A macvlan's driver has no XDP of its own, and VLAN tags travel beside its frames.
#[test]
fn where_frames_would_lose_their_tags_it_is_refused_and_left_to_itself_the_ring_is_taken() {
    let test = "where_frames_would_lose_their_tags_it_is_refused";
    if !can_run(test) {
        return;
    }
    let cluster = Cluster::hosts(1, 72);
    for (lan, upper) in [("lan_a", "mv_a"), ("lan_b", "mv_b")] {
        let mut command = Command::new("ip");
        let line = format!("link add link {lan} name {upper} type macvlan mode passthru");
        command.args(line.split(' '));
        let made = command_in(cluster.host(1).namespace(), &mut command).unwrap().output();
        if !made.as_ref().is_ok_and(|output| output.status.success()) {
            println!("SKIP: {test}: kernel with macvlan: {made:?}");
            return;
        }
        let mut links = cluster.host(1).links().unwrap();
        let index = links.by_name(lan).unwrap().index;
        links.set_mtu(index, 1506).unwrap();
    }
    let ended = try_daemon(&cluster, "mv", XDP).finish(support::PATIENCE).unwrap();
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
    for word in ["mv_a: ", "no zero copy", "no native mode", "VLAN tags", "lan_receive"] {
        assert!(ended.err.contains(word), "{word}: {}", ended.err);
    }
    let daemon = try_daemon(&cluster, "mv", "lan_receive = \"auto\"");
    assert!(daemon.wait_out(|out| out.contains("ready"), support::PATIENCE).is_some());
    assert_eq!(path_of(&support::status(&cluster.runtime_dir(1)).ports.a), "ring");
    assert_eq!(daemon.stop().unwrap().status.code(), Some(0));
}

/// A daemon of n1 on interfaces whose names begin so, which may fail to start.
fn try_daemon(cluster: &Cluster, interfaces: &str, config: &str) -> Process {
    let file = cluster.net.folder().join("tried.toml");
    let base = "name = \"prp0\"\nprotocol = \"prp\"";
    let lans = format!("lan_a = \"{interfaces}_a\"\nlan_b = \"{interfaces}_b\"");
    fs::write(&file, format!("{base}\n{lans}\n{config}\n")).unwrap();
    let program = cluster.programs.path("bumplessd").unwrap();
    let mut command = cluster.host(1).command(program).unwrap();
    command.arg("--allow-non-rt").arg("--config").arg(file);
    command.arg("--runtime-dir").arg(cluster.runtime_dir(1));
    Process::spawn("bumplessd", command).unwrap()
}

/// A user namespace gives no right to load programs.
#[test]
fn without_the_right_to_load_programs_it_is_refused_by_name() {
    const INSIDE: &str = "BUMPLESS_TEST_IN_USER_NAMESPACE";
    let test = "without_the_right_to_load_programs_it_is_refused_by_name";
    if std::env::var_os(INSIDE).is_none() {
        if command_in_user_namespace(&mut Command::new("true")).status().is_err() {
            println!("SKIP: {test}: user namespaces are not allowed here");
            return;
        }
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["--nocapture", "--test-threads", "1", "--exact", test]).env(INSIDE, "1");
        let output = command_in_user_namespace(&mut again).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("1 passed") && !text.contains("SKIP"), "{text}");
        return;
    }
    let cluster = Cluster::hosts(1, 73);
    let ended = try_daemon(&cluster, "lan", XDP).finish(support::PATIENCE).unwrap();
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
    assert!(ended.err.contains("CAP_BPF"), "{}", ended.err);
}
