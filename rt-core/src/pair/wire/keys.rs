//! Who can have sent it: sealing and opening with the pair's key.
//!
//! The pair has one secret of 32 octets. Each sender seals each kind of message with a key of its
//! own, which is made from the secret and the sender's session with HKDF-SHA256:
//!
//! ```text
//! salt   the session                                16 octets, drawn by chance at each start
//! info   "BMPL", version, kind, sender, pair        15 octets
//! ```
//!
//! **No nonce is used twice with a key.** The nonce of ChaCha20-Poly1305 is the path (1 octet),
//! three zeros and the counter (8 octets), so it is one for each (path, counter). [`Keys::new`]
//! makes the only key with which a `Keys` seals, and each time it does, the counter has to be
//! higher than the last one on that path, or nothing is sealed; counters do not wrap. Another
//! sender, kind, pair or session is another key: two starts have the same session by a chance of
//! 2⁻¹²⁸. What breaks it is a machine that is put back to a stored state and runs on: it has to be
//! restarted.
//!
//! **What a stranger costs.** A message of an unknown session costs one derivation (a dozen blocks
//! of SHA-256) and one Poly1305 over its octets; only what proves authentic leaves a key behind.
//! The own key, the one that [`Keys::keep`] names and the newest authentic one of each sender
//! are held. One who plays back authentic messages of two dead sessions in turn costs a
//! derivation each, and cannot displace the key that is kept.

use core::fmt;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroize;

use super::{Envelope, HEADER_OCTETS, Header, Kind, MAGIC, Message, Sender, TAG_OCTETS, VERSION};
use crate::pair::question::LATCHES_MAX;
use crate::pair::{PATHS_MAX, PairId, Refusal, Session};
use crate::probe_frame::crc32c;

/// The secret that the nodes of a pair, its witness and its latches share. It is never printed, and
/// is overwritten when it is dropped.
#[derive(Clone)]
pub struct PairKey([u8; 32]);

impl PairKey {
    /// The secret of these octets.
    #[must_use]
    pub const fn new(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    fn derive(&self, id: &KeyId, pair: PairId) -> Option<ChaCha20Poly1305> {
        let [kind, sender] = [id.kind.number(), id.sender.number()];
        let info: [&[u8]; 3] = [&MAGIC, &[VERSION, kind, sender], &pair.0.to_be_bytes()];
        let mut octets = Key::default();
        let made = Hkdf::<Sha256>::new(Some(&id.session.0), &self.0);
        let cipher = made
            .expand_multi_info(&info, &mut octets)
            .ok()
            .map(|()| ChaCha20Poly1305::new(&octets));
        octets.as_mut_slice().zeroize();
        cipher
    }
}

impl Drop for PairKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for PairKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairKey(…)")
    }
}

/// How a pair's messages are protected.
#[derive(Clone, Debug)]
pub enum Protection {
    /// Sealed with the pair's secret.
    Sealed(PairKey),
    /// With a check sum alone, which finds what a cable did and proves nothing: whoever reaches
    /// the network is believed.
    Plain,
}

/// Why a message cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SealError {
    /// Its counter is not higher than the last one on its path, or is used up.
    Counter,
    /// Its path is none.
    Path,
    /// It is of another pair, sender, session or kind than the keys.
    Foreign,
    /// Something in it cannot be told: an instant that is too far off, a number that is none.
    Content,
    /// It is longer than the buffer, or than a message can be.
    Room,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "its counter was used before: restart this program",
            Self::Path => "its path is none",
            Self::Foreign => "these are not its sender's keys",
            Self::Content => "something in it is out of its bounds",
            Self::Room => "it is too long",
        })
    }
}

impl core::error::Error for SealError {}

/// Senders of which a `Keys` holds a key each: of one kind of message there are the two nodes, or
/// the witness, or the latches.
const SENDERS: usize = LATCHES_MAX;

/// Whose key.
#[derive(Clone, Copy, PartialEq, Eq)]
struct KeyId {
    kind: Kind,
    sender: Sender,
    session: Session,
}

