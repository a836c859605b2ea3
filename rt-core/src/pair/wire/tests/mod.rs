//! What holds for every message, and what holds for each.

mod asking;
mod beat;
mod hostile;
mod latch;
mod question;

use std::fmt::{Debug, Write};

use super::*;
use crate::pair::{Refusal, Session};

pub(super) const PAIR: PairId = PairId(0x0102_0304_0506_0708);
pub(super) const SECRET: [u8; 32] = [0x5a; 32];
pub(super) const MINE: Session = Session([0xa1; 16]);
pub(super) const THEIRS: Session = Session([0xb2; 16]);

pub(super) fn sealed() -> Protection {
    Protection::Sealed(PairKey::new(SECRET))
}

pub(super) fn keys(protection: Protection, kind: Kind, sender: Sender, session: Session) -> Keys {
    Keys::new(protection, PAIR, kind, sender, session)
}

pub(super) fn both() -> [Protection; 2] {
    [sealed(), Protection::Plain]
}

pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        write!(text, "{octet:02x}").unwrap();
        text
    })
}

/// Each bit of it matters, each octet has to be there, and what follows is not looked at.
pub(super) fn every_octet_counts<T: Debug + PartialEq>(
    whole: &[u8],
    mut open: impl FnMut(&[u8]) -> Result<T, Refusal>,
) {
    let read = open(whole).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut octets = whole.to_vec();
        octets[bit / 8] ^= 1 << (bit % 8);
        let found = open(&octets);
        assert!(found.is_err(), "bit {bit}: {found:?}");
        if octets[..HEADER_OCTETS] == whole[..HEADER_OCTETS] {
            let expected = [Refusal::Authentication, Refusal::CheckSum];
            assert!(expected.contains(&found.unwrap_err()), "bit {bit}");
        }
    }
    for length in 0..whole.len() {
        let expected = if length < 4 { Refusal::NotOurs } else { Refusal::Length };
        assert_eq!(open(&whole[..length]), Err(expected), "{length} octets");
    }
    let mut longer = whole.to_vec();
    longer.extend([0x55; 9]);
    assert_eq!(open(&longer), Ok(read));
}

/// Reads a message again after something of its body or header was changed and summed up anew, as
/// only one who has the key, or a plain pair, can.
pub(super) fn forged<T>(
    whole: &[u8],
    change: impl FnOnce(&mut [u8]),
    open: impl FnOnce(&[u8]) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let mut octets = whole.to_vec();
    change(&mut octets);
    let end = octets.len() - TAG_OCTETS;
    let sum = crate::probe_frame::crc32c(&octets[..end]).to_be_bytes();
    octets[end + TAG_OCTETS - 4..].copy_from_slice(&sum);
    open(&octets)
}

#[test]
fn a_secret_is_never_printed() {
    let sender = Sender::Node(NodeId::A);
    let keys = keys(sealed(), Kind::Beat, sender, MINE);
    let texts = [format!("{:?}", PairKey::new(SECRET)), format!("{:?}", sealed())];
    for text in texts.into_iter().chain([format!("{keys:?}")]) {
        assert!(!text.contains("90, 90") && !text.to_lowercase().contains("5a5a"), "{text}");
    }
}

#[test]
fn senders_and_kinds_have_a_number_of_their_own_and_the_probe_has_another() {
    let senders = NodeId::ALL.map(Sender::Node).into_iter().chain([Sender::Witness]);
    let latches = u8::try_from(LATCHES_MAX).unwrap();
    let senders: Vec<_> = senders.chain((0..latches).map(Sender::Latch)).collect();
    for number in 0..=u8::MAX {
        let found = senders.iter().filter(|it| it.number() == number).count();
        assert_eq!(usize::from(Sender::from_number(number).is_some()), found, "{number}");
    }
    for sender in senders {
        assert_eq!(Sender::from_number(sender.number()), Some(sender));
        let sends = Kind::ALL.iter().filter(|it| it.is_sent_by(sender)).count();
        assert_eq!(sends, if sender.node().is_some() { 4 } else { 1 });
    }
    assert!(Kind::ALL.iter().all(|it| it.number() != crate::probe_frame::SUBTYPE));
}
