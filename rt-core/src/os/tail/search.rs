//! Roots and maxima of functions of one variable, without derivatives and with bounded effort.

/// Enough halvings to reach the neighbouring number from any interval used here.
const HALVINGS: u32 = 90;
/// Brent's method on a smooth maximum ends after about a dozen steps.
const STEPS_MAX: u32 = 60;
/// The golden section: 2 minus the golden ratio.
const GOLDEN: f64 = 0.381_966_011_250_105;

/// Where `f`, rising through zero between `low` and `high`, is zero; an end, when it is not.
pub(super) fn root(low: f64, high: f64, f: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (low, high);
    for _ in 0..HALVINGS {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        if f(middle) < 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    low + (high - low) / 2.0
}

/// As [`root`], to `tolerance` (a part of `high`) only: for functions that are costly.
pub(super) fn root_within(low: f64, high: f64, tolerance: f64, f: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (low, high);
    for _ in 0..HALVINGS {
        if high - low <= tolerance * high.abs() {
            break;
        }
        let middle = low + (high - low) / 2.0;
        if f(middle) < 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    low + (high - low) / 2.0
}

/// The place and the value of the greatest `f` over `grid` (ascending, three places or more),
/// refined between the neighbours of the best place. The grid is the robust start: it is what
/// keeps the search from a foreign maximum.
pub(super) fn maximum(grid: &[f64], tolerance: f64, f: impl Fn(f64) -> f64) -> (f64, f64) {
    let mut best = (0, f64::NEG_INFINITY);
    for (index, &place) in grid.iter().enumerate() {
        let value = f(place);
        if value > best.1 {
            best = (index, value);
        }
    }
    let index = best.0.clamp(1, grid.len() - 2);
    let found = brent(grid[index - 1], grid[index + 1], tolerance, &f);
    if found.1 >= best.1 { found } else { (grid[best.0], best.1) }
}

/// Brent's method (1973): parabolas where they help, golden section where they do not.
fn brent(low: f64, high: f64, tolerance: f64, f: &impl Fn(f64) -> f64) -> (f64, f64) {
    let (mut low, mut high) = (low, high);
    let mut best = low + GOLDEN * (high - low);
    let mut best_value = f(best);
    let (mut second, mut second_value) = (best, best_value);
    let (mut third, mut third_value) = (best, best_value);
    let (mut step, mut before) = (0.0f64, 0.0f64);
    for _ in 0..STEPS_MAX {
        let middle = low + (high - low) / 2.0;
        if (best - middle).abs() + (high - low) / 2.0 <= 2.0 * tolerance {
            break;
        }
        let r = (best - second) * (best_value - third_value);
        let q = (best - third) * (best_value - second_value);
        let denominator = 2.0 * (q - r);
        let offset = -((best - third) * q - (best - second) * r) / denominator;
        let is_parabola = before.abs() > tolerance
            && offset.is_finite()
            && offset.abs() < before.abs() / 2.0
            && best + offset > low
            && best + offset < high;
        if is_parabola {
            before = step;
            step = offset;
        } else {
            before = if best < middle { high - best } else { low - best };
            step = GOLDEN * before;
        }
        let place = best + if step.abs() >= tolerance { step } else { tolerance.copysign(step) };
        let value = f(place);
        if value >= best_value {
            if place >= best {
                low = best
            } else {
                high = best
            }
            (third, third_value) = (second, second_value);
            (second, second_value) = (best, best_value);
            (best, best_value) = (place, value);
            continue;
        }
        if place < best {
            low = place
        } else {
            high = place
        }
        if value >= second_value || second == best {
            (third, third_value) = (second, second_value);
            (second, second_value) = (place, value);
        } else if value >= third_value || third == best || third == second {
            (third, third_value) = (place, value);
        }
    }
    (best, best_value)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_root_is_found_to_the_last_figure() {
        assert!((root(0.0, 2.0, |x| x * x - 2.0) - 2f64.sqrt()).abs() < 1e-15);
        assert!((root_within(0.0, 2.0, 1e-3, |x| x * x - 2.0) - 2f64.sqrt()).abs() < 2e-3);
    }

    #[test]
    fn the_greatest_of_two_maxima_is_found_in_few_steps() {
        let asked = Cell::new(0);
        let f = |x: f64| {
            asked.set(asked.get() + 1);
            (-(x - 1.3f64).powi(2) * 4.0).exp() + 0.5 * (-(x + 3.0f64).powi(2)).exp()
        };
        let grid = [-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0];
        let (place, value) = maximum(&grid, 1e-6, f);
        assert!((place - 1.3).abs() < 1e-5 && value >= 1.0, "{place} {value}");
        assert!(asked.get() < 30, "{}", asked.get());
    }

    #[test]
    fn a_maximum_beside_a_forbidden_place_is_found() {
        let f = |x: f64| if x < 0.5 { f64::NEG_INFINITY } else { -x };
        let (place, _) = maximum(&[-1.0, 0.0, 1.0, 2.0], 1e-6, f);
        assert!((place - 0.5).abs() < 1e-4, "{place}");
    }
}
