//! The format of a payload, all numbers big-endian:
//!
//! | Octets | Field |
//! |---|---|
//! | 0..4 | magic `bmps` |
//! | 4 | kind: 1 data, 2 end of stream (number = how many were sent), 3 request, 4 reply |
//! | 5 | 0 |
//! | 6..8 | length of the payload in octets, these included |
//! | 8..12 | stream id |
//! | 12..20 | number |
//! | 20..28 | instant of sending, ns of `CLOCK_MONOTONIC` |
//! | 28..32 | check value over the octets before |
//! | 32.. | pattern that follows from the octets before |
//!
//! Behind the length anything may stand: a short frame is padded on its way.

use rt_core::time::Instant;

use crate::impair::random::advance;

/// Length of the header, and so of the shortest payload.
pub const HEADER_OCTETS: usize = 32;
/// The longest payload.
pub const PAYLOAD_OCTETS_MAX: usize = 65_507;

const MAGIC: [u8; 4] = *b"bmps";

/// What a payload is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// One of the stream.
    Data,
    /// The end; its number is how many were sent.
    End,
    /// To be answered.
    Request,
    /// The answer.
    Reply,
}

/// The meaning of a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Payload {
    /// What it is.
    pub kind: Kind,
    /// Which stream it belongs to.
    pub stream: u32,
    /// Its number, from 0.
    pub number: u64,
    /// When it was sent.
    pub sent_at: Instant,
}

/// Octets that are not an intact payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    /// No payload of ours at all: no magic.
    Foreign,
    /// The header was changed: whose it was cannot be told.
    Header,
    /// The header is intact, but the rest was changed or cut off.
    Pattern {
        /// Whose it was.
        stream: u32,
    },
}

impl Payload {
    /// Writes the payload over all of `octets`.
    ///
    /// Does nothing to a buffer shorter than [`HEADER_OCTETS`] or longer than
    /// [`PAYLOAD_OCTETS_MAX`]: callers check sizes when they read their arguments.
    pub fn emit(&self, octets: &mut [u8]) {
        let Ok(length) = u16::try_from(octets.len()) else { return };
        if octets.len() < HEADER_OCTETS {
            return;
        }
        let kind = match self.kind {
            Kind::Data => 1,
            Kind::End => 2,
            Kind::Request => 3,
            Kind::Reply => 4,
        };
        let (header, rest) = octets.split_at_mut(HEADER_OCTETS);
        header[..4].copy_from_slice(&MAGIC);
        header[4..6].copy_from_slice(&[kind, 0]);
        header[6..8].copy_from_slice(&length.to_be_bytes());
        header[8..12].copy_from_slice(&self.stream.to_be_bytes());
        header[12..20].copy_from_slice(&self.number.to_be_bytes());
        header[20..28].copy_from_slice(&self.sent_at.as_nanos().to_be_bytes());
        let check = check_value(&header[..28]);
        header[28..32].copy_from_slice(&check.to_be_bytes()[4..]);
        let mut pattern = check;
        for chunk in rest.chunks_mut(8) {
            pattern = advance(pattern);
            chunk.copy_from_slice(&pattern.to_be_bytes()[..chunk.len()]);
        }
    }

    /// Reads a payload and checks every octet of it.
    ///
    /// # Errors
    /// [`Damage`] says what can still be told.
    pub fn parse(octets: &[u8]) -> Result<Self, Damage> {
        let Some(header) = octets.first_chunk::<HEADER_OCTETS>() else {
            return Err(if octets.starts_with(&MAGIC) { Damage::Header } else { Damage::Foreign });
        };
        if header[..4] != MAGIC {
            return Err(Damage::Foreign);
        }
        let check = check_value(&header[..28]);
        if header[28..32] != check.to_be_bytes()[4..] {
            return Err(Damage::Header);
        }
        let kind = match header[4] {
            1 => Kind::Data,
            2 => Kind::End,
            3 => Kind::Request,
            4 => Kind::Reply,
            _ => return Err(Damage::Header),
        };
        let [stream, number, nanos] = [(8, 12), (12, 20), (20, 28)].map(|(from, to)| {
            header[from..to].iter().fold(0u64, |value, &octet| value << 8 | u64::from(octet))
        });
        let stream = u32::try_from(stream).map_err(|_| Damage::Header)?;
        let length = usize::from(u16::from_be_bytes([header[6], header[7]]));
        let rest = octets.get(HEADER_OCTETS..length).ok_or(Damage::Pattern { stream })?;
        let mut pattern = check;
        for chunk in rest.chunks(8) {
            pattern = advance(pattern);
            if *chunk != pattern.to_be_bytes()[..chunk.len()] {
                return Err(Damage::Pattern { stream });
            }
        }
        Ok(Self { kind, stream, number, sent_at: Instant::from_nanos(nanos) })
    }
}

/// A value that changes with every bit of `octets`.
pub(crate) fn check_value(octets: &[u8]) -> u64 {
    octets.chunks(8).fold(0x6275_6d70_6c65_7373, |value, chunk| {
        let mut word = [0u8; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        advance(value ^ u64::from_be_bytes(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: Payload = Payload {
        kind: Kind::Data,
        stream: 7,
        number: 0x1_0000_0002,
        sent_at: Instant::from_nanos(123_456_789_012),
    };

    #[test]
    fn what_is_written_is_read() {
        for kind in [Kind::Data, Kind::End, Kind::Request, Kind::Reply] {
            for octets in [32, 33, 46, 1_472, PAYLOAD_OCTETS_MAX] {
                let payload = Payload { kind, ..PAYLOAD };
                let mut buffer = vec![0xee; octets];
                payload.emit(&mut buffer);
                assert_eq!(Payload::parse(&buffer), Ok(payload));
                buffer.extend([0x55; 10]);
                assert_eq!(Payload::parse(&buffer), Ok(payload), "padding is not part of it");
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let mut buffer = [0u8; 100];
        PAYLOAD.emit(&mut buffer);
        for bit in 0..buffer.len() * 8 {
            let mut damaged = buffer;
            damaged[bit / 8] ^= 1 << (bit % 8);
            let expected = match bit / 8 {
                0..4 => Damage::Foreign,
                4..32 => Damage::Header,
                _ => Damage::Pattern { stream: 7 },
            };
            assert_eq!(Payload::parse(&damaged), Err(expected), "bit {bit}");
        }
    }

    #[test]
    fn every_cut_is_seen() {
        let mut buffer = [0u8; 60];
        PAYLOAD.emit(&mut buffer);
        for octets in 0..buffer.len() {
            assert!(Payload::parse(&buffer[..octets]).is_err(), "{octets}");
        }
    }
}
