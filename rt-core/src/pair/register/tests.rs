//! What may follow what, as a table; and what no order of questions can do.

use std::collections::HashMap;
use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const fn e(number: u64) -> Epoch {
    Epoch::new(number).unwrap()
}

const fn session(number: u8) -> Session {
    Session([number; 16])
}

fn known(standing: Standing) -> Register {
    let content = Content::Known(standing);
    Register::restored(Record { content, changed_by: [None; 2] })
}

fn swap(node: NodeId, nonce: Nonce, expected: u64, new: Standing, right: Right) -> Question {
    let wish = Wish::Swap { expected: e(expected), new, right };
    Question { node, nonce, known: Epoch::NONE, wish }
}

fn seed(node: NodeId, nonce: Nonce, standing: Standing) -> Question {
    Question { node, nonce, known: standing.epoch, wish: Wish::Seed(standing) }
}

fn read(node: NodeId, nonce: Nonce, known: u64) -> Question {
    Question { node, nonce, known: e(known), wish: Wish::Read }
}

/// Each register that there is, by form and owner, each asker, each wish.
fn table() -> String {
    let registers = [
        Standing::VACANT,
        Standing::duplex(e(4)),
        Standing::solo(e(4)),
        Standing::duplex(e(5)),
        Standing::solo(e(5)),
    ];
    let mut out = String::from(
        "# What becomes of a register: what it says, who asks, by what right, what it wants.\n\
         # \"far\" is a person's epoch, \"skips\" one that is not the next,\n\
         # \"other epoch\" expects what is not there.\n",
    );
    let mut line = |says: &Standing, question: &Question, wish: &str| {
        let mut register = known(*says);
        let reply = register.answer(session(1), question);
        assert_eq!(reply.store, (register != known(*says)).then_some(*register.record()));
        let now = match reply.answer.register {
            None => "lost".into(),
            Some(now) if now == *says => "stays".into(),
            Some(now) => now.to_string(),
        };
        assert_eq!(reply.answer.swapped, reply.answer.register.is_some_and(|now| now != *says));
        let says = says.to_string();
        writeln!(out, "{says:<20} {}  {wish:<36} {now}", question.node).unwrap();
    };
    for says in registers {
        let epoch = says.epoch.number();
        for node in NodeId::ALL {
            line(&says, &read(node, 0, epoch), "read");
            line(&says, &read(node, 0, 6), "read, knowing of epoch 6");
            line(&says, &seed(node, 0, Standing::VACANT), "seed vacant");
            for right in [Right::Member, Right::Fence] {
                for owner in NodeId::ALL {
                    let next = says.epoch.next_of(owner);
                    let far = says.epoch.next_by_order(owner);
                    for (form, new) in
                        [("SOLO", Standing::solo(next)), ("DUPLEX", Standing::duplex(next))]
                    {
                        let wish = format!("{right:?}: {form}({owner})");
                        line(&says, &swap(node, 0, epoch, new, right), &wish);
                    }
                    let wish = format!("{right:?}: SOLO({owner}), skips");
                    let skips = Standing::solo(next.next_of(owner));
                    line(&says, &swap(node, 0, epoch, skips, right), &wish);
                    let wish = format!("{right:?}: SOLO({owner}), far");
                    line(&says, &swap(node, 0, epoch, Standing::solo(far), right), &wish);
                }
                let wish = format!("{right:?}: the same again");
                line(&says, &swap(node, 0, epoch, says, right), &wish);
                let own = Standing::solo(e(7).next_of(node));
                let wish = format!("{right:?}: SOLO({node}), other epoch");
                line(&says, &swap(node, 0, 7, own, right), &wish);
            }
        }
    }
    out
}

#[test]
fn the_table_of_what_may_follow_what_is_as_stored() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/pair/register/table.txt");
    let made = table();
    if std::env::var_os("BUMPLESS_WRITE").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert!(made == stored, "the register's rules changed: look at {path} after BUMPLESS_WRITE=1");
}

