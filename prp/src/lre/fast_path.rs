//! What a second data path over the same memory must know.
//!
//! A program in the kernel can take the common frames of a LAN off the LRE's hands: tagged, from a
//! node that is known to be doubly attached, with a number whose block exists. It works on the same
//! slots and blocks; whatever else comes, it leaves to the LRE. `docs/design/ebpf.md` says who may
//! write what, and what is still open.
//!
//! The program is written in C, so the shape of the memory is told in a header,
//! `prp/bpf/layout.h`. It is made from this file's tables, never by hand; a test compares it.
//! Rejected: offsets written down twice, and a second table for the program that the LRE would have
//! to keep in step.

use rt_core::time::Duration;

use super::config::DuplicateMode;
use super::{EventSink, Lre};

/// A name and its value.
#[cfg(test)]
pub(super) type Named = (&'static str, u64);

/// How long the program goes on without word from the LRE: ageing and unknown nodes need it, and
/// the age of a number would become ambiguous.
pub const FAST_PATH_TICKS: u64 = 16;

/// What the program is told, in a word or two each. All zero: decide nothing.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(C, align(64))]
pub struct FastPathControl {
    /// The program decides before this instant only.
    pub valid_until_ns: u64,
    /// When tick zero of discard began or would have begun, modulo 2^64.
    pub zero_ns: u64,
    /// Nanoseconds of a tick.
    pub tick_ns: u64,
    /// The present instant for a program that was loaded for tests; others ask the kernel's clock.
    pub test_now_ns: u64,
    /// The node's own address.
    pub own_key: u64,
    /// Factor of the node table's hash.
    pub node_secret: u64,
    /// Factor of the blocks' hash.
    pub block_secret: u64,
    /// Heads of the node table's hash.
    pub node_buckets: u32,
    /// Heads of the blocks' hash.
    pub block_buckets: u32,
}

/// What the program counts for one LAN. To be added to the LRE's own counters.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(C, align(64))]
pub struct FastPathCounters {
    /// Tagged frames that it decided (`lreCntRxA`, `B`).
    pub rx: u64,
    /// Of these, first copies (`lreCntTxC`).
    pub delivered: u64,
    /// Frames that it left to the LRE.
    pub left: u64,
}

impl<E: EventSink> Lre<'_, E> {
    /// What to tell a program that shares this LRE's memory. Tell it after [`Lre::service`], at
    /// least every [`FAST_PATH_TICKS`] ticks, `valid_until_ns` last.
    #[must_use]
    pub fn fast_path(&self) -> FastPathControl {
        if self.config.duplicate_mode != DuplicateMode::Discard {
            return FastPathControl::default();
        }
        let (tick_ns, zero_ns, tick_ends_ns) = self.discard.ticks();
        let ahead = Duration::from_nanos(tick_ns).saturating_mul(FAST_PATH_TICKS);
        let buckets = |count| u32::try_from(count).unwrap_or(0);
        FastPathControl {
            valid_until_ns: tick_ends_ns.saturating_add(ahead.as_nanos()),
            zero_ns,
            tick_ns,
            test_now_ns: 0,
            own_key: self.own_key,
            node_secret: self.nodes.secret(),
            block_secret: self.discard.secret(),
            node_buckets: buckets(self.nodes.bucket_count()),
            block_buckets: buckets(self.discard.bucket_count()),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::mem::offset_of;
    use std::fmt::Write as _;
    use std::path::Path;

    use super::super::{duplicate, node_table};
    use super::*;

    const LAYOUT: &[Named] = &[
        ("LRE_CONTROL_OCTETS", size_of::<FastPathControl>() as u64),
        ("LRE_CONTROL_VALID_UNTIL_NS", offset_of!(FastPathControl, valid_until_ns) as u64),
        ("LRE_CONTROL_ZERO_NS", offset_of!(FastPathControl, zero_ns) as u64),
        ("LRE_CONTROL_TICK_NS", offset_of!(FastPathControl, tick_ns) as u64),
        ("LRE_CONTROL_TEST_NOW_NS", offset_of!(FastPathControl, test_now_ns) as u64),
        ("LRE_CONTROL_OWN_KEY", offset_of!(FastPathControl, own_key) as u64),
        ("LRE_CONTROL_NODE_SECRET", offset_of!(FastPathControl, node_secret) as u64),
        ("LRE_CONTROL_BLOCK_SECRET", offset_of!(FastPathControl, block_secret) as u64),
        ("LRE_CONTROL_NODE_BUCKETS", offset_of!(FastPathControl, node_buckets) as u64),
        ("LRE_CONTROL_BLOCK_BUCKETS", offset_of!(FastPathControl, block_buckets) as u64),
        ("LRE_COUNTERS_OCTETS", size_of::<FastPathCounters>() as u64),
        ("LRE_COUNTERS_RX", offset_of!(FastPathCounters, rx) as u64),
        ("LRE_COUNTERS_DELIVERED", offset_of!(FastPathCounters, delivered) as u64),
        ("LRE_COUNTERS_LEFT", offset_of!(FastPathCounters, left) as u64),
    ];

    fn header() -> String {
        let mut text = String::from(
            "/* The shape of the LRE's tables. Made from prp/src/lre by\n \
             * `BUMPLESS_WRITE=1 cargo test -p prp --lib layout_header`; do not edit. */\n\n",
        );
        for (name, value) in
            [node_table::layout::LAYOUT, duplicate::layout::LAYOUT, LAYOUT].concat()
        {
            let long = if value > u64::from(u32::MAX) { "ull" } else { "" };
            writeln!(text, "#define {name} {value:#x}{long}").unwrap();
        }
        text
    }

    #[test]
    fn the_layout_header_is_that_of_the_tables() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("bpf/layout.h");
        if std::env::var_os("BUMPLESS_WRITE").is_some() {
            std::fs::write(&path, header()).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == header(),
            "prp/bpf/layout.h is not that of the tables: write it again as its first line says, \
             then run `cargo xtask bpf`"
        );
    }
}
