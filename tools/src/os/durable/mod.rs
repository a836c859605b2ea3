//! Small files that are replaced whole, and are on the disk when that is said.
//!
//! New content goes into a file beside the old one, is written to the disk, takes the old one's
//! place, and then the folder is written. At every instant the name stands for the old content or
//! for the new one. A disk may take seconds for that, so the kernel does it beside everything else
//! (io_uring): no call here but [`Durable::store_now`] waits for it. (A thread that waits was the
//! alternative: one more thread, and one that nobody can stop while the disk hangs.) Where io_uring
//! is refused, plain calls wait.

mod ring;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ring::Ring;

/// Rights of the files.
const MODE: u32 = 0o644;
/// A file that was left half written, and is begun anew.
const CREATE: i32 = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_NOFOLLOW;

/// A folder whose files are replaced whole.
#[derive(Debug)]
pub struct Durable {
    path: PathBuf,
    folder: File,
    way: Way,
    finished: Vec<(String, io::Result<()>)>,
}

#[derive(Debug)]
enum Way {
    Ring(Box<Ring>),
    /// And why not the other.
    Plain(io::Error),
}

impl Durable {
    /// A folder that is there.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let way = Ring::new().map_or_else(Way::Plain, |ring| Way::Ring(Box::new(ring)));
        Self::with(path, way)
    }

    fn with(path: &Path, way: Way) -> io::Result<Self> {
        let folder = File::open(path)?;
        Ok(Self { path: path.to_owned(), folder, way, finished: Vec::new() })
    }

    /// Why plain calls are used; none where they are not.
    #[must_use]
    pub const fn plain(&self) -> Option<&io::Error> {
        match &self.way {
            Way::Ring(_) => None,
            Way::Plain(why) => Some(why),
        }
    }

    /// Begins to replace the file `name`; [`Self::finished`] tells how it went. Those that were
    /// begun before are finished before.
    ///
    /// # Errors
    /// It cannot be begun.
    pub fn store(&mut self, name: &str, octets: Vec<u8>) -> io::Result<()> {
        match &mut self.way {
            Way::Ring(ring) => ring.begin(&self.folder, name, octets)?,
            Way::Plain(_) => {
                let done = store_plainly(&self.path, &self.folder, name, &octets);
                self.finished.push((name.to_owned(), done));
            }
        }
        Ok(())
    }

    /// Replaces the file `name`, and everything that was begun before; waits for the disk.
    ///
    /// # Errors
    /// It is as it was.
    pub fn store_now(&mut self, name: &str, octets: &[u8]) -> io::Result<()> {
        self.store(name, octets.to_vec())?;
        if let Way::Ring(ring) = &mut self.way {
            ring.finish(&self.folder, &mut self.finished)?;
        }
        let at = self.finished.iter().rposition(|(finished, _)| finished == name);
        at.map_or_else(|| Err(io::ErrorKind::NotFound.into()), |at| self.finished.remove(at).1)
    }

    /// What was begun and is over by now, and how it went.
    pub fn finished(&mut self) -> Vec<(String, io::Result<()>)> {
        if let Way::Ring(ring) = &mut self.way {
            ring.advance(&self.folder, &mut self.finished);
        }
        std::mem::take(&mut self.finished)
    }

    /// Readable when [`Self::finished`] has something to do.
    #[must_use]
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.way {
            Way::Ring(ring) => Some(ring.as_fd()),
            Way::Plain(_) => None,
        }
    }
}

/// The name under which the new content is written.
fn new_name(name: &str) -> String {
    format!("{name}.new")
}

