//! What is not a figure of the series: facts of the host, settings, findings.

use std::collections::{BTreeMap, BTreeSet};

use super::Differing;
use crate::latency::report::{Report, Run};

/// What differs between two tables, and how much does not.
pub(super) fn facts(
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> (Vec<Differing>, u64) {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut equal = 0;
    let mut differ = Vec::new();
    for name in names {
        let [before, after] = [before, after].map(|it| it.get(name).cloned());
        if before == after {
            equal += 1;
        } else {
            differ.push(Differing { name: name.clone(), before, after });
        }
    }
    (differ, equal)
}

/// The same of the settings of probes that both ran.
pub(super) fn settings(before: &Report, after: &Report) -> (Vec<Differing>, u64) {
    let (mut mine, mut theirs) = (BTreeMap::new(), BTreeMap::new());
    for run in &before.runs {
        if let Some(other) = after.runs.iter().find(|it| it.probe == run.probe) {
            mine.extend(of(run));
            theirs.extend(of(other));
        }
    }
    facts(&mine, &theirs)
}

fn of(run: &Run) -> BTreeMap<String, String> {
    let it = &run.settings;
    let cpus: Vec<String> = it.cpus.iter().map(ToString::to_string).collect();
    let mut all = BTreeMap::from([
        ("interval_ns".to_owned(), it.interval_ns.to_string()),
        ("distance_ns".to_owned(), it.distance_ns.to_string()),
        ("policy".to_owned(), it.policy.clone()),
        ("priority".to_owned(), it.priority.to_string()),
        ("cpus".to_owned(), cpus.join(",")),
        ("memory_locked".to_owned(), it.memory_locked.to_string()),
        ("stress".to_owned(), it.stress.join(" ")),
        ("planned_ns".to_owned(), run.planned_ns.to_string()),
    ]);
    if let Some(us) = it.cpu_dma_latency_us {
        all.insert("cpu_dma_latency_us".to_owned(), us.to_string());
    }
    all.extend(it.more.iter().map(|(name, value)| (name.clone(), value.clone())));
    let probe = run.probe.name();
    all.into_iter().map(|(name, value)| (format!("{probe}.{name}"), value)).collect()
}

/// Findings that only one of both has.
pub(super) fn findings(before: &Report, after: &Report) -> [Vec<String>; 2] {
    let told = |report: &Report| -> BTreeMap<(String, String, String), String> {
        let each = report.findings.iter().map(|it| {
            let key = (it.id.clone(), it.subject.clone(), it.level.clone());
            (key, format!("{}: {} ({}): {}", it.level, it.subject, it.id, it.seen))
        });
        each.collect()
    };
    let (mine, theirs) = (told(before), told(after));
    let only = |these: &BTreeMap<_, String>, those: &BTreeMap<_, String>| {
        let only = these.iter().filter(|(key, _)| !those.contains_key(*key));
        only.map(|(_, text)| text.clone()).collect()
    };
    [only(&mine, &theirs), only(&theirs, &mine)]
}
