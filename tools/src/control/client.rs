//! The operator's side of the control socket.
//!
//! Every wait has an end: a daemon that does not answer within the time given is reported, never
//! waited for.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::sockopt::{ReceiveTimeout, SendTimeout};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket};
use nix::sys::time::TimeVal;
use nix::unistd::{Gid, Group};

use super::protocol::{REPLY_OCTETS_MAX, RefusalCode, Reply, Request};
use super::socket_path;
use crate::exit::Failure;
use crate::report::{Document, Event};

/// How long a daemon may be silent: longer than it gives itself to have an answer.
pub const SILENCE_TIME_MAX: Duration = Duration::from_secs(5);
/// How often a busy daemon is asked again, and how long is waited between.
const ASKS_MAX: u32 = 10;
const ASK_PAUSE: Duration = Duration::from_millis(100);

/// Asks the daemon of a runtime folder and gives its document. A daemon that is busy is asked again
/// for a second.
///
/// # Errors
/// No daemon runs there or it does not answer (code 1), or a permission is missing (code 3).
pub fn ask(runtime_dir: &Path, request: &Request) -> Result<Document, Failure> {
    let mut asks = 1;
    loop {
        let mut connection = Connection::open(runtime_dir, request)?;
        match connection.reply()? {
            Reply::Document(document) => return Ok(document),
            Reply::Refused(refusal) if refusal.code == RefusalCode::Busy && asks < ASKS_MAX => {
                asks += 1;
                std::thread::sleep(ASK_PAUSE);
            }
            Reply::Refused(refusal) if refusal.code == RefusalCode::NotPermitted => {
                let remedy = "run as root, or as the user that the daemon runs as";
                return Err(Failure::missing(refusal.message, remedy));
            }
            Reply::Refused(refusal) => {
                return Err(Failure::failed(
                    format!("the daemon refused: {}", refusal.message),
                    match refusal.code {
                        RefusalCode::Busy | RefusalCode::TimedOut => "try again",
                        RefusalCode::BadRequest => "use the bumpless of the daemon's version",
                        RefusalCode::Unavailable => "see the daemon's log",
                        RefusalCode::NotPossible | RefusalCode::NotPermitted => "",
                    },
                ));
            }
        }
    }
}

/// A request that was sent, and the lines that come back.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    folder: PathBuf,
    buffer: Vec<u8>,
    scanned: usize,
}

impl Connection {
    /// Connects and sends the request.
    ///
    /// # Errors
    /// No daemon runs there or it does not answer (code 1), or a permission is missing (code 3).
    pub fn open(runtime_dir: &Path, request: &Request) -> Result<Self, Failure> {
        let fault = |error: io::Error| connect_failure(runtime_dir, &error);
        let stream = connect_within(&socket_path(runtime_dir), SILENCE_TIME_MAX).map_err(fault)?;
        let mut line = serde_json::to_vec(request).map_err(|error| fault(error.into()))?;
        line.push(b'\n');
        let mut connection =
            Self { stream, folder: runtime_dir.to_owned(), buffer: Vec::new(), scanned: 0 };
        match connection.stream.write_all(&line) {
            // A daemon that is busy says so without reading: its line is there to be read.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(connection.silence(&error))
            }
            _ => Ok(connection),
        }
    }

    /// The reply.
    ///
    /// # Errors
    /// The daemon is silent, closes, or sends what is no reply (code 1).
    pub fn reply(&mut self) -> Result<Reply, Failure> {
        let line = self.line()?.ok_or_else(|| {
            Failure::failed(
                format!("{}: the daemon closed without an answer", self.folder.display()),
                "see the daemon's log",
            )
        })?;
        self.parse(&line)
    }

    /// The next event of a follower, which waits for it as long as it takes; `None` when the daemon
    /// has ended or has given this reader up.
    ///
    /// # Errors
    /// The daemon sends what is no event (code 1).
    pub fn next_event(&mut self) -> Result<Option<Event>, Failure> {
        let forever = self.stream.set_read_timeout(None);
        forever.map_err(|error| connect_failure(&self.folder, &error))?;
        match self.line()? {
            Some(line) => self.parse(&line).map(Some),
            None => Ok(None),
        }
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, line: &[u8]) -> Result<T, Failure> {
        serde_json::from_slice(line).map_err(|error| {
            Failure::failed(
                format!("{}: not understood: {error}", self.folder.display()),
                "use the bumpless of the daemon's version",
            )
        })
    }

    /// The next line without its end; `None` at the end of the stream.
    fn line(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let mut chunk = vec![0u8; 64 * 1024];
        loop {
            let fresh = &self.buffer[self.scanned..];
            if let Some(end) = fresh.iter().position(|&octet| octet == b'\n') {
                let rest = self.buffer.split_off(self.scanned + end + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.pop();
                self.scanned = 0;
                return Ok(Some(line));
            }
            self.scanned = self.buffer.len();
            if self.buffer.len() > REPLY_OCTETS_MAX {
                return Err(Failure::failed(
                    format!("{}: endless reply", self.folder.display()),
                    "use the bumpless of the daemon's version",
                ));
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(None),
                Ok(got) => self.buffer.extend_from_slice(&chunk[..got]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(self.silence(&error)),
            }
        }
    }

    fn silence(&self, error: &io::Error) -> Failure {
        let folder = self.folder.display();
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Failure::failed(
                format!("{folder}: the daemon does not answer"),
                "see whether it is stopped or overloaded (systemctl status, ps)",
            ),
            _ => Failure::failed(format!("{folder}: {error}"), "see the daemon's log"),
        }
    }
}

