//! Where a value lies on an axis, and where an axis has its marks.

/// How many marks with a text an axis has at most; beyond them, every second or third is told.
const MARKS_MAX: usize = 8;
/// From this ratio of greatest to least on, an axis is logarithmic.
const LOG_FROM: f64 = 25.0;

/// How an axis runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Course {
    Linear,
    Log,
}

/// An axis: values from `low` to `high` between two places of the drawing.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Scale {
    pub(super) course: Course,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// A mark of an axis.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Tick {
    pub(super) value: f64,
    pub(super) at: f64,
    /// Whether its value is written.
    pub(super) told: bool,
}

impl Scale {
    /// A logarithmic one over whole decades, at least one.
    pub(super) fn log(low: f64, high: f64) -> Self {
        let low = 10_f64.powf(finite(low, 1.0).max(1.0).log10().floor());
        let high = 10_f64.powf(finite(high, 10.0).max(low).log10().ceil()).max(low * 10.0);
        Self { course: Course::Log, low, high, from: 0.0, to: 1.0 }
    }

    /// A linear one from zero to a round number.
    pub(super) fn linear(high: f64) -> Self {
        let high = finite(high, 1.0).max(1e-9);
        let step = round_step(high / 6.0);
        let high = (high / step - 1e-9).ceil() * step;
        Self { course: Course::Linear, low: 0.0, high, from: 0.0, to: 1.0 }
    }

    /// The one that shows these values best. The least is of those above zero.
    pub(super) fn of_values(least: f64, greatest: f64) -> Self {
        if greatest / least.max(1.0) >= LOG_FROM {
            Self::log(least, greatest)
        } else {
            Self::linear(greatest.max(1.0))
        }
    }

    /// The same between two places.
    pub(super) const fn between(self, from: f64, to: f64) -> Self {
        Self { from, to, ..self }
    }

    /// How far along a value lies, 0 to 1; what is beyond an end lies at it.
    pub(super) fn part(&self, value: f64) -> f64 {
        let part = match self.course {
            Course::Linear => (value - self.low) / (self.high - self.low),
            Course::Log => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
        };
        if part.is_nan() { 0.0 } else { part.clamp(0.0, 1.0) }
    }

    /// Where a value lies.
    pub(super) fn at(&self, value: f64) -> f64 {
        self.from + (self.to - self.from) * self.part(value)
    }

    /// The value that lies so far along.
    pub(super) fn value(&self, part: f64) -> f64 {
        match self.course {
            Course::Linear => self.low + (self.high - self.low) * part,
            Course::Log => self.low * (self.high / self.low).powf(part),
        }
    }

    /// Its marks, in rising order.
    pub(super) fn ticks(&self, most: usize) -> Vec<Tick> {
        let most = most.clamp(2, MARKS_MAX);
        match self.course {
            Course::Linear => self.linear_ticks(most),
            Course::Log => self.log_ticks(most),
        }
    }

    fn linear_ticks(&self, most: usize) -> Vec<Tick> {
        let step = round_step((self.high - self.low) / (most as f64));
        let marks = (0..=2 * MARKS_MAX).map(|it| self.low + it as f64 * step);
        let within = marks.take_while(|value| *value <= self.high * (1.0 + 1e-9));
        within.map(|value| Tick { value, at: self.at(value), told: true }).collect()
    }

    fn log_ticks(&self, most: usize) -> Vec<Tick> {
        let first = self.low.log10().round();
        let decades = (self.high.log10().round() - first).clamp(1.0, 40.0);
        // Each decade where there are few, each second one, and so on.
        let told_each = (decades / (most as f64 - 1.0)).ceil().max(1.0);
        let fine = told_each <= 1.0 && decades * 2.0 + 1.0 <= most as f64;
        let mut ticks = Vec::new();
        let mut decade = 0.0;
        while decade <= decades {
            let whole = 10_f64.powf(first + decade);
            for digit in 1..10_u8 {
                let value = whole * f64::from(digit);
                if value > self.high * 1.000_001 || (told_each > 1.0 && digit > 1) {
                    break;
                }
                let told = if fine {
                    matches!(digit, 1 | 3)
                } else {
                    digit == 1 && decade % told_each == 0.0
                };
                ticks.push(Tick { value, at: self.at(value), told });
            }
            decade += 1.0;
        }
        ticks
    }
}

/// 1, 2 or 5 times a power of ten, not less than asked.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0].into_iter().find(|it| it * power >= least * (1.0 - 1e-9));
    times.unwrap_or(10.0) * power
}

fn finite(value: f64, otherwise: f64) -> f64 {
    if value.is_finite() { value } else { otherwise }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(scale: Scale, most: usize) -> Vec<f64> {
        let told = scale.ticks(most).into_iter().filter(|it| it.told);
        told.map(|it| (it.value * 1e6).round() / 1e6).collect()
    }

    #[test]
    fn a_wide_range_is_logarithmic_over_whole_decades() {
        let scale = Scale::of_values(1_700.0, 20_300_000.0);
        assert_eq!((scale.course, scale.low, scale.high), (Course::Log, 1e3, 1e8));
        assert_eq!(told(scale, 8), [1e3, 1e4, 1e5, 1e6, 1e7, 1e8]);
        assert_eq!(told(scale, 4), [1e3, 1e5, 1e7]);
    }

    #[test]
    fn a_narrow_range_is_linear_from_zero_to_a_round_number() {
        let scale = Scale::of_values(900.0, 4_100.0);
        assert_eq!((scale.course, scale.low, scale.high), (Course::Linear, 0.0, 5e3));
        assert_eq!(told(scale, 6), [0.0, 1e3, 2e3, 3e3, 4e3, 5e3]);
    }

    #[test]
    fn one_decade_has_marks_within() {
        assert_eq!(told(Scale::log(10.0, 90.0), 8), [10.0, 30.0, 100.0]);
    }

    #[test]
    fn values_lie_between_the_places_in_order_and_never_beyond() {
        for scale in [Scale::linear(700.0), Scale::log(3.0, 1e9)] {
            let scale = scale.between(100.0, 20.0);
            let values = [0.0, 1.0, 5.0, 100.0, 600.0, 1e9, u64::MAX as f64, f64::INFINITY];
            let places = values.map(|it| scale.at(it));
            assert!(places.is_sorted_by(|a, b| a >= b), "{places:?}");
            assert!(places.iter().all(|it| (20.0..=100.0).contains(it)), "{places:?}");
        }
    }

    #[test]
    fn any_range_has_two_to_a_few_dozen_marks_within_it() {
        let ends = [0.0, 1.0, 3.0, 1e3, 123_456.0, 1e12, u64::MAX as f64];
        for low in ends {
            for high in ends {
                for scale in [Scale::of_values(low, high), Scale::log(low, high)] {
                    let ticks = scale.ticks(6);
                    let count = ticks.iter().filter(|it| it.told).count();
                    assert!((2..=9).contains(&count), "{low} {high} {ticks:?}");
                    assert!(ticks.len() < 200);
                    assert!(ticks.iter().all(|it| (-1e-6..=1.000_001).contains(&it.at)));
                }
            }
        }
    }

    #[test]
    fn a_part_and_its_value_agree() {
        for scale in [Scale::linear(700.0), Scale::log(3.0, 1e9)] {
            for part in [0.0, 0.1, 0.5, 0.9, 1.0] {
                assert!((scale.part(scale.value(part)) - part).abs() < 1e-9);
            }
        }
    }
}
