//! What the `lre` thread tells the control thread, as fixed records.

use prp::lre::EventSink;
use prp::lre::event::{LreEvent, NodeKind};
use prp::types::{LanId, MacAddress};
use rt_core::limits::TRACE_SLOTS;
use rt_core::os::trace::{SharedTraceReader, SharedTraceWriter};
use rt_core::time::{Duration, Instant};
use rt_core::trace::TraceEvent;

/// The half of the trace that the `lre` thread holds.
pub type EventWriter = SharedTraceWriter<ThreadEvent, TRACE_SLOTS>;
/// The half of the trace that the control thread holds.
pub type EventReader = SharedTraceReader<ThreadEvent, TRACE_SLOTS>;

/// One thing that happened on the `lre` thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ThreadEvent {
    /// The LRE reports.
    Lre(LreEvent),
    /// A LAN port reported that its interface is gone; it is no longer used.
    PortGone(LanId),
    /// The thread did not run for so long; whether frames were missed meanwhile.
    Paused {
        /// How long.
        length: Duration,
        /// Whether frames were missed.
        missed: bool,
    },
}

/// The LRE's events go into the trace.
#[derive(Debug)]
pub struct TraceSink(pub EventWriter);

impl EventSink for TraceSink {
    fn event(&mut self, now: Instant, event: LreEvent) {
        // A full trace drops the event and counts it: the reader is told how many are missing.
        self.0.push(now, &ThreadEvent::Lre(event));
    }
}

impl TraceEvent for ThreadEvent {
    const KINDS: usize = 16;

    fn kind(&self) -> usize {
        match self {
            Self::Lre(event) => match event {
                LreEvent::NodeAppeared { .. } => 0,
                LreEvent::NodeKindChanged { .. } => 1,
                LreEvent::NodeForgotten { .. } => 2,
                LreEvent::NodeSilentOnLan { .. } => 3,
                LreEvent::NodeBackOnLan { .. } => 4,
                LreEvent::WrongLanBegan { .. } => 5,
                LreEvent::WrongLanEnded { .. } => 6,
                LreEvent::OwnFrameBegan { .. } => 7,
                LreEvent::OwnFrameEnded { .. } => 8,
                LreEvent::NodeTableFull { .. } => 9,
                LreEvent::NodeTableHasRoom => 10,
                LreEvent::DuplicateMemoryFull => 11,
                LreEvent::DuplicateMemoryHasRoom => 12,
                LreEvent::NodesUntold { .. } => 14,
            },
            Self::PortGone(_) => 13,
            Self::Paused { .. } => 15,
        }
    }

    fn encode(&self) -> [u64; 4] {
        let (mac, kind, lan) = match *self {
            Self::PortGone(lan) => (None, None, Some(lan)),
            Self::Paused { length, missed } => return [length.as_nanos(), u64::from(missed), 0, 0],
            Self::Lre(LreEvent::NodesUntold { count }) => return [0, 0, 0, u64::from(count)],
            Self::Lre(event) => match event {
                LreEvent::NodeAppeared { mac, kind }
                | LreEvent::NodeKindChanged { mac, kind }
                | LreEvent::NodeForgotten { mac, kind } => (Some(mac), Some(kind), None),
                LreEvent::NodeSilentOnLan { mac, silent: lan }
                | LreEvent::NodeBackOnLan { mac, lan }
                | LreEvent::WrongLanBegan { mac, port: lan } => (Some(mac), None, Some(lan)),
                LreEvent::WrongLanEnded { port }
                | LreEvent::OwnFrameBegan { port }
                | LreEvent::OwnFrameEnded { port } => (None, None, Some(port)),
                LreEvent::NodeTableFull { mac } => (Some(mac), None, None),
                LreEvent::NodesUntold { .. }
                | LreEvent::NodeTableHasRoom
                | LreEvent::DuplicateMemoryFull
                | LreEvent::DuplicateMemoryHasRoom => (None, None, None),
            },
        };
        [
            mac.map_or(0, MacAddress::to_key),
            kind.map_or(0, |kind| kind as u64),
            lan.map_or(0, |lan| lan.index() as u64),
            0,
        ]
    }

