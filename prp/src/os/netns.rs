//! Network namespaces, held by a descriptor alone: no name, no mount, gone with the last holder.
//!
//! A namespace is entered by a thread, never by the process, so [`NetNs::run`] uses a thread of its
//! own and leaves the caller's where it is. Sockets stay in the namespace they were opened in,
//! whichever thread uses them afterwards. `/proc/sys/net` shows the namespace of the thread that
//! reads it; a mounted `/sys` does not follow, so nothing here reads `/sys/class/net`;
//! who has to, mounts one for a thread ([`NetNs::run_with_sys`]).
//!
//! Names under `/run/netns` were not used: they need a mount namespace, outlive a crash and
//! collide.
//!
//! Thread class: never a real-time thread.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;
use nix::unistd::{getegid, geteuid, write};

use super::link::{LinkError, Links};

/// Why a namespace could not be made, found or entered.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NetNsError {
    /// The privilege is missing.
    #[error(
        "no permission to {action} a network namespace: needs CAP_SYS_ADMIN \
         (run as root, or inside a user namespace: `unshare --user --map-root-user`)"
    )]
    NotPermitted {
        /// What was tried, as a verb.
        action: &'static str,
    },
    /// There is no namespace under this path.
    #[error("no network namespace at {path}: {errno}")]
    NotFound {
        /// The path that was opened.
        path: PathBuf,
        /// The system's reason.
        errno: Errno,
    },
    /// Anything else.
    #[error("cannot {action} a network namespace: {errno}")]
    System {
        /// What was tried, as a verb.
        action: &'static str,
        /// The system's reason.
        errno: Errno,
    },
}

impl NetNsError {
    fn new(action: &'static str, errno: Errno) -> Self {
        match errno {
            Errno::EPERM | Errno::EACCES => Self::NotPermitted { action },
            errno => Self::System { action, errno },
        }
    }
}

/// A network namespace, kept alive by the descriptor in here.
#[derive(Debug)]
pub struct NetNs {
    fd: OwnedFd,
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl NetNs {
    /// A fresh namespace with nothing in it but a loopback interface, which is down.
    ///
    /// # Errors
    /// [`NetNsError::NotPermitted`] without `CAP_SYS_ADMIN` in the user namespace of the caller.
    pub fn create() -> Result<Self, NetNsError> {
        on_own_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| NetNsError::new("create", errno))?;
            Self::current()
        })?
    }

    /// A fresh namespace whose loopback interface is up.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_with_loopback() -> Result<Self, NetNsError> {
        let namespace = Self::create()?;
        namespace.bring_loopback_up().map_err(|error| {
            NetNsError::new("bring up the loopback of", Errno::from_raw(error.errno()))
        })?;
        Ok(namespace)
    }

    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// [`NetNsError::NotFound`] where `/proc` is not mounted.
    pub fn current() -> Result<Self, NetNsError> {
        Self::from_path("/proc/thread-self/ns/net")
    }

    /// The namespace of process `pid`.
    ///
    /// # Errors
    /// [`NetNsError::NotFound`] when there is no such process, or one the caller may not look into.
    pub fn of_pid(pid: u32) -> Result<Self, NetNsError> {
        Self::from_path(format!("/proc/{pid}/ns/net"))
    }

    /// The namespace behind a file (`/run/netns/NAME`, `/proc/PID/ns/net`).
    ///
    /// # Errors
    /// [`NetNsError::NotFound`]. That the file is a network namespace shows when it is entered.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, NetNsError> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| NetNsError::NotFound {
            path: path.to_owned(),
            errno: errno_of(&error),
        })?;
        Ok(Self { fd: file.into() })
    }

    /// Moves the calling thread into this namespace, for good.
    ///
    /// # Errors
    /// [`NetNsError::NotPermitted`] without `CAP_SYS_ADMIN` over it.
    pub fn enter(&self) -> Result<(), NetNsError> {
        setns(&self.fd, CloneFlags::CLONE_NEWNET).map_err(|errno| NetNsError::new("enter", errno))
    }

    /// Runs `work` on a thread inside this namespace and waits for it. A panic in `work` goes on in
    /// the caller.
    ///
    /// # Errors
    /// As [`Self::enter`]; `work` has not run then.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetNsError> {
        on_own_thread(|| {
            self.enter()?;
            Ok(work())
        })?
    }

    /// As [`Self::run`], on a thread whose `/sys` shows this namespace's interfaces where that can
    /// be had; `work` is told whether it does. Nobody else sees that mount, which ends with the
    /// thread.
    ///
    /// # Errors
    /// As [`Self::enter`]; `work` has not run then.
    pub fn run_with_sys<T: Send>(
        &self,
        work: impl FnOnce(bool) -> T + Send,
    ) -> Result<T, NetNsError> {
        self.run(|| work(mount_own_sys().is_ok()))
    }

    /// Brings the loopback interface up, as every ordinary host has it.
    ///
    /// # Errors
    /// Those of [`Links`].
    pub fn bring_loopback_up(&self) -> Result<(), LinkError> {
        let mut links = Links::open_in(self)?;
        let loopback = links.by_name("lo")?;
        links.set_up(loopback.index, true)
    }
}

