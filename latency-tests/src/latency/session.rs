//! A run from its options to its exit code.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};

use rt_core::os::clock::{MonotonicClock, realtime_ns, suspended};
use rt_core::os::dma_latency::DmaLatency;
use rt_core::os::freeze::frozen_allocations;
use rt_core::os::host::{HostTexts, Level, Needs, PlannedThread, facts, findings};
use rt_core::os::memory;
use rt_core::os::thread::Policy;
use rt_core::time::Duration;
use tools::cli::text::{Style, span, utc};
use tools::exit::{ExitCode, Failure};
use tools::report::doctor::FindingRow;

use crate::os::wait::EndSignals;

use super::environment::Look;
use super::files::Files;
use super::options::Options;
use super::probe::{Asked, Probing, Progress};
use super::report::{Gate, PROGRAM, Probe, Report, Run, SCHEMA, Series, Settings, Verdict};
use super::stress::Load;
use super::threshold::{Event, Threshold, Trigger};
use super::{files, live, summary, verdict};

/// How often it is looked whether a run is over, and progress is told.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Makes a probe start, with what its threads do at a sample that is too late.
pub type Start<'a> = Box<dyn FnOnce(&Asked, Trigger) -> Result<Box<dyn Probing>, Failure> + 'a>;

/// A probe that is to be run.
#[expect(missing_debug_implementations, reason = "a function has nothing to show")]
pub struct Part<'a> {
    /// Which.
    pub probe: Probe,
    /// Starts it.
    pub start: Start<'a>,
}

/// Runs some probes one after the other, judges the result, writes it and tells it.
///
/// # Errors
/// Usage, what is missing for real-time threads, or a file that could not be written.
pub fn run(options: &Options, parts: Vec<Part<'_>>) -> Result<ExitCode, Failure> {
    let beside = live::lowest_priority();
    let asked = options.asked(beside)?;
    let began = began();
    let named = format!("{PROGRAM}-{}", began.replace([':', '-'], ""));
    let files = Files::open(&options.outputs, Some(&*named).filter(|_| files::has_terminal()))?;
    let load = load(options, &asked)?;
    let signals = EndSignals::block()
        .map_err(|error| Failure::failed(format!("signals cannot be waited for: {error}"), ""))?;
    let (mut report, texts) = (Report::new(began), HostTexts::read(None));
    report.host = facts(&texts);
    report.findings = doctor(&texts, &asked);
    report.cautions.extend(beside.and_then(|it| beside_daemon(it, asked.policy)));
    let mut stage = Stage::set(options, asked, &mut report)?;
    stage.settings.stress = load.as_ref().map(Load::settings).unwrap_or_default();
    let mut is_over = false;
    for part in parts {
        if is_over {
            report.invalid.push(format!("{}: ended before it began", part.probe.name()));
            continue;
        }
        let probe = part.probe.name();
        match stage.measure(part, &signals, &mut report) {
            Ok(run) => {
                is_over = run.ended_early;
                report.runs.push(run);
            }
            // What the probes before found may have taken a day: it is kept.
            Err(failure) if !report.runs.is_empty() => {
                report.invalid.push(format!("{probe}: {failure}"));
            }
            Err(failure) => return Err(failure),
        }
    }
    if let Some(load) = load {
        let account = load.finish();
        report.cautions.extend(account.cautions);
    }
    let allocations = frozen_allocations().count;
    if allocations > 0 {
        let what = format!("{allocations} allocations on threads that measured: a defect of this");
        report.invalid.push(what);
    }
    verdict::judge(&mut report, &options.gates);
    conclude(&report, files)
}

/// Writes a result, and tells it.
///
/// # Errors
/// A file that could not be written; all others are.
pub fn conclude(report: &Report, files: Files) -> Result<ExitCode, Failure> {
    let on_stdout = !files.have_stdout();
    let written = files.write(report);
    let style = if on_stdout { Style::of_stdout() } else { Style::of_stderr() };
    let mut text = summary::text(report, style);
    for path in written.iter().flatten() {
        text += &format!("Written: {}\n", path.display());
    }
    // A reader that has gone has seen enough.
    let _gone = if on_stdout {
        io::stdout().write_all(text.as_bytes())
    } else {
        io::stderr().write_all(text.as_bytes())
    };
    written.map(|_| report.verdict.exit_code())
}

