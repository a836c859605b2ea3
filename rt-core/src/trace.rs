//! Typed events from one real-time thread to whoever logs them.
//!
//! A real-time thread may not format, allocate or write to a file. It pushes fixed records into a
//! ring; a thread with time on its hands drains, names and prints them. [`TraceWriter::push`] is
//! wait-free and never overwrites what is not yet read: when the ring is full the event is dropped
//! and counted, per kind, and the next record that fits says how many are missing before it. A
//! history that was lost still leaves its counts. (Overwriting the oldest was the alternative: it
//! needs a sequence lock on each slot, and keeps the end of a storm instead of its beginning, which
//! is where the cause is.)
//!
//! **Why the orderings suffice.** `head` is written by the writer alone, `tail` by the reader
//! alone, both only rise, and `tail <= head <= tail + SLOTS` always.
//! - A slot's words are written before `head` is stored with release; the reader touches a slot
//!   only after it loaded, with acquire, a `head` beyond it. So it sees the words complete.
//! - The reader stores `tail` with release after its loads of the slot; the writer reuses the slot
//!   only after it loaded, with acquire, a `tail` beyond it. So its new words cannot be taken for
//!   the old ones.
//!
//! The words are relaxed atomics, so even a defect here would yield a wrong record, not undefined
//! behaviour, and no `unsafe` is needed. That there is one of each half is kept by the types:
//! halves come only from [`TraceRing::split`] (borrowed) or from `os::trace::shared_ring` (owned),
//! cannot be cloned, and work through `&mut self`.

use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::counters::{Counter, CounterSet};
use crate::limits::TRACE_KINDS_MAX;
use crate::time::Instant;

/// An event that fits a record: a kind and four words.
pub trait TraceEvent: Sized {
    /// How many kinds there are; at most [`TRACE_KINDS_MAX`].
    const KINDS: usize;

    /// The kind's number, less than [`TraceEvent::KINDS`].
    fn kind(&self) -> usize;

    /// The rest of the event. Real-time class: called on the writer's thread, so no allocation.
    fn encode(&self) -> [u64; 4];

    /// The event again; none when kind or words are not what `encode` gives.
    fn decode(kind: usize, words: [u64; 4]) -> Option<Self>;
}

/// What the reader gets for one record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceRecord<E> {
    /// When the event happened, by the writer's clock.
    pub at: Instant,
    /// How many events were dropped between the record before and this one.
    pub lost_before: u64,
    /// The event's kind.
    pub kind: usize,
    /// The event; none when [`TraceEvent::decode`] refused the record.
    pub event: Option<E>,
}

/// How often a kind was pushed, and how many of these found no room.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct KindCounts {
    /// Every push, dropped ones included.
    pub pushed: u64,
    /// Pushes that found the ring full.
    pub dropped: u64,
}

/// One record: one cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Slot {
    at_ns: AtomicU64,
    /// Number of pushes before this one, dropped ones included.
    sequence: AtomicU64,
    kind: AtomicU64,
    words: [AtomicU64; 4],
}

/// An index on cache lines of its own, so that the two threads do not fight over one.
#[derive(Debug)]
#[repr(align(128))]
struct Position(AtomicU64);

/// The ring. `SLOTS` is a power of two.
pub struct TraceRing<E, const SLOTS: usize> {
    head: Position,
    tail: Position,
    pushed: CounterSet<TRACE_KINDS_MAX>,
    dropped: CounterSet<TRACE_KINDS_MAX>,
    slots: [Slot; SLOTS],
    // The ring holds words, not events: it may cross threads whatever `E` is.
    events: PhantomData<fn(E) -> E>,
}

impl<E: TraceEvent, const SLOTS: usize> TraceRing<E, SLOTS> {
    /// An empty ring. Large (64 octets per slot): make it a static or box it.
    #[must_use]
    pub const fn new() -> Self {
        const {
            assert!(SLOTS.is_power_of_two(), "the number of slots is a power of two");
            assert!(E::KINDS <= TRACE_KINDS_MAX, "more kinds of event than counters for them");
        }
        Self {
            head: Position(AtomicU64::new(0)),
            tail: Position(AtomicU64::new(0)),
            pushed: CounterSet::new(),
            dropped: CounterSet::new(),
            slots: [const {
                Slot {
                    at_ns: AtomicU64::new(0),
                    sequence: AtomicU64::new(0),
                    kind: AtomicU64::new(0),
                    words: [const { AtomicU64::new(0) }; 4],
                }
            }; SLOTS],
            events: PhantomData,
        }
    }

