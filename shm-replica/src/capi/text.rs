//! Texts in and out: bounded, checked, never without their end.

use std::ffi::{CStr, c_char, c_int};
use std::ptr;

use super::code::{BMPL_E_ARGUMENT, BMPL_E_NAME};
use super::detail::{Code, Detail};

/// The longest text that is taken: a path.
const OCTETS_MAX: usize = 4_096;

/// The text at `from`; none where it is null.
///
/// # Safety
/// If `from` is not null, a text that ends with a zero is there, and stays for `'a`.
pub(super) unsafe fn optional<'a>(
    from: *const c_char,
    what: &str,
    says: &mut Detail,
) -> Result<Option<&'a str>, Code> {
    if from.is_null() {
        return Ok(None);
    }
    // SAFETY: as promised by the caller; it looks no further than the bound.
    let length = unsafe { libc::strnlen(from, OCTETS_MAX + 1) };
    if length > OCTETS_MAX {
        let text = format_args!("{what} has more than {OCTETS_MAX} octets");
        return Err(says.fault(BMPL_E_NAME, text));
    }
    // SAFETY: its end was found within the bound.
    let text = unsafe { CStr::from_ptr(from) };
    let bad = |_| says.fault(BMPL_E_NAME, format_args!("{what} is no text in UTF-8"));
    text.to_str().map(Some).map_err(bad)
}

/// The text at `from`, which may not be null.
///
/// # Safety
/// As of [`optional`].
pub(super) unsafe fn required<'a>(
    from: *const c_char,
    what: &str,
    says: &mut Detail,
) -> Result<&'a str, Code> {
    // SAFETY: as promised by the caller.
    let text = unsafe { optional(from, what, says) }?;
    text.ok_or_else(|| says.fault(BMPL_E_ARGUMENT, format_args!("{what} is null")))
}

/// Writes `text` and a zero into `octets` octets at `into`, cut at a character's bound where it is
/// too long; the octets of the whole text.
///
/// # Safety
/// As many octets are there, unless it is null or they are none.
pub(super) unsafe fn put(text: &str, into: *mut c_char, octets: usize) -> c_int {
    if !into.is_null() && octets > 0 {
        let kept = text.floor_char_boundary(octets - 1);
        let into = into.cast::<u8>();
        // SAFETY: as many octets and one more are there, and a text of ours lies elsewhere.
        unsafe { ptr::copy_nonoverlapping(text.as_ptr(), into, kept) };
        // SAFETY: within the octets that are there.
        let end = unsafe { into.add(kept) };
        // SAFETY: as above.
        unsafe { end.write(0) };
    }
    c_int::try_from(text.len()).unwrap_or(c_int::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_does_not_fit_is_cut_and_ends() {
        let mut room = [9; 8];
        // SAFETY: the room is as long as is said.
        let whole = unsafe { put("abcdefä", room.as_mut_ptr(), room.len()) };
        assert_eq!((whole, &room), (8, &[97, 98, 99, 100, 101, 102, 0, 9]));
        // SAFETY: nothing is written.
        assert_eq!(unsafe { put("abc", ptr::null_mut(), 5) }, 3);
        // SAFETY: nothing is written.
        assert_eq!(unsafe { put("abc", room.as_mut_ptr(), 0) }, 3);
    }

    #[test]
    fn what_has_no_end_or_is_no_text_is_refused() {
        let mut says = Detail::new();
        let endless = vec![c_char::from_ne_bytes([b'x']); OCTETS_MAX + 1];
        for wrong in [endless.as_ptr(), c"\xff".as_ptr()] {
            // SAFETY: both are as long as the bound, or end before it.
            let outcome = unsafe { optional(wrong, "it", &mut says) };
            assert_eq!(outcome.unwrap_err().number(), BMPL_E_NAME);
        }
        // SAFETY: it is not followed.
        let null = unsafe { required(ptr::null(), "it", &mut says) };
        assert_eq!((null.unwrap_err().number(), says.text()), (BMPL_E_ARGUMENT, "it is null"));
    }
}
