//! What must hold of the node table between any two calls, for tests.

use super::{NONE, NodeTable, Standing};
use crate::lre::memory::mark_list;
use crate::types::LanId;

const IN_BUCKET: u8 = 1;
const IN_QUEUE: u8 = 2;
const IS_FREE: u8 = 4;

impl NodeTable<'_> {
    /// Checks every list; `marks` has an octet for each slot at least.
    pub(in crate::lre) fn check_invariants(&self, marks: &mut [u8]) -> Result<(), &'static str> {
        marks.fill(0);
        for (bucket, &head) in self.buckets.iter().enumerate() {
            mark_list(head, IN_BUCKET, marks, |at| self.get(at).map(|s| s.next_in_bucket))?;
            let mut at = head;
            while let Some(slot) = self.get(at) {
                if self.bucket(slot.key) != bucket {
                    return Err("a node is in a foreign bucket");
                }
                if self.find(slot.mac()) != Some(at) {
                    return Err("a node is in the table twice");
                }
                at = slot.next_in_bucket;
            }
        }
        self.check_queue(Standing::San, marks)?;
        self.check_queue(Standing::Tagged, marks)?;
        self.check_queue(Standing::Paired, marks)?;
        mark_list(self.free, IS_FREE, marks, |at| self.get(at).map(|s| s.next_in_bucket))?;
        let mut used = 0;
        for (slot, &mark) in self.slots.iter().zip(marks.iter()) {
            let expected = match (slot.is_used(), slot.standing) {
                (false, _) => IS_FREE,
                (true, Standing::Supervised) => IN_BUCKET,
                (true, _) => IN_BUCKET | IN_QUEUE,
            };
            if mark != expected {
                return Err("a slot is lost or in a wrong list");
            }
            used += usize::from(slot.is_used());
        }
        for lan in LanId::BOTH {
            let silent = self.slots.iter().filter(|slot| slot.silent[lan.index()]).count();
            if silent != self.silent[lan.index()] as usize {
                return Err("silent nodes are counted wrongly");
            }
        }
        if used != self.used {
            return Err("nodes are counted wrongly");
        }
        Ok(())
    }

    fn check_queue(&self, standing: Standing, marks: &mut [u8]) -> Result<(), &'static str> {
        let queue = self.queues[standing as usize];
        mark_list(queue.oldest, IN_QUEUE, marks, |at| self.get(at).map(|s| s.newer))?;
        let (mut at, mut before) = (queue.oldest, NONE);
        while let Some(slot) = self.get(at) {
            if slot.older != before || slot.standing != standing {
                return Err("a queue of nodes is torn");
            }
            (before, at) = (at, slot.newer);
        }
        if before == queue.newest { Ok(()) } else { Err("a queue of nodes has a wrong end") }
    }
}
