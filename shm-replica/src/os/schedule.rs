//! Points at which a test may have another thread go on.
//!
//! A test runs what ships, thread for thread, and decides at each of these points who goes on: at
//! each message, each change of a page or a seat, each exchange of a mailbox. Elsewhere there are
//! none of them.

#[cfg(test)]
pub(crate) use imp::model;
pub(crate) use imp::{give_way, is_modelled, point};

#[cfg(not(test))]
mod imp {
    #[inline(always)]
    pub(crate) const fn point() {}

    #[inline(always)]
    pub(crate) const fn give_way() {}

    #[inline(always)]
    pub(crate) const fn is_modelled() -> bool {
        false
    }
}

#[cfg(test)]
mod imp {
    use std::cell::Cell;

    thread_local! {
        /// All threads of a model run on one thread of the machine's.
        static MODELLED: Cell<bool> = const { Cell::new(false) };
    }

    pub(crate) fn point() {
        if is_modelled() {
            // Any operation on an atomic of the model's is one.
            let any = shuttle::sync::atomic::AtomicBool::new(false);
            let _looked = any.load(std::sync::atomic::Ordering::SeqCst);
        }
    }

    /// In the place of a wait: others go on first.
    pub(crate) fn give_way() {
        if is_modelled() {
            shuttle::thread::yield_now();
        }
    }

    pub(crate) fn is_modelled() -> bool {
        MODELLED.get()
    }

    /// Runs a model on this thread.
    pub(crate) fn model(run: impl FnOnce()) {
        MODELLED.set(true);
        run();
        MODELLED.set(false);
    }
}
