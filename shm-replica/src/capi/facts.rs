//! What is known of a handle's regions, for threads that only look.
//!
//! The cyclic thread writes a few words beside its work, anybody reads them; nobody waits.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rt_core::limits::REGIONS_MAX;

use super::types::RegionInfo;
use crate::segment::RegionName;

/// What does not change of a region.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fixed {
    pub(super) name: RegionName,
    pub(super) flags: u32,
    pub(super) slots: u32,
    pub(super) block_count: u32,
    pub(super) schema_hash: u64,
}

/// What is known of a region.
#[derive(Debug, Default)]
pub(super) struct Fact {
    pub(super) fixed: OnceLock<Fixed>,
    pub(super) size: AtomicU64,
    pub(super) cycle: AtomicU64,
}

/// Of all regions, by their numbers.
#[derive(Debug)]
pub(super) struct Facts(Box<[Fact]>);

impl Facts {
    pub(super) fn new() -> Self {
        Self((0..REGIONS_MAX).map(|_| Fact::default()).collect())
    }

    pub(super) fn get(&self, region: usize) -> Option<&Fact> {
        self.0.get(region)
    }

    /// Writes down of which cycle the region's last image is. Real-time class: one store.
    pub(super) fn tell(&self, region: usize, cycle: u64) {
        if let Some(fact) = self.get(region) {
            fact.cycle.store(cycle, Ordering::Relaxed);
        }
    }

    /// What is known of a region here; none where there is no region of the number.
    pub(super) fn info(&self, region: usize) -> Option<RegionInfo> {
        let fact = self.get(region)?;
        let fixed = fact.fixed.get()?;
        let mut info = RegionInfo {
            flags: fixed.flags,
            size: fact.size.load(Ordering::Relaxed),
            slots: fixed.slots,
            block_count: fixed.block_count,
            schema_hash: fixed.schema_hash,
            cycle: fact.cycle.load(Ordering::Relaxed),
            ..RegionInfo::default()
        };
        // A name is shorter than its field, so a zero stays behind it.
        for (to, from) in info.name.iter_mut().zip(fixed.name.as_str().bytes()) {
            *to = std::ffi::c_char::from_ne_bytes([from]);
        }
        Some(info)
    }
}
