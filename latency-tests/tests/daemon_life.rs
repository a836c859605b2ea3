//! The daemon from start to end, as somebody would script it: what it says, what it takes, what it
//! refuses and why, and that everything is as before when it has gone.
#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

mod support;

use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use latency_tests::stream::account::LedgerReport;
use latency_tests::stream::send::SendReport;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::Signal;
use prp::os::link::BridgeOptions;
use support::snapshot::Snapshot;
use support::traffic::{Traffic, flows};
use support::{Cluster, PATIENCE, can_run, ip, mac, mac_b, report, wait_until};
use tools::netlab::{Ended, Process};
use tools::report::{HostKind, Link};

/// Both kinds of host interface, as a line of the configuration.
const HOST_PORTS: [(&str, HostKind); 2] =
    [("host_port = \"tap\"", HostKind::Tap), ("host_port = \"veth\"", HostKind::Veth)];

/// The command line of a daemon on node `n`, with the privilege to do everything.
fn bumplessd(cluster: &Cluster, n: u8, arguments: &str) -> Command {
    let program = cluster.programs.path("bumplessd").unwrap();
    let mut command = cluster.host(n).command(program).unwrap();
    command.args(arguments.split_whitespace()).arg("--runtime-dir").arg(cluster.runtime_dir(n));
    command
}

/// The arguments for a configuration file with these lines beside the usual ones.
fn config(cluster: &Cluster, lines: &str) -> String {
    let words: String = lines.chars().filter(char::is_ascii_alphanumeric).collect();
    let file = cluster.net.folder().join(format!("{words}.toml"));
    let usual = "name = \"prp0\"\nprotocol = \"prp\"\nlan_a = \"lan_a\"\nlan_b = \"lan_b\"";
    fs::write(&file, format!("{usual}\n{lines}\n")).unwrap();
    format!("--config {}", file.display())
}

const USUAL: &str = "--name prp0 --protocol prp --lan-a lan_a --lan-b lan_b";

/// Lets a command that should be refused run to its end.
fn refused(command: Command) -> Ended {
    Process::spawn("a daemon to be refused", command).unwrap().finish(PATIENCE).unwrap()
}

/// The code, and that stderr holds each of `words` and stdout nothing.
#[track_caller]
fn check_refusal(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.status.code(), Some(code), "{ended:?}");
    assert_eq!(ended.out, "", "{ended:?}");
    for word in words {
        assert!(ended.err.contains(word), "{word} is not in {}", ended.err);
    }
}

/// Cards as a user's system has them: with IPv6, addresses, and one that is down.
fn make_untidy(cluster: &Cluster, n: u8) {
    let host = cluster.host(n);
    host.run(|| {
        // Absent where the kernel has no IPv6: then there is less to restore.
        let _ = fs::write("/proc/sys/net/ipv6/conf/lan_a/disable_ipv6", "0");
    })
    .unwrap();
    host.add_address("lan_a", "10.60.0.1".parse().unwrap(), 24).unwrap();
    if fs::exists("/proc/sys/net/ipv6").unwrap() {
        host.add_address("lan_a", "fd00:60::1".parse().unwrap(), 64).unwrap();
    }
    let mut links = host.links().unwrap();
    let index = links.by_name("lan_b").unwrap().index;
    links.set_up(index, false).unwrap();
    links.set_mtu(index, 1400).unwrap();
}

#[test]
fn ready_is_all_it_says_on_stdout_and_everything_is_as_before_when_it_has_ended() {
    if !can_run("ready_is_all_it_says_on_stdout_and_everything_is_as_before_when_it_has_ended") {
        return;
    }
    let cluster = Cluster::hosts(1, 31);
    let [tap, veth] = HOST_PORTS.map(|(host_port, _)| host_port);
    for (untidy, arguments) in [
        (false, USUAL.to_owned()),
        (false, config(&cluster, veth)),
        (true, config(&cluster, veth)),
        (true, config(&cluster, tap)),
    ] {
        if untidy && cluster.host(1).link("lan_b").unwrap().up {
            make_untidy(&cluster, 1);
        }
        let before = Snapshot::of(cluster.host(1));
        let command = bumplessd(&cluster, 1, &arguments);
        let daemon = Process::spawn_ready("bumplessd", command, PATIENCE).unwrap();
        let host = cluster.host(1);
        let prp0 = host.link("prp0").unwrap();
        assert!(prp0.up && prp0.running, "{prp0:?}");
        assert_eq!((prp0.mtu, prp0.mac), (1500, mac(1)));
        for lan in ["lan_a", "lan_b"] {
            let lan = host.link(lan).unwrap();
            assert!(lan.up && lan.mtu == 1506 && lan.mac == mac(1) && lan.noarp, "{lan:?}");
        }
        let status = cluster.bumpless(1, "status");
        assert!(status.status.success() && status.out.starts_with("prp0: "), "{status:?}");

        let ended = daemon.stop().unwrap();
        assert_eq!((ended.status.code(), ended.out.as_str()), (Some(0), "ready\n"), "{ended:?}");
        before.check_again(cluster.host(1), "");
        let left: Vec<_> = fs::read_dir(cluster.runtime_dir(1))
            .map(|entries| entries.map(|entry| entry.unwrap().file_name()).collect())
            .unwrap_or_default();
        assert!(left.iter().all(|name| name == "sequence"), "{left:?}");
    }
}

