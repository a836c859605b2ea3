//! Everything that runs: the daemon, the operator command and the test networks. Glue only: a
//! protocol decision found here is in the wrong crate.

pub mod args;
pub mod cli;
pub mod config;
pub mod control;
pub mod exit;
pub mod report;
