//! What is measured.
//!
//! | Module | Holds |
//! |---|---|
//! | [`wakeup`] | how late a thread wakes that asked to be woken at a certain instant |

pub mod wakeup;
