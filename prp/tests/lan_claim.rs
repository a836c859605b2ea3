//! LAN interfaces as the daemon's own: what arrives stays from the host's stack, what is changed is
//! given back. Every test makes namespaces of its own; all of it runs a second time inside a user
//! namespace, as an ordinary user could run it.
#![cfg(feature = "os")]
#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

#[path = "support/privilege.rs"]
mod privilege;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::process::Command;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt,
};
use prp::os::claim::{ClaimError, LAN_MTU_OCTETS, LanClaim, LanOriginals, LanRequest, release};
use prp::os::ethtool::{Ethtool, Offload};
use prp::os::ingress::{IngressDrop, IngressError, Method};
use prp::os::link::{BridgeOptions, LinkError, Links};
use prp::os::netns::{NetNs, NetNsError, command_in};
use prp::types::MacAddress;

use privilege::{drop_effective_capabilities, in_user_namespace, run_all_in_a_user_namespace};

const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const PORT: u16 = 7000;
const NODE_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0x5e, 1]);

/// A host with the interface `lan`, and another behind it with `far`; both up, with addresses.
struct Pair {
    host: NetNs,
    other: NetNs,
    links: Links,
    index: u32,
}

impl Pair {
    fn new(test: &str) -> Option<Self> {
        let (host, other) = match (NetNs::create_with_loopback(), NetNs::create()) {
            (Ok(host), Ok(other)) => (host, other),
            (Err(NetNsError::NotPermitted { .. }), _) => {
                println!("SKIP: {test}: needs CAP_SYS_ADMIN for network namespaces");
                return None;
            }
            (host, other) => panic!("{host:?} {other:?}"),
        };
        let mut links = Links::open_in(&host).unwrap();
        links.create_veth("lan", "far", Some(other.as_fd())).unwrap();
        let index = links.by_name("lan").unwrap().index;
        links.set_up(index, true).unwrap();
        let mut far = Links::open_in(&other).unwrap();
        let far_index = far.by_name("far").unwrap().index;
        far.add_address(far_index, IpAddr::V4(OTHER), 24).unwrap();
        far.set_up(far_index, true).unwrap();
        Some(Self { host, other, links, index })
    }

    /// Gives the host its address, and each side the other's MAC address, so that nobody asks.
    fn with_address(mut self) -> Self {
        self.links.add_address(self.index, IpAddr::V4(HOST), 24).unwrap();
        let mac = self.links.by_index(self.index).unwrap().mac;
        let mut far = Links::open_in(&self.other).unwrap();
        let far_index = far.by_name("far").unwrap().index;
        far.set_neighbour(far_index, IpAddr::V4(HOST), mac).unwrap();
        self
    }

    fn receiver(&self) -> UdpSocket {
        let receiver = self.host.run(|| UdpSocket::bind(("0.0.0.0", PORT)).unwrap()).unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        receiver
    }

    fn sender(&self) -> UdpSocket {
        let sender = self.other.run(|| UdpSocket::bind((OTHER, 0)).unwrap()).unwrap();
        sender.set_broadcast(true).unwrap();
        sender
    }

    fn ingress(&self) -> IngressDrop {
        IngressDrop::open_in(&self.host).unwrap()
    }

    fn originals(&self) -> LanOriginals {
        self.host.run(|| LanOriginals::read("lan").unwrap()).unwrap()
    }

    fn claim(&self, request: &LanRequest, originals: LanOriginals) -> Result<LanClaim, ClaimError> {
        self.host.run(|| LanClaim::claim(self.index, request, originals)).unwrap()
    }
}

/// A packet socket that sees what passes the interfaces of a namespace.
struct Tap(OwnedFd);

impl Tap {
    fn open(namespace: &NetNs) -> Self {
        let fd = namespace.run(|| {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let protocol = SockProtocol::EthAll;
            socket(AddressFamily::Packet, SockType::Raw, flags, protocol).unwrap()
        });
        let fd = fd.unwrap();
        // More than the few hundred frames of a test; smaller is enough where this is not allowed.
        let _ = setsockopt(&fd, sockopt::RcvBuf, &(1 << 22));
        Self(fd)
    }