    fn decode(kind: usize, words: [u64; 4]) -> Option<Self> {
        if kind == 15 {
            let (length, missed) = (Duration::from_nanos(words[0]), words[1] == 1);
            return Some(Self::Paused { length, missed });
        }
        let mac = mac_of(words[0]);
        let node_kind = NodeKind::ALL.get(usize::try_from(words[1]).ok()?).copied();
        let lan = match words[2] {
            0 => LanId::A,
            1 => LanId::B,
            _ => return None,
        };
        Some(Self::Lre(match kind {
            0 => LreEvent::NodeAppeared { mac, kind: node_kind? },
            1 => LreEvent::NodeKindChanged { mac, kind: node_kind? },
            2 => LreEvent::NodeForgotten { mac, kind: node_kind? },
            3 => LreEvent::NodeSilentOnLan { mac, silent: lan },
            4 => LreEvent::NodeBackOnLan { mac, lan },
            5 => LreEvent::WrongLanBegan { port: lan, mac },
            6 => LreEvent::WrongLanEnded { port: lan },
            7 => LreEvent::OwnFrameBegan { port: lan },
            8 => LreEvent::OwnFrameEnded { port: lan },
            9 => LreEvent::NodeTableFull { mac },
            10 => LreEvent::NodeTableHasRoom,
            11 => LreEvent::DuplicateMemoryFull,
            12 => LreEvent::DuplicateMemoryHasRoom,
            13 => return Some(Self::PortGone(lan)),
            14 => LreEvent::NodesUntold { count: u32::try_from(words[3]).ok()? },
            _ => return None,
        }))
    }
}

fn mac_of(key: u64) -> MacAddress {
    let [_, _, a, b, c, d, e, f] = key.to_be_bytes();
    MacAddress([a, b, c, d, e, f])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_survives_its_record() {
        let mac = MacAddress([2, 0x1f, 3, 4, 5, 0xff]);
        let mut events = vec![
            ThreadEvent::PortGone(LanId::B),
            ThreadEvent::Paused { length: Duration::from_secs(7), missed: true },
            ThreadEvent::Lre(LreEvent::NodeTableFull { mac }),
            ThreadEvent::Lre(LreEvent::NodesUntold { count: u32::MAX }),
            ThreadEvent::Lre(LreEvent::NodeTableHasRoom),
            ThreadEvent::Lre(LreEvent::DuplicateMemoryFull),
            ThreadEvent::Lre(LreEvent::DuplicateMemoryHasRoom),
        ];
        for kind in NodeKind::ALL {
            events.extend(
                [
                    LreEvent::NodeAppeared { mac, kind },
                    LreEvent::NodeKindChanged { mac, kind },
                    LreEvent::NodeForgotten { mac, kind },
                ]
                .map(ThreadEvent::Lre),
            );
        }
        for lan in LanId::BOTH {
            events.extend(
                [
                    LreEvent::NodeSilentOnLan { mac, silent: lan },
                    LreEvent::NodeBackOnLan { mac, lan },
                    LreEvent::WrongLanBegan { port: lan, mac },
                    LreEvent::WrongLanEnded { port: lan },
                    LreEvent::OwnFrameBegan { port: lan },
                    LreEvent::OwnFrameEnded { port: lan },
                ]
                .map(ThreadEvent::Lre),
            );
        }
        let mut kinds = [false; ThreadEvent::KINDS];
        for event in events {
            kinds[event.kind()] = true;
            assert_eq!(ThreadEvent::decode(event.kind(), event.encode()), Some(event));
        }
        assert_eq!(kinds, [true; ThreadEvent::KINDS]);
    }

    #[test]
    fn a_record_of_nonsense_is_no_event() {
        assert_eq!(ThreadEvent::decode(16, [0; 4]), None);
        assert_eq!(ThreadEvent::decode(3, [0, 0, 2, 0]), None);
        assert_eq!(ThreadEvent::decode(0, [0, u64::MAX, 0, 0]), None);
    }
}
