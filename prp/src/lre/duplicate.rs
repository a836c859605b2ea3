//! Duplicate discard: which copy of a frame is the first.
//!
//! # The rule
//!
//! A frame is a repeat if its source used the same number a short while ago. In doubt it is not: a
//! legitimate frame is never rejected, an occasional duplicate is tolerable (IEC 62439-3:2021,
//! 4.1.10.3). An entry for (source, number) is made when the first copy comes and dies
//!
//! - by age: it lives more than EntryForgetTime T and at most 17/16 T (400 to 425 ms), counted from
//!   the *first* copy, so that repeats do not keep it alive; or
//! - by advance: when its source's newest number is more than 2^15 ahead, so that nothing is lost
//!   when numbers wrap within T (a gigabit sender wraps each 47 ms).
//!
//! Nothing else is remembered, so nothing else can go wrong: gaps (the sender talks to others too),
//! losses, reordering and repeats of any kind leave the rule as it is.
//!
//! # What it cannot know
//!
//! Numbers have 16 bits. The advance between two frames that we see is taken as the smallest that
//! fits, -2^15 to 2^15 - 1. A sender that emits more than that between two frames to us (at gigabit
//! line rate: we hear nothing from it for 23.6 ms) is misjudged, and then a frame is wrongly
//! rejected only if its number equals that of a living entry: with n entries of that source alive
//! (frames heard from it within 425 ms), n/65536 of such frames. A sender that restarts its numbers
//! loses nothing after 425 ms of silence; before that it loses the frames whose numbers it used
//! within the last 425 ms, and none after that time.
//!
//! A duplicate passes when the skew of the LANs is more than T. When skew times rate is more than
//! 2^15 numbers (23.6 ms at gigabit line rate) a late copy looks like a step ahead: it is delivered
//! a second time, and, up to 2^16 numbers, stands for the frame that will have its number one wrap
//! later, whose early copy is then rejected and whose late copy is delivered. While the late LAN
//! loses nothing, nothing is lost; what it loses may be (measured at line rate: 12 % of all frames
//! when it loses 20 %).
//!
//! # The memory
//!
//! Entries stand in blocks of 64 consecutive numbers of one source: 128 octets with the birth of
//! each entry. Blocks come from one pool, are found by a keyed hash, and go back when their last
//! entry has died. Every step is O(1), nothing is allocated. Rejected: a bitmap of all numbers per
//! source (8 KiB for each node and no birth), blocks that age as a whole (leak duplicates at low
//! rates), a hash of single entries (a cache miss for each frame).
//!
//! Sources that are not known by supervision may hold at most half of the pool, so a flood of them
//! cannot take the memory of those that are. When the pool is used up, the block that would die
//! next is taken: duplicates may pass, no frame is lost.

use rt_core::time::{Duration, Instant};

use crate::types::{LanId, PortId};

use super::counters::LreCounters;
use super::memory::bucket_of;

mod invariants;
pub(super) mod layout;

/// Numbers per block.
const BLOCK_NUMBERS: u32 = 64;
/// EntryForgetTime is this many ticks.
const LIFE_TICKS: u32 = 16;
/// The wheel holds the next 32 ticks; entries live 17.
const WHEEL_TICKS: u32 = 32;
/// Births are kept modulo 256 ticks. A block that is written to is swept at least this often, so
/// that the age of no entry is ever ambiguous: `SWEEP_TICKS + 2 * (LIFE_TICKS + 1) < 256`.
const SWEEP_TICKS: u32 = 64;
/// No pause counts as more ticks than this.
const PAUSE_TICKS: u32 = 1 << 16;
/// "No block".
const NONE: u32 = u32::MAX;

const _: () = assert!(SWEEP_TICKS + 2 * (LIFE_TICKS + 1) < 256, "a birth would be ambiguous");
const _: () = assert!(LIFE_TICKS + 1 < WHEEL_TICKS, "an entry would outlive the wheel");
const _: () = assert!(size_of::<Block>() == 128, "two cache lines");

/// What discard says of a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    /// The first copy.
    First,
    /// A further copy.
    Repeat,
    /// There was no memory to remember it: take it for the first.
    Unrecorded,
}