    /// The next frame, waiting at most `wait_ms`.
    fn next(&self, wait_ms: u16) -> Option<Vec<u8>> {
        let mut frame = vec![0; 2048];
        match recv(self.0.as_raw_fd(), &mut frame, MsgFlags::empty()) {
            Ok(len) => {
                frame.truncate(len);
                Some(frame)
            }
            Err(Errno::EAGAIN) if wait_ms > 0 => {
                let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
                poll(&mut fds, PollTimeout::from(wait_ms)).unwrap();
                self.next(0)
            }
            Err(Errno::EAGAIN) => None,
            Err(errno) => panic!("{errno}"),
        }
    }

    /// How many frames end in `payload`; waits for `count` of them, 10 seconds for each.
    fn frames_with(&self, payload: &[u8], count: usize) -> usize {
        let mut seen = 0;
        while seen < count {
            let Some(frame) = self.next(10_000) else { return seen };
            // Short frames may be padded.
            seen += usize::from(frame.windows(payload.len()).any(|window| window == payload));
        }
        seen
    }
}

/// The methods that can work here, each to be forced.
fn methods() -> Vec<Method> {
    if in_user_namespace() {
        vec![Method::Nftables]
    } else {
        vec![Method::Clsact, Method::Nftables]
    }
}

#[test]
fn a_closed_ingress_keeps_everything_from_the_host_but_packet_sockets() {
    for method in methods() {
        let Some(pair) = Pair::new("closed ingress").map(Pair::with_address) else { return };
        let (receiver, sender) = (pair.receiver(), pair.sender());
        let destinations: [SocketAddr; 2] =
            [(HOST, PORT).into(), (Ipv4Addr::BROADCAST, PORT).into()];
        for to in destinations {
            sender.send_to(b"open", to).unwrap();
            assert_eq!(receiver.recv(&mut [0; 16]).unwrap(), 4, "{method}: {to} while open");
        }

        let mut ingress = pair.ingress();
        ingress.install_with(pair.index, method).unwrap();
        let tap = Tap::open(&pair.host);
        for _ in 0..100 {
            for to in destinations {
                sender.send_to(b"closed ingress", to).unwrap();
            }
        }
        assert_eq!(tap.frames_with(b"closed ingress", 200), 200, "{method}");

        ingress.remove(pair.index, false).unwrap();
        sender.send_to(b"open again", destinations[0]).unwrap();
        // In order: anything that came through the closed ingress would be read before.
        let mut datagram = [0; 32];
        let len = receiver.recv(&mut datagram).unwrap();
        assert_eq!(&datagram[..len], b"open again", "{method}");
    }
}

#[test]
fn a_drop_that_is_there_is_adopted_and_removed_once() {
    for method in methods() {
        let Some(pair) = Pair::new("adopt") else { return };
        assert_eq!(pair.ingress().find(pair.index), Ok(None));
        pair.ingress().install_with(pair.index, method).unwrap();
        // Whoever made it is gone; another finds it.
        let mut ingress = pair.ingress();
        assert_eq!(ingress.find(pair.index), Ok(Some(method)));
        assert_eq!(ingress.install(pair.index), Ok(method), "adopted, in whichever way it is");
        ingress.install_with(pair.index, method).unwrap();
        ingress.remove(pair.index, false).unwrap();
        assert_eq!(ingress.find(pair.index), Ok(None));
        assert_eq!(ingress.has_clsact(pair.index), Ok(false));
        ingress.remove(pair.index, false).unwrap();
    }
}

#[test]
fn the_classifier_is_preferred_and_the_filter_serves_without_privilege() {
    let Some(pair) = Pair::new("preference") else { return };
    let mut ingress = pair.ingress();
    if in_user_namespace() {
        let error = ingress.install_with(pair.index, Method::Clsact).unwrap_err();
        assert!(matches!(error, IngressError::Failed { .. }), "{error:?}");
        assert!(error.to_string().contains("CAP_BPF"), "{error}");
        assert_eq!(ingress.has_clsact(pair.index), Ok(false), "nothing half-made");
        assert_eq!(ingress.install(pair.index), Ok(Method::Nftables));
    } else {
        assert_eq!(ingress.install(pair.index), Ok(Method::Clsact));
    }
}

