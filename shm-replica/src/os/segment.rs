//! Making segments, and taking those that somebody else made.
//!
//! A segment is a memory file without a name: nothing is left behind when the last process that has
//! it is gone, whatever it died of, and nobody can open it who was not handed it. It is sealed, so
//! that its size never changes: an access to it cannot fault. Its pages are there from the start:
//! a memory that is promised and then cannot be had would end a process in its first cycle.
//!
//! (Named files in `/dev/shm` were the alternative; stale ones, races for their permissions and
//! session managers that remove them are the first complaints about all that use them.)

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::AtomicU64;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, OFlag, SealFlag, fallocate, fcntl, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{Mode, fchmod, fstat};
use thiserror::Error;

use super::mapping::Mapping;
use crate::segment::{HEADER_OCTETS, Header, Layout, RegionName, State, WrongHeader};
use crate::word::{WORD_OCTETS, Word as _};

/// The seals of each segment: its size is for ever, and so are the seals.
const SEALS: SealFlag =
    SealFlag::F_SEAL_SHRINK.union(SealFlag::F_SEAL_GROW).union(SealFlag::F_SEAL_SEAL);

/// Why there is no segment.
#[derive(Debug, Error)]
pub enum SegmentError {
    /// What was received has not the seals of a segment.
    #[error("the descriptor is no segment: it is not sealed")]
    NotSealed,
    /// Of a machine that has been started since.
    #[error("the segment was made before the machine was started last")]
    OtherBoot,
    /// What was received is no segment of ours.
    #[error(transparent)]
    Header(#[from] WrongHeader),
    /// Of another region than was asked for.
    #[error("it is of region {0}")]
    OtherRegion(Box<RegionName>),
    /// Of other sizes than were registered.
    #[error(
        "it is laid out for images of {} octets in {} slots and a schema of {} octets, not as was \
         registered",
        .0.image_octets(), .0.slots(), .0.schema().len()
    )]
    OtherLayout(Layout),
    /// Its schema is none, or not the one that its header speaks of. Its writer can write there.
    #[error("its schema has been changed: it does not fit its header")]
    Schema,
    /// The kernel refuses.
    #[error("cannot {what}: {why}{}", remedy(why))]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it did not work.
        why: io::Error,
    },
}

fn remedy(why: &io::Error) -> &'static str {
    match why.raw_os_error() {
        Some(libc::ENOMEM | libc::ENOSPC) => {
            "; choose a smaller region or fewer slots, or give the service more memory (MemoryMax=)"
        }
        Some(libc::EAGAIN) => "; raise the limit of locked memory (LimitMEMLOCK=)",
        Some(libc::EMFILE | libc::ENFILE) => "; raise the limit of open files (LimitNOFILE=)",
        _ => "",
    }
}

/// What is tried in two places.
pub(super) const MAP: &str = "map a region's memory";

/// The error of having tried `what`.
pub(super) fn failed<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> SegmentError {
    move |why| SegmentError::System { what, why: why.into() }
}

/// A segment: its file, its header as it was checked, and its memory.
#[derive(Debug)]
pub struct Segment {
    file: OwnedFd,
    header: Header,
    memory: Mapping,
}

impl Segment {
    /// Makes a segment with a schema of the header's length, mapped for writing. Not for a
    /// real-time thread.
    ///
    /// # Errors
    /// [`SegmentError::System`].
    pub fn create(header: &Header, schema: &[u8]) -> Result<Self, SegmentError> {
        let octets = header.layout.segment_octets();
        let file = sealed(header.name.as_str(), octets)?;
        let memory = Mapping::new(&file, octets, true).map_err(failed(MAP))?;
        let place = header.layout.schema().start / WORD_OCTETS;
        let schema = schema.get(..header.layout.schema().len()).unwrap_or_default();
        AtomicU64::store_octets(&memory[place..], schema);
        header.write(&memory)?;
        Ok(Self { file, header: *header, memory })
    }

