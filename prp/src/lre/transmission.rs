//! How a frame of the host, and the LRE's own supervision, leaves.

use rt_core::time::{Duration, Instant};

use crate::types::{LanId, PortId};
use crate::wire::ethernet::Ethernet;
use crate::wire::rct::{RCT_OCTETS, RctRepr, RctRoom};
use crate::wire::supervision::{FRAME_OCTETS_MAX, SupervisionKind, SupervisionRepr};

use super::config::{DuplicateMode, SanUnicast};
use super::event::NodeKind;
use super::{EventSink, Lre, Timer};

/// The first supervision frame comes soon, so that peers know us before the first interval ends.
pub(super) const FIRST_SUPERVISION_AFTER: Duration = Duration::from_millis(100);

/// How a frame is to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Outgoing {
    /// On both LANs, with padding and the RCT of that LAN.
    Tagged {
        /// Where padding ends and the RCT begins.
        room: RctRoom,
        /// The RCT for LAN A and for LAN B.
        rct: [[u8; RCT_OCTETS]; 2],
    },
    /// As it is, on one LAN: its receiver is singly attached there.
    Untagged {
        /// On which.
        lan: LanId,
    },
    /// Not at all.
    Nothing(Unsent),
}

/// Why a frame of the host is not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsent {
    /// Too short for its header, or too long for a redundancy trailer.
    Malformed,
    /// NodeRebootInterval has not passed yet.
    Silence,
}

/// A supervision frame that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Supervision {
    buffer: [u8; FRAME_OCTETS_MAX],
    octets: usize,
    /// How it is to be sent.
    pub outgoing: Outgoing,
}

impl Supervision {
    /// The frame without RCT.
    #[must_use]
    pub fn frame(&self) -> &[u8] {
        self.buffer.get(..self.octets).unwrap_or_default()
    }
}

impl<E: EventSink> Lre<'_, E> {
    /// Takes a frame of the host and says how it leaves. Each frame that is
    /// [`Outgoing::Tagged`] has used up a sequence number. Tell [`Lre::transmitted`] what a port
    /// took.
    pub fn receive_host(&mut self, now: Instant, frame: &[u8]) -> Outgoing {
        self.counters.rx[PortId::C.index()] += 1;
        let Ok(frame) = Ethernet::new_checked(frame) else {
            return self.unsendable();
        };
        if now < self.silent_until {
            return Outgoing::Nothing(Unsent::Silence);
        }
        if self.config.san_unicast == SanUnicast::ItsLan
            && let Some(lan) = self.lan_of_san(&frame)
        {
            return Outgoing::Untagged { lan };
        }
        self.tag(&frame)
    }

    /// A port took a tagged frame (`lreCntTxA`, `lreCntTxB`).
    #[inline]
    pub fn transmitted(&mut self, lan: LanId) {
        self.counters.tx[lan.index()] += 1;
    }

    /// The supervision frame that is due, if one is.
    pub fn poll_supervision(&mut self, now: Instant) -> Option<Supervision> {
        let due = self.timers.deadline(Timer::Supervision).filter(|due| *due <= now)?;
        // What a pause missed is not made up for: one frame tells that we live.
        self.timers.rearm(Timer::Supervision, due, self.config.supervision.interval, now);
        let repr = SupervisionRepr {
            last_octet: self.config.supervision.last_octet,
            source: self.mac,
            vlan: self.config.supervision.vlan,
            version: 1,
            sequence_number: self.supervision_sequence_number,
            kind: match self.config.duplicate_mode {
                DuplicateMode::Discard => SupervisionKind::PrpDuplicateDiscard,
                DuplicateMode::Accept => SupervisionKind::PrpDuplicateAccept,
            },
            mac: self.mac,
            redbox_mac: None,
        };
        self.supervision_sequence_number = self.supervision_sequence_number.wrapping_add(1);
        let mut buffer = [0; FRAME_OCTETS_MAX];
        let octets = repr.emit(&mut buffer).ok()?;
        let frame = Ethernet::new_checked(buffer.get(..octets)?).ok()?;
        let outgoing = self.tag(&frame);
        Some(Supervision { buffer, octets, outgoing })
    }

    fn tag(&mut self, frame: &Ethernet<'_>) -> Outgoing {
        let Some(room) = RctRoom::of(frame) else {
            return self.unsendable();
        };
        let sequence_number = self.sequence_number;
        self.sequence_number = sequence_number.wrapping_add(1);
        let lsdu_octets = room.lsdu_octets;
        let rct =
            LanId::BOTH.map(|lan_id| RctRepr { sequence_number, lan_id, lsdu_octets }.to_octets());
        Outgoing::Tagged { room, rct }
    }

    /// The LAN of the frame's receiver, if that is known to be on one only.
    fn lan_of_san(&self, frame: &Ethernet<'_>) -> Option<LanId> {
        let destination = frame.destination();
        if destination.is_group() {
            return None;
        }
        match self.nodes.get(self.nodes.find(destination)?)?.kind {
            NodeKind::SanA => Some(LanId::A),
            NodeKind::SanB => Some(LanId::B),
            _ => None,
        }
    }

    #[cold]
    fn unsendable(&mut self) -> Outgoing {
        self.counters.errors[PortId::C.index()] += 1;
        Outgoing::Nothing(Unsent::Malformed)
    }
}
