//! The generalised Pareto distribution: what excesses over a high threshold follow, whatever they
//! come from (Pickands; Balkema and de Haan).
//!
//! The fit is maximum likelihood in the one-dimensional form of Grimshaw (1993): for a given
//! θ = shape / scale the best shape is a mean of logarithms, so that a search over θ alone finds
//! the maximum, where a search over both parameters is known to fail. It is cross-checked with the
//! probability-weighted moments of Hosking and Wallis (1987).

use super::random::Random;
use super::search::maximum;

/// Below this shape maximum likelihood is not regular (Smith 1985) and its intervals say nothing:
/// the fit stays at or above it.
pub(super) const SHAPE_MIN: f64 = -0.5;
/// The fit's search begins with these shapes.
const SHAPES: [f64; 11] = [-0.7, -0.5, -0.35, -0.2, -0.05, 0.1, 0.25, 0.45, 0.8, 1.4, 2.5];

/// A generalised Pareto distribution of excesses, from 0 on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Gpd {
    /// Below 0: bounded; 0: exponential; above 0: heavy.
    pub(super) shape: f64,
    pub(super) scale: f64,
}

impl Gpd {
    /// The excess that is exceeded with the chance 1 / `ratio`.
    pub(super) fn exceeded_once_in(&self, ratio: f64) -> f64 {
        self.scale * power_excess(self.shape, ratio.ln())
    }

    /// The logarithm of the chance of more than `excess`; negative infinity beyond the end.
    pub(super) fn log_survival(&self, excess: f64) -> f64 {
        if self.shape.abs() < 1e-9 {
            return -excess / self.scale;
        }
        let inner = self.shape * excess / self.scale;
        if inner <= -1.0 { f64::NEG_INFINITY } else { -inner.ln_1p() / self.shape }
    }

    /// `count` excesses drawn from the distribution, smallest first (ordered uniform numbers come
    /// from exponential spacings, without sorting).
    pub(super) fn draw(&self, count: usize, random: &mut Random) -> Sample {
        let mut sums = Vec::with_capacity(count + 1);
        let mut sum = 0.0;
        for _ in 0..=count {
            sum += random.exponential();
            sums.push(sum);
        }
        sums.pop();
        // The sums fall as the excesses rise: a small share of the total is a rare, large excess.
        let excesses: Vec<f64> =
            sums.iter().rev().map(|part| self.exceeded_once_in(sum / part)).collect();
        Sample::sorted(excesses)
    }
}

/// (e^(shape · log) - 1) / shape, and its limit at shape 0.
pub(super) fn power_excess(shape: f64, log: f64) -> f64 {
    if shape.abs() < 1e-9 { log } else { (shape * log).exp_m1() / shape }
}

/// Excesses, smallest first.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    excesses: Vec<f64>,
    mean: f64,
    largest: f64,
}

impl Sample {
    /// A sample of positive excesses, smallest first.
    pub(super) fn sorted(excesses: Vec<f64>) -> Self {
        let mean = excesses.iter().sum::<f64>() / excesses.len() as f64;
        let largest = excesses.last().copied().unwrap_or(0.0);
        Self { excesses, mean, largest }
    }

    pub(super) fn excesses(&self) -> &[f64] {
        &self.excesses
    }

    pub(super) fn count(&self) -> f64 {
        self.excesses.len() as f64
    }

    pub(super) fn largest(&self) -> f64 {
        self.largest
    }

    pub(super) fn mean(&self) -> f64 {
        self.mean
    }

    /// Σ ln(1 + θ x).
    pub(super) fn log_sum(&self, theta: f64) -> f64 {
        log_sum(&self.excesses, theta)
    }

    /// The log-likelihood of a distribution with `shape` and shape / scale = `theta` (the latter
    /// not 0), given [`Self::log_sum`].
    pub(super) fn log_likelihood(&self, shape: f64, theta: f64, log_sum: f64) -> f64 {
        -self.count() * (shape / theta).ln() - (1.0 + 1.0 / shape) * log_sum
    }

    /// The distribution of maximum likelihood with a shape of [`SHAPE_MIN`] or above, and its
    /// log-likelihood.
    pub(super) fn fit(&self) -> (Gpd, f64) {
        self.fit_lowest(self.excesses.len())
    }

