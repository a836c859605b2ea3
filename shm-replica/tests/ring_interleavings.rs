//! The ring under the interleavings, and the orders that the memory may show, of small programs.
//!
//! | Programs, of 2 and of 3 slots | Always | With `BUMPLESS_SOAK=1` |
//! |---|---|---|
//! | one commit beside a reader; one over the image that is read | every interleaving | the same |
//! | two or three commits beside a reader | at most four preemptions | every interleaving |
//!
//! Without the bound those of the second line take two and a half minutes of one processor, which
//! is too long for a test that is run each time; with it ten seconds. A preemption is a change of
//! threads where neither ends; what a load may see is not bounded.
//!
//! The model checker's words stand in for the shared memory; the ring's code is the one that ships.
//! Its bounds: it takes sequentially consistent accesses for acquire and release (the ring has
//! none) and does not let a load see a store that comes later in program order.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::Deref;

use bumpless::ring::{Missed, Place, Reader, Writer};
use bumpless::word::Word;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering, fence};
use loom::thread;

struct Modelled(AtomicU64);

impl Word for Modelled {
    fn load(&self, ordering: Ordering) -> u64 {
        self.0.load(ordering)
    }

    fn store(&self, value: u64, ordering: Ordering) {
        self.0.store(value, ordering);
    }

    fn fence(ordering: Ordering) {
        fence(ordering);
    }
}

#[derive(Clone)]
struct Memory(Arc<Vec<Modelled>>);

impl Deref for Memory {
    type Target = [Modelled];

    fn deref(&self) -> &[Modelled] {
        &self.0
    }
}

const BODY: usize = 2;

const fn place(slots: usize) -> Place {
    Place { newest: 0, slots: 1, stride: 1 + BODY, count: slots, body: BODY }
}

fn memory(slots: usize) -> Memory {
    let words = 1 + slots * (1 + BODY);
    Memory(Arc::new((0..words).map(|_| Modelled(AtomicU64::new(0))).collect()))
}

fn commit(writer: &mut Writer<Memory>) {
    writer.begin();
    let value = writer.sequence() + 1;
    for word in writer.body() {
        word.store(value, Ordering::Relaxed);
    }
    writer.commit();
}

fn values(body: &[Modelled]) -> Vec<u64> {
    body.iter().map(|word| word.load(Ordering::Relaxed)).collect()
}

/// How often a thread is interrupted where it need not be, in the larger programs.
const PREEMPTIONS: usize = 4;

fn soak() -> bool {
    std::env::var_os("BUMPLESS_SOAK").is_some_and(|value| value == "1")
}

/// Runs a writer of `commits` commits beside `read`: one commit in every interleaving, more of them
/// as the table above says.
fn beside(
    slots: usize,
    before: u64,
    commits: u64,
    read: impl Fn(&mut Reader<Memory>) + Sync + Send + Copy + 'static,
) {
    let mut model = loom::model::Builder::new();
    let is_bounded = commits > 1 && !soak();
    model.preemption_bound = is_bounded.then_some(PREEMPTIONS);
    model.check(move || {
        let memory = memory(slots);
        let mut writer = Writer::new(memory.clone(), place(slots)).unwrap();
        (0..before).for_each(|_| commit(&mut writer));
        let mut reader = Reader::new(memory, place(slots)).unwrap();
        let writes = thread::spawn(move || (0..commits).for_each(|_| commit(&mut writer)));
        read(&mut reader);
        writes.join().unwrap();
    });
}

/// Slots, commits before the reader looks, and beside it.
type Program = (usize, u64, u64);

/// One commit, into an empty ring, one that is not full, and over the oldest image.
const ONE_COMMIT: [Program; 6] = [(2, 0, 1), (2, 1, 1), (2, 2, 1), (3, 0, 1), (3, 2, 1), (3, 3, 1)];

fn is_read_whole((slots, before, commits): Program) {
    beside(slots, before, commits, move |reader| {
        if let Ok(step) = reader.newest(values) {
            assert_eq!(step.copied, [step.sequence; BODY]);
            assert!(step.sequence >= before);
        }
    });
}

#[test]
fn an_image_that_is_read_is_whole() {
    ONE_COMMIT.into_iter().chain([(2, 0, 2), (2, 1, 2)]).for_each(is_read_whole);
}

#[test]
fn an_image_that_is_read_from_a_full_ring_is_whole() {
    is_read_whole((2, 2, 2));
}

#[test]
fn an_image_of_three_slots_that_is_read_is_whole() {
    is_read_whole((3, 1, 3));
}

#[test]
fn an_image_that_is_overwritten_while_it_is_read_is_whole_or_missed() {
    for (slots, before) in [(2, 2), (2, 3), (3, 3), (3, 4)] {
        beside(slots, before, 1, move |reader| {
            let oldest = before + 1 - u64::try_from(slots).unwrap();
            match reader.read(oldest, values) {
                Ok(copied) => assert_eq!(copied, [oldest; BODY]),
                Err(missed) => assert_eq!(missed, Missed::Lapped),
            }
        });
    }
}

#[test]
fn images_are_read_in_order_each_once() {
    for (slots, before, commits) in ONE_COMMIT.into_iter().chain([(3, 1, 3)]) {
        beside(slots, before, commits, move |reader| {
            let mut last = 0;
            for _ in 0..2 {
                match reader.next(values) {
                    Ok(step) => {
                        assert_eq!(step.copied, [step.sequence; BODY]);
                        assert!(step.sequence > last && step.sequence >= before);
                        assert!(last == 0 || step.sequence == last + 1 + step.skipped);
                        last = step.sequence;
                    }
                    Err(Missed::Nothing) => assert!(last > 0 || before == 0),
                    Err(Missed::Lapped) => {}
                }
            }
        });
    }
}

#[test]
fn what_the_short_way_finds_is_whole_and_next() {
    for (slots, before, commits) in ONE_COMMIT.into_iter().chain([(2, 1, 2)]) {
        beside(slots, before, commits, |reader| {
            let Ok(first) = reader.next(values) else { return };
            let is_missing = reader.is_next_missing();
            if let Some((sequence, copied)) = reader.following(values) {
                assert_eq!((sequence, copied), (first.sequence + 1, vec![sequence; BODY]));
            } else if is_missing && let Ok(step) = reader.next(values) {
                // It came meanwhile; what was there before is not found now.
                assert!(step.sequence > first.sequence);
            }
        });
    }
}

#[test]
fn a_reader_that_comes_after_the_last_commit_finds_it() {
    let model = loom::model::Builder::new();
    model.check(|| {
        let memory = memory(2);
        let mut writer = Writer::new(memory.clone(), place(2)).unwrap();
        let writes = thread::spawn(move || {
            commit(&mut writer);
            commit(&mut writer);
            writer.begin();
        });
        writes.join().unwrap();
        let mut reader = Reader::new(memory, place(2)).unwrap();
        assert_eq!(reader.newest(values).unwrap().sequence, 2);
    });
}
