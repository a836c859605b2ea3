//! The thread that sends the echoes, and puts together where each of them was when.
//!
//! It waits for the answers and the next planned instant, never for a tap: what the taps have seen
//! is taken afterwards, with the instants at which the kernel saw it, so that watching wakes
//! nobody.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{MsgFlags, recv, send};
use rt_core::os::clock::MonotonicClock;
use rt_core::os::recorder::{Recorder, Recording};
use rt_core::time::{Duration, Instant};

use super::super::flights::{Flight, Flights, Standing};
use super::super::usage::Usage;
use super::super::{RUN_UP, steering};
use super::echo::{Echo, Echoes};
use super::stages::{Marks, Sight, Stage};
use crate::os::stamped::{Offset, StampedSocket, Toward};
use crate::os::wait::wait;

/// The longest wait, where nothing is planned.
const LONGEST: Duration = Duration::from_secs(1);
/// How many frames are taken from a socket before another has its turn.
const BUDGET: usize = 64;
const BUFFER_OCTETS: usize = 1_600;
type Buffer = [u8; BUFFER_OCTETS];

/// Where a tap is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// On the host interface.
    Host,
    /// On LAN A (0) or B (1).
    Lan(usize),
}

/// A tap.
#[derive(Debug)]
pub(super) struct Tap {
    pub(super) place: Place,
    pub(super) socket: StampedSocket,
}

/// What is known of an echo.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    marks: Marks,
    /// How the clocks stood when it was sent.
    offset: Offset,
    /// Whether they stood otherwise when it was answered.
    stepped: bool,
}

/// Events beside the samples.
#[derive(Default, Debug)]
pub(super) struct Told {
    /// Echoes that the kernel did not take.
    pub(super) not_sent: AtomicU64,
    /// Answers that came again, and those that came after the wait.
    pub(super) repeated: AtomicU64,
    pub(super) too_late: AtomicU64,
    /// Echoes between whose sending and answer the clock of the stamps was stepped.
    pub(super) stepped: AtomicU64,
    /// Echoes whose instants contradict each other.
    pub(super) inconsistent: AtomicU64,
    /// Frames that the taps lost.
    pub(super) dropped: AtomicU64,
}

/// What the thread and who waits for it share.
pub(super) type Steering = steering::Steering<Told>;

/// All that the thread works with.
#[derive(Debug)]
pub(super) struct Walker {
    /// A raw ICMP socket, kept to the host interface and the peer.
    pub(super) socket: OwnedFd,
    pub(super) taps: Vec<Tap>,
    pub(super) echoes: Echoes,
    pub(super) octets: usize,
    /// From the first planned instant on.
    pub(super) span: Duration,
    pub(super) lateness: Recorder,
    /// Each with what it records.
    pub(super) stages: Vec<(Stage, Recorder)>,
    /// What of the LANs is watched.
    pub(super) sight: Sight,
    pub(super) flights: Flights<Walk>,
    pub(super) steering: Arc<Steering>,
}

/// What it ends with.
#[derive(Debug)]
pub(super) struct Walked {
    pub(super) lateness: Recording,
    pub(super) stages: Vec<(Stage, Recording)>,
    pub(super) usage: Usage,
}

impl Walker {
    /// The body of the thread. Real-time class: between the two looks at what it used it neither
    /// allocates nor locks, and its one wait is the poll.
    pub(super) fn run(mut self) -> io::Result<Walked> {
        let mut buffer = [0; BUFFER_OCTETS];
        let (outcome, usage) = Usage::of(|| self.walk(&mut buffer))?;
        outcome?;
        let dropped = self.taps.iter_mut().map(|tap| tap.socket.dropped()).sum();
        self.steering.told.dropped.store(dropped, Ordering::Relaxed);
        let stages = self.stages.into_iter().map(|(stage, it)| (stage, it.finish())).collect();
        Ok(Walked { lateness: self.lateness.finish(), stages, usage })
    }

    fn walk(&mut self, buffer: &mut Buffer) -> io::Result<()> {
        // Here, where nothing is left that could take long.
        let mut planned = MonotonicClock::now() + RUN_UP;
        let end = planned + self.span;
        self.lateness.begin_at(planned);
        self.stages.iter_mut().for_each(|(_, recorder)| recorder.begin_at(planned));
        loop {
            let goes_on = planned < end && !self.steering.stops();
            if !goes_on && self.flights.is_empty() {
                return Ok(());
            }
            // First, for this is what has to be punctual.
            if goes_on && MonotonicClock::now() >= planned {
                planned = self.send(planned, buffer);
            }
            self.listen(buffer);
            self.look(buffer);
            self.settle(MonotonicClock::now());
            let due = if goes_on { Some(planned) } else { self.flights.due() };
            self.wait(due, goes_on)?;
        }
    }

