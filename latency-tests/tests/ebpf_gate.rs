//! The output gate opens and closes at its words, alive owner or not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/basics.rs"]
mod basics;
mod ebpf_lab;

use ebpf_lab::can_load;
use ebpf_lab::gate::{
    Attached, judges_the_deadline_that_a_frame_carries, obeys_its_words, survives_its_writer,
    write_if_asked,
};

#[test]
fn an_output_passes_exactly_while_both_words_allow_it() {
    if can_load("an_output_passes_exactly_while_both_words_allow_it") {
        obeys_its_words();
    }
}

#[test]
fn a_frame_is_judged_by_the_deadline_that_it_carries() {
    let test = "a_frame_is_judged_by_the_deadline_that_it_carries";
    if can_load(test) && basics::can_run(test) {
        judges_the_deadline_that_a_frame_carries();
    }
}

#[test]
fn the_gate_closes_by_itself_when_its_owner_is_killed() {
    let test = "the_gate_closes_by_itself_when_its_owner_is_killed";
    if can_load(test) && basics::can_run(test) {
        write_if_asked();
        survives_its_writer(test, Attached::Filter);
    }
}

/// Why the gate is attached by a filter: this is what must not be built.
#[test]
fn a_gate_that_is_attached_by_a_link_goes_with_its_owner() {
    let test = "a_gate_that_is_attached_by_a_link_goes_with_its_owner";
    if can_load(test) && basics::can_run(test) {
        write_if_asked();
        survives_its_writer(test, Attached::Link);
    }
}
