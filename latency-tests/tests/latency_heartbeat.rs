//! The heartbeat probe against cables that lose, repeat and delay, beside live daemons, and alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration as StdDuration;

use latency_tests::latency::options::Options;
use latency_tests::latency::probe::heartbeat::{
    self, Heartbeat, HeartbeatOptions, RespondOptions, Responder,
};
use latency_tests::latency::probe::{Asked, Probing};
use latency_tests::latency::report::{Measure, Series};
use latency_tests::os::stamped::{Heard, StampedSocket};
use rt_core::os::freeze::{TrapAllocator, frozen_allocations, is_installed};
use rt_core::os::memory;
use rt_core::os::thread::Policy;
use rt_core::probe_frame::{Kind, ProbeFrame};
use rt_core::time::Duration;
use serde_json::json;
use support::traffic::{Traffic, flows};
use support::{Cluster, PATIENCE, can_run, mac, mac_b, wait_until};
use tools::exit::ExitCode;
use tools::netlab::{Process, Toward};

#[global_allocator]
static ALLOCATOR: TrapAllocator = TrapAllocator::system();

/// One after the other: a process that starts others shares its pages with them for a while, and
/// the thread that beats would fault on them.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn asked(cycles: u64) -> Asked {
    Asked {
        cpus: vec![2, 3],
        policy: Policy::Fifo(50),
        interval: Duration::from_millis(2),
        distance: Duration::ZERO,
        cycles,
        allow_non_rt: true,
    }
}

/// Generous: nothing here is lost because the machine is busy.
fn options() -> HeartbeatOptions {
    HeartbeatOptions { wait: 2_000, ..HeartbeatOptions::default() }
}

fn lans() -> HeartbeatOptions {
    let (lan_a, lan_b) = (Some("lan_a".to_owned()), Some("lan_b".to_owned()));
    HeartbeatOptions { lan_a, lan_b, ..options() }
}

fn respond() -> RespondOptions {
    RespondOptions {
        lan_a: Some("lan_a".to_owned()),
        lan_b: Some("lan_b".to_owned()),
        cpu: None,
        prio: 50,
        rate: 20_000,
        allow_non_rt: true,
    }
}

/// Node 2 answers.
fn responder(cluster: &Cluster) -> Responder {
    cluster.host(2).run(|| heartbeat::respond(&respond())).unwrap().unwrap()
}

/// Node 1 asks.
fn started(cluster: &Cluster, asked: &Asked, options: &HeartbeatOptions) -> Heartbeat {
    cluster.host(1).run(|| Heartbeat::start(asked, options)).unwrap().unwrap()
}

fn finished(beats: Heartbeat) -> Vec<Series> {
    wait_until("the end of the beats", || beats.is_over().then_some(()));
    println!("{:?}", beats.more());
    let found = Box::new(beats).finish().unwrap();
    for it in &found {
        let us = [it.seen.min_ns, it.seen.p50_ns, it.seen.p99_ns, it.seen.max_ns]
            .map(|ns| ns.map(|ns| ns as f64 / 1e3));
        println!("{:8} {:5} min, p50, p99, max {us:?} {:?}", it.name, it.seen.samples, it.counts);
    }
    found
}

/// Beats that the thread was too late to send: they are told where its lateness is.
fn never_left(series: &[Series]) -> u64 {
    of(series, "sent").counts.swallowed
}

fn of<'a>(series: &'a [Series], name: &str) -> &'a Series {
    series.iter().find(|it| it.name == name).unwrap()
}

/// Frames that a cable of node 1 lost on the way to the LAN, and delivered several times to it.
fn lost_and_repeated(cluster: &Cluster, lan: &str) -> (u64, u64) {
    let counters = cluster.net.impairment("n1", lan).unwrap().counters().unwrap();
    let of = |lane: usize, key: &str| counters[lane][key].as_u64().unwrap();
    (of(0, "lost"), of(1, "repeated"))
}

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    _options: Options,
    #[command(flatten)]
    probe: HeartbeatOptions,
}

