//! The course of a run in a bounded number of slots.

/// How many slots a timeline has at most.
pub const SLOTS_MAX: usize = 512;

/// What fell into one slot of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot {
    /// Samples of cycles planned in this slot. None: the thread slept through it, or was stopped.
    pub samples: u64,
    /// Cycles planned in this slot that were lost.
    pub lost: u64,
    /// The slot's begin, in nanoseconds since the run's begin.
    pub at_ns: u64,
    /// The least sample in nanoseconds; zero without samples.
    pub min_ns: u64,
    /// The greatest sample in nanoseconds; zero without samples.
    pub max_ns: u64,
}

/// The course of a run.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Timeline {
    /// The slots without a gap, from the run's begin to the last record; at most [`SLOTS_MAX`].
    pub slots: Vec<Slot>,
    /// How long each slot is, in nanoseconds.
    pub slot_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    samples: u64,
    lost: u64,
    min_ns: u64,
    max_ns: u64,
}

const EMPTY: Counted = Counted { samples: 0, lost: 0, min_ns: u64::MAX, max_ns: 0 };

impl Counted {
    fn and(self, other: Self) -> Self {
        Self {
            samples: self.samples + other.samples,
            lost: self.lost + other.lost,
            min_ns: self.min_ns.min(other.min_ns),
            max_ns: self.max_ns.max(other.max_ns),
        }
    }
}

/// Slots of one width from the run's begin; when the time outgrows them, each two become one and
/// the width doubles. So between half of them and all of them are in use at the end, however long
/// the run was, which nobody has to know before.
#[derive(Debug)]
pub(super) struct Slots {
    counted: Box<[Counted]>,
    /// Slots up to the latest one used.
    used: usize,
    slot_ns: u64,
    /// The slot that the last record fell into: where it begins, and its place.
    current_at_ns: u64,
    current: usize,
}

impl Slots {
    /// No record yet; slots of `slot_ns` at first. The memory was touched.
    pub(super) fn new(slot_ns: u64) -> Self {
        Self {
            counted: super::touched(SLOTS_MAX, EMPTY),
            used: 0,
            slot_ns: slot_ns.max(1),
            current_at_ns: 0,
            current: 0,
        }
    }

    pub(super) fn record(&mut self, at_ns: u64, value_ns: u64) {
        self.add(at_ns, Counted { samples: 1, lost: 0, min_ns: value_ns, max_ns: value_ns });
    }

    pub(super) fn lost(&mut self, at_ns: u64) {
        self.add(at_ns, Counted { lost: 1, ..EMPTY });
    }

    fn add(&mut self, at_ns: u64, what: Counted) {
        if at_ns.wrapping_sub(self.current_at_ns) >= self.slot_ns {
            self.go_to(at_ns);
        }
        self.used = self.used.max(self.current + 1);
        self.counted[self.current] = self.counted[self.current].and(what);
    }

    /// A division; and, each time the run's length has doubled, a pass over the slots in use. All
    /// passes of one call together go over at most twice [`SLOTS_MAX`] slots.
    fn go_to(&mut self, at_ns: u64) {
        while at_ns / self.slot_ns >= SLOTS_MAX as u64 {
            self.fold();
        }
        let place = at_ns / self.slot_ns;
        self.current_at_ns = place * self.slot_ns;
        self.current = usize::try_from(place).unwrap_or(0);
    }

    fn fold(&mut self) {
        for place in 0..self.used.div_ceil(2) {
            let [even, odd] = [2 * place, 2 * place + 1];
            let odd = if odd < self.used { self.counted[odd] } else { EMPTY };
            self.counted[place] = self.counted[even].and(odd);
        }
        let used = self.used.div_ceil(2);
        self.counted[used..self.used].fill(EMPTY);
        self.used = used;
        self.slot_ns = self.slot_ns.saturating_mul(2);
    }

    pub(super) fn finish(self) -> Timeline {
        let slot = |(at_ns, counted): (u64, &Counted)| Slot {
            samples: counted.samples,
            lost: counted.lost,
            at_ns,
            min_ns: if counted.samples == 0 { 0 } else { counted.min_ns },
            max_ns: counted.max_ns,
        };
        let begins = (0..).map(|place: u64| place.saturating_mul(self.slot_ns));
        let slots = begins.zip(&self.counted[..self.used]).map(slot).collect();
        Timeline { slots, slot_ns: self.slot_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_any_length_of_run_hold_what_fell_into_them() {
        for cycles in [1, 2, 511, 512, 513, 1_024, 1_025, 5_000, 100_003] {
            let value = |cycle: u64| cycle * 7_919 % 1_009;
            let mut slots = Slots::new(10);
            for cycle in 0..cycles {
                slots.record(cycle * 10 + 3, value(cycle));
            }
            let line = slots.finish();
            let per_slot = line.slot_ns / 10;
            assert_eq!(line.slots.len() as u64, cycles.div_ceil(per_slot));
            assert!(line.slots.len() <= SLOTS_MAX);
            assert!(cycles <= 512 || line.slots.len() > SLOTS_MAX / 2, "{}", line.slots.len());
            for (place, slot) in (0..).zip(&line.slots) {
                let inside = place * per_slot..cycles.min((place + 1) * per_slot);
                assert_eq!(slot.at_ns, place * line.slot_ns);
                assert_eq!(slot.samples, inside.end - inside.start);
                assert_eq!(Some(slot.min_ns), inside.clone().map(value).min());
                assert_eq!(Some(slot.max_ns), inside.map(value).max());
            }
        }
    }

    #[test]
    fn a_leap_in_time_leaves_empty_slots_and_loses_nothing() {
        let mut slots = Slots::new(1);
        for at_ns in 0..500 {
            slots.record(at_ns, 5);
        }
        slots.lost(1_000_000);
        slots.record(1_000_000, 9);
        // A step back belongs to the slot it belongs to.
        slots.record(0, 1);
        slots.record(u64::MAX, 2);
        let line = slots.finish();
        assert_eq!(line.slots.iter().map(|it| it.samples).sum::<u64>(), 503);
        assert_eq!(line.slots.iter().map(|it| it.lost).sum::<u64>(), 1);
        assert_eq!((line.slots[0].min_ns, line.slots[0].max_ns), (1, 9));
        assert!(line.slots.len() <= SLOTS_MAX && line.slots.len() > SLOTS_MAX / 2);
        assert_eq!((line.slots[1].samples, line.slots[1].min_ns), (0, 0));
    }
}
