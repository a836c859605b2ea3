//! The frame of the heartbeat probe: a beat that a far end sends back as long as it came.
//!
//! ```text
//!   0  destination, source             12 octets
//!  12  EtherType 0x88B6                 2
//!  14  magic "BMPL"                     4
//!  18  version, subtype, kind, 0        4
//!  22  length: from the magic to the check sum, 2 octets, and 2 of zero
//!  26  run                              8
//!  34  number                           8
//!  42  sent at, by the asker's clock    8
//!  50  came at, by the answerer's clock 8   zero in a request
//!  58  left at, by the answerer's clock 8   zero in a request
//!  66  zeros up to the planned size
//!      CRC32C from the magic to here    4
//! ```
//!
//! All numbers are big-endian, all instants nanoseconds. What a link adds behind the length (a
//! trailer) is not looked at. A frame that claims to be ours and is not well-formed is refused with
//! a reason, to be counted; one of another EtherType, magic or subtype is [`Fault::Other`].
//!
//! The check sum finds what a cable did. It is no proof of who sent the frame: that a frame belongs
//! to a run is told by the run's number, which is drawn by chance.

use core::fmt;

/// Own traffic (heartbeats, replication, claims, probes), told apart by magic and subtype.
pub const ETHERTYPE: u16 = 0x88b6;
/// What an own frame begins with.
pub const MAGIC: [u8; 4] = *b"BMPL";
/// Of this format.
pub const VERSION: u8 = 1;
/// Of the probe's frames.
pub const SUBTYPE: u8 = 0x70;
/// The shortest frame, in octets, without the frame check sequence.
pub const OCTETS_MIN: usize = FIXED + CRC_OCTETS;
/// The longest one: what ordinary Ethernet carries.
pub const OCTETS_MAX: usize = 1_514;

const HEADER: usize = 14;
const FIXED: usize = 66;
const CRC_OCTETS: usize = 4;

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It asks for an answer.
    Request,
    /// It is one.
    Answer,
}

/// Why a frame is none of the probe's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It is somebody else's: another EtherType, magic or subtype.
    Other,
    /// It is of a version that is not known here.
    Version(u8),
    /// It is shorter than it says, or than it can be, or longer.
    Length,
    /// It is neither request nor answer, or has something where nothing is to be.
    Content,
    /// The check sum is wrong.
    CheckSum,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other => f.write_str("no frame of the probe"),
            Self::Version(version) => write!(f, "version {version} is not known here"),
            Self::Length => f.write_str("its length is wrong"),
            Self::Content => f.write_str("its content is wrong"),
            Self::CheckSum => f.write_str("its check sum is wrong"),
        }
    }
}

impl core::error::Error for Fault {}

/// A frame of the probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProbeFrame {
    /// Whom it is for.
    pub destination: [u8; 6],
    /// Who sent it.
    pub source: [u8; 6],
    /// What it is.
    pub kind: Kind,
    /// Which run it belongs to, drawn by chance.
    pub run: u64,
    /// Its number in the run.
    pub number: u64,
    /// When the request left, by the asker's clock.
    pub sent_at_ns: u64,
    /// When it came to the answerer, by that one's clock.
    pub came_at_ns: u64,
    /// When the answer left, by the same clock.
    pub left_at_ns: u64,
    /// The frame's whole length, in octets: from [`OCTETS_MIN`] to [`OCTETS_MAX`].
    pub octets: usize,
}

impl ProbeFrame {
    /// Reads a frame as it came. Real-time class: bounded by [`OCTETS_MAX`].
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn parse(frame: &[u8]) -> Result<Self, Fault> {
        let fixed = frame.first_chunk::<FIXED>().ok_or(Fault::Other)?;
        let is_ours = fixed[12..14] == ETHERTYPE.to_be_bytes() && fixed[14..18] == MAGIC;
        if !is_ours || fixed[19] != SUBTYPE {
            return Err(Fault::Other);
        }
        if fixed[18] != VERSION {
            return Err(Fault::Version(fixed[18]));
        }
        let octets = HEADER + usize::from(u16::from_be_bytes([fixed[22], fixed[23]]));
        if !(OCTETS_MIN..=OCTETS_MAX).contains(&octets) {
            return Err(Fault::Length);
        }
        let frame = frame.get(..octets).ok_or(Fault::Length)?;
        let (summed, sum) = frame.split_last_chunk::<CRC_OCTETS>().ok_or(Fault::Length)?;
        if u32::from_be_bytes(*sum) != crc32c(summed.get(HEADER..).unwrap_or_default()) {
            return Err(Fault::CheckSum);
        }
        let kind = match fixed[20] {
            1 => Kind::Request,
            2 => Kind::Answer,
            _ => return Err(Fault::Content),
        };
        let [came_at_ns, left_at_ns] = [50, 58].map(|at| number_at(fixed, at));
        let is_blank = fixed[21] == 0 && fixed[24..26] == [0, 0];
        if !is_blank || (kind == Kind::Request && (came_at_ns, left_at_ns) != (0, 0)) {
            return Err(Fault::Content);
        }
        let [run, number, sent_at_ns] = [26, 34, 42].map(|at| number_at(fixed, at));
        let (mut destination, mut source) = ([0; 6], [0; 6]);
        destination.copy_from_slice(&fixed[..6]);
        source.copy_from_slice(&fixed[6..12]);
        Ok(Self {
            destination,
            source,
            kind,
            run,
            number,
            sent_at_ns,
            came_at_ns,
            left_at_ns,
            octets,
        })
    }

