//! What became of each planned image, by way of waiting.
//!
//! Each planned instant has a number, and so has the image that is published then. The reader takes
//! the newest image, as an application does that wants the present state. What it did not take:
//!
//! - **Overtaken**: published, and a newer one was taken instead. The reader had that state, or a
//!   later one, when it had the newer one, and so it counts as late as that: one sample seen, one
//!   owed for each, `swallowed` in the counts. A reader that is stopped for 50 ms is found 50 ms
//!   late, however few images the ring holds. (To call them lost was the alternative: then a stall
//!   would leave one sample, no later than the last image.)
//! - **Lost**: never published, because the writer itself was kept from running, or because the run
//!   was over. Nothing came, so there is no figure. How many they are follows from the ring's own
//!   count of commits; which of a row they are does not, and they are taken for its first ones.

use std::ops::Range;

use rt_core::os::recorder::{Plan as Recorded, PlanError, Recorder, Recording};
use rt_core::time::{Duration, Instant};
use serde::{Deserialize, Serialize};

/// How a reader learns of an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It looks at the ring again and again.
    Polling,
    /// It sleeps, and the writer wakes it.
    Woken,
}

impl Way {
    /// The name of its series.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::Woken => "woken",
        }
    }
}

/// Which images are waited for in which way, one way after the other.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Course {
    /// From one planned instant to the next, in ns.
    pub interval_ns: u64,
    /// Numbers of images from 0 on, without a gap.
    pub parts: Vec<(Way, Range<u64>)>,
}

impl Course {
    /// `images` in equal parts for each of `ways`.
    #[must_use]
    pub fn new(ways: &[Way], images: u64, interval: Duration) -> Self {
        let count = ways.len().max(1) as u64;
        let part = |at: u64| images / count * at + (images % count).min(at);
        let parts = (0..).zip(ways).map(|(at, way)| (*way, part(at)..part(at + 1)));
        Self { interval_ns: interval.as_nanos(), parts: parts.collect() }
    }

    /// From one planned instant to the next.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval_ns)
    }

    /// How many images are planned.
    #[must_use]
    pub fn images(&self) -> u64 {
        self.parts.last().map_or(0, |(_, part)| part.end)
    }

    /// How the reader learns of image `number`; of what comes after the last one as of that.
    #[must_use]
    pub fn way(&self, number: u64) -> Way {
        let part = self.parts.iter().find(|(_, part)| number < part.end);
        part.or_else(|| self.parts.last()).map_or(Way::Woken, |(way, _)| *way)
    }
}

/// An image that was observed, or the end of all images.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sight {
    /// Its number; of the end: that of the first image that is not published any more.
    pub number: u64,
    /// Its commit in the ring; the first one is 1.
    pub sequence: u64,
    /// When it was planned.
    pub planned: Instant,
    /// From its publication to its having been read and verified.
    pub took: Duration,
    /// Whether it is no image, but the end.
    pub is_end: bool,
}

/// An image that cannot come after the one before it: not by our writer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Disorder;

/// Takes in what a reader observes. Real-time class: as a [`Recorder`].
#[derive(Debug)]
pub struct Account {
    course: Course,
    recorders: Vec<Recorder>,
    /// The first image that is not accounted for.
    due: u64,
    /// The last commit that was observed.
    sequence: u64,
}

impl Account {
    /// Of a run that began at `begin`.
    ///
    /// # Errors
    /// The interval cannot be recorded.
    pub fn new(course: Course, begin: Instant) -> Result<Self, PlanError> {
        let plan = Recorded::new(begin, course.interval());
        let recorder = |(_, part): &(Way, Range<u64>)| {
            Recorder::new(Recorded { cycles: Some(part.end - part.start), ..plan })
        };
        let recorders = course.parts.iter().map(recorder).collect::<Result<_, _>>()?;
        Ok(Self { course, recorders, due: 0, sequence: 0 })
    }

    /// How the reader learns of the image that it has to expect.
    #[must_use]
    pub fn way(&self) -> Way {
        self.course.way(self.due)
    }

    /// Images that are accounted for, those of them that were lost, and the latest one in ns.
    #[must_use]
    pub fn so_far(&self) -> (u64, u64, u64) {
        let lost = self.recorders.iter().map(|it| it.counts().lost).sum();
        let max_ns = self.recorders.iter().map(|it| it.seen().max_ns).max();
        (self.due, lost, max_ns.unwrap_or(0))
    }

