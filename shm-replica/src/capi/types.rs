//! The structures of the C interface. They grow at their end and nowhere else.

#![allow(
    missing_debug_implementations,
    reason = "raw pointers of the caller's; nobody prints them"
)]

use std::ffi::{c_char, c_void};
use std::ptr;

use super::sized::Grows;

/// What a program holds: what bmpl_create gives and bmpl_destroy takes back. It points to nothing,
/// so one that is null, foreign or destroyed is an error (BMPL_E_HANDLE) and never an access.
pub struct Handle {
    _nothing: (),
}

/// Role: none was given yet, or it only reads.
pub const BMPL_ROLE_NONE: u32 = 0;
/// Role: another process is active, this one stands by.
pub const BMPL_ROLE_STANDBY: u32 = 1;
/// Role: this process is active: its commits count, and it may act.
pub const BMPL_ROLE_ACTIVE: u32 = 2;

/// Class of standby: what the configuration says, or hot.
pub const BMPL_STANDBY_DEFAULT: u32 = 0;
/// Class of standby: started when it is needed, and reads the last state then.
pub const BMPL_STANDBY_COLD: u32 = 1;
/// Class of standby: runs; its memory is made when it is needed.
pub const BMPL_STANDBY_WARM: u32 = 2;
/// Class of standby: runs and has its memory, made, mapped and touched.
pub const BMPL_STANDBY_HOT: u32 = 3;

/// What a program is, for bmpl_create. Begin with BMPL_OPTIONS_INIT.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Options {
    /// sizeof(bmpl_options_t).
    pub struct_size: u32,
    /// Zero.
    pub flags: u32,
    /// The application: participants of one name stand in for each other.
    pub application: *const c_char,
    /// The daemon's instance: its runtime folder is /run/bumpless/INSTANCE. Null: the one that
    /// there is.
    pub instance: *const c_char,
    /// The daemon's runtime folder itself, in place of an instance. Null: that of the instance.
    pub runtime_dir: *const c_char,
    /// The cycle in ns; zero where there is none.
    pub cycle_ns: u64,
    /// One of BMPL_STANDBY_*.
    pub standby_class: u32,
    /// How long bmpl_activate waits for the daemon, in ms; zero is 5000.
    pub connect_timeout_ms: u32,
    /// Zero.
    pub reserved: [u64; 4],
}

/// Kinds of elements. In the image they stand one behind the other, in the machine's word order.
pub const BMPL_KIND_OCTETS: u32 = 1;
/// uint8_t, USINT.
pub const BMPL_KIND_U8: u32 = 2;
/// uint16_t, UINT.
pub const BMPL_KIND_U16: u32 = 3;
/// uint32_t, UDINT.
pub const BMPL_KIND_U32: u32 = 4;
/// uint64_t, ULINT.
pub const BMPL_KIND_U64: u32 = 5;
/// int8_t, SINT.
pub const BMPL_KIND_I8: u32 = 6;
/// int16_t, INT.
pub const BMPL_KIND_I16: u32 = 7;
/// int32_t, DINT.
pub const BMPL_KIND_I32: u32 = 8;
/// int64_t, LINT.
pub const BMPL_KIND_I64: u32 = 9;
/// float, REAL.
pub const BMPL_KIND_F32: u32 = 10;
/// double, LREAL.
pub const BMPL_KIND_F64: u32 = 11;
/// One octet, 0 or 1; BOOL.
pub const BMPL_KIND_BOOL: u32 = 12;
/// Octets of one text, filled up with zeros; STRING.
pub const BMPL_KIND_TEXT: u32 = 13;
/// A span or a time in ns, int64_t; LTIME.
pub const BMPL_KIND_TIME: u32 = 14;
/// An address. It is refused: in another process it means nothing. bmpl_lint finds it.
pub const BMPL_KIND_POINTER: u32 = 15;

/// A part of a region's state. It stands in arrays and therefore never grows.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CBlock {
    /// 1 to 63 letters, digits, '-', '_', '.', '[', ']' or ':', a letter, digit or '_' in front;
    /// each block of a region has a name of its own.
    pub name: *const c_char,
    /// One of BMPL_KIND_*.
    pub kind: u32,
    /// How many elements, at least 1.
    pub count: u32,
    /// Where they stand in the program: read at each commit, written when state is restored. Null
    /// for bmpl_attach, for bmpl_lint and for regions in place.
    pub address: *mut c_void,
}

/// The region is written in place: bmpl_open gives the memory that the next commit publishes.
pub const BMPL_REGION_IN_PLACE: u32 = 1;
/// bmpl_commit leaves the region out; bmpl_commit_region commits it.
pub const BMPL_REGION_SEPARATE: u32 = 2;

