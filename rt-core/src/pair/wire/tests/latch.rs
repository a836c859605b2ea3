//! Claims, their answers and outputs on the wire.

use proptest::prelude::*;

use super::super::latch::{
    CLAIM_OCTETS, CLAIMED_OCTETS, ClaimLetter, ClaimedLetter, OUTPUT_OCTETS, OutputHeader,
    PAYLOAD_OCTETS_MAX, open_claim, open_claimed, open_output, seal_claim, seal_claimed,
    seal_output,
};
use super::beat::{epoch, session};
use super::*;
use crate::pair::latch::Claim;
use crate::pair::question::Claimed;
use crate::pair::{Address, Epoch};

const LATCH: u8 = 5;
const PRESENT: Address = Address { session: THEIRS, challenge: 8 };

fn node(protection: Protection, kind: Kind) -> Keys {
    keys(protection, kind, Sender::Node(NodeId::A), MINE)
}

fn latch(protection: Protection) -> Keys {
    keys(protection, Kind::Claimed, Sender::Latch(LATCH), THEIRS)
}

fn number(number: u64) -> Epoch {
    Epoch::new(number).unwrap()
}

fn claim() -> ClaimLetter {
    let (epoch, expected, since) = (number(8), number(7), number(6));
    ClaimLetter {
        pair: PAIR,
        from: NodeId::A,
        session: MINE,
        path: 1,
        counter: 9,
        latch: LATCH,
        to: Some(PRESENT),
        claim: Some(Claim { epoch, expected, since }),
    }
}

fn claimed() -> ClaimedLetter {
    ClaimedLetter {
        pair: PAIR,
        session: THEIRS,
        challenge: 8,
        path: 1,
        counter: 4,
        asked: claim().asked(),
        claimed: Claimed { latch: LATCH, epoch: number(8) },
    }
}

fn output() -> OutputHeader {
    OutputHeader {
        pair: PAIR,
        from: NodeId::A,
        session: MINE,
        path: 0,
        counter: 7,
        epoch: number(8),
        sequence: 0x1122,
        cycle: 0x3344,
    }
}

fn claims(letter: &ClaimLetter, protection: Protection) -> Vec<u8> {
    let (mut octets, mut keys) = ([0; CLAIM_OCTETS], node(protection, Kind::Claim));
    assert_eq!(seal_claim(letter, &mut keys, &mut octets), Ok(CLAIM_OCTETS));
    octets.to_vec()
}

fn answers(letter: &ClaimedLetter, protection: Protection) -> Vec<u8> {
    let (mut octets, mut keys) = ([0; CLAIMED_OCTETS], latch(protection));
    assert_eq!(seal_claimed(letter, &mut keys, &mut octets), Ok(CLAIMED_OCTETS));
    octets.to_vec()
}

fn outputs(header: &OutputHeader, payload: &[u8], protection: Protection) -> Vec<u8> {
    let (mut octets, mut keys) = ([0; OCTETS_MAX], node(protection, Kind::Output));
    let length = OUTPUT_OCTETS + payload.len();
    assert_eq!(seal_output(header, payload, &mut keys, &mut octets), Ok(length));
    octets[..length].to_vec()
}

fn drives(octets: &[u8], protection: Protection) -> Result<(OutputHeader, Vec<u8>), Refusal> {
    let mut scratch = [0; BODY_OCTETS_MAX];
    open_output(octets, &mut latch(protection), &mut scratch)
        .map(|(header, payload)| (header, payload.to_vec()))
}

/// One message of each kind.
fn every(protection: Protection) -> [Vec<u8>; 3] {
    [
        claims(&claim(), protection.clone()),
        answers(&claimed(), protection.clone()),
        outputs(&output(), &[0xd4; 5], protection),
    ]
}

#[test]
fn a_claim_its_answer_and_an_output_are_these_octets() {
    let expected = [
        concat!(
            "424d504c",
            "01",
            "30",
            "00",
            "01",
            "006c",
            "01",
            "00",
            "0102030405060708",
            "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1",
            "0000000000000009",
            "03",
            "05",
            "0000",
            "b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2",
            "00000008",
            "0000000000000008",
            "0000000000000007",
            "0000000000000006",
            "000000000000000000000000",
            "f04bcd92",
        ),
        concat!(
            "424d504c",
            "01",
            "31",
            "00",
            "15",
            "0064",
            "01",
            "00",
            "0102030405060708",
            "b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2",
            "0000000000000004",
            "01",
            "000000",
            "00000008",
            "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1",
            "0000000000000009",
            "0000000000000008",
            "000000000000000000000000",
            "ddbb506e",
        ),
        concat!(
            "424d504c",
            "01",
            "40",
            "00",
            "01",
            "005b",
            "00",
            "00",
            "0102030405060708",
            "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1",
            "0000000000000007",
            "0000000000000008",
            "0000000000001122",
            "0000000000003344",
            "0005",
            "d4d4d4d4d4",
            "000000000000000000000000",
            "991856bb",
        ),
    ];
    assert_eq!(every(Protection::Plain).map(|it| hex(&it)), expected);
}

