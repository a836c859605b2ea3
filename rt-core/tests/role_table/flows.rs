//! What a pair does when something fails, as pictures: two machines go through it, and their
//! changes of state are drawn.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rt_core::pair::question::FenceOutcome;
use rt_core::pair::role::{Event, Order};
use rt_core::pair::{Mode, NodeId, State};
use rt_core::time::Instant;

use crate::effect::{cause_name, step};
use crate::pair::{A, B, Change, Fence, Pair};
use crate::situations::{self, Situation};
use crate::{events, table};

const PAGE: &str = "docs/takeover.md";
const BEGIN: &str =
    "<!-- made from the role machine by rt-core/tests/role_table; do not edit -->\n";
const END: &str = "<!-- end of what is made -->\n";

/// Something that happens to a pair that has come up.
struct Flow {
    title: &'static str,
    text: &'static str,
    modes: &'static [Mode],
    begins: fn(Mode) -> Pair,
    happens: fn(&mut Pair),
}

const ALL: &[Mode] = &Mode::ALL;
/// Where somebody else than the two nodes is asked.
const ASKING: &[Mode] = &[Mode::Witness, Mode::Latch, Mode::Fence, Mode::SameHost];

const FLOWS: &[Flow] = &[
    Flow {
        title: "Start",
        text: "Both nodes are started, of a pair that never drove. Each listens first; then A goes \
               first, and takes B as its standby once it is in sync.",
        modes: ALL,
        begins: Pair::new,
        happens: |pair| pair.run(1_200),
    },
    Flow {
        title: "The active node ends",
        text: "A crashes, or its host loses its power, without a word.",
        modes: ALL,
        begins: Pair::up,
        happens: |pair| {
            pair.crash(A);
            pair.run(200);
        },
    },
    Flow {
        title: "The standby ends",
        text: "B crashes. A asks to be alone before its lease is over, and never stops.",
        modes: ALL,
        begins: Pair::up,
        happens: |pair| {
            pair.crash(B);
            pair.run(200);
        },
    },
    Flow {
        title: "Every path between the nodes is cut",
        text: "Both nodes live, and whoever decides can be asked by both. After 200 ms the paths \
               are whole again.",
        modes: ALL,
        begins: Pair::up,
        happens: |pair| {
            pair.cut();
            pair.run(200);
            pair.carries = [true; 2];
            pair.run(2_500);
        },
    },
    Flow {
        title: "Every path is cut, and whoever decides is silent",
        text: "Neither node gets an answer. After 200 ms the paths are whole again, and after \
               another 100 ms there are answers.",
        modes: ASKING,
        begins: Pair::up,
        happens: |pair| {
            pair.answers = false;
            pair.fence = Fence::Silent;
            pair.cut();
            pair.run(200);
            pair.carries = [true; 2];
            pair.run(100);
            pair.answers = true;
            for node in [A, B] {
                pair.give(node, Event::Fence(FenceOutcome::Failed));
            }
            pair.run(2_500);
        },
    },
    Flow {
        title: "A does not hear B, and nobody decides",
        text: "What A says arrives, what B says does not. B's promise is prolonged by each beat of \
               A's, until A gives up and asks for no lease any more. After 300 ms all is well \
               again.",
        modes: ASKING,
        begins: Pair::up,
        happens: |pair| {
            pair.answers = false;
            pair.fence = Fence::Silent;
            pair.carries = [true, false];
            pair.run(300);
            pair.carries = [true; 2];
            pair.answers = true;
            for node in [A, B] {
                pair.give(node, Event::Fence(FenceOutcome::Failed));
            }
            pair.run(2_500);
        },
    },
    Flow {
        title: "A planned switchover",
        text: "An operator orders it on A.",
        modes: ALL,
        begins: Pair::up,
        happens: |pair| {
            pair.give(A, Event::Order(Order::Switchover));
            pair.run(200);
        },
    },
    Flow {
        title: "The active node's application is not well",
        text: "A's application says that it cannot control, or its cycle stalls. After 100 ms it \
               is well again.",
        modes: ALL,
        begins: Pair::up,
        happens: |pair| {
            pair.give(A, Event::Application { well: false });
            pair.run(100);
            pair.give(A, Event::Application { well: true });
            pair.run(1_500);
        },
    },
    Flow {
        title: "The active node restarts at once",
        text: "A crashes, and is there again after 10 ms: before B's promise is over.",
        modes: ALL,
        begins: Pair::up,
        happens: |pair| {
            pair.crash(A);
            pair.run(10);
            pair.restart(A);
            pair.run(1_500);
        },
    },
    Flow {
        title: "The standby restarts at once",
        text: "B crashes, and is there again after 10 ms.",
        modes: ALL,
        begins: Pair::up,
        happens: |pair| {
            pair.crash(B);
            pair.run(10);
            pair.restart(B);
            pair.run(1_500);
        },
    },
];

/// What came of a flow in one mode.
#[derive(PartialEq, Eq)]
struct Course {
    began: [State; 2],
    changes: Vec<(u64, Change)>,
    drivers: Vec<NodeId>,
    states: [State; 2],
    alive: [bool; 2],
    idle_ms: u64,
}

fn course(flow: &Flow, mode: Mode) -> Course {
    let mut pair = (flow.begins)(mode);
    let (began, start) = (pair.states(), pair.now);
    (flow.happens)(&mut pair);
    let changes = pair.changes.iter().map(|change| {
        let after = change.at.since(start).as_millis();
        (after, Change { at: Instant::ORIGIN, ..*change })
    });
    Course {
        began,
        changes: changes.collect(),
        drivers: NodeId::ALL.into_iter().filter(|node| pair.drives(*node)).collect(),
        states: pair.states(),
        alive: pair.alive,
        idle_ms: pair.idle_ms,
    }
}

