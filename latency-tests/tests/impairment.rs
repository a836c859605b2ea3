//! The impairment program against real senders and receivers: three parties count, and agree.

mod wire_lab;

use std::io::{Read, Write};
use std::process::Command;

use latency_tests::impair::counters::Counters;
use latency_tests::os::clock;
use latency_tests::stream::account::{LedgerReport, StreamReport};
use latency_tests::stream::bulk::BulkReport;
use latency_tests::stream::exchange::PingReport;
use latency_tests::stream::send::SendReport;
use prp::os::link::Links;
use wire_lab::{IMPAIR, Lab, Program, RIGHT_IP, RIGHT_MAC, ask, can_run, control_path, wait_until};

/// Frames of one stream; enough that every probability used here shows.
const FRAMES: u64 = 4_000;

/// What the three parties counted of one raw stream from left to right.
struct Counted {
    sent: SendReport,
    lane: Counters,
    seen: LedgerReport,
}

impl Counted {
    fn stream(&self) -> &StreamReport {
        &self.seen.streams[0]
    }
}

/// Sends one raw stream through `impair` (with `extra` arguments) and counts. Again, a few times,
/// when the machine was so busy that the kernel dropped frames on the wires.
fn one_stream(seed: u64, impair: &str, extra: &str) -> Counted {
    const RUNS_MAX: usize = 5;
    (0..RUNS_MAX)
        .find_map(|_| try_one_stream(seed, impair, extra))
        .unwrap_or_else(|| panic!("{RUNS_MAX} runs, and the kernel dropped frames in each"))
}

fn try_one_stream(seed: u64, impair: &str, extra: &str) -> Option<Counted> {
    let lab = Lab::new();
    let wire = lab.impair(seed);
    wire.set("forward", impair);
    let tap = format!("capture --interface r0 --stream 1 --expect {FRAMES} --announce");
    let tap = Lab::stream(&lab.right, &tap);
    let send = format!(
        "send raw --interface l0 --destination {RIGHT_MAC} --rate 8000 --count {FRAMES} \
         --end-markers 0 {extra}"
    );
    let sent: SendReport = Lab::stream_report(&lab.left, &send);
    assert_eq!((sent.sent, sent.send_failed), (FRAMES, 0));
    // Behind this everything has been handed to the right host, whose tap has it in its buffer.
    let [lane, backward] = lab.all_came(&wire, FRAMES);
    assert_eq!(backward, Counters::default());
    assert_eq!((lane.kernel_dropped, lane.overflow, lane.send_failed), (0, 0, 0));
    let seen: LedgerReport = tap.stop().report();
    assert_eq!(seen.kernel_dropped, 0);
    let undisturbed = lab.undisturbed(&wire);
    assert_eq!(wire.stop()[0], lane);
    undisturbed.then_some(Counted { sent, lane, seen })
}

#[test]
fn a_clean_wire_changes_nothing() {
    if !can_run("a_clean_wire_changes_nothing") {
        return;
    }
    let counted = one_stream(1, "{}", "");
    let stream = counted.stream();
    assert_eq!((stream.received, stream.distinct), (FRAMES, FRAMES));
    assert_eq!((stream.lost, stream.surplus, stream.reordered, stream.corrupted), (0, 0, 0, 0));
    assert_eq!(counted.lane.forwarded, counted.sent.sent);
}

#[test]
fn lost_frames_are_exactly_those_that_did_not_come() {
    if !can_run("lost_frames_are_exactly_those_that_did_not_come") {
        return;
    }
    for impair in [
        r#"{"lose":{"probability":0.2}}"#,
        r#"{"lose":{"probability":0.8}}"#,
        r#"{"lose_bursts":{"enter":0.02,"leave":0.2}}"#,
    ] {
        let counted = one_stream(2, impair, "");
        assert!(counted.lane.lost > 0, "{impair}");
        assert_eq!(counted.stream().lost, counted.lane.lost, "{impair}");
        assert_eq!(counted.stream().surplus, 0, "{impair}");
    }
}

