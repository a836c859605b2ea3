//! Two results beside each other: what is better, what is worse, and what the data do not tell.
//!
//! A difference of two figures is nothing by itself: two runs of one machine differ, too. So each
//! row has the 95 % interval of the difference and of the ratio, and a verdict that follows from
//! it; where the documents do not say enough for an interval, the row says why and gives the
//! figures alone. What the intervals rest on stands in [`ASSUMPTIONS`]. Rejected: tests that take
//! samples as independent. Of a million cycles they find each difference significant, for cycles of
//! one run are alike. How alike they are is measured instead.
//!
//! | Module | Holds |
//! |---|---|
//! | `sample` | the cycles of one side |
//! | `dispersion` | how much late cycles come in groups, measured |
//! | `interval` | a figure's interval, and that of a difference |
//! | `beside` | facts, settings and findings that differ |
//! | `text` | the comparison for people |

mod beside;
mod dispersion;
mod interval;
mod sample;
mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use interval::Estimate;
pub use text::text;

use super::report::{self, Measure, PROGRAM, Probe, Report, SCHEMA, Series};
use sample::Sample;

/// What the intervals rest on.
pub const ASSUMPTIONS: &[&str] = &[
    "Percentiles and shares are of the cycles as they were owed: one that a stall swallowed counts \
     as late as it was.",
    "Intervals are of 95 %, and of what each run would have found had it gone on as it was. What \
     changes between two runs of one machine (placement of memory, temperature, neighbours) is not \
     in them: repeat both, in turn, to see it.",
    "Samples of a run are not taken as independent: how much late cycles come in groups is \
     measured, over twentieths of the run, or where only their rows are known over neighbouring \
     cycles; a run that was not the same all the time has no interval.",
    "The two runs are taken as independent of each other, and each row stands for itself: of \
     twenty that do not differ, one is expected to look as if it did.",
    "The greatest sample is one value of each run: no interval says where the next one's will be.",
];

/// Two results beside each other: `compare --json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Comparison {
    /// See [`SCHEMA`].
    pub schema: u32,
    /// [`PROGRAM`].
    pub program: String,
    /// The first result.
    pub before: Side,
    /// The second one, of which the verdicts speak.
    pub after: Side,
    /// What makes the two less alike than their figures suggest, and what was left out, a sentence
    /// each.
    pub remarks: Vec<String>,
    /// [`ASSUMPTIONS`].
    pub assumptions: Vec<String>,
    /// The series that both have.
    pub pairs: Vec<Pair>,
    /// Settings of the probes that differ.
    pub settings_differ: Vec<Differing>,
    /// How many are equal.
    pub settings_equal: u64,
    /// Facts of the host that differ.
    pub host_differs: Vec<Differing>,
    /// How many are equal.
    pub host_equal: u64,
    /// What the doctor found on the first side only.
    pub findings_before_only: Vec<String>,
    /// What the doctor found on the second side only.
    pub findings_after_only: Vec<String>,
}

/// Which result.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Side {
    /// When it began.
    pub began: String,
    /// The program's version.
    pub version: String,
    /// The arguments.
    pub command: Vec<String>,
    /// Its own verdict.
    pub verdict: report::Verdict,
    /// Why its figures prove nothing.
    pub invalid: Vec<String>,
}

/// A fact or setting that differs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Differing {
    /// Which.
    pub name: String,
    /// The first side's; null where it has none.
    pub before: Option<String>,
    /// The second side's.
    pub after: Option<String>,
}

/// Two series of the same probe, name and measure.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Pair {
    /// Which probe.
    pub probe: Probe,
    /// What they are of; `all processors` where those of a probe were added up.
    pub name: String,
    /// What the figures are.
    pub measure: Measure,
    /// Planned cycles of the first side that were not lost.
    pub samples_before: u64,
    /// The same of the second side.
    pub samples_after: u64,
    /// Their figures.
    pub rows: Vec<Row>,
}

