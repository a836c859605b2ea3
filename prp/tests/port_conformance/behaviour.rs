//! What every port must do.

use std::time::Duration;

use prp::port::{FRAME_OCTETS_MAX, Port, PortFault, TOO_SHORT};
use rt_core::os::freeze::{freeze_this_thread, frozen_allocations};

use crate::frames::{
    TAG_C, TAG_PRIORITY, TAG_S, TAGS_DOUBLE, Tags, UNTAGGED, frame, is_ours, transmit, wait_until,
};
use crate::pair::Pair;

const BUDGET: usize = 64;
/// A fault is told after at most this many idle calls.
const IDLE_CALLS_MAX: usize = 200;

/// Receives at `far` (or near) until `count` of our frames came; all that came.
fn collect<P: Pair>(pair: &mut P, at_far: bool, count: usize) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    wait_until(|| {
        pair.carry();
        let (near, far) = pair.ends();
        let keep = |frame: &[u8]| {
            if is_ours(frame) {
                frames.push(frame.to_vec());
            }
        };
        // Faults are other tests' concern.
        let _ = if at_far { far.receive(BUDGET, keep) } else { near.receive(BUDGET, keep) };
        frames.len() >= count
    });
    frames
}

/// Sends the frames from one end; they must come out at the other, equal and in order.
fn assert_carried<P: Pair>(pair: &mut P, from_near: bool, frames: &[Vec<u8>]) {
    for batch in frames.chunks(50) {
        let (near, far) = pair.ends();
        for frame in batch {
            if from_near { transmit(near, frame).unwrap() } else { transmit(far, frame).unwrap() }
        }
        let (near, far) = pair.ends();
        if from_near {
            near.flush().unwrap()
        } else {
            far.flush().unwrap()
        }
        let arrived = collect(pair, from_near, batch.len());
        assert_eq!(arrived.len(), batch.len(), "from near: {from_near}");
        for (arrived, sent) in arrived.iter().zip(batch) {
            assert_eq!(arrived, sent, "{} octets, from near: {from_near}", sent.len());
        }
    }
}

pub(crate) fn order_is_kept_both_ways<P: Pair>(pair: &mut P) {
    for from_near in [true, false] {
        let frames: Vec<_> = (0..3_000).map(|number| frame(number, 60, UNTAGGED)).collect();
        assert_carried(pair, from_near, &frames);
    }
}

pub(crate) fn frames_of_every_length_arrive_whole<P: Pair>(pair: &mut P) {
    let lengths = [60, 61, 64, 65, 127, 128, 590, 1_500, 1_513, 1_514, 1_518 + 6, 1_522 + 6];
    for from_near in [true, false] {
        let frames: Vec<_> =
            (0..).zip(lengths).map(|(n, octets)| frame(n, octets, UNTAGGED)).collect();
        assert_carried(pair, from_near, &frames);
    }
}

pub(crate) fn vlan_tags_arrive_in_place<P: Pair>(pair: &mut P) {
    let all: [Tags; 4] = [TAG_C, TAG_PRIORITY, TAG_S, TAGS_DOUBLE];
    for from_near in [true, false] {
        for tags in all {
            let full = 1_514 + 6 + tags.len();
            let frames: Vec<_> = (0..)
                .zip([64, 65, 1_000, full])
                .map(|(n, octets)| frame(n, octets, tags))
                .collect();
            assert_carried(pair, from_near, &frames);
        }
    }
}

pub(crate) fn a_budget_is_respected<P: Pair>(pair: &mut P) {
    for number in 0..10 {
        transmit(pair.near(), &frame(number, 60, UNTAGGED)).unwrap();
    }
    pair.near().flush().unwrap();
    pair.carry();
    let mut numbers = Vec::new();
    wait_until(|| {
        let mut handed_over = 0;
        let taken = pair.far().receive(3, |frame| {
            handed_over += 1;
            if is_ours(frame) {
                numbers.push(frame[17]);
            }
        });
        assert!(taken.unwrap() <= 3 && handed_over <= 3);
        assert_eq!(pair.far().receive(0, |_| panic!("a budget of nothing")), Ok(0));
        numbers.len() == 10
    });
    assert_eq!(numbers, (0..10).collect::<Vec<u8>>());
}