/// A child that a failed test does not leave behind.
struct KilledAtEnd(std::process::Child);

impl Drop for KilledAtEnd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn sigint_and_sighup_end_it_as_sigterm_does_and_a_closed_stdout_is_no_reason_to_end() {
    if !can_run("sigint_and_sighup_end_it_as_sigterm_does") {
        return;
    }
    let cluster = Cluster::hosts(1, 32);
    let before = Snapshot::of(cluster.host(1));
    for signal in [Signal::SIGINT, Signal::SIGHUP] {
        let mut command = bumplessd(&cluster, 1, USUAL);
        let closed = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        command.stdout(closed).stderr(std::process::Stdio::null());
        let mut child = KilledAtEnd(command.spawn().unwrap());
        end_when_up(&cluster, &mut child, signal);
        before.check_again(cluster.host(1), "");
    }
}

/// Waits for the interface, sends the signal and expects an orderly end.
#[track_caller]
fn end_when_up(cluster: &Cluster, child: &mut KilledAtEnd, signal: Signal) {
    wait_until("the interface", || cluster.host(1).link("prp0").ok().filter(|link| link.running));
    let id = nix::unistd::Pid::from_raw(child.0.id().try_into().unwrap());
    nix::sys::signal::kill(id, signal).unwrap();
    let status = wait_until("the end", || child.0.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    if !can_run("a_log_that_nobody_reads_stops_nothing") {
        return;
    }
    let cluster = Cluster::hosts(1, 47);
    let before = Snapshot::of(cluster.host(1));
    // Full from the start: the first line blocks whoever writes it.
    let (reader, mut writer) = std::io::pipe().unwrap();
    let octets = fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    writer.write_all(&vec![b'.'; octets.try_into().unwrap()]).unwrap();
    let mut command = bumplessd(&cluster, 1, USUAL);
    command.stdout(std::process::Stdio::null()).stderr(writer);
    let mut child = KilledAtEnd(command.spawn().unwrap());
    wait_until("the interface", || cluster.host(1).link("prp0").ok().filter(|link| link.running));
    let status = cluster.bumpless(1, "status");
    assert!(status.status.success() && status.out.starts_with("prp0: "), "{status:?}");
    end_when_up(&cluster, &mut child, Signal::SIGTERM);
    drop(reader);
    before.check_again(cluster.host(1), "");
}

#[test]
fn after_sigkill_a_start_adopts_what_is_ours_and_goes_on_with_the_numbers() {
    if !can_run("after_sigkill_a_start_adopts_what_is_ours_and_goes_on_with_the_numbers") {
        return;
    }
    for (seed, (host_port, kind)) in (33..).zip(HOST_PORTS) {
        let mut cluster = Cluster::hosts(2, seed);
        make_untidy(&cluster, 1);
        let before = Snapshot::of(cluster.host(1));
        for n in [1, 2] {
            cluster.start_daemon(n, host_port);
        }
        for n in [1, 2] {
            cluster.settle(n, 2);
        }
        cluster.wait_for_voices();
        assert_eq!(cluster.node(1).status().host.kind, kind);
        let outcome = Traffic::start(&cluster, 2, &flows(&[(1, 2), (2, 1)]), 500, 0.5).finish();
        assert!(outcome.is_seamless(), "{}", outcome.complaints.join("\n"));
        let index = cluster.host(1).link("prp0").unwrap().index;

        cluster.take_daemon(1).process.kill().unwrap();
        let orphan = cluster.host(1).link("prp0").unwrap();
        assert_eq!(orphan.index, index, "the interface outlives the crash");
        cluster.start_daemon(1, host_port);
        let adopted = cluster.host(1).link("prp0").unwrap();
        assert!(adopted.index == index && adopted.running, "{adopted:?}");
        let addresses = cluster.host(1).links().unwrap().addresses(index).unwrap();
        assert!(addresses.iter().any(|address| address.ip == ip(1)), "{addresses:?}");

        // At once, within the time in which the peer remembers the numbers of the former life: no
        // silence, and no number that the peer takes for known.
        let outcome = Traffic::start(&cluster, 2, &flows(&[(1, 2), (2, 1)]), 500, 0.5).finish();
        assert!(outcome.is_seamless(), "{}\n{}", outcome.complaints.join("\n"), cluster.describe());

        let ended = cluster.take_daemon(1).process.stop().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert!(!ended.err.contains("silent for"), "{}", ended.err);
        before.check_again(cluster.host(1), "");
    }
}

#[test]
fn a_start_that_fails_after_a_crash_leaves_what_is_ours_to_the_next_one() {
    let test = "a_start_that_fails_after_a_crash_leaves_what_is_ours_to_the_next_one";
    if !can_run(test) {
        return;
    }
    let cluster = Cluster::hosts(1, 43);
    let before = Snapshot::of(cluster.host(1));
    let daemon =
        Process::spawn_ready("bumplessd", bumplessd(&cluster, 1, USUAL), PATIENCE).unwrap();
    let index = cluster.host(1).link("prp0").unwrap().index;
    daemon.kill().unwrap();
    let plain = bumplessd(&cluster, 1, USUAL);
    // Fails at the first LAN; at the threads, when everything is taken already and is given back.
    for (capability, adopts) in [("net_raw", true), ("sys_nice", false)] {
        let options = [format!("--bounding-set=-{capability}")];
        let Some(command) = without(&plain, &[&options[0]], &cluster) else {
            println!("SKIP: {test}: needs setpriv (Debian package util-linux)");
            return;
        };
        check_refusal(&refused(command), 3, &[]);
        let command = bumplessd(&cluster, 1, USUAL);
        let daemon = Process::spawn_ready("bumplessd", command, PATIENCE).unwrap();
        assert_eq!(cluster.host(1).link("prp0").unwrap().index == index, adopts, "{capability}");
        daemon.kill().unwrap();
    }
    let daemon =
        Process::spawn_ready("bumplessd", bumplessd(&cluster, 1, USUAL), PATIENCE).unwrap();
    assert_eq!(daemon.stop().unwrap().status.code(), Some(0));
    before.check_again(cluster.host(1), "");
}

#[test]
fn a_stream_that_runs_through_a_crash_and_a_restart_loses_only_what_was_sent_meanwhile() {
    let test =
        "a_stream_that_runs_through_a_crash_and_a_restart_loses_only_what_was_sent_meanwhile";
    if !can_run(test) {
        return;
    }
    for (seed, (host_port, _)) in (35..).zip(HOST_PORTS) {
        let mut cluster = Cluster::running(2, seed, host_port);
        let receiver = format!("recv udp --listen {}:4000 --stream 1 --announce", ip(2));
        let receiver = cluster.stream(2, &receiver);
        let sender = format!("send udp --to {}:4000 --stream 1 --rate 1000 --duration 3", ip(2));
        let sender = cluster.stream(1, &sender);
        sleep(Duration::from_secs(1));
        cluster.take_daemon(1).process.kill().unwrap();
        cluster.start_daemon(1, host_port);
        let sent: SendReport = report(sender);
        let received: LedgerReport = report(receiver);
        let stream = &received.streams[0];
        println!("CRASH {host_port}: {sent:?} {stream:?}");
        assert_eq!((stream.twice, stream.more, stream.corrupted), (0, 0, 0), "{stream:?}");
        // One gap, while nobody forwarded; nothing is missing elsewhere. A number is due each
        // millisecond, and the gap's ends are known to about one.
        let gap = stream.longest_gap_us / 1000 + 20;
        assert!(stream.lost <= gap, "{stream:?}\n{}", cluster.describe());
        assert!(stream.distinct > 500, "{stream:?}");
    }
}

#[test]
fn a_foreign_interface_of_that_name_is_refused_and_left_alone() {
    if !can_run("a_foreign_interface_of_that_name_is_refused_and_left_alone") {
        return;
    }
    let cluster = Cluster::hosts(1, 37);
    let mut links = cluster.host(1).links().unwrap();
    links.create_veth("prp0", "other", None).unwrap();
    let index = links.by_name("prp0").unwrap().index;
    // Not even the text that our own interfaces carry makes it ours.
    for alias in ["", "bumpless prp0"] {
        links.set_alias(index, alias).unwrap();
        let before = Snapshot::of(cluster.host(1));
        let ended = refused(bumplessd(&cluster, 1, USUAL));
        check_refusal(&ended, 2, &["name: ", "prp0 exists already", "choose another name"]);
        before.check_again(cluster.host(1), "");
    }
    links.delete(index).unwrap();
    // The inner end of a veth pair has a name too.
    links.create_veth("prp0.i", "other", None).unwrap();
    let before = Snapshot::of(cluster.host(1));
    let ended = refused(bumplessd(&cluster, 1, &config(&cluster, "host_port = \"veth\"")));
    check_refusal(&ended, 2, &["name: ", "prp0.i", "choose another name"]);
    before.check_again(cluster.host(1), "");
}

#[test]
fn interfaces_that_cannot_be_lans_are_refused_by_key_with_the_remedy() {
    if !can_run("interfaces_that_cannot_be_lans_are_refused_by_key_with_the_remedy") {
        return;
    }
    let cluster = Cluster::hosts(1, 38);
    let mut links = cluster.host(1).links().unwrap();
    links.create_bridge("br7", &BridgeOptions::default()).unwrap();
    links.create_veth("member", "outside", None).unwrap();
    let (bridge, member) =
        (links.by_name("br7").unwrap().index, links.by_name("member").unwrap().index);
    links.set_controller(member, bridge).unwrap();
    let before = Snapshot::of(cluster.host(1));
    for (a, b, words) in [
        ("eth7", "lan_b", ["lan_a", "no interface eth7"]),
        ("lan_a", "eth7", ["lan_b", "no interface eth7"]),
        ("lan_a", "lan_a", ["--lan-b", "same interface"]),
        ("lan_a", "member", ["enslaved to br7", "nomaster"]),
        ("lo", "lan_b", ["lan_a", "lo carries no Ethernet frames"]),
        ("lan_a", "prp0", ["--name", "same interface"]),
    ] {
        let line = format!("--name prp0 --protocol prp --lan-a {a} --lan-b {b}");
        check_refusal(&refused(bumplessd(&cluster, 1, &line)), 2, &words);
        before.check_again(cluster.host(1), "");
    }
}

#[test]
fn bad_arguments_end_with_2_and_name_the_argument() {
    if !can_run("bad_arguments_end_with_2_and_name_the_argument") {
        return;
    }
    let cluster = Cluster::hosts(1, 39);
    let before = Snapshot::of(cluster.host(1));
    let lans = "--lan-a lan_a --lan-b lan_b";
    for (line, word) in [
        (String::new(), "--name"),
        ("--name prp0".to_owned(), "--protocol"),
        (format!("--name prp0 --protocol hsr {lans}"), "hsr"),
        (format!("--name prp0 --protocol prp {lans} --interlink eth3"), "interlink"),
        (format!("--name prp0 --protocol ptp {lans}"), "--protocol"),
        (format!("--name a/b --protocol prp {lans}"), "--name"),
        (format!("--name prp0123456789abc --protocol prp {lans}"), "--name"),
        (format!("{USUAL} --mac 01:00:5e:00:00:01"), "--mac"),
        (format!("{USUAL} --receive-mode sometimes"), "--receive-mode"),
        (format!("{USUAL} --supervision-last-byte 256"), "--supervision-last-byte"),
        (format!("{USUAL} --colour"), "--colour"),
        ("--config /nowhere/bumpless.toml".to_owned(), "/nowhere/bumpless.toml"),
        (format!("{USUAL} --config /nowhere/bumpless.toml"), "--config"),
    ] {
        check_refusal(&refused(bumplessd(&cluster, 1, &line)), 2, &[word]);
        before.check_again(cluster.host(1), "");
    }
    let file = cluster.net.folder().join("bad.toml");
    fs::write(&file, "name = \"prp0\"\nprotocol = \"prp\"\nlan_a = \"lan_a\"\nlan_c = \"x\"\n")
        .unwrap();
    let line = format!("--config {}", file.display());
    check_refusal(&refused(bumplessd(&cluster, 1, &line)), 2, &["lan_c", "did you mean lan_"]);
}

#[test]
fn a_second_instance_is_refused_and_the_first_goes_on() {
    if !can_run("a_second_instance_is_refused_and_the_first_goes_on") {
        return;
    }
    let mut cluster = Cluster::running(2, 40, "");
    let before = Snapshot::of(cluster.host(1));
    let ended = refused(bumplessd(&cluster, 1, USUAL));
    assert!(matches!(ended.status.code(), Some(1 | 2)), "{ended:?}");
    assert!(ended.err.contains(&cluster.runtime_dir(1).display().to_string()), "{}", ended.err);
    before.check_again(cluster.host(1), "");

    // Elsewhere than in the same runtime folder it is stopped by what the first holds.
    for name in ["prp0", "prp1"] {
        let program = cluster.programs.path("bumplessd").unwrap();
        let mut command = cluster.host(1).command(program).unwrap();
        command.args(["--name", name, "--protocol", "prp", "--lan-a", "lan_a", "--lan-b", "lan_b"]);
        command.arg("--runtime-dir").arg(cluster.net.folder().join(format!("second-{name}")));
        let mut second = Process::spawn("a second daemon", command).unwrap();
        let status = second.wait_exit(Duration::from_secs(5));
        assert!(status.is_some(), "{name}: a second daemon runs on the same LANs");
        let ended = second.finish(PATIENCE).unwrap();
        check_refusal(&ended, 2, &[]);
        before.check_again(cluster.host(1), "");
    }
    let outcome = Traffic::start(&cluster, 2, &flows(&[(1, 2), (2, 1)]), 500, 0.5).finish();
    assert!(outcome.is_seamless(), "{}", outcome.complaints.join("\n"));
    assert_eq!(cluster.take_daemon(1).process.stop().unwrap().status.code(), Some(0));
}

/// A command that runs with some capabilities taken away; `None` where util-linux is missing.
fn without(command: &Command, options: &[&str], cluster: &Cluster) -> Option<Command> {
    if Command::new("setpriv").arg("--version").output().is_err() {
        return None;
    }
    let mut wrapped = cluster.host(1).command("setpriv").unwrap();
    wrapped.args(options).arg("--").arg(command.get_program()).args(command.get_args());
    Some(wrapped)
}

#[test]
fn a_missing_privilege_ends_with_3_and_the_remedy_and_leaves_no_trace() {
    let test = "a_missing_privilege_ends_with_3_and_the_remedy_and_leaves_no_trace";
    if !can_run(test) {
        return;
    }
    let cluster = Cluster::hosts(1, 41);
    let before = Snapshot::of(cluster.host(1));
    // Open to an ordinary user, as its own runtime folder would be.
    let open = cluster.runtime_dir(1);
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    fs::set_permissions(cluster.net.folder(), std::os::unix::fs::PermissionsExt::from_mode(0o711))
        .unwrap();
    let plain = bumplessd(&cluster, 1, USUAL);
    for (options, words) in [
        (&["--bounding-set=-all"][..], &["CAP_NET_ADMIN"][..]),
        (&["--reuid=65534", "--regid=65534", "--clear-groups"], &["CAP_NET_ADMIN", "root"]),
        (&["--bounding-set=-net_admin"], &["CAP_NET_ADMIN"]),
        (&["--bounding-set=-net_raw"], &["CAP_NET_RAW"]),
        (&["--bounding-set=-sys_nice"], &["CAP_SYS_NICE", "--allow-non-rt"]),
        (&["--bounding-set=-ipc_lock"], &["CAP_IPC_LOCK", "--allow-non-rt"]),
    ] {
        let Some(command) = without(&plain, options, &cluster) else {
            println!("SKIP: {test}: needs setpriv (Debian package util-linux)");
            return;
        };
        let ended = refused(command);
        println!("REFUSED {options:?}: {}", ended.err.trim_end());
        check_refusal(&ended, 3, words);
        before.check_again(cluster.host(1), "");
        let left = fs::read_dir(&open).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = left.filter(|name| name != "sequence").collect();
        assert!(left.is_empty(), "{options:?}: {left:?}");
    }
    // What only real time needs can be done without, and is told.
    let plain = bumplessd(&cluster, 1, &format!("{USUAL} --allow-non-rt"));
    let command = without(&plain, &["--bounding-set=-sys_nice,-ipc_lock"], &cluster).unwrap();
    let daemon = Process::spawn_ready("bumplessd", command, PATIENCE).unwrap();
    let status = support::status(&open);
    assert!(status.degraded.iter().any(|why| why.contains("CAP_SYS_NICE")), "{status:?}");
    assert!(status.degraded.iter().any(|why| why.contains("CAP_IPC_LOCK")), "{status:?}");
    assert!(status.threads.iter().all(|thread| thread.policy == "SCHED_OTHER"), "{status:?}");
    assert_eq!(daemon.stop().unwrap().status.code(), Some(0));
    before.check_again(cluster.host(1), "");
}

#[test]
fn the_documents_of_a_live_daemon_say_what_is() {
    if !can_run("the_documents_of_a_live_daemon_say_what_is") {
        return;
    }
    let cluster = Cluster::running(2, 42, "");
    let outcome = Traffic::start(&cluster, 2, &flows(&[(1, 2), (2, 1)]), 500, 0.5).finish();
    assert!(outcome.is_seamless(), "{}", outcome.complaints.join("\n"));
    let json = |arguments: &str| -> serde_json::Value {
        let ended = cluster.bumpless(1, &format!("{arguments} --json"));
        assert_eq!((ended.status.code(), ended.err.as_str()), (Some(0), ""), "{ended:?}");
        serde_json::from_str(&ended.out).unwrap()
    };
    let status = json("status");
    assert_eq!(status["name"], "prp0");
    assert_eq!(status["protocol"], "prp");
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["degraded"], serde_json::json!([]), "{status}");
    assert_eq!(status["nodes"], 1);
    assert!(status["uptime_ns"].as_u64().unwrap() > 0);
    for (port, interface) in [("a", "lan_a"), ("b", "lan_b")] {
        let port = &status["ports"][port];
        assert_eq!((&port["interface"], &port["link"]), (&interface.into(), &"up".into()));
        assert!(port["counters"]["rx_frames"].as_u64().unwrap() > 700, "{port}");
    }
    assert!(status["ports"]["interlink"].is_null());
    let lre = &status["threads"][0];
    assert_eq!(
        (&lre["name"], &lre["policy"], &lre["priority"]),
        (&"lre".into(), &"SCHED_FIFO".into(), &60.into())
    );
    assert_eq!(cluster.node(1).status().ports.a.link, Link::Up);

    // Three streams and requests, each once on each LAN and never twice to the host.
    let counters = json("counters");
    let counter = |name: &str| counters["counters"][name].as_u64().unwrap();
    assert_eq!(counters["counters"].as_object().unwrap().len(), 25);
    for name in ["lreCntTxA", "lreCntTxB", "lreCntRxA", "lreCntRxB", "lreCntTxC", "lreCntRxC"] {
        assert!(counter(name) >= 1_000, "{name}: {counters}");
    }
    assert_eq!(counter("lreCntNodes"), 1);
    let wrong = [
        "lreCntErrWrongLanA",
        "lreCntErrWrongLanB",
        "lreCntErrorsA",
        "lreCntErrorsB",
        "lreCntMultiA",
        "lreCntMultiB",
        "lreCntOwnRxA",
        "lreCntOwnRxB",
    ];
    for name in wrong {
        assert_eq!(counter(name), 0, "{name}: {counters}");
    }

    let nodes = json("nodes");
    let [node] = nodes.as_array().unwrap().as_slice() else { panic!("{nodes}") };
    assert_eq!((&node["mac"], &node["kind"]), (&mac(2).to_string().into(), &"danp".into()));
    assert_ne!(node["mac"], mac_b(2).to_string(), "both cards send with the address of LAN A");
    for key in ["last_seen_a_ns", "last_seen_b_ns"] {
        assert!(node[key].as_u64().unwrap() < 60_000_000_000, "{node}");
    }
    assert!(node["lan_a"]["rx_frames"].as_u64().unwrap() > 700, "{node}");

    let events = json("events");
    let kinds: Vec<_> =
        events["events"].as_array().unwrap().iter().map(|event| &event["kind"]).collect();
    assert_eq!(kinds, ["started", "node_appeared"], "{events}");
}
