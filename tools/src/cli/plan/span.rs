//! Spans of time as people write them, to the nanosecond both ways.
//!
//! A bound that is shown rounded is not a bound any more: what is printed here is exact, and can be
//! given back as an argument.

use rt_core::time::Duration;

/// Nothing that takes longer is of a takeover: an hour.
const MOST: Duration = Duration::from_secs(3_600);
const UNITS: [(&str, u64); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    // The Greek letter, which some keyboards give.
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
];
const FORM: &str = "write a number and its unit, as in 250us, 1.5ms or 2s";

/// A span of 1 ns to an hour.
pub(super) fn some(text: &str) -> Result<Duration, String> {
    match any(text)? {
        Duration::ZERO => Err("it has to be more than nothing".to_owned()),
        span => Ok(span),
    }
}

/// The same, or none.
pub(super) fn any(text: &str) -> Result<Duration, String> {
    let at = text.find(|it: char| !it.is_ascii_digit() && it != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    if number.is_empty() {
        return Err(FORM.to_owned());
    }
    if unit.is_empty() {
        return Err(format!("the unit is missing: {FORM}"));
    }
    let unit = UNITS.iter().find(|it| it.0 == unit.trim_start());
    let unit_ns = unit.ok_or_else(|| format!("the unit is ns, us, ms or s: {FORM}"))?.1;
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    if !is_number(whole) || !is_number(part) {
        return Err(FORM.to_owned());
    }
    let too_long = || "that is more than an hour".to_owned();
    let whole: u64 = whole.parse().map_err(|_| too_long())?;
    let part_ns = fraction(part, unit_ns).ok_or("it is told to the nanosecond")?;
    let span_ns = whole.checked_mul(unit_ns).and_then(|it| it.checked_add(part_ns));
    let span = span_ns.map(Duration::from_nanos).filter(|it| *it <= MOST);
    span.ok_or_else(too_long)
}

/// The decimals of a number of units in nanoseconds; none where they are finer.
fn fraction(decimals: &str, unit_ns: u64) -> Option<u64> {
    let mut place = unit_ns;
    let mut sum = 0;
    for digit in decimals.trim_end_matches('0').bytes() {
        if !place.is_multiple_of(10) {
            return None;
        }
        place /= 10;
        sum += u64::from(digit - b'0') * place;
    }
    Some(sum)
}

/// A span in full, in the unit that suits it.
pub(super) fn show(span: Duration) -> String {
    let span_ns = span.as_nanos();
    let (unit, unit_ns) = match span_ns {
        u64::MAX => return "too long to be told".to_owned(),
        1_000_000_000.. => ("s", 1_000_000_000),
        1_000_000.. => ("ms", 1_000_000),
        1_000.. => ("µs", 1_000),
        _ => ("ns", 1),
    };
    let decimals = format!("{:0width$}", span_ns % unit_ns, width = digits(unit_ns));
    let decimals = if unit_ns == 1 { "" } else { decimals.trim_end_matches('0') };
    let point = if decimals.is_empty() { "" } else { "." };
    format!("{}{point}{decimals} {unit}", super::super::text::number(span_ns / unit_ns))
}

const fn digits(unit_ns: u64) -> usize {
    unit_ns.ilog10() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_to_the_nanosecond() {
        for (text, span_ns) in [
            ("1ns", 1),
            ("250us", 250_000),
            ("250µs", 250_000),
            ("250 μs", 250_000),
            ("1.5ms", 1_500_000),
            ("2.253380ms", 2_253_380),
            ("0.000000001s", 1),
            ("1.0ns", 1),
            ("3600s", 3_600_000_000_000),
        ] {
            assert_eq!(some(text), Ok(Duration::from_nanos(span_ns)), "{text}");
        }
        assert_eq!(any("0us"), Ok(Duration::ZERO));
    }

    #[test]
    fn what_is_no_span_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "write a number"),
            ("5", "the unit is missing"),
            ("ms", "write a number"),
            ("-1ms", "write a number"),
            ("1h", "the unit is ns, us, ms or s"),
            ("1MS", "the unit is"),
            ("1..5ms", "write a number"),
            (".5ms", "write a number"),
            ("5.ms", "write a number"),
            ("1e3us", "the unit is"),
            ("0ms", "more than nothing"),
            ("1.5ns", "to the nanosecond"),
            ("1.0000001ms", "to the nanosecond"),
            ("3601s", "more than an hour"),
            ("99999999999999999999s", "more than an hour"),
            ("18446744073709551615s", "more than an hour"),
        ] {
            let said = some(text).unwrap_err();
            assert!(said.contains(reason), "{text}: {said}");
        }
    }

    #[test]
    fn what_is_shown_can_be_given_back() {
        for (span_ns, shown) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1 µs"),
            (2_253_380, "2.25338 ms"),
            (1_000_000_001, "1.000000001 s"),
            (3_600_000_000_000, "3,600 s"),
        ] {
            let span = Duration::from_nanos(span_ns);
            assert_eq!(show(span), shown);
            assert_eq!(any(&show(span).replace(',', "")), Ok(span));
        }
        assert_eq!(show(Duration::MAX), "too long to be told");
    }
}
