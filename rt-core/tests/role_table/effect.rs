//! What an event does, and its line in the table.

use std::fmt::Write as _;

use rt_core::pair::question::{Question, Wish};
use rt_core::pair::role::{Cause, Outcome, Timer};
use rt_core::pair::{Form, Machine, Standing};
use rt_core::time::Instant;

use crate::events::Happening;
use crate::situations::Situation;

/// A step that was made.
pub(crate) struct Step {
    pub(crate) label: String,
    pub(crate) at: Instant,
    pub(crate) can_be: bool,
    pub(crate) after: Machine,
    pub(crate) outcome: Outcome,
    /// What it does, in words; empty where it does nothing.
    pub(crate) words: String,
}

/// Makes it happen.
pub(crate) fn step(situation: &Situation, happening: &Happening) -> Step {
    let mut after = situation.machine.clone();
    let outcome = after.step(happening.event, happening.at);
    let mut step = Step {
        label: happening.label.clone(),
        at: happening.at,
        can_be: happening.can_be,
        after,
        outcome,
        words: String::new(),
    };
    step.words = words(&situation.machine, &step);
    step
}

fn words(before: &Machine, step: &Step) -> String {
    let (after, outcome, at) = (&step.after, &step.outcome, step.at);
    let mut words = Vec::new();
    if let Some(change) = outcome.transition {
        words.push(format!("-> {} ({})", change.to, cause_name(change.cause)));
    }
    match (before.may_drive(at), after.may_drive(at)) {
        (false, true) => words.push(format!("gate opens for {}", left(after, at))),
        (true, false) => words.push("gate closes".into()),
        (true, true) if before.gate_deadline() != after.gate_deadline() => {
            words.push(format!("gate stays open for {}", left(after, at)));
        }
        _ => {}
    }
    if before.deadline(Timer::Promise) < after.deadline(Timer::Promise) {
        words.push("promises".into());
    }
    match (before.is_claiming(), after.is_claiming()) {
        (true, false) => words.push("nothing is asked for any more".into()),
        (false, true) if outcome.question.is_none() && outcome.claim.is_none() => {
            words.push("asks for it".into());
        }
        _ => {}
    }
    if let Some(question) = outcome.question {
        words.push(question_words(&question));
    }
    if let Some(claim) = outcome.claim {
        words.push(format!("claims latches {:#b} for epoch {}", claim.latches, claim.epoch));
    }
    if outcome.fence {
        words.push("fences the peer".into());
    }
    if let Some(standing) = outcome.remember {
        words.push(format!("remembers {}", short(&standing)));
    }
    if let Some(blocks) = outcome.order {
        words.push(if blocks.is_empty() { "done".into() } else { format!("refused: {blocks}") });
    }
    if outcome.beat {
        words.push("beats".into());
    }
    words.join("; ")
}

fn left(machine: &Machine, at: Instant) -> String {
    match machine.gate_deadline() {
        Some(deadline) => ms_words(deadline.since(at).as_nanos()),
        None => "-".into(),
    }
}

pub(crate) fn ms_words(nanos: u64) -> String {
    format!("{} ms", nanos / 1_000_000)
}

fn short(standing: &Standing) -> String {
    standing.to_string().replace(" in epoch ", " ")
}

fn question_words(question: &Question) -> String {
    match question.wish {
        Wish::Read => "asks how the register stands".into(),
        Wish::Swap { new, .. } => format!("asks for {}", short(&new)),
        Wish::Seed(standing) => format!("seeds {}", short(&standing)),
    }
}

/// The cause in words: as it is called, with spaces.
pub(crate) fn cause_name(cause: Cause) -> String {
    let mut name = String::new();
    for letter in format!("{cause:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push(' ');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// The situation's heading: where it stands, and what it waits for.
pub(crate) fn heading(situation: &Situation) -> String {
    let machine = &situation.machine;
    let Situation { state, mode, what, now, .. } = situation;
    let mut text = format!("## {state}, mode {mode}: {what}\n");
    let standing = machine.standing();
    let whose = match (standing.owner(), standing.form) {
        (None, _) => "nobody ever drove".into(),
        (Some(owner), Form::Duplex) => format!("{owner} drives, with a standby"),
        (Some(owner), Form::Solo) => format!("{owner} drives alone"),
    };
    let me = machine.terms().me;
    let word = machine.word();
    write!(text, "node {me}; epoch {}: {whose}; ", standing.epoch).unwrap();
    match machine.gate_deadline().filter(|deadline| now < deadline) {
        Some(_) => write!(text, "gate open for {}", left(machine, *now)).unwrap(),
        None => text.push_str("gate closed"),
    }
    for (holds, what) in [
        (word.requests, "requests"),
        (word.grants, "grants"),
        (machine.is_claiming(), "asks for something"),
    ] {
        if holds {
            write!(text, "; {what}").unwrap();
        }
    }
    text.push('\n');
    text
}
