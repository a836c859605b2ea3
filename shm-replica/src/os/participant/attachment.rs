//! Becoming attached, for the first time or again after the daemon's end.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::stat::fstat;
use rt_core::limits::REGIONS_MAX;
use rt_core::os::clock::MonotonicClock;
use rt_core::time::{Duration, Instant};

use super::super::mapping::Mapping;
use super::super::page::open_page;
use super::super::segment::{MAP, Segment, SegmentError, failed};
use super::link::{AttachError, Heard, Link};
use super::options::Region;
use super::shared::{Reading, Seat, Writing, zeros};
use crate::attach::{Registration, Request, StandbyClass, VERSIONS};
use crate::image::{ImageReader, ImageWriter};
use crate::page::{Office, Role};
use crate::schema::{BlockCopy, Schema, compare, map_by_name};
use crate::segment::{HEADER_OCTETS, RegionName, State};

/// Between two looks whether an answer is still wanted.
const LOOK_FOR_STOP: Duration = Duration::from_millis(100);

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
    /// None where the daemon ended when it had all that it needed of it.
    pub(super) link: Option<Link>,
    pub(super) seat: Seat,
    /// For each region, in the order of their registration.
    pub(super) brought: Vec<Brought>,
    /// What is wrong with a region that it only reads.
    pub(super) trouble: Option<AttachError>,
}

/// It did not become attached.
#[derive(Debug)]
pub(super) struct NotAttached {
    pub(super) why: AttachError,
    /// The new page, where the daemon hung up on one that may have been in charge by it: who comes
    /// next is, whatever the page before it says.
    pub(super) seat: Option<Box<Seat>>,
}

impl From<AttachError> for NotAttached {
    fn from(why: AttachError) -> Self {
        Self { why, seat: None }
    }
}

/// One who was active returns to a new daemon.
#[derive(Clone, Copy, Debug)]
pub(super) struct Return<'a> {
    /// By the page of the daemon before.
    pub(super) office: Office,
    /// For each region the segments to write that it has.
    pub(super) held: &'a [Vec<Held>],
    /// For each region the newest epoch that it was shown.
    pub(super) followed: &'a [u64],
    /// Whether it is to end.
    pub(super) stops: &'a AtomicBool,
}

impl Plan {
    /// Says who is there, registers, attaches and becomes ready.
    ///
    /// What is there to be read is asked for before it is ready: as soon as it is, it may be in
    /// charge, and what it has to go on from is the past's.
    pub(super) fn attach(
        &self,
        socket: &Path,
        returns: Option<Return<'_>>,
        until: Instant,
    ) -> Result<Attachment, NotAttached> {
        let hello =
            Request::Hello { application: self.application, library: env!("CARGO_PKG_VERSION") };
        let (mut link, answer) = Link::greet(socket, &hello, VERSIONS, until)?;
        let Heard::Welcome { file: Some(page) } = answer else {
            return Err(AttachError::OtherAnswer.into());
        };
        let page = open_page(&page)
            .map_err(|why| AttachError::Segment { region: self.application, why })?;
        let mut seat = Seat { page, places: [usize::MAX; REGIONS_MAX] };
        let mut brought: Vec<Brought> = self.regions.iter().map(|_| Brought::default()).collect();
        let office = returns.map_or_else(Office::default, |it| it.office);
        let was_active = office.role == Role::Active;
        for (index, region) in self.regions.iter().enumerate() {
            let in_force = |it: &&Held| was_active && it.is_in_force(office.epoch);
            let held = returns.and_then(|it| it.held.get(index)?.iter().find(in_force));
            let Some(registration) = self.registration(index) else { continue };
            let registration = Registration {
                held_epoch: held.map_or(0, |_| office.epoch),
                followed_epoch: returns.and_then(|it| it.followed.get(index)).map_or(0, |it| *it),
                ..registration
            };
            let request = Request::Register(registration);
            let Heard::Registered { index: place, file } =
                link.ask(&request, held.map(|it| it.file.as_fd()), until)?
            else {
                return Err(AttachError::OtherAnswer.into());
            };
            seat.places[index] = place;
            brought[index].writing = file.map(|file| region.writing(file)).transpose()?;
        }
        let mut trouble = None;
        for (index, region) in self.regions.iter().enumerate() {
            // It is compared here: each takeover can bring another.
            let request = Request::Attach { region: region.name, schema: &[] };
            let Heard::Attached { index: place, epoch, file } = link.ask(&request, None, until)?
            else {
                return Err(AttachError::OtherAnswer.into());
            };
            seat.places[index] = place;
            brought[index].reading = match file.map(|it| region.reading(it, epoch)).transpose() {
                // What others did to a region of theirs is no reason not to come back.
                Err(why) if returns.is_some() && region.written.is_none() => {
                    trouble = Some(why);
                    None
                }
                reading => reading?,
            };
        }
        match self.settle(&mut link, returns, until) {
            Ok(()) => Ok(Attachment { link: Some(link), seat, brought, trouble }),
            // The daemon may have counted on it already, and what it has may be the only state.
            Err(AttachError::HungUp) if returns.is_none() => {
                Ok(Attachment { link: None, seat, brought, trouble: Some(AttachError::HungUp) })
            }
            Err(why) => {
                let Office { role, epoch } = seat.page.office();
                let hung_up_on = role == Role::None && epoch > 0;
                Err(NotAttached { why, seat: hung_up_on.then(|| Box::new(seat)) })
            }
        }
    }

