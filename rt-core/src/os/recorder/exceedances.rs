//! The tail of a run, sample by sample and in order, in bounded memory.
//!
//! What a tail is nobody knows before the run. So the threshold starts at zero, and each time the
//! store is three quarters full it is raised to where at most half of the store's room is above it.
//! In the end every sample above the final threshold is there, none below, in the order of time.
//!
//! Raising must not stop a real-time thread for a pass over a megabyte. Counts that are kept along
//! tell nearly where the new threshold lies; a first pass tells it exactly, a second one drops what
//! fell below it. Both look at a few entries per record, while new ones are appended behind; they
//! are done long before the free quarter is full. (A reservoir of random samples would be simpler;
//! it does not keep the tail, which is what is asked for. A threshold from the counts alone would
//! be simpler too; where lateness is nearly constant it would drop everything.)

/// How many exceedances are kept at most.
pub const PEAKS_MAX: usize = 65_536;

/// Entries looked at per record while the threshold is raised.
const LOOKED_AT: usize = 16;

/// Values below this have a count each; above, each doubling has this many.
const PLACES: usize = 128;
const PLACES_BITS: u32 = PLACES.trailing_zeros();
const COUNTS: usize = ((64 - PLACES_BITS as usize) + 1) * PLACES;

/// A place is divided into so many parts to find the threshold: to the nanosecond below 262 µs.
const PARTS_BITS: u32 = 10;
const PARTS: usize = 1 << PARTS_BITS;

/// A sample above the threshold.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Peak {
    /// The cycle's number; the first one recorded has number 0.
    pub cycle: u64,
    /// How late it was, in nanoseconds.
    pub late_ns: u64,
}

/// The samples above a threshold.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Exceedances {
    /// Every sample later than the threshold, in the order in which they were recorded: cycle
    /// numbers do not fall. At most [`PEAKS_MAX`].
    pub peaks: Vec<Peak>,
    /// The threshold in nanoseconds.
    pub threshold_ns: u64,
}

/// The store while it is written.
#[derive(Debug)]
pub(super) struct Store {
    peaks: Box<[Peak]>,
    len: usize,
    threshold_ns: u64,
    /// How many were recorded in each place of [`place_of`], right for places above the threshold.
    counts: Box<[u32]>,
    /// The highest place with a count.
    top: usize,
    /// How many lie in each part of the place that is divided.
    parts: Box<[u32]>,
    work: Work,
}

/// What is done with the entries, a few per record.
#[derive(Clone, Copy, Debug)]
enum Work {
    None,
    /// Those of this place are counted by part, up to the first that is still to be looked at.
    Divide {
        place: usize,
        looked_at: usize,
    },
    /// Those above the threshold are moved together: all before `kept` stays.
    Clear {
        kept: usize,
        looked_at: usize,
    },
}

impl Store {
    /// Nothing yet; room for `room` peaks (a multiple of four, at least 64, so that the work is
    /// done in time). The memory was touched.
    pub(super) fn new(room: usize) -> Self {
        debug_assert!(room >= 64 && room.is_multiple_of(4));
        Self {
            peaks: super::touched(room, Peak::default()),
            len: 0,
            threshold_ns: 0,
            counts: super::touched(COUNTS, 0),
            top: 0,
            parts: super::touched(PARTS, 0),
            work: Work::None,
        }
    }

    /// Takes in a sample. Bound: a look at 16 entries; and twice each time the threshold is raised
    /// (about once per doubling of the number of samples) the counts between threshold and greatest
    /// sample, 128 per doubling of the value.
    pub(super) fn record(&mut self, peak: Peak) {
        self.work(LOOKED_AT);
        if peak.late_ns <= self.threshold_ns {
            return;
        }
        let place = place_of(peak.late_ns);
        self.counts[place] = self.counts[place].saturating_add(1);
        self.top = self.top.max(place);
        self.peaks[self.len] = peak;
        self.len += 1;
        if matches!(self.work, Work::None) && self.len >= self.peaks.len() / 4 * 3 {
            self.parts.fill(0);
            self.work = Work::Divide { place: self.middle(), looked_at: 0 };
        }
    }

    fn work(&mut self, at_most: usize) {
        match self.work {
            Work::None => {}
            Work::Divide { place, looked_at } => self.divide(place, looked_at, at_most),
            Work::Clear { kept, looked_at } => self.clear(kept, looked_at, at_most),
        }
    }

    /// The place that the threshold must lie in so that half the room is above it. It is not below
    /// the old threshold's: more than half are above that. (That one's count tells too many, those
    /// dropped included; the walk ends there in any case.)
    fn middle(&self) -> usize {
        let half = self.peaks.len() / 2;
        let mut place = self.top;
        let mut down_to_here = self.counts[place] as usize;
        while down_to_here <= half && place > 0 {
            place -= 1;
            down_to_here += self.counts[place] as usize;
        }
        place
    }