#[test]
fn a_repeated_question_is_told_again_that_it_changed_the_register() {
    let mut register = known(Standing::duplex(e(4)));
    let alone = swap(NodeId::B, 7, 4, Standing::solo(e(5)), Right::Member);
    assert!(register.answer(session(1), &alone).answer.swapped);
    let again = register.answer(session(1), &alone);
    assert!(again.answer.swapped && again.store.is_none(), "it changes nothing any more");
    assert!(!register.answer(session(2), &alone).answer.swapped, "another session, another one");
    let admitted = swap(NodeId::B, 8, 5, Standing::duplex(e(7)), Right::Member);
    assert!(register.answer(session(1), &admitted).answer.swapped);
    assert!(!register.answer(session(1), &alone).answer.swapped, "only the last one is kept");
    assert_eq!(register.standing(), Some(Standing::duplex(e(7))));
}

#[test]
fn of_two_nodes_that_ask_for_the_same_epoch_the_first_one_gets_it() {
    let mut register = known(Standing::duplex(e(4)));
    let a = swap(NodeId::A, 0, 4, Standing::solo(e(6)), Right::Member);
    let b = swap(NodeId::B, 0, 4, Standing::solo(e(5)), Right::Member);
    assert!(register.answer(session(1), &a).answer.swapped);
    let refused = register.answer(session(2), &b).answer;
    assert!(!refused.swapped);
    assert_eq!(refused.register, Some(Standing::solo(e(6))), "it learns who has them");
}

#[test]
fn a_register_that_begins_anew_knows_when_both_nodes_say_the_same() {
    let mut register = Register::volatile();
    let says = Standing::duplex(e(4));
    let mut ask = |of, question: &Question| register.answer(session(of), question).answer.register;
    assert_eq!(ask(1, &read(NodeId::A, 0, 4)), None);
    assert_eq!(ask(1, &seed(NodeId::A, 1, says)), None);
    assert_eq!(ask(1, &seed(NodeId::A, 2, says)), None, "one node twice is one node");
    assert_eq!(ask(2, &seed(NodeId::B, 1, Standing::VACANT)), None);
    assert_eq!(ask(2, &seed(NodeId::B, 2, says)), Some(says));
}

#[test]
fn a_lost_register_changes_nothing() {
    let mut register = Register::volatile();
    for right in [Right::Member, Right::Fence] {
        let wish = swap(NodeId::A, 0, 0, Standing::solo(e(2)), right);
        let answer = register.answer(session(1), &wish).answer;
        assert_eq!((answer.register, answer.swapped), (None, false));
    }
}

#[test]
fn an_older_seed_of_the_same_session_is_ignored() {
    let mut register = Register::volatile();
    let (old, new) = (Standing::duplex(e(4)), Standing::duplex(e(4).next_of(NodeId::B)));
    let _ = register.answer(session(1), &seed(NodeId::A, 5, new));
    let _ = register.answer(session(1), &seed(NodeId::A, 3, old));
    let _ = register.answer(session(2), &seed(NodeId::B, 0, old));
    assert_eq!(register.standing(), None, "A says the newer one");
    let _ = register.answer(session(2), &seed(NodeId::B, 1, new));
    assert_eq!(register.standing(), Some(new));
}

#[test]
fn a_seed_counts_until_its_node_is_heard_of_in_another_session() {
    let says = Standing::duplex(e(4));
    let mut register = Register::volatile();
    let _ = register.answer(session(1), &seed(NodeId::A, 0, says));
    let mut heard_again = register.clone();
    let _ = register.answer(session(2), &seed(NodeId::B, 0, says));
    assert_eq!(register.standing(), Some(says), "a restart alone takes nothing back");

    let _ = heard_again.answer(session(3), &read(NodeId::A, 0, 0));
    let _ = heard_again.answer(session(2), &seed(NodeId::B, 0, says));
    assert_eq!(heard_again.standing(), None, "the new session may know less");
    let _ = heard_again.answer(session(3), &seed(NodeId::A, 1, says));
    assert_eq!(heard_again.standing(), Some(says));
}

