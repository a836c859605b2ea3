//! A LAN port: in by a packet ring or AF_XDP, out by `sendmmsg` or AF_XDP.

use std::os::fd::{AsFd, BorrowedFd};

use super::ethtool::Ethtool;
use super::open_error::OpenError;
use super::packet_ring::{PacketRing, RingSize};
use super::packet_tx::PacketTx;
use super::receive_path::{Refusals, reason_for_the_ring};
use super::transmit_path::reason_for_the_packet_socket;
use super::xdp_lan::{self, XdpReceiver};
use super::xdp_tx::XdpTx;
use crate::port::{FRAME_OCTETS_MAX, FRAME_OCTETS_MIN, Port, PortFault, PortStatistics, TOO_SHORT};

const HEADER_OCTETS: usize = 14;
const VLAN_TAG_OCTETS: usize = 4;
const TPID_8021Q: [u8; 2] = [0x81, 0x00];

pub use super::receive_path::{LanReceive, ReceivePath};
pub use super::transmit_path::{TransmitFallback, TransmitPath};

/// What a LAN port is opened with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LanPortOptions {
    /// The interface's index in the calling thread's network namespace.
    pub interface_index: u32,
    /// The interface's MTU in octets; see [`LanPort::set_mtu`].
    pub mtu: u32,
    /// The receive ring's size.
    pub ring: RingSize,
    /// The way in.
    pub receive: LanReceive,
    /// The way out.
    pub transmit: TransmitPath,
}

impl LanPortOptions {
    /// A ring of the default size, the way out that suits the interface.
    #[must_use]
    pub fn new(interface_index: u32, mtu: u32) -> Self {
        Self {
            interface_index,
            mtu,
            ring: RingSize::default(),
            receive: LanReceive::Ring,
            transmit: TransmitPath::Auto,
        }
    }

    /// The ways in over AF_XDP that may be tried, best first; none: the ring.
    fn xdp_paths(&self) -> &'static [ReceivePath] {
        use ReceivePath::{Ring, XdpGeneric, XdpNative, XdpZeroCopy};
        match (self.receive, self.transmit) {
            (LanReceive::Ring | LanReceive::Only(Ring), _) => &[],
            (LanReceive::Auto, _) => &[XdpNative],
            // Zero copy cannot transmit through AF_XDP, see `ReceivePath::XdpZeroCopy`.
            (LanReceive::Xdp, TransmitPath::Xdp) => &[XdpNative, XdpGeneric],
            (LanReceive::Xdp, _) => &[XdpZeroCopy, XdpNative, XdpGeneric],
            (LanReceive::Only(XdpZeroCopy), _) => &[XdpZeroCopy],
            (LanReceive::Only(XdpNative), _) => &[XdpNative],
            (LanReceive::Only(XdpGeneric), _) => &[XdpGeneric],
        }
    }
}

#[derive(Debug)]
enum Transmitter {
    Packet(Box<PacketTx>),
    Xdp(Box<XdpTx>),
}

impl Transmitter {
    fn packet(interface_index: u32) -> Result<Self, OpenError> {
        PacketTx::open(interface_index).map(|packet| Self::Packet(Box::new(packet)))
    }

    fn xdp(interface_index: u32) -> Result<Self, OpenError> {
        XdpTx::open(interface_index).map(|xdp| Self::Xdp(Box::new(xdp)))
    }
}

#[derive(Debug)]
enum Receiver {
    Ring(Box<PacketRing>),
    Xdp(Box<XdpReceiver>),
}

/// A way in, with what came of choosing it.
struct Inbound {
    receiver: Receiver,
    path: ReceivePath,
    fallback: Option<String>,
    /// The way out that came with it.
    transmit: Option<Box<XdpTx>>,
}

impl Inbound {
    fn ring(ring: PacketRing, fallback: Option<String>) -> Self {
        let receiver = Receiver::Ring(Box::new(ring));
        Self { receiver, path: ReceivePath::Ring, fallback, transmit: None }
    }

