//! The C interface: `bumpless.h`, which is made from what stands here.
//!
//! | Module | Holds |
//! |---|---|
//! | [`blocks`] | blocks as a program describes them; `bmpl_lint` |
//! | `call` | what each call does before and after its own work |
//! | [`code`] | what a call returns |
//! | [`cyclic`] | the calls of each cycle |
//! | `detail` | what went wrong, in words |
//! | `entry` | what stands behind a handle, and who may make which call |
//! | `facts` | what is known of regions, for threads that only look |
//! | `fault` | what the Rust library says, as codes |
//! | `live` | the cyclic half with the program's own memory |
//! | [`query`] | what any thread may ask |
//! | [`setup`] | what is configured, activation and its end |
//! | `sized` | structures that grow at their end |
//! | `table` | handles |
//! | `text` | texts in and out |
//! | `turn` | what one thread at a time may use |
//! | [`types`] | the structures |
//! | [`version`] | which library this is |
//!
//! Idea: a C program errs, and its error must be told to it and not take the plant down. So a
//! handle is a number in a table and never followed, structures say their size, phases and threads
//! are checked, and each call has its four lines: phase, real-time class, thread, errors. What
//! remains the caller's word is C's own: where a pointer is not null, what the text says is there.
//! (Handles that are pointers, as almost everywhere, were the alternative: after destroy or with a
//! foreign one, anything happens.)

#![allow(
    clippy::missing_safety_doc,
    reason = "the contract of each function is its text in the header, in the words of C"
)]

pub mod blocks;
mod call;
pub mod code;
pub mod cyclic;
mod detail;
mod entry;
mod facts;
mod fault;
mod live;
pub mod query;
pub mod setup;
mod sized;
mod table;
mod text;
mod turn;
pub mod types;
pub mod version;
