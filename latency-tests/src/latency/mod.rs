//! Latency as this field measures it, told so that it can be believed.
//!
//! | Module | Holds |
//! |---|---|
//! | [`environment`] | what else happened on the processors meanwhile |
//! | [`probe`] | what is measured |
//! | [`report`] | the result as one document |
//! | [`out`] | what is left of a run for other programs and for people |

pub mod environment;
pub mod out;
pub mod probe;
pub mod report;
