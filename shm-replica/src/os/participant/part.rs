//! A region as the cyclic thread has it: what it writes to, what it reads from, and the last
//! verified image.

use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::mapping::Mapping;
use super::super::wake::Seen;
use super::chain::Chain;
use super::options::Written;
use super::shared::{Post, Reading, Use, Writing, zeros};
use crate::image::{Image, ImageReader, NoImage, Stamp};
use crate::word::Word as _;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) written: Option<Written>,
    /// Segments to write: at most one of them in force.
    writings: [Option<Box<Writing>>; 2],
    /// Which of them is written; none while this participant is not in charge.
    current: Option<usize>,
    /// The newest segment that has something to read.
    pub(super) reading: Option<Box<Reading>>,
    /// One that came after it and has nothing to read yet.
    later: Option<Box<Reading>>,
    /// The newest two epochs whose segments were shown; an empty one may not be kept.
    shown: [u64; 2],
    /// The last verified image; before the first, what the application began with.
    front: Vec<u8>,
    /// What is known of it; none before the first.
    pub(super) image: Option<Image>,
    /// What was found and is not taken yet: it lies in the reading's spare.
    candidate: Option<Image>,
    /// Whether the newest commit when it was looked for was newer than all that is whole.
    pub(super) newest_is_lost: bool,
    /// The epoch and the number of the newest commit that a wait told of.
    pub(super) waited: (u64, u64),
    /// Commits of segments that are read no more, and were not read.
    unread: u64,
    /// Whether the slot in place is open.
    is_open: bool,
}

impl Part {
    pub(super) fn new(written: Option<Written>) -> Self {
        let octets = written.map_or(0, |it| it.layout.image_octets());
        Self {
            written,
            writings: [None, None],
            current: None,
            reading: None,
            later: None,
            shown: [0; 2],
            front: zeros(octets),
            image: None,
            candidate: None,
            newest_is_lost: false,
            waited: (0, 0),
            unread: 0,
            is_open: false,
        }
    }

    /// Whether it belongs to the cut.
    pub(super) fn is_in_cut(&self) -> bool {
        self.written.is_some_and(|it| !it.separate)
    }

    /// Whether it is written, and by itself.
    pub(super) fn is_separate(&self) -> bool {
        self.written.is_some_and(|it| it.separate)
    }

    /// The last verified image.
    pub(super) fn front(&self) -> &[u8] {
        &self.front
    }

    /// For the application to say what it begins with.
    pub(super) fn front_mut(&mut self) -> &mut [u8] {
        &mut self.front
    }

    /// Takes what the service thread left, and sends back what it replaces. Real-time class: no
    /// system call, no allocation.
    pub(super) fn collect(&mut self, post: &Post) {
        self.collect_writings(post).send(&post.writing_back);
        self.collect_readings(post).send(&post.reading_back);
    }

    /// What came goes where it belongs; what it replaces is returned.
    fn collect_readings(&mut self, post: &Post) -> Chain<Reading> {
        let mut gone = Chain::new();
        let due = self.later.take_if(|it| it.has_commits());
        let mut came = post.reading.take();
        let former = came.as_mut().and_then(|it| it.former.take());
        for reading in [due, former, came].into_iter().flatten() {
            self.was_shown(reading.passed);
            self.was_shown(reading.epoch);
            let is_known = |it: &Option<Box<Reading>>| {
                it.as_ref().is_some_and(|it| it.file == reading.file && it.epoch == reading.epoch)
            };
            // What has nothing to read makes way for what has, be that older: its owner left none.
            let makes_way = |it: &mut Box<Reading>| {
                it.epoch > reading.epoch && !it.has_commits() && reading.has_commits()
            };
            if let Some(empty) = self.reading.take_if(makes_way)
                && let Some(old) = self.later.replace(empty)
            {
                gone.push(old);
            }
            // A daemon that was started again may know less than who lived on.
            let is_older = self.reading.as_ref().is_some_and(|it| it.epoch > reading.epoch);
            // Who reads it goes on where it is.
            if is_older || is_known(&self.reading) || is_known(&self.later) {
                gone.push(reading);
                continue;
            }
            let is_later = self.reading.is_some() && !reading.has_commits();
            let epoch = reading.epoch;
            let place = if is_later { &mut self.later } else { &mut self.reading };
            let replaced = place.replace(reading);
            if !is_later && let Some(old) = &replaced {
                self.unread = self.unread.saturating_add(old.unread());
            }
            let passed = self.later.take_if(|it| !is_later && it.epoch < epoch);
            [replaced, passed].into_iter().flatten().for_each(|old| gone.push(old));
        }
        gone
    }

