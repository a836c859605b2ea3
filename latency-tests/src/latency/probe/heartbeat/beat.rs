//! The thread that beats: it sends at each planned instant on each LAN, takes the answers between,
//! and has one wait for both.
//!
//! A thread for each direction was not better: the two would have to share what is on its way, and
//! a node's own heartbeat thread sends and listens alike.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::poll::{PollFd, PollFlags};
use rt_core::os::clock::MonotonicClock;
use rt_core::os::recorder::{Recorder, Recording};
use rt_core::probe_frame::{Kind, ProbeFrame};
use rt_core::time::{Duration, Instant};

use super::super::flights::{Flight, Flights, Standing};
use super::super::usage::Usage;
use super::super::{RUN_UP, steering};
use super::port::{self, BUDGET, Buffer, Look};
use crate::os::stamped::StampedSocket;
use crate::os::wait::wait;

/// Most LANs.
pub(super) const LANS_MAX: usize = 2;
/// The longest wait, where nothing is planned.
const LONGEST: Duration = Duration::from_secs(1);

/// A LAN that is beaten on.
#[derive(Debug)]
pub(super) struct Lan {
    pub(super) socket: StampedSocket,
    pub(super) own: [u8; 6],
    pub(super) peer: [u8; 6],
    /// From a beat's leaving to its answer.
    pub(super) round_trips: Recorder,
    /// How long the peer had it.
    pub(super) turns: Recorder,
    /// Answers that came again.
    pub(super) repeated: u64,
}

/// Events on a LAN beside the samples. Written by the thread that beats, read by whoever tells
/// them.
#[derive(Default, Debug)]
pub(super) struct Told {
    /// Answers that came when they had been given up.
    too_late: AtomicU64,
    /// Frames of the probe that were not well-formed.
    malformed: AtomicU64,
    /// Well-formed frames of somebody else.
    foreign: AtomicU64,
    /// Beats that the kernel did not take.
    not_sent: AtomicU64,
    /// Frames that the kernel dropped before they were looked at.
    dropped: AtomicU64,
}

impl Told {
    /// What happened, as texts; nothing about what did not.
    pub(super) fn texts(&self, letter: char) -> impl Iterator<Item = (String, String)> {
        let Self { too_late, malformed, foreign, not_sent, dropped } = self;
        let all = [
            ("answers after the wait", too_late),
            ("malformed frames", malformed),
            ("frames of others", foreign),
            ("beats not sent", not_sent),
            ("frames dropped by the kernel", dropped),
        ];
        let counts = all.map(|(what, count)| (what, count.load(Ordering::Relaxed)));
        let some = counts.into_iter().filter(|(_, count)| *count > 0);
        some.map(move |(what, count)| (format!("lan {letter}: {what}"), count.to_string()))
    }
}

/// One more. Real-time class: one memory access.
fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What the thread and who waits for it share, by LAN beside how far it has come. A beat is lost
/// that is lost on some LAN.
pub(super) type Steering = steering::Steering<[Told; LANS_MAX]>;

/// What has come of a beat on a LAN.
#[derive(Clone, Copy, Debug)]
pub(super) struct OnLan {
    sent: Instant,
    /// How long it took, and how long the peer had it.
    answer: Option<(Duration, Option<u64>)>,
}

/// What has come of a beat.
pub(super) type Beat = [Option<OnLan>; LANS_MAX];

/// All that the thread works with.
#[derive(Debug)]
pub(super) struct Beater {
    pub(super) lans: Vec<Lan>,
    pub(super) run: u64,
    pub(super) octets: usize,
    /// From the first planned instant on.
    pub(super) span: Duration,
    /// How late each beat left.
    pub(super) lateness: Recorder,
    pub(super) flights: Flights<Beat>,
    pub(super) steering: Arc<Steering>,
}

/// What it ends with.
#[derive(Debug)]
pub(super) struct Beaten {
    pub(super) lateness: Recording,
    pub(super) lans: Vec<BeatenLan>,
    pub(super) usage: Usage,
}

/// On a LAN.
#[derive(Debug)]
pub(super) struct BeatenLan {
    pub(super) round_trips: Recording,
    pub(super) turns: Recording,
    pub(super) repeated: u64,
    /// Whether the card's address was another one at the end: answers went past it.
    pub(super) moved: bool,
}

impl Beater {
    /// The body of the thread. Real-time class: between the two looks at what it used it neither
    /// allocates nor locks, and its one wait is the poll.
    pub(super) fn run(mut self) -> io::Result<Beaten> {
        let mut buffer = port::EMPTY;
        let (outcome, usage) = Usage::of(|| self.beat(&mut buffer))?;
        outcome?;
        let finish = |(mut lan, told): (Lan, &Told)| {
            told.dropped.store(lan.socket.dropped(), Ordering::Relaxed);
            let moved = !lan.socket.address().is_ok_and(|it| it == lan.own);
            let [round_trips, turns] = [lan.round_trips, lan.turns].map(Recorder::finish);
            BeatenLan { round_trips, turns, repeated: lan.repeated, moved }
        };
        let lans = self.lans.into_iter().zip(&self.steering.told).map(finish).collect();
        Ok(Beaten { lateness: self.lateness.finish(), lans, usage })
    }

