//! The hosts, their LANs, and what runs on them all the time.
//!
//! ```text
//!   host 1 ──┬── LAN A ──~~──┬── host 2        bumplessd on both, prp0
//!            └── LAN B ──~~──┘
//!   host 3 ───── LAN ────~~───── host 4        nothing of ours
//! ```
//!
//! Each host and the switches are a network namespace; `~~` is a `bumpless-impair` in the cable.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use nix::sys::signal::Signal;
use prp::os::ethtool::{Ethtool, Offload};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::faults::{Act, Fault};
use super::report::{Bulk, Pairs, PingLine};
use super::verdict::{CableWork, Cables};
use crate::control::Request;
use crate::control::client::ask;
use crate::exit::{ExitCode, Failure};
use crate::netlab::{
    Host, Impairment, Net, NetLabError, Plan, PortPlan, Process, Programs, Toward,
};
use crate::os::parent::end_with_parent;
use crate::os::process_priority::set_fifo;
use crate::report::Document;

/// The programs that the demo starts.
pub(super) const PROGRAMS: [&str; 3] = ["bumplessd", "bumpless-impair", "bumpless-stream"];
/// Requests in a second.
pub(super) const RATE: u64 = 1_000;
/// What the transfers send at most: little beside what the machine can carry, so that a transfer
/// that catches up after a fault does not take the processor away from the next one.
const BULK_OCTETS_PER_SECOND: u64 = 2_000_000;
/// What counts must not wait for a processor; below the daemons' own priority.
const EXCHANGE_PRIORITY: i32 = 40;
/// All random choices of the impairments follow from it.
const SEED: u64 = 62_439;

const ECHO_PORT: u16 = 7;
const BULK_PORT: u16 = 9;
/// How long a program may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the hosts stand in the arrays here.
pub(super) const HOSTS: [&str; 4] = ["host1", "host2", "host3", "host4"];
const HOST_IPS: [Ipv4Addr; 4] = [
    Ipv4Addr::new(10, 77, 0, 1),
    Ipv4Addr::new(10, 77, 0, 2),
    Ipv4Addr::new(10, 78, 0, 3),
    Ipv4Addr::new(10, 78, 0, 4),
];

/// A pair of hosts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pair {
    /// Hosts 1 and 2.
    Prp,
    /// Hosts 3 and 4.
    Single,
}

impl Pair {
    /// The asking host and the answering one.
    const fn hosts(self) -> [usize; 2] {
        match self {
            Self::Prp => [0, 1],
            Self::Single => [2, 3],
        }
    }
}

/// Everything that runs. Dropped, it ends all of it and the namespaces go.
#[derive(Debug)]
pub(super) struct Stage {
    // Dropped in this order: programs before the network they run in.
    bulks: Vec<[Process; 2]>,
    echoes: Vec<Process>,
    daemons: Vec<Process>,
    net: Net,
    programs: Programs,
}

impl Stage {
    /// Builds the network and starts what runs all the time, but for the transfers.
    pub(super) fn set(programs: Programs) -> Result<Self, Failure> {
        let net = Net::build(&plan(), &programs, SEED).map_err(failure)?;
        let mut stage =
            Self { bulks: Vec::new(), echoes: Vec::new(), daemons: Vec::new(), net, programs };
        for host in Pair::Single.hosts() {
            stage.send_single_frames(host)?;
        }
        for host in Pair::Prp.hosts() {
            let daemon = stage.daemon(host)?;
            stage.daemons.push(daemon);
            stage
                .host(host)?
                .add_address("prp0", IpAddr::V4(HOST_IPS[host]), 24)
                .map_err(failure)?;
        }
        for pair in [Pair::Prp, Pair::Single] {
            let [_, answering] = pair.hosts();
            let listen = SocketAddr::from((HOST_IPS[answering], ECHO_PORT)).to_string();
            let arguments = ["echo", "--announce", "--listen", &listen];
            let echo = stage.stream(answering, "echo", &arguments)?;
            stage.echoes.push(ready(echo)?);
        }
        Ok(stage)
    }

    /// What stands on a wire is frames, on the single LAN too: neither several merged into one, of
    /// which a fault would take all at once, nor with a checksum left to a network card.
    fn send_single_frames(&self, host: usize) -> Result<(), Failure> {
        let switch_off = || {
            let ethtool = Ethtool::open()?;
            for offload in [Offload::TxChecksum, Offload::Tso, Offload::Gso] {
                ethtool.set_offload("eth0", offload, false)?;
            }
            Ok(())
        };
        let result: Result<(), prp::os::link::LinkError> =
            self.host(host)?.run(switch_off).map_err(failure)?;
        result.map_err(|error| failure(error.into()))
    }

