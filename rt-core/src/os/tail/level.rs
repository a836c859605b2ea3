//! Return levels: the lateness that is exceeded once in so many cycles, with an interval.
//!
//! The interval is that of the profile likelihood: it is as lopsided as the data are, where a
//! symmetric one misses on the upper side, which is the side that matters. Two things are added.
//! The rate of events is known from their number only; its error is joined by the method of
//! variance estimates recovery (Zou and Donner 2008). And a series stands here only because its
//! shape was surely light enough: of the series with a shape near the limit, those that look
//! lighter than they are come through. The upper end is therefore taken at 99.5 %, not at 97.5 %.

use super::fitness::{Fitness, Shape};
use super::gpd::{SHAPE_MIN, power_excess};
use super::refusal::Refusal;
use super::search::{maximum, root_within};
use super::threshold::Candidate;
use super::{HORIZON_SPANS, whole};

/// Shapes between which the likelihood of a level is searched for.
const SHAPES: [f64; 10] = [SHAPE_MIN, -0.35, -0.2, -0.1, 0.0, 0.1, 0.2, 0.35, 0.6, 1.2];
/// Normal quantiles of the lower (97.5 %) and the upper (99.5 %) end.
const LOWER: f64 = 1.959_964;
const UPPER: f64 = 2.575_829;
/// The accuracy of an end, as a part of it.
const TOLERANCE: f64 = 1e-4;

/// A fitted tail that passed every test.
#[derive(Clone, Debug)]
pub struct Extrapolation {
    tail: Candidate,
    fitness: Fitness,
    cycles: u64,
}

/// A return level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The lateness that one event in the horizon exceeds on average.
    pub value_ns: u64,
    /// The lower end of its 95 % interval.
    pub lower_ns: u64,
    /// The upper end.
    pub upper_ns: u64,
}

impl Extrapolation {
    pub(super) fn new(tail: Candidate, fitness: Fitness, cycles: u64) -> Self {
        Self { tail, fitness, cycles }
    }

