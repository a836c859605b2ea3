//! A segment: the memory of one region for one epoch, and the header that says what is in it.
//!
//! ```text
//! page 0      header: what it is (checksummed, ready word last), then the words that change
//! page 1 …    schema, if there is one
//! then        the ring's slots
//! ```
//!
//! A segment has one writer and one epoch, ever. Whoever takes over gets a new one, so a writer
//! that was stopped, and goes on, writes where nobody looks any more.
//!
//! The header is read once, checked, and never looked at again: what was checked is what is used.

use core::ops::Deref;
use core::sync::atomic::Ordering;

use rt_core::limits::{
    IMAGE_OCTETS_MAX, REGION_NAME_OCTETS_MAX, RING_SLOTS_MAX, RING_SLOTS_MIN, SCHEMA_OCTETS_MAX,
};
use thiserror::Error;

use crate::crc::Crc;
use crate::image::STAMP_WORDS;
use crate::ring::Place;
use crate::word::{WORD_OCTETS, Word, words_of};

/// The first word of each segment: `BMPLSEG` and a zero.
pub const MAGIC: u64 = u64::from_le_bytes(*b"BMPLSEG\0");
/// The ready word of a header that is complete.
const READY: u64 = u64::from_le_bytes(*b"complete");
/// The version of what is written here; another one is refused.
pub const ABI: u64 = 1;

/// Octets of the header.
pub const HEADER_OCTETS: usize = 4_096;
/// Slots begin so that no two share a pair of cache lines (processors fetch pairs).
const SLOT_ALIGNMENT: usize = 128;
/// Schema and slots begin on pages.
const PAGE_OCTETS: usize = 4_096;
/// Octets of a slot before the image: sequence word and stamp.
const SLOT_HEAD_OCTETS: usize = (1 + STAMP_WORDS) * WORD_OCTETS;

/// Words that a name takes.
const NAME_WORDS: usize = (REGION_NAME_OCTETS_MAX + 1) / WORD_OCTETS;

/// Where the header's words stand.
mod at {
    pub(super) const MAGIC: usize = 0;
    pub(super) const READY: usize = 1;
    /// Here begins what the checksum covers.
    pub(super) const CHECKED: usize = 2;
    pub(super) const ABI: usize = 2;
    pub(super) const LAYOUT: usize = 3;
    pub(super) const SEGMENT_OCTETS: usize = 4;
    pub(super) const IMAGE_OCTETS: usize = 5;
    pub(super) const SLOTS: usize = 6;
    pub(super) const SCHEMA_OCTETS: usize = 7;
    pub(super) const SCHEMA_HASH: usize = 8;
    pub(super) const BOOT_ID: usize = 9;
    pub(super) const MACHINE: usize = 11;
    pub(super) const NAME: usize = 12;
    /// Here ends what the checksum covers, and it stands.
    pub(super) const CRC: usize = NAME + super::NAME_WORDS;

    /// The words that change, each on a pair of cache lines of its own.
    pub(super) const NEWEST: usize = 128;
    pub(super) const EPOCH: usize = 144;
    pub(super) const SUPERSEDED: usize = 160;
}

/// What a machine's word order and pointer size are to those who read raw structures.
const MACHINE: u64 = {
    let order = if cfg!(target_endian = "big") { 0x4242 } else { 0x4c4c };
    (order << 8) | size_of::<usize>() as u64
};

/// A sum over all that places something: a version that nobody can forget to change.
const LAYOUT: u64 = {
    let parts = [
        at::SEGMENT_OCTETS,
        at::IMAGE_OCTETS,
        at::SLOTS,
        at::SCHEMA_OCTETS,
        at::SCHEMA_HASH,
        at::BOOT_ID,
        at::MACHINE,
        at::NAME,
        at::CRC,
        at::NEWEST,
        at::EPOCH,
        at::SUPERSEDED,
        HEADER_OCTETS,
        SLOT_ALIGNMENT,
        SLOT_HEAD_OCTETS,
        PAGE_OCTETS,
        NAME_WORDS,
    ];
    let mut sum = 0xcbf2_9ce4_8422_2325u64;
    let mut index = 0;
    while index < parts.len() {
        sum = (sum ^ parts[index] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        index += 1;
    }
    sum
};

/// How large the parts of a segment are, and where they lie. Only sizes within the limits exist.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    image_octets: usize,
    slots: usize,
    schema_octets: usize,
}