    fn daemon(&self, host: usize) -> Result<Process, Failure> {
        let program = self.programs.path("bumplessd").map_err(failure)?;
        let mut command = self.host(host)?.command(program).map_err(failure)?;
        end_with_parent(&mut command);
        command.args(["--name", "prp0", "--protocol", "prp", "--lan-a", "lan_a"]);
        command.args(["--lan-b", "lan_b", "--allow-non-rt", "--runtime-dir"]);
        command.arg(self.runtime_dir(host));
        ready(Process::spawn(format!("bumplessd on {}", HOSTS[host]), command).map_err(failure)?)
    }

    /// The runtime folder of the daemon on a host.
    pub(super) fn runtime_dir(&self, host: usize) -> std::path::PathBuf {
        self.net.folder().join(HOSTS[host])
    }

    fn host(&self, host: usize) -> Result<&Host, Failure> {
        self.net.host(HOSTS[host]).map_err(failure)
    }

    fn stream(&self, host: usize, what: &str, arguments: &[&str]) -> Result<Process, Failure> {
        let program = self.programs.path("bumpless-stream").map_err(failure)?;
        let mut command = self.host(host)?.command(program).map_err(failure)?;
        end_with_parent(&mut command);
        command.args(arguments);
        let process = Process::spawn(format!("{what} on {}", HOSTS[host]), command);
        let process = process.map_err(failure)?;
        // Without the privilege it does the same, less punctually, and `Starvation` tells.
        let _ = set_fifo(process.id(), EXCHANGE_PRIORITY);
        Ok(process)
    }

    /// Starts an exchange: numbered requests for `span_ms`, and some time for late answers.
    pub(super) fn ping(&self, pair: Pair, stream: usize, span_ms: u64) -> Result<Process, Failure> {
        let [asking, answering] = pair.hosts();
        let to = SocketAddr::from((HOST_IPS[answering], ECHO_PORT)).to_string();
        let (stream, rate) = (stream.to_string(), RATE.to_string());
        let seconds = format!("{}.{:03}", span_ms / 1_000, span_ms % 1_000);
        let arguments = [
            "ping",
            "--to",
            &to,
            "--stream",
            &stream,
            "--rate",
            &rate,
            "--duration",
            &seconds,
            "--progress-ms",
            "100",
            "--grace-ms",
            "500",
        ];
        self.stream(asking, "ping", &arguments)
    }

    /// Starts the transfers.
    pub(super) fn start_bulks(&mut self) -> Result<(), Failure> {
        for pair in [Pair::Prp, Pair::Single] {
            let [sending, receiving] = pair.hosts();
            let address = SocketAddr::from((HOST_IPS[receiving], BULK_PORT)).to_string();
            let take = ["bulk", "recv", "--announce", "--give-up", "60", "--listen", &address];
            let receiver = ready(self.stream(receiving, "bulk transfer", &take)?)?;
            let rate = BULK_OCTETS_PER_SECOND.to_string();
            let give =
                ["bulk", "send", "--to", &address, "--octets-per-second", &rate, "--give-up", "60"];
            let sender = self.stream(sending, "bulk transfer", &give)?;
            self.bulks.push([sender, receiver]);
        }
        Ok(())
    }

    /// Ends the transfers; one that does not come to an end is told as nothing.
    pub(super) fn finish_bulks(&mut self) -> Result<Pairs<Option<Bulk>>, Failure> {
        let mut results = Vec::new();
        for [sender, _] in &mut self.bulks {
            sender.signal(Signal::SIGTERM).map_err(failure)?;
        }
        for [sender, receiver] in self.bulks.drain(..) {
            let sent = sender.finish(PATIENCE).is_ok_and(|ended| ended.status.success());
            let ended = if sent { receiver.finish(PATIENCE).ok() } else { None };
            results.push(ended.and_then(|ended| last_line(&ended.out)));
        }
        let mut results = results.into_iter();
        Ok(Pairs { prp: results.next().flatten(), single: results.next().flatten() })
    }

    /// Makes a fault.
    pub(super) fn make(&self, fault: &Fault) -> Result<(), Failure> {
        for (host, interface, act) in cables(fault) {
            let impairment = self.net.impairment(host, interface).map_err(failure)?;
            match act {
                None => Ok(()),
                Some(Act::Unplug) => self.net.set_link(host, interface, false),
                Some(Act::Cut) => impairment.cut(Toward::Both),
                Some(Act::Impair(settings)) => impairment.set(Toward::Both, settings),
            }
            .map_err(failure)?;
        }
        Ok(())
    }

    /// Takes a fault away.
    pub(super) fn mend(&self, fault: &Fault) -> Result<(), Failure> {
        for (host, interface, act) in cables(fault) {
            match act {
                None => Ok(()),
                Some(Act::Unplug) => self.net.set_link(host, interface, true),
                Some(_) => self.net.impairment(host, interface).and_then(Impairment::clear),
            }
            .map_err(failure)?;
        }
        Ok(())
    }

    /// What the impairments have done so far.
    pub(super) fn work(&self) -> Result<Cables<CableWork>, Failure> {
        let of = |host: usize, interface: &str| -> Result<CableWork, Failure> {
            let cable = self.net.impairment(HOSTS[host], interface).map_err(failure)?;
            Ok(work_of(&cable.counters().map_err(failure)?))
        };
        Ok(Cables { lan_a: of(1, "lan_a")?, lan_b: of(1, "lan_b")?, single: of(3, "eth0")? })
    }

