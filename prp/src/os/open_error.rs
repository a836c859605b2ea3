//! Why a port could not be opened.

use nix::errno::Errno;

use crate::port::PortFault;

/// Why a port could not be opened or reconfigured. Every message names the step; those that a user
/// can do something about name the remedy.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenError {
    /// The privilege is missing.
    #[error("{operation}: not permitted ({remedy})")]
    NotPermitted {
        /// The step that was refused.
        operation: &'static str,
        /// What to do about it.
        remedy: &'static str,
    },
    /// No interface of this index is in this network namespace.
    #[error("no interface with index {index} in this network namespace")]
    NoInterface {
        /// The index that was asked for.
        index: u32,
    },
    /// A size is out of range.
    #[error("{what}: {value} is out of range ({range})")]
    Size {
        /// Which size.
        what: &'static str,
        /// The value that was asked for.
        value: u32,
        /// What is possible.
        range: &'static str,
    },
    /// A name is no interface name.
    #[error("\"{name}\" is not an interface name (1 to 15 characters, no slash, no space)")]
    Name {
        /// The name that was asked for.
        name: String,
    },
    /// The name belongs to an interface that is no free TAP.
    #[error("interface {name} exists and is {obstacle}; choose another name or remove it")]
    Taken {
        /// The name that was asked for.
        name: String,
        /// What is in the way.
        obstacle: &'static str,
    },
    /// The kernel wrote something that cannot be.
    #[error("{operation}: the kernel answered with offsets outside the mapping")]
    Layout {
        /// The step.
        operation: &'static str,
    },
    /// No mode of AF_XDP reception can be had.
    #[error("AF_XDP reception cannot be had: {reasons}")]
    NoXdp {
        /// Each mode that was tried, with its reason.
        reasons: String,
    },
    /// Somebody else's XDP program is on the interface.
    #[error("the interface has an XDP program of somebody else (`ip link` shows it; remove it)")]
    XdpTaken,
    /// The driver's buffers for XDP do not hold the frames that may arrive.
    #[error(
        "an MTU is too large for XDP in the driver, that of the interface or, on veth, of its peer \
         (about 3500 octets go into a page); lower it by `ip link set dev NAME mtu OCTETS`"
    )]
    MtuForXdp,
    /// The card takes VLAN tags out of frames, and AF_XDP would lose them.
    #[error("the card takes VLAN tags out of frames and cannot be told not to")]
    TagsTakenOut,
    /// VLAN tags may travel beside frames here, and AF_XDP in this mode would lose them.
    #[error(
        "VLAN tags travel beside frames on this kind of interface, and would be lost (native mode \
         sees them on Linux 6.8 and later, built with BTF)"
    )]
    TagsBeside,
    /// Anything else that a system call said.
    #[error("{operation}: {errno}")]
    System {
        /// The step that failed.
        operation: &'static str,
        /// The system's error number.
        errno: Errno,
    },
}

impl OpenError {
    /// Names the step that a system call failed in.
    pub(super) fn from_errno(operation: &'static str, errno: Errno) -> Self {
        match errno {
            Errno::EPERM | Errno::EACCES => Self::NotPermitted {
                operation,
                remedy: "needs CAP_NET_RAW; run as root or grant it",
            },
            errno => Self::System { operation, errno },
        }
    }

    /// Names the step that a library call failed in.
    pub(super) fn from_io(operation: &'static str, error: &std::io::Error) -> Self {
        Self::from_errno(operation, Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
    }
}

/// What an error number of a running port means to its user. The same table serves packet sockets,
/// AF_XDP and TAP.
pub(super) fn fault_of(errno: Errno) -> PortFault {
    match errno {
        Errno::ENETDOWN => PortFault::Down,
        // EBADFD is what a TAP says once its interface was deleted.
        Errno::ENXIO | Errno::ENODEV | Errno::EBADFD => PortFault::Gone,
        Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM | Errno::EBUSY => PortFault::Full,
        Errno::EMSGSIZE => PortFault::TooLong,
        errno => PortFault::Other(errno as i32),
    }
}
