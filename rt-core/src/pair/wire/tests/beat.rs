//! Heartbeats on the wire.

use proptest::prelude::*;

use super::super::beat::{OCTETS, open, seal};
use super::super::octets::CLOCK_MAX_NS;
use super::*;
use crate::pair::beat::{Beat, BootId, Echo, Health, PathReport, Verdict, Word};
use crate::pair::{Address, Blocks, Epoch, Form, Letter, Standing, State};
use crate::time::{Duration, Instant};

const A: Sender = Sender::Node(NodeId::A);
const B: Sender = Sender::Node(NodeId::B);

fn sender(protection: Protection) -> Keys {
    keys(protection, Kind::Beat, A, MINE)
}

fn receiver(protection: Protection) -> Keys {
    keys(protection, Kind::Beat, B, THEIRS)
}

fn letter() -> Letter {
    let path = |received| PathReport { verdict: Verdict::Alive, received, lost: 2 };
    let word = Word {
        state: State::ActiveDuplex,
        standing: Standing::duplex(Epoch::new(6).unwrap()),
        silent_to: Epoch::new(3).unwrap(),
        requests: true,
        grants: false,
        partner: Some(THEIRS),
        fenced_peer: true,
        blocks: Blocks::from_bits(1 << 31 | 2),
    };
    let health = Health {
        boot: BootId([0xc3; 16]),
        schema: 0x1122,
        committed_cycle: 0x3344,
        applied_cycle: 0x5566,
        lateness: Duration::from_nanos(0x77),
        lateness_max: Duration::from_nanos(0x88),
        clock_rate_ppb: -5,
        paths: [path(10), path(11), PathReport::default(), PathReport::default()],
    };
    let echo = Echo { number: 8, sent_at: Instant::from_nanos(90), age: Duration::from_nanos(7) };
    let beat =
        Beat { number: 9, sent_at: Instant::from_nanos(1_000), echo: Some(echo), word, health };
    Letter {
        pair: PAIR,
        from: NodeId::A,
        session: MINE,
        challenge: 4,
        to: Some(Address { session: THEIRS, challenge: 5 }),
        path: 1,
        counter: 12,
        beat,
    }
}

fn written(letter: &Letter, protection: Protection) -> Vec<u8> {
    let mut octets = [0xee; OCTETS + 1];
    assert_eq!(seal(letter, &mut sender(protection), &mut octets), Ok(OCTETS));
    assert_eq!(octets[OCTETS], 0xee);
    octets[..OCTETS].to_vec()
}

#[test]
fn a_plain_beat_is_these_octets() {
    let expected = concat!(
        "424d504c",
        "01",
        "10",
        "00",
        "01",
        "0124",
        "01",
        "00",
        "0102030405060708",
        "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1",
        "000000000000000c",
        "00000004",
        "2f",
        "07",
        "01010000",
        "0000",
        "b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2",
        "00000005",
        "0000000000000009",
        "00000000000003e8",
        "0000000000000008",
        "000000000000005a",
        "0000000000000007",
        "0000000000000006",
        "0000000000000003",
        "b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2",
        "80000002",
        "fffffffb",
        "c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3",
        "0000000000001122",
        "0000000000003344",
        "0000000000005566",
        "0000000000000077",
        "0000000000000088",
        "000000000000000a",
        "000000000000000b",
        "0000000000000000",
        "0000000000000000",
        "0000000000000002",
        "0000000000000002",
        "0000000000000000",
        "0000000000000000",
        "000000000000000000000000",
        "7789808e",
    );
    let octets = hex(&written(&letter(), Protection::Plain));
    assert_eq!(octets, expected);
}

#[test]
fn a_sealed_beat_is_these_octets() {
    // Made by another program from the plain one, the secret and RFC 5869 and 8439.
    let expected = concat!(
        "424d504c01100101012401000102030405060708",
        "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1000000000000000c",
        "feb0b490806ea343b1908f4298608b1aad233ed139f11ed921f9471e4fe1a3d7850ed250db41a608",
        "e278358258e77b91fb467511dc3729024e8360ef0a290475d2e759d7557325edf144da4c89706aa5",
        "5917e8ebfde528c45d27a71e0376f339acc54c9ed0784431182a7cd0e446bc500c71d649cb018a00",
        "cf7a1b0927a8750fa11732c122a769de20e6ef7f135bf7590df0442934c13403f38ed6741887a8ec",
        "140f2bcbede3ce404b70842c848be1f9664716baafe8c37df1022a975e5da5f12c394170a9f7683b",
        "1239f52bc0dfffdcffd187b5d2fbdd4a50459bf727882fe8cc8c1d15d6f69d33",
        "5d6c04f7059100299c0b36c3713d860d",
    );
    assert_eq!(hex(&written(&letter(), sealed())), expected);
}

#[test]
fn a_beat_is_refused_if_a_bit_is_wrong_or_an_octet_is_missing() {
    for protection in both() {
        let whole = written(&letter(), protection.clone());
        let mut keys = receiver(protection);
        every_octet_counts(&whole, |octets| open(octets, &mut keys));
    }
}

