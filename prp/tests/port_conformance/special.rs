//! What only ports on interfaces can show: what the kernel does to frames before a port sees them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use prp::os::lan_port::{LanPort, LanPortOptions, TransmitPath};
use prp::os::open_error::OpenError;
use prp::os::packet_ring::{PacketRing, RingSize};
use prp::os::promiscuity::Promiscuity;
use prp::os::tap::Tap;
use prp::port::{Port, PortFault};

use crate::frames::{TAG_C, TAG_S, UNTAGGED, frame, is_ours, transmit, wait_until};
use crate::net::{
    FAR_IP, NEAR_IP, add_address, address_va, delete, enter_namespace, index, info, links,
    send_with_open_checksums, set_up, veth_pair,
};
use crate::pair::lan_port;

/// The ones' complement sum over octets, most significant first.
fn sum(octets: &[u8]) -> u32 {
    let words =
        octets.chunks(2).map(|w| (u32::from(w[0]) << 8) | w.get(1).map_or(0, |b| u32::from(*b)));
    let sum: u32 = words.sum();
    (sum & 0xffff) + (sum >> 16)
}

/// Whether an untagged IPv4 frame's TCP or UDP checksum is right, as its receiver would find it.
/// `None` for other frames.
pub(crate) fn transport_checksum_is_right(frame: &[u8]) -> Option<bool> {
    let protocol = (frame[12..14] == [0x08, 0x00]).then(|| frame[23])?;
    let ip = &frame[14..];
    let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    let segment = &ip[20..total];
    matches!(protocol, 6 | 17).then(|| {
        let pseudo = sum(&ip[12..20]) + u32::from(protocol) + u32::try_from(segment.len()).unwrap();
        let all = sum(segment) + pseudo;
        let folded = (all & 0xffff) + (all >> 16);
        (folded & 0xffff) + (folded >> 16) == 0xffff
    })
}

#[test]
fn a_checksum_left_open_by_the_stack_is_completed() {
    or_skip!("a_checksum_left_open_by_the_stack_is_completed", veth_pair(1_500));
    address_va();
    let mut port = lan_port("vb", 1_500, TransmitPath::Packet);
    let sent = send_with_open_checksums();
    let mut seen = 0;
    wait_until(|| {
        let taken = port.receive(64, |frame| {
            assert_eq!(transport_checksum_is_right(frame), Some(true), "{} octets", frame.len());
            seen += 1;
        });
        taken.unwrap();
        seen == sent
    });
    assert_eq!(seen, sent);
    // All of them were open, or this test has shown nothing.
    assert_eq!(port.statistics().rx_checksums_completed, sent as u64);
}

#[test]
fn datagrams_that_the_stack_merged_are_counted_and_not_handed_over() {
    or_skip!("datagrams_that_the_stack_merged_are_counted_and_not_handed_over", veth_pair(1_500));
    address_va();
    let mut port = lan_port("vb", 1_500, TransmitPath::Packet);
    let socket = UdpSocket::bind((NEAR_IP, 0)).unwrap();
    setsockopt(&socket, sockopt::UdpGsoSegment, &300).unwrap();
    // Four datagrams in one frame of 1,242 octets: it would fit, and is still not a frame.
    socket.send_to(&[1; 1_200], (FAR_IP, 9)).unwrap();
    wait_until(|| {
        port.receive(64, |frame| panic!("{} octets were handed over", frame.len())).unwrap();
        port.statistics().rx_merged > 0
    });
    assert_eq!(port.statistics().rx_merged, 1);
}

/// A namespace of its own for `vb` and a TCP server in it, in a thread that ends with the stream.
fn tcp_server(octets: usize) -> std::thread::JoinHandle<PortCounts> {
    let (ready, wait_ready) = std::sync::mpsc::channel();
    let (moved, wait_moved) = std::sync::mpsc::channel();
    let server = std::thread::spawn(move || {
        ready.send(enter_namespace().unwrap()).unwrap();
        wait_moved.recv().unwrap();
        add_address("vb", FAR_IP);
        set_up("vb", true);
        serve_beside_a_port(octets)
    });
    let namespace = wait_ready.recv().unwrap();
    links().move_to_ns(index("vb"), &namespace).unwrap();
    moved.send(()).unwrap();
    server
}