/// Commits of the active process wake this one's bmpl_wait while it stands by: costs the active one
/// a system call for each commit.
pub const BMPL_REGION_WAKE: u32 = 4;
/// State of another schema is restored block by block, by name: what it has and this program does
/// not is left out, and blocks that it lacks stay as they are. Without it another schema is
/// refused.
pub const BMPL_REGION_MAP_BY_NAME: u32 = 8;

/// A region that the program writes when it is active, for bmpl_register. Begin with
/// BMPL_REGION_OPTIONS_INIT. Either blocks, or an address and a size, or in place a size.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct RegionOptions {
    /// sizeof(bmpl_region_options_t).
    pub struct_size: u32,
    /// BMPL_REGION_*, or zero.
    pub flags: u32,
    /// The region's name, as the daemon's configuration has it.
    pub name: *const c_char,
    /// Images that the ring holds, 4 to 64; zero is 4.
    pub slots: u32,
    /// How many blocks; zero for a region of one nameless piece.
    pub block_count: u32,
    /// The blocks, in the order of the image.
    pub blocks: *const CBlock,
    /// Without blocks: where the state stands; null in place.
    pub address: *mut c_void,
    /// Without blocks: its octets, to 64 MiB.
    pub size: u64,
    /// Zero.
    pub reserved: [u64; 4],
}

/// Blocks are found by name: what the image has and the reader does not is left out, what it lacks
/// is zero. Without it another schema is refused.
pub const BMPL_READER_MAP_BY_NAME: u32 = 8;
/// Commits wake bmpl_wait: costs the writer a system call for each commit.
pub const BMPL_READER_WAKE: u32 = 4;

/// bmpl_wait: no region, for changes of the role alone.
pub const BMPL_NO_REGION: i32 = -1;

/// A region that the program reads, for bmpl_attach. Begin with BMPL_READER_OPTIONS_INIT.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ReaderOptions {
    /// sizeof(bmpl_reader_options_t).
    pub struct_size: u32,
    /// BMPL_READER_*, or zero.
    pub flags: u32,
    /// The region's name.
    pub name: *const c_char,
    /// How many blocks are expected; zero where any image will do.
    pub block_count: u32,
    /// Zero.
    pub reserved32: u32,
    /// The blocks; their addresses are null.
    pub blocks: *const CBlock,
    /// Zero.
    pub reserved: [u64; 4],
}

/// This process has become the active one since the last cycle.
pub const BMPL_CYCLE_TOOK_OVER: u32 = 1;
/// This process was the active one in the last cycle, and is no more: it does not act.
pub const BMPL_CYCLE_STEPPED_DOWN: u32 = 2;
/// The state that the last active process committed stands in the blocks, or in place.
pub const BMPL_CYCLE_RESTORED: u32 = 4;
/// There was a state to restore and none that is whole: the program begins as it did the first
/// time.
pub const BMPL_CYCLE_STATE_LOST: u32 = 16;
/// What was restored is not the newest: a newer state was there and not whole.
pub const BMPL_CYCLE_NEWER_LOST: u32 = 32;
/// The daemon does not answer. What is active stays so; nobody takes over meanwhile.
pub const BMPL_CYCLE_DAEMON_AWAY: u32 = 8;

/// What a cycle begins with, from bmpl_cycle_begin. Begin with BMPL_CYCLE_INIT.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Cycle {
    /// sizeof(bmpl_cycle_t).
    pub struct_size: u32,
    /// One of BMPL_ROLE_*.
    pub role: u32,
    /// BMPL_CYCLE_*.
    pub flags: u32,
    /// Zero.
    pub reserved32: u32,
    /// The number of this cycle: one more than that of the last commit, whoever made it. Of a
    /// standby, the last cycle that it holds.
    pub cycle: u64,
    /// The epoch: rises with each takeover.
    pub epoch: u64,
    /// The application's time in ns: goes on through a takeover with the time that passed. Timers
    /// count with it and with no other clock.
    pub time_ns: u64,
    /// At a takeover: what passed since the last commit, in ns.
    pub gap_ns: u64,
    /// Zero.
    pub reserved: [u64; 4],
}

/// bmpl_read: nothing was committed since the last read.
pub const BMPL_READ_NOTHING_NEW: i32 = 0;
/// bmpl_read: there is an image that was not read before.
pub const BMPL_READ_NEW: i32 = 1;
/// bmpl_read: the writer went round the ring while the image was copied; read again.
pub const BMPL_READ_LAPPED: i32 = 2;

