//! Every bound of the project, in one place, with the reason for its size.
//!
//! A bound that has to do with another one is held to it at compile time, below the values: who
//! changes one and breaks a relation gets an error that names it, not a surprise in the field.

use crate::time::Duration;

// ---- Threads ------------------------------------------------------------------------------------

/// Priority of `heart`: the highest of ours. A late heartbeat is a false failover; everything else
/// that comes late is only late.
pub const PRIORITY_HEART: u8 = 70;

/// Priority of `lre`: above `replica`, whose frames it carries.
pub const PRIORITY_LRE: u8 = 60;

/// Priority of `replica`: at the level where Linux runs threaded interrupt handlers (50), so that
/// it cannot keep a NIC's handler from running.
pub const PRIORITY_REPLICA: u8 = 50;

/// The kernel's range for SCHED_FIFO. 99 is left to the kernel's own watchdog and migration
/// threads.
pub const PRIORITY_MIN: u8 = 1;
/// See [`PRIORITY_MIN`].
pub const PRIORITY_MAX: u8 = 98;

/// A thread's name, as the kernel stores it (16 octets with the zero at the end).
pub const THREAD_NAME_OCTETS_MAX: usize = 15;

/// Stack of a real-time thread. All of it is locked and touched at start, so it is small: our
/// deepest paths use some 10 KiB, the rest is for what a library may do before the freeze.
pub const THREAD_STACK_OCTETS: usize = 256 * 1024;

/// The least stack a thread may ask for: the C library's own start of a thread and one page of
/// ours.
pub const THREAD_STACK_OCTETS_MIN: usize = 64 * 1024;

/// The most. Locked memory is scarce; a larger number is a wrong unit in a configuration.
pub const THREAD_STACK_OCTETS_MAX: usize = 64 * 1024 * 1024;

/// CPU indices that can be asked for: what `cpu_set_t` of the C library holds.
pub const CPU_INDEX_MAX: usize = 1023;

// ---- Nodes and duplicate discard ----------------------------------------------------------------

/// Places in the node table when the configuration says nothing.
pub const NODE_TABLE_DEFAULT: usize = 1_024;

/// The most that can be configured: beyond any network seen, and what fits the memory limit.
pub const NODE_TABLE_MAX: usize = 16_384;

/// The least that makes sense: a peer, and the odd SAN.
pub const NODE_TABLE_MIN: usize = 16;

/// Memory that node table and duplicate discard may take together, all of it locked.
pub const DISCARD_MEMORY_OCTETS_MAX: usize = 64 * 1024 * 1024;

/// EntryForgetTime: how long a number is remembered at least when the configuration says nothing
/// (the standard's value).
pub const ENTRY_FORGET_TIME_DEFAULT: Duration = Duration::from_millis(400);

/// The least: shorter than the skew of two LANs, duplicate discard discards nothing.
pub const ENTRY_FORGET_TIME_MIN: Duration = Duration::from_millis(10);

/// The most: longer, and a sender that restarts is mistaken for its own past.
pub const ENTRY_FORGET_TIME_MAX: Duration = Duration::from_secs(10);

/// Entries die by sweeps of a sixteenth of EntryForgetTime: an entry lives at least EntryForgetTime
/// and at most [`entry_life_max`].
pub const ENTRY_FORGET_SWEEPS: u64 = 16;

/// NodeRebootInterval: how long a node that starts keeps silent, so that nobody remembers numbers
/// of its former life (the standard's value).
pub const NODE_REBOOT_INTERVAL: Duration = Duration::from_millis(500);

/// NodeForgetTime: how long a silent node stays in the table (the standard's value).
pub const NODE_FORGET_TIME: Duration = Duration::from_secs(60);

/// LifeCheckInterval: between two supervision frames of a node (the standard's value).
pub const LIFE_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// After so long without a supervision or data frame on one LAN, while the other LAN carries some,
/// a node is reported silent there. One lost supervision frame alone must not do it.
pub const NODE_SILENT_ON_LAN_TIME: Duration = Duration::from_secs(3);

/// A lasting condition (wrong LAN, own frames) ends after so long without a sign of it.
pub const CONDITION_END_TIME: Duration = Duration::from_secs(10);

/// The longest life of an entry of duplicate discard for a given EntryForgetTime: it, and one
/// sweep.
#[must_use]
pub const fn entry_life_max(entry_forget_time: Duration) -> Duration {
    let sweep = entry_forget_time.as_nanos().div_ceil(ENTRY_FORGET_SWEEPS);
    Duration::from_nanos(entry_forget_time.as_nanos().saturating_add(sweep))
}

