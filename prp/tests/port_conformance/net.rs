//! A network namespace of the test's own, and what a test does to interfaces in it.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use prp::os::link::{LinkInfo, Links};
use prp::os::netns::NetNs;
use prp::types::MacAddress;

/// Where a test's stack sends from, on `va`.
pub(crate) const NEAR_IP: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
/// Where it sends to.
pub(crate) const FAR_IP: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);

/// Puts the calling thread into a network namespace of its own, which goes away with the thread and
/// what it opened. The error says what is missing.
pub(crate) fn enter_namespace() -> Result<NetNs, String> {
    let namespace = NetNs::create().map_err(|error| error.to_string())?;
    namespace.enter().map_err(|error| error.to_string())?;
    // Interfaces without addresses of their own keep silent.
    let path = "/proc/sys/net/ipv6/conf/default/disable_ipv6";
    if std::path::Path::new(path).exists() {
        std::fs::write(path, "1").map_err(|error| format!("writing {path}: {error}"))?;
    }
    Ok(namespace)
}

/// A veth pair `va`, `vb` that is up, in a namespace of its own.
pub(crate) fn veth_pair(mtu: u32) -> Result<(), String> {
    enter_namespace()?;
    links().create_veth("va", "vb", None).map_err(|error| error.to_string())?;
    for end in ["va", "vb"] {
        set_mtu(end, mtu);
        set_up(end, true);
    }
    Ok(())
}

pub(crate) fn links() -> Links {
    Links::open().unwrap()
}

pub(crate) fn info(name: &str) -> LinkInfo {
    links().by_name(name).unwrap()
}

pub(crate) fn index(name: &str) -> u32 {
    info(name).index
}

pub(crate) fn set_up(name: &str, up: bool) {
    links().set_up(index(name), up).unwrap();
}

pub(crate) fn set_mtu(name: &str, mtu: u32) {
    links().set_mtu(index(name), mtu).unwrap();
}

pub(crate) fn delete(name: &str) {
    links().delete(index(name)).unwrap();
}

pub(crate) fn add_address(name: &str, ip: Ipv4Addr) {
    links().add_address(index(name), IpAddr::V4(ip), 24).unwrap();
}

/// `va` with an address and a neighbour behind it, so that the stack sends there without asking.
pub(crate) fn address_va() {
    add_address("va", NEAR_IP);
    let neighbour = MacAddress([2, 0, 0, 0, 0, 2]);
    links().set_neighbour(index("va"), IpAddr::V4(FAR_IP), neighbour).unwrap();
}

/// Sends datagrams of every kind of length from [`address_va`]'s address. The stack leaves their
/// checksums to the interface, which has none to offer. Returns how many they are.
pub(crate) fn send_with_open_checksums() -> usize {
    let socket = UdpSocket::bind((NEAR_IP, 0)).unwrap();
    let lengths = [0usize, 1, 2, 3, 46, 100, 101, 1_471, 1_472];
    for len in lengths {
        let payload: Vec<u8> = (0..len).map(|i| u8::try_from(i * 7 % 256).unwrap()).collect();
        socket.send_to(&payload, (FAR_IP, 9)).unwrap();
    }
    lengths.len()
}
