//! What one thread at a time may use: taken or not taken, nobody waits.
//!
//! Who finds it taken is told so, which is an error of the program that made two calls at once. (A
//! lock was the alternative: it makes the cyclic thread wait for whoever asks, and a lock that is
//! only ever tried is this.)

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};

/// A value that one thread at a time uses.
#[derive(Debug)]
pub(super) struct Turn<T> {
    taken: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached only through a `Taken`, of which there is one at a time.
unsafe impl<T: Send> Sync for Turn<T> {}

/// The right to use the value.
#[derive(Debug)]
pub(super) struct Taken<'t, T>(&'t Turn<T>);

impl<T> Turn<T> {
    pub(super) const fn new(value: T) -> Self {
        Self { taken: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// The value, unless somebody uses it. Real-time class: one exchange.
    pub(super) fn take(&self) -> Option<Taken<'_, T>> {
        // Made only where it is ours: what is dropped gives the turn back.
        (!self.taken.swap(true, Ordering::Acquire)).then(|| Taken(self))
    }
}

impl<T> Deref for Taken<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the value is ours until this is dropped.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Taken<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the value is ours until this is dropped, and this is borrowed mutably.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_it_and_the_next_is_told_so() {
        let turn = Turn::new(1);
        let mut taken = turn.take().unwrap();
        *taken += 1;
        assert!(turn.take().is_none());
        assert!(turn.take().is_none(), "one who is refused gives nothing back");
        drop(taken);
        assert_eq!(*turn.take().unwrap(), 2);
    }
}
