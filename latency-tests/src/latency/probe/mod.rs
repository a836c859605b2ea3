//! What is measured.
//!
//! | Module | Holds |
//! |---|---|
//! | [`heartbeat`] | how long a beat takes to the peer and back, on each LAN |
//! | [`shm`] | from the publication of an image to its being observed by another process |
//! | [`wakeup`] | how late a thread wakes that asked to be woken at a certain instant |
//! | [`wire`] | how long a frame takes through host port, LANs and discard, by stage |

use std::collections::BTreeMap;

use rt_core::os::thread::Policy;
use rt_core::time::Duration;
use tools::exit::Failure;

use super::report::Series;

mod flights;
pub mod heartbeat;
pub mod shm;
mod steering;
mod usage;
pub mod wakeup;
pub mod wire;

/// From when a probe's threads are there to the first planned instant: more than is left to do.
const RUN_UP: Duration = Duration::from_millis(20);

/// What every probe is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Where it measures: one that stands there twice has two threads, where a probe has one for
    /// each.
    pub cpus: Vec<usize>,
    /// Of the threads that measure.
    pub policy: Policy,
    /// From one planned instant to the next.
    pub interval: Duration,
    /// By so much each thread's instants come after those of the one before.
    pub distance: Duration,
    /// Planned instants of each thread.
    pub cycles: u64,
    /// Whether it measures where the kernel grants less than it should, and says what was missing.
    pub allow_non_rt: bool,
}

/// How far a probe has come.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Progress {
    /// Cycles that are over, of all threads.
    pub over: u64,
    /// Cycles that were planned, of all threads.
    pub planned: u64,
    /// Cycles that were lost so far.
    pub lost: u64,
    /// The greatest sample so far.
    pub max_ns: u64,
}

/// A probe that measures, until its cycles are over or it is stopped.
pub trait Probing {
    /// How far it has come. Never waits for a thread that measures.
    fn progress(&self) -> Progress;

    /// Whether all its threads are done.
    fn is_over(&self) -> bool;

    /// Ends it with the cycles that are on their way.
    fn stop(&self);

    /// What only this probe has, for the settings of its run: complete when it is over.
    fn more(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// Waits for its threads; what they found.
    ///
    /// # Errors
    /// It cannot tell what it found, or found nothing because of something that was missing.
    fn finish(self: Box<Self>) -> Result<Vec<Series>, Failure>;
}