/// Connects with time-outs set before, so that a full backlog cannot hold us.
fn connect_within(path: &Path, time: Duration) -> io::Result<UnixStream> {
    let address = UnixAddr::new(path)?;
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let time = TimeVal::new(i64::try_from(time.as_secs()).unwrap_or(i64::MAX), 0);
    setsockopt(&fd, SendTimeout, &time)?;
    setsockopt(&fd, ReceiveTimeout, &time)?;
    connect(fd.as_raw_fd(), &address)?;
    Ok(UnixStream::from(fd))
}

fn connect_failure(runtime_dir: &Path, error: &io::Error) -> Failure {
    let folder = runtime_dir.display();
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT | Errno::ENOTDIR) => Failure::failed(
            format!("no bumplessd runs in {folder}"),
            "start it, or choose another with --name or --runtime-dir",
        ),
        Some(Errno::ECONNREFUSED) => Failure::failed(
            format!("no bumplessd runs in {folder}: the last one ended without cleaning up"),
            "see why in its log, and start it again: it adopts what is its own",
        ),
        Some(Errno::EACCES | Errno::EPERM) => {
            let remedy = owner_group(runtime_dir).map_or_else(
                || "run as root".to_owned(),
                |group| format!("run as root or join the group {group} (usermod -aG {group} USER)"),
            );
            Failure::missing(format!("no permission to talk to the daemon in {folder}"), remedy)
        }
        Some(Errno::EAGAIN) => Failure::failed(
            format!("{folder}: the daemon does not answer"),
            "see whether it is stopped or overloaded (systemctl status, ps)",
        ),
        Some(Errno::ENAMETOOLONG) => Failure::usage(
            format!("--runtime-dir: {folder}: too long for a socket in it"),
            "name the folder that the daemon runs with",
        ),
        _ => Failure::failed(format!("{folder}: {error}"), "see the daemon's log"),
    }
}

/// The group that may talk to the daemon, unless that is root's.
fn owner_group(runtime_dir: &Path) -> Option<String> {
    // Where the folder itself is closed to us, its group is the one to join.
    let metadata = fs::metadata(socket_path(runtime_dir)).or_else(|_| fs::metadata(runtime_dir));
    let metadata = metadata.ok()?;
    let gid = Gid::from_raw(metadata.gid());
    if gid.as_raw() == 0 {
        return None;
    }
    Group::from_gid(gid).ok()?.map(|group| group.name)
}
