//! Segments of which single words are others than their maker wrote.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use bumpless::crc::Crc;
use bumpless::image::{ImageReader, ImageWriter, Stamp};
use bumpless::os::segment::{Segment, boot_id};
use bumpless::schema::{Block, Kind, Schema, SchemaBuilder};
use bumpless::segment::{Header, Layout};

use crate::{OCTETS, name};

/// What is in each image that is whole.
pub(crate) const IMAGE: [u8; OCTETS] = [9; OCTETS];
/// How many there are.
pub(crate) const COMMITS: u64 = 6;

/// The words that the header's checksum covers, and where it stands.
const COVERED: std::ops::Range<usize> = 2..20;
pub(crate) const CRC: usize = 20;

/// The words that the daemon writes while the segment is in use.
pub(crate) const EPOCH: usize = 144;
pub(crate) const SUPERSEDED: usize = 160;

/// What a word is changed to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    Zero,
    One,
    Less,
    More,
    Max,
    Far,
}

pub(crate) const CHANGES: [Change; 6] =
    [Change::Zero, Change::One, Change::Less, Change::More, Change::Max, Change::Far];

impl Change {
    /// None where that is no change.
    pub(crate) fn of(self, old: u64, far: u64) -> Option<u64> {
        let new = match self {
            Self::Zero => 0,
            Self::One => 1,
            Self::Less => old.wrapping_sub(1),
            Self::More => old.wrapping_add(1),
            Self::Max => u64::MAX,
            Self::Far => far,
        };
        (new != old).then_some(new)
    }
}

/// What the images hold, encoded.
pub(crate) fn schema() -> Vec<u8> {
    let mut buffer = vec![0; 1_000];
    let mut builder = SchemaBuilder::new(&mut buffer);
    builder.push(Block { name: "speed", kind: Kind::F64, count: 8 }).unwrap();
    builder.finish().unwrap().octets().to_vec()
}

/// A segment of the region `plant`, in force under epoch 1, with images of [`IMAGE`].
pub(crate) fn filled() -> Segment {
    let schema = schema();
    let layout = Layout::new(OCTETS, 4, schema.len()).unwrap();
    let schema_hash = Schema::parse(&schema).unwrap().hash();
    let header = Header { layout, schema_hash, boot_id: boot_id().unwrap(), name: name("plant") };
    let segment = Segment::create(&header, &schema).unwrap();
    segment.state().unwrap().set_epoch(1);
    let mut writer = ImageWriter::new(&**segment.memory(), layout.place(), OCTETS).unwrap();
    for cycle in 1..=COMMITS {
        writer.publish(&IMAGE, Stamp { epoch: 1, cycle, ..Stamp::default() }).unwrap();
    }
    segment
}

pub(crate) fn word(segment: &Segment, at: usize) -> u64 {
    segment.memory()[at].load(Ordering::Relaxed)
}

pub(crate) fn set(segment: &Segment, at: usize, value: u64) {
    segment.memory()[at].store(value, Ordering::Relaxed);
}

/// Makes a header's checksum fit what the header says.
pub(crate) fn mend(segment: &Segment) {
    let sum = COVERED.fold(Crc::new(), |crc, at| crc.extend_words([word(segment, at)]));
    set(segment, CRC, sum.value().into());
}

/// A descriptor of a segment for its writer.
pub(crate) fn for_writing(segment: &Segment) -> OwnedFd {
    segment.file().try_clone().unwrap()
}

/// Reads all that there is to read, in each way; each read ends, and what it shows is whole.
pub(crate) fn reads_all(segment: Segment) {
    let layout = segment.header().layout;
    let mut image = vec![0; layout.image_octets()];
    let memory = segment.into_memory();
    let reader = ImageReader::new(memory, layout.place(), layout.image_octets(), 1);
    let mut reader = reader.expect("a layout that was checked has a place for its ring");
    for _ in 0..3 {
        for way in 0..4 {
            let read = match way {
                0 => reader.newest(&mut image),
                1 => reader.next(&mut image),
                2 => reader.last_whole(&mut image),
                _ => reader.last_whole_to(3, &mut image),
            };
            assert!(read.is_err() || image == IMAGE, "{read:?}: {image:?}");
        }
    }
}
