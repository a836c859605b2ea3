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
use super::report::{Counts, Gate, Measure, Probe, Report, Run, Series, Verdict};

/// The name of the gate of `--breaktrace`, which ends a run by itself.
pub(super) const BREAKTRACE: &str = "breaktrace";
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
}

/// Fills in gates, cautions, reasons and verdict of a result.
pub fn judge(report: &mut Report, gates: &Gates) {
    report.gates.extend(self::gates(report, gates));
    report.invalid.extend(reasons_of(report));
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
    let of_p9999 = |it: &Series| p9999_of_cycles_ns(it).map(us);
    let of_lost = |it: &Series| Some(it.counts.lost as f64);
    let max = asked.max_us.map(|limit| gate(report, "max_us", limit, of_max));
    let p9999 = asked.p9999_us.map(|limit| gate(report, "p9999_us", limit, of_p9999));
    let lost = asked.max_lost.map(|limit| gate(report, "max_lost", limit as f64, of_lost));
    [max, p9999, lost].into_iter().flatten().collect()
}

/// What 99.99 % of the cycles keep, where a lost one is later than any bound; none where so many
/// are lost that they do not.
fn p9999_of_cycles_ns(series: &Series) -> Option<u64> {
    if series.counts.lost == 0 {
        return series.owed.p9999_ns;
    }
    let rank = (u128::from(series.cycles()) * 9_999).div_ceil(10_000);
    let mut up_to_here = 0u128;
    let bucket = series.owed.histogram.iter().find(|bucket| {
        up_to_here += u128::from(bucket.count);
        up_to_here >= rank
    })?;
    Some(series.owed.max_ns.map_or(bucket.highest_ns, |max| max.min(bucket.highest_ns)))
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

/// Why a result proves nothing, as its figures and settings say, whatever its own verdict is. The
/// bounds are those that it has.
#[must_use]
pub fn reasons_of(report: &Report) -> Vec<String> {
    let for_all = bounds_all(report);
    report.runs.iter().flat_map(|run| reasons(run, for_all)).collect()
}

/// Whether a bound was given for a run as a whole. `--breaktrace` is none: it is kept up to the
/// sample that ends the run, and says nothing of what was planned behind it.
fn bounds_all(report: &Report) -> bool {
    report.gates.iter().any(|gate| gate.name != BREAKTRACE)
}

/// Why a run proves nothing.
fn reasons(run: &Run, for_all: bool) -> Vec<String> {
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
    if run.ended_early && for_all {
        let s = |ns: u64| ns as f64 / 1e9;
        let (was, planned) = (s(run.duration_ns), s(run.planned_ns));
        found.push(format!(
            "{probe}: it was ended after {was:.1} of {planned:.1} s: the bounds were given for all"
        ));
    }
    if run.series.is_empty() {
        found.push(format!("{probe}: nothing was measured"));
    }
    let disturbances = run.environment.disturbances(run.duration_ns).into_iter();
    found.extend(disturbances.map(|it| format!("{probe}: {it}")));
    found.extend(run.series.iter().flat_map(|series| defects(run, series)));
    found
}

/// Why a series proves nothing.
fn defects(run: &Run, series: &Series) -> Vec<String> {
    let mut found = Vec::new();
    let probe = run.probe;
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
    if skipped > never_left(run, series) {
        found.push(format!("{name}: {skipped} planned cycles are not accounted for"));
    }
    // An answer may come twice; a thread cannot.
    if repeated > 0 && probe == Probe::Wakeup {
        found.push(format!("{name}: {repeated} cycles were counted twice"));
    }
    found
}

/// Cycles of which a series knows nothing, because the thread that sends was too late for them: the
/// lateness of that thread tells them as swallowed.
fn never_left(run: &Run, series: &Series) -> u64 {
    let sends = matches!(run.probe, Probe::Heartbeat | Probe::Wire);
    let lateness = run.series.iter().filter(|it| it.measure == Measure::Lateness);
    if sends && series.measure != Measure::Lateness {
        lateness.map(|it| it.counts.swallowed).sum()
    } else {
        0
    }
}

/// That a good part of what was to be sent never was: it is lost to who waits for it, and stands in
/// the lateness of the sender alone.
fn never_sent(probe: Probe, series: &Series) -> Option<String> {
    let sends = matches!(probe, Probe::Heartbeat | Probe::Wire);
    let (swallowed, all) = (series.counts.swallowed, series.cycles());
    let is_much = sends && series.measure == Measure::Lateness && swallowed > all / 100;
    is_much.then(|| {
        format!(
            "{}: {swallowed} of {all} were never sent, because the sender was late: they are in \
             no round trip, and not among the lost",
            probe.name()
        )
    })
}

/// What has to be known to judge the figures.
fn cautions(report: &Report) -> Vec<String> {
    let (mut found, for_all) = (Vec::new(), bounds_all(report));
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
        let probe = run.probe.name();
        let cautions = run.environment.cautions(run.duration_ns).into_iter();
        found.extend(cautions.map(|it| format!("{probe}: {it}")));
        found.extend(run.series.iter().filter_map(|it| never_sent(run.probe, it)));
        if let Some(link) = run.settings.more.get("link") {
            found.push(format!("{probe}: the link is {link}: no figure is one of a LAN"));
        }
        if run.ended_early && !for_all {
            found.push(format!("{probe}: it was ended before its time"));
        }
    }
    let lost: u64 = report.series().map(|(_, it)| it.counts.lost).max().unwrap_or(0);
    let bounds_lost = report.gates.iter().any(|gate| gate.name == "max_lost");
    if lost > 0 && for_all && !bounds_lost {
        found.push(format!("{lost} were lost and are in no figure: --max-lost bounds them"));
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use rt_core::os::recorder::{Plan, Recorder};
    use rt_core::time::{Duration, Instant};

    use super::super::environment::{CpuEnvironment, Environment};
    use super::super::report::{Settings, ThreadFacts};
    use super::*;

    const NO_GATES: Gates = Gates { max_us: None, p9999_us: None, max_lost: None };

    /// A series of 1 ms whose cycles were so late, in µs.
    fn series(name: &str, late_us: &[u64]) -> Series {
        let begin = Instant::from_nanos(1_000_000_000);
        let mut recorder = Recorder::new(Plan::new(begin, Duration::from_millis(1))).unwrap();
        let mut planned = begin;
        for &late in late_us {
            planned = recorder.record(planned, planned + Duration::from_micros(late)).next;
        }
        Series::new(name, Measure::Lateness, &recorder.finish())
    }

    /// A result that is valid.
    fn report(series: Vec<Series>) -> Report {
        let settings = Settings {
            policy: "SCHED_FIFO".to_owned(),
            priority: 80,
            memory_locked: true,
            ..Settings::default()
        };
        let run = Run {
            probe: Probe::Wakeup,
            settings,
            planned_ns: 10_000_000_000,
            duration_ns: 10_000_000_000,
            ended_early: false,
            suspended_ns: 0,
            environment: Environment::default(),
            series,
        };
        Report { runs: vec![run], ..Report::new("2026-11-22T12:00:00Z".to_owned()) }
    }

    fn judged(mut report: Report, gates: &Gates) -> Report {
        judge(&mut report, gates);
        report
    }

    #[test]
    fn a_bound_is_kept_by_the_worst_series_or_not_at_all() {
        let both = || report(vec![series("cpu 0", &[9; 10]), series("cpu 1", &[1, 70, 2])]);
        for (limit, verdict) in [(70.0, Verdict::Pass), (69.999, Verdict::Exceeded)] {
            let it = judged(both(), &Gates { max_us: Some(limit), ..NO_GATES });
            assert_eq!(it.verdict, verdict, "{:?}", it.gates);
            assert_eq!((it.gates[0].found, &*it.gates[0].series), (Some(70.0), "wakeup: cpu 1"));
        }
    }

    #[test]
    fn a_stall_counts_for_each_cycle_that_it_swallowed() {
        // One sample in 10,001 as they came; of the planned ones twenty are late.
        let mut late = vec![5; 10_000];
        late.push(20_000);
        let it = judged(
            report(vec![series("cpu 0", &late)]),
            &Gates { p9999_us: Some(1_000.0), ..NO_GATES },
        );
        assert_eq!(it.verdict, Verdict::Exceeded);
        assert!(it.runs[0].series[0].seen.p9999_ns.unwrap() < 10_000);
        assert!(it.gates[0].found.unwrap() > 18_000.0, "{:?}", it.gates);
    }

    #[test]
    fn a_series_without_a_sample_keeps_no_bound_and_proves_nothing() {
        let it =
            judged(report(vec![series("cpu 0", &[])]), &Gates { max_us: Some(1e9), ..NO_GATES });
        assert_eq!((it.gates[0].found, it.gates[0].exceeded), (None, true));
        assert_eq!(
            (it.verdict, &*it.invalid),
            (Verdict::Invalid, &["wakeup: cpu 0: no sample".to_owned()][..])
        );
        let nothing = judged(report(Vec::new()), &NO_GATES);
        assert_eq!(nothing.invalid, ["wakeup: nothing was measured"]);
    }

    #[test]
    fn each_thing_that_spoils_a_run_makes_it_invalid_even_where_a_bound_is_exceeded() {
        type Spoil = fn(&mut Run);
        let spoil: [(&str, Spoil); 11] = [
            ("SCHED_OTHER was asked for", |it| it.settings.policy = "SCHED_OTHER".to_owned()),
            ("memory was not locked", |it| it.settings.memory_locked = false),
            ("slept for 3 ms", |it| it.suspended_ns = 3_000_000),
            ("ended after 2.0 of 10.0 s", |it| {
                (it.ended_early, it.duration_ns) = (true, 2_000_000_000);
            }),
            ("7 page faults", |it| it.series[0].thread.as_mut().unwrap().page_faults = 7),
            ("no CAP", |it| {
                it.series[0].thread.as_mut().unwrap().shortfalls.push("no CAP".to_owned());
            }),
            ("woken 2 times before", |it| it.series[0].counts.early = 2),
            ("4 planned cycles are not", |it| it.series[0].counts.skipped = 4),
            ("5 cycles were counted twice", |it| it.series[0].counts.repeated = 5),
            ("took CPU 3 away for 20 ms", |it| it.environment.cpus[0].steal_ns = Some(20_000_000)),
            ("1 system management", |it| it.environment.cpus[0].smi_count = Some(1)),
        ];
        let good = || {
            let mut it = report(vec![series("cpu 3", &[9; 20])]);
            it.runs[0].series[0].thread = Some(ThreadFacts {
                name: "wakeup/3".to_owned(),
                policy: "SCHED_FIFO".to_owned(),
                priority: 80,
                cpus: vec![3],
                shortfalls: Vec::new(),
                preemptions: 1,
                page_faults: 0,
            });
            it.runs[0].environment.cpus = vec![CpuEnvironment { cpu: 3, ..Default::default() }];
            it
        };
        let gates = Gates { max_us: Some(1.0), ..NO_GATES };
        assert_eq!(judged(good(), &gates).verdict, Verdict::Exceeded);
        for (reason, spoil) in spoil {
            let mut it = good();
            spoil(&mut it.runs[0]);
            let it = judged(it, &gates);
            assert_eq!((it.verdict, it.invalid.len()), (Verdict::Invalid, 1), "{reason}");
            assert!(it.invalid[0].contains(reason), "{:?}", it.invalid);
        }
    }

    #[test]
    fn what_does_not_spoil_the_figures_is_told_beside_them() {
        let mut it = report(vec![series("cpu 0", &[9; 20])]);
        for (name, value) in
            [("preemption", "not PREEMPT_RT"), ("kernel", "6.1"), ("hypervisor", "QEMU")]
        {
            it.host.insert(name.to_owned(), value.to_owned());
        }
        let finding = |id: &str, level: &str| FindingRow {
            id: id.to_owned(),
            subject: String::new(),
            level: level.to_owned(),
            seen: String::new(),
            consequence: String::new(),
            remedies: Vec::new(),
            fixable_now: false,
        };
        it.findings = vec![finding("a", "problem"), finding("b", "warning"), finding("c", "note")];
        it.runs[0].ended_early = true;
        let it = judged(it, &NO_GATES);
        assert_eq!(it.verdict, Verdict::Pass);
        let begins = [
            "the kernel (6.1) is not PREEMPT_RT",
            "a guest of a hypervisor (QEMU)",
            "bumpless doctor finds problems: a; warnings: b",
            "wakeup: it was ended before its time",
        ];
        assert_eq!(it.cautions.len(), begins.len(), "{:?}", it.cautions);
        for (said, begin) in it.cautions.iter().zip(begins) {
            assert!(said.starts_with(begin), "{said}");
        }
    }

    #[test]
    fn what_ends_a_run_by_itself_bounds_no_run_that_was_ended() {
        let ended = || {
            let mut it = report(vec![series("cpu 0", &[9; 20])]);
            (it.runs[0].ended_early, it.runs[0].duration_ns) = (true, 2_000_000_000);
            it.gates = vec![gate(&it, BREAKTRACE, 100.0, |_| Some(9.0))];
            it
        };
        let is_told = |it: &Report| it.cautions == ["wakeup: it was ended before its time"];
        let alone = judged(ended(), &NO_GATES);
        assert_eq!((alone.verdict, reasons_of(&alone)), (Verdict::Pass, Vec::new()));
        assert!(is_told(&alone), "{:?}", alone.cautions);
        let bounded = judged(ended(), &Gates { max_us: Some(100.0), ..NO_GATES });
        assert_eq!((bounded.verdict, bounded.gates.len()), (Verdict::Invalid, 2));
        assert_eq!(reasons_of(&bounded), bounded.invalid);
        assert!(!is_told(&bounded), "{:?}", bounded.cautions);
    }

    #[test]
    fn what_is_lost_keeps_no_bound() {
        // Of 30,000 cycles three may be worse.
        for (lost, found, verdict) in [
            (0, Some(9.0), Verdict::Pass),
            (3, Some(9.0), Verdict::Pass),
            (4, None, Verdict::Exceeded),
        ] {
            let mut it = series("lan a", &vec![9; 30_000 - lost]);
            it.counts.lost = lost as u64;
            let gates = Gates { p9999_us: Some(100.0), max_us: Some(100.0), ..NO_GATES };
            let it = judged(report(vec![it]), &gates);
            assert_eq!((it.gates[1].found, it.verdict), (found, verdict), "{lost} lost");
            let said = it.cautions.iter().any(|it| it.contains("--max-lost bounds them"));
            assert_eq!(said, lost > 0, "{:?}", it.cautions);
        }
    }

    #[test]
    fn so_few_cycles_that_their_share_says_nothing_are_pointed_out() {
        let gates = Gates { p9999_us: Some(1e6), ..NO_GATES };
        let few = judged(report(vec![series("cpu 0", &[9; 9_999])]), &gates);
        assert!(few.cautions.iter().any(|it| it.contains("measure longer")));
        let enough = judged(report(vec![series("cpu 0", &[9; 10_000])]), &gates);
        assert_eq!(enough.cautions, Vec::<String>::new());
    }
}
