//! What latches are told and answer: claims, and the frames of outputs.
//!
//! The body of a claim, or of the question how a latch stands:
//!
//! ```text
//!   0  flags                             1   1 to, 2 claim
//!   1  latch                             1
//!   2  0                                 2
//!   4  to: the latch's session, challenge 20  zeros without
//!  24  claim: epoch, expected, since    24   zeros without
//! ```
//!
//! The body of its answer:
//!
//! ```text
//!   0  whom it is for                    1   1 node A, 2 node B
//!   1  0                                 3
//!   4  challenge                         4
//!   8  the asker's session              16
//!  24  the claim's counter               8
//!  32  claimed epoch                     8
//! ```
//!
//! The body of an output frame:
//!
//! ```text
//!   0  epoch                             8
//!   8  sequence                          8
//!  16  cycle                             8
//!  24  octets of the payload             2
//!  26  payload
//! ```
//!
//! A latch draws a session when it is powered, and tells it with a challenge in each answer; a
//! claim counts only if it names both ([`ClaimLetter::wants`]). It raises the challenge when it
//! changes hands. So a claim that was recorded counts neither after a power cycle nor after another
//! node's. Whoever may have to claim asks how the latch stands now and then, so that at a takeover
//! no round trip is spent on learning the challenge.

use super::asking::Asked;
use super::keys::{Keys, SealError};
use super::octets::{Reader, Writer, answers, bits};
use super::{BODY_OCTETS_MAX, Envelope, HEADER_OCTETS, Kind, Sender, TAG_OCTETS};
use crate::pair::latch::Claim;
use crate::pair::question::{Claimed, LATCHES_MAX};
use crate::pair::{Address, Epoch, NodeId, PairId, Refusal, Session};

const CLAIM: usize = 48;
const CLAIMED: usize = 40;
const OUTPUT: usize = 26;

/// Octets of a claim.
pub const CLAIM_OCTETS: usize = HEADER_OCTETS + CLAIM + TAG_OCTETS;
/// Octets of its answer: no more, so that a latch is no amplifier.
pub const CLAIMED_OCTETS: usize = HEADER_OCTETS + CLAIMED + TAG_OCTETS;
/// Octets of an output frame beyond its payload.
pub const OUTPUT_OCTETS: usize = HEADER_OCTETS + OUTPUT + TAG_OCTETS;
/// The longest payload of an output frame.
pub const PAYLOAD_OCTETS_MAX: usize = BODY_OCTETS_MAX - OUTPUT;

/// A claim to one latch, or the question how it stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ClaimLetter {
    /// The pair.
    pub pair: PairId,
    /// Who claims.
    pub from: NodeId,
    /// In which session.
    pub session: Session,
    /// The path it is sent on.
    pub path: u8,
    /// From [`Keys::next_counter`].
    pub counter: u64,
    /// Which latch.
    pub latch: u8,
    /// What that latch told of itself last; none while it told nothing.
    pub to: Option<Address>,
    /// What is claimed; none to ask how the latch stands. A claim has an address and an epoch of
    /// its claimant's, and begins no later than that.
    pub claim: Option<Claim>,
}

impl ClaimLetter {
    /// What an answer to it says of it.
    #[must_use]
    pub const fn asked(&self) -> Asked {
        Asked { node: self.from, session: self.session, counter: self.counter }
    }

    /// What it wants of this latch in its present life: a claim, or to know how it stands. The
    /// latch answers either way to what is for it by number: the answer tells its challenge.
    ///
    /// # Errors
    /// It is for another latch, or made for another life or challenge.
    pub fn wants(&self, latch: u8, present: Address) -> Result<Option<Claim>, Refusal> {
        let is_present = self.claim.is_none() || self.to == Some(present);
        if self.latch == latch && is_present { Ok(self.claim) } else { Err(Refusal::NotAddressed) }
    }

    /// Whether its parts fit together.
    fn is_well(&self) -> bool {
        let fits = |claim: Claim| {
            self.to.is_some()
                && claim.epoch.owner() == Some(self.from)
                && claim.since <= claim.epoch
        };
        usize::from(self.latch) < LATCHES_MAX && self.claim.is_none_or(fits)
    }
}

