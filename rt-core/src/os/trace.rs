//! Rings of the event trace that two threads own together.

use std::sync::Arc;

use crate::trace::{TraceEvent, TraceReader, TraceRing, TraceWriter};

/// A writer that owns its ring together with the reader.
pub type SharedTraceWriter<E, const SLOTS: usize> = TraceWriter<Arc<TraceRing<E, SLOTS>>>;

/// A reader that owns its ring together with the writer.
pub type SharedTraceReader<E, const SLOTS: usize> = TraceReader<Arc<TraceRing<E, SLOTS>>>;

/// A new ring on the heap and its two halves, each to be moved to its thread. Not for a frozen
/// thread: it allocates, and the half dropped last frees.
#[must_use]
pub fn shared_ring<E: TraceEvent, const SLOTS: usize>()
-> (SharedTraceWriter<E, SLOTS>, SharedTraceReader<E, SLOTS>) {
    let ring = Arc::new(TraceRing::new());
    (TraceWriter::new(Arc::clone(&ring)), TraceReader::new(ring))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::limits::TRACE_SLOTS;
    use crate::time::Instant;

    struct Tick(u64);

    impl TraceEvent for Tick {
        const KINDS: usize = 1;
        fn kind(&self) -> usize {
            0
        }
        fn encode(&self) -> [u64; 4] {
            [self.0, 0, 0, 0]
        }
        fn decode(_: usize, words: [u64; 4]) -> Option<Self> {
            Some(Self(words[0]))
        }
    }

    #[test]
    fn what_a_thread_pushed_outlives_it() {
        let (mut writer, mut reader) = shared_ring::<Tick, TRACE_SLOTS>();
        thread::spawn(move || {
            for number in 0..10 {
                assert!(writer.push(Instant::from_nanos(number), &Tick(number)));
            }
        })
        .join()
        .unwrap();
        for number in 0..10 {
            assert_eq!(reader.pop().unwrap().event.unwrap().0, number);
        }
        assert!(reader.pop().is_none());
    }
}