#[test]
fn sealed_ones_are_these_octets() {
    // Made by another program from the plain ones, the secret and RFC 5869 and 8439.
    let expected = [
        concat!(
            "fbdb4f8a129cc00adc06030849b73a062c93c51139d9a3a3be38f9ce1b1a6997e56c3626",
            "ec51407792fc379f7b13b54a",
            "405d765d7d0ab1a98418530864f7275d",
        ),
        concat!(
            "b7d141907cc23d49475e850d30441b63628449d97fa9c0bf6724f9bf352dd371724ad076",
            "f49bbb8d",
            "77ec541eea347e9cd94387fbb2b3c626",
        ),
        concat!(
            "0a49f41413251454b4ef1f26987c12b21c4e77b5e24385c88bb6cb2d83bfb5",
            "e7a12ba78ece089d245b208e0a04f943",
        ),
    ];
    assert_eq!(every(sealed()).map(|it| hex(&it[HEADER_OCTETS..])), expected);
}

#[test]
fn each_message_is_refused_if_a_bit_is_wrong_or_an_octet_is_missing() {
    for protection in both() {
        let mut at_latch = latch(protection.clone());
        let whole = claims(&claim(), protection.clone());
        every_octet_counts(&whole, |octets| open_claim(octets, &mut at_latch));
        let mut at_node = node(protection.clone(), Kind::Claim);
        let whole = answers(&claimed(), protection.clone());
        every_octet_counts(&whole, |octets| open_claimed(octets, &mut at_node));
        let whole = outputs(&output(), &[1, 2, 3], protection.clone());
        every_octet_counts(&whole, |octets| drives(octets, protection.clone()));
    }
}

#[test]
fn a_claim_that_was_made_for_another_life_of_the_latch_does_not_count() {
    assert_eq!(claim().wants(LATCH, PRESENT), Ok(claim().claim));
    let cycled = Address { session: MINE, ..PRESENT };
    let raised = Address { challenge: 9, ..PRESENT };
    for present in [cycled, raised] {
        assert_eq!(claim().wants(LATCH, present), Err(Refusal::NotAddressed));
        // To know how it stands takes no address.
        let asks = ClaimLetter { claim: None, to: None, ..claim() };
        assert_eq!(asks.wants(LATCH, present), Ok(None));
    }
    assert_eq!(claim().wants(LATCH + 1, PRESENT), Err(Refusal::NotAddressed));
    assert_eq!(claimed().address(), PRESENT);
}

#[test]
fn a_claim_whose_parts_do_not_fit_is_neither_sent_nor_taken() {
    let with = |change: &dyn Fn(&mut Claim)| {
        let mut letter = claim();
        letter.claim.as_mut().map(change).unwrap();
        letter
    };
    for wrong in [
        ClaimLetter { to: None, ..claim() },
        ClaimLetter { latch: 16, ..claim() },
        ClaimLetter { latch: 16, claim: None, ..claim() },
        with(&|it| it.epoch = number(9)),
        with(&|it| it.epoch = Epoch::NONE),
        with(&|it| it.since = number(10)),
    ] {
        let mut keys = node(sealed(), Kind::Claim);
        let found = seal_claim(&wrong, &mut keys, &mut [0; CLAIM_OCTETS]);
        assert_eq!(found, Err(SealError::Content), "{wrong:?}");
    }
    let refused = |at: usize, octet| {
        let change = |it: &mut [u8]| it[HEADER_OCTETS + at] = octet;
        let whole = claims(&claim(), Protection::Plain);
        forged(&whole, change, |it| open_claim(it, &mut latch(Protection::Plain))).unwrap_err()
    };
    for (at, octet) in [(0, 2), (0, 7), (0, 1), (1, 16), (1, 255), (2, 1), (31, 9), (47, 9)] {
        assert_eq!(refused(at, octet), Refusal::Content, "octet {at} as {octet}");
    }
    for at in [24, 32, 40] {
        assert_eq!(refused(at, 0x41), Refusal::Epoch, "octet {at}");
    }
}

#[test]
fn an_answer_that_says_what_cannot_be_is_refused() {
    let refused = |at: usize, octet| {
        let change = |it: &mut [u8]| it[HEADER_OCTETS + at] = octet;
        let whole = answers(&claimed(), Protection::Plain);
        let open = |it: &[u8]| open_claimed(it, &mut node(Protection::Plain, Kind::Claim));
        forged(&whole, change, open).unwrap_err()
    };
    for (at, octet) in [(0, 0), (0, 3), (1, 1), (2, 1), (3, 1)] {
        assert_eq!(refused(at, octet), Refusal::Content, "octet {at} as {octet}");
    }
    assert_eq!(refused(32, 0x41), Refusal::Epoch);
}