#[test]
fn without_any_way_the_refusal_names_both_reasons() {
    let Some(pair) = Pair::new("refusal") else { return };
    let error = pair.host.run(|| {
        // Capabilities belong to the thread, and this one ends with the closure.
        drop_effective_capabilities();
        IngressDrop::open().unwrap().install(pair.index).unwrap_err()
    });
    let error = error.unwrap();
    let IngressError::Refused { interface, clsact, nftables } = &error else { panic!("{error:?}") };
    assert_eq!(interface, "lan");
    assert!(clsact.contains("errno 1") && nftables.contains("errno 1"), "{error}");
    assert!(error.to_string().contains("CAP_NET_ADMIN and CAP_BPF"), "{error}");
}

#[test]
fn a_qdisc_and_a_filter_of_somebody_else_stay() {
    if in_user_namespace() {
        return; // No classifier there.
    }
    let Some(pair) = Pair::new("foreign clsact") else { return };
    let tc = |arguments: &str| {
        let mut command = Command::new("tc");
        command.args(arguments.split(' '));
        command_in(&pair.host, &mut command).unwrap().output()
    };
    match tc("qdisc add dev lan clsact") {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(error) => {
            println!("SKIP: foreign clsact: tc: {error}");
            return;
        }
    }
    let filter = "filter add dev lan ingress prio 7 protocol all u32 match u32 0 0 flowid 1:1";
    assert!(tc(filter).unwrap().status.success());
    let mut ingress = pair.ingress();
    assert_eq!(ingress.has_clsact(pair.index), Ok(true));
    assert_eq!(ingress.find(pair.index), Ok(None), "a foreign filter is not ours");
    assert_eq!(ingress.install(pair.index), Ok(Method::Clsact));
    // Even told that the qdisc may go: a filter that is not ours is on it.
    ingress.remove(pair.index, false).unwrap();
    assert_eq!(ingress.find(pair.index), Ok(None));
    assert_eq!(ingress.has_clsact(pair.index), Ok(true));
    let left = tc("filter show dev lan ingress").unwrap();
    assert!(String::from_utf8_lossy(&left.stdout).contains("pref 7 u32"), "{left:?}");

    // An empty one stays when it is to be kept, and goes when it may.
    assert!(tc("filter del dev lan ingress").unwrap().status.success());
    ingress.install(pair.index).unwrap();
    ingress.remove(pair.index, true).unwrap();
    assert_eq!(ingress.has_clsact(pair.index), Ok(true));
    ingress.remove(pair.index, false).unwrap();
    assert_eq!(ingress.has_clsact(pair.index), Ok(false));
}

#[test]
fn an_interface_that_comes_back_under_its_name_is_closed_again() {
    for method in methods() {
        let Some(mut pair) = Pair::new("comes back") else { return };
        let mut ingress = pair.ingress();
        ingress.install_with(pair.index, method).unwrap();
        pair.links.delete(pair.index).unwrap();
        assert!(matches!(
            ingress.find(pair.index),
            Err(IngressError::Link(LinkError::NoSuchInterface { .. }))
        ));
        pair.links.create_veth("lan", "far", Some(pair.other.as_fd())).unwrap();
        pair.index = pair.links.by_name("lan").unwrap().index;
        pair.links.set_up(pair.index, true).unwrap();
        let mut far = Links::open_in(&pair.other).unwrap();
        let far_index = far.by_name("far").unwrap().index;
        far.add_address(far_index, IpAddr::V4(OTHER), 24).unwrap();
        far.set_up(far_index, true).unwrap();
        ingress.install_with(pair.index, method).unwrap();

        let pair = pair.with_address();
        let (receiver, sender, tap) = (pair.receiver(), pair.sender(), Tap::open(&pair.host));
        sender.send_to(b"still closed", (HOST, PORT)).unwrap();
        assert_eq!(tap.frames_with(b"still closed", 1), 1);
        ingress.remove(pair.index, false).unwrap();
        sender.send_to(b"open", (HOST, PORT)).unwrap();
        assert_eq!(receiver.recv(&mut [0; 32]).unwrap(), 4, "{method}");

        // What a vanished interface left behind can be cleared away by its name.
        ingress.install_with(pair.index, method).unwrap();
        let mut pair = pair;
        pair.links.delete(pair.index).unwrap();
        ingress.forget("lan");
        pair.links.create_veth("lan", "far", Some(pair.other.as_fd())).unwrap();
        let index = pair.links.by_name("lan").unwrap().index;
        assert_eq!(ingress.find(index), Ok(None), "{method}");
    }
}

