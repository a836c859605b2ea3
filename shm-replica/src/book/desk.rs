//! What participants ask, and that they are gone.

use core::fmt;

use super::{
    Agreed, Book, Held, Order, Participant, ParticipantId, Region, RegionId, Registered, Rights,
    participant_id, region_id,
};
use crate::attach::{RefusalCode, Registration, StandbyClass};
use crate::page::{Office, Role};
use crate::segment::RegionName;

impl Book {
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
            commit_cost_ns: 0,
            held: Held::Unknown,
            is_heir: false,
            followed: None,
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
        let application = self.applications[region.application].as_ref();
        let owner_is_out = application.is_some_and(|it| it.owner_is_out);
        // Who comes alone says anew what the region is, unless there is a state of it, or somebody
        // may be writing it.
        let is_alone = region.writers.is_empty() && !owner_is_out && !region.in_force;
        let known = region.agreed.filter(|_| !is_alone && !region.versions_may_differ);
        if let Some(known) = known.filter(|known| *known != agreed) {
            let other_schema = known.schema_hash != agreed.schema_hash;
            return Err(if other_schema {
                RefusalCode::OtherSchema
            } else {
                RefusalCode::OtherLayout
            });
        }
        let cost = self.cost_with(who, registration);
        if cost.is_too_much() {
            return Err(RefusalCode::TooCostly);
        }
        let resumes = application.is_some_and(|application| {
            registration.held_epoch > 0
                && registration.held_epoch == application.epoch
                && application.active.is_none()
        });
        if let Some(region) = &mut self.regions[id.index()] {
            region.agreed = Some(agreed);
            region.writers.add(who);
            region.in_force |= resumes;
        }
        if let Some(participant) = &mut self.participants[who.index()] {
            participant.class = participant.class.least(registration.class);
            participant.commit_cost_ns = cost.commit_cost_ns;
            let epoch = resumes.then_some(registration.held_epoch);
            participant.held = participant.held.with(epoch);
            let followed = registration.followed_epoch;
            participant.followed = Some(participant.followed.unwrap_or(followed).min(followed));
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
        let (place, inherits) = (participant.application, participant.inherits());
        if let Some(Some(entry)) = place.and_then(|it| self.applications.get_mut(it)) {
            // Nobody who is still out can have a newer one.
            entry.heirs_are_out &= inherits == 0 || inherits < entry.epoch;
        }
        let application = place.and_then(|index| self.applications[index]);
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
                order(Order::Vacant(application.name));
            }
        }
    }

    /// What the commits of a participant would cost if it wrote this region, too.
    #[must_use]
    pub fn cost_with(&self, who: ParticipantId, registration: &Registration<'_>) -> Cost {
        let before = self.participants[who.index()].map_or(0, |it| it.commit_cost_ns);
        Cost {
            commit_cost_ns: before.saturating_add(registration.commit_cost_ns),
            cycle_ns: registration.cycle_ns,
            share_max_percent: self.cost_share_max_percent,
        }
    }
}

/// What the commits of all regions that a participant writes take of its cycle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cost {
    /// By its own measurement, in ns.
    pub commit_cost_ns: u64,
    /// In ns; zero when it has none.
    pub cycle_ns: u64,
    /// The share that is allowed, in percent.
    pub share_max_percent: u64,
}

impl Cost {
    const fn is_too_much(self) -> bool {
        let cost = self.commit_cost_ns as u128 * 100;
        self.cycle_ns > 0 && cost > self.cycle_ns as u128 * self.share_max_percent as u128
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { commit_cost_ns, cycle_ns, share_max_percent } = *self;
        write!(
            f,
            "with this region the commits of a cycle take {commit_cost_ns} ns of {cycle_ns} ns, \
             and {share_max_percent} % are allowed: make the regions smaller, the cycle longer, or \
             raise cost_share_max_percent under [regions]"
        )
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