/// 64 consecutive numbers of one source.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Block {
    /// Tick, modulo 256, in which an entry's first copy came.
    born: [u8; BLOCK_NUMBERS as usize],
    /// Which numbers have an entry.
    live: u64,
    /// Whose first copy came on LAN B.
    first_on_b: u64,
    /// Of which a second copy came.
    second: u64,
    /// Of which a third copy came.
    third: u64,
    /// Whose numbers these are.
    owner: Owner,
    /// The numbers, extended, divided by 64.
    group: u32,
    /// Next block with the same hash.
    next_in_bucket: u32,
    /// Next block of the same tick of the wheel, or next free block.
    next_in_wheel: u32,
    /// Tick of the latest birth.
    newest_tick: u32,
    /// Tick in which entries that had died were last taken out; the top bit says that the owner was
    /// known by supervision when it got this block.
    swept_tick: u32,
}

impl Block {
    /// An unused block.
    pub const FREE: Self = Self {
        born: [0; BLOCK_NUMBERS as usize],
        live: 0,
        first_on_b: 0,
        second: 0,
        third: 0,
        owner: Owner::NOBODY,
        group: 0,
        next_in_bucket: NONE,
        next_in_wheel: NONE,
        newest_tick: 0,
        swept_tick: 0,
    };
}

/// Who owns a block: a slot of the node table and how often that slot had been given away, so that
/// a new node never inherits the numbers of an old one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub(super) struct Owner(u64);

impl Owner {
    const NOBODY: Self = Self(u64::MAX);

    /// The owner that sits in a slot for the `generation`-th time.
    pub(super) const fn new(slot: u32, generation: u32) -> Self {
        Self(((generation as u64) << 32) | slot as u64)
    }
}

/// What discard keeps in each slot of the node table.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct SourceState {
    /// The newest number, extended to 32 bits.
    newest: u32,
    /// Tick of the last tagged frame.
    last_tick: u32,
    /// The block used last on each LAN: 63 of 64 frames need no look-up.
    hint: [u32; 2],
}

impl SourceState {
    pub(super) const NEW: Self = Self { newest: 0, last_tick: 0, hint: [NONE; 2] };
}

/// The pool and its index, over memory of the caller.
#[derive(Debug)]
pub(super) struct DuplicateDiscard<'m> {
    blocks: &'m mut [Block],
    buckets: &'m mut [u32],
    secret: u64,
    free: u32,
    used: u32,
    used_unsupervised: u32,
    wheel: [u32; WHEEL_TICKS as usize],
    /// What is left of the tick that is being served. Taken off the wheel as a whole, so that a
    /// block that goes back to the same place waits for its next round.
    serving: u32,
    stolen: bool,
    clock: TickClock,
    /// The wheel has been taken off up to and with this tick.
    served_tick: u32,
}

/// Time in ticks of EntryForgetTime / 16.
#[derive(Clone, Copy, Debug)]
struct TickClock {
    tick: u32,
    tick_octet: u8,
    begins: Instant,
    ends: Instant,
    length: Duration,
}

impl TickClock {
    fn new(now: Instant, entry_forget_time: Duration) -> Self {
        let length = Duration::from_nanos(entry_forget_time.as_nanos().div_ceil(16).max(1));
        // The first tick is well above zero, so that differences to "never" are plain.
        let mut clock = Self { tick: 0, tick_octet: 0, begins: now, ends: now + length, length };
        clock.set_tick(2 * WHEEL_TICKS);
        clock
    }

    #[inline]
    fn advance(&mut self, now: Instant) {
        if now >= self.ends {
            self.advance_slowly(now);
        }
    }

    #[cold]
    fn advance_slowly(&mut self, now: Instant) {
        let passed = now.since(self.begins).as_nanos() / self.length.as_nanos();
        self.begins += self.length.saturating_mul(passed);
        self.ends = self.begins + self.length;
        // A longer pause counts as PAUSE_TICKS: all that was known is dead, and ticks, which have
        // 32 bits, do not come round to where they were (with entries that live 10 ms: in a month).
        let passed = u32::try_from(passed).map_or(PAUSE_TICKS, |passed| passed.min(PAUSE_TICKS));
        self.set_tick(self.tick.wrapping_add(passed));
    }