fn store_plainly(path: &Path, folder: &File, name: &str, octets: &[u8]) -> io::Result<()> {
    let new = path.join(new_name(name));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(MODE).custom_flags(libc::O_NOFOLLOW);
    let mut file = options.open(&new)?;
    file.write_all(octets)?;
    file.sync_data()?;
    fs::rename(new, path.join(name))?;
    folder.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use nix::poll::{PollFd, PollFlags, poll};

    use super::*;

    /// On a file system that writes to a disk, if the working folder is on one.
    fn folder(name: &str) -> PathBuf {
        let name = format!("durable-{name}-{}", std::process::id());
        let folder = std::env::current_dir().unwrap().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn both(path: &Path) -> Vec<Durable> {
        let refused = || io::Error::from_raw_os_error(libc::EPERM);
        let plain = Durable::with(path, Way::Plain(refused())).unwrap();
        let ring = Durable::open(path).unwrap();
        if let Some(why) = ring.plain() {
            println!("SKIP: durable: io_uring: {why}");
            return vec![plain];
        }
        vec![ring, plain]
    }

    /// Waits as the daemon does.
    fn wait(durable: &mut Durable, count: usize) -> Vec<(String, io::Result<()>)> {
        let mut all = Vec::new();
        for _ in 0..1_000 {
            all.extend(durable.finished());
            if all.len() >= count {
                return all;
            }
            let ring = durable.as_fd().expect("plain calls are over at once");
            let mut waits = [PollFd::new(ring, PollFlags::POLLIN)];
            assert!(poll(&mut waits, 30_000u16).unwrap() > 0, "nothing becomes of it");
        }
        panic!("{all:?}");
    }

    #[test]
    fn what_was_stored_is_there_whole_and_nothing_beside_it() {
        let path = folder("whole");
        for mut durable in both(&path) {
            for round in 0..20 {
                let octets = format!("content {round} {}", "x".repeat(round * 40)).into_bytes();
                durable.store("a.epoch", octets.clone()).unwrap();
                durable.store("b.epoch", b"other".to_vec()).unwrap();
                let done = wait(&mut durable, 2);
                let names: Vec<_> = done.iter().map(|(name, _)| name.as_str()).collect();
                assert_eq!(names, ["a.epoch", "b.epoch"]);
                assert!(done.iter().all(|(_, done)| done.is_ok()), "{done:?}");
                assert_eq!(fs::read(path.join("a.epoch")).unwrap(), octets);
            }
            durable.store("b.epoch", b"before".to_vec()).unwrap();
            durable.store_now("a.epoch", b"now").unwrap();
            assert_eq!(fs::read(path.join("a.epoch")).unwrap(), b"now");
            assert_eq!(fs::read(path.join("b.epoch")).unwrap(), b"before");
            assert_eq!(fs::read_dir(&path).unwrap().count(), 2);
        }
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn what_cannot_be_stored_is_told_and_leaves_what_was_there() {
        let path = folder("refused");
        for mut durable in both(&path) {
            durable.store_now("a", b"old").unwrap();
            // In the way of the new content, then in the way of the name.
            fs::create_dir(path.join("a.new")).unwrap();
            assert!(durable.store_now("a", b"new").is_err());
            assert_eq!(fs::read(path.join("a")).unwrap(), b"old");
            fs::remove_dir(path.join("a.new")).unwrap();
            fs::create_dir(path.join("c")).unwrap();
            durable.store("c", b"new".to_vec()).unwrap();
            durable.store("a", b"after a failure".to_vec()).unwrap();
            let done = wait(&mut durable, 2);
            assert!(done[0].1.is_err() && done[1].1.is_ok(), "{done:?}");
            assert_eq!(fs::read(path.join("a")).unwrap(), b"after a failure");
            fs::remove_dir(path.join("c")).unwrap();
            assert!(
                durable.store("x\0y", Vec::new()).is_err() || wait(&mut durable, 1)[0].1.is_err()
            );
        }
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn who_ends_in_the_middle_leaves_the_old_or_the_new() {
        let path = folder("dropped");
        for _ in 0..50 {
            let mut durable = Durable::open(&path).unwrap();
            durable.store_now("a", b"old").unwrap();
            durable.store("a", b"newer".to_vec()).unwrap();
            drop(durable);
            let found = fs::read(path.join("a")).unwrap();
            assert!(found == b"old" || found == b"newer", "{found:?}");
        }
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn nothing_is_readable_while_nothing_is_to_be_done() {
        let path = folder("idle");
        let durable = Durable::open(&path).unwrap();
        if let Some(ring) = durable.as_fd() {
            let mut waits = [PollFd::new(ring.as_fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut waits, 0u16), Ok(0));
        }
        fs::remove_dir_all(path).unwrap();
    }
}