pub(crate) fn own_transmissions_are_not_received<P: Pair>(pair: &mut P) {
    let frames: Vec<_> = (0..20).map(|number| frame(number, 60, UNTAGGED)).collect();
    for from_near in [true, false] {
        assert_carried(pair, from_near, &frames);
        let (near, far) = pair.ends();
        let own = |frame: &[u8]| assert!(!is_ours(frame), "a port received its own frame");
        if from_near {
            near.receive(BUDGET, own).unwrap()
        } else {
            far.receive(BUDGET, own).unwrap()
        };
    }
}

pub(crate) fn overlong_and_short_frames_are_refused_unfilled<P: Pair>(pair: &mut P) {
    let near = pair.near();
    let filled = |_: &mut [u8]| panic!("a frame was filled that cannot be taken");
    assert_eq!(near.transmit(FRAME_OCTETS_MAX + 1, filled), Err(PortFault::TooLong));
    assert_eq!(near.transmit(usize::MAX, filled), Err(PortFault::TooLong));
    assert_eq!(near.transmit(13, filled), Err(TOO_SHORT));
    assert_eq!(near.transmit(0, filled), Err(TOO_SHORT));
    near.flush().unwrap();
    let before = near.statistics();
    assert_eq!((before.tx_frames, before.tx_dropped), (0, 4));
    assert_carried(pair, true, &[frame(1, 60, UNTAGGED)]);
}

/// Without a flush in between a port may say that it is full; then a flush makes room. What it
/// took, arrives.
pub(crate) fn frames_that_were_taken_arrive_however_many<P: Pair>(pair: &mut P) {
    let mut arrived = Vec::new();
    let (count, mut refused) = (1_500, 0);
    for number in 0..count {
        let octets = frame(number, 80, UNTAGGED);
        if let Err(fault) = transmit(pair.near(), &octets) {
            assert_eq!(fault, PortFault::Full);
            refused += 1;
            pair.near().flush().unwrap();
            let missing = number as usize - arrived.len();
            arrived.extend(collect(pair, true, missing));
            transmit(pair.near(), &octets).unwrap();
        }
    }
    pair.near().flush().unwrap();
    let missing = count as usize - arrived.len();
    arrived.extend(collect(pair, true, missing));
    let expected: Vec<_> = (0..count).map(|number| frame(number, 80, UNTAGGED)).collect();
    assert!(arrived == expected, "{} of {count} arrived", arrived.len());
    let statistics = pair.near().statistics();
    assert_eq!((statistics.tx_frames, statistics.tx_dropped), (u64::from(count), refused));
}

fn probe() -> Vec<u8> {
    frame(77_777, 90, UNTAGGED)
}

/// Takes the near interface up and waits until frames pass both ways; all that arrived at the far
/// end. The kernel notices a veth peer's carrier late and until then drops what is sent there, so
/// one frame is not enough to ask with.
fn come_up<P: Pair>(pair: &mut P) -> Vec<Vec<u8>> {
    pair.set_up(true);
    let _ = fault_by_receiving(pair.near());
    let _ = fault_by_receiving(pair.far());
    let mut arrived = Vec::new();
    let (mut seen_far, mut seen_near) = (false, false);
    let works = wait_until(|| {
        let (near, far) = pair.ends();
        let _ = transmit(near, &probe()).and_then(|()| near.flush());
        let _ = transmit(far, &probe()).and_then(|()| far.flush());
        pair.carry();
        let (near, far) = pair.ends();
        let _ = near.receive(BUDGET, |frame| seen_near |= frame == probe());
        let _ = far.receive(BUDGET, |frame| {
            seen_far |= frame == probe();
            arrived.extend(is_ours(frame).then(|| frame.to_vec()));
        });
        seen_far && seen_near
    });
    assert!(works, "frames pass again: near to far {seen_far}, far to near {seen_near}");
    // Probes that are still on their way.
    std::thread::sleep(Duration::from_millis(10));
    let _ = pair.near().receive(BUDGET, |_| ());
    arrived.extend(collect(pair, true, 0));
    arrived
}

/// What `receive` tells first, if it tells within the bound.
fn fault_by_receiving(port: &mut impl Port) -> Option<PortFault> {
    (0..IDLE_CALLS_MAX).find_map(|_| port.receive(BUDGET, |_| ()).err())
}

fn fault_by_sending(port: &mut impl Port) -> Option<PortFault> {
    let frame = frame(7, 60, UNTAGGED);
    transmit(port, &frame).and_then(|()| port.flush()).err()
}

