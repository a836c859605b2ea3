//! One LAN as the control thread sees it: its interface claimed, its port opened, what it has to be
//! like watched, and all of it again when the interface was deleted and has come back.

use prp::os::claim::{LanClaim, LanOriginals, LanRequest, LanWarning, RCT_MTU_OCTETS, release};
use prp::os::ethtool::{Ethtool, Offload};
use prp::os::ingress::IngressDrop;
use prp::os::lan_port::{LanPort, LanPortOptions, ReceivePath, TransmitFallback, TransmitPath};
use prp::os::link::{LinkInfo, Links};
use prp::os::presence::Presence;
use prp::os::promiscuity::Promiscuity;
use prp::types::{LanId, MacAddress};
use rt_core::limits::CONDITION_END_TIME;
use rt_core::time::Instant;

use super::failure;
use super::lan_life::LanLife;
use super::lan_lock::LanLock;
use super::lan_terms::{Defect, Defects, Needs, Seen, defects, every_frame};
use super::marker::{Marker, OwnedLan};
use crate::config::{DaemonConfig, LanReceive, Promiscuous};
use crate::exit::Failure;
use crate::report::{EveryFrame, Link};

/// One LAN.
#[derive(Debug)]
pub struct LanSide {
    /// Which.
    pub lan: LanId,
    /// The interface's name as configured.
    pub configured: String,
    /// Which interface is ours.
    pub life: LanLife,
    /// The interface's present name; the configured one while there is none.
    pub interface: String,
    /// The claim; none while the interface is gone.
    pub claim: Option<LanClaim>,
    /// The interface as the kernel described it last.
    pub info: Option<LinkInfo>,
    /// How frames arrive, while there is a port.
    pub receive_path: Option<ReceivePath>,
    /// Why they do not arrive in a better way.
    pub receive_fallback: Option<String>,
    /// How frames leave, while there is a port.
    pub transmit_path: Option<TransmitPath>,
    /// Why frames leave by another way than the fastest.
    pub transmit_fallback: Option<TransmitFallback>,
    /// Whether `info` was read while older descriptions may wait to be told: these are no news.
    pub is_ahead: bool,
    /// The last trouble with the interface that was told, so that it is told once.
    pub trouble: Option<String>,
    /// Tells our interface from any other.
    presence: Option<Presence>,
    /// Held while frames for other stations are needed, and why they are.
    promiscuity: Option<(Promiscuity, EveryFrame)>,
    /// Whether the card throws frames away for their VLAN tags, as far as nobody makes it take all.
    filters_tags: bool,
    /// Keeps other daemons away.
    lock: Option<LanLock>,
    /// What could not be put right, told already.
    unmended: Defects,
    /// Of these, what the interface could not be from the start: the claim's warnings say why.
    inborn: Defects,
    /// Of the interface that is gone: it may come back as we left it.
    lost: Option<LanClaim>,
    merged: Merged,
}

/// An interface that has appeared, closed and not yet taken.
#[derive(Debug)]
pub struct Met {
    name: String,
    lock: LanLock,
    originals: LanOriginals,
}

impl Met {
    /// Leaves it as it was.
    pub fn leave(self) {
        // What could not be given back is told when it is taken.
        drop(release(&self.name, &self.originals));
    }
}

/// What came of putting an interface right.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Mended {
    /// What is right again.
    pub fixed: Defects,
    /// What newly could not be put right.
    pub left: Defects,
    /// Why, as the system said.
    pub reasons: Vec<String>,
}

/// Frames that somebody had merged, and that were dropped therefore.
#[derive(Clone, Copy, Default, Debug)]
struct Merged {
    seen: u64,
    last: Option<Instant>,
}

impl LanSide {
    /// A LAN without an interface.
    #[must_use]
    pub fn absent(lan: LanId, config: &DaemonConfig) -> Self {
        let configured = config.lan(lan).to_owned();
        Self {
            lan,
            interface: configured.clone(),
            configured,
            life: LanLife::Absent,
            claim: None,
            info: None,
            receive_path: None,
            receive_fallback: None,
            transmit_path: None,
            transmit_fallback: None,
            is_ahead: false,
            trouble: None,
            presence: None,
            promiscuity: None,
            filters_tags: false,
            lock: None,
            unmended: Defects::NONE,
            inborn: Defects::NONE,
            lost: None,
            merged: Merged::default(),
        }
    }

