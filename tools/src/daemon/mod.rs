//! The daemon.
//!
//! What happens at start, in this order; each step can fail with a message that names the key or
//! the interface and the remedy, and then everything before it is undone:
//!
//! 1. arguments and configuration
//! 2. signals are caught; the runtime folder is taken (a second instance ends here)
//! 3. what a former life left is read: the marker, the numbers
//! 4. LAN interfaces are waited for, if wanted, and claimed, ports opened, the host interface
//!    created or adopted
//! 5. memory: the LRE's tables, everything locked
//! 6. the `lre` thread starts, is read back from the kernel, and freezes
//! 7. NodeRebootInterval passes, where the numbers could not be continued
//! 8. the host interface goes up; `ready`
//!
//! At the end: the thread stops, the numbers are kept, the host interface goes, the LAN interfaces
//! are given back as they were.
//!
//! | Module | Holds |
//! |---|---|
//! | [`lre_thread`] | the thread that carries the frames |
//! | [`supervisor`], `status` | the control thread: links, signals, documents |
//! | [`exchange`], [`events`] | what the two share |
//! | `lan_watch`, `host_watch` | of the control thread: what it does about interfaces |
//! | [`host_interface`], [`lan_side`] | the interfaces |
//! | [`lan_start`] | the LANs' interfaces at start |
//! | [`lan_life`], [`lan_terms`] | pure: which interface is a LAN's, and what it has to be like |
//! | [`lre_clock`] | pure: the time that the LRE is told |
//! | [`regions`], `regions_only` | applications and their regions; a daemon with nothing else |
//! | [`marker`] | what is ours on this host, for after a crash |
//! | [`journal`], [`logger`] | events for people |
//! | [`thread_plan`] | the table of threads |
//! | `failure` | what a failed start says |

use std::io::Write;
use std::sync::Arc;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use prp::lre::memory::{LreMemory, LreSizes};
use prp::lre::{Block, Lre, NodeSlot};
use prp::os::claim::RCT_MTU_OCTETS;
use prp::os::host_port::HostPort;
use prp::os::lan_port::LanPort;
use prp::os::link::LinkMonitor;
use prp::port::PortStatistics;
use prp::types::{LanId, MacAddress};
use rt_core::limits::TRACE_SLOTS;
use rt_core::os::clock::{self, BootClock, MonotonicClock};
use rt_core::os::dma_latency::DmaLatency;
use rt_core::os::host::{self, HostTexts, Level, Needs};
use rt_core::os::memory;
use rt_core::os::thread::{RtThread, RtThreadPlan};
use rt_core::os::trace::shared_ring;
use rt_core::time::Instant;

use crate::args::DaemonArgs;
use crate::config::{DaemonConfig, ReceiveMode, jitter};
use crate::control::server::ControlServer;
use crate::exit::{ExitCode, Failure};
use crate::os::sequence_file::SequenceFile;
use crate::report::DaemonEvent;

pub mod events;
pub mod exchange;
mod failure;
pub mod host_interface;
mod host_watch;
pub mod journal;
pub mod lan_life;
pub mod lan_lock;
pub mod lan_side;
pub mod lan_start;
pub mod lan_terms;
mod lan_watch;
pub mod logger;
pub mod lre_clock;
pub mod lre_thread;
pub mod marker;
pub mod regions;
mod regions_only;
mod status;
pub mod supervisor;
#[cfg(test)]
mod test_values;
pub mod thread_plan;

use events::{EventReader, ThreadEvent, TraceSink};
use exchange::Exchange;
use host_interface::HostInterface;
use journal::Journal;
use lan_side::LanSide;
use lan_start::Found;
use lre_clock::LreClock;
use lre_thread::LreThread;
use marker::Marker;
use regions::Regions;
use supervisor::{NodeFetch, Supervisor};
use thread_plan::PlannedThread;

/// Heap that is touched at start, so that the control thread's allocations do not make the process
/// grow (and fault) later.
const HEAP_OCTETS: usize = 4 << 20;

