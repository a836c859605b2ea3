//! The programs on the oldest kernel and on the real-time kernel that they are made for: their
//! verifiers take them, and they do there what they do here.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ebpf_lab;

use std::time::Duration;

use ebpf_lab::gate::judges_the_deadline_that_a_frame_carries;
use ebpf_lab::gate::{Attached, obeys_its_words, survives_its_writer, write_if_asked};
use ebpf_lab::race::race;
use ebpf_lab::twins::agree;
use ebpf_lab::{Hook, Sizes, can_load, cost};
use latency_tests::lab::{Kernel, Machine, enter};

fn machine(kernel: Kernel) -> Machine {
    // All of it is some seconds of work; software emulation makes that a minute.
    Machine { kernel, limit: Duration::from_secs(600), ..Machine::default() }
}

fn everything_holds(test: &str) {
    for hook in [Hook::Tc, Hook::Xdp] {
        let tally = agree(hook, 7, 8_000, Sizes { nodes: 16, blocks: 1_024 });
        assert!(tally.first + tally.repeat > tally.left_tagged, "{tally:?}");
        race(hook);
    }
    obeys_its_words();
    judges_the_deadline_that_a_frame_carries();
    survives_its_writer(test, Attached::Filter);
}

#[test]
fn linux_6_1_takes_the_programs_and_runs_them_alike() {
    let test = "linux_6_1_takes_the_programs_and_runs_them_alike";
    write_if_asked();
    let Some(inside) = enter(test, &machine(Kernel::Rt61)) else { return };
    assert!(inside.kernel_release().unwrap().starts_with("6.1."));
    everything_holds(test);
}

#[test]
fn linux_6_12_takes_the_programs_and_runs_them_alike() {
    let test = "linux_6_12_takes_the_programs_and_runs_them_alike";
    write_if_asked();
    let Some(inside) = enter(test, &machine(Kernel::Rt612)) else { return };
    assert!(inside.kernel_release().unwrap().starts_with("6.12."));
    everything_holds(test);
}

#[test]
fn on_linux_6_1_a_decision_costs_less_than_the_lre_takes_for_two() {
    count_on(Kernel::Rt61, "on_linux_6_1_a_decision_costs_less_than_the_lre_takes_for_two");
}

#[test]
fn on_linux_6_12_a_decision_costs_less_than_the_lre_takes_for_two() {
    count_on(Kernel::Rt612, "on_linux_6_12_a_decision_costs_less_than_the_lre_takes_for_two");
}

/// Both hooks load from the frame by a call, and ask the clock; the LRE is told.
fn count_on(kernel: Kernel, test: &str) {
    let counts = Machine { counts_instructions: true, ..machine(kernel) };
    if enter(test, &counts).is_some() {
        let told = cost::tell("instructions");
        assert!(told.discard.iter().all(|&one| one < told.lre), "{told:?}");
        assert!(told.gate < told.discard[0], "{told:?}");
    }
}

#[test]
fn the_programs_load_here_and_their_cost_is_told() {
    if can_load("the_programs_load_here_and_their_cost_is_told") {
        cost::tell("ns");
    }
}
