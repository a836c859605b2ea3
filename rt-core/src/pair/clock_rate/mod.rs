//! How fast the peer's clock runs against ours.
//!
//! A lease is safe only as long as both clocks run at the rate they are trusted for ([ρ][rho]).
//! Nobody can see his own clock run wrong; but each beat says when it was sent, by the peer's
//! clock, and comes at an instant of ours. How far the one is behind the other is a constant, the
//! delay, and what the two clocks drift apart: a friend's letters, each with its date, of which
//! every one is a day later than the one before, and only the post can be slow, never early.
//!
//! # The lowest of each window
//!
//! A delay has a floor and no ceiling. So of the beats of a window the one that is the least behind
//! counts and the others do not, and a line through the lowest points of the first and of the last
//! quarter of sixteen windows has the rate for its slope. (Along the slope that is known already: a
//! window is long enough for the drift itself to choose its end otherwise.) Windows begin at 125 ms
//! and are merged two by two until they are 8 s long, so that a first estimate is there after a
//! second and a good one after two minutes.
//!
//! Beats of all paths go in: the fastest path makes the floor.
//!
//! **How long it takes.** Delays that differ by J, in whatever order, make an estimate that is off
//! by less than J / span, and the span is at least half of the time T since the record began, up
//! to 64 s. So `T = 2·J / accuracy` is enough whatever happens: 80 s for 5 ms and 125 ppm (a
//! quarter of ρ = 500 ppm), and no better than 78 ppm then. Delays that vary by chance need far
//! less, for of many beats one is near the floor: with ρ = 500 ppm and delays evenly within 5 ms
//! the verdict is right for good after 5 s of beats each millisecond, 16 s at 10 ms and 40 s at
//! 100 ms; within 200 µs after 2 s, 3 s and 6 s (simulated, the worst of twenty each).
//!
//! **Uncertainty** is twice what the points are apart from lying on one line, and what the lowest
//! of so many beats may be above the floor (J of few, J·16/n of n), over the span. A network that
//! is busy for some windows raises it. What it cannot see is a delay that grows steadily for the
//! whole record: to whoever hears one way that *is* a rate.
//!
//! # Verdict
//!
//! Within ρ/2: fine. Beyond ρ/2: an alarm. Beyond ρ: no DUPLEX ([`Blocks::CLOCK_RATE`]). The clocks
//! may each be off by ρ before a lease is unsafe, so that two of them could differ by twice that;
//! the difference does not say whose clock it is, and ρ is refused for it may be one alone. Doubt
//! changes nothing: a verdict moves only as far as the estimate with its uncertainty forces it to,
//! so that one at a limit does not flap; and as long as too little is known it is
//! [`RateVerdict::Unknown`], which keeps nobody from anything, for a pair that had to wait for it
//! would be without redundancy for a minute after each start.
//!
//! # Steps
//!
//! A monotonic clock must not step, but that of a guest that was suspended stands still for as
//! long. That is no rate: the record begins anew, the verdict stays. Ahead, a single beat proves
//! it, for none comes before it was sent. Back, it may be the network's delay: only when nothing
//! came closer for [`CONFIRM`]. Steps that are smaller than what the network may do are not
//! recognised, and raise the uncertainty. A rate that changes by more than 2,000 ppm at once looks
//! like a step, and is measured afterwards. Clocks that step again and again before there is an
//! estimate run at no rate at all: no DUPLEX. A step may be one of our clock: they look the same.
//!
//! Rejected: least squares over all beats, in which each queue on the way has a vote; and the
//! offset itself (as time protocols estimate it), which takes a round trip and which no lease
//! needs.
//!
//! [rho]: crate::margins::Measured::drift_ppm

mod record;

#[cfg(doc)]
use super::beat::Beat;
use super::blocks::Blocks;
use crate::time::{Duration, Instant};
use record::{RATE_PPB_MAX, Record, Sample};

/// The first windows.
pub const WINDOW_FIRST: Duration = Duration::from_millis(125);
/// The longest ones.
pub const WINDOW_LAST: Duration = Duration::from_secs(8);
/// A clock that fell back has to stay there for so long: an outage of the network that delays and
/// does not drop is shorter.
pub const CONFIRM: Duration = Duration::from_secs(2);
/// So many steps without an estimate between them are no rate at all.
pub const STEPS_RESTLESS: u32 = 4;

