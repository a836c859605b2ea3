//! Asks for the frames of other stations, as long as somebody needs them.
//!
//! The kernel counts who asks. A socket of its own lets the control thread ask, and take it back,
//! while the port is in use by another thread; it receives nothing itself.

use std::os::fd::{AsFd, OwnedFd};

use super::open_error::OpenError;
use super::socket;

/// While it lives, the interface receives frames for every address. Not for a real-time thread.
#[derive(Debug)]
pub struct Promiscuity {
    // Closing it takes the wish back.
    _socket: OwnedFd,
}

impl Promiscuity {
    /// Asks for it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn hold(interface_index: u32) -> Result<Self, OpenError> {
        let socket = socket::open(libc::AF_PACKET, "open packet socket")?;
        socket::add_membership(socket.as_fd(), interface_index, libc::PACKET_MR_PROMISC)?;
        Ok(Self { _socket: socket })
    }
}
