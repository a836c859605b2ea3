//! What the host is judged for: a daemon that runs, a configuration, or what a daemon would do
//! without being told.

use prp::os::claim::{LAN_MTU_OCTETS, RCT_MTU_OCTETS};
use prp::types::LanId;
use rt_core::limits::PRIORITY_LRE;
use rt_core::os::host::{self, Finding, HostTexts, Level, PlannedThread};
use rt_core::os::jitter::{Doubt, Stored};
use rt_core::os::thread::Policy;

use super::DoctorArgs;
use super::place::Place;
use crate::config::{DaemonConfig, InterfaceName, RUNTIME_ROOT, ReceiveMode, jitter};
use crate::control::Request;
use crate::control::client::ask;
use crate::control::instance::{Selection, select};
use crate::daemon::thread_plan;
use crate::exit::{ExitCode, Failure};
use crate::report::doctor::{JudgedFor, LanRow, ThreadRow};
use crate::report::{Document, Status};

/// The threads and interfaces that count.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// As in the document.
    pub(super) source: &'static str,
    pub(super) name: Option<String>,
    pub(super) process: Option<u32>,
    pub(super) receive_mode: String,
    pub(super) threads: Vec<PlannedThread>,
    pub(super) lans: Vec<(LanId, InterfaceName)>,
    /// Where these are.
    pub(super) place: Place,
    pub(super) mtu_min: u32,
    /// What could not be learned of a daemon that runs, and what it says of itself.
    pub(super) findings: Vec<Finding>,
}

impl Subject {
    /// Finds out.
    ///
    /// # Errors
    /// The configuration cannot be read or is not valid, the instance that was named does not
    /// answer, or several run.
    pub(super) fn find(args: &DoctorArgs) -> Result<Self, Failure> {
        let mut subject = match &args.config {
            Some(file) => {
                let config = DaemonConfig::from_file(file)?.config;
                let mut subject = Self::of_config(&config, &isolated_cpus(args));
                let stored = config.jitter.as_ref();
                subject.findings.extend(stored.iter().flat_map(|it| stored_jitter(it, args)));
                subject
            }
            None => Self::of_instance(args)?,
        };
        for (lan, option, given) in
            [(LanId::A, "--lan-a", &args.lan_a), (LanId::B, "--lan-b", &args.lan_b)]
        {
            let Some(name) = given else { continue };
            let name = name
                .parse()
                .map_err(|why| Failure::usage(format!("{option}: {why}"), "as in eth1"))?;
            subject.lans.retain(|(known, _)| *known != lan);
            subject.lans.push((lan, name));
        }
        subject.lans.sort();
        // As the daemon's own arguments.
        if let [(_, a), (_, b)] = subject.lans.as_slice()
            && a == b
        {
            let option = if args.lan_b.is_some() { "--lan-b" } else { "--lan-a" };
            let what = format!("{option}: {a} is the interface of the other LAN, too");
            return Err(Failure::usage(what, "name the NIC of the other LAN"));
        }
        Ok(subject)
    }

    fn of_config(config: &DaemonConfig, isolated: &[usize]) -> Self {
        let lans = config.lans.iter().flat_map(|lans| LanId::BOTH.into_iter().zip(lans.clone()));
        let lre = config.lans.iter().map(|_| thread_plan::lre(config, isolated).for_host());
        Self {
            source: "config",
            name: Some(config.name.to_string()),
            process: None,
            receive_mode: config.receive_mode.name().to_owned(),
            threads: lre.collect(),
            lans: lans.collect(),
            place: Place::Here,
            mtu_min: u32::from(config.host.mtu) + RCT_MTU_OCTETS,
            findings: Vec::new(),
        }
    }

    /// A daemon without a configuration of its threads.
    fn defaults(isolated: &[usize]) -> Self {
        let lre = PlannedThread {
            name: "lre".to_owned(),
            policy: Policy::Fifo(PRIORITY_LRE),
            cpu: isolated.last().copied(),
            is_busy: false,
        };
        Self {
            source: "defaults",
            name: None,
            process: None,
            receive_mode: ReceiveMode::Block.name().to_owned(),
            threads: vec![lre],
            lans: Vec::new(),
            place: Place::Here,
            mtu_min: LAN_MTU_OCTETS,
            findings: Vec::new(),
        }
    }