/// Runs the daemon until SIGTERM, SIGINT or SIGHUP.
///
/// # Errors
/// Why it could not start, or ended.
pub fn run(args: DaemonArgs) -> Result<ExitCode, Failure> {
    let checked = args.into_config()?;
    let config = checked.config;
    let signals = catch_signals()?;
    let mut journal = Journal::new(config.name.as_str(), BootClock::now());
    for warning in &checked.warnings {
        journal.line("warning", &warning.to_string());
    }
    let degraded = stored_jitter(&config, &journal);
    if let (None, Some(regions)) = (&config.lans, &config.regions) {
        return regions_only::run(&config, regions, journal, &signals, degraded);
    }
    let lre_plan = thread_plan::lre(&config, &host::isolated_cpus());
    thread_plan::check(std::slice::from_ref(&lre_plan))?;
    let mut server = ControlServer::bind(&config.runtime_dir, &config.socket_group)?;
    let regions = config.regions.as_ref();
    let now = BootClock::now();
    let regions = regions.map(|it| Regions::start(&config, it, &mut journal, now)).transpose()?;
    let mut start = Start { config, journal, regions, lre_plan: lre_plan.plan, degraded };
    let mut monitor = LinkMonitor::open().map_err(failure::link)?;
    let marker = Marker::open(&start.config.runtime_dir);
    let found = lan_start::find(&start.config, &marker, &signals, &mut monitor)?;
    let Some(found) = found else { return Ok(ExitCode::Fine) };
    let mut interfaces = start.interfaces(marker, found)?;
    match start.threads(&mut interfaces) {
        Ok(threads) => {
            let mut running = start.go(interfaces, threads)?;
            running.supervisor.run(&signals, &mut monitor, &mut server);
            let failure = running.supervisor.failure.take();
            running.stop();
            failure.map_or(Ok(ExitCode::Fine), Err)
        }
        Err(failure) => {
            interfaces.give_back(&start.journal);
            Err(failure)
        }
    }
}

/// What speaks against the stored J, for the log and for who asks: timers that rest on it do not
/// hold then.
fn stored_jitter(config: &DaemonConfig, journal: &Journal) -> Vec<String> {
    let warnings = jitter::warnings(config.jitter.as_ref());
    let said: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    for warning in &said {
        journal.line("warning", warning);
    }
    said
}

/// Signals come through a descriptor: to the control thread, and to no other.
fn catch_signals() -> Result<SignalFd, Failure> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTERM);
    set.add(Signal::SIGINT);
    // The terminal is closed: nobody is there to stop us later.
    set.add(Signal::SIGHUP);
    set.thread_block()
        .and_then(|()| SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC))
        .map_err(|errno| Failure::failed(format!("signals cannot be caught: {errno}"), ""))
}

struct Start {
    config: DaemonConfig,
    journal: Journal,
    regions: Option<Regions>,
    lre_plan: RtThreadPlan,
    degraded: Vec<String>,
}

/// The interfaces, ours now.
struct Interfaces {
    mac: MacAddress,
    marker: Marker,
    lans: [LanSide; 2],
    ports: [Option<Box<LanPort>>; 2],
    host: HostInterface,
    host_port: Option<HostPort>,
}

impl Interfaces {
    fn give_back(self, journal: &Journal) {
        // Ports first: who holds an interface keeps it busy.
        drop((self.ports, self.host_port));
        give_back(self.host, self.lans, self.marker, journal);
    }
}

/// Leaves the host as it was found. Each step that fails is told and the next one taken.
fn give_back(host: HostInterface, lans: [LanSide; 2], marker: Marker, journal: &Journal) {
    if let Err(why) = host.remove() {
        journal.line("warning", &format!("host interface not removed: {why}"));
    }
    give_back_lans(lans, journal);
    if let Err(error) = marker.remove() {
        journal.line("warning", &format!("marker not removed: {error}"));
    }
}

fn give_back_lans(lans: impl IntoIterator<Item = LanSide>, journal: &Journal) {
    for mut side in lans {
        for warning in side.give_back() {
            journal.line("warning", &warning.to_string());
        }
    }
}

/// The running `lre` thread and the control thread's ends of what they share.
struct Threads {
    lre: RtThread<LreThread>,
    exchange: Arc<Exchange>,
    trace: EventReader,
    dma_latency: Option<DmaLatency>,
    silent_until: Instant,
}

struct Running {
    supervisor: Supervisor,
    lre: RtThread<LreThread>,
    _dma_latency: Option<DmaLatency>,
}

impl Start {
    /// Step 4.
    fn interfaces(
        &mut self,
        mut marker: Marker,
        found: [Option<Found>; 2],
    ) -> Result<Interfaces, Failure> {
        let mac = lan_start::node_mac(&self.config, &marker, &found);
        lan_start::give_back_rest(&marker, &found, &self.journal);
        // What a former life left stays on record, whatever fails here.
        let before = marker.owned.clone();
        let mut lans = LanId::BOTH.map(|lan| LanSide::absent(lan, &self.config));
        let mut ports = [None, None];
        match self.open(&mut lans, &mut ports, found, &mut marker, mac) {
            Ok((host, host_port)) => {
                let host_port = Some(host_port);
                Ok(Interfaces { mac, marker, lans, ports, host, host_port })
            }
            Err(failure) => {
                drop(ports);
                let taken = LanId::BOTH.into_iter().filter(|lan| lans[lan.index()].claim.is_some());
                let taken: Vec<_> = taken.collect();
                give_back_lans(lans, &self.journal);
                let _ = marker.go_back_to(before, &taken);
                Err(failure)
            }
        }
    }

