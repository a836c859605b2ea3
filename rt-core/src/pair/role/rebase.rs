//! The same machine, seen from a later origin of time: for a model checker, which has to recognise
//! that two moments are alike.

use super::Machine;
use super::damping::Changes;
use crate::time::{Duration, Instant};

impl Machine {
    /// The machine as it would be if this node's clock showed `own` less and the peer's clock
    /// `peer` less, from the first instant on. What lies before the new origin is put there, what
    /// lies at `horizon` or later stays.
    #[doc(hidden)]
    #[must_use]
    pub fn rebased(&self, own: Duration, peer: Duration, horizon: Instant) -> Self {
        let back = |at: Instant, by: Duration| if at < horizon { at - by } else { at };
        let mut it = self.clone();
        it.timers.map(|deadline| back(deadline, own));
        it.promised_for = back(it.promised_for, own);
        it.changes = Changes::default();
        if let Some(heard) = &mut it.peer {
            heard.came_at = back(heard.came_at, own);
            heard.sent_at = back(heard.sent_at, peer);
        }
        it
    }

    /// A machine that has come up, and goes on with another promise: one that does not hold.
    #[doc(hidden)]
    #[must_use]
    pub fn with_promise(&self, promise: Duration) -> Self {
        let mut it = self.clone();
        it.terms.promise = promise;
        it
    }
}
