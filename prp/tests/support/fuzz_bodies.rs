//! What the fuzz targets do with their octets. The same bodies run on stable Rust with seeded
//! random octets and the committed corpus (`tests/fuzz_replay.rs`), and under libFuzzer (`fuzz/`).

use std::collections::HashMap;

use prp::lre::config::{DuplicateMode, LreConfig, SanUnicast, TransparentReception};
use prp::lre::{DiscardReason, Fate, Lre, Outgoing, SequenceStart};
use prp::types::{LanId, MacAddress};
use prp::wire::ethernet::Ethernet;
use prp::wire::rct::{RctRepr, RctRoom};
use prp::wire::supervision::{self, SupervisionRepr};
use prp::wire::vlan::VlanTag;
use rt_core::time::{Duration, Instant};

use super::frames::{Announcement, append_rct, tagged, untagged};
use super::network::Network;
use super::{Events, Memory, OWN, settle};

/// A fuzz target: its name and its body.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// Every target.
pub(crate) const TARGETS: [Target; 6] = [
    ("wire_ethernet", wire_ethernet),
    ("wire_rct", wire_rct),
    ("wire_supervision", wire_supervision),
    ("wire_vlan", wire_vlan),
    ("lre", lre),
    ("lre_pair", lre_pair),
];

/// Reads decisions from octets; zeros when they are used up.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    fn octet(&mut self) -> u8 {
        match self.0 {
            [first, rest @ ..] => {
                self.0 = rest;
                *first
            }
            [] => 0,
        }
    }

    fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.octet(), self.octet()])
    }

    fn take(&mut self, len: usize) -> &[u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn lan(&mut self) -> LanId {
        LanId::BOTH[usize::from(self.octet() & 1)]
    }

    /// From a nanosecond to years, mostly around the life of an entry.
    fn span(&mut self) -> u64 {
        const SPANS: [u64; 16] = [
            0,
            1,
            1_000,
            100_000,
            1_000_000,
            5_000_000,
            24_999_999,
            25_000_000,
            100_000_000,
            399_999_999,
            400_000_000,
            425_000_001,
            500_000_000,
            3_000_000_000,
            61_000_000_000,
            1 << 58,
        ];
        let choice = self.octet();
        SPANS[usize::from(choice & 15)] * (1 + u64::from(choice >> 4))
    }
}

/// No frame makes the view panic, and what it shows is consistent.
pub(crate) fn wire_ethernet(octets: &[u8]) {
    let Ok(view) = Ethernet::new_checked(octets) else {
        assert!(octets.len() < 22, "a long frame was refused");
        return;
    };
    assert!(view.tags() <= 2);
    assert_eq!(view.header_octets(), 14 + 4 * view.tags());
    assert_eq!(view.payload().len() + view.header_octets(), octets.len());
    assert_eq!(view.outer_tag().is_some(), view.tags() > 0);
    assert_eq!(&view.destination().0, &octets[..6]);
    assert_eq!(&view.source().0, &octets[6..12]);
    assert_eq!(view.ethertype().to_be_bytes(), octets[view.header_octets() - 2..][..2]);
}

/// What is read as an RCT is written as the same octets; what is written is read as the same.
pub(crate) fn wire_rct(octets: &[u8]) {
    let Ok(view) = Ethernet::new_checked(octets) else { return };
    if let Some(rct) = RctRepr::parse(&view) {
        assert_eq!(rct.to_octets(), octets[octets.len() - 6..]);
        assert_eq!(usize::from(rct.lsdu_octets), view.payload().len());
    }
    let Some(room) = RctRoom::of(&view) else {
        assert!(view.payload().len() + 6 > 0xfff, "room was refused");
        return;
    };
    let seed = octets.iter().fold(0u16, |a, &o| a.rotate_left(3) ^ u16::from(o));
    let lan_id = LanId::BOTH[usize::from(seed & 1)];
    let rct = RctRepr { sequence_number: seed, lan_id, lsdu_octets: room.lsdu_octets };
    let mut whole = vec![0xcc; room.total_octets()];
    room.emit(octets, rct.to_octets(), &mut whole);
    let again = Ethernet::new_checked(&whole).expect("a frame that grew is a frame");
    assert_eq!(RctRepr::parse(&again), Some(rct));
    assert!(whole.starts_with(octets));
    assert!(whole[octets.len()..whole.len() - 6].iter().all(|&octet| octet == 0));
    // Buffers of a wrong length get what fits.
    for wrong in [0, octets.len() / 2, whole.len() - 1, whole.len() + 9] {
        room.emit(octets, rct.to_octets(), &mut vec![0; wrong]);
    }
}

