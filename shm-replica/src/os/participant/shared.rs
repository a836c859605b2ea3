//! What the service thread and the cyclic thread share: pages, and mailboxes for segments.
//!
//! The service thread maps and frees memory, the cyclic one uses it. A segment comes through a
//! region's mailbox, and those that it replaces go back through another one: the cyclic thread
//! neither allocates nor frees.

use std::fmt;
use std::hint::black_box;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rt_core::limits::REGIONS_MAX;
use rt_core::os::wake::Wake;

use super::super::mapping::Mapping;
use super::super::schedule::point;
use super::super::wake::wake_waiters;
use super::chain::Link;
use super::mailbox::Mailbox;
use crate::image::{ImageReader, ImageWriter};
use crate::page::{Office, PAGE_OCTETS, Page, Role};
use crate::schema::BlockCopy;
use crate::segment::{Layout, State};

/// Zeros whose pages are there: memory that was asked for zeroed comes page by page, each by a
/// fault of whoever touches it first, and that would be a cycle. Not for a cycle.
pub(super) fn zeros(octets: usize) -> Vec<u8> {
    let mut zeros = vec![0; octets];
    for page in zeros.chunks_mut(PAGE_OCTETS) {
        page[0] = black_box(0);
    }
    zeros
}

/// A segment to write.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) writer: ImageWriter<Mapping>,
    pub(super) layout: Layout,
    /// The one before it, where that was not taken yet: it may be in force.
    pub(super) former: Option<Box<Self>>,
}

/// What a segment to write is good for, from nothing on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Use {
    /// It was in force.
    Past,
    /// It will be.
    Future,
    /// It is, under this epoch.
    InForce(u64),
}

impl Writing {
    /// Real-time class: two loads.
    pub(super) fn usage(&self) -> Use {
        let Ok(state) = State::new(&**self.writer.memory()) else { return Use::Past };
        match (state.epoch(), state.superseded_by()) {
            (_, Some(_)) => Use::Past,
            (Some(epoch), None) => Use::InForce(epoch),
            (None, None) => Use::Future,
        }
    }
}

/// A segment to read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) reader: ImageReader<Mapping>,
    pub(super) layout: Layout,
    pub(super) epoch: u64,
    /// Which memory file it is: each daemon shows what is in force again.
    pub(super) file: (u64, u64),
    /// What of its images is taken over, and to where; none where they are taken as they are.
    pub(super) copies: Option<Vec<BlockCopy>>,
    /// An image as it was read, where it is not taken as it is.
    pub(super) raw: Vec<u8>,
    /// The newest commit when it was looked at last, and what was found was taken.
    pub(super) looked: u64,
    /// Octets of an image as it is taken.
    pub(super) taken_octets: usize,
    /// Two images as they are taken: what is read next goes to the first of them.
    pub(super) spare: [Vec<u8>; 2],
    /// The newest epoch before this one's that was shown, if nobody took that.
    pub(super) passed: u64,
    /// The one before it, where this one had no commit when it came and the one before it was not
    /// taken yet.
    pub(super) former: Option<Box<Self>>,
}

impl Reading {
    /// Whether there is something to read. Its writer may be gone before its first commit: then the
    /// state is that of the one before.
    pub(super) fn has_commits(&self) -> bool {
        self.reader.newest_sequence() > 0
    }

    /// Comes after one that nobody took: what that one knows is not lost.
    pub(super) fn follows(&mut self, untaken: Option<Box<Self>>) {
        let Some(mut untaken) = untaken.filter(|_| self.former.is_none()) else { return };
        self.passed = if untaken.epoch < self.epoch { untaken.epoch } else { untaken.passed };
        let before = untaken.former.take();
        self.former = if untaken.has_commits() { Some(untaken) } else { before };
    }
}

impl Link for Reading {
    fn former(&mut self) -> &mut Option<Box<Self>> {
        &mut self.former
    }
}

impl Link for Writing {
    fn former(&mut self) -> &mut Option<Box<Self>> {
        &mut self.former
    }
}

/// The mailboxes of a region.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) writing: Mailbox<Writing>,
    pub(super) writing_back: Mailbox<Writing>,
    pub(super) reading: Mailbox<Reading>,
    pub(super) reading_back: Mailbox<Reading>,
}

impl Post {
    pub(super) const fn new() -> Self {
        Self {
            writing: Mailbox::new(),
            writing_back: Mailbox::new(),
            reading: Mailbox::new(),
            reading_back: Mailbox::new(),
        }
    }

    /// Leaves a segment for the cyclic thread to read. Thread: the service's.
    fn show(&self, mut reading: Box<Reading>) {
        reading.follows(self.reading.take());
        drop(self.reading.put(reading));
    }

    /// Leaves a segment for the cyclic thread to write. Thread: the service's.
    fn hand_over(&self, mut writing: Box<Writing>) {
        writing.former = self.writing.take();
        if let Some(former) = &mut writing.former {
            // Two of them may be of use: one in force, and one for the next time.
            former.former = None;
        }
        drop(self.writing.put(writing));
    }

