//! Which library this is.

use std::ffi::{c_char, c_int, c_uint};

/// The first number of the library's version.
pub const BMPL_VERSION_MAJOR: c_int = 0;
/// The second number.
pub const BMPL_VERSION_MINOR: c_int = 1;
/// The third number.
pub const BMPL_VERSION_PATCH: c_int = 0;

/// The interface's number: its upper 16 bits are those of the library's SONAME and change when a
/// program would have to be compiled anew; its lower 16 bits rise with each function or field that
/// is added.
pub const BMPL_ABI_VERSION: c_uint = 1;

/// The version in words.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");

const _: () = {
    let octets = VERSION.as_bytes();
    let stated = [BMPL_VERSION_MAJOR, BMPL_VERSION_MINOR, BMPL_VERSION_PATCH];
    let (mut at, mut index) = (0, 0);
    while index < stated.len() {
        let mut number = 0;
        while octets[at].is_ascii_digit() {
            number = 10 * number + (octets[at] - b'0') as c_int;
            at += 1;
        }
        assert!(number == stated[index], "the header's version is the package's");
        at += 1;
        index += 1;
    }
};

/// The interface's number of the library that runs, to be compared with BMPL_ABI_VERSION of the
/// header that was compiled with: the upper 16 bits are equal, the lower ones at least as great.
///
/// Phase:  any
/// RT:     yes
/// Thread: any; in a signal handler and after a fork too
/// Errors: none
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn bmpl_abi_version() -> c_uint {
    BMPL_ABI_VERSION
}

/// The version of the library that runs, as "0.1.0"; never null, and never to be freed.
///
/// Phase:  any
/// RT:     yes
/// Thread: any; in a signal handler and after a fork too
/// Errors: none
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn bmpl_version_string() -> *const c_char {
    VERSION.as_ptr().cast::<c_char>()
}
