//! What takes a system call to prove; the rest is proved in `tests/recorder`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::thread;

use super::*;
use crate::os::clock::{MonotonicClock, sleep_until};

/// A thread that the kernel ends at its first system call but its last one.
struct Mute {
    tid: AtomicI32,
    recorded: AtomicU64,
}

/// Lets a thread record under strict seccomp, if asked with one system call in between; returns
/// when the thread is gone.
fn record_mutely(speaks: bool) -> u64 {
    let mute = Arc::new(Mute { tid: AtomicI32::new(0), recorded: AtomicU64::new(0) });
    let plan = Plan::new(Instant::ORIGIN, Duration::from_millis(1));
    let mut recorder = Recorder::new(plan).unwrap();
    let shared = Arc::clone(&mute);
    let started = Arc::new(AtomicBool::new(false));
    let start = Arc::clone(&started);
    drop(thread::spawn(move || {
        shared.tid.store(nix::unistd::gettid().as_raw(), Ordering::Relaxed);
        start.store(true, Ordering::Release);
        // SAFETY: two numbers; from here on this thread is ended when it makes a system call other
        // than `read`, `write`, `exit` and `sigreturn`. Nothing waits for what it holds: its memory
        // and its stack are left as they are.
        let entered = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_STRICT) };
        let mut planned = Instant::ORIGIN;
        for n in 0..500_000u64 {
            let late = if n % 1_000 == 7 { 90_000_000_000 } else { n * 7_919 % 3_000_000 };
            planned = recorder.record(planned, planned + Duration::from_nanos(late)).next;
            if n % 500 == 3 {
                recorder.record_lost(planned);
                planned += Duration::from_millis(1);
            }
            if speaks && n == 1_000 {
                // SAFETY: takes nothing and touches nothing; the kernel ends the thread for it.
                unsafe { libc::syscall(libc::SYS_getpid) };
            }
        }
        if entered == 0 {
            shared.recorded.store(recorder.seen().samples(), Ordering::Release);
        }
        // SAFETY: ends this thread alone, without what the library does at a thread's end, which
        // would take other system calls. Nothing on its stack is used by another thread.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }));
    let deadline = MonotonicClock::now() + Duration::from_secs(120);
    let gone = || {
        let tid = mute.tid.load(Ordering::Relaxed);
        started.load(Ordering::Acquire) && !Path::new(&format!("/proc/self/task/{tid}")).exists()
    };
    while !gone() {
        assert!(MonotonicClock::now() < deadline, "the thread does not end");
        sleep_until(MonotonicClock::now() + Duration::from_millis(5));
    }
    mute.recorded.load(Ordering::Acquire)
}

#[test]
fn a_recording_thread_makes_no_system_call() {
    assert_eq!(record_mutely(false), 500_000);
    // The same with one call: so it would have been noticed.
    assert_eq!(record_mutely(true), 0);
}