    fn open(
        &mut self,
        lans: &mut [LanSide; 2],
        ports: &mut [Option<Box<LanPort>>; 2],
        found: [Option<Found>; 2],
        marker: &mut Marker,
        mac: MacAddress,
    ) -> Result<(HostInterface, HostPort), Failure> {
        for ((side, port), found) in lans.iter_mut().zip(ports).zip(found) {
            if let Some(Found { name, originals }) = found {
                *port = Some(side.open(&name, &self.config, marker, mac, originals)?);
            }
        }
        let mtu = self.host_mtu(lans);
        HostInterface::open(&self.config, marker, mac, mtu)
    }

    /// The host's MTU: as configured, or what the LANs leave of it.
    fn host_mtu(&mut self, lans: &[LanSide; 2]) -> u32 {
        let wanted = u32::from(self.config.host.mtu);
        let carried = lans.iter().filter_map(|side| side.claim.as_ref()).map(|claim| claim.mtu);
        let room = carried.min().unwrap_or(0).saturating_sub(RCT_MTU_OCTETS);
        if room < wanted {
            self.degraded.push(format!(
                "the host interface has an MTU of {room} instead of {wanted}, because a LAN \
                 interface carries no {} octets: use network cards that do, or set host_mtu to \
                 {room}",
                wanted + RCT_MTU_OCTETS
            ));
        }
        wanted.min(room)
    }

    /// Steps 5 and 6.
    fn threads(&mut self, interfaces: &mut Interfaces) -> Result<Threads, Failure> {
        let _ = memory::tune_allocator();
        memory::warm_heap(HEAP_OCTETS);
        let exchange = Exchange::new()
            .map_err(|error| Failure::failed(format!("out of descriptors: {error}"), ""))?;
        let exchange = Arc::new(exchange);
        let (writer, trace) = shared_ring::<ThreadEvent, TRACE_SLOTS>();
        let (thread, silent_until) =
            self.lre_thread(interfaces, Arc::clone(&exchange), TraceSink(writer))?;
        self.look_at_host();
        if let Err(error) = memory::lock_all() {
            self.missing(failure::lock(&error))?;
        }
        let dma_latency = self.dma_latency()?;
        let spawned = RtThread::spawn(self.lre_plan.clone(), move || thread.run());
        let lre = spawned.map_err(|error| failure::thread(&error))?;
        let report = lre.report();
        self.journal.line("info", &format!("thread {report}"));
        self.degraded.extend(report.shortfalls.iter().map(ToString::to_string));
        Ok(Threads { lre, exchange, trace, dma_latency, silent_until })
    }

    /// Says what about this host costs time; a busy thread that is throttled loses frames.
    fn look_at_host(&mut self) {
        let is_busy = self.config.receive_mode == ReceiveMode::Busy;
        let thread = PlannedThread { plan: self.lre_plan.clone(), is_busy }.for_host();
        let needs = Needs { threads: vec![thread], process_runs: true, ..Needs::default() };
        let findings = host::findings(&HostTexts::read(None), &needs);
        let grave = || findings.iter().filter(|finding| finding.level >= Level::Warning);
        for finding in grave() {
            if finding.id == host::THROTTLING && is_busy {
                self.degraded.push(finding.to_string());
            } else {
                let mut short = finding.clone();
                short.remedies.clear();
                self.journal.line("info", &format!("host: {short}"));
            }
        }
        if grave().next().is_some() {
            let hint =
                "host: `bumpless doctor` says what to do about it, and shows more".to_owned();
            self.journal.line("info", &hint);
        }
    }

    /// What cannot be had is fatal, unless degraded running was allowed.
    fn missing(&mut self, failure: Failure) -> Result<(), Failure> {
        if !self.config.allow_non_rt {
            return Err(failure);
        }
        self.degraded.push(failure.message);
        Ok(())
    }

    fn dma_latency(&mut self) -> Result<Option<DmaLatency>, Failure> {
        let Some(microseconds) = self.config.cpu_dma_latency_us else { return Ok(None) };
        match DmaLatency::hold(microseconds) {
            Ok(held) => Ok(Some(held)),
            Err(error) => {
                let message = format!("cpu_dma_latency_us: {error}");
                self.missing(Failure::missing(message, "or leave the key out"))?;
                Ok(None)
            }
        }
    }