impl KeyId {
    const fn of(envelope: &Envelope) -> Self {
        Self { kind: envelope.kind, sender: envelope.sender, session: envelope.session }
    }
}

/// A key that was made.
#[derive(Clone)]
struct Entry {
    id: KeyId,
    cipher: ChaCha20Poly1305,
}

/// How one sender seals one kind of message for a pair, and opens what others of the pair sent.
/// Real-time class of all functions: bounded, no allocation.
pub struct Keys {
    pair: PairId,
    protection: Protection,
    own: KeyId,
    own_cipher: Option<ChaCha20Poly1305>,
    /// The highest counter that was sealed, by path.
    sealed: [u64; PATHS_MAX],
    kept: Option<Entry>,
    /// The newest key that proved authentic, by sender.
    newest: [Option<Entry>; SENDERS],
}

impl Keys {
    /// Of a sender that has just started and drew `session`. To be made once for each (session,
    /// kind, sender): a second one does not know which counters the first one used.
    #[must_use]
    pub fn new(
        protection: Protection,
        pair: PairId,
        kind: Kind,
        sender: Sender,
        session: Session,
    ) -> Self {
        let own = KeyId { kind, sender, session };
        let own_cipher = match &protection {
            Protection::Sealed(secret) => secret.derive(&own, pair),
            Protection::Plain => None,
        };
        let sealed = [0; PATHS_MAX];
        Self {
            pair,
            protection,
            own,
            own_cipher,
            sealed,
            kept: None,
            newest: [const { None }; SENDERS],
        }
    }

    /// Holds on to the key of this session as long as it is the peer's. To be told after each beat
    /// that was taken ([`crate::pair::Sessions::peer`]).
    pub fn keep(&mut self, session: Option<Session>) {
        let is_it = |entry: &Option<Entry>| entry.as_ref().map(|it| it.id.session) == session;
        if is_it(&self.kept) {
            return;
        }
        self.kept = self.newest.iter_mut().find(|it| is_it(it)).and_then(Option::take);
    }

    /// A counter that was used on no path yet; 0, which cannot be sealed, when there are no more.
    /// For questions and claims; beats have their own ([`crate::pair::Sessions::next_counter`]).
    #[must_use]
    pub fn next_counter(&self) -> u64 {
        let highest = self.sealed.iter().fold(0, |highest, it| highest.max(*it));
        u64::checked_add(highest, 1).unwrap_or(0)
    }

    /// Whether there is a key at hand for what this session sends.
    #[cfg(test)]
    pub(super) fn holds(&self, session: Session) -> bool {
        self.kept.iter().chain(self.newest.iter().flatten()).any(|it| it.id.session == session)
    }

    /// Puts envelope and tag around the first `body_octets` octets behind the header's place.
    /// Says how long it all is.
    pub(super) fn seal(
        &mut self,
        envelope: &Envelope,
        body_octets: usize,
        buffer: &mut [u8],
    ) -> Result<usize, SealError> {
        if envelope.pair != self.pair || KeyId::of(envelope) != self.own {
            return Err(SealError::Foreign);
        }
        let sealed = self.sealed.get_mut(usize::from(envelope.path)).ok_or(SealError::Path)?;
        if envelope.counter <= *sealed {
            return Err(SealError::Counter);
        }
        let is_sealed = matches!(self.protection, Protection::Sealed(_));
        let header = envelope.header(is_sealed, body_octets).ok_or(SealError::Room)?;
        let length = HEADER_OCTETS + body_octets + TAG_OCTETS;
        let whole = buffer.get_mut(..length).ok_or(SealError::Room)?;
        let (covered, tag) = whole.split_last_chunk_mut::<TAG_OCTETS>().ok_or(SealError::Room)?;
        let (into, body) =
            covered.split_first_chunk_mut::<HEADER_OCTETS>().ok_or(SealError::Room)?;
        *into = header;
        *sealed = envelope.counter;
        if is_sealed {
            let cipher = self.own_cipher.as_ref().ok_or(SealError::Foreign)?;
            let made = cipher.encrypt_inout_detached(&nonce(envelope), &header, body.into());
            *tag = made.map_err(|_| SealError::Room)?.into();
        } else {
            *tag = check_sum(covered);
        }
        Ok(length)
    }