    /// Becomes ready. From then on the daemon may put it in charge, by the new page: so one who
    /// returns does not give up, unless the daemon does. If it hung up, and the daemon lives,
    /// somebody else would be in charge, and the page before it would not say so.
    fn settle(
        &self,
        link: &mut Link,
        returns: Option<Return<'_>>,
        until: Instant,
    ) -> Result<(), AttachError> {
        let writes = self.regions.iter().any(|region| region.written.is_some());
        // The wakes also so that the page is settled: what follows from being ready has been done
        // when the next question is answered.
        let wakes =
            self.regions.iter().map(|it| Request::Wake { region: it.name, wanted: it.woken });
        for request in writes.then_some(Request::Ready).into_iter().chain(wakes) {
            link.say(&request, None)?;
            let Some(Return { stops, .. }) = returns else {
                link.answer(&request, until)?;
                continue;
            };
            while let Err(why) =
                link.answer(&request, MonotonicClock::now().saturating_add(LOOK_FOR_STOP))
            {
                let is_silent = matches!(why, AttachError::Silent);
                if !is_silent || stops.load(Ordering::Acquire) {
                    return Err(why);
                }
            }
        }
        Ok(())
    }

    fn registration(&self, index: usize) -> Option<Registration<'_>> {
        let region = &self.regions[index];
        let written = region.written?;
        Some(Registration {
            class: self.class,
            cycle_ns: self.cycle.as_nanos(),
            commit_cost_ns: self.commit_cost_ns.get(index).copied().unwrap_or(0),
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
        let name = segment.header().name;
        if name != self.name {
            return Err(fault(SegmentError::OtherRegion(Box::new(name))));
        }
        if layout != written.layout {
            return Err(fault(SegmentError::OtherLayout(layout)));
        }
        let memory = segment.into_memory();
        let writer = ImageWriter::new(memory, layout.place(), layout.image_octets());
        let writer = writer.ok_or(AttachError::OtherAnswer)?;
        Ok((held, Writing { writer, layout, former: None }))
    }

    /// A segment to read that was handed over.
    pub(super) fn reading(&self, file: OwnedFd, epoch: u64) -> Result<Reading, AttachError> {
        let fault = |why| AttachError::Segment { region: self.name, why };
        let status = fstat(&file).map_err(failed("ask for a segment's number")).map_err(fault)?;
        let segment = Segment::open(file, false).map_err(fault)?;
        let header = *segment.header();
        if header.name != self.name {
            return Err(fault(SegmentError::OtherRegion(Box::new(header.name))));
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
        let raw = if copies.is_some() { zeros(layout.image_octets()) } else { Vec::new() };
        let memory = segment.into_memory();
        let reader = ImageReader::new(memory, layout.place(), layout.image_octets(), epoch);
        let reader = reader.ok_or(AttachError::OtherAnswer)?;
        let spare = [zeros(wanted), zeros(wanted)];
        let taken_octets = wanted;
        Ok(Reading {
            reader,
            layout,
            epoch,
            file: (status.st_dev, status.st_ino),
            copies,
            raw,
            looked: 0,
            taken_octets,
            spare,
            passed: 0,
            former: None,
        })
    }

    /// What of a segment's images is taken over; none where they are taken as they are.
    fn copies(&self, segment: &Segment) -> Result<Option<Vec<BlockCopy>>, AttachError> {
        let Some(ours) = self.schema() else { return Ok(None) };
        let theirs = segment.schema_octets();
        if theirs.is_empty() {
            return Ok(None);
        }
        // Its writer can write there, too.
        let changed = || AttachError::Segment { region: self.name, why: SegmentError::Schema };
        let theirs = Schema::parse(&theirs).map_err(|_| changed())?;
        if theirs.image_octets() != segment.header().layout.image_octets() {
            return Err(changed());
        }
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