    /// With `transmits` the way out may come with it.
    fn open(options: &LanPortOptions, transmits: bool) -> Result<Self, OpenError> {
        let index = options.interface_index;
        let ring = PacketRing::open(index, options.ring)?;
        let paths = options.xdp_paths();
        if paths.is_empty() {
            return Ok(Self::ring(ring, None));
        }
        let may_choose = options.receive == LanReceive::Auto;
        if may_choose {
            let name = xdp_lan::name_of(index, "ask the driver")?;
            let reason = Ethtool::open().map_or_else(
                |error| Some(error.to_string()),
                |ethtool| reason_for_the_ring(&ethtool, &name),
            );
            if reason.is_some() {
                return Ok(Self::ring(ring, reason));
            }
        }
        let may_lose_tags = matches!(options.receive, LanReceive::Only(_));
        match XdpReceiver::open(ring, paths, transmits, may_lose_tags) {
            Ok((path, receiver, transmit, refusals)) => {
                let fallback = told(&refusals);
                Ok(Self { receiver: Receiver::Xdp(Box::new(receiver)), path, fallback, transmit })
            }
            Err(refused) => {
                let (ring, refusals) = *refused;
                if may_choose {
                    Ok(Self::ring(ring, told(&refusals)))
                } else {
                    Err(refusals.into_error())
                }
            }
        }
    }
}

/// What [`TransmitPath::Auto`] means on this interface: itself, to be tried, or the packet socket.
fn choose_way_out(index: u32) -> Result<(TransmitPath, Option<TransmitFallback>), OpenError> {
    let name = xdp_lan::name_of(index, "ask the driver")?;
    let reason = Ethtool::open().map_or_else(
        |error| Some(error.to_string()),
        |ethtool| {
            let driver = ethtool.driver(&name).ok().flatten();
            let bus = ethtool.bus_address(&name).ok().flatten();
            reason_for_the_packet_socket(&name, driver.as_deref(), bus.as_deref())
        },
    );
    Ok(match reason {
        None => (TransmitPath::Auto, None),
        Some(reason) => (TransmitPath::Packet, Some(TransmitFallback::NotChosen(reason))),
    })
}

fn told(refusals: &Refusals) -> Option<String> {
    Some(refusals.to_string()).filter(|reasons| !reasons.is_empty())
}

/// A port on a network interface: everything that arrives there, nothing that this machine sends.
///
/// With the ring the socket only listens in: the host's own stack sees the same frames unless
/// whoever owns the interface keeps them from it.
#[derive(Debug)]
pub struct LanPort {
    // Dropped before the transmitter: the program goes before its sockets.
    receiver: Receiver,
    receive_path: ReceivePath,
    receive_fallback: Option<String>,
    transmitter: Transmitter,
    fallback: Option<TransmitFallback>,
    mtu: u32,
    /// Frames that [`Port::transmit`] did not take.
    refused: u64,
}

impl LanPort {
    /// Opens a port. Takes up to a second when another AF_XDP socket left the interface just now.
    ///
    /// # Errors
    /// See [`OpenError`]. That AF_XDP cannot be had is an error only if it was asked for, by
    /// [`TransmitPath::Xdp`], [`LanReceive::Xdp`] or [`LanReceive::Only`].
    pub fn open(options: &LanPortOptions) -> Result<Self, OpenError> {
        let index = options.interface_index;
        let (transmit, mut fallback) = match options.transmit {
            TransmitPath::Auto => choose_way_out(index)?,
            named => (named, None),
        };
        let Inbound { receiver, path, fallback: receive_fallback, transmit: ready } =
            Inbound::open(options, transmit != TransmitPath::Packet)?;
        let has_zero_copy = path == ReceivePath::XdpZeroCopy;
        let transmitter = match (ready, transmit) {
            (Some(xdp), _) => Transmitter::Xdp(xdp),
            (None, TransmitPath::Packet) => Transmitter::packet(index)?,
            (None, TransmitPath::Auto) if has_zero_copy => Transmitter::packet(index)?,
            (None, TransmitPath::Xdp) => Transmitter::xdp(index)?,
            (None, TransmitPath::Auto) => match Transmitter::xdp(index) {
                Ok(xdp) => xdp,
                Err(reason) => {
                    fallback = Some(TransmitFallback::Refused(reason));
                    Transmitter::packet(index)?
                }
            },
        };
        Ok(Self {
            receiver,
            receive_path: path,
            receive_fallback,
            transmitter,
            fallback,
            mtu: options.mtu,
            refused: 0,
        })
    }

    /// The way in that is in use.
    #[must_use]
    pub fn receive_path(&self) -> ReceivePath {
        self.receive_path
    }

    /// Why it is not a better one, each with its reason; `None` when none was tried.
    #[must_use]
    pub fn receive_fallback(&self) -> Option<&str> {
        self.receive_fallback.as_deref()
    }

    fn ring(&self) -> &PacketRing {
        match &self.receiver {
            Receiver::Ring(ring) => ring,
            Receiver::Xdp(xdp) => xdp.ring(),
        }
    }

