//! From documents to timers: what is taken, what is refused with which words, and whether what
//! follows is as sure as it says.
//!
//! The statistics themselves are tried in `rt-core`; here on the way from a recorder through a
//! document, where figures can be mixed up. With `BUMPLESS_SOAK=1` more series are drawn.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Read as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use latency_tests::latency::derive::{self, Derived, Document, Material, Options};
use latency_tests::latency::environment::Environment;
use latency_tests::latency::report::{Measure, Probe, Report, Run, Series, Settings, Verdict};
use rt_core::os::jitter::{Apart, Extrapolated};
use rt_core::os::recorder::{Plan, Recorder};
use rt_core::os::tail::{HORIZON_SPANS, Random};
use rt_core::time::{Duration, Instant};
use serde_json::Value;
use tools::config::DaemonConfig;
use tools::exit::{ExitCode, Failure};
use tools::netlab::Scratch;

#[path = "../../tools/tests/doctor/schema.rs"]
mod schema;

const PERIOD: Duration = Duration::from_micros(500);

#[derive(Parser, Debug)]
struct Line {
    #[command(flatten)]
    options: Options,
}

fn options(line: &str) -> Options {
    Line::parse_from(format!("derive {line}").split_whitespace()).options
}

fn us(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// What a thread leaves behind whose cycle n is late by `late_ns(n)`; after a long one it goes on
/// with the first that is not past.
fn lateness(cycles: u64, mut late_ns: impl FnMut(u64) -> u64) -> Series {
    let mut recorder =
        Recorder::new(Plan { cycles: Some(cycles), ..Plan::new(Instant::ORIGIN, PERIOD) }).unwrap();
    let end = Instant::ORIGIN + PERIOD.saturating_mul(cycles);
    let mut planned = Instant::ORIGIN;
    while planned < end {
        let number = planned.as_nanos() / PERIOD.as_nanos();
        let woken = planned + Duration::from_nanos(late_ns(number));
        planned = recorder.record(planned, woken).next;
    }
    Series::new("sender", Measure::Lateness, &recorder.finish())
}

/// A LAN whose beat n takes so long, or is lost.
fn lan(name: &str, cycles: u64, mut took_ns: impl FnMut(u64) -> Option<u64>) -> Series {
    let mut recorder = Recorder::new(Plan::new(Instant::ORIGIN, PERIOD)).unwrap();
    for number in 0..cycles {
        let planned = Instant::ORIGIN + PERIOD.saturating_mul(number);
        match took_ns(number) {
            Some(ns) => recorder.record_span(planned, Duration::from_nanos(ns)),
            None => recorder.record_lost(planned),
        }
    }
    Series::new(name, Measure::RoundTrip, &recorder.finish())
}

fn report(probe: Probe, series: Vec<Series>) -> Report {
    let mut report = Report::new("2026-11-22T16:04:05Z".to_owned());
    report.verdict = Verdict::Pass;
    for (name, value) in [("kernel", "6.12.1-rt"), ("cpu_model", "Xeon"), ("hypervisor", "none")] {
        report.host.insert(name.to_owned(), value.to_owned());
    }
    report.runs.push(Run {
        probe,
        settings: Settings {
            policy: "SCHED_FIFO".to_owned(),
            priority: 80,
            memory_locked: true,
            ..Settings::default()
        },
        planned_ns: 0,
        duration_ns: 0,
        ended_early: false,
        suspended_ns: 0,
        environment: Environment::default(),
        series,
    });
    report
}

/// 1,000 s: the latest cycle by `latest`, and 30 µs on the LANs but once.
fn quiet(latest: Duration) -> Report {
    let late = move |n: u64| if n == 700_000 { latest.as_nanos() } else { 3_000 + n % 7 };
    let took = |longest: u64| {
        move |n: u64| Some(if n == 5_000 { longest * 1_000 } else { 30_000 + n % 5 })
    };
    let lans = [lan("lan a", 2_000_000, took(50)), lan("lan b", 2_000_000, took(75))];
    let [a, b] = lans;
    report(Probe::Heartbeat, vec![lateness(2_000_000, late), a, b])
}

fn of(a: Report, b: Option<Report>, line: &str) -> Result<Derived, Failure> {
    let host = |name: &str, report: Report| {
        (name.to_owned(), vec![(report, PathBuf::from(format!("{name}.json")))])
    };
    let hosts = [Some(host("a", a)), b.map(|b| host("b", b))];
    let material = Material::of(hosts.into_iter().flatten().collect())?;
    derive::derive(material, options(&format!("x.json {line}")).goal())
}

fn write(folder: &Path, name: &str, report: &Report) -> String {
    let path = folder.join(name);
    std::fs::write(&path, serde_json::to_string(report).unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}

const PLANT: &str = "--witness-us 250 --latch-us 100";

/// Each figure by hand, from files to the configuration.
#[test]
fn a_pair_is_derived_from_its_files() {
    let derived = of(quiet(us(125)), Some(quiet(us(90))), PLANT).unwrap();
    let it = &derived.derivation;
    // J: 1.2 × 125 µs; the worse LAN: 1.2 × 75 µs. Beats no more often than recorded: 500 µs.
    assert_eq!((it.measured.jitter, it.measured.round_trip), (us(150), us(90)));
    assert_eq!((it.heartbeat.least, it.heartbeat.interval), (us(240), us(500)));
    // (3) 4 × 500 + 90 + 150 = 2,240; (4) 90 + 1,500 + 2 × 150 + 250 = 2,140 µs.
    assert_eq!((it.suspicion, it.timers.lease), (us(1_650), us(2_240)));
    // 2,240,000 × 1,000,500 / 999,500 = 2,242,241.1…, rounded up, and a nanosecond.
    assert_eq!(it.timers.promise, Duration::from_nanos(2_242_243));
    // 45 + 2,243.365 + 150 + 250 + 100 + 1,000 µs.
    assert_eq!(it.after_silence, Duration::from_nanos(3_788_365));
    assert_eq!(it.after_evidence, us(1_395));
    // 2,000,000 / −ln 0.05 = 667,616 cycles of 500 µs without a stall or silence so long.
    let each = Apart::AtLeast(us(500).saturating_mul(667_616));
    assert_eq!([it.hosts[0].apart, it.hosts[1].apart], [each; 2]);
    assert_eq!([it.lans[0].apart, it.lans[1].apart], [each; 2]);
    let Apart::AtLeast(together) = it.with_both else { panic!() };
    assert_eq!(together.as_millis(), 111_269, "a third of it: 333.808 s");
    assert_eq!(derived.exit_code(), ExitCode::Fine);
    assert_eq!(derived.cautions, [""; 0]);

    let scratch = Scratch::new().unwrap();
    let folder = scratch.path();
    let a = write(folder, "a.json", &quiet(us(125)));
    let b = write(folder, "b.json", &quiet(us(90)));
    let stored = folder.join("jitter.toml");
    let line = format!("{a} {b} {PLANT} --write {}", stored.display());
    assert_eq!(derive::run(&options(&line)).unwrap(), ExitCode::Fine);
    let text = std::fs::read_to_string(&stored).unwrap();
    assert_eq!(text, derived.stored().to_toml());
    let whole = format!(
        "name = 'plc0'\n[[application]]\nname = 'plc'\n[[region]]\nname = 'plant'\n\
         application = 'plc'\n{text}"
    );
    let read = DaemonConfig::from_toml(&whole).unwrap().config.jitter.unwrap();
    assert_eq!(read, derived.stored());
    assert_eq!((read.jitter, read.round_trip), (us(150), [us(60), us(90)]));
    assert_eq!(read.hosts[1].bound, us(108));
    assert_eq!(read.hosts[0].facts["kernel"], "6.12.1-rt");
}

#[test]
fn the_document_is_as_its_schema_says() {
    let mut random = Random::from_seed(3);
    let noisy = report(
        Probe::Heartbeat,
        vec![
            lateness(400_000, exponential(&mut random)),
            lan("lan a", 400_000, |n| (n % 1_000 > 4).then_some(30_000)),
            lan("lan b", 400_000, |_| Some(30_000)),
        ],
    );
    for (a, b, line) in [
        (quiet(us(125)), Some(quiet(us(90))), ""),
        (quiet(us(125)), None, "--years 10"),
        (noisy, None, "--misses 2 --heartbeat-us 100"),
    ] {
        let derived = of(a, b, line).unwrap();
        let document: Value = serde_json::to_value(Document::new(&derived)).unwrap();
        schema::check_schema("derive.json", &document);
        assert_eq!(document["fine"], derived.exit_code() == ExitCode::Fine);
    }
}

#[test]
fn ten_years_are_not_supported_by_a_quarter_of_an_hour() {
    let derived = of(quiet(us(125)), Some(quiet(us(90))), "--years 10").unwrap();
    assert_eq!(derived.exit_code(), ExitCode::Failed);
    let text = derived.text();
    let said = "10.0 years are not supported: the recordings support 1 min 51 s. It takes \
                recordings of 90.0 years of both hosts and LANs";
    assert!(text.contains(said), "{text}");
    let years = 100.0 / (365.25 * 86_400.0);
    let less = of(quiet(us(125)), Some(quiet(us(90))), &format!("--years {years:.12}")).unwrap();
    assert_eq!(less.exit_code(), ExitCode::Fine, "100 s are supported");
}

#[test]
fn a_plant_that_cannot_wait_is_told_by_how_much() {
    let derived = of(quiet(us(125)), Some(quiet(us(90))), "--hold-us 4000").unwrap();
    assert_eq!(derived.exit_code(), ExitCode::Failed);
    let text = derived.text();
    // 45 + 2,243.365 + 150 + 1,000 + 1,000 µs.
    let said = "(8) the outputs' hold time (4000.0 µs) does not outlast a takeover and a cycle \
                (4438.3 µs): 438.3 µs are missing";
    assert!(text.contains(said), "{text}");
}

fn refused(result: Result<Derived, Failure>) -> (ExitCode, String) {
    let failure = result.unwrap_err();
    (failure.code, failure.to_string())
}

#[test]
fn what_proves_nothing_is_refused_with_the_reason() {
    let mut disturbed = quiet(us(125));
    disturbed.verdict = Verdict::Invalid;
    disturbed.invalid = vec!["3 system management interrupts on CPU 1".to_owned()];
    let (code, said) = refused(of(quiet(us(90)), Some(disturbed.clone()), ""));
    assert_eq!(code, ExitCode::Invalid);
    let expected = "b.json: the run proves nothing: 3 system management interrupts on CPU 1; \
                    measure again, undisturbed";
    assert_eq!(said, expected);
    // Whatever the verdict says, and the other way round.
    disturbed.verdict = Verdict::Pass;
    assert_eq!(refused(of(disturbed, None, "")).0, ExitCode::Invalid);
    let mut unsaid = quiet(us(125));
    unsaid.verdict = Verdict::Invalid;
    assert!(refused(of(unsaid, None, "")).1.contains("its verdict is invalid"));
    // A verdict that was written by hand does not stand against what it rests on.
    let mut edited = quiet(us(125));
    edited.runs[0].settings.policy = "SCHED_OTHER".to_owned();
    let (code, said) = refused(of(edited, None, ""));
    assert!(code == ExitCode::Invalid && said.contains("SCHED_OTHER was asked for"), "{said}");
    // A bound that was exceeded says nothing against the figures.
    let mut exceeded = quiet(us(125));
    exceeded.verdict = Verdict::Exceeded;
    assert!(of(exceeded, None, "").is_ok());
}

#[test]
fn what_is_missing_is_said_with_what_to_record() {
    let without = |name: &str| {
        let mut report = quiet(us(125));
        report.runs[0].series.retain(|it| it.name != name);
        refused(of(report, None, ""))
    };
    let (code, said) = without("lan b");
    assert_eq!(code, ExitCode::Invalid);
    assert!(said.starts_with("no document has a round trip on LAN B; record both LANs"), "{said}");
    assert!(said.contains("`bumpless latency heartbeat --json FILE`"), "{said}");
    assert!(without("lan a").1.contains("LAN A"));
    let (code, said) = without("sender");
    assert_eq!(code, ExitCode::Invalid);
    assert!(said.starts_with("host a: no lateness is in a.json; record it"), "{said}");
    let mut deaf = quiet(us(125));
    deaf.runs[0].series[1] = lan("lan a", 1_000, |_| None);
    assert!(refused(of(deaf, None, "")).1.starts_with("a.json: lan a: no beat was answered"));
}

#[test]
fn wake_ups_stand_in_for_beats_and_the_worse_one_counts() {
    let mut beats = quiet(us(125));
    beats.runs[0].series.retain(|it| it.measure == Measure::RoundTrip);
    let late = |latest: u64| lateness(100_000, move |n| if n == 50 { latest } else { 3_000 });
    let woken = report(Probe::Wakeup, vec![late(40_000), late(200_000)]);
    let files = vec![(beats, PathBuf::from("b.json")), (woken, PathBuf::from("w.json"))];
    let material = Material::of(vec![("a".to_owned(), files)]).unwrap();
    let derived = derive::derive(material, options("x").goal()).unwrap();
    assert_eq!(derived.derivation.measured.jitter, us(240));
    let said = derived.cautions.join("\n");
    assert!(said.contains("lateness of wake-ups stands for that of its beats"), "{said}");
    assert!(said.contains("one host was recorded: the other one is taken for the same"), "{said}");
    // With beats, the wake-ups are not looked at.
    let woken = report(Probe::Wakeup, vec![late(9_000_000)]);
    let files = vec![(quiet(us(125)), PathBuf::from("h.json")), (woken, PathBuf::from("w.json"))];
    let material = Material::of(vec![("a".to_owned(), files)]).unwrap();
    let derived = derive::derive(material, options("x").goal()).unwrap();
    assert_eq!(derived.derivation.measured.jitter, us(150));
}

#[test]
fn files_of_a_host_are_of_one_host() {
    let mut other = quiet(us(125));
    other.host.insert("kernel".to_owned(), "6.1".to_owned());
    let files = [("1.json", quiet(us(90))), ("2.json", other)];
    let files = files.map(|(path, report)| (report, PathBuf::from(path))).to_vec();
    let failure = Material::of(vec![("a".to_owned(), files)]).unwrap_err();
    let expected = "1.json and 2.json are not of the same host: kernel is \"6.12.1-rt\" and \
                    \"6.1\"; name each with the host that it is of";
    assert_eq!((failure.code, failure.to_string().as_str()), (ExitCode::Invalid, expected));
}

#[test]
fn files_that_are_no_results_are_refused() {
    let scratch = Scratch::new().unwrap();
    let folder = scratch.path();
    let mut strange = quiet(us(125));
    strange.program = "cyclictest".to_owned();
    let mut newer = quiet(us(125));
    newer.schema = 9;
    let mut undated = quiet(us(125));
    undated.began = "once".to_owned();
    let mut torn = quiet(us(125));
    torn.runs[0].series[0].exceedances.peaks.push((0, 100_000));
    let text = folder.join("text.json");
    std::fs::write(&text, "no JSON").unwrap();
    for (file, expected) in [
        (folder.join("none.json").to_str().unwrap().to_owned(), "No such file"),
        (folder.to_str().unwrap().to_owned(), "Is a directory"),
        (text.to_str().unwrap().to_owned(), "not a JSON document"),
        (write(folder, "strange.json", &strange), "the program is \"cyclictest\""),
        (write(folder, "newer.json", &newer), "schema 9"),
        (write(folder, "undated.json", &undated), "\"once\" is no date"),
        (write(folder, "torn.json", &torn), "the file was changed or is damaged"),
    ] {
        let failure = derive::run(&options(&file)).unwrap_err();
        assert!(failure.message.contains(expected), "{failure}");
        assert_eq!(failure.code, ExitCode::Usage, "{failure}");
    }
    let mut torn = quiet(us(125));
    torn.runs[0].series[0].exceedances.peaks.push((0, 100_000));
    let (code, said) = refused(of(torn, None, ""));
    assert_eq!(code, ExitCode::Invalid);
    assert!(said.starts_with("a.json: sender: late cycle 1 does not come after"), "{said}");
    let a = write(folder, "a.json", &quiet(us(125)));
    let failure = derive::run(&options(&format!("{a} --write /no/such/folder/x"))).unwrap_err();
    assert_eq!(failure.code, ExitCode::Usage);
    assert!(failure.message.starts_with("--write: /no/such/folder/x: "), "{failure}");
}

#[test]
fn what_a_written_table_stands_for_is_not_replaced() {
    let scratch = Scratch::new().unwrap();
    let folder = scratch.path();
    let [table, link, pipe] = ["table", "link", "pipe"].map(|it| folder.join(it));
    let a = write(folder, "a.json", &quiet(us(125)));
    let into = |path: &Path| derive::run(&options(&format!("{a} --write {}", path.display())));
    into(&table).unwrap();
    let expected = std::fs::read_to_string(&table).unwrap();
    assert!(expected.starts_with("[jitter]"), "{expected}");
    std::fs::write(&table, "old").unwrap();
    std::os::unix::fs::symlink(&table, &link).unwrap();
    into(&link).unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::read_to_string(&table).unwrap(), expected);
    // As a device would be. Open at both ends, so that neither waits for the other.
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut ends = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
    into(&pipe).unwrap();
    assert!(std::fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
    let mut came = vec![0; expected.len()];
    ends.read_exact(&mut came).unwrap();
    assert_eq!(String::from_utf8(came).unwrap(), expected);
    for stdout in ["-", "/dev/stdout"] {
        let failure = into(Path::new(stdout)).unwrap_err();
        assert_eq!(failure.code, ExitCode::Usage, "{failure}");
        assert!(failure.to_string().contains("is standard output"), "{failure}");
    }
}

#[test]
fn the_program_ends_as_its_result_stands() {
    let scratch = Scratch::new().unwrap();
    let folder = scratch.path();
    let good = write(folder, "good.json", &quiet(us(125)));
    let mut disturbed = quiet(us(125));
    disturbed.verdict = Verdict::Invalid;
    disturbed.invalid = vec!["the machine slept".to_owned()];
    let bad = write(folder, "bad.json", &disturbed);
    for (arguments, code, expected) in [
        (vec!["--json", &good], 0, "\"jitter_ns\": 150000"),
        (vec!["--toml", &good], 0, "[jitter]\nmeasured = \"2026-11-22T16:04:05Z\""),
        (vec![&good], 0, "J = 150.0 µs (host a, 1.2 × the largest value seen)"),
        (vec![&good, "--years", "10"], 1, "10.0 years are not supported"),
        (vec![&good, "--hold-us", "1000"], 1, "does not outlast a takeover and a cycle"),
        (vec![], 2, "<FILE>"),
        (vec!["/no/such/file"], 2, "No such file"),
        (vec![&good, &bad], 4, "the run proves nothing: the machine slept"),
    ] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_bumpless-latency"));
        let output = program.arg("derive").args(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        let told = if [2, 4].contains(&code) { &output.stderr } else { &output.stdout };
        let told = String::from_utf8_lossy(told);
        assert!(told.contains(expected), "{arguments:?}: {told}");
    }
}

#[test]
fn arguments_that_mean_nothing_are_refused() {
    for line in [
        "",
        "a b c",
        "a --host-a b",
        "--host-b b",
        "a --misses 0",
        "a --years 0",
        "a --years nan",
        "a --years 501",
        "a --json --toml",
        "a --drift-ppm 1000000",
        "a --cycle-us 0",
    ] {
        let line = format!("derive {line}");
        assert!(Line::try_parse_from(line.split_whitespace()).is_err(), "{line}");
    }
    assert_eq!(options("--host-a a,b --host-b c").host_a.len(), 2);
}

/// Each cycle is late by 3 µs and an exponential time of 10 µs on average.
const LEAST_NS: f64 = 3_000.0;
const SCALE_NS: f64 = 10_000.0;

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive figures far below 2^63"
)]
fn exponential(random: &mut Random) -> impl FnMut(u64) -> u64 {
    move |_| (LEAST_NS + SCALE_NS * random.exponential()) as u64
}

