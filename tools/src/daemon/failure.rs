//! What a failed start says: the libraries' errors, with the key, the remedy and the exit code.

use std::io;

use prp::os::claim::ClaimError;
use prp::os::ingress::IngressError;
use prp::os::link::LinkError;
use prp::os::open_error::OpenError;
use prp::types::LanId;
use rt_core::os::memory::LockError;
use rt_core::os::thread::RtThreadError;

use super::host_interface::TapError;
use crate::exit::{ExitCode, Failure};

const NET_ADMIN: &str = "run as root, or grant CAP_NET_ADMIN and CAP_NET_RAW (in the unit: \
    AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW CAP_SYS_NICE CAP_IPC_LOCK CAP_BPF)";
const NON_RT: &str = "or add --allow-non-rt to run degraded without it";

/// The key of a LAN's interface.
pub(super) const fn lan_key(lan: LanId) -> &'static str {
    match lan {
        LanId::A => "lan_a",
        LanId::B => "lan_b",
    }
}

pub(super) fn link(error: LinkError) -> Failure {
    match error {
        LinkError::NotPermitted { .. } => Failure::missing(error.to_string(), NET_ADMIN),
        error => Failure::failed(error.to_string(), ""),
    }
}

/// An interface that stands where ours should.
pub(super) fn foreign(name: &str) -> Failure {
    Failure::usage(
        format!("name: an interface {name} exists already and is not ours"),
        format!("choose another name, or remove it (ip link delete {name})"),
    )
}

pub(super) fn create(error: LinkError) -> Failure {
    match error {
        LinkError::Exists { interface, .. } => foreign(&interface),
        error => link(error),
    }
}

pub(super) fn lan_claim(lan: LanId, error: ClaimError) -> Failure {
    let key = lan_key(lan);
    match error {
        ClaimError::Link(LinkError::NoSuchInterface { interface, .. }) => Failure::usage(
            format!("{key}: there is no interface {interface}"),
            "name the network interface of this LAN (ip link lists them)",
        ),
        ClaimError::Link(error) => {
            let failure = link(error);
            Failure { message: format!("{key}: {}", failure.message), ..failure }
        }
        ClaimError::Ingress(error) => {
            let failure = ingress(&error);
            Failure { message: format!("{key}: {}", failure.message), ..failure }
        }
        error => Failure::usage(format!("{key}: {error}"), ""),
    }
}

pub(super) fn no_lans(a: &str, b: &str, waited_s: u64) -> Failure {
    Failure::usage(
        format!(
            "lan_a, lan_b: after {waited_s} s there is neither an interface {a} nor an interface \
             {b}"
        ),
        "name the network interfaces of the LANs (ip link lists them), or raise lan_wait_s",
    )
}

pub(super) fn lan_held(lan: LanId, interface: &str) -> Failure {
    Failure::usage(
        format!("{}: interface {interface} belongs to another daemon that runs", lan_key(lan)),
        "stop that one, or name another interface",
    )
}

pub(super) fn ingress(error: &IngressError) -> Failure {
    Failure::missing(error.to_string(), "")
}

pub(super) fn open(interface: &str, error: &OpenError) -> Failure {
    let code = match error {
        OpenError::NotPermitted { .. } | OpenError::NoXdp { .. } | OpenError::TagsTakenOut => {
            ExitCode::Missing
        }
        _ => ExitCode::Failed,
    };
    let remedy = match error {
        OpenError::NoXdp { .. } | OpenError::TagsTakenOut | OpenError::XdpTaken => {
            "or set lan_receive to \"auto\" or \"ring\""
        }
        _ => "",
    };
    Failure::new(code, format!("{interface}: {error}"), remedy)
}

pub(super) fn tap(name: &str, error: &TapError) -> Failure {
    match error {
        TapError::Failure(failure) => failure.clone(),
        TapError::Open(OpenError::Taken { obstacle, .. }) => Failure::usage(
            format!("name: interface {name} is taken ({obstacle})"),
            "choose another name, or stop who holds it",
        ),
        TapError::Open(error) => open(name, error),
    }
}

pub(super) fn marker(error: &io::Error) -> Failure {
    Failure::failed(
        format!("the runtime folder cannot be written: {error}"),
        "see that its file system is writable and not full, or name another by --runtime-dir",
    )
}

pub(super) fn lock(error: &LockError) -> Failure {
    Failure::missing(error.to_string(), NON_RT)
}

pub(super) fn thread(error: &RtThreadError) -> Failure {
    match error {
        RtThreadError::Refused(_) => Failure::missing(error.to_string(), NON_RT),
        RtThreadError::Plan(_) => Failure::usage(format!("threads: {error}"), ""),
        _ => Failure::failed(error.to_string(), ""),
    }
}
