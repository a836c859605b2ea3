//! What happens to a frame from a LAN.

use rt_core::time::Instant;

use crate::types::{LanId, MacAddress, PortId};
use crate::wire::ethernet::Ethernet;
use crate::wire::rct::{RCT_OCTETS, RctRepr};
use crate::wire::supervision::{self, SupervisionRepr};

use super::config::{DuplicateMode, TransparentReception};
use super::duplicate::Arrival;
use super::event::{LreEvent, NodeKind};
use super::node_table::{SlotIndex, Standing};
use super::{EventSink, Lre};

/// What to do with a frame from a LAN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Fate {
    /// Hand its first `octets` octets to the host.
    Deliver {
        /// How many: the whole frame, or all but the RCT.
        octets: usize,
    },
    /// Nothing: it is not for the host.
    Discard(DiscardReason),
}

/// Why a frame does not reach the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiscardReason {
    /// A further copy of a frame that was delivered.
    Duplicate,
    /// A supervision frame: it is for the LRE.
    Supervision,
    /// It carries our own source address.
    Own,
    /// It is too short for its header, has a group as its source, or is a supervision frame that
    /// contradicts itself.
    Malformed,
}

/// The bit of an address that says "group", in its number.
const GROUP_KEY_BIT: u64 = 1 << 40;

