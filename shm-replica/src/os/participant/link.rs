//! The connection to the daemon: one request, one answer, and what the daemon says unasked.

use std::collections::VecDeque;
use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rt_core::os::clock::MonotonicClock;
use rt_core::time::{Duration, Instant};
use thiserror::Error;

use super::super::connection::Connection;
use super::super::schedule::{give_way, is_modelled};
use super::super::segment::SegmentError;
use crate::attach::{
    MESSAGE_OCTETS_MAX, Malformed, REPLY_OCTETS_MAX, RefusalCode, Reply, Request, TooLong,
    version_of,
};
use crate::schema::Mismatch;
use crate::segment::RegionName;

/// How long a look for a daemon that is not there yet rests.
pub(super) const REST: Duration = Duration::from_millis(5);

/// Why a participant is not attached.
#[derive(Debug, Error)]
pub enum AttachError {
    /// Nobody listens, or this user may not connect.
    #[error("no daemon at {}: {why}{}", path.display(), remedy(why))]
    NoDaemon {
        /// Its socket.
        path: PathBuf,
        /// What the kernel says.
        why: io::Error,
    },
    /// It does not grant what was asked.
    #[error("{}{why}", region.map(|name| format!("region {name}: ")).unwrap_or_default())]
    Refused {
        /// What was asked for.
        region: Option<RegionName>,
        /// For programs.
        code: RefusalCode,
        /// For people.
        why: String,
    },
    /// It did not answer in time.
    #[error("the daemon does not answer: see whether it is stopped or overloaded")]
    Silent,
    /// It hung up.
    #[error("the daemon hung up: its log says why")]
    HungUp,
    /// What it says cannot be understood.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It answered something else.
    #[error("the daemon's answer fits no question: daemon and library are of different builds")]
    OtherAnswer,
    /// The schema is too long to be said.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// What it handed over is no segment that can be used.
    #[error("region {region}: {why}")]
    Segment {
        /// The region.
        region: RegionName,
        /// Why.
        why: SegmentError,
    },
    /// The region is not what this program takes it for.
    #[error("region {region}: {mismatch}")]
    Mismatch {
        /// The region.
        region: RegionName,
        /// The first difference.
        mismatch: Box<Mismatch>,
    },
    /// Its segment is laid out for another image.
    #[error("region {region}: its image has {found} octets, not {wanted}")]
    Size {
        /// The region.
        region: RegionName,
        /// What this program takes it for.
        wanted: usize,
        /// What there is.
        found: usize,
    },
    /// The kernel refuses.
    #[error("cannot {what}: {why}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it did not work.
        why: io::Error,
    },
}

fn remedy(why: &io::Error) -> &'static str {
    match why.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "; start bumplessd, or name its runtime folder"
        }
        io::ErrorKind::PermissionDenied => "; the runtime folder has to let this user in",
        _ => "",
    }
}

/// What was heard, with what came beside it.
#[derive(Debug)]
pub(super) enum Heard {
    Welcome { file: Option<OwnedFd> },
    Registered { index: usize, file: Option<OwnedFd> },
    Attached { index: usize, epoch: u64, file: Option<OwnedFd> },
    Next { index: usize, file: Option<OwnedFd> },
    Segment { index: usize, epoch: u64, file: Option<OwnedFd> },
    Office,
    Done,
    Refused { code: RefusalCode, why: String },
}

impl Heard {
    fn new(octets: &[u8], version: u16, file: Option<OwnedFd>) -> Result<Self, Malformed> {
        let theirs = version_of(octets)?;
        if theirs != version {
            return Err(Malformed::Version(theirs));
        }
        let place = |index: u32| usize::try_from(index).unwrap_or(usize::MAX);
        Ok(match Reply::decode(octets)? {
            Reply::Welcome { .. } => Self::Welcome { file },
            Reply::Registered { index } => Self::Registered { index: place(index), file },
            Reply::Attached { index, epoch } => Self::Attached { index: place(index), epoch, file },
            Reply::Next { index } => Self::Next { index: place(index), file },
            Reply::Segment { index, epoch } => Self::Segment { index: place(index), epoch, file },
            Reply::Office => Self::Office,
            Reply::Done => Self::Done,
            Reply::Refused { code, why } => Self::Refused { code, why: why.to_owned() },
        })
    }

