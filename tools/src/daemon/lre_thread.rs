//! The `lre` thread: host and LANs on one side, the LRE on the other.
//!
//! Each turn takes at most one batch from each port, so that a storm on one LAN costs the other
//! ports one batch of delay and never their turn. A turn without work ends in the one wait. After
//! its start the thread allocates nothing, takes no lock and logs nothing.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeSpec;
use prp::lre::{Fate, Lre, Outgoing};
use prp::os::host_port::HostPort;
use prp::os::lan_port::LanPort;
use prp::port::{Port, PortFault, PortStatistics};
use prp::types::{LanId, PortId};
use rt_core::limits::BATCH_FRAMES;
use rt_core::os::clock::{self, BootClock};
use rt_core::os::freeze;
use rt_core::time::{Duration, Instant};

use super::events::{ThreadEvent, TraceSink};
use super::exchange::{Command, Exchange, Figures, Reply};
use super::lre_clock::{Counts, LreClock};
use crate::config::ReceiveMode;
use crate::os::sequence_file::SequenceFile;

/// Slots of the node table that are looked at in one turn while it is being exported.
const EXPORT_SLOTS: usize = 128;
/// Figures are published before each wait and at least once in so many turns, so that single frames
/// seldom wait for some fifty stores.
const TURNS_PER_PUBLICATION: u32 = 32;
/// A host that fills so many batches in a row, a thousand frames without a pause, sends in bulk: it
/// is no burst of a cycle, nor what waited while a thread was held up.
const BULK_AFTER_BATCHES: u32 = 16;
/// A pause of the thread that people are told of: half of what a copy may come later than its twin
/// by default.
const PAUSE_TOLD: Duration = Duration::from_millis(200);
/// The wait while the control thread has to make room for the export to go on.
const EXPORT_PAUSE: Duration = Duration::from_millis(1);

/// Everything the thread owns.
#[derive(Debug)]
pub struct LreThread {
    /// The LRE.
    pub lre: Lre<'static, TraceSink>,
    /// The LAN ports; none where the interface is gone.
    pub lans: [Option<Box<LanPort>>; 2],
    /// The host port.
    pub host: HostPort,
    /// How to wait.
    pub receive_mode: ReceiveMode,
    /// What the LRE is told of the time.
    pub clock: LreClock,
    /// What is shared with the control thread.
    pub exchange: Arc<Exchange>,
    /// Where the next numbers are kept for the next life.
    pub sequence_file: SequenceFile,
    /// Figures of ports that are no longer used.
    pub retired: [PortStatistics; 2],
    /// Where the export of the node table goes on.
    pub export_from: Option<usize>,
    /// How often the thread waited.
    pub waits: u64,
    /// Page faults before the thread began its work; see [`Figures`].
    pub faults_before: [u64; 2],
    /// How many batches in a row the host has filled.
    pub full_batches: u32,
    /// The host interface was deleted: the control thread ends the daemon.
    pub host_gone: bool,
}

impl LreThread {
    /// Runs until told to stop; gives everything back, so that it is closed elsewhere.
    pub fn run(mut self) -> Self {
        self.faults_before = page_faults();
        let frozen = freeze::freeze_this_thread();
        let mut boot = BootClock::now();
        let mut idle_since = self.clock.at(boot);
        let mut unpublished = 0;
        self.clock.expect(boot);
        loop {
            boot = BootClock::now();
            if self.clock.is_late(boot) {
                self.judge_pause(boot);
            }
            // Without a wait the next turn follows at once.
            self.clock.expect(boot);
            let now = self.clock.at(boot);
            let frames = self.turn(now);
            self.obey(now);
            if self.exchange.is_stopping() {
                break;
            }
            unpublished += 1;
            if frames > 0 {
                idle_since = now;
            }
            let waits = self.may_wait(now, frames, idle_since);
            if waits || unpublished >= TURNS_PER_PUBLICATION {
                self.publish();
                unpublished = 0;
            }
            if waits {
                self.wait(now, boot);
            }
        }
        self.publish();
        drop(frozen);
        self
    }

