//! A kernel and its first root: built once, kept in the build folder.
//!
//! ```text
//! target/lab/lock                   held while something is built
//! target/lab/<package version>/vmlinuz
//!                              release           as `uname -r` says
//!                              lib/modules/<release>/…
//!                              initrd-<digest>   of this program's script and list of modules
//! ```
//!
//! A folder or file appears under its name when it is complete, so whoever finds it needs no lock.
//! An image that is there is used as it is, without a question to the package manager: tests give
//! the same result until somebody asks for a newer kernel ([`Image::newest`]).

use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::cpio::Archive;
use super::packages::{self, KernelPackage};
use super::{Kernel, LabError};
use crate::os::clock;

/// The first process of a machine.
const INIT: &str = include_str!("init.sh");
/// What is loaded at boot: ways to the host, and what tests use most, for a machine loads from its
/// first root faster than from the host. All else is loaded on demand.
const MODULES: &str = "9p 9pnet_virtio overlay virtio_pci virtio_console virtio_net e1000e \
    virtio-rng pvpanic-pci veth hsr tun bridge sch_netem sch_ingress cls_bpf cls_matchall \
    act_mirred";
/// How long somebody else may build.
const LOCK_PATIENCE: Duration = Duration::from_secs(15 * 60);
/// The file that cargo puts into a build folder.
const CARGO_TAG: &str = "CACHEDIR.TAG";

/// What a machine boots.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Image {
    folder: PathBuf,
    initrd: PathBuf,
    release: String,
}

impl Image {
    /// The image of `kernel`, made now if there is none yet.
    ///
    /// # Errors
    /// [`LabError::Unavailable`], or the build failed.
    pub fn of(kernel: Kernel) -> Result<Self, LabError> {
        let lab = lab_folder()?;
        packages_under_lock(&lab)?;
        if let Some(folder) = found(&lab, kernel) {
            return Self::in_folder(&lab, folder);
        }
        Self::newest(kernel)
    }

    /// The image of the newest `kernel` that Debian has.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn newest(kernel: Kernel) -> Result<Self, LabError> {
        let lab = lab_folder()?;
        packages_under_lock(&lab)?;
        let lock = lock(&lab.join("lock"))?;
        // Who had the lock before may have built it.
        let package = packages::newest(kernel)?;
        let folder = lab.join(&package.version);
        if !folder.join("vmlinuz").exists() {
            build(&lab, &package, &folder)?;
        }
        drop(lock);
        Self::in_folder(&lab, folder)
    }

    fn in_folder(lab: &Path, folder: PathBuf) -> Result<Self, LabError> {
        let file = folder.join("release");
        let release =
            fs::read_to_string(&file).map_err(LabError::io(file.display().to_string()))?;
        let mut digest = DefaultHasher::new();
        (INIT, MODULES, busybox()).hash(&mut digest);
        let initrd = folder.join(format!("initrd-{:016x}", digest.finish()));
        let image = Self { folder, initrd, release };
        if !image.initrd.exists() {
            let lock = lock(&lab.join("lock"))?;
            if !image.initrd.exists() {
                image.build_initrd()?;
            }
            drop(lock);
        }
        Ok(image)
    }

    /// The kernel's file.
    #[must_use]
    pub fn kernel(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    /// The first root's file.
    #[must_use]
    pub fn initrd(&self) -> &Path {
        &self.initrd
    }

    /// What `uname -r` says.
    #[must_use]
    pub fn release(&self) -> &str {
        &self.release
    }

    /// The folder of the kernel's modules.
    #[must_use]
    pub fn modules(&self) -> PathBuf {
        self.folder.join("lib/modules").join(&self.release)
    }

    fn build_initrd(&self) -> Result<(), LabError> {
        let unfinished = self.folder.join("initrd.unfinished");
        let io = || LabError::io(unfinished.display().to_string());
        let file = File::create(&unfinished).map_err(io())?;
        let mut archive = Archive::new(BufWriter::new(file));
        for folder in ["bin", "modules", "proc", "sys", "dev", "lower", "upper", "new"] {
            archive.folder(folder).map_err(io())?;
        }
        let shell = busybox();
        let content = fs::read(&shell).map_err(LabError::io(shell.display().to_string()))?;
        archive.program("bin/busybox", &content).map_err(io())?;
        archive.program("init", INIT.as_bytes()).map_err(io())?;
        let mut order = String::new();
        for path in self.modules_to_load()? {
            let (name, content) = module(&path)?;
            archive.program(&format!("modules/{name}"), &content).map_err(io())?;
            order += &format!("{name}\n");
        }
        archive.program("modules/order", order.as_bytes()).map_err(io())?;
        drop(archive.finish().map_err(io())?);
        fs::rename(&unfinished, &self.initrd).map_err(io())
    }

    /// Files of the modules, each behind those that it needs. One that this kernel has built in, or
    /// does not have, is not among them.
    fn modules_to_load(&self) -> Result<Vec<PathBuf>, LabError> {
        let base = self.folder.to_string_lossy();
        let mut files: Vec<PathBuf> = Vec::new();
        for name in MODULES.split_whitespace() {
            // Without the host's settings, which would be words behind the file.
            let place = ["-C", "/dev/null", "-d", &base, "-S", &self.release];
            let ask = [&place[..], &["--show-depends", name]].concat();
            let Ok(text) = packages::run("modprobe", &ask) else { continue };
            for line in text.lines().filter_map(|line| line.strip_prefix("insmod ")) {
                let file = PathBuf::from(line.trim());
                if !files.contains(&file) {
                    files.push(file);
                }
            }
        }
        if files.is_empty() {
            return Err(LabError::Program(format!("{base}: no module is found there")));
        }
        Ok(files)
    }
}

