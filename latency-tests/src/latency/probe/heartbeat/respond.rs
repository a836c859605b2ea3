//! The far end of the heartbeat probe: it sends each beat back.
//!
//! It answers well-formed requests that are for it or for all, each once, with a frame as long as
//! the request and to its sender only, and never an answer: whoever sends it frames gets no more
//! octets out of it than went in. What comes faster than the bound of answers per second is
//! dropped and counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use clap::Args;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rt_core::os::clock::{MonotonicClock, realtime_ns};
use rt_core::os::freeze::freeze_this_thread;
use rt_core::os::thread::{Policy, RtThread, RtThreadPlan, ThreadReport};
use rt_core::os::wake::Wake;
use rt_core::probe_frame::{Kind, ProbeFrame};
use rt_core::time::Instant;
use serde::Serialize;
use std::os::fd::AsFd as _;
use tools::exit::Failure;

use super::super::steering::refused;
use super::port::{self, BUDGET, Buffer, Look};
use crate::os::stamped::{Arrival, StampedSocket, Toward};

/// How to answer.
#[derive(Args, Clone, PartialEq, Eq, Debug)]
pub struct RespondOptions {
    /// The network interface on LAN A
    #[arg(long, value_name = "IF", required_unless_present = "lan_b")]
    pub lan_a: Option<String>,

    /// The network interface on LAN B
    #[arg(long, value_name = "IF")]
    pub lan_b: Option<String>,

    /// The processor of the thread that answers [default: any]
    #[arg(long, value_name = "CPU")]
    pub cpu: Option<usize>,

    /// Its real-time priority
    #[arg(long, value_name = "PRIO", default_value_t = PRIORITY_DEFAULT)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=98))]
    pub prio: u8,

    /// Most answers in a second, on each LAN
    #[arg(long, value_name = "NUM", default_value_t = RATE_DEFAULT)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,

    /// Answer also where real-time scheduling is not granted
    #[arg(long)]
    pub allow_non_rt: bool,
}

const PRIORITY_DEFAULT: u8 = 70;
/// Twice what the shortest sensible heartbeat asks for.
pub(super) const RATE_DEFAULT: u32 = 20_000;

/// What was done on one LAN.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Answers {
    /// Requests that were answered.
    pub answered: u64,
    /// Requests beyond the bound of answers per second.
    pub above_rate: u64,
    /// Frames that claimed to be of the probe and were not well-formed.
    pub malformed: u64,
    /// Well-formed frames that nobody asked for: answers, frames for others.
    pub ignored: u64,
    /// Answers that the kernel did not take.
    pub not_sent: u64,
    /// Frames that the kernel dropped before they were looked at.
    pub dropped: u64,
}

/// What an answering thread is to be.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) policy: Policy,
    pub(super) cpu: Option<usize>,
    pub(super) rate: u32,
    pub(super) allow_degraded: bool,
}

/// A far end that answers, until it is stopped or dropped.
#[derive(Debug)]
pub struct Responder {
    thread: Option<RtThread<Vec<Answers>>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    stops: AtomicBool,
    wake: Wake,
    answered: AtomicU64,
}

/// Starts to answer on the LANs named, in the caller's network namespace. The memory is the
/// caller's to lock.
///
/// # Errors
/// Usage, what is missing, or a LAN that is down.
pub fn respond(options: &RespondOptions) -> Result<Responder, Failure> {
    port::of_each(options.lan_a.as_ref(), options.lan_b.as_ref())?;
    let lans = [("--lan-a", &options.lan_a), ("--lan-b", &options.lan_b)];
    let named = lans.into_iter().filter_map(|(option, name)| Some((option, name.as_ref()?)));
    let ports: Result<Vec<_>, Failure> =
        named.map(|(option, name)| port::open(option, name)).collect();
    let plan = Plan {
        policy: Policy::Fifo(options.prio),
        cpu: options.cpu,
        rate: options.rate,
        allow_degraded: options.allow_non_rt,
    };
    Responder::start(ports?, &plan)
}

impl Responder {
    pub(super) fn start(ports: Vec<StampedSocket>, plan: &Plan) -> Result<Self, Failure> {
        let wake = Wake::new().map_err(|error| Failure::failed(format!("eventfd: {error}"), ""))?;
        let shared =
            Arc::new(Shared { stops: AtomicBool::new(false), wake, answered: AtomicU64::new(0) });
        let mut thread = RtThreadPlan::new("answer", plan.policy);
        thread.cpu = plan.cpu;
        thread.allow_degraded = plan.allow_degraded;
        let rate = plan.rate;
        let lans: Vec<Lan> = ports.into_iter().map(|port| Lan::new(port, rate)).collect();
        let theirs = Arc::clone(&shared);
        let thread = RtThread::spawn(thread, move || answer_all(lans, &theirs));
        let thread = thread.map_err(refused)?;
        Ok(Self { thread: Some(thread), shared })
    }

    /// The thread that answers, as the kernel runs it.
    #[must_use]
    pub fn thread(&self) -> Option<&ThreadReport> {
        self.thread.as_ref().map(RtThread::report)
    }

