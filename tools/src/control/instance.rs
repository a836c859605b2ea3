//! Which daemon the operator means.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::socket_path;
use crate::config::InterfaceName;
use crate::exit::Failure;

/// What the operator said about it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Selection {
    /// `--name`.
    pub name: Option<String>,
    /// `--runtime-dir`; it wins.
    pub runtime_dir: Option<PathBuf>,
}

/// The runtime folder of the daemon that is meant; `root` is where instances keep theirs. With
/// neither a name nor a folder it is the only instance that runs.
///
/// # Errors
/// The name is no name, or several run (code 2); none runs (code 1).
pub fn select(root: &Path, selection: &Selection) -> Result<PathBuf, Failure> {
    if let Some(folder) = &selection.runtime_dir {
        return Ok(folder.clone());
    }
    if let Some(name) = &selection.name {
        let name: InterfaceName = name
            .parse()
            .map_err(|why| Failure::usage(format!("--name: {name:?}: {why}"), "as in prp0"))?;
        return Ok(root.join(name.as_str()));
    }
    let found = instances(root);
    match found.as_slice() {
        [] => Err(none_runs(root)),
        [only] => Ok(root.join(only)),
        several => {
            // Folders of dead daemons do not count beside one that runs.
            let running: Vec<&OsString> =
                several.iter().filter(|name| answers(&root.join(name))).collect();
            match running.as_slice() {
                [] => Err(none_runs(root)),
                [only] => Ok(root.join(only)),
                running => {
                    let names: Vec<_> = running.iter().map(|n| n.to_string_lossy()).collect();
                    Err(Failure::usage(
                        format!("several instances run: {}", names.join(", ")),
                        "choose one with --name",
                    ))
                }
            }
        }
    }
}

/// The names under `root` that have a control socket, sorted.
fn instances(root: &Path) -> Vec<OsString> {
    let Ok(entries) = fs::read_dir(root) else { return Vec::new() };
    let mut names: Vec<OsString> = entries
        .flatten()
        // A folder that is closed to us may well have one: asking it tells which group to join.
        .filter(|entry| socket_path(&entry.path()).try_exists().unwrap_or(true))
        .map(|entry| entry.file_name())
        .collect();
    names.sort();
    names
}

/// Whether a daemon is there, whatever it would answer.
fn answers(folder: &Path) -> bool {
    match UnixStream::connect(socket_path(folder)) {
        Ok(_) => true,
        Err(error) => {
            !matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
        }
    }
}

fn none_runs(root: &Path) -> Failure {
    Failure::failed(
        format!("no bumplessd runs here (looked in {})", root.display()),
        "start one (bumplessd --config /etc/bumpless/bumpless.toml), or name its folder with \
         --runtime-dir",
    )
}
