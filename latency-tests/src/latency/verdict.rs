//! What follows from a result: whether it proves anything, and whether it keeps the bounds given.
//!
//! A run that was disturbed, or was not what a real-time thread is, proves nothing, whatever it
//! found: *invalid* comes before *exceeded*, and neither is ever a pass. What has to be known to
//! judge the figures without spoiling them (a hypervisor, a kernel that is not PREEMPT_RT) is a
//! *caution*. Pure.

use std::collections::BTreeMap;

use tools::exit::ExitCode;
use tools::report::doctor::FindingRow;

use super::options::Gates;
use super::report::{Counts, Gate, Probe, Report, Run, Series, Verdict};

/// Samples below which 99.99 % is the greatest one.
const SAMPLES_FOR_P9999: u64 = 10_000;

impl Verdict {
    /// How the program ends.
    #[must_use]
    pub const fn exit_code(self) -> ExitCode {
        match self {
            Self::Pass => ExitCode::Fine,
            Self::Exceeded => ExitCode::Failed,
            Self::Invalid => ExitCode::Invalid,
        }
    }

    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Exceeded => "exceeded",
            Self::Invalid => "invalid",
        }
    }
}

/// Fills in gates, cautions, reasons and verdict of a result.
pub fn judge(report: &mut Report, gates: &Gates) {
    report.gates = self::gates(report, gates);
    let has_gates = !report.gates.is_empty();
    report.invalid.extend(report.runs.iter().flat_map(|run| reasons(run, has_gates)));
    report.cautions.extend(cautions(report));
    let exceeded = report.gates.iter().any(|gate| gate.exceeded);
    report.verdict = match (report.invalid.is_empty(), exceeded) {
        (false, _) => Verdict::Invalid,
        (true, true) => Verdict::Exceeded,
        (true, false) => Verdict::Pass,
    };
}

/// How the result stands to each bound that was given.
fn gates(report: &Report, asked: &Gates) -> Vec<Gate> {
    let us = |ns: u64| ns as f64 / 1e3;
    let of_max = |it: &Series| it.owed.max_ns.max(it.seen.max_ns).map(us);
    let of_p9999 = |it: &Series| it.owed.p9999_ns.map(us);
    let of_lost = |it: &Series| Some(it.counts.lost as f64);
    let max = asked.max_us.map(|limit| gate(report, "max_us", limit, of_max));
    let p9999 = asked.p9999_us.map(|limit| gate(report, "p9999_us", limit, of_p9999));
    let lost = asked.max_lost.map(|limit| gate(report, "max_lost", limit as f64, of_lost));
    [max, p9999, lost].into_iter().flatten().collect()
}

/// One of them: the worst series decides, and one without a sample has kept no bound.
fn gate(report: &Report, name: &str, limit: f64, of: impl Fn(&Series) -> Option<f64>) -> Gate {
    let rank = |found: Option<f64>| found.unwrap_or(f64::INFINITY);
    let worst = report
        .series()
        .map(|(probe, series)| (of(series), format!("{}: {}", probe.name(), series.name)))
        .max_by(|(a, _), (b, _)| rank(*a).total_cmp(&rank(*b)));
    let (found, series) = worst.unwrap_or_default();
    let exceeded = found.is_none_or(|found| found > limit);
    Gate { name: name.to_owned(), limit, found, series, exceeded }
}

/// Why a run proves nothing.
fn reasons(run: &Run, has_gates: bool) -> Vec<String> {
    let mut found = Vec::new();
    let probe = run.probe.name();
    if run.settings.policy == "SCHED_OTHER" {
        found.push(format!(
            "{probe}: SCHED_OTHER was asked for: what an ordinary thread finds is no bound for a \
             real-time one (--priority)"
        ));
    }
    if !run.settings.memory_locked {
        found.push(format!("{probe}: memory was not locked: any access may wait for a disk"));
    }
    if run.suspended_ns > 0 {
        let ms = run.suspended_ns / 1_000_000;
        found.push(format!("{probe}: the machine slept for {ms} ms meanwhile"));
    }
    if run.ended_early && has_gates {
        let s = |ns: u64| ns as f64 / 1e9;
        let (was, planned) = (s(run.duration_ns), s(run.planned_ns));
        found.push(format!(
            "{probe}: it was ended after {was:.1} of {planned:.1} s: the bounds were given for all"
        ));
    }
    if run.series.is_empty() {
        found.push(format!("{probe}: nothing was measured"));
    }
    found.extend(run.environment.disturbances(run.duration_ns));
    found.extend(run.series.iter().flat_map(|series| defects(run.probe, series)));
    found
}

/// Why a series proves nothing.
fn defects(probe: Probe, series: &Series) -> Vec<String> {
    let mut found = Vec::new();
    let name = format!("{}: {}", probe.name(), series.name);
    if let Some(thread) = &series.thread {
        found.extend(thread.shortfalls.iter().map(|it| format!("{name}: {it}")));
        if thread.page_faults > 0 {
            let faults = thread.page_faults;
            found.push(format!("{name}: {faults} page faults while it measured"));
        }
    }
    if series.seen.samples == 0 && series.counts.lost == 0 {
        found.push(format!("{name}: no sample"));
    }
    let Counts { early, skipped, repeated, .. } = series.counts;
    if early > 0 {
        found.push(format!("{name}: woken {early} times before the planned instant: the clock"));
    }
    if skipped > 0 {
        found.push(format!("{name}: {skipped} planned cycles are not accounted for"));
    }
    // An answer may come twice; a thread cannot.
    if repeated > 0 && probe == Probe::Wakeup {
        found.push(format!("{name}: {repeated} cycles were counted twice"));
    }
    found
}

/// What has to be known to judge the figures.
fn cautions(report: &Report) -> Vec<String> {
    let mut found = Vec::new();
    let fact = |name: &str| report.host.get(name).map_or("", String::as_str);
    if fact("preemption") == "not PREEMPT_RT" {
        found.push(format!(
            "the kernel ({}) is not PREEMPT_RT: no figure bounds what it may do next",
            fact("kernel")
        ));
    }
    if !matches!(fact("hypervisor"), "" | "none") {
        found.push(format!(
            "a guest of a hypervisor ({}): it may be stopped unseen, longer than was found",
            fact("hypervisor")
        ));
    }
    found.extend(doctors(&report.findings));
    for run in &report.runs {
        found.extend(run.environment.cautions(run.duration_ns));
        if run.ended_early && report.gates.is_empty() {
            found.push(format!("{}: it was ended before its time", run.probe.name()));
        }
    }
    let too_few = |it: &Series| it.owed.samples < SAMPLES_FOR_P9999;
    let asks_p9999 = report.gates.iter().any(|gate| gate.name == "p9999_us");
    if asks_p9999 && report.series().any(|(_, it)| too_few(it)) {
        found.push(format!(
            "99.99 % of less than {SAMPLES_FOR_P9999} cycles is the latest of them: measure longer"
        ));
    }
    found
}

/// What the doctor says, in a sentence; the findings stand in the document.
fn doctors(findings: &[FindingRow]) -> Option<String> {
    let mut levels = BTreeMap::<&str, Vec<&str>>::new();
    for it in findings.iter().filter(|it| matches!(it.level.as_str(), "problem" | "warning")) {
        levels.entry(&it.level).or_default().push(&it.id);
    }
    let told: Vec<String> = levels
        .iter_mut()
        .map(|(level, ids)| {
            ids.dedup();
            format!("{level}s: {}", ids.join(", "))
        })
        .collect();
    (!told.is_empty()).then(|| format!("bumpless doctor finds {}", told.join("; ")))
}
