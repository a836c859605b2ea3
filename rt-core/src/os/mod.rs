//! The operating system half: the places where this project reads clocks, starts threads and asks
//! the kernel for its promises, and where it checks that they were kept.
//!
//! A daemon uses it in this order: [`memory::tune_allocator`], [`memory::lock_all`],
//! [`dma_latency::DmaLatency::hold`], [`thread::RtThread::spawn`] for each thread of its plan; and
//! each thread, when all it needs is there, [`freeze::freeze_this_thread`].
//!
//! | Module | Holds |
//! |---|---|
//! | [`clock`] | the one place that reads clocks, and the sleep until an instant |
//! | [`thread`] | threads with a policy, a CPU and a touched stack; what the kernel says of them |
//! | [`memory`] | locking, prefault, the C library's heap kept in hand |
//! | [`dma_latency`] | no deep sleep states while we run |
//! | [`freeze`] | the trap for allocations on a thread that said it was done with them |
//! | [`wake`] | waking a thread that waits in `poll` |
//! | [`trace`] | rings of the event trace that two threads own together |
//! | [`recorder`] | how late a thread's cycles are, recorded on that thread |
//! | [`tail`] | what recorded lateness says of the lateness that was not seen |
//! | [`jitter`] | what follows for the timers of a takeover, and the J that is stored |
//! | [`host`] | is this host fit for real time, and what to change |

pub mod clock;
pub mod dma_latency;
pub mod freeze;
pub mod host;
pub mod jitter;
pub mod memory;
mod procfs;
pub mod recorder;
pub mod tail;
pub mod thread;
pub mod trace;
pub mod wake;

pub use procfs::parse_cpu_list;
