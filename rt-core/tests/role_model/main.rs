//! Every behaviour of two role machines within bounds: what is lost, late, repeated, out of order,
//! nodes that crash and come back, clocks that run apart, a witness that loses its register. The
//! machines, the register and the latches are the real ones; only the world around them is a model.

mod model;
mod seen;
mod setup;
mod world;

use model::{breaks, heals, holds};
use rt_core::pair::Mode;
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
fn sizes() {
    for (name, setup) in [
        ("base", BASE),
        ("starts, 1 epoch", Setup { starts_max: 1, epochs_max: 1, ..BASE }),
        ("latch, 1 epoch", Setup { latches: 1, epochs_max: 1, ..BASE }),
        ("loss, 1 epoch", Setup { losses_max: 1, epochs_max: 1, ..BASE }),
        ("switchover, 1 epoch", Setup { switchover: true, epochs_max: 1, ..BASE }),
        ("L2 1 epoch", Setup { mode: Mode::Latch, latches: 2, epochs_max: 2, ..BASE }),
        ("F", Setup { mode: Mode::Fence, epochs_max: 1, ..BASE }),
        ("M", Setup { mode: Mode::Manual, epochs_max: 2, ..BASE }),
    ] {
        holds(name, setup, 0);
    }
}

#[test]
fn liveness() {
    heals("base", BASE, 50, 60);
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
