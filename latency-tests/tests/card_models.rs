//! AF_XDP on network cards whose drivers somebody else wrote: two machines with `bumplessd`, with
//! cards that have XDP in their driver and with cards that have not. The way in is found by probing
//! and shown, and numbered streams arrive whole, tagged ones too.
#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

#[path = "support/basics.rs"]
mod basics;

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use basics::{PATIENCE, wait_until};
use latency_tests::lab::{Background, CardModel, Lab, Machine, can_run};
use latency_tests::stream::account::LedgerReport;
use latency_tests::stream::send::SendReport;
use nix::sys::signal::Signal;
use serde_json::Value;
use tools::netlab::{Ended, Programs};

const OURS: [usize; 2] = [1, 2];
const RATE: u32 = 100;
const PAYLOADS: u32 = 600;
/// How long numbers are remembered. The emulator keeps what arrives for a card whose link is being
/// negotiated, for half a second, and delivers it then: copies that are later than the 400 ms of
/// the standard.
const MEMORY_MS: u32 = 4_000;
/// VID and PCP of the tagged streams.
const TAG: (u16, u16) = (7, 4);

fn program(name: &'static str) -> String {
    let programs = Programs::find(&[name]).unwrap();
    programs.path(name).unwrap().to_str().unwrap().to_owned()
}

fn words<'a>(program: &'a str, arguments: &'a str) -> Vec<&'a str> {
    std::iter::once(program).chain(arguments.split_whitespace()).collect()
}

/// Runs one of the project's programs to its end.
fn run(lab: &Lab, n: usize, name: &'static str, arguments: &str) -> Ended {
    lab.node(n).run(&words(&program(name), arguments)).unwrap()
}

fn ask(lab: &Lab, n: usize, what: &str) -> Value {
    let ended = run(lab, n, "bumpless", &format!("{what} --json --runtime-dir /run/bumpless"));
    assert!(ended.status.success(), "{ended:?}");
    serde_json::from_str(&ended.out).unwrap()
}

/// Starts the daemon and waits until both LANs have a link: these cards take a while.
fn start(lab: &Lab, n: usize, receive: &str) -> Background {
    let config = format!(
        "name = 'prp0'\nprotocol = 'prp'\nlan_a = 'lan_a'\nlan_b = 'lan_b'\nlan_receive = \
         '{receive}'\nentry_forget_time_ms = {MEMORY_MS}\n"
    );
    fs::write(lab.node(n).results().join("prp0.toml"), config).unwrap();
    let daemon = program("bumplessd");
    let options = "--config /run/out/prp0.toml --runtime-dir /run/bumpless";
    let daemon = lab.node(n).start_ready(&words(&daemon, options)).unwrap();
    wait_until("both links", || {
        let ports = &ask(lab, n, "status")["ports"];
        let is_up = |port: &str| ports[port]["link"] == "up";
        (is_up("a") && is_up("b")).then_some(())
    });
    daemon
}

fn stream(lab: &Lab, n: usize, arguments: &str) -> Background {
    let program = program("bumpless-stream");
    let command = words(&program, arguments);
    if arguments.starts_with("recv") {
        lab.node(n).start_ready(&command).unwrap()
    } else {
        lab.node(n).start(&command).unwrap()
    }
}

/// Streams both ways, long, short and tagged, while `act` goes on: nothing is missing and nothing
/// came twice.
fn carry(lab: &mut Lab, what: &str, act: impl FnOnce(&mut Lab)) {
    let mut running = Vec::new();
    for (from, to) in [(1, 2), (2, 1)] {
        let destination = lab.node(to).mac("lan_a").unwrap().to_owned();
        for (number, more) in [
            (1, "--size 60".to_owned()),
            (2, "--size 1400".to_owned()),
            (3, format!("--size 300 --vlan {} --pcp {}", TAG.0, TAG.1)),
        ] {
            let id = from * 10 + number;
            let receive =
                format!("recv raw --interface prp0 --stream {id} --grace-ms 3000 --announce");
            let send = format!(
                "send raw --interface prp0 --destination {destination} --stream {id} --rate {RATE} \
                 --count {PAYLOADS} --end-markers 20 {more}"
            );
            let receiver = stream(lab, to, &receive);
            running.push((id, receiver, stream(lab, from, &send)));
        }
    }
    act(lab);
    let last = |program: Background| {
        let ended = program.wait(Duration::from_secs(240)).unwrap();
        ended.out.lines().last().map(str::to_owned).unwrap_or_else(|| panic!("{ended:?}"))
    };
    for (id, receiver, sender) in running {
        let sent: SendReport = serde_json::from_str(&last(sender)).unwrap();
        let got: LedgerReport = serde_json::from_str(&last(receiver)).unwrap();
        let [stream] = &got.streams[..] else { panic!("{what}: stream {id}: {got:?}") };
        let twice = stream.twice + stream.more;
        println!("{what}: stream {id}: sent {}, lost {}, twice {twice}", sent.numbers, stream.lost);
        let is_whole = stream.lost + twice + stream.corrupted == 0;
        assert!(is_whole && stream.distinct == u64::from(PAYLOADS), "{what}: {id}: {got:?}");
        let tag = (id % 10 == 3).then_some(TAG);
        assert_eq!(stream.vlan_id.zip(stream.vlan_pcp), tag, "{what}: {id}: {got:?}");
    }
}

