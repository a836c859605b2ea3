//! The memory that AF_XDP sockets share with the kernel: chunks, each of them somebody's.

use std::sync::Arc;

use memmap2::{MmapOptions, MmapRaw};

use super::open_error::OpenError;
use crate::port::FRAME_OCTETS_MAX;

/// One frame's room.
pub(super) const CHUNK_OCTETS: u32 = 2_048;
const _: () = assert!(CHUNK_OCTETS as usize == FRAME_OCTETS_MAX);

#[derive(Debug)]
pub(super) struct Umem {
    map: MmapRaw,
    chunks: u32,
}

impl Umem {
    /// Memory in parts of so many chunks each.
    pub(super) fn new(counts: &[u32]) -> Result<(Arc<Self>, Vec<Chunks>), OpenError> {
        let chunks: u32 = counts.iter().sum();
        let map = MmapOptions::new()
            .len((chunks * CHUNK_OCTETS) as usize)
            .populate()
            .map_anon()
            .map_err(|error| OpenError::from_io("map memory for AF_XDP", &error))?;
        let umem = Arc::new(Self { map: MmapRaw::from(map), chunks });
        let mut first = 0;
        let mut part = |count: &u32| {
            let part = Chunks { umem: Arc::clone(&umem), first, count: *count };
            first += count;
            part
        };
        let parts = counts.iter().map(&mut part).collect();
        Ok((umem, parts))
    }

    pub(super) fn registration(&self) -> libc::xdp_umem_reg {
        libc::xdp_umem_reg {
            addr: self.map.as_ptr() as u64,
            len: u64::from(self.chunks * CHUNK_OCTETS),
            chunk_size: CHUNK_OCTETS,
            headroom: 0,
            flags: 0,
            tx_metadata_len: 0,
        }
    }
}

/// Some of the chunks, with one owner.
#[derive(Debug)]
pub(super) struct Chunks {
    umem: Arc<Umem>,
    first: u32,
    count: u32,
}

impl Chunks {
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// The address of a chunk, `index` < [`Self::count`], in the kernel's count.
    pub(super) fn address(&self, index: u32) -> u64 {
        u64::from(self.first + index) * u64::from(CHUNK_OCTETS)
    }

    /// The chunk that an address lies in; `None` for one that is not ours.
    pub(super) fn index(&self, address: u64) -> Option<u32> {
        let chunk = u32::try_from(address / u64::from(CHUNK_OCTETS)).ok()?;
        chunk.checked_sub(self.first).filter(|index| *index < self.count)
    }

    /// `len` octets from `address` on; `None` unless they lie in one chunk of ours.
    ///
    /// The kernel writes to chunks that are in a fill ring only: the caller asks for others.
    pub(super) fn octets(&mut self, address: u64, len: u32) -> Option<&mut [u8]> {
        self.index(address)?;
        let offset = u32::try_from(address % u64::from(CHUNK_OCTETS)).ok()?;
        if offset.checked_add(len)? > CHUNK_OCTETS {
            return None;
        }
        let start = self.umem.map.as_mut_ptr().wrapping_add(usize::try_from(address).ok()?);
        // SAFETY: the octets lie in one chunk of this part, as checked above, and so in the
        // mapping, which `umem` keeps; it was mapped zeroed. Parts do not overlap and have one
        // owner each, and `&mut self` excludes a second slice from this one. The kernel does not
        // write there now: see above.
        Some(unsafe { std::slice::from_raw_parts_mut(start, len as usize) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_overlap_and_nothing_outside_of_a_chunk_is_given() {
        let (_, mut parts) = Umem::new(&[2, 3]).unwrap();
        let [one, other] = &mut parts[..] else { panic!("two parts") };
        assert_eq!((one.address(1), other.address(0), other.address(2)), (2_048, 4_096, 8_192));
        one.octets(2_048, 2_048).unwrap().fill(1);
        assert!(other.octets(4_096, 2_048).unwrap().iter().all(|octet| *octet == 0));
        assert!(one.octets(0, 2_049).is_none() && one.octets(2_047, 2).is_none());
        assert!(one.octets(4_096, 1).is_none() && other.octets(4_095, 1).is_none());
        assert!(other.octets(10_240, 1).is_none() && other.octets(u64::MAX, 1).is_none());
        assert!(other.octets(10_239, 1).is_some() && other.octets(4_096, u32::MAX).is_none());
        assert_eq!((one.index(4_096), other.index(4_096 + 7)), (None, Some(0)));
    }
}
