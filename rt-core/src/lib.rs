//! What every real-time thread of bumpless needs, with the kernel at arm's length.
//!
//! The pure half (this crate without the feature `os`) is values only: it reads no clock, opens no
//! socket, starts no thread and allocates nothing. Time comes in as an argument.
//!
//! | Module | Holds |
//! |---|---|
//! | [`time`] | [`time::Instant`] and [`time::Duration`], nanoseconds in 64 bits, no `now()` |
//! | [`timer`] | named timers of one state machine; the next deadline is a minimum over an array |
//! | [`margins`] | the timers of a takeover, and what has to hold between them |
//! | [`pair`] | two nodes of which one drives: beats, roles, leases, epochs |
//! | [`limits`] | every bound of the project, related by compile-time assertions |
//! | [`counters`] | counters with one writer and any number of readers |
//! | [`gate`] | the two words that let outputs leave |
//! | [`probe_frame`] | the frame of the heartbeat probe |
//! | [`trace`] | fixed records from a real-time thread to whoever logs them |
//! | `os` | clocks, pinned threads, locked memory, the allocation trap (feature `os`) |

#![cfg_attr(not(any(feature = "os", test)), no_std)]

pub mod counters;
pub mod gate;
pub mod limits;
pub mod margins;
pub mod pair;
pub mod probe_frame;
pub mod time;
pub mod timer;
pub mod trace;

#[cfg(feature = "os")]
#[allow(unsafe_code, reason = "system calls; each block carries its proof")]
pub mod os;