    /// Claims the interface of that name and opens its port; at start.
    ///
    /// # Errors
    /// The interface cannot be a LAN port; then it is as before.
    pub fn open(
        &mut self,
        interface: &str,
        config: &DaemonConfig,
        marker: &mut Marker,
        mac: MacAddress,
        originals: LanOriginals,
    ) -> Result<Box<LanPort>, Failure> {
        let lock = LanLock::take(interface).map_err(|_| failure::lan_held(self.lan, interface))?;
        self.claim_and_open(interface, lock, config, marker, mac, originals)
    }

    /// Meets an interface that has appeared. Somebody may set it up at any moment, so its ingress
    /// is closed before anything else is looked at. One that comes back from another network
    /// namespace as we left it is to be what it was before that.
    ///
    /// # Errors
    /// The interface cannot be a LAN port; then it is as before.
    pub fn meet(&self, index: u32) -> Result<Met, Failure> {
        let lan = self.lan;
        let info = Links::open().and_then(|mut links| links.by_index(index));
        let info = info.map_err(failure::link)?;
        let lock = LanLock::take(&info.name).map_err(|_| failure::lan_held(lan, &info.name))?;
        let read = LanOriginals::read_closing(index);
        let mut originals = read.map_err(|error| failure::lan_claim(lan, error))?;
        if let Some(lost) = &self.lost
            && info.noarp
            && (info.mac, info.mtu) == (lost.mac, lost.mtu)
        {
            let clsact = originals.clsact;
            originals = LanOriginals { index, clsact, ..lost.originals.clone() };
        }
        Ok(Met { name: info.name, lock, originals })
    }

    /// Takes the interface that was met.
    ///
    /// # Errors
    /// The interface cannot be a LAN port; then it is as before.
    pub fn take(
        &mut self,
        met: Met,
        config: &DaemonConfig,
        marker: &mut Marker,
        mac: MacAddress,
    ) -> Result<Box<LanPort>, Failure> {
        let Met { name, lock, originals } = met;
        self.claim_and_open(&name, lock, config, marker, mac, originals.clone())
            .inspect_err(|_| drop(release(&name, &originals)))
    }

    fn claim_and_open(
        &mut self,
        interface: &str,
        lock: LanLock,
        config: &DaemonConfig,
        marker: &mut Marker,
        mac: MacAddress,
        originals: LanOriginals,
    ) -> Result<Box<LanPort>, Failure> {
        let lan = self.lan;
        marker.owned.mac = Some(mac.to_string());
        marker.owned.lans[lan.index()] = Some(OwnedLan::new(interface, &originals));
        marker.store().map_err(|error| failure::marker(&error))?;
        let index = originals.index;
        let claim = LanClaim::claim(index, &request(config, mac), originals)
            .map_err(|error| failure::lan_claim(lan, error))?;
        let opened = Presence::of(index).map_err(|error| failure::open(interface, &error));
        let opened = opened.and_then(|presence| Ok((presence, open_port(config, &claim)?)));
        let (presence, port) = match opened {
            Ok(opened) => opened,
            Err(failure) => {
                let _ = claim.release();
                return Err(failure);
            }
        };
        self.life.taken(index, &claim.interface);
        self.interface.clone_from(&claim.interface);
        self.receive_path = Some(port.receive_path());
        self.receive_fallback = port.receive_fallback().map(str::to_owned);
        self.transmit_path = Some(port.transmit_path());
        self.transmit_fallback = port.transmit_fallback().cloned();
        self.info = Links::open().and_then(|mut links| links.by_index(index)).ok();
        self.is_ahead = true;
        self.claim = Some(claim);
        self.presence = Some(presence);
        self.lock = Some(lock);
        self.trouble = None;
        self.lost = None;
        let found = self.info.as_ref().and_then(|info| self.defects(info, config, mac).ok());
        self.unmended = found.unwrap_or_default();
        self.inborn = self.unmended;
        Ok(Box::new(port))
    }