    /// As above, with segments to write: each takes the place of the one that is of least use.
    fn collect_writings(&mut self, post: &Post) -> Chain<Writing> {
        let mut gone = Chain::new();
        let mut came = post.writing.take();
        let former = came.as_mut().and_then(|it| it.former.take());
        for writing in [former, came].into_iter().flatten() {
            let usage = |index: usize| self.writings[index].as_ref().map(|it| it.usage());
            let place = usize::from(usage(1) < usage(0));
            if let Some(old) = self.writings[place].replace(writing) {
                gone.push(old);
            }
        }
        gone
    }

    /// The segment that is in force under `epoch`, if it came already, is the one that is written.
    pub(super) fn take_over(&mut self, epoch: u64) -> bool {
        if self.written.is_none() {
            return true;
        }
        let is_it = |it: &Option<Box<Writing>>| {
            it.as_ref().is_some_and(|it| it.usage() == Use::InForce(epoch))
        };
        self.current = self.writings.iter().position(is_it);
        self.current.is_some()
    }

    pub(super) fn step_down(&mut self) {
        self.current = None;
        self.is_open = false;
    }

    fn writing(&mut self) -> Option<&mut Writing> {
        self.writings[self.current?].as_deref_mut()
    }

    // ---- Reading --------------------------------------------------------------------------------

    /// The newest epoch before `before` whose owner has this region in charge, of those whose
    /// segments were shown; zero where there is none.
    pub(super) fn newest_epoch(&self, before: u64) -> u64 {
        self.shown.into_iter().find(|epoch| *epoch < before).unwrap_or(0)
    }

    /// The newest epoch before another whose owner left something to read; zero where none did.
    /// One that did not may have had some regions only: the daemon died while it put it in charge.
    pub(super) fn state_epoch(&self, before: u64) -> u64 {
        let reading = self.reading.as_deref().filter(|it| it.epoch < before && it.has_commits());
        reading.map_or(0, |it| it.epoch)
    }

    fn was_shown(&mut self, epoch: u64) {
        let [newest, second] = self.shown;
        if epoch > newest {
            self.shown = [epoch, newest];
        } else if epoch < newest {
            self.shown[1] = second.max(epoch);
        }
    }

    /// Whether there is an image that was not looked at.
    pub(super) fn has_news(&self) -> bool {
        let news = |it: &Reading| it.reader.newest_sequence() != it.looked;
        self.reading.as_deref().is_some_and(news)
    }

    /// The same, of those that came after [`Self::waited`]: what that is then.
    pub(super) fn news_since_wait(&self) -> Option<(u64, u64)> {
        let reading = self.reading.as_deref()?;
        let newest = (reading.epoch, reading.reader.newest_sequence());
        (newest.1 != reading.looked && newest != self.waited).then_some(newest)
    }

    /// Whether the segment that came later has something to read by now.
    pub(super) fn has_later_news(&self) -> bool {
        self.later.as_deref().is_some_and(Reading::has_commits)
    }

    /// The words that commits change, as they are: of the segment that is read, and of a later one.
    pub(super) fn awaited(&self) -> [Option<Seen<'_>>; 2] {
        [&self.reading, &self.later].map(|it| it.as_deref().and_then(Reading::newest))
    }

