//! Results to make pages of: what a run leaves behind, and what no run would.

use std::collections::BTreeMap;

use latency_tests::latency::environment::{CpuEnvironment, Environment};
use latency_tests::latency::report::{
    Bucket, Counts, Distribution, Exceedances, Gate, Measure, PROGRAM, Probe, Report, Run, SCHEMA,
    Series, Settings, Slot, Stall, ThreadFacts, Verdict,
};
use rt_core::os::recorder::{Plan, Recorder};
use rt_core::time::{Duration, Instant};
use tools::report::doctor::{FindingRow, RemedyRow};

/// Numbers in no order, the same each time.
pub(crate) struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// A thread of 1 ms with a body of some µs, a tail, stalls each `stall_each` cycles, and lost
/// cycles.
pub(crate) fn thread(cpu: usize, cycles: u64, stall_each: u64, lost_each: u64) -> Series {
    thread_up_to(Duration::from_secs(1), cpu, cycles, [stall_each, lost_each])
}

/// The same with a bound of the recorder.
fn thread_up_to(
    highest: Duration,
    cpu: usize,
    cycles: u64,
    [stall_each, lost_each]: [u64; 2],
) -> Series {
    let begin = Instant::from_nanos(1_000_000_000);
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (cpu as u64 + 1));
    let mut plan = Plan::new(begin, Duration::from_millis(1));
    plan.highest = highest;
    let mut recorder = Recorder::new(plan).unwrap();
    let mut planned = begin;
    for cycle in 1..=cycles {
        if lost_each > 0 && cycle % lost_each == 0 {
            recorder.record_lost(planned);
            planned += Duration::from_millis(1);
            continue;
        }
        let body = 2_000 + cpu as u64 * 700 + random.next() % 900 + random.next() % 900;
        let tail = if random.next().is_multiple_of(40) { random.next() % 30_000 } else { 0 };
        let rare = if random.next().is_multiple_of(4_000) { random.next() % 400_000 } else { 0 };
        let stall = stall_each > 0 && cycle % stall_each == stall_each / 2;
        let stall = if stall { 20_300_000 + random.next() % 9_000_000 } else { 0 };
        let late = Duration::from_nanos(body + tail + rare + stall);
        planned = recorder.record(planned, planned + late).next;
    }
    let facts = ThreadFacts {
        name: format!("wakeup-{cpu}"),
        policy: "SCHED_FIFO".to_owned(),
        priority: 80,
        cpus: vec![cpu],
        shortfalls: Vec::new(),
        preemptions: 12,
        page_faults: 0,
    };
    Series::new(format!("cpu {cpu}"), Measure::Lateness, &recorder.finish()).by(facts)
}

/// What happened on a processor meanwhile.
fn processor(cpu: usize) -> CpuEnvironment {
    CpuEnvironment {
        cpu,
        steal_ns: Some(if cpu == 1 { 30_000_000 } else { 0 }),
        softirq_ns: Some(120_000_000),
        interrupts: 63_215 + cpu as u64,
        interrupt_sources: vec![
            ("LOC".to_owned(), 60_111),
            ("41".to_owned(), 2_900),
            ("RES".to_owned(), 204),
        ],
        smi_count: None,
        throttle_count: None,
        frequency_khz: Some((2_400_000, 3_100_000)),
    }
}

/// A result with these series.
pub(crate) fn of(series: Vec<Series>, duration_ns: u64) -> Report {
    let cpus: Vec<usize> = (0..series.len()).collect();
    let run = Run {
        probe: Probe::Wakeup,
        settings: Settings {
            interval_ns: 1_000_000,
            distance_ns: 500_000,
            policy: "SCHED_FIFO".to_owned(),
            priority: 80,
            cpus: cpus.clone(),
            cpu_dma_latency_us: Some(0),
            memory_locked: true,
            stress: vec!["cpu".to_owned(), "mem".to_owned()],
            more: BTreeMap::new(),
        },
        planned_ns: duration_ns,
        duration_ns,
        ended_early: false,
        suspended_ns: 0,
        environment: Environment {
            cpus: cpus.iter().map(|it| processor(*it)).collect(),
            temperature_millidegrees: Some(61_500),
        },
        series,
    };
    let host = [
        ("cpu_model", "AMD EPYC 7B13"),
        ("kernel", "6.1.0-40-rt-amd64"),
        ("preemption", "PREEMPT_RT"),
        ("hypervisor", "kvm"),
        ("command_line", "root=/dev/vda1 ro isolcpus=2,3 nohz_full=2,3 rcu_nocbs=2,3 quiet"),
    ];
    let own = |text: &str| text.to_owned();
    Report {
        schema: SCHEMA,
        program: PROGRAM.to_owned(),
        version: own("0.1.0"),
        command: ["wakeup", "-S", "-p", "80", "-D", "60s"].map(own).to_vec(),
        began: own("2026-11-22T17:00:00Z"),
        host: host.map(|(name, value)| (own(name), own(value))).into(),
        findings: vec![FindingRow {
            id: own("cpu_governor"),
            subject: own("host"),
            level: own("warning"),
            seen: own("the governor of CPUs 0 to 3 is powersave"),
            consequence: own("a processor that woke needs time until it is fast"),
            remedies: vec![RemedyRow {
                kind: own("command"),
                text: own("cpupower frequency-set -g performance"),
            }],
            fixable_now: true,
        }],
        runs: vec![run],
        gates: Vec::new(),
        cautions: vec![own("a hypervisor (kvm) is below the kernel: it can stop any processor")],
        invalid: Vec::new(),
        verdict: Verdict::Pass,
    }
}