/// With two LANs that are always answered.
fn with_lans(lateness: Series) -> Report {
    let a = lan("lan a", 10_000, |n| Some(30_000 + n % 5));
    let b = lan("lan b", 10_000, |n| Some(30_000 + n % 5));
    report(Probe::Heartbeat, vec![lateness, a, b])
}

#[test]
fn the_interval_of_a_known_tail_covers() {
    let wanted =
        if std::env::var_os("BUMPLESS_SOAK").is_some_and(|it| it == "1") { 400 } else { 40 };
    let cycles = 300_000u64;
    // The level that one cycle in a hundred spans exceeds.
    let horizon = cycles * HORIZON_SPANS;
    let truth = LEAST_NS + SCALE_NS * (horizon as f64).ln();
    let (mut answered, mut covered, mut safe, mut drawn) = (0u32, 0u32, 0u32, 0u32);
    let mut random = Random::from_seed(5);
    while answered < wanted {
        drawn += 1;
        assert!(drawn < wanted * 3, "{answered} of {drawn} answered");
        let series = lateness(cycles, exponential(&mut random));
        let derived = of(with_lans(series), None, "").unwrap();
        let bound = &derived.derivation.hosts[0].bounds[0];
        assert_eq!(bound.span, PERIOD.saturating_mul(cycles));
        let Ok(Extrapolated { horizon: told, .. }) = bound.extrapolated else { continue };
        assert_eq!(told, bound.span.saturating_mul(HORIZON_SPANS), "as far as it may, no further");
        let level = bound.analysis.extrapolation.as_ref().unwrap().level(horizon).unwrap();
        answered += 1;
        covered += u32::from(level.lower_ns as f64 <= truth && truth <= level.upper_ns as f64);
        safe += u32::from(derived.derivation.measured.jitter.as_nanos() as f64 >= truth);
    }
    // Three standard deviations below 90 %.
    let least = 0.9 * f64::from(wanted) - 3.0 * (0.09 * f64::from(wanted)).sqrt();
    println!("{covered} covered, {safe} safe of {answered}, {drawn} drawn");
    assert!(f64::from(covered) >= least && f64::from(safe) >= least, "{covered} {safe} {answered}");
}

