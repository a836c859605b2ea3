//! The daemon's book: who is there, who writes which region, and under which epoch.
//!
//! A value without clock, socket or memory. The daemon feeds it what participants ask and that they
//! are gone; it answers at once, with a refusal or with [`Order`]s that are to be carried out in
//! their order. Who becomes active follows from what stands in the book ([`Book::due`]), not from
//! an event: so nothing is missed when several things happen at once, and the daemon can store an
//! epoch before it is used ([`Book::promote`] comes after).
//!
//! | Module | Holds |
//! |---|---|
//! | `desk` | what participants ask, and that they are gone |
//! | `succession` | who is active, and who comes next |
//!
//! What always holds, whatever is asked in whatever order:
//! - an application has at most one active participant, and one that is ready;
//! - its epochs only rise, and none is used twice;
//! - while an owner from before the daemon's start may be acting, nobody else is active;
//! - who stood by when the daemon ended and has a state comes before one who has an older one, or
//!   none;
//! - a region's segment in force belongs to the epoch of its application;
//! - the former owner is told before the new one.

mod desk;
mod roster;
mod succession;
#[cfg(test)]
mod tests;

use rt_core::limits::{APPLICATIONS_MAX, PARTICIPANTS_MAX, REGIONS_MAX};
use thiserror::Error;

use crate::attach::{RefusalCode, StandbyClass};
use crate::page::Office;
use crate::segment::{Layout, RegionName};
use roster::Roster;

/// A participant's place in the book.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ParticipantId(pub(crate) u8);

/// A region's place in the book, and in each participant's page.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RegionId(pub(crate) u8);

impl ParticipantId {
    /// The one at a place, which is less than [`PARTICIPANTS_MAX`].
    #[cfg(feature = "os")]
    pub(crate) const fn at(index: usize) -> Self {
        participant_id(index)
    }

    /// Less than [`PARTICIPANTS_MAX`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl RegionId {
    /// Less than [`REGIONS_MAX`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// When a standby takes over.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Takeover {
    /// As soon as the kernel says that the active process is gone.
    #[default]
    OnExit,
    /// When somebody orders it.
    Ordered,
}

/// What the peer of a connection may do with a region.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Rights {
    /// Hand its state over.
    pub write: bool,
    /// See it.
    pub read: bool,
}

/// What is to be done, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Tell a participant its role and epoch.
    Office(ParticipantId, Office),
    /// Mark the region's segment as one of the past, this epoch's.
    Supersede(RegionId, u64),
    /// Put the segment that was prepared for this participant in force, under this epoch.
    PutInForce(RegionId, ParticipantId, u64),
    /// All segments of this epoch of an application are in force: they are to be kept, together.
    Keep(RegionName, u64),
    /// Hand the region's segment in force to a reader.
    Show(RegionId, ParticipantId),
    /// Prepare the segment that this participant will write when it is active the next time.
    Prepare(RegionId, ParticipantId),
    /// Tell the region's active participant how many want to be woken by its commits.
    Wakes(RegionId, u32),
    /// Nobody owns the application's newest epoch any more, and who did has been told.
    Vacant(RegionName),
}

/// Why an order to become active is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum OrderRefused {
    /// This node may have no active participants.
    #[error("this node is not in charge")]
    NotInCharge,
    /// An owner from before the daemon's start lives, and may be acting.
    #[error("the owner of the newest epoch lives and has not come back")]
    OwnerIsOut,
    /// It has not said that it is ready, or is gone.
    #[error("the process is not ready to become active")]
    NotReady,
    /// It is the one.
    #[error("the process is active already")]
    IsActive,
}

/// Who is to become active.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Due {
    application: usize,
    /// The participant.
    pub participant: ParticipantId,
    /// The epoch, to be stored before [`Book::promote`].
    pub epoch: u64,
    /// Whether it goes on with the segments that it held when the daemon started.
    pub resumes: bool,
}

/// A registration was granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registered {
    /// The region.
    pub region: RegionId,
    /// Whether the segment that came along may be the one in force: it is, if that holds for all
    /// regions that the participant writes. One for the next time is prepared all the same.
    pub resumes: bool,
}

