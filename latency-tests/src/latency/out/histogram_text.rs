//! The table that cyclictest writes with `-h`: scripts that plot such tables take ours.
//!
//! A row for each whole µs below the limit, a column for each thread, then totals behind `#`. The
//! counts are of the seen view, one for each wake-up, for that is what cyclictest counts. What is
//! beyond the limit is counted as overflow; at which cycles it was, cyclictest says of as many as
//! there are rows, the first ones, and we of those that were latest, as far as they were kept.

use std::fmt::{self, Write};

use crate::latency::report::Series;

/// The most rows that a table may have.
pub const ROWS_MAX: usize = 1_000_000;

/// Writes the table of some threads of one run, with rows below `limit_us`, at most [`ROWS_MAX`].
///
/// # Errors
/// Those of `out`.
pub fn write(series: &[&Series], limit_us: usize, out: &mut impl Write) -> fmt::Result {
    let columns: Vec<Column> =
        series.iter().map(|it| Column::of(it, limit_us.min(ROWS_MAX))).collect();
    out.write_str("# Histogram\n")?;
    for us in 0..limit_us.min(ROWS_MAX) {
        write!(out, "{us:06} ")?;
        row(out, &columns, |column| column.counts[us], (6, "\t"))?;
        out.write_str("\n")?;
    }
    let totals: [(&str, usize, Figure); 5] = [
        ("Total", 9, |it| it.counts.iter().fold(0, |all, it| all.saturating_add(*it))),
        ("Min Latencies", 5, |it| it.min_us),
        ("Avg Latencies", 5, |it| it.mean_us),
        ("Max Latencies", 5, |it| it.max_us),
        ("Histogram Overflows", 5, |it| it.overflows),
    ];
    for (name, width, of) in totals {
        write!(out, "# {name}: ")?;
        row(out, &columns, of, (width, " "))?;
        out.write_str("\n")?;
    }
    out.write_str("# Histogram Overflow at cycle number:\n")?;
    for (number, column) in columns.iter().enumerate() {
        write!(out, "# Thread {number}:")?;
        for cycle in &column.overflowed {
            write!(out, " {cycle:05}")?;
        }
        let others = column.overflows.saturating_sub(column.overflowed.len() as u64);
        if others > 0 {
            write!(out, " # {others:05} others")?;
        }
        out.write_str("\n")?;
    }
    Ok(())
}

/// What is told of a thread.
type Figure = fn(&Column) -> u64;

/// A figure of each thread, with so many digits and what stands between two of them.
fn row(
    out: &mut impl Write,
    columns: &[Column],
    of: impl Fn(&Column) -> u64,
    (width, between): (usize, &str),
) -> fmt::Result {
    columns.iter().enumerate().try_for_each(|(at, column)| {
        let between = if at == 0 { "" } else { between };
        write!(out, "{between}{:0width$}", of(column))
    })
}

/// A thread's.
struct Column {
    counts: Vec<u64>,
    min_us: u64,
    mean_us: u64,
    max_us: u64,
    overflows: u64,
    /// Cycles beyond the limit, the latest ones in their order.
    overflowed: Vec<u64>,
}

impl Column {
    fn of(series: &Series, limit_us: usize) -> Self {
        let seen = &series.seen;
        let mut counts: Vec<u64> = vec![0; limit_us];
        let mut overflows: u64 = 0;
        for bucket in &seen.histogram {
            let us = usize::try_from(bucket.lowest_ns / 1_000).unwrap_or(usize::MAX);
            let count = counts.get_mut(us).unwrap_or(&mut overflows);
            *count = count.saturating_add(bucket.count);
        }
        let limit_ns = (limit_us as u64).saturating_mul(1_000);
        let period_ns = series.period_ns.max(1);
        let beyond = series.stalls.iter().filter(|stall| stall.late_ns >= limit_ns);
        let mut overflowed: Vec<u64> =
            beyond.map(|it| it.at_ns / period_ns).take(limit_us).collect();
        overflowed.sort_unstable();
        // Whole µs, as the kernel's clock is cut there, too.
        let us = |ns: Option<u64>| ns.unwrap_or(0) / 1_000;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast saturates, and a mean below zero is none"
        )]
        let mean_ns = seen.mean_ns.map(|ns| ns as u64);
        Self {
            counts,
            min_us: us(seen.min_ns),
            mean_us: us(mean_ns),
            max_us: us(seen.max_ns),
            overflows,
            overflowed,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use rt_core::os::recorder::{Plan, Recorder};
    use rt_core::time::{Duration, Instant};

    use super::*;
    use crate::latency::report::Measure;

    /// A thread of 1 ms whose cycles were so late, in µs.
    fn series(late_us: &[u64]) -> Series {
        let begin = Instant::from_nanos(1_000_000_000);
        let mut recorder = Recorder::new(Plan::new(begin, Duration::from_millis(1))).unwrap();
        let mut planned = begin;
        for &late in late_us {
            planned = recorder.record(planned, planned + Duration::from_micros(late)).next;
        }
        Series::new("cpu 0", Measure::Lateness, &recorder.finish())
    }

    fn text(series: &[&Series], limit_us: usize) -> String {
        let mut text = String::new();
        write(series, limit_us, &mut text).unwrap();
        text
    }

    #[test]
    fn a_row_for_each_microsecond_and_a_column_for_each_thread() {
        let threads = [&series(&[1, 3, 3, 900, 2]), &series(&[0, 4, 0])];
        let expected = "\
# Histogram
000000 000000\t000002
000001 000001\t000000
000002 000001\t000000
000003 000002\t000000
# Total: 000000004 000000002
# Min Latencies: 00001 00000
# Avg Latencies: 00181 00001
# Max Latencies: 00900 00004
# Histogram Overflows: 00001 00001
# Histogram Overflow at cycle number:
# Thread 0: 00003
# Thread 1: 00001
";
        assert_eq!(text(&threads, 4), expected);
    }

    #[test]
    fn of_many_beyond_the_limit_the_latest_are_named_and_the_others_counted() {
        let late: Vec<u64> = (0..20).map(|it| 100 + it).collect();
        let text = text(&[&series(&late)], 4);
        let named = "# Thread 0: 00016 00017 00018 00019 # 00016 others\n";
        assert!(text.ends_with(named), "{text}");
    }

    #[test]
    fn a_run_without_a_sample_has_a_table_of_zeros() {
        let text = text(&[&series(&[])], 2);
        assert!(text.contains("# Total: 000000000\n# Min Latencies: 00000\n"), "{text}");
    }
}
