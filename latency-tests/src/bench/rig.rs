//! A daemon between namespaces of its own, ready to be loaded.
//!
//! ```text
//!   node                                lans
//!   prp0 ── bumplessd ── la ─────────── pa
//!                     └─ lb ─────────── pb
//! ```

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use prp::os::lan_port::{LanPort, LanPortOptions, TransmitPath};
use prp::os::link::Links;
use prp::os::netns::{NetNs, command_in};
use prp::types::MacAddress;
use rt_core::os::thread::{ThreadFigures, thread_figures_of};
use tools::control::client;
use tools::control::protocol::Request;
use tools::exit::{ExitCode, Failure};
use tools::report::{Document, Status};

/// The daemon's host interface.
pub const HOST: &str = "prp0";
/// The far ends of LAN A and LAN B.
pub const PEERS: [&str; 2] = ["pa", "pb"];
const LANS: [&str; 2] = ["la", "lb"];
const LAN_MTU: u32 = 1_600;
/// The node's address.
pub const NODE_MAC: MacAddress = MacAddress([0x02, 0xbd, 0, 0, 0, 1]);

/// What the host interface is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostPort {
    /// A veth pair.
    Veth,
    /// A TAP.
    Tap,
}

impl HostPort {
    /// Both, the faster one first.
    pub const BOTH: [Self; 2] = [Self::Veth, Self::Tap];

    /// As in the configuration and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Veth => "veth",
            Self::Tap => "tap",
        }
    }
}

/// What a rig is made of.
#[derive(Clone, Copy, Debug)]
pub struct RigOptions<'a> {
    /// The daemon's program.
    pub daemon: &'a Path,
    /// Its host port.
    pub host_port: HostPort,
    /// How the LAN ports receive: `ring` or `xdp`, which is native mode between veths.
    pub lan_receive: &'a str,
    /// `block`, `adaptive` or `busy`.
    pub receive_mode: &'a str,
    /// The CPU of its `lre` thread; none: any, and without a real-time policy.
    pub cpu: Option<usize>,
}

/// A failure of something that the rig needs from the system.
pub fn missing(what: &str, why: impl std::fmt::Display) -> Failure {
    Failure::new(
        ExitCode::Missing,
        format!("{what}: {why}"),
        "run as root, where namespaces are allowed",
    )
}

/// A namespace whose host sends nothing of its own accord and whose bridges leave frames alone.
///
/// # Errors
/// The privilege is missing.
pub fn quiet_namespace() -> Result<NetNs, Failure> {
    let namespace =
        NetNs::create_with_loopback().map_err(|error| missing("network namespace", error))?;
    namespace
        .run(|| {
            // Absent where the kernel lacks IPv6 or br_netfilter: then it is quiet already.
            for which in ["all", "default"] {
                let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6"), "1");
            }
            for table in ["iptables", "ip6tables", "arptables"] {
                let _ = fs::write(format!("/proc/sys/net/bridge/bridge-nf-call-{table}"), "0");
            }
        })
        .map_err(|error| missing("network namespace", error))?;
    Ok(namespace)
}

/// Makes a veth pair between two namespaces, both ends up and with room for a trailer.
///
/// # Errors
/// What the kernel refused.
pub fn wire(near: (&NetNs, &str), far: (&NetNs, &str)) -> Result<(), Failure> {
    let refused = |error: prp::os::link::LinkError| missing("network interface", error);
    let mut links = Links::open_in(near.0).map_err(refused)?;
    links.create_veth(near.1, far.1, Some(far.0.as_fd())).map_err(refused)?;
    for (namespace, name) in [near, far] {
        let mut links = Links::open_in(namespace).map_err(refused)?;
        let index = links.by_name(name).map_err(refused)?.index;
        links.set_mtu(index, LAN_MTU).map_err(refused)?;
        links.set_up(index, true).map_err(refused)?;
    }
    Ok(())
}

/// Opens a port on an interface of a namespace: in by packet ring, out by AF_XDP, which is the
/// cheapest way a program has.
///
/// # Errors
/// The interface or the privilege is missing.
pub fn port(namespace: &NetNs, interface: &str) -> Result<LanPort, Failure> {
    let open = || {
        let index = Links::open()
            .and_then(|mut links| links.by_name(interface))
            .map_err(|error| missing(interface, error))?
            .index;
        let options =
            LanPortOptions { transmit: TransmitPath::Xdp, ..LanPortOptions::new(index, LAN_MTU) };
        LanPort::open(&options).map_err(|error| missing(interface, error))
    };
    namespace.run(open).map_err(|error| missing("network namespace", error))?
}

/// The running daemon and its surroundings.
#[derive(Debug)]
pub struct Rig {
    /// Where the daemon and `prp0` are.
    pub node: NetNs,
    /// Where the far ends of the LANs are.
    pub lans: NetNs,
    daemon: Child,
    folder: PathBuf,
    lre_tid: i32,
}

