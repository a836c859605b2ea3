//! The daemon's control socket: how the operator's command asks a running daemon.
//!
//! A Unix stream socket `control.sock` in the runtime folder, for the daemon's group only. One
//! request line of JSON, one reply line of JSON, then the daemon closes; a follower of events gets
//! one line per event until it closes. The rejected idea is a protocol with sessions: nothing here
//! needs one, and every state kept for a client is a state a hostile client can hold.
//!
//! The server is driven by the control thread (SCHED_OTHER): no real-time thread ever touches a
//! client, and no client can make the control thread wait.
//!
//! | Module | Holds |
//! |---|---|
//! | [`protocol`] | requests, replies, limits |
//! | [`server`], `session`, `folder` | the daemon's side: all clients, one client, the files |
//! | [`client`] | the operator's side, with time-outs |
//! | [`instance`] | which daemon is meant |

use std::path::{Path, PathBuf};

pub mod client;
mod folder;
pub mod instance;
pub mod protocol;
pub mod server;
mod session;

pub use protocol::{Refusal, RefusalCode, Reply, Request};
pub use server::{Answer, ControlServer, ControlSource};

/// The socket's name in the runtime folder.
pub const SOCKET_NAME: &str = "control.sock";

/// The socket of an instance.
#[must_use]
pub fn socket_path(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join(SOCKET_NAME)
}