#[test]
fn a_claim_sets_everything_and_its_release_restores_it() {
    let Some(mut pair) = Pair::new("claim and release") else { return };
    let ethtool = pair.host.run(|| Ethtool::open().unwrap()).unwrap();
    assert_eq!(ethtool.set_offload("lan", Offload::Gro, true), Ok(Some(true)));
    pair.links.add_address(pair.index, "fd00::1".parse().unwrap(), 64).unwrap();
    pair.links.add_address(pair.index, IpAddr::V4(HOST), 24).unwrap();
    let before = pair.links.by_index(pair.index).unwrap();
    let originals = pair.originals();
    assert_eq!((originals.mac, originals.mtu, originals.up), (before.mac, 1500, true));
    assert_eq!((originals.gro, originals.noarp), (Some(true), false));
    assert_eq!(originals.ipv6_addresses, [("fd00::1".parse().unwrap(), 64)]);

    let request = LanRequest { mac: Some(NODE_MAC), ..LanRequest::default() };
    let claim = pair.claim(&request, originals.clone()).unwrap();
    assert_eq!((claim.mac, claim.mtu), (NODE_MAC, LAN_MTU_OCTETS));
    assert!(!claim.interrupted, "a veth takes a new address live");
    let [warning] = &claim.warnings[..] else { panic!("{:?}", claim.warnings) };
    assert!(warning.what.contains("lan carries IP addresses"), "{warning}");
    assert!(warning.what.contains("10.0.0.1/24") && warning.what.contains("fd00::1/64"));

    let claimed = pair.links.by_index(pair.index).unwrap();
    assert!(claimed.up && claimed.noarp, "{claimed:?}");
    assert_eq!((claimed.mac, claimed.mtu), (NODE_MAC, LAN_MTU_OCTETS));
    assert_eq!(ethtool.offload("lan", Offload::Gro), Ok(Some(false)));
    assert_eq!(pair.ingress().find(pair.index), Ok(Some(claim.ingress)));
    let state = pair.originals();
    assert!(state.ipv6_disabled.is_none_or(|disabled| disabled), "{state:?}");

    let warnings = pair.host.run(|| claim.release()).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(pair.originals(), originals);
    assert_eq!(pair.ingress().find(pair.index), Ok(None));
    let mut after = pair.links.by_index(pair.index).unwrap();
    after.running = before.running;
    assert_eq!(after, before);
}

#[test]
fn an_interface_that_was_down_goes_down_again() {
    let Some(mut pair) = Pair::new("was down") else { return };
    pair.links.set_up(pair.index, false).unwrap();
    let originals = pair.originals();
    let claim = pair.claim(&LanRequest::default(), originals.clone()).unwrap();
    assert!(pair.links.by_index(pair.index).unwrap().up);
    assert_eq!(claim.warnings, []);
    assert_eq!(pair.host.run(|| claim.release()).unwrap(), []);
    assert_eq!(pair.originals(), originals);
    assert!(!pair.links.by_index(pair.index).unwrap().up);
}

#[test]
fn a_claim_after_a_crash_keeps_the_first_originals() {
    let Some(pair) = Pair::new("crash") else { return };
    let originals = pair.originals();
    let request = LanRequest { mac: Some(NODE_MAC), ..LanRequest::default() };
    let first = pair.claim(&request, originals.clone()).unwrap();
    // The process dies here: nothing is released. The next one has what was stored.
    let stored = Some(originals.clone());
    let again = pair.host.run(|| LanOriginals::read_unless_stored("lan", stored).unwrap()).unwrap();
    assert_eq!(again, originals);
    let second = pair.claim(&request, again).unwrap();
    assert_eq!(second, first);
    assert_eq!(pair.host.run(|| release("lan", &originals)).unwrap(), []);
    assert_eq!(pair.originals(), originals);
}

