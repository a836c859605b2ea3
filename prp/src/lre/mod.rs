//! (being written)
pub mod config;
pub mod counters;
pub mod event;
