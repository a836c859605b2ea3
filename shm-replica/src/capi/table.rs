//! Handles: numbers that look like pointers and are never followed.
//!
//! A handle says which place of one static table is meant and which generation of it. What a
//! program may hand in by mistake (null, a pointer to something else, a handle that was destroyed,
//! one that was destroyed and whose place is another's by now) is found by comparing numbers, so it
//! is an error and never an access. Its upper bits are those of no address, so that one who follows
//! it is told at once.
//!
//! To look a handle up is one addition to the place's word, which holds the generation, the state
//! and how many calls are inside; to leave is one subtraction. Neither waits for anything. Who
//! removes a handle forbids new calls first and then waits for those inside. (A lock, or counted
//! pointers in a list, were the alternatives: the one makes a cyclic call wait, the other follows
//! what it was given.)

use std::cell::UnsafeCell;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Handles at a time.
pub(super) const PLACES: usize = 64;

/// Upper bits of a handle: of no address, neither a process's nor the kernel's.
const MARK: u64 = 0xb3a7 << 48;
const MARK_BITS: u64 = 0xffff << 48;
/// Lowest octet of a handle: odd, as no pointer to a structure is.
const TAIL: u64 = 0x5b;

const GENERATION_SHIFT: u32 = 32;
/// The place is somebody's.
const TAKEN: u64 = 1 << 31;
/// Calls may enter.
const OPEN: u64 = 1 << 30;
/// The calls inside.
const CALLS: u64 = OPEN - 1;

/// How long one who removes a handle sleeps between two looks.
const LOOK_INTERVAL: Duration = Duration::from_micros(200);

const _: () = assert!(usize::BITS == 64, "a handle needs 64 bits");
const _: () = assert!(PLACES <= 256, "a place's number is an octet of the handle");

/// Up to [`PLACES`] values by their handles.
#[derive(Debug)]
pub(super) struct Table<T> {
    places: [Place<T>; PLACES],
}

#[derive(Debug)]
struct Place<T> {
    word: AtomicU64,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: the value is written only by one who took the place while nobody was inside, and is
// otherwise only read; it moves between threads and is shared by them.
unsafe impl<T: Send + Sync> Sync for Place<T> {}

/// A call that is inside.
#[derive(Debug)]
pub(super) struct Visit<'t, T> {
    place: &'t Place<T>,
    value: &'t T,
}

impl<T> Deref for Visit<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
    }
}

impl<T> Drop for Visit<'_, T> {
    fn drop(&mut self) {
        self.place.word.fetch_sub(1, Ordering::Release);
    }
}

impl<T> Table<T> {
    /// An empty table.
    pub(super) const fn new() -> Self {
        Self {
            places: [const { Place { word: AtomicU64::new(0), value: UnsafeCell::new(None) } };
                PLACES],
        }
    }

    /// Gives a value a handle; gives it back where every place is taken. Not for a cycle.
    pub(super) fn insert(&self, value: T) -> Result<usize, T> {
        for (index, place) in self.places.iter().enumerate() {
            let Some(generation) = place.take() else { continue };
            // SAFETY: the place is ours since `take`, and nobody enters it before it is open.
            let inside = unsafe { &mut *place.value.get() };
            *inside = Some(value);
            place.word.fetch_or(OPEN, Ordering::Release);
            return Ok(handle(index, generation));
        }
        Err(value)
    }

    /// Enters the place of a handle; none where it is no handle, or no more. Real-time class: one
    /// addition, and one subtraction when the visit ends.
    pub(super) fn enter(&self, handle: usize) -> Option<Visit<'_, T>> {
        let (index, generation) = parts(handle)?;
        let place = self.places.get(index)?;
        let word = place.word.fetch_add(1, Ordering::Acquire);
        // From here on the addition is taken back by somebody, whatever was found.
        if word & (TAKEN | OPEN) == TAKEN | OPEN && word >> GENERATION_SHIFT == generation {
            // SAFETY: the place is open and we are counted, so nobody writes the value until we
            // have left.
            let inside = unsafe { &*place.value.get() };
            if let Some(value) = inside {
                return Some(Visit { place, value });
            }
        }
        place.word.fetch_sub(1, Ordering::Release);
        None
    }

    /// Takes a value out: forbids new calls, and waits for those inside. None where the handle is
    /// none, or another thread is taking it out. Not for a cycle.
    pub(super) fn remove(&self, handle: usize) -> Option<T> {
        let (index, generation) = parts(handle)?;
        let place = self.places.get(index)?;
        let ours = |word: u64| {
            let open = word & (TAKEN | OPEN) == TAKEN | OPEN;
            (open && word >> GENERATION_SHIFT == generation).then_some(word & !OPEN)
        };
        place.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, ours).ok()?;
        // Bounded by the longest call, which is a wait whose end its caller chose.
        while place.word.load(Ordering::Acquire) & CALLS != 0 {
            std::thread::sleep(LOOK_INTERVAL);
        }
        // SAFETY: the place is closed, so who enters leaves without a look; and nobody is inside.
        let inside = unsafe { &mut *place.value.get() };
        let value = inside.take();
        place.word.fetch_and(!TAKEN, Ordering::Release);
        value
    }
}

