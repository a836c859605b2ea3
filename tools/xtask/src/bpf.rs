//! `cargo xtask bpf`: the objects of the programs that run in the kernel.
//!
//! They are committed beside their sources, so that nobody needs a compiler for them. Who changes a
//! source, a header or the LRE's tables builds them again; a test builds them elsewhere and
//! compares octet by octet. That only works with one compiler, so the version is part of the rule.
//! Rejected: a build script (every user would need clang), objects without their source's proof.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::Failure;
use crate::run::{Ending, captured};
use crate::workspace::Workspace;

pub(crate) const HELP: &str = "\
cargo xtask bpf [--check]

Compiles every FOLDER/bpf/NAME.bpf.c to FOLDER/bpf/NAME.bpf.o with clang 14.0.6 and llvm-strip
(Debian 12: packages clang-14 and llvm-14). With --check nothing is written: it fails when a
committed object is not what its source gives, and says SKIP where there is no such clang.
";

const CLANG: &str = "clang-14";
const STRIP: &str = "llvm-strip-14";
/// Another version gives other instructions.
const VERSION: &str = "14.0.6";
/// Of the oldest kernels that are supported, with the BTF that maps need, and without a path in it.
const FLAGS: &[&str] = &[
    "-target",
    "bpfel",
    "-mcpu=v3",
    "-O2",
    "-g",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fdebug-compilation-dir=.",
];
/// Line tables hold text of the source and are larger than the programs.
const STRIPPED: &[&str] = &["-g", "-R", ".BTF.ext", "-R", ".rel.BTF.ext", "-R", ".llvm_addrsig"];
const LIMIT: Duration = Duration::from_secs(60);

/// Builds the objects, or compares them.
pub(crate) fn command(arguments: &[String]) -> Result<(), Failure> {
    let check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err(Failure::Usage(format!("bpf takes --check or nothing\n\n{HELP}"))),
    };
    let workspace = Workspace::find()?;
    if let Some(missing) = missing() {
        if check {
            say!("SKIP: bpf: {missing}");
            return Ok(());
        }
        return Err(Failure::Cannot(missing));
    }
    let mut fine = true;
    let folder = workspace.target_folder()?.join("bpf");
    for source in workspace.files()?.iter().filter(|f| f.ends_with(".bpf.c")) {
        let built = build(&workspace.root.join(source), &folder)?;
        let committed = workspace.root.join(source).with_extension("o");
        let same = fs::read(&committed).is_ok_and(|octets| octets == built);
        match (check, same) {
            (_, true) => say!("{source}: as committed ({} octets)", built.len()),
            (true, false) => {
                fine = false;
                say!("{source}: gives another object than the committed one; `cargo xtask bpf`");
            }
            (false, false) => {
                fs::write(&committed, &built)
                    .map_err(|e| Failure::Cannot(format!("{}: {e}", committed.display())))?;
                say!("{source}: built ({} octets)", built.len());
            }
        }
    }
    if fine { Ok(()) } else { Err(Failure::Failed) }
}

/// What is missing to build.
fn missing() -> Option<String> {
    let clang = Command::new(CLANG).arg("--version").output();
    let version = clang.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let right = version.as_ref().is_ok_and(|text| text.contains(&format!("version {VERSION}")));
    if !right {
        return Some(format!("{CLANG} of version {VERSION} (Debian 12: package clang-14)"));
    }
    let strip = Command::new(STRIP).arg("--version").output();
    strip.is_err().then(|| format!("{STRIP} (Debian 12: package llvm-14)"))
}

/// The object that a source gives.
fn build(source: &Path, folder: &Path) -> Result<Vec<u8>, Failure> {
    let cannot = |what: &Path| {
        let what = what.display().to_string();
        move |e| Failure::Cannot(format!("{what}: {e}"))
    };
    fs::create_dir_all(folder).map_err(cannot(folder))?;
    let (Some(home), Some(name)) = (source.parent(), source.file_name()) else {
        return Err(Failure::Cannot(format!("{}: no file", source.display())));
    };
    // One name for each process, so that two runs do not write over each other.
    let object: PathBuf = folder.join(format!("{}.o", std::process::id()));
    let mut clang = Command::new(CLANG);
    clang.current_dir(home).args(FLAGS).arg("-c").arg(name).arg("-o").arg(&object);
    run(&mut clang)?;
    run(Command::new(STRIP).args(STRIPPED).arg(&object))?;
    let octets = fs::read(&object).map_err(cannot(&object))?;
    fs::remove_file(&object).map_err(cannot(&object))?;
    Ok(octets)
}

fn run(command: &mut Command) -> Result<(), Failure> {
    let outcome = captured(command, LIMIT, |_| ())?;
    if outcome.ending == Ending::Fine {
        return Ok(());
    }
    outcome.lines.iter().for_each(|line| say!("{line}"));
    Err(Failure::Failed)
}