    /// Looks for the newest whole image whose cycle is not after `cycle_max`; it is not taken yet.
    pub(super) fn find(&mut self, cycle_max: u64) -> Result<Image, NoImage> {
        let reading = self.reading.as_deref_mut().ok_or(NoImage::Nothing)?;
        // Looked at whether it is whole or not: one that is not does not get whole.
        reading.looked = reading.reader.newest_sequence();
        let (reader, target) = reading.with_room();
        let found = reader.last_whole_to(cycle_max, target);
        // The first look of those for one cut.
        if self.candidate.is_none() {
            let held = self.image.filter(|it| it.stamp.epoch == reading.epoch);
            let whole = [held, found.ok()].into_iter().flatten().map(|it| it.sequence).max();
            self.newest_is_lost = whole.unwrap_or(0) < reading.looked;
        }
        let found = found?;
        reading.map(&self.front);
        self.candidate = Some(found);
        Ok(found)
    }

    /// Takes what was found.
    pub(super) fn take_found(&mut self) {
        let Some(found) = self.candidate.take() else { return };
        self.flip(found);
    }

    pub(super) fn drop_found(&mut self) {
        self.candidate = None;
    }

    /// The cycle of what was found and not taken.
    pub(super) fn found_cycle(&self) -> Option<u64> {
        self.candidate.map(|it| it.stamp.cycle)
    }

    /// What is held of this region belongs to none that is in charge: it is no state of the cut.
    pub(super) fn forget(&mut self) {
        self.image = None;
    }

    /// Reads and takes the newest image, or the next one.
    pub(super) fn read(&mut self, in_order: bool) -> Result<Image, NoImage> {
        let reading = self.reading.as_deref_mut().ok_or(NoImage::Nothing)?;
        let newest = reading.reader.newest_sequence();
        let (reader, target) = reading.with_room();
        let found = if in_order { reader.next(target) } else { reader.newest(target) };
        // What is not whole was looked at, too: nobody is to be woken by it again.
        reading.looked = match found {
            Ok(_) | Err(NoImage::Corrupt(_)) => reader.last(),
            Err(_) => newest,
        };
        let mut found = found?;
        reading.map(&self.front);
        found.skipped = found.skipped.saturating_add(mem::take(&mut self.unread));
        self.flip(found);
        Ok(found)
    }

    fn flip(&mut self, image: Image) {
        if let Some(reading) = &mut self.reading {
            mem::swap(&mut self.front, &mut reading.spare[0]);
            self.image = Some(image);
        }
    }

    // ---- Writing --------------------------------------------------------------------------------

    /// Commits the image that is held, as what it is, so that the new segment begins with it.
    pub(super) fn commit_held(&mut self, epoch: u64) {
        let Some(Image { stamp, .. }) = self.image else { return };
        let Self { writings, current, front, .. } = self;
        let Some(writing) = current.and_then(|current| writings[current].as_mut()) else { return };
        let committed = writing.writer.publish(front, Stamp { epoch, ..stamp });
        debug_assert!(committed.is_ok(), "an image that is held has the region's size");
    }

    /// Commits the slot in place, or blocks that fill the image.
    pub(super) fn commit<'a, I>(&mut self, stamp: Stamp, blocks: impl FnOnce() -> I) -> bool
    where
        I: IntoIterator<Item = &'a [u8]>,
    {
        if self.written.is_some_and(|it| it.in_place) {
            self.commit_in_place(stamp)
        } else {
            self.commit_blocks(blocks().into_iter(), stamp)
        }
    }

