//! What a machine is made of, as arguments of the emulator, and what its first process is told.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::image::Image;
use super::{CardModel, LabError, Machine};

/// What every kernel is told: speak on the serial line; no time for protections, no random places,
/// so that a count of instructions repeats; a defect of the kernel ends the machine.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 quiet rdinit=/init panic=-1 oops=panic \
    mitigations=off nokaslr no_timer_check random.trust_cpu=on";
/// What every machine has. A reset ends the emulator, so that nobody has to ask whether a machine
/// is still the one that it was. A panic is told through a device of its own, and the kernel then
/// goes on to its last words and a reset.
const EVERY: &str = "-nodefaults -no-user-config -display none -no-reboot -machine q35 -cpu max \
    -device virtio-rng-pci -device virtio-serial-pci -device pvpanic-pci -device i6300esb \
    -action watchdog=reset,panic=none";
/// Folders that a machine has of its own, in which it sees nothing of the host's.
const OWN_FOLDERS: [&str; 3] = ["/tmp", "/run", "/dev"];

/// A network card.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Card {
    /// The interface's name in the machine; the emulator knows it by the same.
    pub(super) name: String,
    /// Its address, as text.
    pub(super) mac: String,
    /// The socket of its LAN.
    pub(super) lan: PathBuf,
}

/// What is emulated.
pub(super) fn hardware(machine: &Machine, cards: &[Card]) -> Vec<String> {
    let mut text = EVERY.to_owned();
    if machine.counts_instructions {
        text += " -smp 1 -accel tcg,thread=single -icount shift=0,sleep=off";
    } else {
        text += &format!(" -smp {} -accel tcg,thread=multi", machine.cpus);
    }
    text += &format!(" -m {}", machine.memory_mib);
    let mut arguments: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
    arguments.extend(cards.iter().flat_map(|card| plug(machine.card, card)));
    arguments
}

/// What plugs a card into its LAN.
fn plug(model: CardModel, card: &Card) -> [String; 4] {
    let model = match model {
        CardModel::Virtio => "virtio-net-pci",
        CardModel::E1000e => "e1000e",
    };
    let Card { name, mac, lan } = card;
    let lan = lan.display();
    let wire = format!("stream,id={name},server=off,addr.type=unix,addr.path={lan}");
    let device = format!("{model},id=card_{name},netdev={name},mac={mac}");
    ["-netdev".to_owned(), wire, "-device".to_owned(), device]
}

/// What is booted.
pub(super) fn boot(machine: &Machine, image: &Image) -> [String; 6] {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    // The kernel hands this word to its first process.
    let root = if machine.can_suspend { "own_root=1" } else { "" };
    let words = format!("{KERNEL_ARGUMENTS} {root} {}", machine.kernel_arguments);
    let (kernel, initrd) = (path(&image.kernel()), path(image.initrd()));
    let [k, i, a] = ["-kernel", "-initrd", "-append"].map(str::to_owned);
    [k, kernel, i, initrd, a, words]
}

/// The folders of the host that a machine has: all, to read, and `out`. What is mounted below them
/// is in them too.
pub(super) fn shares(out: &Path) -> Result<[String; 4], LabError> {
    let path = out.to_str().filter(|path| !path.contains(',')).ok_or_else(|| {
        LabError::Program(format!("{}: no name for a share, it has a comma", out.display()))
    })?;
    let root = "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap";
    let out = format!("local,path={path},mount_tag=out,security_model=none,multidevs=remap");
    Ok(["-virtfs".to_owned(), root.to_owned(), "-virtfs".to_owned(), out])
}

/// Writes what the machine's first process reads.
pub(super) fn write_order(
    image: &Image,
    name: &str,
    out: &Path,
    cards: &[Card],
) -> Result<(), LabError> {
    let io = || LabError::io(out.display().to_string());
    let order = out.join(".lab");
    fs::create_dir_all(&order).map_err(io())?;
    let host_name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(60).collect();
    let keep: String = hidden_folders().map_err(io())?.iter().map(|f| format!("{f}\n")).collect();
    let cards: String = cards.iter().map(|card| format!("{} {}\n", card.mac, card.name)).collect();
    fs::write(order.join("modules"), image.modules().to_string_lossy().as_bytes()).map_err(io())?;
    fs::write(order.join("name"), host_name).map_err(io())?;
    fs::write(order.join("keep"), keep).map_err(io())?;
    fs::write(order.join("cards"), cards).map_err(io())
}

/// What a program needs of this host in places that a machine has of its own: the build, and the
/// folder that it stands in.
fn hidden_folders() -> io::Result<Vec<String>> {
    let own = std::env::current_exe()?;
    // A test lies one deeper than the programs that it starts.
    let build = own.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    let folders = [build.map(Path::to_owned), std::env::current_dir().ok()];
    let is_hidden = |folder: &PathBuf| OWN_FOLDERS.iter().any(|own| folder.starts_with(own));
    let hidden = folders.into_iter().flatten().filter(is_hidden);
    Ok(hidden.map(|folder| folder.to_string_lossy().into_owned()).collect())
}
