//! A result for people, as text.

use rt_core::time::Duration;
use tools::cli::text::{Side, Style, Table, number};

use super::report::{Distribution, Gate, Report, Run, Series, Verdict};

/// What is printed after a run.
#[must_use]
pub fn text(report: &Report, style: Style) -> String {
    let mut text = String::new();
    for run in &report.runs {
        text += &format!("{}\n{}\n", heading(run), table(run).render(style));
    }
    for gate in &report.gates {
        text += &format!("{}\n", told(gate, style));
    }
    let sentences = |word: &str, all: &[String]| -> String {
        all.iter().map(|it| format!("{word}: {}\n", shown(it))).collect()
    };
    text += &sentences(&style.odd("caution"), &report.cautions);
    text += &sentences(&style.bad("invalid"), &report.invalid);
    text + &verdict(report, style) + "\n"
}

/// What a document says, without what a terminal would obey or what would look like another line.
pub(super) fn shown(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { char::REPLACEMENT_CHARACTER } else { it }).collect()
}

fn heading(run: &Run) -> String {
    let settings = &run.settings;
    let policy = match settings.priority {
        0 => settings.policy.clone(),
        priority => format!("{} {priority}", settings.policy),
    };
    let seconds = run.duration_ns as f64 / 1e9;
    let interval = Duration::from_nanos(settings.interval_ns);
    let mut words = vec![
        run.probe.name().to_owned(),
        format!("{seconds:.1} s"),
        format!("every {interval}"),
        policy,
    ];
    if !settings.stress.is_empty() {
        words.push(format!("under load: {}", settings.stress.join(", ")));
    }
    let more: Vec<_> =
        settings.more.iter().map(|(name, value)| shown(&format!("{name} {value}"))).collect();
    let more = if more.is_empty() { String::new() } else { format!("\n{}", more.join(" · ")) };
    shown(&words.join(" · ")) + &more
}

/// All figures in µs, one unit for all, so that they can be compared at a glance.
fn table(run: &Run) -> Table {
    let mut table = Table::new(&[
        ("in µs", Side::Left),
        ("cycles", Side::Right),
        ("lost", Side::Right),
        ("late", Side::Right),
        ("swallowed", Side::Right),
        ("min", Side::Right),
        ("mean", Side::Right),
        ("50 %", Side::Right),
        ("99 %", Side::Right),
        ("99.9 %", Side::Right),
        ("99.99 %", Side::Right),
        ("max", Side::Right),
    ]);
    for series in &run.series {
        table.row(row(&shown(&series.name), series, &series.owed));
        if series.seen != series.owed {
            table.row(row("  as cyclictest counts", series, &series.seen));
        }
    }
    table
}

fn row(name: &str, series: &Series, view: &Distribution) -> Vec<String> {
    let us = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), |ns| micros(ns as f64));
    let counts = &series.counts;
    vec![
        name.to_owned(),
        number(view.samples),
        number(counts.lost),
        number(counts.late),
        number(counts.swallowed),
        us(view.min_ns),
        view.mean_ns.map_or_else(|| "-".to_owned(), micros),
        us(view.p50_ns),
        us(view.p99_ns),
        us(view.p999_ns),
        us(view.p9999_ns),
        us(view.max_ns),
    ]
}

/// Nanoseconds as µs with one decimal.
fn micros(ns: f64) -> String {
    format!("{:.1}", ns / 1e3)
}

fn told(gate: &Gate, style: Style) -> String {
    let Gate { name, limit, found, series, exceeded } = gate;
    let (name, series) = (shown(name), shown(series));
    let is = match found {
        Some(found) => format!("{found} ({series})"),
        None if series.is_empty() => "nothing was found".to_owned(),
        None => format!("nothing was found, or too much was lost ({series})"),
    };
    let word = if *exceeded { style.bad("exceeded") } else { style.good("kept") };
    format!("--{} {limit}: {word}: {is}", name.replace('_', "-"))
}

fn verdict(report: &Report, style: Style) -> String {
    match report.verdict {
        Verdict::Pass if report.gates.is_empty() => {
            style.good("The run is valid; no bound was given.")
        }
        Verdict::Pass => style.good("The run is valid, and each bound was kept."),
        Verdict::Exceeded => style.bad("The run is valid, and a bound was exceeded."),
        Verdict::Invalid => style.bad("The run is invalid: nothing follows from its figures."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_in_microseconds_with_one_decimal() {
        for (ns, text) in [(0.0, "0.0"), (949.0, "0.9"), (1_250.0, "1.2"), (1e9, "1000000.0")] {
            assert_eq!(micros(ns), text);
        }
    }

    #[test]
    fn what_a_stranger_s_document_says_stays_within_its_line() {
        let mut report = Report::new("2026-11-22T12:00:00Z".to_owned());
        let forged = "\u{1b}[2J\nThe run is valid, and each bound was kept.";
        report.cautions.push(forged.to_owned());
        report.invalid.push(forged.to_owned());
        let said = text(&report, Style::PLAIN);
        assert!(!said.contains('\u{1b}') && said.lines().count() == 3, "{said:?}");
    }

    #[test]
    fn a_bound_is_told_with_what_was_found_and_where() {
        let gate = Gate {
            name: "p9999_us".to_owned(),
            limit: 50.0,
            found: Some(61.25),
            series: "wakeup: cpu 3".to_owned(),
            exceeded: true,
        };
        let said = told(&gate, Style::PLAIN);
        assert_eq!(said, "--p9999-us 50: exceeded: 61.25 (wakeup: cpu 3)");
        let none = told(&Gate { found: None, ..gate }, Style::PLAIN);
        assert_eq!(
            none,
            "--p9999-us 50: exceeded: nothing was found, or too much was lost (wakeup: cpu 3)"
        );
    }
}
