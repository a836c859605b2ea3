//! One path between two nodes, as whoever listens on it sees it.
//!
//! Two people on a bad line agree that each says "here" once a second. Whoever hears nothing for a
//! second and a half thinks: late. After three seconds he hangs up and tells the operator that the
//! line is dead; not that his friend is. That is all there is to a failure detector: a habit that
//! was agreed on, a clock, and patience. Patience is what it costs, in two coins: with little of it
//! lines are called dead that are not, with much of it one that is dead goes unnoticed for longer.
//!
//! # What it goes by, and what that costs
//!
//! | Parameter | More of it |
//! |---|---|
//! | `heartbeat` h | fewer frames and wake-ups; everything is noticed later in proportion |
//! | `misses` k, at least 1 | fewer than k losses in a row are borne; death is noticed h later |
//! | `jitter` J | beats may come unevenly by as much; everything is noticed J later |
//! | [`RECOVERY_BEATS`] n | a path that flaps stays dead; one that is mended is used later |
//!
//! A path is [`Verdict::Late`] when nothing new came for more than h + J: one beat is overdue, and
//! [`Verdict::Dead`] when nothing new came for more than k·h + J: k are. So a path that loses less
//! than k beats in a row, and delays them by amounts that differ by J at most (with what the sender
//! is late by), is never dead. At k = 1 there is no late between the two.
//!
//! # Gaps in time and gaps in numbers
//!
//! The sender numbers all its beats, with those by which it answers at once; their copies on all
//! paths have the same number. Between two turns of its schedule there may be none or many answers.
//! So a number says nothing about time, and silence says nothing about how many beats were lost:
//!
//! * *Verdicts* go by time alone. An answer does not move the sender's schedule, so after any beat
//!   the next one is sent within h, whatever it is for: h after each, something new is expected. A
//!   beat whose number is not the newest on this path is no news: it was sent before what came
//!   already, so it moves no expectation. (One that comes twice, or from a recording, neither.)
//! * *Losses* go by numbers alone: a number that did not come while [`BEAT_WINDOW`] newer ones
//!   became known is lost; before that it is missing; one that comes late was never lost. Where
//!   copies came on other paths, [`Detector::on_elsewhere`] tells of their numbers, so that a dead
//!   path's losses are counted while it is dead. `received + missing + lost` is what was sent since
//!   the first number that was heard, exactly and at each moment.
//!
//! # What it cannot tell
//!
//! * Slow or dead: silence that is longer than ever before is still silence. What was called dead
//!   may have been slow, and comes back.
//! * The sender or the path: one path that is dead is a hint about the path ([`Evidence::Hint`],
//!   E4): an alarm, and a reason not to be ready ([`Blocks::PATHS`]), never by itself a dead peer.
//!   All paths that are dead are not proof either: they share causes, and the listener is one. What
//!   a node does about a peer that says nothing is the role machine's, by promise and arbiter.
//! * One way or both: it hears one way. What became of the other one stands in the peer's beats
//!   ([`super::Health::paths`]), as long as they come.
//! * Its own lateness: a listener that was stalled sees silence where there was none. Whoever owns
//!   a detector takes what has arrived before it asks for a verdict.
//!
//! In the theory's words this is an unreliable failure detector: it is complete (who is dead is
//! found dead for good), and accurate in the end only if delays have a bound and J is above it,
//! which nothing here can know; so nothing that has to be safe may go by it.
//!
//! # Rejected
//!
//! Phi accrual, which fits a distribution to the intervals that were seen and says how unlikely the
//! silence is: here intervals are not drawn by chance but agreed on; what exceeds them is not the
//! tail of what was seen but a stall or a cut, about which a fitted tail says nothing; the time at
//! which it decides moves with the history, so no bound for a takeover could be given; and a
//! network that got bad slowly would teach it patience instead of raising an alarm.
//!
//! # Damping
//!
//! A path that is dead stays so until beats have come without one being overdue for as long as n of
//! them may take, n·(h + J). Without it a path that lets one beat of ten through would be alive ten
//! times a second, each with an alarm and its end, and a pair ready for a moment each time. It is a
//! time and not a count of beats, because a queue that empties itself after a stall delivers dozens
//! at once, and those prove nothing about the next one. A path that is late is not damped: nothing
//! is decided by it.

mod estimate;
mod window;

pub use estimate::{Chance, Record};

