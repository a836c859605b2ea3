//! Which series of which document stands for what.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rt_core::os::jitter::{DECIDING, Input, LanRecorded, Recorded, seconds_of_date};
use rt_core::os::recorder::{RUN_LENGTH_MAX, Rung};
use rt_core::os::tail::{Exceedances, Peak};
use rt_core::time::Duration;
use tools::exit::{ExitCode, Failure};

use super::Options;
use crate::latency::out::json::read_file;
use crate::latency::report::{self, Measure, Probe, Report, Series, Verdict};
use crate::latency::verdict;

pub(super) const RECORD_ROUND_TRIPS: &str =
    "record both LANs: `bumpless latency heartbeat --json FILE` while the peer answers";
pub(super) const RECORD_LATENESS: &str =
    "record it: `bumpless latency heartbeat --json FILE`, or `bumpless latency wakeup --json FILE`";

/// Where some figures come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// `a` or `b`.
    pub name: String,
    /// Its files.
    pub files: Vec<PathBuf>,
    /// When the oldest of them began: seconds since 1970.
    pub began_s: u64,
    /// What it is.
    pub facts: BTreeMap<String, String>,
    /// The probe whose lateness was taken.
    pub probe: Probe,
}

/// All that timers are derived from.
#[derive(Clone, Debug)]
pub struct Material {
    /// In the order of the input's hosts.
    pub hosts: Vec<Host>,
    /// What was recorded.
    pub input: Input,
    /// What whoever uses the figures should know, a sentence each.
    pub cautions: Vec<String>,
}

impl Material {
    /// Reads the files that were named.
    ///
    /// # Errors
    /// As [`Material::of`]; a file that cannot be read or is no result (usage).
    pub fn read(options: &Options) -> Result<Self, Failure> {
        let named: Vec<(&str, Vec<PathBuf>)> = match (&*options.files, &*options.host_b) {
            ([], []) => vec![("a", options.host_a.clone())],
            ([], b) => vec![("a", options.host_a.clone()), ("b", b.to_vec())],
            (files, _) => {
                ["a", "b"].into_iter().zip(files.iter().map(|it| vec![it.clone()])).collect()
            }
        };
        let mut hosts = Vec::new();
        for (name, files) in named {
            let read: Result<Vec<_>, Failure> =
                files.into_iter().map(|path| Ok((read_file(&path)?, path))).collect();
            hosts.push((name.to_owned(), read?));
        }
        Self::of(hosts)
    }

    /// Takes what is needed out of the documents of one or two hosts.
    ///
    /// # Errors
    /// Invalid: a run that proves nothing, documents of a host that are of several, no lateness, or
    /// no round trip on a LAN.
    pub fn of(hosts: Vec<(String, Vec<(Report, PathBuf)>)>) -> Result<Self, Failure> {
        let mut material = Self {
            hosts: Vec::new(),
            input: Input { hosts: Vec::new(), lans: [Vec::new(), Vec::new()] },
            cautions: Vec::new(),
        };
        for (name, documents) in &hosts {
            material.take_host(name, documents)?;
        }
        if material.hosts.len() == 1 {
            material.cautions.push(
                "one host was recorded: the other one is taken for the same, and its stalls are \
                 counted as often"
                    .to_owned(),
            );
        }
        for (recorded, lan) in material.input.lans.iter().zip(["a", "b"]) {
            if recorded.is_empty() {
                let what = format!("no document has a round trip on LAN {}", lan.to_uppercase());
                return Err(Failure::new(ExitCode::Invalid, what, RECORD_ROUND_TRIPS));
            }
        }
        Ok(material)
    }

    fn take_host(&mut self, name: &str, documents: &[(Report, PathBuf)]) -> Result<(), Failure> {
        let mut began_s = u64::MAX;
        for (report, path) in documents {
            began_s = began_s.min(usable(report, path)?);
            let shown = path.display();
            self.cautions.extend(report.cautions.iter().map(|it| format!("{shown}: {it}")));
            self.take_lans(name, report, path)?;
        }
        let [(first, first_path), rest @ ..] = documents else {
            return Err(Failure::usage(format!("host {name}: no file"), "name one"));
        };
        for (other, path) in rest {
            same_host((first, first_path), (other, path))?;
        }
        let of = |probe| {
            let all = documents.iter().flat_map(move |(report, path)| {
                report.series().map(move |(of, series)| (of, series, path))
            });
            all.filter(move |(of, series, _)| *of == probe && series.measure == Measure::Lateness)
        };
        let beats = of(Probe::Heartbeat).next().is_some();
        let probe = if beats { Probe::Heartbeat } else { Probe::Wakeup };
        let mut lateness = Vec::new();
        for (_, series, path) in of(probe) {
            lateness.push(recorded(series, path)?);
        }
        if lateness.is_empty() {
            let what = format!("host {name}: no lateness is in {}", first_path.display());
            return Err(Failure::new(ExitCode::Invalid, what, RECORD_LATENESS));
        }
        if probe == Probe::Wakeup {
            self.cautions.push(format!(
                "host {name}: lateness of wake-ups stands for that of its beats, which were not \
                 recorded"
            ));
        }
        self.input.hosts.push((name.to_owned(), lateness));
        self.hosts.push(Host {
            name: name.to_owned(),
            files: documents.iter().map(|it| it.1.clone()).collect(),
            began_s,
            facts: first.host.clone(),
            probe,
        });
        Ok(())
    }

