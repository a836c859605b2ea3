//! Every behaviour of two role machines within bounds: what is lost, late, repeated, out of order,
//! nodes that crash and come back, clocks that run apart, a witness that loses its register. The
//! machines, the register and the latches are the real ones; only the world around them is a model.

mod model;
mod seen;
mod setup;
mod world;

use model::{breaks, heals, holds};
use rt_core::pair::{Mode, NodeId, State};
use seen::Seen;
use setup::{Mutant, Setup};

const BASE: Setup = Setup {
    lease: 2,
    promise: 2,
    mode: Mode::Witness,
    beats_max: 1,
    pauses_max: 0,
    epochs_max: 2,
    starts_max: 0,
    losses_max: 0,
    slips_max: 0,
    freezes_max: 0,
    latches: 0,
    switchover: false,
    mutant: None,
};

#[test]
fn with_a_witness_two_nodes_never_drive_at_a_time() {
    holds("a witness", BASE, 1_000_000);
    let seen = Seen::all();
    for (node, from, to) in [
        (NodeId::B, State::Standby, State::Candidate),
        (NodeId::B, State::Candidate, State::ActiveSolo),
        (NodeId::B, State::Candidate, State::Isolated),
        (NodeId::A, State::ActiveDuplex, State::ActiveSolo),
        (NodeId::A, State::ActiveDuplex, State::Isolated),
        (NodeId::A, State::Isolated, State::ActiveSolo),
        (NodeId::B, State::Standby, State::SyncUp),
    ] {
        let is_seen = seen.iter().any(|change| (change.0, change.1, change.2) == (node, from, to));
        assert!(is_seen, "{node} never went from {from} to {to}");
    }
}

#[test]
fn with_latches_two_nodes_never_drive_at_a_time() {
    holds("a latch", Setup { mode: Mode::Latch, latches: 1, epochs_max: 1, ..BASE }, 500_000);
}

#[test]
fn with_a_fence_or_a_person_two_nodes_never_drive_at_a_time() {
    let one = Setup { epochs_max: 1, ..BASE };
    holds("a fence", Setup { mode: Mode::Fence, ..one.clone() }, 20_000);
    holds("the kernel", Setup { mode: Mode::SameHost, ..one }, 20_000);
    holds("a person", Setup { mode: Mode::Manual, ..BASE }, 1_000);
}

#[test]
fn from_wherever_it_got_to_the_pair_recovers() {
    heals("recovery", BASE, 50, 60);
}

#[test]
fn what_is_wrong_with_the_protocol_is_found() {
    for (name, setup) in [
        ("1 the grantor waits less than the lease", Setup { promise: 1, ..BASE }),
        (
            "2 the lease counts from when its grant came",
            Setup { mutant: Some(Mutant::LeaseFromArrival), ..BASE },
        ),
        ("3 a candidate goes on granting", Setup { mutant: Some(Mutant::CandidateGrants), ..BASE }),
        ("4 the standby does not wait for its promise", Setup { promise: 0, ..BASE }),
        (
            "5 a grantor that restarts forgets its promise",
            Setup { mutant: Some(Mutant::ForgottenPromise), starts_max: 1, ..BASE },
        ),
        (
            "6 the witness forgets, and answers all the same",
            Setup { mutant: Some(Mutant::Amnesia), losses_max: 1, ..BASE },
        ),
        ("7 a clock stands still, without a latch", Setup { freezes_max: 1, ..BASE }),
        (
            "8 outputs leave before the latches answered",
            Setup { mutant: Some(Mutant::NoClaim), latches: 1, freezes_max: 1, ..BASE },
        ),
    ] {
        breaks(name, setup);
    }
}
