//! The node table: who is out there, on which LAN each was heard last, and what it is.
//!
//! Nodes stand in slots of memory of the caller, found through a keyed hash (an attacker cannot
//! choose addresses that collide). The table has a fixed size, so a flood of made-up sources must
//! cost nobody known his place: singly attached nodes give way first, then nodes that tag their
//! frames but were neither announced nor heard on both LANs; those heard on both give way only to
//! an announced one; a node known by supervision leaves only by NodeForgetTime. Each class but the
//! last is a queue in order of arrival with a second chance for who was heard since.

use rt_core::time::{Duration, Instant};

use crate::types::{LanId, MacAddress};

use super::duplicate::{Owner, SourceState};
use super::event::NodeKind;
use super::memory::bucket_of;

mod invariants;
pub(super) mod layout;

/// "No slot".
const NONE: u32 = u32::MAX;
/// "Never", for instants in slots.
const NEVER_NS: u64 = u64::MAX;
/// How many recently heard nodes an eviction passes over before it takes one all the same.
const SECOND_CHANCES: usize = 8;
/// Set in every key, so that no address (not even all zero) looks like a free slot.
const KEY_USED: u64 = 1 << 63;

/// How well a node is known. The order is that of worth.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub(super) enum Standing {
    /// Untagged frames only.
    San,
    /// Tagged frames, never announced.
    Tagged,
    /// Tagged frames of which copies came on both LANs: who can only reach one LAN cannot make
    /// this up.
    Paired,
    /// Announced by a supervision frame.
    Supervised,
}

/// One node.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct NodeSlot {
    key: u64,
    last_seen_ns: [u64; 2],
    pub(super) source: SourceState,
    next_in_bucket: u32,
    generation: u32,
    pub(super) standing: Standing,
    pub(super) kind: NodeKind,
    /// LANs on which the node is reported silent.
    silent: [bool; 2],
    /// The node was named as RedBox once: it stays one.
    pub(super) is_redbox: bool,
    older: u32,
    newer: u32,
    rx_when_queued: u64,
    first_seen_ns: u64,
    pub(super) last_tagged: Instant,
    rx_untagged: [u64; 2],
    pub(super) rx_tagged: [u64; 2],
    pub(super) rx_supervision: [u64; 2],
    pub(super) err_wrong_lan: [u64; 2],
    pub(super) redbox_mac: MacAddress,
    /// Frames of this address belong to the node with that address: the sender has a MAC address
    /// for each LAN. Zero: they do not.
    pub(super) alias_of_key: u64,
}

impl NodeSlot {
    /// An unused slot.
    pub const FREE: Self = Self {
        key: 0,
        last_seen_ns: [NEVER_NS; 2],
        source: SourceState::NEW,
        next_in_bucket: NONE,
        generation: 0,
        standing: Standing::San,
        kind: NodeKind::SanA,
        silent: [false; 2],
        is_redbox: false,
        older: NONE,
        newer: NONE,
        rx_when_queued: 1,
        first_seen_ns: 0,
        last_tagged: Instant::ORIGIN,
        rx_untagged: [0; 2],
        rx_tagged: [0; 2],
        rx_supervision: [0; 2],
        err_wrong_lan: [0; 2],
        redbox_mac: MacAddress([0; 6]),
        alias_of_key: 0,
    };

    /// Whose numbers discard keeps for the node in this slot, which is the `index`-th.
    #[inline]
    pub(super) const fn owner(&self, index: SlotIndex) -> Owner {
        Owner::new(index, self.generation)
    }

    pub(super) const fn is_used(&self) -> bool {
        self.key != 0
    }

    pub(super) const fn mac(&self) -> MacAddress {
        MacAddress::from_key(self.key)
    }

    /// Notes that the node sent a frame with an RCT.
    #[inline]
    pub(super) fn heard_tagged(&mut self, now: Instant, lan: LanId) {
        self.seen(now, lan);
        self.last_tagged = now;
        self.rx_tagged[lan.index()] += 1;
    }

