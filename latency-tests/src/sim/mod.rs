//! Two nodes, a witness, latches and networks in virtual time.
//!
//! A run is a function of its seed: it reads no clock and starts no thread. The nodes are the
//! product's own [`rt_core::pair::Heart`], the witness its [`rt_core::pair::register`], the outputs
//! its [`rt_core::pair::latch`]; what is simulated is the world around them.
//!
//! | Module | Holds |
//! |---|---|
//! | [`swarm`] | what a seed is: timers, networks, mode, faults, all drawn from it |
//! | [`clock`] | a node's clock: offset, rate, standing still |
//! | [`lane`] | one direction of a path: delay, loss, repetition, cuts |
//! | [`queue`] | what happens when |
//! | [`node`] | a node: heart, gate, application |
//! | [`world`] | all of it, an event after the other |
//! | [`fault`] | what goes wrong, and how it is made right |
//! | [`harm`] | a fault's way into the world, and out of it |
//! | [`check`] | what must never be, watched from outside |
//! | [`report`] | what a run comes to, and what happened in it at least once |
//!
//! A run has two phases: faults come for a minute and more; then all is healed, and within a bound
//! the pair has to be whole again.

pub mod check;
pub mod clock;
pub mod fault;
pub mod harm;
pub mod lane;
pub mod node;
pub mod queue;
pub mod report;
pub mod swarm;
pub mod world;

use report::Report;
use swarm::Swarm;
use world::World;

/// Runs a seed. With `trace` each event is printed on a line of its own.
#[must_use]
pub fn run(seed: u64, trace: bool) -> Report {
    World::new(Swarm::draw(seed), trace).run()
}