    fn beat(&mut self, buffer: &mut Buffer) -> io::Result<()> {
        // Here, where nothing is left that could take long.
        let mut planned = MonotonicClock::now() + RUN_UP;
        let end = planned + self.span;
        self.lateness.begin_at(planned);
        for lan in &mut self.lans {
            lan.round_trips.begin_at(planned);
            lan.turns.begin_at(planned);
        }
        loop {
            let goes_on = planned < end && !self.steering.stops();
            if !goes_on && self.flights.is_empty() {
                return Ok(());
            }
            // First, for this is what has to be punctual.
            if goes_on && MonotonicClock::now() >= planned {
                planned = self.send(planned, buffer);
            }
            for at in 0..self.lans.len() {
                self.listen(at, buffer);
            }
            self.settle(MonotonicClock::now());
            let due = if goes_on { Some(planned) } else { self.flights.due() };
            self.wait(due, goes_on)?;
        }
    }

    /// Sends a beat on each LAN; the next planned instant.
    fn send(&mut self, planned: Instant, buffer: &mut Buffer) -> Instant {
        let number = self.flights.next();
        let mut state = Beat::default();
        let mut left = None;
        let told = &self.steering.told;
        for ((lan, state), told) in self.lans.iter_mut().zip(&mut state).zip(told) {
            let sent = MonotonicClock::now();
            left = left.or(Some(sent));
            let request = ProbeFrame {
                destination: lan.peer,
                source: lan.own,
                kind: Kind::Request,
                run: self.run,
                number,
                sent_at_ns: sent.as_nanos(),
                came_at_ns: 0,
                left_at_ns: 0,
                octets: self.octets,
            };
            let is_sent = request.emit(buffer).is_some_and(|frame| lan.socket.send(frame).is_ok());
            told.not_sent.fetch_add(u64::from(!is_sent), Ordering::Relaxed);
            *state = Some(OnLan { sent, answer: None });
        }
        let left = left.unwrap_or(planned);
        let cycle = self.lateness.record(planned, left);
        self.steering.add_over(cycle.swallowed);
        if let Some(given_up) = self.flights.launch(Flight { planned, sent: left, state }) {
            self.account(&given_up);
        }
        cycle.next
    }

    /// Takes the answers that wait.
    fn listen(&mut self, at: usize, buffer: &mut Buffer) {
        let (Some(lan), Some(told)) = (self.lans.get_mut(at), self.steering.told.get(at)) else {
            return;
        };
        for _ in 0..BUDGET {
            match port::take(&lan.socket, buffer) {
                Look::Nothing | Look::Down => return,
                Look::Refused => count(&told.malformed),
                Look::NotForUs => {}
                // For whoever answers here.
                Look::Frame(frame, _) if frame.kind == Kind::Request => {}
                Look::Frame(frame, _) => {
                    let now = MonotonicClock::now();
                    let is_ours = frame.run == self.run;
                    let has_left = is_ours && frame.number < self.flights.next();
                    let found = if is_ours { self.flights.find(frame.number) } else { None };
                    let beat = found.and_then(|(standing, flight)| {
                        Some((standing, flight.state.get_mut(at)?.as_mut()?))
                    });
                    match beat {
                        Some((standing, beat)) => {
                            take_answer(lan, told, &frame, now, standing, beat);
                        }
                        // So late that nothing is known of its beat any more.
                        None if has_left => count(&told.too_late),
                        None => count(&told.foreign),
                    }
                }
            }
        }
    }

    /// Accounts for the beats that are over.
    fn settle(&mut self, now: Instant) {
        let is_complete = |beat: &Beat| beat.iter().flatten().all(|it| it.answer.is_some());
        while let Some(flight) = self.flights.take(now, is_complete) {
            self.account(&flight);
        }
    }

    fn account(&mut self, flight: &Flight<Beat>) {
        let mut is_lost = false;
        for (lan, state) in self.lans.iter_mut().zip(&flight.state) {
            let Some((took, turned_ns)) = state.and_then(|it| it.answer) else {
                lan.round_trips.record_lost(flight.planned);
                lan.turns.record_lost(flight.planned);
                is_lost = true;
                continue;
            };
            lan.round_trips.record_span(flight.planned, took);
            match turned_ns {
                Some(nanos) => lan.turns.record_span(flight.planned, Duration::from_nanos(nanos)),
                None => lan.turns.record_lost(flight.planned),
            }
            self.steering.took(took);
        }
        if is_lost {
            self.steering.add_lost();
        }
        self.steering.add_over(1);
    }

    /// The one wait: for an answer, the next instant, or somebody who ends this.
    fn wait(&self, due: Option<Instant>, heeds_wake: bool) -> io::Result<()> {
        let of = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let wake = self.steering.as_fd();
        let mut waits = [of(wake), of(wake), of(wake)];
        for (wait, lan) in waits.iter_mut().zip(&self.lans) {
            *wait = of(lan.socket.as_fd());
        }
        let deadline = due.unwrap_or_else(|| MonotonicClock::now() + LONGEST);
        // Who ended this has been heard; the answers on their way are waited for.
        let used = self.lans.len() + usize::from(heeds_wake);
        wait(waits.get_mut(..used).unwrap_or_default(), deadline)?;
        Ok(())
    }
}

/// An answer to `beat`, or what else came.
fn take_answer(
    lan: &mut Lan,
    told: &Told,
    frame: &ProbeFrame,
    now: Instant,
    standing: Standing,
    beat: &mut OnLan,
) {
    if beat.sent.as_nanos() != frame.sent_at_ns {
        // What does not say when its request left is no answer to it.
        count(&told.foreign);
    } else if beat.answer.is_some() {
        lan.repeated += 1;
    } else {
        beat.answer = Some((now.since(beat.sent), frame.turned_ns()));
        if standing == Standing::Over {
            count(&told.too_late);
        }
    }
}
