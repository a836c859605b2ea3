//! Numbered streams between nodes, counted by senders, receivers and a capture on each host
//! interface, and an exchange.
#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::collections::BTreeMap;
use std::fmt;

use latency_tests::stream::account::{LedgerReport, StreamReport};
use latency_tests::stream::exchange::PingReport;
use latency_tests::stream::send::SendReport;
use tools::netlab::Process;

use super::{Cluster, ip, mac, report, stop_and_report};

const UDP_PORT: u16 = 4000;
const ECHO_PORT: u16 = 4001;
const EXCHANGE: u32 = 99;

/// What the frames of a stream look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Size {
    /// The shortest frame (64 octets on the wire, check sequence included), unicast.
    Shortest,
    /// An IP packet of 1500 octets, unicast.
    Longest,
    /// With an 802.1Q tag, to a group, so that every node receives it.
    Vlan,
}

impl Size {
    pub(crate) const ALL: [Self; 3] = [Self::Shortest, Self::Longest, Self::Vlan];
}

/// A stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Flow {
    pub(crate) id: u32,
    pub(crate) from: u8,
    pub(crate) to: u8,
    pub(crate) size: Size,
}

/// Streams of all sizes between pairs of nodes, one after the other numbered from 1.
pub(crate) fn flows(pairs: &[(u8, u8)]) -> Vec<Flow> {
    let each = pairs.iter().flat_map(|&(from, to)| Size::ALL.map(|size| (from, to, size)));
    each.zip(1..).map(|((from, to, size), id)| Flow { id, from, to, size }).collect()
}

/// Running traffic.
pub(crate) struct Traffic {
    flows: Vec<Flow>,
    nodes: u8,
    senders: Vec<Process>,
    ping: Process,
    echo: Process,
    /// Per node: the receiver of datagrams, the receiver of frames, the capture. None where nothing
    /// is expected.
    receivers: Vec<[Option<Process>; 3]>,
}

/// What became of it.
pub(crate) struct Outcome {
    /// Payloads sent, requests included.
    pub(crate) sent: u64,
    /// Payloads that a receiver missed.
    pub(crate) lost: u64,
    /// Payloads that a receiver got more than once.
    pub(crate) twice: u64,
    /// Payloads that were changed.
    pub(crate) corrupted: u64,
    /// Longest time between two payloads of a stream, in µs.
    pub(crate) longest_gap_us: u64,
    /// The 99th percentile of the exchange's round trip, in µs.
    pub(crate) round_trip_p99_us: u64,
    /// Everything that should not be, in words.
    pub(crate) complaints: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "sent {:6} lost {:3} twice {:3} corrupted {:3} longest gap {:7} us, \
             round trip p99 {:7} us",
            self.sent,
            self.lost,
            self.twice,
            self.corrupted,
            self.longest_gap_us,
            self.round_trip_p99_us
        )
    }
}

impl Traffic {
    /// Starts receivers, then senders: `rate` payloads in a second on each stream, for `seconds`.
    pub(crate) fn start(
        cluster: &Cluster,
        nodes: u8,
        flows: &[Flow],
        rate: u32,
        seconds: f64,
    ) -> Self {
        let receivers = (1..=nodes).map(|n| Self::receivers(cluster, n, flows)).collect();
        let ((from, to), common) = ((1, nodes), format!("--rate {rate} --duration {seconds}"));
        let echo = format!("echo --listen {}:{ECHO_PORT} --announce", ip(to));
        let echo = cluster.stream(to, &echo);
        let ping = format!("ping --to {}:{ECHO_PORT} --stream {EXCHANGE} {common}", ip(to));
        let ping = cluster.stream(from, &ping);
        let senders = flows.iter().map(|flow| {
            let Flow { id, from, to, size } = *flow;
            let what = match size {
                Size::Shortest => {
                    format!("raw --interface prp0 --destination {} --size 60", mac(to))
                }
                Size::Longest => format!("udp --to {}:{UDP_PORT} --size 1472", ip(to)),
                Size::Vlan => {
                    "raw --interface prp0 --destination 03:00:5e:00:00:50 --vlan 7 --pcp 4 \
                               --size 300"
                        .to_owned()
                }
            };
            // The end is told often: it meets the same faults.
            cluster.stream(from, &format!("send {what} --stream {id} --end-markers 20 {common}"))
        });
        let senders = senders.collect();
        Self { flows: flows.to_vec(), nodes, senders, ping, echo, receivers }
    }