#[test]
fn seeds_below_an_epoch_that_was_told_of_restore_nothing() {
    let mut register = known(Standing::duplex(e(4)));
    let _ = register.answer(session(1), &read(NodeId::A, 0, 6));
    assert_eq!(register.standing(), None, "somebody got epoch 6");
    for node in NodeId::ALL {
        let _ = register.answer(session(1), &seed(node, 1, Standing::duplex(e(4))));
    }
    assert_eq!(register.standing(), None);
    for node in NodeId::ALL {
        let _ = register.answer(session(1), &seed(node, 2, Standing::solo(e(6))));
    }
    assert_eq!(register.standing(), Some(Standing::solo(e(6))));
}

#[test]
fn a_seed_of_nobodys_epoch_that_is_not_vacant_is_ignored() {
    let mut register = Register::volatile();
    for node in NodeId::ALL {
        let _ = register.answer(session(1), &seed(node, 0, Standing::solo(Epoch::NONE)));
    }
    assert_eq!(register.standing(), None);
}

#[test]
fn the_last_epoch_is_not_followed() {
    let mut register = known(Standing::duplex(Epoch::MAX));
    for node in NodeId::ALL {
        for right in [Right::Member, Right::Fence] {
            let new = Standing::solo(Epoch::MAX.next_by_order(node));
            let question = swap(node, 0, Epoch::MAX.number(), new, right);
            assert!(!register.answer(session(1), &question).answer.swapped);
        }
    }
}

#[test]
fn a_volatile_register_asks_nobody_to_store_anything() {
    let mut register = Register::volatile();
    for node in NodeId::ALL {
        let reply = register.answer(session(1), &seed(node, 0, Standing::VACANT));
        assert_eq!(reply.store, None);
    }
    let reply =
        register.answer(session(1), &swap(NodeId::A, 1, 0, Standing::solo(e(2)), Right::Member));
    assert!(reply.answer.swapped && reply.store.is_none());
}

fn node() -> impl Strategy<Value = NodeId> {
    any::<bool>().prop_map(|b| if b { NodeId::B } else { NodeId::A })
}

fn standing() -> impl Strategy<Value = Standing> {
    let number = prop_oneof![
        12 => 0..14u64,
        1 => (1u64 << 32)..(1 << 32) + 4,
        1 => (1u64 << 62) - 3..=1 << 62,
    ];
    (number, any::<bool>()).prop_map(|(number, solo)| {
        let form = if solo { Form::Solo } else { Form::Duplex };
        Standing { epoch: e(number), form }
    })
}

/// A question of anybody's, in one of five sessions of its node. What a node knows is mostly low,
/// for a register that is told of an epoch above its own is lost.
fn question() -> impl Strategy<Value = (Session, Question)> {
    let wish = prop_oneof![
        1 => Just(Wish::Read),
        2 => standing().prop_map(Wish::Seed),
        2 => Just(Wish::Seed(Standing::VACANT)),
        8 => (0..14u64, standing(), any::<bool>()).prop_map(|(expected, new, fence)| {
            let right = if fence { Right::Fence } else { Right::Member };
            Wish::Swap { expected: e(expected), new, right }
        }),
        8 => (0..14u64, node(), any::<bool>()).prop_map(|(expected, owner, solo)| {
            let epoch = e(expected).next_of(owner);
            let form = if solo { Form::Solo } else { Form::Duplex };
            let new = Standing { epoch, form };
            Wish::Swap { expected: e(expected), new, right: Right::Member }
        }),
    ];
    let known = prop_oneof![20 => Just(0u64), 1 => 0..14u64];
    (0..5u8, node(), 0..6u64, known, wish).prop_map(|(of, node, nonce, known, wish)| {
        (session(of), Question { node, nonce, known: e(known), wish })
    })
}

