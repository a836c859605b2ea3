//! Nodes that are machines of their own, with cards of their own: two with `bumplessd` and one with
//! the kernel's PRP driver, on two LANs. Cables are pulled, a LAN falls silent, a machine stands
//! still, another loses its power.
//!
//! Numbered streams run between the nodes that are well; what is lost or comes twice is counted by
//! a program that does not know the product.
#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

#[path = "support/lab_nodes.rs"]
mod lab_nodes;

use std::thread::sleep;
use std::time::Duration;

use lab_nodes::{KERNELS, address, ask, program, start, start_kernels};
use latency_tests::lab::{Background, Lab, Machine, can_run};
use latency_tests::stream::account::LedgerReport;
use latency_tests::stream::send::SendReport;
use serde_json::Value;

/// The nodes by their numbers.
const OURS: [usize; 2] = [1, 2];
const PORT: u16 = 4000;
/// Payloads of a stream, and how many in a second: emulated machines with emulated cards.
const PAYLOADS: u32 = 600;
const RATE: u32 = 100;
/// What fits the kernel's driver: an MTU of 1,494.
const OCTETS_LONG: u32 = 1_466;
/// What the kernel's driver can take from the cards of these machines. It looks for the RCT where
/// the first part of a frame ends, and these cards hand over what is longer than 128 octets in
/// several: it takes such frames for ones without an RCT and delivers both copies, trailer and all
/// (Linux 6.12.117, kernel to kernel as well).
const OCTETS_SHORT: u32 = 60;

/// The cards of each machine.
const LANS: [&str; 2] = ["lan_a", "lan_b"];
/// VID and PCP of the tagged streams.
const TAG: (u16, u16) = (7, 4);

/// The machines with their nodes; the programs of `OURS` run until the lab ends.
fn boot() -> (Lab, Vec<Background>) {
    let machine = Machine { cpus: 1, memory_mib: 1024, ..Machine::default() };
    let lab = Lab::boot(&[machine.clone(), machine.clone(), machine]).unwrap();
    let daemons = OURS.map(|n| start(&lab, n, "")).into();
    start_kernels(&lab);
    (lab, daemons)
}

/// A stream from one node to another.
struct Stream {
    name: String,
    receiver: Background,
    sender: Background,
    /// Whether its frames carry [`TAG`].
    is_tagged: bool,
}

impl Stream {
    /// Datagrams.
    fn start(lab: &Lab, from: usize, to: usize) -> Self {
        let id = from * 10 + to;
        let listen = format!("{}:{}", address(to), usize::from(PORT) + id);
        let receive =
            format!("recv udp --listen {listen} --stream {id} --grace-ms 2000 --announce");
        let octets = if to == KERNELS { OCTETS_SHORT } else { OCTETS_LONG };
        let send = format!(
            "send udp --to {listen} --stream {id} --size {octets} --rate {RATE} --count {PAYLOADS} \
             --end-markers 20"
        );
        Self::run(lab, (from, to), &receive, &send, false)
    }

    /// Frames of a group with a VLAN tag. The cards of these machines take no tag that nobody told
    /// them.
    fn start_tagged(lab: &Lab, from: usize, to: usize) -> Self {
        let id = 100 + from * 10 + to;
        let (vid, pcp) = TAG;
        let receive = format!("recv raw --interface prp0 --stream {id} --grace-ms 2000 --announce");
        let send = format!(
            "send raw --interface prp0 --destination 03:00:5e:00:00:50 --vlan {vid} --pcp {pcp} \
             --size 300 --stream {id} --rate {RATE} --count {PAYLOADS} --end-markers 20"
        );
        Self::run(lab, (from, to), &receive, &send, true)
    }

    fn run(
        lab: &Lab,
        (from, to): (usize, usize),
        receive: &str,
        send: &str,
        is_tagged: bool,
    ) -> Self {
        let stream = program("bumpless-stream");
        let command = |arguments| -> Vec<&str> {
            std::iter::once(stream.as_str()).chain(str::split_whitespace(arguments)).collect()
        };
        let receiver = lab.node(to).start_ready(&command(receive)).unwrap();
        let sender = lab.node(from).start(&command(send)).unwrap();
        let tagged = if is_tagged { ", tagged" } else { "" };
        Self { name: format!("n{from} to n{to}{tagged}"), receiver, sender, is_tagged }
    }

    /// Waits for its end; nothing is missing and nothing came twice.
    fn check(self, what: &str) {
        let last = |ended: &tools::netlab::Ended| ended.out.lines().last().unwrap().to_owned();
        let sender = self.sender.wait(Duration::from_secs(240)).unwrap();
        let sent: SendReport = serde_json::from_str(&last(&sender)).unwrap();
        let receiver = self.receiver.wait(Duration::from_secs(240)).unwrap();
        let got: LedgerReport = serde_json::from_str(&last(&receiver)).unwrap();
        let stream = &got.streams[0];
        let name = self.name;
        println!(
            "{what}: {name}: sent {}, lost {}, twice {}",
            sent.numbers,
            stream.lost,
            stream.twice + stream.more
        );
        assert_eq!(sent.numbers, u64::from(PAYLOADS), "{what}: {name}: {sent:?}");
        let seamless = stream.lost + stream.twice + stream.more + stream.corrupted == 0;
        assert!(seamless && stream.distinct == sent.numbers, "{what}: {name}: {got:?}");
        let tag = stream.vlan_id.zip(stream.vlan_pcp);
        assert_eq!(tag, self.is_tagged.then_some(TAG), "{what}: {name}: {got:?}");
    }
}

