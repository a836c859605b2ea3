//! `cargo xtask header`: the C header, made from the sources of the C interface.
//!
//! It is committed, so that nobody needs Rust to read it and a change of the interface is seen in
//! the change itself; `check` compares it with what the sources give. (A header written by hand was
//! the alternative: two descriptions of one interface, which differ as soon as nobody looks.)

use std::fs;

use crate::Failure;
use crate::workspace::{PROFILE, Workspace};

pub(crate) const HELP: &str = "\
cargo xtask header [--check]

Writes shm-replica/include/bumpless.h from shm-replica/src/capi. With --check nothing is written: it
fails when the committed header is not what the sources give.
";

const HEADER: &str = "shm-replica/include/bumpless.h";

/// Writes the header, or compares it.
pub(crate) fn command(arguments: &[String]) -> Result<(), Failure> {
    let check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err(Failure::Usage(format!("header takes --check or nothing\n\n{HELP}"))),
    };
    let workspace = Workspace::find()?;
    let made = make(&workspace)?;
    let path = workspace.root.join(HEADER);
    let same = fs::read_to_string(&path).is_ok_and(|committed| committed == made);
    match (same, check) {
        (true, _) => say!("{HEADER}: as committed"),
        (false, false) => {
            let cannot = |error| Failure::Cannot(format!("{}: {error}", path.display()));
            fs::write(&path, made).map_err(cannot)?;
            say!("{HEADER}: written");
        }
        (false, true) => {
            say!("{STALE}");
            return Err(Failure::Failed);
        }
    }
    Ok(())
}

const STALE: &str =
    "shm-replica/include/bumpless.h is not what the sources give; `cargo xtask header`";

/// For `check`: what is wrong with the committed header.
pub(crate) fn complaints(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    let made = make(workspace)?;
    let same = workspace.read(HEADER).is_ok_and(|committed| committed == made);
    Ok(if same { Vec::new() } else { vec![STALE.to_owned()] })
}

/// The header as the sources give it.
fn make(workspace: &Workspace) -> Result<String, Failure> {
    let program = ["run", "--quiet", "--package", "shm-replica", "--example", "c_header"];
    let output = workspace
        .cargo(&program)
        .args(["--profile", PROFILE])
        .output()
        .map_err(|error| Failure::Cannot(format!("cargo run: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(Failure::Cannot(format!("the header cannot be made: {}", why.trim())))
}
