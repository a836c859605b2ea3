//! What arrives on a LAN port is for the daemon alone: a drop at the interface's ingress.
//!
//! The LRE reads the LAN ports with packet sockets, and those are served before the ingress hook:
//! they see every frame. Behind the hook nothing arrives, so the host's own stack does not get a
//! second and a third copy of what the LRE delivers through the host interface. A packet socket
//! that is bound to one EtherType is served *after* the hook: sockets on LAN ports take all
//! protocols (`ETH_P_ALL`) and filter.
//!
//! Two ways, tried in this order: a two-instruction classifier (`clsact`), which needs bpf and so
//! the initial user namespace; an nftables `netdev` chain, which also works in a user namespace.
//! Both stay when the process dies: a crash must not let the host's stack answer on the LANs.
//! Rejected: an XDP program (would hide the frames from packet sockets too), promiscuous tricks
//! with a foreign MAC (broadcast and multicast would still reach the host).
//!
//! Thread class: never a real-time thread.

mod clsact;
mod nftables;

use std::fmt;

use super::link::{LinkError, Links};
use super::netlink::{Connection, NetlinkError};
use super::netns::NetNs;

/// How the drop is done.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Method {
    /// A bpf classifier at the interface's `clsact` ingress.
    Clsact,
    /// An nftables `netdev` table `bumpless_INTERFACE`.
    Nftables,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clsact => "tc clsact",
            Self::Nftables => "nftables netdev",
        })
    }
}

/// Why the drop is not in place.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IngressError {
    /// The interface itself is the trouble.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// No way worked.
    #[error(
        "what arrives on interface {interface} cannot be kept from the host's own network stack: \
         tc clsact: {clsact}; nftables: {nftables}. Run as root or with CAP_NET_ADMIN and CAP_BPF \
         on a kernel with NET_CLS_BPF and NET_SCH_INGRESS, or with NF_TABLES_NETDEV"
    )]
    Refused {
        /// The interface.
        interface: String,
        /// Why the classifier could not be attached.
        clsact: String,
        /// Why the chain could not be made.
        nftables: String,
    },
    /// One step failed.
    #[error("cannot {action} the ingress drop of interface {interface} ({method}): {reason}")]
    Failed {
        /// The interface.
        interface: String,
        /// The way it is done.
        method: Method,
        /// What was tried, as a verb.
        action: &'static str,
        /// The system's words.
        reason: String,
    },
}

/// The ingress drops of one network namespace: the one in which this was opened.
#[derive(Debug)]
pub struct IngressDrop {
    links: Links,
    route: Connection,
    /// The way to nftables, or why there is none.
    netfilter: Result<Connection, NetlinkError>,
}

impl IngressDrop {
    /// Opens the calling thread's namespace.
    ///
    /// # Errors
    /// [`IngressError::Link`] when no netlink socket can be had.
    pub fn open() -> Result<Self, IngressError> {
        let route = Connection::open(libc::NETLINK_ROUTE)
            .map_err(|error| LinkError::new("(any)", "open a netlink socket for", error))?;
        let netfilter = Connection::open(libc::NETLINK_NETFILTER);
        Ok(Self { links: Links::open()?, route, netfilter })
    }

    /// Opens `namespace`.
    ///
    /// # Errors
    /// As [`Self::open`], and when the namespace cannot be entered.
    pub fn open_in(namespace: &NetNs) -> Result<Self, IngressError> {
        namespace.run(Self::open).unwrap_or_else(|error| {
            let error = NetlinkError::new(libc::EPERM, &error.to_string());
            Err(LinkError::new("(any)", "enter the namespace of", error).into())
        })
    }

    /// Puts the drop in place, or adopts the one that is there.
    ///
    /// # Errors
    /// [`IngressError::Refused`] with both reasons when neither way works.
    pub fn install(&mut self, index: u32) -> Result<Method, IngressError> {
        if let Some(method) = self.find(index)? {
            return Ok(method);
        }
        let clsact = match self.install_with(index, Method::Clsact) {
            Ok(()) => return Ok(Method::Clsact),
            Err(error) => reason_of(error)?,
        };
        let nftables = match self.install_with(index, Method::Nftables) {
            Ok(()) => return Ok(Method::Nftables),
            Err(error) => reason_of(error)?,
        };
        let interface = self.links.by_index(index)?.name;
        Err(IngressError::Refused { interface, clsact, nftables })
    }

