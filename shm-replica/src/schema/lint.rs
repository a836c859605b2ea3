//! What is allowed in a schema, or could be meant, and is trouble later.

use thiserror::Error;

use super::{BlockView, Fault, Kind, Label, Schema};
use crate::word::WORD_OCTETS;

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// To be thought about.
    Note,
    /// Most likely a mistake.
    Warning,
    /// No region is registered with it.
    Refused,
}

/// Something that lint found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Finding {
    /// A pointer.
    #[error("block `{name}`: {}", Fault::Pointer)]
    Pointer {
        /// The block.
        name: Label,
    },
    /// Opaque octets that are as long as some number of pointers.
    #[error(
        "block `{name}`: what its {octets} opaque octets are cannot be seen, and a structure of \
         that size may hold pointers, which mean nothing in another process: describe its members \
         as blocks of their own, or make sure that there are none among them"
    )]
    MayHidePointers {
        /// The block.
        name: Label,
        /// Its octets.
        octets: usize,
    },
    /// Two names that are the same where case does not count, as in IEC 61131-3.
    #[error(
        "blocks `{first}` and `{second}` differ in upper and lower case alone, which to a program \
         in the languages of IEC 61131-3 is no difference: give one of them another name"
    )]
    SameButCase {
        /// The first block.
        first: Label,
        /// The one behind it.
        second: Label,
    },
}

impl Finding {
    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Pointer { .. } => Severity::Refused,
            Self::SameButCase { .. } => Severity::Warning,
            Self::MayHidePointers { .. } => Severity::Note,
        }
    }
}

/// Looks for trouble, block by block: at most two findings for each. Not for a cycle.
pub fn lint<'a>(schema: &Schema<'a>) -> impl Iterator<Item = Finding> + use<'a> {
    let schema = *schema;
    schema
        .blocks()
        .flat_map(move |block| [in_kind(&block), in_name(&block, &schema)].into_iter().flatten())
}

fn in_kind(block: &BlockView<'_>) -> Option<Finding> {
    let name = Label::new(block.name.as_bytes());
    match block.kind {
        Kind::Pointer => Some(Finding::Pointer { name }),
        Kind::Octets if block.octets.is_multiple_of(WORD_OCTETS) => {
            Some(Finding::MayHidePointers { name, octets: block.octets })
        }
        _ => None,
    }
}

fn in_name(block: &BlockView<'_>, schema: &Schema<'_>) -> Option<Finding> {
    let mut before = schema.blocks().take_while(|other| other.offset_octets < block.offset_octets);
    let same = before.find(|other| other.name.eq_ignore_ascii_case(block.name))?;
    let [first, second] = [same, *block].map(|block| Label::new(block.name.as_bytes()));
    Some(Finding::SameButCase { first, second })
}
