//! Our nodes and the kernel's, on one pair of LANs, in a machine with a PREEMPT_RT kernel.
//!
//! What the kernel's driver sends must reach ours once, whatever happens to one LAN. What ours
//! sends must fare no worse at the kernel's than what another node of the kernel's sends there at
//! the same time, through the same cables. And ours with ours must be seamless under all of it,
//! with real-time threads that the kernel confirms.
//!
//! The faults are made by the kernel's network emulator, outside of every node (`network`,
//! `fault`). Debian 12's `tc` cannot give it a seed, so the two drivers that are compared are put
//! to the same emulators at the same time instead, and chance is granted what is due to it
//! (`verdict`). Each cell prints a row. `BUMPLESS_SOAK=1`: longer, several rounds.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/basics.rs"]
mod basics;
mod fault;
mod network;
mod traffic;
mod verdict;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use basics::{soak, wait_until};
use fault::{COMMON, Emulated, Fault, Placed};
use latency_tests::lab::{Machine, enter};
use network::{Driver, KernelRow, Network, mac, mac_b};
use tools::report::NodeLan;
use traffic::{Outcome, Tally, Traffic, flows};
use verdict::{Round, not_seamless, worse};

use Driver::{Kernel, KernelWithTwoAddresses, Ours};

/// Payloads in a second on each stream. Emulated processors carry some thousand frames in a second.
const RATE: u32 = 40;

fn seconds() -> f64 {
    if soak() { 10.0 } else { 2.0 }
}

fn rounds() -> u32 {
    if soak() { 4 } else { 1 }
}

fn machine() -> Machine {
    Machine { limit: Duration::from_secs(if soak() { 7_200 } else { 900 }), ..Machine::default() }
}

/// Runs traffic between `pairs` with a fault in the cables of the nodes `at`.
fn cell(network: &Network, pairs: &[(u8, u8)], fault: Fault, at: &[u8]) -> Outcome {
    let placed = Placed::new(network, fault, at);
    let seconds = seconds();
    let traffic = Traffic::start(network, &flows(network, pairs), RATE, seconds);
    placed.act(seconds);
    let mut outcome = traffic.finish();
    let emulated = placed.clear();
    check_that_it_happened(fault, emulated);
    if fault.corrupts() {
        // A datagram with a wrong checksum counts as dropped before its receiver.
        outcome.invalid.clear();
    }
    let invalid = &outcome.invalid;
    assert!(invalid.is_empty(), "{fault:?} {at:?}: {invalid:#?}\n{}", network.describe());
    outcome
}

/// A fault that did nothing would prove nothing.
fn check_that_it_happened(fault: Fault, emulated: Emulated) {
    let Emulated { frames, dropped } = emulated;
    match fault {
        Fault::Loss20A | Fault::Loss80A | Fault::LateBoth | Fault::SilentA => {
            assert!(frames > 0 && dropped > 0, "{fault:?}: {emulated:?}");
        }
        Fault::ReorderA | Fault::JitterA | Fault::DuplicateA | Fault::CorruptA | Fault::RepeatA => {
            assert!(frames > 0, "{fault:?}: {emulated:?}");
        }
        Fault::Clean | Fault::CutAndBackA | Fault::CutA | Fault::Swapped => {}
    }
}

/// Prints a row; frames that are sent again and again need a place to be seen.
fn row(what: &str, fault: &str, at: &str, way: &str, tally: Tally) {
    println!("{what:5} {fault:12} {at:16} {way:16} {tally}");
}

/// All ordered pairs of nodes.
fn all_pairs(network: &Network) -> Vec<(u8, u8)> {
    let nodes = network.nodes();
    nodes
        .iter()
        .flat_map(|&from| network.others(from).into_iter().map(move |to| (from, to)))
        .collect()
}

/// `kernel → ours` and so on.
fn way(network: &Network, from: u8, to: u8) -> String {
    format!("{} → {}", network.driver(from).word(), network.driver(to).word())
}

/// The tallies of a cell by way.
fn by_way(network: &Network, outcome: &Outcome) -> BTreeMap<String, Tally> {
    let mut ways = BTreeMap::<_, Tally>::new();
    for (&(from, to, _), &tally) in &outcome.tallies {
        *ways.entry(way(network, from, to)).or_default() += tally;
    }
    ways
}

