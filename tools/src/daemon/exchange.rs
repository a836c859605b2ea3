//! What the `lre` thread and the control thread share.
//!
//! Everything here is bounded and lock-free: queues of fixed size and counters with one writer.
//! Whatever the control thread does, the `lre` thread never waits for it.

use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::queue::ArrayQueue;
use prp::lre::counters::LreCounters;
use prp::lre::{LreAlarms, NodeRecord};
use prp::os::lan_port::LanPort;
use prp::port::PortStatistics;
use prp::types::LanId;
use rt_core::counters::CounterSet;
use rt_core::os::wake::Wake;
use rt_core::time::Duration;

/// What the control thread asks of the `lre` thread.
#[derive(Debug)]
pub enum Command {
    /// Use this port on a LAN, or none. The port that was used before comes back as
    /// [`Reply::Retired`].
    ReplaceLan(LanId, Option<Box<LanPort>>),
    /// A LAN's link is up or down.
    SetLink(LanId, bool),
    /// A LAN interface's MTU changed.
    SetMtu(LanId, u32),
    /// Ask the kernel for the counters that it keeps itself.
    RefreshStatistics,
    /// Send the node table, record by record.
    ExportNodes,
}

/// What the `lre` thread gives the control thread.
#[derive(Debug)]
pub enum Reply {
    /// A LAN's port that is no longer used: to be closed here, for closing takes time.
    Retired(LanId, Box<LanPort>),
    /// A node of the table.
    Node(NodeRecord),
    /// All nodes have been sent.
    NodesEnd,
}

/// Commands that may wait. The control thread sends a handful per link change.
const COMMANDS: usize = 64;
/// Records that may wait; the export goes on when the control thread has taken some.
const REPLIES: usize = 1024;

/// Shared between the two threads.
#[derive(Debug)]
pub struct Exchange {
    /// Control to `lre`.
    pub commands: ArrayQueue<Command>,
    /// `lre` to control.
    pub replies: ArrayQueue<Reply>,
    /// Ends the wait of the `lre` thread.
    pub wake_lre: Wake,
    /// Ends the wait of the control thread.
    pub wake_control: Wake,
    figures: CounterSet<{ Figures::COUNT }>,
    stop: AtomicBool,
}

impl Exchange {
    /// A new one.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            commands: ArrayQueue::new(COMMANDS),
            replies: ArrayQueue::new(REPLIES),
            wake_lre: Wake::new()?,
            wake_control: Wake::new()?,
            figures: CounterSet::new(),
            stop: AtomicBool::new(false),
        })
    }

    /// Sends a command; gives it back when the queue is full.
    ///
    /// # Errors
    /// The command.
    pub fn send(&self, command: Command) -> Result<(), Command> {
        self.commands.push(command)?;
        self.wake_lre.signal();
        Ok(())
    }

    /// Tells the `lre` thread to end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake_lre.signal();
    }

    /// Whether the `lre` thread is to end.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Makes figures visible. Thread: `lre`. Real-time class: stores.
    pub fn publish(&self, figures: &Figures) {
        self.figures.publish(&figures.to_words());
    }

    /// The figures as published last. A figure may be newer than its neighbour.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures::from_words(&self.figures.snapshot())
    }
}

/// What the `lre` thread shows of itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Figures {
    /// The LRE's counters.
    pub lre: LreCounters,
    /// The LRE's lasting conditions.
    pub alarms: LreAlarms,
    /// The number of the next tagged frame.
    pub sequence_number: u16,
    /// Each port's own counters, by `PortId::index`.
    pub ports: [PortStatistics; 3],
    /// How often the thread waited.
    pub waits: u64,
    /// The thread's page faults, without I/O and with, before it began its work.
    pub faults_before: [u64; 2],
    /// By how much the LRE's time is behind.
    pub held: Duration,
}

const PORT_FIGURES: usize = 6;

impl Figures {
    /// Words of the encoding.
    pub const COUNT: usize = LreCounters::COUNT + 1 + 1 + 3 * PORT_FIGURES + 1 + 2 + 1;

