//! The operating system half: segments in sealed memory, handed from process to process.
//!
//! | Module | Holds |
//! |---|---|
//! | [`mapping`] | a shared memory as words |
//! | [`segment`] | making a segment, and taking one that somebody else made |
//! | [`wake`] | waiting for a commit |

pub mod mapping;
pub mod segment;
pub mod wake;
