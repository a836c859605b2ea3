//! Measures what a frame costs at each kind of port, all kinds in turn in one run.
//!
//! `cargo run --release -p prp --example port_speed [OCTETS]`, as root. Rounds of the kinds
//! alternate so that a busy machine slows all of them; what counts is the ratio. A figure is the
//! median round; transmission includes what the kernel does at the veth's other end (or the host's
//! side of a TAP), for that happens on the sender's CPU. A tool for the people who build this, not
//! a test.

use std::error::Error;

use prp::os::host_port::HostPort;
use prp::os::lan_port::{LanPort, LanPortOptions, LanReceive, ReceivePath, TransmitPath};
use prp::os::link::Links;
use prp::os::netns::NetNs;
use prp::os::tap::Tap;
use prp::port::{FRAME_OCTETS_MIN, Port, PortFault};
use rt_core::os::clock::MonotonicClock;

const MTU: u32 = 1_514;
const ROUNDS: usize = 301;
/// Fits every queue on the way: a TAP's holds 1,000.
const FRAMES: usize = 512;
const BATCH: usize = 32;

/// A port under test, and one that feeds it.
struct Bench {
    name: &'static str,
    port: HostPort,
    feeder: LanPort,
    transmit_ns: Vec<f64>,
    receive_ns: Vec<f64>,
}

impl Bench {
    fn new(name: &'static str, port: HostPort, feeder: LanPort) -> Self {
        Self { name, port, feeder, transmit_ns: Vec::new(), receive_ns: Vec::new() }
    }

    fn round(&mut self, frame: &[u8]) -> Result<(), PortFault> {
        let start = MonotonicClock::now();
        send(&mut self.port, frame)?;
        self.transmit_ns.push(per_frame(start, FRAMES));
        self.feeder.receive(FRAMES * 2, |_| ())?;
        send(&mut self.feeder, frame)?;
        let start = MonotonicClock::now();
        let (mut taken, mut octets) = (0, 0usize);
        for _ in 0..FRAMES {
            taken += self.port.receive(BATCH, |frame| octets += frame.len())?;
            if taken >= FRAMES {
                break;
            }
        }
        std::hint::black_box(octets);
        if taken > 0 {
            self.receive_ns.push(per_frame(start, taken));
        }
        Ok(())
    }
}

fn per_frame(start: rt_core::time::Instant, frames: usize) -> f64 {
    let nanos = u32::try_from((MonotonicClock::now() - start).as_nanos()).unwrap_or(u32::MAX);
    f64::from(nanos) / f64::from(u32::try_from(frames).unwrap_or(u32::MAX))
}

fn send(port: &mut impl Port, frame: &[u8]) -> Result<(), PortFault> {
    for _ in 0..FRAMES / BATCH {
        for _ in 0..BATCH {
            port.transmit(frame.len(), |buffer| buffer.copy_from_slice(frame))?;
        }
        port.flush()?;
    }
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn lan_port(
    links: &mut Links,
    name: &str,
    receive: LanReceive,
    transmit: TransmitPath,
) -> Result<LanPort, Box<dyn Error>> {
    let index = links.by_name(name)?.index;
    links.set_mtu(index, MTU)?;
    links.set_up(index, true)?;
    let options = LanPortOptions { receive, transmit, ..LanPortOptions::new(index, MTU) };
    Ok(LanPort::open(&options)?)
}

fn benches() -> Result<Vec<Bench>, Box<dyn Error>> {
    let mut links = Links::open()?;
    let mut benches = Vec::new();
    let (generic, native) = (ReceivePath::XdpGeneric, ReceivePath::XdpNative);
    for (name, receive, transmit, ends) in [
        ("ring + sendmmsg", LanReceive::Ring, TransmitPath::Packet, ["p0", "p1"]),
        ("ring + AF_XDP", LanReceive::Ring, TransmitPath::Xdp, ["x0", "x1"]),
        ("AF_XDP generic", LanReceive::Only(generic), TransmitPath::Xdp, ["g0", "g1"]),
        ("AF_XDP native", LanReceive::Only(native), TransmitPath::Xdp, ["n0", "n1"]),
    ] {
        links.create_veth(ends[0], ends[1], None)?;
        let near = lan_port(&mut links, ends[0], receive, transmit)?;
        let far = lan_port(&mut links, ends[1], LanReceive::Ring, TransmitPath::Auto)?;
        benches.push(Bench::new(name, near.into(), far));
    }
    let tap = Tap::open("t0")?;
    let far = lan_port(&mut links, "t0", LanReceive::Ring, TransmitPath::Packet)?;
    benches.push(Bench::new("TAP", tap.into(), far));
    Ok(benches)
}

fn main() -> Result<(), Box<dyn Error>> {
    let octets = std::env::args().nth(1).map_or(Ok(64), |text| text.parse::<usize>())?;
    let mut frame = vec![0; octets.max(FRAME_OCTETS_MIN)];
    frame[..FRAME_OCTETS_MIN].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
    NetNs::create()?.enter()?;
    let mut benches = benches()?;
    // A veth's carrier comes a moment after both ends are up.
    rt_core::os::clock::sleep_until(
        MonotonicClock::now() + rt_core::time::Duration::from_millis(1_500),
    );
    for bench in &mut benches {
        // What the interfaces' coming up left pending.
        let _ = bench.port.receive(FRAMES, |_| ());
        let _ = bench.feeder.receive(FRAMES, |_| ());
    }
    for _ in 0..ROUNDS {
        for bench in &mut benches {
            bench.round(&frame).map_err(|fault| format!("{}: {fault}", bench.name))?;
        }
    }
    println!("{octets} octets, {ROUNDS} rounds of {FRAMES} frames, medians");
    println!(
        "{:<16} {:>12} {:>7} {:>12} {:>7}",
        "port", "transmit ns", "ratio", "receive ns", "ratio"
    );
    let mut first = None;
    for bench in &mut benches {
        let (out, inbound) = (median(&mut bench.transmit_ns), median(&mut bench.receive_ns));
        let (first_out, first_in) = *first.get_or_insert((out, inbound));
        let (ratio_out, ratio_in) = (out / first_out, inbound / first_in);
        println!("{:<16} {out:>12.0} {ratio_out:>7.2} {inbound:>12.0} {ratio_in:>7.2}", bench.name);
        let (port, feeder) = (bench.port.statistics(), bench.feeder.statistics());
        println!(
            "    sent {} lost {}, fed {} received {}",
            port.tx_frames, port.tx_dropped, feeder.tx_frames, port.rx_frames
        );
    }
    Ok(())
}
