//! Latency as this field measures it, told so that it can be believed.
//!
//! | Module | Holds |
//! |---|---|
//! | [`compare`] | two results beside each other |
//! | [`mod@derive`] | timers that follow from results |
//! | [`environment`] | what else happened on the processors meanwhile |
//! | [`options`] | how to measure, in cyclictest's words |
//! | [`probe`] | what is measured |
//! | [`report`] | the result as one document |
//! | [`session`] | a run from its options to its exit code |
//! | [`files`], [`summary`] | where it goes, and how people are told |
//! | [`live`] | daemons that run beside |
//! | [`verdict`] | whether it proves anything, and keeps the bounds given |
//! | [`out`] | what is left of a run for other programs and for people |
//! | [`stress`] | a load beside the run |
//! | [`threshold`] | what happens at once when a sample is too late |

pub mod compare;
pub mod derive;
pub mod environment;
pub mod files;
pub mod live;
pub mod options;
pub mod out;
pub mod probe;
pub mod report;
pub mod session;
pub mod stress;
pub mod summary;
pub mod threshold;
pub mod verdict;
