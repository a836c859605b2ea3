//! Who is active, and who comes next.

use core::cmp::Reverse;

use super::{
    Application, Book, Due, Held, Order, OrderRefused, Participant, ParticipantId, Takeover,
    participant_id, region_id,
};
use crate::page::{Office, Role};
use crate::segment::RegionName;

impl Book {
    /// The owner of an application's newest epoch lives, by what a former life of the daemon wrote
    /// down, and has not come back yet. Until it does, with the segments that it held, or is gone,
    /// nobody else becomes active: it may be acting.
    pub fn owner_is_out(&mut self, application: RegionName) {
        if let Some(entry) = self.application_mut(application) {
            entry.owner_is_out = true;
        }
    }

    /// That owner's process has ended, or has come back and owns nothing.
    pub fn owner_gone(&mut self, application: RegionName) {
        self.count += 1;
        let count = self.count;
        let out = self.application_mut(application).filter(|entry| entry.owner_is_out);
        if let Some(entry) = out {
            entry.owner_is_out = false;
            // Who stands by since before does so where takeovers are ordered.
            entry.vacant_since = count;
        }
    }

    /// Whether an owner is waited for.
    #[must_use]
    pub fn is_owner_out(&self, application: RegionName) -> bool {
        let index = self.application(application);
        index.and_then(|it| self.applications[it]).is_some_and(|entry| entry.owner_is_out)
    }

    /// Processes that stood by when the daemon ended live, and have a state; who is started anew
    /// has none. Until one of them has come back with the newest, or all have come back or are
    /// gone, nobody becomes active by itself. Nothing where somebody was active since the start.
    pub fn heirs_are_out(&mut self, application: RegionName) {
        if let Some(entry) = self.application_mut(application) {
            entry.heirs_are_out = !entry.has_begun;
        }
    }

    /// All of them have come back or ended.
    pub fn heirs_gone(&mut self, application: RegionName) {
        if let Some(entry) = self.application_mut(application) {
            entry.heirs_are_out = false;
        }
    }

    /// Whether one of them is waited for.
    #[must_use]
    pub fn are_heirs_out(&self, application: RegionName) -> bool {
        let index = self.application(application);
        index.and_then(|it| self.applications[it]).is_some_and(|entry| entry.heirs_are_out)
    }

    /// A participant that has just joined is one of them.
    pub fn is_heir(&mut self, who: ParticipantId) {
        if let Some(participant) = &mut self.participants[who.index()] {
            participant.is_heir = true;
        }
    }

    /// Orders a participant to become active, in the place of whoever is.
    ///
    /// # Errors
    /// It cannot be.
    pub fn order_active(&mut self, who: ParticipantId) -> Result<(), OrderRefused> {
        let participant = self.participants[who.index()].ok_or(OrderRefused::NotReady)?;
        let place = participant.application.and_then(|it| self.applications.get_mut(it));
        let application = place.and_then(Option::as_mut).ok_or(OrderRefused::NotReady)?;
        if !self.in_charge {
            return Err(OrderRefused::NotInCharge);
        }
        if application.owner_is_out {
            return Err(OrderRefused::OwnerIsOut);
        }
        if participant.ready_since.is_none() {
            return Err(OrderRefused::NotReady);
        }
        if application.active == Some(who) {
            return Err(OrderRefused::IsActive);
        }
        application.wanted = Some(who);
        Ok(())
    }

    /// Takes an order back that was not carried out yet.
    pub fn cancel_order(&mut self, application: RegionName) {
        if let Some(entry) = self.application_mut(application) {
            entry.wanted = None;
        }
    }

    /// Who is to become active now, if anybody is. The epoch is to be stored, [`Self::stand_down`]
    /// to be called, who will own the epoch to be written down, then [`Self::promote`] to be
    /// called; again, until nobody is due.
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
        // Who stood by before the daemon's start is no newcomer.
        let inherits = |it: &Participant| if application.has_begun { 0 } else { it.inherits() };
        let may_by_itself = |it: &Participant, ready_since: u64| {
            let stood_by = it.is_heir && !application.has_begun;
            let is_new = ready_since > application.vacant_since && !stood_by;
            application.takeover == Takeover::OnExit || is_new
        };
        let resumes = |it: &Participant| it.held == Held::Epoch(application.epoch);
        let chosen = match (application.wanted, application.active) {
            (Some(wanted), _) => ours.find(|(id, ..)| *id == wanted),
            (None, Some(_)) => None,
            (None, None) => ours
                .filter(|(_, it, since)| {
                    let is_waited_for = application.owner_is_out || application.heirs_are_out;
                    resumes(it) || !is_waited_for && may_by_itself(it, *since)
                })
                .min_by_key(|(_, it, since)| {
                    (!resumes(it), Reverse(inherits(it)), it.class.slowness(), *since)
                }),
        };
        let (participant, entry, ..) = chosen?;
        let resumes = resumes(entry) && application.active.is_none();
        let epoch = if resumes { application.epoch } else { application.epoch.checked_add(1)? };
        Some(Due { application: index, participant, epoch, resumes })
    }

    /// Makes whoever is active stand by, where somebody else is due. Between this and
    /// [`Self::promote`] nobody is active.
    pub fn stand_down(&mut self, due: Due, order: &mut dyn FnMut(Order)) {
        if self.due_in(due.application) == Some(due) {
            self.retire(due.application, order);
        }
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
        application.owner_is_out = false;
        application.heirs_are_out = false;
        application.has_begun = true;
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
        order(Order::Keep(application.name, due.epoch));
        // What anybody held is of the past: an epoch has one owner.
        let ours = |it: &&mut Participant| it.application == Some(due.application);
        for participant in self.participants.iter_mut().flatten().filter(ours) {
            if participant.held != Held::Unknown {
                participant.held = Held::Nothing;
            }
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
        // Only now: whatever the daemon dies of, nobody acts whose segments the others were not
        // sent.
        let office = Office { role: Role::Active, epoch: due.epoch };
        order(Order::Office(due.participant, office));
        let standby = Office { role: Role::Standby, epoch: due.epoch };
        for (who, ..) in self.ready_in(due.application).filter(|it| it.0 != due.participant) {
            order(Order::Office(who, standby));
        }
    }

    /// Makes the active participant of an application stand by, and has the segments prepared that
    /// it will write another time.
    pub(super) fn retire(&mut self, application: usize, order: &mut dyn FnMut(Order)) {
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
        order(Order::Vacant(entry.name));
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

    /// Whether a participant goes on with the segments that it held when the daemon started, or
    /// would when it becomes active.
    #[must_use]
    pub fn resumes(&self, who: ParticipantId) -> bool {
        self.participants[who.index()].is_some_and(|it| {
            let application = it.application.and_then(|index| self.applications[index]);
            application.is_some_and(|entry| it.held == Held::Epoch(entry.epoch))
        })
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

    fn application_mut(&mut self, name: RegionName) -> Option<&mut Application> {
        let index = self.application(name)?;
        self.applications[index].as_mut()
    }
}