/// What a latch answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ClaimedLetter {
    /// The pair.
    pub pair: PairId,
    /// What the latch drew when it was powered.
    pub session: Session,
    /// What it wants to hear in a claim, beside its session.
    pub challenge: u32,
    /// The path it is sent on.
    pub path: u8,
    /// From [`Keys::next_counter`].
    pub counter: u64,
    /// Which claim or question.
    pub asked: Asked,
    /// How it stands.
    pub claimed: Claimed,
}

impl ClaimedLetter {
    /// What the next claim is to be addressed to.
    #[must_use]
    pub const fn address(&self) -> Address {
        Address { session: self.session, challenge: self.challenge }
    }
}

/// What outputs travel with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OutputHeader {
    /// The pair.
    pub pair: PairId,
    /// Who drives.
    pub from: NodeId,
    /// In which session.
    pub session: Session,
    /// The path it is sent on.
    pub path: u8,
    /// Counts what was sent on the path.
    pub counter: u64,
    /// In which epoch, which is the driver's.
    pub epoch: Epoch,
    /// Counts the outputs; the copies on several paths have the same number.
    pub sequence: u64,
    /// The application's cycle that they are of.
    pub cycle: u64,
}

/// Writes a claim to the beginning of `buffer`; [`CLAIM_OCTETS`].
///
/// # Errors
/// It cannot be sent; nothing of it may be.
pub fn seal_claim(
    letter: &ClaimLetter,
    keys: &mut Keys,
    buffer: &mut [u8],
) -> Result<usize, SealError> {
    if !letter.is_well() {
        return Err(SealError::Content);
    }
    let ClaimLetter { pair, from, session, path, counter, latch, to, claim } = *letter;
    let body = buffer.get_mut(HEADER_OCTETS..).ok_or(SealError::Room)?;
    let mut writer = Writer::new(body);
    writer.put(&[bits([to.is_some(), claim.is_some()]), latch, 0, 0]);
    let to = to.map_or(([0; 16], 0), |it| (it.session.0, it.challenge));
    writer.put(&to.0).word(to.1);
    let epochs = claim.map_or([Epoch::NONE; 3], |it| [it.epoch, it.expected, it.since]);
    for epoch in epochs {
        writer.epoch(epoch);
    }
    let octets = writer.finish().ok_or(SealError::Room)?;
    let sender = Sender::Node(from);
    let envelope = Envelope { kind: Kind::Claim, sender, path, pair, session, counter };
    keys.seal(&envelope, octets, buffer)
}

/// Reads a claim.
///
/// # Errors
/// Why it is none of this pair's.
pub fn open_claim(octets: &[u8], keys: &mut Keys) -> Result<ClaimLetter, Refusal> {
    let (envelope, body) = keys.open_exactly::<CLAIM>(Kind::Claim, octets)?;
    let mut reader = Reader::new(&body);
    let [has_to, has_claim] = answers(reader.octet()?)?;
    let latch = reader.octet()?;
    reader.blank::<2>()?;
    let to = reader.maybe(has_to, 20, Reader::address)?;
    let claim = reader.maybe(has_claim, 24, |it| {
        let (epoch, expected, since) = (it.epoch()?, it.epoch()?, it.epoch()?);
        Ok(Claim { epoch, expected, since })
    })?;
    let from = envelope.sender.node().ok_or(Refusal::Content)?;
    let Envelope { pair, session, path, counter, .. } = envelope;
    let letter = ClaimLetter { pair, from, session, path, counter, latch, to, claim };
    if letter.is_well() { Ok(letter) } else { Err(Refusal::Content) }
}