    /// The thread did not run for a while. What came meanwhile waits in the ports, if there was
    /// room for all of it.
    #[cold]
    fn judge_pause(&mut self, boot: Instant) {
        let lost = |port: &LanPort| port.statistics().rx_dropped;
        let mut missed = false;
        for port in self.lans.iter_mut().flatten() {
            let before = lost(port);
            port.refresh_statistics();
            missed |= lost(port) != before;
        }
        let pause = self.clock.judge(boot, clock::suspended(), missed);
        let now = self.clock.at(boot);
        if pause.counts != Counts::Not {
            self.lre.resume(now);
        }
        // The control thread tells when the machine slept.
        if pause.counts != Counts::Slept && pause.length >= PAUSE_TOLD {
            let missed = pause.counts == Counts::Missed;
            let event = ThreadEvent::Paused { length: pause.length, missed };
            self.lre.events_mut().0.push(now, &event);
        }
    }

    /// One batch from each port, and what is due. Returns how many frames were handled.
    ///
    /// The host comes last: what its stack answers while it takes a frame goes out in this turn.
    fn turn(&mut self, now: Instant) -> usize {
        let mut frames = 0;
        for lan in LanId::BOTH {
            frames += self.pump_lan(now, lan);
        }
        frames += self.pump_host(now);
        self.send_supervision(now);
        self.lre.service(now);
        frames
    }

    /// Host to LANs.
    ///
    /// Frames leave one by one, the copy for LAN B right behind that for LAN A. Sent LAN by LAN,
    /// the copies of a batch's frames would be up to a batch apart, and a peer whose discard is a
    /// window over the numbers (that of Linux before 7.0) takes a number that LAN A lost for one it
    /// has seen as soon as a later one came on A: it drops the good copy from B.
    ///
    /// The price is two system calls a frame, half of what a core carries. So a host that has
    /// filled [`BULK_AFTER_BATCHES`] batches without a pause has the next ones sent together. At
    /// such a rate no network keeps copies side by side. A batch that is not full ends it.
    fn pump_host(&mut self, now: Instant) -> usize {
        let Self { lre, lans, host, sequence_file, full_batches, .. } = self;
        let one_by_one = *full_batches < BULK_AFTER_BATCHES;
        let taken = host.receive(BATCH_FRAMES, |frame| {
            let outgoing = lre.receive_host(now, frame);
            send(lre, lans, frame, outgoing);
            if one_by_one {
                sequence_file.store(lre.next_sequence_numbers());
                flush(lans);
            }
        });
        if taken == Err(PortFault::Gone) {
            self.host_gone = true;
        }
        let frames = taken.unwrap_or(0);
        *full_batches = if frames == BATCH_FRAMES { full_batches.saturating_add(1) } else { 0 };
        if frames > 0 && !one_by_one {
            sequence_file.store(lre.next_sequence_numbers());
            flush(lans);
        }
        frames
    }

    /// One LAN to the host.
    fn pump_lan(&mut self, now: Instant, lan: LanId) -> usize {
        let Self { lre, lans, host, .. } = self;
        let Some(port) = lans[lan.index()].as_deref_mut() else { return 0 };
        let taken = port.receive(BATCH_FRAMES, |frame| {
            if let Fate::Deliver { octets } = lre.receive_lan(now, lan, frame)
                && let Some(frame) = frame.get(..octets)
            {
                // A host that takes no more loses the frame; the port counts it.
                let _ = host.transmit_frame(frame);
            }
        });
        let _ = host.flush();
        match taken {
            Ok(frames) => frames,
            Err(PortFault::Gone) => {
                self.retire(now, lan);
                0
            }
            // Down: frames come again when it is up; the control thread watches the link.
            Err(_) => 0,
        }
    }

