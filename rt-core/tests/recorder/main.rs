//! The recorder: coordinated omission accounted for, against an exact and slow model; percentiles
//! against sorted samples; no allocation and no page fault while it records; what a record costs.

#![allow(clippy::unwrap_used, reason = "tests and their helpers")]

use std::iter::repeat_n;

use hdrhistogram::Histogram;
use rt_core::os::freeze::TrapAllocator;
use rt_core::os::recorder::{
    Bucket, Counts, MergeError, PEAKS_MAX, Peak, Plan, PlanError, Recorder, Recording, Rung, Stall,
    Totals, View,
};
use rt_core::time::{Duration, Instant};

mod model;
#[path = "../support/mod.rs"]
mod support;
mod thread;

#[global_allocator]
static ALLOCATOR: TrapAllocator = TrapAllocator::system();

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
/// The run's begin, and how long after it the first cycle is planned.
const BEGIN: u64 = 5_000 * MS;
const FIRST: u64 = BEGIN + 3 * MS;

fn at(ns: u64) -> Instant {
    Instant::from_nanos(ns)
}

fn plan() -> Plan {
    Plan::new(at(BEGIN), Duration::from_millis(1))
}

/// Runs cycles of 1 ms as a thread does; each is late as said.
fn run(plan: Plan, late_ns: impl IntoIterator<Item = u64>) -> Recording {
    let mut recorder = Recorder::new(plan).unwrap();
    let mut planned = at(FIRST);
    for late in late_ns {
        planned = recorder.record(planned, planned + Duration::from_nanos(late)).next;
    }
    recorder.finish()
}

/// The values of a view, each as often as it is there, in rising order.
fn values(view: &View) -> Vec<u64> {
    let one = |it: Bucket| repeat_n(it.lowest_ns, usize::try_from(it.count).unwrap());
    view.buckets().flat_map(one).collect()
}

/// The lowest value that the histogram takes for the same.
fn lowest(view: &View, ns: u64) -> u64 {
    view.histogram.lowest_equivalent(ns)
}

#[test]
fn an_answer_stands_for_as_many_as_it_is_said_to_however_late_it_is() {
    let mut recorder = Recorder::new(plan()).unwrap();
    let planned = |cycle: u64| at(FIRST + cycle * MS);
    let late = |ns| Duration::from_nanos(ns);
    // The answers to 3 and 4 are on their way when the one comes that stands for 0 to 2.
    recorder.record_overtaken(planned(0), late(5 * MS + 7), 2);
    recorder.record_span(planned(3), late(2 * MS + 9));
    recorder.record_overtaken(planned(4), late(US), 0);
    let totals = recorder.finish().totals;
    assert_eq!(totals.counts, Counts { late: 2, swallowed: 2, ..Counts::default() });
    assert_eq!((totals.seen.samples(), totals.owed.samples()), (3, 5));
    let owed_ns = [5 * MS + 7, 4 * MS + 7, 3 * MS + 7, 2 * MS + 9, US];
    assert_eq!(totals.owed.sum_ns, owed_ns.into_iter().map(u128::from).sum());
}