impl Layout {
    /// A layout for images of `image_octets` octets in `slots` slots, with a schema.
    ///
    /// # Errors
    /// A size is beyond its limits.
    pub const fn new(
        image_octets: usize,
        slots: usize,
        schema_octets: usize,
    ) -> Result<Self, WrongLayout> {
        if image_octets == 0 || image_octets > IMAGE_OCTETS_MAX {
            return Err(WrongLayout::ImageOctets(image_octets));
        }
        if slots < RING_SLOTS_MIN || slots > RING_SLOTS_MAX {
            return Err(WrongLayout::Slots(slots));
        }
        if schema_octets > SCHEMA_OCTETS_MAX {
            return Err(WrongLayout::SchemaOctets(schema_octets));
        }
        Ok(Self { image_octets, slots, schema_octets })
    }

    /// Octets of an image.
    #[must_use]
    pub const fn image_octets(&self) -> usize {
        self.image_octets
    }

    /// Slots of the ring.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.slots
    }

    /// The same, as it travels.
    #[allow(clippy::cast_possible_truncation, reason = "at most RING_SLOTS_MAX")]
    pub(crate) const fn slots_u32(&self) -> u32 {
        self.slots as u32
    }

    /// Where the schema stands in the segment, in octets.
    #[must_use]
    pub const fn schema(&self) -> core::ops::Range<usize> {
        HEADER_OCTETS..HEADER_OCTETS + self.schema_octets
    }

    /// From one slot to the next.
    const fn stride_octets(&self) -> usize {
        (SLOT_HEAD_OCTETS + self.image_octets).next_multiple_of(SLOT_ALIGNMENT)
    }

    const fn slots_at_octets(&self) -> usize {
        (HEADER_OCTETS + self.schema_octets).next_multiple_of(PAGE_OCTETS)
    }

    /// Octets of the whole segment: whole pages.
    #[must_use]
    pub const fn segment_octets(&self) -> usize {
        let slots = self.slots * self.stride_octets();
        (self.slots_at_octets() + slots).next_multiple_of(PAGE_OCTETS)
    }

    /// Where the ring lies in the segment's words.
    #[must_use]
    pub const fn place(&self) -> Place {
        Place {
            newest: at::NEWEST,
            slots: self.slots_at_octets() / WORD_OCTETS,
            stride: self.stride_octets() / WORD_OCTETS,
            count: self.slots,
            body: STAMP_WORDS + words_of(self.image_octets),
        }
    }

    /// Where the image of the slot that takes commit `sequence` stands in the segment, in octets.
    #[must_use]
    pub const fn image_at(&self, sequence: u64) -> usize {
        #[allow(clippy::cast_possible_truncation, reason = "less than the number of slots")]
        let slot = (sequence % self.slots as u64) as usize;
        self.slots_at_octets() + slot * self.stride_octets() + SLOT_HEAD_OCTETS
    }
}

/// A size that no segment has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum WrongLayout {
    /// Octets of the image.
    #[error("an image of {0} octets: choose 1 to {IMAGE_OCTETS_MAX}")]
    ImageOctets(usize),
    /// Slots of the ring.
    #[error("{0} slots: choose {RING_SLOTS_MIN} to {RING_SLOTS_MAX}")]
    Slots(usize),
    /// Octets of the schema.
    #[error("a schema of {0} octets: at most {SCHEMA_OCTETS_MAX}; use fewer or shorter names")]
    SchemaOctets(usize),
}

