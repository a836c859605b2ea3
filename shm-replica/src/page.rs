//! A participant's page: what the daemon tells one process, without a system call on either side of
//! a cycle.
//!
//! The daemon writes it, the participant maps it for reading, and nobody else has it. Role and
//! epoch are one word, so that no cycle sees the one without the other. The word that counts
//! changes is stored last, and can be waited on like a ring's.

use core::ops::Deref;
use core::sync::atomic::Ordering;

use rt_core::limits::REGIONS_MAX;

use crate::word::Word;

/// Octets of a page: one of the machine's.
pub const PAGE_OCTETS: usize = 4_096;

/// The first word.
const MAGIC: u64 = u64::from_le_bytes(*b"BMPPAGE1");

/// Where the words stand; pairs of cache lines by who looks how often.
mod at {
    pub(super) const MAGIC: usize = 0;
    pub(super) const INSTANCE: usize = 1;
    pub(super) const ROLE: usize = 16;
    pub(super) const CHANGES: usize = 17;
    /// Four words for each region, one of them reserved.
    pub(super) const REGIONS: usize = 32;
}

const _: () = assert!(
    (at::REGIONS + 4 * REGIONS_MAX) * size_of::<u64>() <= PAGE_OCTETS,
    "a page has room for all regions"
);

/// What a participant is for its application.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Role {
    /// It reads only, or nothing was decided yet.
    #[default]
    None,
    /// It stands by.
    Standby,
    /// It is in charge.
    Active,
}

/// Role and epoch, which change together.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Office {
    /// The role.
    pub role: Role,
    /// The epoch in force: the participant's own where it is active. Less than 2^62.
    pub epoch: u64,
}

impl Office {
    const fn word(self) -> u64 {
        let role = match self.role {
            Role::None => 0,
            Role::Standby => 1,
            Role::Active => 2,
        };
        self.epoch << 2 | role
    }

    const fn from_word(word: u64) -> Self {
        let role = match word & 3 {
            1 => Role::Standby,
            2 => Role::Active,
            _ => Role::None,
        };
        Self { role, epoch: word >> 2 }
    }
}

/// A page.
#[derive(Clone, Debug)]
pub struct Page<M> {
    memory: M,
}

