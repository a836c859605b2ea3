//! The numbers of the next frames, kept where they survive the daemon's death.
//!
//! A node that restarts its numbers within the discard memory of its peers loses frames; one that
//! continues them loses none (IEC 62439-3 leaves it to keep NodeRebootInterval instead). The file
//! is mapped, so that a store costs nothing and survives SIGKILL; what it says counts within the
//! same boot only.
//!
//! A mapped file on a disk would fault whenever its page is written back, so the file has to be on
//! a file system in memory: the runtime folder usually is. If not, it stands in `/dev/shm` while
//! the daemon runs, and the runtime folder gets the numbers when the daemon stops in order. Where
//! there is no `/dev/shm` either, a node that crashed keeps the silence.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use nix::sys::statfs::{FsType, TMPFS_MAGIC, fstatfs};
use nix::unistd::geteuid;
use prp::lre::SequenceStart;
use rt_core::time::Instant;

const FILE_NAME: &str = "sequence";
const STAND_IN_FOLDER: &str = "/dev/shm";
const FILE_OCTETS: usize = 4096;
/// Magic and version of the layout: this word, the boot id's 36 characters, then at 64 the numbers.
const MAGIC: &[u8; 8] = b"bmplseq1";
const BOOT_ID_AT: usize = 8;
const BOOT_ID_OCTETS: usize = 36;
const NUMBERS_AT: usize = 64;
/// Set in the stored word when the daemon stopped in order.
const CLEAN: u64 = 1 << 63;
/// Set in every stored word, so that a file of zeros tells nothing.
const STORED: u64 = 1 << 62;
/// After a crash: more frames than can have left since the last store.
const MARGIN: u16 = 512;

/// The file.
#[derive(Debug)]
pub struct SequenceFile {
    /// In the runtime folder.
    durable: File,
    /// In memory: the durable file itself, or its stand-in.
    map: Option<MmapRaw>,
    /// The stand-in's path.
    stand_in: Option<PathBuf>,
    /// The last value.
    last: (u16, u16),
    /// Whether it can be continued: it was continued itself, or a number was used.
    is_used: bool,
}

impl SequenceFile {
    /// Opens the file in the runtime folder and says where the numbers begin.
    ///
    /// # Errors
    /// The file cannot be made or mapped.
    pub fn open(folder: &Path, boot_id: &str, now: Instant) -> io::Result<(Self, SequenceStart)> {
        let durable = open_file(&folder.join(FILE_NAME))?;
        let (memory, stand_in) = if is_in_memory(&durable) {
            (Some(durable.try_clone()?), None)
        } else {
            open_stand_in(folder).unzip()
        };
        // The one in memory is the newer one: the other is written when all is over.
        let start = memory
            .iter()
            .chain([&durable])
            .find_map(|file| read_start(file, boot_id))
            .unwrap_or_else(|| SequenceStart::after_reboot(now));
        durable.set_len(FILE_OCTETS as u64)?;
        durable.write_all_at(&header(boot_id), 0)?;
        // A crash from here on leaves nothing on a disk that could be taken for the truth.
        durable.write_all_at(&[0; 8], NUMBERS_AT as u64)?;
        let map = memory.map(|file| map(&file, boot_id)).transpose()?;
        let next = (start.sequence_number, start.supervision_sequence_number);
        let is_used = now >= start.silent_until;
        let this = Self { durable, map, stand_in, last: next, is_used };
        // Who is killed while it keeps silent has not used a number yet, and still does not know
        // which its former life used: nothing is stored before the first is used.
        this.write(if is_used { STORED | pack(next) } else { 0 });
        Ok((this, start))
    }

    /// Keeps the numbers of the next frames, once one was used. Real-time class: one store.
    #[inline]
    pub fn store(&mut self, next: (u16, u16)) {
        if next != self.last {
            self.last = next;
            self.is_used = true;
            self.write(STORED | pack(next));
        }
    }

