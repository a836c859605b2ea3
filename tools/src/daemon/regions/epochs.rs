//! The bound of all epochs, on a disk: a file for each application in the state folder.
//!
//! An epoch must never come twice, whatever ends. To store each one before it is used would have a
//! takeover wait for a disk; so a bound is stored that lies ahead, and is moved on, beside
//! everything else, long before it is reached. Who has nothing better than the bound goes on behind
//! it: numbers are left out, none comes twice.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rt_core::os::clock::MonotonicClock;
use rt_core::time::{Duration, Instant};
use shm_replica::crc::Crc;
use shm_replica::segment::RegionName;

use super::file_of;
use crate::daemon::journal::Journal;
use crate::exit::Failure;
use crate::os::durable::Durable;

const KIND: &str = "epoch";
const MAGIC: &str = "bumpless-epoch-1";
/// How far the bound lies ahead when it is moved.
const STEP: u64 = 64;
/// It is moved when fewer than these are left.
const LEFT_MIN: u64 = STEP / 2;
/// A disk that refused is tried again after this time.
const AGAIN: Duration = Duration::from_secs(1);
/// A line; a file much longer is none of ours.
const FILE_OCTETS_MAX: u64 = 256;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Epochs {
    folder: PathBuf,
    disk: Durable,
    /// Whether the configuration says where to begin.
    has_lowest: bool,
    bounds: Vec<Bound>,
}

#[derive(Debug)]
struct Bound {
    name: RegionName,
    /// The newest epoch that was used, or was to be.
    newest: u64,
    /// All epochs up to this one may be used.
    stored: u64,
    /// What is being stored.
    asked: Option<u64>,
    /// Why it could not be moved the last time.
    trouble: Option<String>,
    /// When it may be tried again, after the disk refused.
    again_at: Instant,
}

impl Bound {
    /// Whether it is to be moved on now.
    fn is_due(&self, now: Instant) -> bool {
        let is_near = self.stored < self.newest.saturating_add(LEFT_MIN);
        is_near && self.asked.is_none() && now >= self.again_at
    }

    fn refused(&mut self, place: &Path, error: &io::Error) -> io::Error {
        let what = format!("{}: cannot be written: {error}", place.display());
        self.again_at = MonotonicClock::now() + AGAIN;
        self.trouble = Some(what.clone());
        io::Error::other(what)
    }
}

impl Epochs {
    /// The epochs of a state folder, which is made if need be.
    ///
    /// # Errors
    /// It cannot be used.
    pub(super) fn open(
        folder: &Path,
        lowest: Option<u64>,
        journal: &Journal,
    ) -> Result<Self, Failure> {
        let made = fs::DirBuilder::new().mode(0o755).recursive(true).create(folder);
        let opened = made.and_then(|()| Durable::open(folder));
        let disk = opened.map_err(|error| fault(folder, &error))?;
        if let Some(why) = disk.plain() {
            let text = format!(
                "io_uring is refused ({why}): epochs are stored by calls that wait for the disk"
            );
            journal.line("info", &text);
        }
        Ok(Self { folder: folder.to_owned(), disk, has_lowest: lowest.is_some(), bounds: vec![] })
    }

    /// The file of an application.
    pub(super) fn path(&self, name: RegionName) -> PathBuf {
        file_of(&self.folder, name, KIND)
    }

    /// The bound that is stored; none where nothing is.
    ///
    /// # Errors
    /// There is a file that cannot be read or believed, and the configuration does not say where to
    /// begin.
    pub(super) fn read(&self, name: RegionName) -> Result<Option<u64>, Failure> {
        let path = self.path(name);
        let why = match read(&path, name) {
            Ok(bound) => return Ok(Some(bound)),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            // What is there is replaced.
            Err(_) if self.has_lowest => return Ok(None),
            Err(error) => error,
        };
        Err(Failure::failed(
            format!("{}: the epochs of application {name} cannot be told: {why}", path.display()),
            "write epoch = NUMBER under [regions], a number above every epoch that was ever used \
             (`bumpless events` of the last days says which were), and start again",
        ))
    }

    /// Begins to give out epochs after `newest`. Waits for the disk if the bound has to be moved.
    ///
    /// # Errors
    /// It cannot be stored.
    pub(super) fn begin(
        &mut self,
        name: RegionName,
        newest: u64,
        stored: Option<u64>,
    ) -> Result<(), Failure> {
        let mut stored = stored.unwrap_or(0);
        if stored < newest.saturating_add(LEFT_MIN) {
            stored = newest.saturating_add(STEP);
            let written = self.disk.store_now(&file_name(name), &line(name, stored));
            written.map_err(|error| fault(&self.path(name), &error))?;
        }
        let again_at = Instant::ORIGIN;
        self.bounds.push(Bound { name, newest, stored, asked: None, trouble: None, again_at });
        Ok(())
    }