/// An image that was read and verified, from bmpl_read. Begin with BMPL_IMAGE_INIT.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Image {
    /// sizeof(bmpl_image_t).
    pub struct_size: u32,
    /// Zero.
    pub reserved32: u32,
    /// The octets, this program's own copy: as they are until the next read of this region, and of
    /// one that it also writes until the next bmpl_cycle_begin. Aligned for any type.
    pub data: *const c_void,
    /// How many.
    pub size: u64,
    /// The writer's cycle.
    pub cycle: u64,
    /// The writer's epoch.
    pub epoch: u64,
    /// How long ago it was committed, in ns.
    pub age_ns: u64,
    /// Images that were committed since the last read and not read.
    pub skipped: u64,
    /// The application's time of its cycle, in ns.
    pub time_ns: u64,
    /// The wall clock at its commit: ns since 1970 (UTC).
    pub wall_clock_ns: i64,
    /// Zero.
    pub reserved: [u64; 4],
}

/// bmpl_region_info_t: the program writes the region.
pub const BMPL_REGION_IS_WRITTEN: u32 = 1 << 16;
/// bmpl_region_info_t: the program reads the region.
pub const BMPL_REGION_IS_READ: u32 = 1 << 17;

/// What is known of a region, from bmpl_region_info. Begin with BMPL_REGION_INFO_INIT.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct RegionInfo {
    /// sizeof(bmpl_region_info_t).
    pub struct_size: u32,
    /// BMPL_REGION_IS_*, and the flags that it was registered or attached with.
    pub flags: u32,
    /// The region's name.
    pub name: [c_char; 64],
    /// Octets of an image; zero while that is not known.
    pub size: u64,
    /// Images that its ring holds; zero while that is not known.
    pub slots: u32,
    /// How many blocks.
    pub block_count: u32,
    /// Tells schemas apart; zero for none.
    pub schema_hash: u64,
    /// What a commit was measured to cost here, in ns; zero before activation, and for a reader.
    pub commit_cost_ns: u64,
    /// The epoch of the segment in force; zero before the first.
    pub epoch: u64,
    /// The cycle of the last commit or read.
    pub cycle: u64,
    /// Zero.
    pub reserved: [u64; 4],
}

macro_rules! grows {
    ($type:ident, $name:literal, $zero:expr) => {
        impl Default for $type {
            fn default() -> Self {
                $zero
            }
        }

        // SAFETY: integers and raw pointers alone, the size in front; the default is zeros and
        // null.
        unsafe impl Grows for $type {
            const NAME: &'static str = $name;
            const OCTETS_MIN: usize = size_of::<Self>();
        }
    };
}

grows!(
    Options,
    "bmpl_options_t",
    Self {
        struct_size: 0,
        flags: 0,
        application: ptr::null(),
        instance: ptr::null(),
        runtime_dir: ptr::null(),
        cycle_ns: 0,
        standby_class: 0,
        connect_timeout_ms: 0,
        reserved: [0; 4],
    }
);
grows!(
    RegionOptions,
    "bmpl_region_options_t",
    Self {
        struct_size: 0,
        flags: 0,
        name: ptr::null(),
        slots: 0,
        block_count: 0,
        blocks: ptr::null(),
        address: ptr::null_mut(),
        size: 0,
        reserved: [0; 4],
    }
);
grows!(
    ReaderOptions,
    "bmpl_reader_options_t",
    Self {
        struct_size: 0,
        flags: 0,
        name: ptr::null(),
        block_count: 0,
        reserved32: 0,
        blocks: ptr::null(),
        reserved: [0; 4],
    }
);
grows!(
    Cycle,
    "bmpl_cycle_t",
    Self {
        struct_size: 0,
        role: 0,
        flags: 0,
        reserved32: 0,
        cycle: 0,
        epoch: 0,
        time_ns: 0,
        gap_ns: 0,
        reserved: [0; 4],
    }
);
grows!(
    Image,
    "bmpl_image_t",
    Self {
        struct_size: 0,
        reserved32: 0,
        data: ptr::null(),
        size: 0,
        cycle: 0,
        epoch: 0,
        age_ns: 0,
        skipped: 0,
        time_ns: 0,
        wall_clock_ns: 0,
        reserved: [0; 4],
    }
);
grows!(
    RegionInfo,
    "bmpl_region_info_t",
    Self {
        struct_size: 0,
        flags: 0,
        name: [0; 64],
        size: 0,
        slots: 0,
        block_count: 0,
        schema_hash: 0,
        commit_cost_ns: 0,
        epoch: 0,
        cycle: 0,
        reserved: [0; 4],
    }
);

/// The sizes of the first header: a structure that changes without growing at its end is noticed.
const _: () = assert!(
    size_of::<Options>() == 80
        && size_of::<CBlock>() == 24
        && size_of::<RegionOptions>() == 80
        && size_of::<ReaderOptions>() == 64
        && size_of::<Cycle>() == 80
        && size_of::<Image>() == 104
        && size_of::<RegionInfo>() == 152,
    "the structures of the C interface are as they were"
);