    fn write(&self, value: u64) {
        if let Some(word) = self.word() {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// Keeps the numbers and notes that the daemon stops in order. Not for a real-time thread.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn close(self) -> io::Result<()> {
        let word = if self.is_used { CLEAN | STORED | pack(self.last) } else { 0 };
        self.durable.write_all_at(&word.to_ne_bytes(), NUMBERS_AT as u64)?;
        self.stand_in.map_or(Ok(()), std::fs::remove_file)
    }

    /// Whether the numbers survive a crash of the daemon.
    #[must_use]
    pub fn survives_crash(&self) -> bool {
        self.map.is_some()
    }

    fn word(&self) -> Option<&AtomicU64> {
        let map = self.map.as_ref()?;
        let at: *mut u64 = map.as_mut_ptr().wrapping_add(NUMBERS_AT).cast();
        // SAFETY: the mapping has FILE_OCTETS octets, is page-aligned (so offset 64 is aligned for
        // a u64) and lives as long as `self`; everyone accesses the word atomically. The file is in
        // the runtime folder of root and is never shortened, so the page cannot vanish.
        Some(unsafe { AtomicU64::from_ptr(at) })
    }
}

fn pack((sequence_number, supervision): (u16, u16)) -> u64 {
    u64::from(supervision) << 16 | u64::from(sequence_number)
}

fn header(boot_id: &str) -> [u8; NUMBERS_AT] {
    let mut header = [0; NUMBERS_AT];
    header[..MAGIC.len()].copy_from_slice(MAGIC);
    let octets = boot_id.as_bytes();
    let length = octets.len().min(BOOT_ID_OCTETS);
    header[BOOT_ID_AT..BOOT_ID_AT + length].copy_from_slice(&octets[..length]);
    header
}

/// What the former life left, if it was in this boot and can be trusted.
fn read_start(file: &File, boot_id: &str) -> Option<SequenceStart> {
    let mut octets = [0; NUMBERS_AT + 8];
    file.read_exact_at(&mut octets, 0).ok()?;
    if octets[..NUMBERS_AT] != header(boot_id) {
        return None;
    }
    let word = u64::from_ne_bytes(octets[NUMBERS_AT..].try_into().ok()?);
    if word & STORED == 0 {
        return None;
    }
    let margin = if word & CLEAN != 0 { 0 } else { MARGIN };
    let sequence_number = u16::try_from(word & 0xffff).ok()?.wrapping_add(margin);
    let supervision = u16::try_from(word >> 16 & 0xffff).ok()?.wrapping_add(margin);
    Some(SequenceStart::continued(sequence_number, supervision))
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(path)
}

/// The stand-in for a runtime folder that is on a disk. Anyone may create files in `/dev/shm`, so
/// what is not ours alone is left alone.
fn open_stand_in(folder: &Path) -> Option<(File, PathBuf)> {
    let folder = std::fs::metadata(folder).ok()?;
    let uid = geteuid().as_raw();
    let name = format!("bumpless-{uid}-{:x}-{:x}.sequence", folder.dev(), folder.ino());
    let path = Path::new(STAND_IN_FOLDER).join(name);
    let file = open_file(&path).ok()?;
    let found = file.metadata().ok()?;
    let is_ours = found.is_file() && found.uid() == uid && found.nlink() == 1;
    (is_ours && is_in_memory(&file)).then_some((file, path))
}

fn map(file: &File, boot_id: &str) -> io::Result<MmapRaw> {
    file.set_len(FILE_OCTETS as u64)?;
    file.write_all_at(&header(boot_id), 0)?;
    MmapOptions::new().len(FILE_OCTETS).populate().map_raw(file)
}

fn is_in_memory(file: &File) -> bool {
    /// ramfs, which old initial file systems use for /run.
    const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);
    fstatfs(file).is_ok_and(|fs| [TMPFS_MAGIC, RAMFS_MAGIC].contains(&fs.filesystem_type()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rt_core::limits::NODE_REBOOT_INTERVAL;

    fn folder(name: &str) -> PathBuf {
        // /dev/shm is a file system in memory on every Linux.
        let folder = Path::new("/dev/shm").join(format!("bmpl-test-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    const NOW: Instant = Instant::from_nanos(5_000_000_000);
    const BOOT: &str = "0d4c1f6e-7a55-4b0a-9a55-2c8b5d7f0e11";

    #[test]
    fn numbers_continue_after_a_stop_and_skip_ahead_after_a_crash() {
        let folder = folder("continue");
        let (mut file, start) = SequenceFile::open(&folder, BOOT, NOW).unwrap();
        assert_eq!(start, SequenceStart::after_reboot(NOW));
        file.store((1000, 20));
        file.close().unwrap();
        let (mut file, start) = SequenceFile::open(&folder, BOOT, NOW).unwrap();
        assert_eq!(start, SequenceStart::continued(1000, 20));
        file.store((65_500, 21));
        assert!(file.survives_crash());
        drop(file);
        let (_, start) = SequenceFile::open(&folder, BOOT, NOW).unwrap();
        assert_eq!(start, SequenceStart::continued(476, 533));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_runtime_folder_on_a_disk_keeps_the_numbers_over_a_crash_too() {
        let folder = std::env::current_dir().unwrap().join(format!("seq-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (mut file, _) = SequenceFile::open(&folder, BOOT, NOW).unwrap();
        if file.stand_in.is_none() {
            println!("SKIP: sequence_file: disk: the working folder is on a file system in memory");
        }
        file.store((7, 8));
        drop(file);
        let (mut file, start) = SequenceFile::open(&folder, BOOT, NOW).unwrap();
        assert_eq!(start, SequenceStart::continued(7 + MARGIN, 8 + MARGIN));
        file.store((1000, 20));
        let stand_in = file.stand_in.clone();
        file.close().unwrap();
        assert!(stand_in.is_none_or(|path| !path.exists()));
        let (file, start) = SequenceFile::open(&folder, BOOT, NOW).unwrap();
        assert_eq!(start, SequenceStart::continued(1000, 20));
        file.close().unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn who_is_killed_while_it_keeps_silent_keeps_silent_again() {
        let folder = folder("silent");
        for close in [false, true] {
            let (mut file, start) = SequenceFile::open(&folder, BOOT, NOW).unwrap();
            assert_eq!(start, SequenceStart::after_reboot(NOW));
            file.store((start.sequence_number, start.supervision_sequence_number));
            if close {
                file.close().unwrap();
            }
        }
        let (_, start) = SequenceFile::open(&folder, BOOT, NOW).unwrap();
        assert_eq!(start, SequenceStart::after_reboot(NOW));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_another_boot_left_is_not_trusted() {
        let folder = folder("boot");
        let (file, _) = SequenceFile::open(&folder, BOOT, NOW).unwrap();
        file.close().unwrap();
        let other = BOOT.replace('0', "1");
        let (_, start) = SequenceFile::open(&folder, &other, NOW).unwrap();
        assert_eq!(start.silent_until, NOW + NODE_REBOOT_INTERVAL);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_damaged_file_is_not_trusted() {
        let folder = folder("damaged");
        std::fs::write(folder.join(FILE_NAME), b"bmplseq1 and then nonsense").unwrap();
        let (_, start) = SequenceFile::open(&folder, BOOT, NOW).unwrap();
        assert_eq!(start, SequenceStart::after_reboot(NOW));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
