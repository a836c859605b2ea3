//! The kernel's own record of what a thread did: trace events, read as text.
//!
//! The thread under test is not asked: it would have to be changed for it, and what it says of
//! itself is what is to be checked. `perf` would read the same events; it is a program of another
//! package that must fit the kernel, and this is a folder of files.
//!
//! | Module | Holds |
//! |---|---|
//! | [`event`] | a line of the record |
//! | [`wake`] | how late a thread runs after it was woken |
//! | [`cost`] | what a thread's system calls cost, and its own code between them |

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub mod cost;
pub mod event;
pub mod wake;

/// Where the kernel keeps it.
const TRACING: &str = "/sys/kernel/tracing";
/// Room for each CPU. An event takes some 60 octets; what does not fit is told, see [`Record`].
const BUFFER_KIB: u32 = 32 * 1024;

/// What times are told in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clock {
    /// Nanoseconds of the monotonic clock, to the microsecond.
    Monotonic,
    /// Ticks of the processor's counter: instructions, where one is a tick.
    Counter,
}

/// A record of its own, which disturbs no other. Removed when dropped.
#[derive(Debug)]
pub struct Tracer {
    folder: PathBuf,
}

/// What was recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The lines, oldest first.
    pub text: String,
    /// Events that did not fit.
    pub lost: u64,
}

impl Tracer {
    /// A record that holds nothing yet.
    ///
    /// # Errors
    /// The privilege is missing, or tracefs is not mounted at its place.
    pub fn create(clock: Clock) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bumpless-{}-{number}", std::process::id());
        let tracer = Self { folder: Path::new(TRACING).join("instances").join(name) };
        fs::create_dir(&tracer.folder)?;
        tracer.write("tracing_on", "0")?;
        tracer.write("buffer_size_kb", &BUFFER_KIB.to_string())?;
        let clock = match clock {
            Clock::Monotonic => "mono",
            Clock::Counter => "x86-tsc",
        };
        tracer.write("trace_clock", clock)?;
        Ok(tracer)
    }

    /// Records an event, as `sched/sched_switch`, where the kernel's filter holds; an empty filter
    /// holds always.
    ///
    /// # Errors
    /// There is no such event, or the filter is none.
    pub fn record(&self, event: &str, filter: &str) -> io::Result<()> {
        if !filter.is_empty() {
            self.write(&format!("events/{event}/filter"), filter)?;
        }
        self.write(&format!("events/{event}/enable"), "1")
    }

    /// Begins.
    ///
    /// # Errors
    /// The kernel's.
    pub fn start(&self) -> io::Result<()> {
        self.write("trace", "")?;
        self.write("tracing_on", "1")
    }

    /// Ends, and gives what there is.
    ///
    /// # Errors
    /// The kernel's.
    pub fn stop(&self) -> io::Result<Record> {
        self.write("tracing_on", "0")?;
        let mut lost = 0;
        for cpu in fs::read_dir(self.folder.join("per_cpu"))? {
            let stats = fs::read_to_string(cpu?.path().join("stats"))?;
            lost += ["overrun: ", "dropped events: "]
                .iter()
                .filter_map(|key| stats.lines().find_map(|line| line.strip_prefix(key)))
                .filter_map(|count| count.trim().parse::<u64>().ok())
                .sum::<u64>();
        }
        Ok(Record { text: fs::read_to_string(self.folder.join("trace"))?, lost })
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        let path = self.folder.join(file);
        fs::write(&path, text)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // A record that stays costs memory until the next start of the machine, nothing more.
        let _ = fs::remove_dir(&self.folder);
    }
}
