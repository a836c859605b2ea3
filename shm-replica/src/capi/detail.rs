//! What went wrong, in words, with its remedy: kept where it happened, without memory of its own.
//!
//! A code says which kind of error it is. What belongs to one call (the block's name, both hashes,
//! the folder) is written into a buffer of fixed size as it happens, so a cyclic call that fails
//! neither allocates nor waits, and is read when somebody asks.

use std::ffi::c_int;
use std::fmt::{self, Write};

/// Octets of a text that are kept.
const OCTETS: usize = 1_024;

/// A text of limited length; what does not fit is left out at a character's bound.
#[derive(Clone)]
pub(super) struct Detail {
    octets: [u8; OCTETS],
    length: usize,
}

impl Detail {
    pub(super) const fn new() -> Self {
        Self { octets: [0; OCTETS], length: 0 }
    }

    /// Makes `text` what it holds.
    pub(super) fn set(&mut self, text: fmt::Arguments<'_>) {
        self.length = 0;
        // It is cut short where it is too long, and cannot fail otherwise.
        let _ = self.write_fmt(text);
    }

    /// Holds `text` and gives the code that it belongs to.
    pub(super) fn fault(&mut self, number: c_int, text: fmt::Arguments<'_>) -> Code {
        self.set(text);
        Code(number)
    }

    /// Holds what another one does.
    pub(super) fn copy_from(&mut self, other: &Self) {
        let text = other.text().as_bytes();
        self.octets[..text.len()].copy_from_slice(text);
        self.length = text.len();
    }

    /// Holds nothing.
    pub(super) const fn clear(&mut self) {
        self.length = 0;
    }

    /// The text.
    pub(super) fn text(&self) -> &str {
        str::from_utf8(&self.octets[..self.length]).unwrap_or_default()
    }
}

impl Write for Detail {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = OCTETS - self.length;
        let kept = text.floor_char_boundary(room);
        let end = self.length + kept;
        self.octets[self.length..end].copy_from_slice(&text.as_bytes()[..kept]);
        self.length = end;
        if kept == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

impl fmt::Debug for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().fmt(f)
    }
}

/// The code of an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Code(c_int);

impl Code {
    /// An error of which its code says all.
    pub(super) const fn plain(number: c_int) -> Self {
        Self(number)
    }

    pub(super) const fn number(self) -> c_int {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_ends_between_two_characters() {
        let mut detail = Detail::new();
        detail.set(format_args!("x{}", "ä".repeat(OCTETS)));
        assert_eq!(detail.text().len(), OCTETS - 1);
        detail.set(format_args!("short"));
        assert_eq!(detail.text(), "short");
    }
}
