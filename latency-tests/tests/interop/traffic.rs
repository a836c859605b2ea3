//! Numbered one-way streams between nodes, each of its own kind and size, and what became of them.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::ops::AddAssign;

use latency_tests::stream::account::LedgerReport;
use latency_tests::stream::send::SendReport;
use serde::de::DeserializeOwned;
use tools::netlab::Process;

use crate::basics::PATIENCE;
use crate::network::{Network, interface, ip, ip6, mac};

const PORT: u16 = 4_000;
const GROUP_V4: &str = "239.50.0.1";
const GROUP_V6: &str = "ff05::50";
const GROUP_MAC: &str = "03:00:5e:00:00:50";

/// What the frames of a stream are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Shape {
    /// No IP; 46 octets behind the header.
    Raw46,
    /// No IP; 1,494: as much as the kernel's driver sends.
    Raw1494,
    /// No IP; 1,000: in the place of the next, which the kernel's driver does not send.
    Raw1000,
    /// No IP; 1,500: what ours sends and the kernel's receives.
    Raw1500,
    /// No IP; 300, to a group.
    RawGroup300,
    /// An IPv4 packet of 1,494 octets.
    V4Of1494,
    /// An IPv6 packet of 648 octets.
    V6Of648,
    /// The shortest frame with an IPv4 packet that has room for a number, to a group.
    V4GroupOf60,
    /// An IPv6 packet of 1,494 octets, to a group.
    V6GroupOf1494,
}

use Shape::{
    Raw46, Raw1000, Raw1494, Raw1500, RawGroup300, V4GroupOf60, V4Of1494, V6GroupOf1494, V6Of648,
};

/// To one node.
pub(crate) const UNICAST: [Shape; 4] = [Raw46, Raw1494, V4Of1494, V6Of648];
/// To all.
const GROUPS: [Shape; 3] = [RawGroup300, V4GroupOf60, V6GroupOf1494];

impl Shape {
    const fn is_raw(self) -> bool {
        matches!(self, Raw46 | Raw1000 | Raw1494 | Raw1500 | RawGroup300)
    }

    /// The sender's arguments.
    fn arguments(self, from: u8, to: u8) -> String {
        let interface = interface(from);
        let raw = |destination: String, size: u32| {
            format!("raw --interface {interface} --destination {destination} --size {size}")
        };
        let udp = |to: String, size: u32| {
            format!("udp --to {to}:{PORT} --interface {interface} --size {size}")
        };
        match self {
            Raw46 => raw(mac(to).to_string(), 14 + 46),
            Raw1494 => raw(mac(to).to_string(), 14 + 1_494),
            Raw1000 => raw(mac(to).to_string(), 14 + 1_000),
            Raw1500 => raw(mac(to).to_string(), 14 + 1_500),
            RawGroup300 => raw(GROUP_MAC.to_owned(), 14 + 300),
            V4Of1494 => udp(ip(to).to_string(), 1_494 - 28),
            V6Of648 => udp(format!("[{}]", ip6(to)), 648 - 48),
            V4GroupOf60 => udp(GROUP_V4.to_owned(), 60 - 28),
            V6GroupOf1494 => udp(format!("[{GROUP_V6}]"), 1_494 - 48),
        }
    }
}

/// A stream and the nodes that are to receive it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Flow {
    id: u32,
    from: u8,
    to: Vec<u8>,
    shape: Shape,
}

/// Streams of all kinds between `pairs` (from, to); what goes to a group counts at all nodes.
pub(crate) fn flows(network: &Network, pairs: &[(u8, u8)]) -> Vec<Flow> {
    let mut flows = Vec::new();
    let mut add = |from, to: Vec<u8>, shape| {
        let id = u32::try_from(flows.len()).unwrap() + 1;
        flows.push(Flow { id, from, to, shape });
    };
    for &(from, to) in pairs {
        UNICAST.into_iter().for_each(|shape| add(from, vec![to], shape));
        // As many frames from either driver.
        add(from, vec![to], if network.driver(from).is_ours() { Raw1500 } else { Raw1000 });
    }
    for from in network.nodes() {
        if pairs.iter().any(|pair| pair.0 == from) {
            GROUPS.into_iter().for_each(|shape| add(from, network.others(from), shape));
        }
    }
    flows
}

/// What became of the frames of one or more streams at one or more receivers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Tally {
    /// Numbers sent.
    pub(crate) sent: u64,
    /// Numbers that did not come.
    pub(crate) lost: u64,
    /// Numbers that came twice or more often.
    pub(crate) twice: u64,
    /// Payloads that came changed; their numbers may be among the lost.
    pub(crate) corrupted: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.lost += other.lost;
        self.twice += other.twice;
        self.corrupted += other.corrupted;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, lost, twice, corrupted } = self;
        write!(f, "sent {sent:6}  lost {lost:5}  twice {twice:5}  corrupted {corrupted:4}")
    }
}

/// The tallies by sender, receiver and kind of frame.
#[derive(Clone, Default, Debug)]
pub(crate) struct Outcome {
    pub(crate) tallies: BTreeMap<(u8, u8, Shape), Tally>,
    /// The most that a sender was late: how long the machine stood still for it, in ns.
    pub(crate) late_ns: u64,
    /// What makes the figures useless.
    pub(crate) invalid: Vec<String>,
}

