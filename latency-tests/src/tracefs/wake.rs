//! How late a thread runs after it was woken: from the moment somebody wakes it to the moment it
//! has a processor. What `cyclictest` calls latency has this and the timer's own lateness in it.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::event::Event;

/// A minute: more than any wake-up takes.
const LATENESS_MAX_NS: u64 = 60_000_000_000;

/// The wake-ups of a thread.
#[derive(Clone, Debug)]
pub struct Lateness {
    histogram: Histogram<u64>,
}

impl Lateness {
    /// Reads the wake-ups of thread `tid` from a record of `sched_waking` and `sched_switch`.
    ///
    /// A wake-up counts if the thread slept: one that comes while it still runs costs nothing, and
    /// being preempted is no sleep.
    #[must_use]
    pub fn of(record: &str, tid: u32) -> Self {
        let tid = u64::from(tid);
        let mut histogram = empty();
        let (mut is_asleep, mut woken_at) = (false, None);
        for event in record.lines().filter_map(Event::parse) {
            match event.name {
                "sched_switch" if event.number("prev_pid") == Some(tid) => {
                    let state = event.word("prev_state").unwrap_or("R");
                    is_asleep = !state.starts_with('R');
                    woken_at = None;
                }
                "sched_waking" if is_asleep && event.number("pid") == Some(tid) => {
                    woken_at = woken_at.or(Some(event.at));
                }
                "sched_switch" if event.number("next_pid") == Some(tid) => {
                    if let Some(woken_at) = woken_at.take() {
                        histogram.saturating_record(event.at.saturating_sub(woken_at));
                    }
                    is_asleep = false;
                }
                _ => {}
            }
        }
        Self { histogram }
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The lateness that this share of them did not exceed, in nanoseconds.
    #[must_use]
    pub fn at_share_ns(&self, share: f64) -> u64 {
        self.histogram.value_at_quantile(share)
    }
}

/// How often thread `tid` gave up its processor in each state, as `sched_switch` has it: `S` waits
/// for something, `D` for a lock of the kernel's (on PREEMPT_RT its spin locks sleep), `R` was made
/// to.
#[must_use]
pub fn given_up(record: &str, tid: u32) -> BTreeMap<char, u64> {
    let mut states = BTreeMap::new();
    for event in record.lines().filter_map(Event::parse) {
        if event.name == "sched_switch"
            && event.number("prev_pid") == Some(u64::from(tid))
            && let Some(state) = event.word("prev_state").and_then(|state| state.chars().next())
        {
            *states.entry(state).or_default() += 1;
        }
    }
    states
}

fn empty() -> Histogram<u64> {
    let bounds = Histogram::new_with_bounds(1, LATENESS_MAX_NS, 3);
    bounds.unwrap_or_else(|_| unreachable!("these bounds are fine"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switch(at: &str, from: u32, state: &str, to: u32) -> String {
        format!(
            " x-{from} [000] d..2. {at}: sched_switch: prev_comm=x prev_pid={from} prev_prio=39 \
             prev_state={state} ==> next_comm=y next_pid={to} next_prio=39\n"
        )
    }

    fn waking(at: &str, tid: u32) -> String {
        format!(" z-9 [000] d..2. {at}: sched_waking: comm=y pid={tid} prio=39 target_cpu=000\n")
    }

    #[test]
    fn a_wake_up_lasts_from_the_first_call_to_the_processor() {
        let record = switch("1.000000", 7, "S", 0)
            + &waking("2.000000", 8)
            + &waking("2.000010", 7)
            + &waking("2.000020", 7)
            + &switch("2.000050", 0, "R", 7);
        let lateness = Lateness::of(&record, 7);
        assert_eq!(lateness.count(), 1);
        let longest = lateness.at_share_ns(1.0);
        assert!((40_000..40_100).contains(&longest), "{longest}");
    }

    #[test]
    fn who_did_not_sleep_was_not_late() {
        let record = waking("0.900000", 7)
            + &switch("1.000000", 7, "R+", 8)
            + &switch("1.500000", 8, "S", 7)
            + &waking("1.600000", 7)
            + &switch("1.700000", 7, "S", 0)
            + &switch("1.800000", 0, "R", 7);
        assert_eq!(Lateness::of(&record, 7).count(), 0);
        assert_eq!(given_up(&record, 7), BTreeMap::from([('R', 1), ('S', 1)]));
    }
}
