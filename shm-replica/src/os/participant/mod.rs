//! A participant: what a control application links.
//!
//! | Phase | Calls |
//! |---|---|
//! | configure | [`Setup::new`], [`Setup::register`], [`Setup::attach`] |
//! | activate | [`Setup::activate`]: connects, registers, maps, starts the service thread |
//! | cyclic | [`Cyclic::begin`], [`Cyclic::commit`] … on one thread |
//! | at any time, on any thread | [`Participant`] |
//! | deactivate | [`Participant::deactivate`] |
//!
//! A thread of ordinary priority speaks with the daemon; see `service`. What the cyclic thread
//! needs to know stands in a page that the daemon writes.
//!
//! (A library without a thread of its own was the alternative: then the cyclic thread would have to
//! read a socket and map memory, or somebody else would have to remember to.)

mod attachment;
mod chain;
mod cost;
mod cyclic;
mod link;
mod mailbox;
mod options;
mod part;
#[cfg(test)]
mod schedules;
mod service;
mod shared;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rt_core::limits::REGIONS_MAX;
use rt_core::os::clock::{MonotonicClock, sleep_until};
use rt_core::os::thread::RtThread;

pub use cyclic::{Cycle, CycleError, Cyclic, Restored};
pub use link::AttachError;
pub use options::{Options, ReaderOptions, RegionOptions, WrongRegion};

use crate::page::Office;
use attachment::{NotAttached, Plan};
use link::REST;
use options::Region;
use service::Service;
use shared::Shared;

/// A participant that is being configured.
#[derive(Debug)]
pub struct Setup {
    options: Options,
    regions: Vec<Region>,
}

impl Setup {
    /// A participant of no regions yet.
    #[must_use]
    pub const fn new(options: Options) -> Self {
        Self { options, regions: Vec::new() }
    }

    /// Adds a region that it writes when it is active, and follows while it stands by; the region's
    /// number in all calls.
    ///
    /// # Errors
    /// The region cannot be so.
    pub fn register(&mut self, options: RegionOptions) -> Result<usize, WrongRegion> {
        self.add(Region::written(options)?)
    }

    /// Adds a region that it reads; the region's number in all calls.
    ///
    /// # Errors
    /// The region cannot be so.
    pub fn attach(&mut self, options: ReaderOptions) -> Result<usize, WrongRegion> {
        self.add(Region::read(options)?)
    }

    fn add(&mut self, region: Region) -> Result<usize, WrongRegion> {
        if self.regions.len() == REGIONS_MAX {
            return Err(WrongRegion::TooMany);
        }
        if self.regions.iter().any(|it| it.name == region.name) {
            return Err(WrongRegion::Twice(region.name));
        }
        self.regions.push(region);
        Ok(self.regions.len() - 1)
    }

    /// Measures what commits cost, connects to the daemon, registers, and starts the service
    /// thread. Waits for the daemon as long as the options say. Not for a real-time thread: it
    /// allocates and waits.
    ///
    /// # Errors
    /// It is not attached then, and nothing is left of the attempt.
    pub fn activate(self) -> Result<(Participant, Cyclic), AttachError> {
        let Options { application, socket, class, cycle, patience } = self.options;
        let commit_cost_ns = self.regions.iter().map(cost::commit_cost_ns).collect();
        let plan = Plan { application, class, cycle, regions: self.regions, commit_cost_ns };
        let plan = Arc::new(plan);
        let until = MonotonicClock::now().saturating_add(patience);
        let attachment = loop {
            match plan.attach(&socket, None, until) {
                Ok(attachment) => break attachment,
                // It ended in the midst of that; another one may come.
                Err(NotAttached { why: AttachError::HungUp, .. })
                    if MonotonicClock::now() < until =>
                {
                    sleep_until(MonotonicClock::now().saturating_add(REST));
                }
                Err(NotAttached { why, .. }) => return Err(why),
            }
        };
        let (service, shared) = Service::new(Arc::clone(&plan), socket, attachment)
            .map_err(|why| AttachError::System { what: "make a descriptor to be woken by", why })?;
        let cyclic = Cyclic::new(Arc::clone(&shared), Arc::clone(&plan));
        let thread = service.start()?;
        Ok((Participant { plan, shared, thread: Some(thread) }, cyclic))
    }
}

/// A participant that is attached. Dropped, it is detached.
#[derive(Debug)]
pub struct Participant {
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    thread: Option<RtThread>,
}

/// What is known of a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegionInfo {
    /// The epoch of the segment in force; zero before the first.
    pub epoch: u64,
    /// What a commit was measured to cost here, in ns; zero where it is only read.
    pub commit_cost_ns: u64,
    /// Octets of its image, where it is written.
    pub image_octets: usize,
    /// Slots of its ring, where it is written.
    pub slots: usize,
    /// Of its schema; zero where there is none.
    pub schema_hash: u64,
}

impl Participant {
    /// Role and epoch, as the daemon says. Thread: any. Real-time class: one load.
    #[must_use]
    pub fn office(&self) -> Office {
        self.shared.seat().page.office()
    }

    /// Whether the application may act now. Thread: any. Real-time class: three loads.
    #[must_use]
    pub fn may_act(&self) -> bool {
        self.shared.may_act()
    }

    /// Whether the daemon is there. Thread: any.
    #[must_use]
    pub fn has_daemon(&self) -> bool {
        self.shared.has_daemon.load(Ordering::Acquire)
    }

    /// The number of the daemon's life that this participant is attached to, or was last. Thread:
    /// any.
    #[must_use]
    pub fn daemon_life(&self) -> u64 {
        self.shared.seat().page.instance()
    }

    /// Why the daemon did not take this participant back, for people; empty where it did.
    #[must_use]
    pub fn trouble(&self) -> String {
        self.shared.trouble()
    }

    /// A descriptor that is readable when the role may have changed since
    /// [`Self::clear_changed`]. Thread: any.
    #[must_use]
    pub fn changed(&self) -> BorrowedFd<'_> {
        self.shared.changed.as_fd()
    }

    /// Takes what [`Self::changed`] tells.
    pub fn clear_changed(&self) {
        self.shared.changed.clear();
    }

    /// What is known of a region. Thread: any.
    #[must_use]
    pub fn region(&self, region: usize) -> Option<RegionInfo> {
        let known = self.plan.regions.get(region)?;
        let seat = self.shared.seat();
        let written = known.written.map(|it| it.layout);
        Some(RegionInfo {
            epoch: seat.page.region_epoch(seat.places[region]),
            commit_cost_ns: self.plan.commit_cost_ns.get(region).copied().unwrap_or(0),
            image_octets: written.map_or(0, |it| it.image_octets()),
            slots: written.map_or(0, |it| it.slots()),
            schema_hash: known.schema().map_or(0, |it| it.hash()),
        })
    }

    /// Leaves: if it is active, a standby takes over. Waits for the service thread.
    pub fn deactivate(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        self.shared.stops.store(true, Ordering::Release);
        self.shared.wake.signal();
        if let Some(thread) = self.thread.take() {
            // Its socket is closed either way.
            let _ended = thread.join();
        }
    }
}

impl Drop for Participant {
    fn drop(&mut self) {
        self.stop();
    }
}