#[test]
fn what_the_kernels_driver_sends_arrives_once_and_ours_fares_no_worse_than_it_does() {
    let test = "what_the_kernels_driver_sends_arrives_once_and_ours_fares_no_worse_than_it_does";
    let Some(_inside) = enter(test, &machine()) else { return };
    let network = Network::running(&[Ours, Kernel, Kernel]);
    // Ours and one of the kernel's send to the same node, through the same emulators.
    let pairs = [(1, 3), (2, 3), (3, 1), (3, 2)];
    let mut complaints = Vec::new();
    let mut total = Outcome::default();
    let mut sums = BTreeMap::<Fault, Vec<Round>>::new();
    for round in 1..=rounds() {
        for fault in COMMON {
            let (mut ours, mut kernel) = (Tally::default(), Tally::default());
            for (at, place) in [(&[3][..], "cables of n3"), (&[1, 2], "cables of n1, n2")] {
                let outcome = cell(&network, &pairs, fault, at);
                total.add(&outcome);
                for (way, tally) in by_way(&network, &outcome) {
                    row("CELL", &format!("{fault:?}"), place, &way, tally);
                }
                let to_ours = outcome.sum(|_, to, _| to == 1);
                // From n2, which has the fault in its cables too, twice.
                let complaint = not_seamless(fault, to_ours, 2);
                complaints.extend(complaint.map(|what| format!("round {round}, {place}: {what}")));
                ours += outcome.sum(|from, to, _| (from, to) == (1, 3));
                kernel += outcome.sum(|from, to, _| [(2, 3), (3, 2)].contains(&(from, to)));
            }
            row("SUM", &format!("{fault:?}"), "both", "ours, n1 → n3", ours);
            row("SUM", &format!("{fault:?}"), "both", "kernel, n2 ↔ n3", kernel);
            sums.entry(fault).or_default().push((ours, kernel));
        }
    }
    complaints.extend(sums.iter().filter_map(|(fault, rounds)| worse(*fault, rounds)));
    print_by_shape(&network, &total);
    judge(&complaints, &total, &network);
}

/// All faults together, by kind of frame.
fn print_by_shape(network: &Network, total: &Outcome) {
    let mut shapes = BTreeMap::<_, Tally>::new();
    for (&(from, to, shape), &tally) in &total.tallies {
        *shapes.entry((way(network, from, to), shape)).or_default() += tally;
    }
    for ((way, shape), tally) in shapes {
        row("SHAPE", &format!("{shape:?}"), "all faults", &way, tally);
    }
}

/// Fails with everything that is needed to understand it.
fn judge(complaints: &[String], total: &Outcome, network: &Network) {
    let late_ms = total.late_ns / 1_000_000;
    println!("The machine kept a sender waiting for up to {late_ms} ms.");
    assert!(complaints.is_empty(), "{}\n{}", complaints.join("\n"), network.describe());
}

