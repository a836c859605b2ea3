//! A region as the cyclic thread has it: what it writes to, what it reads from, and the last
//! verified image.

use std::mem;
use std::sync::atomic::AtomicU64;

use super::mailbox::Mailbox;
use super::options::Written;
use super::shared::{Post, Reading, Use, Writing};
use crate::image::{Image, NoImage, Stamp};
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
    /// The last verified image; before the first, what the application began with.
    front: Vec<u8>,
    /// What is known of it; none before the first.
    pub(super) image: Option<Image>,
    /// The newest epoch of all that came to be read.
    came: u64,
    /// Whether it is part of the state that is looked for.
    pub(super) counts: bool,
    /// What was found and is not taken yet: it lies in the reading's spare.
    candidate: Option<Image>,
    /// The newest commit when that was found.
    looks_at: u64,
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
            front: vec![0; octets],
            image: None,
            came: 0,
            counts: false,
            candidate: None,
            looks_at: 0,
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
        self.collect_writings(post);
        self.collect_readings(post);
    }

    /// A segment to write takes the place of the one that is of least use.
    fn collect_writings(&mut self, post: &Post) {
        let mut came = post.writing.take();
        let former = came.as_mut().and_then(|it| it.former.take());
        for writing in [former, came].into_iter().flatten() {
            let usage = |index: usize| self.writings[index].as_ref().map(|it| it.usage());
            let place = usize::from(usage(1) < usage(0));
            if let Some(old) = self.writings[place].replace(writing) {
                send_back(old, &post.writing_back);
            }
        }
    }

    /// A segment to read is read from now on if there is something in it, and later if not.
    fn collect_readings(&mut self, post: &Post) {
        let due = self.later.take_if(|it| it.has_commits());
        let mut came = post.reading.take();
        let former = came.as_mut().and_then(|it| it.former.take());
        for reading in [due, former, came].into_iter().flatten() {
            self.came = self.came.max(reading.epoch);
            let is_later = self.reading.is_some() && !reading.has_commits();
            let place = if is_later { &mut self.later } else { &mut self.reading };
            let replaced = place.replace(reading);
            let passed = if is_later { None } else { self.later.take() };
            for old in [replaced, passed].into_iter().flatten() {
                send_back(old, &post.reading_back);
            }
        }
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

    /// The newest epoch of what came to be read, but for one's own; zero where nothing came.
    pub(super) fn newest_epoch(&self, own: u64) -> u64 {
        let readings = [&self.reading, &self.later].into_iter().flatten();
        readings.map(|it| it.epoch).filter(|epoch| *epoch != own).max().unwrap_or(0)
    }

    /// Whether the segment of this epoch came, or a newer one.
    pub(super) fn came(&self, epoch: u64) -> bool {
        self.came >= epoch
    }

    /// Whether there is an image that was not looked at.
    pub(super) fn has_news(&self) -> bool {
        let news = |it: &Reading| it.reader.newest_sequence() != it.looked;
        self.reading.as_deref().is_some_and(news)
    }

    /// Looks for the newest whole image whose cycle is not after `cycle_max`; it is not taken yet.
    pub(super) fn find(&mut self, cycle_max: u64) -> Result<Image, NoImage> {
        let reading = self.reading.as_deref_mut().ok_or(NoImage::Nothing)?;
        reading.make_room();
        self.looks_at = reading.reader.newest_sequence();
        let Reading { reader, raw, spare, copies, .. } = reading;
        let target = if copies.is_some() { &mut raw[..] } else { &mut spare[0][..] };
        let found = reader.last_whole_to(cycle_max, target)?;
        reading.map(&self.front);
        self.candidate = Some(found);
        Ok(found)
    }

    /// Takes what was found.
    pub(super) fn take_found(&mut self) {
        let Some(found) = self.candidate.take() else { return };
        if let Some(reading) = &mut self.reading {
            reading.looked = self.looks_at;
        }
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
        reading.make_room();
        let newest = reading.reader.newest_sequence();
        let Reading { reader, raw, spare, copies, .. } = reading;
        let target = if copies.is_some() { &mut raw[..] } else { &mut spare[0][..] };
        let found = if in_order { reader.next(target) } else { reader.newest(target) }?;
        reading.map(&self.front);
        reading.looked = if in_order { found.sequence } else { newest };
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

    /// Commits blocks that fill the image.
    pub(super) fn commit_blocks<'a>(
        &mut self,
        blocks: impl Iterator<Item = &'a [u8]>,
        stamp: Stamp,
    ) -> bool {
        let Some(writing) = self.writing() else { return false };
        let mut draft = writing.writer.begin();
        for block in blocks {
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

    /// Commits the slot in place.
    pub(super) fn commit_in_place(&mut self, stamp: Stamp) -> bool {
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

/// What is of no use any more can be put on others of its kind.
trait Stack: Sized {
    fn stack_on(&mut self, others: Option<Box<Self>>);
}

impl Stack for Writing {
    fn stack_on(&mut self, others: Option<Box<Self>>) {
        self.former = others;
    }
}

impl Stack for Reading {
    fn stack_on(&mut self, others: Option<Box<Self>>) {
        self.former = others;
    }
}

/// Sends a box back to the service thread, with those that it has not fetched yet.
fn send_back<T: Stack>(mut old: Box<T>, back: &Mailbox<T>) {
    old.stack_on(back.take());
    let lay_there = back.put(old);
    debug_assert!(lay_there.is_none(), "nobody else puts anything there");
}

impl Reading {
    /// The first spare has the size of an image: what was swapped in may have had another.
    fn make_room(&mut self) {
        let [first, second] = &mut self.spare;
        if first.len() != self.taken_octets {
            mem::swap(first, second);
        }
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