/// One figure of both sides.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Which.
    pub figure: Figure,
    /// The first side's, in ns or a share of planned cycles; null where it has none.
    pub before: Option<Estimate>,
    /// The second side's.
    pub after: Option<Estimate>,
    /// What the second is more than the first.
    pub difference: Option<Estimate>,
    /// How many times the first it is; null where one is zero.
    pub ratio: Option<Estimate>,
    /// What the data support.
    pub verdict: Verdict,
    /// Why nothing can be said; empty where something can.
    pub reason: String,
    /// The verdict in words.
    pub sentence: String,
}

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// The middle cycle.
    P50Ns,
    /// 99 % are no later.
    P99Ns,
    /// 99.9 %.
    P999Ns,
    /// 99.99 %.
    P9999Ns,
    /// The latest.
    MaxNs,
    /// Planned cycles that were late by more than a period, or never ran.
    LateShare,
    /// Planned cycles of which nothing came.
    LostShare,
}

/// What the data support, at 95 %.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The second side is less late.
    Better,
    /// It is later.
    Worse,
    /// Neither can be said: the interval holds both.
    NoDifference,
    /// There is no interval; the reason says why.
    Unknown,
    /// One value of each run: figures, and nothing follows.
    FiguresOnly,
}

/// Why two results cannot be compared.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CompareError {
    /// No series of the one is in the other.
    #[error(
        "nothing in common: the first has {before}; the second has {after}; measure both with the \
         same probe on processors, LANs or stages of the same names"
    )]
    NothingInCommon {
        /// The series of the first.
        before: String,
        /// The series of the second.
        after: String,
    },
}

/// What makes two series the same: the number counts those of the same name.
type Key = (Probe, &'static str, String, usize);

/// Compares the second result with the first. Pure; takes up to some tenths of a second.
///
/// # Errors
/// See [`CompareError`].
pub fn compare(before: &Report, after: &Report) -> Result<Comparison, CompareError> {
    let (mine, theirs) = (keyed(before), keyed(after));
    let invalid = whose(before, after, |it| !it.invalid.is_empty());
    let mut pairs = Vec::new();
    for (key, first) in &mine {
        let Some(second) = theirs.get(key) else { continue };
        let number = if key.3 == 0 { String::new() } else { format!(" ({})", key.3 + 1) };
        let name = format!("{}{number}", key.2);
        let sides = [vec![*first], vec![*second]];
        pairs.push(pair(key.0, name, first.measure, sides, invalid));
    }
    for probe in [Probe::Wakeup, Probe::Heartbeat, Probe::Shm, Probe::Wire] {
        let sides = [&mine, &theirs].map(|it| processors(it, probe));
        if sides.iter().all(|parts| !parts.is_empty()) && sides.iter().any(|it| it.len() > 1) {
            let name = "all processors".to_owned();
            pairs.push(pair(probe, name, Measure::Lateness, sides, invalid));
        }
    }
    if pairs.is_empty() {
        let [before, after] = [names(&mine), names(&theirs)];
        return Err(CompareError::NothingInCommon { before, after });
    }
    let (settings_differ, settings_equal) = beside::settings(before, after);
    let (host_differs, host_equal) = beside::facts(&before.host, &after.host);
    let [findings_before_only, findings_after_only] = beside::findings(before, after);
    Ok(Comparison {
        schema: SCHEMA,
        program: PROGRAM.to_owned(),
        before: side(before),
        after: side(after),
        remarks: remarks(before, after, &mine, &theirs),
        assumptions: ASSUMPTIONS.iter().map(|it| (*it).to_owned()).collect(),
        pairs,
        settings_differ,
        settings_equal,
        host_differs,
        host_equal,
        findings_before_only,
        findings_after_only,
    })
}

fn side(report: &Report) -> Side {
    Side {
        began: report.began.clone(),
        version: report.version.clone(),
        command: report.command.clone(),
        verdict: report.verdict,
        invalid: report.invalid.clone(),
    }
}

/// Of which results something holds: the beginning of a sentence.
fn whose(before: &Report, after: &Report, is_so: fn(&Report) -> bool) -> Option<&'static str> {
    match (is_so(before), is_so(after)) {
        (true, true) => Some("both results are"),
        (true, false) => Some("the first result is"),
        (false, true) => Some("the second result is"),
        (false, false) => None,
    }
}

