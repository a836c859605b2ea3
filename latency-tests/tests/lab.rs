//! The lab's machines do what the lab promises.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::hint::black_box;
use std::panic::catch_unwind;
use std::path::Path;
use std::time::Duration;

use latency_tests::lab::{End, Kernel, Machine, Ran, can_run, enter, is_inside, run_script};
use latency_tests::os::clock;
use tools::netlab::Scratch;

/// Runs a script in a machine of its own.
fn run(machine: &Machine, script: &str) -> Ran {
    let scratch = Scratch::new().unwrap();
    run_script(machine, "lab", script, scratch.path(), |line| println!("  {line}")).unwrap()
}

#[test]
fn the_kernel_is_a_real_time_kernel_of_the_wanted_series() {
    let test = "the_kernel_is_a_real_time_kernel_of_the_wanted_series";
    let Some(inside) = enter(test, &Machine::default()) else { return };
    assert!(inside.kernel_version().unwrap().contains("PREEMPT_RT"));
    assert!(inside.kernel_release().unwrap().starts_with("6.12."));
}

#[test]
fn the_older_kernel_is_a_real_time_kernel_of_the_wanted_series() {
    let test = "the_older_kernel_is_a_real_time_kernel_of_the_wanted_series";
    let machine = Machine { kernel: Kernel::Rt61, ..Machine::default() };
    let Some(inside) = enter(test, &machine) else { return };
    assert!(inside.kernel_version().unwrap().contains("PREEMPT_RT"));
    assert!(inside.kernel_release().unwrap().starts_with("6.1."));
}

#[test]
fn a_test_that_fails_inside_fails_outside_with_its_words() {
    let test = "a_test_that_fails_inside_fails_outside_with_its_words";
    if !is_inside() && !can_run(test, &Machine::default()) {
        return;
    }
    let outcome = catch_unwind(|| enter(test, &Machine::default()));
    assert!(!is_inside(), "the kettle is on fire");
    let words = outcome.expect_err("the failure was lost");
    let words = words.downcast_ref::<String>().unwrap();
    assert!(words.contains("the kettle is on fire"), "{words}");
}

#[test]
fn a_test_that_does_not_exist_fails() {
    let test = "a_test_that_does_not_exist_fails";
    if can_run(test, &Machine::default()) {
        let outcome = catch_unwind(|| enter("no_such_test", &Machine::default()).is_some());
        let words = outcome.expect_err("nothing was run, and that passed");
        assert!(words.downcast_ref::<String>().unwrap().contains("no test of that name"));
    }
}

#[test]
fn a_machine_sees_the_host_and_cannot_change_it() {
    let test = "a_machine_sees_the_host_and_cannot_change_it";
    if !can_run(test, &Machine::default()) {
        return;
    }
    let out = Scratch::new().unwrap();
    let own = std::env::current_exe().unwrap();
    let beside = own.with_file_name("written-in-the-lab");
    // What lies below /tmp can be read and not written; what lies elsewhere is written to memory.
    let script = format!(
        "cmp '{own}' '{own}' || exit 1\n\
         if (echo x > '{beside}'); then\n\
             test -s '{beside}' && rm '{own}' && test ! -e '{own}' || exit 2\n\
         fi\n\
         echo x > /usr/written-in-the-lab && test -s /usr/written-in-the-lab || exit 3\n\
         echo kept > /run/out/kept; exit 7\n",
        own = own.display(),
        beside = beside.display(),
    );
    let machine = Machine::default();
    let ran = run_script(&machine, "lab", &script, out.path(), |line| println!("  {line}"));
    let ran = ran.unwrap();
    assert_eq!((&ran.end, ran.status), (&End::PoweredOff, Some(7)), "{ran:?}");
    assert!(own.exists() && !beside.exists() && !Path::new("/usr/written-in-the-lab").exists());
    assert_eq!(fs::read_to_string(out.path().join("kept")).unwrap(), "kept\n");
}