    /// The shape of the tail.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.fitness.shape
    }

    /// The lateness at which the tail begins.
    #[must_use]
    pub fn threshold_ns(&self) -> u64 {
        self.tail.threshold_ns
    }

    /// Events in the tail.
    #[must_use]
    pub fn events(&self) -> usize {
        self.tail.sample.excesses().len()
    }

    /// The goodness of the fit: the least p-value of the tests, corrected for their number.
    #[must_use]
    pub fn p_value(&self) -> f64 {
        self.fitness.p_value
    }

    /// The longest horizon that is answered.
    #[must_use]
    pub const fn cycles_max(&self) -> u64 {
        self.cycles.saturating_mul(HORIZON_SPANS)
    }

    /// The lateness that is exceeded by one event in `cycles` cycles on average, with its 95 %
    /// interval.
    ///
    /// # Errors
    /// [`Refusal::HorizonTooLong`] beyond [`Self::cycles_max`], [`Refusal::HorizonTooShort`] when
    /// fewer than two events of the tail are expected in so many cycles.
    pub fn level(&self, cycles: u64) -> Result<Level, Refusal> {
        if cycles > self.cycles_max() {
            return Err(Refusal::HorizonTooLong { cycles, most: self.cycles_max() });
        }
        let least = self.cycles_min();
        if cycles < least {
            return Err(Refusal::HorizonTooShort { cycles, least });
        }
        let ratio = self.events_in(cycles);
        let level = |excess: f64| self.tail.threshold_ns.saturating_add(whole(excess.round()));
        Ok(Level {
            value_ns: level(self.tail.fit.exceeded_once_in(ratio)),
            lower_ns: level(self.end(ratio, -LOWER)),
            upper_ns: level(self.end(ratio, UPPER)),
        })
    }

    /// The cycles between events later than `late_ns` that the data support: the longest horizon
    /// whose level has its upper end at `late_ns` or below, never beyond [`Self::cycles_max`].
    ///
    /// # Errors
    /// [`Refusal::BelowThreshold`] or [`Refusal::HorizonTooShort`] when the tail cannot say.
    pub fn least_cycles_between(&self, late_ns: u64) -> Result<u64, Refusal> {
        let threshold_ns = self.tail.threshold_ns;
        if late_ns <= threshold_ns {
            return Err(Refusal::BelowThreshold { late_ns, threshold_ns });
        }
        let excess = (late_ns - threshold_ns) as f64;
        let reaches = |cycles: f64| self.end(cycles * self.rate(), UPPER) > excess;
        let (least, most) = (self.cycles_min() as f64, self.cycles_max() as f64);
        if reaches(least) {
            let events = (-self.tail.fit.log_survival(excess)).exp();
            let (cycles, least) = (whole(events / self.rate()), self.cycles_min());
            return Err(Refusal::HorizonTooShort { cycles, least });
        }
        if !reaches(most) {
            return Ok(self.cycles_max());
        }
        let sign = |log: f64| if reaches(log.exp()) { 1.0 } else { -1.0 };
        let log = root_within(least.ln(), most.ln(), TOLERANCE, sign);
        // The search ends this near to the border, on either side of it.
        Ok(whole((log - TOLERANCE * most.ln()).exp()))
    }

    /// Events of the tail for each cycle.
    fn rate(&self) -> f64 {
        self.tail.sample.count() / self.cycles as f64
    }

    fn events_in(&self, cycles: u64) -> f64 {
        cycles as f64 * self.rate()
    }

    fn cycles_min(&self) -> u64 {
        whole((2.0 / self.rate()).ceil())
    }

    /// The end of the interval of the excess that one in `ratio` events exceeds, `deviations` (with
    /// their sign) from the fit.
    fn end(&self, ratio: f64, deviations: f64) -> f64 {
        let fitted = self.tail.fit.exceeded_once_in(ratio);
        let by_fit = self.profile_end(ratio, fitted, deviations) - fitted;
        let error = (deviations / self.tail.sample.count().sqrt()).exp();
        let by_rate = self.tail.fit.exceeded_once_in((ratio * error).max(1.0)) - fitted;
        (fitted + by_fit.hypot(by_rate).copysign(deviations)).max(0.0)
    }

    /// Where the profile likelihood of the excess falls by `deviations`² / 2 below its maximum.
    fn profile_end(&self, ratio: f64, fitted: f64, deviations: f64) -> f64 {
        /// Steps of an eighth: to 100,000 times the fitted excess, or a 10,000th of it.
        const STEPS_MAX: u32 = 100;
        let allowed = deviations * deviations / 2.0;
        let fall = |excess: f64| {
            self.tail.log_likelihood - self.log_likelihood(excess, ratio.ln()) - allowed
        };
        let factor = if deviations > 0.0 { 1.125 } else { 1.0 / 1.125 };
        let (mut inside, mut outside) = (fitted, fitted * factor);
        for _ in 0..STEPS_MAX {
            if fall(outside) >= 0.0 {
                break;
            }
            (inside, outside) = (outside, outside * factor);
        }
        if deviations > 0.0 {
            root_within(inside, outside, TOLERANCE, fall)
        } else {
            root_within(outside, inside, TOLERANCE, |excess| -fall(excess))
        }
    }

    /// The greatest log-likelihood of distributions for which `excess` is exceeded once in
    /// e^`log_ratio` events.
    fn log_likelihood(&self, excess: f64, log_ratio: f64) -> f64 {
        let sample = &self.tail.sample;
        let of_shape = |shape: f64| {
            let theta = shape * power_excess(shape, log_ratio) / excess;
            if theta.abs() * sample.largest() < 1e-9 {
                let scale = excess / log_ratio;
                return -sample.count() * (scale.ln() + sample.mean() / scale);
            }
            if theta * sample.largest() <= -1.0 {
                // The largest excess lies beyond the end: rises towards the shapes that allow it.
                return 1e12 * (shape - 1e3);
            }
            sample.log_likelihood(shape, theta, sample.log_sum(theta))
        };
        maximum(&SHAPES, 1e-5, of_shape).1
    }
}