    const fn is_unasked(&self) -> bool {
        matches!(self, Self::Next { .. } | Self::Segment { .. } | Self::Office)
    }
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Link {
    connection: Connection,
    /// The version that is spoken.
    version: u16,
    message: Vec<u8>,
    reply: Vec<u8>,
    /// Said unasked while an answer was awaited.
    unasked: VecDeque<Heard>,
}

impl Link {
    /// Connects and greets, in the newest of some versions that the daemon speaks too; what it
    /// answers, which is no refusal.
    pub(super) fn greet(
        path: &Path,
        hello: &Request<'_>,
        versions: RangeInclusive<u16>,
        until: Instant,
    ) -> Result<(Self, Heard), AttachError> {
        let mut version = *versions.end();
        loop {
            let mut link = Self::open(path, version, until)?;
            match link.ask(hello, None, until) {
                // It refuses in the newest that it speaks.
                Err(AttachError::Malformed(Malformed::Version(theirs)))
                    if theirs < version && versions.contains(&theirs) =>
                {
                    version = theirs;
                }
                answer => return answer.map(|heard| (link, heard)),
            }
        }
    }

    /// Connects, and tries again until `until` where nobody listens yet.
    fn open(path: &Path, version: u16, until: Instant) -> Result<Self, AttachError> {
        let connection = loop {
            match Connection::open(path) {
                Ok(connection) => break connection,
                Err(why) => {
                    let may_come = matches!(
                        why.kind(),
                        io::ErrorKind::NotFound
                            | io::ErrorKind::ConnectionRefused
                            | io::ErrorKind::WouldBlock
                    );
                    let next = MonotonicClock::now().saturating_add(REST);
                    if !may_come || next > until {
                        return Err(AttachError::NoDaemon { path: path.to_owned(), why });
                    }
                    if is_modelled() {
                        give_way();
                    } else {
                        rt_core::os::clock::sleep_until(next);
                    }
                }
            }
        };
        Ok(Self {
            connection,
            version,
            message: vec![0; MESSAGE_OCTETS_MAX],
            reply: vec![0; REPLY_OCTETS_MAX],
            unasked: VecDeque::new(),
        })
    }

    /// Says something and waits for the answer, which is no refusal.
    pub(super) fn ask(
        &mut self,
        request: &Request<'_>,
        file: Option<BorrowedFd<'_>>,
        until: Instant,
    ) -> Result<Heard, AttachError> {
        self.say(request, file)?;
        self.answer(request, until)
    }

    /// Says something; the answer is heard with all else.
    pub(super) fn say(
        &mut self,
        request: &Request<'_>,
        file: Option<BorrowedFd<'_>>,
    ) -> Result<(), AttachError> {
        let message = request.encode_in(self.version, &mut self.message)?;
        self.connection.send(message, file).map_err(|why| match why.raw_os_error() {
            Some(libc::EPIPE | libc::ECONNRESET) => AttachError::HungUp,
            _ => AttachError::System { what: "write to the daemon", why },
        })
    }

    /// Waits for the answer to what was said, which is no refusal.
    pub(super) fn answer(
        &mut self,
        request: &Request<'_>,
        until: Instant,
    ) -> Result<Heard, AttachError> {
        loop {
            match self.receive()? {
                Some(Heard::Refused { code, why }) => {
                    return Err(AttachError::Refused { region: subject(request), code, why });
                }
                Some(heard) if heard.is_unasked() => self.unasked.push_back(heard),
                Some(heard) => return Ok(heard),
                None => self.wait(until)?,
            }
        }
    }