    /// Something was observed.
    ///
    /// # Errors
    /// It cannot come after what was observed before; nothing is changed then.
    pub fn take(&mut self, sight: &Sight) -> Result<(), Disorder> {
        let Sight { number, sequence, is_end, .. } = *sight;
        let images = self.course.images();
        let gap = number.checked_sub(self.due).ok_or(Disorder)?;
        let overtaken = sequence.checked_sub(self.sequence + 1).ok_or(Disorder)?;
        if overtaken > gap || number > images || (number == images && !is_end) {
            return Err(Disorder);
        }
        let published = number - overtaken;
        let end = if is_end { number } else { number + 1 };
        for ((_, part), recorder) in self.course.parts.iter().zip(&mut self.recorders) {
            let before = |other: u64| self.course.interval().saturating_mul(number - other);
            let planned = |other: u64| {
                Instant::from_nanos(
                    sight.planned.as_nanos().saturating_sub(before(other).as_nanos()),
                )
            };
            for lost in self.due.max(part.start)..published.min(part.end) {
                recorder.record_lost(planned(lost));
            }
            let (first, end) = (published.max(part.start), end.min(part.end));
            if first < end {
                let took = sight.took + before(first);
                recorder.record_overtaken(planned(first), took, end - first - 1);
            }
        }
        (self.due, self.sequence) = (end, sequence);
        Ok(())
    }