    fn send_supervision(&mut self, now: Instant) {
        if let Some(supervision) = self.lre.poll_supervision(now) {
            let Self { lre, lans, .. } = self;
            send(lre, lans, supervision.frame(), supervision.outgoing);
            self.sequence_file.store(self.lre.next_sequence_numbers());
            flush(&mut self.lans);
        }
    }

    /// Stops using a LAN port and hands it to the control thread.
    fn retire(&mut self, now: Instant, lan: LanId) {
        if let Some(port) = self.lans[lan.index()].take() {
            self.lre.events_mut().0.push(now, &ThreadEvent::PortGone(lan));
            self.give_back(lan, port);
        }
    }

    fn give_back(&mut self, lan: LanId, port: Box<LanPort>) {
        let retired = &mut self.retired[lan.index()];
        *retired = sum(*retired, port.statistics());
        // Closing here would cost time and free memory: rather leave the port open for good than
        // do that, should the queue ever be full.
        if let Err(Reply::Retired(_, port)) = self.exchange.replies.push(Reply::Retired(lan, port))
        {
            std::mem::forget(port);
        }
        self.exchange.wake_control.signal();
    }

    /// Does what the control thread asked for.
    fn obey(&mut self, now: Instant) {
        while let Some(command) = self.exchange.commands.pop() {
            match command {
                Command::ReplaceLan(lan, port) => {
                    if let Some(old) = std::mem::replace(&mut self.lans[lan.index()], port) {
                        self.give_back(lan, old);
                    }
                }
                Command::SetLink(lan, up) => self.lre.set_link(lan, up),
                Command::SetMtu(lan, mtu) => {
                    if let Some(port) = self.lans[lan.index()].as_deref_mut() {
                        port.set_mtu(mtu);
                    }
                }
                Command::RefreshStatistics => self.refresh_statistics(),
                Command::ExportNodes => self.export_from = Some(0),
            }
        }
        if let Some(cursor) = self.export_from {
            self.export_nodes(now, cursor);
        }
    }

    fn refresh_statistics(&mut self) {
        for port in self.lans.iter_mut().flatten() {
            port.refresh_statistics();
        }
        self.host.refresh_statistics();
    }

    fn export_nodes(&mut self, now: Instant, cursor: usize) {
        let replies = &self.exchange.replies;
        self.export_from = self.lre.export_nodes(now, cursor, EXPORT_SLOTS, |node| {
            // Some room is left for ports that come back.
            replies.len() + 8 < replies.capacity() && replies.push(Reply::Node(node)).is_ok()
        });
        if self.export_from.is_none() && replies.push(Reply::NodesEnd).is_err() {
            // Again from beyond the end: nothing but the end mark is left.
            self.export_from = Some(usize::MAX);
        }
        self.exchange.wake_control.signal();
    }

    fn publish(&mut self) {
        let lan = |lan: LanId| {
            let port = self.lans[lan.index()].as_deref().map(Port::statistics);
            sum(self.retired[lan.index()], port.unwrap_or_default())
        };
        let mut ports = [PortStatistics::default(); 3];
        ports[PortId::A.index()] = lan(LanId::A);
        ports[PortId::B.index()] = lan(LanId::B);
        ports[PortId::C.index()] = self.host.statistics();
        self.exchange.publish(&Figures {
            lre: self.lre.counters(),
            alarms: self.lre.alarms(),
            sequence_number: self.lre.next_sequence_numbers().0,
            ports,
            waits: self.waits,
            faults_before: self.faults_before,
            held: self.clock.held(),
        });
    }

    /// Whether to wait after a turn that handled `frames`.
    fn may_wait(&self, now: Instant, frames: usize, idle_since: Instant) -> bool {
        match self.receive_mode {
            // Each port gave less than its batch: it was found empty, and the wait ends at once if
            // it is not any more.
            ReceiveMode::Block => frames < BATCH_FRAMES,
            ReceiveMode::Adaptive { spin } => frames == 0 && now.since(idle_since) >= spin,
            ReceiveMode::Busy => {
                std::hint::spin_loop();
                false
            }
        }
    }

