//! Becoming attached, for the first time or again after the daemon's end.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rt_core::limits::REGIONS_MAX;
use rt_core::time::{Duration, Instant};

use super::super::mapping::Mapping;
use super::super::page::open_page;
use super::super::segment::{MAP, Segment, SegmentError, failed};
use super::link::{AttachError, Heard, Link};
use super::options::Region;
use super::shared::{Reading, Seat, Writing};
use crate::attach::{Registration, Request, StandbyClass};
use crate::image::{ImageReader, ImageWriter};
use crate::page::{Office, Role};
use crate::schema::{BlockCopy, Schema, compare, map_by_name};
use crate::segment::{HEADER_OCTETS, Layout, RegionName, State};
use crate::word::{WORD_OCTETS, Word as _};

/// What does not change as long as a participant lives.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) application: RegionName,
    pub(super) class: StandbyClass,
    pub(super) cycle: Duration,
    pub(super) regions: Vec<Region>,
    /// What a commit of each of them was measured to cost here, in ns.
    pub(super) commit_cost_ns: Vec<u64>,
}

/// A segment to write that was handed over: its file, to be handed back to a new daemon, and its
/// header.
#[derive(Debug)]
pub(super) struct Held {
    file: OwnedFd,
    header: Mapping,
}

impl Held {
    fn new(file: OwnedFd) -> Result<Self, SegmentError> {
        let header = Mapping::new(&file, HEADER_OCTETS, false).map_err(failed(MAP))?;
        Ok(Self { file, header })
    }

    /// Whether it is the one in force under this epoch.
    pub(super) fn is_in_force(&self, epoch: u64) -> bool {
        State::new(&*self.header)
            .is_ok_and(|it| it.epoch() == Some(epoch) && it.superseded_by().is_none())
    }
}

/// What being attached brings for one region.
#[derive(Debug, Default)]
pub(super) struct Brought {
    pub(super) writing: Option<(Held, Writing)>,
    pub(super) reading: Option<Reading>,
}

/// A participant that is attached.
#[derive(Debug)]
pub(super) struct Attachment {
    pub(super) link: Link,
    pub(super) seat: Seat,
    /// For each region, in the order of their registration.
    pub(super) brought: Vec<Brought>,
}

impl Plan {
    /// Says who is there, registers, attaches and becomes ready. `held` are the segments that are
    /// in force under `office`, if this is a return.
    ///
    /// What is there to be read is asked for before it is ready: as soon as it is, it may be in
    /// charge, and what it has to go on from is the past's.
    pub(super) fn attach(
        &self,
        socket: &Path,
        office: Office,
        held: &[Vec<Held>],
        until: Instant,
    ) -> Result<Attachment, AttachError> {
        let mut link = Link::open(socket, until)?;
        let hello =
            Request::Hello { application: self.application, library: env!("CARGO_PKG_VERSION") };
        let Heard::Welcome { file: Some(page) } = link.ask(&hello, None, until)? else {
            return Err(AttachError::OtherAnswer);
        };
        let page = open_page(&page)
            .map_err(|why| AttachError::Segment { region: self.application, why })?;
        let mut seat = Seat { page, places: [usize::MAX; REGIONS_MAX] };
        let mut brought: Vec<Brought> = self.regions.iter().map(|_| Brought::default()).collect();
        let was_active = office.role == Role::Active;
        for (index, region) in self.regions.iter().enumerate() {
            let in_force = |it: &&Held| was_active && it.is_in_force(office.epoch);
            let held = held.get(index).and_then(|held| held.iter().find(in_force));
            let Some(registration) = self.registration(index, held.map(|_| office.epoch)) else {
                continue;
            };
            let request = Request::Register(registration);
            let Heard::Registered { index: place, file } =
                link.ask(&request, held.map(|it| it.file.as_fd()), until)?
            else {
                return Err(AttachError::OtherAnswer);
            };
            seat.places[index] = place;
            brought[index].writing = file.map(|file| region.writing(file)).transpose()?;
        }
        for (index, region) in self.regions.iter().enumerate() {
            // It is compared here: each takeover can bring another.
            let request = Request::Attach { region: region.name, schema: &[] };
            let Heard::Attached { index: place, epoch, file } = link.ask(&request, None, until)?
            else {
                return Err(AttachError::OtherAnswer);
            };
            seat.places[index] = place;
            brought[index].reading = file.map(|file| region.reading(file, epoch)).transpose()?;
        }
        if self.regions.iter().any(|region| region.written.is_some()) {
            link.ask(&Request::Ready, None, until)?;
        }
        for region in &self.regions {
            // Also so that the page is settled: what follows from being ready has been done when
            // the next question is answered.
            let request = Request::Wake { region: region.name, wanted: region.woken };
            link.ask(&request, None, until)?;
        }
        Ok(Attachment { link, seat, brought })
    }

