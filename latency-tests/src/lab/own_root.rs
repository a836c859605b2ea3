//! The root of a machine that can be suspended: which files of the host's it holds.
//!
//! A share over 9p does not live through a suspension: the emulator forgets its files, and the
//! kernel's driver has no way to take up where it was. So such a machine has what it runs in its
//! memory. A disk with an image would live, but would have to be built; a list of files is copied
//! at boot in less than a second.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tools::netlab::Programs;

use super::{LabError, packages};

/// The project's programs.
const OURS: [&str; 4] = ["bumplessd", "bumpless", "bumpless-stream", "bumpless-lab"];
/// What busybox has another form of. Its shell prefers its own forms to all others.
const THEIRS: [&str; 2] = ["sh", "ip"];
/// Where those are looked for.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Writes for the first process of the machine whose results folder is `out` what it has to copy.
pub(super) fn write_list(out: &Path) -> Result<(), LabError> {
    let ours = Programs::find(&OURS)?;
    let mut files = BTreeSet::new();
    for name in OURS {
        files.insert(ours.path(name)?.display().to_string());
    }
    for name in THEIRS {
        let places = FOLDERS.map(|folder| format!("{folder}/{name}"));
        let found = places.into_iter().find(|place| Path::new(place).exists());
        files.insert(found.ok_or_else(|| LabError::Program(format!("there is no {name} here")))?);
    }
    for program in files.clone() {
        files.extend(libraries(&packages::run("ldd", &[&program])?));
    }
    let list: String = files.iter().map(|file| format!("{file}\n")).collect();
    let path = out.join(".lab/own_root");
    fs::write(&path, list).map_err(LabError::io(path.display().to_string()))
}

/// The files that `ldd` names: what is found under a name, and the loader.
fn libraries(said: &str) -> impl Iterator<Item = String> {
    said.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_their_loader_are_found_and_nothing_else() {
        let said = "\tlinux-vdso.so.1 (0x00007f33cf6a1000)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f33cf01e000)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f33cf6a3000)\n";
        let found: Vec<_> = libraries(said).collect();
        assert_eq!(found, ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
        assert_eq!(libraries("\tstatically linked\n").count(), 0);
    }
}