impl<E: EventSink> Lre<'_, E> {
    /// Takes a frame from a LAN: destination address first, VLAN tags in place, no frame check
    /// sequence.
    pub fn receive_lan(&mut self, now: Instant, lan: LanId, frame: &[u8]) -> Fate {
        self.discard.advance(now);
        let Ok(frame) = Ethernet::new_checked(frame) else {
            return self.malformed(lan);
        };
        let source = frame.source_key();
        if source == self.own_key {
            return self.own_frame(now, lan);
        }
        if source & GROUP_KEY_BIT != 0 {
            return self.malformed(lan);
        }
        match RctRepr::parse(&frame) {
            Some(rct) => self.receive_tagged(now, lan, &frame, rct),
            None => self.receive_untagged(now, lan, &frame),
        }
    }

    fn receive_tagged(
        &mut self,
        now: Instant,
        lan: LanId,
        frame: &Ethernet<'_>,
        rct: RctRepr,
    ) -> Fate {
        self.counters.rx[lan.index()] += 1;
        let key = frame.source_key();
        let node = match self.nodes.find_key(key) {
            Some(at) => Some(at),
            None => self.first_tagged(now, key),
        };
        let arrival = match node {
            Some(at) => self.arrival(now, lan, at, rct.sequence_number),
            None => Arrival::Unrecorded,
        };
        if rct.lan_id != lan {
            self.wrong_lan(now, lan, frame.source(), node);
        }
        if supervision::is_supervision(frame) {
            return self.supervision(now, lan, frame);
        }
        if arrival == Arrival::Repeat && self.config.duplicate_mode == DuplicateMode::Discard {
            return Fate::Discard(DiscardReason::Duplicate);
        }
        let cut = match self.config.transparent_reception {
            TransparentReception::RemoveRct => RCT_OCTETS,
            TransparentReception::PassRct => 0,
        };
        self.deliver(frame.frame().len() - cut)
    }

    fn receive_untagged(&mut self, now: Instant, lan: LanId, frame: &Ethernet<'_>) -> Fate {
        let source = frame.source();
        match self.nodes.find(source) {
            Some(at) => self.heard_untagged(now, lan, at),
            None => {
                let at = self.first_heard(now, source, Standing::San, san_on(lan));
                if let Some(slot) = at.and_then(|at| self.nodes.get_mut(at)) {
                    slot.heard_untagged(now, lan);
                }
            }
        }
        if supervision::is_supervision(frame) {
            return self.supervision(now, lan, frame);
        }
        self.deliver(frame.frame().len())
    }

    fn deliver(&mut self, octets: usize) -> Fate {
        self.counters.tx[PortId::C.index()] += 1;
        Fate::Deliver { octets }
    }

    #[cold]
    fn malformed(&mut self, lan: LanId) -> Fate {
        self.counters.errors[lan.index()] += 1;
        Fate::Discard(DiscardReason::Malformed)
    }

    #[cold]
    fn own_frame(&mut self, now: Instant, lan: LanId) -> Fate {
        self.counters.own_rx[lan.index()] += 1;
        if self.own_frame[lan.index()].occur(now) {
            self.events.event(now, LreEvent::OwnFrameBegan { port: lan });
        }
        Fate::Discard(DiscardReason::Own)
    }

    /// IEC 62439-3, 4.1.10.3: the frame is counted, told of, and otherwise treated as any other.
    #[cold]
    fn wrong_lan(&mut self, now: Instant, lan: LanId, mac: MacAddress, node: Option<SlotIndex>) {
        self.counters.err_wrong_lan[lan.index()] += 1;
        if let Some(slot) = node.and_then(|at| self.nodes.get_mut(at)) {
            slot.err_wrong_lan[lan.index()] += 1;
        }
        if self.wrong_lan[lan.index()].occur(now) {
            self.events.event(now, LreEvent::WrongLanBegan { port: lan, mac });
        }
    }

    /// Notes that a node sent a tagged frame and asks duplicate discard; in doubt the copy is the
    /// first.
    #[inline]
    fn arrival(&mut self, now: Instant, lan: LanId, at: SlotIndex, number: u16) -> Arrival {
        let Some(slot) = self.nodes.get_mut(at) else { return Arrival::Unrecorded };
        slot.heard_tagged(now, lan);
        if slot.standing == Standing::San || slot.alias_of_key != 0 {
            return self.unusual_arrival(now, lan, at, number);
        }
        let arrival = self.discard.arrival(
            slot.owner(at),
            slot.standing >= Standing::Paired,
            &mut slot.source,
            lan,
            number,
            &mut self.counters,
        );
        if arrival != Arrival::First && slot.standing == Standing::Tagged {
            self.may_be_paired(at);
        }
        if arrival == Arrival::Unrecorded {
            self.discard_is_full(now);
        }
        arrival
    }

    /// A copy came of a frame that came before: if that was on the other LAN, its sender is
    /// attached to both.
    #[cold]
    fn may_be_paired(&mut self, at: SlotIndex) {
        if self.nodes.get(at).is_some_and(|slot| slot.rx_tagged.iter().all(|&count| count > 0)) {
            self.nodes.set_standing(at, Standing::Paired);
        }
    }

    /// The same for a node that was singly attached until now, or that speaks for another one.
    #[cold]
    fn unusual_arrival(
        &mut self,
        now: Instant,
        lan: LanId,
        mut at: SlotIndex,
        number: u16,
    ) -> Arrival {
        let Some(slot) = self.nodes.get(at) else { return Arrival::Unrecorded };
        let alias_of_key = slot.alias_of_key;
        if slot.standing == Standing::San {
            self.nodes.set_standing(at, Standing::Tagged);
            self.set_kind(now, at, NodeKind::Danp);
        }
        if alias_of_key != 0 {
            at = self.nodes.find_key(alias_of_key).unwrap_or(at);
        }
        let Some(slot) = self.nodes.get_mut(at) else { return Arrival::Unrecorded };
        let arrival = self.discard.arrival(
            slot.owner(at),
            slot.standing >= Standing::Paired,
            &mut slot.source,
            lan,
            number,
            &mut self.counters,
        );
        if arrival == Arrival::Unrecorded {
            self.discard_is_full(now);
        }
        arrival
    }

    #[cold]
    pub(super) fn discard_is_full(&mut self, now: Instant) {
        if self.discard_full.occur(now) {
            self.events.event(now, LreEvent::DuplicateMemoryFull);
        }
    }

    /// A place for a node whose first frame is a tagged one.
    #[cold]
    fn first_tagged(&mut self, now: Instant, key: u64) -> Option<SlotIndex> {
        self.first_heard(now, MacAddress::from_key(key), Standing::Tagged, NodeKind::Danp)
    }

    /// A redundant node may send untagged frames too (link-local protocols); it is singly attached
    /// again only when it has sent no tagged one for NodeForgetTime.
    fn heard_untagged(&mut self, now: Instant, lan: LanId, at: SlotIndex) {
        let forget = self.config.node_forget_time;
        let Some(slot) = self.nodes.get_mut(at) else { return };
        slot.heard_untagged(now, lan);
        let was_san = slot.standing == Standing::San;
        if was_san || now.since(slot.last_tagged) >= forget {
            if !was_san {
                self.nodes.set_standing(at, Standing::San);
                for lan in LanId::BOTH {
                    self.nodes.set_silent(at, lan, false);
                }
            }
            self.set_kind(now, at, san_on(lan));
        }
    }

    #[cold]
    fn first_heard(
        &mut self,
        now: Instant,
        mac: MacAddress,
        standing: Standing,
        kind: NodeKind,
    ) -> Option<SlotIndex> {
        let Some(at) = self.nodes.insert(now, mac, standing, kind) else {
            if self.table_full.occur(now) {
                self.events.event(now, LreEvent::NodeTableFull { mac });
            }
            return None;
        };
        self.tell_of_node(now, LreEvent::NodeAppeared { mac, kind });
        Some(at)
    }

    fn set_kind(&mut self, now: Instant, at: SlotIndex, kind: NodeKind) {
        if let Some(slot) = self.nodes.get_mut(at)
            && slot.kind != kind
        {
            slot.kind = kind;
            let mac = slot.mac();
            self.tell_of_node(now, LreEvent::NodeKindChanged { mac, kind });
        }
    }

    /// Evaluates a supervision frame (`lreEvaluateSupervision`). It never reaches the host.
    #[cold]
    fn supervision(&mut self, now: Instant, lan: LanId, frame: &Ethernet<'_>) -> Fate {
        if !self.config.evaluate_supervision {
            return Fate::Discard(DiscardReason::Supervision);
        }
        let Ok(supervision) = SupervisionRepr::parse(frame) else {
            return self.malformed(lan);
        };
        // Someone announces us: our own frame came back by way of a RedBox, or our address is in
        // use twice. Either way we are not a remote node.
        if supervision.mac != self.mac {
            self.announced(now, lan, &supervision);
        }
        Fate::Discard(DiscardReason::Supervision)
    }

    fn announced(&mut self, now: Instant, lan: LanId, supervision: &SupervisionRepr) {
        let hsr = supervision.kind.is_hsr();
        let (node, virtual_node, redbox) = if hsr {
            (NodeKind::Danh, NodeKind::VdanH, NodeKind::RedBoxH)
        } else {
            (NodeKind::Danp, NodeKind::VdanP, NodeKind::RedBoxP)
        };
        let behind = supervision.redbox_mac;
        if let Some(mac) = behind.filter(|&mac| mac != self.mac)
            && let Some(at) = self.supervised_node(now, mac, redbox)
            && let Some(slot) = self.nodes.get_mut(at)
        {
            slot.is_redbox = true;
            // It is named because it lives, even if it sends nothing in its own name.
            slot.seen(now, lan);
            slot.last_tagged = now;
            self.set_kind(now, at, redbox);
        }
        let Some(at) = self.supervised_node(now, supervision.mac, node) else { return };
        let Some(slot) = self.nodes.get_mut(at) else { return };
        slot.rx_supervision[lan.index()] += 1;
        // A node that is announced counts as heard, even if another one sent the frame for it.
        slot.seen(now, lan);
        slot.last_tagged = now;
        slot.redbox_mac = behind.unwrap_or_default();
        let kind = match behind {
            _ if slot.is_redbox => redbox,
            Some(mac) if mac != supervision.mac => virtual_node,
            _ => node,
        };
        self.set_kind(now, at, kind);
        if behind.is_none() && supervision.source != supervision.mac {
            self.merge(lan, supervision.source, at);
        }
    }

    /// The place of a node that supervision named.
    fn supervised_node(
        &mut self,
        now: Instant,
        mac: MacAddress,
        kind: NodeKind,
    ) -> Option<SlotIndex> {
        match self.nodes.find(mac) {
            Some(at) => {
                if self.nodes.get(at)?.standing != Standing::Supervised {
                    self.nodes.set_standing(at, Standing::Supervised);
                }
                Some(at)
            }
            None => {
                let at = self.nodes.insert(now, mac, Standing::Supervised, kind);
                match at {
                    Some(_) => self.tell_of_node(now, LreEvent::NodeAppeared { mac, kind }),
                    None if self.table_full.occur(now) => {
                        self.events.event(now, LreEvent::NodeTableFull { mac });
                    }
                    None => {}
                }
                at
            }
        }
    }

    /// Some senders keep the MAC addresses of their two network cards and announce only one of
    /// them: `source`, heard on this LAN only, speaks for `announced`, heard on the other only.
    /// Their frames have one counter, so they share one discard. Any other pattern is left alone:
    /// to join two counters would reject legitimate frames.
    fn merge(&mut self, lan: LanId, source: MacAddress, announced: SlotIndex) {
        let Some(slot) = self.nodes.get(announced) else { return };
        let mac = slot.mac();
        let only_on_other =
            slot.rx_tagged[lan.other().index()] > 0 && slot.rx_tagged[lan.index()] == 0;
        let Some(at) = self.nodes.find(source) else { return };
        let Some(slot) = self.nodes.get_mut(at) else { return };
        let only_here = slot.rx_tagged[lan.other().index()] == 0;
        slot.alias_of_key = if only_on_other && only_here { mac.to_key() } else { 0 };
    }
}

const fn san_on(lan: LanId) -> NodeKind {
    match lan {
        LanId::A => NodeKind::SanA,
        LanId::B => NodeKind::SanB,
    }
}
