//! One running QEMU: how it is started, what its console says, how it ended.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use tools::netlab::{Process, Scratch};
use tools::os::parent::end_with_parent;

use super::image::Image;
use super::{LabError, Machine, tail};

/// The emulator.
const PROGRAM: &str = "qemu-system-x86_64";
/// What every kernel is told: speak on the serial line; no time for protections, no random places,
/// so that a count of instructions repeats; a defect of the kernel ends the machine.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 quiet rdinit=/init panic=-1 oops=panic \
    mitigations=off nokaslr no_timer_check random.trust_cpu=on";
/// How the kernel begins its last words.
const PANIC: &str = "Kernel panic - not syncing";
/// Folders that a machine has of its own, in which it sees nothing of the host's.
const OWN_FOLDERS: [&str; 3] = ["/tmp", "/run", "/dev"];

/// How a machine came to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// It switched itself off.
    PoweredOff,
    /// Its kernel panicked, with these words.
    Panicked(String),
    /// It was ended because its time was over.
    Hung(Duration),
    /// The emulator ended in some other way, and said this.
    Died(String),
}

impl fmt::Display for End {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PoweredOff => write!(to, "it switched itself off"),
            Self::Panicked(words) => write!(to, "its kernel panicked: {words}"),
            Self::Hung(limit) => write!(to, "it hung: not at its end after {limit:?}"),
            Self::Died(words) => write!(to, "the emulator ended: {words}"),
        }
    }
}

/// A running emulator. It ends with this value, and with the thread that started it.
#[derive(Debug)]
pub(super) struct Emulator {
    process: Process,
    console: PathBuf,
    // Dropped last: the emulator's files.
    _scratch: Scratch,
}

impl Emulator {
    /// Starts `machine` with the results folder `out`, which holds its job. Thread: one that lives
    /// as long as the machine shall.
    pub(super) fn start(machine: &Machine, name: &str, out: &Path) -> Result<Self, LabError> {
        let image = Image::of(machine.kernel)?;
        let scratch = Scratch::new()?;
        let console = scratch.path().join("console");
        write_order(&image, name, out)?;
        let mut command = Command::new(PROGRAM);
        command.args(hardware(machine)).arg("-kernel").arg(image.kernel());
        command.arg("-initrd").arg(image.initrd());
        command.args(["-append", &format!("{KERNEL_ARGUMENTS} {}", machine.kernel_arguments)]);
        command.args(["-serial", &format!("file:{}", console.display())]);
        command.args(share("root", Path::new("/"), "readonly=on,multidevs=remap")?);
        command.args(share("out", out, "readonly=off")?);
        end_with_parent(&mut command);
        let process = Process::spawn(format!("machine {name}"), command)?;
        Ok(Self { process, console, _scratch: scratch })
    }

    /// Whether it still runs.
    pub(super) fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// What the kernel has said on its console.
    pub(super) fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).into_owned()
    }

    /// Ends it at once, as a power cut does.
    pub(super) fn kill(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(10);
        // Not there any more is just as well.
        let _ = self.process.signal(Signal::SIGKILL);
        let _ = self.process.wait_exit(PATIENCE);
    }

    /// How it ended by itself.
    pub(super) fn end(&mut self) -> End {
        const PATIENCE: Duration = Duration::from_secs(10);
        let status = self.process.wait_exit(PATIENCE);
        let console = self.console();
        if let Some(line) = console.lines().find(|line| line.contains(PANIC)) {
            return End::Panicked(line.to_owned());
        }
        match status {
            Some(status) if status.success() => End::PoweredOff,
            Some(status) => End::Died(format!("{status}; {}", tail(&self.process.err(), 5))),
            None => End::Died("it does not end".to_owned()),
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // Not asked to end: one that is stopped would not hear it.
        self.kill();
    }
}

/// What is emulated.
fn hardware(machine: &Machine) -> Vec<String> {
    let (accelerator, cpus) = if machine.counts_instructions {
        ("tcg,thread=single", 1)
    } else {
        ("tcg,thread=multi", machine.cpus)
    };
    let (cpus, memory) = (cpus.to_string(), machine.memory_mib.to_string());
    let mut arguments = vec![
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        "-machine",
        "q35",
        "-cpu",
        "max",
        "-accel",
        accelerator,
        "-smp",
        &cpus,
        "-m",
        &memory,
        "-device",
        "virtio-rng-pci",
    ];
    if machine.counts_instructions {
        arguments.extend(["-icount", "shift=0,sleep=off"]);
    }
    arguments.into_iter().map(str::to_owned).collect()
}

/// A folder of the host's for the machine. Folders below it that are mounted from elsewhere are in
/// it too.
fn share(tag: &str, folder: &Path, more: &str) -> Result<[String; 2], LabError> {
    let path = folder.to_str().filter(|path| !path.contains(','));
    let path = path.ok_or_else(|| {
        LabError::Program(format!("{}: no name for a share, it has a comma", folder.display()))
    })?;
    let text = format!("local,path={path},mount_tag={tag},security_model=none,{more}");
    Ok(["-virtfs".to_owned(), text])
}

/// Writes what the machine's first process reads.
fn write_order(image: &Image, name: &str, out: &Path) -> Result<(), LabError> {
    let io = || LabError::io(out.display().to_string());
    let order = out.join(".lab");
    fs::create_dir_all(&order).map_err(io())?;
    let modules = image.modules();
    // Relative to the root, as is everything that is looked up below a mount.
    let modules = modules.to_string_lossy();
    let host_name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(60).collect();
    let keep: String = hidden_folders().map_err(io())?.iter().map(|f| format!("{f}\n")).collect();
    fs::write(order.join("modules"), modules.as_bytes()).map_err(io())?;
    fs::write(order.join("name"), host_name).map_err(io())?;
    fs::write(order.join("keep"), keep).map_err(io())?;
    fs::write(order.join("cards"), "").map_err(io())
}

/// What a program needs of this host in places that a machine has of its own: the build, and the
/// folder that it stands in.
fn hidden_folders() -> io::Result<Vec<String>> {
    let own = std::env::current_exe()?;
    let folders = [own.parent().map(Path::to_owned), std::env::current_dir().ok()];
    let is_hidden = |folder: &PathBuf| OWN_FOLDERS.iter().any(|own| folder.starts_with(own));
    let hidden = folders.into_iter().flatten().filter(is_hidden);
    Ok(hidden.map(|folder| folder.to_string_lossy().into_owned()).collect())
}
