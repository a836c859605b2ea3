//! The claims of bumpless, put to the test.
//!
//! What disturbs and what judges stands apart from what is judged: [`impair`] and [`stream`] use
//! nothing of the crates `prp` and `tools`, so a defect there cannot hide itself by being in both
//! the product and its witness. [`mod@bench`] measures and judges nothing but speed; it sends
//! through the product's own ports, for they are the fastest at hand.
//!
//! | Module | Holds |
//! |---|---|
//! | [`mod@bench`] | what a frame costs: instructions, rates per core, round trips |
//! | [`impair`] | faults between two interfaces, decided by a pure module, steered over a socket |
//! | [`lab`] | machines with a real-time kernel, and tests that run themselves inside |
//! | [`latency`] | how late a machine is, and what else it did meanwhile |
//! | [`sim`] | takeovers in virtual time: the product's own protocol in a world of chance |
//! | [`stream`] | numbered traffic and the exact account of what arrived |
//! | [`torture`] | processes that use regions, killed at every instruction, and what is left then |
//! | [`tracefs`] | what the kernel recorded of a thread: lateness, cost of each call |
//! | [`os`] | packet sockets, clock, signals: everything that touches the kernel |

pub mod bench;
pub mod impair;
pub mod lab;
pub mod latency;
#[allow(unsafe_code, reason = "system calls; each block carries its proof")]
pub mod os;
pub mod sim;
pub mod stream;
pub mod torture;
pub mod tracefs;
