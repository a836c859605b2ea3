//! The daemon's configuration: parsed into valid types once, then never checked again.
//!
//! A file (TOML) and the command line end in the same raw form and pass through the same checks, so
//! a value is refused with the same words wherever it came from. All defects of a file are reported
//! together; each names its key, the value, and the remedy. What is valid but probably not meant is
//! a [`Warning`].
//!
//! | Module | Holds |
//! |---|---|
//! | [`keys`] | every key of the file, and the nearest one to a word that is none |
//! | [`interface_name`] | a network interface's name, checked |
//! | [`error`] | what is wrong, and what is only odd |
//! | `raw`, `validate` | the file as written, and the one way from there to [`DaemonConfig`] |
//! | [`regions`] | applications, their regions, and who may do what with them |
//! | [`jitter`] | the stored J, and whether it is of this host |
//! | [`describe`] | the configuration as understood, for `bumpless check` |

use std::path::{Path, PathBuf};

use prp::lre::config::LreConfig;
use prp::os::lan_port::TransmitPath;
use prp::types::{LanId, MacAddress};
use rt_core::os::jitter::Stored;
use rt_core::time::Duration;

use crate::exit::Failure;

pub mod describe;
pub mod error;
pub mod interface_name;
pub mod jitter;
pub mod keys;
mod raw;
pub mod regions;
mod validate;

pub use error::{ConfigError, ConfigErrors, Origin, Warning};
pub use interface_name::InterfaceName;
pub(crate) use raw::{RawConfig, RawSupervision, read_file};
pub use regions::RegionsConfig;

/// Where instances keep their runtime folders.
pub const RUNTIME_ROOT: &str = "/run/bumpless";

/// Where instances keep what outlives a boot.
pub const STATE_ROOT: &str = "/var/lib/bumpless";

/// The group that may talk to a daemon, when the configuration names none and the group exists.
pub const DEFAULT_GROUP: &str = "bumpless";

/// What the daemon is on its LANs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// A doubly attached node of the Parallel Redundancy Protocol.
    Prp,
}

impl Protocol {
    /// The word users see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prp => "prp",
        }
    }
}

/// How the `lre` thread waits for frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReceiveMode {
    /// Sleeps in the kernel until a frame comes.
    Block,
    /// Polls for `spin` after the last frame, then sleeps.
    Adaptive {
        /// How long it polls.
        spin: Duration,
    },
    /// Never sleeps: for an isolated CPU of its own.
    Busy,
}

impl ReceiveMode {
    /// The word users see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Adaptive { .. } => "adaptive",
            Self::Busy => "busy",
        }
    }
}

/// What the host interface is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostPort {
    /// A TAP; a veth pair where none can be had.
    Auto,
    /// A TAP, or nothing.
    Tap,
    /// A veth pair: faster, and possible without `/dev/net/tun`.
    Veth,
}

impl HostPort {
    /// The word users see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Tap => "tap",
            Self::Veth => "veth",
        }
    }
}

/// How frames arrive on a LAN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LanReceive {
    /// AF_XDP in native mode on a network card whose driver has it, the packet ring elsewhere.
    Auto,
    /// The packet ring.
    Ring,
    /// AF_XDP in the best mode that can be had, or nothing.
    Xdp,
}

impl LanReceive {
    /// The word users see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Ring => "ring",
            Self::Xdp => "xdp",
        }
    }
}

/// Whether the LAN ports take frames that are for other stations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promiscuous {
    /// When something needs it.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

impl Promiscuous {
    /// The word users see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

/// How the kernel schedules a thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ThreadPolicy {
    /// SCHED_FIFO with a priority of 1 to 98.
    Fifo {
        /// The priority.
        priority: u8,
    },
    /// SCHED_OTHER: any process may delay it.
    Other,
}

/// One real-time thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ThreadConfig {
    /// See [`ThreadPolicy`].
    pub policy: ThreadPolicy,
    /// The CPU it is pinned to; `None`: the last isolated one, else wherever the process may run.
    pub cpu: Option<usize>,
}

/// The daemon's threads that can be told something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ThreadsConfig {
    /// The thread that carries the frames.
    pub lre: ThreadConfig,
}

/// The host interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostConfig {
    /// See [`HostPort`].
    pub port: HostPort,
    /// Its MTU, where the LANs carry six octets more; else as much as they leave, with a warning.
    pub mtu: u16,
}

/// Which group may talk to the daemon.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SocketGroup {
    /// `bumpless` if the group exists, else the daemon's own.
    Default,
    /// This one; it has to exist.
    Named(String),
}