    /// As [`Self::fit`], from the `kept` smallest excesses; of the others it is used only that
    /// they are larger (censored). One or more.
    pub(super) fn fit_lowest(&self, kept: usize) -> (Gpd, f64) {
        let kept = kept.clamp(1, self.excesses.len());
        let low = &self.excesses[..kept];
        let end = low[kept - 1];
        let (count, censored) = (kept as f64, (self.excesses.len() - kept) as f64);
        let gpd_of = |s: f64| {
            // s = ln(1 + θ · end) is free of bounds, where θ is not.
            let theta = s.exp_m1() / end;
            if theta == 0.0 {
                let sum = low.iter().sum::<f64>() + censored * end;
                return (Gpd { shape: 0.0, scale: sum / count }, 0.0);
            }
            let sum = log_sum(low, theta);
            let shape = (sum + censored * s) / count;
            (Gpd { shape, scale: shape / theta }, sum)
        };
        let log_likelihood = |s: f64| {
            let (gpd, sum) = gpd_of(s);
            if gpd.shape < SHAPE_MIN || gpd.scale.is_nan() || gpd.scale <= 0.0 {
                // Rises towards the allowed shapes, so that the search finds its way back.
                return -1e12 * (1.0 - gpd.shape);
            }
            -count * (gpd.scale.ln() + 1.0) - sum
        };
        let grid = SHAPES.map(|shape| shape * self.count().ln());
        let (s, value) = maximum(&grid, 1e-5, log_likelihood);
        (gpd_of(s).0, value)
    }

    /// The shape by probability-weighted moments, which trusts the far tail less.
    pub(super) fn shape_by_moments(&self) -> f64 {
        let count = self.count();
        let weighted: f64 = self
            .excesses
            .iter()
            .enumerate()
            .map(|(index, x)| x * (count - 1.0 - index as f64) / (count - 1.0))
            .sum::<f64>()
            / count;
        2.0 - self.mean / (self.mean - 2.0 * weighted)
    }
}

/// Σ ln(1 + θ x) of ascending `excesses`. Logarithms of products of eight: an eighth of the work;
/// not for a θ so small that 1 + θ x would lose its figures.
fn log_sum(excesses: &[f64], theta: f64) -> f64 {
    let largest = excesses.last().copied().unwrap_or(0.0);
    if (theta * largest).abs() < 1e-3 {
        return excesses.iter().map(|x| (theta * x).ln_1p()).sum();
    }
    let product = |part: &[f64]| part.iter().map(|x| 1.0 + theta * x).product::<f64>();
    excesses.chunks(8).map(|part| product(part).ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fit_finds_the_distribution_drawn_from() {
        let mut random = Random::from_seed(11);
        for shape in [-0.4, -0.2, 0.0, 0.1, 0.2, 0.5, 1.0] {
            let gpd = Gpd { shape, scale: 3000.0 };
            let sample = gpd.draw(20_000, &mut random);
            assert!(sample.excesses().is_sorted());
            let (fit, _) = sample.fit();
            assert!((fit.shape - shape).abs() < 0.04, "{shape}: {fit:?}");
            assert!((fit.scale / 3000.0 - 1.0).abs() < 0.06, "{shape}: {fit:?}");
            if shape < 0.3 {
                assert!((sample.shape_by_moments() - shape).abs() < 0.06, "{shape}");
            }
        }
    }

    #[test]
    fn no_neighbour_is_likelier_than_the_fit() {
        let mut random = Random::from_seed(12);
        for shape in [-0.2, 0.0, 0.2] {
            let sample = Gpd { shape, scale: 1.0 }.draw(100, &mut random);
            let (fit, best) = sample.fit();
            for (more_shape, more_scale) in [(0.01, 1.0), (-0.01, 1.0), (0.0, 1.01), (0.0, 0.99)] {
                let shape = fit.shape + more_shape;
                let theta = shape / (fit.scale * more_scale);
                let other = sample.log_likelihood(shape, theta, sample.log_sum(theta));
                assert!(other <= best + 1e-9, "{fit:?} {best} {other}");
            }
        }
    }

    #[test]
    fn the_fit_of_the_lowest_does_not_see_how_large_the_others_are() {
        let mut random = Random::from_seed(13);
        let sample = Gpd { shape: 0.1, scale: 50.0 }.draw(20_000, &mut random);
        let (fit, _) = sample.fit_lowest(18_000);
        assert!((fit.shape - 0.1).abs() < 0.06 && (fit.scale - 50.0).abs() < 3.0, "{fit:?}");
        let mut far = sample.excesses().to_vec();
        far[18_000..].iter_mut().for_each(|excess| *excess *= 1000.0);
        assert_eq!(Sample::sorted(far).fit_lowest(18_000).0, fit);
    }

    #[test]
    fn excesses_with_an_end_keep_to_the_regular_shapes() {
        let sample = Sample::sorted((1..200).map(f64::from).collect());
        let (fit, value) = sample.fit();
        assert!(fit.shape >= SHAPE_MIN && fit.shape < -0.4 && value > -1e6, "{fit:?}");
    }

    #[test]
    fn quantile_and_survival_are_inverse() {
        for shape in [-0.3, 0.0, 0.3] {
            let gpd = Gpd { shape, scale: 7.0 };
            let back = gpd.log_survival(gpd.exceeded_once_in(5000.0));
            assert!((back + 5000f64.ln()).abs() < 1e-9);
        }
    }
}
