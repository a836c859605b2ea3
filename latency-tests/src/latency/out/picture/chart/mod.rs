//! The charts of a run.
//!
//! | Module | Draws |
//! |---|---|
//! | [`histogram`] | how often which time came |
//! | [`percentiles`] | what is not exceeded by which part of all samples |
//! | [`course`] | when it was how late |
//! | [`heat`] | the same of all series beside each other |
//! | `frame` | axes, legends, labels |

mod course;
mod frame;
mod heat;
mod histogram;
mod percentiles;
#[cfg(test)]
mod tests;

use super::drawing::Drawing;
use super::ink::SERIES;
use crate::latency::report::{Distribution, Gate, Measure, Probe, Report, Run, Series};

/// Beyond so many, series are in no chart.
pub(in crate::latency::out) const DRAWN_MAX: usize = 64;

/// Draws a chart of a subject, so wide.
pub(in crate::latency::out) type Draw = fn(&Subject<'_>, f64) -> Drawing;

/// All charts, in the order in which they are read: what each is called, and who draws it.
pub(in crate::latency::out) const ALL: [(&str, Draw); 4] = [
    ("histogram", histogram::draw),
    ("percentiles", percentiles::draw),
    ("course", course::draw),
    ("heat", heat::draw),
];

/// A run, and which of its series are told apart.
pub(in crate::latency::out) struct Subject<'a> {
    run: &'a Run,
    /// With colour, dash and number; in the order of the run.
    told: Vec<&'a Series>,
    /// Without, behind them.
    quiet: Vec<&'a Series>,
    /// The bound that was given for the greatest, in ns.
    bound_ns: Option<f64>,
}

impl<'a> Subject<'a> {
    pub(in crate::latency::out) fn new(report: &'a Report, run: &'a Run) -> Self {
        let mut places: Vec<usize> = (0..run.series.len()).collect();
        let worst = |place: &usize| {
            let worst = run.series.get(*place).and_then(|it| it.owed.max_ns);
            std::cmp::Reverse(worst)
        };
        places.sort_by_key(worst);
        places.truncate(DRAWN_MAX);
        let behind = places.split_off(places.len().min(SERIES));
        let of = |mut places: Vec<usize>| -> Vec<&'a Series> {
            places.sort_unstable();
            places.into_iter().filter_map(|it| run.series.get(it)).collect()
        };
        Self { run, told: of(places), quiet: of(behind), bound_ns: bound_ns(&report.gates) }
    }

    /// All that are drawn; those told apart first.
    fn drawn(&self) -> impl Iterator<Item = &'a Series> {
        self.told.iter().chain(&self.quiet).copied()
    }

    /// What the figures are.
    fn measure(&self) -> &'static str {
        let mut measures = self.run.series.iter().map(|it| it.measure);
        let first = measures.next().unwrap_or(match self.run.probe {
            Probe::Wakeup => Measure::Lateness,
            Probe::Heartbeat => Measure::RoundTrip,
            Probe::Shm | Probe::Wire => Measure::Span,
        });
        match first {
            _ if measures.any(|it| it != first) => "time",
            Measure::Lateness => "lateness",
            Measure::RoundTrip => "round trip",
            Measure::Span => "time taken",
        }
    }

    /// The least above zero and the greatest sample of both views. None: there is none.
    fn range(&self) -> Option<(f64, f64)> {
        let views = || self.drawn().flat_map(|it| [&it.seen, &it.owed]);
        let with = || views().filter(|view| view.samples > 0);
        let greatest = with().filter_map(|it| it.max_ns).max()?;
        let least = with().filter_map(least_above_zero).min().unwrap_or(1);
        Some((least.min(greatest.max(1)) as f64, greatest as f64))
    }

    /// Whether an axis up to `greatest` should reach to the bound, too.
    fn bound_near(&self, greatest: f64) -> Option<f64> {
        self.bound_ns.filter(|bound| *bound > 0.0 && *bound <= greatest * 20.0)
    }
}

fn least_above_zero(view: &Distribution) -> Option<u64> {
    let min = view.min_ns.filter(|min| *min > 0);
    min.or_else(|| view.histogram.iter().map(|it| it.lowest_ns).find(|it| *it > 0))
}

fn bound_ns(gates: &[Gate]) -> Option<f64> {
    let gate = gates.iter().find(|gate| gate.name == "max_us")?;
    Some(gate.limit * 1e3).filter(|ns| ns.is_finite())
}

/// Whether the owed view says more than the seen one.
pub(in crate::latency::out) fn differs(series: &Series) -> bool {
    series.owed.samples != series.seen.samples || series.owed.histogram != series.seen.histogram
}
