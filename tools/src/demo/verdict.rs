//! What the figures say: whether the claim held, and whether they can say it.
//!
//! The claim is about PRP alone: nothing lost, nothing twice. The pair on a single LAN is the proof
//! that the fault was there: where it took no harm, the row says nothing.

use super::faults::{Act, Fault, Harm};
use super::report::{Bulk, Exchange, Pairs, Verdict};

/// A machine that kept a sender waiting for so long has measured itself, whatever the counts say.
pub(super) const LATE_NS_MAX: u64 = 1_000_000_000;
/// A number is remembered for 400 ms. A machine that keeps a cable's program waiting for half of it
/// makes copies late enough to be taken for new ones: what comes twice then is its doing.
pub(super) const WAIT_NS_MAX: u64 = 200_000_000;
/// A transfer that pauses for so long has stalled: TCP, left alone by the network, does not.
pub(super) const STALL_US_MAX: u64 = 1_000_000;

/// What the impairment of one cable did during a fault.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct CableWork {
    /// Frames that it lost, delayed, repeated or held back on purpose.
    pub(super) hit: u64,
    /// Frames that it lost without being told to: no room, no time, refused by the kernel.
    pub(super) unplanned: u64,
}

/// The three cables with impairments.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Cables<T> {
    /// Of the PRP pair.
    pub(super) lan_a: T,
    /// Of the PRP pair.
    pub(super) lan_b: T,
    /// Of the other pair.
    pub(super) single: T,
}

/// All that was measured during a fault.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Measured {
    /// The exchanges.
    pub(super) exchange: Pairs<Exchange>,
    /// The cables.
    pub(super) cables: Cables<CableWork>,
    /// The longest that a program of the demo waited for a processor.
    pub(super) longest_wait_ns: u64,
}

/// Judges one fault, with reasons where the claim did not hold.
pub(super) fn judge(fault: &Fault, measured: &Measured) -> (Verdict, Vec<String>) {
    let invalid = doubts(fault, measured);
    if !invalid.is_empty() {
        return (Verdict::Invalid, invalid);
    }
    let Exchange { lost, twice, corrupted, .. } = measured.exchange.prp;
    if lost == 0 && twice == 0 && corrupted == 0 {
        return (Verdict::Held, Vec::new());
    }
    let mut reason = format!("{lost} lost and {twice} twice on PRP");
    if corrupted > 0 {
        reason += &format!(", {corrupted} changed");
    }
    let late = measured.longest_wait_ns > WAIT_NS_MAX && lost == 0 && corrupted == 0;
    fail(reason, if late { measured.longest_wait_ns } else { 0 })
}

/// The claim failed, unless that was the machine's doing.
fn fail(reason: String, wait_ns: u64) -> (Verdict, Vec<String>) {
    if wait_ns <= WAIT_NS_MAX {
        return (Verdict::Failed, vec![reason]);
    }
    let ms = wait_ns / 1_000_000;
    let why = format!("{reason}, but a program waited {ms} ms for a processor");
    (Verdict::Invalid, vec![why])
}

/// Why the figures of a fault say nothing.
fn doubts(fault: &Fault, measured: &Measured) -> Vec<String> {
    let mut found = Vec::new();
    let exchange = &measured.exchange;
    for (name, pair) in [("PRP", &exchange.prp), ("single LAN", &exchange.single)] {
        if pair.sent == 0 {
            found.push(format!("{name}: nothing was sent"));
        }
        if pair.late_ns_max > LATE_NS_MAX {
            let ms = pair.late_ns_max / 1_000_000;
            found.push(format!("{name}: the machine stood still for {ms} ms; it is too busy"));
        }
    }
    let cables = &measured.cables;
    for (name, act, work) in [
        ("LAN A", &fault.lan_a, cables.lan_a),
        ("LAN B", &fault.lan_b, cables.lan_b),
        ("single LAN", &fault.single, cables.single),
    ] {
        if act.is_some() && work.hit == 0 {
            found.push(format!("{name}: the fault hit no frame"));
        }
        if *act != Some(Act::Unplug) && work.unplanned > 0 {
            let frames = work.unplanned;
            found.push(format!("{name}: {frames} frames were dropped by the machine itself"));
        }
    }
    let Exchange { lost, twice, .. } = exchange.single;
    match fault.harm {
        Harm::None if lost + twice > 0 => found.push(format!(
            "single LAN: {lost} lost and {twice} twice without a fault: the machine drops them"
        )),
        Harm::Loses if lost == 0 => found.push("single LAN: nothing was lost".to_owned()),
        Harm::Repeats if twice == 0 => found.push("single LAN: nothing came twice".to_owned()),
        _ => {}
    }
    found
}

/// Judges the transfer over PRP.
pub(super) fn judge_bulk(bulk: Option<&Bulk>, longest_wait_ns: u64) -> (Verdict, Vec<String>) {
    let reason = match bulk {
        // A sender that cannot write for a moment when it is told to end breaks off.
        None => return fail("it did not arrive".to_owned(), longest_wait_ns),
        Some(bulk) if !bulk.intact => "its content was changed".to_owned(),
        Some(bulk) if bulk.longest_stall_us >= STALL_US_MAX => {
            let reason = format!("it stalled for {} ms", bulk.longest_stall_us / 1_000);
            return fail(reason, longest_wait_ns);
        }
        Some(_) => return (Verdict::Held, Vec::new()),
    };
    (Verdict::Failed, vec![reason])
}