    /// The way out that is in use: never [`TransmitPath::Auto`].
    #[must_use]
    pub fn transmit_path(&self) -> TransmitPath {
        match self.transmitter {
            Transmitter::Packet(_) => TransmitPath::Packet,
            Transmitter::Xdp(_) => TransmitPath::Xdp,
        }
    }

    /// Why [`TransmitPath::Auto`] did not become AF_XDP.
    #[must_use]
    pub fn transmit_fallback(&self) -> Option<&TransmitFallback> {
        self.fallback.as_ref()
    }

    /// The interface's index.
    #[must_use]
    pub fn interface_index(&self) -> u32 {
        self.ring().interface_index()
    }

    /// The MTU that frames are measured against, in octets.
    #[must_use]
    pub fn mtu(&self) -> u32 {
        self.mtu
    }

    /// Tells the port the interface's MTU, in octets. A frame may have MTU + 14 octets, and 4 more
    /// if its outermost tag is an IEEE 802.1Q tag (0x8100): that is the kernel's own rule, which
    /// AF_XDP would break and lose the frame further on. Frames with an 0x88a8 tag or two tags
    /// need an MTU with room for them.
    ///
    /// Real-time class: a store.
    pub fn set_mtu(&mut self, mtu: u32) {
        self.mtu = mtu;
    }

    /// See [`PacketRing::refresh_statistics`].
    pub fn refresh_statistics(&mut self) {
        match &mut self.receiver {
            Receiver::Ring(ring) => ring.refresh_statistics(),
            Receiver::Xdp(xdp) => xdp.refresh_statistics(),
        }
    }

    /// See [`PacketRing::take_fault`].
    ///
    /// # Errors
    /// [`PortFault::Down`], [`PortFault::Gone`].
    pub fn take_fault(&mut self) -> Result<(), PortFault> {
        match &mut self.receiver {
            Receiver::Ring(ring) => ring.take_fault(),
            Receiver::Xdp(xdp) => xdp.take_fault(),
        }
    }

    fn push<F: FnOnce(&mut [u8])>(&mut self, len: usize, fill: F) -> Result<(), PortFault> {
        let untagged_max = (self.mtu as usize).saturating_add(HEADER_OCTETS);
        if len > FRAME_OCTETS_MAX || len > untagged_max.saturating_add(VLAN_TAG_OCTETS) {
            return Err(PortFault::TooLong);
        }
        if len < FRAME_OCTETS_MIN {
            return Err(TOO_SHORT);
        }
        let fill = |frame: &mut [u8]| {
            fill(frame);
            len <= untagged_max || frame[12..14] == TPID_8021Q
        };
        let taken = match &mut self.transmitter {
            Transmitter::Packet(packet) => packet.push(len, fill),
            Transmitter::Xdp(xdp) => xdp.push(len, fill)?,
        };
        if taken { Ok(()) } else { Err(PortFault::TooLong) }
    }
}

impl Port for LanPort {
    fn receive<F: FnMut(&[u8])>(&mut self, budget: usize, sink: F) -> Result<usize, PortFault> {
        match &mut self.receiver {
            Receiver::Ring(ring) => ring.receive(budget, sink),
            Receiver::Xdp(xdp) => xdp.receive(budget, sink),
        }
    }

    fn transmit<F: FnOnce(&mut [u8])>(&mut self, len: usize, fill: F) -> Result<(), PortFault> {
        let result = self.push(len, fill);
        self.refused += u64::from(result.is_err());
        result
    }

    fn flush(&mut self) -> Result<(), PortFault> {
        match &mut self.transmitter {
            Transmitter::Packet(packet) => packet.flush(),
            Transmitter::Xdp(xdp) => xdp.flush(),
        }
    }

    fn statistics(&self) -> PortStatistics {
        let (tx_frames, tx_dropped) = match &self.transmitter {
            Transmitter::Packet(packet) => (packet.sent, packet.dropped),
            Transmitter::Xdp(xdp) => (xdp.sent, xdp.dropped),
        };
        let tx_dropped = tx_dropped + self.refused;
        let received = match &self.receiver {
            Receiver::Ring(ring) => ring.statistics(),
            Receiver::Xdp(xdp) => xdp.statistics(),
        };
        PortStatistics { tx_frames, tx_dropped, ..received }
    }
}

impl AsFd for LanPort {
    /// Readable when frames wait. When a fault does: `POLLERR` on the ring, readable on AF_XDP,
    /// where [`Port::receive`] tells it after at most 128 calls.
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.receiver {
            Receiver::Ring(ring) => ring.as_fd(),
            Receiver::Xdp(xdp) => xdp.as_fd(),
        }
    }
}
