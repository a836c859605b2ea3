//! Structures that grow at their end: read and written at the size that their owner knows.
//!
//! Each begins with its size as its owner was compiled. One from an older header is shorter: what
//! it lacks is zero, which always means "as before". One from a newer header is longer, and
//! refused: it may ask for something that is not known here, and an octet behind what is known is
//! not looked at, let alone written. A size that is simply wrong would be a step into somebody
//! else's memory.

use std::mem::{align_of, size_of};
use std::ptr;

use super::code::{BMPL_E_ARGUMENT, BMPL_E_STRUCT_SIZE};
use super::detail::{Code, Detail};

/// A structure of the C interface.
///
/// # Safety
/// It is `repr(C)`, begins with a `u32` that is its size, has neither padding that is looked at nor
/// a value that is none (integers and raw pointers alone), and `Default` gives zeros behind the
/// size.
pub(super) unsafe trait Grows: Copy + Default {
    /// What it is called in the header.
    const NAME: &'static str;
    /// Its size in the first header that had it.
    const OCTETS_MIN: usize;
}

/// The structure at `from`, as long as its owner says.
///
/// # Safety
/// If `from` is neither null nor misaligned, a structure of the size that it says is there.
pub(super) unsafe fn read<T: Grows>(from: *const T, says: &mut Detail) -> Result<T, Code> {
    // SAFETY: as promised by the caller.
    let octets = unsafe { size_at(from, says) }?;
    let bytes = from.cast::<u8>();
    let mut value = T::default();
    // SAFETY: as many octets are there on both sides, and any octets are a value of this type.
    unsafe { ptr::copy_nonoverlapping(bytes, ptr::from_mut(&mut value).cast::<u8>(), octets) };
    Ok(value)
}

/// Writes `value` to where its reader has `into`, as much as the reader knows. Real-time class: one
/// copy.
///
/// # Safety
/// As of [`read`], and nobody else uses it meanwhile.
pub(super) unsafe fn write<T: Grows>(
    into: *mut T,
    value: &T,
    says: &mut Detail,
) -> Result<(), Code> {
    // SAFETY: as promised by the caller.
    let octets = unsafe { size_at(into, says) }?;
    let head = size_of::<u32>();
    let bytes = into.cast::<u8>();
    let from = ptr::from_ref(value).cast::<u8>();
    // SAFETY: within the value, which is longer than its first field.
    let from = unsafe { from.add(head) };
    // SAFETY: within the structure, whose size is at least that of the first header.
    let body = unsafe { bytes.add(head) };
    // SAFETY: as many octets are there on both sides.
    unsafe { ptr::copy_nonoverlapping(from, body, octets - head) };
    Ok(())
}

/// Whether something can be written at `into`, before the work is done that would be lost.
///
/// # Safety
/// As of [`read`].
pub(super) unsafe fn check<T: Grows>(into: *const T, says: &mut Detail) -> Result<(), Code> {
    // SAFETY: as promised by the caller.
    unsafe { size_at(into, says) }.map(|_| ())
}