/// What was sent, in any order, some of it twice.
fn arrivals() -> impl Strategy<Value = Vec<(Session, Question)>> {
    (vec(question(), 1..80), vec(any::<proptest::sample::Index>(), 0..160)).prop_map(
        |(sent, order)| {
            let again = order.iter().map(|index| *index.get(&sent));
            sent.iter().copied().chain(again).collect()
        },
    )
}

/// Holds one step against the rules; `granted` is all that was granted so far.
fn check(
    before: &Register,
    after: &Register,
    question: &Question,
    answer: &Answer,
    granted: &mut HashMap<Epoch, Standing>,
) {
    assert_eq!(answer.nonce, question.nonce);
    assert_eq!(answer.register, after.standing());
    let (Some(was), Some(is)) = (before.standing(), after.standing()) else { return };
    assert!(is.epoch >= was.epoch, "{was} fell to {is}");
    assert!(is == was || is.epoch > was.epoch, "{was} became {is} in the same epoch");
    if is == was {
        return;
    }
    assert!(answer.swapped);
    let Wish::Swap { right, expected, .. } = question.wish else {
        panic!("changed by {question:?}")
    };
    assert_eq!(expected, was.epoch);
    let by_owner = was.owner() == Some(question.node);
    let may = was.form == Form::Duplex || was.owner().is_none() || by_owner;
    assert!(may || right == Right::Fence, "{} put {is} after {was}", question.node);
    assert!(is.owner() == Some(question.node) || (by_owner && is.form == Form::Duplex));
    let first = *granted.entry(is.epoch).or_insert(is);
    assert_eq!(first, is, "two standings of one epoch");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        if std::env::var_os("BUMPLESS_SOAK").is_some() { 100_000 } else { 2_000 }
    ))]

    #[test]
    fn whatever_arrives_epochs_rise_and_each_is_given_once(
        durable in any::<bool>(), arrivals in arrivals(),
    ) {
        let mut register = if durable { known(Standing::VACANT) } else { Register::volatile() };
        // What was granted before a loss may be granted again after it to whoever seeded low on
        // purpose: that honest nodes do not is the model's to show.
        let mut granted = HashMap::new();
        for (session, question) in arrivals {
            let before = register.clone();
            let reply = register.answer(session, &question);
            if register.standing().is_none() {
                granted.clear();
            }
            check(&before, &register, &question, &reply.answer, &mut granted);
        }
    }

    #[test]
    fn within_a_life_a_register_never_falls_below_what_it_said_or_was_told(
        arrivals in arrivals(),
    ) {
        let mut register = Register::volatile();
        let mut highest = Epoch::NONE;
        for (session, question) in arrivals {
            let reply = register.answer(session, &question);
            highest = highest.max(question.known);
            if let Some(register) = reply.answer.register {
                prop_assert!(register.epoch >= highest);
                highest = register.epoch;
            }
        }
    }

    #[test]
    fn a_crash_between_storing_and_answering_loses_nothing_that_was_answered(
        arrivals in arrivals(), crashes in vec(0..4u8, 240),
    ) {
        let mut register = known(Standing::VACANT);
        let mut disk = *register.record();
        let mut never_crashed = register.clone();
        for ((session, question), crash) in arrivals.into_iter().zip(crashes) {
            let reply = register.answer(session, &question);
            if crash == 1 {
                // Before it was stored: nobody was answered, and nothing happened.
                register = Register::restored(disk);
                continue;
            }
            disk = reply.store.unwrap_or(disk);
            prop_assert_eq!(&disk, register.record(), "what is answered is stored");
            let same = never_crashed.answer(session, &question);
            prop_assert_eq!(same.answer, reply.answer);
            if crash == 2 {
                // After it was stored: whoever asks again under the same number gets the answer.
                register = Register::restored(disk);
                let again = register.answer(session, &question);
                let _ = never_crashed.answer(session, &question);
                prop_assert_eq!(again.answer.swapped, reply.answer.swapped);
                prop_assert_eq!(again.answer.register, reply.answer.register);
                prop_assert_eq!(again.store, None);
            }
        }
    }
}
