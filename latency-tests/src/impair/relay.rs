//! The loop: one thread takes frames from all interfaces, asks the lanes, and sends what is due.
//!
//! One thread, because then "nothing leaves after the answer to `cut`" and "the counters add up"
//! are true without a lock, and because one is fast enough by a wide margin.

use std::io;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags};
use rt_core::time::{Duration, Instant};

use super::command::{Command, Direction, Reply};
use super::counters::{Counters, LaneReport};
use super::decide::{Copy, Fate, Flips, Lane};
use super::port::{Frame, OpenError, Port, Ready};
use super::queue::{Bounds, Queue};
use super::random::lane_key;
use super::server::Server;
use super::settings::Settings;
use crate::os::clock;
use crate::os::packet::{BATCH_FRAMES, Inbox, Offload};
use crate::os::wait::{EndSignals, wait};

/// How often interfaces are looked after: a deleted one is found again under its name.
const CARE_INTERVAL: Duration = Duration::from_millis(200);

/// Interfaces of all pairs, sockets, lanes.
#[derive(Debug)]
pub struct Relay {
    pairs: Vec<Pair>,
    inbox: Inbox,
    copies: Vec<Copy>,
    ready: Vec<Ready>,
    care_at: Instant,
}

#[derive(Debug)]
struct Pair {
    ports: [Port; 2],
    lanes: [LaneState; 2],
}

#[derive(Debug)]
struct LaneState {
    lane: Lane,
    queue: Queue<Frame>,
    counters: Counters,
}

impl Relay {
    /// Opens both interfaces of each pair. `bounds` are for the queue of each direction.
    ///
    /// # Errors
    /// [`OpenError`] for the first interface that cannot be opened.
    pub fn open(pairs: &[[String; 2]], seed: u64, bounds: Bounds) -> Result<Self, OpenError> {
        let pairs = pairs.iter().zip(0..).map(|(names, pair)| {
            let [first, second] = names;
            let lane = |backward| LaneState {
                lane: Lane::new(lane_key(seed, pair, backward)),
                queue: Queue::new(bounds),
                counters: Counters::default(),
            };
            Ok(Pair {
                ports: [Port::open(first)?, Port::open(second)?],
                lanes: [lane(false), lane(true)],
            })
        });
        Ok(Self {
            pairs: pairs.collect::<Result<_, _>>()?,
            inbox: Inbox::default(),
            copies: Vec::new(),
            ready: Vec::new(),
            care_at: Instant::ORIGIN,
        })
    }

    /// Forwards until a signal comes or a client says `quit`.
    ///
    /// # Errors
    /// The system's, when waiting itself fails.
    pub fn run(&mut self, server: &mut Server, signals: &EndSignals) -> io::Result<()> {
        /// Rounds between two looks at control and signals while frames keep coming.
        const ROUNDS_BUSY_MAX: u32 = 8;
        loop {
            let mut rounds = 0;
            while self.turn() && rounds < ROUNDS_BUSY_MAX {
                rounds += 1;
            }
            let mut quit = false;
            server.serve(|command| {
                quit |= matches!(command, Command::Quit {});
                self.carry_out(command)
            });
            if quit || signals.came() {
                return Ok(());
            }
            if rounds < ROUNDS_BUSY_MAX {
                self.rest(server, signals)?;
            }
        }
    }

    /// Waits until there is something to do.
    fn rest(&self, server: &Server, signals: &EndSignals) -> io::Result<()> {
        let mut descriptors = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        descriptors.extend(server.descriptors());
        let ports = self.pairs.iter().flat_map(|pair| &pair.ports);
        descriptors.extend(ports.filter_map(Port::descriptor));
        let lanes = self.pairs.iter().flat_map(|pair| &pair.lanes);
        let next = lanes.filter_map(|state| state.queue.next_instant()).min();
        wait(&mut descriptors, next.unwrap_or(Instant::FAR_FUTURE).min(self.care_at))?;
        Ok(())
    }

