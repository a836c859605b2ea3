//! The account of what arrived.
//!
//! Two bits per number: not seen, once, twice, more often. That is exact, which a window over the
//! newest numbers would not be: a duplicate that comes seconds late is still one.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use rt_core::time::{Duration, Instant};
use serde::{Deserialize, Serialize};

use super::payload::{Damage, Kind, Payload};
use crate::impair::random::advance;

/// Streams that are told apart at most; payloads of further ones are counted as refused.
pub const STREAMS_MAX: usize = 256;
/// Numbers of a stream that are told apart (16 MiB of marks when all come).
pub const NUMBERS_MAX: u64 = 1 << 26;
/// Times above this are recorded as this: one minute.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// How often each number came: 0, 1, 2 or more.
#[derive(Clone, Debug, Default)]
struct Marks(Vec<u64>);

impl Marks {
    const PER_WORD: u64 = 32;

    /// Notes one arrival of `number` (below [`NUMBERS_MAX`]); returns how often it had come before,
    /// at most 3.
    fn note(&mut self, number: u64) -> u64 {
        let word = usize::try_from(number / Self::PER_WORD).unwrap_or(usize::MAX);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let shift = number % Self::PER_WORD * 2;
        let before = self.0[word] >> shift & 3;
        if before < 3 {
            self.0[word] += 1 << shift;
        }
        before
    }

    /// A value that is the same exactly when (but for chance) every number came as often, counting
    /// to three.
    fn digest(&self) -> u64 {
        let used = self.0.iter().rposition(|&word| word != 0).map_or(0, |last| last + 1);
        self.0[..used].iter().fold(0, |digest, &word| advance(digest ^ word))
    }

    /// How many numbers below `bound` have come.
    fn seen_below(&self, bound: u64) -> u64 {
        const LOW: u64 = 0x5555_5555_5555_5555;
        self.0
            .iter()
            .zip(0u64..)
            .map(|(&word, at)| {
                let first = at * Self::PER_WORD;
                let here = bound.saturating_sub(first).min(Self::PER_WORD);
                let mask = if here == Self::PER_WORD { u64::MAX } else { (1 << (here * 2)) - 1 };
                u64::from(((word | word >> 1) & LOW & mask).count_ones())
            })
            .sum()
    }
}

/// The account of one stream.
#[derive(Clone, Debug)]
pub struct Account {
    marks: Marks,
    received: u64,
    distinct: u64,
    twice: u64,
    more: u64,
    reordered: u64,
    corrupted: u64,
    out_of_range: u64,
    tagged: u64,
    vlan_tci: Option<u16>,
    highest: Option<u64>,
    sent: Option<u64>,
    last_at: Option<Instant>,
    gap_longest: Duration,
    gap_before: Option<u64>,
    latency: Option<Histogram<u64>>,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            marks: Marks::default(),
            received: 0,
            distinct: 0,
            twice: 0,
            more: 0,
            reordered: 0,
            corrupted: 0,
            out_of_range: 0,
            tagged: 0,
            vlan_tci: None,
            highest: None,
            sent: None,
            last_at: None,
            gap_longest: Duration::ZERO,
            gap_before: None,
            // These bounds are valid, so a histogram is always there.
            latency: Histogram::new_with_bounds(100, LATENCY_NS_MAX, 3).ok(),
        }
    }
}

impl Account {
    /// Notes an intact payload that arrived at `at`.
    pub fn arrived(&mut self, number: u64, sent_at: Instant, at: Instant, vlan_tci: Option<u16>) {
        if number >= NUMBERS_MAX {
            self.out_of_range += 1;
            return;
        }
        self.received += 1;
        self.tagged += u64::from(vlan_tci.is_some());
        self.vlan_tci = vlan_tci.or(self.vlan_tci);
        match self.marks.note(number) {
            0 => self.first_arrival(number, sent_at, at),
            1 => self.twice += 1,
            2 => {
                self.twice -= 1;
                self.more += 1;
            }
            _ => {}
        }
    }

