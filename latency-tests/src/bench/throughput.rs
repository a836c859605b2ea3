//! How many frames one core of the daemon carries.
//!
//! What counts is the CPU time that the kernel accounts to the `lre` thread while there is always
//! work for it: frames divided by that time are what one core carries.
//!
//! - Host to LANs: the host offers more than the daemon takes, so the thread never waits (mode
//!   `block`: each wait would show as a voluntary switch).
//! - LANs to host: two senders on two cores are not enough to keep the thread busy, and below
//!   saturation it works in small batches, which says nothing of what it can. So the daemon is
//!   halted, its rings are filled, and it is let go, again and again; each burst is one that a
//!   switch which was blocked for some milliseconds sends. Nothing may be lost.
//!
//! On a veth pair the receiving half of a wire runs on the *sender's* core: the thread's time
//! includes the far ends of what it sends, and excludes the softirq work of what it receives. A
//! real NIC shifts both.

use std::thread::sleep;
use std::time::Duration;

use rt_core::os::clock::MonotonicClock;
use rt_core::os::thread::ThreadFigures;
use serde::{Deserialize, Serialize};
use tools::exit::{ExitCode, Failure};
use tools::report::Status;

use super::cpus::Cpus;
use super::load::Load;
use super::rig::{HostPort, Rig, RigOptions};
use super::spread::Spread;

/// Frames of a burst per LAN: three quarters of what a receive ring holds.
const BURST_FRAMES: u64 = 1_536;

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
    /// How the LAN ports receive: `ring` or `xdp`.
    pub lan_receive: String,
    /// Frames that left twice (`true`), or frames that the LANs brought (`false`).
    pub from_host: bool,
    /// Octets of a frame as the host sees it.
    pub frame_octets: usize,
    /// Frames per second of the thread's CPU time: what one core carries.
    pub frames_per_core_second: Spread,
    /// CPU time per frame in ns.
    pub cpu_ns_per_frame: Spread,
    /// Frames per second of wall time; none for bursts.
    pub frames_per_second: Option<Spread>,
    /// Frames per second that were offered; none for bursts.
    pub offered_per_second: Option<Spread>,
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
    let round = || match direction {
        Direction::HostToLans => {
            let before = Sample::take(&rig, &load, direction)?;
            sleep(length);
            Ok(Sample::take(&rig, &load, direction)?.since(&before))
        }
        Direction::LansToHost => bursts(&rig, &load, length),
    };
    let samples = (0..rounds).map(|_| round()).collect::<Result<Vec<Sample>, Failure>>()?;
    if samples.iter().any(|sample| sample.frames <= 0.0 || sample.cpu_s <= 0.0) {
        return Err(Failure::new(
            ExitCode::Invalid,
            "the daemon carried nothing in a whole round",
            "choose longer rounds (--round-ms), on a machine that does nothing else",
        ));
    }
    let spread = |value: fn(&Sample) -> f64| Spread::of(samples.iter().map(value).collect());
    let from_host = direction == Direction::HostToLans;
    Ok(Throughput {
        host_port: options.host_port.name().to_owned(),
        lan_receive: options.lan_receive.to_owned(),
        from_host,
        frame_octets,
        frames_per_core_second: spread(|s| s.frames / s.cpu_s),
        cpu_ns_per_frame: spread(|s| s.cpu_s * 1e9 / s.frames),
        frames_per_second: from_host.then(|| spread(|s| s.frames / s.wall_s)),
        offered_per_second: from_host.then(|| spread(|s| s.offered / s.wall_s)),
        delivered_share: spread(|s| s.delivered / s.frames),
        waits: samples.iter().map(|sample| sample.waits).sum(),
    })
}

/// Bursts for about `length`; the CPU time is that between letting the daemon go and its next wait.
fn bursts(rig: &Rig, load: &Load, length: Duration) -> Result<Sample, Failure> {
    let direction = Direction::LansToHost;
    let end = MonotonicClock::now()
        + rt_core::time::Duration::from_nanos(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX));
    let before = Sample::take(rig, load, direction)?;
    let mut cpu_s = 0.0;
    while MonotonicClock::now() < end {
        rig.halt()?;
        let sent = load.send_burst(BURST_FRAMES);
        let halted = rig.figures()?;
        rig.go_on()?;
        sent?;
        cpu_s += drained(rig, &halted)?;
    }
    let found = Sample { cpu_s, ..Sample::take(rig, load, direction)?.since(&before) };
    if found.frames < found.offered {
        return Err(Failure::new(
            ExitCode::Invalid,
            format!("{} of {} LAN frames were lost", found.offered - found.frames, found.offered),
            "a burst has to fit the receive rings; is the machine out of memory?",
        ));
    }
    Ok(found)
}

/// Waits until the `lre` thread waits; the CPU time it took.
fn drained(rig: &Rig, halted: &ThreadFigures) -> Result<f64, Failure> {
    for _ in 0..10_000 {
        sleep(Duration::from_micros(200));
        let now = rig.figures()?;
        if now.voluntary_switches > halted.voluntary_switches {
            let took = now.cpu_time.saturating_sub(halted.cpu_time);
            return Ok(took.as_nanos() as f64 / 1e9);
        }
    }
    Err(Failure::new(ExitCode::Invalid, "the daemon never waits", ""))
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
