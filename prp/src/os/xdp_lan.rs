//! Reception of a LAN port through AF_XDP: one socket for each receive queue of the interface, over
//! one memory, and a packet ring for what the XDP program passes.
//!
//! The rule that no frame is lost and none comes twice: a frame that the program redirects never
//! reaches a packet tap; one that it passes (heartbeats, PTP, what is longer than a chunk, queues
//! without a socket, see [`super::xdp_program`]) does, and the ring is such a tap. So the ring
//! stands beside the sockets with no filter of its own, and `receive` takes from all of them in
//! turn. What the program passes stays visible to any raw socket on the interface, and is still
//! dropped before the host's own stack, which comes behind the taps. Between a frame that is passed
//! and one that is redirected the order is not kept; neither kind overtakes within itself and its
//! queue.
//!
//! The ring does what an AF_XDP socket cannot: it tells that the interface is down or gone, keeps
//! multicast coming, and receives what arrives before the program runs.
//!
//! What travels beside a frame is lost on AF_XDP. So a card shall leave VLAN tags where they are:
//! that offload is switched off while the port lives, and a card that insists is refused. Between
//! virtual interfaces no setting of this end helps; there the program asks the driver about each
//! frame and passes those with a tag beside them, and where it cannot ask the mode is refused.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::ethtool::{Ethtool, Offload};
use super::open_error::OpenError;
use super::packet_ring::PacketRing;
use super::receive_path::{ReceivePath, Refusals, first_that_opens, tags_may_be_beside};
use super::xdp_program::{Hook, QUEUES_MAX, Tags, XdpProgram};
use super::xdp_rx::XdpQueue;
use super::xdp_socket::{Copying, XdpSocket};
use super::xdp_tx::{self, XdpTx};
use super::xdp_umem::{CHUNK_OCTETS, Umem};
use crate::port::{PortFault, PortStatistics};

/// Frames that may wait in all queues together, where there are several: 8 MiB.
const FRAMES_TOTAL: u32 = 4_096;
/// Frames that may wait in one queue: 4 MiB, as much as in the packet ring.
const FRAMES_MAX: u32 = 2_048;
const _: () = assert!(FRAMES_TOTAL / QUEUES_MAX >= 256);
/// The kernel keeps so much of a chunk before a frame for itself.
const HEADROOM_OCTETS: u32 = 256;
#[expect(clippy::cast_possible_truncation, reason = "smaller than 2^16")]
const OCTETS_MAX: u16 = (CHUNK_OCTETS - HEADROOM_OCTETS) as u16;
/// A socket that receives only wants a completion ring all the same.
const COMPLETIONS_UNUSED: u32 = 64;
/// The loss counters are read once per so many calls.
const STATISTICS_PERIOD: u32 = 4_096;

/// The VLAN offloads of an interface, off as long as this lives.
#[derive(Debug)]
struct TagsStay {
    ethtool: Ethtool,
    interface_index: u32,
    switched: Vec<Offload>,
}

impl TagsStay {
    fn hold(interface_index: u32) -> Result<Self, OpenError> {
        let operation = "keep VLAN tags in frames";
        let failed = |_| OpenError::TagsTakenOut;
        let ethtool = Ethtool::open().map_err(failed)?;
        let mut held = Self { ethtool, interface_index, switched: Vec::new() };
        let name = name_of(interface_index, operation)?;
        for which in Offload::TAKING_TAGS_OUT {
            // What cannot be asked is not there.
            if held.ethtool.offload(&name, which).ok().flatten() != Some(true) {
                continue;
            }
            if held.ethtool.set_offload(&name, which, false).map_err(failed)? != Some(false) {
                return Err(OpenError::TagsTakenOut);
            }
            held.switched.push(which);
        }
        Ok(held)
    }
}

impl Drop for TagsStay {
    fn drop(&mut self) {
        // Asked by the ethtool socket, which knows the interface's namespace. Gone: nothing to do.
        let Some(name) = self.ethtool.name_of(self.interface_index) else { return };
        for which in self.switched.drain(..) {
            let _ = self.ethtool.set_offload(&name, which, true);
        }
    }
}

/// The name of an interface of the calling thread's namespace.
pub(super) fn name_of(index: u32, operation: &'static str) -> Result<String, OpenError> {
    let name =
        nix::net::if_::if_indextoname(index).map_err(|_| OpenError::NoInterface { index })?;
    name.into_string().map_err(|_| OpenError::Layout { operation })
}

/// What the modes have in common, and what is kept from one attempt to the next.
#[derive(Debug)]
struct Probe {
    interface_index: u32,
    queues: u32,
    transmits: bool,
    tags: Tags,
    program: Option<XdpProgram>,
}

