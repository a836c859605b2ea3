//! Duplicate discard in the kernel says what the LRE says, over the same memory.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ebpf_lab;

use ebpf_lab::race::race;
use ebpf_lab::twins::{Tally, agree};
use ebpf_lab::{Hook, Sizes, can_load};

/// Few blocks, so that they are taken from each other, or enough.
const SIZES: [Sizes; 2] = [Sizes { nodes: 4, blocks: 40 }, Sizes { nodes: 16, blocks: 1_024 }];

#[test]
fn program_and_lre_agree_on_every_frame_and_octet() {
    if !can_load("program_and_lre_agree_on_every_frame_and_octet") {
        return;
    }
    let soak = std::env::var_os("BUMPLESS_SOAK").is_some_and(|value| value == "1");
    let (seeds, steps) = if soak { (200, 50_000) } else { (4, 20_000) };
    for hook in [Hook::Tc, Hook::Xdp] {
        for (kind, sizes) in SIZES.into_iter().enumerate() {
            let mut total = Tally::default();
            for seed in 0..seeds {
                let tally = agree(hook, seed, steps, sizes);
                total.first += tally.first;
                total.repeat += tally.repeat;
                total.left += tally.left;
                total.left_tagged += tally.left_tagged;
            }
            println!("{hook:?}, {} blocks: {total:?}", sizes.blocks);
            assert!(total.left > 0 && total.repeat > 1_000 && total.first > 1_000);
            // With room for all, most tagged frames never leave the kernel.
            assert!(kind == 0 || total.first + total.repeat > total.left_tagged);
        }
    }
}

#[test]
fn of_two_copies_at_once_one_is_the_first() {
    if can_load("of_two_copies_at_once_one_is_the_first") {
        race(Hook::Tc);
        race(Hook::Xdp);
    }
}
