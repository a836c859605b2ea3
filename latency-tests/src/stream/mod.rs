//! Numbered traffic, and the exact account of what arrived.
//!
//! A stream is a sequence of payloads that carry their stream's id, their number and the instant of
//! sending, filled up with a pattern that follows from these. A receiver knows of every number how
//! often it came, so "0 lost, 0 twice" is a count and not an estimate.
//!
//! | Module | Holds | Touches the system |
//! |---|---|---|
//! | [`payload`] | the format, and the check that nothing was changed | no |
//! | [`ethernet`] | the payload in a frame: VLAN and HSR tags, IPv4, IPv6, UDP | no |
//! | [`account`] | what arrived, per stream | no |
//! | [`pace`] | when each payload is due | no |
//! | [`send`], [`receive`], [`exchange`], [`bulk`] | the programs | yes |

pub mod account;
pub mod bulk;
pub mod ethernet;
pub mod exchange;
pub mod pace;
pub mod payload;
pub mod receive;
pub mod send;
