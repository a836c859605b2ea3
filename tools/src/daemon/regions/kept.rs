//! Segments that the service manager keeps.
//!
//! A segment lives as long as somebody has its descriptor. With systemd's descriptor store the last
//! image outlives the daemon even where no participant does. What comes back is told apart by its
//! name here, and checked like anything else from outside by the broker.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sendmsg, socket,
};
use rt_core::limits::REGIONS_MAX;
use shm_replica::segment::RegionName;

use crate::daemon::journal::Journal;
use crate::os::inherited;

/// What the names of our descriptors begin with.
const PREFIX: &str = "regions-";

/// The name under which the segments of an application's epoch are kept.
fn name(application: RegionName, epoch: u64) -> String {
    format!("{PREFIX}{application}-{epoch}")
}

/// What a name says: the application and the epoch.
fn kept_for(name: &str) -> Option<(RegionName, u64)> {
    let (application, epoch) = name.strip_prefix(PREFIX)?.rsplit_once('-')?;
    Some((RegionName::new(application).ok()?, epoch.parse().ok()?))
}

/// Segments of an application's epoch.
pub(super) type Kept = BTreeMap<(RegionName, u64), Vec<OwnedFd>>;

/// Takes the descriptors that the service manager hands to this process. What has another name than
/// ours have is closed, and told.
pub(super) fn take(journal: &Journal) -> Kept {
    let mut kept = Kept::new();
    for (name, file) in inherited::take() {
        match kept_for(&name) {
            Some(of) => kept.entry(of).or_default().push(file),
            None => {
                journal.line("warning", &format!("descriptor {name:?} is none of ours: closed"));
            }
        }
    }
    kept
}

/// Tells the service manager what to keep; nothing without one.
///
/// The segments of an epoch go to it in one message, so that it has all of them or none: a cut of
/// which it kept only a part would be no state. They go there before their owner is told that it is
/// the owner: so it has what the owner does, whoever is killed next.
#[derive(Debug)]
pub(super) struct Keeper {
    manager: Option<OsString>,
    waiting: VecDeque<Message>,
}

#[derive(Debug)]
struct Message {
    name: String,
    /// To be kept; none: what is kept under this name is to be kept no more.
    files: Vec<OwnedFd>,
}

/// What may wait to be told: a manager that takes so few messages takes none.
const WAITING_MAX: usize = 256;
const _: () = assert!(REGIONS_MAX <= 253, "as many descriptors go with one message");

impl Keeper {
    pub(super) fn new() -> Self {
        let manager = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty());
        Self { manager, waiting: VecDeque::new() }
    }

    /// Has the segments of an epoch kept.
    ///
    /// # Errors
    /// They are not.
    pub(super) fn keep(
        &mut self,
        application: RegionName,
        epoch: u64,
        segments: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        if self.manager.is_none() || segments.is_empty() {
            return Ok(());
        }
        let files: io::Result<_> = segments.iter().map(BorrowedFd::try_clone_to_owned).collect();
        self.push(name(application, epoch), files?);
        self.flush()
    }

    /// Has them kept no more, from the next [`Self::flush`] on.
    pub(super) fn forget(&mut self, application: RegionName, epoch: u64) {
        if self.manager.is_some() {
            self.push(name(application, epoch), Vec::new());
        }
    }

    fn push(&mut self, name: String, files: Vec<OwnedFd>) {
        self.waiting.push_back(Message { name, files });
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
        let told = tell(manager, &mut self.waiting).and_then(|()| {
            let is_stuck = self.waiting.len() > WAITING_MAX;
            if is_stuck { Err(io::Error::other("it takes no messages")) } else { Ok(()) }
        });
        if told.is_err() {
            self.waiting.clear();
        }
        told
    }
}

fn tell(manager: &OsString, waiting: &mut VecDeque<Message>) -> io::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    let address = match manager.as_bytes() {
        [b'@', name @ ..] => UnixAddr::new_abstract(name)?,
        path => UnixAddr::new(&OsString::from_vec(path.to_vec())[..])?,
    };
    while let Some(Message { name, files }) = waiting.front() {
        let verb = if files.is_empty() { "FDSTOREREMOVE" } else { "FDSTORE" };
        let message = format!("{verb}=1\nFDNAME={name}\n");
        let files: Vec<_> = files.iter().map(|file| file.as_fd().as_raw_fd()).collect();
        let rights = [ControlMessage::ScmRights(&files)];
        let beside = if files.is_empty() { &[] } else { &rights[..] };
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let pieces = [IoSlice::new(message.as_bytes())];
        match sendmsg(socket.as_raw_fd(), &pieces, beside, flags, Some(&address)) {
            Ok(_) => drop(waiting.pop_front()),
            Err(Errno::EAGAIN) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::netlab::Scratch;
    use crate::os::store::DescriptorStore;
    use std::fs::File;

    #[test]
    fn the_manager_has_all_segments_of_an_epoch_or_none_however_slow_it_is() {
        let scratch = Scratch::new().unwrap();
        let socket = scratch.path().join("notify");
        let mut store = DescriptorStore::bind(&socket).unwrap();
        let mut keeper = Keeper { manager: Some(socket.into()), waiting: VecDeque::new() };
        let files = [0, 1, 2].map(|it| File::create(scratch.path().join(it.to_string())).unwrap());
        let segments = files.each_ref().map(|it| it.as_fd());
        let plc = RegionName::new("plc").unwrap();
        let mut epochs = 1..;
        // More than its socket takes while it does not listen.
        while keeper.waiting.is_empty() {
            keeper.keep(plc, epochs.next().unwrap(), &segments).unwrap();
        }
        let last = epochs.start - 1;
        for epoch in 1..last {
            keeper.forget(plc, epoch);
        }
        store.hear().unwrap();
        assert!(store.names().eq(vec!["regions-plc-1"; 3]), "each file is kept once: {store:?}");
        keeper.flush().unwrap();
        while !keeper.waiting.is_empty() {
            store.hear().unwrap();
            keeper.flush().unwrap();
        }
        store.hear().unwrap();
        assert_eq!(store.names().count(), 0, "{store:?}");
        keeper.keep(plc, last, &segments).unwrap();
        store.hear().unwrap();
        assert!(store.names().eq(vec![&name(plc, last)[..]; 3]), "{store:?}");
    }

    #[test]
    fn a_manager_that_is_gone_or_never_listens_is_told_of() {
        let scratch = Scratch::new().unwrap();
        let socket = scratch.path().join("notify");
        let mut keeper = Keeper { manager: Some(socket.clone().into()), waiting: VecDeque::new() };
        let plc = RegionName::new("plc").unwrap();
        let file = File::open("/dev/null").unwrap();
        assert!(keeper.keep(plc, 1, &[file.as_fd()]).is_err(), "nobody is there");
        let _store = DescriptorStore::bind(&socket).unwrap();
        let told = (1..).map(|epoch| keeper.keep(plc, epoch, &[file.as_fd()]));
        let until_told = told.take(2 * WAITING_MAX).take_while(Result::is_ok).count();
        assert!(until_told < 2 * WAITING_MAX, "what waits is bounded, and the loss told");
        assert!(keeper.waiting.is_empty());
    }
}
