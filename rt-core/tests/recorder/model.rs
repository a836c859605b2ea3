//! Any run against a model that is exact and slow.

use std::collections::BTreeMap;
use std::env;

use hdrhistogram::Histogram;
use proptest::collection::vec;
use proptest::prelude::*;
use rt_core::os::recorder::{
    Counts, Peak, Plan, RUN_LENGTH_MAX, Recorder, Recording, SLOTS_MAX, STALLS_MAX, Stall, View,
};
use rt_core::time::Duration;

use super::{BEGIN, FIRST, MS, US, at, plan};

/// One call of the recorder; cycles by number.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The next cycle that is due, late by this.
    Next(u64),
    /// So many cycles after that.
    Ahead(u64, u64),
    /// So many cycles before that.
    Back(u64, u64),
    Span(u64),
    Lost,
    LostBack(u64),
}

const HIGHEST: u64 = 50 * MS;

fn late() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => 0..20 * US,
        3 => 0..3 * MS,
        1 => (0..30u64).prop_map(|periods| periods * MS),
        1 => 0..200 * MS,
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => late().prop_map(Step::Next),
        1 => (1..40u64, late()).prop_map(|(cycles, late)| Step::Ahead(cycles, late)),
        2 => (1..40u64, late()).prop_map(|(cycles, late)| Step::Back(cycles, late)),
        3 => late().prop_map(Step::Span),
        1 => Just(Step::Lost),
        1 => (1..9u64).prop_map(Step::LostBack),
    ]
}

/// What happened, in full and in order.
#[derive(Default)]
struct Model {
    /// Cycle, lateness, and how many it swallowed, of each record.
    seen: Vec<(u64, u64, u64)>,
    /// How late each cycle was; none: lost.
    owed: BTreeMap<u64, Option<u64>>,
    peaks: Vec<Peak>,
    counts: Counts,
    due: u64,
    last: u64,
}

impl Model {
    fn skip(&mut self, cycle: u64) {
        self.counts.skipped += cycle.saturating_sub(self.due);
        self.counts.repeated += u64::from(cycle < self.due);
    }

    fn record(&mut self, cycle: u64, late: u64, waits: bool, cycles: u64) {
        self.skip(cycle);
        let mut swallowed = 0;
        let mut passed = cycle;
        while passed == cycle || (waits && (passed - cycle) * MS < late) {
            if passed >= self.due && (passed == cycle || passed < cycles) {
                self.owed.insert(passed, Some(late - (passed - cycle) * MS));
                swallowed += u64::from(passed != cycle);
            }
            passed += 1;
        }
        self.due = self.due.max(passed);
        self.counts.swallowed += swallowed;
        self.counts.late += u64::from(late > MS);
        self.seen.push((cycle, late, swallowed));
        self.last = self.last.max(cycle);
        if late > 0 {
            self.peaks.push(Peak { cycle: self.last, late_ns: late });
        }
    }

    fn lost(&mut self, cycle: u64) {
        self.skip(cycle);
        if cycle >= self.due {
            self.counts.lost += 1;
            self.owed.insert(cycle, None);
            self.due = cycle + 1;
            self.last = cycle;
        }
    }
}

fn at_ns(cycle: u64) -> u64 {
    FIRST - BEGIN + cycle * MS
}

fn assert_view(view: &View, samples: &[(u64, u64)]) {
    let mut expected = Histogram::<u64>::new_with_bounds(1, HIGHEST, 3).unwrap();
    samples.iter().for_each(|(_, late)| expected.record((*late).min(HIGHEST)).unwrap());
    assert_eq!(view.histogram, expected);
    assert_eq!(view.overflow, samples.iter().filter(|it| it.1 > HIGHEST).count() as u64);
    assert_eq!(view.min_ns, samples.iter().map(|it| it.1).min().unwrap_or(u64::MAX));
    let max = samples.iter().map(|it| it.1).max().unwrap_or(0);
    let first = samples.iter().find(|it| it.1 == max).map_or(0, |it| at_ns(it.0));
    assert_eq!((view.max_ns, view.max_at_ns), (max, first));
    assert_eq!(view.sum_ns, samples.iter().map(|it| u128::from(it.1)).sum());
}

