//! The host interface: created, or adopted from a former life that crashed; removed at the end.
//!
//! Somebody may move it to another network namespace, as one does for a container: it works there
//! as before, because its frames come through a descriptor (TAP) or the pair's other end (veth).
//! From then on it is one that goes with this process, so that no crash leaves it where the next
//! life would not find it. Where it is the kernel does not say, so nothing there is watched.

use prp::os::ethtool::{Ethtool, Offload};
use prp::os::host_port::HostPort;
use prp::os::ingress::IngressDrop;
use prp::os::lan_port::{LanPort, LanPortOptions};
use prp::os::link::{LinkError, LinkInfo, Links};
use prp::os::open_error::OpenError;
use prp::os::presence::Presence;
use prp::os::promiscuity::Promiscuity;
use prp::os::tap::{Tap, TapControl};
use prp::types::MacAddress;

use super::failure;
use super::marker::{Marker, OwnedHost};
use crate::config::{DaemonConfig, HostPort as Wanted};
use crate::exit::Failure;
use crate::report::HostKind;

/// A TAP drops what finds its queue full, and it is read by one thread that has other ports too:
/// room for some milliseconds at full rate.
const QUEUE_PACKETS: u32 = 8192;

/// The host interface and what the control thread needs of it.
#[derive(Debug)]
pub struct HostInterface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// What it is made of.
    pub kind: HostKind,
    /// The most that its MTU may be: what the LANs carry.
    pub mtu: u32,
    /// The interface as the kernel described it last.
    pub info: Option<LinkInfo>,
    /// What could not be put right, told already.
    pub trouble: Option<String>,
    /// Whether it is in another network namespace.
    pub is_away: bool,
    /// The text that we attached to it.
    alias: String,
    /// Tells it from any other interface.
    presence: Presence,
    carrier: Carrier,
}

/// Where the host interface is.
#[derive(Debug)]
pub enum Place {
    /// In the namespace of the daemon.
    Here,
    /// In another one.
    Elsewhere,
    /// It was deleted.
    Gone,
}

/// How the host is shown whether anything forwards.
#[derive(Debug)]
enum Carrier {
    Tap(TapControl),
    /// The inner end of the pair, whose state is the outer end's carrier.
    Veth {
        /// Its index.
        inner: u32,
        /// Tells it from any other interface; it lives as long as the outer end.
        presence: Presence,
        /// Held as long as the port is in use.
        _promiscuity: Promiscuity,
    },
}

impl HostInterface {
    /// Creates the interface, or adopts it, with the node's address and the MTU; not up yet.
    ///
    /// # Errors
    /// The name belongs to somebody else (code 2), or a privilege is missing (code 3).
    pub fn open(
        config: &DaemonConfig,
        marker: &mut Marker,
        mac: MacAddress,
        mtu: u32,
    ) -> Result<(Self, HostPort), Failure> {
        let mut links = Links::open().map_err(failure::link)?;
        let name = config.name.as_str();
        let found = match links.by_name(name) {
            Ok(info) => Some(info),
            Err(LinkError::NoSuchInterface { .. }) => renamed_back(&mut links, name, marker),
            Err(error) => return Err(failure::link(error)),
        };
        let adopted = found.map(|info| ours(info, marker)).transpose()?;
        let is_new = adopted.is_none();
        if is_new {
            delete_inner_end(&mut links, marker);
            // A record of an interface that is gone: another one may have its index by now.
            marker.owned.host = None;
        }
        let mut opening = Opening { config, marker, links, mac, mtu };
        let opened = match (config.host.port, adopted) {
            (_, Some(OwnedHost { inner: Some(inner), .. })) => opening.veth(&inner, true),
            (_, Some(_)) | (Wanted::Tap, None) => opening.tap().map_err(|e| failure::tap(name, &e)),
            (Wanted::Veth, None) => opening.new_veth(),
            (Wanted::Auto, None) => match opening.tap() {
                Ok(host) => Ok(host),
                Err(TapError::Open(OpenError::NotPermitted { .. } | OpenError::System { .. })) => {
                    opening.new_veth()
                }
                Err(error) => Err(failure::tap(name, &error)),
            },
        };
        if opened.is_err() && is_new {
            opening.discard();
        }
        opened
    }

    /// Where it is now, whatever has its name or index.
    pub fn find(&mut self) -> Place {
        if self.presence.is_there() {
            return Place::Here;
        }
        let is_there = match &self.carrier {
            // What cannot be asked is not given up.
            Carrier::Tap(tap) => tap.is_there().unwrap_or(true),
            Carrier::Veth { presence, .. } => presence.is_there(),
        };
        if !is_there {
            return Place::Gone;
        }
        // It may have been away and be back, under another index.
        let all = Links::open().and_then(|mut links| links.all()).unwrap_or_default();
        let ours = all.into_iter().find(|info| info.alias.as_ref() == Some(&self.alias));
        let Some((index, presence)) =
            ours.and_then(|info| Some((info.index, Presence::of(info.index).ok()?)))
        else {
            return Place::Elsewhere;
        };
        (self.index, self.presence) = (index, presence);
        Place::Here
    }

