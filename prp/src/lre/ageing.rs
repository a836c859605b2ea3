//! What ends when time passes: entries of duplicate discard, nodes, conditions.
//!
//! Each call does a bounded piece of work and goes on where the last one ended.

use rt_core::limits::NODE_SILENT_ON_LAN_TIME;
use rt_core::time::{Duration, Instant};

use crate::types::LanId;

use super::event::LreEvent;
use super::node_table::Standing;
use super::{EventSink, Lre, Timer};

/// A piece of the round over the node table is done so often.
pub(super) const ROUND_INTERVAL: Duration = Duration::from_millis(100);
/// The most slots of one piece: with 16,384 nodes a round takes 3.2 s of NodeForgetTime's 60 s.
const ROUND_SLOTS_MAX: usize = 512;
/// The most blocks of duplicate discard of one piece: some microseconds.
const BLOCKS_PER_SERVICE: usize = 128;

impl<E: EventSink> Lre<'_, E> {
    /// Lets time pass. Call it when [`Lre::next_timeout`] has come; earlier or more often is
    /// harmless.
    pub fn service(&mut self, now: Instant) {
        self.discard.advance(now);
        self.discard_caught_up = self.discard.serve(BLOCKS_PER_SERVICE, &mut self.counters);
        if self.discard.took_living() {
            self.discard_is_full(now);
        }
        if let Some(due) = self.timers.deadline(Timer::Round)
            && due <= now
        {
            self.timers.rearm(Timer::Round, due, ROUND_INTERVAL, now);
            self.age_nodes(now);
            self.end_conditions(now);
            self.settle_telling(now);
        }
    }

    /// When [`Lre::service`] or [`Lre::poll_supervision`] has work next.
    #[must_use]
    pub fn next_timeout(&self) -> Instant {
        if !self.discard_caught_up {
            return Instant::ORIGIN;
        }
        let deadline = |timer| self.timers.deadline(timer).unwrap_or(Instant::FAR_FUTURE);
        let mut next = deadline(Timer::Supervision);
        if !self.discard.is_idle() {
            next = next.min(self.discard.tick_ends());
        }
        if self.nodes.len() > 0 || self.has_condition() {
            next = next.min(deadline(Timer::Round));
        }
        next
    }

    fn age_nodes(&mut self, now: Instant) {
        // A tenth of the table each time, so that a small table's round takes one second.
        let slots = (self.nodes.capacity() / 10).clamp(64, ROUND_SLOTS_MAX);
        for _ in 0..slots.min(self.nodes.capacity()) {
            let at = self.nodes.next_in_round();
            let Some(slot) = self.nodes.get(at) else { continue };
            if !slot.is_used() {
                continue;
            }
            if now.since(slot.last_heard()) >= self.config.node_forget_time {
                let (mac, kind) = (slot.mac(), slot.kind);
                self.nodes.remove(at);
                self.tell_of_node(now, LreEvent::NodeForgotten { mac, kind });
            } else if slot.standing == Standing::Supervised {
                for lan in LanId::BOTH {
                    self.watch_lan(now, at, lan);
                }
            }
        }
    }

    /// Reports when a doubly attached node falls silent on one of the LANs, and when it is back.
    fn watch_lan(&mut self, now: Instant, at: u32, lan: LanId) {
        let Some(slot) = self.nodes.get(at) else { return };
        let mac = slot.mac();
        let here = now.since(slot.silent_since(lan)) > NODE_SILENT_ON_LAN_TIME;
        let there = now.since(slot.silent_since(lan.other())) > NODE_SILENT_ON_LAN_TIME;
        let hears = now.since(self.hears_since) > NODE_SILENT_ON_LAN_TIME;
        if here && !there && hears && self.link_up[lan.index()] {
            if self.nodes.set_silent(at, lan, true) {
                self.tell_of_node(now, LreEvent::NodeSilentOnLan { mac, silent: lan });
            }
        } else if !here && self.nodes.set_silent(at, lan, false) {
            self.tell_of_node(now, LreEvent::NodeBackOnLan { mac, lan });
        }
    }

    fn has_condition(&self) -> bool {
        self.alarms() != super::LreAlarms::default() || self.telling.owes()
    }

    fn end_conditions(&mut self, now: Instant) {
        for lan in LanId::BOTH {
            if self.wrong_lan[lan.index()].expire(now) {
                self.events.event(now, LreEvent::WrongLanEnded { port: lan });
            }
            if self.own_frame[lan.index()].expire(now) {
                self.events.event(now, LreEvent::OwnFrameEnded { port: lan });
            }
        }
        if self.table_full.expire(now) {
            self.events.event(now, LreEvent::NodeTableHasRoom);
        }
        if self.discard_full.expire(now) {
            self.events.event(now, LreEvent::DuplicateMemoryHasRoom);
        }
    }
}