    /// The two halves. What an earlier pair of halves left in the ring is still in it.
    pub fn split(&mut self) -> (TraceWriter<&Self>, TraceReader<&Self>) {
        let ring = &*self;
        (TraceWriter::new(ring), TraceReader::new(ring))
    }

    /// The counts of one kind (zeros for a number that is no kind). Thread: any. Beside a running
    /// writer the two may be from slightly different moments.
    #[must_use]
    pub fn counts(&self, kind: usize) -> KindCounts {
        let read = |set: &CounterSet<TRACE_KINDS_MAX>| set.get(kind).map_or(0, Counter::get);
        // Dropped first: a push in between makes `pushed` larger, never `dropped` the larger one on
        // a machine that keeps the order of loads; `min` keeps it so on the others.
        let dropped = read(&self.dropped);
        let pushed = read(&self.pushed);
        KindCounts { pushed, dropped: dropped.min(pushed) }
    }

    /// The counts over all kinds. Thread: any.
    #[must_use]
    pub fn totals(&self) -> KindCounts {
        (0..E::KINDS).map(|kind| self.counts(kind)).fold(KindCounts::default(), |sum, counts| {
            KindCounts {
                pushed: sum.pushed.wrapping_add(counts.pushed),
                dropped: sum.dropped.wrapping_add(counts.dropped),
            }
        })
    }

    fn slot(&self, position: u64) -> &Slot {
        // SLOTS is a power of two, so the remainder is a mask; and it is below SLOTS, so the
        // compiler drops the bounds check.
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is below a usize")]
        let index = (position % SLOTS as u64) as usize;
        &self.slots[index]
    }
}

impl<E: TraceEvent, const SLOTS: usize> Default for TraceRing<E, SLOTS> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E, const SLOTS: usize> fmt::Debug for TraceRing<E, SLOTS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceRing")
            .field("slots", &SLOTS)
            .field("head", &self.head.0)
            .field("tail", &self.tail.0)
            .finish_non_exhaustive()
    }
}

/// The real-time thread's half.
#[derive(Debug)]
pub struct TraceWriter<R> {
    ring: R,
    head: u64,
    /// A `tail` seen earlier: the true one is never smaller, so while this one leaves room there is
    /// room, and the reader's cache line is left alone.
    tail_seen: u64,
    sequence: u64,
}

impl<E, const SLOTS: usize, R> TraceWriter<R>
where
    E: TraceEvent,
    R: Deref<Target = TraceRing<E, SLOTS>>,
{
    // Crate-private: whoever makes a writer makes sure that it is the only one of its ring.
    pub(crate) fn new(ring: R) -> Self {
        let head = ring.head.0.load(Ordering::Acquire);
        let tail_seen = ring.tail.0.load(Ordering::Acquire);
        let sequence = ring.totals().pushed;
        Self { ring, head, tail_seen, sequence }
    }

    /// Records that `event` happened at `at`; false when the ring was full and the event was only
    /// counted. Real-time class: wait-free, no system call, some ten stores.
    pub fn push(&mut self, at: Instant, event: &E) -> bool {
        let kind = event.kind();
        debug_assert!(kind < E::KINDS, "an event's kind is below KINDS");
        let Some(pushed) = self.ring.pushed.get(kind) else {
            return false;
        };
        pushed.increment();
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        if self.is_full() {
            if let Some(dropped) = self.ring.dropped.get(kind) {
                dropped.increment();
            }
            return false;
        }
        let slot = self.ring.slot(self.head);
        slot.at_ns.store(at.as_nanos(), Ordering::Relaxed);
        slot.sequence.store(sequence, Ordering::Relaxed);
        slot.kind.store(kind as u64, Ordering::Relaxed);
        for (cell, word) in slot.words.iter().zip(event.encode()) {
            cell.store(word, Ordering::Relaxed);
        }
        self.head += 1;
        self.ring.head.0.store(self.head, Ordering::Release);
        true
    }

    /// The ring, for its counts.
    #[must_use]
    pub fn ring(&self) -> &TraceRing<E, SLOTS> {
        &self.ring
    }

    fn is_full(&mut self) -> bool {
        if self.head - self.tail_seen < SLOTS as u64 {
            return false;
        }
        self.tail_seen = self.ring.tail.0.load(Ordering::Acquire);
        self.head - self.tail_seen >= SLOTS as u64
    }
}