/// What is read can be written, and is read as the same again.
pub(crate) fn wire_supervision(octets: &[u8]) {
    let mut framed = octets.to_vec();
    // Random octets rarely hit the address: try them as they are, and behind a right header.
    if let Some(&how) = octets.first()
        && how & 1 == 1
        && framed.len() > 14
    {
        framed[..5].copy_from_slice(&supervision::DESTINATION_PREFIX);
        framed[12..14].copy_from_slice(&supervision::ETHERTYPE.to_be_bytes());
    }
    for frame in [octets, &framed] {
        let Ok(view) = Ethernet::new_checked(frame) else { continue };
        let Ok(repr) = SupervisionRepr::parse(&view) else { continue };
        assert!(supervision::is_supervision(&view));
        assert!(repr.mac.is_station());
        assert!(repr.redbox_mac.is_none_or(MacAddress::is_station));
        let mut buffer = vec![0xcc; repr.octets()];
        assert_eq!(repr.emit(&mut buffer), Ok(repr.octets()));
        let again = Ethernet::new_checked(&buffer).expect("what is emitted is a frame");
        assert_eq!(SupervisionRepr::parse(&again), Ok(repr));
        assert!(repr.emit(&mut buffer[1..]).is_err());
    }
}

/// Tag control information survives both ways.
pub(crate) fn wire_vlan(octets: &[u8]) {
    for pair in octets.chunks_exact(2) {
        let tci = u16::from_be_bytes([pair[0], pair[1]]);
        let tag = VlanTag::from_tci(tci);
        assert_eq!(tag.to_tci(), tci);
        assert!(tag.pcp <= 7 && tag.vid <= 0xfff);
    }
}

/// A whole LRE, fed frames of a few nodes, nonsense and time, against what must always hold.
pub(crate) fn lre(octets: &[u8]) {
    let mut choices = Choices(octets);
    let how = choices.octet();
    let mut memory = match choices.octet() {
        sizes @ 0..128 => Memory::of(1 + usize::from(sizes & 15), usize::from(sizes >> 3)),
        _ => Memory::of(16, 512),
    };
    let mut marks = memory.marks();
    let config = LreConfig {
        evaluate_supervision: how & 1 == 0,
        transparent_reception: if how & 2 == 0 {
            TransparentReception::RemoveRct
        } else {
            TransparentReception::PassRct
        },
        duplicate_mode: if how & 4 == 0 { DuplicateMode::Discard } else { DuplicateMode::Accept },
        san_unicast: if how & 8 == 0 { SanUnicast::BothLans } else { SanUnicast::ItsLan },
        entry_forget_time: Duration::from_millis([400, 10, 10_000, 1][usize::from(how >> 6)]),
        ..LreConfig::default()
    };
    let start = SequenceStart::continued(choices.word(), choices.word());
    let lre = memory.lre_from(OWN, config, start, Instant::from_nanos(1 << 40));
    let mut watched = Watched::new(lre, config, 1 << 40);
    while !choices.is_done() {
        watched.step(&mut choices);
    }
    watched.check(&mut marks);
}

/// An LRE and what is known of its past from outside.
struct Watched<'m> {
    lre: Lre<'m, Events>,
    config: LreConfig,
    now: u64,
    /// Time as the LRE has it: what runs backwards stands still.
    latest: u64,
    numbers: HashMap<MacAddress, u16>,
    /// When a number was last taken as new, by the sender. While senders may have two addresses,
    /// all senders count as one.
    taken: HashMap<(MacAddress, u16), u64>,
    has_aliases: bool,
    firsts: u64,
    delivered: u64,
}