struct PortCounts {
    handed_over: usize,
    wrong_checksums: usize,
    longest: usize,
    merged: u64,
    completed: u64,
}

/// Receives `octets` by TCP while a port on the same interface listens in.
fn serve_beside_a_port(octets: usize) -> PortCounts {
    let ring = RingSize { frames: 8_192, ..RingSize::default() };
    let options = LanPortOptions { ring, ..LanPortOptions::new(index("vb"), 1_500) };
    let mut port = LanPort::open(&options).unwrap();
    let listener = TcpListener::bind((FAR_IP, 7_777)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut stream = None;
    wait_until(|| {
        stream = listener.accept().ok();
        stream.is_some()
    });
    let mut stream = stream.unwrap().0;
    stream.set_nonblocking(false).unwrap();
    let mut received = vec![0; octets];
    stream.read_exact(&mut received).unwrap();
    let (mut handed_over, mut wrong_checksums, mut longest) = (0, 0, 0);
    let budget = ring.frames as usize;
    port.receive(budget, |frame| {
        handed_over += 1;
        longest = longest.max(frame.len());
        wrong_checksums += usize::from(transport_checksum_is_right(frame) == Some(false));
    })
    .unwrap();
    let (merged, completed) =
        (port.statistics().rx_merged, port.statistics().rx_checksums_completed);
    PortCounts { handed_over, wrong_checksums, longest, merged, completed }
}

#[test]
fn segments_that_tcp_merged_are_counted_and_not_handed_over() {
    or_skip!("segments_that_tcp_merged_are_counted_and_not_handed_over", veth_pair(1_500));
    add_address("va", NEAR_IP);
    let octets = 1 << 20;
    let server = tcp_server(octets);
    let mut client = None;
    wait_until(|| {
        client = TcpStream::connect((FAR_IP, 7_777)).ok();
        client.is_some()
    });
    client.unwrap().write_all(&vec![5; octets]).unwrap();
    let counts = server.join().unwrap();
    assert!(counts.merged > 0, "TSO merged nothing, so nothing was shown");
    assert!(counts.handed_over > 0 && counts.completed > 0, "at least SYN and ACK");
    assert_eq!(counts.wrong_checksums, 0);
    assert!(counts.longest <= 1_514, "{}", counts.longest);
}

#[test]
fn the_interfaces_longest_frame_depends_on_its_tag() {
    for path in [TransmitPath::Packet, TransmitPath::Xdp] {
        or_skip!("the_interfaces_longest_frame_depends_on_its_tag", veth_pair(1_500));
        let (mut near, mut far) = (lan_port("va", 1_500, path), lan_port("vb", 1_500, path));
        let fits = [(1_514, UNTAGGED), (1_514, TAG_S), (1_518, TAG_C)];
        let too_long = [(1_515, UNTAGGED), (1_518, UNTAGGED), (1_518, TAG_S), (1_519, TAG_C)];
        for (octets, tags) in too_long {
            assert_eq!(transmit(&mut near, &frame(1, octets, tags)), Err(PortFault::TooLong));
        }
        for (octets, tags) in fits {
            transmit(&mut near, &frame(2, octets, tags)).unwrap();
        }
        near.flush().unwrap();
        let mut arrived = Vec::new();
        wait_until(|| {
            far.receive(64, |frame| arrived.extend(is_ours(frame).then_some(frame.len()))).unwrap();
            arrived.len() == fits.len()
        });
        assert_eq!(arrived, fits.map(|(octets, _)| octets));
        near.set_mtu(1_400);
        assert_eq!(transmit(&mut near, &frame(1, 1_419, TAG_C)), Err(PortFault::TooLong));
        assert_eq!(near.mtu(), 1_400);
    }
}

/// What the port believes of the MTU can be wrong for a moment; the kernel's refusal is told.
#[test]
fn a_frame_that_the_kernel_finds_too_long_does_not_take_others_with_it() {
    or_skip!(
        "a_frame_that_the_kernel_finds_too_long_does_not_take_others_with_it",
        veth_pair(1_500)
    );
    let mut near = lan_port("va", 1_600, TransmitPath::Packet);
    for octets in [60, 1_600, 61] {
        transmit(&mut near, &frame(1, octets, UNTAGGED)).unwrap();
    }
    assert_eq!(near.flush(), Err(PortFault::TooLong));
    let statistics = near.statistics();
    assert_eq!((statistics.tx_frames, statistics.tx_dropped), (2, 1));
}

#[test]
fn what_a_full_ring_lost_is_counted() {
    or_skip!("what_a_full_ring_lost_is_counted", veth_pair(1_500));
    let mut near = lan_port("va", 1_500, TransmitPath::Packet);
    let mut ring =
        PacketRing::open(index("vb"), RingSize { frames: 32, frame_octets: 2_048 }).unwrap();
    for round in 1..=3u64 {
        for number in 0..100 {
            transmit(&mut near, &frame(number, 60, UNTAGGED)).unwrap();
        }
        near.flush().unwrap();
        let mut settled = 0;
        wait_until(|| {
            ring.refresh_statistics();
            settled = ring.statistics().rx_dropped;
            settled == 68 * round
        });
        assert_eq!(settled, 68 * round);
        let mut numbers = Vec::new();
        ring.receive(200, |frame| numbers.push(frame[17])).unwrap();
        assert_eq!(numbers, (0..32).collect::<Vec<u8>>());
        assert_eq!(ring.statistics().rx_frames, 32 * round);
    }
}

/// Nobody has to ask for the loss counter: while frames are lost, the port reads it now and then.
#[test]
fn losses_are_counted_without_being_asked_for() {
    or_skip!("losses_are_counted_without_being_asked_for", veth_pair(1_500));
    let mut near = lan_port("va", 1_500, TransmitPath::Packet);
    let mut ring =
        PacketRing::open(index("vb"), RingSize { frames: 32, frame_octets: 2_048 }).unwrap();
    for number in 0..40 {
        transmit(&mut near, &frame(number, 60, UNTAGGED)).unwrap();
    }
    near.flush().unwrap();
    // The flag comes with the first frame that finds room again.
    ring.receive(64, |_| ()).unwrap();
    transmit(&mut near, &frame(99, 60, UNTAGGED)).unwrap();
    near.flush().unwrap();
    let counted = wait_until(|| {
        ring.receive(64, |_| ()).unwrap();
        ring.statistics().rx_dropped > 0
    });
    assert!(counted);
    assert_eq!(ring.statistics().rx_dropped, 8);
}

#[test]
fn promiscuity_lasts_as_long_as_somebody_holds_it() {
    or_skip!("promiscuity_lasts_as_long_as_somebody_holds_it", veth_pair(1_500));
    assert!(!info("vb").promiscuous);
    for _ in 0..2 {
        let (one, other) = (index("vb"), index("vb"));
        let holds = [one, other].map(|at| Promiscuity::hold(at).unwrap());
        assert!(info("vb").promiscuous);
        let [one, other] = holds;
        drop(one);
        assert!(info("vb").promiscuous);
        drop(other);
        assert!(!info("vb").promiscuous);
    }
}

#[test]
fn a_port_can_be_opened_while_its_interface_is_down() {
    for path in [TransmitPath::Packet, TransmitPath::Xdp] {
        or_skip!("a_port_can_be_opened_while_its_interface_is_down", veth_pair(1_500));
        set_up("va", false);
        let mut near = lan_port("va", 1_500, path);
        let mut far = lan_port("vb", 1_500, path);
        assert_eq!(near.receive(8, |_| ()), Err(PortFault::Down));
        set_up("va", true);
        let mut arrived = 0;
        wait_until(|| {
            let _ = transmit(&mut far, &frame(1, 60, UNTAGGED)).and_then(|()| far.flush());
            let _ = near.receive(8, |frame| arrived += usize::from(is_ours(frame)));
            arrived > 0
        });
        assert!(arrived > 0);
    }
}

#[test]
fn a_waiting_reader_is_woken_by_frames_and_by_faults() {
    or_skip!("a_waiting_reader_is_woken_by_frames_and_by_faults", veth_pair(1_500));
    let mut near = lan_port("va", 1_500, TransmitPath::Xdp);
    let mut far = lan_port("vb", 1_500, TransmitPath::Xdp);
    let wait = |port: &LanPort, milliseconds: u16| {
        let mut fds = [PollFd::new(port.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(milliseconds)).unwrap();
        fds[0].revents().unwrap()
    };
    assert_eq!(wait(&near, 0), PollFlags::empty());
    transmit(&mut far, &frame(1, 60, UNTAGGED)).unwrap();
    far.flush().unwrap();
    assert_eq!(wait(&near, 5_000), PollFlags::POLLIN);
    assert_eq!(near.receive(8, |_| ()), Ok(1));
    assert_eq!(wait(&near, 0), PollFlags::empty());
    set_up("va", false);
    assert!(wait(&near, 5_000).contains(PollFlags::POLLERR));
    assert_eq!(near.take_fault(), Err(PortFault::Down));
    assert_eq!(wait(&near, 0), PollFlags::empty(), "a fault that was told wakes nobody");
    delete("va");
    assert_eq!(near.take_fault(), Err(PortFault::Gone));
}

/// The kernel reports the way down once; the deletion later is no event of its own.
#[test]
fn an_interface_deleted_while_down_is_gone() {
    for with_a_frame_waiting in [false, true] {
        or_skip!("an_interface_deleted_while_down_is_gone", veth_pair(1_500));
        let mut near = lan_port("va", 1_500, TransmitPath::Packet);
        let mut far = lan_port("vb", 1_500, TransmitPath::Packet);
        if with_a_frame_waiting {
            transmit(&mut far, &frame(1, 60, UNTAGGED)).unwrap();
            far.flush().unwrap();
        }
        set_up("va", false);
        assert_eq!(near.take_fault(), Err(PortFault::Down));
        assert_eq!(near.receive(8, |_| ()), Ok(usize::from(with_a_frame_waiting)));
        assert_eq!(near.receive(8, |_| ()), Ok(0));
        delete("va");
        let fault = (0..200).find_map(|_| near.receive(8, |_| ()).err());
        assert_eq!(fault, Some(PortFault::Gone));
    }
}

#[test]
fn an_interface_left_by_one_xdp_port_is_taken_by_the_next() {
    or_skip!("an_interface_left_by_one_xdp_port_is_taken_by_the_next", veth_pair(1_500));
    for _ in 0..5 {
        let port = lan_port("va", 1_500, TransmitPath::Xdp);
        assert_eq!(port.transmit_path(), TransmitPath::Xdp);
    }
}

#[test]
fn where_xdp_cannot_be_had_the_reason_is_kept() {
    or_skip!("where_xdp_cannot_be_had_the_reason_is_kept", veth_pair(1_500));
    let holder = lan_port("va", 1_500, TransmitPath::Xdp);
    // The one queue is taken.
    let second = lan_port("va", 1_500, TransmitPath::Auto);
    assert_eq!(second.transmit_path(), TransmitPath::Packet);
    let reason = second.transmit_fallback().map(ToString::to_string).unwrap_or_default();
    assert!(reason.contains("AF_XDP") && reason.contains("EBUSY"), "{reason}");
    assert_eq!(holder.transmit_fallback(), None);
    let options =
        LanPortOptions { transmit: TransmitPath::Xdp, ..LanPortOptions::new(index("va"), 1_500) };
    assert!(matches!(LanPort::open(&options), Err(OpenError::System { .. })));
}

#[test]
fn what_cannot_be_opened_is_refused_by_name() {
    or_skip!("what_cannot_be_opened_is_refused_by_name", veth_pair(1_500));
    for missing in [0, 4_711, u32::MAX] {
        let error = LanPort::open(&LanPortOptions::new(missing, 1_500)).unwrap_err();
        assert_eq!(error, OpenError::NoInterface { index: missing });
    }
    for (frames, frame_octets) in [(0, 2_048), (33, 2_048), (1 << 20, 2_048), (64, 100), (32, 512)]
    {
        let error = PacketRing::open(index("va"), RingSize { frames, frame_octets }).unwrap_err();
        assert!(matches!(error, OpenError::Size { .. }), "{error}");
    }
    for name in ["", "a/b", "name of blanks", "sixteen-octets-x", "tap%d", ".", "a\0b"] {
        assert!(matches!(Tap::open(name), Err(OpenError::Name { .. })), "{name}");
    }
    match Tap::open("va").unwrap_err() {
        OpenError::Taken { obstacle, .. } => assert_eq!(obstacle, "no TAP"),
        error @ OpenError::NotPermitted { .. } => {
            println!("SKIP: what_cannot_be_opened_is_refused_by_name: {error}");
        }
        error => panic!("{error}"),
    }
}

/// A TAP in a namespace of the test's own, or what is missing.
fn tap_in_namespace(name: &str) -> Result<Tap, String> {
    enter_namespace()?;
    Tap::open(name).map_err(|error| error.to_string())
}

#[test]
fn a_tap_is_held_by_one_and_can_outlive_it() {
    let tap = or_skip!("a_tap_is_held_by_one_and_can_outlive_it", tap_in_namespace("prp0"));
    assert_eq!(tap.interface_index(), index("prp0"));
    let error = Tap::open("prp0").unwrap_err();
    assert_eq!(
        error.to_string(),
        "interface prp0 exists and is held by another process; choose another name or remove it"
    );
    tap.set_persistent(true).unwrap();
    set_up("prp0", true);
    let control = tap.control().unwrap();
    control.set_carrier(false).unwrap();
    assert!(!info("prp0").running);
    control.set_carrier(true).unwrap();
    assert!(info("prp0").running);
    let before = tap.interface_index();
    drop((tap, control));
    let adopted = Tap::open("prp0").unwrap();
    assert_eq!(adopted.interface_index(), before);
    adopted.set_persistent(false).unwrap();
    drop(adopted);
    assert!(nix::net::if_::if_nametoindex("prp0").is_err(), "it goes with its holder");
}

/// The stack's own frames through a TAP: whole checksums, no merged segments, without any setting.
#[test]
fn what_the_stack_sends_through_a_tap_is_complete() {
    let mut tap =
        or_skip!("what_the_stack_sends_through_a_tap_is_complete", tap_in_namespace("va"));
    set_up("va", true);
    address_va();
    let socket = UdpSocket::bind((NEAR_IP, 0)).unwrap();
    setsockopt(&socket, sockopt::UdpGsoSegment, &300).unwrap();
    socket.send_to(&[1; 1_200], (FAR_IP, 9)).unwrap();
    let mut datagrams = 0;
    wait_until(|| {
        tap.receive(64, |frame| {
            if let Some(is_right) = transport_checksum_is_right(frame) {
                assert!(is_right);
                assert_eq!(frame.len(), 14 + 20 + 8 + 300);
                datagrams += 1;
            }
        })
        .unwrap();
        datagrams == 4
    });
    assert_eq!(datagrams, 4);
}