impl Rig {
    /// Builds it and waits until the daemon says `ready`.
    ///
    /// # Errors
    /// A privilege is missing, or the daemon does not start.
    pub fn start(options: &RigOptions<'_>) -> Result<Self, Failure> {
        let (node, lans) = (quiet_namespace()?, quiet_namespace()?);
        for (lan, peer) in LANS.into_iter().zip(PEERS) {
            wire((&node, lan), (&lans, peer))?;
        }
        let folder = folder()?;
        let file = folder.join("bench.toml");
        fs::write(&file, configuration(options))
            .map_err(|error| Failure::failed(format!("{}: {error}", file.display()), ""))?;
        let mut command = Command::new(options.daemon);
        command.args([Path::new("--config"), &file, Path::new("--runtime-dir"), &folder]);
        // An allocation where none may be ends the daemon, and with it the measurement.
        command.env("BUMPLESS_ALLOCATION_TRAP", "abort");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
        command_in(&node, &mut command).map_err(|error| missing("network namespace", error))?;
        let program = options.daemon.display();
        let mut daemon = command
            .spawn()
            .map_err(|error| Failure::failed(format!("{program}: {error}"), "build it first"))?;
        if let Err(said) = wait_ready(&mut daemon) {
            let _ = daemon.kill();
            let _ = daemon.wait();
            let _ = fs::remove_dir_all(&folder);
            return Err(Failure::failed(format!("{program} does not start: {said}"), ""));
        }
        let mut rig = Self { node, lans, daemon, folder, lre_tid: 0 };
        let status = rig.status()?;
        let tid = status.threads.iter().find(|thread| thread.name == "lre").map(|lre| lre.tid);
        rig.lre_tid = tid.and_then(|tid| i32::try_from(tid).ok()).unwrap_or(0);
        Ok(rig)
    }

    /// The daemon's status document.
    ///
    /// # Errors
    /// The daemon does not answer.
    pub fn status(&self) -> Result<Status, Failure> {
        match client::ask(&self.folder, &Request::Status)? {
            Document::Status(status) => Ok(*status),
            _ => Err(Failure::failed("the daemon answered something else", "")),
        }
    }

    /// The kernel's figures of the `lre` thread.
    ///
    /// # Errors
    /// The daemon died.
    pub fn figures(&self) -> Result<ThreadFigures, Failure> {
        let pid = i32::try_from(self.daemon.id()).unwrap_or(0);
        thread_figures_of(pid, self.lre_tid)
            .map_err(|error| Failure::failed(format!("the daemon's thread lre: {error}"), ""))
    }

    /// Halts the daemon; returns when its `lre` thread stands still.
    ///
    /// # Errors
    /// The daemon died, or does not stop within a second.
    pub fn halt(&self) -> Result<(), Failure> {
        self.signal(Signal::SIGSTOP)?;
        let stat = format!("/proc/{}/task/{}/stat", self.daemon.id(), self.lre_tid);
        for _ in 0..10_000 {
            let text = fs::read_to_string(&stat).unwrap_or_default();
            // Behind the name in parentheses stands the state.
            if text.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T')) {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
        Err(Failure::failed("the daemon does not halt", ""))
    }

    /// Lets the daemon go on.
    ///
    /// # Errors
    /// The daemon died.
    pub fn go_on(&self) -> Result<(), Failure> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let pid = Pid::from_raw(i32::try_from(self.daemon.id()).unwrap_or(0));
        kill(pid, signal).map_err(|errno| Failure::failed(format!("the daemon: {errno}"), ""))
    }

    /// The daemon's runtime folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // One that is halted has to go on to end.
        let _ = self.go_on();
        let _ = self.signal(Signal::SIGTERM);
        let _ = self.daemon.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A folder in memory that no other rig has.
fn folder() -> Result<PathBuf, Failure> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("bumpless-bench-{}-{number}", std::process::id());
    let folder = Path::new("/dev/shm").join(name);
    fs::create_dir_all(&folder)
        .map_err(|error| Failure::failed(format!("{}: {error}", folder.display()), ""))?;
    Ok(folder)
}

fn configuration(options: &RigOptions<'_>) -> String {
    let (host_port, receive_mode) = (options.host_port.name(), options.receive_mode);
    let [a, b] = LANS;
    let mut text = format!(
        "name = \"{HOST}\"\nprotocol = \"prp\"\nlan_a = \"{a}\"\nlan_b = \"{b}\"\n\
         mac = \"{NODE_MAC}\"\nhost_port = \"{host_port}\"\nreceive_mode = \"{receive_mode}\"\n\
         lan_receive = \"{}\"\n[threads.lre]\n",
        options.lan_receive
    );
    text += &match options.cpu {
        Some(cpu) => format!("policy = \"fifo\"\npriority = 60\ncpu = {cpu}\n"),
        None => "policy = \"other\"\n".to_owned(),
    };
    text
}

/// Waits for `ready`; gives what the daemon said instead.
fn wait_ready(daemon: &mut Child) -> Result<(), String> {
    let mut line = String::new();
    if let Some(out) = daemon.stdout.take() {
        let _ = BufReader::new(out).read_line(&mut line);
    }
    let errors = daemon.stderr.take();
    if line.trim_end() == "ready" {
        // Somebody has to read on, or the daemon's log would fill the pipe.
        std::thread::spawn(move || {
            errors.map(|errors| BufReader::new(errors).lines().map_while(Result::ok).count())
        });
        return Ok(());
    }
    let lines = errors.map(|errors| BufReader::new(errors).lines().map_while(Result::ok));
    Err(lines.into_iter().flatten().last().unwrap_or_else(|| "it said nothing".to_owned()))
}
