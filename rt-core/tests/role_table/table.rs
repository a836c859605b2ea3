//! The table as text: as stored, and whole.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use rt_core::pair::State;
use rt_core::timer::TimerName;

use crate::effect::{Step, heading, step};
use crate::situations::Situation;
use crate::{events, situations};

const HEADER: &str = "\
# What a node does, whatever happens to it: each state, in the situations that matter, and all that
# can happen in it. Made from the role machine by
# `BUMPLESS_WRITE=1 cargo test -p rt-core --test role_table`; do not edit.
#
# A pair with a beat each 5 ms: lease 30 ms, promise 31 ms, suspicion after 20 ms. Each line is one
# step of one machine: what it does, and the events that do it. \"time\" is the instant at which the
# timer ends, and what ends before it is acted on in the same step. What is in parentheses after a
# new state is the cause. \"beat: active\" is of a later epoch unless it says \"present\".
";

/// All steps of a situation.
pub(crate) fn steps(situation: &Situation) -> Vec<Step> {
    events::all(situation).iter().map(|happening| step(situation, happening)).collect()
}

fn place(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// What a file of the project says.
pub(crate) fn stored(path: &str) -> String {
    std::fs::read_to_string(place(path)).unwrap_or_default()
}

/// Holds a text against the file that stores it, or stores it.
pub(crate) fn compare(path: &str, made: &str) {
    let path = place(path);
    if std::env::var_os("BUMPLESS_WRITE").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = made.lines().zip(stored.lines()).find(|(made, stored)| made != stored);
    assert!(
        made == stored,
        "{} is not what the role machine does, first here: {differs:#?}\n\
         if that is meant, `BUMPLESS_WRITE=1 cargo test -p rt-core --test role_table`",
        path.display()
    );
}

fn text(situations: &[Situation]) -> String {
    let mut text = String::from(HEADER);
    for situation in situations {
        text.push('\n');
        text.push_str(&heading(situation));
        let mut by_effect: Vec<(String, Vec<String>)> = Vec::new();
        for step in steps(situation) {
            let effect = match (step.can_be, step.words.is_empty()) {
                (false, _) => "(is not waited for)".into(),
                (true, true) => "(nothing)".into(),
                (true, false) => step.words,
            };
            match by_effect.iter_mut().find(|(known, _)| *known == effect) {
                Some((_, labels)) => labels.push(step.label),
                None => by_effect.push((effect, vec![step.label])),
            }
        }
        // What changes nothing last.
        by_effect.sort_by_key(|(effect, _)| effect.starts_with('('));
        for (effect, labels) in by_effect {
            writeln!(text, "  {effect}").unwrap();
            wrap(&mut text, &labels);
        }
    }
    text
}

/// The labels by kind, as many as fit on each line.
fn wrap(text: &mut String, labels: &[String]) {
    let mut kinds: Vec<(&str, Vec<&str>)> = Vec::new();
    for label in labels {
        let (kind, name) = label.split_once(": ").unwrap();
        match kinds.last_mut().filter(|(known, _)| *known == kind) {
            Some((_, names)) => names.push(name),
            None => kinds.push((kind, vec![name])),
        }
    }
    for (kind, names) in kinds {
        let mut line = format!("      {kind}:");
        for (place, name) in names.iter().enumerate() {
            let comma = if place + 1 < names.len() { "," } else { "" };
            if line.chars().count() + name.chars().count() > 97 {
                writeln!(text, "{line}").unwrap();
                line = String::from("         ");
            }
            write!(line, " {name}{comma}").unwrap();
        }
        writeln!(text, "{line}").unwrap();
    }
}

#[test]
fn the_table_is_what_the_machine_does() {
    compare("docs/role-table.txt", &text(&situations::all()));
}

#[test]
fn each_state_has_each_event_and_each_timer_ends_somewhere() {
    let situations = situations::all();
    let mut labels: BTreeMap<State, Vec<String>> = BTreeMap::new();
    let mut ended = [false; rt_core::pair::role::Timer::ALL.len()];
    for situation in &situations {
        let steps = steps(situation);
        let names: Vec<String> = steps.iter().map(|step| step.label.clone()).collect();
        let first = labels.entry(situation.state).or_insert_with(|| names.clone());
        assert_eq!(*first, names, "{}", situation.what);
        for (timer, ended) in rt_core::pair::role::Timer::ALL.into_iter().zip(&mut ended) {
            *ended |= situation.machine.deadline(timer).is_some();
        }
    }
    assert_eq!(labels.keys().copied().collect::<Vec<_>>(), State::ALL);
    let all = &labels[&State::Off];
    assert!(labels.values().all(|labels| labels == all), "the same events in every state");
    let never: Vec<_> = rt_core::pair::role::Timer::ALL
        .into_iter()
        .zip(ended)
        .filter(|(_, ended)| !ended)
        .collect();
    assert!(never.is_empty(), "no situation in which these end: {never:?}");
}

#[test]
fn the_runbook_has_each_state_with_its_five_lines() {
    let page = stored("docs/runbook.md");
    for state in State::ALL {
        let heading = format!("\n## {state}\n");
        let (_, rest) = page.split_once(&heading).unwrap_or_else(|| panic!("no {state}"));
        let section = rest.split("\n## ").next().unwrap();
        for line in ["You see", "It means", "Outputs", "Do", "Do not"] {
            assert_eq!(section.matches(&format!("- **{line}:**")).count(), 1, "{line} of {state}");
        }
        assert!(section.contains(&format!("`{state}`")), "{state} is shown as it is seen");
        assert!(page.contains(&format!("\n| {state} | ")), "{state} at a glance");
        let drives = if state.is_active() { "yes" } else { "no" };
        assert!(page.contains(&format!("\n| {state} | {drives} |")), "{state} drives: {drives}");
    }
}
