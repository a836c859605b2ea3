//! A wrapper that loses, repeats, reorders and corrupts frames, the same way for the same seed.

use super::{FRAME_OCTETS_MAX, Port, PortFault, PortStatistics};

/// What is done to frames of one direction. Chances are in parts per million and are tried in the
/// order in which they stand here; the default does nothing.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Faults {
    /// Chance that a frame is lost.
    pub lose_ppm: u32,
    /// Chance that one octet of a frame is changed.
    pub corrupt_ppm: u32,
    /// Chance that a frame is held back while later ones overtake it.
    pub reorder_ppm: u32,
    /// How many later frames overtake one that is held back: 1 to this number.
    pub overtakers_max: u32,
    /// Chance that a frame is repeated.
    pub repeat_ppm: u32,
    /// How often such a frame comes in addition.
    pub repeats: u32,
}

/// What was done to frames of one direction.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FaultCounts {
    /// Frames lost.
    pub lost: u64,
    /// Frames with an octet changed.
    pub corrupted: u64,
    /// Frames held back.
    pub reordered: u64,
    /// Additional copies.
    pub repeated: u64,
}

const MILLION: u32 = 1_000_000;

/// xorshift64*: small, and good enough to spread faults.
#[derive(Clone, Copy, Debug)]
struct Random(u64);

impl Random {
    /// Below `bound`, which is not zero.
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        // The product of two 32-bit numbers; its upper half is below `bound`.
        u32::try_from((high * u64::from(bound)) >> 32).unwrap_or(0)
    }

    fn has_chance(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.below(MILLION) < ppm
    }
}

#[derive(Clone, Copy, Debug)]
struct HeldFrame {
    octets: [u8; FRAME_OCTETS_MAX],
    len: usize,
    overtakers_left: u32,
}

/// One direction. Holds back at most `K` frames.
#[derive(Debug)]
struct FaultyWay<const K: usize> {
    faults: Faults,
    counts: FaultCounts,
    random: Random,
    held: [Option<HeldFrame>; K],
}

impl<const K: usize> FaultyWay<K> {
    fn new(faults: Faults, seed: u64) -> Self {
        // Zero is the one state that xorshift never leaves.
        let random = Random((seed ^ 0x9e37_79b9_7f4a_7c15).max(1));
        Self { faults, counts: FaultCounts::default(), random, held: [None; K] }
    }

    /// Takes a frame in and calls `out` with what comes out: it, copies of it, nothing, and frames
    /// whose time to be overtaken is over.
    fn pass(&mut self, frame: &mut [u8], out: &mut impl FnMut(&[u8])) {
        if self.random.has_chance(self.faults.lose_ppm) {
            self.counts.lost += 1;
        } else {
            self.pass_kept(frame, out);
        }
        for place in &mut self.held {
            if let Some(held) = place {
                held.overtakers_left = held.overtakers_left.saturating_sub(1);
                if held.overtakers_left == 0 {
                    out(&held.octets[..held.len]);
                    *place = None;
                }
            }
        }
    }

    fn pass_kept(&mut self, frame: &mut [u8], out: &mut impl FnMut(&[u8])) {
        let octets = u32::try_from(frame.len()).unwrap_or(u32::MAX).max(1);
        if self.random.has_chance(self.faults.corrupt_ppm) {
            let at = self.random.below(octets) as usize;
            let change = 1u8 << self.random.below(8);
            if let Some(octet) = frame.get_mut(at) {
                *octet ^= change;
                self.counts.corrupted += 1;
            }
        }
        if self.random.has_chance(self.faults.reorder_ppm)
            && let Some(place) = self.held.iter_mut().find(|place| place.is_none())
        {
            let overtakers = 1 + self.random.below(self.faults.overtakers_max.max(1));
            let mut octets = [0; FRAME_OCTETS_MAX];
            octets[..frame.len()].copy_from_slice(frame);
            // One more, because the frame itself counts when it passes.
            let overtakers_left = overtakers.saturating_add(1);
            *place = Some(HeldFrame { octets, len: frame.len(), overtakers_left });
            self.counts.reordered += 1;
            return;
        }
        out(frame);
        if self.random.has_chance(self.faults.repeat_ppm) {
            for _ in 0..self.faults.repeats {
                out(frame);
                self.counts.repeated += 1;
            }
        }
    }

    fn release(&mut self, out: &mut impl FnMut(&[u8])) {
        for held in self.held.iter_mut().filter_map(Option::take) {
            out(&held.octets[..held.len]);
        }
    }
}

/// A port with faults. At most `K` frames per direction are held back at a time; what would be one
/// more keeps its place.
#[derive(Debug)]
pub struct FaultInjector<P, const K: usize = 8> {
    port: P,
    inbound: FaultyWay<K>,
    outbound: FaultyWay<K>,
}

impl<P: Port, const K: usize> FaultInjector<P, K> {
    /// Wraps `port`. The same seed and the same frames give the same faults.
    pub fn new(port: P, seed: u64, inbound: Faults, outbound: Faults) -> Self {
        let inbound = FaultyWay::new(inbound, seed);
        let outbound = FaultyWay::new(outbound, seed.wrapping_add(1).rotate_left(17));
        Self { port, inbound, outbound }
    }

    /// Changes what is done to received frames.
    pub fn set_inbound(&mut self, faults: Faults) {
        self.inbound.faults = faults;
    }

    /// Changes what is done to sent frames.
    pub fn set_outbound(&mut self, faults: Faults) {
        self.outbound.faults = faults;
    }

    /// What was done to received and to sent frames.
    #[must_use]
    pub fn counts(&self) -> (FaultCounts, FaultCounts) {
        (self.inbound.counts, self.outbound.counts)
    }