/// A region's name: 1 to [`REGION_NAME_OCTETS_MAX`] letters, digits, `-`, `_` and `.`, and neither
/// `-` nor `.` at the front.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionName {
    /// Filled up with zeros.
    octets: [u8; REGION_NAME_OCTETS_MAX + 1],
}

/// A text is no name of a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error(
    "a region's name has 1 to {REGION_NAME_OCTETS_MAX} letters, digits, `-`, `_` or `.`, and \
     begins with a letter, a digit or `_`"
)]
pub struct WrongName;

impl RegionName {
    /// `text`, if it is a name.
    ///
    /// # Errors
    /// It is none.
    pub fn new(text: &str) -> Result<Self, WrongName> {
        let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
        let first = text.bytes().next().ok_or(WrongName)?;
        if text.len() > REGION_NAME_OCTETS_MAX
            || !text.bytes().all(allowed)
            || b"-.".contains(&first)
        {
            return Err(WrongName);
        }
        let mut octets = [0; REGION_NAME_OCTETS_MAX + 1];
        octets[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { octets })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let length = self.octets.iter().position(|&octet| octet == 0).unwrap_or(0);
        // A name is ASCII, by construction.
        core::str::from_utf8(&self.octets[..length]).unwrap_or_default()
    }

    fn words(&self) -> [u64; NAME_WORDS] {
        let (words, _) = self.octets.as_chunks();
        core::array::from_fn(|index| u64::from_le_bytes(words[index]))
    }

    fn from_words(words: [u64; NAME_WORDS]) -> Result<Self, WrongName> {
        let octets = words.map(u64::to_le_bytes);
        let text = core::str::from_utf8(octets.as_flattened()).map_err(|_| WrongName)?;
        Self::new(text.trim_end_matches('\0'))
    }
}

impl core::fmt::Display for RegionName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.as_str())
    }
}

impl core::fmt::Debug for RegionName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.as_str().fmt(f)
    }
}

/// What a header says for the segment's whole life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Sizes and places.
    pub layout: Layout,
    /// Of the schema; zero where there is none.
    pub schema_hash: u64,
    /// The kernel's boot id: a segment of another boot is none.
    pub boot_id: [u64; 2],
    /// The region.
    pub name: RegionName,
}