#[test]
fn a_delay_is_kept_by_every_frame_and_keeps_the_order() {
    if !can_run("a_delay_is_kept_by_every_frame_and_keeps_the_order") {
        return;
    }
    let counted = one_stream(3, r#"{"delay_us":50000}"#, "");
    let stream = counted.stream();
    assert_eq!((stream.lost, stream.surplus, stream.reordered), (0, 0, 0));
    assert_eq!(counted.lane.delayed, FRAMES);
    // The histogram rounds down by less than 0.1 %; a late frame is no fault, an early one is.
    assert!(stream.latency.min_ns >= 49_900_000, "{:?}", stream.latency);
}

#[test]
fn jitter_spreads_and_reorders_and_loses_nothing() {
    if !can_run("jitter_spreads_and_reorders_and_loses_nothing") {
        return;
    }
    let counted = one_stream(4, r#"{"delay_us":20000,"jitter_us":10000}"#, "");
    let stream = counted.stream();
    assert_eq!((stream.lost, stream.surplus), (0, 0));
    assert!(stream.reordered > FRAMES / 4, "{}", stream.reordered);
    assert!(stream.latency.min_ns >= 9_980_000, "{:?}", stream.latency);
    let kept = r#"{"delay_us":20000,"jitter_us":10000,"keep_order":true}"#;
    let counted = one_stream(4, kept, "");
    assert_eq!((counted.stream().lost, counted.stream().reordered), (0, 0));
}

#[test]
fn held_frames_are_overtaken() {
    if !can_run("held_frames_are_overtaken") {
        return;
    }
    let impair = r#"{"reorder":{"probability":0.25,"hold_us":20000}}"#;
    let counted = one_stream(5, impair, "");
    let stream = counted.stream();
    assert_eq!((stream.lost, stream.surplus), (0, 0));
    // Each held frame is overtaken by some of the about 160 that are sent within its hold, but for
    // those at the very end. Others may come late only by the machine's doing.
    assert!(stream.reordered <= counted.lane.reordered);
    assert!(stream.reordered >= counted.lane.reordered * 9 / 10, "{}", stream.reordered);
}

#[test]
fn repeated_frames_come_as_often_as_counted() {
    if !can_run("repeated_frames_come_as_often_as_counted") {
        return;
    }
    let counted = one_stream(6, r#"{"repeat":{"probability":0.3}}"#, "");
    assert!(counted.lane.repeated > FRAMES / 5);
    assert_eq!((counted.stream().twice, counted.stream().more), (counted.lane.repeated, 0));
    let five = r#"{"repeat":{"probability":1.0,"count":5,"spacing_us":300}}"#;
    let counted = one_stream(6, five, "");
    let stream = counted.stream();
    assert_eq!((stream.twice, stream.more, stream.surplus), (0, FRAMES, 5 * FRAMES));
    assert_eq!((stream.lost, counted.lane.repeated), (0, 5 * FRAMES));
}

#[test]
fn corrupted_frames_are_all_seen_and_no_others() {
    if !can_run("corrupted_frames_are_all_seen_and_no_others") {
        return;
    }
    for region in ["behind_addresses", "anywhere"] {
        let impair =
            format!(r#"{{"corrupt":{{"probability":0.05,"bits_max":3,"region":"{region}"}}}}"#);
        let counted = one_stream(7, &impair, "");
        let stream = counted.stream();
        let damaged = stream.corrupted + counted.seen.unreadable + counted.seen.foreign;
        assert!(counted.lane.corrupted > FRAMES / 40);
        assert_eq!(stream.surplus, 0);
        if region == "behind_addresses" {
            assert_eq!(damaged, counted.lane.corrupted);
            assert_eq!(stream.lost, counted.lane.corrupted);
        } else {
            // Flips that hit the addresses alone leave the payload intact.
            assert!(damaged < counted.lane.corrupted && damaged > counted.lane.corrupted / 2);
            assert_eq!(stream.lost, damaged);
        }
    }
}

#[test]
fn a_frame_with_a_deferred_checksum_is_corrupted_so_that_its_receiver_notices() {
    if !can_run("a_frame_with_a_deferred_checksum_is_corrupted_so_that_its_receiver_notices") {
        return;
    }
    let lab = Lab::new();
    let wire = lab.impair(8);
    // In the UDP payload nothing but the checksum tells the kernel. Single bits, so that no two
    // flips can cancel out in the sum.
    wire.set("forward", r#"{"corrupt":{"probability":0.2}}"#);
    let recv = format!("recv udp --listen {RIGHT_IP}:4000 --expect {FRAMES} --announce");
    let recv = Lab::stream(&lab.right, &recv);
    let send = format!(
        "send udp --to {RIGHT_IP}:4000 --rate 8000 --count {FRAMES} --size 1000 --end-markers 0"
    );
    let _: SendReport = Lab::stream_report(&lab.left, &send);
    let [lane, _] = lab.all_came(&wire, FRAMES);
    let seen: LedgerReport = recv.stop().report();
    let stream = &seen.streams[0];
    assert!(lane.corrupted > FRAMES / 10);
    assert_eq!((stream.corrupted, seen.unreadable, seen.foreign), (0, 0, 0));
    // A flip in a field that no check covers (identification aside: it is in the header's sum) or
    // in the link header's type loses the frame too; none may pass unnoticed but those in IP or
    // Ethernet fields that do not matter, of which a frame of 1,042 octets has few.
    let dropped = lane.wire_dropped + lab.dropped_before_middle()[0];
    assert!(stream.lost <= lane.corrupted + dropped);
    assert!(stream.lost * 100 >= lane.corrupted * 95, "{} of {}", stream.lost, lane.corrupted);
}

#[test]
fn vlan_tags_and_full_frames_pass_whole() {
    if !can_run("vlan_tags_and_full_frames_pass_whole") {
        return;
    }
    for (impair, size) in [("{}", 60), ("{}", 1_514), (r#"{"delay_us":3000}"#, 1_514)] {
        let extra = format!("--size {size} --vlan 100 --pcp 5");
        let counted = one_stream(9, impair, &extra);
        let stream = counted.stream();
        assert_eq!((stream.lost, stream.surplus, stream.corrupted), (0, 0, 0));
        assert_eq!((stream.tagged, stream.vlan_id, stream.vlan_pcp), (FRAMES, Some(100), Some(5)));
        let counted = one_stream(9, impair, &format!("--size {size}"));
        assert_eq!((counted.stream().lost, counted.stream().tagged), (0, 0));
    }
}

#[test]
fn a_seed_can_be_replayed() {
    if !can_run("a_seed_can_be_replayed") {
        return;
    }
    let impair = r#"{"lose":{"probability":0.3},"repeat":{"probability":0.3,"count":2},
        "corrupt":{"probability":0.1,"bits_max":4}}"#
        .replace('\n', " ");
    let run = |seed| {
        let counted = one_stream(seed, &impair, "");
        (counted.stream().arrivals_digest.clone(), counted.lane)
    };
    let first = run(10);
    assert_eq!(run(10), first);
    assert_ne!(run(11).0, first.0);
}

#[test]
fn a_cut_takes_everything_until_it_is_restored() {
    if !can_run("a_cut_takes_everything_until_it_is_restored") {
        return;
    }
    let lab = Lab::new();
    let wire = lab.impair(12);
    wire.set("both", r#"{"delay_us":5000}"#);
    let echo = Lab::stream(&lab.right, &format!("echo --listen {RIGHT_IP}:4000 --announce"));
    let ping = format!("ping --to {RIGHT_IP}:4000 --rate 1000 --progress-ms 50");
    let mut ping = Lab::stream(&lab.left, &ping);
    let mut arrived = || serde_json::from_str::<PingReport>(&ping.line()).unwrap().replies.distinct;
    let mut passes = |what: &str| {
        let before = arrived();
        wait_until(what, || (arrived() > before).then_some(()));
    };
    passes("replies over the whole wire");
    for direction in ["both", "forward", "backward"] {
        wire.tell(&format!(r#"{{"command":"cut","direction":"{direction}"}}"#));
        let [before, _] = wire.counters();
        wait_until("requests to be cut or answers", || {
            let [forward, backward] = wire.counters();
            (forward.cut + backward.cut > before.cut + 100).then_some(())
        });
        let [forward, backward] = wire.counters();
        if direction != "backward" {
            assert_eq!(forward.forwarded, before.forwarded, "{direction}");
            assert_eq!(forward.queued, 0, "{direction}");
        } else {
            assert!(forward.forwarded > before.forwarded, "one way is open");
            assert_eq!(backward.queued, 0, "{direction}");
        }
        wire.tell(&format!(r#"{{"command":"restore","direction":"{direction}"}}"#));
        passes("replies over the restored wire");
    }
    ping.terminate();
    let report: PingReport = ping.finish().report();
    let [forward, backward] = wire.drained();
    // Every lost exchange was cut somewhere; the end markers may have been too.
    let cut = forward.cut + backward.cut;
    assert!(report.replies.lost > 0 && report.replies.lost <= cut, "{report:?} {cut}");
    assert!(report.replies.lost + 5 >= cut, "{report:?} {cut}");
    assert_eq!(report.replies.surplus, 0);
    let echoed: LedgerReport = echo.stop().report();
    assert_eq!(echoed.streams[0].surplus, 0);
}

#[test]
fn a_pulled_cable_is_seen_by_both_hosts_and_plugged_in_again() {
    if !can_run("a_pulled_cable_is_seen_by_both_hosts_and_plugged_in_again") {
        return;
    }
    let lab = Lab::new();
    let wire = lab.impair(21);
    let plugged = || {
        [(&lab.left, "l0"), (&lab.right, "r0")].map(|(namespace, name)| {
            Links::open_in(namespace).unwrap().by_name(name).unwrap().running
        })
    };
    let _echo = Lab::stream(&lab.right, &format!("echo --listen {RIGHT_IP}:4000 --announce"));
    let ping = || -> u64 {
        let line = format!("ping --to {RIGHT_IP}:4000 --count 20 --rate 200 --grace-ms 50");
        let ended = Lab::stream(&lab.left, &line).finish();
        if ended.out.is_empty() { 0 } else { ended.report::<PingReport>().replies.distinct }
    };
    assert_eq!(plugged(), [true, true]);
    wire.tell(r#"{"command":"cut","carrier":true}"#);
    wait_until("no carrier", || (plugged() == [false, false]).then_some(()));
    assert_eq!(ping(), 0);
    wire.tell(r#"{"command":"restore"}"#);
    wait_until("carrier", || (plugged() == [true, true]).then_some(()));
    wait_until("replies over the mended wire", || (ping() > 0).then_some(()));
    // Whoever ends the program gets the cable back.
    wire.tell(r#"{"command":"cut","carrier":true}"#);
    wait_until("no carrier", || (plugged() == [false, false]).then_some(()));
    wire.stop();
    wait_until("carrier", || (plugged() == [true, true]).then_some(()));
}

#[test]
fn a_plain_tcp_transfer_passes_with_the_hosts_offloads_on() {
    if !can_run("a_plain_tcp_transfer_passes_with_the_hosts_offloads_on") {
        return;
    }
    let lab = Lab::new();
    let wire = lab.impair(13);
    for impair in [
        "{}",
        r#"{"delay_us":200,"jitter_us":100}"#,
        r#"{"lose":{"probability":0.01},"repeat":{"probability":0.05},
            "reorder":{"probability":0.02,"hold_us":500},"corrupt":{"probability":0.01}}"#,
    ] {
        wire.set("both", &impair.replace('\n', " "));
        let [before, _] = wire.counters();
        let recv =
            Lab::stream(&lab.right, &format!("bulk recv --listen {RIGHT_IP}:5000 --announce"));
        let send = format!("bulk send --to {RIGHT_IP}:5000 --octets 4000000");
        let sent = Lab::stream(&lab.left, &send).finish();
        assert!(sent.status.success(), "{impair}: {}", sent.out);
        let received: BulkReport = recv.finish().report();
        assert!(received.intact && received.octets == 4_000_000, "{impair}: {received:?}");
        if impair == "{}" {
            let [after, _] = wire.counters();
            // As frames of 1,448 octets these would be 2,763: the kernel's merged ones passed.
            assert!(after.received - before.received < 2_000, "{after:?}");
        }
    }
}

#[test]
fn the_control_socket_survives_its_clients() {
    if !can_run("the_control_socket_survives_its_clients") {
        return;
    }
    let lab = Lab::new();
    let wire = lab.impair(14);
    let mut client = wire.connect();
    for garbage in [&b"{"[..], b"\x00\xff\xfe", b"{\"command\":\"set\"}", b"[[[[[[", b"42"] {
        let reply = ask(&mut client, garbage);
        assert!(!reply.ok && reply.error.is_some(), "{garbage:?}");
    }
    let reply = ask(&mut client, br#"{"command":"cut","pair":7}"#);
    assert!(reply.error.is_some_and(|error| error.contains('7')));
    // One line of a megabyte: refused, and the connection closed.
    let mut long = wire.connect();
    let _ = long.write_all(&vec![b'x'; 1 << 20]);
    let mut answer = Vec::new();
    let _ = long.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(br#"{"ok":false"#));
    // Clients that vanish in the middle of a line, and one that asks and never reads.
    for _ in 0..50 {
        let mut vanishing = wire.connect();
        vanishing.write_all(br#"{"command":"count"#).unwrap();
    }
    let mut deaf = wire.connect();
    deaf.set_nonblocking(true).unwrap();
    while deaf.write(&b"{\"command\":\"counters\"}\n".repeat(100)).is_ok_and(|octets| octets > 0) {}
    // More clients than there is room for: the rest are closed, the first still served.
    let crowd: Vec<_> = (0..64).map(|_| wire.connect()).collect();
    assert!(ask(&mut client, br#"{"command":"counters"}"#).ok);
    drop(crowd);
    drop(deaf);
    wait_until("room for a new client", || {
        let mut stream = wire.connect();
        let line = b"{\"command\":\"counters\"}\n";
        stream.write_all(line).ok()?;
        let mut first = [0u8; 1];
        (stream.read(&mut first).ok()? == 1).then_some(())
    });
    assert!(ask(&mut client, br#"{"command":"quit"}"#).ok);
    assert!(wire.program.finish().status.success());
}

#[test]
fn a_signal_ends_it_in_the_midst_of_traffic() {
    if !can_run("a_signal_ends_it_in_the_midst_of_traffic") {
        return;
    }
    let lab = Lab::new();
    let wire = lab.impair(15);
    wire.set("both", r#"{"delay_us":30000000}"#);
    let send =
        format!("send raw --interface l0 --destination {RIGHT_MAC} --rate 20000 --duration 60");
    let sender = Lab::stream(&lab.left, &send);
    wait_until("frames to wait", || (wire.counters()[0].queued > 1_000).then_some(()));
    let [lane, _] = wire.stop();
    assert!(lane.queued > 1_000 && lane.forwarded == 0, "{lane:?}");
    drop(sender);
}

#[test]
fn an_interface_that_is_made_again_is_found_again() {
    if !can_run("an_interface_that_is_made_again_is_found_again") {
        return;
    }
    let lab = Lab::new();
    let wire = lab.impair(17);
    let ping = || -> u64 {
        let line = format!("ping --to {RIGHT_IP}:4000 --count 20 --rate 200 --grace-ms 50");
        let ended = Lab::stream(&lab.left, &line).finish();
        if ended.out.is_empty() { 0 } else { ended.report::<PingReport>().replies.distinct }
    };
    let _echo = Lab::stream(&lab.right, &format!("echo --listen {RIGHT_IP}:4000 --announce"));
    assert!(ping() > 0);
    lab.unwire_left();
    assert_eq!(ping(), 0);
    lab.wire_left();
    wait_until("replies over the new wire", || (ping() > 0).then_some(()));
    wire.stop();
}

#[test]
fn a_rate_limit_lets_pass_what_it_says_and_counts_the_rest() {
    if !can_run("a_rate_limit_lets_pass_what_it_says_and_counts_the_rest") {
        return;
    }
    let lab = Lab::new();
    let wire = lab.impair(18);
    // 8,000 frames of 100 octets a second are 6.4 Mbit/s.
    wire.set("forward", r#"{"rate":{"bits_per_second":1600000,"backlog_us_max":10000}}"#);
    let recv = Lab::stream(&lab.right, "recv raw --interface r0 --announce");
    let start = clock::now();
    let send = format!(
        "send raw --interface l0 --destination {RIGHT_MAC} --rate 8000 --count {FRAMES} --size 100 \
         --end-markers 0"
    );
    let _: SendReport = Lab::stream_report(&lab.left, &send);
    let [lane, _] = lab.all_came(&wire, FRAMES);
    let seen: LedgerReport = recv.stop().report();
    assert_eq!(seen.streams[0].received + lane.overflow + lane.wire_dropped, lane.received);
    // One frame in half a millisecond, and the 20 of the backlog.
    let slots = clock::now().since(start).as_micros() / 500;
    assert!(lane.forwarded > 20 && lane.forwarded <= slots + 22, "{lane:?} {slots}");
}

#[test]
fn what_cannot_work_is_refused_by_name() {
    if !can_run("what_cannot_work_is_refused_by_name") {
        return;
    }
    let lab = Lab::new();
    let control = control_path();
    let control = control.to_str().unwrap();
    for (arguments, code) in [
        (vec!["--between", "ma", "nowhere", "--control", control], 1),
        (vec!["--between", "ma", "ma", "--control", control], 2),
        (vec!["--between", "ma", "--control", control], 2),
        (vec!["--control", control], 2),
        (vec!["--between", "ma", "mb"], 2),
        (vec!["--between", "ma", "mb", "--control", "/nowhere/at/all"], 1),
    ] {
        let mut command = Command::new(IMPAIR);
        command.args(&arguments);
        let ended = Program::spawn(&lab.middle, command).finish();
        assert_eq!(ended.status.code(), Some(code), "{arguments:?}");
        assert_eq!(ended.out, "", "{arguments:?}");
    }
    let wire = lab.impair(19);
    let mut second = Command::new(IMPAIR);
    second.args(["--between", "ma", "mb", "--control", wire.control.to_str().unwrap()]);
    assert_eq!(Program::spawn(&lab.middle, second).finish().status.code(), Some(1));
    wire.stop();
}

#[test]
fn the_program_also_sends_commands() {
    if !can_run("the_program_also_sends_commands") {
        return;
    }
    let lab = Lab::new();
    let wire = lab.impair(20);
    let tell = |json: &str| {
        let mut command = Command::new(IMPAIR);
        command.args(["--control", wire.control.to_str().unwrap(), "--tell", json]);
        Program::spawn(&lab.left, command).finish()
    };
    assert_eq!(tell(r#"{"command":"cut"}"#).out, "{\"ok\":true}\n");
    assert!(!tell(r#"{"command":"uncut"}"#).status.success());
    let lanes = wire.tell(r#"{"command":"counters"}"#).lanes.unwrap();
    assert!(lanes.iter().all(|lane| lane.is_cut));
}
