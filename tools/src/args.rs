//! The command line of `bumplessd`.
//!
//! Either a file says everything or the options do; `--allow-non-rt` and `--runtime-dir` stand
//! beside both. Values are kept as written and go through the same checks as a file's.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgGroup, Parser};

use crate::config::{Checked, DaemonConfig, RawConfig, RawSupervision};
use crate::exit::Failure;

/// What `bumplessd` was told on its command line.
#[derive(Parser, Clone, PartialEq, Eq, Debug)]
#[command(
    name = "bumplessd",
    version,
    about = "Makes this host a doubly attached node: one network interface over two LANs.",
    long_about = "Makes this host a doubly attached node (PRP, IEC 62439-3): creates the network \
        interface NAME, sends what the host sends there on both LANs, and hands what arrives to \
        the host once. Runs in the foreground, prints `ready` when the interface exists, logs to \
        stderr, and removes what it created on SIGTERM.",
    after_help = "Exit codes: 0 fine, 1 failed at run time, 2 bad arguments or configuration, \
        3 missing privilege or kernel feature.\nSee also: bumplessd(8), bumpless.toml(5), \
        bumpless(1).",
    group = ArgGroup::new("source").required(true).args(["config", "name"]),
)]
pub struct DaemonArgs {
    /// Configuration file; `bumpless check FILE` checks one without starting
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "name", "protocol", "lan_a", "lan_b", "lan_wait", "interlink", "hsr_version",
        "supervision_last_byte", "mac", "receive_mode",
    ])]
    pub config: Option<PathBuf>,

    /// Host interface to create, and the name of this instance
    #[arg(long, value_name = "NAME", requires_all = ["protocol", "lan_a", "lan_b"])]
    pub name: Option<String>,

    /// What to speak: prp (hsr is not built yet)
    #[arg(long, value_name = "prp|hsr", requires = "name")]
    pub protocol: Option<String>,

    /// Network interface of LAN A
    #[arg(long, value_name = "IF", requires = "name")]
    pub lan_a: Option<String>,

    /// Network interface of LAN B
    #[arg(long, value_name = "IF", requires = "name")]
    pub lan_b: Option<String>,

    /// How long to wait for interfaces of the LANs that are not there yet [default: 0]
    #[arg(long, value_name = "SECONDS", requires = "name", allow_negative_numbers = true)]
    pub lan_wait: Option<i64>,

    /// Interlink of a RedBox (not built yet)
    #[arg(long, value_name = "IF", requires = "name")]
    pub interlink: Option<String>,

    /// Version of HSR: 0 or 1 (HSR is not built yet)
    #[arg(long, value_name = "0|1", requires = "name", allow_negative_numbers = true)]
    pub hsr_version: Option<i64>,

    /// Last octet of the supervision frames' destination, 0 to 255 [default: 0]
    #[arg(long, value_name = "N", requires = "name", allow_negative_numbers = true)]
    pub supervision_last_byte: Option<i64>,

    /// MAC address of the node [default: that of LAN A]
    #[arg(long, value_name = "MAC", requires = "name")]
    pub mac: Option<String>,

    /// How to wait for frames: block, adaptive or busy [default: block]
    #[arg(long, value_name = "block|adaptive|busy", requires = "name")]
    pub receive_mode: Option<String>,

    /// Folder of the control socket [default: /run/bumpless/NAME]
    #[arg(long, value_name = "DIR")]
    pub runtime_dir: Option<PathBuf>,

    /// Run, degraded, where real-time scheduling or locked memory cannot be had
    #[arg(long)]
    pub allow_non_rt: bool,
}

impl DaemonArgs {
    /// Reads a command line, the program's name first.
    ///
    /// # Errors
    /// Clap's error: for `--help` and `--version` its `exit` ends with 0, for bad usage with 2.
    pub fn parse_line<I, T>(line: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<OsString> + Clone,
    {
        Self::try_parse_from(line)
    }

    /// The configuration that the command line, or the file it names, amounts to.
    ///
    /// # Errors
    /// The file cannot be read, or something in it or on the command line is not valid.
    pub fn into_config(self) -> Result<Checked, Failure> {
        let (runtime_dir, allow_non_rt) = (self.runtime_dir.clone(), self.allow_non_rt);
        let mut checked = match self.config {
            Some(file) => DaemonConfig::from_file(&file)?,
            None => DaemonConfig::from_arguments(self.into_raw())
                .map_err(|errors| errors.into_failure(None))?,
        };
        checked.config.allow_non_rt |= allow_non_rt;
        if let Some(folder) = runtime_dir {
            // The daemon may change its working folder; what it was told stays what was meant.
            checked.config.runtime_dir = std::path::absolute(&folder).map_err(|error| {
                Failure::usage(
                    format!("--runtime-dir: {}: {error}", folder.display()),
                    "name a folder",
                )
            })?;
        }
        Ok(checked)
    }

    fn into_raw(self) -> RawConfig {
        RawConfig {
            name: self.name,
            protocol: self.protocol,
            lan_a: self.lan_a,
            lan_b: self.lan_b,
            lan_wait_s: self.lan_wait,
            interlink: self.interlink,
            hsr_version: self.hsr_version,
            mac: self.mac,
            receive_mode: self.receive_mode,
            supervision: RawSupervision {
                last_byte: self.supervision_last_byte,
                ..RawSupervision::default()
            },
            ..RawConfig::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        DaemonArgs::command().debug_assert();
    }
}
