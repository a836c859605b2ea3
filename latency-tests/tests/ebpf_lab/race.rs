//! Both copies of a frame decided at the same moment on two CPUs.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use prp::lre::config::LreConfig;
use prp::lre::fast_path::FastPathControl;
use prp::lre::{Lre, SequenceStart};
use prp::types::LanId;
use rt_core::time::Instant;

use super::schedule::{OWN, announcement, mac_of, tagged};
use super::{Discard, Hook, SECRET, Sizes, Verdict};

const GROUPS: u16 = 200;
const BLOCK_NUMBERS: u16 = 64;
const SIZES: Sizes = Sizes { nodes: 4, blocks: 1_024 };

/// A program, and the LRE's life so far, in which a node is known and the first number of each of
/// `GROUPS` blocks has come.
pub(crate) fn prepared() -> Discard {
    let discard = Discard::load(SIZES, true);
    let mut tables = discard.tables();
    let now = Instant::from_nanos(1_000_000_000);
    let start = SequenceStart::continued(0, 0);
    let mut lre = Lre::new(OWN, LreConfig::default(), tables.memory(), SECRET, start, now, ());
    let _ = lre.receive_lan(now, LanId::A, &announcement(mac_of(1)));
    for group in 0..GROUPS {
        let frame = tagged(mac_of(1), LanId::A, group * BLOCK_NUMBERS, 0);
        let _ = lre.receive_lan(now, LanId::A, &frame);
    }
    lre.service(now);
    let told = FastPathControl { test_now_ns: now.as_nanos(), ..lre.fast_path() };
    discard.control().values_mut()[0] = told;
    discard
}

/// The numbers whose block exists, but that have not come.
pub(crate) fn fresh_numbers() -> impl Iterator<Item = u16> {
    (0..GROUPS * BLOCK_NUMBERS).filter(|number| number % BLOCK_NUMBERS != 0)
}

/// Gives both copies of each number to the programs at once; panics unless one of them is the
/// first.
pub(crate) fn race(hook: Hook) {
    let discard = prepared();
    let arrived = AtomicUsize::new(0);
    let one_lan = |lan| {
        let mut firsts = Vec::new();
        for (round, number) in fresh_numbers().enumerate() {
            let frame = tagged(mac_of(1), lan, number, 0);
            arrived.fetch_add(1, Ordering::AcqRel);
            let mut spins = 0u64;
            while arrived.load(Ordering::Acquire) < 2 * (round + 1) {
                spins += 1;
                if spins.is_multiple_of(1_000) {
                    thread::yield_now();
                }
                spin_loop();
            }
            match discard.run(hook, lan, &frame) {
                Verdict::First => firsts.push(number),
                Verdict::Repeat => {}
                Verdict::Left => panic!("{number} was left"),
            }
        }
        firsts
    };
    let (a, b) = thread::scope(|scope| {
        let other = scope.spawn(|| one_lan(LanId::B));
        (one_lan(LanId::A), other.join().unwrap())
    });
    println!("{hook:?}: {} first on A, {} on B", a.len(), b.len());
    let mut firsts = [a, b].concat();
    firsts.sort_unstable();
    assert!(firsts.into_iter().eq(fresh_numbers()), "each number has one first copy");
    let counters = discard.counters();
    let [on_a, on_b] = counters.values() else { panic!() };
    assert_eq!(on_a.rx + on_b.rx, 2 * (on_a.delivered + on_b.delivered));
}
