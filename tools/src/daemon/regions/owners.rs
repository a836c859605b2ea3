//! Who owns which epoch: a file for each application in the runtime folder.
//!
//! It is written before an epoch is used, and tells another life of the daemon exactly which epoch
//! is the newest and whether its owner still lives. It counts within one boot, so it may lie in
//! memory and needs no disk. A process is known by its number and the time of its start: a number
//! alone may have been given to another.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rt_core::os::clock;
use serde::{Deserialize, Serialize};
use shm_replica::os::broker::{AwaitedOwner, Heir};
use shm_replica::os::connection::Peer;
use shm_replica::os::process;
use shm_replica::segment::RegionName;

use super::file_of;
use crate::exit::Failure;

const FOLDER_NAME: &str = "owners";
const KIND: &str = "owner";
const VERSION: u32 = 1;
/// A record is some hundred octets; a file much larger is none of ours.
const FILE_OCTETS_MAX: u64 = 4_096;

/// What the file holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    version: u32,
    boot_id: String,
    application: String,
    /// The newest epoch that was used, or is about to be.
    epoch: u64,
    /// None: nobody owns it any more.
    owner: Option<Owner>,
    /// Who stands by, and so has the state.
    #[serde(default)]
    standbys: Vec<Standby>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owner {
    pid: i32,
    /// See [`process::start_time`].
    start_time: u64,
    /// Whether it was told; before, the daemon may have ended in between.
    settled: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Standby {
    pid: i32,
    start_time: u64,
}

/// What a former life left of an application.
#[derive(Debug)]
pub(super) struct Former {
    pub(super) epoch: u64,
    /// The owner, if it lives.
    pub(super) owner: Option<AwaitedOwner>,
    /// Those who stood by and live.
    pub(super) heirs: Vec<Heir>,
}

/// The records.
#[derive(Debug)]
pub(super) struct Owners {
    folder: PathBuf,
    boot_id: String,
    /// As written last.
    records: Vec<(RegionName, Record)>,
}

impl Owners {
    /// The records of a runtime folder.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn open(runtime_dir: &Path) -> Result<Self, Failure> {
        let folder = runtime_dir.join(FOLDER_NAME);
        let made = fs::DirBuilder::new().mode(0o700).recursive(true).create(&folder);
        made.map_err(|error| fault(&folder, &error))?;
        let boot_id = clock::boot_id().map_err(|error| {
            Failure::failed(format!("/proc/sys/kernel/random/boot_id: {error}"), "mount /proc")
        })?;
        Ok(Self { folder, boot_id, records: Vec::new() })
    }

    /// What was written down in this boot.
    ///
    /// # Errors
    /// There is a file that cannot be read or believed: who it speaks of may be acting.
    pub(super) fn read(&mut self, name: RegionName) -> Result<Option<Former>, Failure> {
        let path = file_of(&self.folder, name, KIND);
        let record = match read(&path) {
            Ok(record) => record,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(not_believed(&path, name, &error.to_string())),
        };
        if record.version != VERSION || record.application != name.as_str() {
            return Err(not_believed(&path, name, "it is of another version or application"));
        }
        if record.boot_id != self.boot_id {
            return Ok(None);
        }
        let look = |pid, start_time| {
            living(pid, start_time).map_err(|error| {
                let what = format!("process {pid} cannot be looked at: {error}");
                not_believed(&path, name, &what)
            })
        };
        let mut former = Former { epoch: record.epoch, owner: None, heirs: Vec::new() };
        if let Some(Owner { pid, start_time, settled }) = record.owner {
            let awaited = |process| AwaitedOwner { pid, process, may_not_know: !settled };
            former.owner = look(pid, start_time)?.map(awaited);
        }
        for &Standby { pid, start_time } in &record.standbys {
            let process = look(pid, start_time)?;
            former.heirs.extend(process.map(|process| Heir { pid, process, is_back: false }));
        }
        self.records.push((name, record));
        Ok(Some(former))
    }

    /// Writes down who is about to own an epoch.
    ///
    /// # Errors
    /// The folder cannot be written, or the process has ended.
    pub(super) fn store(&mut self, name: RegionName, epoch: u64, peer: &Peer) -> io::Result<()> {
        let start_time = process::start_time(peer.pid).map_err(|error| {
            io::Error::other(format!(
                "/proc/{}/stat: {error} (where /proc is mounted with hidepid, the service needs \
                 CAP_SYS_PTRACE)",
                peer.pid
            ))
        })?;
        let owner = Some(Owner { pid: peer.pid, start_time, settled: false });
        let record = Record {
            version: VERSION,
            boot_id: self.boot_id.clone(),
            application: name.as_str().to_owned(),
            epoch,
            owner,
            standbys: self.standbys_of(name),
        };
        self.write(name, record)
    }

    /// Who stands by.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(super) fn set_standbys(&mut self, name: RegionName, pids: &[i32]) -> io::Result<()> {
        // Who has ended meanwhile stands by no more.
        let standby = |&pid: &i32| {
            process::start_time(pid).ok().map(|start_time| Standby { pid, start_time })
        };
        let standbys = pids.iter().filter_map(standby).collect();
        self.change(name, |record| record.standbys = standbys)
    }

    fn standbys_of(&self, name: RegionName) -> Vec<Standby> {
        let known = self.records.iter().find(|(known, _)| *known == name);
        known.map(|(_, record)| record.standbys.clone()).unwrap_or_default()
    }

    /// The owner was told.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(super) fn settle(&mut self, name: RegionName) -> io::Result<()> {
        self.change(name, |record| {
            if let Some(owner) = &mut record.owner {
                owner.settled = true;
            }
        })
    }

    /// Nobody owns the newest epoch.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(super) fn leave(&mut self, name: RegionName) -> io::Result<()> {
        self.change(name, |record| record.owner = None)
    }

    fn change(&mut self, name: RegionName, change: impl FnOnce(&mut Record)) -> io::Result<()> {
        let known = self.records.iter().find(|(known, _)| *known == name);
        let Some((_, record)) = known else { return Ok(()) };
        let mut changed = record.clone();
        change(&mut changed);
        if changed == *record { Ok(()) } else { self.write(name, changed) }
    }

    /// Whole or not at all. What is in memory stays as the file is.
    fn write(&mut self, name: RegionName, record: Record) -> io::Result<()> {
        let path = file_of(&self.folder, name, KIND);
        let new = file_of(&self.folder, name, "new");
        let text = serde_json::to_vec(&record)?;
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&new)?.write_all(&text)?;
        fs::rename(new, path)?;
        match self.records.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = record,
            None => self.records.push((name, record)),
        }
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<Record> {
    if fs::metadata(path)?.len() > FILE_OCTETS_MAX {
        return Err(io::Error::new(ErrorKind::InvalidData, "it is too long"));
    }
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// A process, if it is still the one that was meant, and lives.
fn living(pid: i32, start_time: u64) -> io::Result<Option<OwnedFd>> {
    let process = match process::open(pid) {
        Ok(process) => process,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    // The number cannot be given again as long as the process lives that the descriptor stands for;
    // so the order is: descriptor, time, and a look whether it still lives.
    let same = match process::start_time(pid) {
        Ok(time) => time == start_time,
        Err(error) if is_gone(&error) => false,
        Err(error) => return Err(error),
    };
    Ok(Some(process).filter(|process| same && !has_ended(process)))
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ESRCH | libc::ENOENT | libc::EINVAL))
}

fn has_ended(process: &OwnedFd) -> bool {
    let mut waits = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    poll(&mut waits, PollTimeout::ZERO) == Ok(1)
}

fn not_believed(path: &Path, name: RegionName, why: &str) -> Failure {
    Failure::failed(
        format!("{}: cannot tell who owns application {name}: {why}", path.display()),
        format!("end all processes of {name}, remove the file, and start again"),
    )
}

fn fault(folder: &Path, error: &io::Error) -> Failure {
    Failure::failed(
        format!("{}: cannot be written: {error}", folder.display()),
        "see that its file system is writable and not full, or name another by --runtime-dir",
    )
}