    fn set_tick(&mut self, tick: u32) {
        self.tick = tick;
        self.tick_octet = (tick & 0xff) as u8;
    }
}

const SUPERVISED_BIT: u32 = 1 << 31;

/// Ticks since `then`, in 31 bits, as `swept_tick` keeps them.
#[inline]
const fn ticks_since_31(now: u32, then: u32) -> u32 {
    now.wrapping_sub(then) & !SUPERVISED_BIT
}

impl<'m> DuplicateDiscard<'m> {
    /// Takes the memory over, whatever is in it. `buckets.len()` is a power of two.
    pub(super) fn new(
        blocks: &'m mut [Block],
        buckets: &'m mut [u32],
        secret: u64,
        now: Instant,
        entry_forget_time: Duration,
    ) -> Self {
        debug_assert!(buckets.len().is_power_of_two());
        buckets.fill(NONE);
        let count = u32::try_from(blocks.len()).unwrap_or(NONE - 1);
        for (block, next) in blocks.iter_mut().zip(1u32..) {
            *block = Block::FREE;
            block.next_in_wheel = if next < count { next } else { NONE };
        }
        let clock = TickClock::new(now, entry_forget_time);
        Self {
            free: if count == 0 { NONE } else { 0 },
            blocks,
            buckets,
            // An odd factor keeps the multiplication a bijection.
            secret: secret | 1,
            used: 0,
            used_unsupervised: 0,
            wheel: [NONE; WHEEL_TICKS as usize],
            serving: NONE,
            stolen: false,
            served_tick: clock.tick,
            clock,
        }
    }

    /// Lets time pass.
    #[inline]
    pub(super) fn advance(&mut self, now: Instant) {
        self.clock.advance(now);
    }

    /// Whether blocks with living entries had to be taken since this was asked last.
    pub(super) fn took_living(&mut self) -> bool {
        core::mem::take(&mut self.stolen)
    }

    /// Whether entries are alive that [`DuplicateDiscard::serve`] will have to count.
    pub(super) const fn is_idle(&self) -> bool {
        self.used == 0
    }

    /// When the current tick ends.
    pub(super) const fn tick_ends(&self) -> Instant {
        self.clock.ends
    }

    /// A copy of `number` came from `owner` on `lan`.
    // Called in two places, one of them cold: a call costs a tenth of the whole.
    #[inline(always)]
    pub(super) fn arrival(
        &mut self,
        owner: Owner,
        supervised: bool,
        source: &mut SourceState,
        lan: LanId,
        number: u16,
        counters: &mut LreCounters,
    ) -> Arrival {
        let tick = self.clock.tick;
        let extended = extend(source.newest, number);
        // After silence every entry is dead, and the newest number starts anew where it is.
        let silent = tick.wrapping_sub(source.last_tick) > LIFE_TICKS;
        if silent || extended.wrapping_sub(source.newest) < 1 << 31 {
            source.newest = extended;
        }
        source.last_tick = tick;

        let group = extended / BLOCK_NUMBERS;
        let bit = (extended % BLOCK_NUMBERS) as usize;
        let hint = &mut source.hint[lan.index()];
        if let Some(block) = self.blocks.get_mut(*hint as usize)
            && block.owner == owner
            && block.group == group
        {
            return record(block, tick, bit, lan, counters);
        }
        let Some(index) = self.find_or_make(owner, supervised, group, counters) else {
            return Arrival::Unrecorded;
        };
        *hint = index;
        match self.blocks.get_mut(index as usize) {
            Some(block) => record(block, tick, bit, lan, counters),
            None => Arrival::Unrecorded,
        }
    }

    /// Counts entries that have died and gives their blocks back: at most `budget` blocks. Returns
    /// whether it caught up with the clock.
    pub(super) fn serve(&mut self, budget: usize, counters: &mut LreCounters) -> bool {
        let tick = self.clock.tick;
        // After a long pause one round serves every bucket.
        let behind = tick.wrapping_sub(self.served_tick);
        if behind > WHEEL_TICKS {
            self.served_tick = tick.wrapping_sub(WHEEL_TICKS);
        }
        for _ in 0..budget {
            while self.serving == NONE {
                if self.served_tick == tick {
                    return true;
                }
                self.served_tick = self.served_tick.wrapping_add(1);
                let due = &mut self.wheel[(self.served_tick % WHEEL_TICKS) as usize];
                self.serving = core::mem::replace(due, NONE);
            }
            let index = self.serving;
            self.serving = self.blocks.get(index as usize).map_or(NONE, |b| b.next_in_wheel);
            self.serve_block(index, tick, counters);
        }
        self.serving == NONE && self.served_tick == tick
    }

