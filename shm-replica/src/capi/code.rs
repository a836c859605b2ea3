//! What a function of the C interface returns: numbers, their names, a sentence for each.
//!
//! Negative is an error, from a block of its own: they are never taken for `-errno`, and an errno
//! that some call below us left would say little anyway. Zero and positive are fine, and positive
//! says more (which role, whether there is a new image). A number is never given another meaning;
//! new ones are added at the end.

use std::ffi::{CStr, c_char, c_int};

/// All is fine, and there is nothing more to say.
pub const BMPL_OK: c_int = 0;

/// This is no handle, or no more: it was destroyed, or was never one.
pub const BMPL_E_HANDLE: c_int = -1001;
/// The process has forked since the handle was made, and this is the child.
pub const BMPL_E_FORKED: c_int = -1002;
/// Another thread makes the cyclic calls of this handle.
pub const BMPL_E_THREAD: c_int = -1003;
/// Not in this phase: before activation, or only before it.
pub const BMPL_E_PHASE: c_int = -1004;
/// Another thread is inside a call of this handle.
pub const BMPL_E_BUSY: c_int = -1005;
/// No region of this handle has that number, or it is of the other kind.
pub const BMPL_E_REGION: c_int = -1006;
/// An argument is null, misaligned or out of range.
pub const BMPL_E_ARGUMENT: c_int = -1007;
/// `struct_size` is none of this structure's sizes, or says more than this library knows.
pub const BMPL_E_STRUCT_SIZE: c_int = -1008;
/// A reserved field is not zero, or a flag is not known.
pub const BMPL_E_RESERVED: c_int = -1009;
/// A name that is none.
pub const BMPL_E_NAME: c_int = -1010;
/// Too many, or too large.
pub const BMPL_E_LIMIT: c_int = -1011;
/// A block that cannot be, or a schema that is not the region's.
pub const BMPL_E_SCHEMA: c_int = -1012;
/// A size or number of slots that is not the region's.
pub const BMPL_E_LAYOUT: c_int = -1013;
/// A commit would take more of the cycle than is allowed.
pub const BMPL_E_COST: c_int = -1014;
/// The daemon cannot be reached.
pub const BMPL_E_DAEMON: c_int = -1015;
/// The daemon and this library do not speak the same version.
pub const BMPL_E_VERSION: c_int = -1016;
/// The daemon knows no such application or region.
pub const BMPL_E_UNKNOWN: c_int = -1017;
/// This user may not.
pub const BMPL_E_PERMISSION: c_int = -1018;
/// Somebody else has it, or it was done already.
pub const BMPL_E_TAKEN: c_int = -1019;
/// This process is not the active one: its state is nobody's.
pub const BMPL_E_NOT_ACTIVE: c_int = -1020;
/// The operating system refuses, or has no more of it.
pub const BMPL_E_SYSTEM: c_int = -1021;
/// A defect of this library.
pub const BMPL_E_INTERNAL: c_int = -1022;

/// An image whose checksum does not fit: something wrote where only the writer writes.
pub const BMPL_E_CORRUPT: c_int = -1023;

/// A code with what is said about it.
struct Meaning {
    code: c_int,
    name: &'static CStr,
    text: &'static CStr,
}

const fn meaning(code: c_int, name: &'static CStr, text: &'static CStr) -> Meaning {
    Meaning { code, name, text }
}

