//! The cyclic half of a participant: what a control loop calls.
//!
//! A cycle begins with [`Cyclic::begin`], which says who this participant is now, and ends, where
//! it is active, with [`Cyclic::commit`]. Nothing here allocates, frees, takes a lock or makes a
//! system call, but the wake of those who asked for it and the one wait.
//!
//! **The cut.** All regions of a participant that are not separate are committed one after the
//! other, with one stamp. Whoever dies between two of them leaves one a cycle ahead; what is taken
//! over is the newest cycle that all of them have, whole. A hot standby takes each cut over as it
//! comes, so that it has one in its own memory, verified, whatever happens to the rings.
//!
//! **Taking over** is: find the newest cut in what the former owner wrote (or keep the one that is
//! held), commit it to the own segments, act. So the new segments are never without a state, and
//! who takes over next goes on from there even if this one dies in its first cycle.

use std::io;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use rt_core::os::clock::{MonotonicClock, realtime_ns};
use rt_core::time::{Duration, Instant};
use thiserror::Error;

use super::super::mapping::Mapping;
use super::super::wake::{Seen, wait_any};
use super::attachment::Plan;
use super::part::Part;
use super::shared::Shared;
use crate::attach::StandbyClass;
use crate::image::{Image, NoImage, Stamp, WrongSize};
use crate::page::{Office, Page, Role};

/// Looks for a cut that all regions have; each finds an older one than the look before.
const LOOKS: usize = 4;

/// What a cycle begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cycle {
    /// What this participant is in this cycle.
    pub role: Role,
    /// The epoch in force; its own where it is active.
    pub epoch: u64,
    /// The number that this cycle will have when it is committed; for a standby the last one that
    /// it holds.
    pub number: u64,
    /// When it began, CLOCK_MONOTONIC.
    pub began_at: Instant,
    /// The application's own time in ns: it goes on across a takeover, the gap included.
    pub time_ns: u64,
    /// Set in the first cycle in which it is active: what it begins with.
    pub took_over: Option<Restored>,
    /// Whether it was active in the cycle before and is not any more.
    pub stepped_down: bool,
    /// Whether the daemon is there. Without it everything goes on, but there is no takeover.
    pub has_daemon: bool,
}

/// What a participant begins with when it becomes active.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restored {
    /// There is no state: nobody was active before.
    Nothing,
    /// With the state after this cycle.
    State {
        /// The last cycle that was committed.
        cycle: u64,
        /// How long ago.
        age: Duration,
        /// Whether there was a newer one, and it is not whole.
        newer_lost: bool,
    },
    /// There was a state, and there is none that is whole. What to do then is for the application
    /// to say: it begins as if there had been none.
    Lost(NoImage),
}

/// Why a call of the cyclic half did nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum CycleError {
    /// [`Cyclic::begin`] comes first.
    #[error("no cycle has begun: call cycle_begin first, once for each commit")]
    NotBegun,
    /// It is not active, or no more. Its outputs are not wanted.
    #[error("this participant is not active: it may neither commit nor act")]
    NotActive,
    /// No such region, or not of this kind.
    #[error("no region has the number {0}, or it is of another kind than this is for")]
    NoRegion(usize),
    /// The blocks do not fill the image.
    #[error(transparent)]
    WrongSize(#[from] WrongSize),
}

/// See the module's text.
#[derive(Debug)]
pub struct Cyclic {
    shared: Arc<Shared>,
    plan: Arc<Plan>,
    parts: Vec<Part>,
    /// The last cycle that was committed, by whomever.
    cycle: u64,
    clock: ApplicationClock,
    begun: bool,
    /// Of the wall clock, at the beginning of the cycle.
    wall_clock_offset_ns: u64,
    /// What had been told when it was looked at last.
    told: Told,
}

/// How much was told from outside a ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Told {
    /// Which page: each counts for itself, and all stay where they are.
    page: usize,
    /// The page's count of changes.
    changes: u64,
    /// Segments that were left.
    posted: u64,
}

impl Told {
    fn by(shared: &Shared) -> Self {
        let page = &shared.seat().page;
        Self {
            page: ptr::from_ref(page).addr(),
            changes: page.changes(),
            posted: shared.posted.load(Ordering::Acquire),
        }
    }
}