/// A tail that cannot be trusted is refused in words that a user reads, and J rests on what was
/// seen.
#[test]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive figures far below 2^63"
)]
fn refusals_reach_the_user() {
    let cycles = 300_000u64;
    type Kind = (&'static str, Box<dyn Fn(u64, &mut Random) -> u64>);
    let kinds: [Kind; 4] = [
        // Pareto, shape 0.7.
        (
            "the tail may be heavy",
            Box::new(move |_, random: &mut Random| (SCALE_NS * random.uniform().powf(-0.7)) as u64),
        ),
        (
            "the series is not the same over its span",
            Box::new(move |n, random| {
                let grown = 1.0 + 0.5 * n as f64 / cycles as f64;
                (SCALE_NS * grown * random.exponential()) as u64
            }),
        ),
        (
            "late cycles come in groups too long to be events",
            Box::new(
                move |n, random| {
                    if n % 3_000 < 90 { 60_000 + random.bits() % 10_000 } else { 3_000 }
                },
            ),
        ),
        ("0 events of late cycles, a fit needs 50", Box::new(|_, _| 3_000)),
    ];
    for (expected, kind) in kinds {
        let mut random = Random::from_seed(11);
        let derived = of(with_lans(lateness(cycles, |n| kind(n, &mut random))), None, "").unwrap();
        let bound = &derived.derivation.hosts[0].bounds[0];
        assert_eq!(derived.derivation.measured.jitter, bound.empirical);
        assert!(bound.empirical.as_nanos() * 5 >= bound.largest.as_nanos() * 6);
        let text = derived.text();
        let line = format!("not extrapolated: host a, sender: {expected}");
        assert!(text.contains(&line), "{line}\n{text}");
        let document = serde_json::to_value(Document::new(&derived)).unwrap();
        let series = &document["hosts"][0]["series"][0];
        assert!(series["refusal"].as_str().unwrap().starts_with(expected));
        assert!(series["extrapolated_ns"].is_null());
    }
}

#[test]
fn losses_that_come_in_rows_are_not_flattered() {
    // One beat in a thousand is lost, always four in a row: independence would say 1e-12.
    let rows = |n: u64| (n % 4_000 >= 4).then_some(30_000);
    let beats = |a: Series, b: Series| {
        let late = lateness(400_000, |_| 3_000);
        report(Probe::Heartbeat, vec![late, a, b])
    };
    let both = beats(lan("lan a", 400_000, rows), lan("lan b", 400_000, rows));
    let derived = of(both, None, "").unwrap();
    let Apart::Measured { mean, lower, upper } = derived.derivation.with_both else { panic!() };
    // 4,000 beats of 500 µs.
    assert_eq!(mean, us(2_000_000));
    assert!(lower < mean && mean < upper, "{lower} {upper}");
    assert!(derived.text().contains("together: measured 2.0 s ("), "{}", derived.text());
    // The other LAN carries them; it fails when only the worse one is left.
    let one = beats(lan("lan a", 400_000, rows), lan("lan b", 400_000, |_| Some(30_000)));
    let derived = of(one, None, "").unwrap();
    assert!(matches!(derived.derivation.with_both, Apart::AtLeast(_)));
    assert!(matches!(derived.derivation.with_one, Apart::Measured { .. }));
    let text = derived.text();
    assert!(text.contains("silence of LAN A alone: measured 2.0 s"), "{text}");
    assert!(text.contains("(400 of 400,000 beats lost)"), "{text}");
    // Four lost in a row are borne by k = 4.
    let derived =
        of(beats(lan("lan a", 400_000, rows), lan("lan b", 400_000, rows)), None, "--misses 4");
    assert!(matches!(derived.unwrap().derivation.with_both, Apart::AtLeast(_)));
}

#[test]
fn a_stall_of_many_beats_counts_once_and_in_full() {
    // Four stalls of 20 ms in 200 s, while the heartbeat was chosen before: J is made of them, so
    // that they are borne; with the others' J they are not.
    let stalls = |n: u64| if n % 100_000 == 50_000 { 20_000_000 } else { 3_000 };
    let derived = of(with_lans(lateness(400_000, stalls)), None, "").unwrap();
    assert_eq!(derived.derivation.measured.jitter, Duration::from_millis(24));
    assert!(matches!(derived.derivation.hosts[0].apart, Apart::AtLeast(_)));
    let runs = derived.derivation.hosts[0].bounds[0].analysis.runs.longest();
    assert!(runs >= 40, "20 ms are 40 beats: {runs}");
    assert!(derived.derivation.heartbeat.interval >= Duration::from_millis(24));
}

#[test]
fn nothing_is_told_beyond_a_hundred_spans() {
    let mut random = Random::from_seed(21);
    let series = lateness(300_000, exponential(&mut random));
    let derived = of(with_lans(series), None, "--years 400").unwrap();
    let document = serde_json::to_value(Document::new(&derived)).unwrap();
    let mut seen = 0;
    for of in ["hosts", "lans"] {
        for it in document[of].as_array().unwrap() {
            let spans = it["series"].as_array().unwrap().iter();
            let span = spans.map(|it| it["span_ns"].as_u64().unwrap()).max().unwrap();
            for series in it["series"].as_array().unwrap() {
                let horizon = series["extrapolated_horizon_ns"].as_u64().unwrap_or(0);
                assert!(horizon <= span * HORIZON_SPANS, "{series}");
                seen += u64::from(horizon > 0);
            }
            let apart = &it["between_false_suspicions"];
            assert!(apart["lower_ns"].as_u64().unwrap() <= span * HORIZON_SPANS, "{apart}");
        }
    }
    assert!(seen > 0, "one was extrapolated");
    // 150 s: the LANs support a third of their 5 s, and so does the whole.
    let supported = derived.derivation.with_both.supported();
    assert!(supported < us(5_000_000), "{supported}");
    assert!(derived.text().contains("400.0 years are not supported"), "{}", derived.text());
}