    /// Notes that the node sent a frame without one.
    pub(super) fn heard_untagged(&mut self, now: Instant, lan: LanId) {
        self.seen(now, lan);
        self.rx_untagged[lan.index()] += 1;
    }

    /// Frames of any kind per LAN.
    fn rx(&self) -> [u64; 2] {
        LanId::BOTH.map(|lan| self.rx_tagged[lan.index()] + self.rx_untagged[lan.index()])
    }

    /// Notes that the node lives.
    #[inline]
    pub(super) fn seen(&mut self, now: Instant, lan: LanId) {
        self.last_seen_ns[lan.index()] = now.as_nanos();
    }

    pub(super) const fn last_seen(&self, lan: LanId) -> Option<Instant> {
        match self.last_seen_ns[lan.index()] {
            NEVER_NS => None,
            ns => Some(Instant::from_nanos(ns)),
        }
    }

    /// When the node was last heard on any LAN.
    pub(super) fn last_heard(&self) -> Instant {
        let last = LanId::BOTH.iter().filter_map(|&lan| self.last_seen(lan)).max();
        last.unwrap_or_else(|| Instant::from_nanos(self.first_seen_ns))
    }

    /// Since when the node has not been heard on a LAN.
    pub(super) fn silent_since(&self, lan: LanId) -> Instant {
        self.last_seen(lan).unwrap_or_else(|| Instant::from_nanos(self.first_seen_ns))
    }

    /// What users and the other threads see.
    pub(super) fn record(&self, now: Instant) -> NodeRecord {
        NodeRecord {
            mac: self.mac(),
            kind: self.kind,
            supervised: self.standing == Standing::Supervised,
            last_seen_age: LanId::BOTH.map(|lan| self.last_seen(lan).map(|t| now.since(t))),
            rx: self.rx(),
            rx_tagged: self.rx_tagged,
            rx_supervision: self.rx_supervision,
            err_wrong_lan: self.err_wrong_lan,
            redbox_mac: self.redbox_mac.is_station().then_some(self.redbox_mac),
        }
    }
}

/// One node as users and other threads see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeRecord {
    /// Its address.
    pub mac: MacAddress,
    /// What it is.
    pub kind: NodeKind,
    /// Whether a supervision frame announced it.
    pub supervised: bool,
    /// How long ago it was heard on LAN A and B (`lreTimeLastSeenA`, `B`).
    pub last_seen_age: [Option<Duration>; 2],
    /// Frames heard per LAN.
    pub rx: [u64; 2],
    /// Of these, with an RCT.
    pub rx_tagged: [u64; 2],
    /// Supervision frames per LAN that announced it.
    pub rx_supervision: [u64; 2],
    /// Frames whose LAN id did not fit the port, per LAN of the port.
    pub err_wrong_lan: [u64; 2],
    /// The RedBox behind which it is.
    pub redbox_mac: Option<MacAddress>,
}

/// A place in the table.
pub(super) type SlotIndex = u32;

/// A queue of nodes that may have to give way: indices of its oldest and newest member.
#[derive(Clone, Copy, Debug)]
struct Queue {
    oldest: u32,
    newest: u32,
}

/// The table, over memory of the caller.
#[derive(Debug)]
pub(super) struct NodeTable<'m> {
    slots: &'m mut [NodeSlot],
    buckets: &'m mut [u32],
    secret: u64,
    free: u32,
    used: usize,
    /// One for [`Standing::San`], [`Standing::Tagged`] and [`Standing::Paired`] each.
    queues: [Queue; 3],
    cursor: usize,
    silent: [u32; 2],
}

impl<'m> NodeTable<'m> {
    /// Takes the memory over, whatever is in it. `buckets.len()` is a power of two.
    pub(super) fn new(slots: &'m mut [NodeSlot], buckets: &'m mut [u32], secret: u64) -> Self {
        debug_assert!(buckets.len().is_power_of_two());
        slots.fill(NodeSlot::FREE);
        let mut table = Self {
            slots,
            buckets,
            secret: secret | 1,
            free: NONE,
            used: 0,
            queues: [Queue { oldest: NONE, newest: NONE }; 3],
            cursor: 0,
            silent: [0; 2],
        };
        table.clear();
        table
    }

