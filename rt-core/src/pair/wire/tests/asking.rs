//! Which answers are taken.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const FIRST: Session = Session([1; 16]);
const SECOND: Session = Session([2; 16]);

fn asked(counter: u64) -> Asked {
    Asked { node: NodeId::A, session: MINE, counter }
}

fn asking(sent: u64) -> Asking {
    let mut asking = Asking::new(NodeId::A, MINE);
    asking.ask(sent);
    asking
}

#[test]
fn each_question_is_answered_once_in_any_order() {
    let mut asking = asking(3);
    for counter in [2, 3, 1] {
        assert_eq!(asking.accept(&asked(counter), FIRST), Ok(false));
    }
    for counter in 1..=3 {
        assert_eq!(asking.accept(&asked(counter), FIRST), Err(Refusal::Replayed));
    }
    assert_eq!(asking.answerer(), Some(FIRST));
}

#[test]
fn what_was_not_asked_here_and_now_is_no_answer() {
    let mut asking = asking(3);
    let before = asking.clone();
    for (other, expected) in [
        (asked(4), Refusal::NotAsked),
        (asked(0), Refusal::NotAsked),
        (asked(u64::MAX), Refusal::NotAsked),
        (Asked { node: NodeId::B, ..asked(1) }, Refusal::NotAddressed),
        (Asked { session: THEIRS, ..asked(1) }, Refusal::NotAddressed),
    ] {
        assert_eq!(asking.accept(&other, FIRST), Err(expected));
    }
    assert_eq!(asking, before);
}

#[test]
fn an_answer_from_before_its_answerer_restarted_is_not_taken_after_one_from_later() {
    let mut asking = asking(5);
    assert_eq!(asking.accept(&asked(1), FIRST), Ok(false));
    assert_eq!(asking.accept(&asked(4), SECOND), Ok(true));
    assert_eq!(asking.accept(&asked(3), FIRST), Err(Refusal::FormerSession));
    assert_eq!(asking.accept(&asked(2), SECOND), Ok(false));
    assert_eq!(asking.answerer(), Some(SECOND));
}

proptest! {
    #[test]
    fn nothing_is_taken_twice_and_no_answerer_comes_back_from_before(
        answers in prop::collection::vec((0..300_u64, 0..4_u8), 1..400),
    ) {
        let mut asking = asking(250);
        let (mut taken, mut newest) = (HashSet::new(), 0);
        for (counter, by) in answers {
            let before = asking.answerer();
            let by = Session([by; 16]);
            if let Ok(restarted) = asking.accept(&asked(counter), by) {
                prop_assert!((1..=250).contains(&counter) && taken.insert(counter));
                prop_assert_eq!(restarted, before.is_some_and(|it| it != by));
                prop_assert!(!restarted || counter > newest);
                newest = newest.max(counter);
            }
        }
    }
}
