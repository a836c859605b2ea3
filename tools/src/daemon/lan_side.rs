//! One LAN as the control thread sees it: its interface claimed, its port opened, its link watched,
//! and all of it again when the interface was deleted and has come back.

use prp::os::claim::{LanClaim, LanOriginals, LanRequest};
use prp::os::ingress::IngressDrop;
use prp::os::lan_port::{LanPort, LanPortOptions, ReceivePath, TransmitPath};
use prp::os::link::{LinkInfo, Links};
use prp::os::promiscuity::Promiscuity;
use prp::types::{LanId, MacAddress};
use rt_core::limits::CONDITION_END_TIME;
use rt_core::time::Instant;

use super::failure;
use super::lan_lock::LanLock;
use super::marker::{Marker, OwnedLan};
use crate::config::{DaemonConfig, LanReceive, LanTransmit, Promiscuous};
use crate::exit::Failure;
use crate::report::Link;

/// One LAN.
#[derive(Debug)]
pub struct LanSide {
    /// Which.
    pub lan: LanId,
    /// The interface's name, as configured.
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
    pub transmit_fallback: Option<String>,
    /// Held while frames for other stations are needed.
    promiscuity: Option<Promiscuity>,
    /// Keeps other daemons away.
    lock: Option<LanLock>,
    merged: Merged,
}

/// Frames that somebody had merged, and that were dropped therefore.
#[derive(Clone, Copy, Default, Debug)]
struct Merged {
    seen: u64,
    last: Option<Instant>,
}