fn gate(name: &str, limit: f64, found: Option<f64>, exceeded: bool) -> Gate {
    Gate { name: name.to_owned(), limit, found, series: "wakeup cpu 1".to_owned(), exceeded }
}

/// Four threads for a minute, with stalls and lost cycles.
pub(crate) fn four() -> Report {
    let series = vec![
        thread(0, 60_000, 0, 0),
        thread(1, 60_000, 21_000, 0),
        thread(2, 60_000, 0, 9_000),
        thread(3, 60_000, 40_000, 0),
    ];
    let mut report = of(series, 60_000_000_000);
    report.gates = vec![
        gate("max_us", 500.0, Some(26_112.4), true),
        gate("p9999_us", 450.0, Some(403.9), false),
        gate("max_lost", 0.0, Some(6.0), true),
    ];
    report.verdict = Verdict::Exceeded;
    report
}

/// Three threads with samples above the recorder's bound.
fn overflow() -> Report {
    let bound = Duration::from_millis(10);
    let series = (0..3).map(|cpu| thread_up_to(bound, cpu, 9_000, [3_000 * cpu as u64, 0]));
    of(series.collect(), 9_000_000_000)
}

/// One thread without anything that disturbs it, of a narrow range.
pub(crate) fn one() -> Report {
    let begin = Instant::from_nanos(1_000_000_000);
    let mut recorder = Recorder::new(Plan::new(begin, Duration::from_millis(1))).unwrap();
    let mut random = Random(7);
    let mut planned = begin;
    for _ in 0..10_000 {
        let late = Duration::from_nanos(1_500 + random.next() % 2_000);
        planned = recorder.record(planned, planned + late).next;
    }
    of(vec![Series::new("cpu 3", Measure::Lateness, &recorder.finish())], 10_000_000_000)
}

/// A machine of sixty-four processors, stalled at once now and then.
pub(crate) fn sixty_four() -> Report {
    let series = (0..64).map(|cpu| thread(cpu, 4_000, if cpu % 9 == 4 { 1_900 } else { 0 }, 0));
    of(series.collect(), 4_000_000_000)
}

/// A series without a sample, and one with one.
pub(crate) fn hardly_any() -> Report {
    of(vec![thread(0, 0, 0, 0), thread(1, 1, 0, 0)], 1_000_000_000)
}

/// Nothing at all.
pub(crate) fn nothing() -> Report {
    let mut report = of(Vec::new(), 0);
    report.host.clear();
    report.findings.clear();
    report.verdict = Verdict::Invalid;
    report.invalid = vec!["there are no samples".to_owned()];
    report
}

/// All probes, of which one has no series.
pub(crate) fn all_probes() -> Report {
    let mut report = of(vec![thread(0, 3_000, 0, 0)], 3_000_000_000);
    let of_probe = |probe, series: &[(&str, Measure)]| {
        let mut run = report.runs.first().unwrap().clone();
        let series = series.iter().zip(3..).map(|(&(name, measure), cpu)| Series {
            name: name.to_owned(),
            measure,
            cpu: None,
            thread: None,
            ..thread(cpu, 3_000, 0, 700)
        });
        run.series = series.collect();
        run.probe = probe;
        run.settings.more = [("peer".to_owned(), "00:11:22:33:44:55".to_owned())].into();
        run
    };
    let runs = [
        of_probe(Probe::Heartbeat, &[("lan a", Measure::RoundTrip), ("lan b", Measure::Lateness)]),
        of_probe(Probe::Shm, &[("polling", Measure::Span), ("woken", Measure::Span)]),
        of_probe(Probe::Wire, &[]),
    ];
    report.runs.extend(runs);
    report
}