    fn registration(&self, index: usize, held_epoch: Option<u64>) -> Option<Registration<'_>> {
        let region = &self.regions[index];
        let written = region.written?;
        Some(Registration {
            class: self.class,
            cycle_ns: self.cycle.as_nanos(),
            commit_cost_ns: self.commit_cost_ns.get(index).copied().unwrap_or(0),
            held_epoch: held_epoch.unwrap_or(0),
            ..Registration::new(region.name, written.layout, &region.schema)
        })
    }
}

impl Region {
    /// A segment to write that was handed over.
    pub(super) fn writing(&self, file: OwnedFd) -> Result<(Held, Writing), AttachError> {
        let fault = |why| AttachError::Segment { region: self.name, why };
        let written = self.written.ok_or(AttachError::OtherAnswer)?;
        let kept = file.try_clone().map_err(failed("keep a region's memory")).map_err(fault)?;
        let held = Held::new(kept).map_err(fault)?;
        let segment = Segment::open(file, true).map_err(fault)?;
        let layout = segment.header().layout;
        if layout != written.layout || segment.header().name != self.name {
            return Err(AttachError::OtherAnswer);
        }
        let memory = segment.into_memory();
        let writer = ImageWriter::new(memory, layout.place(), layout.image_octets());
        let writer = writer.ok_or(AttachError::OtherAnswer)?;
        Ok((held, Writing { writer, layout, former: None }))
    }

    /// A segment to read that was handed over.
    pub(super) fn reading(&self, file: OwnedFd, epoch: u64) -> Result<Reading, AttachError> {
        let fault = |why| AttachError::Segment { region: self.name, why };
        let segment = Segment::open(file, false).map_err(fault)?;
        let header = *segment.header();
        if header.name != self.name {
            return Err(AttachError::OtherAnswer);
        }
        let layout = header.layout;
        let copies = self.copies(&segment)?;
        let wanted = match (self.schema(), self.written) {
            (_, Some(written)) => written.layout.image_octets(),
            (Some(schema), None) => schema.image_octets(),
            (None, None) => layout.image_octets(),
        };
        if copies.is_none() && wanted != layout.image_octets() {
            let found = layout.image_octets();
            return Err(AttachError::Size { region: self.name, wanted, found });
        }
        let raw = if copies.is_some() { vec![0; layout.image_octets()] } else { Vec::new() };
        let memory = segment.into_memory();
        let reader = ImageReader::new(memory, layout.place(), layout.image_octets(), epoch);
        let reader = reader.ok_or(AttachError::OtherAnswer)?;
        let spare = [vec![0; wanted], vec![0; wanted]];
        let taken_octets = wanted;
        Ok(Reading {
            reader,
            layout,
            epoch,
            copies,
            raw,
            looked: 0,
            taken_octets,
            spare,
            former: None,
        })
    }

    /// What of a segment's images is taken over; none where they are taken as they are.
    fn copies(&self, segment: &Segment) -> Result<Option<Vec<BlockCopy>>, AttachError> {
        let Some(ours) = self.schema() else { return Ok(None) };
        let theirs = schema_octets(segment.memory(), &segment.header().layout);
        if theirs.is_empty() {
            return Ok(None);
        }
        let theirs = Schema::parse(&theirs).map_err(|_| AttachError::OtherAnswer)?;
        let Err(mismatch) = compare(&ours, &theirs) else { return Ok(None) };
        match self.map {
            Some(policy) => Ok(Some(map_by_name(theirs, ours, policy).copies().collect())),
            None => {
                let mismatch = Box::new(mismatch);
                Err(AttachError::Mismatch { region: self.name, mismatch })
            }
        }
    }
}

/// A segment's schema, copied out of shared memory.
fn schema_octets(memory: &Mapping, layout: &Layout) -> Vec<u8> {
    let range = layout.schema();
    let mut octets = vec![0; range.len()];
    let words = memory.get(range.start / WORD_OCTETS..).unwrap_or_default();
    std::sync::atomic::AtomicU64::load_octets(words, &mut octets);
    octets
}