    fn receivers(cluster: &Cluster, n: u8, flows: &[Flow]) -> [Option<Process>; 3] {
        let start = |what: &str, wanted: &dyn Fn(&Flow) -> bool| {
            let ids: Vec<_> = flows
                .iter()
                .filter(|flow| expects(n, flow) && wanted(flow))
                .map(|flow| format!("--stream {}", flow.id))
                .collect();
            let arguments = format!("{what} {} --grace-ms 500 --announce", ids.join(" "));
            (!ids.is_empty()).then(|| cluster.stream(n, &arguments))
        };
        let udp = format!("recv udp --listen {}:{UDP_PORT}", ip(n));
        [
            start(&udp, &|flow| flow.size == Size::Longest),
            start("recv raw --interface prp0", &|flow| flow.size != Size::Longest),
            start("capture --interface prp0", &|_| true),
        ]
    }

    /// Waits for the end of all streams and counts.
    pub(crate) fn finish(self) -> Outcome {
        let mut outcome = Outcome {
            sent: 0,
            lost: 0,
            twice: 0,
            corrupted: 0,
            longest_gap_us: 0,
            round_trip_p99_us: 0,
            complaints: Vec::new(),
        };
        let mut sent = BTreeMap::new();
        for process in self.senders {
            let report: SendReport = report(process);
            outcome.sent += report.numbers;
            if report.send_failed != 0 || report.numbers == 0 {
                outcome.complaints.push(format!("sender: {report:?}"));
            }
            sent.insert(report.stream, report.numbers);
        }
        let ping: PingReport = report(self.ping);
        outcome.sent += ping.sent;
        outcome.take("exchange", &ping.replies, ping.sent);
        outcome.round_trip_p99_us = ping.replies.latency.p99_ns / 1000;
        let _: LedgerReport = stop_and_report(self.echo);
        let who = ["datagrams", "frames", "capture"];
        for (receivers, n) in self.receivers.into_iter().zip(1..=self.nodes) {
            for (process, who) in receivers.into_iter().zip(who) {
                let Some(process) = process else { continue };
                let report: LedgerReport = report(process);
                if report.kernel_dropped > 0 || report.unreadable > 0 {
                    let (dropped, unreadable) = (report.kernel_dropped, report.unreadable);
                    outcome.complaints.push(format!(
                        "n{n} {who}: dropped before the receiver {dropped}, unreadable {unreadable}"
                    ));
                }
                for stream in &report.streams {
                    let flow = self.flows.iter().find(|flow| flow.id == stream.stream).unwrap();
                    let tagged = stream.tagged > 0;
                    if tagged != (flow.size == Size::Vlan) && stream.distinct > 0 {
                        outcome.complaints.push(format!("n{n} {who}: VLAN tags: {stream:?}"));
                    }
                    outcome.take(&format!("n{n} {who}"), stream, sent[&stream.stream]);
                }
                let wanted = |flow: &&Flow| {
                    expects(n, flow)
                        && (who == "capture" || {
                            (flow.size == Size::Longest) == (who == "datagrams")
                        })
                };
                assert_eq!(report.streams.len(), self.flows.iter().filter(wanted).count());
            }
        }
        outcome
    }
}

/// Whether node `n` receives the stream.
fn expects(n: u8, flow: &Flow) -> bool {
    flow.from != n && (flow.to == n || flow.size == Size::Vlan)
}

impl Outcome {
    fn take(&mut self, who: &str, stream: &StreamReport, sent: u64) {
        let twice = stream.twice + stream.more;
        self.lost += stream.lost;
        self.twice += twice;
        self.corrupted += stream.corrupted;
        self.longest_gap_us = self.longest_gap_us.max(stream.longest_gap_us);
        let as_sent = stream.expected == sent && stream.distinct <= sent;
        let vlan = stream.tagged == 0 || (stream.vlan_id, stream.vlan_pcp) == (Some(7), Some(4));
        if stream.lost + twice + stream.corrupted + stream.out_of_range > 0 || !as_sent || !vlan {
            self.complaints.push(format!("{who}: of {sent} sent: {stream:?}"));
        }
    }

    /// Nothing lost, nothing twice, nothing changed, everything counted the same by all.
    pub(crate) fn is_seamless(&self) -> bool {
        self.complaints.is_empty()
    }
}