    /// One round over all lanes: one batch per interface comes in, and what is due leaves. True
    /// when anything moved.
    fn turn(&mut self) -> bool {
        if clock::now() >= self.care_at {
            self.care_at = clock::now() + CARE_INTERVAL;
            for port in self.pairs.iter_mut().flat_map(|pair| &mut pair.ports) {
                port.care();
            }
        }
        let mut moved = false;
        for Pair { ports: [first, second], lanes: [forward, backward] } in &mut self.pairs {
            for (from, to, state) in [(&*first, &*second, forward), (&*second, &*first, backward)] {
                let received = from.receive(&mut self.inbox, &mut state.counters);
                // Read behind the receiving: a delay may be longer than asked for, never shorter.
                let now = clock::now();
                moved |= received | state.send_due(now, to, &mut self.ready, &self.inbox);
                if received {
                    for index in 0..self.inbox.len() {
                        state.take(index, &self.inbox, now, &mut self.copies, &mut self.ready);
                    }
                    to.send(&self.inbox, &mut self.ready, &mut state.counters);
                }
            }
        }
        moved
    }

    /// Carries a command out.
    pub fn carry_out(&mut self, command: Command) -> Reply {
        match command {
            Command::Counters {} | Command::Quit {} => Reply::lanes(self.report()),
            Command::Set { pair, direction, impair } => self.each(pair, |pair| {
                pair.lanes(direction).for_each(|state| state.lane.set((*impair).clone()));
                Ok(())
            }),
            Command::Clear { pair, direction } => self.each(pair, |pair| {
                pair.lanes(direction).for_each(|state| state.lane.set(Settings::default()));
                pair.mend(direction)
            }),
            Command::Cut { pair, direction, carrier } => {
                self.each(pair, |pair| pair.cut(direction, carrier))
            }
            Command::Restore { pair, direction } => self.each(pair, |pair| pair.mend(direction)),
        }
    }

    fn each(
        &mut self,
        pair: Option<usize>,
        mut change: impl FnMut(&mut Pair) -> io::Result<()>,
    ) -> Reply {
        let count = self.pairs.len();
        let pairs = match pair {
            None => &mut self.pairs[..],
            Some(index) => match self.pairs.get_mut(index) {
                Some(pair) => std::slice::from_mut(pair),
                None => return Reply::refused(format!("no pair {index}: there are {count}")),
            },
        };
        // Every pair is changed, whatever is refused for one of them.
        let results: Vec<io::Result<()>> = pairs.iter_mut().map(&mut change).collect();
        results
            .into_iter()
            .collect::<io::Result<()>>()
            .map_or_else(Reply::refused, |()| Reply::done())
    }

    /// The account of all lanes.
    pub fn report(&mut self) -> Vec<LaneReport> {
        let mut reports = Vec::new();
        for (pair, number) in self.pairs.iter_mut().zip(0..) {
            for (state, from) in pair.lanes.iter().zip(0..) {
                let kernel_dropped = pair.ports[from].kernel_dropped();
                let wire_dropped = pair.ports[1 - from].transmit_dropped();
                let queued = u64::try_from(state.queue.len()).unwrap_or(u64::MAX);
                reports.push(LaneReport {
                    pair: number,
                    from: pair.ports[from].name.clone(),
                    to: pair.ports[1 - from].name.clone(),
                    is_cut: state.lane.is_cut(),
                    counters: Counters { queued, kernel_dropped, wire_dropped, ..state.counters },
                });
            }
        }
        reports
    }
}

impl Pair {
    fn lanes(&mut self, direction: Direction) -> impl Iterator<Item = &mut LaneState> {
        let wanted = [direction != Direction::Backward, direction != Direction::Forward];
        self.lanes.iter_mut().zip(wanted).filter_map(|(state, wanted)| wanted.then_some(state))
    }

    fn cut(&mut self, direction: Direction, carrier: bool) -> io::Result<()> {
        for state in self.lanes(direction) {
            state.lane.set_cut(true);
            state.counters.cut += u64::try_from(state.queue.clear()).unwrap_or(u64::MAX);
        }
        if carrier {
            self.ports.iter_mut().try_for_each(Port::pull)?;
        }
        Ok(())
    }

    /// Mends a cut; a pulled cable is plugged in again in both directions.
    fn mend(&mut self, direction: Direction) -> io::Result<()> {
        self.lanes(direction).for_each(|state| state.lane.set_cut(false));
        self.ports.iter_mut().try_for_each(Port::plug_in)
    }
}