    /// Somebody has moved it to another namespace: there it is down, and goes with this process.
    ///
    /// # Errors
    /// What went wrong, as a sentence.
    pub fn leave(&mut self) -> Result<(), String> {
        self.is_away = true;
        if let Some(info) = &mut self.info {
            info.up = false;
        }
        self.set_persistent(false)
    }

    /// It is in the daemon's namespace again, and outlives a crash there.
    ///
    /// # Errors
    /// What went wrong, as a sentence.
    pub fn come_home(&mut self) -> Result<(), String> {
        self.is_away = false;
        self.set_persistent(true)
    }

    fn set_persistent(&self, persistent: bool) -> Result<(), String> {
        match &self.carrier {
            Carrier::Tap(tap) => tap.set_persistent(persistent).map_err(|error| error.to_string()),
            // Whoever starts next finds the inner end.
            Carrier::Veth { .. } => Ok(()),
        }
    }

    /// What is not done for it where it is.
    #[must_use]
    pub fn shortcoming(&self) -> Option<String> {
        let name = &self.name;
        self.is_away.then(|| {
            format!(
                "host interface {name} is in another network namespace: it works there and is \
                 removed at the end, but what somebody does to it (another MAC address, a longer \
                 MTU, a bridge on it) is not seen; where that matters, move it back"
            )
        })
    }

    /// Whether it receives frames for other stations.
    #[must_use]
    pub fn is_promiscuous(&self) -> bool {
        self.info.as_ref().is_some_and(|info| info.promiscuous)
    }

    /// Sets the interface up: from now on the host can use it.
    ///
    /// # Errors
    /// The interface is gone, or the privilege.
    pub fn set_up(&mut self) -> Result<(), Failure> {
        let mut links = Links::open().map_err(failure::link)?;
        links.set_up(self.index, true).map_err(failure::link)?;
        if let Some(info) = &mut self.info {
            info.up = true;
        }
        Ok(())
    }

    /// Shows the host whether anything forwards.
    ///
    /// # Errors
    /// What went wrong, as a sentence.
    pub fn set_carrier(&self, carrier: bool) -> Result<(), String> {
        match &self.carrier {
            Carrier::Tap(tap) => tap.set_carrier(carrier).map_err(|error| error.to_string()),
            Carrier::Veth { inner, .. } => Links::open()
                .and_then(|mut links| links.set_up(*inner, carrier))
                .map_err(|error| error.to_string()),
        }
    }

