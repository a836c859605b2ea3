//! What can happen next, and what must never.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use rt_core::pair::{NodeId, State};
use stateright::{Checker, Model, Property};

use crate::setup::Setup;
use crate::world::{Message, World};

/// Epoch in which a pair that has come up stands.
const EPOCH_FIRST: u64 = 4;
/// Threads of a check.
const THREADS: usize = 2;
const ONE_OWNER: &str = "one node drives at most";

/// Both nodes, as [`Setup`] says.
#[derive(Clone, Debug)]
struct Pair {
    setup: Setup,
    kept: Option<Kept>,
}

/// Every so many'th state, as they are reached.
#[derive(Clone, Debug)]
struct Kept {
    one_in: u64,
    states: Arc<Mutex<HashMap<u64, World>>>,
}

impl Kept {
    fn note(&self, world: &World) {
        let mut hasher = DefaultHasher::new();
        world.hash(&mut hasher);
        let hash = hasher.finish();
        if hash.is_multiple_of(self.one_in) {
            let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
            states.entry(hash).or_insert_with(|| world.clone());
        }
    }
}

/// Something that may happen.
#[derive(Clone, PartialEq, Debug)]
enum Act {
    /// Both clocks go on.
    Tick,
    /// One clock goes on.
    Slip(NodeId),
    /// A node's program stands still; its clock, and its gate, do not.
    Pause(NodeId),
    /// It goes on.
    Resume(NodeId),
    /// A node stands still, its clock with it.
    Freeze(NodeId),
    /// It goes on, with its clock.
    Thaw(NodeId),
    /// What is under way arrives.
    Deliver(Message),
    /// It arrives, and once more later.
    Repeat(Message),
    /// It is lost.
    Lose(Message),
    /// A fence that was ordered does not work.
    Fail(Message),
    /// A node crashes; its gate is left as it is.
    Crash(NodeId),
    /// It starts again.
    Start(NodeId),
    /// The witness loses its register.
    Forget,
    /// An operator wants the other node to drive.
    SwitchOver(NodeId),
}

impl Pair {
    fn acts_of_node(&self, world: &World, node: NodeId, acts: &mut Vec<Act>) {
        let setup = &self.setup;
        let it = world.node(node);
        if !it.is_up {
            acts.push(Act::Start(node));
            return;
        }
        if it.is_frozen {
            acts.push(Act::Thaw(node));
            return;
        }
        if it.is_paused {
            acts.push(Act::Resume(node));
        } else if world.pauses < setup.pauses_max {
            acts.push(Act::Pause(node));
        }
        if world.freezes < setup.freezes_max {
            acts.push(Act::Freeze(node));
        }
        if it.starts < setup.starts_max {
            acts.push(Act::Crash(node));
        }
        if setup.switchover && !it.is_paused && it.machine.state() == State::ActiveDuplex {
            acts.push(Act::SwitchOver(node));
        }
    }
}

