//! Times as words: as short as they can be told without loss of what matters.

/// A unit of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::latency::out) enum Unit {
    Nanoseconds,
    Microseconds,
    Milliseconds,
    Seconds,
}

impl Unit {
    /// The one in which a time has at most four digits before the point.
    pub(in crate::latency::out) fn of(ns: f64) -> Self {
        if ns < 1e3 {
            Self::Nanoseconds
        } else if ns < 1e6 {
            Self::Microseconds
        } else if ns < 1e9 {
            Self::Milliseconds
        } else {
            Self::Seconds
        }
    }

    /// As it is written.
    pub(in crate::latency::out) const fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Microseconds => "µs",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
        }
    }

    /// So many nanoseconds are one.
    pub(in crate::latency::out) const fn ns(self) -> f64 {
        match self {
            Self::Nanoseconds => 1.0,
            Self::Microseconds => 1e3,
            Self::Milliseconds => 1e6,
            Self::Seconds => 1e9,
        }
    }
}

/// A time in its own unit, three digits or more: `21.3 ms`.
pub(in crate::latency::out) fn time(ns: f64) -> String {
    let unit = Unit::of(ns);
    let value = ns / unit.ns();
    let text = if ns == 0.0 {
        "0".to_owned()
    } else if unit == Unit::Nanoseconds || value >= 1e6 {
        figure(value.round())
    } else if value < 10.0 {
        format!("{value:.2}")
    } else if value < 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    };
    format!("{text} {}", unit.name())
}

/// A mark of an axis: as few digits as it has.
pub(in crate::latency::out) fn tick(ns: f64) -> String {
    let unit = Unit::of(ns);
    format!("{} {}", figure(ns / unit.ns()), unit.name())
}

/// A number without zeros at its end, from a million on as a power of ten.
pub(in crate::latency::out) fn figure(value: f64) -> String {
    if value.abs() >= 1e6 {
        let text = format!("{value:.2e}");
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{power}", shortened(digits));
    }
    let text = format!("{value:.6}");
    shortened(&text).to_owned()
}

fn shortened(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// A time of a table in the table's unit, with one digit after the point where the unit has some.
pub(in crate::latency::out) fn in_unit(ns: f64, unit: Unit) -> String {
    let value = ns / unit.ns();
    if value >= 1e7 {
        return format!("{value:.3e}");
    }
    match unit {
        Unit::Nanoseconds => format!("{value:.0}"),
        Unit::Microseconds => format!("{value:.1}"),
        Unit::Milliseconds | Unit::Seconds => format!("{value:.3}"),
    }
}

/// A count with its digits in threes.
pub(in crate::latency::out) fn count(of: u64) -> String {
    let digits = of.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count in few letters.
pub(in crate::latency::out) fn short(of: u64) -> String {
    if of < 1_000_000_000 { count(of) } else { figure(of as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_unit_of_their_size() {
        let told = [0.0, 7.0, 999.0, 1_000.0, 21_300_000.0, 123_456.0, 6e10].map(time);
        assert_eq!(told, ["0 ns", "7 ns", "999 ns", "1.00 µs", "21.3 ms", "123 µs", "60.0 s"]);
    }

    #[test]
    fn the_longest_time_is_short() {
        let longest = u64::MAX as f64;
        assert_eq!(time(longest), "1.84e10 s");
        assert_eq!(tick(1e19), "1e10 s");
        assert_eq!(in_unit(longest, Unit::Microseconds), "1.845e16");
    }

    #[test]
    fn marks_have_no_zeros_at_their_end() {
        assert_eq!([1.0, 200.0, 1e3, 2.5e6, 1e9].map(tick).join(" | "), {
            "1 ns | 200 ns | 1 µs | 2.5 ms | 1 s"
        });
        assert_eq!([0.1 + 0.2, 1e5, 1e6, 0.0].map(figure), ["0.3", "100000", "1e6", "0"]);
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
    }
}
