//! Whether two schemas say the same, and if not, where they part.

use thiserror::Error;

use super::{BlockView, Kind, Label, Schema};

/// Two schemas that are not the same. "Here" is the side that compares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error(
    "the two sides do not describe the state in the same way (schema {ours:#018x} here, \
     {theirs:#018x} there): {first}. Load the same program on both sides, or allow this region to \
     be mapped by name"
)]
pub struct Mismatch {
    /// Hash of the schema here.
    pub ours: u64,
    /// Hash of the schema there.
    pub theirs: u64,
    /// The first difference, in the order of the blocks.
    pub first: Difference,
}

/// A difference between two schemas.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Difference {
    /// A block that is not there.
    #[error("block `{name}` is here and not there")]
    Missing {
        /// The block.
        name: Label,
    },
    /// A block that is there and not here.
    #[error("block `{name}` is there and not here")]
    Extra {
        /// The block.
        name: Label,
    },
    /// A block of another kind.
    #[error("block `{name}` is {ours} here and {theirs} there")]
    Kind {
        /// The block.
        name: Label,
        /// Its kind here.
        ours: Kind,
        /// Its kind there.
        theirs: Kind,
    },
    /// A block of another number of elements.
    #[error("block `{name}` has {ours} elements of {kind} here and {theirs} there")]
    Count {
        /// The block.
        name: Label,
        /// Its kind, which is the same.
        kind: Kind,
        /// Its elements here.
        ours: u32,
        /// Its elements there.
        theirs: u32,
    },
    /// A block at another place among the others.
    #[error("block `{name}` is number {ours} here and number {theirs} there")]
    Order {
        /// The block.
        name: Label,
        /// Its number here, from 1.
        ours: usize,
        /// Its number there, from 1.
        theirs: usize,
    },
}

/// Compares two schemas. Not for a cycle: it looks at every block.
///
/// # Errors
/// They differ.
pub fn compare(ours: &Schema<'_>, theirs: &Schema<'_>) -> Result<(), Mismatch> {
    let (mut left, mut right) = (ours.blocks(), theirs.blocks());
    for number in 1.. {
        let first = match (left.next(), right.next()) {
            (None, None) => break,
            (Some(here), None) => Difference::Missing { name: label(&here) },
            (None, Some(there)) => Difference::Extra { name: label(&there) },
            (Some(here), Some(there)) => match between(number, &here, &there, ours, theirs) {
                None => continue,
                Some(difference) => difference,
            },
        };
        return Err(Mismatch { ours: ours.hash(), theirs: theirs.hash(), first });
    }
    Ok(())
}

/// The difference between two blocks with the same number.
fn between(
    number: usize,
    here: &BlockView<'_>,
    there: &BlockView<'_>,
    ours: &Schema<'_>,
    theirs: &Schema<'_>,
) -> Option<Difference> {
    let name = label(here);
    if here.name != there.name {
        let Some(at) = theirs.blocks().position(|block| block.name == here.name) else {
            return Some(Difference::Missing { name });
        };
        if ours.find(there.name).is_none() {
            return Some(Difference::Extra { name: label(there) });
        }
        return Some(Difference::Order { name, ours: number, theirs: at + 1 });
    }
    if here.kind != there.kind {
        return Some(Difference::Kind { name, ours: here.kind, theirs: there.kind });
    }
    let (ours, theirs) = (here.count, there.count);
    (ours != theirs).then_some(Difference::Count { name, kind: here.kind, ours, theirs })
}

fn label(block: &BlockView<'_>) -> Label {
    Label::new(block.name.as_bytes())
}
