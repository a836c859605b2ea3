//! The calls of each cycle, on one thread.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::Ordering;

use rt_core::os::clock::MonotonicClock;
use rt_core::time::Instant;

use super::call::Outcome;
use super::code::{BMPL_E_ARGUMENT, BMPL_E_PHASE, BMPL_E_REGION, BMPL_E_SYSTEM, BMPL_OK};
use super::detail::{Code, Detail};
use super::entry::{Entry, Stage, change, cyclic};
use super::live::Live;
use super::types::{
    BMPL_NO_REGION, BMPL_READ_LAPPED, BMPL_READ_NEW, BMPL_READ_NOTHING_NEW, Cycle, Handle, Image,
};
use super::{fault, sized};
use crate::image::{self, NoImage};

/// Begins a cycle: what this process is, the cycle's number and time, and what has changed. If it
/// has just become active, the state that the last active process committed stands in the blocks
/// (or is what bmpl_open gives) when this returns.
///
/// Phase:  cyclic, once for each cycle and before its other calls
/// RT:     yes; a copy of the state at a takeover, and for a hot standby with each commit
/// Thread: the first that makes a cyclic call
/// Errors: one of BMPL_ROLE_*; BMPL_E_HANDLE, BMPL_E_FORKED, BMPL_E_PHASE, BMPL_E_THREAD,
///         BMPL_E_BUSY, BMPL_E_ARGUMENT, BMPL_E_STRUCT_SIZE
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bmpl_cycle_begin(handle: *mut Handle, cycle: *mut Cycle) -> c_int {
    cyclic(handle, |_, live, says| {
        // SAFETY: by the header's words, a structure is there, as long as it says.
        unsafe { sized::check(cycle, says) }?;
        let (begun, role) = live.begin();
        // SAFETY: as above, and it is the caller's to give.
        unsafe { sized::write(cycle, &begun, says) }?;
        Ok(fault::role_number(role))
    })
}

/// Commits the state of all regions but separate ones, as of one cycle. From here on it survives
/// this process.
///
/// Phase:  cyclic, while active, once for each bmpl_cycle_begin
/// RT:     yes; a copy of the state and its checksum; one system call (a futex wake) for each
///         region that somebody waits for
/// Thread: the first that makes a cyclic call
/// Errors: zero; BMPL_E_HANDLE, BMPL_E_FORKED, BMPL_E_PHASE (no cycle has begun, too),
///         BMPL_E_THREAD, BMPL_E_BUSY; BMPL_E_NOT_ACTIVE: nothing is committed, do not act
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn bmpl_commit(handle: *mut Handle) -> c_int {
    cyclic(handle, |entry, live, says| {
        let number = live.commit().map_err(|error| fault::of_cycle(error, says))?;
        for (index, region) in live.regions.iter().enumerate() {
            if region.is_written && !region.separate {
                entry.facts.tell(index, number);
            }
        }
        Ok(BMPL_OK)
    })
}

/// Commits the state of one region that was registered with BMPL_REGION_SEPARATE.
///
/// Phase:  cyclic, while active, after bmpl_cycle_begin and before bmpl_commit
/// RT:     yes; as bmpl_commit
/// Thread: the first that makes a cyclic call
/// Errors: as bmpl_commit; BMPL_E_REGION
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn bmpl_commit_region(handle: *mut Handle, region: c_int) -> c_int {
    cyclic(handle, |entry, live, says| {
        let region = number(live, region)?;
        let cycle = live.commit_separate(region).map_err(|error| fault::of_cycle(error, says))?;
        entry.facts.tell(region, cycle);
        Ok(BMPL_OK)
    })
}