fn letters(modes: &[Mode]) -> String {
    let letters: Vec<String> = modes.iter().map(ToString::to_string).collect();
    match letters.split_last() {
        Some((last, [])) => format!("Mode {last}"),
        Some((last, others)) => format!("Modes {} and {last}", others.join(", ")),
        None => String::new(),
    }
}

/// A Mermaid name of a node's state.
fn name(node: NodeId, state: State) -> String {
    format!("{node}{}", state.number())
}

fn picture(course: &Course) -> String {
    let mut text = String::from("```mermaid\nstateDiagram-v2\n");
    for node in NodeId::ALL {
        let of = node.index();
        writeln!(text, "    state \"Node {node}\" as {node} {{").unwrap();
        let mine: Vec<_> = course.changes.iter().filter(|(_, it)| it.node == node).collect();
        let mut states = vec![course.began[of]];
        states.extend(mine.iter().flat_map(|(_, change)| [change.from, change.to]));
        states.sort_unstable();
        states.dedup();
        for state in states {
            writeln!(text, "        state \"{state}\" as {}", name(node, state)).unwrap();
        }
        writeln!(text, "        [*] --> {}", name(node, course.began[of])).unwrap();
        let mut last = course.began[of];
        for (after, Change { from, to, cause, .. }) in mine {
            if last != *from {
                let (last, from) = (name(node, last), name(node, *from));
                writeln!(text, "        {last} --> {from}: ended").unwrap();
            }
            last = *to;
            let (from, to) = (name(node, *from), name(node, *to));
            writeln!(text, "        {from} --> {to}: {} at {after} ms", cause_name(*cause))
                .unwrap();
        }
        text.push_str("    }\n");
    }
    text.push_str("```\n");
    text
}

fn ending(course: &Course) -> String {
    let of = |node: NodeId| {
        let of = node.index();
        if course.alive[of] { course.states[of].name() } else { "gone" }
    };
    let drives = match course.drivers.first() {
        Some(node) => format!("{node} drives"),
        None => "nobody drives".into(),
    };
    let idle = match course.idle_ms {
        0 => "The outputs were driven all the time.".into(),
        idle => format!("Nobody drove for {idle} ms in all."),
    };
    format!("In the end A is {} and B is {}; {drives}. {idle}", of(A), of(B))
}

fn flow_text(flow: &Flow) -> String {
    let mut text = format!("### {}\n\n{}\n", flow.title, wrapped(flow.text));
    let mut groups: Vec<(Course, Vec<Mode>)> = Vec::new();
    for mode in flow.modes {
        let course = course(flow, *mode);
        match groups.iter_mut().find(|(known, _)| *known == course) {
            Some((_, modes)) => modes.push(*mode),
            None => groups.push((course, vec![*mode])),
        }
    }
    for (course, modes) in groups {
        let words = wrapped(&format!("**{}.** {}", letters(&modes), ending(&course)));
        write!(text, "\n{words}\n\n{}", picture(&course)).unwrap();
    }
    text
}

/// At most 100 columns.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        if lines.last().is_some_and(|line| line.len() + word.len() > 98) {
            lines.push(String::new());
        }
        let line = lines.last_mut().unwrap();
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.join("\n")
}

/// From each state to each other one, by what: all changes in the table.
fn ways(situations: &[Situation]) -> String {
    let mut ways: BTreeMap<(State, State), Vec<String>> = BTreeMap::new();
    for situation in situations {
        for happening in events::all(situation) {
            let made = step(situation, &happening);
            let Some(change) = made.outcome.transition.filter(|_| happening.can_be) else {
                continue;
            };
            let causes = ways.entry((change.from, change.to)).or_default();
            let cause = cause_name(change.cause);
            if !causes.contains(&cause) {
                causes.push(cause);
            }
        }
    }
    let mut text = String::from("| From | To | By |\n|---|---|---|\n");
    for ((from, to), mut causes) in ways {
        causes.sort();
        writeln!(text, "| {from} | {to} | {} |", causes.join(", ")).unwrap();
    }
    text
}

fn made() -> String {
    let mut text = String::from("\n## What happens when\n");
    for flow in FLOWS {
        write!(text, "\n{}", flow_text(flow)).unwrap();
    }
    write!(text, "\n## Every way from state to state\n\n{}\n", ways(&situations::all())).unwrap();
    text
}

#[test]
fn the_pictures_are_what_two_machines_do() {
    let page = table::stored(PAGE);
    let (before, rest) = page.split_once(BEGIN).expect("the page has the marker");
    let (_, after) = rest.split_once(END).expect("the page has the end marker");
    table::compare(PAGE, &format!("{before}{BEGIN}{}{END}{after}", made()));
}

#[test]
fn no_flow_ends_without_an_owner_but_those_in_which_a_person_has_to_decide() {
    for flow in FLOWS {
        for mode in flow.modes {
            let course = course(flow, *mode);
            let is_for_a_person = *mode == Mode::Manual && !course.alive[0];
            let waits = course.drivers.is_empty();
            assert_eq!(
                waits,
                is_for_a_person,
                "{} in mode {mode}: {}",
                flow.title,
                ending(&course)
            );
        }
    }
}
