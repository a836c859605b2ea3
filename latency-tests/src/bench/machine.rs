//! What this machine takes for the least that a port must do, in the same run.
//!
//! A rate per core says little without it: most of a frame's cost is the kernel's, and that differs
//! twofold between machines of the same year (mitigations, hypervisor). What the daemon adds is the
//! difference to the transmissions alone.

use prp::port::Port;
use prp::types::MacAddress;
use rt_core::os::clock::MonotonicClock;
use rt_core::os::thread::{RtThread, thread_figures};
use serde::{Deserialize, Serialize};
use tools::exit::Failure;

use super::cpus::Cpus;
use super::frame;
use super::rig;
use super::spread::Spread;

const BATCH_FRAMES: usize = 64;
const CALLS: u32 = 1_000_000;

/// The machine's own figures.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// A system call that does nothing, in ns.
    pub system_call_ns: Spread,
    /// CPU time of one frame sent by AF_XDP over a veth pair whose far end drops it, in ns.
    pub transmissions: Vec<Transmission>,
}

/// See [`Machine::transmissions`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Transmission {
    /// Octets of the frame.
    pub frame_octets: usize,
    /// CPU time per frame, in ns.
    pub cpu_ns: Spread,
}

/// Measures on a CPU, that of the daemon's `lre` thread.
///
/// # Errors
/// A privilege is missing.
pub fn measure(
    frame_octets: [usize; 2],
    cpu: Option<usize>,
    (rounds, length): (usize, std::time::Duration),
) -> Result<Machine, Failure> {
    let (near, far) = (rig::quiet_namespace()?, rig::quiet_namespace()?);
    rig::wire((&near, "near"), (&far, "far"))?;
    let mut port = rig::port(&near, "near")?;
    let plan = Cpus::plan("machine", cpu);
    let length_ns = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    let work = move || {
        let calls = (0..rounds).map(|_| system_call_ns()).collect();
        let transmissions = frame_octets.map(|octets| {
            let rounds = (0..rounds).map(|_| transmit_ns(&mut port, octets, length_ns)).collect();
            Transmission { frame_octets: octets, cpu_ns: Spread::of(rounds) }
        });
        Machine { system_call_ns: Spread::of(calls), transmissions: transmissions.to_vec() }
    };
    let thread =
        RtThread::spawn(plan, work).map_err(|error| Failure::failed(error.to_string(), ""))?;
    thread.join().map_err(|panic| Failure::failed(panic.to_string(), ""))
}

fn system_call_ns() -> f64 {
    let start = MonotonicClock::now();
    for _ in 0..CALLS {
        std::hint::black_box(nix::unistd::getppid());
    }
    MonotonicClock::now().since(start).as_nanos() as f64 / f64::from(CALLS)
}

fn transmit_ns(port: &mut impl Port, octets: usize, length_ns: u64) -> f64 {
    let frame = frame::plain(MacAddress([0x02, 0xbe, 0, 0, 0, 2]), frame::source(1), octets);
    let cpu_ns = || {
        let tid = nix::unistd::gettid().as_raw();
        thread_figures(tid).map_or(0, |figures| figures.cpu_time.as_nanos())
    };
    let (start, cpu, sent) = (MonotonicClock::now(), cpu_ns(), port.statistics().tx_frames);
    while MonotonicClock::now().since(start).as_nanos() < length_ns {
        for _ in 0..BATCH_FRAMES {
            let _ = port.transmit(frame.len(), |buffer| buffer.copy_from_slice(&frame));
        }
        let _ = port.flush();
    }
    // The kernel brings a running thread's time up to date with its tick: let one pass.
    std::thread::sleep(std::time::Duration::from_millis(10));
    let sent = port.statistics().tx_frames - sent;
    (cpu_ns() - cpu) as f64 / sent.max(1) as f64
}
