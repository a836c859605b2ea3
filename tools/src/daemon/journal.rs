//! Events for people: kept for `bumpless events`, and written to stderr.

use std::collections::VecDeque;

use prp::lre::event::LreEvent;
use rt_core::limits::EVENT_HISTORY;
use rt_core::os::clock;
use rt_core::time::{Duration, Instant};

use super::logger::Logger;
use crate::report::event::Moment;
use crate::report::{DaemonEvent, Event, Severity};

/// Lines per second on stderr; the rest is kept, but not written.
const LINES_PER_SECOND: u32 = 50;

/// The events that are kept.
#[derive(Debug)]
pub struct Journal {
    name: String,
    started: Instant,
    events: VecDeque<Event>,
    next: u64,
    forgotten: u64,
    second: u64,
    lines: u32,
    logger: Logger,
}

impl Journal {
    /// An empty one for an instance that started then. Starts a thread that inherits the signal
    /// mask: block signals before.
    #[must_use]
    pub fn new(name: &str, started: Instant) -> Self {
        Self {
            name: name.to_owned(),
            started,
            events: VecDeque::with_capacity(EVENT_HISTORY),
            next: 1,
            forgotten: 0,
            second: 0,
            lines: 0,
            logger: Logger::start(),
        }
    }

    /// Time since the start.
    #[must_use]
    pub fn uptime(&self, now: Instant) -> Duration {
        now.since(self.started)
    }

    /// An event of the LRE that happened at `at`.
    pub fn lre(&mut self, at: Instant, now: Instant, event: &LreEvent) {
        let moment = self.moment(at, now);
        self.keep(Event::from_lre(moment, event));
    }

    /// An event of the daemon that happens now.
    pub fn daemon(&mut self, now: Instant, event: &DaemonEvent) {
        let moment = self.moment(now, now);
        self.keep(Event::from_daemon(moment, event));
    }

    /// What is kept, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.events.iter().cloned().collect()
    }

    /// How many are no longer kept.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The oldest event that is kept after the one with this sequence.
    #[must_use]
    pub fn after(&self, sequence: u64) -> Option<Event> {
        let at = self.events.partition_point(|event| event.sequence <= sequence);
        self.events.get(at).cloned()
    }

    fn moment(&mut self, at: Instant, now: Instant) -> Moment {
        let sequence = self.next;
        self.next += 1;
        let unix_time_ns = clock::realtime_ns().saturating_sub(now.since(at).as_nanos());
        Moment { sequence, uptime_ns: self.uptime(at).as_nanos(), unix_time_ns }
    }

    fn keep(&mut self, event: Event) {
        self.write(&event);
        if self.events.len() == EVENT_HISTORY {
            self.events.pop_front();
            self.forgotten += 1;
        }
        self.events.push_back(event);
    }

    /// A flood of events must not become a flood of lines: what is beyond the limit is counted.
    fn write(&mut self, event: &Event) {
        let second = event.uptime_ns / 1_000_000_000;
        if second != self.second {
            if self.lines > LINES_PER_SECOND {
                let left_out = self.lines - LINES_PER_SECOND;
                self.line("warning", &format!("{left_out} lines left out; see `bumpless events`"));
            }
            self.second = second;
            self.lines = 0;
        }
        self.lines += 1;
        if self.lines <= LINES_PER_SECOND {
            let severity = match event.severity {
                Severity::Info => "info",
                Severity::Warning => "warning",
                Severity::Alarm => "alarm",
            };
            self.line(severity, &event.text);
        }
    }

    /// A line on stderr; whether anybody reads it changes nothing.
    pub fn line(&self, severity: &str, text: &str) {
        self.logger.say(format!("bumplessd[{}]: {severity}: {text}", self.name));
    }

    /// The thread that writes the lines.
    #[must_use]
    pub fn logger_tid(&self) -> Option<i32> {
        self.logger.tid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_events_are_forgotten_and_counted() {
        let now = Instant::from_nanos(1);
        let mut journal = Journal::new("t", now);
        for _ in 0..EVENT_HISTORY + 3 {
            journal.lre(now, now, &LreEvent::NodeTableHasRoom);
        }
        assert_eq!(journal.events().len(), EVENT_HISTORY);
        assert_eq!(journal.forgotten(), 3);
        assert_eq!(journal.after(0).map(|event| event.sequence), Some(4));
        assert_eq!(journal.after(10).map(|event| event.sequence), Some(11));
        assert_eq!(journal.after(EVENT_HISTORY as u64 + 3), None);
    }
}
