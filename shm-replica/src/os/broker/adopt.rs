//! Segments from a former life of the daemon: what is handed back to it is in force again, without
//! a writer, so that who reads finds the last image.

use std::os::fd::OwnedFd;

use thiserror::Error;

#[cfg(doc)]
use super::Host;
use super::{Broker, InForce};
use crate::book::RegionId;
use crate::os::segment::{Segment, SegmentError};
use crate::schema::Schema;
use crate::segment::{Header, RegionName};

/// Why a descriptor is not taken for a segment of this daemon's.
#[derive(Debug, Error)]
pub enum NotAdopted {
    /// It is none, or of another boot.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// Another user made it.
    #[error("the segment of region {0} was made by another user")]
    Foreign(RegionName),
    /// It was kept for another application or epoch than it says: its writer can write there.
    #[error("the segment says that it is of region {0}, epoch {1}; it was not kept as that")]
    Renamed(RegionName, u64),
    /// Its region is not configured any more.
    #[error("region {0} is not configured")]
    Unknown(RegionName),
    /// It was never in force, is so no more, or a newer one is.
    #[error("the segment of region {0} is not the newest")]
    Old(RegionName),
}

impl Broker {
    /// Takes a segment that a former life of the daemon left, and that was kept for an
    /// application's epoch, as [`Host::keep`] said; its region. What a segment says of itself its
    /// writer can change, to be taken for the state of an application that is none of its business;
    /// the name it was kept under it cannot.
    ///
    /// # Errors
    /// It is not what it has to be, or not of these; nothing has changed then.
    pub fn adopt(
        &mut self,
        kept_for: RegionName,
        kept_epoch: u64,
        file: OwnedFd,
    ) -> Result<RegionName, NotAdopted> {
        let segment = Segment::open(file, true)?;
        let header = *segment.header();
        let name = header.name;
        if !segment.is_of_this_user() {
            return Err(NotAdopted::Foreign(name));
        }
        let id = self.book.region(name).ok_or(NotAdopted::Unknown(name))?;
        let application = self.book.application_of(name).ok_or(NotAdopted::Unknown(name))?;
        let newest = self.book.active(application).map_or(0, |(_, epoch)| epoch);
        let schema = segment.schema_octets();
        if !fits(&header, &schema) {
            return Err(SegmentError::Schema.into());
        }
        let state = segment.state()?;
        let epoch = state.epoch().filter(|epoch| *epoch <= newest).ok_or(NotAdopted::Old(name))?;
        if (application, epoch) != (kept_for, kept_epoch) {
            return Err(NotAdopted::Renamed(name, epoch));
        }
        if state.superseded_by().is_some() {
            return self.adopt_past(id, InForce { segment, writer: None, epoch });
        }
        let place = &mut self.in_force[id.index()];
        if place.as_ref().is_some_and(|known| known.epoch >= epoch) {
            return Err(NotAdopted::Old(name));
        }
        if place.is_none() && !self.book.adopt(name, epoch, header.layout, header.schema_hash) {
            return Err(NotAdopted::Old(name));
        }
        self.schemas[id.index()] = schema;
        *place = Some(InForce { segment, writer: None, epoch });
        Ok(name)
    }

    /// One that was superseded is of use where its successor had no commit.
    fn adopt_past(&mut self, id: RegionId, past: InForce) -> Result<RegionName, NotAdopted> {
        let name = past.segment.header().name;
        let known = self.past[id.index()].as_ref();
        let is_newer = known.is_none_or(|known| known.epoch < past.epoch);
        if !is_newer || !past.has_commits() {
            return Err(NotAdopted::Old(name));
        }
        self.past[id.index()] = Some(past);
        Ok(name)
    }
}

/// Whether a schema is the one that a segment's header speaks of. Its writer can write to both: one
/// that fits no program would keep all of them out.
fn fits(header: &Header, schema: &[u8]) -> bool {
    if schema.is_empty() {
        return header.schema_hash == 0;
    }
    let image_octets = header.layout.image_octets();
    Schema::parse(schema)
        .is_ok_and(|it| it.hash() == header.schema_hash && it.image_octets() == image_octets)
}