    /// Sends an echo; the next planned instant.
    fn send(&mut self, planned: Instant, buffer: &mut Buffer) -> Instant {
        let request = self.echoes.request(self.flights.next(), self.octets, buffer);
        let offset = Offset::now();
        let sent = MonotonicClock::now();
        let is_sent = request.is_some_and(|request| {
            send(self.socket.as_raw_fd(), request, MsgFlags::MSG_DONTWAIT).is_ok()
        });
        self.steering.told.not_sent.fetch_add(u64::from(!is_sent), Ordering::Relaxed);
        let cycle = self.lateness.record(planned, sent);
        self.steering.add_over(cycle.swallowed);
        let marks = Marks { sent: Some(sent), ..Marks::default() };
        let state = Walk { marks, offset, stepped: false };
        if let Some(given_up) = self.flights.launch(Flight { planned, sent, state }) {
            self.account(&given_up);
        }
        cycle.next
    }

    /// Takes the answers that wait.
    fn listen(&mut self, buffer: &mut Buffer) {
        for _ in 0..BUDGET {
            let Ok(octets) = recv(self.socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) else {
                return;
            };
            let now = MonotonicClock::now();
            let datagram = buffer.get(..octets).unwrap_or_default();
            let Some(Echo { is_reply: true, number }) = self.echoes.in_datagram(datagram) else {
                continue;
            };
            let Some((standing, flight)) = self.flights.find(number) else { continue };
            if flight.state.marks.answered.is_some() {
                self.steering.told.repeated.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            flight.state.marks.answered = Some(now);
            flight.state.stepped = Offset::now().stepped_since(flight.state.offset);
            if standing == Standing::Over {
                self.steering.told.too_late.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Takes what the taps have seen.
    fn look(&mut self, buffer: &mut Buffer) {
        for tap in &self.taps {
            for _ in 0..BUDGET {
                let Ok(Some(arrival)) = tap.socket.receive(buffer) else { break };
                let frame = buffer.get(..arrival.octets).unwrap_or_default();
                let Some(echo) = self.echoes.in_frame(frame) else { continue };
                let Some((_, flight)) = self.flights.find(echo.number) else { continue };
                let Walk { marks, offset, .. } = &mut flight.state;
                let away = arrival.toward == Toward::Away;
                // A request that comes back, or an answer of ours that leaves, is no part of this.
                let mark = match (tap.place, away, echo.is_reply) {
                    (Place::Host, true, false) => Some(&mut marks.host_out),
                    (Place::Host, false, true) => Some(&mut marks.host_in),
                    (Place::Lan(at), true, false) => marks.lan_out.get_mut(at),
                    (Place::Lan(at), false, true) => marks.lan_in.get_mut(at),
                    _ => None,
                };
                let seen = arrival.at_realtime_ns.and_then(|at_ns| offset.monotonic(at_ns));
                if let Some(mark) = mark
                    && mark.is_none()
                {
                    *mark = seen;
                }
            }
        }
    }

    /// Accounts for the echoes that are over.
    fn settle(&mut self, now: Instant) {
        let sight = self.sight;
        while let Some(flight) = self.flights.take(now, |it| it.marks.is_complete(sight)) {
            self.account(&flight);
        }
    }

    fn account(&mut self, flight: &Flight<Walk>) {
        let Walk { marks, stepped, .. } = flight.state;
        let is_consistent = marks.is_consistent(self.sight);
        let steering = &self.steering;
        steering.told.stepped.fetch_add(u64::from(stepped), Ordering::Relaxed);
        let contradicts = !is_consistent && !stepped;
        steering.told.inconsistent.fetch_add(u64::from(contradicts), Ordering::Relaxed);
        for (stage, recorder) in &mut self.stages {
            // Of what contradicts itself only the whole is known, which has a clock of its own.
            let is_known = *stage == Stage::RoundTrip || (is_consistent && !stepped);
            match marks.took(*stage).filter(|_| is_known) {
                Some(took) => recorder.record_span(flight.planned, took),
                None => recorder.record_lost(flight.planned),
            }
        }
        match marks.took(Stage::RoundTrip) {
            Some(took) => steering.took(took),
            None => steering.add_lost(),
        }
        steering.add_over(1);
    }

    /// The one wait: for an answer, the next instant, or somebody who ends this.
    fn wait(&self, due: Option<Instant>, goes_on: bool) -> io::Result<()> {
        /// How long what the taps have seen may take to be told after the last answer.
        const AFTERWARDS: Duration = Duration::from_millis(1);
        let of = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut waits = [of(self.socket.as_fd()), of(self.steering.as_fd())];
        let now = MonotonicClock::now();
        let due = due.unwrap_or_else(|| now + LONGEST);
        // At the end nobody is disturbed any more, and no next instant comes to look at the taps.
        let deadline = if goes_on { due } else { due.min(now + AFTERWARDS) };
        let used = if goes_on { 2 } else { 1 };
        wait(waits.get_mut(..used).unwrap_or_default(), deadline)?;
        Ok(())
    }
}