    /// The state of the interface.
    #[must_use]
    pub fn link(&self) -> Link {
        match &self.info {
            _ if self.claim.is_none() => Link::Absent,
            Some(info) if info.running => Link::Up,
            _ => Link::Down,
        }
    }

    /// The interface as it is now; `None` when it is gone, whoever has its name or index.
    #[must_use]
    pub fn look(&self, links: &mut Links) -> Option<LinkInfo> {
        let index = self.life.held()?;
        let info = links.by_index(index).ok()?;
        self.presence.as_ref()?.is_there().then_some(info)
    }

    /// The interface is gone.
    pub fn lose(&mut self) {
        self.life.lost();
        self.lost = self.claim.take();
        self.interface.clone_from(&self.configured);
        self.info = None;
        self.receive_path = None;
        self.receive_fallback = None;
        self.transmit_path = None;
        self.transmit_fallback = None;
        self.trouble = None;
        self.presence = None;
        self.lock = None;
        self.promiscuity = None;
        self.filters_tags = false;
        self.unmended = Defects::NONE;
    }

    /// The interface has another name: what goes by names follows.
    ///
    /// # Errors
    /// What could not follow, as a sentence.
    pub fn rename(&mut self, name: &str, marker: &mut Marker) -> Result<(), String> {
        self.life.renamed(name);
        name.clone_into(&mut self.interface);
        let Some(claim) = &mut self.claim else { return Ok(()) };
        name.clone_into(&mut claim.interface);
        marker.owned.lans[self.lan.index()] = Some(OwnedLan::new(name, &claim.originals));
        let index = claim.index;
        let drop = IngressDrop::open().and_then(|mut drop| drop.install(index));
        // A lock is one of a name's file, which went with the name.
        self.lock = None;
        let lock = LanLock::take(name);
        self.lock = lock.ok();
        drop.map(std::mem::drop).map_err(|error| error.to_string())?;
        match self.lock {
            Some(_) => Ok(()),
            None => Err(format!("another daemon uses the name {name}")),
        }
    }

    /// Gives the interface back as it was; returns what could not be restored.
    #[must_use = "tells what could not be restored"]
    pub fn give_back(&mut self) -> Vec<LanWarning> {
        let is_there = self.presence.as_ref().is_some_and(Presence::is_there);
        let warnings = match (self.claim.take(), self.lost.take()) {
            (Some(claim), _) if is_there => claim.release(),
            // The chain of an interface that is gone stays under its name.
            (Some(gone), _) | (None, Some(gone)) => {
                if let Ok(mut drop) = IngressDrop::open() {
                    drop.forget(&gone.interface);
                }
                Vec::new()
            }
            (None, None) => Vec::new(),
        };
        // Only now may another daemon take the interface.
        self.lock = None;
        warnings
    }

    /// Receives frames for other stations or not, as configured: by default when the card filters
    /// VLAN tags, when the host interface does (a bridge with virtual machines on it), or when the
    /// card kept an address of its own and would not take frames for ours. Returns whether that is
    /// to be told: the card's filter came into it, or went. (Who looks at the host interface with
    /// a packet tap switches the rest on and off.)
    ///
    /// # Errors
    /// What went wrong, as a sentence.
    pub fn set_promiscuous(
        &mut self,
        wanted: Promiscuous,
        mac: MacAddress,
        host_is_promiscuous: bool,
    ) -> Result<bool, String> {
        let Some(claim) = &self.claim else { return Ok(false) };
        self.filters_tags = filters_tags(&claim.interface);
        let needs = Needs {
            filters_tags: self.filters_tags,
            host: host_is_promiscuous,
            keeps_address: claim.mac != mac,
        };
        let before = self.every_frame();
        let why = every_frame(wanted, needs);
        self.promiscuity = match (why, self.promiscuity.take()) {
            (None, _) => None,
            (Some(why), Some((held, _))) => Some((held, why)),
            (Some(why), None) => {
                let held = Promiscuity::hold(claim.index).map_err(|error| error.to_string())?;
                Some((held, why))
            }
        };
        Ok(before != why && [before, why].contains(&Some(EveryFrame::VlanFilter)))
    }

    /// Why frames for other stations are received; `None` when we do not ask for them.
    #[must_use]
    pub fn every_frame(&self) -> Option<EveryFrame> {
        self.promiscuity.as_ref().map(|(_, why)| *why)
    }