    /// Writes the frame to the beginning of `buffer`; what was written, or nothing when the frame's
    /// length is out of its bounds or the buffer's. Real-time class: as [`Self::parse`].
    pub fn emit<'a>(&self, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
        if !(OCTETS_MIN..=OCTETS_MAX).contains(&self.octets) {
            return None;
        }
        let length = u16::try_from(self.octets - HEADER).ok()?;
        let frame = buffer.get_mut(..self.octets)?;
        let (fixed, padding) = frame.split_first_chunk_mut::<FIXED>()?;
        fixed[..6].copy_from_slice(&self.destination);
        fixed[6..12].copy_from_slice(&self.source);
        fixed[12..14].copy_from_slice(&ETHERTYPE.to_be_bytes());
        fixed[14..18].copy_from_slice(&MAGIC);
        fixed[18..20].copy_from_slice(&[VERSION, SUBTYPE]);
        let kind = match self.kind {
            Kind::Request => 1,
            Kind::Answer => 2,
        };
        fixed[20..22].copy_from_slice(&[kind, 0]);
        fixed[22..24].copy_from_slice(&length.to_be_bytes());
        fixed[24..26].copy_from_slice(&[0, 0]);
        let numbers = [self.run, self.number, self.sent_at_ns, self.came_at_ns, self.left_at_ns];
        for (into, number) in fixed[26..].as_chunks_mut::<8>().0.iter_mut().zip(numbers) {
            *into = number.to_be_bytes();
        }
        padding.fill(0);
        let (summed, sum) = frame.split_last_chunk_mut::<CRC_OCTETS>()?;
        *sum = crc32c(summed.get(HEADER..)?).to_be_bytes();
        Some(frame)
    }

    /// The answer to a request: as long, to whom it came from. None to an answer, and none to what
    /// comes from a group's address.
    #[must_use]
    pub const fn answer(&self, own: [u8; 6], came_at_ns: u64, left_at_ns: u64) -> Option<Self> {
        match self.kind {
            Kind::Request if self.source[0] & 1 == 0 => Some(Self {
                destination: self.source,
                source: own,
                kind: Kind::Answer,
                came_at_ns,
                left_at_ns,
                ..*self
            }),
            _ => None,
        }
    }

    /// How long the answerer had it, by its own clock; nothing when that clock went back.
    #[must_use]
    pub const fn turned_ns(&self) -> Option<u64> {
        self.left_at_ns.checked_sub(self.came_at_ns)
    }
}

fn number_at(fixed: &[u8; FIXED], at: usize) -> u64 {
    let octets = fixed.get(at..).and_then(|rest| rest.first_chunk::<8>());
    octets.map_or(0, |octets| u64::from_be_bytes(*octets))
}