#[test]
fn a_renamed_interface_is_given_back_under_its_new_name() {
    let Some(mut pair) = Pair::new("renamed") else { return };
    let originals = pair.originals();
    let request = LanRequest { mac: Some(NODE_MAC), ..LanRequest::default() };
    let claim = pair.claim(&request, originals.clone()).unwrap();
    pair.links.rename(pair.index, "else").unwrap();
    // Another interface takes the name: nothing of ours.
    pair.links.create_veth("lan", "far2", Some(pair.other.as_fd())).unwrap();
    let other = pair.links.by_name("lan").unwrap();
    let found = pair.host.run(|| originals.claimed_interface()).unwrap();
    assert_eq!(found.map(|info| info.name).as_deref(), Some("else"));
    assert_eq!(pair.host.run(|| claim.release()).unwrap(), []);
    let now = pair.host.run(|| LanOriginals::read("else").unwrap()).unwrap();
    assert_eq!(now, originals);
    assert_eq!(pair.links.by_index(other.index).unwrap(), other);
    assert_eq!(pair.host.run(|| originals.claimed_interface()).unwrap(), None);
}

#[test]
fn an_interface_that_has_the_index_of_a_former_one_is_another() {
    let Some(mut pair) = Pair::new("index") else { return };
    let originals = pair.originals();
    pair.claim(&LanRequest::default(), originals.clone()).unwrap();
    pair.links.delete(pair.index).unwrap();
    let mut ip = Command::new("ip");
    let (index, kind) = (pair.index.to_string(), ["type", "veth", "peer", "name", "far"]);
    ip.args(["link", "add", "name", "lan", "index", &index]).args(kind);
    match command_in(&pair.host, &mut ip).unwrap().output() {
        Ok(output) if output.status.success() => {}
        output => {
            println!("SKIP: index: needs iproute2: {output:?}");
            return;
        }
    }
    pair.links.set_mtu(pair.index, 1400).unwrap();
    let stored = Some(originals);
    let fresh = pair.host.run(|| LanOriginals::read_unless_stored("lan", stored).unwrap()).unwrap();
    assert_eq!((fresh.index, fresh.mtu), (pair.index, 1400));
}

#[test]
fn an_ingress_that_is_closed_first_is_no_original() {
    let Some(pair) = Pair::new("closing") else { return };
    let originals = pair.originals();
    let closing = pair.host.run(|| LanOriginals::read_closing(pair.index).unwrap()).unwrap();
    assert_eq!(closing, originals);
    assert!(pair.ingress().find(pair.index).unwrap().is_some());
    assert_eq!(pair.host.run(|| release("lan", &closing)).unwrap(), []);
    assert_eq!(pair.originals(), originals);
    assert_eq!(pair.ingress().find(pair.index), Ok(None));
}

#[test]
fn another_interface_of_the_same_name_is_left_as_it_is() {
    let Some(mut pair) = Pair::new("same name") else { return };
    let originals = pair.originals();
    pair.claim(&LanRequest::default(), originals.clone()).unwrap();
    pair.links.delete(pair.index).unwrap();
    assert_eq!(pair.host.run(|| release("lan", &originals)).unwrap(), [], "gone");

    pair.links.create_veth("lan", "far", Some(pair.other.as_fd())).unwrap();
    let index = pair.links.by_name("lan").unwrap().index;
    pair.links.set_mtu(index, 1400).unwrap();
    let stored = Some(originals.clone());
    let fresh = pair.host.run(|| LanOriginals::read_unless_stored("lan", stored).unwrap()).unwrap();
    assert_eq!((fresh.index, fresh.mtu), (index, 1400), "stored ones are of another interface");
    assert_eq!(pair.host.run(|| release("lan", &originals)).unwrap(), []);
    assert_eq!(pair.links.by_index(index).unwrap().mtu, 1400);
}

#[test]
fn interfaces_that_cannot_be_a_lan_port_are_refused_untouched() {
    let Some(mut pair) = Pair::new("refused") else { return };
    pair.links.create_bridge("br0", &BridgeOptions::default()).unwrap();
    let bridge = pair.links.by_name("br0").unwrap().index;
    let originals = pair.originals();
    pair.links.set_controller(pair.index, bridge).unwrap();
    let error = pair.claim(&LanRequest::default(), originals).unwrap_err();
    assert!(
        matches!(&error, ClaimError::Enslaved { controller, .. } if controller == "br0"),
        "{error:?}"
    );
    assert!(error.to_string().contains("lan is enslaved to br0"), "{error}");
    assert_eq!(pair.ingress().find(pair.index), Ok(None));
    assert!(!pair.links.by_index(pair.index).unwrap().noarp);

    let read = |name: &'static str| pair.host.run(|| LanOriginals::read(name)).unwrap();
    assert!(matches!(read("lo"), Err(ClaimError::NotEthernet { .. })));
    assert!(matches!(
        read("eth77"),
        Err(ClaimError::Link(LinkError::NoSuchInterface { interface })) if interface == "eth77"
    ));
}