#[test]
fn its_options_stand_beside_the_common_ones() {
    <Line as clap::CommandFactory>::command().debug_assert();
    let line = |words: &str| <Line as clap::Parser>::try_parse_from(words.split(' '));
    assert_eq!(line("it -i 500").unwrap().probe, HeartbeatOptions::default());
    let named = line("it --lan-a eth1 --peer-a 02:00:5e:10:00:01 --octets 200").unwrap().probe;
    assert_eq!((named.lan_a.as_deref(), named.octets), (Some("eth1"), 200));
    for wrong in ["--octets 69", "--octets 1515", "--peer-a 02:00:5e:10:00:01", "--wait 0"] {
        assert!(line(&format!("it {wrong}")).is_err(), "{wrong}");
    }
}

#[test]
fn alone_each_beat_is_accounted_for_and_a_round_trip_splits() {
    if !can_run("alone_each_beat_is_accounted_for_and_a_round_trip_splits") {
        return;
    }
    let _turn = turn();
    // As the program does before it measures.
    let _tuned = memory::tune_allocator();
    let locked = memory::lock_all().is_ok();
    assert!(is_installed());
    let beats = Heartbeat::start(&asked(500), &options()).unwrap();
    wait_until("the end of the beats", || beats.is_over().then_some(()));
    let (progress, more) = (beats.progress(), beats.more());
    let series = finished(beats);
    assert_eq!((progress.over, progress.planned, progress.lost), (500, 500, 0));
    assert!(more["link"].contains("software"), "{more:?}");
    let names: Vec<_> = series.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["sent", "lan a", "peer a", "lan b", "peer b"]);
    assert_eq!(of(&series, "sent").owed.samples, 500);
    let measures = [Measure::Lateness, Measure::RoundTrip, Measure::Span];
    for (name, measure) in ["sent", "lan b", "peer b"].into_iter().zip(measures) {
        assert_eq!(of(&series, name).measure, measure);
    }
    for lan in ["a", "b"] {
        let (trips, turns) =
            (of(&series, &format!("lan {lan}")), of(&series, &format!("peer {lan}")));
        assert_eq!(trips.counts.lost + turns.counts.lost, 0, "{:?}", trips.counts);
        assert_eq!((trips.counts.repeated, trips.counts.skipped), (0, never_left(&series)));
        assert_eq!(trips.seen.samples + never_left(&series), 500);
        assert_eq!(turns.seen.samples, trips.seen.samples);
        // The peer's part is within the whole.
        assert!(turns.seen.mean_ns < trips.seen.mean_ns);
        assert!(turns.seen.min_ns < trips.seen.min_ns);
    }
    assert_eq!(frozen_allocations().count, 0, "{:?}", frozen_allocations().first);
    let thread = series[0].thread.as_ref().unwrap();
    if locked {
        assert_eq!(thread.page_faults, 0);
    } else {
        println!("SKIP: page faults of the thread that beats: memory cannot be locked");
    }
}

#[test]
fn a_card_that_gets_another_address_makes_the_round_trips_of_its_lan_worth_nothing() {
    const TEST: &str =
        "a_card_that_gets_another_address_makes_the_round_trips_of_its_lan_worth_nothing";
    if !can_run(TEST) {
        return;
    }
    if Command::new("ip").arg("-V").output().is_err() {
        println!("SKIP: {TEST}: the program ip (package iproute2)");
        return;
    }
    let _turn = turn();
    let cluster = Cluster::plain_hosts(2);
    let _responder = responder(&cluster);
    let beats = started(&cluster, &asked(500), &lans());
    let change = || {
        let address = ["link", "set", "lan_b", "address", "02:00:00:00:00:99"];
        Command::new("ip").args(address).status().unwrap()
    };
    assert!(cluster.host(1).run(change).unwrap().success());
    let series = finished(beats);
    let told = |name| of(&series, name).thread.as_ref().unwrap().shortfalls.join(" ");
    assert!(!told("lan a").contains("another address"), "{}", told("lan a"));
    assert!(told("lan b").contains("another address"), "{}", told("lan b"));
}