    /// Forgets every node (`lreNodesTableClear`). Bounded by the table's size.
    pub(super) fn clear(&mut self) {
        self.buckets.fill(NONE);
        let count = u32::try_from(self.slots.len()).unwrap_or(NONE - 1);
        for (slot, next) in self.slots.iter_mut().zip(1u32..) {
            let generation = slot.generation.wrapping_add(1);
            *slot = NodeSlot { generation, ..NodeSlot::FREE };
            slot.next_in_bucket = if next < count { next } else { NONE };
        }
        self.free = if count == 0 { NONE } else { 0 };
        self.used = 0;
        self.silent = [0; 2];
        self.queues = [Queue { oldest: NONE, newest: NONE }; 3];
    }

    /// How many nodes are known.
    pub(super) const fn len(&self) -> usize {
        self.used
    }

    #[inline]
    pub(super) fn get(&self, index: SlotIndex) -> Option<&NodeSlot> {
        self.slots.get(index as usize)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: SlotIndex) -> Option<&mut NodeSlot> {
        self.slots.get_mut(index as usize)
    }

    /// The node with this address.
    #[inline]
    pub(super) fn find(&self, mac: MacAddress) -> Option<SlotIndex> {
        self.find_key(mac.to_key())
    }

    /// The node whose address is this number.
    #[inline]
    pub(super) fn find_key(&self, key: u64) -> Option<SlotIndex> {
        let key = key | KEY_USED;
        let mut index = *self.buckets.get(self.bucket(key))?;
        while let Some(slot) = self.slots.get(index as usize) {
            if slot.key == key {
                return Some(index);
            }
            index = slot.next_in_bucket;
        }
        None
    }

    /// Makes a place for a node that is not in the table; another one may have to give way.
    #[cold]
    pub(super) fn insert(
        &mut self,
        now: Instant,
        mac: MacAddress,
        standing: Standing,
        kind: NodeKind,
    ) -> Option<SlotIndex> {
        if self.free == NONE {
            self.evict_for(standing)?;
        }
        let index = self.free;
        let key = mac.to_key() | KEY_USED;
        let bucket = self.bucket(key);
        let head = *self.buckets.get(bucket)?;
        let slot = self.slots.get_mut(index as usize)?;
        self.free = slot.next_in_bucket;
        *slot = NodeSlot {
            key,
            generation: slot.generation,
            next_in_bucket: head,
            standing,
            kind,
            first_seen_ns: now.as_nanos(),
            ..NodeSlot::FREE
        };
        if let Some(head) = self.buckets.get_mut(bucket) {
            *head = index;
        }
        self.used += 1;
        self.enqueue(index);
        Some(index)
    }

