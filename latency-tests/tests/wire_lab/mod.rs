//! Two hosts with a faulty wire between them, in network namespaces of their own:
//!
//! ```text
//!   left            middle              right
//!   l0 ───────── ma ~~~~~ mb ───────── r0
//!   10.77.0.1      bumpless-impair      10.77.0.2
//! ```

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "shared by test files that use different parts")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use latency_tests::impair::command::Reply;
use latency_tests::impair::counters::{Counters, LaneReport};
use latency_tests::os::net::transmit_dropped;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use prp::os::link::Links;
use prp::os::netns::{NetNs, command_in};
use prp::types::MacAddress;
use serde::de::DeserializeOwned;
use tools::netlab::quiet_namespace;

#[path = "../support/basics.rs"]
mod basics;

pub(crate) use basics::{PATIENCE, can_run, wait_until};

pub(crate) const IMPAIR: &str = env!("CARGO_BIN_EXE_bumpless-impair");
pub(crate) const STREAM: &str = env!("CARGO_BIN_EXE_bumpless-stream");
pub(crate) const LEFT_IP: &str = "10.77.0.1";
pub(crate) const RIGHT_IP: &str = "10.77.0.2";
pub(crate) const LEFT_MAC: &str = "02:00:00:77:00:01";
pub(crate) const RIGHT_MAC: &str = "02:00:00:77:00:02";

pub(crate) struct Lab {
    pub(crate) left: NetNs,
    pub(crate) middle: NetNs,
    pub(crate) right: NetNs,
}

impl Lab {
    /// Both hosts, each knowing the other's MAC address, so that the wire carries nothing but what
    /// a test sends.
    pub(crate) fn new() -> Self {
        let lab = Self {
            left: quiet_namespace().unwrap(),
            middle: quiet_namespace().unwrap(),
            right: quiet_namespace().unwrap(),
        };
        lab.wire_left();
        let end = (&lab.right, "r0", RIGHT_IP, RIGHT_MAC);
        lab.wire("mb", end, (LEFT_IP, LEFT_MAC));
        lab
    }

    /// Makes the left wire, at first or again.
    pub(crate) fn wire_left(&self) {
        self.wire("ma", (&self.left, "l0", LEFT_IP, LEFT_MAC), (RIGHT_IP, RIGHT_MAC));
    }

    /// Deletes the left wire, both ends.
    pub(crate) fn unwire_left(&self) {
        let mut links = Links::open_in(&self.middle).unwrap();
        let index = links.by_name("ma").unwrap().index;
        links.delete(index).unwrap();
    }

    fn wire(&self, near: &str, far: (&NetNs, &str, &str, &str), other: (&str, &str)) {
        let (namespace, name, ip, mac) = far;
        let mut middle = Links::open_in(&self.middle).unwrap();
        middle.create_veth(near, name, Some(namespace.as_fd())).unwrap();
        let index = middle.by_name(near).unwrap().index;
        let mut links = Links::open_in(namespace).unwrap();
        let end = links.by_name(name).unwrap().index;
        links.set_mac(end, mac.parse().unwrap()).unwrap();
        links.add_address(end, ip.parse::<IpAddr>().unwrap(), 24).unwrap();
        links.set_up(end, true).unwrap();
        middle.set_up(index, true).unwrap();
        let known: MacAddress = other.1.parse().unwrap();
        links.set_neighbour(end, other.0.parse().unwrap(), known).unwrap();
    }

    /// Frames that the kernel dropped between an end host and the middle, forward and backward, and
    /// that no program was told of: it was too busy to take them off its own queue.
    pub(crate) fn dropped_before_middle(&self) -> [u64; 2] {
        let drops = |namespace: &NetNs, name| namespace.run(|| transmit_dropped(name)).unwrap();
        [drops(&self.left, "l0"), drops(&self.right, "r0")]
    }

    /// Whether all frames so far got over the wires. Exact comparisons are for such runs only.
    pub(crate) fn undisturbed(&self, wire: &Impair) -> bool {
        let after = wire.counters().map(|lane| lane.wire_dropped);
        let before = self.dropped_before_middle();
        let undisturbed = before == [0, 0] && after == [0, 0];
        if !undisturbed {
            println!("NOTE: the kernel dropped {before:?} + {after:?} frames on the wires");
        }
        undisturbed
    }

    /// Waits until all of `frames` sent from the left have reached the middle or are known to have
    /// been dropped on their way, and none waits any more.
    pub(crate) fn all_came(&self, wire: &Impair, frames: u64) -> [Counters; 2] {
        wait_until("all frames to come", || {
            let counters = wire.drained();
            let dropped = counters[0].kernel_dropped + self.dropped_before_middle()[0];
            (counters[0].received + dropped == frames).then_some(counters)
        })
    }