/// Gives the memory of a region that was registered with BMPL_REGION_IN_PLACE: it holds the last
/// state, and what is written there is what the next commit publishes. `image` is good until then,
/// and null where there is an error.
///
/// Phase:  cyclic, while active, after bmpl_cycle_begin
/// RT:     yes; a copy of the image, once in a cycle
/// Thread: the first that makes a cyclic call
/// Errors: zero; BMPL_E_HANDLE, BMPL_E_FORKED, BMPL_E_PHASE (no cycle has begun, too),
///         BMPL_E_THREAD, BMPL_E_BUSY, BMPL_E_ARGUMENT, BMPL_E_REGION, BMPL_E_NOT_ACTIVE
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bmpl_open(
    handle: *mut Handle,
    region: c_int,
    image: *mut *mut c_void,
) -> c_int {
    let is_place = !image.is_null() && image.is_aligned();
    if is_place {
        // SAFETY: neither null nor misaligned, so by the header's words a pointer is there.
        unsafe { image.write(ptr::null_mut()) };
    }
    cyclic(handle, |_, live, says| {
        if !is_place {
            return Err(says.fault(BMPL_E_ARGUMENT, format_args!("image is null or misaligned")));
        }
        let region = number(live, region)?;
        let opened = live.cyclic.open(region).map_err(|error| fault::of_cycle(error, says))?;
        let opened = opened.as_mut_ptr().cast::<c_void>();
        // SAFETY: as above.
        unsafe { image.write(opened) };
        Ok(BMPL_OK)
    })
}

/// Reads the newest image of a region. `image` is filled in also where there is nothing new: with
/// what was read before and how old it is; its data is null where nothing was ever read. A hot
/// standby reads what it would take over, as of bmpl_cycle_begin.
///
/// Phase:  cyclic
/// RT:     yes; a copy of the image, three at most
/// Thread: the first that makes a cyclic call
/// Errors: one of BMPL_READ_*; BMPL_E_HANDLE, BMPL_E_FORKED, BMPL_E_PHASE, BMPL_E_THREAD,
///         BMPL_E_BUSY, BMPL_E_ARGUMENT, BMPL_E_STRUCT_SIZE, BMPL_E_REGION, BMPL_E_CORRUPT
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bmpl_read(handle: *mut Handle, region: c_int, image: *mut Image) -> c_int {
    // SAFETY: as promised by the caller, in the words of the header.
    cyclic(handle, |entry, live, says| unsafe { read(entry, live, says, (region, false), image) })
}

/// Reads the image after the one that was read last, or the oldest that the ring still has:
/// `skipped` says how many were missed. Otherwise as bmpl_read.
///
/// Phase:  cyclic
/// RT:     yes; a copy of the image, three at most
/// Thread: the first that makes a cyclic call
/// Errors: as bmpl_read
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bmpl_read_next(
    handle: *mut Handle,
    region: c_int,
    image: *mut Image,
) -> c_int {
    // SAFETY: as promised by the caller, in the words of the header.
    cyclic(handle, |entry, live, says| unsafe { read(entry, live, says, (region, true), image) })
}

/// Writes the state that this standby holds into its blocks, without taking over: to compute along,
/// or to show it.
///
/// Phase:  cyclic, while not active
/// RT:     yes; a copy of the state
/// Thread: the first that makes a cyclic call
/// Errors: 1 where there is a state, 0 where there is none yet; BMPL_E_HANDLE, BMPL_E_FORKED,
///         BMPL_E_PHASE (while active, too), BMPL_E_THREAD, BMPL_E_BUSY
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn bmpl_restore(handle: *mut Handle) -> c_int {
    cyclic(handle, |_, live, says| {
        if live.is_active() {
            let text = format_args!("an active process has the newest state itself");
            return Err(says.fault(BMPL_E_PHASE, text));
        }
        Ok(c_int::from(live.restore_now()))
    })
}

