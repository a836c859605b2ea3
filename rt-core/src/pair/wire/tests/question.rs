//! Questions and answers on the wire.

use proptest::prelude::*;

use super::super::question::{
    ANSWER_OCTETS, AnswerLetter, QUESTION_OCTETS, QuestionLetter, open_answer, open_question,
    seal_answer, seal_question,
};
use super::beat::{epoch, session, standing};
use super::*;
use crate::pair::question::{Answer, Question, Right, Wish};
use crate::pair::{Epoch, Standing};

fn node(protection: Protection) -> Keys {
    keys(protection, Kind::Question, Sender::Node(NodeId::B), MINE)
}

fn witness(protection: Protection) -> Keys {
    keys(protection, Kind::Answer, Sender::Witness, THEIRS)
}

fn number(number: u64) -> Epoch {
    Epoch::new(number).unwrap()
}

fn question() -> QuestionLetter {
    let new = Standing::solo(number(7));
    let wish = Wish::Swap { expected: number(6), new, right: Right::Fence };
    let question = Question { node: NodeId::B, nonce: 3, known: number(5), wish };
    QuestionLetter { pair: PAIR, session: MINE, path: 2, counter: 9, question }
}

fn answer() -> AnswerLetter {
    let register = Some(Standing::solo(number(7)));
    let answer = Answer { nonce: 3, register, swapped: true };
    let asked = question().asked();
    AnswerLetter { pair: PAIR, session: THEIRS, path: 2, counter: 4, asked, answer }
}

fn asked(letter: &QuestionLetter, protection: Protection) -> Vec<u8> {
    let mut octets = [0; QUESTION_OCTETS];
    assert_eq!(seal_question(letter, &mut node(protection), &mut octets), Ok(QUESTION_OCTETS));
    octets.to_vec()
}

fn answered(letter: &AnswerLetter, protection: Protection) -> Vec<u8> {
    let mut octets = [0; ANSWER_OCTETS];
    assert_eq!(seal_answer(letter, &mut witness(protection), &mut octets), Ok(ANSWER_OCTETS));
    octets.to_vec()
}

#[test]
fn a_question_and_its_answer_are_these_octets() {
    let plain = [asked(&question(), Protection::Plain), answered(&answer(), Protection::Plain)];
    let expected = [
        concat!(
            "424d504c",
            "01",
            "20",
            "00",
            "02",
            "0060",
            "02",
            "00",
            "0102030405060708",
            "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1",
            "0000000000000009",
            "02",
            "01",
            "01",
            "00",
            "0000000000000003",
            "0000000000000005",
            "0000000000000006",
            "0000000000000007",
            "000000000000000000000000",
            "f5d0bc7d",
        ),
        concat!(
            "424d504c",
            "01",
            "21",
            "00",
            "03",
            "0068",
            "02",
            "00",
            "0102030405060708",
            "b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2",
            "0000000000000004",
            "07",
            "02",
            "0000",
            "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1",
            "0000000000000009",
            "0000000000000003",
            "0000000000000007",
            "000000000000000000000000",
            "1dffd033",
        ),
    ];
    assert_eq!(plain.map(|it| hex(&it)), expected);
    // Made by another program from the plain ones, the secret and RFC 5869 and 8439.
    let sealed = [asked(&question(), sealed()), answered(&answer(), sealed())];
    assert_eq!(
        sealed.map(|it| hex(&it[HEADER_OCTETS..])),
        [
            concat!(
                "4507211d9f48c0660e7a423a5ec95e3b91b5ef013c4ab96cd3e44ba2a027398faa63f941",
                "7ac31c4117178e5d88f8378b7c3e6382",
            ),
            concat!(
                "e0c0dd3a0a86a2c98739e991618732fa913069efccf6aa6c85905f6220b0885d591c7e3f",
                "6c4ccefa368904c4",
                "088fd8f0ff034dbc4ac5ee4784949447",
            )
        ]
    );
}

#[test]
fn questions_and_answers_are_refused_if_a_bit_is_wrong_or_an_octet_is_missing() {
    for protection in both() {
        let mut witness = witness(protection.clone());
        let whole = asked(&question(), protection.clone());
        every_octet_counts(&whole, |octets| open_question(octets, &mut witness));
        let mut node = node(protection.clone());
        let whole = answered(&answer(), protection);
        every_octet_counts(&whole, |octets| open_answer(octets, &mut node));
    }
}

#[test]
fn what_a_wish_does_not_use_is_nothing_and_each_number_means_something() {
    let refused = |wish, changes: &[(usize, u8)]| {
        let question = Question { wish, ..question().question };
        let whole = asked(&QuestionLetter { question, ..self::question() }, Protection::Plain);
        let change = |it: &mut [u8]| {
            for (at, octet) in changes {
                it[HEADER_OCTETS + at] = *octet;
            }
        };
        forged(&whole, change, |it| open_question(it, &mut witness(Protection::Plain))).err()
    };
    let content = Some(Refusal::Content);
    assert_eq!(refused(Wish::Read, &[]), None);
    for at in [1, 2, 3, 27, 35] {
        assert_eq!(refused(Wish::Read, &[(at, 1)]), content, "octet {at}");
    }
    let seed = Wish::Seed(Standing::solo(number(7)));
    assert_eq!(refused(seed, &[]), None);
    for at in [1, 3, 27] {
        assert_eq!(refused(seed, &[(at, 1)]), content, "octet {at}");
    }
    let swap = question().question.wish;
    for (at, octet) in [(0, 0), (0, 4), (1, 2), (2, 2), (3, 1)] {
        assert_eq!(refused(swap, &[(at, octet)]), content, "octet {at}");
    }
    for at in [12, 20, 28] {
        assert_eq!(refused(swap, &[(at, 0x41)]), Some(Refusal::Epoch), "octet {at}");
    }
}