    /// Looks whether merged frames were dropped since the last time. Returns whether that begins
    /// now.
    pub fn watch_merged(&mut self, now: Instant, rx_merged: u64) -> bool {
        let begins = rx_merged > self.merged.seen && self.merged.last.is_none();
        if rx_merged > self.merged.seen {
            self.merged = Merged { seen: rx_merged, last: Some(now) };
        } else if self.merged.last.is_some_and(|last| now.since(last) >= CONDITION_END_TIME) {
            self.merged.last = None;
        }
        begins
    }

    /// The alarm about merged frames, while it lasts.
    fn merged_alarm(&self) -> Option<String> {
        self.merged.last.map(|_| {
            format!(
                "LAN {} ({}) drops frames that a sender or the network card had merged: switch \
                 TSO and GSO off at the sender (`ethtool -K INTERFACE tso off gso off`), or GRO \
                 and LRO at the card",
                self.lan, self.interface
            )
        })
    }

    /// Puts right what somebody changed on the interface while it is ours. What cannot be put right
    /// is tried again each time, without disturbing the link, and reported once.
    ///
    /// # Errors
    /// The interface cannot be looked at, or not be claimed, as a sentence.
    pub fn mend(&mut self, config: &DaemonConfig, mac: MacAddress) -> Result<Mended, String> {
        let (Some(claim), Some(info)) = (&self.claim, &self.info) else {
            return Ok(Mended::default());
        };
        let wrong = self.defects(info, config, mac)?;
        self.unmended = self.unmended.and(wrong);
        if wrong.is_empty() {
            return Ok(Mended::default());
        }
        let index = claim.index;
        if wrong.has(Defect::Enslaved) {
            let freed = Links::open().and_then(|mut links| links.clear_controller(index));
            freed.map_err(|error| error.to_string())?;
        }
        let interrupt = !self.unmended.has(Defect::Mac);
        let request = LanRequest { up: info.up, interrupt, ..request(config, mac) };
        let mended = LanClaim::claim(index, &request, claim.originals.clone());
        let mended = mended.map_err(|error| error.to_string())?;
        let info = Links::open().and_then(|mut links| links.by_index(index));
        let info = info.map_err(|error| error.to_string())?;
        let left = self.defects(&info, config, mac)?.and(wrong);
        let told = std::mem::replace(&mut self.unmended, left);
        let reasons = mended.warnings.iter().map(ToString::to_string).collect();
        self.info = Some(info);
        self.is_ahead |= mended.interrupted;
        self.claim = Some(mended);
        Ok(Mended { fixed: wrong.without(left), left: left.without(told), reasons })
    }

    /// Whether a new description shows something to be put right, beyond what cannot be.
    #[must_use]
    pub fn is_changed(&self, info: &LinkInfo, mac: MacAddress) -> bool {
        let Some(claim) = &self.claim else { return false };
        let wanted = LanRequest { mac: Some(mac), mtu_min: claim.mtu, ..LanRequest::default() };
        let seen = Seen { info, dropped: true, ipv6: false, merges: false };
        !defects(&seen, &wanted).without(self.unmended).is_empty()
    }

    /// What is not as it should be.
    fn defects(
        &self,
        info: &LinkInfo,
        config: &DaemonConfig,
        mac: MacAddress,
    ) -> Result<Defects, String> {
        let mut drop = IngressDrop::open().map_err(|error| error.to_string())?;
        let dropped = drop.find(info.index).map_err(|error| error.to_string())?.is_some();
        let ethtool = Ethtool::open().map_err(|error| error.to_string())?;
        let merges = |which| matches!(ethtool.offload(&info.name, which), Ok(Some(true)));
        let seen = Seen {
            info,
            dropped,
            ipv6: prp::os::claim::is_ipv6_on(&info.name),
            merges: Offload::MERGING.into_iter().any(merges),
        };
        Ok(defects(&seen, &request(config, mac)))
    }

