//! The speed bench: what a frame costs, in the protocol machine and in the running daemon.
//!
//! Results are ratios, rates per core and counted instructions, taken in one run on one machine,
//! each with its noise; a single time says more about the machine than about the program. Every
//! stated aim is compared with the middle of its rounds, and a missed one is a line of its own in
//! the report.
//!
//! | Module | Measures |
//! |---|---|
//! | [`lre_cost`] | instructions and time per frame of the LRE alone |
//! | [`throughput`] | frames per core of the daemon, both ways |
//! | [`round_trip`] | a round trip through the daemon beside one through a bridge |
//! | [`regions`] | an image from publishing to observing, beside iceoryx2 and a bare cache line |
//! | [`machine`] | what the kernel of this machine takes for the least that a port must do |
//! | [`rig`], [`load`], [`frame`], [`cpus`] | what that takes |
//! | [`host`], [`report`], [`spread`] | what is written down |

use std::path::PathBuf;
use std::time::Duration;

use tools::exit::Failure;

pub mod cpus;
pub mod frame;
pub mod host;
pub mod load;
pub mod lre_cost;
pub mod machine;
pub mod regions;
pub mod report;
pub mod rig;
pub mod round_trip;
pub mod spread;
pub mod throughput;

use cpus::Cpus;
use report::{Aim, Results};
use rig::{HostPort, RigOptions};
use round_trip::FarEnd;
use throughput::Direction;

/// Octets of the frames that the daemon is loaded with, as the host sees them.
const FRAME_OCTETS: [usize; 2] = [64, 1_494];
/// Instructions that the LRE may need per frame.
const INSTRUCTIONS_MAX: f64 = 200.0;
/// With the largest table a frame may need so much more than with the smallest: "flat".
const FLATNESS_MAX: f64 = 1.1;

/// What is measured and how long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The daemon's program.
    pub daemon: PathBuf,
    /// Rounds of each measurement.
    pub rounds: usize,
    /// Length of a round under load.
    pub round: Duration,
    /// Round trips per round.
    pub pings: usize,
    /// Frames of a round of the LRE alone.
    pub lre_frames: u64,
    /// Which parts; all three unless told.
    pub parts: Parts,
    /// Whether instructions are counted, where something here can.
    pub count_instructions: bool,
}

/// Which parts of the bench run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parts {
    /// The LRE alone.
    pub lre: bool,
    /// The daemon under load.
    pub throughput: bool,
    /// The round trip.
    pub round_trip: bool,
}

/// Runs the parts and judges the aims. `tell` is told what goes on.
///
/// # Errors
/// A privilege or a program is missing, or the daemon does not start.
pub fn run(options: &Options, mut tell: impl FnMut(&str)) -> Result<Results, Failure> {
    let cpus = Cpus::here();
    let mut results = Results { host: host::Host::read(), ..Results::default() };
    results.notes.extend(cpus.distortion().map(str::to_owned));
    if options.parts.lre {
        let counter = match options.count_instructions {
            true => lre_cost::Counter::find(),
            false => lre_cost::Counter::None,
        };
        tell("LRE alone, 1 to 16,384 nodes");
        results.notes.push(format!("instructions counted by {}", counter.words()));
        results.lre = lre_cost::measure(options.lre_frames, options.rounds, counter)?;
        judge_lre(&mut results);
    }
    if options.parts.throughput {
        tell("the machine itself");
        let octets = FRAME_OCTETS;
        results.machine =
            Some(machine::measure(octets, cpus.lre(), (options.rounds, options.round))?);
    }
    for host_port in HostPort::BOTH {
        let rig = |receive_mode| RigOptions {
            daemon: &options.daemon,
            host_port,
            lan_receive: "ring",
            receive_mode,
            cpu: cpus.lre(),
        };
        let load = (options.rounds, options.round);
        for octets in FRAME_OCTETS.into_iter().filter(|_| options.parts.throughput) {
            for direction in [Direction::HostToLans, Direction::LansToHost] {
                tell(&format!("{} host port, {octets} octets, {direction:?}", host_port.name()));
                let found = throughput::measure(&rig("block"), &cpus, (direction, octets), load)?;
                judge_throughput(&mut results, host_port, direction, &found);
                results.throughput.push(found);
            }
        }
        let ends = [FarEnd::Host, FarEnd::Kernel];
        for far_end in ends.into_iter().filter(|_| options.parts.round_trip) {
            let (name, far) = (host_port.name(), far_end.name());
            tell(&format!("{name} host port, round trip, far end: {far}"));
            let length = (options.rounds, options.pings);
            let found = round_trip::measure(&rig("busy"), &cpus, far_end, length)?;
            if let Some(aim) = round_trip::aim(host_port, far_end) {
                let what = format!("round trip, {name} host port, ratio to a bridge");
                results.aims.push(Aim::at_most(what, "", aim, found.ratio.clone()));
            }
            results.round_trip.push(found);
        }
    }
    // Not every kernel has it for a veth; then the report says so.
    if let Err(failure) = by_xdp(options, &cpus, &mut results, &mut tell) {
        results.notes.push(format!("LAN ports by AF_XDP not measured: {}", failure.message));
    }
    Ok(results)
}