    /// Puts the drop in place in one certain way, or adopts the one that is there in that way.
    ///
    /// # Errors
    /// [`IngressError::Failed`].
    pub fn install_with(&mut self, index: u32, method: Method) -> Result<(), IngressError> {
        let name = self.links.by_index(index)?.name;
        let result = match method {
            Method::Clsact => match clsact::is_attached(&mut self.route, index) {
                Ok(false) => clsact::attach(&mut self.route, index),
                there => there.map(drop),
            },
            Method::Nftables => {
                self.netfilter.as_mut().map_err(|error| error.clone()).and_then(|netfilter| {
                    match nftables::is_installed(netfilter, &name)? {
                        true => Ok(()),
                        false => nftables::install(netfilter, &name),
                    }
                })
            }
        };
        result.map_err(|error| failed(name, method, "install", &error))
    }

    /// Which drop of ours is in place.
    ///
    /// # Errors
    /// [`IngressError::Link`] when there is no such interface, [`IngressError::Failed`] when the
    /// kernel does not tell.
    pub fn find(&mut self, index: u32) -> Result<Option<Method>, IngressError> {
        let name = self.links.by_index(index)?.name;
        match clsact::is_attached(&mut self.route, index) {
            Ok(true) => return Ok(Some(Method::Clsact)),
            Ok(false) => {}
            Err(error) => return Err(failed(name, Method::Clsact, "look for", &error)),
        }
        // A kernel without nftables, or a caller who may not ask, has no table of ours either.
        let installed = self
            .netfilter
            .as_mut()
            .is_ok_and(|netfilter| nftables::is_installed(netfilter, &name).unwrap_or(false));
        Ok(installed.then_some(Method::Nftables))
    }

    /// Whether the interface has a qdisc at its ingress. Asked before [`Self::install`], it tells
    /// whether [`Self::remove`] may take the qdisc away.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn has_clsact(&mut self, index: u32) -> Result<bool, IngressError> {
        let name = self.links.by_index(index)?.name;
        clsact::has_qdisc(&mut self.route, index)
            .map_err(|error| failed(name, Method::Clsact, "look for", &error))
    }

    /// Removes whatever drop of ours is there, of either kind; without one nothing happens. The
    /// `clsact` qdisc goes too unless `keep_clsact`, or somebody's filter is still on it.
    ///
    /// # Errors
    /// [`IngressError::Failed`]; the other kind has been tried all the same.
    pub fn remove(&mut self, index: u32, keep_clsact: bool) -> Result<(), IngressError> {
        let found = self.find(index)?;
        let name = self.links.by_index(index)?.name;
        let classifier = clsact::detach(&mut self.route, index, !keep_clsact)
            .map_err(|error| failed(name.clone(), Method::Clsact, "remove", &error));
        let chain = match &mut self.netfilter {
            Ok(netfilter) => match nftables::remove(netfilter, &name) {
                // Where there cannot be a table, failing to remove one is no failure.
                Err(error) if found == Some(Method::Nftables) => {
                    Err(failed(name, Method::Nftables, "remove", &error))
                }
                _ => Ok(()),
            },
            Err(_) => Ok(()),
        };
        classifier.and(chain)
    }
}

impl IngressDrop {
    /// Removes what the drop of an interface that is gone left behind: a table without a device
    /// (a classifier goes with its interface). Without one nothing happens.
    pub fn forget(&mut self, interface: &str) {
        if let Ok(netfilter) = &mut self.netfilter {
            // Where there cannot be a table, failing to remove one is no failure.
            let _ = nftables::remove(netfilter, interface);
        }
    }
}

fn failed(
    interface: String,
    method: Method,
    action: &'static str,
    error: &NetlinkError,
) -> IngressError {
    IngressError::Failed { interface, method, action, reason: error.to_string() }
}

/// The reason of one way's failure; that the interface is the trouble ends the attempt.
fn reason_of(error: IngressError) -> Result<String, IngressError> {
    match error {
        IngressError::Failed { reason, .. } => Ok(reason),
        error => Err(error),
    }
}
