//! Taking an image over by name, where the schemas of two programs differ.

use super::{BlockView, Kind, Schema};
use crate::image::WrongSize;

/// How far a mapping by name may go. (That there is one at all is for the region's owner to say.)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapPolicy {
    /// A block is taken where name, kind and number of elements are the same.
    SameCount,
    /// Arrays and texts of another length are taken too, as many elements as both have; a text that
    /// is cut so has no zero behind it. Not opaque octets: of another length they mean something
    /// else.
    AnyCount,
}

/// Octets to be copied from one image to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockCopy {
    /// Where they begin in the image that is taken over.
    pub from_offset: usize,
    /// Where they begin in the image that is made.
    pub to_offset: usize,
    /// How many, at least one.
    pub octets: usize,
}

impl BlockCopy {
    /// Copies; nothing, and false, where one of the images ends before. Real-time class: one copy.
    #[must_use]
    pub fn apply(&self, from: &[u8], to: &mut [u8]) -> bool {
        let of = |offset: usize| Some(offset..offset.checked_add(self.octets)?);
        let source = of(self.from_offset).and_then(|range| from.get(range));
        let target = of(self.to_offset).and_then(|range| to.get_mut(range));
        let (Some(source), Some(target)) = (source, target) else { return false };
        target.copy_from_slice(source);
        true
    }
}

/// What happens to a block of the image that is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// All its elements are taken over, and none are left behind.
    Taken(BlockCopy),
    /// It has another number of elements; those that both have are taken over.
    Partly(BlockCopy),
    /// It keeps what it holds.
    Left(Why),
}

impl Fate {
    /// What there is to copy.
    #[must_use]
    pub const fn copy(&self) -> Option<BlockCopy> {
        match *self {
            Self::Taken(copy) | Self::Partly(copy) => Some(copy),
            Self::Left(_) => None,
        }
    }
}

/// Why a block is not taken over. What is said is of the image that would be taken over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// It has no block of the name.
    NoSuchName,
    /// Its block is of this kind.
    OtherKind(Kind),
    /// Its block has so many elements.
    OtherCount(u32),
}

/// How a mapping turns out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Blocks that are taken over as they are.
    pub taken: usize,
    /// Blocks of which some elements are taken over.
    pub partly: usize,
    /// Blocks that keep what they hold.
    pub left: usize,
    /// Blocks of the image that is taken over whose names are not known here.
    pub unknown: usize,
}

/// A mapping from images of one schema to those of another.
#[derive(Clone, Copy, Debug)]
pub struct Mapping<'f, 't> {
    from: Schema<'f>,
    to: Schema<'t>,
    policy: MapPolicy,
}

/// The mapping that takes over, by name, images of the schema `from` into images of `to`.
#[must_use]
pub const fn map_by_name<'f, 't>(
    from: Schema<'f>,
    to: Schema<'t>,
    policy: MapPolicy,
) -> Mapping<'f, 't> {
    Mapping { from, to, policy }
}

impl<'f, 't> Mapping<'f, 't> {
    /// What happens to each block of the schema `to`, in its order. Names are looked for on the
    /// way, so this is not for a cycle.
    pub fn fates(&self) -> impl Iterator<Item = (BlockView<'t>, Fate)> + use<'f, 't> {
        let Self { from, to, policy } = *self;
        // Mostly the order is the same: so each search begins behind the block found before.
        let mut ahead = from.blocks();
        to.blocks().map(move |block| {
            let mut search = ahead.clone();
            let found = search.find(|other| other.name == block.name).or_else(|| {
                search = from.blocks();
                search.find(|other| other.name == block.name)
            });
            let Some(found) = found else { return (block, Fate::Left(Why::NoSuchName)) };
            ahead = search;
            (block, fate(&found, &block, policy))
        })
    }

    /// What there is to copy, in the order of the schema `to`; at most as many as it has blocks,
    /// and no two of them meet. Not for a cycle: who maps each image keeps the copies.
    pub fn copies(&self) -> impl Iterator<Item = BlockCopy> + use<'f, 't> {
        self.fates().filter_map(|(_, fate)| fate.copy())
    }

    /// How it turns out.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let unknown = self.from.block_count();
        self.fates().fold(Tally { unknown, ..Tally::default() }, |mut tally, (_, fate)| {
            *match fate {
                Fate::Taken(_) => &mut tally.taken,
                Fate::Partly(_) => &mut tally.partly,
                Fate::Left(_) => &mut tally.left,
            } += 1;
            // Names are unique on both sides: each that was found is one of those in `from`.
            tally.unknown -= usize::from(fate != Fate::Left(Why::NoSuchName));
            tally
        })
    }

    /// Takes over the image `from` into `to`, which keeps what is not mapped. Not for a cycle.
    ///
    /// # Errors
    /// An image has not the size that its schema says; nothing is written then.
    pub fn apply(&self, from: &[u8], to: &mut [u8]) -> Result<(), WrongSize> {
        for (given, agreed) in
            [(from.len(), self.from.image_octets()), (to.len(), self.to.image_octets())]
        {
            if given != agreed {
                return Err(WrongSize { given, agreed });
            }
        }
        let all = self.copies().all(|copy| copy.apply(from, to));
        debug_assert!(all, "blocks lie within images of their schema");
        Ok(())
    }
}

fn fate(from: &BlockView<'_>, to: &BlockView<'_>, policy: MapPolicy) -> Fate {
    if from.kind != to.kind {
        return Fate::Left(Why::OtherKind(from.kind));
    }
    let copy = BlockCopy {
        from_offset: from.offset_octets,
        to_offset: to.offset_octets,
        octets: from.octets.min(to.octets),
    };
    if from.count == to.count {
        Fate::Taken(copy)
    } else if policy == MapPolicy::AnyCount && to.kind != Kind::Octets {
        Fate::Partly(copy)
    } else {
        Fate::Left(Why::OtherCount(from.count))
    }
}
