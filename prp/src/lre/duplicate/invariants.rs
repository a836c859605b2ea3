//! What must hold of the pool between any two calls, for tests.

use super::{Block, DuplicateDiscard, GROUP_MASK, NONE, Owner, SUPERVISED_BIT, WHEEL_TICKS};
use crate::lre::memory::mark_list;

const IN_BUCKET: u8 = 1;
const IN_WHEEL: u8 = 2;
const IS_FREE: u8 = 4;

impl DuplicateDiscard<'_> {
    /// Checks every list; `marks` has an octet for each block at least.
    pub(in crate::lre) fn check_invariants(&self, marks: &mut [u8]) -> Result<(), &'static str> {
        marks.fill(0);
        self.check_buckets(marks)?;
        self.check_wheel(marks)?;
        mark_list(self.free, IS_FREE, marks, |at| self.next_in_wheel(at))?;
        let (mut used, mut unsupervised) = (0, 0);
        for (block, &mark) in self.blocks.iter().zip(marks.iter()) {
            match mark {
                IS_FREE if block.owner == Owner::NOBODY && block.live == 0 => {}
                IS_FREE => return Err("a free block has an owner or entries"),
                m if m == IN_BUCKET | IN_WHEEL => {
                    used += 1;
                    unsupervised += u32::from(block.swept_tick & SUPERVISED_BIT == 0);
                    block.check_entries()?;
                }
                _ => return Err("a block is lost or in two lists"),
            }
        }
        if used != self.used || unsupervised != self.used_unsupervised {
            return Err("used blocks are counted wrongly");
        }
        Ok(())
    }

    fn check_buckets(&self, marks: &mut [u8]) -> Result<(), &'static str> {
        for (bucket, &head) in self.buckets.iter().enumerate() {
            mark_list(head, IN_BUCKET, marks, |at| {
                self.blocks.get(at as usize).map(|b| b.next_in_bucket)
            })?;
            let mut at = head;
            while let Some(block) = self.blocks.get(at as usize) {
                if self.bucket(block.owner, block.group) != bucket {
                    return Err("a block is in a foreign bucket");
                }
                if self.is_again_behind(block) {
                    return Err("two blocks for the same numbers");
                }
                at = block.next_in_bucket;
            }
        }
        Ok(())
    }

    fn is_again_behind(&self, block: &Block) -> bool {
        let mut at = block.next_in_bucket;
        while let Some(other) = self.blocks.get(at as usize) {
            if other.owner == block.owner && (other.group ^ block.group) & GROUP_MASK == 0 {
                return true;
            }
            at = other.next_in_bucket;
        }
        false
    }

    fn check_wheel(&self, marks: &mut [u8]) -> Result<(), &'static str> {
        mark_list(self.serving, IN_WHEEL, marks, |at| self.next_in_wheel(at))?;
        for &head in &self.wheel {
            mark_list(head, IN_WHEEL, marks, |at| self.next_in_wheel(at))?;
        }
        // Once the wheel has caught up, every block is served at the latest when its newest entry
        // has died.
        if self.serving != NONE || self.served_tick != self.clock.tick {
            return Ok(());
        }
        for ahead in 1..=WHEEL_TICKS {
            let due = self.served_tick.wrapping_add(ahead);
            let mut at = self.wheel[(due % WHEEL_TICKS) as usize];
            while let Some(block) = self.blocks.get(at as usize) {
                if due.wrapping_sub(block.newest_tick) > super::LIFE_TICKS + 1 {
                    return Err("a block is served too late");
                }
                at = block.next_in_wheel;
            }
        }
        Ok(())
    }

    fn next_in_wheel(&self, at: u32) -> Option<u32> {
        self.blocks.get(at as usize).map(|block| block.next_in_wheel)
    }
}

impl Block {
    fn check_entries(&self) -> Result<(), &'static str> {
        let told = self.first_on_b | self.second | self.third;
        if told & !self.live != 0 {
            return Err("a dead entry has copies");
        }
        if self.third & !self.second != 0 {
            return Err("a third copy without a second");
        }
        Ok(())
    }
}
