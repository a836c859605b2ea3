//! What only reception through AF_XDP can show: what the XDP program passes, several queues, what a
//! frame does not say of itself.

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::process::Command;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use prp::os::ethtool::{Ethtool, Offload};
use prp::os::lan_port::{LanPort, LanPortOptions, LanReceive, ReceivePath, TransmitPath};
use prp::os::link::BridgeOptions;
use prp::os::open_error::OpenError;
use prp::os::packet_ring::{PacketRing, RingSize};
use prp::port::{Port, PortFault};

use crate::frames::{TAG_C, TAG_S, TAGS_DOUBLE, Tags, UNTAGGED, is_ours, transmit, wait_until};
use crate::net::{
    FAR_IP, NEAR_IP, address_va, delete, enter_namespace, index, links, send_with_open_checksums,
    set_mtu, set_up, veth_pair,
};
use crate::pair::{lan_port, lan_port_by};
use crate::special::transport_checksum_is_right;

const MODES: [ReceivePath; 2] = [ReceivePath::XdpNative, ReceivePath::XdpGeneric];

fn xdp_port(name: &str, mtu: u32, mode: ReceivePath) -> LanPort {
    let port = lan_port_by(name, mtu, LanReceive::Only(mode), TransmitPath::Auto);
    assert_eq!(port.receive_path(), mode);
    port
}

/// What is missing where a driver cannot be asked about VLAN tags.
fn can_ask_drivers() -> Result<(), String> {
    let functions = std::fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default();
    let name = b"bpf_xdp_metadata_rx_vlan_tag";
    let found = functions.windows(name.len()).any(|text| text == name);
    found.then_some(()).ok_or_else(|| "kernel 6.8 or later with BTF".to_owned())
}

/// Somebody else's raw socket.
fn bystander(name: &str) -> PacketRing {
    PacketRing::open(index(name), RingSize::default()).unwrap()
}

fn typed(number: u8, tags: Tags, types: &[u8], octets: usize) -> Vec<u8> {
    let mut frame = [&[2, 0, 0, 0, 0, 0x52, 2, 0, 0, 0, 0, 0x51], tags, types, &[number]].concat();
    frame.resize(octets.max(frame.len()), number);
    frame
}

const OWN: &[u8] = &[0x88, 0xb6];
const PTP: &[u8] = &[0x88, 0xf7];
const HSR_OWN: &[u8] = &[0x89, 0x2f, 0x00, 0x34, 0, 1, 0x88, 0xb6];
const HSR_PTP: &[u8] = &[0x89, 0x2f, 0x10, 0x34, 0, 1, 0x88, 0xf7];
const HSR_OTHER: &[u8] = &[0x89, 0x2f, 0x10, 0x34, 0, 1, 0x88, 0xb5];
const OTHER: &[u8] = &[0x88, 0xb5];
const SUPERVISION: &[u8] = &[0x88, 0xfb];
const TAGS_THREE: Tags = &[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3];

#[test]
fn others_see_what_is_theirs_and_the_port_sees_everything_once() {
    for mode in MODES {
        or_skip!("others_see_what_is_theirs_and_the_port_sees_everything_once", veth_pair(1_990));
        let mut near = lan_port("va", 1_990, TransmitPath::Packet);
        let mut others = bystander("vb");
        let mut far = xdp_port("vb", 1_990, mode);
        let (mut passed, mut kept) = (Vec::new(), Vec::new());
        for tags in [UNTAGGED, TAG_C, TAG_S, TAGS_DOUBLE] {
            for types in [OWN, PTP, HSR_OWN, HSR_PTP] {
                passed.push((tags, types, 60));
            }
            for types in [OTHER, SUPERVISION, HSR_OTHER] {
                kept.push((tags, types, 60));
            }
            kept.push((tags, OTHER, 1_792));
            passed.push((tags, OTHER, 1_793));
        }
        kept.push((TAGS_THREE, PTP, 60));
        let frame = |(number, &(tags, types, octets)): (usize, &(Tags, &[u8], usize))| {
            typed(u8::try_from(number).unwrap(), tags, types, octets)
        };
        let passed: Vec<_> = passed.iter().enumerate().map(frame).collect();
        let kept: Vec<_> = kept.iter().enumerate().map(frame).collect();
        for frame in kept.iter().chain(&passed) {
            transmit(&mut near, frame).unwrap();
        }
        near.flush().unwrap();
        let (mut seen, mut received) = (Vec::new(), Vec::new());
        wait_until(|| {
            far.receive(64, |frame| received.push(frame.to_vec())).unwrap();
            others.receive(64, |frame| seen.push(frame.to_vec())).unwrap();
            received.len() >= kept.len() + passed.len() && seen.len() >= passed.len()
        });
        std::thread::sleep(std::time::Duration::from_millis(20));
        far.receive(64, |frame| received.push(frame.to_vec())).unwrap();
        others.receive(64, |frame| seen.push(frame.to_vec())).unwrap();
        assert_eq!(seen, passed, "{mode:?}: what others see");
        let (through_the_ring, direct): (Vec<_>, Vec<_>) =
            received.into_iter().partition(|frame| passed.contains(frame));
        assert_eq!(direct, kept, "{mode:?}: what the sockets received");
        assert_eq!(through_the_ring, passed, "{mode:?}: what the program passed");
        assert_eq!(far.statistics().rx_frames, (kept.len() + passed.len()) as u64);
    }
}

