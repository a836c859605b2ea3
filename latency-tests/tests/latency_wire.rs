//! The wire probe beside live daemons whose cables lose and delay, and alone with daemons of its
//! own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use latency_tests::latency::options::Options;
use latency_tests::latency::probe::wire::{Wire, WireOptions};
use latency_tests::latency::probe::{Asked, Probing};
use latency_tests::latency::report::{Measure, Series};
use rt_core::os::freeze::{TrapAllocator, frozen_allocations, is_installed};
use rt_core::os::memory;
use rt_core::os::thread::Policy;
use rt_core::time::Duration;
use serde_json::json;
use support::traffic::{Traffic, flows};
use support::{Cluster, can_run, ip, mac, wait_until};
use tools::exit::ExitCode;
use tools::netlab::Toward;

#[global_allocator]
static ALLOCATOR: TrapAllocator = TrapAllocator::system();

/// Ways that taps see.
const SEEN: &str = "lan_receive = \"ring\"\nlan_transmit = \"packet\"";
/// Measurements one after the other, so that each can have the processors.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

const ALL: [&str; 8] =
    ["sent", "host out", "tag", "lan a", "lan b", "discard", "host in", "round trip"];

fn asked(cycles: u64) -> Asked {
    Asked {
        cpus: vec![2],
        policy: Policy::Fifo(50),
        interval: Duration::from_millis(2),
        distance: Duration::ZERO,
        cycles,
        allow_non_rt: true,
    }
}

/// Generous: nothing here is lost because the machine is busy.
fn options() -> WireOptions {
    WireOptions { wait: 2_000, ..WireOptions::default() }
}

/// From node 1 to node 2.
fn beside(cluster: &Cluster) -> WireOptions {
    let runtime_dir = Some(cluster.runtime_dir(1));
    WireOptions { peer: Some(IpAddr::V4(ip(2))), runtime_dir, ..options() }
}

fn started(cluster: &Cluster, asked: &Asked, options: &WireOptions) -> Wire {
    cluster.host(1).run(|| Wire::start(asked, options)).unwrap().unwrap()
}

fn finished(wire: Wire) -> Vec<Series> {
    wait_until("the end of the echoes", || wire.is_over().then_some(()));
    println!("{:?}", wire.more());
    let found = Box::new(wire).finish().unwrap();
    for it in &found {
        let us = |ns: Option<u64>| ns.map(|ns| ns as f64 / 1e3);
        let (least, half) = (us(it.seen.min_ns), us(it.seen.p50_ns));
        println!("{:10} {:5} min {least:?} p50 {half:?} {:?}", it.name, it.seen.samples, it.counts);
    }
    found
}

fn of<'a>(series: &'a [Series], name: &str) -> &'a Series {
    series.iter().find(|it| it.name == name).unwrap()
}

fn mean(series: &[Series], name: &str) -> f64 {
    of(series, name).seen.mean_ns.unwrap()
}

/// That each planned echo is accounted for in each series.
fn check_accounts(series: &[Series], cycles: u64) {
    for it in series {
        let counts = &it.counts;
        // What the thread was too late to send is told where its lateness is.
        let all = it.seen.samples + of(series, "sent").counts.swallowed + counts.lost;
        assert_eq!(all, cycles, "{}: {counts:?}", it.name);
    }
}

/// That a stage of which no frame was lost has nearly all echoes, and the round trip all. On a busy
/// machine the stamps of an echo may contradict each other, where whoever reads two clocks is
/// interrupted between them: that is told, and the stage has no figure of it.
fn check_none_lost(series: &Series) {
    let most = if series.name == "round trip" { 0 } else { 2 + series.seen.samples / 50 };
    assert!(series.counts.lost <= most, "{}: {:?}", series.name, series.counts);
}

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    _options: Options,
    #[command(flatten)]
    probe: WireOptions,
}