impl LaneState {
    /// Decides about frame `index` of `inbox`, which came at `now`.
    fn take(
        &mut self,
        index: usize,
        inbox: &Inbox,
        now: Instant,
        copies: &mut Vec<Copy>,
        ready: &mut Vec<Ready>,
    ) {
        if inbox.truncated(index) {
            self.counters.unreadable += 1;
            return;
        }
        let octets = inbox.frame(index);
        let offload = inbox.offload(index);
        self.counters.received += 1;
        match self.lane.decide(octets.len(), now, copies) {
            Fate::Cut => self.counters.cut += 1,
            Fate::Lost => self.counters.lost += 1,
            Fate::Overflow => self.counters.overflow += 1,
            Fate::Sent { held } => {
                self.counters.reordered += u64::from(held);
                self.counters.repeated += u64::try_from(copies.len() - 1).unwrap_or(0);
            }
        }
        let mut shared: Option<Frame> = None;
        for copy in copies.iter() {
            let at_once = copy.send_at <= now;
            self.counters.delayed += u64::from(!at_once);
            let frame = match copy.flips {
                None if at_once => {
                    ready.push(Ready::Received(index));
                    continue;
                }
                None => {
                    shared.get_or_insert_with(|| Frame { offload, octets: octets.into() }).clone()
                }
                Some(_) if offload.merged() => {
                    self.counters.merged_lost += 1;
                    continue;
                }
                Some(flips) => {
                    self.counters.corrupted += 1;
                    corrupt(octets, offload, flips)
                }
            };
            if at_once {
                ready.push(Ready::Own(frame));
            } else if self.queue.push(copy.send_at, octets.len(), frame).is_err() {
                self.counters.overflow += 1;
            }
        }
    }

    /// Sends what is due at `now`.
    fn send_due(&mut self, now: Instant, to: &Port, ready: &mut Vec<Ready>, inbox: &Inbox) -> bool {
        let mut moved = false;
        loop {
            let due = std::iter::from_fn(|| self.queue.pop_due(now));
            ready.extend(due.take(BATCH_FRAMES).map(Ready::Own));
            if ready.is_empty() {
                return moved;
            }
            moved = true;
            to.send(inbox, ready, &mut self.counters);
        }
    }
}

/// A copy of a frame with flipped bits. Its checksum is completed first: the kernel would otherwise
/// compute it over the flipped bits, or trust it unseen, and nobody would notice the fault.
fn corrupt(octets: &[u8], offload: Offload, flips: Flips) -> Frame {
    let mut octets = octets.to_vec();
    if let Some((start, at)) = offload.open_checksum() {
        complete_checksum(&mut octets, start, at);
    }
    flips.apply(&mut octets);
    Frame { offload: Offload::default(), octets: octets.into() }
}

/// Stores the Internet checksum over everything from `start` on at `at`, where the sender has left
/// the sum of the pseudo header. Positions outside the frame leave it as it is.
pub fn complete_checksum(frame: &mut [u8], start: usize, at: usize) {
    let Some(covered) = frame.get(start..) else { return };
    let mut sum = covered.chunks(2).fold(0u64, |sum, pair| {
        sum + u64::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]))
    });
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // Zero would mean "no checksum" in UDP; its other form is the same number everywhere.
    let folded = !u16::try_from(sum).unwrap_or(0);
    let stored = if folded == 0 { 0xffff } else { folded };
    if let Some(field) = frame.get_mut(at..at + 2) {
        field.copy_from_slice(&stored.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::complete_checksum;

    #[test]
    fn an_open_checksum_is_completed() {
        // The example of RFC 1071, section 3, behind two octets that are not covered.
        let mut frame = [9, 9, 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7, 0, 0];
        complete_checksum(&mut frame, 2, 10);
        assert_eq!(frame[10..], [0x22, 0x0d]);
    }

    #[test]
    fn positions_outside_the_frame_are_no_panic() {
        let mut frame = [1, 2, 3];
        complete_checksum(&mut frame, 4, 5);
        complete_checksum(&mut frame, 0, 2);
        assert_eq!(frame, [1, 2, 3]);
    }
}