    /// Changes how well a node is known.
    pub(super) fn set_standing(&mut self, index: SlotIndex, standing: Standing) {
        self.dequeue(index);
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.standing = standing;
        }
        self.enqueue(index);
    }

    /// How many nodes are reported silent on LAN A, B.
    pub(super) const fn silent_count(&self) -> [u32; 2] {
        self.silent
    }

    /// Notes whether a node is reported silent on a LAN. Returns whether that is new.
    pub(super) fn set_silent(&mut self, index: SlotIndex, lan: LanId, silent: bool) -> bool {
        let Some(slot) = self.slots.get_mut(index as usize) else { return false };
        if slot.silent[lan.index()] == silent {
            return false;
        }
        slot.silent[lan.index()] = silent;
        let count = &mut self.silent[lan.index()];
        *count = if silent { *count + 1 } else { count.saturating_sub(1) };
        true
    }

    /// Forgets a node.
    pub(super) fn remove(&mut self, index: SlotIndex) {
        let Some(&slot) = self.slots.get(index as usize) else { return };
        if !slot.is_used() {
            return;
        }
        self.dequeue(index);
        for lan in LanId::BOTH {
            self.set_silent(index, lan, false);
        }
        let bucket = self.bucket(slot.key);
        if self.buckets.get(bucket) == Some(&index) {
            self.buckets[bucket] = slot.next_in_bucket;
        } else if let Some(&head) = self.buckets.get(bucket) {
            self.unlink(head, index, slot.next_in_bucket);
        }
        let free = self.free;
        if let Some(slot) = self.slots.get_mut(index as usize) {
            let generation = slot.generation.wrapping_add(1);
            *slot = NodeSlot { generation, next_in_bucket: free, ..NodeSlot::FREE };
            self.free = index;
        }
        self.used -= 1;
    }

    /// The next slot of the round that ageing makes over the whole table.
    pub(super) fn next_in_round(&mut self) -> SlotIndex {
        self.cursor = if self.cursor + 1 < self.slots.len() { self.cursor + 1 } else { 0 };
        u32::try_from(self.cursor).unwrap_or(0)
    }

    /// Slots in the table, used or not.
    pub(super) const fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Frees a slot for a node of this standing: who is worth less gives way, or its equal that was
    /// not heard for longest. Nobody is announced or paired for being heard once, so these two give
    /// way for no equal.
    fn evict_for(&mut self, standing: Standing) -> Option<()> {
        let highest = match standing {
            Standing::Supervised => Standing::Paired,
            Standing::Paired | Standing::Tagged => Standing::Tagged,
            Standing::San => Standing::San,
        };
        [Standing::San, Standing::Tagged, Standing::Paired]
            .into_iter()
            .filter(|&victims| victims <= highest)
            .find_map(|victims| self.evict_from(victims))
    }

    fn evict_from(&mut self, victims: Standing) -> Option<()> {
        for _ in 0..SECOND_CHANCES {
            let oldest = self.queues[victims as usize].oldest;
            let slot = self.slots.get(oldest as usize)?;
            let heard = slot.rx().iter().sum();
            if heard <= slot.rx_when_queued {
                break;
            }
            self.dequeue(oldest);
            self.enqueue(oldest);
            if let Some(slot) = self.slots.get_mut(oldest as usize) {
                slot.rx_when_queued = heard;
            }
        }
        let oldest = self.queues[victims as usize].oldest;
        self.slots.get(oldest as usize)?;
        self.remove(oldest);
        Some(())
    }

    fn unlink(&mut self, head: u32, index: u32, next: u32) {
        let mut at = head;
        while let Some(slot) = self.slots.get_mut(at as usize) {
            if slot.next_in_bucket == index {
                slot.next_in_bucket = next;
                return;
            }
            at = slot.next_in_bucket;
        }
    }

    fn enqueue(&mut self, index: SlotIndex) {
        let Some(slot) = self.slots.get(index as usize) else { return };
        if slot.standing == Standing::Supervised {
            return;
        }
        let queue = slot.standing as usize;
        let before = self.queues[queue].newest;
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.older = before;
            slot.newer = NONE;
        }
        match self.slots.get_mut(before as usize) {
            Some(before) => before.newer = index,
            None => self.queues[queue].oldest = index,
        }
        self.queues[queue].newest = index;
    }

    fn dequeue(&mut self, index: SlotIndex) {
        let Some(slot) = self.slots.get(index as usize) else { return };
        if slot.standing == Standing::Supervised {
            return;
        }
        let (queue, older, newer) = (slot.standing as usize, slot.older, slot.newer);
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.newer = newer,
            None => self.queues[queue].oldest = newer,
        }
        match self.slots.get_mut(newer as usize) {
            Some(slot) => slot.older = older,
            None => self.queues[queue].newest = older,
        }
    }

    #[inline]
    fn bucket(&self, key: u64) -> usize {
        bucket_of(key, self.secret, self.buckets.len())
    }
}
