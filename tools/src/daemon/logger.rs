//! Lines on stderr, written by a thread of their own.
//!
//! Whoever reads stderr may stop reading: a pager, a journal that hangs. A write to it then blocks
//! for good, and neither the control thread nor an orderly end may wait for that. What finds the
//! queue full is left out and counted.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use rt_core::os::clock::{self, MonotonicClock};
use rt_core::time::Duration;

/// Lines that may wait: some seconds of the most that the journal writes.
const LINES: usize = 256;
const STACK_OCTETS: usize = 128 * 1024;
/// How long the end of the daemon waits for lines to be read.
const PATIENCE: Duration = Duration::from_millis(300);
const STEP: Duration = Duration::from_millis(5);

/// The queue's end for those who have something to say.
#[derive(Debug)]
pub struct Logger {
    lines: Option<SyncSender<String>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    left_out: AtomicU64,
    is_done: AtomicBool,
    tid: AtomicI32,
}

impl Logger {
    /// Starts the thread. Where none can be had, nothing is written.
    #[must_use]
    pub fn start() -> Self {
        let (lines, queue) = sync_channel(LINES);
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new().name("log".to_owned()).stack_size(STACK_OCTETS);
        let started = thread.spawn(move || write_all(&queue, &theirs)).is_ok();
        Self { lines: started.then_some(lines), shared }
    }

    /// Says a line. Never waits.
    pub fn say(&self, line: String) {
        if let Some(lines) = &self.lines
            && lines.try_send(line).is_err()
        {
            self.shared.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The kernel's number of the thread; none before it runs.
    #[must_use]
    pub fn tid(&self) -> Option<i32> {
        Some(self.shared.tid.load(Ordering::Relaxed)).filter(|&tid| tid != 0)
    }
}

impl Drop for Logger {
    /// Gives the last lines some time to be read.
    fn drop(&mut self) {
        if self.lines.take().is_none() {
            return;
        }
        let deadline = MonotonicClock::now() + PATIENCE;
        while !self.shared.is_done.load(Ordering::Acquire) && MonotonicClock::now() < deadline {
            clock::sleep_until(MonotonicClock::now() + STEP);
        }
    }
}

fn write_all(queue: &Receiver<String>, shared: &Shared) {
    shared.tid.store(nix::unistd::gettid().as_raw(), Ordering::Relaxed);
    for mut line in queue {
        let left_out = shared.left_out.swap(0, Ordering::Relaxed);
        let mut stderr = std::io::stderr().lock();
        if left_out > 0 {
            let _ = writeln!(stderr, "bumplessd: {left_out} lines left out: nobody read them");
        }
        // One write: where stdout goes to the same file, `ready` is not to land within the line.
        line.push('\n');
        // A stderr that is closed changes nothing.
        let _ = stderr.write_all(line.as_bytes());
    }
    shared.is_done.store(true, Ordering::Release);
}