    /// Starts the impairment program between both wires.
    pub(crate) fn impair(&self, seed: u64) -> Impair {
        let control = control_path();
        let mut command = Command::new(IMPAIR);
        command.args(["--between", "ma", "mb", "--seed", &seed.to_string(), "--control"]);
        command.arg(&control);
        let program = Program::start(&self.middle, command);
        Impair { program, control }
    }

    /// A stream program's command line, on one host.
    pub(crate) fn stream(namespace: &NetNs, arguments: &str) -> Program {
        let mut command = Command::new(STREAM);
        command.args(arguments.split_whitespace());
        let announces = arguments.contains("--announce");
        let mut program = Program::spawn(namespace, command);
        if announces {
            program.wait_ready();
        }
        program
    }

    /// Runs a stream program to its end and reads its report.
    pub(crate) fn stream_report<T: DeserializeOwned>(namespace: &NetNs, arguments: &str) -> T {
        Self::stream(namespace, arguments).finish().report()
    }
}

/// A path for a control socket that no other test has.
pub(crate) fn control_path() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("bumpless-impair-{}-{number}", std::process::id()))
}

/// A running program, ended with the test.
pub(crate) struct Program {
    child: Child,
    out: BufReader<ChildStdout>,
}

/// What a program left behind.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
}

impl Ended {
    /// The last line as JSON.
    pub(crate) fn report<T: DeserializeOwned>(&self) -> T {
        let last = self.out.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error} in {:?}", self.out))
    }
}

impl Program {
    pub(crate) fn spawn(namespace: &NetNs, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command_in(namespace, &mut command).unwrap().spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// Starts a program that says `ready` and waits for it.
    pub(crate) fn start(namespace: &NetNs, command: Command) -> Self {
        let mut program = Self::spawn(namespace, command);
        program.wait_ready();
        program
    }

    fn wait_ready(&mut self) {
        assert_eq!(self.line(), "ready");
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub(crate) fn terminate(&self) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    }

    /// Ends the program by a signal and collects what it said.
    pub(crate) fn stop(self) -> Ended {
        self.terminate();
        self.finish()
    }

    /// Waits for the program's own end.
    pub(crate) fn finish(mut self) -> Ended {
        let status = wait_until("a program to end", || self.child.try_wait().unwrap());
        let mut out = String::new();
        self.out.read_to_string(&mut out).unwrap();
        Ended { status, out }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The impairment program and its control socket.
pub(crate) struct Impair {
    pub(crate) program: Program,
    pub(crate) control: PathBuf,
}

impl Impair {
    pub(crate) fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.control).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends one command, which must be carried out.
    pub(crate) fn tell(&self, command: &str) -> Reply {
        let reply = ask(&mut self.connect(), command.as_bytes());
        assert!(reply.ok, "{command}: {reply:?}");
        reply
    }

    /// Sets the impairments of one direction or both.
    pub(crate) fn set(&self, direction: &str, impair: &str) {
        self.tell(&format!(r#"{{"command":"set","direction":"{direction}","impair":{impair}}}"#));
    }

    /// The counters, left to right first.
    pub(crate) fn counters(&self) -> [Counters; 2] {
        both(&self.tell(r#"{"command":"counters"}"#).lanes.unwrap())
    }

    /// Waits until no copy waits for its instant any more.
    pub(crate) fn drained(&self) -> [Counters; 2] {
        wait_until("the queues to empty", || {
            let counters = self.counters();
            counters.iter().all(|lane| lane.queued == 0).then_some(counters)
        })
    }

    /// Ends the program; its last word.
    pub(crate) fn stop(self) -> [Counters; 2] {
        let ended = self.program.stop();
        assert!(ended.status.success(), "{:?}", ended.status);
        assert!(!self.control.exists(), "the socket is removed at the end");
        both(&ended.report::<Reply>().lanes.unwrap())
    }
}

fn both(lanes: &[LaneReport]) -> [Counters; 2] {
    assert_eq!((lanes[0].from.as_str(), lanes[0].to.as_str()), ("ma", "mb"));
    assert_eq!((lanes[1].from.as_str(), lanes[1].to.as_str()), ("mb", "ma"));
    for lane in lanes {
        assert!(lane.counters.balanced(), "{lane:?}");
    }
    [lanes[0].counters, lanes[1].counters]
}

/// Sends one line and reads one.
pub(crate) fn ask(stream: &mut UnixStream, line: &[u8]) -> Reply {
    stream.write_all(line).unwrap();
    stream.write_all(b"\n").unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

/// The octets of a built program.
pub(crate) fn octets_of(program: &str) -> Vec<u8> {
    fs::read(Path::new(program)).unwrap()
}