impl SocketGroup {
    /// The group's number, `None` for the daemon's own group. Reads the group database: not for a
    /// real-time thread.
    ///
    /// # Errors
    /// The named group does not exist, or the group database cannot be read.
    pub fn resolve(&self) -> Result<Option<u32>, Failure> {
        let (name, required) = match self {
            Self::Default => (DEFAULT_GROUP, false),
            Self::Named(name) => (name.as_str(), true),
        };
        match nix::unistd::Group::from_name(name) {
            Ok(Some(group)) => Ok(Some(group.gid.as_raw())),
            Ok(None) | Err(_) if !required => Ok(None),
            Ok(None) => Err(Failure::usage(
                format!("socket_group: there is no group {name}"),
                format!("create it (groupadd --system {name}) or leave the key out"),
            )),
            Err(errno) => Err(Failure::failed(
                format!("socket_group: cannot look up {name}: {}", errno.desc()),
                "leave the key out to use the daemon's own group",
            )),
        }
    }
}

/// All that `bumplessd` can be told, valid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DaemonConfig {
    /// The instance and its host interface.
    pub name: InterfaceName,
    /// See [`Protocol`].
    pub protocol: Protocol,
    /// The NICs of LAN A and LAN B, by [`LanId::index`]; none for a daemon that keeps regions only,
    /// to which all that has to do with frames means nothing.
    pub lans: Option<[InterfaceName; 2]>,
    /// How long the start waits for interfaces that are not there yet; zero: it is refused.
    pub lan_wait: Duration,
    /// The node's MAC address; `None`: that of LAN A.
    pub mac: Option<MacAddress>,
    /// See [`ReceiveMode`].
    pub receive_mode: ReceiveMode,
    /// See [`HostConfig`].
    pub host: HostConfig,
    /// See [`LanReceive`].
    pub lan_receive: LanReceive,
    /// See [`TransmitPath`].
    pub lan_transmit: TransmitPath,
    /// See [`Promiscuous`].
    pub promiscuous: Promiscuous,
    /// See [`LreConfig`].
    pub lre: LreConfig,
    /// How many nodes the table holds.
    pub node_table_size: usize,
    /// See [`ThreadsConfig`].
    pub threads: ThreadsConfig,
    /// What is written to `/dev/cpu_dma_latency`, in µs; `None`: it is left alone.
    pub cpu_dma_latency_us: Option<u32>,
    /// The lateness that was measured on the hosts of a pair; none where none is stored.
    pub jitter: Option<Stored>,
    /// Applications and regions; none where none is configured.
    pub regions: Option<RegionsConfig>,
    /// See [`SocketGroup`].
    pub socket_group: SocketGroup,
    /// Whether to run, degraded, without real-time scheduling and locked memory.
    pub allow_non_rt: bool,
    /// Where the control socket and the marker of what is ours live.
    pub runtime_dir: PathBuf,
}

/// A valid configuration and what is odd about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checked {
    /// The configuration.
    pub config: DaemonConfig,
    /// What is valid but probably not meant.
    pub warnings: Vec<Warning>,
}

impl DaemonConfig {
    /// The NIC of one LAN; empty where there are no LANs.
    #[must_use]
    pub fn lan(&self, lan: LanId) -> &str {
        self.lans.as_ref().map_or("", |lans| lans[lan.index()].as_str())
    }

    /// Where epochs are stored.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        let configured = self.regions.as_ref().and_then(|regions| regions.state_dir.clone());
        configured.unwrap_or_else(|| {
            if self.runtime_dir == Path::new(RUNTIME_ROOT).join(self.name.as_str()) {
                Path::new(STATE_ROOT).join(self.name.as_str())
            } else {
                self.runtime_dir.join("state")
            }
        })
    }

    /// Reads a configuration file's text.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_toml(text: &str) -> Result<Checked, ConfigErrors> {
        let (raw, mut errors) = raw::from_toml(text)?;
        let checked = validate::validate(raw, Origin::File);
        if errors.is_empty() {
            return checked;
        }
        // All that is wrong is told at once; a key that was taken out is not missing as well.
        let told: Vec<String> = errors.iter().map(|error| error.key.clone()).collect();
        let further = checked.err().map(|found| found.0).unwrap_or_default();
        errors.extend(further.into_iter().filter(|error| !told.contains(&error.key)));
        Err(ConfigErrors(errors))
    }

    /// Reads a configuration file.
    ///
    /// # Errors
    /// It cannot be read (code 2, or 3 where a permission is missing), or is not valid (code 2).
    pub fn from_file(path: &Path) -> Result<Checked, Failure> {
        let text = read_file(path)?;
        Self::from_toml(&text).map_err(|errors| errors.into_failure(Some(path)))
    }

    /// Checks what came from the command line.
    pub(crate) fn from_arguments(raw: RawConfig) -> Result<Checked, ConfigErrors> {
        validate::validate(raw, Origin::CommandLine)
    }
}