/// CRC-32C (Castagnoli): one look-up per octet, which is enough for a frame.
pub(crate) fn crc32c(octets: &[u8]) -> u32 {
    let step = |crc: u32, octet: &u8| {
        let [low, ..] = crc.to_le_bytes();
        TABLE[usize::from(low ^ octet)] ^ (crc >> 8)
    };
    !octets.iter().fold(u32::MAX, step)
}

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut table = [0; 256];
    let mut index: u32 = 0;
    while index < 256 {
        let mut value = index;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ POLYNOMIAL } else { value >> 1 };
            bit += 1;
        }
        table[index as usize] = value;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(octets: usize) -> ProbeFrame {
        ProbeFrame {
            destination: [2, 0, 0, 0, 0, 2],
            source: [2, 0, 0, 0, 0, 1],
            kind: Kind::Request,
            run: 0x0102_0304_0506_0708,
            number: 9,
            sent_at_ns: 10,
            came_at_ns: 0,
            left_at_ns: 0,
            octets,
        }
    }

    fn emitted(frame: &ProbeFrame) -> Vec<u8> {
        frame.emit(&mut [0xee; 2_000]).unwrap().to_vec()
    }

    /// With a right check sum over whatever was changed.
    fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Result<ProbeFrame, Fault> {
        let mut frame = emitted(&request(128));
        change(&mut frame);
        let end = frame.len() - 4;
        let sum = crc32c(&frame[14..end]).to_be_bytes();
        frame[end..].copy_from_slice(&sum);
        ProbeFrame::parse(&frame)
    }

    #[test]
    fn the_check_sum_is_that_of_the_books() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn what_was_written_is_read_again_with_or_without_a_trailer() {
        for octets in [OCTETS_MIN, OCTETS_MIN + 1, 128, OCTETS_MAX] {
            let mut frame = emitted(&request(octets));
            assert_eq!(frame.len(), octets);
            assert_eq!(ProbeFrame::parse(&frame), Ok(request(octets)));
            frame.extend([1, 2, 3, 4, 5, 6]);
            assert_eq!(ProbeFrame::parse(&frame), Ok(request(octets)));
        }
        for octets in [0, OCTETS_MIN - 1, OCTETS_MAX + 1, usize::MAX] {
            assert_eq!(request(octets).emit(&mut [0; 2_000]), None);
        }
        assert_eq!(request(128).emit(&mut [0; 127]), None);
    }

    #[test]
    fn an_answer_is_as_long_as_the_request_and_goes_to_whom_asked_and_never_to_an_answer() {
        let own = [2, 0, 0, 0, 0, 7];
        let answer = request(300).answer(own, 40, 55).unwrap();
        assert_eq!(
            (answer.octets, answer.destination, answer.source),
            (300, [2, 0, 0, 0, 0, 1], own)
        );
        assert_eq!((answer.run, answer.number, answer.sent_at_ns), (request(0).run, 9, 10));
        assert_eq!(answer.turned_ns(), Some(15));
        assert_eq!(answer.answer(own, 1, 2), None);
        assert_eq!(ProbeFrame { left_at_ns: 39, ..answer }.turned_ns(), None);
        let group = ProbeFrame { source: [0xff; 6], ..request(300) };
        assert_eq!(group.answer(own, 1, 2), None);
        assert_eq!(ProbeFrame::parse(&emitted(&answer)), Ok(answer));
    }

    #[test]
    fn what_is_not_ours_or_not_well_formed_is_refused_with_the_reason() {
        assert_eq!(changed(|_| ()), Ok(request(128)));
        assert_eq!(changed(|it| it[13] = 0xb5), Err(Fault::Other));
        assert_eq!(changed(|it| it[14] = b'X'), Err(Fault::Other));
        assert_eq!(changed(|it| it[19] = 0), Err(Fault::Other));
        assert_eq!(changed(|it| it[18] = 2), Err(Fault::Version(2)));
        for kind in [0, 3, 0xff] {
            assert_eq!(changed(|it| it[20] = kind), Err(Fault::Content));
        }
        for blank in [21, 24, 25, 50, 65] {
            assert_eq!(changed(|it| it[blank] = 1), Err(Fault::Content), "octet {blank}");
        }
        for length in [0_u16, 55, 115, 1_501, u16::MAX] {
            let found = changed(|it| it[22..24].copy_from_slice(&length.to_be_bytes()));
            assert_eq!(found, Err(Fault::Length), "{length}");
        }
        let whole = emitted(&request(128));
        for octets in 0..whole.len() {
            let expected = if octets < FIXED { Fault::Other } else { Fault::Length };
            assert_eq!(ProbeFrame::parse(&whole[..octets]), Err(expected), "{octets} octets");
        }
    }

    #[test]
    fn each_octet_that_a_cable_changes_is_found() {
        let whole = emitted(&request(128));
        for at in 14..whole.len() {
            let mut frame = whole.clone();
            frame[at] ^= 0x10;
            assert!(ProbeFrame::parse(&frame).is_err(), "octet {at}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_no_panic(
            start in prop::sample::select(vec![0_usize, 14, 20, 26]),
            octets in prop::collection::vec(any::<u8>(), 0..1_600),
        ) {
            let mut frame = emitted(&request(128));
            frame.truncate(start);
            frame.extend(octets);
            if let Ok(read) = ProbeFrame::parse(&frame) {
                // Only what could have been written is taken, up to the padding.
                let mut buffer = [0; OCTETS_MAX];
                prop_assert!(read.octets <= frame.len() && read.emit(&mut buffer).is_some());
            }
        }

        #[test]
        fn every_frame_that_can_be_meant_survives(
            (run, number, sent_at_ns) in any::<(u64, u64, u64)>(),
            (came_at_ns, left_at_ns) in any::<(u64, u64)>(),
            (destination, source) in any::<([u8; 6], [u8; 6])>(),
            octets in OCTETS_MIN..=OCTETS_MAX,
        ) {
            let frame = ProbeFrame {
                destination, source, kind: Kind::Answer, run, number, sent_at_ns, came_at_ns,
                left_at_ns, octets,
            };
            prop_assert_eq!(ProbeFrame::parse(&emitted(&frame)), Ok(frame));
        }
    }
}
