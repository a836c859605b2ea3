//! A LAN port: a packet ring in, and out by `sendmmsg` or AF_XDP.

use std::os::fd::{AsFd, BorrowedFd};

use super::open_error::OpenError;
use super::packet_ring::{PacketRing, RingSize};
use super::packet_tx::PacketTx;
use super::xdp_tx::XdpTx;
use crate::port::{FRAME_OCTETS_MAX, FRAME_OCTETS_MIN, Port, PortFault, PortStatistics, TOO_SHORT};

const HEADER_OCTETS: usize = 14;
const VLAN_TAG_OCTETS: usize = 4;
const TPID_8021Q: [u8; 2] = [0x81, 0x00];

/// How a LAN port transmits.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum TransmitPath {
    /// AF_XDP where it can be had, else a packet socket.
    #[default]
    Auto,
    /// A packet socket: frames pass the interface's packet taps and tc egress.
    Packet,
    /// AF_XDP: a third less work per frame, past packet taps and tc egress.
    Xdp,
}

/// What a LAN port is opened with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LanPortOptions {
    /// The interface's index in the calling thread's network namespace.
    pub interface_index: u32,
    /// The interface's MTU in octets; see [`LanPort::set_mtu`].
    pub mtu: u32,
    /// The receive ring's size.
    pub ring: RingSize,
    /// The way out.
    pub transmit: TransmitPath,
}

impl LanPortOptions {
    /// Default ring, the fastest way out.
    #[must_use]
    pub fn new(interface_index: u32, mtu: u32) -> Self {
        Self { interface_index, mtu, ring: RingSize::default(), transmit: TransmitPath::Auto }
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

/// A port on a network interface: everything that arrives there, nothing that this machine sends.
///
/// The socket only listens in: the host's own stack sees the same frames unless whoever owns the
/// interface keeps them from it.
#[derive(Debug)]
pub struct LanPort {
    ring: PacketRing,
    transmitter: Transmitter,
    fallback: Option<OpenError>,
    mtu: u32,
    /// Frames that [`Port::transmit`] did not take.
    refused: u64,
}

impl LanPort {
    /// Opens a port. Takes up to a second when another AF_XDP socket left the interface just now.
    ///
    /// # Errors
    /// See [`OpenError`]. That AF_XDP cannot be had is an error only if [`TransmitPath::Xdp`] was
    /// asked for.
    pub fn open(options: &LanPortOptions) -> Result<Self, OpenError> {
        let index = options.interface_index;
        let ring = PacketRing::open(index, options.ring)?;
        let (transmitter, fallback) = match options.transmit {
            TransmitPath::Packet => (Transmitter::packet(index)?, None),
            TransmitPath::Xdp => (Transmitter::xdp(index)?, None),
            TransmitPath::Auto => match Transmitter::xdp(index) {
                Ok(xdp) => (xdp, None),
                Err(reason) => (Transmitter::packet(index)?, Some(reason)),
            },
        };
        Ok(Self { ring, transmitter, fallback, mtu: options.mtu, refused: 0 })
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
    pub fn transmit_fallback(&self) -> Option<&OpenError> {
        self.fallback.as_ref()
    }

    /// The interface's index.
    #[must_use]
    pub fn interface_index(&self) -> u32 {
        self.ring.interface_index()
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
        self.ring.refresh_statistics();
    }

    /// See [`PacketRing::take_fault`].
    ///
    /// # Errors
    /// [`PortFault::Down`], [`PortFault::Gone`].
    pub fn take_fault(&mut self) -> Result<(), PortFault> {
        self.ring.take_fault()
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
        self.ring.receive(budget, sink)
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
        PortStatistics { tx_frames, tx_dropped, ..self.ring.statistics() }
    }
}

impl AsFd for LanPort {
    /// Readable when frames wait, `POLLERR` when a fault does.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}
