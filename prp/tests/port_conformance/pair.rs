//! Two connected ports of each kind.

use std::marker::PhantomData;

use prp::os::host_port::HostPort;
use prp::os::lan_port::{LanPort, LanPortOptions, LanReceive, ReceivePath, TransmitPath};
use prp::os::tap::Tap;
use prp::port::Port;
use prp::port::memory::{Link, MemoryPort};

use crate::net::{delete, enter_namespace, index, set_mtu, set_up, veth_pair};

/// 1522 + 6 octets with two VLAN tags: more than the 4 octets that the kernel allows a tag.
pub(crate) const MTU: u32 = 1_514;

/// Two connected ports. The near one is the one under test; both directions are used.
pub(crate) trait Pair: Sized {
    type Near: Port;
    type Far: Port;
    /// Whether `receive` tells that the interface is down.
    const RECEIVE_TELLS_DOWN: bool;

    /// Opens the pair, or says what is missing.
    fn open() -> Result<Self, String>;
    fn ends(&mut self) -> (&mut Self::Near, &mut Self::Far);
    /// Moves what was flushed, where nothing moves by itself.
    fn carry(&mut self) {}
    /// Takes the near end's interface up or down.
    fn set_up(&mut self, up: bool);
    /// Deletes the near end's interface.
    fn delete(&mut self);

    fn near(&mut self) -> &mut Self::Near {
        self.ends().0
    }
    fn far(&mut self) -> &mut Self::Far {
        self.ends().1
    }
}

pub(crate) struct MemoryPair {
    near: Box<MemoryPort<128>>,
    far: Box<MemoryPort<128>>,
}

impl Pair for MemoryPair {
    type Near = MemoryPort<128>;
    type Far = MemoryPort<128>;
    const RECEIVE_TELLS_DOWN: bool = true;

    fn open() -> Result<Self, String> {
        Ok(Self { near: Box::default(), far: Box::default() })
    }
    fn ends(&mut self) -> (&mut Self::Near, &mut Self::Far) {
        (&mut self.near, &mut self.far)
    }
    fn carry(&mut self) {
        self.near.cross(&mut *self.far);
    }
    fn set_up(&mut self, up: bool) {
        self.near.set_link(if up { Link::Up } else { Link::Down });
    }
    fn delete(&mut self) {
        self.near.set_link(Link::Gone);
    }
}

/// Opens a LAN port on an interface.
pub(crate) fn lan_port(name: &str, mtu: u32, transmit: TransmitPath) -> LanPort {
    let options = LanPortOptions { transmit, ..LanPortOptions::new(index(name), mtu) };
    LanPort::open(&options).unwrap()
}

/// Opens a LAN port that receives and transmits in one certain way.
pub(crate) fn lan_port_by(
    name: &str,
    mtu: u32,
    receive: LanReceive,
    transmit: TransmitPath,
) -> LanPort {
    let options = LanPortOptions { receive, transmit, ..LanPortOptions::new(index(name), mtu) };
    LanPort::open(&options).unwrap()
}

/// The ways in and out of a pair.
pub(crate) trait Ways {
    const RECEIVE: LanReceive;
    const TRANSMIT: TransmitPath;
}

pub(crate) struct RingPacket;
impl Ways for RingPacket {
    const RECEIVE: LanReceive = LanReceive::Ring;
    const TRANSMIT: TransmitPath = TransmitPath::Packet;
}

pub(crate) struct RingXdp;
impl Ways for RingXdp {
    const RECEIVE: LanReceive = LanReceive::Ring;
    const TRANSMIT: TransmitPath = TransmitPath::Xdp;
}

pub(crate) struct Native;
impl Ways for Native {
    const RECEIVE: LanReceive = LanReceive::Only(ReceivePath::XdpNative);
    const TRANSMIT: TransmitPath = TransmitPath::Auto;
}

pub(crate) struct NativePacket;
impl Ways for NativePacket {
    const RECEIVE: LanReceive = LanReceive::Only(ReceivePath::XdpNative);
    const TRANSMIT: TransmitPath = TransmitPath::Packet;
}

pub(crate) struct Generic;
impl Ways for Generic {
    const RECEIVE: LanReceive = LanReceive::Only(ReceivePath::XdpGeneric);
    const TRANSMIT: TransmitPath = TransmitPath::Auto;
}

/// Two LAN ports on a veth pair, both with the same ways in and out.
pub(crate) struct LanPair<W: Ways> {
    near: LanPort,
    far: LanPort,
    ways: PhantomData<W>,
}

impl<W: Ways> Pair for LanPair<W> {
    type Near = LanPort;
    type Far = LanPort;
    const RECEIVE_TELLS_DOWN: bool = true;

    fn open() -> Result<Self, String> {
        veth_pair(MTU)?;
        let open = |name| lan_port_by(name, MTU, W::RECEIVE, W::TRANSMIT);
        Ok(Self { near: open("va"), far: open("vb"), ways: PhantomData })
    }
    fn ends(&mut self) -> (&mut LanPort, &mut LanPort) {
        (&mut self.near, &mut self.far)
    }
    fn set_up(&mut self, up: bool) {
        set_up("va", up);
    }
    fn delete(&mut self) {
        delete("va");
    }
}

/// A host port of either kind, and a LAN port on the interface that the host would use.
pub(crate) struct HostPair<const TAP: bool> {
    near: HostPort,
    far: LanPort,
}

pub(crate) type TapHostPair = HostPair<true>;
pub(crate) type VethHostPair = HostPair<false>;

impl<const TAP: bool> Pair for HostPair<TAP> {
    type Near = HostPort;
    type Far = LanPort;
    const RECEIVE_TELLS_DOWN: bool = !TAP;

    fn open() -> Result<Self, String> {
        if TAP {
            enter_namespace()?;
            let tap = Tap::open("va").map_err(|error| error.to_string())?;
            set_mtu("va", MTU);
            set_up("va", true);
            let far = lan_port("va", MTU, TransmitPath::Packet);
            return Ok(Self { near: tap.into(), far });
        }
        veth_pair(MTU)?;
        let near = lan_port("va", MTU, TransmitPath::Auto).into();
        Ok(Self { near, far: lan_port("vb", MTU, TransmitPath::Auto) })
    }
    fn ends(&mut self) -> (&mut HostPort, &mut LanPort) {
        (&mut self.near, &mut self.far)
    }
    fn set_up(&mut self, up: bool) {
        set_up("va", up);
    }
    fn delete(&mut self) {
        delete("va");
    }
}
