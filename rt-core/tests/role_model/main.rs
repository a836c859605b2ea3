//! Every behaviour of two role machines within bounds: what is lost, late, repeated or out of order,
//! nodes that crash and come back, clocks that run apart, a witness that loses its register. The
//! machines are the real ones; only the world around them is a model.

#![allow(missing_docs, reason = "a test")]

mod model;
mod witness;
mod world;

use model::{Pair, check};
use rt_core::pair::Mode;
use world::{Mutant, Setup};

const BASE: Setup = Setup {
    lease: 2,
    promise: 2,
    mode: Mode::Witness,
    beats_max: 1,
    pauses_max: 0,
    epochs_max: 2,
    starts_max: 1,
    losses_max: 0,
    slips_max: 0,
    switchover: false,
    mutant: None,
};

#[test]
fn with_a_witness_two_nodes_never_drive_at_a_time() {
    check("witness", Pair(BASE));
}

#[test]
fn what_is_wrong_with_the_protocol_is_found() {
    for (name, setup) in [
        ("the grantor waits less than the lease", Setup { lease: 3, ..BASE }),
        (
            "the lease counts from when its grant came",
            Setup { mutant: Some(Mutant::LeaseFromArrival), ..BASE },
        ),
        ("a candidate goes on granting", Setup { mutant: Some(Mutant::CandidateGrants), ..BASE }),
    ] {
        model::must_fail(name, Pair(setup));
    }
}
