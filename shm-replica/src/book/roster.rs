//! A set of participants, a bit for each.

use rt_core::limits::PARTICIPANTS_MAX;

use super::{ParticipantId, participant_id};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Roster(u64);

const _: () = assert!(PARTICIPANTS_MAX <= u64::BITS as usize, "a bit for each participant");

impl Roster {
    pub(super) const EMPTY: Self = Self(0);

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn has(self, who: ParticipantId) -> bool {
        self.0 >> who.0 & 1 == 1
    }

    pub(super) const fn add(&mut self, who: ParticipantId) {
        self.0 |= 1 << who.0;
    }

    pub(super) const fn remove(&mut self, who: ParticipantId) {
        self.0 &= !(1 << who.0);
    }

    pub(super) const fn count(self) -> u32 {
        self.0.count_ones()
    }

    pub(super) fn iter(self) -> impl Iterator<Item = ParticipantId> {
        (0..PARTICIPANTS_MAX).map(participant_id).filter(move |who| self.has(*who))
    }
}
