//! Schemas: what an image holds, as named blocks of typed elements.
//!
//! Two programs that exchange an image must mean the same by each octet of it. So whoever writes a
//! region may say what its image is made of, and whoever reads it can compare that with what it
//! expects, before the first image is used. A schema is one string of octets, which stands in the
//! segment and travels when a region is attached:
//!
//! | Octets | Holds |
//! |---|---|
//! | 0, 1 | version of the encoding |
//! | 2, 3 | number of blocks |
//! | then, for each block: 1 | number of its kind |
//! | 1 | octets of its name |
//! | 4 | number of its elements |
//! | … | its name |
//!
//! Numbers have their least octet first. Nothing can be said in two ways, so two schemas are equal
//! where their octets are, and their hash is one of the schema and not of a spelling.
//!
//! In the image the blocks stand in the schema's order, each at a whole word, which is how
//! [`Draft::append`] lays blocks that are gathered. The image ends with the last block.
//!
//! (A general notation, CBOR or the like, was the alternative: many ways to say one thing, a parser
//! larger than this module, and still all of these checks.)
//!
//! [`Draft::append`]: crate::image::Draft::append

mod block;
mod builder;
mod compare;
mod kind;
mod lint;
mod mapping;
#[cfg(test)]
mod tests;
mod values;

pub use block::{Block, BlockView, Fault, Label, WrongBlock};
pub use builder::SchemaBuilder;
pub use compare::{Difference, Mismatch, compare};
pub use kind::Kind;
pub use lint::{Finding, Severity, lint};
pub use mapping::{BlockCopy, Fate, MapPolicy, Mapping, Tally, Why, map_by_name};
pub use values::write_values;

use rt_core::limits::{BLOCK_NAME_OCTETS_MAX, SCHEMA_BLOCKS_MAX, SCHEMA_OCTETS_MAX};
use thiserror::Error;

use self::block::name_of;

/// The version of the encoding; another one is refused.
pub const VERSION: u16 = 1;

/// Octets before the first block.
const HEAD_OCTETS: usize = 4;
/// Octets of a block before its name.
const RECORD_HEAD_OCTETS: usize = 6;
/// Octets of the shortest schema.
const ENCODED_OCTETS_MIN: usize = HEAD_OCTETS + RECORD_HEAD_OCTETS + 1;
/// Octets of the longest schema: a buffer of this size is enough for any.
pub const ENCODED_OCTETS_MAX: usize =
    HEAD_OCTETS + SCHEMA_BLOCKS_MAX * (RECORD_HEAD_OCTETS + BLOCK_NAME_OCTETS_MAX);

const _: () = assert!(ENCODED_OCTETS_MAX <= SCHEMA_OCTETS_MAX, "any schema fits a segment");

/// A schema that was checked, over the octets that it is encoded in. They are the caller's alone:
/// what stands in shared memory is copied out of it first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Schema<'a> {
    octets: &'a [u8],
    blocks: usize,
    image_octets: usize,
}

/// Octets that are no schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum WrongSchema {
    /// Too few octets, or too many.
    #[error(
        "{0} octets are no schema: one has {ENCODED_OCTETS_MIN} to {ENCODED_OCTETS_MAX}, no schema \
         at all has 0"
    )]
    Octets(usize),
    /// Another version.
    #[error("the schema is of version {0}, this program knows {VERSION}: update the older of both")]
    Version(u16),
    /// None, or too many.
    #[error("a schema of {0} blocks: it has 1 to {SCHEMA_BLOCKS_MAX}")]
    Blocks(usize),
    /// It ends before its last block does.
    #[error("the schema ends within its block {at} of {blocks}: it has been cut, send it again")]
    Cut {
        /// The block, from 1.
        at: usize,
        /// How many it should have.
        blocks: usize,
    },
    /// Octets behind the last block.
    #[error("{0} octets stand behind the schema's last block: send the schema alone")]
    Behind(usize),
    /// A block that cannot be.
    #[error(transparent)]
    Block(#[from] WrongBlock),
}