    fn to_words(self) -> [u64; Self::COUNT] {
        let mut words = [0; Self::COUNT];
        // Whole arrays: this runs before each wait.
        let mut left = words.as_mut_slice();
        let mut put = |values: &[u64]| {
            let (to, rest) = std::mem::take(&mut left).split_at_mut(values.len());
            to.copy_from_slice(values);
            left = rest;
        };
        put(&self.lre.values());
        put(&[alarms_to_bits(self.alarms), u64::from(self.sequence_number)]);
        self.ports.into_iter().for_each(|port| put(&port_to_words(port)));
        put(&[self.waits]);
        put(&self.faults_before);
        put(&[self.held.as_nanos()]);
        words
    }

    fn from_words(words: &[u64; Self::COUNT]) -> Self {
        let mut words = words.iter().copied();
        let mut next = || words.next().unwrap_or(0);
        let mut lre = [0; LreCounters::COUNT];
        lre.fill_with(&mut next);
        let alarms = alarms_from_bits(next());
        let sequence_number = u16::try_from(next() & 0xffff).unwrap_or(0);
        let ports = [(); 3].map(|()| port_from_words(&mut next));
        Self {
            lre: LreCounters::from_values(lre),
            alarms,
            sequence_number,
            ports,
            waits: next(),
            faults_before: [next(), next()],
            held: Duration::from_nanos(next()),
        }
    }
}

fn alarms_to_bits(alarms: LreAlarms) -> u64 {
    let LreAlarms { wrong_lan, own_frame, node_table_full, duplicate_memory_full, nodes_silent } =
        alarms;
    let all = [
        wrong_lan[0],
        wrong_lan[1],
        own_frame[0],
        own_frame[1],
        node_table_full,
        duplicate_memory_full,
    ];
    let bits = all.iter().rev().fold(0, |bits, &on| bits << 1 | u64::from(on));
    // 16,384 nodes at the most: sixteen bits each.
    let [a, b] = nodes_silent.map(|count| u64::from(count) & 0xffff);
    bits | a << 16 | b << 32
}

fn alarms_from_bits(bits: u64) -> LreAlarms {
    let on = |bit: u32| bits >> bit & 1 == 1;
    LreAlarms {
        wrong_lan: [on(0), on(1)],
        own_frame: [on(2), on(3)],
        node_table_full: on(4),
        duplicate_memory_full: on(5),
        nodes_silent: [16, 32].map(|at| u32::from((bits >> at & 0xffff) as u16)),
    }
}

fn port_to_words(port: PortStatistics) -> [u64; PORT_FIGURES] {
    let PortStatistics {
        rx_frames,
        rx_dropped,
        rx_merged,
        rx_checksums_completed,
        tx_frames,
        tx_dropped,
    } = port;
    [rx_frames, rx_dropped, rx_merged, rx_checksums_completed, tx_frames, tx_dropped]
}

fn port_from_words(next: &mut impl FnMut() -> u64) -> PortStatistics {
    PortStatistics {
        rx_frames: next(),
        rx_dropped: next(),
        rx_merged: next(),
        rx_checksums_completed: next(),
        tx_frames: next(),
        tx_dropped: next(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_come_out_as_they_went_in() {
        let mut values = [0; LreCounters::COUNT];
        for (value, n) in values.iter_mut().zip(100..) {
            *value = n;
        }
        let port = |n| PortStatistics {
            rx_frames: n,
            rx_dropped: n + 1,
            rx_merged: n + 2,
            rx_checksums_completed: n + 3,
            tx_frames: n + 4,
            tx_dropped: n + 5,
        };
        let figures = Figures {
            lre: LreCounters::from_values(values),
            alarms: LreAlarms {
                wrong_lan: [false, true],
                own_frame: [true, false],
                node_table_full: false,
                duplicate_memory_full: true,
                nodes_silent: [16_384, 3],
            },
            sequence_number: 65_535,
            ports: [port(10), port(20), port(30)],
            waits: 77,
            faults_before: [78, 79],
            held: Duration::from_millis(80),
        };
        let exchange = Exchange::new().unwrap();
        exchange.publish(&figures);
        assert_eq!(exchange.figures(), figures);
    }
}
