//! A machine that is suspended to its memory (ACPI S3) in the middle of traffic, and woken from
//! outside: its kernel freezes the programs and the cards, the time since boot goes on without the
//! monotonic clock. The daemon in it goes on as the process that it was, nothing of what comes
//! after is lost or comes twice, and the others do not notice more than that somebody was silent.
//!
//! What is lost or comes twice is counted by a program that does not know the product.
#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

#[path = "support/lab_nodes.rs"]
mod lab_nodes;

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use lab_nodes::{KERNELS, address, ask, program, start, start_kernels};
use latency_tests::lab::{Background, Kernel, Lab, Machine, can_run};
use latency_tests::os::clock;
use latency_tests::stream::account::{LedgerReport, StreamReport};
use latency_tests::stream::send::SendReport;
use nix::sys::signal::Signal;
use serde_json::Value;
use tools::netlab::Ended;

/// Those with `bumplessd`, which sleep in turn, and their kernels.
const OURS: [usize; 2] = [1, 2];
const SLEEPERS: [Kernel; 2] = [Kernel::Rt612, Kernel::Rt61];
/// The kernel's driver does not take longer payloads from these cards.
const OCTETS: u32 = 60;
/// Payloads in a second.
const RATE: u32 = 50;
/// Payloads of a stream behind the sleep.
const PAYLOADS_AFTER: u32 = 150;
/// How long streams run before the sleep and behind it.
const BESIDE: Duration = Duration::from_secs(1);
/// Longer than the 3 s after which a node is told to be silent, and ten times EntryForgetTime.
const SLEEP: Duration = Duration::from_secs(4);
/// A kernel knows how long it slept from a clock of whole seconds, which it reads twice; and it
/// evens out up to two seconds over several sleeps.
const SLEEP_DOUBT: Duration = Duration::from_secs(3);
/// No number is remembered across a sleep. So a frame of which one copy came before it and the
/// other waits in a card or a ring comes twice; so many may be under way at this rate.
const UNDER_WAY_MAX: u64 = 5;
/// Payloads that a sender that is late makes up for, which are lost in one go.
const LATE_MAX: u64 = 50;
/// More frames than a LAN can carry here in the time that a test may take.
const FRAMES_MAX: u64 = 1 << 20;
/// How long may pass until something is as it should be.
const PATIENCE: Duration = Duration::from_secs(60);
/// The node table of the one awake says so: LifeCheckInterval (2 s) and some more.
const HEARD_NS: u64 = 3_000_000_000;
const LANS: [&str; 2] = ["a", "b"];

fn machine(kernel: Kernel) -> Machine {
    Machine { kernel, cpus: 1, memory_mib: 1024, ..Machine::default() }
}

fn boot() -> (Lab, [Background; 2]) {
    let [one, other] = SLEEPERS.map(|kernel| Machine { can_suspend: true, ..machine(kernel) });
    let lab = Lab::boot(&[one, other, machine(Kernel::Rt612)]).unwrap();
    let daemons = OURS.map(|n| start(&lab, n, ""));
    start_kernels(&lab);
    (lab, daemons)
}

/// A stream of datagrams from one node to another.
struct Stream {
    name: String,
    receiver: Background,
    sender: Background,
}

impl Stream {
    /// Without a number of payloads it runs until it is ended.
    fn start(lab: &Lab, (from, to): (usize, usize), payloads: Option<u32>) -> Self {
        let id = from * 10 + to;
        let listen = format!("{}:{}", address(to), 4000 + id);
        let receive =
            format!("recv udp --listen {listen} --stream {id} --grace-ms 2000 --announce");
        let count = payloads.map(|count| format!("--count {count}")).unwrap_or_default();
        let send = format!(
            "send udp --to {listen} --stream {id} --size {OCTETS} --rate {RATE} {count} \
             --end-markers 20"
        );
        let stream = program("bumpless-stream");
        let command = |arguments| -> Vec<&str> {
            std::iter::once(stream.as_str()).chain(str::split_whitespace(arguments)).collect()
        };
        let receiver = lab.node(to).start_ready(&command(&receive)).unwrap();
        let sender = lab.node(from).start(&command(&send)).unwrap();
        Self { name: format!("n{from} to n{to}"), receiver, sender }
    }

