//! What the daemon adds to a round trip, beside a plain Linux bridge in the same run.
//!
//! ```text
//!   pinger ── prp0 │ bumplessd │ la, lb ── pa, pb ── far end
//!   pinger ── h0   │  bridge   │ l0     ── p0     ── far end
//! ```
//!
//! A round trip crosses what is compared twice; the daemon sends each frame on both LANs and
//! discards one of the two copies that come back. Pinger and daemon poll (mode `busy`). Rounds of
//! both take turns, and only the ratio of their medians is a result: the times themselves are those
//! of this machine at that moment.
//!
//! There are two far ends. [`FarEnd::Host`] is a thread that polls, on a CPU of its own, as another
//! host would have: it answers on LAN A while the daemon still sends on LAN B. [`FarEnd::Kernel`]
//! is the kernel's redirect, which runs within the sender's system call: no time but that of what
//! is measured, but the daemon sends on LAN B before it can look at the answer that LAN A gave it,
//! and does the far end's work for both LANs, which no real wire asks of it.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prp::os::lan_port::LanPort;
use prp::os::netns::{NetNs, command_in};
use prp::port::{FRAME_OCTETS_MAX, Port};
use prp::types::MacAddress;
use rt_core::os::clock::MonotonicClock;
use rt_core::os::thread::RtThread;
use rt_core::time::Duration;
use serde::{Deserialize, Serialize};
use tools::exit::Failure;

use super::cpus::Cpus;
use super::frame;
use super::rig::{self, HOST, HostPort, PEERS, Rig, RigOptions};
use super::spread::Spread;

/// A reply that has not come by then is lost.
const PATIENCE: Duration = Duration::from_millis(50);
const FRAME_OCTETS: usize = 64;
/// Where a frame carries its number.
const NUMBER_AT: usize = 20;
/// Round trips before the first that counts.
const WARM_UP: usize = 2_000;
/// Neither the daemon's address (it would take the frame for one of its own that came back) nor
/// that of any interface.
const PINGER_MAC: MacAddress = MacAddress([0x02, 0xbe, 0, 1, 0, 1]);
const TARGET_MAC: MacAddress = MacAddress([0x02, 0xbe, 0, 1, 0, 2]);

/// What sends the frames back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FarEnd {
    /// A thread with a CPU of its own.
    Host,
    /// The kernel, on the sender's CPU.
    Kernel,
}

impl FarEnd {
    /// As in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Kernel => "kernel",
        }
    }
}

/// Round trips through the daemon and through a bridge.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RoundTrip {
    /// `veth` or `tap`.
    pub host_port: String,
    /// How the LAN ports receive: `ring` or `xdp`.
    pub lan_receive: String,
    /// `host` or `kernel`.
    pub far_end: String,
    /// Median of each round through the daemon, in ns.
    pub daemon_median_ns: Spread,
    /// 99th percentile of each round through the daemon, in ns.
    pub daemon_p99_ns: Spread,
    /// Median of each round through the bridge, in ns.
    pub bridge_median_ns: Spread,
    /// 99th percentile of each round through the bridge, in ns.
    pub bridge_p99_ns: Spread,
    /// The daemon's median divided by that of the bridge's round right after it.
    pub ratio: Spread,
    /// Replies that did not come, in all rounds.
    pub lost: u64,
}

/// The most that the ratio may be, where another host is at the far end.
#[must_use]
pub const fn aim(host_port: HostPort, far_end: FarEnd) -> Option<f64> {
    match (far_end, host_port) {
        (FarEnd::Host, HostPort::Veth) => Some(1.5),
        (FarEnd::Host, HostPort::Tap) => Some(1.9),
        (FarEnd::Kernel, _) => None,
    }
}

