//! The trap for allocations on a thread that said it was done with them.
//!
//! A real-time thread allocates what it needs at start and then calls [`freeze_this_thread`]. From
//! there on each allocation, reallocation or free on that thread is a defect: it may take a lock
//! that a thread of low priority holds, fault, or enter the kernel. With [`TrapAllocator`] as the
//! program's allocator it is counted, and, with [`TrapAction::Abort`], fatal at once, where a
//! debugger sees who did it. Other threads are not affected.
//!
//! ```
//! use rt_core::os::freeze::{TrapAllocator, freeze_this_thread, frozen_allocations};
//!
//! #[global_allocator]
//! static ALLOCATOR: TrapAllocator = TrapAllocator::system();
//!
//! let mut frames = Vec::with_capacity(64);
//! let frozen = freeze_this_thread();
//! frames.push(1u8); // Within the capacity: nothing is allocated.
//! drop(frozen);
//! assert_eq!(frozen_allocations().count, 0);
//! ```
//!
//! The cost on threads that are not frozen is one look at a thread-local octet per call. Calls to
//! `malloc` from C code pass by unseen; the thread's page faults and switches
//! ([`thread_figures`](super::thread::thread_figures)) catch what these cause.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint;
use std::marker::PhantomData;
use std::process;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What happens on an allocation by a frozen thread.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(u8)]
pub enum TrapAction {
    /// It is counted and carried out.
    #[default]
    Count = 0,
    /// It is counted, one line goes to standard error, and the process aborts.
    Abort = 1,
}

/// What a frozen thread asked of the allocator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Request {
    /// An allocation.
    Allocate = 1,
    /// A change of size.
    Reallocate = 2,
    /// A free.
    Free = 3,
}

/// What the trap has seen since the program started, over all threads.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FrozenAllocations {
    /// Requests by frozen threads.
    pub count: u64,
    /// The first of them: what it was, and its size in octets.
    pub first: Option<(Request, u64)>,
}

/// The line that goes to standard error before the abort.
pub const ABORT_LINE: &str = "bumpless: a frozen real-time thread called the allocator; \
    aborting (a defect: please report it)\n";

/// States of the calling thread.
const OPEN: u8 = 0;
const FROZEN: u8 = 1;
const PROBING: u8 = 2;
const PROBED: u8 = 3;

thread_local! {
    // Const and without a destructor: looking at it neither allocates nor registers anything, so
    // the allocator may do it at any time, while a thread starts or ends included.
    static STATE: Cell<u8> = const { Cell::new(OPEN) };
}

static ACTION: AtomicU8 = AtomicU8::new(TrapAction::Count as u8);
static COUNT: AtomicU64 = AtomicU64::new(0);
/// The first request: its size shifted left by two, and its [`Request`] number; 0 = none yet.
static FIRST: AtomicU64 = AtomicU64::new(0);

/// An allocator that watches frozen threads and leaves the work to `A`.
#[derive(Clone, Copy, Default, Debug)]
pub struct TrapAllocator<A = System> {
    inner: A,
}

impl TrapAllocator<System> {
    /// On top of the system's allocator.
    #[must_use]
    pub const fn system() -> Self {
        Self { inner: System }
    }
}

impl<A> TrapAllocator<A> {
    /// On top of `inner`.
    #[must_use]
    pub const fn new(inner: A) -> Self {
        Self { inner }
    }
}