    /// Whether an epoch may be used; moves the bound on, beside everything else.
    ///
    /// # Errors
    /// It lies beyond the bound.
    pub(super) fn store(&mut self, name: RegionName, epoch: u64) -> io::Result<()> {
        let index = self.bounds.iter().position(|bound| bound.name == name);
        let index = index.ok_or(ErrorKind::NotFound)?;
        self.bounds[index].newest = epoch;
        // While there are epochs left a disk that refuses is for the next turn to tell of.
        let moved = self.move_on(index, MonotonicClock::now());
        if epoch <= self.bounds[index].stored {
            return Ok(());
        }
        moved?;
        Err(io::Error::other(format!("{} is not written yet", self.path(name).display())))
    }

    fn move_on(&mut self, index: usize, now: Instant) -> io::Result<()> {
        let bound = &mut self.bounds[index];
        if !bound.is_due(now) {
            return Ok(());
        }
        let ahead = bound.newest.saturating_add(STEP);
        let file = file_name(bound.name);
        match self.disk.store(&file, line(bound.name, ahead)) {
            Ok(()) => bound.asked = Some(ahead),
            Err(error) => return Err(bound.refused(&self.folder.join(file), &error)),
        }
        Ok(())
    }

    /// Takes note of what is stored by now, and tries again what was refused.
    ///
    /// # Errors
    /// Something could not be stored.
    pub(super) fn collect(&mut self) -> io::Result<()> {
        let mut told = Ok(());
        for (file, done) in self.disk.finished() {
            let of = |bound: &&mut Bound| file_name(bound.name) == file;
            let Some(bound) = self.bounds.iter_mut().find(of) else { continue };
            let asked = bound.asked.take();
            match done {
                Ok(()) => {
                    bound.stored = asked.unwrap_or(bound.stored);
                    bound.trouble = None;
                }
                Err(error) => told = Err(bound.refused(&self.folder.join(&file), &error)),
            }
        }
        let now = MonotonicClock::now();
        for index in 0..self.bounds.len() {
            if let Err(error) = self.move_on(index, now) {
                told = Err(error);
            }
        }
        told
    }

    /// What is wrong now, a sentence each.
    pub(super) fn alarms(&self) -> impl Iterator<Item = String> {
        self.bounds.iter().filter_map(|bound| {
            let left = bound.stored.saturating_sub(bound.newest);
            Some(format!(
                "application {}: {}; after {left} more takeovers nobody becomes active: see why, \
                 or name another folder by state_dir under [regions]",
                bound.name,
                bound.trouble.as_ref()?
            ))
        })
    }

    /// Readable when something may be stored by now.
    pub(super) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.disk.as_fd()
    }
}

fn file_name(name: RegionName) -> String {
    format!("{name}.{KIND}")
}

fn line(name: RegionName, bound: u64) -> Vec<u8> {
    let text = format!("{MAGIC} {name} {bound}");
    format!("{text} {:08x}\n", checksum(&text)).into_bytes()
}

fn checksum(text: &str) -> u32 {
    Crc::new().extend_padded(text.as_bytes()).value()
}

fn read(path: &Path, name: RegionName) -> io::Result<u64> {
    let damaged = |why| io::Error::new(ErrorKind::InvalidData, why);
    if fs::metadata(path)?.len() > FILE_OCTETS_MAX {
        return Err(damaged("the file is too long"));
    }
    let whole = fs::read_to_string(path)?;
    let (text, sum) = whole.trim_end().rsplit_once(' ').ok_or_else(|| damaged("damaged"))?;
    if u32::from_str_radix(sum, 16) != Ok(checksum(text)) {
        return Err(damaged("damaged: its checksum does not fit"));
    }
    let bound = text.strip_prefix(MAGIC).and_then(|rest| rest.trim_start().split_once(' '));
    match bound {
        Some((found, bound)) if found == name.as_str() => {
            bound.parse().map_err(|_| damaged("damaged"))
        }
        _ => Err(damaged("it is of another application or version")),
    }
}

fn fault(place: &Path, error: &io::Error) -> Failure {
    let remedy = "name a folder that can be written by state_dir under [regions]";
    let message = format!("regions.state_dir: {}: {error}", place.display());
    match error.kind() {
        ErrorKind::PermissionDenied => Failure::missing(message, remedy),
        _ => Failure::failed(message, remedy),
    }
}