/// A step is larger than this at least.
const STEP_MIN: Duration = Duration::from_millis(1);
/// What a rate may change by at once.
const CHANGE_PPB_MAX: u64 = 2_000_000;
/// What a rate may be when it is not known.
const UNKNOWN_PPB_MAX: u64 = 10_000_000;
/// Of n delays by chance, evenly within J, none is below 16·J/n in one of e^16 windows only.
const FLOOR_SHARE: u64 = 16;

const _: () = assert!(
    WINDOW_LAST.as_nanos() == WINDOW_FIRST.as_nanos() << 6,
    "WINDOW_LAST: windows double until they are as long"
);

/// How the peer's clock looks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum RateVerdict {
    /// Too little is known.
    #[default]
    Unknown,
    /// Within half of what it is trusted for.
    Fine,
    /// Beyond half.
    Alarm,
    /// Beyond what it is trusted for, or at no rate at all: no DUPLEX.
    Refused,
}

/// What is known of the rate.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Estimate {
    /// How much faster the peer's clock runs than ours, in parts per billion of ours.
    pub rate_ppb: i32,
    /// How far off that may be, in parts per billion.
    pub uncertainty_ppb: u32,
    /// Between the beats that it was taken from.
    pub span: Duration,
}

/// The peer's clock stepped, or ours did.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Step {
    /// By how much, within what the network's delay varies by.
    pub size: Duration,
    /// Whether it is ahead now; else it is behind, as a clock that stood still.
    pub is_ahead: bool,
}

/// The lowest beat of the window that is open.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Window {
    begun: Instant,
    /// When the last beat of it came: what follows it may be an outage.
    last: Instant,
    lowest: Sample,
    beats: u32,
}

impl Window {
    const fn with(sample: Sample) -> Self {
        Self { begun: sample.at, last: sample.at, lowest: sample, beats: 1 }
    }
}

/// The peer's clock against ours. Real-time class of all functions: bounded, no allocation.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ClockRate {
    drift_ppm: u32,
    jitter: Duration,
    record: Record,
    length: Duration,
    open: Option<Window>,
    /// Since when all that came was behind by a step.
    behind_since: Option<Instant>,
    estimate: Option<Estimate>,
    scatter_ns: u64,
    verdict: RateVerdict,
    steps: u64,
    restless: u32,
}

impl ClockRate {
    /// A peer of which nothing is known. Its clock is trusted to be off by `drift_ppm` at most;
    /// delays differ by `jitter` ordinarily, with what sender and listener are late by: what a step
    /// has to be larger than.
    #[must_use]
    pub fn new(drift_ppm: u32, jitter: Duration) -> Self {
        Self {
            drift_ppm,
            jitter,
            record: Record::default(),
            length: WINDOW_FIRST,
            open: None,
            behind_since: None,
            estimate: None,
            scatter_ns: 0,
            verdict: RateVerdict::Unknown,
            steps: 0,
            restless: 0,
        }
    }

    /// A beat of the peer's present session came, on whatever path: when it was sent by the peer's
    /// clock ([`Beat::sent_at`]), and when it came by ours. Copies and old beats do no harm.
    pub fn on_arrival(&mut self, sent_at: Instant, now: Instant) -> Option<Step> {
        let sample = Sample::new(sent_at, now);
        let Some(window) = self.open else {
            self.open = Some(Window::with(sample));
            return None;
        };
        let known = self.record.last().unwrap_or(&window.lowest);
        let above = sample.above(known, self.slope_ppb());
        if above < 0 && self.is_step(above, known, &sample) {
            return Some(self.step(above, sample));
        }
        if now.since(window.begun) < self.length {
            let is_lower = sample.above(&window.lowest, self.slope_ppb()) < 0;
            let lowest = if is_lower { sample } else { window.lowest };
            let beats = window.beats.saturating_add(1);
            self.open = Some(Window { last: now, lowest, beats, ..window });
            return None;
        }
        self.open = Some(Window::with(sample));
        self.close(&window)
    }

    /// The peer restarted: nothing is known of its clock any more.
    pub fn on_session(&mut self) {
        *self = Self { steps: self.steps, ..Self::new(self.drift_ppm, self.jitter) };
    }

    /// What is known of the rate; nothing before there is a record of some windows.
    #[must_use]
    pub const fn estimate(&self) -> Option<Estimate> {
        self.estimate
    }

    /// The rate as the peer is told it: 0 where it is not known.
    #[must_use]
    pub fn rate_ppb(&self) -> i32 {
        self.estimate.map_or(0, |it| it.rate_ppb)
    }

