//! The daemon's book: who is there, who writes which region, and under which epoch.
//!
//! A value without clock, socket or memory. The daemon feeds it what participants ask and that they
//! are gone; it answers at once, with a refusal or with [`Order`]s that are to be carried out in
//! their order. Who becomes active follows from what stands in the book ([`Book::due`]), not from
//! an event: so nothing is missed when several things happen at once, and the daemon can store an
//! epoch before it is used ([`Book::promote`] comes after).
//!
//! What always holds, whatever is asked in whatever order:
//! - an application has at most one active participant, and one that is ready;
//! - its epochs only rise, and none is used twice;
//! - a region's segment in force belongs to the epoch of its application;
//! - the former owner is told before the new one.

mod roster;
#[cfg(test)]
mod tests;

use rt_core::limits::{APPLICATIONS_MAX, PARTICIPANTS_MAX, REGIONS_MAX};

use crate::attach::{RefusalCode, Registration, StandbyClass};
use crate::page::{Office, Role};
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
    /// Hand the region's segment in force to a reader.
    Show(RegionId, ParticipantId),
    /// Prepare the segment that this participant will write when it is active the next time.
    Prepare(RegionId, ParticipantId),
    /// Tell the region's active participant how many want to be woken by its commits.
    Wakes(RegionId, u32),
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
}