/// A bridge takes tags out of frames, and a veth behind it does not put them back.
#[test]
fn tags_that_travel_beside_their_frames_are_put_back() {
    or_skip!(
        "tags_that_travel_beside_their_frames_are_put_back",
        can_ask_drivers().and_then(|()| veth_pair(1_500))
    );
    let mut links = links();
    links.create_veth("vc", "vd", None).unwrap();
    links.create_bridge("br0", &BridgeOptions::default()).unwrap();
    for name in ["vb", "vc"] {
        links.set_controller(index(name), index("br0")).unwrap();
    }
    for name in ["vc", "vd", "br0"] {
        set_up(name, true);
    }
    let mut near = lan_port("va", 1_500, TransmitPath::Packet);
    let mut far = lan_port_by("vd", 1_500, LanReceive::Xdp, TransmitPath::Auto);
    assert_eq!(far.receive_path(), ReceivePath::XdpNative);
    let tags = [UNTAGGED, TAG_C, TAG_S, TAGS_DOUBLE, TAG_C, UNTAGGED];
    let frames: Vec<_> =
        (0u8..).zip(tags).map(|(number, tags)| typed(number, tags, OTHER, 64)).collect();
    let mut received = Vec::new();
    // A bridge's port forwards a moment after it came up; what was sent before is lost.
    wait_until(|| {
        for frame in &frames {
            transmit(&mut near, frame).unwrap();
        }
        near.flush().unwrap();
        far.receive(64, |frame| received.extend(is_ours(frame).then(|| frame.to_vec()))).unwrap();
        frames.iter().all(|frame| received.contains(frame))
    });
    received.sort();
    received.dedup();
    let mut sent = frames.clone();
    sent.sort();
    assert_eq!(received, sent);
    // Or this test has shown nothing: in a mode that cannot see it, the tag is lost.
    drop(far);
    let mut far = xdp_port("vd", 1_500, ReceivePath::XdpGeneric);
    let untagged = typed(1, UNTAGGED, OTHER, 60);
    let lost = wait_until(|| {
        transmit(&mut near, &frames[1]).unwrap();
        near.flush().unwrap();
        let mut seen = false;
        far.receive(64, |frame| seen |= frame == untagged).unwrap();
        seen
    });
    assert!(lost, "generic mode kept the tag: it need not be refused");
}

/// A veth pair with so many queues each way.
fn veth_with_queues(queues: u32) -> Result<(), String> {
    enter_namespace()?;
    let end = |name: &str| format!("name {name} numrxqueues {queues} numtxqueues {queues}");
    let line = format!("link add {} type veth peer {}", end("va"), end("vb"));
    let status = Command::new("ip").args(line.split(' ')).status();
    if !status.map_err(|error| format!("ip: {error}"))?.success() {
        return Err("veth pairs with several queues".to_owned());
    }
    for end in ["va", "vb"] {
        set_up(end, true);
    }
    Ok(())
}

