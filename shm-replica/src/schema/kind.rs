//! Kinds: what the elements of a block are.

use core::fmt;

/// What the elements of a block are. In the image they stand one behind the other, without gaps, in
/// the word order of the machine.
///
/// The numbers stand in schemas and in the C interface: a number is never given to another kind.
/// Zero is none, so a structure that was cleared and not filled in is noticed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Octets that mean something to the application alone.
    Octets = 1,
    /// Unsigned, 8 bits.
    U8 = 2,
    /// Unsigned, 16 bits.
    U16 = 3,
    /// Unsigned, 32 bits.
    U32 = 4,
    /// Unsigned, 64 bits.
    U64 = 5,
    /// Signed, 8 bits.
    I8 = 6,
    /// Signed, 16 bits.
    I16 = 7,
    /// Signed, 32 bits.
    I32 = 8,
    /// Signed, 64 bits.
    I64 = 9,
    /// Floating point, 32 bits.
    F32 = 10,
    /// Floating point, 64 bits.
    F64 = 11,
    /// One octet, 0 or 1.
    Bool = 12,
    /// Octets of one text, filled up with zeros; a text that fills the block has none behind it.
    Text = 13,
    /// A span or a time, signed, 64 bits, in ns.
    Time = 14,
    /// An address. It is here to be refused, with a reason: see [`Fault::Pointer`].
    ///
    /// [`Fault::Pointer`]: super::Fault::Pointer
    Pointer = 15,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Octets,
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::F32,
        Self::F64,
        Self::Bool,
        Self::Text,
        Self::Time,
        Self::Pointer,
    ];

    /// The kind's number in schemas and in the C interface.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The kind of a number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// Octets of one element.
    #[must_use]
    pub const fn element_octets(self) -> usize {
        match self {
            Self::Octets | Self::U8 | Self::I8 | Self::Bool | Self::Text => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::Time | Self::Pointer => 8,
        }
    }

    /// The kind's short name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Octets => "octets",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Bool => "bool",
            Self::Text => "text",
            Self::Time => "time",
            Self::Pointer => "pointer",
        }
    }

    /// What IEC 61131-3 calls it, if it has a name for it.
    #[must_use]
    pub const fn iec_name(self) -> Option<&'static str> {
        Some(match self {
            Self::Octets | Self::Pointer => return None,
            Self::U8 => "USINT",
            Self::U16 => "UINT",
            Self::U32 => "UDINT",
            Self::U64 => "ULINT",
            Self::I8 => "SINT",
            Self::I16 => "INT",
            Self::I32 => "DINT",
            Self::I64 => "LINT",
            Self::F32 => "REAL",
            Self::F64 => "LREAL",
            Self::Bool => "BOOL",
            Self::Text => "STRING",
            Self::Time => "LTIME",
        })
    }
}

/// The name, and that of IEC 61131-3 behind it: `i16 (INT)`.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        self.iec_name().map_or(Ok(()), |name| write!(f, " ({name})"))
    }
}
