//! What a test network shall look like, as values.

use std::net::IpAddr;

use prp::types::MacAddress;

/// MTU of an interface of a host, unless the plan says otherwise: that of ordinary Ethernet.
pub const HOST_MTU: u32 = 1500;
/// MTU of switches and of everything between them and the hosts: room for the RCT and VLAN tags.
pub const SWITCH_MTU: u32 = 1600;

/// A network to be built.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Names of the LANs, each a switch; at most 15 octets.
    pub lans: Vec<String>,
    /// The hosts.
    pub hosts: Vec<HostPlan>,
}

/// A host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostPlan {
    /// Its name.
    pub name: String,
    /// Its network cards.
    pub ports: Vec<PortPlan>,
}

/// A network card and its cable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortPlan {
    /// The interface's name on the host.
    pub interface: String,
    /// The LAN it is plugged into.
    pub lan: String,
    /// Its address; the kernel draws one when `None`.
    pub mac: Option<MacAddress>,
    /// An IP address and its prefix in bits.
    pub ip: Option<(IpAddr, u8)>,
    /// Its MTU, in octets.
    pub mtu: u32,
    /// Whether a `bumpless-impair` sits in the cable.
    pub impaired: bool,
}

impl Plan {
    /// A network with these LANs and no hosts yet.
    #[must_use]
    pub fn with_lans<const N: usize>(lans: [&str; N]) -> Self {
        Self { lans: lans.map(str::to_owned).to_vec(), hosts: Vec::new() }
    }

    /// The same with one more host.
    #[must_use]
    pub fn host<const N: usize>(mut self, name: &str, ports: [PortPlan; N]) -> Self {
        self.hosts.push(HostPlan { name: name.to_owned(), ports: ports.into() });
        self
    }
}

impl PortPlan {
    /// A network card plugged into `lan`, with nothing special about it.
    #[must_use]
    pub fn new(interface: &str, lan: &str) -> Self {
        Self {
            interface: interface.to_owned(),
            lan: lan.to_owned(),
            mac: None,
            ip: None,
            mtu: HOST_MTU,
            impaired: false,
        }
    }

    /// The same with an address of its own.
    #[must_use]
    pub fn mac(self, mac: MacAddress) -> Self {
        Self { mac: Some(mac), ..self }
    }

    /// The same with an IP address.
    #[must_use]
    pub fn ip(self, ip: IpAddr, prefix_bits: u8) -> Self {
        Self { ip: Some((ip, prefix_bits)), ..self }
    }

    /// The same with faults that can be switched on.
    #[must_use]
    pub fn impaired(self) -> Self {
        Self { impaired: true, ..self }
    }
}