/// With more queues than a port serves, the rest comes through the ring, and others see it.
#[test]
fn frames_of_all_queues_arrive_once() {
    for (queues, all_served) in [(3, true), (16, true), (20, false)] {
        for mode in MODES {
            or_skip!("frames_of_all_queues_arrive_once", veth_with_queues(queues));
            address_va();
            let mut others = bystander("vb");
            let mut far = xdp_port("vb", 1_500, mode);
            // The queue follows from a number that each socket draws.
            let count = 400u16;
            for number in 0..count {
                let socket = UdpSocket::bind((NEAR_IP, 0)).unwrap();
                socket.send_to(&number.to_be_bytes(), (FAR_IP, 9)).unwrap();
            }
            let mut numbers = Vec::new();
            let is_datagram =
                |frame: &[u8]| frame.len() >= 44 && frame[12..14] == [8, 0] && frame[23] == 17;
            wait_until(|| {
                far.receive(64, |frame| {
                    if is_datagram(frame) {
                        numbers.push(u16::from_be_bytes([frame[42], frame[43]]));
                    }
                })
                .unwrap();
                numbers.len() >= usize::from(count)
            });
            numbers.sort_unstable();
            assert_eq!(numbers, (0..count).collect::<Vec<_>>(), "{queues} queues, {mode:?}");
            let mut seen = 0;
            for _ in 0..20 {
                others.receive(64, |frame| seen += usize::from(is_datagram(frame))).unwrap();
            }
            assert_eq!(seen == 0, all_served, "{queues} queues: others saw {seen} of {count}");
        }
    }
}

#[test]
fn a_checksum_left_open_is_found_and_completed() {
    for mode in MODES {
        or_skip!("a_checksum_left_open_is_found_and_completed", veth_pair(1_500));
        address_va();
        let mut port = xdp_port("vb", 1_500, mode);
        let sent = send_with_open_checksums();
        let mut seen = 0;
        wait_until(|| {
            port.receive(64, |frame| {
                if let Some(right) = transport_checksum_is_right(frame) {
                    assert!(right, "{mode:?}: {} octets", frame.len());
                    seen += 1;
                }
            })
            .unwrap();
            seen == sent
        });
        assert_eq!(seen, sent);
        // All of them were open, or this test has shown nothing.
        assert_eq!(port.statistics().rx_checksums_completed, sent as u64);
    }
}

#[test]
fn the_best_mode_is_taken_and_what_was_refused_is_told() {
    or_skip!(
        "the_best_mode_is_taken_and_what_was_refused_is_told",
        can_ask_drivers().and_then(|()| veth_pair(1_500))
    );
    let port = lan_port_by("va", 1_500, LanReceive::Xdp, TransmitPath::Auto);
    assert_eq!(port.receive_path(), ReceivePath::XdpNative);
    assert_eq!(port.transmit_path(), TransmitPath::Xdp);
    let why = port.receive_fallback().unwrap();
    assert!(why.starts_with("no zero copy") && why.contains("EOPNOTSUPP"), "{why}");
    drop(port);
    let port = lan_port_by("va", 1_500, LanReceive::Auto, TransmitPath::Auto);
    assert_eq!(port.receive_path(), ReceivePath::Ring);
    let why = port.receive_fallback().unwrap();
    assert!(why.contains("veth") && why.contains("no network card"), "{why}");
    drop(port);
    let receive = LanReceive::Only(ReceivePath::XdpZeroCopy);
    let options = LanPortOptions { receive, ..LanPortOptions::new(index("va"), 1_500) };
    let error = LanPort::open(&options).unwrap_err();
    assert!(matches!(&error, OpenError::NoXdp { reasons } if reasons == why_of(&error)), "{error}");
}

fn why_of(error: &OpenError) -> &str {
    match error {
        OpenError::NoXdp { reasons } if reasons.starts_with("no zero copy") => reasons,
        _ => "",
    }
}

#[test]
fn an_mtu_too_large_for_the_driver_is_named_until_it_is_lowered() {
    or_skip!(
        "an_mtu_too_large_for_the_driver_is_named_until_it_is_lowered",
        can_ask_drivers().and_then(|()| veth_pair(1_500))
    );
    set_mtu("vb", 9_000);
    let receive = LanReceive::Xdp;
    let options = LanPortOptions { receive, ..LanPortOptions::new(index("va"), 1_500) };
    let why = LanPort::open(&options).unwrap_err().to_string();
    for word in ["no zero copy, no native mode: ", "MTU", "veth", "peer", "lower it"] {
        assert!(why.contains(word), "{why}");
    }
    assert!(!why.contains("ERANGE"), "{why}");
    set_mtu("vb", 1_500);
    assert_eq!(LanPort::open(&options).unwrap().receive_path(), ReceivePath::XdpNative);
}

