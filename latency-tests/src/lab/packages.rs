//! What Debian has to give: the emulator, a few tools, the kernels. Installed where we may, named
//! where we may not; the kernels are unpacked, never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::unistd::Uid;
use tools::netlab::Process;

use super::{Kernel, LabError, tail};

/// Packages whose programs the lab runs.
const TOOLS: [&str; 4] = ["qemu-system-x86", "busybox-static", "kmod", "xz-utils"];
/// How long a package manager may take; it waits for others of its kind.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// How long a tool may take.
const TOOL_PATIENCE: Duration = Duration::from_secs(2 * 60);
/// Networks fail at times, and another `apt-get update` may be at work.
const TRIES: u32 = 3;

/// A kernel's package, as the package manager knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct KernelPackage {
    /// Its name.
    pub(super) name: String,
    /// Its version.
    pub(super) version: String,
}

/// Runs a program to its end; what it wrote to stdout.
pub(super) fn run(program: &str, arguments: &[&str]) -> Result<String, LabError> {
    let mut command = Command::new(program);
    command.args(arguments);
    run_within(command, TOOL_PATIENCE)
}

fn run_within(mut command: Command, patience: Duration) -> Result<String, LabError> {
    command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
    let text = format!("{command:?}");
    let ended = Process::spawn(text.clone(), command)?.finish(patience)?;
    if ended.status.success() {
        return Ok(ended.out);
    }
    let said = format!("{}\n{}", tail(&ended.out, 5), tail(&ended.err, 10));
    Err(LabError::Program(format!("{text}: {}: {}", ended.status, said.trim())))
}

/// Whether this is Debian on a processor that its kernels are built for.
fn check_host() -> Result<(), LabError> {
    if !Path::new("/etc/debian_version").exists() {
        let text = "the lab is made of Debian's packages; run it on Debian or in a container of it";
        return Err(LabError::unavailable("debian", text));
    }
    if cfg!(target_arch = "x86_64") {
        return Ok(());
    }
    Err(LabError::unavailable("amd64", "the lab's machines run this host's programs"))
}

/// Sees to it that the programs are there.
pub(super) fn provide_tools() -> Result<(), LabError> {
    check_host()?;
    let missing: Vec<_> = TOOLS.into_iter().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !Uid::effective().is_root() {
        let text = format!("to install what the lab uses: apt-get install {list}");
        return Err(LabError::unavailable("root", text));
    }
    let install = ["install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"];
    let arguments = [&install[..], &missing[..]].concat();
    tried_again(|| apt_get(&arguments, Path::new("/")).map(drop))
        .map_err(|error| LabError::unavailable("packages", format!("{list}: {error}")))
}

fn is_installed(package: &str) -> bool {
    run("dpkg-query", &["--show", "--showformat=${db:Status-Status}", package])
        .is_ok_and(|status| status == "installed")
}

/// The newest package of `kernel`.
pub(super) fn newest(kernel: Kernel) -> Result<KernelPackage, LabError> {
    check_host()?;
    tried_again(|| {
        let series = kernel.series();
        // The name of what depends on the newest build differs with the release of Debian.
        let metas = [format!("linux-image-{series}-rt-amd64"), "linux-image-rt-amd64".to_owned()];
        for meta in &metas {
            let Ok(text) = show(meta) else { continue };
            let Some(name) = dependency(&text, kernel) else { continue };
            let text = show(&name)?;
            let version = field(&text, "Version").map(str::to_owned);
            let version = version.filter(|version| is_file_name(version));
            if let Some(version) = version {
                return Ok(KernelPackage { name, version });
            }
        }
        Err(LabError::Program(format!("no package of Debian's holds a kernel {series} for RT")))
    })
    .map_err(|error| LabError::unavailable("download", error.to_string()))
}

fn show(package: &str) -> Result<String, LabError> {
    run("apt-cache", &["show", "--no-all-versions", package])
}

/// Downloads `package` into `folder` and unpacks it there.
pub(super) fn unpack(package: &KernelPackage, folder: &Path) -> Result<(), LabError> {
    let exact = format!("{}={}", package.name, package.version);
    tried_again(|| apt_get(&["download", &exact], folder).map(drop))
        .map_err(|error| LabError::unavailable("download", error.to_string()))?;
    let archive = only_archive(folder)?;
    let (from, to) = (archive.to_string_lossy(), folder.to_string_lossy());
    run("dpkg-deb", &["--extract", &from, &to])?;
    fs::remove_file(&archive).map_err(LabError::io(format!("{}", archive.display())))
}

fn only_archive(folder: &Path) -> Result<PathBuf, LabError> {
    let entries = fs::read_dir(folder).map_err(LabError::io(format!("{}", folder.display())))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let found = paths.into_iter().find(|path| path.extension().is_some_and(|end| end == "deb"));
    found.ok_or_else(|| LabError::Program("apt-get download has left nothing".to_owned()))
}

fn apt_get(arguments: &[&str], folder: &Path) -> Result<String, LabError> {
    let mut command = Command::new("apt-get");
    command.args(arguments).current_dir(folder);
    run_within(command, PATIENCE)
}

/// Does it, and where it fails fetches the package lists and does it again.
fn tried_again<T>(mut act: impl FnMut() -> Result<T, LabError>) -> Result<T, LabError> {
    let mut result = act();
    for _ in 1..TRIES {
        if result.is_ok() || !Uid::effective().is_root() {
            break;
        }
        // What this says matters only when the next try fails too.
        let _ = apt_get(&["update"], Path::new("/"));
        result = act();
    }
    result
}

/// The value of a field of a package's description.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim())
}

/// The kernel of the wanted series that a package depends on.
fn dependency(text: &str, kernel: Kernel) -> Option<String> {
    let start = format!("linux-image-{}.", kernel.series());
    let names = field(text, "Depends")?.split(',').filter_map(|one| one.split_whitespace().next());
    let mut fitting = names.filter(|name| name.starts_with(&start) && name.contains("-rt-"));
    fitting.next().map(str::to_owned)
}

/// A version becomes the name of a folder.
fn is_file_name(version: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || ".+~-_".contains(c);
    version.starts_with(|c: char| c.is_ascii_digit()) && version.chars().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    const META: &str = "Package: linux-image-rt-amd64\nVersion: 6.1.1-2\n\
        Depends: foo (>= 2), linux-image-6.1.0-56-rt-amd64 (= 6.1.1-2)\nDescription: x\n";

    #[test]
    fn the_kernel_that_a_package_depends_on_is_found_by_its_series() {
        assert_eq!(
            dependency(META, Kernel::Rt61).as_deref(),
            Some("linux-image-6.1.0-56-rt-amd64")
        );
        // Not 6.12 for 6.1 and not the other way round.
        assert_eq!(dependency(META, Kernel::Rt612), None);
        assert_eq!(dependency(&META.replace("6.1.0", "6.12.0"), Kernel::Rt61), None);
        assert_eq!(dependency(&META.replace("-rt-", "-cloud-"), Kernel::Rt61), None);
    }

    #[test]
    fn a_version_is_read_and_names_a_folder_only_if_it_cannot_lead_elsewhere() {
        assert_eq!(field(META, "Version"), Some("6.1.1-2"));
        assert!(is_file_name("6.12.117-1~deb12u1"));
        assert!(!is_file_name("../6") && !is_file_name("6/..") && !is_file_name(""));
    }
}