#[test]
fn its_options_stand_beside_the_common_ones() {
    <Line as clap::CommandFactory>::command().debug_assert();
    let line = |words: &str| <Line as clap::Parser>::try_parse_from(words.split(' '));
    assert_eq!(line("it -i 500").unwrap().probe, WireOptions::default());
    let named = line("it --interface prp0 --peer 10.0.0.2").unwrap().probe;
    assert_eq!(named.interface.as_deref(), Some("prp0"));
    for wrong in ["--octets 23", "--octets 1453", "--interface prp0", "--peer nobody"] {
        assert!(line(&format!("it {wrong}")).is_err(), "{wrong}");
    }
}

#[test]
fn alone_a_round_trip_is_split_and_its_stages_add_up() {
    if !can_run("alone_a_round_trip_is_split_and_its_stages_add_up") {
        return;
    }
    let _turn = turn();
    assert!(is_installed());
    // As the program does before it measures.
    let _tuned = memory::tune_allocator();
    let locked = memory::lock_all().is_ok();
    let wire = Wire::start(&asked(500), &options()).unwrap();
    assert!(wire.more()["link"].contains("software"));
    wait_until("the end of the echoes", || wire.is_over().then_some(()));
    let (progress, more) = (wire.progress(), wire.more());
    assert_eq!((progress.over, progress.planned, progress.lost), (500, 500, 0));
    // Each frame's instants in order, and its stages within its round trip.
    let contradictions = more.keys().filter(|key| key.contains("contradict"));
    assert_eq!(contradictions.count(), 0, "{more:?}");
    let series = finished(wire);
    check_accounts(&series, 500);
    let names: Vec<_> = series.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ALL);
    assert_eq!(of(&series, "round trip").measure, Measure::RoundTrip);
    for it in &series {
        check_none_lost(it);
        assert_eq!(it.counts.repeated, 0, "{}", it.name);
    }
    let way: f64 =
        ["host out", "tag", "discard", "host in"].iter().map(|it| mean(&series, it)).sum();
    let lan = mean(&series, "lan a").min(mean(&series, "lan b"));
    let whole = mean(&series, "round trip");
    // What came first is no later than either LAN's; sending on two LANs takes some time, too.
    assert!(way < whole && way + lan > whole * 0.5, "{way} + {lan} of {whole}");
    assert_eq!(frozen_allocations().count, 0, "{:?}", frozen_allocations().first);
    let thread = series[0].thread.as_ref().unwrap();
    if locked {
        assert_eq!(thread.page_faults, 0);
    } else {
        println!("SKIP: page faults of the thread that sends: memory cannot be locked");
    }
}

#[test]
fn a_network_of_its_own_is_gone_with_the_run_however_it_ends() {
    if !can_run("a_network_of_its_own_is_gone_with_the_run_however_it_ends") {
        return;
    }
    let _turn = turn();
    let slow = Asked { interval: Duration::from_secs(30), ..asked(1_000) };
    let wire = Wire::start(&slow, &options()).unwrap();
    let ours = daemons();
    assert!(ours.len() >= 2, "{ours:?}");
    wait_until("an echo", || (wire.progress().over > 0).then_some(()));
    wire.stop();
    let series = finished(wire);
    assert_eq!(of(&series, "sent").seen.samples, 1);
    assert_eq!(of(&series, "round trip").counts.lost, 0);
    wait_until("the end of its daemons", || ours.iter().all(|it| !is_there(it)).then_some(()));
    // Dropped in the middle.
    let wire = Wire::start(&slow, &options()).unwrap();
    let ours = daemons();
    assert!(ours.len() >= 2 && ours.iter().all(is_there), "{ours:?}");
    drop(wire);
    wait_until("the end of its daemons", || ours.iter().all(|it| !is_there(it)).then_some(()));
}

