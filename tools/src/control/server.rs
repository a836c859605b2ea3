//! The daemon's side of the control socket.
//!
//! The control thread drives it: wait in `poll` on [`ControlServer::poll_fds`] for at most
//! [`ControlServer::poll_timeout`], then call [`ControlServer::handle_ready`]. No call here waits
//! for a client. A client beyond the [`CONTROL_CLIENTS_MAX`]th gets a `busy` reply and is closed,
//! and so does one that may only ask, where others such have three quarters of the places.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use rt_core::limits::CONTROL_CLIENTS_MAX;
use rt_core::time::{Duration, Instant};

use super::folder::{self, Folder};
use super::protocol::{RefusalCode, Request};
use super::session::{Next, Session, refusal_line};
use super::socket_path;
use crate::config::SocketGroup;
use crate::exit::Failure;
use crate::report::{Document, Event};

/// Clients that may only ask: however many they are, there is room for who may order something.
const GUESTS_MAX: usize = CONTROL_CLIENTS_MAX - CONTROL_CLIENTS_MAX / 4;
/// Octets that may wait for all clients together.
const BACKLOG_OCTETS_MAX: usize = 32 * 1024 * 1024;
/// Clients accepted in one turn, served or refused: a flood of connections has to come back.
const ACCEPTS_MAX: usize = 32;
/// How long no client is accepted after the process ran out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How soon a source that said [`Answer::Pending`] is asked again.
const PENDING_TURN: Duration = Duration::from_millis(2);
/// The longest wait; a daemon has a turn at least this often.
const IDLE_TURN: Duration = Duration::from_secs(1);

/// What a source has to say to a request.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// This.
    Document(Document),
    /// Not yet: the server asks again in the next turns, until its deadline.
    Pending,
    /// It cannot be had now, and why.
    Unavailable(String),
    /// What was ordered cannot be done, and why.
    NotPossible(String),
}

/// Where the server gets what clients ask for: the control thread's own state. Not called on a
/// real-time thread; must not wait.
pub trait ControlSource {
    /// Answers a request that came at `asked`. A source that has to fetch something from another
    /// thread starts that, says [`Answer::Pending`], and is asked again with the same `asked`:
    /// what was fetched after it is fresh enough, for other clients too.
    fn answer(&mut self, request: &Request, asked: Instant) -> Answer;

    /// The oldest event that is kept and whose sequence is greater than `sequence`.
    fn event_after(&mut self, sequence: u64) -> Option<Event>;
}

/// The control socket of a daemon and its clients.
#[derive(Debug)]
pub struct ControlServer {
    listener: UnixListener,
    path: PathBuf,
    identity: (u64, u64),
    folder: Folder,
    sessions: Vec<Session>,
    accept_again: Instant,
    counters: ControlCounters,
}

/// What the server counted. All values only rise.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ControlCounters {
    /// Clients accepted and served.
    pub clients: u64,
    /// Clients refused because too many were connected.
    pub clients_refused: u64,
}

impl ControlServer {
    /// Creates the runtime folder if need be and listens in it. Call it before anything else of the
    /// daemon is created: it is what tells a second daemon of the same name.
    ///
    /// # Errors
    /// Another daemon uses the folder (code 1), the folder or the group is not usable (code 2), or
    /// a permission is missing (code 3).
    pub fn bind(runtime_dir: &Path, group: &SocketGroup) -> Result<Self, Failure> {
        let folder = Folder::take(runtime_dir)?;
        let path = socket_path(runtime_dir);
        folder::refuse_unless_stale(&path)?;
        let listener = folder::listen_in(runtime_dir, &path, group)?;
        let metadata = fs::metadata(&path).map_err(|error| folder::fault(runtime_dir, &error))?;
        Ok(Self {
            listener,
            path,
            identity: (metadata.dev(), metadata.ino()),
            folder,
            sessions: Vec::with_capacity(CONTROL_CLIENTS_MAX),
            accept_again: Instant::ORIGIN,
            counters: ControlCounters::default(),
        })
    }

