//! `cargo xtask demo` and `cargo xtask bench`: build for release, then become the program.

use std::fs;
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

/// A program beside which regions are measured: a package outside the workspace, because building
/// it needs what nothing else here does.
const BESIDE: &str = "beside-iceoryx2";

/// Builds every program and becomes `bumpless-bench` with `arguments`.
pub(crate) fn bench(arguments: &[String]) -> Result<(), Failure> {
    if arguments.iter().any(|argument| argument == "regions") {
        build_beside(&Workspace::find()?)?;
    }
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

/// Builds [`BESIDE`] and lays it beside our own programs; where it cannot be built, the bench goes
/// without it, and its report says so.
fn build_beside(workspace: &Workspace) -> Result<(), Failure> {
    let target = workspace.target_folder()?;
    let folder = target.join("beside");
    let manifest = format!("latency-tests/{BESIDE}/Cargo.toml");
    let build = workspace
        .cargo(&["build", "--release", "--manifest-path", &manifest])
        .arg("--target-dir")
        .arg(&folder)
        .status()
        .map_err(|e| Failure::Cannot(format!("cargo build: {e}")))?;
    let program = target.join("release").join(BESIDE);
    let laid = if build.success() {
        fs::create_dir_all(target.join("release"))
            .and_then(|()| fs::copy(folder.join("release").join(BESIDE), &program))
            .map(drop)
    } else {
        say!("{BESIDE} is not built, see above; it needs libclang: apt-get install libclang-dev");
        // One of an earlier build would be measured as if it were this one's.
        fs::remove_file(&program).or_else(|error| {
            (error.kind() == std::io::ErrorKind::NotFound).then_some(()).ok_or(error)
        })
    };
    laid.map_err(|error| Failure::Cannot(format!("{}: {error}", program.display())))
}
