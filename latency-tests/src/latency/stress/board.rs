//! What a process of a load says while it works: a line in a file in memory that both have, so that
//! it is there also when the process was killed.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt as _;
use std::process::Stdio;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::uio::pwrite;
use serde::{Deserialize, Serialize};

/// The line's length: less than a page, which the kernel copies in one go.
const OCTETS: usize = 1_024;
/// What is told of a message.
const MESSAGE_MAX: usize = 400;

/// What a process says.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub(super) struct Said {
    /// What it did so far.
    pub(super) rounds: u64,
    /// Octets that it copied, sent or wrote so far.
    pub(super) octets: u64,
    /// Why it cannot go on.
    pub(super) failure: Option<String>,
}

/// The reader's side.
#[derive(Debug)]
pub(super) struct Board(File);

impl Board {
    /// An empty one.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(memfd_create("bumpless-stress", MFdFlags::MFD_CLOEXEC)?.into()))
    }

    /// The same as the input of a process.
    pub(super) fn to_input(&self) -> io::Result<Stdio> {
        Ok(self.0.try_clone()?.into())
    }

    /// The same as where a process writes its text.
    pub(super) fn to_output(&self) -> io::Result<Stdio> {
        self.to_input()
    }

    /// What stands on it; none before the first word.
    pub(super) fn read(&self) -> Option<Said> {
        serde_json::from_str(self.text().trim_end()).ok()
    }

    /// What was written to it as a text, at most 64 KiB.
    pub(super) fn text(&self) -> String {
        let mut octets = vec![0; 64 << 10];
        let read = self.0.read_at(&mut octets, 0).unwrap_or(0);
        String::from_utf8_lossy(&octets[..read]).into_owned()
    }
}

/// Writes `said` on the board behind a descriptor.
pub(super) fn write(board: impl AsFd, said: &Said) -> io::Result<()> {
    let failure = said.failure.as_ref().map(|text| text.chars().take(MESSAGE_MAX / 4).collect());
    let mut line = serde_json::to_vec(&Said { failure, ..said.clone() })?;
    line.resize(OCTETS.max(line.len()), b' ');
    let written = pwrite(board, &line, 0)?;
    if written == line.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_read_whole() {
        let board = Board::new().unwrap();
        assert_eq!(board.read(), None);
        let said = [
            Said { rounds: u64::MAX, octets: u64::MAX, failure: Some("\u{1}".repeat(10_000)) },
            Said { rounds: 1, octets: 0, failure: None },
        ];
        for it in said {
            write(&board.0, &it).unwrap();
            let read = board.read().unwrap();
            assert_eq!((read.rounds, read.octets), (it.rounds, it.octets));
            assert_eq!(read.failure.is_some(), it.failure.is_some());
            assert!(board.text().len() <= OCTETS);
        }
    }
}
