//! What the broker asks of the daemon.

use std::io;
use std::os::fd::BorrowedFd;

use rt_core::time::{Duration, Instant};
use shm_replica::book::Rights;
use shm_replica::os::broker::{Event, Host};
use shm_replica::os::connection::Peer;
use shm_replica::segment::RegionName;

use super::epochs::Epochs;
use super::kept::Keeper;
use super::owners::Owners;
use super::rights::RightsTable;
use crate::daemon::journal::Journal;
use crate::report::{DaemonEvent, RegionEvent};

/// What fails again and again is told again after this time.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// See the module's text.
#[derive(Debug)]
pub(super) struct Desk {
    rights: RightsTable,
    owners: Owners,
    pub(super) epochs: Epochs,
    keeper: Keeper,
    /// What happened and was not told yet.
    events: Vec<Event>,
    /// What failed last, and when that was told.
    failed: Option<(String, Instant)>,
}

impl Desk {
    pub(super) fn new(rights: RightsTable, owners: Owners, epochs: Epochs) -> Self {
        let (keeper, events) = (Keeper::new(), Vec::new());
        Self { rights, owners, epochs, keeper, events, failed: None }
    }

    /// Epochs that were being stored may be by now.
    pub(super) fn look_at_disk(&mut self) {
        if let Err(error) = self.epochs.collect() {
            self.events.push(Event::Failed(error.to_string()));
        }
    }

    /// Segments that the service manager keeps for nothing.
    pub(super) fn drop_kept(&mut self, application: RegionName, epoch: u64) {
        self.keeper.forget(application, epoch);
    }

    /// Tells people what happened, and the service manager what it was not told yet: after
    /// everything is done, for neither may keep a takeover waiting.
    pub(super) fn tell_all(&mut self, now: Instant, journal: &mut Journal) {
        let told = self.keeper.flush();
        self.note_kept(told);
        for event in std::mem::take(&mut self.events) {
            if let Event::Failed(what) = &event {
                let known = self.failed.as_ref();
                if known.is_some_and(|(told, at)| told == what && now.since(*at) < TOLD_AGAIN) {
                    continue;
                }
                self.failed = Some((what.clone(), now));
            }
            journal.daemon(now, &DaemonEvent::Region(RegionEvent::from(event)));
        }
    }

    fn note_kept(&mut self, told: io::Result<()>) {
        if let Err(error) = told {
            let what = format!("the service manager does not keep the regions' memory: {error}");
            self.events.push(Event::Failed(what));
        }
    }

    fn note(&mut self, application: RegionName, written: io::Result<()>) {
        if let Err(error) = written {
            let what = format!("the record of who owns {application} cannot be written: {error}");
            self.events.push(Event::Failed(what));
        }
    }
}

impl Host for Desk {
    fn rights(&self, peer: &Peer, _: RegionName, region: RegionName) -> Rights {
        self.rights.of(peer, region)
    }

    fn store_epoch(&mut self, application: RegionName, epoch: u64) -> io::Result<()> {
        self.epochs.store(application, epoch)
    }

    fn store_owner(&mut self, application: RegionName, epoch: u64, owner: &Peer) -> io::Result<()> {
        self.owners.store(application, epoch, owner)
    }

    fn owner_settled(&mut self, application: RegionName) {
        let written = self.owners.settle(application);
        self.note(application, written);
    }

    fn store_standbys(&mut self, application: RegionName, pids: &[i32]) {
        let written = self.owners.set_standbys(application, pids);
        self.note(application, written);
    }

    fn owner_left(&mut self, application: RegionName) {
        let written = self.owners.leave(application);
        self.note(application, written);
    }

    fn keep(&mut self, application: RegionName, epoch: u64, segments: &[BorrowedFd<'_>]) {
        let told = self.keeper.keep(application, epoch, segments);
        self.note_kept(told);
    }

    fn forget(&mut self, application: RegionName, epoch: u64) {
        self.keeper.forget(application, epoch);
    }

    fn tell(&mut self, event: Event) {
        self.events.push(event);
    }
}
