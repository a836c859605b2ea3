//! What can go wrong with an interface, in words that name it and the remedy.

use super::super::netlink::NetlinkError;

/// Why an operation on an interface failed. Every variant names the interface.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LinkError {
    /// There is no such interface in this namespace (`ENODEV`).
    #[error("no interface {interface} in this network namespace (`ip link` lists what there is)")]
    NoSuchInterface {
        /// The name asked for, or `#INDEX`.
        interface: String,
    },
    /// The privilege is missing (`EPERM`).
    #[error("no permission to {action} interface {interface}: needs CAP_NET_ADMIN")]
    NotPermitted {
        /// The interface.
        interface: String,
        /// What was tried, as a verb.
        action: &'static str,
    },
    /// An interface (or an address) of that name is there already (`EEXIST`).
    #[error("cannot {action} interface {interface}: it exists already")]
    Exists {
        /// The interface.
        interface: String,
        /// What was tried, as a verb.
        action: &'static str,
    },
    /// The text cannot be the name of an interface.
    #[error("{interface:?} is not an interface name (1 to 15 octets, no space, slash or colon)")]
    NameInvalid {
        /// The text.
        interface: String,
    },
    /// The kernel refused for another reason.
    #[error("cannot {action} interface {interface}: {} (errno {errno}){}{detail}",
        nix::errno::Errno::from_raw(*errno).desc(), if detail.is_empty() { "" } else { ": " })]
    Refused {
        /// The interface.
        interface: String,
        /// What was tried, as a verb.
        action: &'static str,
        /// The system's error number.
        errno: i32,
        /// The kernel's explanation, empty when it gave none.
        detail: String,
    },
}

impl LinkError {
    pub(in crate::os) fn new(interface: &str, action: &'static str, error: NetlinkError) -> Self {
        let interface = interface.to_owned();
        match error.errno {
            libc::ENODEV => Self::NoSuchInterface { interface },
            libc::EPERM | libc::EACCES => Self::NotPermitted { interface, action },
            libc::EEXIST => Self::Exists { interface, action },
            errno => Self::Refused { interface, action, errno, detail: error.detail },
        }
    }

    /// The system's error number.
    #[must_use]
    pub const fn errno(&self) -> i32 {
        match self {
            Self::NoSuchInterface { .. } => libc::ENODEV,
            Self::NotPermitted { .. } => libc::EPERM,
            Self::Exists { .. } => libc::EEXIST,
            Self::NameInvalid { .. } => libc::EINVAL,
            Self::Refused { errno, .. } => *errno,
        }
    }

    /// The interface's name, or `#INDEX` where no name was known.
    #[must_use]
    pub fn interface(&self) -> &str {
        match self {
            Self::NoSuchInterface { interface }
            | Self::NotPermitted { interface, .. }
            | Self::Exists { interface, .. }
            | Self::NameInvalid { interface }
            | Self::Refused { interface, .. } => interface,
        }
    }
}

/// Refuses what the kernel would refuse as a name, before it is sent anywhere.
pub(super) fn check_name(name: &str) -> Result<(), LinkError> {
    let legal = (1..libc::IFNAMSIZ).contains(&name.len())
        && !matches!(name, "." | "..")
        && !name
            .bytes()
            .any(|octet| octet.is_ascii_whitespace() || matches!(octet, b'/' | b':' | 0 | b'\x0b'));
    if legal { Ok(()) } else { Err(LinkError::NameInvalid { interface: name.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_the_kernel_does() {
        for good in ["lo", "prp0", "eth0.100", "a23456789012345", "ß"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a234567890123456", "a/b", "a b", "a:b", "a\nb", "a\0b"] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn messages_name_the_interface_the_reason_and_the_remedy() {
        let text = |errno, detail| {
            LinkError::new("eth7", "set the MTU of", NetlinkError::new(errno, detail)).to_string()
        };
        assert!(text(libc::ENODEV, "").starts_with("no interface eth7 "));
        assert!(text(libc::EPERM, "").contains("CAP_NET_ADMIN"));
        let refused = text(libc::EINVAL, "mtu greater than device maximum");
        assert!(refused.contains("eth7") && refused.ends_with(": mtu greater than device maximum"));
        assert!(text(libc::EBUSY, "").ends_with("(errno 16)"));
    }
}