/// The silence that a node has to keep at start, where it cannot continue its numbers:
/// NodeRebootInterval, or longer where a longer EntryForgetTime is configured.
#[must_use]
pub const fn silence_at_start(entry_forget_time: Duration) -> Duration {
    let life = entry_life_max(entry_forget_time);
    if life.as_nanos() < NODE_REBOOT_INTERVAL.as_nanos() { NODE_REBOOT_INTERVAL } else { life }
}

// ---- Work per turn ------------------------------------------------------------------------------

/// Frames that one port may have handled before the next port gets its turn: a storm on one LAN
/// delays the other by at most this many frames (some 60 µs).
pub const BATCH_FRAMES: usize = 64;

// ---- Trace --------------------------------------------------------------------------------------

/// Records between a real-time thread and the thread that drains them. At 64 octets each this is
/// 64 KiB per ring.
pub const TRACE_SLOTS: usize = 1_024;

/// Kinds of event that one trace can count apart.
pub const TRACE_KINDS_MAX: usize = 32;

/// How often the rings are drained at least.
pub const TRACE_DRAIN_INTERVAL: Duration = Duration::from_millis(50);

/// Records kept for `bumpless events` after they were drained.
pub const EVENT_HISTORY: usize = 4_096;

// ---- Control socket -----------------------------------------------------------------------------

/// Octets of one request. A request is a word and a few options.
pub const CONTROL_REQUEST_OCTETS_MAX: usize = 4 * 1024;

/// Clients served at a time; one more is refused.
pub const CONTROL_CLIENTS_MAX: usize = 16;

/// A client that takes longer to send its request, or to take its answer, is hung up on.
pub const CONTROL_CLIENT_PATIENCE: Duration = Duration::from_secs(5);

// ---- Regions ------------------------------------------------------------------------------------

/// Octets of a region's image: what locked memory holds four times over, twice.
pub const IMAGE_OCTETS_MAX: usize = 64 * 1024 * 1024;

/// Slots of a region's ring. With four, a reader is lapped only by a writer that commits three
/// times while one copy is made.
pub const RING_SLOTS_MIN: usize = 4;
/// The most; more than four are for those who read each image in order and may be late.
pub const RING_SLOTS_MAX: usize = 64;
/// What a region gets that says nothing.
pub const RING_SLOTS_DEFAULT: usize = RING_SLOTS_MIN;

/// Octets of a region's name.
pub const REGION_NAME_OCTETS_MAX: usize = 63;

/// Regions of one daemon: a participant's page tells of all of them.
pub const REGIONS_MAX: usize = 64;
/// Applications of one daemon.
pub const APPLICATIONS_MAX: usize = 32;
/// Processes that use the library at a time.
pub const PARTICIPANTS_MAX: usize = 64;

/// Octets of a schema as it stands in a segment: a thousand blocks with long names.
pub const SCHEMA_OCTETS_MAX: usize = 128 * 1024;

/// Blocks of a schema. Names are looked for one by one, so the work grows with the square.
pub const SCHEMA_BLOCKS_MAX: usize = 1_024;

/// Octets of a block's name: a path through nested function blocks.
pub const BLOCK_NAME_OCTETS_MAX: usize = 63;

// ---- Pair ---------------------------------------------------------------------------------------

/// The shortest time from one heartbeat to the next. A node sends a beat on each path and answers
/// its peer's, each sealed: below this, beats take more of a processor than what they watch.
pub const HEARTBEAT_MIN: Duration = Duration::from_micros(250);

/// The longest: beyond, a takeover after silence takes longer than the slowest outputs hold.
pub const HEARTBEAT_MAX: Duration = Duration::from_millis(100);

/// Beats that a path's listener looks back on: a beat may come after this many newer ones less one
/// before it counts as lost.
pub const BEAT_WINDOW: usize = 256;

/// A path that was dead is taken for alive again after so many beats in time.
pub const RECOVERY_BEATS: u64 = 8;

// ---- How they relate ----------------------------------------------------------------------------

const _: () =
    assert!(PRIORITY_HEART > PRIORITY_LRE, "a storm of frames must not delay a heartbeat");
const _: () = assert!(PRIORITY_LRE > PRIORITY_REPLICA, "a large state must not delay frames");
const _: () = assert!(PRIORITY_REPLICA >= PRIORITY_MIN && PRIORITY_HEART <= PRIORITY_MAX);
const _: () = assert!(
    THREAD_STACK_OCTETS_MIN <= THREAD_STACK_OCTETS
        && THREAD_STACK_OCTETS <= THREAD_STACK_OCTETS_MAX
);

