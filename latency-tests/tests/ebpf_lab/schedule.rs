//! Random traffic of some nodes on two LANs: copies that are lost, late, out of order or repeated,
//! numbers that jump and wrap, pauses, and frames of every other kind.

use latency_tests::impair::random::Random;
use prp::types::{LanId, MacAddress};

/// The node under test.
pub(crate) const OWN: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const MS: u64 = 1_000_000;
/// Longer than 2^16 ticks, which is what an LRE takes it for.
const LONG_PAUSE_MIN_NS: u64 = 1_700_000 * MS;

/// One step of a schedule.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Time passes, in nanoseconds.
    Pass(u64),
    /// A frame comes.
    Frame(LanId, Vec<u8>),
    /// The LRE does a piece of what is due.
    Serve,
    /// The node table is cleared.
    Clear,
}

pub(crate) fn mac_of(source: u64) -> MacAddress {
    let [.., a, b] = source.to_be_bytes();
    MacAddress([2, 0x50, 0, 0, a, b])
}

/// A tagged frame for its LAN, with 0, 1 or 2 VLAN tags.
pub(crate) fn tagged(source: MacAddress, lan: LanId, number: u16, tags: usize) -> Vec<u8> {
    let mut frame = OWN.0.to_vec();
    frame.extend(source.0);
    for _ in 0..tags {
        frame.extend([0x81, 0, 0, 7]);
    }
    frame.extend([0x88, 0xb5]);
    frame.resize(60 + 4 * tags, 0x5a);
    frame.extend(number.to_be_bytes());
    let id = if lan == LanId::A { 0xa0 } else { 0xb0 };
    frame.extend([id, 52, 0x88, 0xfb]);
    frame
}

/// An untagged supervision frame of a DANP.
pub(crate) fn announcement(source: MacAddress) -> Vec<u8> {
    let mut frame = vec![0x01, 0x15, 0x4e, 0, 1, 0];
    frame.extend(source.0);
    frame.extend([0x88, 0xfb, 0, 1, 0, 0, 20, 6]);
    frame.extend(source.0);
    frame.resize(60, 0);
    frame
}

/// Steps without end.
#[derive(Debug)]
pub(crate) struct Schedule {
    random: Random,
    numbers: Vec<u16>,
    /// Copies that come later.
    late: Vec<(LanId, Vec<u8>)>,
    ready: Vec<Step>,
    pause_max_ns: u64,
}

impl Schedule {
    pub(crate) fn new(seed: u64, nodes: usize) -> Self {
        let mut random = Random::new(seed);
        let numbers = (0..nodes).map(|_| number(&mut random)).collect();
        Self { random, numbers, late: Vec::new(), ready: Vec::new(), pause_max_ns: 3 * MS }
    }

    fn time(&mut self) -> u64 {
        let random = &mut self.random;
        if random.below(400) == 0 {
            // Slow: a block that is written to for so long that it has to be swept meanwhile.
            self.pause_max_ns =
                [20_000, 3 * MS, 40 * MS][usize::try_from(random.below(3)).unwrap()];
        }
        match random.below(2_000) {
            0 => random.below(10_000) * MS,
            1 => LONG_PAUSE_MIN_NS + random.below(100_000) * MS,
            2..8 => (300 + random.below(200)) * MS,
            8..40 => random.below(60) * MS,
            _ => random.below(self.pause_max_ns),
        }
    }

    /// A number of a source, and each of its two copies now, late, twice or not at all.
    fn send(&mut self) {
        let random = &mut self.random;
        let source = random.below(self.numbers.len() as u64);
        let jump = match random.below(1_000) {
            0 => number(random),
            1..4 => 32_700 + number(random) % 140,
            4..10 => number(random) % 200,
            10..14 => 0u16.wrapping_sub(number(random) % 300),
            _ => 1,
        };
        let at = usize::try_from(source).unwrap();
        self.numbers[at] = self.numbers[at].wrapping_add(jump);
        let tags = if random.hits(0.8) { 0 } else { usize::try_from(random.below(3)).unwrap() };
        for lan in LanId::BOTH {
            let frame = tagged(mac_of(source), lan, self.numbers[at], tags);
            match random.below(100) {
                0..8 => {}
                8..30 => self.late.push((lan, frame)),
                30..36 => {
                    self.ready.push(Step::Frame(lan, frame.clone()));
                    self.ready.push(Step::Frame(lan, frame));
                }
                _ => self.ready.push(Step::Frame(lan, frame)),
            }
        }
    }

    /// Whatever else may come.
    fn other(&mut self) -> Step {
        let random = &mut self.random;
        let lan = LanId::BOTH[usize::from(random.hits(0.5))];
        let nodes = self.numbers.len() as u64;
        let source = mac_of(random.below(nodes + 3));
        let mut frame = tagged(source, lan, number(random), 0);
        match random.below(9) {
            0..4 => frame = announcement(mac_of(random.below(nodes.div_ceil(2)))),
            4 => frame = tagged(source, lan.other(), number(random), 0),
            5 => frame.truncate(usize::try_from(random.below(66)).unwrap().max(20)),
            6 => frame[6..12].copy_from_slice(&OWN.0),
            7 => frame[6] |= 1,
            _ => frame[63] = 51,
        }
        Step::Frame(lan, frame)
    }
}

fn number(random: &mut Random) -> u16 {
    u16::try_from(random.below(1 << 16)).unwrap()
}

impl Iterator for Schedule {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if let Some(step) = self.ready.pop() {
            return Some(step);
        }
        Some(match self.random.below(1_000) {
            0..400 => {
                let pass = Step::Pass(self.time());
                if !matches!(pass, Step::Pass(LONG_PAUSE_MIN_NS..)) {
                    return Some(pass);
                }
                // Both LREs learn what time it is: a pause this long is cut from where they are.
                self.ready.push(pass);
                Step::Serve
            }
            400..800 => {
                self.send();
                return self.next();
            }
            800..880 if !self.late.is_empty() => {
                let at = self.random.below(self.late.len() as u64);
                let (lan, frame) = self.late.swap_remove(usize::try_from(at).unwrap());
                Step::Frame(lan, frame)
            }
            880..900 => self.other(),
            900 if self.random.hits(0.05) => Step::Clear,
            _ => Step::Serve,
        })
    }
}
