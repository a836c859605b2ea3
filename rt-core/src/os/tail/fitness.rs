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
}

impl std::fmt::Display for FitTest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::AndersonDarling => "Anderson-Darling",
            Self::UpperTail => "Anderson-Darling for the upper tail",
            Self::Moments => "moments against likelihood",
        })
    }
}

const TESTS: [FitTest; 3] = [FitTest::AndersonDarling, FitTest::UpperTail, FitTest::Moments];

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
    resamples: usize,
    random: &mut Random,
) -> Fitness {
    let seen = statistics(sample, fit);
    let mut shapes = Vec::with_capacity(resamples);
    let mut drawn: Vec<[f64; 3]> = Vec::with_capacity(resamples);
    for _ in 0..resamples {
        let again = fit.draw(sample.excesses().len(), random);
        let (refit, _) = again.fit();
        shapes.push(refit.shape);
        drawn.push(statistics(&again, &refit));
    }
    // Both estimates of the shape are biased: their difference is measured from its own mean.
    let centre = drawn.iter().map(|one| one[2]).sum::<f64>() / resamples as f64;
    let size =
        |of: &[f64; 3], test: usize| if test == 2 { (of[2] - centre).abs() } else { of[test] };
    let mut least = (TESTS[0], f64::INFINITY);
    for (index, test) in TESTS.into_iter().enumerate() {
        let more = drawn.iter().filter(|one| size(one, index) >= size(&seen, index)).count();
        let p_value = (1 + more) as f64 / (1 + resamples) as f64;
        if p_value < least.1 {
            least = (test, p_value);
        }
    }
    shapes.sort_unstable_by(f64::total_cmp);
    let (lower, upper) = bias_corrected(&shapes, fit.shape);
    let shape = Shape { value: fit.shape, lower, upper, by_moments: sample.shape_by_moments() };
    let p_value = (least.1 * TESTS.len() as f64).min(1.0);
    Fitness { shape, worst: least.0, p_value }
}

/// In the order of [`TESTS`]; the last with its sign.
fn statistics(sample: &Sample, fit: &Gpd) -> [f64; 3] {
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
    [whole, upper, sample.shape_by_moments() - fit.shape]
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
            let (fit, _) = sample.fit();
            let found = fitness(&sample, &fit, 99, &mut random).shape;
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
            let (fit, _) = sample.fit();
            right += u32::from(fitness(&sample, &fit, 99, &mut random).p_value < 0.05);
            // Two causes: every tenth excess is around ten.
            let mut mixed = sample.excesses().to_vec();
            for excess in mixed.iter_mut().step_by(10) {
                *excess = 10.0 + random.uniform();
            }
            mixed.sort_unstable_by(f64::total_cmp);
            let mixed = Sample::sorted(mixed);
            let (fit, _) = mixed.fit();
            wrong += u32::from(fitness(&mixed, &fit, 99, &mut random).p_value < 0.05);
        }
        assert!(right <= 15 && wrong >= 95, "{right} {wrong}");
    }
}