impl Outcome {
    /// The sum over the streams that `wanted` (from, to, kind) chooses.
    pub(crate) fn sum(&self, wanted: impl Fn(u8, u8, Shape) -> bool) -> Tally {
        let mut sum = Tally::default();
        for (&(from, to, shape), tally) in &self.tallies {
            if wanted(from, to, shape) {
                sum += *tally;
            }
        }
        sum
    }

    /// Adds the figures of another run.
    pub(crate) fn add(&mut self, other: &Self) {
        for (&key, &tally) in &other.tallies {
            *self.tallies.entry(key).or_default() += tally;
        }
        self.late_ns = self.late_ns.max(other.late_ns);
        self.invalid.extend_from_slice(&other.invalid);
    }
}

/// Running streams.
pub(crate) struct Traffic {
    flows: Vec<Flow>,
    senders: Vec<Process>,
    receivers: Vec<(u8, Process)>,
}

impl Traffic {
    /// Starts receivers, then senders: `rate` payloads in a second on each stream, for `seconds`.
    pub(crate) fn start(network: &Network, flows: &[Flow], rate: u32, seconds: f64) -> Self {
        let nodes = network.nodes();
        let receivers: Vec<_> = nodes.iter().flat_map(|&n| receivers(network, n, flows)).collect();
        for (_, receiver) in &receivers {
            let ready = receiver.wait_out(|line| line == "ready", PATIENCE);
            assert!(ready.is_some(), "{}: {}", receiver.name(), receiver.err());
        }
        let sender = |from: u8| {
            let mut lines = String::new();
            for flow in flows.iter().filter(|flow| flow.from == from) {
                let what = flow.shape.arguments(from, flow.to[0]);
                // The end is told often: it meets the same faults.
                let more = format!("--end-markers 20 --rate {rate} --duration {seconds}");
                let _ = writeln!(lines, "{what} --stream {} {more}", flow.id);
            }
            let file = network.net.folder().join(format!("streams{from}"));
            fs::write(&file, &lines).unwrap();
            let several = format!("several {}", file.display());
            (!lines.is_empty()).then(|| network.stream(from, &several))
        };
        let senders = nodes.into_iter().filter_map(sender).collect();
        Self { flows: flows.to_vec(), senders, receivers }
    }

    /// Waits for the end of all streams and counts.
    pub(crate) fn finish(self) -> Outcome {
        let mut outcome = Outcome::default();
        let mut sent = BTreeMap::new();
        for process in self.senders {
            for report in reports::<SendReport>(process) {
                if report.send_failed != 0 || report.numbers == 0 {
                    outcome.invalid.push(format!("sender: {report:?}"));
                }
                outcome.late_ns = outcome.late_ns.max(report.late_ns_max);
                sent.insert(report.stream, report.numbers);
            }
        }
        for (n, process) in self.receivers {
            let name = process.name().to_owned();
            let report: LedgerReport = reports(process).pop().unwrap();
            if report.kernel_dropped > 0 {
                let dropped = report.kernel_dropped;
                outcome.invalid.push(format!("{name}: {dropped} dropped before the receiver"));
            }
            for stream in &report.streams {
                let flow = self.flows.iter().find(|flow| flow.id == stream.stream).unwrap();
                let tally = outcome.tallies.entry((flow.from, n, flow.shape)).or_default();
                let numbers = sent[&stream.stream];
                *tally += Tally {
                    sent: numbers,
                    // Numbers at the end are lost too where no end marker came.
                    lost: stream.lost + numbers.saturating_sub(stream.expected),
                    twice: stream.twice + stream.more,
                    corrupted: stream.corrupted,
                };
            }
        }
        outcome
    }
}

/// The receivers of node `n`: of datagrams and of raw frames.
fn receivers(network: &Network, n: u8, flows: &[Flow]) -> Vec<(u8, Process)> {
    let interface = interface(n);
    let start = |what: &str, raw: bool| {
        let wanted = |flow: &&Flow| flow.to.contains(&n) && flow.shape.is_raw() == raw;
        let ids: Vec<_> =
            flows.iter().filter(wanted).map(|flow| format!("--stream {}", flow.id)).collect();
        let arguments = format!("recv {what} {} --grace-ms 500 --announce", ids.join(" "));
        (!ids.is_empty()).then(|| (n, network.stream(n, &arguments)))
    };
    let addresses =
        [ip(n).to_string(), format!("[{}]", ip6(n)), GROUP_V4.to_owned(), format!("[{GROUP_V6}]")];
    let listen = addresses.map(|address| format!("--listen {address}:{PORT}")).join(" ");
    let udp = start(&format!("udp {listen} --interface {interface}"), false);
    let raw = start(&format!("raw --interface {interface}"), true);
    [udp, raw].into_iter().flatten().collect()
}

/// Waits for the end of a program and reads the lines of its stdout.
fn reports<T: DeserializeOwned>(process: Process) -> Vec<T> {
    let name = process.name().to_owned();
    let ended = process.finish(PATIENCE).unwrap();
    assert!(ended.status.success(), "{name}: {ended:?}");
    let lines = ended.out.lines().filter(|line| *line != "ready");
    let read =
        |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{name}: {e} in {line}"));
    lines.map(read).collect()
}
