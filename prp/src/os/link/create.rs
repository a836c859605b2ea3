//! Interfaces that are made here: veth pairs and bridges.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    BridgeStpState, InfoBridge, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo as InfoPart,
};

use super::super::netlink::Request;
use super::{LinkError, Links, error, link_message};
use crate::types::MacAddress;

/// How a bridge is made. Spanning tree is always off and the forward delay 0, so that a port
/// forwards from the moment it is up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BridgeOptions {
    /// Whether group traffic goes only where somebody asked for it. Off by default: supervision
    /// frames have no IGMP behind them.
    pub multicast_snooping: bool,
    /// How long a learned address lives, in seconds. 0 floods everything.
    pub ageing_s: u32,
    /// The bridge's own address; the kernel draws one when `None`, and then changes it with the
    /// ports.
    pub mac: Option<MacAddress>,
}

impl Default for BridgeOptions {
    fn default() -> Self {
        Self { multicast_snooping: false, ageing_s: 300, mac: None }
    }
}

/// The kernel counts a bridge's times in hundredths of a second.
const TICKS_PER_SECOND: u32 = 100;

impl Links {
    /// Makes a veth pair, both ends down: `name` here, `peer_name` here or in `peer_ns`.
    ///
    /// # Errors
    /// [`LinkError::Exists`] naming the end that is taken, [`LinkError::NotPermitted`],
    /// [`LinkError::NameInvalid`], [`LinkError::Refused`].
    pub fn create_veth(
        &mut self,
        name: &str,
        peer_name: &str,
        peer_ns: Option<BorrowedFd<'_>>,
    ) -> Result<(), LinkError> {
        error::check_name(peer_name)?;
        let mut peer = vec![LinkAttribute::IfName(peer_name.to_owned())];
        peer.extend(peer_ns.map(|fd| LinkAttribute::NetNsFd(fd.as_raw_fd())));
        let peer = InfoVeth::Peer(link_message(0, peer));
        let data = InfoData::Veth(peer);
        self.create(name, InfoKind::Veth, data, Vec::new()).map_err(|error| match error {
            LinkError::Exists { action, .. } if self.by_name(name).is_err() => {
                LinkError::Exists { interface: peer_name.to_owned(), action }
            }
            error => error,
        })
    }

    /// Makes a bridge, down and without ports.
    ///
    /// # Errors
    /// As [`Self::create_veth`].
    pub fn create_bridge(&mut self, name: &str, options: &BridgeOptions) -> Result<(), LinkError> {
        let data = InfoData::Bridge(vec![
            InfoBridge::StpState(BridgeStpState::Disabled),
            InfoBridge::ForwardDelay(0),
            InfoBridge::MulticastSnooping(options.multicast_snooping),
            InfoBridge::AgeingTime(options.ageing_s.saturating_mul(TICKS_PER_SECOND)),
        ]);
        let mac = options.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec()));
        self.create(name, InfoKind::Bridge, data, mac.into_iter().collect())
    }

    fn create(
        &mut self,
        name: &str,
        kind: InfoKind,
        data: InfoData,
        mut attributes: Vec<LinkAttribute>,
    ) -> Result<(), LinkError> {
        error::check_name(name)?;
        attributes.push(LinkAttribute::IfName(name.to_owned()));
        let parts = vec![InfoPart::Kind(kind), InfoPart::Data(data)];
        attributes.push(LinkAttribute::LinkInfo(parts));
        let message = RouteNetlinkMessage::NewLink(link_message(0, attributes));
        let request = Request::route(&message, NLM_F_CREATE | NLM_F_EXCL);
        self.connection.acknowledged(request).map_err(|error| LinkError::new(name, "create", error))
    }
}