fn keyed(report: &Report) -> BTreeMap<Key, &Series> {
    let mut keyed = BTreeMap::new();
    let mut times: BTreeMap<(Probe, &str, &str), usize> = BTreeMap::new();
    for (probe, series) in report.series() {
        let measure = measure_name(series.measure);
        let number = times.entry((probe, measure, &series.name)).or_default();
        keyed.insert((probe, measure, series.name.clone(), *number), series);
        *number += 1;
    }
    keyed
}

const fn measure_name(measure: Measure) -> &'static str {
    match measure {
        Measure::Lateness => "lateness",
        Measure::RoundTrip => "round trip",
        Measure::Span => "span",
    }
}

/// A probe's series that are each of a processor.
fn processors<'a>(keyed: &BTreeMap<Key, &'a Series>, probe: Probe) -> Vec<&'a Series> {
    let is_one = |key: &Key, series: &Series| {
        key.0 == probe && series.measure == Measure::Lateness && key.2.starts_with("cpu ")
    };
    keyed.iter().filter(|(key, series)| is_one(key, series)).map(|(_, series)| *series).collect()
}

fn names(keyed: &BTreeMap<Key, &Series>) -> String {
    if keyed.is_empty() {
        return "no series".to_owned();
    }
    let all: Vec<String> =
        keyed.keys().map(|key| format!("{} {:?} ({})", key.0.name(), key.2, key.1)).collect();
    let more = all.len().saturating_sub(8);
    let shown = all.into_iter().take(8).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// What makes two results less alike than their figures suggest.
fn remarks(
    before: &Report,
    after: &Report,
    mine: &BTreeMap<Key, &Series>,
    theirs: &BTreeMap<Key, &Series>,
) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(whose) = whose(before, after, |it| !it.invalid.is_empty()) {
        remarks.push(format!("{whose} invalid: the figures stand side by side, nothing follows"));
    }
    for run in &before.runs {
        let Some(other) = after.runs.iter().find(|it| it.probe == run.probe) else { continue };
        let probe = run.probe.name();
        let [every, other_every] = [run, other].map(|it| it.settings.interval_ns / 1_000);
        if every != other_every {
            remarks.push(format!(
                "{probe}: cycles of {every} µs and of {other_every} µs; a processor that sleeps \
                 longer wakes later, and a stall swallows other numbers of cycles"
            ));
        }
        let [lasted, other_lasted] = [run, other].map(|it| it.duration_ns);
        if lasted / 2 > other_lasted || other_lasted / 2 > lasted {
            let [lasted, other_lasted] = [lasted, other_lasted].map(tools::cli::text::span);
            remarks.push(format!(
                "{probe}: {lasted} and {other_lasted} long; the greatest sample of a longer run is \
                 greater by its length alone"
            ));
        }
    }
    for (which, these, those) in [("first", mine, theirs), ("second", theirs, mine)] {
        let only: BTreeMap<Key, &Series> = these
            .iter()
            .filter(|(key, _)| !those.contains_key(*key))
            .map(|(key, series)| (key.clone(), *series))
            .collect();
        if !only.is_empty() {
            remarks.push(format!("only the {which} has {}", names(&only)));
        }
    }
    remarks
}

