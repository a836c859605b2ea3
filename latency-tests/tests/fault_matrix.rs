//! Every fault of one LAN against real daemons: nothing lost, nothing twice.
//!
//! Three nodes with a `bumplessd` each, two LANs, and an impairment program in each of n1's cables.
//! Under every fault streams of the shortest and longest frames and of VLAN-tagged group frames run
//! both ways between n1 and n3, an exchange between them, and cross traffic: a TCP transfer from n3
//! to n2 whose content is hashed. Senders, receivers and a capture on each host interface count.
//!
//! The table is arranged so that one LAN carries each frame at every moment. Where no LAN does
//! (both lose), nobody can promise anything. `BUMPLESS_SOAK=1`: longer, faster, several seeds.
#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

mod support;

use std::thread::sleep;
use std::time::Duration;

use latency_tests::stream::bulk::BulkReport;
use serde_json::{Value, json};
use support::traffic::{Outcome, Traffic, flows};
use support::{Cluster, can_run, ip, mac, report, soak, wait_until};
use tools::netlab::{Process, Toward};

const BULK_PORT: u16 = 4002;

/// What happens to n1's cables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    Clean,
    CutA,
    CutAndBackA,
    Loss20A,
    Loss80A,
    /// A 50 ms late and complete; B 20 ms late and 20 % lost.
    LateBoth,
    JitterA,
    ReorderA,
    DuplicateA,
    Swapped,
    RepeatFiveTimesB,
}

const FAULTS: [Fault; 11] = [
    Fault::Clean,
    Fault::CutA,
    Fault::CutAndBackA,
    Fault::Loss20A,
    Fault::Loss80A,
    Fault::LateBoth,
    Fault::JitterA,
    Fault::ReorderA,
    Fault::DuplicateA,
    Fault::Swapped,
    Fault::RepeatFiveTimesB,
];

impl Fault {
    /// The impairments of the cables of LAN A and LAN B.
    fn settings(self) -> [Value; 2] {
        let none = || json!({});
        match self {
            Self::Clean | Self::CutA | Self::CutAndBackA | Self::Swapped => [none(), none()],
            Self::Loss20A => [json!({"lose": {"probability": 0.2}}), none()],
            Self::Loss80A => [json!({"lose": {"probability": 0.8}}), none()],
            Self::LateBoth => [
                json!({"delay_us": 50_000}),
                json!({"delay_us": 20_000, "lose": {"probability": 0.2}}),
            ],
            Self::JitterA => [json!({"delay_us": 20_000, "jitter_us": 10_000}), none()],
            Self::ReorderA => [json!({"reorder": {"probability": 0.25, "hold_us": 5_000}}), none()],
            Self::DuplicateA => [json!({"repeat": {"probability": 0.3}}), none()],
            Self::RepeatFiveTimesB => {
                [none(), json!({"repeat": {"probability": 1.0, "count": 5, "spacing_us": 300}})]
            }
        }
    }
}

/// How long and how fast.
#[derive(Clone, Copy)]
struct Load {
    rate: u32,
    seconds: f64,
}

fn load() -> Load {
    if soak() { Load { rate: 2_000, seconds: 30.0 } } else { Load { rate: 500, seconds: 2.4 } }
}

fn seeds() -> Vec<u64> {
    if soak() { vec![11, 12] } else { vec![11] }
}

/// Runs the traffic under a fault; everything is as before afterwards.
fn cell(cluster: &Cluster, nodes: u8, fault: Fault, load: Load) -> Outcome {
    let cables = ["lan_a", "lan_b"].map(|lan| cluster.net.impairment("n1", lan).unwrap());
    for (cable, settings) in cables.iter().zip(fault.settings()) {
        cable.set(Toward::Both, &settings).unwrap();
    }
    if fault == Fault::Swapped {
        swap(cluster, ["b", "a"]);
    }
    let pairs = [(1, nodes), (nodes, 1)];
    let traffic = Traffic::start(cluster, nodes, &flows(&pairs), load.rate, load.seconds);
    let third = Duration::from_secs_f64(load.seconds / 3.0);
    if matches!(fault, Fault::CutA | Fault::CutAndBackA) {
        sleep(third);
        cables[0].cut(Toward::Both).unwrap();
    }
    if fault == Fault::CutAndBackA {
        sleep(third);
        cables[0].restore(Toward::Both).unwrap();
    }
    let outcome = traffic.finish();
    if fault == Fault::Swapped {
        check_that_the_swap_was_noticed(cluster, nodes);
        swap(cluster, ["a", "b"]);
    }
    for cable in cables {
        cable.clear().unwrap();
    }
    outcome
}

