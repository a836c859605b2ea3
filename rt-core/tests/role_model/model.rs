//! What can happen next, and what must never.

use rt_core::pair::{NodeId, State};
use stateright::{Checker, Model, Property};

use crate::world::{Message, Setup, World};

/// Both nodes, as [`Setup`] says.
#[derive(Clone, Debug)]
pub(crate) struct Pair(pub(crate) Setup);

/// Something that may happen.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Act {
    /// Both clocks go on.
    Tick,
    /// One clock goes on.
    Slip(NodeId),
    /// A node's program stands still; its clock, and its gate, do not.
    Pause(NodeId),
    /// It goes on.
    Resume(NodeId),
    /// What is under way arrives.
    Deliver(usize),
    /// It arrives, and once more later.
    Repeat(usize),
    /// It is lost.
    Lose(usize),
    /// A node crashes; its gate is left as it is.
    Crash(NodeId),
    /// It starts again.
    Start(NodeId),
    /// The witness loses its register.
    Forget,
    /// An operator wants the other node to drive.
    SwitchOver(NodeId),
}

impl Model for Pair {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        vec![World::up(&self.0)]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        let setup = &self.0;
        acts.push(Act::Tick);
        for node in NodeId::ALL {
            let it = world.node(node);
            if world.slips < setup.slips_max {
                acts.push(Act::Slip(node));
            }
            if !it.is_up {
                acts.push(Act::Start(node));
                continue;
            }
            if it.is_paused {
                acts.push(Act::Resume(node));
            } else if world.pauses < setup.pauses_max {
                acts.push(Act::Pause(node));
            }
            if it.starts < setup.starts_max {
                acts.push(Act::Crash(node));
            }
            if setup.switchover && it.machine.state() == State::ActiveDuplex {
                acts.push(Act::SwitchOver(node));
            }
        }
        for (place, message) in world.messages.iter().enumerate() {
            acts.push(Act::Deliver(place));
            acts.push(Act::Lose(place));
            if !matches!(message, Message::Beat { .. }) {
                acts.push(Act::Repeat(place));
            }
        }
        if world.losses < setup.losses_max {
            acts.push(Act::Forget);
        }
    }

    fn next_state(&self, last: &World, act: Act) -> Option<World> {
        let setup = &self.0;
        let mut world = last.clone();
        world.last.0.clear();
        match act {
            Act::Tick => world.tick([1, 1], setup),
            Act::Slip(node) => {
                world.slips += 1;
                let mut by = [0, 0];
                by[node.index()] = 1;
                world.tick(by, setup);
            }
            Act::Pause(node) => {
                world.pauses += 1;
                world.nodes[node.index()].is_paused = true;
            }
            Act::Resume(node) => world.resume(node, setup),
            Act::Deliver(place) => {
                let message = world.messages.remove(place);
                world.deliver(message, setup);
            }
            Act::Repeat(place) => {
                let message = world.messages[place].clone();
                world.deliver(message, setup);
            }
            Act::Lose(place) => {
                world.messages.remove(place);
            }
            Act::Crash(node) => world.crash(node, setup),
            Act::Start(node) => world.start(node, setup),
            Act::Forget => {
                world.losses += 1;
                world.witness.lose();
            }
            Act::SwitchOver(node) => world.switch_over(node, setup),
        }
        (world != *last).then_some(world)
    }

    fn within_boundary(&self, world: &World) -> bool {
        NodeId::ALL.iter().all(|node| {
            world.node(*node).machine.standing().epoch.number() <= 4 + self.0.epochs_max
        })
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("one node drives at most", |_, world: &World| {
            !(world.drives(NodeId::A) && world.drives(NodeId::B))
        })]
    }
}

/// Explores all of it and finds nothing wrong.
pub(crate) fn check(name: &str, model: Pair) {
    let begun = std::time::SystemTime::now();
    let checker = model.checker().threads(4).spawn_bfs().join();
    println!(
        "{name}: {} states, {} of them told apart, depth {}, {:?}",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        begun.elapsed().unwrap_or_default()
    );
    if let Some(path) = checker.discovery("one node drives at most") {
        for (world, act) in path.into_vec() {
            println!("{}   -- {act:?}", world.line());
        }
        panic!("{name}: two nodes drive");
    }
}

/// Finds that two nodes drive, and says how.
pub(crate) fn must_fail(name: &str, model: Pair) {
    let checker = model.checker().threads(4).spawn_bfs().join();
    let path = checker
        .discovery("one node drives at most")
        .unwrap_or_else(|| panic!("{name}: nothing was found in {}", checker.state_count()));
    println!("{name}: found after {} states", checker.state_count());
    for (world, act) in path.into_vec() {
        println!("    {}   -- {act:?}", world.line());
    }
}
