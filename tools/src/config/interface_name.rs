//! The name of a network interface, checked once.

use std::fmt;
use std::str::FromStr;

/// A name that Linux accepts for a network interface: 1 to 15 octets, no white space, no `/`, no
/// `:`, not `.` or `..`, printable ASCII.
///
/// Linux itself would take more (any octet but these); the name also becomes a folder under
/// `/run/bumpless` and a word on command lines, so control characters, `%` (the kernel's own
/// placeholder for "next free number"), a leading `-` and octets beyond ASCII are refused.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// The longest name in octets (`IFNAMSIZ` less the closing zero).
    pub const OCTETS_MAX: usize = 15;

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for InterfaceName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no interface name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InterfaceNameSyntax {
    /// No character at all.
    Empty,
    /// More than 15 octets.
    TooLong(usize),
    /// `.` or `..`.
    Dots,
    /// A leading `-`, which every command would read as an option.
    LeadingDash,
    /// A character that no interface name has.
    Character(char),
}

impl fmt::Display for InterfaceNameSyntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("an interface name is not empty"),
            Self::TooLong(octets) => {
                write!(f, "an interface name has at most 15 octets, this has {octets}")
            }
            Self::Dots => f.write_str("an interface is not named . or .."),
            Self::LeadingDash => f.write_str("a name that begins with - reads as an option"),
            Self::Character(c) => write!(f, "an interface name has no {c:?}"),
        }
    }
}

impl std::error::Error for InterfaceNameSyntax {}

impl FromStr for InterfaceName {
    type Err = InterfaceNameSyntax;

    fn from_str(text: &str) -> Result<Self, InterfaceNameSyntax> {
        if text.is_empty() {
            return Err(InterfaceNameSyntax::Empty);
        }
        if text.len() > Self::OCTETS_MAX {
            return Err(InterfaceNameSyntax::TooLong(text.len()));
        }
        if text == "." || text == ".." {
            return Err(InterfaceNameSyntax::Dots);
        }
        if text.starts_with('-') {
            return Err(InterfaceNameSyntax::LeadingDash);
        }
        let bad = |c: &char| !c.is_ascii_graphic() || matches!(c, '/' | ':' | '%');
        match text.chars().find(bad) {
            Some(c) => Err(InterfaceNameSyntax::Character(c)),
            None => Ok(Self(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_linux_takes_are_taken() {
        for good in ["a", "prp0", "eth1", "enp0s31f6", "lan.100", "fifteen-octets1"] {
            assert_eq!(good.parse::<InterfaceName>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn names_that_linux_or_a_shell_trips_over_are_refused() {
        use InterfaceNameSyntax::{Character, Dots, Empty, LeadingDash, TooLong};
        for (bad, why) in [
            ("", Empty),
            ("sixteen-octets-x", TooLong(16)),
            (".", Dots),
            ("..", Dots),
            ("-c", LeadingDash),
            ("a/b", Character('/')),
            ("a b", Character(' ')),
            ("a\tb", Character('\t')),
            ("a\u{0}b", Character('\u{0}')),
            ("eth0:1", Character(':')),
            ("prp%d", Character('%')),
            ("größe", Character('ö')),
        ] {
            assert_eq!(bad.parse::<InterfaceName>(), Err(why), "{bad:?}");
        }
    }
}