fn pair(
    probe: Probe,
    name: String,
    measure: Measure,
    sides: [Vec<&Series>; 2],
    invalid: Option<&str>,
) -> Pair {
    let sides = sides.map(Sample::new);
    let figures = [
        (Figure::P50Ns, 500_000),
        (Figure::P99Ns, 10_000),
        (Figure::P999Ns, 1_000),
        (Figure::P9999Ns, 100),
    ];
    let mut rows: Vec<Row> =
        figures.iter().map(|(figure, parts)| percentile(*figure, *parts, &sides)).collect();
    rows.push(greatest(&sides));
    rows.push(share(Figure::LateShare, &sides));
    rows.push(share(Figure::LostShare, &sides));
    if let Some(whose) = invalid {
        for row in rows.iter_mut().filter(|row| row.verdict != Verdict::FiguresOnly) {
            row.verdict = Verdict::Unknown;
            row.reason = format!("{whose} invalid");
        }
    }
    for row in &mut rows {
        row.sentence = text::sentence(row);
    }
    let [samples_before, samples_after] = [&sides[0], &sides[1]].map(|it| it.count);
    Pair { probe, name, measure, samples_before, samples_after, rows }
}

fn percentile(figure: Figure, parts: u64, sides: &[Sample<'_>; 2]) -> Row {
    let [before, after] = [&sides[0], &sides[1]].map(|it| interval::percentile(it, parts));
    let reason = |which: &str, found: &Result<(Estimate, Option<String>), String>| match found {
        Ok((_, None)) => None,
        Ok((_, Some(why))) | Err(why) => Some(format!("{which}: {why}")),
    };
    let reasons = [reason("first", &before), reason("second", &after)];
    let [before, after] = [before, after].map(|it| it.ok().map(|(estimate, _)| estimate));
    row(figure, before, after, reasons)
}

fn greatest(sides: &[Sample<'_>; 2]) -> Row {
    let [before, after] =
        [&sides[0], &sides[1]].map(|it| it.max_ns.map(|max| Estimate::bare(max as f64)));
    let mut row = row(Figure::MaxNs, before, after, [None, None]);
    row.verdict = Verdict::FiguresOnly;
    row
}

fn share(figure: Figure, sides: &[Sample<'_>; 2]) -> Row {
    let all = [&sides[0], &sides[1]].map(|sample| {
        let sum = |of: fn(&Series) -> u64| {
            sample.parts.iter().map(|part| of(part)).fold(0, u64::saturating_add)
        };
        if figure == Figure::LostShare {
            (sum(|part| part.counts.lost), dispersion::of_lost(sample))
        } else {
            let late = |part: &Series| part.counts.late.saturating_add(part.counts.swallowed);
            (sum(late), dispersion::of_late(sample))
        }
    });
    // Where one side has next to none, how they come is known from the other one only.
    let known = all.iter().filter_map(|(_, found)| found.as_ref().ok()).copied();
    let dispersion = known.fold(1.0, f64::max);
    let mut reasons = [None, None];
    let mut estimates = [None, None];
    for (at, (events, found)) in all.into_iter().enumerate() {
        let cycles = sides[at].cycles();
        if cycles == 0 {
            reasons[at] = Some("no cycles".to_owned());
            continue;
        }
        let estimate = interval::share(events.min(cycles), cycles, dispersion);
        estimates[at] = Some(match found {
            Ok(_) => estimate,
            Err(why) => {
                let which = ["first", "second"][at];
                reasons[at] = Some(format!("{which}: {why}"));
                Estimate::bare(estimate.value)
            }
        });
    }
    let [before, after] = estimates;
    row(figure, before, after, reasons)
}

fn row(
    figure: Figure,
    before: Option<Estimate>,
    after: Option<Estimate>,
    reasons: [Option<String>; 2],
) -> Row {
    let both = before.zip(after);
    let difference = both.map(|(before, after)| interval::difference(&before, &after));
    let ratio = both.and_then(|(before, after)| interval::ratio(&before, &after));
    let verdict = match difference.and_then(|it| it.lower.zip(it.upper)) {
        Some((lower, _)) if lower > 0.0 => Verdict::Worse,
        Some((_, upper)) if upper < 0.0 => Verdict::Better,
        Some(_) => Verdict::NoDifference,
        None => Verdict::Unknown,
    };
    let reason = reasons.into_iter().flatten().collect::<Vec<_>>().join("; ");
    Row { figure, before, after, difference, ratio, verdict, reason, sentence: String::new() }
}