#[test]
fn what_a_cable_loses_or_repeats_is_counted_as_the_cable_counts_it() {
    if !can_run("what_a_cable_loses_or_repeats_is_counted_as_the_cable_counts_it") {
        return;
    }
    let _turn = turn();
    let cluster = Cluster::hosts(2, 5);
    let _responder = responder(&cluster);
    let beats = started(&cluster, &asked(1_000), &lans());
    // Found and begun: from here on the only frames are beats.
    let cable = |lan: &str| cluster.net.impairment("n1", lan).unwrap();
    cable("lan_a").set(Toward::Lan, &json!({"lose": {"probability": 0.1}})).unwrap();
    let repeat = json!({"repeat": {"probability": 0.2, "count": 1}});
    cable("lan_b").set(Toward::Host, &repeat).unwrap();
    let series = finished(beats);
    let (lost, _) = lost_and_repeated(&cluster, "lan_a");
    let (_, repeated) = lost_and_repeated(&cluster, "lan_b");
    assert!(lost > 20 && repeated > 20, "{lost} lost, {repeated} repeated");
    let (a, b) = (of(&series, "lan a"), of(&series, "lan b"));
    assert_eq!((a.counts.lost, a.counts.repeated), (lost, 0));
    assert_eq!(b.counts.lost, 0);
    // The last beat is over with its first answer: its repetition may come too late to be seen.
    assert!(b.counts.repeated == repeated || b.counts.repeated + 1 == repeated);
    assert_eq!(a.seen.samples + lost + never_left(&series), 1_000);
    assert_eq!(a.timeline.iter().map(|slot| slot.lost).sum::<u64>(), lost);
}

#[test]
fn a_delay_shows_on_its_lan_only_and_beyond_the_wait_it_is_loss() {
    const DELAY_MS: u64 = 40;
    if !can_run("a_delay_shows_on_its_lan_only_and_beyond_the_wait_it_is_loss") {
        return;
    }
    let _turn = turn();
    let cluster = Cluster::hosts(2, 6);
    let _responder = responder(&cluster);
    let cable = cluster.net.impairment("n1", "lan_a").unwrap();
    cable.set(Toward::Host, &json!({"delay_us": DELAY_MS * 1_000})).unwrap();
    let series = finished(started(&cluster, &asked(300), &lans()));
    let (a, b) = (of(&series, "lan a"), of(&series, "lan b"));
    let delay_ns = DELAY_MS * 1_000_000;
    assert!(a.seen.min_ns >= Some(delay_ns), "{:?}", a.seen.min_ns);
    assert!(b.seen.p50_ns < Some(delay_ns / 2), "{:?}", b.seen.p50_ns);
    // The peer did not have it for that long.
    assert!(of(&series, "peer a").seen.p50_ns < Some(delay_ns / 2));
    assert_eq!(a.counts.lost + b.counts.lost, 0);

    let impatient = HeartbeatOptions { wait: DELAY_MS / 4, ..lans() };
    let beats = started(&cluster, &asked(300), &impatient);
    wait_until("the end of the beats", || beats.is_over().then_some(()));
    let more = beats.more();
    let series = Box::new(beats).finish().unwrap();
    let a = of(&series, "lan a");
    assert_eq!((a.seen.samples, a.counts.repeated), (0, 0));
    assert_eq!(a.counts.lost + never_left(&series), 300);
    let late = more.get("lan a: answers after the wait");
    assert!(late.is_some_and(|it| it.parse::<u64>().unwrap() > 0), "{more:?}");
}

#[test]
fn beside_live_daemons_their_traffic_is_seamless_while_the_probe_runs_on_both_lans() {
    if !can_run("beside_live_daemons_their_traffic_is_seamless_while_the_probe_runs") {
        return;
    }
    let _turn = turn();
    let cluster = Cluster::running(2, 7, "");
    let traffic = Traffic::start(&cluster, 2, &flows(&[(1, 2), (2, 1)]), 500, 2.0);
    // Both nodes answer, and both ask.
    let _near = cluster.host(1).run(|| heartbeat::respond(&respond()).unwrap()).unwrap();
    let _far = responder(&cluster);
    let back = Asked { cpus: vec![1], ..asked(500) };
    let back = cluster.host(2).run(|| Heartbeat::start(&back, &lans()).unwrap()).unwrap();
    let beats = started(&cluster, &asked(500), &lans());
    let more = beats.more();
    // The daemon has put one address on both of its ports.
    assert_eq!([&more["peer a"], &more["peer b"]], [&mac(2).to_string(), &mac(2).to_string()]);
    let all = [finished(beats), finished(back)];
    let outcome = traffic.finish();
    println!("{outcome}");
    assert!(outcome.is_seamless(), "{:?}\n{}", outcome.complaints, cluster.describe());
    for (series, lan) in all.iter().flat_map(|it| [(it, "lan a"), (it, "lan b")]) {
        let it = of(series, lan);
        assert_eq!(it.seen.samples + never_left(series), 500, "{lan}: {:?}", it.counts);
        assert_eq!(it.counts.repeated, 0, "{lan}");
    }
    println!("{}", cluster.describe());
}