    fn commit_blocks<'a>(
        &mut self,
        mut blocks: impl Iterator<Item = &'a [u8]>,
        stamp: Stamp,
    ) -> bool {
        let Some(writing) = self.writing() else { return false };
        let first = blocks.next().unwrap_or_default();
        let Some(second) = blocks.next() else {
            // In one piece it goes the shortest way.
            return writing.writer.publish(first, stamp).is_ok();
        };
        let mut draft = writing.writer.begin();
        for block in [first, second].into_iter().chain(blocks) {
            if draft.append(block).is_err() {
                return false;
            }
        }
        draft.commit(stamp).is_ok()
    }

    /// The slot in place, holding the last image until it is written.
    pub(super) fn open(&mut self) -> Option<&mut [u8]> {
        let Self { writings, current, front, is_open, .. } = self;
        let writing = writings[(*current)?].as_deref_mut()?;
        writing.open_slot(front, mem::replace(is_open, true))
    }

    fn commit_in_place(&mut self, stamp: Stamp) -> bool {
        if !self.is_open && self.open().is_none() {
            return false;
        }
        self.is_open = false;
        self.writing().is_some_and(|it| it.commit_slot(stamp))
    }

    /// Wakes who waits for commits.
    pub(super) fn wake(&mut self) {
        if let Some(writing) = self.writing() {
            super::super::wake::wake_all(writing.writer.memory(), &writing.layout.place());
        }
    }
}

impl Reading {
    /// Commits after the one that was read last, if any was.
    fn unread(&self) -> u64 {
        let last = self.reader.last();
        if last == 0 { 0 } else { self.reader.newest_sequence().saturating_sub(last) }
    }

    fn newest(&self) -> Option<Seen<'_>> {
        let word = self.reader.memory().get(self.layout.place().newest)?;
        Some(Seen { word, value: word.load(Ordering::Acquire) })
    }

    /// The reader, and where the image goes that is read next.
    fn with_room(&mut self) -> (&mut ImageReader<Mapping>, &mut [u8]) {
        let Self { reader, raw, spare: [first, second], copies, taken_octets, .. } = self;
        // What was swapped in may have had another size.
        if first.len() != *taken_octets {
            mem::swap(first, second);
        }
        (reader, if copies.is_some() { raw } else { first })
    }

    /// Takes over what is mapped; the rest is as it was.
    fn map(&mut self, front: &[u8]) {
        let Some(copies) = &self.copies else { return };
        let target = &mut self.spare[0];
        if target.len() == front.len() {
            target.copy_from_slice(front);
        }
        for copy in copies {
            let within = copy.apply(&self.raw, target);
            debug_assert!(within, "blocks lie within images of their schema");
        }
    }
}

impl Writing {
    /// Opens the next slot and lends it; it holds `front` where there was no commit, else the last
    /// image.
    fn open_slot(&mut self, front: &[u8], was_open: bool) -> Option<&mut [u8]> {
        let last = self.writer.sequence();
        let octets = self.layout.image_octets();
        let start = self.slot(last.wrapping_add(1))?;
        if !was_open {
            let words = self.writer.open_in_place();
            if last == 0 {
                AtomicU64::store_octets(words, front);
            } else {
                let from = self.slot(last)?;
                // SAFETY: both are `octets` octets of this mapping, of different slots; the former
                // is changed by nobody else, the latter is open and this writer's alone.
                unsafe { std::ptr::copy_nonoverlapping(from.cast_const(), start, octets) };
            }
        }
        // SAFETY: `octets` octets of this mapping, open and this writer's alone: other processes
        // read it, and what they read they do not use while the slot is open.
        Some(unsafe { std::slice::from_raw_parts_mut(start, octets) })
    }

    fn commit_slot(&mut self, stamp: Stamp) -> bool {
        let Some(start) = self.slot(self.writer.sequence().wrapping_add(1)) else { return false };
        // SAFETY: as in `open_slot`; nobody writes while it is summed.
        let image = unsafe { std::slice::from_raw_parts(start, self.layout.image_octets()) };
        self.writer.commit_in_place(image, stamp).is_ok()
    }

    fn slot(&self, sequence: u64) -> Option<*mut u8> {
        self.writer.memory().octets_at(self.layout.image_at(sequence), self.layout.image_octets())
    }
}
