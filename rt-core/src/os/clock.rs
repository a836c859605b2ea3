//! The one place that reads clocks.
//!
//! Everything else takes its instants as arguments (clippy's `disallowed-methods` keeps it so).
//! There are two origins, which all processes of a host share and no clock step moves: that of
//! [`MonotonicClock`], which stands still while the machine is suspended, and that of
//! [`BootClock`], which goes on. Instants of the two are never compared. What has to do with other
//! machines, which do not sleep when this one does, is measured by [`BootClock`].
//!
//! `clock_gettime(2)` runs in the vDSO on every clock source that real time may use: no system
//! call, some 20 ns. On a host whose clock source is not `tsc` (a finding of `os::host`) it is a
//! system call.

use std::fs;
use std::io;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

use crate::time::{Duration, Instant};

/// `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct MonotonicClock;

impl MonotonicClock {
    /// The present instant. Thread: any. Real-time class: no system call (vDSO).
    #[must_use]
    pub fn now() -> Instant {
        Instant::from_nanos(read_ns(ClockId::CLOCK_MONOTONIC))
    }
}

/// `CLOCK_BOOTTIME`: the time since boot, suspended or not.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct BootClock;

impl BootClock {
    /// The present instant. Thread: any. Real-time class: no system call (vDSO).
    #[must_use]
    pub fn now() -> Instant {
        Instant::from_nanos(read_ns(ClockId::CLOCK_BOOTTIME))
    }
}

/// How long the machine has been suspended since boot: by so much [`BootClock`] is ahead of
/// [`MonotonicClock`]. Never too much, and too little only by as long as this thread was kept from
/// running between two readings, each of eight times. Real-time class: as above.
#[must_use]
pub fn suspended() -> Duration {
    const ATTEMPTS: usize = 8;
    let once = || {
        let boot = read_ns(ClockId::CLOCK_BOOTTIME);
        boot.saturating_sub(read_ns(ClockId::CLOCK_MONOTONIC))
    };
    Duration::from_nanos((0..ATTEMPTS).map(|_| once()).max().unwrap_or(0))
}

/// Nanoseconds since 1970 (`CLOCK_REALTIME`): for people and captures, never for a decision, for
/// this clock is stepped. Real-time class: as above.
#[must_use]
pub fn realtime_ns() -> u64 {
    read_ns(ClockId::CLOCK_REALTIME)
}

/// Sleeps until `deadline` of [`MonotonicClock`]; returns at once when it has passed. Signals do
/// not end the sleep early. Real-time class: this is a wait.
pub fn sleep_until(deadline: Instant) {
    let nanos = deadline.as_nanos();
    let request = TimeSpec::new(signed(nanos / 1_000_000_000), signed(nanos % 1_000_000_000));
    // An absolute deadline: after a signal the same call goes on, without drift. Any other error is
    // a malformed request, which this one is not; then not to sleep is the safe side.
    while clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &request)
        == Err(Errno::EINTR)
    {}
}

/// The kernel's random name for this boot: instants of two boots must never be compared.
///
/// # Errors
/// `/proc` is not mounted, or hides the file.
pub fn boot_id() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned())
}

fn read_ns(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).expect("Linux has had these three clocks since 2.6.39");
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_back() {
        let mut last = MonotonicClock::now();
        for _ in 0..10_000 {
            let now = MonotonicClock::now();
            assert!(now >= last);
            last = now;
        }
        assert!(BootClock::now() >= last, "boot time includes monotonic time");
        assert!(last + suspended() <= BootClock::now());
        assert!(realtime_ns() > 1_600_000_000_000_000_000, "after the year 2020");
    }

    #[test]
    fn a_sleep_lasts_at_least_until_its_deadline() {
        let deadline = MonotonicClock::now() + Duration::from_millis(2);
        sleep_until(deadline);
        assert!(MonotonicClock::now() >= deadline);
        // A deadline that has passed, and the origin, are no sleep at all; this test would hang.
        sleep_until(deadline);
        sleep_until(Instant::ORIGIN);
    }

    #[test]
    fn the_boot_has_one_name() {
        let id = boot_id().unwrap();
        assert_eq!(id.len(), 36);
        assert_eq!(boot_id().unwrap(), id);
    }
}
