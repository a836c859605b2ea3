//! On the thread that records: no allocation and no page fault; and what a record costs.

use std::hint::black_box;
use std::thread;

use hdrhistogram::Histogram;
use nix::sys::resource::{UsageWho, getrusage};
use rt_core::os::clock::MonotonicClock;
use rt_core::os::freeze::{freeze_this_thread, frozen_allocations, is_installed};
use rt_core::os::memory;
use rt_core::os::recorder::{Counts, Recorder};
use rt_core::time::Duration;

use super::support::{assert_passed, in_child};
use super::{FIRST, MS, US, at, plan};

/// Everything a recorder does, many times: quiet cycles, stalls of all sizes, overflow, lost and
/// left out cycles, probes; the timeline folds, the threshold rises.
fn exercise(recorder: &mut Recorder, records: u64) {
    let mut planned = at(FIRST);
    for n in 0..records {
        let scattered = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17);
        let quiet = 2_000 + (scattered >> 50);
        let late = match n % 5_000 {
            1_000 => scattered >> 30,
            2_000 => 100_000 * MS,
            3_000 => 2_500 * US,
            _ => quiet,
        };
        match n % 1_000 {
            1 => recorder.record_lost(planned),
            2 => recorder.record_span(planned, Duration::from_nanos(late)),
            3 => planned += Duration::from_millis(7),
            _ => {
                let woken = planned + Duration::from_nanos(late);
                planned = black_box(recorder.record(planned, woken)).next;
                continue;
            }
        }
        planned += Duration::from_millis(1);
    }
}

#[test]
fn a_frozen_thread_records_without_allocations_and_page_faults() {
    const TEST: &str = "thread::a_frozen_thread_records_without_allocations_and_page_faults";
    if let Some(output) = in_child(TEST) {
        return assert_passed(&output);
    }
    assert!(is_installed());
    // Two runs: the second with memory locked, where it may be.
    for locked in [false, true] {
        if locked && let Err(error) = memory::lock_all() {
            println!("SKIP: {TEST}: root, for the part with locked memory: {error}");
            return;
        }
        let mut recorder = Recorder::new(plan()).unwrap();
        let thread = thread::spawn(move || {
            let figures = || {
                let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
                let faults = usage.minor_page_faults() + usage.major_page_faults();
                (faults, usage.voluntary_context_switches())
            };
            let frozen = freeze_this_thread();
            black_box(figures());
            let before = figures();
            exercise(&mut recorder, 2_000_000);
            let after = figures();
            drop(frozen);
            (after.0 - before.0, after.1 - before.1, recorder.finish())
        });
        let (faults, waits, recording) = thread.join().unwrap();
        assert_eq!(frozen_allocations().count, 0, "{:?}", frozen_allocations());
        // Untouched, the recorder would fault more than 200 times. Where nothing is locked, the
        // program's own code may come in on its first use, in a few pieces.
        let bound = if locked { 0 } else { 8 };
        println!("locked: {locked}, page faults: {faults}, waits: {waits}");
        assert!(faults <= bound, "{faults} page faults");
        assert_eq!(waits, 0);
        // It was put to work.
        let totals = &recording.totals;
        assert!(totals.counts.swallowed > 1_000_000 && totals.counts.lost == 2_000);
        assert!(totals.counts.skipped > 10_000 && totals.seen.overflow == 400);
        assert!(recording.timeline.slot_ns > 1_000 * MS);
        assert!(recording.exceedances.threshold_ns > 0);
    }
}

/// Nanoseconds per turn of the fastest of several rounds.
fn cost(mut turn: impl FnMut(u64)) -> f64 {
    const TURNS: u64 = 200_000;
    let mut round = |n: u64| {
        let begin = MonotonicClock::now();
        (n * TURNS..(n + 1) * TURNS).for_each(&mut turn);
        MonotonicClock::now().since(begin).as_nanos()
    };
    let fastest = (0..15).map(&mut round).min().unwrap();
    fastest as f64 / TURNS as f64
}

/// Nanoseconds that the most expensive of many records takes, a look at the clock included. The
/// same run several times; of each record the fastest counts, so that only what the record itself
/// has to do is left.
fn costliest(late: impl Fn(u64) -> u64) -> u64 {
    let mut fastest = vec![u64::MAX; 200_000];
    for _ in 0..8 {
        let mut recorder = Recorder::new(plan()).unwrap();
        let mut planned = at(FIRST);
        for (n, fastest) in (0..).zip(&mut fastest) {
            let woken = planned + Duration::from_nanos(late(n));
            let begin = MonotonicClock::now();
            planned = black_box(recorder.record(planned, woken)).next;
            *fastest = MonotonicClock::now().since(begin).as_nanos().min(*fastest);
        }
        assert!(recorder.finish().exceedances.threshold_ns > 0);
    }
    fastest.into_iter().max().unwrap()
}

#[test]
fn a_record_costs_a_small_multiple_of_its_histograms() {
    let late = |n: u64| 2_000 + (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50);
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000 * MS, 3).unwrap();
    let alone = cost(|n| histogram.saturating_record(black_box(late(n))));

    let mut quiet = Recorder::new(plan()).unwrap();
    let mut planned = at(FIRST);
    let whole = cost(|n| {
        let woken = planned + Duration::from_nanos(black_box(late(n)));
        planned = quiet.record(planned, woken).next;
    });
    // Every cycle swallows one.
    let mut stalling = Recorder::new(plan()).unwrap();
    let mut planned = at(FIRST);
    let stalls = cost(|n| {
        let woken = planned + Duration::from_nanos(black_box(MS + late(n)));
        planned = stalling.record(planned, woken).next;
    });
    // The longest that one record can be busy with swallowed cycles: a stall of 60 s.
    let mut stopped = Recorder::new(plan()).unwrap();
    let mut planned = at(FIRST);
    let longest = (0..20)
        .map(|_| {
            let begin = MonotonicClock::now();
            planned = stopped.record(planned, planned + Duration::from_secs(60)).next;
            MonotonicClock::now().since(begin).as_nanos()
        })
        .min()
        .unwrap();
    println!("Histogram::saturating_record: {alone:.1} ns");
    println!("Recorder::record, not late: {whole:.1} ns, {:.1} times that", whole / alone);
    println!("Recorder::record, swallows a cycle: {stalls:.1} ns, {:.1} times", stalls / alone);
    println!("Recorder::record of a stall of 60 s (59,999 cycles swallowed): {longest} ns");
    println!("The costliest of 200,000 records, none late: {} ns", costliest(late));
    // What was timed was done.
    assert_eq!(quiet.seen().samples(), histogram.len());
    assert_eq!(quiet.counts(), &Counts::default());
    assert_eq!(stalling.counts().swallowed, histogram.len());
    assert_eq!(stopped.counts().swallowed, 20 * 59_999);
    // Both work on two histograms and half a dozen tables: tens of times one is a defect.
    assert!(whole < 40.0 * alone, "{whole} against {alone}");
}
