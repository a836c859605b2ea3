//! The one place of this crate that reads a clock.

use nix::time::{ClockId, clock_gettime};
use rt_core::time::Instant;

/// The time of `CLOCK_MONOTONIC`, which all processes of a host (and all its network namespaces)
/// share: a send instant in a frame can be compared with an arrival on the same host.
#[must_use]
pub fn now() -> Instant {
    // The clock exists on every Linux and the pointer is nix's own, so the call cannot fail; an
    // origin is the harmless answer if it did.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Instant::ORIGIN, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
        Instant::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    })
}