impl<'m> Watched<'m> {
    fn new(lre: Lre<'m, Events>, config: LreConfig, now: u64) -> Self {
        let (numbers, taken) = (HashMap::new(), HashMap::new());
        Self {
            lre,
            config,
            now,
            latest: now,
            numbers,
            taken,
            has_aliases: false,
            firsts: 0,
            delivered: 0,
        }
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.now)
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.octet() {
            0..=99 => {
                let source = node(choices);
                let lan = choices.lan();
                let number = self.number(source, choices);
                self.feed(lan, &tagged(source, lan, number));
            }
            100..=119 => {
                let frame = untagged(OWN, node(choices), &[0x0800], 46);
                self.feed(choices.lan(), &frame);
            }
            120..=149 => self.announce(choices),
            150..=159 => {
                let len = usize::from(choices.octet());
                let frame = choices.take(len).to_vec();
                self.feed(choices.lan(), &frame);
            }
            160..=169 => self.feed_bent(choices),
            170..=199 => self.now = self.now.saturating_add(choices.span()),
            200..=219 => {
                self.lre.service(self.now());
                self.latest = self.latest.max(self.now);
            }
            220..=229 => self.of_the_host(choices),
            230..=234 => {
                let _ = self.lre.poll_supervision(self.now());
            }
            235..=239 => self.lre.set_link(choices.lan(), choices.octet() & 1 == 0),
            240 => self.lre.clear_node_table(),
            241..=244 => self.now = self.now.saturating_sub(choices.span()),
            _ => self.flood(choices),
        }
    }

    /// Mostly the next number of the source, at times any.
    fn number(&mut self, source: MacAddress, choices: &mut Choices<'_>) -> u16 {
        let last = self.numbers.entry(source).or_insert(0xfff0);
        let number = match choices.octet() {
            0..=127 => last.wrapping_add(1),
            128..=191 => *last,
            near @ 192..=223 => last.wrapping_sub(u16::from(near - 192)),
            224..=239 => last.wrapping_add(0x7fff + u16::from(choices.octet() & 3)),
            _ => choices.word(),
        };
        *last = number;
        number
    }

    fn announce(&mut self, choices: &mut Choices<'_>) {
        let mac = node(choices);
        let how = choices.octet();
        let mut announcement = Announcement::of(mac);
        announcement.tlv = 20 + (how & 3);
        if how & 4 != 0 {
            announcement.redbox = Some(node(choices));
        }
        if how & 8 != 0 {
            announcement.source = node(choices);
            self.has_aliases = true;
        }
        let lan = choices.lan();
        let frame = if how & 16 == 0 {
            let number = self.number(announcement.source, choices);
            announcement.with_rct(lan, number)
        } else {
            announcement.octets()
        };
        self.feed(lan, &frame);
    }

    /// A good frame, then one octet of it changed or its end cut off.
    fn feed_bent(&mut self, choices: &mut Choices<'_>) {
        let lan = choices.lan();
        let mut frame = if choices.octet() & 1 == 0 {
            tagged(node(choices), lan, choices.word())
        } else {
            Announcement::of(node(choices)).with_rct(lan, choices.word())
        };
        let at = usize::from(choices.octet()) % frame.len();
        frame[at] = choices.octet();
        if choices.octet() & 7 == 0 {
            frame.truncate(at);
        }
        // What it means now is not known: any sender may speak for any other.
        self.has_aliases = true;
        self.feed(lan, &frame);
    }

    fn flood(&mut self, choices: &mut Choices<'_>) {
        let seed = choices.word();
        for i in 0..64u16 {
            let [a, b] = seed.wrapping_add(i.wrapping_mul(257)).to_be_bytes();
            let source = MacAddress([2, 9, 9, 9, a, b]);
            let mut frame = untagged(MacAddress::BROADCAST, source, &[0x0800], 46);
            if i % 2 == 0 {
                append_rct(&mut frame, LanId::A, i, 52);
            }
            self.feed(LanId::A, &frame);
        }
    }

    fn of_the_host(&mut self, choices: &mut Choices<'_>) {
        let len = usize::from(choices.word() & 0x1fff);
        let frame = untagged(node(choices), OWN, &[], len);
        let before = self.lre.next_sequence_numbers();
        match self.lre.receive_host(self.now(), &frame) {
            Outgoing::Tagged { room, .. } => {
                assert!(room.total_octets() >= 66 && room.total_octets() >= frame.len() + 6);
                assert_eq!(self.lre.next_sequence_numbers().0, before.0.wrapping_add(1));
            }
            Outgoing::Untagged { .. } | Outgoing::Nothing(_) => {
                assert_eq!(self.lre.next_sequence_numbers(), before);
            }
        }
    }

    /// Feeds one frame and checks what must hold of its fate.
    fn feed(&mut self, lan: LanId, frame: &[u8]) {
        let fate = self.lre.receive_lan(self.now(), lan, frame);
        self.latest = self.latest.max(self.now);
        let view = Ethernet::new_checked(frame).ok();
        let rct = view.as_ref().and_then(RctRepr::parse);
        match fate {
            Fate::Deliver { octets } => {
                self.delivered += 1;
                let view = view.expect("what is delivered has a header");
                assert!(view.source() != OWN && !view.source().is_group());
                let cut = match self.config.transparent_reception {
                    TransparentReception::RemoveRct if rct.is_some() => 6,
                    _ => 0,
                };
                assert_eq!(octets, frame.len() - cut);
            }
            Fate::Discard(DiscardReason::Duplicate) => {
                let rct = rct.expect("a duplicate has an RCT");
                assert_eq!(self.config.duplicate_mode, DuplicateMode::Discard);
                let source = view.map(|view| view.source()).unwrap_or_default();
                self.was_taken(source, rct.sequence_number);
                return;
            }
            Fate::Discard(_) => {}
        }
        if let (Some(view), Some(rct)) = (view, rct)
            && view.source() != OWN
        {
            self.firsts += 1;
            self.taken.insert((view.source(), rct.sequence_number), self.latest);
        }
    }

    /// In doubt deliver: whatever is discarded was taken within the life of an entry.
    fn was_taken(&self, source: MacAddress, number: u16) {
        let life = self.config.entry_forget_time.as_nanos().div_ceil(16) * 17;
        let is_recent = |&at: &u64| self.latest - at <= life;
        let by_itself = self.taken.get(&(source, number)).is_some_and(is_recent);
        let by_any = || self.taken.iter().any(|((_, taken), at)| *taken == number && is_recent(at));
        assert!(
            by_itself || (self.has_aliases && by_any()),
            "{source} {number} was rejected and not known"
        );
    }

    fn check(mut self, marks: &mut [u8]) {
        assert_eq!(self.lre.check_invariants(marks), Ok(()));
        self.now = self.now.max(self.latest).saturating_add(400_000_000_000);
        let now = self.now();
        settle(&mut self.lre, now);
        assert_eq!(self.lre.check_invariants(marks), Ok(()));
        let counters = self.lre.counters();
        let numbers: u64 =
            [counters.unique, counters.duplicate, counters.multi].as_flattened().iter().sum();
        // Each copy taken for a first is one entry, counted once; or there was no memory for it.
        assert!(numbers <= self.firsts, "{counters:?}, {} firsts", self.firsts);
        assert_eq!(counters.tx[2], self.delivered);
    }
}