    /// Sees that what has to run all the time does.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        let bulks = self.bulks.first_mut().into_iter().flatten();
        for process in self.daemons.iter_mut().chain(&mut self.echoes).chain(bulks) {
            if !process.is_running() {
                let said = process.err();
                let last = said.lines().last().unwrap_or("it said nothing");
                return Err(Failure::failed(format!("{} has ended: {last}", process.name()), ""));
            }
        }
        Ok(())
    }

    /// What the daemons run without. Host 1 speaks for both: they are started alike.
    pub(super) fn degraded(&self) -> Result<Vec<String>, Failure> {
        match ask(&self.runtime_dir(0), &Request::Status)? {
            Document::Status(status) => Ok(status.degraded),
            _ => Ok(Vec::new()),
        }
    }

    /// The process ids of what carries the frames: when one of these waits, frames are late.
    pub(super) fn ids_that_must_run(&self) -> Vec<u32> {
        let cables = self.net.impairments().map(|(_, _, impairment)| impairment.process().id());
        cables.chain(self.echoes.iter().map(Process::id)).collect()
    }

    /// The process ids of the daemons, hosts 1 and 2.
    pub(super) fn daemon_ids(&self) -> Vec<u32> {
        self.daemons.iter().map(Process::id).collect()
    }
}

fn plan() -> Plan {
    let [_, _, ip3, ip4] = HOST_IPS.map(IpAddr::V4);
    Plan::with_lans(["lan_a", "lan_b", "single"])
        .host(HOSTS[0], [PortPlan::new("lan_a", "lan_a"), PortPlan::new("lan_b", "lan_b")])
        .host(
            HOSTS[1],
            [
                PortPlan::new("lan_a", "lan_a").impaired(),
                PortPlan::new("lan_b", "lan_b").impaired(),
            ],
        )
        .host(HOSTS[2], [PortPlan::new("eth0", "single").ip(ip3, 24)])
        .host(HOSTS[3], [PortPlan::new("eth0", "single").ip(ip4, 24).impaired()])
}

/// The cables with impairments, by host and interface, and what a fault does to each.
fn cables(fault: &Fault) -> [(&'static str, &'static str, Option<&Act>); 3] {
    [
        (HOSTS[1], "lan_a", fault.lan_a.as_ref()),
        (HOSTS[1], "lan_b", fault.lan_b.as_ref()),
        (HOSTS[3], "eth0", fault.single.as_ref()),
    ]
}

/// Sums the counters of both lanes of an impairment.
fn work_of(lanes: &Value) -> CableWork {
    let sum = |keys: &[&str]| {
        let lanes = lanes.as_array().into_iter().flatten();
        lanes.flat_map(|lane| keys.iter().filter_map(|&key| lane.get(key)?.as_u64())).sum()
    };
    // Frames toward a pulled plug are refused by the kernel: the only fault that shows so.
    CableWork {
        hit: sum(&["lost", "cut", "delayed", "repeated", "reordered", "send_failed"]),
        unplanned: sum(&["overflow", "merged_lost", "send_failed", "kernel_dropped", "unreadable"]),
    }
}

/// Waits until a program says that it is ready.
fn ready(process: Process) -> Result<Process, Failure> {
    if process.wait_out(|line| line == "ready", PATIENCE).is_some() {
        return Ok(process);
    }
    let said = process.err();
    let last = said.lines().last().unwrap_or("it said nothing");
    Err(Failure::failed(format!("{} did not start: {last}", process.name()), ""))
}

/// The last complete line that a program has printed so far, if it is what was expected.
pub(super) fn last_line<T: DeserializeOwned>(out: &str) -> Option<T> {
    let complete = &out[..out.rfind('\n')?];
    serde_json::from_str(complete.lines().last()?).ok()
}

/// The account of an exchange that has ended.
pub(super) fn account(process: Process) -> Result<PingLine, Failure> {
    let name = process.name().to_owned();
    let ended = process.finish(PATIENCE).map_err(failure)?;
    last_line(&ended.out).filter(|_| ended.status.success()).ok_or_else(|| {
        let last = ended.err.lines().last().unwrap_or("it said nothing").to_owned();
        Failure::new(ExitCode::Invalid, format!("{name} gave no account: {last}"), "")
    })
}

/// What went wrong with the network, as the end of the program.
pub(super) fn failure(error: NetLabError) -> Failure {
    match error {
        NetLabError::Missing { missing, folders, .. } => Failure::missing(
            format!("cannot find {} in {folders}", missing.join(", ")),
            "build all programs: `cargo build --release --bins`; `cargo xtask demo` does it",
        ),
        NetLabError::Namespace(_) => Failure::missing(error.to_string(), ""),
        error => Failure::failed(error.to_string(), ""),
    }
}
