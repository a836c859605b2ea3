//! Any sequence of arrivals against a naive model of the rule, with the tolerance that the rule
//! states: an entry lives between T and 17/16 T, and dies when its source's newest number is more
//! than 2^15 ahead. Where either answer is right, the model follows both ways; outside, it must
//! agree. Counters are compared exactly.

#![allow(clippy::cast_possible_truncation, reason = "numbers wrap on purpose")]

mod support;

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use prp::lre::config::LreConfig;
use prp::lre::{DiscardReason, Fate};
use prp::types::LanId;
use rt_core::time::{Duration, Instant};
use support::discard::{extend, mac_of};
use support::frames::{Announcement, tagged, untagged};
use support::{Memory, OWN, Random, or_soak, settle};

const MS: u64 = 1_000_000;
const LIFE_MIN: u64 = 400 * MS;
const LIFE_MAX: u64 = 425 * MS;

/// One step of a sequence.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Time passes, in nanoseconds.
    Pass(u64),
    /// A copy from a source: so far from the number it used last.
    Copy { source: u8, on_b: bool, offset: i32 },
    /// The LRE does a piece of the work that is due.
    Serve,
}

fn span() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0..2 * MS,
        2 => 0..30 * MS,
        2 => 300 * MS..500 * MS,
        1 => (0..4u64).prop_map(|i| [LIFE_MIN, LIFE_MIN - 1, LIFE_MAX, LIFE_MAX + 1][i as usize]),
        1 => 0..10_000 * MS,
    ]
}

fn offset() -> impl Strategy<Value = i32> {
    prop_oneof![
        6 => Just(1),
        6 => Just(0),
        3 => -70..70i32,
        2 => -40_000..40_000i32,
        2 => 32_700..32_840i32,
        1 => -32_840..-32_700i32,
        1 => 65_400..65_600i32,
        1 => any::<u16>().prop_map(i32::from),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => span().prop_map(Step::Pass),
        8 => (0..3u8, any::<bool>(), offset())
            .prop_map(|(source, on_b, offset)| Step::Copy { source, on_b, offset }),
        1 => Just(Step::Serve),
    ]
}

/// One way in which the past may be read.
#[derive(Clone, PartialEq, Debug)]
struct World {
    newest: i64,
    last: u64,
    /// By the number's 16 bits: the number in full, and when the first copy came.
    entries: HashMap<u16, (i64, u64)>,
}

/// What a source did, in every way in which it may be read.
#[derive(Debug, Default)]
struct Source {
    worlds: Vec<World>,
    last_number: u16,
    /// Entries that count: the port of the first copy, and copies.
    counted: HashMap<u16, (usize, u64)>,
}

impl Source {
    /// The LRE took a copy for the first, or not. False when it may not.
    fn follow(&mut self, now: u64, number: u16, first: bool) -> bool {
        let before = std::mem::take(&mut self.worlds);
        for world in before {
            let silence = now - world.last;
            // After silence nothing is alive and the newest number is where the sender is.
            if silence > LIFE_MIN {
                let anew = World { newest: i64::from(number), last: now, entries: HashMap::new() };
                self.admit(anew, now, number, first);
            }
            if silence <= LIFE_MAX {
                self.admit(world, now, number, first);
            }
        }
        !self.worlds.is_empty()
    }

    fn admit(&mut self, mut world: World, now: u64, number: u16, first: bool) {
        let full = extend(world.newest, number);
        world.newest = world.newest.max(full);
        world.last = now;
        let age = world
            .entries
            .get(&number)
            .filter(|&&(entry, _)| entry >= world.newest - (1 << 15))
            .map(|&(_, born)| now - born);
        let may_be_first = age.is_none_or(|age| age > LIFE_MIN);
        let may_repeat = age.is_some_and(|age| age <= LIFE_MAX);
        if first && may_be_first {
            world.entries.insert(number, (full, now));
        } else if first || !may_repeat {
            return;
        }
        if !self.worlds.contains(&world) {
            self.worlds.push(world);
        }
    }
}

/// `lreCntUnique`, `Duplicate` and `Multi` of A and B.
type Counted = [[u64; 2]; 3];

fn count(counted: &mut Counted, (port, copies): (usize, u64)) {
    counted[(copies.min(3) - 1) as usize][port] += 1;
}