// SAFETY: each function hands its arguments unchanged to `A`, which is an allocator, and returns
// what that returned. What is done besides touches atomics and a thread-local octet, never the
// allocator, and does not unwind.
unsafe impl<A: GlobalAlloc> GlobalAlloc for TrapAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        watch(Request::Allocate, layout.size());
        // SAFETY: the caller's promise is the one `A` asks for.
        unsafe { self.inner.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        watch(Request::Allocate, layout.size());
        // SAFETY: the caller's promise is the one `A` asks for.
        unsafe { self.inner.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        watch(Request::Reallocate, new_size);
        // SAFETY: the caller's promise is the one `A` asks for.
        unsafe { self.inner.realloc(block, layout, new_size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        watch(Request::Free, layout.size());
        // SAFETY: the caller's promise is the one `A` asks for.
        unsafe { self.inner.dealloc(block, layout) }
    }
}

fn watch(request: Request, octets: usize) {
    // No state: the thread is past its end, when nothing is frozen any more.
    let state = STATE.try_with(Cell::get).unwrap_or(OPEN);
    if state != OPEN {
        trap(state, request, octets);
    }
}

#[cold]
fn trap(state: u8, request: Request, octets: usize) {
    if state != FROZEN {
        // Answers `is_installed`; the thread-local is there, for it was just read.
        let _there = STATE.try_with(|cell| cell.set(PROBED));
        return;
    }
    COUNT.fetch_add(1, Ordering::Relaxed);
    let first = (octets as u64) << 2 | request as u64;
    // Only the first one is kept; that another one was first is no failure.
    let _kept = FIRST.compare_exchange(0, first, Ordering::Relaxed, Ordering::Relaxed);
    if ACTION.load(Ordering::Relaxed) == TrapAction::Abort as u8 {
        // SAFETY: the line is a constant of that length; `write` needs no lock and no memory.
        // Whether it succeeds makes no difference any more.
        unsafe { libc::write(libc::STDERR_FILENO, ABORT_LINE.as_ptr().cast(), ABORT_LINE.len()) };
        process::abort();
    }
}

/// Keeps the calling thread frozen while it lives. Declare it after all that the thread frees at
/// its end, so that it is dropped before that.
#[must_use = "dropping it thaws the thread at once"]
#[derive(Debug)]
pub struct Frozen {
    before: u8,
    /// Bound to its thread.
    thread: PhantomData<*const ()>,
}

impl Drop for Frozen {
    fn drop(&mut self) {
        STATE.set(self.before);
    }
}

/// From now on the calling thread does not allocate, reallocate or free. Real-time class: one
/// memory access.
pub fn freeze_this_thread() -> Frozen {
    Frozen { before: STATE.replace(FROZEN), thread: PhantomData }
}

/// Says what happens on an allocation by a frozen thread, for all threads. Thread: any.
pub fn set_trap_action(action: TrapAction) {
    ACTION.store(action as u8, Ordering::Relaxed);
}

/// What the trap has seen. Without a [`TrapAllocator`] it sees nothing: see [`is_installed`].
/// Thread: any.
#[must_use]
pub fn frozen_allocations() -> FrozenAllocations {
    let first = FIRST.load(Ordering::Relaxed);
    let request = match first & 3 {
        1 => Some(Request::Allocate),
        2 => Some(Request::Reallocate),
        3 => Some(Request::Free),
        _ => None,
    };
    FrozenAllocations {
        count: COUNT.load(Ordering::Relaxed),
        first: request.map(|request| (request, first >> 2)),
    }
}

/// Whether this program's allocator is a [`TrapAllocator`], so that "no allocations seen" means
/// something. Allocates one octet to find out; not for a frozen thread.
#[must_use]
pub fn is_installed() -> bool {
    let before = STATE.replace(PROBING);
    drop(hint::black_box(Box::new(0u8)));
    STATE.replace(before) == PROBED
}

#[cfg(test)]
mod tests {
    use super::*;

    // The unit tests run on the ordinary allocator; the trap itself is proved in
    // `tests/freeze.rs`, in a program that installs it.
    #[test]
    fn without_the_trap_nothing_is_claimed() {
        assert!(!is_installed());
        let frozen = freeze_this_thread();
        drop(hint::black_box(vec![1u8; 100]));
        drop(frozen);
        assert_eq!(frozen_allocations(), FrozenAllocations::default());
    }
}