    /// The instance that is named, or the only one; without one the defaults.
    fn of_instance(args: &DoctorArgs) -> Result<Self, Failure> {
        let target = &args.target;
        let is_named = target.name.is_some() || target.runtime_dir.is_some();
        if args.root.is_some() && !is_named {
            return Ok(Self::defaults(&isolated_cpus(args)));
        }
        let selection =
            Selection { name: target.name.clone(), runtime_dir: target.runtime_dir.clone() };
        let found = select(RUNTIME_ROOT.as_ref(), &selection)
            .and_then(|folder| ask(&folder, &Request::Status));
        match found {
            Ok(Document::Status(status)) => Ok(Self::of_status(&status)),
            // It has neither LANs nor real-time threads.
            Ok(Document::RegionsStatus(status)) => {
                let defaults = Self::defaults(&isolated_cpus(args));
                Ok(Self { name: Some(status.name), threads: Vec::new(), ..defaults })
            }
            Ok(_) => Err(crate::cli::wrong_document()),
            Err(failure) if is_named || failure.code == ExitCode::Usage => Err(failure),
            Err(failure) if failure.code == ExitCode::Missing => {
                let mut subject = Self::defaults(&isolated_cpus(args));
                let harm = "the host is judged for a daemon's defaults instead";
                subject.findings.push(
                    Finding::new("daemon", "daemon", Level::Unknown, failure.message, harm)
                        .advice(failure.remedy),
                );
                Ok(subject)
            }
            Err(_) => Ok(Self::defaults(&isolated_cpus(args))),
        }
    }

    fn of_status(status: &Status) -> Self {
        let threads = status.threads.iter().filter(|t| t.priority > 0 || t.name == "lre");
        let is_busy = status.receive_mode == ReceiveMode::Busy.name();
        let threads = threads.map(|thread| PlannedThread {
            name: thread.name.clone(),
            policy: match thread.policy.as_str() {
                "SCHED_FIFO" => Policy::Fifo(thread.priority),
                _ => Policy::Other,
            },
            cpu: thread.cpu.and_then(|cpu| usize::try_from(cpu).ok()),
            is_busy: is_busy && thread.name == "lre",
        });
        let ports = [(LanId::A, &status.ports.a), (LanId::B, &status.ports.b)];
        let lans = ports.into_iter().filter_map(|(lan, p)| Some((lan, p.interface.parse().ok()?)));
        let degraded = status.degraded.iter().map(|reason| {
            let harm = "the daemon runs with less than it was asked for";
            Finding::new("daemon", "daemon", Level::Warning, reason, harm)
                .advice("the reason says what to change; then restart it")
        });
        let mut findings: Vec<Finding> = degraded.collect();
        if findings.is_empty() {
            let seen = format!("{} runs as it was asked to (process {})", status.name, status.pid);
            findings.push(Finding::fine("daemon", "daemon", seen));
        }
        Self {
            source: "instance",
            name: Some(status.name.clone()),
            process: Some(status.pid),
            receive_mode: status.receive_mode.clone(),
            threads: threads.collect(),
            lans: lans.collect(),
            place: Place::of(status.pid),
            mtu_min: status.host.mtu.saturating_add(RCT_MTU_OCTETS),
            findings,
        }
    }

    /// For the document.
    pub(super) fn row(&self) -> JudgedFor {
        let threads = self.threads.iter().map(thread_row);
        let lan = |(lan, name): &(LanId, InterfaceName)| LanRow {
            lan: lan.to_string(),
            interface: name.to_string(),
        };
        JudgedFor {
            source: self.source.to_owned(),
            name: self.name.clone(),
            pid: self.process,
            receive_mode: self.receive_mode.clone(),
            threads: threads.collect(),
            lans: self.lans.iter().map(lan).collect(),
        }
    }
}

/// Whether the stored J is of the host that is judged.
fn stored_jitter(stored: &Stored, args: &DoctorArgs) -> Vec<Finding> {
    let texts = match &args.root {
        None => HostTexts::read(None),
        Some(root) => HostTexts::read_below(root, None),
    };
    let harm = "timers that rest on it may be too short for this host";
    let finding = |doubt: &Doubt| {
        Finding::new("jitter", "stored J", Level::Warning, doubt.to_string(), harm)
            .command("bumpless latency heartbeat --json FILE")
    };
    let doubts: Vec<Finding> = jitter::doubts(stored, &texts).iter().map(finding).collect();
    if !doubts.is_empty() {
        return doubts;
    }
    let seen = format!("{} was measured on this host, or one that is alike", stored.jitter);
    vec![Finding::fine("jitter", "stored J", seen)]
}

/// The isolated CPUs of the host that is judged.
fn isolated_cpus(args: &DoctorArgs) -> Vec<usize> {
    args.root.as_deref().map_or_else(host::isolated_cpus, host::isolated_cpus_below)
}

/// A thread for a document.
pub(crate) fn thread_row(thread: &PlannedThread) -> ThreadRow {
    let (policy, priority) = match thread.policy {
        Policy::Fifo(priority) => ("SCHED_FIFO", priority),
        Policy::Other => ("SCHED_OTHER", 0),
    };
    ThreadRow {
        name: thread.name.clone(),
        policy: policy.to_owned(),
        priority,
        cpu: thread.cpu,
        busy: thread.is_busy,
    }
}
