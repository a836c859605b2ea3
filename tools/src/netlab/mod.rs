//! Test networks: hosts and switched LANs in network namespaces of their own, faults in the cables,
//! and the programs that run on the hosts. For `bumpless demo` and for the tests.
//!
//! ```text
//!   host n1                          fabric
//!   ┌────────┐   ┌────────────┐   ┌──────────────┐
//!   │ lan_a ─┼───┼ h ~~~~~~ s ┼───┼─ [bridge a]  │    ~~~~ bumpless-impair, where planned
//!   │ lan_b ─┼───┼────────────┼───┼─ [bridge b]  │
//!   └────────┘   └────────────┘   └──────────────┘
//! ```
//!
//! A [`Plan`] is a value; [`Net::build`] makes it real and dropping the [`Net`] makes it vanish, on
//! a panic too: nothing has a name outside the process, no interface of the machine is touched, and
//! every program is ended by its own process id. It works as root and inside a user namespace that
//! the caller has entered before; `ip` is not needed.
//!
//! All switches are bridges in one namespace, so that a cable can be moved from one LAN to the
//! other as people do by mistake ([`Net::plug_into`]). A namespace per switch was not better for
//! anything.
//!
//! Thread class: never a real-time thread.

use std::io;

use prp::os::link::LinkError;
use prp::os::netns::NetNsError;

mod impairment;
mod net;
mod plan;
mod process;
mod programs;
mod scratch;

pub use impairment::{Impairment, Toward};
pub use net::{Host, Net, quiet_namespace};
pub use plan::{HOST_MTU, HostPlan, Plan, PortPlan, SWITCH_MTU};
pub use process::{Ended, Process};
pub use programs::Programs;
pub use scratch::Scratch;

/// Why a test network cannot be had, or does not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum NetLabError {
    /// No namespace; usually a privilege.
    #[error(transparent)]
    Namespace(#[from] NetNsError),
    /// An interface cannot be made or changed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The plan contradicts itself, or something was asked for that is not in it.
    #[error("test network: {0}")]
    Plan(String),
    /// Programs are not where they should be.
    #[error(
        "cannot find {}, looked in {folders}: build with `cargo build --workspace --bins{profile}`",
        missing.join(", ")
    )]
    Missing {
        /// Names of the programs.
        missing: Vec<String>,
        /// Where they were looked for.
        folders: String,
        /// The option for cargo that builds them there, with a space before it.
        profile: String,
    },
    /// A system call or a file.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's answer.
        error: io::Error,
    },
    /// A program did not do what it should.
    #[error("{program}: {what}")]
    Program {
        /// Its name in the test network.
        program: String,
        /// What happened, with what it said last.
        what: String,
    },
}

impl NetLabError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}
