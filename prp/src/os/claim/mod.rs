//! A LAN interface becomes the daemon's, and is given back as it was.
//!
//! What arrives reaches the host only through the LRE ([`super::ingress`]), and the host's stack
//! sends nothing by itself: no IPv6, no address resolution. Frames arrive as they were on the wire:
//! nothing merges them. Both LAN interfaces carry the node's one MAC address and take frames that
//! are six octets longer than a host's.
//!
//! The order matters: the drop comes first and goes last, so that at no moment the host's stack
//! answers on a LAN. Only what would make it wrong to go on is an error; all else is told as a
//! [`LanWarning`], because one crippled LAN is better than none.
//!
//! A claim is one of an interface, not of a name: it is addressed by its index, and where the
//! kernel wants a name (offloads, `/proc/sys/net`), by the one that it has at that moment.
//!
//! Everything here works on the calling thread's namespace, `/proc/sys/net` included.
//!
//! Thread class: never a real-time thread.

mod originals;

use super::ethtool::{Ethtool, Offload};
use super::ingress::{IngressDrop, IngressError, Method};
use super::link::{LinkError, LinkInfo, Links};
use crate::types::MacAddress;
use crate::wire::rct::RCT_OCTETS;

pub use originals::LanOriginals;

/// What the RCT takes of a LAN interface's MTU.
#[allow(clippy::cast_possible_truncation, reason = "it is six")]
pub const RCT_MTU_OCTETS: u32 = RCT_OCTETS as u32;
/// What a LAN interface has to carry so that hosts keep an MTU of 1,500.
pub const LAN_MTU_OCTETS: u32 = 1_500 + RCT_MTU_OCTETS;

/// Why an interface cannot be a LAN port.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClaimError {
    /// It is not there, or cannot be asked or changed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// It belongs to a bridge, bond or the like, which takes the frames.
    #[error(
        "interface {interface} is enslaved to {controller}: take it out first \
         (`ip link set {interface} nomaster`) or choose another"
    )]
    Enslaved {
        /// The interface.
        interface: String,
        /// The name of what it belongs to.
        controller: String,
    },
    /// It is a loopback, or carries no Ethernet frames.
    #[error(
        "interface {interface} carries no Ethernet frames to other hosts: choose a network port"
    )]
    NotEthernet {
        /// The interface.
        interface: String,
    },
    /// What arrives there cannot be kept from the host's own stack.
    #[error(transparent)]
    Ingress(#[from] IngressError),
}

/// Something that is not as it should be on a LAN interface, and what can be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LanWarning {
    /// What is wrong, naming the interface.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl std::fmt::Display for LanWarning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.what, self.remedy)
    }
}

/// What the LAN interface shall be like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LanRequest {
    /// The node's MAC address; `None` leaves the interface's own.
    pub mac: Option<MacAddress>,
    /// The least MTU, in octets; usually [`LAN_MTU_OCTETS`].
    pub mtu_min: u32,
    /// Whether it is set up, or left as it is.
    pub up: bool,
    /// Whether it may be set down for a moment, where its driver wants that for a new address.
    pub interrupt: bool,
}

impl Default for LanRequest {
    fn default() -> Self {
        Self { mac: None, mtu_min: LAN_MTU_OCTETS, up: true, interrupt: true }
    }
}

/// A claimed LAN interface, as it is now. Dropping this changes nothing: the claim outlives the
/// process, so that a crash does not let the host's stack loose on the LAN.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LanClaim {
    /// The interface's name, as known last: a claim stays one of the same interface when that is
    /// renamed.
    pub interface: String,
    /// The interface's index.
    pub index: u32,
    /// What to restore.
    pub originals: LanOriginals,
    /// How its ingress is closed.
    pub ingress: Method,
    /// The MAC address it has now; when it is not the requested one, the port has to be
    /// promiscuous.
    pub mac: MacAddress,
    /// The MTU it has now, in octets.
    pub mtu: u32,
    /// Whether it had to be set down for a moment, because its driver wants that for a new address.
    pub interrupted: bool,
    /// What is not as it should be.
    pub warnings: Vec<LanWarning>,
}