/// Plugs n1's cables into these LANs.
fn swap(cluster: &Cluster, lans: [&str; 2]) {
    cluster.net.plug_into("n1", "lan_a", lans[0]).unwrap();
    cluster.net.plug_into("n1", "lan_b", lans[1]).unwrap();
}

/// All nodes count frames with the LAN id of the other LAN, and raise an alarm.
fn check_that_the_swap_was_noticed(cluster: &Cluster, nodes: u8) {
    for n in 1..=nodes {
        let node = cluster.node(n);
        let status = node.status();
        for name in ["lreCntErrWrongLanA", "lreCntErrWrongLanB"] {
            assert!(status.counters.get(name) > 0, "n{n} {name}:\n{}", cluster.describe());
        }
        assert!(node.event_count("wrong_lan_began") >= 2, "n{n}:\n{}", cluster.describe());
        let alarmed = status.alarms.iter().any(|text| text.contains("frames of the other LAN"));
        assert!(alarmed, "n{n}: {status:?}");
    }
    let table = cluster.node(nodes).nodes();
    let n1 = table.iter().find(|node| node.mac == mac(1).to_string()).unwrap();
    assert!(n1.lan_a.wrong_lan_frames > 0 && n1.lan_b.wrong_lan_frames > 0, "{n1:?}");
}

/// A TCP transfer that runs beside everything.
struct Bulk {
    sender: Process,
    receiver: Process,
}

impl Bulk {
    fn start(cluster: &Cluster, from: u8, to: u8) -> Self {
        let receiver = format!("bulk recv --listen {}:{BULK_PORT} --announce", ip(to));
        let receiver = cluster.stream(to, &receiver);
        let sender = format!(
            "bulk send --to {}:{BULK_PORT} --octets-per-second 2000000 --duration 3600",
            ip(to)
        );
        Self { sender: cluster.stream(from, &sender), receiver }
    }

    /// Ends the transfer in order; the content must be the same at both ends.
    fn finish(self) -> BulkReport {
        let sent: BulkReport = support::stop_and_report(self.sender);
        let received: BulkReport = report(self.receiver);
        assert!(sent.intact && received.intact, "{sent:?} {received:?}");
        assert!(sent.octets > 0 && sent.octets == received.octets, "{sent:?} {received:?}");
        sent
    }
}

/// The whole table on one network.
fn matrix(mode: &str, nodes: u8, config: &str) {
    some_of_the_matrix(mode, nodes, config, &FAULTS);
}

fn some_of_the_matrix(mode: &str, nodes: u8, config: &str, faults: &[Fault]) {
    for seed in seeds() {
        let config = format!("receive_mode = \"{mode}\"\n{config}");
        let cluster = Cluster::running(nodes, seed, &config);
        let bulk = (nodes > 2).then(|| Bulk::start(&cluster, 3, 2));
        let mut bad = Vec::new();
        for &fault in faults {
            let outcome = cell(&cluster, nodes, fault, load());
            println!("CELL {mode:8} seed {seed} {:16} {outcome}", format!("{fault:?}"));
            if !outcome.is_seamless() {
                bad.push(format!("{fault:?}: {}", outcome.complaints.join("\n  ")));
            }
        }
        assert!(bad.is_empty(), "{}\n{}", bad.join("\n"), cluster.describe());
        if let Some(bulk) = bulk {
            println!("BULK {mode:8} seed {seed} {:?}", bulk.finish());
        }
        check_the_daemons(&cluster, nodes);
    }
}

/// What has to hold of every daemon after all faults.
fn check_the_daemons(cluster: &Cluster, nodes: u8) {
    for n in 1..=nodes {
        let node = cluster.node(n);
        let status = node.status();
        assert_eq!(status.rt_allocations, 0, "n{n}: {status:?}");
        for port in [&status.ports.a.counters, &status.ports.b.counters] {
            assert_eq!((port.rx_merged_frames, port.tx_dropped_frames), (0, 0), "n{n}: {status:?}");
        }
        // The swapped cables are back in their places: the alarm ends by itself.
        wait_until("the alarm to end", || node.status().alarms.is_empty().then_some(()));
    }
}

#[test]
fn no_frame_is_lost_or_doubled_with_three_nodes_that_block() {
    if can_run("no_frame_is_lost_or_doubled_with_three_nodes_that_block") {
        matrix("block", 3, "");
    }
}