    /// Frees what the cyclic thread sent back. Thread: the service's.
    pub(super) fn sweep(&self) {
        drop(self.writing_back.take());
        drop(self.reading_back.take());
    }
}

/// The page that the daemon writes for this participant, and where its regions stand there.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) page: Page<Mapping>,
    /// The place of each region, in the order of their registration.
    pub(super) places: [usize; REGIONS_MAX],
}

/// The seat in use, and all that there were: each restart of the daemon brings another.
struct Seats {
    /// One of `all`.
    current: AtomicPtr<Seat>,
    /// From `Box::into_raw`; freed when all threads are done with them.
    all: Mutex<Vec<SeatPointer>>,
}

struct SeatPointer(*mut Seat);

// SAFETY: the pointer owns its seat, and a seat may be sent: words of a mapping, and numbers.
unsafe impl Send for SeatPointer {}

impl Seats {
    fn new(seat: Seat) -> Self {
        let seat = Box::into_raw(Box::new(seat));
        Self { current: AtomicPtr::new(seat), all: Mutex::new(vec![SeatPointer(seat)]) }
    }

    fn current(&self) -> &Seat {
        point();
        let seat = self.current.load(Ordering::Acquire);
        // SAFETY: it came from `Box::into_raw`, is never null, and is freed by `drop` only, which
        // nobody can run beside a borrow of `self`. It is changed by nobody.
        unsafe { &*seat }
    }

    /// Puts another one in use; the one before it.
    fn change(&self, seat: Seat) -> &Seat {
        let former = self.current();
        let seat = Box::into_raw(Box::new(seat));
        self.all.lock().unwrap_or_else(PoisonError::into_inner).push(SeatPointer(seat));
        point();
        self.current.store(seat, Ordering::Release);
        former
    }
}

impl Drop for Seats {
    fn drop(&mut self) {
        let all = self.all.get_mut().unwrap_or_else(PoisonError::into_inner);
        for SeatPointer(seat) in all.drain(..) {
            // SAFETY: from `Box::into_raw`, in the list once, and no borrow outlives `self`.
            drop(unsafe { Box::from_raw(seat) });
        }
    }
}

impl fmt::Debug for Seats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.current().fmt(f)
    }
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Shared {
    seats: Seats,
    /// For each region.
    pub(super) posts: Vec<Post>,
    /// How often something was left in one of them; can be waited on.
    pub(super) posted: AtomicU64,
    /// The epoch that the cyclic thread acts under; zero when it does not.
    pub(super) acting: AtomicU64,
    /// Whether the daemon is there.
    pub(super) has_daemon: AtomicBool,
    pub(super) stops: AtomicBool,
    /// Wakes the service thread.
    pub(super) wake: Wake,
    /// Tells the application that its role has changed.
    pub(super) changed: Wake,
    /// Why the daemon did not take it back, for people.
    trouble: Mutex<String>,
}

impl Shared {
    pub(super) fn new(seat: Seat, regions: usize) -> io::Result<Self> {
        Ok(Self {
            seats: Seats::new(seat),
            posts: (0..regions).map(|_| Post::new()).collect(),
            posted: AtomicU64::new(0),
            acting: AtomicU64::new(0),
            has_daemon: AtomicBool::new(true),
            stops: AtomicBool::new(false),
            wake: Wake::new()?,
            changed: Wake::new()?,
            trouble: Mutex::new(String::new()),
        })
    }

    /// Leaves a segment to read for the cyclic thread, and wakes it. Thread: the service's.
    pub(super) fn show(&self, region: usize, reading: Reading) {
        self.posts[region].show(Box::new(reading));
        self.count_post();
    }

    /// Leaves a segment to write for the cyclic thread, and wakes it. Thread: the service's.
    pub(super) fn hand_over(&self, region: usize, writing: Writing) {
        self.posts[region].hand_over(Box::new(writing));
        self.count_post();
    }

    fn count_post(&self) {
        self.posted.fetch_add(1, Ordering::Release);
        wake_waiters(&self.posted);
    }

    /// Thread: any. Real-time class: one load.
    pub(super) fn seat(&self) -> &Seat {
        self.seats.current()
    }

    /// Role and epoch, without giving way to another thread of a model.
    #[cfg(test)]
    pub(super) fn office_unscheduled(&self) -> Office {
        // SAFETY: as in `Seats::current`.
        unsafe { &*self.seats.current.load(Ordering::Acquire) }.page.office()
    }

    /// Puts another seat in use; the one before it. Thread: the service's.
    pub(super) fn change_seat(&self, seat: Seat) -> &Seat {
        self.seats.change(seat)
    }

    /// Whether the daemon says so and the state is taken over, and it has not left. Thread: any.
    /// Real-time class: four loads.
    pub(super) fn may_act(&self) -> bool {
        let Office { role, epoch } = self.seat().page.office();
        let acts = role == Role::Active && epoch == self.acting.load(Ordering::Acquire);
        acts && !self.stops.load(Ordering::Acquire)
    }

    pub(super) fn tell_trouble(&self, trouble: String) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    pub(super) fn trouble(&self) -> String {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