impl LanSide {
    /// Claims the interface and opens its port.
    ///
    /// # Errors
    /// The interface cannot be a LAN port; then it is as before.
    pub fn open(
        lan: LanId,
        config: &DaemonConfig,
        marker: &mut Marker,
        mac: MacAddress,
        originals: LanOriginals,
    ) -> Result<(Self, Box<LanPort>), Failure> {
        let interface = config.lan(lan).as_str();
        let lock = LanLock::take(interface).map_err(|_| failure::lan_held(lan, interface))?;
        marker.owned.lans[lan.index()] = Some(OwnedLan::new(interface, &originals));
        marker.store().map_err(|error| failure::marker(&error))?;
        let request = LanRequest { mac: Some(mac), mtu_min: lan_mtu(config) };
        let claim = LanClaim::claim(interface, &request, originals)
            .map_err(|error| failure::lan_claim(lan, error))?;
        let port = open_port(config, &claim);
        let port = match port {
            Ok(port) => port,
            Err(failure) => {
                let _ = claim.release();
                return Err(failure);
            }
        };
        let info = Links::open().and_then(|mut links| links.by_index(claim.index)).ok();
        let side = Self {
            lan,
            interface: interface.to_owned(),
            receive_path: Some(port.receive_path()),
            receive_fallback: port.receive_fallback().map(str::to_owned),
            transmit_path: Some(port.transmit_path()),
            transmit_fallback: port.transmit_fallback().map(ToString::to_string),
            claim: Some(claim),
            info,
            promiscuity: None,
            lock: Some(lock),
            merged: Merged::default(),
        };
        Ok((side, Box::new(port)))
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

    /// The interface is gone.
    pub fn forget(&mut self) {
        self.claim = None;
        self.info = None;
        self.receive_path = None;
        self.receive_fallback = None;
        self.transmit_path = None;
        self.transmit_fallback = None;
        self.lock = None;
        self.promiscuity = None;
    }

    /// Receives frames for other stations or not, as configured: by default when the host
    /// interface does (a bridge with virtual machines on it), or when the NIC kept an address of
    /// its own and would not take frames for ours.
    ///
    /// # Errors
    /// What went wrong, as a sentence.
    pub fn set_promiscuous(
        &mut self,
        wanted: Promiscuous,
        mac: MacAddress,
        host_is_promiscuous: bool,
    ) -> Result<(), String> {
        let Some(claim) = &self.claim else { return Ok(()) };
        let needed = match wanted {
            Promiscuous::On => true,
            Promiscuous::Off => false,
            Promiscuous::Auto => host_is_promiscuous || claim.mac != mac,
        };
        match (needed, &self.promiscuity) {
            (true, None) => {
                let hold = Promiscuity::hold(claim.index);
                self.promiscuity = Some(hold.map_err(|error| error.to_string())?);
            }
            (false, Some(_)) => self.promiscuity = None,
            _ => {}
        }
        Ok(())
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
    #[must_use]
    pub fn merged_alarm(&self) -> Option<String> {
        self.merged.last.map(|_| {
            format!(
                "LAN {} ({}) drops frames that a sender or the network card had merged: switch \
                 TSO and GSO off at the sender (`ethtool -K INTERFACE tso off gso off`), or GRO \
                 and LRO at the card",
                self.lan, self.interface
            )
        })
    }

    /// Puts right what somebody changed on the interface while it is ours. Returns what was wrong.
    ///
    /// # Errors
    /// What could not be put right, as a sentence.
    pub fn mend(
        &mut self,
        config: &DaemonConfig,
        mac: MacAddress,
    ) -> Result<Option<String>, String> {
        let (Some(claim), Some(info)) = (&self.claim, &self.info) else { return Ok(None) };
        let mut drop = IngressDrop::open().map_err(|error| error.to_string())?;
        let dropped = drop.find(claim.index).map_err(|error| error.to_string())?.is_some();
        let mut wrong = Vec::new();
        if !dropped {
            wrong.push("the host's stack received what arrives there");
        }
        if claim.mac == mac && info.mac != mac {
            wrong.push("its MAC address was another one");
        }
        if info.mtu < claim.mtu {
            wrong.push("its MTU was lowered");
        }
        if !info.noarp {
            wrong.push("the host answered ARP there");
        }
        if prp::os::claim::is_ipv6_on(&self.interface) {
            wrong.push("the host spoke IPv6 there");
        }
        if wrong.is_empty() {
            return Ok(None);
        }
        let request = LanRequest { mac: Some(mac), mtu_min: lan_mtu(config) };
        let mended = LanClaim::claim(&self.interface, &request, claim.originals.clone());
        self.claim = Some(mended.map_err(|error| error.to_string())?);
        Ok(Some(wrong.join(", ")))
    }

    /// The ways that frames take, as a sentence for the log; `None` while there is no port.
    #[must_use]
    pub fn paths(&self) -> Option<String> {
        let (lan, name) = (self.lan, &self.interface);
        let receive = self.receive_path?.name();
        let transmit = self.transmit_path?.name();
        let why = self.receive_fallback.as_ref().map(|why| format!(" ({why})"));
        let why = why.unwrap_or_default();
        Some(format!("LAN {lan} ({name}): receives by {receive}{why}, sends by {transmit}"))
    }

    /// What this LAN runs without, a sentence each.
    #[must_use]
    pub fn shortcomings(&self) -> Vec<String> {
        let warnings = self.claim.iter().flat_map(|claim| &claim.warnings);
        let mut sentences: Vec<_> = warnings.map(ToString::to_string).collect();
        if let Some(reason) = &self.transmit_fallback {
            let name = &self.interface;
            sentences.push(format!(
                "LAN {} ({name}) sends through a packet socket instead of AF_XDP, at a third more \
                 cost: {reason}",
                self.lan
            ));
        }
        sentences
    }
}

/// The MTU that a LAN has to have: the host's and room for the RCT.
fn lan_mtu(config: &DaemonConfig) -> u32 {
    u32::from(config.host.mtu) + RCT_OCTETS
}

/// What the RCT takes of a LAN's MTU.
pub const RCT_OCTETS: u32 = 6;

fn open_port(config: &DaemonConfig, claim: &LanClaim) -> Result<LanPort, Failure> {
    let options = LanPortOptions {
        receive: match config.lan_receive {
            LanReceive::Auto => prp::os::lan_port::LanReceive::Auto,
            LanReceive::Ring => prp::os::lan_port::LanReceive::Ring,
            LanReceive::Xdp => prp::os::lan_port::LanReceive::Xdp,
        },
        transmit: match config.lan_transmit {
            LanTransmit::Auto => TransmitPath::Auto,
            LanTransmit::Packet => TransmitPath::Packet,
            LanTransmit::Xdp => TransmitPath::Xdp,
        },
        ..LanPortOptions::new(claim.index, claim.mtu)
    };
    LanPort::open(&options).map_err(|error| failure::open(&claim.interface, &error))
}