    fn divide(&mut self, place: usize, looked_at: usize, at_most: usize) {
        let lowest = lowest_of(place);
        let shift = doublings_of(place).saturating_sub(PARTS_BITS);
        let end = looked_at.saturating_add(at_most).min(self.len);
        for peak in &self.peaks[looked_at..end] {
            if place_of(peak.late_ns) == place {
                let part = usize::try_from((peak.late_ns - lowest) >> shift).unwrap_or(0);
                self.parts[part] += 1;
            }
        }
        self.work = Work::Divide { place, looked_at: end };
        if end < self.len {
            return;
        }
        // Those that came meanwhile were counted too, here and above.
        let half = self.peaks.len() / 2;
        let mut above: usize =
            self.counts[place + 1..=self.top.max(place)].iter().map(|count| *count as usize).sum();
        let parts = 1usize << doublings_of(place).min(PARTS_BITS);
        let mut part = parts - 1;
        while above + self.parts[part] as usize <= half && part > 0 {
            above += self.parts[part] as usize;
            part -= 1;
        }
        self.threshold_ns = lowest + ((part as u64) << shift) + ((1u64 << shift) - 1);
        self.work = Work::Clear { kept: 0, looked_at: 0 };
    }

    fn clear(&mut self, mut kept: usize, looked_at: usize, at_most: usize) {
        let end = looked_at.saturating_add(at_most).min(self.len);
        for place in looked_at..end {
            let peak = self.peaks[place];
            self.peaks[kept] = peak;
            kept += usize::from(peak.late_ns > self.threshold_ns);
        }
        self.work = Work::Clear { kept, looked_at: end };
        if end == self.len {
            self.len = kept;
            self.work = Work::None;
        }
    }

    pub(super) fn finish(mut self) -> Exceedances {
        // Where the threshold is not raised yet, all above the old one are there.
        if matches!(self.work, Work::Clear { .. }) {
            self.work(usize::MAX);
        }
        let mut peaks = self.peaks.into_vec();
        peaks.truncate(self.len);
        peaks.shrink_to_fit();
        Exceedances { peaks, threshold_ns: self.threshold_ns }
    }
}

/// Values of one place are adjacent, and places rise with them.
fn place_of(value: u64) -> usize {
    let doublings = (u64::BITS - value.leading_zeros()).saturating_sub(PLACES_BITS + 1);
    // Between 128 and 255 from the second doubling on.
    let place = usize::try_from(value >> doublings).unwrap_or(0);
    doublings as usize * PLACES + place
}

/// A place has two to the power of this many values.
fn doublings_of(place: usize) -> u32 {
    u32::try_from((place / PLACES).saturating_sub(1)).unwrap_or(0)
}

fn lowest_of(place: usize) -> u64 {
    let doublings = doublings_of(place);
    ((place - doublings as usize * PLACES) as u64) << doublings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_adjacent_and_as_narrow_as_said() {
        let mut value = 0u64;
        for place in 0..COUNTS {
            assert_eq!(place_of(value), place);
            assert_eq!(lowest_of(place), value);
            let highest = value + ((1 << doublings_of(place)) - 1);
            assert_eq!(place_of(highest), place);
            assert!(highest - value <= value / PLACES as u64);
            value = highest.wrapping_add(1);
        }
        assert_eq!(value, 0, "the last place ends at the greatest value");
    }

    fn run(room: usize, values: impl Iterator<Item = u64> + Clone) -> Exceedances {
        let mut store = Store::new(room);
        for (cycle, late_ns) in (0..).zip(values.clone()) {
            store.record(Peak { cycle, late_ns });
            assert!(store.len < room);
        }
        let kept = store.finish();
        let all = (0..).zip(values).map(|(cycle, late_ns)| Peak { cycle, late_ns });
        let above: Vec<Peak> = all.filter(|it| it.late_ns > kept.threshold_ns).collect();
        assert!(kept.peaks == above, "{} kept, {} above", kept.peaks.len(), above.len());
        kept
    }

    #[test]
    fn all_above_the_final_threshold_are_there_in_order() {
        let scattered = (0..200_000u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40);
        let kept = run(1_024, scattered);
        assert!(kept.peaks.len() > 256, "{}", kept.peaks.len());
        // All new ones above all old ones: each raise is due as soon as it can be.
        assert!(run(64, 0..100_000).peaks.len() > 15);
        assert!(run(64, (0..100_000).rev()).peaks.len() > 15);
        // Few enough: all of them, but for those that are not late at all.
        let kept = run(64, 0..40);
        assert_eq!((kept.peaks.len(), kept.threshold_ns), (39, 0));
        run(64, [u64::MAX, 1].into_iter().cycle().take(1_000));
    }

    #[test]
    fn a_value_that_fills_the_store_alone_becomes_the_threshold() {
        let kept = run(64, std::iter::repeat_n(777, 1_000));
        assert!(kept.peaks.is_empty() && kept.threshold_ns == 777);
        // One that is above it later is kept.
        let kept = run(64, std::iter::repeat_n(777, 1_000).chain([5_000, 3, 4_000]));
        assert_eq!(kept.peaks.len(), 2);
    }
}
