//! Nodes with a whole LRE each, and two LANs between them, in virtual time.
//!
//! Payloads carry an identity. Who receives one, how often an intact copy of it arrived there and
//! how often its LRE delivered it is kept; the claim to be checked is always the same: delivered
//! once if an intact copy arrived, never twice.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use prp::lre::{Fate, Lre, Outgoing};
use prp::types::{LanId, MacAddress};
use rt_core::time::Instant;

use super::{Events, Random};

pub(crate) const MS: u64 = 1_000_000;

/// Says what becomes of a copy on a LAN to a receiver.
pub(crate) type EachCopy<'a, 'm> = &'a mut dyn FnMut(&mut Network<'m>, LanId, usize, Vec<u8>);

/// What a LAN does to each copy that is sent to one receiver.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Faults {
    pub(crate) cut: bool,
    pub(crate) loss_percent: u64,
    pub(crate) delay: u64,
    pub(crate) jitter: u64,
    pub(crate) reorder_percent: u64,
    pub(crate) reorder_delay: u64,
    /// Further copies of each frame.
    pub(crate) repeats: u64,
    pub(crate) corrupt_percent: u64,
}

/// One node.
pub(crate) struct Node<'m> {
    pub(crate) mac: MacAddress,
    pub(crate) lre: Lre<'m, Events>,
    /// Its cables are in each other's sockets.
    pub(crate) swapped: bool,
    /// By identity: intact copies that arrived, and deliveries.
    pub(crate) payloads: HashMap<u64, Seen>,
    /// Frames delivered that are no intact payload.
    pub(crate) others: u64,
    pub(crate) corrupted: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Seen {
    pub(crate) arrived: u64,
    pub(crate) delivered: u64,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Flight {
    at: u64,
    order: u64,
    to: usize,
    lan: LanId,
    frame: Vec<u8>,
}

/// The network and its nodes.
pub(crate) struct Network<'m> {
    pub(crate) nodes: Vec<Node<'m>>,
    pub(crate) faults: [Faults; 2],
    pub(crate) now: u64,
    random: Random,
    flights: BinaryHeap<Reverse<Flight>>,
    order: u64,
    next_identity: u64,
}

