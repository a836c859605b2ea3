//! A LAN interface belongs to one daemon at a time.
//!
//! A second daemon that claimed it, whatever its name and runtime folder, would take the state that
//! the first one made for the original, and take the ingress drop away when it ends.
//!
//! The lock is one on a file of the interface's under `/proc/sys`: it belongs to the network
//! namespace as the interface does, only who may change the interface can open it for writing, as
//! the lock requires, and it goes with the process however that ends. Rejected: a lock file (where,
//! for all namespaces and runtime folders?) and a socket in the abstract namespace (any user could
//! take its name first).

use std::fs::{File, OpenOptions};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

/// Holds an interface until it is dropped.
#[derive(Debug)]
pub struct LanLock {
    _file: Option<File>,
}

/// Another process holds the interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held;

impl LanLock {
    /// Takes the interface. Where `/proc/sys` cannot be written there is no lock to be had, and no
    /// protection.
    ///
    /// # Errors
    /// [`Held`].
    pub fn take(interface: &str) -> Result<Self, Held> {
        let path = format!("/proc/sys/net/ipv4/conf/{interface}/arp_ignore");
        // Opened and never written.
        let Ok(file) = OpenOptions::new().write(true).open(path) else {
            return Ok(Self { _file: None });
        };
        #[allow(clippy::cast_possible_truncation, reason = "two constants of one digit")]
        let whole = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole)) {
            Err(Errno::EAGAIN | Errno::EACCES) => Err(Held),
            _ => Ok(Self { _file: Some(file) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_held_once_in_each_namespace() {
        let in_own_namespace = || prp::os::netns::NetNs::create_with_loopback();
        let (Ok(one), Ok(other)) = (in_own_namespace(), in_own_namespace()) else {
            println!(
                "SKIP: an_interface_is_held_once_in_each_namespace: needs CAP_SYS_ADMIN for \
                 network namespaces"
            );
            return;
        };
        one.run(|| {
            let held = LanLock::take("lo").unwrap();
            assert_eq!(LanLock::take("lo").err(), Some(Held));
            assert!(other.run(|| LanLock::take("lo").is_ok()).unwrap());
            drop(held);
            // A child that another test starts just now holds a copy until it runs its program.
            let is_free = || LanLock::take("lo").is_ok();
            let soon = std::time::Duration::from_millis(5);
            assert!((0..1000).any(|_| is_free() || {
                std::thread::sleep(soon);
                false
            }));
        })
        .unwrap();
    }
}
