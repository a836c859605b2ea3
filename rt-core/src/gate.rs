//! The two words of the output gate, as the owner writes them and the program in the kernel reads
//! them (`rt-core/bpf/gate.bpf.c`, tc egress on each LAN port).
//!
//! The words lie in a map of the kernel that the owner has mapped. Whoever stops writing, for
//! whatever reason, has closed the gate: the program compares the deadline with the clock itself.
//! All zero is closed. Rejected: a bit that says open (somebody must be alive to clear it), and a
//! check in the sender (it may be paused between the check and the send).
//!
//! Frames of the output class carry [`OUTPUT_CLASS_BIT`] in their mark, and below it the cycle
//! whose outputs they are. Other frames pass.

use core::sync::atomic::{AtomicU64, Ordering};

/// The bit of a frame's mark that says that it is an output.
pub const OUTPUT_CLASS_BIT: u32 = 1 << 31;
/// [`GateWords::open_to`] this cycle opens all.
pub const ALL_CYCLES: u64 = u64::MAX;

/// The mark of an output of `cycle`, of which it keeps 31 bits.
#[must_use]
pub const fn output_mark(cycle: u64) -> u32 {
    #[allow(clippy::cast_possible_truncation, reason = "the lower 31 bits are what is meant")]
    let low = cycle as u32;
    OUTPUT_CLASS_BIT | low
}

/// Both words, and what became of frames. Each word has one writer.
#[derive(Default, Debug)]
#[repr(C, align(64))]
pub struct GateWords {
    owner_deadline_ns: AtomicU64,
    open_cycle: AtomicU64,
    unused: [u64; 6],
    passed: AtomicU64,
    refused_late: AtomicU64,
    refused_stale: AtomicU64,
    refused_early: AtomicU64,
}

/// What became of the frames of the output class since the program was loaded.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct GateCounters {
    /// They left.
    pub passed: u64,
    /// The owner's deadline had passed.
    pub refused_late: u64,
    /// The frame's own deadline had passed.
    pub refused_stale: u64,
    /// Their cycle was not open yet.
    pub refused_early: u64,
}

const _: () = assert!(size_of::<GateWords>() == 128, "a line to write, a line to read");

impl GateWords {
    /// Lets outputs pass before this instant of `CLOCK_BOOTTIME`; 0 closes. Thread: the role
    /// machine's alone. Real-time class: one store.
    pub fn set_owner_deadline(&self, boottime_ns: u64) {
        self.owner_deadline_ns.store(boottime_ns, Ordering::Release);
    }

    /// The deadline as it stands.
    #[must_use]
    pub fn owner_deadline_ns(&self) -> u64 {
        self.owner_deadline_ns.load(Ordering::Acquire)
    }

    /// Lets outputs up to and with this cycle pass. Thread: that of replication alone. Real-time
    /// class: one store.
    pub fn open_to(&self, cycle: u64) {
        self.open_cycle.store(cycle, Ordering::Release);
    }

    /// What became of frames.
    #[must_use]
    pub fn counters(&self) -> GateCounters {
        let read = |word: &AtomicU64| word.load(Ordering::Relaxed);
        GateCounters {
            passed: read(&self.passed),
            refused_late: read(&self.refused_late),
            refused_stale: read(&self.refused_stale),
            refused_early: read(&self.refused_early),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::mem::offset_of;

    use super::*;

    /// The program's source says where it expects each word; the numbers must be ours.
    #[test]
    fn the_program_reads_the_words_where_they_are() {
        let source = include_str!("../bpf/gate.bpf.c");
        for (field, at) in [
            ("owner_deadline_ns", offset_of!(GateWords, owner_deadline_ns)),
            ("open_cycle", offset_of!(GateWords, open_cycle)),
            ("passed", offset_of!(GateWords, passed)),
            ("refused_late", offset_of!(GateWords, refused_late)),
            ("refused_stale", offset_of!(GateWords, refused_stale)),
            ("refused_early", offset_of!(GateWords, refused_early)),
        ] {
            let line = format!("OFFSET(struct gate, {field}, {at});");
            assert!(source.contains(&line), "{line}");
        }
        let line = format!("SIZE(struct gate, {});", size_of::<GateWords>());
        assert!(source.contains(&line), "{line}");
    }

    #[test]
    fn a_mark_holds_class_and_cycle() {
        assert_eq!(output_mark(5), 0x8000_0005);
        assert_eq!(output_mark(1 << 31 | 7), 0x8000_0007);
        assert_eq!(output_mark(u64::MAX), u32::MAX);
    }
}
