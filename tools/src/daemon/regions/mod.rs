//! Regions on the daemon's side: the broker with all that it asks of the daemon.
//!
//! The control thread drives it as it drives the rest: it waits for [`Regions::poll_fds`] and calls
//! [`Regions::turn`]. A thread of its own would be one more that has to be told of everything, for
//! work that is done in microseconds and happens when processes come and go.
//!
//! | Module | Holds |
//! |---|---|
//! | `desk` | what the broker asks of the daemon |
//! | `owners` | who owns which epoch, written down for another life of the daemon |
//! | `epochs` | the bound of all epochs, on a disk |
//! | `kept` | segments that the service manager keeps |
//! | `rights` | who may do what |
//! | `place` | the socket's place |
//! | `shown` | what there is, as documents |

use std::cmp::Reverse;
use std::path::Path;

use nix::poll::{PollFd, PollFlags};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rt_core::limits::{PARTICIPANTS_MAX, REGIONS_MAX};
use rt_core::time::Instant;
use shm_replica::book::Book;
use shm_replica::os::broker::{AwaitedOwner, Broker, Heir};
use shm_replica::segment::RegionName;

mod desk;
mod epochs;
mod kept;
mod owners;
mod place;
mod rights;
pub mod shown;

use super::journal::Journal;
use crate::config::regions::ApplicationConfig;
use crate::config::{DaemonConfig, RegionsConfig};
use crate::exit::Failure;
use crate::report::{DaemonEvent, RegionEvent, Switchover};
use desk::Desk;
use epochs::Epochs;
use owners::{Former, Owners};
pub(crate) use place::SOCKET_NAME;
use place::Socket;
use rights::RightsTable;

/// Descriptors that as many participants as there may be need, each with each region.
const FILES: u64 = ((REGIONS_MAX + 3) * PARTICIPANTS_MAX + 4 * REGIONS_MAX) as u64;

/// The regions of a daemon.
#[derive(Debug)]
pub struct Regions {
    broker: Broker,
    desk: Desk,
    /// Goes with this.
    _socket: Socket,
}

/// What is known of an application at start.
struct Known {
    epoch: u64,
    owner: Option<AwaitedOwner>,
    heirs: Vec<Heir>,
}

impl Regions {
    /// Reads what former lives left and listens. The runtime folder is ours by now.
    ///
    /// # Errors
    /// A name is unknown here (code 2), a file cannot be read, written or believed (code 1), or a
    /// permission is missing (code 3).
    pub fn start(
        config: &DaemonConfig,
        regions: &RegionsConfig,
        journal: &mut Journal,
        now: Instant,
    ) -> Result<Self, Failure> {
        let rights = RightsTable::resolve(regions)?;
        raise_file_limit();
        let names: Vec<&str> = regions.applications.iter().map(|it| it.name.as_str()).collect();
        let mut owners = Owners::open(&config.runtime_dir)?;
        let mut epochs = Epochs::open(&config.state_dir(), regions.epoch, journal)?;
        let mut book = Book::new(regions.cost_share_max_percent);
        let mut awaited = Vec::new();
        for application in &regions.applications {
            let known = known(application, &mut owners, &mut epochs, regions.epoch, journal)?;
            // As many as there is room for were configured, each once.
            let _ = book.add_application(application.name, application.takeover, known.epoch);
            awaited.push((application.name, known.owner, known.heirs));
        }
        for region in &regions.regions {
            let added = book.add_region(region.name, region.application);
            if let Some(id) = added.ok().filter(|_| region.by_name) {
                book.let_versions_differ(id);
            }
        }
        book.set_in_charge(regions.in_charge, &mut |_| {});
        let (socket, listener) = Socket::bind(&config.runtime_dir)?;
        if let Some(warning) = socket.reach(&config.runtime_dir, &rights) {
            journal.line("warning", &warning);
        }
        let broker = Broker::new(listener, book, instance()?).map_err(|error| {
            Failure::failed(format!("/proc/sys/kernel/random/boot_id: {error}"), "mount /proc")
        })?;
        let desk = Desk::new(rights, owners, epochs);
        let mut this = Self { broker, desk, _socket: socket };
        for (application, owner, heirs) in awaited {
            this.broker.await_heirs(application, heirs);
            if let Some(owner) = owner {
                let event = RegionEvent::OwnerAwaited(application, owner.pid);
                journal.daemon(now, &DaemonEvent::Region(event));
                this.broker.await_owner(application, owner);
            }
        }
        this.adopt(kept::take(journal), journal);
        journal.line("info", &format!("applications are served: {}", names.join(", ")));
        Ok(this)
    }

