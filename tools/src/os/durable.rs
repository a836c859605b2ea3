//! Small files, replaced whole so that they survive a power cut.
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

/// A folder whose files are replaced whole.
#[derive(Debug)]
pub struct Durable {
    path: PathBuf,
    folder: File,
    finished: Vec<(String, io::Result<()>)>,
}

impl Durable {
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), folder: File::open(path)?, finished: Vec::new() })
    }

    pub fn plain(&self) -> Option<&io::Error> {
        None
    }

    pub fn store_now(&mut self, name: &str, octets: &[u8]) -> io::Result<()> {
        let new = self.path.join(format!("{name}.new"));
        let mut file = File::create(&new)?;
        file.write_all(octets)?;
        file.sync_data()?;
        fs::rename(new, self.path.join(name))?;
        self.folder.sync_all()
    }

    pub fn store(&mut self, name: &str, octets: Vec<u8>) -> io::Result<()> {
        let done = self.store_now(name, &octets);
        self.finished.push((name.to_owned(), done));
        Ok(())
    }

    pub fn finished(&mut self) -> Vec<(String, io::Result<()>)> {
        std::mem::take(&mut self.finished)
    }

    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
