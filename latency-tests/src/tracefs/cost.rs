//! What a thread's work costs, by system call, with its own code between them.
//!
//! Recording costs too: each event adds to what it stands in. How much one adds is found by doing
//! the same work with the record and without it, and taken off again.

use std::collections::BTreeMap;

use super::event::Event;

/// What part of a thread's time went where.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Part {
    /// Its own code.
    Own,
    /// In the system call of this number.
    Call(u64),
}

/// Calls, time and events of a part.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Cost {
    /// Entries: for [`Part::Own`], how often it went on after a call.
    pub entries: u64,
    /// Ticks while the thread ran.
    pub ticks: u64,
    /// Events that were recorded meanwhile.
    pub events: u64,
}

/// Reads a record of `raw_syscalls/sys_enter`, `sys_exit` and `sched/sched_switch`: what the
/// threads `tids` did while they ran. On one processor only.
#[must_use]
pub fn costs(record: &str, tids: &[u32]) -> BTreeMap<Part, Cost> {
    let mut costs = BTreeMap::<Part, Cost>::new();
    let mut in_part = BTreeMap::<u32, Part>::new();
    // The thread that runs and since when, if it is one of ours.
    let mut running: Option<(u32, u64)> = None;
    for event in record.lines().filter_map(Event::parse) {
        if let Some((tid, since)) = running
            && let Some(part) = in_part.get(&tid)
        {
            let cost = costs.entry(*part).or_default();
            cost.ticks += event.at.saturating_sub(since);
            cost.events += 1;
        }
        let next = match event.name {
            "sched_switch" => event.number("next_pid").and_then(|tid| u32::try_from(tid).ok()),
            _ => Some(event.tid),
        };
        running = next.filter(|tid| tids.contains(tid)).map(|tid| (tid, event.at));
        let Some((tid, _)) = running else { continue };
        let part = match event.name {
            "sys_enter" => called(event.text).map(Part::Call),
            "sys_exit" => Some(Part::Own),
            _ => None,
        };
        if let Some(part) = part {
            costs.entry(part).or_default().entries += 1;
            in_part.insert(tid, part);
        }
    }
    costs
}

/// The number in `NR 271 (…)`.
fn called(text: &str) -> Option<u64> {
    text.strip_prefix("NR ")?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_to_the_call_in_which_a_thread_ran() {
        let record = "\
 lre-7 [000] d.. 100: sys_exit: NR 271 = 1
 lre-7 [000] d.. 130: sys_enter: NR 0 (f, 0, 0, 0, 0, 0)
 lre-7 [000] d.. 150: sched_wakeup: comm=x pid=9
 lre-7 [000] d.. 190: sys_exit: NR 0 = 98
 lre-7 [000] d.. 200: sys_enter: NR 271 (0, 0, 0, 0, 0, 0)
 lre-7 [000] d.. 220: sched_switch: prev_pid=7 prev_state=S ==> next_pid=9
 ping-9 [000] d.. 900: sys_enter: NR 44 (0, 0, 0, 0, 0, 0)
 ping-9 [000] d.. 910: sched_switch: prev_pid=9 prev_state=R ==> next_pid=7
 lre-7 [000] d.. 925: sys_exit: NR 271 = 1
";
        let costs = costs(record, &[7]);
        assert_eq!(costs[&Part::Own], Cost { entries: 3, ticks: 40, events: 2 });
        assert_eq!(costs[&Part::Call(0)], Cost { entries: 1, ticks: 60, events: 2 });
        assert_eq!(costs[&Part::Call(271)], Cost { entries: 1, ticks: 35, events: 2 });
        assert_eq!(costs.len(), 3);
    }
}
