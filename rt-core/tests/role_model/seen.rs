//! What happened at least once in any behaviour: a model that explores nothing finds nothing.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use rt_core::pair::role::{Cause, Transition};
use rt_core::pair::{NodeId, State};

/// A change of state: whose, from, to, why.
pub(crate) type Change = (NodeId, State, State, Cause);

static SEEN: Mutex<BTreeSet<Change>> = Mutex::new(BTreeSet::new());

thread_local! {
    /// What this thread told already: most changes are old news.
    static TOLD: RefCell<BTreeSet<Change>> = const { RefCell::new(BTreeSet::new()) };
}

/// All that was seen, in all models of this program.
pub(crate) struct Seen;

impl Seen {
    pub(crate) fn note(node: NodeId, transition: &Transition) {
        let change = (node, transition.from, transition.to, transition.cause);
        if TOLD.with_borrow_mut(|told| told.insert(change)) {
            SEEN.lock().unwrap_or_else(PoisonError::into_inner).insert(change);
        }
    }

    pub(crate) fn all() -> BTreeSet<Change> {
        SEEN.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