    /// Hands the frames over that are held back on their way in.
    pub fn release_inbound<F: FnMut(&[u8])>(&mut self, mut sink: F) {
        self.inbound.release(&mut sink);
    }

    /// Transmits the frames that are held back on their way out.
    ///
    /// # Errors
    /// The first fault of the port inside.
    pub fn release_outbound(&mut self) -> Result<(), PortFault> {
        let Self { port, outbound, .. } = self;
        let mut result = Ok(());
        outbound.release(&mut |frame| {
            let sent = port.transmit(frame.len(), |buffer| buffer.copy_from_slice(frame));
            result = result.and(sent);
        });
        result
    }

    /// The port inside.
    pub fn inner_mut(&mut self) -> &mut P {
        &mut self.port
    }
}

impl<P: Port, const K: usize> Port for FaultInjector<P, K> {
    /// As the port inside; what was repeated or held back does not count towards the budget.
    fn receive<F: FnMut(&[u8])>(&mut self, budget: usize, mut sink: F) -> Result<usize, PortFault> {
        let Self { port, inbound, .. } = self;
        port.receive(budget, |frame| {
            let mut copy = [0; FRAME_OCTETS_MAX];
            let copy = &mut copy[..frame.len()];
            copy.copy_from_slice(frame);
            inbound.pass(copy, &mut sink);
        })
    }

    /// A frame that is lost or held back was taken. The fault reported is the last one of the port
    /// inside.
    fn transmit<F: FnOnce(&mut [u8])>(&mut self, len: usize, fill: F) -> Result<(), PortFault> {
        let mut frame = [0; FRAME_OCTETS_MAX];
        let Some(frame) = frame.get_mut(..len) else {
            // Refused and counted inside.
            return self.port.transmit(len, fill);
        };
        fill(frame);
        let Self { port, outbound, .. } = self;
        let mut result = Ok(());
        outbound.pass(frame, &mut |frame| {
            result = port.transmit(frame.len(), |buffer| buffer.copy_from_slice(frame));
        });
        result
    }

    fn flush(&mut self) -> Result<(), PortFault> {
        self.port.flush()
    }

    fn statistics(&self) -> PortStatistics {
        self.port.statistics()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::memory::MemoryPort;

    const HALF: u32 = MILLION / 2;

    /// Sends `count` numbered frames out through faults; returns the numbers in order of arrival.
    fn sent_through(faults: Faults, seed: u64, count: u32) -> (Vec<u32>, FaultCounts) {
        let port = MemoryPort::<8>::new();
        let mut port = FaultInjector::<_, 3>::new(port, seed, Faults::default(), faults);
        let mut arrived = Vec::new();
        for number in 0..count {
            port.transmit(60, |frame| {
                frame.fill(0);
                frame[20..24].copy_from_slice(&number.to_be_bytes());
            })
            .unwrap();
            if number + 1 == count {
                port.release_outbound().unwrap();
            }
            port.flush().unwrap();
            while let Some(frame) = port.inner_mut().take_sent() {
                arrived.push(u32::from_be_bytes(frame[20..24].try_into().unwrap()));
            }
        }
        (arrived, port.counts().1)
    }

    #[test]
    fn without_faults_nothing_changes() {
        let (arrived, counts) = sent_through(Faults::default(), 1, 100);
        assert_eq!(arrived, (0..100).collect::<Vec<_>>());
        assert_eq!(counts, FaultCounts::default());
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_and_another_one_others() {
        let faults = Faults { lose_ppm: HALF, ..Faults::default() };
        let first = sent_through(faults, 7, 1_000);
        assert_eq!(first, sent_through(faults, 7, 1_000));
        assert_ne!(first.0, sent_through(faults, 8, 1_000).0);
        assert_eq!(first.0.len() as u64 + first.1.lost, 1_000);
        // Half of 1,000, more than ten standard deviations to either side.
        assert!((300..700).contains(&first.1.lost), "{}", first.1.lost);
    }

    #[test]
    fn repeats_follow_their_original() {
        let faults = Faults { repeat_ppm: MILLION, repeats: 2, ..Faults::default() };
        let (arrived, counts) = sent_through(faults, 1, 3);
        assert_eq!(arrived, [0, 0, 0, 1, 1, 1, 2, 2, 2]);
        assert_eq!(counts.repeated, 6);
    }

    #[test]
    fn reordered_frames_all_arrive_and_no_further_off_than_asked() {
        let faults = Faults { reorder_ppm: HALF, overtakers_max: 3, ..Faults::default() };
        let (mut arrived, counts) = sent_through(faults, 3, 1_000);
        let mut overtaken = 0;
        for (place, number) in arrived.iter().enumerate() {
            let later_before = arrived[..place].iter().filter(|before| *before > number).count();
            // Three overtakers, and those held frames that were released at the same moment.
            assert!(later_before <= 6, "{number} was overtaken by {later_before}");
            overtaken += usize::from(later_before > 0);
        }
        assert!(overtaken > 100, "{overtaken}");
        assert!(counts.reordered > 100);
        arrived.sort_unstable();
        assert_eq!(arrived, (0..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn corruption_changes_one_bit_of_a_received_frame() {
        let faults = Faults { corrupt_ppm: MILLION, ..Faults::default() };
        let port = MemoryPort::<4>::new();
        let mut port = FaultInjector::<_, 1>::new(port, 5, faults, Faults::default());
        port.inner_mut().arrive(&[0; 64]);
        let mut ones = 0;
        port.receive(4, |frame| ones += frame.iter().map(|o| o.count_ones()).sum::<u32>()).unwrap();
        assert_eq!(ones, 1);
        assert_eq!(port.counts().0.corrupted, 1);
    }
}
