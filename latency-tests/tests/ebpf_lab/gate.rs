//! What the gate has to do, on a frame at a time and on a wire.

use std::io::{BufRead as _, BufReader, IoSlice};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use aya::TestRunOptions;
use aya::maps::MapData;
use aya::programs::tc::{NlOptions, TcAttachOptions, qdisc_add_clsact};
use aya::programs::{LinkOrder, TcAttachType};
use latency_tests::impair::random::Random;
use latency_tests::os::bpf::SharedArray;
use latency_tests::os::packet::{Inbox, Options, Outgoing, PacketSocket};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg, setsockopt, sockopt};
use prp::os::link::Links;
use prp::os::netns::{NetNs, command_in};
use rt_core::gate::{ALL_CYCLES, GateCounters, GateWords, output_mark};
use rt_core::os::clock::{BootClock, MonotonicClock};
use tools::netlab::quiet_namespace;

use super::schedule::{mac_of, tagged};
use super::{Gate, test_run};

/// Where the kernel has them in `struct __sk_buff`.
const MARK_AT: usize = 8;
const TSTAMP_AT: usize = 152;
const CONTEXT_OCTETS: usize = 192;
const TC_ACT_OK: u32 = 0;
const TC_ACT_SHOT: u32 = 2;
/// The instant at which the gate of the first test lives.
const NOW_NS: u64 = 1 << 40;

/// Whether a frame with this mark and deadline of its own passes.
fn passes(gate: &Gate, mark: u32, own_deadline_ns: u64) -> bool {
    let frame = tagged(mac_of(1), prp::types::LanId::A, 1, 0);
    let mut context = [0; CONTEXT_OCTETS];
    context[MARK_AT..][..4].copy_from_slice(&mark.to_ne_bytes());
    context[TSTAMP_AT..][..8].copy_from_slice(&own_deadline_ns.to_ne_bytes());
    let mut after = [0xff; CONTEXT_OCTETS];
    let options = TestRunOptions {
        data_in: Some(&frame),
        ctx_in: Some(&context),
        ctx_out: Some(&mut after),
        ..TestRunOptions::new()
    };
    match test_run(gate.loaded.program("gate").unwrap(), options).0 {
        TC_ACT_OK => {
            let held_until = &after[TSTAMP_AT..][..8];
            assert!(mark >> 31 == 0 || held_until == [0; 8], "a queue would hold it back");
            true
        }
        TC_ACT_SHOT => false,
        other => panic!("{other}"),
    }
}

/// Each word opens and closes exactly where it says; each refusal is counted where it belongs.
pub(crate) fn obeys_its_words() {
    let gate = Gate::load(NOW_NS);
    let words = gate.words();
    let mut expected = GateCounters::default();
    assert!(passes(&gate, 7, 0), "a frame of another class");
    assert!(!passes(&gate, output_mark(0), 0), "closed from the start");
    expected.refused_late += 1;

    words.open_to(ALL_CYCLES);
    for (deadline, open) in
        [(0, false), (1, false), (NOW_NS - 1, false), (NOW_NS, false), (NOW_NS + 1, true)]
    {
        words.set_owner_deadline(deadline);
        assert_eq!(passes(&gate, output_mark(1), 0), open, "owner's deadline {deadline}");
        let count = if open { &mut expected.passed } else { &mut expected.refused_late };
        *count += 1;
    }
    for (own, open) in [(1, false), (NOW_NS, false), (NOW_NS + 1, true), (u64::MAX, true)] {
        assert_eq!(passes(&gate, output_mark(1), own), open, "own deadline {own}");
        let count = if open { &mut expected.passed } else { &mut expected.refused_stale };
        *count += 1;
    }
    let mut random = Random::new(1);
    for _ in 0..500 {
        let open_cycle = random.bits() >> random.below(64);
        let cycle = match random.below(3) {
            0 => open_cycle.wrapping_add(random.below(3)).wrapping_sub(1),
            1 => open_cycle.wrapping_add(random.below(1 << 29)),
            _ => open_cycle.saturating_sub(random.below(1 << 29)),
        };
        if open_cycle == ALL_CYCLES || cycle.abs_diff(open_cycle) > 1 << 30 {
            continue;
        }
        words.open_to(open_cycle);
        let open = cycle <= open_cycle;
        assert_eq!(passes(&gate, output_mark(cycle), 0), open, "{cycle} of {open_cycle}");
        let count = if open { &mut expected.passed } else { &mut expected.refused_early };
        *count += 1;
    }
    assert_eq!(words.counters(), expected);
    assert!(expected.refused_early > 50 && expected.passed > 50);
}

