//! Faults on a link: a program between two interfaces that forwards frames both ways and loses,
//! delays, reorders, repeats, corrupts or cuts them.
//!
//! A pair of interfaces has two *lanes*, one per direction. Each lane has settings of its own, a
//! key for its random choices, a bounded queue in the order of the send instants, and counters that
//! add up at every moment:
//!
//! `received + repeated = forwarded + lost + cut + overflow + merged_lost + send_failed + queued`
//!
//! Faults act outside the daemons under test, on the frames of the link itself. Emulation in the
//! kernel (netem) was not an option: many kernels do not have it, and its choices cannot be
//! repeated from a seed.
//!
//! | Module | Holds | Touches the system |
//! |---|---|---|
//! | [`random`] | the random numbers, a function of (key, frame number, purpose) | no |
//! | [`settings`] | what is to happen, checked | no |
//! | [`decide`] | what happens to one frame | no |
//! | [`queue`] | frames that wait for their instant | no |
//! | [`counters`] | the account | no |
//! | [`command`] | the control protocol | no |
//! | [`port`] | an interface: its socket and its cable | yes |
//! | [`relay`] | the loop over all lanes | yes |
//! | [`server`] | control socket | yes |

pub mod command;
pub mod counters;
pub mod decide;
pub mod port;
pub mod queue;
pub mod random;
pub mod relay;
pub mod server;
pub mod settings;