    /// Waits for its end; what arrived.
    fn end(self, what: &str) -> Carried {
        let last = |ended: &Ended| ended.out.lines().last().unwrap().to_owned();
        let sender = self.sender.wait(Duration::from_secs(240)).unwrap();
        let sent: SendReport = serde_json::from_str(&last(&sender)).unwrap();
        let receiver = self.receiver.wait(Duration::from_secs(240)).unwrap();
        let mut got: LedgerReport = serde_json::from_str(&last(&receiver)).unwrap();
        let got = got.streams.remove(0);
        let name = format!("{what}: {}", self.name);
        println!("{name}: sent {}, lost {}, twice {}", sent.numbers, got.lost, got.twice);
        assert_eq!(got.corrupted + got.out_of_range + got.more, 0, "{name}: {got:?}");
        assert!(got.ended && got.expected == sent.numbers && got.distinct > 0, "{name}: {got:?}");
        Carried { name, got }
    }
}

/// What came of a stream.
struct Carried {
    name: String,
    got: StreamReport,
}

impl Carried {
    /// Nothing is missing; and nothing came twice, unless a daemon says that it stood still between
    /// two copies: this machine has too much to do.
    fn check_seamless(&self, is_starved: bool) {
        let Self { name, got } = self;
        assert!(got.lost == 0 && (got.twice == 0 || is_starved), "{name}: {got:?}");
    }

    /// Nothing is missing but what was sent while somebody was away.
    fn check_but_for(&self, away: Duration, is_starved: bool) {
        let Self { name, got } = self;
        assert!(got.lost <= due_in(away) + LATE_MAX, "{name}: {got:?}");
        assert!(got.twice <= UNDER_WAY_MAX || is_starved, "{name}: {got:?}");
    }
}

/// Payloads that a stream has in this time.
fn due_in(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap() * u64::from(RATE) / 1000
}

/// What the daemon of a node says of itself.
struct Account {
    status: Value,
    events: Vec<Value>,
}

impl Account {
    fn of(lab: &Lab, n: usize) -> Self {
        let mut events = ask(lab, n, "events");
        let events = events["events"].take().as_array().unwrap().clone();
        Self { status: ask(lab, n, "status"), events }
    }

    fn number(&self, path: &str) -> u64 {
        self.status.pointer(path).unwrap().as_u64().unwrap()
    }

    fn counter(&self, name: &str) -> u64 {
        self.number(&format!("/counters/{name}"))
    }

    /// Kinds of the events since `before`.
    fn all_news(&self, before: &Self) -> Vec<&str> {
        let since = before.events.last().unwrap()["sequence"].as_u64();
        let news = self.events.iter().filter(|event| event["sequence"].as_u64() > since);
        news.map(|event| event["kind"].as_str().unwrap()).collect()
    }

    /// The same without those that a busy machine may give at any time, and those of a LAN that
    /// falls asleep or wakes up before the other.
    fn news(&self, before: &Self) -> Vec<&str> {
        let incidental = ["paused", "node_silent_on_lan", "node_back_on_lan"];
        let mut news = self.all_news(before);
        news.retain(|kind| !incidental.contains(kind));
        news
    }

