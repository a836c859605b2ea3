//! Segments that the service manager keeps.
//!
//! A segment lives as long as somebody has its descriptor. With systemd's descriptor store the last
//! image outlives the daemon even where no participant does. What comes back is told apart by its
//! name here, and checked like anything else from outside by the broker.

use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sendmsg, socket,
};
use shm_replica::segment::RegionName;

use crate::daemon::journal::Journal;
use crate::os::inherited;

/// What the names of our descriptors begin with.
const PREFIX: &str = "region-";

/// The name under which a segment is kept.
pub(super) fn name(region: RegionName, epoch: u64) -> String {
    format!("{PREFIX}{region}-{epoch}")
}

/// Takes the descriptors that the service manager hands to this process. What has another name than
/// ours have is closed, and told.
pub(super) fn take(journal: &Journal) -> Vec<(String, OwnedFd)> {
    let (ours, others): (Vec<_>, Vec<_>) =
        inherited::take().into_iter().partition(|(name, _)| name.starts_with(PREFIX));
    for (name, _) in others {
        journal.line("warning", &format!("descriptor {name:?} is none of ours: closed"));
    }
    ours
}

/// Tells the service manager what to keep; nothing without one.
#[derive(Debug)]
pub(super) struct Keeper {
    manager: Option<OsString>,
    waiting: Vec<(String, Option<OwnedFd>)>,
}

/// What may wait to be told.
const WAITING_MAX: usize = 256;

impl Keeper {
    pub(super) fn new() -> Self {
        let manager = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty());
        Self { manager, waiting: Vec::new() }
    }

    /// Keeps a segment, from the next [`Self::flush`] on.
    pub(super) fn keep(&mut self, region: RegionName, epoch: u64, segment: BorrowedFd<'_>) {
        if let Ok(file) = segment.try_clone_to_owned() {
            self.push(name(region, epoch), Some(file));
        }
    }

    /// Keeps it no more.
    pub(super) fn forget(&mut self, name: String) {
        self.push(name, None);
    }

    fn push(&mut self, name: String, file: Option<OwnedFd>) {
        if self.manager.is_some() && self.waiting.len() < WAITING_MAX {
            self.waiting.push((name, file));
        }
    }

    /// Tells what waits. Never waits for the service manager: what it does not take now it is told
    /// the next time.
    ///
    /// # Errors
    /// It cannot be told; what waits does not wait any more then.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let Some(manager) = self.manager.as_ref().filter(|_| !self.waiting.is_empty()) else {
            return Ok(());
        };
        let told = tell(manager, &mut self.waiting);
        if told.is_err() {
            self.waiting.clear();
        }
        told
    }
}

fn tell(manager: &OsString, waiting: &mut Vec<(String, Option<OwnedFd>)>) -> io::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    let address = match manager.as_bytes() {
        [b'@', name @ ..] => UnixAddr::new_abstract(name)?,
        path => UnixAddr::new(&OsString::from_vec(path.to_vec())[..])?,
    };
    while let Some((name, file)) = waiting.first() {
        let verb = if file.is_some() { "FDSTORE" } else { "FDSTOREREMOVE" };
        let message = format!("{verb}=1\nFDNAME={name}\n");
        let files = file.as_ref().map(|file| [file.as_fd().as_raw_fd()]);
        let beside: Vec<_> = files.iter().map(|it| ControlMessage::ScmRights(it)).collect();
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let pieces = [IoSlice::new(message.as_bytes())];
        match sendmsg(socket.as_raw_fd(), &pieces, &beside, flags, Some(&address)) {
            Ok(_) => drop(waiting.remove(0)),
            Err(nix::errno::Errno::EAGAIN) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