impl LanClaim {
    /// Makes the interface of that index the daemon's. Claiming what is claimed already (after a
    /// crash, or to put right what somebody changed) changes only what is not as it should be, and
    /// `originals` stay those given.
    ///
    /// # Errors
    /// [`ClaimError`]: not there, enslaved, no Ethernet, or its ingress cannot be closed. Nothing
    /// has been changed then.
    pub fn claim(
        index: u32,
        request: &LanRequest,
        originals: LanOriginals,
    ) -> Result<Self, ClaimError> {
        let mut links = Links::open()?;
        let ethtool = Ethtool::open()?;
        let info = links.by_index(index)?;
        let info = suitable(&mut links, info)?;
        let ingress = IngressDrop::open()?.install(info.index)?;
        let mut port = Port { links, ethtool, info, interrupted: false, warnings: Vec::new() };
        port.warn_of_addresses();
        port.silence();
        port.merge_nothing();
        if let Some(mac) = request.mac {
            let remedy = "the port works all the same, with every frame of the LAN received";
            port.set_mac(mac, request.interrupt, remedy);
        }
        port.raise_mtu(request.mtu_min);
        if request.up {
            let up = port.links.set_up(port.info.index, true);
            port.note(up, "bring the interface up by hand and look at its driver's messages");
        }
        let now = port.links.by_index(port.info.index)?;
        Ok(Self {
            interface: now.name,
            index: now.index,
            originals,
            ingress,
            mac: now.mac,
            mtu: now.mtu,
            interrupted: port.interrupted,
            warnings: port.warnings,
        })
    }

    /// Gives the interface back as it was.
    #[must_use = "tells what could not be restored"]
    pub fn release(self) -> Vec<LanWarning> {
        release(&self.interface, &self.originals)
    }
}

/// Gives the interface of the originals' index back as they say, whoever claimed it and whatever it
/// is called by now. Where it is gone, another one of its last name, `interface`, is left as it is
/// but for what a crash may have left under that name. Returns what could not be restored.
#[must_use = "tells what could not be restored"]
pub fn release(interface: &str, originals: &LanOriginals) -> Vec<LanWarning> {
    let mut warnings = Vec::new();
    if let Err(error) = try_release(interface, originals, &mut warnings) {
        let remedy = format!("look at interface {interface} and set it up as it shall be");
        warnings.push(LanWarning { what: error.to_string(), remedy });
    }
    warnings
}

fn try_release(
    interface: &str,
    originals: &LanOriginals,
    warnings: &mut Vec<LanWarning>,
) -> Result<(), ClaimError> {
    let mut ingress = IngressDrop::open()?;
    let mut links = Links::open()?;
    let info = match links.by_index(originals.index) {
        Err(LinkError::NoSuchInterface { .. }) => {
            match links.by_name(interface) {
                // A new device of the old name has nothing of ours but, perhaps, the chain of that
                // name.
                Ok(other) => ingress.remove(other.index, true)?,
                Err(_) => ingress.forget(interface),
            }
            return Ok(());
        }
        info => info?,
    };
    let mut port =
        Port { links, ethtool: Ethtool::open()?, info, interrupted: false, warnings: Vec::new() };
    port.restore(originals);
    port.note(ingress.remove(originals.index, originals.clsact), "remove it with `tc` or `nft`");
    port.restore_ipv6(originals);
    warnings.append(&mut port.warnings);
    Ok(())
}

/// Keeps the host's stack from sending on an interface by itself, without claiming it: for the
/// inner end of a veth pair, which is nobody's but ours.
///
/// # Errors
/// The interface is not there, or cannot be changed.
pub fn silence(links: &mut Links, index: u32) -> Result<(), LinkError> {
    let info = links.by_index(index)?;
    // Without IPv6, or with a /proc that cannot be written, there is nothing more to do: what the
    // stack might send there, the LRE treats as the host's frames.
    let _ = originals::disable_ipv6(&info.name, true);
    links.set_noarp(index, true)
}

/// Whether the host speaks IPv6 on an interface, in the calling thread's namespace.
#[must_use]
pub fn is_ipv6_on(interface: &str) -> bool {
    originals::ipv6_disabled(interface).is_ok_and(|disabled| !disabled)
}

/// The interface, if it can be a LAN port.
fn suitable(links: &mut Links, info: LinkInfo) -> Result<LinkInfo, ClaimError> {
    if info.loopback || !info.ethernet {
        return Err(ClaimError::NotEthernet { interface: info.name });
    }
    if let Some(controller) = info.controller {
        let controller =
            links.by_index(controller).map_or_else(|_| format!("#{controller}"), |m| m.name);
        return Err(ClaimError::Enslaved { interface: info.name, controller });
    }
    Ok(info)
}

/// An interface while it is being changed.
struct Port {
    links: Links,
    ethtool: Ethtool,
    info: LinkInfo,
    interrupted: bool,
    warnings: Vec<LanWarning>,
}

impl Port {
    fn warn(&mut self, what: String, remedy: &str) {
        self.warnings.push(LanWarning { what, remedy: remedy.to_owned() });
    }

    /// Keeps a failure as a warning.
    fn note<T, E: std::fmt::Display>(&mut self, result: Result<T, E>, remedy: &str) -> Option<T> {
        result.map_err(|error| self.warn(error.to_string(), remedy)).ok()
    }