impl<M, W> Page<M>
where
    M: Deref<Target = [W]>,
    W: Word,
{
    /// A new page of a daemon whose life has the number `instance`; none where the memory is
    /// smaller than a page.
    #[must_use]
    pub fn create(memory: M, instance: u64) -> Option<Self> {
        memory.get(PAGE_OCTETS / size_of::<u64>() - 1)?;
        memory[at::INSTANCE].store(instance, Ordering::Relaxed);
        memory[at::MAGIC].store(MAGIC, Ordering::Release);
        Some(Self { memory })
    }

    /// A page that somebody else made; none where it is no page.
    #[must_use]
    pub fn open(memory: M) -> Option<Self> {
        memory.get(PAGE_OCTETS / size_of::<u64>() - 1)?;
        (memory[at::MAGIC].load(Ordering::Acquire) == MAGIC).then_some(Self { memory })
    }

    /// The number of the daemon's life.
    #[must_use]
    pub fn instance(&self) -> u64 {
        self.memory[at::INSTANCE].load(Ordering::Relaxed)
    }

    /// Role and epoch. Real-time class: one load.
    #[must_use]
    pub fn office(&self) -> Office {
        Office::from_word(self.memory[at::ROLE].load(Ordering::Acquire))
    }

    /// How often anything here has changed; the word at [`Self::CHANGES`] can be waited on.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.memory[at::CHANGES].load(Ordering::Acquire)
    }

    /// Index of the word that counts changes.
    pub const CHANGES: usize = at::CHANGES;

    /// Whether somebody wants to be woken by the commits of the region `index`.
    /// Real-time class: one load.
    #[must_use]
    pub fn wake_wanted(&self, index: usize) -> bool {
        self.region(index).is_some_and(|[wake, ..]| wake.load(Ordering::Acquire) > 0)
    }

    /// The epoch in force of the region number `index`; zero before the first. Real-time
    /// class: one load.
    #[must_use]
    pub fn region_epoch(&self, index: usize) -> u64 {
        self.region(index).map_or(0, |[_, epoch, ..]| epoch.load(Ordering::Acquire))
    }

    /// The epoch of the segment that the participant was sent to read before that; zero for none.
    /// Who becomes active goes on from that one. Real-time class: one load.
    #[must_use]
    pub fn former_epoch(&self, index: usize) -> u64 {
        self.region(index).map_or(0, |[_, _, former, _]| former.load(Ordering::Acquire))
    }

    /// The memory, to wait on [`Self::CHANGES`].
    #[must_use]
    pub const fn memory(&self) -> &M {
        &self.memory
    }

    /// Tells role and epoch. Thread: the daemon's.
    pub fn set_office(&self, office: Office) {
        self.memory[at::ROLE].store(office.word(), Ordering::Release);
        self.count_change();
    }

    /// Tells how many want to be woken by commits of a region. Thread: the daemon's.
    pub fn set_wakes(&self, index: usize, count: u64) {
        if let Some([wake, ..]) = self.region(index) {
            wake.store(count, Ordering::Release);
            self.count_change();
        }
    }

    /// Tells the epoch in force of a region, and that of the segment that the participant was sent
    /// to read before. Thread: the daemon's.
    pub fn set_region_epoch(&self, index: usize, in_force: u64, before: u64) {
        if let Some([_, epoch, former, _]) = self.region(index) {
            former.store(before, Ordering::Release);
            epoch.store(in_force, Ordering::Release);
            self.count_change();
        }
    }

    fn count_change(&self) {
        let changes = &self.memory[at::CHANGES];
        changes.store(changes.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    fn region(&self, index: usize) -> Option<&[W; 4]> {
        let (regions, _) = self.memory.get(at::REGIONS..)?.as_chunks();
        regions.get(..REGIONS_MAX)?.get(index)
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU64;

    use super::*;

    fn memory() -> Vec<AtomicU64> {
        (0..PAGE_OCTETS / 8).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn what_the_daemon_tells_is_what_the_participant_finds() {
        let memory = memory();
        assert!(Page::open(&*memory).is_none());
        let told = Page::create(&*memory, 77).unwrap();
        let found = Page::open(&*memory).unwrap();
        assert_eq!((found.instance(), found.office()), (77, Office::default()));
        for role in [Role::Standby, Role::Active, Role::None] {
            let office = Office { role, epoch: (1 << 62) - 1 };
            let changes = found.changes();
            told.set_office(office);
            assert_eq!((found.office(), found.changes()), (office, changes + 1));
        }
        for index in [0, 1, REGIONS_MAX - 1] {
            assert!(!found.wake_wanted(index));
            told.set_wakes(index, 3);
            told.set_region_epoch(index, 9, 7);
            assert!(found.wake_wanted(index));
            assert_eq!((found.region_epoch(index), found.former_epoch(index)), (9, 7));
        }
        assert_eq!(found.region_epoch(2), 0);
    }

    #[test]
    fn a_region_beyond_the_last_is_none_and_changes_nothing() {
        let memory = memory();
        let page = Page::create(&*memory, 1).unwrap();
        for index in [REGIONS_MAX, 1_000_000, usize::MAX] {
            page.set_wakes(index, 1);
            page.set_region_epoch(index, 1, 0);
            assert!(!page.wake_wanted(index));
            assert_eq!(page.region_epoch(index), 0);
        }
        assert_eq!(page.changes(), 0);
    }

    #[test]
    fn a_memory_that_is_no_page_is_none() {
        let memory = memory();
        Page::create(&*memory, 1).unwrap();
        assert!(Page::open(&memory[..511]).is_none() && Page::create(&memory[..511], 1).is_none());
        memory[0].store(1, Ordering::Relaxed);
        assert!(Page::open(&*memory).is_none());
    }

    #[test]
    fn a_role_that_nobody_knows_is_none() {
        assert_eq!(Office::from_word(u64::MAX).role, Role::None);
    }
}
