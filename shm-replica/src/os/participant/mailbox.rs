//! A place where one thread leaves a thing and another takes it, the newest only.
//!
//! Both sides are one exchange of a word: neither waits for the other, whichever of them is stopped
//! at whichever instruction. (A bounded queue of a general library was the alternative: a thread
//! that takes from it spins while one that puts is stopped in between, and if the one is real-time
//! and the other is not, on one processor, it spins for ever.)

use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::super::schedule::point;

/// See the module's text.
pub(super) struct Mailbox<T> {
    /// What lies there: made by `Box::into_raw`, and owned by whoever exchanges it for another.
    content: AtomicPtr<T>,
}

impl<T> Mailbox<T> {
    pub(super) const fn new() -> Self {
        Self { content: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Leaves a thing; what had lain there comes back. Real-time class: one exchange.
    pub(super) fn put(&self, thing: Box<T>) -> Option<Box<T>> {
        self.exchange(Box::into_raw(thing))
    }

    /// Takes what lies there. Real-time class: one load, and one exchange if something does.
    pub(super) fn take(&self) -> Option<Box<T>> {
        if self.is_empty() { None } else { self.exchange(ptr::null_mut()) }
    }

    /// Whether nothing lies there.
    pub(super) fn is_empty(&self) -> bool {
        point();
        self.content.load(Ordering::Relaxed).is_null()
    }

    fn exchange(&self, new: *mut T) -> Option<Box<T>> {
        point();
        let old = self.content.swap(new, Ordering::AcqRel);
        // SAFETY: what is not null was made by `Box::into_raw` in `put`, and the exchange has just
        // made this call its only owner; the release of that `put` comes before this acquire.
        (!old.is_null()).then(|| unsafe { Box::from_raw(old) })
    }
}

impl<T> Drop for Mailbox<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

// SAFETY: the mailbox hands whole boxes from thread to thread and shows their content to nobody, so
// it may be shared wherever its things may be sent.
unsafe impl<T: Send> Sync for Mailbox<T> {}
// SAFETY: as above; it owns at most one box.
unsafe impl<T: Send> Send for Mailbox<T> {}

impl<T> fmt::Debug for Mailbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("is_empty", &self.is_empty()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_newest_is_taken_once_and_what_it_replaced_comes_back() {
        let mailbox = Mailbox::new();
        assert!(mailbox.take().is_none() && mailbox.is_empty());
        assert!(mailbox.put(Box::new(1)).is_none());
        assert_eq!(mailbox.put(Box::new(2)).as_deref(), Some(&1));
        assert!(!mailbox.is_empty());
        assert_eq!(mailbox.take().as_deref(), Some(&2));
        assert!(mailbox.take().is_none());
    }

    #[test]
    fn nothing_is_lost_or_had_twice_between_two_threads() {
        const THINGS: u64 = 100_000;
        let mailbox = Arc::new(Mailbox::new());
        let taker = {
            let mailbox = Arc::clone(&mailbox);
            std::thread::spawn(move || {
                let mut sum = 0;
                let mut last = 0;
                while last < THINGS {
                    if let Some(thing) = mailbox.take() {
                        assert!(*thing > last, "in their order");
                        last = *thing;
                        sum += last;
                    } else {
                        std::thread::yield_now();
                    }
                }
                sum
            })
        };
        let mut back = 0;
        for thing in 1..=THINGS {
            back += mailbox.put(Box::new(thing)).map_or(0, |old| *old);
        }
        assert_eq!(taker.join().unwrap() + back, THINGS * (THINGS + 1) / 2);
    }

    #[test]
    fn what_nobody_takes_is_freed_with_it() {
        let thing = Arc::new(());
        let mailbox = Mailbox::new();
        let _ = mailbox.put(Box::new(Arc::clone(&thing)));
        drop(mailbox);
        assert_eq!(Arc::strong_count(&thing), 1);
    }
}
