//! The rings that an AF_XDP socket shares with the kernel: two words, an array, a word of flags.
//!
//! Both words count all entries ever produced or consumed, modulo 2^32.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use super::open_error::OpenError;

/// A ring of `E`, mapped.
#[derive(Debug)]
pub(super) struct XdpRing<E> {
    map: MmapRaw,
    producer_at: usize,
    consumer_at: usize,
    flags_at: usize,
    entries_at: usize,
    mask: u32,
    _entries: std::marker::PhantomData<E>,
}

impl<E: Copy> XdpRing<E> {
    /// Maps the ring that lies at `page_offset` of the socket; the kernel said where in it the
    /// words and the entries are. `entries` is a power of two.
    pub(super) fn map(
        socket: BorrowedFd<'_>,
        page_offset: u64,
        offsets: libc::xdp_ring_offset,
        entries: u32,
    ) -> Result<Self, OpenError> {
        const OPERATION: &str = "map an AF_XDP ring";
        let layout = || OpenError::Layout { operation: OPERATION };
        let place = |offset: u64, align: usize| {
            let offset = usize::try_from(offset).ok().filter(|offset| *offset < 1 << 20);
            offset.filter(|offset| offset % align == 0).ok_or_else(layout)
        };
        let entries_at = place(offsets.desc, align_of::<E>())?;
        let len = entries_at + entries as usize * size_of::<E>();
        let word_place = |offset: u64| {
            place(offset, align_of::<AtomicU32>())
                .and_then(|at| if at + 4 <= len { Ok(at) } else { Err(layout()) })
        };
        let (producer_at, consumer_at) =
            (word_place(offsets.producer)?, word_place(offsets.consumer)?);
        let flags_at = word_place(offsets.flags)?;
        let map = MmapOptions::new()
            .offset(page_offset)
            .len(len)
            .populate()
            .map_raw(socket.as_raw_fd())
            .map_err(|error| OpenError::from_io(OPERATION, &error))?;
        let mask = entries - 1;
        let _entries = std::marker::PhantomData;
        Ok(Self { map, producer_at, consumer_at, flags_at, entries_at, mask, _entries })
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        let word: *mut u32 = self.map.as_mut_ptr().wrapping_add(at).cast();
        // SAFETY: `map` checked that the word lies in the mapping, aligned; the mapping lives as
        // long as `self`, and both sides access the word atomically.
        unsafe { AtomicU32::from_ptr(word) }
    }

    fn entry(&self, index: u32) -> *mut E {
        let first: *mut E = self.map.as_mut_ptr().wrapping_add(self.entries_at).cast();
        first.wrapping_add((index & self.mask) as usize)
    }

    pub(super) fn producer(&self) -> u32 {
        self.word(self.producer_at).load(Ordering::Acquire)
    }

    pub(super) fn consumer(&self) -> u32 {
        self.word(self.consumer_at).load(Ordering::Acquire)
    }

    /// Whether the kernel waits to be told that there is something new in the ring.
    pub(super) fn needs_wakeup(&self) -> bool {
        self.word(self.flags_at).load(Ordering::Acquire) & libc::XDP_RING_NEED_WAKEUP != 0
    }

    /// Shows the kernel what was written before `producer`.
    pub(super) fn publish(&self, producer: u32) {
        self.word(self.producer_at).store(producer, Ordering::Release);
    }

    /// Gives what was read before `consumer` back to the kernel.
    pub(super) fn release(&self, consumer: u32) {
        self.word(self.consumer_at).store(consumer, Ordering::Release);
    }

    /// Reads the entry with this count.
    pub(super) fn read(&self, index: u32) -> E {
        // SAFETY: the mask keeps the pointer within the entries, which `map` sized the mapping
        // for; alignment was checked there. The entries are integers, any bit pattern is one.
        unsafe { self.entry(index).read_volatile() }
    }

    /// Writes the entry with this count.
    pub(super) fn write(&mut self, index: u32, value: E) {
        // SAFETY: in the mapping and aligned, as in `read`; the mapping is writable. The kernel
        // does not read the entry at the same time: it has not been shown it (fill ring), or reads
        // it in our own system calls only (transmit ring in copy mode).
        unsafe { self.entry(index).write_volatile(value) }
    }
}