    /// Removes the interface.
    ///
    /// # Errors
    /// What went wrong, as a sentence.
    pub fn remove(mut self) -> Result<(), String> {
        let index = match (self.find(), &self.carrier) {
            (Place::Gone, _) => return Ok(()),
            (Place::Here, _) => self.index,
            // It goes with its last handle, which is ours.
            (Place::Elsewhere, Carrier::Tap(_)) => return self.set_persistent(false),
            // The other end goes with it.
            (Place::Elsewhere, Carrier::Veth { inner, .. }) => *inner,
        };
        match Links::open().and_then(|mut links| links.delete(index)) {
            Ok(()) | Err(LinkError::NoSuchInterface { .. }) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// What a former life of ours created, if somebody has renamed it: under our name again.
fn renamed_back(links: &mut Links, name: &str, marker: &mut Marker) -> Option<LinkInfo> {
    let owned = marker.owned.host.as_mut()?;
    let info = links.by_index(owned.index).ok()?;
    if info.alias.as_deref() != Some(owned.alias.as_str()) {
        return None;
    }
    // Older kernels rename only what is down; it is set up again later.
    links.set_up(info.index, false).and_then(|()| links.rename(info.index, name)).ok()?;
    name.clone_into(&mut owned.name);
    links.by_index(info.index).ok()
}

/// The inner end of a pair whose other end was in another namespace when a former life crashed.
fn delete_inner_end(links: &mut Links, marker: &Marker) {
    let Some(inner) = marker.owned.host.as_ref().and_then(|owned| owned.inner.as_ref()) else {
        return;
    };
    if let Ok(info) = links.by_name(inner)
        && info.alias == Some(alias_of(inner))
    {
        // Should that fail, it is told that the name is taken.
        let _ = links.delete(info.index);
    }
}

/// The text that is attached to what is ours.
fn alias_of(name: &str) -> String {
    format!("bumpless {name}")
}

/// Whether an interface of our name is what a former life of ours created.
fn ours(info: LinkInfo, marker: &Marker) -> Result<OwnedHost, Failure> {
    let is_ours = |owned: &&OwnedHost| {
        owned.name == info.name
            && owned.index == info.index
            && info.alias.as_deref() == Some(owned.alias.as_str())
    };
    marker.owned.host.as_ref().filter(is_ours).cloned().ok_or_else(|| failure::foreign(&info.name))
}

/// Why there is no TAP.
#[derive(Debug)]
pub enum TapError {
    /// It cannot be opened.
    Open(OpenError),
    /// It cannot be made what it should be.
    Failure(Failure),
}

impl From<OpenError> for TapError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<LinkError> for TapError {
    fn from(error: LinkError) -> Self {
        Self::Failure(failure::link(error))
    }
}

struct Opening<'a> {
    config: &'a DaemonConfig,
    marker: &'a mut Marker,
    links: Links,
    mac: MacAddress,
    mtu: u32,
}

impl Opening<'_> {
    fn tap(&mut self) -> Result<(HostInterface, HostPort), TapError> {
        let name = self.config.name.as_str();
        let tap = Tap::open(name)?;
        let index = tap.interface_index();
        self.own(index, None).map_err(TapError::Failure)?;
        // From here on a crash leaves the interface, its addresses included, to be adopted.
        tap.set_persistent(true)?;
        self.set_up_as_wanted(index)?;
        let control = tap.control()?;
        let host = HostInterface {
            name: name.to_owned(),
            index,
            kind: HostKind::Tap,
            mtu: self.mtu,
            info: None,
            trouble: None,
            is_away: false,
            alias: alias_of(name),
            presence: Presence::of(index)?,
            carrier: Carrier::Tap(control),
        };
        Ok((host, tap.into()))
    }

    fn new_veth(&mut self) -> Result<(HostInterface, HostPort), Failure> {
        let inner = inner_name(self.config.name.as_str());
        self.veth(&inner, false)
    }

    fn veth(&mut self, inner: &str, exists: bool) -> Result<(HostInterface, HostPort), Failure> {
        let name = self.config.name.as_str();
        if !exists {
            self.links.create_veth(name, inner, None).map_err(failure::create)?;
        }
        let outer = self.links.by_name(name).map_err(failure::link)?.index;
        let inner_index = self.links.by_name(inner).map_err(failure::link)?.index;
        self.own(outer, Some(inner))?;
        self.links.set_alias(inner_index, &alias_of(inner)).map_err(failure::link)?;
        self.set_up_as_wanted(outer).map_err(failure::link)?;
        // The host must hand over whole frames with complete checksums.
        let ethtool = Ethtool::open().map_err(failure::link)?;
        for offload in [Offload::TxChecksum, Offload::Tso, Offload::Gso] {
            ethtool.set_offload(name, offload, false).map_err(failure::link)?;
        }
        self.links.set_mtu(inner_index, self.mtu).map_err(failure::link)?;
        let mut ingress = IngressDrop::open().map_err(|e| failure::ingress(&e))?;
        ingress.install(inner_index).map_err(|e| failure::ingress(&e))?;
        prp::os::claim::silence(&mut self.links, inner_index).map_err(failure::link)?;
        let options = LanPortOptions::new(inner_index, self.mtu);
        let port = LanPort::open(&options).map_err(|e| failure::open(inner, &e))?;
        // The inner end has an address of its own; the host sends to every other one.
        let promiscuity = Promiscuity::hold(inner_index).map_err(|e| failure::open(inner, &e))?;
        let host = HostInterface {
            name: name.to_owned(),
            index: outer,
            kind: HostKind::Veth,
            mtu: self.mtu,
            info: None,
            trouble: None,
            is_away: false,
            alias: alias_of(name),
            presence: Presence::of(outer).map_err(|e| failure::open(name, &e))?,
            carrier: Carrier::Veth {
                inner: inner_index,
                presence: Presence::of(inner_index).map_err(|e| failure::open(inner, &e))?,
                _promiscuity: promiscuity,
            },
        };
        Ok((host, port.into()))
    }

    /// Removes what was made before something failed.
    fn discard(&mut self) {
        if let Some(owned) = self.marker.owned.host.take() {
            // Then it is not ours any more, and the next start says that it is in the way.
            let _ = self.links.delete(owned.index);
        }
    }

    /// Writes down that the interface is ours, on itself and in the marker.
    fn own(&mut self, index: u32, inner: Option<&str>) -> Result<(), Failure> {
        let name = self.config.name.as_str();
        let alias = alias_of(name);
        self.links.set_alias(index, &alias).map_err(failure::link)?;
        self.marker.owned.host = Some(OwnedHost {
            name: name.to_owned(),
            index,
            alias,
            inner: inner.map(str::to_owned),
        });
        self.marker.store().map_err(|error| failure::marker(&error))
    }

    fn set_up_as_wanted(&mut self, index: u32) -> Result<(), LinkError> {
        if self.links.by_index(index)?.mac != self.mac {
            self.links.set_mac(index, self.mac)?;
        }
        self.links.set_mtu(index, self.mtu)?;
        self.links.set_txqueuelen(index, QUEUE_PACKETS)
    }
}

/// The name of the inner end: recognisable, and no longer than a name may be.
fn inner_name(name: &str) -> String {
    let kept: String = name.chars().take(13).collect();
    format!("{kept}.i")
}