impl Probe {
    /// The program where this mode wants it. A driver may reset its card for it, so zero copy and
    /// native mode share it.
    fn attach(&mut self, hook: Hook) -> Result<(), OpenError> {
        if self.program.as_ref().map(XdpProgram::hook) != Some(hook) {
            // The other one has to go first.
            self.program = None;
            let index = self.interface_index;
            self.program = Some(XdpProgram::attach(index, hook, OCTETS_MAX, self.tags)?);
        }
        Ok(())
    }

    fn open(&mut self, path: ReceivePath) -> Result<Opened, OpenError> {
        let (hook, copying) = match path {
            ReceivePath::XdpZeroCopy => (Hook::Native, Copying::Zero),
            ReceivePath::XdpNative => (Hook::Native, Copying::Copy),
            ReceivePath::XdpGeneric | ReceivePath::Ring => (Hook::Generic, Copying::Copy),
        };
        self.attach(hook)?;
        let transmits = self.transmits && copying == Copying::Copy;
        open_sockets(self.interface_index, self.queues, copying, transmits)
    }
}

/// The sockets of all queues, bound, not yet known to the program.
#[derive(Debug)]
struct Opened {
    queues: Vec<XdpQueue>,
    transmit: Option<Box<XdpTx>>,
}

fn open_sockets(
    interface_index: u32,
    queues: u32,
    copying: Copying,
    transmits: bool,
) -> Result<Opened, OpenError> {
    let frames = (FRAMES_TOTAL / queues.next_power_of_two()).min(FRAMES_MAX);
    let mut counts = vec![frames; queues as usize];
    counts.extend(transmits.then_some(xdp_tx::FRAMES));
    let (umem, mut parts) = Umem::new(&counts)?;
    let transmit_chunks = if transmits { parts.pop() } else { None };
    let mut parts = (0..queues).zip(parts);

    let first = XdpSocket::open()?;
    first.register(&umem)?;
    let completions = if transmits { xdp_tx::FRAMES } else { COMPLETIONS_UNUSED };
    let (fill, completions) = first.supply_rings(frames, completions)?;
    let receive = first.receive_ring(frames)?;
    let transmit_rings = transmits.then(|| XdpTx::rings(&first, completions)).transpose()?;
    first.bind(interface_index, 0, copying)?;
    let transmit = transmit_rings.zip(transmit_chunks);
    let transmit = transmit.map(|(rings, chunks)| Box::new(XdpTx::over(&first, rings, chunks)));
    let first_part = parts.next().map(|(_, chunks)| chunks);
    let chunks = first_part.ok_or(OpenError::Layout { operation: "divide AF_XDP memory" })?;
    let mut opened = vec![XdpQueue::new(&first, chunks, fill, receive, copying)];

    for (queue, chunks) in parts {
        let socket = XdpSocket::open()?;
        let (fill, _) = socket.supply_rings(frames, COMPLETIONS_UNUSED)?;
        let receive = socket.receive_ring(frames)?;
        socket.bind_beside(interface_index, queue, &first)?;
        opened.push(XdpQueue::new(&socket, chunks, fill, receive, copying));
    }
    Ok(Opened { queues: opened, transmit })
}

/// Reception from one interface through AF_XDP.
#[derive(Debug)]
pub(super) struct XdpReceiver {
    // Detached first: what arrives from then on goes where the next port waits for it.
    _program: XdpProgram,
    queues: Vec<XdpQueue>,
    ring: PacketRing,
    wait: Epoll,
    /// Which of queues and ring is asked first the next time.
    turn: usize,
    fault: Option<PortFault>,
    calls_since_statistics: u32,
    _tags_stay: TagsStay,
}

/// A receiver, how it receives, its way out (none in zero copy), and what could not be had.
pub(super) type Found = (ReceivePath, XdpReceiver, Option<Box<XdpTx>>, Refusals);

impl XdpReceiver {
    /// Opens the first of `paths` that can be had, beside `ring`, which is open already, so that
    /// nothing is missed in between. With `transmits` its first socket can send, too;
    /// `may_lose_tags` allows modes that lose VLAN tags on some interfaces.
    pub(super) fn open(
        ring: PacketRing,
        paths: &[ReceivePath],
        transmits: bool,
        may_lose_tags: bool,
    ) -> Result<Found, Box<(PacketRing, Refusals)>> {
        match Self::prepare(&ring, paths, transmits, may_lose_tags) {
            Err(refusals) => Err(Box::new((ring, refusals))),
            Ok((path, parts, refusals)) => {
                let Parts { program, opened, wait, tags_stay } = parts;
                let receiver = Self {
                    _program: program,
                    queues: opened.queues,
                    ring,
                    wait,
                    turn: 0,
                    fault: None,
                    calls_since_statistics: 0,
                    _tags_stay: tags_stay,
                };
                Ok((path, receiver, opened.transmit, refusals))
            }
        }
    }