    /// Answers so far. Thread: any.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Whether it has ended by itself: a defect.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(RtThread::is_finished)
    }

    /// Ends it; what was done, in the order of the LANs that were named.
    ///
    /// # Errors
    /// The thread failed.
    pub fn finish(mut self) -> Result<Vec<Answers>, Failure> {
        self.stop();
        let thread = self.thread.take().map(RtThread::join);
        let answers = thread.transpose().map_err(|it| Failure::failed(it.to_string(), ""))?;
        Ok(answers.unwrap_or_default())
    }

    fn stop(&self) {
        self.shared.stops.store(true, Ordering::Relaxed);
        self.shared.wake.signal();
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop();
        // Its sockets are closed when the caller goes on.
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// A LAN that is answered on.
#[derive(Debug)]
struct Lan {
    port: StampedSocket,
    bound: Bound,
    answers: Answers,
}

impl Lan {
    fn new(port: StampedSocket, rate: u32) -> Self {
        Self { port, bound: Bound::new(rate), answers: Answers::default() }
    }

    /// Answers what waits, but for what is left to the next turn. Real-time class: no allocation,
    /// lock or wait.
    fn serve(&mut self, buffer: &mut Buffer, answered: &AtomicU64) {
        for _ in 0..BUDGET {
            match port::take(&self.port, buffer) {
                Look::Nothing | Look::Down => return,
                Look::Refused => self.answers.malformed += 1,
                Look::NotForUs => self.answers.ignored += 1,
                Look::Frame(frame, arrival) => {
                    self.answer(&frame, &arrival, buffer);
                    answered.store(self.answers.answered, Ordering::Relaxed);
                }
            }
        }
    }

    fn answer(&mut self, frame: &ProbeFrame, arrival: &Arrival, buffer: &mut Buffer) {
        if frame.kind == Kind::Answer || frame.source[0] & 1 == 1 {
            self.answers.ignored += 1;
            return;
        }
        if !self.bound.admits(MonotonicClock::now()) {
            self.answers.above_rate += 1;
            return;
        }
        // What came for all is answered from the address that the card has now: a daemon that
        // started meanwhile gave it another.
        let own = match arrival.toward {
            Toward::Us => Ok(frame.destination),
            _ => self.port.address(),
        };
        let left_at_ns = realtime_ns();
        let came_at_ns = arrival.at_realtime_ns.unwrap_or(left_at_ns);
        let answer = own.ok().and_then(|own| frame.answer(own, came_at_ns, left_at_ns));
        let Some(octets) = answer.and_then(|answer| answer.emit(buffer).map(<[u8]>::len)) else {
            self.answers.ignored += 1;
            return;
        };
        match self.port.send(&buffer[..octets]) {
            Ok(()) => self.answers.answered += 1,
            Err(_) => self.answers.not_sent += 1,
        }
    }
}

/// The body of the thread. Real-time class: its one wait is the poll.
fn answer_all(mut lans: Vec<Lan>, shared: &Shared) -> Vec<Answers> {
    let mut buffer = port::EMPTY;
    let frozen = freeze_this_thread();
    while !shared.stops.load(Ordering::Relaxed) {
        let _outcome = wait_for_any(&lans, &shared.wake);
        for lan in &mut lans {
            lan.serve(&mut buffer, &shared.answered);
        }
    }
    drop(frozen);
    let all = lans.iter_mut().map(|lan| Answers { dropped: lan.port.dropped(), ..lan.answers });
    all.collect()
}

fn wait_for_any(lans: &[Lan], wake: &Wake) -> io::Result<()> {
    let of = |fd| PollFd::new(fd, PollFlags::POLLIN);
    let mut waits = [of(wake.as_fd()), of(wake.as_fd()), of(wake.as_fd())];
    for (wait, lan) in waits.iter_mut().zip(lans) {
        *wait = of(lan.port.as_fd());
    }
    poll(&mut waits, PollTimeout::NONE)?;
    Ok(())
}

/// Answers in a second, with as many at once as come in a tenth of one.
#[derive(Clone, Copy, Debug)]
struct Bound {
    /// From one answer to the next, on average.
    each_ns: u64,
    burst_ns: u64,
    /// What has been saved up.
    saved_ns: u64,
    last: Option<Instant>,
}

impl Bound {
    fn new(rate: u32) -> Self {
        let each_ns = 1_000_000_000 / u64::from(rate.max(1));
        let burst_ns = each_ns.max(100_000_000);
        Self { each_ns, burst_ns, saved_ns: burst_ns, last: None }
    }

    fn admits(&mut self, now: Instant) -> bool {
        let passed = self.last.map_or(0, |last| now.since(last).as_nanos());
        self.last = Some(now);
        self.saved_ns = self.saved_ns.saturating_add(passed).min(self.burst_ns);
        let admitted = self.saved_ns.checked_sub(self.each_ns);
        self.saved_ns = admitted.unwrap_or(self.saved_ns);
        admitted.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_bounded_over_any_second_and_a_burst_passes() {
        let mut bound = Bound::new(1_000);
        let begin = Instant::from_nanos(5_000_000_000);
        // A flood of 100 frames in each millisecond, for ten seconds.
        let passes = |bound: &mut Bound, ms: u64| {
            let now = begin + rt_core::time::Duration::from_millis(ms);
            (0..100).filter(|_| bound.admits(now)).count()
        };
        let admitted: usize = (0..10_000).map(|ms| passes(&mut bound, ms)).sum();
        assert!((10_000..=10_100).contains(&admitted), "{admitted}");
        // After a rest no more than a burst is saved up.
        assert_eq!(passes(&mut bound, 3_600_000), 100);
        assert_eq!(passes(&mut bound, 3_600_000), 0);
        // As many as are allowed, evenly: all of them.
        let mut even = Bound::new(1_000);
        assert!(
            (0..5_000).all(|ms| { even.admits(begin + rt_core::time::Duration::from_millis(ms)) })
        );
    }
}
