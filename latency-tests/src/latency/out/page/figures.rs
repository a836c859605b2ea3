//! Gates and series as tables.

use super::super::super::report::{Distribution, Report, Run, Series};
use super::super::picture::bound;
use super::super::picture::chart::differs;
use super::super::picture::units::{Unit, figure, in_unit, short, time};
use super::markup::{Row, table};

const NONE: &str = "–";

/// The bounds that were given.
pub(super) fn gates(out: &mut String, report: &Report) {
    if report.gates.is_empty() {
        return;
    }
    out.push_str("<h3>Bounds</h3>\n");
    let heads =
        [("bound", true), ("at most", false), ("found", false), ("where", true), ("", true)];
    let rows = report.gates.iter().map(|gate| -> Row {
        let (what, unit) = bound(&gate.name);
        let of = |value: f64| {
            if value.is_finite() { format!("{}{unit}", figure(value)) } else { NONE.to_owned() }
        };
        let kept = if gate.exceeded { "exceeded" } else { "kept" };
        let found = gate.found.map_or_else(|| "nothing".to_owned(), of);
        (true, vec![what.to_owned(), of(gate.limit), found, gate.series.clone(), kept.to_owned()])
    });
    let rows: Vec<Row> = rows.collect();
    let bad = |row: usize, column: usize| {
        column == 4 && report.gates.get(row).is_some_and(|gate| gate.exceeded)
    };
    table(out, "", &heads, &rows, bad);
}

/// The series of a run: what was counted, and how late it was in both ways of counting.
pub(super) fn series(out: &mut String, run: &Run) {
    counts(out, run);
    times(out, run);
}

fn counts(out: &mut String, run: &Run) {
    let heads = [
        ("series", true),
        ("samples", false),
        ("lost", false),
        ("late", false),
        ("swallowed", false),
        ("left out", false),
        ("early", false),
        ("repeated", false),
        ("overflow", false),
        ("period", false),
    ];
    let row = |series: &Series| -> Row {
        let it = &series.counts;
        let counted = [
            series.seen.samples,
            it.lost,
            it.late,
            it.swallowed,
            it.skipped,
            it.early,
            it.repeated,
            series.seen.overflow,
        ];
        let mut cells = vec![series.name.clone()];
        cells.extend(counted.map(short));
        cells.push(time(series.period_ns as f64));
        (true, cells)
    };
    let rows: Vec<Row> = run.series.iter().map(row).collect();
    let bad = |at: usize, column: usize| {
        let cell = rows.get(at).and_then(|(_, cells)| cells.get(column));
        [2, 6, 7, 8].contains(&column) && cell.is_some_and(|cell| cell != "0")
    };
    let caption = "What was counted. Late: by more than a period. Swallowed: passed while an \
                   earlier one was late. Overflow: above the recorder's bound.";
    table(out, caption, &heads, &rows, bad);
}

fn times(out: &mut String, run: &Run) {
    let views = || run.series.iter().flat_map(|it| [&it.seen, &it.owed]);
    let typical = views().filter_map(|it| it.p50_ns).max().unwrap_or(0) as f64;
    let unit = match typical {
        it if it < 1e4 && views().all(|view| view.max_ns.unwrap_or(0) < 1_000_000) => {
            Unit::of(it.max(1e3))
        }
        it if it < 1e7 => Unit::Microseconds,
        it if it < 1e10 => Unit::Milliseconds,
        _ => Unit::Seconds,
    };
    let heads = [
        ("series", true),
        ("view", true),
        ("min", false),
        ("mean", false),
        ("50 %", false),
        ("90 %", false),
        ("99 %", false),
        ("99.9 %", false),
        ("99.99 %", false),
        ("99.999 %", false),
        ("max", false),
        ("max at", false),
    ];
    let mut rows: Vec<Row> = Vec::new();
    for series in &run.series {
        let views: &[(&Distribution, &str)] = if differs(series) {
            &[(&series.seen, "seen"), (&series.owed, "owed")]
        } else {
            &[(&series.owed, "both")]
        };
        for (at, (view, name)) in views.iter().enumerate() {
            let first = at == 0;
            let mut cells = vec![if first { series.name.clone() } else { String::new() }];
            cells.push((*name).to_owned());
            cells.extend(figures(view, unit));
            rows.push((first, cells));
        }
    }
    let caption = format!(
        "Times in {}. Seen: the samples as they came, as cyclictest counts. Owed: with each cycle \
         that a late one swallowed, as late as it was. Both: no cycle was swallowed. {}",
        unit.name(),
        "A part of all samples is a figure only where there are samples enough to have some above."
    );
    table(out, &caption, &heads, &rows, |_, _| false);
}

fn figures(view: &Distribution, unit: Unit) -> Vec<String> {
    let cell = |ns: Option<f64>| ns.map_or_else(|| NONE.to_owned(), |ns| in_unit(ns, unit));
    let whole = |ns: Option<u64>| cell(ns.map(|ns| ns as f64));
    let mean = view.mean_ns.filter(|it| it.is_finite());
    let mut cells = vec![whole(view.min_ns), cell(mean)];
    // The part of all samples above, as one of so many.
    let parts = [
        (view.p50_ns, 2),
        (view.p90_ns, 10),
        (view.p99_ns, 100),
        (view.p999_ns, 1_000),
        (view.p9999_ns, 10_000),
        (view.p99999_ns, 100_000),
    ];
    let known = |(ns, least): (Option<u64>, u64)| whole(ns.filter(|_| view.samples >= least));
    cells.extend(parts.map(known));
    cells.push(whole(view.max_ns));
    cells.push(view.max_at_ns.map_or_else(|| NONE.to_owned(), |ns| time(ns as f64)));
    cells
}