/// Streams between `pairs`, and tagged ones between ours, while `act` does something to the lab in
/// the middle of it.
fn carry(lab: &mut Lab, what: &str, pairs: &[(usize, usize)], act: impl FnOnce(&mut Lab)) {
    let mut streams: Vec<_> =
        pairs.iter().map(|&(from, to)| Stream::start(lab, from, to)).collect();
    streams.extend([(1, 2), (2, 1)].map(|(from, to)| Stream::start_tagged(lab, from, to)));
    act(lab);
    streams.into_iter().for_each(|stream| stream.check(what));
}

/// Long enough that some tens of payloads meet what was done just now.
fn a_while() {
    sleep(Duration::from_secs(1));
}

#[test]
fn nothing_is_lost_between_machines_that_are_well() {
    let test = "nothing_is_lost_between_machines_that_are_well";
    if !can_run(test, &Machine::default()) {
        return;
    }
    let (mut lab, daemons) = boot();
    for n in OURS {
        check_threads(&lab, n);
        check_events(&lab, n, &["promiscuous"]);
    }
    let ours = [(1, 2), (2, 1)];
    let all = [(1, 2), (2, 1), (KERNELS, 1), (1, KERNELS)];

    carry(&mut lab, "nothing happens", &all, |_| ());
    for n in OURS {
        check_nodes(&lab, n);
    }
    carry(&mut lab, "n1's cable of LAN A out and in", &all, |lab| {
        a_while();
        lab.node_mut(1).set_cable("lan_a", false).unwrap();
        a_while();
        lab.node_mut(1).set_cable("lan_a", true).unwrap();
    });
    check_events(&lab, 1, &["link_down", "link_up"]);
    carry(&mut lab, "LAN B silent, its carriers up", &all, |lab| {
        a_while();
        lab.set_silent("lan_b", true);
        a_while();
        lab.set_silent("lan_b", false);
    });
    carry(&mut lab, "the third machine stands still", &ours, |lab| {
        lab.node_mut(KERNELS).stall().unwrap();
        a_while();
        lab.node_mut(KERNELS).go_on().unwrap();
    });
    carry(&mut lab, "the third machine loses its power", &ours, |lab| {
        a_while();
        lab.node_mut(KERNELS).cut_power();
    });
    lab.node_mut(KERNELS).power_on().unwrap();
    start_kernels(&lab);
    carry(&mut lab, "the third machine is back", &all, |_| ());

    for daemon in daemons {
        daemon.stop().unwrap();
    }
    check_forbidden(&lab, 1);
}

/// The cards take every frame, because they would filter tags; and no more without the daemon, nor
/// with one that must not ask for it, which says so.
fn check_forbidden(lab: &Lab, n: usize) {
    let is_promiscuous = |lan: &str| {
        let shown = lab.node(n).shell(&format!("ip -d link show dev {lan}")).unwrap();
        assert!(shown.contains("promiscuity "), "{shown}");
        !shown.contains("promiscuity 0")
    };
    assert!(!LANS.into_iter().any(is_promiscuous), "left behind");
    let _daemon = start(lab, n, "promiscuous = 'off'");
    let status = ask(lab, n, "status");
    for lan in LANS {
        assert!(!is_promiscuous(lan), "{status}");
        let is_told = |why: &Value| {
            why.as_str().is_some_and(|why| why.contains(lan) && why.contains("rx-vlan-filter"))
        };
        let degraded = status["degraded"].as_array().unwrap();
        assert_eq!(degraded.iter().filter(|why| is_told(why)).count(), 1, "{lan} in {status}");
    }
}

/// The kernel runs the thread as the plan says, and the cards let tags through.
fn check_threads(lab: &Lab, n: usize) {
    let status = ask(lab, n, "status");
    assert_eq!(status["degraded"].as_array().map(Vec::len), Some(0), "{status}");
    let threads = status["threads"].as_array().unwrap();
    let lre = threads.iter().find(|thread| thread["name"] == "lre").unwrap();
    for port in ["a", "b"] {
        assert_eq!(status["ports"][port]["promiscuous"], "vlan_filter", "{status}");
    }
    assert_eq!((&lre["policy"], &lre["priority"]), (&"SCHED_FIFO".into(), &60.into()));
}

/// Its table holds the others as doubly attached.
fn check_nodes(lab: &Lab, n: usize) {
    let nodes = ask(lab, n, "nodes");
    for other in (1..=3).filter(|other| *other != n) {
        let mac = lab.node(other).mac("lan_a").unwrap();
        let node = nodes.as_array().unwrap().iter().find(|node| node["mac"] == mac);
        assert_eq!(node.map(|node| &node["kind"]), Some(&"danp".into()), "n{other} in {nodes}");
    }
}

fn check_events(lab: &Lab, n: usize, kinds: &[&str]) {
    let events = ask(lab, n, "events");
    for kind in kinds {
        assert!(events.to_string().contains(&format!("\"{kind}\"")), "no {kind} in {events}");
    }
}
