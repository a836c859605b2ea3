//! The senders and receivers over a wire that does nothing, and over one that does.

mod wire_lab;

use std::os::unix::process::CommandExt;
use std::process::Command;

use latency_tests::stream::account::LedgerReport;
use latency_tests::stream::bulk::BulkReport;
use latency_tests::stream::exchange::PingReport;
use latency_tests::stream::send::SendReport;
use prp::os::link::Links;
use prp::os::netns::NetNs;
use wire_lab::{IMPAIR, LEFT_IP, Lab, RIGHT_IP, RIGHT_MAC, STREAM, can_run, octets_of};

#[test]
fn a_udp_stream_is_accounted_for_to_the_last_number() {
    if !can_run("a_udp_stream_is_accounted_for_to_the_last_number") {
        return;
    }
    let lab = Lab::new();
    let wire = lab.impair(1);
    let recv = format!("recv udp --listen {RIGHT_IP}:4000 --max-lost 0 --max-twice 0 --announce");
    let recv = Lab::stream(&lab.right, &recv);
    let send =
        format!("send udp --to {RIGHT_IP}:4000 --rate 2000 --count 1000 --size 1472 --stream 9");
    let sent: SendReport = Lab::stream_report(&lab.left, &send);
    assert_eq!((sent.numbers, sent.sent, sent.stream), (1_000, 1_000, 9));
    // The end marker ends the receiver.
    let ended = recv.finish();
    let report: LedgerReport = ended.report();
    let stream = &report.streams[0];
    assert!(stream.ended);
    assert_eq!((stream.stream, stream.expected), (9, 1_000));
    assert_eq!((stream.surplus, stream.corrupted), (0, 0));
    if lab.undisturbed(&wire) {
        assert_eq!((stream.received, stream.lost), (1_000, 0));
        assert_eq!(ended.status.code(), Some(0));
    }
    assert!(stream.latency.min_ns > 0 && stream.latency.max_ns >= stream.latency.p50_ns);
    // 999 gaps make up about half a second: the longest is no shorter than the mean.
    assert!(stream.longest_gap_us >= 400, "{}", stream.longest_gap_us);
    wire.stop();
}

