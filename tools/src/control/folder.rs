//! The runtime folder on the daemon's side: its lock, and the socket's place in it.
//!
//! Two things keep a second daemon out: a lock file, held for the life of the server and released
//! by the kernel however the daemon ends, and a look whether anything answers on the socket. What a
//! dead daemon left is replaced in one step, by renaming, so that a client finds the old socket or
//! the new one. The socket gets its group and mode before it listens: there is no moment in which
//! others could connect.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use nix::unistd::{Gid, chown};

use super::SOCKET_NAME;
use crate::config::SocketGroup;
use crate::exit::Failure;

const LOCK_NAME: &str = "control.lock";
/// Connections that wait to be accepted; more get an error at once.
const BACKLOG: i32 = 64;

/// The runtime folder, locked for one daemon.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    created: bool,
    lock: Option<Flock<File>>,
}

impl Folder {
    /// Creates the folder if need be and locks it.
    pub(super) fn take(path: &Path) -> Result<Self, Failure> {
        let created = create(path)?;
        let lock_path = path.join(LOCK_NAME);
        // A daemon that ends removes the file and then its lock; who opened it in between holds the
        // lock of a file that no one else will find, and looks again.
        for _ in 0..8 {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(libc::O_NOFOLLOW)
                .open(&lock_path)
                .map_err(|error| fault(path, &error))?;
            let lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => lock,
                Err((_, Errno::EWOULDBLOCK)) => return Err(in_use(path)),
                Err((_, errno)) => return Err(fault(path, &errno.into())),
            };
            let same = |found: fs::Metadata| {
                lock.metadata()
                    .is_ok_and(|held| (held.dev(), held.ino()) == (found.dev(), found.ino()))
            };
            if fs::metadata(&lock_path).is_ok_and(same) {
                return Ok(Self { path: path.to_owned(), created, lock: Some(lock) });
            }
        }
        Err(in_use(path))
    }

    /// Gives the lock up, and the folder if it was created here and nothing else is in it.
    pub(super) fn release(&mut self) {
        let _ = fs::remove_file(self.path.join(LOCK_NAME));
        if self.created {
            let _ = fs::remove_dir(&self.path);
        }
        self.lock = None;
    }
}

/// Creates the folder for all to enter (the socket guards itself); true when it was not there.
fn create(path: &Path) -> Result<bool, Failure> {
    if path.is_dir() {
        return Ok(false);
    }
    if let Some(parent) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(parent)
            .map_err(|error| fault(parent, &error))?;
    }
    match DirBuilder::new().mode(0o755).create(path) {
        Ok(()) => Ok(true),
        // Two daemons at once: the lock decides.
        Err(_) if path.is_dir() => Ok(false),
        Err(error) => Err(fault(path, &error)),
    }
}

/// What is at the socket's place may be replaced only if it is a socket that no one answers on.
pub(super) fn refuse_unless_stale(socket: &Path) -> Result<(), Failure> {
    let folder = socket.parent().unwrap_or(socket);
    match fs::symlink_metadata(socket) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fault(folder, &error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(Failure::usage(
                format!("{}: is in the way and no socket", socket.display()),
                "remove it or choose another --runtime-dir",
            ));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(socket) {
        Ok(_) => Err(in_use(folder)),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(fault(folder, &error)),
    }
}

/// Listens on a new socket that takes its place with its group and mode already set.
pub(super) fn listen_in(
    folder: &Path,
    place: &Path,
    group: &SocketGroup,
) -> Result<UnixListener, Failure> {
    let gid = group.resolve()?;
    let fresh = folder.join(format!("{SOCKET_NAME}.new"));
    let system = |errno: Errno| fault(folder, &errno.into());
    let address = UnixAddr::new(&fresh).map_err(|_| too_long(folder))?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let listener = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(system)?;
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(fault(folder, &error));
        }
        _ => {}
    }
    bind(listener.as_raw_fd(), &address).map_err(system)?;
    give_to_group(&fresh, gid, group)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o660))
        .map_err(|error| fault(folder, &error))?;
    listen(&listener, Backlog::new(BACKLOG).map_err(system)?).map_err(system)?;
    fs::rename(&fresh, place).map_err(|error| fault(folder, &error))?;
    Ok(UnixListener::from(listener))
}

/// The default group is a convenience: where this process may not give the socket to it (no root,
/// another user namespace), the daemon's own group keeps it.
fn give_to_group(socket: &Path, gid: Option<u32>, group: &SocketGroup) -> Result<(), Failure> {
    match (chown(socket, None, gid.map(Gid::from_raw)), group) {
        (Ok(()), _) | (Err(_), SocketGroup::Default) => Ok(()),
        (Err(errno), SocketGroup::Named(name)) => Err(Failure::missing(
            format!("socket_group: cannot give the control socket to {name}: {}", errno.desc()),
            format!("run as root or as a member of {name}, or leave the key out"),
        )),
    }
}

fn in_use(folder: &Path) -> Failure {
    Failure::failed(
        format!("{}: another bumplessd uses this runtime folder", folder.display()),
        "stop it, or start this one with another name or --runtime-dir",
    )
}

fn too_long(folder: &Path) -> Failure {
    Failure::usage(
        format!("--runtime-dir: {}: too long for a socket in it", folder.display()),
        "choose a folder whose path has at most 90 octets",
    )
}

pub(super) fn fault(folder: &Path, error: &io::Error) -> Failure {
    let name = folder.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::missing(
            format!("{name}: no permission to use this runtime folder"),
            "run as root, or name a folder of your own with --runtime-dir",
        ),
        io::ErrorKind::NotADirectory => {
            Failure::usage(format!("{name}: is no folder"), "name a folder with --runtime-dir")
        }
        _ => Failure::failed(
            format!("{name}: cannot use this runtime folder: {error}"),
            "name another with --runtime-dir",
        ),
    }
}
