//! The comparison for people. Names and facts are of whoever wrote the files: what would move a
//! terminal's cursor is not shown.

use std::fmt::Write as _;

use tools::cli::text::{Side, Style, Table, number};

use super::{Comparison, Differing, Estimate, Figure, Pair, Row, Verdict, measure_name};

/// The whole comparison, lines of text.
#[must_use]
pub fn text(comparison: &Comparison) -> String {
    let mut out = String::new();
    let sides = [("first ", &comparison.before), ("second", &comparison.after)];
    for (which, side) in sides {
        let command = shown(&side.command.join(" "));
        // Writing into a text does not fail.
        let _ = writeln!(out, "{which}  {}  {command}", shown(&side.began));
        for reason in &side.invalid {
            let _ = writeln!(out, "        invalid: {}", shown(reason));
        }
    }
    list(&mut out, "Beforehand", &comparison.remarks);
    // Else each sentence would say no more than that.
    let is_valid = sides.iter().all(|(_, side)| side.invalid.is_empty());
    for pair in &comparison.pairs {
        pair_text(&mut out, pair, is_valid);
    }
    let (settings, host) = (&comparison.settings_differ, &comparison.host_differs);
    differing(&mut out, "Settings", settings, comparison.settings_equal);
    differing(&mut out, "Host", host, comparison.host_equal);
    list(&mut out, "Found on the first only", &comparison.findings_before_only);
    list(&mut out, "Found on the second only", &comparison.findings_after_only);
    list(&mut out, "What the intervals rest on", &comparison.assumptions);
    out
}

fn pair_text(out: &mut String, pair: &Pair, with_sentences: bool) {
    let (probe, measure) = (pair.probe.name(), measure_name(pair.measure));
    let [before, after] = [pair.samples_before, pair.samples_after].map(number);
    let name = shown(&pair.name);
    let _ = writeln!(out, "\n{probe}, {name}: {measure} of {before} and {after} cycles");
    let mut table = Table::new(&[
        ("", Side::Left),
        ("FIRST", Side::Right),
        ("SECOND", Side::Right),
        ("DIFFERENCE", Side::Right),
        ("95 % FROM", Side::Right),
        ("TO", Side::Right),
        ("RATIO", Side::Right),
        ("VERDICT", Side::Left),
    ]);
    for row in &pair.rows {
        let value = |it: &Option<Estimate>| {
            it.as_ref().map_or_else(|| "-".to_owned(), |it| figure(row.figure, it.value))
        };
        let end =
            |end: Option<f64>| end.map_or_else(|| "-".to_owned(), |end| signed(row.figure, end));
        let difference = row.difference;
        table.row(vec![
            row.figure.name().to_owned(),
            value(&row.before),
            value(&row.after),
            difference.map_or_else(|| "-".to_owned(), |it| signed(row.figure, it.value)),
            end(difference.and_then(|it| it.lower)),
            end(difference.and_then(|it| it.upper)),
            row.ratio.map_or_else(|| "-".to_owned(), |it| format!("{:.3}", it.value)),
            row.verdict.name().to_owned(),
        ]);
    }
    out.push_str(&table.render(Style::PLAIN));
    for row in pair.rows.iter().filter(|_| with_sentences) {
        let _ = writeln!(out, "  {}", shown(&row.sentence));
    }
}

fn differing(out: &mut String, what: &str, rows: &[Differing], equal: u64) {
    let differ = rows.len();
    let _ = writeln!(out, "\n{what}: {differ} differ, {equal} are equal and not shown");
    if rows.is_empty() {
        return;
    }
    let mut table = Table::new(&[("", Side::Left), ("FIRST", Side::Left), ("SECOND", Side::Left)]);
    for row in rows {
        let value =
            |it: &Option<String>| it.as_ref().map_or_else(|| "-".to_owned(), |it| shown(it));
        table.row(vec![shown(&row.name), value(&row.before), value(&row.after)]);
    }
    out.push_str(&table.render(Style::PLAIN));
}

fn list(out: &mut String, head: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{head}");
    for line in lines {
        let _ = writeln!(out, "  {}", shown(line));
    }
}

/// Without what a terminal would obey.
fn shown(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { char::REPLACEMENT_CHARACTER } else { it }).collect()
}

impl Figure {
    /// Its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::P50Ns => "p50",
            Self::P99Ns => "p99",
            Self::P999Ns => "p99.9",
            Self::P9999Ns => "p99.99",
            Self::MaxNs => "greatest",
            Self::LateShare => "late or swallowed",
            Self::LostShare => "lost",
        }
    }

    const fn is_share(self) -> bool {
        matches!(self, Self::LateShare | Self::LostShare)
    }
}

impl Verdict {
    /// It in a word or two.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NoDifference => "no difference",
            Self::Unknown => "cannot be told",
            Self::FiguresOnly => "figures only",
        }
    }
}

/// ns as µs, a share as per cent, with as many digits as tell something.
fn figure(figure: Figure, value: f64) -> String {
    let (value, unit) =
        if figure.is_share() { (value * 100.0, "%") } else { (value / 1_000.0, "µs") };
    let size = value.abs();
    let digits = match size {
        _ if size == 0.0 => 0,
        _ if size >= 100.0 => 1,
        _ if size >= 0.1 => 3,
        _ => 6,
    };
    format!("{value:.digits$} {unit}")
}

fn signed(of: Figure, value: f64) -> String {
    let sign = if value > 0.0 { "+" } else { "" };
    format!("{sign}{}", figure(of, value))
}

/// A row's verdict in words.
pub(super) fn sentence(row: &Row) -> String {
    let name = row.figure.name();
    let (Some(before), Some(after)) = (row.before, row.after) else {
        return format!("{name} cannot be told: {}", row.reason);
    };
    let [first, second] = [before, after].map(|it| figure(row.figure, it.value));
    if row.figure.is_share() && before.value + after.value == 0.0 {
        let ends = before.upper.zip(after.upper);
        let most = ends.map_or_else(
            || "what a longer run would find cannot be told".to_owned(),
            |(before, after)| format!("{} at most", figure(row.figure, before.max(after))),
        );
        return format!("{name}: none in either, {most}");
    }
    let change = change(row);
    match row.verdict {
        Verdict::Better => format!("{name} is better, {second} after {first}: {change}"),
        Verdict::Worse => format!("{name} is worse, {second} after {first}: {change}"),
        Verdict::NoDifference => {
            format!("{name}: no difference that the data support, {second} after {first}: {change}")
        }
        Verdict::Unknown => {
            format!("{name}: {second} after {first}; what follows cannot be told: {}", row.reason)
        }
        Verdict::FiguresOnly => {
            format!("{name}: {second} after {first}; one value of each run, nothing follows")
        }
    }
}

/// The interval in words: of the ratio, or where there is none of the difference.
fn change(row: &Row) -> String {
    let percent = |ratio: f64| format!("{:+.1} %", (ratio - 1.0) * 100.0);
    if let Some((lower, upper)) = row.ratio.and_then(|it| it.lower.zip(it.upper))
        && upper < 100.0
    {
        return format!("between {} and {}", percent(lower), percent(upper));
    }
    let Some((lower, upper)) = row.difference.and_then(|it| it.lower.zip(it.upper)) else {
        return "no interval".to_owned();
    };
    format!("between {} and {} more", figure(row.figure, lower), figure(row.figure, upper))
}