#[test]
fn each_foreigner_is_refused_by_its_own_reason() {
    let (whole, plain) = (written(&letter(), sealed()), written(&letter(), Protection::Plain));
    let mut right = receiver(sealed());
    assert_eq!(open(&whole, &mut right), Ok(letter()));
    assert_eq!(open(&plain, &mut right), Err(Refusal::Protection));
    assert_eq!(open(&whole, &mut receiver(Protection::Plain)), Err(Refusal::Protection));
    let wrong = Protection::Sealed(PairKey::new([0x5b; 32]));
    assert_eq!(open(&whole, &mut receiver(wrong)), Err(Refusal::Authentication));
    let mut foreign = Keys::new(sealed(), PairId(1), Kind::Beat, B, THEIRS);
    assert_eq!(open(&whole, &mut foreign), Err(Refusal::ForeignPair));
    let mut other = keys(sealed(), Kind::Question, B, THEIRS);
    let asked = Envelope::peek(&whole).unwrap();
    assert_eq!((asked.kind, asked.pair, asked.counter), (Kind::Beat, PAIR, 12));
    assert_eq!(other.open(Kind::Question, &whole, &mut [0; 300]), Err(Refusal::NotOurs));
}

#[test]
fn a_beat_that_says_what_cannot_be_is_refused_by_its_reason() {
    let whole = written(&letter(), Protection::Plain);
    let refused = |change: &dyn Fn(&mut [u8])| {
        forged(&whole, change, |it| open(it, &mut receiver(Protection::Plain))).unwrap_err()
    };
    let set = |at: usize, octet: u8| refused(&move |it: &mut [u8]| it[at] = octet);
    for (at, octet, expected) in [
        (3, b'X', Refusal::NotOurs),
        (5, 0x70, Refusal::NotOurs),
        (4, 2, Refusal::Version),
        (6, 2, Refusal::Content),
        (6, 1, Refusal::Protection),
        (7, 3, Refusal::Content),
        (7, 0x20, Refusal::Content),
        (9, 0x23, Refusal::Length),
        (9, 0x25, Refusal::Length),
        (10, 4, Refusal::UnknownPath),
        (11, 1, Refusal::Content),
        (12, 9, Refusal::ForeignPair),
        (43, 0, Refusal::Content),
    ] {
        let found = if at == 9 && octet == 0x23 {
            // Shorter by an octet, with its sum where it says.
            let mut octets = whole.clone();
            octets.remove(OCTETS - TAG_OCTETS - 1);
            let change = |it: &mut [u8]| it[9] = 0x23;
            forged(&octets, change, |it| open(it, &mut receiver(Protection::Plain))).unwrap_err()
        } else {
            set(at, octet)
        };
        assert_eq!(found, expected, "octet {at} as {octet}");
    }
    let body = |at: usize, octet| set(HEADER_OCTETS + at, octet);
    for (at, octet, expected) in [
        (4, 0x80, Refusal::Content),
        (5, 14, Refusal::Content),
        (6, 4, Refusal::Content),
        (10, 1, Refusal::Content),
        (11, 1, Refusal::Content),
        (40, 0x80, Refusal::FarClock),
        (56, 0x41, Refusal::FarClock),
        (72, 0x41, Refusal::Epoch),
        (80, 0xff, Refusal::Epoch),
        // Without the flag, what stands there has to be nothing.
        (4, 0x2e, Refusal::Content),
        (4, 0x2d, Refusal::Content),
        (4, 0x2b, Refusal::Content),
    ] {
        assert_eq!(body(at, octet), expected, "octet {at} of the body as {octet}");
    }
    let trailer = |it: &mut [u8]| it[OCTETS - TAG_OCTETS] = 1;
    assert_eq!(refused(&trailer), Refusal::CheckSum);
}

#[test]
fn nothing_is_sealed_twice_with_a_counter_or_in_anothers_name() {
    let (mut keys, mut buffer) = (sender(sealed()), [0; OCTETS]);
    let mut tried = |letter: Letter| seal(&letter, &mut keys, &mut buffer).map(|_| ());
    assert_eq!(tried(letter()), Ok(()));
    for counter in [0, 1, 12] {
        assert_eq!(tried(Letter { counter, ..letter() }), Err(SealError::Counter));
    }
    assert_eq!(tried(Letter { path: 0, ..letter() }), Ok(()));
    assert_eq!(tried(Letter { counter: u64::MAX, ..letter() }), Ok(()));
    assert_eq!(tried(Letter { counter: u64::MAX, ..letter() }), Err(SealError::Counter));
    assert_eq!(tried(Letter { path: 4, ..letter() }), Err(SealError::Path));
    assert_eq!(tried(Letter { from: NodeId::B, ..letter() }), Err(SealError::Foreign));
    assert_eq!(tried(Letter { session: THEIRS, ..letter() }), Err(SealError::Foreign));
    assert_eq!(tried(Letter { pair: PairId(1), ..letter() }), Err(SealError::Foreign));
    let mut far = Letter { path: 2, ..letter() };
    far.beat.sent_at = Instant::from_nanos(CLOCK_MAX_NS + 1);
    assert_eq!(tried(far), Err(SealError::Content));
    let short = &mut [0; OCTETS - 1];
    assert_eq!(seal(&letter(), &mut sender(sealed()), short), Err(SealError::Room));
}

