//! What comes beside messages: descriptors.

use std::fs::File;
use std::io::IoSlice;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};
use std::path::Path;
use std::process::Command;

use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg, setsockopt, sockopt};
use shm_replica::attach::{MESSAGE_OCTETS_MAX, Request};
use shm_replica::os::connection::Connection;
use shm_replica::segment::RegionName;
use tools::netlab::Process;

use super::descriptors;
use crate::bench::{Bench, DAEMON, PATIENCE, is_root, outcome, wait_until};
use crate::participant::{says, start};

/// Sends a message with as many descriptors as one likes; never waits.
pub(super) fn send_beside(
    connection: &Connection,
    octets: &[u8],
    descriptors: &[RawFd],
) -> nix::Result<()> {
    let beside = [ControlMessage::ScmRights(descriptors)];
    let beside = if descriptors.is_empty() { &[][..] } else { &beside };
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let socket = connection.as_fd().as_raw_fd();
    sendmsg::<UnixAddr>(socket, &[IoSlice::new(octets)], beside, flags, None).map(drop)
}

fn hello() -> Vec<u8> {
    let application = RegionName::new("plc").unwrap();
    let mut into = vec![0; MESSAGE_OCTETS_MAX];
    Request::Hello { application, library: "x" }.encode(&mut into).unwrap().to_vec()
}

fn connected(folder: &Path) -> Connection {
    Connection::open(&folder.join("regions.sock")).unwrap()
}

/// Connects, says who it is, and waits to be welcome.
fn welcomed(folder: &Path) -> Connection {
    let connection = connected(folder);
    connection.send(&hello(), None).unwrap();
    wait_until("a welcome", || matches!(connection.receive(&mut [0; 2_048]), Ok(Some(_))));
    connection
}

#[test]
fn descriptors_that_the_daemon_has_no_room_for_do_not_stay_open_in_it() {
    let mut bench = Bench::new("", "");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 100 && exec \"$0\" \"$@\"", DAEMON]);
    command.args(bench.command().get_args()).env_remove("NOTIFY_SOCKET");
    bench.daemon = Some(Process::spawn_ready("bumplessd", command, PATIENCE).unwrap());
    let daemon = bench.daemon.as_ref().unwrap().id();
    let served = start("served", &bench.folder());
    says(&served, "ACTIVE 1");
    let before = descriptors(daemon);
    let file = File::open("/proc/self/comm").unwrap();
    let many = vec![file.as_raw_fd(); 253];
    for _ in 0..5 {
        let connection = welcomed(&bench.folder());
        send_beside(&connection, b"x", &many).unwrap();
        wait_until("the daemon to hang up", || {
            matches!(connection.receive(&mut [0; 2_048]), Ok(None))
        });
    }
    wait_until("descriptors to be closed", || descriptors(daemon) <= before);
    assert_eq!(outcome(&bench.bumpless("regions")).0, Some(0));
}

/// A descriptor that whoever closes it last waits for: a connection that lingers for what its other
/// end, which comes along, does not read.
fn lingering() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (other, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    let chunk = vec![0; 1024 * 1024];
    let is_full = (0..1_000).any(|_| std::io::Write::write(&mut &stream, &chunk).is_err());
    assert!(is_full, "a connection that nobody reads takes all that is written");
    let linger = libc::linger { l_onoff: 1, l_linger: 3_600 };
    setsockopt(&stream, sockopt::Linger, &linger).unwrap();
    (stream, other)
}

#[test]
fn a_descriptor_that_takes_its_time_to_close_keeps_nobody_waiting() {
    let test = "a_descriptor_that_takes_its_time_to_close_keeps_nobody_waiting";
    if !is_root(test) {
        return;
    }
    let namespace = tools::netlab::quiet_namespace().unwrap();
    let bench = Bench::new(&format!("read = [{}]", crate::bench::NOBODY), "");
    let mut bench = bench;
    bench.start();
    for is_known in [false, true] {
        for octets in [hello(), b"x".to_vec()] {
            let (stream, _other) = namespace.run(lingering).unwrap();
            let connection =
                if is_known { welcomed(&bench.folder()) } else { connected(&bench.folder()) };
            if send_beside(&connection, &octets, &[stream.as_raw_fd()]).is_err() {
                // It was not let come: nobody is to wait for it here, either.
                let linger = libc::linger { l_onoff: 0, l_linger: 0 };
                setsockopt(&stream, sockopt::Linger, &linger).unwrap();
            }
            drop(stream);
            let (code, _, err) = outcome(&bench.bumpless("regions"));
            assert_eq!((code, err.as_str()), (Some(0), ""));
        }
    }
}
