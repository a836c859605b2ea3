//! The numbers of the next frames, kept where they survive the daemon's death.
//!
//! A node that restarts its numbers within the discard memory of its peers loses frames; one that
//! continues them loses none (IEC 62439-3 leaves it to keep NodeRebootInterval instead). The file is
//! mapped, so that a store costs nothing and survives SIGKILL; it counts only within the same boot,
//! and only on a file system in memory: there, storing causes no page fault for write-back. On any
//! other file system the numbers are written when the daemon stops, and after a crash the node keeps
//! the silence.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use nix::sys::statfs::{FsType, TMPFS_MAGIC, fstatfs};
use prp::lre::SequenceStart;
use rt_core::time::Instant;

const FILE_NAME: &str = "sequence";
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
    file: File,
    map: Option<MmapRaw>,
    /// The last value, where there is no map.
    last: (u16, u16),
}

impl SequenceFile {
    /// Opens the file in the runtime folder and says where the numbers begin.
    ///
    /// # Errors
    /// The file cannot be made or mapped.
    pub fn open(folder: &Path, boot_id: &str, now: Instant) -> io::Result<(Self, SequenceStart)> {
        let path = folder.join(FILE_NAME);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let start = read_start(&file, boot_id).unwrap_or_else(|| SequenceStart::after_reboot(now));
        file.set_len(FILE_OCTETS as u64)?;
        file.write_all_at(&header(boot_id), 0)?;
        let map = if is_in_memory(&file) {
            Some(MmapOptions::new().len(FILE_OCTETS).populate().map_raw(&file)?)
        } else {
            None
        };
        let mut this = Self { file, map, last: (0, 0) };
        if this.map.is_none() {
            // A crash from here on leaves nothing that could be taken for the truth.
            this.file.write_all_at(&[0; 8], NUMBERS_AT as u64)?;
        }
        this.store((start.sequence_number, start.supervision_sequence_number));
        Ok((this, start))
    }

    /// Keeps the numbers of the next frames. Real-time class: one store.
    #[inline]
    pub fn store(&mut self, next: (u16, u16)) {
        self.last = next;
        if let Some(word) = self.word() {
            word.store(STORED | pack(next), Ordering::Relaxed);
        }
    }

    /// Keeps the numbers and notes that the daemon stops in order. Not for a real-time thread.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn close(self) -> io::Result<()> {
        let word = CLEAN | STORED | pack(self.last);
        self.file.write_all_at(&word.to_ne_bytes(), NUMBERS_AT as u64)
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

fn is_in_memory(file: &File) -> bool {
    /// ramfs, which old initial file systems use for /run.
    const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);
    fstatfs(file).is_ok_and(|fs| [TMPFS_MAGIC, RAMFS_MAGIC].contains(&fs.filesystem_type()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use prp::lre::NODE_REBOOT_INTERVAL;

    fn folder(name: &str) -> std::path::PathBuf {
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
