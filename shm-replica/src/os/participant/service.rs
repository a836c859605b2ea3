//! The service thread: it speaks with the daemon, so that no cycle has to.
//!
//! It is of ordinary priority, with all signals blocked, and keeps off the processor of a real-time
//! thread that started it. It maps what is handed over and leaves it in the mailboxes. When the
//! daemon is gone it looks for it again and again, and the application goes on meanwhile: the old
//! page stands as it was, and is changed for the new one in one step, when that is settled.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::SigSet;
use nix::unistd::{Pid, gettid};
use rt_core::os::clock::MonotonicClock;
use rt_core::os::thread::{KernelPolicy, Policy, RtThread, RtThreadPlan, scheduling_of};
use rt_core::time::{Duration, Instant};

use super::super::mapping::Mapping;
use super::super::schedule::{give_way, is_modelled};
use super::super::wake::wake_word;
use super::attachment::{Attachment, Brought, Held, NotAttached, Plan, Return};
use super::link::{AttachError, Heard, Link};
use super::shared::{Post, Reading, Seat, Shared};
use crate::attach::Request;
use crate::page::{Page, Role};

/// What it needs: it maps, and does not recurse.
const STACK_OCTETS: usize = 256 * 1024;
/// Between two looks for a daemon that is gone: at first, and at most.
const REST_MIN: Duration = Duration::from_millis(2);
const REST_MAX: Duration = Duration::from_millis(250);
/// The same, where the daemon is there and does not take it back.
const REST_REFUSED: Duration = Duration::from_secs(2);
/// What one attempt to come back may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks for what the cyclic thread sent back.
const SWEEP: Duration = Duration::from_millis(500);

/// See the module's text.
#[derive(Debug)]
pub(super) struct Service {
    plan: Arc<Plan>,
    socket: PathBuf,
    shared: Arc<Shared>,
    link: Option<Link>,
    /// For each region the segments that were handed over for writing: at most one in force, and
    /// one for the next time.
    held: Vec<Vec<Held>>,
    /// For each region the newest epoch that was shown: the state of it is here.
    followed: Vec<u64>,
    /// Whether it asks to be woken by the commits of regions that it may write itself.
    awaits_own: bool,
    rest: Duration,
    next_look: Instant,
}

impl Service {
    /// Puts what being attached brought where the cyclic thread finds it.
    pub(super) fn new(
        plan: Arc<Plan>,
        socket: PathBuf,
        attachment: Attachment,
    ) -> std::io::Result<(Self, Arc<Shared>)> {
        let regions = plan.regions.len();
        let Attachment { link, seat, brought, trouble } = attachment;
        let shared = Arc::new(Shared::new(seat, regions)?);
        shared.has_daemon.store(link.is_some(), Ordering::Release);
        shared.tell_trouble(trouble.map(|it| it.to_string()).unwrap_or_default());
        let mut service = Self {
            plan,
            socket,
            shared: Arc::clone(&shared),
            link,
            held: (0..regions).map(|_| Vec::new()).collect(),
            followed: vec![0; regions],
            awaits_own: true,
            rest: REST_MIN,
            next_look: Instant::from_nanos(0),
        };
        service.deliver(brought);
        Ok((service, shared))
    }