    fn first_arrival(&mut self, number: u64, sent_at: Instant, at: Instant) {
        self.distinct += 1;
        match self.highest {
            Some(highest) if number < highest => self.reordered += 1,
            _ => self.highest = Some(number),
        }
        if let Some(last) = self.last_at {
            let gap = at.since(last);
            if gap > self.gap_longest {
                self.gap_longest = gap;
                self.gap_before = Some(number);
            }
        }
        self.last_at = Some(at);
        if let Some(latency) = &mut self.latency {
            latency.saturating_record(at.since(sent_at).as_nanos());
        }
    }

    /// Notes that the sender has sent `count` numbers, from 0.
    pub fn ended(&mut self, count: u64) {
        self.sent = Some(count);
    }

    /// Whether the end is known.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.sent.is_some()
    }

    /// How many different numbers have come.
    #[must_use]
    pub const fn distinct(&self) -> u64 {
        self.distinct
    }

    /// The account as it is told. `expected` (numbers from 0) goes before what the sender said;
    /// with neither, the highest number seen counts as the last.
    #[must_use]
    pub fn report(&self, stream: u32, expected: Option<u64>) -> StreamReport {
        let highest = self.highest.map_or(0, |highest| highest + 1);
        let expected = expected.or(self.sent).unwrap_or(highest);
        StreamReport {
            stream,
            ended: self.sent.is_some(),
            expected,
            received: self.received,
            distinct: self.distinct,
            lost: expected.saturating_sub(self.marks.seen_below(expected)),
            twice: self.twice,
            more: self.more,
            surplus: self.received - self.distinct,
            reordered: self.reordered,
            corrupted: self.corrupted,
            out_of_range: self.out_of_range,
            tagged: self.tagged,
            vlan_id: self.vlan_tci.map(|tci| tci & 0xfff),
            vlan_pcp: self.vlan_tci.map(|tci| tci >> 13),
            longest_gap_us: self.gap_longest.as_micros(),
            longest_gap_before: self.gap_before,
            arrivals_digest: format!("{:016x}", self.marks.digest()),
            latency: self.latency.as_ref().map_or_else(Latency::default, Latency::of),
        }
    }
}

/// Times in nanoseconds, exact to 0.1 %: one way for streams, round trip for exchanges.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    /// Shortest.
    pub min_ns: u64,
    /// Half are shorter.
    pub p50_ns: u64,
    /// 99 of 100 are shorter.
    pub p99_ns: u64,
    /// 999 of 1,000 are shorter.
    pub p999_ns: u64,
    /// Longest.
    pub max_ns: u64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        Self {
            min_ns: histogram.min(),
            p50_ns: histogram.value_at_quantile(0.5),
            p99_ns: histogram.value_at_quantile(0.99),
            p999_ns: histogram.value_at_quantile(0.999),
            max_ns: histogram.max(),
        }
    }
}

/// What became of one stream.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StreamReport {
    /// Its id.
    pub stream: u32,
    /// Whether its sender's end marker came.
    pub ended: bool,
    /// How many numbers were expected.
    pub expected: u64,
    /// Intact payloads.
    pub received: u64,
    /// Different numbers among them.
    pub distinct: u64,
    /// Expected numbers that did not come.
    pub lost: u64,
    /// Numbers that came exactly twice.
    pub twice: u64,
    /// Numbers that came three times or more.
    pub more: u64,
    /// Payloads beyond the first of their number.
    pub surplus: u64,
    /// Numbers that came, for the first time, after a higher one.
    pub reordered: u64,
    /// Payloads of this stream with changed content (not in `received`).
    pub corrupted: u64,
    /// Payloads with a number too high to be told apart (not in `received`).
    pub out_of_range: u64,
    /// Payloads in frames with a VLAN tag (raw streams only).
    pub tagged: u64,
    /// VLAN id of the last tagged one.
    pub vlan_id: Option<u16>,
    /// Priority of the last tagged one.
    pub vlan_pcp: Option<u16>,
    /// Longest time between the arrivals of two different numbers.
    pub longest_gap_us: u64,
    /// The number that ended this gap.
    pub longest_gap_before: Option<u64>,
    /// Equal for two runs in which the same numbers came equally often (counting to three).
    pub arrivals_digest: String,
    /// From sending to arrival, of the first arrival of each number.
    pub latency: Latency,
}