/// Measures `rounds` rounds of `pings` round trips each.
///
/// # Errors
/// A privilege, `tc` or `ip` is missing, or the daemon died.
pub fn measure(
    options: &RigOptions<'_>,
    cpus: &Cpus,
    far_end: FarEnd,
    (rounds, pings): (usize, usize),
) -> Result<RoundTrip, Failure> {
    let rig = Rig::start(options)?;
    let bridge = Bridge::build()?;
    let far_ends = [(&rig.lans, PEERS[0]), (&rig.lans, PEERS[1]), (&bridge.far, "p0")];
    let _host = match far_end {
        FarEnd::Kernel => {
            far_ends.into_iter().try_for_each(|(lans, name)| turn_round(lans, name))?;
            None
        }
        FarEnd::Host => Some(FarHost::start(&far_ends, cpus.generators()[1])?),
    };
    let (daemon_port, bridge_port) =
        (rig::port(&rig.node, HOST)?, rig::port(&bridge.pinger, "h0")?);
    // A daemon without a former life keeps silent for 500 ms.
    std::thread::sleep(std::time::Duration::from_millis(700));
    let cpu = cpus.generators()[0];
    let plan = Cpus::plan("pinger", cpu);
    let gives_way = Cpus::is_shared(cpu);
    let work = move || ping_in_turn([daemon_port, bridge_port], gives_way, rounds, pings);
    let thread =
        RtThread::spawn(plan, work).map_err(|error| Failure::failed(error.to_string(), ""))?;
    let rounds = thread.join().map_err(|panic| Failure::failed(panic.to_string(), ""))?;
    if rounds.iter().any(|(daemon, bridge)| daemon.median_ns * bridge.median_ns == 0.0) {
        return Err(Failure::new(
            tools::exit::ExitCode::Invalid,
            "round trip: no reply came",
            "see whether the daemon's log tells why",
        ));
    }
    let spread = |value: fn(&(Round, Round)) -> f64| Spread::of(rounds.iter().map(value).collect());
    Ok(RoundTrip {
        host_port: options.host_port.name().to_owned(),
        lan_receive: options.lan_receive.to_owned(),
        far_end: far_end.name().to_owned(),
        daemon_median_ns: spread(|(daemon, _)| daemon.median_ns),
        daemon_p99_ns: spread(|(daemon, _)| daemon.p99_ns),
        bridge_median_ns: spread(|(_, bridge)| bridge.median_ns),
        bridge_p99_ns: spread(|(_, bridge)| bridge.p99_ns),
        ratio: spread(|(daemon, bridge)| daemon.median_ns / bridge.median_ns),
        lost: rounds.iter().map(|(daemon, bridge)| daemon.lost + bridge.lost).sum(),
    })
}

/// Makes the kernel send back what arrives on an interface.
fn turn_round(namespace: &NetNs, interface: &str) -> Result<(), Failure> {
    let filter = format!(
        "filter add dev {interface} ingress protocol all u32 match u32 0 0 \
         action mirred egress redirect dev {interface}"
    );
    call(namespace, "tc", &format!("qdisc add dev {interface} clsact"))?;
    call(namespace, "tc", &filter)
}