    fn prepare(
        ring: &PacketRing,
        paths: &[ReceivePath],
        transmits: bool,
        may_lose_tags: bool,
    ) -> Result<(ReceivePath, Parts, Refusals), Refusals> {
        let interface_index = ring.interface_index();
        let best = paths.first().copied().unwrap_or(ReceivePath::XdpGeneric);
        let refused = |error| Refusals(vec![(best, error)]);
        let tags_stay = TagsStay::hold(interface_index).map_err(refused)?;
        let name = name_of(interface_index, "ask the driver").map_err(refused)?;
        let queues = receive_queues(&tags_stay.ethtool, &name);
        let tags = match tags_may_be_beside(&tags_stay.ethtool, &name) {
            false => Tags::Inside,
            true if may_lose_tags => Tags::Lost,
            true => Tags::Beside,
        };
        let mut probe = Probe { interface_index, queues, transmits, tags, program: None };
        let (path, opened, refusals) = first_that_opens(paths, |path| probe.open(path))?;
        let wait = wait_for(ring, &opened.queues).map_err(refused)?;
        // The probe opened, so there is a program.
        let program = probe.program.ok_or_else(Refusals::default)?;
        for (number, queue) in (0..).zip(&opened.queues) {
            program.serve(number, queue.socket()).map_err(refused)?;
        }
        Ok((path, Parts { program, opened, wait, tags_stay }, refusals))
    }

    pub(super) fn ring(&self) -> &PacketRing {
        &self.ring
    }

    /// See [`crate::port::Port::receive`].
    pub(super) fn receive<F: FnMut(&[u8])>(
        &mut self,
        budget: usize,
        mut sink: F,
    ) -> Result<usize, PortFault> {
        let sources = self.queues.len() + 1;
        let mut taken = 0;
        for step in 0..sources {
            let source = (self.turn + step) % sources;
            match self.queues.get_mut(source) {
                Some(queue) => taken += queue.receive(budget - taken, &mut sink),
                None => match self.ring.receive(budget - taken, &mut sink) {
                    Ok(frames) => taken += frames,
                    Err(fault) => self.fault = Some(fault),
                },
            }
        }
        self.turn = (self.turn + 1) % sources;
        self.calls_since_statistics += 1;
        if self.calls_since_statistics >= STATISTICS_PERIOD {
            self.refresh_statistics();
        }
        if taken > 0 {
            return Ok(taken);
        }
        self.fault.take().map_or(Ok(0), Err)
    }

    /// See [`PacketRing::take_fault`].
    pub(super) fn take_fault(&mut self) -> Result<(), PortFault> {
        let kept = self.fault.take().map_or(Ok(()), Err);
        match self.ring.take_fault() {
            Err(PortFault::Gone) => Err(PortFault::Gone),
            now => kept.and(now),
        }
    }

    /// Reads the kernel's loss counters: one short system call for each queue and the ring.
    pub(super) fn refresh_statistics(&mut self) {
        self.calls_since_statistics = 0;
        self.queues.iter_mut().for_each(XdpQueue::refresh_statistics);
        self.ring.refresh_statistics();
    }

    pub(super) fn statistics(&self) -> PortStatistics {
        let mut sum = self.ring.statistics();
        for queue in self.queues.iter().map(XdpQueue::statistics) {
            sum.rx_frames += queue.rx_frames;
            sum.rx_dropped += queue.rx_dropped;
            sum.rx_merged += queue.rx_merged;
            sum.rx_checksums_completed += queue.rx_checksums_completed;
        }
        sum
    }
}

impl AsFd for XdpReceiver {
    /// Readable when frames wait, or a fault does.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wait.0.as_fd()
    }
}

#[derive(Debug)]
struct Parts {
    program: XdpProgram,
    opened: Opened,
    wait: Epoll,
    tags_stay: TagsStay,
}

/// How many queues get a socket: those that the driver has, up to the limit; what arrives on others
/// goes through the ring.
fn receive_queues(ethtool: &Ethtool, interface: &str) -> u32 {
    // A driver that does not know the question has one.
    ethtool.receive_queues(interface).ok().flatten().unwrap_or(1).clamp(1, QUEUES_MAX)
}

/// One descriptor to wait for all of them.
fn wait_for(ring: &PacketRing, queues: &[XdpQueue]) -> Result<Epoll, OpenError> {
    let failed = |errno| OpenError::from_errno("make a descriptor to wait for all queues", errno);
    let wait = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed)?;
    let sockets = queues.iter().map(XdpQueue::socket).chain([ring.as_fd()]);
    for socket in sockets {
        wait.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, 0)).map_err(failed)?;
    }
    Ok(wait)
}
