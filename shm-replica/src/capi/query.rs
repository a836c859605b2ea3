//! What any thread may ask, beside whatever the cyclic thread does.

use std::ffi::{c_char, c_int};
use std::os::fd::AsRawFd;

use rt_core::os::clock::MonotonicClock;

use super::call::{bounded, last_loose};
use super::code::{BMPL_E_PHASE, BMPL_E_REGION, BMPL_OK};
use super::detail::Code;
use super::entry::observe;
use super::types::{BMPL_ROLE_NONE, Handle, RegionInfo};
use super::{fault, sized, text};

/// The role as the daemon says now: for threads that show it. What a cycle is to do is said by
/// bmpl_cycle_begin, and bmpl_may_act says whether it still holds.
///
/// Phase:  any; BMPL_ROLE_NONE before activation and after deactivation
/// RT:     yes
/// Thread: any; in a signal handler too
/// Errors: one of BMPL_ROLE_*; BMPL_E_HANDLE, BMPL_E_FORKED
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn bmpl_get_role(handle: *const Handle) -> c_int {
    observe(handle, |entry, _| {
        let participant = entry.participant();
        let none = BMPL_ROLE_NONE.cast_signed();
        Ok(participant.map_or(none, |it| fault::role_number(it.office().role)))
    })
}

/// Whether this process may act on the plant now: it is active, and has taken the state over. Asked
/// directly before outputs are written.
///
/// Phase:  any; 0 before activation and after deactivation
/// RT:     yes
/// Thread: any; in a signal handler too
/// Errors: 1 or 0; BMPL_E_HANDLE, BMPL_E_FORKED
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn bmpl_may_act(handle: *const Handle) -> c_int {
    observe(handle, |entry, _| Ok(entry.participant().map_or(0, |it| c_int::from(it.may_act()))))
}

/// A descriptor for poll, epoll or sd-event: readable when the role may have changed. Reading 8
/// octets from it takes that back. It is the library's: not to be closed, and good until
/// bmpl_deactivate.
///
/// Phase:  after activation
/// RT:     yes
/// Thread: any
/// Errors: the descriptor; BMPL_E_HANDLE, BMPL_E_FORKED, BMPL_E_PHASE
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn bmpl_get_fd(handle: *const Handle) -> c_int {
    observe(handle, |entry, _| {
        let participant = entry.participant().ok_or(Code::plain(BMPL_E_PHASE))?;
        Ok(participant.changed().as_raw_fd())
    })
}

/// What is known of a region: its sizes, what a commit costs here, the epoch in force.
///
/// Phase:  any
/// RT:     no
/// Thread: any
/// Errors: zero; BMPL_E_HANDLE, BMPL_E_FORKED, BMPL_E_REGION, BMPL_E_ARGUMENT, BMPL_E_STRUCT_SIZE
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bmpl_region_info(
    handle: *const Handle,
    region: c_int,
    info: *mut RegionInfo,
) -> c_int {
    observe(handle, |entry, says| {
        // SAFETY: by the header's words, a structure is there, as long as it says.
        unsafe { sized::check(info, says) }?;
        let index = usize::try_from(region).map_err(|_| Code::plain(BMPL_E_REGION))?;
        let mut told = entry.facts.info(index).ok_or(Code::plain(BMPL_E_REGION))?;
        let participant = entry.participant();
        if let Some(known) = participant.and_then(|it| it.region(index)) {
            told.commit_cost_ns = known.commit_cost_ns;
            told.epoch = known.epoch;
        }
        // SAFETY: as above, and it is the caller's to give.
        unsafe { sized::write(info, &told, says) }?;
        Ok(BMPL_OK)
    })
}

/// What went wrong in the last call of this handle that failed, with the remedy, into `text`
/// (`size` octets, always ended). With a null handle: in the last call of this thread that had no
/// handle (bmpl_create, bmpl_lint). Empty where nothing has.
///
/// Phase:  any
/// RT:     no
/// Thread: any
/// Errors: the octets of the whole text without its end, as snprintf; BMPL_E_HANDLE, BMPL_E_FORKED
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bmpl_last_detail(
    handle: *const Handle,
    text: *mut c_char,
    size: usize,
) -> c_int {
    if handle.is_null() {
        // SAFETY: by the header's words, so many octets are there.
        return bounded(|| unsafe { text::put(&last_loose(), text, size) });
    }
    // SAFETY: by the header's words, so many octets are there.
    observe(handle, |entry, _| Ok(unsafe { text::put(&entry.last_detail(), text, size) }))
}

/// The clock that bmpl_wait counts with: CLOCK_MONOTONIC, in ns.
///
/// Phase:  any; needs no handle
/// RT:     yes; what the C library's clock_gettime does
/// Thread: any
/// Errors: none
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn bmpl_now_ns() -> u64 {
    MonotonicClock::now().as_nanos()
}
