//! A folder for the files of one test network.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::NetLabError;

/// A folder of its own that goes with its owner. It lies on a file system in memory where there is
/// one: a daemon that keeps its runtime folder there keeps its numbers over a crash.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes the folder, for its owner alone.
    ///
    /// # Errors
    /// Neither `/dev/shm` nor the folder for temporary files can be written.
    pub fn new() -> Result<Self, NetLabError> {
        let temporary = std::env::temp_dir();
        let in_memory = Self::below(Path::new("/dev/shm"));
        in_memory.or_else(|_| Self::below(&temporary)).map_err(NetLabError::io(format!(
            "cannot make a folder in /dev/shm or {}",
            temporary.display()
        )))
    }

    fn below(folder: &Path) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // A name may be left over from a process that was killed and had the same number.
        const TRIES: u32 = 1000;
        let mut result = Err(io::ErrorKind::AlreadyExists.into());
        for _ in 0..TRIES {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            // Short: control sockets lie in it, and their paths have 107 octets at most.
            let path = folder.join(format!("bumpless-lab-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    result = Err(error);
                }
                Err(error) => return Err(error),
            }
        }
        result
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is some files in a folder for temporary ones.
        let _ = fs::remove_dir_all(&self.path);
    }
}
