//! The impairment program at full speed, in a file of its own: it takes the whole machine and would
//! disturb the exact counts of others that run at the same time.

mod wire_lab;

use latency_tests::stream::account::LedgerReport;
use latency_tests::stream::send::SendReport;
use wire_lab::{Lab, RIGHT_MAC, can_run};

#[test]
fn at_full_speed_every_frame_is_accounted_for() {
    if !can_run("at_full_speed_every_frame_is_accounted_for") {
        return;
    }
    let lab = Lab::new();
    let wire = lab.impair(16);
    for impair in ["{}", r#"{"delay_us":2000,"jitter_us":1000,"repeat":{"probability":0.1}}"#] {
        wire.set("both", impair);
        let [before, _] = wire.counters();
        let dropped_before = lab.dropped_before_middle()[0];
        let recv = Lab::stream(&lab.right, "recv raw --interface r0 --announce");
        let send = format!(
            "send raw --interface l0 --destination {RIGHT_MAC} --rate 0 --count 200000 \
             --end-markers 0"
        );
        let sent: SendReport = Lab::stream_report(&lab.left, &send);
        let came = before.received + before.kernel_dropped + dropped_before;
        let [lane, _] = lab.all_came(&wire, came + sent.sent);
        let seen: LedgerReport = recv.stop().report();
        let handed_over = seen.streams[0].received + seen.kernel_dropped;
        let forwarded = lane.forwarded - before.forwarded;
        let dropped = lane.wire_dropped - before.wire_dropped;
        assert_eq!(handed_over + dropped, forwarded, "{impair}");
        assert_eq!(lane.overflow, 0, "{impair}");
    }
}
