//! One client of the control socket, from accept to close.
//!
//! A session never waits: each step does what its socket allows now. Everything it holds is
//! bounded: a request by [`REQUEST_OCTETS_MAX`], a reply by [`REPLY_OCTETS_MAX`], a follower's
//! backlog by [`FOLLOW_OCTETS_MAX`], its life by a deadline in each phase: for the request line,
//! for the answer, for reading a whole reply; for a follower, for reading anything of what waits.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{MsgFlags, getsockopt, recv, send};
use nix::unistd::geteuid;
use rt_core::limits::CONTROL_CLIENT_PATIENCE;
use rt_core::time::{Duration, Instant};

use super::protocol::{REPLY_OCTETS_MAX, REQUEST_OCTETS_MAX, Refusal, RefusalCode, Reply, Request};
use super::server::{Answer, ControlSource};
use crate::report::Document;

/// How long the daemon may take to have the answer: less than a client waits.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(3);
/// Events wait for a follower that reads slowly up to this many octets; then they wait in the log,
/// which forgets the oldest.
const FOLLOW_OCTETS_MAX: usize = 64 * 1024;
/// Calls to send in one step, so that a client that reads as fast as we write cannot keep us.
const SENDS_MAX: usize = 16;
/// Octets in one send.
const CHUNK_OCTETS: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Session {
    socket: OwnedFd,
    phase: Phase,
    out: Vec<u8>,
    sent: usize,
    deadline: Instant,
    may_order: bool,
}

#[derive(Debug)]
enum Phase {
    Reading { line: Vec<u8> },
    Pending { request: Request, asked: Instant },
    Replying { follow_after: Option<u64> },
    Following { after: u64 },
}

/// Whether a session goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    Keep,
    Close,
}

impl Session {
    pub(super) fn new(socket: OwnedFd, now: Instant) -> Self {
        let peer = getsockopt(&socket, PeerCredentials);
        let is_ours = |uid: u32| uid == 0 || uid == geteuid().as_raw();
        Self {
            may_order: peer.is_ok_and(|peer| is_ours(peer.uid())),
            socket,
            phase: Phase::Reading { line: Vec::new() },
            out: Vec::new(),
            sent: 0,
            deadline: now + CONTROL_CLIENT_PATIENCE,
        }
    }

    /// Whether the client is root or the daemon's own user: the group may look only.
    pub(super) const fn may_order(&self) -> bool {
        self.may_order
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// What to wait for; a hang-up is reported in any case.
    pub(super) fn interest(&self) -> PollFlags {
        match self.phase {
            Phase::Reading { .. } => PollFlags::POLLIN,
            _ if self.sent < self.out.len() => PollFlags::POLLOUT,
            _ => PollFlags::empty(),
        }
    }

    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) const fn is_pending(&self) -> bool {
        matches!(self.phase, Phase::Pending { .. })
    }