/// A frame that somebody else makes.
fn forged(change: impl FnOnce(&mut ProbeFrame)) -> Vec<u8> {
    let mut frame = ProbeFrame {
        destination: mac(2).0,
        source: mac(1).0,
        kind: Kind::Request,
        run: 1,
        number: 0,
        sent_at_ns: 0,
        came_at_ns: 0,
        left_at_ns: 0,
        octets: 100,
    };
    change(&mut frame);
    frame.emit(&mut [0; 1_600]).unwrap().to_vec()
}

#[test]
fn the_far_end_answers_what_is_asked_of_it_once_and_nothing_else() {
    if !can_run("the_far_end_answers_what_is_asked_of_it_once_and_nothing_else") {
        return;
    }
    let _turn = turn();
    let cluster = Cluster::plain_hosts(2);
    let responder = cluster
        .host(2)
        .run(|| heartbeat::respond(&RespondOptions { rate: 1, ..respond() }).unwrap());
    let responder = responder.unwrap();
    let all = [every_frame()];
    let socket = cluster.host(1).run(|| StampedSocket::open("lan_a", Heard::Incoming, &all));
    let socket = socket.unwrap().unwrap();
    let mut changed = forged(|_| ());
    changed[60] ^= 1;
    let frames = [
        forged(|it| it.kind = Kind::Answer),
        changed,
        forged(|it| it.destination = [2, 0, 0, 0, 0, 0x99]),
        forged(|it| it.source = [0xff; 6]),
        // The only one that is right; the next one comes too soon.
        forged(|it| it.number = 77),
        forged(|it| it.number = 78),
    ];
    for frame in &frames {
        socket.send(frame).unwrap();
    }
    let mut buffer = [0; 2_000];
    let answer = wait_until("the answer", || {
        let came = socket.receive(&mut buffer).unwrap()?;
        ProbeFrame::parse(&buffer[..came.octets]).ok()
    });
    assert_eq!((answer.kind, answer.number, answer.octets), (Kind::Answer, 77, 100));
    assert_eq!((answer.source, answer.destination), (mac(2).0, mac(1).0));
    assert!(answer.turned_ns().is_some_and(|it| it > 0));
    std::thread::sleep(StdDuration::from_millis(50));
    assert_eq!(responder.answered(), 1);
    let answers = responder.finish().unwrap();
    let [a, b] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!((a.answered, a.malformed), (1, 1), "{a:?}");
    // A bridge may hold back what comes from a group or goes elsewhere; never is it answered.
    assert_eq!(a.above_rate, 1, "{a:?}");
    assert!((1..=3).contains(&a.ignored), "{a:?}");
    assert_eq!(*b, heartbeat::Answers::default());
}

/// A filter that lets all pass.
fn every_frame() -> libc::sock_filter {
    libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: 0x4_0000 }
}

#[test]
fn what_cannot_be_measured_is_refused_with_the_reason_and_its_code() {
    if !can_run("what_cannot_be_measured_is_refused_with_the_reason_and_its_code") {
        return;
    }
    let _turn = turn();
    let cluster = Cluster::plain_hosts(2);
    let refused = |options: HeartbeatOptions| {
        let start = || Heartbeat::start(&asked(1), &options).map(drop);
        let failure = cluster.host(1).run(start).unwrap().unwrap_err();
        (failure.code, failure.to_string())
    };
    let one = |name: &str| HeartbeatOptions { lan_a: Some(name.to_owned()), ..options() };
    let (code, text) = refused(one("no_such"));
    assert_eq!(code, ExitCode::Usage);
    assert!(text.starts_with("--lan-a: there is no interface no_such"), "{text}");
    let (code, text) = refused(one("lo"));
    assert_eq!(code, ExitCode::Usage);
    assert!(text.contains("no Ethernet"), "{text}");
    let (code, text) = refused(one("lan_a"));
    assert_eq!(code, ExitCode::Failed);
    assert!(text.contains("lan a: nobody answers") && text.contains("respond"), "{text}");
    let (_, text) = refused(HeartbeatOptions { peer_a: Some(mac_b(2)), ..one("lan_a") });
    assert!(text.contains(&format!("{} is silent", mac_b(2))), "{text}");
    cluster.net.set_link("n1", "lan_a", false).unwrap();
    let (code, text) = refused(one("lan_a"));
    assert_eq!(code, ExitCode::Failed);
    assert!(text.contains("lan_a is down"), "{text}");
    let long = HeartbeatOptions { wait: 60_000, ..options() };
    let often = Asked { interval: Duration::from_micros(10), ..asked(1) };
    let failure = Heartbeat::start(&often, &long).map(drop).unwrap_err();
    assert_eq!(failure.code, ExitCode::Usage);
    assert!(failure.to_string().starts_with("--wait: too many"), "{failure}");
}

