//! Reading and writing a body, field by field.

use crate::pair::{Address, Epoch, Refusal, Session};
use crate::time::{Duration, Instant};

/// Later than any clock gets that started at a boot: 146 years. Room is left above it, so that
/// nothing that is added to an instant saturates.
pub(super) const CLOCK_MAX_NS: u64 = 1 << 62;

/// What is left of a body.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let (octets, rest) = self.0.split_first_chunk().ok_or(Refusal::Length)?;
        self.0 = rest;
        Ok(*octets)
    }

    pub(super) fn octet(&mut self) -> Result<u8, Refusal> {
        self.take().map(|[octet]| octet)
    }

    pub(super) fn short(&mut self) -> Result<u16, Refusal> {
        self.take().map(u16::from_be_bytes)
    }

    pub(super) fn word(&mut self) -> Result<u32, Refusal> {
        self.take().map(u32::from_be_bytes)
    }

    pub(super) fn number(&mut self) -> Result<u64, Refusal> {
        self.take().map(u64::from_be_bytes)
    }

    pub(super) fn span(&mut self) -> Result<Duration, Refusal> {
        self.number().map(Duration::from_nanos)
    }

    pub(super) fn instant(&mut self) -> Result<Instant, Refusal> {
        let nanos = self.number()?;
        if nanos > CLOCK_MAX_NS {
            return Err(Refusal::FarClock);
        }
        Ok(Instant::from_nanos(nanos))
    }

    pub(super) fn epoch(&mut self) -> Result<Epoch, Refusal> {
        Epoch::new(self.number()?).ok_or(Refusal::Epoch)
    }

    pub(super) fn session(&mut self) -> Result<Session, Refusal> {
        self.take().map(Session)
    }

    pub(super) fn address(&mut self) -> Result<Address, Refusal> {
        Ok(Address { session: self.session()?, challenge: self.word()? })
    }

    /// Nothing stands here.
    pub(super) fn blank<const N: usize>(&mut self) -> Result<(), Refusal> {
        if self.take()? == [0; N] { Ok(()) } else { Err(Refusal::Content) }
    }

    /// What was not read.
    pub(super) const fn rest(self) -> &'a [u8] {
        self.0
    }

    /// What is there or is zeros, and nothing else.
    pub(super) fn maybe<T>(
        &mut self,
        is_there: bool,
        octets: usize,
        read: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<Option<T>, Refusal> {
        if is_there {
            return read(self).map(Some);
        }
        let (blank, rest) = self.0.split_at_checked(octets).ok_or(Refusal::Length)?;
        self.0 = rest;
        if blank.iter().any(|octet| *octet != 0) { Err(Refusal::Content) } else { Ok(None) }
    }
}

/// A body that is written; what does not fit is not written and ends in [`Writer::finish`].
pub(super) struct Writer<'a> {
    octets: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    pub(super) const fn new(octets: &'a mut [u8]) -> Self {
        Self { octets, at: 0 }
    }

    pub(super) fn put(&mut self, octets: &[u8]) -> &mut Self {
        let end = self.at.saturating_add(octets.len());
        if let Some(into) = self.octets.get_mut(self.at..end) {
            into.copy_from_slice(octets);
        }
        self.at = end;
        self
    }

    pub(super) fn word(&mut self, number: u32) -> &mut Self {
        self.put(&number.to_be_bytes())
    }

    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        self.put(&number.to_be_bytes())
    }

    pub(super) fn span(&mut self, span: Duration) -> &mut Self {
        self.number(span.as_nanos())
    }

    pub(super) fn instant(&mut self, instant: Instant) -> &mut Self {
        self.number(instant.as_nanos())
    }

    pub(super) fn epoch(&mut self, epoch: Epoch) -> &mut Self {
        self.number(epoch.number())
    }

    /// How many octets were written; none where they did not fit.
    pub(super) const fn finish(self) -> Option<usize> {
        if self.at <= self.octets.len() { Some(self.at) } else { None }
    }
}

/// The number whose bits are these answers, the first in the lowest bit.
pub(super) fn bits<const N: usize>(answers: [bool; N]) -> u8 {
    answers.into_iter().rev().fold(0, |bits, answer| bits << 1 | u8::from(answer))
}

/// The answers of which `octet` is made; bits beyond them have to be zero.
pub(super) fn answers<const N: usize>(octet: u8) -> Result<[bool; N], Refusal> {
    let answers = core::array::from_fn(|bit| octet >> bit & 1 == 1);
    if bits(answers) == octet { Ok(answers) } else { Err(Refusal::Content) }
}
