//! Which copies are duplicates: order, age, advance. Traffic over time: `discard_behaviour.rs`.

use prp::lre::{DiscardReason, Fate};
use rt_core::time::{Duration, Instant};

use super::support::frames::{Announcement, tagged};
use super::support::{Memory, PEER, ms, settle};
use super::{A, B, counter, danp};
use prp::types::{LanId, MacAddress};

const DUPLICATE: Fate = Fate::Discard(DiscardReason::Duplicate);
const FIRST: Fate = Fate::Deliver { octets: 60 };

fn check(steps: &[(u64, LanId, u16, Fate)]) {
    let mut memory = Memory::for_nodes(4);
    let mut lre = memory.lre(danp());
    for (i, &(at, lan, number, fate)) in steps.iter().enumerate() {
        assert_eq!(lre.receive_lan(ms(at), lan, &tagged(PEER, lan, number)), fate, "step {i}");
        lre.service(ms(at));
    }
}

/// T10; 4.1.10.3: in order, reversed, late, interleaved; a third copy on either LAN.
#[test]
fn the_first_copy_is_delivered_whatever_the_order() {
    check(&[
        (1, A, 10, FIRST),
        (1, B, 10, DUPLICATE),
        (2, B, 11, FIRST),
        (2, A, 11, DUPLICATE),
        (3, A, 12, FIRST),
        (3, A, 14, FIRST),
        (4, B, 14, DUPLICATE),
        (4, B, 13, FIRST),
        (5, B, 12, DUPLICATE),
        (300, A, 13, DUPLICATE),
        (300, A, 13, DUPLICATE),
        (300, B, 13, DUPLICATE),
    ]);
}

/// Numbers are those of their source.
#[test]
fn equal_numbers_of_two_sources_are_two_frames() {
    let mut memory = Memory::for_nodes(4);
    let mut lre = memory.lre(danp());
    for last in 2..6 {
        let source = MacAddress([2, 0, 0, 0, 0, last]);
        assert_eq!(lre.receive_lan(ms(1), A, &tagged(source, A, 7)), FIRST);
        assert_eq!(lre.receive_lan(ms(1), B, &tagged(source, B, 7)), DUPLICATE);
    }
}

/// T11; EntryForgetTime: an entry is there for 400 ms, and gone after 17/16 of them, counted from
/// the first copy, at any phase of the clock.
#[test]
fn entries_live_for_entry_forget_time_and_a_sixteenth_at_most() {
    const FORGET: u64 = 400_000_000;
    for phase in (0..25_000_000).step_by(999_983) {
        for (after, fate) in [
            (0, DUPLICATE),
            (FORGET / 2, DUPLICATE),
            (FORGET - 1, DUPLICATE),
            (FORGET, DUPLICATE),
            (FORGET / 16 * 17, FIRST),
            (2 * FORGET, FIRST),
            (1_000 * FORGET, FIRST),
        ] {
            let mut memory = Memory::of(2, 8);
            let mut lre = memory.lre(danp());
            let born = Instant::from_nanos(3_000_000_000 + phase);
            // An older entry in the same block, and one that keeps the block in use.
            assert_eq!(
                lre.receive_lan(born - Duration::from_nanos(FORGET / 3), A, &tagged(PEER, A, 9)),
                FIRST
            );
            assert_eq!(lre.receive_lan(born, A, &tagged(PEER, A, 10)), FIRST);
            let between = born + Duration::from_nanos(after / 2);
            assert_eq!(lre.receive_lan(between, A, &tagged(PEER, A, 11)), FIRST);
            let later = born + Duration::from_nanos(after);
            let copy = lre.receive_lan(later, B, &tagged(PEER, B, 10));
            assert_eq!(copy, fate, "{after} ns later, phase {phase}");
        }
    }
}

/// T11: repeats do not keep an entry alive.
#[test]
fn repeats_do_not_prolong_an_entry() {
    check(&[
        (1_000, A, 10, FIRST),
        (1_200, A, 10, DUPLICATE),
        (1_399, B, 10, DUPLICATE),
        (1_426, A, 10, FIRST),
        (1_427, B, 10, DUPLICATE),
    ]);
}

/// T11: an entry dies though its neighbours keep coming and nobody lets time pass otherwise. (Ages
/// are kept modulo 256 ticks of 25 ms: 6.4 s.)
#[test]
fn entries_die_without_service() {
    for later in (500..20_000).step_by(25) {
        let mut memory = Memory::of(2, 8);
        let mut lre = memory.lre(danp());
        assert_eq!(lre.receive_lan(ms(1_000), A, &tagged(PEER, A, 64)), FIRST);
        for (number, after) in (65..).zip((0..later).step_by(390)) {
            let neighbour = tagged(PEER, A, 65 + number % 60);
            let _ = lre.receive_lan(ms(1_000 + after), A, &neighbour);
        }
        let again = lre.receive_lan(ms(1_000 + later), B, &tagged(PEER, B, 64));
        assert_eq!(again, FIRST, "after {later} ms");
    }
}