/// Why a memory is no segment that can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum WrongHeader {
    /// The memory is smaller than a header, or not as large as the header's parts make it.
    #[error("the segment has {found} octets, not the {wanted} that it must have")]
    Size {
        /// What it must have.
        wanted: u64,
        /// What it has.
        found: u64,
    },
    /// Something else.
    #[error("this is no segment: its first word is {0:#x}")]
    Magic(u64),
    /// Its writer died before it was complete, or is not done.
    #[error("the segment is not complete")]
    NotReady,
    /// Of another version.
    #[error("the segment is of ABI {0}, this program knows {ABI}: update the older of the two")]
    Abi(u64),
    /// Of a program that lays it out differently.
    #[error(
        "the segment's layout {0:#018x} is not this program's, {LAYOUT:#018x}: daemon and library \
         are of different builds; install both from one release"
    )]
    LayoutHash(u64),
    /// Changed after it was made.
    #[error("the segment's header has been changed: its checksum does not fit")]
    Checksum,
    /// Of a machine of another word order or pointer size.
    #[error("the segment is of another kind of machine ({0:#x}, here {MACHINE:#x})")]
    Machine(u64),
    /// A size beyond its limit.
    #[error(transparent)]
    Layout(#[from] WrongLayout),
    /// No name.
    #[error("the segment's region: {0}")]
    Name(#[from] WrongName),
}

impl Header {
    fn words(&self) -> [u64; at::CRC] {
        let mut words = [0; at::CRC];
        words[at::MAGIC] = MAGIC;
        words[at::READY] = READY;
        words[at::ABI] = ABI;
        words[at::LAYOUT] = LAYOUT;
        words[at::SEGMENT_OCTETS] = self.layout.segment_octets() as u64;
        words[at::IMAGE_OCTETS] = self.layout.image_octets as u64;
        words[at::SLOTS] = self.layout.slots as u64;
        words[at::SCHEMA_OCTETS] = self.layout.schema_octets as u64;
        words[at::SCHEMA_HASH] = self.schema_hash;
        words[at::BOOT_ID..at::MACHINE].copy_from_slice(&self.boot_id);
        words[at::MACHINE] = MACHINE;
        words[at::NAME..].copy_from_slice(&self.name.words());
        words
    }

    /// Writes the header into a new segment, the ready word last.
    ///
    /// # Errors
    /// The memory is smaller than the layout.
    pub fn write<W: Word>(&self, memory: &[W]) -> Result<(), WrongHeader> {
        enough(memory, self.layout.segment_octets())?;
        let words = self.words();
        for index in (at::CHECKED..at::CRC).chain([at::MAGIC]) {
            memory[index].store(words[index], Ordering::Relaxed);
        }
        memory[at::CRC].store(checksum(&words), Ordering::Relaxed);
        memory[at::READY].store(READY, Ordering::Release);
        Ok(())
    }

    /// Reads the header of a segment that somebody else made. `memory` begins with it; the segment
    /// has `octets` octets.
    ///
    /// # Errors
    /// It is none, or none that can be used here.
    pub fn read<W: Word>(memory: &[W], octets: u64) -> Result<Self, WrongHeader> {
        enough(memory, HEADER_OCTETS)?;
        let ready = memory[at::READY].load(Ordering::Acquire);
        let words: [u64; at::CRC] =
            core::array::from_fn(|index| memory[index].load(Ordering::Relaxed));
        if words[at::MAGIC] != MAGIC {
            return Err(WrongHeader::Magic(words[at::MAGIC]));
        }
        if ready != READY {
            return Err(WrongHeader::NotReady);
        }
        if words[at::ABI] != ABI {
            return Err(WrongHeader::Abi(words[at::ABI]));
        }
        if words[at::LAYOUT] != LAYOUT {
            return Err(WrongHeader::LayoutHash(words[at::LAYOUT]));
        }
        if memory[at::CRC].load(Ordering::Relaxed) != checksum(&words) {
            return Err(WrongHeader::Checksum);
        }
        if words[at::MACHINE] != MACHINE {
            return Err(WrongHeader::Machine(words[at::MACHINE]));
        }
        let size = |index: usize| usize::try_from(words[index]).unwrap_or(usize::MAX);
        let layout = Layout::new(size(at::IMAGE_OCTETS), size(at::SLOTS), size(at::SCHEMA_OCTETS))?;
        let wanted = layout.segment_octets() as u64;
        if let Some(found) = [words[at::SEGMENT_OCTETS], octets].into_iter().find(|&o| o != wanted)
        {
            return Err(WrongHeader::Size { wanted, found });
        }
        let name = core::array::from_fn(|index| words[at::NAME + index]);
        Ok(Self {
            layout,
            schema_hash: words[at::SCHEMA_HASH],
            boot_id: [words[at::BOOT_ID], words[at::BOOT_ID + 1]],
            name: RegionName::from_words(name)?,
        })
    }
}

fn enough<W>(memory: &[W], wanted: usize) -> Result<(), WrongHeader> {
    let found = memory.len().saturating_mul(WORD_OCTETS);
    if found >= wanted {
        return Ok(());
    }
    Err(WrongHeader::Size { wanted: wanted as u64, found: found as u64 })
}

fn checksum(words: &[u64; at::CRC]) -> u64 {
    let covered = &words[at::CHECKED..];
    u64::from(covered.iter().fold(Crc::new(), |crc, word| crc.extend_words([*word])).value())
}

/// The words of a segment that change beside the ring. The daemon writes them; zero says not yet.
#[derive(Clone, Debug)]
pub struct State<M> {
    memory: M,
}

impl<M, W> State<M>
where
    M: Deref<Target = [W]>,
    W: Word,
{
    /// The state of a segment whose header was read or written.
    ///
    /// # Errors
    /// The memory is too small for one.
    pub fn new(memory: M) -> Result<Self, WrongHeader> {
        enough(&memory, HEADER_OCTETS)?;
        Ok(Self { memory })
    }

    /// The epoch in force; none before the segment's writer was put in charge.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        Some(self.memory[at::EPOCH].load(Ordering::Acquire)).filter(|&epoch| epoch > 0)
    }

    /// Puts the segment's writer in charge, once.
    pub fn set_epoch(&self, epoch: u64) {
        self.memory[at::EPOCH].store(epoch, Ordering::Release);
    }

    /// The epoch that came after this segment's; none while it is in force.
    #[must_use]
    pub fn superseded_by(&self) -> Option<u64> {
        Some(self.memory[at::SUPERSEDED].load(Ordering::Acquire)).filter(|&epoch| epoch > 0)
    }

    /// Marks the segment as one of the past.
    pub fn supersede(&self, epoch: u64) {
        self.memory[at::SUPERSEDED].store(epoch, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU64;

    use super::*;

    fn header() -> Header {
        Header {
            layout: Layout::new(1_000, 4, 300).unwrap(),
            schema_hash: 0xfeed,
            boot_id: [1, 2],
            name: RegionName::new("plant.main").unwrap(),
        }
    }

    fn read(memory: &[AtomicU64]) -> Result<Header, WrongHeader> {
        Header::read(memory, memory.len() as u64 * 8)
    }

    fn memory(octets: usize) -> Vec<AtomicU64> {
        (0..octets / 8).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn a_header_reads_as_it_was_written() {
        let header = header();
        let memory = memory(header.layout.segment_octets());
        assert_eq!(read(&memory), Err(WrongHeader::Magic(0)));
        header.write(&memory).unwrap();
        assert_eq!(read(&memory), Ok(header));
    }

    #[test]
    fn a_header_with_any_bit_changed_is_refused() {
        let header = header();
        let memory = memory(header.layout.segment_octets());
        header.write(&memory).unwrap();
        let mut refusals = std::collections::BTreeSet::new();
        for word in &memory[..=at::CRC] {
            for bit in 0..64 {
                let whole = word.fetch_xor(1 << bit, Ordering::Relaxed);
                let refusal = read(&memory).unwrap_err();
                refusals.insert(format!("{refusal:?}").split(['(', ' ']).next().map(str::to_owned));
                word.store(whole, Ordering::Relaxed);
            }
        }
        assert_eq!(read(&memory), Ok(header));
        assert_eq!(refusals.len(), 5, "{refusals:?}");
    }

    #[test]
    fn a_header_whose_checksum_fits_is_refused_all_the_same_where_it_says_what_cannot_be() {
        let write = |index: usize, value: u64| {
            let memory = memory(header().layout.segment_octets());
            header().write(&memory).unwrap();
            memory[index].store(value, Ordering::Relaxed);
            let words = core::array::from_fn(|index| memory[index].load(Ordering::Relaxed));
            memory[at::CRC].store(checksum(&words), Ordering::Relaxed);
            read(&memory).unwrap_err()
        };
        for huge in [u64::MAX, 1 << 62, u64::MAX - 4_095] {
            assert!(matches!(write(at::SEGMENT_OCTETS, huge), WrongHeader::Size { .. }));
            for index in [at::IMAGE_OCTETS, at::SLOTS, at::SCHEMA_OCTETS] {
                assert!(matches!(write(index, huge), WrongHeader::Layout(_)));
            }
        }
        assert!(matches!(write(at::IMAGE_OCTETS, 0), WrongHeader::Layout(_)));
        assert!(matches!(write(at::IMAGE_OCTETS, 2_000), WrongHeader::Size { .. }));
        assert!(matches!(write(at::SLOTS, 8), WrongHeader::Size { .. }));
        assert!(matches!(write(at::MACHINE, 1), WrongHeader::Machine(1)));
        assert!(matches!(write(at::NAME, 0), WrongHeader::Name(_)));
        assert!(matches!(write(at::NAME, u64::MAX), WrongHeader::Name(_)));
        assert!(matches!(write(at::NAME + 3, 0x41), WrongHeader::Name(_)), "a zero within");
    }

    #[test]
    fn a_memory_smaller_than_its_header_says_is_refused() {
        let header = header();
        let octets = header.layout.segment_octets();
        let whole = memory(octets);
        header.write(&whole).unwrap();
        for words in [0, 1, at::CRC, HEADER_OCTETS / 8 - 1, HEADER_OCTETS / 8, octets / 8 - 1] {
            let refusal = read(&whole[..words]).unwrap_err();
            assert!(matches!(refusal, WrongHeader::Size { .. }), "{words}: {refusal}");
            assert!(header.write(&whole[..words]).is_err());
        }
    }

    #[test]
    fn every_layout_has_room_for_its_ring_and_keeps_its_parts_apart() {
        for image_octets in [1, 7, 8, 64, 65, 1_000, 4_096, 65_536, 1 << 20, IMAGE_OCTETS_MAX] {
            for slots in [RING_SLOTS_MIN, 7, RING_SLOTS_MAX] {
                for schema_octets in [0, 1, 4_096, 4_097, SCHEMA_OCTETS_MAX] {
                    let layout = Layout::new(image_octets, slots, schema_octets).unwrap();
                    let place = layout.place();
                    assert!(place.fits(layout.segment_octets() / WORD_OCTETS), "{layout:?}");
                    assert!(place.slots * WORD_OCTETS >= layout.schema().end);
                    assert!(layout.schema().start >= HEADER_OCTETS);
                    let last = layout.image_at(slots as u64 - 1);
                    assert!(last + image_octets <= layout.segment_octets());
                    assert_eq!(layout.image_at(1) % 64, 0, "an image begins on a cache line");
                }
            }
        }
        assert!(Layout::new(0, 4, 0).is_err() && Layout::new(IMAGE_OCTETS_MAX + 1, 4, 0).is_err());
        assert!(Layout::new(1, 3, 0).is_err() && Layout::new(1, RING_SLOTS_MAX + 1, 0).is_err());
        assert!(Layout::new(1, 4, SCHEMA_OCTETS_MAX + 1).is_err());
    }

    #[test]
    fn names_are_plain() {
        for good in ["a", "plant", "Plant-1.left_side", "0", &"x".repeat(REGION_NAME_OCTETS_MAX)] {
            let name = RegionName::new(good).unwrap();
            assert_eq!(name.as_str(), good);
            assert_eq!(RegionName::from_words(name.words()), Ok(name));
        }
        let long = "x".repeat(REGION_NAME_OCTETS_MAX + 1);
        for bad in ["", ".", "..", "-a", ".a", "a/b", "a b", "a\0b", "\u{e4}", "a\n", &long] {
            assert_eq!(RegionName::new(bad), Err(WrongName), "{bad:?}");
        }
    }

    #[test]
    fn epochs_stand_beside_the_header_and_leave_it_whole() {
        let header = header();
        let memory = memory(header.layout.segment_octets());
        header.write(&memory).unwrap();
        let state = State::new(&*memory).unwrap();
        assert_eq!((state.epoch(), state.superseded_by()), (None, None));
        state.set_epoch(7);
        state.supersede(8);
        assert_eq!((state.epoch(), state.superseded_by()), (Some(7), Some(8)));
        assert_eq!(read(&memory), Ok(header));
    }
}
