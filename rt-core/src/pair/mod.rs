//! A pair of nodes, of which one drives the outputs.
//!
//! | Module | Holds |
//! |---|---|
//! | [`standing`] | nodes, epochs, and what a pair stands at |
//! | [`state`] | the states of a node, in the operator's words |
//! | [`beat`] | what a heartbeat says |
//! | [`schedule`] | when a node's beats are due |
//! | [`detector`] | one path as its listener sees it |
//! | [`clock_rate`] | how fast the peer's clock runs against ours |
//! | [`letter`] | what a beat travels in |
//! | [`sessions`] | who is the peer's present session, and which letters are taken |
//! | [`wire`] | all of it as octets, sealed |
//! | [`refusal`] | why something that came is not taken, and how often |
//! | [`blocks`] | what keeps a node from taking over |
//! | [`evidence`] | how sure one is that the peer does not drive |
//! | [`arbiter`] | who decides when the peer is silent |
//! | [`question`] | what is asked of witness, latches and fence |
//! | [`register`] | what a witness keeps, and how it changes |
//! | [`latch`] | which frames an output takes |
//! | [`terms`] | what a role machine goes by |
//! | [`role`] | the role machine |
//! | [`heart`] | all of it, as the thread of the daemon and the simulator drive it |
//!
//! # The rule that keeps one owner
//!
//! A node drives in an epoch that is its own, and only while it holds a lease that its standby
//! grants, or while the pair's standing says that nobody else may take over. Whoever grants a lease
//! promises to ask for the outputs no earlier than the promise is over, and the promise outlasts
//! the lease on any two clocks ([`crate::margins`]). A promise is for any epoch; a node that
//! restarted has promised as much as it may have done before.

pub mod arbiter;
pub mod beat;
pub mod blocks;
pub mod clock_rate;
pub mod detector;
pub mod evidence;
pub mod heart;
pub mod latch;
pub mod letter;
pub mod question;
pub mod refusal;
pub mod register;
pub mod role;
pub mod schedule;
pub mod sessions;
pub mod standing;
pub mod state;
pub mod terms;
pub mod wire;

pub use arbiter::{Arbiter, Mode, Need};
pub use beat::{Beat, BootId, Echo, Health, PATHS_MAX, PathReport, Session, Verdict, Word};
pub use blocks::Blocks;
pub use clock_rate::{ClockRate, RateVerdict};
pub use detector::Detector;
pub use evidence::Evidence;
pub use heart::Heart;
pub use letter::{Address, Letter, PairId};
pub use refusal::{Refusal, Refusals};
pub use role::Machine;
pub use schedule::Schedule;
pub use sessions::{Accepted, Sessions};
pub use standing::{Epoch, Form, NodeId, Standing};
pub use state::State;
pub use terms::Terms;