const _: () = assert!(NODE_TABLE_MIN <= NODE_TABLE_DEFAULT && NODE_TABLE_DEFAULT <= NODE_TABLE_MAX);
const _: () = assert!(NODE_TABLE_MAX.is_power_of_two(), "tables are indexed by mask");
const _: () = assert!(
    DISCARD_MEMORY_OCTETS_MAX / NODE_TABLE_MAX >= 2 * 1024,
    "the largest table leaves each node 2 KiB for its entry and its numbers"
);
const _: () = assert!(
    ENTRY_FORGET_TIME_MIN.as_nanos() <= ENTRY_FORGET_TIME_DEFAULT.as_nanos()
        && ENTRY_FORGET_TIME_DEFAULT.as_nanos() <= ENTRY_FORGET_TIME_MAX.as_nanos()
);
const _: () = assert!(
    NODE_REBOOT_INTERVAL.as_nanos() > entry_life_max(ENTRY_FORGET_TIME_DEFAULT).as_nanos(),
    "a node that kept the standard's silence finds its old numbers forgotten"
);
const _: () = assert!(
    ENTRY_FORGET_TIME_MIN.as_nanos() / ENTRY_FORGET_SWEEPS >= 100_000,
    "a sweep is not due more often than the thread can wake"
);
const _: () = assert!(
    NODE_FORGET_TIME.as_nanos() > 3 * LIFE_CHECK_INTERVAL.as_nanos(),
    "three lost supervision frames in a row do not make a node forgotten"
);
const _: () = assert!(
    NODE_FORGET_TIME.as_nanos() > entry_life_max(ENTRY_FORGET_TIME_MAX).as_nanos(),
    "a node outlives its numbers, or its second copies would be delivered"
);
const _: () = assert!(
    NODE_SILENT_ON_LAN_TIME.as_nanos() > LIFE_CHECK_INTERVAL.as_nanos()
        && CONDITION_END_TIME.as_nanos() > NODE_SILENT_ON_LAN_TIME.as_nanos()
);
const _: () = assert!(TRACE_SLOTS.is_power_of_two(), "the ring's positions are taken by mask");
const _: () =
    assert!(TRACE_SLOTS >= 4 * BATCH_FRAMES, "one batch of events must not fill the ring");
const _: () = assert!(
    RING_SLOTS_MIN >= 4
        && RING_SLOTS_MIN <= RING_SLOTS_DEFAULT
        && RING_SLOTS_DEFAULT <= RING_SLOTS_MAX
);
const _: () =
    assert!((REGION_NAME_OCTETS_MAX + 1).is_multiple_of(8), "a name is stored in whole words");
const _: () = assert!(
    IMAGE_OCTETS_MAX.checked_mul(2 * RING_SLOTS_MAX).is_some(),
    "the largest segment has a size"
);
const _: () = assert!(
    SCHEMA_BLOCKS_MAX * (BLOCK_NAME_OCTETS_MAX + 16) <= SCHEMA_OCTETS_MAX,
    "as many blocks as there may be, with the longest names, fit a schema"
);
const _: () = assert!(
    BLOCK_NAME_OCTETS_MAX <= u8::MAX as usize && SCHEMA_BLOCKS_MAX <= u16::MAX as usize,
    "a schema counts its blocks in two octets and a name's octets in one"
);
const _: () = assert!(IMAGE_OCTETS_MAX <= u32::MAX as usize, "a block counts elements in 32 bits");
const _: () = assert!(EVENT_HISTORY >= TRACE_SLOTS, "a ring's worth of history can be kept");
const _: () = assert!(
    HEARTBEAT_MIN.as_nanos() > 0 && HEARTBEAT_MIN.as_nanos() < HEARTBEAT_MAX.as_nanos(),
    "HEARTBEAT_MIN: schedules divide by the heartbeat"
);
const _: () = assert!(
    HEARTBEAT_MIN.as_nanos() >= 100_000,
    "HEARTBEAT_MIN: a beat is not due more often than the thread can wake"
);
const _: () = assert!(BEAT_WINDOW.is_multiple_of(64), "BEAT_WINDOW: kept in whole words");
const _: () = assert!(
    HEARTBEAT_MIN.as_nanos() * BEAT_WINDOW as u64 / 2 >= 25_000_000,
    "BEAT_WINDOW: with an answer to each, at the shortest heartbeat, five times 5 ms of delay"
);
const _: () = assert!(RECOVERY_BEATS > 1, "RECOVERY_BEATS: one beat proves no path");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_at_start_outlasts_the_longest_memory() {
        assert_eq!(silence_at_start(ENTRY_FORGET_TIME_MIN), NODE_REBOOT_INTERVAL);
        assert_eq!(silence_at_start(ENTRY_FORGET_TIME_DEFAULT), NODE_REBOOT_INTERVAL);
        assert_eq!(silence_at_start(ENTRY_FORGET_TIME_MAX), Duration::from_micros(10_625_000));
        assert_eq!(entry_life_max(ENTRY_FORGET_TIME_DEFAULT), Duration::from_millis(425));
        assert_eq!(entry_life_max(Duration::MAX), Duration::MAX);
    }
}
