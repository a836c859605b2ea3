//! Segments that are in force no more, and hold the only state there is.
//!
//! Who takes over may die before its first commit. So the segment that it goes on from is kept
//! until its own has one, and whoever comes meanwhile gets both.

use super::{Broker, Host, InForce};
use crate::book::RegionId;
use crate::image::ImageReader;
use crate::os::wake;
use crate::segment::RegionName;

impl InForce {
    /// Whether there is something to read.
    pub(super) fn has_commits(&self) -> bool {
        let layout = self.segment.header().layout;
        let words = &**self.segment.memory();
        let reader = ImageReader::new(words, layout.place(), layout.image_octets(), self.epoch);
        reader.is_some_and(|it| it.newest_sequence() > 0)
    }
}

impl Broker {
    /// Marks a region's segment as one of the past.
    pub(super) fn supersede(&mut self, region: RegionId, epoch: u64, host: &mut impl Host) {
        let Some(mut former) = self.in_force[region.index()].take() else { return };
        former.writer = None;
        if let Ok(state) = former.segment.state() {
            state.supersede(epoch);
            // Who waits for its next commit would wait for ever.
            let place = former.segment.header().layout.place();
            wake::wake_all(former.segment.memory(), &place);
        }
        let passed = if former.has_commits() {
            self.past[region.index()].replace(former)
        } else {
            Some(former)
        };
        self.give_up(passed, host);
    }

    /// Gives up what has a successor with a state of its own.
    pub(super) fn bury_the_past(&mut self, host: &mut impl Host) {
        for index in 0..self.past.len() {
            let has_successor = self.in_force[index].as_ref().is_some_and(InForce::has_commits);
            let buried = self.past[index].take_if(|_| has_successor);
            self.give_up(buried, host);
        }
    }

    /// Lets a segment go that is of no use any more; whether there was one. The others of its epoch
    /// are kept with it as long as one of them is of use.
    pub(super) fn give_up(&mut self, segment: Option<InForce>, host: &mut impl Host) -> bool {
        let Some(InForce { segment, epoch, .. }) = segment else { return false };
        if let Some(application) = self.book.application_of(segment.header().name) {
            let mut others = self.in_force.iter().chain(&self.past).flatten();
            if !others.any(|it| self.is_of(it, application, epoch)) {
                host.forget(application, epoch);
            }
        }
        true
    }

    /// Whether a segment is one of an epoch of an application's.
    pub(super) fn is_of(&self, it: &InForce, application: RegionName, epoch: u64) -> bool {
        let name = it.segment.header().name;
        it.epoch == epoch && self.book.application_of(name) == Some(application)
    }

    /// What there is to read of a region: the newest that has a commit, and behind it the one that
    /// is in force, if that is another.
    pub(super) fn readable(&self, region: RegionId) -> (Option<&InForce>, Option<&InForce>) {
        let in_force = self.in_force[region.index()].as_ref();
        let past = self.past[region.index()].as_ref();
        match (past, in_force) {
            (Some(past), Some(new)) if !new.has_commits() => (Some(past), Some(new)),
            (Some(past), None) => (Some(past), None),
            (_, in_force) => (in_force, None),
        }
    }
}