    /// Whether all images are accounted for.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.due >= self.course.images()
    }

    /// The image came that was published `skipped` images after the last one, in a row that begins
    /// at `first` and has no gaps: of a writer that plans no instants for us.
    ///
    /// # Errors
    /// More were skipped than can be counted.
    pub fn follow(&mut self, skipped: u64, first: Instant, took: Duration) -> Result<(), Disorder> {
        let images = self.course.images();
        let found = self.due.checked_add(skipped).ok_or(Disorder)?;
        // One that is beyond those that count stands for the last of them.
        let number = found.min(images);
        let beyond = self.course.interval().saturating_mul(found - number);
        self.take(&Sight {
            number,
            sequence: self.sequence + 1 + (number - self.due),
            planned: first + self.course.interval().saturating_mul(number),
            took: took + beyond,
            is_end: number == images,
        })
    }

    /// What was recorded, by way. Allocates: not for a frozen thread.
    #[must_use]
    pub fn finish(self) -> Vec<(Way, Recording)> {
        let ways = self.course.parts.iter().map(|(way, _)| *way);
        ways.zip(self.recorders.into_iter().map(Recorder::finish)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const BEGIN: Instant = Instant::from_nanos(7_000 * MS);
    const BOTH: [Way; 2] = [Way::Polling, Way::Woken];

    fn account(ways: &[Way], images: u64) -> Account {
        Account::new(Course::new(ways, images, Duration::from_millis(1)), BEGIN).unwrap()
    }

    fn sight(number: u64, sequence: u64, took_ns: u64) -> Sight {
        Sight {
            number,
            sequence,
            planned: BEGIN + Duration::from_millis(20 + number.min(1_000)),
            took: Duration::from_nanos(took_ns),
            is_end: false,
        }
    }

    fn end(number: u64, sequence: u64) -> Sight {
        Sight { is_end: true, ..sight(number, sequence, 3) }
    }

    #[test]
    fn the_images_are_shared_out_to_the_ways_without_a_gap() {
        for images in [2, 3, 100, 101] {
            let course = Course::new(&BOTH, images, Duration::from_millis(1));
            let half = images.div_ceil(2);
            assert_eq!(course.parts, [(Way::Polling, 0..half), (Way::Woken, half..images)]);
            assert_eq!(course.images(), images);
            assert_eq!(course.way(half - 1), Way::Polling);
            assert_eq!((course.way(half), course.way(images)), (Way::Woken, Way::Woken));
        }
        let one = Course::new(&BOTH[..1], 9, Duration::from_millis(1));
        assert_eq!(one.parts, [(Way::Polling, 0..9)]);
    }

    #[test]
    fn each_image_that_is_observed_counts_for_its_way() {
        let mut account = account(&BOTH, 6);
        for number in 0..6 {
            assert_eq!(account.way(), if number < 3 { Way::Polling } else { Way::Woken });
            account.take(&sight(number, number + 1, 100 + number)).unwrap();
        }
        account.take(&end(6, 7)).unwrap();
        assert_eq!(account.so_far(), (6, 0, 105));
        for ((way, recording), sum) in account.finish().into_iter().zip([303, 312]) {
            let totals = recording.totals;
            assert_eq!((totals.seen.samples(), totals.owed.sum_ns), (3, sum), "{way:?}");
            assert_eq!(totals.counts, Default::default());
        }
    }

    #[test]
    fn a_stalled_reader_is_as_late_as_its_stall_whatever_the_ring_holds() {
        let mut account = account(&[Way::Woken], 60);
        account.take(&sight(0, 1, 10)).unwrap();
        account.take(&sight(51, 52, 10)).unwrap();
        account.take(&sight(52, 53, 10)).unwrap();
        let (_, recording) = account.finish().remove(0);
        let totals = &recording.totals;
        assert_eq!((totals.counts.swallowed, totals.counts.lost), (50, 0));
        assert_eq!((totals.seen.samples(), totals.owed.samples()), (3, 53));
        assert_eq!(totals.seen.max_ns, 50 * MS + 10);
        assert_eq!(recording.stalls[0].swallowed, 50);
    }

    #[test]
    fn what_was_never_published_is_lost_and_charges_no_reader() {
        let mut account = account(&[Way::Polling], 60);
        account.take(&sight(0, 1, 10)).unwrap();
        // Of 19 planned images the writer published two, and this one after them.
        account.take(&sight(20, 4, 10)).unwrap();
        let totals = account.finish().remove(0).1.totals;
        assert_eq!((totals.counts.lost, totals.counts.swallowed), (17, 2));
        assert_eq!(totals.counts.skipped + totals.counts.repeated + totals.counts.early, 0);
        assert_eq!(totals.seen.max_ns, 2 * MS + 10);
    }

    #[test]
    fn a_stall_from_one_way_into_the_other_counts_for_both() {
        let mut account = account(&BOTH, 20);
        account.take(&sight(5, 6, 10)).unwrap();
        account.take(&sight(14, 15, 10)).unwrap();
        account.take(&end(18, 21)).unwrap_err();
        account.take(&end(18, 19)).unwrap();
        let found = account.finish();
        let [polling, woken] = [0, 1].map(|at: usize| &found[at].1.totals);
        // The first five were overtaken by the sixth, and four more by one of the other way.
        assert_eq!((polling.owed.samples(), polling.counts.swallowed), (10, 8));
        assert_eq!(polling.seen.max_ns, 8 * MS + 10);
        assert_eq!((woken.owed.samples(), woken.counts.swallowed), (8, 4 + 2));
        for totals in [polling, woken] {
            let counts = totals.counts;
            assert_eq!(counts.lost + counts.skipped + counts.repeated + counts.early, 0);
        }
    }

    #[test]
    fn images_that_are_counted_one_by_one_have_no_gaps() {
        let mut account = account(&BOTH, 10);
        let first = BEGIN + Duration::from_millis(3);
        let took = Duration::from_nanos(10);
        for skipped in [0, 0, 2, 3] {
            assert!(!account.is_over());
            account.follow(skipped, first, took).unwrap();
        }
        // Of six only two count, and the one that was seen is the fifth after them.
        account.follow(6, first, took).unwrap();
        assert!(account.is_over());
        account.follow(u64::MAX, first, took).unwrap_err();
        let found = account.finish();
        let [polling, woken] = [0, 1].map(|at: usize| &found[at].1.totals);
        assert_eq!((polling.owed.samples(), polling.counts.swallowed), (5, 2));
        assert_eq!((woken.owed.samples(), woken.seen.max_ns), (5, 6 * MS + 10));
        for totals in [polling, woken] {
            let counts = totals.counts;
            assert_eq!(counts.lost + counts.skipped + counts.repeated + counts.early, 0);
        }
    }

    #[test]
    fn what_no_writer_of_ours_publishes_is_refused() {
        let mut account = account(&BOTH, 10);
        account.take(&sight(3, 2, 1)).unwrap();
        let wrong = [
            sight(3, 3, 1),
            sight(4, 2, 1),
            sight(5, 5, 1),
            sight(10, 3, 1),
            end(11, 3),
            end(3, 3),
            sight(u64::MAX, 3, 1),
        ];
        let refused: Vec<bool> = wrong.iter().map(|it| account.take(it).is_err()).collect();
        assert_eq!(refused, [true; 7], "{wrong:?}");
        account.take(&sight(4, 3, 1)).unwrap();
    }
}