    /// What is wrong with this LAN's interface now, a sentence each.
    #[must_use]
    pub fn alarms(&self) -> Vec<String> {
        let (lan, name, configured) = (self.lan, &self.interface, &self.configured);
        let mut sentences = Vec::new();
        match &self.info {
            _ if self.claim.is_none() => sentences.push(format!(
                "LAN {lan} has no interface: there is none called {configured} that can be used \
                 (ip link lists what there is); it is taken when it appears"
            )),
            Some(info) if !info.up => sentences.push(format!(
                "LAN {lan} is down: somebody set its interface {name} down; ip link set {name} up"
            )),
            _ => {}
        }
        if self.life.has_rival() {
            sentences.push(format!(
                "LAN {lan} uses interface {name}, which was called {configured} before; the one \
                 that is called {configured} now is not used; restart the daemon, or delete \
                 {name}, to change over to it"
            ));
        }
        let unmended = self.unmended.without(self.inborn);
        if !unmended.is_empty() {
            sentences.push(format!(
                "LAN {lan}: what somebody changed on interface {name} cannot be put right: \
                 {unmended}"
            ));
        }
        sentences.extend(self.merged_alarm());
        sentences
    }

    /// The ways that frames take, as a sentence for the log; `None` while there is no port.
    #[must_use]
    pub fn paths(&self) -> Option<String> {
        let (lan, name) = (self.lan, &self.interface);
        let receive = self.receive_path?.name();
        let transmit = self.transmit_path?.name();
        let in_brackets =
            |why: Option<String>| why.map_or(String::new(), |why| format!(" ({why})"));
        let why = in_brackets(self.receive_fallback.clone());
        let why_out = in_brackets(self.transmit_fallback.as_ref().map(ToString::to_string));
        Some(format!(
            "LAN {lan} ({name}): receives by {receive}{why}, sends by {transmit}{why_out}"
        ))
    }

    /// What this LAN runs without, a sentence each.
    #[must_use]
    pub fn shortcomings(&self) -> Vec<String> {
        let warnings = self.claim.iter().flat_map(|claim| &claim.warnings);
        let mut sentences: Vec<_> = warnings.map(ToString::to_string).collect();
        if let Some(TransmitFallback::Refused(reason)) = &self.transmit_fallback {
            let name = &self.interface;
            sentences.push(format!(
                "LAN {} ({name}) sends through a packet socket instead of AF_XDP, at a third more \
                 cost: {reason}",
                self.lan
            ));
        }
        let is_promiscuous = self.info.as_ref().is_some_and(|info| info.promiscuous);
        if self.filters_tags && self.promiscuity.is_none() && !is_promiscuous {
            let (lan, name) = (self.lan, &self.interface);
            sentences.push(format!(
                "LAN {lan}: the card of interface {name} throws frames with VLAN tags away \
                 (`rx-vlan-filter`): set promiscuous = \"auto\", or switch the filter off where \
                 the driver lets you (`ethtool -K {name} rx-vlan-filter off`)"
            ));
        }
        sentences
    }
}

/// Whether the card throws frames away for their VLAN tags while nobody makes it take all.
fn filters_tags(interface: &str) -> bool {
    let Ok(ethtool) = Ethtool::open() else { return false };
    let is_on = |which| matches!(ethtool.offload(interface, which), Ok(Some(true)));
    Offload::FILTERING_TAGS.into_iter().any(is_on)
}

/// What an interface has to be like: the node's address, and an MTU for the host's and the RCT.
fn request(config: &DaemonConfig, mac: MacAddress) -> LanRequest {
    let mtu_min = u32::from(config.host.mtu) + RCT_MTU_OCTETS;
    LanRequest { mac: Some(mac), mtu_min, ..LanRequest::default() }
}

fn open_port(config: &DaemonConfig, claim: &LanClaim) -> Result<LanPort, Failure> {
    let options = LanPortOptions {
        receive: match config.lan_receive {
            LanReceive::Auto => prp::os::lan_port::LanReceive::Auto,
            LanReceive::Ring => prp::os::lan_port::LanReceive::Ring,
            LanReceive::Xdp => prp::os::lan_port::LanReceive::Xdp,
        },
        transmit: config.lan_transmit,
        ..LanPortOptions::new(claim.index, claim.mtu)
    };
    LanPort::open(&options).map_err(|error| failure::open(&claim.interface, &error))
}
