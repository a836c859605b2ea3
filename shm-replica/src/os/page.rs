//! A participant's page, in a memory file.

use std::os::fd::OwnedFd;

use super::mapping::Mapping;
use super::schedule::point;
use super::segment::{MAP, SegmentError, failed, for_reading, sealed};
use super::wake;
use crate::page::{Office, PAGE_OCTETS, Page};

/// A page that the daemon writes.
#[derive(Debug)]
pub struct PageFile {
    file: OwnedFd,
    page: Page<Mapping>,
}

impl PageFile {
    /// A new page of a daemon whose life has the number `instance`.
    ///
    /// # Errors
    /// Out of memory or descriptors.
    pub fn create(instance: u64) -> Result<Self, SegmentError> {
        let file = sealed("page", PAGE_OCTETS)?;
        let memory = Mapping::new(&file, PAGE_OCTETS, true).map_err(failed(MAP))?;
        let page = Page::create(memory, instance).ok_or(SegmentError::NotSealed)?;
        Ok(Self { file, page })
    }

    /// The descriptor for the participant.
    ///
    /// # Errors
    /// Out of descriptors, or no `/proc`.
    pub fn for_reading(&self) -> Result<OwnedFd, SegmentError> {
        for_reading(&self.file)
    }

    /// Role and epoch, as they were told last.
    #[must_use]
    pub fn office(&self) -> Office {
        self.page.office()
    }

    /// Changes something in the page, and wakes who waits for that.
    pub fn change(&self, change: impl FnOnce(&Page<Mapping>)) {
        point();
        change(&self.page);
        point();
        wake::wake_word(self.page.memory(), Page::<Mapping>::CHANGES);
    }
}

/// Maps a page that the daemon handed over.
///
/// # Errors
/// It is none.
pub fn open_page(file: &OwnedFd) -> Result<Page<Mapping>, SegmentError> {
    let memory = Mapping::new(file, PAGE_OCTETS, false).map_err(failed(MAP))?;
    Page::open(memory).ok_or(SegmentError::NotSealed)
}