unsafe fn size_at<T: Grows>(at: *const T, says: &mut Detail) -> Result<usize, Code> {
    if at.is_null() || !at.addr().is_multiple_of(align_of::<T>()) {
        let what = if at.is_null() { "null" } else { "misaligned" };
        return Err(says.fault(BMPL_E_ARGUMENT, format_args!("the {} is {what}", T::NAME)));
    }
    // SAFETY: aligned, and as promised by the caller there is a structure that begins with its
    // size.
    let octets = unsafe { at.cast::<u32>().read() };
    let octets = usize::try_from(octets).unwrap_or(usize::MAX);
    let (name, min, own) = (T::NAME, T::OCTETS_MIN, size_of::<T>());
    if (min..=own).contains(&octets) {
        return Ok(octets);
    }
    let remedy =
        if octets > own { "; update the library, or begin it with its _INIT macro" } else { "" };
    let text = format_args!(
        "{name}.struct_size is {octets}: it has {min} octets at least, here {own}{remedy}"
    );
    Err(says.fault(BMPL_E_STRUCT_SIZE, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A structure, and what an older and a newer header made of it.
    #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
    #[repr(C)]
    struct Pair {
        struct_size: u32,
        first: u32,
        second: u64,
    }

    // SAFETY: integers alone, and its default is zeros.
    unsafe impl Grows for Pair {
        const NAME: &'static str = "pair";
        const OCTETS_MIN: usize = 8;
    }

    #[derive(Clone, Copy)]
    #[repr(C, align(8))]
    struct Room([u32; 8]);

    fn read_of(room: &Room) -> Result<Pair, (i32, String)> {
        let mut says = Detail::new();
        // SAFETY: the room is as long as any size that the tests say.
        let outcome = unsafe { read(ptr::from_ref(room).cast::<Pair>(), &mut says) };
        outcome.map_err(|code| (code.number(), says.text().to_owned()))
    }

    fn room(size: u32, rest: [u32; 7]) -> Room {
        let mut room = Room([size; 8]);
        room.0[1..].copy_from_slice(&rest);
        room
    }

    #[test]
    fn one_from_an_older_header_lacks_what_came_later() {
        let found = read_of(&room(8, [7, 9, 9, 9, 9, 9, 9])).unwrap();
        assert_eq!((found.first, found.second), (7, 0));
        assert_eq!(read_of(&room(16, [7, 9, 0, 5, 5, 5, 5])).unwrap().second, 9);
    }

    #[test]
    fn one_from_a_newer_header_is_refused_whatever_it_asks_for() {
        for last in [0, 1 << 31] {
            let (code, text) = read_of(&room(32, [1, 2, 0, 0, 0, 0, last])).unwrap_err();
            assert_eq!(code, BMPL_E_STRUCT_SIZE);
            assert!(text.contains("update the library"), "{text}");
        }
    }

    #[test]
    fn a_size_that_is_none_is_refused_with_the_right_one() {
        for size in [0, 1, 7, 4_097, u32::MAX] {
            let (code, text) = read_of(&room(size, [0; 7])).unwrap_err();
            assert_eq!(code, BMPL_E_STRUCT_SIZE);
            assert!(text.contains("pair.struct_size") && text.contains("16"), "{text}");
        }
    }

    #[test]
    fn null_and_misaligned_are_refused() {
        let mut says = Detail::new();
        // SAFETY: it is not followed.
        let null = unsafe { read::<Pair>(ptr::null(), &mut says) };
        assert_eq!(null.unwrap_err().number(), BMPL_E_ARGUMENT);
        // SAFETY: it is not followed.
        let odd = unsafe { check(ptr::without_provenance::<Pair>(0x1004), &mut says) };
        assert_eq!(odd.unwrap_err().number(), BMPL_E_ARGUMENT);
        assert!(says.text().contains("misaligned"));
    }

    #[test]
    fn a_reader_gets_what_it_knows_and_nothing_is_written_behind() {
        let value = Pair { struct_size: 0, first: 3, second: 4 };
        for (size, expected) in [(8, [8, 3, 9, 9, 9]), (16, [16, 3, 4, 0, 9])] {
            let mut room = room(size, [9; 7]);
            let into = ptr::from_mut(&mut room).cast::<Pair>();
            // SAFETY: the room is longer than any of the sizes.
            unsafe { write(into, &value, &mut Detail::new()) }.unwrap();
            assert_eq!(room.0[..5], expected);
            assert_eq!(room.0[5..], [9; 3]);
        }
        let mut room = room(20, [9; 7]);
        let into = ptr::from_mut(&mut room).cast::<Pair>();
        // SAFETY: as above.
        let refused = unsafe { write(into, &value, &mut Detail::new()) }.unwrap_err();
        assert_eq!((refused.number(), &room.0[1..]), (BMPL_E_STRUCT_SIZE, &[9; 7][..]));
    }
}