/// A shell that needs no library.
fn busybox() -> PathBuf {
    PathBuf::from("/bin/busybox")
}

/// The name and the content of a module's file, unpacked.
fn module(path: &Path) -> Result<(String, Vec<u8>), LabError> {
    let what = path.display().to_string();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(name) = name.strip_suffix(".xz") else {
        return Ok((name.to_owned(), fs::read(path).map_err(LabError::io(what))?));
    };
    let output = Command::new("xz").args(["--decompress", "--stdout"]).arg(path).output();
    let output = output.map_err(LabError::io(format!("xz {what}")))?;
    if output.status.success() {
        return Ok((name.to_owned(), output.stdout));
    }
    Err(LabError::Program(format!("xz {what}: {}", String::from_utf8_lossy(&output.stderr))))
}

/// Downloads a kernel and puts it where it belongs. The lock is held.
fn build(lab: &Path, package: &KernelPackage, folder: &Path) -> Result<(), LabError> {
    let unfinished = lab.join("unfinished");
    let unpacked = unfinished.join("package");
    // Somebody may have been killed here.
    let _ = fs::remove_dir_all(&unfinished);
    let io = || LabError::io(unfinished.display().to_string());
    fs::create_dir_all(&unpacked).map_err(io())?;
    packages::unpack(package, &unpacked)?;
    let kernel = only(&unpacked.join("boot"), "vmlinuz-")?;
    let mut modules = unpacked.join("lib/modules");
    if !modules.exists() {
        modules = unpacked.join("usr/lib/modules");
    }
    let release = only(&modules, "")?;
    let release = release.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    fs::create_dir(unfinished.join("lib")).map_err(io())?;
    fs::rename(&modules, unfinished.join("lib/modules")).map_err(io())?;
    fs::rename(kernel, unfinished.join("vmlinuz")).map_err(io())?;
    fs::write(unfinished.join("release"), release).map_err(io())?;
    fs::remove_dir_all(&unpacked).map_err(io())?;
    packages::run("depmod", &["-b", &unfinished.to_string_lossy(), release])?;
    // A folder that stands there has no kernel in it and is of no use.
    let _ = fs::remove_dir_all(folder);
    fs::rename(&unfinished, folder).map_err(io())
}

/// The one entry of `folder` whose name starts so.
fn only(folder: &Path, start: &str) -> Result<PathBuf, LabError> {
    let entries = fs::read_dir(folder).map_err(LabError::io(folder.display().to_string()))?;
    let fits = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(start))
    };
    let mut paths = entries.flatten().map(|entry| entry.path()).filter(fits);
    match (paths.next(), paths.next()) {
        (Some(path), None) => Ok(path),
        _ => Err(LabError::Program(format!("{}: not one `{start}…`", folder.display()))),
    }
}

/// The image of `kernel` that was built last.
fn found(lab: &Path, kernel: Kernel) -> Option<PathBuf> {
    let start = format!("{}.", kernel.series());
    let folders = fs::read_dir(lab).ok()?.flatten();
    let fitting = folders.filter(|entry| entry.file_name().to_string_lossy().starts_with(&start));
    let complete = fitting.map(|entry| entry.path()).filter(|path| path.join("vmlinuz").exists());
    complete.max_by_key(|path| fs::metadata(path.join("release")).and_then(|m| m.modified()).ok())
}

/// The lab's place in the build folder of the running program.
pub(super) fn lab_folder() -> Result<PathBuf, LabError> {
    let own = std::env::current_exe().map_err(LabError::io("cannot tell where this program is"))?;
    let built = own.ancestors().find(|folder| folder.join(CARGO_TAG).exists());
    let workspace = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let folder = built.map_or_else(workspace, Path::to_owned).join("lab");
    fs::create_dir_all(&folder).map_err(LabError::io(folder.display().to_string()))?;
    folder.canonicalize().map_err(LabError::io(folder.display().to_string()))
}

fn packages_under_lock(lab: &Path) -> Result<(), LabError> {
    let lock = lock(&lab.join("lock"))?;
    let result = packages::provide_tools();
    drop(lock);
    result
}

/// Waits until nobody else holds the lock of that name, a bounded time.
pub(super) fn lock(path: &Path) -> Result<Flock<File>, LabError> {
    let what = || path.display().to_string();
    let mut file =
        OpenOptions::new().create(true).append(true).open(path).map_err(LabError::io(what()))?;
    let start = clock::now();
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((back, Errno::EWOULDBLOCK | Errno::EINTR)) => file = back,
            Err((_, errno)) => return Err(LabError::io(what())(errno.into())),
        }
        let waited = Duration::from_nanos(clock::now().since(start).as_nanos());
        if waited > LOCK_PATIENCE {
            return Err(LabError::Program(format!("{}: held for {waited:?}", path.display())));
        }
        sleep(Duration::from_millis(50));
    }
}