/// What is the same for all probes of a run.
struct Stage<'a> {
    options: &'a Options,
    asked: Asked,
    settings: Settings,
    /// As long as it lasts, processors sleep no deeper.
    _awake: Option<DmaLatency>,
}

impl<'a> Stage<'a> {
    /// Locks memory and keeps processors awake, as far as that was asked for and is granted.
    fn set(options: &'a Options, asked: Asked, report: &mut Report) -> Result<Self, Failure> {
        options.stay_on()?;
        // An allocator that cannot be tuned costs the ordinary threads of this program, only.
        let _tuned = memory::tune_allocator();
        let locked = lock_memory(options.allow_non_rt, asked.cpus.len())?;
        let awake = (!options.default_system).then(|| DmaLatency::hold(options.latency));
        let awake = awake.transpose().map_err(|error| format!("idle states: {error}"));
        let mut settings = options.settings(&asked, locked);
        if let Err(caution) = &awake {
            settings.cpu_dma_latency_us = None;
            report.cautions.push(caution.clone());
        }
        Ok(Self { options, asked, settings, _awake: awake.ok().flatten() })
    }

    fn measure(
        &self,
        part: Part<'_>,
        signals: &EndSignals,
        report: &mut Report,
    ) -> Result<Run, Failure> {
        let Part { probe, start } = part;
        let threshold = self.options.threshold().map(|plan| Threshold::arm(&plan)).transpose()?;
        let trigger = threshold.as_ref().map(Threshold::trigger).unwrap_or_default();
        let before = (Look::at(&self.asked.cpus), suspended());
        let probing = start(&self.asked, trigger)?;
        let was_ended = self.wait(probe, &*probing, signals)?;
        let more = probing.more();
        let series = probing.finish()?;
        let outcome = threshold.map(Threshold::finish).unwrap_or_default();
        report.cautions.extend(outcome.caution);
        if self.options.breaktrace.is_some() {
            report.gates.push(watched(self.options, probe, &series, outcome.event.as_ref()));
        }
        let environment = before.0.until(&Look::at(&self.asked.cpus));
        let planned = self.asked.interval.saturating_mul(self.asked.cycles);
        let of = |it: &Series| it.period_ns.saturating_mul(it.cycles());
        let duration_ns = series.iter().map(of).max().unwrap_or(0);
        Ok(Run {
            probe,
            settings: Settings { more, ..self.settings.clone() },
            planned_ns: planned.as_nanos(),
            duration_ns,
            ended_early: was_ended && duration_ns < planned.as_nanos(),
            suspended_ns: suspended().saturating_sub(before.1).as_nanos(),
            environment,
            series,
        })
    }

    /// Waits until a probe is over; whether a signal ended it.
    fn wait(
        &self,
        probe: Probe,
        probing: &dyn Probing,
        signals: &EndSignals,
    ) -> Result<bool, Failure> {
        let failed = |error| Failure::failed(format!("waiting: {error}"), "");
        let is_told = !self.options.quiet && io::stderr().is_terminal();
        let begin = MonotonicClock::now();
        let mut was_ended = false;
        while !probing.is_over() {
            let next = MonotonicClock::now() + LOOK_EVERY;
            if signals.sleep_until(next).map_err(failed)? {
                probing.stop();
                was_ended = true;
            }
            if is_told {
                let passed = MonotonicClock::now().since(begin);
                eprint!("\r{}\x1b[K", progress(probe, &probing.progress(), passed));
            }
        }
        if is_told {
            eprint!("\r\x1b[K");
        }
        Ok(was_ended)
    }
}

/// Starts the load that was asked for. Before signals are blocked, which its processes would
/// inherit: they are ended by signals.
fn load(options: &Options, asked: &Asked) -> Result<Option<Load>, Failure> {
    if options.stress.is_empty() {
        return Ok(None);
    }
    let mut cpus = asked.cpus.clone();
    cpus.sort_unstable();
    cpus.dedup();
    Load::start(&options.stress, &cpus).map(Some)
}