impl<T> Place<T> {
    /// Takes the place if it is free; its new generation.
    fn take(&self) -> Option<u64> {
        let taken = |word: u64| {
            let next = (word >> GENERATION_SHIFT).wrapping_add(1) & u64::from(u32::MAX);
            // The calls that are counted meanwhile are of stale handles and take themselves back.
            let next = next.max(1) << GENERATION_SHIFT;
            (word & TAKEN == 0).then_some(next | TAKEN | word & CALLS)
        };
        self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, taken).ok()?;
        Some(self.word.load(Ordering::Relaxed) >> GENERATION_SHIFT)
    }
}

/// The handle of a place and a generation.
fn handle(index: usize, generation: u64) -> usize {
    #[allow(clippy::cast_possible_truncation, reason = "both have 64 bits")]
    let handle = (MARK | generation << 16 | TAIL) as usize;
    handle | index << 8
}

/// The place and the generation of a handle, if it looks like one.
const fn parts(handle: usize) -> Option<(usize, u64)> {
    let handle = handle as u64;
    if handle & MARK_BITS != MARK || handle & 0xff != TAIL {
        return None;
    }
    let generation = handle >> 16 & u32::MAX as u64;
    Some(((handle >> 8 & 0xff) as usize, generation))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn a_handle_is_good_until_its_value_is_taken_out_and_never_again() {
        let table = Table::new();
        let first = table.insert(7).unwrap();
        assert_eq!(*table.enter(first).unwrap(), 7);
        assert_eq!(table.remove(first), Some(7));
        assert!(table.enter(first).is_none() && table.remove(first).is_none());
        let second = table.insert(8).unwrap();
        assert_ne!(first, second, "the same place, another generation");
        assert!(table.enter(first).is_none() && table.remove(first).is_none());
        assert_eq!(*table.enter(second).unwrap(), 8);
    }

    #[test]
    fn what_is_no_handle_is_found_out_without_following_it() {
        let table = Table::new();
        let handle = table.insert(1).unwrap();
        let local = 5;
        for foreign in [0, 1, usize::MAX, std::ptr::from_ref(&local) as usize] {
            assert!(table.enter(foreign).is_none() && table.remove(foreign).is_none());
        }
        for bit in 0..usize::BITS {
            let changed = handle ^ 1 << bit;
            assert!(table.enter(changed).is_none() && table.remove(changed).is_none(), "{bit}");
        }
        assert!(table.enter(handle).is_some());
    }

    #[test]
    fn there_are_as_many_places_as_are_said_and_each_can_be_had_again() {
        let table = Table::new();
        let handles: Vec<_> = (0..PLACES).map(|n| table.insert(n).unwrap()).collect();
        assert_eq!(table.insert(99), Err(99));
        assert_eq!(table.remove(handles[40]), Some(40));
        let again = table.insert(41).unwrap();
        assert_eq!(*table.enter(again).unwrap(), 41);
        assert!(table.enter(handles[40]).is_none());
    }

    #[test]
    fn the_generation_after_the_last_is_not_that_of_a_place_never_used() {
        let table = Table::new();
        let last = u64::from(u32::MAX) << GENERATION_SHIFT;
        table.places[0].word.store(last, Ordering::Relaxed);
        let handle = table.insert(3).unwrap();
        assert_eq!(parts(handle), Some((0, 1)));
    }

    /// Sets its flag when it goes.
    struct Tracked(Arc<AtomicBool>);

    impl Drop for Tracked {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_value_goes_when_those_inside_have_left_while_others_try_their_handles() {
        static TABLE: Table<Tracked> = Table::new();
        for _ in 0..200 {
            let gone = Arc::new(AtomicBool::new(false));
            let handle = TABLE.insert(Tracked(Arc::clone(&gone))).map_err(|_| ()).unwrap();
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        while let Some(visit) = TABLE.enter(handle) {
                            assert!(!visit.0.load(Ordering::SeqCst), "nobody takes it from us");
                        }
                    });
                }
                let removed = scope.spawn(|| TABLE.remove(handle).is_some());
                assert!(removed.join().unwrap());
            });
            assert!(gone.load(Ordering::SeqCst));
        }
        assert!(TABLE.places.iter().all(|p| p.word.load(Ordering::SeqCst) & CALLS == 0));
    }
}