    /// Opens a message of this kind into `body`. Says what stood outside and how long the body is.
    pub(super) fn open(
        &mut self,
        kind: Kind,
        octets: &[u8],
        body: &mut [u8],
    ) -> Result<(Envelope, usize), Refusal> {
        let message = Message::read(octets)?;
        let envelope = message.envelope;
        if envelope.kind != kind {
            return Err(Refusal::NotOurs);
        }
        if message.is_sealed != matches!(self.protection, Protection::Sealed(_)) {
            return Err(Refusal::Protection);
        }
        if envelope.pair != self.pair {
            return Err(Refusal::ForeignPair);
        }
        let body = body.get_mut(..message.body.len()).ok_or(Refusal::Length)?;
        if message.is_sealed {
            self.unseal(&message, body)?;
        } else {
            let covered = octets.get(..HEADER_OCTETS + message.body.len());
            if covered.map(check_sum) != Some(*message.tag) {
                return Err(Refusal::CheckSum);
            }
            body.copy_from_slice(message.body);
        }
        if envelope.counter == 0 {
            return Err(Refusal::Content);
        }
        Ok((envelope, body.len()))
    }

    /// Opens a message whose body is of exactly so many octets.
    pub(super) fn open_exactly<const N: usize>(
        &mut self,
        kind: Kind,
        octets: &[u8],
    ) -> Result<(Envelope, [u8; N]), Refusal> {
        let mut body = [0; N];
        let (envelope, length) = self.open(kind, octets, &mut body)?;
        if length == N { Ok((envelope, body)) } else { Err(Refusal::Length) }
    }

    fn unseal(&mut self, message: &Message<'_>, body: &mut [u8]) -> Result<(), Refusal> {
        let id = KeyId::of(&message.envelope);
        if id == self.own {
            let cipher = self.own_cipher.as_ref().ok_or(Refusal::Authentication)?;
            return decrypt(cipher, message, body);
        }
        let mut known = self.kept.iter().chain(self.newest.iter().flatten());
        if let Some(entry) = known.find(|it| it.id == id) {
            return decrypt(&entry.cipher, message, body);
        }
        let Protection::Sealed(secret) = &self.protection else {
            return Err(Refusal::Protection);
        };
        let cipher = secret.derive(&id, self.pair).ok_or(Refusal::Authentication)?;
        decrypt(&cipher, message, body)?;
        self.newest[usize::from(id.sender.number()) % SENDERS] = Some(Entry { id, cipher });
        Ok(())
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = (self.own.kind, self.own.sender);
        f.debug_struct("Keys").field("pair", &self.pair).field("own", &own).finish_non_exhaustive()
    }
}

fn nonce(envelope: &Envelope) -> Nonce {
    let mut nonce = [0; 12];
    nonce[0] = envelope.path;
    nonce[4..].copy_from_slice(&envelope.counter.to_be_bytes());
    nonce.into()
}

fn decrypt(
    cipher: &ChaCha20Poly1305,
    message: &Message<'_>,
    body: &mut [u8],
) -> Result<(), Refusal> {
    let header: &Header = message.header;
    let octets = InOutBuf::new(message.body, body).map_err(|_| Refusal::Length)?;
    cipher
        .decrypt_inout_detached(&nonce(&message.envelope), header, octets, &Tag::from(*message.tag))
        .map_err(|_| Refusal::Authentication)
}

/// What stands in the place of the tag where nothing is sealed.
fn check_sum(covered: &[u8]) -> [u8; TAG_OCTETS] {
    let mut tag = [0; TAG_OCTETS];
    tag[TAG_OCTETS - 4..].copy_from_slice(&crc32c(covered).to_be_bytes());
    tag
}