/// How the writer attaches the gate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Attached {
    /// By a filter, which stays until it is removed.
    Filter,
    /// By a link, which goes with the last descriptor.
    Link,
}

const WRITER: &str = "BUMPLESS_GATE_WRITER";
const LEASE: Duration = Duration::from_millis(150);
const EXTENDED_EACH: Duration = Duration::from_millis(10);

fn boottime_ns() -> u64 {
    BootClock::now().as_nanos()
}

fn attach(gate: &mut Gate, attached: Attached) {
    let program = Gate::classifier(&mut gate.loaded);
    let options = match attached {
        Attached::Filter => {
            qdisc_add_clsact("s0").unwrap();
            TcAttachOptions::Netlink(NlOptions::default())
        }
        Attached::Link => TcAttachOptions::TcxOrder(LinkOrder::default()),
    };
    program.attach_with_options("s0", TcAttachType::Egress, options).unwrap();
}

/// In the process that [`survives_its_writer`] started: holds the gate open until it is killed.
/// Returns at once in any other.
pub(crate) fn write_if_asked() {
    let Some(how) = std::env::var_os(WRITER) else { return };
    let mut gate = Gate::load(0);
    attach(&mut gate, if how == "filter" { Attached::Filter } else { Attached::Link });
    let id = match gate.loaded.map("gate_words") {
        Some(aya::maps::Map::Array(data)) => data.info().unwrap().id(),
        other => panic!("{other:?}"),
    };
    gate.words().open_to(ALL_CYCLES);
    for extension in 0.. {
        gate.words().set_owner_deadline(boottime_ns() + u64::try_from(LEASE.as_nanos()).unwrap());
        if extension == 0 {
            println!("\ngate {id}");
        }
        sleep(EXTENDED_EACH);
    }
}

/// A frame that was sent: the clock before and after.
struct Sent {
    number: u16,
    from_ns: u64,
    to_ns: u64,
}

struct Wire {
    sender: PacketSocket,
    receiver: PacketSocket,
    /// Numbers that arrived with the mark's frames, and of those without a mark.
    arrived: Vec<u16>,
    inbox: Inbox,
}

impl Wire {
    fn between(near: &NetNs, far: &NetNs) -> Self {
        let mut links = Links::open_in(near).unwrap();
        links.create_veth("s0", "r0", Some(far.as_fd())).unwrap();
        for (namespace, name) in [(near, "s0"), (far, "r0")] {
            let mut links = Links::open_in(namespace).unwrap();
            let index = links.by_name(name).unwrap().index;
            links.set_up(index, true).unwrap();
        }
        let (sender, receiver) = (socket(near, "s0"), socket(far, "r0"));
        Self { sender, receiver, arrived: Vec::new(), inbox: Inbox::default() }
    }

    fn drain(&mut self) {
        while self.receiver.receive(&mut self.inbox).is_ok() && !self.inbox.is_empty() {
            for index in 0..self.inbox.len() {
                let frame = self.inbox.frame(index);
                if frame.len() == 66 && frame[60..].ends_with(&[0x88, 0xfb]) {
                    self.arrived.push(u16::from_be_bytes([frame[60], frame[61]]));
                }
            }
        }
    }

    fn send(&mut self, number: u16, mark: u32) -> Sent {
        setsockopt(&self.sender, sockopt::Mark, &mark).unwrap();
        let frame = tagged(mac_of(1), prp::types::LanId::A, number, 0);
        let from_ns = boottime_ns();
        let outgoing = [Outgoing { offload: Default::default(), octets: &frame }];
        // A frame that the gate refuses is an error to its sender, or none: either will do.
        let _ = self.sender.send(&outgoing);
        let to_ns = boottime_ns();
        self.drain();
        Sent { number, from_ns, to_ns }
    }
}

fn socket(namespace: &NetNs, interface: &str) -> PacketSocket {
    let options = Options {
        promiscuous: true,
        offload: false,
        outgoing: false,
        buffer_octets: 1 << 20,
        filter: &[],
    };
    namespace.run(|| PacketSocket::open(interface, options)).unwrap().unwrap()
}