/// The LAN ports' other way in, beside the rows above; without aims, for a veth is not what it is
/// made for.
fn by_xdp(
    options: &Options,
    cpus: &Cpus,
    results: &mut Results,
    tell: &mut impl FnMut(&str),
) -> Result<(), Failure> {
    let rig = |receive_mode| RigOptions {
        daemon: &options.daemon,
        host_port: HostPort::Veth,
        lan_receive: "xdp",
        receive_mode,
        cpu: cpus.lre(),
    };
    for octets in FRAME_OCTETS.into_iter().filter(|_| options.parts.throughput) {
        tell(&format!("LAN ports by AF_XDP, {octets} octets"));
        let (load, what) = ((options.rounds, options.round), (Direction::LansToHost, octets));
        results.throughput.push(throughput::measure(&rig("block"), cpus, what, load)?);
    }
    if options.parts.round_trip {
        tell("LAN ports by AF_XDP, round trip");
        let (length, far_end) = ((options.rounds, options.pings), FarEnd::Host);
        results.round_trip.push(round_trip::measure(&rig("busy"), cpus, far_end, length)?);
    }
    Ok(())
}

fn judge_lre(results: &mut Results) {
    let counted: Option<Vec<f64>> = results.lre.iter().map(|cost| cost.instructions).collect();
    let Some(counted) = counted.filter(|counted| !counted.is_empty()) else { return };
    let most = counted.iter().copied().fold(0.0, f64::max);
    let least = counted.iter().copied().fold(f64::MAX, f64::min);
    let spread = |value| spread::Spread::of(vec![value]);
    let what = "LRE, instructions per LAN frame, largest of all table sizes".to_owned();
    results.aims.push(Aim::at_most(what, "", INSTRUCTIONS_MAX, spread(most)));
    let what = "LRE, instructions, largest by smallest of all table sizes".to_owned();
    results.aims.push(Aim::at_most(what, "", FLATNESS_MAX, spread(most / least)));
}

fn judge_throughput(
    results: &mut Results,
    host_port: HostPort,
    direction: Direction,
    found: &throughput::Throughput,
) {
    let what = match direction {
        Direction::HostToLans => "duplicated frames",
        Direction::LansToHost => "LAN frames",
    };
    let Some(aim) = throughput::aim(host_port, direction) else { return };
    let what = format!("{what}, {} host port, {} octets", host_port.name(), found.frame_octets);
    let millions = found.frames_per_core_second.map(|rate| rate / 1e6);
    results.aims.push(Aim::at_least(what, "M/s per core", aim / 1e6, millions));
}
