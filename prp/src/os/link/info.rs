//! What the kernel tells about an interface, read from its link messages.

use netlink_packet_route::link::{LinkFlags, LinkHeader};

use super::super::netlink::{as_text, as_u32, attributes};
use crate::types::MacAddress;

const LINK_HEADER_OCTETS: usize = 16;

/// An interface as the kernel described it at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkInfo {
    /// Its number, unique in its namespace until it is deleted.
    pub index: u32,
    /// Its name; may change while the index stays.
    pub name: String,
    /// Its address; all zero where it has none of six octets (loopback, layer 3 tunnels).
    pub mac: MacAddress,
    /// The longest payload of a frame, in octets, without the Ethernet header.
    pub mtu: u32,
    /// Whether it was set up (`IFF_UP`).
    pub up: bool,
    /// Whether it is up and its carrier is there (`IFF_LOWER_UP`): frames can pass.
    pub running: bool,
    /// Whether the host does no address resolution on it.
    pub noarp: bool,
    /// Whether somebody has it receive frames for other stations too.
    pub promiscuous: bool,
    /// Whether it is a loopback interface.
    pub loopback: bool,
    /// Whether it carries Ethernet frames.
    pub ethernet: bool,
    /// The index of the bridge, bond or other interface it is enslaved to.
    pub controller: Option<u32>,
    /// A free text that somebody attached to it.
    pub alias: Option<String>,
    /// The driver's kind where it is a virtual interface: `veth`, `tun`, `bridge`, …
    pub kind: Option<String>,
    /// The least MTU it takes, where the kernel tells.
    pub mtu_min: Option<u32>,
    /// The greatest MTU it takes, where the kernel tells.
    pub mtu_max: Option<u32>,
    /// Packets that its transmit queue holds.
    pub tx_queue_packets: u32,
}

impl LinkInfo {
    /// Reads a link message's payload; `None` when it is cut short, or not about the interface
    /// itself: bridges report their ports under the same message types with a family of their own,
    /// and a port that leaves a bridge would look like an interface that is gone.
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let header = LinkHeader::parse(payload).ok()?;
        if u8::from(header.interface_family) != 0 {
            return None;
        }
        let has = |flag| header.flags.contains(flag);
        let mut info = Self {
            index: header.index,
            name: String::new(),
            mac: MacAddress::default(),
            mtu: 0,
            up: has(LinkFlags::Up),
            running: has(LinkFlags::Up) && has(LinkFlags::LowerUp),
            noarp: has(LinkFlags::Noarp),
            promiscuous: has(LinkFlags::Promisc),
            loopback: has(LinkFlags::Loopback),
            ethernet: u16::from(header.link_layer_type) == libc::ARPHRD_ETHER,
            controller: None,
            alias: None,
            kind: None,
            mtu_min: None,
            mtu_max: None,
            tx_queue_packets: 0,
        };
        for (kind, value) in attributes(payload.get(LINK_HEADER_OCTETS..)?) {
            info.take(kind, value);
        }
        Some(info)
    }

    fn take(&mut self, kind: u16, value: &[u8]) {
        // A limit of 0 means that the driver states none.
        let limit = |value| as_u32(value).filter(|&mtu| mtu != 0);
        match kind {
            libc::IFLA_IFNAME => self.name = as_text(value),
            libc::IFLA_ADDRESS => {
                self.mac = MacAddress(<[u8; 6]>::try_from(value).unwrap_or_default());
            }
            libc::IFLA_MTU => self.mtu = as_u32(value).unwrap_or_default(),
            libc::IFLA_MASTER => self.controller = as_u32(value).filter(|&index| index != 0),
            libc::IFLA_IFALIAS => self.alias = Some(as_text(value)).filter(|text| !text.is_empty()),
            libc::IFLA_TXQLEN => self.tx_queue_packets = as_u32(value).unwrap_or_default(),
            libc::IFLA_MIN_MTU => self.mtu_min = limit(value),
            libc::IFLA_MAX_MTU => self.mtu_max = limit(value),
            // Packet sockets raise the count without the flag that administrators see.
            libc::IFLA_PROMISCUITY => self.promiscuous |= as_u32(value).is_some_and(|n| n > 0),
            libc::IFLA_LINKINFO => {
                self.kind = attributes(value)
                    .find(|(kind, _)| *kind == libc::IFLA_INFO_KIND)
                    .map(|(_, text)| as_text(text));
            }
            _ => {}
        }
    }
}
