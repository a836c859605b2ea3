//! Network interfaces: found, described, made, changed and watched, over route netlink.
//!
//! Everything is addressed by index, because names change hands; errors name the interface again.
//! `ip` is not called: it need not be installed, and its output is no interface.
//!
//! Thread class: never a real-time thread.

mod create;
mod error;
mod info;
mod monitor;

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd as _};

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::RouteType;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::netlink::{Connection, NetlinkError, Request, as_u32, attributes};
use super::netns::NetNs;
use crate::types::MacAddress;

pub use create::BridgeOptions;
pub use error::LinkError;
pub use info::LinkInfo;
pub use monitor::{LinkChange, LinkMonitor, MonitorFault, WhatChanged};

const ADDRESS_HEADER_OCTETS: usize = 8;
/// What names the socket itself in an error.
const ANY: &str = "(any)";

/// An address on an interface.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InterfaceAddress {
    /// The address.
    pub ip: IpAddr,
    /// The length of its network's prefix, in bits.
    pub prefix_bits: u8,
    /// Whether it stays until it is removed (set by hand), not one that expires (DHCP, SLAAC).
    pub permanent: bool,
}

/// The interfaces of one network namespace: the one in which this was opened.
#[derive(Debug)]
pub struct Links {
    connection: Connection,
}

impl Links {
    /// The interfaces of the calling thread's namespace.
    ///
    /// # Errors
    /// [`LinkError::Refused`] when no netlink socket can be had.
    pub fn open() -> Result<Self, LinkError> {
        let connection = Connection::open(libc::NETLINK_ROUTE)
            .map_err(|error| LinkError::new(ANY, "open a netlink socket for", error))?;
        Ok(Self { connection })
    }

    /// The interfaces of `namespace`; the calling thread stays where it is.
    ///
    /// # Errors
    /// As [`Self::open`], and when the namespace cannot be entered.
    pub fn open_in(namespace: &NetNs) -> Result<Self, LinkError> {
        namespace.run(Self::open).unwrap_or_else(|error| {
            let error = NetlinkError::new(libc::EPERM, &error.to_string());
            Err(LinkError::new(ANY, "enter the namespace of", error))
        })
    }

    /// The interface of that name.
    ///
    /// # Errors
    /// [`LinkError::NoSuchInterface`], [`LinkError::NameInvalid`].
    pub fn by_name(&mut self, name: &str) -> Result<LinkInfo, LinkError> {
        error::check_name(name)?;
        let attribute = LinkAttribute::IfName(name.to_owned());
        self.get(name, link_message(0, vec![attribute]))
    }

    /// The interface of that index.
    ///
    /// # Errors
    /// [`LinkError::NoSuchInterface`].
    pub fn by_index(&mut self, index: u32) -> Result<LinkInfo, LinkError> {
        let name = format!("#{index}");
        if index == 0 {
            return Err(LinkError::NoSuchInterface { interface: name });
        }
        self.get(&name, link_message(index, Vec::new()))
    }

    fn get(&mut self, name: &str, message: LinkMessage) -> Result<LinkInfo, LinkError> {
        let mut found = None;
        let request = Request::route(&RouteNetlinkMessage::GetLink(message), 0);
        self.connection
            .get(request, |message| found = LinkInfo::parse(message.payload))
            .map_err(|error| LinkError::new(name, "look up", error))?;
        found.ok_or_else(|| LinkError::NoSuchInterface { interface: name.to_owned() })
    }

    /// All interfaces, in the order of their index.
    ///
    /// # Errors
    /// [`LinkError::Refused`] when the kernel does not answer.
    pub fn all(&mut self) -> Result<Vec<LinkInfo>, LinkError> {
        let message = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let mut table: Vec<LinkInfo> = self
            .connection
            .dump(
                || Request::route(&message, 0),
                |table: &mut Vec<_>, message| table.extend(LinkInfo::parse(message.payload)),
            )
            .map_err(|error| LinkError::new(ANY, "list", error))?;
        table.sort_by_key(|info| info.index);
        Ok(table)
    }

    /// Deletes a virtual interface; with one end of a veth pair goes the other.
    ///
    /// # Errors
    /// Those of every change here: no such interface, no permission, refused.
    pub fn delete(&mut self, index: u32) -> Result<(), LinkError> {
        let message = RouteNetlinkMessage::DelLink(link_message(index, Vec::new()));
        self.send(index, "delete", Request::route(&message, 0))
    }

