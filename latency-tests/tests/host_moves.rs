//! The host interface in another network namespace, where a container may want it: it goes on
//! working there, is told to be out of sight, and goes with the daemon.
#![allow(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

mod support;

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use latency_tests::stream::account::LedgerReport;
use latency_tests::stream::send::SendReport;
use prp::os::link::{LinkError, LinkInfo, Links};
use prp::os::netns::{NetNs, command_in};
use support::snapshot::Snapshot;
use support::{Cluster, PATIENCE, can_run, ip, mac, report, wait_until};
use tools::netlab::Process;
use tools::report::Status;

const KINDS: [&str; 2] = ["tap", "veth"];

/// What is in another namespace by the name of the host interface.
fn find(far: &mut Links) -> Option<LinkInfo> {
    match far.by_name("prp0") {
        Ok(info) => Some(info),
        Err(LinkError::NoSuchInterface { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Moves the host interface of n1 away, and waits until the daemon says so.
fn move_away(cluster: &Cluster, to: &NetNs) -> Links {
    let mut links = cluster.host(1).links().unwrap();
    let index = links.by_name("prp0").unwrap().index;
    let before = cluster.node(1).event_count("host_interface_moved");
    links.move_to_ns(index, to).unwrap();
    wait_until("the event", || {
        (cluster.node(1).event_count("host_interface_moved") > before).then_some(())
    });
    Links::open_in(to).unwrap()
}

/// Makes it usable there, as whoever took it there would.
fn settle(far: &mut Links) {
    let index = far.by_name("prp0").unwrap().index;
    far.set_up(index, true).unwrap();
    far.add_address(index, ip(1).into(), 24).unwrap();
    far.set_neighbour(index, ip(2).into(), mac(2)).unwrap();
}

/// Streams both ways between n2 and the other namespace.
fn carry(cluster: &Cluster, there: &NetNs, act: impl FnOnce()) {
    let start = |is_there: bool, arguments: &str| {
        if !is_there {
            return cluster.stream(2, arguments);
        }
        let mut command = Command::new(cluster.programs.path("bumpless-stream").unwrap());
        command.args(arguments.split_whitespace());
        command_in(there, &mut command).unwrap();
        if arguments.starts_with("send") {
            Process::spawn("sender", command).unwrap()
        } else {
            Process::spawn_ready("receiver", command, PATIENCE).unwrap()
        }
    };
    let streams = [(1, true), (2, false)].map(|(to, is_there)| {
        let listen = format!("{}:4000", ip(to));
        let receive = format!("recv udp --listen {listen} --stream {to} --announce");
        let receiver = start(is_there, &receive);
        let send = format!(
            "send udp --to {listen} --stream {to} --rate 500 --size 200 --end-markers 20 \
             --duration 2"
        );
        (receiver, start(!is_there, &send))
    });
    act();
    for (receiver, sender) in streams {
        let sent: SendReport = report(sender);
        let got: LedgerReport = report(receiver);
        let stream = &got.streams[0];
        let odd = stream.lost + stream.twice + stream.more + stream.corrupted;
        assert!(odd == 0 && stream.expected == sent.sent, "{sent:?} {got:?}");
    }
}

/// Whether it is told what the daemon does not see there.
fn is_told(status: &Status) -> bool {
    status.degraded.iter().any(|why| why.contains("prp0") && why.contains("is not seen"))
}

#[test]
fn in_another_namespace_it_carries_and_goes_with_the_daemon() {
    if !can_run("in_another_namespace_it_carries_and_goes_with_the_daemon") {
        return;
    }
    for kind in KINDS {
        let mut cluster = Cluster::hosts(2, 81);
        let before = Snapshot::of(cluster.host(1));
        for n in [1, 2] {
            cluster.start_daemon(n, &format!("host_port = \"{kind}\""));
        }
        cluster.settle(2, 2);
        cluster.wait_for_voices();
        let there = tools::netlab::quiet_namespace().unwrap();
        let mut far = move_away(&cluster, &there);
        settle(&mut far);
        carry(&cluster, &there, || {
            // One LAN does, as ever.
            cluster.net.set_link("n1", "lan_a", false).unwrap();
            sleep(Duration::from_millis(500));
            cluster.net.set_link("n1", "lan_a", true).unwrap();
        });
        let status = cluster.node(1).status();
        assert!(status.host.elsewhere && status.host.carrier, "{status:?}");
        assert!(is_told(&status), "{status:?}");
        let text = cluster.bumpless(1, "status").out;
        assert!(text.contains("in another network namespace"), "{text}");
        for up in [false, true] {
            for lan in ["lan_a", "lan_b"] {
                cluster.net.set_link("n1", lan, up).unwrap();
            }
            wait_until("the carrier", || (find(&mut far).unwrap().running == up).then_some(()));
        }
        let ended = cluster.take_daemon(1).process.stop().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert_eq!(find(&mut far), None, "left there");
        before.check_again(cluster.host(1), &ended.err);
    }
}

#[test]
fn it_may_come_home_and_is_the_same_again() {
    if !can_run("it_may_come_home_and_is_the_same_again") {
        return;
    }
    for kind in KINDS {
        let mut cluster = Cluster::running(2, 82, &format!("host_port = \"{kind}\""));
        let there = tools::netlab::quiet_namespace().unwrap();
        let home = cluster.host(1).namespace();
        for round in 1..=2 {
            let mut far = move_away(&cluster, &there);
            let index = find(&mut far).unwrap().index;
            far.move_to_ns(index, home).unwrap();
            wait_until("the event", || {
                (cluster.node(1).event_count("host_interface_moved_back") == round).then_some(())
            });
        }
        let status = cluster.node(1).status();
        assert!(!status.host.elsewhere && !is_told(&status), "{status:?}");
        settle(&mut cluster.host(1).links().unwrap());
        carry(&cluster, home, || {});
        // After a crash it is adopted, as before.
        let index = cluster.host(1).link("prp0").unwrap().index;
        let crashed = cluster.take_daemon(1);
        crashed.process.kill().unwrap();
        cluster.start_daemon(1, &format!("host_port = \"{kind}\""));
        assert_eq!(cluster.host(1).link("prp0").unwrap().index, index);
        let ended = cluster.take_daemon(1).process.stop().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        let left = cluster.host(1).links().unwrap().all().unwrap();
        assert!(left.iter().all(|info| !info.name.starts_with("prp0")), "{left:?}");
    }
}

#[test]
fn a_crash_leaves_nothing_there_that_the_next_start_does_not_replace() {
    if !can_run("a_crash_leaves_nothing_there_that_the_next_start_does_not_replace") {
        return;
    }
    for kind in KINDS {
        let mut cluster = Cluster::plain_hosts(1);
        let before = Snapshot::of(cluster.host(1));
        let config = format!("host_port = \"{kind}\"");
        cluster.start_daemon(1, &config);
        let there = tools::netlab::quiet_namespace().unwrap();
        let mut far = move_away(&cluster, &there);
        let crashed = cluster.take_daemon(1);
        crashed.process.kill().unwrap();
        cluster.start_daemon(1, &config);
        wait_until("what was left there to go", || find(&mut far).is_none().then_some(()));
        assert!(cluster.host(1).link("prp0").is_ok());
        let ended = cluster.take_daemon(1).process.stop().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        before.check_again(cluster.host(1), &ended.err);
    }
}

#[test]
fn when_that_namespace_ends_the_interface_is_gone_and_the_daemon_says_so_and_ends() {
    let test = "when_that_namespace_ends_the_interface_is_gone_and_the_daemon_says_so_and_ends";
    if !can_run(test) {
        return;
    }
    for kind in KINDS {
        let mut cluster = Cluster::plain_hosts(1);
        let before = Snapshot::of(cluster.host(1));
        cluster.start_daemon(1, &format!("host_port = \"{kind}\""));
        let there = tools::netlab::quiet_namespace().unwrap();
        drop(move_away(&cluster, &there));
        drop(there);
        let ended = cluster.take_daemon(1).process.finish(PATIENCE).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert!(ended.err.contains("prp0 was deleted by somebody"), "{}", ended.err);
        before.check_again(cluster.host(1), &ended.err);
    }
}
