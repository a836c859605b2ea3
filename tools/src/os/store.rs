//! What a service manager keeps for a service: descriptors that outlive it. Tests play its part
//! with this one, where there is no systemd.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, bind, recvmsg,
    socket,
};
use nix::sys::stat::fstat;

/// The first descriptor that a service finds, by the protocol.
const FIRST: RawFd = 3;
/// Descriptors from here on are nobody else's.
const APART: RawFd = 64;
const MESSAGE_OCTETS_MAX: usize = 4_096;

/// A descriptor store, as systemd has one for each service (`FileDescriptorStoreMax=`): several
/// descriptors may have one name, and each file is kept once.
#[derive(Debug)]
pub struct DescriptorStore {
    socket: OwnedFd,
    path: PathBuf,
    kept: Vec<(String, OwnedFd)>,
    is_ready: bool,
}

impl DescriptorStore {
    /// An empty store that listens at `path`.
    ///
    /// # Errors
    /// The system's.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        Ok(Self { socket, path: path.to_owned(), kept: Vec::new(), is_ready: false })
    }

    /// Takes what the service has said since.
    ///
    /// # Errors
    /// The system's.
    pub fn hear(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; MESSAGE_OCTETS_MAX];
        loop {
            let mut beside = cmsg_space!([RawFd; 253]);
            let mut pieces = [IoSliceMut::new(&mut buffer)];
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            let came =
                recvmsg::<UnixAddr>(self.socket.as_raw_fd(), &mut pieces, Some(&mut beside), flags);
            let came = match came {
                Err(Errno::EAGAIN) => return Ok(()),
                came => came?,
            };
            let mut files = Vec::new();
            for message in came.cmsgs()? {
                if let ControlMessageOwned::ScmRights(descriptors) = message {
                    // SAFETY: the kernel has just made each of them for us, and nobody else has it.
                    let own = |it| unsafe { OwnedFd::from_raw_fd(it) };
                    files.extend(descriptors.into_iter().map(own));
                }
            }
            let octets = came.bytes;
            self.take(&String::from_utf8_lossy(&buffer[..octets]), files)?;
        }
    }

    fn take(&mut self, message: &str, files: Vec<OwnedFd>) -> io::Result<()> {
        let said = |key: &str| message.lines().find_map(|line| line.strip_prefix(key));
        self.is_ready |= said("READY=") == Some("1");
        let Some(name) = said("FDNAME=") else { return Ok(()) };
        if said("FDSTOREREMOVE=") == Some("1") {
            self.kept.retain(|(kept, _)| kept != name);
        } else if said("FDSTORE=") == Some("1") {
            files.into_iter().try_for_each(|file| self.keep(name, file))?;
        }
        Ok(())
    }

    /// Keeps a descriptor, as if the service had asked for it.
    ///
    /// # Errors
    /// The system's.
    pub fn keep(&mut self, name: &str, file: OwnedFd) -> io::Result<()> {
        let of = |file: &OwnedFd| fstat(file).map(|it| (it.st_dev, it.st_ino));
        let new = of(&file)?;
        if !self.kept.iter().any(|(_, known)| of(known) == Ok(new)) {
            let apart = fcntl(&file, FcntlArg::F_DUPFD_CLOEXEC(APART))?;
            // SAFETY: the kernel has just made it for us, and nobody else has it.
            let file = unsafe { OwnedFd::from_raw_fd(apart) };
            self.kept.push((name.to_owned(), file));
        }
        Ok(())
    }

    /// The names of what is kept, one for each descriptor.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().map(|(name, _)| &name[..])
    }

    /// Whether the service has said that it is ready.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// How a service is started: with what is kept, and told where to say what to keep.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        // Whose process it is can only be said by that process.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\""]).arg(program);
        command.env("NOTIFY_SOCKET", &self.path);
        command.env("LISTEN_FDS", self.kept.len().to_string());
        command.env("LISTEN_FDNAMES", self.names().collect::<Vec<_>>().join(":"));
        let files: Vec<_> = (FIRST..).zip(self.kept.iter().map(|(_, it)| it.as_raw_fd())).collect();
        let place = move || {
            for &(place, file) in &files {
                // SAFETY: the call takes two numbers; nothing of this process is at `place` that
                // the program to come would miss, for it has nothing beyond the first three.
                Errno::result(unsafe { libc::dup2(file, place) })?;
            }
            Ok(())
        };
        // SAFETY: what runs between fork and exec makes system calls only, and allocates nothing.
        unsafe { command.pre_exec(place) };
        command
    }
}
