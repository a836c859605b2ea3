//! The octets of what a pair says: one envelope for all its messages.
//!
//! ```text
//!   0  magic "BMPL"                      4
//!   4  version                           1
//!   5  subtype: the kind                 1
//!   6  flags: 1 = sealed                 1
//!   7  sender                            1   1 node A, 2 node B, 3 witness, 0x10 + i latch i
//!   8  length: from the magic to the end of the tag, 2
//!  10  path that it is sent on           1
//!  11  0                                 1
//!  12  pair                              8
//!  20  the sender's session             16
//!  36  counter                           8
//!  44  body                                  sealed: ChaCha20
//!      tag                              16   sealed: Poly1305; else 12 zeros and a CRC32C of the
//!                                             header and the body
//! ```
//!
//! All numbers are big-endian. This is what an Ethernet frame of [`ETHERTYPE`] or a UDP datagram
//! carries; what a link adds behind the length is not looked at. The header is in clear, so that a
//! receiver finds the key and an operator's capture can be read; it is authenticated with the rest.
//!
//! | Module | Holds |
//! |---|---|
//! | [`beat`] | heartbeats |
//! | [`question`] | what the witness is asked and answers |
//! | [`latch`] | claims, what latches answer, and the frames of outputs |
//! | [`asking`] | which answers are to be taken |
//! | [`keys`] | who can have sent it |
//!
//! Reading is strict: lengths are exact, what is reserved is zero, each number means something.
//! One that could not have been written by this module is refused with its reason.

pub mod asking;
pub mod beat;
pub mod keys;
pub mod latch;
mod octets;
pub mod question;
#[cfg(test)]
mod tests;

pub use asking::{Asked, Asking};
pub use keys::{Keys, PairKey, Protection, SealError};

use super::beat::{PATHS_MAX, Session};
use super::letter::PairId;
use super::question::LATCHES_MAX;
use super::refusal::Refusal;
use super::standing::NodeId;
pub use crate::probe_frame::{ETHERTYPE, MAGIC};

/// Of these formats.
pub const VERSION: u8 = 1;
/// Octets before the body.
pub const HEADER_OCTETS: usize = 44;
/// Octets behind it.
pub const TAG_OCTETS: usize = 16;
/// The longest message: the payload of ordinary Ethernet, less the trailer of PRP.
pub const OCTETS_MAX: usize = 1_494;
/// The longest body.
pub const BODY_OCTETS_MAX: usize = OCTETS_MAX - HEADER_OCTETS - TAG_OCTETS;

/// Octets of a header.
type Header = [u8; HEADER_OCTETS];

const SEALED: u8 = 1;

/// What a message is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A heartbeat, from node to node.
    Beat = 0x10,
    /// From a node to the witness.
    Question = 0x20,
    /// From the witness to a node.
    Answer = 0x21,
    /// From a node to a latch.
    Claim = 0x30,
    /// From a latch to a node.
    Claimed = 0x31,
    /// Outputs, from a node to latches.
    Output = 0x40,
}

impl Kind {
    /// All.
    pub const ALL: [Self; 6] =
        [Self::Beat, Self::Question, Self::Answer, Self::Claim, Self::Claimed, Self::Output];

    /// Its subtype on the wire. The probe's is another one.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether this sender sends such messages.
    const fn is_sent_by(self, sender: Sender) -> bool {
        matches!(
            (self, sender),
            (Self::Beat | Self::Question | Self::Claim | Self::Output, Sender::Node(_))
                | (Self::Answer, Sender::Witness)
                | (Self::Claimed, Sender::Latch(_))
        )
    }
}

/// Who sends for a pair.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Sender {
    /// One of its nodes.
    Node(NodeId),
    /// Its witness.
    Witness,
    /// One of its latches, below [`LATCHES_MAX`].
    Latch(u8),
}

const LATCH_ZERO: u8 = 0x10;