    /// Octets that wait to be read by the client.
    pub(super) const fn backlog_octets(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Does what can be done now. `room_octets`: how much more may wait for all clients together.
    pub(super) fn step<S: ControlSource>(
        &mut self,
        now: Instant,
        revents: PollFlags,
        room_octets: usize,
        source: &mut S,
    ) -> Next {
        if revents.intersects(PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL)
            && !revents.contains(PollFlags::POLLIN)
        {
            return Next::Close;
        }
        if let Phase::Reading { .. } = self.phase
            && revents.contains(PollFlags::POLLIN)
            && self.read_request(now) == Next::Close
        {
            return Next::Close;
        }
        if let Phase::Pending { request, asked } = self.phase {
            self.ask(now, request, asked, room_octets, source);
        }
        if let Phase::Following { after } = self.phase {
            self.collect_events(now, after, source);
        }
        if self.flush(now) == Next::Close {
            return Next::Close;
        }
        if now >= self.deadline { self.expire(now) } else { Next::Keep }
    }

    fn read_request(&mut self, now: Instant) -> Next {
        let Phase::Reading { line } = &mut self.phase else { return Next::Keep };
        let mut chunk = [0u8; REQUEST_OCTETS_MAX];
        let room = REQUEST_OCTETS_MAX - line.len();
        let got = match recv(self.socket.as_raw_fd(), &mut chunk[..room], MsgFlags::MSG_DONTWAIT) {
            Ok(got) => got,
            Err(Errno::EAGAIN | Errno::EINTR) => return Next::Keep,
            Err(_) => return Next::Close,
        };
        line.extend_from_slice(&chunk[..got]);
        let end = line.iter().position(|&octet| octet == b'\n');
        match end {
            // A client that closes its sending half after the request needs no line feed.
            None if got == 0 && line.is_empty() => return Next::Close,
            None if got > 0 && line.len() < REQUEST_OCTETS_MAX => return Next::Keep,
            None if got > 0 => {
                let message = format!("a request has at most {REQUEST_OCTETS_MAX} octets");
                self.refuse(now, RefusalCode::BadRequest, message);
                return Next::Keep;
            }
            _ => {}
        }
        match serde_json::from_slice(&line[..end.unwrap_or(line.len())]) {
            Ok(request) => {
                self.phase = Phase::Pending { request, asked: now };
                self.deadline = now + ANSWER_TIME_MAX;
            }
            Err(why) => {
                let message = format!("no request: {why}");
                self.refuse(now, RefusalCode::BadRequest, message);
            }
        }
        Next::Keep
    }

    fn ask<S: ControlSource>(
        &mut self,
        now: Instant,
        request: Request,
        asked: Instant,
        room_octets: usize,
        source: &mut S,
    ) {
        if request.is_order() && !self.may_order() {
            let message = "only root and the daemon's own user may order something";
            self.refuse(now, RefusalCode::NotPermitted, message.to_owned());
            return;
        }
        match source.answer(&request, asked) {
            Answer::Pending => {}
            Answer::Unavailable(why) => self.refuse(now, RefusalCode::Unavailable, why),
            Answer::NotPossible(why) => self.refuse(now, RefusalCode::NotPossible, why),
            Answer::Document(document) => {
                let follow_after = match (&request, &document) {
                    (Request::Events { follow: true }, Document::Events(events)) => {
                        Some(events.events.last().map_or(events.forgotten, |last| last.sequence))
                    }
                    _ => None,
                };
                match serde_json::to_vec(&Reply::Document(document)) {
                    Ok(line) if line.len() > REPLY_OCTETS_MAX => self.refuse(
                        now,
                        RefusalCode::Unavailable,
                        format!("the reply has {} octets, more than a reply may", line.len()),
                    ),
                    Ok(line) if line.len() > room_octets => self.refuse(
                        now,
                        RefusalCode::Busy,
                        "other clients have not read their replies yet".to_owned(),
                    ),
                    Ok(line) => self.reply(now, line, follow_after),
                    Err(why) => self.refuse(now, RefusalCode::Unavailable, why.to_string()),
                }
            }
        }
    }

    fn refuse(&mut self, now: Instant, code: RefusalCode, message: String) {
        self.reply(now, refusal_line(code, message), None);
    }

    fn reply(&mut self, now: Instant, mut line: Vec<u8>, follow_after: Option<u64>) {
        if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        self.out = line;
        self.sent = 0;
        self.phase = Phase::Replying { follow_after };
        self.deadline = now + CONTROL_CLIENT_PATIENCE;
    }

    fn collect_events<S: ControlSource>(&mut self, now: Instant, mut after: u64, source: &mut S) {
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
            self.deadline = Instant::FAR_FUTURE;
        }
        while self.out.len() < FOLLOW_OCTETS_MAX {
            let Some(event) = source.event_after(after) else { break };
            // A source that does not advance would keep us here: what it gives is ignored.
            if event.sequence <= after {
                break;
            }
            after = event.sequence;
            if let Ok(line) = serde_json::to_vec(&event) {
                if self.out.is_empty() {
                    self.deadline = now + CONTROL_CLIENT_PATIENCE;
                }
                self.out.extend_from_slice(&line);
                self.out.push(b'\n');
            }
        }
        self.phase = Phase::Following { after };
    }

    fn flush(&mut self, now: Instant) -> Next {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        for _ in 0..SENDS_MAX {
            if self.sent == self.out.len() {
                break;
            }
            let end = self.out.len().min(self.sent + CHUNK_OCTETS);
            match send(self.socket.as_raw_fd(), &self.out[self.sent..end], flags) {
                Ok(sent) => {
                    self.sent += sent;
                    if let Phase::Following { .. } = self.phase {
                        self.deadline = now + CONTROL_CLIENT_PATIENCE;
                    }
                }
                Err(Errno::EAGAIN | Errno::EINTR) => return Next::Keep,
                Err(_) => return Next::Close,
            }
        }
        match self.phase {
            Phase::Replying { follow_after } if self.sent == self.out.len() => match follow_after {
                None => Next::Close,
                Some(after) => {
                    self.phase = Phase::Following { after };
                    self.out = Vec::new();
                    self.sent = 0;
                    self.deadline = Instant::FAR_FUTURE;
                    Next::Keep
                }
            },
            Phase::Following { .. } if self.sent == self.out.len() => {
                self.deadline = Instant::FAR_FUTURE;
                Next::Keep
            }
            _ => Next::Keep,
        }
    }

    /// The deadline of a phase has passed: say so where nothing was sent yet, else close.
    fn expire(&mut self, now: Instant) -> Next {
        let message = match self.phase {
            Phase::Reading { .. } => "the request did not arrive in time",
            Phase::Pending { .. } => "the answer was not ready in time; ask again",
            Phase::Replying { .. } | Phase::Following { .. } => return Next::Close,
        };
        self.refuse(now, RefusalCode::TimedOut, message.to_owned());
        self.flush(now)
    }
}

/// A refusal as a line.
pub(super) fn refusal_line(code: RefusalCode, message: String) -> Vec<u8> {
    let refusal = Reply::Refused(Refusal { code, message });
    // A structure of two texts always has a form in JSON; without one the client sees a close.
    let mut line = serde_json::to_vec(&refusal).unwrap_or_default();
    line.push(b'\n');
    line
}
