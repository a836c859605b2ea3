//! What holds on every line of the table.

use rt_core::pair::State;
use rt_core::pair::question::FenceOutcome;
use rt_core::pair::role::{Cause, Event};

use crate::effect::step;
use crate::{events, situations};

/// By these a node that did not hold the outputs comes to hold them. Of all others a step never
/// opens a gate.
const OPENING: [Cause; 8] = [
    // Rule 5: its claim was open when it closed, and was granted after all.
    Cause::RenewalsMissing,
    Cause::PromiseOver,
    Cause::PeerReleased,
    Cause::PeerGone,
    Cause::ColdStart,
    Cause::Reclaim,
    Cause::HandedOver,
    Cause::Ordered,
];

#[test]
fn a_gate_opens_by_evidence_or_a_decision_and_by_nothing_else() {
    let mut seen = Vec::new();
    for situation in situations::all() {
        let before = &situation.machine;
        for happening in events::all(&situation) {
            let step = step(&situation, &happening);
            let place = format!("{}, {}, {}", situation.state, situation.what, step.label);
            let after = &step.after;
            if !after.state().is_active() {
                assert_eq!(after.gate_deadline(), None, "{place}");
                continue;
            }
            if before.state().is_active() {
                continue;
            }
            let cause = step.outcome.transition.unwrap().cause;
            // A node that is given the outputs and does not find its standby asks in the same step
            // to be alone, and the last cause is the one that is told.
            let is_given = cause == Cause::PeerLeft && after.state() == State::ActiveDuplex;
            let cause = if is_given { Cause::HandedOver } else { cause };
            assert!(OPENING.contains(&cause), "{place}: by {cause:?}");
            assert_eq!(after.standing().owner(), Some(after.terms().me), "{place}");
            assert!(after.standing().epoch > before.standing().epoch, "{place}");
            // Somebody else than this node decided, or there is proof.
            let decided = match happening.event {
                Event::Answer(_) | Event::Latch(_) | Event::Beat(_) => true,
                Event::Fence(outcome) => outcome == FenceOutcome::Confirmed,
                Event::PeerGone(evidence) => evidence.is_proof(),
                // Two that hear each other after a start agree on who goes first, and in mode M a
                // person may.
                Event::Time => matches!(cause, Cause::ColdStart | Cause::Reclaim),
                Event::Order(_) => cause == Cause::Ordered,
                _ => false,
            };
            assert!(decided, "{place}: by {cause:?}");
            seen.push(cause);
        }
    }
    for cause in OPENING {
        assert!(seen.contains(&cause), "{cause:?} opened no gate in this table");
    }
}

#[test]
fn who_asks_for_the_outputs_grants_nothing() {
    for situation in situations::all() {
        for happening in events::all(&situation) {
            let step = step(&situation, &happening);
            let word = step.after.word();
            let is_out = step.after.state() == State::Candidate || step.after.is_claiming();
            assert!(!(is_out && word.grants), "{}: {}", situation.what, step.label);
            assert!(!(word.requests && word.grants));
            assert_eq!(word.requests, step.after.state().is_active());
            assert!(word.requests || word.silent_to == step.after.standing().epoch);
        }
    }
}

#[test]
fn a_node_that_is_off_does_nothing_until_it_is_started() {
    for situation in situations::all().iter().filter(|it| it.state == State::Off) {
        for happening in events::all(situation) {
            let step = step(situation, &happening);
            let starts = matches!(happening.event, Event::Start);
            assert_eq!(step.outcome.transition.is_some(), starts, "{}", step.label);
            assert!(step.outcome.question.is_none() && step.outcome.claim.is_none());
            assert!(!step.outcome.fence && step.outcome.remember.is_none());
        }
    }
}

#[test]
fn an_order_is_answered_and_nothing_else_is() {
    for situation in situations::all() {
        for happening in events::all(&situation) {
            let is_order = matches!(happening.event, Event::Order(_));
            let step = step(&situation, &happening);
            assert_eq!(step.outcome.order.is_some(), is_order, "{}", step.label);
        }
    }
}

#[test]
fn a_stop_or_a_defect_closes_the_gate_from_everywhere() {
    for situation in situations::all() {
        for happening in events::all(&situation) {
            let state = step(&situation, &happening).after.state();
            match happening.event {
                Event::Stop => assert_eq!(state, State::Off),
                Event::Broken if situation.state == State::Off => assert_eq!(state, State::Off),
                Event::Broken => assert_eq!(state, State::Fault, "from {}", situation.state),
                _ => {}
            }
        }
    }
}