    fn serve_block(&mut self, index: u32, tick: u32, counters: &mut LreCounters) {
        let Some(block) = self.blocks.get_mut(index as usize) else { return };
        sweep(block, tick, counters);
        if block.live == 0 {
            self.give_back(index);
        } else {
            let due = block.newest_tick.wrapping_add(LIFE_TICKS + 1);
            self.push_wheel(index, due);
        }
    }

    /// The block of `owner` for this group of numbers; a new one if there is none.
    #[inline(never)]
    fn find_or_make(
        &mut self,
        owner: Owner,
        supervised: bool,
        group: u32,
        counters: &mut LreCounters,
    ) -> Option<u32> {
        let bucket = self.bucket(owner, group);
        let mut index = *self.buckets.get(bucket)?;
        while let Some(block) = self.blocks.get_mut(index as usize) {
            if block.owner == owner && (block.group ^ group) & GROUP_MASK == 0 {
                if block.group != group {
                    // The same numbers, a wrap ago: the newest is more than 2^15 ahead.
                    retire(block, block.live, counters);
                    block.group = group;
                }
                return Some(index);
            }
            index = block.next_in_bucket;
        }
        self.make(owner, supervised, group, bucket, counters)
    }

    fn make(
        &mut self,
        owner: Owner,
        supervised: bool,
        group: u32,
        bucket: usize,
        counters: &mut LreCounters,
    ) -> Option<u32> {
        if !supervised && self.used_unsupervised as usize >= self.blocks.len() / 2 {
            return None;
        }
        if self.free == NONE {
            self.steal(counters)?;
        }
        let index = self.free;
        let tick = self.clock.tick;
        let head = *self.buckets.get(bucket)?;
        let block = self.blocks.get_mut(index as usize)?;
        self.free = block.next_in_wheel;
        block.owner = owner;
        block.group = group;
        block.next_in_bucket = head;
        block.newest_tick = tick;
        block.swept_tick = tick & !SUPERVISED_BIT;
        if supervised {
            block.swept_tick |= SUPERVISED_BIT;
        } else {
            self.used_unsupervised += 1;
        }
        self.used += 1;
        if let Some(head) = self.buckets.get_mut(bucket) {
            *head = index;
        }
        self.push_wheel(index, tick.wrapping_add(LIFE_TICKS + 1));
        Some(index)
    }

    /// Frees the block that would die next.
    #[cold]
    fn steal(&mut self, counters: &mut LreCounters) -> Option<()> {
        let index = self.take_next_to_die()?;
        self.stolen = true;
        let block = self.blocks.get_mut(index as usize)?;
        retire(block, block.live, counters);
        self.give_back(index);
        Some(())
    }

    fn take_next_to_die(&mut self) -> Option<u32> {
        if let Some(block) = self.blocks.get(self.serving as usize) {
            return Some(core::mem::replace(&mut self.serving, block.next_in_wheel));
        }
        (1..=WHEEL_TICKS).find_map(|ahead| {
            let due =
                &mut self.wheel[(self.served_tick.wrapping_add(ahead) % WHEEL_TICKS) as usize];
            let block = self.blocks.get(*due as usize)?;
            Some(core::mem::replace(due, block.next_in_wheel))
        })
    }

    /// Takes a block that is in no tick of the wheel out of its bucket and puts it among the free.
    fn give_back(&mut self, index: u32) {
        let Some(block) = self.blocks.get(index as usize) else { return };
        let (owner, group, next) = (block.owner, block.group, block.next_in_bucket);
        let supervised = block.swept_tick & SUPERVISED_BIT != 0;
        let bucket = self.bucket(owner, group);
        if self.buckets.get(bucket) == Some(&index) {
            self.buckets[bucket] = next;
        } else if let Some(&head) = self.buckets.get(bucket) {
            self.unlink(head, index, next);
        }
        if !supervised {
            self.used_unsupervised -= 1;
        }
        self.used -= 1;
        let free = self.free;
        if let Some(block) = self.blocks.get_mut(index as usize) {
            block.owner = Owner::NOBODY;
            block.next_in_bucket = NONE;
            block.next_in_wheel = free;
            self.free = index;
        }
    }