    /// The one wait: for a port, for the control thread, or until something is due.
    fn wait(&mut self, now: Instant, boot: Instant) {
        let mut left = self.lre.next_timeout().since(now);
        if self.export_from.is_some() {
            left = left.min(EXPORT_PAUSE);
        }
        self.clock.expect(boot + left);
        let [a, b] = &self.lans;
        let wake = self.exchange.wake_lre.as_fd();
        let mut waits =
            [wake, self.host.as_fd(), lan_fd(a.as_deref(), wake), lan_fd(b.as_deref(), wake)]
                .map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let _ = ppoll(&mut waits, Some(timeout(left)), None);
        let fault = |at: usize| {
            waits[at].revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
        };
        let (woken, faults) = (waits[0].any() == Some(true), [fault(2), fault(3)]);
        self.waits += 1;
        if woken {
            self.exchange.wake_lre.clear();
        }
        for lan in LanId::BOTH {
            if faults[lan.index()] {
                self.look_at_fault(lan);
            }
        }
    }

    /// A port that reports an error would end each wait at once, until the error is taken.
    fn look_at_fault(&mut self, lan: LanId) {
        let fault = self.lans[lan.index()].as_deref_mut().map(LanPort::take_fault);
        if fault == Some(Err(PortFault::Gone)) {
            self.retire(self.clock.at(BootClock::now()), lan);
        }
    }
}

/// The calling thread's page faults so far, without I/O and with.
fn page_faults() -> [u64; 2] {
    // Fails only for an argument that does not exist.
    getrusage(UsageWho::RUSAGE_THREAD).map_or([0; 2], |usage| {
        [usage.minor_page_faults(), usage.major_page_faults()]
            .map(|count| u64::try_from(count).unwrap_or(0))
    })
}

/// What to wait for on a LAN: without a port, the wake-up descriptor once more.
fn lan_fd<'a>(port: Option<&'a LanPort>, wake: BorrowedFd<'a>) -> BorrowedFd<'a> {
    port.map_or(wake, AsFd::as_fd)
}

/// Sends what the LAN ports have taken.
fn flush(lans: &mut [Option<Box<LanPort>>; 2]) {
    for port in lans.iter_mut().flatten() {
        // The port counts what it could not send; a fault shows when it receives.
        let _ = port.flush();
    }
}

/// Sends a frame as the LRE says.
fn send(
    lre: &mut Lre<'static, TraceSink>,
    lans: &mut [Option<Box<LanPort>>; 2],
    frame: &[u8],
    outgoing: Outgoing,
) {
    match outgoing {
        Outgoing::Tagged { room, rct } => {
            for lan in LanId::BOTH {
                let Some(port) = lans[lan.index()].as_deref_mut() else { continue };
                let sent = port.transmit(room.total_octets(), |buffer| {
                    room.emit(frame, rct[lan.index()], buffer);
                });
                if sent.is_ok() {
                    lre.transmitted(lan);
                }
            }
        }
        Outgoing::Untagged { lan } => {
            if let Some(port) = lans[lan.index()].as_deref_mut() {
                // The port counts what it cannot take.
                let _ = port.transmit_frame(frame);
            }
        }
        Outgoing::Nothing(_) => {}
    }
}

fn sum(a: PortStatistics, b: PortStatistics) -> PortStatistics {
    PortStatistics {
        rx_frames: a.rx_frames + b.rx_frames,
        rx_dropped: a.rx_dropped + b.rx_dropped,
        rx_merged: a.rx_merged + b.rx_merged,
        rx_checksums_completed: a.rx_checksums_completed + b.rx_checksums_completed,
        tx_frames: a.tx_frames + b.tx_frames,
        tx_dropped: a.tx_dropped + b.tx_dropped,
    }
}

fn timeout(span: Duration) -> TimeSpec {
    // An hour is as good as never: superfluous turns are harmless.
    let ns = span.as_nanos().min(3_600_000_000_000);
    std::time::Duration::from_nanos(ns).into()
}
