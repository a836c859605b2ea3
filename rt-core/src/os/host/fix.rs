//! Making changes while the host runs, and seeing whether they took.
//!
//! A change is made only where the setting still has the value that the finding showed: what
//! somebody else changed meanwhile was not agreed to. No file is ever created.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::cpus::chosen;
use super::finding::{Change, Target};
use super::texts::{below, read_text};
use super::view::parse_mask;
use crate::os::procfs::parse_cpu_list;

/// What became of a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is as wanted, read back.
    Applied,
    /// The setting had another value than was shown: nothing was done.
    ChangedMeanwhile(String),
    /// It was accepted, and something else was read back.
    NotKept(String),
    /// The privilege for it is missing.
    NotPermitted(String),
    /// It was refused.
    Refused(String),
}

/// Makes a change of a file of the host whose root folder is `root`. Not for a real-time thread.
#[must_use]
pub fn apply(root: &Path, change: &Change) -> Outcome {
    let Target::File(path) = &change.target else {
        return Outcome::Refused("no file".to_owned());
    };
    let path = below(root, &path.to_string_lossy());
    // Copied files may hold links, and this may be root's own hand.
    let real = |path: &Path| path.canonicalize();
    match (real(root), real(&path)) {
        (Ok(root), Ok(path)) if path.starts_with(&root) => {}
        (Ok(_), Ok(_)) => {
            return Outcome::Refused("a link that leads out of the folder".to_owned());
        }
        (Err(error), _) | (_, Err(error)) => return refusal(&error),
    }
    match read_text(&path) {
        Ok(text) if !is_same(&text, &change.old) => {
            return Outcome::ChangedMeanwhile(text.trim().to_owned());
        }
        Ok(_) => {}
        Err(error) => return refusal(&error),
    }
    let written = OpenOptions::new()
        .write(true)
        .truncate(true)
        .custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(&path)
        .and_then(|mut file| file.write_all(format!("{}\n", change.new).as_bytes()));
    if let Err(error) = written {
        return refusal(&error);
    }
    match read_text(&path) {
        Ok(text) if is_same(&text, &change.new) => Outcome::Applied,
        Ok(text) => Outcome::NotKept(text.trim().to_owned()),
        Err(error) => refusal(&error),
    }
}

fn refusal(error: &io::Error) -> Outcome {
    let permission = [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem];
    if permission.contains(&error.kind()) {
        Outcome::NotPermitted(error.to_string())
    } else {
        Outcome::Refused(error.to_string())
    }
}

/// Whether a file's text means a value: the kernel writes lists and masks its own way, and marks
/// the choice of several by brackets.
fn is_same(text: &str, value: &str) -> bool {
    let text = text.trim();
    let lists = || parse_cpu_list(text).is_some_and(|list| parse_cpu_list(value) == Some(list));
    let masks = || parse_mask(text).is_some_and(|mask| parse_mask(value) == Some(mask));
    text == value || chosen(text) == Some(value) || (!value.is_empty() && (lists() || masks()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_by_what_they_mean() {
        for (text, value) in [
            ("0\n", "0"),
            ("always [madvise] never\n", "madvise"),
            ("0-3\n", "0,1,2,3"),
            ("00000000,0000000f\n", "f"),
        ] {
            assert!(is_same(text, value), "{text}");
        }
        for (text, value) in
            [("1", "0"), ("[always] madvise", "madvise"), ("0-3", "0-2"), ("", "1")]
        {
            assert!(!is_same(text, value), "{text}");
        }
    }
}
