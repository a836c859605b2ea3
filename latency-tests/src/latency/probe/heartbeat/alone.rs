//! The probe without a peer: two LANs in software between two network namespaces, with a far end
//! of its own. Nothing has a name outside the process, and all of it goes with the sockets.

use std::os::fd::AsFd as _;

use prp::os::link::Links;
use prp::os::netns::NetNs;
use tools::exit::Failure;
use tools::netlab::{NetLabError, quiet_namespace};

use super::port;
use super::respond::{Plan, Responder};
use crate::os::stamped::StampedSocket;

/// The interfaces, in both namespaces, and the words for them in messages.
const LANS: [(&str, &str); 2] = [("lan a", "lan_a"), ("lan b", "lan_b")];

/// A far end and the LANs to it.
#[derive(Debug)]
pub(super) struct Alone {
    _responder: Responder,
    _near: NetNs,
    _far: NetNs,
}

/// Makes all of it; the near ends' sockets.
///
/// # Errors
/// A privilege is missing.
pub(super) fn build(plan: &Plan) -> Result<(Alone, Vec<StampedSocket>), Failure> {
    let (near, far) = namespaces().map_err(|error| failure(&error))?;
    let open = |namespace: &NetNs| -> Result<Vec<StampedSocket>, Failure> {
        namespace
            .run(|| LANS.iter().map(|(lan, name)| port::open(lan, name)).collect())
            .map_err(|error| failure(&error.into()))?
    };
    let responder = Responder::start(open(&far)?, plan)?;
    let sockets = open(&near)?;
    Ok((Alone { _responder: responder, _near: near, _far: far }, sockets))
}

fn namespaces() -> Result<(NetNs, NetNs), NetLabError> {
    let (near, far) = (quiet_namespace()?, quiet_namespace()?);
    for (_, name) in LANS {
        Links::open_in(&near)?.create_veth(name, name, Some(far.as_fd()))?;
        for namespace in [&near, &far] {
            let mut links = Links::open_in(namespace)?;
            let index = links.by_name(name)?.index;
            links.set_up(index, true)?;
        }
    }
    Ok((near, far))
}

/// Why there is no network of its own.
pub(in super::super) fn failure(error: &NetLabError) -> Failure {
    match error {
        NetLabError::Namespace(_) => {
            Failure::missing(format!("a network of its own: {error}"), "or name the LANs: --lan-a")
        }
        NetLabError::Missing { .. } => Failure::missing(error.to_string(), ""),
        _ => Failure::failed(format!("a network of its own: {error}"), ""),
    }
}
