//! What the demo measured, as a document (`bumpless demo --json`, schema in `docs/schema`).

use serde::{Deserialize, Serialize};

/// The whole run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DemoReport {
    /// Version of this document's shape.
    pub schema: u32,
    /// Version of the program.
    pub version: String,
    /// The worst of all rows and of the transfer.
    pub verdict: Verdict,
    /// Why it is not `held`; empty when it is.
    pub reasons: Vec<String>,
    /// Whether it ran in a user namespace, without any privilege of the machine.
    pub user_namespace: bool,
    /// What the daemons ran without, as they say it.
    pub degraded: Vec<String>,
    /// Requests in a second, in each pair.
    pub requests_per_second: u64,
    /// The longest that a program of the demo was seen to wait for a processor, as far as it can be
    /// told. Gaps and round trips contain such waits.
    pub longest_wait_ns: u64,
    /// A row for each fault, in the order in which they were made.
    pub faults: Vec<FaultReport>,
    /// The transfers that went on all the time.
    pub bulk: Pairs<Option<Bulk>>,
    /// From start to end.
    pub duration_ns: u64,
}

/// The same of both pairs of hosts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Pairs<T> {
    /// Of the pair on two LANs.
    pub prp: T,
    /// Of the pair on a single one.
    pub single: T,
}

/// One fault.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FaultReport {
    /// Its name.
    pub fault: String,
    /// Its name for people.
    pub text: String,
    /// Whether the claim held.
    pub verdict: Verdict,
    /// Why not; empty when it did.
    pub reasons: Vec<String>,
    /// The exchange between the hosts on two LANs.
    pub prp: Exchange,
    /// The exchange between the hosts on a single LAN.
    pub single: Exchange,
}

/// Whether 0 were lost and 0 came twice on PRP.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Yes.
    Held,
    /// What was measured does not tell.
    Invalid,
    /// No.
    Failed,
}

/// A cyclic exchange of requests and answers during one fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Exchange {
    /// Requests sent.
    pub sent: u64,
    /// Requests without an answer.
    pub lost: u64,
    /// Answers that came more often than once.
    pub twice: u64,
    /// Answers with changed content.
    pub corrupted: u64,
    /// The longest time without an answer, in microseconds.
    pub longest_gap_us: u64,
    /// From request to answer.
    pub round_trip: RoundTrip,
    /// The most that a request was sent after its instant: the machine's doing.
    pub late_ns_max: u64,
}

/// Times from request to answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RoundTrip {
    /// Half are shorter.
    pub p50_ns: u64,
    /// 99 of 100 are shorter.
    pub p99_ns: u64,
    /// Longest.
    pub max_ns: u64,
}

/// A transfer over TCP, as its receiver saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Bulk {
    /// Octets of content.
    pub octets: u64,
    /// Whether they are what was sent.
    pub intact: bool,
    /// The longest time in which nothing came, in microseconds.
    pub longest_stall_us: u64,
}

/// What `bumpless-stream ping` prints, as far as it is needed here.
#[derive(Clone, Copy, Default, Debug, Deserialize)]
pub(super) struct PingLine {
    sent: u64,
    send_failed: u64,
    late_ns_max: u64,
    replies: RepliesLine,
}

#[derive(Clone, Copy, Default, Debug, Deserialize)]
struct RepliesLine {
    distinct: u64,
    lost: u64,
    twice: u64,
    more: u64,
    corrupted: u64,
    longest_gap_us: u64,
    latency: RoundTrip,
}

impl PingLine {
    /// Requests that were answered so far.
    pub(super) const fn answered(&self) -> u64 {
        self.replies.distinct
    }

    /// The account, at the end.
    pub(super) const fn exchange(&self) -> Exchange {
        Exchange {
            sent: self.sent + self.send_failed,
            lost: self.replies.lost,
            twice: self.replies.twice + self.replies.more,
            corrupted: self.replies.corrupted,
            longest_gap_us: self.replies.longest_gap_us,
            round_trip: self.replies.latency,
            late_ns_max: self.late_ns_max,
        }
    }
}
