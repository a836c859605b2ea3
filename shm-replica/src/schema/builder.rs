//! Writing a schema, block by block.

use rt_core::limits::SCHEMA_BLOCKS_MAX;

use super::block::name_of;
use super::{
    Block, BlockView, Fault, HEAD_OCTETS, Kind, Label, RECORD_HEAD_OCTETS, Schema, VERSION,
    WrongBlock, WrongSchema, has_name,
};

/// Writes a schema into a buffer of the caller's. [`super::ENCODED_OCTETS_MAX`] octets are enough
/// for any.
#[derive(Debug)]
pub struct SchemaBuilder<'a> {
    buffer: &'a mut [u8],
    /// Octets that are written; the head is written last.
    filled: usize,
    blocks: usize,
    /// Where the last block ends in the image.
    end: usize,
    with_pointers: bool,
}

impl<'a> SchemaBuilder<'a> {
    /// A schema of no blocks yet. Pointers are refused.
    #[must_use]
    pub const fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, filled: HEAD_OCTETS, blocks: 0, end: 0, with_pointers: false }
    }

    /// One that pointers are admitted to, for [`super::lint()`] to find all of them and what else
    /// there is. It goes no further: [`Schema::parse`] refuses what it encodes.
    #[must_use]
    pub const fn for_lint(buffer: &'a mut [u8]) -> Self {
        Self { with_pointers: true, ..Self::new(buffer) }
    }

    /// Adds a block behind the others; the block with its place in the image. Not for a cycle: the
    /// work grows with the number of blocks.
    ///
    /// # Errors
    /// The block cannot be, or does not fit. The schema is then as it was before.
    pub fn push<'n>(&mut self, block: Block<'n>) -> Result<BlockView<'n>, WrongBlock> {
        let wrong = |fault| WrongBlock { name: Label::new(block.name.as_bytes()), fault };
        self.try_push(block).map_err(wrong)
    }

    fn try_push<'n>(&mut self, block: Block<'n>) -> Result<BlockView<'n>, Fault> {
        let name = name_of(block.name.as_bytes())?.as_bytes();
        if block.kind == Kind::Pointer && !self.with_pointers {
            return Err(Fault::Pointer);
        }
        if self.blocks == SCHEMA_BLOCKS_MAX {
            return Err(Fault::Blocks);
        }
        let view = block.placed_after(self.end)?;
        if has_name(self.records(), block.name) {
            return Err(Fault::Twice);
        }
        let filled = self.filled + RECORD_HEAD_OCTETS + name.len();
        let record = self.buffer.get_mut(self.filled..filled).ok_or(Fault::Buffer(filled))?;
        let (head, rest) = record.split_at_mut(RECORD_HEAD_OCTETS);
        head[0] = block.kind.number();
        head[1] = u8::try_from(name.len()).map_err(|_| Fault::Name)?;
        head[2..].copy_from_slice(&block.count.to_le_bytes());
        rest.copy_from_slice(name);
        self.filled = filled;
        self.blocks += 1;
        self.end = view.range().end;
        Ok(view)
    }

    fn records(&self) -> &[u8] {
        self.buffer.get(HEAD_OCTETS..self.filled).unwrap_or_default()
    }

    /// The schema.
    ///
    /// # Errors
    /// No block was added.
    pub fn finish(self) -> Result<Schema<'a>, WrongSchema> {
        let Self { buffer, filled, blocks, end, .. } = self;
        let count = u16::try_from(blocks).ok().filter(|&count| count > 0);
        let count = count.ok_or(WrongSchema::Blocks(blocks))?;
        let octets = buffer.get_mut(..filled).ok_or(WrongSchema::Octets(filled))?;
        octets[..2].copy_from_slice(&VERSION.to_le_bytes());
        octets[2..HEAD_OCTETS].copy_from_slice(&count.to_le_bytes());
        Ok(Schema { octets, blocks, image_octets: end })
    }
}
