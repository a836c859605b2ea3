//! The operating system half: segments in sealed memory, handed from process to process.
//!
//! | Module | Holds |
//! |---|---|
//! | [`connection`] | the socket between participants and the daemon |
//! | [`mapping`] | a shared memory as words |
//! | [`segment`] | making a segment, and taking one that somebody else made |
//! | `summed` | copies with their checksum, by the processor's instructions |
//! | [`wake`] | waiting for a commit |

pub mod connection;
pub mod mapping;
pub mod segment;
pub(crate) mod summed;
pub mod wake;
