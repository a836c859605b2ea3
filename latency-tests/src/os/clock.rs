//! The clock, under the name that this crate uses.

use rt_core::os::clock::MonotonicClock;
use rt_core::time::Instant;

/// The time of `CLOCK_MONOTONIC`, which all processes of a host (and all its network namespaces)
/// share: a send instant in a frame can be compared with an arrival on the same host.
#[must_use]
pub fn now() -> Instant {
    MonotonicClock::now()
}