fn call(namespace: &NetNs, program: &str, arguments: &str) -> Result<(), Failure> {
    let mut command = Command::new(program);
    command.args(arguments.split_whitespace());
    let output = command_in(namespace, &mut command)
        .map_err(|error| rig::missing("network namespace", error))?
        .output()
        .map_err(|error| {
            let code = tools::exit::ExitCode::Missing;
            Failure::new(code, format!("{program}: {error}"), "install iproute2")
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(rig::missing(&format!("{program} {arguments}"), said.trim()))
}

/// A bridge between two wires.
struct Bridge {
    pinger: NetNs,
    far: NetNs,
    _bridge: NetNs,
}

impl Bridge {
    fn build() -> Result<Self, Failure> {
        let [pinger, bridge, far] =
            [rig::quiet_namespace()?, rig::quiet_namespace()?, rig::quiet_namespace()?];
        rig::wire((&bridge, "b0"), (&pinger, "h0"))?;
        rig::wire((&bridge, "l0"), (&far, "p0"))?;
        call(&bridge, "ip", "link add name br0 type bridge forward_delay 0 mcast_snooping 0")?;
        for port in ["b0", "l0"] {
            call(&bridge, "ip", &format!("link set dev {port} master br0"))?;
            // Frames come back with the address they left with: a bridge that learns would write to
            // its table each time, which a real one need not do.
            call(&bridge, "ip", &format!("link set dev {port} type bridge_slave learning off"))?;
        }
        call(&bridge, "ip", "link set dev br0 up")?;
        Ok(Self { pinger, far, _bridge: bridge })
    }
}

/// A thread that sends back what arrives; it ends with this value.
struct FarHost {
    stop: Arc<AtomicBool>,
    thread: Option<RtThread>,
}

impl FarHost {
    fn start(interfaces: &[(&NetNs, &str)], cpu: Option<usize>) -> Result<Self, Failure> {
        let ports: Result<Vec<LanPort>, Failure> =
            interfaces.iter().map(|(namespace, name)| rig::port(namespace, name)).collect();
        let mut ports = ports?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let plan = Cpus::plan("far-end", cpu);
        let gives_way = Cpus::is_shared(cpu);
        let work = move || {
            let mut frame = Vec::with_capacity(FRAME_OCTETS_MAX);
            while !stopped.load(Ordering::Relaxed) {
                ports.iter_mut().for_each(|port| answer(port, &mut frame));
                if gives_way {
                    std::thread::yield_now();
                }
            }
        };
        let thread =
            RtThread::spawn(plan, work).map_err(|error| Failure::failed(error.to_string(), ""))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for FarHost {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(port: &mut LanPort, answer: &mut Vec<u8>) {
    let taken = port.receive(1, |frame| {
        answer.clear();
        answer.extend_from_slice(frame);
    });
    if taken == Ok(1) {
        let _ = port.transmit(answer.len(), |buffer| buffer.copy_from_slice(answer));
        let _ = port.flush();
    }
}

#[derive(Clone, Copy, Debug)]
struct Round {
    median_ns: f64,
    p99_ns: f64,
    lost: u64,
}

fn ping_in_turn(
    [mut daemon, mut bridge]: [LanPort; 2],
    gives_way: bool,
    rounds: usize,
    pings: usize,
) -> Vec<(Round, Round)> {
    let mut times = Vec::with_capacity(pings.max(WARM_UP));
    let mut number = 1;
    let mut go =
        |port: &mut LanPort, pings| ping((port, gives_way), pings, &mut times, &mut number);
    let _ = (go(&mut daemon, WARM_UP), go(&mut bridge, WARM_UP));
    (0..rounds).map(|_| (go(&mut daemon, pings), go(&mut bridge, pings))).collect()
}

fn ping(
    (port, gives_way): (&mut LanPort, bool),
    pings: usize,
    times: &mut Vec<u64>,
    number: &mut u32,
) -> Round {
    let mut frame = frame::plain(TARGET_MAC, PINGER_MAC, FRAME_OCTETS);
    times.clear();
    for _ in 0..pings {
        *number = number.wrapping_add(1);
        let octets = number.to_be_bytes();
        frame[NUMBER_AT..NUMBER_AT + octets.len()].copy_from_slice(&octets);
        let sent = MonotonicClock::now();
        let _ = port.transmit(frame.len(), |buffer| buffer.copy_from_slice(&frame));
        let _ = port.flush();
        loop {
            let mut came = false;
            // The sender's fault shows as a reply that does not come.
            let _ = port.receive(16, |reply| {
                came |= reply.get(NUMBER_AT..NUMBER_AT + octets.len()) == Some(&octets[..]);
            });
            let took = MonotonicClock::now().since(sent);
            if came {
                times.push(took.as_nanos());
            }
            if came || took > PATIENCE {
                break;
            }
            if gives_way {
                std::thread::yield_now();
            }
        }
    }
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or(0) as f64;
    Round { median_ns: at(50), p99_ns: at(99), lost: (pings - times.len()) as u64 }
}
