//! `cargo xtask demo` and `cargo xtask bench`: build for release, then become the program.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::Failure;
use crate::workspace::Workspace;

/// Builds every program and becomes `bumpless demo` with `arguments`. Every program, because the
/// demo starts the daemon and the impairment that lie beside it.
pub(crate) fn demo(arguments: &[String]) -> Result<(), Failure> {
    let mut all = vec!["demo".to_owned()];
    all.extend_from_slice(arguments);
    build_and_become("bumpless", &all)
}

/// Builds every program and becomes `bumpless-bench` with `arguments`.
pub(crate) fn bench(arguments: &[String]) -> Result<(), Failure> {
    build_and_become("bumpless-bench", arguments)
}

/// Becomes the program instead of starting it: signals, the terminal and the exit code are its own.
fn build_and_become(name: &str, arguments: &[String]) -> Result<(), Failure> {
    let workspace = Workspace::find()?;
    let packages = ["--package", "tools", "--package", "latency-tests"];
    let build = workspace
        .cargo(&["build", "--release", "--bins"])
        .args(packages)
        .status()
        .map_err(|e| Failure::Cannot(format!("cargo build: {e}")))?;
    if !build.success() {
        return Err(Failure::Failed);
    }
    let program = workspace.target_folder()?.join("release").join(name);
    if !program.exists() {
        return Err(Failure::Cannot(format!("this tree builds no program `{name}`")));
    }
    let error = Command::new(&program).args(arguments).exec();
    Err(Failure::Cannot(format!("{} does not start: {error}", program.display())))
}