/// The daemons that this process has started, by the folders that they serve from.
fn daemons() -> Vec<PathBuf> {
    let folder = |process: PathBuf| {
        let status = fs::read_to_string(process.join("status")).ok()?;
        let own = format!("PPid:\t{}", std::process::id());
        let line = fs::read(process.join("cmdline")).ok()?;
        let words: Vec<_> =
            line.split(|octet| *octet == 0).map(|it| String::from_utf8_lossy(it)).collect();
        let at = words.iter().position(|word| word == "--runtime-dir")?;
        let is_daemon = words.first()?.ends_with("bumplessd");
        let is_ours = is_daemon && status.lines().any(|it| it == own);
        is_ours.then(|| words.get(at + 1).map(|it| PathBuf::from(it.as_ref())))?
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(|it| folder(it.path())).collect()
}

/// Whether a daemon still serves from this folder.
fn is_there(folder: &PathBuf) -> bool {
    daemons().contains(folder) || folder.exists()
}

#[test]
fn what_one_lan_loses_is_lost_in_its_stage_and_in_no_round_trip() {
    if !can_run("what_one_lan_loses_is_lost_in_its_stage_and_in_no_round_trip") {
        return;
    }
    let _turn = turn();
    let cluster = Cluster::running(2, 8, SEEN);
    let wire = started(&cluster, &asked(1_000), &beside(&cluster));
    let cable = cluster.net.impairment("n1", "lan_a").unwrap();
    // Only what comes to the host: each answer that is lost is one that the tap does not see.
    cable.set(Toward::Host, &json!({"lose": {"probability": 0.1}})).unwrap();
    wait_until("the end of the echoes", || wire.is_over().then_some(()));
    let counters = cable.counters().unwrap();
    let lost = counters[1]["lost"].as_u64().unwrap();
    let series = finished(wire);
    check_accounts(&series, 1_000);
    let found = of(&series, "lan a").counts.lost;
    // The daemons' own supervision frames meet the same fault: one in 2 s from the other node.
    // And a stage may lack a few echoes more than the cable lost, as above.
    let most = lost + 2 + of(&series, "lan a").seen.samples / 50;
    assert!(found > 20 && (lost.saturating_sub(3)..=most).contains(&found), "{found} of {lost}");
    for name in ["round trip", "lan b", "host out", "tag", "discard", "host in"] {
        check_none_lost(of(&series, name));
    }
}

#[test]
fn a_delay_of_one_lan_shows_in_its_stage_only() {
    const DELAY_MS: u64 = 20;
    if !can_run("a_delay_of_one_lan_shows_in_its_stage_only") {
        return;
    }
    let _turn = turn();
    let cluster = Cluster::running(2, 9, SEEN);
    let cable = cluster.net.impairment("n1", "lan_a").unwrap();
    cable.set(Toward::Host, &json!({"delay_us": DELAY_MS * 1_000})).unwrap();
    let series = finished(started(&cluster, &asked(300), &beside(&cluster)));
    check_accounts(&series, 300);
    let delay_ns = DELAY_MS * 1_000_000;
    assert!(of(&series, "lan a").seen.min_ns >= Some(delay_ns));
    for name in ["lan b", "round trip", "tag", "discard", "host out", "host in"] {
        assert!(of(&series, name).seen.p50_ns < Some(delay_ns / 2), "{name}");
        check_none_lost(of(&series, name));
    }
}

#[test]
fn beside_live_daemons_their_traffic_is_seamless_while_the_probe_runs() {
    if !can_run("beside_live_daemons_their_traffic_is_seamless_while_the_probe_runs") {
        return;
    }
    let _turn = turn();
    seamless(SEEN, &ALL, false);
}

#[test]
fn what_leaves_past_the_taps_is_split_as_far_as_it_is_seen_and_the_run_says_so() {
    if !can_run("what_leaves_past_the_taps_is_split_as_far_as_it_is_seen") {
        return;
    }
    let _turn = turn();
    let names =
        ["sent", "host out", "tag, lan a", "tag, lan b", "discard", "host in", "round trip"];
    seamless("lan_receive = \"ring\"\nlan_transmit = \"xdp\"", &names, true);
}

/// With traffic beside it.
fn seamless(config: &str, names: &[&str], hidden: bool) {
    let cluster = Cluster::running(2, 10, config);
    let traffic = Traffic::start(&cluster, 2, &flows(&[(1, 2), (2, 1)]), 500, 2.0);
    let wire = started(&cluster, &asked(500), &beside(&cluster));
    let more = wire.more();
    let named = ["peer", "interface", "interface a", "interface b"].map(|it| more[it].as_str());
    assert_eq!(named, ["10.50.0.2", "prp0", "lan_a", "lan_b"]);
    assert_eq!(
        more.get("not split").is_some_and(|it| it.contains("sends on LAN B by xdp")),
        hidden
    );
    let series = finished(wire);
    check_accounts(&series, 500);
    let found: Vec<_> = series.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(found, names);
    let outcome = traffic.finish();
    println!("{outcome}");
    assert!(outcome.is_seamless(), "{:?}\n{}", outcome.complaints, cluster.describe());
    for it in &series {
        check_none_lost(it);
    }
}

#[test]
fn over_ip_version_6_it_is_the_same() {
    if !can_run("over_ip_version_6_it_is_the_same") {
        return;
    }
    let _turn = turn();
    let cluster = Cluster::running(2, 12, SEEN);
    let address = |n: u8| IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(n)));
    for (n, other) in [(1, 2), (2, 1)] {
        let host = cluster.host(n);
        let switch_on = || fs::write("/proc/sys/net/ipv6/conf/prp0/disable_ipv6", "0");
        if let Err(error) = host.run(switch_on).unwrap() {
            println!("SKIP: over_ip_version_6_it_is_the_same: no IPv6 here: {error}");
            return;
        }
        host.add_address("prp0", address(n), 64).unwrap();
        host.add_neighbour("prp0", address(other), mac(other)).unwrap();
    }
    let options = WireOptions { peer: Some(address(2)), ..beside(&cluster) };
    let series = finished(started(&cluster, &asked(200), &options));
    check_accounts(&series, 200);
    for it in &series {
        check_none_lost(it);
    }
}