/// Waits until a region has an image that was not read, the role may have changed, or `until_ns`
/// (CLOCK_MONOTONIC) is over: the one wait of the cycle. The region was registered or attached with
/// a _WAKE flag, or is BMPL_NO_REGION.
///
/// Phase:  cyclic
/// RT:     yes; one system call that waits
/// Thread: the first that makes a cyclic call; bmpl_destroy in another waits for it
/// Errors: 1 where there may be something, 0 where the time is over; BMPL_E_HANDLE, BMPL_E_FORKED,
///         BMPL_E_PHASE, BMPL_E_THREAD, BMPL_E_BUSY, BMPL_E_REGION, BMPL_E_SYSTEM
#[unsafe(no_mangle)]
pub extern "C" fn bmpl_wait(handle: *mut Handle, region: c_int, until_ns: u64) -> c_int {
    cyclic(handle, |_, live, says| {
        let region = if region == BMPL_NO_REGION { usize::MAX } else { number(live, region)? };
        let woken = live.cyclic.wait(region, Instant::from_nanos(until_ns));
        woken.map(c_int::from).map_err(|error| {
            says.fault(BMPL_E_SYSTEM, format_args!("the kernel cannot wait: {:?}", error.kind()))
        })
    })
}

/// Lets another thread make the cyclic calls: the next that makes one. For programs that are
/// started on one thread and cycle on another.
///
/// Phase:  cyclic, between two cycles
/// RT:     yes
/// Thread: any
/// Errors: zero; BMPL_E_HANDLE, BMPL_E_FORKED, BMPL_E_PHASE, BMPL_E_BUSY
#[unsafe(no_mangle)]
pub extern "C" fn bmpl_release_thread(handle: *mut Handle) -> c_int {
    change(handle, |entry, stage, _| match stage {
        Stage::Active(_) => {
            entry.release_thread();
            Ok(BMPL_OK)
        }
        Stage::Configuring(_) | Stage::Ended => Err(Code::plain(BMPL_E_PHASE)),
    })
}

/// # Safety
/// If `image` is neither null nor misaligned, a structure of the size that it says is there.
unsafe fn read(
    entry: &Entry,
    live: &mut Live,
    says: &mut Detail,
    (region, in_order): (c_int, bool),
    image: *mut Image,
) -> Outcome {
    // SAFETY: as promised by the caller.
    unsafe { sized::check(image, says) }?;
    let region = number(live, region)?;
    let (outcome, skipped) = match live.read(region, in_order) {
        Ok(read) => {
            entry.facts.tell(region, read.stamp.cycle);
            (BMPL_READ_NEW, read.skipped)
        }
        Err(NoImage::Nothing) => (BMPL_READ_NOTHING_NEW, 0),
        Err(NoImage::Lapped) => (BMPL_READ_LAPPED, 0),
        Err(why) => return Err(fault::of_image(why, says)),
    };
    let held = live.cyclic.image(region);
    let mut told = held.map_or_else(Image::default, |(known, octets)| of(known, octets));
    told.skipped = skipped;
    if let Some(fact) = entry.facts.get(region).filter(|_| told.size > 0) {
        fact.size.store(told.size, Ordering::Relaxed);
    }
    // SAFETY: as promised by the caller.
    unsafe { sized::write(image, &told, says) }?;
    Ok(outcome)
}

/// An image as the header has it.
fn of(known: image::Image, octets: &[u8]) -> Image {
    let stamp = known.stamp;
    let committed_at = Instant::from_nanos(stamp.committed_at_ns);
    Image {
        data: octets.as_ptr().cast::<c_void>(),
        size: u64::try_from(octets.len()).unwrap_or(u64::MAX),
        cycle: stamp.cycle,
        epoch: stamp.epoch,
        age_ns: MonotonicClock::now().since(committed_at).as_nanos(),
        time_ns: stamp.application_time_ns,
        wall_clock_ns: i64::try_from(stamp.wall_clock_ns).unwrap_or(i64::MAX),
        ..Image::default()
    }
}

/// A region's number, if there is one.
fn number(live: &Live, region: c_int) -> Result<usize, Code> {
    let found = usize::try_from(region).ok().filter(|&index| index < live.regions.len());
    found.ok_or(Code::plain(BMPL_E_REGION))
}