impl Sender {
    const fn number(self) -> u8 {
        match self {
            Self::Node(NodeId::A) => 1,
            Self::Node(NodeId::B) => 2,
            Self::Witness => 3,
            Self::Latch(latch) => LATCH_ZERO.saturating_add(latch),
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Node(NodeId::A)),
            2 => Some(Self::Node(NodeId::B)),
            3 => Some(Self::Witness),
            _ => number
                .checked_sub(LATCH_ZERO)
                .filter(|latch| usize::from(*latch) < LATCHES_MAX)
                .map(Self::Latch),
        }
    }

    /// The node, where it is one.
    const fn node(self) -> Option<NodeId> {
        match self {
            Self::Node(node) => Some(node),
            _ => None,
        }
    }
}

/// What stands outside on each message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Envelope {
    /// What it is.
    pub kind: Kind,
    /// Who sent it.
    pub sender: Sender,
    /// The path it was sent on.
    pub path: u8,
    /// For which pair.
    pub pair: PairId,
    /// What the sender drew when it started.
    pub session: Session,
    /// Counts what the sender sent of this kind on this path in this session, from 1.
    pub counter: u64,
}

/// A message whose outside is well-formed. Nothing of it is authenticated.
struct Message<'a> {
    envelope: Envelope,
    is_sealed: bool,
    header: &'a Header,
    body: &'a [u8],
    tag: &'a [u8; TAG_OCTETS],
}

impl Envelope {
    /// What stands outside on a message, so that whoever serves several kinds or pairs knows where
    /// it belongs. Nothing of it is authenticated. Real-time class: bounded.
    ///
    /// # Errors
    /// It is no well-formed message.
    pub fn peek(octets: &[u8]) -> Result<Self, Refusal> {
        Message::read(octets).map(|it| it.envelope)
    }

    /// The header of a message with a body of so many octets.
    fn header(&self, is_sealed: bool, body_octets: usize) -> Option<Header> {
        let length = HEADER_OCTETS + body_octets + TAG_OCTETS;
        let length = u16::try_from(length).ok().filter(|_| length <= OCTETS_MAX)?;
        let mut header = [0; HEADER_OCTETS];
        header[..4].copy_from_slice(&MAGIC);
        let flags = if is_sealed { SEALED } else { 0 };
        header[4..8].copy_from_slice(&[VERSION, self.kind.number(), flags, self.sender.number()]);
        header[8..10].copy_from_slice(&length.to_be_bytes());
        header[10..12].copy_from_slice(&[self.path, 0]);
        header[12..20].copy_from_slice(&self.pair.0.to_be_bytes());
        header[20..36].copy_from_slice(&self.session.0);
        header[36..44].copy_from_slice(&self.counter.to_be_bytes());
        Some(header)
    }
}

impl<'a> Message<'a> {
    fn read(octets: &'a [u8]) -> Result<Self, Refusal> {
        if octets.first_chunk() != Some(&MAGIC) {
            return Err(Refusal::NotOurs);
        }
        let header = octets.first_chunk::<HEADER_OCTETS>().ok_or(Refusal::Length)?;
        let kind = Kind::ALL.into_iter().find(|it| it.number() == header[5]);
        let kind = kind.ok_or(Refusal::NotOurs)?;
        if header[4] != VERSION {
            return Err(Refusal::Version);
        }
        let length = usize::from(u16::from_be_bytes([header[8], header[9]]));
        let whole = octets.get(..length).filter(|_| length <= OCTETS_MAX);
        let inner = whole.and_then(|it| it.get(HEADER_OCTETS..)).ok_or(Refusal::Length)?;
        let (body, tag) = inner.split_last_chunk::<TAG_OCTETS>().ok_or(Refusal::Length)?;
        let sender = Sender::from_number(header[7]).filter(|it| kind.is_sent_by(*it));
        let sender = sender.ok_or(Refusal::Content)?;
        if header[6] & !SEALED != 0 || header[11] != 0 {
            return Err(Refusal::Content);
        }
        let path = header[10];
        if usize::from(path) >= PATHS_MAX {
            return Err(Refusal::UnknownPath);
        }
        let mut rest = octets::Reader::new(&header[12..]);
        let (pair, session) = (PairId(rest.number()?), Session(rest.take()?));
        let envelope = Envelope { kind, sender, path, pair, session, counter: rest.number()? };
        Ok(Self { envelope, is_sealed: header[6] == SEALED, header, body, tag })
    }
}