#[derive(Clone, Copy, Debug)]
struct Region {
    name: RegionName,
    application: usize,
    /// What all its writers agree on.
    agreed: Option<Agreed>,
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
    /// When it became ready, in the book's own count.
    ready_since: Option<u64>,
    /// Whether it holds the segments in force of all that it registered so far.
    resumes: bool,
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
            writers: Roster::EMPTY,
            readers: Roster::EMPTY,
            woken: Roster::EMPTY,
            in_force: false,
        });
        Ok(region_id(free))
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

    /// Somebody says who it is. Who is of no application that is configured may read what it has
    /// the right to, and write nothing.
    ///
    /// # Errors
    /// There is no room.
    pub fn join(&mut self, application: RegionName) -> Result<ParticipantId, RefusalCode> {
        let application = self.application(application);
        let free = self.participants.iter().position(Option::is_none);
        let free = free.ok_or(RefusalCode::NoRoom)?;
        self.participants[free] = Some(Participant {
            application,
            class: StandbyClass::Hot,
            ready_since: None,
            resumes: true,
        });
        Ok(participant_id(free))
    }

    /// A participant wants to write a region. `schema_hash` is that of its schema.
    ///
    /// # Errors
    /// It may not; nothing has changed then.
    pub fn register(
        &mut self,
        who: ParticipantId,
        registration: &Registration<'_>,
        schema_hash: u64,
        rights: Rights,
    ) -> Result<Registered, RefusalCode> {
        let layout = registration.layout().map_err(|_| RefusalCode::BadRequest)?;
        let agreed = Agreed { layout, schema_hash };
        let id = self.region(registration.region).ok_or(RefusalCode::UnknownRegion)?;
        let participant = self.participants[who.index()].ok_or(RefusalCode::BadRequest)?;
        let region = self.regions[id.index()].ok_or(RefusalCode::UnknownRegion)?;
        if !rights.write || Some(region.application) != participant.application {
            return Err(RefusalCode::NotPermitted);
        }
        if participant.ready_since.is_some() {
            return Err(RefusalCode::BadRequest);
        }
        if region.writers.has(who) {
            return Err(RefusalCode::Taken);
        }
        // Who comes alone says anew what the region is.
        let known = region.agreed.filter(|_| !region.writers.is_empty());
        if let Some(known) = known.filter(|known| *known != agreed) {
            let same_layout = known.layout == layout;
            return Err(if same_layout {
                RefusalCode::OtherSchema
            } else {
                RefusalCode::OtherLayout
            });
        }
        if self.is_too_costly(registration) {
            return Err(RefusalCode::TooCostly);
        }
        let application = &self.applications[region.application];
        let resumes = application.is_some_and(|application| {
            registration.held_epoch > 0
                && registration.held_epoch == application.epoch
                && application.active.is_none()
                && region.writers.is_empty()
        });
        if let Some(region) = &mut self.regions[id.index()] {
            region.agreed = Some(agreed);
            region.writers.add(who);
            region.in_force |= resumes;
        }
        if let Some(participant) = &mut self.participants[who.index()] {
            participant.class = participant.class.least(registration.class);
            participant.resumes &= resumes;
        }
        Ok(Registered { region: id, resumes })
    }

    /// A participant has registered all that it writes.
    ///
    /// # Errors
    /// It has registered nothing, or was ready before.
    pub fn ready(
        &mut self,
        who: ParticipantId,
        order: &mut dyn FnMut(Order),
    ) -> Result<(), RefusalCode> {
        let writes = self.regions.iter().flatten().any(|region| region.writers.has(who));
        self.count += 1;
        let count = self.count;
        let participant = self.participants[who.index()].as_mut();
        let participant = participant.ok_or(RefusalCode::BadRequest)?;
        if !writes || participant.ready_since.is_some() {
            return Err(RefusalCode::BadRequest);
        }
        participant.ready_since = Some(count);
        let application = participant.application.and_then(|index| self.applications[index]);
        let epoch = application.map_or(0, |it| it.epoch);
        order(Order::Office(who, Office { role: Role::Standby, epoch }));
        Ok(())
    }

    /// A participant wants to read a region; whether there is a segment to show. `schema_hash` is
    /// that of what it takes the image for, zero when it does not care. Who may write for the
    /// region's application may also read: it has to know what it goes on from.
    ///
    /// # Errors
    /// It may not.
    pub fn attach(
        &mut self,
        who: ParticipantId,
        region: RegionName,
        schema_hash: u64,
        rights: Rights,
    ) -> Result<(RegionId, bool), RefusalCode> {
        let id = self.region(region).ok_or(RefusalCode::UnknownRegion)?;
        let participant = self.participants[who.index()].ok_or(RefusalCode::BadRequest)?;
        let region = self.regions[id.index()].as_mut().ok_or(RefusalCode::UnknownRegion)?;
        let is_own = participant.application == Some(region.application);
        if !(rights.read || rights.write && is_own) {
            return Err(RefusalCode::NotPermitted);
        }
        let other = |agreed: Agreed| schema_hash != 0 && agreed.schema_hash != schema_hash;
        if region.agreed.is_some_and(other) {
            return Err(RefusalCode::OtherSchema);
        }
        region.readers.add(who);
        Ok((id, region.in_force))
    }

    /// A reader wants to be woken by each commit of a region, or no more.
    ///
    /// # Errors
    /// It does not read the region.
    pub fn wake(
        &mut self,
        who: ParticipantId,
        region: RegionName,
        wanted: bool,
        order: &mut dyn FnMut(Order),
    ) -> Result<(), RefusalCode> {
        let id = self.region(region).ok_or(RefusalCode::UnknownRegion)?;
        let region = self.regions[id.index()].as_mut().ok_or(RefusalCode::UnknownRegion)?;
        if !region.readers.has(who) {
            return Err(RefusalCode::BadRequest);
        }
        region.set_woken(id, who, wanted, order);
        Ok(())
    }

    /// A participant reads a region no more.
    pub fn leave(&mut self, who: ParticipantId, region: RegionName, order: &mut dyn FnMut(Order)) {
        let Some(id) = self.region(region) else { return };
        if let Some(region) = &mut self.regions[id.index()] {
            region.set_woken(id, who, false, order);
            region.readers.remove(who);
        }
    }

    /// A participant's process has ended, or hung up. Its place may be given again at once.
    pub fn gone(&mut self, who: ParticipantId, order: &mut dyn FnMut(Order)) {
        let Some(participant) = self.participants[who.index()].take() else { return };
        for (index, region) in self.regions.iter_mut().enumerate() {
            let Some(region) = region else { continue };
            region.set_woken(region_id(index), who, false, order);
            region.readers.remove(who);
            region.writers.remove(who);
        }
        self.count += 1;
        let place = participant.application.and_then(|it| self.applications.get_mut(it));
        if let Some(Some(application)) = place {
            application.wanted = application.wanted.filter(|wanted| *wanted != who);
            if application.active == Some(who) {
                application.active = None;
                application.vacant_since = self.count;
            }
        }
    }

    /// Orders a participant to become active, in the place of whoever is.
    ///
    /// # Errors
    /// It is not there, not ready, or active already.
    pub fn order_active(&mut self, who: ParticipantId) -> Result<(), RefusalCode> {
        let participant = self.participants[who.index()].ok_or(RefusalCode::BadRequest)?;
        let place = participant.application.and_then(|it| self.applications.get_mut(it));
        let application = place.and_then(Option::as_mut);
        let application = application.ok_or(RefusalCode::BadRequest)?;
        if participant.ready_since.is_none() || application.active == Some(who) {
            return Err(RefusalCode::BadRequest);
        }
        application.wanted = Some(who);
        Ok(())
    }

    /// Who is to become active now, if anybody is. The epoch is to be stored, then
    /// [`Self::promote`] to be called; again, until nobody is due.
    #[must_use]
    pub fn due(&self) -> Option<Due> {
        if !self.in_charge {
            return None;
        }
        (0..self.applications.len()).find_map(|application| self.due_in(application))
    }

    fn due_in(&self, index: usize) -> Option<Due> {
        let application = self.applications[index].as_ref()?;
        let mut ours = self.ready_in(index);
        let may_by_itself = |ready_since: u64| {
            application.takeover == Takeover::OnExit || ready_since > application.vacant_since
        };
        let chosen = match (application.wanted, application.active) {
            (Some(wanted), _) => ours.find(|(id, ..)| *id == wanted),
            (None, Some(_)) => None,
            (None, None) => ours
                .filter(|(_, _, since)| may_by_itself(*since))
                .min_by_key(|(_, it, since)| (!it.resumes, it.class.slowness(), *since)),
        };
        let (participant, entry, ..) = chosen?;
        let resumes = entry.resumes && application.active.is_none();
        let epoch = if resumes { application.epoch } else { application.epoch.checked_add(1)? };
        Some(Due { application: index, participant, epoch, resumes })
    }

    /// Makes a participant active, its epoch being stored. One that is not due any more is left
    /// alone.
    pub fn promote(&mut self, due: Due, order: &mut dyn FnMut(Order)) {
        if self.due_in(due.application) != Some(due) {
            return;
        }
        self.retire(due.application, order);
        let Some(application) = &mut self.applications[due.application] else { return };
        application.active = Some(due.participant);
        application.epoch = due.epoch;
        application.wanted = None;
        for (index, region) in self.regions.iter_mut().enumerate() {
            let Some(region) = region.as_mut().filter(|it| it.application == due.application)
            else {
                continue;
            };
            let id = region_id(index);
            if region.in_force && !due.resumes {
                order(Order::Supersede(id, due.epoch));
                region.in_force = false;
            }
            if region.writers.has(due.participant) {
                region.in_force = true;
                order(Order::PutInForce(id, due.participant, due.epoch));
                order(Order::Wakes(id, region.woken.count()));
            }
        }
        let office = Office { role: Role::Active, epoch: due.epoch };
        order(Order::Office(due.participant, office));
        // What the participant held it holds no more when it becomes active another time.
        if let Some(participant) = &mut self.participants[due.participant.index()] {
            participant.resumes = false;
        }
        for (index, region) in self.regions.iter().enumerate() {
            let Some(region) = region.as_ref().filter(|it| it.application == due.application)
            else {
                continue;
            };
            for reader in region.readers.iter().filter(|_| region.in_force) {
                order(Order::Show(region_id(index), reader));
            }
        }
    }

    /// Makes the active participant of an application stand by, and has the segments prepared that
    /// it will write another time.
    fn retire(&mut self, application: usize, order: &mut dyn FnMut(Order)) {
        self.count += 1;
        let Some(entry) = &mut self.applications[application] else { return };
        let Some(former) = entry.active.take() else { return };
        entry.vacant_since = self.count;
        order(Order::Office(former, Office { role: Role::Standby, epoch: entry.epoch }));
        for (index, region) in self.regions.iter().enumerate() {
            if region.as_ref().is_some_and(|region| region.writers.has(former)) {
                order(Order::Prepare(region_id(index), former));
            }
        }
    }

    /// Who is active for an application, and its newest epoch.
    #[must_use]
    pub fn active(&self, application: RegionName) -> Option<(Option<ParticipantId>, u64)> {
        let entry = self.applications[self.application(application)?]?;
        Some((entry.active, entry.epoch))
    }

    /// Who would be made active next for an application: ready, not active, the fastest first.
    #[must_use]
    pub fn standby_of(&self, application: RegionName) -> Option<ParticipantId> {
        let index = self.application(application)?;
        let active = self.applications[index]?.active;
        self.ready_in(index)
            .filter(|(id, ..)| Some(*id) != active)
            .min_by_key(|(_, it, since)| (it.class.slowness(), *since))
            .map(|(id, ..)| id)
    }

    /// The participants of an application that are ready, and since when.
    fn ready_in(
        &self,
        application: usize,
    ) -> impl Iterator<Item = (ParticipantId, &Participant, u64)> {
        self.participants.iter().enumerate().filter_map(move |(id, place)| {
            let participant = place.as_ref().filter(|it| it.application == Some(application))?;
            Some((participant_id(id), participant, participant.ready_since?))
        })
    }

    fn application(&self, name: RegionName) -> Option<usize> {
        let is_it = |place: &Option<Application>| place.is_some_and(|it| it.name == name);
        self.applications.iter().position(is_it)
    }

    /// The place of a region.
    #[must_use]
    pub fn region(&self, name: RegionName) -> Option<RegionId> {
        let is_it = |place: &Option<Region>| place.is_some_and(|it| it.name == name);
        self.regions.iter().position(is_it).map(region_id)
    }

    /// Whether commits would take more of the cycle than is allowed.
    const fn is_too_costly(&self, registration: &Registration<'_>) -> bool {
        let Registration { cycle_ns, commit_cost_ns, .. } = *registration;
        let cost = commit_cost_ns as u128 * 100;
        cycle_ns > 0 && cost > cycle_ns as u128 * self.cost_share_max_percent as u128
    }
}

impl Region {
    fn set_woken(
        &mut self,
        id: RegionId,
        who: ParticipantId,
        wanted: bool,
        order: &mut dyn FnMut(Order),
    ) {
        if self.woken.has(who) == wanted {
            return;
        }
        if wanted {
            self.woken.add(who);
        } else {
            self.woken.remove(who);
        }
        order(Order::Wakes(id, self.woken.count()));
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