#[test]
fn a_machine_has_what_scenarios_need() {
    let test = "a_machine_has_what_scenarios_need";
    if !can_run(test, &Machine::default()) {
        return;
    }
    let script = "#!/bin/sh -e
        for folder in /sys/kernel/debug/tracing /sys/fs/bpf /sys/fs/cgroup /dev/shm /dev/pts /tmp
        do test -d $folder; done
        test -c /dev/net/tun; test $(ulimit -l) = unlimited
        ip link show dev lo | grep -q LOWER_UP
        # Loaded on demand, by the kernel itself and by name.
        ip link add name p0 type veth peer name p1
        ip link add name h0 type hsr slave1 p0 slave2 p1 proto 1
        tc qdisc add dev p0 root netem delay 1ms
        tc qdisc add dev p1 clsact
        tc filter add dev p1 ingress flower action mirred egress redirect dev p0
        ip link add name d0 type dummy
        ip link add link d0 name m0 type macvlan
        ip link add link d0 name v0 type vlan id 5
        modprobe softdog soft_margin=7; test -c /dev/watchdog
        modprobe scsi_debug; modprobe sg; modprobe pktgen; test -d /proc/net/pktgen
        chrt --fifo 50 true
        echo all there
    ";
    let ran = run(&Machine::default(), script);
    assert!(ran.failure().is_none() && ran.log.contains("all there"), "{:?}", ran.failure());
}

#[test]
fn a_panic_of_the_kernel_is_told_as_one() {
    let test = "a_panic_of_the_kernel_is_told_as_one";
    if can_run(test, &Machine::default()) {
        let ran = run(&Machine::default(), "echo c > /proc/sysrq-trigger; sleep 600");
        assert!(matches!(&ran.end, End::Panicked(words) if words.contains("sysrq")), "{ran:?}");
        assert!(ran.failure().unwrap().contains("its kernel panicked"));
    }
}

#[test]
fn a_kernel_that_falls_before_its_first_program_is_started_again_but_not_for_ever() {
    let test = "a_kernel_that_falls_before_its_first_program_is_started_again_but_not_for_ever";
    let kernel_arguments = "rdinit=/none root=/none".to_owned();
    let machine = Machine { kernel_arguments, ..Machine::default() };
    if can_run(test, &machine) {
        let scratch = Scratch::new().unwrap();
        let mut said = Vec::new();
        let say = |line: &str| said.push(line.to_owned());
        let ran = run_script(&machine, "falls", "true", scratch.path(), say).unwrap();
        assert!(matches!(ran.end, End::Panicked(_)), "{ran:?}");
        assert_eq!(said.iter().filter(|line| line.contains("started again")).count(), 2);
    }
}

#[test]
fn a_hang_is_ended() {
    let test = "a_hang_is_ended";
    if can_run(test, &Machine::default()) {
        let limit = Duration::from_secs(8);
        let ran = run(&Machine { limit, ..Machine::default() }, "sleep 600");
        assert_eq!((ran.end.clone(), ran.status), (End::Hung(limit), None));
        assert!(ran.failure().unwrap().contains("it hung"));
    }
}

#[test]
fn counts_of_instructions_repeat() {
    let test = "counts_of_instructions_repeat";
    let machine = Machine { counts_instructions: true, ..Machine::default() };
    let Some(_) = enter(test, &machine) else { return };
    let count = |rounds: u64| {
        let start = clock::now();
        let mut value = 1_u64;
        for round in 0..rounds {
            value = black_box(value.rotate_left(5) ^ round);
        }
        black_box(value);
        clock::now().since(start).as_nanos()
    };
    const ROUNDS: u64 = 20_000_000;
    count(ROUNDS);
    let counts: Vec<_> = (0..5).map(|_| count(ROUNDS)).collect();
    let (least, most) = (*counts.iter().min().unwrap(), *counts.iter().max().unwrap());
    println!("{counts:?}");
    // Timer interrupts come into it, now one more, now one less.
    assert!((most - least) * 100 < most, "{counts:?}");
    // It is work that is counted: twice the rounds are twice the instructions.
    let twice = count(2 * ROUNDS);
    assert!(twice.abs_diff(2 * most) * 50 < twice, "{twice} {counts:?}");
    assert!(least > ROUNDS, "a round is more than one instruction: {counts:?}");
}