pub(crate) fn an_interface_that_was_down_works_again<P: Pair>(pair: &mut P) {
    for _ in 0..3 {
        assert_carried(pair, true, &[frame(1, 60, UNTAGGED)]);
        assert_carried(pair, false, &[frame(2, 60, UNTAGGED)]);
        pair.set_up(false);
        if P::RECEIVE_TELLS_DOWN {
            assert_eq!(fault_by_receiving(pair.near()), Some(PortFault::Down));
        }
        assert_eq!(fault_by_receiving(pair.near()), None, "a fault is told once");
        let before = pair.near().statistics();
        assert_eq!(fault_by_sending(pair.near()), Some(PortFault::Down));
        assert_eq!(fault_by_sending(pair.near()), Some(PortFault::Down));
        let after = pair.near().statistics();
        assert_eq!(after.tx_dropped, before.tx_dropped + 2);
        assert_eq!(after.tx_frames, before.tx_frames);
        assert_eq!(pair.near().flush(), Ok(()), "nothing is left to send");
        come_up(pair);
    }
    assert_carried(pair, true, &[frame(3, 60, UNTAGGED)]);
    assert_carried(pair, false, &[frame(4, 60, UNTAGGED)]);
}

/// A frame that leaves after its twin was forgotten would be delivered a second time.
pub(crate) fn frames_sent_while_down_never_leave_later<P: Pair>(pair: &mut P) {
    pair.set_up(false);
    for batch in 0..40u32 {
        // The first batch is longer than any port's buffers.
        for number in 0..if batch == 0 { 600 } else { 50 } {
            // A port that knows already may refuse; whatever it says, nothing may come of it.
            let _ = transmit(pair.near(), &frame(batch * 1_000 + number, 60, UNTAGGED));
        }
        let _ = pair.near().flush();
    }
    let arrived = come_up(pair);
    assert!(arrived.iter().all(|frame| *frame == probe()), "an old frame arrived");
    let fresh: Vec<_> = (90_000..90_100).map(|number| frame(number, 60, UNTAGGED)).collect();
    assert_carried(pair, true, &fresh);
    assert!(collect(pair, true, 0).is_empty());
}

pub(crate) fn deletion_is_told_as_gone<P: Pair>(pair: &mut P) {
    assert_carried(pair, true, &[frame(1, 60, UNTAGGED)]);
    pair.delete();
    assert_eq!(fault_by_receiving(pair.near()), Some(PortFault::Gone));
    assert_eq!(fault_by_sending(pair.near()), Some(PortFault::Gone));
    assert_eq!(fault_by_sending(pair.near()), Some(PortFault::Gone));
}

pub(crate) fn statistics_add_up<P: Pair>(pair: &mut P) {
    let frames: Vec<_> = (0..500).map(|number| frame(number, 100, UNTAGGED)).collect();
    assert_carried(pair, true, &frames);
    assert_carried(pair, false, &frames[..123]);
    let (near, far) = (pair.near().statistics(), pair.far().statistics());
    assert_eq!((near.tx_frames, near.tx_dropped), (500, 0));
    assert_eq!((far.tx_frames, far.tx_dropped), (123, 0));
    assert_eq!((near.rx_frames, near.rx_dropped, near.rx_merged), (123, 0, 0));
    assert_eq!((far.rx_frames, far.rx_dropped, far.rx_merged), (500, 0, 0));
}

/// Everything that happens at run time, faults included, on a thread that may not allocate.
pub(crate) fn a_running_port_allocates_nothing<P: Pair>(pair: &mut P) {
    let frames: Vec<_> =
        (0..200).map(|number| frame(number, 60 + number as usize, TAG_C)).collect();
    assert_carried(pair, true, &frames[..1]);
    for up in [true, false] {
        if !up {
            pair.set_up(false);
        }
        let frozen = freeze_this_thread();
        let mut seen = 0;
        for batch in frames.chunks(20) {
            let (near, far) = pair.ends();
            for frame in batch {
                let _ = transmit(near, frame);
                let _ = transmit(far, frame);
            }
            let _ = near.flush();
            let _ = far.flush();
            pair.carry();
            let (near, far) = pair.ends();
            for _ in 0..70 {
                let _ = near.receive(BUDGET, |frame| seen += frame.len());
                let _ = far.receive(BUDGET, |frame| seen += frame.len());
            }
        }
        drop(frozen);
        assert!(seen > 0 || !up);
    }
    assert_eq!(frozen_allocations().count, 0, "{:?}", frozen_allocations());
}
