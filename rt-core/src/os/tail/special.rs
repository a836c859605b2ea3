//! The few special functions that the tests and intervals need.
//!
//! All stand on one: the incomplete gamma function gives the normal, the chi-squared and the
//! Poisson distribution. Quantiles are found by halving, which needs no table of constants and is
//! exact to the last figures; they are asked for a few dozen times in an analysis. A crate of
//! distributions was the alternative: ten dependencies for sixty lines.

use super::search::root;

/// ln Γ(a) for a > 0: Stirling's series, after the recurrence has moved `a` beyond 10.
fn ln_gamma(a: f64) -> f64 {
    let mut a = a;
    let mut product = 1.0;
    while a < 10.0 {
        product *= a;
        a += 1.0;
    }
    let b = 1.0 / (a * a);
    let series = (1.0 / 12.0 - b * (1.0 / 360.0 - b * (1.0 / 1260.0 - b / 1680.0))) / a;
    (a - 0.5) * a.ln() - a + 0.5 * std::f64::consts::TAU.ln() + series - product.ln()
}

/// The regularised upper incomplete gamma function Q(a, x), for a > 0, x >= 0: the series below
/// a + 1, Lentz's continued fraction above.
pub(super) fn gamma_upper(a: f64, x: f64) -> f64 {
    /// Some times the square root of the largest count that comes here.
    const TERMS_MAX: u32 = 100_000;
    if x <= 0.0 {
        return 1.0;
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let mut term = 1.0 / a;
        let mut sum = term;
        for n in 1..TERMS_MAX {
            term *= x / (a + f64::from(n));
            sum += term;
            if term < sum * f64::EPSILON {
                break;
            }
        }
        return (1.0 - front * sum).max(0.0);
    }
    let mut b = x + 1.0 - a;
    let mut c = f64::MAX;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for n in 1..TERMS_MAX {
        let n = f64::from(n);
        let numerator = -n * (n - a);
        b += 2.0;
        d = 1.0 / (b + numerator * d);
        c = b + numerator / c;
        let change = c * d;
        fraction *= change;
        if (change - 1.0).abs() < f64::EPSILON * 4.0 {
            break;
        }
    }
    (front * fraction).clamp(0.0, 1.0)
}

/// The standard normal distribution function.
pub(super) fn normal(z: f64) -> f64 {
    let outside = gamma_upper(0.5, z * z / 2.0) / 2.0;
    if z < 0.0 { outside } else { 1.0 - outside }
}

/// The standard normal quantile of `p`, held to ±8.
pub(super) fn normal_quantile(p: f64) -> f64 {
    root(-8.0, 8.0, |z| normal(z) - p)
}

/// The chance that a standard normal value is at least as far from 0 as `z`.
pub(super) fn two_sided(z: f64) -> f64 {
    gamma_upper(0.5, z * z / 2.0)
}

/// The chance that a chi-squared value with `degrees` of freedom is `x` or more.
pub(super) fn chi_squared_above(x: f64, degrees: f64) -> f64 {
    gamma_upper(degrees / 2.0, x / 2.0)
}

/// The 95 % interval of a Poisson mean when `count` were seen (Garwood's, which never covers
/// less). `count` need not be whole: a count divided by its dispersion is a count too.
pub(super) fn poisson_interval(count: f64) -> (f64, f64) {
    let highest = count + 12.0 * count.sqrt() + 24.0;
    let lower =
        if count > 0.0 { root(0.0, highest, |x| 0.975 - gamma_upper(count, x)) } else { 0.0 };
    (lower, root(0.0, highest, |x| 0.025 - gamma_upper(count + 1.0, x)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * b.abs().max(1.0)
    }

    #[test]
    fn the_normal_distribution_is_that_of_the_tables() {
        assert!(near(normal(0.0), 0.5));
        assert!(near(normal(1.0), 0.841_344_746_068_543));
        assert!(near(normal(-2.5), 0.006_209_665_325_776));
        assert!(near(normal_quantile(0.975), 1.959_963_984_540_054));
        assert!(near(two_sided(1.959_963_984_540_054), 0.05));
    }

    #[test]
    fn the_gamma_function_is_that_of_factorials() {
        assert!(near(ln_gamma(1.0), 0.0));
        assert!(near(ln_gamma(0.5), std::f64::consts::PI.sqrt().ln()));
        assert!(near(ln_gamma(11.0), 3_628_800f64.ln()));
    }

    #[test]
    fn chi_squared_is_that_of_the_tables() {
        assert!((chi_squared_above(16.919, 9.0) - 0.05).abs() < 1e-5);
        assert!((chi_squared_above(3.325, 9.0) - 0.95).abs() < 1e-4);
    }

    #[test]
    fn poisson_intervals_are_garwoods() {
        let (lower, upper) = poisson_interval(0.0);
        assert!(lower == 0.0 && (upper - 3.688_879).abs() < 1e-5);
        let (lower, upper) = poisson_interval(10.0);
        assert!((lower - 4.795_389).abs() < 1e-5 && (upper - 18.390_36).abs() < 1e-4);
        let (lower, upper) = poisson_interval(100_000.0);
        assert!(
            (lower - 99_381.2).abs() < 1.0 && (upper - 100_621.8).abs() < 1.0,
            "{lower} {upper}"
        );
    }
}