impl<'a> Schema<'a> {
    /// Reads a schema that somebody else made, and checks all of it. Not for a cycle: the work
    /// grows with the square of the number of blocks.
    ///
    /// # Errors
    /// It is none. A pointer among the blocks is refused here too.
    pub fn parse(octets: &'a [u8]) -> Result<Self, WrongSchema> {
        let length = octets.len();
        let head = octets.split_first_chunk::<HEAD_OCTETS>();
        let (&[v0, v1, b0, b1], records) = head
            .filter(|_| (ENCODED_OCTETS_MIN..=ENCODED_OCTETS_MAX).contains(&length))
            .ok_or(WrongSchema::Octets(length))?;
        let version = u16::from_le_bytes([v0, v1]);
        if version != VERSION {
            return Err(WrongSchema::Version(version));
        }
        let blocks = usize::from(u16::from_le_bytes([b0, b1]));
        if blocks == 0 || blocks > SCHEMA_BLOCKS_MAX {
            return Err(WrongSchema::Blocks(blocks));
        }
        let (mut rest, mut end) = (records, 0);
        for at in 1..=blocks {
            let before = &records[..records.len() - rest.len()];
            let (record, behind) = Record::split(rest).ok_or(WrongSchema::Cut { at, blocks })?;
            let view = record.admitted(before, end);
            let wrong = |fault| WrongBlock { name: Label::new(record.name), fault };
            end = view.map_err(wrong)?.range().end;
            rest = behind;
        }
        if !rest.is_empty() {
            return Err(WrongSchema::Behind(rest.len()));
        }
        Ok(Self { octets, blocks, image_octets: end })
    }

    /// The schema as it is encoded.
    #[must_use]
    pub const fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// How many blocks, at least one.
    #[must_use]
    pub const fn block_count(&self) -> usize {
        self.blocks
    }

    /// Octets of an image: up to the end of the last block.
    #[must_use]
    pub const fn image_octets(&self) -> usize {
        self.image_octets
    }

    /// The blocks, in order.
    #[must_use]
    pub fn blocks(&self) -> Blocks<'a> {
        Blocks { records: &self.octets[HEAD_OCTETS..], end: 0 }
    }

    /// The block of a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<BlockView<'a>> {
        self.blocks().find(|block| block.name == name)
    }

    /// 64 bits that tell schemas apart; never zero, which stands for no schema.
    ///
    /// It is FNV-1a over the encoding: a few lines in any language, so that who writes no Rust can
    /// compute it, and good enough against what it is for, two programs that differ by accident.
    /// Against one who means it no hash helps here, since he writes the image itself; and where
    /// both schemas are at hand it is they that are compared.
    #[must_use]
    pub fn hash(&self) -> u64 {
        fnv1a(self.octets).max(1)
    }
}

impl core::fmt::Debug for Schema<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.blocks()).finish()
    }
}

/// Fowler, Noll and Vo's hash, 64 bits, variant 1a.
fn fnv1a(octets: &[u8]) -> u64 {
    octets.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// A block as it is encoded, before anything in it is believed.
#[derive(Clone, Copy)]
struct Record<'a> {
    kind: u8,
    count: u32,
    name: &'a [u8],
}

impl<'a> Record<'a> {
    /// The first record of `octets`, and what stands behind it.
    fn split(octets: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, rest) = octets.split_first_chunk::<RECORD_HEAD_OCTETS>()?;
        let [kind, length, count @ ..] = *head;
        let (name, rest) = rest.split_at_checked(usize::from(length))?;
        Some((Self { kind, count: u32::from_le_bytes(count), name }, rest))
    }

    /// The block, if it may stand behind the records `before`, which end at `end` in the image.
    fn admitted(&self, before: &[u8], end: usize) -> Result<BlockView<'a>, Fault> {
        let name = name_of(self.name)?;
        let kind = Kind::from_number(self.kind).ok_or(Fault::Kind(self.kind))?;
        if kind == Kind::Pointer {
            return Err(Fault::Pointer);
        }
        let view = Block { name, kind, count: self.count }.placed_after(end)?;
        if has_name(before, name) { Err(Fault::Twice) } else { Ok(view) }
    }
}

/// Whether one of the records has a name.
fn has_name(mut records: &[u8], name: &str) -> bool {
    while let Some((record, rest)) = Record::split(records) {
        if record.name == name.as_bytes() {
            return true;
        }
        records = rest;
    }
    false
}

/// The blocks of a schema, in order.
#[derive(Clone, Debug)]
pub struct Blocks<'a> {
    /// Records that were checked.
    records: &'a [u8],
    /// Where the block before ends in the image.
    end: usize,
}

impl<'a> Iterator for Blocks<'a> {
    type Item = BlockView<'a>;

    fn next(&mut self) -> Option<BlockView<'a>> {
        // All that could fail was checked when the schema was made.
        let (record, rest) = Record::split(self.records)?;
        let name = core::str::from_utf8(record.name).ok()?;
        let block = Block { name, kind: Kind::from_number(record.kind)?, count: record.count };
        let view = block.placed_after(self.end).ok()?;
        *self = Self { records: rest, end: view.range().end };
        Some(view)
    }
}