#[test]
fn a_mode_that_was_left_is_free_for_the_next() {
    or_skip!("a_mode_that_was_left_is_free_for_the_next", veth_pair(1_500));
    for mode in [MODES, MODES].concat() {
        let first = xdp_port("va", 1_500, mode);
        assert_eq!(first.transmit_path(), TransmitPath::Xdp);
    }
    let _holder = xdp_port("va", 1_500, ReceivePath::XdpNative);
    for mode in MODES {
        let receive = LanReceive::Only(mode);
        let options = LanPortOptions { receive, ..LanPortOptions::new(index("va"), 1_500) };
        assert_eq!(LanPort::open(&options).unwrap_err(), OpenError::XdpTaken);
    }
}

#[test]
fn offloads_that_take_tags_out_are_off_while_the_port_lives() {
    or_skip!("offloads_that_take_tags_out_are_off_while_the_port_lives", veth_pair(1_500));
    let ethtool = Ethtool::open().unwrap();
    let state = || Offload::TAKING_TAGS_OUT.map(|which| ethtool.offload("va", which).unwrap());
    ethtool.set_offload("va", Offload::RxVlanService, false).unwrap();
    assert_eq!(state(), [Some(true), Some(false)]);
    let port = xdp_port("va", 1_500, ReceivePath::XdpNative);
    assert_eq!(state(), [Some(false), Some(false)]);
    drop(port);
    assert_eq!(state(), [Some(true), Some(false)]);
}

#[test]
fn what_found_no_room_is_counted() {
    for mode in MODES {
        or_skip!("what_found_no_room_is_counted", veth_pair(1_500));
        let mut near = lan_port("va", 1_500, TransmitPath::Packet);
        let mut far = xdp_port("vb", 1_500, mode);
        let (room, count) = (2_048u64, 2_500u64);
        for number in 0..count {
            let frame = typed(u8::try_from(number % 251).unwrap(), UNTAGGED, OTHER, 60);
            transmit(&mut near, &frame).unwrap();
            if number % 32 == 31 {
                near.flush().unwrap();
                // A native veth hands over on another CPU, from a queue of 256.
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
        }
        near.flush().unwrap();
        wait_until(|| {
            far.refresh_statistics();
            far.statistics().rx_dropped == count - room
        });
        assert_eq!(far.statistics().rx_dropped, count - room, "{mode:?}");
        let mut received = 0;
        for _ in 0..200 {
            far.receive(64, |frame| received += u64::from(is_ours(frame))).unwrap();
        }
        assert_eq!((received, far.statistics().rx_frames), (room, room));
        // There is room again.
        transmit(&mut near, &typed(9, UNTAGGED, OTHER, 60)).unwrap();
        near.flush().unwrap();
        assert!(wait_until(|| far.receive(64, |_| ()).unwrap() == 1));
    }
}

#[test]
fn a_waiting_reader_is_woken_by_either_kind_of_frame_and_by_faults() {
    or_skip!("a_waiting_reader_is_woken_by_either_kind_of_frame_and_by_faults", veth_pair(1_500));
    let mut near = xdp_port("va", 1_500, ReceivePath::XdpNative);
    let mut far = lan_port("vb", 1_500, TransmitPath::Packet);
    let wakes = |port: &LanPort, milliseconds: u16| {
        let mut fds = [PollFd::new(port.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(milliseconds)).unwrap() == 1
    };
    assert!(!wakes(&near, 0));
    for types in [OTHER, PTP] {
        transmit(&mut far, &typed(1, UNTAGGED, types, 60)).unwrap();
        far.flush().unwrap();
        assert!(wakes(&near, 5_000));
        assert!(wait_until(|| near.receive(8, |_| ()) == Ok(1)));
        assert!(!wakes(&near, 0));
    }
    set_up("va", false);
    assert!(wakes(&near, 5_000));
    let told = (0..=128).find_map(|_| near.receive(8, |_| ()).err());
    assert_eq!(told, Some(PortFault::Down));
    assert!(!wakes(&near, 0), "a fault that was told wakes nobody");
    delete("va");
    assert_eq!(near.take_fault(), Err(PortFault::Gone));
}