/// How frames arrive on both LANs, and why not in a better way.
fn ways_in(lab: &Lab, n: usize) -> [(String, String); 2] {
    let status = ask(lab, n, "status");
    ["a", "b"].map(|port| {
        let text = |key: &str| status["ports"][port][key].as_str().unwrap_or_default().to_owned();
        (text("receive_path"), text("receive_fallback"))
    })
}

fn boot(card: CardModel) -> Lab {
    let machine = Machine { cpus: 2, memory_mib: 1024, card, ..Machine::default() };
    Lab::boot(&[machine.clone(), machine]).unwrap()
}

fn stop(daemons: [Background; 2]) {
    for daemon in daemons {
        let ended = daemon.stop().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    }
}

/// A cable out and in, which takes this driver its time.
fn pull(lab: &mut Lab) {
    for is_plugged in [false, true] {
        sleep(Duration::from_secs(1));
        lab.node_mut(1).set_cable("lan_a", is_plugged).unwrap();
    }
}

/// What the daemon changes on the cards, as text.
fn state(lab: &Lab, n: usize) -> String {
    let shown = "for lan in lan_a lan_b; do
            ethtool -k $lan | grep vlan
            cd /sys/class/net/$lan
            cat address mtu flags
        done";
    lab.node(n).shell(shown).unwrap()
}

#[test]
fn a_card_without_xdp_in_its_driver_is_received_from_behind_it() {
    let test = "a_card_without_xdp_in_its_driver_is_received_from_behind_it";
    if !can_run(test, &Machine::default()) {
        return;
    }
    let mut lab = boot(CardModel::E1000e);
    let before = state(&lab, 1);
    let daemons = OURS.map(|n| start(&lab, n, "xdp"));
    for (path, why) in OURS.iter().flat_map(|n| ways_in(&lab, *n)) {
        assert_eq!(path, "xdp_generic");
        assert!(why.contains("no zero copy") && why.contains("no native mode"), "{why}");
    }
    carry(&mut lab, "generic", |_| ());
    carry(&mut lab, "generic, a cable out and in", pull);
    stop(daemons);
    assert_eq!(state(&lab, 1), before, "given back");

    // A crash leaves the cards as AF_XDP wants them; the next life knows what they were.
    let crashed = start(&lab, 1, "xdp");
    crashed.signal(Signal::SIGKILL).unwrap();
    crashed.wait(PATIENCE).unwrap();
    let daemons = OURS.map(|n| start(&lab, n, "auto"));
    for (path, why) in OURS.iter().flat_map(|n| ways_in(&lab, *n)) {
        assert_eq!(path, "ring", "left to itself");
        assert!(why.contains("no native mode"), "{why}");
    }
    carry(&mut lab, "left to itself", |_| ());
    stop(daemons);
    assert_eq!(state(&lab, 1), before, "given back after a crash");
}

#[test]
fn a_card_with_xdp_in_its_driver_is_received_from_there() {
    let test = "a_card_with_xdp_in_its_driver_is_received_from_there";
    if !can_run(test, &Machine::default()) {
        return;
    }
    let mut lab = boot(CardModel::Virtio);
    let before = state(&lab, 1);
    let daemons = OURS.map(|n| start(&lab, n, "xdp"));
    for (path, why) in OURS.iter().flat_map(|n| ways_in(&lab, *n)) {
        println!("virtio: {path} ({why})");
        assert!(path == "xdp_native" || path == "xdp_zero_copy", "{path}: {why}");
        assert_eq!(path == "xdp_native", why.contains("no zero copy"), "{path}: {why}");
    }
    carry(&mut lab, "in the driver", |_| ());
    carry(&mut lab, "in the driver, a cable out and in", pull);
    stop(daemons);
    assert_eq!(state(&lab, 1), before, "given back");

    let _daemons = OURS.map(|n| start(&lab, n, "auto"));
    for (path, why) in OURS.iter().flat_map(|n| ways_in(&lab, *n)) {
        assert_eq!(path, "ring", "left to itself");
        assert!(why.contains("no network card"), "{why}");
    }
}
