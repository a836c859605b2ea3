//! What there is, for people.

use std::ops::ControlFlow;

use super::{Broker, InForce};
use crate::book::ParticipantId;
use crate::image::Stamp;
use crate::os::connection::Peer;
use crate::page::Role;
use crate::ring;
use crate::segment::RegionName;

/// An application.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApplicationReport {
    /// Its name.
    pub name: RegionName,
    /// Its newest epoch; zero before the first.
    pub epoch: u64,
    /// Who is active.
    pub active: Option<Peer>,
    /// Who is ready and stands by.
    pub standbys: Vec<Peer>,
    /// An owner from before the daemon's start that is waited for.
    pub awaited: Option<i32>,
    /// Processes that stood by when the daemon ended, of which one is waited for.
    pub heirs: Vec<i32>,
}

/// A region.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegionReport {
    /// Its name.
    pub name: RegionName,
    /// Its application.
    pub application: RegionName,
    /// How many read it.
    pub readers: u32,
    /// The segment in force, if there is one.
    pub segment: Option<SegmentReport>,
}

/// A segment in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SegmentReport {
    /// Its epoch.
    pub epoch: u64,
    /// Octets of its image.
    pub image_octets: usize,
    /// Octets of its memory.
    pub segment_octets: usize,
    /// Its writer, if it is there.
    pub writer: Option<Peer>,
    /// The newest commit and its stamp, of the epoch before where there is none in this one; none
    /// before the first. Shown as the writer wrote it: the image behind it is not verified.
    pub newest: Option<(u64, Stamp)>,
}

impl Broker {
    /// The applications, in the order in which they were added to the book.
    #[must_use]
    pub fn applications(&self) -> Vec<ApplicationReport> {
        let report = |name| {
            let (active, epoch) = self.book.active(name).unwrap_or((None, 0));
            let awaited = self.awaited.iter().find(|(application, _)| *application == name);
            let are_out = self.book.are_heirs_out(name);
            let heirs = self.heirs.iter().filter(|(of, it)| are_out && *of == name && !it.is_back);
            ApplicationReport {
                name,
                epoch,
                active: active.and_then(|who| self.peer(who)),
                standbys: self.standbys(name).cloned().collect(),
                awaited: awaited.map(|(_, owner)| owner.pid),
                heirs: heirs.map(|(_, heir)| heir.pid).collect(),
            }
        };
        self.book.applications().map(report).collect()
    }

    /// The regions, in the order in which they were added to the book.
    #[must_use]
    pub fn regions(&self) -> Vec<RegionReport> {
        let report = |(name, application, readers)| {
            let id = self.book.region(name);
            // What is in force, and where that has no commit yet the newest that is readable.
            let (readable, behind) = id.map_or((None, None), |id| self.readable(id));
            let segment = behind.or(readable).map(|it| self.segment(it, readable.unwrap_or(it)));
            RegionReport { name, application, readers, segment }
        };
        self.book.regions().map(report).collect()
    }

    /// Who is ready for an application and stands by.
    pub(super) fn standbys(&self, application: RegionName) -> impl Iterator<Item = &Peer> {
        let standby = move |session: &&super::Session| {
            session.application == application && session.page.office().role == Role::Standby
        };
        self.sessions.iter().flatten().filter(standby).map(|it| &it.peer)
    }

    fn segment(&self, in_force: &InForce, readable: &InForce) -> SegmentReport {
        let layout = in_force.segment.header().layout;
        SegmentReport {
            epoch: in_force.epoch,
            image_octets: layout.image_octets(),
            segment_octets: layout.segment_octets(),
            writer: in_force.writer.and_then(|who| self.peer(who)),
            newest: newest(readable),
        }
    }

    fn peer(&self, who: ParticipantId) -> Option<Peer> {
        self.sessions[who.index()].as_ref().map(|session| session.peer.clone())
    }
}

/// The newest commit that bears the segment's epoch.
fn newest(in_force: &InForce) -> Option<(u64, Stamp)> {
    let place = in_force.segment.header().layout.place();
    let reader = ring::Reader::new(&**in_force.segment.memory(), place)?;
    let found = reader.back_from_newest(|sequence, ring| match ring.read(sequence, Stamp::peek) {
        Ok(Some(stamp)) if stamp.epoch == in_force.epoch => ControlFlow::Break((sequence, stamp)),
        _ => ControlFlow::Continue(()),
    });
    match found {
        ControlFlow::Break(found) => Some(found),
        ControlFlow::Continue(()) => None,
    }
}