/// The accounts of all streams that a receiver sees.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    accounts: BTreeMap<u32, Account>,
    only: Vec<u32>,
    unreadable: u64,
    foreign: u64,
    refused: u64,
}

/// Everything that a receiver has to tell.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LedgerReport {
    /// True in progress lines, absent in the last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub progress: bool,
    /// Per stream, by id.
    pub streams: Vec<StreamReport>,
    /// Payloads whose header was changed, so that their stream is unknown.
    pub unreadable: u64,
    /// What was no payload of ours.
    pub foreign: u64,
    /// Payloads of streams beyond the [`STREAMS_MAX`] that are told apart, or not asked for.
    pub refused: u64,
    /// What the kernel dropped because the receive buffer was full (UDP: or a checksum was wrong).
    pub kernel_dropped: u64,
}

impl Ledger {
    /// An empty ledger for the streams in `only`, or for all when that is empty.
    #[must_use]
    pub fn new(only: Vec<u32>) -> Self {
        Self { only, ..Self::default() }
    }

    /// Notes what arrived at `at`; returns the payload when it is intact and of a stream accounted
    /// for.
    pub fn take(&mut self, octets: &[u8], at: Instant, vlan_tci: Option<u16>) -> Option<Payload> {
        match Payload::parse(octets) {
            Ok(payload) => {
                let account = self.account(payload.stream)?;
                match payload.kind {
                    Kind::End => account.ended(payload.number),
                    _ => account.arrived(payload.number, payload.sent_at, at, vlan_tci),
                }
                return Some(payload);
            }
            Err(Damage::Foreign) => self.foreign += 1,
            Err(Damage::Header) => self.unreadable += 1,
            Err(Damage::Pattern { stream }) => {
                if let Some(account) = self.account(stream) {
                    account.corrupted += 1;
                }
            }
        }
        None
    }

    /// Notes something that could not even be a payload.
    pub fn note_foreign(&mut self) {
        self.foreign += 1;
    }

    fn account(&mut self, stream: u32) -> Option<&mut Account> {
        let wanted = self.only.is_empty() || self.only.contains(&stream);
        let room = self.accounts.len() < STREAMS_MAX || self.accounts.contains_key(&stream);
        if wanted && room {
            return Some(self.accounts.entry(stream).or_default());
        }
        self.refused += 1;
        None
    }

    /// How many streams have come to their end.
    #[must_use]
    pub fn ended(&self) -> usize {
        self.accounts.values().filter(|account| account.has_ended()).count()
    }

    /// How many streams have been seen.
    #[must_use]
    pub fn seen(&self) -> usize {
        self.accounts.len()
    }

    /// The accounts as they are told; streams that were asked for and never came are in it.
    #[must_use]
    pub fn report(&self, expected: Option<u64>, kernel_dropped: u64) -> LedgerReport {
        let mut streams: Vec<StreamReport> = self
            .accounts
            .iter()
            .map(|(&stream, account)| account.report(stream, expected))
            .collect();
        let missing = self.only.iter().filter(|stream| !self.accounts.contains_key(stream));
        streams.extend(missing.map(|&stream| Account::default().report(stream, expected)));
        streams.sort_by_key(|report| report.stream);
        LedgerReport {
            progress: false,
            streams,
            unreadable: self.unreadable,
            foreign: self.foreign,
            refused: self.refused,
            kernel_dropped,
        }
    }
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
