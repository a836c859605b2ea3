//! The host's side: a TAP, or the inner end of a veth pair.

use std::os::fd::{AsFd, BorrowedFd};

use super::lan_port::LanPort;
use super::tap::Tap;
use crate::port::{Port, PortFault, PortStatistics};

/// The inner end of a veth pair whose outer end the host uses. Faster than a TAP, but the outer
/// end's offloads should be off: an open checksum costs a pass over the frame here, and what the
/// host's TCP merged is dropped.
pub type VethPort = LanPort;

/// Where the host's frames enter and leave.
#[derive(Debug)]
pub enum HostPort {
    /// A TAP interface.
    Tap(Tap),
    /// The inner end of a veth pair.
    Veth(Box<VethPort>),
}

impl From<Tap> for HostPort {
    fn from(tap: Tap) -> Self {
        Self::Tap(tap)
    }
}

impl From<VethPort> for HostPort {
    fn from(veth: VethPort) -> Self {
        Self::Veth(Box::new(veth))
    }
}

impl HostPort {
    /// The interface's index: the TAP's, or that of the veth's inner end.
    #[must_use]
    pub fn interface_index(&self) -> u32 {
        match self {
            Self::Tap(tap) => tap.interface_index(),
            Self::Veth(veth) => veth.interface_index(),
        }
    }

    /// Brings counters up to date that the kernel keeps; see [`LanPort::refresh_statistics`].
    pub fn refresh_statistics(&mut self) {
        if let Self::Veth(veth) = self {
            veth.refresh_statistics();
        }
    }
}

impl Port for HostPort {
    fn receive<F: FnMut(&[u8])>(&mut self, budget: usize, sink: F) -> Result<usize, PortFault> {
        match self {
            Self::Tap(tap) => tap.receive(budget, sink),
            Self::Veth(veth) => veth.receive(budget, sink),
        }
    }

    fn transmit<F: FnOnce(&mut [u8])>(&mut self, len: usize, fill: F) -> Result<(), PortFault> {
        match self {
            Self::Tap(tap) => tap.transmit(len, fill),
            Self::Veth(veth) => veth.transmit(len, fill),
        }
    }

    fn transmit_frame(&mut self, frame: &[u8]) -> Result<(), PortFault> {
        match self {
            Self::Tap(tap) => tap.transmit_frame(frame),
            Self::Veth(veth) => veth.transmit_frame(frame),
        }
    }

    fn flush(&mut self) -> Result<(), PortFault> {
        match self {
            Self::Tap(tap) => tap.flush(),
            Self::Veth(veth) => veth.flush(),
        }
    }

    fn statistics(&self) -> PortStatistics {
        match self {
            Self::Tap(tap) => tap.statistics(),
            Self::Veth(veth) => veth.statistics(),
        }
    }
}

impl AsFd for HostPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tap(tap) => tap.as_fd(),
            Self::Veth(veth) => veth.as_fd(),
        }
    }
}
