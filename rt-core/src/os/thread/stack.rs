//! The calling thread's stack, touched to its end.
//!
//! A page of a stack comes into being when it is first touched; on a real-time path that is a page
//! fault at the worst moment, the first deep call. `MADV_POPULATE_WRITE` would do it in one call,
//! but not on kernels before 5.14, which are in the field; touching works everywhere.

use std::hint;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// No page is smaller; where pages are larger, some are touched twice.
const PAGE_OCTETS: usize = 4096;

/// What the C library says of the calling thread's stack.
struct StackBounds {
    /// Lowest address.
    low: usize,
    /// Octets at the low end that trap.
    guard_octets: usize,
}

/// Touches every page of the calling thread's stack between its guard and the caller's frame, and
/// returns how many octets that were. For threads that this process started, not for the main
/// thread, whose stack grows by itself.
///
/// # Errors
/// The C library cannot tell where the stack is.
pub(super) fn prefault() -> io::Result<usize> {
    let bounds = bounds()?;
    let mark = 0u8;
    // Two pages below a local of this frame: nothing that is in use (the red zone and the frames of
    // the calls below included) is there.
    let here = ptr::from_ref(hint::black_box(&mark)).addr();
    let high = here.saturating_sub(2 * PAGE_OCTETS);
    // Older C libraries count the guard as part of the stack, so its size is left out in any case;
    // at worst the lowest page stays untouched, where no sane path comes.
    let low = bounds.low.saturating_add(bounds.guard_octets).next_multiple_of(PAGE_OCTETS);
    let mut address = low;
    while address < high {
        let page = ptr::with_exposed_provenance_mut::<u8>(address);
        // SAFETY: `low..high` is inside the mapping that the C library made as this thread's stack,
        // above the guard and below everything in use; no other thread touches it, and a signal
        // handler that ran here has returned before the next instruction of ours. Volatile, for it
        // is memory that Rust knows no object in. Zero is what the page holds, or leftovers of
        // earlier calls that nobody may read again.
        unsafe { ptr::write_volatile(page, 0) };
        address += PAGE_OCTETS;
    }
    Ok(high.saturating_sub(low))
}

fn bounds() -> io::Result<StackBounds> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: no arguments; always succeeds.
    let this_thread = unsafe { libc::pthread_self() };
    // SAFETY: the calling thread is alive; the call initialises `attributes` when it returns 0.
    let result = unsafe { libc::pthread_getattr_np(this_thread, attributes.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::from_raw_os_error(result));
    }
    let mut low = ptr::null_mut();
    let mut size = 0;
    // SAFETY: `attributes` was initialised above; the two places outlive the call.
    let stack = unsafe { libc::pthread_attr_getstack(attributes.as_ptr(), &mut low, &mut size) };
    let mut guard_octets = 0;
    // SAFETY: as above.
    let guard = unsafe { libc::pthread_attr_getguardsize(attributes.as_ptr(), &mut guard_octets) };
    // SAFETY: `attributes` was initialised above and is not used after this.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    match (stack, guard) {
        (0, 0) => Ok(StackBounds { low: low.expose_provenance(), guard_octets }),
        (0, error) | (error, _) => Err(io::Error::from_raw_os_error(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn nearly_the_whole_stack_is_touched() {
        const STACK_OCTETS: usize = 1024 * 1024;
        let touched = thread::Builder::new()
            .stack_size(STACK_OCTETS)
            .spawn(|| prefault().unwrap())
            .unwrap()
            .join()
            .unwrap();
        // It may be more: the C library hands out stacks of ended threads again, larger ones, too.
        assert!(touched >= STACK_OCTETS - 64 * 1024, "only {touched} octets");
    }
}