use super::beat::{PathReport, Verdict};
use super::blocks::Blocks;
#[cfg(doc)]
use super::evidence::Evidence;
#[cfg(doc)]
use crate::limits::BEAT_WINDOW;
use crate::limits::RECOVERY_BEATS;
use crate::time::{Duration, Instant};
use window::{Number, Window};

/// What became of a beat that came.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Arrival {
    /// The newest on this path: what is expected next counts from it.
    News,
    /// Older than what came before it, and here for the first time.
    OutOfOrder,
    /// It had come before.
    Repeated,
    /// Too old to be told from one that had come before. It was counted: as received, or as lost.
    TooOld,
}

/// What was seen of a path since its listener started, over all of the peer's sessions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Statistics {
    /// Beats that came, each once.
    pub received: u64,
    /// Beats that did not come while they were waited for.
    pub lost: u64,
    /// Beats of this session that are known to be and did not come yet.
    pub missing: u64,
    /// Beats that came after newer ones. They are among those received.
    pub out_of_order: u64,
    /// Beats that came again.
    pub repeated: u64,
    /// Beats that came when they had been counted as lost or received.
    pub too_old: u64,
    /// News that came more than J after it was expected, with no number lost before it that would
    /// explain it: the sender was late, or the path slow.
    pub tardy: u64,
    /// How long after it was expected the last news came; zero where it was not overdue.
    pub overdue: Duration,
    /// The longest that news was ever overdue.
    pub overdue_max: Duration,
    /// The longest time from one news to the next.
    pub gap_max: Duration,
    /// How much the delay changes from one news to the next, smoothed over some sixteen of them.
    pub jitter: Duration,
    /// The most that it ever changed.
    pub jitter_max: Duration,
    /// How many times the path was dead.
    pub deaths: u64,
}

impl Statistics {
    /// For an estimate: beats of which it is known what became of them, and those that were no use.
    #[must_use]
    pub const fn record(&self) -> Record {
        Record {
            sent: self.received.saturating_add(self.lost),
            failed: self.lost.saturating_add(self.tardy),
        }
    }
}

/// A path as its listener sees it. Real-time class of all functions: bounded by the window's size,
/// no allocation.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Detector {
    heartbeat: Duration,
    /// Nothing new for longer than this: late.
    late_after: Duration,
    /// Nothing new for longer than this: dead.
    dead_after: Duration,
    window: Window,
    newest: Option<Newest>,
    news_at: Option<Instant>,
    /// A path that was dead: since when nothing was overdue on it.
    in_time_since: Option<Instant>,
    /// [`Statistics::jitter`] in sixteenths of a nanosecond, so that it does not stick above zero.
    jitter_sixteenths: u64,
    seen: Statistics,
}

/// The newest beat of the session on this path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Newest {
    number: u64,
    sent_at: Instant,
    came_at: Instant,
}

impl Detector {
    /// A path on which nothing was heard yet. The peer sends a beat at least every `heartbeat`;
    /// `misses` of them are overdue on a dead path; delays differ by `jitter` at most, with what
    /// the sender is late by.
    #[must_use]
    pub fn new(heartbeat: Duration, misses: u32, jitter: Duration) -> Self {
        Self {
            heartbeat,
            late_after: heartbeat + jitter,
            dead_after: heartbeat.saturating_mul(u64::from(misses.max(1))) + jitter,
            window: Window::default(),
            newest: None,
            news_at: None,
            in_time_since: None,
            jitter_sixteenths: 0,
            seen: Statistics::default(),
        }
    }

    /// A copy of a beat of the peer's present session came on this path: its number, when it was
    /// sent by the peer's clock, and when it came.
    pub fn on_arrival(&mut self, number: u64, sent_at: Instant, now: Instant) -> Arrival {
        let what = self.window.take(number);
        match what {
            Number::New => count(&mut self.seen.received),
            Number::Repeated => count(&mut self.seen.repeated),
            Number::TooOld => count(&mut self.seen.too_old),
        }
        if self.newest.is_none_or(|newest| number > newest.number) {
            self.take_news(Newest { number, sent_at, came_at: now });
            return Arrival::News;
        }
        match what {
            Number::New => {
                count(&mut self.seen.out_of_order);
                Arrival::OutOfOrder
            }
            Number::Repeated => Arrival::Repeated,
            Number::TooOld => Arrival::TooOld,
        }
    }

    /// A beat of this number was sent in the peer's present session: a copy came on another path.
    /// It is expected here too, and is no sign of life of this path.
    pub fn on_elsewhere(&mut self, number: u64) {
        self.window.reach(number);
    }

