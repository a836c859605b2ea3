//! Why no figure is given.

use thiserror::Error;

use super::fitness::FitTest;
use super::stationary::Stationarity;
use super::{EVENTS_MIN, EXTREMAL_INDEX_MIN, HORIZON_SPANS, SHAPE_MAX};

/// Why the tail is not extrapolated, with the figures that say so.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum Refusal {
    /// Not enough independent events for a fit.
    #[error(
        "{events} events of late cycles, a fit needs {EVENTS_MIN}: \
         record longer or with a lower threshold"
    )]
    TooFewEvents {
        /// Events after declustering.
        events: usize,
    },
    /// Late cycles come in groups that are too long to be events.
    #[error(
        "late cycles come in groups too long to be events: extremal index {extremal_index:.3} \
         (at least {EXTREMAL_INDEX_MIN}), the longest lasts {longest_cycles} of {cycles} cycles \
         (at most a twentieth): find what disturbs the host for so long"
    )]
    GroupsTooLong {
        /// The extremal index.
        extremal_index: f64,
        /// Cycles from the first to the last late one of the longest event.
        longest_cycles: u64,
        /// The span.
        cycles: u64,
    },
    /// The series changed while it was recorded.
    #[error(
        "the series is not the same over its span: {test} (p = {p_value:.4}): \
         record when the host has settled"
    )]
    NotStationary {
        /// What changed.
        test: Stationarity,
        /// The chance of so large a change in a series that is stationary.
        p_value: f64,
    },
    /// The events over the threshold are not those of one tail.
    #[error(
        "the events over {threshold_ns} ns do not follow the law of a tail \
         ({test}, p = {p_value:.4}): they may have more than one cause"
    )]
    DoesNotFit {
        /// The statistic that said so.
        test: FitTest,
        /// The chance of its value if the fit were right.
        p_value: f64,
        /// The threshold of the fit.
        threshold_ns: u64,
    },
    /// The tail may be so heavy that an extrapolation has no meaning.
    #[error(
        "the tail may be heavy: its shape is {shape:.3}, at most {upper:.3} (95 %), \
         not surely below {SHAPE_MAX}: record longer, or find what causes the largest values"
    )]
    TooHeavy {
        /// The fitted shape.
        shape: f64,
        /// The upper end of its 95 % interval.
        upper: f64,
    },
    /// Too far beyond what was observed.
    #[error(
        "a horizon of {cycles} cycles is beyond {most}, {HORIZON_SPANS} times what was observed: \
         record longer"
    )]
    HorizonTooLong {
        /// The horizon asked for.
        cycles: u64,
        /// The longest allowed.
        most: u64,
    },
    /// So near that the level lies in the body of the distribution and not in its tail.
    #[error("a horizon of {cycles} cycles is below {least}: ask the recorded percentiles")]
    HorizonTooShort {
        /// The horizon asked for.
        cycles: u64,
        /// The shortest that the tail can answer.
        least: u64,
    },
    /// The limit lies below the fit's threshold.
    #[error("{late_ns} ns is not above the threshold of the fit, {threshold_ns} ns: count instead")]
    BelowThreshold {
        /// The limit asked for.
        late_ns: u64,
        /// The fit's threshold.
        threshold_ns: u64,
    },
}