    fn take_lans(&mut self, host: &str, report: &Report, path: &Path) -> Result<(), Failure> {
        let is_beat = |(probe, series): &(Probe, &Series)| {
            *probe == Probe::Heartbeat && series.measure == Measure::RoundTrip
        };
        for (_, series) in report.series().filter(is_beat) {
            let lan = match series.name.to_ascii_lowercase().as_str() {
                "lan a" => 0,
                "lan b" => 1,
                _ => continue,
            };
            let Some(least_ns) = series.seen.min_ns else {
                let what = format!("{}: {}: no beat was answered", path.display(), series.name);
                return Err(Failure::new(ExitCode::Invalid, what, RECORD_ROUND_TRIPS));
            };
            let mut recorded = recorded(series, path)?;
            // Both hosts may have asked on it.
            recorded.name = format!("host {host}");
            self.input.lans[lan].push(LanRecorded {
                recorded,
                least: Duration::from_nanos(least_ns),
                lost: series.counts.lost,
                rows: series.run_lengths.iter().map(rung).collect(),
                lost_by_time: series.timeline.iter().map(|it| it.lost).collect(),
            });
        }
        Ok(())
    }
}

/// Whether timers may rest on a document; when it began.
fn usable(report: &Report, path: &Path) -> Result<u64, Failure> {
    let shown = path.display();
    if report.verdict == Verdict::Invalid || !report.invalid.is_empty() {
        let why = if report.invalid.is_empty() {
            "its verdict is invalid".to_owned()
        } else {
            report.invalid.join("; ")
        };
        let what = format!("{shown}: the run proves nothing: {why}");
        return Err(Failure::new(ExitCode::Invalid, what, "measure again, undisturbed"));
    }
    // A verdict can be written by hand; what it rests on stands beside it.
    if let Some(why) = verdict::reasons_of(report).first() {
        let what = format!("{shown}: the run proves nothing, whatever its verdict says: {why}");
        return Err(Failure::new(ExitCode::Invalid, what, "measure again, undisturbed"));
    }
    seconds_of_date(&report.began).ok_or_else(|| {
        let what = format!("{shown}: {:?} is no date", report.began);
        Failure::usage(what, "name a file that bumpless-latency wrote")
    })
}

/// Documents of one host must be of one host.
fn same_host(a: (&Report, &Path), b: (&Report, &Path)) -> Result<(), Failure> {
    let differing = DECIDING.iter().find(|name| a.0.host.get(**name) != b.0.host.get(**name));
    let Some(name) = differing else { return Ok(()) };
    let told = |report: &Report| report.host.get(*name).cloned().unwrap_or_default();
    let what = format!(
        "{} and {} are not of the same host: {name} is {:?} and {:?}",
        a.1.display(),
        b.1.display(),
        told(a.0),
        told(b.0)
    );
    Err(Failure::new(ExitCode::Invalid, what, "name each with the host that it is of"))
}

fn recorded(series: &Series, path: &Path) -> Result<Recorded, Failure> {
    let report::Exceedances { threshold_ns, peaks } = &series.exceedances;
    let peaks: Vec<Peak> = peaks.iter().map(|&(cycle, late_ns)| Peak { cycle, late_ns }).collect();
    let cycles = series.cycles().saturating_add(series.counts.skipped);
    let (period_ns, swallowed) = (series.period_ns, series.counts.swallowed);
    let found = Exceedances::of_samples(cycles, *threshold_ns, &peaks, period_ns, swallowed);
    let name = series.name.clone();
    let found = found.map_err(|why| {
        let what = format!("{}: {name}: {why}", path.display());
        Failure::new(ExitCode::Invalid, what, "")
    })?;
    Ok(Recorded { name, period: Duration::from_nanos(period_ns), series: found })
}

/// As the statistics know it: the greatest length that can be told stands for all above it.
fn rung(of: &report::Rung) -> Rung {
    let mut runs = [0; RUN_LENGTH_MAX + 1];
    for &(length, count) in &of.rows {
        let length = usize::try_from(length).unwrap_or(usize::MAX).clamp(1, runs.len());
        let place: &mut u64 = &mut runs[length - 1];
        *place = place.saturating_add(count);
    }
    Rung { threshold_ns: of.threshold_ns, longest: of.longest, runs }
}