/// Two ends of a wire; a writer is killed. With a filter the gate closes at the last deadline that
/// was written; with a link it goes with the writer, and the way is open.
pub(crate) fn survives_its_writer(test: &str, attached: Attached) {
    let (near, far) = (quiet_namespace().unwrap(), quiet_namespace().unwrap());
    let mut wire = Wire::between(&near, &far);
    let mut command = Command::new(std::env::current_exe().unwrap());
    let how = if attached == Attached::Filter { "filter" } else { "link" };
    command.args([test, "--exact", "--nocapture"]).env(WRITER, how).stdout(Stdio::piped());
    let mut writer = command_in(&near, &mut command).unwrap().spawn().unwrap();
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines().map(Result::unwrap);
    let id = lines.find_map(|line| line.strip_prefix("gate ")?.parse().ok()).unwrap();
    let words: SharedArray<GateWords> =
        SharedArray::map(MapData::from_id(id).unwrap().fd(), 1).unwrap();
    let words = &words.values()[0];

    let mut sent = Vec::new();
    let mut number = 0;
    let mut send = |wire: &mut Wire, sent: &mut Vec<Sent>, count: usize| {
        for _ in 0..count {
            sent.push(wire.send(number, output_mark(5)));
            number += 1;
            sleep(Duration::from_millis(1));
        }
    };
    send(&mut wire, &mut sent, 100);
    writer.kill().unwrap();
    writer.wait().unwrap();
    let deadline = words.owner_deadline_ns();
    while boottime_ns() < deadline {
        send(&mut wire, &mut sent, 5);
    }
    send(&mut wire, &mut sent, 50);
    let unmarked = wire.send(60_000, 0).number;
    sleep(Duration::from_millis(20));
    wire.drain();

    let arrived = |sent: &Sent| wire.arrived.contains(&sent.number);
    let (before, after): (Vec<_>, Vec<_>) = sent.iter().partition(|s| s.from_ns < deadline);
    assert!(after.len() >= 50);
    assert!(wire.arrived.contains(&unmarked), "another class is not the gate's business");
    if attached == Attached::Link {
        assert!(after.iter().all(|s| arrived(s)), "nobody is there to close");
        return;
    }
    let counters = words.counters();
    let surely = before.iter().filter(|s| s.to_ns < deadline);
    println!("{} sent, {} before the deadline, {counters:?}", sent.len(), before.len());
    // The writer may be late, on a busy machine; then it was closed in between.
    assert_eq!(wire.arrived.len() as u64, counters.passed + 1);
    assert_eq!(counters.passed + counters.refused_late, sent.len() as u64);
    assert_eq!((counters.refused_early, counters.refused_stale), (0, 0));
    assert!(surely.clone().count() >= 100 && counters.passed > 0);
    assert!(after.iter().all(|s| !arrived(s)), "an output left after the deadline");
    let last_known = sent.iter().filter(|s| s.to_ns < deadline).rev().take(20);
    assert!(last_known.clone().all(arrived), "the last lease was cut short");
}

/// A frame's own deadline reaches the gate from the socket, with the frame.
pub(crate) fn judges_the_deadline_that_a_frame_carries() {
    let (near, far) = (quiet_namespace().unwrap(), quiet_namespace().unwrap());
    let mut wire = Wire::between(&near, &far);
    let mut gate = Gate::load(0);
    near.run(|| attach(&mut gate, Attached::Filter)).unwrap();
    gate.words().open_to(ALL_CYCLES);
    gate.words().set_owner_deadline(boottime_ns() + 60_000_000_000);
    setsockopt(&wire.sender, sockopt::Mark, &output_mark(1)).unwrap();
    let clock = libc::sock_txtime { clockid: libc::CLOCK_MONOTONIC, flags: 0 };
    setsockopt(&wire.sender, sockopt::TxTime, &clock).unwrap();
    let now = MonotonicClock::now().as_nanos();
    // Long ago, and long after this test.
    for (number, deadline) in [(1, now - 1), (2, now + 600_000_000_000), (3, 1), (4, u64::MAX >> 1)]
    {
        let frame = tagged(mac_of(1), prp::types::LanId::A, number, 0);
        let (parts, carried) = ([IoSlice::new(&frame)], [ControlMessage::TxTime(&deadline)]);
        let socket = wire.sender.as_fd().as_raw_fd();
        let _ = sendmsg::<()>(socket, &parts, &carried, MsgFlags::empty(), None);
    }
    sleep(Duration::from_millis(20));
    wire.drain();
    assert_eq!(wire.arrived, [2, 4]);
    let counters = gate.words().counters();
    assert_eq!((counters.passed, counters.refused_stale), (2, 2), "{counters:?}");
}
