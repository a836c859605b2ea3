//! One direction of a path: what becomes of what is sent on it.

use crate::impair::random::Random;

/// The settings of a lane.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Lane {
    /// The shortest delay, in nanoseconds.
    pub delay_ns: u64,
    /// What chance may add to it. More than the distance of two messages reorders them.
    pub jitter_ns: u64,
    /// How likely a message is lost.
    pub loss: f64,
    /// How likely it comes twice.
    pub repetition: f64,
    /// Nothing passes.
    pub is_cut: bool,
}

impl Lane {
    /// Delays of the copies of a message that arrive: none, one or two.
    pub fn fates(&self, chance: &mut Random) -> [Option<u64>; 2] {
        let mut fates = [None; 2];
        if self.is_cut {
            return fates;
        }
        let copies = if chance.hits(self.repetition) { 2 } else { 1 };
        for fate in fates.iter_mut().take(copies) {
            if !chance.hits(self.loss) {
                *fate = Some(self.delay_ns + chance.below(self.jitter_ns + 1));
            }
        }
        fates
    }
}