fn agrees(steps: &[Step]) -> Result<(), TestCaseError> {
    // As many blocks as there are copies at most, for sources that were not announced.
    let mut memory = Memory::of(4, 1_024);
    let mut marks = memory.marks();
    let mut lre = memory.lre(LreConfig::default());
    let mut now = 1_000 * MS;
    let mut sources: HashMap<u8, Source> = HashMap::new();
    let mut counted = Counted::default();
    for (i, &step) in steps.iter().enumerate() {
        let instant = Instant::from_nanos(now);
        match step {
            Step::Pass(span) => now += span,
            Step::Serve => lre.service(instant),
            Step::Copy { source, on_b, offset } => {
                let lan = LanId::BOTH[usize::from(on_b)];
                let known = sources.entry(source).or_default();
                let number = known.last_number.wrapping_add(offset.cast_unsigned() as u16);
                if known.worlds.is_empty() {
                    let (newest, entries) = (i64::from(number), HashMap::new());
                    known.worlds.push(World { newest, last: now, entries });
                }
                let mac = mac_of(u32::from(source));
                let first = match lre.receive_lan(instant, lan, &tagged(mac, lan, number)) {
                    Fate::Deliver { octets: 60 } => true,
                    Fate::Discard(DiscardReason::Duplicate) => false,
                    other => return Err(TestCaseError::fail(format!("{other:?}"))),
                };
                prop_assert!(
                    known.follow(now, number, first),
                    "step {i}: {number} of {source} at {now} was taken for first: {first}"
                );
                known.last_number = number;
                let copies = known.counted.entry(number).or_insert_with(|| (lan.index(), 0));
                if first && copies.1 > 0 {
                    count(&mut counted, std::mem::replace(copies, (lan.index(), 0)));
                }
                copies.1 += 1;
            }
        }
    }
    prop_assert_eq!(lre.check_invariants(&mut marks), Ok(()));
    // Everything dies; each number counts once.
    let end = Instant::from_nanos(now) + Duration::from_secs(1);
    settle(&mut lre, end);
    for entry in sources.values().flat_map(|source| source.counted.values()) {
        count(&mut counted, *entry);
    }
    let counters = lre.counters();
    let of = |per_port: [u64; 3]| [per_port[0], per_port[1]];
    prop_assert_eq!(
        [of(counters.unique), of(counters.duplicate), of(counters.multi)],
        counted,
        "unique, duplicate, multi"
    );
    prop_assert_eq!(lre.check_invariants(&mut marks), Ok(()));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(or_soak(400) as u32))]

    #[test]
    fn whatever_arrives_the_rule_is_kept(steps in vec(step(), 1..400)) {
        agrees(&steps)?;
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(or_soak(60) as u32))]

    /// Floods of nodes of every kind through a small table, with ageing and clearing.
    #[test]
    fn floods_of_nodes_leave_every_list_whole(
        seed in any::<u64>(),
        nodes in 1..40usize,
        blocks in 0..100usize,
        population in 1..200u64,
    ) {
        let mut memory = Memory::of(nodes, blocks);
        let mut marks = memory.marks();
        let mut lre = memory.lre(LreConfig::default());
        let mut random = Random(seed);
        let mut now = 0;
        for i in 0..2_000 {
            let longest = if random.percent(2) { 70_000 * MS } else { 20 * MS };
            now += random.below(longest);
            let instant = Instant::from_nanos(now);
            let mac = mac_of(random.below(population) as u32);
            let lan = LanId::BOTH[random.below(2) as usize];
            let number = random.below(300) as u16;
            let frame = match random.below(20) {
                0..=8 => tagged(mac, lan, number),
                9..=14 => untagged(OWN, mac, &[0x0800], 46),
                _ => {
                    let other = mac_of(random.below(population) as u32);
                    let mut announcement = Announcement::of(mac);
                    announcement.redbox = random.percent(20).then_some(other);
                    if random.percent(20) {
                        announcement.source = other;
                    }
                    announcement.with_rct(lan, number)
                }
            };
            let _ = lre.receive_lan(instant, lan, &frame);
            if random.percent(30) {
                lre.service(instant);
            }
            if random.percent(1) && random.percent(10) {
                lre.clear_node_table();
            }
            if i % 100 == 0 {
                prop_assert_eq!(lre.check_invariants(&mut marks), Ok(()));
            }
        }
        settle(&mut lre, Instant::from_nanos(now + 1_000 * MS));
        prop_assert_eq!(lre.check_invariants(&mut marks), Ok(()));
        // 60 s on, and the round of a table this small: nobody is left.
        for seconds in 1..70 {
            settle(&mut lre, Instant::from_nanos(now + seconds * 1_000 * MS));
        }
        prop_assert_eq!(lre.counters().nodes, 0);
        prop_assert_eq!(lre.check_invariants(&mut marks), Ok(()));
    }
}