#[derive(Clone, Copy, Debug)]
struct Application {
    name: RegionName,
    takeover: Takeover,
    /// The newest epoch that was ever used.
    epoch: u64,
    active: Option<ParticipantId>,
    /// Who was ordered to become active.
    wanted: Option<ParticipantId>,
    /// When it had an active participant last, in the book's own count.
    vacant_since: u64,
    /// Whether the owner of the newest epoch lives and has not come back since the start.
    owner_is_out: bool,
    /// Whether processes that stood by when the daemon ended live, and neither has one come back
    /// that has the newest state, nor all of them.
    heirs_are_out: bool,
    /// Whether somebody was active since the start.
    has_begun: bool,
}

#[derive(Clone, Copy, Debug)]
struct Region {
    name: RegionName,
    application: usize,
    /// What all its writers agree on.
    agreed: Option<Agreed>,
    /// Whether its writers may be programs of different versions, which read each other's images
    /// by the names of the blocks.
    versions_may_differ: bool,
    writers: Roster,
    readers: Roster,
    woken: Roster,
    /// Whether there is a segment in force, be its writer alive or not.
    in_force: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Agreed {
    layout: Layout,
    schema_hash: u64,
}

#[derive(Clone, Copy, Debug)]
struct Participant {
    /// None where no such application is configured: it only reads.
    application: Option<usize>,
    /// The least of all its regions.
    class: StandbyClass,
    /// What a commit of all that it registered so far costs, in ns.
    commit_cost_ns: u64,
    /// When it became ready, in the book's own count.
    ready_since: Option<u64>,
    /// Of all that it registered so far.
    held: Held,
    /// Whether it stood by when the daemon ended.
    is_heir: bool,
    /// The newest epoch that it followed then, in all regions that it registered so far; none
    /// before the first.
    followed: Option<u64>,
}

impl Participant {
    /// The epoch of the state that it has from before the daemon's start; zero for none.
    fn inherits(&self) -> u64 {
        self.followed.filter(|_| self.is_heir).unwrap_or(0)
    }
}

/// Which segments a participant brought along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Held {
    /// It has registered nothing yet.
    Unknown,
    /// Those of this epoch, for each region.
    Epoch(u64),
    /// None, or not all, or of several epochs.
    Nothing,
}

impl Held {
    /// After one more registration, with or without such a segment.
    fn with(self, epoch: Option<u64>) -> Self {
        match (self, epoch) {
            (Self::Unknown, Some(epoch)) => Self::Epoch(epoch),
            (Self::Epoch(known), Some(epoch)) if known == epoch => self,
            _ => Self::Nothing,
        }
    }
}

/// See the module's text.
#[derive(Clone, Debug)]
pub struct Book {
    applications: [Option<Application>; APPLICATIONS_MAX],
    regions: [Option<Region>; REGIONS_MAX],
    participants: [Option<Participant>; PARTICIPANTS_MAX],
    /// Whether this node may have an active participant at all.
    in_charge: bool,
    /// The share of its cycle that a commit may take, in percent.
    cost_share_max_percent: u64,
    /// Counts what happens, to know what came first.
    count: u64,
}

impl Book {
    /// An empty book of a node that is not in charge.
    #[must_use]
    pub const fn new(cost_share_max_percent: u64) -> Self {
        Self {
            applications: [None; APPLICATIONS_MAX],
            regions: [None; REGIONS_MAX],
            participants: [None; PARTICIPANTS_MAX],
            in_charge: false,
            cost_share_max_percent,
            count: 0,
        }
    }

    /// Adds an application, whose newest epoch ever was `epoch`.
    ///
    /// # Errors
    /// There is no room, or it is there already.
    pub fn add_application(
        &mut self,
        name: RegionName,
        takeover: Takeover,
        epoch: u64,
    ) -> Result<(), RefusalCode> {
        if self.application(name).is_some() {
            return Err(RefusalCode::Taken);
        }
        let free = self.applications.iter_mut().find(|place| place.is_none());
        *free.ok_or(RefusalCode::NoRoom)? = Some(Application {
            name,
            takeover,
            epoch,
            active: None,
            wanted: None,
            vacant_since: 0,
            owner_is_out: false,
            heirs_are_out: false,
            has_begun: false,
        });
        Ok(())
    }