    /// What was said unasked, the oldest first; none when there is no more.
    pub(super) fn hear(&mut self) -> Result<Option<Heard>, AttachError> {
        match self.unasked.pop_front() {
            Some(heard) => Ok(Some(heard)),
            None => self.receive(),
        }
    }

    fn receive(&mut self) -> Result<Option<Heard>, AttachError> {
        match self.connection.receive(&mut self.reply) {
            Ok(Some(came)) => Ok(Some(Heard::new(came.octets, self.version, came.file)?)),
            Ok(None) => Err(AttachError::HungUp),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ECONNRESET) => {
                Err(AttachError::HungUp)
            }
            Err(why) => Err(AttachError::System { what: "read from the daemon", why }),
        }
    }

    fn wait(&self, until: Instant) -> Result<(), AttachError> {
        let left = until.since(MonotonicClock::now());
        if left == Duration::ZERO {
            return Err(AttachError::Silent);
        }
        if is_modelled() {
            give_way();
            return Ok(());
        }
        let timeout = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
        let mut waits = [PollFd::new(self.connection.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waits, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => {
                Err(AttachError::System { what: "wait for the daemon", why: errno.into() })
            }
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

/// The region that a request is about.
const fn subject(request: &Request<'_>) -> Option<RegionName> {
    match request {
        Request::Register(registration) => Some(registration.region),
        Request::Attach { region, .. }
        | Request::Wake { region, .. }
        | Request::Leave { region } => Some(*region),
        Request::Hello { .. } | Request::Ready => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::attach::{VERSION, VERSIONS};
    use crate::book::{Book, Rights};
    use crate::os::broker::{Broker, Event, Host};
    use crate::os::connection::{Listener, Peer};

    struct Anybody;

    impl Host for Anybody {
        fn rights(&self, _: &Peer, _: RegionName, _: RegionName) -> Rights {
            Rights { write: true, read: true }
        }

        fn store_epoch(&mut self, _: RegionName, _: u64) -> io::Result<()> {
            Ok(())
        }

        fn tell(&mut self, _: Event) {}
    }

    /// Greets a daemon of this version as a library would that speaks others; the version that they
    /// agree on.
    fn agreed(test: &str, versions: RangeInclusive<u16>) -> Result<u16, AttachError> {
        let path = std::env::temp_dir().join(format!("bumpless-{test}-{}", std::process::id()));
        let _left = std::fs::remove_file(&path);
        let mut broker = Broker::new(Listener::bind(&path).unwrap(), Book::new(20), 1).unwrap();
        let is_over = AtomicBool::new(false);
        let until = MonotonicClock::now().saturating_add(Duration::from_secs(60));
        let application = RegionName::new("plc").unwrap();
        let hello = Request::Hello { application, library: "another" };
        let greeted = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    broker.turn(&mut Anybody);
                    std::thread::yield_now();
                }
            });
            let greeted = Link::greet(&path, &hello, versions, until);
            is_over.store(true, Ordering::Relaxed);
            greeted
        });
        let _left = std::fs::remove_file(&path);
        greeted.map(|(link, heard)| {
            assert!(matches!(heard, Heard::Welcome { file: Some(_) }), "{heard:?}");
            link.version
        })
    }

    #[test]
    fn a_newer_library_speaks_the_newest_version_that_the_daemon_does() {
        assert_eq!(agreed("same", VERSIONS).unwrap(), VERSION);
        assert_eq!(agreed("newer", VERSION..=VERSION + 7).unwrap(), VERSION);
    }

    #[test]
    fn a_library_that_speaks_none_of_the_daemon_s_versions_says_which_is_to_be_updated() {
        for versions in [VERSION + 1..=VERSION + 2, 0..=0] {
            let refused = agreed("none", versions.clone()).unwrap_err();
            let said = refused.to_string();
            let is_it = matches!(refused, AttachError::Malformed(Malformed::Version(VERSION)));
            assert!(is_it && said.contains("update the older of the two"), "{versions:?}: {said}");
        }
    }
}
