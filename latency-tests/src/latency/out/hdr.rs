//! A log of HdrHistogram: what its plotters and its readers in a dozen languages take.
//!
//! The interval log, version 1.3: two intervals for each series, of what was seen and of what was
//! owed, V2 encoded and compressed, in ns. An interval begins with the run and is as long as it;
//! its *tag* says of what it is: `probe:series:view`, such as `wakeup:cpu_3:owed`. A tag must not
//! have commas or blanks: each character but ASCII letters, digits, `.`, `-` and `_` is a `_`, and
//! where this makes two tags equal, the second one ends in `.2`.
//!
//! A histogram is rebuilt from the buckets of the document, which are those it was recorded in, so
//! each count is in its own place. Samples above the bound, which the document only counts, stand
//! at the greatest sample, as in its percentiles: so the log's bound is that sample, where it is
//! the larger one.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::latency::report::{Distribution, Report};

/// Significant decimal digits, as recorded.
const DIGITS: u8 = 3;
/// The greatest value that all readers know: Java's numbers have a sign.
const VALUE_MAX: u64 = i64::MAX as u64;

/// Why there is no log.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HdrError {
    /// The library refused.
    #[error("the histogram {tag} cannot be written: {reason}")]
    Histogram {
        /// Of which series.
        tag: String,
        /// What the library says.
        reason: String,
    },
}

/// The log of all series. Thread: any; allocates.
///
/// # Errors
/// See [`HdrError`]: not for a document of this program.
pub fn write(report: &Report) -> Result<String, HdrError> {
    let refused = |tag: &str, reason: String| HdrError::Histogram { tag: tag.to_owned(), reason };
    let mut octets = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut head = IntervalLogWriterBuilder::new();
    head.add_comment("[Histogram log format version 1.3]");
    head.add_comment(&line(&format!(
        "[{} {}: {}; values in ns]",
        report.program,
        report.version,
        report.command.join(" ")
    )));
    if let Some(began) = unix_s(&report.began) {
        // As the library writes them, which asks for another type of time than ours.
        for what in ["StartTime", "BaseTime"] {
            head.add_comment(&format!("[{what}: {began}.000 (seconds since epoch)]"));
        }
    }
    let mut log = head
        .begin_log_with(&mut octets, &mut serializer)
        .map_err(|error| refused("head", error.to_string()))?;
    let mut tags = Tags::default();
    for run in &report.runs {
        let lasted = Duration::from_nanos(run.duration_ns);
        for series in &run.series {
            for (view, samples) in [("seen", &series.seen), ("owed", &series.owed)] {
                let text = tags.tag(run.probe.name(), &series.name, view);
                let histogram =
                    rebuilt(samples).map_err(|reason| refused(&text, reason.to_string()))?;
                log.write_histogram(&histogram, Duration::ZERO, lasted, Tag::new(&text))
                    .map_err(|reason| refused(&text, reason.to_string()))?;
            }
        }
    }
    String::from_utf8(octets).map_err(|error| refused("head", error.to_string()))
}

/// The histogram that a distribution was recorded in.
fn rebuilt(it: &Distribution) -> Result<Histogram<u64>, hdrhistogram::CreationError> {
    let max_ns = it.max_ns.unwrap_or(0);
    let bound = it.highest_ns.max(max_ns).clamp(2, VALUE_MAX);
    let mut histogram = Histogram::new_with_bounds(1, bound, DIGITS)?;
    let last = it.histogram.len().saturating_sub(1);
    for (place, bucket) in it.histogram.iter().enumerate() {
        let above = if place == last { it.overflow.min(bucket.count) } else { 0 };
        histogram.saturating_record_n(bucket.lowest_ns.min(bound), bucket.count - above);
        histogram.saturating_record_n(max_ns.min(bound), above);
    }
    Ok(histogram)
}

/// The tags that were given.
#[derive(Default)]
struct Tags {
    given: BTreeMap<String, u64>,
}

impl Tags {
    fn tag(&mut self, probe: &str, series: &str, view: &str) -> String {
        let known = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-' | '_');
        let name: String = series.chars().map(|it| if known(it) { it } else { '_' }).collect();
        let tag = format!("{probe}:{name}:{view}");
        let times = self.given.entry(tag.clone()).or_default();
        *times += 1;
        if *times == 1 { tag } else { format!("{tag}.{times}") }
    }
}

/// Without what would begin another line, or would not be shown.
fn line(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
}

/// Seconds since 1970 of `2026-11-22T16:37:41Z`; none for another form.
fn unix_s(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, between: char| -> Option<[u64; 3]> {
        let all: Option<Vec<u64>> = text.split(between).map(|it| it.parse().ok()).collect();
        all?.try_into().ok()
    };
    let ([year, month, day], [hour, minute, second]) = (numbers(date, '-')?, numbers(time, ':')?);
    let fits = (1970..10_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !fits {
        return None;
    }
    // Years that begin in March: the day a leap year adds is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // As `date -u -d … +%s` has them.
        assert_eq!(unix_s("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(unix_s("2000-02-29T12:34:56Z"), Some(951_827_696));
        assert_eq!(unix_s("2026-11-22T16:37:41Z"), Some(1_795_365_461));
        for odd in ["", "2026-11-22 16:37:41Z", "2026-13-22T16:37:41Z", "1969-12-31T23:59:59Z"] {
            assert_eq!(unix_s(odd), None, "{odd}");
        }
    }

    #[test]
    fn tags_have_no_comma_or_blank_and_differ() {
        let mut tags = Tags::default();
        assert_eq!(tags.tag("wakeup", "cpu 3", "owed"), "wakeup:cpu_3:owed");
        assert_eq!(tags.tag("wakeup", "cpu,3", "owed"), "wakeup:cpu_3:owed.2");
        assert_eq!(tags.tag("shm", "a\r\n,é=#", "seen"), "shm:a______:seen");
    }
}