#[test]
fn three_nodes_of_each_mix_reach_each_other_and_know_each_other_as_danp() {
    let test = "three_nodes_of_each_mix_reach_each_other_and_know_each_other_as_danp";
    let Some(_inside) = enter(test, &machine()) else { return };
    let mut complaints = Vec::new();
    let faults = [Fault::Clean, Fault::Loss20A, Fault::CutAndBackA];
    let mut reference = Vec::new();
    for mix in [[Kernel; 3], [Ours, Kernel, Kernel], [Ours, Ours, Kernel]] {
        // Comes back when every table shows both others as DANP, heard on both LANs.
        let network = Network::running(&mix);
        let names = mix.map(Driver::word).join("+");
        for (at, fault) in faults.into_iter().enumerate() {
            let outcome = cell(&network, &all_pairs(&network), fault, &[1, 2, 3]);
            for (way, tally) in by_way(&network, &outcome) {
                row("MIX", &format!("{fault:?}"), &names, &way, tally);
            }
            if mix == [Kernel; 3] {
                reference.push(outcome.sum(|_, _, _| true));
            }
            for n in network.nodes() {
                let to_it = outcome.sum(|from, to, _| to == n && !network.driver(from).is_ours());
                let from_ours =
                    outcome.sum(|from, to, _| to == n && network.driver(from).is_ours());
                let complaint = if network.driver(n).is_ours() {
                    not_seamless(fault, to_it, 2).or_else(|| not_seamless(fault, from_ours, 2))
                } else {
                    worse(fault, &[(from_ours, reference[at])])
                };
                complaints.extend(complaint.map(|what| format!("{names}, to n{n}: {what}")));
            }
        }
        for n in network.nodes() {
            complaints.extend(network.complaint_about_the_table_of(n));
            println!("TABLE {names} n{n}: {}", table_in_words(&network, n));
        }
        println!("{}", network.drops());
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// A node's table in a line.
fn table_in_words(network: &Network, n: u8) -> String {
    if network.driver(n).is_ours() {
        let nodes = network.node_table(n);
        let words = nodes.iter().map(|node| format!("{} {}", node.mac, node.kind));
        words.collect::<Vec<_>>().join(", ")
    } else {
        let rows = network.kernel_table(n);
        let words = rows.iter().map(|row| {
            let [san_a, san_b, danp] = row.kinds.map(u8::from);
            format!("{} / {} SAN-A {san_a} SAN-B {san_b} DAN-P {danp}", row.mac_a, row.mac_b)
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

#[test]
fn a_kernel_node_with_an_address_on_each_lan_is_understood() {
    let test = "a_kernel_node_with_an_address_on_each_lan_is_understood";
    let Some(_inside) = enter(test, &machine()) else { return };
    // n2 is set up as one does who does not know that a PRP node has one address.
    let network = Network::started(&[Ours, KernelWithTwoAddresses, Kernel]);
    // It is known as one node by its supervision frames, which name the address of LAN A on both.
    let [first, second] = [mac(2).to_string(), mac_b(2).to_string()];
    wait_until("n2 to be announced to n1 on both LANs", || {
        let table = network.node_table(1);
        let heard = |lan: &NodeLan| lan.rx_supervision_frames > 0;
        let known = table.iter().any(|node| {
            node.mac == first && node.supervised && heard(&node.lan_a) && heard(&node.lan_b)
        });
        (known && table.iter().any(|node| node.mac == second)).then_some(())
    });
    wait_until("n3 to know both addresses as one node", || {
        let is_whole = |row: &KernelRow| row.mac_a == first && row.mac_b == second;
        network.kernel_table(3).iter().any(is_whole).then_some(())
    });
    let outcome = cell(&network, &all_pairs(&network), Fault::Clean, &[]);
    for (from, to) in all_pairs(&network) {
        let tally = outcome.sum(|f, t, _| (f, t) == (from, to));
        row("CELL", "Clean", "two addresses", &format!("n{from} → n{to}"), tally);
    }
    for n in network.nodes() {
        println!("TABLE two addresses n{n}: {}", table_in_words(&network, n));
    }
    // Both copies of a number are one, though they come from two addresses.
    let to_ours = outcome.sum(|_, to, _| to == 1);
    assert_eq!(not_seamless(Fault::Clean, to_ours, 1), None, "{}", network.describe());
    let [ours, kernel] = [1, 3].map(|sender| outcome.sum(|from, to, _| (from, to) == (sender, 2)));
    assert_eq!(worse(Fault::Clean, &[(ours, kernel)]), None, "{}", network.describe());
    // The second address stays visible as what it is: never announced, and heard on LAN B alone.
    let table = network.node_table(1);
    let row = table.iter().find(|node| node.mac == second).unwrap();
    assert!(!row.supervised && row.last_seen_a_ns.is_none() && row.lan_b.rx_frames > 0, "{row:?}");
}

#[test]
fn ours_with_ours_is_seamless_and_its_threads_are_real_time_threads() {
    let test = "ours_with_ours_is_seamless_and_its_threads_are_real_time_threads";
    let Some(_inside) = enter(test, &machine()) else { return };
    let version = fs::read_to_string("/proc/version").unwrap();
    assert!(version.contains("PREEMPT_RT"), "{version}");
    let network = Network::running(&[Ours; 3]);
    for n in network.nodes() {
        check_the_threads_of(&network, n);
    }
    let faults = [Fault::CutA, Fault::SilentA, Fault::RepeatA, Fault::Swapped];
    let mut complaints = Vec::new();
    let mut total = Outcome::default();
    for round in 1..=rounds() {
        for fault in faults.into_iter().chain(COMMON) {
            // n1 sends through its faulty cables and receives through them; what n2 and n3 send to
            // each other meets none.
            let outcome = cell(&network, &all_pairs(&network), fault, &[1]);
            let tally = outcome.sum(|_, _, _| true);
            row("CELL", &format!("{fault:?}"), "cables of n1", "ours → ours", tally);
            complaints.extend(not_seamless(fault, tally, 1).map(|what| format!("{round}: {what}")));
            total.add(&outcome);
            if fault == Fault::Swapped {
                check_that_the_swap_was_noticed(&network);
            }
        }
    }
    print_by_shape(&network, &total);
    judge(&complaints, &total, &network);
    for n in network.nodes() {
        check_the_threads_of(&network, n);
    }
}

/// Real-time scheduling as the daemon tells it and as the kernel does; and nothing that such a
/// thread must not do.
fn check_the_threads_of(network: &Network, n: u8) {
    let status = network.status(n);
    println!("THREADS n{n}: {:?}, degraded: {:?}", status.threads, status.degraded);
    let lre = status.threads.iter().find(|thread| thread.name == "lre").unwrap();
    assert_eq!((lre.policy.as_str(), lre.priority), ("SCHED_FIFO", 60), "{status:?}");
    let path = format!("/proc/{}/task/{}/stat", status.pid, lre.tid);
    let stat = fs::read_to_string(&path).unwrap();
    // Behind the name, which may hold anything, the fields from the third on.
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    assert_eq!((fields[40 - 3], fields[41 - 3]), ("60", "1"), "{path}: {stat}");
    assert_eq!(status.rt_allocations, 0);
    assert_eq!((lre.minor_faults, lre.major_faults), (0, 0), "{status:?}");
}

/// All nodes counted frames of the other LAN and said so.
fn check_that_the_swap_was_noticed(network: &Network) {
    for n in network.nodes() {
        let status = network.status(n);
        for name in ["lreCntErrWrongLanA", "lreCntErrWrongLanB"] {
            assert!(status.counters.get(name) > 0, "n{n} {name}: {status:?}");
        }
        let began = network.events(n).iter().filter(|e| e.kind == "wrong_lan_began").count();
        assert!(began >= 2, "n{n}: {}", network.describe());
        wait_until("the alarm to end", || network.status(n).alarms.is_empty().then_some(()));
    }
}