    fn lre_thread(
        &mut self,
        interfaces: &mut Interfaces,
        exchange: Arc<Exchange>,
        sink: TraceSink,
    ) -> Result<(LreThread, Instant), Failure> {
        let now = BootClock::now();
        let boot_id = clock::boot_id().unwrap_or_default();
        let (sequence_file, start) = SequenceFile::open(&self.config.runtime_dir, &boot_id, now)
            .map_err(|error| failure::marker(&error))?;
        if now < start.silent_until {
            let ms = status::SILENCE_MS;
            self.journal.line(
                "info",
                &format!("no number to continue from: silent for {ms} ms (NodeRebootInterval)"),
            );
        }
        let host = interfaces.host_port.take();
        let host = host.ok_or_else(|| Failure::failed("the host port is in use already", ""))?;
        let lre = Lre::new(
            interfaces.mac,
            self.config.lre,
            lre_memory(self.config.node_table_size),
            secret()?,
            start,
            now,
            sink,
        );
        let thread = LreThread {
            lre,
            lans: std::mem::take(&mut interfaces.ports),
            host,
            receive_mode: self.config.receive_mode,
            exchange,
            clock: LreClock::new(now, clock::suspended()),
            sequence_file,
            retired: [PortStatistics::default(); 2],
            export_from: None,
            waits: 0,
            faults_before: [0; 2],
            full_batches: 0,
            host_gone: false,
        };
        Ok((thread, start.silent_until))
    }

    /// Steps 7 and 8.
    fn go(mut self, interfaces: Interfaces, threads: Threads) -> Result<Running, Failure> {
        let now = BootClock::now();
        for reason in &self.degraded {
            self.journal.daemon(now, &DaemonEvent::Degraded(reason.clone()));
        }
        self.journal.daemon(now, &DaemonEvent::Started);
        let Interfaces { mac, marker, lans, host, .. } = interfaces;
        let lent = lans.each_ref().map(|side| side.claim.is_some());
        for paths in lans.iter().filter_map(LanSide::paths) {
            self.journal.line("info", &paths);
        }
        let mut supervisor = Supervisor {
            config: self.config,
            mac,
            marker,
            host,
            lans,
            lre_tid: threads.lre.report().tid,
            exchange: threads.exchange,
            trace: threads.trace,
            journal: self.journal,
            regions: self.regions,
            degraded: self.degraded,
            carrier: false,
            nodes: NodeFetch::default(),
            told: [None; 2],
            lent,
            look_due: true,
            mend_due: false,
            mend_from: now,
            suspended: clock::suspended(),
            failure: None,
        };
        if now < threads.silent_until {
            // What the host sends during the silence would be lost: it sees no carrier so long.
            supervisor.set_carrier();
            clock::sleep_until(MonotonicClock::now() + threads.silent_until.since(now));
        }
        supervisor.begin(BootClock::now());
        let up = supervisor.host.set_up();
        let running = Running { supervisor, lre: threads.lre, _dma_latency: threads.dma_latency };
        if let Err(failure) = up {
            running.stop();
            return Err(failure);
        }
        ready();
        Ok(running)
    }
}

/// Tells whoever started us: a line on stdout, and systemd.
fn ready() {
    let mut stdout = std::io::stdout().lock();
    // A closed stdout is nobody's problem.
    let _ = writeln!(stdout, "ready").and_then(|()| stdout.flush());
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
}

impl Running {
    /// Ends in order. Nothing here is fatal: each step that fails is told and the next one taken.
    fn stop(self) {
        let Supervisor { exchange, journal, host, lans, marker, .. } = self.supervisor;
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        exchange.stop();
        match self.lre.join() {
            Ok(thread) => {
                if let Err(error) = thread.sequence_file.close() {
                    journal.line("warning", &format!("sequence number not kept: {error}"));
                }
                drop((thread.lans, thread.host));
            }
            Err(panic) => journal.line("alarm", &panic.to_string()),
        }
        give_back(host, lans, marker, &journal);
    }
}

/// The LRE's tables: for the life of the process, touched here.
fn lre_memory(nodes: usize) -> LreMemory<'static> {
    let sizes = LreSizes::for_nodes(nodes);
    LreMemory {
        nodes: vec![NodeSlot::FREE; sizes.nodes].leak(),
        node_buckets: vec![u32::MAX; sizes.node_buckets].leak(),
        blocks: vec![Block::FREE; sizes.blocks].leak(),
        block_buckets: vec![u32::MAX; sizes.block_buckets].leak(),
    }
}

/// A number that no sender knows, for the hashes.
fn secret() -> Result<u64, Failure> {
    let mut octets = [0; 8];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| std::io::Read::read_exact(&mut source, &mut octets))
        .map_err(|error| {
            Failure::failed(format!("/dev/urandom: {error}"), "make the device available")
        })?;
    Ok(u64::from_ne_bytes(octets))
}