/// Gives the calling thread a mount namespace of its own, with a `/sys` of its network namespace.
fn mount_own_sys() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none = None::<&str>;
    // Before the mount, or it would spread to everybody.
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("sysfs"), "/sys", Some("sysfs"), flags, none)
}

/// Makes `command` start its program inside `namespace`. The command keeps the namespace alive.
///
/// # Errors
/// [`NetNsError::System`] when no descriptor is free. Entering fails at the spawn.
pub fn command_in<'c>(
    namespace: &NetNs,
    command: &'c mut Command,
) -> Result<&'c mut Command, NetNsError> {
    let fd = namespace
        .fd
        .try_clone()
        .map_err(|error| NetNsError::new("keep hold of", errno_of(&error)))?;
    // SAFETY: the closure makes one system call on a descriptor that it owns and builds an error
    // from a number: no allocation, no lock, safe between fork and exec.
    unsafe { command.pre_exec(move || setns(&fd, CloneFlags::CLONE_NEWNET).map_err(errno_error)) };
    Ok(command)
}

/// Makes `command` start its program in a user namespace of its own, in which the caller's user is
/// root, and in a fresh network namespace that belongs to it: what an ordinary user can have
/// without any privilege, where the system allows it. The spawn fails with `EPERM` where it does
/// not.
pub fn command_in_user_namespace(command: &mut Command) -> &mut Command {
    let uid_map = format!("0 {} 1", geteuid());
    let gid_map = format!("0 {} 1", getegid());
    // SAFETY: the closure only makes system calls (unshare, open, write, close) with memory that
    // was allocated before the fork, and builds errors from numbers.
    unsafe {
        command.pre_exec(move || {
            unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).map_err(errno_error)?;
            // Groups have to be given up before an ordinary user may map one.
            write_file(c"/proc/self/setgroups", b"deny")?;
            write_file(c"/proc/self/uid_map", uid_map.as_bytes())?;
            write_file(c"/proc/self/gid_map", gid_map.as_bytes())
        })
    }
}

/// Writes a small file in one go; usable between fork and exec.
fn write_file(path: &std::ffi::CStr, content: &[u8]) -> io::Result<()> {
    let file =
        open(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty()).map_err(errno_error)?;
    write(&file, content).map_err(errno_error).map(drop)
}

/// A number as an error, without allocation.
fn errno_error(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno as i32)
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

/// Runs `work` on a thread that ends with it, so that what it does to its namespaces ends too.
fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, NetNsError> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, work)
            .map_err(|error| NetNsError::new("start a thread for", errno_of(&error)))?;
        thread.join().or_else(|panic| std::panic::resume_unwind(panic))
    })
}

impl PartialEq for NetNs {
    /// Whether both are the same namespace (device and inode of the descriptor's file).
    fn eq(&self, other: &Self) -> bool {
        let identity = |namespace: &Self| {
            nix::sys::stat::fstat(&namespace.fd).map(|stat| (stat.st_dev, stat.st_ino)).ok()
        };
        self.fd.as_raw_fd() == other.fd.as_raw_fd()
            || identity(self).is_some_and(|mine| Some(mine) == identity(other))
    }
}