/// Writes an answer to the beginning of `buffer`; [`CLAIMED_OCTETS`].
///
/// # Errors
/// It cannot be sent; nothing of it may be.
pub fn seal_claimed(
    letter: &ClaimedLetter,
    keys: &mut Keys,
    buffer: &mut [u8],
) -> Result<usize, SealError> {
    let ClaimedLetter { pair, session, challenge, path, counter, asked, claimed } = *letter;
    let body = buffer.get_mut(HEADER_OCTETS..).ok_or(SealError::Room)?;
    let mut writer = Writer::new(body);
    writer.put(&[Sender::Node(asked.node).number(), 0, 0, 0]).word(challenge);
    writer.put(&asked.session.0).number(asked.counter).epoch(claimed.epoch);
    let octets = writer.finish().ok_or(SealError::Room)?;
    let sender = Sender::Latch(claimed.latch);
    let envelope = Envelope { kind: Kind::Claimed, sender, path, pair, session, counter };
    keys.seal(&envelope, octets, buffer)
}

/// Reads an answer. Whether it is to be taken is [`super::Asking::accept`]'s word.
///
/// # Errors
/// Why it is none of this pair's.
pub fn open_claimed(octets: &[u8], keys: &mut Keys) -> Result<ClaimedLetter, Refusal> {
    let (envelope, body) = keys.open_exactly::<CLAIMED>(Kind::Claimed, octets)?;
    let Sender::Latch(latch) = envelope.sender else { return Err(Refusal::Content) };
    let mut from = Reader::new(&body);
    let node = Sender::from_number(from.octet()?).and_then(Sender::node);
    let node = node.ok_or(Refusal::Content)?;
    from.blank::<3>()?;
    let challenge = from.word()?;
    let asked = Asked { node, session: from.session()?, counter: from.number()? };
    let claimed = Claimed { latch, epoch: from.epoch()? };
    let Envelope { pair, session, path, counter, .. } = envelope;
    Ok(ClaimedLetter { pair, session, challenge, path, counter, asked, claimed })
}

/// Writes an output frame to the beginning of `buffer`, and says how long it is:
/// [`OUTPUT_OCTETS`] and the payload.
///
/// # Errors
/// It cannot be sent; nothing of it may be.
pub fn seal_output(
    header: &OutputHeader,
    payload: &[u8],
    keys: &mut Keys,
    buffer: &mut [u8],
) -> Result<usize, SealError> {
    let OutputHeader { pair, from, session, path, counter, epoch, sequence, cycle } = *header;
    if epoch.owner() != Some(from) {
        return Err(SealError::Content);
    }
    let length = u16::try_from(payload.len()).map_err(|_| SealError::Room)?;
    let body = buffer.get_mut(HEADER_OCTETS..).ok_or(SealError::Room)?;
    let mut writer = Writer::new(body);
    writer.epoch(epoch).number(sequence).number(cycle);
    writer.put(&length.to_be_bytes()).put(payload);
    let octets = writer.finish().ok_or(SealError::Room)?;
    let sender = Sender::Node(from);
    let envelope = Envelope { kind: Kind::Output, sender, path, pair, session, counter };
    keys.seal(&envelope, octets, buffer)
}

/// Reads an output frame; its payload is put into `scratch`.
///
/// # Errors
/// Why it is none of this pair's.
pub fn open_output<'a>(
    octets: &[u8],
    keys: &mut Keys,
    scratch: &'a mut [u8; BODY_OCTETS_MAX],
) -> Result<(OutputHeader, &'a [u8]), Refusal> {
    let (envelope, length) = keys.open(Kind::Output, octets, scratch)?;
    let mut reader = Reader::new(scratch.get(..length).ok_or(Refusal::Length)?);
    let (epoch, sequence, cycle) = (reader.epoch()?, reader.number()?, reader.number()?);
    let said = usize::from(reader.short()?);
    let payload = reader.rest();
    if payload.len() != said {
        return Err(Refusal::Length);
    }
    let from = envelope.sender.node().ok_or(Refusal::Content)?;
    if epoch.owner() != Some(from) {
        return Err(Refusal::Content);
    }
    let Envelope { pair, session, path, counter, .. } = envelope;
    let header = OutputHeader { pair, from, session, path, counter, epoch, sequence, cycle };
    Ok((header, payload))
}
