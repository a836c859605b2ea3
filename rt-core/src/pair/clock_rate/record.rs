//! Samples of how far two clocks stand apart, and the line below them.
//!
//! Integers of 128 bits: instants and spans have 64, a rate in parts per billion 32, so no product
//! here exceeds 97 bits whatever a peer claims.

use crate::time::{Duration, Instant};

/// Points that are kept.
pub(super) const POINTS: usize = 16;
/// Points that make a line.
pub(super) const ENOUGH: usize = POINTS / 2;
/// No clock that runs at all is further off; what is more is told as this.
pub(super) const RATE_PPB_MAX: i64 = 2_000_000_000;

const BILLION: i128 = 1_000_000_000;
/// The line's ends depend on its slope and the slope on the ends: it settles in two rounds.
const ROUNDS: usize = 3;

const _: () = assert!(POINTS.is_multiple_of(4) && ENOUGH >= 4, "a line is between two quarters");
const _: () = assert!(RATE_PPB_MAX <= i32::MAX as i64, "a rate is told in 32 bits");

/// A beat that came.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Sample {
    /// When, by our clock.
    pub(super) at: Instant,
    /// How far the peer's clock was behind ours then, in nanoseconds, with the delay.
    pub(super) behind_ns: i128,
}

impl Sample {
    pub(super) fn new(sent_at: Instant, at: Instant) -> Self {
        Self { at, behind_ns: i128::from(at.as_nanos()) - i128::from(sent_at.as_nanos()) }
    }

    fn at_ns(&self) -> i128 {
        i128::from(self.at.as_nanos())
    }

    /// How far above the line of this slope through `from` it stands, in nanoseconds.
    pub(super) fn above(&self, from: &Self, slope_ppb: i64) -> i128 {
        let rise = i128::from(slope_ppb) * (self.at_ns() - from.at_ns()) / BILLION;
        self.behind_ns - from.behind_ns - rise
    }
}

/// A line below the points.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Line {
    pub(super) slope_ppb: i64,
    /// How far the points are from being on one line, in nanoseconds.
    pub(super) scatter_ns: u64,
    /// From one end to the other.
    pub(super) span: Duration,
}

/// The lowest of some samples, along a slope.
fn lowest(samples: &[Sample], slope_ppb: i64) -> Option<Sample> {
    samples.iter().copied().reduce(|low, it| if it.above(&low, slope_ppb) < 0 { it } else { low })
}

/// From a sample to a later one; none where they are at one instant.
fn slope_ppb(from: &Sample, to: &Sample) -> Option<i64> {
    let span = to.at_ns() - from.at_ns();
    if span <= 0 {
        return None;
    }
    let slope = (to.behind_ns - from.behind_ns) * BILLION / span;
    let max = i128::from(RATE_PPB_MAX);
    i64::try_from(slope.clamp(-max, max)).ok()
}

/// The lowest samples of windows that follow each other.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Record {
    points: [Sample; POINTS],
    count: usize,
}

impl Record {
    pub(super) fn points(&self) -> &[Sample] {
        &self.points[..self.count]
    }

    pub(super) fn last(&self) -> Option<&Sample> {
        self.points().last()
    }

    pub(super) const fn is_full(&self) -> bool {
        self.count == POINTS
    }

    /// Adds a point; the oldest one goes where there is no room.
    pub(super) fn push(&mut self, point: Sample) {
        if self.is_full() {
            self.points.rotate_left(1);
            self.count -= 1;
        }
        self.points[self.count] = point;
        self.count += 1;
    }

    /// Makes one window of each two.
    pub(super) fn merge(&mut self, slope_ppb: i64) {
        let half = self.count / 2;
        for place in 0..half {
            let pair = &self.points[2 * place..2 * place + 2];
            if let Some(low) = lowest(pair, slope_ppb) {
                self.points[place] = low;
            }
        }
        self.count = half;
    }

    /// The line through the lowest point of the first quarter and that of the last one.
    pub(super) fn line(&self) -> Option<Line> {
        let points = self.points();
        if points.len() < ENOUGH {
            return None;
        }
        let quarter = points.len() / 4;
        let (first, last) = (&points[..quarter], &points[points.len() - quarter..]);
        let (mut from, mut to) = (*first.first()?, *last.last()?);
        let mut slope = slope_ppb(&from, &to)?;
        for _ in 0..ROUNDS {
            (from, to) = (lowest(first, slope)?, lowest(last, slope)?);
            slope = slope_ppb(&from, &to)?;
        }
        let above = points.iter().map(|it| it.above(&from, slope));
        let scatter = above.clone().max()? - above.min()?;
        Some(Line {
            slope_ppb: slope,
            scatter_ns: u64::try_from(scatter).unwrap_or(u64::MAX),
            span: to.at - from.at,
        })
    }
}

impl Line {
    /// How far off the slope may be, in parts per billion: its ends may be as far from the true
    /// line as the points are from this one, twice, and as a point may be above the floor. (A step
    /// in the middle tilts the line until the points are as far from it as its ends are off, and a
    /// few points may lie on a line by chance.)
    pub(super) fn uncertainty_ppb(&self, floor_ns: u64) -> u32 {
        let span = u128::from(self.span.as_nanos().max(1));
        let off = 2 * u128::from(self.scatter_ns) + u128::from(floor_ns) + 1;
        u32::try_from(off * 1_000_000_000 / span + 1).unwrap_or(u32::MAX)
    }
}