#[test]
fn what_cannot_be_measured_is_refused_with_the_reason_and_its_code() {
    if !can_run("what_cannot_be_measured_is_refused_with_the_reason_and_its_code") {
        return;
    }
    let _turn = turn();
    let cluster = Cluster::running(2, 11, "");
    let refused = |options: WireOptions| {
        let start = || Wire::start(&asked(1), &options).map(drop);
        let failure = cluster.host(1).run(start).unwrap().unwrap_err();
        (failure.code, failure.to_string())
    };
    let name = |name: &str| Some(name.to_owned());
    let beside = beside(&cluster);

    let silent = WireOptions { peer: Some(Ipv4Addr::new(10, 50, 0, 99).into()), ..beside.clone() };
    let (code, text) = refused(silent);
    assert_eq!(code, ExitCode::Failed);
    assert!(text.starts_with("--peer: 10.50.0.99 does not answer on prp0"), "{text}");

    let elsewhere =
        WireOptions { peer: Some(Ipv4Addr::new(203, 0, 113, 9).into()), ..beside.clone() };
    let (code, text) = refused(elsewhere);
    assert!(text.starts_with("--peer: 203.0.113.9"), "{code:?} {text}");

    let (code, text) = refused(WireOptions { interface: name("eth7"), ..beside.clone() });
    assert_eq!(code, ExitCode::Usage);
    assert!(text.contains("host interface is prp0"), "{text}");

    let named = WireOptions {
        interface: name("prp0"),
        lan_a: name("lan_a"),
        lan_b: name("no_such"),
        runtime_dir: None,
        ..beside.clone()
    };
    let (code, text) = refused(named.clone());
    assert_eq!(code, ExitCode::Usage);
    assert!(text.starts_with("--lan-b: there is no interface no_such"), "{text}");
    let (code, text) = refused(WireOptions { interface: name("prp9"), ..named.clone() });
    assert_eq!(code, ExitCode::Usage);
    assert!(text.starts_with("--interface: there is no interface prp9"), "{text}");
    // With all three named no daemon is asked.
    let right = WireOptions { lan_b: name("lan_b"), ..named };
    let wire = started(&cluster, &asked(20), &right);
    let path = cluster.node(1).status().ports.a.transmit_path;
    assert_eq!(wire.more().contains_key("not split"), path.as_deref() == Some("xdp"), "{path:?}");
    let series = finished(wire);
    check_accounts(&series, 20);
    series.iter().for_each(check_none_lost);

    let empty = cluster.net.folder().join("nobody");
    let (code, text) = refused(WireOptions { runtime_dir: Some(empty), ..beside });
    assert_eq!(code, ExitCode::Failed);
    assert!(text.contains("nobody"), "{text}");
}