/// Set for the process that has no privilege.
const UNPRIVILEGED: &str = "BUMPLESS_TEST_UNPRIVILEGED";

/// No test, unless this program was started without privilege.
#[test]
fn ask_without_privilege() {
    if std::env::var_os(UNPRIVILEGED).is_none() {
        return;
    }
    let named = Heartbeat::start(&asked(1), &lans()).map(drop).unwrap_err();
    let alone = Heartbeat::start(&asked(1), &options()).map(drop).unwrap_err();
    for failure in [named, alone] {
        println!("\n{} {failure}", failure.code as u8);
    }
}

#[test]
fn without_privilege_it_is_said_what_is_missing() {
    if !can_run("without_privilege_it_is_said_what_is_missing") {
        return;
    }
    let _turn = turn();
    let cluster = Cluster::plain_hosts(1);
    // Nobody may not look where this program was built.
    let program = std::env::temp_dir().join(format!("bumpless-heartbeat-{}", std::process::id()));
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut command = cluster.host(1).command("setpriv").unwrap();
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
    command.args(["--exact", "ask_without_privilege", "--nocapture"]).env(UNPRIVILEGED, "1");
    let ended = Process::spawn("nobody", command).unwrap().finish(PATIENCE);
    fs::remove_file(&program).unwrap();
    let output = ended.unwrap().out;
    let told: Vec<_> = output.lines().filter(|line| line.starts_with("3 ")).collect();
    let [named, alone] = told.as_slice() else { panic!("{output}") };
    assert!(named.contains("--lan-a") && named.contains("CAP_NET_RAW"), "{named}");
    assert!(alone.contains("CAP_SYS_ADMIN"), "{alone}");
}

#[test]
fn two_far_ends_on_a_lan_have_to_be_told_apart() {
    if !can_run("two_far_ends_on_a_lan_have_to_be_told_apart") {
        return;
    }
    let _turn = turn();
    let cluster = Cluster::plain_hosts(3);
    let answers = |n: u8| cluster.host(n).run(|| heartbeat::respond(&respond()).unwrap()).unwrap();
    let _both = [answers(2), answers(3)];
    let start = |options: &HeartbeatOptions| {
        cluster.host(1).run(|| Heartbeat::start(&asked(20), options)).unwrap()
    };
    let failure = start(&lans()).map(drop).unwrap_err();
    assert_eq!(failure.code, ExitCode::Usage);
    let text = failure.to_string();
    assert!(text.contains(&mac(2).to_string()) && text.contains("--peer-a"), "{text}");
    let (peer_a, peer_b) = (Some(mac(3)), Some(mac_b(3)));
    let series = finished(start(&HeartbeatOptions { peer_a, peer_b, ..lans() }).unwrap());
    assert_eq!(of(&series, "lan b").counts.lost, 0);
}

#[test]
fn a_run_that_is_stopped_ends_with_the_beats_on_their_way() {
    if !can_run("a_run_that_is_stopped_ends_with_the_beats_on_their_way") {
        return;
    }
    let _turn = turn();
    let slow = Asked { interval: Duration::from_secs(30), ..asked(1_000) };
    let beats = Heartbeat::start(&slow, &options()).unwrap();
    wait_until("a beat", || (beats.progress().over > 0).then_some(()));
    beats.stop();
    let series = finished(beats);
    assert_eq!(of(&series, "sent").seen.samples, 1);
    assert_eq!(of(&series, "lan a").counts.lost, 0);
}
