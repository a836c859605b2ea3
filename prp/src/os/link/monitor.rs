//! What happens to the interfaces of a namespace, as it happens.
//!
//! The kernel's notifications say "here is an interface", not "this one is new": the monitor knows
//! which ones there were when it began, and tells.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};

use super::super::netlink::{Connection, NetlinkError, messages};
use super::super::netns::NetNs;
use super::{LinkError, LinkInfo, Links};

const RTNLGRP_LINK: u32 = 1;
/// Room for the notifications of about a second of a machine that is being reconfigured.
const RECEIVE_BUFFER_OCTETS: usize = 1 << 20;

/// What happened to an interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WhatChanged {
    /// It was made, or moved into this namespace.
    New(LinkInfo),
    /// It is as described now; the description may equal the one before.
    Changed(LinkInfo),
    /// It was deleted, or moved out of this namespace.
    Gone,
}

/// One thing that happened to one interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkChange {
    /// The interface's index.
    pub index: u32,
    /// The interface's name, after the change.
    pub name: String,
    /// What happened.
    pub what: WhatChanged,
}

/// Why the monitor has nothing to tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MonitorFault {
    /// The kernel dropped notifications because they were not fetched in time. The monitor goes on,
    /// but the caller has to read the interfaces anew ([`Links::all`]).
    #[error("interface notifications were lost; read the interfaces anew")]
    Overrun,
    /// The socket fails.
    #[error("interface notifications cannot be read: {0}")]
    System(Errno),
}

/// A subscription to the interfaces of one namespace. Its descriptor is readable when
/// [`Self::next_change`] has something to tell; it never blocks.
#[derive(Debug)]
pub struct LinkMonitor {
    connection: Connection,
    links: Links,
    known: BTreeSet<u32>,
    /// Read and not yet told; the last one first.
    waiting: Vec<LinkChange>,
}

impl AsFd for LinkMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

impl LinkMonitor {
    /// Watches the calling thread's namespace. What happens from now on is told, and what happened
    /// in this moment may be.
    ///
    /// # Errors
    /// [`LinkError::Refused`] when no netlink socket can be had.
    pub fn open() -> Result<Self, LinkError> {
        let mut links = Links::open()?;
        let subscribe = || -> Result<Connection, NetlinkError> {
            let mut connection = Connection::open(libc::NETLINK_ROUTE)?;
            // Where the larger buffer is not allowed, the usual one only overruns sooner.
            let _ = setsockopt(&connection, sockopt::RcvBufForce, &RECEIVE_BUFFER_OCTETS)
                .or_else(|_| setsockopt(&connection, sockopt::RcvBuf, &RECEIVE_BUFFER_OCTETS));
            connection.subscribe(RTNLGRP_LINK)?;
            Ok(connection)
        };
        let connection = subscribe().map_err(|error| LinkError::new(super::ANY, "watch", error))?;
        let known = links.all()?.into_iter().map(|info| info.index).collect();
        Ok(Self { connection, links, known, waiting: Vec::new() })
    }

    /// Watches `namespace`.
    ///
    /// # Errors
    /// As [`Self::open`], and when the namespace cannot be entered.
    pub fn open_in(namespace: &NetNs) -> Result<Self, LinkError> {
        namespace.run(Self::open).unwrap_or_else(|error| {
            let error = NetlinkError::new(libc::EPERM, &error.to_string());
            Err(LinkError::new(super::ANY, "enter the namespace of", error))
        })
    }

    /// The next change, `None` when there is none now.
    ///
    /// # Errors
    /// [`MonitorFault::Overrun`] once after notifications were lost: then read everything anew and
    /// go on calling this.
    pub fn next_change(&mut self) -> Result<Option<LinkChange>, MonitorFault> {
        loop {
            if let Some(change) = self.waiting.pop() {
                return Ok(Some(change));
            }
            match self.connection.receive() {
                Ok(datagram) => Self::read(&mut self.known, &mut self.waiting, datagram),
                Err(error) => {
                    return match error.raw_os_error().map_or(Errno::EIO, Errno::from_raw) {
                        Errno::EAGAIN => Ok(None),
                        Errno::ENOBUFS => Err(self.overrun()),
                        errno => Err(MonitorFault::System(errno)),
                    };
                }
            }
        }
    }

    fn read(known: &mut BTreeSet<u32>, waiting: &mut Vec<LinkChange>, datagram: &[u8]) {
        for message in messages(datagram) {
            let Some(info) = LinkInfo::parse(message.payload) else { continue };
            let (index, name) = (info.index, info.name.clone());
            let what = match message.message_type {
                libc::RTM_NEWLINK if known.insert(index) => WhatChanged::New(info),
                libc::RTM_NEWLINK => WhatChanged::Changed(info),
                libc::RTM_DELLINK => {
                    known.remove(&index);
                    WhatChanged::Gone
                }
                _ => continue,
            };
            waiting.push(LinkChange { index, name, what });
        }
        waiting.reverse();
    }

    fn overrun(&mut self) -> MonitorFault {
        match self.links.all() {
            Ok(table) => {
                self.known = table.into_iter().map(|info| info.index).collect();
                MonitorFault::Overrun
            }
            Err(error) => MonitorFault::System(Errno::from_raw(error.errno())),
        }
    }
}
