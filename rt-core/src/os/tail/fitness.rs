//! Does the fitted distribution describe the excesses, and how sure is its shape?
//!
//! One parametric bootstrap answers both: samples drawn from the fit are fitted again, and what was
//! seen is compared with what they show. Tables of the Anderson-Darling statistic (Choulakian and
//! Stephens 2001) were the alternative; they end at the tested shapes, and have no row for the two
//! other statistics that are needed to see a rare second cause: its few excesses weigh little in a
//! statistic of the whole sample.

use super::gpd::{Gpd, Sample};
use super::random::Random;
use super::special::{normal, normal_quantile};

/// A statistic in which the sample is compared with the fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FitTest {
    /// Anderson and Darling's: the whole distribution.
    AndersonDarling,
    /// The same, weighted to the upper tail only (Ahmad, Sinclair and Spurr 1988).
    UpperTail,
    /// The difference of the shapes by moments and by likelihood.
    Moments,
    /// How much less likely the whole is with the fit of its lower nine tenths than with its own.
    Body,
    /// How far the largest excess lies beyond what the fit of the lower nine tenths expects.
    Largest,
}

impl std::fmt::Display for FitTest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::AndersonDarling => "Anderson-Darling",
            Self::UpperTail => "Anderson-Darling for the upper tail",
            Self::Moments => "moments against likelihood",
            Self::Body => "the lower nine tenths against all",
            Self::Largest => "the largest against the lower nine tenths",
        })
    }
}

const TESTS: [FitTest; 5] = [
    FitTest::AndersonDarling,
    FitTest::UpperTail,
    FitTest::Moments,
    FitTest::Body,
    FitTest::Largest,
];
/// The place of [`FitTest::Moments`], the only one that has a sign.
const MOMENTS: usize = 2;

/// A statistic for each of [`TESTS`].
type Statistics = [f64; TESTS.len()];

/// The fitted shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// By maximum likelihood; -0.5 or above.
    pub value: f64,
    /// The lower end of its 95 % interval (parametric bootstrap, bias-corrected percentiles of
    /// Efron).
    pub lower: f64,
    /// The upper end.
    pub upper: f64,
    /// By probability-weighted moments, as a cross-check.
    pub by_moments: f64,
}

/// What the bootstrap says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fitness {
    pub(super) shape: Shape,
    /// The test that speaks most against the fit, and the chance of its statistic if the fit were
    /// right, corrected for there being several tests (Bonferroni).
    pub(super) worst: FitTest,
    pub(super) p_value: f64,
}

/// Compares `sample` with `resamples` samples drawn from its own fit.
pub(super) fn fitness(
    sample: &Sample,
    fit: &Gpd,
    log_likelihood: f64,
    resamples: usize,
    random: &mut Random,
) -> Fitness {
    let mut seen = statistics(sample, fit, log_likelihood);
    let mut shapes = Vec::with_capacity(resamples);
    let mut drawn: Vec<Statistics> = Vec::with_capacity(resamples);
    for _ in 0..resamples {
        let again = fit.draw(sample.excesses().len(), random);
        let (refit, log_likelihood) = again.fit();
        shapes.push(refit.shape);
        drawn.push(statistics(&again, &refit, log_likelihood));
    }
    // Both estimates of the shape are biased: their difference is measured from its own mean.
    let centre = drawn.iter().map(|one| one[MOMENTS]).sum::<f64>() / resamples as f64;
    for one in drawn.iter_mut().chain([&mut seen]) {
        one[MOMENTS] = (one[MOMENTS] - centre).abs();
    }
    let (worst, p_value) = least_likely(&seen, &drawn);
    shapes.sort_unstable_by(f64::total_cmp);
    let (lower, upper) = bias_corrected(&shapes, fit.shape);
    let shape = Shape { value: fit.shape, lower, upper, by_moments: sample.shape_by_moments() };
    Fitness { shape, worst, p_value }
}