#[test]
fn a_stall_is_one_sample_seen_and_one_owed_for_each_cycle_it_swallowed() {
    let quiet = 10 * US;
    let late = [quiet; 100].into_iter().chain([20 * MS]).chain([quiet; 50]);
    let recording = run(plan(), late);
    let totals = &recording.totals;
    assert_eq!(totals.counts, Counts { late: 1, swallowed: 19, ..Counts::default() });

    let seen = values(&totals.seen);
    assert_eq!(seen.len(), 151);
    assert_eq!(seen[149..], [lowest(&totals.seen, quiet), lowest(&totals.seen, 20 * MS)]);
    let owed = values(&totals.owed);
    assert_eq!(owed.len(), 170);
    let expected: Vec<u64> = (1..=20).map(|k| lowest(&totals.owed, k * MS)).collect();
    assert_eq!(owed[150..], expected);
    assert_eq!(totals.owed.sum_ns, u128::from(150 * quiet + 210 * MS));

    // The HDR correction leaves out none here, for all were late by a period or more.
    let mut corrected = Histogram::<u64>::new_with_bounds(1, 60_000 * MS, 3).unwrap();
    (0..150).for_each(|_| corrected.record(quiet).unwrap());
    corrected.record_correct(20 * MS, MS).unwrap();
    assert_eq!(corrected, totals.owed.histogram);

    let stall = Stall { swallowed: 19, at_ns: FIRST - BEGIN + 100 * MS, late_ns: 20 * MS };
    assert_eq!(recording.stalls[0], stall);
    for view in [&totals.seen, &totals.owed] {
        assert_eq!((view.max_ns, view.max_at_ns), (20 * MS, stall.at_ns));
        assert_eq!(view.min_ns, quiet);
    }
    // 20, 19, … 2 are later than a period, and only 20 … 17 later than 16 periods.
    let rungs = &totals.run_lengths.rungs;
    assert_eq!((rungs[10].threshold_ns, rungs[10].longest, rungs[10].runs[18]), (MS, 19, 1));
    assert_eq!((rungs[14].threshold_ns, rungs[14].longest, rungs[14].runs[3]), (16 * MS, 4, 1));
    assert_eq!(rungs[15].longest, 0);
    assert_eq!(recording.exceedances.peaks[101].cycle, 120);
}

#[test]
fn a_cycle_that_is_due_when_the_thread_wakes_is_the_next_one() {
    let mut recorder = Recorder::new(plan()).unwrap();
    let cases = [(0, 1, 0), (MS, 1, 0), (MS + 1, 2, 1), (20 * MS, 20, 19), (20 * MS + 1, 21, 20)];
    let mut planned = at(FIRST);
    for (late, periods, swallowed) in cases {
        let cycle = recorder.record(planned, planned + Duration::from_nanos(late));
        assert_eq!(cycle.next, planned + Duration::from_millis(periods));
        assert_eq!((cycle.swallowed, cycle.late.as_nanos()), (swallowed, late));
        planned = cycle.next;
    }
    let counts = recorder.finish().totals.counts;
    assert_eq!(counts, Counts { late: 3, swallowed: 40, ..Counts::default() });
}

#[test]
fn a_stall_at_the_end_swallows_only_what_was_planned() {
    let late = [0, 0, 5_500 * US];
    let open = run(plan(), late).totals;
    assert_eq!((open.counts.swallowed, open.owed.samples()), (5, 8));
    assert_eq!(open.owed.min_ns, 0);
    let ended = run(Plan { cycles: Some(5), ..plan() }, late).totals;
    assert_eq!((ended.counts.swallowed, ended.owed.samples()), (2, 5));
    assert_eq!(ended.owed.sum_ns, u128::from((5_500 + 4_500 + 3_500) * US));
    // The last cycle of all, and one that was not even planned.
    let last = run(Plan { cycles: Some(3), ..plan() }, late).totals;
    assert_eq!((last.counts.swallowed, last.owed.samples()), (0, 3));
    let beyond = run(Plan { cycles: Some(2), ..plan() }, late).totals;
    assert_eq!((beyond.counts.swallowed, beyond.owed.samples()), (0, 3));
}

#[test]
fn overlapping_stalls_count_each_cycle_once() {
    // One that does not leave out what was swallowed, but catches up, and stalls again meanwhile.
    let mut recorder = Recorder::new(plan()).unwrap();
    let planned = |cycle: u64| at(FIRST + cycle * MS);
    assert_eq!(recorder.record(planned(0), planned(4)).swallowed, 3);
    assert_eq!(recorder.record(planned(1), planned(4)).swallowed, 0);
    // Cycles 4, 5 and 6 passed in this one; 2 and 3 had.
    assert_eq!(recorder.record(planned(2), planned(7)).swallowed, 3);
    assert_eq!(recorder.record(planned(3), planned(7)).swallowed, 0);
    assert_eq!(recorder.record(planned(7), planned(7)).swallowed, 0);
    let totals = recorder.finish().totals;
    let counts = Counts { late: 4, swallowed: 6, repeated: 3, ..Counts::default() };
    assert_eq!(totals.counts, counts);
    let sorted = |view: &View, ms: &[u64]| {
        assert_eq!(values(view), ms.iter().map(|it| lowest(view, it * MS)).collect::<Vec<_>>());
    };
    sorted(&totals.seen, &[0, 3, 4, 4, 5]);
    // 0: 4, 1: 3, 2: 2, 3: 1 | 4: 3, 5: 2, 6: 1 | 7: 0.
    sorted(&totals.owed, &[0, 1, 1, 2, 2, 3, 3, 4]);
}

