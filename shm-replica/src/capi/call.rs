//! What each call does before and after its own work.
//!
//! No panic leaves it, whatever the profile: it becomes BMPL_E_INTERNAL where the profile unwinds,
//! and ends the process where the profile says so. `errno` is as it was.

use std::cell::RefCell;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::code::BMPL_E_INTERNAL;
use super::detail::{Code, Detail};

/// What a call comes to: a number that is not negative, or an error.
pub(super) type Outcome = Result<c_int, Code>;

thread_local! {
    /// What went wrong last in a call of this thread that had no handle to keep it.
    static LOOSE: RefCell<Detail> = const { RefCell::new(Detail::new()) };
}

/// Restores `errno` when it goes.
struct Errno(c_int);

impl Errno {
    fn keep() -> Self {
        Self(nix::errno::Errno::last_raw())
    }
}

impl Drop for Errno {
    fn drop(&mut self) {
        nix::errno::Errno::set_raw(self.0);
    }
}

/// Runs a call to its end: its number.
pub(super) fn bounded(call: impl FnOnce() -> c_int) -> c_int {
    let _errno = Errno::keep();
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(BMPL_E_INTERNAL)
}

/// Runs a call that has no handle. Not for a cycle.
pub(super) fn loose(call: impl FnOnce(&mut Detail) -> Outcome) -> c_int {
    bounded(|| {
        let mut says = Detail::new();
        match call(&mut says) {
            Ok(number) => number,
            Err(code) => {
                LOOSE.with(|last| {
                    if let Ok(mut last) = last.try_borrow_mut() {
                        *last = says;
                    }
                });
                code.number()
            }
        }
    })
}

/// What went wrong last in a call of this thread that had no handle.
pub(super) fn last_loose() -> String {
    let text = |last: &RefCell<Detail>| last.borrow().text().to_owned();
    LOOSE.with(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capi::code::BMPL_E_NAME;

    #[test]
    fn a_panic_ends_in_a_code_and_errno_is_as_it_was() {
        nix::errno::Errno::set_raw(77);
        let code = bounded(|| {
            nix::errno::Errno::set_raw(5);
            panic!("on purpose");
        });
        assert_eq!((code, nix::errno::Errno::last_raw()), (BMPL_E_INTERNAL, 77));
    }

    #[test]
    fn what_went_wrong_without_a_handle_is_the_threads_own() {
        let code = loose(|says| Err(says.fault(BMPL_E_NAME, format_args!("this one"))));
        assert_eq!((code, last_loose().as_str()), (BMPL_E_NAME, "this one"));
        std::thread::spawn(|| assert_eq!(last_loose(), "")).join().unwrap();
    }
}