    /// What the control thread waits for, beside its own descriptors.
    pub fn poll_fds(&self, now: Instant) -> impl Iterator<Item = PollFd<'_>> {
        let listener = PollFd::new(self.listener.as_fd(), PollFlags::POLLIN);
        let listener = (now >= self.accept_again).then_some(listener);
        listener.into_iter().chain(self.session_fds())
    }

    fn session_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.sessions.iter().map(|session| PollFd::new(session.fd(), session.interest()))
    }

    /// The longest that the control thread may wait before the next turn. A daemon with new events
    /// for a follower has its turn when it likes.
    #[must_use]
    pub fn poll_timeout(&self, now: Instant) -> Duration {
        let paused = (now < self.accept_again).then_some(self.accept_again);
        let deadlines = self.sessions.iter().map(Session::deadline).chain(paused);
        let nearest = deadlines.min().map_or(IDLE_TURN, |deadline| deadline.since(now));
        let pending = self.sessions.iter().any(Session::is_pending);
        nearest.min(if pending { PENDING_TURN } else { IDLE_TURN })
    }

    /// Accepts who waits, reads, asks the source, writes, and closes who is done, too slow or gone.
    /// Never waits.
    pub fn handle_ready<S: ControlSource>(&mut self, now: Instant, source: &mut S) {
        // Sessions first: who leaves makes room for who comes.
        self.step_sessions(now, source);
        let known = self.sessions.len();
        if now >= self.accept_again {
            self.accept(now);
        }
        if self.sessions.len() > known {
            self.step_sessions(now, source);
        }
    }

    /// How many clients are connected.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.sessions.len()
    }

    /// See [`ControlCounters`].
    #[must_use]
    pub const fn counters(&self) -> ControlCounters {
        self.counters
    }

    fn step_sessions<S: ControlSource>(&mut self, now: Instant, source: &mut S) {
        let mut fds: Vec<PollFd<'_>> = self.session_fds().collect();
        if fds.is_empty() {
            return;
        }
        // Without its answer no session is known to be ready; deadlines still pass.
        let answered = poll(&mut fds, PollTimeout::ZERO).is_ok();
        let ready =
            |fd: &PollFd<'_>| fd.revents().filter(|_| answered).unwrap_or(PollFlags::empty());
        let mut ready: Vec<PollFlags> = fds.iter().map(ready).collect();
        ready.reverse();
        let mut backlog: usize = self.sessions.iter().map(Session::backlog_octets).sum();
        self.sessions.retain_mut(|session| {
            let revents = ready.pop().unwrap_or(PollFlags::empty());
            backlog -= session.backlog_octets();
            let room = BACKLOG_OCTETS_MAX.saturating_sub(backlog);
            let next = session.step(now, revents, room, source);
            backlog += session.backlog_octets();
            next == Next::Keep
        });
    }

    fn has_room_for(&self, session: &Session) -> bool {
        let is_guest = |it: &&Session| !it.may_order();
        let guests = || self.sessions.iter().filter(is_guest).count();
        self.sessions.len() < CONTROL_CLIENTS_MAX && (session.may_order() || guests() < GUESTS_MAX)
    }

    fn accept(&mut self, now: Instant) {
        for _ in 0..ACCEPTS_MAX {
            let client = match self.listener.accept() {
                Ok((client, _)) => OwnedFd::from(client),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return,
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => continue,
                    _ => {
                        // Out of descriptors or memory: the listener stays readable, and looking
                        // at it again at once would keep this thread busy.
                        self.accept_again = now + ACCEPT_PAUSE;
                        return;
                    }
                },
            };
            let session = Session::new(client, now);
            if self.has_room_for(&session) {
                self.counters.clients += 1;
                self.sessions.push(session);
            } else {
                self.counters.clients_refused += 1;
                let message =
                    format!("{} clients are connected; ask again later", self.sessions.len());
                let line = refusal_line(RefusalCode::Busy, message);
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                // One that does not take a line into its empty buffer is gone.
                let _ = send(session.fd().as_raw_fd(), &line, flags);
            }
        }
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        let ours = fs::metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if ours {
            let _ = fs::remove_file(&self.path);
        }
        self.folder.release();
    }
}
