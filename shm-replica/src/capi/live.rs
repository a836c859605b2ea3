//! A participant's cyclic half with the program's own memory: what is gathered from where, and
//! where it is written back to.

use std::ffi::c_void;
use std::ptr;
use std::slice;

use super::types::{
    BMPL_CYCLE_DAEMON_AWAY, BMPL_CYCLE_NEWER_LOST, BMPL_CYCLE_RESTORED, BMPL_CYCLE_STATE_LOST,
    BMPL_CYCLE_STEPPED_DOWN, BMPL_CYCLE_TOOK_OVER, Cycle,
};
use crate::image::{Image, NoImage};
use crate::os::participant::{self, CycleError, Cyclic, Restored};
use crate::page::Role;

/// A piece of the program's memory, and its place in the image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) address: *mut c_void,
    pub(super) offset: usize,
    pub(super) octets: usize,
}

/// A region.
#[derive(Debug)]
pub(super) struct Region {
    /// Empty where it is only read or written in place.
    pieces: Vec<Piece>,
    pub(super) is_written: bool,
    pub(super) separate: bool,
    /// Epoch and cycle of what was read last, where it is not read from the ring.
    seen: (u64, u64),
}

// SAFETY: the addresses are of the program's memory, which it lets us use from the thread that
// calls us, by the words of the header.
unsafe impl Send for Region {}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) cyclic: Cyclic,
    pub(super) regions: Vec<Region>,
    /// Whether it follows each cut while it stands by.
    is_hot: bool,
    /// What this participant was at the last cycle's beginning.
    role: Role,
}

impl Region {
    pub(super) const fn read_only() -> Self {
        Self { pieces: Vec::new(), is_written: false, separate: false, seen: (0, 0) }
    }

    pub(super) const fn written(pieces: Vec<Piece>, separate: bool) -> Self {
        Self { pieces, is_written: true, separate, seen: (0, 0) }
    }

    /// The program's memory as the image has it, piece by piece.
    fn gathered<'a>(&self) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a, '_> {
        self.pieces.iter().map(|piece| {
            let address = piece.address.cast::<u8>().cast_const();
            // SAFETY: by the words of the header, the memory that was registered is there until
            // deactivation, and nobody writes it while a commit runs.
            unsafe { slice::from_raw_parts(address, piece.octets) }
        })
    }

    /// Writes an image back to the program's memory.
    fn scatter(&self, image: &[u8]) {
        for piece in &self.pieces {
            let Some(octets) = image.get(piece.offset..piece.offset + piece.octets) else {
                continue;
            };
            let address = piece.address.cast::<u8>();
            // SAFETY: as many octets are there, by the words of the header, and an image of ours
            // lies elsewhere.
            unsafe { ptr::copy_nonoverlapping(octets.as_ptr(), address, piece.octets) };
        }
    }
}

impl Live {
    /// A participant that was just activated. What its blocks hold now is what it begins with where
    /// there is no state, and what blocks keep that the state does not have.
    pub(super) fn new(mut cyclic: Cyclic, regions: Vec<Region>, is_hot: bool) -> Self {
        for (index, region) in regions.iter().enumerate() {
            let Some(image) = cyclic.initial_image(index).filter(|_| !region.pieces.is_empty())
            else {
                continue;
            };
            for (piece, octets) in region.pieces.iter().zip(region.gathered()) {
                if let Some(place) = image.get_mut(piece.offset..piece.offset + piece.octets) {
                    place.copy_from_slice(octets);
                }
            }
        }
        Self { cyclic, regions, is_hot, role: Role::None }
    }

    /// Begins a cycle, with the state in the program's memory where it has just taken over.
    pub(super) fn begin(&mut self) -> (Cycle, Role) {
        let begun = self.cyclic.begin();
        self.role = begun.role;
        let restores = matches!(begun.took_over, Some(Restored::State { .. }));
        if restores {
            self.restore();
        }
        (told(&begun), begun.role)
    }

    /// Writes the state that is held to the program's memory; whether there is any.
    pub(super) fn restore(&self) -> bool {
        let mut any = false;
        for (index, region) in self.regions.iter().enumerate() {
            if let Some((_, image)) = self.cyclic.image(index).filter(|_| region.is_written) {
                region.scatter(image);
                any = true;
            }
        }
        any
    }

    /// The same, for a standby: one that follows nothing by itself looks first.
    pub(super) fn restore_now(&mut self) -> bool {
        if !self.is_hot {
            self.cyclic.catch_up();
        }
        self.restore()
    }

    pub(super) const fn is_active(&self) -> bool {
        matches!(self.role, Role::Active)
    }

    /// Commits all regions that are not separate; the cycle's number.
    pub(super) fn commit(&mut self) -> Result<u64, CycleError> {
        let regions = &self.regions;
        self.cyclic.commit(|index| regions[index].gathered())
    }

    /// Commits one separate region.
    pub(super) fn commit_separate(&mut self, region: usize) -> Result<u64, CycleError> {
        let known = self.regions.get(region).ok_or(CycleError::NoRegion(region))?;
        self.cyclic.commit_separate(region, known.gathered())
    }

    /// Reads a region. What a hot standby follows is held already, as of the cycle's beginning; an
    /// active process has the newest state itself.
    pub(super) fn read(&mut self, region: usize, in_order: bool) -> Result<Image, NoImage> {
        let known = self.regions.get_mut(region).ok_or(NoImage::Nothing)?;
        let is_ours = known.is_written && matches!(self.role, Role::Active);
        let is_followed = known.is_written && !known.separate && self.is_hot;
        if !is_ours && !is_followed {
            return self.cyclic.read(region, in_order);
        }
        let (image, _) = self.cyclic.image(region).filter(|_| !is_ours).ok_or(NoImage::Nothing)?;
        let this = (image.stamp.epoch, image.stamp.cycle);
        if this == known.seen {
            return Err(NoImage::Nothing);
        }
        known.seen = this;
        Ok(image)
    }
}

/// A cycle as the header has it.
fn told(begun: &participant::Cycle) -> Cycle {
    let mut flags = 0;
    let mut gap_ns = 0;
    if let Some(restored) = begun.took_over {
        flags |= BMPL_CYCLE_TOOK_OVER;
        match restored {
            Restored::State { age, newer_lost, .. } => {
                flags |= BMPL_CYCLE_RESTORED;
                flags |= if newer_lost { BMPL_CYCLE_NEWER_LOST } else { 0 };
                gap_ns = age.as_nanos();
            }
            Restored::Lost(_) => flags |= BMPL_CYCLE_STATE_LOST,
            Restored::Nothing => {}
        }
    }
    if begun.stepped_down {
        flags |= BMPL_CYCLE_STEPPED_DOWN;
    }
    if !begun.has_daemon {
        flags |= BMPL_CYCLE_DAEMON_AWAY;
    }
    Cycle {
        role: super::fault::role_number(begun.role).cast_unsigned(),
        flags,
        cycle: begun.number,
        epoch: begun.epoch,
        time_ns: begun.time_ns,
        gap_ns,
        ..Cycle::default()
    }
}