    /// The peer began another session: its numbers begin anew, and so may its clock. What is known
    /// of the path stays.
    pub fn on_session(&mut self) {
        self.window.restart();
        self.newest = None;
    }

    /// How the path looks. As long as nothing comes, it only gets worse.
    #[must_use]
    pub fn verdict(&self, now: Instant) -> Verdict {
        let Some(news_at) = self.news_at else { return Verdict::Unknown };
        let silence = now.since(news_at);
        if self.in_time_since.is_some() || silence > self.dead_after {
            Verdict::Dead
        } else if silence > self.late_after {
            Verdict::Late
        } else {
            Verdict::Alive
        }
    }

    /// The next instant after `now` at which the verdict changes if nothing comes; none where it
    /// does not.
    #[must_use]
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let limit = match self.verdict(now) {
            Verdict::Unknown | Verdict::Dead => return None,
            Verdict::Alive => self.late_after,
            Verdict::Late => self.dead_after,
        };
        // Not at the limit but past it.
        let past = limit.as_nanos().checked_add(1)?;
        self.news_at?.as_nanos().checked_add(past).map(Instant::from_nanos)
    }

    /// What the peer is told of the path.
    #[must_use]
    pub fn report(&self, now: Instant) -> PathReport {
        PathReport {
            verdict: self.verdict(now),
            received: self.seen.received,
            lost: self.window.lost(),
        }
    }

    /// What was seen until now.
    #[must_use]
    pub fn statistics(&self, now: Instant) -> Statistics {
        let silence = self.news_at.map_or(Duration::ZERO, |at| now.since(at));
        let died = self.in_time_since.is_none() && silence > self.dead_after;
        Statistics {
            lost: self.window.lost(),
            missing: self.window.missing(),
            gap_max: self.seen.gap_max.max(silence),
            jitter: Duration::from_nanos(self.jitter_sixteenths / 16),
            deaths: self.seen.deaths.saturating_add(u64::from(died)),
            ..self.seen
        }
    }

    fn take_news(&mut self, news: Newest) {
        let now = news.came_at;
        let before = self.newest.replace(news);
        let Some(news_at) = self.news_at else {
            self.news_at = Some(now);
            return;
        };
        // An instant from before is a caller's defect; it must not move the path's past.
        self.news_at = Some(news_at.max(now));
        let silence = now.since(news_at);
        self.seen.gap_max = self.seen.gap_max.max(silence);
        self.seen.overdue = silence.saturating_sub(self.heartbeat);
        self.seen.overdue_max = self.seen.overdue_max.max(self.seen.overdue);
        if let Some(before) = before {
            let follows = before.number.checked_add(1) == Some(news.number);
            if follows && silence > self.late_after {
                count(&mut self.seen.tardy);
            }
            self.note_jitter(&before, &news);
        }
        self.damp(silence, now);
    }

    /// By how much the delay differs between two beats. The clocks' offset falls out of it, their
    /// rates' difference over a heartbeat is nothing beside it, and so it does not matter how far
    /// apart the two were sent.
    fn note_jitter(&mut self, before: &Newest, news: &Newest) {
        let delay =
            |of: &Newest| i128::from(of.came_at.as_nanos()) - i128::from(of.sent_at.as_nanos());
        let change = (delay(news) - delay(before)).unsigned_abs();
        let change = u64::try_from(change).unwrap_or(u64::MAX);
        self.seen.jitter_max = self.seen.jitter_max.max(Duration::from_nanos(change));
        let faded = self.jitter_sixteenths - self.jitter_sixteenths / 16;
        self.jitter_sixteenths = faded.saturating_add(change);
    }

    /// News came after so long: what that means for a path that is, or was, dead.
    fn damp(&mut self, silence: Duration, now: Instant) {
        if silence > self.dead_after {
            if self.in_time_since.is_none() {
                count(&mut self.seen.deaths);
            }
            self.in_time_since = Some(now);
            return;
        }
        let Some(since) = self.in_time_since else { return };
        if silence > self.late_after {
            self.in_time_since = Some(now);
        } else if now.since(since) >= self.late_after.saturating_mul(RECOVERY_BEATS) {
            self.in_time_since = None;
        }
    }
}

/// What stands in the way when `needed` paths have to be there: one that is late is there.
#[must_use]
pub fn blocks(verdicts: &[Verdict], needed: usize) -> Blocks {
    let there = verdicts.iter().filter(|it| matches!(it, Verdict::Alive | Verdict::Late)).count();
    Blocks::NONE.with(Blocks::PATHS, there < needed)
}

const fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

#[cfg(test)]
mod tests;