/// The test whose statistic is the rarest among those `drawn`, and the chance that the rarest of
/// all tests is as rare as that. The tests are not independent: the chance is counted in the same
/// samples, where a correction for their number would give power away.
fn least_likely(seen: &Statistics, drawn: &[Statistics]) -> (FitTest, f64) {
    let sorted: [Vec<f64>; TESTS.len()] = std::array::from_fn(|test| {
        let mut values: Vec<f64> = drawn.iter().map(|one| one[test]).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    });
    // The sample seen and those drawn are ranked as one set: if the fit is right, the first is
    // as any of the others.
    let rarest = |of: &Statistics, and_itself: bool| {
        let rank = |test: usize| {
            let drawn = drawn.len() - sorted[test].partition_point(|x| *x < of[test]);
            drawn + usize::from(and_itself || seen[test] >= of[test])
        };
        (0..TESTS.len()).map(|test| (rank(test), test)).min().unwrap_or((drawn.len(), 0))
    };
    let (rank, test) = rarest(seen, true);
    let as_rare = drawn.iter().filter(|one| rarest(one, false).0 <= rank).count();
    (TESTS[test], (1 + as_rare) as f64 / (1 + drawn.len()) as f64)
}

/// [`FitTest::Moments`] with its sign.
fn statistics(sample: &Sample, fit: &Gpd, log_likelihood: f64) -> Statistics {
    let count = sample.count();
    let log_survival: Vec<f64> = sample.excesses().iter().map(|x| fit.log_survival(*x)).collect();
    let (mut whole, mut upper) = (-count, count / 2.0);
    for (index, (from_low, from_high)) in
        log_survival.iter().zip(log_survival.iter().rev()).enumerate()
    {
        let weight = (2 * index + 1) as f64 / count;
        let below = (-from_low.exp_m1()).max(f64::MIN_POSITIVE);
        whole -= weight * (below.ln() + from_high);
        upper -= 2.0 * below + (2.0 - weight) * from_low;
    }
    let (body, _) = sample.fit_lowest(sample.excesses().len() / 10 * 9);
    let theta = body.shape / body.scale;
    let of_body = if theta * sample.largest() <= -1.0 {
        f64::NEG_INFINITY
    } else {
        sample.log_likelihood(body.shape, theta, sample.log_sum(theta))
    };
    [
        whole,
        upper,
        sample.shape_by_moments() - fit.shape,
        log_likelihood - of_body,
        -body.log_survival(sample.largest()),
    ]
}

/// The bias-corrected percentile interval (Efron 1982) of `seen`, of sorted estimates.
fn bias_corrected(sorted: &[f64], seen: f64) -> (f64, f64) {
    let count = sorted.len() as f64;
    let below = sorted.iter().filter(|&&one| one < seen).count() as f64;
    let equal = sorted.iter().filter(|&&one| one == seen).count() as f64;
    let share = ((below + equal / 2.0) / count).clamp(1.0 / count, 1.0 - 1.0 / count);
    let bias = normal_quantile(share);
    let place = |z: f64| {
        let index = normal(2.0 * bias + z) * (count + 1.0) - 1.0;
        let index = super::whole(index.round()).min(sorted.len() as u64 - 1);
        usize::try_from(index).map_or(seen, |index| sorted[index])
    };
    (place(-1.959_964).min(seen), place(1.959_964).max(seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shapes_interval_covers() {
        let mut random = Random::from_seed(21);
        let mut covered = 0;
        for round in 0..200 {
            let shape = [-0.2, 0.0, 0.2][round % 3];
            let sample = Gpd { shape, scale: 1.0 }.draw(100, &mut random);
            let (fit, likely) = sample.fit();
            let found = fitness(&sample, &fit, likely, 199, &mut random).shape;
            covered += u32::from(found.lower <= shape && shape <= found.upper);
        }
        // Three standard deviations of 90 % below 180.
        assert!(covered >= 167, "{covered}");
    }

    #[test]
    fn a_right_fit_passes_and_a_wrong_one_does_not() {
        let mut random = Random::from_seed(22);
        let (mut right, mut wrong) = (0, 0);
        for _ in 0..100 {
            let sample = Gpd { shape: 0.1, scale: 1.0 }.draw(200, &mut random);
            let (fit, likely) = sample.fit();
            right += u32::from(fitness(&sample, &fit, likely, 199, &mut random).p_value < 0.05);
            // Two causes: every tenth excess is around ten.
            let mut mixed = sample.excesses().to_vec();
            for excess in mixed.iter_mut().step_by(10) {
                *excess = 10.0 + random.uniform();
            }
            mixed.sort_unstable_by(f64::total_cmp);
            let mixed = Sample::sorted(mixed);
            let (fit, likely) = mixed.fit();
            wrong += u32::from(fitness(&mixed, &fit, likely, 199, &mut random).p_value < 0.05);
        }
        assert!(right <= 15 && wrong >= 95, "{right} {wrong}");
    }
}