/// A text that would be more than a text.
const HOSTILE: &str =
    "</text></td><script>document.title=\"taken\"</script>&amp;\"'\u{202e}\u{1b}[31m中";

/// A series of greatest values.
fn full(name: &str) -> Series {
    let most = Some(u64::MAX);
    let bucket = |lowest_ns, highest_ns| Bucket { lowest_ns, highest_ns, count: u64::MAX };
    let full = Distribution {
        samples: u64::MAX,
        overflow: u64::MAX,
        highest_ns: u64::MAX,
        min_ns: Some(0),
        mean_ns: Some(f64::MAX),
        p50_ns: most,
        p90_ns: most,
        p99_ns: most,
        p999_ns: most,
        p9999_ns: most,
        p99999_ns: most,
        max_ns: most,
        max_at_ns: most,
        histogram: vec![bucket(0, 0), bucket(u64::MAX, u64::MAX), bucket(5, 3)],
    };
    let counts = Counts {
        lost: u64::MAX,
        late: u64::MAX,
        swallowed: u64::MAX,
        skipped: u64::MAX,
        early: u64::MAX,
        repeated: u64::MAX,
    };
    let slot = |at_ns| Slot { at_ns, samples: 1, lost: u64::MAX, min_ns: 9, max_ns: u64::MAX };
    let stall = |at_ns| Stall { at_ns, late_ns: u64::MAX, swallowed: u64::MAX };
    Series {
        name: name.to_owned(),
        measure: Measure::Span,
        cpu: Some(usize::MAX),
        thread: Some(ThreadFacts {
            name: HOSTILE.repeat(3),
            policy: HOSTILE.to_owned(),
            priority: 255,
            cpus: (0..4_096).collect(),
            shortfalls: vec![HOSTILE.to_owned(); 3],
            preemptions: u64::MAX,
            page_faults: u64::MAX,
        }),
        period_ns: u64::MAX,
        counts,
        seen: full.clone(),
        owed: full,
        stalls: vec![stall(0), stall(u64::MAX)],
        slot_ns: u64::MAX,
        timeline: vec![slot(u64::MAX), slot(0), slot(17)],
        exceedances: Exceedances::default(),
        run_lengths: Vec::new(),
    }
}

/// What no run leaves behind, and a file may hold: greatest values everywhere, hostile names,
/// counts that do not agree.
pub(crate) fn extreme() -> Report {
    let mut report = of(vec![full(HOSTILE), full(&"W".repeat(3_000))], u64::MAX);
    report.command = vec![HOSTILE.to_owned(), "x".repeat(900)];
    report.began = HOSTILE.to_owned();
    report.host.insert(HOSTILE.to_owned(), "y".repeat(5_000));
    report.host.insert("kernel".to_owned(), HOSTILE.to_owned());
    report.cautions = vec![HOSTILE.to_owned(), "z".repeat(5_000)];
    report.invalid = vec![HOSTILE.to_owned(); 7];
    report.verdict = Verdict::Invalid;
    let limits = [f64::MAX, f64::NAN, -1.0];
    report.gates = limits.map(|limit| gate("max_us", limit, None, true)).to_vec();
    report.gates.push(gate(HOSTILE, 0.0, Some(f64::INFINITY), true));
    for finding in &mut report.findings {
        finding.seen = HOSTILE.repeat(4);
        finding.level = "problem".to_owned();
    }
    if let Some(run) = report.runs.first_mut() {
        run.settings.stress = vec![HOSTILE.to_owned()];
        run.environment.temperature_millidegrees = Some(i64::MIN);
        for cpu in &mut run.environment.cpus {
            let most = Some(u64::MAX);
            *cpu = CpuEnvironment {
                cpu: usize::MAX,
                steal_ns: most,
                softirq_ns: most,
                interrupts: u64::MAX,
                interrupt_sources: vec![(HOSTILE.to_owned(), u64::MAX); 40],
                smi_count: most,
                throttle_count: most,
                frequency_khz: Some((u64::MAX, 0)),
            };
        }
    }
    report
}

/// All of them, by name.
pub(crate) fn all() -> Vec<(&'static str, Report)> {
    vec![
        ("four", four()),
        ("one", one()),
        ("overflow", overflow()),
        ("sixty_four", sixty_four()),
        ("hardly_any", hardly_any()),
        ("nothing", nothing()),
        ("all_probes", all_probes()),
        ("extreme", extreme()),
    ]
}