/// T12: within EntryForgetTime an entry dies when the source's newest number is more than 2^15
/// ahead of it, and not before.
#[test]
fn numbers_that_wrap_within_the_life_of_entries_are_new_again() {
    check(&[
        (1, A, 60_000, FIRST),
        (2, A, 60_000u16.wrapping_add(16_384), FIRST),
        (3, A, 60_000u16.wrapping_add(32_768), FIRST),
        (4, B, 60_000, DUPLICATE),
        (5, A, 60_000u16.wrapping_add(32_769), FIRST),
        (6, B, 60_000, FIRST),
        (7, B, 60_000u16.wrapping_add(32_769), DUPLICATE),
    ]);
}

/// A flood of tagged frames of unknown sources takes no memory from a node known by supervision:
/// its second copies are still discarded. The flood is delivered.
#[test]
fn a_flood_does_not_make_known_nodes_duplicates_pass() {
    let mut memory = Memory::of(64, 8);
    let mut lre = memory.lre(danp());
    let _ = lre.receive_lan(ms(1_000), A, &Announcement::of(PEER).octets());
    for number in [1, 100, 200] {
        assert_eq!(lre.receive_lan(ms(1_000), A, &tagged(PEER, A, number)), FIRST);
    }
    for source in 0..40 {
        let source = MacAddress([2, 7, 7, 0, 0, source]);
        assert_eq!(lre.receive_lan(ms(1_100), A, &tagged(source, A, 7)), FIRST);
    }
    for number in [1, 100, 200] {
        assert_eq!(lre.receive_lan(ms(1_200), B, &tagged(PEER, B, number)), DUPLICATE);
    }
}

/// Who announces another node without being a RedBox speaks for it only if each is heard on a LAN
/// of its own: anything else is two senders, and equal numbers are two frames.
#[test]
fn senders_that_are_heard_on_a_common_lan_are_not_joined() {
    let other = MacAddress([2, 0, 0, 0, 0, 9]);
    for (source_on, other_on) in [([A, B], [B, B]), ([A, A], [A, B]), ([A, B], [A, B])] {
        let mut memory = Memory::for_nodes(4);
        let mut lre = memory.lre(danp());
        for (number, (one, two)) in (1..).zip(source_on.into_iter().zip(other_on)) {
            let _ = lre.receive_lan(ms(1), one, &tagged(PEER, one, number));
            let _ = lre.receive_lan(ms(1), two, &tagged(other, two, number));
        }
        let announcement = Announcement { source: PEER, ..Announcement::of(other) };
        let _ = lre.receive_lan(ms(2), A, &announcement.octets());
        assert_eq!(lre.receive_lan(ms(3), A, &tagged(other, A, 9)), FIRST);
        assert_eq!(lre.receive_lan(ms(3), A, &tagged(PEER, A, 9)), FIRST);
    }
}

/// T27; `lreCntUnique`, `Duplicate`, `Multi`: each number counts once, when it is forgotten, on the
/// port of its first copy, by the number of its copies.
#[test]
fn each_number_counts_once_by_its_copies() {
    let mut memory = Memory::for_nodes(4);
    let mut lre = memory.lre(danp());
    let mut number = 0;
    for (first, further, copies) in [(A, B, [11, 7, 5, 3]), (B, A, [2, 4, 6, 8])] {
        for (further_copies, times) in [0, 1, 2, 9].into_iter().zip(copies) {
            for _ in 0..times {
                number += 1;
                let _ = lre.receive_lan(ms(10), first, &tagged(PEER, first, number));
                for _ in 0..further_copies {
                    let _ = lre.receive_lan(ms(11), further, &tagged(PEER, further, number));
                }
            }
        }
    }
    settle(&mut lre, ms(350));
    assert_eq!(counter(&lre, "lreCntUniqueA"), 0, "before they are forgotten");
    settle(&mut lre, ms(500));
    for (name, value) in [
        ("lreCntUniqueA", 11),
        ("lreCntDuplicateA", 7),
        ("lreCntMultiA", 8),
        ("lreCntUniqueB", 2),
        ("lreCntDuplicateB", 4),
        ("lreCntMultiB", 14),
        ("lreCntUniqueC", 0),
        ("lreCntDuplicateC", 0),
        ("lreCntMultiC", 0),
    ] {
        assert_eq!(counter(&lre, name), value, "{name}");
    }
}