    /// Adds a region of an application.
    ///
    /// # Errors
    /// There is no room, it is there already, or the application is not.
    pub fn add_region(
        &mut self,
        name: RegionName,
        application: RegionName,
    ) -> Result<RegionId, RefusalCode> {
        let application = self.application(application).ok_or(RefusalCode::BadRequest)?;
        if self.region(name).is_some() {
            return Err(RefusalCode::Taken);
        }
        let free = self.regions.iter().position(Option::is_none).ok_or(RefusalCode::NoRoom)?;
        self.regions[free] = Some(Region {
            name,
            application,
            agreed: None,
            versions_may_differ: false,
            writers: Roster::EMPTY,
            readers: Roster::EMPTY,
            woken: Roster::EMPTY,
            in_force: false,
        });
        Ok(region_id(free))
    }

    /// Lets programs whose schemas differ stand in for each other; they map by name then.
    pub fn let_versions_differ(&mut self, region: RegionId) {
        if let Some(region) = &mut self.regions[region.index()] {
            region.versions_may_differ = true;
        }
    }

    /// Whether this node may have active participants. Taking that away makes all stand by.
    pub fn set_in_charge(&mut self, in_charge: bool, order: &mut dyn FnMut(Order)) {
        self.in_charge = in_charge;
        if in_charge {
            return;
        }
        for application in 0..self.applications.len() {
            self.retire(application, order);
        }
    }

    fn application(&self, name: RegionName) -> Option<usize> {
        let is_it = |place: &Option<Application>| place.is_some_and(|it| it.name == name);
        self.applications.iter().position(is_it)
    }

    /// The last state of a region is given up, and what its image was; false where somebody writes
    /// it or stands by for it, or where its owner has not come back yet.
    pub fn forget(&mut self, region: RegionId) -> bool {
        let Some(region) = self.regions[region.index()].as_mut() else { return false };
        let application = self.applications[region.application].as_ref();
        let may_come_back = application.is_some_and(|it| it.owner_is_out || it.heirs_are_out);
        let is_free = region.writers.is_empty() && !may_come_back;
        if is_free {
            region.agreed = None;
            region.in_force = false;
        }
        is_free
    }

    /// A segment of an epoch from before the daemon's start is in force again, without a writer,
    /// for those who read; whether that changed anything.
    pub fn adopt(
        &mut self,
        region: RegionName,
        epoch: u64,
        layout: Layout,
        schema_hash: u64,
    ) -> bool {
        let place = self.region(region).and_then(|id| self.regions[id.index()].as_mut());
        let Some(region) = place.filter(|it| it.writers.is_empty() && !it.in_force) else {
            return false;
        };
        region.agreed = Some(Agreed { layout, schema_hash });
        region.in_force = true;
        // Whoever comes finds a state, and where it is the newest, nobody has a newer one.
        if let Some(application) = &mut self.applications[region.application] {
            application.heirs_are_out &= epoch < application.epoch;
        }
        true
    }

    /// The applications, in the order in which they were added.
    pub fn applications(&self) -> impl Iterator<Item = RegionName> {
        self.applications.iter().flatten().map(|application| application.name)
    }

    /// The regions with their applications and how many read them beside who writes them, in the
    /// order in which they were added.
    pub fn regions(&self) -> impl Iterator<Item = (RegionName, RegionName, u32)> {
        self.regions.iter().flatten().filter_map(|region| {
            let application = self.applications[region.application]?;
            let mut readers = region.readers;
            if let Some(writer) = application.active {
                readers.remove(writer);
            }
            Some((region.name, application.name, readers.count()))
        })
    }

    /// The application of a region.
    #[must_use]
    pub fn application_of(&self, region: RegionName) -> Option<RegionName> {
        let region = self.regions[self.region(region)?.index()]?;
        Some(self.applications[region.application]?.name)
    }

    /// The place of a region.
    #[must_use]
    pub fn region(&self, name: RegionName) -> Option<RegionId> {
        let is_it = |place: &Option<Region>| place.is_some_and(|it| it.name == name);
        self.regions.iter().position(is_it).map(region_id)
    }
}

impl StandbyClass {
    /// The slower of two.
    const fn least(self, other: Self) -> Self {
        if self.slowness() > other.slowness() { self } else { other }
    }

    const fn slowness(self) -> u8 {
        match self {
            Self::Hot => 0,
            Self::Warm => 1,
            Self::Cold => 2,
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "less than REGIONS_MAX, which fits")]
const fn region_id(index: usize) -> RegionId {
    RegionId(index as u8)
}

#[allow(clippy::cast_possible_truncation, reason = "less than PARTICIPANTS_MAX, which fits")]
const fn participant_id(index: usize) -> ParticipantId {
    ParticipantId(index as u8)
}
