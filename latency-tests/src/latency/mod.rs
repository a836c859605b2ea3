//! Latency as this field measures it, told so that it can be believed.
//!
//! | Module | Holds |
//! |---|---|
//! | [`environment`] | what else happened on the processors meanwhile |
//! | [`probe`] | what is measured |

pub mod environment;
pub mod probe;