    /// Enslaves an interface to the bridge (bond, …) `controller`.
    ///
    /// # Errors
    /// As [`Self::delete`].
    pub fn set_controller(&mut self, index: u32, controller: u32) -> Result<(), LinkError> {
        self.change(index, "enslave", vec![LinkAttribute::Controller(controller)])
    }

    /// Takes an interface out of the bridge (bond, …) it is in; without one nothing happens.
    ///
    /// # Errors
    /// As [`Self::delete`].
    pub fn clear_controller(&mut self, index: u32) -> Result<(), LinkError> {
        self.change(index, "release", vec![LinkAttribute::Controller(0)])
    }

    /// Sets an interface up or down.
    ///
    /// # Errors
    /// As [`Self::delete`].
    pub fn set_up(&mut self, index: u32, up: bool) -> Result<(), LinkError> {
        let action = if up { "set up" } else { "set down" };
        self.change_flag(index, action, LinkFlags::Up, up)
    }

    /// Switches the host's address resolution on an interface off (`true`) or on.
    ///
    /// # Errors
    /// As [`Self::delete`].
    pub fn set_noarp(&mut self, index: u32, noarp: bool) -> Result<(), LinkError> {
        self.change_flag(index, "change the address resolution of", LinkFlags::Noarp, noarp)
    }

    /// Gives an interface another MAC address.
    ///
    /// # Errors
    /// As [`Self::delete`]; `EBUSY` where the driver wants the interface down for it,
    /// `EADDRNOTAVAIL` where the address cannot be a station's.
    pub fn set_mac(&mut self, index: u32, mac: MacAddress) -> Result<(), LinkError> {
        self.change(index, "set the MAC address of", vec![LinkAttribute::Address(mac.0.to_vec())])
    }

    /// Sets the MTU, in octets without the Ethernet header.
    ///
    /// # Errors
    /// As [`Self::delete`]; `EINVAL` outside of what the device takes.
    pub fn set_mtu(&mut self, index: u32, mtu: u32) -> Result<(), LinkError> {
        self.change(index, "set the MTU of", vec![LinkAttribute::Mtu(mtu)])
    }

    /// Attaches a free text to an interface; an empty one removes it.
    ///
    /// # Errors
    /// As [`Self::delete`].
    pub fn set_alias(&mut self, index: u32, alias: &str) -> Result<(), LinkError> {
        // Without the zero octet that the typed attribute adds: the kernel would count it as text.
        let attribute = DefaultNla::new(libc::IFLA_IFALIAS, alias.as_bytes().to_vec());
        self.change(index, "set the alias of", vec![LinkAttribute::Other(attribute)])
    }

    /// Sets how many packets the transmit queue holds.
    ///
    /// # Errors
    /// As [`Self::delete`].
    pub fn set_txqueuelen(&mut self, index: u32, packets: u32) -> Result<(), LinkError> {
        let attribute = LinkAttribute::TxQueueLen(packets);
        self.change(index, "set the transmit queue of", vec![attribute])
    }

    /// Gives an interface another name.
    ///
    /// # Errors
    /// As [`Self::delete`], [`LinkError::NameInvalid`], [`LinkError::Exists`].
    pub fn rename(&mut self, index: u32, name: &str) -> Result<(), LinkError> {
        error::check_name(name)?;
        self.change(index, "rename", vec![LinkAttribute::IfName(name.to_owned())])
    }

    /// Moves an interface into another namespace, where it may get another index.
    ///
    /// # Errors
    /// As [`Self::delete`].
    pub fn move_to_ns(&mut self, index: u32, namespace: impl AsFd) -> Result<(), LinkError> {
        let fd = namespace.as_fd().as_raw_fd();
        self.change(index, "move", vec![LinkAttribute::NetNsFd(fd)])
    }

    /// Adds an address to an interface. IPv6 addresses are usable at once (no duplicate address
    /// detection).
    ///
    /// # Errors
    /// As [`Self::delete`]; [`LinkError::Exists`] when the address is there already.
    pub fn add_address(&mut self, index: u32, ip: IpAddr, prefix: u8) -> Result<(), LinkError> {
        let mut message = AddressMessage::default();
        message.header.family = family_of(ip);
        message.header.prefix_len = prefix;
        message.header.index = index;
        if ip.is_ipv6() {
            message.header.flags = AddressHeaderFlags::Nodad;
        }
        message.attributes = vec![AddressAttribute::Local(ip), AddressAttribute::Address(ip)];
        let message = RouteNetlinkMessage::NewAddress(message);
        let request = Request::route(&message, NLM_F_CREATE | NLM_F_EXCL);
        self.send(index, "add an address to", request)
    }