/// One of a few nodes.
fn node(choices: &mut Choices<'_>) -> MacAddress {
    match choices.octet() {
        255 => OWN,
        n => MacAddress([2, 0, 0, 0, 1, n & 15]),
    }
}

/// Two LREs and LANs whose every copy is lost, late, or repeated as the octets say: each payload
/// that arrives is delivered, and none twice.
pub(crate) fn lre_pair(octets: &[u8]) {
    const LIVES: usize = 5;
    let mut choices = Choices(octets);
    let mut memories: Vec<Memory> = (0..LIVES).map(|_| Memory::of(8, 128)).collect();
    let mut lives = memories.iter_mut();
    let macs = [OWN, super::PEER];
    let mut network = Network::new(0);
    let mut silent_until = [Instant::ORIGIN; 2];
    for mac in macs {
        let start = SequenceStart::continued(choices.word(), choices.word());
        let memory = lives.next().expect("a life for each");
        network.add(mac, memory.lre_from(mac, LreConfig::default(), start, Instant::ORIGIN));
    }
    while !choices.is_done() {
        match choices.octet() {
            0..=199 => {
                let from = usize::from(choices.octet() & 1);
                let to = macs[1 - from];
                network.send_with(from, to, &[0x0800], 46, &mut |network, lan, to, frame| {
                    copies(network, &mut choices, lan, to, &frame);
                });
            }
            200..=239 => {
                // At the end of time it would stand still, and silence with it.
                let span = choices.span();
                network.run_for(if network.now < 1 << 62 { span } else { 0 });
            }
            240..=247 => {
                let node = usize::from(choices.octet() & 1);
                network.nodes[node].swapped = !network.nodes[node].swapped;
            }
            _ => {
                // A node restarts. What it sent in its former life has arrived, or it could not be
                // told from the new one's; what it had received does not come a second time.
                network.run_for(400_000_000);
                let at = usize::from(choices.octet() & 1);
                let now = Instant::from_nanos(network.now);
                let (data, supervision) = network.nodes[at].lre.next_sequence_numbers();
                // Numbers are worth continuing only when the former life's silence was over.
                let start = if choices.octet() & 1 == 0 && now >= silent_until[at] {
                    SequenceStart::continued(data, supervision)
                } else {
                    let sequence_number = choices.word();
                    SequenceStart { sequence_number, ..SequenceStart::after_reboot(now) }
                };
                if let Some(memory) = lives.next() {
                    silent_until[at] = start.silent_until;
                    network.nodes[at].lre =
                        memory.lre_from(macs[at], LreConfig::default(), start, now);
                }
            }
        }
    }
    network.run_for(1_000_000_000);
    assert_eq!(network.lost_and_twice(), (0, 0), "lost, twice");
}

/// Up to three copies, none later than 399 ms.
fn copies(
    network: &mut Network<'_>,
    choices: &mut Choices<'_>,
    lan: LanId,
    to: usize,
    frame: &[u8],
) {
    const AFTER: [u64; 8] =
        [0, 1, 20_000, 1_000_000, 24_999_999, 50_000_000, 200_000_000, 399_000_000];
    let how = choices.octet();
    for copy in 0..how & 3 {
        let after = AFTER[usize::from((how >> 2).wrapping_mul(copy + 1) & 7)];
        network.carry(lan, to, frame.to_vec(), after);
    }
}