    /// Starts the thread.
    pub(super) fn start(self) -> Result<RtThread, AttachError> {
        let failed = |what, why| AttachError::System { what, why };
        // The thread inherits the mask: there is no moment in which it takes a signal.
        let before = SigSet::all().thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_SETMASK);
        let before = before.map_err(|errno| failed("block signals", errno.into()))?;
        let mut plan = RtThreadPlan::new("bumpless", Policy::Other);
        plan.stack_octets = STACK_OCTETS;
        plan.allow_degraded = true;
        let busy = processors_of_real_time_caller();
        let thread = RtThread::spawn(plan, move || {
            keep_off(busy);
            self.run();
        });
        let _restored = before.thread_set_mask();
        thread.map_err(|error| failed("start the service thread", std::io::Error::other(error)))
    }

    pub(super) fn run(mut self) {
        if let Err(error) = self.settle_wakes() {
            self.lose(&error);
        }
        while !self.shared.stops.load(Ordering::Acquire) {
            self.shared.posts.iter().for_each(Post::sweep);
            if self.link.is_none() && MonotonicClock::now() >= self.next_look {
                self.come_back();
            }
            if let Err(error) = self.listen() {
                self.lose(&error);
            }
            self.wait();
        }
    }

    /// Hears all that was said unasked.
    fn listen(&mut self) -> Result<(), AttachError> {
        while let Some(link) = &mut self.link {
            let Some(heard) = link.hear()? else { return Ok(()) };
            match heard {
                Heard::Next { index, file: Some(file) } => self.write_next(index, file)?,
                Heard::Segment { index, epoch, file: Some(file) } => {
                    self.read_next(index, epoch, file)?;
                }
                Heard::Office => {
                    self.shared.changed.signal();
                    self.settle_wakes()?;
                }
                Heard::Done => {}
                // Of being woken: it has to look by itself.
                Heard::Refused { why, .. } => self.shared.tell_trouble(why),
                _ => return Err(AttachError::OtherAnswer),
            }
        }
        Ok(())
    }

    /// A new daemon is asked to take this participant back, with what it holds.
    fn come_back(&mut self) {
        let office = self.shared.seat().page.office();
        let until = MonotonicClock::now().saturating_add(PATIENCE);
        let Self { held, followed, shared, .. } = self;
        let returns = Return { office, held, followed, stops: &shared.stops };
        match self.plan.attach(&self.socket, Some(returns), until) {
            Ok(Attachment { link, seat, brought, trouble }) => {
                self.link = link;
                self.awaits_own = true;
                self.rest = REST_MIN;
                // The page first: it says which segments belong together. With the old one, those
                // of a new owner that have come already would be taken for all there are.
                self.change_seat(seat);
                self.deliver(brought);
                self.shared.has_daemon.store(true, Ordering::Release);
                self.shared.tell_trouble(trouble.map(|it| it.to_string()).unwrap_or_default());
                if office != self.shared.seat().page.office() {
                    self.shared.changed.signal();
                }
                if let Err(error) = self.settle_wakes() {
                    self.lose(&error);
                }
            }
            Err(NotAttached { why, seat }) => {
                if let Some(seat) = seat {
                    self.change_seat(*seat);
                    self.shared.changed.signal();
                }
                self.lose(&why);
            }
        }
    }

    fn change_seat(&self, seat: Seat) {
        let former = self.shared.change_seat(seat);
        // Who waits for a change of the page waits for a change of another one now.
        wake_word(former.page.memory(), Page::<Mapping>::CHANGES);
    }

    fn lose(&mut self, error: &AttachError) {
        if let Some(link) = self.link.take() {
            self.hear_out(link);
        }
        self.shared.has_daemon.store(false, Ordering::Release);
        self.shared.tell_trouble(error.to_string());
        // What is refused is refused again, until somebody changes something.
        let is_refused =
            matches!(error, AttachError::Refused { .. } | AttachError::Mismatch { .. });
        let rest = if is_refused { REST_REFUSED } else { self.rest };
        self.next_look = MonotonicClock::now().saturating_add(rest);
        self.rest = self.rest.saturating_mul(2).min(REST_MAX);
    }

    /// What the daemon had said before it ended stands all the same: nobody else has it now.
    fn hear_out(&mut self, mut link: Link) {
        while let Ok(Some(heard)) = link.hear() {
            if let Heard::Segment { index, epoch, file: Some(file) } = heard {
                // One that cannot be used is told when it is shown again.
                let _shown_again = self.read_next(index, epoch, file);
            }
        }
    }

    fn deliver(&mut self, brought: Vec<Brought>) {
        for (index, brought) in brought.into_iter().enumerate() {
            if let Some((held, writing)) = brought.writing {
                self.keep(index, held);
                self.shared.hand_over(index, writing);
            }
            if let Some(reading) = brought.reading {
                self.show(index, reading);
            }
        }
    }

    /// Keeps a segment for writing; of those before it only one that is in force.
    fn keep(&mut self, index: usize, held: Held) {
        let office = self.shared.seat().page.office();
        let is_in_force = |it: &Held| office.role == Role::Active && it.is_in_force(office.epoch);
        self.held[index].retain(is_in_force);
        self.held[index].push(held);
    }

    fn write_next(&mut self, place: usize, file: OwnedFd) -> Result<(), AttachError> {
        let Some(index) = self.region_at(place) else { return Err(AttachError::OtherAnswer) };
        let (held, writing) = self.plan.regions[index].writing(file)?;
        self.keep(index, held);
        self.shared.hand_over(index, writing);
        Ok(())
    }

    fn show(&mut self, index: usize, reading: Reading) {
        self.followed[index] = self.followed[index].max(reading.epoch);
        self.shared.show(index, reading);
    }

    fn read_next(&mut self, place: usize, epoch: u64, file: OwnedFd) -> Result<(), AttachError> {
        let Some(index) = self.region_at(place) else { return Err(AttachError::OtherAnswer) };
        let region = &self.plan.regions[index];
        match region.reading(file, epoch) {
            Ok(reading) => self.show(index, reading),
            // What others did to a region of theirs is no reason to leave: an active one would be
            // active no more, and so would whoever takes over from it.
            Err(why) if region.written.is_none() => self.shared.tell_trouble(why.to_string()),
            Err(why) => return Err(why),
        }
        Ok(())
    }

    fn region_at(&self, place: usize) -> Option<usize> {
        let places = &self.shared.seat().places[..self.plan.regions.len()];
        places.iter().position(|it| *it == place)
    }

    /// One that commits does not want to be woken by its own commits.
    fn settle_wakes(&mut self) -> Result<(), AttachError> {
        let awaits = self.shared.seat().page.office().role != Role::Active;
        let Some(link) = self.link.as_mut().filter(|_| awaits != self.awaits_own) else {
            return Ok(());
        };
        for region in self.plan.regions.iter().filter(|it| it.woken && it.written.is_some()) {
            // Not waited for: a daemon that is slow is no reason to leave.
            link.say(&Request::Wake { region: region.name, wanted: awaits }, None)?;
        }
        self.awaits_own = awaits;
        Ok(())
    }

    fn wait(&self) {
        if is_modelled() {
            give_way();
            return;
        }
        let look = self.next_look.since(MonotonicClock::now());
        let rest = if self.link.is_none() { look.min(SWEEP) } else { SWEEP };
        let timeout = PollTimeout::try_from(rest.as_millis() + 1).unwrap_or(PollTimeout::MAX);
        let wake = PollFd::new(self.shared.wake.as_fd(), PollFlags::POLLIN);
        let ended = match &self.link {
            Some(link) => poll(&mut [wake, PollFd::new(link.as_fd(), PollFlags::POLLIN)], timeout),
            None => poll(&mut [wake], timeout),
        };
        // What else there is to be said about a wait is said by what it waited for.
        let _looked: Result<i32, Errno> = ended;
        self.shared.wake.clear();
    }
}

/// The processors of the calling thread, if it is a real-time one.
fn processors_of_real_time_caller() -> Vec<usize> {
    let found = scheduling_of(gettid().as_raw());
    found.map_or_else(
        |_| Vec::new(),
        |it| if it.policy == KernelPolicy::Other { Vec::new() } else { it.cpus },
    )
}

/// Moves the calling thread to the other processors, if there are any that it may use.
fn keep_off(busy: Vec<usize>) {
    if busy.is_empty() {
        return;
    }
    let this = Pid::from_raw(0);
    let mut others = CpuSet::new();
    for cpu in (0..CpuSet::count()).filter(|cpu| !busy.contains(cpu)) {
        let _within_the_set = others.set(cpu);
    }
    // Refused where there are no others: then it stays.
    let moved = sched_setaffinity(this, &others);
    debug_assert!(moved.is_ok() || sched_getaffinity(this).is_ok(), "a thread may be moved");
}
