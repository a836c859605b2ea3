//! The socket's place in the runtime folder.
//!
//! Anybody may connect: what a process may do is asked of the kernel for each connection and
//! region. The folder is locked for one daemon by now, so what is at the socket's place was left by
//! one that has ended; it is replaced in one step.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use shm_replica::os::connection::{Connection, Listener};

use super::rights::RightsTable;
use crate::exit::Failure;

/// The socket's name.
pub(crate) const SOCKET_NAME: &str = "regions.sock";

/// The socket's file, removed at the end if it is still ours.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
    identity: (u64, u64),
}

impl Socket {
    pub(super) fn bind(folder: &Path) -> Result<(Self, Listener), Failure> {
        let path = folder.join(SOCKET_NAME);
        refuse_unless_stale(&path)?;
        let fresh = folder.join(format!("{SOCKET_NAME}.new"));
        let bound = bind(&fresh, &path);
        let (listener, identity) = bound.map_err(|error| match error.raw_os_error() {
            Some(libc::ENAMETOOLONG) => Failure::usage(
                format!("--runtime-dir: {}: too long for a socket in it", folder.display()),
                "choose a folder whose path has at most 90 octets",
            ),
            _ => Failure::failed(
                format!("{}: cannot listen here: {error}", path.display()),
                "name another folder with --runtime-dir",
            ),
        })?;
        Ok((Self { path, identity }, listener))
    }

    /// What to say where rights are given to users who cannot reach the socket.
    pub(super) fn reach(&self, folder: &Path, rights: &RightsTable) -> Option<String> {
        let mode = fs::metadata(folder).ok()?.permissions().mode();
        (rights.names_others() && mode & 0o001 == 0).then(|| {
            format!(
                "{}: not every user that has a right can reach {SOCKET_NAME} in this folder: chmod \
                 o+x it (in the unit: RuntimeDirectoryMode=0751), or let them join its group",
                folder.display()
            )
        })
    }
}

fn bind(fresh: &Path, path: &Path) -> io::Result<(Listener, (u64, u64))> {
    match fs::remove_file(fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = Listener::bind(fresh)?;
    fs::set_permissions(fresh, fs::Permissions::from_mode(0o666))?;
    fs::rename(fresh, path)?;
    let metadata = fs::metadata(path)?;
    Ok((listener, (metadata.dev(), metadata.ino())))
}

fn refuse_unless_stale(path: &Path) -> Result<(), Failure> {
    let in_the_way = |what: &str, remedy: &str| {
        Failure::usage(format!("{}: is in the way: {what}", path.display()), remedy)
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(Failure::failed(format!("{}: {error}", path.display()), ""));
        }
        Ok(found) if !found.file_type().is_socket() => {
            return Err(in_the_way("no socket", "remove it or choose another --runtime-dir"));
        }
        Ok(_) => {}
    }
    match Connection::open(path) {
        Ok(_) => Err(in_the_way("somebody listens there", "stop who does")),
        // Refused: nobody. Of another kind: not ours, and nobody who could be asked.
        Err(_) => Ok(()),
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let ours = fs::metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}