#[test]
fn an_mtu_that_the_device_does_not_take_is_a_warning() {
    let Some(pair) = Pair::new("mtu") else { return };
    let request = LanRequest { mtu_min: 100_000, ..LanRequest::default() };
    let claim = pair.claim(&request, pair.originals()).unwrap();
    assert_eq!(claim.mtu, 1500, "as it was");
    let [warning] = &claim.warnings[..] else { panic!("{:?}", claim.warnings) };
    assert!(warning.what.contains("MTU of interface lan"), "{warning}");
    assert!(warning.remedy.contains("carries 100000"), "{warning}");
}

#[test]
fn a_driver_that_keeps_its_address_is_a_warning() {
    let Some(mut pair) = Pair::new("fixed address") else { return };
    // An intermediate functional block is an Ethernet device that takes no other address.
    let mut command = Command::new("ip");
    command.args(["link", "add", "fixed", "type", "ifb"]);
    match command_in(&pair.host, &mut command).unwrap().output() {
        Ok(output) if output.status.success() => {}
        output => {
            println!("SKIP: fixed address: needs iproute2 and IFB: {output:?}");
            return;
        }
    }
    let before = pair.links.by_name("fixed").unwrap();
    let originals = pair.host.run(|| LanOriginals::read("fixed").unwrap()).unwrap();
    let request = LanRequest { mac: Some(NODE_MAC), ..LanRequest::default() };
    let claim =
        pair.host.run(|| LanClaim::claim(before.index, &request, originals.clone()).unwrap());
    let claim = claim.unwrap();
    assert_eq!((claim.mac, claim.mtu), (before.mac, LAN_MTU_OCTETS));
    let [warning] = &claim.warnings[..] else { panic!("{:?}", claim.warnings) };
    assert!(warning.what.contains("set the MAC address of interface fixed"), "{warning}");
    assert_eq!(pair.host.run(|| claim.release()).unwrap(), []);
    assert_eq!(pair.host.run(|| LanOriginals::read("fixed").unwrap()).unwrap(), originals);
}

#[test]
fn the_host_says_nothing_by_itself_on_a_claimed_interface() {
    let Some(mut pair) = Pair::new("silence") else { return };
    if pair.originals().ipv6_disabled != Some(false) {
        println!("SKIP: silence: needs IPv6, whose host speaks unasked");
        return;
    }
    // Beside it, an interface that nobody claims: what it says when it comes up is the yardstick.
    let control_ns = NetNs::create().unwrap();
    pair.links.create_veth("free", "far", Some(control_ns.as_fd())).unwrap();
    let mut far = Links::open_in(&control_ns).unwrap();
    let far_index = far.by_name("far").unwrap().index;
    pair.links.set_up(pair.index, false).unwrap();
    // The far ends must not speak themselves: packet sockets see both directions.
    for namespace in [&pair.other, &control_ns] {
        let far_silent = namespace
            .run(|| std::fs::write("/proc/sys/net/ipv6/conf/far/disable_ipv6", "1"))
            .unwrap();
        far_silent.unwrap();
    }
    far.set_up(far_index, true).unwrap();

    let (claimed, control) = (Tap::open(&pair.other), Tap::open(&control_ns));
    let free = pair.links.by_name("free").unwrap().index;
    pair.claim(&LanRequest::default(), pair.originals()).unwrap();
    pair.links.set_up(free, true).unwrap();
    // Three: the group report, the address's own solicitation, a router solicitation.
    for n in 0..3 {
        assert!(control.next(20_000).is_some(), "the yardstick said only {n}");
    }
    assert_eq!(claimed.next(0), None);
}

#[test]
fn everything_works_without_privilege_in_a_user_namespace() {
    run_all_in_a_user_namespace();
}