/// The application's own time: a point of it, and when that was.
#[derive(Clone, Copy, Debug)]
struct ApplicationClock {
    time_ns: u64,
    at: Instant,
}

impl ApplicationClock {
    const fn at(self, now: Instant) -> u64 {
        self.time_ns.saturating_add(now.since(self.at).as_nanos())
    }
}

impl Cyclic {
    pub(super) fn new(shared: Arc<Shared>, plan: Arc<Plan>) -> Self {
        let parts = plan.regions.iter().map(|region| Part::new(region.written)).collect();
        let clock = ApplicationClock { time_ns: 0, at: MonotonicClock::now() };
        let told = Told::by(&shared);
        let mut new = Self {
            shared,
            plan,
            parts,
            cycle: 0,
            clock,
            begun: false,
            wall_clock_offset_ns: 0,
            told,
        };
        new.collect();
        new
    }

    /// The image that a region begins with if there is nothing to restore; what is not mapped from
    /// another schema's images stays as it is here. To be filled before the first cycle.
    pub fn initial_image(&mut self, region: usize) -> Option<&mut [u8]> {
        let part = self.parts.get_mut(region).filter(|it| it.written.is_some())?;
        Some(part.front_mut())
    }

    /// Begins a cycle: who am I, and what do I begin with. A hot standby takes the newest cut over.
    /// Real-time class: copies of images where there are new ones, no system call.
    pub fn begin(&mut self) -> Cycle {
        // In this order: what passes between the two looks makes a commit's wall clock earlier,
        // never later than the commit was.
        let wall_clock_ns = realtime_ns();
        let now = MonotonicClock::now();
        self.wall_clock_offset_ns = wall_clock_ns.saturating_sub(now.as_nanos());
        // Before all looks: a change after this is not waited for.
        self.told = Told::by(&self.shared);
        self.collect();
        let office = self.shared.seat().page.office();
        let acted = self.shared.acting.load(Ordering::Relaxed);
        let acts = office.role == Role::Active && office.epoch == acted;
        let stepped_down = acted != 0 && !acts;
        if stepped_down {
            self.step_down();
        }
        let took_over = (office.role == Role::Active && !acts).then(|| self.take_over(office, now));
        let took_over = took_over.flatten();
        let role = match office.role {
            // Its memory has not come yet.
            Role::Active if !acts && took_over.is_none() => Role::Standby,
            role => role,
        };
        if role != Role::Active && self.plan.class == StandbyClass::Hot {
            self.follow();
        }
        self.begun = true;
        Cycle {
            role,
            epoch: office.epoch,
            number: if role == Role::Active { self.cycle.saturating_add(1) } else { self.cycle },
            began_at: now,
            time_ns: self.clock.at(now),
            took_over,
            stepped_down,
            has_daemon: self.shared.has_daemon.load(Ordering::Relaxed),
        }
    }

