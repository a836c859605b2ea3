//! Blocks: name, kind and number of elements, and what is wrong with one.

use core::fmt::{self, Write};
use core::ops::Range;

use rt_core::limits::{BLOCK_NAME_OCTETS_MAX, IMAGE_OCTETS_MAX, SCHEMA_BLOCKS_MAX};
use thiserror::Error;

use super::kind::Kind;
use crate::word::WORD_OCTETS;

/// A block as its owner describes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block<'n> {
    /// 1 to [`BLOCK_NAME_OCTETS_MAX`] letters, digits, `-`, `_`, `.`, `[`, `]` and `:`, with a
    /// letter, a digit or `_` at the front; no other block of the schema has it.
    pub name: &'n str,
    /// What its elements are.
    pub kind: Kind,
    /// How many elements, at least one.
    pub count: u32,
}

/// A block with its place in the image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockView<'a> {
    /// Its name.
    pub name: &'a str,
    /// What its elements are.
    pub kind: Kind,
    /// How many elements.
    pub count: u32,
    /// Where it begins in the image: at a whole word.
    pub offset_octets: usize,
    /// Octets of all its elements.
    pub octets: usize,
}

impl<'a> BlockView<'a> {
    /// Where the block stands in the image.
    #[must_use]
    pub const fn range(&self) -> Range<usize> {
        self.offset_octets..self.offset_octets + self.octets
    }

    /// The block's octets in an image; none where the image ends before the block.
    #[must_use]
    pub fn of<'i>(&self, image: &'i [u8]) -> Option<&'i [u8]> {
        image.get(self.range())
    }

    /// What its owner described.
    #[must_use]
    pub const fn block(&self) -> Block<'a> {
        Block { name: self.name, kind: self.kind, count: self.count }
    }
}

impl<'n> Block<'n> {
    /// The block at its place behind one that ends at `end`.
    pub(super) fn placed_after(self, end: usize) -> Result<BlockView<'n>, Fault> {
        let Block { name, kind, count } = self;
        if count == 0 {
            return Err(Fault::NoElements);
        }
        let offset_octets = end.next_multiple_of(WORD_OCTETS);
        let octets = usize::try_from(count).ok().and_then(|n| n.checked_mul(kind.element_octets()));
        let room = IMAGE_OCTETS_MAX.saturating_sub(offset_octets);
        let octets = octets.filter(|&octets| octets <= room).ok_or(Fault::ImageOctets)?;
        Ok(BlockView { name, kind, count, offset_octets, octets })
    }
}

/// `octets` as a block's name, if they are one.
pub(super) fn name_of(octets: &[u8]) -> Result<&str, Fault> {
    let allowed = |octet: &u8| octet.is_ascii_alphanumeric() || b"-_.[]:".contains(octet);
    let begins = |octet: &u8| octet.is_ascii_alphanumeric() || *octet == b'_';
    let plain = octets.len() <= BLOCK_NAME_OCTETS_MAX
        && octets.first().is_some_and(begins)
        && octets.iter().all(allowed);
    if plain { core::str::from_utf8(octets).map_err(|_| Fault::Name) } else { Err(Fault::Name) }
}

/// A name as messages carry it: its first octets, with those that are not plain escaped. What is
/// longer than a name can be ends in `…`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Label {
    octets: [u8; BLOCK_NAME_OCTETS_MAX],
    /// Greater than there are `octets` where the name is cut.
    length: u8,
}

impl Label {
    pub(super) fn new(name: &[u8]) -> Self {
        let mut octets = [0; BLOCK_NAME_OCTETS_MAX];
        let kept = name.len().min(BLOCK_NAME_OCTETS_MAX);
        octets[..kept].copy_from_slice(&name[..kept]);
        Self { octets, length: u8::try_from(name.len()).unwrap_or(u8::MAX) }
    }
}

impl PartialEq<str> for Label {
    fn eq(&self, name: &str) -> bool {
        *self == Self::new(name.as_bytes())
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = usize::from(self.length);
        for octet in &self.octets[..length.min(BLOCK_NAME_OCTETS_MAX)] {
            write!(f, "{}", octet.escape_ascii())?;
        }
        if length > BLOCK_NAME_OCTETS_MAX { f.write_char('…') } else { Ok(()) }
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What is wrong with a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Fault {
    /// Its name is none.
    #[error(
        "a block's name has 1 to {BLOCK_NAME_OCTETS_MAX} letters, digits, `-`, `_`, `.`, `[`, `]` \
         or `:`, and begins with a letter, a digit or `_`"
    )]
    Name,
    /// Another block has its name.
    #[error("another block has this name: give each block a name of its own")]
    Twice,
    /// The number of no kind.
    #[error(
        "{0} is the number of no kind that this program knows: update the older of the two sides"
    )]
    Kind(u8),
    /// An address.
    #[error(
        "it is a pointer, and what it points to is elsewhere in the standby's memory or not there \
         at all: make what it points to a block, and store an index or an offset in place of the \
         address, or set the pointer anew after a takeover"
    )]
    Pointer,
    /// Nothing in it.
    #[error("it has no elements: say how many it has, or leave the block out")]
    NoElements,
    /// It does not fit the image.
    #[error(
        "with it the image is larger than {IMAGE_OCTETS_MAX} octets: divide the state among \
         several regions"
    )]
    ImageOctets,
    /// One block too many.
    #[error(
        "there are {SCHEMA_BLOCKS_MAX} blocks before it, more there cannot be: make arrays of \
         neighbours, or divide the state among several regions"
    )]
    Blocks,
    /// The buffer that the schema is written to is full.
    #[error(
        "the buffer for the schema is full: with this block it takes {0} octets; {max} are enough \
         for any schema",
        max = super::ENCODED_OCTETS_MAX
    )]
    Buffer(usize),
}

/// A block that a schema cannot have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("block `{name}`: {fault}")]
pub struct WrongBlock {
    /// Its name, as far as it is one.
    pub name: Label,
    /// What is wrong with it.
    pub fault: Fault,
}