#[test]
fn a_key_that_is_kept_is_not_displaced_by_what_dead_sessions_said() {
    let mut keys = receiver(sealed());
    assert_eq!(open(&written(&letter(), sealed()), &mut keys), Ok(letter()));
    keys.keep(Some(MINE));
    assert!(keys.holds(MINE));
    for ghost in 0..4 {
        let session = Session([ghost; 16]);
        let ghostly = Letter { session, ..letter() };
        let mut buffer = [0; OCTETS];
        let mut own = super::keys(sealed(), Kind::Beat, A, session);
        seal(&ghostly, &mut own, &mut buffer).unwrap();
        assert_eq!(open(&buffer, &mut keys), Ok(ghostly));
        assert!(keys.holds(MINE) && keys.holds(session));
        // What only claims to be of a session leaves nothing behind.
        buffer[20] ^= 0x40;
        assert_eq!(open(&buffer, &mut keys), Err(Refusal::Authentication));
        assert!(keys.holds(session));
    }
    keys.keep(None);
    assert!(!keys.holds(MINE));
}

pub(super) fn session() -> impl Strategy<Value = Session> {
    any::<[u8; 16]>().prop_map(Session)
}

pub(super) fn epoch() -> impl Strategy<Value = Epoch> {
    (0..=Epoch::MAX.number()).prop_map(|number| Epoch::new(number).unwrap())
}

pub(super) fn standing() -> impl Strategy<Value = Standing> {
    let form = prop::sample::select(vec![Form::Duplex, Form::Solo]);
    (epoch(), form).prop_map(|(epoch, form)| Standing { epoch, form })
}

fn instant() -> impl Strategy<Value = Instant> {
    (0..=CLOCK_MAX_NS).prop_map(Instant::from_nanos)
}

fn span() -> impl Strategy<Value = Duration> {
    any::<u64>().prop_map(Duration::from_nanos)
}

prop_compose! {
    fn word()(
        state in prop::sample::select(State::ALL.to_vec()),
        (standing, silent_to) in (standing(), epoch()),
        (requests, grants, fenced_peer) in any::<(bool, bool, bool)>(),
        partner in prop::option::of(session()),
        blocks in any::<u32>().prop_map(Blocks::from_bits),
    ) -> Word {
        Word { state, standing, silent_to, requests, grants, partner, fenced_peer, blocks }
    }
}

fn path() -> impl Strategy<Value = PathReport> {
    (prop::sample::select(Verdict::ALL.to_vec()), any::<(u64, u64)>())
        .prop_map(|(verdict, (received, lost))| PathReport { verdict, received, lost })
}

prop_compose! {
    fn health()(
        boot in any::<[u8; 16]>().prop_map(BootId),
        (schema, committed_cycle, applied_cycle) in any::<(u64, u64, u64)>(),
        (lateness, lateness_max, clock_rate_ppb) in (span(), span(), any::<i32>()),
        paths in [path(), path(), path(), path()],
    ) -> Health {
        Health {
            boot, schema, committed_cycle, applied_cycle, lateness, lateness_max, clock_rate_ppb,
            paths,
        }
    }
}

prop_compose! {
    fn any_letter()(
        (word, health) in (word(), health()),
        (number, sent_at) in (any::<u64>(), instant()),
        echo in prop::option::of((any::<u64>(), instant(), span())),
        challenge in any::<u32>(),
        to in prop::option::of((session(), any::<u32>())),
        (path, counter) in (0..4_u8, 1..=u64::MAX),
    ) -> Letter {
        let echo = echo.map(|(number, sent_at, age)| Echo { number, sent_at, age });
        let to = to.map(|(session, challenge)| Address { session, challenge });
        let beat = Beat { number, sent_at, echo, word, health };
        Letter { pair: PAIR, from: NodeId::A, session: MINE, challenge, to, path, counter, beat }
    }
}

proptest! {
    #[test]
    fn every_letter_that_can_be_meant_survives(letter in any_letter()) {
        for protection in both() {
            let octets = written(&letter, protection.clone());
            prop_assert_eq!(open(&octets, &mut receiver(protection)), Ok(letter));
        }
    }

    #[test]
    fn whatever_comes_is_no_panic_and_what_is_read_is_what_was_written(
        start in 0..OCTETS,
        octets in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut whole = written(&letter(), Protection::Plain);
        whole.truncate(start);
        whole.extend(octets);
        whole.resize(whole.len().max(OCTETS), 0);
        let found = forged(&whole[..OCTETS], |_| (), |it| {
            open(it, &mut receiver(Protection::Plain)).map(|read| (read, it.to_vec()))
        });
        if let Ok((read, octets)) = found
            && read.from == NodeId::A && read.session == MINE
        {
            prop_assert_eq!(written(&read, Protection::Plain), octets);
        }
    }
}
