//! What a LAN interface was before the daemon took it, in a form that outlives the daemon.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use super::ClaimError;
use crate::os::ethtool::{Ethtool, Offload};
use crate::os::ingress::{IngressDrop, Method};
use crate::os::link::{LinkInfo, Links};
use crate::types::MacAddress;

/// What a claim changes on an interface, as it was before: plain values for a file from which
/// another process can restore them after a crash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LanOriginals {
    /// The interface's index: an interface of the same name but another index is another one.
    pub index: u32,
    /// Its MAC address.
    pub mac: MacAddress,
    /// Its MTU, in octets.
    pub mtu: u32,
    /// Whether it was up.
    pub up: bool,
    /// Whether the host did no address resolution on it.
    pub noarp: bool,
    /// Whether IPv6 was off on it; `None` when the host has no IPv6 there.
    pub ipv6_disabled: Option<bool>,
    /// The IPv6 addresses set by hand, with their prefix in bits: they go when IPv6 is switched
    /// off.
    pub ipv6_addresses: Vec<(Ipv6Addr, u8)>,
    /// Generic receive offload; `None` when the device does not know it.
    pub gro: Option<bool>,
    /// Large receive offload; `None` when the device does not know it.
    pub lro: Option<bool>,
    /// Receive offload by the device; `None` when the device does not know it.
    pub gro_hw: Option<bool>,
    /// Whether the device takes VLAN tags out of frames; `None` when it does not know that. No
    /// claim changes it, but a port that receives by AF_XDP does, and a crash leaves it so.
    pub rx_vlan: Option<bool>,
    /// The same for service tags.
    pub rx_vlan_service: Option<bool>,
    /// Whether there was a `clsact` qdisc of somebody else.
    pub clsact: bool,
}

impl LanOriginals {
    /// Reads them, in the calling thread's namespace. To be stored before
    /// [`super::LanClaim::claim`] changes anything.
    ///
    /// # Errors
    /// [`ClaimError`] when the interface is not there or cannot be a LAN port.
    pub fn read(interface: &str) -> Result<Self, ClaimError> {
        let mut links = Links::open()?;
        let info = links.by_name(interface)?;
        let info = super::suitable(&mut links, info)?;
        let clsact = IngressDrop::open()?.has_clsact(info.index)?;
        Self::of(&mut links, &info, clsact)
    }

    /// Closes the ingress of the interface of that index first, and reads them then: for one that
    /// appears while the daemon runs, and that somebody may set up at any moment. Who cannot claim
    /// it then gives it back ([`super::release`]).
    ///
    /// # Errors
    /// As [`Self::read`], and when the ingress cannot be closed.
    pub fn read_closing(index: u32) -> Result<Self, ClaimError> {
        let mut links = Links::open()?;
        let info = links.by_index(index)?;
        let info = super::suitable(&mut links, info)?;
        let mut ingress = IngressDrop::open()?;
        let clsact = ingress.has_clsact(index)?;
        ingress.install(index)?;
        Self::of(&mut links, &info, clsact).inspect_err(|_| {
            // What comes after the first failure helps nobody.
            let _ = ingress.remove(index, clsact);
        })
    }

    /// Those that were stored, when they are this interface's, else read anew: after a crash the
    /// interface is in the claimed state, which must not be taken for the original. An interface
    /// that has the index of a former one is not in that state.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_unless_stored(interface: &str, stored: Option<Self>) -> Result<Self, ClaimError> {
        let mut links = Links::open()?;
        let info = links.by_name(interface)?;
        let info = super::suitable(&mut links, info)?;
        let mut ingress = IngressDrop::open()?;
        match stored {
            Some(stored) if stored.is_of(&info, &mut ingress) => Ok(stored),
            _ => {
                let clsact = ingress.has_clsact(info.index)?;
                Self::of(&mut links, &info, clsact)
            }
        }
    }

    /// Whether the interface is the one of these originals, in the state that a claim leaves. An
    /// nftables chain is no sign: it takes hold of any interface that gets the name.
    fn is_of(&self, info: &LinkInfo, ingress: &mut IngressDrop) -> bool {
        self.index == info.index
            && (info.noarp || matches!(ingress.find(info.index), Ok(Some(Method::Clsact))))
    }

    /// The interface of these originals under whatever name, if it is there in the state that a
    /// claim leaves.
    #[must_use]
    pub fn claimed_interface(&self) -> Option<LinkInfo> {
        let info = Links::open().ok()?.by_index(self.index).ok()?;
        let mut ingress = IngressDrop::open().ok()?;
        self.is_of(&info, &mut ingress).then_some(info)
    }

    fn of(links: &mut Links, info: &LinkInfo, clsact: bool) -> Result<Self, ClaimError> {
        let ethtool = Ethtool::open()?;
        let offload = |which| ethtool.offload(&info.name, which);
        let addresses = links.addresses(info.index)?;
        let ipv6_addresses = addresses.iter().filter(|address| address.permanent).filter_map(
            |address| match address.ip {
                IpAddr::V6(ip) if !ip.is_unicast_link_local() => Some((ip, address.prefix_bits)),
                _ => None,
            },
        );
        Ok(Self {
            index: info.index,
            mac: info.mac,
            mtu: info.mtu,
            up: info.up,
            noarp: info.noarp,
            ipv6_disabled: ipv6_disabled(&info.name).ok(),
            ipv6_addresses: ipv6_addresses.collect(),
            gro: offload(Offload::Gro)?,
            lro: offload(Offload::Lro)?,
            gro_hw: offload(Offload::GroHw)?,
            rx_vlan: offload(Offload::RxVlan)?,
            rx_vlan_service: offload(Offload::RxVlanService)?,
            clsact,
        })
    }

    /// What the offload was.
    pub(super) const fn offload(&self, which: Offload) -> Option<bool> {
        match which {
            Offload::Gro => self.gro,
            Offload::Lro => self.lro,
            Offload::GroHw => self.gro_hw,
            Offload::RxVlan => self.rx_vlan,
            Offload::RxVlanService => self.rx_vlan_service,
            Offload::Tso
            | Offload::Gso
            | Offload::TxChecksum
            | Offload::VlanFilter
            | Offload::VlanServiceFilter => None,
        }
    }
}

/// The switch's file, which shows the namespace of the thread that opens it.
fn ipv6_switch(interface: &str) -> PathBuf {
    PathBuf::from(format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"))
}

/// Whether IPv6 is off on an interface; `NotFound` when it is not there at all.
pub(super) fn ipv6_disabled(interface: &str) -> io::Result<bool> {
    fs::read_to_string(ipv6_switch(interface)).map(|text| text.trim() != "0")
}

/// An interface that enters a namespace while the host does no address resolution on it loses
/// duplicate address detection for good: puts the namespace's own setting back.
pub(super) fn restore_duplicate_detection(interface: &str) -> io::Result<()> {
    let setting = |of: &str| PathBuf::from(format!("/proc/sys/net/ipv6/conf/{of}/accept_dad"));
    match fs::read_to_string(setting(interface)) {
        Ok(text) if text.trim() == "-1" => {
            fs::write(setting(interface), fs::read_to_string(setting("default"))?)
        }
        _ => Ok(()),
    }
}

/// Switches IPv6 on an interface off (`true`) or on; without IPv6 there nothing happens.
pub(super) fn disable_ipv6(interface: &str, disable: bool) -> io::Result<()> {
    match ipv6_disabled(interface) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(state) if state == disable => Ok(()),
        _ => fs::write(ipv6_switch(interface), if disable { "1" } else { "0" }),
    }
}
