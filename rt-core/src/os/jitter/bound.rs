//! What a recorded series is bounded by, and for how long.

use super::super::tail::{Analysis, Empirical, Exceedances, Policy, Refusal, Shape, analyse};
use crate::time::Duration;

/// What one thread or LAN recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// What it is of: `cpu 3`.
    pub name: String,
    /// From one planned instant to the next.
    pub period: Duration,
    /// Its late cycles.
    pub series: Exceedances,
}

/// Where a bound comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// 1.2 times the largest value seen.
    Empirical,
    /// The upper end of a return level of the fitted tail, or the empirical bound where that is
    /// more.
    Extrapolated,
}

impl Method {
    /// The word users see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empirical => "empirical",
            Self::Extrapolated => "extrapolated",
        }
    }

    /// The method of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Empirical, Self::Extrapolated].into_iter().find(|it| it.name() == name)
    }
}

/// What the tail says beyond what was seen.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Extrapolated {
    /// Its bound: never below the empirical one.
    pub bound: Duration,
    /// The mean time between events beyond it, at least.
    pub horizon: Duration,
    /// The shape of the tail.
    pub shape: Shape,
    /// Independent events of the fit.
    pub events: usize,
}

/// What a series is bounded by.
#[derive(Clone, Debug)]
pub struct Bound {
    /// What it is of.
    pub name: String,
    /// Cycles that were recorded, and for how long.
    pub cycles: u64,
    /// See `cycles`.
    pub span: Duration,
    /// The largest value seen.
    pub largest: Duration,
    /// 1.2 times that.
    pub empirical: Duration,
    /// The mean time between events beyond the largest value, at least (95 %): a third of the span.
    pub empirical_horizon: Duration,
    /// What the tail says, or why it does not.
    pub extrapolated: Result<Extrapolated, Refusal>,
    /// All that was found out, for who asks on.
    pub analysis: Analysis,
}

impl Bound {
    /// Bounds a series so that it holds for `wanted`, as far as the recording supports that: the
    /// tail is asked for `wanted` or for all that it may answer, whichever is less.
    #[must_use]
    pub fn of(recorded: &Recorded, wanted: Duration, policy: &Policy) -> Self {
        let Recorded { name, period, series } = recorded;
        let analysis = analyse(series, policy);
        let Empirical { largest_ns, bound_ns, horizon_cycles } = analysis.empirical;
        let extrapolated = analysis.extrapolation.as_ref().map_err(|it| *it).and_then(|tail| {
            let period_ns = period.as_nanos().max(1);
            let cycles = wanted.as_nanos().div_ceil(period_ns).min(tail.cycles_max());
            Ok(Extrapolated {
                bound: Duration::from_nanos(analysis.bound_ns(cycles)?),
                horizon: period.saturating_mul(cycles),
                shape: tail.shape(),
                events: tail.events(),
            })
        });
        Self {
            name: name.clone(),
            cycles: series.cycles(),
            span: period.saturating_mul(series.cycles()),
            largest: Duration::from_nanos(largest_ns),
            empirical: Duration::from_nanos(bound_ns),
            empirical_horizon: period.saturating_mul(horizon_cycles),
            extrapolated,
            analysis,
        }
    }

    /// The bound that is used: the tail's where it grants one.
    #[must_use]
    pub fn used(&self) -> Duration {
        self.extrapolated.map_or(self.empirical, |it| it.bound)
    }

    /// The horizon that it covers.
    #[must_use]
    pub fn horizon(&self) -> Duration {
        self.extrapolated
            .map_or(self.empirical_horizon, |it| it.horizon.max(self.empirical_horizon))
    }

    /// Where it comes from.
    #[must_use]
    pub const fn method(&self) -> Method {
        if self.extrapolated.is_ok() { Method::Extrapolated } else { Method::Empirical }
    }

    /// The worst of several.
    #[must_use]
    pub fn worst(bounds: &[Self]) -> Option<&Self> {
        bounds.iter().max_by_key(|it| it.used())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tail::{HORIZON_SPANS, Peak, Random};
    use super::*;

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive figures far below 2^63"
    )]
    fn light() -> Recorded {
        let mut random = Random::from_seed(9);
        let late = (0..3_000u64).map(|n| Peak {
            cycle: n * 300 + random.bits() % 300,
            late_ns: 20_001 + (5_000.0 * random.exponential()) as u64,
        });
        let series = Exceedances::new(900_000, 20_000, late.collect()).unwrap();
        Recorded { name: "cpu 1".to_owned(), period: Duration::from_millis(1), series }
    }

    #[test]
    fn a_light_tail_is_extrapolated_as_far_as_was_asked_and_no_further_than_allowed() {
        let recorded = light();
        let policy = Policy { resamples: 199, ..Policy::default() };
        let span = Duration::from_secs(900);
        let near = Bound::of(&recorded, span.saturating_mul(10), &policy);
        assert_eq!((near.span, near.empirical_horizon), (span, Duration::from_secs(300)));
        assert_eq!(
            (near.method(), near.horizon()),
            (Method::Extrapolated, span.saturating_mul(10))
        );
        let far = Bound::of(&recorded, Duration::MAX, &policy);
        assert_eq!(far.horizon(), span.saturating_mul(HORIZON_SPANS));
        assert!(near.empirical <= near.used() && near.used() <= far.used(), "{near:?} {far:?}");
        // So short that the tail is not asked: what was seen covers it.
        let short = Bound::of(&recorded, Duration::from_millis(1), &policy);
        assert!(matches!(short.extrapolated, Err(Refusal::HorizonTooShort { .. })), "{short:?}");
        assert_eq!((short.method(), short.used()), (Method::Empirical, short.empirical));
        assert_eq!(Bound::worst(&[near.clone(), short.clone()]).unwrap().used(), near.used());
    }
}