fn assert_runs(recording: &Recording, owed: &BTreeMap<u64, Option<u64>>) {
    for rung in &recording.totals.run_lengths.rungs {
        let mut runs = [0; RUN_LENGTH_MAX + 1];
        let (mut longest, mut length, mut before) = (0, 0u64, None);
        let mut end = |length: &mut u64| {
            longest = longest.max(*length);
            if *length > 0 {
                runs[usize::try_from(*length - 1).unwrap().min(RUN_LENGTH_MAX)] += 1;
            }
            *length = 0;
        };
        for (cycle, late) in owed {
            let late = late.is_none_or(|late| late > rung.threshold_ns);
            let follows = before.is_some_and(|before: u64| before + 1 == *cycle);
            if !late || !follows {
                end(&mut length);
            }
            length += u64::from(late);
            before = Some(*cycle);
        }
        end(&mut length);
        assert_eq!((rung.longest, rung.runs), (longest, runs), "{} ns", rung.threshold_ns);
    }
}

fn assert_rest(recording: &Recording, model: &Model) {
    let mut stalls: Vec<Stall> = model
        .seen
        .iter()
        .map(|it| Stall { at_ns: at_ns(it.0), late_ns: it.1, swallowed: it.2 })
        .filter(|it| it.late_ns > 0)
        .collect();
    stalls.sort_by_key(|it| std::cmp::Reverse(it.late_ns));
    stalls.truncate(STALLS_MAX);
    assert_eq!(recording.stalls, stalls);

    let line = &recording.timeline;
    assert!(line.slots.len() <= SLOTS_MAX && line.slot_ns.is_multiple_of(MS));
    for slot in &line.slots {
        let inside = |cycle: u64| at_ns(cycle) / line.slot_ns * line.slot_ns == slot.at_ns;
        let seen = || model.seen.iter().filter(|it| inside(it.0)).map(|it| it.1);
        assert_eq!(slot.samples, seen().count() as u64);
        let extremes = (seen().min().unwrap_or(0), seen().max().unwrap_or(0));
        assert_eq!((slot.min_ns, slot.max_ns), extremes);
        let lost = model.owed.iter().filter(|it| it.1.is_none() && inside(*it.0)).count();
        assert_eq!(slot.lost, lost as u64);
    }
    let counted: u64 = line.slots.iter().map(|it| it.samples).sum();
    assert_eq!(counted, model.seen.len() as u64);

    // Never full here.
    assert_eq!(recording.exceedances.threshold_ns, 0);
    assert_eq!(recording.exceedances.peaks, model.peaks);
}

/// Cases to try; many more in the long form.
fn cases() -> u32 {
    if env::var_os("BUMPLESS_SOAK").is_some_and(|value| value == "1") { 10_000 } else { 200 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn any_run_is_what_an_exact_model_says(
        steps in vec(step(), 1..400),
        cycles in prop_oneof![Just(None), (1..800u64).prop_map(Some)],
    ) {
        let highest = Duration::from_nanos(HIGHEST);
        let mut recorder = Recorder::new(Plan { highest, cycles, ..plan() }).unwrap();
        let mut model = Model::default();
        let limit = cycles.unwrap_or(u64::MAX);
        for step in steps {
            let due = model.due;
            let planned = |cycle: u64| at(FIRST + cycle * MS);
            let (cycle, late) = match step {
                Step::Next(late) | Step::Span(late) => (due, late),
                Step::Ahead(cycles, late) if due > 0 => (due + cycles, late),
                Step::Ahead(_, late) => (due, late),
                Step::Back(cycles, late) => (due.saturating_sub(cycles), late),
                Step::Lost => (due, 0),
                Step::LostBack(cycles) => (due.saturating_sub(cycles), 0),
            };
            let span = Duration::from_nanos(late);
            match step {
                Step::Lost | Step::LostBack(_) => {
                    recorder.record_lost(planned(cycle));
                    model.lost(cycle);
                }
                Step::Span(_) => {
                    recorder.record_span(planned(cycle), span);
                    model.record(cycle, late, false, limit);
                }
                _ => {
                    let told = recorder.record(planned(cycle), planned(cycle) + span);
                    model.record(cycle, late, true, limit);
                    prop_assert_eq!(told.late, span);
                    prop_assert_eq!(told.swallowed, model.seen[model.seen.len() - 1].2);
                    let next = (cycle + 1..).find(|it| *it * MS >= cycle * MS + late).unwrap();
                    prop_assert_eq!(told.next, planned(next));
                }
            }
        }
        let recording = recorder.finish();
        assert_eq!(recording.totals.counts, model.counts);
        let seen: Vec<(u64, u64)> = model.seen.iter().map(|it| (it.0, it.1)).collect();
        assert_view(&recording.totals.seen, &seen);
        let owed: Vec<(u64, u64)> =
            model.owed.iter().filter_map(|it| it.1.map(|late| (*it.0, late))).collect();
        assert_view(&recording.totals.owed, &owed);
        assert_runs(&recording, &model.owed);
        assert_rest(&recording, &model);
    }
}