/// Every code of an error, and zero.
const MEANINGS: [Meaning; 24] = [
    meaning(BMPL_OK, c"BMPL_OK", c"fine"),
    meaning(
        BMPL_E_HANDLE,
        c"BMPL_E_HANDLE",
        c"no handle: it was destroyed or never made; use the one that bmpl_create gave",
    ),
    meaning(
        BMPL_E_FORKED,
        c"BMPL_E_FORKED",
        c"the handle is the parent process's; make one in the child after the fork",
    ),
    meaning(
        BMPL_E_THREAD,
        c"BMPL_E_THREAD",
        c"another thread makes the cyclic calls; make them all from one thread",
    ),
    meaning(
        BMPL_E_PHASE,
        c"BMPL_E_PHASE",
        c"not in this phase; the order is create, register and attach, activate, cyclic calls, \
          deactivate, destroy",
    ),
    meaning(
        BMPL_E_BUSY,
        c"BMPL_E_BUSY",
        c"another thread is inside a call of this handle; call again when it has returned",
    ),
    meaning(
        BMPL_E_REGION,
        c"BMPL_E_REGION",
        c"no region of that number, or not of that kind; use what bmpl_register or bmpl_attach \
          returned",
    ),
    meaning(
        BMPL_E_ARGUMENT,
        c"BMPL_E_ARGUMENT",
        c"an argument is null, misaligned or out of range; bmpl_last_detail names it",
    ),
    meaning(
        BMPL_E_STRUCT_SIZE,
        c"BMPL_E_STRUCT_SIZE",
        c"struct_size is wrong; begin with the structure's _INIT macro, and update the library if \
          the header is newer",
    ),
    meaning(
        BMPL_E_RESERVED,
        c"BMPL_E_RESERVED",
        c"a reserved field is not zero or a flag is unknown; begin with the structure's _INIT \
          macro",
    ),
    meaning(
        BMPL_E_NAME,
        c"BMPL_E_NAME",
        c"a name has 1 to 63 letters, digits, '-', '_' or '.', and no '-' or '.' at the front",
    ),
    meaning(
        BMPL_E_LIMIT,
        c"BMPL_E_LIMIT",
        c"too many or too large; bmpl_last_detail says what, and how many there may be",
    ),
    meaning(
        BMPL_E_SCHEMA,
        c"BMPL_E_SCHEMA",
        c"a block that cannot be, or not the region's schema; bmpl_last_detail names the first \
          difference",
    ),
    meaning(
        BMPL_E_LAYOUT,
        c"BMPL_E_LAYOUT",
        c"the region has another size or number of slots; use the same in all its participants",
    ),
    meaning(
        BMPL_E_COST,
        c"BMPL_E_COST",
        c"a commit takes more of the cycle than is allowed; make the region smaller, the cycle \
          longer, or raise the share in the configuration",
    ),
    meaning(
        BMPL_E_DAEMON,
        c"BMPL_E_DAEMON",
        c"no daemon answers; start bumplessd, or name its runtime folder",
    ),
    meaning(
        BMPL_E_VERSION,
        c"BMPL_E_VERSION",
        c"the daemon and this library speak different versions; update the older of the two",
    ),
    meaning(
        BMPL_E_UNKNOWN,
        c"BMPL_E_UNKNOWN",
        c"no such application or region; add it to the daemon's configuration",
    ),
    meaning(
        BMPL_E_PERMISSION,
        c"BMPL_E_PERMISSION",
        c"this user may not do that; add its group to the region in the daemon's configuration",
    ),
    meaning(BMPL_E_TAKEN, c"BMPL_E_TAKEN", c"it was registered already, or is another's"),
    meaning(
        BMPL_E_NOT_ACTIVE,
        c"BMPL_E_NOT_ACTIVE",
        c"this process is not the active one, and its state is nobody's; act on what \
          bmpl_cycle_begin says",
    ),
    meaning(
        BMPL_E_SYSTEM,
        c"BMPL_E_SYSTEM",
        c"the operating system refuses; bmpl_last_detail says what and why",
    ),
    meaning(
        BMPL_E_INTERNAL,
        c"BMPL_E_INTERNAL",
        c"a defect of this library; destroy the handle and report it",
    ),
    meaning(
        BMPL_E_CORRUPT,
        c"BMPL_E_CORRUPT",
        c"an image whose checksum does not fit: something wrote where only the writer writes; \
          look for a process that should not be able to",
    ),
];

fn of(code: c_int) -> Option<&'static Meaning> {
    MEANINGS.iter().find(|meaning| meaning.code == code)
}

/// What a code means and what to do about it.
pub(super) fn text(code: c_int) -> &'static CStr {
    let positive = c"fine; a positive value says more, see the function";
    let unknown = c"no code of bumpless";
    of(code).map_or(if code > 0 { positive } else { unknown }, |meaning| meaning.text)
}

/// What a code is called.
pub(super) fn name(code: c_int) -> &'static CStr {
    of(code).map_or(if code > 0 { c"BMPL_OK" } else { c"BMPL_E_?" }, |meaning| meaning.name)
}

/// What a code means, in a sentence with the remedy; never null, and never to be freed. For the
/// particulars of a call see bmpl_last_detail.
///
/// Phase:  any
/// RT:     yes
/// Thread: any; in a signal handler and after a fork too
/// Errors: none; a number that is no code gets a sentence that says so
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn bmpl_strerror(code: c_int) -> *const c_char {
    text(code).as_ptr()
}

/// What a code is called in this header: "BMPL_E_PHASE"; never null, and never to be freed.
///
/// Phase:  any
/// RT:     yes
/// Thread: any; in a signal handler and after a fork too
/// Errors: none; a number that is no code is called "BMPL_E_?"
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn bmpl_error_name(code: c_int) -> *const c_char {
    name(code).as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_there_once_with_a_sentence_of_its_own() {
        for (index, one) in MEANINGS.iter().enumerate() {
            let rest = &MEANINGS[index + 1..];
            assert!(rest.iter().all(|other| other.code != one.code), "{:?}", one.name);
            assert!(rest.iter().all(|other| other.text != one.text), "{:?}", one.name);
            assert!(!one.text.to_str().unwrap().contains("  "), "{:?}", one.name);
        }
        let codes: Vec<_> = MEANINGS[1..].iter().map(|meaning| meaning.code).collect();
        assert!(codes.iter().zip(1_001..).all(|(code, number)| *code == -number));
    }

    #[test]
    fn a_number_that_is_no_code_is_told_from_one() {
        assert_eq!(text(BMPL_E_COST), of(BMPL_E_COST).unwrap().text);
        assert_eq!(text(-1), c"no code of bumpless");
        assert_eq!(name(c_int::MIN), c"BMPL_E_?");
        assert_eq!((name(2), name(0)), (c"BMPL_OK", c"BMPL_OK"));
    }
}
