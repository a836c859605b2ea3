//! Dates: seconds since 1970 in UTC, and their text as RFC 3339 has it, to the second.
//!
//! Only what this project writes itself is read: `2026-11-22T16:04:05Z`, and a bare date. A crate
//! for all calendars was the alternative; this is one formula (H. Hinnant, "chrono-compatible
//! low-level date algorithms").

const DAY_S: u64 = 86_400;

/// The seconds since 1970 of a date, with or without a time of day; `None` for what is none.
#[must_use]
pub fn seconds_of_date(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time.strip_suffix('Z')?, ':', [2, 2, 2])?;
    let is_day = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    // A second may be the 60th, which the clock of a computer repeats or smears.
    if year < 1970 || !is_day || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days_since_1970(year, month, day) * DAY_S + hour * 3_600 + minute * 60 + second)
}

/// The date of `seconds` since 1970, as `2026-11-22T16:04:05Z`.
#[must_use]
pub fn date_text(seconds: u64) -> String {
    let (days, of_day) = (seconds / DAY_S, seconds % DAY_S);
    // Years begin in March: the leap day is the last one.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn numbers(text: &str, separator: char, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(separator);
    let mut found = [0; 3];
    for (place, digits) in found.iter_mut().zip(digits) {
        let part = parts.next()?;
        if part.len() != digits || !part.bytes().all(|it| it.is_ascii_digit()) {
            return None;
        }
        *place = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

const fn days_of(year: u64, month: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

const fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let (era, of_era) = (year / 400, year % 400);
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2001-09-09T01:46:40Z", 1_000_000_000),
            ("2026-11-22T16:04:05Z", 1_795_363_445),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(seconds_of_date(text), Some(seconds), "{text}");
            assert_eq!(date_text(seconds), text);
        }
        assert_eq!(seconds_of_date("2001-09-09"), Some(1_000_000_000 - 6_400));
    }

    #[test]
    fn every_day_comes_back() {
        for day in (0..80_000).map(|day| day * DAY_S + 86_399) {
            assert_eq!(seconds_of_date(&date_text(day)), Some(day));
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "2026",
            "yesterday",
            "2026-13-01",
            "2026-02-29",
            "2026-00-10",
            "2026-11-22T24:00:00Z",
            "2026-11-22T16:04:05",
            "2026-11-22T16:04:05+01:00",
            "2026-11-22 16:04:05Z",
            "2026-11-2",
            "+026-11-22",
            "1969-12-31",
            "2026-11-22-01",
        ] {
            assert_eq!(seconds_of_date(text), None, "{text}");
        }
    }
}