    /// Takes the segments that the service manager kept, the newest first: those behind it are
    /// refused then. An epoch of which all are is not kept any more.
    fn adopt(&mut self, kept: kept::Kept, journal: &Journal) {
        let mut kept: Vec<_> = kept.into_iter().collect();
        kept.sort_by_key(|((_, epoch), _)| Reverse(*epoch));
        for ((application, epoch), files) in kept {
            let mut is_of_use = false;
            for file in files {
                let text = match self.broker.adopt(application, epoch, file) {
                    Ok(region) => {
                        is_of_use = true;
                        format!("region {region}: the segment of epoch {epoch} was kept")
                    }
                    Err(why) => format!("a segment that was kept is not used: {why}"),
                };
                journal.line("info", &text);
            }
            if !is_of_use {
                self.desk.drop_kept(application, epoch);
            }
        }
    }

    /// What the control thread waits for.
    pub fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let disk = self.desk.epochs.as_fd().map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        self.broker.poll_fds().chain(disk)
    }

    /// Hears participants and does what follows. Never waits.
    pub fn turn(&mut self, now: Instant, journal: &mut Journal) {
        self.desk.look_at_disk();
        self.broker.turn(&mut self.desk);
        self.desk.tell_all(now, journal);
    }

    /// Makes a standby active by order. Without a name the only application is meant.
    ///
    /// # Errors
    /// Why nobody takes over.
    pub fn switch_over(
        &mut self,
        application: Option<RegionName>,
        now: Instant,
        journal: &mut Journal,
    ) -> Result<Switchover, String> {
        let application = match application {
            Some(application) => application,
            None => self.only_application()?,
        };
        let done = self.broker.switch_over(application, &mut self.desk);
        self.desk.tell_all(now, journal);
        let (peer, epoch) = done.map_err(|refused| refused.to_string())?;
        Ok(Switchover {
            schema: crate::report::SCHEMA,
            application: application.as_str().to_owned(),
            epoch,
            pid: peer.pid,
        })
    }

    /// Gives up the last state of a region.
    ///
    /// # Errors
    /// Why not.
    pub fn drop_state(
        &mut self,
        region: RegionName,
        now: Instant,
        journal: &mut Journal,
    ) -> Result<(), String> {
        let done = self.broker.drop_state(region, &mut self.desk);
        self.desk.tell_all(now, journal);
        done.map_err(|refused| refused.to_string())?;
        journal.line("info", &format!("region {region}: its last state was given up by order"));
        Ok(())
    }

    fn only_application(&self) -> Result<RegionName, String> {
        let applications = self.broker.applications();
        match applications.as_slice() {
            [only] => Ok(only.name),
            several => {
                let names: Vec<_> = several.iter().map(|it| it.name.as_str()).collect();
                Err(format!(
                    "several applications are configured ({}): name one with --application",
                    names.join(", ")
                ))
            }
        }
    }
}

/// The newest epoch of an application, and whether its owner lives. What was written down in this
/// boot is exact; otherwise the bound on the disk is above all that were used.
fn known(
    application: &ApplicationConfig,
    owners: &mut Owners,
    epochs: &mut Epochs,
    lowest: Option<u64>,
    journal: &Journal,
) -> Result<Known, Failure> {
    let name = application.name;
    let bound = epochs.read(name)?;
    let Former { epoch, owner, heirs } = match owners.read(name)? {
        Some(former) => former,
        None => {
            let lowest = lowest.map_or(0, |lowest| lowest.saturating_sub(1));
            if bound.is_none() {
                let place = epochs.path(name);
                journal.line(
                    "info",
                    &format!(
                        "{}: no epochs of {name} are stored: it begins after {lowest}",
                        place.display()
                    ),
                );
            }
            let epoch = bound.unwrap_or(0).max(lowest);
            Former { epoch, owner: None, heirs: Vec::new() }
        }
    };
    epochs.begin(name, epoch, bound)?;
    Ok(Known { epoch, owner, heirs })
}

/// A participant takes three descriptors, and one for each region that it writes. Where the limit
/// cannot be raised it is what it is: who comes beyond it is refused.
fn raise_file_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < FILES
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(FILES).max(soft), hard);
    }
}

/// A number that no other life of the daemon has had.
fn instance() -> Result<u64, Failure> {
    super::secret()
}

/// A file of one application in a folder.
fn file_of(folder: &Path, name: RegionName, kind: &str) -> std::path::PathBuf {
    folder.join(format!("{name}.{kind}"))
}