/// How it stands to the bound of `--breaktrace`: the sample that exceeded it, or the greatest one.
fn watched(options: &Options, probe: Probe, series: &[Series], event: Option<&Event>) -> Gate {
    let us = |ns: u64| ns as f64 / 1e3;
    let greatest = series.iter().max_by_key(|it| it.seen.max_ns);
    let (found, name) = match event {
        Some(event) => (Some(us(event.late.as_nanos())), format!("cpu {}", event.cpu)),
        None => (
            greatest.and_then(|it| it.seen.max_ns).map(us),
            greatest.map_or_else(String::new, |it| it.name.clone()),
        ),
    };
    Gate {
        name: verdict::BREAKTRACE.to_owned(),
        limit: options.breaktrace.unwrap_or(0) as f64,
        found,
        series: format!("{}: {name}", probe.name()),
        exceeded: event.is_some() || found.is_none(),
    }
}

/// Locks all memory, where there is room for so many threads that measure; whether it is locked.
///
/// # Errors
/// It is not granted, and has to be.
pub fn lock_memory(allow_non_rt: bool, threads: usize) -> Result<bool, Failure> {
    /// What a thread and its records take, at most, and all else.
    const EACH: u64 = 16 << 20;
    const ALL: u64 = 64 << 20;
    match memory::lock_all_with_room(ALL + EACH * threads as u64) {
        Ok(_) => Ok(true),
        Err(_) if allow_non_rt => Ok(false),
        Err(error) => Err(Failure::missing(error.to_string(), ALLOW)),
    }
}

/// What to do where real time is not granted.
const ALLOW: &str = "or say --allow-non-rt to see figures that prove nothing";

/// A line of progress.
fn progress(probe: Probe, progress: &Progress, passed: Duration) -> String {
    let Progress { over, planned, lost, max_ns } = *progress;
    let share = over as f64 / planned.max(1) as f64;
    // What is left, as fast as it went until now.
    let passed_ns = u128::from(passed.as_nanos());
    let left_ns = passed_ns * u128::from(planned.saturating_sub(over)) / u128::from(over.max(1));
    let left = span(u64::try_from(left_ns).unwrap_or(u64::MAX));
    let lost = if lost > 0 { format!(", {lost} lost") } else { String::new() };
    format!(
        "{}: {:3.0} %, {left} left, max {:.1} µs{lost}",
        probe.name(),
        share * 100.0,
        max_ns as f64 / 1e3
    )
}

/// What a probe and the daemon that runs beside it do to each other.
fn beside_daemon(lowest: u8, policy: Policy) -> Option<String> {
    match policy {
        Policy::Fifo(priority) if priority < lowest => Some(format!(
            "bumplessd runs here: at priority {priority} the probe waits for its threads, which \
             have {lowest} and more; that is in the figures"
        )),
        Policy::Fifo(priority) => Some(format!(
            "bumplessd runs here: its threads, of {lowest} and more, wait for the probe of \
             {priority} where they share a processor"
        )),
        Policy::Other => None,
    }
}

/// What the doctor finds for the threads that are going to measure, without what is fine.
fn doctor(texts: &HostTexts, asked: &Asked) -> Vec<FindingRow> {
    let thread = |cpu: &usize| PlannedThread {
        name: format!("wakeup/{cpu}"),
        policy: asked.policy,
        cpu: Some(*cpu),
        is_busy: false,
    };
    let needs = Needs { threads: asked.cpus.iter().map(thread).collect(), ..Needs::default() };
    let mut found = findings(texts, &needs);
    found.retain(|it| it.level != Level::Fine);
    found.sort_by_key(|it| std::cmp::Reverse(it.level));
    found.iter().map(FindingRow::from).collect()
}

/// This instant, UTC, as RFC 3339 has it.
fn began() -> String {
    let told = utc(realtime_ns());
    let seconds = told.split('.').next().unwrap_or_default();
    format!("{}Z", seconds.replace(' ', "T"))
}

impl Report {
    /// Nothing was measured yet.
    #[must_use]
    pub fn new(began: String) -> Self {
        Self {
            schema: SCHEMA,
            program: PROGRAM.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: std::env::args().skip(1).collect(),
            began,
            host: BTreeMap::new(),
            findings: Vec::new(),
            runs: Vec::new(),
            gates: Vec::new(),
            cautions: Vec::new(),
            invalid: Vec::new(),
            verdict: Verdict::Invalid,
        }
    }
}
