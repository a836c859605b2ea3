//! A LAN interface as the checks see it: what netlink and the driver say, read once.
//!
//! The driver answers system calls, not files, so this stands beside the host's texts; a test fills
//! it in by hand. Files of the interface go to the host's texts like all other files.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use prp::os::ethtool::{Ethtool, Offload, Setting, SettingValue};
use prp::os::link::{LinkInfo, Links};
use prp::types::LanId;
use rt_core::os::host::HostTexts;

/// One LAN interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Nic {
    /// The LAN it is for.
    pub lan: LanId,
    /// Its name.
    pub name: String,
    /// What the kernel says of it; or why it does not.
    pub link: Result<NicLink, String>,
    /// The driver's name.
    pub driver: Option<String>,
    /// Offloads that the driver knows, and whether they are on.
    pub offloads: Vec<(Offload, bool)>,
    /// Settings that the driver knows.
    pub settings: Vec<(Setting, SettingValue)>,
    /// Why the driver could not be asked.
    pub driver_hidden: Option<String>,
    /// Its interrupts.
    pub interrupts: Vec<u32>,
    /// The device it belongs to, as in `0000:01:00.0`; none where it has none.
    pub device: Option<String>,
}

/// What the kernel says of an interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NicLink {
    /// Its number.
    pub index: u32,
    /// Whether it carries Ethernet frames and is no loopback.
    pub ethernet: bool,
    /// Whether it was set up.
    pub up: bool,
    /// Whether frames can pass.
    pub running: bool,
    /// Its MTU.
    pub mtu: u32,
    /// The greatest it takes, where the kernel tells.
    pub mtu_max: Option<u32>,
    /// The kind of a virtual interface.
    pub kind: Option<String>,
    /// The bridge or bond it is enslaved to.
    pub controller: Option<String>,
    /// Its IP addresses but link-local ones.
    pub addresses: Vec<String>,
}

/// Files of an interface, read into the host's texts.
const FILES: [&str; 8] = [
    "queues/*/rps_cpus",
    "threaded",
    "speed",
    "duplex",
    "iflink",
    "ifindex",
    "device/power/control",
    "operstate",
];

/// Files about the bridges of this host.
const BRIDGE_FILES: [&str; 5] = [
    "/sys/class/net/*/bridge/stp_state",
    "/sys/class/net/*/bridge/forward_delay",
    "/sys/class/net/*/brif/*/state",
    "/sys/class/net/*/ifindex",
    "/proc/sys/net/bridge/bridge-nf-call-*",
];

/// Reads an interface of this host, and its files into `texts`. Never a real-time thread's work.
#[must_use]
pub fn read(lan: LanId, name: &str, texts: &mut HostTexts) -> Nic {
    let root = Path::new("/");
    let folder = format!("/sys/class/net/{name}");
    let nic = read_without_files(lan, name);
    // A `/sys` that was mounted in another network namespace shows another interface, if any.
    let index = fs::read_to_string(format!("{folder}/ifindex")).unwrap_or_default();
    if nic.link.as_ref().is_ok_and(|link| index.trim() != link.index.to_string()) {
        return nic;
    }
    for file in FILES {
        texts.gather(root, &format!("{folder}/{file}"));
    }
    Nic { interrupts: interrupts(Path::new(&folder)), device: device(Path::new(&folder)), ..nic }
}

/// The same where `/sys` shows the interfaces of another network namespace than the thread's: what
/// the kernel answers, and nothing of the files.
#[must_use]
pub fn read_without_files(lan: LanId, name: &str) -> Nic {
    let link = read_link(name);
    let mut nic = Nic {
        lan,
        name: name.to_owned(),
        link,
        driver: None,
        offloads: Vec::new(),
        settings: Vec::new(),
        driver_hidden: None,
        interrupts: Vec::new(),
        device: None,
    };
    if nic.link.is_ok()
        && let Err(error) = ask_driver(&mut nic)
    {
        nic.driver_hidden = Some(error);
    }
    nic
}

/// Reads what concerns all bridges of this host.
pub fn read_bridges(texts: &mut HostTexts) {
    for pattern in BRIDGE_FILES {
        texts.gather(Path::new("/"), pattern);
    }
}

fn read_link(name: &str) -> Result<NicLink, String> {
    let text = |error: prp::os::link::LinkError| error.to_string();
    let mut links = Links::open().map_err(text)?;
    let info = links.by_name(name).map_err(text)?;
    let addresses = links.addresses(info.index).unwrap_or_default();
    let is_link_local = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let addresses = addresses
        .iter()
        .filter(|address| !is_link_local(&address.ip))
        .map(|address| format!("{}/{}", address.ip, address.prefix_bits));
    let addresses = addresses.collect();
    let LinkInfo { index, ethernet, loopback, up, running, mtu, mtu_max, kind, controller, .. } =
        info;
    let controller = controller.map(|index| {
        links.by_index(index).map_or_else(|_| format!("#{index}"), |controller| controller.name)
    });
    let ethernet = ethernet && !loopback;
    Ok(NicLink { index, ethernet, up, running, mtu, mtu_max, kind, controller, addresses })
}

fn ask_driver(nic: &mut Nic) -> Result<(), String> {
    let text = |error: prp::os::link::LinkError| error.to_string();
    let ethtool = Ethtool::open().map_err(text)?;
    nic.driver = ethtool.driver(&nic.name).map_err(text)?;
    for which in Offload::MERGING.into_iter().chain(Offload::HARMLESS) {
        let state = ethtool.offload(&nic.name, which).map_err(text)?;
        nic.offloads.extend(state.map(|on| (which, on)));
    }
    for which in Setting::ALL {
        let value = ethtool.setting(&nic.name, which).map_err(text)?;
        nic.settings.extend(value.map(|value| (which, value)));
    }
    Ok(())
}

/// The interrupts of the device; of a virtio one those of the device that carries it.
fn interrupts(folder: &Path) -> Vec<u32> {
    let numbers = |folder: &Path| -> Vec<u32> {
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|name| name.parse().ok()).collect()
    };
    let mut all = numbers(&folder.join("device/msi_irqs"));
    if all.is_empty() {
        all = numbers(&folder.join("device/../msi_irqs"));
    }
    all.sort_unstable();
    all
}

/// The name of the device that carries the interface.
fn device(folder: &Path) -> Option<String> {
    let path = fs::canonicalize(folder.join("device")).ok()?;
    let name = |path: &Path| path.file_name()?.to_str().map(str::to_owned);
    let own = name(&path)?;
    if own.starts_with("virtio") { name(path.parent()?) } else { Some(own) }
}

/// A value as `ethtool` has it.
pub(super) fn value_text(which: Setting, value: u32) -> String {
    match (which.is_switch(), value) {
        (true, 0) => "off".to_owned(),
        (true, _) => "on".to_owned(),
        (false, value) => value.to_string(),
    }
}

/// A setting's name, by option and word of `ethtool`.
pub(super) fn setting_name((option, word): (&str, &str)) -> String {
    format!("ethtool {option} {word}")
}