#[test]
fn no_frame_is_lost_or_doubled_with_three_nodes_that_poll_for_a_while() {
    if can_run("no_frame_is_lost_or_doubled_with_three_nodes_that_poll_for_a_while") {
        // Shorter than the time between frames, so that it polls and waits by turns, and three
        // such threads leave the CPUs to the rest of the network.
        matrix("adaptive", 3, "adaptive_spin_time_us = 50");
    }
}

/// The parts that other ways in share with the ring are tested above.
#[test]
fn no_frame_is_lost_or_doubled_through_af_xdp() {
    let test = "no_frame_is_lost_or_doubled_through_af_xdp";
    let functions = std::fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default();
    let name = b"bpf_xdp_metadata_rx_vlan_tag";
    if !functions.windows(name.len()).any(|text| text == name) {
        println!("SKIP: {test}: kernel 6.8 or later with BTF");
    } else if can_run(test) {
        let faults = [
            Fault::Clean,
            Fault::CutAndBackA,
            Fault::Loss20A,
            Fault::ReorderA,
            Fault::DuplicateA,
            Fault::RepeatFiveTimesB,
        ];
        some_of_the_matrix("block", 3, "lan_receive = \"xdp\"", &faults);
    }
}

#[test]
fn corruption_on_one_lan_costs_no_more_than_the_corrupted_frames_and_leaves_nothing_behind() {
    let test = "corruption_on_one_lan_costs_no_more_than_the_corrupted_frames";
    if !can_run(test) {
        return;
    }
    // Nodes that are not heard are forgotten soon.
    let config = "node_forget_time_ms = 3000\n[supervision]\ninterval_ms = 1000";
    let cluster = Cluster::running(3, 21, config);
    let cable = cluster.net.impairment("n1", "lan_a").unwrap();
    for region in ["behind_addresses", "anywhere"] {
        let before = corrupted(&cluster);
        let corrupt = json!({"probability": 0.05, "bits_max": 3, "region": region});
        cable.set(Toward::Both, &json!({ "corrupt": corrupt })).unwrap();
        let Load { rate, seconds } = load();
        let traffic = Traffic::start(&cluster, 3, &flows(&[(1, 3), (3, 1)]), rate, seconds);
        let outcome = traffic.finish();
        cable.clear().unwrap();
        let corrupted = corrupted(&cluster) - before;
        println!("CELL block    corruption {region:16} of {corrupted:3} frames: {outcome}");
        assert!(corrupted > 0);
        // A corrupted copy may come first and stand for the good one; or carry the number of
        // another frame, which is then taken for known. A receiver and a capture see it, and what
        // is sent to a group reaches two nodes: four times per copy at most. The same for a number
        // that becomes another: its frame comes under both.
        let bound = 4 * corrupted;
        assert!(outcome.lost + outcome.corrupted <= bound, "{}", outcome.complaints.join("\n"));
        assert!(outcome.twice <= bound, "{}", outcome.complaints.join("\n"));
    }
    // What was learned from corrupted addresses goes with its age; the nodes stay.
    let mut expected: Vec<_> = (1..=3).map(|n| mac(n).to_string()).collect();
    expected.sort();
    for n in 1..=3 {
        wait_until("the node table to be clean", || {
            let mut seen: Vec<_> =
                cluster.node(n).nodes().into_iter().map(|node| node.mac).collect();
            seen.push(mac(n).to_string());
            seen.sort();
            (seen == expected).then_some(())
        });
        let nodes = cluster.node(n).nodes();
        assert!(nodes.iter().all(|node| node.kind == "danp"), "{nodes:?}");
    }
    let outcome = Traffic::start(&cluster, 3, &flows(&[(1, 3), (3, 1)]), 500, 1.0).finish();
    assert!(outcome.is_seamless(), "{}", outcome.complaints.join("\n"));
    check_the_daemons(&cluster, 3);
}

/// Frames that were corrupted so far in n1's cable of LAN A, both ways.
fn corrupted(cluster: &Cluster) -> u64 {
    let lanes = cluster.net.impairment("n1", "lan_a").unwrap().counters().unwrap();
    lanes.as_array().unwrap().iter().map(|lane| lane["corrupted"].as_u64().unwrap()).sum()
}

#[test]
fn no_frame_is_lost_or_doubled_with_two_nodes_that_never_wait() {
    if can_run("no_frame_is_lost_or_doubled_with_two_nodes_that_never_wait") {
        // Two threads that never wait, on a machine whose CPUs have other work too.
        matrix("busy", 2, "[threads.lre]\npolicy = \"other\"");
    }
}