#[test]
fn an_answer_says_nothing_of_a_register_that_is_lost() {
    let refused = |at: usize, octet| {
        let change = |it: &mut [u8]| it[HEADER_OCTETS + at] = octet;
        let whole = answered(&answer(), Protection::Plain);
        forged(&whole, change, |it| open_answer(it, &mut node(Protection::Plain))).unwrap_err()
    };
    for (at, octet) in [(0, 6), (0, 4), (0, 8), (1, 0), (1, 3), (2, 1), (3, 1)] {
        assert_eq!(refused(at, octet), Refusal::Content, "octet {at} as {octet}");
    }
    assert_eq!(refused(36, 0x41), Refusal::Epoch);
}

#[test]
fn a_question_is_nothing_to_whom_it_is_not_for() {
    let mut beats = keys(sealed(), Kind::Beat, Sender::Node(NodeId::A), THEIRS);
    let whole = asked(&question(), sealed());
    assert_eq!(super::super::beat::open(&whole, &mut beats), Err(Refusal::NotOurs));
    assert_eq!(open_answer(&whole, &mut node(sealed())), Err(Refusal::NotOurs));
    // One who knows the key of one kind of message has none of another.
    let mut octets = whole;
    octets[5] = Kind::Claim.number();
    let found = keys(sealed(), Kind::Claimed, Sender::Latch(0), THEIRS).open(
        Kind::Claim,
        &octets,
        &mut [0; 400],
    );
    assert_eq!(found, Err(Refusal::Authentication));
}

#[test]
fn one_witness_serves_thousands_of_pairs_with_a_key_each() {
    for pair in (0..2_000).map(PairId) {
        let secret = |pair: PairId| {
            let mut secret = SECRET;
            secret[..8].copy_from_slice(&pair.0.to_be_bytes());
            Protection::Sealed(PairKey::new(secret))
        };
        let new =
            |pair, kind, sender, session| Keys::new(secret(pair), pair, kind, sender, session);
        let mut asker = new(pair, Kind::Question, Sender::Node(NodeId::B), MINE);
        let letter = QuestionLetter { pair, counter: asker.next_counter(), ..question() };
        let mut octets = [0; QUESTION_OCTETS];
        seal_question(&letter, &mut asker, &mut octets).unwrap();
        assert_eq!(Envelope::peek(&octets).unwrap().pair, pair);
        let mut right = new(pair, Kind::Answer, Sender::Witness, THEIRS);
        assert_eq!(open_question(&octets, &mut right), Ok(letter));
        let mut wrong = new(PairId(pair.0 + 1), Kind::Answer, Sender::Witness, THEIRS);
        assert_eq!(open_question(&octets, &mut wrong), Err(Refusal::ForeignPair));
    }
}

fn wish() -> impl Strategy<Value = Wish> {
    let right = prop::sample::select(vec![Right::Member, Right::Fence]);
    let swap = (epoch(), standing(), right).prop_map(|(expected, new, right)| Wish::Swap {
        expected,
        new,
        right,
    });
    prop_oneof![Just(Wish::Read), swap, standing().prop_map(Wish::Seed)]
}

proptest! {
    #[test]
    fn every_question_and_answer_that_can_be_meant_survives(
        (nonce, known, wish) in (any::<u64>(), epoch(), wish()),
        (register, swapped) in (prop::option::of(standing()), any::<bool>()),
        (path, counter, asked_in) in (0..4_u8, 1..=u64::MAX, session()),
        asker in prop::sample::select(NodeId::ALL.to_vec()),
    ) {
        let question = Question { node: NodeId::B, nonce, known, wish };
        let letter = QuestionLetter { path, counter, question, ..self::question() };
        let asked_by = Asked { node: asker, session: asked_in, counter };
        let answer = Answer { nonce, register, swapped };
        let reply = AnswerLetter {
            path, counter, asked: asked_by, answer, ..self::answer()
        };
        for protection in both() {
            let octets = asked(&letter, protection.clone());
            prop_assert_eq!(open_question(&octets, &mut witness(protection.clone())), Ok(letter));
            let octets = answered(&reply, protection.clone());
            prop_assert_eq!(open_answer(&octets, &mut node(protection)), Ok(reply));
        }
    }

    #[test]
    fn whatever_comes_is_no_panic_and_what_is_read_is_what_was_written(
        octets in prop::collection::vec(any::<u8>(), 0..36),
        start in 0..36_usize,
    ) {
        let plain = Protection::Plain;
        let change = |it: &mut [u8]| {
            for (into, octet) in it[HEADER_OCTETS + start..].iter_mut().take(36 - start)
                .zip(&octets) { *into = *octet; }
        };
        let whole = asked(&question(), plain.clone());
        let found = forged(&whole, change, |it| {
            open_question(it, &mut witness(plain.clone())).map(|read| (read, it.to_vec()))
        });
        if let Ok((read, octets)) = found {
            prop_assert_eq!(asked(&read, plain.clone()), octets);
        }
        let whole = answered(&answer(), plain.clone());
        let found = forged(&whole, change, |it| {
            open_answer(it, &mut node(plain.clone())).map(|read| (read, it.to_vec()))
        });
        if let Ok((read, octets)) = found {
            prop_assert_eq!(answered(&read, plain), octets);
        }
    }
}