#[cfg(test)]
mod tests {
    use super::super::faults::list;
    use super::*;

    fn fault(key: &str) -> Fault {
        list(true).into_iter().find(|fault| fault.key == key).unwrap()
    }

    fn measured(key: &str) -> Measured {
        let fault = fault(key);
        let work = |act: &Option<Act>| CableWork { hit: act.is_some().into(), unplanned: 0 };
        let fine = Exchange { sent: 1_000, ..Exchange::default() };
        let harmed = Exchange { lost: 200, twice: 1, ..fine };
        Measured {
            exchange: Pairs {
                prp: fine,
                single: if fault.harm == Harm::None { fine } else { harmed },
            },
            cables: Cables {
                lan_a: work(&fault.lan_a),
                lan_b: work(&fault.lan_b),
                single: work(&fault.single),
            },
            longest_wait_ns: 0,
        }
    }

    #[test]
    fn the_claim_holds_when_prp_neither_loses_nor_repeats() {
        for fault in list(true) {
            assert_eq!(judge(&fault, &measured(fault.key)), (Verdict::Held, vec![]));
        }
    }

    #[test]
    fn one_lost_or_one_twice_or_one_changed_is_enough_to_fail() {
        for spoil in [
            |e: &mut Exchange| e.lost = 1,
            |e: &mut Exchange| e.twice = 1,
            |e: &mut Exchange| e.corrupted = 1,
        ] {
            let mut measured = measured("lan_a_loss");
            spoil(&mut measured.exchange.prp);
            let (verdict, reasons) = judge(&fault("lan_a_loss"), &measured);
            assert_eq!((verdict, reasons.len()), (Verdict::Failed, 1), "{reasons:?}");
        }
    }

    #[test]
    fn a_fault_that_did_nothing_proves_nothing() {
        for key in ["lan_a_loss", "lan_a_cut", "lan_b_unplugged", "lan_a_repeat"] {
            let mut measured = measured(key);
            (measured.exchange.single.lost, measured.exchange.single.twice) = (0, 0);
            assert_eq!(judge(&fault(key), &measured).0, Verdict::Invalid, "{key}");
        }
        let mut idle = measured("lan_a_delay");
        idle.cables.lan_a.hit = 0;
        assert_eq!(judge(&fault("lan_a_delay"), &idle).0, Verdict::Invalid);
    }

    #[test]
    fn a_machine_that_drops_frames_or_stands_still_is_no_measure() {
        let mut dropping = measured("lan_a_delay");
        dropping.cables.lan_b.unplanned = 1;
        dropping.exchange.prp.lost = 1;
        assert_eq!(judge(&fault("lan_a_delay"), &dropping).0, Verdict::Invalid);
        let mut busy = measured("lan_a_delay");
        busy.exchange.prp.late_ns_max = LATE_NS_MAX + 1;
        assert_eq!(judge(&fault("lan_a_delay"), &busy).0, Verdict::Invalid);
        let mut silent = measured("none");
        silent.exchange.prp.sent = 0;
        assert_eq!(judge(&fault("none"), &silent).0, Verdict::Invalid);
        let mut losing = measured("none");
        losing.exchange.single.lost = 1;
        assert_eq!(judge(&fault("none"), &losing).0, Verdict::Invalid);
        // Copies that the machine made too late; a loss has no such excuse.
        let mut starved = measured("lan_a_reorder");
        starved.longest_wait_ns = WAIT_NS_MAX + 1;
        starved.exchange.prp.twice = 48;
        assert_eq!(judge(&fault("lan_a_reorder"), &starved).0, Verdict::Invalid);
        starved.exchange.prp.lost = 1;
        assert_eq!(judge(&fault("lan_a_reorder"), &starved).0, Verdict::Failed);
        // What a pulled plug makes of frames that are on their way is not counted as a mishap.
        let mut unplugged = measured("lan_a_unplugged");
        unplugged.cables.lan_a.unplanned = 9;
        assert_eq!(judge(&fault("lan_a_unplugged"), &unplugged).0, Verdict::Held);
    }

    #[test]
    fn a_transfer_has_to_arrive_intact_and_without_a_stall() {
        let fine = Bulk { octets: 1, intact: true, longest_stall_us: STALL_US_MAX - 1 };
        let (calm, busy) = (0, WAIT_NS_MAX + 1);
        assert_eq!(judge_bulk(Some(&fine), busy).0, Verdict::Held);
        assert_eq!(judge_bulk(None, calm).0, Verdict::Failed);
        assert_eq!(judge_bulk(None, busy).0, Verdict::Invalid);
        assert_eq!(judge_bulk(Some(&Bulk { intact: false, ..fine }), busy).0, Verdict::Failed);
        let stalled = Bulk { longest_stall_us: STALL_US_MAX, ..fine };
        assert_eq!(judge_bulk(Some(&stalled), calm).0, Verdict::Failed);
        assert_eq!(judge_bulk(Some(&stalled), busy).0, Verdict::Invalid);
    }
}
