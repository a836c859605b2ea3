//! The operating system half: segments in sealed memory, handed from process to process.
//!
//! | Module | Holds |
//! |---|---|
//! | [`broker`] | the daemon's side: who writes what, and with which memory |
//! | [`connection`] | the socket between participants and the daemon |
//! | [`mapping`] | a shared memory as words |
//! | [`participant`] | what a control application links |
//! | [`page`] | a participant's page, in a memory file |
//! | [`process`] | other processes: whether one lives, and is still the one that was meant |
//! | `schedule` | where a test may have another thread go on |
//! | [`segment`] | making a segment, and taking one that somebody else made |
//! | `summed` | copies with their checksum, by the processor's instructions |
//! | [`wake`] | waiting for a commit |

pub mod broker;
pub mod connection;
pub mod mapping;
pub mod page;
pub mod participant;
pub mod process;
pub(crate) mod schedule;
pub mod segment;
pub(crate) mod summed;
pub mod wake;