#[test]
fn outputs_are_as_long_as_they_say_and_of_an_epoch_of_their_drivers() {
    for payload in [0, 1, PAYLOAD_OCTETS_MAX] {
        for protection in both() {
            let payload = vec![0x33; payload];
            let octets = outputs(&output(), &payload, protection.clone());
            assert_eq!(drives(&octets, protection), Ok((output(), payload)));
        }
    }
    let (mut keys, mut buffer) = (node(sealed(), Kind::Output), [0; 2_000]);
    let mut tried = |header, octets| {
        seal_output(&header, &vec![0; octets], &mut keys, &mut buffer).unwrap_err()
    };
    assert_eq!(tried(output(), PAYLOAD_OCTETS_MAX + 1), SealError::Room);
    assert_eq!(tried(output(), 70_000), SealError::Room);
    let foreign = OutputHeader { epoch: number(9), ..output() };
    assert_eq!(tried(foreign, 1), SealError::Content);
    let whole = outputs(&output(), &[1, 2, 3], Protection::Plain);
    let refused = |at: usize, octet| {
        let change = |it: &mut [u8]| it[HEADER_OCTETS + at] = octet;
        forged(&whole, change, |it| drives(it, Protection::Plain)).unwrap_err()
    };
    assert_eq!(refused(7, 9), Refusal::Content);
    assert_eq!(refused(0, 0x41), Refusal::Epoch);
    for length in [2, 4] {
        assert_eq!(refused(25, length), Refusal::Length);
    }
}

fn any_claim() -> impl Strategy<Value = ClaimLetter> {
    let claim = (1..=Epoch::MAX.number() / 2, epoch(), any::<u64>());
    let to =
        (session(), any::<u32>()).prop_map(|(session, challenge)| Address { session, challenge });
    (0..4_u8, 1..=u64::MAX, 0..16_u8, to, any::<bool>(), prop::option::of(claim)).prop_map(
        |(path, counter, latch, to, has_to, claim)| {
            let claim = claim.map(|(half, expected, since)| {
                let (epoch, since) = (number(half * 2), number(since % (half * 2 + 1)));
                Claim { epoch, expected, since }
            });
            let to = Some(to).filter(|_| has_to || claim.is_some());
            ClaimLetter { path, counter, latch, to, claim, ..self::claim() }
        },
    )
}

proptest! {
    #[test]
    fn every_message_that_can_be_meant_survives(
        letter in any_claim(),
        (challenge, asked, claimed_epoch) in (any::<u32>(), session(), epoch()),
        (sequence, cycle) in any::<(u64, u64)>(),
        payload in prop::collection::vec(any::<u8>(), 0..=PAYLOAD_OCTETS_MAX),
    ) {
        let asked = Asked { node: NodeId::B, session: asked, counter: letter.counter };
        let told = Claimed { latch: LATCH, epoch: claimed_epoch };
        let reply = ClaimedLetter { challenge, asked, claimed: told, ..claimed() };
        let header = OutputHeader { sequence, cycle, ..output() };
        for protection in both() {
            let octets = claims(&letter, protection.clone());
            prop_assert_eq!(open_claim(&octets, &mut latch(protection.clone())), Ok(letter));
            let octets = answers(&reply, protection.clone());
            let mut keys = node(protection.clone(), Kind::Claim);
            prop_assert_eq!(open_claimed(&octets, &mut keys), Ok(reply));
            let octets = outputs(&header, &payload, protection.clone());
            prop_assert_eq!(drives(&octets, protection), Ok((header, payload.clone())));
        }
    }

    #[test]
    fn whatever_comes_is_no_panic_and_what_is_read_is_what_was_written(
        octets in prop::collection::vec(any::<u8>(), 0..40),
        start in 0..40_usize,
    ) {
        let plain = Protection::Plain;
        let change = |it: &mut [u8]| {
            let end = it.len() - TAG_OCTETS;
            let body = it[HEADER_OCTETS..end].iter_mut().skip(start);
            body.zip(&octets).for_each(|(into, octet)| *into = *octet);
        };
        let whole = claims(&claim(), plain.clone());
        let found = forged(&whole, change, |it| {
            open_claim(it, &mut latch(plain.clone())).map(|read| (read, it.to_vec()))
        });
        if let Ok((read, octets)) = found {
            prop_assert_eq!(claims(&read, plain.clone()), octets);
        }
        let whole = answers(&claimed(), plain.clone());
        let found = forged(&whole, change, |it| {
            let mut keys = node(plain.clone(), Kind::Claim);
            open_claimed(it, &mut keys).map(|read| (read, it.to_vec()))
        });
        if let Ok((read, octets)) = found {
            prop_assert_eq!(answers(&read, plain.clone()), octets);
        }
        let whole = outputs(&output(), &[7; 40], plain.clone());
        let found = forged(&whole, change, |it| {
            drives(it, plain.clone()).map(|read| (read, it.to_vec()))
        });
        if let Ok(((header, payload), octets)) = found {
            prop_assert_eq!(outputs(&header, &payload, plain), octets);
        }
    }
}