    /// The addresses on an interface.
    ///
    /// # Errors
    /// As [`Self::all`]. An interface that is not there has no addresses.
    pub fn addresses(&mut self, index: u32) -> Result<Vec<InterfaceAddress>, LinkError> {
        let message = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        self.connection
            .dump(
                || Request::route(&message, 0),
                |table: &mut Vec<_>, message| table.extend(parse_address(index, message.payload)),
            )
            .map_err(|error| LinkError::new(&format!("#{index}"), "list the addresses of", error))
    }

    /// Enters the MAC address of a neighbour for good: the host asks nobody for it.
    ///
    /// # Errors
    /// As [`Self::delete`].
    pub fn set_neighbour(
        &mut self,
        index: u32,
        ip: IpAddr,
        mac: MacAddress,
    ) -> Result<(), LinkError> {
        let mut message = NeighbourMessage::default();
        message.header.family = family_of(ip);
        message.header.ifindex = index;
        message.header.state = NeighbourState::Permanent;
        message.header.kind = RouteType::Unicast;
        let destination = match ip {
            IpAddr::V4(ip) => NeighbourAddress::Inet(ip),
            IpAddr::V6(ip) => NeighbourAddress::Inet6(ip),
        };
        message.attributes = vec![
            NeighbourAttribute::Destination(destination),
            NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()),
        ];
        let message = RouteNetlinkMessage::NewNeighbour(message);
        let request = Request::route(&message, NLM_F_CREATE | NLM_F_REPLACE);
        self.send(index, "enter a neighbour of", request)
    }

    fn change_flag(
        &mut self,
        index: u32,
        action: &'static str,
        flag: LinkFlags,
        set: bool,
    ) -> Result<(), LinkError> {
        let mut message = link_message(index, Vec::new());
        message.header.change_mask = flag;
        message.header.flags = if set { flag } else { LinkFlags::empty() };
        self.send(index, action, Request::route(&RouteNetlinkMessage::SetLink(message), 0))
    }

    fn change(
        &mut self,
        index: u32,
        action: &'static str,
        attributes: Vec<LinkAttribute>,
    ) -> Result<(), LinkError> {
        let message = RouteNetlinkMessage::SetLink(link_message(index, attributes));
        self.send(index, action, Request::route(&message, 0))
    }

    fn send(
        &mut self,
        index: u32,
        action: &'static str,
        request: Request,
    ) -> Result<(), LinkError> {
        // Index 0 with no name would mean "any" to some of these requests.
        let answer = match index {
            0 => Err(NetlinkError::new(libc::ENODEV, "")),
            _ => self.connection.acknowledged(request),
        };
        answer.map_err(|error| {
            let name = self.by_index(index).map_or_else(|_| format!("#{index}"), |info| info.name);
            LinkError::new(&name, action, error)
        })
    }
}

fn link_message(index: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = attributes;
    message
}

const fn family_of(ip: IpAddr) -> AddressFamily {
    match ip {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

/// Reads an address message, if it is about the interface `index`.
fn parse_address(index: u32, payload: &[u8]) -> Option<InterfaceAddress> {
    let &[family, prefix_bits, flags, _scope, ref rest @ ..] = payload else { return None };
    if as_u32(rest)? != index {
        return None;
    }
    let find = |wanted| {
        attributes(payload.get(ADDRESS_HEADER_OCTETS..)?)
            .find(|(kind, _)| *kind == wanted)
            .and_then(|(_, value)| match i32::from(family) {
                libc::AF_INET => Some(IpAddr::from(<[u8; 4]>::try_from(value).ok()?)),
                libc::AF_INET6 => Some(IpAddr::from(<[u8; 16]>::try_from(value).ok()?)),
                _ => None,
            })
    };
    // On a point-to-point interface the local attribute is ours and the other the peer's.
    let ip = find(libc::IFA_LOCAL).or_else(|| find(libc::IFA_ADDRESS))?;
    let permanent = u32::from(flags) & libc::IFA_F_PERMANENT != 0;
    Some(InterfaceAddress { ip, prefix_bits, permanent })
}