impl Model for Pair {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        vec![World::up(&self.setup)]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        acts.push(Act::Tick);
        for node in NodeId::ALL {
            if world.slips < self.setup.slips_max {
                acts.push(Act::Slip(node));
            }
            self.acts_of_node(world, node, acts);
        }
        for message in &world.messages {
            let message = || message.clone();
            acts.push(Act::Deliver(message()));
            match message() {
                Message::Fence { .. } => acts.push(Act::Fail(message())),
                Message::Beat { .. } => acts.push(Act::Lose(message())),
                _ => acts.extend([Act::Lose(message()), Act::Repeat(message())]),
            }
        }
        if world.losses < self.setup.losses_max {
            acts.push(Act::Forget);
        }
    }

    fn next_state(&self, last: &World, act: Act) -> Option<World> {
        let setup = &self.setup;
        let mut world = last.clone();
        if let Act::Deliver(message) | Act::Lose(message) | Act::Fail(message) = &act {
            world.messages.retain(|it| it != message);
        }
        match act {
            Act::Tick => world.tick([1, 1], setup),
            Act::Slip(node) => {
                world.slips += 1;
                world.tick(NodeId::ALL.map(|it| u64::from(it == node)), setup);
            }
            Act::Pause(node) => {
                world.pauses += 1;
                world.nodes[node.index()].is_paused = true;
            }
            Act::Resume(node) => world.resume(node, setup),
            Act::Freeze(node) => {
                world.freezes += 1;
                world.nodes[node.index()].is_frozen = true;
            }
            Act::Thaw(node) => world.nodes[node.index()].is_frozen = false,
            Act::Deliver(message) | Act::Repeat(message) => world.deliver(message, setup),
            Act::Lose(_) => {}
            Act::Fail(message) => world.fail(&message, setup),
            Act::Crash(node) => world.crash(node, setup),
            Act::Start(node) => world.start(node, setup),
            Act::Forget => world.forget(setup),
            Act::SwitchOver(node) => world.switch_over(node, setup),
        }
        if world == *last {
            return None;
        }
        if let Some(kept) = &self.kept {
            kept.note(&world);
        }
        Some(world)
    }

    fn within_boundary(&self, world: &World) -> bool {
        let last = EPOCH_FIRST + self.setup.epochs_max;
        world.nodes.iter().all(|node| node.machine.standing().epoch.number() <= last)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always(ONE_OWNER, |_, world: &World| !world.is_split())]
    }
}

/// What a check looked at.
struct Explored {
    states: usize,
    /// A step a line.
    violation: Option<Vec<String>>,
}

/// Explores all of it, or as far as the first violation.
fn explore(name: &str, setup: Setup) -> Explored {
    let checker = Pair { setup, kept: None }.checker().threads(THREADS).spawn_bfs().join();
    let states = checker.unique_state_count();
    println!("{name}: {states} states, {} steps deep", checker.max_depth());
    let violation = checker.discovery(ONE_OWNER).map(|path| {
        let steps = path.into_vec().into_iter();
        steps.map(|(world, act)| format!("{}   {}", world.line(), brief(act))).collect()
    });
    Explored { states, violation }
}

/// What happens next, without what a message says.
fn brief(act: Option<Act>) -> String {
    let text = act.map_or_else(String::new, |act| format!("{act:?}"));
    let end = text.find('{').unwrap_or(text.len());
    text[..end].trim_end().to_owned()
}

/// Explores all of it and finds nothing wrong, in this many states at least.
pub(crate) fn holds(name: &str, setup: Setup, states_min: usize) {
    let found = explore(name, setup);
    if let Some(steps) = found.violation {
        panic!("{name}: two nodes drive:\n{}", steps.join("\n"));
    }
    assert!(found.states >= states_min, "{name}: {} states only", found.states);
}

/// Finds that two nodes drive, and says how.
pub(crate) fn breaks(name: &str, setup: Setup) {
    let found = explore(name, setup);
    let steps = found.violation.unwrap_or_else(|| panic!("{name}: nothing was found"));
    println!("    {}", steps.join("\n    "));
}

/// From every `one_in`th state that can be reached, a pair that is well again comes up in so many
/// ticks: one node drives, and the other is its standby.
pub(crate) fn heals(name: &str, setup: Setup, one_in: u64, ticks: u64) {
    let states = Arc::new(Mutex::new(HashMap::new()));
    let kept = Some(Kept { one_in, states: Arc::clone(&states) });
    let model = Pair { setup: setup.clone(), kept };
    let checker = model.checker().threads(THREADS).spawn_bfs().join();
    let worlds = std::mem::take(&mut *states.lock().unwrap_or_else(PoisonError::into_inner));
    println!("{name}: from {} of {} states", worlds.len(), checker.unique_state_count());
    assert!(worlds.len() > 100, "{name}: too few states");
    for world in worlds.values() {
        if let Err(last) = world.heal(&setup, ticks) {
            panic!("{name}: not well in {ticks} ticks\n  from {}\n  to   {last}", world.line());
        }
    }
}
