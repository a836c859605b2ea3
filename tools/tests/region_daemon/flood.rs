//! Neighbours that attack the daemon's sockets with all that a socket takes.

mod beside;

use std::fs;

/// Files that the daemon has open.
fn descriptors(daemon: u32) -> usize {
    fs::read_dir(format!("/proc/{daemon}/fd")).unwrap().count()
}