    /// The process and its threads are those of `before`, forward on both LANs, and have counted
    /// on from where they were.
    fn check_goes_on(&self, before: &Self) {
        let Self { status, .. } = self;
        let tids = |account: &Self| -> Vec<Value> {
            let threads = account.status["threads"].as_array().unwrap();
            threads.iter().map(|thread| thread["tid"].clone()).collect()
        };
        assert_eq!(status["pid"], before.status["pid"]);
        assert_eq!(tids(self), tids(before));
        assert!(self.number("/uptime_ns") > before.number("/uptime_ns"), "{status}");
        assert!(self.number("/sequence_number") > before.number("/sequence_number"), "{status}");
        assert_eq!(status["degraded"].as_array().map(Vec::len), Some(0), "{status}");
        assert_eq!(status["alarms"].as_array().map(Vec::len), Some(0), "{status}");
        assert_eq!((&status["rt_allocations"], &status["nodes"]), (&0.into(), &2.into()));
        assert_eq!(status["host"]["carrier"], true, "{status}");
        for lan in LANS {
            assert_eq!(status["ports"][lan]["link"], "up", "{status}");
        }
        for lan in ["A", "B"] {
            for what in ["ErrWrongLan", "Errors", "Multi", "OwnRx"] {
                assert_eq!(self.counter(&format!("lreCnt{what}{lan}")), 0, "{what}{lan}: {status}");
            }
            for what in ["Rx", "Tx", "Duplicate", "Unique"] {
                let name = format!("lreCnt{what}{lan}");
                let more = self.counter(&name).checked_sub(before.counter(&name));
                assert!(more.is_some_and(|more| more < FRAMES_MAX), "{name}: {status}");
            }
        }
        // One LAN falls asleep before the other and wakes up before it.
        for what in ["Rx", "Tx"] {
            let [a, b] = ["A", "B"].map(|lan| self.counter(&format!("lreCnt{what}{lan}")));
            assert!(a.abs_diff(b) <= LATE_MAX, "{what}: {status}");
        }
    }

    /// So many payloads have gone both ways since `before`, and each on both LANs.
    fn check_carried(&self, before: &Self, payloads: u64) {
        for lan in LANS {
            for way in ["rx", "tx"] {
                let path = format!("/ports/{lan}/counters/{way}_frames");
                let frames = self.number(&path) - before.number(&path);
                assert!(frames >= payloads, "{path}: {frames} of {payloads}: {}", self.status);
            }
        }
    }
}

/// Whether a daemon says that it stood still meanwhile.
fn is_starved(before: &[Account; 2], after: &[Account; 2]) -> bool {
    let mut pairs = before.iter().zip(after);
    let is_starved = pairs.any(|(before, after)| after.all_news(before).contains(&"paused"));
    println!("this machine has {} to do", if is_starved { "too much" } else { "not too much" });
    is_starved
}

/// Waits until both LANs bring something from `other`.
fn wait_until_heard(lab: &Lab, n: usize, other: usize) {
    let mac = lab.node(other).mac("lan_a").unwrap();
    let start = clock::now();
    loop {
        let nodes = ask(lab, n, "nodes");
        let node = nodes.as_array().unwrap().iter().find(|node| node["mac"] == mac).unwrap();
        assert_eq!(node["kind"], "danp", "{nodes}");
        let is_heard = |lan| node[format!("last_seen_{lan}_ns")].as_u64() < Some(HEARD_NS);
        if LANS.into_iter().all(is_heard) {
            return;
        }
        let waited = Duration::from_nanos(clock::now().since(start).as_nanos());
        assert!(waited < PATIENCE, "n{n} does not hear n{other}: {nodes}");
    }
}

/// What a sleep has left behind.
struct Slept {
    /// How long the machine was away at the most.
    away: Duration,
    /// Streams from it and to it.
    across: [Carried; 2],
    /// Streams between others.
    beside: [Carried; 2],
}

/// Streams, while one sleeps and wakes up.
fn sleep_amid_streams(lab: &mut Lab, sleeper: usize, peer: usize) -> Slept {
    let start_streams = |lab: &Lab, one, other| {
        [(one, other), (other, one)].map(|pair| Stream::start(lab, pair, None))
    };
    let across = start_streams(lab, sleeper, peer);
    let beside = start_streams(lab, peer, KERNELS);
    sleep(BESIDE);
    let start = clock::now();
    lab.node_mut(sleeper).suspend().unwrap();
    let error = lab.node(sleeper).shell("true").unwrap_err().to_string();
    assert!(error.contains("suspended"), "{error}");
    sleep(SLEEP);
    lab.node_mut(sleeper).wake().unwrap();
    let away = Duration::from_nanos(clock::now().since(start).as_nanos());
    sleep(BESIDE);
    for stream in across.iter().chain(&beside) {
        stream.sender.signal(Signal::SIGTERM).unwrap();
    }
    Slept {
        away,
        beside: beside.map(|stream| stream.end("beside the sleep")),
        across: across.map(|stream| stream.end("across the sleep")),
    }
}

