//! The probe without a daemon to be beside: two hosts, two LANs, a daemon on each, all in network
//! namespaces that end with it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use prp::os::netns::NetNs;
use tools::exit::Failure;
use tools::netlab::{Net, NetLabError, Plan, PortPlan, Process, Programs};
use tools::os::parent::end_with_parent;

use super::super::heartbeat::network_failure;

const DAEMON: &str = "bumplessd";
const HOSTS: [&str; 2] = ["host1", "host2"];
const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 77, 0, 2)];
const LANS: [&str; 2] = ["lan_a", "lan_b"];
/// The host interface of both.
const INTERFACE: &str = "prp0";
const PATIENCE: Duration = Duration::from_secs(20);

/// The network and its daemons.
#[derive(Debug)]
pub(super) struct Alone {
    // Dropped in this order: daemons before the network that they run in.
    daemons: Vec<Process>,
    net: Net,
}

/// Builds all of it. Thread: one that lives as long as the daemons shall.
///
/// # Errors
/// A program or a privilege is missing.
pub(super) fn build() -> Result<Alone, Failure> {
    let programs = Programs::find(&[DAEMON]).map_err(|it| network_failure(&it))?;
    let ports = || LANS.map(|lan| PortPlan::new(lan, lan));
    let plan = Plan::with_lans(LANS).host(HOSTS[0], ports()).host(HOSTS[1], ports());
    let net = Net::build(&plan, &programs, 0).map_err(|it| network_failure(&it))?;
    let mut alone = Alone { daemons: Vec::new(), net };
    for (host, address) in HOSTS.into_iter().zip(ADDRESSES) {
        alone.run_daemon(&programs, host, address).map_err(|it| network_failure(&it))?;
    }
    Ok(alone)
}

impl Alone {
    fn run_daemon(
        &mut self,
        programs: &Programs,
        host: &str,
        address: Ipv4Addr,
    ) -> Result<(), NetLabError> {
        let file = self.net.folder().join(format!("{host}.toml"));
        // By the ways that taps see.
        let config = format!(
            "name = \"{INTERFACE}\"\nprotocol = \"prp\"\nlan_a = \"{}\"\nlan_b = \"{}\"\n\
             lan_receive = \"ring\"\nlan_transmit = \"packet\"\n",
            LANS[0], LANS[1],
        );
        fs::write(&file, config)
            .map_err(|error| NetLabError::Io { what: file.display().to_string(), error })?;
        let mut command = self.net.host(host)?.command(programs.path(DAEMON)?)?;
        end_with_parent(&mut command);
        command.arg("--config").arg(file).arg("--allow-non-rt").arg("--runtime-dir");
        command.arg(self.net.folder().join(host));
        let name = format!("{DAEMON} on {host}");
        self.daemons.push(Process::spawn_ready(name, command, PATIENCE)?);
        self.net.host(host)?.add_address(INTERFACE, IpAddr::V4(address), 24)
    }

    /// The namespace to measure in.
    pub(super) fn namespace(&self) -> Result<&NetNs, Failure> {
        let host = self.net.host(HOSTS[0]).map_err(|it| network_failure(&it))?;
        Ok(host.namespace())
    }

    /// The runtime folder of the daemon there.
    pub(super) fn runtime_dir(&self) -> PathBuf {
        self.net.folder().join(HOSTS[0])
    }

    /// The address of the other one.
    pub(super) const fn peer(&self) -> IpAddr {
        IpAddr::V4(ADDRESSES[1])
    }
}