    /// How the peer's clock looks.
    #[must_use]
    pub const fn verdict(&self) -> RateVerdict {
        if self.restless >= STEPS_RESTLESS { RateVerdict::Refused } else { self.verdict }
    }

    /// Whether it stands in the way of DUPLEX.
    #[must_use]
    pub fn blocks(&self) -> Blocks {
        Blocks::NONE.with(Blocks::CLOCK_RATE, self.verdict() == RateVerdict::Refused)
    }

    /// Steps since the listener started, over all of the peer's sessions.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// How much further behind the peer's clock gets: the rate, from the other side.
    fn slope_ppb(&self) -> i64 {
        self.estimate.map_or(0, |it| -i64::from(it.rate_ppb))
    }

    /// A window is over.
    fn close(&mut self, window: &Window) -> Option<Step> {
        let point = window.lowest;
        if let Some(known) = self.record.last() {
            let above = point.above(known, self.slope_ppb());
            if above > 0 && self.is_step(above, known, &point) {
                let since = *self.behind_since.get_or_insert(window.begun);
                return (window.last.since(since) >= CONFIRM).then(|| self.step(above, point));
            }
        }
        self.behind_since = None;
        self.record.push(point);
        if let Some(line) = self.record.line() {
            let rate = -line.slope_ppb.clamp(-RATE_PPB_MAX, RATE_PPB_MAX);
            let estimate = Estimate {
                rate_ppb: i32::try_from(rate).unwrap_or(0),
                uncertainty_ppb: line.uncertainty_ppb(self.floor_ns(window.beats)),
                span: line.span,
            };
            self.estimate = Some(estimate);
            self.scatter_ns = line.scatter_ns;
            self.restless = 0;
            self.verdict = self.judge(&estimate);
        }
        if self.record.is_full() && self.length < WINDOW_LAST {
            self.record.merge(self.slope_ppb());
            self.length = self.length + self.length;
        }
        None
    }

    /// How far above the floor the lowest of so many beats may be.
    fn floor_ns(&self, beats: u32) -> u64 {
        let jitter = self.jitter.as_nanos();
        jitter.min((jitter / u64::from(beats.max(1))).saturating_mul(FLOOR_SHARE))
    }

    /// Whether this is more than delays, and a rate that may have changed, account for.
    fn is_step(&self, above_ns: i128, known: &Sample, sample: &Sample) -> bool {
        let change_ppb = self
            .estimate
            .map_or(UNKNOWN_PPB_MAX, |it| CHANGE_PPB_MAX.saturating_add(it.uncertainty_ppb.into()));
        let passed = sample.at.since(known.at).as_nanos();
        let drifted = u128::from(passed) * u128::from(change_ppb) / 1_000_000_000;
        let delays = u128::from(STEP_MIN.as_nanos())
            + 2 * u128::from(self.jitter.as_nanos())
            + 4 * u128::from(self.scatter_ns);
        above_ns.unsigned_abs() > drifted + delays
    }

    fn step(&mut self, above_ns: i128, first: Sample) -> Step {
        self.record = Record::default();
        self.length = WINDOW_FIRST;
        self.open = Some(Window::with(first));
        self.behind_since = None;
        self.estimate = None;
        self.scatter_ns = 0;
        self.steps = self.steps.saturating_add(1);
        self.restless = self.restless.saturating_add(1);
        let size = u64::try_from(above_ns.unsigned_abs()).unwrap_or(u64::MAX);
        Step { size: Duration::from_nanos(size), is_ahead: above_ns < 0 }
    }

    /// The verdict moves only as far as the estimate forces it to.
    fn judge(&self, estimate: &Estimate) -> RateVerdict {
        let rate = u64::from(estimate.rate_ppb.unsigned_abs());
        let off = u64::from(estimate.uncertainty_ppb);
        let (least, most) = (self.class(rate.saturating_sub(off)), self.class(rate + off));
        match self.verdict {
            RateVerdict::Unknown if off > self.trusted_ppb() / 4 && least == RateVerdict::Fine => {
                RateVerdict::Unknown
            }
            before => before.clamp(least, most),
        }
    }

    /// ρ, in parts per billion.
    fn trusted_ppb(&self) -> u64 {
        u64::from(self.drift_ppm) * 1_000
    }

    fn class(&self, rate_ppb: u64) -> RateVerdict {
        if rate_ppb > self.trusted_ppb() {
            RateVerdict::Refused
        } else if rate_ppb > self.trusted_ppb() / 2 {
            RateVerdict::Alarm
        } else {
            RateVerdict::Fine
        }
    }
}

#[cfg(test)]
mod tests;
