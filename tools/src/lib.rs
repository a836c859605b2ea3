//! Everything that runs: the daemon, the operator command and the test networks. Glue only: a
//! protocol decision found here is in the wrong crate.

pub mod args;
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod demo;
pub mod exit;
pub mod netlab;
#[allow(unsafe_code, reason = "shared memory, system calls; each block carries its proof")]
pub mod os;
pub mod report;