#[test]
fn lost_cycles_are_later_than_anything_and_in_no_view() {
    let mut recorder = Recorder::new(plan()).unwrap();
    let planned = |cycle: u64| at(FIRST + cycle * MS);
    for cycle in 0..10 {
        match cycle {
            3..=5 => recorder.record_lost(planned(cycle)),
            // A span longer than a period swallows nothing: the next probe did not wait for it.
            7 => recorder.record_span(planned(cycle), Duration::from_micros(3_500)),
            _ => recorder.record_span(planned(cycle), Duration::from_micros(2)),
        }
    }
    recorder.record_lost(planned(9));
    let recording = recorder.finish();
    let totals = &recording.totals;
    let counts = Counts { lost: 3, late: 1, repeated: 1, ..Counts::default() };
    assert_eq!(totals.counts, counts);
    assert_eq!((totals.seen.samples(), totals.owed.samples()), (7, 7));
    assert_eq!(totals.run_lengths.rungs[15].runs[2], 1);
    assert_eq!(recording.timeline.slots.iter().map(|it| it.lost).sum::<u64>(), 3);
}

#[test]
fn what_cannot_be_recorded_is_refused_with_the_figures() {
    let with = |period, highest| Recorder::new(Plan { period, highest, ..plan() }).map(drop);
    let [zero, us, second] = [Duration::ZERO, Duration::from_micros(1), Duration::from_secs(1)];
    assert_eq!(with(us, us), Ok(()));
    assert_eq!(with(Duration::from_secs(3_600), Duration::from_secs(3_600)), Ok(()));
    assert_eq!(with(zero, second), Err(PlanError::Period { period_ns: 0, highest_ns: 1_000 * MS }));
    let long = with(second, us).unwrap_err().to_string();
    assert!(long.contains("1000000000 ns") && long.contains("1000 ns"), "{long}");
    let far = with(second, Duration::MAX).unwrap_err();
    assert_eq!(far, PlanError::Highest { highest_ns: u64::MAX });
}

#[test]
fn totals_of_threads_add_up_to_those_of_one() {
    let late = |n: u64| n * 7_919 % 50_000 + if n.is_multiple_of(97) { 3 * MS } else { 0 };
    let [mut one, other] = [0..5_000, 5_000..8_000].map(|it| run(plan(), it.map(late)).totals);
    let both = run(plan(), (0..8_000).map(late)).totals;
    one.merge(&other).unwrap();
    assert_eq!(one.counts, both.counts);
    for (sum, whole) in [(&one.seen, &both.seen), (&one.owed, &both.owed)] {
        assert_eq!(sum.histogram, whole.histogram);
        assert_eq!((sum.min_ns, sum.max_ns), (whole.min_ns, whole.max_ns));
        assert_eq!(sum.sum_ns, whole.sum_ns);
    }
    // A run may be cut in two where the one recording ends.
    let runs = |totals: &Totals| -> Vec<u64> {
        let weighed = |it: &Rung| (1..).zip(it.runs).map(|(n, count)| n * count).sum();
        totals.run_lengths.rungs.iter().map(weighed).collect()
    };
    assert_eq!(runs(&one)[8..], runs(&both)[8..]);

    let nothing = run(plan(), []).totals;
    let before = one.seen.histogram.clone();
    one.merge(&nothing).unwrap();
    assert_eq!(one.seen.histogram, before);
    let other = run(Plan { period: Duration::from_millis(2), ..plan() }, []).totals;
    assert!(matches!(one.merge(&other), Err(MergeError::Period { mine_ns: MS, .. })));
    let other = run(Plan { highest: Duration::from_secs(1), ..plan() }, []).totals;
    assert!(matches!(one.merge(&other), Err(MergeError::Bound { .. })));
}