/// The event tells about the sleep, as long as it was.
fn check_told(account: &Account, away: Duration) {
    let slept = account.events.iter().find(|event| event["kind"] == "resumed").unwrap();
    let words = slept["text"].as_str().unwrap();
    println!("{words}, away for {} ms at the most", away.as_millis());
    let told = words.split_whitespace().find_map(|word| word.parse().ok());
    let told = Duration::from_millis(told.unwrap());
    assert!(told + SLEEP_DOUBT >= SLEEP && told <= away + SLEEP_DOUBT, "{words}");
}

/// Its links are watched as before.
fn check_cable(lab: &mut Lab, n: usize) {
    let before = Account::of(lab, n);
    for (is_plugged, kind) in [(false, "link_down"), (true, "link_up")] {
        lab.node_mut(n).set_cable("lan_a", is_plugged).unwrap();
        let start = clock::now();
        while !Account::of(lab, n).news(&before).contains(&kind) {
            let waited = Duration::from_nanos(clock::now().since(start).as_nanos());
            assert!(waited < PATIENCE, "{:?}", Account::of(lab, n).events);
        }
    }
}

#[test]
fn a_machine_that_was_suspended_goes_on_without_a_restart() {
    let test = "a_machine_that_was_suspended_goes_on_without_a_restart";
    if !SLEEPERS.into_iter().all(|kernel| can_run(test, &machine(kernel))) {
        return;
    }
    let (mut lab, daemons) = boot();
    let error = lab.node_mut(KERNELS).suspend().unwrap_err().to_string();
    assert!(error.contains("none that can be suspended"), "{error}");
    let error = lab.node_mut(OURS[0]).wake().unwrap_err().to_string();
    assert!(error.contains("it is awake"), "{error}");
    for sleeper in OURS {
        let peer = 3 - sleeper;
        println!("n{sleeper} sleeps, Linux {}", SLEEPERS[sleeper - 1].series());
        wait_until_heard(&lab, peer, sleeper);
        wait_until_heard(&lab, sleeper, peer);
        let before = [sleeper, peer].map(|n| Account::of(&lab, n));

        let slept = sleep_amid_streams(&mut lab, sleeper, peer);
        let woken = [sleeper, peer].map(|n| Account::of(&lab, n));
        let starved = is_starved(&before, &woken);
        slept.beside.iter().for_each(|stream| stream.check_seamless(starved));
        slept.across.iter().for_each(|stream| stream.check_but_for(slept.away, starved));
        assert!(slept.across[1].got.lost > 0, "nobody was away");
        assert_eq!(woken[0].news(&before[0]), ["resumed"], "{:?}", woken[0].events);
        assert!(woken[1].news(&before[1]).is_empty(), "{:?}", woken[1].events);
        check_told(&woken[0], slept.away);

        let pairs = [(sleeper, peer), (peer, sleeper), (sleeper, KERNELS), (KERNELS, sleeper)];
        let streams = pairs.map(|pair| Stream::start(&lab, pair, Some(PAYLOADS_AFTER)));
        let streams = streams.map(|stream| stream.end("after the sleep"));
        wait_until_heard(&lab, peer, sleeper);
        wait_until_heard(&lab, sleeper, peer);
        let after = [sleeper, peer].map(|n| Account::of(&lab, n));
        let starved = is_starved(&woken, &after);
        streams.iter().for_each(|stream| stream.check_seamless(starved));
        for (after, before) in after.iter().zip(&before) {
            after.check_goes_on(before);
        }
        after[0].check_carried(&woken[0], u64::from(2 * PAYLOADS_AFTER));
        check_cable(&mut lab, sleeper);
    }
    for daemon in daemons {
        let ended = daemon.stop().unwrap();
        assert!(ended.status.success(), "{ended:?}");
    }
    for n in OURS {
        lab.node(n).shell("! ip link show dev prp0; echo slept > /run/out/word").unwrap();
        let word = fs::read_to_string(lab.node(n).results().join("word")).unwrap();
        assert_eq!(word, "slept\n", "its results folder is not the host's any more");
    }
}
