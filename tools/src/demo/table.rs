//! The table at the end: for each fault a line of the PRP pair and, right under it, one of the pair
//! on a single LAN. It fits 90 columns, which two halves beside each other would not.

use super::faults::{Fault, NAME_COLUMNS};
use super::report::{Bulk, DemoReport, Exchange, FaultReport, Pairs, Verdict};
use crate::cli::text::{Style, number, octets};

/// Widths of the columns behind the fault's name: pair, sent, lost, twice, gap, three round trips.
const PAIR_COLUMNS: usize = 6;
const COUNT_COLUMNS: usize = 7;
const GAP_COLUMNS: usize = 11;
const TRIP_COLUMNS: usize = 10;

/// The table and what the transfers did. `faults` are those that the rows are of, in order.
pub(super) fn render(report: &DemoReport, faults: &[Fault], style: Style) -> String {
    let mut text = head(style);
    for (row, fault) in report.faults.iter().zip(faults) {
        text += &line(fault.name, "PRP", &row.prp, Paint::of(row), style);
        let detail = match fault.detail {
            "" => String::new(),
            detail => format!("  {detail}"),
        };
        text += &line(&detail, "single", &row.single, Paint::Single, style);
        for reason in row.reasons.iter().filter(|_| row.verdict == Verdict::Invalid) {
            text += &format!("  {}\n", style.odd(&format!("invalid: {reason}")));
        }
    }
    text + "\n" + &bulk(&report.bulk) + &busy(report.longest_wait_ns)
}

fn head(style: Style) -> String {
    let gap = " ".repeat(NAME_COLUMNS + 1 + PAIR_COLUMNS + 3 * COUNT_COLUMNS);
    let first = format!("{gap}{:>GAP_COLUMNS$}{:>30}", "longest", "round trip in µs    ");
    let second = format!(
        "{:<NAME_COLUMNS$} {:<PAIR_COLUMNS$}{:>COUNT_COLUMNS$}{:>COUNT_COLUMNS$}\
         {:>COUNT_COLUMNS$}{:>GAP_COLUMNS$}{:>TRIP_COLUMNS$}{:>TRIP_COLUMNS$}{:>TRIP_COLUMNS$}",
        "Fault", "Pair", "sent", "lost", "twice", "gap in µs", "p50", "p99", "max"
    );
    format!("{}\n{}\n", style.head(first.trim_end()), style.head(&second))
}

/// How the counts that matter are painted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Paint {
    Held,
    Failed,
    Invalid,
    Single,
}

impl Paint {
    const fn of(row: &FaultReport) -> Self {
        match row.verdict {
            Verdict::Held => Self::Held,
            Verdict::Failed => Self::Failed,
            Verdict::Invalid => Self::Invalid,
        }
    }

    fn count(self, value: u64, style: Style) -> String {
        let text = format!("{:>COUNT_COLUMNS$}", number(value));
        match self {
            Self::Held => style.good(&text),
            Self::Failed if value > 0 => style.bad(&text),
            Self::Single if value > 0 => style.odd(&text),
            _ => text,
        }
    }
}

fn line(name: &str, pair: &str, row: &Exchange, paint: Paint, style: Style) -> String {
    let us = |ns: u64| number(ns / 1_000);
    let trip = row.round_trip;
    format!(
        "{name:<NAME_COLUMNS$} {pair:<PAIR_COLUMNS$}{:>COUNT_COLUMNS$}{}{}{:>GAP_COLUMNS$}\
         {:>TRIP_COLUMNS$}{:>TRIP_COLUMNS$}{:>TRIP_COLUMNS$}\n",
        number(row.sent),
        paint.count(row.lost, style),
        paint.count(row.twice, style),
        number(row.longest_gap_us),
        us(trip.p50_ns),
        us(trip.p99_ns),
        us(trip.max_ns),
    )
}

fn bulk(bulk: &Pairs<Option<Bulk>>) -> String {
    let tell = |bulk: &Option<Bulk>| match bulk {
        None => "stuck when all was over, and broken off".to_owned(),
        Some(bulk) => format!(
            "{:>9} {}, longest pause {} ms",
            octets(bulk.octets),
            if bulk.intact { "intact" } else { "NOT INTACT" },
            number(bulk.longest_stall_us / 1_000)
        ),
    };
    format!(
        "{:<NAME_COLUMNS$} {:<PAIR_COLUMNS$}  {}\n{:<NAME_COLUMNS$} {:<PAIR_COLUMNS$}  {}\n",
        "Bulk transfer, all",
        "PRP",
        tell(&bulk.prp),
        "  the time (TCP)",
        "single",
        tell(&bulk.single)
    )
}

/// What has to be known of the machine to read the times.
fn busy(longest_wait_ns: u64) -> String {
    const WORTH_TELLING_NS: u64 = 50_000_000;
    if longest_wait_ns < WORTH_TELLING_NS {
        return String::new();
    }
    format!(
        "\nThis machine is busy: a program waited up to {} ms for a processor. Gaps and\n\
         round trips, PRP and single alike, contain such waits.\n",
        longest_wait_ns / 1_000_000
    )
}

#[cfg(test)]
mod tests {
    use super::super::faults::list;
    use super::super::report::RoundTrip;
    use super::*;

    fn report() -> DemoReport {
        let slow = RoundTrip { p50_ns: 100_123_456, p99_ns: 130_123_456, max_ns: 9_999_999_999 };
        let bad =
            Exchange { sent: 99_999, lost: 9_999, longest_gap_us: 9_999_999, ..<_>::default() };
        let bad = Exchange { twice: 12_345, round_trip: slow, ..bad };
        let faults = list(true);
        let faults = faults.iter().map(|fault| FaultReport {
            fault: fault.key.to_owned(),
            text: fault.text(),
            verdict: Verdict::Failed,
            reasons: vec!["1 lost and 0 twice on PRP".to_owned()],
            prp: bad,
            single: bad,
        });
        DemoReport {
            schema: 1,
            version: String::new(),
            verdict: Verdict::Failed,
            reasons: Vec::new(),
            user_namespace: false,
            degraded: Vec::new(),
            requests_per_second: 1_000,
            longest_wait_ns: 0,
            faults: faults.collect(),
            bulk: Pairs::default(),
            duration_ns: 0,
        }
    }

    #[test]
    fn the_table_fits_its_columns_and_none_run_together() {
        let text = render(&report(), &list(true), Style::PLAIN);
        for line in text.lines() {
            assert!(line.chars().count() <= 90, "{line}");
        }
        let single = text.lines().nth(3).unwrap();
        let cells: Vec<_> = single.split_whitespace().collect();
        assert_eq!(
            cells,
            ["single", "99,999", "9,999", "12,345", "9,999,999", "100,123", "130,123", "9,999,999"]
        );
    }

    #[test]
    fn both_pairs_of_a_fault_stand_under_each_other() {
        let text = render(&report(), &list(false), Style::PLAIN);
        let row = text.lines().position(|line| line.starts_with("LAN A unplugged")).unwrap();
        let lines: Vec<_> = text.lines().skip(row).take(2).collect();
        assert!(lines[0].contains(" PRP "), "{text}");
        assert!(
            lines[1].starts_with("  and plugged again") && lines[1].contains(" single "),
            "{text}"
        );
    }
}
