//! Frames that wait for their instant: a heap in the order of the instants, and among equals in the
//! order of arrival. Bounded in frames and octets; what has no room is refused, never forgotten.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rt_core::time::Instant;

/// Bounds of one queue.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Waiting items at most.
    pub items: usize,
    /// Sum of their weights at most.
    pub octets: usize,
}

/// A waiting item.
#[derive(Debug)]
struct Entry<T> {
    send_at: Instant,
    order: u64,
    octets: usize,
    item: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.send_at, self.order) == (other.send_at, other.order)
    }
}
impl<T> Eq for Entry<T> {}
impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.send_at, self.order).cmp(&(other.send_at, other.order))
    }
}

/// The queue.
#[derive(Debug)]
pub struct Queue<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    bounds: Bounds,
    octets: usize,
    order: u64,
}

impl<T> Queue<T> {
    /// An empty queue.
    #[must_use]
    pub const fn new(bounds: Bounds) -> Self {
        Self { heap: BinaryHeap::new(), bounds, octets: 0, order: 0 }
    }

    /// Lets `item`, which weighs `octets`, wait until `send_at`.
    ///
    /// # Errors
    /// The item itself when there is no room.
    pub fn push(&mut self, send_at: Instant, octets: usize, item: T) -> Result<(), T> {
        if self.heap.len() >= self.bounds.items || self.octets + octets > self.bounds.octets {
            return Err(item);
        }
        self.octets += octets;
        self.order += 1;
        self.heap.push(Reverse(Entry { send_at, order: self.order, octets, item }));
        Ok(())
    }

    /// When the next item is due.
    #[must_use]
    pub fn next_instant(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(entry)| entry.send_at)
    }

    /// Takes the next item if it is due at `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<T> {
        if self.next_instant()? > now {
            return None;
        }
        let Reverse(entry) = self.heap.pop()?;
        self.octets -= entry.octets;
        Some(entry.item)
    }

    /// How many items wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Throws all waiting items away and says how many there were.
    pub fn clear(&mut self) -> usize {
        let count = self.heap.len();
        self.heap.clear();
        self.octets = 0;
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_leave_by_instant_then_by_arrival() {
        let mut queue = Queue::new(Bounds { items: 10, octets: 1_000 });
        for (at, item) in [(30, 'd'), (10, 'a'), (20, 'c'), (10, 'b')] {
            queue.push(Instant::from_nanos(at), 1, item).unwrap();
        }
        assert_eq!(queue.pop_due(Instant::from_nanos(9)), None);
        let due: String = std::iter::from_fn(|| queue.pop_due(Instant::from_nanos(20))).collect();
        assert_eq!(due, "abc");
        assert_eq!(queue.next_instant(), Some(Instant::from_nanos(30)));
    }

    #[test]
    fn both_bounds_hold_and_room_comes_back() {
        let mut queue = Queue::new(Bounds { items: 2, octets: 100 });
        queue.push(Instant::ORIGIN, 60, 1).unwrap();
        assert_eq!(queue.push(Instant::ORIGIN, 41, 2), Err(2));
        queue.push(Instant::ORIGIN, 40, 3).unwrap();
        assert_eq!(queue.push(Instant::ORIGIN, 0, 4), Err(4));
        assert_eq!(queue.pop_due(Instant::ORIGIN), Some(1));
        queue.push(Instant::ORIGIN, 60, 5).unwrap();
        assert_eq!(queue.clear(), 2);
        queue.push(Instant::ORIGIN, 100, 6).unwrap();
    }
}