#[test]
fn thresholds_decide_the_exit_status() {
    if !can_run("thresholds_decide_the_exit_status") {
        return;
    }
    let lab = Lab::new();
    let wire = lab.impair(2);
    for (impair, thresholds, code) in [
        (r#"{"lose":{"probability":0.1}}"#, "--max-lost 0", 1),
        (r#"{"lose":{"probability":0.1}}"#, "--max-lost 400", 0),
        (r#"{"repeat":{"probability":1.0}}"#, "--max-twice 300", 1),
        (r#"{"repeat":{"probability":1.0}}"#, "--max-twice 400", 0),
        (r#"{"lose":{"probability":1.0}}"#, "--max-lost 0", 1),
    ] {
        wire.set("forward", impair);
        let recv = format!(
            "recv udp --listen {RIGHT_IP}:4000 --announce --expect 400 --duration 0.5 {thresholds}"
        );
        let recv = Lab::stream(&lab.right, &recv);
        let send = format!("send udp --to {RIGHT_IP}:4000 --rate 4000 --count 400 --end-markers 0");
        let _: SendReport = Lab::stream_report(&lab.left, &send);
        wire.drained();
        assert_eq!(recv.finish().status.code(), Some(code), "{impair} {thresholds}");
    }
}

#[test]
fn streams_are_told_apart_and_two_witnesses_agree() {
    if !can_run("streams_are_told_apart_and_two_witnesses_agree") {
        return;
    }
    let lab = Lab::new();
    let wire = lab.impair(3);
    wire.set("forward", r#"{"repeat":{"probability":0.5},"lose":{"probability":0.1}}"#);
    let udp = format!(
        "recv udp --listen {RIGHT_IP}:4000 --listen {RIGHT_IP}:4001 --expect 500 --announce"
    );
    let udp = Lab::stream(&lab.right, &udp);
    let raw = Lab::stream(&lab.right, "recv raw --interface r0 --expect 500 --announce");
    let tap = Lab::stream(&lab.right, "capture --interface r0 --expect 500 --announce");
    let out = "capture --interface l0 --direction out --expect 500 --announce";
    let out = Lab::stream(&lab.left, out);
    let common = "--rate 2000 --count 500 --end-markers 0";
    let multicast = "01:00:5e:00:00:4d";
    let senders = [
        format!("send udp --to {RIGHT_IP}:4000 --stream 1 {common}"),
        format!("send udp --to {RIGHT_IP}:4001 --stream 2 {common}"),
        format!("send raw --interface l0 --destination {RIGHT_MAC} --stream 3 {common}"),
        format!("send raw --interface l0 --destination {multicast} --vlan 7 --stream 4 {common}"),
    ]
    .map(|line| Lab::stream(&lab.left, &line));
    for sender in senders {
        assert_eq!(sender.finish().report::<SendReport>().sent, 500);
    }
    let [lane, _] = lab.all_came(&wire, 2_000);
    let [udp, raw, tap, out] =
        [udp, raw, tap, out].map(|program| program.stop().report::<LedgerReport>());
    let ids = |report: &LedgerReport| -> Vec<u32> {
        report.streams.iter().map(|stream| stream.stream).collect()
    };
    assert_eq!((ids(&udp), ids(&raw)), (vec![1, 2], vec![3, 4]));
    assert_eq!((ids(&tap), ids(&out)), (vec![1, 2, 3, 4], vec![1, 2, 3, 4]));
    for stream in &out.streams {
        assert_eq!((stream.received, stream.lost, stream.surplus), (500, 0, 0));
    }
    for (stream, seen) in udp.streams.iter().chain(&raw.streams).zip(&tap.streams) {
        assert_eq!(stream.arrivals_digest, seen.arrivals_digest);
        assert_eq!((stream.lost, stream.twice), (seen.lost, seen.twice));
    }
    let sum = |value: fn(&latency_tests::stream::account::StreamReport) -> u64| -> u64 {
        tap.streams.iter().map(value).sum()
    };
    if lab.undisturbed(&wire) {
        assert_eq!((sum(|s| s.lost), sum(|s| s.twice)), (lane.lost, lane.repeated));
    }
    assert_eq!((raw.streams[1].tagged, raw.streams[1].vlan_id), (raw.streams[1].received, Some(7)));
}

#[test]
fn an_exchange_is_counted_at_both_ends() {
    if !can_run("an_exchange_is_counted_at_both_ends") {
        return;
    }
    let lab = Lab::new();
    let wire = lab.impair(4);
    wire.set("forward", r#"{"delay_us":2000,"lose":{"probability":0.2}}"#);
    wire.set("backward", r#"{"delay_us":3000,"repeat":{"probability":0.5}}"#);
    let echo = Lab::stream(&lab.right, &format!("echo --listen {RIGHT_IP}:4000 --announce"));
    let ping = format!("ping --to {RIGHT_IP}:4000 --count 500 --end-markers 0");
    let report: PingReport = Lab::stream_report(&lab.left, &ping);
    let echoed: LedgerReport = echo.stop().report();
    let [forward, backward] = wire.drained();
    let replies = &report.replies;
    assert_eq!((report.sent, replies.expected, report.foreign), (500, 500, 0));
    if lab.undisturbed(&wire) {
        assert_eq!((replies.lost, replies.twice), (forward.lost, backward.repeated));
    }
    assert_eq!(echoed.streams[0].distinct, replies.distinct);
    assert!(replies.latency.min_ns >= 4_990_000, "{:?}", replies.latency);
}

#[test]
fn a_receiver_survives_what_is_not_meant_for_it() {
    if !can_run("a_receiver_survives_what_is_not_meant_for_it") {
        return;
    }
    let lab = Lab::new();
    let wire = lab.impair(5);
    let recv = format!("recv udp --listen {RIGHT_IP}:4000 --announce");
    let recv = Lab::stream(&lab.right, &recv);
    let garbage = lab
        .left
        .run(|| {
            let socket = std::net::UdpSocket::bind((LEFT_IP, 0)).unwrap();
            let to = format!("{RIGHT_IP}:4000");
            for octets in 0..200usize {
                let mut datagram = vec![0xa5; octets];
                if octets % 2 == 0 && octets >= 4 {
                    datagram[..4].copy_from_slice(b"bmps");
                }
                socket.send_to(&datagram, &to).unwrap();
            }
            200
        })
        .unwrap();
    let send = format!("send udp --to {RIGHT_IP}:4000 --count 50");
    let _: SendReport = Lab::stream_report(&lab.left, &send);
    let report: LedgerReport = recv.finish().report();
    assert_eq!(report.foreign + report.unreadable, garbage);
    assert_eq!((report.streams.len(), report.streams[0].lost), (1, 0));
    wire.stop();
}

#[test]
fn a_bulk_transfer_is_intact_and_says_so_at_both_ends() {
    if !can_run("a_bulk_transfer_is_intact_and_says_so_at_both_ends") {
        return;
    }
    let lab = Lab::new();
    let _wire = lab.impair(6);
    let recv = Lab::stream(&lab.right, &format!("bulk recv --listen {RIGHT_IP}:5000 --announce"));
    let send = format!("bulk send --to {RIGHT_IP}:5000 --duration 0.3 --octets-per-second 3000000");
    let sent: BulkReport = Lab::stream_report(&lab.left, &send);
    let received: BulkReport = recv.finish().report();
    assert!(sent.intact && received.intact);
    assert_eq!(sent.octets, received.octets);
    // No more than the rate allows in that time, and one chunk.
    assert!(sent.octets > 0 && sent.octets <= 900_000 + 2 * 32_768, "{}", sent.octets);
}

#[test]
fn what_cannot_work_is_refused_by_name() {
    if !can_run("what_cannot_work_is_refused_by_name") {
        return;
    }
    let namespace = NetNs::create_with_loopback().unwrap();
    for (arguments, code) in [
        ("recv raw --interface nowhere", 1),
        ("send raw --interface nowhere --destination 02:00:00:00:00:01", 1),
        ("send raw --interface lo --destination 02:00:00:00:00", 2),
        ("send raw --interface lo --destination 02:00:00:00:00:01 --vlan 4095", 2),
        ("send udp --to 127.0.0.1:1 --size 31", 2),
        ("send udp --to nobody", 2),
        ("recv udp", 2),
        // No way there: nothing at all could be sent.
        ("send udp --to 192.0.2.1:1 --count 10 --end-markers 0", 1),
    ] {
        assert_eq!(
            Lab::stream(&namespace, arguments).finish().status.code(),
            Some(code),
            "{arguments}"
        );
    }
}

#[test]
fn a_missing_privilege_has_an_exit_status_of_its_own() {
    const NOBODY: u32 = 65_534;
    if !can_run("a_missing_privilege_has_an_exit_status_of_its_own") {
        return;
    }
    for (program, arguments) in [
        (STREAM, vec!["capture", "--interface", "lo", "--duration", "0.1"]),
        (IMPAIR, vec!["--between", "lo", "lo0", "--control", "/tmp/never-made"]),
    ] {
        let status = Command::new(program).args(arguments).uid(NOBODY).gid(NOBODY).status();
        match status {
            Ok(status) => assert_eq!(status.code(), Some(3), "{program}"),
            Err(error) => println!("SKIP: exit status 3 of {program}: {error} for another user"),
        }
    }
}

#[test]
fn groups_are_reached_and_joined_on_the_interface_that_is_named() {
    if !can_run("groups_are_reached_and_joined_on_the_interface_that_is_named") {
        return;
    }
    let lab = Lab::new();
    let wire = lab.impair(7);
    for (namespace, name, ip) in [(&lab.left, "l0", "fd77::1"), (&lab.right, "r0", "fd77::2")] {
        let off = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
        namespace.run(|| std::fs::write(off, "0")).unwrap().unwrap();
        let mut links = Links::open_in(namespace).unwrap();
        let index = links.by_name(name).unwrap().index;
        links.add_address(index, ip.parse().unwrap(), 64).unwrap();
    }
    let groups = ["239.7.7.7:4000", "[ff05::77]:4000"];
    let listen = groups.map(|group| format!("--listen {group}")).join(" ");
    let streams = "--stream 1 --stream 2 --announce";
    let recv = Lab::stream(&lab.right, &format!("recv udp {listen} --interface r0 {streams}"));
    for (group, id) in groups.iter().zip(1..) {
        let send = format!("send udp --to {group} --interface l0 --stream {id} --count 100");
        let sent: SendReport = Lab::stream_report(&lab.left, &send);
        assert_eq!(sent.send_failed, 0);
    }
    let report: LedgerReport = recv.finish().report();
    assert!(report.streams.iter().all(|stream| stream.distinct > 0 && stream.surplus == 0));
    if lab.undisturbed(&wire) {
        assert!(report.streams.iter().all(|stream| stream.lost == 0), "{report:?}");
    }
    let nowhere = Lab::stream(&lab.right, "recv udp --listen 239.7.7.7:4001");
    assert_eq!(nowhere.finish().status.code(), Some(2), "a group, but not where");
}

#[test]
fn several_streams_come_from_one_program() {
    if !can_run("several_streams_come_from_one_program") {
        return;
    }
    let lab = Lab::new();
    let wire = lab.impair(8);
    let file = std::env::temp_dir().join(format!("several-{}", std::process::id()));
    let raw = format!("raw --interface l0 --destination {RIGHT_MAC} --stream 2 --count 150");
    let udp = format!("udp --to {RIGHT_IP}:4000 --stream 1 --count 200");
    std::fs::write(&file, format!("{udp}\n\n{raw} --size 60\n")).unwrap();
    let recv = Lab::stream(&lab.right, "capture --interface r0 --stream 1 --stream 2 --announce");
    let sender = Lab::stream(&lab.left, &format!("several {}", file.display())).finish();
    let lines = sender.out.lines().map(|line| serde_json::from_str(line).unwrap());
    let sent: Vec<SendReport> = lines.collect();
    let told: Vec<_> = sent.iter().map(|report| (report.stream, report.numbers)).collect();
    assert_eq!(told, [(1, 200), (2, 150)]);
    let report: LedgerReport = recv.finish().report();
    let expected: Vec<_> = report.streams.iter().map(|stream| stream.expected).collect();
    assert_eq!(expected, [200, 150]);
    if lab.undisturbed(&wire) {
        assert!(report.streams.iter().all(|stream| stream.lost == 0), "{report:?}");
    }
    std::fs::write(&file, format!("{raw} --size 60\nudp --nonsense\n")).unwrap();
    let sender = Lab::stream(&lab.left, &format!("several {}", file.display())).finish();
    assert_eq!(sender.status.code(), Some(2));
    std::fs::remove_file(&file).unwrap();
}

/// A witness that shared code with the accused would be none.
#[test]
fn the_programs_do_not_link_the_code_under_test() {
    // Mangled names carry crate and module with their lengths in front.
    const MODULES: [&str; 6] =
        ["3prp2os", "3prp3lre", "3prp4port", "3prp4wire", "3prp5types", "5tools6daemon"];
    let linked = |program: &str| -> Vec<&str> {
        let octets = octets_of(program);
        // One pass over what may be a hundred megabytes, looking closer only at digits.
        let starts = octets.iter().enumerate().filter(|(_, octet)| matches!(octet, b'3' | b'5'));
        let found: Vec<&str> = starts
            .filter_map(|(at, _)| {
                MODULES.into_iter().find(|m| octets[at..].starts_with(m.as_bytes()))
            })
            .collect();
        found
    };
    // This test itself does link it, so that what is looked for can be found.
    let this = std::env::current_exe().unwrap();
    assert!(linked(this.to_str().unwrap()).contains(&"3prp2os"));
    for program in [IMPAIR, STREAM] {
        assert!(linked(program).is_empty(), "{program}: {:?}", linked(program));
    }
}
