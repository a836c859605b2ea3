//! How many frames one core of the daemon carries.
//!
//! The daemon is offered more than it can take, so its `lre` thread never waits (mode `block`: each
//! wait would show as a voluntary switch). What it carried, divided by the CPU time that the kernel
//! accounts to the thread, is what one core carries. On a veth pair the receiving half of a wire runs
//! on the *sender's* core: so the thread's time includes the far ends of what it sends, and excludes
//! the softirq work of what it receives, which the senders' cores do. A real NIC shifts both.

use std::thread::sleep;
use std::time::Duration;

use rt_core::os::clock::MonotonicClock;
use serde::{Deserialize, Serialize};
use tools::exit::Failure;
use tools::report::Status;

use super::cpus::Cpus;
use super::load::Load;
use super::rig::{HostPort, Rig, RigOptions};
use super::spread::Spread;

/// Which way frames go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the host to both LANs.
    HostToLans,
    /// From both LANs, each frame twice, to the host.
    LansToHost,
}

/// One direction with one host port and one size of frames.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Throughput {
    /// `veth` or `tap`.
    pub host_port: String,
    /// Frames that left twice (`true`), or frames that the LANs brought (`false`).
    pub from_host: bool,
    /// Octets of a frame as the host sees it.
    pub frame_octets: usize,
    /// Frames per second of the thread's CPU time: what one core carries.
    pub frames_per_core_second: Spread,
    /// CPU time per frame in ns.
    pub cpu_ns_per_frame: Spread,
    /// Frames per second of wall time.
    pub frames_per_second: Spread,
    /// Frames per second that were offered.
    pub offered_per_second: Spread,
    /// Share of the offered frames that found a queue full before the daemon saw them.
    pub overrun: Spread,
    /// LANs to host: frames delivered per frame received; a half when every second copy was
    /// recognised and no first one was lost.
    pub delivered_share: Spread,
    /// Waits of the thread in all rounds; more than a few mean that it was not offered enough.
    pub waits: u64,
}

/// Loads a running daemon in one direction, round by round.
///
/// # Errors
/// The daemon died or a privilege is missing.
pub fn measure(
    options: &RigOptions<'_>,
    cpus: &Cpus,
    (direction, frame_octets): (Direction, usize),
    (rounds, length): (usize, Duration),
) -> Result<Throughput, Failure> {
    let rig = Rig::start(options)?;
    let generators = cpus.generators();
    let load = match direction {
        Direction::HostToLans => Load::host(&rig.node, frame_octets, generators[0])?,
        Direction::LansToHost => Load::lans(&rig.lans, frame_octets, generators)?,
    };
    // A daemon without a former life keeps silent for 500 ms.
    sleep(Duration::from_millis(700));
    let mut samples = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let before = Sample::take(&rig, &load, direction)?;
        sleep(length);
        samples.push(Sample::take(&rig, &load, direction)?.since(&before));
    }
    let spread = |value: fn(&Sample) -> f64| Spread::of(samples.iter().map(value).collect());
    Ok(Throughput {
        host_port: options.host_port.name().to_owned(),
        from_host: direction == Direction::HostToLans,
        frame_octets,
        frames_per_core_second: spread(|s| s.frames / s.cpu_s),
        cpu_ns_per_frame: spread(|s| s.cpu_s * 1e9 / s.frames),
        frames_per_second: spread(|s| s.frames / s.wall_s),
        offered_per_second: spread(|s| s.offered / s.wall_s),
        overrun: spread(|s| 1.0 - s.frames / s.offered),
        delivered_share: spread(|s| s.delivered / s.frames),
        waits: samples.iter().map(|sample| sample.waits).sum(),
    })
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    wall_s: f64,
    cpu_s: f64,
    frames: f64,
    offered: f64,
    delivered: f64,
    waits: u64,
}

impl Sample {
    fn take(rig: &Rig, load: &Load, direction: Direction) -> Result<Self, Failure> {
        let status = rig.status()?;
        let figures = rig.figures()?;
        let now = MonotonicClock::now();
        let sent = load.sent();
        let (frames, offered) = match direction {
            Direction::HostToLans => (counter(&status, ["lreCntTxA", "lreCntTxB"]) / 2, sent[0]),
            Direction::LansToHost => {
                (counter(&status, ["lreCntRxA", "lreCntRxB"]), sent[0] + sent[1])
            }
        };
        Ok(Self {
            wall_s: now.as_nanos() as f64 / 1e9,
            cpu_s: figures.cpu_time.as_nanos() as f64 / 1e9,
            frames: frames as f64,
            offered: offered as f64,
            delivered: status.counters.get("lreCntTxC") as f64,
            waits: figures.voluntary_switches,
        })
    }

    fn since(self, before: &Self) -> Self {
        Self {
            wall_s: self.wall_s - before.wall_s,
            cpu_s: self.cpu_s - before.cpu_s,
            frames: self.frames - before.frames,
            offered: self.offered - before.offered,
            delivered: self.delivered - before.delivered,
            waits: self.waits - before.waits,
        }
    }
}

fn counter(status: &Status, names: [&str; 2]) -> u64 {
    names.into_iter().map(|name| status.counters.get(name)).sum()
}

/// The aim in frames per second and core, where there is one.
#[must_use]
pub const fn aim(host_port: HostPort, direction: Direction) -> Option<f64> {
    match (host_port, direction) {
        (HostPort::Veth, Direction::HostToLans) => Some(1.0e6),
        (HostPort::Tap, Direction::HostToLans) => Some(0.8e6),
        (HostPort::Veth, Direction::LansToHost) => Some(2.0e6),
        (HostPort::Tap, Direction::LansToHost) => None,
    }
}
