//! The connection to the daemon: one request, one answer, and what the daemon says unasked.

use std::collections::VecDeque;
use std::io;
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
    fn new(octets: &[u8], file: Option<OwnedFd>) -> Result<Self, Malformed> {
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
    message: Vec<u8>,
    reply: Vec<u8>,
    /// Said unasked while an answer was awaited.
    unasked: VecDeque<Heard>,
}

impl Link {
    /// Connects, and tries again until `until` where nobody listens yet.
    pub(super) fn open(path: &Path, until: Instant) -> Result<Self, AttachError> {
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
        let message = request.encode(&mut self.message)?;
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
            Ok(Some(came)) => Ok(Some(Heard::new(came.octets, came.file)?)),
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
