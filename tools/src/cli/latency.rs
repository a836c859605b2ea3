//! `bumpless latency`: becomes the program that measures, which is one of its own so that nothing
//! of this one is in its memory.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::exit::{ExitCode, Failure};

const MEASURES: &str = "bumpless-latency";

/// Becomes that program: the one beside this one, or else the one that the shell would find.
/// Returns only where there is none.
pub(super) fn run(arguments: &[OsString]) -> Result<ExitCode, Failure> {
    let own = env::current_exe().ok();
    let beside = own.map(|own| own.with_file_name(MEASURES)).filter(|file| file.is_file());
    let program = beside.unwrap_or_else(|| PathBuf::from(MEASURES));
    let error = Command::new(&program).args(arguments).exec();
    let what = match error.kind() {
        io::ErrorKind::NotFound => format!("{MEASURES}: not beside this program, nor on PATH"),
        _ => format!("{}: {error}", program.display()),
    };
    Err(Failure::failed(what, "install it: it is built with this program"))
}