    fn warn_of_addresses(&mut self) {
        let remedy = "the addresses can be listed with `ip address`";
        let addresses = self.links.addresses(self.info.index);
        let addresses = self.note(addresses, remedy).unwrap_or_default();
        // A link-local address is the host's own doing and goes with IPv6.
        let texts: Vec<_> = addresses
            .iter()
            .filter(|address| match address.ip {
                std::net::IpAddr::V6(ip) => !ip.is_unicast_link_local(),
                std::net::IpAddr::V4(_) => true,
            })
            .map(|address| format!("{}/{}", address.ip, address.prefix_bits))
            .collect();
        if !texts.is_empty() {
            let (name, texts) = (&self.info.name, texts.join(", "));
            let what =
                format!("LAN interface {name} carries IP addresses that are dead now: {texts}");
            self.warn(what, "move them to the host interface");
        }
    }

    /// The host's stack sends nothing on the interface: before it is up.
    fn silence(&mut self) {
        let name = self.info.name.clone();
        let ipv6 = originals::disable_ipv6(&name, true)
            .map_err(|error| format!("cannot switch IPv6 off on LAN interface {name}: {error}"));
        let remedy = "make /proc/sys/net writable for the daemon, or switch it off by hand: \
                      the host may send router solicitations on the LAN";
        self.note(ipv6, remedy);
        if !self.info.noarp {
            let noarp = self.links.set_noarp(self.info.index, true);
            self.note(noarp, "the host may send ARP requests on the LAN");
        }
    }

    /// Frames arrive one by one.
    fn merge_nothing(&mut self) {
        for which in Offload::MERGING {
            let name = self.info.name.clone();
            let remedy = "merged frames that arrive are dropped and counted; use another driver";
            let state = self.ethtool.set_offload(&name, which, false);
            if self.note(state, remedy).flatten() == Some(true) {
                let what = format!("the driver of LAN interface {name} keeps {} on", which.name());
                self.warn(what, remedy);
            }
        }
    }

    /// Sets the MAC address: live, or, where the driver does not allow that and it may be, with the
    /// interface down for a moment.
    fn set_mac(&mut self, mac: MacAddress, interrupt: bool, remedy: &str) {
        if self.info.mac == mac {
            return;
        }
        let index = self.info.index;
        let mut result = self.links.set_mac(index, mac);
        let is_busy = matches!(&result, Err(error) if error.errno() == libc::EBUSY);
        if is_busy && self.info.up && interrupt {
            self.interrupted = true;
            result = self.links.set_up(index, false).and_then(|()| {
                let changed = self.links.set_mac(index, mac);
                self.links.set_up(index, true).and(changed)
            });
        }
        self.note(result, remedy);
    }

    fn raise_mtu(&mut self, mtu_min: u32) {
        if self.info.mtu >= mtu_min {
            return;
        }
        let result = self.links.set_mtu(self.info.index, mtu_min);
        let remedy = format!(
            "the host interface's MTU is lowered to fit; use a network card that carries {mtu_min}"
        );
        self.note(result, &remedy);
    }

    /// All but the drop and IPv6, which have an order among them.
    fn restore(&mut self, originals: &LanOriginals) {
        let index = self.info.index;
        let remedy = "set it by hand";
        if self.info.up && !originals.up {
            let down = self.links.set_up(index, false);
            self.note(down, remedy);
            self.info.up = false;
        }
        self.set_mac(originals.mac, true, remedy);
        if self.info.mtu != originals.mtu {
            let mtu = self.links.set_mtu(index, originals.mtu);
            self.note(mtu, remedy);
        }
        if self.info.noarp != originals.noarp {
            let noarp = self.links.set_noarp(index, originals.noarp);
            self.note(noarp, remedy);
        }
        for which in Offload::MERGING.into_iter().chain(Offload::TAKING_TAGS_OUT) {
            let now = self.ethtool.offload(&self.info.name, which).ok().flatten();
            if let Some(state) = originals.offload(which)
                && now != Some(state)
            {
                let set = self.ethtool.set_offload(&self.info.name, which, state);
                self.note(set, remedy);
            }
        }
        if originals.up && !self.info.up {
            let up = self.links.set_up(index, true);
            self.note(up, remedy);
        }
    }

    fn restore_ipv6(&mut self, originals: &LanOriginals) {
        let Some(disabled) = originals.ipv6_disabled else { return };
        let name = self.info.name.clone();
        if !originals.noarp {
            // Nobody misses it who does not use IPv6 there.
            let _ = originals::restore_duplicate_detection(&name);
        }
        let ipv6 = originals::disable_ipv6(&name, disabled)
            .map_err(|error| format!("cannot restore IPv6 on interface {name}: {error}"));
        self.note(ipv6, "set /proc/sys/net/ipv6/conf/INTERFACE/disable_ipv6 by hand");
        if disabled {
            return;
        }
        for &(ip, prefix) in &originals.ipv6_addresses {
            match self.links.add_address(self.info.index, ip.into(), prefix) {
                Err(LinkError::Exists { .. }) => {}
                result => {
                    let remedy = format!("add {ip}/{prefix} by hand");
                    self.note(result, &remedy);
                }
            }
        }
    }
}