impl<'m> Network<'m> {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            nodes: Vec::new(),
            faults: [Faults::default(); 2],
            now: 0,
            random: Random(seed),
            flights: BinaryHeap::new(),
            order: 0,
            next_identity: 1,
        }
    }

    pub(crate) fn add(&mut self, mac: MacAddress, lre: Lre<'m, Events>) {
        self.nodes.push(Node {
            mac,
            lre,
            swapped: false,
            payloads: HashMap::new(),
            others: 0,
            corrupted: 0,
        });
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.flights.is_empty()
    }

    /// The host of a node sends a new payload. `each_copy` says what becomes of each copy: on which
    /// LAN, to whom.
    pub(crate) fn send_with(
        &mut self,
        from: usize,
        to: MacAddress,
        types: &[u16],
        payload: usize,
        each_copy: EachCopy<'_, 'm>,
    ) -> u64 {
        let identity = self.next_identity;
        self.next_identity += 1;
        let frame = frame_of(to, self.nodes[from].mac, types, payload, identity);
        let now = Instant::from_nanos(self.now);
        let outgoing = self.nodes[from].lre.receive_host(now, &frame);
        self.spread(from, &frame, outgoing, each_copy);
        identity
    }

    /// The same, with the faults that are set.
    pub(crate) fn send(
        &mut self,
        from: usize,
        to: MacAddress,
        types: &[u16],
        payload: usize,
    ) -> u64 {
        self.send_with(from, to, types, payload, &mut |network, lan, to, frame| {
            network.carry_with_faults(lan, to, &frame);
        })
    }

    fn spread(
        &mut self,
        from: usize,
        frame: &[u8],
        outgoing: Outgoing,
        each_copy: EachCopy<'_, 'm>,
    ) {
        for lan in LanId::BOTH {
            let copy = match outgoing {
                Outgoing::Tagged { room, rct } => {
                    let mut copy = vec![0xcc; room.total_octets()];
                    room.emit(frame, rct[lan.index()], &mut copy);
                    self.nodes[from].lre.transmitted(lan);
                    copy
                }
                Outgoing::Untagged { lan: only } if only == lan => frame.to_vec(),
                _ => continue,
            };
            let lan = if self.nodes[from].swapped { lan.other() } else { lan };
            for to in (0..self.nodes.len()).filter(|&to| to != from) {
                each_copy(self, lan, to, copy.clone());
            }
        }
    }

    pub(crate) fn carry_with_faults(&mut self, lan: LanId, to: usize, frame: &[u8]) {
        let faults = self.faults[lan.index()];
        if faults.cut || self.random.percent(faults.loss_percent) {
            return;
        }
        for _ in 0..=faults.repeats {
            let mut after = faults.delay + self.random.below(faults.jitter + 1);
            if self.random.percent(faults.reorder_percent) {
                after += faults.reorder_delay;
            }
            let mut frame = frame.to_vec();
            if self.random.percent(faults.corrupt_percent) {
                self.nodes[to].corrupted += 1;
                let (at, flip) = (self.random.below(frame.len() as u64), self.random.below(255));
                frame[at as usize] ^= 1 + flip as u8;
            }
            self.carry(lan, to, frame, after);
        }
    }

    /// A copy arrives after some time.
    pub(crate) fn carry(&mut self, lan: LanId, to: usize, frame: Vec<u8>, after: u64) {
        self.order += 1;
        let at = self.now.saturating_add(after);
        self.flights.push(Reverse(Flight { at, order: self.order, to, lan, frame }));
    }

    /// Lets time pass up to and with `until`.
    pub(crate) fn run_until(&mut self, until: u64) {
        self.serve();
        while self.flights.peek().is_some_and(|Reverse(flight)| flight.at <= until) {
            let Some(Reverse(flight)) = self.flights.pop() else { return };
            self.now = self.now.max(flight.at);
            self.arrive(&flight);
            if flight.order % 8 == 0 {
                self.serve();
            }
        }
        self.now = self.now.max(until);
        self.serve();
    }

    pub(crate) fn run_for(&mut self, span: u64) {
        self.run_until(self.now.saturating_add(span));
    }

    fn serve(&mut self) {
        let now = Instant::from_nanos(self.now);
        for from in 0..self.nodes.len() {
            let lre = &mut self.nodes[from].lre;
            if now < lre.next_timeout() {
                continue;
            }
            lre.service(now);
            lre.events_mut().0.clear();
            if let Some(supervision) = lre.poll_supervision(now) {
                self.spread(
                    from,
                    supervision.frame(),
                    supervision.outgoing,
                    &mut |net, l, to, f| {
                        net.carry_with_faults(l, to, &f);
                    },
                );
            }
        }
    }

    fn arrive(&mut self, flight: &Flight) {
        let node = &mut self.nodes[flight.to];
        let lan = if node.swapped { flight.lan.other() } else { flight.lan };
        let identity = identity_of(&flight.frame, 6);
        if let Some(identity) = identity {
            node.payloads.entry(identity).or_default().arrived += 1;
        }
        let now = Instant::from_nanos(self.now);
        if let Fate::Deliver { octets } = node.lre.receive_lan(now, lan, &flight.frame) {
            match identity_of(&flight.frame[..octets], 0) {
                Some(identity) => node.payloads.entry(identity).or_default().delivered += 1,
                None => node.others += 1,
            }
        }
    }

    /// How many payloads were not delivered though an intact copy arrived, and how many more than
    /// once.
    pub(crate) fn lost_and_twice(&self) -> (u64, u64) {
        let seen = || self.nodes.iter().flat_map(|node| node.payloads.values());
        let lost = seen().filter(|seen| seen.arrived > 0 && seen.delivered == 0).count();
        let twice = seen().filter(|seen| seen.delivered > 1).count();
        (lost as u64, twice as u64)
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.nodes.iter().map(|node| node.payloads.len() as u64).sum()
    }
}

const MAGIC: &[u8; 4] = b"load";

fn frame_of(
    to: MacAddress,
    from: MacAddress,
    types: &[u16],
    payload: usize,
    identity: u64,
) -> Vec<u8> {
    let mut frame = super::frames::untagged(to, from, types, 0);
    let octets = frame.len() + payload.max(22);
    frame.extend(MAGIC);
    frame.extend(u16::try_from(octets).expect("a frame").to_be_bytes());
    frame.extend(identity.to_be_bytes());
    let sum = checksum(&frame);
    frame.extend(sum.to_be_bytes());
    while frame.len() < octets {
        frame.push((frame.len() as u64 ^ identity) as u8);
    }
    frame
}

/// The identity of a payload, whoever it is for (the nodes hear everything, as behind a hub), if
/// every octet of the frame is as it was sent and only padding and `trailer` octets follow.
fn identity_of(frame: &[u8], trailer: usize) -> Option<u64> {
    [14usize, 18, 22].into_iter().find_map(|header| {
        let body = frame.get(header..header + 22)?;
        let octets = usize::from(u16::from_be_bytes(body.get(4..6)?.try_into().ok()?));
        let identity = u64::from_be_bytes(body.get(6..14)?.try_into().ok()?);
        let sum = u64::from_be_bytes(body.get(14..22)?.try_into().ok()?);
        if !body.starts_with(MAGIC) || checksum(frame.get(..header + 14)?) != sum {
            return None;
        }
        let fill = frame.get(header + 22..octets)?;
        let filled =
            fill.iter().zip(header + 22..).all(|(&o, at)| o == (at as u64 ^ identity) as u8);
        let padded = octets.max(46 + header);
        let padding = frame.get(octets..padded).unwrap_or_default();
        let whole = frame.len() == octets || frame.len() == padded + trailer;
        (filled && whole && padding.iter().all(|&octet| octet == 0)).then_some(identity)
    })
}

/// FNV-1a: tells intact from corrupted.
fn checksum(octets: &[u8]) -> u64 {
    octets.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &octet| {
        (sum ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
    })
}
