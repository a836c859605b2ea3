//! Duplicate discard as a trait, and two that have it: a whole LRE, and a naive exact model.

use std::collections::HashMap;

use prp::lre::config::LreConfig;
use prp::lre::{DiscardReason, Fate, Lre};
use prp::types::{LanId, MacAddress};
use rt_core::time::{Duration, Instant};

use super::frames::{Announcement, tagged};
use super::{Events, Memory};

/// How a subject is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) entry_forget_time: Duration,
    pub(crate) nodes: usize,
    /// Blocks of the pool; `None`: as the product sizes it.
    pub(crate) blocks: Option<usize>,
    /// Whether senders announce themselves.
    pub(crate) supervised: bool,
}

impl Setup {
    pub(crate) const USUAL: Self = Self {
        entry_forget_time: Duration::from_millis(400),
        nodes: 64,
        blocks: None,
        supervised: true,
    };
}

/// What discards duplicates.
pub(crate) trait DiscardAlgorithm {
    /// A copy of `number` of `source` came on `lan`: is it the first?
    fn accept(&mut self, now: Instant, source: u32, lan: LanId, number: u16) -> bool;
}

/// Makes an algorithm and runs a scenario on it.
pub(crate) trait Subject {
    fn run<R>(setup: Setup, scenario: impl FnOnce(&mut dyn DiscardAlgorithm) -> R) -> R;
}

/// An LRE with everything before and behind its discard.
pub(crate) struct WholeLre;

impl Subject for WholeLre {
    fn run<R>(setup: Setup, scenario: impl FnOnce(&mut dyn DiscardAlgorithm) -> R) -> R {
        let mut memory = match setup.blocks {
            None => Memory::for_nodes(setup.nodes),
            Some(blocks) => Memory::of(setup.nodes, blocks),
        };
        let mut marks = memory.marks();
        let config =
            LreConfig { entry_forget_time: setup.entry_forget_time, ..LreConfig::default() };
        let lre = memory.lre(config);
        let mut subject = LreSubject { lre, announced: HashMap::new(), setup };
        let result = scenario(&mut subject);
        assert_eq!(subject.lre.check_invariants(&mut marks), Ok(()));
        result
    }
}

struct LreSubject<'m> {
    lre: Lre<'m, Events>,
    announced: HashMap<u32, Instant>,
    setup: Setup,
}

pub(crate) fn mac_of(source: u32) -> MacAddress {
    let [a, b, c, d] = source.to_be_bytes();
    MacAddress([2, 0x50, a, b, c, d])
}

impl LreSubject<'_> {
    /// Untagged, so that it takes no number.
    fn announce(&mut self, now: Instant, source: u32) {
        let last = self.announced.get(&source);
        if last.is_some_and(|&last| now.since(last) < Duration::from_secs(2)) {
            return;
        }
        self.announced.insert(source, now);
        let frame = Announcement::of(mac_of(source)).octets();
        let fate = self.lre.receive_lan(now, LanId::A, &frame);
        assert_eq!(fate, Fate::Discard(DiscardReason::Supervision));
    }
}

impl DiscardAlgorithm for LreSubject<'_> {
    fn accept(&mut self, now: Instant, source: u32, lan: LanId, number: u16) -> bool {
        if now >= self.lre.next_timeout() {
            self.lre.service(now);
            self.lre.events_mut().0.clear();
        }
        if self.setup.supervised {
            self.announce(now, source);
        }
        match self.lre.receive_lan(now, lan, &tagged(mac_of(source), lan, number)) {
            Fate::Deliver { octets: 60 } => true,
            Fate::Discard(DiscardReason::Duplicate) => false,
            other => panic!("neither delivered nor a duplicate: {other:?}"),
        }
    }
}

/// The rule as it is written, with a hash map for memory: an entry lives 33/32 of EntryForgetTime
/// (anything from 1 to 17/16 would do) or until its source's newest number is more than 2^15 ahead.
pub(crate) struct NaiveModel;

impl Subject for NaiveModel {
    fn run<R>(setup: Setup, scenario: impl FnOnce(&mut dyn DiscardAlgorithm) -> R) -> R {
        let life = Duration::from_nanos(setup.entry_forget_time.as_nanos() / 32 * 33);
        scenario(&mut NaiveState { life, now: Instant::ORIGIN, sources: HashMap::new() })
    }
}

struct NaiveState {
    life: Duration,
    now: Instant,
    sources: HashMap<u32, NaiveSource>,
}

struct NaiveSource {
    newest: i64,
    last: Instant,
    /// By the number's 16 bits: the number in full, and when its first copy came.
    entries: HashMap<u16, (i64, Instant)>,
}

/// The number in full that is nearest to `newest`.
pub(crate) fn extend(newest: i64, number: u16) -> i64 {
    let distance = number.wrapping_sub(newest.rem_euclid(1 << 16) as u16).cast_signed();
    newest + i64::from(distance)
}

impl DiscardAlgorithm for NaiveState {
    fn accept(&mut self, now: Instant, source: u32, _lan: LanId, number: u16) -> bool {
        self.now = self.now.max(now);
        let (now, life) = (self.now, self.life);
        let new = || NaiveSource { newest: i64::from(number), last: now, entries: HashMap::new() };
        let source = self.sources.entry(source).or_insert_with(new);
        let full = extend(source.newest, number);
        let silent = now.since(source.last) > life;
        source.newest = if silent { full } else { source.newest.max(full) };
        source.last = now;
        let alive = source.entries.get(&number).is_some_and(|&(entry, born)| {
            now.since(born) <= life && entry >= source.newest - (1 << 15)
        });
        if !alive {
            source.entries.insert(number, (full, now));
        }
        !alive
    }
}
