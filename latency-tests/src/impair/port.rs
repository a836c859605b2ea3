//! An interface of a pair: its packet socket, found again under the interface's name when that was
//! deleted and made again, and its cable, which can be pulled.

use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

use nix::poll::{PollFd, PollFlags};

use super::counters::Counters;
use crate::os::net;
use crate::os::packet::{BATCH_FRAMES, Inbox, Offload, Options, Outgoing, PacketSocket};

/// Wished size of each socket's kernel buffers.
const BUFFER_OCTETS: usize = 32 << 20;

/// An interface of a pair, whether it exists at the moment or not.
#[derive(Debug)]
pub(super) struct Port {
    /// Its name, by which it is found again.
    pub(super) name: String,
    /// Nothing while the interface does not exist.
    socket: Option<PacketSocket>,
    /// Drops of the sockets before the present one.
    dropped_before: u64,
    /// Transmit drops of the interface before this program.
    transmit_dropped_before: u64,
    /// Whether this program took the interface down.
    pulled: bool,
}

/// A frame with storage of its own, shared by its copies.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) offload: Offload,
    pub(super) octets: Rc<[u8]>,
}

/// A copy that leaves now.
#[derive(Debug)]
pub(super) enum Ready {
    /// It stands in the inbox.
    Received(usize),
    /// It was changed or has waited.
    Own(Frame),
}

/// Why an interface could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("interface {interface}: {error}")]
pub struct OpenError {
    /// The interface.
    pub interface: String,
    /// What the system said.
    #[source]
    pub error: io::Error,
}

impl Drop for Port {
    fn drop(&mut self) {
        // Nobody is left to tell; an interface that is gone needs no plugging in.
        let _ = self.plug_in();
    }
}

impl Port {
    /// Opens the interface called `name`, which must exist now.
    pub(super) fn open(name: &str) -> Result<Self, OpenError> {
        let socket = Self::open_socket(name)
            .map_err(|error| OpenError { interface: name.to_owned(), error })?;
        Ok(Self {
            name: name.to_owned(),
            socket: Some(socket),
            dropped_before: 0,
            transmit_dropped_before: net::transmit_dropped(name),
            pulled: false,
        })
    }

    fn open_socket(name: &str) -> io::Result<PacketSocket> {
        PacketSocket::open(
            name,
            Options {
                promiscuous: true,
                offload: true,
                outgoing: false,
                buffer_octets: BUFFER_OCTETS,
                filter: &[],
            },
        )
    }

    fn named(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("interface {}: {error}", self.name))
    }

    /// What to wait for; nothing while there is no interface.
    pub(super) fn descriptor(&self) -> Option<PollFd<'_>> {
        self.socket.as_ref().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
    }

    /// Takes the interface down: the host behind it loses its carrier.
    pub(super) fn pull(&mut self) -> io::Result<()> {
        net::set_interface_up(&self.name, false).map_err(|error| self.named(&error))?;
        self.pulled = true;
        Ok(())
    }

    /// Takes the interface up again when this program took it down.
    pub(super) fn plug_in(&mut self) -> io::Result<()> {
        if self.pulled {
            net::set_interface_up(&self.name, true).map_err(|error| self.named(&error))?;
            self.pulled = false;
        }
        Ok(())
    }

    /// Frames that the kernel dropped before they could be received, since the opening.
    pub(super) fn kernel_dropped(&mut self) -> u64 {
        self.dropped_before + self.socket.as_mut().map_or(0, PacketSocket::kernel_dropped)
    }

    /// Transmit drops since the opening; of a new interface since it was made.
    pub(super) fn transmit_dropped(&self) -> u64 {
        net::transmit_dropped(&self.name).saturating_sub(self.transmit_dropped_before)
    }

    /// Lets go of a socket whose interface was deleted and opens one on the interface that has the
    /// name now.
    pub(super) fn care(&mut self) {
        let present = net::interface_index(&self.name).ok();
        let open = self.socket.as_ref().map(PacketSocket::interface_index);
        if open == present {
            return;
        }
        self.dropped_before = self.kernel_dropped();
        self.transmit_dropped_before = 0;
        self.pulled = false;
        self.socket = Self::open_socket(&self.name).ok();
    }

    /// Takes one batch; false when there was nothing.
    pub(super) fn receive(&self, inbox: &mut Inbox, counters: &mut Counters) -> bool {
        let Some(socket) = &self.socket else { return false };
        match socket.receive(inbox) {
            Ok(()) => !inbox.is_empty(),
            Err(error) => {
                // A frame that the offload header cannot describe is dropped by the kernel with
                // this.
                counters.unreadable += u64::from(error.raw_os_error() == Some(libc::EINVAL));
                false
            }
        }
    }

    /// Sends and empties `ready`.
    pub(super) fn send(&self, inbox: &Inbox, ready: &mut Vec<Ready>, counters: &mut Counters) {
        let Some(socket) = &self.socket else {
            counters.send_failed += u64::try_from(ready.len()).unwrap_or(0);
            ready.clear();
            return;
        };
        for batch in ready.chunks(BATCH_FRAMES) {
            let nothing = Outgoing { offload: Offload::default(), octets: &[] };
            let mut frames = [nothing; BATCH_FRAMES];
            for (frame, ready) in frames.iter_mut().zip(batch) {
                *frame = match ready {
                    Ready::Received(index) => {
                        Outgoing { offload: inbox.offload(*index), octets: inbox.frame(*index) }
                    }
                    Ready::Own(frame) => Outgoing { offload: frame.offload, octets: &frame.octets },
                };
            }
            let mut rest = &frames[..batch.len()];
            while !rest.is_empty() {
                if let Ok(sent @ 1..) = socket.send(rest) {
                    counters.forwarded += u64::try_from(sent).unwrap_or(0);
                    rest = rest.get(sent..).unwrap_or(&[]);
                } else {
                    counters.send_failed += 1;
                    rest = &rest[1..];
                }
            }
        }
        ready.clear();
    }
}