    /// Takes a segment that somebody else made and handed over, and maps it. Everything about it is
    /// checked. Not for a real-time thread.
    ///
    /// # Errors
    /// It is no segment of this boot, or it is not what it says.
    pub fn open(file: OwnedFd, writable: bool) -> Result<Self, SegmentError> {
        if !seals(&file).is_ok_and(|seals| seals.contains(SEALS)) {
            return Err(SegmentError::NotSealed);
        }
        let size = fstat(&file).map_err(failed("ask a segment's size"))?.st_size;
        let size = u64::try_from(size).unwrap_or(0);
        if size < HEADER_OCTETS as u64 {
            return Err(WrongHeader::Size { wanted: HEADER_OCTETS as u64, found: size }.into());
        }
        let map = |octets| Mapping::new(&file, octets, writable).map_err(failed(MAP));
        let header = Header::read(&map(HEADER_OCTETS)?, size)?;
        if header.boot_id != boot_id().map_err(failed("read the boot id"))? {
            return Err(SegmentError::OtherBoot);
        }
        let memory = map(header.layout.segment_octets())?;
        Ok(Self { file, header, memory })
    }

    /// A descriptor of the same segment through which nobody can write.
    ///
    /// # Errors
    /// Out of descriptors, or no `/proc`.
    pub fn for_reading(&self) -> Result<OwnedFd, SegmentError> {
        for_reading(&self.file)
    }

    /// Whether this user made the segment, and nobody else could have.
    #[must_use]
    pub fn is_of_this_user(&self) -> bool {
        let own = nix::unistd::geteuid().as_raw();
        fstat(&self.file).is_ok_and(|it| it.st_uid == own && it.st_mode & 0o777 == 0o600)
    }

    /// The schema, copied out of the memory, which its writer can write to: nothing is known of it
    /// but its length. Empty where there is none.
    #[must_use]
    pub fn schema_octets(&self) -> Vec<u8> {
        let range = self.header.layout.schema();
        let mut octets = vec![0; range.len()];
        AtomicU64::load_octets(&self.memory[range.start / WORD_OCTETS..], &mut octets);
        octets
    }

    /// The words that change.
    ///
    /// # Errors
    /// None: its header has been checked.
    pub fn state(&self) -> Result<State<&[AtomicU64]>, SegmentError> {
        Ok(State::new(&*self.memory)?)
    }

    /// The header as it was checked.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The memory.
    #[must_use]
    pub const fn memory(&self) -> &Mapping {
        &self.memory
    }

    /// The file, to be handed to the writer.
    #[must_use]
    pub const fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// The memory, without the file: what a process needs that hands it to nobody.
    #[must_use]
    pub fn into_memory(self) -> Mapping {
        self.memory
    }
}

/// A sealed memory file of so many octets, all of them there, and closed to all other users.
pub(super) fn sealed(name: &str, octets: usize) -> Result<OwnedFd, SegmentError> {
    let file = memory_file(name).map_err(failed("make a memory file"))?;
    // Who was handed the file for reading must not open it for writing by its number.
    fchmod(&file, Mode::S_IRUSR | Mode::S_IWUSR).map_err(failed("close a memory file"))?;
    let length = libc::off_t::try_from(octets).unwrap_or(libc::off_t::MAX);
    fallocate(&file, FallocateFlags::empty(), 0, length)
        .map_err(failed("allocate a region's memory"))?;
    fcntl(&file, FcntlArg::F_ADD_SEALS(SEALS)).map_err(failed("seal a memory file"))?;
    Ok(file)
}

/// A descriptor of the same memory file through which nobody can write.
pub(super) fn for_reading(file: &OwnedFd) -> Result<OwnedFd, SegmentError> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(failed("open a region's memory again for reading"))
}

/// A new memory file that can be sealed and not be executed.
fn memory_file(region: &str) -> nix::Result<OwnedFd> {
    let name = format!("bumpless:{region}");
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let not_executable = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    match memfd_create(name.as_str(), flags | not_executable) {
        // Before Linux 6.3.
        Err(Errno::EINVAL) => memfd_create(name.as_str(), flags),
        made => made,
    }
}

/// The seals of a file; an error where it can have none.
pub(super) fn seals(file: &impl AsFd) -> nix::Result<SealFlag> {
    fcntl(file.as_fd(), FcntlArg::F_GET_SEALS).map(SealFlag::from_bits_retain)
}

/// What the kernel calls this start of the machine.
///
/// # Errors
/// `/proc` is not there.
pub fn boot_id() -> io::Result<[u64; 2]> {
    let text = io::read_to_string(File::open("/proc/sys/kernel/random/boot_id")?)?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let half = |from: usize| digits.get(from..from + 16).unwrap_or_default();
    let number = |text| u64::from_str_radix(text, 16).map_err(io::Error::other);
    Ok([number(half(0))?, number(half(16))?])
}