#[test]
fn percentiles_are_those_of_the_sorted_samples() {
    let highest = 100 * MS;
    let random = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17) >> 20;
    let mut distributions: Vec<Vec<u64>> = vec![
        vec![777],
        vec![5, 4, 3],
        vec![123_457; 10_000],
        (0..10_000).map(|n| if n < 9_900 { 3_000 + n % 7 } else { 50 * MS + n }).collect(),
        (0..10_001).map(|n| if n == 77 { 50 * MS } else { 1 }).collect(),
        vec![0, 1, 2, 1_023, 1_024, 2_047, 2_048, 2_049, 4_095, 4_096, highest - 1, highest],
        vec![highest, highest + 1, highest + 2, u64::MAX / 2, 0],
        vec![highest * 3; 500],
        (0..50_000).map(|n| random(n) % (2 * highest)).collect(),
        (0..50_000).map(|n| 1u64 << (random(n) % 34)).collect(),
        (0..50_000).map(|n| 1_000_000_000 / (1 + random(n) % 1_000_000)).collect(),
    ];
    for samples in &mut distributions {
        let mut recorder =
            Recorder::new(Plan { highest: Duration::from_nanos(highest), ..plan() }).unwrap();
        for (cycle, late) in (0..).zip(&*samples) {
            recorder.record_span(at(FIRST + cycle * MS), Duration::from_nanos(*late));
        }
        samples.sort_unstable();
        let count = samples.len() as u64;
        let greatest = samples[samples.len() - 1];
        let totals = recorder.finish().totals;
        for view in [&totals.seen, &totals.owed] {
            let sum: u128 = samples.iter().map(|it| u128::from(*it)).sum();
            assert_eq!((view.samples(), view.sum_ns), (count, sum));
            assert_eq!((view.min_ns, view.max_ns), (samples[0], greatest));
            let above = samples.iter().filter(|it| **it > highest).count() as u64;
            assert_eq!(view.overflow, above);
            for parts in [0, 1, 10, 100, 250_000, 500_000, 900_000, 990_000, 999_000, 999_900]
                .into_iter()
                .chain(999_990..=1_000_001)
            {
                let rank = (count * parts.min(1_000_000)).div_ceil(1_000_000).max(1);
                let exact = samples[usize::try_from(rank - 1).unwrap()];
                let told = view.quantile_ns(parts, 1_000_000).unwrap();
                let exact = if exact > highest { greatest } else { exact };
                assert!(told >= exact && told - exact <= exact / 1_000, "{told} for {exact}");
            }
        }
    }
    let nothing = run(plan(), []).totals;
    assert_eq!((nothing.seen.quantile_ns(1, 2), nothing.seen.mean_ns()), (None, None));
}

#[test]
fn planned_instants_that_drift_keep_their_numbers() {
    let mut recorder = Recorder::new(plan()).unwrap();
    // The sender's clock is slow by a thousandth, with some jitter: ten periods after 10,000.
    for cycle in 0..10_000 {
        let planned = at(FIRST + cycle * (MS + US) + cycle * 7_919 % 300 * US);
        recorder.record_span(planned, Duration::from_nanos(1));
    }
    let recording = recorder.finish();
    assert_eq!(recording.totals.counts, Counts::default());
    assert!(recording.exceedances.peaks.iter().zip(0..).all(|(it, cycle)| it.cycle == cycle));
}

#[test]
fn the_tail_of_a_long_run_is_there_in_full() {
    let late = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17) >> 44;
    // A few distinct values: of those with the same value all are there or none.
    let coarse = |n: u64| late(n) / 1_000 * 1_000;
    for lateness in [&late as &dyn Fn(u64) -> u64, &coarse, &|n| 5_000 + late(n) % 64] {
        let mut recorder = Recorder::new(plan()).unwrap();
        for cycle in 0..1_000_000 {
            recorder.record_span(at(FIRST + cycle * MS), Duration::from_nanos(lateness(cycle)));
        }
        let kept = recorder.finish().exceedances;
        assert!(kept.threshold_ns > 0 && kept.peaks.len() < PEAKS_MAX);
        assert!(kept.peaks.len() > PEAKS_MAX / 5, "{}", kept.peaks.len());
        let above = (0..1_000_000).map(|cycle| Peak { cycle, late_ns: lateness(cycle) });
        assert!(above.filter(|it| it.late_ns > kept.threshold_ns).eq(kept.peaks.iter().copied()));
    }
}