    /// Commits the images of all regions that are not separate; the cycle's number. `blocks_of`
    /// says of what a region's image is made: whole words each but for the last, or filled up. A
    /// region in place is committed as it stands, and not asked for. Real-time class: a copy of
    /// each image and its checksum; one system call for each region that somebody waits for.
    ///
    /// # Errors
    /// Nothing is committed then; with [`CycleError::NotActive`] nothing that has to be what the
    /// next owner goes on from.
    pub fn commit<'a, I>(
        &mut self,
        mut blocks_of: impl FnMut(usize) -> I,
    ) -> Result<u64, CycleError>
    where
        I: IntoIterator<Item = &'a [u8]>,
    {
        let stamp = self.next_stamp()?;
        for (index, part) in self.parts.iter().enumerate() {
            if let Some(written) = part.written.filter(|it| !it.separate && !it.in_place) {
                fills(blocks_of(index), written.layout.image_octets())?;
            }
        }
        for (index, part) in self.parts.iter_mut().enumerate() {
            if part.is_in_cut() {
                let committed = part.commit(stamp, || blocks_of(index));
                debug_assert!(committed, "the sizes were looked at, and the segments are there");
            }
        }
        self.begun = false;
        self.still_active()?;
        self.cycle = stamp.cycle;
        for index in 0..self.parts.len() {
            if self.parts[index].is_in_cut() {
                self.wake(index);
            }
        }
        Ok(stamp.cycle)
    }

    /// Whether a commit that has just been made counts: who was relieved meanwhile may have been
    /// too late for the next owner's look, which comes after the page was changed. Real-time
    /// class: a fence and three loads.
    fn still_active(&self) -> Result<(), CycleError> {
        // The commit is stored before the page is looked at.
        fence(Ordering::SeqCst);
        if self.shared.may_act() { Ok(()) } else { Err(CycleError::NotActive) }
    }

    /// Commits one separate region, with the number of the cycle that has begun. Otherwise as
    /// [`Self::commit`].
    ///
    /// # Errors
    /// Nothing is committed then.
    pub fn commit_separate<'a>(
        &mut self,
        region: usize,
        blocks: impl IntoIterator<Item = &'a [u8]> + Clone,
    ) -> Result<u64, CycleError> {
        let stamp = self.next_stamp()?;
        let part = self.parts.get_mut(region).ok_or(CycleError::NoRegion(region))?;
        let written = part.written.filter(|it| it.separate).ok_or(CycleError::NoRegion(region))?;
        if !written.in_place {
            fills(blocks.clone(), written.layout.image_octets())?;
        }
        let committed = part.commit(stamp, || blocks);
        debug_assert!(committed, "the sizes were looked at, and the segment is there");
        self.still_active()?;
        self.wake(region);
        Ok(stamp.cycle)
    }

    /// The image of a region in place, for this cycle: it holds the last one. Valid until it is
    /// committed. Real-time class: a copy of the image, once in a cycle.
    ///
    /// # Errors
    /// Not now, or not this region.
    pub fn open(&mut self, region: usize) -> Result<&mut [u8], CycleError> {
        self.next_stamp()?;
        let part = self.parts.get_mut(region).ok_or(CycleError::NoRegion(region))?;
        part.written.filter(|it| it.in_place).ok_or(CycleError::NoRegion(region))?;
        part.open().ok_or(CycleError::NotActive)
    }

    /// What is known of a region's last verified image, and the image; none before the first. A
    /// standby of class hot has it as of the beginning of the cycle, and all regions of one and the
    /// same cycle. Real-time class: no copy.
    #[must_use]
    pub fn image(&self, region: usize) -> Option<(Image, &[u8])> {
        let part = self.parts.get(region)?;
        Some((part.image?, part.front()))
    }

    /// Reads a region's newest image, or the one after that which was read last;
    /// [`Self::image`] has it then. A hot standby holds a cut of the regions that it may write, as
    /// of the beginning of the cycle: of these it gets the image that it holds, be it new or not.
    /// At a takeover what was not read of the former owner's counts as skipped, and the image that
    /// the new owner went on from comes again, as the new owner's. Real-time class: a copy of the
    /// image, thrice at most.
    ///
    /// # Errors
    /// There is none, or none that is new; what was held is held.
    pub fn read(&mut self, region: usize, in_order: bool) -> Result<Image, NoImage> {
        self.collect_one(region);
        let is_hot = self.plan.class == StandbyClass::Hot;
        let part = self.parts.get_mut(region).ok_or(NoImage::Nothing)?;
        if is_hot && part.is_in_cut() {
            return part.image.ok_or(NoImage::Nothing);
        }
        part.read(in_order)
    }

    /// Waits until a region has a new image, the role changes, or `until`. Whether there may be
    /// something new. Real-time class: the one wait of its thread.
    ///
    /// # Errors
    /// The kernel knows no such wait.
    pub fn wait(&mut self, region: usize, until: Instant) -> io::Result<bool> {
        let told = Told::by(&self.shared);
        if told != self.told {
            // Once: what it was is for the caller to look at.
            self.told = told;
            return Ok(true);
        }
        self.collect();
        let seat = self.shared.seat();
        let Some(changes) = seat.page.memory().get(Page::<Mapping>::CHANGES) else {
            return Ok(true);
        };
        let changes = Seen { word: changes, value: told.changes };
        let posted = Seen { word: &self.shared.posted, value: told.posted };
        // One who writes it has no news of it; one who stands by, when all of the cut is there.
        let follows = self.shared.acting.load(Ordering::Relaxed) == 0 && self.can_follow();
        let is_hot = self.plan.class == StandbyClass::Hot;
        let [mut reading, mut later] = [None, None];
        if let Some(part) = self.parts.get_mut(region) {
            // What the words are is looked at before the news: what comes later is not slept over.
            let awaited = part.awaited();
            match part.is_in_cut() {
                true if !follows => {}
                // It follows nothing by itself: once for each commit, be it read or not.
                true if !is_hot => {
                    if let Some(newest) = part.news_since_wait() {
                        part.waited = newest;
                        return Ok(true);
                    }
                }
                _ if part.has_news() || part.has_later_news() => return Ok(true),
                _ => {}
            }
            [reading, later] = awaited;
        }
        let words = [reading.unwrap_or(changes), later.unwrap_or(changes), changes, posted];
        wait_any(words, until)
    }

    /// Takes the newest cut over now: for a standby that is not hot, which does so only when it
    /// becomes active. A hot one does at the beginning of each cycle. Real-time class: as
    /// [`Self::begin`].
    pub fn catch_up(&mut self) {
        if self.shared.acting.load(Ordering::Relaxed) == 0 {
            self.follow();
        }
    }

    /// Whether this participant may act now: the daemon says so, and the state is taken over.
    /// Real-time class: three loads.
    #[must_use]
    pub fn may_act(&self) -> bool {
        self.shared.may_act()
    }

    // ---- Within ---------------------------------------------------------------------------------

    fn collect(&mut self) {
        for (part, post) in self.parts.iter_mut().zip(&self.shared.posts) {
            part.collect(post);
        }
    }

    fn collect_one(&mut self, region: usize) {
        if let (Some(part), Some(post)) =
            (self.parts.get_mut(region), self.shared.posts.get(region))
        {
            part.collect(post);
        }
    }

    fn next_stamp(&self) -> Result<Stamp, CycleError> {
        if !self.begun {
            return Err(CycleError::NotBegun);
        }
        if !self.shared.may_act() {
            return Err(CycleError::NotActive);
        }
        Ok(self.stamp(self.cycle.saturating_add(1), MonotonicClock::now()))
    }

    fn stamp(&self, cycle: u64, now: Instant) -> Stamp {
        Stamp {
            epoch: self.shared.acting.load(Ordering::Relaxed),
            cycle,
            committed_at_ns: now.as_nanos(),
            wall_clock_ns: now.as_nanos().saturating_add(self.wall_clock_offset_ns),
            application_time_ns: self.clock.at(now),
        }
    }

    fn step_down(&mut self) {
        self.shared.acting.store(0, Ordering::Release);
        self.parts.iter_mut().for_each(Part::step_down);
    }

    /// Becomes active under the office's epoch; none while a segment is still on its way.
    fn take_over(&mut self, office: Office, now: Instant) -> Option<Restored> {
        let can_write = self.parts.iter_mut().all(|part| part.take_over(office.epoch));
        if !can_write || !self.was_shown(|page, place| page.former_epoch(place), office.epoch) {
            self.parts.iter_mut().for_each(Part::step_down);
            return None;
        }
        let fault = self.find_cut(office.epoch).err();
        for part in self.parts.iter_mut().filter(|it| it.is_separate()) {
            if part.find(u64::MAX).is_ok() {
                part.take_found();
            }
        }
        let in_charge = self.newest_epoch(office.epoch);
        let written = self.parts.iter_mut().filter(|it| it.written.is_some());
        for part in written.filter(|it| it.newest_epoch(office.epoch) < in_charge) {
            part.forget();
        }
        let held = self.cut().find_map(|it| it.image);
        let restored = match (held, fault) {
            (Some(Image { stamp, .. }), _) => {
                self.go_on_from(&stamp);
                Restored::State {
                    cycle: stamp.cycle,
                    age: now.since(Instant::from_nanos(stamp.committed_at_ns)),
                    newer_lost: self.cut().any(|it| it.newest_is_lost),
                }
            }
            (None, None | Some(NoImage::Nothing)) => Restored::Nothing,
            (None, Some(fault)) => Restored::Lost(fault),
        };
        for part in self.parts.iter_mut() {
            part.commit_held(office.epoch);
        }
        self.shared.acting.store(office.epoch, Ordering::Release);
        Some(restored)
    }

    const fn go_on_from(&mut self, stamp: &Stamp) {
        self.cycle = stamp.cycle;
        self.clock = ApplicationClock {
            time_ns: stamp.application_time_ns,
            at: Instant::from_nanos(stamp.committed_at_ns),
        };
    }

    /// Whether what has come is enough for a cut of the newest owner's.
    fn can_follow(&self) -> bool {
        let in_charge = self.newest_epoch(u64::MAX);
        // A daemon that was started again may know a new owner's segments of some regions only:
        // with what is held of the others they are no cut.
        let is_split = |it: &Part| it.newest_epoch(u64::MAX) < in_charge && it.image.is_some();
        self.was_shown(|page, place| page.region_epoch(place), u64::MAX)
            && !self.cut().any(is_split)
    }

    /// Takes the newest cut over, if there is one that was not looked at.
    fn follow(&mut self) {
        if self.cut().any(Part::has_news) && self.can_follow() {
            // If there is none that is whole, the one that is held is held.
            let _next_time = self.find_cut(u64::MAX);
            let held = self.cut().find_map(|it| it.image);
            if let Some(image) = held {
                self.go_on_from(&image.stamp);
            }
        }
    }

    /// Whether the segments of the owner that is asked for have come, of all regions that are
    /// written here: one by one they are mapped, and some of them say nothing of a cut. Those of
    /// `before` on do not count: they are this participant's own.
    fn was_shown(&self, epoch: impl Fn(&Page<Mapping>, usize) -> u64, before: u64) -> bool {
        let seat = self.shared.seat();
        let mut written = self.parts.iter().zip(seat.places).filter(|(it, _)| it.written.is_some());
        written.all(|(part, place)| epoch(&seat.page, place) <= part.newest_epoch(before))
    }

    /// Takes the newest cut over, of owners before `before`.
    fn find_cut(&mut self, before: u64) -> Result<(), NoImage> {
        let in_charge = self.newest_epoch(before);
        // One that the former owner did not have has nothing to say.
        let counts = |it: &&mut Part| it.is_in_cut() && it.newest_epoch(before) >= in_charge;
        self.parts.iter_mut().for_each(|it| it.newest_is_lost = false);
        let mut cycle = u64::MAX;
        let mut found = Err(NoImage::Nothing);
        for _ in 0..LOOKS {
            let before = cycle;
            found = self.parts.iter_mut().filter(counts).try_for_each(|part| {
                if part.found_cycle() != Some(cycle) {
                    cycle = part.find(cycle)?.stamp.cycle;
                }
                Ok(())
            });
            if found.is_err() || cycle == before {
                break;
            }
            found = Err(NoImage::Lapped);
        }
        // What is held was verified when it was whole: it is not given up for an older one.
        let is_newer = |it: &Part| {
            it.image.is_some_and(|held| held.stamp.epoch == in_charge && held.stamp.cycle > cycle)
        };
        let keeps = self.parts.iter_mut().filter(counts).all(|it| is_newer(it));
        for part in &mut self.parts {
            if found.is_ok() && !keeps { part.take_found() } else { part.drop_found() }
        }
        found
    }

    fn newest_epoch(&self, before: u64) -> u64 {
        self.cut().map(|part| part.state_epoch(before)).max().unwrap_or(0)
    }

    fn cut(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|it| it.is_in_cut())
    }

    fn wake(&mut self, region: usize) {
        let seat = self.shared.seat();
        if seat.places.get(region).is_some_and(|&place| seat.page.wake_wanted(place)) {
            self.parts[region].wake();
        }
    }
}

fn fills<'a>(blocks: impl IntoIterator<Item = &'a [u8]>, agreed: usize) -> Result<(), WrongSize> {
    let mut given = 0usize;
    for block in blocks {
        given = given.next_multiple_of(8).saturating_add(block.len());
    }
    if given == agreed { Ok(()) } else { Err(WrongSize { given, agreed }) }
}