/// The draining thread's half.
#[derive(Debug)]
pub struct TraceReader<R> {
    ring: R,
    tail: u64,
    sequence: u64,
}

impl<E, const SLOTS: usize, R> TraceReader<R>
where
    E: TraceEvent,
    R: Deref<Target = TraceRing<E, SLOTS>>,
{
    // Crate-private: whoever makes a reader makes sure that it is the only one of its ring.
    pub(crate) fn new(ring: R) -> Self {
        let tail = ring.tail.0.load(Ordering::Acquire);
        let head = ring.head.0.load(Ordering::Acquire);
        // Where reading goes on: at the oldest record, or at whatever is pushed next. What was
        // dropped before this reader came is in the counts.
        let sequence = if head == tail {
            ring.totals().pushed
        } else {
            ring.slot(tail).sequence.load(Ordering::Relaxed)
        };
        Self { ring, tail, sequence }
    }

    /// The oldest record not yet read. Never blocks and never disturbs the writer.
    pub fn pop(&mut self) -> Option<TraceRecord<E>> {
        if self.ring.head.0.load(Ordering::Acquire) == self.tail {
            return None;
        }
        let slot = self.ring.slot(self.tail);
        let at = Instant::from_nanos(slot.at_ns.load(Ordering::Relaxed));
        let sequence = slot.sequence.load(Ordering::Relaxed);
        let kind = usize::try_from(slot.kind.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let words = core::array::from_fn(|index| slot.words[index].load(Ordering::Relaxed));
        self.tail += 1;
        self.ring.tail.0.store(self.tail, Ordering::Release);
        let lost_before = sequence.wrapping_sub(self.sequence);
        self.sequence = sequence.wrapping_add(1);
        Some(TraceRecord { at, lost_before, kind, event: E::decode(kind, words) })
    }

    /// The ring, for its counts.
    #[must_use]
    pub fn ring(&self) -> &TraceRing<E, SLOTS> {
        &self.ring
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    enum Event {
        Began(u64),
        Ended { from: u64, to: u64 },
    }

    impl TraceEvent for Event {
        const KINDS: usize = 2;

        fn kind(&self) -> usize {
            match self {
                Self::Began(_) => 0,
                Self::Ended { .. } => 1,
            }
        }

        fn encode(&self) -> [u64; 4] {
            match *self {
                Self::Began(number) => [number, 0, 0, 0],
                Self::Ended { from, to } => [from, to, from ^ to, !from],
            }
        }

        fn decode(kind: usize, [a, b, c, d]: [u64; 4]) -> Option<Self> {
            match kind {
                0 => Some(Self::Began(a)),
                1 if c == a ^ b && d == !a => Some(Self::Ended { from: a, to: b }),
                _ => None,
            }
        }
    }

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn records_come_out_in_order_with_their_instant() {
        let mut ring = TraceRing::<Event, 4>::new();
        let (mut writer, mut reader) = ring.split();
        assert_eq!(reader.pop(), None);
        for round in 0..10 {
            assert!(writer.push(at(round), &Event::Began(round)));
            assert!(writer.push(at(round + 100), &Event::Ended { from: round, to: 7 }));
            let first = reader.pop().unwrap();
            assert_eq!((first.at, first.event), (at(round), Some(Event::Began(round))));
            let second = reader.pop().unwrap();
            assert_eq!(second.event, Some(Event::Ended { from: round, to: 7 }));
            assert_eq!(second.lost_before, 0);
            assert_eq!(reader.pop(), None);
        }
    }

    #[test]
    fn a_full_ring_keeps_the_oldest_and_counts_the_rest_by_kind() {
        let mut ring = TraceRing::<Event, 4>::new();
        let (mut writer, mut reader) = ring.split();
        for number in 0..4 {
            assert!(writer.push(at(number), &Event::Began(number)));
        }
        assert!(!writer.push(at(4), &Event::Began(4)));
        assert!(!writer.push(at(5), &Event::Ended { from: 0, to: 0 }));
        assert!(!writer.push(at(6), &Event::Ended { from: 0, to: 0 }));
        assert_eq!(reader.ring().counts(0), KindCounts { pushed: 5, dropped: 1 });
        assert_eq!(reader.ring().counts(1), KindCounts { pushed: 2, dropped: 2 });
        assert_eq!(reader.ring().counts(2), KindCounts::default());
        assert_eq!(reader.ring().totals(), KindCounts { pushed: 7, dropped: 3 });
        assert_eq!(reader.pop().unwrap().event, Some(Event::Began(0)));
        // One place is free again; the record in it tells of the gap, once the older ones are read.
        assert!(writer.push(at(7), &Event::Began(7)));
        for number in 1..4 {
            let record = reader.pop().unwrap();
            assert_eq!((record.event, record.lost_before), (Some(Event::Began(number)), 0));
        }
        let record = reader.pop().unwrap();
        assert_eq!((record.event, record.lost_before), (Some(Event::Began(7)), 3));
    }

    #[test]
    fn halves_made_anew_go_on_where_the_old_ones_stopped() {
        let mut ring = TraceRing::<Event, 4>::new();
        {
            let (mut writer, mut reader) = ring.split();
            writer.push(at(0), &Event::Began(0));
            writer.push(at(1), &Event::Began(1));
            assert!(reader.pop().is_some());
        }
        let (mut writer, mut reader) = ring.split();
        writer.push(at(2), &Event::Began(2));
        let events: [_; 2] = core::array::from_fn(|_| reader.pop().unwrap());
        assert_eq!(events.map(|r| r.event), [Some(Event::Began(1)), Some(Event::Began(2))]);
        assert_eq!(events.map(|r| r.lost_before), [0, 0]);
    }

    /// An event whose words do not decode.
    struct Odd;

    impl TraceEvent for Odd {
        const KINDS: usize = 1;
        fn kind(&self) -> usize {
            0
        }
        fn encode(&self) -> [u64; 4] {
            [1, 2, 3, 4]
        }
        fn decode(_: usize, _: [u64; 4]) -> Option<Self> {
            None
        }
    }

    #[test]
    fn a_record_that_does_not_decode_is_still_a_record() {
        let mut ring = TraceRing::<Odd, 2>::new();
        let (mut writer, mut reader) = ring.split();
        writer.push(at(9), &Odd);
        let record = reader.pop().unwrap();
        assert_eq!((record.at, record.kind), (at(9), 0));
        assert!(record.event.is_none());
    }

    /// Every event is either read, whole and in order, or counted as dropped, and the gaps that the
    /// records tell add up to what the counts say.
    #[test]
    fn between_two_threads_nothing_is_torn_and_nothing_vanishes() {
        const EVENTS: u64 = if cfg!(miri) { 300 } else { 200_000 };
        let mut ring = TraceRing::<Event, 16>::new();
        let (mut writer, mut reader) = ring.split();
        let finished = core::sync::atomic::AtomicBool::new(false);
        let (mut read, mut lost, mut newest) = (0u64, 0u64, None);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..EVENTS {
                    writer.push(at(number), &Event::Ended { from: number, to: number << 20 });
                    // Let the reader in now and then, or all but the first few are drops.
                    if number % 8 == 0 {
                        std::thread::yield_now();
                    }
                }
                finished.store(true, Ordering::Release);
            });
            loop {
                let last_round = finished.load(Ordering::Acquire);
                while let Some(record) = reader.pop() {
                    let Some(Event::Ended { from, to }) = record.event else {
                        panic!("torn: {record:?}");
                    };
                    assert_eq!((record.at, to), (at(from), from << 20));
                    let expected = newest.map_or(0, |n: u64| n + 1) + record.lost_before;
                    assert_eq!(from, expected);
                    newest = Some(from);
                    read += 1;
                    lost += record.lost_before;
                }
                if last_round {
                    break;
                }
                std::thread::yield_now();
            }
        });
        let counts = reader.ring().counts(1);
        assert_eq!(counts.pushed, EVENTS);
        assert_eq!(read + counts.dropped, EVENTS);
        // Only what was dropped after the last record that fitted is told by no gap.
        let after_last = EVENTS - 1 - newest.unwrap();
        assert_eq!(lost + after_last, counts.dropped);
        assert!(read >= 16, "the ring's first filling is always read, yet only {read} were");
    }
}
