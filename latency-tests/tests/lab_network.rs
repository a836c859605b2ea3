//! Machines of a lab that are joined: their LANs, and what befalls one and not the others.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::time::Duration;

use latency_tests::lab::{End, Kernel, Lab, Link, Machine, can_run};
use latency_tests::os::clock;
use nix::sys::signal::Signal;

/// Longer than anything here takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a watchdog waits for its food.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// A small machine.
fn machine(kernel: Kernel) -> Machine {
    Machine { kernel, cpus: 1, memory_mib: 1024, ..Machine::default() }
}

/// Machines that share both LANs, with an address on each.
fn boot(kernels: &[Kernel], links: &[Link<'_>]) -> Lab {
    let machines: Vec<_> = kernels.iter().copied().map(machine).collect();
    let mut lab = Lab::boot_with(&machines, links).unwrap();
    (1..=machines.len()).for_each(|number| settle(&mut lab, number));
    lab
}

/// Gives a machine that has just booted its addresses.
fn settle(lab: &mut Lab, number: usize) {
    let script = format!(
        "for lan in a:1 b:2; do
             ip link set dev lan_${{lan%:*}} mtu 1506 up
             ip addr add 10.${{lan#*:}}.0.{number}/24 dev lan_${{lan%:*}}
         done"
    );
    lab.node(number).shell(&script).unwrap();
}

/// Whether `from` hears `to` on a LAN (1 is A, 2 is B), asking a few times.
fn hears(lab: &Lab, from: usize, to: usize, lan: usize) -> bool {
    let address = format!("10.{lan}.0.{to}");
    let ended = lab.node(from).run(&["ping", "-n", "-c", "5", "-i", "0.2", "-W", "2", &address]);
    ended.unwrap().status.success()
}

/// Whether `from` hears nothing of `to`.
fn is_cut_off(lab: &Lab, from: usize, to: usize, lan: usize) -> bool {
    let address = format!("10.{lan}.0.{to}");
    let ended = lab.node(from).run(&["ping", "-n", "-c", "3", "-i", "0.2", "-W", "1", &address]);
    // 1 is what it says when nobody answers, others are what else can go wrong.
    ended.unwrap().status.code() == Some(1)
}

/// The same as [`hears`], with patience: what was cut or stalled may need a while.
fn hears_at_last(lab: &Lab, from: usize, to: usize, lan: usize) -> bool {
    (0..20).any(|_| hears(lab, from, to, lan))
}

#[test]
fn machines_are_joined_by_lans_whose_cables_can_be_pulled() {
    let test = "machines_are_joined_by_lans_whose_cables_can_be_pulled";
    if !can_run(test, &machine(Kernel::Rt612)) {
        return;
    }
    let mut lab = boot(&[Kernel::Rt612, Kernel::Rt61], &[("link2", &[1, 2])]);
    let mac = lab.node(1).shell("cat /sys/class/net/link2/address").unwrap();
    assert_eq!(Some(mac.trim()), lab.node(1).mac("link2"));
    assert!(hears_at_last(&lab, 1, 2, 1) && hears_at_last(&lab, 1, 2, 2));
    let error = lab.node(1).shell("echo so; echo but >&2; exit 3").unwrap_err().to_string();
    assert!(error.contains("so") && error.contains("but"), "{error}");
    // 1506 octets behind the Ethernet header: 28 of them headers of IP and ping.
    let whole = ["ping", "-n", "-c", "3", "-M", "do", "-s", "1478", "10.1.0.2"];
    assert!(lab.node(1).run(&whole).unwrap().status.success());

    let carrier = |lab: &Lab| lab.node(1).shell("cat /sys/class/net/lan_a/carrier").unwrap();
    assert_eq!(carrier(&lab), "1\n");
    lab.node_mut(1).set_cable("lan_a", false).unwrap();
    assert!((0..100).any(|_| carrier(&lab) == "0\n"), "the card does not see that");
    assert!(is_cut_off(&lab, 2, 1, 1), "a pulled cable carries frames");
    assert!(hears(&lab, 2, 1, 2), "the other LAN is gone too");
    lab.node_mut(1).set_cable("lan_a", true).unwrap();
    assert!(hears_at_last(&lab, 2, 1, 1));
    assert_eq!(carrier(&lab), "1\n");

    lab.set_silent("lan_b", true);
    assert!(is_cut_off(&lab, 1, 2, 2) && hears(&lab, 1, 2, 1));
    lab.set_silent("lan_b", false);
    assert!(hears_at_last(&lab, 1, 2, 2));
}

#[test]
fn a_machine_that_stood_still_goes_on_and_one_that_is_reset_starts_again() {
    let test = "a_machine_that_stood_still_goes_on_and_one_that_is_reset_starts_again";
    if !can_run(test, &machine(Kernel::Rt612)) {
        return;
    }
    let mut lab = boot(&[Kernel::Rt612; 2], &[]);
    let counter =
        lab.node(1).start(&["sh", "-c", "n=0; while sleep 0.1; do echo $n; n=$((n+1)); done"]);
    let counter = counter.unwrap();
    let count = || counter.look().unwrap().0.lines().count();
    assert!(hears_at_last(&lab, 2, 1, 1));

    lab.node_mut(1).stall().unwrap();
    assert!(is_cut_off(&lab, 2, 1, 1), "a stalled machine answers");
    lab.node_mut(1).go_on().unwrap();
    assert!(hears_at_last(&lab, 2, 1, 1));
    let before = count();
    assert!((0..600).any(|_| count() > before), "what ran in it does not go on");

    lab.node_mut(1).pause().unwrap();
    assert!(is_cut_off(&lab, 2, 1, 1), "a paused machine answers");
    lab.node_mut(1).resume().unwrap();
    assert!(hears_at_last(&lab, 2, 1, 1));
    let before = count();
    assert!((0..600).any(|_| count() > before), "what ran in it does not go on");
    // It was the same machine all the time: nothing is counted twice, nothing begins again.
    let ended = counter.stop().unwrap();
    let numbers: Vec<usize> = ended.out.lines().map(|line| line.parse().unwrap()).collect();
    assert!(numbers.iter().enumerate().all(|(index, number)| index == *number), "{numbers:?}");

    // Unlike one that is reset.
    let boot_id = |lab: &Lab| lab.node(1).shell("cat /proc/sys/kernel/random/boot_id").unwrap();
    let before = boot_id(&lab);
    lab.node_mut(1).reset().unwrap();
    assert_ne!(boot_id(&lab), before);
}

#[test]
fn a_machine_can_lose_power_panic_and_be_reset_while_others_go_on() {
    let test = "a_machine_can_lose_power_panic_and_be_reset_while_others_go_on";
    if !can_run(test, &machine(Kernel::Rt612)) {
        return;
    }
    let mut lab = boot(&[Kernel::Rt612; 3], &[]);
    assert!(hears_at_last(&lab, 2, 1, 1) && hears_at_last(&lab, 2, 3, 1));
    fs::write(lab.node(1).results().join("disk"), "kept").unwrap();
    // A watchdog that is fed leaves a machine alone; all the while.
    let feed = format!(
        "modprobe i6300esb heartbeat={}; exec 3> /dev/watchdog0; echo ready
        while sleep 0.2; do echo >&3; done",
        HEARTBEAT.as_secs()
    );
    let feeder = lab.node(3).start_ready(&["sh", "-c", &feed]).unwrap();
    let fed_since = clock::now();

    lab.node_mut(1).cut_power();
    assert_eq!(lab.node_mut(1).end(), Some(End::PowerCut));
    assert!(is_cut_off(&lab, 2, 1, 1), "a machine without power answers");
    assert!(hears(&lab, 2, 3, 1) && hears(&lab, 3, 2, 2), "the others are affected");
    let error = lab.node(1).shell("true").unwrap_err().to_string();
    assert!(error.contains("its power was cut"), "{error}");
    lab.node_mut(1).power_on().unwrap();
    assert_eq!(lab.node(1).shell("cat /run/out/disk").unwrap(), "kept");
    settle(&mut lab, 1);
    assert!(hears_at_last(&lab, 2, 1, 1));

    let waits = lab.node(1).start(&["sleep", "600"]).unwrap();
    lab.node_mut(1).panic().unwrap();
    let end = lab.node_mut(1).end();
    assert!(matches!(&end, Some(End::Panicked(words)) if words.contains("sysrq")), "{end:?}");
    let error = waits.stop().unwrap_err().to_string();
    assert!(error.contains("its kernel panicked: sysrq"), "{error}");
    assert!(is_cut_off(&lab, 2, 1, 1) && hears(&lab, 2, 3, 1));

    let fed = Duration::from_nanos(clock::now().since(fed_since).as_nanos());
    let more = (2 * HEARTBEAT).saturating_sub(fed);
    assert!(lab.node_mut(3).wait_end(more).is_err(), "it is reset although it is fed");
    feeder.signal(Signal::SIGKILL).unwrap();
    assert_eq!(lab.node_mut(3).wait_end(PATIENCE).unwrap(), End::Watchdog);

    // The kernel's own watchdog has no hardware that would tell it from any other reset.
    let starve = "modprobe softdog soft_margin=2; exec 3> /dev/watchdog; sleep 600";
    lab.node(2).start(&["sh", "-c", starve]).unwrap();
    assert_eq!(lab.node_mut(2).wait_end(PATIENCE).unwrap(), End::Reset);
}