    fn unlink(&mut self, head: u32, index: u32, next: u32) {
        let mut at = head;
        while let Some(block) = self.blocks.get_mut(at as usize) {
            if block.next_in_bucket == index {
                block.next_in_bucket = next;
                return;
            }
            at = block.next_in_bucket;
        }
    }

    #[inline]
    fn bucket(&self, owner: Owner, group: u32) -> usize {
        let key = owner.0.rotate_left(GROUP_BITS) ^ u64::from(group & GROUP_MASK);
        bucket_of(key, self.secret, self.buckets.len())
    }

    fn push_wheel(&mut self, index: u32, due: u32) {
        let head = &mut self.wheel[(due % WHEEL_TICKS) as usize];
        if let Some(block) = self.blocks.get_mut(index as usize) {
            block.next_in_wheel = *head;
            *head = index;
        }
    }
}

/// Groups of numbers that 16 bits tell apart.
const GROUP_BITS: u32 = 10;
const GROUP_MASK: u32 = (1 << GROUP_BITS) - 1;

/// The extended number nearest to `newest` whose lower 16 bits are `number`.
#[inline]
const fn extend(newest: u32, number: u16) -> u32 {
    let distance = number.wrapping_sub((newest & 0xffff) as u16).cast_signed();
    newest.wrapping_add_signed(distance as i32)
}

#[inline]
fn record(
    block: &mut Block,
    tick: u32,
    bit: usize,
    lan: LanId,
    counters: &mut LreCounters,
) -> Arrival {
    // The sweep's tick has 31 bits: after a pause of 2^31 ticks it alone would say "just now".
    let idle = tick.wrapping_sub(block.newest_tick) > LIFE_TICKS;
    if idle || ticks_since_31(tick, block.swept_tick) >= SWEEP_TICKS {
        sweep(block, tick, counters);
    }
    let mask = 1u64 << bit;
    let tick_octet = (tick & 0xff) as u8;
    if block.live & mask != 0 {
        if u32::from(tick_octet.wrapping_sub(block.born[bit])) <= LIFE_TICKS {
            block.third |= block.second & mask;
            block.second |= mask;
            return Arrival::Repeat;
        }
        retire(block, mask, counters);
    }
    block.live |= mask;
    if lan.index() == 1 {
        block.first_on_b |= mask;
    }
    block.born[bit] = tick_octet;
    block.newest_tick = tick;
    Arrival::First
}

/// Takes out the entries that have died of age.
#[inline(never)]
fn sweep(block: &mut Block, tick: u32, counters: &mut LreCounters) {
    let dead = if tick.wrapping_sub(block.newest_tick) > LIFE_TICKS {
        block.live
    } else {
        let tick_octet = (tick & 0xff) as u8;
        let mut dead = 0;
        let mut left = block.live;
        while left != 0 {
            let bit = left.trailing_zeros();
            left &= left - 1;
            if u32::from(tick_octet.wrapping_sub(block.born[bit as usize])) > LIFE_TICKS {
                dead |= 1 << bit;
            }
        }
        dead
    };
    retire(block, dead, counters);
    block.swept_tick = (block.swept_tick & SUPERVISED_BIT) | (tick & !SUPERVISED_BIT);
}

/// Counts the entries in `dead` and forgets them.
fn retire(block: &mut Block, dead: u64, counters: &mut LreCounters) {
    for (port, here) in [(PortId::A, !block.first_on_b), (PortId::B, block.first_on_b)] {
        let here = dead & here;
        let at = port.index();
        counters.unique[at] += u64::from((here & !block.second).count_ones());
        counters.duplicate[at] += u64::from((here & block.second & !block.third).count_ones());
        counters.multi[at] += u64::from((here & block.third).count_ones());
    }
    block.live &= !dead;
    block.first_on_b &= !dead;
    block.second &= !dead;
    block.third &= !dead;
}
