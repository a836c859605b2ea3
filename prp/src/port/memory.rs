//! A port in memory, of fixed size: the other end is whoever calls [`MemoryPort::cross`].
//!
//! It keeps the contract of the ports in `crate::os` to the letter, faults included, so that what
//! works on it works on them. Nothing is allocated; put a large one in a `Box` or a `static`.

use super::{FRAME_OCTETS_MAX, FRAME_OCTETS_MIN, Port, PortFault, PortStatistics, TOO_SHORT};

/// What a memory port pretends about its interface.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Link {
    /// Frames pass.
    #[default]
    Up,
    /// Nothing passes for now.
    Down,
    /// Nothing will ever pass again.
    Gone,
}

#[derive(Clone, Copy, Debug)]
struct StoredFrame {
    octets: [u8; FRAME_OCTETS_MAX],
    len: usize,
}

impl StoredFrame {
    const EMPTY: Self = Self { octets: [0; FRAME_OCTETS_MAX], len: 0 };

    fn as_slice(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

/// At most `N` frames, first in, first out.
#[derive(Debug)]
struct FrameQueue<const N: usize> {
    frames: [StoredFrame; N],
    first: usize,
    len: usize,
}

impl<const N: usize> FrameQueue<N> {
    const fn new() -> Self {
        Self { frames: [StoredFrame::EMPTY; N], first: 0, len: 0 }
    }

    /// The slot behind the last frame, `None` when there is none left.
    fn free_slot(&mut self) -> Option<&mut StoredFrame> {
        (self.len < N).then(|| &mut self.frames[(self.first + self.len) % N])
    }

    fn pop(&mut self) -> Option<&StoredFrame> {
        if self.len == 0 {
            return None;
        }
        let index = self.first;
        self.first = (self.first + 1) % N;
        self.len -= 1;
        Some(&self.frames[index])
    }
}

/// A port that holds at most `N` received and `N` sent frames.
#[derive(Debug)]
pub struct MemoryPort<const N: usize> {
    received: FrameQueue<N>,
    sent: FrameQueue<N>,
    /// Of the sent frames, those that a flush let go.
    flushed: usize,
    link: Link,
    /// A fault that `receive` has not reported yet.
    news: Option<PortFault>,
    statistics: PortStatistics,
}

impl<const N: usize> Default for MemoryPort<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> MemoryPort<N> {
    /// An empty port that is up.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            received: FrameQueue::new(),
            sent: FrameQueue::new(),
            flushed: 0,
            link: Link::Up,
            news: None,
            statistics: PortStatistics {
                rx_frames: 0,
                rx_dropped: 0,
                rx_merged: 0,
                rx_checksums_completed: 0,
                tx_frames: 0,
                tx_dropped: 0,
            },
        }
    }

    /// Takes the interface down, up or away. What waited on its way out is lost.
    pub fn set_link(&mut self, link: Link) {
        self.news = match link {
            Link::Up => None,
            Link::Down => Some(PortFault::Down),
            Link::Gone => Some(PortFault::Gone),
        };
        if link != Link::Up {
            self.statistics.tx_dropped += self.sent.len as u64;
            self.sent.len = 0;
            self.flushed = 0;
        }
        self.link = link;
    }

    /// Lets a frame arrive. It is lost, and counted, when the port is not up or holds `N` frames
    /// already, and counted as merged when it is longer than a port carries.
    pub fn arrive(&mut self, frame: &[u8]) {
        if self.link != Link::Up {
            return;
        }
        if frame.len() > FRAME_OCTETS_MAX {
            self.statistics.rx_merged += 1;
            return;
        }
        match self.received.free_slot() {
            Some(slot) => {
                slot.octets[..frame.len()].copy_from_slice(frame);
                slot.len = frame.len();
                self.received.len += 1;
            }
            None => self.statistics.rx_dropped += 1,
        }
    }

    /// Takes the oldest frame that was sent and flushed.
    pub fn take_sent(&mut self) -> Option<&[u8]> {
        if self.flushed == 0 {
            return None;
        }
        self.flushed -= 1;
        self.sent.pop().map(StoredFrame::as_slice)
    }

    fn store<F: FnOnce(&mut [u8])>(&mut self, len: usize, fill: F) -> Result<(), PortFault> {
        if len > FRAME_OCTETS_MAX {
            return Err(PortFault::TooLong);
        }
        if len < FRAME_OCTETS_MIN {
            return Err(TOO_SHORT);
        }
        let slot = self.sent.free_slot().ok_or(PortFault::Full)?;
        fill(&mut slot.octets[..len]);
        slot.len = len;
        self.sent.len += 1;
        Ok(())
    }

    /// Carries all that either port flushed to the other one.
    pub fn cross<const M: usize>(&mut self, other: &mut MemoryPort<M>) {
        while let Some(frame) = self.take_sent() {
            other.arrive(frame);
        }
        while let Some(frame) = other.take_sent() {
            self.arrive(frame);
        }
    }
}

fn fault_of(link: Link) -> Result<(), PortFault> {
    match link {
        Link::Up => Ok(()),
        Link::Down => Err(PortFault::Down),
        Link::Gone => Err(PortFault::Gone),
    }
}

impl<const N: usize> Port for MemoryPort<N> {
    fn receive<F: FnMut(&[u8])>(&mut self, budget: usize, mut sink: F) -> Result<usize, PortFault> {
        let mut taken = 0;
        while taken < budget
            && let Some(frame) = self.received.pop()
        {
            sink(frame.as_slice());
            taken += 1;
        }
        self.statistics.rx_frames += taken as u64;
        match self.news.take() {
            Some(fault) if taken == 0 => Err(fault),
            news => {
                self.news = news;
                Ok(taken)
            }
        }
    }

    fn transmit<F: FnOnce(&mut [u8])>(&mut self, len: usize, fill: F) -> Result<(), PortFault> {
        let result = self.store(len, fill);
        self.statistics.tx_dropped += u64::from(result.is_err());
        result
    }

    fn flush(&mut self) -> Result<(), PortFault> {
        let waiting = self.sent.len - self.flushed;
        if waiting == 0 {
            return Ok(());
        }
        match fault_of(self.link) {
            Ok(()) => {
                self.flushed = self.sent.len;
                self.statistics.tx_frames += waiting as u64;
                Ok(())
            }
            Err(fault) => {
                self.sent.len -= waiting;
                self.statistics.tx_dropped += waiting as u64;
                Err(fault)
            }
        }
    }

    fn statistics(&self) -> PortStatistics {
        self.statistics
    }
}
